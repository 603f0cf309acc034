//! NodePorts: two pods cannot have one port of a node.
//!
//! Picture to hold in mind: one key, one lock: a wildcard address is the master lock of its port.

use arcstr::literal;

use crate::api::Text;
use crate::scheduler::framework::{Event, Filter, Plugin, PreFilter, Rejection, View};
use crate::scheduler::node_info::NodeInfo;
use crate::scheduler::pod_info::PodInfo;

pub struct NodePorts;

const NAME: &str = "NodePorts";
const ANYWHERE: &str = "0.0.0.0";

type Port = (Text, Text, i64);

fn conflicts(wanted: &[Port], taken: &[Port]) -> bool {
    wanted.iter().any(|(protocol, address, port)| {
        taken.iter().any(|(other_protocol, other_address, other_port)| {
            port == other_port
                && protocol == other_protocol
                && (address == other_address || address == ANYWHERE || other_address == ANYWHERE)
        })
    })
}

#[derive(Clone)]
struct Wanted<'a>(&'a [Port]);

impl<'a> Filter<'a> for Wanted<'a> {
    fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        if conflicts(self.0, &node.host_ports) {
            let reason = literal!("node(s) didn't have free ports for the requested pod ports");
            return Err(Rejection::unschedulable(NAME, reason));
        }
        Ok(())
    }
    fn copy(&self) -> Box<dyn Filter<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter<'a>(&self, pod: &'a PodInfo, _view: &'a View<'a>) -> PreFilter<'a> {
        if pod.host_ports.is_empty() {
            PreFilter::Skip
        } else {
            PreFilter::Filter(Box::new(Wanted(&pod.host_ports)))
        }
    }
    fn may_help(&self, pod: &PodInfo, event: &Event) -> bool {
        match event {
            Event::NodeAdded(_) => true,
            Event::PodDeleted(gone) => conflicts(&pod.host_ports, &gone.host_ports),
            _ => false,
        }
    }
}
