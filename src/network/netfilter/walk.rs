//! What the rules do to a packet.
//!
//! Picture to hold in mind: a reader with a finger on the rule book. Each rule that fits is written on a slip, and
//! the slip is what can be shown afterwards: these lines, in this order, decided.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;

use super::nft;
use super::save::threshold;
use super::{Chain, CtState, Match, Not, Rule, RuleSet, Table, Target};
use crate::network::ipam::Cidr;
use crate::network::kernel::UPLINK;
use crate::network::packet::{ConnectionState, Packet, Protocol};

/// What the rules need to know of the node besides the packet.
pub trait Node {
    /// An address of one of the node's own interfaces.
    fn is_local(&self, address: IpAddr) -> bool;
    /// `source` was remembered in `list` within so many seconds.
    fn is_recent(&self, list: &str, source: IpAddr, seconds: u32) -> bool;
}

/// How it ends at one gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Reject,
    Dnat { to: IpAddr, port: u16 },
    Masquerade { is_random: bool },
}

#[derive(Clone, Debug)]
pub struct Walk {
    /// The rules that fitted, with their chains; in nftables also the elements of maps.
    pub matched: Vec<(Table, Text, Arc<Rule>)>,
    pub verdict: Verdict,
    /// Lists of `-m recent` that the source is to be remembered in.
    pub remembered: Vec<Text>,
}

impl Walk {
    /// The rules that fitted, as `iptables-save` prints them, or behind their chain as `nft list` does.
    pub fn lines(&self) -> Vec<String> {
        let line = |(table, chain, rule): &(Table, Text, Arc<Rule>)| match table {
            Table::KubeProxy => nft::line(chain, rule),
            _ => rule.save(*table, chain),
        };
        self.matched.iter().map(line).collect()
    }
}

/// ICMP types (RFC 792).
const ECHO_REPLY: u8 = 0;
pub const ECHO_REQUEST: u8 = 8;
/// Of ICMPv6 (RFC 4443), the reply's is the next.
pub const ECHO_REQUEST_6: u8 = 128;

/// Jumps into one another that are followed; the kernel refuses loops when rules are written.
const DEEPEST: usize = 16;

impl RuleSet {
    /// Takes `packet` through a built-in chain, and the chains of nftables at the same place; marks are put on it as
    /// the rules say. The policy is ACCEPT.
    pub fn walk(&self, table: Table, chain: &str, packet: &mut Packet, node: &dyn Node) -> Walk {
        let mut walk = Walk { matched: Vec::new(), verdict: Verdict::Accept, remembered: Vec::new() };
        // Of IPv6 only the filter has rules.
        let table = match table {
            _ if !packet.source.is_ipv6() => table,
            Table::Filter => Table::Filter6,
            _ => return walk,
        };
        let [before, after] = nft::beside(table, chain).map(|name| (Table::KubeProxy, name));
        for (table, name) in [before, (table, chain), after] {
            let Some(rules) = self.chain(table, name) else { continue };
            // Who accepts has accepted for his own table.
            match self.read(table, &name.into(), rules, packet, node, &mut walk, 0) {
                None | Some(Verdict::Accept) => {}
                Some(verdict) => {
                    walk.verdict = verdict;
                    break;
                }
            }
        }
        walk
    }

    /// On with the chain `to`, as far as jumps are followed.
    fn turn(
        &self,
        table: Table,
        to: &Text,
        packet: &mut Packet,
        node: &dyn Node,
        walk: &mut Walk,
        depth: usize,
    ) -> Option<Verdict> {
        let next = self.chain(table, to).filter(|_| depth < DEEPEST)?;
        self.read(table, to, next, packet, node, walk, depth + 1)
    }

    /// `None`: the chain ended, or returned.
    #[expect(clippy::too_many_arguments, reason = "the reader's whole desk, and private")]
    fn read(
        &self,
        table: Table,
        name: &Text,
        chain: &Arc<Chain>,
        packet: &mut Packet,
        node: &dyn Node,
        walk: &mut Walk,
        depth: usize,
    ) -> Option<Verdict> {
        for (index, rule) in chain.rules.iter().enumerate() {
            if !self.fits(table, rule, packet, node, (name, index)) {
                continue;
            }
            walk.matched.push((table, name.clone(), rule.clone()));
            for one in &rule.matches {
                if let Match::RecentSet { list } = one {
                    walk.remembered.push(list.clone());
                }
            }
            match rule.target.as_ref() {
                None | Some(Target::Log { .. }) => {}
                Some(Target::Accept) => return Some(Verdict::Accept),
                Some(Target::Drop) => return Some(Verdict::Drop),
                Some(Target::Reject) => return Some(Verdict::Reject),
                Some(Target::Return) => return None,
                Some(Target::MarkOr(bits)) => packet.mark |= bits,
                Some(Target::MarkXor(bits)) => packet.mark ^= bits,
                Some(Target::MarkClear(bits)) => packet.mark &= !bits,
                Some(Target::Masquerade { is_random }) => {
                    return Some(Verdict::Masquerade { is_random: *is_random });
                }
                Some(Target::Dnat { to, port }) => return Some(Verdict::Dnat { to: *to, port: *port }),
                Some(Target::Jump(to)) => {
                    let steps = walk.matched.len();
                    let verdict = self.turn(table, to, packet, node, walk, depth);
                    if verdict.is_some() {
                        return verdict;
                    }
                    // A chapter in which nothing fitted decided nothing.
                    if walk.matched.len() == steps {
                        walk.matched.pop();
                    }
                }
                Some(Target::Goto(to)) => return self.turn(table, to, packet, node, walk, depth),
                Some(Target::GotoByLot(chains)) => {
                    let lot = lot(packet, (name, index)) as usize;
                    let to = chains.get(lot % chains.len().max(1))?;
                    return self.turn(table, to, packet, node, walk, depth);
                }
                Some(Target::DnatByLot(all)) => {
                    let lot = lot(packet, (name, index)) as usize;
                    let (to, port) = *all.get(lot % all.len().max(1))?;
                    return Some(Verdict::Dnat { to, port });
                }
                Some(Target::MasqueradeMarked(bits)) => {
                    packet.mark ^= bits;
                    return Some(Verdict::Masquerade { is_random: true });
                }
                Some(Target::Map(map)) => {
                    let elements = self.chain(table, map).into_iter().flat_map(|map| &map.rules);
                    let Some(found) =
                        elements.into_iter().find(|one| self.fits(table, one, packet, node, ("", 0)))
                    else {
                        walk.matched.pop();
                        continue;
                    };
                    walk.matched.push((table, (*map).into(), found.clone()));
                    match &found.target {
                        Some(Target::Goto(to)) => return self.turn(table, to, packet, node, walk, depth),
                        _ => return Some(Verdict::Drop),
                    }
                }
            }
        }
        None
    }

    /// `place`: the chain and the rule's number in it.
    fn fits(
        &self,
        table: Table,
        rule: &Rule,
        packet: &Packet,
        node: &dyn Node,
        place: (&str, usize),
    ) -> bool {
        let is_in = |side: &Option<Not<Cidr>>, address: IpAddr| {
            side.as_ref().is_none_or(|one| one.value.contains(address) != one.is_negated)
        };
        rule.protocol.is_none_or(|protocol| protocol == packet.protocol)
            && is_in(&rule.source, packet.source)
            && is_in(&rule.destination, packet.destination)
            && rule.matches.iter().all(|one| match one {
                Match::Set { name, by } => {
                    self.sets.iter().find(|set| set.name == *name).is_some_and(|set| set.has(packet, by))
                }
                Match::Element(set) => {
                    let elements = self.chain(table, set).into_iter().flat_map(|set| &set.rules);
                    elements.into_iter().any(|one| self.fits(table, one, packet, node, ("", 0)))
                }
                one => fits(one, packet, node, place),
            })
    }
}

/// The number drawn for one rule and one packet.
fn lot(packet: &Packet, (chain, index): (&str, usize)) -> u32 {
    let salt = chain
        .bytes()
        .fold(index as u64, |held, byte| (held ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (packet.lot(salt) >> 33) as u32
}

fn fits(one: &Match, packet: &Packet, node: &dyn Node, place: (&str, usize)) -> bool {
    match one {
        Match::Comment(_) | Match::Account(_) | Match::RecentSet { .. } | Match::Limit { .. } => true,
        Match::DestinationPort(protocol, port) => {
            packet.protocol == *protocol && port.is_none_or(|port| port == packet.destination_port)
        }
        Match::DestinationPorts { protocol, first, last, .. } => {
            packet.protocol == *protocol && (*first..=*last).contains(&packet.destination_port)
        }
        Match::PortList { protocol, ports } => {
            packet.protocol == *protocol && ports.contains(&packet.destination_port)
        }
        // A ping and its answer are all the ICMP that programs send here.
        Match::IcmpType(number) => {
            let of_packet = match (packet.state, packet.source.is_ipv6()) {
                (ConnectionState::New, false) => ECHO_REQUEST,
                (ConnectionState::New, true) => ECHO_REQUEST_6,
                (_, false) => ECHO_REPLY,
                (_, true) => ECHO_REQUEST_6 + 1,
            };
            packet.protocol == Protocol::Icmp && *number == of_packet
        }
        // The rule set knows.
        Match::Set { .. } | Match::Element(_) => false,
        Match::Ranges { ranges, is_source, is_negated } => {
            let address = if *is_source { packet.source } else { packet.destination };
            ranges.iter().any(|range| range.contains(address)) != *is_negated
        }
        Match::Interface { name, is_out } => {
            let own = if *is_out { &packet.out_interface } else { &packet.in_interface };
            match name.strip_suffix('+') {
                Some(begin) => own.starts_with(begin),
                None => own == name,
            }
        }
        Match::NotFromBridge => packet.in_interface.is_empty() || packet.in_interface == UPLINK,
        Match::VirtualServer(one) => one.protocol == packet.protocol && one.address == Some(packet.source),
        Match::Bridged => !packet.in_interface.is_empty() && packet.in_interface == packet.out_interface,
        Match::Mark { value, mask, is_negated } => (packet.mark & mask == *value) != *is_negated,
        Match::ConnectionState { states, is_negated } => {
            let is_in = |state: &CtState| match state {
                CtState::New => packet.state == ConnectionState::New,
                CtState::Established => packet.state != ConnectionState::New,
                CtState::Dnat => packet.is_dnat,
                CtState::Related | CtState::Invalid => false,
            };
            states.iter().any(is_in) != *is_negated
        }
        Match::Statistic { of } => lot(packet, place) < threshold(*of),
        Match::SourceLocal { is_negated } => node.is_local(packet.source) != *is_negated,
        Match::DestinationLocal { is_negated } => node.is_local(packet.destination) != *is_negated,
        Match::RecentCheck { list, seconds } => node.is_recent(list, packet.source, *seconds),
    }
}
