//! The few kinds that are served in several versions, or under two groups, from one stored form.
//!
//! Picture to hold in mind: one deed in the archive and two translations at the counter.
//!
//! Follows `pkg/apis/autoscaling/v1/conversion.go` and `pkg/apis/events/v1/conversion.go`.

use crate::api::kind::ResourceInfo;
use crate::api::{Text, Value};

/// Whether objects of another group lie under the same keys: both `events` do.
pub(crate) fn is_shared(info: &ResourceInfo) -> bool {
    info.group == "events.k8s.io"
}

/// Pairs of paths: in core `Event`, in `events.k8s.io/v1` `Event`.
const EVENT_FIELDS: [(&str, &str); 6] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];
/// `reportingComponent` in core, `reportingController` in `events.k8s.io`.
const EVENT_REPORTER: (&str, &str) = ("reportingComponent", "reportingController");

/// A stored object as `api_version` shows it.
pub(crate) fn to_version(object: &Value, api_version: &str, kind: &str) -> Value {
    if object.text("apiVersion") == api_version {
        return object.clone();
    }
    let mut converted = object.clone();
    match (api_version, kind) {
        ("events.k8s.io/v1", "Event") => {
            for (core, new) in EVENT_FIELDS.iter().chain([&EVENT_REPORTER]) {
                rename(&mut converted, core, new);
            }
        }
        ("autoscaling/v1", "HorizontalPodAutoscaler") => autoscaler_to_v1(&mut converted),
        _ => {}
    }
    converted.set("apiVersion", Text::from(api_version));
    converted
}

/// What a client sent, as it is stored: `storage_api_version` is the stored version.
pub(crate) fn to_storage(object: &Value, storage_api_version: &str) -> Value {
    let mut converted = object.clone();
    match (object.text("apiVersion"), object.text("kind")) {
        ("events.k8s.io/v1", "Event") => {
            for (core, new) in EVENT_FIELDS.iter().chain([&EVENT_REPORTER]) {
                rename(&mut converted, new, core);
            }
            converted.set("apiVersion", "v1");
            return converted;
        }
        ("autoscaling/v1", "HorizontalPodAutoscaler") if storage_api_version == "autoscaling/v2" => {
            autoscaler_to_v2(&mut converted);
        }
        _ => {}
    }
    if object.text("apiVersion") != storage_api_version {
        converted.set("apiVersion", storage_api_version);
    }
    converted
}

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.set(to, value);
    }
}

fn is_cpu_utilization(metric: &Value) -> bool {
    metric.text("type") == "Resource"
        && metric.text("resource.name") == "cpu"
        && metric.text("resource.target.type") == "Utilization"
}

fn autoscaler_to_v1(autoscaler: &mut Value) {
    if autoscaler.has("status") {
        autoscaler.set_default("status.currentReplicas", 0);
    }
    let metrics = autoscaler.items("spec.metrics").to_vec();
    if let Some(cpu) = metrics.iter().find(|metric| is_cpu_utilization(metric)) {
        autoscaler
            .set("spec.targetCPUUtilizationPercentage", cpu.at("resource.target.averageUtilization").clone());
    }
    // What v1 cannot say goes into annotations, as upstream's round trip does.
    let rest: Vec<Value> = metrics.into_iter().filter(|metric| !is_cpu_utilization(metric)).collect();
    if !rest.is_empty() {
        crate::api::meta::set_annotation(
            autoscaler,
            "autoscaling.alpha.kubernetes.io/metrics",
            Value::from(rest).to_string(),
        );
    }
    autoscaler.remove("spec.metrics");
    if let Some(behavior) = autoscaler.remove("spec.behavior") {
        crate::api::meta::set_annotation(
            autoscaler,
            "autoscaling.alpha.kubernetes.io/behavior",
            behavior.to_string(),
        );
    }
    if let Some(conditions) = autoscaler.remove("status.conditions") {
        crate::api::meta::set_annotation(
            autoscaler,
            "autoscaling.alpha.kubernetes.io/conditions",
            conditions.to_string(),
        );
    }
    autoscaler.remove("status.currentMetrics");
}

fn autoscaler_to_v2(autoscaler: &mut Value) {
    let mut metrics = Vec::new();
    if let Some(percentage) = autoscaler.remove("spec.targetCPUUtilizationPercentage") {
        metrics.push(crate::object! {
            "type" => "Resource",
            "resource" => crate::object! {
                "name" => "cpu",
                "target" => crate::object! { "type" => "Utilization", "averageUtilization" => percentage },
            },
        });
    }
    for (annotation, path) in [
        ("autoscaling.alpha.kubernetes.io/metrics", "spec.metrics"),
        ("autoscaling.alpha.kubernetes.io/behavior", "spec.behavior"),
        ("autoscaling.alpha.kubernetes.io/conditions", "status.conditions"),
    ] {
        let Some(text) = crate::api::meta::annotation(autoscaler, annotation) else { continue };
        let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
        crate::api::meta::remove_annotation(autoscaler, annotation);
        if path == "spec.metrics" {
            metrics.extend(value.as_array().unwrap_or(&[]).iter().cloned());
        } else {
            autoscaler.set(path, value);
        }
    }
    if !metrics.is_empty() {
        autoscaler.set("spec.metrics", metrics);
    }
}
