//! All nodes with their pods, kept up to date as news comes, and ahead of it for pods just placed.
//!
//! Picture to hold in mind: a seating plan. A guest who has been shown a seat is pencilled in at once (assumed);
//! when the guest sits down, the pencil becomes ink; if not, it is rubbed out.
//!
//! After `backend/cache` (`cache.go`, `node_tree.go`). Cheap to clone: everything large is shared.

use std::sync::Arc;

use crate::shared_map::SharedMap;
use crate::sorted::SortedMap;

use crate::api::{Map, Text, Value};
use crate::arrange::Arrange;

use super::node_info::{NodeFacts, NodeInfo};
use super::pod_info::{MapHere, PodInfo};

#[derive(Clone, Default)]
pub struct Cache {
    /// In the order in which they are tried once [`Cache::refresh`] has run: zone by zone in turn.
    nodes: Arc<Vec<Arc<NodeInfo>>>,
    positions: Arc<SortedMap<Text, usize>>,
    is_in_disorder: bool,
    sequence: u64,
    /// By UID.
    pods: SharedMap<Text, Placed>,
    /// Pods on nodes that are not known (yet, or any more).
    homeless: SortedMap<Text, Vec<Arc<PodInfo>>>,
    /// On how many nodes each image is.
    images: Arc<SortedMap<Text, i64>>,
    groups: Arc<Groups>,
    /// Nodes that hold pods with affinity: none, in most clusters.
    pub with_affinity: usize,
    pub with_anti_affinity: usize,
}

#[derive(Clone)]
struct Placed {
    pod: Arc<PodInfo>,
    node: Text,
    is_assumed: bool,
}

/// Pods of one namespace with equal labels, so that selectors are asked once for all of them.
#[derive(Clone, Default)]
struct Groups {
    numbers: SortedMap<Text, u32>,
    members: Vec<Group>,
}

#[derive(Clone)]
pub struct Group {
    pub namespace: Text,
    labels: Value,
}

impl Group {
    pub fn labels(&self) -> &Map {
        self.labels.map_here()
    }
}

impl Cache {
    pub fn nodes(&self) -> &[Arc<NodeInfo>] {
        &self.nodes
    }
    pub fn node(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        self.positions.get(name).map(|position| &self.nodes[*position])
    }
    pub fn groups(&self) -> &[Group] {
        &self.groups.members
    }
    pub fn nodes_with_image(&self, image: &str) -> i64 {
        self.images.get(image).copied().unwrap_or(0)
    }
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|placed| placed.is_assumed)
    }
    pub fn pod(&self, uid: &str) -> Option<(&Arc<PodInfo>, &Text)> {
        self.pods.get(uid).map(|placed| (&placed.pod, &placed.node))
    }

    /// Gives `pod` the number of its label group.
    pub fn grouped(&mut self, mut pod: PodInfo) -> Arc<PodInfo> {
        let labels = pod.pod.at("metadata.labels").clone();
        let mut key = format!("{}\n", pod.namespace);
        for (name, value) in labels.map_here().iter() {
            key.push_str(name);
            key.push('=');
            key.push_str(value.as_str().unwrap_or(""));
            key.push(',');
        }
        pod.group = match self.groups.numbers.get(key.as_str()) {
            Some(number) => *number,
            None => {
                let groups = Arc::make_mut(&mut self.groups);
                let number = groups.members.len() as u32;
                groups.members.push(Group { namespace: pod.namespace.clone(), labels });
                groups.numbers.insert(key.into(), number);
                number
            }
        };
        Arc::new(pod)
    }

    /// Adds or updates a node; what was known of it before is returned.
    pub fn set_node(&mut self, node: &Value) -> Option<Arc<NodeFacts>> {
        let name = node.shared_text("metadata.name");
        let old = self.node(&name).map(|known| known.facts.clone());
        let sequence = old.as_ref().map_or(self.sequence, |old| old.sequence);
        let facts = Arc::new(NodeFacts::new(node, sequence));
        self.count_images(old.as_deref(), Some(&facts));
        self.is_in_disorder |= old.as_ref().is_none_or(|old| old.zone != facts.zone);
        if let Some(position) = self.positions.get(&name) {
            let nodes = Arc::make_mut(&mut self.nodes);
            Arc::make_mut(&mut nodes[*position]).facts = facts;
        } else {
            self.sequence += 1;
            let mut info = NodeInfo::new(facts);
            for pod in self.homeless.remove(&name).unwrap_or_default() {
                info.add(pod);
            }
            self.with_affinity += usize::from(!info.with_affinity.is_empty());
            self.with_anti_affinity += usize::from(!info.with_anti_affinity.is_empty());
            let nodes = Arc::make_mut(&mut self.nodes);
            Arc::make_mut(&mut self.positions).insert(name, nodes.len());
            nodes.push(Arc::new(info));
        }
        old
    }
    pub fn remove_node(&mut self, name: &str) {
        let Some(position) = Arc::make_mut(&mut self.positions).remove(name) else { return };
        let nodes = Arc::make_mut(&mut self.nodes);
        let gone = nodes.swap_remove(position);
        if let Some(moved) = nodes.get(position) {
            let moved = moved.name().clone();
            Arc::make_mut(&mut self.positions).insert(moved, position);
        }
        self.with_affinity -= usize::from(!gone.with_affinity.is_empty());
        self.with_anti_affinity -= usize::from(!gone.with_anti_affinity.is_empty());
        if !gone.pods.is_empty() {
            self.homeless.insert(name.into(), gone.pods.clone());
        }
        self.count_images(Some(&gone.facts), None);
        self.is_in_disorder = true;
    }
    fn count_images(&mut self, old: Option<&NodeFacts>, new: Option<&NodeFacts>) {
        if old.map(|old| &old.images) == new.map(|new| &new.images) {
            return;
        }
        let images = Arc::make_mut(&mut self.images);
        for (name, _) in old.into_iter().flat_map(|old| &old.images) {
            if let Some(count) = images.get_mut(name) {
                *count -= 1;
            }
        }
        for (name, _) in new.into_iter().flat_map(|new| &new.images) {
            *images.entry(name.clone()).or_default() += 1;
        }
    }

    /// Puts the nodes into the order in which they are tried: of each zone one in turn.
    pub fn refresh(&mut self) {
        if !std::mem::take(&mut self.is_in_disorder) {
            return;
        }
        let mut by_zone: SortedMap<Text, Vec<Arc<NodeInfo>>> = SortedMap::new();
        for node in self.nodes.iter() {
            by_zone.entry(node.facts.zone.clone()).or_default().push(node.clone());
        }
        let mut zones: Vec<Vec<Arc<NodeInfo>>> = by_zone.into_values().collect();
        for zone in &mut zones {
            zone.arrange_by_key(|node| node.facts.sequence);
        }
        zones.arrange_by_key(|zone| zone.first().map_or(0, |node| node.facts.sequence));
        let longest = zones.iter().map(Vec::len).max().unwrap_or(0);
        let nodes: Vec<Arc<NodeInfo>> = (0..longest)
            .flat_map(|turn| zones.iter().filter_map(move |zone| zone.get(turn).cloned()))
            .collect();
        let positions = nodes.iter().enumerate().map(|(position, node)| (node.name().clone(), position));
        self.positions = Arc::new(positions.collect());
        self.nodes = Arc::new(nodes);
    }

    /// Places `pod` on `node` ahead of the news.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &Text) {
        self.place(pod, node, true);
    }
    /// News of a pod that has a node: what was assumed of it is settled.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, node: &Text) {
        self.place(pod, node, false);
    }
    fn place(&mut self, pod: Arc<PodInfo>, node: &Text, is_assumed: bool) {
        self.remove_pod(&pod.uid);
        self.change(node, &pod.uid, Some(pod.clone()));
        let placed = Placed { pod: pod.clone(), node: node.clone(), is_assumed };
        self.pods.insert(pod.uid.clone(), placed);
    }
    /// Takes a pod out, assumed or not.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let placed = self.pods.get(uid)?.clone();
        self.pods.remove(uid);
        self.change(&placed.node, uid, None);
        Some(placed.pod)
    }
    /// Takes out what stands under `uid` on `node`, or puts `pod` there.
    fn change(&mut self, node: &Text, uid: &str, pod: Option<Arc<PodInfo>>) {
        let Some(position) = self.positions.get(node) else {
            let guests = self.homeless.entry(node.clone()).or_default();
            guests.retain(|guest| guest.uid != uid);
            guests.extend(pod);
            if guests.is_empty() {
                self.homeless.remove(node);
            }
            return;
        };
        let info = Arc::make_mut(&mut Arc::make_mut(&mut self.nodes)[*position]);
        let had = (!info.with_affinity.is_empty(), !info.with_anti_affinity.is_empty());
        match pod {
            Some(pod) => info.add(pod),
            None => {
                info.remove(uid);
            }
        }
        let has = (!info.with_affinity.is_empty(), !info.with_anti_affinity.is_empty());
        self.with_affinity = self.with_affinity + usize::from(has.0) - usize::from(had.0);
        self.with_anti_affinity = self.with_anti_affinity + usize::from(has.1) - usize::from(had.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    fn node(name: &str, zone: &str) -> Value {
        let labels = object! { "topology.kubernetes.io/zone" => zone };
        object! { "metadata" => object! { "name" => name, "labels" => labels } }
    }
    fn pod(cache: &mut Cache, name: &str) -> Arc<PodInfo> {
        let pod = object! {
            "metadata" => object! { "name" => name, "namespace" => "a", "uid" => name },
            "spec" => object! { "containers" => vec![object! {
                "resources" => object! { "requests" => object! { "cpu" => "1" } },
            }] },
        };
        cache.grouped(PodInfo::new(&pod))
    }

    #[test]
    fn zones_take_turns() {
        let mut cache = Cache::default();
        for (name, zone) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c")] {
            cache.set_node(&node(name, zone));
        }
        let order = |cache: &mut Cache| -> Vec<String> {
            cache.refresh();
            cache.nodes().iter().map(|node| node.name().to_string()).collect()
        };
        assert_eq!(order(&mut cache), ["a1", "b1", "c1", "a2", "a3"]);
        cache.remove_node("a1");
        cache.set_node(&node("b2", "b"));
        assert_eq!(order(&mut cache), ["a2", "b1", "c1", "a3", "b2"]);
    }

    #[test]
    fn what_is_assumed_counts_until_it_is_settled_or_forgotten() {
        let mut cache = Cache::default();
        cache.set_node(&node("n", "z"));
        let (first, second) = (pod(&mut cache, "first"), pod(&mut cache, "second"));
        let taken = |cache: &Cache| cache.node("n").map_or(0, |node| node.requested.milli_cpu);
        cache.assume(first.clone(), &"n".into());
        assert!(cache.is_assumed("first"));
        assert_eq!(taken(&cache), 1000);
        cache.set_pod(first, &"n".into());
        assert!(!cache.is_assumed("first"));
        assert_eq!(taken(&cache), 1000);
        cache.assume(second, &"n".into());
        cache.remove_pod("second");
        assert_eq!(taken(&cache), 1000);
        cache.remove_node("n");
        cache.set_node(&node("n", "z"));
        assert_eq!(taken(&cache), 1000);
    }
}
