//! Where a pod wants to run: affinity, spread, tolerations, taints.
//!
//! Picture to hold in mind: a seating request, "near the window, not beside my sister, one of us at each table".
//!
//! Follows `validateAffinity`, `validateTopologySpreadConstraints`, `ValidateTolerations` and `validateNodeTaints`
//! of `pkg/apis/core/validation/validation.go`.

use super::errors::{Errors, NOT_POSITIVE};
use super::format::{label_value, name_is_label, name_is_subdomain};
use super::{go, meta};
use crate::api::field::{FieldErrorKind, FieldPath};
use crate::api::value::Value;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub fn affinity(affinity: &Value, path: &FieldPath, errors: &mut Errors) {
    let node = affinity.at("nodeAffinity");
    if !node.is_null() {
        let path = path.child("nodeAffinity");
        if node.has(REQUIRED) {
            node_selector(node.at(REQUIRED), &path.child(REQUIRED), errors);
        }
        let list = path.child(PREFERRED);
        for (index, term) in node.items(PREFERRED).iter().enumerate() {
            let path = list.index(index);
            weight(term, &path, errors);
            node_selector_term(term.at("preference"), false, &path.child("preference"), errors);
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = path.child(kind);
        let list = path.child(REQUIRED);
        for (index, term) in affinity.at(kind).items(REQUIRED).iter().enumerate() {
            pod_affinity_term(term, &list.index(index), errors);
        }
        let list = path.child(PREFERRED);
        for (index, term) in affinity.at(kind).items(PREFERRED).iter().enumerate() {
            let path = list.index(index);
            weight(term, &path, errors);
            pod_affinity_term(term.at("podAffinityTerm"), &path.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, path: &FieldPath, errors: &mut Errors) {
    let weight = term.integer("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// `ValidateNodeSelector`.
pub fn node_selector(selector: &Value, path: &FieldPath, errors: &mut Errors) {
    let list = path.child("nodeSelectorTerms");
    let terms = selector.items("nodeSelectorTerms");
    if terms.is_empty() {
        errors.required(&list, "must have at least one node selector term");
    }
    for (index, term) in terms.iter().enumerate() {
        node_selector_term(term, true, &list.index(index), errors);
    }
}

/// Label values are checked only where the term is required.
fn node_selector_term(term: &Value, check_values: bool, path: &FieldPath, errors: &mut Errors) {
    let list = path.child("matchExpressions");
    for (index, requirement) in term.items("matchExpressions").iter().enumerate() {
        let path = list.index(index);
        let values = requirement.items("values");
        let values_path = path.child("values");
        match requirement.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&values_path, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.forbidden(
                    &values_path,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "Gt" | "Lt" if values.len() != 1 => {
                errors
                    .required(&values_path, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        meta::label_name(requirement.text("key"), &path.child("key"), errors);
        if check_values {
            for (index, value) in values.iter().enumerate() {
                let value = value.as_str().unwrap_or("");
                errors.each(&values_path.index(index), value, label_value(value));
            }
        }
    }
    let list = path.child("matchFields");
    for (index, requirement) in term.items("matchFields").iter().enumerate() {
        let path = list.index(index);
        let values = requirement.items("values");
        let values_path = path.child("values");
        match requirement.text("operator") {
            "In" | "NotIn" if values.len() != 1 => errors.required(
                &values_path,
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            ),
            "In" | "NotIn" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        let key = requirement.text("key");
        if key != "metadata.name" {
            errors.invalid(&path.child("key"), key, "not a valid field selector key");
            continue;
        }
        for (index, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            errors.each(&values_path.index(index), value, name_is_subdomain(value, false));
        }
    }
}

fn pod_affinity_term(term: &Value, path: &FieldPath, errors: &mut Errors) {
    meta::label_selector(term.at("labelSelector"), &path.child("labelSelector"), errors);
    meta::label_selector(term.at("namespaceSelector"), &path.child("namespaceSelector"), errors);
    for name in term.items("namespaces").iter().filter_map(Value::as_str) {
        errors.each(&path.child("namespace"), name, name_is_label(name, false));
    }
    label_keys(term, path, errors);
    let key = term.text("topologyKey");
    if key.is_empty() {
        errors.required(&path.child("topologyKey"), "can not be empty");
    }
    meta::label_name(key, &path.child("topologyKey"), errors);
}

/// `ValidateMatchLabelKeysAndMismatchLabelKeys`.
fn label_keys(term: &Value, path: &FieldPath, errors: &mut Errors) {
    let selector = term.at("labelSelector");
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = term.items(name);
        let list = path.child(name);
        if !keys.is_empty() && selector.is_null() {
            errors.forbidden(&list, "must not be specified when labelSelector is not set");
            continue;
        }
        for (index, key) in keys.iter().enumerate() {
            meta::label_name(key.as_str().unwrap_or(""), &list.index(index), errors);
        }
    }
    let keys = term.items("matchLabelKeys");
    if keys.is_empty() {
        return;
    }
    let mut selected: Vec<&str> = selector.map("matchLabels").keys().map(|key| key.as_str()).collect();
    for expression in selector.items("matchExpressions") {
        let key = expression.text("key");
        if let Some(index) = keys.iter().rposition(|known| known.as_str() == Some(key))
            && selected.contains(&key)
        {
            errors.invalid(&path.index(index), key, "exists in both matchLabelKeys and labelSelector");
        }
        selected.push(key);
    }
    let list = path.child("matchLabelKeys");
    for (index, key) in keys.iter().enumerate() {
        if term.items("mismatchLabelKeys").contains(key) {
            errors.invalid(&list.index(index), key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

pub fn topology_spread(constraints: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, constraint) in constraints.iter().enumerate() {
        let item = path.index(index);
        let skew = constraint.integer("maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.invalid(&item.child("maxSkew"), skew, NOT_POSITIVE);
        }
        let (key, action) = (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"));
        if key.is_empty() {
            errors.required(&item.child("topologyKey"), "can not be empty");
        }
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            let supported = &["DoNotSchedule", "ScheduleAnyway"];
            errors.not_supported(&item.child("whenUnsatisfiable"), action, supported);
        }
        let repeats =
            |other: &Value| other.text("topologyKey") == key && other.text("whenUnsatisfiable") == action;
        if constraints[index + 1..].iter().any(repeats) {
            errors.duplicate(&item.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        if let Some(domains) = constraint.integer("minDomains") {
            let path = item.child("minDomains");
            if domains <= 0 {
                errors.invalid(&path, domains, NOT_POSITIVE);
            }
            if action != "DoNotSchedule" {
                let message =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.invalid(&path, domains, message);
            }
        }
        for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            errors.one_of_if_given(constraint, name, &item, &["Honor", "Ignore"]);
        }
        label_keys(constraint, &item, errors);
        meta::label_selector(constraint.at("labelSelector"), &item.child("labelSelector"), errors);
    }
}

pub fn tolerations(tolerations: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let path = path.index(index);
        let (key, operator, value) =
            (toleration.text("key"), toleration.text("operator"), toleration.text("value"));
        if !key.is_empty() {
            meta::label_name(key, &path.child("key"), errors);
        }
        let operator_path = path.child("operator");
        if key.is_empty() && operator != "Exists" {
            let message =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&operator_path, operator, message);
        }
        let effect = toleration.text("effect");
        if toleration.has("tolerationSeconds") && effect != "NoExecute" {
            let message = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.child("effect"), effect, message);
        }
        match operator {
            "Equal" | "" => {
                let complaints = label_value(value);
                if !complaints.is_empty() {
                    errors.invalid(&operator_path, value, complaints.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.invalid(&operator_path, value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            "Lt" | "Gt" => errors.not_supported(&operator_path, operator, &["Equal", "Exists", "Lt", "Gt"]),
            other => errors.not_supported(&operator_path, other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            errors.not_supported(&path.child("effect"), effect, EFFECTS);
        }
    }
}

/// `validateNodeTaints`.
pub fn taints(taints: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, taint) in taints.iter().enumerate() {
        let item = path.index(index);
        let (key, value, effect) = (taint.text("key"), taint.text("value"), taint.text("effect"));
        meta::label_name(key, &item.child("key"), errors);
        let complaints = label_value(value);
        if !complaints.is_empty() {
            errors.invalid(&item.child("value"), value, complaints.join(";"));
        }
        errors.one_of(effect, &item.child("effect"), EFFECTS);
        if taints[..index]
            .iter()
            .any(|earlier| earlier.text("key") == key && earlier.text("effect") == effect)
        {
            errors.detailed(
                FieldErrorKind::Duplicate,
                &item,
                go::internal("Taint")(taint),
                "taints must be unique by key and effect pair".to_owned(),
            );
        }
    }
}
