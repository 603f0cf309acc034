//! Whether an expression makes sense before anything is put in: its names, its types, its functions.
//!
//! Picture to hold in mind: the examiner of a blueprint. He builds nothing; he lays a ruler along each pipe and says where
//! one of two inches meets one of three.
//!
//! Follows cel-go's `checker/checker.go` with the words of `errors.go`, the expansions of its macros, and the validators
//! of literals in `cel/validator.go`.

use super::object::is_struct;
use super::parse::{Kind, Macro, Node, Trouble};
use super::types::*;
use super::{Cel, functions};
use crate::api::regex::Regex;
use crate::api::time_format::{parse_go_duration, parse_unix_micros};
use crate::api::value::{Text, Value};
use crate::sorted::SortedMap;

/// The names that an expression may use, with their types.
pub struct Scope {
    pub names: Vec<(Text, Type)>,
    /// What may stand behind `variables.`.
    pub variables: Vec<(Text, Type)>,
    /// Whether it may make `Object{}` and `JSONPatch{}`.
    pub patches: bool,
}

/// The types of all places of a tree, by where they stand in the text: no two stand at one place.
pub type Types = SortedMap<usize, Type>;

const OVERLOADS: &str = include_str!("overloads.txt");

/// The overloads of a function; behind a dot, of those that are called on something.
pub(super) fn overloads(name: &str) -> Option<&'static str> {
    OVERLOADS.lines().find_map(|line| {
        let (names, codes) = line.split_once(' ')?;
        names.split('|').any(|own| own == name).then_some(codes)
    })
}

/// `cel.bind`, if the scope knows it.
pub(super) fn is_bind(node: &Node) -> bool {
    let is_cel = |target: &Node| matches!(&target.kind, Kind::Name(name) if name == "cel");
    matches!(&node.kind, Kind::MemberCall(name) if name == "bind")
        && node.children.len() == 4
        && is_cel(&node.children[0])
}

/// Checks a tree: the type that it comes to, and those of its places.
pub fn check(node: &Node, scope: &Scope, troubles: &mut Vec<Trouble>) -> (Type, Types) {
    let mut checker =
        Checker { scope, bound: Vec::new(), findings: Findings::default(), types: Types::new(), troubles };
    let own = checker.check(node);
    let own = checker.findings.settle(&own, true);
    for kind in checker.types.values_mut() {
        *kind = checker.findings.settle(kind, true);
    }
    if checker.troubles.is_empty() {
        checker.look_at_literals(node, false);
    }
    (own, checker.types)
}

struct Checker<'a> {
    scope: &'a Scope,
    bound: Vec<(Text, Type)>,
    findings: Findings,
    types: Types,
    troubles: &'a mut Vec<Trouble>,
}

impl Checker<'_> {
    #[inline(never)]
    fn say(&mut self, place: usize, parts: &[&str]) -> Type {
        self.troubles.push((place, parts.concat()));
        ERROR
    }
    fn undeclared(&mut self, place: usize, name: &str) -> Type {
        self.say(place, &["undeclared reference to '", name, "' (in container '')"])
    }
    fn mismatch(&mut self, place: usize, expected: &Type, found: &Type) -> Type {
        let (expected, found) = (self.findings.settle(expected, false), self.findings.settle(found, false));
        self.say(place, &["expected type '", &expected.text(), "' but found '", &found.text(), "'"])
    }
    fn variable(&mut self) -> Type {
        Type::Variable(self.findings.fresh())
    }
    fn check(&mut self, node: &Node) -> Type {
        let own = self.type_of(node);
        self.types.insert(node.place, own.clone());
        own
    }
    fn type_of(&mut self, node: &Node) -> Type {
        let (children, place) = (&node.children, node.place);
        match &node.kind {
            Kind::Literal(value) => match value {
                Cel::Value(Value::Null) => NULL,
                other => Type::Plain(other.type_name()),
            },
            Kind::Name(name) => match self.named(name) {
                Some(own) => own,
                None => self.undeclared(place, name),
            },
            Kind::Select(field) | Kind::Has(field) | Kind::OptionalSelect(field) => {
                if let Some(own) = node.qualified().and_then(|name| self.named(&name)) {
                    return own;
                }
                let owner = self.check(&children[0]);
                let own = self.select(place, owner, field, matches!(node.kind, Kind::OptionalSelect(_)));
                if matches!(node.kind, Kind::Has(_)) { BOOL } else { own }
            }
            Kind::Index | Kind::OptionalIndex => {
                let name = if matches!(node.kind, Kind::Index) { "_[_]" } else { "_[?_]" };
                let arguments = self.all(children);
                self.resolve(place, name, name, &arguments)
            }
            Kind::Call(name) => {
                let arguments = self.all(children);
                let sign = match (name.as_str(), children.len()) {
                    ("!", 1) => "!_",
                    ("-", 1) => "-_",
                    ("in", _) => "@in",
                    (sign, 2) if !sign.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                        &["_", sign, "_"].concat()
                    }
                    (name, _) => name,
                };
                self.resolve(place, sign, sign, &arguments)
            }
            Kind::MemberCall(name) => match (self.is_binding(node), &children[..]) {
                (true, [_, own, value, body]) => {
                    let Kind::Name(name) = &own.kind else {
                        return self
                            .say(own.place, &["cel.bind() variable names must be simple identifiers"]);
                    };
                    let value = self.check(value);
                    self.within([(name, value), (&Text::new(), DYN)], body)
                }
                _ => self.member_call(node, name),
            },
            Kind::And | Kind::Or => {
                for child in children {
                    let own = self.check(child);
                    if !self.findings.fit(&[(&own, &BOOL)]) {
                        self.mismatch(child.place, &BOOL, &own);
                    }
                }
                BOOL
            }
            Kind::If => {
                let arguments = self.all(children);
                self.resolve(place, "_?_:_", "_?_:_", &arguments)
            }
            Kind::List => {
                let mut element = None;
                for child in children {
                    let own = self.entry(child, child);
                    element = Some(self.join(child.place, element, own));
                }
                list(element.unwrap_or_else(|| self.variable()))
            }
            Kind::Map => {
                let (mut key, mut value) = (None, None);
                for pair in children.chunks(2) {
                    let inner = pair[0].inner();
                    let own = self.check(inner);
                    key = Some(self.join(inner.place, key, own));
                    let own = self.entry(&pair[0], &pair[1]);
                    value = Some(self.join(pair[1].place, value, own));
                }
                let key = key.unwrap_or_else(|| self.variable());
                map(key, value.unwrap_or_else(|| self.variable()))
            }
            Kind::Optional => ERROR,
            Kind::Struct(name, fields) => {
                if !(self.scope.patches && is_struct(name)) {
                    self.undeclared(place, name);
                    return ERROR;
                }
                let own = struct_of(name);
                for ((name, colon), child) in fields.iter().zip(children) {
                    let given = self.entry(child, child);
                    let Type::Struct(structure) = &own else { continue };
                    match structure.field(name) {
                        None => {
                            self.say(*colon, &["undefined field '", name, "'"]);
                        }
                        Some(wanted) if !self.findings.fit(&[(&wanted, &given)]) => {
                            let given = self.findings.settle(&given, false).text();
                            let wanted = wanted.text();
                            self.say(
                                *colon,
                                &[
                                    "expected type of field '",
                                    name,
                                    "' is '",
                                    &wanted,
                                    "' but provided type is '",
                                    &given,
                                    "'",
                                ],
                            );
                        }
                        _ => {}
                    }
                }
                own
            }
            Kind::Loop(kind, first, second) => self.go_through(node, *kind, [first, second]),
        }
    }
    fn all(&mut self, nodes: &[Node]) -> Vec<Type> {
        nodes.iter().map(|node| self.check(node)).collect()
    }
    fn named(&self, name: &str) -> Option<Type> {
        let own = self.bound.iter().rev().chain(self.scope.names.iter()).find(|(own, _)| own == name);
        if let Some((_, own)) = own {
            return Some(own.clone());
        }
        let plain = functions::TYPES.iter().find(|own| **own == name)?;
        let inner = match *plain {
            "list" => list(DYN),
            "map" => map(DYN, DYN),
            "optional_type" => optional(DYN),
            "type" => of("type", Vec::new()),
            "null_type" => NULL,
            "google.protobuf.Timestamp" => TIMESTAMP,
            "google.protobuf.Duration" => Type::Plain("duration"),
            name => Type::Plain(name),
        };
        Some(of("type", vec![inner]))
    }
    fn select(&mut self, place: usize, owner: Type, field: &str, is_optional: bool) -> Type {
        let (owner, was_optional) = self.findings.settle(&owner, false).unwrapped();
        let own = match &owner {
            Type::Of("map", parts) => parts[1].clone(),
            Type::Struct(structure) if matches!(structure.fields, Fields::Variables) => {
                match self.scope.variables.iter().rev().find(|(own, _)| own == field) {
                    Some((_, own)) => own.clone(),
                    None => self.say(place, &["undefined field '", field, "'"]),
                }
            }
            Type::Struct(structure) => match structure.field(field) {
                Some(own) => own,
                None => self.say(place, &["undefined field '", field, "'"]),
            },
            Type::Variable(_) => {
                self.findings.fit(&[(&DYN, &owner)]);
                DYN
            }
            _ if owner.is_dyn() || owner.is_error() => DYN,
            other => {
                self.say(place, &["type '", &other.text(), "' does not support field selection"]);
                DYN
            }
        };
        if is_optional || was_optional { optional(own) } else { own }
    }
    fn member_call(&mut self, node: &Node, name: &Text) -> Type {
        let (target, place) = (&node.children[0], node.place);
        if let Some(prefix) = target.qualified() {
            let whole = [prefix.as_str(), ".", name].concat();
            if overloads(&whole).is_some() && (self.scope.patches || prefix != "jsonpatch") {
                let arguments = self.all(&node.children[1..]);
                return self.resolve(place, &whole, &whole, &arguments);
            }
        }
        let mut arguments = self.all(&node.children[1..]);
        arguments.insert(0, self.check(target));
        self.resolve(place, &[".", name].concat(), name, &arguments)
    }
    /// The type of a call, by the overloads that its arguments fit.
    fn resolve(&mut self, place: usize, key: &str, name: &str, arguments: &[Type]) -> Type {
        let is_member = key.starts_with('.');
        let Some(codes) = overloads(key) else {
            // One that is called in another way is known, and has no overload.
            let other = if is_member { overloads(name) } else { overloads(&[".", name].concat()) };
            if other.is_some() {
                return self.no_overload(place, name, arguments, is_member);
            }
            return self.undeclared(place, name);
        };
        let mut result: Option<Type> = None;
        for code in codes.split(' ') {
            let before = self.findings.count();
            let fresh = [self.findings.fresh(), self.findings.fresh()];
            let mut code = code.as_bytes();
            let mut wanted = Vec::new();
            while let Some(own) = read(&mut code, &fresh) {
                wanted.push(own);
            }
            let own = wanted.pop().unwrap_or(ERROR);
            let pairs: Vec<(&Type, &Type)> = arguments.iter().zip(&wanted).collect();
            if wanted.len() != arguments.len() || !self.findings.fit(&pairs) {
                self.findings.shorten(before);
                continue;
            }
            let own = self.findings.settle(&own, false);
            result = Some(match result {
                Some(other) if !other.is_dyn() && other != own => DYN,
                Some(other) => other,
                None => own,
            });
        }
        match result {
            Some(own) => own,
            None => self.no_overload(place, name, arguments, is_member),
        }
    }
    fn no_overload(&mut self, place: usize, name: &str, arguments: &[Type], is_member: bool) -> Type {
        let mut shown = String::new();
        for (index, own) in arguments.iter().enumerate() {
            self.findings.settle(own, true).print(false, &mut shown);
            shown.push_str(match index {
                0 if is_member => ".(",
                _ if index + 1 < arguments.len() => ", ",
                _ => "",
            });
        }
        let open = if is_member { "" } else { "(" };
        self.say(place, &["found no matching overload for '", name, "' applied to '", open, &shown, ")'"])
    }
    /// What a list, a map or a struct gets of `node`, without the optional if `marked` has a `?`.
    fn entry(&mut self, marked: &Node, node: &Node) -> Type {
        let inner = node.inner();
        let own = self.check(inner);
        if !matches!(marked.kind, Kind::Optional) {
            return own;
        }
        let (own, was_optional) = self.findings.settle(&own, false).unwrapped();
        if !was_optional && !own.is_dyn() {
            self.mismatch(inner.place, &optional(own.clone()), &own);
        }
        own
    }
    fn join(&mut self, _place: usize, before: Option<Type>, own: Type) -> Type {
        let Some(before) = before else { return own };
        if !self.findings.fit(&[(&before, &own)]) {
            return DYN;
        }
        if is_less_specific(&before, &own) { before } else { own }
    }
    fn go_through(&mut self, node: &Node, kind: Macro, names: [&Text; 2]) -> Type {
        let (parts, place) = (&node.children, node.place);
        let Some(body) = parts.last() else { return ERROR };
        let range = self.check(&parts[0]);
        if matches!(kind, Macro::OptionalMap | Macro::OptionalFlatMap) {
            self.resolve(place, ".hasValue", "hasValue", std::slice::from_ref(&range));
            let inner = self.resolve(place, ".value", "value", &[range]);
            let own = self.within([(names[0], inner), (names[1], DYN)], body);
            let none = optional(self.variable());
            let own = if kind == Macro::OptionalMap { optional(own) } else { own };
            return self.resolve(place, "_?_:_", "_?_:_", &[BOOL, own, none]);
        }
        let is_double = !names[1].is_empty();
        let range = self.findings.settle(&range, false);
        let [first, second] = match &range {
            Type::Of("list", element) if is_double => [INT, element[0].clone()],
            Type::Of("list", element) => [element[0].clone(), DYN],
            Type::Of("map", entry) => [entry[0].clone(), entry[1].clone()],
            Type::Variable(_) => {
                self.findings.fit(&[(&DYN, &range)]);
                [DYN, DYN]
            }
            _ if range == DYN || range.is_error() => [DYN, DYN],
            other => {
                let shown = other.text();
                self.say(
                    parts[0].place,
                    &[
                        "expression of type '",
                        &shown,
                        "' cannot be range of a comprehension (must be list, map, or dynamic)",
                    ],
                );
                [ERROR, ERROR]
            }
        };
        let bind = || [(names[0], first.clone()), (names[1], second.clone())];
        let filter = (parts.len() == 3).then(|| &parts[1]);
        let condition = filter.map(|filter| self.within(bind(), filter));
        let own = self.within(bind(), body);
        let result = match kind {
            Macro::All | Macro::Exists => {
                if !self.findings.fit(&[(&own, &BOOL)]) {
                    self.mismatch(body.place, &BOOL, &own);
                }
                return BOOL;
            }
            Macro::ExistsOne => {
                self.resolve(place, "_?_:_", "_?_:_", &[own, INT, INT]);
                return BOOL;
            }
            Macro::Filter => {
                let result = list(first);
                self.resolve(place, "_?_:_", "_?_:_", &[own, result.clone(), result.clone()]);
                return result;
            }
            Macro::SortBy => {
                let keys = list(own);
                let all = if range.parts("list").is_some() { range } else { list(DYN) };
                return self.resolve(place, "@sortByAssociatedKeys", "@sortByAssociatedKeys", &[all, keys]);
            }
            Macro::TransformMap => map(first, own),
            Macro::TransformMapEntry => match self.findings.settle(&own, false) {
                own @ Type::Of("map", _) => own,
                own if own.is_dyn() || own.is_error() => map(DYN, DYN),
                own => {
                    let all = map(DYN, DYN);
                    self.no_overload(place, "cel.@mapInsert", &[all, own], false)
                }
            },
            _ => list(own),
        };
        if let Some(condition) = condition {
            self.resolve(place, "_?_:_", "_?_:_", &[condition, result.clone(), result.clone()]);
        }
        result
    }
    /// `cel.bind(name, value, body)`, which selectors of devices alone know.
    fn is_binding(&self, node: &Node) -> bool {
        is_bind(node) && self.scope.names.iter().any(|(name, _)| name == "device")
    }
    fn within(&mut self, names: [(&Text, Type); 2], body: &Node) -> Type {
        let before = self.bound.len();
        for (name, own) in names.into_iter().filter(|(name, _)| !name.is_empty()) {
            self.bound.push((name.clone(), own));
        }
        let own = self.check(body);
        self.bound.truncate(before);
        own
    }

    /// Literals that would never do, and lists and maps of different things; those within `format` may.
    fn look_at_literals(&mut self, node: &Node, is_exempt: bool) {
        // Each place with whether it is taken out of an optional.
        let same = |checker: &mut Self, places: &mut dyn Iterator<Item = (usize, bool)>| {
            let mut expected: Option<Type> = None;
            for (place, is_optional) in places {
                let own = checker.types.get(&place).cloned().unwrap_or(DYN);
                let own = if is_optional { own.unwrapped().0 } else { own };
                match &expected {
                    Some(expected) if own != *expected => {
                        checker.mismatch(place, expected, &own);
                        return;
                    }
                    Some(_) => {}
                    None => expected = Some(own),
                }
            }
        };
        let is_marked = |node: &Node| matches!(node.kind, Kind::Optional);
        let mut exempt_below = is_exempt;
        match &node.kind {
            Kind::List if !is_exempt => {
                same(self, &mut node.children.iter().map(|item| (item.inner().place, is_marked(item))));
            }
            Kind::Map if !is_exempt => {
                let pairs = || node.children.chunks(2);
                same(self, &mut pairs().map(|pair| (pair[0].inner().place, false)));
                same(self, &mut pairs().map(|pair| (pair[1].place, is_marked(&pair[0]))));
            }
            Kind::Call(name) | Kind::MemberCall(name) => {
                exempt_below |= name == "format";
                let is_member = matches!(node.kind, Kind::MemberCall(_));
                let first = node.children.get(usize::from(is_member));
                let literal = first.and_then(|first| match &first.kind {
                    Kind::Literal(value) => Some((first.place, value.as_str()?)),
                    _ => None,
                });
                if let Some((place, text)) = literal {
                    let fits = match name.as_str() {
                        "duration" => parse_go_duration(text).is_some(),
                        "timestamp" => parse_unix_micros(text).is_some(),
                        "matches" => Regex::go(text).is_ok(),
                        _ => true,
                    };
                    if !fits {
                        self.say(place, &["invalid ", name, " argument"]);
                    }
                }
            }
            _ => {}
        }
        for child in &node.children {
            self.look_at_literals(child, exempt_below);
        }
    }
}

/// The type of a struct that is made in an expression.
pub fn struct_of(name: &str) -> Type {
    if name == "JSONPatch" { known(name) } else { structure(name, Fields::Any) }
}
