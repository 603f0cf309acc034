//! The atlas that a custom resource brings along: its structural schema.
//!
//! Picture to hold in mind: a hand-drawn map folded into the printed atlas. The metadata every object has is
//! printed; the rest is as its author drew it, white spots included.
//!
//! Follows apiextensions-apiserver `pkg/apiserver/schema` (structural schemas, pruning) and, for merging, the
//! `x-kubernetes-list-type`, `x-kubernetes-list-map-keys` and `x-kubernetes-map-type` extensions.

use super::{Field, ListKind, Schema, Shape, Type, TypeId, table};
use crate::api::value::{Text, Value};

/// The types that `ObjectMeta` reaches, out of the built-in table.
fn meta_section() -> &'static str {
    let table = include_str!("builtin.txt");
    let start = table.find("[meta ").unwrap_or(0);
    let end = table[start + 1..].find("\n[").map_or(table.len(), |end| start + 1 + end + 1);
    &table[start..end]
}

/// Deeper schemas are cut off: what lies below is preserved unchecked.
const MAX_DEPTH: usize = 100;

impl Schema {
    /// The schema of one version of a custom resource, from its `openAPIV3Schema` (`Null` for none).
    pub fn structural(api_version: &str, kind: &str, schema: &Value) -> Schema {
        let mut atlas = table::read(meta_section());
        atlas.structural = true;
        atlas.kinds.clear();
        let root = atlas.structural_type(schema, kind, true, 0);
        atlas.kinds.insert((Text::from(api_version), Text::from(kind)), root);
        atlas
    }

    fn structural_type(&mut self, schema: &Value, name: &str, resource: bool, depth: usize) -> TypeId {
        let mut type_ = Type {
            go_name: schema.shared_text("type"),
            name: Text::from(name),
            shape: Shape::Any,
            atomic: schema.text("x-kubernetes-map-type") == "atomic",
            values: Vec::new(),
        };
        if depth > MAX_DEPTH {
            return self.add(type_);
        }
        let preserve_unknown = schema.is_true("x-kubernetes-preserve-unknown-fields");
        let resource = resource || schema.is_true("x-kubernetes-embedded-resource");
        type_.shape = match schema.text("type") {
            _ if schema.is_true("x-kubernetes-int-or-string") => Shape::IntOrString,
            "string" => Shape::String,
            "boolean" => Shape::Boolean,
            "integer" => Shape::Integer { bits: 64 },
            "number" => Shape::Float,
            "array" => {
                let list = match schema.text("x-kubernetes-list-type") {
                    "set" => ListKind::Set,
                    "map" => ListKind::Map(
                        schema
                            .items("x-kubernetes-list-map-keys")
                            .iter()
                            .filter_map(|key| key.as_str().map(Text::from))
                            .collect(),
                    ),
                    _ => ListKind::Atomic,
                };
                let element = self.structural_type(schema.at("items"), name, false, depth + 1);
                Shape::List { element, list }
            }
            "object" if resource || schema.has("properties") => {
                let required = schema.items("required");
                let mut fields: Vec<Field> = Vec::new();
                for (name, property) in schema.map("properties").iter() {
                    if resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                        continue;
                    }
                    let type_ = self.structural_type(property, name, false, depth + 1);
                    let required = required.iter().any(|required| required.as_str() == Some(name));
                    fields.push(field(name, type_, required, property.at("default").clone()));
                }
                if resource {
                    let text =
                        self.structural_type(&crate::object! { "type" => "string" }, "", false, depth + 1);
                    fields.push(field("apiVersion", text, false, Value::Null));
                    fields.push(field("kind", text, false, Value::Null));
                    fields.push(field("metadata", self.named("ObjectMeta"), false, Value::Null));
                }
                let mut object = table::object(fields);
                object.preserve_unknown = preserve_unknown;
                Shape::Object(object)
            }
            "object" if schema.has("additionalProperties") && !preserve_unknown => {
                match schema.at("additionalProperties") {
                    Value::Bool(_) => Shape::Any,
                    values => Shape::Map { element: self.structural_type(values, name, false, depth + 1) },
                }
            }
            "object" if !preserve_unknown => Shape::Object(table::object(Vec::new())),
            _ => Shape::Any,
        };
        self.add(type_)
    }
}

fn field(name: &str, type_: TypeId, required: bool, default: Value) -> Field {
    Field {
        name: Text::from(name),
        type_,
        pointer: true,
        omit_empty: true,
        omit_zero: false,
        required,
        patch_merge: false,
        patch_retain_keys: false,
        patch_merge_key: None,
        default,
    }
}
