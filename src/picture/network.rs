//! The network of all nodes as the tracer walks through it, and its answer as a card.
//!
//! Picture to hold in mind: a model of the house made of the plans (the API's objects) and of a look through every
//! door (the kernels and sandboxes of the nodes). The letter carrier walks through the model only.

use crate::api::{Value, meta};
use crate::arrange::Arrange;
use crate::cluster::{Cluster, MachineKind, Role};
use crate::kubelet::runtime::ContainerEngine;
use crate::kubelet::runtime::sandbox::Sandbox;
use crate::network::dns::Zone;
use crate::network::ipam::Cidr;
use crate::network::packet::Protocol;
use crate::network::policy;
use crate::network::trace::report::{PacketTrace, PacketVerdict, Place};
use crate::network::trace::{self, Node, Pod, Question, Wire, World};
use crate::sim::{History, HostId};

use super::Detail;
use super::build::Ledger;

struct Model<'a> {
    history: &'a History<Cluster>,
    ledger: Ledger<'a>,
    nodes: Vec<Node<'a>>,
    engines: Vec<&'a ContainerEngine>,
}

impl<'a> Model<'a> {
    fn of(history: &'a History<Cluster>) -> Model<'a> {
        let cluster = history.world();
        let (mut nodes, mut engines) = (Vec::new(), Vec::new());
        for process in cluster.processes() {
            let Role::Engine(engine) = &*process.role else { continue };
            let Some(machine) = cluster.machines().get(process.host.0 as usize) else { continue };
            let is_up = !history.engine().network.is_down(process.host);
            // What stood on a machine without power has its address still: letters are sent there in vain.
            let stands = |sandbox: &&Sandbox| sandbox.is_ready() || (!is_up && sandbox.attachment.is_some());
            let pods = engine.sandboxes().filter(stands).map(|sandbox| {
                let config = &sandbox.config;
                Pod {
                    namespace: &config.namespace,
                    name: &config.name,
                    attachment: sandbox.attachment.as_ref().filter(|_| !config.host_network),
                    hostname: &config.hostname,
                    name_servers: &config.dns.servers,
                    searches: &config.dns.searches,
                    options: &config.dns.options,
                }
            });
            nodes.push(Node { name: &machine.name, kernel: engine.kernel(), is_up, pods: pods.collect() });
            engines.push(engine);
        }
        Model { history, ledger: Ledger::open(history), nodes, engines }
    }
    fn host(&self, name: &str) -> Option<HostId> {
        let cluster = self.history.world();
        cluster.host(name).or_else(|| {
            let outside = cluster.machines().iter().position(|one| one.kind == MachineKind::Workstation)?;
            (name == trace::OUTSIDE).then_some(HostId(outside as u32))
        })
    }
}

impl World for Model<'_> {
    fn nodes(&self) -> &[Node<'_>] {
        &self.nodes
    }
    fn wire(&self, from: &str, to: &str) -> Wire {
        let (Some(from), Some(to)) = (self.host(from), self.host(to)) else { return Wire::Whole };
        match self.history.engine().network.fault(from, to) {
            Some(fault) if fault.cut => Wire::Cut,
            Some(fault) if fault.loss_per_million > 0 => Wire::Lossy(fault.loss_per_million),
            _ => Wire::Whole,
        }
    }
    fn listener(
        &self,
        node: &str,
        pod: Option<(&str, &str)>,
        protocol: Protocol,
        port: u16,
    ) -> Option<String> {
        let at = self.nodes.iter().position(|one| one.name == node)?;
        self.engines[at].listener(pod, protocol, port, self.history.now())
    }
    fn service(&self, namespace: &str, name: &str) -> Option<&Value> {
        self.ledger.get(&format!("/registry/services/specs/{namespace}/{name}"))
    }
    fn services(&self) -> Vec<&Value> {
        self.ledger.objects("/registry/services/specs/")
    }
    fn slices(&self, namespace: &str, name: &str) -> Vec<&Value> {
        let mut slices = self.ledger.objects(&format!("/registry/endpointslices/{namespace}/"));
        slices.retain(|slice| meta::label(slice, "kubernetes.io/service-name") == Some(name));
        slices.arrange_by(|a, b| meta::name(a).cmp(meta::name(b)));
        slices
    }
    fn declared_port(&self, namespace: &str, pod: &str) -> Option<u16> {
        let pod = self.ledger.get(&format!("/registry/pods/{namespace}/{pod}"))?;
        let containers = pod.items("spec.containers").iter();
        let mut ports = containers.flat_map(|container| container.items("ports"));
        ports.find_map(|port| port.integer("containerPort")).and_then(|port| u16::try_from(port).ok())
    }
    fn zone(&self, node: usize, _pod: usize) -> Option<&dyn Zone> {
        let name = format!("coredns-{}", self.nodes.get(node)?.name);
        let process = self.history.world().processes().iter().find(|process| process.name == name)?;
        match &*process.role {
            Role::CoreDns(server) => server.zone(),
            _ => None,
        }
    }
    fn service_range(&self) -> Option<Cidr> {
        let ranges = self.ledger.objects("/registry/servicecidrs/");
        let mut texts = ranges.iter().flat_map(|range| range.items("spec.cidrs")).filter_map(Value::as_str);
        texts.find_map(Cidr::parse)
    }
}

/// Follows one packet through the cluster as it is at this instant.
pub fn trace_packet(history: &History<Cluster>, question: &Question) -> PacketTrace {
    let model = Model::of(history);
    let mut trace = trace::trace(&model, question);
    if trace.verdict == PacketVerdict::Answered {
        trace.explanation += &model.unheard_policies(&trace);
    }
    trace
}

impl Model<'_> {
    /// What is said of policies that name one of the packet's pods on a node where nobody enforces them.
    fn unheard_policies(&self, trace: &PacketTrace) -> String {
        let mut names: Vec<String> = Vec::new();
        for hop in [trace.there.first(), trace.there.last()].into_iter().flatten() {
            let Place { namespace, pod, node, .. } = &hop.place;
            let node = self.nodes.iter().find(|one| one.name == *node);
            if node.is_none_or(|node| policy::are_enforced(&node.kernel.rules)) {
                continue;
            }
            let Some(pod) = self.ledger.get(&format!("/registry/pods/{namespace}/{pod}")) else { continue };
            for one in self.ledger.objects(&format!("/registry/networkpolicies/{namespace}/")) {
                let name = format!("{namespace}/{}", meta::name(one));
                if policy::selects(one, pod) && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        match names.is_empty() {
            true => String::new(),
            false => format!(
                " NetworkPolicy {} is not enforced: the bridge plugin alone does not. The example kube-router.yaml brings an add-on that does.",
                names.join(" and ")
            ),
        }
    }
}

/// The card of a packet.
pub(super) fn packet(history: &History<Cluster>, question: &Question) -> Detail {
    let trace = trace_packet(history, question);
    let mut summary = vec![
        ("Verdict".to_string(), format!("{:?}", trace.verdict)),
        ("Hops".to_string(), format!("{} there, {} back", trace.there.len(), trace.back.len())),
    ];
    if !trace.remedy.is_empty() {
        summary.push(("What would help".to_string(), trace.remedy.clone()));
    }
    Detail {
        kind: "Packet".into(),
        title: trace.question.clone(),
        explanation: trace.explanation.clone(),
        summary,
        packet: Some(trace),
        ..Detail::default()
    }
}
