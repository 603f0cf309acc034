//! What the leader believes about another member's log (`tracker/`).
//!
//! Picture to hold in mind: two bookmarks in the other's ledger. Up to `matched` the leader knows that it equals
//! his own; `next` is the first line to send. While unsure he sends one page and waits (probe); once sure he
//! sends page after page without waiting (replicate), but not more pages than fit the desk (inflights); and
//! if the lines that are missing are no longer kept, he sends a copy of the whole result (snapshot).

use std::collections::VecDeque;
use std::fmt;

use super::quorum::VoteResult;
use crate::message::raft::{Configuration, MemberId};
use crate::sorted::SortedMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressState {
    #[default]
    Probe,
    Replicate,
    Snapshot,
}

impl fmt::Display for ProgressState {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            ProgressState::Probe => "StateProbe",
            ProgressState::Replicate => "StateReplicate",
            ProgressState::Snapshot => "StateSnapshot",
        })
    }
}

/// Append messages that are under way: the last index and the bytes of each.
#[derive(Clone, Debug, Default)]
pub struct Inflights {
    messages: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl Inflights {
    pub fn len(&self) -> usize {
        self.messages.len()
    }
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
    fn add(&mut self, last: u64, bytes: u64) {
        self.messages.push_back((last, bytes));
        self.bytes += bytes;
    }
    /// Forgets the messages whose last index is at most `index`.
    pub fn free_up_to(&mut self, index: u64) {
        while let Some((_, bytes)) = self.messages.pop_front_if(|(last, _)| *last <= index) {
            self.bytes -= bytes;
        }
    }
    fn is_full(&self, limits: InflightLimits) -> bool {
        self.messages.len() >= limits.messages || (limits.bytes > 0 && self.bytes >= limits.bytes)
    }
    fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}

/// How much may be under way to one follower.
#[derive(Clone, Copy, Debug)]
pub struct InflightLimits {
    pub messages: usize,
    /// 0: no limit.
    pub bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The last index that is known to be on the member's disk.
    pub matched: u64,
    /// The next index to send; always above `matched`.
    pub next: u64,
    /// The highest commit index in a message that is under way.
    pub(super) sent_commit: u64,
    pub state: ProgressState,
    /// The index of the snapshot that is under way; 0: none.
    pub pending_snapshot: u64,
    /// Heard from since the quorum was last checked.
    pub recent_active: bool,
    pub flow_paused: bool,
    pub inflights: Inflights,
    pub is_learner: bool,
}

impl Progress {
    /// What a new leader, or a leader with a new member, believes.
    pub fn new(next: u64, is_learner: bool) -> Progress {
        Progress { next, is_learner, ..Progress::default() }
    }
    fn reset(&mut self, state: ProgressState) {
        self.flow_paused = false;
        self.pending_snapshot = 0;
        self.state = state;
        self.inflights.clear();
    }
    pub fn become_probe(&mut self) {
        // After a snapshot, the next to send is what follows it, if it arrived.
        let pending = if self.state == ProgressState::Snapshot { self.pending_snapshot } else { 0 };
        self.reset(ProgressState::Probe);
        self.next = self.matched.max(pending) + 1;
        self.sent_commit = self.sent_commit.min(self.next - 1);
    }
    pub fn become_replicate(&mut self) {
        self.reset(ProgressState::Replicate);
        self.next = self.matched + 1;
    }
    pub fn become_snapshot(&mut self, index: u64) {
        self.reset(ProgressState::Snapshot);
        self.pending_snapshot = index;
        self.next = index + 1;
        self.sent_commit = index;
    }
    /// Takes note that an append with `entries` entries left.
    pub fn sent_entries(&mut self, entries: u64, bytes: u64, limits: InflightLimits) {
        match self.state {
            ProgressState::Replicate => {
                if entries > 0 {
                    self.next += entries;
                    self.inflights.add(self.next - 1, bytes);
                }
                // If this overflows the window, only the next heartbeat's answer sends more.
                self.flow_paused = self.inflights.is_full(limits);
            }
            // One page at a time, until it is answered or a heartbeat is.
            ProgressState::Probe => self.flow_paused |= entries > 0,
            ProgressState::Snapshot => {}
        }
    }
    pub fn sent_commit(&mut self, commit: u64) {
        self.sent_commit = commit;
    }
    /// Whether telling the member that `commit` is committed may move its own commit index.
    pub fn can_bump_commit(&self, commit: u64) -> bool {
        commit > self.sent_commit && self.sent_commit < self.next - 1
    }
    pub fn is_full(&self, limits: InflightLimits) -> bool {
        self.inflights.is_full(limits)
    }
    /// The member has all up to `index`. False if that is old news.
    pub fn maybe_update(&mut self, index: u64) -> bool {
        if index <= self.matched {
            return false;
        }
        self.matched = index;
        self.next = self.next.max(index + 1);
        self.flow_paused = false;
        true
    }
    /// The member refused what follows `rejected` and hints where to look. False if that is old news.
    pub fn maybe_decrease_to(&mut self, rejected: u64, hint: u64) -> bool {
        if self.state == ProgressState::Replicate {
            if rejected <= self.matched {
                return false;
            }
            self.next = self.matched + 1;
        } else {
            if self.next - 1 != rejected {
                return false;
            }
            self.next = rejected.min(hint + 1).max(self.matched + 1);
            self.flow_paused = false;
        }
        self.sent_commit = self.sent_commit.min(self.next - 1);
        true
    }
    pub fn is_paused(&self) -> bool {
        self.state == ProgressState::Snapshot || self.flow_paused
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{} match={} next={}", self.state, self.matched, self.next)?;
        if self.is_learner {
            formatter.write_str(" learner")?;
        }
        if self.is_paused() {
            formatter.write_str(" paused")?;
        }
        if self.pending_snapshot > 0 {
            write!(formatter, " pendingSnap={}", self.pending_snapshot)?;
        }
        if !self.recent_active {
            formatter.write_str(" inactive")?;
        }
        if !self.inflights.is_empty() {
            write!(formatter, " inflight={}", self.inflights.len())?;
        }
        Ok(())
    }
}

/// The membership, what is known of each member, and the votes of the election that is on.
#[derive(Clone, Debug)]
pub struct Tracker {
    pub configuration: Configuration,
    pub progress: SortedMap<MemberId, Progress>,
    pub votes: SortedMap<MemberId, bool>,
    pub limits: InflightLimits,
}

impl Tracker {
    /// Whether this member decides alone.
    pub fn is_singleton(&self) -> bool {
        self.configuration.voters.incoming.len() == 1 && !self.configuration.voters.is_joint()
    }
    /// What a quorum has on disk.
    pub fn committed(&self) -> u64 {
        let matched = |id| self.progress.get(&id).map_or(0, |progress| progress.matched);
        self.configuration.voters.reached(matched)
    }
    pub fn is_quorum_active(&self) -> bool {
        let active = |id| self.progress.get(&id).is_some_and(|progress| progress.recent_active);
        self.configuration.voters.tally(|id| Some(active(id))) == VoteResult::Won
    }
    /// Of several answers of one member the first counts.
    pub fn record_vote(&mut self, id: MemberId, granted: bool) {
        self.votes.entry(id).or_insert(granted);
    }
    /// Votes for, votes against, and how it stands.
    pub fn tally(&self) -> (usize, usize, VoteResult) {
        let count = |wanted| {
            let counts = |id: &MemberId| {
                self.votes.get(id) == Some(&wanted)
                    && self.progress.get(id).is_some_and(|progress| !progress.is_learner)
            };
            self.progress.keys().filter(|id| counts(id)).count()
        };
        let result = self.configuration.voters.tally(|id| self.votes.get(&id).copied());
        (count(true), count(false), result)
    }
}
