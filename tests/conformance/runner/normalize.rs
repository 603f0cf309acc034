//! Makes two clusters comparable: takes out of objects what differs from run to run.
//!
//! Picture to hold in mind: the black bars in a published document: same length, same place, in every copy.
//! Follows the rules of `conformance/README.md`.

use std::collections::BTreeMap;

use clusterarium::api::Value;
use clusterarium::api::value::Map;

/// Kinds that the reference does not list.
const LEFT_OUT: &[&str] = &[
    "APIService",
    "CSINode",
    "Event",
    "FlowSchema",
    "IPAddress",
    "Lease",
    "Node",
    "PriorityLevelConfiguration",
    "ServiceCIDR",
];

/// A name for one object: kind, namespace and name.
pub fn identity(object: &Value) -> (String, String, String) {
    let text = |path: &str| object.text(path).to_string();
    (text("kind"), text("metadata.namespace"), text("metadata.name"))
}

/// Whether the reference would show this object.
pub fn is_shown(object: &Value) -> bool {
    let (kind, namespace, name) = identity(object);
    if kind.is_empty() || LEFT_OUT.contains(&kind.as_str()) || namespace.starts_with("kube-") {
        return false;
    }
    !matches!(
        (kind.as_str(), name.as_str()),
        ("ConfigMap", "kube-root-ca.crt")
            | ("ServiceAccount", "default")
            | ("Service" | "Endpoints" | "EndpointSlice", "kubernetes")
    )
}

/// All objects of one cluster, with the bars in place and sorted.
pub fn objects(objects: &[Value]) -> Vec<Value> {
    // What is random in names is found first: it turns up in other objects too.
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for object in objects {
        let (generate, name) = (object.text("metadata.generateName"), object.text("metadata.name"));
        if !generate.is_empty() && name.starts_with(generate) && name.len() > generate.len() {
            names.insert(name.to_string(), format!("{generate}<rand>"));
        }
        let mut labels: Vec<&Map> = vec![object.map("metadata.labels")];
        labels.push(object.map("spec.template.metadata.labels"));
        for labels in labels {
            for (key, value) in labels.iter() {
                let is_hash = matches!(
                    key.as_str(),
                    "pod-template-hash" | "controller.kubernetes.io/hash" | "controller-revision-hash"
                );
                if let Some(value) = value.as_str().filter(|value| is_hash && !value.contains(['<', '-'])) {
                    names.insert(value.to_string(), "<hash>".into());
                }
            }
        }
    }
    // Longer names first, so that a part never spoils the whole.
    let mut names: Vec<(String, String)> = names.into_iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut result: Vec<Value> = objects.iter().map(|object| one(object, &names)).collect();
    result.sort_by_key(|object| (identity(object), object.to_string()));
    result
}

fn one(object: &Value, names: &[(String, String)]) -> Value {
    let mut object = object.clone();
    for field in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields"] {
        object.remove(&format!("metadata.{field}"));
    }
    if let Some(annotations) = object.get_mut("metadata.annotations") {
        annotations.make_object().remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let kind = object.text("kind").to_string();
    let mut object = walk(&object, "", &kind, names);
    if object.text("kind") == "EndpointSlice" {
        sort(&mut object, "endpoints");
    }
    if object.text("kind") == "Endpoints" && object.has("subsets") {
        for subset in object.at_mut("subsets").make_array() {
            sort(subset, "addresses");
            sort(subset, "notReadyAddresses");
        }
    }
    object
}

/// Node ports that the manifest does not name were drawn by lot.
pub fn bar_node_ports(objects: &[Value], manifest: &str) -> Vec<Value> {
    let mut objects = objects.to_vec();
    for service in objects.iter_mut().filter(|object| object.text("kind") == "Service") {
        let mut ports = service.items("spec.ports").to_vec();
        for port in &mut ports {
            let number = port.integer("nodePort").unwrap_or(0);
            if number != 0 && !manifest.contains(&number.to_string()) {
                port.set("nodePort", "<port>");
            }
        }
        if !ports.is_empty() {
            service.set("spec.ports", ports);
        }
    }
    objects
}

fn sort(object: &mut Value, path: &str) {
    if object.has(path) {
        object.at_mut(path).make_array().sort_by_key(Value::to_string);
    }
}

fn walk(value: &Value, key: &str, kind: &str, names: &[(String, String)]) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map.iter().filter(|(name, _)| {
                !matches!(name.as_str(), "uid" | "resourceVersion" | "containerID" | "imageID")
            });
            Value::from(
                fields.map(|(name, value)| (name.clone(), walk(value, name, kind, names))).collect::<Map>(),
            )
        }
        Value::Array(items) => Value::array(items.iter().map(|item| walk(item, key, kind, names))),
        Value::String(text) => Value::from(string(text, key, kind, names)),
        other => other.clone(),
    }
}

fn string(text: &str, key: &str, kind: &str, names: &[(String, String)]) -> String {
    if matches!(key, "pod-template-hash" | "controller-revision-hash" | "controller.kubernetes.io/hash")
        || key.ends_with("controller-uid")
    {
        return "<hash>".into();
    }
    if key == "nodeName" && (kind != "Pod" || !text.is_empty()) {
        return "<node>".into();
    }
    let is_zone = key == "zone" || (key == "topology.kubernetes.io/zone" && kind == "Pod");
    if is_zone && text.starts_with("zone-") {
        return "<zone>".into();
    }
    if is_time(text) {
        return "<time>".into();
    }
    if is_uid(text) {
        return "<uid>".into();
    }
    if is_cluster_address(text) {
        return "<ip>".into();
    }
    if let Some(rest) = text.strip_prefix("kube-api-access-")
        && rest.len() == 5
    {
        return "kube-api-access-<rand>".into();
    }
    let mut text = text.to_string();
    for (name, bar) in names {
        if text.contains(name.as_str()) {
            text = text.replace(name.as_str(), bar);
        }
    }
    text
}

pub fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && text.ends_with('Z')
        && bytes[..4].iter().all(u8::is_ascii_digit)
}
pub fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
/// An address of the service, pod or node ranges.
pub fn is_cluster_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let numbers: Option<Vec<u8>> = parts.iter().map(|part| part.parse().ok()).collect();
    matches!(
        numbers.as_deref(),
        Some([10, 96..=111, _, _] | [10, 244, _, _] | [192, 168, 56 | 192, _] | [192, 0, 2, 2])
    )
}
