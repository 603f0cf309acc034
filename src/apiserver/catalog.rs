//! Which door leads to which shelf: from a request's group and resource, and from an etcd key, to a cache.
//!
//! Picture to hold in mind: the floor plan at the entrance. It is drawn anew only when a custom resource
//! definition opens or closes a door.

use std::ops::Bound;
use std::sync::Arc;

use crate::api::Text;
use crate::api::kind::{Registry, ResourceInfo};
use crate::message::rest::Resource;
use crate::sorted::SortedMap;

use super::rbac::GROUP as RBAC;

/// What lies behind a door.
#[derive(Clone)]
pub(crate) struct Route {
    pub info: Arc<ResourceInfo>,
    /// The cache of its objects; `None` for what is never stored.
    pub cache: Option<usize>,
}

/// The caches that the server itself looks into.
#[derive(Clone, Copy)]
pub(crate) struct Shelves {
    pub pods: usize,
    pub nodes: usize,
    pub namespaces: usize,
    pub services: usize,
    pub service_accounts: usize,
    pub limit_ranges: usize,
    pub resource_quotas: usize,
    pub priority_classes: usize,
    pub runtime_classes: usize,
    pub storage_classes: usize,
    pub ingress_classes: usize,
    pub disruption_budgets: usize,
    pub definitions: usize,
    pub policies: usize,
    pub policy_bindings: usize,
    pub persistent_volumes: usize,
    pub cluster_roles: usize,
    pub cluster_role_bindings: usize,
    pub roles: usize,
    pub role_bindings: usize,
    pub mutating_policies: usize,
    pub mutating_policy_bindings: usize,
    pub mutating_webhooks: usize,
    pub validating_webhooks: usize,
}

pub(crate) struct Catalog {
    pub registry: Registry,
    routes: SortedMap<(Text, Text), Route>,
    /// With their closing slash; no prefix is the beginning of another.
    prefixes: SortedMap<Text, usize>,
    /// The prefix of each cache.
    pub by_cache: Vec<Arc<ResourceInfo>>,
    pub shelves: Shelves,
}

impl Catalog {
    /// `by_cache` are the shelves that there are already: they keep their numbers, for requests and streams that are
    /// under way know them by these.
    pub(crate) fn new(registry: Registry, mut by_cache: Vec<Arc<ResourceInfo>>) -> Catalog {
        let mut prefixes = SortedMap::new();
        let mut routes = SortedMap::new();
        for info in registry.resources() {
            let cache = (!info.storage_prefix.is_empty()).then(|| {
                *prefixes.entry(Text::from(format!("{}/", info.storage_prefix))).or_insert_with(|| {
                    match by_cache.iter().position(|old| old.storage_prefix == info.storage_prefix) {
                        Some(number) => {
                            by_cache[number] = Arc::clone(info);
                            number
                        }
                        None => {
                            by_cache.push(Arc::clone(info));
                            by_cache.len() - 1
                        }
                    }
                })
            });
            routes.insert((info.group.clone(), info.plural.clone()), Route { info: Arc::clone(info), cache });
        }
        let shelf = |group: &str, plural: &str| {
            let key = (Text::from(group), Text::from(plural));
            routes.get(&key).and_then(|route| route.cache).unwrap_or(usize::MAX)
        };
        let shelves = Shelves {
            pods: shelf("", "pods"),
            nodes: shelf("", "nodes"),
            namespaces: shelf("", "namespaces"),
            services: shelf("", "services"),
            service_accounts: shelf("", "serviceaccounts"),
            limit_ranges: shelf("", "limitranges"),
            resource_quotas: shelf("", "resourcequotas"),
            priority_classes: shelf("scheduling.k8s.io", "priorityclasses"),
            runtime_classes: shelf("node.k8s.io", "runtimeclasses"),
            storage_classes: shelf("storage.k8s.io", "storageclasses"),
            ingress_classes: shelf("networking.k8s.io", "ingressclasses"),
            disruption_budgets: shelf("policy", "poddisruptionbudgets"),
            definitions: shelf("apiextensions.k8s.io", "customresourcedefinitions"),
            policies: shelf("admissionregistration.k8s.io", "validatingadmissionpolicies"),
            policy_bindings: shelf("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
            persistent_volumes: shelf("", "persistentvolumes"),
            cluster_roles: shelf(RBAC, "clusterroles"),
            cluster_role_bindings: shelf(RBAC, "clusterrolebindings"),
            roles: shelf(RBAC, "roles"),
            role_bindings: shelf(RBAC, "rolebindings"),
            mutating_policies: shelf("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
            mutating_policy_bindings: shelf(
                "admissionregistration.k8s.io",
                "mutatingadmissionpolicybindings",
            ),
            mutating_webhooks: shelf("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
            validating_webhooks: shelf("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        };
        Catalog { registry, routes, prefixes, by_cache, shelves }
    }
    /// The route of a served group, version and plural.
    pub(crate) fn route(&self, resource: &Resource) -> Option<&Route> {
        self.routes
            .get(&(resource.group.clone(), resource.plural.clone()))
            .filter(|route| route.info.serves(&resource.version))
    }
    pub(crate) fn find(&self, group: &str, plural: &str) -> Option<&Route> {
        self.routes.get(&(Text::from(group), Text::from(plural)))
    }
    /// The cache of an etcd key, and the key below the cache's prefix.
    pub(crate) fn locate<'a>(&self, key: &'a str) -> Option<(usize, &'a str)> {
        let (prefix, cache) =
            self.prefixes.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        key.strip_prefix(prefix.as_str()).map(|rest| (*cache, rest))
    }
    /// Whether a shelf has a door: those of custom resources that are gone have none.
    pub(crate) fn is_open(&self, cache: usize) -> bool {
        self.prefixes.values().any(|open| *open == cache)
    }
    /// The whole etcd key.
    pub(crate) fn key(&self, cache: usize, below: &str) -> Text {
        let prefix = self.by_cache.get(cache).map_or("", |info| info.storage_prefix.as_str());
        Text::from([prefix, "/", below].concat())
    }
}

/// The key of an object below its resource's prefix.
pub(crate) fn below(info: &ResourceInfo, namespace: &str, name: &str) -> Text {
    if info.namespaced { [namespace, "/", name].concat().into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_finds_its_cache() {
        let catalog = Catalog::new(Registry::new(), Vec::new());
        for (key, plural, rest) in [
            ("/registry/pods/default/a", "pods", "default/a"),
            ("/registry/podtemplates/default/a", "podtemplates", "default/a"),
            ("/registry/services/specs/default/a", "services", "default/a"),
            ("/registry/services/endpoints/default/a", "endpoints", "default/a"),
            ("/registry/minions/worker-1", "nodes", "worker-1"),
            ("/registry/ingress/default/a", "ingresses", "default/a"),
        ] {
            let (cache, below) = catalog.locate(key).unwrap();
            assert_eq!((catalog.by_cache[cache].plural.as_str(), below), (plural, rest));
            assert_eq!(catalog.key(cache, below), key);
        }
        assert!(catalog.locate("/registry/unheard/of").is_none());
        assert!(catalog.locate("a").is_none());
        let Shelves { pods, nodes, disruption_budgets, .. } = catalog.shelves;
        assert!([pods, nodes, disruption_budgets].iter().all(|shelf| *shelf != usize::MAX));
    }
}
