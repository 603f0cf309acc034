//! On a node, and between nodes, below all of Kubernetes: what a process asks of its kernel, and what the hosts'
//! own routing says to one another.
//!
//! Picture to hold in mind: the basement. kube-proxy hands its rule book through a hatch (`iptables-restore`); the
//! kernel calls the process to work when its container starts; and each house tells its neighbours which
//! addresses live behind its door.

use std::sync::Arc;

use crate::api::Text;
use crate::network::dns;
use crate::network::netfilter::{Restore, Table};
use crate::network::packet::Packet;
use crate::sim::ActorId;

#[derive(Clone, Debug)]
pub enum NodeMessage {
    /// A process that has just begun asks whether its container runs.
    Attach,
    /// Its container runs: the process works from now on. `config`: what stands in the file that `--config` names.
    Exec {
        container: Text,
        config: Text,
    },
    /// The process ends by itself with exit code 1, and says why.
    Quit {
        container: Text,
        words: Text,
    },
    /// The process writes to its log; it listens on these ports from now on.
    Say {
        container: Text,
        words: Text,
        ports: Option<Vec<u16>>,
    },
    /// Its container has ended.
    Exit {
        container: Text,
    },
    /// A DNS query has come to a container of CoreDNS, and what is answered.
    Query {
        id: u64,
        container: Text,
        kind: dns::Kind,
        name: Text,
        /// Address and port of who asks, and the address that was asked.
        client: Text,
        server: Text,
    },
    Records {
        id: u64,
        answer: dns::Answer,
    },
    /// `iptables-restore --noflush`, and in other modes of kube-proxy what stands in its place.
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
    Reached {
        id: u64,
        reached: Reached,
    },
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
    Ask(Question),
    Answer(Reached),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A GET request for a path; empty: a connection alone, or an echo request.
    Http { path: Text },
    /// A DNS query for an absolute name.
    Dns { kind: dns::Kind, name: Text },
}

#[derive(Clone, Debug)]
pub enum Said {
    /// Status (0 without a request) and body.
    Http(u16, Text),
    Dns(dns::Answer),
}

/// What came back, or the client's word for what went wrong.
pub type Reached = Result<Said, &'static str>;

impl NodeMessage {
    /// What is written on its arrow.
    pub fn name(&self) -> &'static str {
        match self {
            NodeMessage::Attach => "attach",
            NodeMessage::Exec { .. } => "exec",
            NodeMessage::Exit { .. } | NodeMessage::Quit { .. } => "exit",
            NodeMessage::Say { .. } => "log",
            NodeMessage::Query { .. } => "DNS query",
            NodeMessage::Records { .. } => "DNS answer",
            NodeMessage::Restore(restore) => match restore.chains.first() {
                Some((Table::KubeProxy, ..)) => "nft",
                _ => "iptables-restore",
            },
            NodeMessage::Routes { .. } => "routes",
            NodeMessage::Packet(letter) => letter.packet.protocol.upper_name(),
            NodeMessage::Reached { .. } => "answer",
        }
    }
}
