//! The ledger line by line: how a backup is written, and read again (the bucket `key` of etcd's database).
//!
//! Picture to hold in mind: a copyist who copies every line that is still there in the order of its number; from the
//! copy another archive writes its catalogue anew.

use std::sync::Arc;

use super::size::{stored_bytes, tombstone_bytes};
use super::versions::{Key, Version};
use super::{Change, Lease, Store};
use crate::api::Text;
use crate::arrange::Arrange;
use crate::message::etcd::KeyValue;
use crate::shared_map::SharedMap;

/// One line: what a key became.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub main: u64,
    pub sub: u32,
    pub key: Text,
    /// `None`: it was deleted.
    pub pair: Option<Arc<KeyValue>>,
}

impl Store {
    /// Every line that is kept, the oldest first.
    pub fn records(&self) -> Vec<Record> {
        // What changed since the compaction stands in order already; before that there is one line a key at most.
        let first = self.changes.get(self.changes.start()).map_or(u64::MAX, |change| change.main);
        let mut records = Vec::new();
        for (key, versions) in self.keys.iter() {
            let older = versions.older.iter().flat_map(|older| older.iter());
            for version in older.chain([&versions.latest]).filter(|version| version.revision() < first) {
                let pair = version.pair().cloned();
                records.push(Record { main: version.revision(), sub: 0, key: key.clone(), pair });
            }
        }
        records.arrange_by_key(|record| record.main);
        // A line at the compacted revision is kept for watches alone if it was a deletion.
        let is_kept = |change: &&Change| change.main > self.compacted || change.current.is_some();
        records.extend(self.changes.iter().filter(is_kept).map(|change| Record {
            main: change.main,
            sub: change.sub,
            key: change.key().clone(),
            pair: change.current.clone(),
        }));
        records.retain(|record| self.is_kept(record));
        records
    }
    /// Whether compaction has left a line in the ledger.
    fn is_kept(&self, record: &Record) -> bool {
        let Some(versions) = self.keys.get(&record.key) else { return false };
        let older = versions.older.iter().flat_map(|older| older.iter());
        older.chain([&versions.latest]).any(|version| version.revision() == record.main)
    }

    /// A store that consists of `records`, at `revision`, compacted at `compacted`.
    pub fn from_records(
        revision: u64,
        compacted: u64,
        leases: impl IntoIterator<Item = (i64, u64, u64)>,
        records: impl IntoIterator<Item = Record>,
    ) -> Store {
        let mut store = Store { revision, compacted, ..Store::default() };
        for (id, ttl_seconds, remaining_seconds) in leases {
            let lease = Lease { ttl_seconds, remaining_seconds, keys: SharedMap::default() };
            store.leases.insert(id, lease);
        }
        for Record { main, sub, key, pair } in records {
            let versions = store.keys.entry(&key, Key::unwritten);
            let previous = versions.latest.pair().cloned();
            versions.write(match &pair {
                Some(pair) => Version::Put(pair.clone()),
                None => Version::Tombstone { revision: main },
            });
            store.versions += 1;
            store.bytes += pair.as_ref().map_or_else(|| tombstone_bytes(&key), |pair| stored_bytes(pair));
            match (&previous, &pair) {
                (None, Some(_)) => store.live_keys += 1,
                (Some(_), None) => store.live_keys -= 1,
                _ => {}
            }
            let lease_of = |pair: &Option<Arc<KeyValue>>| pair.as_ref().map_or(0, |pair| pair.lease);
            let (before, now) = (lease_of(&previous), lease_of(&pair));
            if before != now {
                store.detach(&key, before);
                if let Some(lease) = store.leases.get_mut(&now) {
                    lease.keys.entry(&key, || ());
                }
            }
            if main >= compacted {
                store.changes.push(Change { main, sub, current: pair, previous });
            }
        }
        store
    }

    /// Goes on at a revision that is higher by `amount`, and forgets all below it (`--bump-revision` with
    /// `--mark-compacted`): caches of the old cluster's clients notice that they are out of date.
    pub fn bump(&mut self, amount: u64) {
        self.revision += amount;
        // Nothing can fail here: the revision is new.
        let _ = self.compact(self.revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Value;
    use crate::message::etcd::{Change as Operation, Txn};

    #[test]
    fn a_store_is_the_same_after_it_was_copied_out() {
        let mut store = Store::default();
        store.grant(7, 60).expect("it is new");
        let change = |store: &mut Store, operation: Operation| {
            let txn = Txn { success: vec![operation], ..Txn::default() };
            store.txn(&txn).expect("it is possible");
        };
        let put = |key: &str, value: &str, lease: i64| Operation::Put {
            key: key.into(),
            value: Value::from(value),
            lease,
        };
        let delete = |key: &str| Operation::Delete { key: key.into(), range_end: Text::new() };
        for (key, value, lease) in [("a", "1", 0), ("b", "2", 7), ("a", "3", 0), ("c", "4", 0), ("b", "5", 7)]
        {
            change(&mut store, put(key, value, lease));
        }
        change(&mut store, delete("c"));
        change(&mut store, put("d", "6", 0));
        for compacted in [0, 4, 7, 8] {
            let mut before = store.clone();
            if compacted > 0 {
                before.compact(compacted).expect("it is there");
            }
            let leases = before.leases().map(|(id, lease)| (id, lease.ttl_seconds, lease.remaining_seconds));
            let leases: Vec<_> = leases.collect();
            let after = Store::from_records(before.revision(), compacted, leases, before.records());
            assert_eq!(after.hash(0), before.hash(0), "compacted at {compacted}");
            assert_eq!(after.records(), before.records(), "compacted at {compacted}");
            assert_eq!(after.live_keys(), before.live_keys());
            assert_eq!(after.versions(), before.versions());
            assert_eq!(after.bytes(), before.bytes());
            assert_eq!(after.revision(), before.revision());
            let keys = |store: &Store| store.lease(7).map(|lease| lease.keys.len());
            assert_eq!(keys(&after), keys(&before));
        }
        let mut bumped = store.clone();
        bumped.bump(1_000);
        assert_eq!((bumped.revision(), bumped.compacted()), (1_008, 1_008));
        assert_eq!(bumped.live_keys(), store.live_keys());
    }
}
