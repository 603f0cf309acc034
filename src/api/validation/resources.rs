//! Resource names, requests and limits.
//!
//! Picture to hold in mind: an order slip for cpu, memory and whatever the house has a name for: the names must be
//! on the card, and nobody may ask for more than their limit.
//!
//! Follows `validateResourceRequirements` and its kin in `pkg/apis/core/validation/validation.go`, and
//! `pkg/apis/core/helper/helpers.go`.

use std::cmp::Ordering;

use super::errors::{Errors, NEGATIVE, NOT_POSITIVE};
use super::format::{dns1123_label, qualified_name};
use crate::api::field::{BadValue, FieldErrorKind, FieldPath};
use crate::api::quantity::Quantity;
use crate::api::value::Value;
use crate::arrange::{Arrange, Gather};

const HUGE_PAGES: &str = "hugepages-";
const REQUESTS: &str = "requests.";

/// The resources that quotas know.
const QUOTA: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const INTEGER: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

pub fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}
fn is_quota_huge_page(name: &str) -> bool {
    is_huge_page(name) || name.strip_prefix(REQUESTS).is_some_and(is_huge_page)
}
pub fn is_standard_quota(name: &str) -> bool {
    QUOTA.contains(&name) || is_quota_huge_page(name)
}
fn is_standard(name: &str) -> bool {
    name == "storage" || is_standard_quota(name)
}
fn is_standard_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)
}
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}
pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with(REQUESTS) && qualified_name(&format!("{REQUESTS}{name}")).is_empty()
}
pub fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}
fn is_integer(name: &str) -> bool {
    INTEGER.contains(&name) || (name.contains('/') && is_extended(name))
}
/// `IsSupportedPodLevelResource`.
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// An amount as a number; what cannot be read (decoding has refused it before) is nothing.
pub fn amount(value: &Value) -> Quantity {
    Quantity::from_value(value).unwrap_or_else(zero)
}
fn zero() -> Quantity {
    Quantity::from_value(&Value::Integer(0)).unwrap_or_else(|| unreachable!("0 is a quantity"))
}
pub fn is_negative(value: &Value) -> bool {
    amount(value) < zero()
}
pub fn is_zero(value: &Value) -> bool {
    amount(value) == zero()
}
/// An amount as errors quote it.
pub fn shown(value: &Value) -> String {
    amount(value).to_string()
}

/// `ValidateNonnegativeQuantity`.
pub fn non_negative(value: &Value, path: &FieldPath, errors: &mut Errors) {
    if is_negative(value) {
        errors.invalid(path, shown(value), NEGATIVE);
    }
}

/// `ValidatePositiveQuantityValue`. Answers whether it is.
pub fn positive(value: &Value, path: &FieldPath, errors: &mut Errors) -> bool {
    let fits = amount(value) > zero();
    if !fits {
        errors.invalid(path, shown(value), NOT_POSITIVE);
    }
    fits
}

/// `ValidateResourceQuantityValue`: not negative, and whole where the resource is counted in pieces.
pub fn quantity_value(name: &str, value: &Value, path: &FieldPath, errors: &mut Errors) {
    non_negative(value, path, errors);
    if is_integer(name) && amount(value).milli_value() % 1000 != 0 {
        errors.invalid(path, value, "must be an integer");
    }
}

/// `validateBasicResource`.
pub fn basic(value: &Value, path: &FieldPath, errors: &mut Errors) {
    if amount(value).value() < 0 {
        errors.invalid(path, amount(value).value(), "must be a valid resource quantity");
    }
}

/// `validateResourceName`. Answers whether the name passed.
pub fn resource_name(name: &str, path: &FieldPath, errors: &mut Errors) -> bool {
    let complaints = qualified_name(name);
    if !complaints.is_empty() {
        errors.each(path, name, complaints);
        return false;
    }
    if !name.contains('/') && !is_standard(name) {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
        return false;
    }
    true
}

/// `validateContainerResourceName`.
pub fn container_resource_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    if matches!(name, "cpu" | "memory") {
        return;
    }
    resource_name(name, path, errors);
    if name.matches('/').count() == 0 {
        if !is_standard_for_containers(name) {
            errors.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

fn pod_resource_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    if resource_name(name, path, errors) && !is_pod_level(name) {
        errors.not_supported(path, name, &["cpu", "hugepages-", "memory"]);
    }
}

/// `ValidateResourceQuotaResourceName`.
pub fn quota_resource_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    resource_name(name, path, errors);
    if !name.contains('/') && !is_standard_quota(name) {
        errors.invalid(path, name, "must be a standard resource for quota");
    }
}

fn huge_page_multiple(name: &str, value: &Value, path: &FieldPath, errors: &mut Errors) {
    let page = Quantity::from_value(&Value::from(&name[HUGE_PAGES.len()..]));
    let divides = page.is_some_and(|page| {
        page > zero() && page.milli_value() % 1000 == 0 && amount(value).value() % page.value() == 0
    });
    if !divides {
        let amount = shown(value);
        let message = format!("{amount} is not positive integer multiple of {name}");
        errors.invalid(path, amount, message);
    }
}

type ResourceNameCheck = fn(&str, &FieldPath, &mut Errors);

/// `ValidateContainerResourceRequirements`; `claims` are the names of the pod's resource claims.
pub fn container_requirements(resources: &Value, claims: &[&str], path: &FieldPath, errors: &mut Errors) {
    requirements(resources, container_resource_name, claims, path, errors);
}

fn requirements(
    resources: &Value,
    name_check: ResourceNameCheck,
    claim_names: &[&str],
    path: &FieldPath,
    errors: &mut Errors,
) {
    if resources.as_object().is_none_or(|map| map.is_empty()) {
        return;
    }
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let (mut computes, mut huge_pages) = (false, false);
    let limits = resources.map("limits");
    for (name, value) in limits.iter() {
        let path = limits_path.key(name);
        name_check(name, &path, errors);
        quantity_value(name, value, &path, errors);
        if is_huge_page(name) {
            huge_pages = true;
            huge_page_multiple(name, value, &path, errors);
        }
        computes |= matches!(name.as_str(), "cpu" | "memory");
    }
    for (name, value) in resources.map("requests").iter() {
        let path = requests_path.key(name);
        name_check(name, &path, errors);
        quantity_value(name, value, &path, errors);
        match limits.get(name) {
            Some(limit) if limit.is_same(value) => {}
            Some(limit) => match amount(value).cmp(&amount(limit)) {
                Ordering::Equal => {}
                _ if !is_overcommit_allowed(name) => errors.invalid(
                    &requests_path,
                    shown(value),
                    format!("must be equal to {name} limit of {}", shown(limit)),
                ),
                Ordering::Greater => errors.invalid(
                    &requests_path,
                    shown(value),
                    format!("must be less than or equal to {name} limit of {}", shown(limit)),
                ),
                Ordering::Less => {}
            },
            None if !is_overcommit_allowed(name) => {
                errors.required(&limits_path, "Limit must be set for non overcommitable resources");
            }
            None => {}
        }
        if is_huge_page(name) {
            huge_pages = true;
            huge_page_multiple(name, value, &path, errors);
        }
        computes |= matches!(name.as_str(), "cpu" | "memory");
    }
    if !computes && huge_pages {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
    resource_claims(resources.items("claims"), claim_names, &path.child("claims"), errors);
}

fn resource_claims(claims: &[Value], known: &[&str], path: &FieldPath, errors: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        let (name, request) = (claim.text("name"), claim.text("request"));
        if name.is_empty() {
            errors.required(&path, "");
            continue;
        }
        if seen.iter().any(|other| other == name) {
            errors.duplicate(&path, name);
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                errors.each(&path.child("request"), request, dns1123_label(request));
                key = format!("{name}/{request}");
            }
            if seen.contains(&key) {
                errors.duplicate(&path, key.as_str());
            } else if request.is_empty() {
                for _ in
                    seen.iter().filter(|other| other.split_once('/').is_some_and(|(claim, _)| claim == name))
                {
                    errors.duplicate(&path, name);
                }
            }
            seen.push(key);
        }
        if !known.contains(&name) {
            let mut names = known.to_vec();
            names.arrange();
            let rest = if names.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", names.join(", "))
            };
            let detail = format!("must be one of the names in pod.spec.resourceClaims{rest}");
            errors.detailed(FieldErrorKind::NotFound, &path, name, detail);
        }
    }
}

/// Pod-level resources (KEP-2837): `validatePodResources`.
pub fn pod_level(spec: &Value, claim_names: &[&str], path: &FieldPath, errors: &mut Errors) {
    let resources = spec.at("resources");
    if resources.is_null() {
        return;
    }
    let path = path.child("resources");
    if spec.text("os.name") == "windows" {
        return errors.forbidden(&path, "may not be set for a windows pod");
    }
    if resources.has("claims") {
        errors.forbidden(&path.child("claims"), "claims may not be set for Resources at pod-level");
    }
    requirements(resources, pod_resource_name, claim_names, &path, errors);
    let requests_path = path.child("requests");
    for (name, total) in aggregate(spec, "requests") {
        if let Some(request) = resources.map("requests").get(&name)
            && total > amount(request)
        {
            errors.invalid(
                &requests_path.key(&name),
                shown(request),
                format!("must be greater than or equal to aggregate container requests of {total}"),
            );
        }
    }
    let limits = resources.map("limits");
    let limits_path = path.child("limits");
    for (name, total) in aggregate(spec, "limits").into_iter().filter(|(name, _)| is_huge_page(name)) {
        if let Some(limit) = limits.get(&name)
            && total > amount(limit)
        {
            errors.invalid(
                &limits_path.key(&name),
                shown(limit),
                format!("must be greater than or equal to aggregate container limits of {total}"),
            );
        }
    }
    let containers_path = path.child("containers");
    for (index, container) in spec.items("containers").iter().enumerate() {
        let container_path = containers_path.index(index);
        for (name, limit) in container.map("resources.limits").iter() {
            if let Some(pod_limit) = limits.get(name)
                && amount(limit) > amount(pod_limit)
            {
                errors.invalid(
                    &container_path.key(name).child("limits"),
                    shown(limit),
                    format!("must be less than or equal to pod limits of {}", shown(pod_limit)),
                );
            }
        }
    }
}

/// What a pod's containers need together: the sum of those that run side by side, or the most that any moment of
/// the start needs (`resourcehelper.AggregateContainerRequests` and `...Limits`). Sorted by name.
pub fn aggregate(spec: &Value, kind: &'static str) -> Vec<(String, Quantity)> {
    type Totals = crate::sorted::SortedMap<String, Quantity>;
    let list = |container: &Value| -> Totals {
        let map = container.at("resources").map(kind);
        map.iter().map(|(name, value)| (name.to_string(), amount(value))).gather()
    };
    let add = |into: &mut Totals, other: &Totals| {
        for (name, value) in other {
            into.entry(name.clone()).and_modify(|sum| *sum = *sum + *value).or_insert(*value);
        }
    };
    let raise = |into: &mut Totals, other: &Totals| {
        for (name, value) in other {
            into.entry(name.clone()).and_modify(|most| *most = (*most).max(*value)).or_insert(*value);
        }
    };
    let mut totals = Totals::new();
    for container in spec.items("containers") {
        add(&mut totals, &list(container));
    }
    let (mut sidecars, mut start) = (Totals::new(), Totals::new());
    for container in spec.items("initContainers") {
        let mut now = list(container);
        if container.text("restartPolicy") == "Always" {
            add(&mut totals, &now);
            add(&mut sidecars, &now);
            now = sidecars.clone();
        } else {
            add(&mut now, &sidecars);
        }
        raise(&mut start, &now);
    }
    raise(&mut totals, &start);
    totals.into_iter().collect()
}

/// A whole resource list, as errors quote it.
pub fn quoted_list(list: &Value) -> BadValue {
    BadValue::Value(list.clone())
}
