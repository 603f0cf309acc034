//! When two values mean the same.
//!
//! Picture to hold in mind: two receipts for one sum, `1000m` and `1`: different ink, the same money. And a list
//! that was never written equals a list written empty.
//!
//! Follows `k8s.io/apimachinery/pkg/api/equality` (`Semantic.DeepEqual`), on the JSON form.

use crate::api::value::{Map, Value};

/// Whether an update from one to the other is no change. Absent, `null`, empty list and empty map are one.
pub fn equal(a: &Value, b: &Value) -> bool {
    if a.is_same(b) {
        return true;
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => covers(a, b) && covers(b, a),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        _ if is_nothing(a) && is_nothing(b) => true,
        _ => a == b,
    }
}

/// Whether every field of `a` stands in `b` too (or is as good as absent).
fn covers(a: &Map, b: &Map) -> bool {
    a.iter().all(|(name, value)| equal(value, b.get(name).unwrap_or(&Value::Null)))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    #[test]
    fn what_is_absent_equals_what_is_empty() {
        let cases = [
            (object! {}, object! { "labels" => object! {} }, true),
            (object! { "a" => Value::Null }, object! { "a" => array![] }, true),
            (object! { "a" => 1 }, object! { "a" => 2 }, false),
            (object! { "a" => "" }, object! {}, false),
            (array![object! { "x" => array![] }], array![object! {}], true),
            (array![1], array![1, 2], false),
        ];
        for (a, b, expected) in cases {
            assert_eq!(equal(&a, &b), expected, "{a} {b}");
            assert_eq!(equal(&b, &a), expected, "{b} {a}");
        }
    }
}
