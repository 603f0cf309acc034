//! The way of a packet, and of the answer to it.
//!
//! Picture to hold in mind: a board game with few kinds of squares: a pod, a bridge, the gates of a node, the wire.
//! On each square the piece is looked at, perhaps relabelled, and moved to the next. Every node keeps the list
//! of relabelled pieces, so that the answer finds its way back.
//!
//! After the order of netfilter's hooks in Linux: PREROUTING, routing, INPUT or FORWARD, POSTROUTING; OUTPUT for a
//! node's own packets. Frames that only cross the bridge pass the same gates, because kubeadm wants
//! `net.bridge.bridge-nf-call-iptables`.

use core::net::IpAddr;

use super::report::{Envelope, Hop, HopStage, HopVerdict, Place};
use super::{OUTSIDE, Spot, Wire, World};
use crate::api::Text;
use crate::network::cni::CALICO_GATEWAY;
use crate::network::ipam::Cidr;
use crate::network::kernel::{
    Agent, GATEWAY, Route, TUNNEL_PORT, UPLINK, Way, default_route, link_route, tunnel_of,
};
use crate::network::packet::{ConnectionState, Packet};
use crate::network::policy;
use crate::network::show;

/// How a packet ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A program has it.
    Delivered {
        at: Spot,
        program: String,
    },
    /// It is at the right address, where nobody listens on the port.
    NobodyListens {
        at: Spot,
    },
    /// A rule said no, aloud or not; `rule` is the line.
    Rejected {
        node: usize,
        rule: String,
    },
    Dropped {
        node: usize,
        rule: String,
    },
    /// No line of the routing table fits, or the last one has nobody at its end.
    NoRoute {
        at: Spot,
    },
    /// Nobody on the wire, or on the bridge, has the address.
    NobodyHome {
        node: usize,
        address: IpAddr,
    },
    CutWire {
        from: String,
        to: String,
    },
    NoPower {
        node: String,
    },
    /// It has left the cluster for the rest of the world.
    LeftTheCluster,
    /// It is handed over to the machine with this address.
    OnWire {
        next: IpAddr,
    },
    /// It goes round in circles.
    TooLong,
}

/// A conversation that some node's conntrack has under way.
#[derive(Clone, Debug)]
pub struct Tracked {
    pub node: usize,
    /// As it came to the node, and as it left.
    pub original: Packet,
    pub translated: Packet,
    /// Lists of `-m recent` that its source belongs into now.
    pub remembered: Vec<Text>,
}

/// Hops that are followed at most; the IP header's time to live is 64.
const MOST_HOPS: usize = 64;

pub struct Follower<'a> {
    pub world: &'a dyn World,
    pub hops: Vec<Hop>,
    pub tracked: Vec<Tracked>,
    /// The source address that an answer gets on its way out of the present node.
    pub(super) untranslated: Option<(IpAddr, u16)>,
    /// A virtual server has taken it on its way in, so that it is the node's own from there on.
    pub(super) is_put_through: bool,
    /// What is written on the envelope around it.
    outer: String,
    /// What the present node is doing to the packet: as it came.
    pub(super) entered: Option<(usize, Packet, Vec<Text>)>,
}

fn envelope(packet: &Packet) -> Envelope {
    Envelope {
        protocol: packet.protocol.upper_name().to_string(),
        source: packet.source.to_string(),
        source_port: packet.source_port,
        destination: packet.destination.to_string(),
        destination_port: packet.destination_port,
        mark: packet.mark,
    }
}

impl<'a> Follower<'a> {
    pub fn new(world: &'a dyn World) -> Follower<'a> {
        Follower {
            world,
            hops: Vec::new(),
            tracked: Vec::new(),
            untranslated: None,
            is_put_through: false,
            outer: String::new(),
            entered: None,
        }
    }

    /// Follows `packet` from `spot` to its end; the hops are appended. The packet as it was at the end.
    pub fn follow(&mut self, spot: Spot, packet: Packet) -> (End, Packet) {
        let mut packet = packet;
        let end = match spot {
            Spot::Pod(node, pod) => self.leave_pod(node, pod, &mut packet),
            Spot::Node(node) => self.leave_node(node, &mut packet),
            Spot::Outside => self.leave_outside(&mut packet),
        };
        (end, packet)
    }

    pub fn place(&self, spot: Spot, interface: &str) -> Place {
        let interface = interface.to_string();
        match spot {
            Spot::Pod(node, pod) => {
                let node = &self.world.nodes()[node];
                let pod = &node.pods[pod];
                let (namespace, pod) = (pod.namespace.to_string(), pod.name.to_string());
                Place { node: node.name.to_string(), interface, namespace, pod }
            }
            Spot::Node(node) => {
                let node = self.world.nodes()[node].name.to_string();
                Place { node, interface, ..Place::default() }
            }
            Spot::Outside => Place { interface, ..Place::default() },
        }
    }
    fn name(&self, node: usize) -> &'a str {
        // The world outlives whoever follows through it.
        let world: &'a dyn World = self.world;
        world.nodes()[node].name
    }

    #[expect(clippy::too_many_arguments, reason = "one line of the report, written at a dozen places")]
    pub(super) fn hop(
        &mut self,
        spot: Spot,
        interface: &str,
        stage: HopStage,
        title: impl Into<String>,
        explanation: impl Into<String>,
        rules: Vec<String>,
        before: &Packet,
        after: &Packet,
        verdict: HopVerdict,
    ) {
        // A packet of a running program is followed by nobody.
        if self.world.hands_over() {
            return;
        }
        let is_changed = (before.source, before.source_port, before.destination, before.destination_port)
            != (after.source, after.source_port, after.destination, after.destination_port);
        let verdict = match verdict {
            HopVerdict::Passes if is_changed => HopVerdict::Translated,
            verdict => verdict,
        };
        self.hops.push(Hop {
            place: self.place(spot, interface),
            stage,
            title: title.into(),
            explanation: explanation.into(),
            rules,
            before: envelope(before),
            after: envelope(after),
            verdict,
            outer: self.outer.clone(),
        });
    }

    fn leave_pod(&mut self, node: usize, pod: usize, packet: &mut Packet) -> End {
        let spot = Spot::Pod(node, pod);
        let world = self.world;
        let here = &world.nodes()[node];
        if !here.is_up {
            return End::NoPower { node: here.name.to_string() };
        }
        let Some(attachment) = here.pods[pod].attachment else {
            return self.leave_node(node, packet);
        };
        let at = packet.clone();
        if packet.destination.is_loopback() || attachment.addresses.contains(&packet.destination) {
            let words = "It is for the pod itself: over the loopback interface, without leaving the pod.";
            self.hop(spot, "lo", HopStage::Send, "loopback", words, vec![], &at, &at, HopVerdict::Passes);
            return self.receive(spot, packet);
        }
        let mut line = None;
        let mut is_neighbour = false;
        for ((own, length), gateway) in
            attachment.addresses.iter().zip(&attachment.prefix_lengths).zip(&attachment.gateways)
        {
            let Some(range) = Cidr::parse(&format!("{own}/{length}")) else { continue };
            if own.is_ipv4() != packet.destination.is_ipv4() {
                continue;
            }
            // `ptp` gives the pod a way through the node even to its neighbours.
            is_neighbour = range.contains(packet.destination) && !attachment.bridge.is_empty();
            line = Some(match is_neighbour {
                true => link_route(range, "eth0", *own),
                false => default_route(*gateway, "eth0"),
            });
        }
        let Some(line) = line else { return End::NoRoute { at: spot } };
        let words = match is_neighbour {
            true => "The destination is in the pod's own range: the frame goes straight to the neighbour.",
            false if attachment.gateways.contains(&CALICO_GATEWAY) => {
                "The pod's one way out is an address that nobody has: the node's end of the cable answers for it (proxy ARP)."
            }
            false => "The pod's routing table has one way out: by the node.",
        };
        self.hop(spot, "eth0", HopStage::Send, "sent", words, vec![line], &at, &at, HopVerdict::Passes);
        let (outside, bridge) = (attachment.host_interface.clone(), attachment.bridge.clone());
        let words = match bridge.is_empty() {
            true => format!("Through the cable's other end, {outside}, into the node."),
            false => format!("Through the cable's other end, {outside}, onto the bridge {bridge}."),
        };
        let node_spot = Spot::Node(node);
        self.hop(
            node_spot,
            &outside,
            HopStage::Link,
            "veth pair",
            words,
            vec![],
            &at,
            &at,
            HopVerdict::Passes,
        );
        packet.in_interface = if bridge.is_empty() { outside } else { bridge.clone() };
        if is_neighbour {
            return self.across_bridge(node, pod, &bridge, packet);
        }
        self.enter(node, Some(pod), packet)
    }

    /// From pod to pod over the bridge alone; netfilter looks on.
    fn across_bridge(&mut self, node: usize, from: usize, bridge: &Text, packet: &mut Packet) -> End {
        let has_gateway = self.world.nodes()[node]
            .kernel
            .bridge
            .as_ref()
            .is_some_and(|bridge| bridge.addresses.iter().any(|(own, _)| *own == packet.destination));
        if has_gateway {
            return self.enter(node, Some(from), packet);
        }
        let before = packet.clone();
        if let Some(end) = self.prerouting(node, packet) {
            return end;
        }
        if before == *packet && packet.state == ConnectionState::New {
            // Nothing to tell: the gates let neighbours through untouched.
            self.hops.pop();
        }
        let words = format!(
            "The bridge {bridge} passes the frame on by its hardware address; with br_netfilter the node's rules see it too."
        );
        let spot = Spot::Node(node);
        let at = packet.clone();
        self.hop(spot, bridge, HopStage::Link, "bridge", words, vec![], &at, &at, HopVerdict::Passes);
        packet.out_interface = bridge.clone();
        if let Some(end) = self.filter(node, "FORWARD", HopStage::Forward, packet) {
            return end;
        }
        self.postrouting(node, packet, None);
        self.reach_pod(node, Some(from), packet)
    }

    fn leave_node(&mut self, node: usize, packet: &mut Packet) -> End {
        let world = self.world;
        let here = &world.nodes()[node];
        if !here.is_up {
            return End::NoPower { node: here.name.to_string() };
        }
        let spot = Spot::Node(node);
        let at = packet.clone();
        let words = format!("A process of {} sends it.", here.name);
        self.hop(spot, "", HopStage::Send, "sent", words, vec![], &at, &at, HopVerdict::Passes);
        self.entered = Some((node, packet.clone(), Vec::new()));
        if !self.is_known(node, HopStage::Output, packet) {
            let end = self
                .translate(node, "OUTPUT", HopStage::Output, packet)
                .or_else(|| self.balance(node, HopStage::Output, packet));
            if let Some(end) = end {
                return end;
            }
        }
        if let Some(end) = self.filter(node, "OUTPUT", HopStage::Output, packet) {
            return end;
        }
        self.routed(node, None, packet, true)
    }

    fn leave_outside(&mut self, packet: &mut Packet) -> End {
        let at = packet.clone();
        let words = "Somebody outside of the cluster sends it.";
        self.hop(Spot::Outside, "", HopStage::Send, "sent", words, vec![], &at, &at, HopVerdict::Passes);
        self.wire(None, packet.destination, packet)
    }

    /// A packet comes in by the wire.
    pub fn arrive(&mut self, node: usize, packet: &mut Packet) -> End {
        self.enter(node, None, packet)
    }
    /// A packet comes in to a node's own network: the gates from PREROUTING on.
    fn enter(&mut self, node: usize, from_pod: Option<usize>, packet: &mut Packet) -> End {
        if self.hops.len() > MOST_HOPS {
            return End::TooLong;
        }
        if let Some(end) = self.prerouting(node, packet) {
            return end;
        }
        self.routed(node, from_pod, packet, false)
    }

    /// The routing decision, and what follows. `is_own`: the node's own packet.
    fn routed(&mut self, node: usize, from_pod: Option<usize>, packet: &mut Packet, is_own: bool) -> End {
        let world = self.world;
        let here = &world.nodes()[node];
        let spot = Spot::Node(node);
        let attachments = here.pods.iter().filter_map(|pod| pod.attachment);
        let Some(route) = here.kernel.route(packet.destination, attachments) else {
            return End::NoRoute { at: spot };
        };
        let (words, interface): (String, Text) = match &route.way {
            Way::Local => {
                (format!("{} is an address of {} itself.", packet.destination, here.name), "lo".into())
            }
            Way::Pods { interface } => (
                format!("{} is in the range of this node's own pods.", packet.destination),
                interface.clone(),
            ),
            Way::Wire { next } => {
                let next = here.kernel.next_on_wire(*next, packet.destination);
                let words = match here.kernel.neighbour(next) {
                    Some(other) if next == packet.destination => {
                        format!("{next} is {}, on the same wire.", other.name)
                    }
                    Some(other) if here.kernel.agent == Agent::Bird => format!(
                        "{} lives on {}: BIRD has learned this route from BIRD there, by BGP.",
                        packet.destination, other.name
                    ),
                    Some(other) => format!("{} lives on {}: over the wire.", packet.destination, other.name),
                    None => format!("{} is nowhere in the cluster: to the gateway.", packet.destination),
                };
                (words, UPLINK.into())
            }
            Way::Tunnel { machine } => {
                let other = here.kernel.neighbour(*machine).map_or("", |other| &other.name);
                (
                    format!("{} lives on {other}: through the tunnel to it.", packet.destination),
                    tunnel_of(packet.destination).into(),
                )
            }
        };
        let at = packet.clone();
        packet.out_interface = interface.clone();
        self.hop(
            spot,
            &interface,
            HopStage::Route,
            "routing",
            words,
            vec![route.line.clone()],
            &at,
            &at,
            HopVerdict::Passes,
        );
        match route.way {
            Way::Local => {
                self.restore_source(node, HopStage::Input, packet);
                // What the node sends to itself comes in by `lo`.
                let was_put_through = std::mem::take(&mut self.is_put_through);
                // Felix marks what a virtual server will put through, and judges it when it goes on, as if it were forwarded.
                let is_judged_later = !is_own
                    && packet.state == ConnectionState::New
                    && policy::is_of_felix(&here.kernel.rules)
                    && here.kernel.balance(packet, 0).is_some();
                if !was_put_through
                    && !is_judged_later
                    && let Some(end) = self.filter(node, "INPUT", HopStage::Input, packet)
                {
                    return end;
                }
                if packet.state == ConnectionState::New {
                    // What a virtual server puts through leaves as if the node had sent it.
                    let asked = packet.destination;
                    if !is_own {
                        if let Some(end) = self.balance(node, HopStage::Input, packet) {
                            return end;
                        }
                        if packet.destination != asked {
                            let attachments = here.pods.iter().filter_map(|pod| pod.attachment);
                            let onwards = here.kernel.route(packet.destination, attachments);
                            if let Some(Route { way: Way::Pods { interface }, .. }) = onwards {
                                packet.out_interface = interface;
                            }
                            let (chain, stage) = match is_judged_later {
                                true => ("FORWARD", HopStage::Forward),
                                false => ("OUTPUT", HopStage::Output),
                            };
                            return match self.filter(node, chain, stage, packet) {
                                Some(end) => end,
                                None => {
                                    self.is_put_through = true;
                                    self.routed(node, None, packet, true)
                                }
                            };
                        }
                    }
                    // A node that has asked a service of its own by the service's address has that for a source.
                    if is_own && here.kernel.is_virtual(packet.source) {
                        self.postrouting(node, packet, route.source);
                    }
                    self.track(node, packet);
                }
                self.receive(spot, packet)
            }
            Way::Pods { interface } => {
                self.is_put_through = false;
                if !is_own && let Some(end) = self.filter(node, "FORWARD", HopStage::Forward, packet) {
                    return end;
                }
                self.postrouting(node, packet, route.source);
                let from = from_pod.filter(|_| here.kernel.bridge.is_some());
                let _ = interface;
                self.reach_pod(node, from, packet)
            }
            Way::Wire { next } => {
                self.is_put_through = false;
                if !is_own && let Some(end) = self.filter(node, "FORWARD", HopStage::Forward, packet) {
                    return end;
                }
                self.postrouting(node, packet, route.source);
                self.wire(Some(node), here.kernel.next_on_wire(next, packet.destination), packet)
            }
            Way::Tunnel { machine } => {
                self.is_put_through = false;
                if !is_own && let Some(end) = self.filter(node, "FORWARD", HopStage::Forward, packet) {
                    return end;
                }
                self.postrouting(node, packet, route.source);
                self.tunnel(node, machine, packet)
            }
        }
    }

    /// Wraps it, and sends it to the machine that unwraps it.
    fn tunnel(&mut self, node: usize, machine: IpAddr, packet: &mut Packet) -> End {
        let world = self.world;
        let kernel = world.nodes()[node].kernel;
        let peers = kernel.tunnel.iter().flat_map(|tunnel| &tunnel.peers);
        let peer = peers.into_iter().find(|one| one.range.contains(packet.destination));
        let device = tunnel_of(packet.destination);
        if let (Some(peer), Some(own), false) = (peer, kernel.address, world.hands_over()) {
            self.outer = format!("{own} > {machine}:{TUNNEL_PORT} VXLAN 1");
            let words = format!(
                "{device} wraps the frame into a UDP packet of the machines' own network: from {own} to {machine}, port {TUNNEL_PORT}, VXLAN network 1."
            );
            let lines = vec![show::tunnel_neighbour(peer).trim_end().into(), show::tunnel_forwarding(peer)];
            let at = packet.clone();
            let spot = Spot::Node(node);
            self.hop(spot, device, HopStage::Link, "wrapped", words, lines, &at, &at, HopVerdict::Passes);
        }
        self.wire(Some(node), machine, packet)
    }

    /// Down the cable to the pod that has the address.
    fn reach_pod(&mut self, node: usize, from: Option<usize>, packet: &mut Packet) -> End {
        let world = self.world;
        let here = &world.nodes()[node];
        let spot = Spot::Node(node);
        let Some(pod) = here.pods.iter().position(|pod| pod.has(packet.destination)) else {
            return End::NobodyHome { node, address: packet.destination };
        };
        let at = packet.clone();
        let Some(attachment) = here.pods[pod].attachment else {
            return End::NobodyHome { node, address: packet.destination };
        };
        let reflects = here.kernel.bridge.as_ref().is_none_or(|bridge| bridge.reflects);
        if from == Some(pod) && !reflects {
            let words = "The bridge does not send a frame back through the port that it came from.";
            let verdict = HopVerdict::Dropped;
            self.hop(spot, &attachment.bridge, HopStage::Link, "hairpin", words, vec![], &at, &at, verdict);
            return End::Dropped { node, rule: "hairpin mode is off".into() };
        }
        let words = format!(
            "Down the cable {}, whose other end is eth0 of {}/{}.",
            attachment.host_interface, here.pods[pod].namespace, here.pods[pod].name
        );
        let interface = attachment.host_interface.clone();
        self.hop(spot, &interface, HopStage::Link, "veth pair", words, vec![], &at, &at, HopVerdict::Passes);
        packet.in_interface = attachment.interface.clone();
        self.receive(Spot::Pod(node, pod), packet)
    }

    /// From machine to machine; `from`: `None` is the outside.
    fn wire(&mut self, from: Option<usize>, next: IpAddr, packet: &mut Packet) -> End {
        let world = self.world;
        let nodes = world.nodes();
        let next = nodes.first().map_or(next, |node| node.kernel.machine_of(next));
        if let Some(from) = from.filter(|_| world.hands_over())
            && nodes[from].kernel.neighbour(next).is_some()
        {
            return End::OnWire { next };
        }
        let from_name = from.map_or(OUTSIDE, |node| self.name(node));
        let spot = from.map_or(Spot::Outside, Spot::Node);
        let at = packet.clone();
        let to = nodes.iter().position(|node| node.kernel.address == Some(next));
        let is_outside = GATEWAY.parse() == Ok(next);
        let to_name = match to {
            Some(to) => self.name(to),
            None if is_outside => OUTSIDE,
            // Only a machine of the same wire could have it.
            None if from.is_none() => return End::NoRoute { at: spot },
            None => return End::NobodyHome { node: from.unwrap_or(0), address: next },
        };
        let wire = world.wire(from_name, to_name);
        let (words, verdict) = match wire {
            Wire::Whole => (format!("Over the wire from {from_name} to {to_name}."), HopVerdict::Passes),
            Wire::Lossy(per_million) => (
                format!(
                    "Over the wire from {from_name} to {to_name}, which loses {per_million} packets in a million."
                ),
                HopVerdict::Passes,
            ),
            Wire::Cut => (format!("The wire from {from_name} to {to_name} is cut."), HopVerdict::Dropped),
        };
        self.hop(spot, UPLINK, HopStage::Wire, format!("to {to_name}"), words, vec![], &at, &at, verdict);
        if wire == Wire::Cut {
            self.outer.clear();
            return End::CutWire { from: from_name.to_string(), to: to_name.to_string() };
        }
        match to {
            Some(to) if !nodes[to].is_up => {
                self.outer.clear();
                End::NoPower { node: to_name.to_string() }
            }
            Some(to) => {
                packet.in_interface = UPLINK.into();
                packet.out_interface = Text::new();
                if !self.outer.is_empty() {
                    let spot = Spot::Node(to);
                    if nodes[to].kernel.tunnel.is_none() {
                        let rule = format!("nobody there listens on UDP port {TUNNEL_PORT}");
                        self.outer.clear();
                        return End::Dropped { node: to, rule };
                    }
                    let device = tunnel_of(packet.destination);
                    let words = format!("{device} of {to_name} takes the frame out again.");
                    let title = "unwrapped";
                    self.hop(
                        spot,
                        device,
                        HopStage::Link,
                        title,
                        words,
                        vec![],
                        &at,
                        &at,
                        HopVerdict::Passes,
                    );
                    self.outer.clear();
                    packet.in_interface = device.into();
                }
                self.enter(to, None, packet)
            }
            None if GATEWAY.parse() == Ok(packet.destination) => self.receive(Spot::Outside, packet),
            None => {
                let words = "It leaves the cluster for the rest of the world.";
                self.hop(
                    Spot::Outside,
                    "",
                    HopStage::Receive,
                    "outside",
                    words,
                    vec![],
                    &at,
                    &at,
                    HopVerdict::Delivered,
                );
                End::LeftTheCluster
            }
        }
    }
}
