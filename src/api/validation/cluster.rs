//! Nodes, limits, quotas and the small cluster-wide kinds.
//!
//! Picture to hold in mind: the house rules and the rooms they hold for.
//!
//! Follows `ValidateNode`, `ValidateLimitRange` and `ValidateResourceQuota` of
//! `pkg/apis/core/validation/validation.go`, and the `validation.go` of scheduling, node, policy and coordination.

use super::address::{self, legacy_cidr};
use super::affinity;
use super::errors::{Errors, IMMUTABLE};
use super::format::{name_is_label, name_is_subdomain, qualified_name};
use super::go;
use super::meta::{self, METADATA, SPEC, STATUS};
use super::resources::{self, amount, shown};
use super::workloads::{at_most_100_percent, int_or_percent};
use crate::api::field::FieldPath;
use crate::api::value::Value;
use crate::arrange::{Arrange, Gather};

pub fn node(node: &Value, errors: &mut Errors) {
    meta::object_meta(node, false, name_is_subdomain, errors);
    affinity::taints(node.items("spec.taints"), &METADATA.child("taints"), errors);
    node_resources(node, errors);
    if let Some(capacity) = node.integer("status.nodeInfo.swap.capacity")
        && capacity <= 0
    {
        errors.invalid(&METADATA.child("nodeSwapStatus.capacity"), capacity, super::errors::NOT_POSITIVE);
    }
    declared_features(node, errors);
    let cidrs = node.items("spec.podCIDRs");
    let path = SPEC.child("podCIDRs");
    for (index, cidr) in cidrs.iter().enumerate() {
        legacy_cidr(&path.index(index), cidr.as_str().unwrap_or(""), [], errors);
    }
    let texts = || cidrs.iter().filter_map(Value::as_str);
    if cidrs.len() > 1 && (cidrs.len() > 2 || !address::is_dual_stack(texts())) {
        errors.invalid(
            &path,
            node.at("spec.podCIDRs"),
            "may specify no more than one CIDR for each IP family",
        );
    }
}

fn node_resources(node: &Value, errors: &mut Errors) {
    for list in ["capacity", "allocatable"] {
        let path = STATUS.child(list);
        for (name, value) in node.at("status").map(list).iter() {
            resources::quantity_value(name, value, &path.child(name), errors);
        }
    }
}

fn declared_features(node: &Value, errors: &mut Errors) {
    let path = STATUS.child("declaredFeatures");
    let features = node.items("status.declaredFeatures");
    for (index, feature) in features.iter().enumerate() {
        let name = feature.as_str().unwrap_or("");
        let segment = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && text.starts_with(|first: char| first.is_ascii_alphabetic())
        };
        let fits = name.split('/').all(segment) && name.starts_with(|first: char| first.is_ascii_uppercase());
        let quoted = crate::api::field::go_quote(name);
        if name.len() > 253 {
            let message = format!("invalid feature name {quoted}: must be no more than 253 characters");
            errors.invalid(&path.index(index), name, message);
        } else if !fits {
            let message = format!(
                "invalid feature name {quoted}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            );
            errors.invalid(&path.index(index), name, message);
        }
        if let Some(next) = features.get(index + 1).and_then(Value::as_str) {
            if name == next {
                errors.duplicate(&path.index(index + 1), next);
            } else if name > next {
                errors.invalid(&path.index(index + 1), next, "list must be sorted alphabetically");
            }
        }
    }
}

pub fn node_update(new: &Value, old: &Value, errors: &mut Errors) {
    node(new, errors);
    node_changes(new, old, errors);
}

/// `ValidateNodeUpdate`, which is all that the status subresource checks.
pub fn node_changes(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    node_resources(new, errors);
    declared_features(new, errors);
    let addresses = new.items("status.addresses");
    let path = STATUS.child("addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            errors.duplicate(&path.index(index), go::internal("NodeAddress")(address));
        }
    }
    let (was, now) = (old.items("spec.podCIDRs"), new.items("spec.podCIDRs"));
    const CIDR: &str = "node updates may not change podCIDR except from \"\" to valid";
    if !was.is_empty() && was.len() != now.len() {
        errors.forbidden(&SPEC.child("podCIDRs"), CIDR);
    } else {
        for _ in was.iter().zip(now).filter(|(was, now)| was != now) {
            errors.forbidden(&SPEC.child("podCIDRs"), CIDR);
        }
    }
    let provider = old.text("spec.providerID");
    if !provider.is_empty() && provider != new.text("spec.providerID") {
        let message = "node updates may not change providerID except from \"\" to valid";
        errors.forbidden(&SPEC.child("providerID"), message);
    }
    affinity::taints(new.items("spec.taints"), &METADATA.child("taints"), errors);
    if new.text("spec.externalID") != old.text("spec.externalID") {
        errors.forbidden(&SPEC.child("externalID"), "may not be updated");
    }
}

pub fn limit_range(range: &Value, errors: &mut Errors) {
    meta::object_meta(range, true, name_is_subdomain, errors);
    let list = SPEC.child("limits");
    let limits = range.items("spec.limits");
    for (index, limit) in limits.iter().enumerate() {
        let path = list.index(index);
        let kind = limit.text("type");
        let complaints = qualified_name(kind);
        if !complaints.is_empty() {
            errors.each(&path.child("type"), kind, complaints);
        } else if !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
            errors.invalid(&path.child("type"), kind, "must be a standard limit type or fully qualified");
        }
        if limits[..index].iter().any(|earlier| earlier.text("type") == kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        limit_names(limit, kind, &path, errors);
        limit_amounts(limit, &path, errors);
    }
}

fn limit_names(limit: &Value, kind: &str, path: &FieldPath, errors: &mut Errors) {
    let names = |list: &'static str, errors: &mut Errors| {
        let path = path.child(list);
        for name in limit.map(list).keys() {
            if matches!(kind, "Pod" | "Container") {
                resources::container_resource_name(name, &path.key(name), errors);
            } else {
                resources::resource_name(name, &path.key(name), errors);
            }
        }
    };
    names("max", errors);
    names("min", errors);
    for list in ["default", "defaultRequest"] {
        if kind != "Pod" {
            names(list, errors);
        } else if !limit.map(list).is_empty() {
            errors.forbidden(&path.child(list), "may not be specified when `type` is 'Pod'");
        }
    }
    let has_storage = |list: &str| limit.map(list).contains_key("storage");
    if kind == "PersistentVolumeClaim" && !has_storage("min") && !has_storage("max") {
        let message = "either minimum or maximum storage value is required, but neither was provided";
        errors.required(&path.child("limits"), message);
    }
    names("maxLimitRequestRatio", errors);
}

/// Each pair of amounts for one resource, in upstream's order.
fn limit_amounts(limit: &Value, path: &FieldPath, errors: &mut Errors) {
    let lists = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    let of_pod = limit.text("type") == "Pod";
    let mut keys: Vec<&str> =
        lists.iter().flat_map(|list| limit.map(list).keys()).map(|key| key.as_str()).gather();
    keys.arrange();
    keys.dedup();
    for key in keys {
        let get = |list: &str| match list {
            "default" | "defaultRequest" if of_pod => None,
            _ => limit.map(list).get(key),
        };
        let mut above =
            |low: &str, high: &str, at: &'static str, quoted: &str, low_name: &str, high_name: &str| {
                if let (Some(low), Some(high)) = (get(low), get(high))
                    && amount(low) > amount(high)
                {
                    let quoted = get(quoted).unwrap_or(low);
                    let message = format!(
                        "{low_name} value {} is greater than {high_name} value {}",
                        shown(low),
                        shown(high)
                    );
                    errors.invalid(&path.child(at).key(key), quoted, message);
                }
            };
        above("min", "max", "min", "min", "min", "max");
        above("min", "defaultRequest", "defaultRequest", "defaultRequest", "min", "default request");
        above("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request", "max");
        above(
            "defaultRequest",
            "default",
            "defaultRequest",
            "defaultRequest",
            "default request",
            "default limit",
        );
        above("min", "default", "default", "min", "min", "default");
        above("default", "max", "default", "max", "default", "max");
        let ratio_path = path.child("maxLimitRequestRatio");
        if let Some(ratio) = get("maxLimitRequestRatio") {
            if amount(ratio).milli_value() < 1000 {
                errors.invalid(&ratio_path.key(key), ratio, format!("ratio {} is less than 1", shown(ratio)));
            }
            if let (Some(min), Some(max)) = (get("min"), get("max")) {
                // The quotient to six decimals, as upstream prints it, without a float.
                let (low, high) =
                    (i128::from(amount(min).milli_value()), i128::from(amount(max).milli_value()));
                if low > 0 && i128::from(amount(ratio).milli_value()) * low > high * 1000 {
                    let millionths = (high * 2_000_000 + low) / (low * 2);
                    let message = format!(
                        "ratio {} is greater than max/min = {}.{:06}",
                        shown(ratio),
                        millionths / 1_000_000,
                        millionths % 1_000_000
                    );
                    errors.invalid(&ratio_path.key(key), ratio, message);
                }
            }
        }
        if let (Some(default), Some(request)) = (get("default"), get("defaultRequest"))
            && !resources::is_overcommit_allowed(key)
            && amount(default) != amount(request)
        {
            let message = format!(
                "default value {} must equal to defaultRequest value {} in {key}",
                shown(default),
                shown(request)
            );
            errors.invalid(&path.child("defaultRequest").key(key), request, message);
        }
    }
}

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];

/// `IsResourceQuotaScopeValidForResource`.
fn scope_fits(scope: &str, resource: &str) -> bool {
    let computes = matches!(
        resource,
        "cpu" | "memory" | "limits.cpu" | "limits.memory" | "requests.cpu" | "requests.memory"
    );
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || computes,
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn amounts(list: &Value, path: &FieldPath, errors: &mut Errors) {
    for (name, value) in list.as_object().into_iter().flat_map(|map| map.iter()) {
        resources::quota_resource_name(name, &path.key(name), errors);
        resources::quantity_value(name, value, &path.key(name), errors);
    }
}

pub fn resource_quota(quota: &Value, errors: &mut Errors) {
    meta::object_meta(quota, true, name_is_subdomain, errors);
    quota_spec(quota.at("spec"), errors);
    amounts(quota.at("status.hard"), &STATUS.child("hard"), errors);
    amounts(quota.at("status.used"), &STATUS.child("used"), errors);
}

fn quota_spec(spec: &Value, errors: &mut Errors) {
    amounts(spec.at("hard"), &SPEC.child("hard"), errors);
    let standard = || spec.map("hard").keys().filter(|name| resources::is_standard_quota(name));
    let scopes: Vec<&str> = spec.items("scopes").iter().filter_map(Value::as_str).gather();
    let path = SPEC.child("scopes");
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            errors.invalid(&path, spec.at("scopes"), "unsupported scope");
        }
        for _ in standard().filter(|name| !scope_fits(scope, name)) {
            errors.invalid(&path, spec.at("scopes"), "unsupported scope applied to resource");
        }
    }
    let conflict = |scopes: &[&str], path: &FieldPath, errors: &mut Errors| {
        for (a, b) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
            if scopes.contains(&a) && scopes.contains(&b) {
                errors.invalid(path, spec.at("scopes"), "conflicting scopes");
            }
        }
    };
    conflict(&scopes, &path, errors);
    let path = SPEC.child("scopeSelector.matchExpressions");
    let mut selected = Vec::new();
    for requirement in spec.items("scopeSelector.matchExpressions") {
        let (scope, operator) = (requirement.text("scopeName"), requirement.text("operator"));
        if !SCOPES.contains(&scope) {
            errors.invalid(&path.child("scopeName"), scope, "unsupported scope");
        }
        for _ in standard().filter(|name| !scope_fits(scope, name)) {
            let quoted = go::internal("*ScopeSelector")(spec.at("scopeSelector"));
            errors.invalid(&path, quoted, "unsupported scope applied to resource");
        }
        if !matches!(scope, "PriorityClass" | "VolumeAttributesClass")
            && SCOPES.contains(&scope)
            && operator != "Exists"
        {
            errors.invalid(
                &path.child("operator"),
                operator,
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        let values = requirement.items("values");
        match operator {
            "In" | "NotIn" if values.is_empty() => errors.required(
                &path.child("values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.invalid(
                &path.child("values"),
                requirement.at("values"),
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        selected.push(scope);
    }
    conflict(&selected, &path, errors);
}

pub fn resource_quota_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    quota_spec(new.at("spec"), errors);
    let scopes = |quota: &Value| {
        let mut names: Vec<String> =
            quota.items("spec.scopes").iter().filter_map(Value::as_str).map(str::to_owned).gather();
        names.arrange();
        names.dedup();
        names
    };
    if scopes(new) != scopes(old) {
        errors.invalid(&SPEC.child("scopes"), new.at("spec.scopes"), IMMUTABLE);
    }
}

pub fn resource_quota_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    amounts(new.at("status.hard"), &STATUS.child("hard"), errors);
    amounts(new.at("status.used"), &STATUS.child("used"), errors);
}

/// `ValidatePriorityClass`.
pub fn priority_class(class: &Value, errors: &mut Errors) {
    const HIGHEST: i64 = 1_000_000_000;
    meta::object_meta(class, false, name_is_subdomain, errors);
    let (name, value) = (class.text("metadata.name"), class.integer("value").unwrap_or(0));
    if name.starts_with("system-") {
        let known = match name {
            "system-node-critical" => Some(2_000_001_000),
            "system-cluster-critical" => Some(2_000_000_000),
            _ => None,
        };
        let problem = match known {
            None => Some(format!("{name} is not a known system priority class")),
            Some(expected) if expected != value => {
                Some(format!("value of {name} PriorityClass must be {expected}"))
            }
            Some(_) if class.is_true("globalDefault") => {
                Some(format!("globalDefault of {name} must be false"))
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            let message = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {problem}"
            );
            errors.forbidden(&METADATA.child("name"), message);
        }
    } else if value > HIGHEST {
        let message = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.forbidden(&FieldPath::new("value"), message);
    }
    if let Some(policy) = class.at("preemptionPolicy").as_str() {
        errors.one_of(policy, &FieldPath::new("preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
    }
}

pub fn priority_class_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    if new.integer("value").unwrap_or(0) != old.integer("value").unwrap_or(0) {
        errors.forbidden(&FieldPath::new("value"), "may not be changed in an update.");
    }
    errors.immutable(
        new.at("preemptionPolicy"),
        old.at("preemptionPolicy"),
        &FieldPath::new("preemptionPolicy"),
    );
}

/// `ValidateRuntimeClass`.
pub fn runtime_class(class: &Value, errors: &mut Errors) {
    meta::object_meta(class, false, name_is_subdomain, errors);
    let handler = class.text("handler");
    let path = FieldPath::new("handler");
    if handler.is_empty() {
        errors.required(&path, "");
    } else {
        errors.each(&path, handler, name_is_label(handler, false));
    }
    if class.has("overhead") {
        let limits = Value::object().with("limits", class.at("overhead.podFixed"));
        resources::container_requirements(&limits, &[], &FieldPath::new("overhead"), errors);
    }
    let scheduling = FieldPath::new("scheduling");
    meta::labels(class.map("scheduling.nodeSelector"), &scheduling.child("nodeSelector"), errors);
    let path = scheduling.child("tolerations");
    let tolerations = class.items("scheduling.tolerations");
    affinity::tolerations(tolerations, &path, errors);
    for (index, toleration) in tolerations.iter().enumerate() {
        let same = |other: &Value| {
            ["key", "operator", "value", "effect"]
                .iter()
                .all(|name| other.text(name) == toleration.text(name))
        };
        if tolerations[..index].iter().any(same) {
            errors.duplicate(&path.index(index), go::internal("Toleration")(toleration));
        }
    }
}

pub fn runtime_class_update(new: &Value, old: &Value, errors: &mut Errors) {
    runtime_class(new, errors);
    meta::object_meta_update(new, old, errors);
    errors.immutable(new.at("handler"), old.at("handler"), &FieldPath::new("handler"));
}

/// `ValidatePodDisruptionBudget`, which does not look at the metadata.
pub fn pod_disruption_budget(budget: &Value, old: Option<&Value>, errors: &mut Errors) {
    if let Some(old) = old {
        meta::plain_object_meta_update(budget, old, errors);
    }
    let spec = budget.at("spec");
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        let quoted = go::internal("PodDisruptionBudgetSpec")(spec);
        errors.invalid(&SPEC, quoted, "minAvailable and maxUnavailable cannot be both set");
    }
    for name in ["minAvailable", "maxUnavailable"] {
        int_or_percent(spec.at(name), &SPEC.child(name), errors);
        at_most_100_percent(spec.at(name), &SPEC.child(name), errors);
    }
    meta::label_selector(spec.at("selector"), &SPEC.child("selector"), errors);
    errors.one_of_if_given(spec, "unhealthyPodEvictionPolicy", &SPEC, &["AlwaysAllow", "IfHealthyBudget"]);
    if old.is_none() {
        meta::head(budget, true, errors);
    }
}

pub fn pod_disruption_budget_status(new: &Value, errors: &mut Errors) {
    let status = new.at("status");
    meta::conditions(status.items("conditions"), &STATUS.child("conditions"), errors);
    for name in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        errors.non_negative(status, name, &STATUS);
    }
}

/// `ValidateLeaseSpec`.
pub fn lease(lease: &Value, old: Option<&Value>, errors: &mut Errors) {
    match old {
        Some(old) => meta::plain_object_meta_update(lease, old, errors),
        None => meta::plain_object_meta(lease.at("metadata"), true, &name_is_subdomain, &METADATA, errors),
    }
    let spec = lease.at("spec");
    if let Some(seconds) = spec.integer("leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        errors.invalid(&SPEC.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    errors.non_negative(spec, "leaseTransitions", &SPEC);
    let strategy = spec.at("strategy").as_str();
    if let Some(strategy) = strategy {
        // The field's name appears twice: so upstream has it.
        let path = SPEC.child("strategy.strategy");
        if strategy.contains('/') {
            errors.each(&path, strategy, qualified_name(strategy));
        } else if strategy != "OldestEmulationVersion" {
            errors.not_supported(&path, strategy, &["OldestEmulationVersion"]);
        }
    }
    if !spec.text("preferredHolder").is_empty() && strategy.unwrap_or("").is_empty() {
        errors.forbidden(&SPEC.child("preferredHolder"), "may only be specified if `strategy` is defined");
    }
}
