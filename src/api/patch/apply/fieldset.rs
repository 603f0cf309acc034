//! Sets of fields, and their form on the wire.
//!
//! Picture to hold in mind: a transparent sheet laid over an object, with a dot on each field that is meant.
//! Sheets can be laid on one another (union), held against each other (intersection), or used to wipe dots off
//! (difference).
//!
//! Follows `sigs.k8s.io/structured-merge-diff/fieldpath`; the wire form is `FieldsV1`.

use std::cmp::Ordering;

use crate::api::field::go_quote;
use crate::api::schema::{SchemaType, Shape};
use crate::api::value::{Map, Text, Value};
use crate::arrange::Gather;
use crate::sorted::{SortedMap, SortedSet};

/// A scalar as part of a path; ordered numbers, strings, booleans.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal(pub Value);

impl Eq for Literal {}
impl PartialOrd for Literal {
    fn partial_cmp(&self, other: &Literal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Literal {
    fn cmp(&self, other: &Literal) -> Ordering {
        fn rank(value: &Value) -> u8 {
            match value {
                Value::Integer(_) | Value::Float(_) => 0,
                Value::String(_) => 1,
                Value::Bool(_) => 2,
                Value::Array(_) => 3,
                Value::Object(_) => 4,
                Value::Null => 5,
            }
        }
        match (&self.0, &other.0) {
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (a, b) => rank(a).cmp(&rank(b)).then_with(|| a.to_string().cmp(&b.to_string())),
        }
    }
}

impl Literal {
    fn text(&self) -> String {
        match &self.0 {
            Value::String(text) => go_quote(text),
            other => other.to_string(),
        }
    }
}

/// One step of a path. The order of the variants is the order of paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    Field(Text),
    /// The item of a list whose key fields have these values; sorted by name.
    Key(Vec<(Text, Literal)>),
    /// The item of a set.
    Value(Literal),
    Index(i64),
}

impl PathElement {
    /// `.spec`, `[name="web"]`, `[="a"]`, `[0]`.
    fn text(&self) -> String {
        match self {
            PathElement::Field(name) => format!(".{name}"),
            PathElement::Key(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}={}", value.text())).collect();
                format!("[{}]", fields.join(","))
            }
            PathElement::Value(value) => format!("[={}]", value.text()),
            PathElement::Index(index) => format!("[{index}]"),
        }
    }
    /// `f:spec`, `k:{"name":"web"}`, `v:"a"`, `i:0`.
    fn encode(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(fields) => {
                let map: Map = fields.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
                format!("k:{}", Value::from(map))
            }
            PathElement::Value(value) => format!("v:{}", value.0),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }
    /// `Ok(None)` for a kind of step that is not known, which is skipped.
    fn decode(text: &str) -> Result<Option<PathElement>, String> {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err("key must be 2 characters long:".to_owned());
        };
        let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
        Ok(match kind {
            "f:" => Some(PathElement::Field(Text::from(rest))),
            "v:" => Some(PathElement::Value(Literal(parse(rest)?))),
            "k:" => {
                let fields = parse(rest)?;
                let fields = fields.as_object().map(|map| {
                    map.iter().map(|(name, value)| (name.clone(), Literal(value.clone()))).collect()
                });
                fields.map(PathElement::Key)
            }
            "i:" => Some(PathElement::Index(rest.parse().map_err(|_| format!("invalid index: {rest}"))?)),
            _ if kind.ends_with(':') => None,
            _ => return Err(format!("missing colon: {text}")),
        })
    }
}

/// `.spec.containers[name="web"].image`.
pub fn path_text(path: &[PathElement]) -> String {
    path.iter().map(PathElement::text).collect()
}

/// A set of paths: which fields at this level, and the sets below them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSet {
    members: SortedSet<PathElement>,
    children: SortedMap<PathElement, FieldSet>,
}

impl FieldSet {
    /// The set of these dotted paths of plain fields.
    pub fn of_paths(paths: &[&str]) -> FieldSet {
        let mut set = FieldSet::default();
        for path in paths {
            let path: Vec<PathElement> =
                path.split('.').map(|name| PathElement::Field(Text::from(name))).gather();
            set.insert(&path);
        }
        set
    }
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(FieldSet::is_empty)
    }
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|child| child.has(rest)),
        }
    }
    pub fn contains(&self, element: &PathElement) -> bool {
        self.members.contains(element)
    }
    /// What is below `element`.
    pub fn below(&self, element: &PathElement) -> Option<&FieldSet> {
        self.children.get(element).filter(|set| !set.is_empty())
    }

    #[must_use]
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = self.clone();
        out.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            let merged = out.children.get(element).map_or_else(|| child.clone(), |own| own.union(child));
            out.children.insert(element.clone(), merged);
        }
        out
    }
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let children = self.children.iter().filter_map(|(element, child)| {
            let common = child.intersection(other.children.get(element)?);
            (!common.is_empty()).then(|| (element.clone(), common))
        });
        FieldSet {
            members: self.members.intersection(&other.members).cloned().gather(),
            children: children.gather(),
        }
    }
    /// Without the paths of `other`, but with those below them.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let children = self.children.iter().filter_map(|(element, child)| {
            let left = match other.children.get(element) {
                Some(other) => child.difference(other),
                None => child.clone(),
            };
            (!left.is_empty()).then(|| (element.clone(), left))
        });
        FieldSet {
            members: self.members.difference(&other.members).cloned().gather(),
            children: children.gather(),
        }
    }
    /// Without these dotted paths and everything below them.
    #[must_use]
    pub fn without_paths(&self, paths: &[&str]) -> FieldSet {
        let mut out = self.clone();
        for path in paths {
            out.remove_path(path);
        }
        out
    }
    fn remove_path(&mut self, path: &str) {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        let element = PathElement::Field(Text::from(name));
        if rest.is_empty() {
            self.members.remove(&element);
            self.children.remove(&element);
        } else if let Some(child) = self.children.get_mut(&element) {
            child.remove_path(rest);
            if child.is_empty() {
                self.children.remove(&element);
            }
        }
    }
    /// The same with every struct field on the way to a member being a member itself: fields with names exist
    /// only together with what they hold.
    #[must_use]
    pub fn with_named_fields(&self, place: Option<SchemaType>) -> FieldSet {
        let mut members = self.members.clone();
        let mut children = SortedMap::new();
        for (element, child) in &self.children {
            let inside = match element {
                PathElement::Field(name) => {
                    let is_struct = place.is_some_and(|place| matches!(place.shape(), Shape::Object(_)));
                    if is_struct && place.is_some_and(|place| place.field(name).is_some()) {
                        members.insert(element.clone());
                    }
                    place.and_then(|place| place.step(name))
                }
                _ => place.and_then(SchemaType::element),
            };
            children.insert(element.clone(), child.with_named_fields(inside));
        }
        FieldSet { members, children }
    }

    /// All paths, in order.
    pub fn paths(&self) -> Vec<Vec<PathElement>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }
    fn collect(&self, prefix: &mut Vec<PathElement>, paths: &mut Vec<Vec<PathElement>>) {
        for member in &self.members {
            let mut path = prefix.clone();
            path.push(member.clone());
            paths.push(path);
        }
        for (element, child) in &self.children {
            prefix.push(element.clone());
            child.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// `FieldsV1`: nested objects, `{}` for a member, `.` for a member that also has something below.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        for member in &self.members {
            map.insert(member.encode(), Value::object());
        }
        for (element, child) in self.children.iter().filter(|(_, child)| !child.is_empty()) {
            let mut inner = child.to_value();
            if self.members.contains(element) {
                inner.make_object().insert(".", Value::object());
            }
            map.insert(element.encode(), inner);
        }
        Value::from(map)
    }
    pub fn from_value(fields: &Value) -> Result<FieldSet, String> {
        let mut set = FieldSet::default();
        let Some(map) = fields.as_object() else { return Ok(set) };
        for (key, inner) in map.iter().filter(|(key, _)| key.as_str() != ".") {
            let Some(element) = PathElement::decode(key)? else { continue };
            let child = FieldSet::from_value(inner)?;
            if child.is_empty() || inner.get(".").is_some() {
                set.members.insert(element.clone());
            }
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        Ok(set)
    }
}
