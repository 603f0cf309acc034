//! Rules read from their text.
//!
//! Picture to hold in mind: the rule book dictated back: who writes rules writes them as they are read aloud. As text they are
//! data; put together piece by piece in code they would be many times larger.
//!
//! What is read is what [`super::save`] prints behind the chain's name, and the long forms and numbers of iptables(8) that
//! Calico's Felix prefers. All of it is written in this program: what is unknown is passed over.

use std::sync::Arc;

use super::{Chain, CtState, Match, Not, Rule, Table, Target};
use crate::api::Text;
use crate::network::ipam::Cidr;
use crate::network::packet::Protocol;

/// The states that are asked for together.
const STATES: [&[CtState]; 5] = [
    &[CtState::New],
    &[CtState::Invalid],
    &[CtState::Dnat],
    &[CtState::Related, CtState::Established],
    &[CtState::Related, CtState::Established, CtState::Dnat],
];
/// What of a packet is looked up in a set.
const BY: [&str; 5] = ["src", "dst", "dst,dst", "dst,dst,src", "src,dst"];
const ACCOUNTS: [&str; 2] = ["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"];
const PROTOCOLS: [Protocol; 5] =
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp, Protocol::IpInIp];

fn number(text: &str) -> u32 {
    let read = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    read.unwrap_or(0)
}
fn pair(text: &str) -> (u32, u32) {
    let (value, mask) = text.split_once('/').unwrap_or((text, text));
    (number(value), number(mask))
}
fn port(text: &str) -> u16 {
    text.parse().unwrap_or(0)
}

impl Rule {
    pub fn read(text: &str) -> Rule {
        let mut rule = Rule::default();
        let mut rest = text.trim_start();
        let mut is_negated = false;
        while !rest.is_empty() {
            let (flag, behind) = word(rest);
            let (value, behind_value) = word(behind);
            rest = behind_value;
            let is_not = std::mem::replace(&mut is_negated, false);
            let condition = match flag {
                "!" => {
                    is_negated = true;
                    rest = behind;
                    continue;
                }
                "-s" | "--source" | "-d" | "--destination" => {
                    let range = Cidr::parse(value).map(|value| Not { value, is_negated: is_not });
                    let side =
                        if flag.ends_with(['s', 'e']) { &mut rule.source } else { &mut rule.destination };
                    *side = range;
                    continue;
                }
                "-p" => {
                    let is_it =
                        |one: &&Protocol| one.name() == value || u32::from(one.number()) == number(value);
                    rule.protocol = PROTOCOLS.iter().find(is_it).copied();
                    continue;
                }
                "-j" | "--jump" => {
                    let (option, behind_option) = word(behind_value);
                    let (bits, end) = word(behind_option);
                    let (set, mask) = pair(bits);
                    rule.target = Some(match value {
                        "ACCEPT" => Target::Accept,
                        "DROP" => Target::Drop,
                        "RETURN" => Target::Return,
                        "REJECT" => Target::Reject,
                        "MARK" if set == 0 => Target::MarkClear(mask),
                        "MARK" if mask == 0 => Target::MarkXor(set),
                        "MARK" => Target::MarkOr(set),
                        "NFLOG" => Target::Log { group: set as u16 },
                        "MASQUERADE" => Target::Masquerade { is_random: option == "--random-fully" },
                        chain => Target::Jump(chain.into()),
                    });
                    if option.starts_with("--") {
                        rest = end;
                    }
                    continue;
                }
                "-g" | "--goto" => {
                    rule.target = Some(Target::Goto(value.into()));
                    continue;
                }
                "-i" | "--in-interface" => Match::Interface { name: value.into(), is_out: false },
                "-o" | "--out-interface" => Match::Interface { name: value.into(), is_out: true },
                // A module's name alone; one without options is a condition of its own.
                "-m" => match PROTOCOLS.iter().find(|one| one.name() == value) {
                    Some(protocol) if !behind_value.starts_with("--") => {
                        Match::DestinationPort(*protocol, None)
                    }
                    _ => {
                        is_negated = is_not;
                        continue;
                    }
                },
                "--comment" => Match::Comment(value.into()),
                "--mark" => {
                    let (value, mask) = pair(value);
                    Match::Mark { value, mask, is_negated: is_not }
                }
                "--ctstate" => {
                    let has = |one: &&&[CtState]| one.iter().map(|state| state.name()).eq(value.split(','));
                    let Some(states) = STATES.iter().find(has) else { continue };
                    Match::ConnectionState { states, is_negated: is_not }
                }
                "--dport" | "--dports" | "--destination-ports" => {
                    let protocol = rule.protocol.unwrap_or(Protocol::Tcp);
                    let is_multiport = flag != "--dport";
                    match value.split_once(':') {
                        Some((first, last)) => Match::DestinationPorts {
                            protocol,
                            first: port(first),
                            last: port(last),
                            is_multiport,
                        },
                        None if is_multiport => {
                            Match::PortList { protocol, ports: value.split(',').map(port).collect() }
                        }
                        None => Match::DestinationPort(protocol, Some(port(value))),
                    }
                }
                "--match-set" => {
                    let (by, end) = word(behind_value);
                    rest = end;
                    let Some(by) = BY.iter().find(|one| **one == by) else { continue };
                    Match::Set { name: Text::from(value), by }
                }
                "--nfacct-name" => {
                    let Some(name) = ACCOUNTS.iter().find(|one| **one == value) else { continue };
                    Match::Account(name)
                }
                "--limit" => {
                    let (burst, end) = word(word(behind_value).1);
                    rest = end;
                    let per_minute = value.strip_suffix("/min").map_or(0, number);
                    Match::Limit { per_minute, burst: number(burst) }
                }
                "--icmp-type" => Match::IcmpType(number(value) as u8),
                "--dst-type" => Match::DestinationLocal { is_negated: is_not },
                "--src-type" => Match::SourceLocal { is_negated: is_not },
                "--physdev-is-in" => {
                    rest = behind;
                    Match::NotFromBridge
                }
                "--physdev-is-bridged" => {
                    rest = behind;
                    Match::Bridged
                }
                _ => continue,
            };
            rule.matches.push(condition);
        }
        rule
    }
}

/// Rules, one a line.
pub fn rules(text: &str) -> Vec<Arc<Rule>> {
    text.lines().map(|line| Arc::new(Rule::read(line))).collect()
}

/// Chains with an empty line between them: `nat KUBE-SERVICES` above the rules. A rule behind a question mark is there only if
/// the set that it reads `is_filled`.
pub fn chains(text: &str, is_filled: &dyn Fn(&str) -> bool) -> Vec<(Table, Text, Option<Arc<Chain>>)> {
    let mut all = Vec::new();
    for chain in text.split("\n\n") {
        let (place, lines) = chain.split_once('\n').unwrap_or((chain, ""));
        let (table, name) = place_of(place);
        let mut rules = Vec::new();
        for line in lines.lines() {
            let (needs, line) = line.strip_prefix('?').map_or((false, line), |line| (true, line));
            let set = line.split_once("--match-set ").map_or("", |(_, rest)| word(rest).0);
            if !needs || is_filled(set) {
                rules.push(Arc::new(Rule::read(line)));
            }
        }
        all.push((table, name.into(), Some(Arc::new(Chain { rules }))));
    }
    all
}
/// Jumps, one a line: `nat OUTPUT` before the rule.
pub fn jumps(text: &'static str) -> Vec<(Table, &'static str, Arc<Rule>)> {
    let read = |line: &'static str| {
        let (table, rest) = place_of(line);
        let (chain, rule) = word(rest);
        (table, chain, Arc::new(Rule::read(rule)))
    };
    text.lines().map(read).collect()
}
fn place_of(text: &str) -> (Table, &str) {
    let (table, rest) = word(text);
    (if table == "nat" { Table::Nat } else { Table::Filter }, rest)
}

/// The first word, without its quotes, and what stands behind it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
        None => text.split_once(' ').unwrap_or((text, "")),
    };
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_again() {
        for text in [
            "-s 10.0.0.0/8 ! -d 10.1.2.3/32 -p tcp -m comment --comment \"a b\" -m tcp --dport 80 -j KUBE-X",
            "-i cali+ -m comment --comment x -g cali-wl-to-host",
            "-p udp -m multiport --dports 30000:32767 -j RETURN",
            "-p udp -m multiport --dports 4789 -j DROP",
            "-p tcp -m tcp --dport 8000:8080 -j MARK --set-xmark 0x10000/0x10000",
            "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
            "-m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable",
            "-m mark --mark 0x0/0x20000 -j MARK --set-xmark 0x0/0x10000",
            "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
            "-m set --match-set KUBE-X dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT",
            "-m addrtype --dst-type LOCAL -m physdev --physdev-is-bridged -j MARK --set-xmark 0x4000/0x0",
            "-m comment --comment y -j MASQUERADE --random-fully",
            "-m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-group 100",
            "-m nfacct --nfacct-name  localhost_nps_accepted_pkts -j KUBE-X",
            "-o eth0 -j MASQUERADE",
            "-p tcp -m tcp -j ACCEPT",
        ] {
            assert_eq!(Rule::read(text).save(Table::Nat, "X"), format!("-A X {text}"));
        }
    }
}
