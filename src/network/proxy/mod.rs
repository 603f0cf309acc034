//! What kube-proxy makes of Services and EndpointSlices: the rules of one node.
//!
//! Picture to hold in mind: a sign painter with two lists, the services (which address is asked for) and their
//! endpoints (who answers). For each service the painter prepares the signs of one crossing; together with a
//! short list of where each crossing is, they make the rule book of the node.
//!
//! - [`service`] services, port by port
//! - [`endpoints`] endpoints, and which of them a node uses
//! - [`iptables`], [`nftables`], [`ipvs`] the rules of each mode
//!
//! Follows `pkg/proxy` of Kubernetes 1.36, for IPv4.

pub mod endpoints;
pub mod iptables;
pub mod ipvs;
pub mod nftables;
pub mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::shared_map::SharedMap;

use super::ipam::Cidr;
use super::ipvs::VirtualServer;
use super::netfilter::{Chain, Leftover, PortEntry, Restore, Rule, Table};
use endpoints::Endpoint;
use service::{PortName, ServicePort};

/// `mode` of its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Iptables,
    Ipvs,
    Nftables,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Iptables, Mode::Ipvs, Mode::Nftables];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Iptables => "iptables",
            Mode::Ipvs => "ipvs",
            Mode::Nftables => "nftables",
        }
    }
    /// Where services have chains of their own, and what their names begin with.
    pub fn service_chains(self) -> (Table, &'static [&'static str]) {
        match self {
            Mode::Iptables => (Table::Nat, iptables::SERVICE_CHAINS),
            // IPVS has none.
            Mode::Ipvs => (Table::Nat, &[]),
            Mode::Nftables => (Table::KubeProxy, nftables::SERVICE_CHAINS),
        }
    }
    /// What other modes have left that is not in use in this one (`platformCleanup`).
    pub fn leftovers(self) -> Restore {
        let cleans: &[Leftover] = match self {
            Mode::Nftables => ipvs::AND_IPTABLES_LEFTOVERS,
            _ => &[Leftover::Chains(Table::KubeProxy, &[""])],
        };
        Restore { cleans, ..Restore::default() }
    }
}

/// What one port of one service brings into the rule book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRules {
    /// Lines of chains, and elements of sets, that all services share.
    shared: Vec<(Table, &'static str, Arc<Rule>)>,
    /// Its own chains.
    chains: Vec<(Text, Arc<Chain>)>,
    endpoint_count: usize,
    /// In ipvs mode: virtual servers, and entries of sets.
    servers: Vec<Arc<VirtualServer>>,
    entries: Vec<(&'static str, PortEntry)>,
}

impl ServiceRules {
    fn share(&mut self, (table, chain): (Table, &'static str), rule: Arc<Rule>) {
        self.shared.push((table, chain, rule));
    }
    fn chain(&mut self, name: &Text, rules: Vec<Arc<Rule>>) {
        self.chains.push((name.clone(), Arc::new(Chain { rules })));
    }
}

/// What all services bring to each of these places.
fn gather<'a, const N: usize>(
    places: [(Table, &'static str); N],
    services: impl Iterator<Item = &'a ServiceRules>,
) -> [Vec<Arc<Rule>>; N] {
    let mut all = [const { Vec::new() }; N];
    for (table, name, rule) in services.flat_map(|one| &one.shared) {
        if let Some(at) = places.iter().position(|place| *place == (*table, *name)) {
            all[at].push(rule.clone());
        }
    }
    all
}

/// What does not change while a kube-proxy runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node_name: Text,
    pub node_ip: Option<core::net::IpAddr>,
    /// `clusterCIDR`: whose packets count as a pod's (`detectLocalMode: ClusterCIDR`).
    pub cluster_cidr: Option<Cidr>,
    /// `masqueradeAll`.
    pub masquerades_all: bool,
    pub mode: Mode,
    /// `ipvs.scheduler`.
    pub scheduler: Text,
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

/// The same for an index.
pub fn services_of_slice(slice: &Value) -> Vec<Text> {
    service_of_slice(slice).into_iter().collect()
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
            let mut new = match settings.mode {
                Mode::Iptables => iptables::rules_of(settings, &port, &chosen, is_large),
                Mode::Ipvs => ipvs::rules_of(settings, &port, &chosen, &endpoints),
                Mode::Nftables => nftables::rules_of(settings, &port, &chosen),
            };
            new.endpoint_count = endpoints.len();
            self.replace(settings.mode, &port.name, Some(new), restore);
            kept.push(port.name);
        }
        for gone in old.iter().filter(|old| !kept.contains(old)) {
            self.replace(settings.mode, gone, None, restore);
        }
    }

    fn ports_of(&self, namespace: &str, name: &str) -> impl Iterator<Item = &PortName> {
        let from = PortName::first(namespace, name);
        self.rules
            .from(&from)
            .map(|(port, _)| port)
            .take_while(move |port| port.namespace == from.namespace && port.name == from.name)
    }

    fn replace(&mut self, mode: Mode, port: &PortName, new: Option<ServiceRules>, restore: &mut Restore) {
        let (table, _) = mode.service_chains();
        let old = match &new {
            Some(_) => self.rules.get(port).cloned(),
            None => self.rules.remove(port),
        };
        let chains = |rules: Option<&ServiceRules>| rules.map_or(Vec::new(), |rules| rules.chains.clone());
        let (before, after) = (chains(old.as_deref()), chains(new.as_ref()));
        for (name, chain) in &after {
            if !before.iter().any(|(other, was)| other == name && was == chain) {
                restore.chains.push((table, name.clone(), Some(chain.clone())));
            }
        }
        for (name, _) in before.iter().filter(|(name, _)| !after.iter().any(|(other, _)| other == name)) {
            restore.chains.push((table, name.clone(), None));
        }
        self.endpoint_count += new.as_ref().map_or(0, |rules| rules.endpoint_count);
        self.endpoint_count -= old.as_ref().map_or(0, |rules| rules.endpoint_count);
        if let Some(new) = new {
            self.rules.insert(port.clone(), Arc::new(new));
        }
    }

    /// Adds what every sync writes: where each service's crossing is. `service_ranges`: addresses that services get.
    pub fn finish(&mut self, settings: &Settings, service_ranges: &[Cidr], restore: &mut Restore) {
        let services = self.rules.values().map(|rules| &**rules);
        match settings.mode {
            Mode::Iptables => iptables::top_chains(services, restore),
            Mode::Ipvs => ipvs::all(settings, services, restore),
            Mode::Nftables => nftables::top_chains(settings, service_ranges, services, restore),
        }
        if !std::mem::replace(&mut self.has_jumps, true) {
            restore.jumps = match settings.mode {
                Mode::Iptables => iptables::jumps(),
                Mode::Ipvs => ipvs::jumps(),
                Mode::Nftables => Vec::new(),
            };
        }
    }
}
