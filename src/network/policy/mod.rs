//! NetworkPolicies as packet filter rules: what kube-router's network policy controller writes on a node.
//!
//! Picture to hold in mind: a doorman for every pod (KUBE-POD-FW), who stops each guest that comes or goes. For every
//! policy that names the pod he opens a book (KUBE-NWPLCY) with lists of names (ip sets). Who is in one of the books
//! gets a stamp; who has no stamp in the end is turned away. Pods that no policy names have a doorman who stamps all.
//!
//! - [`read`] which pods and addresses a policy means
//! - [`chains`] the rules
//! - [`felix`] the same as Calico writes them
//!
//! Follows kube-router v2.9 (`pkg/controllers/netpol`: `policy.go`, `pod.go`, `npc_iptables.go`). Where
//! kube-router lets more pass than the API says, the API is followed: a rule whose named ports no pod has lets nothing
//! pass; what a policy for both ways lets out of one of its pods it does not thereby let into another, so that each way
//! has a chain of its own; and what one range leaves out another may let in.

mod chains;
mod felix;
mod read;
#[cfg(test)]
mod tests;

use crate::api::{Text, Value};

use super::ipam::Cidr;
use super::netfilter::{Restore, RuleSet, Table};

pub use felix::{FROM_POD, TO_POD};
pub use read::{is_relevant, selects};

/// What names of its chains and sets begin with; chains with these names belong to nobody else.
pub const CHAINS: &[&str] = &["KUBE-POD-FW-", "KUBE-NWPLCY-", "KUBE-ROUTER-"];
pub const SETS: &[&str] = &["KUBE-SRC-", "KUBE-DST-"];
const SETS_6: &[&str] = &["inet6:KUBE-SRC-", "inet6:KUBE-DST-"];

/// The objects, each list sorted by namespace and name.
pub struct Objects<'a> {
    pub policies: Vec<&'a Value>,
    pub pods: Vec<&'a Value>,
    pub namespaces: Vec<&'a Value>,
    /// Whose addresses count: those of one family only.
    pub is_ipv6: bool,
}

impl Objects<'_> {
    /// A pod has an address of IPv6.
    pub fn are_dual(&self) -> bool {
        self.pods.iter().any(|pod| read::Pod::of(pod, true).is_some())
    }
}

/// The node whose rules they are.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node_name: Text,
    pub node_ip: Text,
    /// `--service-cluster-ip-range`.
    pub service_range: Option<Cidr>,
}

/// Somebody enforces policies on the node whose rules these are.
pub fn are_enforced(rules: &RuleSet) -> bool {
    is_of_felix(rules) || rules.chain(Table::Filter, chains::FORWARD).is_some()
}
/// Calico's Felix does.
pub fn is_of_felix(rules: &RuleSet) -> bool {
    rules.chain(Table::Filter, felix::FORWARD).is_some()
}

/// One full sync of one family. `version` makes the names of this sync's chains unlike those of the last.
pub fn rules(settings: &Settings, objects: &Objects, version: &str, is_calico: bool) -> Restore {
    let policies = read::policies(objects);
    let pods: Vec<read::Pod> = objects
        .pods
        .iter()
        .filter(|pod| pod.text("status.hostIP") == settings.node_ip)
        .filter_map(|pod| read::Pod::of(pod, objects.is_ipv6))
        .collect();
    if is_calico {
        return felix::write(&policies, &pods);
    }
    chains::write(settings, &policies, &pods, version, objects.is_ipv6)
}
