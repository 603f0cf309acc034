//! Horizontal pod autoscalers and scales.
//!
//! Picture to hold in mind: a thermostat: two bounds, sensors of known kinds, and how fast it may turn.
//!
//! Follows `pkg/apis/autoscaling/validation/validation.go`; `autoscaling/v1` is read in its own fields.

use super::errors::Errors;
use super::format::{dns1123_label, name_is_path_segment, name_is_subdomain};
use super::meta::{self, SPEC, STATUS};
use super::resources::{self, container_resource_name};
use crate::api::field::FieldPath;
use crate::api::value::Value;
use crate::arrange::Gather;

const MAX_PERIOD_SECONDS: i64 = 1800;
const MAX_WINDOW_SECONDS: i64 = 3600;

pub fn autoscaler(version: &str, autoscaler: &Value, errors: &mut Errors) {
    meta::object_meta(autoscaler, true, name_is_subdomain, errors);
    autoscaler_spec(version, autoscaler.at("spec"), &Value::Null, errors);
}

pub fn autoscaler_update(version: &str, new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    autoscaler_spec(version, new.at("spec"), old.at("spec"), errors);
}

fn autoscaler_spec(version: &str, spec: &Value, old: &Value, errors: &mut Errors) {
    let min = spec.integer("minReplicas");
    let max = spec.integer("maxReplicas").unwrap_or(0);
    let max_path = SPEC.child("maxReplicas");
    if let Some(min) = min.filter(|min| *min < 1) {
        errors.invalid(&SPEC.child("minReplicas"), min, "must be greater than or equal to 1");
    }
    if max == 0 {
        errors.required(&max_path, "must be set and greater than 0");
    } else if max < 0 {
        errors.invalid(&max_path, max, "must be greater than or equal to 1");
    }
    if min.is_some_and(|min| max < min) {
        errors.invalid(&max_path, max, "must be greater than or equal to `minReplicas`");
    }
    let (target, before, path) =
        (spec.at("scaleTargetRef"), old.at("scaleTargetRef"), SPEC.child("scaleTargetRef"));
    object_reference(target, &path, errors);
    let is_known = ["apiVersion", "kind"].iter().all(|name| target.text(name) == before.text(name));
    if before.is_null() || !is_known {
        // In the core group there is nothing else to scale.
        group_of_reference(target, target.text("kind") == "ReplicationController", &path, errors);
    }
    if version == "v1" {
        if let Some(target) = spec.integer("targetCPUUtilizationPercentage").filter(|target| *target < 1) {
            let metrics = SPEC.child("metrics");
            let path = metrics.index(0);
            let path = path.child("resource.target.averageUtilization");
            errors.invalid(&path, target, "must be greater than 0");
        }
        return;
    }
    let list = SPEC.child("metrics");
    let metrics = spec.items("metrics");
    for (index, metric) in metrics.iter().enumerate() {
        metric_spec(metric, &list.index(index), errors);
    }
    let scales_to_zero = |metric: &Value| matches!(metric.text("type"), "Object" | "External");
    if min == Some(0) && !metrics.iter().any(scales_to_zero) {
        let message =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.forbidden(&list, message);
    }
    for name in ["scaleUp", "scaleDown"] {
        if spec.at("behavior").has(name) {
            let path = SPEC.child("behavior");
            scaling_rules(spec.at("behavior").at(name), &path.child(name), errors);
        }
    }
}

/// `ValidateCrossVersionObjectReference`.
fn object_reference(reference: &Value, path: &FieldPath, errors: &mut Errors) {
    for name in ["kind", "name"] {
        if errors.require_text(reference, name, path) {
            errors.each(
                &path.child(name),
                reference.text(name),
                name_is_path_segment(reference.text(name), false),
            );
        }
    }
}

/// `ValidateAPIVersion`.
fn group_of_reference(reference: &Value, may_be_core: bool, path: &FieldPath, errors: &mut Errors) {
    let version = reference.text("apiVersion");
    if version.matches('/').count() > 1 {
        let message = format!("unexpected GroupVersion string: {version}");
        errors.invalid(&path.child("apiVersion"), version, message);
    } else if !may_be_core && version.split_once('/').is_none_or(|(group, _)| group.is_empty()) {
        errors.invalid(&path.child("apiVersion"), version, "apiVersion must specify API group");
    }
}

const SOURCES: &[(&str, &str)] = &[
    ("object", "Object"),
    ("external", "External"),
    ("pods", "Pods"),
    ("resource", "Resource"),
    ("containerResource", "ContainerResource"),
];
const SOURCE_TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

fn metric_spec(metric: &Value, path: &FieldPath, errors: &mut Errors) {
    let kind = metric.text("type");
    if kind.is_empty() {
        errors.required(&path.child("type"), "must specify a metric source type");
    }
    if !SOURCE_TYPES.contains(&kind) {
        errors.not_supported(&path.child("type"), kind, SOURCE_TYPES);
    }
    let present: Vec<&str> =
        SOURCES.iter().map(|(field, _)| *field).filter(|field| metric.has(field)).gather();
    if let Some(field) = present.first() {
        metric_source(field, metric.at(field), &path.child(field), errors);
    }
    let expected = SOURCES.iter().find(|(_, name)| *name == kind).map(|(field, _)| *field);
    match expected {
        Some(field) if !metric.has(field) => {
            errors.required(&path.child(field), "must populate information for the given metric source");
        }
        Some(_) => {}
        None => errors.not_supported(&path.child("type"), kind, SOURCE_TYPES),
    }
    if present.len() != 1 {
        for field in present.into_iter().filter(|field| Some(*field) != expected) {
            errors.forbidden(&path.child(field), "must populate the given metric source only");
        }
    }
}

fn metric_source(field: &str, source: &Value, path: &FieldPath, errors: &mut Errors) {
    let target = source.at("target");
    let target_path = path.child("target");
    match field {
        "object" | "external" | "pods" => {
            if field == "object" {
                let (object, path) = (source.at("describedObject"), path.child("describedObject"));
                object_reference(object, &path, errors);
                group_of_reference(object, true, &path, errors);
            }
            let name = source.text("metric.name");
            let name_path = path.child("metric.name");
            if name.is_empty() {
                errors.required(&name_path, "must specify a metric name");
            } else {
                errors.each(&name_path, name, name_is_path_segment(name, false));
            }
        }
        _ => {
            let name = source.text("name");
            if name.is_empty() {
                errors.required(&path.child("name"), "must specify a resource name");
            } else if field == "containerResource" {
                container_resource_name(name, &path.child("name"), errors);
            }
            if field == "containerResource" {
                let container = source.text("container");
                if container.is_empty() {
                    errors.required(&path.child("container"), "must specify a container");
                } else {
                    errors.each(&path.child("container"), container, dns1123_label(container));
                }
            }
        }
    }
    metric_target(target, &target_path, errors);
    let (value, average, utilization) =
        (target.has("value"), target.has("averageValue"), target.has("averageUtilization"));
    let average_path = target_path.child("averageValue");
    match field {
        "object" if !value && !average => {
            errors.required(&average_path, "must set either a target value or averageValue");
        }
        "external" if !value && !average => {
            errors.required(&average_path, "must set either a target value for metric or a per-pod target");
        }
        "external" if value && average => {
            let message = "may not set both a target value for metric and a per-pod target";
            errors.forbidden(&target_path.child("value"), message);
        }
        "pods" if !average => errors.required(&average_path, "must specify a positive target averageValue"),
        "resource" | "containerResource" if !utilization && !average => {
            let message = "must set either a target raw value or a target utilization";
            errors.required(&target_path.child("averageUtilization"), message);
        }
        "resource" | "containerResource" if utilization && average => {
            errors.forbidden(&average_path, "may not set both a target raw value and a target utilization");
        }
        _ => {}
    }
}

fn metric_target(target: &Value, path: &FieldPath, errors: &mut Errors) {
    let kind = target.text("type");
    if kind.is_empty() {
        errors.required(&path.child("type"), "must specify a metric target type");
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        errors.invalid(&path.child("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for name in ["value", "averageValue"] {
        let amount = target.at(name);
        if !amount.is_null() && (resources::is_negative(amount) || resources::is_zero(amount)) {
            errors.invalid(&path.child(name), amount, "must be positive");
        }
    }
    if let Some(percent) = target.integer("averageUtilization").filter(|percent| *percent < 1) {
        errors.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

fn scaling_rules(rules: &Value, path: &FieldPath, errors: &mut Errors) {
    let window_path = path.child("stabilizationWindowSeconds");
    if let Some(seconds) = rules.integer("stabilizationWindowSeconds") {
        if seconds < 0 {
            errors.invalid(&window_path, seconds, "must be greater than or equal to zero");
        }
        if seconds > MAX_WINDOW_SECONDS {
            errors.invalid(
                &window_path,
                seconds,
                format!("must be less than or equal to {MAX_WINDOW_SECONDS}"),
            );
        }
    }
    errors.one_of_if_given(rules, "selectPolicy", path, &["Disabled", "Max", "Min"]);
    let list = path.child("policies");
    if rules.items("policies").is_empty() {
        errors.required(&list, "must specify at least one Policy");
    }
    for (index, policy) in rules.items("policies").iter().enumerate() {
        let path = list.index(index);
        let kind = policy.text("type");
        if !matches!(kind, "Pods" | "Percent") {
            errors.not_supported(&path.child("type"), kind, &["Percent", "Pods"]);
        }
        for name in ["value", "periodSeconds"] {
            let number = policy.integer(name).unwrap_or(0);
            if number <= 0 {
                errors.invalid(&path.child(name), number, "must be greater than zero");
            }
            if name == "periodSeconds" && number > MAX_PERIOD_SECONDS {
                errors.invalid(
                    &path.child(name),
                    number,
                    format!("must be less than or equal to {MAX_PERIOD_SECONDS}"),
                );
            }
        }
    }
    if rules.has("tolerance") {
        resources::non_negative(rules.at("tolerance"), &path.child("tolerance"), errors);
    }
}

pub fn autoscaler_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    for name in ["currentReplicas", "desiredReplicas"] {
        errors.non_negative(new.at("status"), name, &STATUS);
    }
}

/// `ValidateScale`.
pub fn scale(scale: &Value, errors: &mut Errors) {
    meta::object_meta(scale, true, name_is_subdomain, errors);
    errors.non_negative(scale.at("spec"), "replicas", &SPEC);
}
