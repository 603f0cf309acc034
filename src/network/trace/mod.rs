//! One packet's whole way: from a program's hand over rules, routes and wires to another's, and back.
//!
//! Picture to hold in mind: somebody who follows a letter through every post office, reads over each clerk's
//! shoulder which line of the book is applied, and writes it down. Nothing is moved by it: the same books lie
//! there afterwards.
//!
//! - [`report`] what is asked and answered
//! - [`names`] from a name to an address, as the source's resolver finds it
//! - [`follow`] the way itself; [`gates`] what each node does to the packet; [`receive`] who is there at its end
//! - [`words`] why it ended, and what would help

pub mod follow;
mod gates;
pub mod names;
mod receive;
pub mod report;
pub mod words;

use core::net::IpAddr;

use crate::api::{Text, Value};

use super::cni::Attachment;
use super::dns::Zone;
use super::ipam::Cidr;
use super::kernel::{GATEWAY, Kernel};
use super::packet::{Packet, Protocol};
use follow::{End, Follower};
use report::{PacketSource, PacketTarget, PacketTrace, PacketVerdict};

/// A machine of the cluster, as it is.
pub struct Node<'a> {
    pub name: &'a str,
    pub kernel: &'a Kernel,
    pub is_up: bool,
    pub pods: Vec<Pod<'a>>,
}

/// A sandbox on it.
#[derive(Clone)]
pub struct Pod<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// `None`: it uses the node's network.
    pub attachment: Option<&'a Attachment>,
    pub hostname: &'a str,
    /// Its resolv.conf: name servers, and the search list.
    pub name_servers: &'a [Text],
    pub searches: &'a [Text],
    pub options: &'a [Text],
}

/// What the wire between two machines does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Whole,
    Cut,
    /// It loses so many in a million.
    Lossy(u32),
}

/// All that a packet can meet.
pub trait World {
    fn nodes(&self) -> &[Node<'_>];
    /// From one machine to another; the workstation is a machine too.
    fn wire(&self, from: &str, to: &str) -> Wire;
    /// Only one node is known: what goes over the wire is handed over ([`End::OnWire`]).
    fn hands_over(&self) -> bool {
        false
    }
    /// Who listens: in a pod (`namespace`, `name`), or on a node; the program's name.
    fn listener(
        &self,
        node: &str,
        pod: Option<(&str, &str)>,
        protocol: Protocol,
        port: u16,
    ) -> Option<String>;
    /// A Service, as the API has it.
    fn service(&self, namespace: &str, name: &str) -> Option<&Value>;
    /// All of them.
    fn services(&self) -> Vec<&Value>;
    /// Slices of a Service.
    fn slices(&self, namespace: &str, name: &str) -> Vec<&Value>;
    /// The first port that a pod's containers declare.
    fn declared_port(&self, namespace: &str, pod: &str) -> Option<u16>;
    /// What the CoreDNS in pod `pod` of node `node` answers from, once it has heard of the cluster.
    fn zone(&self, _node: usize, _pod: usize) -> Option<&dyn Zone> {
        None
    }
    /// Addresses that services are given (`ServiceCIDR`).
    fn service_range(&self) -> Option<Cidr>;
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub from: PacketSource,
    pub to: PacketTarget,
    /// 0: the first one that the target declares.
    pub port: u16,
    pub protocol: Protocol,
    /// Which of many like it.
    pub number: u32,
}

/// The first of the ports that Linux gives to clients, and how many there are.
const CLIENT_PORTS: (u16, u32) = (32_768, 28_232);

/// Follows one packet and the answer to it.
pub fn trace(world: &dyn World, question: &Question) -> PacketTrace {
    let mut report = PacketTrace::default();
    match Departure::of(world, question, &mut report) {
        Ok(departure) => departure.travel(world, &mut report),
        Err((verdict, explanation, remedy)) => {
            report.verdict = verdict;
            report.explanation = explanation;
            report.remedy = remedy;
        }
    }
    report
}

/// A packet that is about to be sent.
struct Departure {
    spot: Spot,
    packet: Packet,
}

type Refusal = (PacketVerdict, String, String);

impl Departure {
    fn of(world: &dyn World, question: &Question, report: &mut PacketTrace) -> Result<Departure, Refusal> {
        let missing = |what: &str| {
            let words = format!("{what} is not there, or has no network yet.");
            (PacketVerdict::Unreachable, words, "Wait until it runs.".to_string())
        };
        let find_pod = |namespace: &str, name: &str| {
            let nodes = world.nodes().iter().enumerate();
            let mut pods =
                nodes.flat_map(|(at, node)| node.pods.iter().enumerate().map(move |(n, pod)| (at, n, pod)));
            pods.find(|(.., pod)| pod.namespace == namespace && pod.name == name).map(|(at, n, _)| (at, n))
        };
        let (spot, whose) = match &question.from {
            PacketSource::Pod { namespace, name } => {
                let whose = format!("{namespace}/{name}");
                let (node, pod) = find_pod(namespace, name).ok_or_else(|| missing(&whose))?;
                (Spot::Pod(node, pod), whose)
            }
            PacketSource::Host { name } => {
                let node = world.nodes().iter().position(|node| node.name == *name);
                (Spot::Node(node.ok_or_else(|| missing(name))?), name.clone())
            }
            PacketSource::Outside => (Spot::Outside, "the outside".to_string()),
        };
        let mut port = question.port;
        let mut protocol = question.protocol;
        let (address, shown) = match &question.to {
            PacketTarget::Pod { namespace, name } => {
                let shown = format!("{namespace}/{name}");
                let (node, pod) = find_pod(namespace, name).ok_or_else(|| missing(&shown))?;
                let node = &world.nodes()[node];
                let own = node.pods[pod].attachment.and_then(|attachment| attachment.addresses.first());
                let address = own.copied().or(node.kernel.address).ok_or_else(|| missing(&shown))?;
                if port == 0 {
                    port = world.declared_port(namespace, name).unwrap_or(80);
                }
                (address, shown)
            }
            PacketTarget::Service { namespace, name } => {
                let service =
                    world.service(namespace, name).ok_or_else(|| missing(&format!("{namespace}/{name}")))?;
                let ports = service.items("spec.ports");
                let chosen = ports.iter().find(|one| {
                    port != 0
                        && one.integer("port") == Some(i64::from(port))
                        && Protocol::parse(one.text("protocol")) == Some(protocol)
                });
                if let (0, Some(first)) = (port, ports.first()) {
                    port = first.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(80);
                    if protocol != Protocol::Icmp {
                        protocol = Protocol::parse(first.text("protocol")).unwrap_or(protocol);
                    }
                }
                let _ = chosen;
                let is_same =
                    matches!(&question.from, PacketSource::Pod { namespace: own, .. } if own == namespace);
                let typed = if is_same { name.clone() } else { format!("{name}.{namespace}") };
                let resolver = names::Resolver::of(world, spot).filter(|resolver| resolver.knows_cluster);
                let balancer = service.items("status.loadBalancer.ingress").first();
                let balancer = balancer.and_then(|one| one.text("ip").parse().ok());
                let address = match resolver {
                    Some(resolver) => resolver.look_up(&typed, &mut report.lookups)?,
                    None if let Some(balancer) = balancer.filter(|_| spot == Spot::Outside) => balancer,
                    None => service.text("spec.clusterIP").parse().map_err(|_| {
                        let words = format!(
                            "{namespace}/{name} has no cluster IP, and only pods can ask the cluster's DNS."
                        );
                        (PacketVerdict::NoSuchName, words, "Send it from a pod.".to_string())
                    })?,
                };
                (address, typed)
            }
            PacketTarget::Host { name } => {
                let node = world.nodes().iter().find(|node| node.name == *name);
                let address = node.and_then(|node| node.kernel.address).ok_or_else(|| missing(name))?;
                if port == 0 {
                    let node_port = |service: &Value| {
                        let ports = service.items("spec.ports").iter();
                        ports.filter_map(|port| port.integer("nodePort")).find(|port| *port != 0)
                    };
                    let first = world.services().into_iter().find_map(node_port);
                    port = first.and_then(|port| u16::try_from(port).ok()).unwrap_or(30_000);
                }
                (address, name.clone())
            }
            PacketTarget::Name(name) => {
                let address = match name.parse() {
                    Ok(address) => address,
                    Err(_) => {
                        let resolver = names::Resolver::of(world, spot);
                        let resolver = resolver.unwrap_or_else(|| names::Resolver::outside(world));
                        resolver.look_up(name, &mut report.lookups)?
                    }
                };
                (address, name.clone())
            }
        };
        if port == 0 {
            port = 80;
        }
        let ports = match protocol {
            Protocol::Icmp => (0, 0),
            _ => (CLIENT_PORTS.0 + (question.number % CLIENT_PORTS.1) as u16, port),
        };
        let colon = if ports.1 == 0 { String::new() } else { format!(":{port}") };
        report.question = format!("{} from {whose} to {shown}{colon}", protocol.upper_name());
        let source = source_address(world, spot, address).ok_or_else(|| {
            let words = format!("{whose} has no way to {address}.");
            (PacketVerdict::Unreachable, words, "A route to it.".to_string())
        })?;
        let packet = Packet::new(protocol, (source, ports.0), (address, ports.1));
        Ok(Departure { spot, packet })
    }

    fn travel(self, world: &dyn World, report: &mut PacketTrace) {
        let mut follower = Follower::new(world);
        let (end, arrived) = follower.follow(self.spot, self.packet.clone());
        report.there = std::mem::take(&mut follower.hops);
        let back_from = match &end {
            End::Delivered { at, .. } | End::NobodyListens { at } => Some(*at),
            End::LeftTheCluster if !words::is_of_cluster(world, arrived.destination) => Some(Spot::Outside),
            _ => None,
        };
        let mut way_back = None;
        if let Some(spot) = back_from {
            let (end, back) = follower.follow(spot, arrived.reply());
            report.back = std::mem::take(&mut follower.hops);
            let is_home = matches!(end, End::Delivered { at, .. } if at == self.spot || is_host_of(world, at, self.spot));
            let is_known =
                (back.source, back.source_port) == (self.packet.destination, self.packet.destination_port);
            way_back = Some((end, is_home && is_known));
        }
        if let End::Rejected { node, .. } = end {
            report.back.push(words::icmp_error(&follower, node, &arrived));
        }
        let ending =
            words::Ending { world, asked: &self.packet, arrived: &arrived, end: &end, back: way_back };
        ending.tell(report);
    }
}

/// A pod in its node's network is found where the node is.
fn is_host_of(world: &dyn World, at: Spot, spot: Spot) -> bool {
    match (at, spot) {
        (Spot::Node(node), Spot::Pod(other, pod)) => {
            node == other && world.nodes()[other].pods[pod].attachment.is_none()
        }
        _ => false,
    }
}

/// The address that a packet for `destination` carries when it is written.
pub fn source_address(world: &dyn World, spot: Spot, destination: IpAddr) -> Option<IpAddr> {
    let of_node = |node: usize| {
        let node = &world.nodes()[node];
        let route = node.kernel.route(destination, node.pods.iter().filter_map(|pod| pod.attachment))?;
        if destination.is_loopback() { Some(destination) } else { route.source }
    };
    match spot {
        Spot::Pod(node, pod) => match world.nodes()[node].pods[pod].attachment {
            Some(_) if destination.is_loopback() => Some(destination),
            Some(attachment) => {
                let fits = |own: &&IpAddr| own.is_ipv4() == destination.is_ipv4();
                attachment.addresses.iter().find(fits).copied()
            }
            None => of_node(node),
        },
        Spot::Node(node) => of_node(node),
        Spot::Outside => GATEWAY.parse().ok(),
    }
}

/// The machine at which somebody outside of the cluster sits, which is the way to the rest of the world too.
pub const OUTSIDE: &str = "workstation";

/// Where a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// In pod `1` of node `0`.
    Pod(usize, usize),
    Node(usize),
    Outside,
}

impl Pod<'_> {
    pub fn has(&self, address: IpAddr) -> bool {
        self.attachment.is_some_and(|attachment| attachment.addresses.contains(&address))
    }
}
