//! From a tree and the values of its names to a value.
//!
//! Picture to hold in mind: a sum worked out on paper, innermost brackets first, with a fixed number of pencil strokes. A
//! wrong step does not spoil an "or" whose other side is right.

use std::cmp::Ordering;

use super::libraries::{Check, Decision};
use super::parse::{Kind, Node};
use super::price::{is_constant, is_folded};
use super::{Cel, Failure, functions};
use crate::api::value::{Text, Value, literal};

/// What went wrong, in parts.
#[inline(never)]
pub(super) fn failure(parts: &[&str]) -> Failure {
    Text::from(parts.concat())
}

/// What one expression may cost (`PerCallLimit`).
const LIMIT: u64 = 1_000_000;
/// Upstream's words for an expression that costs more than that.
pub const COST_EXCEEDED: &str = "operation cancelled: actual cost limit exceeded";
/// The same, for expressions that cost too much together.
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

/// What is left for several expressions together.
#[derive(Clone, Copy)]
pub struct Budget {
    /// In cel-go's units.
    pub cost: u64,
    /// Strokes of our own pencil: what upstream holds for cheap can still take long.
    pub steps: usize,
}

impl Budget {
    /// For a custom resource, or a policy with one of its bindings (`RuntimeCELCostBudget`).
    pub const WHOLE: Budget = Budget { cost: 10 * LIMIT, steps: 20_000_000 };
    /// The same as to the conditions that a policy or a webhook sets before (`RuntimeCELCostBudgetMatchConditions`).
    pub const CONDITIONS: Budget = Budget { cost: 2_500_000, ..Budget::WHOLE };
}

pub struct Evaluator<'a> {
    names: &'a [(&'a str, Cel)],
    variables: Vec<Variable<'a>>,
    pub(super) bound: Vec<(Text, Cel)>,
    /// What the expression has cost so far, and the variables that it asked for: each of them is held for an expression
    /// of its own.
    pub(super) cost: u64,
    cost_of_variables: u64,
    pub left: Budget,
    depth: usize,
    /// Who answers what the authorizer is asked.
    pub judge: Option<&'a Judge<'a>>,
}

/// What the API server's authorizers say of a check, with a verb.
pub type Judge<'a> = dyn Fn(&Check, &str) -> Decision + 'a;

impl<'a> Evaluator<'a> {
    pub fn new(names: &'a [(&'a str, Cel)], left: Budget) -> Evaluator<'a> {
        let (cost, cost_of_variables, depth) = (0, 0, 0);
        let (variables, bound) = (Vec::new(), Vec::new());
        Evaluator { names, variables, bound, cost, cost_of_variables, left, depth, judge: None }
    }
    pub fn has_no_variables(&self) -> bool {
        self.variables.is_empty()
    }
    pub fn define(&mut self, name: &'a str, node: Result<Node, Text>) {
        self.variables.push(Variable { name, node, value: None });
    }
    /// The value of a whole expression, if what is left has paid for it.
    pub fn run(&mut self, node: &Node) -> Result<Cel, Failure> {
        (self.cost, self.cost_of_variables) = (0, 0);
        let value = self.settled(node);
        let cost = self.cost.saturating_add(self.cost_of_variables);
        let is_paid = cost <= self.left.cost;
        self.left.cost = self.left.cost.saturating_sub(cost);
        if is_paid { value } else { Err(literal!(OUT_OF_BUDGET)) }
    }
    #[inline(never)]
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Failure> {
        self.left.steps = self.left.steps.saturating_sub(steps);
        if self.left.steps == 0 { Err(literal!(COST_EXCEEDED)) } else { Ok(()) }
    }
    /// Adds to what the expression costs.
    #[inline(never)]
    pub(super) fn charge(&mut self, cost: u64) -> Result<(), Failure> {
        self.cost = self.cost.saturating_add(cost);
        if self.is_cancelled() { Err(literal!(COST_EXCEEDED)) } else { Ok(()) }
    }
    pub(super) fn is_of_policy(&self) -> bool {
        self.names.first().is_some_and(|(name, _)| *name == "object")
    }
    /// Whether no "or" can save the expression.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cost > LIMIT || self.left.steps == 0
    }
    pub(super) fn evaluate(&mut self, node: &Node) -> Result<Cel, Failure> {
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
                    self.charge(2)?;
                    return value;
                }
                if let "Timestamp" | "Duration" = field.as_str()
                    && let Some(name) = node.qualified()
                    && functions::TYPES.contains(&name.as_str())
                {
                    return self.named(&name);
                }
                let owner = self.evaluate(&children[0])?;
                let value = self.select(&owner, field);
                self.charge_step(&children[0], &value)?;
                value
            }
            Kind::OptionalSelect(field) => {
                let owner = self.evaluate(&children[0])?;
                let value = self.perhaps(&owner, &Cel::from(field));
                self.charge_step(&children[0], &value)?;
                value
            }
            Kind::Has(field) => {
                let owner = self.silently(&children[0])?;
                self.charge(1)?;
                let found = match &owner {
                    Cel::Optional(inner) => inner.as_ref().and_then(|inner| self.field_of(inner, field)),
                    owner => self.field_of(owner, field),
                };
                Ok(found.is_some().into())
            }
            Kind::Index | Kind::OptionalIndex => {
                let owner = self.evaluate(&children[0])?;
                let index = self.silently(&children[1])?;
                let value = if matches!(owner, Cel::Optional(_)) || matches!(node.kind, Kind::OptionalIndex) {
                    self.perhaps(&owner, &index)
                } else {
                    self.lookup(&owner, &index).and_then(|own| own.ok_or_else(|| missing(&owner, &index)))
                };
                self.charge_step(&children[0], &value)?;
                value
            }
            Kind::Call(name) => self.call(name, false, children),
            Kind::MemberCall(name) => self.call(name, true, children),
            Kind::And => self.absorb(children, false),
            Kind::Or => self.absorb(children, true),
            Kind::If => match self.evaluate(&children[0])?.as_bool() {
                Some(is) => self.silently(&children[if is { 1 } else { 2 }]),
                None => Err(no_such_overload()),
            },
            Kind::List => {
                let mut items = Vec::new();
                for child in children {
                    items.extend(self.entry(child, child)?);
                }
                self.charge(if is_constant(node) { 0 } else { 10 })?;
                Ok(Cel::list(items))
            }
            Kind::Optional => Err(no_such_overload()),
            Kind::Struct(name, names) => {
                let mut fields = Vec::new();
                for ((field, _), child) in names.iter().zip(children) {
                    fields.extend(self.entry(child, child)?.map(|value| (field.clone(), value)));
                }
                self.charge(40)?;
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
                self.charge(if is_constant(node) { 0 } else { 30 })?;
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
    fn named(&mut self, name: &str) -> Result<Cel, Failure> {
        let bound = self.bound.iter().rev().find(|(bound, _)| bound == name).map(|(_, value)| value);
        let own = || self.names.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
        if let Some(value) = bound.or_else(own).cloned() {
            self.charge(1)?;
            return Ok(value);
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
        let cost = std::mem::take(&mut self.cost);
        let value = match &own.node {
            Ok(node) => self.settled(node).map_err(|error| ("evaluate", error)),
            Err(error) => Err(("compile", error.clone())),
        };
        let value = value.map_err(|(what, error)| {
            failure(&["composited variable \"", name, "\" fails to ", what, ": ", &error])
        });
        self.bound = bound;
        self.cost_of_variables = self.cost_of_variables.saturating_add(self.cost);
        self.cost = cost;
        own.value = Some(value.clone());
        self.variables.push(own);
        Some(value)
    }
    /// A value that is kept: it must be small enough to be gone through, with all that lies in it more than once.
    fn settled(&mut self, node: &Node) -> Result<Cel, Failure> {
        let value = self.evaluate(node)?;
        self.measure(&value, MAXIMUM_NESTING).map(|()| value)
    }
    fn measure(&mut self, value: &Cel, left: usize) -> Result<(), Failure> {
        self.spend(8)?;
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
                Err(error) if self.is_cancelled() => return Err(error),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok((!decides).into()), Err)
    }
    fn call(&mut self, name: &str, is_member: bool, nodes: &[Node]) -> Result<Cel, Failure> {
        let library = match nodes.first().map(|node| &node.kind) {
            Some(Kind::Name(owner))
                if is_member
                    && !self.bound.iter().any(|(bound, _)| bound == owner)
                    && functions::is_library(owner, name) =>
            {
                Some(owner)
            }
            _ => None,
        };
        if is_member && matches!(name, "or" | "orValue") && nodes.len() == 2 {
            return match self.evaluate(&nodes[0])? {
                Cel::Optional(Some(inner)) if name == "orValue" => Ok(Cel::clone(&inner)),
                Cel::Optional(None) => self.evaluate(&nodes[1]),
                own @ Cel::Optional(_) => Ok(own),
                _ => Err(no_such_overload()),
            };
        }
        let nodes = &nodes[usize::from(library.is_some())..];
        let (mut arguments, mut trouble) = (Vec::new(), None);
        for node in nodes {
            match self.evaluate(node) {
                Ok(value) => arguments.push(value),
                Err(error) if self.is_cancelled() => return Err(error),
                // One or two are looked at even so, and paid for.
                Err(error) if nodes.len() > 2 => return Err(error),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        if let Some(error) = trouble {
            self.charge(1)?;
            return Err(error);
        }
        let value = match (library, name, &arguments[..]) {
            (Some(owner), ..) => functions::of_library(self, owner, name, &arguments),
            (_, "==", [a, b]) => self.equal(a, b).map(Cel::from),
            (_, "!=", [a, b]) => self.equal(a, b).map(|is| (!is).into()),
            (_, "in", [item, range]) if range.is_list() => {
                self.position(range, item).map(|own| own.is_some().into())
            }
            (_, "in", [key, range]) if range.is_map() => {
                self.lookup(range, key).map(|own| own.is_some().into())
            }
            (_, "<" | "<=" | ">" | ">=", [a, b]) => self.compare(a, b).and_then(|order| {
                let order = order.ok_or_else(no_such_overload)?;
                Ok(match name {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                }
                .into())
            }),
            _ if is_member => functions::member(self, name, &arguments),
            _ => functions::global(self, name, &arguments),
        };
        if !is_folded(name, nodes) {
            let owner = library.map_or("", Text::as_str);
            self.charge_call([owner, name], nodes, &arguments, value.as_ref().ok())?;
        }
        value
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
    pub(super) fn lookup(&mut self, owner: &Cel, index: &Cel) -> Result<Option<Cel>, Failure> {
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
            (Cel::Value(Value::Object(_)) | Cel::Map(_), Some(name)) => Ok(self.field(owner, name)),
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
    /// A field under its own name. Those of a map that was made here are gone through.
    fn field(&mut self, owner: &Cel, name: &str) -> Option<Cel> {
        if let Cel::Map(entries) = owner {
            // Whoever has none left is told at the next step.
            drop(self.spend(entries.len() / 16));
        }
        owner.field(name)
    }
    /// A field, under its own name or as rules spell what is no identifier: `a__dash__b` for `a-b`.
    #[inline(never)]
    fn field_of(&mut self, owner: &Cel, name: &str) -> Option<Cel> {
        self.field(owner, name).or_else(|| owner.field(&super::unescaped(name).filter(|own| own != name)?))
    }
    #[inline(never)]
    fn select(&mut self, owner: &Cel, field: &str) -> Result<Cel, Failure> {
        match owner {
            Cel::Optional(inner) => {
                Ok(Cel::optional(inner.as_ref().and_then(|inner| self.field_of(inner, field))))
            }
            Cel::Object(_) => Ok(owner.field(field).unwrap_or(Cel::NULL)),
            _ if owner.is_map() => {
                self.field_of(owner, field).ok_or_else(|| failure(&["no such key: ", field]))
            }
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
            Some(name) if !owner.is_list() => self.field_of(owner, name),
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
            let (mut same, mut index) = (a.count() == b.count(), 0);
            while same && let (Some(a), Some(b)) = (a.item(index), b.item(index)) {
                same = self.equal(&a, &b)?;
                index += 1;
            }
            return Ok(same);
        }
        if a.is_map() && b.is_map() {
            if a.count() != b.count() {
                return Ok(false);
            }
            self.spend(a.count() / 8)?;
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

pub(super) fn shown(value: &Cel) -> String {
    match value {
        Cel::Value(Value::String(text)) => text.to_string(),
        Cel::Value(own) if !value.is_list() && !value.is_map() => own.to_string(),
        Cel::Uint(number) => number.to_string(),
        _ => value.type_name().to_owned(),
    }
}

fn missing(owner: &Cel, index: &Cel) -> Failure {
    failure(&[if owner.is_list() { "index out of bounds: " } else { "no such key: " }, &shown(index)])
}
