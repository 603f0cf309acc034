//! ResourceQuota: what a namespace may hold in all.
//!
//! Picture to hold in mind: a club's tab. Before you are served, the new total is compared with the limit; if it fits, the
//! tab is written on in the same breath as the drink is handed over.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go` and `pkg/quota/v1/evaluator/core`. Upstream
//! writes the quota's status in a write of its own just before the object's; here both are one transaction.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::quantity::Quantity;
use crate::api::status::Status;
use crate::api::{Map, Text, Value, meta};

use super::limit_ranger::total;
use super::{Attributes, Operation};
use crate::apiserver::ApiServer;
use crate::apiserver::cycle::Companion;

type Usage = BTreeMap<Text, Quantity>;

fn read(map: &Map) -> Usage {
    map.iter().filter_map(|(name, value)| Some((name.clone(), Quantity::from_value(value)?))).collect()
}

fn one() -> Quantity {
    count(1)
}

fn count(number: i64) -> Quantity {
    Quantity::from_value(&Value::Integer(number)).unwrap_or_else(zero)
}

fn zero() -> Quantity {
    // Every integer is a quantity.
    Quantity::parse("0").unwrap_or_else(|_| unreachable!("0 is a quantity"))
}

fn print(usage: &Usage) -> String {
    usage.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

/// What one object takes of each resource that quotas can name.
fn usage_of(attributes: &Attributes, object: &Value) -> Usage {
    let info = attributes.info;
    let mut usage = Usage::new();
    usage.insert(format!("count/{}", info.group_resource()).into(), one());
    match (info.group.as_str(), info.plural.as_str()) {
        ("", "pods") => {
            // A pod that is over, or is no longer there to its kubelet, counts only as an object.
            if matches!(object.text("status.phase"), "Failed" | "Succeeded") {
                return usage;
            }
            usage.insert("pods".into(), one());
            for (what, prefix) in [("requests", "requests."), ("limits", "limits.")] {
                for (name, amount) in total(object, what) {
                    let is_basic = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
                    let is_requested = prefix == "requests.";
                    if is_basic && is_requested {
                        usage.insert(name.clone(), amount);
                    }
                    if is_basic || name.starts_with("hugepages-") || is_requested {
                        usage.insert(format!("{prefix}{name}").into(), amount);
                    }
                    if is_requested && name.starts_with("hugepages-") {
                        usage.insert(name, amount);
                    }
                }
            }
        }
        ("", "services") => {
            usage.insert("services".into(), one());
            let ports = object.items("spec.ports");
            let (mut node_ports, mut load_balancers) = (0, 0);
            match object.text("spec.type") {
                "NodePort" => node_ports = ports.len(),
                "LoadBalancer" => {
                    load_balancers = 1;
                    node_ports = if object.at("spec.allocateLoadBalancerNodePorts").as_bool() == Some(false) {
                        ports.iter().filter(|port| port.integer("nodePort").unwrap_or(0) != 0).count()
                    } else {
                        ports.len()
                    };
                }
                _ => {}
            }
            usage.insert("services.nodeports".into(), count(node_ports as i64));
            usage.insert("services.loadbalancers".into(), count(load_balancers));
        }
        ("", "persistentvolumeclaims") => {
            usage.insert("persistentvolumeclaims".into(), one());
            let size = Quantity::from_value(object.at("spec.resources.requests.storage"));
            let class = object.text("spec.storageClassName");
            if let Some(size) = size {
                usage.insert("requests.storage".into(), size);
            }
            if !class.is_empty() {
                let prefix = format!("{class}.storageclass.storage.k8s.io/");
                usage.insert(format!("{prefix}persistentvolumeclaims").into(), one());
                if let Some(size) = size {
                    usage.insert(format!("{prefix}requests.storage").into(), size);
                }
            }
        }
        ("", "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas") => {
            usage.insert(info.plural.clone(), one());
        }
        _ => {}
    }
    usage
}

fn is_best_effort(pod: &Value) -> bool {
    !pod.items("spec.containers").iter().chain(pod.items("spec.initContainers")).any(|container| {
        ["resources.requests", "resources.limits"]
            .iter()
            .any(|path| ["cpu", "memory"].iter().any(|name| container.map(path).contains_key(name)))
    })
}

fn matches_scope(pod: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let terminating = pod.integer("spec.activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0);
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class = pod.text("spec.priorityClassName");
            let is_listed = values.iter().any(|value| value.as_str() == Some(class));
            match operator {
                "In" => !class.is_empty() && is_listed,
                "NotIn" => !is_listed,
                "DoesNotExist" => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
        "CrossNamespacePodAffinity" => ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
            let required =
                pod.items(&format!("spec.affinity.{kind}.requiredDuringSchedulingIgnoredDuringExecution"));
            let preferred =
                pod.items(&format!("spec.affinity.{kind}.preferredDuringSchedulingIgnoredDuringExecution"));
            let crosses =
                |term: &Value| !term.items("namespaces").is_empty() || term.has("namespaceSelector");
            required.iter().any(crosses) || preferred.iter().any(|term| crosses(term.at("podAffinityTerm")))
        }),
        _ => false,
    }
}

fn in_scope(attributes: &Attributes, quota: &Value, object: &Value) -> bool {
    let scopes = quota.items("spec.scopes");
    let expressions = quota.items("spec.scopeSelector.matchExpressions");
    if scopes.is_empty() && expressions.is_empty() {
        return true;
    }
    // Scopes are about pods.
    attributes.is("", "Pod")
        && scopes.iter().all(|scope| matches_scope(object, scope.as_str().unwrap_or(""), "Exists", &[]))
        && expressions.iter().all(|expression| {
            matches_scope(
                object,
                expression.text("scopeName"),
                expression.text("operator"),
                expression.items("values"),
            )
        })
}

/// A quota on cpu or memory wants every container to say how much (`Constraints` of the pod evaluator).
fn missing_amounts(hard: &Usage, pod: &Value) -> Option<String> {
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let has_pod_level =
        |path: &str, name: &str| pod.map(&format!("spec.resources.{path}")).contains_key(name);
    for container in pod.items("spec.containers").iter().chain(pod.items("spec.initContainers")) {
        for wanted in ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"] {
            if !hard.contains_key(wanted) {
                continue;
            }
            let (path, name) = wanted.split_once('.').unwrap_or(("requests", wanted));
            if !container.map(&format!("resources.{path}")).contains_key(name) && !has_pod_level(path, name) {
                missing.entry(wanted).or_default().insert(container.text("name"));
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(resource, names)| {
            format!("{resource} for: {}", names.into_iter().collect::<Vec<_>>().join(","))
        })
        .collect();
    Some(format!("must specify {}", parts.join("; ")))
}

impl ApiServer {
    pub(super) fn check_quota(
        &self,
        attributes: &mut Attributes,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let shelf = self.catalog.shelves.resource_quotas;
        let Some(cache) = self.caches.get(shelf).filter(|cache| !cache.objects.is_empty()) else {
            return Ok(());
        };
        if !attributes.subresource.is_empty()
            || attributes.namespace.is_empty()
            || !attributes.info.namespaced
        {
            return Ok(());
        }
        // Only these are billed on update.
        let is_update = attributes.operation == Operation::Update;
        let changes_usage =
            ["services", "persistentvolumeclaims", "pods"].contains(&attributes.info.plural.as_str());
        if attributes.info.kind == "Event" || (is_update && !changes_usage) {
            return Ok(());
        }
        for (key, quota) in cache.list(&attributes.namespace) {
            if !in_scope(attributes, quota, object) {
                continue;
            }
            let hard = read(quota.map("status.hard"));
            let used = read(quota.map("status.used"));
            let now = usage_of(attributes, object);
            let name = meta::name(quota);
            let is_concerned = hard.keys().any(|resource| now.contains_key(resource));
            if attributes.is("", "Pod")
                && !is_update
                && let Some(missing) = missing_amounts(&hard, object)
            {
                return Err(attributes.forbidden(object, format!("failed quota: {name}: {missing}")));
            }
            // A quota whose controller has not counted yet lets nothing through that it is about.
            let spec = read(quota.map("spec.hard"));
            let unknown: Vec<&str> = spec
                .keys()
                .filter(|resource| now.contains_key(*resource) && !used.contains_key(*resource))
                .map(Text::as_str)
                .collect();
            if !unknown.is_empty() && !is_update {
                let message = format!("status unknown for quota: {name}, resources: {}", unknown.join(","));
                return Err(attributes.forbidden(object, message));
            }
            if !is_concerned {
                continue;
            }
            let before = match old {
                Some(old) if is_update => usage_of(attributes, old),
                _ => Usage::new(),
            };
            let mut new_used = used.clone();
            let (mut requested, mut exceeded_used, mut exceeded_hard) =
                (Usage::new(), Usage::new(), Usage::new());
            let mut is_changed = false;
            for (resource, limit) in &hard {
                let Some(amount) = now.get(resource) else { continue };
                let delta = match before.get(resource) {
                    Some(before) if before >= amount => continue,
                    Some(before) => *amount - *before,
                    None => *amount,
                };
                if delta == zero() {
                    continue;
                }
                let used_now = used.get(resource).copied().unwrap_or_else(zero);
                let total = used_now + delta;
                is_changed = true;
                if total > *limit {
                    requested.insert(resource.clone(), delta);
                    exceeded_used.insert(resource.clone(), used_now);
                    exceeded_hard.insert(resource.clone(), *limit);
                }
                new_used.insert(resource.clone(), total);
            }
            if !requested.is_empty() {
                let message = format!(
                    "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
                    print(&requested),
                    print(&exceeded_used),
                    print(&exceeded_hard)
                );
                return Err(attributes.forbidden(object, message));
            }
            if is_changed && !attributes.dry_run {
                let used: Map =
                    new_used.iter().map(|(name, amount)| (name.clone(), amount.to_string())).collect();
                attributes.companions.push(Companion::Replace {
                    key: self.catalog.key(shelf, key),
                    object: quota.clone().with("status.used", used),
                    revision: meta::resource_version(quota),
                });
            }
        }
        Ok(())
    }
}
