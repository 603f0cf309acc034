//! Comparing, merging and thinning out objects, field by field, with the schema in hand.
//!
//! Follows `sigs.k8s.io/structured-merge-diff/typed` (compare.go, merge.go, remove.go, tofieldset.go,
//! validate.go). Where there is no schema, maps are merged and lists are one value, as its "deduced" type.

use super::fieldset::{FieldSet, Literal, PathElement};
use crate::api::schema::{ListKind, SchemaType, Shape, decode};
use crate::api::value::{Map, Text, Value};
use crate::arrange::{Arrange, Gather};
use crate::sorted::SortedMap;

type Place<'a> = Option<SchemaType<'a>>;

/// How a place is treated.
enum Atom<'a> {
    /// A scalar, or anything that is one value.
    Leaf,
    Map,
    List(&'a ListKind),
}

/// What the schema says of a place, or else what stands there.
fn atom<'a>(place: Place<'a>, value: &Value) -> Atom<'a> {
    let deduced = |value: &Value| match value {
        Value::Object(_) => Atom::Map,
        _ => Atom::Leaf,
    };
    let Some(place) = place else { return deduced(value) };
    match place.shape() {
        Shape::Any | Shape::Either { .. } => deduced(value),
        _ if place.is_atomic() => Atom::Leaf,
        Shape::Object(_) | Shape::Map { .. } => Atom::Map,
        Shape::List { list: ListKind::Atomic, .. } => Atom::Leaf,
        Shape::List { list, .. } => Atom::List(list),
        _ => Atom::Leaf,
    }
}

fn step<'a>(place: Place<'a>, key: &str) -> Place<'a> {
    place.and_then(|place| place.step(key))
}
fn element(place: Place) -> Place {
    place.and_then(SchemaType::element)
}
fn field(key: &Text) -> PathElement {
    PathElement::Field(key.clone())
}

/// The path element of a list's item; the error is upstream's.
fn item_element(kind: &ListKind, place: Place, item: &Value) -> Result<PathElement, String> {
    let ListKind::Map(keys) = kind else {
        return match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            _ => Ok(PathElement::Value(Literal(item.clone()))),
        };
    };
    match item {
        Value::Object(_) => {}
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    }
    let mut fields = Vec::with_capacity(keys.len());
    for key in keys {
        let default = || {
            let field = element(place)?.field(key)?;
            Some(field.info().default.clone()).filter(|default| !default.is_null())
        };
        if let Some(value) = item.get(key).cloned().or_else(default) {
            fields.push((key.clone(), Literal(value)));
        }
    }
    if fields.is_empty() {
        let keys: Vec<String> = keys.iter().map(|key| format!("{:?}", key.as_str())).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    fields.arrange();
    Ok(PathElement::Key(fields))
}

/// A list's items by their path elements, in order; items without one are left out.
fn items<'v>(kind: &ListKind, place: Place, value: Option<&'v Value>) -> Vec<(PathElement, &'v Value)> {
    let list = value.and_then(Value::as_array).unwrap_or(&[]);
    list.iter().filter_map(|item| Some((item_element(kind, place, item).ok()?, item))).gather()
}

fn is_empty(value: Option<&Value>) -> bool {
    value.is_none_or(|value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    })
}

/// What differs between two versions of an object.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

impl Comparison {
    pub fn without(self, paths: &[&str]) -> Comparison {
        Comparison {
            added: self.added.without_paths(paths),
            modified: self.modified.without_paths(paths),
            removed: self.removed.without_paths(paths),
        }
    }
}

pub(super) fn compare(old: &Value, new: &Value, place: Place) -> Comparison {
    let mut comparison = Comparison::default();
    // Before there was an object there was an empty one, with the structs that are no pointers.
    let empty;
    let old = if old.is_null() {
        empty = place.map_or_else(Value::object, |place| decode(place, &Value::object(), &[]).value);
        &empty
    } else {
        old
    };
    compare_at(place, Some(old), Some(new), &mut Vec::new(), &mut comparison);
    comparison
}

fn compare_at(
    place: Place,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<PathElement>,
    out: &mut Comparison,
) {
    if let (Some(old), Some(new)) = (old, new)
        && (old.is_same(new) || old == new)
    {
        return;
    }
    let Some(sample) = new.filter(|new| !new.is_null()).or(old).or(new) else { return };
    let kind = atom(place, sample);
    let mixed = matches!((old, new), (Some(old), Some(new))
        if !old.is_null() && !new.is_null() && std::mem::discriminant(old) != std::mem::discriminant(new));
    let leaf = matches!(kind, Atom::Leaf) || (is_empty(old) && is_empty(new)) || mixed;
    if !leaf {
        match kind {
            Atom::Map => {
                let empty = Map::new();
                let map = |value: Option<&Value>| value.and_then(Value::as_object).unwrap_or(&empty).clone();
                let (left, right) = (map(old), map(new));
                for (key, value) in left.iter() {
                    path.push(field(key));
                    compare_at(step(place, key), Some(value), right.get(key), path, out);
                    path.pop();
                }
                for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(key)) {
                    path.push(field(key));
                    compare_at(step(place, key), None, Some(value), path, out);
                    path.pop();
                }
            }
            Atom::List(list) => compare_lists(list, place, old, new, path, out),
            Atom::Leaf => {}
        }
    }
    match (old, new) {
        (None, _) => out.added.insert(path),
        (_, None) => out.removed.insert(path),
        (Some(old), Some(new)) if leaf && old != new => out.modified.insert(path),
        _ => {}
    }
}

fn compare_lists(
    kind: &ListKind,
    place: Place,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<PathElement>,
    out: &mut Comparison,
) {
    let mut grouped: SortedMap<PathElement, (Vec<&Value>, Vec<&Value>)> = SortedMap::new();
    for (element, item) in items(kind, place, old) {
        grouped.entry(element).or_default().0.push(item);
    }
    for (element, item) in items(kind, place, new) {
        grouped.entry(element).or_default().1.push(item);
    }
    for (key, (left, right)) in grouped {
        path.push(key);
        match (left.len(), right.len()) {
            (0 | 1, 0 | 1) => {
                compare_at(element(place), left.first().copied(), right.first().copied(), path, out);
            }
            (0 | 1, _) => {
                if let Some(only) = left.first() {
                    compare_at(element(place), Some(only), None, path, out);
                }
                out.added.insert(path);
            }
            (_, 0 | 1) => {
                if let Some(only) = right.first() {
                    compare_at(element(place), None, Some(only), path, out);
                }
                out.removed.insert(path);
            }
            _ if left != right => out.modified.insert(path),
            _ => {}
        }
        path.pop();
    }
}

/// All fields that an object has.
pub(super) fn field_set(value: &Value, place: Place) -> FieldSet {
    let mut set = FieldSet::default();
    collect(place, value, &mut Vec::new(), &mut set);
    set
}

fn collect(place: Place, value: &Value, path: &mut Vec<PathElement>, set: &mut FieldSet) {
    match atom(place, value) {
        Atom::Leaf => set.insert(path),
        Atom::Map => {
            for (key, value) in value.as_object().into_iter().flat_map(Map::iter) {
                path.push(field(key));
                collect(step(place, key), value, path, set);
                // A struct's field counts through what it holds; a map's entry is something itself.
                let named = place.is_some_and(|place| place.field(key).is_some());
                let empty_map = matches!(value, Value::Object(map) if map.is_empty());
                if value.is_null() || empty_map || !named {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Atom::List(kind) => {
            let items = items(kind, place, Some(value));
            for (at, (key, item)) in items.iter().enumerate() {
                path.push(key.clone());
                let same = |(other, _): &(PathElement, &Value)| other == key;
                let duplicate = items[..at].iter().any(same) || items[at + 1..].iter().any(same);
                if !duplicate {
                    collect(element(place), item, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// Lays `over` upon `under`: maps and keyed lists are merged, everything else is replaced.
pub(super) fn merge(under: &Value, over: &Value, place: Place) -> Value {
    merge_at(place, Some(under), Some(over)).unwrap_or(Value::Null)
}

fn merge_at(place: Place, under: Option<&Value>, over: Option<&Value>) -> Option<Value> {
    let sample = over.filter(|over| !over.is_null()).or(under).or(over)?;
    let keep = || over.or(under).cloned();
    let mixed = matches!((under, over), (Some(under), Some(over))
        if !under.is_null() && !over.is_null() && std::mem::discriminant(under) != std::mem::discriminant(over));
    if (is_empty(under) && is_empty(over)) || mixed {
        return keep();
    }
    match atom(place, sample) {
        Atom::Leaf => keep(),
        Atom::Map => {
            let empty = Map::new();
            let left = under.and_then(Value::as_object).unwrap_or(&empty);
            let right = over.and_then(Value::as_object).unwrap_or(&empty);
            let mut out = left.clone();
            for (key, value) in right.iter() {
                match merge_at(step(place, key), left.get(key), Some(value)) {
                    Some(merged) if out.get(key) == Some(&merged) => {}
                    Some(merged) => out.insert(key, merged),
                    None => {
                        out.remove(key);
                    }
                }
            }
            match under {
                Some(under) if out == *left => Some(under.clone()),
                _ => (!out.is_empty()).then(|| Value::from(out)),
            }
        }
        Atom::List(kind) => {
            let merged = merge_lists(&items(kind, place, under), &items(kind, place, over), place);
            (!merged.is_empty()).then(|| Value::from(merged))
        }
    }
}

/// Both lists' items: those that only `left` has stay where they were, the others come in `right`'s order.
fn merge_lists(left: &[(PathElement, &Value)], right: &[(PathElement, &Value)], place: Place) -> Vec<Value> {
    let find = |list: &[(PathElement, &Value)], key: &PathElement| {
        list.iter().position(|(element, _)| element == key)
    };
    let item = |key: &PathElement| {
        let under = find(left, key).map(|at| left[at].1);
        let over = find(right, key).map(|at| right[at].1);
        merge_at(element(place), under, over)
    };
    let mut shared = right.iter().map(|(key, _)| key).filter(|key| find(left, key).is_some());
    let mut next_shared = shared.next();
    let mut done: Vec<&PathElement> = Vec::new();
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if let (Some((key, _)), Some((other, _))) = (left.get(l), right.get(r)) {
            if key == other {
                done.push(key);
                out.extend(item(key));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if find(right, key).is_some() && next_shared.is_some_and(|next| next != key) {
                // It comes later, in the order of the right.
                l += 1;
                continue;
            }
        }
        if let Some((key, value)) = left.get(l) {
            if find(right, key).is_none() {
                out.extend(merge_at(element(place), Some(value), None));
                l += 1;
                continue;
            }
            if done.contains(&key) {
                l += 1;
            }
        }
        if let Some((key, _)) = right.get(r) {
            done.push(key);
            out.extend(item(key));
            r += 1;
            if next_shared == Some(key) {
                next_shared = shared.next();
            }
        }
    }
    out
}

/// The object without the fields of `set`.
pub(super) fn remove(value: &Value, set: &FieldSet, place: Place) -> Value {
    if set.is_empty() {
        return value.clone();
    }
    remove_at(place, value, set).unwrap_or_else(Value::object)
}

fn remove_at(place: Place, value: &Value, set: &FieldSet) -> Option<Value> {
    // What is emptied stays as an empty one of its kind.
    let inside = |place: Place, value: &Value, below: &FieldSet| match remove_at(place, value, below) {
        Some(left) if !left.is_null() => left,
        _ if matches!(value, Value::Object(_)) => Value::object(),
        _ if matches!(value, Value::Array(_)) => Value::array([]),
        _ => Value::Null,
    };
    match (atom(place, value), value) {
        (Atom::Map, Value::Object(map)) => {
            let mut out = map.as_ref().clone();
            for (key, value) in map.iter() {
                let element = field(key);
                if set.contains(&element) {
                    out.remove(key);
                } else if let Some(below) = set.below(&element) {
                    out.insert(key, inside(step(place, key), value, below));
                }
            }
            Some(if out == **map { value.clone() } else { Value::from(out) })
        }
        (Atom::List(kind), Value::Array(list)) => {
            let mut out = Vec::with_capacity(list.len());
            for item in list.iter() {
                match item_element(kind, place, item) {
                    Ok(key) if set.contains(&key) => {}
                    Ok(key) => match set.below(&key) {
                        Some(below) => out.push(inside(element(place), item, below)),
                        None => out.push(item.clone()),
                    },
                    Err(_) => out.push(item.clone()),
                }
            }
            if out.is_empty() { None } else { Some(Value::from(out)) }
        }
        (Atom::Leaf, _) if !matches!(value, Value::Object(_) | Value::Array(_)) => Some(value.clone()),
        _ => None,
    }
}

/// Whether an object fits its type; the error is upstream's.
pub(super) fn validate(value: &Value, place: Place) -> Result<(), String> {
    let mut errors = Vec::new();
    validate_at(place, value, String::new(), &mut errors);
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => {
            let mut lines = vec!["errors:".to_owned()];
            lines.extend(errors.iter().map(|error| format!("  {error}")));
            Err(lines.join("\n"))
        }
    }
}

/// The paths of arrays, maps and structs that are one value (`findAtomics`).
pub(super) fn atomics(value: &Value, place: Place, path: &mut Vec<PathElement>, found: &mut Vec<String>) {
    let Some(place) = place else { return };
    let is_list = matches!(value, Value::Array(_));
    let is_atomic = match place.shape() {
        Shape::Object(_) | Shape::Map { .. } => !is_list && place.is_atomic(),
        Shape::List { list, .. } => is_list && *list == ListKind::Atomic,
        Shape::Any => is_list,
        _ => return,
    };
    if is_atomic {
        found.push(super::path_text(path));
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter() {
                if let Some(own) = place.field(key) {
                    path.push(field(key));
                    atomics(value, Some(own.type_()), path, found);
                    path.pop();
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(PathElement::Index(index as i64));
                atomics(item, place.element(), path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn validate_at(place: Place, value: &Value, path: String, errors: &mut Vec<String>) {
    let Some(place) = place else { return };
    if value.is_null() {
        return;
    }
    let mut fail = |text: String| {
        errors.push(if path.is_empty() { text } else { format!("{path}: {text}") });
    };
    match (place.shape(), value) {
        (Shape::Object(shape), Value::Object(map)) => {
            for (key, value) in map.iter() {
                let path = format!("{path}.{key}");
                match place.field(key) {
                    Some(field) => validate_at(Some(field.type_()), value, path, errors),
                    None if shape.preserve_unknown => {}
                    None => errors.push(format!("{path}: field not declared in schema")),
                }
            }
        }
        (Shape::Map { .. }, Value::Object(map)) => {
            for (key, value) in map.iter() {
                validate_at(place.element(), value, format!("{path}.{key}"), errors);
            }
        }
        (Shape::List { list, .. }, Value::Array(items)) => {
            let mut seen: Vec<PathElement> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let here = match list {
                    ListKind::Atomic => format!("{path}[{index}]"),
                    kind => match item_element(kind, Some(place), item) {
                        Ok(key) => {
                            let text = super::path_text(std::slice::from_ref(&key));
                            if seen.contains(&key) {
                                errors.push(format!("{path}: duplicate entries for key {text}"));
                                continue;
                            }
                            seen.push(key);
                            format!("{path}{text}")
                        }
                        Err(error) => {
                            errors.push(format!("{path}: element {index}: {error}"));
                            continue;
                        }
                    },
                };
                validate_at(place.element(), item, here, errors);
            }
        }
        (Shape::Object(_) | Shape::Map { .. }, other) => {
            fail(format!("expected map, got &{{{}}}", super::super::go_display(other)));
        }
        (Shape::List { .. }, other) => {
            fail(format!("expected list, got &{{{}}}", super::super::go_display(other)));
        }
        (Shape::Integer { .. } | Shape::Float, Value::Integer(_) | Value::Float(_)) => {}
        (Shape::Integer { .. } | Shape::Float, other) => {
            fail(format!("expected numeric (int or float), got {}", other.go_type()));
        }
        (Shape::Boolean, Value::Bool(_)) => {}
        (Shape::Boolean, other) => {
            fail(format!("expected boolean, got &{{{}}}", super::super::go_display(other)));
        }
        (Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration, other)
            if other.as_str().is_none() =>
        {
            let other = super::super::go_display(other);
            fail(format!("expected string, got &value.valueUnstructured{{Value:{other}}}"));
        }
        _ => {}
    }
}
