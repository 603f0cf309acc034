//! Strategic merge patch: a merge patch that knows which lists have keys.
//!
//! Follows `k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`: the directives `$patch`, `$retainKeys`,
//! `$setElementOrder/list` and `$deleteFromPrimitiveList/list`, their errors, and the order of merged lists.

use super::{PatchError, go_display};
use crate::api::schema::SchemaType;
use crate::api::value::{Map, Text, Value};
use crate::arrange::Gather;

pub(super) const DIRECTIVE: &str = "$patch";
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
pub(super) const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
pub(super) const ELEMENT_ORDER: &str = "$setElementOrder";

pub(super) type Result<T> = std::result::Result<T, PatchError>;
pub(super) type Place<'a> = Option<SchemaType<'a>>;

/// How a field merges, and the type of what is inside.
pub(super) struct Meta<'a> {
    pub merges: bool,
    pub retain_keys: bool,
    pub key: Option<&'a Text>,
    /// The type of the object, or of a list's items.
    pub inside: Place<'a>,
}

/// What the schema says of field `name`. Unlike upstream, a field that is not in the schema merges plainly:
/// decoding will tell of it.
pub(super) fn meta<'a>(place: Place<'a>, name: &str) -> Meta<'a> {
    let unwrap_list = |type_: SchemaType<'a>| match type_.list_kind() {
        Some(_) => type_.element(),
        None => Some(type_),
    };
    let Some(place) = place else {
        return Meta { merges: false, retain_keys: false, key: None, inside: None };
    };
    match place.field(name) {
        Some(field) => Meta {
            merges: field.info().patch_merge,
            retain_keys: field.info().patch_retain_keys,
            key: field.info().patch_merge_key.as_ref(),
            inside: unwrap_list(field.type_()),
        },
        None => Meta {
            merges: false,
            retain_keys: false,
            key: None,
            inside: place.step(name).and_then(unwrap_list),
        },
    }
}

pub(super) fn malformed<T>(text: impl Into<String>) -> Result<T> {
    Err(PatchError::Malformed(text.into()))
}
pub(super) fn internal<T>(text: impl Into<String>) -> Result<T> {
    Err(PatchError::Internal(text.into()))
}
pub(super) fn no_merge_key<T>(item: &Value, key: &str) -> Result<T> {
    internal(format!("map: {} does not contain declared merge key: {key}", go_display(item)))
}
fn bad_type<T>(expected: &str, found: &Value) -> Result<T> {
    let found = match found {
        Value::Null => "nil",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Bool(_) => "bool",
        Value::Integer(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
    };
    internal(format!("expected a {expected}, but received a {found}"))
}

#[derive(Clone, Copy)]
pub(super) struct Options {
    /// Carry out the parallel directives; otherwise they are merged as fields, when patches are put together.
    pub carry_out: bool,
    /// Forget nulls for what is not there.
    pub drop_nulls: bool,
}

/// Applies `patch` to an object of type `place`; without one (custom resources) there is no such patch.
pub fn apply(object: &Value, patch: &Value, place: Option<SchemaType>) -> Result<Value> {
    if place.is_none() {
        return malformed("strategic merge patch format is not supported");
    }
    let (Value::Object(original), Value::Object(patch)) = (object, patch) else {
        return malformed("invalid JSON document");
    };
    let merged = merge_map(original, patch, place, Options { carry_out: true, drop_nulls: true })?;
    Ok(Value::from(merged))
}

pub(super) fn merge_map(original: &Map, patch: &Map, place: Place, options: Options) -> Result<Map> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                let mut rest = patch.clone();
                rest.remove(DIRECTIVE);
                Ok(rest)
            }
            Some("delete") => Ok(Map::new()),
            _ => {
                let (directive, patch) = (go_display(directive), go_display(&patch.clone().into()));
                internal(format!("unknown patch type: {directive} in map: {patch}"))
            }
        };
    }
    let mut out = original.clone();
    let mut patch = patch.clone();
    retain_keys(&mut out, &mut patch, options)?;
    element_orders(&mut out, &mut patch, place, options)?;
    for (key, change) in patch.iter() {
        let mut name = key.as_str();
        let mut deletes = false;
        if let Some(list) = key.strip_prefix(DELETE_FROM_LIST) {
            if !options.carry_out {
                out.insert(key, change);
                continue;
            }
            match list.strip_prefix('/') {
                Some(list) => name = list,
                None => return malformed("invalid patch format of primitive list"),
            }
            deletes = true;
        }
        if change.is_null() {
            out.remove(name);
            if options.drop_nulls {
                continue;
            }
        }
        let meta = meta(place, name);
        let merged = match (out.get(name), change) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                Some(Value::from(merge_map(old, new, meta.inside, options)?))
            }
            (Some(Value::Array(old)), Value::Array(new)) if meta.merges || deletes => {
                Some(Value::from(merge_list(old, new, &meta, options, deletes)?))
            }
            _ if deletes => continue,
            (_, new) => without_directives(new, options.drop_nulls),
        };
        match merged {
            Some(value) if out.get(name) == Some(&value) => {}
            Some(value) => out.insert(name, value),
            None => {
                out.remove(name);
            }
        }
    }
    Ok(out)
}

/// Whether anything in it is only there to be deleted. Mostly not, and then it can be shared as it is.
fn has_directives(value: &Value, drop_nulls: bool) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(name, value)| {
            name == DIRECTIVE || (drop_nulls && value.is_null()) || has_directives(value, drop_nulls)
        }),
        Value::Array(items) => items.iter().any(|item| has_directives(item, drop_nulls)),
        _ => false,
    }
}

/// A value that replaces or is new: without items and fields that are only there to be deleted.
fn without_directives(value: &Value, drop_nulls: bool) -> Option<Value> {
    match value {
        whole if !has_directives(whole, drop_nulls) => Some(whole.clone()),
        Value::Object(map) => {
            if map.contains_key(DIRECTIVE) {
                return None;
            }
            let kept = map
                .iter()
                .filter(|(_, value)| !(drop_nulls && value.is_null()))
                .filter_map(|(key, value)| Some((key.clone(), without_directives(value, drop_nulls)?)));
            Some(Value::from(kept.collect::<Map>()))
        }
        Value::Array(items) => {
            Some(Value::array(items.iter().filter_map(|item| without_directives(item, drop_nulls))))
        }
        other => Some(other.clone()),
    }
}

fn retain_keys(original: &mut Map, patch: &mut Map, options: Options) -> Result<()> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    if !options.carry_out {
        match original.get(RETAIN_KEYS) {
            Some(other) if *other != keys => {
                let (other, keys) = (go_display(other), go_display(&keys));
                return internal(format!(
                    "{other} and {keys} are not deep equal: this may happen when calculating the 3-way diff patch"
                ));
            }
            Some(_) => {}
            None => original.insert(RETAIN_KEYS, keys),
        }
        return Ok(());
    }
    let Value::Array(list) = &keys else { return malformed("invalid patch format of retainKeys") };
    let retained = |name: &str| list.iter().any(|key| key.as_str() == Some(name));
    for (name, value) in patch.iter() {
        let directive = name.starts_with(DELETE_FROM_LIST) || name.starts_with(ELEMENT_ORDER);
        if !value.is_null() && !directive && !retained(name) {
            return malformed("invalid patch format of retainKeys");
        }
    }
    original.retain(|name, _| retained(name));
    Ok(())
}

/// Merges the lists that have an order given, and puts them in it.
fn element_orders(original: &mut Map, patch: &mut Map, place: Place, options: Options) -> Result<()> {
    let orders: Vec<(Text, Value)> = patch
        .iter()
        .filter(|(key, _)| key.starts_with(ELEMENT_ORDER))
        .map(|(key, order)| (key.clone(), order.clone()))
        .gather();
    for (key, order) in orders {
        if !options.carry_out {
            match original.get(&key) {
                Some(other) if *other != order => {
                    return malformed("invalid patch format of setElementOrder list");
                }
                Some(_) => {}
                None => original.insert(&key, &order),
            }
        }
        patch.remove(&key);
        let Value::Array(order) = &order else { return bad_type("[]interface {}", &order) };
        let Some(name) = key.strip_prefix(ELEMENT_ORDER).and_then(|name| name.strip_prefix('/')) else {
            return malformed("invalid patch format of setElementOrder list");
        };
        let list = |map: &Map| match map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items.as_ref().clone())),
            Some(other) => bad_type("[]interface {}", other),
        };
        let (old, new) = (list(original)?, list(patch)?);
        let meta = meta(place, name);
        let patched = new.as_deref().unwrap_or(&[]);
        check_order(patched, order, meta.key)?;
        let merged = match (&old, &new) {
            (Some(old), None) => old.clone(),
            (None, Some(new)) => match without_directives(&Value::from(new.clone()), false) {
                Some(Value::Array(items)) => items.as_ref().clone(),
                _ => continue,
            },
            (Some(old), Some(new)) if meta.merges => merge_list(old, new, &meta, options, false)?,
            (Some(_), Some(new)) => new.clone(),
            (None, None) => continue,
        };
        let server = old.as_deref().unwrap_or(&[]);
        let ordered = if meta.key.is_some_and(|key| is_in_order(&merged, order, key)) {
            merged
        } else {
            let (mine, others) = partition(&merged, order, meta.key)?;
            in_order(mine, others, order, server, meta.key)?
        };
        original.insert(name, Value::from(ordered));
        patch.remove(name);
    }
    Ok(())
}

/// The items of the patch must come in the order that is asked for.
fn check_order(patch: &[Value], order: &[Value], key: Option<&Text>) -> Result<()> {
    if order.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let mut wanted = order.iter();
    for item in patch {
        if item.get(DIRECTIVE).is_some() {
            continue;
        }
        let mut found = false;
        for next in wanted.by_ref() {
            if same_item(item, next, key)? {
                found = true;
                break;
            }
        }
        if !found {
            let (patch, order) = (Value::array(patch.to_vec()), Value::array(order.to_vec()));
            return internal(format!(
                "The order in patch list:\n{}\n doesn't match {ELEMENT_ORDER} list:\n{}\n",
                go_display(&patch),
                go_display(&order)
            ));
        }
    }
    Ok(())
}

fn same_item(a: &Value, b: &Value, key: Option<&Text>) -> Result<bool> {
    let Some(key) = key else { return Ok(a == b) };
    match (a.get(key), b.get(key)) {
        (Some(a), Some(b)) => Ok(a == b),
        (None, _) => no_merge_key(a, key),
        (_, None) => no_merge_key(b, key),
    }
}

fn position(list: &[Value], item: &Value, key: Option<&Text>) -> Option<usize> {
    let name = match key {
        Some(key) if matches!(item, Value::Object(_)) => item.get(key),
        _ => return list.iter().position(|other| item == other),
    };
    list.iter().position(|other| key.is_some_and(|key| other.get(key) == name))
}

/// Whether the items of `list` all have a name and none is there twice or to be deleted, and `order` has their names in the
/// same order. Mostly so, and then nothing is to be moved.
fn is_in_order(list: &[Value], order: &[Value], key: &Text) -> bool {
    let names = |list| <[Value]>::iter(list).map(|item| item.get(key)).collect::<Option<Vec<&Value>>>();
    let (Some(items), Some(order)) = (names(list), names(order)) else { return false };
    let mut next = 0;
    items.iter().zip(list).all(|(name, item)| {
        let place = order.iter().position(|other| other == name).filter(|place| *place >= next);
        next = place.map_or(next, |place| place + 1);
        place.is_some() && item.get(DIRECTIVE).is_none()
    })
}

/// All items are of one type; upstream refuses mixtures.
pub(super) fn check_types(lists: [&[Value]; 2]) -> Result<Option<&Value>> {
    let mut first: Option<&Value> = None;
    for item in lists.into_iter().flatten() {
        if matches!(item, Value::Array(_)) {
            return Err(PatchError::Unprocessable("lists of lists are not supported".to_owned()));
        }
        match first {
            Some(known) if std::mem::discriminant(known) != std::mem::discriminant(item) => {
                let shown: Vec<String> =
                    lists.iter().map(|list| go_display(&Value::array(list.to_vec()))).collect();
                return internal(format!("list element types are not identical: [{}]", shown.join(" ")));
            }
            _ => first = Some(item),
        }
    }
    Ok(first)
}

fn merge_list(
    old: &[Value],
    new: &[Value],
    meta: &Meta,
    options: Options,
    deletes: bool,
) -> Result<Vec<Value>> {
    let Some(sample) = check_types([old, new])? else { return Ok(old.to_vec()) };
    if !matches!(sample, Value::Object(_)) {
        if deletes && options.carry_out {
            return Ok(old.iter().filter(|item| !new.contains(item)).cloned().gather());
        }
        let merged = deduplicated(old.iter().chain(new).cloned().collect());
        let (mine, others) = partition(&merged, new, None)?;
        return in_order(mine, others, new, old, None);
    }
    let Some(key) = meta.key else {
        let name = meta.inside.map_or("", |inside| inside.name().as_str());
        return internal(format!("cannot merge lists without merge key for {name}"));
    };
    let mut base = old.to_vec();
    let mut changes = Vec::new();
    let (mut replaces, mut has_moved) = (false, false);
    for item in new {
        let Value::Object(map) = item else { return bad_type("map[string]interface {}", item) };
        match map.get(DIRECTIVE).map(|directive| (directive, directive.as_str())) {
            None => changes.push(item),
            Some((_, Some("delete"))) => match map.get(key) {
                Some(value) => {
                    base.retain(|other| other.get(key) != Some(value));
                    has_moved = true;
                }
                None => return no_merge_key(item, key),
            },
            Some((_, Some("replace"))) => replaces = true,
            Some((_, Some("merge"))) => {
                return internal("merging lists cannot yet be specified in the patch");
            }
            Some((directive, _)) => {
                let (directive, item) = (go_display(directive), go_display(item));
                return internal(format!("unknown patch type: {directive} in map: {item}"));
            }
        }
    }
    if replaces {
        return Ok(changes.into_iter().cloned().collect());
    }
    for change in &changes {
        let Some(value) = change.get(key) else { return no_merge_key(change, key) };
        match base.iter().position(|item| item.get(key) == Some(value)) {
            Some(at) => {
                if let (Value::Object(old), Value::Object(new)) = (&base[at], change) {
                    base[at] = Value::from(merge_map(old, new, meta.inside, options)?);
                }
            }
            None => {
                base.push((*change).clone());
                has_moved = true;
            }
        }
    }
    let order: Vec<Value> = changes.into_iter().cloned().collect();
    if !has_moved && is_in_order(&order, &base, key) && is_in_order(&base, &base, key) {
        return Ok(base);
    }
    let (mine, others) = partition(&base, &order, Some(key))?;
    in_order(mine, others, &order, old, Some(key))
}

/// Upstream's deduplication, which moves the last item into the gap.
pub(super) fn deduplicated(mut items: Vec<Value>) -> Vec<Value> {
    let mut at = 0;
    while at < items.len() {
        let mut next = at + 1;
        while next < items.len() {
            if items[at] == items[next] {
                items.swap_remove(next);
            } else {
                next += 1;
            }
        }
        at += 1;
    }
    items
}

/// The items that `by` names, and the others.
fn partition(items: &[Value], by: &[Value], key: Option<&Text>) -> Result<(Vec<Value>, Vec<Value>)> {
    if let Some(key) = key
        && let Some(item) = items.iter().find(|item| item.get(key).is_none())
    {
        return no_merge_key(item, key);
    }
    Ok(items.iter().cloned().partition(|item| position(by, item, key).is_some()))
}

/// The patch's items in the patch's order, among the others in the server's.
fn in_order(
    mine: Vec<Value>,
    others: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: Option<&Text>,
) -> Result<Vec<Value>> {
    let mine = sorted(mine, patch_order, key)?;
    let others = sorted(others, server_order, key)?;
    let mut merged = Vec::with_capacity(mine.len() + others.len());
    let placed = |items: Vec<Value>| {
        items.into_iter().map(|item| (position(server_order, &item, key), item)).peekable()
    };
    let (mut left, mut right) = (placed(others), placed(mine));
    loop {
        let takes_left = match (left.peek(), right.peek()) {
            (Some((Some(l), _)), Some((Some(r), _))) => l < r,
            (Some(_), Some(_)) => false,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return Ok(merged),
        };
        merged.extend(if takes_left { left.next() } else { right.next() }.map(|(_, item)| item));
    }
}

/// Upstream's `normalizeSliceOrder`: by their places in `order`; items that are to be deleted go last.
pub(super) fn sorted(items: Vec<Value>, order: &[Value], key: Option<&Text>) -> Result<Vec<Value>> {
    if let Some(key) = key
        && let Some(item) = items.iter().chain(order).find(|item| item.get(key).is_none())
    {
        return no_merge_key(item, key);
    }
    let is_deletion = |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str) == Some("delete");
    let (mut kept, deleted): (Vec<Value>, Vec<Value>) = match key {
        Some(_) => items.into_iter().partition(|item| !is_deletion(item)),
        None => (items, Vec::new()),
    };
    // What has no place counts as smaller than anything, also than itself: an insertion sort, as Go's is for
    // short lists, so that such items come out in the same order.
    let mut places: Vec<Option<usize>> = kept.iter().map(|item| position(order, item, key)).collect();
    for end in 1..kept.len() {
        let mut at = end;
        while at > 0 {
            let smaller = match (places[at], places[at - 1]) {
                (Some(a), Some(b)) => a < b,
                _ => true,
            };
            if !smaller {
                break;
            }
            kept.swap(at, at - 1);
            places.swap(at, at - 1);
            at -= 1;
        }
    }
    kept.extend(deleted);
    Ok(kept)
}
