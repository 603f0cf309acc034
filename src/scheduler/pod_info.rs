//! A pod as the scheduler sees it: read once, asked many times.
//!
//! Picture to hold in mind: a job application boiled down to a card: what it needs, what it can bear, whom it
//! wants near.

use std::sync::Arc;

use crate::api::scheduling::{RequiredNodeAffinity, Toleration};
use crate::api::selector::{LabelSelector, Operator, Requirement};
use crate::api::{Map, Text, Value, meta, time};
use crate::sim::Time;

use super::resources::{Resources, pod_requests};

#[derive(Clone, Debug)]
pub struct PodInfo {
    pub pod: Value,
    /// `namespace/name`.
    pub key: Text,
    pub namespace: Text,
    pub uid: Text,
    labels: Value,
    pub priority: i64,
    pub requests: Resources,
    /// With the defaults for containers that name none: for scores.
    pub scored_requests: Resources,
    pub tolerations: Vec<Toleration>,
    pub node_affinity: RequiredNodeAffinity,
    /// `(protocol, address, port)` of host ports.
    pub host_ports: Vec<(Text, Text, i64)>,
    /// Normalised image names.
    pub images: Vec<Text>,
    pub affinity: Vec<AffinityTerm>,
    pub anti_affinity: Vec<AffinityTerm>,
    pub preferred_affinity: Vec<(i64, AffinityTerm)>,
    pub preferred_anti_affinity: Vec<(i64, AffinityTerm)>,
    pub is_deleting: bool,
    pub nominated_node: Text,
    pub started_at: Option<Time>,
    /// The number of its label group; given by the cache.
    pub group: u32,
}

/// One term of pod (anti-)affinity.
#[derive(Clone, Debug)]
pub struct AffinityTerm {
    namespaces: Vec<Text>,
    namespace_selector: LabelSelector,
    selector: LabelSelector,
    pub topology_key: Text,
}

impl AffinityTerm {
    fn parse(term: &Value, pod: &Value) -> AffinityTerm {
        let mut namespaces: Vec<Text> =
            term.items("namespaces").iter().filter_map(Value::as_str).map(Text::from).collect();
        // Without any word about namespaces the pod's own is meant.
        if namespaces.is_empty() && term.at("namespaceSelector").is_null() {
            namespaces.push(pod.shared_text("metadata.namespace"));
        }
        let parse = |field: &str| {
            LabelSelector::from_value(term.at(field)).unwrap_or_else(|_| LabelSelector::nothing())
        };
        let mut requirements = parse("labelSelector");
        for (field, operator) in [("matchLabelKeys", Operator::In), ("mismatchLabelKeys", Operator::NotIn)] {
            for key in term.items(field).iter().filter_map(Value::as_str) {
                if let Some(value) = meta::label(pod, key) {
                    let mut all = requirements.requirements().to_vec();
                    all.push(Requirement { key: key.into(), operator, values: vec![value.into()] });
                    requirements = LabelSelector::new(all);
                }
            }
        }
        AffinityTerm {
            namespaces,
            namespace_selector: parse("namespaceSelector"),
            selector: requirements,
            topology_key: term.shared_text("topologyKey"),
        }
    }
    /// Whether the term means `pod`, whose namespace has `namespace_labels`.
    pub fn matches(&self, pod: &PodInfo, namespace_labels: &Map) -> bool {
        let in_namespace =
            self.namespaces.contains(&pod.namespace) || self.namespace_selector.matches(namespace_labels);
        in_namespace && self.selector.matches(pod.labels())
    }
}

fn terms(pod: &Value, kind: &str) -> Vec<AffinityTerm> {
    let path = format!("spec.affinity.{kind}.requiredDuringSchedulingIgnoredDuringExecution");
    pod.items(&path).iter().map(|term| AffinityTerm::parse(term, pod)).collect()
}
fn weighted_terms(pod: &Value, kind: &str) -> Vec<(i64, AffinityTerm)> {
    let path = format!("spec.affinity.{kind}.preferredDuringSchedulingIgnoredDuringExecution");
    pod.items(&path)
        .iter()
        .map(|term| {
            (term.integer("weight").unwrap_or(0), AffinityTerm::parse(term.at("podAffinityTerm"), pod))
        })
        .collect()
}

/// `nginx` as `nginx:latest`: the form in which nodes name what they have.
pub fn normalized_image(name: &str) -> Text {
    let has_tag = match (name.rfind(':'), name.rfind('/')) {
        (Some(colon), Some(slash)) => colon > slash,
        (colon, _) => colon.is_some(),
    };
    if has_tag { name.into() } else { arcstr::format!("{name}:latest") }
}

impl PodInfo {
    pub fn new(pod: &Value) -> PodInfo {
        let spec = pod.at("spec");
        let containers = || spec.items("initContainers").iter().chain(spec.items("containers"));
        let has_affinity = spec.has("affinity.podAffinity") || spec.has("affinity.podAntiAffinity");
        PodInfo {
            key: crate::client::store::key_of(pod),
            namespace: pod.shared_text("metadata.namespace"),
            uid: pod.shared_text("metadata.uid"),
            labels: pod.at("metadata.labels").clone(),
            priority: spec.integer("priority").unwrap_or(0),
            requests: pod_requests(spec, false),
            scored_requests: pod_requests(spec, true),
            tolerations: Toleration::parse_all(spec.items("tolerations")),
            node_affinity: RequiredNodeAffinity::of(spec),
            host_ports: host_ports(spec),
            images: containers().map(|container| normalized_image(container.text("image"))).collect(),
            affinity: if has_affinity { terms(pod, "podAffinity") } else { Vec::new() },
            anti_affinity: if has_affinity { terms(pod, "podAntiAffinity") } else { Vec::new() },
            preferred_affinity: if has_affinity { weighted_terms(pod, "podAffinity") } else { Vec::new() },
            preferred_anti_affinity: if has_affinity {
                weighted_terms(pod, "podAntiAffinity")
            } else {
                Vec::new()
            },
            is_deleting: meta::is_deleting(pod),
            nominated_node: pod.shared_text("status.nominatedNodeName"),
            started_at: time::parse(pod.text("status.startTime")),
            group: 0,
            pod: pod.clone(),
        }
    }
    pub fn labels(&self) -> &Map {
        self.labels.map_here()
    }
    pub fn has_affinity(&self) -> bool {
        !self.affinity.is_empty()
            || !self.anti_affinity.is_empty()
            || !self.preferred_affinity.is_empty()
            || !self.preferred_anti_affinity.is_empty()
    }
    pub fn name(&self) -> &str {
        meta::name(&self.pod)
    }
    pub fn shared(pod: &Value) -> Arc<PodInfo> {
        Arc::new(PodInfo::new(pod))
    }
}

fn host_ports(spec: &Value) -> Vec<(Text, Text, i64)> {
    let sidecars =
        spec.items("initContainers").iter().filter(|container| container.text("restartPolicy") == "Always");
    sidecars
        .chain(spec.items("containers"))
        .flat_map(|container| container.items("ports"))
        .filter_map(|port| {
            let number = port.integer("hostPort").filter(|number| *number > 0)?;
            let or = |text: Text, default: &str| if text.is_empty() { Text::from(default) } else { text };
            let protocol = or(port.shared_text("protocol"), "TCP");
            Some((protocol, or(port.shared_text("hostIP"), "0.0.0.0"), number))
        })
        .collect()
}

/// A value that is itself a map: its fields, none if it is not.
pub trait MapHere {
    fn map_here(&self) -> &Map;
}

impl MapHere for Value {
    fn map_here(&self) -> &Map {
        static EMPTY: std::sync::LazyLock<Map> = std::sync::LazyLock::new(Map::new);
        self.as_object().unwrap_or(&EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_as_nodes_name_them() {
        for (name, expected) in [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("host:5000/nginx", "host:5000/nginx:latest"),
            ("host:5000/nginx:1", "host:5000/nginx:1"),
        ] {
            assert_eq!(normalized_image(name), expected);
        }
    }
}
