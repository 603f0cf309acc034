//! How the schema of a custom resource must be built: structurally.
//!
//! Picture to hold in mind: a house whose load is carried by its walls alone. Conditions (`allOf`, `anyOf`, ...) are
//! pictures that hang on them: they may be anywhere where there is a wall, and carry nothing.
//!
//! Follows apiextensions-apiserver `pkg/apiserver/schema/{validation,complete}.go` and `defaulting/validation.go`.

use super::super::errors::Errors;
use crate::api::custom;
use crate::api::field::{FieldError, FieldPath};
use crate::api::regex::Regex;
use crate::api::value::Value;
use crate::arrange::Arrange;

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What of a schema's parts is for conditions too; the rest belongs to the structure.
const STRUCTURE: [(&str, &str); 10] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
];
const MORE_STRUCTURE: [(&str, &str); 3] = [
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

/// `ValidateStructural`: the errors come in the order of their words.
pub fn check(schema: &Value, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Errors::new();
    invariants(schema, Level::Root, path, &mut errors);
    completeness(schema, schema, path, path, &mut errors);
    let mut list: Vec<(String, FieldError)> =
        errors.into_list().into_iter().map(|error| (error.to_string(), error)).collect();
    list.arrange_by(|a, b| a.0.cmp(&b.0));
    list.into_iter().map(|(_, error)| error).collect()
}

fn is_schema(value: &Value) -> bool {
    matches!(value, Value::Object(_))
}

/// `anyOf: [{type: integer}, {type: string}]`, which says the same as `x-kubernetes-int-or-string`.
fn is_int_or_string(alternatives: &[Value]) -> bool {
    let is = |alternative: &Value, name: &str| {
        alternative.as_object().is_some_and(|map| map.len() == 1) && alternative.text("type") == name
    };
    alternatives.len() == 2 && is(&alternatives[0], "integer") && is(&alternatives[1], "string")
}

fn invariants(schema: &Value, level: Level, path: &FieldPath, errors: &mut Errors) {
    let kind = schema.text("type");
    let preserves = schema.is_true("x-kubernetes-preserve-unknown-fields");
    let is_embedded = schema.is_true("x-kubernetes-embedded-resource");
    let is_int_or_string_type = schema.is_true("x-kubernetes-int-or-string");
    let properties = schema.map("properties");
    if kind == "array" && !schema.has("items") {
        errors.required(&path.child("items"), "must be specified");
    }
    if is_schema(schema.at("items")) {
        invariants(schema.at("items"), Level::Item, &path.child("items"), errors);
    }
    let properties_path = path.child("properties");
    for (name, property) in properties.iter() {
        invariants(property, Level::Field, &properties_path.key(name), errors);
    }
    let others = schema.at("additionalProperties");
    let others_path = path.child("additionalProperties");
    if !others.is_null() {
        if level == Level::Root {
            errors.forbidden(&others_path, "must not be used at the root");
        }
        if is_schema(others) {
            invariants(others, Level::Field, &others_path, errors);
        }
    }
    if is_int_or_string_type && preserves {
        let detail = "must be false if x-kubernetes-int-or-string is true";
        errors.invalid(&path.child("x-kubernetes-preserve-unknown-fields"), true, detail);
    }
    if is_int_or_string_type && is_embedded {
        let detail = "must be false if x-kubernetes-int-or-string is true";
        errors.invalid(&path.child("x-kubernetes-embedded-resource"), true, detail);
    }
    let skips_any = is_int_or_string(schema.items("anyOf"));
    let skips_first =
        schema.items("allOf").first().is_some_and(|first| is_int_or_string(first.items("anyOf")));
    conditions(schema, skips_any, skips_first, path, errors);
    let type_path = path.child("type");
    if is_embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() {
            errors.required(&type_path, detail);
        } else {
            errors.invalid(&type_path, kind, detail);
        }
    } else if kind.is_empty() && !is_int_or_string_type && !preserves {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.required(&type_path, detail);
    }
    if is_embedded && !others.is_null() {
        errors.forbidden(&others_path, "must not be used if x-kubernetes-embedded-resource is set");
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.invalid(&type_path, kind, "must be object at the root");
    }
    let has_metadata = level == Level::Root || is_embedded;
    for name in ["kind", "apiVersion"] {
        if let Some(own) = properties.get(name)
            && has_metadata
            && own.text("type") != "string"
        {
            let own_path = properties_path.key(name);
            errors.invalid(&own_path.child("type"), own.text("type"), "must be string");
        }
    }
    if let Some(metadata) = properties.get("metadata") {
        self::metadata(metadata, has_metadata, level, &properties_path.key("metadata"), errors);
    }
    if is_embedded && !preserves && properties.is_empty() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.required(&properties_path, detail);
    }
}

/// At the root, a schema may restrict names and nothing else.
fn metadata(schema: &Value, has_metadata: bool, level: Level, path: &FieldPath, errors: &mut Errors) {
    if has_metadata && schema.text("type") != "object" {
        errors.invalid(&path.child("type"), schema.text("type"), "must be object");
    }
    let is_name = |name: &str| matches!(name, "name" | "generateName");
    let is_plain = schema.as_object().is_none_or(|map| {
        map.iter().all(|(name, value)| match name.as_str() {
            "type" | "default" => true,
            "properties" => value.as_object().is_none_or(|map| map.keys().all(|name| is_name(name))),
            _ => value.is_empty(),
        })
    });
    if level == Level::Root && !is_plain {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.forbidden(path, detail);
    }
}

fn conditions(schema: &Value, skips_any: bool, skips_first: bool, path: &FieldPath, errors: &mut Errors) {
    for name in ["anyOf", "allOf", "oneOf"] {
        if name == "anyOf" && skips_any {
            continue;
        }
        let list_path = path.child(name);
        for (index, part) in schema.items(name).iter().enumerate() {
            let skips = name == "allOf" && skips_first && index == 0;
            condition(part, skips, &list_path.index(index), errors);
        }
    }
    if is_schema(schema.at("not")) {
        condition(schema.at("not"), false, &path.child("not"), errors);
    }
    let pattern = schema.text("pattern");
    if !pattern.is_empty()
        && let Err(error) = Regex::go(pattern)
    {
        let detail = format!(
            "must be a valid regular expression, but isn't: error parsing regexp: {error}: `{pattern}`"
        );
        errors.invalid(&path.child("pattern"), pattern, detail);
    }
}

/// A schema inside of a condition.
fn condition(schema: &Value, skips_any: bool, path: &FieldPath, errors: &mut Errors) {
    conditions(schema, skips_any, false, path, errors);
    if is_schema(schema.at("items")) {
        condition(schema.at("items"), false, &path.child("items"), errors);
    }
    let properties_path = path.child("properties");
    for (name, property) in schema.map("properties").iter() {
        condition(property, false, &properties_path.key(name), errors);
    }
    for (name, detail) in STRUCTURE.into_iter().chain(MORE_STRUCTURE) {
        let is_set = schema.get(name).is_some_and(|value| {
            !value.is_null() && *value != Value::Bool(false) && value.as_str() != Some("")
        });
        if is_set && !(name == "type" && skips_any) {
            errors.forbidden(&path.child(name), detail);
        }
    }
    if schema.map("properties").contains_key("metadata") {
        errors.forbidden(&properties_path.key("metadata"), "must not be specified in a nested context");
    }
}

/// Every condition must be about something that the structure has.
fn completeness(condition: &Value, schema: &Value, path: &FieldPath, own: &FieldPath, errors: &mut Errors) {
    if is_schema(condition.at("not")) {
        nested(condition.at("not"), Some(schema), path, &own.child("not"), errors);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        let list_path = own.child(name);
        for (index, part) in condition.items(name).iter().enumerate() {
            nested(part, Some(schema), path, &list_path.index(index), errors);
        }
    }
}

fn nested(condition: &Value, schema: Option<&Value>, path: &FieldPath, own: &FieldPath, errors: &mut Errors) {
    let Some(schema) = schema else {
        errors.required(path, format!("because it is defined in {own}"));
        return;
    };
    completeness(condition, schema, path, own, errors);
    if is_schema(condition.at("items")) {
        let items = Some(schema.at("items")).filter(|items| is_schema(items));
        nested(condition.at("items"), items, &path.child("items"), &own.child("items"), errors);
    }
    let (properties_path, own_path) = (path.child("properties"), own.child("properties"));
    for (name, part) in condition.map("properties").iter() {
        let found = schema.map("properties").get(name);
        nested(part, found, &properties_path.key(name), &own_path.key(name), errors);
    }
}

/// `ValidateDefaults`: defaults fit the schema that they stand in.
pub fn defaults(schema: &Value, path: &FieldPath, errors: &mut Errors) {
    let default = schema.at("default");
    if !default.is_null() {
        let path = path.child("default");
        if custom::has_unknown(schema, default) {
            errors.invalid(&path, default, "must not have unknown fields");
        }
        for error in custom::validate(schema, default, None, &path) {
            errors.push(error);
        }
    }
    if is_schema(schema.at("items")) {
        defaults(schema.at("items"), &path.child("items"), errors);
    }
    let properties_path = path.child("properties");
    for (name, property) in schema.map("properties").iter() {
        defaults(property, &properties_path.key(name), errors);
    }
}
