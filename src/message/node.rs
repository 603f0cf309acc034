//! On a node, and between nodes, below all of Kubernetes: what a process asks of its kernel, and what the hosts'
//! own routing says to one another.
//!
//! Picture to hold in mind: the basement. kube-proxy hands its rule book through a hatch (`iptables-restore`); the
//! kernel calls the process to work when its container starts; and each house tells its neighbours which
//! addresses live behind its door.

use std::sync::Arc;

use crate::api::Text;
use crate::network::netfilter::Restore;

#[derive(Clone, Debug)]
pub enum NodeMessage {
    /// A process that has just begun asks whether its container runs.
    Attach,
    /// Its container runs: the process works from now on.
    Exec { container: Text },
    /// Its container has ended.
    Exit,
    /// `iptables-restore --noflush`.
    Restore(Arc<Restore>),
    /// From host to host: these ranges are reached by me.
    Routes {
        node: Text,
        ranges: Vec<Text>,
        /// The receiver has not been heard yet: it is asked to tell its own.
        wants_answer: bool,
    },
}

impl NodeMessage {
    /// What is written on its arrow.
    pub fn name(&self) -> &'static str {
        match self {
            NodeMessage::Attach => "attach",
            NodeMessage::Exec { .. } => "exec",
            NodeMessage::Exit => "exit",
            NodeMessage::Restore(_) => "iptables-restore",
            NodeMessage::Routes { .. } => "routes",
        }
    }
}
