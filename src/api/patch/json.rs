//! JSON patch, RFC 6902.
//!
//! Follows `evanphx/json-patch` v4 as the API server uses it, with its words.

use super::PatchError;
use crate::api::field::go_json;
use crate::api::value::Value;

const MAX_OPERATIONS: usize = 10_000;

type Result<T> = std::result::Result<T, PatchError>;

fn fail<T>(text: String) -> Result<T> {
    Err(PatchError::Unprocessable(text))
}

/// Applies all operations in order, or none.
pub fn apply(object: &Value, patch: &Value) -> Result<Value> {
    let Value::Array(operations) = patch else {
        let found = patch.type_name();
        let text = format!("json: cannot unmarshal {found} into Go value of type jsonpatch.Patch");
        return Err(PatchError::Malformed(text));
    };
    if operations.len() > MAX_OPERATIONS {
        let text = format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        );
        return Err(PatchError::TooLarge(text));
    }
    let mut out = object.clone();
    for operation in operations.iter() {
        if !matches!(operation, Value::Object(_)) {
            let found = operation.type_name();
            let text = format!("json: cannot unmarshal {found} into Go value of type jsonpatch.Operation");
            return Err(PatchError::Malformed(text));
        }
        run(&mut out, operation)?;
    }
    Ok(out)
}

fn run(object: &mut Value, operation: &Value) -> Result<()> {
    let name = operation.text("op");
    let pointer = |field: &str, missing: &str| match operation.get(field).and_then(Value::as_str) {
        Some(path) => Ok(path),
        None => fail(format!("{name} operation failed to decode {missing}: missing value")),
    };
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match name {
        "add" => add(object, pointer("path", "path")?, value(), "add"),
        "remove" => remove(object, pointer("path", "path")?, "remove").map(|_| ()),
        "replace" => {
            let path = pointer("path", "path")?;
            if path.is_empty() {
                *object = value();
                return Ok(());
            }
            match find(object, path) {
                Found::NoParent => fail(format!(
                    "replace operation does not apply: doc is missing path: {path}: missing value"
                )),
                Found::NoValue => fail(format!(
                    "replace operation does not apply: doc is missing key: {path}: missing value"
                )),
                Found::Value(_) => {
                    let (parent, key) = split(path);
                    match locate(object, parent) {
                        Some(Value::Array(_)) | Some(Value::Object(_)) => {
                            set_existing(object, parent, &key, value())
                        }
                        _ => fail(format!("replace operation does not apply: doc is missing path: {path}")),
                    }
                }
            }
        }
        "move" => {
            let from = pointer("from", "from")?;
            let taken = remove(object, from, "move")?;
            add(object, pointer("path", "path")?, taken, "move")
        }
        "copy" => {
            let from = pointer("from", "from")?;
            let copied = match find(object, from) {
                Found::Value(value) => value.clone(),
                _ => {
                    return fail(format!(
                        "copy operation does not apply: doc is missing from path: {from}: missing value"
                    ));
                }
            };
            add(object, pointer("path", "path")?, copied, "copy")
        }
        "test" => {
            let path = pointer("path", "path")?;
            let wanted = value();
            match find(object, path) {
                Found::Value(found) if *found == wanted => Ok(()),
                Found::NoValue if wanted.is_null() => Ok(()),
                Found::NoParent => {
                    fail(format!("test operation does not apply: is missing path: {path}: missing value"))
                }
                _ => fail(format!("testing value {path} failed: test failed")),
            }
        }
        _ => fail(format!("Unexpected kind: {}", if name.is_empty() { "unknown" } else { name })),
    }
}

enum Found<'a> {
    NoParent,
    NoValue,
    Value(&'a Value),
}

/// The last step of a pointer, decoded, and the pointer to what holds it.
fn split(path: &str) -> (&str, String) {
    let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
    (parent, decode(key))
}
fn decode(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

/// The position that `key` names in a list of `length`, counting from the end for a negative one.
fn position(key: &str, length: usize) -> Option<usize> {
    let index: i64 = key.parse().ok()?;
    let index = if index < 0 { index + i64::try_from(length).ok()? } else { index };
    usize::try_from(index).ok()
}

fn locate<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut here = object;
    for step in pointer.split('/').skip(1) {
        let key = decode(step);
        here = match here {
            Value::Object(map) => map.get(&key)?,
            Value::Array(items) => items.get(position(&key, items.len())?)?,
            _ => return None,
        };
    }
    Some(here)
}

fn find<'a>(object: &'a Value, path: &str) -> Found<'a> {
    if path.is_empty() {
        return Found::Value(object);
    }
    let (parent, key) = split(path);
    match locate(object, parent) {
        Some(Value::Object(map)) => map.get(&key).map_or(Found::NoValue, Found::Value),
        Some(Value::Array(items)) => {
            position(&key, items.len()).and_then(|at| items.get(at)).map_or(Found::NoValue, Found::Value)
        }
        _ => Found::NoParent,
    }
}

/// The place at `pointer` for changing; only called where [`locate`] found one.
fn locate_mut<'a>(object: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    let mut here = object;
    for step in pointer.split('/').skip(1) {
        let key = decode(step);
        here = match here {
            Value::Object(_) => here.make_object().get_mut(&key)?,
            Value::Array(_) => {
                let items = here.make_array();
                let at = position(&key, items.len())?;
                items.get_mut(at)?
            }
            _ => return None,
        };
    }
    Some(here)
}

fn set_existing(object: &mut Value, parent: &str, key: &str, value: Value) -> Result<()> {
    match locate_mut(object, parent) {
        Some(holder @ Value::Object(_)) => {
            holder.make_object().insert(key, value);
            Ok(())
        }
        Some(holder @ Value::Array(_)) => {
            let items = holder.make_array();
            match position(key, items.len()).and_then(|at| items.get_mut(at)) {
                Some(place) => {
                    *place = value;
                    Ok(())
                }
                None => fail(format!("Unable to access invalid index: {key}: invalid index referenced")),
            }
        }
        _ => fail(format!("replace operation does not apply: doc is missing path: {parent}: missing value")),
    }
}

fn add(object: &mut Value, path: &str, value: Value, operation: &str) -> Result<()> {
    if path.is_empty() {
        *object = value;
        return Ok(());
    }
    let (parent, key) = split(path);
    let missing = match operation {
        "add" => format!(
            "add operation does not apply: doc is missing path: {}: missing value",
            go_json(&path.into())
        ),
        _ => format!(
            "{operation} operation does not apply: doc is missing destination path: {path}: missing value"
        ),
    };
    if !matches!(locate(object, parent), Some(Value::Object(_) | Value::Array(_))) {
        return fail(missing);
    }
    match locate_mut(object, parent) {
        Some(holder @ Value::Object(_)) => {
            holder.make_object().insert(key, value);
            Ok(())
        }
        Some(holder) => {
            let items = holder.make_array();
            if key == "-" {
                items.push(value);
                return Ok(());
            }
            let wrong = |text: String| fail(format!("error in {operation} for path: '{path}': {text}"));
            let Ok(index) = key.parse::<i64>() else {
                return wrong(format!(
                    "value was not a proper array index: '{key}': strconv.Atoi: parsing \"{key}\": invalid syntax"
                ));
            };
            // One longer than it was, so that an item may be added at the end.
            match position(&key, items.len() + 1).filter(|at| *at <= items.len()) {
                Some(at) => {
                    items.insert(at, value);
                    Ok(())
                }
                None => wrong(format!("Unable to access invalid index: {index}: invalid index referenced")),
            }
        }
        None => fail(missing),
    }
}

fn remove(object: &mut Value, path: &str, operation: &str) -> Result<Value> {
    let (parent, key) = split(path);
    let missing = match operation {
        "remove" => {
            let path = go_json(&path.into());
            format!("remove operation does not apply: doc is missing path: {path}: missing value")
        }
        _ => format!("{operation} operation does not apply: doc is missing from path: {path}: missing value"),
    };
    let wrong = |text: String| fail(format!("error in {operation} for path: '{path}': {text}"));
    match locate(object, parent) {
        Some(Value::Object(map)) if !map.contains_key(&key) => {
            return wrong(format!("Unable to remove nonexistent key: {key}: missing value"));
        }
        Some(Value::Array(items)) if position(&key, items.len()).is_none_or(|at| at >= items.len()) => {
            return wrong(format!("Unable to access invalid index: {key}: invalid index referenced"));
        }
        Some(Value::Object(_) | Value::Array(_)) if !path.is_empty() => {}
        _ => return fail(missing),
    }
    let taken = match locate_mut(object, parent) {
        Some(holder @ Value::Object(_)) => holder.make_object().remove(&key),
        Some(holder) => {
            let items = holder.make_array();
            position(&key, items.len()).map(|at| items.remove(at))
        }
        None => None,
    };
    taken.map_or_else(|| fail(missing), Ok)
}
