//! What a replica is called, by its ordinal, and how it is made.
//!
//! Picture to hold in mind: the brass plate on each chair: the player changes, the plate stays.
//!
//! After `pkg/controller/statefulset/stateful_set_utils.go`.

use crate::api::{Text, Value, meta};
use crate::controllers::kinds::{STATEFUL_SET, count};
use crate::controllers::pod_control;
use crate::object;

/// The label that tells which template a pod was made of.
pub const REVISION: &str = "controller-revision-hash";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The set's name and the ordinal in a pod's name; an ordinal of -1 where there is none.
pub fn parent_and_ordinal(pod: &Value) -> (&str, i64) {
    match meta::name(pod).rsplit_once('-') {
        Some((parent, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            (parent, digits.parse::<i32>().map_or(-1, i64::from))
        }
        _ => ("", -1),
    }
}
pub fn ordinal(pod: &Value) -> i64 {
    parent_and_ordinal(pod).1
}
/// The ordinals that the set wants: the first, and the one after the last.
pub fn ordinals(set: &Value) -> std::ops::Range<i64> {
    let start = count(set, "spec.ordinals.start");
    start..start + count(set, "spec.replicas").max(0)
}
pub fn pod_name(set: &Value, ordinal: i64) -> Text {
    arcstr::format!("{}-{ordinal}", meta::name(set))
}
pub fn claim_name(set: &Value, template: &Value, ordinal: i64) -> Text {
    arcstr::format!("{}-{}-{ordinal}", meta::name(template), meta::name(set))
}
pub fn revision(pod: &Value) -> &str {
    meta::label(pod, REVISION).unwrap_or("")
}

pub fn is_created(pod: &Value) -> bool {
    !pod.text("status.phase").is_empty()
}
pub fn is_running_and_ready(pod: &Value) -> bool {
    pod.text("status.phase") == "Running" && crate::controllers::pods::is_ready(pod)
}

/// Name and labels are those of the pod's ordinal.
pub fn identity_matches(set: &Value, pod: &Value) -> bool {
    let (parent, ordinal) = parent_and_ordinal(pod);
    ordinal >= 0
        && parent == meta::name(set)
        && meta::name(pod) == pod_name(set, ordinal)
        && meta::label(pod, POD_NAME) == Some(meta::name(pod))
}
/// The pod's volumes are the claims of its ordinal.
pub fn storage_matches(set: &Value, pod: &Value) -> bool {
    let ordinal = ordinal(pod);
    ordinal >= 0
        && set.items("spec.volumeClaimTemplates").iter().all(|template| {
            pod.items("spec.volumes").iter().any(|volume| {
                volume.text("name") == meta::name(template)
                    && volume.text("persistentVolumeClaim.claimName") == claim_name(set, template, ordinal)
            })
        })
}
pub fn update_identity(set: &Value, pod: &mut Value) {
    let ordinal = ordinal(pod);
    let name = pod_name(set, ordinal);
    pod.set("metadata.name", &name);
    pod.set("metadata.namespace", set.at("metadata.namespace"));
    meta::set_label(pod, POD_NAME, name);
    meta::set_label(pod, POD_INDEX, ordinal.to_string());
}
pub fn update_storage(set: &Value, pod: &mut Value) {
    let templates = set.items("spec.volumeClaimTemplates");
    let ordinal = ordinal(pod);
    let mut volumes: Vec<Value> = templates
        .iter()
        .map(|template| {
            let source = object! { "claimName" => claim_name(set, template, ordinal) };
            object! { "name" => meta::name(template), "persistentVolumeClaim" => source }
        })
        .collect();
    let is_claimed =
        |volume: &Value| templates.iter().any(|template| meta::name(template) == volume.text("name"));
    volumes.extend(pod.items("spec.volumes").iter().filter(|volume| !is_claimed(volume)).cloned());
    if volumes.is_empty() {
        pod.remove("spec.volumes");
    } else {
        pod.set("spec.volumes", Value::array(volumes));
    }
}

/// The claims of `pod`, made of the set's templates.
pub fn claims(set: &Value, pod: &Value) -> Vec<Value> {
    let ordinal = ordinal(pod);
    let make = |template: &Value| {
        let mut claim = template.clone();
        claim.set("metadata.name", claim_name(set, template, ordinal));
        claim.set("metadata.namespace", set.at("metadata.namespace"));
        for (key, value) in set.map("spec.selector.matchLabels").iter() {
            meta::set_label(&mut claim, key, value.clone());
        }
        claim
    };
    set.items("spec.volumeClaimTemplates").iter().map(make).collect()
}

fn new_pod(set: &Value, revision: &str, ordinal: i64) -> Value {
    let mut pod = pod_control::from_template(set.at("spec.template"), set, &STATEFUL_SET);
    let name = pod_name(set, ordinal);
    pod.set("metadata.name", &name);
    update_identity(set, &mut pod);
    pod.set("spec.hostname", name);
    if !set.text("spec.serviceName").is_empty() {
        pod.set("spec.subdomain", set.at("spec.serviceName"));
    }
    update_storage(set, &mut pod);
    meta::set_label(&mut pod, REVISION, revision);
    pod
}

/// The pod for `ordinal`: below the partition of the current template, from there on of the new one.
pub fn new_versioned_pod(
    (current_set, current_revision): (&Value, &str),
    (update_set, update_revision): (&Value, &str),
    ordinal: i64,
) -> Value {
    let strategy = current_set.at("spec.updateStrategy");
    let kept = if strategy.has("rollingUpdate") {
        count(strategy, "rollingUpdate.partition")
    } else {
        count(current_set, "status.currentReplicas")
    };
    if strategy.text("type") == "RollingUpdate" && ordinal < ordinals(current_set).start + kept {
        new_pod(current_set, current_revision, ordinal)
    } else {
        new_pod(update_set, update_revision, ordinal)
    }
}
