//! What objects take of the amounts that a ResourceQuota names, and which objects a quota is about.
//!
//! Picture to hold in mind: the price list behind the bar. The barkeeper (admission) and the bookkeeper (the
//! controller that counts everything anew) read the same list.
//!
//! Follows `pkg/quota/v1/evaluator/core` and `k8s.io/apiserver/pkg/quota/v1`.

use crate::arrange::Gather;
use crate::sim::{Duration, Time};
use crate::sorted::{SortedMap, SortedSet};

use super::quantity::{Format, Quantity};
use super::strategy::pod::qos_class;
use super::value::{Map, Text, Value};
use super::{meta, time};

/// Amounts by resource name.
pub type Amounts = SortedMap<Text, Quantity>;

const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";

pub fn read(map: &Map) -> Amounts {
    map.iter().filter_map(|(name, value)| Some((name.clone(), Quantity::from_value(value)?))).gather()
}

pub fn write(amounts: &Amounts) -> Map {
    amounts.iter().map(|(name, amount)| (name.clone(), amount.to_string())).collect()
}

pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        sum.entry(name.clone()).and_modify(|total| *total = *total + *amount).or_insert(*amount);
    }
}

/// So many things.
pub fn count(number: usize) -> Quantity {
    Quantity::from_units(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSi)
}

/// The pod's sum: containers and sidecars together, or the largest moment of its start-up; pod-level amounts count
/// where there are any (`podRequests`, `podLimits`).
pub fn total(pod: &Value, what: &str) -> Amounts {
    let path = format!("resources.{what}");
    let mut sum = Amounts::new();
    for container in pod.items("spec.containers") {
        add(&mut sum, &read(container.map(&path)));
    }
    let mut sidecars = Amounts::new();
    let mut start_up = Amounts::new();
    for container in pod.items("spec.initContainers") {
        let own = read(container.map(&path));
        let moment = if container.text("restartPolicy") == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            sidecars.clone()
        } else {
            let mut moment = own;
            add(&mut moment, &sidecars);
            moment
        };
        for (name, amount) in moment {
            let largest = start_up.entry(name).or_insert(amount);
            *largest = (*largest).max(amount);
        }
    }
    for (name, amount) in start_up {
        let largest = sum.entry(name).or_insert(amount);
        *largest = (*largest).max(amount);
    }
    for (name, amount) in read(pod.map(&format!("spec.{path}"))) {
        sum.insert(name, amount);
    }
    sum
}

/// `QuotaV1Pod`: neither over nor stuck in its end.
pub fn is_charged(pod: &Value, now: Time) -> bool {
    if matches!(pod.text("status.phase"), "Failed" | "Succeeded") {
        return false;
    }
    let deletion = meta::deletion_timestamp(pod).and_then(time::parse);
    let grace = pod.integer("metadata.deletionGracePeriodSeconds");
    match (deletion, grace) {
        (Some(at), Some(grace)) => now <= at + Duration::from_secs(u64::try_from(grace).unwrap_or(0)),
        _ => true,
    }
}

fn pod_usage(pod: &Value, usage: &mut Amounts) {
    usage.insert("pods".into(), count(1));
    let overhead = read(pod.map("spec.overhead"));
    let mut requests = total(pod, "requests");
    add(&mut requests, &overhead);
    let mut limits = total(pod, "limits");
    for (name, amount) in &overhead {
        // Overhead limits only what is limited.
        if let Some(limit) = limits.get_mut(name).filter(|limit| !limit.is_zero()) {
            *limit = *limit + *amount;
        }
    }
    for (name, amount) in requests {
        let is_basic = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        let is_huge = name.starts_with("hugepages-");
        if is_basic || is_huge || is_extended(&name) {
            usage.insert(arcstr::format!("requests.{name}"), amount);
        }
        if is_basic || is_huge {
            usage.insert(name, amount);
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(amount) = limits.get(name) {
            usage.insert(arcstr::format!("limits.{name}"), *amount);
        }
    }
}

/// A resource of a device, not one of Kubernetes' own.
fn is_extended(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"))
}

fn service_usage(service: &Value, usage: &mut Amounts) {
    let ports = service.items("spec.ports");
    let is_balancer = service.text("spec.type") == "LoadBalancer";
    let node_ports = match service.text("spec.type") {
        "LoadBalancer" if service.at("spec.allocateLoadBalancerNodePorts").as_bool() == Some(false) => {
            ports.iter().filter(|port| port.integer("nodePort").unwrap_or(0) != 0).count()
        }
        "NodePort" | "LoadBalancer" => ports.len(),
        _ => 0,
    };
    usage.insert("services".into(), count(1));
    usage.insert("services.nodeports".into(), count(node_ports));
    usage.insert("services.loadbalancers".into(), count(usize::from(is_balancer)));
}

fn claim_usage(claim: &Value, usage: &mut Amounts) {
    usage.insert("persistentvolumeclaims".into(), count(1));
    let size = |path: &str| Quantity::from_value(claim.at(path).get("storage")?);
    let size = size("spec.resources.requests").max(size("status.allocatedResources"));
    let class = super::volumes::storage_class(claim);
    let prefix = (!class.is_empty()).then(|| format!("{class}{CLASS_SUFFIX}"));
    if let Some(prefix) = &prefix {
        usage.insert(arcstr::format!("{prefix}persistentvolumeclaims"), count(1));
    }
    if let Some(size) = size {
        usage.insert("requests.storage".into(), size);
        if let Some(prefix) = &prefix {
            usage.insert(arcstr::format!("{prefix}requests.storage"), size);
        }
    }
}

/// What one object takes of each resource that quotas can name (`Usage` of its evaluator).
pub fn usage(group: &str, plural: &str, object: &Value, now: Time) -> Amounts {
    let mut usage = Amounts::new();
    let dot = if group.is_empty() { "" } else { "." };
    usage.insert(arcstr::format!("count/{plural}{dot}{group}"), count(1));
    match (group, plural) {
        ("", "pods") if is_charged(object, now) => pod_usage(object, &mut usage),
        ("", "services") => service_usage(object, &mut usage),
        ("", "persistentvolumeclaims") => claim_usage(object, &mut usage),
        ("", "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas") => {
            usage.insert(plural.into(), count(1));
        }
        _ => {}
    }
    usage
}

/// Whether objects of this resource are what `name` counts (`MatchingResources`).
pub fn counts(group: &str, plural: &str, name: &str) -> bool {
    if let Some(counted) = name.strip_prefix("count/") {
        let (other, other_group) = counted.split_once('.').unwrap_or((counted, ""));
        return other == plural && other_group == group;
    }
    match (group, plural) {
        ("", "pods") => {
            let bare = name.strip_prefix("requests.");
            let is_limit = matches!(name, "limits.cpu" | "limits.memory" | "limits.ephemeral-storage");
            let is_basic = |name: &str| matches!(name, "cpu" | "memory" | "ephemeral-storage");
            name == "pods"
                || is_limit
                || is_basic(bare.unwrap_or(name))
                || bare.unwrap_or(name).starts_with("hugepages-")
                || bare.is_some_and(is_extended)
        }
        ("", "services") => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        ("", "persistentvolumeclaims") => {
            let own = |name: &str| matches!(name, "persistentvolumeclaims" | "requests.storage");
            own(name) || name.split_once(CLASS_SUFFIX).is_some_and(|(_, rest)| own(rest))
        }
        ("", "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas") => name == plural,
        _ => false,
    }
}

/// Whether a pod ends by itself, for the scopes.
pub fn is_terminating(pod: &Value) -> bool {
    pod.integer("spec.activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0)
}

fn matches_selector(value: &[&str], operator: &str, values: &[Value]) -> bool {
    let is_listed = |value: &&&str| values.iter().any(|listed| listed.as_str() == Some(**value));
    match operator {
        "In" => value.iter().any(|value| is_listed(&value)),
        "NotIn" => value.is_empty() || value.iter().any(|value| !is_listed(&value)),
        "DoesNotExist" => value.is_empty(),
        _ => !value.is_empty(),
    }
}

fn matches_scope(object: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let is_best_effort = || qos_class(object) == "BestEffort";
    match scope {
        "Terminating" => is_terminating(object),
        "NotTerminating" => !is_terminating(object),
        "BestEffort" => is_best_effort(),
        "NotBestEffort" => !is_best_effort(),
        "PriorityClass" => {
            let class = object.text("spec.priorityClassName");
            let classes: &[&str] = if class.is_empty() { &[] } else { &[class] };
            matches_selector(classes, operator, values)
        }
        "CrossNamespacePodAffinity" => ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
            let terms = |when: &str| object.items(&format!("spec.affinity.{kind}.{when}"));
            let crosses =
                |term: &Value| !term.items("namespaces").is_empty() || term.has("namespaceSelector");
            terms("requiredDuringSchedulingIgnoredDuringExecution").iter().any(crosses)
                || terms("preferredDuringSchedulingIgnoredDuringExecution")
                    .iter()
                    .any(|term| crosses(term.at("podAffinityTerm")))
        }),
        _ => false,
    }
}

/// Whether `object` lies in all scopes of `quota` (`podMatchesScopeFunc`, `pvcMatchesScopeFunc`).
pub fn in_scope(group: &str, plural: &str, quota: &Value, object: &Value) -> bool {
    let matches = |scope: &str, operator: &str, values: &[Value]| match (group, plural) {
        ("", "pods") => matches_scope(object, scope, operator, values),
        ("", "persistentvolumeclaims") if scope == "VolumeAttributesClass" => {
            let names = [
                object.text("spec.volumeAttributesClassName"),
                object.text("status.currentVolumeAttributesClassName"),
                object.text("status.modifyVolumeStatus.targetVolumeAttributesClassName"),
            ];
            let names: SortedSet<&str> = names.into_iter().filter(|name| !name.is_empty()).gather();
            matches_selector(&names.into_iter().collect::<Vec<_>>(), operator, values)
        }
        _ => false,
    };
    quota.items("spec.scopes").iter().all(|scope| matches(scope.as_str().unwrap_or(""), "Exists", &[]))
        && quota.items("spec.scopeSelector.matchExpressions").iter().all(|expression| {
            matches(expression.text("scopeName"), expression.text("operator"), expression.items("values"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_counter() {
        for (name, group, plural) in [
            ("requests.nvidia.com/gpu", "", "pods"),
            ("hugepages-2Mi", "", "pods"),
            ("count/deployments.apps", "apps", "deployments"),
            ("fast.storageclass.storage.k8s.io/requests.storage", "", "persistentvolumeclaims"),
            ("services.nodeports", "", "services"),
            ("configmaps", "", "configmaps"),
        ] {
            assert!(counts(group, plural, name), "{name}");
            assert!(!counts("apps", "replicasets", name), "{name}");
        }
    }
}
