//! The three ways in which a default enters an object, none of which copies a branch that it does not change.
//!
//! Picture to hold in mind: tracing paper over a drawing. Only when the pencil really adds a line is the sheet
//! below copied; otherwise the original goes on being shared.

use crate::api::value::Value;

/// For a pointer in Go: set when absent or `null`.
pub fn missing(object: &mut Value, path: &str, value: impl Into<Value>) {
    if !object.has(path) {
        object.set(path, value);
    }
}

/// For a string in Go: set when absent or empty.
pub fn fill(object: &mut Value, path: &str, value: &str) {
    if object.text(path).is_empty() {
        object.set(path, value);
    }
}

/// For a number in Go: set when absent or 0.
pub fn fill_zero(object: &mut Value, path: &str, value: i64) {
    if object.integer(path).unwrap_or(0) == 0 {
        object.set(path, value);
    }
}

/// For a struct in Go: present, be it empty.
pub fn present(object: &mut Value, path: &str) {
    if !object.has(path) {
        object.set(path, Value::object());
    }
}

/// For a list in Go that prints even when it is nil: present, be it `null`.
pub fn null(object: &mut Value, name: &str) {
    if object.get(name).is_none() {
        object.set(name, Value::Null);
    }
}

/// Applies `default` to the branch at `path`, if it is there.
pub fn within(object: &mut Value, path: &str, default: impl FnOnce(&mut Value)) {
    let before = object.at(path);
    if before.is_null() {
        return;
    }
    let mut after = before.clone();
    default(&mut after);
    if !after.is_same(object.at(path)) {
        object.set(path, after);
    }
}

/// Applies `default` to each item of the list at `path`.
pub fn each(object: &mut Value, path: &str, default: impl Fn(&mut Value)) {
    for index in 0..object.items(path).len() {
        let mut after = object.items(path)[index].clone();
        if !matches!(after, Value::Object(_)) {
            continue;
        }
        default(&mut after);
        if !after.is_same(&object.items(path)[index]) {
            object.at_mut(path).make_array()[index] = after;
        }
    }
}

/// Applies `default` to each value of the map at `path`.
pub fn each_value(object: &mut Value, path: &str, default: impl Fn(&mut Value)) {
    within(object, path, |map| {
        let keys: Vec<_> = map.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect();
        for key in keys {
            let Some(before) = map.get(&key) else { continue };
            let mut after = before.clone();
            default(&mut after);
            if Some(&after) != map.get(&key) {
                map.make_object().insert(key, after);
            }
        }
    });
}
