//! Everything about one thing: the card beside an exhibit.
//!
//! Picture to hold in mind: a magnifying glass held over one spot of the photograph, with a pencil: it also
//! lists what could be done to the thing, as the very commands that a lesson or the fuzzer would use.

use serde::{Deserialize, Serialize};

use crate::api::Value;
use crate::arrange::{Arrange, Gather};
use crate::cluster::{Cluster, Role};
use crate::command::Command;
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::Verb;
use crate::sim::trace::What;
use crate::sim::{History, RecordId};

use crate::network::kernel::Agent;
use crate::network::packet::Protocol;
use crate::network::trace::Question;

use super::build::{Ledger, owner_of, stamp_us};
use super::volumes::volumes;
use super::why::{creation, flow_of, last_write, name_of, why};
use super::{
    Action, ComponentKind, HostRole, Link, Owner, PacketSource, PacketTarget, PacketTrace, Reference, Step,
    VolumeRow, admitted, asked, fields, hand, inspect_etcd, load, network, story,
};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    Component {
        name: String,
    },
    Host {
        name: String,
    },
    Pod {
        namespace: String,
        name: String,
    },
    Container {
        namespace: String,
        pod: String,
        container: String,
    },
    /// A message, by its line in the record.
    Message {
        record: u64,
    },
    /// Any object of the API.
    Object {
        kind: String,
        namespace: String,
        name: String,
    },
    /// The keys of etcd below a prefix, one level deep; of many those from a name on, or, where that is empty, how they
    /// can be had piece by piece.
    EtcdKeys {
        prefix: String,
        from: String,
    },
    /// Every revision of one key that is kept.
    EtcdKey {
        key: String,
    },
    /// The cable between two machines.
    Link {
        a: String,
        b: String,
    },
    /// A line of a member's log.
    EtcdEntry {
        member: String,
        index: u64,
    },
    /// The load that is sent to a service.
    Load,
    /// The way of one packet, by the rules and routes that every node has at this instant.
    Packet {
        from: PacketSource,
        to: PacketTarget,
        /// 0: the first one that the target declares (for a node: the first node port; for a name: 80).
        port: u16,
        /// `TCP`, `UDP`, `SCTP`, or `ICMP` for a ping.
        protocol: String,
        /// Which of many like it: another one may come to another endpoint of a service.
        number: u32,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// `Pod`, `kube-apiserver`, `request`.
    pub kind: String,
    pub title: String,
    /// One plain sentence: what it is, or what it does now.
    pub explanation: String,
    /// Names and values, the most telling first.
    pub summary: Vec<(String, String)>,
    pub conditions: Vec<ConditionRow>,
    /// Newest last.
    pub events: Vec<EventRow>,
    /// From the nearest owner up.
    pub owners: Vec<Owner>,
    /// For a pod: what it can keep files on.
    pub volumes: Vec<VolumeRow>,
    /// The object, or a message's headers and body.
    pub yaml: String,
    /// Lists of what else there is to look at, by their headings.
    pub references: Vec<(String, Vec<Reference>)>,
    /// For a pod: what happened to it on its node, oldest first.
    pub story: Vec<Step>,
    /// For a packet: its way.
    pub packet: Option<PacketTrace>,
    /// For a request: what each stage before storage changed, as a diff, or with which words it refused. For an object: what
    /// was added to what was applied. For a key: what each revision changed.
    pub changes: Vec<(String, String)>,
    /// What led to the state that it is in, nearest cause first.
    pub why: Vec<Link>,
    pub actions: Vec<Action>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConditionRow {
    pub name: String,
    pub status: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    pub time_us: u64,
    pub reason: String,
    pub message: String,
    pub is_warning: bool,
}

/// The card of what `query` asks about; `None` when it is not there (any more).
pub fn inspect(history: &History<Cluster>, query: &Query) -> Option<Detail> {
    match query {
        Query::Message { record } => message(history, RecordId(*record)),
        Query::Component { name } => component(history, name),
        Query::Host { name } => host(history, name),
        Query::Pod { namespace, name } => pod(history, namespace, name, None),
        Query::Container { namespace, pod: name, container } => {
            pod(history, namespace, name, Some(container))
        }
        Query::Object { kind, namespace, name } => object(history, kind, namespace, name),
        Query::EtcdKeys { prefix, from } => inspect_etcd::keys(history, prefix, from),
        Query::EtcdKey { key } => inspect_etcd::key(history, key),
        Query::Link { a, b } => hand::link(history, a, b),
        Query::EtcdEntry { member, index } => inspect_etcd::entry(history, member, *index),
        Query::Load => load::card(history),
        Query::Packet { from, to, port, protocol, number } => {
            let protocol = Protocol::parse(protocol)?;
            let (from, to) = (from.clone(), to.clone());
            Some(network::packet(history, &Question { from, to, port: *port, protocol, number: *number }))
        }
    }
}

fn message(history: &History<Cluster>, id: RecordId) -> Option<Detail> {
    let flow = flow_of(history, id)?;
    let record = history.trace.get(id)?;
    let cluster = history.world();
    let What::Sent { from, to, message, .. } = &record.what else { return None };
    let is_under_way = history.engine().in_flight().iter().any(|(other, ..)| *other == id);
    let mut summary = vec![
        ("From".to_string(), name_of(cluster, *from).to_string()),
        ("To".to_string(), name_of(cluster, *to).to_string()),
        ("Sent".to_string(), record.time.to_string()),
        match (&flow.lost, flow.arrives_us) {
            (Some(why), _) => ("Lost".to_string(), why.clone()),
            (None, arrives) => {
                let time_us = arrives.unwrap_or(flow.sent_us) - flow.sent_us;
                ("Under way".to_string(), format!("{time_us} µs"))
            }
        },
    ];
    let mut yaml = String::new();
    let mut references = Vec::new();
    let kind = match message {
        Message::Request(request) => {
            let mut line = format!("{} {}", request.verb.http_method(), request.url_path());
            let options = &request.options;
            let query: Vec<String> = [
                ("labelSelector", &options.label_selector),
                ("fieldSelector", &options.field_selector),
                ("resourceVersion", &options.resource_version),
                ("fieldManager", &options.field_manager),
            ]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={value}"))
            .chain((request.verb == Verb::Watch).then(|| "watch=true".to_string()))
            .gather();
            if !query.is_empty() {
                line = format!("{line}?{}", query.join("&"));
            }
            summary.push(("Request line".to_string(), line));
            summary.push(("User".to_string(), request.user.name.to_string()));
            summary.push(("User-Agent".to_string(), request.user_agent.to_string()));
            summary.extend(asked::judged(history, id, *from, request));
            summary.extend(asked::stored(history, id, request));
            yaml = to_yaml(&request.body);
            references.extend(asked::of_api(history, id));
            "Request"
        }
        Message::Response(response) => {
            summary.push(("Code".to_string(), response.code.to_string()));
            yaml = to_yaml(&response.body);
            "Response"
        }
        Message::Watch(event) => {
            yaml = to_yaml(&event.object);
            "Watch event"
        }
        Message::EtcdRequest(request) => {
            yaml = to_yaml(&fields::request(&request.operation));
            references.extend(asked::of_request(history, id));
            "etcd request"
        }
        Message::EtcdResponse(response) => {
            let fields = fields::response(response);
            summary.extend(fields::rows(&fields));
            summary.extend(fields::rows(fields.at("header")));
            yaml = to_yaml(&fields);
            "etcd response"
        }
        Message::EtcdWatch(response) => {
            let fields = fields::watched(response);
            summary.extend(fields::rows(&fields));
            yaml = to_yaml(&fields);
            "etcd watch response"
        }
        Message::CriRequest(_) | Message::CriResponse(_) | Message::CriEvent(_) => {
            "Container Runtime Interface"
        }
        Message::Node(message) => {
            if let NodeMessage::Restore(restore) = &**message {
                yaml = restore.text();
            }
            "Below Kubernetes"
        }
        Message::Ping { .. } => "Whether the other end is still there",
        Message::HostFile(_) => "File on a node's disk",
        Message::Closed(_) => "Connection",
        Message::Raft(message) => {
            let fields = fields::raft(message, false);
            summary.extend(fields::rows(&fields));
            yaml = to_yaml(&fields);
            "Raft"
        }
    };
    Some(Detail {
        kind: kind.to_string(),
        title: flow.label.clone(),
        explanation: flow.about.clone(),
        summary,
        yaml,
        references,
        why: why(history, id),
        actions: if is_under_way { hand::on_message(id.0) } else { Vec::new() },
        ..Detail::default()
    })
}

fn component(history: &History<Cluster>, name: &str) -> Option<Detail> {
    let picture = super::build(history);
    let component = picture.components.iter().find(|component| component.name == *name)?;
    let (kind, explanation) = match component.kind {
        ComponentKind::ApiServer => (
            "kube-apiserver",
            "Every request of the cluster goes through it, and only it speaks to etcd: it authenticates, authorizes, \
             admits, validates and stores.",
        ),
        ComponentKind::Etcd => (
            "etcd",
            "Keeps the cluster's state: a log that a majority of members must have before it counts, and the \
             key-value store that follows from it.",
        ),
        ComponentKind::ControllerManager => (
            "kube-controller-manager",
            "Runs the control loops: each watches some objects and works until what is matches what should be.",
        ),
        ComponentKind::Scheduler => (
            "kube-scheduler",
            "Chooses a node for each pod that has none: filters the nodes that will do, scores them, binds the best.",
        ),
        ComponentKind::Kubelet => (
            "kubelet",
            "Makes the pods bound to its node run, and tells the API server how they and the node fare.",
        ),
        ComponentKind::ContainerEngine => {
            ("containerd", "Pulls images and runs sandboxes and containers as the kubelet asks over the CRI.")
        }
        ComponentKind::KubeProxy => ("kube-proxy", "Writes the rules by which the node reaches services."),
        ComponentKind::KubeRouter => {
            ("kube-router", "Writes the rules that enforce NetworkPolicies on its node.")
        }
        ComponentKind::CalicoNode => (
            "calico-node",
            "Two programs. Felix gives each pod of the node a route to its cable, and writes the rules that enforce NetworkPolicies. BIRD tells the other nodes' BIRD by BGP which range of pods is here, and puts what it hears from them into the routing table.",
        ),
        ComponentKind::CoreDns => {
            ("CoreDNS", "Answers for the names of Services, from its own copy of them.")
        }
        ComponentKind::Terminal => ("kubectl", "Your terminal: a client of the API server like any other."),
    };
    let mut detail = Detail {
        kind: kind.to_string(),
        title: name.to_string(),
        explanation: explanation.to_string(),
        summary: vec![
            ("State".to_string(), if component.is_running { "running" } else { "stopped" }.to_string()),
            ("Host".to_string(), component.host.clone()),
        ],
        ..Detail::default()
    };
    if matches!(component.kind, ComponentKind::ControllerManager | ComponentKind::Scheduler) {
        detail
            .summary
            .push(("Leader".to_string(), if component.is_leader { "yes" } else { "no" }.to_string()));
    }
    for one in &component.loops {
        let state = match (one.processing.as_slice(), one.queued.len()) {
            ([], 0) => continue,
            (working, queued) => format!("working on {}; {queued} waiting", working.join(", ")),
        };
        detail.summary.push((one.name.clone(), state));
    }
    let server = history.world().processes().iter().find_map(|process| match &*process.role {
        Role::ApiServer(server) if process.name == name => Some(server),
        _ => None,
    });
    if let Some(server) = server.filter(|_| component.is_running) {
        let at = match component.behind {
            0 => format!("revision {}, as etcd", server.revision()),
            behind => format!("revision {}: {behind} behind etcd", server.revision()),
        };
        detail.summary.push(("Watch cache".to_string(), at));
        let of_actor = |actor: &crate::sim::ActorId| {
            picture.etcd.iter().find(|member| member.actor == actor.0).map(|member| member.name.as_str())
        };
        let known: Vec<&str> = server.config().etcd.iter().filter_map(of_actor).collect();
        detail.summary.push(("Knows of etcd".to_string(), known.join(", ")));
        detail.summary.push(("Open watches".to_string(), server.watches().count().to_string()));
        detail.references.extend(asked::watchers(history, server, component.actor));
    }
    if let Some(member) = picture.etcd.iter().find(|member| member.name == *name) {
        inspect_etcd::member_summary(member, &mut detail);
    }
    let writer = history.world().processes().iter().find_map(|process| match &*process.role {
        Role::KubeProxy(proxy) if process.name == name => {
            let pending: Vec<&str> = proxy.pending().map(|key| key.as_str()).collect();
            detail.summary.push(("Mode".to_string(), proxy.mode().name().to_string()));
            Some((proxy.syncs(), pending.join(", ")))
        }
        Role::KubeRouter(router) if process.name == name => {
            let pending = if router.is_pending() { "changes of pods, namespaces or policies" } else { "" };
            Some((router.syncs(), pending.to_string()))
        }
        _ => None,
    });
    if let Some(((syncs, rules), pending)) = writer {
        detail.summary.push(("Syncs".to_string(), syncs.to_string()));
        detail.summary.push(("Rules in the last one".to_string(), rules.to_string()));
        if !pending.is_empty() {
            detail.summary.push(("Not written yet".to_string(), pending));
        }
    }
    if component.kind != ComponentKind::Terminal {
        detail.actions.extend(hand::on_process(name, component.is_running));
    }
    if picture.etcd.iter().any(|member| member.name == *name) {
        detail.actions.extend(hand::on_member(&picture, name));
    }
    let static_pod = Ledger::open(history).get(&format!("/registry/pods/kube-system/{name}"));
    if let Some(pod) = static_pod {
        detail.yaml = to_yaml(pod);
    }
    Some(detail)
}

fn host(history: &History<Cluster>, name: &str) -> Option<Detail> {
    let picture = super::build(history);
    let host = picture.hosts.iter().find(|host| host.name == *name)?;
    let mut detail = Detail {
        kind: "Node".into(),
        title: name.to_string(),
        explanation: "A machine: its kubelet runs the pods that are bound to it.".into(),
        summary: vec![
            ("Power".to_string(), if host.is_up { "on" } else { "off" }.to_string()),
            ("Address".to_string(), host.ip.clone()),
        ],
        ..Detail::default()
    };
    let engine = history.world().host(name).and_then(|host| history.world().node(host).1);
    if let Some(kernel) = engine.map(|engine| engine.kernel()).filter(|kernel| kernel.address.is_some()) {
        let known = kernel.tunnel.as_ref().map_or(kernel.remote.len(), |tunnel| tunnel.peers.len());
        let how = match kernel.agent {
            Agent::Machine => "told by the machines' own routing agents",
            Agent::Nobody => "none: a network add-on has to bring them",
            Agent::Flanneld => "flanneld's: a VXLAN tunnel (flannel.1) to each machine",
            Agent::Bird => "learned by BIRD from the other nodes' BIRD (BGP)",
        };
        detail.summary.push(("Routes to other nodes' pods".to_string(), format!("{known}, {how}")));
    }
    if let Some(node) = &host.node {
        detail.summary.push(("Status".to_string(), node.status.clone()));
        detail.summary.push(("Pods".to_string(), format!("{} of {}", node.pods.used, node.pods.of)));
        detail.summary.push(("Pod range".to_string(), node.pod_cidr.clone()));
        if !node.taints.is_empty() {
            detail.summary.push(("Taints".to_string(), node.taints.join(", ")));
        }
    }
    let machine = name.to_string();
    detail.actions.push(if host.is_up {
        Action::new(
            "Cut its power",
            "All its processes end at once, and it no longer answers",
            [Command::StopHost { host: machine }],
        )
    } else {
        Action::new(
            "Switch it on",
            "It boots: its kubelet and container engine start",
            [Command::StartHost { host: machine }],
        )
    });
    if host.role == HostRole::Worker {
        let control_plane =
            picture.hosts.iter().find(|host| host.role == HostRole::ControlPlane)?.name.clone();
        let is_cut = picture.links.iter().any(|link| link.is_cut && (link.from == *name || link.to == *name));
        let (a, b) = (name.to_string(), control_plane);
        detail.actions.push(if is_cut {
            Action::new(
                "Join its link",
                format!("{a} and {b} reach each other again"),
                [Command::JoinLink { a, b }],
            )
        } else {
            Action::new(
                "Cut its link",
                format!("{a} and {b} no longer reach each other; pods run on"),
                [Command::CutLink { a, b }],
            )
        });
    }
    let ledger = Ledger::open(history);
    let key = format!("/registry/minions/{name}");
    if let Some(node) = ledger.get(&key) {
        fill(history, &mut detail, node, "nodes");
        detail.references.push(("In etcd".into(), vec![Reference::to_key(&key)]));
    }
    Some(detail)
}

fn pod(
    history: &History<Cluster>,
    namespace: &str,
    name: &str,
    container: Option<&String>,
) -> Option<Detail> {
    let picture = super::build(history);
    let shown = picture.pods.iter().find(|pod| pod.namespace == *namespace && pod.name == *name)?;
    let ledger = Ledger::open(history);
    let key = format!("/registry/pods/{namespace}/{name}");
    let pod = ledger.get(&key)?;
    let mut detail = Detail {
        kind: "Pod".into(),
        title: name.to_string(),
        explanation: format!("{} of {} containers ready: {}", shown.ready.used, shown.ready.of, shown.status),
        summary: vec![
            ("Namespace".to_string(), namespace.to_string()),
            ("Node".to_string(), if shown.node.is_empty() { "none yet".into() } else { shown.node.clone() }),
            ("IP".to_string(), if shown.ip.is_empty() { "none yet".into() } else { shown.ip.clone() }),
        ],
        volumes: volumes(pod),
        ..Detail::default()
    };
    for one in &shown.containers {
        if let Some(chosen) = container {
            if one.name != *chosen {
                continue;
            }
            detail.kind = "Container".into();
            detail.title = format!("{} in {name}", one.name);
            detail.explanation = one.state.clone();
            detail.summary.push(("Image".to_string(), one.image.clone()));
            detail.summary.push(("Restarts".to_string(), one.restarts.to_string()));
        } else {
            detail.summary.push((one.name.clone(), one.state.clone()));
        }
        if one.state == "Running" {
            detail.actions.push(Action::new(
                format!("Kill {}", one.name),
                "Its main process gets SIGKILL; the sandbox and its IP stay",
                [Command::KillContainer {
                    namespace: namespace.to_string(),
                    pod: name.to_string(),
                    container: one.name.clone(),
                }],
            ));
        }
    }
    detail.actions.push(Action::new(
        "Delete",
        "kubectl delete pod",
        [Command::Exec {
            session: 0,
            line: format!("kubectl delete pod {name} -n {namespace} --wait=false"),
            stdin: String::new(),
        }],
    ));
    let host = history.world().host(pod.text("spec.nodeName"));
    detail.story = story::story(pod, host.and_then(|host| history.world().node(host).1));
    fill(history, &mut detail, pod, "pods");
    detail.references.push(("In etcd".into(), vec![Reference::to_key(&key)]));
    Some(detail)
}

/// Any object, by the key under which etcd keeps it.
fn object(history: &History<Cluster>, kind: &str, namespace: &str, name: &str) -> Option<Detail> {
    let ledger = Ledger::open(history);
    let all = ledger.objects("/registry/");
    let object = all.into_iter().find(|object| {
        object.text("kind") == kind
            && object.text("metadata.namespace") == namespace
            && object.text("metadata.name") == name
    })?;
    let mut detail = Detail { kind: kind.into(), title: name.into(), ..Detail::default() };
    fill_any(history, &mut detail, object);
    Some(detail)
}

/// The same for an object of any kind; another value is shown as it stands.
pub(super) fn fill_any(history: &History<Cluster>, detail: &mut Detail, object: &Value) {
    fill(history, detail, object, &format!("{}s", object.text("kind").to_ascii_lowercase()));
}

/// What the cards of all objects have: conditions, events, owners, the object itself, and why.
fn fill(history: &History<Cluster>, detail: &mut Detail, object: &Value, plural: &str) {
    let ledger = Ledger::open(history);
    detail.conditions = object
        .items("status.conditions")
        .iter()
        .map(|condition| ConditionRow {
            name: condition.text("type").to_string(),
            status: condition.text("status").to_string(),
            message: match condition.text("message") {
                "" => condition.text("reason").to_string(),
                message => message.to_string(),
            },
        })
        .collect();
    let uid = object.text("metadata.uid");
    let mut events: Vec<EventRow> = ledger
        .objects("/registry/events/")
        .into_iter()
        .filter(|event| event.text("involvedObject.uid") == uid && !uid.is_empty())
        .map(|event| EventRow {
            time_us: stamp_us(event, "lastTimestamp").max(stamp_us(event, "eventTime")),
            reason: event.text("reason").to_string(),
            message: event.text("message").to_string(),
            is_warning: event.text("type") == "Warning",
        })
        .gather();
    events.arrange_by_key(|event| event.time_us);
    detail.events = events;
    let mut owner = owner_of(object);
    while let Some(next) = owner {
        let prefix = format!(
            "/registry/{}s/{}/{}",
            next.kind.to_ascii_lowercase(),
            object.text("metadata.namespace"),
            next.name
        );
        owner = ledger.get(&prefix).and_then(owner_of);
        detail.owners.push(next);
        if detail.owners.len() > 8 {
            break;
        }
    }
    detail.yaml = to_yaml(object);
    admitted::fill(detail, object);
    let (namespace, name) = (object.text("metadata.namespace"), object.text("metadata.name"));
    let line = last_write(history, plural, namespace, name)
        .or_else(|| creation(history, object.text("kind"), namespace, name));
    detail.why = line.map_or(Vec::new(), |line| why(history, line));
}

pub(super) fn to_yaml(value: &Value) -> String {
    if value.is_null() { String::new() } else { crate::api::yaml::to_string(value) }
}
