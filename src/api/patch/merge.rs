//! JSON merge patch, RFC 7386.

use crate::api::value::{Map, Value};

/// Lays `patch` over `target`: a `null` takes a field away, objects go on inside, everything else replaces.
pub fn apply(target: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut out = target.clone();
    let none = Value::Null;
    for (key, change) in changes.iter() {
        let old = target.get(key);
        if change.is_null() {
            if old.is_some() {
                out.make_object().remove(key);
            }
            continue;
        }
        let new = apply(old.unwrap_or(&none), change);
        if old != Some(&new) {
            out.make_object().insert(key, new);
        }
    }
    match out {
        Value::Object(_) => out,
        _ => Value::from(Map::new()),
    }
}
