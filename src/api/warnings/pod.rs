//! Warnings about pods and templates of pods.
//!
//! Picture to hold in mind: an experienced colleague reads over your shoulder: this works, but not as you think.
//!
//! Follows `pkg/api/pod/warnings.go`.

use super::super::value::{Text, Value};
use super::{Notes, claim_spec, deprecated_node_label, fractional, ip, node_selector_term, note};
use crate::arrange::Gather;
use crate::sorted::{SortedMap, SortedSet};

const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Volumes of drivers that are gone.
pub(super) const OLD_PLUGINS: &[(&str, &str)] = &[
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// `GetWarningsForPod`.
pub(super) fn pod(pod: &Value, notes: &mut Notes) {
    spec_and_meta(pod, "", notes);
}

/// `GetWarningsForPodTemplate`; `path` is the template's.
pub(super) fn template(template: &Value, path: &str, notes: &mut Notes) {
    spec_and_meta(template, &format!("{path}."), notes);
}

/// Containers in the order in which upstream visits them, each with its path.
fn containers<'a>(spec: &'a Value, prefix: &str) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let each = spec.items(list).iter().enumerate();
        found.extend(each.map(|(index, container)| (format!("{prefix}{list}[{index}]"), container)));
    }
    found
}

fn spec_and_meta(holder: &Value, base: &str, notes: &mut Notes) {
    let spec = holder.at("spec");
    let annotations = holder.map("metadata.annotations");
    let inside = format!("{base}spec.");
    for (key, _) in spec.map("nodeSelector").iter() {
        if let Some(message) = deprecated_node_label(key) {
            note!(notes, "{inside}nodeSelector[{key}]: {message}");
        }
    }
    node_affinity(spec, &inside, notes);
    for (index, constraint) in spec.items("topologySpreadConstraints").iter().enumerate() {
        let path = format!("{inside}topologySpreadConstraints[{index}]");
        let key = constraint.text("topologyKey");
        if let Some(message) = deprecated_node_label(key) {
            note!(notes, "{path}.topologyKey: {key} is {message}");
        }
        if !constraint.has("labelSelector") {
            note!(notes, "{path}.labelSelector: a null labelSelector results in matching no pod");
        }
    }
    for (key, message) in ANNOTATIONS {
        if annotations.contains_key(key) {
            note!(notes, "{base}metadata.annotations[{key}]: {message}");
        }
    }
    volumes(spec, &inside, notes);
    duplicates(spec, "hostAliases", "ip", &inside, notes);
    let secrets = spec.items("imagePullSecrets");
    duplicates(spec, "imagePullSecrets", "name", &inside, notes);
    for (index, secret) in secrets.iter().enumerate() {
        if secret.text("name").is_empty() {
            note!(notes, "{inside}imagePullSecrets[{index}].name: invalid empty name \"\"");
        }
    }
    if spec.has("overhead") {
        for name in ["memory", "ephemeral-storage"] {
            fractional(spec.at("overhead"), name, &[&inside, "overhead"], notes);
        }
    }
    if !spec.has("securityContext.seccompProfile") && annotations.contains_key(SECCOMP_POD) {
        note!(
            notes,
            "{base}metadata.annotations[{SECCOMP_POD}]: non-functional in v1.27+; use the \"seccompProfile\" field instead"
        );
    }
    let containers = containers(spec, &inside);
    for (path, container) in &containers {
        one_container(container, path, holder, base, notes);
    }
    ports(&containers, notes);
    if spec.integer("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        note!(
            notes,
            "{inside}terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        );
    }
    pod_affinity(spec, &inside, notes);
    for (index, server) in spec.items("dnsConfig.nameservers").iter().filter_map(Value::as_str).enumerate() {
        ip(&format!("{inside}dnsConfig.nameservers[{index}]"), server, notes);
    }
    for (index, alias) in spec.items("hostAliases").iter().enumerate() {
        ip(&format!("{inside}hostAliases[{index}].ip"), alias.text("ip"), notes);
    }
}

fn node_affinity(spec: &Value, inside: &str, notes: &mut Notes) {
    let affinity = spec.at("affinity.nodeAffinity");
    let required = "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    for (index, term) in affinity.items(required).iter().enumerate() {
        let path = format!("{inside}affinity.nodeAffinity.{required}[{index}]");
        node_selector_term(term, false, &path, notes);
    }
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    for (index, term) in affinity.items(preferred).iter().enumerate() {
        let path = format!("{inside}affinity.nodeAffinity.{preferred}[{index}].preference");
        node_selector_term(term.at("preference"), true, &path, notes);
    }
}

fn pod_affinity(spec: &Value, inside: &str, notes: &mut Notes) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (list, term) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", ""),
            ("preferredDuringSchedulingIgnoredDuringExecution", "podAffinityTerm."),
        ] {
            let path = format!("affinity.{kind}.{list}");
            for (index, entry) in spec.items(&path).iter().enumerate() {
                if !entry.has(&format!("{term}labelSelector")) {
                    note!(
                        notes,
                        "{inside}{path}[{index}].{term}labelSelector: a null labelSelector results in matching no pod"
                    );
                }
            }
        }
    }
}

fn duplicates(spec: &Value, list: &str, field: &str, inside: &str, notes: &mut Notes) {
    let mut seen = SortedSet::new();
    for (index, entry) in spec.items(list).iter().enumerate() {
        let value = entry.text(field);
        if !seen.insert(value) {
            note!(notes, "{inside}{list}[{index}].{field}: duplicate {field} {value:?}");
        }
    }
}

fn one_container(container: &Value, path: &str, holder: &Value, base: &str, notes: &mut Notes) {
    let annotations = holder.map("metadata.annotations");
    let name = container.text("name");
    let seccomp = [SECCOMP_CONTAINER, name].concat();
    if !container.has("securityContext.seccompProfile") && annotations.contains_key(&seccomp) {
        note!(
            notes,
            "{base}metadata.annotations[{seccomp}]: non-functional in v1.27+; use the \"seccompProfile\" field instead"
        );
    }
    // A pod's own annotation is spoken of where it becomes a field.
    let app_armor = [APP_ARMOR, name].concat();
    if !base.is_empty()
        && !container.has("securityContext.appArmorProfile")
        && annotations.contains_key(&app_armor)
    {
        note!(
            notes,
            "{base}metadata.annotations[{app_armor}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
        );
    }
    let amounts = container.at("resources");
    for resource in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"].into_iter().filter(|list| amounts.has(list)) {
            fractional(amounts.at(list), resource, &[path, ".resources.", list], notes);
        }
    }
    let mut seen = SortedSet::new();
    for (index, variable) in container.items("env").iter().enumerate() {
        let name = variable.text("name");
        if seen.insert(name) {
            continue;
        }
        let (value, reference) = (variable.text("value"), format!("$({name})"));
        if variable.has("valueFrom") || value == reference || !value.contains(&reference) {
            note!(
                notes,
                "{path}.env[{index}]: hides previous definition of {name:?}, which may be dropped when using apply"
            );
        }
    }
}

fn ports(containers: &[(String, &Value)], notes: &mut Notes) {
    let mut all: SortedMap<String, Vec<(String, &Value)>> = SortedMap::new();
    let each = || {
        containers.iter().flat_map(|(path, container)| {
            let ports = container.items("ports").iter().enumerate();
            ports.map(move |(index, port)| (format!("{path}.ports[{index}]"), port))
        })
    };
    let host_port = |port: &Value| port.integer("hostPort").unwrap_or(0);
    for (path, port) in each() {
        let host_ip = port.text("hostIP");
        if !host_ip.is_empty() && host_port(port) == 0 {
            note!(
                notes,
                "{path}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{host_ip}}}",
                port.text("name"),
                port.integer("containerPort").unwrap_or(0),
                port.text("protocol")
            );
        }
        let key = format!("{}/{}", port.integer("containerPort").unwrap_or(0), port.text("protocol"));
        let others = all.entry(key).or_default();
        for (other_path, other) in others.iter() {
            let (other_ip, same_port) = (other.text("hostIP"), host_port(port) == host_port(other));
            let words = if host_ip == other_ip && same_port {
                "duplicate"
            } else if host_port(port) == 0 || host_port(other) == 0 {
                "overlapping"
            } else if same_port && host_ip.is_empty() != other_ip.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            note!(notes, "{path}: {words} port definition with {other_path}");
        }
        others.push((path, port));
    }
    let mut names: SortedMap<&str, String> = SortedMap::new();
    for (path, port) in each() {
        let name = port.text("name");
        if name.is_empty() {
            continue;
        }
        match names.get(name) {
            Some(other) => note!(
                notes,
                "{path}: duplicate port name {name:?} with {other}, services and probes that select ports by name will use {other}"
            ),
            None => drop(names.insert(name, path)),
        }
    }
}

fn volumes(spec: &Value, inside: &str, notes: &mut Notes) {
    for (index, volume) in spec.items("volumes").iter().enumerate() {
        for (plugin, message) in OLD_PLUGINS {
            if volume.has(plugin) {
                // Upstream names this one otherwise than its field.
                let name = if *plugin == "storageos" { "storageOS" } else { plugin };
                note!(notes, "{inside}volumes[{index}].{name}: {message}");
            }
        }
        if volume.has("ephemeral.volumeClaimTemplate") {
            let path = format!("{inside}volumes[{index}].ephemeral.volumeClaimTemplate.spec");
            claim_spec(volume.at("ephemeral.volumeClaimTemplate.spec"), &path, notes);
        }
    }
    for volume in spec.items("volumes") {
        overlaps(volume, notes);
    }
}

/// A path in a volume, and where it comes from.
#[derive(Clone, PartialEq)]
struct Target {
    path: String,
    source: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{:?}", self.path)?;
        if self.source.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.source) }
    }
}

fn targets(items: &[Value], source: &str) -> Vec<Target> {
    let path = |item: &Value| item.text("path").trim_end_matches('/').to_owned();
    items.iter().map(|item| Target { path: path(item), source: source.to_owned() }).collect()
}

/// `checkForOverlap`.
fn collisions(known: &[Target], new: &Target) -> Vec<Target> {
    if new.path.is_empty() {
        return Vec::new();
    }
    let lies_in = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let collides = |other: &&Target| {
        !other.path.is_empty() && (lies_in(&other.path, &new.path) || lies_in(&new.path, &other.path))
    };
    known.iter().filter(collides).cloned().gather()
}

fn collect(volume: &str, description: &str, found: Vec<Target>, known: &mut Vec<Target>, notes: &mut Notes) {
    for target in found {
        for other in collisions(known, &target) {
            note!(notes, "volume {volume:?} ({description}): overlapping paths: {target} with {other}");
        }
        known.push(target);
    }
}

fn source_of(source: &Value) -> Vec<Target> {
    let single =
        |path: &str, source: String| vec![Target { path: path.trim_end_matches('/').into(), source }];
    if source.has("configMap.items") {
        let name = format!("ConfigMap {:?}", source.text("configMap.name"));
        targets(source.items("configMap.items"), &name)
    } else if source.has("secret.items") {
        targets(source.items("secret.items"), &format!("Secret {:?}", source.text("secret.name")))
    } else if source.has("downwardAPI.items") {
        targets(source.items("downwardAPI.items"), "DownwardAPI")
    } else if source.has("serviceAccountToken") {
        single(source.text("serviceAccountToken.path"), "ServiceAccountToken".to_owned())
    } else if source.has("clusterTrustBundle") {
        let bundle = source.at("clusterTrustBundle");
        let name = if bundle.has("name") { bundle.text("name") } else { bundle.text("signerName") };
        single(bundle.text("path"), format!("ClusterTrustBundle {name:?}"))
    } else {
        Vec::new()
    }
}

/// `warningsForOverlappingVirtualPaths`.
fn overlaps(volume: &Value, notes: &mut Notes) {
    let name = volume.text("name");
    for (kind, description, field) in [
        ("configMap", "ConfigMap", "name"),
        ("secret", "Secret", "secretName"),
        ("downwardAPI", "DownwardAPI", ""),
    ] {
        let source = volume.at(kind);
        let found = targets(source.items("items"), "");
        if !found.is_empty() {
            let source =
                if field.is_empty() { Text::new() } else { arcstr::format!(" {:?}", source.text(field)) };
            collect(name, &[description, &source].concat(), found, &mut Vec::new(), notes);
        }
    }
    let mut known = Vec::new();
    for source in volume.items("projected.sources") {
        if source.as_object().is_some_and(|fields| fields.is_empty()) {
            note!(notes, "volume {name:?} (Projected) has no sources provided");
            continue;
        }
        collect(name, "Projected", source_of(source), &mut known, notes);
    }
}
