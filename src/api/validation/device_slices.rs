//! Slices: which devices a driver has to offer, and what is known of them.
//!
//! Picture to hold in mind: the labels on the shelves of a hire shop: what stands there, where, and what is left of it.
//!
//! Follows `pkg/apis/resource/validation/validation.go`.

use super::affinity::node_selector;
use super::devices::{MAX_LIST, conditions, each, effect, label, name_in_domain, pool_name, set};
use super::errors::{Errors, NOT_POSITIVE};
use super::format::{dns1123_label, dns1123_subdomain, label_value, name_is_subdomain};
use super::go;
use super::meta::{self, SPEC};
use super::resources::{amount, shown};
use super::volume_source::csi_driver_name;
use crate::api::field::FieldPath;
use crate::api::value::Value;

/// What a driver offers; `old`: what it offered before.
pub fn slice(slice: &Value, old: Option<&Value>, errors: &mut Errors) {
    match old {
        Some(old) => meta::object_meta_update(slice, old, errors),
        None => meta::object_meta(slice, false, name_is_subdomain, errors),
    }
    let spec = slice.at("spec");
    csi_driver_name(spec.text("driver"), &SPEC.child("driver"), errors);
    let pool = SPEC.child("pool");
    pool_name(spec.text("pool.name"), &pool.child("name"), errors);
    let count = spec.integer("pool.resourceSliceCount").unwrap_or_default();
    if count <= 0 {
        errors.invalid(&pool.child("resourceSliceCount"), count, NOT_POSITIVE);
    }
    let generation = spec.integer("pool.generation").unwrap_or_default();
    if generation < 0 {
        let words = "must be greater than or equal to zero";
        errors.invalid(&pool.child("generation"), generation, words);
    }
    if let Some(old) = old {
        let before = old.at("spec");
        errors.immutable(spec.at("pool.name"), before.at("pool.name"), &pool.child("name"));
        for field in ["driver", "nodeName"] {
            errors.immutable(spec.at(field), before.at(field), &SPEC.child(field));
        }
    }
    let is_per_device = spec.is_true("perDeviceNodeSelection");
    let choices = place(spec, &SPEC, "must be either unset or set to a non-empty string", errors);
    let nodes = spec.at("nodeSelector");
    if !nodes.is_null() && nodes.items("nodeSelectorTerms").len() != 1 {
        let terms = nodes.at("nodeSelectorTerms");
        let quoted = go::internal("[NodeSelectorTerm")(terms);
        let path = SPEC.child("nodeSelector");
        let words = "must have exactly one node selector term";
        errors.invalid(&path.child("nodeSelectorTerms"), quoted, words);
    }
    only_true(spec, "perDeviceNodeSelection", &SPEC, errors);
    one_place(
        &choices.into_iter().chain(is_per_device.then_some("`perDeviceNodeSelection`")).collect::<Vec<_>>(),
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        ", but multiple fields are set",
        &SPEC,
        errors,
    );
    if spec.has("sharedCounters") && spec.has("devices") {
        errors.invalid(&SPEC, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    let devices = spec.items("devices");
    let is_advanced = devices.iter().any(|device| {
        let lists = |attribute: &Value| LISTS.iter().any(|list| attribute.has(list));
        !device.items("taints").is_empty()
            || !device.items("consumesCounters").is_empty()
            || device.map("attributes").iter().any(|(_, value)| lists(value))
    });
    let most = if is_advanced { 64 } else { 128 };
    set(spec, ("devices", "name"), most, &SPEC, errors, &mut |one, path, errors| {
        device(one, is_per_device, path, errors);
    });
    set(spec, ("sharedCounters", "name"), 8, &SPEC, errors, &mut |counters, path, errors| {
        if errors.require_text(counters, "name", path) {
            label(counters, "name", path, errors);
        }
        amounts(counters, path, errors);
    });
}

const LISTS: [&str; 4] = ["ints", "bools", "strings", "versions"];

/// Where a slice or a device can be reached: the fields that say so.
fn place(value: &Value, path: &FieldPath, empty: &str, errors: &mut Errors) -> Vec<&'static str> {
    let mut fields = Vec::new();
    match value.at("nodeName").as_str() {
        Some("") => errors.invalid(&path.child("nodeName"), "", empty),
        Some(name) => {
            fields.push("`nodeName`");
            errors.each(&path.child("nodeName"), name, dns1123_subdomain(name));
        }
        None => {}
    }
    if value.has("nodeSelector") {
        fields.push("`nodeSelector`");
        node_selector(value.at("nodeSelector"), &path.child("nodeSelector"), errors);
    }
    only_true(value, "allNodes", path, errors);
    if value.is_true("allNodes") {
        fields.push("`allNodes`");
    }
    fields
}

fn only_true(value: &Value, field: &str, path: &FieldPath, errors: &mut Errors) {
    if value.at(field).as_bool() == Some(false) {
        errors.invalid(&path.child(field), false, "must be either unset or set to true");
    }
}

fn one_place(fields: &[&str], words: &str, more: &str, path: &FieldPath, errors: &mut Errors) {
    match fields {
        [] => errors.required(path, words),
        [_] => {}
        _ => errors.invalid(path, ["{", &fields.join(", "), "}"].concat(), [words, more].concat()),
    }
}

fn device(device: &Value, is_per_device: bool, path: &FieldPath, errors: &mut Errors) {
    label(device, "name", path, errors);
    let (attributes, capacity) = (device.map("attributes"), device.map("capacity"));
    let count = attributes.len() + capacity.len();
    if count > MAX_LIST {
        let words = "the total number of attributes and capacities must not exceed 32";
        errors.invalid(path, count as u64, words);
    }
    let values =
        |attribute: &Value| LISTS.iter().map(|list| attribute.items(list).len()).sum::<usize>().max(1);
    let count: usize = attributes.iter().map(|(_, value)| values(value)).sum();
    if count > 48 {
        errors.invalid(path, count as u64, "the total number of attribute values must not exceed 48");
    }
    for (name, value) in attributes.iter() {
        name_in_domain(name, &path.child("attributes"), errors);
        attribute(value, &path.child("attributes").key(name), errors);
    }
    for (name, value) in capacity.iter() {
        name_in_domain(name, &path.child("capacity"), errors);
        if value.has("requestPolicy") {
            let path = path.child("capacity");
            let path = path.key(name);
            let path = path.child("requestPolicy");
            match device.is_true("allowMultipleAllocations") {
                true => policy(value, &path, errors),
                false => errors.forbidden(&path, "allowMultipleAllocations must be true"),
            }
        }
    }
    each(device, "taints", 16, path, errors, &mut |taint, path, errors| {
        meta::label_name(taint.text("key"), &path.child("key"), errors);
        let value = taint.text("value");
        errors.each(&path.child("value"), value, label_value(value));
        errors.require_text(taint, "effect", path);
        effect(taint, path, errors);
    });
    set(device, ("consumesCounters", "counterSet"), 2, path, errors, &mut |used, path, errors| {
        if errors.require_text(used, "counterSet", path) {
            label(used, "counterSet", path, errors);
        }
        amounts(used, path, errors);
    });
    if is_per_device {
        const WORDS: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
        let fields = place(device, path, "must not be empty", errors);
        one_place(&fields, WORDS, "", path, errors);
    } else if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| device.has(field)) {
        let words = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
        errors.invalid(path, Value::Null, words);
    }
    conditions(device, path, errors);
}

/// Counters by their names.
fn amounts(value: &Value, path: &FieldPath, errors: &mut Errors) {
    let (counters, path) = (value.map("counters"), path.child("counters"));
    if counters.is_empty() {
        errors.required(&path, "");
    } else if counters.len() > MAX_LIST {
        errors.too_many(&path, counters.len(), MAX_LIST);
    } else {
        for name in counters.keys() {
            errors.each(&path, name, dns1123_label(name));
        }
    }
}

fn attribute(attribute: &Value, path: &FieldPath, errors: &mut Errors) {
    let mut count = ["int", "bool"].iter().filter(|field| attribute.has(field)).count();
    for field in ["string", "version"] {
        if let Some(text) = attribute.at(field).as_str() {
            count += 1;
            attribute_text(field, text, &path.child(field), errors);
        }
    }
    for list in LISTS {
        if !attribute.has(list) {
            continue;
        }
        count += 1;
        let (items, path) = (attribute.items(list), path.child(list));
        if items.is_empty() {
            errors.invalid(&path, attribute.at(list), "must not be empty if specified");
        }
        for (index, item) in items.iter().enumerate() {
            attribute_text(list, item.as_str().unwrap_or_default(), &path.index(index), errors);
        }
    }
    match count {
        0 => errors.invalid(path, "", "exactly one value must be specified"),
        1 => {}
        _ => {
            let quoted = go::internal("DeviceAttribute")(attribute);
            errors.invalid(path, quoted, "exactly one value must be specified");
        }
    }
}

fn attribute_text(field: &str, text: &str, path: &FieldPath, errors: &mut Errors) {
    if field.starts_with("version") && !is_semantic(text) {
        errors.invalid(path, text, "must be a string compatible with semver.org spec 2.0.0");
    }
    if text.len() > 64 {
        errors.too_long(path, 64);
    }
}

/// `1.2.3-alpha.1+build`.
fn is_semantic(version: &str) -> bool {
    let number = |text: &str| {
        text == "0"
            || !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let (rest, build) = version.split_once('+').map_or((version, None), |(rest, build)| (rest, Some(build)));
    let (core, release) = rest.split_once('-').map_or((rest, None), |(core, word)| (core, Some(word)));
    let is_part =
        |text: &str| word(text) && (number(text) || text.bytes().any(|byte| !byte.is_ascii_digit()));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && release.is_none_or(|release| release.split('.').all(is_part))
        && build.is_none_or(|build| build.split('.').all(word))
}

/// How much of a capacity may be asked for.
fn policy(capacity: &Value, path: &FieldPath, errors: &mut Errors) {
    let (most, policy) = (amount(capacity.at("value")), capacity.at("requestPolicy"));
    let (values, range) = (policy.items("validValues"), policy.at("validRange"));
    let usual = policy.at("default");
    if values.is_empty() && range.is_null() {
        return;
    }
    if !values.is_empty() && !range.is_null() {
        let words = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
        return errors.forbidden(path, words);
    }
    let field = if range.is_null() { "validValues" } else { "validRange" };
    if usual.is_null() {
        return errors.required(&path.child("default"), ["required when ", field, " is defined"].concat());
    }
    let (path, wanted) = (path.child(field), amount(usual));
    let larger = |what: &str| [what, " is larger than capacity value: ", &most.to_string()].concat();
    if range.is_null() {
        for (index, pair) in values.windows(2).enumerate() {
            if amount(&pair[0]) > amount(&pair[1]) {
                let words = "values must be sorted in ascending order";
                errors.invalid(&path.index(index + 1), shown(&pair[1]), words);
            }
        }
        if values.len() > 10 {
            errors.too_many(&path, values.len(), 10);
        }
        let kept = if values.len() > 10 { &[] } else { values };
        for (index, option) in kept.iter().enumerate() {
            if amount(option) > most {
                errors.invalid(&path.index(index), shown(option), larger("option"));
            }
        }
        for (index, option) in kept.iter().enumerate() {
            if kept[..index].iter().any(|other| amount(other).value() == amount(option).value()) {
                errors.duplicate(&path.index(index), amount(option).value().to_string());
            }
        }
        if kept.iter().all(|option| amount(option) != wanted) {
            let words = "default value is not valid according to the requestPolicy";
            errors.invalid(&path, shown(usual), words);
        }
        return;
    }
    if !range.has("min") {
        return errors.required(&path.child("min"), "required when validRange is defined");
    }
    let least = amount(range.at("min"));
    let mut check = |is_wrong: bool, field: &str, value: String, words: String| {
        if is_wrong {
            errors.invalid(&path.child(field), value, words);
        }
    };
    check(least > most, "min", least.to_string(), larger("min"));
    check(wanted < least, "min", wanted.to_string(), format!("default is less than min: {least}"));
    let upper = range.has("max").then(|| amount(range.at("max")));
    if let Some(upper) = upper {
        check(least > upper, "max", least.to_string(), format!("min is larger than max: {upper}"));
        check(upper > most, "max", upper.to_string(), larger("max"));
        check(wanted > upper, "max", wanted.to_string(), format!("default is more than max: {upper}"));
    }
    if range.has("step") {
        let step = amount(range.at("step"));
        let one = least + step;
        check(one > most, "step", step.to_string(), larger(&format!("one step {one}")));
        for value in std::iter::once(wanted).chain(upper) {
            let is_wrong = step.value() != 0
                && value.value().wrapping_sub(least.value()).wrapping_rem(step.value()) != 0;
            let words = format!("value is not a multiple of a given step ({step}) from ({least})");
            check(is_wrong, "step", value.to_string(), words);
        }
    }
}
