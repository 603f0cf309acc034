//! What can be seen of a member, as plain data (`status.go`).
//!
//! Picture to hold in mind: a glass wall in front of the clerk. You can read everything and touch nothing.

use super::machine::{Raft, Role};
use super::progress::ProgressState;
use crate::message::raft::{Application, Configuration, MemberId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub id: MemberId,
    pub role: Role,
    pub is_learner: bool,
    pub term: u64,
    pub vote: Option<MemberId>,
    pub lead: Option<MemberId>,
    pub transferee: Option<MemberId>,
    pub first_index: u64,
    pub last_index: u64,
    pub stable: u64,
    pub committed: u64,
    pub applied: u64,
    /// Ticks since the election timer was set back, and where it rings; the leader's checks its quorum.
    pub election_elapsed: u32,
    pub election_timeout: u32,
    pub heartbeat_elapsed: u32,
    pub configuration: Configuration,
    /// The votes of the election that is on, sorted by member.
    pub votes: Vec<(MemberId, bool)>,
    /// What the leader believes about each member, itself included; empty elsewhere.
    pub progress: Vec<PeerProgress>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerProgress {
    pub id: MemberId,
    pub state: ProgressState,
    pub matched: u64,
    pub next: u64,
    pub is_learner: bool,
    pub is_paused: bool,
    pub recent_active: bool,
    pub pending_snapshot: u64,
    pub inflights: usize,
}

impl<A: Application> Raft<A> {
    pub fn status(&self) -> Status {
        let is_leader = self.is_leader();
        let peer = |(id, progress): (&MemberId, &super::progress::Progress)| PeerProgress {
            id: *id,
            state: progress.state,
            matched: progress.matched,
            next: progress.next,
            is_learner: progress.is_learner,
            is_paused: progress.is_paused(),
            recent_active: progress.recent_active,
            pending_snapshot: progress.pending_snapshot,
            inflights: progress.inflights.len(),
        };
        Status {
            id: self.id(),
            role: self.role,
            is_learner: self.is_learner,
            term: self.term,
            vote: self.vote,
            lead: self.lead,
            transferee: self.transferee,
            first_index: self.log.first_index(),
            last_index: self.log.last_index(),
            stable: self.log.stable(),
            committed: self.log.committed(),
            applied: self.log.applied(),
            election_elapsed: self.election_elapsed,
            election_timeout: if is_leader { self.config.election_ticks } else { self.election_timeout },
            heartbeat_elapsed: self.heartbeat_elapsed,
            configuration: self.tracker.configuration.clone(),
            votes: self.tracker.votes.iter().map(|(id, granted)| (*id, *granted)).collect(),
            progress: if is_leader { self.tracker.progress.iter().map(peer).collect() } else { Vec::new() },
        }
    }
}
