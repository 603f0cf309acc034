//! The resources that are served at one instant, and how one is found by what people call it.
//!
//! Picture to hold in mind: the wall itself, with the painted table and the screwed plates, and the porter who knows that
//! "deploy" is on the third floor.

use std::sync::{Arc, LazyLock};

use crate::api::meta;
use crate::api::value::{Text, Value};
use crate::sorted::SortedMap;

use super::{ResourceInfo, Subresource, Verb, join_api_version};

/// All resources at one instant: the built-in ones, and those that definitions added. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    built_in: &'static Index,
    custom: Arc<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// In discovery order.
    resources: Vec<Arc<ResourceInfo>>,
    by_resource: SortedMap<(Text, Text), usize>,
    by_kind: SortedMap<(Text, Text), usize>,
}

impl Index {
    fn new(resources: Vec<Arc<ResourceInfo>>) -> Index {
        let mut index = Index::default();
        for (position, info) in resources.iter().enumerate() {
            index.by_resource.entry((info.group.clone(), info.plural.clone())).or_insert(position);
            index.by_kind.entry((info.group.clone(), info.kind.clone())).or_insert(position);
        }
        index.resources = resources;
        index
    }
}

/// Whether a resource is one of Kubernetes' own.
pub(super) fn is_built_in(group: &Text, plural: &Text) -> bool {
    BUILT_IN.by_resource.contains_key(&(group.clone(), plural.clone()))
}

static BUILT_IN: LazyLock<Index> = LazyLock::new(|| Index::new(read_table(include_str!("builtin.txt"))));

/// Reads the table: `[group/version ...]` headings; then, a line each: plural, singular, kind, scope, verbs by
/// letter, short names, categories, storage prefix, and subresources `name=[api version.]Kind:verbs`.
fn read_table(table: &str) -> Vec<Arc<ResourceInfo>> {
    let mut resources = Vec::new();
    let (mut group, mut versions) = (Text::new(), Vec::new());
    for line in table.lines() {
        if let Some(heading) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let (name, list) = heading.split_once('/').unwrap_or(("", heading));
            group = Text::from(name);
            versions = list.split(' ').map(Text::from).collect();
            continue;
        }
        let mut words = line.split(' ').map(|word| if word == "-" { "" } else { word });
        let mut next = || words.next().unwrap_or("");
        let list = |word: &str| -> Vec<Text> {
            word.split(',').filter(|name| !name.is_empty()).map(Text::from).collect()
        };
        let (plural, singular, kind) = (next(), next(), next());
        let (scope, verbs, short_names, categories, prefix) = (next(), next(), next(), next(), next());
        let version = versions.first().cloned().unwrap_or_default();
        let subresources = words
            .filter_map(|word| {
                let (name, rest) = word.split_once('=')?;
                let (kind, verbs) = rest.split_once(':')?;
                let (api_version, kind) = match kind.rsplit_once('.') {
                    Some((api_version, kind)) => (Text::from(api_version), kind),
                    None => (join_api_version(&group, &version), kind),
                };
                Some(Subresource {
                    name: name.into(),
                    api_version,
                    kind: kind.into(),
                    verbs: Verb::list(verbs),
                })
            })
            .collect();
        resources.push(Arc::new(ResourceInfo {
            group: group.clone(),
            versions: versions.clone(),
            storage_version: version,
            kind: kind.into(),
            list_kind: format!("{kind}List").into(),
            plural: plural.into(),
            singular: singular.into(),
            short_names: list(short_names),
            categories: list(categories),
            namespaced: scope == "namespaced",
            verbs: Verb::list(verbs),
            subresources,
            storage_prefix: if prefix.is_empty() {
                Text::new()
            } else {
                format!("/registry/{prefix}").into()
            },
            definition: None,
            custom: false,
        }));
    }
    resources
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl Registry {
    /// What a fresh cluster serves.
    pub fn new() -> Registry {
        Registry { built_in: &BUILT_IN, custom: Arc::default() }
    }
    /// The same with these custom resources in place of those it had.
    #[must_use]
    pub fn with_custom(&self, custom: Vec<Arc<ResourceInfo>>) -> Registry {
        Registry { built_in: self.built_in, custom: Arc::new(Index::new(custom)) }
    }
    /// The built-in resources, and those of these definitions that are established.
    pub fn with_definitions<'a>(definitions: impl Iterator<Item = &'a Value>) -> Registry {
        let custom = definitions.filter_map(ResourceInfo::from_definition).map(Arc::new).collect();
        Registry::new().with_custom(custom)
    }
    /// The resources that definitions added.
    pub fn custom(&self) -> &[Arc<ResourceInfo>] {
        &self.custom.resources
    }

    fn indexes(&self) -> [&Index; 2] {
        [self.built_in, &self.custom]
    }
    /// All resources, groups in the order in which discovery lists them.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<ResourceInfo>> {
        self.built_in.resources.iter().chain(self.custom.resources.iter())
    }
    /// By the name in paths: `("apps", "deployments")`.
    pub fn resource(&self, group: &str, plural: &str) -> Option<&Arc<ResourceInfo>> {
        let key = (Text::from(group), Text::from(plural));
        self.indexes()
            .into_iter()
            .find_map(|index| index.by_resource.get(&key).map(|position| &index.resources[*position]))
    }
    /// By kind, at any version.
    pub fn kind(&self, group: &str, kind: &str) -> Option<&Arc<ResourceInfo>> {
        let key = (Text::from(group), Text::from(kind));
        self.indexes()
            .into_iter()
            .find_map(|index| index.by_kind.get(&key).map(|position| &index.resources[*position]))
    }
    /// By what an object says of itself; only if that version is served.
    pub fn for_api_version(&self, api_version: &str, kind: &str) -> Option<&Arc<ResourceInfo>> {
        let (group, version) = meta::split_api_version(api_version);
        self.kind(group, kind).filter(|info| info.serves(version))
    }
    pub fn for_object(&self, object: &Value) -> Option<&Arc<ResourceInfo>> {
        self.for_api_version(meta::api_version(object), meta::kind(object))
    }

    /// What a person may type for a resource: `po`, `pod`, `pods`, `Deployment`, `deploy.apps`,
    /// `deployments.v1.apps`, a group's beginning too (`ing.networking`). Of several the first in discovery
    /// order, which is group priority. Also tells the version when one was named.
    pub fn find(&self, typed: &str) -> Option<(&Arc<ResourceInfo>, Option<Text>)> {
        let typed = typed.to_ascii_lowercase();
        let Some((name, rest)) = typed.split_once('.') else {
            return self.find_name(&typed, |_| true).map(|info| (info, None));
        };
        // resource.version.group comes before resource.group, as in ParseResourceArg.
        if let Some((version, group)) = rest.split_once('.')
            && let Some(info) = self.find_name(name, |info| info.group == group && info.serves(version))
        {
            return Some((info, Some(Text::from(version))));
        }
        if let Some(info) = self.find_name(name, |info| info.group.is_empty() && info.serves(rest)) {
            return Some((info, Some(Text::from(rest))));
        }
        self.find_name(name, |info| info.group == rest)
            .or_else(|| self.find_name(name, |info| info.group.starts_with(rest)))
            .map(|info| (info, None))
    }

    fn find_name(&self, name: &str, fits: impl Fn(&ResourceInfo) -> bool) -> Option<&Arc<ResourceInfo>> {
        self.resources().find(|info| fits(info) && (info.plural == name || info.singular == name)).or_else(
            || self.resources().find(|info| fits(info) && info.short_names.iter().any(|s| s == name)),
        )
    }

    /// The resources of a category (`all`, `api-extensions`), in discovery order.
    pub fn category(&self, name: &str) -> Vec<&Arc<ResourceInfo>> {
        self.resources().filter(|info| info.categories.iter().any(|category| category == name)).collect()
    }
    /// Every served `group/version`, the core group first, then in discovery order, preferred versions first.
    pub fn group_versions(&self) -> Vec<(Text, Text)> {
        let mut list: Vec<(Text, Text)> = Vec::new();
        for info in self.resources() {
            for version in &info.versions {
                let pair = (info.group.clone(), version.clone());
                if !list.contains(&pair) {
                    list.push(pair);
                }
            }
        }
        list
    }
}
