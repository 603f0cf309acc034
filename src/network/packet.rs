//! A packet, as far as rules and routes look at it.
//!
//! Picture to hold in mind: an envelope. Addresses on both sides, a stamp for the protocol, and in pencil the
//! mark that only the present house's own clerks read.

use core::net::IpAddr;

use crate::api::Text;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
    Icmp,
    /// A packet in a packet, which no program here sends.
    IpInIp,
}

impl Protocol {
    /// `TCP` as the API writes it, in whatever case.
    pub fn parse(text: &str) -> Option<Protocol> {
        const ALL: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];
        ALL.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(text))
    }
    /// `tcp`, as iptables writes it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
            Protocol::Icmp => "icmp",
            Protocol::IpInIp => "ipencap",
        }
    }
    /// `TCP`, as the API writes it.
    pub fn upper_name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
            Protocol::Icmp => "ICMP",
            Protocol::IpInIp => "IP-ENCAP",
        }
    }
    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
            Protocol::Icmp => 1,
            Protocol::IpInIp => 4,
        }
    }
}

/// What conntrack says of a packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    New,
    /// Another packet of who began it, over a connection that is kept.
    Further,
    /// An answer.
    Established,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub protocol: Protocol,
    pub source: IpAddr,
    /// 0 where the protocol has none.
    pub source_port: u16,
    pub destination: IpAddr,
    pub destination_port: u16,
    pub mark: u32,
    pub state: ConnectionState,
    /// Its connection's destination was translated.
    pub is_dnat: bool,
    /// Empty where it did not come in, or has not been routed.
    pub in_interface: Text,
    pub out_interface: Text,
}

impl Packet {
    pub fn new(protocol: Protocol, source: (IpAddr, u16), destination: (IpAddr, u16)) -> Packet {
        Packet {
            protocol,
            source: source.0,
            source_port: source.1,
            destination: destination.0,
            destination_port: destination.1,
            mark: 0,
            state: ConnectionState::New,
            is_dnat: false,
            in_interface: Text::new(),
            out_interface: Text::new(),
        }
    }
    /// From and to the same addresses and ports.
    pub fn has_sides_of(&self, other: &Packet) -> bool {
        let sides = |one: &Packet| (one.source, one.source_port, one.destination, one.destination_port);
        sides(self) == sides(other)
    }
    /// The answer to it, with nothing in pencil.
    pub fn reply(&self) -> Packet {
        let (source, destination) =
            ((self.destination, self.destination_port), (self.source, self.source_port));
        Packet { state: ConnectionState::Established, ..Packet::new(self.protocol, source, destination) }
    }
    /// A number that looks drawn by lot, but is equal for equal packets: what the kernel's random generator is
    /// here, so that whoever follows the same packet twice sees it go the same way.
    pub fn lot(&self, salt: u64) -> u64 {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => {
                let bits = u128::from(v6);
                (bits as u64) ^ ((bits >> 64) as u64)
            }
        };
        let ports = (u64::from(self.source_port) << 16) | u64::from(self.destination_port);
        let words = [bits(self.source), bits(self.destination), ports, u64::from(self.protocol.number())];
        words.into_iter().fold(mix(salt), |held, word| mix(held ^ word))
    }
}

/// The finalizer of SplitMix64: every bit of the input changes half of the output's.
fn mix(word: u64) -> u64 {
    let mut word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
