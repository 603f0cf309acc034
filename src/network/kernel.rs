//! The network of one node's kernel: interfaces, routes, rules, connections.
//!
//! Picture to hold in mind: the junction box in the basement. Cables come in from the street (`eth0`) and from every
//! flat (the veth pairs on the bridge); a table on the door says which cable an address is reached by, and a
//! notebook remembers the conversations under way.
//!
//! Besides what the container engine and kube-proxy put here, three hands have been at it: the machine's own set-up
//! (address, default route), the kubelet (its canary and martian rules), and the node's routing agent, which tells
//! its neighbours which pod ranges live here, learns theirs, and hides pods behind the node's address when they
//! speak to the world outside of the cluster, as ip-masq-agent does.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;
use crate::arrange::{Arrange, Gather};
use crate::shared_map::SharedMap;
use crate::sim::{ActorId, Time};

use super::cni::{Attachment, CALICO_GATEWAY, Network};
use super::ipam::Cidr;
use super::ipvs::DEVICE;
use super::netfilter::walk::Node;
use super::netfilter::{Match, Not, Rule, RuleSet, Table, Target};
use super::packet::{Packet, Protocol};
use super::proxy::iptables::{KUBELET_FIREWALL, martian_rule};

/// The network card.
pub const UPLINK: &str = "eth0";
/// Addresses of the machines' own network; the gateway is its first.
pub const MACHINES: &str = "192.168.0.0/16";
pub const GATEWAY: &str = "192.168.56.1";

/// Who tells the machines of one another's ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// The machine's own routing agent.
    Machine,
    /// Nobody yet: a network add-on has to.
    Nobody,
    /// Flannel's, which wraps what goes from machine to machine.
    Flanneld,
    /// Calico's, by BGP.
    Bird,
}

/// A machine on the same wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub name: Text,
    pub address: IpAddr,
    /// Who keeps its kernel.
    pub actor: ActorId,
}

/// A neighbour that has told its ranges since this node told its own.
#[derive(Clone, Debug)]
pub struct Heard {
    pub node: Text,
    pub since: Time,
    /// When it last said anything.
    pub last: Time,
}

/// A range that lives on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRange {
    pub range: Cidr,
    pub node: Text,
    pub via: IpAddr,
}

/// Flannel's tunnel device, and the port on which its packets go from machine to machine (Linux' own for VXLAN).
pub const TUNNEL: &str = "flannel.1";
pub const TUNNEL_PORT: u16 = 8472;

/// The same for packets of IPv6.
pub const TUNNEL_6: &str = "flannel-v6.1";

/// What flanneld has told the kernel: which frames are wrapped, and to whom they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    pub index: u32,
    /// The devices' own, one of each family: the first of the node's range.
    pub addresses: Vec<IpAddr>,
    pub peers: Vec<RemoteRange>,
}

/// The bridge that the plugin makes for the first pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub name: Text,
    pub index: u32,
    /// The pods' gateway: address and prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// A frame may leave by the port it came in on: `promiscMode`, or `hairpinMode`.
    pub reflects: bool,
}

/// A conversation as conntrack remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// As the first packet came, and as answers to it come.
    pub original: Packet,
    pub reply: Packet,
    pub seen_at: Time,
    /// An answer has come by.
    pub is_answered: bool,
    /// It is kept, and used again and again.
    pub is_kept: bool,
}

/// TIME_WAIT of TCP, and what UDP and ICMP are remembered for, in seconds (`nf_conntrack_*_timeout`).
impl Connection {
    pub fn timeout_seconds(&self) -> u64 {
        match (self.original.protocol, self.is_answered) {
            (Protocol::Tcp | Protocol::Sctp, _) => 120,
            (Protocol::Udp, true) => 120,
            _ => 30,
        }
    }
}

/// Connections that are remembered at most.
const CONNECTIONS: usize = 512;

#[derive(Clone, Debug)]
pub struct Kernel {
    pub node: Text,
    /// Of the network card.
    pub address: Option<IpAddr>,
    /// The pods of all nodes.
    pub cluster_range: Option<Cidr>,
    pub rules: RuleSet,
    pub bridge: Option<Bridge>,
    /// The pods of this node.
    pub ranges: Vec<Cidr>,
    pub remote: Arc<Vec<RemoteRange>>,
    pub tunnel: Option<Arc<Tunnel>>,
    /// Who tells the neighbours which ranges are here, and hears of theirs.
    pub agent: Agent,
    /// The same when the machine is switched on.
    first_agent: Agent,
    pub neighbours: Arc<Vec<Neighbour>>,
    /// Addresses of load balancers, and the nodes that take in what is sent there.
    pub announced: Arc<Vec<(IpAddr, Text)>>,
    /// Who has to be told of them besides the neighbours.
    pub outside: Option<ActorId>,
    pub heard: Arc<Vec<Heard>>,
    /// Sessions of BGP that have ended by silence, and when.
    pub lost: Arc<Vec<(Text, Time)>>,
    /// By list and source: when it was last seen (`-m recent`).
    recent: SharedMap<(Text, IpAddr), Time>,
    pub connections: Arc<Vec<Connection>>,
    /// Of virtual servers: how many conversations each has put through.
    pub(super) turns: SharedMap<(IpAddr, u16, Protocol), u32>,
    pub(super) next_index: u32,
    /// For `-m recent`: the present instant of whoever walks the rules.
    pub now: Time,
}

impl Kernel {
    /// A machine that was just switched on.
    pub fn new(node: &str, address: Option<IpAddr>, cluster_range: Option<Cidr>, agent: Agent) -> Kernel {
        let mut kernel = Kernel {
            node: node.into(),
            address,
            cluster_range,
            rules: RuleSet::default(),
            bridge: None,
            ranges: Vec::new(),
            remote: Arc::default(),
            tunnel: None,
            agent,
            first_agent: agent,
            neighbours: Arc::default(),
            announced: Arc::default(),
            outside: None,
            heard: Arc::default(),
            lost: Arc::default(),
            recent: SharedMap::default(),
            connections: Arc::default(),
            turns: SharedMap::default(),
            // After `lo` and the network card.
            next_index: 3,
            now: Time::ZERO,
        };
        if address.is_some() {
            kernel.write_own_rules();
        }
        kernel
    }
    /// The power fails: only the wires stay.
    pub fn lose_power(&mut self) {
        let (neighbours, announced) = (self.neighbours.clone(), self.announced.clone());
        let new = Kernel::new(&self.node, self.address, self.cluster_range, self.first_agent);
        *self = Kernel { neighbours, announced, outside: self.outside, ..new };
    }

    /// What the kubelet writes when it starts (`kubelet_network_linux.go`), and the routing agent.
    fn write_own_rules(&mut self) {
        let rules = &mut self.rules;
        rules.set(Table::Mangle, "KUBE-IPTABLES-HINT".into(), Some(Arc::default()));
        for table in [Table::Mangle, Table::Nat, Table::Filter] {
            rules.set(table, "KUBE-KUBELET-CANARY".into(), Some(Arc::default()));
        }
        rules.append(Table::Filter, KUBELET_FIREWALL, martian_rule());
        for chain in ["INPUT", "OUTPUT"] {
            rules.append(Table::Filter, chain, Rule::jump(KUBELET_FIREWALL));
        }
        let Some(pods) = self.cluster_range else { return };
        let ensure = "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ chain";
        let stays = "ip-masq-agent: local traffic is not subject to MASQUERADE";
        let leaves = "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)";
        rules.append(
            Table::Nat,
            "POSTROUTING",
            Rule::jump("IP-MASQ").comment(ensure).when(Match::DestinationLocal { is_negated: true }),
        );
        rules.append(Table::Nat, "IP-MASQ", Rule::with(Target::Return).to(Not::is(pods)).comment(stays));
        rules.append(
            Table::Nat,
            "IP-MASQ",
            // Only pods need it: the node's own packets carry the node's address already.
            Rule::with(Target::Masquerade { is_random: false }).from(Not::is(pods)).comment(leaves),
        );
    }

    /// Why the bridge plugin cannot use the bridge that is there.
    pub fn bridge_error(&self, network: &Network) -> Option<String> {
        let bridge = self.bridge.as_ref().filter(|bridge| bridge.name == network.bridge)?;
        let wanted =
            network.ipam.iter().map(|ledger| (ledger.range().gateway(), ledger.range().prefix_length()));
        let mut strange = wanted.filter(|wanted| {
            let of_family = |own: &&(IpAddr, u8)| own.0.is_ipv4() == wanted.0.is_ipv4();
            bridge.addresses.iter().filter(of_family).any(|own| own != wanted)
        });
        let (address, length) = strange.next()?;
        let name = &bridge.name;
        Some(format!(
            "plugin type=\"bridge\" failed (add): failed to set bridge addr: \"{name}\" already has an IP address different from {address}/{length}"
        ))
    }
    /// The plugin has connected a sandbox: the bridge is there from the first one on, and the node's end of the
    /// pair has a number.
    pub fn attach(&mut self, network: &Network, attachment: &mut Attachment) {
        if self.bridge.is_none() && !network.bridge.is_empty() {
            let addresses =
                attachment.gateways.iter().copied().zip(attachment.prefix_lengths.iter().copied());
            let plugin = network.plugin_config();
            self.bridge = Some(Bridge {
                name: network.bridge.clone(),
                index: self.take_index(),
                addresses: addresses.collect(),
                reflects: plugin.is_true("promiscMode") || plugin.is_true("hairpinMode"),
            });
        }
        attachment.host_index = self.take_index();
        if attachment.limits[1].bits_per_second > 0 {
            self.take_index();
        }
    }
    fn take_index(&mut self) -> u32 {
        self.next_index += 1;
        self.next_index - 1
    }

    /// A neighbour tells which ranges live there; what it told before is forgotten.
    pub fn learn_ranges(&mut self, node: &str, via: IpAddr, ranges: &[Text], now: Time) {
        let known = self.tunnel.as_ref().map_or(&*self.remote, |tunnel| &tunnel.peers);
        let mut remote: Vec<RemoteRange> = known.iter().filter(|one| one.node != node).cloned().gather();
        for range in ranges.iter().filter_map(|range| Cidr::parse(range)) {
            remote.push(RemoteRange { range, node: node.into(), via });
        }
        remote.arrange_by(|a, b| a.range.to_string().cmp(&b.range.to_string()));
        match &mut self.tunnel {
            Some(tunnel) => Arc::make_mut(tunnel).peers = remote,
            None => self.remote = Arc::new(remote),
        }
        if !self.has_heard(node) {
            Arc::make_mut(&mut self.heard).push(Heard { node: node.into(), since: now, last: now });
            Arc::make_mut(&mut self.lost).retain(|(lost, _)| lost != node);
        }
        self.hear(node, now);
    }
    /// A neighbour is still there.
    pub fn hear(&mut self, node: &str, now: Time) {
        if let Some(one) = Arc::make_mut(&mut self.heard).iter_mut().find(|one| one.node == node) {
            one.last = now;
        }
    }
    /// Its session has ended: what it has told is forgotten.
    pub fn lose(&mut self, node: &str, now: Time) {
        Arc::make_mut(&mut self.heard).retain(|one| one.node != node);
        Arc::make_mut(&mut self.remote).retain(|one| one.node != node);
        Arc::make_mut(&mut self.lost).push((node.into(), now));
    }
    pub fn has_heard(&self, node: &str) -> bool {
        self.heard.iter().any(|one| one.node == node)
    }
    /// flanneld begins: what the node knew of ranges elsewhere gives way to the tunnel.
    pub fn open_tunnel(&mut self) {
        self.agent = Agent::Flanneld;
        self.heard = Arc::default();
        self.remote = Arc::default();
        let addresses: Vec<IpAddr> = self.ranges.iter().map(|range| range.address(0)).collect();
        if !addresses.is_empty() && self.tunnel.as_ref().is_none_or(|tunnel| tunnel.addresses != addresses) {
            let index = self.take_index();
            self.next_index += addresses.len() as u32 - 1;
            self.tunnel = Some(Arc::new(Tunnel { index, addresses, peers: Vec::new() }));
        }
    }
    /// The device by which a packet comes in from the wire: wrapped ones come out of the tunnel.
    pub fn entrance(&self, packet: &Packet) -> &'static str {
        let is_wrapped =
            |tunnel: &Arc<Tunnel>| tunnel.peers.iter().any(|one| one.range.contains(packet.source));
        match self.tunnel.as_ref().is_some_and(is_wrapped) {
            true => tunnel_of(packet.source),
            false => UPLINK,
        }
    }
    /// An address of the network card or the bridge.
    pub fn has(&self, address: IpAddr) -> bool {
        let bridges = self.bridge.iter().flat_map(|bridge| &bridge.addresses);
        self.address == Some(address)
            || self.tunnel.as_ref().is_some_and(|tunnel| tunnel.addresses.contains(&address))
            || bridges.into_iter().any(|(own, _)| *own == address)
    }
    /// The machine that takes in what is sent to an address.
    pub fn machine_of(&self, address: IpAddr) -> IpAddr {
        let Some((_, node)) = self.announced.iter().find(|(one, _)| *one == address) else { return address };
        let other = self.neighbours.iter().find(|one| one.name == *node).map(|one| one.address);
        other.or(self.address.filter(|_| self.node == *node)).unwrap_or(address)
    }
    pub fn neighbour(&self, address: IpAddr) -> Option<&Neighbour> {
        self.neighbours.iter().find(|one| one.address == address)
    }

    /// Remembers `source` in the lists that rules named.
    pub fn remember(&mut self, lists: &[Text], source: IpAddr, now: Time) {
        for list in lists {
            self.recent.insert((list.clone(), source), now);
        }
    }
    /// An answer has come by, and is on its way to who asked.
    pub fn tick_off(&mut self, answer: &Packet) {
        let is_it = |one: &Connection| one.original.reply().has_sides_of(answer);
        if let Some(at) = self.connections.iter().rposition(is_it) {
            Arc::make_mut(&mut self.connections)[at].is_answered = true;
        }
    }
    /// Another packet of a conversation that is kept.
    pub fn see_again(&mut self, packet: &Packet, now: Time) {
        let Some(at) = self.connections.iter().rposition(|one| one.original.has_sides_of(packet)) else {
            return;
        };
        let connections = Arc::make_mut(&mut self.connections);
        let mut connection = connections.remove(at);
        (connection.seen_at, connection.is_kept) = (now, true);
        connections.push(connection);
    }
    /// Writes a conversation down; those that are over are forgotten.
    pub fn track(&mut self, connection: Connection) {
        let now = connection.seen_at;
        self.take_turn(&connection.original);
        let connections = Arc::make_mut(&mut self.connections);
        connections.retain(|one| now.since(one.seen_at).as_secs() < one.timeout_seconds());
        if connections.len() == CONNECTIONS {
            connections.remove(0);
        }
        connections.push(connection);
    }
}

impl Node for Kernel {
    fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.has(address) || self.is_virtual(address)
    }
    fn is_recent(&self, list: &str, source: IpAddr, seconds: u32) -> bool {
        let seen = self.recent.get(&(Text::from(list), source));
        seen.is_some_and(|seen| self.now.since(*seen).as_secs() < u64::from(seconds))
    }
}

/// Where the routing table sends a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the node itself.
    Local,
    /// To a pod, by the bridge or straight by its cable.
    Pods { interface: Text },
    /// To another machine on the wire: itself the destination, or the next on the way there.
    Wire { next: IpAddr },
    /// Wrapped, to the machine that unwraps it.
    Tunnel { machine: IpAddr },
}

/// The tunnel's device for packets of this family.
pub fn tunnel_of(address: IpAddr) -> &'static str {
    if address.is_ipv6() { TUNNEL_6 } else { TUNNEL }
}
/// What a machine's card calls itself on the wire in IPv6: made of its hardware address (EUI-64).
pub fn link_local(machine: IpAddr) -> String {
    let IpAddr::V4(machine) = machine else { return String::new() };
    let [a, b, c, d] = machine.octets();
    format!("fe80::5054:{a:x}ff:fe{b:02x}:{:x}", u16::from_be_bytes([c, d]))
}
/// The line of a range that is on the link itself, as the kernel writes it.
pub fn link_route(range: Cidr, device: &str, own: IpAddr) -> String {
    match own.is_ipv6() {
        // The range of one address is written as an address.
        true => format!("{range} dev {device} proto kernel metric 256 pref medium").replace("/128", ""),
        false => format!("{range} dev {device} proto kernel scope link src {own}"),
    }
}
/// The line of all other addresses.
pub fn default_route(gateway: IpAddr, device: &str) -> String {
    let tail = if gateway.is_ipv6() { " metric 1024 pref medium" } else { "" };
    format!("default via {gateway} dev {device}{tail}")
}

/// A line of the routing table, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub way: Way,
    /// As `ip route` prints it; for the node's own addresses as `ip route show table local` does.
    pub line: String,
    /// The address that packets of the node itself, or masqueraded ones, carry this way.
    pub source: Option<IpAddr>,
}

impl Kernel {
    /// The longest prefix that has `destination`; `None`: there is no way there.
    /// `pods`: the sandboxes of the node, for plugins that route to each by itself.
    pub fn route<'a>(
        &self,
        destination: IpAddr,
        pods: impl Iterator<Item = &'a Attachment>,
    ) -> Option<Route> {
        if self.is_local(destination) {
            let interface = if destination.is_loopback() {
                "lo"
            } else if self.address == Some(destination) {
                UPLINK
            } else if !self.has(destination) {
                DEVICE
            } else if self.tunnel.as_ref().is_some_and(|tunnel| tunnel.addresses.contains(&destination)) {
                tunnel_of(destination)
            } else {
                self.bridge.as_ref().map_or("", |bridge| &bridge.name)
            };
            let line =
                format!("local {destination} dev {interface} proto kernel scope host src {destination}");
            return Some(Route { way: Way::Local, line, source: Some(destination) });
        }
        let mut best: Option<(u8, Route)> = None;
        let mut offer = |range: Cidr, route: Route| {
            if range.contains(destination)
                && best.as_ref().is_none_or(|(length, _)| *length < range.prefix_length())
            {
                best = Some((range.prefix_length(), route));
            }
        };
        for (range, route) in self.table(pods) {
            offer(range, route);
        }
        best.map(|(_, route)| route)
    }

    /// The main routing table, in the order in which `ip route` prints it.
    pub fn table<'a>(&self, pods: impl Iterator<Item = &'a Attachment>) -> Vec<(Cidr, Route)> {
        let mut table = Vec::new();
        let Some(address) = self.address else { return table };
        let gateway: Option<IpAddr> = GATEWAY.parse().ok();
        if let (Some(any), Some(next)) = (Cidr::parse("0.0.0.0/0"), gateway) {
            let line = format!("default via {next} dev {UPLINK} proto static");
            table.push((any, Route { way: Way::Wire { next }, line, source: Some(address) }));
        }
        let mut rest: Vec<(Cidr, Route)> = Vec::new();
        if let Some(bridge) = &self.bridge {
            for (own, length) in &bridge.addresses {
                let Some(range) = Cidr::parse(&format!("{own}/{length}")) else { continue };
                let name = &bridge.name;
                let line = link_route(range, name, *own);
                let way = Way::Pods { interface: name.clone() };
                rest.push((range, Route { way, line, source: Some(*own) }));
            }
        }
        // BIRD tells of the whole range; of what nobody in it has, the packets end here.
        for range in self.ranges.iter().filter(|_| self.bridge.is_none() && self.agent == Agent::Bird) {
            let line = format!("blackhole {range} proto bird");
            let way = Way::Pods { interface: Text::new() };
            rest.push((*range, Route { way, line, source: Some(address) }));
        }
        // `ptp` and `calico`: a route for every pod.
        for pod in pods.filter(|pod| pod.bridge.is_empty()) {
            let scope = if pod.gateways.contains(&CALICO_GATEWAY) { "link" } else { "host" };
            for ip in &pod.addresses {
                let mut line = format!("{ip} dev {} ", pod.host_interface);
                match ip.is_ipv6() {
                    true => line.push_str("metric 1024 pref medium"),
                    false => line = line + "scope " + scope,
                }
                let way = Way::Pods { interface: pod.host_interface.clone() };
                rest.push((Cidr::one(*ip), Route { way, line, source: Some(address) }));
            }
        }
        if let Some(tunnel) = &self.tunnel {
            for one in &tunnel.peers {
                let first = one.range.address(0);
                let mut line = format!("{} via {first} dev {} onlink", one.range, tunnel_of(first));
                if first.is_ipv6() {
                    line = line.replace(" onlink", " metric 1024 onlink pref medium");
                }
                let way = Way::Tunnel { machine: one.via };
                let own = tunnel.addresses.iter().find(|own| own.is_ipv6() == first.is_ipv6());
                rest.push((one.range, Route { way, line, source: own.copied() }));
            }
        }
        for one in self.remote.iter() {
            let (mut line, mut source) =
                (format!("{} via {} dev {UPLINK} proto bird", one.range, one.via), Some(address));
            if one.range.is_ipv6() {
                let next = link_local(one.via);
                line = format!("{} via {next} dev {UPLINK} proto bird metric 1024 pref medium", one.range);
                // The card has no address of IPv6 that reaches beyond the wire.
                let own = self.bridge.iter().flat_map(|bridge| &bridge.addresses);
                source = own.map(|(own, _)| *own).find(IpAddr::is_ipv6);
            }
            rest.push((one.range, Route { way: Way::Wire { next: one.via }, line, source }));
        }
        if let Some(machines) = Cidr::parse(MACHINES) {
            // The next machine is the destination itself, which `next_on_wire` fills in.
            let line = format!("{machines} dev {UPLINK} proto kernel scope link src {address}");
            rest.push((machines, Route { way: Way::Wire { next: address }, line, source: Some(address) }));
        }
        rest.arrange_by_key(|(range, _)| range.order());
        table.extend(rest);
        table
    }

    /// The machine that gets a packet for `destination` by a route over the wire.
    pub fn next_on_wire(&self, next: IpAddr, destination: IpAddr) -> IpAddr {
        if self.address == Some(next) { destination } else { next }
    }
}
