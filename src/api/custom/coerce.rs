//! Bringing a custom resource into the form that its schema gives it: unknown fields out, defaults in.
//!
//! Picture to hold in mind: a tailor with the pattern on the table. What sticks out beyond the pattern is cut off, what
//! the pattern prescribes and the cloth lacks is sewn on; a piece that fits already is not touched.
//!
//! Follows `unstructuredSchemaCoercer` of apiextensions-apiserver `pkg/apiserver/customresource_handler.go`, and
//! `pkg/apiserver/schema/{pruning,defaulting,objectmeta}`.

use super::{CustomKind, CustomVersion};
use crate::api::field::{FieldError, FieldPath};
use crate::api::schema::{self, Schema};
use crate::api::value::{Map, Value};
use crate::arrange::Arrange;

/// An object that has been coerced.
pub struct Coerced {
    pub value: Value,
    /// The paths of unknown fields, in upstream's order.
    pub unknown: Vec<String>,
}

const TYPE_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Reads an object that a client sent: metadata as every kind has it, the rest by the schema. The error is upstream's
/// text.
pub fn coerce(kind: &CustomKind, version: &CustomVersion, object: &Value) -> Result<Coerced, String> {
    let mut value = object.clone();
    let mut unknown = Vec::new();
    let metadata = value.remove("metadata");
    let metadata = match metadata {
        Some(metadata) => Some(read_metadata(&metadata, "metadata", &mut unknown)?),
        None => None,
    };
    if !kind.preserves_unknown_fields() {
        let mut paths = Vec::new();
        let mut path = String::new();
        if let Some(pruned) = prune(Some(version.schema()), &value, true, &mut path, &mut paths) {
            value = pruned;
        }
        paths.arrange();
        unknown.append(&mut paths);
        if let Some(changed) = settle_value(version.schema(), &value) {
            value = changed;
        }
        let mut embedded = Vec::new();
        let mut error = None;
        let changed =
            embedded_metadata(version.schema(), &value, &FieldPath::ROOT, true, &mut embedded, &mut error);
        if let Some(error) = error {
            return Err(error.to_string());
        }
        if let Some(changed) = changed {
            value = changed;
        }
        embedded.arrange();
        unknown.append(&mut embedded);
    }
    if let Some(metadata) = metadata {
        value.set("metadata", metadata);
    }
    Ok(Coerced { value, unknown })
}

/// Metadata as Go reads and writes them.
fn read_metadata(metadata: &Value, path: &str, unknown: &mut Vec<String>) -> Result<Value, String> {
    if metadata.is_null() {
        return Ok(Value::object());
    }
    let decoded = schema::decode(Schema::object_meta(), metadata, &[]);
    if let Some(error) = decoded.errors.into_iter().next() {
        return Err(error.message);
    }
    unknown.extend(decoded.strict.into_iter().map(|problem| format!("{path}.{}", problem.path)));
    Ok(decoded.value)
}

/// What an object that was stored under an older schema looks like now: unknown fields go, defaults come. Metadata are no
/// matter of the schema.
pub fn settle(kind: &CustomKind, version: &CustomVersion, object: &Value) -> Value {
    if kind.preserves_unknown_fields() {
        return object.clone();
    }
    let pruned = prune(Some(version.schema()), object, true, &mut String::new(), &mut Vec::new());
    let settled = settle_value(version.schema(), pruned.as_ref().unwrap_or(object));
    settled.or(pruned).unwrap_or_else(|| object.clone())
}

/// Takes away what a schema (`None`: none at all) does not know, and notes where it stood; `None` when nothing goes.
fn prune(
    schema: Option<&Value>,
    value: &Value,
    is_root: bool,
    path: &mut String,
    unknown: &mut Vec<String>,
) -> Option<Value> {
    let preserves = schema.is_some_and(|own| own.is_true("x-kubernetes-preserve-unknown-fields"));
    let length = path.len();
    match value {
        Value::Object(map) => {
            let is_resource =
                is_root || schema.is_some_and(|own| own.is_true("x-kubernetes-embedded-resource"));
            let mut out: Option<Map> = None;
            for (name, field) in map.iter() {
                if is_resource && TYPE_FIELDS.contains(&name.as_str()) {
                    continue;
                }
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                let others = schema.map_or(&Value::Null, |own| own.at("additionalProperties"));
                let property = schema.and_then(|own| own.map("properties").get(name));
                let changed = match (property, others) {
                    (Some(own), _) => prune(Some(own), field, false, path, unknown),
                    (None, Value::Object(_)) => prune(Some(others), field, false, path, unknown),
                    (None, Value::Bool(_)) => prune(None, field, false, path, unknown),
                    _ if preserves => None,
                    _ => {
                        unknown.push(path.clone());
                        out.get_or_insert_with(|| Map::clone(map)).remove(name);
                        None
                    }
                };
                path.truncate(length);
                if let Some(changed) = changed {
                    out.get_or_insert_with(|| Map::clone(map)).insert(name, changed);
                }
            }
            out.map(Value::from)
        }
        Value::Array(items) => {
            let own = schema.map(|own| own.at("items")).filter(|own| matches!(own, Value::Object(_)));
            if preserves && own.is_none() {
                return None;
            }
            let mut out: Option<Vec<Value>> = None;
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                if let Some(changed) = prune(own, item, false, path, unknown) {
                    out.get_or_insert_with(|| items.to_vec())[index] = changed;
                }
                path.truncate(length);
            }
            out.map(Value::from)
        }
        _ => None,
    }
}

/// Whether a value has fields that its schema does not know.
pub fn has_unknown(schema: &Value, value: &Value) -> bool {
    prune(Some(schema), value, false, &mut String::new(), &mut Vec::new()).is_some()
}

/// The schema of a field: `None` where there is none.
pub(super) fn schema_of<'a>(schema: &'a Value, field: &str) -> Option<&'a Value> {
    if let Some(property) = schema.map("properties").get(field) {
        return Some(property);
    }
    match schema.at("additionalProperties") {
        Value::Object(_) => Some(schema.at("additionalProperties")),
        _ => None,
    }
}

/// Takes nulls away that the schema does not allow, and fills in its defaults; `None` when nothing changes.
fn settle_value(schema: &Value, value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            let mut out: Option<Map> = None;
            for (name, field) in map.iter() {
                let Some(own) = schema_of(schema, name) else { continue };
                if field.is_null() && !own.is_true("nullable") {
                    let out = out.get_or_insert_with(|| Map::clone(map));
                    match own.get("default") {
                        Some(default) if !default.is_null() => {
                            let settled = settle_value(own, default);
                            out.insert(name, settled.as_ref().unwrap_or(default));
                        }
                        _ => drop(out.remove(name)),
                    }
                } else if let Some(changed) = settle_value(own, field) {
                    out.get_or_insert_with(|| Map::clone(map)).insert(name, changed);
                }
            }
            for (name, own) in schema.map("properties").iter() {
                let Some(default) = own.get("default").filter(|default| !default.is_null()) else { continue };
                if !map.contains_key(name) {
                    let settled = settle_value(own, default);
                    out.get_or_insert_with(|| Map::clone(map))
                        .insert(name, settled.as_ref().unwrap_or(default));
                }
            }
            out.map(Value::from)
        }
        Value::Array(items) => {
            let own = schema.at("items");
            let mut out: Option<Vec<Value>> = None;
            for (index, item) in items.iter().enumerate() {
                let default = own.at("default");
                let changed = if item.is_null() && !own.is_true("nullable") && !default.is_null() {
                    Some(settle_value(own, default).unwrap_or_else(|| default.clone()))
                } else {
                    settle_value(own, item)
                };
                if let Some(changed) = changed {
                    out.get_or_insert_with(|| items.to_vec())[index] = changed;
                }
            }
            out.map(Value::from)
        }
        _ => None,
    }
}

/// Reads the metadata of the objects inside of an object (`x-kubernetes-embedded-resource`).
fn embedded_metadata(
    schema: &Value,
    value: &Value,
    path: &FieldPath,
    is_root: bool,
    unknown: &mut Vec<String>,
    error: &mut Option<FieldError>,
) -> Option<Value> {
    if error.is_some() {
        return None;
    }
    match value {
        Value::Object(map) => {
            let mut out: Option<Map> = None;
            let is_resource = !is_root && schema.is_true("x-kubernetes-embedded-resource");
            for (name, field) in map.iter() {
                let own_path = path.child(name);
                let changed = match name.as_str() {
                    "apiVersion" | "kind" if is_resource => {
                        if field.as_str().is_none() {
                            *error = Some(FieldError::invalid(&own_path, field, "must be a string"));
                        }
                        None
                    }
                    "metadata" if is_resource => match read_metadata(field, &own_path.to_string(), unknown) {
                        Ok(metadata) if metadata != *field => Some(metadata),
                        Ok(_) => None,
                        Err(text) => {
                            *error = Some(FieldError::invalid(&own_path, field, text));
                            None
                        }
                    },
                    _ => match schema.map("properties").get(name) {
                        Some(own) => embedded_metadata(own, field, &own_path, false, unknown, error),
                        None => match schema.at("additionalProperties") {
                            own @ Value::Object(_) => {
                                embedded_metadata(own, field, &path.key(name), false, unknown, error)
                            }
                            _ => None,
                        },
                    },
                };
                if let Some(changed) = changed {
                    out.get_or_insert_with(|| Map::clone(map)).insert(name, changed);
                }
            }
            out.map(Value::from)
        }
        Value::Array(items) => {
            let mut out: Option<Vec<Value>> = None;
            for (index, item) in items.iter().enumerate() {
                let own = schema.at("items");
                if let Some(changed) = embedded_metadata(own, item, &path.index(index), false, unknown, error)
                {
                    out.get_or_insert_with(|| items.to_vec())[index] = changed;
                }
            }
            out.map(Value::from)
        }
        _ => None,
    }
}
