//! The control loops of kube-controller-manager, one file a controller.
//!
//! Picture to hold in mind: a hall of thermostats. Each looks at one pair of numbers, wanted and found, and
//! turns one knob by one notch towards the wanted one; none knows of the others, and the room becomes warm.
//!
//! Each controller is a [`crate::client::Controller`]: it says which news concerns which key, and how a key is
//! set right. [`manager`] is the process that runs them all. What several controllers need is in [`kinds`]
//! (resources by name), [`claim`] (adopting and releasing dependents), [`expectations`], [`consistency`], [`pods`] and
//! [`pod_control`], [`hash`].

pub mod certificates;
pub mod claim;
pub mod cluster_role_aggregation;
pub mod consistency;
pub mod cron_job;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod expectations;
pub mod garbage_collector;
pub mod hash;
pub mod job;
pub mod kinds;
pub mod manager;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod pod_control;
pub mod pod_gc;
pub mod pods;
pub mod replicaset;
pub mod resource_quota;
pub mod root_ca;
pub mod service_account;
pub mod statefulset;
pub mod storage;
pub mod taint_eviction;
pub mod ttl;
pub mod ttl_after_finished;
pub mod validating_admission_policy_status;

pub use manager::ControllerManager;
