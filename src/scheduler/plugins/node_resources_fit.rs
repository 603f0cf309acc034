//! NodeResourcesFit: a node must have what a pod asks for; of those that have it, the emptiest is liked best
//! (LeastAllocated).
//!
//! Picture to hold in mind: luggage and car boots.

use arcstr::literal;

use crate::scheduler::framework::{Event, Filter, MAX_NODE_SCORE, Plugin, PreFilter, Rejection, Score, View};
use crate::scheduler::node_info::{NodeFacts, NodeInfo};
use crate::scheduler::pod_info::PodInfo;
use crate::scheduler::resources::Resources;

pub struct NodeResourcesFit;

const NAME: &str = "NodeResourcesFit";

#[derive(Clone)]
struct Fit<'a>(&'a Resources);

impl<'a> Filter<'a> for Fit<'a> {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let facts = &node.facts;
        fits(self.0, node.pods.len() as i64, &node.requested, facts)
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

/// Whether `wanted` fits beside `pods` pods that have `taken`.
fn fits(wanted: &Resources, pods: i64, taken: &Resources, facts: &NodeFacts) -> Result<(), Rejection> {
    let there = &facts.allocatable;
    let has_room = pods < facts.allowed_pods;
    // The usual case first: nothing is built unless something is missing.
    if has_room
        && wanted.milli_cpu <= there.milli_cpu - taken.milli_cpu
        && wanted.memory <= there.memory - taken.memory
        && wanted.ephemeral_storage <= there.ephemeral_storage - taken.ephemeral_storage
        && wanted.scalars.is_empty()
    {
        return Ok(());
    }
    let mut rejection = Rejection { plugin: NAME, reasons: Vec::new(), is_unresolvable: false };
    if !has_room {
        rejection.reasons.push(literal!("Too many pods"));
    }
    let mut check = |wanted: i64, taken: i64, there: i64, reason: &dyn Fn() -> crate::api::Text| {
        if wanted > 0 && wanted > there - taken {
            rejection.reasons.push(reason());
            rejection.is_unresolvable |= wanted > there;
        }
    };
    check(wanted.milli_cpu, taken.milli_cpu, there.milli_cpu, &|| literal!("Insufficient cpu"));
    check(wanted.memory, taken.memory, there.memory, &|| literal!("Insufficient memory"));
    check(wanted.ephemeral_storage, taken.ephemeral_storage, there.ephemeral_storage, &|| {
        literal!("Insufficient ephemeral-storage")
    });
    for (name, amount) in &wanted.scalars {
        check(*amount, taken.scalar(name), there.scalar(name), &|| arcstr::format!("Insufficient {name}"));
    }
    if rejection.reasons.is_empty() { Ok(()) } else { Err(rejection) }
}

struct LeastAllocated<'a>(&'a Resources);

impl Score for LeastAllocated<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let there = &node.facts.allocatable;
        let (mut sum, mut resources) = (0, 0);
        for (requested, capacity) in [
            (node.scored_milli_cpu + self.0.milli_cpu, there.milli_cpu),
            (node.scored_memory + self.0.memory, there.memory),
        ] {
            if capacity > 0 {
                sum +=
                    if requested > capacity { 0 } else { (capacity - requested) * MAX_NODE_SCORE / capacity };
                resources += 1;
            }
        }
        if resources == 0 { 0 } else { sum / resources }
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }
    fn weight(&self) -> i64 {
        1
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, _view: &'a View<'a>) -> PreFilter<'a> {
        PreFilter::Filter(Box::new(Fit(&pod.requests)))
    }
    fn pre_score<'a>(
        &self,
        pod: &'a PodInfo,
        _view: &'a View<'a>,
        _nodes: &[&'a NodeInfo],
    ) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(LeastAllocated(&pod.scored_requests)))
    }
    fn may_help(&self, pod: &PodInfo, event: &Event) -> bool {
        let would_fit = |facts: &NodeFacts| fits(&pod.requests, 0, &Resources::default(), facts).is_ok();
        match event {
            Event::PodDeleted(_) => true,
            Event::NodeAdded(node) => would_fit(&node.facts),
            Event::NodeUpdated { old, new } => {
                let (before, after) = (&old.allocatable, &new.facts.allocatable);
                let grew = new.facts.allowed_pods > old.allowed_pods
                    || after.milli_cpu > before.milli_cpu
                    || after.memory > before.memory
                    || after.ephemeral_storage > before.ephemeral_storage
                    || pod.requests.scalars.iter().any(|(name, _)| after.scalar(name) > before.scalar(name));
                grew && would_fit(&new.facts)
            }
            _ => false,
        }
    }
}
