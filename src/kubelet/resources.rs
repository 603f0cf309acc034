//! What a pod asks for in sum.
//!
//! Picture to hold in mind: a bill with the containers that run together added up, the init containers that
//! run one after another taken at their largest, and the overhead of the sandbox below the line.
//!
//! Follows `k8s.io/component-helpers/resource/helpers.go` (`PodRequests`, `PodLimits`).

use crate::api::{Map, Quantity, Text, Value};
use crate::arrange::Gather;
use crate::sorted::SortedMap;

use super::admission::{Taken, host_ports};

pub type ResourceList = SortedMap<Text, Quantity>;

fn list(value: &Value) -> ResourceList {
    let Some(map) = value.as_object() else { return ResourceList::new() };
    map.iter().filter_map(|(name, amount)| Some((name.clone(), Quantity::from_value(amount)?))).gather()
}
fn add(sum: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        let total = sum.get(name).map_or(*amount, |before| *before + *amount);
        sum.insert(name.clone(), total);
    }
}
fn raise(largest: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        if largest.get(name).is_none_or(|before| before < amount) {
            largest.insert(name.clone(), *amount);
        }
    }
}

pub fn is_sidecar(container: &Value) -> bool {
    container.text("restartPolicy") == "Always"
}

/// The sum of `kind` (`requests` or `limits`) over a pod's containers, with its overhead.
fn total(pod: &Value, kind: &str) -> ResourceList {
    let path = if kind == "requests" { "resources.requests" } else { "resources.limits" };
    let mut sum = ResourceList::new();
    for container in pod.items("spec.containers") {
        add(&mut sum, &list(container.at(path)));
    }
    // Sidecars that were started before an init container run beside it.
    let (mut sidecars, mut largest_init) = (ResourceList::new(), ResourceList::new());
    for container in pod.items("spec.initContainers") {
        let own = list(container.at(path));
        let mut at_this_time = own.clone();
        if is_sidecar(container) {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            at_this_time = sidecars.clone();
        } else {
            add(&mut at_this_time, &sidecars);
        }
        raise(&mut largest_init, &at_this_time);
    }
    raise(&mut sum, &largest_init);
    // What is asked for the pod as a whole goes before what its containers ask for.
    sum.extend(list(pod.at("spec").at(path)));
    for (name, amount) in list(pod.at("spec.overhead")) {
        match sum.get_mut(&name) {
            Some(total) => *total = *total + amount,
            None if kind == "requests" => drop(sum.insert(name, amount)),
            None => {}
        }
    }
    sum
}

pub fn pod_requests(pod: &Value) -> ResourceList {
    total(pod, "requests")
}
pub fn pod_limits(pod: &Value) -> ResourceList {
    total(pod, "limits")
}

/// What a pod asks for, worked out once: it changes only with the spec.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub taken: Taken,
    /// `status.allocatedResources`; `Null` when nothing is asked for.
    pub allocated: Value,
    /// `status.resources`.
    pub resources: Value,
}

impl Totals {
    pub fn of(pod: &Value) -> Totals {
        let (requests, limits) = (pod_requests(pod), pod_limits(pod));
        let mut resources = Value::object();
        let mut allocated = Value::Null;
        if !requests.is_empty() {
            allocated = to_value(&requests);
            resources.set("requests", &allocated);
        }
        if !limits.is_empty() {
            resources.set("limits", to_value(&limits));
        }
        Totals { taken: Taken { requests, ports: host_ports(pod) }, allocated, resources }
    }
}

pub fn to_value(list: &ResourceList) -> Value {
    Value::from(
        list.iter().map(|(name, amount)| (name.clone(), Value::from(amount.to_string()))).collect::<Map>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_added_up() {
        let cases = [
            (
                r#"{"containers":[{"resources":{"requests":{"cpu":"100m"}}},{"resources":{"requests":{"cpu":"50m","memory":"1Gi"}}}]}"#,
                r#"{"cpu":"150m","memory":"1Gi"}"#,
            ),
            (
                r#"{"containers":[{"resources":{"requests":{"cpu":"100m"}}}],"initContainers":[{"resources":{"requests":{"cpu":"1"}}}]}"#,
                r#"{"cpu":"1"}"#,
            ),
            (
                r#"{"containers":[{"resources":{"requests":{"cpu":"100m"}}}],
                    "initContainers":[{"restartPolicy":"Always","resources":{"requests":{"cpu":"50m"}}},{"resources":{"requests":{"cpu":"90m"}}}]}"#,
                r#"{"cpu":"150m"}"#,
            ),
            (
                r#"{"overhead":{"cpu":"250m"},"containers":[{"resources":{"requests":{"cpu":"250m"}}}]}"#,
                r#"{"cpu":"500m"}"#,
            ),
            (
                r#"{"resources":{"requests":{"cpu":"1"}},"containers":[{"resources":{"requests":{"cpu":"500m","memory":"1Mi"}}}]}"#,
                r#"{"cpu":"1","memory":"1Mi"}"#,
            ),
            (r#"{"containers":[{}]}"#, "{}"),
        ];
        for (spec, expected) in cases {
            let pod: Value = serde_json::from_str(&format!(r#"{{"spec":{spec}}}"#)).unwrap();
            assert_eq!(to_value(&pod_requests(&pod)).to_string(), expected);
        }
    }
}
