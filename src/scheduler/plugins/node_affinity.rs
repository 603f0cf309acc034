//! NodeAffinity: nodes that a pod demands (`nodeSelector`, required affinity), and those it prefers.
//!
//! Picture to hold in mind: a flat hunter's list, the musts and the would-be-nices.

use arcstr::literal;

use crate::api::scheduling::{NodeSelectorTerm, RequiredNodeAffinity};
use crate::scheduler::framework::{
    Event, Filter, Plugin, PreFilter, Rejection, Score, View, normalize_by_highest,
};
use crate::scheduler::node_info::{NodeFacts, NodeInfo};
use crate::scheduler::pod_info::PodInfo;

pub struct NodeAffinity;

const NAME: &str = "NodeAffinity";

#[derive(Clone)]
struct Required<'a>(&'a RequiredNodeAffinity);

impl<'a> Filter<'a> for Required<'a> {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        if self.0.matches(node.name(), node.facts.labels()) {
            return Ok(());
        }
        Err(Rejection::unresolvable(NAME, literal!("node(s) didn't match Pod's node affinity/selector")))
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

struct Preferred(Vec<(i64, NodeSelectorTerm)>);

impl Score for Preferred {
    fn score(&self, node: &NodeInfo) -> i64 {
        let matches = |term: &NodeSelectorTerm| term.matches(node.name(), node.facts.labels());
        self.0.iter().filter(|(_, term)| matches(term)).map(|(weight, _)| weight).sum()
    }
    fn normalize(&self, _nodes: &[&NodeInfo], scores: &mut [i64]) {
        normalize_by_highest(scores, false);
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn weight(&self) -> i64 {
        2
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, _view: &'a View<'a>) -> PreFilter<'a> {
        if pod.node_affinity.is_empty() {
            return PreFilter::Skip;
        }
        let filter = Box::new(Required(&pod.node_affinity));
        match pod.node_affinity.selector.as_ref().and_then(|selector| selector.node_names()) {
            Some(names) if names.is_empty() => {
                PreFilter::Reject(Rejection::unresolvable(NAME, literal!("pod affinity terms conflict")))
            }
            Some(names) => PreFilter::Only(names, filter),
            None => PreFilter::Filter(filter),
        }
    }
    fn pre_score<'a>(
        &self,
        pod: &'a PodInfo,
        _view: &'a View<'a>,
        _nodes: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let path = "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution";
        let terms: Vec<(i64, NodeSelectorTerm)> = pod
            .pod
            .items(path)
            .iter()
            .map(|term| (term.integer("weight").unwrap_or(0), NodeSelectorTerm::parse(term.at("preference"))))
            .collect();
        if terms.is_empty() { None } else { Some(Box::new(Preferred(terms))) }
    }
    fn may_help(&self, pod: &PodInfo, event: &Event) -> bool {
        let fits = |facts: &NodeFacts| pod.node_affinity.matches(&facts.name, facts.labels());
        match event {
            Event::NodeAdded(node) => fits(&node.facts),
            Event::NodeUpdated { old, new } => !fits(old) && fits(&new.facts),
            _ => false,
        }
    }
}
