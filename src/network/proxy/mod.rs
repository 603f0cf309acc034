//! What kube-proxy makes of Services and EndpointSlices: the rules of one node.
//!
//! Picture to hold in mind: a sign painter with two lists, the services (which address is asked for) and their
//! endpoints (who answers). For each service the painter prepares the signs of one crossing; together with a
//! short list of where each crossing is, they make the rule book of the node.
//!
//! - [`service`] services, port by port
//! - [`endpoints`] endpoints, and which of them a node uses
//! - [`iptables`] the rules
//!
//! Follows `pkg/proxy` and `pkg/proxy/iptables` of Kubernetes 1.36, for IPv4.

pub mod endpoints;
pub mod iptables;
pub mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::shared_map::SharedMap;

use super::ipam::Cidr;
use super::netfilter::Restore;
use endpoints::Endpoint;
use iptables::ServiceRules;
use service::{PortName, ServicePort};

/// What does not change while a kube-proxy runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node_name: Text,
    pub node_ip: Option<core::net::IpAddr>,
    /// `clusterCIDR`: whose packets count as a pod's (`detectLocalMode: ClusterCIDR`).
    pub cluster_cidr: Option<Cidr>,
    /// `masqueradeAll`.
    pub masquerades_all: bool,
}

/// One node's services as rules; a clone shares all of them.
#[derive(Clone, Debug, Default)]
pub struct Proxier {
    /// By service and port, so in the order of their names.
    rules: SharedMap<PortName, Arc<ServiceRules>>,
    /// Endpoints behind all ports together: above a thousand comments are left out.
    endpoint_count: usize,
    /// The node's own zone, for topology hints.
    zone: Text,
    has_jumps: bool,
}

/// `largeClusterEndpointsThreshold`.
const LARGE_CLUSTER_ENDPOINTS: usize = 1000;

/// The key `namespace/name` of the Service that a slice belongs to.
pub fn service_of_slice(slice: &Value) -> Option<Text> {
    let name = meta::label(slice, "kubernetes.io/service-name").filter(|name| !name.is_empty())?;
    Some(arcstr::format!("{}/{name}", meta::namespace(slice)))
}

impl Proxier {
    /// Sets the node's zone (`topology.kubernetes.io/zone`); true if everything must be computed anew.
    pub fn set_zone(&mut self, zone: &str) -> bool {
        let is_changed = self.zone != zone;
        if is_changed {
            self.zone = zone.into();
        }
        is_changed
    }
    pub fn zone(&self) -> &str {
        &self.zone
    }
    pub fn is_large(&self) -> bool {
        self.endpoint_count > LARGE_CLUSTER_ENDPOINTS
    }
    pub fn port_count(&self) -> usize {
        self.rules.len()
    }

    /// Computes the rules of one service anew (`None`: it is gone); the chains that differ now.
    pub fn update(
        &mut self,
        settings: &Settings,
        key: &str,
        service: Option<&Value>,
        slices: &[&Value],
        restore: &mut Restore,
    ) {
        let ports = service.map(ServicePort::all).unwrap_or_default();
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let old: Vec<PortName> = self.ports_of(namespace, name).cloned().collect();
        let mut kept = Vec::new();
        let is_large = self.is_large();
        for port in ports {
            let endpoints = Endpoint::all(&port.name, slices, &settings.node_name);
            let chosen = endpoints::categorize(&endpoints, &port, &settings.node_name, &self.zone);
            let new = iptables::rules_of(settings, &port, &chosen, endpoints.len(), is_large);
            self.replace(&port.name, Some(new), restore);
            kept.push(port.name);
        }
        for gone in old.iter().filter(|old| !kept.contains(old)) {
            self.replace(gone, None, restore);
        }
    }

    fn ports_of(&self, namespace: &str, name: &str) -> impl Iterator<Item = &PortName> {
        let from = PortName::first(namespace, name);
        self.rules
            .from(&from)
            .map(|(port, _)| port)
            .take_while(move |port| port.namespace == from.namespace && port.name == from.name)
    }

    fn replace(&mut self, port: &PortName, new: Option<ServiceRules>, restore: &mut Restore) {
        let old = match &new {
            Some(_) => self.rules.get(port).cloned(),
            None => self.rules.remove(port),
        };
        let chains = |rules: Option<&ServiceRules>| rules.map_or(Vec::new(), |rules| rules.chains.clone());
        let (before, after) = (chains(old.as_deref()), chains(new.as_ref()));
        for (name, chain) in &after {
            if !before.iter().any(|(other, was)| other == name && was == chain) {
                restore.chains.push((super::netfilter::Table::Nat, name.clone(), Some(chain.clone())));
            }
        }
        for (name, _) in before.iter().filter(|(name, _)| !after.iter().any(|(other, _)| other == name)) {
            restore.chains.push((super::netfilter::Table::Nat, name.clone(), None));
        }
        self.endpoint_count += new.as_ref().map_or(0, |rules| rules.endpoint_count);
        self.endpoint_count -= old.as_ref().map_or(0, |rules| rules.endpoint_count);
        if let Some(new) = new {
            self.rules.insert(port.clone(), Arc::new(new));
        }
    }

    /// Adds the chains that every sync writes: where each service's crossing is.
    pub fn finish(&mut self, restore: &mut Restore) {
        iptables::top_chains(self.rules.values().map(|rules| &**rules), restore);
        if !std::mem::replace(&mut self.has_jumps, true) {
            restore.jumps = iptables::jumps();
        }
    }
}
