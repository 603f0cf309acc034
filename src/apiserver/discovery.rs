//! Discovery: which groups, versions and resources there are, and what may be asked of each.
//!
//! Picture to hold in mind: the building's directory, once as a list of floors with a sheet per floor, and once
//! everything on one large board (aggregated discovery).
//!
//! Follows `k8s.io/apiserver/pkg/endpoints/discovery` and its `aggregated` package.

use crate::api::kind::{ResourceInfo, Subresource, Verb, join_api_version};
use crate::api::meta::split_api_version;
use crate::api::{Text, Value};
use crate::arrange::Arrange;
use crate::{array, object};

use super::ApiServer;

fn verbs(verbs: &[Verb]) -> Value {
    Value::array(verbs.iter().map(|verb| Value::from(verb.as_str())))
}

fn texts(texts: &[Text]) -> Value {
    Value::array(texts.iter().map(Value::from))
}

impl ApiServer {
    /// The document at a path, `None` where there is none.
    pub(super) fn discovery(&self, path: &str, is_aggregated: bool) -> Option<Value> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["api"] if is_aggregated => Some(self.aggregated(true)),
            ["apis"] if is_aggregated => Some(self.aggregated(false)),
            ["api"] => Some(object! {
                "kind" => "APIVersions",
                "versions" => array!["v1"],
                "serverAddressByClientCIDRs" => array![object! {
                    "clientCIDR" => "0.0.0.0/0",
                    "serverAddress" => format!("{}:6443", self.config().advertise_address),
                }],
            }),
            ["apis"] => Some(object! {
                "kind" => "APIGroupList",
                "apiVersion" => "v1",
                "groups" => Value::array(self.groups().iter().map(|group| self.group(group))),
            }),
            ["apis", group] => self.groups().iter().find(|name| name == group).map(|group| {
                let mut document = self.group(group);
                document.set("kind", "APIGroup");
                document.set("apiVersion", "v1");
                document
            }),
            ["api", version] => self.resource_list("", version),
            ["apis", group, version] => self.resource_list(group, version),
            [""] => Some(self.root()),
            _ => None,
        }
    }

    /// Named groups in the order in which discovery lists them.
    fn groups(&self) -> Vec<Text> {
        let mut groups: Vec<Text> = Vec::new();
        for info in self.catalog.registry.resources() {
            if !info.group.is_empty() && !groups.contains(&info.group) {
                groups.push(info.group.clone());
            }
        }
        groups
    }

    fn versions(&self, group: &str) -> Vec<Text> {
        self.catalog
            .registry
            .group_versions()
            .into_iter()
            .filter(|(name, _)| name == group)
            .map(|(_, version)| version)
            .collect()
    }

    fn group(&self, group: &str) -> Value {
        let versions: Vec<Value> = self
            .versions(group)
            .iter()
            .map(|version| {
                object! { "groupVersion" => join_api_version(group, version), "version" => version }
            })
            .collect();
        let preferred = versions.first().cloned().unwrap_or_default();
        object! { "name" => group, "versions" => versions, "preferredVersion" => preferred }
    }

    fn resource_list(&self, group: &str, version: &str) -> Option<Value> {
        if !self.versions(group).iter().any(|served| served == version) {
            return None;
        }
        let mut resources: Vec<Value> = Vec::new();
        for info in self.served(group, version) {
            let mut resource = object! {
                "name" => &info.plural,
                "singularName" => &info.singular,
                "namespaced" => info.namespaced,
                "kind" => &info.kind,
                "verbs" => verbs(&info.verbs),
            };
            if !info.short_names.is_empty() {
                resource.set("shortNames", texts(&info.short_names));
            }
            if !info.categories.is_empty() {
                resource.set("categories", texts(&info.categories));
            }
            resources.push(resource);
            for subresource in info.subresources_of(version) {
                let mut entry = object! {
                    "name" => format!("{}/{}", info.plural, subresource.name),
                    "singularName" => "",
                    "namespaced" => info.namespaced,
                    "kind" => &subresource.kind,
                    "verbs" => verbs(&subresource.verbs),
                };
                let (own_group, own_version) = split_api_version(&subresource.api_version);
                if own_group != group {
                    entry.set("group", own_group);
                    entry.set("version", own_version);
                }
                resources.push(entry);
            }
        }
        resources.arrange_by(|a, b| a.text("name").cmp(b.text("name")));
        Some(object! {
            "kind" => "APIResourceList",
            "apiVersion" => "v1",
            "groupVersion" => join_api_version(group, version),
            "resources" => resources,
        })
    }

    fn served<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a ResourceInfo> {
        self.catalog
            .registry
            .resources()
            .map(|info| &**info)
            .filter(move |info| info.group == group && info.serves(version))
    }

    /// `apidiscovery.k8s.io/v2`: the core group alone, or all others.
    fn aggregated(&self, is_core: bool) -> Value {
        let groups = if is_core { vec![Text::new()] } else { self.groups() };
        let items: Vec<Value> = groups
            .iter()
            .map(|group| {
                let versions: Vec<Value> = self
                    .versions(group)
                    .iter()
                    .map(|version| {
                        let mut resources: Vec<Value> = self
                            .served(group, version)
                            .map(|info| aggregated_resource(info, version))
                            .collect();
                        resources.arrange_by(|a, b| a.text("resource").cmp(b.text("resource")));
                        object! { "version" => version, "resources" => resources, "freshness" => "Current" }
                    })
                    .collect();
                let mut metadata = object! { "creationTimestamp" => Value::Null };
                if !group.is_empty() {
                    metadata.set("name", group);
                }
                object! { "metadata" => metadata, "versions" => versions }
            })
            .collect();
        object! {
            "kind" => "APIGroupDiscoveryList",
            "apiVersion" => "apidiscovery.k8s.io/v2",
            "metadata" => object! {},
            "items" => items,
        }
    }

    fn root(&self) -> Value {
        let mut paths: Vec<String> = vec!["/api".into(), "/api/v1".into(), "/apis".into(), "/apis/".into()];
        for group in self.groups() {
            paths.push(format!("/apis/{group}"));
            paths.extend(self.versions(&group).iter().map(|version| format!("/apis/{group}/{version}")));
        }
        paths.extend(
            ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
                .map(String::from),
        );
        paths.arrange();
        object! { "paths" => Value::array(paths.into_iter().map(Value::from)) }
    }
}

fn kind_of(api_version: &str, kind: &str) -> Value {
    let (group, version) = split_api_version(api_version);
    object! { "group" => group, "version" => version, "kind" => kind }
}

fn aggregated_resource(info: &ResourceInfo, version: &str) -> Value {
    let api_version = join_api_version(&info.group, version);
    let mut resource = object! {
        "resource" => &info.plural,
        "responseKind" => kind_of(&api_version, &info.kind),
        "scope" => if info.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource" => &info.singular,
        "verbs" => verbs(&info.verbs),
    };
    if !info.short_names.is_empty() {
        resource.set("shortNames", texts(&info.short_names));
    }
    if !info.categories.is_empty() {
        resource.set("categories", texts(&info.categories));
    }
    if info.subresources_of(version).next().is_some() {
        let entry = |subresource: &Subresource| {
            let own = if subresource.kind == info.kind { &api_version } else { &subresource.api_version };
            object! {
                "subresource" => &subresource.name,
                "responseKind" => kind_of(own, &subresource.kind),
                "verbs" => verbs(&subresource.verbs),
            }
        };
        resource.set("subresources", Value::array(info.subresources_of(version).map(entry)));
    }
    resource
}
