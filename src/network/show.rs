//! A node's network as its own tools print it: `ip addr`, `ip route`, `ip neigh`, `bridge fdb`, `conntrack -L`.
//!
//! Picture to hold in mind: five windows in the junction box, each showing the one thing inside from another side.
//!
//! The forms are iproute2's and conntrack-tools'.

use core::net::IpAddr;

use super::bandwidth::no_queue;
use super::cni::{Attachment, CALICO_GATEWAY, CALICO_GATEWAY_6};
use super::ipam::Cidr;
use super::ipvs::DEVICE;
use super::kernel::{Connection, Kernel, MACHINES, RemoteRange, TUNNEL_PORT, UPLINK, link_local, tunnel_of};
use super::packet::{Packet, Protocol};
use crate::arrange::Gather;
use crate::sim::Time;

const LOOPBACK: &str = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n";

/// The hardware address of an interface with an address: four bytes of it behind two that say whose it is.
pub fn hardware_address(prefix: &str, address: IpAddr) -> String {
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            [octets[12], octets[13], octets[14], octets[15]]
        }
    };
    format!("{prefix}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3])
}

fn machine_mac(address: IpAddr) -> String {
    hardware_address("52:54", address)
}
/// Of a machine's tunnel device.
fn tunnel_mac(machine: IpAddr) -> String {
    hardware_address("82:f1", machine)
}
fn bridge_mac(address: IpAddr) -> String {
    hardware_address("0a:58", address)
}

fn interface(
    text: &mut String,
    (head, mtu): (&str, u32),
    mac: &str,
    master: &str,
    addresses: &[(IpAddr, u8)],
    name: &str,
) {
    let master = if master.is_empty() { String::new() } else { format!(" master {master}") };
    *text += &format!(
        "{head}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu {mtu} qdisc noqueue{master} state UP group default qlen 1000\n    link/ether {mac} brd ff:ff:ff:ff:ff:ff\n"
    );
    for (address, length) in addresses {
        let family = if address.is_ipv6() { "inet6" } else { "inet" };
        *text += &format!(
            "    {family} {address}/{length} scope global {name}\n       valid_lft forever preferred_lft forever\n"
        );
    }
}

impl Kernel {
    /// `ip addr` on the node; `is_detailed`: `ip -d`.
    pub fn show_addresses<'a>(
        &self,
        pods: impl Iterator<Item = &'a Attachment>,
        is_detailed: bool,
    ) -> String {
        let mut text = LOOPBACK.to_string();
        if let Some(address) = self.address {
            let length = MACHINES.rsplit('/').next().and_then(|length| length.parse().ok()).unwrap_or(16);
            let head = format!("2: {UPLINK}");
            interface(&mut text, (&head, 1500), &machine_mac(address), "", &[(address, length)], UPLINK);
            if self.ranges.iter().any(|range| range.is_ipv6()) {
                text += &format!(
                    "    inet6 {}/64 scope link \n       valid_lft forever preferred_lft forever\n",
                    link_local(address)
                );
            }
            for (number, own_address) in
                self.tunnel.iter().flat_map(|tunnel| tunnel.addresses.iter().enumerate())
            {
                let name = tunnel_of(*own_address);
                let head = format!(
                    "{}: {name}",
                    self.tunnel.as_ref().map_or(0, |tunnel| tunnel.index) + number as u32
                );
                let mut own = String::new();
                let addresses = [(*own_address, Cidr::one(*own_address).prefix_length())];
                interface(&mut own, (&head, 1450), &tunnel_mac(address), "", &addresses, name);
                if is_detailed {
                    let details = format!(
                        "ff:ff:ff:ff:ff:ff\n    vxlan id 1 local {address} dev {UPLINK} srcport 0 0 dstport {TUNNEL_PORT} nolearning ttl auto ageing 300 udpcsum"
                    );
                    own = own.replacen("ff:ff:ff:ff:ff:ff", &details, 1);
                }
                text += &own;
            }
        }
        let mut pods = pods.peekable();
        let mtu = pods.peek().map_or(1500, |pod| pod.mtu);
        let mut master = "";
        if let Some(bridge) = &self.bridge {
            let mac = bridge.addresses.first().map_or(String::new(), |(address, _)| bridge_mac(*address));
            let head = format!("{}: {}", bridge.index, bridge.name);
            interface(&mut text, (&head, mtu), &mac, "", &bridge.addresses, &bridge.name);
            master = &bridge.name;
        }
        for pod in pods {
            let head = format!("{}: {}@if2", pod.host_index, pod.host_interface);
            let mac = match pod.addresses.first() {
                Some(_) if pod.gateways.contains(&CALICO_GATEWAY) => PROXY_MAC.to_string(),
                Some(address) => hardware_address("be:ef", *address),
                None => String::new(),
            };
            let master = if pod.bridge.is_empty() { "" } else { master };
            let before = text.len();
            interface(&mut text, (&head, pod.mtu), &mac, master, &[], "");
            let [into, out] = &pod.limits;
            if into.bits_per_second > 0 {
                text = text[..before].to_string() + &text[before..].replace("noqueue", "tbf");
            }
            if out.bits_per_second > 0 {
                // Its number is the next: nothing else is there yet when the plugin makes it.
                text += &format!(
                    "{}: {}: <BROADCAST,NOARP,UP,LOWER_UP> mtu {} qdisc tbf state UNKNOWN group default qlen 32\n    link/ether {} brd ff:ff:ff:ff:ff:ff\n",
                    pod.host_index + 1,
                    pod.shaping_device(),
                    pod.mtu,
                    pod.mac.replacen("0a:58", "be:f0", 1)
                );
            }
        }
        let virtual_addresses = self.virtual_addresses();
        if !virtual_addresses.is_empty() {
            text += &format!(
                "{}: {DEVICE}: <BROADCAST,NOARP> mtu 1500 qdisc noop state DOWN group default \n    link/ether 0a:58:00:00:00:00 brd ff:ff:ff:ff:ff:ff\n",
                self.next_index
            );
            for address in virtual_addresses {
                text += &format!(
                    "    inet {address}/32 scope global {DEVICE}\n       valid_lft forever preferred_lft forever\n"
                );
            }
        }
        text
    }
    /// `tc qdisc show` on the node.
    pub fn show_queues<'a>(&self, pods: impl Iterator<Item = &'a Attachment>) -> String {
        let mut text = no_queue("lo") + &no_queue(UPLINK);
        if let Some(bridge) = &self.bridge {
            text.push_str(&no_queue(&bridge.name));
        }
        pods.for_each(|pod| pod.show_queues(&mut text));
        text
    }
    /// `ip route` on the node.
    pub fn show_routes<'a>(&self, pods: impl Iterator<Item = &'a Attachment>) -> String {
        self.table(pods).iter().map(|(_, route)| format!("{} \n", route.line)).collect()
    }
    /// `ip neigh` on the node: its pods, and the machines that it has heard of.
    pub fn show_neighbours<'a>(&self, pods: impl Iterator<Item = &'a Attachment>) -> String {
        let mut text = String::new();
        for pod in pods {
            let interface = if pod.bridge.is_empty() { &pod.host_interface } else { &pod.bridge };
            for address in &pod.addresses {
                text += &format!("{address} dev {interface} lladdr {} REACHABLE \n", pod.mac);
            }
        }
        for other in self.neighbours.iter() {
            let state = if self.has_heard(&other.name) { "REACHABLE" } else { "STALE" };
            let mac = machine_mac(other.address);
            text += &format!("{} dev {UPLINK} lladdr {mac} {state} \n", other.address);
        }
        for one in self.tunnel.iter().flat_map(|tunnel| &tunnel.peers) {
            text.push_str(&tunnel_neighbour(one));
            text.push('\n');
        }
        text
    }
    /// `conntrack -L` on the node, and what it says on the standard error stream.
    pub fn show_connections(&self, now: Time) -> (String, String) {
        let lines: Vec<String> = self.connections.iter().filter_map(|one| one.show(now)).gather();
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        (text, shown(lines.len()))
    }
}

/// The node's end of every cable of the plugin `calico`.
const PROXY_MAC: &str = "ee:ee:ee:ee:ee:ee";

/// What flanneld writes of a peer, so that nobody needs to ask on the wire.
pub fn tunnel_neighbour(peer: &RemoteRange) -> String {
    let first = peer.range.address(0);
    format!("{first} dev {} lladdr {} PERMANENT ", tunnel_of(first), tunnel_mac(peer.via))
}
pub fn tunnel_forwarding(peer: &RemoteRange) -> String {
    let device = tunnel_of(peer.range.address(0));
    format!("{} dev {device} dst {} self permanent", tunnel_mac(peer.via), peer.via)
}

fn shown(count: usize) -> String {
    format!("conntrack v1.4.8 (conntrack-tools): {count} flow entries have been shown.\n")
}
/// What `conntrack -L` says in a network in which nothing is tracked.
pub fn no_connections() -> String {
    shown(0)
}

impl Connection {
    /// `None`: it is over and forgotten.
    fn show(&self, now: Time) -> Option<String> {
        let age = now.since(self.seen_at).as_secs();
        let left = self.timeout_seconds().checked_sub(age)?;
        let side = |packet: &Packet| {
            let ports = match packet.protocol {
                Protocol::Icmp => " type=8 code=0 id=1".to_string(),
                _ => format!(" sport={} dport={}", packet.source_port, packet.destination_port),
            };
            format!("src={} dst={}{ports}", packet.source, packet.destination)
        };
        // `nf_conntrack_tcp_timeout_established`: what is kept and no longer used counts as closed here.
        let left = if self.is_kept { 432_000 - age } else { left };
        let state = match (self.original.protocol, self.is_answered) {
            (Protocol::Tcp, true) if self.is_kept => "ESTABLISHED ",
            (Protocol::Tcp, true) => "TIME_WAIT ",
            (Protocol::Tcp, false) => "SYN_SENT ",
            _ => "",
        };
        let (unreplied, assured) = match self.is_answered {
            true => ("", " [ASSURED]"),
            false => (" [UNREPLIED]", ""),
        };
        let protocol = self.original.protocol;
        Some(format!(
            "{:<8} {} {left} {state}{}{unreplied} {}{assured} mark=0 use=1",
            protocol.name(),
            protocol.number(),
            side(&self.original),
            side(&self.reply)
        ))
    }
}

impl Attachment {
    /// `ip addr` in the pod.
    pub fn show_addresses(&self) -> String {
        let mut text = LOOPBACK.to_string();
        let addresses: Vec<(IpAddr, u8)> =
            self.addresses.iter().copied().zip(self.prefix_lengths.iter().copied()).collect();
        let head = format!("2: {}@if{}", self.interface, self.host_index);
        interface(&mut text, (&head, self.mtu), &self.mac, "", &addresses, &self.interface);
        text
    }
    /// `ip neigh` in the pod: the gateway.
    pub fn show_neighbours(&self) -> String {
        let line = |gateway: &IpAddr| {
            let mac = if matches!(*gateway, CALICO_GATEWAY | CALICO_GATEWAY_6) {
                PROXY_MAC.into()
            } else {
                bridge_mac(*gateway)
            };
            format!("{gateway} dev {} lladdr {mac} REACHABLE \n", self.interface)
        };
        self.gateways.iter().map(line).collect()
    }
}
