//! From two or three versions of an object to the patch between them.
//!
//! Picture to hold in mind: `kubectl apply` holds three pages side by side: what I wrote last time, what I write
//! now, what the cluster has. What differs between now and the cluster is to be set; what I had and no longer
//! have is to be taken away; everything else belongs to others and stays.
//!
//! Follows `CreateTwoWayMergePatch` and `CreateThreeWayMergePatch` of strategicpatch, and for custom resources
//! `k8s.io/apimachinery/pkg/util/jsonmergepatch`.

use super::strategic::{
    DELETE_FROM_LIST, DIRECTIVE, ELEMENT_ORDER, Meta, Options, Place, RETAIN_KEYS, Result, check_types,
    deduplicated, malformed, merge_map, meta, no_merge_key, sorted,
};
use super::{PatchError, go_display};
use crate::api::schema::SchemaType;
use crate::api::value::{Map, Text, Value};
use crate::arrange::Arrange;

#[derive(Clone, Copy)]
struct DiffOptions {
    additions: bool,
    deletions: bool,
    element_order: bool,
    retain_keys: bool,
}

fn map_of(value: &Value) -> Result<&Map> {
    static EMPTY: std::sync::LazyLock<Map> = std::sync::LazyLock::new(Map::new);
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(&EMPTY),
        _ => malformed("invalid JSON document"),
    }
}

/// The strategic merge patch that turns `original` into `modified`.
pub fn two_way(original: &Value, modified: &Value, place: SchemaType) -> Result<Value> {
    let options = DiffOptions { additions: true, deletions: true, element_order: true, retain_keys: false };
    let patch = diff_maps(map_of(original)?, map_of(modified)?, Some(place), options)?;
    Ok(Value::from(patch))
}

/// kubectl apply's patch: sets what `modified` has and `current` has not, deletes what `original` had and
/// `modified` has no longer. `original` is `Null` when there is no record of it.
pub fn three_way(original: &Value, modified: &Value, current: &Value, place: SchemaType) -> Result<Value> {
    let (original, modified, current) = (map_of(original)?, map_of(modified)?, map_of(current)?);
    let place = Some(place);
    let both = DiffOptions { additions: true, deletions: true, element_order: true, retain_keys: false };
    let changes = diff_maps(current, modified, place, DiffOptions { deletions: false, ..both })?;
    let deletions = diff_maps(original, modified, place, DiffOptions { additions: false, ..both })?;
    let patch = merge_map(&deletions, &changes, place, Options { carry_out: false, drop_nulls: false })?;
    Ok(Value::from(patch))
}

/// The same for custom resources, as a JSON merge patch.
pub fn three_way_json(original: &Value, modified: &Value, current: &Value) -> Value {
    let changes = nulls(&json_merge_diff(current, modified), false);
    let deletions = nulls(&json_merge_diff(original, modified), true);
    // Laid over one another as patches, so that nulls stay.
    fn lay(under: &Value, over: &Value) -> Value {
        match (under, over) {
            (Value::Object(_), Value::Object(map)) => {
                let mut out = under.clone();
                for (key, value) in map.iter() {
                    let merged = under.get(key).map_or_else(|| value.clone(), |old| lay(old, value));
                    out.make_object().insert(key, merged);
                }
                out
            }
            _ => over.clone(),
        }
    }
    lay(&deletions, &changes)
}

/// Of a merge patch only the nulls, or everything but the nulls.
fn nulls(patch: &Value, keep: bool) -> Value {
    let Value::Object(map) = patch else { return patch.clone() };
    let kept = map.iter().filter_map(|(key, value)| {
        let value = match value {
            Value::Null => keep.then_some(Value::Null)?,
            Value::Object(inside) => {
                let inner = nulls(value, keep);
                // An empty object was put there on purpose; an emptied one was not.
                if inner.is_empty() && (keep || !inside.is_empty()) {
                    return None;
                }
                inner
            }
            other if !keep => other.clone(),
            _ => return None,
        };
        Some((key.clone(), value))
    });
    Value::from(kept.collect::<Map>())
}

/// The JSON merge patch that turns `original` into `modified`.
pub fn json_merge_diff(original: &Value, modified: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (original, modified) else { return modified.clone() };
    let mut patch = Map::new();
    for (key, value) in new.iter() {
        match (old.get(key), value) {
            (None, _) => patch.insert(key, value),
            (Some(before), _) if before.is_same(value) || before == value => {}
            (Some(before @ Value::Object(_)), Value::Object(_)) => {
                patch.insert(key, json_merge_diff(before, value));
            }
            _ => patch.insert(key, value),
        }
    }
    for (key, _) in old.iter().filter(|(key, _)| !new.contains_key(key)) {
        patch.insert(key, Value::Null);
    }
    Value::from(patch)
}

fn diff_maps(original: &Map, modified: &Map, place: Place, options: DiffOptions) -> Result<Map> {
    let mut patch = Map::new();
    let mut retained: Vec<Value> = Vec::new();
    for (key, new) in modified.iter() {
        if options.retain_keys && !new.is_null() {
            retained.push(Value::from(key));
        }
        let Some(old) = original.get(key) else {
            if options.additions {
                patch.insert(key, new);
            }
            continue;
        };
        if key == DIRECTIVE {
            if old.as_str().is_none() || new.as_str().is_none() {
                return Err(PatchError::Internal(format!("invalid value for special key: {DIRECTIVE}")));
            }
            if old != new {
                patch.insert(key, new);
            }
            continue;
        }
        if old.is_same(new) {
            continue;
        }
        let meta = meta(place, key);
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                let inner = DiffOptions { retain_keys: meta.retain_keys, ..options };
                let inside = diff_maps(old, new, meta.inside, inner)?;
                if !inside.is_empty() {
                    patch.insert(key, Value::from(inside));
                }
            }
            (Value::Array(old), Value::Array(new)) if meta.merges => {
                let inner = DiffOptions { retain_keys: meta.retain_keys, ..options };
                diff_lists(key, old, new, &meta, inner, &mut patch)?;
            }
            _ => {
                if options.additions && old != new {
                    patch.insert(key, new);
                }
            }
        }
    }
    if options.deletions {
        for (key, _) in original.iter().filter(|(key, _)| !modified.contains_key(key)) {
            patch.insert(key, Value::Null);
        }
    }
    let loses_field = || original.iter().any(|(key, value)| !value.is_null() && !modified.contains_key(key));
    if !retained.is_empty() && (!patch.is_empty() || loses_field()) {
        retained.arrange_by_key(go_display);
        patch.insert(RETAIN_KEYS, Value::from(retained));
    }
    Ok(patch)
}

fn diff_lists(
    name: &Text,
    original: &[Value],
    modified: &[Value],
    meta: &Meta,
    options: DiffOptions,
    patch: &mut Map,
) -> Result<()> {
    if original.is_empty() {
        if !modified.is_empty() && options.additions {
            patch.insert(name, Value::array(modified.to_vec()));
        }
        return Ok(());
    }
    let (mut added, mut deleted, mut order) = (Vec::new(), Vec::new(), None);
    match (check_types([original, modified])?, meta.key) {
        (Some(Value::Object(_)), Some(key)) => {
            let (changes, deletions) = diff_lists_of_maps(original, modified, meta, key, options)?;
            added = sorted(changes, modified, Some(key))?;
            added.extend(deletions);
            let same_order = original.len() == modified.len()
                && original.iter().zip(modified).all(|(old, new)| old.get(key) == new.get(key));
            let wanted = (options.additions && (!added.is_empty() || !same_order))
                || (options.deletions && !added.is_empty());
            if options.element_order && wanted {
                order = Some(Value::array(modified.iter().map(|item| {
                    let mut entry = Map::new();
                    entry.insert(key, item.get(key).cloned());
                    Value::from(entry)
                })));
            }
        }
        _ => {
            let missing = |from: &[Value], of: &[Value]| -> Vec<Value> {
                let mut rest: Vec<&Value> = of.iter().collect();
                let mut found: Vec<Value> = Vec::new();
                for item in from {
                    match rest.iter().position(|other| *other == item) {
                        Some(at) => {
                            rest.swap_remove(at);
                        }
                        None => found.push(item.clone()),
                    }
                }
                found.arrange_by_key(go_display);
                found
            };
            if options.additions {
                added = sorted(missing(modified, original), modified, None)?;
            }
            if options.deletions {
                deleted = deduplicated(missing(original, modified));
            }
            let wanted =
                (options.deletions && !deleted.is_empty()) || (options.additions && original != modified);
            if options.element_order && wanted {
                order = Some(Value::array(modified.to_vec()));
            }
        }
    }
    if !added.is_empty() {
        patch.insert(name, Value::from(added));
    }
    if !deleted.is_empty() {
        patch.insert(format!("{DELETE_FROM_LIST}/{name}"), Value::from(deleted));
    }
    if let Some(order) = order.filter(|order| !order.is_empty()) {
        patch.insert(format!("{ELEMENT_ORDER}/{name}"), order);
    }
    Ok(())
}

/// What is to be set in which items, and the items that are to go.
fn diff_lists_of_maps(
    original: &[Value],
    modified: &[Value],
    meta: &Meta,
    key: &Text,
    options: DiffOptions,
) -> Result<(Vec<Value>, Vec<Value>)> {
    let keyed = |items: &[Value]| -> Result<Vec<(String, Value)>> {
        let mut keyed = Vec::with_capacity(items.len());
        for item in items {
            match item.get(key) {
                Some(value) => keyed.push((go_display(value), item.clone())),
                None => return no_merge_key(item, key),
            }
        }
        keyed.arrange_by(|a, b| a.0.cmp(&b.0));
        Ok(keyed)
    };
    let (old, new) = (keyed(original)?, keyed(modified)?);
    let (mut changes, mut deletions) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some(old), Some(new)) => old.0.cmp(&new.0),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return Ok((changes, deletions)),
        };
        match order {
            std::cmp::Ordering::Less => {
                if let Some((_, item)) = old.next().filter(|_| options.deletions) {
                    let mut entry = Map::new();
                    entry.insert(DIRECTIVE, "delete");
                    entry.insert(key, item.get(key).cloned());
                    deletions.push(Value::from(entry));
                }
            }
            std::cmp::Ordering::Greater => {
                changes.extend(new.next().filter(|_| options.additions).map(|(_, item)| item))
            }
            std::cmp::Ordering::Equal => {
                if let (Some((_, Value::Object(old))), Some((_, item))) = (old.next(), new.next())
                    && let Value::Object(new) = &item
                {
                    let mut inside = diff_maps(&old, new, meta.inside, options)?;
                    if !inside.is_empty() {
                        inside.insert(key, item.get(key).cloned());
                        changes.push(Value::from(inside));
                    }
                }
            }
        }
    }
}
