//! What the schema of a custom resource may say.
//!
//! Picture to hold in mind: a grammar book held beside the plans: what would be unclear, costly or contradictory to build is
//! struck out.
//!
//! Follows `ValidateCustomResourceDefinitionOpenAPISchema` and what is around it in apiextensions-apiserver
//! `pkg/apis/apiextensions/validation/validation.go`.

use super::super::errors::Errors;
use super::rules::{self, Rules};
use super::structural;
use crate::api::custom;
use crate::api::field::FieldPath;
use crate::api::value::Value;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const FORBIDDEN: [(&str, &str); 6] = [
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("$ref", "$ref is not supported"),
];
/// What may stand at the root beside `properties`, if the status is taken out of there on its own.
const AT_ROOT: [(&str, &str); 22] = [
    ("Description", "description"),
    ("Type", "type"),
    ("Format", "format"),
    ("Title", "title"),
    ("Maximum", "maximum"),
    ("ExclusiveMaximum", "exclusiveMaximum"),
    ("Minimum", "minimum"),
    ("ExclusiveMinimum", "exclusiveMinimum"),
    ("MaxLength", "maxLength"),
    ("MinLength", "minLength"),
    ("Pattern", "pattern"),
    ("MaxItems", "maxItems"),
    ("MinItems", "minItems"),
    ("UniqueItems", "uniqueItems"),
    ("MultipleOf", "multipleOf"),
    ("Required", "required"),
    ("Items", "items"),
    ("Properties", "properties"),
    ("ExternalDocs", "externalDocs"),
    ("Example", "example"),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields"),
    ("XValidations", "x-kubernetes-validations"),
];

/// Whether a schema fills anything in.
pub fn has_defaults(schema: &Value) -> bool {
    match schema {
        Value::Object(_) => {
            schema.has("default")
                || has_defaults(schema.at("items"))
                || has_defaults(schema.at("additionalProperties"))
                || schema.map("properties").iter().any(|(_, property)| has_defaults(property))
        }
        _ => false,
    }
}

/// `validateCustomResourceDefinitionValidation`: of `validation` or of one version's `schema`.
pub fn validation(validation: &Value, has_status: bool, path: &FieldPath, errors: &mut Errors) {
    let schema = validation.at("openAPIV3Schema");
    if schema.is_null() {
        return;
    }
    let path = path.child("openAPIV3Schema");
    if has_status {
        root_with_status(schema, &path, errors);
    }
    if schema.is_true("nullable") {
        errors.forbidden(&path.child("nullable"), "nullable cannot be true at the root");
    }
    let found = structural::check(schema, &path);
    if found.is_empty() {
        structural::defaults(schema, &path, errors);
    }
    for error in found {
        errors.push(error);
    }
    let walk = Walk {
        forbids_defaults: None,
        inside_metadata: false,
        uncorrelatable: None,
        has_types: true,
        cardinality: Some(1),
    };
    let mut found = Rules::default();
    walk.schema(schema, &path, true, errors, &mut found);
    for error in found.finish(&path).into_list() {
        errors.push(error);
    }
}

fn root_with_status(schema: &Value, path: &FieldPath, errors: &mut Errors) {
    for (name, value) in schema.as_object().into_iter().flat_map(|map| map.iter()) {
        if value.is_empty() && !matches!(value, Value::Bool(true)) {
            continue;
        }
        if name == "type" {
            if schema.text("type") != "object" {
                let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
                errors.invalid(&path.child("type"), schema.text("type"), detail);
                return;
            }
        } else if !AT_ROOT.iter().any(|(_, allowed)| allowed == name) {
            let names: Vec<&str> = AT_ROOT.iter().map(|(name, _)| *name).collect();
            let detail = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                names.join(" ")
            );
            errors.invalid(path, super::super::go::internal("JSONSchemaProps")(schema), detail);
            return;
        }
    }
}

/// Where the walk is.
#[derive(Clone, Copy)]
struct Walk<'a> {
    /// Why nothing may be filled in here.
    forbids_defaults: Option<&'a str>,
    /// Inside of an object's own type or metadata.
    inside_metadata: bool,
    /// The first part around that cannot be found again in an older object.
    uncorrelatable: Option<&'a FieldPath<'a>>,
    /// Rules have types here: not within `allOf` and its like.
    has_types: bool,
    /// How often it may be there at most, if that is bounded.
    cardinality: Option<u64>,
}

impl Walk<'_> {
    fn schema(self, schema: &Value, path: &FieldPath, is_root: bool, errors: &mut Errors, found: &mut Rules) {
        if schema.as_object().is_none() {
            return;
        }
        let before = errors.len();
        self.standard(schema, path, errors);
        if schema.is_true("uniqueItems") {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            errors.forbidden(&path.child("uniqueItems"), detail);
        }
        let others = schema.at("additionalProperties");
        let properties = schema.map("properties");
        let is_atomic = schema.text("x-kubernetes-map-type") == "atomic";
        let here = Some(path).filter(|_| is_atomic);
        let cardinality =
            self.cardinality.zip(rules::most_elements(schema)).map(|(a, b)| a.saturating_mul(b));
        let below = Walk { uncorrelatable: self.uncorrelatable.or(here), cardinality, ..self };
        if !others.is_null() {
            let others_path = path.child("additionalProperties");
            if !properties.is_empty() && *others != Value::Bool(true) {
                let detail = "additionalProperties and properties are mutual exclusive";
                errors.forbidden(&others_path, detail);
            }
            let why = "inside additionalProperties applying to object metadata";
            let inner = match self.inside_metadata {
                true => Walk { forbids_defaults: Some(why), ..below },
                false => below,
            };
            inner.schema(others, &others_path, false, errors, found);
        }
        let properties_path = path.child("properties");
        for (name, property) in properties.iter() {
            let is_metadata = (is_root || schema.is_true("x-kubernetes-embedded-resource"))
                && matches!(name.as_str(), "metadata" | "kind" | "apiVersion");
            let why = format!("in top-level {name}");
            let inner = Walk {
                inside_metadata: self.inside_metadata || is_metadata,
                forbids_defaults: if is_metadata && is_root { Some(&why) } else { self.forbids_defaults },
                ..below
            };
            inner.schema(property, &properties_path.key(name), false, errors, found);
        }
        let untyped = Walk { has_types: false, ..self };
        untyped.schema(schema.at("not"), &path.child("not"), false, errors, found);
        for name in ["allOf", "oneOf", "anyOf"] {
            let list_path = path.child(name);
            for (index, part) in schema.items(name).iter().enumerate() {
                untyped.schema(part, &list_path.index(index), false, errors, found);
            }
        }
        let items_path = path.child("items");
        match schema.at("items") {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.schema(item, &items_path.index(index), false, errors, found);
                }
            }
            items => {
                let is_map = schema.text("x-kubernetes-list-type") == "map";
                let here = Some(path).filter(|_| !is_map);
                let inner = Walk { uncorrelatable: self.uncorrelatable.or(here), cardinality, ..self };
                inner.schema(items, &items_path, false, errors, found);
            }
        }
        extensions(schema, path, errors);
        forms(schema, path, errors);
        if errors.len() == before && self.has_types {
            rules::compile(schema, is_root, self.cardinality, self.uncorrelatable, path, found);
        }
    }

    /// `specStandardValidatorV3`.
    fn standard(self, schema: &Value, path: &FieldPath, errors: &mut Errors) {
        let kind = schema.text("type");
        if !kind.is_empty() && !TYPES.contains(&kind) {
            errors.not_supported(&path.child("type"), kind, &TYPES);
        }
        if schema.has("default")
            && let Some(why) = self.forbids_defaults
        {
            errors.forbidden(&path.child("default"), format!("must not be set {why}"));
        }
        for (name, detail) in FORBIDDEN {
            if schema.get(name).is_some_and(|value| !value.is_null() && value.as_str() != Some("")) {
                errors.forbidden(&path.child(name), detail);
            }
        }
        if kind == "null" {
            let detail = "type cannot be set to null, use nullable as an alternative";
            errors.forbidden(&path.child("type"), detail);
        }
        if !schema.items("items").is_empty() {
            errors.forbidden(&path.child("items"), "items must be a schema object and not an array");
        }
        if self.inside_metadata && schema.is_true("x-kubernetes-embedded-resource") {
            let detail = "must not be used inside of resource meta";
            errors.forbidden(&path.child("x-kubernetes-embedded-resource"), detail);
        }
    }
}

/// A type that an extension needs.
fn need_type(schema: &Value, wanted: &str, extension: &str, path: &FieldPath, errors: &mut Errors) -> bool {
    let kind = schema.text("type");
    if kind == wanted {
        return true;
    }
    let detail = format!("must be {wanted} if {extension} is specified");
    if kind.is_empty() {
        errors.required(&path.child("type"), detail);
    } else {
        errors.invalid(&path.child("type"), kind, detail);
    }
    false
}

fn extensions(schema: &Value, path: &FieldPath, errors: &mut Errors) {
    const LIST_TYPE: &str = "x-kubernetes-list-type";
    const MAP_TYPE: &str = "x-kubernetes-map-type";
    const MAP_KEYS: &str = "x-kubernetes-list-map-keys";
    const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
    if schema.get(PRESERVE) == Some(&Value::Bool(false)) {
        errors.invalid(&path.child(PRESERVE), false, "must be true or undefined");
    }
    if let Some(map_type) = schema.at(MAP_TYPE).as_str() {
        need_type(schema, "object", MAP_TYPE, path, errors);
        if !matches!(map_type, "atomic" | "granular") {
            errors.not_supported(&path.child(MAP_TYPE), map_type, &["atomic", "granular"]);
        }
    }
    let items = schema.at("items");
    let items_path = path.child("items");
    let list_type = schema.at(LIST_TYPE).as_str();
    if let Some(list_type) = list_type {
        if need_type(schema, "array", LIST_TYPE, path, errors) && list_type == "set" {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let own = items.at(LIST_TYPE);
            match items.text("type") {
                "array" if own.as_str().is_some_and(|own| own != "atomic") => {
                    errors.invalid(&items_path.child(LIST_TYPE), own, detail);
                }
                "object" if items.text(MAP_TYPE) != "atomic" => {
                    errors.invalid(&items_path.child(MAP_TYPE), own, detail);
                }
                _ => {}
            }
        }
        if !matches!(list_type, "atomic" | "set" | "map") {
            errors.not_supported(&path.child(LIST_TYPE), list_type, &["atomic", "set", "map"]);
        }
    }
    let keys = schema.items(MAP_KEYS);
    let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    match list_type {
        _ if keys.is_empty() => {}
        None => errors.required(&path.child(LIST_TYPE), detail),
        Some("map") => {}
        Some(other) => errors.invalid(&path.child(LIST_TYPE), other, detail),
    }
    if list_type == Some("map") {
        map_list(schema, items, keys, path, errors);
    }
    if let Some(list_type @ ("set" | "map")) = list_type
        && items.is_true("nullable")
    {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.forbidden(&items_path.child("nullable"), detail);
    }
    if list_type == Some("map") {
        map_keys(items, keys, &items_path.child("properties"), errors);
    }
}

fn map_list(schema: &Value, items: &Value, keys: &[Value], path: &FieldPath, errors: &mut Errors) {
    let keys_path = path.child("x-kubernetes-list-map-keys");
    let items_path = path.child("items");
    if keys.is_empty() {
        errors.required(&keys_path, "must not be empty if x-kubernetes-list-type is map");
    }
    if items.is_null() {
        errors.required(&items_path, "must have a schema if x-kubernetes-list-type is map");
        return;
    }
    let kind = items.text("type");
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.invalid(&items_path.child("type"), kind, detail);
        return;
    }
    let listed = || schema.at("x-kubernetes-list-map-keys");
    let properties_path = items_path.child("properties");
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or("");
        match items.map("properties").get(name) {
            Some(own) if matches!(own.text("type"), "array" | "object") => {
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.invalid(&properties_path.key(name).child("type"), kind, detail);
            }
            Some(_) => {}
            None => errors.invalid(&keys_path, listed(), "entries must all be names of item properties"),
        }
        if keys[..index].contains(key) {
            errors.invalid(&keys_path, listed(), "must not contain duplicate entries");
        }
    }
}

/// `validateMapListKeysMapSet`: keys are always there.
fn map_keys(items: &Value, keys: &[Value], path: &FieldPath, errors: &mut Errors) {
    for name in keys.iter().filter_map(Value::as_str) {
        let Some(property) = items.map("properties").get(name) else { continue };
        let own = path.key(name);
        let is_required = items.items("required").iter().any(|required| required.as_str() == Some(name));
        if !is_required && !property.has("default") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.required(&own.child("default"), detail);
        }
        if property.is_true("nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.forbidden(&own.child("nullable"), detail);
        }
    }
}

/// What is wrong with rules before they are read.
fn forms(schema: &Value, path: &FieldPath, errors: &mut Errors) {
    let list_path = path.child("x-kubernetes-validations");
    for (index, rule) in schema.items("x-kubernetes-validations").iter().enumerate() {
        let path = list_path.index(index);
        let (text, message) = (rule.text("rule").trim(), rule.text("message"));
        let has_lines = |text: &str| text.contains(['\n', '\r']);
        if text.is_empty() {
            errors.required(&path.child("rule"), "rule is not specified");
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.invalid(&path.child("message"), message, "must be non-empty if specified");
        } else if has_lines(message.trim()) {
            errors.invalid(&path.child("message"), message, "must not contain line breaks");
        } else if has_lines(text) && message.trim().is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.required(&path.child("message"), detail);
        }
        let expression = rule.text("messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.required(&path.child("messageExpression"), detail);
        }
        if let Some(reason) = rule.at("reason").as_str()
            && !REASONS.contains(&reason)
        {
            errors.not_supported(&path.child("reason"), reason, &REASONS);
        }
        let field = rule.text("fieldPath");
        if !field.is_empty() && field.trim().is_empty() {
            errors.invalid(&path.child("fieldPath"), field, "must be non-empty if specified");
        }
        if has_lines(field) {
            errors.invalid(&path.child("fieldPath"), field, "must not contain line breaks");
        }
        if !field.is_empty() && custom::field_path(schema, field).is_none() {
            errors.invalid(&path.child("fieldPath"), field, "must be a valid path");
        }
    }
}
