//! What the API server fills in where a manifest is silent.
//!
//! Picture to hold in mind: a form with the usual answers already pencilled in. Whatever the author wrote in
//! ink stays; every box left blank that Kubernetes has an answer for is filled before anyone (admission,
//! validation, storage) reads the form.
//!
//! Follows upstream's `SetDefaults_*` functions in `pkg/apis/*/v*/defaults.go`, in the order of
//! `zz_generated.defaults.go`, together with the `+default` markers of `staging/src/k8s.io/api`. A default never
//! changes an object that already has it: a pod made from a template that was defaulted goes on sharing the
//! template's lists.

mod admission;
mod batch;
mod cluster;
mod edit;
pub mod image;
mod pod;
mod service;
mod workloads;

use super::value::Value;

pub use edit::each;
pub use pod::{pod_spec, pod_template};
pub use service::externally_accessible;

/// Applies the defaults of one kind. Kinds without defaults, and unknown ones, are left alone.
pub fn apply(group: &str, version: &str, kind: &str, object: &mut Value) {
    match (group, kind) {
        ("", "Pod") => pod::pod(object),
        ("", "PodTemplate") => edit::within(object, "template", pod::pod_template),
        ("", "ReplicationController") => workloads::replication_controller(object),
        ("", "Service") => service::service(object),
        ("", "Endpoints") => service::endpoints(object),
        ("", "Namespace") => cluster::namespace(object),
        ("", "Node") => cluster::node(object),
        ("", "Secret") => edit::fill(object, "type", "Opaque"),
        ("", "LimitRange") => cluster::limit_range(object),
        ("", "PersistentVolume") => cluster::persistent_volume(object),
        ("", "PersistentVolumeClaim") => cluster::persistent_volume_claim(object),
        ("", "ResourceQuota") => cluster::resource_quota(object),
        ("apps", "Deployment") => workloads::deployment(object),
        ("apps", "ReplicaSet") => workloads::replica_set(object),
        ("apps", "DaemonSet") => workloads::daemon_set(object),
        ("apps", "StatefulSet") => workloads::stateful_set(object),
        ("batch", "Job") => batch::job(object),
        ("batch", "CronJob") => batch::cron_job(object),
        ("autoscaling", "HorizontalPodAutoscaler") => workloads::horizontal_pod_autoscaler(version, object),
        ("discovery.k8s.io", "EndpointSlice") => service::endpoint_slice(object),
        ("certificates.k8s.io", "CertificateSigningRequest")
        | ("networking.k8s.io", "ServiceCIDR")
        | ("apiregistration.k8s.io", "APIService") => edit::present(object, "status"),
        ("networking.k8s.io", "Ingress") => edit::present(object, "status.loadBalancer"),
        ("networking.k8s.io", "NetworkPolicy") => service::network_policy(object),
        ("networking.k8s.io", "IngressClass") => service::ingress_class(object),
        ("policy", "PodDisruptionBudget") => {
            for field in ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"] {
                edit::missing(object, &["status.", field].concat(), 0);
            }
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => cluster::role_binding(object),
        ("scheduling.k8s.io", "PriorityClass") => {
            edit::missing(object, "preemptionPolicy", "PreemptLowerPriority");
        }
        ("node.k8s.io", "RuntimeClass") => cluster::runtime_class(object),
        ("storage.k8s.io", "StorageClass") => cluster::storage_class(object),
        ("storage.k8s.io", "CSIDriver") => cluster::csi_driver(object),
        ("storage.k8s.io", "VolumeAttachment") => cluster::volume_attachment(object),
        ("storage.k8s.io", "CSIStorageCapacity") => cluster::csi_storage_capacity(object),
        ("admissionregistration.k8s.io", _) => admission::apply(kind, object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => admission::custom_resource_definition(object),
        ("flowcontrol.apiserver.k8s.io", _) => cluster::flow_control(kind, object),
        ("authentication.k8s.io", "TokenRequest") => edit::missing(object, "spec.expirationSeconds", 3600),
        ("resource.k8s.io", _) => cluster::dynamic_resources(kind, object),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a real control plane stored has all its defaults: applying them again must change nothing.
    #[test]
    fn real_objects_are_fixed_points() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/valid");
        let mut seen = 0;
        let mut changed = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let case: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            for before in case.items("objects") {
                let mut after = before.clone();
                let (group, version) =
                    before.text("apiVersion").split_once('/').unwrap_or(("", before.text("apiVersion")));
                apply(group, version, before.text("kind"), &mut after);
                seen += 1;
                if after != *before {
                    changed.push(format!("{}\n{before}\n{after}", path.display()));
                } else if !after.is_same(before) {
                    changed.push(format!("copied for nothing: {} {before}", path.display()));
                }
            }
        }
        assert!(seen > 200, "{seen}");
        assert!(changed.is_empty(), "{} of {seen}:\n{}", changed.len(), changed.join("\n\n"));
    }
}
