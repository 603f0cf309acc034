//! The store against examples, and against a model that keeps a copy of every revision.

use super::*;
use crate::sorted::SortedMap;

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
    let related = |key: &str, target, relation, value: i64| Compare::Any {
        key: key.into(),
        target,
        relation,
        value: value.into(),
    };
    let any = |key: &str, target, value| related(key, target, Relation::Equal, value);
    let cases = [
        (vec![compare(5)], Ok(true), "a=9@6/2 b=3@3/1", 6),
        (vec![compare(4)], Ok(false), "a=4@5/1", 6),
        (vec![compare(5), any("b", Target::Version, 2)], Ok(false), "a=4@5/1", 6),
        (vec![any("z", Target::CreateRevision, 0)], Ok(true), "a=9@6/2 b=3@3/1", 6),
        (vec![any("z", Target::Value, 0)], Ok(false), "a=4@5/1", 6),
        (vec![related("a", Target::ModRevision, Relation::Less, 6)], Ok(true), "a=9@6/2 b=3@3/1", 6),
        (vec![related("a", Target::ModRevision, Relation::Greater, 5)], Ok(false), "a=4@5/1", 6),
        (vec![related("a", Target::Value, Relation::NotEqual, 4)], Ok(false), "a=4@5/1", 6),
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
        let mut model: SortedMap<u64, SortedMap<String, i64>> = SortedMap::from([(1, SortedMap::new())]);
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
        // What has been forgotten weighs nothing.
        let last = store.revision();
        store.compact(last).expect("possible");
        let pairs = store.range(&prefix("", 0)).expect("possible").pairs;
        assert_eq!(store.bytes(), pairs.iter().map(|pair| stored_bytes(pair)).sum::<u64>());
        assert_eq!(store.versions(), pairs.len() as u64);
    }
}
