//! The store: keys with all their past (etcd's `server/storage/mvcc`).
//!
//! Picture to hold in mind: a ledger and a card catalogue. Every transaction that changes something writes the next
//! numbered line, even a deletion (a tombstone); nothing is ever written over. The catalogue knows for each key on
//! which lines it stands, so one may read today's values, or those of any line that is still there. Compaction
//! tears out the pages up to a line, and leaves of each key what was true then.

mod versions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use self::versions::Key;
pub use self::versions::Version;
use super::chunks::Chunks;
use super::ordered::Ordered;
use crate::api::{Text, Value};
use crate::message::etcd::{
    Change as Operation, ChangeResult, Compare, Error, KeyValue, Range, RangeResult, Txn, WatchEvent,
};

/// What one operation did: the line of the ledger.
#[derive(Clone, Debug)]
pub struct Change {
    /// The transaction's number.
    pub main: u64,
    /// The operation's number within its transaction.
    pub sub: u32,
    /// `None`: deleted.
    pub current: Option<Arc<KeyValue>>,
    /// What stood there before.
    pub previous: Option<Arc<KeyValue>>,
}

impl Change {
    pub fn key(&self) -> &Text {
        static NONE: Text = arcstr::literal!("");
        self.current.as_ref().or(self.previous.as_ref()).map_or(&NONE, |pair| &pair.key)
    }
    /// As a watcher is told, who wants to know the previous value or does not.
    pub fn event(&self, with_previous: bool) -> WatchEvent {
        WatchEvent {
            key: self.key().clone(),
            mod_revision: self.main,
            current: self.current.clone(),
            previous: if with_previous { self.previous.clone() } else { None },
        }
    }
}

#[derive(Clone, Debug)]
pub struct Lease {
    pub ttl_seconds: u64,
    /// The keys that go when the lease ends.
    pub keys: Ordered<()>,
}

/// Everything that etcd knows at one revision. A clone shares all of it.
#[derive(Clone, Debug)]
pub struct Store {
    revision: u64,
    compacted: u64,
    keys: Ordered<Key>,
    live_keys: u64,
    /// The changes since the compaction, in order.
    changes: Chunks<Change>,
    leases: RedBlackTreeMapSync<i64, Lease>,
}

impl Default for Store {
    /// An empty store stands at revision 1.
    fn default() -> Store {
        Store {
            revision: 1,
            compacted: 0,
            keys: Ordered::default(),
            live_keys: 0,
            changes: Chunks::starting_at(0),
            leases: RedBlackTreeMapSync::new_sync(),
        }
    }
}

/// Whether `key` lies in `start..end`; an empty end means `start` alone, `"\0"` everything from `start` on.
pub fn is_in_range(key: &str, start: &str, end: &str) -> bool {
    match end {
        "" => key == start,
        "\0" => key >= start,
        _ => key >= start && key < end,
    }
}

impl Store {
    pub fn revision(&self) -> u64 {
        self.revision
    }
    /// Reads below this revision are refused.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }
    /// How many keys exist now.
    pub fn live_keys(&self) -> u64 {
        self.live_keys
    }
    /// The present value of `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<KeyValue>> {
        self.keys.get(key)?.latest.pair()
    }
    /// The present pairs whose keys begin with `prefix`, in order.
    pub fn under<'a>(&'a self, prefix: &str) -> impl Iterator<Item = &'a Arc<KeyValue>> + use<'a> {
        let prefix = Text::from(prefix);
        self.keys
            .from(&prefix.clone())
            .take_while(move |(key, _)| key.starts_with(prefix.as_str()))
            .filter_map(|(_, versions)| versions.latest.pair())
    }
    /// Every version of `key` that is still there, the oldest first.
    pub fn history(&self, key: &str) -> Vec<Version> {
        let Some(key) = self.keys.get(key) else { return Vec::new() };
        let older = key.older.iter().flat_map(|older| older.iter().cloned());
        older.chain([key.latest.clone()]).collect()
    }
    /// The keys of a range with how many versions of each are there.
    pub fn keys<'a>(&'a self, start: &'a str, end: &'a str) -> impl Iterator<Item = (&'a Text, usize)> {
        self.keys
            .from(start)
            .take_while(move |(key, _)| is_in_range(key, start, end))
            .map(|(key, versions)| (key, 1 + versions.older.as_ref().map_or(0, |older| older.len())))
    }

    /// # Errors
    /// When the revision asked for is compacted or yet to come.
    pub fn range(&self, range: &Range) -> Result<RangeResult, Error> {
        if range.revision > self.revision {
            return Err(Error::FutureRevision);
        }
        if range.revision > 0 && range.revision < self.compacted {
            return Err(Error::Compacted { revision: self.compacted });
        }
        let revision = if range.revision == 0 { self.revision } else { range.revision };
        let mut result = RangeResult::default();
        let mut take = |pair: &Arc<KeyValue>| {
            result.count += 1;
            if range.count_only {
            } else if range.limit > 0 && result.pairs.len() as u64 >= range.limit {
                result.more = true;
            } else if range.keys_only {
                result.pairs.push(Arc::new(KeyValue { value: Value::Null, ..KeyValue::clone(pair) }));
            } else {
                result.pairs.push(pair.clone());
            }
        };
        if range.range_end.is_empty() {
            self.keys.get(&range.key).and_then(|key| key.at(revision)).map(&mut take);
        } else {
            for (key, versions) in self.keys.from(&range.key) {
                if !is_in_range(key, &range.key, &range.range_end) {
                    break;
                }
                versions.at(revision).map(&mut take);
            }
        }
        Ok(result)
    }

    /// Whether a transaction changes nothing, whatever its comparisons say.
    pub fn is_read_only(txn: &Txn) -> bool {
        txn.success.iter().chain(&txn.failure).all(|operation| matches!(operation, Operation::Range(_)))
    }

    /// Carries out a transaction: whether the comparisons held, and what each operation of that branch did.
    ///
    /// # Errors
    /// When an operation is impossible; then nothing has changed.
    pub fn txn(&mut self, txn: &Txn) -> Result<(bool, Vec<ChangeResult>), Error> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        self.check(branch)?;
        let mut writer = Writer { main: self.revision + 1, sub: 0 };
        let mut results = Vec::with_capacity(branch.len());
        for operation in branch {
            results.push(match operation {
                Operation::Range(range) => ChangeResult::Range(self.range(range)?),
                Operation::Put { key, value, lease } => {
                    self.put(&mut writer, key, value, *lease);
                    ChangeResult::Put
                }
                Operation::Delete { key, range_end } => {
                    let previous = self.delete_range(&mut writer, key, range_end);
                    ChangeResult::Delete { deleted: previous.len() as u64, previous }
                }
            });
        }
        self.finish(writer);
        Ok((succeeded, results))
    }

    /// A transaction that only reads, at the present revision.
    ///
    /// # Errors
    /// As [`Store::range`].
    pub fn read_txn(&self, txn: &Txn) -> Result<(bool, Vec<ChangeResult>), Error> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let read = |operation: &Operation| match operation {
            Operation::Range(range) => self.range(range).map(ChangeResult::Range),
            Operation::Put { .. } | Operation::Delete { .. } => Ok(ChangeResult::Put),
        };
        Ok((succeeded, branch.iter().map(read).collect::<Result<_, _>>()?))
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision { key, revision } => {
                self.get(key).map_or(0, |pair| pair.mod_revision) == *revision
            }
            Compare::CreateRevision { key, revision } => {
                self.get(key).map_or(0, |pair| pair.create_revision) == *revision
            }
            Compare::Version { key, version } => self.get(key).map_or(0, |pair| pair.version) == *version,
            // A key that does not exist equals no value.
            Compare::Value { key, value } => self.get(key).is_some_and(|pair| pair.value == *value),
        }
    }

    fn check(&self, branch: &[Operation]) -> Result<(), Error> {
        for (index, operation) in branch.iter().enumerate() {
            match operation {
                Operation::Put { key, lease, .. } => {
                    if *lease != 0 && !self.leases.contains_key(lease) {
                        return Err(Error::LeaseNotFound);
                    }
                    let is_same = |other: &Operation| match other {
                        Operation::Put { key: other, .. } => other == key,
                        Operation::Delete { key: start, range_end } => is_in_range(key, start, range_end),
                        Operation::Range(_) => false,
                    };
                    // The order within a transaction must not matter.
                    if branch.len() > 1
                        && branch.iter().enumerate().any(|(place, other)| place != index && is_same(other))
                    {
                        return Err(Error::DuplicateKey);
                    }
                }
                Operation::Range(range) if range.revision > self.revision => {
                    return Err(Error::FutureRevision);
                }
                Operation::Range(range) if range.revision > 0 && range.revision < self.compacted => {
                    return Err(Error::Compacted { revision: self.compacted });
                }
                Operation::Range(_) | Operation::Delete { .. } => {}
            }
        }
        Ok(())
    }

    fn put(&mut self, writer: &mut Writer, key: &Text, value: &Value, lease: i64) {
        let versions = self.keys.entry(key, Key::unwritten);
        let previous = versions.latest.pair().cloned();
        let (main, sub) = writer.next();
        let pair = Arc::new(match &previous {
            Some(before) => KeyValue {
                // The same text for all versions of a key.
                key: before.key.clone(),
                value: value.clone(),
                create_revision: before.create_revision,
                mod_revision: main,
                version: before.version + 1,
                lease,
            },
            None => KeyValue {
                key: key.clone(),
                value: value.clone(),
                create_revision: main,
                mod_revision: main,
                version: 1,
                lease,
            },
        });
        versions.write(Version::Put(pair.clone()));
        let old_lease = previous.as_ref().map_or(0, |before| before.lease);
        if old_lease != lease {
            self.detach(key, old_lease);
            if let Some(lease) = self.leases.get_mut(&lease) {
                lease.keys.entry(&pair.key, || ());
            }
        }
        self.live_keys += u64::from(previous.is_none());
        self.changes.push(Change { main, sub, current: Some(pair), previous });
    }

    fn delete_range(&mut self, writer: &mut Writer, start: &Text, end: &Text) -> Vec<Arc<KeyValue>> {
        let range = Range { key: start.clone(), range_end: end.clone(), ..Range::default() };
        // Deleted in the order of the keys, as etcd does.
        let doomed = self.range(&range).map(|result| result.pairs).unwrap_or_default();
        doomed.iter().for_each(|pair| self.delete(writer, pair));
        doomed
    }

    fn delete(&mut self, writer: &mut Writer, pair: &Arc<KeyValue>) {
        let (main, sub) = writer.next();
        if let Some(versions) = self.keys.get_mut(&pair.key) {
            versions.write(Version::Tombstone { revision: main });
        }
        self.detach(&pair.key, pair.lease);
        self.live_keys -= 1;
        self.changes.push(Change { main, sub, current: None, previous: Some(pair.clone()) });
    }

    fn detach(&mut self, key: &str, lease: i64) {
        if lease != 0
            && let Some(lease) = self.leases.get_mut(&lease)
        {
            lease.keys.remove(key);
        }
    }

    /// A transaction that changed nothing gets no number.
    fn finish(&mut self, writer: Writer) {
        if writer.sub > 0 {
            self.revision = writer.main;
        }
    }

    /// # Errors
    /// When there is such a lease already.
    pub fn grant(&mut self, lease: i64, ttl_seconds: u64) -> Result<(), Error> {
        if self.leases.contains_key(&lease) {
            return Err(Error::LeaseExists);
        }
        self.leases.insert_mut(lease, Lease { ttl_seconds, keys: Ordered::default() });
        Ok(())
    }
    /// Ends a lease and deletes its keys, all in one revision.
    ///
    /// # Errors
    /// When there is no such lease.
    pub fn revoke(&mut self, lease: i64) -> Result<(), Error> {
        let keys = self.leases.get(&lease).ok_or(Error::LeaseNotFound)?.keys.clone();
        let mut writer = Writer { main: self.revision + 1, sub: 0 };
        for (key, ()) in keys.iter() {
            if let Some(pair) = self.get(key).cloned() {
                self.delete(&mut writer, &pair);
            }
        }
        self.finish(writer);
        self.leases.remove_mut(&lease);
        Ok(())
    }
    pub fn lease(&self, lease: i64) -> Option<&Lease> {
        self.leases.get(&lease)
    }
    pub fn leases(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }

    /// Forgets what was no longer true at `revision`.
    ///
    /// # Errors
    /// When that is compacted already or yet to come.
    pub fn compact(&mut self, revision: u64) -> Result<(), Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted { revision: self.compacted });
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        let end = self.changes.partition_point(|change| change.main <= revision);
        // Only keys that were changed since the last compaction have anything to forget.
        let changed: Vec<Text> =
            self.changes.range(self.changes.start(), end).map(|change| change.key().clone()).collect();
        for key in changed {
            if self.keys.get_mut(&key).is_some_and(|versions| !versions.compact(revision)) {
                self.keys.remove(&key);
            }
        }
        // A watch may still begin at the compacted revision itself.
        let first = self.changes.partition_point(|change| change.main < revision);
        self.changes.forget_before(first);
        Ok(())
    }

    /// The changes from revision `from` on.
    ///
    /// # Errors
    /// When that is compacted.
    pub fn changes_from(&self, from: u64) -> Result<impl Iterator<Item = &Change> + Clone, Error> {
        if from < self.compacted {
            return Err(Error::Compacted { revision: self.compacted });
        }
        let first = self.changes.partition_point(|change| change.main < from);
        Ok(self.changes.range(first, u64::MAX))
    }

    /// A number that is equal on members that hold the same at `revision` (0: now) (`HashKV`). Reads everything.
    ///
    /// # Errors
    /// As [`Store::range`].
    pub fn hash(&self, revision: u64) -> Result<u32, Error> {
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        if revision > 0 && revision < self.compacted {
            return Err(Error::Compacted { revision: self.compacted });
        }
        let revision = if revision == 0 { self.revision } else { revision };
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut fold = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for (key, versions) in self.keys.iter() {
            let older = versions.older.iter().flat_map(|older| older.iter());
            for version in older.chain([&versions.latest]).filter(|version| version.revision() <= revision) {
                fold(key.as_bytes());
                fold(&version.revision().to_le_bytes());
                if let Version::Put(pair) = version {
                    fold(&pair.version.to_le_bytes());
                    fold(&pair.lease.to_le_bytes());
                    fold(pair.value.to_string().as_bytes());
                }
            }
        }
        Ok((hash ^ (hash >> 32)) as u32)
    }

    /// What all versions take on disk, roughly. Reads everything.
    pub fn size_bytes(&self) -> u64 {
        // A bucket's page and a revision's key and value headers, as bbolt lays them out.
        const EMPTY: u64 = 20 * 1024;
        const OVERHEAD: u64 = 64;
        let versions = self.keys.iter().flat_map(|(_, versions)| {
            versions.older.iter().flat_map(|older| older.iter()).chain([&versions.latest])
        });
        let size = |version: &Version| match version {
            Version::Put(pair) => OVERHEAD + pair.key.len() as u64 + pair.value.to_string().len() as u64,
            Version::Tombstone { .. } => OVERHEAD,
        };
        EMPTY + versions.map(size).sum::<u64>()
    }
}

/// The numbers that a transaction gives out.
struct Writer {
    main: u64,
    sub: u32,
}

impl Writer {
    fn next(&mut self) -> (u64, u32) {
        self.sub += 1;
        (self.main, self.sub - 1)
    }
}
