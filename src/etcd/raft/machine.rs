//! The step itself: ticks, terms, elections (`raft.go`).
//!
//! Picture to hold in mind: three hats. A follower listens and counts the strokes of the clock since it last heard
//! its leader; after too many it puts on the candidate's hat (first the paper one, of pre-vote, which costs
//! nobody anything) and asks for votes; with a majority it wears the crown, until it hears of a later reign.

use std::fmt;
use std::sync::Arc;

use super::event::{Ballot, Event};
use super::flaw::Flaw;
use super::log::Log;
use super::progress::{InflightLimits, Progress, Tracker};
use super::read::{ReadOnly, ReadState, WaitingRead};
use super::ready::Disk;
use crate::message::raft::{
    Application, Body, ConfChange, Configuration, EntryId, HardState, MemberId, Message, Payload, Snapshot,
};
use crate::sim::Random;
use crate::sorted::SortedMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Role {
    #[default]
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Role::Follower => "StateFollower",
            Role::PreCandidate => "StatePreCandidate",
            Role::Candidate => "StateCandidate",
            Role::Leader => "StateLeader",
        })
    }
}

/// What may be chosen. The defaults are those of etcd's server.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub id: MemberId,
    /// Ticks without a leader after which an election starts; each time drawn from 1x to 2x of it.
    pub election_ticks: u32,
    pub heartbeat_ticks: u32,
    /// Asks before campaigning whether there is a chance, so that a returning member disturbs nobody.
    pub pre_vote: bool,
    /// A leader that does not hear from a quorum steps down; who hears from a leader refuses to vote.
    pub check_quorum: bool,
    /// Bytes of entries in one append.
    pub max_size_per_message: u64,
    pub inflights: InflightLimits,
    /// Bytes of entries that are not committed yet, past which proposals are dropped.
    pub max_uncommitted_size: u64,
    /// A leader that is removed or demoted steps down at once.
    pub step_down_on_removal: bool,
    /// A rule that it breaks, for tests of the laws.
    pub flaw: Option<Flaw>,
}

impl Config {
    pub fn new(id: MemberId) -> Config {
        Config {
            id,
            election_ticks: 10,
            heartbeat_ticks: 1,
            pre_vote: true,
            check_quorum: true,
            max_size_per_message: 512 * 1024,
            inflights: InflightLimits { messages: 512, bytes: 0 },
            max_uncommitted_size: u64::MAX,
            step_down_on_removal: false,
            flaw: None,
        }
    }
}

/// The proposal was not taken: there is no leader, it is handing over, or its log is too far ahead of what is
/// committed. The proposer may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalDropped;

impl fmt::Display for ProposalDropped {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("raft proposal dropped")
    }
}
impl std::error::Error for ProposalDropped {}

/// Why somebody campaigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Campaign {
    PreElection,
    Election,
    /// The leader asked for it.
    Transfer,
}

/// One member. A clone is a checkpoint and costs little; nothing in it is shared with another member but
/// entries, which never change.
#[derive(Clone, Debug)]
pub struct Raft<A: Application> {
    pub(super) config: Config,
    pub(super) term: u64,
    pub(super) vote: Option<MemberId>,
    pub(super) lead: Option<MemberId>,
    pub(super) role: Role,
    pub(super) log: Log<A>,
    pub(super) tracker: Tracker,
    pub(super) is_learner: bool,
    /// Ticks since the election timer was last set back.
    pub(super) election_elapsed: u32,
    pub(super) heartbeat_elapsed: u32,
    /// Where the election timer stands when it rings, this time.
    pub(super) election_timeout: u32,
    pub(super) transferee: Option<MemberId>,
    /// No membership change is taken until this index is applied.
    pub(super) pending_conf_index: u64,
    pub(super) uncommitted_size: u64,
    pub(super) read_only: ReadOnly,
    /// Reads that wait for the first commit of this leader's term.
    pub(super) early_reads: Vec<WaitingRead>,
    pub(super) reads: Vec<ReadState>,
    /// May leave before this member's own disk has written anything: only a leader has such.
    pub(super) messages: Vec<Message<A>>,
    /// May leave once everything so far is on disk.
    pub(super) promises: Vec<Message<A>>,
    pub(super) events: Vec<Event>,
    /// What has been handed to the disk.
    pub(super) written: HardState,
    pub(super) is_writing: bool,
    /// Entries up to here have been handed out to be applied.
    pub(super) applying: u64,
    random: Random,
}

impl<A: Application> Raft<A> {
    /// A member that starts, for the first time or again, from what is on `disk`. The application has everything
    /// up to `applied`, and `configuration` was the membership then.
    pub fn new(
        config: Config,
        disk: &Disk<A>,
        applied: u64,
        configuration: Configuration,
        random: Random,
    ) -> Raft<A> {
        let mut log = disk.log();
        let hard_state = disk.hard_state();
        log.commit_to(hard_state.commit.max(applied));
        log.applied = applied.clamp(log.first_index() - 1, log.committed());
        let progress = configuration.fresh_progress(log.last_index());
        let mut raft = Raft {
            config,
            term: hard_state.term,
            vote: hard_state.vote,
            lead: None,
            role: Role::Follower,
            applying: log.applied(),
            log,
            tracker: Tracker { configuration, progress, votes: SortedMap::new(), limits: config.inflights },
            is_learner: false,
            election_elapsed: 0,
            heartbeat_elapsed: 0,
            election_timeout: 0,
            transferee: None,
            pending_conf_index: 0,
            uncommitted_size: 0,
            read_only: ReadOnly::default(),
            early_reads: Vec::new(),
            reads: Vec::new(),
            messages: Vec::new(),
            promises: Vec::new(),
            events: Vec::new(),
            written: hard_state,
            is_writing: false,
            random,
        };
        if raft.has(Flaw::ForgetsVote) {
            raft.vote = None;
        }
        raft.is_learner = raft.own_progress().is_some_and(|progress| progress.is_learner);
        raft.events.push(Event::SwitchedConfiguration(raft.tracker.configuration.clone()));
        raft.become_follower(hard_state.term, None);
        raft
    }

    pub fn id(&self) -> MemberId {
        self.config.id
    }
    pub fn term(&self) -> u64 {
        self.term
    }
    pub fn lead(&self) -> Option<MemberId> {
        self.lead
    }
    pub fn role(&self) -> Role {
        self.role
    }
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }
    /// Receives the log and has no vote.
    pub fn is_learner(&self) -> bool {
        self.is_learner
    }
    pub fn log(&self) -> &Log<A> {
        &self.log
    }
    pub fn configuration(&self) -> &Configuration {
        &self.tracker.configuration
    }

    /// One stroke of the clock.
    pub fn tick(&mut self) {
        self.election_elapsed += 1;
        if self.role != Role::Leader {
            if self.is_promotable() && self.election_elapsed >= self.election_timeout {
                self.election_elapsed = 0;
                self.campaign();
            }
            return;
        }
        self.heartbeat_elapsed += 1;
        if self.election_elapsed >= self.config.election_ticks {
            self.election_elapsed = 0;
            if self.config.check_quorum {
                self.check_quorum();
            }
            // Who has not taken over by now will not: the leader goes on.
            if self.role == Role::Leader {
                self.transferee = None;
            }
        }
        if self.role == Role::Leader && self.heartbeat_elapsed >= self.config.heartbeat_ticks {
            self.heartbeat_elapsed = 0;
            self.broadcast_heartbeat();
        }
    }

    /// Counts `ticks` strokes at once without ringing: a member that just started need not wait a whole timeout
    /// for a leader that may not exist (etcd's `initial-election-tick-advance`).
    pub fn advance_ticks(&mut self, ticks: u32) {
        if self.role == Role::Follower && self.lead.is_none() {
            let latest = self.election_timeout.saturating_sub(1);
            self.election_elapsed = (self.election_elapsed + ticks).min(latest.max(self.election_elapsed));
        }
    }

    /// The election timer rings: now, whatever it shows.
    pub fn campaign(&mut self) {
        self.hup(if self.config.pre_vote { Campaign::PreElection } else { Campaign::Election });
    }

    /// Asks for an entry with each of `payloads`, here or through the leader.
    ///
    /// # Errors
    /// When there is nobody to take it. Success promises nothing yet: only the applied entry does.
    pub fn propose(&mut self, payloads: impl Into<Arc<[Payload<A>]>>) -> Result<(), ProposalDropped> {
        let payloads = payloads.into();
        match (self.role, self.lead) {
            (Role::Leader, _) => self.lead_proposal(&payloads),
            (Role::Follower, Some(lead)) => {
                self.send_untermed(lead, Body::Prop { payloads });
                Ok(())
            }
            _ => {
                self.events.push(Event::DroppedProposal { term: self.term });
                Err(ProposalDropped)
            }
        }
    }

    /// Asks from which index on a read is up to date. False: there is no leader to ask.
    pub fn read_index(&mut self, request: u64) -> bool {
        match (self.role, self.lead) {
            (Role::Leader, _) => self.lead_read(self.id(), request),
            (Role::Follower, Some(lead)) => self.send_untermed(lead, Body::ReadIndex { request }),
            _ => {
                self.events.push(Event::DroppedRead { term: self.term });
                return false;
            }
        }
        true
    }

    /// Asks that `to` become the leader.
    pub fn transfer_leadership(&mut self, to: MemberId) {
        match (self.role, self.lead) {
            (Role::Leader, _) => self.lead_transfer(to),
            (Role::Follower, Some(lead)) => self.send_untermed(lead, Body::TransferLeader { transferee: to }),
            _ => self.events.push(Event::DroppedTransfer { term: self.term }),
        }
    }

    /// The application has everything up to `index`.
    pub fn applied_to(&mut self, index: u64) {
        self.log.applied = self.log.applied.max(index).min(self.log.committed);
        if self.tracker.configuration.auto_leave
            && self.role == Role::Leader
            && self.log.applied >= self.pending_conf_index
        {
            // Dropped while the leadership is handed over: the next applied entry tries again.
            let _ = self.propose([Payload::ConfChange(Arc::new(ConfChange::default()))]);
        }
    }

    /// The application keeps `snapshot`, of what is applied, in place of the entries before it; the last
    /// `keep` of these stay for members that lag only a little.
    pub fn compact(&mut self, snapshot: Arc<Snapshot<A>>, keep: u64) {
        let index = snapshot.last.index;
        if index <= self.log.applied()
            && self.log.snapshot.as_ref().is_none_or(|old| old.last < snapshot.last)
        {
            self.log.snapshot = Some(snapshot);
            self.log.compact(index.saturating_sub(keep));
        }
    }

    /// Who can be elected: a voter that is not in the middle of receiving a snapshot.
    pub(super) fn is_promotable(&self) -> bool {
        self.log.pending_snapshot.is_none()
            && self.own_progress().is_some_and(|progress| !progress.is_learner)
    }
    fn own_progress(&self) -> Option<&Progress> {
        self.tracker.progress.get(&self.config.id)
    }

    pub(super) fn reset(&mut self, term: u64) {
        if self.term != term {
            self.term = term;
            self.vote = None;
        }
        self.lead = None;
        self.election_elapsed = 0;
        self.heartbeat_elapsed = 0;
        self.election_timeout =
            self.config.election_ticks + self.random.below(u64::from(self.config.election_ticks)) as u32;
        self.transferee = None;
        self.tracker.votes.clear();
        let (id, last) = (self.config.id, self.log.last_index());
        for (member, progress) in &mut self.tracker.progress {
            *progress = Progress::new(last + 1, progress.is_learner);
            if *member == id {
                progress.matched = last;
            }
        }
        self.pending_conf_index = 0;
        self.uncommitted_size = 0;
        self.read_only = ReadOnly::default();
        self.early_reads.clear();
    }

    pub(super) fn become_follower(&mut self, term: u64, lead: Option<MemberId>) {
        self.reset(term);
        self.lead = lead;
        self.role = Role::Follower;
        self.events.push(Event::BecameFollower { term });
    }
    fn become_pre_candidate(&mut self) {
        // Neither term nor vote change: nothing is at stake yet. Nor is the timer set anew.
        self.tracker.votes.clear();
        self.lead = None;
        self.role = Role::PreCandidate;
        self.events.push(Event::BecamePreCandidate { term: self.term });
    }
    fn become_candidate(&mut self) {
        self.reset(self.term + 1);
        self.vote = Some(self.config.id);
        self.role = Role::Candidate;
        self.events.push(Event::BecameCandidate { term: self.term });
    }
    fn become_leader(&mut self) {
        self.reset(self.term);
        let id = self.config.id;
        self.lead = Some(id);
        self.role = Role::Leader;
        if let Some(progress) = self.tracker.progress.get_mut(&id) {
            progress.become_replicate();
            progress.recent_active = true;
        }
        // There may be a membership change in the log; no other is taken until all of it is applied.
        self.pending_conf_index = self.log.last_index();
        self.events.push(Event::BecameLeader { term: self.term });
        // Entries of earlier terms are only committed by committing one of this term.
        self.append([Payload::Empty]);
    }

    pub(super) fn hup(&mut self, campaign: Campaign) {
        if self.role == Role::Leader {
            self.events.push(Event::AlreadyLeader);
        } else if !self.is_promotable() {
            self.events.push(Event::Unpromotable);
        } else if self.log.has_conf_change(self.log.applied + 1, self.log.committed + 1) {
            self.events.push(Event::PendingConfChange { term: self.term });
        } else {
            self.events.push(Event::StartingElection { term: self.term });
            self.request_votes(campaign);
        }
    }

    fn request_votes(&mut self, campaign: Campaign) {
        let is_pre_vote = campaign == Campaign::PreElection;
        let term = if is_pre_vote {
            self.become_pre_candidate();
            self.term + 1
        } else {
            self.become_candidate();
            self.term
        };
        let (id, last) = (self.config.id, self.log.last());
        for to in self.tracker.configuration.voters.members() {
            if to == id {
                // The own vote counts once it is on disk, like everybody's.
                let body = if is_pre_vote {
                    Body::PreVoteResp { rejected: false }
                } else {
                    Body::VoteResp { rejected: false }
                };
                self.promises.push(Message { from: id, to: id, term, body });
                continue;
            }
            self.events.push(Event::SentVoteRequest { to, last, is_pre_vote, term: self.term });
            let body = if is_pre_vote {
                Body::PreVote { last }
            } else {
                Body::Vote { last, transfer: campaign == Campaign::Transfer }
            };
            self.messages.push(Message { from: id, to, term, body });
        }
    }

    /// A vote has come in, for or against.
    pub(super) fn count_vote(&mut self, from: MemberId, granted: bool) {
        use super::quorum::VoteResult;
        let is_pre_vote = self.role == Role::PreCandidate;
        self.events.push(Event::ReceivedVote { from, granted, is_pre_vote, term: self.term });
        self.tracker.record_vote(from, granted);
        let (granted, rejected, result) = self.tracker.tally();
        self.events.push(Event::CountedVotes { granted, rejected, is_pre_vote });
        match result {
            VoteResult::Won if is_pre_vote => self.request_votes(Campaign::Election),
            VoteResult::Won => {
                self.become_leader();
                self.broadcast_append();
            }
            VoteResult::Lost => self.become_follower(self.term, None),
            VoteResult::Pending => {}
        }
    }

    /// Takes in a message of another member. Whatever is to be said to it comes out of [`Raft::ready`].
    #[cfg_attr(published, optimize(speed))]
    pub fn step(&mut self, message: Message<A>) {
        // Late answers of one who was removed meanwhile.
        if message.body.is_response() && !self.tracker.progress.contains_key(&message.from) {
            return;
        }
        if message.term > self.term {
            if !self.meet_higher_term(&message) {
                return;
            }
        } else if message.term != 0 && message.term < self.term && !self.has(Flaw::NoTermCheck) {
            self.meet_lower_term(&message);
            return;
        }
        match message.body {
            Body::PreVote { last } => self.answer_vote(message.from, message.term, last, true),
            Body::Vote { last, .. } => self.answer_vote(message.from, message.term, last, false),
            _ if self.role == Role::Leader => self.step_leader(message),
            _ => self.step_follower(message),
        }
    }

    /// Whether the message is to be heard at all.
    fn meet_higher_term(&mut self, message: &Message<A>) -> bool {
        let vote = match message.body {
            Body::Vote { last, transfer } => Some((last, transfer)),
            Body::PreVote { last } => Some((last, false)),
            _ => None,
        };
        let in_lease = self.config.check_quorum
            && self.lead.is_some()
            && self.election_elapsed < self.config.election_ticks;
        if let Some((last, false)) = vote
            && in_lease
        {
            let ballot = self.ballot(message.from, last, matches!(message.body, Body::PreVote { .. }));
            let remaining_ticks = self.config.election_ticks - self.election_elapsed;
            self.events.push(Event::IgnoredVote { ballot, remaining_ticks });
            return false;
        }
        match message.body {
            // Neither question nor answer of a pre-vote is a claim to that term.
            Body::PreVote { .. } | Body::PreVoteResp { rejected: false } => {}
            _ => {
                self.events.push(Event::HigherTerm {
                    message: message.body.name(),
                    from: message.from,
                    term: self.term,
                    their_term: message.term,
                });
                let is_leader =
                    matches!(message.body, Body::App { .. } | Body::Heartbeat { .. } | Body::Snap { .. });
                self.become_follower(message.term, is_leader.then_some(message.from));
            }
        }
        true
    }

    fn meet_lower_term(&mut self, message: &Message<A>) {
        let is_careful = self.config.check_quorum || self.config.pre_vote;
        match message.body {
            // A member whose term ran ahead while it was cut off is not heard by those in their leader's lease; so
            // it tells the leader, who steps down, and all meet again in a new term.
            Body::Heartbeat { .. } | Body::App { .. } if is_careful => {
                self.send(message.from, Body::AppResp { index: 0, rejected: None });
            }
            // Silence could deadlock members with different terms.
            Body::PreVote { last } => {
                let ballot = self.ballot(message.from, last, true);
                self.events.push(Event::RejectedVote(ballot));
                self.promise(message.from, self.term, Body::PreVoteResp { rejected: true });
            }
            _ => self.events.push(Event::LowerTerm {
                message: message.body.name(),
                from: message.from,
                term: self.term,
                their_term: message.term,
            }),
        }
    }

    fn ballot(&self, candidate: MemberId, candidate_last: EntryId, is_pre_vote: bool) -> Ballot {
        let (last, vote, term) = (self.log.last(), self.vote, self.term);
        Ballot { candidate, candidate_last, last, vote, is_pre_vote, term }
    }

    fn answer_vote(&mut self, candidate: MemberId, term: u64, last: EntryId, is_pre_vote: bool) {
        // A learner may vote: it may have been promoted without knowing yet.
        let can_vote = self.vote == Some(candidate)
            || (self.vote.is_none() && self.lead.is_none())
            || (is_pre_vote && term > self.term)
            || self.has(Flaw::VotesTwice);
        let granted = can_vote && self.log.is_up_to_date(last);
        let ballot = self.ballot(candidate, last, is_pre_vote);
        self.events.push(if granted { Event::CastVote(ballot) } else { Event::RejectedVote(ballot) });
        // A grant is for the term that was asked for; a refusal tells the own one.
        let answer_term = if granted { term } else { self.term };
        let rejected = !granted;
        let body = if is_pre_vote { Body::PreVoteResp { rejected } } else { Body::VoteResp { rejected } };
        self.promise(candidate, answer_term, body);
        if granted && !is_pre_vote {
            self.election_elapsed = 0;
            self.vote = Some(candidate);
        }
    }

    /// Answers that others will rely on wait for the disk; the rest need not.
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn send(&mut self, to: MemberId, body: Body<A>) {
        if matches!(body, Body::AppResp { .. }) {
            self.promise(to, self.term, body);
        } else {
            self.messages.push(Message { from: self.config.id, to, term: self.term, body });
        }
    }
    #[cfg_attr(published, optimize(speed))]
    fn promise(&mut self, to: MemberId, term: u64, body: Body<A>) {
        self.promises.push(Message { from: self.config.id, to, term, body });
    }
    /// For what is passed on to the leader, whichever term it is in.
    pub(super) fn send_untermed(&mut self, to: MemberId, body: Body<A>) {
        self.messages.push(Message { from: self.config.id, to, term: 0, body });
    }
}
