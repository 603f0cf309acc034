//! What the rules do to a packet.
//!
//! Picture to hold in mind: a reader with a finger on the rule book. Each rule that fits is written on a slip, and
//! the slip is what can be shown afterwards: these lines, in this order, decided.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;

use super::save::threshold;
use super::{Chain, CtState, IpSet, Match, Rule, RuleSet, Table, Target};
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
    /// The rules that fitted, with their chains.
    pub matched: Vec<(Text, Arc<Rule>)>,
    pub verdict: Verdict,
    /// Lists of `-m recent` that the source is to be remembered in.
    pub remembered: Vec<Text>,
}

impl Walk {
    /// The rules that fitted, as `iptables-save` prints them.
    pub fn lines(&self) -> Vec<String> {
        self.matched.iter().map(|(chain, rule)| rule.save(chain)).collect()
    }
}

/// ICMP types (RFC 792).
const ECHO_REPLY: u8 = 0;
pub const ECHO_REQUEST: u8 = 8;

/// Jumps into one another that are followed; the kernel refuses loops when rules are written.
const DEEPEST: usize = 16;

impl RuleSet {
    /// Takes `packet` through a built-in chain; marks are put on it as the rules say. The policy is ACCEPT.
    pub fn walk(&self, table: Table, chain: &str, packet: &mut Packet, node: &dyn Node) -> Walk {
        let mut walk = Walk { matched: Vec::new(), verdict: Verdict::Accept, remembered: Vec::new() };
        if let Some(rules) = self.chain(table, chain) {
            let verdict = self.read(table, &chain.into(), rules, packet, node, &mut walk, 0);
            walk.verdict = verdict.unwrap_or(Verdict::Accept);
        }
        walk
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
            if !rule.fits(packet, node, &self.sets, lot(packet, name, index)) {
                continue;
            }
            walk.matched.push((name.clone(), rule.clone()));
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
                    if let Some(next) = self.chain(table, to).filter(|_| depth < DEEPEST) {
                        let verdict = self.read(table, to, next, packet, node, walk, depth + 1);
                        if verdict.is_some() {
                            return verdict;
                        }
                    }
                    // A chapter in which nothing fitted decided nothing.
                    if walk.matched.len() == steps {
                        walk.matched.pop();
                    }
                }
            }
        }
        None
    }
}

/// The number drawn for one rule and one packet.
fn lot(packet: &Packet, chain: &str, index: usize) -> u32 {
    let salt = chain
        .bytes()
        .fold(index as u64, |held, byte| (held ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (packet.lot(salt) >> 33) as u32
}

impl Rule {
    fn fits(&self, packet: &Packet, node: &dyn Node, sets: &[Arc<IpSet>], lot: u32) -> bool {
        self.protocol.is_none_or(|protocol| protocol == packet.protocol)
            && self.source.as_ref().is_none_or(|one| one.value.contains(packet.source) != one.is_negated)
            && self
                .destination
                .as_ref()
                .is_none_or(|one| one.value.contains(packet.destination) != one.is_negated)
            && self.matches.iter().all(|one| fits(one, packet, node, sets, lot))
    }
}

fn fits(one: &Match, packet: &Packet, node: &dyn Node, sets: &[Arc<IpSet>], lot: u32) -> bool {
    match one {
        Match::Comment(_) | Match::Account(_) | Match::RecentSet { .. } | Match::Limit { .. } => true,
        Match::DestinationPort(protocol, port) => {
            packet.protocol == *protocol && port.is_none_or(|port| port == packet.destination_port)
        }
        Match::DestinationPorts { protocol, first, last, .. } => {
            packet.protocol == *protocol && (*first..=*last).contains(&packet.destination_port)
        }
        // A ping and its answer are all the ICMP that programs send here.
        Match::IcmpType(number) => {
            let of_packet = if packet.state == ConnectionState::New { ECHO_REQUEST } else { ECHO_REPLY };
            packet.protocol == Protocol::Icmp && *number == of_packet
        }
        Match::Set { name, is_source } => {
            let address = if *is_source { packet.source } else { packet.destination };
            sets.iter().find(|set| set.name == *name).is_some_and(|set| set.contains(address))
        }
        Match::Bridged => !packet.in_interface.is_empty() && packet.in_interface == packet.out_interface,
        Match::Mark { value, mask, is_negated } => (packet.mark & mask == *value) != *is_negated,
        Match::ConnectionState { states, is_negated } => {
            let is_in = |state: &CtState| match state {
                CtState::New => packet.state == ConnectionState::New,
                CtState::Established => packet.state == ConnectionState::Established,
                CtState::Dnat => packet.is_dnat,
                CtState::Related | CtState::Invalid => false,
            };
            states.iter().any(is_in) != *is_negated
        }
        Match::Statistic { of } => lot < threshold(*of),
        Match::SourceLocal { is_negated } => node.is_local(packet.source) != *is_negated,
        Match::DestinationLocal { is_negated } => node.is_local(packet.destination) != *is_negated,
        Match::RecentCheck { list, seconds } => node.is_recent(list, packet.source, *seconds),
    }
}
