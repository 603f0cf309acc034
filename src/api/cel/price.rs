//! What it has cost to work an expression out.
//!
//! Picture to hold in mind: a taxi's meter. It does not look at how long the driver took, but at the streets: so much for
//! getting in, so much for each corner, and for some streets by their length.
//!
//! Follows cel-go's `interpreter/runtimecost.go`, what its planner folds away before (`decorators.go`), and `CallCost` of
//! `k8s.io/apiserver/pkg/cel/library/cost.go`. An expression's types are not at hand: what upstream charges for by the type
//! that it declares is charged for by the type that is there, but for an admission policy's objects, which declare none.

use super::cost::{sum, tenths};
use super::evaluate::Evaluator;
use super::libraries::Opaque;
use super::parse::{Kind, Node};
use super::{Cel, Failure, functions};
use crate::api::value::Value;

/// Whether an expression is a value that is written out.
pub(super) fn is_constant(node: &Node) -> bool {
    match &node.kind {
        Kind::Literal(_) => true,
        Kind::List | Kind::Map => node.children.iter().all(is_constant),
        Kind::Call(name) => is_folded(name, &node.children),
        Kind::Name(name) => functions::TYPES.contains(&name.as_str()),
        _ => false,
    }
}

/// Whether a call costs no more than what it is given.
pub(super) fn is_folded(name: &str, nodes: &[Node]) -> bool {
    const CONVERSIONS: &[&str] =
        &["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];
    match nodes {
        [value] if name == "-" => {
            matches!(value.kind, Kind::Literal(Cel::Value(Value::Integer(_) | Value::Float(_))))
        }
        [value] => CONVERSIONS.contains(&name) && is_constant(value),
        [_, list] if name == "in" => {
            matches!(list.kind, Kind::List)
                && list.children.iter().all(|item| match &item.kind {
                    Kind::Literal(Cel::Bytes(_) | Cel::Value(Value::Null)) => false,
                    Kind::List | Kind::Map => false,
                    _ => is_constant(item),
                })
        }
        _ => false,
    }
}

/// What `a.b[c]` begins with.
fn root(node: &Node) -> &Node {
    match node.kind {
        Kind::Select(_) | Kind::OptionalSelect(_) | Kind::Index | Kind::OptionalIndex => {
            root(&node.children[0])
        }
        _ => node,
    }
}

/// Whether steps behind it are taken together with it.
fn is_path(node: &Node) -> bool {
    match node.kind {
        Kind::Name(_) | Kind::If => true,
        _ => !std::ptr::eq(root(node), node),
    }
}

pub(super) fn is_text(value: &Cel) -> bool {
    matches!(value, Cel::Bytes(_) | Cel::Value(Value::String(_)))
}

/// How long a pattern a named format stands for.
fn pattern(format: &str) -> u64 {
    match format {
        "dns1123Subdomain" | "dns1123SubdomainPrefix" | "qualifiedName" => 60,
        "labelValue" => 40,
        "uri" => 1103,
        "uuid" => 70,
        "byte" => 84,
        "date" | "datetime" => 71,
        _ => 30,
    }
}

impl Evaluator<'_> {
    /// The value of what is only a part of a path: coming to its first step is not charged for.
    pub(super) fn silently(&mut self, node: &Node) -> Result<Cel, Failure> {
        let before = self.cost;
        let value = self.evaluate(node);
        if is_path(node) && !matches!(root(node).kind, Kind::If) && self.cost > before {
            self.cost -= 1;
        }
        value
    }
    /// A step from `owner` on, if there was anything to step to.
    pub(super) fn charge_step(&mut self, owner: &Node, value: &Result<Cel, Failure>) -> Result<(), Failure> {
        let is_taken = !matches!(value, Ok(Cel::Optional(None)));
        self.charge(u64::from(!is_path(owner)) + u64::from(is_taken))
    }
    /// What it costs to look at all of a value (`traversalCost`). What lies in it more than once is looked at as often:
    /// it ends where there are no steps left, and whoever has none left is told at the next one.
    fn traversal(&mut self, value: &Cel) -> u64 {
        if self.spend(1).is_err() {
            return 0;
        }
        let bytes = |length: usize| length as u64 / 10;
        match value {
            Cel::Bytes(own) => bytes(own.len()),
            Cel::Value(Value::String(text)) => bytes(text.len()),
            Cel::List(items) => items.iter().map(|own| self.traversal(own)).sum(),
            Cel::Map(entries) => {
                entries.iter().map(|(key, own)| self.traversal(key) + self.traversal(own)).sum()
            }
            Cel::Value(Value::Array(items)) => items.iter().map(|own| self.traversal(&own.into())).sum(),
            Cel::Value(Value::Object(map)) => {
                map.iter().map(|(name, own)| bytes(name.len()) + self.traversal(&own.into())).sum()
            }
            _ => 1,
        }
    }
    /// How many characters, bytes, items or entries a value has (`actualSize`).
    fn size(&mut self, value: Option<&Cel>) -> u64 {
        match value {
            Some(Cel::Optional(Some(inner))) => self.size(Some(inner)),
            Some(Cel::Bytes(bytes)) => bytes.len() as u64,
            Some(Cel::Value(Value::String(text))) => {
                // Whoever has none left is told at the next step.
                drop(self.spend(text.len() / 32));
                text.chars().count() as u64
            }
            Some(Cel::Opaque(own)) => match **own {
                Opaque::Ip(address) => {
                    if address.is_ipv4() {
                        4
                    } else {
                        16
                    }
                }
                Opaque::Cidr(_, bits) => u64::from(bits.div_ceil(8)),
                _ => 1,
            },
            Some(value) if value.is_list() || value.is_map() => value.count() as u64,
            _ => 1,
        }
    }
    /// Whether upstream does not know the type of an expression: it is about the object that a policy looks at.
    fn is_dyn(&self, node: &Node) -> bool {
        match &root(node).kind {
            Kind::Name(name) if self.is_of_policy() => {
                matches!(name.as_str(), "object" | "oldObject" | "params")
                    || self.bound.iter().any(|(bound, _)| bound == name)
            }
            _ => false,
        }
    }
    /// What a call costs beside its arguments (`costCall`). `[owner, name]`: the owner is a library.
    pub(super) fn charge_call(
        &mut self,
        [owner, name]: [&str; 2],
        nodes: &[Node],
        arguments: &[Cel],
        result: Option<&Cel>,
    ) -> Result<(), Failure> {
        let (first, second) = (arguments.first(), arguments.get(1));
        let texts = |all: &[Cel]| all.iter().take(2).any(is_text);
        let cost = match (owner, name) {
            ("", "check") => 350_000,
            ("", "fieldSelector" | "labelSelector") => {
                let length = self.size(second);
                sum(&[10, tenths(length, 1), length.div_ceil(2) * 50])
            }
            ("", "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf") => {
                first.map_or(0, |own| self.traversal(own))
            }
            ("", "ip") if !first.is_some_and(is_text) => 1,
            (
                "",
                "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR"
                | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" | "startsWith" | "endsWith"
                | "format",
            )
            | ("jsonpatch", "escapeKey")
            | ("strings", "quote") => tenths(self.size(first), 1),
            ("", "bytes") if first.is_some_and(|own| own.as_str().is_some()) => tenths(self.size(first), 1),
            ("", "string") if matches!(first, Some(Cel::Bytes(_))) => tenths(self.size(first), 1),
            ("", "replace" | "split") | ("ip", "isCanonical") => tenths(self.size(first), 2),
            ("", "join") => tenths(self.size(result), 2),
            ("", "find" | "findAll" | "matches") => {
                let text = tenths(self.size(first) + 1, 1);
                text.saturating_mul(self.size(second).div_ceil(4))
            }
            ("", "validate") => match first {
                Some(Cel::Opaque(own)) if let Opaque::Format(format) = &**own => {
                    tenths(self.size(second) + 1, 1) * pattern(format).div_ceil(4)
                }
                _ => 1,
            },
            ("", "contains") => tenths(self.size(first), 1).saturating_mul(tenths(self.size(second), 1)),
            ("", "containsIP" | "containsCIDR") => {
                let own = self.size(first);
                let parsing = if second.is_some_and(is_text) { tenths(self.size(second), 1) } else { 0 };
                let masking = if name == "containsCIDR" { tenths(own, 1) + 1 } else { 0 };
                sum(&[tenths(own, 2), masking, parsing])
            }
            ("", "in")
                if second.is_some_and(Cel::is_list)
                    && !nodes.get(1).is_some_and(|node| self.is_dyn(node)) =>
            {
                self.size(second)
            }
            ("", "==") if matches!(first, Some(Cel::Opaque(_) | Cel::Quantity(_))) => 1,
            ("", "==" | "!=") => tenths(self.size(first).min(self.size(second)), 1),
            ("", "<" | "<=" | ">" | ">=" | "+")
                if texts(arguments) && !nodes.iter().all(|node| self.is_dyn(node)) =>
            {
                let (a, b) = (self.size(first), self.size(second));
                tenths(if name == "+" { a + b } else { a.min(b) }, 1)
            }
            ("", "slice" | "reverse") | ("lists", "range") => 11 + self.size(result),
            ("", "flatten") => {
                let depth = match second {
                    Some(Cel::Value(Value::Integer(depth))) => u64::try_from(*depth).unwrap_or(0),
                    _ => 1,
                };
                depth.saturating_mul(self.size(first)).saturating_add(11)
            }
            ("", "distinct" | "sort") => {
                let is_of_texts = first.and_then(|list| list.item(0)).is_some_and(|item| is_text(&item));
                sort_price(self.size(first), is_of_texts)
            }
            ("sets", _) => {
                let pairs = self.size(first).saturating_mul(self.size(second));
                pairs.saturating_mul(if name == "equivalent" { 2 } else { 1 }).saturating_add(1)
            }
            _ => 1,
        };
        self.charge(cost)
    }
}

/// All pairs, twice, with a tenth more for texts.
pub(super) fn sort_price(count: u64, is_of_texts: bool) -> u64 {
    let pairs = count.saturating_mul(count);
    sum(&[11, pairs.saturating_mul(2), if is_of_texts { pairs / 10 } else { 0 }])
}
