//! The kinds that make pods.
//!
//! Picture to hold in mind: a standing order is checked for the mould it encloses and for the rules of replacement.
//!
//! Follows `pkg/apis/apps/validation/validation.go` and, for ReplicationController,
//! `pkg/apis/core/validation/validation.go`.

use super::errors::Errors;
use super::format::{dns1123_label, name_is_label, name_is_subdomain, percent, percent_error};
use super::meta::{self, SPEC, STATUS, quoted};
use super::pod::pod_template;
use super::semantic::equal;
use super::{go, storage};
use crate::api::field::{BadValue, FieldPath};
use crate::api::value::{Map, Value};
use crate::arrange::Arrange;
use crate::object;

pub const NO_MATCH: &str = "`selector` does not match template `labels`";

fn integer(value: &Value, path: &str) -> i64 {
    value.integer(path).unwrap_or(0)
}

/// Labels of a template as errors quote them: `null` when there are none.
pub fn quoted_labels(template: &Value) -> BadValue {
    BadValue::Value(template.at("metadata.labels").clone())
}

/// A selector that must be there, be valid and say something; then whether the template fits it.
fn selector_and_template(spec: &Value, kind: &str, errors: &mut Errors) {
    let selector = spec.at("selector");
    let path = SPEC.child("selector");
    if selector.is_null() {
        errors.required(&path, "");
    } else {
        meta::label_selector(selector, &path, errors);
        if meta::is_empty_selector(selector) {
            errors.invalid(&path, quoted(selector), format!("empty selector is invalid for {kind}"));
        }
    }
}

/// `ValidatePodTemplateSpecForReplicaSet` and its like: labels, the template, and what a long-running pod may not
/// have. `matches` is what the selector says of the labels, `None` where it is empty.
fn long_running_template(
    template: &Value,
    matches: Option<bool>,
    kind: &str,
    path: &FieldPath,
    errors: &mut Errors,
) {
    if matches == Some(false) {
        errors.invalid(&path.child("metadata.labels"), quoted_labels(template), NO_MATCH);
    }
    pod_template(template, path, errors);
    only_restarting(template, kind, path, errors);
}

fn only_restarting(template: &Value, kind: &str, path: &FieldPath, errors: &mut Errors) {
    let policy = template.text("spec.restartPolicy");
    if policy != "Always" {
        errors.not_supported(&path.child("spec.restartPolicy"), policy, &["Always"]);
    }
    if template.has("spec.activeDeadlineSeconds") {
        let message = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.forbidden(&path.child("spec.activeDeadlineSeconds"), message);
    }
}

fn replica_template(spec: &Value, errors: &mut Errors) {
    let (selector, template) = (spec.at("selector"), spec.at("template"));
    match meta::selector_matches(selector, template.map("metadata.labels")) {
        None => errors.invalid(&SPEC.child("selector"), quoted(selector), "invalid label selector"),
        Some(matches) => {
            // A selector that says nothing is reported above; one that is absent matches nothing.
            let judged = (selector.is_null() || !meta::is_empty_selector(selector)).then_some(matches);
            long_running_template(template, judged, "ReplicaSet", &SPEC.child("template"), errors);
        }
    }
}

pub fn deployment(deployment: &Value, errors: &mut Errors) {
    meta::object_meta(deployment, true, name_is_subdomain, errors);
    deployment_spec(deployment.at("spec"), errors);
}

fn deployment_spec(spec: &Value, errors: &mut Errors) {
    errors.non_negative(spec, "replicas", &SPEC);
    selector_and_template(spec, "deployment", errors);
    replica_template(spec, errors);
    deployment_strategy(spec.at("strategy"), errors);
    errors.non_negative(spec, "minReadySeconds", &SPEC);
    errors.non_negative(spec, "revisionHistoryLimit", &SPEC);
    if let Some(deadline) = spec.integer("progressDeadlineSeconds") {
        errors.non_negative(spec, "progressDeadlineSeconds", &SPEC);
        if deadline <= integer(spec, "minReadySeconds") {
            errors.invalid(
                &SPEC.child("progressDeadlineSeconds"),
                deadline,
                "must be greater than minReadySeconds",
            );
        }
    }
}

fn deployment_strategy(strategy: &Value, errors: &mut Errors) {
    let path = SPEC.child("strategy");
    let update = strategy.at("rollingUpdate");
    let path_update = path.child("rollingUpdate");
    match strategy.text("type") {
        "Recreate" if !update.is_null() => {
            errors.forbidden(&path_update, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" => {
            for name in ["maxUnavailable", "maxSurge"] {
                int_or_percent(update.at(name), &path_update.child(name), errors);
            }
            if int_or_percent_value(update.at("maxUnavailable")) == 0
                && int_or_percent_value(update.at("maxSurge")) == 0
            {
                let message = "may not be 0 when `maxSurge` is 0";
                errors.invalid(
                    &path_update.child("maxUnavailable"),
                    quoted_number(update.at("maxUnavailable")),
                    message,
                );
            }
            at_most_100_percent(update.at("maxUnavailable"), &path_update.child("maxUnavailable"), errors);
        }
        _ => {
            let quoted = go::internal("DeploymentStrategy")(strategy);
            errors.not_supported(&path, quoted, &["Recreate", "RollingUpdate"]);
        }
    }
}

/// An `IntOrString` that is absent is the number 0.
fn quoted_number(value: &Value) -> Value {
    if value.is_null() { Value::Integer(0) } else { value.clone() }
}

/// `ValidatePositiveIntOrPercent`.
pub fn int_or_percent(value: &Value, path: &FieldPath, errors: &mut Errors) {
    match value {
        Value::String(text) if percent(text).is_none() => errors.invalid(path, value, percent_error()),
        Value::Integer(number) if *number < 0 => errors.invalid(path, *number, super::errors::NEGATIVE),
        _ => {}
    }
}

fn int_or_percent_value(value: &Value) -> i64 {
    match value {
        Value::String(text) => percent(text).unwrap_or_else(|| text.parse().unwrap_or(0)),
        other => other.as_integer().unwrap_or(0),
    }
}

/// `IsNotMoreThan100Percent`.
pub fn at_most_100_percent(value: &Value, path: &FieldPath, errors: &mut Errors) {
    if value.as_str().and_then(percent).is_some_and(|percent| percent > 100) {
        errors.invalid(path, value, "must not be greater than 100%");
    }
}

pub fn deployment_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    deployment_spec(new.at("spec"), errors);
    errors.immutable(new.at("spec.selector"), old.at("spec.selector"), &SPEC.child("selector"));
}

pub fn replica_set(set: &Value, errors: &mut Errors) {
    meta::object_meta(set, true, name_is_subdomain, errors);
    replica_set_spec(set.at("spec"), errors);
}

fn replica_set_spec(spec: &Value, errors: &mut Errors) {
    errors.non_negative(spec, "replicas", &SPEC);
    errors.non_negative(spec, "minReadySeconds", &SPEC);
    selector_and_template(spec, "deployment", errors);
    replica_template(spec, errors);
}

pub fn replica_set_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    replica_set_spec(new.at("spec"), errors);
    errors.immutable(new.at("spec.selector"), old.at("spec.selector"), &SPEC.child("selector"));
}

pub fn daemon_set(set: &Value, errors: &mut Errors) {
    meta::object_meta(set, true, name_is_subdomain, errors);
    daemon_set_spec(set.at("spec"), errors);
}

fn daemon_set_spec(spec: &Value, errors: &mut Errors) {
    let (selector, template) = (spec.at("selector"), spec.at("template"));
    let path = SPEC.child("template");
    meta::label_selector(selector, &SPEC.child("selector"), errors);
    if meta::selector_matches(selector, template.map("metadata.labels")) == Some(false) {
        errors.invalid(&path.child("metadata.labels"), quoted_labels(template), NO_MATCH);
    }
    if !selector.is_null() && meta::is_empty_selector(selector) {
        errors.invalid(&SPEC.child("selector"), quoted(selector), "empty selector is invalid for daemonset");
    }
    pod_template(template, &path, errors);
    only_restarting(template, "DaemonSet", &path, errors);
    errors.non_negative(spec, "minReadySeconds", &SPEC);
    let strategy = spec.at("updateStrategy");
    let path = SPEC.child("updateStrategy");
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let update = strategy.at("rollingUpdate");
            let path = path.child("rollingUpdate");
            let (unavailable, surge) = (update.at("maxUnavailable"), update.at("maxSurge"));
            for name in ["maxUnavailable", "maxSurge"] {
                int_or_percent(update.at(name), &path.child(name), errors);
            }
            for name in ["maxUnavailable", "maxSurge"] {
                at_most_100_percent(update.at(name), &path.child(name), errors);
            }
            match (int_or_percent_value(unavailable) != 0, int_or_percent_value(surge) != 0) {
                (true, true) => {
                    errors.invalid(
                        &path.child("maxSurge"),
                        surge,
                        "may not be set when maxUnavailable is non-zero",
                    );
                }
                (false, false) => {
                    errors.required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0");
                }
                _ => {}
            }
        }
        _ => {
            let quoted = go::internal("DaemonSetUpdateStrategy")(strategy);
            errors.not_supported(&path, quoted, &["RollingUpdate", "OnDelete"]);
        }
    }
    errors.non_negative(spec, "revisionHistoryLimit", &SPEC);
}

pub fn daemon_set_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    errors.immutable(new.at("spec.selector"), old.at("spec.selector"), &SPEC.child("selector"));
    daemon_set_spec(new.at("spec"), errors);
}

pub fn stateful_set(set: &Value, errors: &mut Errors) {
    meta::object_meta(set, true, name_is_label, errors);
    stateful_set_spec(set.at("spec"), false, errors);
}

/// On an update names and claims that cannot change any more are not judged again.
fn stateful_set_spec(spec: &Value, is_update: bool, errors: &mut Errors) {
    let management = spec.text("podManagementPolicy");
    let path = SPEC.child("podManagementPolicy");
    match management {
        "" => errors.required(&path, ""),
        "OrderedReady" | "Parallel" => {}
        other => errors.invalid(&path, other, "must be 'OrderedReady' or 'Parallel'"),
    }
    stateful_set_strategy(spec.at("updateStrategy"), errors);
    let retention = SPEC.child("persistentVolumeClaimRetentionPolicy");
    if spec.has("persistentVolumeClaimRetentionPolicy") {
        for name in ["whenDeleted", "whenScaled"] {
            let policy = spec.at("persistentVolumeClaimRetentionPolicy").text(name);
            if !matches!(policy, "Retain" | "Delete") {
                errors.not_supported(&retention.child(name), policy, &["Retain", "Delete"]);
            }
        }
    }
    let claims = spec.items("volumeClaimTemplates");
    if !is_update {
        let list = SPEC.child("volumeClaimTemplates");
        for (index, claim) in claims.iter().enumerate() {
            storage::claim_spec(claim.at("spec"), &list.index(index).child("spec"), false, errors);
        }
    }
    errors.non_negative(spec, "replicas", &SPEC);
    errors.non_negative(spec, "minReadySeconds", &SPEC);
    errors.non_negative(spec, "ordinals.start", &SPEC);
    let service = spec.text("serviceName");
    if !is_update && !service.is_empty() {
        errors.each(&SPEC.child("serviceName"), service, dns1123_label(service));
    }
    selector_and_template(spec, "statefulset", errors);
    let (selector, mut template) = (spec.at("selector"), spec.at("template").clone());
    let path = SPEC.child("template");
    match meta::selector_matches(selector, template.map("metadata.labels")) {
        None => errors.invalid(&SPEC.child("selector"), quoted(selector), ""),
        Some(matches) => {
            if !matches && (selector.is_null() || !meta::is_empty_selector(selector)) {
                errors.invalid(&path.child("metadata.labels"), quoted_labels(&template), NO_MATCH);
            }
            prepare_stateful_template(&mut template, claims);
            pod_template(&template, &path, errors);
            // Labels and annotations are read a second time: so upstream has it.
            meta::labels(template.map("metadata.labels"), &path.child("labels"), errors);
            meta::annotations(template.map("metadata.annotations"), &path.child("annotations"), errors);
            super::pod::pod_annotations(&template, template.at("spec"), &path.child("annotations"), errors);
        }
    }
    only_restarting(spec.at("template"), "StatefulSet", &path, errors);
}

/// Host names come from the ordinal, volumes from the claim templates.
fn prepare_stateful_template(template: &mut Value, claims: &[Value]) {
    for name in ["spec.subdomain", "spec.hostname"] {
        if template.has(name) {
            template.remove(name);
        }
    }
    if claims.is_empty() {
        return;
    }
    let name = |claim: &Value| claim.shared_text("metadata.name");
    let mut by_name: Vec<_> = claims.iter().map(name).collect();
    by_name.arrange();
    by_name.dedup();
    let mut volumes: Vec<Value> = by_name
        .iter()
        .map(|name| object! { "name" => name, "persistentVolumeClaim" => object! { "claimName" => name } })
        .collect();
    let own = template.items("spec.volumes").iter();
    volumes.extend(own.filter(|volume| !by_name.iter().any(|name| name == volume.text("name"))).cloned());
    template.set("spec.volumes", volumes);
}

fn stateful_set_strategy(strategy: &Value, errors: &mut Errors) {
    let path = SPEC.child("updateStrategy");
    let update = strategy.at("rollingUpdate");
    let path_update = path.child("rollingUpdate");
    match strategy.text("type") {
        "" => errors.required(&path, ""),
        "OnDelete" if !update.is_null() => {
            let quoted = go::internal("RollingUpdateStatefulSetStrategy")(update);
            errors.invalid(&path_update, quoted, "only allowed for updateStrategy 'RollingUpdate'");
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            errors.non_negative(update, "partition", &path_update);
            if update.has("maxUnavailable") {
                let path = path_update.child("maxUnavailable");
                let value = update.at("maxUnavailable");
                int_or_percent(value, &path, errors);
                if int_or_percent_value(value) == 0 {
                    errors.invalid(&path, value, "cannot be 0");
                }
                at_most_100_percent(value, &path, errors);
            }
        }
        _ => {
            let quoted = go::internal("StatefulSetUpdateStrategy")(strategy);
            errors.invalid(&path, quoted, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
}

pub fn stateful_set_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    stateful_set_spec(new.at("spec"), true, errors);
    let mut munged = new.at("spec").clone();
    for name in [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ] {
        match old.at("spec").get(name) {
            Some(before) => {
                munged.set(name, before);
            }
            None => {
                munged.remove(name);
            }
        }
    }
    if !equal(&munged, old.at("spec")) {
        errors.forbidden(
            &SPEC,
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

pub fn replication_controller(controller: &Value, errors: &mut Errors) {
    meta::object_meta(controller, true, name_is_subdomain, errors);
    replication_controller_spec(controller.at("spec"), errors);
}

fn replication_controller_spec(spec: &Value, errors: &mut Errors) {
    errors.non_negative(spec, "minReadySeconds", &SPEC);
    let selector = spec.map("selector");
    if selector.is_empty() {
        errors.required(&SPEC.child("selector"), "");
    }
    if !spec.has("replicas") {
        errors.required(&SPEC.child("replicas"), "");
    }
    errors.non_negative(spec, "replicas", &SPEC);
    let template = spec.at("template");
    if template.is_null() {
        return errors.required(&SPEC.child("template"), "");
    }
    let labels: &Map = template.map("metadata.labels");
    let matches = selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    long_running_template(template, Some(matches), "ReplicationController", &SPEC.child("template"), errors);
}

pub fn replication_controller_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    replication_controller_spec(new.at("spec"), errors);
}

/// A revision's data is an object and never changes.
pub fn controller_revision(revision: &Value, errors: &mut Errors) {
    meta::object_meta(revision, true, name_is_subdomain, errors);
    errors.non_negative(revision, "revision", &FieldPath::ROOT);
    match revision.at("data") {
        Value::Null => errors.required(&FieldPath::new("data"), "data is mandatory"),
        Value::Object(_) => {}
        _ => errors.required(&FieldPath::new("data"), "data must be a valid JSON object"),
    }
}

pub fn controller_revision_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    meta::object_meta(new, true, name_is_subdomain, errors);
    errors.non_negative(new, "revision", &FieldPath::ROOT);
    errors.immutable(new.at("data"), old.at("data"), &FieldPath::new("data"));
}

/// The counters of a workload's status: none negative, none above the whole.
pub fn status(kind: &str, new: &Value, old: &Value, errors: &mut Errors) {
    let first_meta = kind != "StatefulSet";
    if first_meta {
        meta::object_meta_update(new, old, errors);
    }
    let status = new.at("status");
    let counters: &[&str] = match kind {
        "Deployment" => &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ],
        "DaemonSet" => &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
        "StatefulSet" => &[
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ],
        _ => &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
            "terminatingReplicas",
        ],
    };
    for name in counters {
        errors.non_negative(status, name, &STATUS);
    }
    let parts: &[&str] = match kind {
        "Deployment" => &["updatedReplicas", "readyReplicas", "availableReplicas"],
        "StatefulSet" => &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        "DaemonSet" => &[],
        _ => &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
    };
    for name in parts {
        if integer(status, name) > integer(status, "replicas") {
            errors.invalid(
                &STATUS.child(name),
                integer(status, name),
                "cannot be greater than status.replicas",
            );
        }
    }
    let available = integer(status, "availableReplicas");
    if !parts.is_empty() && available > integer(status, "readyReplicas") {
        let whole = if kind == "StatefulSet" { "status.readyReplicas" } else { "readyReplicas" };
        errors.invalid(
            &STATUS.child("availableReplicas"),
            available,
            format!("cannot be greater than {whole}"),
        );
    }
    if !first_meta {
        meta::object_meta_update(new, old, errors);
    }
    if let Some(before) = old.integer("status.collisionCount") {
        let after = integer(status, "collisionCount");
        if after < before || !status.has("collisionCount") {
            errors.invalid(&STATUS.child("collisionCount"), after, "cannot be decremented");
        }
    }
}
