//! The store: keys with all their past (etcd's `server/storage/mvcc`).
//!
//! Picture to hold in mind: a ledger and a card catalogue. Every transaction that changes something writes the next
//! numbered line, even a deletion (a tombstone); nothing is ever written over. The catalogue knows for each key on
//! which lines it stands, so one may read today's values, or those of any line that is still there. Compaction
//! tears out the pages up to a line, and leaves of each key what was true then.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

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

/// A key at one line.
#[derive(Clone, Debug)]
pub enum Version {
    Put(Arc<KeyValue>),
    Tombstone { revision: u64 },
}

impl Version {
    pub fn revision(&self) -> u64 {
        match self {
            Version::Put(pair) => pair.mod_revision,
            Version::Tombstone { revision } => *revision,
        }
    }
    fn pair(&self) -> Option<&Arc<KeyValue>> {
        if let Version::Put(pair) = self { Some(pair) } else { None }
    }
}

/// All versions of a key. Most keys have one, so the list of older ones is apart.
#[derive(Clone, Debug)]
struct Key {
    latest: Version,
    older: Option<Arc<Vec<Version>>>,
}

impl Key {
    /// Before its first line.
    fn unwritten() -> Key {
        Key { latest: Version::Tombstone { revision: 0 }, older: None }
    }
    fn write(&mut self, version: Version) {
        let before = std::mem::replace(&mut self.latest, version);
        if before.revision() > 0 {
            Arc::make_mut(self.older.get_or_insert_default()).push(before);
        }
    }
    fn at(&self, revision: u64) -> Option<&Arc<KeyValue>> {
        if self.latest.revision() <= revision {
            return self.latest.pair();
        }
        let older = self.older.as_ref()?;
        let count = older.partition_point(|version| version.revision() <= revision);
        older.get(count.checked_sub(1)?)?.pair()
    }
    /// Forgets what was no longer true at `revision`. False: nothing is left.
    fn compact(&mut self, revision: u64) -> bool {
        if self.latest.revision() <= revision {
            self.older = None;
            return matches!(self.latest, Version::Put(_));
        }
        if let Some(older) = &mut self.older {
            let count = older.partition_point(|version| version.revision() <= revision);
            // Of those that are compacted the last is still true, unless it is a tombstone.
            let true_then = count.checked_sub(1).and_then(|last| older.get(last));
            let gone = count - usize::from(true_then.is_some_and(|version| version.pair().is_some()));
            if gone == older.len() {
                self.older = None;
            } else if gone > 0 {
                Arc::make_mut(older).drain(..gone);
            }
        }
        true
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn put(key: &str, value: i64) -> Operation {
        Operation::Put { key: key.into(), value: value.into(), lease: 0 }
    }
    fn delete(key: &str) -> Operation {
        Operation::Delete { key: key.into(), range_end: Text::new() }
    }
    fn of(operations: Vec<Operation>) -> Txn {
        Txn { success: operations, ..Txn::default() }
    }
    fn prefix(key: &str, revision: u64) -> Range {
        Range { key: key.into(), range_end: format!("{key}~").into(), revision, ..Range::default() }
    }
    /// `key=value@mod/version`, separated by spaces.
    fn print(store: &Store, revision: u64) -> String {
        match store.range(&prefix("", revision)) {
            Ok(result) => {
                let print = |pair: &Arc<KeyValue>| {
                    format!("{}={}@{}/{}", pair.key, pair.value, pair.mod_revision, pair.version)
                };
                result.pairs.iter().map(print).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    fn example() -> Store {
        let mut store = Store::default();
        for txn in [
            of(vec![put("a", 1)]),
            of(vec![put("a", 2), put("b", 3)]),
            of(vec![delete("a")]),
            of(vec![delete("nothing")]),
            of(vec![put("a", 4)]),
        ] {
            store.txn(&txn).expect("possible");
        }
        store
    }

    #[test]
    fn every_revision_can_be_read_until_it_is_compacted() {
        let mut store = example();
        let check = |store: &Store, expected: [&str; 6]| {
            for (revision, expected) in (1..).zip(expected) {
                assert_eq!(print(store, revision), expected, "at revision {revision}");
            }
        };
        let (gone, future) = (
            "etcdserver: mvcc: required revision has been compacted",
            "etcdserver: mvcc: required revision is a future revision",
        );
        check(&store, ["", "a=1@2/1", "a=2@3/2 b=3@3/1", "b=3@3/1", "a=4@5/1 b=3@3/1", future]);
        let copy = store.clone();
        assert_eq!(store.compact(3), Ok(()));
        check(&store, [gone, gone, "a=2@3/2 b=3@3/1", "b=3@3/1", "a=4@5/1 b=3@3/1", future]);
        assert_eq!(store.compact(4), Ok(()));
        check(&store, [gone, gone, gone, "b=3@3/1", "a=4@5/1 b=3@3/1", future]);
        assert_eq!(store.compact(4), Err(Error::Compacted { revision: 4 }));
        assert_eq!(store.compact(6), Err(Error::FutureRevision));
        assert_eq!(store.history("a").len(), 1);
        // A checkpoint keeps what it knew.
        check(&copy, ["", "a=1@2/1", "a=2@3/2 b=3@3/1", "b=3@3/1", "a=4@5/1 b=3@3/1", future]);
        assert_eq!(print(&store, 0), "a=4@5/1 b=3@3/1");
        assert_eq!(store.live_keys(), 2);
    }

    #[test]
    fn a_transaction_takes_one_branch_and_one_revision() {
        let compare = |revision| Compare::ModRevision { key: "a".into(), revision };
        let cases = [
            (vec![compare(5)], Ok(true), "a=9@6/2 b=3@3/1", 6),
            (vec![compare(4)], Ok(false), "a=4@5/1", 6),
            (vec![compare(5), Compare::Version { key: "b".into(), version: 2 }], Ok(false), "a=4@5/1", 6),
            (vec![Compare::CreateRevision { key: "z".into(), revision: 0 }], Ok(true), "a=9@6/2 b=3@3/1", 6),
            (vec![Compare::Value { key: "z".into(), value: Value::Null }], Ok(false), "a=4@5/1", 6),
        ];
        for (compare, expected, printed, revision) in cases {
            let mut store = example();
            let txn = Txn { compare, success: vec![put("a", 9)], failure: vec![delete("b")] };
            assert_eq!(store.txn(&txn).map(|(succeeded, _)| succeeded), expected);
            assert_eq!((print(&store, 0).as_str(), store.revision()), (printed, revision));
        }
    }

    #[test]
    fn what_is_impossible_changes_nothing() {
        let lease = |lease| Operation::Put { key: "x".into(), value: Value::Null, lease };
        let read = |revision| Operation::Range(prefix("", revision));
        for (operations, expected) in [
            (vec![put("a", 1), put("a", 2)], Error::DuplicateKey),
            (vec![put("a", 1), delete("a")], Error::DuplicateKey),
            (vec![put("b", 1), lease(7)], Error::LeaseNotFound),
            (vec![put("b", 1), read(99)], Error::FutureRevision),
            (vec![put("b", 1), read(1)], Error::Compacted { revision: 2 }),
        ] {
            let mut store = example();
            store.compact(2).expect("possible");
            assert_eq!(store.txn(&of(operations)).err(), Some(expected));
            assert_eq!((print(&store, 0).as_str(), store.revision()), ("a=4@5/1 b=3@3/1", 5));
        }
    }

    #[test]
    fn the_end_of_a_lease_deletes_its_keys_in_one_revision() {
        let mut store = example();
        assert_eq!(store.grant(7, 60), Ok(()));
        assert_eq!(store.grant(7, 60), Err(Error::LeaseExists));
        let leased = |key: &str, lease| Operation::Put { key: key.into(), value: 1.into(), lease };
        store.txn(&of(vec![leased("x", 7), leased("y", 7), leased("z", 7)])).expect("possible");
        // A later put without the lease frees the key from it.
        store.txn(&of(vec![leased("z", 0)])).expect("possible");
        assert_eq!(store.revoke(7), Ok(()));
        assert_eq!(store.revoke(7), Err(Error::LeaseNotFound));
        assert_eq!(print(&store, 0), "a=4@5/1 b=3@3/1 z=1@7/2");
        let events: Vec<_> = store.changes_from(8).expect("there").map(|c| (c.main, c.sub)).collect();
        assert_eq!(events, [(8, 0), (8, 1)]);
    }

    #[test]
    fn ranges_count_all_and_show_some() {
        let mut store = Store::default();
        (0..5).for_each(|n| {
            store.txn(&of(vec![put(&format!("/pods/{n}"), n)])).expect("possible");
        });
        let all = prefix("/pods/", 0);
        for (range, pairs, count, more) in [
            (all.clone(), 5, 5, false),
            (Range { limit: 2, ..all.clone() }, 2, 5, true),
            (Range { limit: 5, ..all.clone() }, 5, 5, false),
            (Range { count_only: true, ..all.clone() }, 0, 5, false),
            (Range { revision: 3, ..all.clone() }, 2, 2, false),
            (Range { key: "/pods/3".into(), range_end: "\0".into(), ..Range::default() }, 2, 2, false),
            (Range { key: "/pods/3".into(), ..Range::default() }, 1, 1, false),
            (Range { key: "/pods".into(), ..Range::default() }, 0, 0, false),
        ] {
            let result = store.range(&range).expect("possible");
            assert_eq!((result.pairs.len(), result.count, result.more), (pairs, count, more), "{range:?}");
        }
    }

    #[test]
    fn it_agrees_with_a_model_that_keeps_a_copy_of_every_revision() {
        for seed in 0..6 {
            let mut random = crate::sim::Random::stream(seed, "store");
            let mut store = Store::default();
            let mut model: BTreeMap<u64, BTreeMap<String, i64>> = BTreeMap::from([(1, BTreeMap::new())]);
            for step in 0..1500_i64 {
                let key = format!("/k/{:02}", random.below(30));
                let mut next = model[&store.revision()].clone();
                let (operation, changes) = match random.below(3) {
                    0 => (delete(&key), next.remove(&key).is_some()),
                    _ => (put(&key, step), next.insert(key, step).is_none_or(|_| true)),
                };
                store.txn(&of(vec![operation])).expect("possible");
                if changes {
                    model.insert(store.revision(), next);
                }
                if random.below(100) == 0 {
                    let revision = random.between(store.compacted() + 1, store.revision());
                    assert_eq!(store.compact(revision), Ok(()));
                    model.retain(|at, _| *at >= revision);
                    let untouched = store.changes.iter().map(Change::key).collect::<Vec<_>>();
                    for (key, versions) in store.keys("", "\0") {
                        assert!(versions == 1 || untouched.contains(&key), "{key} has nothing to keep");
                    }
                }
            }
            assert!(model.len() > 100 && model.keys().copied().eq(store.compacted()..=store.revision()));
            for (revision, expected) in &model {
                let found = store.range(&prefix("", *revision)).expect("not compacted").pairs;
                let found: Vec<_> = found.iter().map(|p| (p.key.to_string(), p.value.as_integer())).collect();
                let expected: Vec<_> = expected.iter().map(|(k, v)| (k.clone(), Some(*v))).collect();
                assert_eq!(found, expected, "seed {seed}, revision {revision}");
            }
            assert_eq!(store.live_keys() as usize, model[&store.revision()].len());
        }
    }
}
