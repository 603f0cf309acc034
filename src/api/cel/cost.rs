//! What an expression may cost at most, before it is ever worked out.
//!
//! Picture to hold in mind: a mover's quote. He counts the doors of the house on the plan, takes every wardrobe for as big
//! as the plan allows, and where it allows anything, for as big as the lorry.
//!
//! Follows cel-go's `checker/cost.go`, `k8s.io/apiserver/pkg/cel/library/cost.go` and the estimates of `ext/lists.go`, as
//! far as the most goes; the least matters for the length of what is replaced only. Sizes come from the schema by
//! `k8s.io/apiserver/pkg/cel/common/schemas.go`.

use super::Cel;
use super::check::Types;
use super::parse::{Compiled, Kind, Macro, Node};
use super::types::Type;
use crate::api::value::{Text, Value};
use crate::sorted::SortedMap;

/// `MaxRequestSizeBytes`: more does not come through the door.
const LARGEST_REQUEST: u64 = 3 * 1024 * 1024;
const UNKNOWN: Size = Size { least: 0, most: u64::MAX };
const ONE: Size = Size { least: 1, most: 1 };

#[derive(Clone, Copy)]
struct Size {
    least: u64,
    most: u64,
}

impl Size {
    fn of(most: u64) -> Size {
        Size { least: 0, most }
    }
    fn union(self, other: Size) -> Size {
        Size { least: self.least.min(other.least), most: self.most.max(other.most) }
    }
}

/// The sizes of the parts of a schema, by where they lie in memory: each is asked for often.
#[derive(Default)]
pub struct Sizes {
    known: SortedMap<usize, u64>,
}

impl Sizes {
    /// The fewest bytes that a value takes as JSON (`MinSerializedSize`); `None` for what expressions do not see.
    pub fn least_bytes(&mut self, schema: &Value) -> Option<u64> {
        if schema.is_true("x-kubernetes-int-or-string") {
            return Some(1);
        }
        Some(match (schema.text("type"), schema.text("format")) {
            ("array", _) if schema.has("items") => 2,
            ("object", _) if schema.at("additionalProperties").as_object().is_some() => 2,
            ("object", _) => {
                let key = schema.as_object().map_or(0, |map| std::ptr::from_ref(map) as usize);
                if let Some(known) = self.known.get(&key) {
                    return Some(*known);
                }
                let mut bytes = 2_u64;
                for name in schema.items("required").iter().filter_map(Value::as_str) {
                    let Some(own) = schema.map("properties").get(name).filter(|own| !own.has("default"))
                    else {
                        continue;
                    };
                    if let Some(own) = self.least_bytes(own) {
                        bytes = bytes.saturating_add(own + name.len() as u64 + 4);
                    }
                }
                self.known.insert(key, bytes);
                bytes
            }
            ("string", "duration") => 3,
            ("string", "date") => 12,
            ("string", "date-time") => 21,
            ("string", _) => 2,
            ("boolean", _) => 4,
            ("number" | "integer", _) => 1,
            _ => return None,
        })
    }
    /// The most characters, items or entries that a value has (`MaxElements`); nothing for what has none.
    fn most(&mut self, schema: &Value) -> u64 {
        let limit = |name: &str| schema.integer(name).map(|own| u64::try_from(own).unwrap_or(0));
        let text = |longest: u64| limit("maxLength").map_or(longest, |own| own.saturating_mul(4));
        if schema.is_true("x-kubernetes-int-or-string") {
            return text(LARGEST_REQUEST - 2);
        }
        match (schema.text("type"), schema.text("format")) {
            ("array", _) => limit("maxItems").unwrap_or_else(|| {
                (LARGEST_REQUEST - 2) / (self.least_bytes(schema.at("items")).unwrap_or(0) + 1)
            }),
            ("object", _) => match schema.at("additionalProperties") {
                others @ Value::Object(_) => limit("maxProperties")
                    .unwrap_or_else(|| (LARGEST_REQUEST - 2) / (self.least_bytes(others).unwrap_or(0) + 6)),
                _ => 0,
            },
            ("string", "byte") => limit("maxLength").unwrap_or(LARGEST_REQUEST - 2),
            ("string", "duration" | "date-time") => 32,
            ("string", "date") => 12,
            ("string", _) if !schema.has("maxLength") && !schema.items("enum").is_empty() => {
                schema.items("enum").iter().filter_map(Value::as_str).map(str::len).max().unwrap_or(0) as u64
            }
            ("string", _) => text(LARGEST_REQUEST - 2),
            _ => 0,
        }
    }
}

/// Where in the schema a value comes from.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// A part, and whether it is the root of a resource.
    Part(&'a Value, bool),
    /// A text that the schema says nothing of: a key, a name in the metadata.
    Key,
    Text,
    Metadata,
    /// Behind a path that leads nowhere.
    Nowhere,
}

/// What is known of a value before it is there.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    /// To come to it, at most.
    cost: u64,
    size: Option<Size>,
    place: Option<Place<'a>>,
    /// What a list or a map holds: keys and values.
    entry: Option<[Size; 2]>,
}

/// The most that an expression about values of `schema` costs.
pub fn most(compiled: &Compiled, schema: &Value, is_root: bool, sizes: &mut Sizes) -> u64 {
    let root = Place::Part(schema, is_root);
    let mut coster = Coster { types: &compiled.types, root, sizes, bound: Vec::new() };
    coster.known(&compiled.node).cost
}

struct Coster<'a> {
    types: &'a Types,
    root: Place<'a>,
    sizes: &'a mut Sizes,
    bound: Vec<(Text, Known<'a>)>,
}

/// A part of a cost: so many tenths, rounded up.
pub(super) fn tenths(size: u64, factor: u64) -> u64 {
    times_factor(size, factor, 10)
}
fn times_factor(size: u64, factor: u64, of: u64) -> u64 {
    let whole = u128::from(size) * u128::from(factor);
    u64::try_from(whole.div_ceil(u128::from(of))).unwrap_or(u64::MAX)
}
pub(super) fn sum(all: &[u64]) -> u64 {
    all.iter().fold(0, |sum, own| sum.saturating_add(*own))
}

impl<'a> Coster<'a> {
    fn type_of(&self, node: &Node) -> Option<&Type> {
        self.types.get(&node.place)
    }
    fn size_at(&mut self, place: Place) -> Option<Size> {
        match place {
            Place::Part(schema, _) => Some(Size::of(self.sizes.most(schema))),
            Place::Text => Some(Size::of(LARGEST_REQUEST - 2)),
            Place::Key | Place::Metadata => Some(Size::of(0)),
            Place::Nowhere => None,
        }
    }
    fn field(&self, place: Place<'a>, name: &str) -> Place<'a> {
        let Some(own) = super::unescaped(name) else { return Place::Nowhere };
        match (place, own.as_str()) {
            (Place::Part(_, true), "kind" | "apiVersion") => Place::Text,
            (Place::Part(_, true), "metadata") => Place::Metadata,
            (Place::Metadata, "name" | "generateName") => Place::Text,
            (Place::Part(schema, _), name) => match schema.map("properties").get(name) {
                Some(own) => part(own),
                None if schema.has("anyName") => part(schema.at("additionalProperties")),
                None => Place::Nowhere,
            },
            _ => Place::Nowhere,
        }
    }
    /// The items of a list or the values of a map. What does not come from the schema is taken for its root, as upstream
    /// drops the first step of every path.
    fn inner(&self, place: Option<Place<'a>>, is_key: bool) -> Place<'a> {
        match place {
            None => self.root,
            Some(Place::Part(schema, _)) => match (schema.at("items"), schema.at("additionalProperties")) {
                (items @ Value::Object(_), _) if !is_key => part(items),
                (_, Value::Object(_)) if is_key && schema.has("propertyNames") => {
                    part(schema.at("propertyNames"))
                }
                (_, Value::Object(_)) if is_key => Place::Key,
                (_, others @ Value::Object(_)) => part(others),
                _ => Place::Nowhere,
            },
            _ => Place::Nowhere,
        }
    }
    fn size(&self, known: &Known<'a>) -> Size {
        known.size.unwrap_or(UNKNOWN)
    }
    fn known(&mut self, node: &Node) -> Known<'a> {
        let mut known = self.look(node);
        if known.size.is_none() {
            known.size = known.place.and_then(|place| self.size_at(place));
        }
        if known.size.is_none() && self.type_of(node).is_some_and(is_scalar) {
            known.size = Some(ONE);
        }
        known
    }
    fn look(&mut self, node: &Node) -> Known<'a> {
        let children = &node.children;
        match &node.kind {
            Kind::Literal(value) => {
                let size = match value {
                    Cel::Bytes(bytes) => bytes.len() as u64,
                    other => other.as_str().map_or(1, |text| text.chars().count() as u64),
                };
                Known { size: Some(Size { least: size, most: size }), ..Known::default() }
            }
            Kind::Name(name) => match self.bound.iter().rev().find(|(own, _)| own == name) {
                Some((_, known)) => Known { cost: 1, ..*known },
                None => Known { cost: 1, place: Some(self.root), ..Known::default() },
            },
            Kind::Select(field) => {
                let owner = self.known(&children[0]);
                let costs = matches!(
                    self.type_of(&children[0]),
                    Some(Type::Of("map", _) | Type::Struct(_) | Type::Variable(_))
                );
                // A path of one step leads to the root.
                let place = owner.place.map_or(self.root, |place| self.field(place, field));
                let cost = owner.cost.saturating_add(u64::from(costs));
                Known { cost, place: Some(place), ..Known::default() }
            }
            Kind::Has(_) => Known { cost: self.known(&children[0]).cost, ..Known::default() },
            Kind::OptionalSelect(_) => {
                Known { cost: self.known(&children[0]).cost.saturating_add(1), ..Known::default() }
            }
            Kind::Index => {
                let (owner, index) = (self.known(&children[0]), self.known(&children[1]));
                let cost = sum(&[owner.cost, index.cost, 1]);
                match self.type_of(&children[0]) {
                    Some(Type::Of("optional_type", _)) => Known { cost, ..Known::default() },
                    _ => {
                        let size = owner.entry.map(|[_, value]| value);
                        let place = self.inner(owner.place, false);
                        Known { cost, size, place: Some(place), entry: None }
                    }
                }
            }
            Kind::OptionalIndex => {
                Known { cost: self.sum_of(children).saturating_add(1), ..Known::default() }
            }
            Kind::And | Kind::Or => Known { cost: self.sum_of(children), ..Known::default() },
            Kind::If => {
                let condition = self.known(&children[0]).cost;
                let (yes, no) = (self.known(&children[1]), self.known(&children[2]));
                Known {
                    cost: condition.saturating_add(yes.cost.max(no.cost)),
                    size: Some(self.size(&yes).union(self.size(&no))),
                    place: None,
                    entry: union(yes.entry, no.entry),
                }
            }
            Kind::List => {
                let (mut cost, mut item) = (10, None);
                for child in children {
                    let own = self.known(child);
                    cost = sum(&[cost, own.cost]);
                    let own = self.size(&own);
                    item = Some(item.map_or(own, |item: Size| item.union(own)));
                }
                let count = children.len() as u64;
                let entry = Some([ONE, item.unwrap_or(Size::of(0))]);
                Known { cost, size: Some(Size { least: count, most: count }), place: None, entry }
            }
            Kind::Map => {
                let (mut cost, mut entry) = (30, None);
                for pair in children.chunks(2) {
                    let (key, value) = (self.known(pair[0].inner()), self.known(&pair[1]));
                    cost = sum(&[cost, key.cost, value.cost]);
                    let own = Some([self.size(&key), self.size(&value)]);
                    entry = if entry.is_none() { own } else { union(entry, own) };
                }
                let count = (children.len() / 2) as u64;
                let entry = entry.or(Some([Size::of(0); 2]));
                Known { cost, size: Some(Size { least: count, most: count }), place: None, entry }
            }
            Kind::Optional => self.known(&children[0]),
            Kind::Struct(..) => Known { cost: self.sum_of(children).saturating_add(40), ..Known::default() },
            // The sign of a number is part of it.
            Kind::Call(name)
                if name == "-" && matches!(children[..], [Node { kind: Kind::Literal(_), .. }]) =>
            {
                Known { size: Some(ONE), ..Known::default() }
            }
            Kind::Call(name) => {
                let arguments: Vec<Known> = children.iter().map(|child| self.known(child)).collect();
                self.call(node, name, None, &arguments)
            }
            Kind::MemberCall(_) if super::check::is_bind(node) => {
                let value = self.known(&children[2]);
                let Kind::Name(name) = &children[1].kind else { return value };
                let own = Known { cost: 0, ..value };
                let body = self.within([(name, own), (&Text::new(), own)], &children[3]);
                // A list without items is gone through, so that the name is there in the end.
                Known { cost: sum(&[value.cost, 10, body.cost]), ..body }
            }
            Kind::MemberCall(name) => {
                if let Some(Kind::Name(owner)) = children.first().map(|target| &target.kind)
                    && super::functions::is_library(owner, name)
                {
                    let arguments: Vec<Known> = children[1..].iter().map(|child| self.known(child)).collect();
                    return self.call(node, &[owner, ".", name].concat(), None, &arguments);
                }
                let target = self.known(&children[0]);
                let arguments: Vec<Known> = children[1..].iter().map(|child| self.known(child)).collect();
                let mut known = self.call(node, name, Some(&target), &arguments);
                known.cost = known.cost.saturating_add(target.cost);
                known
            }
            Kind::Loop(kind, first, second) => self.go_through(*kind, [first, second], node),
        }
    }
    fn sum_of(&mut self, nodes: &[Node]) -> u64 {
        nodes.iter().fold(0, |sum, node| sum.saturating_add(self.known(node).cost))
    }

    fn go_through(&mut self, kind: Macro, names: [&Text; 2], node: &Node) -> Known<'a> {
        let (parts, Some(body)) = (&node.children, node.children.last()) else { return Known::default() };
        let range = self.known(&parts[0]);
        if let Macro::OptionalMap | Macro::OptionalFlatMap = kind {
            let own = Known { cost: 0, size: None, place: None, entry: None };
            let inner = self.within([(names[0], own), (names[1], own)], body);
            let made = u64::from(kind == Macro::OptionalMap);
            let cost = sum(&[range.cost, 1, made, 10, range.cost, 1, inner.cost]);
            return Known { cost, ..Known::default() };
        }
        let is_map = matches!(self.type_of(&parts[0]), Some(Type::Of("map", _)));
        let is_double = !names[1].is_empty();
        let (key, value) = (range.entry.map(|own| own[0]), range.entry.map(|own| own[1]));
        let mut variable = |is_key: bool, size: Option<Size>| {
            let place = self.inner(range.place, is_key);
            let own = self.size_at(place).or(size);
            Known { cost: 0, size: own, place: Some(place), entry: None }
        };
        let first = match (is_double, is_map) {
            (true, false) => Known { size: Some(ONE), place: Some(Place::Nowhere), ..Known::default() },
            (_, true) => variable(true, key),
            (false, false) => variable(false, value),
        };
        let second = if is_double { variable(false, value) } else { Known::default() };
        let filter = match (parts.len(), kind) {
            (3, _) => self.within([(names[0], first), (names[1], second)], &parts[1]).cost,
            _ => 0,
        };
        let inner = self.within([(names[0], first), (names[1], second)], body);
        let count = self.size(&range);
        // What each macro is in terms of its beginning, each step, and its end.
        let (start, step) = match kind {
            Macro::All => (1, sum(&[3, inner.cost])),
            Macro::Exists => (1, sum(&[4, inner.cost])),
            Macro::ExistsOne => (2, sum(&[2, inner.cost])),
            Macro::Filter => (11, sum(&[13, inner.cost])),
            Macro::TransformMap => (31, sum(&[3, filter, inner.cost])),
            Macro::TransformMapEntry => (31, sum(&[2, filter, inner.cost])),
            _ => (11, sum(&[12, filter, inner.cost])),
        };
        let cost = sum(&[range.cost, start, count.most.saturating_mul(step)]);
        match kind {
            Macro::All | Macro::Exists | Macro::ExistsOne => {
                Known { cost, size: Some(ONE), ..Known::default() }
            }
            Macro::SortBy => {
                // The list is bound, mapped to its keys, and sorted by them.
                let is_text = is_text(self.type_of(body));
                let keys = sum(&[1, start, count.most.saturating_mul(step)]);
                let sort = sort_cost(count.most, is_text);
                let cost = sum(&[10, range.cost, 1, keys, sort]);
                Known {
                    cost,
                    size: Some(Size::of(count.most.saturating_mul(count.most))),
                    ..Known::default()
                }
            }
            Macro::Filter => Known { cost, size: Some(count), place: None, entry: range.entry },
            _ => Known { cost, size: Some(count), place: None, entry: Some([ONE, self.size(&inner)]) },
        }
    }
    fn within(&mut self, names: [(&Text, Known<'a>); 2], body: &Node) -> Known<'a> {
        let before = self.bound.len();
        for (name, known) in names.into_iter().filter(|(name, _)| !name.is_empty()) {
            self.bound.push((name.clone(), known));
        }
        let known = self.known(body);
        self.bound.truncate(before);
        known
    }

    /// The size of the items of a list, by its place.
    fn items(&mut self, list: Option<&Known<'a>>) -> Size {
        let Some(place) = list.and_then(|list| list.place) else { return UNKNOWN };
        let inner = self.inner(Some(place), false);
        self.size_at(inner).unwrap_or(UNKNOWN)
    }

    /// What a call costs beside its target, and what comes of it (`EstimateCallCost`, `functionCost`).
    fn call(
        &mut self,
        node: &Node,
        name: &str,
        target: Option<&Known<'a>>,
        arguments: &[Known<'a>],
    ) -> Known<'a> {
        let costs = arguments.iter().fold(0_u64, |sum, own| sum.saturating_add(own.cost));
        let argument = |index: usize| arguments.get(index).map_or(UNKNOWN, |own| own.size.unwrap_or(UNKNOWN));
        let own = target.map_or(UNKNOWN, |own| own.size.unwrap_or(UNKNOWN));
        let operands = &node.children;
        let kind = |index: usize| operands.get(index).and_then(|operand| self.types.get(&operand.place));
        let is_of = |index: usize, name: &str| kind(index).is_some_and(|own| own.parts(name).is_some());
        let literal = |index: usize| match operands.get(index).map(|operand| &operand.kind) {
            Some(Kind::Literal(Cel::Value(Value::Integer(number)))) => {
                Some(u64::try_from(*number).unwrap_or(0))
            }
            _ => None,
        };
        let traversal = |size: Size| tenths(size.most, 1);
        let regex = |text: Size, pattern: Size| {
            traversal(Size::of(text.most.saturating_add(1))).saturating_mul(times_factor(pattern.most, 1, 4))
        };
        let allocating =
            |factor: u64, size: Size| (sum(&[size.most.saturating_mul(factor), 1, 10]), Some(size));
        let plain = |cost: u64| (cost, None);
        let is_member = target.is_some();
        let (cost, size): (u64, Option<Size>) = match (name, is_member) {
            ("dyn", false) => {
                let mut known = arguments.first().copied().unwrap_or_default();
                known.cost = known.cost.saturating_add(1);
                known.place = None;
                return known;
            }
            ("check", true) => plain(350_000),
            ("fieldSelector" | "labelSelector", true) => {
                let length = argument(0);
                let requirements = times_factor(length.most, 1, 2);
                plain(sum(&[10, traversal(length), requirements.saturating_mul(50)]))
            }
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", true) => {
                if is_of(0, "list") {
                    let is_text = is_text(kind(0).and_then(|own| own.parts("list")?.first()));
                    let each = if is_text { self.items(target) } else { Size::of(0) };
                    plain(own.most.saturating_mul(traversal(each).saturating_add(1)))
                } else {
                    plain(traversal(own))
                }
            }
            ("url" | "jsonpatch.escapeKey", false) => (traversal(argument(0)), Some(argument(0))),
            ("lowerAscii" | "upperAscii" | "substring" | "trim", true) => (traversal(own), Some(own)),
            ("replace", true) => {
                let (old, new) = (argument(0), argument(1));
                let (count, kept) = if old.least == 0 {
                    (own.most.saturating_add(1), own.most)
                } else if new.most <= old.least {
                    (0, own.most)
                } else {
                    (own.most.div_ceil(old.least), 0)
                };
                (tenths(own.most, 2), Some(Size::of(count.saturating_mul(new.most).saturating_add(kept))))
            }
            ("split", true) => (tenths(own.most, 2), Some(Size::of(literal(2).unwrap_or(own.most)))),
            ("join", true) => {
                let each = self.items(target);
                let separators = match arguments.is_empty() {
                    true => 0,
                    false => argument(0).most.saturating_mul(own.most.saturating_sub(1)),
                };
                let whole = Size::of(own.most.saturating_mul(each.most).saturating_add(separators));
                (traversal(whole), Some(whole))
            }
            ("find" | "findAll", true) => (regex(own, argument(0)), Some(Size::of(own.most))),
            ("matches", true) => plain(regex(own, argument(0))),
            (
                "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" | "ip",
                false,
            ) => plain(traversal(argument(0))),
            ("ip.isCanonical", false) => plain(tenths(argument(0).most, 2)),
            ("containsIP" | "containsCIDR", true) => {
                let parsing = if kind(1).is_some_and(|own| *own == super::types::STRING) {
                    traversal(argument(0))
                } else {
                    0
                };
                let comparing = if name == "containsCIDR" { 4 + 2 + 1 } else { 4 };
                plain(sum(&[comparing, parsing]))
            }
            ("validate", true) => plain(times_factor(traversal(argument(0)), 128, 4)),
            ("contains", true) => plain(traversal(own).saturating_mul(traversal(argument(0)))),
            ("startsWith" | "endsWith", true) => plain(traversal(argument(0))),
            ("format", true) => plain(traversal(own)),
            ("bytes", false) if kind(0).is_some_and(|own| *own == super::types::STRING) => {
                (traversal(argument(0)), Some(Size::of(argument(0).most.saturating_mul(4))))
            }
            ("string", false) if matches!(kind(0), Some(Type::Plain("bytes"))) => {
                (traversal(argument(0)), Some(Size::of(argument(0).most)))
            }
            ("strings.quote", false) => {
                (traversal(argument(0)), Some(Size::of(argument(0).most.saturating_mul(2).saturating_add(2))))
            }
            ("in", false) if is_of(1, "map") => plain(1),
            ("in", false) => plain(argument(1).most),
            ("+", false) if is_of(0, "list") || is_of(1, "list") => {
                (1, Some(Size::of(argument(0).most.saturating_add(argument(1).most))))
            }
            ("+", false) if is_text(kind(0)) || is_text(kind(1)) || (is_dyn(kind(0)) && is_dyn(kind(1))) => {
                let (a, b) = (argument(0), argument(1));
                let whole =
                    Size { least: a.least.saturating_add(b.least), most: a.most.saturating_add(b.most) };
                (traversal(whole), Some(whole))
            }
            ("==" | "!=", false) => match kind(0) {
                Some(Type::Of("net.IP" | "net.CIDR", _)) => plain(1),
                Some(Type::Struct(own))
                    if own.name.starts_with("kubernetes.") && kind(0) == kind(1) && name == "==" =>
                {
                    plain(1)
                }
                _ => plain(tenths(argument(0).most.min(argument(1).most), 1)),
            },
            ("<" | "<=" | ">" | ">=", false) => {
                let texts = is_text(kind(0)) || is_text(kind(1)) || is_dyn(kind(0)) && is_dyn(kind(1));
                let cost = tenths(argument(0).most.min(argument(1).most), 1);
                plain(match (texts, is_dyn(kind(0)) || is_dyn(kind(1))) {
                    (true, true) => cost.max(1),
                    (true, false) => cost,
                    (false, _) => 1,
                })
            }
            ("slice", true) => {
                let (from, to) = (literal(1).unwrap_or(0), literal(2).unwrap_or(own.most));
                allocating(1, Size::of(to.wrapping_sub(from)))
            }
            ("lists.range", false) => allocating(1, Size::of(literal(1).unwrap_or(u64::MAX))),
            ("reverse", true) => allocating(1, own),
            ("flatten", true) => {
                let depth = if arguments.is_empty() { 1 } else { literal(1).unwrap_or(u64::MAX) };
                allocating(depth, own)
            }
            ("distinct", true) => allocating(2, Size::of(own.most.saturating_mul(own.most))),
            ("sort", true) => {
                let is_text = is_text(kind(0).and_then(|own| own.parts("list")?.first()));
                (sort_cost(own.most, is_text), Some(Size::of(own.most.saturating_mul(own.most))))
            }
            _ => plain(1),
        };
        Known { cost: cost.saturating_add(costs), size, ..Known::default() }
    }
}

fn part(schema: &Value) -> Place<'_> {
    Place::Part(schema, schema.is_true("x-kubernetes-embedded-resource"))
}

fn union(a: Option<[Size; 2]>, b: Option<[Size; 2]>) -> Option<[Size; 2]> {
    let (a, b) = (a?, b?);
    Some([a[0].union(b[0]), a[1].union(b[1])])
}

/// All pairs, twice, with a tenth more for texts.
fn sort_cost(count: u64, is_text: bool) -> u64 {
    let pairs = count.saturating_mul(count);
    sum(&[tenths(pairs, if is_text { 21 } else { 20 }), 11])
}

fn is_text(own: Option<&Type>) -> bool {
    matches!(own, Some(Type::Plain("string" | "bytes")))
}
fn is_dyn(own: Option<&Type>) -> bool {
    own.is_some_and(Type::is_dyn)
}

fn is_scalar(own: &Type) -> bool {
    match own {
        Type::Plain(name) => matches!(*name, "bool" | "double" | "duration" | "int" | "timestamp" | "uint"),
        Type::Of("optional_type", parts) => is_scalar(&parts[0]),
        _ => false,
    }
}
