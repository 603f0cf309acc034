//! Every resource that the API server serves, and the names people call it by.
//!
//! Picture to hold in mind: the directory on the wall of a town hall. Each line gives an office's full name, its
//! nicknames, its floor and door, and what may be asked there. Built-in offices are painted on; the
//! plates of custom resources are screwed on and off while the house is open.
//!
//! The built-in table holds what Kubernetes 1.36 serves by default (its discovery documents); lookups follow
//! apimachinery's REST mappers (`pkg/api/meta`) and kubectl's shortcut expander.

use crate::arrange::Arrange;

use std::fmt;
use std::sync::Arc;

use super::custom::CustomKind;
use super::meta;
use super::value::{Text, Value};

mod registry;

pub use registry::Registry;

macro_rules! grouped_name {
    ($(#[$doc:meta])* $type:ident, $field:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type {
            /// Empty for the core group.
            pub group: Text,
            pub $field: Text,
        }
        impl $type {
            pub fn new(group: impl Into<Text>, $field: impl Into<Text>) -> $type {
                $type { group: group.into(), $field: $field.into() }
            }
            pub fn is_empty(&self) -> bool {
                self.group.is_empty() && self.$field.is_empty()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str(&self.$field)?;
                if self.group.is_empty() { Ok(()) } else { write!(formatter, ".{}", self.group) }
            }
        }
    };
}

grouped_name!(
    /// `Deployment` of `apps`; prints as `Deployment.apps`.
    GroupKind,
    kind
);
grouped_name!(
    /// `deployments` of `apps`; prints as `deployments.apps`.
    GroupResource,
    resource
);

/// What may be asked of a resource, as discovery lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Create,
    Delete,
    DeleteCollection,
    Get,
    List,
    Patch,
    Update,
    Watch,
}

impl Verb {
    pub const ALL: [Verb; 8] = [
        Verb::Create,
        Verb::Delete,
        Verb::DeleteCollection,
        Verb::Get,
        Verb::List,
        Verb::Patch,
        Verb::Update,
        Verb::Watch,
    ];
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Patch => "patch",
            Verb::Update => "update",
            Verb::Watch => "watch",
        }
    }
    /// Its letter in the built-in table.
    fn letter(self) -> char {
        match self {
            Verb::DeleteCollection => 'x',
            other => other.as_str().chars().next().unwrap_or('-'),
        }
    }
    fn list(letters: &str) -> Vec<Verb> {
        Verb::ALL.into_iter().filter(|verb| letters.contains(verb.letter())).collect()
    }
}

/// `pods/log`, `deployments/scale`: a door beside the main one.
#[derive(Clone, Debug, PartialEq)]
pub struct Subresource {
    pub name: Text,
    /// What is sent and received there: `v1`/`Pod`, `autoscaling/v1`/`Scale`.
    pub api_version: Text,
    pub kind: Text,
    pub verbs: Vec<Verb>,
}

/// One resource of one group, at all of its versions.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceInfo {
    /// Empty for the core group.
    pub group: Text,
    /// Served versions, the preferred one first.
    pub versions: Vec<Text>,
    /// The version in which objects are stored.
    pub storage_version: Text,
    pub kind: Text,
    /// `DeploymentList`.
    pub list_kind: Text,
    /// The name in paths: `deployments`.
    pub plural: Text,
    pub singular: Text,
    pub short_names: Vec<Text>,
    pub categories: Vec<Text>,
    pub namespaced: bool,
    pub verbs: Vec<Verb>,
    pub subresources: Vec<Subresource>,
    /// The etcd keys' beginning without a closing slash (`/registry/deployments`); empty for what is never
    /// stored, such as reviews.
    pub storage_prefix: Text,
    /// What its CustomResourceDefinition says of it; `None` for built-in resources, and for custom ones of which
    /// only discovery has told.
    pub definition: Option<Arc<CustomKind>>,
    /// Comes from a CustomResourceDefinition.
    pub custom: bool,
}

impl ResourceInfo {
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.plural)
    }
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }
    pub fn preferred_version(&self) -> &Text {
        self.versions.first().unwrap_or(&self.storage_version)
    }
    /// `apps/v1`, `v1`: the preferred one.
    pub fn api_version(&self) -> Text {
        join_api_version(&self.group, self.preferred_version())
    }
    pub fn storage_api_version(&self) -> Text {
        join_api_version(&self.group, &self.storage_version)
    }
    pub fn serves(&self, version: &str) -> bool {
        self.versions.iter().any(|served| served == version)
    }
    pub fn can(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
    /// The subresources of one version: those of custom resources may differ.
    pub fn subresources_of(&self, version: &str) -> impl Iterator<Item = &Subresource> {
        let own = self.definition.as_ref().and_then(|definition| definition.version(version));
        self.subresources
            .iter()
            .filter(move |subresource| own.is_none_or(|own| own.has_subresource(&subresource.name)))
    }
    /// The etcd key of one object.
    pub fn storage_key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced {
            format!("{}/{namespace}/{name}", self.storage_prefix)
        } else {
            format!("{}/{name}", self.storage_prefix)
        }
    }
    /// What all etcd keys of this resource begin with, of one namespace if one is given.
    pub fn storage_range(&self, namespace: &str) -> String {
        if self.namespaced && !namespace.is_empty() {
            format!("{}/{namespace}/", self.storage_prefix)
        } else {
            format!("{}/", self.storage_prefix)
        }
    }
    /// The request path of an object, or of the collection when `name` is empty, at `version`.
    pub fn path(&self, version: &str, namespace: &str, name: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{}/{version}", self.group)
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        for part in [self.plural.as_str(), name] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        path
    }

    /// The resource that a stored CustomResourceDefinition describes, `None` while it is not established.
    /// Follows apiextensions-apiserver `pkg/apiserver/customresource_discovery_controller.go`.
    pub fn from_definition(definition: &Value) -> Option<ResourceInfo> {
        if !meta::is_condition_true(definition, "Established") {
            return None;
        }
        let custom = CustomKind::new(definition);
        let names = definition.at("status.acceptedNames");
        let group = definition.shared_text("spec.group");
        let mut versions: Vec<Text> = custom
            .versions()
            .filter(|version| version.served())
            .map(|version| version.name.clone())
            .collect();
        versions.arrange_by(|a, b| compare_versions(b, a));
        let storage_version = custom.versions().find(|version| version.stored())?.name.clone();
        let kind = names.shared_text("kind");
        let plural = names.shared_text("plural");
        if versions.is_empty() || kind.is_empty() || plural.is_empty() {
            return None;
        }
        let texts = |field: &str| -> Vec<Text> {
            names.items(field).iter().filter_map(|name| name.as_str().map(Text::from)).collect()
        };
        let mut subresources = Vec::new();
        let api_version = join_api_version(&group, versions.first()?);
        for (name, own_kind) in [("status", true), ("scale", false)] {
            if custom.versions().any(|version| version.served() && version.has_subresource(name)) {
                subresources.push(Subresource {
                    name: Text::from(name),
                    api_version: if own_kind { api_version.clone() } else { Text::from("autoscaling/v1") },
                    kind: if own_kind { kind.clone() } else { Text::from("Scale") },
                    verbs: Verb::list("gpu"),
                });
            }
        }
        // What is about to go takes nothing new.
        let is_terminating = meta::is_condition_true(definition, "Terminating");
        Some(ResourceInfo {
            storage_prefix: Text::from(format!("/registry/{group}/{plural}")),
            singular: names.shared_text("singular"),
            list_kind: names.shared_text("listKind"),
            group,
            versions,
            storage_version,
            kind,
            plural,
            short_names: texts("shortNames"),
            categories: texts("categories"),
            namespaced: definition.text("spec.scope") == "Namespaced",
            verbs: if is_terminating { Verb::list("dxglw") } else { Verb::ALL.to_vec() },
            subresources,
            definition: Some(custom),
            custom: true,
        })
    }

    /// The resources that aggregated discovery tells of (an `APIGroupDiscoveryList`) and that are not built in.
    pub fn from_discovery(groups: &Value) -> Vec<ResourceInfo> {
        let mut found: Vec<ResourceInfo> = Vec::new();
        for group in groups.items("items") {
            let name = group.shared_text("metadata.name");
            for version in group.items("versions") {
                for resource in version.items("resources") {
                    let plural = resource.shared_text("resource");
                    if registry::is_built_in(&name, &plural) {
                        continue;
                    }
                    let version = version.shared_text("version");
                    match found.iter_mut().find(|info| info.group == name && info.plural == plural) {
                        Some(info) => info.versions.push(version),
                        None => found.push(discovered(name.clone(), version, plural, resource)),
                    }
                }
            }
        }
        found
    }
}

/// One entry of aggregated discovery.
fn discovered(group: Text, version: Text, plural: Text, resource: &Value) -> ResourceInfo {
    let texts = |field: &str| -> Vec<Text> {
        resource.items(field).iter().filter_map(|name| name.as_str().map(Text::from)).collect()
    };
    let verbs = |entry: &Value| -> Vec<Verb> {
        let names = entry.items("verbs");
        let has = |verb: &Verb| names.iter().any(|name| name.as_str() == Some(verb.as_str()));
        Verb::ALL.into_iter().filter(has).collect()
    };
    let kind = resource.shared_text("responseKind.kind");
    let subresource = |entry: &Value| Subresource {
        name: entry.shared_text("subresource"),
        api_version: join_api_version(entry.text("responseKind.group"), entry.text("responseKind.version")),
        kind: entry.shared_text("responseKind.kind"),
        verbs: verbs(entry),
    };
    ResourceInfo {
        list_kind: Text::from(format!("{kind}List")),
        singular: resource.shared_text("singularResource"),
        storage_version: version.clone(),
        versions: vec![version],
        storage_prefix: Text::new(),
        namespaced: resource.text("scope") == "Namespaced",
        short_names: texts("shortNames"),
        categories: texts("categories"),
        verbs: verbs(resource),
        subresources: resource.items("subresources").iter().map(subresource).collect(),
        group,
        kind,
        plural,
        definition: None,
        custom: true,
    }
}

/// `group/version`, or `version` alone in the core group.
pub fn join_api_version(group: &str, version: &str) -> Text {
    if group.is_empty() { Text::from(version) } else { Text::from(format!("{group}/{version}")) }
}

/// Orders API versions by preference, greatest first wanted: `v10 > v2 > v1 > v2beta1 > v1alpha1 > other`.
/// Follows `k8s.io/apimachinery/pkg/version.CompareKubeAwareVersionStrings`.
pub fn compare_versions(a: &str, b: &str) -> std::cmp::Ordering {
    fn rank(version: &str) -> Option<(u8, u64, u64)> {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        if tail.is_empty() {
            return Some((2, major, 0));
        }
        for (stage, name) in [(1, "beta"), (0, "alpha")] {
            if let Some(minor) = tail.strip_prefix(name) {
                return Some((stage, major, if minor.is_empty() { 0 } else { minor.parse().ok()? }));
            }
        }
        None
    }
    match (rank(a), rank(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Greater,
        (None, Some(_)) => std::cmp::Ordering::Less,
        (None, None) => b.cmp(a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    #[test]
    fn people_find_resources_by_many_names() {
        let registry = Registry::new();
        for (typed, expected) in [
            ("po", "pods"),
            ("Pod", "pods"),
            ("deploy", "deployments.apps"),
            ("deployments.apps", "deployments.apps"),
            ("deployments.v1.apps", "deployments.apps"),
            ("deploy.apps", "deployments.apps"),
            ("ing.networking", "ingresses.networking.k8s.io"),
            ("ev", "events"),
            ("events.events.k8s.io", "events.events.k8s.io"),
            ("hpa.v1.autoscaling", "horizontalpodautoscalers.autoscaling"),
            ("pods.v1", "pods"),
            ("crds", "customresourcedefinitions.apiextensions.k8s.io"),
            ("endpoints", "endpoints"),
            ("unicorn", ""),
            ("deployments.batch", ""),
            ("", ""),
            (".", ""),
        ] {
            let found = registry.find(typed).map(|(info, _)| info.group_resource().to_string());
            assert_eq!(found.unwrap_or_default(), expected, "{typed}");
        }
    }

    #[test]
    fn the_table_is_what_the_real_server_lists() {
        let table = include_str!("../../tests/conformance/kubectl/discovery.json");
        let steps: Value = serde_json::from_str(table).unwrap();
        let listed = steps.as_array().unwrap()[0].text("stdout");
        let registry = Registry::new();
        let mut count = 0;
        for line in listed.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [.., api_version, namespaced, kind] = words[..] else { panic!("{line}") };
            let info = registry.for_api_version(api_version, kind).expect(line);
            assert_eq!(info.plural, words[0]);
            assert_eq!(info.api_version(), api_version);
            assert_eq!(info.namespaced.to_string(), namespaced);
            let short_names = if words.len() == 5 { words[1] } else { "" };
            assert_eq!(info.short_names.join(","), short_names);
            count += 1;
        }
        assert_eq!(count, registry.resources().count());
    }

    #[test]
    fn keys_and_paths() {
        let registry = Registry::new();
        for (typed, namespace, name, key, path) in [
            (
                "svc",
                "default",
                "web",
                "/registry/services/specs/default/web",
                "/api/v1/namespaces/default/services/web",
            ),
            ("no", "", "worker-1", "/registry/minions/worker-1", "/api/v1/nodes/worker-1"),
            ("deploy", "a", "", "/registry/deployments/a/", "/apis/apps/v1/namespaces/a/deployments"),
        ] {
            let info = registry.find(typed).unwrap().0;
            assert_eq!(info.storage_key(namespace, name), key);
            assert_eq!(info.path(info.preferred_version(), namespace, name), path);
        }
    }

    #[test]
    fn versions_order_as_kubernetes_orders_them() {
        let order =
            ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"];
        for pair in order.windows(2) {
            assert_eq!(compare_versions(pair[0], pair[1]), std::cmp::Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn a_definition_adds_a_resource() {
        let mut definition = object! {
            "status" => object! {
                "acceptedNames" => object! {
                    "kind" => "Widget", "listKind" => "WidgetList", "plural" => "widgets", "singular" => "widget",
                    "shortNames" => array!["wd"],
                },
            },
            "spec" => object! {
                "group" => "shop.example.com",
                "scope" => "Namespaced",
                "versions" => array![
                    object! { "name" => "v1beta1", "served" => true, "storage" => false },
                    object! { "name" => "v1", "served" => true, "storage" => true,
                        "subresources" => object! { "status" => object! {} } },
                ],
            },
        };
        assert!(ResourceInfo::from_definition(&definition).is_none(), "it is not established");
        definition.set("status.conditions", array![object! { "type" => "Established", "status" => "True" }]);
        let registry = Registry::with_definitions([&definition].into_iter());
        let info = registry.find("wd").unwrap().0;
        assert_eq!(info.api_version(), "shop.example.com/v1");
        assert_eq!(info.storage_key("a", "b"), "/registry/shop.example.com/widgets/a/b");
        assert!(info.subresource("status").is_some() && info.subresource("scale").is_none());
        assert_eq!((info.subresources_of("v1").count(), info.subresources_of("v1beta1").count()), (1, 0));
        assert!(ResourceInfo::from_definition(&Value::Null).is_none());
    }
}
