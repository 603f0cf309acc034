//! ResourceQuota: what a namespace may hold in all.
//!
//! Picture to hold in mind: a club's tab. Before you are served, the new total is compared with the limit; if it fits, the
//! tab is written on in the same breath as the drink is handed over.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go`; what things cost is in
//! [`crate::api::quota`]. Upstream writes the quota's status in a write of its own just before the object's; here both
//! are one transaction.

use crate::api::quota::{self, Amounts};
use crate::api::status::Status;
use crate::api::{Quantity, Text, Value, meta};
use crate::sim::Time;
use crate::sorted::{SortedMap, SortedSet};

use super::{Attributes, Operation};
use crate::apiserver::ApiServer;
use crate::apiserver::cycle::Companion;

fn print(usage: &Amounts) -> String {
    usage.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

/// A quota on cpu or memory wants every container to say how much (`Constraints` of the pod evaluator).
fn missing_amounts(hard: &Amounts, pod: &Value) -> Option<String> {
    if !pod.map("spec.resources.requests").is_empty() || !pod.map("spec.resources.limits").is_empty() {
        return None;
    }
    let mut missing: SortedMap<&str, SortedSet<&str>> = SortedMap::new();
    for container in pod.items("spec.containers").iter().chain(pod.items("spec.initContainers")) {
        for wanted in ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"] {
            let (path, name) = wanted.split_once('.').unwrap_or(("requests", wanted));
            if hard.contains_key(wanted) && !container.map(&format!("resources.{path}")).contains_key(name) {
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

/// Whether the kind's evaluator looks at this request (`Handles`).
fn is_handled(attributes: &Attributes, object: &Value, old: Option<&Value>) -> bool {
    let is_create = attributes.operation == Operation::Create;
    match (attributes.info.group.as_str(), attributes.info.plural.as_str(), attributes.subresource.as_str()) {
        ("", "pods", "resize") => !is_create,
        ("", "pods", "") => {
            is_create || old.is_some_and(|old| quota::is_terminating(old) != quota::is_terminating(object))
        }
        ("", "services" | "persistentvolumeclaims", "") => true,
        // Events come and go by themselves.
        (_, "events", _) => false,
        (_, _, "") => is_create,
        _ => false,
    }
}

impl ApiServer {
    pub(super) fn check_quota(
        &self,
        attributes: &mut Attributes,
        object: &Value,
        old: Option<&Value>,
        now: Time,
    ) -> Result<(), Status> {
        let shelf = self.catalog.shelves.resource_quotas;
        let Some(cache) = self.caches.get(shelf).filter(|cache| !cache.objects.is_empty()) else {
            return Ok(());
        };
        if attributes.namespace.is_empty() || !is_handled(attributes, object, old) {
            return Ok(());
        }
        let (group, plural) = (attributes.info.group.as_str(), attributes.info.plural.as_str());
        let concerns = |quota: &Value, object: &Value| {
            quota.map("status.hard").keys().any(|name| quota::counts(group, plural, name))
                && quota::in_scope(group, plural, quota, object)
        };
        let asked = quota::usage(group, plural, object, now);
        for (key, quota) in cache.list(&attributes.namespace) {
            // A quota that its controller has not counted yet holds nobody back.
            if !concerns(quota, object) {
                continue;
            }
            let mut hard = quota::read(quota.map("status.hard"));
            hard.retain(|name, _| quota::counts(group, plural, name));
            let used = quota::read(quota.map("status.used"));
            let name = meta::name(quota);
            if attributes.is("", "Pod")
                && let Some(missing) = missing_amounts(&hard, object)
            {
                return Err(attributes.forbidden(object, format!("failed quota: {name}: {missing}")));
            }
            if hard.keys().any(|resource| !used.contains_key(resource)) {
                let names: Vec<&str> = hard.keys().map(Text::as_str).collect();
                let message = format!("status unknown for quota: {name}, resources: {}", names.join(","));
                return Err(attributes.forbidden(object, message));
            }
            let before = match old {
                Some(old) if attributes.operation == Operation::Update && concerns(quota, old) => {
                    quota::usage(group, plural, old, now)
                }
                _ => Amounts::new(),
            };
            let mut new_used = used.clone();
            let (mut requested, mut exceeded_used, mut exceeded_hard) =
                (Amounts::new(), Amounts::new(), Amounts::new());
            let mut is_changed = false;
            for (resource, limit) in &hard {
                let Some(amount) = asked.get(resource) else { continue };
                let delta = match before.get(resource) {
                    Some(before) if before >= amount => continue,
                    Some(before) => *amount - *before,
                    None => *amount,
                };
                if delta.is_zero() {
                    continue;
                }
                let used_now = used.get(resource).copied().unwrap_or(Quantity::ZERO);
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
                attributes.companions.push(Companion::Replace {
                    key: self.catalog.key(shelf, key),
                    object: quota.clone().with("status.used", quota::write(&new_used)),
                    revision: meta::resource_version(quota),
                });
            }
        }
        Ok(())
    }
}
