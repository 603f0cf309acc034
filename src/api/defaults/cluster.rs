//! The kinds that describe the cluster itself: namespaces, nodes, storage, limits, roles.
//!
//! Picture to hold in mind: the building rather than its tenants.
//!
//! Follows `pkg/apis/core/v1/defaults.go` and the `defaults.go` of storage, rbac, node, flowcontrol and resource.

use super::edit::{each, each_value, fill, fill_zero, missing, present, within};
use super::pod::volume_source;
use crate::api::validation::resources::{aggregate, is_huge_page, is_pod_level};
use crate::api::value::{Text, Value};
use crate::array;

/// The label that names a namespace to selectors.
pub const METADATA_NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub fn namespace(namespace: &mut Value) {
    let name = namespace.shared_text("metadata.name");
    if !name.is_empty()
        && namespace.map("metadata.labels").get(METADATA_NAME_LABEL).and_then(Value::as_str) != Some(&*name)
    {
        namespace.at_mut("metadata.labels").make_object().insert(Text::from(METADATA_NAME_LABEL), name);
    }
    present(namespace, "spec");
    fill(namespace, "status.phase", "Active");
}

pub fn node(node: &mut Value) {
    present(node, "spec");
    // The first of the ranges is written twice; where the two differ, the single one counts
    // (`pkg/apis/core/v1/conversion.go`).
    let first = node.items("spec.podCIDRs").first().cloned().unwrap_or_default();
    let one = node.at("spec.podCIDR").clone();
    if node.text("spec.podCIDR").is_empty() {
        if !first.is_null() {
            node.set("spec.podCIDR", first);
        }
    } else if one != first {
        node.set("spec.podCIDRs", Value::array([one]));
    }
    if !node.has("status.allocatable") && node.has("status.capacity") {
        let capacity = node.at("status.capacity").clone();
        node.set("status.allocatable", capacity);
    }
    missing(node, "status.daemonEndpoints.kubeletEndpoint.Port", 0);
    if !node.has("status.nodeInfo") {
        let mut information = Value::object();
        for field in [
            "machineID",
            "systemUUID",
            "bootID",
            "kernelVersion",
            "osImage",
            "containerRuntimeVersion",
            "kubeletVersion",
            "kubeProxyVersion",
            "operatingSystem",
            "architecture",
        ] {
            information.set(field, "");
        }
        node.set("status.nodeInfo", information);
    }
}

/// A container's missing default limit is the max, its missing default request the default limit or the min.
pub fn limit_range(range: &mut Value) {
    present(range, "spec");
    each(range, "spec.limits", |item| {
        if item.text("type") != "Container" {
            return;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            for (name, quantity) in item.map(from).clone().iter() {
                if !item.map(to).contains_key(name) {
                    item.at_mut(to).make_object().insert(name.clone(), quantity.clone());
                }
            }
        }
    });
}

pub fn resource_quota(quota: &mut Value) {
    present(quota, "spec");
    present(quota, "status");
}

pub fn persistent_volume(volume: &mut Value) {
    fill(volume, "status.phase", "Pending");
    fill(volume, "spec.persistentVolumeReclaimPolicy", "Retain");
    missing(volume, "spec.volumeMode", "Filesystem");
    within(volume, "spec", volume_source);
}

pub fn persistent_volume_claim(claim: &mut Value) {
    fill(claim, "status.phase", "Pending");
    missing(claim, "spec.volumeMode", "Filesystem");
    present(claim, "spec.resources");
}

pub fn role_binding(binding: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    fill(binding, "roleRef.apiGroup", GROUP);
    missing(binding, "roleRef.kind", "");
    missing(binding, "roleRef.name", "");
    each(binding, "subjects", |subject| {
        if matches!(subject.text("kind"), "User" | "Group") {
            fill(subject, "apiGroup", GROUP);
        }
    });
}

pub fn runtime_class(class: &mut Value) {
    within(class, "scheduling", |scheduling| {
        each(scheduling, "tolerations", |toleration| {
            if toleration.is_null() {
                *toleration = Value::object();
            }
        });
    });
}

pub fn storage_class(class: &mut Value) {
    missing(class, "reclaimPolicy", "Delete");
    missing(class, "volumeBindingMode", "Immediate");
}

pub fn csi_driver(driver: &mut Value) {
    missing(driver, "spec.attachRequired", true);
    missing(driver, "spec.fsGroupPolicy", "ReadWriteOnceWithFSType");
    if driver.items("spec.volumeLifecycleModes").is_empty() {
        driver.set("spec.volumeLifecycleModes", array!["Persistent"]);
    }
    for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        missing(driver, &format!("spec.{field}"), false);
    }
}

pub fn volume_attachment(attachment: &mut Value) {
    present(attachment, "spec.source");
    missing(attachment, "status.attached", false);
    within(attachment, "spec.source.inlineVolumeSpec", volume_source);
}

pub fn csi_storage_capacity(capacity: &mut Value) {
    missing(capacity, "storageClassName", "");
}

pub fn flow_control(kind: &str, object: &mut Value) {
    present(object, "status");
    if kind == "FlowSchema" {
        fill_zero(object, "spec.matchingPrecedence", 1000);
        return;
    }
    within(object, "spec.exempt", |exempt| {
        missing(exempt, "nominalConcurrencyShares", 0);
        missing(exempt, "lendablePercent", 0);
    });
    within(object, "spec.limited", |limited| {
        missing(limited, "nominalConcurrencyShares", 30);
        missing(limited, "lendablePercent", 0);
        present(limited, "limitResponse");
        within(limited, "limitResponse.queuing", |queuing| {
            fill_zero(queuing, "handSize", 8);
            fill_zero(queuing, "queues", 64);
            fill_zero(queuing, "queueLengthLimit", 50);
        });
    });
}

pub fn dynamic_resources(kind: &str, object: &mut Value) {
    let request = |request: &mut Value| {
        fill(request, "allocationMode", "ExactCount");
        if request.text("allocationMode") == "ExactCount" {
            fill_zero(request, "count", 1);
        }
    };
    let devices = |spec: &mut Value| {
        present(spec, "devices");
        each(spec, "devices.requests", |entry| {
            within(entry, "exactly", request);
            each(entry, "firstAvailable", request);
        });
    };
    match kind {
        "ResourceClaim" => {
            present(object, "spec");
            present(object, "status");
            within(object, "spec", devices);
        }
        "ResourceClaimTemplate" => {
            present(object, "spec.metadata");
            present(object, "spec.spec");
            within(object, "spec.spec", devices);
        }
        "ResourceSlice" => each(object, "spec.devices", |device| {
            each_value(device, "nodeAllocatableResourceMappings", |mapping| {
                missing(mapping, "allocationMultiplier", "1")
            });
        }),
        _ => {}
    }
}

/// Pod-level requests and huge-page limits that follow from the containers' (KEP-2837): `defaultHugePagePodLimits`
/// and `defaultPodRequests`.
pub fn pod_level_resources(spec: &mut Value) {
    if spec.map("resources.limits").is_empty() && spec.map("resources.requests").is_empty() {
        return;
    }
    for (name, limit) in aggregate(spec, "limits") {
        let given = |kind: &str| spec.at("resources").map(kind).contains_key(&name);
        if is_huge_page(&name) && !given("requests") && !given("limits") {
            spec.at_mut("resources.limits").make_object().insert(name, limit.to_string());
        }
    }
    if spec.map("resources.limits").is_empty() {
        return;
    }
    for (name, request) in aggregate(spec, "requests") {
        if is_pod_level(&name) && !is_huge_page(&name) && !spec.map("resources.requests").contains_key(&name)
        {
            spec.at_mut("resources.requests").make_object().insert(name, request.to_string());
        }
    }
    for (name, limit) in spec.map("resources.limits").clone().iter() {
        if is_pod_level(name) && !spec.map("resources.requests").contains_key(name) {
            spec.at_mut("resources.requests").make_object().insert(name.clone(), limit);
        }
    }
}
