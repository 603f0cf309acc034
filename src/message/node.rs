//! On a node, and between nodes, below all of Kubernetes: what a process asks of its kernel, and what the hosts'
//! own routing says to one another.
//!
//! Picture to hold in mind: the basement. kube-proxy hands its rule book through a hatch (`iptables-restore`); the
//! kernel calls the process to work when its container starts; and each house tells its neighbours which
//! addresses live behind its door.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;
use crate::network::dns;
use crate::network::kernel::Agent;
use crate::network::netfilter::{Restore, Table};
use crate::network::packet::Packet;
use crate::sim::{ActorId, Duration};

#[derive(Clone, Debug)]
pub enum NodeMessage {
    /// A process that has just begun asks whether its container runs.
    Attach,
    /// Its container runs `program`: the process works from now on. `config`: what stands in the file that `--config` names,
    /// or of calico-node the environment.
    Exec {
        container: Text,
        program: Text,
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
    /// A request has come to a container of ingress-nginx, and which endpoint it is for, or the status that answers it.
    Forward {
        id: u64,
        host: Text,
        path: Text,
        is_tls: bool,
    },
    Upstream {
        id: u64,
        to: Result<(Text, u16), u16>,
    },
    /// `iptables-restore --noflush`, and in other modes of kube-proxy what stands in its place.
    Restore(Arc<Restore>),
    /// From host to host: these ranges are reached by me.
    Routes {
        node: Text,
        ranges: Vec<Text>,
        /// Whose telling it is: only its like listens.
        agent: Agent,
        /// The receiver has not been heard yet: it is asked to tell its own.
        wants_answer: bool,
    },
    /// From the cloud's controller to its host, and on to all: what is sent to these addresses is taken in by these nodes.
    Announce(Arc<Vec<(IpAddr, Text)>>),
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
    /// One of many like it, which nobody follows by itself.
    pub is_load: bool,
    /// The endpoint that it came to, once it is answered.
    pub by: Option<IpAddr>,
}

#[derive(Clone, Debug)]
pub enum Payload {
    Ask(Question),
    Answer(Reached),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A GET request for a path of a host (the header); an empty path: a connection alone, or an echo request.
    Http { host: Text, path: Text },
    /// A DNS query for an absolute name.
    Dns { kind: dns::Kind, name: Text },
    /// To the node's own kernel: send requests, and tell what became of them.
    Load(Arc<LoadOrder>),
}

/// What a load generator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOrder {
    /// A name or an address.
    pub host: Text,
    pub port: u16,
    pub path: Text,
    /// The header of that name; empty: `host`.
    pub host_header: Text,
    /// Between two requests.
    pub interval: Duration,
    /// Requests that may be under way at the same time.
    pub workers: u32,
    /// A request without an answer has failed after this.
    pub timeout_seconds: u32,
    /// 0: without end.
    pub requests: u64,
    /// Zero: without end.
    pub duration: Duration,
    /// Connections that are kept and used in turn; 0: a new one for each request.
    pub connections: u32,
}

/// `http://web.shop:8080/path` as host, port and path; the scheme may be left out. `None`: it has no host.
pub fn read_url(url: &str) -> Option<(&str, u16, Text)> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or(url);
    let default_port = if url.starts_with("https://") { 443 } else { 80 };
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, Text::from("/")), |(authority, path)| (authority, ["/", path].concat().into()));
    let (host, port) = match authority.rsplit_once(':') {
        // Colons of an address of IPv6 stand in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(default_port)),
        _ => (authority, default_port),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some((host, port, path))
}

/// What became of a load's requests.
#[derive(Clone, Debug)]
pub struct LoadReport {
    pub took: Duration,
    /// Ascending.
    pub latencies_us: Vec<u32>,
    pub bytes: u64,
    pub statuses: Vec<(u16, u64)>,
    /// By the client's words.
    pub errors: Vec<(Text, u64)>,
    /// What the name was resolved to; empty: it was not.
    pub address: Text,
}

#[derive(Clone, Debug)]
pub enum Said {
    /// Status (0 without a request) and body.
    Http(u16, Text),
    Dns(dns::Answer),
    Load(Arc<LoadReport>),
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
            NodeMessage::Forward { .. } | NodeMessage::Upstream { .. } => "HTTP",
            NodeMessage::Restore(restore) => match restore.chains.first() {
                Some((Table::KubeProxy, ..)) => "nft",
                _ => "iptables-restore",
            },
            NodeMessage::Routes { agent: Agent::Bird, wants_answer: true, .. } => "BGP OPEN",
            NodeMessage::Routes { agent: Agent::Bird, ranges, .. } if ranges.is_empty() => "BGP KEEPALIVE",
            NodeMessage::Routes { agent: Agent::Bird, .. } => "BGP UPDATE",
            NodeMessage::Routes { .. } => "routes",
            NodeMessage::Announce(_) => "load balancers",
            NodeMessage::Packet(letter) => letter.packet.protocol.upper_name(),
            NodeMessage::Reached { .. } => "answer",
        }
    }
}
