//! InterPodAffinity: near some pods, far from others, in terms of any label of the node.
//!
//! Picture to hold in mind: seating relatives at a wedding: who must sit together, who must not, and who would
//! rather.

use arcstr::literal;

use crate::api::{Map, Text, Value};
use crate::scheduler::framework::{Event, Filter, MAX_NODE_SCORE, Plugin, PreFilter, Rejection, Score, View};
use crate::scheduler::node_info::NodeInfo;
use crate::scheduler::pod_info::{AffinityTerm, PodInfo};
use crate::sorted::SortedMap;

pub struct InterPodAffinity;

const NAME: &str = "InterPodAffinity";
/// What a required affinity of a pod that is already there counts towards the newcomer.
const HARD_AFFINITY_WEIGHT: i64 = 1;

/// `(topology key, value)` to a count.
type Counts = SortedMap<(Text, Text), i64>;

fn change(counts: &mut Counts, node: &NodeInfo, key: &Text, by: i64) {
    let Some(value) = node.facts.labels().get(key).and_then(Value::as_str) else { return };
    let pair = (key.clone(), Text::from(value));
    let count = counts.entry(pair.clone()).or_default();
    *count += by;
    if *count == 0 {
        counts.remove(&pair);
    }
}
fn matches_all(terms: &[AffinityTerm], pod: &PodInfo, namespace_labels: &Map) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.matches(pod, namespace_labels))
}

#[derive(Clone)]
struct Relations<'a> {
    pod: &'a PodInfo,
    view: &'a View<'a>,
    /// Domains that pods already there want free of this pod.
    existing_anti_affinity: Counts,
    affinity: Counts,
    anti_affinity: Counts,
}

impl Relations<'_> {
    fn reckon_existing(&mut self, other: &PodInfo, node: &NodeInfo, by: i64) {
        let own_namespace = self.view.namespace_labels(&self.pod.namespace);
        for term in &other.anti_affinity {
            if term.matches(self.pod, own_namespace) {
                change(&mut self.existing_anti_affinity, node, &term.topology_key, by);
            }
        }
    }
    fn reckon_own(&mut self, other: &PodInfo, node: &NodeInfo, by: i64) {
        let namespace = self.view.namespace_labels(&other.namespace);
        if matches_all(&self.pod.affinity, other, namespace) {
            for term in &self.pod.affinity {
                change(&mut self.affinity, node, &term.topology_key, by);
            }
        }
        for term in &self.pod.anti_affinity {
            if term.matches(other, namespace) {
                change(&mut self.anti_affinity, node, &term.topology_key, by);
            }
        }
    }
    fn count(&self, counts: &Counts, node: &NodeInfo, key: &Text) -> Option<i64> {
        let value = node.facts.labels().get(key).and_then(Value::as_str)?;
        Some(counts.get(&(key.clone(), Text::from(value))).copied().unwrap_or(0))
    }
    fn fits_affinity(&self, node: &NodeInfo) -> bool {
        let mut all_there = true;
        for term in &self.pod.affinity {
            match self.count(&self.affinity, node, &term.topology_key) {
                None => return false,
                Some(count) => all_there &= count > 0,
            }
        }
        // The first of a group that wants to be together may go anywhere.
        all_there
            || (self.affinity.is_empty()
                && matches_all(&self.pod.affinity, self.pod, self.view.namespace_labels(&self.pod.namespace)))
    }
    fn fits_anti_affinity(&self, node: &NodeInfo) -> bool {
        self.anti_affinity.is_empty()
            || self
                .pod
                .anti_affinity
                .iter()
                .all(|term| self.count(&self.anti_affinity, node, &term.topology_key).unwrap_or(0) <= 0)
    }
    fn fits_existing(&self, node: &NodeInfo) -> bool {
        self.existing_anti_affinity.is_empty()
            || node
                .facts
                .labels()
                .keys()
                .all(|key| self.count(&self.existing_anti_affinity, node, key).unwrap_or(0) <= 0)
    }
}

impl<'a> Filter<'a> for Relations<'a> {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        if !self.fits_affinity(node) {
            let reason = literal!("node(s) didn't match pod affinity rules");
            return Err(Rejection::unresolvable(NAME, reason));
        }
        if !self.fits_anti_affinity(node) {
            let reason = literal!("node(s) didn't match pod anti-affinity rules");
            return Err(Rejection::unschedulable(NAME, reason));
        }
        if !self.fits_existing(node) {
            let reason = literal!("node(s) didn't satisfy existing pods anti-affinity rules");
            return Err(Rejection::unschedulable(NAME, reason));
        }
        Ok(())
    }
    fn add_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.reckon_existing(pod, node, 1);
        self.reckon_own(pod, node, 1);
    }
    fn remove_pod(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.reckon_existing(pod, node, -1);
        self.reckon_own(pod, node, -1);
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

/// Marks by topology key and value.
struct Wishes(SortedMap<Text, SortedMap<Text, i64>>);

impl Wishes {
    fn add(&mut self, node: &NodeInfo, key: &Text, weight: i64) {
        if let Some(value) = node.facts.labels().get(key).and_then(Value::as_str) {
            *self.0.entry(key.clone()).or_default().entry(value.into()).or_default() += weight;
        }
    }
    fn reckon(&mut self, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, view: &View) {
        let (own, others) = (view.namespace_labels(&pod.namespace), view.namespace_labels(&other.namespace));
        let preferences = |pod: &PodInfo| -> Vec<(i64, AffinityTerm)> {
            let disliked = pod.preferred_anti_affinity.iter().map(|(weight, term)| (-weight, term.clone()));
            pod.preferred_affinity.iter().cloned().chain(disliked).collect()
        };
        for (weight, term) in preferences(pod) {
            if term.matches(other, others) {
                self.add(node, &term.topology_key, weight);
            }
        }
        for term in &other.affinity {
            if term.matches(pod, own) {
                self.add(node, &term.topology_key, HARD_AFFINITY_WEIGHT);
            }
        }
        for (weight, term) in preferences(other) {
            if term.matches(pod, own) {
                self.add(node, &term.topology_key, weight);
            }
        }
    }
}

impl Score for Wishes {
    fn score(&self, node: &NodeInfo) -> i64 {
        let labels = node.facts.labels();
        self.0.iter().filter_map(|(key, values)| values.get(labels.get(key)?.as_str()?)).sum()
    }
    fn normalize(&self, _nodes: &[&NodeInfo], scores: &mut [i64]) {
        let lowest = scores.iter().copied().min().unwrap_or(0);
        let span = scores.iter().copied().max().unwrap_or(0) - lowest;
        for score in scores {
            *score = if span > 0 { MAX_NODE_SCORE * (*score - lowest) / span } else { 0 };
        }
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn weight(&self) -> i64 {
        2
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, view: &'a View<'a>) -> PreFilter<'a> {
        let asks_nothing = pod.affinity.is_empty() && pod.anti_affinity.is_empty();
        if asks_nothing && view.cache.with_anti_affinity == 0 {
            return PreFilter::Skip;
        }
        let mut relations = Relations {
            pod,
            view,
            existing_anti_affinity: Counts::new(),
            affinity: Counts::new(),
            anti_affinity: Counts::new(),
        };
        for node in view.nodes() {
            for other in &node.with_anti_affinity {
                relations.reckon_existing(other, node, 1);
            }
            if !asks_nothing {
                for other in &node.pods {
                    relations.reckon_own(other, node, 1);
                }
            }
        }
        if asks_nothing && relations.existing_anti_affinity.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Filter(Box::new(relations))
    }
    fn pre_score<'a>(
        &self,
        pod: &'a PodInfo,
        view: &'a View<'a>,
        _nodes: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let has_wishes = !pod.preferred_affinity.is_empty() || !pod.preferred_anti_affinity.is_empty();
        if !has_wishes && view.cache.with_affinity == 0 {
            return None;
        }
        let mut wishes = Wishes(SortedMap::new());
        for node in view.nodes() {
            let others = if has_wishes { &node.pods } else { &node.with_affinity };
            for other in others {
                wishes.reckon(pod, other, node, view);
            }
        }
        if wishes.0.is_empty() { None } else { Some(Box::new(wishes)) }
    }
    fn may_help(&self, pod: &PodInfo, event: &Event) -> bool {
        // Namespaces named by labels are asked for when the pod is tried again.
        let nowhere = Map::new();
        match event {
            Event::PodAdded(other) => matches_all(&pod.affinity, other, &nowhere),
            Event::PodUpdated { old, new } => {
                let joins =
                    !matches_all(&pod.affinity, old, &nowhere) && matches_all(&pod.affinity, new, &nowhere);
                let leaves = matches_all(&pod.anti_affinity, old, &nowhere)
                    && !matches_all(&pod.anti_affinity, new, &nowhere);
                joins || leaves
            }
            Event::PodDeleted(other) => {
                matches_all(&pod.anti_affinity, other, &nowhere)
                    || matches_all(&other.anti_affinity, pod, &nowhere)
            }
            Event::NodeAdded(node) => {
                !pod.anti_affinity.is_empty()
                    || pod.affinity.iter().any(|term| node.facts.label(&term.topology_key).is_some())
            }
            Event::NodeUpdated { old, new } => pod
                .affinity
                .iter()
                .chain(&pod.anti_affinity)
                .any(|term| old.label(&term.topology_key) != new.facts.label(&term.topology_key)),
            _ => false,
        }
    }
}
