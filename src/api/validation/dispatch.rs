//! Which checks belong to which kind.
//!
//! Picture to hold in mind: the signpost at the entrance of the inspection hall.

use super::errors::Errors;
use super::format::name_is_subdomain;
use super::{meta, pod, pod_update, storage, workloads};
use crate::api::value::Value;

pub fn create(group: &str, version: &str, kind: &str, object: &Value, errors: &mut Errors) {
    let _ = version;
    match (group, kind) {
        ("", "Pod") => pod::create(object, errors),
        ("", "PodTemplate") => {
            meta::object_meta(object, true, name_is_subdomain, errors);
            pod::pod_template(object.at("template"), &crate::api::field::FieldPath::new("template"), errors);
        }
        ("", "ReplicationController") => workloads::replication_controller(object, errors),
        ("", "PersistentVolume") => storage::volume(object, errors),
        ("", "PersistentVolumeClaim") => storage::claim(object, errors),
        ("apps", "Deployment") => workloads::deployment(object, errors),
        ("apps", "ReplicaSet") => workloads::replica_set(object, errors),
        ("apps", "DaemonSet") => workloads::daemon_set(object, errors),
        ("apps", "StatefulSet") => workloads::stateful_set(object, errors),
        ("apps", "ControllerRevision") => workloads::controller_revision(object, errors),
        _ => {}
    }
}

pub fn update(group: &str, version: &str, kind: &str, new: &Value, old: &Value, errors: &mut Errors) {
    let _ = version;
    match (group, kind) {
        ("", "Pod") => pod_update::update(new, old, errors),
        ("", "PodTemplate") => {
            meta::object_meta_update(new, old, errors);
            pod::pod_template(new.at("template"), &crate::api::field::FieldPath::new("template"), errors);
        }
        ("", "ReplicationController") => workloads::replication_controller_update(new, old, errors),
        ("", "PersistentVolume") => storage::volume_update(new, old, errors),
        ("", "PersistentVolumeClaim") => storage::claim_update(new, old, errors),
        ("apps", "Deployment") => workloads::deployment_update(new, old, errors),
        ("apps", "ReplicaSet") => workloads::replica_set_update(new, old, errors),
        ("apps", "DaemonSet") => workloads::daemon_set_update(new, old, errors),
        ("apps", "StatefulSet") => workloads::stateful_set_update(new, old, errors),
        ("apps", "ControllerRevision") => workloads::controller_revision_update(new, old, errors),
        _ => meta::object_meta_update(new, old, errors),
    }
}

pub fn status(group: &str, kind: &str, new: &Value, old: &Value, errors: &mut Errors) {
    match (group, kind) {
        ("", "Pod") => pod_update::status(new, old, errors),
        ("", "ReplicationController") | ("apps", _) => workloads::status(kind, new, old, errors),
        ("", "PersistentVolume") => storage::volume_status(new, old, errors),
        ("", "PersistentVolumeClaim") => storage::claim_status(new, old, errors),
        _ => meta::object_meta_update(new, old, errors),
    }
}
