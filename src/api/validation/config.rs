//! Namespaces, configuration, accounts and events.
//!
//! Picture to hold in mind: labelled jars: the label must be readable, the jar not too full, and a sealed one stays
//! sealed.
//!
//! Follows `ValidateConfigMap`, `ValidateSecret`, `ValidateNamespace` of `pkg/apis/core/validation/validation.go`
//! and `pkg/apis/core/validation/events.go`.

use super::errors::{Errors, IMMUTABLE};
use super::format::{config_map_key, dns1123_subdomain, name_is_label, name_is_subdomain};
use super::go;
use super::meta::{self, METADATA, SPEC, STATUS};
use super::semantic::equal;
use crate::api::base64::STANDARD;
use crate::api::field::FieldPath;
use crate::api::meta::annotation;
use crate::api::value::Value;

const MAX_BYTES: usize = 1024 * 1024;
const IMMUTABLE_SET: &str = "field is immutable when `immutable` is set";

/// How many bytes a base64 text stands for.
fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

pub fn config_map(map: &Value, errors: &mut Errors) {
    meta::object_meta(map, true, name_is_subdomain, errors);
    let (data, binary) = (FieldPath::new("data"), FieldPath::new("binaryData"));
    let mut size = 0;
    for (key, value) in map.map("data").iter() {
        errors.each(&data.key(key), key, config_map_key(key));
        if map.map("binaryData").contains_key(key) {
            errors.invalid(&data.key(key), key, "duplicate of key present in binaryData");
        }
        size += value.as_str().unwrap_or("").len();
    }
    for (key, value) in map.map("binaryData").iter() {
        errors.each(&binary.key(key), key, config_map_key(key));
        size += decoded_length(value.as_str().unwrap_or(""));
    }
    if size > MAX_BYTES {
        errors.too_long(&FieldPath::ROOT, MAX_BYTES);
    }
}

fn sealed(new: &Value, old: &Value, fields: &[&'static str], errors: &mut Errors) {
    if !old.is_true("immutable") {
        return;
    }
    if !new.is_true("immutable") {
        errors.forbidden(&FieldPath::new("immutable"), IMMUTABLE_SET);
    }
    for name in fields {
        if !equal(new.at(name), old.at(name)) {
            errors.forbidden(&FieldPath::new(name), IMMUTABLE_SET);
        }
    }
}

pub fn config_map_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    sealed(new, old, &["data", "binaryData"], errors);
    config_map(new, errors);
}

pub fn secret(secret: &Value, errors: &mut Errors) {
    meta::object_meta(secret, true, name_is_subdomain, errors);
    let path = FieldPath::new("data");
    let data = secret.map("data");
    let mut size = 0;
    for (key, value) in data.iter() {
        errors.each(&path.key(key), key, config_map_key(key));
        size += decoded_length(value.as_str().unwrap_or(""));
    }
    if size > MAX_BYTES {
        errors.too_long(&path, MAX_BYTES);
    }
    let need = |key: &'static str, errors: &mut Errors| {
        let given = data.contains_key(key);
        if !given {
            errors.required(&path.key(key), "");
        }
        given
    };
    match secret.text("type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if annotation(secret, NAME).unwrap_or("").is_empty() {
                errors.required(&METADATA.child("annotations").key(NAME), "");
            }
        }
        "kubernetes.io/dockercfg" if need(".dockercfg", errors) => {
            docker_config(secret, ".dockercfg", errors)
        }
        "kubernetes.io/dockerconfigjson" if need(".dockerconfigjson", errors) => {
            docker_config(secret, ".dockerconfigjson", errors);
        }
        "kubernetes.io/basic-auth" if !data.contains_key("username") && !data.contains_key("password") => {
            need("username", errors);
            need("password", errors);
        }
        "kubernetes.io/ssh-auth" if data.get("ssh-privatekey").is_none_or(Value::is_empty) => {
            errors.required(&path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            need("tls.crt", errors);
            need("tls.key", errors);
        }
        _ => {}
    }
}

/// The contents must be a JSON object.
fn docker_config(secret: &Value, key: &'static str, errors: &mut Errors) {
    let text = secret.map("data").get(key).and_then(Value::as_str).unwrap_or("");
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let problem = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(other) => format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            other.type_name()
        ),
        Err(_) if bytes.iter().all(u8::is_ascii_whitespace) => "unexpected end of JSON input".to_owned(),
        Err(error) if error.is_eof() => "unexpected end of JSON input".to_owned(),
        Err(_) => {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).copied().unwrap_or(b' ');
            format!("invalid character '{}' looking for beginning of value", first as char)
        }
    };
    errors.invalid(&FieldPath::new("data").key(key), "<secret contents redacted>", problem);
}

pub fn secret_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    if new.text("type") != old.text("type") {
        errors.invalid(&FieldPath::new("type"), new.text("type"), IMMUTABLE);
    }
    sealed(new, old, &["data"], errors);
    secret(new, errors);
}

pub fn service_account(account: &Value, errors: &mut Errors) {
    meta::object_meta(account, true, name_is_subdomain, errors);
}

pub fn namespace(namespace: &Value, errors: &mut Errors) {
    meta::object_meta(namespace, false, name_is_label, errors);
    let path = SPEC.child("finalizers");
    for name in namespace.items("spec.finalizers").iter().filter_map(Value::as_str) {
        meta::finalizer(name, &path, errors);
        meta::kube_finalizer(name, &path, errors);
    }
}

pub fn namespace_update(new: &Value, old: &Value, errors: &mut Errors) {
    namespace(new, errors);
    meta::object_meta_update(new, old, errors);
}

pub fn namespace_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let phase = new.text("status.phase");
    let path = STATUS.child("Phase");
    if !new.has("metadata.deletionTimestamp") {
        if phase != "Active" {
            errors.invalid(&path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
        }
    } else if phase != "Terminating" {
        errors.invalid(&path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
    }
}

/// `ValidateNamespaceFinalizeUpdate`.
pub fn namespace_finalize(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let path = SPEC.child("finalizers");
    for (index, name) in new.items("spec.finalizers").iter().enumerate() {
        let name = name.as_str().unwrap_or("");
        meta::finalizer(name, &path.index(index), errors);
        meta::kube_finalizer(name, &path.index(index), errors);
    }
}

/// Field names differ between the core and the events group: (core, events).
fn event_field(in_core: bool, core: &'static str, events: &'static str) -> &'static str {
    if in_core { core } else { events }
}

/// `legacyValidateEvent`, for both groups.
fn any_event(event: &Value, in_core: bool, errors: &mut Errors) {
    let involved = event.at(event_field(in_core, "involvedObject", "regarding"));
    let (of_event, of_object) = (event.text("metadata.namespace"), involved.text("namespace"));
    let namespace_path = FieldPath::new("involvedObject.namespace");
    const DIFFERS: &str = "does not match event.namespace";
    if !event.has("eventTime") {
        let fits =
            if of_object.is_empty() { matches!(of_event, "" | "default") } else { of_event == of_object };
        if !fits {
            errors.invalid(&namespace_path, of_object, DIFFERS);
        }
    } else {
        if of_object.is_empty() && !matches!(of_event, "default" | "kube-system") {
            errors.invalid(&namespace_path, of_object, DIFFERS);
        }
        let controller = event.text(event_field(in_core, "reportingComponent", "reportingController"));
        let path = FieldPath::new(event_field(in_core, "reportingComponent", "reportingController"));
        if controller.is_empty() {
            errors.required(&path, "");
        }
        meta::label_name(controller, &path, errors);
        for (name, most) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
            let path = FieldPath::new(name);
            let length = event.text(name).len();
            if length == 0 {
                errors.required(&path, "");
            }
            if length > most {
                errors.invalid(&path, "", format!("can have at most {most} characters"));
            }
        }
        if event.text(event_field(in_core, "message", "note")).len() > 1024 {
            errors.invalid(&FieldPath::new("message"), "", "can have at most 1024 characters");
        }
    }
    errors.each(&FieldPath::new("namespace"), of_event, dns1123_subdomain(of_event));
}

fn event_series(event: &Value, errors: &mut Errors) {
    let series = event.at("series");
    if series.is_null() {
        return;
    }
    if series.integer("count").unwrap_or(0) < 2 {
        errors.invalid(&FieldPath::new("series.count"), "", "should be at least 2");
    }
    if !series.has("lastObservedTime") {
        errors.required(&FieldPath::new("series.lastObservedTime"), "");
    }
}

/// `ValidateEventCreate`. The core group's events are only held to the old rules.
pub fn event(group: &str, event: &Value, errors: &mut Errors) {
    let in_core = group.is_empty();
    any_event(event, in_core, errors);
    if in_core {
        return meta::head(event, true, errors);
    }
    meta::object_meta(event, true, name_is_subdomain, errors);
    event_series(event, errors);
    if !event.has("eventTime") {
        errors.required(&FieldPath::new("eventTime"), "");
    }
    let kind = event.text("type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.invalid(&FieldPath::new("type"), "", format!("has invalid value: {kind}"));
    }
    for (name, shown) in [
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
    ] {
        if event.has(name) && event.at(name) != &Value::Integer(0) {
            errors.invalid(&FieldPath::new(shown), "", "needs to be unset");
        }
    }
    let source = event.at("deprecatedSource");
    if !source.text("component").is_empty() || !source.text("host").is_empty() {
        errors.invalid(&FieldPath::new("source"), "", "needs to be unset");
    }
}

/// `ValidateEventUpdate`: of a new-style event only the series moves.
pub fn event_update(group: &str, new: &Value, old: &Value, errors: &mut Errors) {
    let in_core = group.is_empty();
    if in_core {
        meta::plain_object_meta_update(new, old, errors);
        return any_event(new, in_core, errors);
    }
    any_event(new, in_core, errors);
    meta::object_meta_update(new, old, errors);
    if !equal(new.at("series"), old.at("series")) {
        event_series(new, errors);
    }
    for (name, shown) in [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ] {
        errors.immutable_as(new.at(name), old.at(name), &FieldPath::new(shown), go::quoted);
    }
}
