//! What happened, and because of what.
//!
//! Picture to hold in mind: a ship's log with numbered lines, each naming the line that caused it. Following
//! the numbers back from any line answers *Why?*; the log is derived, so it can be lost and written again.

use std::collections::VecDeque;
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
    /// The number of the line that led to this one and one more; 0: none did.
    after: u64,
    pub what: What<L>,
}

impl<L: Language> Record<L> {
    pub fn new(time: Time, cause: Option<RecordId>, what: What<L>) -> Record<L> {
        Record { time, after: cause.map_or(0, |RecordId(number)| number + 1), what }
    }
    /// The line that led to this one.
    pub fn cause(&self) -> Option<RecordId> {
        self.after.checked_sub(1).map(RecordId)
    }
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
    Command(Box<L::Command>),
    Note {
        actor: ActorId,
        note: L::Note,
    },
    Started(ActorId),
    Stopped(ActorId),
}

/// Lines on a page. A long log grows page by page: nothing that is written is ever moved.
const PAGE: usize = 1024;

/// The lines from `first` on. Older ones may have been let go; a replay writes them again.
#[derive(Clone)]
pub struct Trace<L: Language> {
    /// The number of the first line that is kept, at the top of the first page.
    first: u64,
    len: usize,
    /// All full but the last.
    pages: VecDeque<Vec<Record<L>>>,
    /// How many lines are kept at least, once there are so many; at most a page more.
    pub capacity: usize,
}

impl<L: Language> Default for Trace<L> {
    fn default() -> Trace<L> {
        Trace { first: 0, len: 0, pages: VecDeque::new(), capacity: 2_000_000 }
    }
}

impl<L: Language> Trace<L> {
    /// Past `capacity` and a page the oldest page is let go.
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn push(&mut self, id: RecordId, record: Record<L>) {
        // A replay passes lines that are already written: they are equal, so they are left alone.
        if id.0 < self.first + self.len as u64 {
            return;
        }
        if self.len == 0 {
            self.first = id.0;
        }
        match self.pages.back_mut().filter(|page| page.len() < PAGE) {
            Some(page) => page.push(record),
            None => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(record);
                self.pages.push_back(page);
            }
        }
        self.len += 1;
        if self.len >= self.capacity + PAGE
            && let Some(page) = self.pages.pop_front()
        {
            self.len -= page.len();
            self.first += page.len() as u64;
        }
    }
    /// Forgets the lines from `id` on: the future that a fork leaves.
    pub(super) fn truncate(&mut self, id: RecordId) {
        let kept = (id.0.saturating_sub(self.first) as usize).min(self.len);
        self.pages.truncate(kept.div_ceil(PAGE));
        if let Some(page) = self.pages.back_mut() {
            page.truncate(kept - (kept - 1) / PAGE * PAGE);
        }
        self.len = kept;
    }
    /// Forgets everything; the next line that is pushed becomes the first.
    pub(super) fn clear(&mut self) {
        self.pages.clear();
        self.len = 0;
    }
    pub fn get(&self, id: RecordId) -> Option<&Record<L>> {
        let place = id.0.checked_sub(self.first)? as usize;
        self.pages.get(place / PAGE)?.get(place % PAGE)
    }
    /// The numbers of the lines that are kept.
    pub fn range(&self) -> Range<u64> {
        self.first..self.first + self.len as u64
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (RecordId, &Record<L>)> {
        self.lines(0, self.len)
    }
    fn lines(&self, start: usize, end: usize) -> impl DoubleEndedIterator<Item = (RecordId, &Record<L>)> {
        (start..end)
            .map(|place| (RecordId(self.first + place as u64), &self.pages[place / PAGE][place % PAGE]))
    }
    /// The lines written at `times.start <= time < times.end`, found by binary search.
    pub fn between(&self, times: Range<Time>) -> impl DoubleEndedIterator<Item = (RecordId, &Record<L>)> {
        let start = self.first_at(times.start);
        self.lines(start, self.first_at(times.end).max(start))
    }
    /// The place of the first line that was not written before `time`; the end if there is none.
    fn first_at(&self, time: Time) -> usize {
        let is_before = |record: &Record<L>| record.time < time;
        let page = self.pages.partition_point(|page| page.last().is_some_and(is_before));
        // Past the last page, which is seldom full.
        self.pages.get(page).map_or(self.len, |lines| page * PAGE + lines.partition_point(is_before))
    }
    /// The line `id` and what led to it, nearest cause first.
    pub fn causes(&self, id: RecordId) -> impl Iterator<Item = (RecordId, &Record<L>)> {
        let mut next = Some(id);
        std::iter::from_fn(move || {
            let id = next?;
            let record = self.get(id)?;
            next = record.cause();
            Some((id, record))
        })
    }
}
