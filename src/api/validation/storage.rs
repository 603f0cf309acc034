//! PersistentVolumes and claims on them.
//!
//! Picture to hold in mind: a parking deck: bays with sizes and rules, and tickets that ask for one.
//!
//! Follows `ValidatePersistentVolume...` and `ValidatePersistentVolumeClaim...` of
//! `pkg/apis/core/validation/validation.go`.

use super::errors::Errors;
use super::format::{dns1123_subdomain, name_is_label, name_is_subdomain};
use super::meta::{self, SPEC, STATUS};
use super::path::is_root;
use super::resources::{self, amount};
use super::semantic::equal;
use super::volume_source::{PERSISTENT, Source, exactly_one};
use super::{affinity, diff};
use crate::api::field::FieldPath;
use crate::api::meta::annotation;
use crate::api::value::Value;

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const BETA_CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

fn access_modes(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    let path = path.child("accessModes");
    let modes = || spec.items("accessModes").iter().filter_map(Value::as_str);
    for mode in modes().filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.not_supported(&path, mode, ACCESS_MODES);
    }
    let single = |mode: &str| mode == "ReadWriteOncePod";
    if modes().any(single) && modes().any(|mode| !single(mode) && ACCESS_MODES.contains(&mode)) {
        errors.forbidden(&path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn class_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    if !name.is_empty() {
        errors.each(path, name, name_is_subdomain(name, false));
    }
}

pub fn volume(volume: &Value, errors: &mut Errors) {
    meta::object_meta(volume, false, name_is_subdomain, errors);
    volume_spec(volume.at("spec"), volume.text("metadata.name"), false, &SPEC, errors);
}

/// `ValidatePersistentVolumeSpec`; `inline` in the context of a VolumeAttachment.
pub fn volume_spec(spec: &Value, name: &str, inline: bool, path: &FieldPath, errors: &mut Errors) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    if inline {
        if spec.has("claimRef") {
            errors.forbidden(&path.child("claimRef"), INLINE);
        }
        if !spec.map("capacity").is_empty() {
            errors.forbidden(&path.child("capacity"), INLINE);
        }
        if !spec.has("csi") {
            errors.required(&path.child("csi"), "has to be specified in the context of inline volumes");
        }
    }
    if spec.items("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "");
    }
    access_modes(spec, path, errors);
    let capacity = spec.map("capacity");
    if !inline {
        let path = path.child("capacity");
        if capacity.is_empty() {
            errors.required(&path, "");
        }
        if !capacity.contains_key("storage") || capacity.len() > 1 {
            errors.not_supported(&path, spec.at("capacity"), &["storage"]);
        }
        for (name, value) in capacity.iter() {
            resources::basic(value, &path.key(name), errors);
            resources::positive(value, &path.key(name), errors);
        }
    }
    let policy = spec.text("persistentVolumeReclaimPolicy");
    let policy_path = path.child("persistentVolumeReclaimPolicy");
    if inline && !matches!(policy, "" | "Retain") {
        errors.forbidden(&policy_path, "may only be Retain in the context of inline volumes");
    } else if !inline && !matches!(policy, "" | "Delete" | "Recycle" | "Retain") {
        errors.not_supported(&policy_path, policy, &["Delete", "Recycle", "Retain"]);
    }
    let node_affinity = path.child("nodeAffinity");
    if inline && spec.has("nodeAffinity") {
        errors.forbidden(&node_affinity, INLINE);
    } else if spec.has("nodeAffinity") {
        if spec.has("nodeAffinity.required") {
            let path = node_affinity.child("required");
            affinity::node_selector(spec.at("nodeAffinity.required"), &path, errors);
        } else {
            errors.required(&node_affinity.child("required"), "must specify required node constraints");
        }
    }
    sources(spec, name, path, errors);
    if spec.has("hostPath") && is_root(spec.text("hostPath.path")) && policy == "Recycle" {
        errors.forbidden(&policy_path, "may not be 'recycle' for a hostPath mount of '/'");
    }
    let class = spec.text("storageClassName");
    if inline && !class.is_empty() {
        errors.forbidden(&path.child("storageClassName"), INLINE);
    } else {
        class_name(class, &path.child("storageClassName"), errors);
    }
    if inline && !matches!(spec.text("volumeMode"), "" | "Filesystem") {
        let message = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.forbidden(&path.child("volumeMode"), message);
    } else if !inline {
        errors.one_of_if_given(spec, "volumeMode", path, VOLUME_MODES);
    }
    if let Some(class) = spec.at("volumeAttributesClassName").as_str() {
        let path_class = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.required(&path_class, "an empty string is disallowed");
        }
        class_name(class, &path_class, errors);
        if !spec.has("csi") {
            errors.required(&path.child("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn sources(spec: &Value, name: &str, path: &FieldPath, errors: &mut Errors) {
    if exactly_one(PERSISTENT, spec, path, errors) == 0 {
        errors.required(path, "must specify a volume type");
    }
    let iscsi = spec.at("iscsi");
    if iscsi.has("initiatorName") && name.len() + 1 + iscsi.text("targetPortal").len() > 64 {
        let message = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errors.invalid(&path.child("iscsi.targetportal"), iscsi.text("targetPortal"), message);
    }
    if spec.has("local") && !spec.has("nodeAffinity") {
        errors.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
    }
}

/// `ValidatePersistentVolumeUpdate`.
pub fn volume_update(new: &Value, old: &Value, errors: &mut Errors) {
    volume(new, errors);
    let source = |volume: &Value| {
        let mut source = Value::object();
        for Source(field, ..) in PERSISTENT {
            if volume.at("spec").has(field) {
                source.set(field, volume.at("spec").at(field));
            }
        }
        source
    };
    let (mut new_source, old_source) = (source(new), source(old));
    if old_source.has("csi") && !old_source.has("csi.controllerExpandSecretRef") {
        new_source.remove("csi.controllerExpandSecretRef");
    }
    if !equal(&new_source, &old_source) {
        let changes = diff::of_structs("PersistentVolumeSource", &old_source, &new_source);
        let message = format!("spec.persistentvolumesource is immutable after creation\n{changes}");
        errors.forbidden(&SPEC.child("persistentvolumesource"), message);
    }
    errors.immutable(new.at("spec.volumeMode"), old.at("spec.volumeMode"), &FieldPath::new("volumeMode"));
    if !equal(new.at("spec.nodeAffinity"), old.at("spec.nodeAffinity")) && old.has("spec.nodeAffinity") {
        let quoted = super::go::internal("VolumeNodeAffinity")(new.at("spec.nodeAffinity"));
        let message = "field is immutable, except for updating from beta label to GA";
        errors.invalid(&FieldPath::new("nodeAffinity"), quoted, message);
    }
    if old.has("spec.volumeAttributesClassName") && !new.has("spec.volumeAttributesClassName") {
        let message = "update from non-nil value to nil is forbidden";
        errors.forbidden(&SPEC.child("volumeAttributesClassName"), message);
    }
}

pub fn volume_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
}

pub fn claim(claim: &Value, errors: &mut Errors) {
    meta::object_meta(claim, true, name_is_subdomain, errors);
    claim_spec(claim.at("spec"), &SPEC, false, errors);
}

/// `ValidatePersistentVolumeClaimSpec`. An update tolerates whatever group a data source already had.
pub fn claim_spec(spec: &Value, path: &FieldPath, any_group: bool, errors: &mut Errors) {
    if spec.items("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    meta::label_selector(spec.at("selector"), &path.child("selector"), errors);
    access_modes(spec, path, errors);
    let resources_path = path.child("resources");
    let storage = resources_path.key("storage");
    match spec.map("resources.requests").get("storage") {
        None => errors.required(&storage, ""),
        Some(value) => {
            if resources::positive(value, &storage, errors) {
                resources::quantity_value("storage", value, &storage, errors);
            }
        }
    }
    class_name(spec.text("storageClassName"), &path.child("storageClassName"), errors);
    errors.one_of_if_given(spec, "volumeMode", path, VOLUME_MODES);
    for name in ["dataSource", "dataSourceRef"] {
        if spec.has(name) {
            data_source(spec.at(name), &path.child(name), any_group, errors);
        }
    }
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    let same = ["apiGroup", "kind", "name"].iter().all(|field| source.text(field) == reference.text(field));
    if !source.is_null() && !reference.is_null() && (!reference.text("namespace").is_empty() || !same) {
        let message = if reference.text("namespace").is_empty() {
            "must match dataSourceRef"
        } else {
            "may not be specified when dataSourceRef.namespace is specified"
        };
        // Upstream quotes the field path, which has no JSON form of its own.
        errors.invalid(path, Value::object(), message);
    }
    class_name(spec.text("volumeAttributesClassName"), &path.child("volumeAttributesClassName"), errors);
}

fn data_source(source: &Value, path: &FieldPath, any_group: bool, errors: &mut Errors) {
    errors.require_text(source, "name", path);
    errors.require_text(source, "kind", path);
    let (group, kind) = (source.text("apiGroup"), source.text("kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errors.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !group.is_empty() && !any_group {
        errors.each(&path.child("apiGroup"), group, dns1123_subdomain(group));
    }
    let namespace = source.text("namespace");
    if !namespace.is_empty() {
        errors.each(&path.child("namespace"), namespace, name_is_label(namespace, false));
    }
}

/// `ValidatePersistentVolumeClaimUpdate`.
pub fn claim_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    meta::object_meta(new, true, name_is_subdomain, errors);
    let any_group = old.has("spec.dataSource.apiGroup") || old.has("spec.dataSourceRef.apiGroup");
    claim_spec(new.at("spec"), &SPEC, any_group, errors);
    let (mut new_spec, mut old_spec) = (new.at("spec").clone(), old.at("spec").clone());
    let put = |spec: &mut Value, path: &str, value: &Value| {
        if value.is_null() {
            spec.remove(path);
        } else {
            spec.set(path, value);
        }
    };
    if old.text("spec.volumeName").is_empty() {
        put(&mut old_spec, "volumeName", new.at("spec.volumeName"));
    }
    let class = |claim: &Value| claim.at("spec.storageClassName").as_str().map(str::to_owned);
    let (old_annotation, new_annotation) =
        (annotation(old, BETA_CLASS_ANNOTATION), annotation(new, BETA_CLASS_ANNOTATION));
    let moved_from_annotation = old_annotation.is_some()
        && class(old).is_none()
        && class(new).as_deref() == old_annotation
        && (new_annotation.is_none() || new_annotation == old_annotation);
    if moved_from_annotation {
        new_spec.remove("storageClassName");
    } else {
        let (old_value, new_value) = (old_annotation.unwrap_or(""), new_annotation.unwrap_or(""));
        if old_value != new_value {
            let annotations = meta::METADATA.child("annotations");
            errors.invalid(&annotations.child(BETA_CLASS_ANNOTATION), new_value, super::errors::IMMUTABLE);
        }
        let set_once =
            class(old).is_none() && (old_annotation.is_none() || class(new).as_deref() == old_annotation);
        if set_once && class(new).is_some() {
            new_spec.remove("storageClassName");
        }
    }
    if new.text("status.phase") == "Bound" {
        if new_spec.has("resources.requests") {
            put(&mut new_spec, "resources.requests.storage", old.at("spec.resources.requests.storage"));
        }
        put(&mut new_spec, "volumeAttributesClassName", old.at("spec.volumeAttributesClassName"));
    }
    if !equal(&new_spec, &old_spec) {
        let changes = diff::of_structs("PersistentVolumeClaimSpec", &old_spec, &new_spec);
        let message = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.forbidden(&SPEC, format!("{message}\n{changes}"));
    }
    let size = |claim: &Value| amount(claim.at("spec.resources.requests.storage"));
    if size(new) < size(old) && size(new) <= amount(old.at("status.capacity.storage")) {
        let path = SPEC.child("resources.requests.storage");
        errors.forbidden(&path, "field can not be less than status.capacity");
    }
    errors.immutable(new.at("spec.volumeMode"), old.at("spec.volumeMode"), &FieldPath::new("volumeMode"));
    let attributes = new.at("spec.volumeAttributesClassName");
    if attributes != old.at("spec.volumeAttributesClassName")
        && old.has("status.currentVolumeAttributesClassName")
    {
        let path = SPEC.child("volumeAttributesClassName");
        let suffix = "is forbidden when status.currentVolumeAttributesClassName is not nil";
        if attributes.is_null() {
            errors.forbidden(&path, format!("update to nil {suffix}"));
        } else if attributes.is_empty() {
            errors.forbidden(&path, format!("update to empty string {suffix}"));
        }
    }
}

/// `ValidatePersistentVolumeClaimStatusUpdate`.
pub fn claim_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    if new.items("spec.accessModes").is_empty() {
        errors.required(&FieldPath::new("Spec.accessModes"), "");
    }
    let path = STATUS.child("capacity");
    for (name, value) in new.map("status.capacity").iter() {
        resources::basic(value, &path.key(name), errors);
    }
    const RESIZE: &[&str] = &[
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let path = STATUS.child("allocatedResourceStatuses");
    for (name, value) in new.map("status.allocatedResourceStatuses").iter() {
        claim_resource_key(name, &path, errors);
        if !RESIZE.contains(&value.as_str().unwrap_or("")) {
            errors.not_supported(&path, name, RESIZE);
        }
    }
    let path = STATUS.child("allocatedResources");
    for (name, value) in new.map("status.allocatedResources").iter() {
        if claim_resource_key(name, &path, errors) {
            resources::quantity_value("storage", value, &path.key(name), errors);
        }
    }
}

fn claim_resource_key(name: &str, path: &FieldPath, errors: &mut Errors) -> bool {
    let before = errors.len();
    meta::label_name(name, path, errors);
    if errors.len() == before && resources::is_native(name) && name != "storage" {
        errors.not_supported(path, name, &["storage"]);
    }
    errors.len() == before
}
