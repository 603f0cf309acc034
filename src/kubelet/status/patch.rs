//! The difference between two statuses, as the strategic merge patch that a kubelet sends.
//!
//! Follows `pkg/util/pod/pod.go` `PatchPodStatus` and `apimachinery/pkg/util/strategicpatch`, for the types of
//! Pod and Node statuses: lists of conditions and addresses are merged by key, all others are replaced.
//!
//! Picture to hold in mind: a correction slip: only the lines that differ, and for the lists of lamps the order
//! in which they are to hang.

use crate::api::{Map, Value};
use crate::object;

/// The key by which a list of the status is merged; `None`: it is replaced as a whole.
fn merge_key(path: &str) -> Option<&'static str> {
    match path {
        "conditions" | "addresses" => Some("type"),
        "podIPs" | "hostIPs" => Some("ip"),
        "resourceClaimStatuses" => Some("name"),
        _ => None,
    }
}

/// `None`: nothing differs.
fn difference(old: &Value, new: &Value, is_top: bool) -> Option<Value> {
    if old.is_same(new) || old == new {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (old, new) else { return Some(new.clone()) };
    let mut patch = Map::new();
    for (name, value) in after.iter() {
        let was = before.get(name).unwrap_or(&Value::Null);
        let key = if is_top { merge_key(name) } else { None };
        match (key, value.as_array()) {
            (Some(key), Some(items)) => {
                merged_list(&mut patch, name, key, was.as_array().unwrap_or_default(), items)
            }
            // Absent and null are one thing.
            _ if value.is_null() && was.is_null() => {}
            _ => {
                if let Some(change) = difference(was, value, false) {
                    patch.insert(name.clone(), change);
                }
            }
        }
    }
    for (name, value) in before.iter() {
        if !after.contains_key(name) && !value.is_null() {
            patch.insert(name.clone(), Value::Null);
        }
    }
    (!patch.is_empty()).then(|| Value::from(patch))
}

/// For a list that is merged by key: its changed elements, the keys that are gone, and the order.
fn merged_list(patch: &mut Map, name: &str, key: &str, before: &[Value], after: &[Value]) {
    if before == after {
        return;
    }
    let names = |list| <[Value]>::iter(list).map(|item| item.at(key)).collect::<Vec<&Value>>();
    let (old_names, new_names) = (names(before), names(after));
    let mut changed = Vec::new();
    for (item, name) in after.iter().zip(&new_names) {
        match old_names.iter().position(|other| other == name) {
            None => changed.push(item.clone()),
            Some(place) => {
                if let Some(mut change) = difference(&before[place], item, false) {
                    change.set(key, *name);
                    changed.push(change);
                }
            }
        }
    }
    for name in old_names.into_iter().filter(|name| !new_names.contains(name)) {
        changed.push(object! { "$patch" => "delete", key => name });
    }
    if !changed.is_empty() {
        patch.insert(name, Value::from(changed));
    }
    let order = new_names.into_iter().map(|name| object! { key => name });
    patch.insert(format!("$setElementOrder/{name}"), Value::array(order));
}

/// The patch that turns status `old` into `new`; `None` if there is nothing to say.
pub fn status_patch(old: &Value, new: &Value) -> Option<Value> {
    let empty = Value::object();
    difference(if old.is_null() { &empty } else { old }, new, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_sent() {
        let cases = [
            (r#"{"phase":"Pending"}"#, r#"{"phase":"Pending"}"#, None),
            (
                r#"{"phase":"Pending"}"#,
                r#"{"phase":"Running","podIP":"1"}"#,
                Some(r#"{"phase":"Running","podIP":"1"}"#),
            ),
            (r#"{"phase":"Pending","reason":"x"}"#, r#"{"phase":"Pending"}"#, Some(r#"{"reason":null}"#)),
            (
                r#"{"conditions":[{"type":"PodScheduled","status":"True"}]}"#,
                r#"{"conditions":[{"type":"Ready","status":"False"},{"type":"PodScheduled","status":"True"}]}"#,
                Some(
                    r#"{"$setElementOrder/conditions":[{"type":"Ready"},{"type":"PodScheduled"}],"conditions":[{"status":"False","type":"Ready"}]}"#,
                ),
            ),
            (
                r#"{"conditions":[{"type":"Ready","status":"False","reason":"x"}]}"#,
                r#"{"conditions":[{"type":"Ready","status":"True"}]}"#,
                Some(
                    r#"{"$setElementOrder/conditions":[{"type":"Ready"}],"conditions":[{"reason":null,"status":"True","type":"Ready"}]}"#,
                ),
            ),
            (
                r#"{"podIPs":[{"ip":"10.0.0.1"}]}"#,
                r#"{"podIPs":[{"ip":"10.0.0.2"}]}"#,
                Some(
                    r#"{"$setElementOrder/podIPs":[{"ip":"10.0.0.2"}],"podIPs":[{"ip":"10.0.0.2"},{"$patch":"delete","ip":"10.0.0.1"}]}"#,
                ),
            ),
            (
                r#"{"containerStatuses":[{"name":"a","ready":false}]}"#,
                r#"{"containerStatuses":[{"name":"a","ready":true}]}"#,
                Some(r#"{"containerStatuses":[{"name":"a","ready":true}]}"#),
            ),
            (r#"null"#, r#"{"phase":"Pending"}"#, Some(r#"{"phase":"Pending"}"#)),
        ];
        for (old, new, expected) in cases {
            let (old, new): (Value, Value) =
                (serde_json::from_str(old).unwrap(), serde_json::from_str(new).unwrap());
            assert_eq!(status_patch(&old, &new).map(|patch| patch.to_string()).as_deref(), expected);
        }
    }
}
