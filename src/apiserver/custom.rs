//! What the desks do with a custom resource, where built-in kinds have the handbook.
//!
//! Picture to hold in mind: forms of other houses. The clerk has no page on them; he keeps to the leaflet that came with
//! the definition.
//!
//! A custom resource is handled in the version of the request, and takes the stored version only when it goes to the
//! archive; conversion changes nothing but the version's name (strategy `None`), or fails (strategy `Webhook`: see
//! `admission/webhooks.rs`).
//!
//! Follows apiextensions-apiserver `pkg/registry/customresource` and `pkg/apiserver/customresource_handler.go`.

use crate::api::custom::{self, CustomKind, CustomVersion};
use crate::api::kind::ResourceInfo;
use crate::api::schema::Strictness;
use crate::api::status::Status;
use crate::api::{FieldError, Text, Value, meta, validation};
use crate::arrange::Arrange;
use crate::message::rest::Request;

use super::update::{same, take};

/// The definition and the version of it that an object is of.
fn version_of<'a>(info: &'a ResourceInfo, object: &Value) -> Option<(&'a CustomKind, &'a CustomVersion)> {
    let kind = info.definition.as_deref()?;
    Some((kind, kind.version_of(object)?))
}

/// The body of a request as an object: pruned, with its defaults.
pub(super) fn decode(
    info: &ResourceInfo,
    request: &Request,
    object: &Value,
    strictness: Strictness,
    warnings: &mut Vec<Text>,
) -> Result<Value, Status> {
    let (own_version, api_version) = (object.text("apiVersion"), request.resource.api_version());
    if own_version != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({own_version}) does not match the expected API version ({api_version})"
        )));
    }
    let Some((kind, version)) = version_of(info, object) else { return Err(Status::no_such_path()) };
    let refuse = |error: &str| {
        let (own_kind, own_version) = (object.text("kind"), &version.name);
        Status::bad_request(format!(
            "{own_kind} in version \"{own_version}\" cannot be handled as a {}: {error}",
            info.kind
        ))
    };
    let coerced = custom::coerce(kind, version, object).map_err(|error| refuse(&error))?;
    let duplicates = request.options.duplicates.iter().map(|path| format!("duplicate field \"{path}\""));
    let unknown = coerced.unknown.iter().map(|path| format!("unknown field \"{path}\""));
    let notes: Vec<String> = duplicates.chain(unknown).collect();
    match strictness {
        Strictness::Strict if !notes.is_empty() => {
            return Err(refuse(&format!("strict decoding error: {}", notes.join(", "))));
        }
        Strictness::Warn => warnings.extend(notes.into_iter().map(Text::from)),
        _ => {}
    }
    Ok(coerced.value)
}

/// A stored object in `version`, as the schema of today has it.
pub(super) fn shown(kind: &CustomKind, version: &str, object: &Value) -> Value {
    let Some(own) = kind.version(version) else { return object.clone() };
    let settled = custom::settle(kind, own, object);
    if settled.text("apiVersion") == own.api_version().as_str() {
        return settled;
    }
    settled.with("apiVersion", own.api_version())
}

/// As the object is stored.
pub(super) fn stored(info: &ResourceInfo, object: Value) -> Value {
    match &info.definition {
        Some(kind) => shown(kind, &info.storage_version, &object),
        None => object,
    }
}

pub(super) fn prepare_for_create(info: &ResourceInfo, object: &mut Value) {
    if version_of(info, object).is_some_and(|(_, version)| version.has_subresource("status")) {
        object.remove("status");
    }
    meta::set_generation(object, 1);
}

pub(super) fn prepare_for_update(info: &ResourceInfo, subresource: &str, object: &mut Value, old: &Value) {
    if subresource == "status" {
        // Everything but the status stays as it was; who owns it has been written down already.
        let mut kept = old.clone();
        take(&mut kept, object, "status");
        take(kept.at_mut("metadata"), object.at("metadata"), "managedFields");
        *object = kept;
        return;
    }
    if version_of(info, object).is_some_and(|(_, version)| version.has_subresource("status")) {
        take(object, old, "status");
    }
    let generation = meta::generation(old);
    let without_metadata = |object: &Value| {
        let mut rest = object.clone();
        rest.make_object().remove("metadata");
        rest
    };
    let changed = !same(&without_metadata(object), &without_metadata(old));
    meta::set_generation(object, if changed { generation + 1 } else { generation });
}

/// What is wrong with an object that is new, or that has changed from `old`.
pub(super) fn validate(
    info: &ResourceInfo,
    subresource: &str,
    object: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let Some((kind, version)) = version_of(info, object) else { return Vec::new() };
    match (subresource, old) {
        ("status", Some(old)) => validation::validate_custom_status(version, object, old),
        _ => validation::validate_custom(kind, version, object, old),
    }
}

/// Finalizers that others might take as well (`generateWarningsFromObj`).
pub(super) fn warnings(object: &Value, old: Option<&Value>) -> Vec<Text> {
    const PATH: &str = "metadata.finalizers";
    let had = |finalizer: &str| old.is_some_and(|old| meta::has_finalizer(old, finalizer));
    let mut added: Vec<&str> = meta::finalizers(object).filter(|finalizer| !had(finalizer)).collect();
    added.arrange();
    let mut warnings = Vec::new();
    for finalizer in added {
        for complaint in validation::format::qualified_name(finalizer) {
            warnings.push(Text::from(format!("{PATH}: {finalizer:?}: {complaint}")));
        }
        if !finalizer.contains('/') && !matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes") {
            let path = if finalizer.contains('.') { " including a path (/)" } else { "" };
            warnings.push(Text::from(format!(
                "{PATH}: {finalizer:?}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
            )));
        }
    }
    warnings
}

/// Formats that nobody knows; only what is new is told.
pub(super) fn definition_warnings(definition: &Value, old: Option<&Value>) -> Vec<Text> {
    let all = |definition: &Value| {
        let mut warnings: Vec<Text> = Vec::new();
        let schemas = || definition.items("spec.versions").iter().map(|own| own.at("schema.openAPIV3Schema"));
        for format in schemas().flat_map(custom::unknown_formats) {
            warnings.push(Text::from(format!("unrecognized format {:?}", format.as_str())));
        }
        warnings
    };
    let had = old.map(all).unwrap_or_default();
    all(definition).into_iter().filter(|warning| !had.contains(warning)).collect()
}
