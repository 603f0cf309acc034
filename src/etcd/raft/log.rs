//! The ledger in memory (`log.go`, `log_unstable.go`).
//!
//! Picture to hold in mind: one column of lines and four marks beside it, from the top: everything before the
//! first line is only known as a snapshot; *applied* lines have had their effect; *committed* ones will stay
//! for ever; *stable* ones are on disk. What is below may yet be struck out by another leader.

use std::sync::Arc;

use crate::etcd::chunks::Chunks;
use crate::message::raft::{Application, Entry, EntryId, Payload, Snapshot};

#[derive(Clone, Debug)]
pub struct Log<A: Application> {
    /// The entry before the first one kept: its data is in the snapshot.
    base: EntryId,
    entries: Chunks<Entry<A>>,
    pub(super) committed: u64,
    pub(super) applied: u64,
    /// On disk up to here.
    pub(super) stable: u64,
    /// A snapshot from the leader that is not on disk yet.
    pub(super) pending_snapshot: Option<Arc<Snapshot<A>>>,
    /// The snapshot that stands for what was compacted: sent to members that lag too far behind.
    pub(super) snapshot: Option<Arc<Snapshot<A>>>,
}

impl<A: Application> Log<A> {
    pub fn new() -> Log<A> {
        Log {
            base: EntryId::default(),
            entries: Chunks::starting_at(1),
            committed: 0,
            applied: 0,
            stable: 0,
            pending_snapshot: None,
            snapshot: None,
        }
    }
    /// What a restarted member finds on disk.
    pub(super) fn restored(
        base: EntryId,
        entries: Chunks<Entry<A>>,
        snapshot: Option<Arc<Snapshot<A>>>,
    ) -> Log<A> {
        let stable = entries.end() - 1;
        Log {
            base,
            entries,
            committed: base.index,
            applied: base.index,
            stable,
            pending_snapshot: None,
            snapshot,
        }
    }

    pub fn committed(&self) -> u64 {
        self.committed
    }
    pub fn applied(&self) -> u64 {
        self.applied
    }
    /// The last index that is on this member's disk.
    pub fn stable(&self) -> u64 {
        self.stable
    }
    /// The first entry that is kept.
    pub fn first_index(&self) -> u64 {
        self.entries.start()
    }
    pub fn last_index(&self) -> u64 {
        self.entries.end() - 1
    }
    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.base, Entry::id)
    }
    pub fn get(&self, index: u64) -> Option<&Entry<A>> {
        self.entries.get(index)
    }
    /// The term of the entry at `index`; `None` where it is compacted or not there yet.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.entries.get(index).map(|entry| entry.term)
    }
    /// The entry at `index` with its term; term 0 where that is not known.
    pub fn id_of(&self, index: u64) -> EntryId {
        EntryId { term: self.term(index).unwrap_or_default(), index }
    }
    /// What the snapshot that is kept stands for.
    pub fn snapshot_id(&self) -> EntryId {
        self.snapshot.as_ref().map(|snapshot| snapshot.last).unwrap_or_default()
    }
    pub fn matches(&self, id: EntryId) -> bool {
        self.term(id.index) == Some(id.term)
    }
    /// Whether a log that ends in `last` holds all that this one holds: what a voter asks.
    pub fn is_up_to_date(&self, last: EntryId) -> bool {
        last >= self.last()
    }
    pub fn range(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = &Entry<A>> + Clone {
        self.entries.range(from, to)
    }
    /// The entries at `from..` that fit `max_bytes`, at least one if there is any.
    pub(super) fn slice(&self, from: u64, max_bytes: u64) -> Arc<[Entry<A>]> {
        let mut bytes = 0;
        let fits = |entry: &&Entry<A>| {
            bytes += entry.payload.size();
            bytes <= max_bytes || entry.index == from
        };
        self.entries.range(from, u64::MAX).take_while(fits).cloned().collect()
    }

    /// Adds lines of this member's own reign.
    pub(super) fn append(&mut self, term: u64, payload: Payload<A>) -> u64 {
        let index = self.entries.end();
        self.entries.push(Entry { term, index, payload });
        index
    }
    /// Makes the log go on with `entries` after `previous`, if it holds that: then the last index that agrees.
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn maybe_append(
        &mut self,
        previous: EntryId,
        entries: &[Entry<A>],
        commit: u64,
    ) -> Option<u64> {
        if !self.matches(previous) {
            return None;
        }
        let last = previous.index + entries.len() as u64;
        if let Some(conflict) = entries.iter().position(|entry| !self.matches(entry.id())) {
            let first = entries[conflict].index;
            debug_assert!(first > self.committed, "a committed entry is never overwritten");
            self.entries.truncate(first);
            self.stable = self.stable.min(first - 1);
            entries[conflict..].iter().for_each(|entry| self.entries.push(entry.clone()));
        }
        self.commit_to(commit.min(last));
        Some(last)
    }
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn commit_to(&mut self, index: u64) {
        self.committed = self.committed.max(index.min(self.last_index()));
    }
    /// Where this log may agree with one whose entry at `index` has `term`: the last entry at or before `index`
    /// of that term or an earlier one. Skips whole reigns instead of probing line by line.
    pub(super) fn find_conflict_by_term(&self, index: u64, term: u64) -> EntryId {
        let mut index = index.min(self.last_index());
        loop {
            match self.term(index) {
                Some(ours) if ours > term && index > 0 => index -= 1,
                Some(ours) => return EntryId { term: ours, index },
                None => return EntryId { term: 0, index },
            }
        }
    }
    /// The entries that are not on disk yet.
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn unstable(&self) -> Vec<Entry<A>> {
        self.entries.range(self.stable + 1, u64::MAX).cloned().collect()
    }
    pub(super) fn stable_to(&mut self, last: EntryId) {
        // A later leader may have struck out meanwhile what was being written.
        if last.index > self.stable && self.matches(last) {
            self.stable = last.index;
        }
    }
    /// How far may be applied: committed, and on this member's own disk.
    pub(super) fn appliable(&self) -> u64 {
        if self.pending_snapshot.is_some() { self.applied } else { self.committed.min(self.stable) }
    }
    pub(super) fn has_conf_change(&self, from: u64, to: u64) -> bool {
        self.entries.range(from, to).any(|entry| matches!(entry.payload, Payload::ConfChange(_)))
    }
    /// Replaces everything by what the leader's snapshot stands for.
    pub(super) fn restore(&mut self, snapshot: Arc<Snapshot<A>>) {
        self.base = snapshot.last;
        self.entries = Chunks::starting_at(snapshot.last.index + 1);
        self.committed = snapshot.last.index;
        self.stable = snapshot.last.index;
        self.snapshot = Some(snapshot.clone());
        self.pending_snapshot = Some(snapshot);
    }
    /// Forgets the entries up to `index`.
    pub(super) fn compact(&mut self, index: u64) {
        if let Some(term) = self.term(index)
            && index > self.base.index
        {
            self.entries.forget_before(index + 1);
            self.base = EntryId { term, index };
        }
    }
}

impl<A: Application> Default for Log<A> {
    fn default() -> Log<A> {
        Log::new()
    }
}
