//! What may change of a pod once it is there.
//!
//! Picture to hold in mind: a signed contract: a few clauses have blanks that may still be filled; for any other
//! change the two versions are laid side by side.
//!
//! Follows `ValidatePodUpdate`, `ValidatePodStatusUpdate`, `ValidatePodEphemeralContainersUpdate` and
//! `ValidatePodResize` of `pkg/apis/core/validation/validation.go`.

use super::errors::Errors;
use super::format::{name_is_subdomain, range_error, user_or_group_id};
use super::meta::{self, METADATA, SPEC, STATUS};
use super::pod::{MIRROR_ANNOTATION, metadata_and_spec, pod_annotations};
use super::semantic::equal;
use super::{address, affinity, diff, go, security};
use crate::api::field::{FieldPath, go_quote};
use crate::api::meta::annotation;
use crate::api::value::Value;

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// `ValidatePodSpecificAnnotationUpdates`.
fn annotation_updates(new: &Value, old: &Value, errors: &mut Errors) {
    let path = METADATA.child("annotations");
    let (new_map, old_map) = (new.map("metadata.annotations"), old.map("metadata.annotations"));
    for (key, value) in old_map.iter() {
        if new_map.get(key) == Some(value) {
            continue;
        }
        if key.starts_with(security::APP_ARMOR_CONTAINER) {
            errors.forbidden(&path.key(key), "may not remove or update AppArmor annotations");
        }
        if key == MIRROR_ANNOTATION {
            errors.forbidden(&path.key(key), "may not remove or update mirror pod annotation");
        }
    }
    for key in new_map.keys().filter(|key| !old_map.contains_key(key)) {
        if key.starts_with(security::APP_ARMOR_CONTAINER) {
            errors.forbidden(&path.key(key), "may not add AppArmor annotations");
        }
        if key == MIRROR_ANNOTATION {
            errors.forbidden(&path.key(key), "may not add mirror pod annotation");
        }
    }
    pod_annotations(new, new.at("spec"), &path, errors);
}

/// `ValidatePodUpdate`.
pub fn update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    metadata_and_spec(new, errors);
    annotation_updates(new, old, errors);
    let (new_spec, old_spec) = (new.at("spec"), old.at("spec"));
    for name in ["containers", "initContainers"] {
        let list = SPEC.child(name);
        if new_spec.items(name).len() != old_spec.items(name).len() {
            return errors.forbidden(&list, "pod updates may not add or remove containers");
        }
        for (index, container) in new_spec.items(name).iter().enumerate() {
            let image = container.text("image");
            let path = list.index(index);
            if image.is_empty() {
                errors.required(&path.child("image"), "");
            }
            if image.trim() != image {
                errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
            }
        }
    }
    let deadline = SPEC.child("activeDeadlineSeconds");
    match (new_spec.integer("activeDeadlineSeconds"), old_spec.integer("activeDeadlineSeconds")) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            return errors.invalid(&deadline, seconds, range_error(0, i64::from(i32::MAX)));
        }
        (Some(new), Some(old)) if old < new => {
            return errors.invalid(&deadline, new, "must be less than or equal to previous value");
        }
        (None, Some(_)) => {
            errors.invalid(&deadline, Value::Null, "must not update from a positive integer to nil value");
        }
        _ => {}
    }
    only_added_tolerations(new_spec, old_spec, errors);
    only_deleted_gates(new_spec, old_spec, errors);
    if equal(new_spec, old_spec) {
        return;
    }
    let munged = munged_spec(new_spec, old_spec, errors);
    if !equal(&munged, old_spec) {
        let changes = diff::of_structs("PodSpec", old_spec, &munged);
        errors
            .forbidden(&SPEC, format!("pod updates may not change fields other than {UPDATABLE}\n{changes}"));
    }
}

fn only_added_tolerations(new: &Value, old: &Value, errors: &mut Errors) {
    let path = SPEC.child("tolerations");
    for before in old.items("tolerations") {
        let kept = new.items("tolerations").iter().any(|after| {
            let mut before = before.clone();
            match after.get("tolerationSeconds") {
                Some(seconds) => {
                    before.set("tolerationSeconds", seconds);
                }
                None => {
                    before.remove("tolerationSeconds");
                }
            }
            before == *after
        });
        if !kept {
            let message = "existing toleration can not be modified except its tolerationSeconds";
            return errors.forbidden(&path, message);
        }
    }
    affinity::tolerations(new.items("tolerations"), &path, errors);
}

fn only_deleted_gates(new: &Value, old: &Value, errors: &mut Errors) {
    let path = SPEC.child("schedulingGates");
    for (index, gate) in new.items("schedulingGates").iter().enumerate() {
        let name = gate.text("name");
        if !old.items("schedulingGates").iter().any(|before| before.text("name") == name) {
            let message = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(&path.index(index).child("name"), message);
        }
    }
}

/// Makes what lies at a path what it is in `source`; nothing where that has nothing.
pub fn take(target: &mut Value, source: &Value, path: &str) {
    let value = source.at(path);
    if value.is_null() {
        target.remove(path);
    } else {
        target.set(path, value);
    }
}

/// The new spec with everything that may change put back.
fn munged_spec(new: &Value, old: &Value, errors: &mut Errors) -> Value {
    let mut munged = new.clone();
    for name in ["containers", "initContainers"] {
        for index in 0..new.items(name).len() {
            if let Some(before) = old.items(name).get(index)
                && before.text("image") != new.items(name)[index].text("image")
            {
                let image = before.at("image");
                munged.at_mut(name).make_array()[index].set("image", image);
            }
        }
    }
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        take(&mut munged, old, name);
    }
    let grace = |spec: &Value| spec.integer("terminationGracePeriodSeconds");
    if grace(old).is_some_and(|seconds| seconds < 0) && grace(new) == Some(1) {
        take(&mut munged, old, "terminationGracePeriodSeconds");
    }
    if !old.items("schedulingGates").is_empty() {
        if !equal(new.at("nodeSelector"), old.at("nodeSelector")) {
            let new_map = new.map("nodeSelector");
            if old.map("nodeSelector").iter().any(|(key, value)| new_map.get(key) != Some(value)) {
                let message = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
                errors.invalid(&SPEC.child("nodeSelector"), new.at("nodeSelector"), message);
            }
            take(&mut munged, old, "nodeSelector");
        }
        let (new_affinity, old_affinity) = (new.at("affinity.nodeAffinity"), old.at("affinity.nodeAffinity"));
        if !equal(new_affinity, old_affinity) {
            node_affinity_mutation(new_affinity, old_affinity, errors);
            take(&mut munged, old, "affinity.nodeAffinity");
            if old.at("affinity").is_null() && munged.at("affinity").is_empty() {
                munged.remove("affinity");
            }
        }
    }
    munged
}

/// `validateNodeAffinityMutation`.
fn node_affinity_mutation(new: &Value, old: &Value, errors: &mut Errors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    if !old.has(REQUIRED) {
        return;
    }
    let terms = |affinity: &Value| affinity.at(REQUIRED).at("nodeSelectorTerms").clone();
    let (new_terms, old_terms) = (terms(new), terms(old));
    let (new_list, old_list) = (new_terms.as_array().unwrap_or(&[]), old_terms.as_array().unwrap_or(&[]));
    let affinity = SPEC.child("affinity.nodeAffinity");
    let required = affinity.child(REQUIRED);
    let path = required.child("nodeSelectorTerms");
    if !old_list.is_empty() && old_list.len() != new_list.len() {
        let message = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return errors.invalid(&path, go::internal("[NodeSelectorTerm")(&new_terms), message);
    }
    for (index, (old, new)) in old_list.iter().zip(new_list).enumerate() {
        let only_adds = |name: &str| {
            let (old, new) = (old.items(name), new.items(name));
            new.len() >= old.len() && new[..old.len()].iter().zip(old).all(|(new, old)| equal(new, old))
        };
        let was_empty = old.items("matchExpressions").is_empty() && old.items("matchFields").is_empty();
        let is_empty = new.items("matchExpressions").is_empty() && new.items("matchFields").is_empty();
        if was_empty && !is_empty || !only_adds("matchExpressions") || !only_adds("matchFields") {
            let message = "only additions are allowed (no mutations or deletions)";
            errors.invalid(&path.index(index), go::internal("NodeSelectorTerm")(new), message);
        }
    }
}

/// `ValidatePodStatusUpdate`.
pub fn status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    annotation_updates(new, old, errors);
    let (new_status, old_status) = (new.at("status"), old.at("status"));
    let conditions = STATUS.child("conditions");
    for (index, condition) in new_status.items("conditions").iter().enumerate() {
        let path = conditions.index(index);
        if let Some(generation) = condition.integer("observedGeneration")
            && generation < 0
        {
            errors.invalid(&path.child("observedGeneration"), generation, "must be a non-negative integer");
        }
        let kind = condition.text("type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            meta::label_name(kind, &path.child("Type"), errors);
        }
    }
    if new.text("spec.nodeName") != old.text("spec.nodeName") {
        errors.forbidden(&STATUS.child("nodeName"), "may not be changed directly");
    }
    let nominated = new_status.text("nominatedNodeName");
    if nominated != old_status.text("nominatedNodeName") && !nominated.is_empty() {
        let path = STATUS.child("nominatedNodeName");
        errors.each(&path, nominated, name_is_subdomain(nominated, false));
        if !old.text("spec.nodeName").is_empty() {
            errors.forbidden(&path, "may not be set on pods that are already bound to a node");
        }
    }
    if let Some(generation) = new_status.integer("observedGeneration")
        && generation < 0
    {
        errors.invalid(&STATUS.child("observedGeneration"), generation, "must be a non-negative integer");
    }
    let class = new_status.text("qosClass");
    if class != old_status.text("qosClass") {
        errors.invalid(&STATUS.child("qosClass"), class, super::errors::IMMUTABLE);
    }
    container_transitions(new_status, old, errors);
    ips(new_status, old_status, "podIPs", "PodIP", errors);
    if !new_status.items("hostIPs").is_empty() {
        let first = new_status.items("hostIPs")[0].text("ip");
        let list = STATUS.child("hostIPs");
        if new_status.text("hostIP") != first {
            errors.invalid(&list.index(0).child("ip"), first, "must be equal to `hostIP`");
        }
        ips(new_status, old_status, "hostIPs", "HostIP", errors);
    }
    if new.text("spec.os.name") != "windows" {
        container_users(new_status, errors);
    }
}

fn container_users(status: &Value, errors: &mut Errors) {
    for name in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        let list = STATUS.child(name);
        for (index, container) in status.items(name).iter().enumerate() {
            let user = container.at("user.linux");
            let item = list.index(index);
            let path = item.child("user.linux");
            for field in ["uid", "gid"] {
                if let Some(id) = user.integer(field)
                    && let Some(complaint) = user_or_group_id(id)
                {
                    errors.invalid(&path.child(field), id, complaint);
                }
            }
        }
    }
}

/// `validatePodIPs` and `validateHostIPs`.
fn ips(new: &Value, old: &Value, name: &str, kind: &'static str, errors: &mut Errors) {
    let list = STATUS.child(name);
    let addresses = new.items(name);
    let before = || old.items(name).iter().map(|address| address.text("ip"));
    for (index, address) in addresses.iter().enumerate() {
        address::legacy_ip(&list.index(index), address.text("ip"), before(), errors);
    }
    let dual = || address::is_dual_stack(addresses.iter().map(|address| address.text("ip")));
    if addresses.len() > 1 && (addresses.len() > 2 || !dual()) {
        let quoted = super::field_list(kind, new.at(name));
        errors.invalid(&list, quoted, "may specify no more than one IP for each IP family");
    }
}

/// A terminated container that nothing restarts stays terminated.
fn container_transitions(new_status: &Value, old: &Value, errors: &mut Errors) {
    let spec = old.at("spec");
    let restarts_all = |container: &Value| {
        container.items("restartPolicyRules").iter().any(|rule| rule.text("action") == "RestartAllContainers")
    };
    let all_could_restart =
        ["containers", "initContainers"].iter().any(|list| spec.items(list).iter().any(restarts_all));
    for (list, statuses) in [
        ("containers", "containerStatuses"),
        ("initContainers", "initContainerStatuses"),
        ("ephemeralContainers", "ephemeralContainerStatuses"),
    ] {
        if all_could_restart && list != "ephemeralContainers" {
            continue;
        }
        let path = STATUS.child(statuses);
        for (index, before) in old.at("status").items(statuses).iter().enumerate() {
            let terminated = before.at("state.terminated");
            if terminated.is_null() {
                continue;
            }
            let name = before.text("name");
            let Some(after) = new_status.items(statuses).iter().find(|status| status.text("name") == name)
            else {
                continue;
            };
            let container = spec.items(list).iter().find(|container| container.text("name") == name);
            let exit_code = terminated.integer("exitCode").unwrap_or(0);
            let allowed = list != "ephemeralContainers"
                && container.is_some_and(|container| {
                    should_restart(container, spec.text("restartPolicy"), exit_code)
                });
            if !after.has("state.terminated") && !allowed {
                let message = "may not be transitioned to non-terminated state";
                errors.forbidden(&path.index(index).child("state"), message);
            }
        }
    }
}

/// `ContainerShouldRestart` of `pkg/api/v1/pod`: the container's rules, its own policy, the pod's.
pub fn should_restart(container: &Value, pod_policy: &str, exit_code: i64) -> bool {
    for rule in container.items("restartPolicyRules") {
        let listed = rule.items("exitCodes.values").iter().any(|value| value.as_integer() == Some(exit_code));
        let matches = match rule.text("exitCodes.operator") {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if matches && rule.text("action") == "Restart" {
            return true;
        }
    }
    let own = container.text("restartPolicy");
    match if own.is_empty() { pod_policy } else { own } {
        "Always" => true,
        "OnFailure" => exit_code != 0,
        _ => false,
    }
}

/// `ValidatePodEphemeralContainersUpdate`.
pub fn ephemeral_containers(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    metadata_and_spec(new, errors);
    annotation_updates(new, old, errors);
    if annotation(old, MIRROR_ANNOTATION).is_some() {
        *errors = Errors::new();
        return errors.forbidden(&FieldPath::ROOT, "static pods do not support ephemeral containers");
    }
    let path = SPEC.child("ephemeralContainers");
    let now = new.items("spec.ephemeralContainers");
    for before in old.items("spec.ephemeralContainers") {
        let name = go_quote(before.text("name"));
        match now.iter().find(|container| container.text("name") == before.text("name")) {
            None => {
                errors.forbidden(&path, format!("existing ephemeral containers {name} may not be removed\n"))
            }
            Some(after) if !equal(after, before) => {
                let changes = diff::of_structs("EphemeralContainer", before, after);
                errors.forbidden(
                    &path,
                    format!("existing ephemeral containers {name} may not be changed\n{changes}"),
                );
            }
            Some(_) => {}
        }
    }
}

/// `ValidatePodResize`.
pub fn resize(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    metadata_and_spec(new, errors);
    for (refused, message) in [
        (annotation(old, MIRROR_ANNOTATION).is_some(), "static pods cannot be resized"),
        (old.text("spec.os.name") == "windows", "windows pods cannot be resized"),
    ] {
        if refused {
            *errors = Errors::new();
            return errors.forbidden(&FieldPath::ROOT, message);
        }
    }
    if crate::api::strategy::pod::qos_class(old) != crate::api::strategy::pod::computed_qos_class(new) {
        let message = "Pod QOS Class may not change as a result of resizing";
        errors.invalid(&SPEC, new.text("status.qosClass"), message);
    }
    let (new_spec, old_spec) = (new.at("spec"), old.at("spec"));
    let mut munged = new_spec.clone();
    pod_resources(&mut munged, old_spec, errors);
    let before = errors.len();
    for name in ["containers", "initContainers"] {
        let list = SPEC.child(name);
        let (now, was) = (new_spec.items(name), old_spec.items(name));
        if now.len() != was.len() {
            errors.forbidden(&list, format!("{name} may not be added or removed on resize"));
            continue;
        }
        for (index, (now, was)) in now.iter().zip(was).enumerate() {
            if now.text("name") != was.text("name") {
                let message = format!("{name} may not be renamed or reordered on resize");
                errors.forbidden(&list.index(index).child("name"), message);
            }
        }
    }
    if errors.len() > before {
        return;
    }
    for name in ["initContainers", "containers"] {
        let list = SPEC.child(name);
        for (index, (now, was)) in new_spec.items(name).iter().zip(old_spec.items(name)).enumerate() {
            let item = list.index(index);
            let path = item.child("resources");
            removed(now.at("resources"), was.at("resources"), "resource", &path, errors);
        }
    }
    for name in ["containers", "initContainers"] {
        let list = SPEC.child(name);
        for (index, (now, was)) in new_spec.items(name).iter().zip(old_spec.items(name)).enumerate() {
            let is_init = name == "initContainers";
            let item = list.index(index);
            let mut put_back = now.clone();
            put_back_amounts(&mut put_back, was, "resources.");
            match equal(&put_back, was) {
                true => {}
                false if is_init => {
                    let message = "only cpu and memory resources for init or sidecar containers are mutable";
                    errors.forbidden(&item, message);
                }
                false => errors.forbidden(&SPEC, "only cpu and memory resources are mutable"),
            }
            if is_init && was.text("restartPolicy") != "Always" && !equal(now, was) {
                for _ in now
                    .items("resizePolicy")
                    .iter()
                    .filter(|own| own.text("restartPolicy") == "RestartContainer")
                {
                    let message = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
                    errors.forbidden(&item, message);
                }
            }
            munged.at_mut(name).make_array()[index] = put_back;
        }
    }
    if errors.is_empty() && !equal(&munged, old_spec) {
        errors.forbidden(&SPEC, "only cpu and memory resources are mutable");
    }
}

/// `validatePodLevelResourcesResize`: puts what may change back as it was in `spec`.
fn pod_resources(spec: &mut Value, old: &Value, errors: &mut Errors) {
    let (now, was) = (spec.at("resources").clone(), old.at("resources"));
    let is_set = |own: &Value| !own.map("requests").is_empty() || !own.map("limits").is_empty();
    if !is_set(&now) && !is_set(was) {
        return;
    }
    let path = SPEC.child("resources");
    if now.is_null() {
        return errors.forbidden(&path, "pod-level resources cannot be removed");
    }
    removed(&now, was, "pod-level resource", &path, errors);
    put_back_amounts(spec, old, "resources.");
    if was.is_null() && !is_set(spec.at("resources")) {
        spec.remove("resources");
    }
    if !equal(spec.at("resources"), was) {
        errors.forbidden(&SPEC, "only cpu and memory resources are mutable at pod-level");
    }
}

/// `resourcesRemoved`, of requests and limits.
fn removed(now: &Value, was: &Value, what: &str, path: &FieldPath, errors: &mut Errors) {
    for kind in ["requests", "limits"] {
        if was.map(kind).keys().any(|key| !now.map(kind).contains_key(key)) {
            errors.forbidden(&path.child(kind), [what, " ", kind, " cannot be removed"].concat());
        }
    }
}

/// `dropCPUMemoryUpdates`, of requests and limits below `path`.
fn put_back_amounts(object: &mut Value, old: &Value, path: &str) {
    for end in ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory"] {
        take(object, old, &[path, end].concat());
    }
}
