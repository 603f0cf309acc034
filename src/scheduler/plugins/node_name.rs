//! NodeName: a pod that names its node goes there or nowhere.
//!
//! Picture to hold in mind: a reserved seat.

use arcstr::literal;

use crate::api::Text;
use crate::scheduler::framework::{Event, Filter, Plugin, PreFilter, Rejection, View};
use crate::scheduler::node_info::NodeInfo;
use crate::scheduler::pod_info::PodInfo;

pub struct NodeName;

const NAME: &str = "NodeName";

#[derive(Clone)]
struct Named(Text);

impl<'a> Filter<'a> for Named {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        if self.0 == *node.name() {
            return Ok(());
        }
        Err(Rejection::unresolvable(NAME, literal!("node(s) didn't match the requested node name")))
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, _view: &'a View<'a>) -> PreFilter<'a> {
        match pod.pod.shared_text("spec.nodeName") {
            name if name.is_empty() => PreFilter::Skip,
            name => PreFilter::Filter(Box::new(Named(name))),
        }
    }
    fn may_help(&self, _pod: &PodInfo, event: &Event) -> bool {
        matches!(event, Event::NodeAdded(_))
    }
}
