//! What happened, and because of what.
//!
//! Picture to hold in mind: a ship's log with numbered lines, each naming the line that caused it. Following
//! the numbers back from any line answers *Why?*; the log is derived, so it can be lost and written again.

use std::ops::Range;

use super::actor::{ActorId, Language};
use super::network::Lost;
use super::time::Time;

/// The number of a line: its position in the run, the same on every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub u64);

/// One line of the log.
#[derive(Clone)]
pub struct Record<L: Language> {
    pub time: Time,
    pub cause: Option<RecordId>,
    pub what: What<L>,
}

#[derive(Clone)]
pub enum What<L: Language> {
    /// A message left, and when it arrives (or why it will not).
    Sent {
        from: ActorId,
        to: ActorId,
        arrives: Result<Time, Lost>,
        message: L::Message,
    },
    /// A message that was under way did not arrive after all: line `sent`.
    Undelivered {
        sent: RecordId,
        why: Lost,
    },
    /// A message that was under way arrives at another time than its line says.
    Delayed {
        sent: RecordId,
        arrives: Time,
    },
    Command(L::Command),
    Note {
        actor: ActorId,
        note: L::Note,
    },
    Started(ActorId),
    Stopped(ActorId),
}

/// The lines from `first` on. Older ones may have been let go; a replay writes them again.
#[derive(Clone)]
pub struct Trace<L: Language> {
    first: u64,
    records: std::collections::VecDeque<Record<L>>,
    /// How many lines are kept at most.
    pub capacity: usize,
}

impl<L: Language> Default for Trace<L> {
    fn default() -> Trace<L> {
        Trace { first: 0, records: Default::default(), capacity: 2_000_000 }
    }
}

impl<L: Language> Trace<L> {
    /// Lines past `capacity` are let go a twentieth at a time.
    pub(super) fn push(&mut self, id: RecordId, record: Record<L>) {
        // A replay passes lines that are already written: they are equal, so they are left alone.
        if id.0 < self.first + self.records.len() as u64 {
            return;
        }
        if self.records.is_empty() {
            self.first = id.0;
        }
        self.records.push_back(record);
        if self.records.len() > self.capacity {
            let gone = self.capacity / 20 + 1;
            self.records.drain(..gone);
            self.first += gone as u64;
        }
    }
    /// Forgets the lines from `id` on: the future that a fork leaves.
    pub(super) fn truncate(&mut self, id: RecordId) {
        self.records.truncate(id.0.saturating_sub(self.first) as usize);
    }
    /// Forgets everything; the next line that is pushed becomes the first.
    pub(super) fn clear(&mut self) {
        self.records.clear();
    }
    pub fn get(&self, id: RecordId) -> Option<&Record<L>> {
        self.records.get(id.0.checked_sub(self.first)? as usize)
    }
    /// The numbers of the lines that are kept.
    pub fn range(&self) -> Range<u64> {
        self.first..self.first + self.records.len() as u64
    }
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (RecordId, &Record<L>)> {
        self.records.iter().enumerate().map(|(index, record)| (RecordId(self.first + index as u64), record))
    }
    /// The lines written at `times.start <= time < times.end`, found by binary search.
    pub fn between(&self, times: Range<Time>) -> impl DoubleEndedIterator<Item = (RecordId, &Record<L>)> {
        let start = self.records.partition_point(|record| record.time < times.start);
        let end = self.records.partition_point(|record| record.time < times.end).max(start);
        (start..end).map(|index| (RecordId(self.first + index as u64), &self.records[index]))
    }
    /// The line `id` and what led to it, nearest cause first.
    pub fn causes(&self, id: RecordId) -> impl Iterator<Item = (RecordId, &Record<L>)> {
        let mut next = Some(id);
        std::iter::from_fn(move || {
            let id = next?;
            let record = self.get(id)?;
            next = record.cause;
            Some((id, record))
        })
    }
}
