//! What a bad disk does to the store: one bit of one value is another, and nobody notices.
//!
//! Picture to hold in mind: a drop of water on one line of the ledger. The number of the line and the name on it can
//! still be read, and so can the rest; one letter is wrong. Only who adds up the whole page finds that the sums differ.

use std::sync::Arc;

use super::Store;
use super::versions::Version;
use crate::api::{Text, Value};
use crate::message::etcd::KeyValue;

/// What tells objects apart: with another one of these it would be another object, not a wrong one.
const IDENTITY: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// A bit that makes a letter another letter, or a digit another digit.
fn bit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(1),
        b'a'..=b'z' | b'A'..=b'Z' => Some(0x20),
        _ => None,
    }
}

/// How many places of a value have a bit that can flip: whole numbers, and texts with a letter or digit in them.
fn places(value: &Value) -> u64 {
    match value {
        Value::Integer(_) => 1,
        Value::String(text) => u64::from(text.bytes().any(|byte| bit(byte).is_some())),
        Value::Array(items) => items.iter().map(places).sum(),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| !IDENTITY.contains(&name.as_str()));
            fields.map(|(_, value)| places(value)).sum()
        }
        _ => 0,
    }
}

/// `value` with one bit flipped, in the place of that number.
fn flipped(value: &Value, mut place: u64) -> Value {
    let mut pass = |value: &Value| {
        let here = places(value);
        let is_here = place < here;
        let result = if is_here { flipped(value, place) } else { value.clone() };
        // Once flipped, no other is.
        place = if is_here { u64::MAX } else { place.saturating_sub(here) };
        result
    };
    match value {
        Value::Integer(number) => Value::Integer(number ^ 1),
        Value::String(text) => {
            let mut letters = text.to_string();
            if let Some((at, byte)) = text.bytes().enumerate().find(|(_, byte)| bit(*byte).is_some()) {
                let other = char::from(byte ^ bit(byte).unwrap_or_default());
                letters.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
            }
            Value::String(letters.into())
        }
        Value::Array(items) => Value::array(items.iter().map(&mut pass)),
        Value::Object(fields) => {
            let mut object = Value::Null;
            for (name, value) in fields.iter() {
                let value = if IDENTITY.contains(&name.as_str()) { value.clone() } else { pass(value) };
                object.make_object().insert(name.clone(), value);
            }
            object
        }
        value => value.clone(),
    }
}

impl Store {
    /// Flips one bit of one key's present value: which, follows from the two numbers. The key; `None`: there is no
    /// value with a bit to flip.
    pub fn flip(&mut self, key: u64, place: u64) -> Option<Text> {
        let pairs = || self.keys.values().filter_map(|versions| versions.latest.pair());
        let first = (key % self.live_keys.max(1)) as usize;
        let pair = pairs().skip(first).chain(pairs().take(first)).find(|pair| places(&pair.value) > 0)?;
        let value = flipped(&pair.value, place % places(&pair.value));
        let pair = Arc::new(KeyValue { value, ..KeyValue::clone(pair) });
        // The line is the same one, whether it is found by its key or by its number.
        let mut at = self.changes.partition_point(|change| change.main < pair.mod_revision);
        while let Some(change) = self.changes.get_mut(at).filter(|change| change.main == pair.mod_revision) {
            if *change.key() == pair.key {
                change.current = Some(pair.clone());
            }
            at += 1;
        }
        if let Some(versions) = self.keys.get_mut(&pair.key) {
            versions.latest = Version::Put(pair.clone());
        }
        Some(pair.key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::etcd::{Change, Txn};
    use crate::{array, object};

    fn store() -> Store {
        let mut store = Store::default();
        let values = [
            ("a", Value::from("übrig 1")),
            ("b", Value::Null),
            ("c", Value::from(7)),
            (
                "d",
                object! { "kind" => "Pod", "metadata" => object! { "name" => "d" }, "spec" => array!["x", 1, "-"] },
            ),
            ("e", object! { "kind" => "Nothing" }),
        ];
        for (key, value) in values {
            let put = Change::Put { key: key.into(), value, lease: 0 };
            store.txn(&Txn { success: vec![put], ..Txn::default() }).expect("it is possible");
        }
        store
    }

    #[test]
    fn one_value_differs_and_the_hash_tells() {
        let whole = store();
        let mut seen = std::collections::BTreeSet::new();
        for key in 0..10 {
            for place in 0..4 {
                let mut damaged = whole.clone();
                let flipped = damaged.flip(key, place).expect("there is something to flip");
                assert_ne!(damaged.hash(0), whole.hash(0), "{flipped}");
                assert_eq!((damaged.revision(), damaged.bytes()), (whole.revision(), whole.bytes()));
                let differ = |key: &str| damaged.get(key) != whole.get(key);
                let differing: Vec<&str> =
                    ["a", "b", "c", "d", "e"].into_iter().filter(|key| differ(key)).collect();
                assert_eq!(differing, [flipped.as_str()]);
                // A watch that comes later is told the same as a reader.
                let told = damaged.changes_from(2).expect("nothing is compacted");
                let told = told.filter(|change| *change.key() == flipped).last().expect("it was put");
                assert_eq!(told.current.as_ref(), damaged.get(&flipped));
                assert_eq!(
                    damaged.get("d").map(|pair| pair.value.text("metadata.name").to_string()),
                    Some("d".into())
                );
                seen.insert(format!("{} {}", flipped, damaged.get(&flipped).expect("it is there").value));
            }
        }
        let seen: Vec<String> = seen.into_iter().collect();
        assert_eq!(
            seen,
            [
                "a \"üBrig 1\"",
                "c 6",
                "d {\"kind\":\"Pod\",\"metadata\":{\"name\":\"d\"},\"spec\":[\"X\",1,\"-\"]}",
                "d {\"kind\":\"Pod\",\"metadata\":{\"name\":\"d\"},\"spec\":[\"x\",0,\"-\"]}",
            ]
        );
        assert_eq!(Store::default().flip(3, 4), None);
    }
}
