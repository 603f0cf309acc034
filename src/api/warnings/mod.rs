//! What the API server takes, but with a raised eyebrow: the `Warning` headers of creations and updates.
//!
//! Picture to hold in mind: pencil notes in the margin of a form that is stamped all the same.
//!
//! Follows `WarningsOnCreate` and `WarningsOnUpdate` of `pkg/registry/*/*/strategy.go`, and `pkg/api/*/warnings.go`.

mod certificate;
mod pod;

use std::net::IpAddr;

use super::field::go_quote;
use super::quantity::Quantity;
use super::validation::address::{self, Cidr};
use super::validation::format;
use super::value::{Text, Value};

/// Labels of nodes that had their day, and what to use instead (`pkg/api/node/util.go`).
const DEPRECATED_NODE_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// What the margin notes are collected in.
type Notes = Vec<Text>;

macro_rules! note {
    ($notes:expr, $($words:tt)*) => { $notes.push(arcstr::format!($($words)*)) };
}
use note;

fn deprecated_node_label(key: &str) -> Option<&'static str> {
    DEPRECATED_NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, message)| *message)
}

/// `GetWarningsForNodeSelectorTerm`.
fn node_selector_term(term: &Value, checks_values: bool, path: &str, notes: &mut Notes) {
    for (index, expression) in term.items("matchExpressions").iter().enumerate() {
        let key = expression.text("key");
        if let Some(message) = deprecated_node_label(key) {
            note!(notes, "{path}.matchExpressions[{index}].key: {key} is {message}");
        }
        if checks_values {
            for (position, value) in expression.items("values").iter().filter_map(Value::as_str).enumerate() {
                for message in format::label_value(value) {
                    note!(
                        notes,
                        "{path}.matchExpressions[{index}].values[{position}]: {value} is invalid, {message}"
                    );
                }
            }
        }
    }
}

/// `GetWarningsForIP`: forms that newer validation would not take, and IPv6 in another than the canonical form.
fn ip(path: &str, text: &str, notes: &mut Notes) {
    let Some(parsed) = address::parse(text) else { return };
    let canonical = address::canonical(parsed);
    let is_strict = text.parse::<IpAddr>().is_ok();
    if !is_strict || (parsed.is_ipv6() && !address::is_ipv6(text)) {
        note!(notes, "{path}: non-standard IP address {text:?} is invalid: use {canonical:?}");
    } else if parsed.is_ipv6() && canonical != text {
        note!(notes, "{path}: IPv6 address {text:?} should be in RFC 5952 canonical format ({canonical:?})");
    }
}

/// `GetWarningsForCIDR`.
fn cidr(path: &str, text: &str, notes: &mut Notes) {
    let Some(block) = Cidr::parse(text) else { return };
    let before = notes.len();
    if block.network() != block.address {
        let width = if block.address.is_ipv4() { 32 } else { 128 };
        let single = format!("{}/{width}", address::canonical(block.address));
        note!(
            notes,
            "{path}: CIDR value {text:?} is ambiguous in this context (should be \"{block}\" or {single:?}?)"
        );
    }
    let (written, bits) = text.split_once('/').unwrap_or((text, ""));
    let is_strict = written.parse::<IpAddr>().is_ok() && (bits == "0" || !bits.starts_with('0'));
    if !is_strict || (block.address.is_ipv6() && !address::is_ipv6(written)) {
        note!(notes, "{path}: non-standard CIDR value {text:?} is invalid: use \"{block}\"");
    }
    if notes.len() == before && block.address.is_ipv6() && block.to_string() != text {
        note!(notes, "{path}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format (\"{block}\")");
    }
}

/// An amount of bytes that is no whole number.
fn fractional(list: &Value, name: &str, path: &[&str], notes: &mut Notes) {
    let amount = list.get(name).and_then(Quantity::from_value);
    if let Some(amount) = amount.filter(|amount| amount.milli_value() % 1000 != 0) {
        let path = path.concat();
        note!(notes, "{path}[{name}]: fractional byte value \"{amount}\" is invalid, must be an integer");
    }
}

/// `GetWarningsForPersistentVolumeClaimSpec`.
fn claim_spec(spec: &Value, path: &str, notes: &mut Notes) {
    for list in ["requests", "limits"] {
        let amounts = spec.at("resources").at(list);
        fractional(amounts, "storage", &[path, ".resources.", list], notes);
    }
}

/// A name that becomes part of host names should be a label.
fn label_name(object: &Value, use_: &str, notes: &mut Notes) {
    let problems = format::dns1123_label(object.text("metadata.name"));
    if !problems.is_empty() {
        note!(
            notes,
            "metadata.name: this is used in {use_}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            problems.join(" ")
        );
    }
}

const POD_NAMES: &str = "Pod names and hostnames";

/// `WarningsForJobSpec`.
fn job_spec(spec: &Value, path: &str, notes: &mut Notes) {
    let is_large = spec.integer("completions").unwrap_or(0) > 100_000
        && spec.integer("parallelism").unwrap_or(0) > 10_000;
    if spec.text("completionMode") == "Indexed" && is_large {
        note!(
            notes,
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        );
    }
    pod::template(spec.at("template"), &format!("{path}.template"), notes);
}

fn is_headless(service: &Value) -> bool {
    service.text("spec.type") == "ClusterIP" && service.text("spec.clusterIP") == "None"
}

/// `GetWarningsForService`.
fn service(service: &Value, notes: &mut Notes) {
    let spec = service.at("spec");
    let annotations = service.map("metadata.annotations");
    if annotations.contains_key("service.kubernetes.io/topology-aware-hints") {
        note!(
            notes,
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead"
        );
    }
    if !matches!(spec.text("clusterIP"), "" | "None") {
        ips(spec.items("clusterIPs"), "spec.clusterIPs", notes);
    }
    let externals = spec.items("externalIPs");
    let is_external_name = spec.text("type") == "ExternalName";
    if is_headless(service) {
        if !spec.text("loadBalancerIP").is_empty() {
            note!(notes, "spec.loadBalancerIP is ignored for headless services");
        }
        if !externals.is_empty() {
            note!(notes, "spec.externalIPs is ignored for headless services");
        }
        if spec.text("sessionAffinity") != "None" {
            note!(notes, "spec.SessionAffinity is ignored for headless services");
        }
    }
    ips(externals, "spec.externalIPs", notes);
    if !externals.is_empty() && !is_headless(service) && !is_external_name {
        note!(notes, "spec.externalIPs is deprecated and may no longer be implemented in some clusters");
    }
    ip("spec.loadBalancerIP", spec.text("loadBalancerIP"), notes);
    for (index, block) in spec.items("loadBalancerSourceRanges").iter().filter_map(Value::as_str).enumerate()
    {
        cidr(&format!("spec.loadBalancerSourceRanges[{index}]"), block, notes);
    }
    if is_external_name && !externals.is_empty() {
        note!(notes, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    }
    if !is_external_name && !spec.text("externalName").is_empty() {
        note!(notes, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
    }
    if spec.text("trafficDistribution") == "PreferClose" {
        note!(notes, "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
    }
}

fn ips(list: &[Value], path: &str, notes: &mut Notes) {
    for (index, text) in list.iter().filter_map(Value::as_str).enumerate() {
        ip(&format!("{path}[{index}]"), text, notes);
    }
}

/// `GetWarningsForPersistentVolume`.
fn persistent_volume(volume: &Value, notes: &mut Notes) {
    let annotations = volume.map("metadata.annotations");
    for (key, message) in [
        (
            "volume.beta.kubernetes.io/storage-class",
            "deprecated since v1.8; use \"storageClassName\" attribute instead",
        ),
        (
            "volume.beta.kubernetes.io/mount-options",
            "deprecated since v1.31; use \"mountOptions\" attribute instead",
        ),
    ] {
        if annotations.contains_key(key) {
            note!(notes, "metadata.annotations[{key}]: {message}");
        }
    }
    if volume.text("spec.persistentVolumeReclaimPolicy") == "Recycle" {
        note!(
            notes,
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."
        );
    }
    for (index, term) in volume.items("spec.nodeAffinity.required.nodeSelectorTerms").iter().enumerate() {
        let path = format!("spec.nodeAffinity.required.nodeSelectorTerms[{index}]");
        node_selector_term(term, false, &path, notes);
    }
    for (plugin, message) in pod::OLD_PLUGINS {
        if !matches!(*plugin, "flocker" | "quobyte") && volume.at("spec").has(plugin) {
            note!(notes, "spec.{plugin}: {message}");
        }
    }
}

/// The amounts of a quota that contradict each other.
fn quota(quota: &Value, notes: &mut Notes) {
    let hard = quota.map("spec.hard");
    for resource in ["cpu", "memory", "storage", "ephemeral-storage"] {
        let mut name = format!("requests.{resource}");
        if !hard.contains_key(&name) && matches!(resource, "cpu" | "memory") {
            name = resource.to_owned();
        }
        let limit_name = format!("limits.{resource}");
        let amount = |name: &str| hard.get(name).and_then(Quantity::from_value);
        if let (Some(request), Some(limit)) = (amount(&name), amount(&limit_name))
            && request > limit
        {
            note!(notes, "ResourceQuota {name} ({request}) should be less than {limit_name} ({limit})");
        }
    }
}

fn endpoints(endpoints: &Value, notes: &mut Notes) {
    let labels = endpoints.map("metadata.labels");
    let manager = labels.get("endpoints.kubernetes.io/managed-by").and_then(Value::as_str);
    if manager == Some("endpoint-controller") {
        return;
    }
    for (index, subset) in endpoints.items("subsets").iter().enumerate() {
        for list in ["addresses", "notReadyAddresses"] {
            for (position, address) in subset.items(list).iter().enumerate() {
                ip(&format!("subsets[{index}].{list}[{position}].ip"), address.text("ip"), notes);
            }
        }
    }
}

fn endpoint_slice(slice: &Value, is_new: bool, notes: &mut Notes) {
    if is_new && slice.text("addressType") == "FQDN" {
        note!(notes, "addressType: FQDN endpoints are deprecated");
    }
    let labels = slice.map("metadata.labels");
    let manager = labels.get("endpointslice.kubernetes.io/managed-by").and_then(Value::as_str);
    if matches!(manager, Some("endpointslice-controller.k8s.io" | "endpointslicemirroring-controller.k8s.io"))
    {
        return;
    }
    for (index, endpoint) in slice.items("endpoints").iter().enumerate() {
        ips(endpoint.items("addresses"), &format!("endpoints[{index}].addresses"), notes);
    }
}

fn network_policy(policy: &Value, notes: &mut Notes) {
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in policy.at("spec").items(direction).iter().enumerate() {
            for (position, peer) in rule.items(peers).iter().enumerate() {
                let path = format!("spec.{direction}[{index}].{peers}[{position}].ipBlock");
                cidr(&format!("{path}.cidr"), peer.text("ipBlock.cidr"), notes);
                let except = peer.items("ipBlock.except").iter().filter_map(Value::as_str);
                for (number, block) in except.enumerate() {
                    cidr(&format!("{path}.except[{number}]"), block, notes);
                }
            }
        }
    }
}

fn node(node: &Value, notes: &mut Notes) {
    if node.has("spec.configSource") {
        note!(notes, "spec.configSource: the feature is removed");
    }
    if !node.text("spec.externalID").is_empty() {
        note!(notes, "spec.externalID: this field is deprecated, and is unused by Kubernetes");
    }
    for (index, block) in node.items("spec.podCIDRs").iter().filter_map(Value::as_str).enumerate() {
        cidr(&format!("spec.podCIDRs[{index}]"), block, notes);
    }
}

fn stateful_set(set: &Value, is_new: bool, notes: &mut Notes) {
    for (index, claim) in set.items("spec.volumeClaimTemplates").iter().enumerate() {
        // Upstream's path of an update has a step that names no field.
        let extra = if is_new { "" } else { ".Spec" };
        claim_spec(claim.at("spec"), &format!("spec.volumeClaimTemplates[{index}]{extra}"), notes);
    }
    if set.integer("spec.revisionHistoryLimit").is_some_and(|limit| limit < 0) {
        note!(
            notes,
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        );
    }
}

/// What is said about templates and names of workloads.
fn workload(kind: &str, object: &Value, old: Option<&Value>, notes: &mut Notes) {
    let is_named = matches!(kind, "Deployment" | "ReplicaSet" | "ReplicationController" | "Job" | "CronJob");
    if old.is_none() && is_named {
        label_name(object, POD_NAMES, notes);
    }
    let counter = |object: &Value| match kind {
        "DaemonSet" => object.map("metadata.annotations").get(super::strategy::TEMPLATE_GENERATION).cloned(),
        _ => object.get("metadata").and_then(|metadata| metadata.get("generation")).cloned(),
    };
    if old.is_none_or(|old| counter(old) != counter(object)) {
        match kind {
            "Job" => job_spec(object.at("spec"), "spec", notes),
            "CronJob" => job_spec(object.at("spec.jobTemplate.spec"), "spec.jobTemplate.spec", notes),
            "PodTemplate" => pod::template(object.at("template"), "template", notes),
            _ => pod::template(object.at("spec.template"), "spec.template", notes),
        }
    }
    if kind == "StatefulSet" {
        stateful_set(object, old.is_none(), notes);
    }
    if let ("CronJob", Some(_), true) = (kind, old, object.text("spec.schedule").contains("TZ")) {
        note!(
            notes,
            "cannot use TZ or CRON_TZ in schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        );
    }
}

fn storage_class(class: &Value, notes: &mut Notes) {
    for (index, topology) in class.items("allowedTopologies").iter().enumerate() {
        for (position, expression) in topology.items("matchLabelExpressions").iter().enumerate() {
            if let Some(message) = deprecated_node_label(expression.text("key")) {
                note!(notes, "allowedTopologies[{index}].matchLabelExpressions[{position}].key: {message}");
            }
        }
    }
}

fn annotated(object: &Value, old: Option<&Value>, key: &str) -> bool {
    object.map("metadata.annotations").contains_key(key)
        && !old.is_some_and(|old| old.map("metadata.annotations").contains_key(key))
}

/// The warnings about `object`, which is new or replaces `old`.
pub fn warnings(group: &str, kind: &str, object: &Value, old: Option<&Value>) -> Vec<Text> {
    let mut notes = Notes::new();
    let out = &mut notes;
    match (group, kind) {
        ("", "Pod") if old.is_none() => {
            label_name(object, "the Pod's hostname", out);
            pod::pod(object, out);
        }
        ("", "ReplicationController" | "PodTemplate") | ("apps" | "batch", _) => {
            workload(kind, object, old, out);
        }
        ("", "Service") => service(object, out),
        ("", "PersistentVolume") => persistent_volume(object, out),
        ("", "PersistentVolumeClaim") => {
            if object.map("metadata.annotations").contains_key("volume.beta.kubernetes.io/storage-class") {
                note!(
                    out,
                    "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead"
                );
            }
            claim_spec(object.at("spec"), "spec", out);
        }
        ("", "Secret") if object.text("type") == "kubernetes.io/tls" => {
            let data = object.map("data");
            let part = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or("");
            if let Some(problem) = certificate::problem(part("tls.crt"), part("tls.key")) {
                note!(out, "{problem}");
            }
        }
        ("", "ResourceQuota") if old.is_none() => quota(object, out),
        ("", "Endpoints") => endpoints(object, out),
        ("", "Node") => node(object, out),
        ("", "ServiceAccount") => {
            const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";
            if annotated(object, old, MOUNTABLE) {
                note!(
                    out,
                    "metadata.annotations[{MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
                );
            }
        }
        ("discovery.k8s.io", "EndpointSlice") => endpoint_slice(object, old.is_none(), out),
        ("networking.k8s.io", "NetworkPolicy") => network_policy(object, out),
        ("networking.k8s.io", "Ingress") if old.is_none() => {
            const CLASS: &str = "kubernetes.io/ingress.class";
            if annotated(object, None, CLASS) && !object.has("spec.ingressClassName") {
                note!(
                    out,
                    "annotation {} is deprecated, please use 'spec.ingressClassName' instead",
                    go_quote(CLASS)
                );
            }
        }
        ("storage.k8s.io", "StorageClass") => storage_class(object, out),
        ("node.k8s.io", "RuntimeClass") => {
            for (key, _) in object.map("scheduling.nodeSelector").iter() {
                if let Some(message) = deprecated_node_label(key) {
                    note!(out, "scheduling.nodeSelector: {message}");
                }
            }
        }
        _ => {}
    }
    notes
}

#[cfg(test)]
mod tests;
