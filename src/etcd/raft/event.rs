//! What happened inside a member, as data: it tells itself in the words of etcd's log.
//!
//! Picture to hold in mind: the clerk's diary. Nobody acts on it, but who wants to know why there is another
//! leader reads it.

use std::fmt;

use super::machine::Role;
use crate::message::raft::{Configuration, EntryId, MemberId};

/// A request for a vote, as the one who is asked sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    pub candidate: MemberId,
    /// The end of the candidate's log.
    pub candidate_last: EntryId,
    /// The end of the voter's log.
    pub last: EntryId,
    /// Whom the voter has voted for in this term.
    pub vote: Option<MemberId>,
    pub is_pre_vote: bool,
    pub term: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    BecameFollower {
        term: u64,
    },
    BecamePreCandidate {
        term: u64,
    },
    BecameCandidate {
        term: u64,
    },
    BecameLeader {
        term: u64,
    },
    StartingElection {
        term: u64,
    },
    AlreadyLeader,
    Unpromotable,
    PendingConfChange {
        term: u64,
    },
    SentVoteRequest {
        to: MemberId,
        last: EntryId,
        is_pre_vote: bool,
        term: u64,
    },
    ReceivedVote {
        from: MemberId,
        granted: bool,
        is_pre_vote: bool,
        term: u64,
    },
    CountedVotes {
        granted: usize,
        rejected: usize,
        is_pre_vote: bool,
    },
    CastVote(Ballot),
    RejectedVote(Ballot),
    /// The lease of the leader that the voter hears from is not over.
    IgnoredVote {
        ballot: Ballot,
        remaining_ticks: u32,
    },
    HigherTerm {
        message: &'static str,
        from: MemberId,
        term: u64,
        their_term: u64,
    },
    LowerTerm {
        message: &'static str,
        from: MemberId,
        term: u64,
        their_term: u64,
    },
    QuorumNotActive,
    DroppedProposal {
        term: u64,
    },
    DroppedRead {
        term: u64,
    },
    DroppedTransfer {
        term: u64,
    },
    TransferStarted {
        to: MemberId,
        term: u64,
    },
    TransferInProgress {
        to: MemberId,
        term: u64,
    },
    TransferAborted {
        to: MemberId,
        term: u64,
    },
    TransferToLearner {
        to: MemberId,
    },
    SentTimeoutNow {
        to: MemberId,
        immediately: bool,
    },
    ReceivedTimeoutNow {
        from: MemberId,
        term: u64,
        role: Role,
    },
    IgnoredConfChange {
        change: String,
        configuration: Configuration,
        why: String,
    },
    SwitchedConfiguration(Configuration),
    RejectedAppend {
        from: MemberId,
        previous: EntryId,
        our_term: u64,
    },
    ReceivedRejection {
        from: MemberId,
        index: u64,
        hint: EntryId,
    },
    DecreasedProgress {
        of: MemberId,
        progress: String,
    },
    SentSnapshot {
        to: MemberId,
        snapshot: EntryId,
        first_index: u64,
        commit: u64,
    },
    SnapshotNotSent {
        to: MemberId,
    },
    ResumedAfterSnapshot {
        of: MemberId,
        progress: String,
    },
    Unreachable {
        of: MemberId,
        progress: String,
    },
    RestoredSnapshot {
        snapshot: EntryId,
        commit: u64,
    },
    IgnoredSnapshot {
        snapshot: EntryId,
        commit: u64,
    },
}

impl Event {
    /// The role that the member has from now on, and its term.
    pub fn role(&self) -> Option<(Role, u64)> {
        match self {
            Event::BecameFollower { term } => Some((Role::Follower, *term)),
            Event::BecamePreCandidate { term } => Some((Role::PreCandidate, *term)),
            Event::BecameCandidate { term } => Some((Role::Candidate, *term)),
            Event::BecameLeader { term } => Some((Role::Leader, *term)),
            _ => None,
        }
    }
}

fn request(is_pre_vote: bool) -> &'static str {
    if is_pre_vote { "MsgPreVote" } else { "MsgVote" }
}
fn reply(is_pre_vote: bool) -> &'static str {
    if is_pre_vote { "MsgPreVoteResp" } else { "MsgVoteResp" }
}

impl Ballot {
    fn write(&self, formatter: &mut fmt::Formatter, did: &str, preposition: &str) -> fmt::Result {
        write!(formatter, "[logterm: {}, index: {}, vote: ", self.last.term, self.last.index)?;
        match self.vote {
            Some(vote) => write!(formatter, "{vote}")?,
            None => formatter.write_str("0")?,
        }
        write!(
            formatter,
            "] {did} {} {preposition} {} [logterm: {}, index: {}] at term {}",
            request(self.is_pre_vote),
            self.candidate,
            self.candidate_last.term,
            self.candidate_last.index,
            self.term
        )
    }
}

impl fmt::Display for Event {
    #[rustfmt::skip]
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Event::BecameFollower { term } => write!(f, "became follower at term {term}"),
            Event::BecamePreCandidate { term } => write!(f, "became pre-candidate at term {term}"),
            Event::BecameCandidate { term } => write!(f, "became candidate at term {term}"),
            Event::BecameLeader { term } => write!(f, "became leader at term {term}"),
            Event::StartingElection { term } => write!(f, "is starting a new election at term {term}"),
            Event::AlreadyLeader => f.write_str("ignoring MsgHup because already leader"),
            Event::Unpromotable => f.write_str("is unpromotable and can not campaign"),
            Event::PendingConfChange { term } => write!(f, "cannot campaign at term {term} since there are still pending configuration changes to apply"),
            Event::SentVoteRequest { to, last, is_pre_vote, term } => write!(f, "[logterm: {}, index: {}] sent {} request to {to} at term {term}", last.term, last.index, request(*is_pre_vote)),
            Event::ReceivedVote { from, granted, is_pre_vote, term } => write!(f, "received {}{} from {from} at term {term}", reply(*is_pre_vote), if *granted { "" } else { " rejection" }),
            Event::CountedVotes { granted, rejected, is_pre_vote } => write!(f, "has received {granted} {} votes and {rejected} vote rejections", reply(*is_pre_vote)),
            Event::CastVote(ballot) => ballot.write(f, "cast", "for"),
            Event::RejectedVote(ballot) => ballot.write(f, "rejected", "from"),
            Event::IgnoredVote { ballot, remaining_ticks } => {
                ballot.write(f, "ignored", "from")?;
                write!(f, ": lease is not expired (remaining ticks: {remaining_ticks})")
            }
            Event::HigherTerm { message, from, term, their_term } => write!(f, "[term: {term}] received a {message} message with higher term from {from} [term: {their_term}]"),
            Event::LowerTerm { message, from, term, their_term } => write!(f, "[term: {term}] ignored a {message} message with lower term from {from} [term: {their_term}]"),
            Event::QuorumNotActive => f.write_str("stepped down to follower since quorum is not active"),
            Event::DroppedProposal { term } => write!(f, "no leader at term {term}; dropping proposal"),
            Event::DroppedRead { term } => write!(f, "no leader at term {term}; dropping index reading msg"),
            Event::DroppedTransfer { term } => write!(f, "no leader at term {term}; dropping leader transfer msg"),
            Event::TransferStarted { to, term } => write!(f, "[term {term}] starts to transfer leadership to {to}"),
            Event::TransferInProgress { to, term } => write!(f, "[term {term}] transfer leadership to {to} is in progress, ignores request to same node {to}"),
            Event::TransferAborted { to, term } => write!(f, "[term {term}] abort previous transferring leadership to {to}"),
            Event::TransferToLearner { to } => write!(f, "{to} is learner. Ignored transferring leadership"),
            Event::SentTimeoutNow { to, immediately: true } => write!(f, "sends MsgTimeoutNow to {to} immediately as {to} already has up-to-date log"),
            Event::SentTimeoutNow { to, immediately: false } => write!(f, "sent MsgTimeoutNow to {to} after received MsgAppResp"),
            Event::ReceivedTimeoutNow { from, term, role: Role::Follower } => write!(f, "[term {term}] received MsgTimeoutNow from {from} and starts an election to get leadership."),
            Event::ReceivedTimeoutNow { from, term, role } => write!(f, "[term {term} state {role}] ignored MsgTimeoutNow from {from}"),
            Event::IgnoredConfChange { change, configuration, why } => write!(f, "ignoring conf change {change} at config {configuration}: {why}"),
            Event::SwitchedConfiguration(configuration) => write!(f, "switched to configuration {configuration}"),
            Event::RejectedAppend { from, previous, our_term } => write!(f, "[logterm: {our_term}, index: {}] rejected MsgApp [logterm: {}, index: {}] from {from}", previous.index, previous.term, previous.index),
            Event::ReceivedRejection { from, index, hint } => write!(f, "received MsgAppResp(rejected, hint: (index {}, term {})) from {from} for index {index}", hint.index, hint.term),
            Event::DecreasedProgress { of, progress } => write!(f, "decreased progress of {of} to [{progress}]"),
            Event::SentSnapshot { to, snapshot, first_index, commit } => write!(f, "[firstindex: {first_index}, commit: {commit}] sent snapshot[index: {}, term: {}] to {to}", snapshot.index, snapshot.term),
            Event::SnapshotNotSent { to } => write!(f, "ignore sending snapshot to {to} since it is not recently active"),
            Event::ResumedAfterSnapshot { of, progress } => write!(f, "recovered from needing snapshot, resumed sending replication messages to {of} [{progress}]"),
            Event::Unreachable { of, progress } => write!(f, "failed to send message to {of} because it is unreachable [{progress}]"),
            Event::RestoredSnapshot { snapshot, commit } => write!(f, "[commit: {commit}] restored snapshot [index: {}, term: {}]", snapshot.index, snapshot.term),
            Event::IgnoredSnapshot { snapshot, commit } => write!(f, "[commit: {commit}] ignored snapshot [index: {}, term: {}]", snapshot.index, snapshot.term),
        }
    }
}
