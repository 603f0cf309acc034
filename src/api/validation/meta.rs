//! Metadata: names, labels, annotations, owners, finalizers, and selectors over labels.
//!
//! Picture to hold in mind: the counter clerk who checks the form's head before anyone reads its body.
//!
//! Follows `k8s.io/apimachinery/pkg/api/validation/objectmeta.go` and `pkg/apis/meta/v1/validation`, with the
//! additions of `ValidateObjectMeta` in `pkg/apis/core/validation`.

use super::errors::{Errors, NEGATIVE};
use super::format::{NameCheck, label_value, name_is_label, name_is_path_segment, qualified_name};
use super::go;
use crate::api::field::{BadValue, FieldPath, go_quote};
use crate::api::meta::split_api_version;
use crate::api::selector::LabelSelector;
use crate::api::value::{Map, Value};
use crate::arrange::{Arrange, Gather};

const ANNOTATIONS_SIZE_LIMIT_BYTES: usize = 256 * 1024;
const FIELD_MANAGER_MAX_LENGTH: usize = 128;
const SUBRESOURCE_MAX_LENGTH: usize = 256;
pub const METADATA: FieldPath<'static> = FieldPath::new("metadata");
pub const SPEC: FieldPath<'static> = FieldPath::new("spec");
pub const STATUS: FieldPath<'static> = FieldPath::new("status");

/// `ValidateObjectMeta` of the core group: apimachinery's, then the finalizers once more, by index.
pub fn object_meta(object: &Value, namespaced: bool, name_check: NameCheck, errors: &mut Errors) {
    let meta = object.at("metadata");
    plain_object_meta(meta, namespaced, &name_check, &METADATA, errors);
    kube_finalizers(meta, errors);
}

fn kube_finalizers(meta: &Value, errors: &mut Errors) {
    let path = METADATA.child("finalizers");
    for (index, finalizer) in meta.items("finalizers").iter().enumerate() {
        kube_finalizer(finalizer.as_str().unwrap_or(""), &path.index(index), errors);
    }
}

/// `validateKubeFinalizerName`: without a prefix only the standard ones.
pub fn kube_finalizer(name: &str, path: &FieldPath, errors: &mut Errors) {
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        errors.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// `ValidateFinalizerName`.
pub fn finalizer(name: &str, path: &FieldPath, errors: &mut Errors) {
    errors.each(path, name, qualified_name(name));
}

/// apimachinery's `ValidateObjectMeta`.
pub fn plain_object_meta(
    meta: &Value,
    namespaced: bool,
    name_check: &dyn Fn(&str, bool) -> Vec<String>,
    path: &FieldPath,
    errors: &mut Errors,
) {
    let generate_name = meta.text("generateName");
    if !generate_name.is_empty() {
        errors.each(&path.child("generateName"), generate_name, name_check(generate_name, true));
    }
    let name = meta.text("name");
    if name.is_empty() {
        errors.required(&path.child("name"), "name or generateName is required");
    } else {
        errors.each(&path.child("name"), name, name_check(name, false));
    }
    let namespace = meta.text("namespace");
    if namespaced && namespace.is_empty() {
        errors.required(&path.child("namespace"), "");
    } else if namespaced {
        errors.each(&path.child("namespace"), namespace, name_is_label(namespace, false));
    } else if !namespace.is_empty() {
        errors.forbidden(&path.child("namespace"), "not allowed on this type");
    }
    if let Some(generation) = meta.integer("generation")
        && generation < 0
    {
        errors.invalid(&path.child("generation"), generation, NEGATIVE);
    }
    labels(meta.map("labels"), &path.child("labels"), errors);
    annotations(meta.map("annotations"), &path.child("annotations"), errors);
    owner_references(meta.at("ownerReferences"), &path.child("ownerReferences"), errors);
    finalizers(meta.at("finalizers"), &path.child("finalizers"), errors);
    managed_fields(meta.items("managedFields"), &path.child("managedFields"), errors);
}

fn finalizers(list: &Value, path: &FieldPath, errors: &mut Errors) {
    let names = || list.as_array().unwrap_or(&[]).iter().filter_map(Value::as_str);
    for name in names() {
        finalizer(name, path, errors);
    }
    if names().any(|name| name == "orphan") && names().any(|name| name == "foregroundDeletion") {
        errors.invalid(path, list, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

/// What is asked of a new object's head where its kind does not ask itself (`BeforeCreate` of `registry/rest`): once
/// nothing else is wrong.
pub fn head(object: &Value, namespaced: bool, errors: &mut Errors) {
    if errors.is_empty() {
        plain_object_meta(object.at("metadata"), namespaced, &name_is_path_segment, &METADATA, errors);
    }
}

/// `ValidateObjectMetaUpdate`, with the core group's check of finalizers.
pub fn object_meta_update(new: &Value, old: &Value, errors: &mut Errors) {
    plain_object_meta_update(new, old, errors);
    kube_finalizers(new.at("metadata"), errors);
}

/// apimachinery's `ValidateObjectMetaUpdate`.
pub fn plain_object_meta_update(new: &Value, old: &Value, errors: &mut Errors) {
    let (new, old) = (new.at("metadata"), old.at("metadata"));
    let path = &METADATA;
    if old.has("deletionTimestamp") {
        let is_new = |name: &&str| !old.items("finalizers").iter().any(|had| had.as_str() == Some(*name));
        let mut extra: Vec<_> =
            new.items("finalizers").iter().filter_map(Value::as_str).filter(is_new).gather();
        extra.arrange();
        extra.dedup();
        if !extra.is_empty() {
            let listed = extra.iter().map(|name| go_quote(name)).collect::<Vec<_>>().join(", ");
            errors.forbidden(
                &path.child("finalizers"),
                format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"),
            );
        }
    }
    if new.text("resourceVersion").is_empty() {
        errors.invalid(&path.child("resourceVersion"), "", "must be specified for an update");
    }
    let generation = |meta: &Value| meta.integer("generation").unwrap_or(0);
    if generation(new) < generation(old) {
        errors.invalid(&path.child("generation"), generation(new), "must not be decremented");
    }
    for name in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let (new, old) = (new.at(name), old.at(name));
        let text = matches!(name, "name" | "namespace" | "uid");
        if text && new.as_str().unwrap_or("") != old.as_str().unwrap_or("") {
            errors.invalid(&path.child(name), new.as_str().unwrap_or(""), super::errors::IMMUTABLE);
        } else if !text {
            errors.immutable(new, old, &path.child(name));
        }
    }
    if !new.at("labels").is_same(old.at("labels")) {
        labels(new.map("labels"), &path.child("labels"), errors);
    }
    if !new.at("annotations").is_same(old.at("annotations")) {
        annotations(new.map("annotations"), &path.child("annotations"), errors);
    }
    if !new.at("ownerReferences").is_same(old.at("ownerReferences")) {
        owner_references(new.at("ownerReferences"), &path.child("ownerReferences"), errors);
    }
    managed_fields(new.items("managedFields"), &path.child("managedFields"), errors);
}

/// `ValidateLabels`.
pub fn labels(labels: &Map, path: &FieldPath, errors: &mut Errors) {
    for (key, value) in labels.iter() {
        errors.each(path, key, qualified_name(key));
        let value = value.as_str().unwrap_or("");
        errors.each(path, value, label_value(value));
    }
}

/// `ValidateLabelName`, `ValidateQualifiedName`.
pub fn label_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    errors.each(path, name, qualified_name(name));
}

/// `ValidateAnnotations`.
pub fn annotations(annotations: &Map, path: &FieldPath, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations.iter() {
        let complaints = if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            qualified_name(&key.to_ascii_lowercase())
        } else {
            qualified_name(key)
        };
        errors.each(path, key, complaints);
        size += key.len() + value.as_str().unwrap_or("").len();
    }
    if size > ANNOTATIONS_SIZE_LIMIT_BYTES {
        errors.too_long(path, ANNOTATIONS_SIZE_LIMIT_BYTES);
    }
}

/// `ValidateOwnerReferences`.
fn owner_references(list: &Value, path: &FieldPath, errors: &mut Errors) {
    let mut controller: Option<String> = None;
    for reference in list.as_array().unwrap_or(&[]) {
        let (group, version) = split_api_version(reference.text("apiVersion"));
        if version.is_empty() {
            errors.invalid(
                &path.child("apiVersion"),
                reference.text("apiVersion"),
                "version must not be empty",
            );
        }
        for name in ["kind", "name", "uid"] {
            if reference.text(name).is_empty() {
                errors.invalid(&path.child(name), "", "must not be empty");
            }
        }
        if (group, version, reference.text("kind")) == ("", "v1", "Event") {
            errors.invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner");
        }
        if reference.is_true("controller") {
            let current = format!("{}/{}", reference.text("kind"), reference.text("name"));
            match &controller {
                Some(first) => errors.invalid(
                    path,
                    list,
                    format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {current}"),
                ),
                None => controller = Some(current),
            }
        }
    }
}

/// `ValidateManagedFields`.
fn managed_fields(list: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, fields) in list.iter().enumerate() {
        let path = path.index(index);
        let operation = fields.text("operation");
        if !matches!(operation, "Apply" | "Update") {
            errors.invalid(&path.child("operation"), operation, "must be `Apply` or `Update`");
        }
        let fields_type = fields.text("fieldsType");
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`");
        }
        field_manager(fields.text("manager"), &path.child("manager"), errors);
        if fields.text("subresource").len() > SUBRESOURCE_MAX_LENGTH {
            errors.too_long(&path.child("subresource"), SUBRESOURCE_MAX_LENGTH);
        }
    }
}

/// `ValidateFieldManager`.
pub fn field_manager(name: &str, path: &FieldPath, errors: &mut Errors) {
    if name.len() > FIELD_MANAGER_MAX_LENGTH {
        errors.too_long(path, FIELD_MANAGER_MAX_LENGTH);
    }
    for (position, character) in name.char_indices() {
        if character.is_control() || (character.is_whitespace() && character != ' ') {
            let code = character as u32;
            errors.invalid(path, name, format!("invalid character U+{code:04X} (at position {position})"));
        }
    }
}

/// `ValidateLabelSelector`; an absent selector is fine.
pub fn label_selector(selector: &Value, path: &FieldPath, errors: &mut Errors) {
    if selector.is_null() {
        return;
    }
    labels(selector.map("matchLabels"), &path.child("matchLabels"), errors);
    let expressions = path.child("matchExpressions");
    for (index, expression) in selector.items("matchExpressions").iter().enumerate() {
        let path = expressions.index(index);
        let values = expression.items("values");
        match expression.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors
                    .required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.forbidden(
                &path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        label_name(expression.text("key"), &path.child("key"), errors);
        let values_path = path.child("values");
        for (index, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            errors.each(&values_path.index(index), value, label_value(value));
        }
    }
}

/// Whether a selector says nothing, and so would match everything.
pub fn is_empty_selector(selector: &Value) -> bool {
    selector.map("matchLabels").is_empty() && selector.items("matchExpressions").is_empty()
}

/// `LabelSelectorAsSelector(selector).Matches(labels)`. `None` where the selector cannot be read at all; an
/// absent one matches nothing.
pub fn selector_matches(selector: &Value, labels: &Map) -> Option<bool> {
    LabelSelector::from_value(selector).ok().map(|selector| selector.matches(labels))
}

/// A selector as errors quote it.
pub fn quoted(selector: &Value) -> BadValue {
    match selector {
        Value::Object(_) => go::quoted(selector),
        _ => BadValue::Raw("{}".into()),
    }
}

/// `ValidateConditions` of `metav1`.
pub fn conditions(list: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, condition) in list.iter().enumerate() {
        let path = path.index(index);
        let kind = condition.text("type");
        if list[..index].iter().any(|earlier| earlier.text("type") == kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        label_name(kind, &path.child("type"), errors);
        let status = condition.text("status");
        if !matches!(status, "True" | "False" | "Unknown") {
            errors.not_supported(&path.child("status"), status, &["False", "True", "Unknown"]);
        }
        if let Some(generation) = condition.integer("observedGeneration")
            && generation < 0
        {
            errors.invalid(
                &path.child("observedGeneration"),
                generation,
                "must be greater than or equal to zero",
            );
        }
        if !condition.has("lastTransitionTime") {
            errors.required(&path.child("lastTransitionTime"), "");
        }
        errors.require_text(condition, "reason", &path);
        if condition.text("message").len() > 32 * 1024 {
            errors.too_long(&path.child("message"), 32 * 1024);
        }
    }
}
