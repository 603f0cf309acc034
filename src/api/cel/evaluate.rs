//! From a tree and the values of its names to a value.
//!
//! Picture to hold in mind: a sum worked out on paper, innermost brackets first, with a fixed number of pencil strokes. A
//! wrong step does not spoil an "or" whose other side is right.

use std::cmp::Ordering;

use super::libraries::{Check, Decision};
use super::parse::{Kind, Macro, Node};
use super::{Cel, Failure, functions};
use crate::api::value::{Text, Value, literal};
use crate::arrange::Arrange;

/// What went wrong, in parts.
#[inline(never)]
pub(super) fn failure(parts: &[&str]) -> Failure {
    Text::from(parts.concat())
}

/// Steps that one expression may take (`PerCallLimit`), and all for one request (`RuntimeCELCostBudget`).
const BUDGET: usize = 1_000_000;
pub const WHOLE_BUDGET: usize = 10 * BUDGET;
/// Upstream's words for an expression that takes too long.
pub const COST_EXCEEDED: &str = "operation cancelled: actual cost limit exceeded";
/// The same, for a request whose expressions take too long together.
pub const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";
/// Variables may stand on the shoulders of others: so high, all in all.
const MAXIMUM_DEPTH: usize = 120;
/// How deep values may lie in each other: they are compared and dropped by recursion.
const MAXIMUM_NESTING: usize = 60;

pub(super) fn no_such_overload() -> Failure {
    literal!("no such overload")
}

/// An expression with a name, worked out when it is first asked for.
pub struct Variable<'a> {
    name: &'a str,
    node: Result<Node, Text>,
    value: Option<Result<Cel, Failure>>,
}

pub struct Evaluator<'a> {
    names: &'a [(&'a str, Cel)],
    variables: Vec<Variable<'a>>,
    bound: Vec<(Text, Cel)>,
    steps: usize,
    /// Steps that are left for all expressions together.
    pub left: usize,
    depth: usize,
    /// Who answers what the authorizer is asked.
    pub judge: Option<&'a Judge<'a>>,
}

/// What the API server's authorizers say of a check, with a verb.
pub type Judge<'a> = dyn Fn(&Check, &str) -> Decision + 'a;

impl<'a> Evaluator<'a> {
    /// `left` is what all its expressions together may cost.
    pub fn new(names: &'a [(&'a str, Cel)], left: usize) -> Evaluator<'a> {
        Evaluator { names, variables: Vec::new(), bound: Vec::new(), steps: 0, left, depth: 0, judge: None }
    }
    pub fn has_no_variables(&self) -> bool {
        self.variables.is_empty()
    }
    pub fn define(&mut self, name: &'a str, node: Result<Node, Text>) {
        self.variables.push(Variable { name, node, value: None });
    }
    /// The value of a whole expression, which may cost [`BUDGET`] if so much is left.
    pub fn run(&mut self, node: &Node) -> Result<Cel, Failure> {
        let before = self.left.min(BUDGET);
        self.steps = before;
        let value = self.evaluate(node);
        self.left -= before - self.steps;
        value
    }
    #[inline(never)]
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Failure> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(literal!(COST_EXCEEDED))
            }
        }
    }
    fn evaluate(&mut self, node: &Node) -> Result<Cel, Failure> {
        self.spend(1)?;
        self.depth += 1;
        let result =
            if self.depth > MAXIMUM_DEPTH { Err(literal!(COST_EXCEEDED)) } else { self.value_of(node) };
        self.depth -= 1;
        result
    }
    fn value_of(&mut self, node: &Node) -> Result<Cel, Failure> {
        let children = &node.children;
        match &node.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Name(name) => self.named(name),
            Kind::Select(field) => {
                if field == "requestResource"
                    && matches!(&children[0].kind, Kind::Name(name) if name == "authorizer")
                {
                    return self.named("authorizer.requestResource");
                }
                if matches!(&children[0].kind, Kind::Name(name) if name == "variables")
                    && let Some(value) = self.variable(field)
                {
                    return value;
                }
                if let "Timestamp" | "Duration" = field.as_str()
                    && let Some(name) = node.qualified()
                    && functions::TYPES.contains(&name.as_str())
                {
                    return self.named(&name);
                }
                let owner = self.evaluate(&children[0])?;
                select(&owner, field)
            }
            Kind::OptionalSelect(field) => {
                let owner = self.evaluate(&children[0])?;
                self.perhaps(&owner, &Cel::from(field))
            }
            Kind::Has(field) => match self.evaluate(&children[0])? {
                Cel::Optional(inner) => {
                    Ok(inner.is_some_and(|inner| field_of(&inner, field).is_some()).into())
                }
                owner => Ok(field_of(&owner, field).is_some().into()),
            },
            Kind::Index => {
                let owner = self.evaluate(&children[0])?;
                let index = self.evaluate(&children[1])?;
                if let Cel::Optional(_) = owner {
                    return self.perhaps(&owner, &index);
                }
                self.lookup(&owner, &index)?.ok_or_else(|| missing(&owner, &index))
            }
            Kind::OptionalIndex => {
                let owner = self.evaluate(&children[0])?;
                let index = self.evaluate(&children[1])?;
                self.perhaps(&owner, &index)
            }
            Kind::Call(name) => self.call(name, false, children),
            Kind::MemberCall(name) => self.call(name, true, children),
            Kind::And => self.absorb(children, false),
            Kind::Or => self.absorb(children, true),
            Kind::If => match self.evaluate(&children[0])?.as_bool() {
                Some(is) => self.evaluate(&children[if is { 1 } else { 2 }]),
                None => Err(no_such_overload()),
            },
            Kind::List => {
                let mut items = Vec::new();
                for child in children {
                    items.extend(self.entry(child, child)?);
                }
                Ok(Cel::list(items))
            }
            Kind::Optional => Err(no_such_overload()),
            Kind::Struct(name, names) => {
                let mut fields = Vec::new();
                for ((field, _), child) in names.iter().zip(children) {
                    fields.extend(self.entry(child, child)?.map(|value| (field.clone(), value)));
                }
                Ok(Cel::Object((name.clone(), fields).into()))
            }
            Kind::Map => {
                let mut entries: Vec<(Cel, Cel)> = Vec::new();
                for pair in children.chunks(2) {
                    let key = match &pair[0] {
                        Node { kind: Kind::Optional, children, .. } => &children[0],
                        key => key,
                    };
                    let key = self.evaluate(key)?;
                    let Some(value) = self.entry(&pair[0], &pair[1])? else { continue };
                    for (other, _) in &entries {
                        if self.equal(other, &key)? {
                            return Err(failure(&["map key conflict: ", &shown(&key)]));
                        }
                    }
                    entries.push((key, value));
                }
                Ok(Cel::Map(entries.into()))
            }
            Kind::Loop(kind, first, second) => self.go_through(*kind, [first, second], children),
        }
    }
    /// What a list, a map or a struct gets of `node`: nothing where `marked` has a `?` and the value is none.
    fn entry(&mut self, marked: &Node, node: &Node) -> Result<Option<Cel>, Failure> {
        if !matches!(marked.kind, Kind::Optional) {
            return self.evaluate(node).map(Some);
        }
        let inner = if matches!(node.kind, Kind::Optional) { &node.children[0] } else { node };
        match self.evaluate(inner)? {
            Cel::Optional(value) => Ok(value.map(|value| Cel::clone(&value))),
            _ => Err(no_such_overload()),
        }
    }
    fn all(&mut self, nodes: &[Node]) -> Result<Vec<Cel>, Failure> {
        nodes.iter().map(|node| self.evaluate(node)).collect()
    }
    fn named(&mut self, name: &str) -> Result<Cel, Failure> {
        if let Some((_, value)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return Ok(value.clone());
        }
        if let Some((_, value)) = self.names.iter().find(|(own, _)| *own == name) {
            return Ok(value.clone());
        }
        match functions::TYPES.iter().find(|own| **own == name) {
            Some(name) => Ok(Cel::Type(name)),
            None => Err(failure(&["no such attribute(s): ", name])),
        }
    }
    /// `variables.name`, worked out once.
    fn variable(&mut self, name: &str) -> Option<Result<Cel, Failure>> {
        let index = self.variables.iter().position(|variable| variable.name == name)?;
        if let Some(value) = &self.variables[index].value {
            return Some(value.clone());
        }
        // Out of sight while it is worked out: it can only build on others.
        let mut own = self.variables.swap_remove(index);
        let bound = std::mem::take(&mut self.bound);
        let value = match &own.node {
            Ok(node) => self
                .evaluate(node)
                .and_then(|value| self.measure(&value, MAXIMUM_NESTING).map(|()| value))
                .map_err(|error| ("evaluate", error)),
            Err(error) => Err(("compile", error.clone())),
        };
        let value = value.map_err(|(what, error)| {
            failure(&["composited variable \"", name, "\" fails to ", what, ": ", &error])
        });
        self.bound = bound;
        own.value = Some(value.clone());
        self.variables.push(own);
        Some(value)
    }
    fn measure(&mut self, value: &Cel, left: usize) -> Result<(), Failure> {
        self.spend(1)?;
        let Some(left) = left.checked_sub(1) else { return Err(literal!(COST_EXCEEDED)) };
        match value {
            Cel::List(items) => items.iter().try_for_each(|item| self.measure(item, left)),
            Cel::Map(entries) => entries.iter().try_for_each(|(_, value)| self.measure(value, left)),
            Cel::Optional(Some(inner)) => self.measure(inner, left),
            Cel::Object(object) => object.1.iter().try_for_each(|(_, value)| self.measure(value, left)),
            _ => Ok(()),
        }
    }
    /// `||` and `&&`: whichever part decides does, in whatever order; errors count only if none decides.
    fn absorb(&mut self, parts: &[Node], decides: bool) -> Result<Cel, Failure> {
        let mut trouble = None;
        for part in parts {
            match self.evaluate(part).map(|value| value.as_bool()) {
                Ok(Some(is)) if is == decides => return Ok(decides.into()),
                Ok(Some(_)) => {}
                Ok(None) => trouble = trouble.or_else(|| Some(no_such_overload())),
                Err(error) if self.steps == 0 => return Err(error),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok((!decides).into()), Err)
    }
    fn go_through(&mut self, kind: Macro, names: [&Text; 2], parts: &[Node]) -> Result<Cel, Failure> {
        let range = self.evaluate(&parts[0])?;
        let Some(body) = parts.last() else { return Err(no_such_overload()) };
        if matches!(kind, Macro::OptionalMap | Macro::OptionalFlatMap) {
            let Cel::Optional(inner) = range else { return Err(no_such_overload()) };
            let Some(inner) = inner else { return Ok(Cel::Optional(None)) };
            let value = self.with(names, &[Cel::clone(&inner), Cel::NULL], body)?;
            return match (kind, &value) {
                (Macro::OptionalMap, _) => Ok(Cel::optional(Some(value))),
                (_, Cel::Optional(_)) => Ok(value),
                _ => Err(no_such_overload()),
            };
        }
        let Some(items) = range.items() else { return Err(no_such_overload()) };
        self.spend(items.len())?;
        let (mut out, mut entries, mut count, mut trouble) = (Vec::new(), Vec::new(), 0, None);
        let is_double = !names[1].is_empty();
        for (index, item) in items.into_iter().enumerate() {
            let values = match () {
                () if !is_double => [item, Cel::NULL],
                () if range.is_list() => [index.into(), item],
                () => {
                    let value = self.lookup(&range, &item)?.unwrap_or(Cel::NULL);
                    [item, value]
                }
            };
            if let Macro::Map
            | Macro::SortBy
            | Macro::TransformList
            | Macro::TransformMap
            | Macro::TransformMapEntry = kind
            {
                let filter = (parts.len() == 3).then(|| &parts[1]);
                if let Some(filter) = filter
                    && !self.with(names, &values, filter)?.as_bool().ok_or_else(no_such_overload)?
                {
                    continue;
                }
                let result = self.with(names, &values, body)?;
                match kind {
                    Macro::Map | Macro::TransformList => out.push(result),
                    Macro::SortBy => entries.push((result, values[0].clone())),
                    Macro::TransformMap => entries.push((values[0].clone(), result)),
                    _ => {
                        for key in result.items().filter(|_| result.is_map()).ok_or_else(no_such_overload)? {
                            let value = self.lookup(&result, &key)?.unwrap_or(Cel::NULL);
                            self.insert(&mut entries, key, value)?;
                        }
                    }
                }
                continue;
            }
            let is = match self.with(names, &values, body) {
                Ok(value) => value.as_bool().ok_or_else(no_such_overload),
                Err(error) => Err(error),
            };
            match (kind, is) {
                (Macro::All, Ok(false)) => return Ok(false.into()),
                (Macro::Exists, Ok(true)) => return Ok(true.into()),
                (Macro::Filter, Ok(true)) => out.push(values[0].clone()),
                (Macro::ExistsOne, Ok(true)) => count += 1,
                (Macro::All | Macro::Exists, Err(error)) if self.steps > 0 => {
                    trouble = trouble.or(Some(error));
                }
                (_, Err(error)) => return Err(error),
                _ => {}
            }
        }
        match (kind, trouble) {
            (_, Some(error)) => Err(error),
            (Macro::All, _) => Ok(true.into()),
            (Macro::Exists, _) => Ok(false.into()),
            (Macro::ExistsOne, _) => Ok((count == 1).into()),
            (Macro::TransformMap | Macro::TransformMapEntry, _) => Ok(Cel::Map(entries.into())),
            (Macro::SortBy, _) => self.sorted(entries),
            _ => Ok(Cel::list(out)),
        }
    }
    /// Adds to a map what must not be in it yet.
    fn insert(&mut self, entries: &mut Vec<(Cel, Cel)>, key: Cel, value: Cel) -> Result<(), Failure> {
        for (other, _) in entries.iter() {
            if self.equal(other, &key)? {
                return Err(failure(&["insert failed: key ", &shown(&key), " already exists"]));
            }
        }
        entries.push((key, value));
        Ok(())
    }
    /// What lies behind the keys, in the keys' order.
    pub(super) fn sorted(&mut self, mut entries: Vec<(Cel, Cel)>) -> Result<Cel, Failure> {
        let Some((first, _)) = entries.first() else { return Ok(Cel::list(Vec::new())) };
        let kind = first.type_name();
        if entries.iter().any(|(key, _)| key.type_name() != kind) {
            return Err(literal!("list elements must have the same type"));
        }
        self.compare(&entries[0].0, &entries[0].0)?
            .ok_or_else(|| failure(&["list elements must be comparable"]))?;
        self.spend(entries.len().saturating_mul(entries.len().ilog2() as usize + 1))?;
        let mut trouble = None;
        entries.arrange_by(|(a, _), (b, _)| {
            self.compare(a, b).map(|order| order.unwrap_or(Ordering::Equal)).unwrap_or_else(|error| {
                trouble = Some(error);
                Ordering::Equal
            })
        });
        trouble.map_or(Ok(Cel::list(entries.into_iter().map(|(_, value)| value).collect())), Err)
    }
    fn with(&mut self, names: [&Text; 2], values: &[Cel; 2], body: &Node) -> Result<Cel, Failure> {
        let before = self.bound.len();
        for (name, value) in names.into_iter().zip(values).filter(|(name, _)| !name.is_empty()) {
            self.bound.push((name.clone(), value.clone()));
        }
        let result = self.evaluate(body);
        self.bound.truncate(before);
        result
    }
    fn call(&mut self, name: &str, is_member: bool, nodes: &[Node]) -> Result<Cel, Failure> {
        if is_member && let Some(Kind::Name(owner)) = nodes.first().map(|node| &node.kind) {
            let is_bound = self.bound.iter().any(|(bound, _)| bound == owner);
            if !is_bound && functions::is_library(owner, name) {
                let arguments = self.all(&nodes[1..])?;
                return functions::of_library(self, owner, name, &arguments);
            }
        }
        if is_member && name == "orValue" && nodes.len() == 2 {
            return match self.evaluate(&nodes[0])? {
                Cel::Optional(Some(inner)) => Ok(Cel::clone(&inner)),
                Cel::Optional(None) => self.evaluate(&nodes[1]),
                _ => Err(no_such_overload()),
            };
        }
        let arguments = self.all(nodes)?;
        match (name, &arguments[..]) {
            ("==", [a, b]) => Ok(self.equal(a, b)?.into()),
            ("!=", [a, b]) => Ok((!self.equal(a, b)?).into()),
            ("in", [item, range]) if range.is_list() => Ok(self.position(range, item)?.is_some().into()),
            ("in", [key, range]) if range.is_map() => Ok(self.lookup(range, key)?.is_some().into()),
            ("<" | "<=" | ">" | ">=", [a, b]) => {
                let Some(order) = self.compare(a, b)? else { return Err(no_such_overload()) };
                Ok(match name {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                }
                .into())
            }
            _ if is_member => functions::member(self, name, &arguments),
            _ => functions::global(self, name, &arguments),
        }
    }
    /// The value at the key of this number.
    pub(super) fn entry_at(&self, map: &Cel, index: usize) -> Cel {
        match map {
            Cel::Map(entries) => entries.get(index).map(|(_, value)| value.clone()),
            Cel::Value(Value::Object(map)) => map.iter().nth(index).map(|(_, value)| Cel::from(value)),
            _ => None,
        }
        .unwrap_or(Cel::NULL)
    }
    /// Where the first item lies that is equal.
    pub(super) fn position(&mut self, list: &Cel, wanted: &Cel) -> Result<Option<usize>, Failure> {
        for index in 0..list.count() {
            if let Some(item) = list.item(index)
                && self.equal(&item, wanted)?
            {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
    /// What stands at an index or a key.
    fn lookup(&mut self, owner: &Cel, index: &Cel) -> Result<Option<Cel>, Failure> {
        if owner.is_list() {
            let index = match index {
                Cel::Value(Value::Integer(index)) => usize::try_from(*index).ok(),
                Cel::Uint(index) => usize::try_from(*index).ok(),
                Cel::Value(Value::Float(index)) if index.fract() == 0.0 => Some(*index as usize),
                _ => return Err(no_such_overload()),
            };
            return Ok(index.and_then(|index| owner.item(index)));
        }
        match (owner, index.as_str()) {
            (Cel::Value(Value::Object(_)) | Cel::Map(_), Some(name)) => Ok(owner.field(name)),
            (Cel::Map(entries), None) => {
                for (key, value) in entries.iter() {
                    if self.equal(key, index)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            (Cel::Value(Value::Object(_)), None) => Ok(None),
            _ => Err(no_such_overload()),
        }
    }
    /// `a.?b` and `a[?b]`.
    fn perhaps(&mut self, owner: &Cel, index: &Cel) -> Result<Cel, Failure> {
        let owner = match owner {
            Cel::Optional(None) => return Ok(Cel::Optional(None)),
            Cel::Optional(Some(inner)) => inner,
            other => other,
        };
        let found = match index.as_str() {
            Some(name) if !owner.is_list() => field_of(owner, name),
            _ => self.lookup(owner, index)?,
        };
        Ok(Cel::optional(found))
    }
    pub(super) fn equal(&mut self, a: &Cel, b: &Cel) -> Result<bool, Failure> {
        self.spend(1)?;
        if let (Cel::Value(a), Cel::Value(b)) = (a, b)
            && a.is_same(b)
        {
            return Ok(true);
        }
        if a.is_list() && b.is_list() {
            let mut same = a.count() == b.count();
            for index in 0..a.count() {
                if let (true, Some(a), Some(b)) = (same, a.item(index), b.item(index)) {
                    same = self.equal(&a, &b)?;
                }
            }
            return Ok(same);
        }
        if a.is_map() && b.is_map() {
            if a.count() != b.count() {
                return Ok(false);
            }
            for key in a.items().unwrap_or_default() {
                let (Some(a), Some(b)) = (self.lookup(a, &key)?, self.lookup(b, &key)?) else {
                    return Ok(false);
                };
                if !self.equal(&a, &b)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        Ok(match (a, b) {
            (Cel::Value(Value::Null), Cel::Value(Value::Null)) => true,
            (Cel::Type(a), Cel::Type(b)) => a == b,
            (Cel::Opaque(a), Cel::Opaque(b)) => a == b,
            (Cel::Optional(None), Cel::Optional(None)) => true,
            (Cel::Optional(Some(a)), Cel::Optional(Some(b))) => self.equal(a, b)?,
            (Cel::Object(a), Cel::Object(b)) => {
                if a.0 != b.0 || a.1.len() != b.1.len() {
                    return Ok(false);
                }
                for (name, value) in &a.1 {
                    let Some((_, other)) = b.1.iter().find(|(own, _)| own == name) else { return Ok(false) };
                    if !self.equal(value, other)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => self.compare(a, b)? == Some(Ordering::Equal),
        })
    }
    /// `None` for what has no order.
    pub(super) fn compare(&mut self, a: &Cel, b: &Cel) -> Result<Option<Ordering>, Failure> {
        if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
            self.spend(a.len().min(b.len()) / 16 + 1)?;
            return Ok(Some(a.cmp(b)));
        }
        Ok(match (a, b) {
            (Cel::Value(Value::Bool(a)), Cel::Value(Value::Bool(b))) => Some(a.cmp(b)),
            (Cel::Bytes(a), Cel::Bytes(b)) => {
                self.spend(a.len().min(b.len()) / 16 + 1)?;
                Some(a.cmp(b))
            }
            (Cel::Duration(a), Cel::Duration(b)) | (Cel::Timestamp(a), Cel::Timestamp(b)) => Some(a.cmp(b)),
            (Cel::Quantity(a), Cel::Quantity(b)) => Some(a.nanos().cmp(&b.nanos())),
            _ => match (whole(a), whole(b), float(a), float(b)) {
                (Some(a), Some(b), ..) => Some(a.cmp(&b)),
                (_, _, Some(a), Some(b)) => a.partial_cmp(&b),
                _ => None,
            },
        })
    }
}

fn whole(value: &Cel) -> Option<i128> {
    match value {
        Cel::Value(Value::Integer(number)) => Some(i128::from(*number)),
        Cel::Uint(number) => Some(i128::from(*number)),
        _ => None,
    }
}

#[inline(never)]
pub(super) fn float(value: &Cel) -> Option<f64> {
    match value {
        Cel::Value(Value::Float(number)) => Some(*number),
        _ => whole(value).map(|number| number as f64),
    }
}

/// A field, under its own name or as rules spell what is no identifier: `a__dash__b` for `a-b`.
fn field_of(owner: &Cel, name: &str) -> Option<Cel> {
    owner.field(name).or_else(|| owner.field(&super::unescaped(name).filter(|own| own != name)?))
}

#[inline(never)]
fn select(owner: &Cel, field: &str) -> Result<Cel, Failure> {
    match owner {
        Cel::Optional(inner) => Ok(Cel::optional(inner.as_ref().and_then(|inner| field_of(inner, field)))),
        Cel::Object(_) => Ok(owner.field(field).unwrap_or(Cel::NULL)),
        _ if owner.is_map() => field_of(owner, field).ok_or_else(|| failure(&["no such key: ", field])),
        _ => Err(no_such_overload()),
    }
}

fn shown(value: &Cel) -> String {
    match value {
        Cel::Value(Value::String(text)) => text.to_string(),
        Cel::Value(value) => value.to_string(),
        Cel::Uint(number) => number.to_string(),
        _ => value.type_name().to_owned(),
    }
}

fn missing(owner: &Cel, index: &Cel) -> Failure {
    failure(&[if owner.is_list() { "index out of bounds: " } else { "no such key: " }, &shown(index)])
}
