//! Who asked for an entry of etcd's log, and to which entry a request of the API led.
//!
//! Picture to hold in mind: a receipt with two halves. One hangs at the counter of the API server, the other in etcd's
//! ledger; the record of causes is the perforation along which they fit together.

use std::sync::Arc;

use crate::apiserver::ApiServer;
use crate::cluster::{Cluster, Role};
use crate::message::Message;
use crate::message::etcd::{self, Proposed, Replicated};
use crate::message::raft::{Entry, Payload};
use crate::message::rest::Request;
use crate::note::{Note, Stage};
use crate::sim::trace::What;
use crate::sim::{ActorId, History, RecordId};
use crate::sorted::SortedMap;

use super::why::name_of;
use super::{Query, Reference, fields, inspect_etcd};

/// Causes that are followed from a request to etcd back to one of the API, at most.
const CAUSES: usize = 40;
/// Lines after a request in which its answer and its entry are looked for.
pub(super) const LINES: u64 = 50_000;

/// Clients of which it is told what they watch: of a cluster of hundreds it would fill the card.
const CLIENTS: usize = 60;
/// Lines after the answer in which the events of watches are looked for.
const LINES_TOLD: u64 = 1_000;

type References = Vec<(String, Vec<Reference>)>;

/// Whether both are the same request: a run that is played again makes it anew.
fn is_same(a: &Arc<etcd::Request>, b: &Arc<etcd::Request>) -> bool {
    Arc::ptr_eq(a, b) || a.id == b.id && fields::request(&a.operation) == fields::request(&b.operation)
}

/// Who asked for an entry, in words, and where to look.
pub(super) fn of_entry(history: &History<Cluster>, entry: &Entry<Replicated>) -> (String, References) {
    let text = match &entry.payload {
        Payload::Empty => "nobody: every new leader begins with one",
        Payload::ConfChange(change) if change.proposer.is_some() => {
            "no request of Kubernetes: etcd's members were changed"
        }
        Payload::ConfChange(_) => "nobody: the first members are written so",
        Payload::Normal(proposal) => match &proposal.what {
            Proposed::Request(request) => {
                let cluster = history.world();
                let is_proposer = |actor: ActorId| match cluster.processes().get(actor.0 as usize) {
                    Some(process) => {
                        matches!(&*process.role, Role::Etcd(member) if member.peer().id == proposal.member)
                    }
                    None => false,
                };
                let found = history.trace.iter().rev().find(|(_, record)| match &record.what {
                    What::Sent { to, message: Message::EtcdRequest(sent), .. } => {
                        is_proposer(*to) && is_same(sent, request)
                    }
                    _ => false,
                });
                match found {
                    Some((id, _)) => return of_sender(history, id),
                    None => "the record does not go back so far",
                }
            }
            Proposed::Publish { .. } => "etcd itself: a member that has started says where clients find it",
            Proposed::Expired { .. } => "etcd itself: the time of a lease is over",
            Proposed::Checkpoint(_) => "etcd itself: the leader notes what is left of long leases",
            Proposed::RaiseAlarm { .. } => "etcd itself: a member is in need",
            Proposed::ClusterVersion(_) => "etcd itself: all members speak this version",
        },
    };
    (text.into(), Vec::new())
}

/// The same for a request to etcd, line `id`.
fn of_sender(history: &History<Cluster>, id: RecordId) -> (String, References) {
    let Some(What::Sent { from, .. }) = history.trace.get(id).map(|record| &record.what) else {
        return Default::default();
    };
    let cluster = history.world();
    let name = name_of(cluster, *from);
    let is_server = cluster
        .processes()
        .get(from.0 as usize)
        .is_some_and(|process| matches!(&*process.role, Role::ApiServer(_)));
    if !is_server {
        let who = if name.starts_with("etcd") { name.to_string() } else { format!("etcdctl, in {name}") };
        return (who, Vec::new());
    }
    let Some((asked, client, request)) = source(history, id, *from) else {
        return (format!("{name}; the record ties it to no client's request"), Vec::new());
    };
    let mut about = request.user_agent.to_string();
    about.push_str(", ");
    about.push_str(&match answer(history, asked, client, request) {
        Some((_, code)) => code.to_string(),
        None => "not answered".into(),
    });
    let line = format!("{} {}", request.verb.http_method(), request.url_path());
    let reference = Reference::new(&line, about, Query::Message { record: asked.0 });
    (request.user_agent.to_string(), vec![("Kubernetes request".into(), vec![reference])])
}

/// The request of a client of the API server `server` that led to its request to etcd in line `id`: its line, who asked,
/// and what.
fn source(
    history: &History<Cluster>,
    id: RecordId,
    server: ActorId,
) -> Option<(RecordId, ActorId, &Arc<Request>)> {
    // What follows on an answer is the server's own.
    let is_open = |line: RecordId, client, request| {
        answer(history, line, client, request).is_none_or(|(answered, _)| answered > id)
    };
    let (line, client, request) = history.trace.causes(id).take(CAUSES).find_map(|(line, record)| {
        let What::Sent { from, to, message: Message::Request(request), .. } = &record.what else {
            return None;
        };
        (*to == server).then_some((line, *from, request))
    })?;
    is_open(line, client, request).then_some((line, client, request))
}

/// As whom an API server took the one who sent the request in line `id`, and why it let him, or did not.
pub(super) fn judged(
    history: &History<Cluster>,
    id: RecordId,
    client: ActorId,
    request: &Request,
) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for id in id.0 + 1..id.0 + LINES {
        let Some(record) = history.trace.get(RecordId(id)) else { break };
        match &record.what {
            What::Note { note: Note::Stage { client: other, id, stage, detail, .. }, .. }
                if *other == client && *id == request.id =>
            {
                match stage {
                    Stage::Authentication => rows.push(("Authentication".into(), detail.to_string())),
                    Stage::Authorization => rows.push(("Authorization".into(), detail.to_string())),
                    _ => break,
                }
            }
            _ => {}
        }
    }
    rows
}

/// Where a write of the API, line `id`, was stored, and who was told: the key, its revision before and after, and whose
/// watches have been sent it by now.
pub(super) fn stored(history: &History<Cluster>, id: RecordId, request: &Request) -> Vec<(String, String)> {
    let Some(What::Sent { from: client, to: server, .. }) = history.trace.get(id).map(|record| &record.what)
    else {
        return Vec::new();
    };
    let Some((answered, _)) = answer(history, id, *client, request).filter(|_| !request.verb.is_read())
    else {
        return Vec::new();
    };
    let (mut storage, mut revision, mut told) = (String::new(), "", Vec::new());
    let lines = (id.0 + 1..answered.0 + LINES_TOLD).map(RecordId);
    for (line, record) in lines.map_while(|line| Some((line, history.trace.get(line)?))) {
        match &record.what {
            What::Sent { from, message: Message::EtcdRequest(asked), .. } if from == server => {
                if let etcd::Operation::Txn(txn) = &asked.operation
                    && let Some(etcd::Compare::ModRevision { key, revision }) = txn.compare.first()
                    && source(history, line, *server).is_some_and(|(cause, ..)| cause == id)
                {
                    // The last attempt counts.
                    storage = key.to_string();
                    storage.push_str(": revision ");
                    storage.push_str(&revision.to_string());
                }
            }
            What::Note {
                note: Note::Stage { client: other, id, stage: Stage::Storage, detail, .. }, ..
            } if other == client && *id == request.id => {
                revision = detail.as_str();
            }
            What::Sent { from, to, message: Message::Watch(event), .. } if from == server => {
                told.push((event.object.text("metadata.resourceVersion"), name_of(history.world(), *to)));
            }
            _ => {}
        }
    }
    if storage.is_empty() || revision.is_empty() {
        return Vec::new();
    }
    storage.push_str(" → ");
    storage.push_str(revision);
    let mut watchers: Vec<&str> = Vec::new();
    for (_, name) in told.iter().filter(|(other, _)| *other == revision) {
        if !watchers.contains(name) {
            watchers.push(name);
        }
    }
    let mut rows = vec![("Storage".into(), storage)];
    if !watchers.is_empty() {
        rows.push(("Watchers told".into(), watchers.join(", ")));
    }
    rows
}

/// Who watches what at an API server: a client a line, with the resources of its informers, the events that each has been
/// sent, how many are quiet, and how many events have not arrived yet.
pub(super) fn watchers(history: &History<Cluster>, server: &ApiServer, actor: u32) -> References {
    // What was sent, how many watches are quiet, and how many events are behind.
    let mut clients: SortedMap<ActorId, (String, u64, u64)> = SortedMap::new();
    for (client, _, resource, events) in server.watches() {
        let (text, quiet, _) = clients.entry(client).or_default();
        if events == 0 {
            *quiet += 1;
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(resource);
        text.push(' ');
        text.push_str(&events.to_string());
    }
    if clients.len() > CLIENTS {
        return Vec::new();
    }
    for (_, from, to, _, message) in history.engine().in_flight() {
        if from.0 == actor
            && matches!(message, Message::Watch(_))
            && let Some((_, _, behind)) = clients.get_mut(&to)
        {
            *behind += 1;
        }
    }
    let mut rows = Vec::new();
    for (client, (mut about, quiet, behind)) in clients {
        if quiet > 0 {
            let and = if about.is_empty() { "" } else { ", " };
            about = [&about, and, &quiet.to_string(), " without an event"].concat();
        }
        if behind > 0 {
            about.push_str("; ");
            about.push_str(&inspect_etcd::counted(behind, "event"));
            about.push_str(" behind");
        }
        let text = name_of(history.world(), client).to_string();
        let query = Some(Query::Component { name: text.clone() });
        rows.push(Reference { text, about, query, is_going: false });
    }
    if rows.is_empty() { Vec::new() } else { vec![("Watchers, and events sent".into(), rows)] }
}

/// The line and the code of the answer to the request in line `id`.
fn answer(
    history: &History<Cluster>,
    id: RecordId,
    client: ActorId,
    request: &Request,
) -> Option<(RecordId, u16)> {
    (id.0 + 1..id.0 + LINES).find_map(|id| match &history.trace.get(RecordId(id))?.what {
        What::Sent { to, message: Message::Response(response), .. }
            if *to == client && response.id == request.id =>
        {
            Some((RecordId(id), response.code))
        }
        _ => None,
    })
}

/// The entry of a request that a member of etcd was sent; `None`: it changes nothing.
fn entry(history: &History<Cluster>, to: ActorId, request: &Arc<etcd::Request>) -> Option<Reference> {
    let process = history.world().processes().get(to.0 as usize)?;
    let Role::Etcd(member) = &*process.role else { return None };
    let view = member.view(history.now(), 0);
    let mut entries = (view.first_index..=view.last_index).rev().filter_map(|index| member.entry(index));
    let found = entries.find(|entry| match &entry.payload {
        Payload::Normal(proposal) => {
            proposal.member == member.peer().id
                && matches!(&proposal.what, Proposed::Request(other) if is_same(other, request))
        }
        _ => false,
    });
    let Some(entry) = found else {
        // A read leaves no entry.
        request.operation.changed_key()?;
        return Some(Reference { text: "not in the log now".into(), ..Reference::default() });
    };
    let query = Query::EtcdEntry { member: process.name.clone(), index: entry.index };
    let mut text = String::from("entry ");
    text.push_str(&entry.index.to_string());
    Some(Reference::new(&text, request.operation.to_string(), query))
}

/// Where to look from a request to etcd, line `id`.
pub(super) fn of_request(history: &History<Cluster>, id: RecordId) -> References {
    let (_, mut references) = of_sender(history, id);
    if let Some(What::Sent { to, message: Message::EtcdRequest(request), .. }) =
        history.trace.get(id).map(|record| &record.what)
    {
        references.extend(entry(history, *to, request).map(|one| ("In etcd's log".into(), vec![one])));
    }
    references
}

/// Where to look from a request of the API, line `id`.
pub(super) fn of_api(history: &History<Cluster>, id: RecordId) -> References {
    let Some(What::Sent { from: client, to: server, message: Message::Request(request), .. }) =
        history.trace.get(id).map(|record| &record.what)
    else {
        return Vec::new();
    };
    if request.verb.is_read() {
        return Vec::new();
    }
    let until = answer(history, id, *client, request).map_or(id.0 + LINES, |(answer, _)| answer.0);
    let mut entries = Vec::new();
    for line in id.0 + 1..until {
        let Some(record) = history.trace.get(RecordId(line)) else { break };
        if let What::Sent { from, to, message: Message::EtcdRequest(asked), .. } = &record.what
            && from == server
            && source(history, RecordId(line), *server).is_some_and(|(cause, ..)| cause == id)
        {
            entries.extend(entry(history, *to, asked));
        }
    }
    if entries.is_empty() { Vec::new() } else { vec![("In etcd's log".into(), entries)] }
}
