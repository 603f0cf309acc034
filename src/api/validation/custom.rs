//! Checks of custom resources.
//!
//! Picture to hold in mind: a lane of the inspection hall that is set up anew for each kind of goods, from the leaflet that
//! came with them.
//!
//! Follows apiextensions-apiserver `pkg/registry/customresource/{strategy,status_strategy,validator}.go` and
//! `pkg/apiserver/schema/{objectmeta,listtype}`.

use super::errors::Errors;
use super::format::{name_is_path_segment, name_is_subdomain};
use super::meta::{METADATA, STATUS, plain_object_meta, plain_object_meta_update};
use crate::api::custom::{self, CustomKind, CustomVersion};
use crate::api::field::{BadValue, FieldError, FieldErrorKind, FieldPath};
use crate::api::value::Value;
use crate::arrange::Gather;

/// `customResourceStrategy.Validate`, and `ValidateUpdate` where there is an old object.
pub fn resource(
    kind: &CustomKind,
    version: &CustomVersion,
    object: &Value,
    old: Option<&Value>,
    errors: &mut Errors,
) {
    if !check_type(version, object, errors) {
        return;
    }
    let schema = version.schema();
    match old {
        Some(old) => plain_object_meta_update(object, old, errors),
        None => {
            plain_object_meta(
                object.at("metadata"),
                kind.namespaced(),
                &name_is_subdomain,
                &METADATA,
                errors,
            );
        }
    }
    for error in custom::validate(schema, object, old, &FieldPath::ROOT) {
        errors.push(error);
    }
    scale_spec(version, object, errors);
    scale_status(version, object, errors);
    embedded(schema, object, &FieldPath::ROOT, true, errors);
    let had_duplicates = old.is_some_and(|old| !duplicates(schema, old).is_empty());
    if !had_duplicates {
        list_types(schema, object, &FieldPath::ROOT, errors);
    }
    rules(version, object, old, errors);
}

/// `statusStrategy.ValidateUpdate`.
pub fn status(version: &CustomVersion, object: &Value, old: &Value, errors: &mut Errors) {
    if !check_type(version, object, errors) {
        return;
    }
    let schema = version.schema();
    plain_object_meta_update(object, old, errors);
    if let Some(status) = object.get("status")
        && let Some(own) = schema.map("properties").get("status")
    {
        for error in custom::validate(own, status, old.get("status"), &STATUS) {
            errors.push(error);
        }
    }
    scale_status(version, object, errors);
    if duplicates(schema, old).is_empty() {
        list_types(schema, object, &FieldPath::ROOT, errors);
    }
    rules(version, object, Some(old), errors);
}

/// `ValidateTypeMeta`.
fn check_type(version: &CustomVersion, object: &Value, errors: &mut Errors) -> bool {
    let before = errors.len();
    if object.text("kind") != version.kind().as_str() {
        let detail = format!("must be {}", version.kind());
        errors.invalid(&FieldPath::new("kind"), object.text("kind"), detail);
    }
    if object.text("apiVersion") != version.api_version().as_str() {
        let detail = format!("must be {}", version.api_version());
        errors.invalid(&FieldPath::new("apiVersion"), object.text("apiVersion"), detail);
    }
    errors.len() == before
}

/// The number at a path of the scale subresource, as Go finds it.
fn replicas(object: &Value, path: &str, errors: &mut Errors) {
    let place = FieldPath::new(path);
    let plain = CustomVersion::plain_path(path);
    match object.at(plain) {
        Value::Null => {}
        Value::Integer(number) if *number < 0 => {
            errors.invalid(&place, *number, "should be a non-negative integer");
        }
        Value::Integer(number) if *number > i64::from(i32::MAX) => {
            errors.invalid(&place, *number, format!("should be less than or equal to {}", i32::MAX));
        }
        Value::Integer(_) => {}
        other => errors.invalid(&place, 0, custom::wrong_accessor(plain, other, "int64")),
    }
}

fn scale_spec(version: &CustomVersion, object: &Value, errors: &mut Errors) {
    if let Some(scale) = version.scale() {
        replicas(object, scale.text("specReplicasPath"), errors);
    }
}

fn scale_status(version: &CustomVersion, object: &Value, errors: &mut Errors) {
    let Some(scale) = version.scale() else { return };
    replicas(object, scale.text("statusReplicasPath"), errors);
    if let Some(path) = scale.at("labelSelectorPath").as_str() {
        let plain = CustomVersion::plain_path(path);
        match object.at(plain) {
            Value::Null | Value::String(_) => {}
            other => {
                errors.invalid(&FieldPath::new(path), "", custom::wrong_accessor(plain, other, "string"));
            }
        }
    }
}

/// The objects inside of an object have types and metadata of their own (`schemaobjectmeta.Validate`).
fn embedded(schema: &Value, value: &Value, path: &FieldPath, is_root: bool, errors: &mut Errors) {
    match value {
        Value::Object(map) => {
            if !is_root && schema.is_true("x-kubernetes-embedded-resource") {
                embedded_resource(value, path, errors);
            }
            for (name, field) in map.iter() {
                match schema.map("properties").get(name) {
                    Some(own) => embedded(own, field, &path.child(name), false, errors),
                    None => {
                        if let others @ Value::Object(_) = schema.at("additionalProperties") {
                            embedded(others, field, &path.key(name), false, errors);
                        }
                    }
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                embedded(schema.at("items"), item, &path.index(index), false, errors);
            }
        }
        _ => {}
    }
}

fn embedded_resource(object: &Value, path: &FieldPath, errors: &mut Errors) {
    for name in ["apiVersion", "kind"] {
        let place = path.child(name);
        match object.get(name) {
            None => errors.required(&place, ""),
            Some(Value::String(text)) if text.is_empty() => errors.invalid(&place, "", "must not be empty"),
            Some(Value::String(text)) if name == "apiVersion" => {
                if text.matches('/').count() > 1 {
                    let detail = format!("unexpected GroupVersion string: {text}");
                    errors.invalid(&place, text.as_str(), detail);
                }
            }
            Some(Value::String(text)) => {
                let complaints = super::format::dns1035_label(&text.to_ascii_lowercase());
                if !complaints.is_empty() {
                    let detail =
                        format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
                    errors.invalid(&place, text.as_str(), detail);
                }
            }
            Some(other) => errors.invalid(&place, other, "must be a string"),
        }
    }
    if let Some(metadata) = object.get("metadata") {
        // Objects inside of others need no name.
        let mut metadata = metadata.clone();
        metadata.set_default("name", "fakename");
        let namespaced = metadata.has("namespace");
        plain_object_meta(&metadata, namespaced, &name_is_path_segment, &path.child("metadata"), errors);
    }
}

/// What occurs twice in sets, and the keys that do in maps (`ValidateListSetsAndMaps`).
fn list_types(schema: &Value, value: &Value, path: &FieldPath, errors: &mut Errors) {
    match value {
        Value::Object(map) => {
            for (name, field) in map.iter() {
                match schema.map("properties").get(name) {
                    Some(own) => list_types(own, field, &path.child(name), errors),
                    None => {
                        if let others @ Value::Object(_) = schema.at("additionalProperties") {
                            list_types(others, field, &path.key(name), errors);
                        }
                    }
                }
            }
        }
        Value::Array(items) => {
            match schema.text("x-kubernetes-list-type") {
                "set" => {
                    for index in second_of_each(items) {
                        errors.duplicate(&path.index(index), &items[index]);
                    }
                }
                "map" => map_list(schema, items, path, errors),
                _ => {}
            }
            for (index, item) in items.iter().enumerate() {
                list_types(schema.at("items"), item, &path.index(index), errors);
            }
        }
        _ => {}
    }
}

/// The positions at which something occurs for the second time.
fn second_of_each(items: &[Value]) -> Vec<usize> {
    (0..items.len())
        .filter(|index| items[..*index].iter().filter(|other| **other == items[*index]).count() == 1)
        .gather()
}

fn map_list(schema: &Value, items: &[Value], path: &FieldPath, errors: &mut Errors) {
    if let Some(index) = items.iter().position(|item| !matches!(item, Value::Object(_) | Value::Null)) {
        let detail = "must be an object for an array of list-type map";
        errors.invalid(&path.index(index), &items[index], detail);
        return;
    }
    let keys = schema.items("x-kubernetes-list-map-keys");
    let of = |item: &Value| -> Value {
        let mut own = Value::object();
        for key in keys.iter().filter_map(Value::as_str) {
            if let Some(value) = item.get(key) {
                own.make_object().insert(key, value);
            }
        }
        own
    };
    let all: Vec<Value> = items.iter().map(of).collect();
    for index in second_of_each(&all) {
        errors.duplicate(&path.index(index), &all[index]);
    }
}

fn duplicates(schema: &Value, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    list_types(schema, object, &FieldPath::ROOT, &mut errors);
    errors.into_list()
}

/// Rules in CEL, unless the object is too far off for them.
fn rules(version: &CustomVersion, object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let blocks = |kind: FieldErrorKind| {
        matches!(
            kind,
            FieldErrorKind::NotSupported
                | FieldErrorKind::Required
                | FieldErrorKind::TooLong
                | FieldErrorKind::TooMany
                | FieldErrorKind::TypeInvalid
        )
    };
    if !version.has_rules() {
        return;
    }
    if errors.any(blocks) {
        errors.push(FieldError {
            kind: FieldErrorKind::Invalid,
            field: "<nil>".to_owned(),
            value: BadValue::Value(Value::Null),
            detail: "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation".to_owned(),
        });
        return;
    }
    for error in custom::check_rules(version.schema(), object, old) {
        errors.push(error);
    }
}
