//! Whether an object is one that Kubernetes would take, and in which words it would refuse.
//!
//! Picture to hold in mind: the inspection hall. For each kind of goods there is a lane with its own list; the
//! lists share their small instruments (names, addresses, amounts). What is found wrong is written down in the
//! lane's fixed order and read out together at the end.
//!
//! Follows upstream's `Validate...` functions in `pkg/apis/*/validation` with the feature gates of 1.36 at their
//! defaults. Objects have been decoded against their schema and defaulted before.

pub mod address;
mod admission;
mod affinity;
mod autoscaling;
mod batch;
mod certificates;
mod cluster;
mod config;
mod container;
mod containers;
mod cron_job;
mod custom;
mod definition;
mod device_slices;
mod devices;
mod diff;
mod dispatch;
mod errors;
mod flow_control;
pub mod format;
mod go;
mod meta;
mod network;
mod path;
mod pod;
mod pod_update;
mod rbac;
mod registration;
pub mod resources;
mod security;
pub mod semantic;
mod service;
mod storage;
mod storage_class;
mod volume;
mod volume_source;
mod workloads;

pub use definition::{APPROVAL, approval, is_protected};
pub use pod_update::take;

use self::errors::Errors;
use super::custom::{CustomKind, CustomVersion};
use super::field::{BadValue, FieldError, FieldPath};
use super::value::Value;

/// What is wrong with the key of something that is said of a user beside his name.
pub fn user_extra(key: &str) -> Option<FieldError> {
    let mut errors = Errors::new();
    network::domain_prefixed_path(key, &FieldPath::ROOT.child("extra").child("key"), &mut errors);
    errors.into_list().into_iter().next()
}

/// A list of internal structs, as an error quotes it.
fn field_list(kind: &'static str, value: &Value) -> BadValue {
    let items = value.as_array().unwrap_or(&[]);
    let texts: Vec<String> = items.iter().map(|item| go::compact(kind, item)).collect();
    BadValue::Raw(format!("[{}]", texts.join(",")).into())
}

/// What is wrong with a new object: the causes of a refusal, in upstream's order; empty for a good one.
pub fn validate_create(group: &str, version: &str, kind: &str, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    dispatch::create(group, version, kind, object, &mut errors);
    errors.into_list()
}

/// What is wrong with an update of the main resource. Both objects have been through
/// `strategy::prepare_for_update`.
pub fn validate_update(group: &str, version: &str, kind: &str, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    dispatch::update(group, version, kind, new, old, &mut errors);
    errors.into_list()
}

/// What is wrong with an update of the status subresource.
pub fn validate_status_update(group: &str, kind: &str, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    dispatch::status(group, kind, new, old, &mut errors);
    errors.into_list()
}

/// What is wrong with a custom resource that is new, or that has changed from `old`.
pub fn validate_custom(
    kind: &CustomKind,
    version: &CustomVersion,
    object: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let mut errors = Errors::new();
    custom::resource(kind, version, object, old, &mut errors);
    errors.into_list()
}

/// What is wrong with an update of a custom resource's status.
pub fn validate_custom_status(version: &CustomVersion, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    custom::status(version, new, old, &mut errors);
    errors.into_list()
}

/// What is wrong with an update of a namespace's `finalize` subresource.
pub fn validate_namespace_finalize(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    config::namespace_finalize(new, old, &mut errors);
    errors.into_list()
}

/// What is wrong with an update of a pod's `ephemeralcontainers` subresource.
pub fn validate_ephemeral_containers(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    pod_update::ephemeral_containers(new, old, &mut errors);
    errors.into_list()
}

/// What is wrong with an update of a pod's `resize` subresource.
pub fn validate_resize(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    pod_update::resize(new, old, &mut errors);
    errors.into_list()
}

#[cfg(test)]
mod tests;
