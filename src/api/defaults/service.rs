//! Services and what routes to them.
//!
//! Picture to hold in mind: a switchboard plate. Protocol, target port and traffic policy have a usual setting;
//! addresses and node ports are handed out later, by the API server's allocators.
//!
//! Follows `pkg/apis/core/v1/defaults.go`, `pkg/apis/discovery/v1/defaults.go` and
//! `pkg/apis/networking/v1/defaults.go`.

use super::edit::{each, fill, missing, null, present, within};
use crate::api::value::Value;
use crate::{array, object};

/// Whether traffic from outside the cluster reaches the service (`pkg/api/v1/service`).
pub fn externally_accessible(service: &Value) -> bool {
    match service.text("spec.type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !service.items("spec.externalIPs").is_empty(),
        _ => false,
    }
}

pub fn service(service: &mut Value) {
    present(service, "status.loadBalancer");
    present(service, "spec");
    fill(service, "spec.sessionAffinity", "None");
    match service.text("spec.sessionAffinity") {
        "None" if service.has("spec.sessionAffinityConfig") => {
            service.remove("spec.sessionAffinityConfig");
        }
        "ClientIP" if !service.has("spec.sessionAffinityConfig.clientIP.timeoutSeconds") => {
            service.set(
                "spec.sessionAffinityConfig",
                object! { "clientIP" => object! { "timeoutSeconds" => 10_800 } },
            );
        }
        _ => {}
    }
    fill(service, "spec.type", "ClusterIP");
    each(service, "spec.ports", |port| {
        fill(port, "protocol", "TCP");
        if matches!(port.at("targetPort"), Value::Null | Value::Integer(0))
            || port.at("targetPort").is_empty()
        {
            let number = port.integer("port").unwrap_or(0);
            port.set("targetPort", number);
        }
    });
    if externally_accessible(service) {
        fill(service, "spec.externalTrafficPolicy", "Cluster");
    }
    if matches!(service.text("spec.type"), "NodePort" | "LoadBalancer" | "ClusterIP") {
        missing(service, "spec.internalTrafficPolicy", "Cluster");
    }
    if service.text("spec.type") == "LoadBalancer" {
        missing(service, "spec.allocateLoadBalancerNodePorts", true);
        each(service, "status.loadBalancer.ingress", |ingress| {
            if !ingress.text("ip").is_empty() {
                missing(ingress, "ipMode", "VIP");
            }
        });
    }
}

pub fn endpoints(endpoints: &mut Value) {
    each(endpoints, "subsets", |subset| each(subset, "ports", |port| fill(port, "protocol", "TCP")));
}

pub fn endpoint_slice(slice: &mut Value) {
    null(slice, "ports");
    null(slice, "endpoints");
    each(slice, "ports", |port| {
        missing(port, "name", "");
        missing(port, "protocol", "TCP");
    });
    each(slice, "endpoints", |endpoint| present(endpoint, "conditions"));
}

pub fn network_policy(policy: &mut Value) {
    present(policy, "spec.podSelector");
    if policy.items("spec.policyTypes").is_empty() {
        let egress = !policy.items("spec.egress").is_empty();
        policy.set("spec.policyTypes", if egress { array!["Ingress", "Egress"] } else { array!["Ingress"] });
    }
    for direction in ["spec.ingress", "spec.egress"] {
        each(policy, direction, |rule| each(rule, "ports", |port| fill(port, "protocol", "TCP")));
    }
}

pub fn ingress_class(class: &mut Value) {
    within(class, "spec.parameters", |parameters| missing(parameters, "scope", "Cluster"));
}
