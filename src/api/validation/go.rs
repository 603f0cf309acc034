//! Values as Go prints them from its internal structs.
//!
//! Picture to hold in mind: the same furniture in the maker's own catalogue: part names in capitals, every part
//! listed, also those that this piece does not have (`null`).
//!
//! The API server validates *internal* types. Most have no JSON names, so an error that quotes a whole struct, or
//! the diff of two, shows Go's field names in Go's order. `internal.txt` lists them: a line a type, a word a field:
//! JSON name, type (`s` or nothing for a string, `b` bool, `i` integer, `q` quantity, `x` a type with JSON names,
//! `M` ObjectMeta; `*` pointer, `[` list, `{` map), and Go's name where it is not the JSON name with a capital (`^`
//! embedded). A JSON name that begins with a slash is found in the parent. From `pkg/apis/*/types.go`.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::api::field::{BadValue, go_json};
use crate::api::value::Value;
use crate::arrange::{Arrange, Gather};
use crate::sorted::SortedMap;

struct Field {
    name: String,
    json: &'static str,
    kind: &'static str,
}

static TYPES: LazyLock<SortedMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let mut types = SortedMap::new();
    for line in include_str!("internal.txt").lines() {
        let mut words = line.split(' ');
        let Some(name) = words.next() else { continue };
        let fields = words.filter_map(|word| {
            let mut parts = word.splitn(3, ':');
            let json = parts.next()?;
            let kind = parts.next().filter(|kind| !kind.is_empty()).unwrap_or("s");
            let name = parts.next().map_or_else(|| capitalized(json), String::from);
            Some(Field { name, json, kind })
        });
        types.insert(name, fields.collect());
    }
    types
});

fn capitalized(name: &str) -> String {
    name[..1].to_ascii_uppercase() + &name[1..]
}

/// What ObjectMeta, LabelSelector and OwnerReference print first, in Go's order; what is not here comes after.
const JSON_ORDER: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "matchLabels",
    "matchExpressions",
];

/// The value as an error quotes it when its type carries JSON names (selectors, lists of strings, numbers).
pub fn quoted(value: &Value) -> BadValue {
    match value {
        Value::Object(_) => {
            let mut text = String::new();
            with_json_names(value, &mut text);
            BadValue::Raw(text.into())
        }
        _ => BadValue::Value(value.clone()),
    }
}

/// The value as an error quotes it when it is an internal struct (or, with `[`, `*`, a list or pointer of one).
pub fn internal(kind: &'static str) -> impl Fn(&Value) -> BadValue {
    move |value| BadValue::Raw(compact(kind, value).into())
}

/// One line of JSON.
pub fn compact(kind: &'static str, value: &Value) -> String {
    let mut printer = Printer { text: String::new(), pretty: false, depth: 0 };
    printer.value(kind, value, &Value::Null);
    printer.text
}

/// JSON as `MarshalIndent` with one space writes it.
pub fn pretty(kind: &'static str, value: &Value) -> String {
    let mut printer = Printer { text: String::new(), pretty: true, depth: 0 };
    printer.value(kind, value, &Value::Null);
    printer.text
}

fn with_json_names(value: &Value, text: &mut String) {
    let Value::Object(map) = value else {
        text.push_str(&go_json(value));
        return;
    };
    let rank = |name: &str| JSON_ORDER.iter().position(|known| *known == name).unwrap_or(JSON_ORDER.len());
    let mut fields: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).gather();
    fields.arrange_by_key(|(name, _)| rank(name));
    text.push('{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let _ = write!(text, "{}:", go_json(&Value::from(name)));
        with_json_names(value, text);
    }
    text.push('}');
}

struct Printer {
    text: String,
    pretty: bool,
    depth: usize,
}

impl Printer {
    fn line(&mut self) {
        if self.pretty {
            self.text.push('\n');
            for _ in 0..self.depth {
                self.text.push(' ');
            }
        }
    }

    /// Brackets around `count` items; nothing but the brackets when there are none.
    fn bracketed(
        &mut self,
        open: char,
        close: char,
        count: usize,
        mut item: impl FnMut(&mut Printer, usize),
    ) {
        self.text.push(open);
        self.depth += 1;
        for index in 0..count {
            if index > 0 {
                self.text.push(',');
            }
            self.line();
            item(self, index);
        }
        self.depth -= 1;
        if count > 0 {
            self.line();
        }
        self.text.push(close);
    }

    fn name(&mut self, name: &str) {
        self.text.push_str(&go_json(&Value::from(name)));
        self.text.push_str(if self.pretty { ": " } else { ":" });
    }

    fn value(&mut self, kind: &'static str, value: &Value, parent: &Value) {
        if let Some(pointed) = kind.strip_prefix('*') {
            if value.is_null() { self.text.push_str("null") } else { self.value(pointed, value, parent) }
        } else if let Some(item) = kind.strip_prefix('[') {
            match value {
                Value::Array(items) => {
                    self.bracketed('[', ']', items.len(), |printer, index| {
                        printer.value(item, &items[index], value)
                    });
                }
                _ => self.text.push_str("null"),
            }
        } else if let Some(item) = kind.strip_prefix('{') {
            match value {
                Value::Object(map) => {
                    let entries: Vec<_> = map.iter().collect();
                    self.bracketed('{', '}', entries.len(), |printer, index| {
                        printer.name(entries[index].0);
                        printer.value(item, entries[index].1, value);
                    });
                }
                _ => self.text.push_str("null"),
            }
        } else {
            match (kind, value) {
                ("s", Value::Null) => self.text.push_str("\"\""),
                ("b", Value::Null) => self.text.push_str("false"),
                ("i", Value::Null) => self.text.push('0'),
                ("q", Value::Null) => self.text.push_str("\"0\""),
                ("s" | "b" | "i" | "q", _) => self.text.push_str(&go_json(value)),
                ("x" | "M", _) => self.json(value),
                _ => self.structure(kind, value, parent),
            }
        }
    }

    /// A type with JSON names and `omitempty`.
    fn json(&mut self, value: &Value) {
        match value {
            Value::Object(_) => {
                let fields = ordered(value);
                self.bracketed('{', '}', fields.len(), |printer, index| {
                    printer.name(fields[index].0);
                    printer.json(fields[index].1);
                });
            }
            Value::Array(items) => {
                self.bracketed('[', ']', items.len(), |printer, index| printer.json(&items[index]));
            }
            _ => self.text.push_str(&go_json(value)),
        }
    }

    fn structure(&mut self, kind: &'static str, value: &Value, parent: &Value) {
        let mut fields = Vec::new();
        flatten(kind, value, parent, &mut fields);
        self.bracketed('{', '}', fields.len(), |printer, index| {
            let (name, kind, field, owner) = fields[index];
            printer.name(name);
            printer.value(kind, field, owner);
        });
    }
}

/// The fields that a value has, in Go's order of a type with JSON names.
fn ordered(value: &Value) -> Vec<(&str, &Value)> {
    let rank = |name: &str| JSON_ORDER.iter().position(|known| *known == name).unwrap_or(JSON_ORDER.len());
    let fields = value.as_object().into_iter().flat_map(|map| map.iter());
    let mut fields: Vec<_> =
        fields.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.as_str(), value)).gather();
    fields.arrange_by_key(|(name, _)| rank(name));
    fields
}

type Flat<'a> = (&'a str, &'static str, &'a Value, &'a Value);

/// A struct's fields with those of embedded structs in their place.
fn flatten<'a>(kind: &'static str, value: &'a Value, parent: &'a Value, out: &mut Vec<Flat<'a>>) {
    let Some(fields) = TYPES.get(kind) else { return };
    for field in fields {
        match (field.name.as_str(), field.json) {
            ("^", "") => flatten(field.kind, value, parent, out),
            ("^", json) => out
                .extend(ordered(value.at(json)).into_iter().map(|(name, value)| (name, "x", value, parent))),
            (name, json) => {
                let field_value = match json.strip_prefix('/') {
                    Some(json) => parent.at(json),
                    None => value.at(json),
                };
                out.push((name, field.kind, field_value, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    #[test]
    fn structs_print_in_go_order() {
        let context = object! { "privileged" => true, "allowPrivilegeEscalation" => false };
        assert_eq!(
            compact("SecurityContext", &context),
            r#"{"Capabilities":null,"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}"#
        );
        let spec =
            object! { "hostNetwork" => true, "securityContext" => object! {}, "containers" => array![] };
        let text = compact("PodSpec", &spec);
        assert!(text.contains(r#""SecurityContext":{"HostNetwork":true,"HostPID":false"#), "{text}");
        assert!(text.contains(r#""Containers":[]"#), "{text}");
        let template =
            object! { "metadata" => object! { "labels" => object! { "a" => "b" } }, "spec" => spec };
        assert!(
            compact("PodTemplateSpec", &template)
                .starts_with(r#"{"labels":{"a":"b"},"Spec":{"Volumes":null"#)
        );
        let selector = object! { "matchExpressions" => array![], "matchLabels" => object! { "b" => "1" } };
        assert_eq!(
            quoted(&selector),
            BadValue::Raw(r#"{"matchLabels":{"b":"1"},"matchExpressions":[]}"#.into())
        );
    }

    #[test]
    fn every_named_type_is_listed() {
        for (name, fields) in TYPES.iter() {
            for field in fields {
                let base = field.kind.trim_start_matches(['*', '[', '{']);
                assert!(
                    matches!(base, "s" | "b" | "i" | "q" | "x" | "M") || TYPES.contains_key(base),
                    "{name}.{}: {base}",
                    field.name
                );
            }
        }
    }
}
