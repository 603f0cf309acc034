//! How pods get onto the network, and how packets find them.
//!
//! Picture to hold in mind: a fitter with a toolbox who is called to a newly built room (a network namespace):
//! the [`cni`] file on the wall says which tools to use, the [`ipam`] ledger which number to put on the door.
//!
//! - [`ipam`] addresses out of a range: the `host-local` plugin
//! - [`cni`] the network configuration file, and what a plugin makes of it
//! - [`bandwidth`] how fast a pod may receive and send
//! - [`dns`] names, as CoreDNS answers for them
//! - [`kernel`] interfaces, routes, rules and connections of one node
//! - [`show`] all that as `ip` and `conntrack` print it
//! - [`packet`] what rules and routes look at
//! - [`netfilter`] tables, chains and rules of a node's kernel
//! - [`ipvs`] the virtual servers of a node's kernel
//! - [`template`] answers of DNS that are made of the question
//! - [`policy`] the rules that kube-router makes of NetworkPolicies
//! - [`trace`] one packet's whole way over all nodes
//! - [`proxy`] the rules that kube-proxy makes of Services and EndpointSlices

pub mod bandwidth;
pub mod cni;
pub mod corefile;
pub mod dns;
pub mod ipam;
pub mod ipvs;
pub mod kernel;
pub mod netfilter;
pub mod packet;
pub mod policy;
pub mod portmap;
pub mod ports;
pub mod proxy;
pub mod show;
pub mod template;
pub mod trace;
