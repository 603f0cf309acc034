//! What a leader does: orders entries, sends them, counts who has them, commits (`stepLeader`).
//!
//! Picture to hold in mind: the leader's desk. On it lie the ledger and a card for each other member; every answer
//! moves a card's bookmarks, and when more than half have passed a line of his own reign, all up to it is safe.

use std::sync::Arc;

use super::event::Event;
use super::flaw::Flaw;
use super::machine::{ProposalDropped, Raft, Role};
use super::progress::ProgressState;
use super::read::{ReadState, WaitingRead};
use crate::message::raft::{
    Application, Body, ConfChange, Configuration, EntryId, MemberId, Message, Payload,
};

impl<A: Application> Raft<A> {
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn lead_proposal(&mut self, payloads: &[Payload<A>]) -> Result<(), ProposalDropped> {
        // One who was removed still leads until that is applied; one who hands over takes nothing new.
        if !self.tracker.progress.contains_key(&self.config.id) || self.transferee.is_some() {
            return Err(ProposalDropped);
        }
        let size: u64 = payloads.iter().map(Payload::size).sum();
        let total = self.uncommitted_size.saturating_add(size);
        if size > 0 && self.uncommitted_size > 0 && total > self.config.max_uncommitted_size {
            return Err(ProposalDropped);
        }
        self.uncommitted_size = total;
        let mut accepted = Vec::with_capacity(payloads.len());
        for (offset, payload) in payloads.iter().enumerate() {
            let payload = match payload {
                Payload::ConfChange(change) => self.check_conf_change(change, offset as u64),
                other => other.clone(),
            };
            accepted.push(payload);
        }
        self.append(accepted);
        self.broadcast_append();
        Ok(())
    }

    /// One membership change at a time: another one becomes an entry that does nothing.
    fn check_conf_change(&mut self, change: &Arc<ConfChange>, offset: u64) -> Payload<A> {
        let is_joint = self.tracker.configuration.voters.is_joint();
        let why = if self.pending_conf_index > self.log.applied {
            format!(
                "possible unapplied conf change at index {} (applied to {})",
                self.pending_conf_index, self.log.applied
            )
        } else if is_joint && !change.leaves_joint() {
            "must transition out of joint config first".to_string()
        } else if !is_joint && change.leaves_joint() {
            "not in joint state; refusing empty conf change".to_string()
        } else {
            self.pending_conf_index = self.log.last_index() + offset + 1;
            return Payload::ConfChange(change.clone());
        };
        let configuration = self.tracker.configuration.clone();
        self.events.push(Event::IgnoredConfChange { change: change.to_string(), configuration, why });
        Payload::Empty
    }

    /// Writes entries of this term; they count for this member once they are on its disk.
    pub(super) fn append(&mut self, payloads: impl IntoIterator<Item = Payload<A>>) {
        let mut index = self.log.last_index();
        for payload in payloads {
            index = self.log.append(self.term, payload);
        }
        self.send(self.config.id, Body::AppResp { index, rejected: None });
    }

    fn others(&self) -> Vec<MemberId> {
        self.tracker.progress.keys().copied().filter(|id| *id != self.config.id).collect()
    }
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn broadcast_append(&mut self) {
        for to in self.others() {
            self.maybe_send_append(to, true);
        }
    }
    pub(super) fn broadcast_heartbeat(&mut self) {
        let (context, committed) = (self.read_only.context(), self.log.committed);
        for to in self.others() {
            if let Some(progress) = self.tracker.progress.get_mut(&to) {
                // A follower must not commit what it may not have as the leader has it.
                let commit = progress.matched.min(committed);
                progress.sent_commit(commit);
                self.send(to, Body::Heartbeat { commit, context });
            }
        }
    }

    /// Sends what the member has not got yet; says whether anything was sent. Without entries only if asked to,
    /// for the commit index.
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn maybe_send_append(&mut self, to: MemberId, even_if_empty: bool) -> bool {
        let limits = self.tracker.limits;
        let Some(progress) = self.tracker.progress.get_mut(&to) else { return false };
        if progress.is_paused() {
            return false;
        }
        let index = progress.next - 1;
        let Some(term) = self.log.term(index) else { return self.maybe_send_snapshot(to) };
        let is_full = progress.state == ProgressState::Replicate && progress.is_full(limits);
        let entries: Arc<[_]> = if is_full || progress.next > self.log.last_index() {
            Arc::new([])
        } else {
            self.log.slice(progress.next, self.config.max_size_per_message)
        };
        if entries.is_empty() && !even_if_empty {
            return false;
        }
        let bytes = entries.iter().map(|entry| entry.payload.size()).sum();
        let commit = self.log.committed;
        progress.sent_entries(entries.len() as u64, bytes, limits);
        progress.sent_commit(commit);
        self.send(to, Body::App { previous: EntryId { term, index }, entries, commit });
        true
    }

    fn maybe_send_snapshot(&mut self, to: MemberId) -> bool {
        let (first_index, commit) = (self.log.first_index(), self.log.committed);
        let (Some(progress), Some(snapshot)) = (self.tracker.progress.get_mut(&to), &self.log.snapshot)
        else {
            return false;
        };
        if !progress.recent_active {
            self.events.push(Event::SnapshotNotSent { to });
            return false;
        }
        let snapshot = snapshot.clone();
        progress.become_snapshot(snapshot.last.index);
        self.events.push(Event::SentSnapshot { to, snapshot: snapshot.last, first_index, commit });
        self.send(to, Body::Snap { snapshot });
        true
    }

    /// Commits what a quorum has on disk, if the last of it is of this term. Says whether anything was.
    #[cfg_attr(published, optimize(speed))]
    fn maybe_commit(&mut self) -> bool {
        let index = self.tracker.committed();
        let is_new = index > self.log.committed
            && (self.log.term(index) == Some(self.term) || self.has(Flaw::CommitsOlderTerms));
        if is_new {
            if self.config.max_uncommitted_size < u64::MAX {
                let size: u64 =
                    self.log.range(self.log.committed + 1, index + 1).map(|entry| entry.payload.size()).sum();
                self.uncommitted_size = self.uncommitted_size.saturating_sub(size);
            }
            self.log.commit_to(index);
        }
        is_new
    }
    fn has_committed_in_term(&self) -> bool {
        self.log.term(self.log.committed) == Some(self.term)
    }

    /// Steps down if it has not heard from a quorum since it last looked.
    pub(super) fn check_quorum(&mut self) {
        let id = self.config.id;
        if !self.tracker.is_quorum_active() {
            self.events.push(Event::QuorumNotActive);
            self.become_follower(self.term, None);
        }
        for (member, progress) in &mut self.tracker.progress {
            progress.recent_active &= *member == id;
        }
    }

    #[cfg_attr(published, optimize(speed))]
    pub(super) fn step_leader(&mut self, message: Message<A>) {
        let from = message.from;
        match message.body {
            // Dropped silently: the proposer behind the follower asks again when it has waited long enough.
            Body::Prop { payloads } => {
                let _ = self.lead_proposal(&payloads);
            }
            Body::ReadIndex { request } => self.lead_read(from, request),
            Body::TransferLeader { transferee } => self.lead_transfer(transferee),
            Body::AppResp { index, rejected: None } => self.acknowledged(from, index),
            Body::AppResp { index, rejected: Some(rejection) } => {
                self.append_rejected(from, index, rejection.hint);
            }
            Body::HeartbeatResp { context } => self.heartbeat_answered(from, context),
            _ => {}
        }
    }

    fn append_rejected(&mut self, from: MemberId, index: u64, hint: EntryId) {
        self.events.push(Event::ReceivedRejection { from, index, hint });
        // No entry of the leader's log with a term above the hint's can agree: skip all of these at once.
        let next = if hint.term > 0 {
            self.log.find_conflict_by_term(hint.index, hint.term).index
        } else {
            hint.index
        };
        let Some(progress) = self.tracker.progress.get_mut(&from) else { return };
        progress.recent_active = true;
        if progress.maybe_decrease_to(index, next) {
            self.events.push(Event::DecreasedProgress { of: from, progress: progress.to_string() });
            if progress.state == ProgressState::Replicate {
                progress.become_probe();
            }
            self.maybe_send_append(from, true);
        }
    }

    fn acknowledged(&mut self, from: MemberId, index: u64) {
        let (id, first_index) = (self.config.id, self.log.first_index());
        let Some(progress) = self.tracker.progress.get_mut(&from) else { return };
        progress.recent_active = true;
        let is_probed = progress.state == ProgressState::Probe && progress.matched == index;
        if !progress.maybe_update(index) && !is_probed {
            return;
        }
        match progress.state {
            ProgressState::Probe => progress.become_replicate(),
            // It can go on from the log, be it thanks to our snapshot or another one.
            ProgressState::Snapshot if progress.matched + 1 >= first_index => {
                progress.become_probe();
                progress.become_replicate();
                self.events.push(Event::ResumedAfterSnapshot { of: from, progress: progress.to_string() });
            }
            ProgressState::Snapshot => {}
            ProgressState::Replicate => progress.inflights.free_up_to(index),
        }
        let can_bump_commit = progress.can_bump_commit(self.log.committed);
        if self.maybe_commit() {
            for read in std::mem::take(&mut self.early_reads) {
                self.confirm_leadership(read);
            }
            self.broadcast_append();
        } else if from != id && can_bump_commit {
            self.maybe_send_append(from, true);
        }
        if from != id {
            while self.maybe_send_append(from, false) {}
        }
        let matched = self.tracker.progress.get(&from).map(|progress| progress.matched);
        if self.transferee == Some(from) && matched == Some(self.log.last_index()) {
            self.events.push(Event::SentTimeoutNow { to: from, immediately: false });
            self.send(from, Body::TimeoutNow);
        }
    }

    fn heartbeat_answered(&mut self, from: MemberId, context: u64) {
        let Some(progress) = self.tracker.progress.get_mut(&from) else { return };
        progress.recent_active = true;
        progress.flow_paused = false;
        // In the probe state an append that says nothing new is how the leader learns where the log ends.
        if progress.matched < self.log.last_index() || progress.state == ProgressState::Probe {
            self.maybe_send_append(from, true);
        }
        if context > 0 {
            self.read_only.acknowledge(from, context);
            for read in self.read_only.take_confirmed(&self.tracker.configuration.voters) {
                self.answer_read(read);
            }
        }
    }

    pub(super) fn lead_read(&mut self, from: MemberId, request: u64) {
        let read = WaitingRead { from, request, index: self.log.committed };
        if self.tracker.is_singleton() {
            self.answer_read(read);
        } else if self.has_committed_in_term() {
            self.confirm_leadership(read);
        } else {
            self.early_reads.push(read);
        }
    }
    fn confirm_leadership(&mut self, read: WaitingRead) {
        self.read_only.add(WaitingRead { index: self.log.committed, ..read });
        self.read_only.acknowledge(self.config.id, self.read_only.context());
        self.broadcast_heartbeat();
    }
    fn answer_read(&mut self, read: WaitingRead) {
        if read.from == self.config.id {
            self.reads.push(ReadState { index: read.index, request: read.request });
        } else {
            self.send(read.from, Body::ReadIndexResp { index: read.index, request: read.request });
        }
    }

    pub(super) fn lead_transfer(&mut self, to: MemberId) {
        let Some(progress) = self.tracker.progress.get(&to) else { return };
        if progress.is_learner {
            self.events.push(Event::TransferToLearner { to });
            return;
        }
        if let Some(previous) = self.transferee {
            if previous == to {
                self.events.push(Event::TransferInProgress { to, term: self.term });
                return;
            }
            self.events.push(Event::TransferAborted { to: previous, term: self.term });
            self.transferee = None;
        }
        if to == self.config.id {
            return;
        }
        let is_up_to_date = progress.matched == self.log.last_index();
        self.events.push(Event::TransferStarted { to, term: self.term });
        // It should be over within one election timeout.
        self.election_elapsed = 0;
        self.transferee = Some(to);
        if is_up_to_date {
            self.events.push(Event::SentTimeoutNow { to, immediately: true });
            self.send(to, Body::TimeoutNow);
        } else {
            self.maybe_send_append(to, true);
        }
    }

    /// A message to `id` could not be delivered: what is under way to it may be lost.
    pub fn report_unreachable(&mut self, id: MemberId) {
        if self.role != Role::Leader {
            return;
        }
        if let Some(progress) = self.tracker.progress.get_mut(&id) {
            if progress.state == ProgressState::Replicate {
                progress.become_probe();
            }
            self.events.push(Event::Unreachable { of: id, progress: progress.to_string() });
        }
    }

    /// The snapshot sent to `id` has arrived, or has not.
    pub fn report_snapshot(&mut self, id: MemberId, arrived: bool) {
        if self.role != Role::Leader {
            return;
        }
        if let Some(progress) = self.tracker.progress.get_mut(&id)
            && progress.state == ProgressState::Snapshot
        {
            if !arrived {
                progress.pending_snapshot = 0;
            }
            progress.become_probe();
            // Before it is tried again, the member should have had time to answer.
            progress.flow_paused = true;
        }
    }

    /// Makes the membership change of a committed entry; called as the entry is applied. The new configuration is
    /// to be kept with the application's state.
    pub fn apply_conf_change(&mut self, change: &ConfChange) -> Configuration {
        let last = self.log.last_index();
        let tracker = &self.tracker;
        if let Ok((configuration, progress)) = tracker.configuration.after(change, &tracker.progress, last) {
            self.tracker.progress = progress;
            self.switch_to(configuration);
        }
        self.tracker.configuration.clone()
    }

    pub(super) fn switch_to(&mut self, configuration: Configuration) {
        self.events.push(Event::SwitchedConfiguration(configuration.clone()));
        self.tracker.configuration = configuration;
        let own = self.tracker.progress.get(&self.config.id);
        self.is_learner = own.is_some_and(|progress| progress.is_learner);
        if self.role != Role::Leader {
            return;
        }
        if own.is_none() || self.is_learner {
            if self.config.step_down_on_removal {
                self.become_follower(self.term, None);
            }
            return;
        }
        // A smaller quorum may have enough already; and new members need not wait for the next heartbeat.
        if self.maybe_commit() {
            self.broadcast_append();
        } else {
            for to in self.others() {
                self.maybe_send_append(to, false);
            }
        }
        if self.transferee.is_some_and(|id| !self.tracker.configuration.voters.contains(id)) {
            self.transferee = None;
        }
    }
}
