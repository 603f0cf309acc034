//! What the API server settles about an object before it checks and stores it.
//!
//! Picture to hold in mind: the registry clerk's own columns: status, generation, fields that belong to the house.
//! Whatever the applicant wrote there is put aside.
//!
//! Follows `PrepareForCreate`, `PrepareForUpdate` and the status strategies of `pkg/registry/*/*/strategy.go`. The
//! caller has already filled in name, uid and creation time (`rest.BeforeCreate` does so first; a Job's selector
//! needs the uid).

mod batch;
pub mod pod;
pub mod service;
mod storage;

use super::validation::semantic::equal;
use super::value::{Text, Value};

/// Which template of a DaemonSet this is: upstream counts it inside, and shows it as an annotation.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// How a kind treats its status and its generation.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Strategy {
    /// The main resource ignores `status`; the status subresource ignores `spec`.
    has_status: bool,
    /// The field whose change counts as a new generation; empty when none is counted.
    generation_of: &'static str,
}

const PLAIN: Strategy = Strategy { has_status: false, generation_of: "" };
const STATUS_ONLY: Strategy = Strategy { has_status: true, generation_of: "" };
const SPEC: Strategy = Strategy { has_status: false, generation_of: "spec" };
const SPEC_AND_STATUS: Strategy = Strategy { has_status: true, generation_of: "spec" };

fn strategy_of(group: &str, kind: &str) -> Strategy {
    match (group, kind) {
        ("", "Pod" | "ReplicationController") => SPEC_AND_STATUS,
        ("", "PodTemplate") => Strategy { has_status: false, generation_of: "template" },
        (
            "",
            "Namespace" | "PersistentVolume" | "PersistentVolumeClaim" | "ResourceQuota" | "Service" | "Node",
        ) => STATUS_ONLY,
        ("apps", "ControllerRevision") => PLAIN,
        ("apps", _) | ("batch", _) => SPEC_AND_STATUS,
        ("autoscaling", _) => STATUS_ONLY,
        ("certificates.k8s.io", "CertificateSigningRequest") => STATUS_ONLY,
        ("networking.k8s.io", "Ingress") => SPEC_AND_STATUS,
        ("networking.k8s.io", "IngressClass" | "NetworkPolicy") => SPEC,
        ("networking.k8s.io", "ServiceCIDR") => STATUS_ONLY,
        ("policy", "PodDisruptionBudget") => SPEC_AND_STATUS,
        ("storage.k8s.io", "CSIDriver") => Strategy { has_status: false, generation_of: "driver" },
        ("storage.k8s.io", "VolumeAttachment") => STATUS_ONLY,
        ("discovery.k8s.io", "EndpointSlice") => Strategy { has_status: false, generation_of: "slice" },
        ("scheduling.k8s.io", "PriorityClass") => Strategy { has_status: false, generation_of: "never" },
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => Strategy { has_status: false, generation_of: "webhooks" },
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => SPEC_AND_STATUS,
        ("admissionregistration.k8s.io", _) => SPEC,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => SPEC_AND_STATUS,
        ("apiregistration.k8s.io", "APIService") => STATUS_ONLY,
        ("flowcontrol.apiserver.k8s.io", _) => SPEC_AND_STATUS,
        ("resource.k8s.io", "ResourceClaim") => STATUS_ONLY,
        ("resource.k8s.io", "DeviceClass" | "ResourceSlice") => SPEC,
        _ => PLAIN,
    }
}

/// The status that a new object prints when nothing is known yet: what Go's zero value prints.
fn reset_status(group: &str, version: &str, kind: &str, object: &mut Value) {
    object.remove("status");
    super::defaults::apply(group, version, kind, object);
}

/// `PrepareForCreate`.
pub fn prepare_for_create(group: &str, version: &str, kind: &str, object: &mut Value) {
    let strategy = strategy_of(group, kind);
    match (group, kind) {
        ("", "Pod") => return pod::prepare_for_create(object),
        // Node keeps the status that the kubelet registers it with.
        ("", "Node") => {
            object.remove("spec.configSource");
            object.remove("status.config");
            return;
        }
        ("", "Namespace") => {
            let finalizers = object.items("spec.finalizers");
            if !finalizers.iter().any(|name| name.as_str() == Some("kubernetes")) {
                object.at_mut("spec.finalizers").make_array().push(Value::from("kubernetes"));
            }
        }
        ("", "ServiceAccount") => service::clean_secret_references(object),
        ("", "PersistentVolumeClaim") => storage::normalize_data_sources(object, None),
        ("batch", "Job") => batch::generate_selector(object),
        ("apps", "DaemonSet") => {
            let counted = template_generation(object).max(1);
            set_template_generation(object, counted);
        }
        ("discovery.k8s.io", "EndpointSlice") => service::drop_topology(object),
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            for name in ["username", "uid", "groups", "extra"] {
                object.remove(&format!("spec.{name}"));
            }
        }
        _ => {}
    }
    if !strategy.generation_of.is_empty() {
        object.set("metadata.generation", 1);
    }
    if strategy.has_status {
        reset_status(group, version, kind, object);
    }
    if (group, kind) == ("", "PersistentVolume") {
        let now = object.at("metadata.creationTimestamp").clone();
        object.set("status.lastPhaseTransitionTime", now);
    }
}

fn template_generation(set: &Value) -> i64 {
    let annotation = set.map("metadata.annotations").get(TEMPLATE_GENERATION);
    annotation.and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(0)
}
fn set_template_generation(set: &mut Value, counted: i64) {
    let counted = counted.to_string();
    if set.map("metadata.annotations").get(TEMPLATE_GENERATION).and_then(Value::as_str) != Some(&counted) {
        set.at_mut("metadata.annotations").make_object().insert(TEMPLATE_GENERATION, counted);
    }
}

/// `PrepareForUpdate` of the main resource.
pub fn prepare_for_update(group: &str, version: &str, kind: &str, new: &mut Value, old: &Value) {
    let strategy = strategy_of(group, kind);
    if strategy.has_status {
        restore(new, old, "status");
    }
    match (group, kind) {
        ("", "Namespace") => {
            restore(new, old, "spec");
            super::defaults::apply(group, version, kind, new);
        }
        ("", "Secret") if new.text("type").is_empty() => restore(new, old, "type"),
        ("", "Service") => {
            service::keep_allocated(new, old);
            service::drop_type_dependent_fields(new, old);
        }
        ("apps", "DaemonSet") => {
            let is_new = !equal(new.at("spec.template"), old.at("spec.template"));
            set_template_generation(new, template_generation(old) + i64::from(is_new));
        }
        ("", "ServiceAccount") => service::clean_secret_references(new),
        ("", "PersistentVolumeClaim") => storage::normalize_data_sources(new, Some(old)),
        ("", "Node") if !old.has("spec.configSource") => drop(new.remove("spec.configSource")),
        ("certificates.k8s.io", "CertificateSigningRequest") => restore(new, old, "spec"),
        ("discovery.k8s.io", "EndpointSlice") => service::drop_topology(new),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => note_stored_version(new),
        _ => {}
    }
    let changed = match strategy.generation_of {
        "" | "never" => false,
        "spec" if (group, kind) == ("apps", "Deployment") => {
            !equal(new.at("spec"), old.at("spec"))
                || !equal(new.at("metadata.annotations"), old.at("metadata.annotations"))
        }
        "driver" => !equal(new.at("spec"), old.at("spec")),
        "slice" => ["addressType", "endpoints", "ports", "metadata.labels"]
            .iter()
            .any(|field| !equal(new.at(field), old.at(field))),
        field => !equal(new.at(field), old.at(field)),
    };
    count_generation(new, old, changed);
}

/// The version in which a definition's instances are stored from now on is one of those that etcd may hold.
fn note_stored_version(definition: &mut Value) {
    let stores = |version: &&Value| version.is_true("storage");
    let Some(name) = definition.items("spec.versions").iter().find(stores).map(|own| own.shared_text("name"))
    else {
        return;
    };
    let stored = definition.items("status.storedVersions");
    if !stored.iter().any(|known| known.as_str() == Some(&name)) {
        definition.at_mut("status.storedVersions").make_array().push(Value::from(name));
    }
}

/// The generation is the server's: one more after a change, the old one otherwise.
fn count_generation(new: &mut Value, old: &Value, changed: bool) {
    let before = old.integer("metadata.generation").unwrap_or(0);
    if changed {
        new.set("metadata.generation", before + 1);
    } else if new.integer("metadata.generation").unwrap_or(0) != before {
        restore(new, old, "metadata.generation");
    }
}

/// `PrepareForUpdate` of the status subresource: everything but the status stays as it was. `now` is what clocks show.
pub fn prepare_for_status_update(group: &str, kind: &str, new: &mut Value, old: &Value, now: &Text) {
    match (group, kind) {
        // Its own controllers take finalizers away here.
        ("apiextensions.k8s.io", "CustomResourceDefinition") => restore(new, old, "spec"),
        ("apiregistration.k8s.io", _) => {
            restore(new, old, "spec");
            let version = new.at("metadata.resourceVersion").clone();
            restore(new, old, "metadata");
            new.set("metadata.resourceVersion", version);
        }
        ("", "Pod") => {
            restore(new, old, "spec");
            restore(new, old, "metadata.deletionTimestamp");
            restore(new, old, "metadata.ownerReferences");
            if new.text("status.qosClass").is_empty() {
                restore(new, old, "status.qosClass");
            }
        }
        ("apps", "Deployment") => {
            restore(new, old, "spec");
            restore(new, old, "metadata.labels");
        }
        ("storage.k8s.io", "VolumeAttachment") | ("networking.k8s.io", "ServiceCIDR") => {
            restore(new, old, "spec");
            for name in ["labels", "annotations", "finalizers", "ownerReferences"] {
                restore(new, old, &format!("metadata.{name}"));
            }
        }
        ("", "PersistentVolume") => {
            restore(new, old, "spec");
            const SINCE: &str = "status.lastPhaseTransitionTime";
            if old.text("status.phase") != new.text("status.phase") {
                if !new.has(SINCE) || new.at(SINCE) == old.at(SINCE) {
                    new.set(SINCE, now);
                }
            } else if !new.has(SINCE) {
                restore(new, old, SINCE);
            }
        }
        ("apps", "DaemonSet") => {
            restore(new, old, "spec");
            set_template_generation(new, template_generation(old));
        }
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            restore(new, old, "spec");
            keep_verdicts(new, old);
            stamp_conditions(new, old, now);
        }
        _ => restore(new, old, "spec"),
    }
    count_generation(new, old, false);
}

/// Whoever signs leaves the verdicts as they are; one more or one less is left for validation to see.
fn keep_verdicts(new: &mut Value, old: &Value) {
    for verdict in ["Approved", "Denied"] {
        let is_it = |condition: &&Value| condition.text("type") == verdict;
        let before: Vec<&Value> = old.items("status.conditions").iter().filter(is_it).collect();
        let count = new.items("status.conditions").iter().filter(is_it).count();
        if count > 0 && count == before.len() {
            let conditions = new.at_mut("status.conditions").make_array();
            let places = conditions.iter_mut().filter(|condition| condition.text("type") == verdict);
            for (place, before) in places.zip(before) {
                *place = before.clone();
            }
        }
    }
}

/// The times of a signing request's conditions that are missing: when it turned so is kept, if it is so still.
pub fn stamp_conditions(new: &mut Value, old: &Value, now: &Text) {
    if new.items("status.conditions").is_empty() {
        return;
    }
    for condition in new.at_mut("status.conditions").make_array() {
        condition.set_default("lastUpdateTime", now);
        let same = |other: &&Value| {
            ["type", "status"].iter().all(|field| other.text(field) == condition.text(field))
                && other.has("lastTransitionTime")
        };
        let before = old.items("status.conditions").iter().find(same);
        let since = before.map_or(now.clone(), |before| before.shared_text("lastTransitionTime"));
        condition.set_default("lastTransitionTime", since);
    }
}

/// Puts back what stood at `path`, without copying anything that is the same already.
fn restore(new: &mut Value, old: &Value, path: &str) {
    let before = old.at(path);
    if before.is_null() {
        if new.has(path) {
            new.remove(path);
        }
    } else if !new.at(path).is_same(before) {
        new.set(path, before);
    }
}
