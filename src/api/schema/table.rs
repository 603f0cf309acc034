//! The built-in atlas's printed form.
//!
//! A heading `[alias package apiVersion]` opens a package; its Go name appears in messages. Then a line a type,
//! its name first:
//!
//! - `Name=base value ...`: a named scalar, map or list, with the values of an enumeration (`""` for empty);
//! - `Name field ...`: an object; `>atomic` as first word makes it one value to server-side apply.
//!
//! A field is `name flags : type patch list default`:
//!
//! - flags: `?` omitempty, `~` omitzero, `*` pointer, `!` required;
//! - type: `[]T`, `{key}T` (a map; the key's type only if it is not plain string), a scalar's name, a type of
//!   this package, or `alias.Type`;
//! - patch: `<m` merge, `<r` retain keys, `<m(key)` merge by key;
//! - list: `>set`, `>map(keys)`, `>atomic`;
//! - default: `^value`, only where it completes a list item's key.

use super::{Field, ListKind, ObjectShape, Schema, Shape, Type, TypeId};
use crate::api::value::{Text, Value};
use crate::arrange::Arrange;
use crate::sorted::SortedMap;

/// A line of the table, not yet understood.
#[derive(Clone, Copy)]
struct Entry<'a> {
    package: &'a str,
    go_package: &'a str,
    api_version: &'a str,
    name: &'a str,
    body: &'a str,
}

/// Of each type that has a line, in the order of the lines: its package's alias, and the `apiVersion` of that.
pub(super) fn packages() -> Vec<(&'static str, &'static str)> {
    let mut packages = Vec::new();
    let mut package = ("", "");
    for line in include_str!("builtin.txt").lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(heading) => {
                let mut words = heading.split(' ');
                package = (words.next().unwrap_or(""), words.nth(1).unwrap_or(""));
            }
            None => packages.push(package),
        }
    }
    packages
}

struct Reader<'a> {
    entries: Vec<Entry<'a>>,
    /// (alias, name) to the entry's position, which is also its type's.
    named: SortedMap<(&'a str, &'a str), usize>,
    /// Types without a line of their own, by their text; references inside are qualified.
    unnamed: SortedMap<String, TypeId>,
    schema: Schema,
}

pub(super) fn read(table: &str) -> Schema {
    let mut entries = Vec::new();
    let (mut package, mut go_package, mut api_version) = ("", "", "");
    for line in table.lines().filter(|line| !line.is_empty()) {
        if let Some(heading) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let mut words = heading.split(' ');
            let mut next = || words.next().unwrap_or("");
            (package, go_package, api_version) = (next(), next(), next());
            continue;
        }
        let end = line.find([' ', '=']).unwrap_or(line.len());
        entries.push(Entry { package, go_package, api_version, name: &line[..end], body: &line[end..] });
    }
    let named = entries.iter().enumerate().map(|(at, entry)| ((entry.package, entry.name), at)).collect();
    let blank = Type {
        go_name: Text::new(),
        name: Text::new(),
        shape: Shape::Any,
        atomic: false,
        values: Vec::new(),
    };
    let schema = Schema { types: vec![blank; entries.len()], ..Schema::default() };
    let mut reader = Reader { entries, named, unnamed: SortedMap::new(), schema };
    for at in 0..reader.entries.len() {
        reader.entry(at);
    }
    reader.kinds();
    reader.schema
}

impl<'a> Reader<'a> {
    fn entry(&mut self, at: usize) {
        let Entry { package, go_package, name, body, .. } = self.entries[at];
        let (name, go_name) = (Text::from(name), Text::from(format!("{go_package}.{name}")));
        let type_ = if let Some(alias) = body.strip_prefix('=') {
            let mut words = alias.split(' ');
            let base = self.type_(words.next().unwrap_or(""), package, None);
            let shape = self.schema.type_(base).shape.clone();
            let values =
                words.map(|word| if word == "\"\"" { Text::new() } else { Text::from(word) }).collect();
            Type { go_name, name, shape, atomic: false, values }
        } else {
            let mut fields = Vec::new();
            let mut atomic = false;
            for word in body.split(' ').filter(|word| !word.is_empty()) {
                if word == ">atomic" {
                    atomic = true;
                } else {
                    fields.push(self.field(word, package));
                }
            }
            Type { go_name, name, shape: Shape::Object(object(fields)), atomic, values: Vec::new() }
        };
        self.schema.types[at] = type_;
    }

    fn field(&mut self, word: &'a str, package: &'a str) -> Field {
        let (head, rest) = word.split_once(':').unwrap_or((word, "Any"));
        let name = head.trim_end_matches(['?', '~', '*', '!']);
        let flags = &head[name.len()..];
        let (rest, default) = rest.split_once('^').unwrap_or((rest, ""));
        let (rest, list) = rest.split_once('>').unwrap_or((rest, ""));
        let (type_, patch) = rest.split_once('<').unwrap_or((rest, ""));
        let (strategy, key) = patch.split_once('(').unwrap_or((patch, ""));
        Field {
            name: Text::from(name),
            type_: self.type_(type_, package, Some(list)),
            pointer: flags.contains('*'),
            omit_empty: flags.contains('?'),
            omit_zero: flags.contains('~'),
            required: flags.contains('!'),
            patch_merge: strategy.contains('m'),
            patch_retain_keys: strategy.contains('r'),
            patch_merge_key: (!key.is_empty()).then(|| Text::from(key.trim_end_matches(')'))),
            default: if default.is_empty() { Value::Null } else { Value::from(default) },
        }
    }

    /// The type that `text` means inside `package`; `list` is a field's own word on how it merges.
    fn type_(&mut self, text: &'a str, package: &'a str, list: Option<&str>) -> TypeId {
        let list = list.unwrap_or("");
        let reference = match text.split_once('.') {
            Some((alias, name)) if !text.starts_with(['[', '{']) => (alias, name),
            _ => (package, text),
        };
        if let Some(at) = self.named.get(&reference).copied() {
            return TypeId(at as u32);
        }
        let key = format!("{package} {text} {list}");
        if let Some(id) = self.unnamed.get(&key) {
            return *id;
        }
        let type_ = self.unnamed_type(text, package, list);
        let id = self.schema.add(type_);
        self.unnamed.insert(key, id);
        id
    }

    fn unnamed_type(&mut self, text: &'a str, package: &'a str, list: &str) -> Type {
        let mut name = Text::new();
        let (go_name, shape) = if let Some(element) = text.strip_prefix("[]") {
            let element = self.type_(element, package, None);
            let go_name = format!("[]{}", self.go_name(element));
            (go_name, Shape::List { element, list: list_kind(list) })
        } else if let Some((key, element)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
            let element = self.type_(element, package, None);
            let key_name = if key.is_empty() {
                Text::from("string")
            } else {
                let key = self.type_(key, package, None);
                self.go_name(key)
            };
            (format!("map[{key_name}]{}", self.go_name(element)), Shape::Map { element })
        } else {
            let (go_name, shape) = self.scalar(text);
            let named = matches!(
                shape,
                Shape::IntOrString
                    | Shape::Quantity
                    | Shape::Time
                    | Shape::MicroTime
                    | Shape::Duration
                    | Shape::Any
            );
            if named {
                name = Text::from(go_name.rsplit('.').next().unwrap_or(""));
            }
            (go_name.to_owned(), shape)
        };
        Type { go_name: Text::from(go_name), name, shape, atomic: list == "atomic", values: Vec::new() }
    }

    fn scalar(&mut self, text: &'a str) -> (&'static str, Shape) {
        match text {
            "string" => ("string", Shape::String),
            "UID" => ("types.UID", Shape::String),
            "NodeName" => ("types.NodeName", Shape::String),
            "bool" => ("bool", Shape::Boolean),
            "int32" => ("int32", Shape::Integer { bits: 32 }),
            "int64" => ("int64", Shape::Integer { bits: 64 }),
            "int" => ("int", Shape::Integer { bits: 64 }),
            "float64" => ("float64", Shape::Float),
            "bytes" => ("[]uint8", Shape::Bytes),
            "Quantity" => ("resource.Quantity", Shape::Quantity),
            "IntOrString" => ("intstr.IntOrString", Shape::IntOrString),
            "Time" => ("v1.Time", Shape::Time),
            "MicroTime" => ("v1.MicroTime", Shape::MicroTime),
            "Duration" => ("v1.Duration", Shape::Duration),
            "SchemaOrBool" => ("v1.JSONSchemaPropsOrBool", self.either("bool")),
            "SchemaOrArray" => ("v1.JSONSchemaPropsOrArray", self.either("[]JSONSchemaProps")),
            "SchemaOrStrings" => ("v1.JSONSchemaPropsOrStringArray", self.either("[]string")),
            "Raw" => ("runtime.RawExtension", Shape::Any),
            _ => ("v1.JSON", Shape::Any),
        }
    }

    fn either(&mut self, other: &'static str) -> Shape {
        let package = "apiextensions";
        let object = self.type_("JSONSchemaProps", package, None);
        Shape::Either { object, other: self.type_(other, package, None) }
    }

    /// Known before the type has been read: entries are named after their lines.
    fn go_name(&self, id: TypeId) -> Text {
        match self.entries.get(id.0 as usize) {
            Some(entry) => Text::from(format!("{}.{}", entry.go_package, entry.name)),
            None => self.schema.type_(id).go_name.clone(),
        }
    }

    /// Every object type that begins with `kind` and `apiVersion` is a kind; references to objects begin so
    /// too, but go on with a uid.
    fn kinds(&mut self) {
        for (at, entry) in self.entries.iter().enumerate() {
            let Shape::Object(object) = &self.schema.types[at].shape else { continue };
            let mut order =
                object.order.iter().map(|position| object.fields[usize::from(*position)].name.as_str());
            let begins = order.next() == Some("kind") && order.next() == Some("apiVersion");
            if begins && !order.any(|name| name == "uid") {
                let key = (Text::from(entry.api_version), Text::from(entry.name));
                self.schema.kinds.insert(key, TypeId(at as u32));
            }
        }
    }
}

/// An object of these fields, sorted, with their first order remembered.
pub(super) fn object(fields: Vec<Field>) -> ObjectShape {
    let names: Vec<Text> = fields.iter().map(|field| field.name.clone()).collect();
    let mut sorted = fields;
    sorted.arrange_by(|a, b| a.name.cmp(&b.name));
    let order = names
        .iter()
        .filter_map(|name| sorted.iter().position(|field| field.name == *name))
        .filter_map(|position| u16::try_from(position).ok())
        .collect();
    ObjectShape { fields: sorted, order, preserve_unknown: false }
}

fn list_kind(text: &str) -> ListKind {
    match text.strip_prefix("map(").and_then(|keys| keys.strip_suffix(')')) {
        Some(keys) => ListKind::Map(keys.split(',').map(Text::from).collect()),
        None if text == "set" => ListKind::Set,
        None => ListKind::Atomic,
    }
}
