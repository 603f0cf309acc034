//! Which checks belong to which kind.
//!
//! Picture to hold in mind: the signpost at the entrance of the inspection hall.
//!
//! The order of whole functions on an update is that of each kind's `ValidateUpdate` in `pkg/registry/*/*/strategy.go`.

use super::errors::Errors;
use super::format::name_is_subdomain;
use super::{
    admission, autoscaling, batch, certificates, cluster, config, cron_job, definition, device_slices,
    devices, flow_control, meta, network, pod, pod_update, rbac, registration, service, storage,
    storage_class, workloads,
};
use crate::api::field::FieldPath;
use crate::api::value::Value;

pub fn create(group: &str, version: &str, kind: &str, object: &Value, errors: &mut Errors) {
    match group {
        "" => core(kind, object, errors),
        "apps" => match kind {
            "Deployment" => workloads::deployment(object, errors),
            "ReplicaSet" => workloads::replica_set(object, errors),
            "DaemonSet" => workloads::daemon_set(object, errors),
            "StatefulSet" => workloads::stateful_set(object, errors),
            "ControllerRevision" => workloads::controller_revision(object, errors),
            _ => {}
        },
        "batch" => match kind {
            "Job" => batch::job(object, errors),
            "CronJob" => cron_job::cron_job(object, errors),
            _ => {}
        },
        "autoscaling" => match kind {
            "HorizontalPodAutoscaler" => autoscaling::autoscaler(version, object, errors),
            "Scale" => autoscaling::scale(object, errors),
            _ => {}
        },
        "networking.k8s.io" => match kind {
            "NetworkPolicy" => network::network_policy(object, errors),
            "Ingress" => network::ingress(object, errors),
            "IngressClass" => network::ingress_class(object, errors),
            "IPAddress" => network::ip_address(object, errors),
            "ServiceCIDR" => network::service_cidr(object, errors),
            _ => {}
        },
        "storage.k8s.io" => match kind {
            "StorageClass" => storage_class::storage_class(object, errors),
            "VolumeAttachment" => storage_class::volume_attachment(object, errors),
            "CSINode" => storage_class::csi_node(object, errors),
            "CSIDriver" => storage_class::csi_driver(object, errors),
            "CSIStorageCapacity" => storage_class::csi_storage_capacity(object, errors),
            "VolumeAttributesClass" => storage_class::volume_attributes_class(object, errors),
            _ => {}
        },
        "rbac.authorization.k8s.io" => match kind {
            "Role" | "ClusterRole" => rbac::role(object, kind == "Role", errors),
            "RoleBinding" | "ClusterRoleBinding" => rbac::role_binding(object, kind == "RoleBinding", errors),
            _ => {}
        },
        "admissionregistration.k8s.io" => admission(kind, object, errors),
        "apiextensions.k8s.io" => definition::create(object, errors),
        "policy" if kind == "PodDisruptionBudget" => cluster::pod_disruption_budget(object, None, errors),
        "scheduling.k8s.io" if kind == "PriorityClass" => cluster::priority_class(object, errors),
        "node.k8s.io" if kind == "RuntimeClass" => cluster::runtime_class(object, errors),
        "coordination.k8s.io" if kind == "Lease" => cluster::lease(object, None, errors),
        "discovery.k8s.io" if kind == "EndpointSlice" => network::endpoint_slice(object, None, errors),
        "events.k8s.io" if kind == "Event" => config::event(group, object, errors),
        "certificates.k8s.io" => certificates::signing_request(object, errors),
        "apiregistration.k8s.io" => registration::api_service(object, errors),
        "flowcontrol.apiserver.k8s.io" => flow_control(kind, object, errors),
        "resource.k8s.io" => match kind {
            "ResourceClaim" => devices::claim(object, errors),
            "ResourceClaimTemplate" => devices::template(object, errors),
            "DeviceClass" => devices::class(object, None, errors),
            "ResourceSlice" => device_slices::slice(object, None, errors),
            _ => {}
        },
        _ => {}
    }
}

fn core(kind: &str, object: &Value, errors: &mut Errors) {
    match kind {
        "Pod" => pod::create(object, errors),
        "PodTemplate" => {
            meta::object_meta(object, true, name_is_subdomain, errors);
            pod::pod_template(object.at("template"), &FieldPath::new("template"), errors);
        }
        "ReplicationController" => workloads::replication_controller(object, errors),
        "Service" => service::service(object, errors),
        "Endpoints" => service::endpoints(object, None, errors),
        "ConfigMap" => config::config_map(object, errors),
        "Secret" => config::secret(object, errors),
        "ServiceAccount" => config::service_account(object, errors),
        "Namespace" => config::namespace(object, errors),
        "Event" => config::event("", object, errors),
        "Node" => cluster::node(object, errors),
        "LimitRange" => cluster::limit_range(object, errors),
        "ResourceQuota" => cluster::resource_quota(object, errors),
        "PersistentVolume" => storage::volume(object, errors),
        "PersistentVolumeClaim" => storage::claim(object, errors),
        _ => {}
    }
}

fn admission(kind: &str, object: &Value, errors: &mut Errors) {
    match kind {
        "ValidatingWebhookConfiguration" => admission::webhook_configuration(object, false, errors),
        "MutatingWebhookConfiguration" => admission::webhook_configuration(object, true, errors),
        "ValidatingAdmissionPolicy" => admission::validating_policy(object, errors),
        "MutatingAdmissionPolicy" => admission::mutating_policy(object, errors),
        "ValidatingAdmissionPolicyBinding" => admission::policy_binding(object, false, errors),
        "MutatingAdmissionPolicyBinding" => admission::policy_binding(object, true, errors),
        _ => {}
    }
}

pub fn update(group: &str, version: &str, kind: &str, new: &Value, old: &Value, errors: &mut Errors) {
    match group {
        "" => core_update(kind, new, old, errors),
        "apps" => match kind {
            "Deployment" => workloads::deployment_update(new, old, errors),
            "ReplicaSet" => workloads::replica_set_update(new, old, errors),
            "DaemonSet" => workloads::daemon_set_update(new, old, errors),
            "StatefulSet" => workloads::stateful_set_update(new, old, errors),
            "ControllerRevision" => workloads::controller_revision_update(new, old, errors),
            _ => meta::object_meta_update(new, old, errors),
        },
        "batch" => match kind {
            "Job" => {
                batch::job(new, errors);
                batch::job_update(new, old, errors);
            }
            "CronJob" => cron_job::cron_job_update(new, old, errors),
            _ => meta::object_meta_update(new, old, errors),
        },
        "autoscaling" => autoscaling::autoscaler_update(version, new, old, errors),
        "networking.k8s.io" => match kind {
            "NetworkPolicy" => network::network_policy_update(new, old, errors),
            "Ingress" => network::ingress_update(new, old, errors),
            "IngressClass" => network::ingress_class_update(new, old, errors),
            "IPAddress" => {
                network::ip_address(new, errors);
                network::ip_address_update(new, old, errors);
            }
            "ServiceCIDR" => network::service_cidr_update(new, old, errors),
            _ => meta::object_meta_update(new, old, errors),
        },
        "storage.k8s.io" => match kind {
            "StorageClass" => storage_class::storage_class_update(new, old, errors),
            "VolumeAttachment" => storage_class::volume_attachment_update(new, old, errors),
            "CSINode" => storage_class::csi_node_update(new, old, errors),
            "CSIDriver" => storage_class::csi_driver_update(new, old, errors),
            "CSIStorageCapacity" => storage_class::csi_storage_capacity_update(new, old, errors),
            "VolumeAttributesClass" => storage_class::volume_attributes_class_update(new, old, errors),
            _ => meta::object_meta_update(new, old, errors),
        },
        "rbac.authorization.k8s.io" => match kind {
            "Role" | "ClusterRole" => rbac::role_update(new, old, kind == "Role", errors),
            "RoleBinding" | "ClusterRoleBinding" => {
                rbac::role_binding_update(new, old, kind == "RoleBinding", errors);
            }
            _ => meta::object_meta_update(new, old, errors),
        },
        // Neither looks at what the metadata were.
        "admissionregistration.k8s.io" => admission(kind, new, errors),
        "apiextensions.k8s.io" => definition::update(new, old, errors),
        "policy" if kind == "PodDisruptionBudget" => cluster::pod_disruption_budget(new, Some(old), errors),
        "scheduling.k8s.io" if kind == "PriorityClass" => cluster::priority_class_update(new, old, errors),
        "node.k8s.io" if kind == "RuntimeClass" => cluster::runtime_class_update(new, old, errors),
        "coordination.k8s.io" if kind == "Lease" => cluster::lease(new, Some(old), errors),
        "discovery.k8s.io" if kind == "EndpointSlice" => network::endpoint_slice(new, Some(old), errors),
        "events.k8s.io" if kind == "Event" => config::event_update(group, new, old, errors),
        "certificates.k8s.io" => certificates::signing_request_update(new, old, errors),
        "apiregistration.k8s.io" => registration::api_service_update(new, old, errors),
        "flowcontrol.apiserver.k8s.io" => flow_control(kind, new, errors),
        "resource.k8s.io" => match kind {
            "ResourceClaim" => devices::claim_update(new, old, errors),
            "ResourceClaimTemplate" => devices::template_update(new, old, errors),
            "DeviceClass" => devices::class(new, Some(old), errors),
            "ResourceSlice" => device_slices::slice(new, Some(old), errors),
            _ => meta::object_meta_update(new, old, errors),
        },
        _ => meta::object_meta_update(new, old, errors),
    }
}

fn flow_control(kind: &str, object: &Value, errors: &mut Errors) {
    match kind {
        "FlowSchema" => flow_control::flow_schema(object, errors),
        _ => flow_control::priority_level(object, errors),
    }
}

fn core_update(kind: &str, new: &Value, old: &Value, errors: &mut Errors) {
    match kind {
        "Pod" => pod_update::update(new, old, errors),
        "PodTemplate" => {
            meta::object_meta_update(new, old, errors);
            pod::pod_template(new.at("template"), &FieldPath::new("template"), errors);
        }
        "ReplicationController" => workloads::replication_controller_update(new, old, errors),
        "Service" => service::service_update(new, old, errors),
        "Endpoints" => service::endpoints(new, Some(old), errors),
        "ConfigMap" => config::config_map_update(new, old, errors),
        "Secret" => config::secret_update(new, old, errors),
        "ServiceAccount" => {
            meta::object_meta_update(new, old, errors);
            config::service_account(new, errors);
        }
        "Namespace" => config::namespace_update(new, old, errors),
        "Event" => config::event_update("", new, old, errors),
        "Node" => cluster::node_update(new, old, errors),
        "LimitRange" => cluster::limit_range(new, errors),
        "ResourceQuota" => cluster::resource_quota_update(new, old, errors),
        "PersistentVolume" => {
            storage::volume(new, errors);
            storage::volume_update(new, old, errors);
        }
        "PersistentVolumeClaim" => storage::claim_update(new, old, errors),
        _ => meta::object_meta_update(new, old, errors),
    }
}

pub fn status(group: &str, kind: &str, new: &Value, old: &Value, errors: &mut Errors) {
    match (group, kind) {
        ("", "Pod") => pod_update::status(new, old, errors),
        ("", "ReplicationController") | ("apps", _) => workloads::status(kind, new, old, errors),
        ("", "Service") => service::service_status(new, old, errors),
        ("", "Namespace") => config::namespace_status(new, old, errors),
        ("", "Node") => cluster::node_changes(new, old, errors),
        ("", "ResourceQuota") => cluster::resource_quota_status(new, old, errors),
        ("", "PersistentVolume") => storage::volume_status(new, old, errors),
        ("", "PersistentVolumeClaim") => storage::claim_status(new, old, errors),
        ("batch", "Job") => batch::job_status(new, old, errors),
        // A CronJob's status is taken as it comes.
        ("batch", _) => {}
        ("autoscaling", _) => autoscaling::autoscaler_status(new, old, errors),
        ("networking.k8s.io", "Ingress") => network::ingress_status(new, old, errors),
        ("policy", "PodDisruptionBudget") => cluster::pod_disruption_budget_status(new, errors),
        ("resource.k8s.io", "ResourceClaim") => devices::claim_status(new, old, errors),
        ("apiextensions.k8s.io", _) => definition::status(new, old, errors),
        ("certificates.k8s.io", _) => certificates::signing_request_status(new, old, errors),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => {
            admission::validating_policy_status(new, errors);
        }
        _ => meta::object_meta_update(new, old, errors),
    }
}
