//! Why something is as it is: the chain of messages that led to it, each with its instant.
//!
//! Picture to hold in mind: pulling a thread. Each line of the record names the line that caused it; following
//! the names back from a pod's last change leads through the kubelet, the scheduler and the controllers to the
//! command that somebody entered.

use serde::{Deserialize, Serialize};

use crate::arrange::Gather;
use crate::cluster::Cluster;
use crate::command::Command;
use crate::language::Wire;
use crate::message::Message;
use crate::message::rest::{Request, WatchType};
use crate::sim::trace::What;
use crate::sim::{ActorId, History, Record, RecordId, Time};

use super::Flow;

/// One step of a chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub text: String,
    pub time_us: u64,
    /// The line of the record.
    pub record: u64,
}

/// Steps that one answer shows at most; the thread usually ends earlier, at a command.
const STEPS: usize = 12;
/// Lines that are followed at most: a periodic loop could lead back to the beginning of the run.
const LINES: usize = 400;

/// What led to line `id`, nearest cause first. Answers and etcd's own messages are followed, not listed.
pub fn why(history: &History<Cluster>, id: RecordId) -> Vec<Link> {
    let cluster = history.world();
    history
        .trace
        .causes(id)
        .take(LINES)
        .filter_map(|(id, record)| {
            let text = explain(cluster, record)?;
            Some(Link { text, time_us: record.time.0, record: id.0 })
        })
        .take(STEPS)
        .gather()
}

/// The last line up to now that changed the object `namespace/name`, by a request of a client.
pub(super) fn last_write(
    history: &History<Cluster>,
    plural: &str,
    namespace: &str,
    name: &str,
) -> Option<RecordId> {
    let until = Time(history.now().0 + 1);
    history.trace.between(Time::ZERO..until).rev().find_map(|(id, record)| {
        let What::Sent { message: Message::Request(request), .. } = &record.what else { return None };
        let is_it = !request.verb.is_read()
            && request.resource.plural == plural
            && request.namespace == namespace
            && (request.name == name || request.body.text("metadata.name") == name);
        is_it.then_some(id)
    })
}

/// The line in which the object was made: the event in which the API server first told of it.
pub(super) fn creation(
    history: &History<Cluster>,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Option<RecordId> {
    let until = Time(history.now().0 + 1);
    history.trace.between(Time::ZERO..until).find_map(|(id, record)| {
        let What::Sent { message: Message::Watch(event), .. } = &record.what else { return None };
        let object = &event.object;
        let is_it = event.kind == WatchType::Added
            && object.text("kind") == kind
            && object.text("metadata.namespace") == namespace
            && object.text("metadata.name") == name;
        is_it.then_some(id)
    })
}

pub(super) fn name_of(cluster: &Cluster, actor: ActorId) -> &str {
    cluster.processes().get(actor.0 as usize).map_or("?", |process| process.name.as_str())
}

/// A line in plain words; `None` for what only passes on.
fn explain(cluster: &Cluster, record: &Record<Wire>) -> Option<String> {
    match &record.what {
        What::Sent { message: Message::Request(request), .. } if !request.verb.is_read() => {
            Some(format!("{} {}", request.user_agent, describe(request)))
        }
        What::Sent { to, message: Message::Watch(event), .. } if event.kind != WatchType::Bookmark => {
            let verb = match event.kind {
                WatchType::Added => "a new",
                WatchType::Modified => "a changed",
                _ => "a deleted",
            };
            let object = &event.object;
            let (kind, name) = (object.text("kind"), object.text("metadata.name"));
            Some(format!("{} was told of {verb} {kind} {name}", name_of(cluster, *to)))
        }
        What::Command(command) => Some(command_text(command)),
        What::Sent { message: Message::CriEvent(event), .. } => {
            Some(format!("the container engine reported: {:?}", event.kind).to_ascii_lowercase())
        }
        _ => None,
    }
}

fn describe(request: &Request) -> String {
    let verb = match request.verb.name() {
        "create" if request.subresource == "binding" => "bound",
        "create" => "created",
        "update" => "updated",
        "patch" => "patched",
        _ => "deleted",
    };
    let name = match request.name.as_str() {
        "" => request.body.text("metadata.generateName"),
        name => name,
    };
    let what = match request.subresource.as_str() {
        "" => request.resource.plural.to_string(),
        "binding" => {
            let node = request.body.text("target.name");
            return format!("bound pod {name} to {node}");
        }
        subresource => format!("{}/{subresource}", request.resource.plural),
    };
    format!("{verb} {what} {name}")
}

pub(super) fn command_text(command: &Command) -> String {
    match command {
        Command::Boot(_) => "the cluster was set up".into(),
        Command::Exec { line, .. } => {
            let short: String = line.chars().take(80).collect();
            format!("you entered: {short}")
        }
        Command::Http { request, .. } => {
            let path: String = request.target.chars().take(80).collect();
            format!("a client outside sent {} {path}", request.method)
        }
        Command::HangUp { .. } => "a client outside hung up".into(),
        Command::StopProcess { process } => format!("you stopped {process}"),
        Command::StartProcess { process } => format!("you started {process}"),
        Command::StopHost { host } => format!("you cut the power of {host}"),
        Command::StartHost { host } => format!("you switched {host} on"),
        Command::KillContainer { pod, container, .. } => format!("you killed {container} in {pod}"),
        Command::CutLink { a, b } => format!("you cut the link between {a} and {b}"),
        Command::JoinLink { a, b } => format!("you joined the link between {a} and {b}"),
        Command::CutOneWay { from, to } => format!("you cut the link from {from} to {to}"),
        Command::DegradeLink { from, to, extra_delay_us: 0, loss_per_million: 0 } => {
            format!("you mended the link from {from} to {to}")
        }
        Command::DegradeLink { from, to, extra_delay_us, loss_per_million } => {
            let (ms, percent) = (extra_delay_us / 1000, loss_per_million / 10_000);
            format!("you disturbed the link from {from} to {to}: +{ms} ms, {percent} % lost")
        }
        Command::HealNetwork => "you mended all links".into(),
        Command::Partition { sides } => {
            let sides: Vec<String> = sides.iter().map(|side| side.join(", ")).collect();
            format!("you parted {}", sides.join(" from "))
        }
        Command::DropMessage { record } => format!("you dropped message {record}"),
        Command::DelayMessage { record, by_us } => {
            format!("you delayed message {record} by {} ms", by_us / 1000)
        }
        Command::TransferLeader { member } => format!("you made {member} ask for the leadership"),
        Command::SlowDisk { member, latency_us: 0 } => format!("you mended the disk of {member}"),
        Command::SlowDisk { member, latency_us } => {
            format!("a flush of {member} takes {} ms", latency_us / 1000)
        }
        Command::CorruptDisk { member } => format!("you flipped a bit on the disk of {member}"),
        Command::SetQuota { member, bytes: 0 } => format!("you gave {member} its space back"),
        Command::SetQuota { member, bytes } => format!("{member} has no more than {bytes} bytes of space"),
        Command::SetFlags { member, flags } if flags.is_empty() => {
            format!("you gave {member} its usual flags")
        }
        Command::SetFlags { member, flags } => format!("you gave {member} the flags: {}", flags.join(" ")),
        Command::AddEtcdMember { name, is_learner: true } => format!("you added the learner {name} to etcd"),
        Command::AddEtcdMember { name, .. } => format!("you added the member {name} to etcd"),
        Command::StartLoad { source, url, host, requests_per_second, keeps_connections } => {
            let over = if *keeps_connections { " over connections that are kept" } else { "" };
            let (comma, host) = if host.is_empty() { ("", "") } else { (" for ", host.as_str()) };
            format!(
                "you let {source} send {requests_per_second} requests a second to {url}{comma}{host}{over}"
            )
        }
        Command::StopLoad => "you stopped the load".into(),
        Command::AddNode { name } => format!("you added the node {name}"),
        Command::Campaign { member, .. } => format!("you made the election timer of {member} ring"),
        command => format!("you asked for {command:?}"),
    }
}

/// The flow of a line with what became of it since, for the inspector.
pub(super) fn flow_of(history: &History<Cluster>, id: RecordId) -> Option<Flow> {
    let mut flow = Flow::of(id, history.trace.get(id)?)?;
    for later in id.0 + 1..history.engine().next_record().0 {
        let Some(record) = history.trace.get(RecordId(later)) else { break };
        if flow.arrives_us.is_none_or(|arrives| record.time.0 > arrives) {
            break;
        }
        flow.meet(id, record);
    }
    Some(flow)
}
