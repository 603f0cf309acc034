//! Sets of addresses in the kernel, which rules refer to by name.
//!
//! Picture to hold in mind: the guest list at the door. The rule says "who is on the list may pass"; the list is
//! changed without a word of the rule being touched.
//!
//! After ipset(8) and the kernel's `net/netfilter/ipset`.

use core::net::IpAddr;

use crate::api::Text;
use crate::network::ipam::Cidr;
use crate::network::packet::{Packet, Protocol};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpSet {
    pub name: Text,
    /// `hash:ip`, `hash:net`, or one with ports in it: `hash:ip,port`, `bitmap:port` ...
    pub kind: &'static str,
    /// Addresses and ranges, and whether the set leaves them out of a larger one (`nomatch`).
    pub entries: Vec<(Cidr, bool)>,
    pub ports: Vec<PortEntry>,
}

/// An entry of a set with ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortEntry {
    /// Of the destination; `None` in a `bitmap:port`.
    pub address: Option<IpAddr>,
    pub protocol: Protocol,
    pub port: u16,
    /// Of the source.
    pub other: Option<Cidr>,
}

impl IpSet {
    /// Of the ranges that hold `address` the smallest decides.
    pub fn contains(&self, address: IpAddr) -> bool {
        let holding = self.entries.iter().filter(|(range, _)| range.contains(address));
        holding.max_by_key(|(range, _)| range.prefix_length()).is_some_and(|(_, is_left_out)| !is_left_out)
    }
    /// Whether what `by` names (`src`, `dst`, `dst,dst,src`) of a packet is in it.
    pub fn has(&self, packet: &Packet, by: &str) -> bool {
        let address = if by.starts_with("src") { packet.source } else { packet.destination };
        let is_it = |one: &PortEntry| {
            one.protocol == packet.protocol
                && one.port == packet.destination_port
                && one.address.is_none_or(|own| own == address)
                && one.other.is_none_or(|range| range.contains(packet.source))
        };
        self.contains(address) || self.ports.iter().any(is_it)
    }
    /// As `ipset list` prints it.
    pub fn list(&self) -> String {
        // kube-router gives its sets a lifetime, and kube-proxy gives none.
        let (plain, six) = match self.name.strip_prefix("inet6:") {
            Some(plain) => (plain, "6"),
            None => (self.name.as_str(), ""),
        };
        let lifetime = match plain.starts_with("KUBE-SRC") || plain.starts_with("KUBE-DST") {
            true => " timeout 0",
            false => "",
        };
        let header = match self.kind {
            "bitmap:port" => "range 0-65535".to_string(),
            _ => format!("family inet{six} hashsize 1024 maxelem 65536{lifetime}"),
        };
        let mut text = format!(
            "Name: {}\nType: {}\nHeader: {header}\nNumber of entries: {}\nMembers:\n",
            self.name,
            self.kind,
            self.entries.len() + self.ports.len(),
        );
        for (range, is_left_out) in &self.entries {
            text += &short(*range);
            text += lifetime;
            text += if *is_left_out { " nomatch\n" } else { "\n" };
        }
        for one in &self.ports {
            text += &match (one.address, one.other) {
                (None, _) => one.port.to_string(),
                (Some(address), None) => format!("{address},{}:{}", one.protocol.name(), one.port),
                (Some(address), Some(other)) => {
                    format!("{address},{}:{},{}", one.protocol.name(), one.port, short(other))
                }
            };
            text.push('\n');
        }
        text
    }
}

/// A range, or the one address that it is.
pub(super) fn short(range: Cidr) -> String {
    let address = range.address(0);
    if range == Cidr::one(address) { address.to_string() } else { range.to_string() }
}
