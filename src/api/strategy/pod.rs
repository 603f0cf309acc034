//! What the API server itself decides about a pod when it takes one in.
//!
//! Picture to hold in mind: the registrar's stamp: first entry, pending, of such a class.
//!
//! Follows `pkg/registry/core/pod/strategy.go` and `pkg/apis/core/helper/qos`.

use crate::api::defaults::each;
use crate::api::quantity::Quantity;
use crate::api::value::Value;
use crate::sorted::SortedMap;
use crate::{array, object};

/// `PrepareForCreate`: generation 1, a fresh status, selectors completed from the pod's own labels.
pub fn prepare_for_create(pod: &mut Value) {
    pod.set("metadata.generation", 1);
    let class = qos_class(pod);
    let mut status = object! { "phase" => "Pending", "qosClass" => class };
    if !pod.items("spec.schedulingGates").is_empty() {
        status.set(
            "conditions",
            array![object! {
                "type" => "PodScheduled",
                "status" => "False",
                "reason" => "SchedulingGated",
                "message" => "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime" => Value::Null,
                "lastTransitionTime" => pod.at("metadata.creationTimestamp"),
            }],
        );
    }
    pod.set("status", status);
    if pod.has("spec.affinity") || pod.has("spec.topologySpreadConstraints") {
        complete_selectors(pod);
    }
}

/// `matchLabelKeys` and `mismatchLabelKeys` become expressions over this pod's labels (KEP-3633, KEP-3243).
fn complete_selectors(pod: &mut Value) {
    let labels = pod.map("metadata.labels").clone();
    let complete = |term: &mut Value| {
        if !term.has("labelSelector") {
            return;
        }
        for (keys, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
            for key in term.at(keys).clone().as_array().unwrap_or(&[]) {
                let Some(value) = key.as_str().and_then(|key| labels.get(key)) else { continue };
                let expression = object! { "key" => key, "operator" => operator, "values" => array![value] };
                term.at_mut("labelSelector.matchExpressions").make_array().push(expression);
            }
        }
    };
    for kind in ["podAffinity", "podAntiAffinity"] {
        each(pod, &format!("spec.affinity.{kind}.requiredDuringSchedulingIgnoredDuringExecution"), complete);
        each(
            pod,
            &format!("spec.affinity.{kind}.preferredDuringSchedulingIgnoredDuringExecution"),
            |weighted| {
                if weighted.has("podAffinityTerm") {
                    complete(weighted.at_mut("podAffinityTerm"));
                }
            },
        );
    }
    each(pod, "spec.topologySpreadConstraints", complete);
}

/// The class in the status, or the one that the spec amounts to.
pub fn qos_class(pod: &Value) -> &str {
    match pod.text("status.qosClass") {
        "" => computed_qos_class(pod),
        class => class,
    }
}

type Totals<'a> = SortedMap<&'a str, Quantity>;

/// Adds what a list says of cpu and memory; whether it says something of both.
fn add<'a>(totals: &mut Totals<'a>, list: &'a Value) -> bool {
    let mut found = 0;
    for (name, value) in list.as_object().into_iter().flat_map(|map| map.iter()) {
        if !matches!(name.as_str(), "cpu" | "memory") {
            continue;
        }
        let Some(amount) = Quantity::from_value(value).filter(|amount| amount.milli_value() > 0) else {
            continue;
        };
        found += 1;
        totals.entry(name.as_str()).and_modify(|sum| *sum = *sum + amount).or_insert(amount);
    }
    found == 2
}

/// `ComputePodQOS`.
pub fn computed_qos_class(pod: &Value) -> &'static str {
    let (mut requests, mut limits) = (Totals::new(), Totals::new());
    let mut guaranteed = true;
    let of_pod = pod.at("spec.resources");
    if of_pod.is_null() {
        for container in pod.items("spec.containers").iter().chain(pod.items("spec.initContainers")) {
            add(&mut requests, container.at("resources.requests"));
            guaranteed &= add(&mut limits, container.at("resources.limits"));
        }
    } else {
        add(&mut requests, of_pod.at("requests"));
        let both = add(&mut limits, of_pod.at("limits"));
        guaranteed &= both || of_pod.map("limits").is_empty();
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}
