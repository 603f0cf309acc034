//! The default plugins, in the order in which they filter.
//!
//! Picture to hold in mind: a row of sieves, the cheap and coarse ones first.
//!
//! After `apis/config/v1/default_plugins.go`. Dynamic resources, CSI limits and volume zones are not simulated:
//! nothing in the cluster has them.

mod balanced_allocation;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;
#[cfg(test)]
mod tests;
mod volume_binding;

use super::framework::Plugin;

pub use volume_binding::{ClaimNeeds, claim_needs};

pub static PLUGINS: [&dyn Plugin; 11] = [
    &node_unschedulable::NodeUnschedulable,
    &node_name::NodeName,
    &taint_toleration::TaintToleration,
    &node_affinity::NodeAffinity,
    &node_ports::NodePorts,
    &node_resources_fit::NodeResourcesFit,
    &volume_binding::VolumeBinding,
    &pod_topology_spread::PodTopologySpread,
    &inter_pod_affinity::InterPodAffinity,
    &balanced_allocation::BalancedAllocation,
    &image_locality::ImageLocality,
];
