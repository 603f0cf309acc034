//! What a policy says: pods, ranges and ports, with every selector looked up.
//!
//! Picture to hold in mind: the secretary who turns "all from accounting" into a list of names.

use core::net::IpAddr;

use crate::api::selector::LabelSelector;
use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;
use crate::network::ipam::Cidr;
use crate::network::packet::Protocol;

use super::Objects;

/// A pod with an address of its own.
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: Text,
    pub name: Text,
    pub address: IpAddr,
    /// Its service account.
    pub account: Text,
}

impl Pod {
    /// `None`: policies do not concern it (`isNetPolActionable`).
    pub fn of(pod: &Value, is_ipv6: bool) -> Option<Pod> {
        let is_finished = matches!(pod.text("status.phase"), "Failed" | "Succeeded");
        if is_finished || pod.is_true("spec.hostNetwork") {
            return None;
        }
        let addresses = pod.items("status.podIPs").iter().map(|one| one.text("ip"));
        let own = addresses.chain([pod.text("status.podIP")]).filter_map(|text| text.parse::<IpAddr>().ok());
        let address = own.into_iter().find(|own| own.is_ipv6() == is_ipv6)?;
        let (namespace, name) = (pod.shared_text("metadata.namespace"), pod.shared_text("metadata.name"));
        Some(Pod { namespace, name, address, account: pod.shared_text("spec.serviceAccountName") })
    }
}

/// Whether a changed pod may change rules (`isPodUpdateNetPolRelevant`).
pub fn is_relevant(old: &Value, new: &Value) -> bool {
    ["status.phase", "status.podIP", "status.podIPs", "status.hostIP", "metadata.labels"]
        .iter()
        .any(|field| old.at(field) != new.at(field))
}

/// A port with its protocol: of all numbers, one, or some in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub protocol: Protocol,
    pub numbers: Option<(u16, u16)>,
}

/// A port's name as the pods that have it know it: the number, and their addresses.
#[derive(Clone, Debug)]
pub struct NamedPort {
    pub port: Port,
    pub addresses: Vec<IpAddr>,
}

/// Some of a policy's peers, or all the world, by some ports or all.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    /// No peers are named: everybody.
    pub is_of_all: bool,
    pub pods: Vec<IpAddr>,
    /// Blocks of ranges, with those that are left out of a larger one.
    pub blocks: Vec<Vec<(Cidr, bool)>>,
    pub is_of_all_ports: bool,
    pub ports: Vec<Port>,
    pub named_ports: Vec<NamedPort>,
}

#[derive(Clone, Debug)]
pub struct Policy {
    pub namespace: Text,
    pub name: Text,
    pub pods: Vec<IpAddr>,
    /// `None`: it says nothing of what comes in.
    pub ingress: Option<Vec<Allowance>>,
    pub egress: Option<Vec<Allowance>>,
}

pub fn policies(objects: &Objects) -> Vec<Policy> {
    objects.policies.iter().map(|policy| Reader { objects, policy }.read()).collect()
}

struct Reader<'a> {
    objects: &'a Objects<'a>,
    policy: &'a Value,
}

/// What does not parse has never passed validation: it means nobody.
fn selector(value: &Value) -> LabelSelector {
    LabelSelector::from_value(value).unwrap_or_else(|_| LabelSelector::nothing())
}

/// Whether `policy` is about `pod`.
pub fn selects(policy: &Value, pod: &Value) -> bool {
    meta::namespace(policy) == meta::namespace(pod)
        && !pod.is_true("spec.hostNetwork")
        && selector(policy.at("spec.podSelector")).matches(meta::labels(pod))
}

impl<'a> Reader<'a> {
    fn read(&self) -> Policy {
        let namespace = self.policy.text("metadata.namespace");
        let selected = self.pods(namespace, &selector(self.policy.at("spec.podSelector")));
        let has =
            |kind: &str| self.policy.items("spec.policyTypes").iter().any(|one| one.as_str() == Some(kind));
        let rules = |field: &str, peers: &str, pods: Option<&[&Value]>| {
            self.policy.items(field).iter().map(|rule| self.allowance(rule, peers, pods)).collect()
        };
        Policy {
            namespace: namespace.into(),
            name: self.policy.shared_text("metadata.name"),
            pods: self.addresses(&selected),
            ingress: has("Ingress").then(|| rules("spec.ingress", "from", Some(&selected))),
            egress: has("Egress").then(|| rules("spec.egress", "to", None)),
        }
    }

    fn pods(&self, namespace: &str, selector: &LabelSelector) -> Vec<&'a Value> {
        let is_meant =
            |pod: &&Value| meta::namespace(pod) == namespace && selector.matches(meta::labels(pod));
        self.objects.pods.iter().copied().filter(is_meant).collect()
    }

    /// `evalPodPeer`.
    fn peers(&self, peer: &Value) -> Vec<&'a Value> {
        let pods = match peer.get("podSelector") {
            Some(pods) => selector(pods),
            None => LabelSelector::everything(),
        };
        match peer.get("namespaceSelector") {
            Some(namespaces) => {
                let namespaces = selector(namespaces);
                let meant =
                    self.objects.namespaces.iter().filter(|one| namespaces.matches(meta::labels(one)));
                meant.flat_map(|namespace| self.pods(meta::name(namespace), &pods)).collect()
            }
            None if peer.has("podSelector") => self.pods(self.policy.text("metadata.namespace"), &pods),
            None => Vec::new(),
        }
    }

    /// `owners`: the pods whose ports a name means; the peers' own where there is none.
    fn allowance(&self, rule: &Value, field: &str, owners: Option<&[&Value]>) -> Allowance {
        let mut found = Allowance { is_of_all: rule.items(field).is_empty(), ..Allowance::default() };
        let mut peers = Vec::new();
        for peer in rule.items(field) {
            peers.extend(self.peers(peer));
            found.blocks.extend(Some(self.ranges(peer.at("ipBlock"))).filter(|block| !block.is_empty()));
        }
        found.pods = self.addresses(&peers);
        if owners.is_none() && found.is_of_all {
            peers = self.pods(self.policy.text("metadata.namespace"), &LabelSelector::everything());
        }
        let owners = owners.unwrap_or(&peers);
        found.is_of_all_ports = rule.items("ports").is_empty();
        for port in rule.items("ports") {
            let protocol = Protocol::parse(port.text("protocol")).unwrap_or(Protocol::Tcp);
            match port.at("port") {
                Value::Integer(first) => {
                    let number = |value: i64| u16::try_from(value).ok();
                    let last = port.integer("endPort").unwrap_or(*first).max(*first);
                    if let (Some(first), Some(last)) = (number(*first), number(last)) {
                        found.ports.push(Port { protocol, numbers: Some((first, last)) });
                    }
                }
                Value::String(name) => found.named_ports.extend(self.named_ports(owners, name, protocol)),
                _ => found.ports.push(Port { protocol, numbers: None }),
            }
        }
        found
    }

    fn addresses(&self, pods: &[&Value]) -> Vec<IpAddr> {
        let of = |pod: &&Value| Some(Pod::of(pod, self.objects.is_ipv6)?.address);
        let mut all: Vec<IpAddr> = pods.iter().filter_map(of).collect();
        all.arrange_by(IpAddr::cmp);
        all.dedup();
        all
    }

    /// `evalIPBlockPeer`: the kernel's sets know no range of everything, so two halves stand for it.
    fn ranges(&self, block: &Value) -> Vec<(Cidr, bool)> {
        let halves = |text: &str| -> Vec<Cidr> {
            let texts = match text {
                "::/0" => vec!["::/1", "8000::/1"],
                text if text.ends_with("/0") => vec!["0.0.0.0/1", "128.0.0.0/1"],
                text => vec![text],
            };
            let is_ipv6 = self.objects.is_ipv6;
            texts.into_iter().filter_map(Cidr::parse).filter(|range| range.is_ipv6() == is_ipv6).collect()
        };
        let mut found: Vec<(Cidr, bool)> =
            halves(block.text("cidr")).into_iter().map(|range| (range, false)).collect();
        for except in block.items("except").iter().filter_map(Value::as_str) {
            found.extend(halves(except).into_iter().map(|range| (range, true)));
        }
        found
    }

    fn named_ports(&self, pods: &[&Value], name: &str, protocol: Protocol) -> Vec<NamedPort> {
        let mut found: Vec<NamedPort> = Vec::new();
        for pod in pods {
            let Some(address) = Pod::of(pod, self.objects.is_ipv6).map(|pod| pod.address) else { continue };
            for port in pod.items("spec.containers").iter().flat_map(|one| one.items("ports")) {
                let is_it = port.text("name") == name
                    && Protocol::parse(port.text("protocol")).unwrap_or(Protocol::Tcp) == protocol;
                let Some(number) = port.integer("containerPort").filter(|_| is_it) else { continue };
                let Ok(number) = u16::try_from(number) else { continue };
                let port = Port { protocol, numbers: Some((number, number)) };
                match found.iter_mut().find(|one| one.port == port) {
                    Some(known) => known.addresses.push(address),
                    None => found.push(NamedPort { port, addresses: vec![address] }),
                }
            }
        }
        found
    }
}
