//! Endpoints of a service's port, and which of them one node sends to.
//!
//! Picture to hold in mind: a waiting room seen by one receptionist: who is ready, who is leaving but still
//! answers, who sits on this floor; and the rules of the house on whom to send whom to.
//!
//! Follows `pkg/proxy/endpointslicecache.go` and `topology.go`.

use core::net::IpAddr;

use crate::api::{Text, Value};
use crate::arrange::{Arrange, Gather};
use crate::network::packet::Protocol;

use super::service::{PortName, ServicePort};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub port: u16,
    /// `10.244.1.2:80`.
    pub text: Text,
    pub is_local: bool,
    pub is_ready: bool,
    pub is_serving: bool,
    pub is_terminating: bool,
    pub zone_hints: Vec<Text>,
    pub node_hints: Vec<Text>,
}

/// The endpoints that a node uses for a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// For traffic policy `Cluster`.
    pub cluster: Vec<&'a Endpoint>,
    /// For traffic policy `Local`.
    pub local: Vec<&'a Endpoint>,
    /// Either.
    pub reachable: Vec<&'a Endpoint>,
    /// There is one somewhere in the cluster.
    pub has_any: bool,
}

impl Endpoint {
    /// The endpoints of a port over all of its service's slices, each once, by address.
    pub fn all(name: &PortName, slices: &[&Value], node: &str) -> Vec<Endpoint> {
        let mut all: Vec<Endpoint> = Vec::new();
        for slice in slices.iter().filter(|slice| slice.text("addressType") == "IPv4") {
            for port in slice.items("ports") {
                let protocol = Protocol::parse(port.text("protocol")).unwrap_or(Protocol::Tcp);
                let number = port.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
                if port.text("name") != name.port || protocol != name.protocol || number == 0 {
                    continue;
                }
                for one in slice.items("endpoints") {
                    let address = one.items("addresses").first().and_then(Value::as_str);
                    let Some(ip) = address.and_then(|text| text.parse().ok()) else { continue };
                    let endpoint = Endpoint::of(one, ip, number, node);
                    match all.iter_mut().find(|other| other.text == endpoint.text) {
                        // Of two at one address, the pod that is not leaving is meant.
                        Some(other) if !endpoint.is_terminating => *other = endpoint,
                        Some(_) => {}
                        None => all.push(endpoint),
                    }
                }
            }
        }
        all.arrange_by(|a, b| a.text.cmp(&b.text));
        all
    }

    fn of(one: &Value, ip: IpAddr, port: u16, node: &str) -> Endpoint {
        let condition = |name: &str, default: bool| {
            one.at("conditions").get(name).and_then(Value::as_bool).unwrap_or(default)
        };
        let hints = |path: &str| one.items(path).iter().map(|hint| hint.shared_text("name")).collect();
        Endpoint {
            ip,
            port,
            text: arcstr::format!("{}", std::net::SocketAddr::new(ip, port)),
            is_local: !node.is_empty() && one.text("nodeName") == node,
            is_ready: condition("ready", true),
            is_serving: condition("serving", true),
            is_terminating: condition("terminating", false),
            zone_hints: hints("hints.forZones"),
            node_hints: hints("hints.forNodes"),
        }
    }
    fn is_leaving_but_serving(&self) -> bool {
        self.is_serving && self.is_terminating
    }
}

/// `CategorizeEndpoints`.
pub fn categorize<'a>(all: &'a [Endpoint], port: &ServicePort, node: &str, zone: &str) -> Chosen<'a> {
    let mut chosen = Chosen::default();
    let filter = |wanted: &dyn Fn(&Endpoint) -> bool| all.iter().filter(|one| wanted(one)).gather();
    let mut topology = Topology::None;
    if port.uses_cluster_endpoints() {
        topology = topology_of(all, node, zone);
        chosen.cluster = filter(&|one| one.is_ready && topology.includes(one, node, zone));
        if chosen.cluster.is_empty() {
            chosen.cluster = filter(&Endpoint::is_leaving_but_serving);
        }
        chosen.has_any = !chosen.cluster.is_empty();
    }
    if !port.uses_local_endpoints() {
        chosen.reachable = chosen.cluster.clone();
        return chosen;
    }
    chosen.has_any |= all.iter().any(|one| one.is_ready || one.is_leaving_but_serving());
    chosen.local = filter(&|one| one.is_local && one.is_ready);
    let mut are_leaving = false;
    if chosen.local.is_empty() {
        chosen.local = filter(&|one| one.is_local && one.is_leaving_but_serving());
        are_leaving = !chosen.local.is_empty();
    }
    chosen.reachable = if !port.uses_cluster_endpoints() {
        chosen.local.clone()
    } else if topology == Topology::None && !are_leaving {
        chosen.cluster.clone()
    } else {
        let mut both = chosen.cluster.clone();
        for one in &chosen.local {
            if !both.iter().any(|other| other.text == one.text) {
                both.push(one);
            }
        }
        both.arrange_by(|a, b| a.text.cmp(&b.text));
        both
    };
    chosen
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Topology {
    None,
    SameZone,
    SameNode,
}

impl Topology {
    fn includes(self, one: &Endpoint, node: &str, zone: &str) -> bool {
        match self {
            Topology::None => true,
            Topology::SameZone => one.zone_hints.iter().any(|hint| hint == zone),
            Topology::SameNode => one.node_hints.iter().any(|hint| hint == node),
        }
    }
}

/// `topologyModeFromHints`: hints count only where every ready endpoint has one, and one of them is for here.
fn topology_of(all: &[Endpoint], node: &str, zone: &str) -> Topology {
    let ready = || all.iter().filter(|one| one.is_ready);
    if ready().next().is_none() {
        return Topology::None;
    }
    for (mode, hints) in [
        (Topology::SameNode, (|one: &Endpoint| one.node_hints.len()) as fn(&Endpoint) -> usize),
        (Topology::SameZone, |one| one.zone_hints.len()),
    ] {
        if ready().all(|one| hints(one) > 0) && ready().any(|one| mode.includes(one, node, zone)) {
            return mode;
        }
    }
    Topology::None
}
