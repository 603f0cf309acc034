//! Who is a member, and how clients change that (etcd's `server/etcdserver/server.go`, `membership/cluster.go`).
//!
//! Picture to hold in mind: the list of members is in the ledger too, so that nobody counts votes by another list
//! than his neighbour. A clerk who reads that he has been struck off puts down his pen.

use std::sync::Arc;

use super::client::Waiting;
use super::{Member, REQUEST_TIMEOUT, Running};
use crate::api::Text;
use crate::etcd::identity::{TOKEN, member_id};
use crate::language::Context;
use crate::message::etcd::{self, Error, Operation, Outcome, Proposal, Proposed};
use crate::message::raft::{ConfChange, ConfChangeKind, MemberId, Payload};
use crate::sim::{Duration, Time};

/// A learner may be promoted once it has this share of the leader's log, in percent (`readyPercentThreshold`).
const READY_PERCENT: u64 = 90;

/// How long a member that has read of its own removal goes on.
const LAST_WORDS: Duration = Duration::from_secs(1);

const PEER_URL_EXISTS: &str = "etcdserver: Peer URLs already exists";
const TOO_MANY_LEARNERS: &str = "etcdserver: too many learner members in cluster";

impl Member {
    pub(super) fn propose_membership(
        &mut self,
        waiting: Waiting,
        operation: &Operation,
        context: &mut Context,
    ) {
        let change = self.membership_change(operation, context);
        match change {
            Ok(mut change) => {
                let number = self.wait(waiting);
                change.proposer = Some((self.me.id, number));
                self.propose(Payload::ConfChange(Arc::new(change)), context);
            }
            Err(error) => self.reply(waiting.client, waiting.id, Err(error), context),
        }
    }

    fn membership_change(&self, operation: &Operation, context: &mut Context) -> Result<ConfChange, Error> {
        let members = &self.backend.members;
        let text = |text: &str| Err(Error::Other(text.into()));
        match operation {
            Operation::MemberAdd { peer_url, is_learner } => {
                if members.values().any(|member| member.peer_url == *peer_url) {
                    return text(PEER_URL_EXISTS);
                }
                if *is_learner && members.values().any(|member| member.is_learner) {
                    return text(TOO_MANY_LEARNERS);
                }
                if !is_learner && !self.can_lose_votes_to(1) {
                    return text("etcdserver: re-configuration failed due to not enough started members");
                }
                let kind = if *is_learner { ConfChangeKind::AddLearnerNode } else { ConfChangeKind::AddNode };
                let added = crate::api::time::unix_us(context.now()).div_euclid(1_000_000).unsigned_abs();
                let id = member_id(&[peer_url], TOKEN, Some(added));
                let context = vec![Text::new(), peer_url.clone()];
                Ok(ConfChange { context, ..ConfChange::single(kind, id) })
            }
            Operation::MemberRemove { member } => {
                let id = MemberId(*member);
                if !members.contains_key(&id) {
                    return Err(Error::MemberNotFound);
                }
                Ok(ConfChange::single(ConfChangeKind::RemoveNode, id))
            }
            Operation::MemberUpdate { member, peer_url } => {
                let id = MemberId(*member);
                if !members.contains_key(&id) {
                    return Err(Error::MemberNotFound);
                }
                if members.values().any(|other| other.id != *member && other.peer_url == *peer_url) {
                    return text(PEER_URL_EXISTS);
                }
                let context = vec![Text::new(), peer_url.clone()];
                Ok(ConfChange { context, ..ConfChange::single(ConfChangeKind::UpdateNode, id) })
            }
            Operation::MemberPromote { member } => {
                let id = MemberId(*member);
                let Some(found) = members.get(&id) else { return Err(Error::MemberNotFound) };
                if !found.is_learner {
                    return text("etcdserver: can only promote a learner member");
                }
                let Some(running) = &self.running else { return Err(Error::NotLeader) };
                let status = running.raft.status();
                let matched =
                    |id| status.progress.iter().find(|peer| peer.id == id).map_or(0, |peer| peer.matched);
                if matched(id) * 100 < matched(self.me.id) * READY_PERCENT {
                    return Err(Error::LearnerNotReady);
                }
                Ok(ConfChange::single(ConfChangeKind::AddNode, id))
            }
            _ => text("etcdserver: not a membership request"),
        }
    }

    /// Whether the members that have started would still be a quorum with `more` voters that have not.
    fn can_lose_votes_to(&self, more: usize) -> bool {
        let voters = self.backend.members.values().filter(|member| !member.is_learner);
        let (mut started, mut all) = (0, more);
        for member in voters {
            all += 1;
            started += usize::from(!member.name.is_empty());
        }
        // A cluster of one may always grow, or it could never become more.
        started > all / 2 || (started == 1 && all == 1 + more)
    }

    /// Why a change has come too late: two members may each have found nothing wrong with one of two additions, and only
    /// the ledger says which was first (`ValidateConfigurationChange`).
    fn conflict(&self, change: &ConfChange) -> Option<&'static str> {
        let members = &self.backend.members;
        change.changes.iter().find_map(|(kind, id)| {
            if !matches!(kind, ConfChangeKind::AddNode | ConfChangeKind::AddLearnerNode)
                || members.contains_key(id)
            {
                return None;
            }
            let url = change.context.get(1);
            if members.values().any(|member| Some(&member.peer_url) == url) {
                return Some(PEER_URL_EXISTS);
            }
            let is_learner = *kind == ConfChangeKind::AddLearnerNode;
            (is_learner && members.values().any(|member| member.is_learner)).then_some(TOO_MANY_LEARNERS)
        })
    }

    /// A member says what it is called once it is started, and the leader which version they all speak.
    pub(super) fn introduce(&mut self, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        if running.raft.lead().is_none() {
            return;
        }
        let (now, me) = (context.now(), &self.me);
        let is_due = |last: Option<Time>| last.is_none_or(|last| now.since(last) >= REQUEST_TIMEOUT);
        let known = self.backend.members.get(&me.id).map(|member| &member.client_url);
        let mut proposals = Vec::new();
        if known.is_some_and(|url| *url != me.client_url) && is_due(running.published) {
            running.published = Some(now);
            let (name, client_url) = (me.name.clone(), me.client_url.clone());
            proposals.push(Proposed::Publish { member: me.id, name, client_url });
        }
        let all_are_named = self.backend.members.values().all(|member| !member.name.is_empty());
        if running.raft.is_leader()
            && self.backend.cluster_version.is_empty()
            && all_are_named
            && is_due(running.version_proposed)
        {
            running.version_proposed = Some(now);
            let minor = self.version.rsplit_once('.').map_or(self.version.as_str(), |(minor, _)| minor);
            proposals.push(Proposed::ClusterVersion(arcstr::format!("{minor}.0")));
        }
        for what in proposals {
            let number = self.number();
            let proposal = Proposal { member: self.me.id, number, size_bytes: 64, what };
            self.propose(Payload::Normal(Arc::new(proposal)), context);
        }
    }

    pub(super) fn change_membership(&mut self, change: &ConfChange, context: &mut Context) {
        if let Some(text) = self.conflict(change) {
            if let Some((member, number)) = change.proposer
                && member == self.me.id
            {
                self.answer(number, Err(Error::Other(text.into())), context);
            }
            return;
        }
        let Some(running) = &mut self.running else { return };
        self.configuration = running.raft.apply_conf_change(change);
        for (kind, id) in &change.changes {
            match kind {
                ConfChangeKind::AddNode | ConfChangeKind::AddLearnerNode => {
                    let is_learner = self.configuration.learners.contains(*id);
                    let text = |place: usize| change.context.get(place).cloned().unwrap_or_default();
                    let member = self.backend.members.entry(*id).or_insert_with(|| etcd::Member {
                        id: id.0,
                        // The founders' names are in their founding entries, but they only count once published.
                        name: Text::new(),
                        peer_url: text(1),
                        client_url: Text::new(),
                        is_learner,
                    });
                    member.is_learner = is_learner;
                }
                ConfChangeKind::RemoveNode => {
                    self.backend.members.remove(id);
                }
                ConfChangeKind::UpdateNode => {
                    if let (Some(member), Some(url)) =
                        (self.backend.members.get_mut(id), change.context.get(1))
                    {
                        member.peer_url = url.clone();
                    }
                }
            }
        }
        self.look_up_peers();
        if let Some((member, number)) = change.proposer
            && member == self.me.id
        {
            let members = self.backend.members.values().cloned().collect();
            self.answer(number, Ok(Outcome::Members(members)), context);
        }
        let is_removed = |(kind, id): &(ConfChangeKind, MemberId)| {
            *kind == ConfChangeKind::RemoveNode && *id == self.me.id
        };
        if change.changes.iter().any(is_removed) && !self.configuration.contains(self.me.id) {
            // The process ends a little later: what it led, others may have to hear from it that it is committed, or two
            // of whom one is gone wait for each other for ever (`stopWithDelay`).
            self.is_removed = true;
            if let Some(running) = &mut self.running {
                running.ends = Some(context.now() + LAST_WORDS);
            }
        }
    }

    /// Hands the leadership over. It is answered when another leads, or when it is too late for that.
    pub(super) fn move_leader(&mut self, waiting: Waiting, target: MemberId, context: &mut Context) {
        let Some(Running { raft, .. }) = &mut self.running else { return };
        let error = if !raft.is_leader() {
            Some(Error::NotLeader)
        } else if !raft.configuration().voters.contains(target) {
            Some(Error::Other("etcdserver: bad leader transferee".into()))
        } else {
            None
        };
        match error {
            Some(error) => self.reply(waiting.client, waiting.id, Err(error), context),
            None => {
                raft.transfer_leadership(target);
                let number = self.wait(waiting);
                if let Some(running) = &mut self.running {
                    running.transfers.push((target, number));
                }
                self.finish_transfers(context);
            }
        }
    }
    /// Answers those who asked for a leader that by now leads.
    pub(super) fn finish_transfers(&mut self, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        let lead = running.raft.lead();
        let done: Vec<_> = running.transfers.extract_if(.., |(target, _)| Some(*target) == lead).collect();
        for (_, number) in done {
            self.answer(number, Ok(Outcome::Done), context);
        }
    }
}
