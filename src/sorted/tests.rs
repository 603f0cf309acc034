use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::*;
use crate::sim::Random;

/// Anything that is done to both ends in the same.
#[test]
fn a_map_behaves_as_a_balanced_tree() {
    for seed in 0..20 {
        let mut random = Random::stream(seed, "sorted map");
        let (mut map, mut model) = (SortedMap::new(), BTreeMap::new());
        for _ in 0..400 {
            let key = random.below(40);
            match random.below(9) {
                0..3 => assert_eq!(map.insert(key, key * 2), model.insert(key, key * 2)),
                3 => assert_eq!(map.remove(&key), model.remove(&key)),
                4 => {
                    *map.entry(key).or_default() += 1;
                    *model.entry(key).or_default() += 1;
                }
                5 => {
                    map.entry(key).and_modify(|value| *value += 7).or_insert_with(|| 3);
                    model.entry(key).and_modify(|value| *value += 7).or_insert_with(|| 3);
                }
                6 if key < 4 => assert_eq!(map.pop_first(), model.pop_first()),
                7 if key < 4 => assert_eq!(map.pop_last(), model.pop_last()),
                8 if key < 2 => {
                    let (mut upper, mut upper_model) = (map.split_off(&20), model.split_off(&20));
                    assert!(upper.iter().eq(upper_model.iter()));
                    map.append(&mut upper);
                    model.append(&mut upper_model);
                    map.retain(|key, _| key % 3 > 0);
                    model.retain(|key, _| key % 3 > 0);
                }
                _ => assert_eq!(map.get(&key), model.get(&key)),
            }
            assert!(map.iter().eq(model.iter()));
            assert!(map.iter().rev().eq(model.iter().rev()));
            assert_eq!(map.contains_key(&key), model.contains_key(&key));
            assert_eq!(map.first_key_value(), model.first_key_value());
            assert_eq!(map.last_key_value(), model.last_key_value());
            let (low, high) = (key / 2, key);
            for start in [Bound::Unbounded, Bound::Included(low), Bound::Excluded(low)] {
                for end in [Bound::Unbounded, Bound::Included(high), Bound::Excluded(high + 1)] {
                    assert!(map.range((start, end)).eq(model.range((start, end))));
                    assert!(map.range_mut((start, end)).rev().eq(model.range_mut((start, end)).rev()));
                }
            }
        }
        let text = serde_json::to_string(&map).unwrap_or_default();
        assert_eq!(text, serde_json::to_string(&model).unwrap_or_default());
        assert_eq!(serde_json::from_str::<SortedMap<u64, u64>>(&text).ok(), Some(map));
    }
}

#[test]
fn a_set_behaves_as_a_balanced_tree() {
    for seed in 0..20 {
        let mut random = Random::stream(seed, "sorted set");
        let mut some = |count: u64| -> Vec<u64> { (0..count).map(|_| random.below(30)).collect() };
        let (one, other) = (some(seed), some(12));
        let set = |items: &[u64]| -> (SortedSet<u64>, BTreeSet<u64>) {
            (items.iter().copied().collect(), items.iter().copied().collect())
        };
        let ((mut a, mut a_model), (b, b_model)) = (set(&one), set(&other));
        assert!(a.iter().eq(&a_model) && b.iter().eq(&b_model));
        assert!(a.difference(&b).eq(a_model.difference(&b_model)));
        assert!(a.intersection(&b).eq(a_model.intersection(&b_model)));
        assert_eq!(a.is_subset(&b), a_model.is_subset(&b_model));
        assert_eq!(a.is_superset(&b), a_model.is_superset(&b_model));
        assert_eq!(a.is_disjoint(&b), a_model.is_disjoint(&b_model));
        assert_eq!((a.first(), a.last()), (a_model.first(), a_model.last()));
        assert!(a.range(5..20).eq(a_model.range(5..20)));
        for item in other {
            assert_eq!(a.take(&item), a_model.take(&item));
            assert_eq!(a.insert(item / 2), a_model.insert(item / 2));
            assert_eq!(a.remove(&(item / 3)), a_model.remove(&(item / 3)));
            assert!(a.iter().eq(&a_model));
        }
    }
}

#[test]
fn backward_bounds_hold_nothing() {
    let map: SortedMap<u64, u64> = (0..5).map(|key| (key, key)).collect();
    assert_eq!(map.range((Bound::Excluded(3), Bound::Included(1))).count(), 0);
    assert_eq!(map.range((Bound::Excluded(3), Bound::Excluded(3))).count(), 0);
}
