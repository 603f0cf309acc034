//! What stands behind a Service: endpoint-controller and endpointslice-controller.
//!
//! Picture to hold in mind: a switchboard directory: under each service's name the extensions that answer for
//! it now. One clerk keeps the old single page (Endpoints), another the new loose leaves (EndpointSlices), and
//! a third copies hand-written pages onto leaves (mirroring).
//!
//! This file holds what they share, after `k8s.io/endpointslice/util`.

mod mirroring;
mod slices;
mod subsets;
#[cfg(test)]
mod tests;

pub use mirroring::EndpointSliceMirroringController;
pub use slices::EndpointSliceController;
pub use subsets::EndpointsController;

use crate::api::{Text, Value, meta, time};
use crate::client::runner::Keys;
use crate::client::store::key_of;
use crate::client::{Delta, DeltaType, Store};
use crate::sorted::SortedMap;

use super::pods;

const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Whether `pod` answers for `service`.
fn selects(service: &Value, pod: &Value) -> bool {
    let selector = service.map("spec.selector");
    !selector.is_empty() && selector.iter().all(|(key, value)| meta::labels(pod).get(key) == Some(value))
}

/// Adds the services that `pod` answers for, or answered for before it changed.
fn add_services(delta: &Delta, services: &Store, keys: &mut Keys) {
    let pod = &delta.object;
    let old = delta.old.as_ref().filter(|_| delta.kind == DeltaType::Updated);
    let labels_changed = old.is_some_and(|old| {
        meta::labels(old) != meta::labels(pod)
            || old.text("spec.hostname") != pod.text("spec.hostname")
            || old.text("spec.subdomain") != pod.text("spec.subdomain")
    });
    if old.is_some_and(|old| !labels_changed && !concerns_endpoints(old, pod)) {
        return;
    }
    for service in services.in_namespace(meta::namespace(pod)) {
        let is_concerned =
            selects(service, pod) || (labels_changed && old.is_some_and(|old| selects(service, old)));
        if is_concerned {
            keys.add(key_of(service));
        }
    }
}

/// Whether a change of a pod changes its endpoint.
fn concerns_endpoints(old: &Value, new: &Value) -> bool {
    meta::is_deleting(old) != meta::is_deleting(new)
        || pods::is_ready(old) != pods::is_ready(new)
        || pods::is_terminal(old) != pods::is_terminal(new)
        || old.at("status.podIPs") != new.at("status.podIPs")
        || old.text("status.podIP") != new.text("status.podIP")
        || old.text("spec.nodeName") != new.text("spec.nodeName")
}

fn belongs_in_endpoints(pod: &Value, include_terminating: bool) -> bool {
    !pods::is_terminal(pod)
        && !pod.text("status.podIP").is_empty()
        && (include_terminating || !meta::is_deleting(pod))
}
/// The pod's host name, where the service makes it one of DNS.
fn hostname(pod: &Value, service: &Value) -> Option<Text> {
    let name = pod.shared_text("spec.hostname");
    let is_of_service = pod.text("spec.subdomain") == meta::name(service);
    (!name.is_empty() && is_of_service).then_some(name)
}
/// The number of the port that `service_port` means on `pod`.
fn find_port(pod: &Value, service_port: &Value) -> Option<i64> {
    let target = service_port.at("targetPort");
    match target {
        Value::Integer(number) => Some(*number),
        Value::String(name) => {
            let sidecars = pod
                .items("spec.initContainers")
                .iter()
                .filter(|container| container.text("restartPolicy") == "Always");
            pod.items("spec.containers")
                .iter()
                .chain(sidecars)
                .flat_map(|container| container.items("ports"))
                .find(|port| {
                    port.text("name") == name.as_str()
                        && port.text("protocol") == service_port.text("protocol")
                })
                .and_then(|port| port.integer("containerPort"))
        }
        _ => service_port.integer("port"),
    }
}
fn target_reference(pod: &Value) -> Value {
    crate::object! {
        "kind" => "Pod",
        "namespace" => pod.at("metadata.namespace"),
        "name" => pod.at("metadata.name"),
        "uid" => pod.at("metadata.uid"),
    }
}
fn is_headless(service: &Value) -> bool {
    matches!(service.text("spec.clusterIP"), "None" | "")
}

/// When what stands behind each service last changed, for measuring how long it takes to tell.
#[derive(Clone, Default)]
struct TriggerTimes {
    services: SortedMap<Text, Triggers>,
}

#[derive(Clone, Default)]
struct Triggers {
    service_us: i64,
    pods_us: SortedMap<Text, i64>,
}

impl TriggerTimes {
    /// The time of the first change since the last call, in microseconds since 1970; -1 for none.
    fn compute(&mut self, key: &Text, service: &Value, pods: &[Value]) -> i64 {
        let micros = |text: &str| time::parse_rfc3339(text).unwrap_or(0);
        let of_pod = |pod: &Value| match meta::condition(pod, "Ready") {
            Some(ready) => micros(ready.text("lastTransitionTime")),
            None => micros(meta::creation_timestamp(pod)),
        };
        let created_us = micros(meta::creation_timestamp(service));
        let known = self.services.get(key).cloned();
        let before = known.clone().unwrap_or_default();
        let mut first = i64::MAX;
        let mut now = Triggers { service_us: created_us, pods_us: SortedMap::new() };
        for pod in pods {
            let at = of_pod(pod);
            let name = pod.shared_text("metadata.name");
            if at > before.pods_us.get(&name).copied().unwrap_or(i64::MIN) {
                first = first.min(at);
            }
            now.pods_us.insert(name, at);
        }
        if created_us > before.service_us {
            first = first.min(created_us);
        }
        self.services.insert(key.clone(), now);
        match known {
            None => created_us,
            Some(_) if first == i64::MAX => -1,
            Some(_) => first,
        }
    }
    fn forget(&mut self, key: &str) {
        self.services.remove(key);
    }
}

/// Writes the annotation, or takes it away for want of a time.
fn set_trigger_time(object: &mut Value, micros: i64) {
    if micros < 0 {
        meta::remove_annotation(object, TRIGGER_TIME);
    } else {
        meta::set_annotation(object, TRIGGER_TIME, time::rfc3339_of(micros.div_euclid(1_000_000)));
    }
}
