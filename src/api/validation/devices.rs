//! Devices: what is claimed, and by which classes; what drivers offer is in [`super::device_slices`].
//!
//! Picture to hold in mind: a hire shop for machines. A customer's form says which sort and how many (the claim), the
//! catalogue what a sort is (the class).
//!
//! Follows `pkg/apis/resource/validation/validation.go`.

use super::affinity::node_selector;
use super::errors::{Errors, NOT_POSITIVE};
use super::format::{c_identifier, dns1123_label, dns1123_subdomain, label_value, name_is_subdomain};
use super::go;
use super::meta::{self, SPEC};
use super::resources::is_extended;
use super::volume::template_meta;
use super::volume_source::csi_driver_name;
use crate::api::cel;
use crate::api::field::FieldPath;
use crate::api::value::Value;

pub(super) const MAX_LIST: usize = 32;
const MAX_TEXT: usize = 10 * 1024;
/// Of an expression, in cost units.
const MAX_COST: u64 = 1_000_000;

pub(super) type Check<'a> = &'a mut dyn FnMut(&Value, &FieldPath, &mut Errors);

/// `validateSlice`: of too long a list nothing else is said.
pub(super) fn each(
    value: &Value,
    list: &str,
    max: usize,
    path: &FieldPath,
    errors: &mut Errors,
    check: Check,
) -> bool {
    let (items, path) = (value.items(list), path.child(list));
    if items.len() > max {
        errors.too_many(&path, items.len(), max);
        return false;
    }
    for (index, item) in items.iter().enumerate() {
        check(item, &path.index(index), errors);
    }
    true
}

/// `validateSet`: no two items with the same text in the field `key`; an empty one: the items themselves.
pub(super) fn set(
    value: &Value,
    (list, key): (&str, &str),
    max: usize,
    path: &FieldPath,
    errors: &mut Errors,
    check: Check,
) {
    if !each(value, list, max, path, errors, check) {
        return;
    }
    let text = |item: &Value| match key {
        "" => item.as_str().unwrap_or_default().to_owned(),
        key => item.text(key).to_owned(),
    };
    let keys: Vec<String> = value.items(list).iter().map(text).collect();
    for (index, key) in keys.iter().enumerate() {
        if keys[..index].contains(key) {
            errors.duplicate(&path.child(list).index(index), key.as_str());
        }
    }
}

pub(super) fn label(value: &Value, name: &str, path: &FieldPath, errors: &mut Errors) {
    let text = value.text(name);
    errors.each(&path.child(name), text, dns1123_label(text));
}

fn label_name(name: &Value, path: &FieldPath, errors: &mut Errors) {
    meta::label_name(name.as_str().unwrap_or_default(), path, errors);
}

pub fn claim(claim: &Value, errors: &mut Errors) {
    meta::object_meta(claim, true, name_is_subdomain, errors);
    device_claim(claim.at("spec.devices"), &SPEC.child("devices"), errors);
}

pub fn claim_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta(new, true, name_is_subdomain, errors);
    meta::object_meta_update(new, old, errors);
    errors.immutable_as(new.at("spec"), old.at("spec"), &SPEC, go::internal("ResourceClaimSpec"));
}

pub fn template(template: &Value, errors: &mut Errors) {
    meta::object_meta(template, true, name_is_subdomain, errors);
    template_meta(template.at("spec.metadata"), &SPEC.child("metadata"), errors);
    device_claim(template.at("spec.spec.devices"), &SPEC.child("spec").child("devices"), errors);
}

pub fn template_update(new: &Value, old: &Value, errors: &mut Errors) {
    template(new, errors);
    meta::object_meta_update(new, old, errors);
    errors.immutable_as(new.at("spec"), old.at("spec"), &SPEC, go::internal("ResourceClaimTemplateSpec"));
}

/// `old`: what the class was before.
pub fn class(class: &Value, old: Option<&Value>, errors: &mut Errors) {
    meta::object_meta(class, false, name_is_subdomain, errors);
    if let Some(old) = old {
        meta::object_meta_update(class, old, errors);
    }
    let spec = class.at("spec");
    each(spec, "selectors", MAX_LIST, &SPEC, errors, &mut selector);
    each(spec, "config", MAX_LIST, &SPEC, errors, &mut configuration);
    if let Some(name) = spec.at("extendedResourceName").as_str()
        && !is_extended(name)
    {
        errors.invalid(&SPEC.child("extendedResourceName"), name, "must be a valid extended resource name");
    }
}

fn device_claim(claim: &Value, path: &FieldPath, errors: &mut Errors) {
    set(claim, ("requests", "name"), MAX_LIST, path, errors, &mut request);
    each(claim, "constraints", MAX_LIST, path, errors, &mut |constraint, path, errors| {
        references(constraint, claim, path, errors);
        let (all, none) = ("matchAttribute", "distinctAttribute");
        if let Some(name) = constraint.at(all).as_str() {
            full_name(name, &path.child(all), errors);
        } else if let Some(name) = constraint.at(none).as_str() {
            full_name(name, &path.child(none), errors);
        } else {
            errors.required(path, "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set");
        }
    });
    each(claim, "config", MAX_LIST, path, errors, &mut |config, path, errors| {
        references(config, claim, path, errors);
        configuration(config, path, errors);
    });
}

fn request(request: &Value, path: &FieldPath, errors: &mut Errors) {
    label(request, "name", path, errors);
    let has_first = !request.items("firstAvailable").is_empty();
    match (request.has("exactly"), has_first) {
        (false, false) => {
            errors.required(path, "exactly one of `exactly` or `firstAvailable` is required");
        }
        (true, true) => {
            let words =
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.invalid(path, Value::Null, words);
        }
        (true, false) => wanted(request.at("exactly"), &path.child("exactly"), errors),
        (false, true) => {
            set(request, ("firstAvailable", "name"), 8, path, errors, &mut |request, path, errors| {
                label(request, "name", path, errors);
                wanted(request, path, errors);
            });
        }
    }
}

/// A class, and what else is asked of the device.
fn wanted(request: &Value, path: &FieldPath, errors: &mut Errors) {
    if errors.require_text(request, "deviceClassName", path) {
        let class = request.text("deviceClassName");
        errors.each(&path.child("deviceClassName"), class, dns1123_subdomain(class));
    }
    each(request, "selectors", MAX_LIST, path, errors, &mut selector);
    let count = request.integer("count").unwrap_or_default();
    match request.text("allocationMode") {
        "All" if count != 0 => {
            let words = "must not be specified when allocationMode is 'All'";
            errors.invalid(&path.child("count"), count, words);
        }
        "ExactCount" if count <= 0 => errors.invalid(&path.child("count"), count, NOT_POSITIVE),
        "All" | "ExactCount" => {}
        mode => errors.not_supported(&path.child("allocationMode"), mode, &["All", "ExactCount"]),
    }
    each(request, "tolerations", usize::MAX, path, errors, &mut toleration);
}

fn selector(selector: &Value, path: &FieldPath, errors: &mut Errors) {
    if !selector.has("cel") {
        errors.required(&path.child("cel"), "");
        return;
    }
    let own_path = path.child("cel");
    let (path, expression) = (own_path.child("expression"), selector.text("cel.expression"));
    if expression.len() > MAX_TEXT {
        return errors.too_long(&path, MAX_TEXT);
    }
    match cel::check_selector(expression) {
        Err(words) => errors.invalid(&path, expression, words),
        Ok(cost) if cost > MAX_COST => errors.forbidden(&path, "too complex, exceeds cost limit"),
        Ok(_) => {}
    }
}

fn configuration(config: &Value, path: &FieldPath, errors: &mut Errors) {
    let path = path.child("opaque");
    let opaque = config.at("opaque");
    if opaque.is_null() {
        return errors.required(&path, "");
    }
    csi_driver_name(opaque.text("driver"), &path.child("driver"), errors);
    raw(opaque.at("parameters"), &path.child("parameters"), errors);
}

/// `validateRawExtension`.
fn raw(value: &Value, path: &FieldPath, errors: &mut Errors) {
    if value.is_null() {
        errors.required(path, "");
    } else if value.to_string().len() > MAX_TEXT {
        errors.too_long(path, MAX_TEXT);
    } else if value.as_object().is_none() {
        errors.invalid(path, "<value omitted>", "must be a valid JSON object");
    }
}

/// Requests of the claim that a constraint or a configuration is about.
fn references(about: &Value, claim: &Value, path: &FieldPath, errors: &mut Errors) {
    set(about, ("requests", ""), MAX_LIST, path, errors, &mut |name, path, errors| {
        reference(name.as_str().unwrap_or_default(), claim, path, errors);
    });
}

fn reference(name: &str, claim: &Value, path: &FieldPath, errors: &mut Errors) {
    const WORDS: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let segments: Vec<&str> = name.split('/').collect();
    if segments.len() > 2 {
        return errors.invalid(path, name, WORDS);
    }
    for segment in &segments {
        errors.each(path, segment, dns1123_label(segment));
    }
    let request = claim.items("requests").iter().find(|request| request.text("name") == segments[0]);
    let is_there = request.is_some_and(|request| match segments.get(1) {
        Some(sub) => request.items("firstAvailable").iter().any(|one| one.text("name") == *sub),
        None => true,
    });
    if !is_there {
        errors.invalid(path, name, WORDS);
    }
}

fn toleration(toleration: &Value, path: &FieldPath, errors: &mut Errors) {
    let (key, value) = (toleration.text("key"), toleration.text("value"));
    if !key.is_empty() {
        meta::label_name(key, &path.child("key"), errors);
    }
    match toleration.text("operator") {
        "Exists" if !value.is_empty() => {
            errors.invalid(&path.child("value"), value, "must be empty for operator `Exists`");
        }
        "Exists" => {}
        "Equal" => errors.each(&path.child("value"), value, label_value(value)),
        operator => errors.one_of(operator, &path.child("operator"), &["Equal", "Exists"]),
    }
    effect(toleration, path, errors);
}

pub(super) fn effect(value: &Value, path: &FieldPath, errors: &mut Errors) {
    let effect = value.text("effect");
    if !effect.is_empty() {
        errors.one_of(effect, &path.child("effect"), &["NoExecute", "NoSchedule", "None"]);
    }
}

/// A claim's status: who has it, and what was allocated.
pub fn claim_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let path = FieldPath::new("status");
    let (status, before) = (new.at("status"), old.at("status"));
    set(status, ("reservedFor", "uid"), 256, &path, errors, &mut |user, path, errors| {
        for field in ["resource", "name", "uid"] {
            errors.require_text(user, field, path);
        }
    });
    let allocation = status.at("allocation");
    let reserved = status.items("reservedFor");
    if !reserved.is_empty() && allocation.is_null() {
        let words = "may not be specified when `allocated` is not set";
        errors.forbidden(&path.child("reservedFor"), words);
    } else if new.has("metadata.deletionTimestamp")
        && reserved.iter().any(|user| !before.items("reservedFor").contains(user))
    {
        let words =
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.forbidden(&path.child("reservedFor"), words);
    }
    let path = path.child("allocation");
    if before.has("allocation") && !allocation.is_null() {
        errors.immutable_as(allocation, before.at("allocation"), &path, go::internal("AllocationResult"));
    } else if !allocation.is_null() {
        allocated(allocation, new.at("spec.devices"), &path, errors);
    }
}

fn allocated(allocation: &Value, claim: &Value, path: &FieldPath, errors: &mut Errors) {
    let (devices, own) = (allocation.at("devices"), path.child("devices"));
    each(devices, "results", MAX_LIST, &own, errors, &mut |result, path, errors| {
        reference(result.text("request"), claim, &path.child("request"), errors);
        csi_driver_name(result.text("driver"), &path.child("driver"), errors);
        pool_name(result.text("pool"), &path.child("pool"), errors);
        label(result, "device", path, errors);
        conditions(result, path, errors);
    });
    each(devices, "config", 2 * MAX_LIST, &own, errors, &mut |config, path, errors| {
        let source = config.text("source");
        errors.one_of(source, &path.child("source"), &["FromClaim", "FromClass"]);
        references(config, claim, path, errors);
        configuration(config, path, errors);
    });
    if allocation.has("nodeSelector") {
        node_selector(allocation.at("nodeSelector"), &path.child("nodeSelector"), errors);
    }
}

pub(super) fn pool_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    if name.len() > 253 {
        errors.too_long(path, 253);
    }
    for part in name.split('/') {
        errors.each(path, part, dns1123_subdomain(part));
    }
}

/// A name with or without a domain before it.
pub(super) fn name_in_domain(name: &str, path: &FieldPath, errors: &mut Errors) {
    let identifier = |id: &str, errors: &mut Errors| {
        if id.len() > MAX_LIST {
            errors.too_long(path, MAX_LIST);
        }
        errors.each(path, id, c_identifier(id).into_iter().collect());
    };
    match name.split('/').collect::<Vec<&str>>()[..] {
        [id] => identifier(id, errors),
        [domain, id] => {
            match domain {
                "" => errors.invalid(path, "", "the domain must not be empty"),
                domain => csi_driver_name(domain, path, errors),
            }
            match id {
                "" => errors.invalid(path, "", "the name must not be empty"),
                id => identifier(id, errors),
            }
        }
        _ => {}
    }
}

fn full_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    name_in_domain(name, path, errors);
    if !name.contains('/') {
        let words = "a fully qualified name must be a domain and a name separated by a slash";
        errors.invalid(path, name, words);
    }
}

/// Conditions that must hold, or must not, before a pod is bound.
pub(super) fn conditions(value: &Value, path: &FieldPath, errors: &mut Errors) {
    let (met, failed) = ("bindingConditions", "bindingFailureConditions");
    each(value, met, 4, path, errors, &mut label_name);
    each(value, failed, 4, path, errors, &mut label_name);
    for list in [met, failed] {
        let items = value.items(list);
        for (index, item) in items.iter().enumerate() {
            let path = path.child(list);
            let path = path.index(index);
            if items[..index].contains(item) {
                errors.duplicate(&path, item);
            }
            if list == failed && value.items(met).contains(item) {
                errors.invalid(
                    &path,
                    item,
                    "bindingFailureConditions must not overlap with bindingConditions",
                );
            }
        }
    }
    for (list, other) in [(met, failed), (failed, met)] {
        if value.items(list).is_empty() && !value.items(other).is_empty() {
            let words = [list, " are required to use ", other].concat();
            errors.invalid(&path.child(list), value.at(list), words);
        }
    }
}
