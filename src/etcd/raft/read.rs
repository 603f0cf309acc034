//! How a leader proves that it still is one before it answers a read (`read_only.go`).
//!
//! Picture to hold in mind: before the leader reads out a line he asks round, "am I still the leader?", and waits
//! until more than half have nodded. One round serves all the questions that came before it began.

use std::collections::VecDeque;

use crate::message::raft::{Joint, MemberId};
use crate::sorted::SortedMap;

/// A read may be answered once `index` is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadState {
    pub index: u64,
    /// The asker's own number.
    pub request: u64,
}

/// A read that waits for a quorum to confirm the leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingRead {
    pub from: MemberId,
    pub request: u64,
    /// The commit index when the read began.
    pub index: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ReadOnly {
    waiting: VecDeque<WaitingRead>,
    /// How many reads have been confirmed: reads are numbered in the order in which they came.
    confirmed: u64,
    acknowledged: SortedMap<MemberId, u64>,
}

impl ReadOnly {
    /// The number of the last read that waits; 0 when none does.
    pub fn context(&self) -> u64 {
        if self.waiting.is_empty() { 0 } else { self.confirmed + self.waiting.len() as u64 }
    }
    pub fn add(&mut self, read: WaitingRead) {
        self.waiting.push_back(read);
    }
    pub fn acknowledge(&mut self, from: MemberId, context: u64) {
        let highest = self.acknowledged.entry(from).or_default();
        *highest = context.max(*highest);
    }
    /// The reads that a quorum has confirmed by now.
    pub fn take_confirmed(&mut self, voters: &Joint) -> Vec<WaitingRead> {
        let reached = voters.reached(|id| self.acknowledged.get(&id).copied().unwrap_or_default());
        let count = reached.saturating_sub(self.confirmed).min(self.waiting.len() as u64);
        self.confirmed += count;
        self.waiting.drain(..count as usize).collect()
    }
}
