//! Clusterarium: a Kubernetes cluster under glass.
//!
//! A plain library: the simulated cluster, without a DOM, a wall clock, a future or any I/O. Time, chance and
//! everything from outside come in as arguments. `docs/architecture.md` is the way in.

// The page as it is published is built small, but for the functions that say `optimize(speed)`: see `[profile.page]`.
#![cfg_attr(published, feature(optimize_attribute))]

pub mod api;
pub mod apiserver;
pub mod arrange;
pub mod benchmark;
pub mod calicoctl;
pub mod client;
pub mod cloud_controller;
pub mod cluster;
pub mod command;
pub mod console;
pub mod controllers;
pub mod coredns;
pub mod crictl;
pub mod etcd;
pub mod etcdctl;
pub mod fidelity;
#[cfg(feature = "gateway")]
pub mod gateway;
pub mod ingress_nginx;
pub mod kube_proxy;
pub mod kube_router;
pub mod kubectl;
pub mod kubelet;
pub mod language;
pub mod message;
pub mod network;
pub mod note;
pub mod picture;
pub mod playback;
pub mod scheduler;
pub mod shared_map;
pub mod shell;
pub mod sim;
pub mod sorted;
pub mod timer;
