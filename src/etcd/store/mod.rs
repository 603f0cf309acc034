//! The store: keys with all their past (etcd's `server/storage/mvcc`).
//!
//! Picture to hold in mind: a ledger and a card catalogue. Every transaction that changes something writes the next
//! numbered line, even a deletion (a tombstone); nothing is ever written over. The catalogue knows for each key on
//! which lines it stands, so one may read today's values, or those of any line that is still there. Compaction
//! tears out the pages up to a line, and leaves of each key what was true then.

mod damage;
mod records;
mod size;
mod versions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::shared_map::{SharedMap, SharedSet};

pub use self::records::Record;
use self::size::stored_bytes;
use self::versions::Key;
pub use self::versions::Version;
use super::chunks::Chunks;
use crate::api::{Text, Value};
use crate::arrange::Arrange;
use crate::message::etcd::{
    Change as Operation, ChangeResult, Compare, Error, KeyValue, Range, RangeResult, Relation, Target, Txn,
    WatchEvent, text_of,
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
    /// What was left at the last checkpoint; 0: there was none since it was granted or renewed.
    pub remaining_seconds: u64,
    /// The keys that go when the lease ends.
    pub keys: SharedSet<Text>,
}

/// Everything that etcd knows at one revision. A clone shares all of it.
#[derive(Clone, Debug)]
pub struct Store {
    revision: u64,
    compacted: u64,
    keys: SharedMap<Text, Key>,
    live_keys: u64,
    /// The changes since the compaction, in order.
    changes: Chunks<Change>,
    leases: SharedMap<i64, Lease>,
    /// What all versions that are kept take, and how many there are.
    bytes: u64,
    versions: u64,
}

impl Default for Store {
    /// An empty store stands at revision 1.
    fn default() -> Store {
        Store {
            revision: 1,
            compacted: 0,
            keys: SharedMap::default(),
            live_keys: 0,
            changes: Chunks::starting_at(0),
            leases: SharedMap::new(),
            bytes: 0,
            versions: 0,
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
    #[cfg_attr(published, optimize(speed))]
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
        // What is sorted otherwise than by key must be seen as a whole before some of it is left out.
        let limit = if range.sort.is_some() { 0 } else { range.limit };
        let lies_in =
            |(low, high): (u64, u64), revision: u64| revision >= low && (high == 0 || revision <= high);
        let mut take = |pair: &Arc<KeyValue>| {
            // The count is of all keys in the range, whatever else was asked for.
            result.count += 1;
            if range.count_only
                || !lies_in(range.create_revisions, pair.create_revision)
                || !lies_in(range.mod_revisions, pair.mod_revision)
            {
            } else if limit > 0 && result.pairs.len() as u64 >= limit {
                result.more = true;
            } else if range.keys_only && range.sort.is_none() {
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
        if let Some(sort) = range.sort {
            result.pairs.arrange_by(|a, b| {
                let order = match sort.by {
                    Target::Key => a.key.cmp(&b.key),
                    Target::Value => text_of(&a.value).cmp(&text_of(&b.value)),
                    by => number(a, by).cmp(&number(b, by)),
                };
                if sort.is_descending { order.reverse() } else { order }
            });
            if range.limit > 0 && result.pairs.len() as u64 > range.limit {
                result.pairs.truncate(range.limit as usize);
                result.more = true;
            }
            if range.keys_only {
                for pair in &mut result.pairs {
                    Arc::make_mut(pair).value = Value::Null;
                }
            }
        }
        Ok(result)
    }

    /// Whether a transaction changes nothing, whatever its comparisons say.
    pub fn is_read_only(txn: &Txn) -> bool {
        txn.success.iter().chain(&txn.failure).all(Operation::is_read)
    }

    /// Carries out a transaction: whether the comparisons held, and what each operation of that branch did.
    ///
    /// # Errors
    /// When an operation is impossible; then nothing has changed.
    #[cfg_attr(published, optimize(speed))]
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
                    ChangeResult::Put { previous: self.put(&mut writer, key, value, *lease) }
                }
                Operation::Update { key, value, lease } => {
                    let old = self.get(key).cloned().ok_or(Error::KeyNotFound)?;
                    let value = value.as_ref().unwrap_or(&old.value);
                    ChangeResult::Put {
                        previous: self.put(&mut writer, key, value, lease.unwrap_or(old.lease)),
                    }
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
            _ => Ok(ChangeResult::Put { previous: None }),
        };
        Ok((succeeded, branch.iter().map(read).collect::<Result<_, _>>()?))
    }

    #[cfg_attr(published, optimize(speed))]
    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision { key, revision } => {
                self.get(key).map_or(0, |pair| pair.mod_revision) == *revision
            }
            Compare::Any { key, target, relation, value } => {
                let pair = self.get(key);
                let order = match target {
                    Target::Key => key.as_str().cmp(&text_of(value)),
                    // A key that does not exist has no value to compare.
                    Target::Value => match pair {
                        Some(pair) => text_of(&pair.value).cmp(&text_of(value)),
                        None => return false,
                    },
                    target => {
                        let given = value.as_integer().unwrap_or_default();
                        pair.map_or(0, |pair| number(pair, *target)).cmp(&given)
                    }
                };
                match relation {
                    Relation::Equal => order.is_eq(),
                    Relation::NotEqual => order.is_ne(),
                    Relation::Less => order.is_lt(),
                    Relation::Greater => order.is_gt(),
                }
            }
        }
    }

    fn check(&self, branch: &[Operation]) -> Result<(), Error> {
        for (index, operation) in branch.iter().enumerate() {
            match operation {
                Operation::Update { key, .. } if self.get(key).is_none() => return Err(Error::KeyNotFound),
                Operation::Put { key, .. } | Operation::Update { key, .. } => {
                    let lease = match operation {
                        Operation::Put { lease, .. } => *lease,
                        Operation::Update { lease, .. } => lease.unwrap_or(0),
                        _ => 0,
                    };
                    if lease != 0 && !self.leases.contains_key(&lease) {
                        return Err(Error::LeaseNotFound);
                    }
                    let is_same = |other: &Operation| match other {
                        Operation::Put { key: other, .. } | Operation::Update { key: other, .. } => {
                            other == key
                        }
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

    #[cfg_attr(published, optimize(speed))]
    fn put(&mut self, writer: &mut Writer, key: &Text, value: &Value, lease: i64) -> Option<Arc<KeyValue>> {
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
        self.versions += 1;
        self.bytes += stored_bytes(&pair);
        self.changes.push(Change { main, sub, current: Some(pair), previous: previous.clone() });
        previous
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
        self.versions += 1;
        self.bytes += size::tombstone_bytes(&pair.key);
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
        self.leases.insert(lease, Lease { ttl_seconds, remaining_seconds: 0, keys: SharedMap::default() });
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
        self.leases.remove(&lease);
        Ok(())
    }
    /// Notes how much of a lease is left; a lease that is gone meanwhile needs no note.
    pub fn checkpoint(&mut self, lease: i64, remaining_seconds: u64) {
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.remaining_seconds = remaining_seconds;
        }
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
            let (bytes, count) = (&mut self.bytes, &mut self.versions);
            let mut forgotten = |version: &Version| {
                *count = count.saturating_sub(1);
                *bytes = bytes.saturating_sub(match version {
                    Version::Put(pair) => stored_bytes(pair),
                    Version::Tombstone { .. } => size::tombstone_bytes(&key),
                });
            };
            if self.keys.get_mut(&key).is_some_and(|versions| !versions.compact(revision, &mut forgotten)) {
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
                    fold(text_of(&pair.value).as_bytes());
                }
            }
        }
        Ok((hash ^ (hash >> 32)) as u32)
    }

    /// What all versions that are kept take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    /// How many versions are kept, tombstones included.
    pub fn versions(&self) -> u64 {
        self.versions
    }
}

fn number(pair: &KeyValue, target: Target) -> i64 {
    match target {
        Target::Version => pair.version as i64,
        Target::CreateRevision => pair.create_revision as i64,
        Target::ModRevision => pair.mod_revision as i64,
        Target::Lease => pair.lease,
        Target::Key | Target::Value => 0,
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
