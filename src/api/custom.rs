//! What a CustomResourceDefinition says of its kind, in the form in which it is looked up.
//!
//! Picture to hold in mind: the card that stands behind a screwed-on door plate. It is copied from the definition when
//! the plate is put up; the larger drawings on its back (the atlas) are made when somebody first turns it round.
//!
//! - [`coerce`] pruning, nulls and defaults
//! - [`validate`] what values a schema takes
//! - [`rules`] what its expressions demand of them
//!
//! Follows apiextensions-apiserver `pkg/apiserver/customresource_handler.go` (`getOrCreateServingInfoFor`).

mod coerce;
mod format;
mod rules;
#[cfg(test)]
mod tests;
mod validate;

use std::sync::{Arc, OnceLock};

use super::kind::join_api_version;
use super::schema::{Schema, SchemaType};
use super::value::{Text, Value};

pub use coerce::{Coerced, coerce, has_unknown, settle};
pub use format::fits as has_format;
pub use format::is_known as is_known_format;
pub use rules::{check_rules, field_path};
pub use validate::validate;

/// The kind of a CustomResourceDefinition.
#[derive(Debug)]
pub struct CustomKind {
    definition: Value,
    versions: Vec<CustomVersion>,
}

/// One version of a custom kind.
#[derive(Debug)]
pub struct CustomVersion {
    pub name: Text,
    /// As `spec.versions` has it.
    entry: Value,
    api_version: Text,
    kind: Text,
    atlas: OnceLock<Schema>,
}

/// Whether a schema, or a part of it, has rules in CEL.
pub fn has_rules(schema: &Value) -> bool {
    let is_set = |part: &Value| matches!(part, Value::Object(_)) && has_rules(part);
    !schema.items("x-kubernetes-validations").is_empty()
        || schema.items("allOf").iter().any(has_rules)
        || schema.map("properties").iter().any(|(_, property)| has_rules(property))
        || is_set(schema.at("items"))
        || is_set(schema.at("additionalProperties"))
}

/// The formats in a schema that are not checked because nobody knows them.
pub fn unknown_formats(schema: &Value) -> Vec<Text> {
    let mut found = Vec::new();
    let format = schema.text("format");
    let is_known = match schema.text("type") {
        "" | "string" => is_known_format(format),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    };
    if !format.is_empty() && !is_known {
        found.push(Text::from(format));
    }
    let parts = schema.map("properties").iter().map(|(_, property)| property);
    for part in parts.chain([schema.at("items"), schema.at("additionalProperties")]) {
        if matches!(part, Value::Object(_)) {
            found.append(&mut unknown_formats(part));
        }
    }
    found
}

/// Go's words for a field that is not of the type that a path leads to (`unstructured.NestedInt64`).
pub fn wrong_accessor(path: &str, value: &Value, wanted: &str) -> String {
    let (printed, found) = (super::patch::go_display(value), value.go_type());
    format!(".{path} accessor error: {printed} is of the type {found}, expected {wanted}")
}

impl PartialEq for CustomKind {
    fn eq(&self, other: &CustomKind) -> bool {
        self.definition == other.definition
    }
}

impl CustomKind {
    pub fn new(definition: &Value) -> Arc<CustomKind> {
        let group = definition.text("spec.group");
        let kind = definition.shared_text("status.acceptedNames.kind");
        let version = |entry: &Value| CustomVersion {
            name: entry.shared_text("name"),
            entry: entry.clone(),
            api_version: join_api_version(group, entry.text("name")),
            kind: kind.clone(),
            atlas: OnceLock::new(),
        };
        let versions = definition.items("spec.versions").iter().map(version).collect();
        Arc::new(CustomKind { definition: definition.clone(), versions })
    }
    /// The CustomResourceDefinition.
    pub fn definition(&self) -> &Value {
        &self.definition
    }
    fn agrees(&self, definition: &Value, paths: &[&str]) -> bool {
        paths.iter().all(|path| {
            let (own, other) = (self.definition.at(path), definition.at(path));
            own.is_same(other) || own == other
        })
    }
    /// Whether `definition` says the same of the kind: then nothing that was made of it has to be made anew.
    pub fn is_of(&self, definition: &Value) -> bool {
        self.serves_as(definition) && self.agrees(definition, &["status.conditions"])
    }
    /// Whether instances look the same by `definition`.
    pub fn serves_as(&self, definition: &Value) -> bool {
        self.agrees(definition, &["metadata.uid", "spec", "status.acceptedNames"])
    }
    pub fn namespaced(&self) -> bool {
        self.definition.text("spec.scope") == "Namespaced"
    }
    pub fn versions(&self) -> impl Iterator<Item = &CustomVersion> {
        self.versions.iter()
    }
    pub fn version(&self, name: &str) -> Option<&CustomVersion> {
        self.versions.iter().find(|version| version.name == name)
    }
    /// The version that an object says it is of.
    pub fn version_of(&self, object: &Value) -> Option<&CustomVersion> {
        let (_, version) = super::meta::split_api_version(object.text("apiVersion"));
        self.version(version)
    }
    /// Fields that no schema knows are kept: what v1beta1 allowed and v1 only takes over.
    pub fn preserves_unknown_fields(&self) -> bool {
        self.definition.is_true("spec.preserveUnknownFields")
    }
}

impl CustomVersion {
    pub fn served(&self) -> bool {
        self.entry.is_true("served")
    }
    pub fn stored(&self) -> bool {
        self.entry.is_true("storage")
    }
    /// `openAPIV3Schema`, `Null` for none.
    pub fn schema(&self) -> &Value {
        self.entry.at("schema.openAPIV3Schema")
    }
    pub fn api_version(&self) -> &Text {
        &self.api_version
    }
    pub fn kind(&self) -> &Text {
        &self.kind
    }
    /// Whether any part of the schema has rules in CEL.
    pub fn has_rules(&self) -> bool {
        has_rules(self.schema())
    }
    /// `status` or `scale`.
    pub fn has_subresource(&self, name: &str) -> bool {
        self.entry.at("subresources").get(name).is_some_and(|subresource| !subresource.is_null())
    }
    /// The paths of the scale subresource: `specReplicasPath`, `statusReplicasPath`, `labelSelectorPath`.
    pub fn scale(&self) -> Option<&Value> {
        Some(self.entry.at("subresources.scale")).filter(|scale| !scale.is_null())
    }
    /// `additionalPrinterColumns`.
    pub fn columns(&self) -> &[Value] {
        self.entry.items("additionalPrinterColumns")
    }
    pub fn selectable_fields(&self) -> &[Value] {
        self.entry.items("selectableFields")
    }
    /// The field that a path such as `.spec.replicas` names, as a path inside of an object.
    pub fn plain_path(path: &str) -> &str {
        path.strip_prefix('.').unwrap_or(path)
    }
    pub fn deprecation_warning(&self, kind: &CustomKind) -> Option<Text> {
        if !self.entry.is_true("deprecated") {
            return None;
        }
        if let Some(warning) = self.entry.at("deprecationWarning").as_str() {
            return Some(Text::from(warning));
        }
        let is_better = |other: &&CustomVersion| {
            other.served()
                && !other.entry.is_true("deprecated")
                && super::kind::compare_versions(&other.name, &self.name).is_gt()
        };
        let best = kind.versions().filter(is_better).reduce(|best, other| {
            if super::kind::compare_versions(&other.name, &best.name).is_gt() { other } else { best }
        });
        let own = format!("{} {} is deprecated", self.api_version, self.kind);
        Some(Text::from(match best {
            Some(best) => format!("{own}; use {} {}", best.api_version, self.kind),
            None => own,
        }))
    }
    /// Where objects of this version begin in their own atlas.
    pub fn place(&self) -> Option<SchemaType<'_>> {
        let atlas =
            self.atlas.get_or_init(|| Schema::structural(&self.api_version, &self.kind, self.schema()));
        atlas.kind(&self.api_version, &self.kind)
    }
}
