//! Storage classes, attachments and what CSI drivers say of themselves.
//!
//! Picture to hold in mind: the price list of a warehouse: once printed, an entry is replaced, not overwritten.
//!
//! Follows `pkg/apis/storage/validation/validation.go`.

use super::errors::{Errors, IMMUTABLE};
use super::format::{name_is_subdomain, qualified_name, range_error};
use super::go;
use super::meta::{self, SPEC, STATUS};
use super::resources;
use super::semantic::equal;
use super::storage::volume_spec;
use super::volume_source::csi_driver_name;
use crate::api::field::FieldPath;
use crate::api::value::Value;
use crate::arrange::{Arrange, Gather};

const MAX_BYTES: usize = 256 * 1024;
const MAX_PARAMETERS: usize = 512;

pub fn storage_class(class: &Value, errors: &mut Errors) {
    meta::object_meta(class, false, name_is_subdomain, errors);
    provisioner(class.text("provisioner"), &FieldPath::new("provisioner"), errors);
    parameters(class.at("parameters"), true, errors);
    let policy = class.text("reclaimPolicy");
    if !policy.is_empty() {
        errors.one_of(policy, &FieldPath::new("reclaimPolicy"), &["Delete", "Retain"]);
    }
    let mode = class.at("volumeBindingMode");
    let path = FieldPath::new("volumeBindingMode");
    match mode.as_str() {
        None => errors.required(&path, ""),
        Some("Immediate" | "WaitForFirstConsumer") => {}
        Some(other) => errors.not_supported(&path, other, &["Immediate", "WaitForFirstConsumer"]),
    }
    topologies(class.items("allowedTopologies"), errors);
}

fn provisioner(name: &str, path: &FieldPath, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
    } else {
        let name = name.to_ascii_lowercase();
        errors.each(path, &name, qualified_name(&name));
    }
}

fn parameters(parameters: &Value, may_be_empty: bool, errors: &mut Errors) {
    let path = FieldPath::new("parameters");
    let entries = parameters.as_object();
    let count = entries.map_or(0, |map| map.len());
    if count > MAX_PARAMETERS {
        return errors.too_long(&path, MAX_PARAMETERS);
    }
    let mut size = 0;
    for (key, value) in entries.into_iter().flat_map(|map| map.iter()) {
        if key.is_empty() {
            errors.invalid(&path, key, "field can not be empty.");
        }
        size += key.len() + value.as_str().unwrap_or("").len();
    }
    if size > MAX_BYTES {
        errors.too_long(&path, MAX_BYTES);
    }
    if !may_be_empty && count == 0 {
        errors.required(&path, "must contain at least one key/value pair");
    }
}

/// What a term allows, whatever the order in which it says so.
fn meaning(term: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for expression in term.items("matchLabelExpressions") {
        let mut values: Vec<&str> = expression.items("values").iter().filter_map(Value::as_str).gather();
        values.arrange();
        all.push([expression.text("key"), "=", &values.join(",")].concat());
    }
    all.arrange();
    all
}

fn topologies(terms: &[Value], errors: &mut Errors) {
    let list = FieldPath::new("allowedTopologies");
    for (index, term) in terms.iter().enumerate() {
        let path = list.index(index);
        let expressions = term.items("matchLabelExpressions");
        let expressions_path = path.child("matchLabelExpressions");
        for (index, expression) in expressions.iter().enumerate() {
            let path = expressions_path.index(index);
            let values = expression.items("values");
            let values_path = path.child("values");
            if values.is_empty() {
                errors.required(&values_path, "");
            }
            for (index, value) in values.iter().enumerate() {
                if values[..index].contains(value) {
                    errors.duplicate(&values_path.index(index), value);
                }
            }
            let key = expression.text("key");
            meta::label_name(key, &path.child("key"), errors);
            if expressions[..index].iter().any(|other| other.text("key") == key) {
                errors.duplicate(&path.child("key"), key);
            }
        }
        // Upstream compares with as many empty terms, too, as there are terms.
        let own = meaning(term);
        let empty = if own.is_empty() { terms.len() } else { 0 };
        let same = terms[..index].iter().filter(|other| meaning(other) == own).count();
        for _ in 0..empty + same {
            errors.duplicate(&expressions_path, "");
        }
    }
}

pub fn storage_class_update(new: &Value, old: &Value, errors: &mut Errors) {
    storage_class(new, errors);
    meta::object_meta_update(new, old, errors);
    for name in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        errors.immutable(new.at(name), old.at(name), &FieldPath::new(name));
    }
}

pub fn volume_attachment(attachment: &Value, errors: &mut Errors) {
    meta::object_meta(attachment, false, name_is_subdomain, errors);
    let spec = attachment.at("spec");
    csi_driver_name(spec.text("attacher"), &SPEC.child("attacher"), errors);
    let source = spec.at("source");
    let path = SPEC.child("source");
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let name = source.at("persistentVolumeName").as_str();
    match (source.has("inlineVolumeSpec"), name) {
        (false, None) => errors.required(&path, ONE),
        (true, Some(_)) => errors.forbidden(&path, ONE),
        (false, Some("")) => {
            errors
                .required(&path.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
        }
        (false, Some(_)) => {}
        (true, None) => {
            volume_spec(source.at("inlineVolumeSpec"), "", true, &path.child("inlineVolumeSpec"), errors);
        }
    }
    let node = spec.text("nodeName");
    errors.each(&SPEC.child("nodeName"), node, name_is_subdomain(node, false));
    let status = attachment.at("status");
    let metadata = status.map("attachmentMetadata").iter();
    let size: usize = metadata.map(|(key, value)| key.len() + value.as_str().unwrap_or("").len()).sum();
    if size > MAX_BYTES {
        errors.too_long(&STATUS.child("attachmentMetadata"), MAX_BYTES);
    }
    for field in ["attachError", "detachError"] {
        let path = STATUS.child(field);
        if status.at(field).text("message").len() > 1024 {
            errors.too_long(&path.child("message"), MAX_BYTES);
        }
        if let Some(code) = status.at(field).integer("errorCode").filter(|code| *code < 0) {
            errors.invalid(&path.child("errorCode"), code, range_error(0, i64::from(i32::MAX)));
        }
    }
    if let Some(name) = name {
        errors.each(
            &FieldPath::new("spec.source.persistentVolumeName"),
            name,
            name_is_subdomain(name, false),
        );
    }
}

pub fn volume_attachment_update(new: &Value, old: &Value, errors: &mut Errors) {
    volume_attachment(new, errors);
    errors.immutable_as(new.at("spec"), old.at("spec"), &SPEC, go::internal("VolumeAttachmentSpec"));
}

pub fn csi_node(node: &Value, errors: &mut Errors) {
    meta::object_meta(node, false, name_is_subdomain, errors);
    let list = SPEC.child("drivers");
    let drivers = node.items("spec.drivers");
    for (index, driver) in drivers.iter().enumerate() {
        let path = list.index(index);
        let name = driver.text("name");
        csi_driver_name(name, &path.child("name"), errors);
        let id = driver.text("nodeID");
        if id.is_empty() {
            errors.required(&path.child("nodeID"), "");
        }
        if id.len() > 256 {
            errors.invalid(&path.child("nodeID"), id, "must be 256 characters or less");
        }
        errors.non_negative(driver, "allocatable.count", &path);
        if drivers[..index].iter().any(|other| other.text("name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
        let keys = driver.items("topologyKeys");
        for (index, key) in keys.iter().enumerate() {
            let text = key.as_str().unwrap_or("");
            if text.is_empty() {
                errors.required(&path, "");
            }
            if keys[..index].contains(key) {
                errors.duplicate(&path, text);
            }
            meta::label_name(text, &path, errors);
        }
    }
}

pub fn csi_node_update(new: &Value, old: &Value, errors: &mut Errors) {
    csi_node(new, errors);
    let without_count = |driver: &Value| {
        let mut driver = driver.clone();
        driver.remove("allocatable");
        driver
    };
    for before in old.items("spec.drivers") {
        for after in
            new.items("spec.drivers").iter().filter(|after| after.text("name") == before.text("name"))
        {
            let quote = go::internal("CSINodeDriver");
            errors.immutable_as(&without_count(after), &without_count(before), &SPEC.child("drivers"), quote);
        }
    }
}

pub fn csi_driver(driver: &Value, errors: &mut Errors) {
    meta::object_meta(driver, false, name_is_subdomain, errors);
    csi_driver_spec(driver.at("spec"), errors);
}

fn csi_driver_spec(spec: &Value, errors: &mut Errors) {
    for (name, shown) in [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ] {
        if !spec.has(name) {
            errors.required(&SPEC.child(shown), "");
        }
    }
    errors.one_of_if_given(spec, "fsGroupPolicy", &SPEC, &["File", "None", "ReadWriteOnceWithFSType"]);
    let list = SPEC.child("tokenRequests");
    let requests = spec.items("tokenRequests");
    for (index, request) in requests.iter().enumerate() {
        let path = list.index(index);
        let audience = request.text("audience");
        if requests[..index].iter().any(|other| other.text("audience") == audience) {
            errors.duplicate(&path.child("audience"), audience);
            continue;
        }
        let Some(seconds) = request.integer("expirationSeconds") else { continue };
        let path = path.child("expirationSeconds");
        if seconds < 600 {
            errors.invalid(&path, seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds > 1 << 32 {
            errors.invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
        }
    }
    for mode in spec.items("volumeLifecycleModes").iter().filter_map(Value::as_str) {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            errors.not_supported(&SPEC.child("volumeLifecycleModes"), mode, &["Persistent", "Ephemeral"]);
        }
    }
    if !spec.has("seLinuxMount") {
        errors.required(&SPEC.child("seLinuxMount"), "");
    }
    if let Some(seconds) = spec.integer("nodeAllocatableUpdatePeriodSeconds").filter(|seconds| *seconds < 10)
    {
        let path = SPEC.child("nodeAllocatableUpdatePeriodSeconds");
        errors.invalid(&path, seconds, "must be greater than or equal to 10 seconds");
    }
    if let Some(secrets) = spec.at("serviceAccountTokenInSecrets").as_bool()
        && requests.is_empty()
    {
        let message = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.invalid(&SPEC.child("serviceAccountTokenInSecrets"), secrets, message);
    }
}

pub fn csi_driver_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    csi_driver_spec(new.at("spec"), errors);
    for (name, shown) in
        [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
    {
        errors.immutable(new.at("spec").at(name), old.at("spec").at(name), &SPEC.child(shown));
    }
}

pub fn csi_storage_capacity(capacity: &Value, errors: &mut Errors) {
    meta::object_meta(capacity, true, name_is_subdomain, errors);
    meta::label_selector(capacity.at("nodeTopology"), &FieldPath::new("nodeTopology"), errors);
    let class = capacity.text("storageClassName");
    errors.each(&FieldPath::new("storageClassName"), class, name_is_subdomain(class, false));
    if capacity.has("capacity") {
        resources::non_negative(capacity.at("capacity"), &FieldPath::new("capacity"), errors);
    }
}

pub fn csi_storage_capacity_update(new: &Value, old: &Value, errors: &mut Errors) {
    csi_storage_capacity(new, errors);
    meta::object_meta_update(new, old, errors);
    if !equal(new.at("nodeTopology"), old.at("nodeTopology")) {
        errors.invalid(&FieldPath::new("nodeTopology"), meta::quoted(new.at("nodeTopology")), IMMUTABLE);
    }
    if new.text("storageClassName") != old.text("storageClassName") {
        errors.invalid(&FieldPath::new("storageClassName"), new.text("storageClassName"), IMMUTABLE);
    }
}

pub fn volume_attributes_class(class: &Value, errors: &mut Errors) {
    meta::object_meta(class, false, name_is_subdomain, errors);
    provisioner(class.text("driverName"), &FieldPath::new("driverName"), errors);
    parameters(class.at("parameters"), false, errors);
}

pub fn volume_attributes_class_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    for name in ["driverName", "parameters"] {
        if !equal(new.at(name), old.at(name)) {
            errors.forbidden(&FieldPath::new(name), format!("updates to {name} are forbidden."));
        }
    }
    volume_attributes_class(new, errors);
}
