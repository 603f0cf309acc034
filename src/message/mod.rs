//! Every message that crosses a wire, grouped by protocol.
//!
//! Picture to hold in mind: the cables of the cluster, one bundle a protocol. Clients talk REST to the API
//! server ([`rest`]); the API server talks to etcd ([`etcd`]); etcd's members talk Raft to one another; a
//! kubelet talks CRI to the container engine of its node ([`cri`]); below all that, nodes route packets
//! ([`node`]). There is no other cable.
//!
//! A message is a pointer to shared data: sending, recording and drawing it copy nothing.

pub mod auth;
pub mod cri;
pub mod etcd;
pub mod http;
pub mod node;
pub mod raft;
pub mod rest;

use std::sync::Arc;

use crate::sim;

#[derive(Clone, Debug)]
pub enum Message {
    /// Client to API server.
    Request(Arc<rest::Request>),
    /// API server to client.
    Response(Arc<rest::Response>),
    /// API server to client, on an open watch.
    Watch(Arc<rest::WatchEvent>),
    /// Either way: this exchange is over, as a closed or refused connection says it.
    Closed(rest::Closed),
    /// Between client and API server, below the exchanges: whether the other end is still there (HTTP/2's PING frame).
    Ping { is_answer: bool },
    /// API server (or etcdctl) to etcd.
    EtcdRequest(Arc<etcd::Request>),
    /// etcd to its client.
    EtcdResponse(Arc<etcd::Response>),
    /// etcd to its client, on an open watch.
    EtcdWatch(Arc<etcd::WatchResponse>),
    /// Between members of etcd.
    Raft(Arc<raft::Message<etcd::Replicated>>),
    /// Kubelet to container engine.
    CriRequest(Arc<cri::Request>),
    /// Container engine to kubelet.
    CriResponse(Arc<cri::Response>),
    /// Container engine to kubelet: something changed (the evented PLEG, KEP-3386).
    CriEvent(Arc<cri::Event>),
    /// On a node and between nodes, below Kubernetes.
    Node(Arc<node::NodeMessage>),
    /// Between a node's disk and the terminal that stands at the node's console: both see the same files.
    HostFile(Arc<cri::HostFile>),
}

/// Groups of messages for link filters and for drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[repr(u16)]
pub enum Class {
    Request,
    Response,
    Watch,
    EtcdRequest,
    EtcdResponse,
    EtcdWatch,
    RaftVote,
    RaftAppend,
    RaftHeartbeat,
    RaftOther,
    Cri,
    Node,
}

impl Message {
    pub fn node(message: node::NodeMessage) -> Message {
        Message::Node(Arc::new(message))
    }
    #[inline(always)]
    pub fn kind(&self) -> Class {
        match self {
            Message::Request(_) | Message::Ping { is_answer: false } => Class::Request,
            Message::Response(_) | Message::Closed(_) | Message::Ping { is_answer: true } => Class::Response,
            Message::Watch(_) => Class::Watch,
            Message::EtcdRequest(_) => Class::EtcdRequest,
            Message::EtcdResponse(_) => Class::EtcdResponse,
            Message::EtcdWatch(_) => Class::EtcdWatch,
            Message::Raft(message) => match message.body {
                raft::Body::PreVote { .. }
                | raft::Body::PreVoteResp { .. }
                | raft::Body::Vote { .. }
                | raft::Body::VoteResp { .. } => Class::RaftVote,
                raft::Body::App { .. } | raft::Body::AppResp { .. } | raft::Body::Snap { .. } => {
                    Class::RaftAppend
                }
                raft::Body::Heartbeat { .. } | raft::Body::HeartbeatResp { .. } => Class::RaftHeartbeat,
                _ => Class::RaftOther,
            },
            Message::CriRequest(_)
            | Message::CriResponse(_)
            | Message::CriEvent(_)
            | Message::HostFile(_) => Class::Cri,
            Message::Node(_) => Class::Node,
        }
    }
}

/// FNV-1a, word by word and byte by byte: for digests that must be equal on every target.
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn new(tag: u64) -> Digest {
        Digest(0xcbf2_9ce4_8422_2325 ^ tag)
    }
    pub(crate) fn word(mut self, word: u64) -> Digest {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        self
    }
    #[cfg_attr(published, optimize(speed))]
    pub(crate) fn text(mut self, text: &str) -> Digest {
        let (mut word, mut shift) = (0, 0);
        for byte in text.bytes() {
            word |= u64::from(byte) << shift;
            shift = (shift + 8) % 64;
            if shift == 0 {
                self = self.word(std::mem::take(&mut word));
            }
        }
        if shift == 0 { self } else { self.word(word) }
    }
    pub(crate) fn finish(self) -> u64 {
        self.0
    }
}

impl sim::actor::Message for Message {
    #[cfg_attr(published, optimize(speed))]
    fn digest(&self) -> u64 {
        let digest = Digest::new(self.kind() as u64);
        match self {
            Message::Request(request) => request.digest(digest),
            Message::Response(response) => response.digest(digest),
            Message::Watch(event) => event.digest(digest),
            Message::Closed(closed) => digest.word(closed.id),
            Message::Ping { .. } => digest,
            Message::EtcdRequest(request) => digest.word(request.id),
            Message::EtcdResponse(response) => digest.word(response.id).word(response.revision),
            Message::EtcdWatch(response) => digest.word(response.watch_id).word(response.revision),
            Message::Raft(message) => digest.word(message.digest()),
            Message::CriRequest(request) => digest.word(request.id),
            Message::CriResponse(response) => digest.word(response.id),
            Message::CriEvent(event) => digest.text(&event.container_id),
            Message::Node(message) => digest.text(message.name()),
            Message::HostFile(file) => digest.text(&file.path),
        }
        .finish()
    }
    fn class(&self) -> u16 {
        self.kind() as u16
    }
    fn refusal(&self) -> Option<Message> {
        match self {
            Message::Request(request) => {
                Some(Message::Closed(rest::Closed { id: request.id, why: rest::CloseReason::Refused }))
            }
            Message::EtcdRequest(request) => Some(Message::EtcdResponse(Arc::new(etcd::Response {
                id: request.id,
                revision: 0,
                cluster: 0,
                member: 0,
                raft_term: 0,
                result: Err(etcd::Error::Unavailable),
            }))),
            Message::CriRequest(request) => Some(Message::CriResponse(Arc::new(cri::Response {
                id: request.id,
                result: Err(cri::REFUSED.into()),
            }))),
            _ => None,
        }
    }
    fn most_resends(&self) -> u32 {
        match self {
            // Who hears nothing for five seconds connects anew (rafthttp's `DefaultConnReadTimeout`).
            Message::Raft(_) => 4,
            _ => 7,
        }
    }
}
