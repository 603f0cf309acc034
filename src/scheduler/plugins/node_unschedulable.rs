//! NodeUnschedulable: a cordoned node takes no pods but those that tolerate it.
//!
//! Picture to hold in mind: a "closed" sign, which staff may pass.

use arcstr::literal;

use crate::api::scheduling::{Effect, Taint, Toleration};
use crate::scheduler::framework::{Event, Filter, Plugin, PreFilter, Rejection, View};
use crate::scheduler::node_info::{NodeFacts, NodeInfo};
use crate::scheduler::pod_info::PodInfo;

pub struct NodeUnschedulable;

const NAME: &str = "NodeUnschedulable";

#[derive(Clone)]
struct Cordon {
    is_tolerated: bool,
}

fn tolerates(tolerations: &[Toleration]) -> bool {
    let taint = Taint::new("node.kubernetes.io/unschedulable", Effect::NoSchedule);
    tolerations.iter().any(|toleration| toleration.tolerates(&taint))
}

impl<'a> Filter<'a> for Cordon {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        if node.facts.unschedulable && !self.is_tolerated {
            return Err(Rejection::unresolvable(NAME, literal!("node(s) were unschedulable")));
        }
        Ok(())
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, _view: &'a View<'a>) -> PreFilter<'a> {
        PreFilter::Filter(Box::new(Cordon { is_tolerated: tolerates(&pod.tolerations) }))
    }
    fn may_help(&self, pod: &PodInfo, event: &Event) -> bool {
        let is_open = |facts: &NodeFacts| !facts.unschedulable || tolerates(&pod.tolerations);
        match event {
            Event::NodeAdded(node) => is_open(&node.facts),
            Event::NodeUpdated { old, new } => !is_open(old) && is_open(&new.facts),
            _ => false,
        }
    }
}
