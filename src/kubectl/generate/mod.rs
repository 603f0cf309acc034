//! The objects that `kubectl create KIND`, `run`, `expose` and `autoscale` make.
//!
//! Picture to hold in mind: rubber stamps, sorted into trays.

pub mod access;
pub mod config;
pub mod network;
pub mod workload;
