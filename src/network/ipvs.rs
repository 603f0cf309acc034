//! The virtual servers of a node's kernel: IPVS.
//!
//! Picture to hold in mind: a switchboard with a row of public numbers. A call for one of them is put through to one of
//! the telephones behind it; who has to stay with one telephone is found in a list.
//!
//! After ipvsadm(8) and the kernel's `net/netfilter/ipvs`. `rr` and `wrr` take turns, `sh` and `mh` go by the source, and
//! the other schedulers draw lots by the packet. Turns are counted by conversations that have begun, so that who only
//! follows a packet moves nothing.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;
use crate::arrange::Arrange;

use super::kernel::{Connection, Kernel};
use super::netfilter::Restore;
use super::netfilter::walk::Node;
use super::packet::{Packet, Protocol};

/// The device that has the addresses of virtual servers.
pub const DEVICE: &str = "kube-ipvs0";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualServer {
    /// `None`: every address of the node, as for node ports.
    pub address: Option<IpAddr>,
    pub protocol: Protocol,
    pub port: u16,
    pub scheduler: Text,
    /// A source stays with its real server so long (`persistent`).
    pub persistent_seconds: Option<u32>,
    /// Real servers, all of weight 1, reached by address translation.
    pub real: Vec<(IpAddr, u16)>,
    /// Those that are to go, of weight 0: they get no new conversation, and stay until the last one is over
    /// (kube-proxy's `graceful_termination.go`: of TCP only).
    pub leaving: Vec<(IpAddr, u16)>,
}

/// What `ipvsadm -Ln` prints where there are none.
pub const NO_SERVERS: &str = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n";

/// A packet at the switchboard.
pub struct Balanced {
    /// The virtual server, as `ipvsadm -Ln` prints it, and the real one chosen.
    pub lines: Vec<String>,
    /// `None`: there is no real server.
    pub to: Option<(IpAddr, u16)>,
    /// The list by which the source stays with it.
    pub remembered: Option<Text>,
}

impl VirtualServer {
    fn line(&self, address: IpAddr) -> String {
        let mut text = format!(
            "{:<4} {} {}",
            self.protocol.upper_name(),
            std::net::SocketAddr::new(address, self.port),
            self.scheduler
        );
        if let Some(seconds) = self.persistent_seconds {
            text += &format!(" persistent {seconds}");
        }
        if self.scheduler == "mh" {
            text += " (flag-1)";
        }
        text
    }
}

fn real_line((address, port): (IpAddr, u16), weight: u8) -> String {
    format!("  -> {:<28} Masq    {weight}", std::net::SocketAddr::new(address, port).to_string())
}

/// Of a virtual server.
fn place(packet: &Packet) -> (IpAddr, u16, Protocol) {
    (packet.destination, packet.destination_port, packet.protocol)
}

impl Kernel {
    /// Whom a packet is for.
    fn server(&self, packet: &Packet) -> Option<&VirtualServer> {
        let mut servers = self.rules.servers().iter();
        let found = servers.find(|server| {
            server.protocol == packet.protocol
                && server.port == packet.destination_port
                && match server.address {
                    Some(address) => address == packet.destination,
                    None => self.has(packet.destination),
                }
        });
        found.map(|server| &**server)
    }
    /// A conversation has begun: the next real server's turn has come.
    pub(super) fn take_turn(&mut self, packet: &Packet) {
        if self.server(packet).is_some() {
            *self.turns.entry(&place(packet), || 0) += 1;
        }
    }
    /// `None`: no virtual server has this address and port. `ahead`: turns that are thought to have been taken besides.
    pub fn balance(&self, packet: &Packet, ahead: u32) -> Option<Balanced> {
        let server = self.server(packet)?;
        let list = |real: (IpAddr, u16)| -> Text {
            arcstr::format!("{}:{} {}:{}", packet.destination, server.port, real.0, real.1)
        };
        let lot = match server.scheduler.as_str() {
            "rr" | "wrr" => self.turns.get(&place(packet)).copied().unwrap_or(0).wrapping_add(ahead),
            "sh" | "mh" => (Packet { source_port: 0, ..packet.clone() }.lot(2) >> 33) as u32,
            _ => (packet.lot(2) >> 33) as u32,
        };
        let drawn = || server.real.get(lot as usize % server.real.len().max(1)).copied();
        let kept = server.persistent_seconds.and_then(|seconds| {
            server.real.iter().copied().find(|real| self.is_recent(&list(*real), packet.source, seconds))
        });
        let to = kept.or_else(drawn);
        Some(Balanced {
            lines: [server.line(packet.destination)]
                .into_iter()
                .chain(to.map(|to| real_line(to, 1)))
                .collect(),
            to,
            remembered: to.filter(|_| server.persistent_seconds.is_some()).map(list),
        })
    }
    fn is_remembered(&self, one: &Connection) -> bool {
        self.now.since(one.seen_at).as_secs() < one.timeout_seconds()
    }
    /// Whether a real server has a conversation that is remembered still.
    fn is_talking(&self, server: &VirtualServer, real: (IpAddr, u16)) -> bool {
        self.connections.iter().any(|one| {
            one.original.protocol == server.protocol
                && one.original.destination_port == server.port
                && server.address.is_none_or(|address| address == one.original.destination)
                && (one.reply.source, one.reply.source_port) == real
                && self.is_remembered(one)
        })
    }
    /// Takes over what kube-proxy hands over; real servers that it no longer names end gracefully.
    pub fn restore(&mut self, restore: &Restore) {
        let before = self.rules.servers().to_vec();
        self.rules.restore(restore);
        let Some(servers) = restore.servers.as_ref().filter(|_| !before.is_empty()) else { return };
        let place = |server: &VirtualServer| (server.address, server.port, server.protocol);
        let mut servers = servers.clone();
        // Both are in the order of the services: the next one's is mostly the next.
        let mut next = 0;
        for server in servers.iter_mut().filter(|server| server.protocol == Protocol::Tcp) {
            let (passed, ahead) = before.split_at(next.min(before.len()));
            let found = ahead.iter().chain(passed).position(|old| place(old) == place(server));
            let Some(found) = found else { continue };
            next = (next + found) % before.len() + 1;
            let old = &before[next - 1];
            let gone = old.real.iter().chain(&old.leaving).copied();
            let leaving: Vec<(IpAddr, u16)> =
                gone.filter(|real| !server.real.contains(real) && self.is_talking(server, *real)).collect();
            if !leaving.is_empty() {
                Arc::make_mut(server).leaving = leaving;
            }
        }
        self.rules.set_servers(servers);
    }
    /// Whether a virtual server has it, and the node itself has not.
    pub fn is_virtual(&self, address: IpAddr) -> bool {
        !self.has(address) && self.rules.servers().iter().any(|server| server.address == Some(address))
    }
    /// The addresses of [`DEVICE`], each once.
    pub fn virtual_addresses(&self) -> Vec<IpAddr> {
        let addresses = self.rules.servers().iter().filter_map(|server| server.address);
        let mut all: Vec<IpAddr> = addresses.filter(|address| !self.has(*address)).collect();
        all.arrange_by(IpAddr::cmp);
        all.dedup();
        all
    }
    /// `ipvsadm -Ln`.
    pub fn show_servers(&self) -> String {
        let mut text = String::from(NO_SERVERS);
        for server in self.rules.servers() {
            let own = || {
                let bridges = self.bridge.iter().flat_map(|bridge| &bridge.addresses);
                self.address.into_iter().chain(bridges.map(|(address, _)| *address)).collect()
            };
            let addresses: Vec<IpAddr> = server.address.map_or_else(own, |address| vec![address]);
            for address in addresses {
                text += &server.line(address);
                text.push('\n');
                let leaving = server.leaving.iter().filter(|real| self.is_talking(server, **real));
                let all = server.real.iter().map(|real| (real, 1)).chain(leaving.map(|real| (real, 0)));
                for (real, weight) in all {
                    let is_its = |one: &&Connection| {
                        (one.original.destination, one.original.destination_port) == (address, server.port)
                            && (one.reply.source, one.reply.source_port) == *real
                            && self.is_remembered(one)
                    };
                    // Conntrack may know of more, from before there was a virtual server.
                    let taken = self.turns.get(&(address, server.port, server.protocol));
                    let over = self.connections.iter().filter(is_its).count();
                    let over = over.min(taken.map_or(0, |taken| *taken as usize));
                    text += &format!("{}      0          {over:<10}\n", real_line(*real, weight));
                }
            }
        }
        text
    }
}
