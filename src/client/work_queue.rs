//! Keys waiting for a worker: each at most once, never to two workers at a time, failures later and later.
//!
//! Picture to hold in mind: a spike on which order slips are stuck. A slip that is already on the spike is not
//! stuck again; one that a cook holds is put back only when the cook is done; a burnt dish is tried again
//! after 5 ms, 10 ms, 20 ms, up to 1000 s.
//!
//! After client-go's `util/workqueue` (queue, delaying queue, `DefaultTypedControllerRateLimiter`).

use std::collections::VecDeque;

use crate::api::Text;
use crate::shared_map::SharedMap;
use crate::sim::{Duration, RecordId, Time};
use crate::sorted::SortedSet;

#[derive(Clone, Default)]
pub struct WorkQueue {
    ready: VecDeque<Text>,
    /// Keys that need work, and what made them need it.
    dirty: SharedMap<Text, Option<RecordId>>,
    processing: SortedSet<Text>,
    delayed: SharedMap<(Time, Text), Option<RecordId>>,
    delayed_until: SharedMap<Text, Time>,
    failures: SharedMap<Text, u32>,
}

const BASE_DELAY_US: u64 = 5_000;
const MAXIMUM_DELAY_US: u64 = 1_000_000_000;
/// Past this many failures the delay stands at its maximum.
const COUNTED_FAILURES: u32 = 40;

impl WorkQueue {
    pub fn add(&mut self, key: Text, cause: Option<RecordId>) {
        if self.dirty.contains_key(&key) {
            return;
        }
        self.dirty.insert(key.clone(), cause);
        if !self.processing.contains(&key) {
            self.ready.push_back(key);
        }
    }
    /// Adds `key` once `delay` has passed; of two delays the earlier counts.
    pub fn add_after(&mut self, key: Text, delay: Duration, now: Time, cause: Option<RecordId>) {
        if delay == Duration::ZERO {
            return self.add(key, cause);
        }
        let due = now + delay;
        match self.delayed_until.get(&key) {
            Some(earlier) if *earlier <= due => return,
            Some(later) => {
                self.delayed.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.delayed_until.insert(key.clone(), due);
        self.delayed.insert((due, key), cause);
    }
    /// Adds `key` after its back-off, which doubles with each call until [`WorkQueue::forget`].
    pub fn add_rate_limited(&mut self, key: Text, now: Time, cause: Option<RecordId>) {
        let failures = self.failures.entry(&key, || 0);
        let delay_us = (BASE_DELAY_US << *failures).min(MAXIMUM_DELAY_US);
        *failures = (*failures + 1).min(COUNTED_FAILURES);
        self.add_after(key, Duration(delay_us), now, cause);
    }
    pub fn forget(&mut self, key: &str) {
        self.failures.remove(key);
    }
    pub fn requeues(&self, key: &str) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }
    /// Moves what is due to the spike, and says when the next is.
    pub fn advance(&mut self, now: Time) -> Option<Time> {
        while let Some(((due, _), _)) = self.delayed.first() {
            if *due > now {
                return Some(*due);
            }
            let ((_, key), cause) = self.delayed.pop_first()?;
            self.delayed_until.remove(&key);
            self.add(key, cause);
        }
        None
    }
    /// Takes the next key. It must be given back with [`WorkQueue::done`].
    pub fn get(&mut self) -> Option<(Text, Option<RecordId>)> {
        let key = self.ready.pop_front()?;
        let cause = self.dirty.remove(&key).flatten();
        self.processing.insert(key.clone());
        Some((key, cause))
    }
    /// The work on `key` is over; if it was added meanwhile, it is next in line.
    pub fn done(&mut self, key: &str) {
        self.processing.remove(key);
        if self.dirty.contains_key(key) {
            self.ready.push_back(key.into());
        }
    }
    pub fn len(&self) -> usize {
        self.ready.len()
    }
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
    /// Keys on the spike, in order.
    pub fn ready(&self) -> impl Iterator<Item = &Text> {
        self.ready.iter()
    }
    pub fn processing(&self) -> impl Iterator<Item = &Text> {
        self.processing.iter()
    }
    /// Keys that wait for an instant.
    pub fn delayed(&self) -> impl Iterator<Item = (Time, &Text)> {
        self.delayed.keys().map(|(time, key)| (*time, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_added_while_in_work_comes_again_once() {
        let mut queue = WorkQueue::default();
        queue.add("a".into(), None);
        queue.add("a".into(), None);
        assert_eq!(queue.len(), 1);
        let (key, _) = queue.get().unwrap();
        queue.add("a".into(), None);
        queue.add("a".into(), None);
        assert!(queue.get().is_none());
        queue.done(&key);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn back_off_doubles_and_is_forgotten() {
        let mut queue = WorkQueue::default();
        let mut now = Time::ZERO;
        let mut delays = Vec::new();
        for _ in 0..4 {
            queue.add_rate_limited("a".into(), now, None);
            let due = queue.advance(now).unwrap();
            delays.push(due.since(now).as_millis());
            now = due;
            queue.advance(now);
            let (key, _) = queue.get().unwrap();
            queue.done(&key);
        }
        assert_eq!(delays, [5, 10, 20, 40]);
        queue.forget("a");
        queue.add_rate_limited("a".into(), now, None);
        assert_eq!(queue.advance(now).unwrap().since(now).as_millis(), 5);
    }
}
