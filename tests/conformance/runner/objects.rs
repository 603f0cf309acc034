//! Pairs objects and counts the fields in which they agree.
//!
//! Picture to hold in mind: two photographs of a class: first find who is who, then who has a new hat.

use std::collections::BTreeMap;

use clusterarium::api::Value;

use super::normalize::{self, identity};

/// Leaf fields by path.
fn leaves(value: &Value, path: &str, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map.iter() {
                leaves(value, &format!("{path}.{key}"), out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[{index}]"), out);
            }
        }
        other => {
            out.insert(path.to_string(), other.to_string());
        }
    }
}

/// Fields that agree, of how many, and the differences.
fn compare(expected: &Value, actual: &Value) -> (usize, usize, Vec<String>) {
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    leaves(expected, "", &mut left);
    leaves(actual, "", &mut right);
    let mut agreed = 0;
    let mut differences = Vec::new();
    for (path, value) in &left {
        match right.get(path) {
            Some(other) if other == value => agreed += 1,
            Some(other) => differences.push(format!("  {path}: real {value}, ours {other}")),
            None => differences.push(format!("  {path}: real {value}, ours absent")),
        }
    }
    for (path, value) in right.iter().filter(|(path, _)| !left.contains_key(*path)) {
        differences.push(format!("  {path}: real absent, ours {value}"));
    }
    (agreed, agreed + differences.len(), differences)
}

fn groups(objects: &[Value]) -> BTreeMap<(String, String, String), Vec<Value>> {
    let mut groups: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for object in objects {
        groups.entry(identity(object)).or_default().push(object.clone());
    }
    groups
}

/// Compares what two clusters hold; `expected` carries its bars already.
pub fn compare_all(expected: &[Value], actual: &[Value]) -> (usize, usize, Vec<String>) {
    let (mut left, mut right) = (groups(&normalize::objects(expected)), groups(&normalize::objects(actual)));
    let (mut agreed, mut of, mut differences) = (0, 0, Vec::new());
    let mut keys: Vec<_> = left.keys().chain(right.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let title = format!("{} {}/{}", key.0, key.1, key.2);
        let mut ours = right.remove(&key).unwrap_or_default();
        for real in left.remove(&key).unwrap_or_default() {
            // Of several with one name, the most alike is the counterpart.
            let best = ours
                .iter()
                .enumerate()
                .map(|(index, object)| (compare(&real, object), index))
                .min_by_key(|((_, _, differences), _)| differences.len());
            match best {
                Some(((same, all, found), index)) => {
                    ours.remove(index);
                    (agreed, of) = (agreed + same, of + all);
                    if !found.is_empty() {
                        differences.push(title.clone());
                        differences.extend(found);
                    }
                }
                None => {
                    let mut fields = BTreeMap::new();
                    leaves(&real, "", &mut fields);
                    of += fields.len();
                    differences.push(format!("{title}: missing"));
                }
            }
        }
        for extra in ours {
            let mut fields = BTreeMap::new();
            leaves(&extra, "", &mut fields);
            of += fields.len();
            differences.push(format!("{title}: not there in reality"));
        }
    }
    (agreed, of, differences)
}
