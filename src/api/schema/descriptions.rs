//! What kinds and their fields mean, in a sentence each: for `kubectl explain` and the OpenAPI documents.
//!
//! Picture to hold in mind: the legend at an atlas' edge. Most signs are explained where they stand, common ones
//! once for all maps.
//!
//! `descriptions.txt` has headings as the table of types has, `[alias]`. Below, a line is a type with what it is, if
//! anything is to be said of it, and an indented one a field of that type with what it means. The fields of the type
//! `Any` under `[common]` are those of any type. The words are ours, not those of upstream's API reference.

use std::sync::LazyLock;

use super::{BUILT_IN, SchemaType, openapi, table};
use crate::api::value::Value;

/// By package, type and field; a type's own is at [`OWN`].
static DESCRIPTIONS: LazyLock<Value> = LazyLock::new(|| {
    let mut all = Value::object();
    for (package, type_, name, text) in lines() {
        let mut path = String::from(package);
        for step in [type_, name] {
            path.push('.');
            path.push_str(step);
        }
        all.set(&path, text);
    }
    all
});

/// Each line's package, type, field ([`OWN`] for the type itself) and words.
pub(super) fn lines() -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
    let (mut package, mut type_) = ("", "");
    include_str!("descriptions.txt").lines().filter_map(move |line| {
        if let Some(heading) = line.strip_prefix('[') {
            package = heading.trim_end_matches(']');
            return None;
        }
        let (mut name, text) = line.trim_start().split_once(' ').unwrap_or((line, ""));
        if !line.starts_with(' ') {
            (type_, name) = (name, OWN);
        }
        Some((package, type_, name, text))
    })
}

pub(super) const OWN: &str = "=";

pub(super) fn text(package: &str, type_: &str, name: &str) -> &'static str {
    DESCRIPTIONS.at(package).at(type_).text(name)
}

/// What a field means that is the same in any type.
pub(super) fn common(field: &str) -> &'static str {
    text("common", "Any", field)
}

impl SchemaType<'_> {
    /// What the type is, `""` if nothing is written of it.
    pub fn description(self) -> &'static str {
        self.own(OWN)
    }
    fn own(self, name: &str) -> &'static str {
        static PACKAGES: LazyLock<Vec<(&str, &str)>> = LazyLock::new(table::packages);
        match PACKAGES.get(self.id.0 as usize) {
            Some((package, _)) if std::ptr::eq(self.schema, &*BUILT_IN) => text(package, self.name(), name),
            _ => "",
        }
    }
    /// What the field `name` means: what is written of it, or else of its type, or of such fields of any type. `""` if
    /// there is nothing.
    pub fn field_description(self, name: &str) -> &'static str {
        let own = self.own(name);
        let Some(field) = self.field(name).filter(|_| own.is_empty()) else { return own };
        let type_ = field.type_().innermost();
        match type_.description() {
            // A kind's own words are told besides.
            text if !text.is_empty() && !type_.is_kind() => text,
            _ => common(name),
        }
    }
    /// The type itself, or what lists and maps of it hold in the end.
    pub fn innermost(self) -> Self {
        let mut type_ = self;
        while let Some(element) = type_.element() {
            type_ = element;
        }
        type_
    }
    /// Of a built-in type: whether its objects say what they are, with `kind` and `apiVersion`.
    pub fn is_kind(self) -> bool {
        openapi::is_kind(self.id)
    }
}
