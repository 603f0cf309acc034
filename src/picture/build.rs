//! Takes the photograph: from the actors' state to plain data.
//!
//! Picture to hold in mind: a photographer who walks along the rack and notes what each machine shows, then
//! opens the ledger at etcd's leader for what the API would say. Nothing is touched.

use crate::api::{Value, meta, time};
use crate::apiserver;
use crate::arrange::Gather;
use crate::cluster::{Cluster, MachineKind, Process, Role};
use crate::etcd::member::Member;
use crate::network::kernel::Agent;
use crate::sim::{History, HostId};

use super::etcd::etcd_member;
use super::flow::{request_about, request_label};
use super::load;
use super::pod::picture_of_pod;
use super::{
    Component, ComponentKind, Host, HostRole, InHand, LinkFault, Loop, NodeState, Owner, Picture, Service,
    Share, Tone, Workload,
};

/// Requests in hand that are listed at most.
const IN_HAND: usize = 64;

/// The cluster as it is at `history`'s present instant.
pub fn build(history: &History<Cluster>) -> Picture {
    let cluster = history.world();
    let engine = history.engine();
    let is_running = |process: &Process| engine.is_running(process.actor);
    let ledger = Ledger::open(history);
    let pods: Vec<&Value> = ledger.objects("/registry/pods/");
    let mut picture = Picture {
        time_us: history.now().0,
        horizon_us: history.horizon().0,
        objects: ledger.count(),
        revision: ledger.revision(),
        ..Picture::default()
    };
    for (index, machine) in cluster.machines().iter().enumerate() {
        let role = match machine.kind {
            MachineKind::ControlPlane => HostRole::ControlPlane,
            MachineKind::Worker => HostRole::Worker,
            MachineKind::Etcd => HostRole::Etcd,
            MachineKind::Workstation => HostRole::Workstation,
        };
        let node = ledger.get(&format!("/registry/minions/{}", machine.name));
        picture.hosts.push(Host {
            name: machine.name.clone(),
            role,
            ip: machine.ip.clone(),
            is_up: !engine.network.is_down(HostId(index as u32)),
            node: node.map(|node| node_state(node, &pods)),
        });
    }
    for process in cluster.processes() {
        match &*process.role {
            // A command that somebody entered once, and no part of the cluster.
            Role::Kubeadm(_) => continue,
            // An add-on that is not installed.
            Role::KubeRouter(router) if !router.is_running() => continue,
            // Not on this node.
            Role::CoreDns(server) if !server.is_running() => continue,
            // What it sends is counted, and not drawn.
            Role::Outside(_) | Role::CloudController(_) | Role::IngressNginx(_) => continue,
            _ => {}
        }
        let mut component = component(cluster, process, is_running(process));
        if let Role::ApiServer(server) = &*process.role
            && server.is_ready()
        {
            component.behind = picture.revision.saturating_sub(server.revision());
        }
        match &*process.role {
            Role::Etcd(member) => {
                picture.etcd.push(etcd_member(cluster, process, member, is_running(process), history.now()));
                picture.components.push(component);
            }
            _ => picture.components.push(component),
        }
    }
    for pod in pods {
        let host = cluster.host(pod.text("spec.nodeName"));
        let engine = host.and_then(|host| cluster.node(host).1);
        picture.pods.push(picture_of_pod(pod, engine));
    }
    for (prefix, kind) in [
        ("/registry/deployments/", "Deployment"),
        ("/registry/replicasets/", "ReplicaSet"),
        ("/registry/daemonsets/", "DaemonSet"),
        ("/registry/statefulsets/", "StatefulSet"),
        ("/registry/jobs/", "Job"),
    ] {
        picture.workloads.extend(ledger.objects(prefix).into_iter().map(|object| workload(object, kind)));
    }
    picture.services = ledger.objects("/registry/services/specs/").into_iter().map(service).collect();
    picture.load = load::load(history, &ledger);
    for ((from, to), fault) in engine.network.faults() {
        let name = |host: HostId| {
            cluster.machines().get(host.0 as usize).map_or(String::new(), |machine| machine.name.clone())
        };
        picture.links.push(LinkFault {
            from: name(from),
            to: name(to),
            is_cut: fault.cut,
            extra_delay_us: fault.extra_delay.0,
            loss_per_million: fault.loss_per_million,
        });
    }
    picture
}

/// etcd's contents as its leader has them; without a leader, as the member has them that is furthest.
pub(super) struct Ledger<'a> {
    pub(super) member: Option<&'a Member>,
}

impl<'a> Ledger<'a> {
    pub(super) fn open(history: &'a History<Cluster>) -> Ledger<'a> {
        let members = history.world().processes().iter().filter_map(|process| match &*process.role {
            Role::Etcd(member) => Some(member),
            _ => None,
        });
        Ledger { member: members.max_by_key(|member| member.store().revision()) }
    }
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.member?.store().get(key).map(|pair| &pair.value)
    }
    pub(super) fn objects(&self, prefix: &str) -> Vec<&'a Value> {
        self.member
            .map_or(Vec::new(), |member| member.store().under(prefix).map(|pair| &pair.value).collect())
    }
    fn revision(&self) -> u64 {
        self.member.map_or(0, |member| member.store().revision())
    }
    fn count(&self) -> u64 {
        self.member.map_or(0, |member| member.store().live_keys())
    }
}

fn node_state(node: &Value, pods: &[&Value]) -> NodeState {
    let ready = meta::condition_status(node, "Ready");
    let is_schedulable = !node.is_true("spec.unschedulable");
    let mut status = match ready {
        "True" => "Ready".to_string(),
        _ => "NotReady".to_string(),
    };
    if !is_schedulable {
        status += ",SchedulingDisabled";
    }
    let taints = node.items("spec.taints").iter().map(|taint| {
        let value = match taint.text("value") {
            "" => String::new(),
            value => format!("={value}"),
        };
        format!("{}{value}:{}", taint.text("key"), taint.text("effect"))
    });
    let here = pods.iter().filter(|pod| {
        pod.text("spec.nodeName") == node.text("metadata.name")
            && !matches!(pod.text("status.phase"), "Succeeded" | "Failed")
    });
    let (mut cpu_milli, mut memory_mib, mut count) = (0, 0, 0);
    for pod in here {
        count += 1;
        for container in pod.items("spec.containers") {
            let requests = container.at("resources.requests");
            cpu_milli += milli(requests.text("cpu"));
            memory_mib += milli(requests.text("memory")) / 1000 / (1 << 20);
        }
    }
    let of = |resource: &str| {
        milli(node.map("status.allocatable").get(resource).and_then(Value::as_str).unwrap_or(""))
    };
    NodeState {
        status,
        is_schedulable,
        taints: taints.collect(),
        pod_cidr: node.text("spec.podCIDR").to_string(),
        cpu_milli: Share { used: cpu_milli, of: of("cpu") },
        memory_mib: Share { used: memory_mib, of: of("memory") / 1000 / (1 << 20) },
        pods: Share { used: count, of: of("pods") / 1000 },
    }
}

/// A quantity in thousandths, 0 where it cannot be read.
fn milli(quantity: &str) -> u64 {
    crate::api::quantity::Quantity::parse(quantity)
        .ok()
        .and_then(|quantity| u64::try_from(quantity.milli_value()).ok())
        .unwrap_or(0)
}

fn component(cluster: &Cluster, process: &Process, is_running: bool) -> Component {
    let machine = cluster.machines().get(process.host.0 as usize);
    let mut component = Component {
        name: process.name.clone(),
        actor: process.actor.0,
        host: machine.map_or(String::new(), |machine| machine.name.clone()),
        is_running,
        ..Component::default()
    };
    match &*process.role {
        Role::ApiServer(server) => {
            component.kind = ComponentKind::ApiServer;
            component.in_hand = server.in_hand().take(IN_HAND).map(in_hand).collect();
            component.busy = server.in_hand().count() as u64;
        }
        Role::Etcd(_) => component.kind = ComponentKind::Etcd,
        Role::Kubelet(_) => component.kind = ComponentKind::Kubelet,
        Role::Engine(_) => component.kind = ComponentKind::ContainerEngine,
        Role::Terminal(_)
        | Role::Kubeadm(_)
        | Role::Outside(_)
        | Role::CloudController(_)
        | Role::IngressNginx(_) => component.kind = ComponentKind::Terminal,
        #[cfg(feature = "gateway")]
        Role::Gateway(_) => component.kind = ComponentKind::Terminal,
        Role::KubeProxy(proxy) => {
            component.kind = ComponentKind::KubeProxy;
            component.is_running &= proxy.is_running();
            component.busy = proxy.pending().count() as u64;
        }
        Role::KubeRouter(router) => {
            let is_calico = cluster.node(process.host).1.is_some_and(|one| one.kernel().agent == Agent::Bird);
            component.kind = if is_calico { ComponentKind::CalicoNode } else { ComponentKind::KubeRouter };
            component.busy = router.is_pending().into();
        }
        Role::CoreDns(_) => component.kind = ComponentKind::CoreDns,
        Role::Scheduler(scheduler) => {
            component.kind = ComponentKind::Scheduler;
            component.is_leader = scheduler.is_leader();
            component.busy = scheduler.queue().iter().count() as u64;
        }
        Role::ControllerManager(manager) => {
            component.kind = ComponentKind::ControllerManager;
            component.is_leader = manager.runner().is_leader();
            component.loops = manager
                .runner()
                .benches()
                .map(|bench| Loop {
                    name: bench.name.to_string(),
                    queued: bench.queue.ready().take(20).map(|key| key.to_string()).collect(),
                    processing: bench.queue.processing().map(|key| key.to_string()).collect(),
                    workers: bench.workers as u32,
                })
                .collect();
            component.busy =
                component.loops.iter().map(|one| one.queued.len() + one.processing.len()).sum::<usize>()
                    as u64;
        }
    }
    component
}

fn service(object: &Value) -> Service {
    let number = |port: &Value, field: &str| port.integer(field).and_then(|port| u16::try_from(port).ok());
    let ports = object.items("spec.ports");
    let ingress = object.items("status.loadBalancer.ingress").first();
    Service {
        namespace: object.text("metadata.namespace").to_string(),
        name: object.text("metadata.name").to_string(),
        kind: object.text("spec.type").to_string(),
        cluster_ip: object.text("spec.clusterIP").to_string(),
        ports: ports.iter().filter_map(|port| number(port, "port")).gather(),
        node_port: ports.first().and_then(|port| number(port, "nodePort")),
        external_ip: ingress.map_or(String::new(), |one| one.text("ip").to_string()),
    }
}

fn in_hand(request: apiserver::InHand<'_>) -> InHand {
    InHand {
        label: request_label(request.request),
        about: request_about(request.request),
        leaves_us: request.leaves.map(|leaves| leaves.0),
    }
}

fn workload(object: &Value, kind: &str) -> Workload {
    let (used, of) = match kind {
        "DaemonSet" => {
            (object.integer("status.numberReady"), object.integer("status.desiredNumberScheduled"))
        }
        "Job" => (object.integer("status.succeeded"), object.integer("spec.completions")),
        _ => (object.integer("status.readyReplicas"), object.integer("spec.replicas")),
    };
    let count = |value: Option<i64>| u64::try_from(value.unwrap_or(0)).unwrap_or(0);
    let ready = Share { used: count(used), of: count(of) };
    Workload {
        kind: kind.to_string(),
        namespace: object.text("metadata.namespace").to_string(),
        name: object.text("metadata.name").to_string(),
        ready,
        owner: owner_of(object),
        tone: match ready {
            _ if meta::is_deleting(object) => Tone::Terminating,
            Share { used, of } if used >= of => Tone::Healthy,
            _ => Tone::Progressing,
        },
    }
}

pub(super) fn owner_of(object: &Value) -> Option<Owner> {
    meta::controller_of(object)
        .map(|owner| Owner { kind: owner.text("kind").to_string(), name: owner.text("name").to_string() })
}

/// An object's timestamp as microseconds of the run, 0 where there is none.
pub(super) fn stamp_us(object: &Value, path: &str) -> u64 {
    time::parse(object.text(path)).map_or(0, |time| time.0)
}
