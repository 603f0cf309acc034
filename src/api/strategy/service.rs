//! Services, service accounts and endpoint slices.
//!
//! Picture to hold in mind: moving to another kind of shop: keys that only the old kind needed are handed back.
//!
//! Follows `pkg/registry/core/service/strategy.go` (`dropTypeDependentFields`),
//! `pkg/registry/core/serviceaccount/strategy.go` and `pkg/registry/discovery/endpointslice/strategy.go`.

use crate::api::defaults::{each, externally_accessible};
use crate::api::value::Value;
use crate::arrange::Arrange;
use crate::array;

fn needs_cluster_ip(service: &Value) -> bool {
    service.text("spec.type") != "ExternalName"
}
fn is_load_balancer(service: &Value) -> bool {
    service.text("spec.type") == "LoadBalancer"
}
fn needs_node_port(service: &Value) -> bool {
    service.text("spec.type") == "NodePort"
        || is_load_balancer(service)
            && service.at("spec.allocateLoadBalancerNodePorts") != &Value::Bool(false)
}
fn needs_health_check_port(service: &Value) -> bool {
    is_load_balancer(service) && service.text("spec.externalTrafficPolicy") == "Local"
}

/// A change of type drops what the old type alone needed, where the author did not change it.
pub fn drop_type_dependent_fields(new: &mut Value, old: &Value) {
    let drop_unchanged = |new: &mut Value, names: &[&str]| {
        for name in names {
            let path = format!("spec.{name}");
            if new.at(&path) == old.at(&path) {
                new.remove(&path);
            }
        }
    };
    if needs_cluster_ip(old) && !needs_cluster_ip(new) {
        if new.at("spec.clusterIPs") == old.at("spec.clusterIPs")
            && new.at("spec.clusterIP") == old.at("spec.clusterIP")
        {
            drop_unchanged(new, &["clusterIP", "clusterIPs"]);
        }
        drop_unchanged(new, &["ipFamilies", "ipFamilyPolicy"]);
    }
    let node_ports = |service: &Value| -> Vec<i64> {
        let ports = service.items("spec.ports").iter();
        let mut numbers: Vec<i64> = ports.map(|port| port.integer("nodePort").unwrap_or(0)).collect();
        numbers.arrange();
        numbers
    };
    if needs_node_port(old) && !needs_node_port(new) && node_ports(old) == node_ports(new) {
        each(new, "spec.ports", |port| drop(port.remove("nodePort")));
    }
    if needs_health_check_port(old) && !needs_health_check_port(new) {
        drop_unchanged(new, &["healthCheckNodePort"]);
    }
    if is_load_balancer(old) && !is_load_balancer(new) {
        drop_unchanged(new, &["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if externally_accessible(old) && !externally_accessible(new) {
        drop_unchanged(new, &["externalTrafficPolicy"]);
    }
    if !is_load_balancer(new) && new.has("status.loadBalancer.ingress") {
        new.set("status.loadBalancer", Value::object());
    }
}

/// `normalizeClusterIPs` on create: the singular field leads.
pub fn normalize_cluster_ips(new: &mut Value) {
    let first = new.shared_text("spec.clusterIP");
    if !first.is_empty() && new.items("spec.clusterIPs").is_empty() {
        new.set("spec.clusterIPs", array![first]);
    }
}

/// What precedes the preparation of an update: `patchAllocatedValues`, so that a manifest without the allocated
/// addresses and ports keeps them, and `normalizeClusterIPs`.
pub fn keep_allocated(new: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(new) {
        if new.text("spec.clusterIP").is_empty() && !old.text("spec.clusterIP").is_empty() {
            new.set("spec.clusterIP", old.at("spec.clusterIP"));
        }
        if new.items("spec.clusterIPs").is_empty() && !old.items("spec.clusterIPs").is_empty() {
            new.set("spec.clusterIPs", old.at("spec.clusterIPs"));
        }
    }
    if needs_node_port(old) && needs_node_port(new) {
        let node_port = |port: &Value| port.integer("nodePort").unwrap_or(0);
        let own: Vec<i64> = new.items("spec.ports").iter().map(node_port).collect();
        each(new, "spec.ports", |port| {
            let before =
                old.items("spec.ports").iter().rfind(|other| other.text("name") == port.text("name"));
            let before = before.map_or(0, node_port);
            if node_port(port) == 0 && before != 0 && !own.contains(&before) {
                port.set("nodePort", before);
            }
        });
    }
    let health = "spec.healthCheckNodePort";
    if needs_health_check_port(old)
        && needs_health_check_port(new)
        && new.integer(health).unwrap_or(0) == 0
        && old.has(health)
    {
        new.set(health, old.at(health));
    }
    let (was, now) = (old.text("spec.clusterIP"), new.text("spec.clusterIP"));
    if was != now && new.at("spec.clusterIPs") == old.at("spec.clusterIPs") {
        if now.is_empty() {
            new.remove("spec.clusterIPs");
        } else {
            let now = new.shared_text("spec.clusterIP");
            new.set("spec.clusterIPs", array![now]);
        }
    }
}

/// Of a reference to a secret only the name is kept.
pub fn clean_secret_references(account: &mut Value) {
    each(account, "secrets", |secret| {
        if secret.as_object().is_some_and(|fields| fields.len() > 1) {
            secret.make_object().retain(|name, _| name == "name");
        }
    });
}

/// The topology of the beta API is not taken in any more.
pub fn drop_topology(slice: &mut Value) {
    each(slice, "endpoints", |endpoint| drop(endpoint.remove("deprecatedTopology")));
}
