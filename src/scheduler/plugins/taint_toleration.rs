//! TaintToleration: hard taints keep intolerant pods away; soft ones make a node less liked.
//!
//! Picture to hold in mind: a smell at the door: some cannot enter, others would rather not.

use arcstr::literal;

use crate::api::scheduling::{Effect, Toleration, untolerated};
use crate::scheduler::framework::{
    Event, Filter, Plugin, PreFilter, Rejection, Score, View, normalize_by_highest,
};
use crate::scheduler::node_info::{NodeFacts, NodeInfo};
use crate::scheduler::pod_info::PodInfo;

pub struct TaintToleration;

const NAME: &str = "TaintToleration";

#[derive(Clone)]
struct Hard<'a>(&'a [Toleration]);

impl<'a> Filter<'a> for Hard<'a> {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        if untolerated(&node.facts.taints, self.0, Effect::is_hard).is_some() {
            return Err(Rejection::unresolvable(NAME, literal!("node(s) had untolerated taint(s)")));
        }
        Ok(())
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

struct Soft<'a>(Vec<&'a Toleration>);

impl Score for Soft<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let is_disliked = |taint: &&crate::api::scheduling::Taint| {
            taint.effect == Effect::PreferNoSchedule && !self.0.iter().any(|one| one.tolerates(taint))
        };
        node.facts.taints.iter().filter(is_disliked).count() as i64
    }
    fn normalize(&self, _nodes: &[&NodeInfo], scores: &mut [i64]) {
        normalize_by_highest(scores, true);
    }
}

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }
    fn weight(&self) -> i64 {
        3
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, _view: &'a View<'a>) -> PreFilter<'a> {
        PreFilter::Filter(Box::new(Hard(&pod.tolerations)))
    }
    fn pre_score<'a>(
        &self,
        pod: &'a PodInfo,
        _view: &'a View<'a>,
        _nodes: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        let is_soft = |one: &&Toleration| one.effect.is_none_or(|effect| !effect.is_hard());
        Some(Box::new(Soft(pod.tolerations.iter().filter(is_soft).collect())))
    }
    fn may_help(&self, pod: &PodInfo, event: &Event) -> bool {
        let is_barred =
            |facts: &NodeFacts| untolerated(&facts.taints, &pod.tolerations, Effect::is_hard).is_some();
        match event {
            Event::NodeAdded(node) => !is_barred(&node.facts),
            Event::NodeUpdated { old, new } => is_barred(old) && !is_barred(&new.facts),
            _ => false,
        }
    }
}
