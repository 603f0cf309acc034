//! Why a packet ended as it did, and what would let it pass.
//!
//! Picture to hold in mind: the note that the one who followed the letter leaves on the desk: what became of it, in
//! one sentence, and in another what to change.

use core::net::IpAddr;

use super::follow::{End, Follower};
use super::report::{Envelope, Hop, HopStage, HopVerdict, PacketTrace, PacketVerdict};
use super::{Pod, Spot, World};
use crate::network::netfilter::{Match, Rule, Table, Target};
use crate::network::packet::{Packet, Protocol};
use crate::network::policy;
use crate::network::proxy::endpoints::Endpoint;
use crate::network::proxy::service::ServicePort;

pub struct Ending<'a> {
    pub world: &'a dyn World,
    /// As it was written, and as it was at the end.
    pub asked: &'a Packet,
    pub arrived: &'a Packet,
    pub end: &'a End,
    /// How the answer ended, and whether the asker takes it for one.
    pub back: Option<(End, bool)>,
}

/// An address of a pod or a service of this cluster.
pub fn is_of_cluster(world: &dyn World, address: IpAddr) -> bool {
    let pods = world.nodes().first().and_then(|node| node.kernel.cluster_range);
    pods.into_iter().chain(world.service_range()).any(|range| range.contains(address))
}

fn last_comment(rule: &Rule) -> &str {
    let comment = rule.matches.iter().rev().find_map(|one| match one {
        Match::Comment(text) => Some(text.as_str()),
        _ => None,
    });
    comment.unwrap_or("")
}

/// The ICMP message of a rule that refuses: it goes straight back to the asker.
pub fn icmp_error(follower: &Follower, node: usize, refused: &Packet) -> Hop {
    let envelope = Envelope {
        protocol: "ICMP".into(),
        source: refused.destination.to_string(),
        destination: refused.source.to_string(),
        ..Envelope::default()
    };
    Hop {
        place: follower.place(Spot::Node(node), ""),
        stage: HopStage::Send,
        title: "port unreachable".into(),
        explanation: "The node answers with an ICMP message: the client's connect fails at once.".into(),
        rules: Vec::new(),
        before: envelope.clone(),
        after: envelope,
        verdict: HopVerdict::Refused,
        outer: String::new(),
    }
}

impl Ending<'_> {
    pub fn tell(&self, report: &mut PacketTrace) {
        let (verdict, explanation, remedy) = self.words();
        report.verdict = verdict;
        report.explanation = explanation;
        report.remedy = remedy;
    }

    fn node(&self, node: usize) -> &str {
        self.world.nodes()[node].name
    }
    fn whose(&self, spot: Spot) -> String {
        match spot {
            Spot::Pod(node, pod) => {
                let pod = &self.world.nodes()[node].pods[pod];
                format!("{}/{} on {}", pod.namespace, pod.name, self.node(node))
            }
            Spot::Node(node) => self.node(node).to_string(),
            Spot::Outside => "the outside".into(),
        }
    }

    fn words(&self) -> (PacketVerdict, String, String) {
        let none = String::new;
        match (self.end, &self.back) {
            (End::Delivered { at, program }, Some((_, true))) => {
                let who = self.whose(*at);
                let words = match self.asked.protocol {
                    Protocol::Icmp => format!("{who} answers the ping."),
                    _ => format!("{program} in {who} answers."),
                };
                (PacketVerdict::Answered, words, none())
            }
            (End::Delivered { at, .. }, back) => {
                let (words, remedy) = match back {
                    Some((End::CutWire { from, to }, _)) => {
                        (format!("the wire from {from} to {to} is cut"), "Join the link.".to_string())
                    }
                    Some((End::Dropped { rule, .. }, _)) => (format!("a rule drops it: {rule}"), none()),
                    Some((End::Delivered { .. }, _)) => (
                        "it comes from an address that was not asked".to_string(),
                        "The answer must come back by the node that translated the question.".to_string(),
                    ),
                    _ => ("it finds no way".to_string(), none()),
                };
                let who = self.whose(*at);
                let words = format!("It arrives at {who}, but the answer does not come back: {words}.");
                (PacketVerdict::Dropped, words, remedy)
            }
            (End::NobodyListens { at }, _) => {
                let port = self.arrived.destination_port;
                let who = self.whose(*at);
                let words = format!(
                    "It arrives at {who}, where nobody listens on port {port}: the kernel refuses it."
                );
                let remedy = match self.asked.destination_port == port {
                    true => format!("A program that listens on port {port}, or the port on which one does."),
                    false => format!(
                        "The service's targetPort must be the port on which the program listens; it is {port}."
                    ),
                };
                (PacketVerdict::Refused, words, remedy)
            }
            (End::Rejected { node, rule }, _) => self.refused_by_rule(*node, rule),
            (End::Dropped { node, rule }, _) => self.dropped_by_rule(*node, rule),
            (End::NobodyHome { node, address }, _) => {
                let name = self.node(*node);
                if self.asked.destination == *address {
                    let words = format!(
                        "Nobody has the address {address}: {name} asks for it on the wire and hears nothing."
                    );
                    return (
                        PacketVerdict::Unreachable,
                        words,
                        "An address that a pod or a machine has.".into(),
                    );
                }
                let words = format!("The rules still name the endpoint {address}, which is gone.");
                let remedy =
                    "kube-proxy must write the rules anew: see whether it runs, and whether news reaches it.";
                (PacketVerdict::Unreachable, words, remedy.into())
            }
            (End::NoRoute { at }, _) => {
                let words = format!("{} has no route to {}.", self.whose(*at), self.arrived.destination);
                let remedy = match at {
                    Spot::Outside => {
                        "Pods and services have no way in from outside: a NodePort, a LoadBalancer or an Ingress makes one."
                    }
                    _ => "A route to it: the nodes must have told one another their pod ranges.",
                };
                (PacketVerdict::Unreachable, words, remedy.into())
            }
            (End::CutWire { from, to }, _) => {
                let words = format!("The wire from {from} to {to} is cut: it is lost.");
                (PacketVerdict::Unreachable, words, "Join the link.".into())
            }
            (End::NoPower { node }, _) => {
                (PacketVerdict::Unreachable, format!("{node} has no power."), "Switch it on.".into())
            }
            (End::LeftTheCluster, _) if is_of_cluster(self.world, self.arrived.destination) => {
                self.lost_outside()
            }
            (End::LeftTheCluster, Some((_, true))) => {
                let words = "It leaves the cluster. Who lives there is not simulated; an answer would find its way back.";
                (PacketVerdict::Answered, words.into(), none())
            }
            (End::LeftTheCluster, _) => {
                let words = format!(
                    "It leaves the cluster as {}, to which no answer finds its way.",
                    self.arrived.source
                );
                (
                    PacketVerdict::Dropped,
                    words,
                    "Masquerading on the node for packets that leave the cluster.".into(),
                )
            }
            (End::TooLong | End::OnWire { .. }, _) => (
                PacketVerdict::Dropped,
                "It goes round in circles until its time to live is over.".into(),
                none(),
            ),
        }
    }

    /// The port of a service that was asked for, as the API has it.
    fn service_port(&self, rule: &str) -> Option<(String, ServicePort)> {
        // The comment names it: `"default/web:http has no endpoints"`. A virtual server is known by its address.
        let comment = rule.split('"').nth(1);
        let name = comment.and_then(|comment| comment.split(' ').next());
        let packet = self.arrived;
        let is_it = |port: &ServicePort| match name {
            Some(name) => port.name.to_string() == name,
            None => {
                let number = if port.cluster_ip == packet.destination { port.port } else { port.node_port };
                port.name.protocol == packet.protocol && number == packet.destination_port
            }
        };
        let services = self.world.services();
        services
            .into_iter()
            .flat_map(ServicePort::all)
            .find(is_it)
            .map(|port| (format!("{}/{}", port.name.namespace, port.name.name), port))
    }
    fn endpoints(&self, port: &ServicePort) -> Vec<Endpoint> {
        let slices = self.world.slices(&port.name.namespace, &port.name.name);
        Endpoint::all(&port.name, &slices, "")
    }

    fn refused_by_rule(&self, node: usize, rule: &str) -> (PacketVerdict, String, String) {
        let name = self.node(node);
        if let Some((words, remedy)) = self.refused_by_policies(node, rule) {
            return (PacketVerdict::Refused, words, remedy);
        }
        let Some((service, port)) = self.service_port(rule) else {
            let words = format!("A rule of {name} refuses it: {rule}");
            return (PacketVerdict::Refused, words, self.remedy_for_address());
        };
        let endpoints = self.endpoints(&port);
        let ready = endpoints.iter().filter(|one| one.is_ready).count();
        let words =
            format!("Service {service} has no endpoints by the rules of {name}, which refuse the packet.");
        let remedy = if ready > 0 && port.is_internal_local {
            format!("{ready} are on other nodes: the traffic policy Cluster would let it go there.")
        } else if ready > 0 {
            format!("It has {ready} by now: kube-proxy of {name} has yet to write its rules anew.")
        } else if endpoints.is_empty() {
            format!(
                "A pod that the selector of {service} matches, with a port of the target's name or number."
            )
        } else {
            format!("{} of its pods must become Ready: none is.", endpoints.len())
        };
        (PacketVerdict::Refused, words, remedy)
    }

    /// The doorman of a pod has turned it away: which policies he goes by. `None`: it was somebody else.
    fn refused_by_policies(&self, node: usize, rule: &str) -> Option<(String, String)> {
        let here = &self.world.nodes()[node];
        let chain = rule.split(' ').nth(1)?;
        let rules_of = |chain: &str| here.kernel.rules.chain(Table::Filter, chain).map(|chain| &chain.rules);
        let rules = rules_of(chain)?;
        let packet = self.arrived;
        let mut policies: Vec<String> = Vec::new();
        let (owner, is_ingress) = if chain.starts_with("KUBE-POD-FW-") {
            let whose = rule.split('"').nth(1)?.split(' ').next()?;
            let (namespace, name) = whose.split_once('/')?;
            let owner = here.pods.iter().find(|pod| pod.namespace == namespace && pod.name == name)?;
            let is_ingress = owner.has(packet.destination);
            for rule in rules {
                // A jump for the other direction names the pod's address on the other side.
                let other = if is_ingress { &rule.source } else { &rule.destination };
                let name = last_comment(rule).strip_suffix(" policy").filter(|_| other.is_none());
                policies.extend(name.map(String::from));
            }
            (owner, is_ingress)
        } else {
            let inwards = chain.strip_prefix(policy::TO_POD);
            let interface = inwards.or_else(|| chain.strip_prefix(policy::FROM_POD))?;
            let is_its = |pod: &&Pod| pod.attachment.is_some_and(|one| one.host_interface == interface);
            for rule in rules {
                let Some(Target::Jump(to)) = &rule.target else { continue };
                let first =
                    rules_of(to).and_then(|rules| rules.first()).map_or("", |rule| last_comment(rule));
                if let Some((name, _)) = first.strip_prefix("Policy ").and_then(|rest| rest.rsplit_once(' '))
                {
                    policies.push(name.replacen("knp.default.", "", 1));
                }
            }
            (here.pods.iter().find(is_its)?, inwards.is_some())
        };
        if policies.is_empty() {
            return None;
        }
        let whose = format!("{}/{}", owner.namespace, owner.name);
        let address = if is_ingress { packet.source } else { packet.destination };
        let mut pods = self.world.nodes().iter().flat_map(|node| &node.pods);
        let other = match pods.find(|pod| pod.has(address)) {
            Some(pod) => format!("{}/{}", pod.namespace, pod.name),
            None => address.to_string(),
        };
        let port = match packet.destination_port {
            0 => String::new(),
            port => format!(" on {} port {port}", packet.protocol.upper_name()),
        };
        let list = policies.join(" and ");
        let (verb, end) = if policies.len() == 1 { ("lets", "it") } else { ("let", "one of them") };
        let (way, rule, role) = match is_ingress {
            true => (format!("in to {whose} from {other}"), "An ingress", "source"),
            false => (format!("out of {whose} to {other}"), "An egress", "destination"),
        };
        let words = format!("NetworkPolicy {list} {verb} nothing {way}{port}.");
        let remedy = format!("{rule} rule in {end} that names {other} as a {role}, and the port.");
        Some((words, remedy))
    }

    fn dropped_by_rule(&self, node: usize, rule: &str) -> (PacketVerdict, String, String) {
        if let Some((words, remedy)) = self.refused_by_policies(node, rule) {
            return (PacketVerdict::Dropped, words, remedy);
        }
        let name = self.node(node);
        // Iptables' comment, or an element of nftables' maps.
        if !rule.contains("has no local endpoints") && !rule.starts_with("no-endpoint-") {
            let remedy = match rule {
                "hairpin mode is off" => "hairpinMode or promiscMode in the network configuration.",
                _ if rule.contains("UDP port") => "flanneld on that node: see whether its pod runs.",
                _ if rule.contains("unallocated ClusterIPs") => "An address that a service has.",
                _ => "A source that loadBalancerSourceRanges names.",
            };
            return (PacketVerdict::Dropped, format!("{name} drops it: {rule}"), remedy.into());
        }
        let Some((service, port)) = self.service_port(rule) else {
            return (PacketVerdict::Dropped, format!("A rule of {name} drops it: {rule}"), String::new());
        };
        let words = format!(
            "Service {service} sends to endpoints of the same node only (traffic policy Local), and {name} has none."
        );
        let mut elsewhere: Vec<String> = Vec::new();
        for slice in self.world.slices(&port.name.namespace, &port.name.name) {
            for one in slice.items("endpoints") {
                let node = one.text("nodeName").to_string();
                if one.at("conditions.ready").as_bool().unwrap_or(true) && !elsewhere.contains(&node) {
                    elsewhere.push(node);
                }
            }
        }
        let remedy = match elsewhere.is_empty() {
            true => "A ready endpoint on this node, or the traffic policy Cluster.".to_string(),
            false => format!(
                "By {}, where endpoints are; or with the traffic policy Cluster.",
                elsewhere.join(" or ")
            ),
        };
        (PacketVerdict::Dropped, words, remedy)
    }

    /// A cluster address that no rule translated goes out of the house, where nobody knows it.
    fn lost_outside(&self) -> (PacketVerdict, String, String) {
        let address = self.arrived.destination;
        let words =
            format!("No rule on the way knew {address}: it left the cluster, where nobody has that address.");
        (PacketVerdict::Dropped, words, self.remedy_for_address())
    }
    /// What would do for an address of a service that no rule translated.
    fn remedy_for_address(&self) -> String {
        let address = self.arrived.destination;
        let is_here = |port: &ServicePort| port.cluster_ip == address;
        let ports: Vec<ServicePort> =
            self.world.services().into_iter().flat_map(ServicePort::all).filter(is_here).collect();
        let first = ports.first();
        match (first, self.asked.protocol) {
            (None, _) => "An address that a pod or a service has.".to_string(),
            (Some(_), Protocol::Icmp) => {
                "A service's address exists only as rules for its ports: a ping has no port. Ask one of its ports.".into()
            }
            (Some(port), protocol) => {
                let fits = ports.iter().any(|port| {
                    port.port == self.asked.destination_port && port.name.protocol == protocol
                });
                match fits {
                    true => "kube-proxy must write the service's rules: see whether it runs on the source's node.".into(),
                    false => format!("A port that the service has: {} {}.", port.name.protocol.upper_name(), port.port),
                }
            }
        }
    }
}
