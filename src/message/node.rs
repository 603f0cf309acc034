//! On a node, and between nodes, below all of Kubernetes: what a process asks of its kernel, and what the hosts'
//! own routing says to one another.
//!
//! Picture to hold in mind: the basement. kube-proxy hands its rule book through a hatch (`iptables-restore`); the
//! kernel calls the process to work when its container starts; and each house tells its neighbours which
//! addresses live behind its door.

use std::sync::Arc;

use crate::api::Text;
use crate::network::netfilter::Restore;
use crate::network::packet::Packet;
use crate::sim::ActorId;

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
    /// From host to host: a packet of a pod or a host, with what is in it.
    Packet(Arc<Letter>),
    /// From a kernel to itself: an answer is there for question `id`.
    Reached { id: u64, reached: Result<(u16, Text), &'static str> },
}

/// A packet with its content: one stands for all packets of a connection that go the same way.
#[derive(Clone, Debug)]
pub struct Letter {
    pub packet: Packet,
    pub payload: Payload,
    /// Whose kernel waits for the answer, and its number for the question.
    pub asker: ActorId,
    pub id: u64,
}

#[derive(Clone, Debug)]
pub enum Payload {
    /// An HTTP request for a path; empty: a connection alone, or an echo request.
    Ask { path: Text },
    /// The HTTP status (0 without a request) and body, or the client's word for what went wrong.
    Answer(Result<(u16, Text), &'static str>),
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
            NodeMessage::Packet(letter) => letter.packet.protocol.upper_name(),
            NodeMessage::Reached { .. } => "answer",
        }
    }
}
