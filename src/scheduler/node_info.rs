//! A node as the scheduler sees it: what it has, what is taken, who is there.
//!
//! Picture to hold in mind: a warehouse card: shelf space on the front, which never changes much; on the back,
//! in pencil, what stands there now.
//!
//! After `framework.NodeInfo`.

use std::sync::Arc;

use crate::api::scheduling::Taint;
use crate::api::{Map, Text, Value};
use crate::arrange::Arrange;

use super::pod_info::{MapHere, PodInfo, normalized_image};
use super::resources::Resources;

/// What the Node object says.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    pub name: Text,
    labels: Value,
    /// `region:zone`, by which nodes are taken in turn.
    pub zone: Text,
    pub allocatable: Resources,
    pub allowed_pods: i64,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    /// `(name, bytes)` of the images that are there, sorted by name.
    pub images: Vec<(Text, i64)>,
    /// Counts nodes in the order in which they came.
    pub sequence: u64,
}

impl NodeFacts {
    pub fn new(node: &Value, sequence: u64) -> NodeFacts {
        let labels = node.map("metadata.labels");
        let label = |key: &str| labels.get(key).and_then(Value::as_str).unwrap_or("");
        let region = label("topology.kubernetes.io/region");
        let zone = label("topology.kubernetes.io/zone");
        let allocatable = node.map("status.allocatable");
        let mut images: Vec<(Text, i64)> = node
            .items("status.images")
            .iter()
            .flat_map(|image| {
                let size = image.integer("sizeBytes").unwrap_or(0);
                let names = image.items("names").iter().filter_map(Value::as_str);
                names.map(move |name| (normalized_image(name), size))
            })
            .collect();
        images.arrange();
        images.dedup_by(|a, b| a.0 == b.0);
        NodeFacts {
            name: node.shared_text("metadata.name"),
            labels: node.at("metadata.labels").clone(),
            zone: arcstr::format!("{region}:{zone}"),
            allocatable: Resources::parse(allocatable),
            allowed_pods: allocatable
                .get("pods")
                .and_then(crate::api::quantity::Quantity::from_value)
                .map_or(0, |pods| pods.value()),
            taints: Taint::parse_all(node.items("spec.taints")),
            unschedulable: node.is_true("spec.unschedulable"),
            images,
            sequence,
        }
    }
    pub fn labels(&self) -> &Map {
        self.labels.map_here()
    }
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().get(key).and_then(Value::as_str)
    }
    pub fn image_size(&self, name: &Text) -> Option<i64> {
        self.images.binary_search_by(|(known, _)| known.cmp(name)).ok().map(|index| self.images[index].1)
    }
}

#[derive(Clone, Debug)]
pub struct NodeInfo {
    pub facts: Arc<NodeFacts>,
    pub requested: Resources,
    /// Millicores and bytes with the defaults for containers that name none.
    pub scored_milli_cpu: i64,
    pub scored_memory: i64,
    pub pods: Vec<Arc<PodInfo>>,
    pub host_ports: Vec<(Text, Text, i64)>,
    /// The pods that have any pod (anti-)affinity, and those with a required anti-affinity: few, so that nobody has to
    /// look through all.
    pub with_affinity: Vec<Arc<PodInfo>>,
    pub with_anti_affinity: Vec<Arc<PodInfo>>,
    /// `(label group, pods that are not being deleted)`.
    pub groups: Vec<(u32, u32)>,
}

impl NodeInfo {
    pub fn new(facts: Arc<NodeFacts>) -> NodeInfo {
        NodeInfo {
            facts,
            requested: Resources::default(),
            scored_milli_cpu: 0,
            scored_memory: 0,
            pods: Vec::new(),
            host_ports: Vec::new(),
            with_affinity: Vec::new(),
            with_anti_affinity: Vec::new(),
            groups: Vec::new(),
        }
    }
    pub fn name(&self) -> &Text {
        &self.facts.name
    }
    pub fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.scored_milli_cpu += pod.scored_requests.milli_cpu;
        self.scored_memory += pod.scored_requests.memory;
        self.host_ports.extend(pod.host_ports.iter().cloned());
        if pod.has_affinity() {
            self.with_affinity.push(pod.clone());
        }
        if !pod.anti_affinity.is_empty() {
            self.with_anti_affinity.push(pod.clone());
        }
        if !pod.is_deleting {
            match self.groups.iter_mut().find(|(group, _)| *group == pod.group) {
                Some((_, count)) => *count += 1,
                None => self.groups.push((pod.group, 1)),
            }
        }
        self.pods.push(pod);
    }
    /// Takes the pod of `uid` out.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let position = self.pods.iter().position(|pod| pod.uid == uid)?;
        let pod = self.pods.swap_remove(position);
        self.requested.subtract(&pod.requests);
        self.scored_milli_cpu -= pod.scored_requests.milli_cpu;
        self.scored_memory -= pod.scored_requests.memory;
        for port in &pod.host_ports {
            if let Some(position) = self.host_ports.iter().position(|taken| taken == port) {
                self.host_ports.swap_remove(position);
            }
        }
        self.with_affinity.retain(|other| other.uid != uid);
        self.with_anti_affinity.retain(|other| other.uid != uid);
        if !pod.is_deleting
            && let Some(position) = self.groups.iter().position(|(group, _)| *group == pod.group)
        {
            self.groups[position].1 -= 1;
            if self.groups[position].1 == 0 {
                self.groups.swap_remove(position);
            }
        }
        Some(pod)
    }
}
