//! The kinds that controllers work with, each with the resource at which it is served.
//!
//! Picture to hold in mind: a key rack by the door, a labelled hook for each room that somebody enters.

use std::sync::LazyLock;

use crate::api::{Text, Value};
use crate::client::store::Store;
use crate::message::rest::Resource;

/// A kind and its resource.
pub struct Kind {
    pub api_version: Text,
    pub kind: Text,
    pub resource: Resource,
}

impl Kind {
    fn new(group: &str, version: &str, kind: &str, plural: &str) -> Kind {
        let resource = Resource::new(group, version, plural);
        Kind { api_version: resource.api_version().into(), kind: kind.into(), resource }
    }
    /// `object` with its kind and version, which objects out of a list do not carry.
    pub fn named(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if object.text("kind").is_empty() {
            object.set("kind", &self.kind);
            object.set("apiVersion", &self.api_version);
        }
        object
    }
    /// The object under `key` in `store`, named.
    pub fn find(&self, store: &Store, key: &str) -> Option<Value> {
        store.get(key).map(|object| self.named(object))
    }
    /// An owner reference that makes `owner`, of this kind, the controller.
    pub fn controller_reference(&self, owner: &Value) -> Value {
        crate::api::meta::controller_reference(owner, &self.api_version, &self.kind)
    }
}

macro_rules! kinds {
    ($($name:ident = $group:literal $version:literal $kind:literal $plural:literal;)*) => {$(
        pub static $name: LazyLock<Kind> = LazyLock::new(|| Kind::new($group, $version, $kind, $plural));
    )*};
}

kinds! {
    POD = "" "v1" "Pod" "pods";
    NODE = "" "v1" "Node" "nodes";
    NAMESPACE = "" "v1" "Namespace" "namespaces";
    SERVICE = "" "v1" "Service" "services";
    ENDPOINTS = "" "v1" "Endpoints" "endpoints";
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" "serviceaccounts";
    CONFIG_MAP = "" "v1" "ConfigMap" "configmaps";
    RESOURCE_QUOTA = "" "v1" "ResourceQuota" "resourcequotas";
    PERSISTENT_VOLUME = "" "v1" "PersistentVolume" "persistentvolumes";
    PERSISTENT_VOLUME_CLAIM = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims";
    REPLICATION_CONTROLLER = "" "v1" "ReplicationController" "replicationcontrollers";
    DEPLOYMENT = "apps" "v1" "Deployment" "deployments";
    REPLICA_SET = "apps" "v1" "ReplicaSet" "replicasets";
    DAEMON_SET = "apps" "v1" "DaemonSet" "daemonsets";
    STATEFUL_SET = "apps" "v1" "StatefulSet" "statefulsets";
    CONTROLLER_REVISION = "apps" "v1" "ControllerRevision" "controllerrevisions";
    JOB = "batch" "v1" "Job" "jobs";
    CRON_JOB = "batch" "v1" "CronJob" "cronjobs";
    LEASE = "coordination.k8s.io" "v1" "Lease" "leases";
    ENDPOINT_SLICE = "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices";
    POD_DISRUPTION_BUDGET = "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets";
    HORIZONTAL_POD_AUTOSCALER = "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers";
    VALIDATING_ADMISSION_POLICY = "admissionregistration.k8s.io" "v1" "ValidatingAdmissionPolicy" "validatingadmissionpolicies";
    STORAGE_CLASS = "storage.k8s.io" "v1" "StorageClass" "storageclasses";
    CERTIFICATE_SIGNING_REQUEST = "certificates.k8s.io" "v1" "CertificateSigningRequest" "certificatesigningrequests";
    CLUSTER_ROLE = "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles";
}

/// Writes a count where Go's `omitempty` would: a zero is left out.
pub fn set_count(object: &mut Value, path: &str, count: i64) {
    if count == 0 {
        object.remove(path);
    } else {
        object.set(path, count);
    }
}

/// A count, 0 where it is left out.
pub fn count(object: &Value, path: &str) -> i64 {
    object.integer(path).unwrap_or(0)
}
