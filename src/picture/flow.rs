//! Messages and steps as the stage and the timeline show them.
//!
//! Picture to hold in mind: a musical score. Each note says when it sounds, how long, on which line, and what
//! is sung; where the playhead is decides what is heard. Whoever draws a message needs nothing but this and
//! the time (`docs/architecture.md`, invariant 9).

use serde::{Deserialize, Serialize};

use crate::language::Wire;
use crate::message::node::{NodeMessage, Payload};
use crate::message::raft::Body;
use crate::message::rest::{Request, Verb, WatchType};
use crate::message::{Message, etcd};
use crate::sim::network::Lost;
use crate::sim::trace::What;
use crate::sim::{Record, RecordId, Time, Trace};

use super::fields;

/// One message on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Its line in the record.
    pub id: u64,
    pub cause: Option<u64>,
    pub from: u32,
    pub to: u32,
    pub sent_us: u64,
    /// `None`: it never arrives.
    pub arrives_us: Option<u64>,
    /// Why it does not, or why it is not heard where it arrives.
    pub lost: Option<String>,
    /// When a hand was last laid on it or its cable, and how much of its way it had come by then, in millionths.
    pub turned: Option<(u64, u32)>,
    pub shape: Shape,
    /// `POST pods`, `201`, `ADDED Pod`, `MsgApp`.
    pub label: String,
    /// What it is about: `default/nginx`, or empty; between members of etcd its fields, each `name=value`.
    pub about: String,
    /// For answers: whether it tells of a failure.
    pub is_failure: bool,
    /// Happens all the time whether or not anybody does anything: leases, heartbeats.
    pub is_routine: bool,
}

/// Filled for requests, hollow for replies; each protocol has a form of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    Request,
    Reply,
    WatchEvent,
    EtcdRequest,
    EtcdReply,
    EtcdWatchEvent,
    Vote,
    Append,
    Heartbeat,
    RaftReply,
    CriRequest,
    CriReply,
    Closed,
}

impl Flow {
    /// The flow of a line of the record; `None` where the line is not of a message.
    pub fn of(id: RecordId, record: &Record<Wire>) -> Option<Flow> {
        let What::Sent { from, to, arrives, message } = &record.what else { return None };
        let Caption { shape, label, about, is_failure } = caption(message);
        Some(Flow {
            id: id.0,
            cause: record.cause().map(|cause| cause.0),
            from: from.0,
            to: to.0,
            sent_us: record.time.0,
            arrives_us: arrives.ok().map(|Time(us)| us),
            lost: arrives.err().map(|why| format!("{why:?}")),
            turned: None,
            shape,
            label,
            about,
            is_failure,
            is_routine: is_routine(message),
        })
    }

    /// What a line tells of a message: that it was sent, or that it fares otherwise than the line of its sending says.
    pub fn told(id: RecordId, trace: &Trace<Wire>) -> Option<Flow> {
        let record = trace.get(id)?;
        let (What::Delayed { sent, .. } | What::Undelivered { sent, .. }) = &record.what else {
            return Flow::of(id, record);
        };
        let mut flow = Flow::of(*sent, trace.get(*sent)?)?;
        for later in sent.0 + 1..=id.0 {
            flow.meet(*sent, trace.get(RecordId(later))?);
        }
        Some(flow)
    }

    /// Takes note of a later line, if it is about this message, the line `id`.
    pub(super) fn meet(&mut self, id: RecordId, later: &Record<Wire>) {
        let now = later.time.0;
        let come = (self.progress(now as f64).0 * 1e6) as u32;
        match &later.what {
            What::Delayed { sent, arrives } if *sent == id => {
                self.arrives_us = Some(arrives.0);
                self.turned = Some((now, come));
            }
            What::Undelivered { sent, why } if *sent == id => {
                self.lost = Some(format!("{why:?}"));
                // Lost on its way, and not found to be unheard where it arrives.
                if matches!(why, Lost::Dropped | Lost::Cut) {
                    self.arrives_us = None;
                    self.turned = Some((now, come));
                }
            }
            _ => {}
        }
    }

    /// Which share of its way it has come at an instant, and when it comes no further: it arrives, was taken off its link,
    /// or got lost, which is drawn half way.
    pub fn progress(&self, now_us: f64) -> (f64, f64) {
        let (from, come) = self.turned.map_or((self.sent_us, 0), |turned| turned);
        let (from, come) = (from as f64, f64::from(come) / 1e6);
        let (until, goal) = match self.arrives_us {
            Some(arrives) => (arrives as f64, 1.0),
            None if self.turned.is_some() => return (come, from),
            None => (from + 300.0, 0.5),
        };
        let share = ((now_us - from) / (until - from).max(1.0)).clamp(0.0, 1.0);
        (come + (goal - come) * share, until)
    }
}

struct Caption {
    shape: Shape,
    label: String,
    about: String,
    is_failure: bool,
}

fn caption(message: &Message) -> Caption {
    let plain = |shape, label: String, about: String| Caption { shape, label, about, is_failure: false };
    match message {
        Message::Request(request) => plain(Shape::Request, request_label(request), request_about(request)),
        Message::Response(response) => Caption {
            shape: Shape::Reply,
            label: if response.is_success() {
                response.code.to_string()
            } else {
                format!("{} {}", response.code, response.reason())
            },
            about: about_object(&response.body),
            is_failure: !response.is_success(),
        },
        Message::Watch(event) => {
            let kind = match event.kind {
                WatchType::Added => "ADDED",
                WatchType::Modified => "MODIFIED",
                WatchType::Deleted => "DELETED",
                WatchType::Bookmark => "BOOKMARK",
                WatchType::Error => "ERROR",
            };
            let label = format!("{kind} {}", event.object.text("kind"));
            plain(Shape::WatchEvent, label, about_object(&event.object))
        }
        Message::Closed(closed) => plain(Shape::Closed, format!("{:?}", closed.why), String::new()),
        Message::EtcdRequest(request) => {
            let (label, about) = operation(&request.operation);
            plain(Shape::EtcdRequest, label.into(), about)
        }
        Message::EtcdResponse(response) => Caption {
            shape: Shape::EtcdReply,
            label: match &response.result {
                Ok(_) => format!("rev {}", response.revision),
                Err(error) => error.to_string(),
            },
            about: {
                let mut about = String::from("raft_term=");
                about.push_str(&response.raft_term.to_string());
                about
            },
            is_failure: response.result.is_err(),
        },
        Message::EtcdWatch(response) => {
            let about = response.events.first().map_or(String::new(), |event| event.key.to_string());
            plain(Shape::EtcdWatchEvent, format!("rev {}", response.revision), about)
        }
        Message::CriRequest(request) => plain(Shape::CriRequest, request.call.name().into(), String::new()),
        Message::CriResponse(response) => Caption {
            shape: Shape::CriReply,
            label: if response.result.is_ok() { "OK".into() } else { "error".into() },
            about: String::new(),
            is_failure: response.result.is_err(),
        },
        Message::Node(message) if let NodeMessage::Packet(letter) = &**message => {
            let packet = &letter.packet;
            let about = format!("{} > {}:{}", packet.source, packet.destination, packet.destination_port);
            let is_failure = matches!(letter.payload, Payload::Answer(Err(_)));
            let shape =
                if matches!(letter.payload, Payload::Ask { .. }) { Shape::Request } else { Shape::Reply };
            Caption { shape, label: packet.protocol.upper_name().into(), about, is_failure }
        }
        Message::Node(message) => plain(Shape::CriRequest, message.name().into(), String::new()),
        Message::Ping { .. } => plain(Shape::Reply, "ping".into(), String::new()),
        Message::HostFile(file) => plain(Shape::CriReply, "file".into(), file.path.to_string()),
        Message::CriEvent(event) => plain(Shape::CriReply, format!("{:?}", event.kind), String::new()),
        Message::Raft(message) => {
            let shape = match &message.body {
                Body::App { .. } | Body::Snap { .. } | Body::Prop { .. } => Shape::Append,
                Body::Heartbeat { .. } => Shape::Heartbeat,
                Body::PreVote { .. } | Body::Vote { .. } | Body::TimeoutNow => Shape::Vote,
                _ => Shape::RaftReply,
            };
            plain(shape, message.body.name().into(), fields::line(message))
        }
    }
}

pub(super) fn request_label(request: &Request) -> String {
    if !request.path.is_empty() {
        return format!("GET {}", request.path);
    }
    let method = match request.verb {
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        verb => verb.http_method(),
    };
    let slash = if request.subresource.is_empty() { "" } else { "/" };
    format!("{method} {}{slash}{}", request.resource.plural, request.subresource)
}

pub(super) fn request_about(request: &Request) -> String {
    let name = match request.name.as_str() {
        "" => request.body.text("metadata.generateName"),
        name => name,
    };
    join(&request.namespace, name)
}

fn about_object(object: &crate::api::Value) -> String {
    join(object.text("metadata.namespace"), object.text("metadata.name"))
}

fn join(namespace: &str, name: &str) -> String {
    if namespace.is_empty() || name.is_empty() { name.into() } else { format!("{namespace}/{name}") }
}

pub(super) fn operation(operation: &etcd::Operation) -> (&'static str, String) {
    match operation {
        etcd::Operation::Range(range) => ("Range", range.key.to_string()),
        etcd::Operation::Txn(txn) => {
            let about = txn.success.first().map_or(String::new(), |change| change.key().to_string());
            ("Txn", about)
        }
        etcd::Operation::Watch { key, .. } => ("Watch", key.to_string()),
        etcd::Operation::CancelWatch { .. } => ("Watch cancel", String::new()),
        etcd::Operation::Progress => ("Progress", String::new()),
        etcd::Operation::LeaseGrant { .. } => ("LeaseGrant", String::new()),
        etcd::Operation::LeaseRevoke { .. } => ("LeaseRevoke", String::new()),
        etcd::Operation::LeaseKeepAlive { .. } => ("LeaseKeepAlive", String::new()),
        etcd::Operation::Compact { .. } => ("Compact", String::new()),
        etcd::Operation::Status => ("Status", String::new()),
        etcd::Operation::LeaseTimeToLive { .. } => ("LeaseTimeToLive", String::new()),
        etcd::Operation::LeaseList => ("LeaseLeases", String::new()),
        etcd::Operation::MemberList | etcd::Operation::MembersKnown => ("MemberList", String::new()),
        etcd::Operation::Auth(request) => ("Auth", request.name().to_string()),
        etcd::Operation::MemberAdd { peer_url, .. } => ("MemberAdd", peer_url.to_string()),
        etcd::Operation::MemberRemove { member } => ("MemberRemove", format!("{member:x}")),
        etcd::Operation::MemberPromote { member } => ("MemberPromote", format!("{member:x}")),
        etcd::Operation::MemberUpdate { member, .. } => ("MemberUpdate", format!("{member:x}")),
        etcd::Operation::MoveLeader { target } => ("MoveLeader", format!("{target:x}")),
        etcd::Operation::AlarmList
        | etcd::Operation::AlarmActivate { .. }
        | etcd::Operation::AlarmDisarm { .. } => ("Alarm", String::new()),
        etcd::Operation::Defragment => ("Defragment", String::new()),
        etcd::Operation::HashKv { .. } => ("HashKV", String::new()),
        etcd::Operation::Snapshot => ("Snapshot", String::new()),
    }
}

/// Whether a key is one that is written all the time.
pub(super) fn is_breathing(key: &str) -> bool {
    key.starts_with("/registry/leases/") || key.starts_with("/registry/minions/")
}

/// Whether a message is part of the cluster's breathing, which goes on when nobody asks anything of it.
pub fn is_routine(message: &Message) -> bool {
    match message {
        Message::Request(request) => match request.resource.plural.as_str() {
            "leases" => true,
            "nodes" => request.subresource == "status",
            _ => matches!(request.verb, Verb::List | Verb::Watch),
        },
        Message::Response(response) => match response.body.text("kind") {
            "Lease" | "Node" => true,
            kind => kind.ends_with("List") || response.body.is_null(),
        },
        Message::Watch(event) => {
            event.kind == WatchType::Bookmark || matches!(event.object.text("kind"), "Lease" | "Node")
        }
        Message::Closed(_) => true,
        Message::EtcdRequest(request) => match &request.operation {
            etcd::Operation::Txn(_) => {
                let (_, key) = operation(&request.operation);
                is_breathing(&key)
            }
            _ => true,
        },
        // An answer is as interesting as its request; by itself it does not hold up time.
        Message::EtcdResponse(_) => true,
        Message::EtcdWatch(response) => response.events.iter().all(|event| is_breathing(&event.key)),
        Message::CriRequest(_) | Message::CriResponse(_) | Message::HostFile(_) | Message::Ping { .. } => {
            true
        }
        Message::CriEvent(_) => false,
        Message::Node(message) => match &**message {
            NodeMessage::Packet(letter) => letter.is_load,
            message => !matches!(message, NodeMessage::Restore(_)),
        },
        // Entries are as interesting as the request that they carry; elections are news.
        Message::Raft(message) => !matches!(
            message.body,
            Body::PreVote { .. } | Body::PreVoteResp { .. } | Body::Vote { .. } | Body::VoteResp { .. }
        ),
    }
}
