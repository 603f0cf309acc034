//! The rules and sets of one node as Calico's Felix writes them.
//!
//! Picture to hold in mind: another firm of doormen. Theirs stand at the cables, not at the addresses: who comes out of a
//! cable meets the one of that cable (cali-fw), who goes into one meets its other (cali-tw). Each has the books of the
//! policies (cali-pi, cali-po), and where no policy is about the pod, those of its namespace and account (cali-pri, cali-pro).
//!
//! Follows `felix/rules` of v3.31 (`static.go`, `dispatch.go`, `endpoints.go`, `policy.go`) for iptables and IPv4, as the
//! manifest sets it up, without host endpoints. Every rule carries a hash of itself and of those before it in its chain
//! (`generictables/rules.go`), from which Felix sees what has been changed.

use std::sync::Arc;

use crate::api::Text;
use crate::api::sha256::{letters_64, sha224, sha256};
use crate::arrange::Arrange;
use crate::network::cni::calico_interface;
use crate::network::ipam::Cidr;
use crate::network::netfilter::{Chain, CtState, IpSet, Match, Not, PortEntry, Restore, Rule, Table, Target};
use crate::network::packet::Protocol;

use super::read::{Allowance, Pod, Policy, Port};

/// What its chains and its sets are named; nobody else's are.
const CHAINS: &[&str] = &["cali-"];
const SETS: &[&str] = &["cali40"];
/// There once Felix has been at work on a node.
pub const FORWARD: &str = "cali-FORWARD";
/// The doormen of a cable: to the pod behind it, and from there. The interface's name follows.
pub const TO_POD: &str = "cali-tw-";
pub const FROM_POD: &str = "cali-fw-";

/// A policy, or a profile, lets it pass.
const ACCEPTED: u32 = 0x1_0000;
/// The rest of the policies is skipped.
const PASSED: u32 = 0x2_0000;
/// What a rule of several parts is about has been met.
const MET: u32 = 0x8_0000;
const ALL: u32 = ACCEPTED | PASSED | MET | 0x10_0000;
/// Of chains and of sets.
const LONGEST_CHAIN: usize = 28;
const LONGEST_SET: usize = 31;

/// `GetLengthLimitedID`.
fn limited(prefix: &str, name: &str) -> Text {
    if prefix.len() + name.len() <= LONGEST_CHAIN {
        return arcstr::format!("{prefix}{name}");
    }
    arcstr::format!("{prefix}_{}", letters_64(&sha256(name.as_bytes()), LONGEST_CHAIN - 1 - prefix.len()))
}

fn policy_chain(policy: &Policy, is_ingress: bool) -> Text {
    let Policy { namespace, name, .. } = policy;
    let prefix = if is_ingress { "cali-pi-" } else { "cali-po-" };
    // Of the tier `default`.
    limited(prefix, &format!("default/{namespace}/knp.default.{name}"))
}

fn is(mark: u32, value: u32) -> Match {
    Match::Mark { value, mask: mark, is_negated: false }
}
fn accepted() -> Match {
    is(ACCEPTED, ACCEPTED)
}
fn jump(to: &str) -> Rule {
    Rule::jump(to)
}
fn goto(to: impl Into<Text>) -> Rule {
    Rule::with(Target::Goto(to.into()))
}
fn from(interface: &str, rule: Rule) -> Rule {
    rule.when(Match::Interface { name: interface.into(), is_out: false })
}
fn to(interface: &str, rule: Rule) -> Rule {
    rule.when(Match::Interface { name: interface.into(), is_out: true })
}
fn states(states: &'static [CtState], is_negated: bool) -> Match {
    Match::ConnectionState { states, is_negated }
}
fn clear(bits: u32) -> Rule {
    Rule::with(Target::MarkClear(bits))
}

/// As Felix renders a rule, for its hash (`iptables/renderer.go`, `match_builder.go`, `actions.go`).
fn rendered(chain: &str, rule: &Rule) -> String {
    let mut text = format!("-A {chain} HASH");
    for one in &rule.matches {
        if let Match::Comment(words) = one {
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "_ @%+=:,./-".contains(c);
            let words: String = words.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
            text += &format!(" -m comment --comment \"{words}\"");
        }
    }
    match (rule.protocol, &rule.target) {
        (None, _) => {}
        // Felix names by their numbers those of its own rules.
        (Some(protocol), Some(Target::Drop)) => text += &format!(" -p {}", protocol.number()),
        (Some(protocol), _) => text += &format!(" -p {}", protocol.name()),
    }
    for (flag, side) in [("--source", &rule.source), ("--destination", &rule.destination)] {
        if let Some(side) = side {
            text += &format!(" {flag} {}", side.value);
        }
    }
    let hex = |bits: u32| if bits == 0 { "0".to_string() } else { format!("{bits:#x}") };
    for one in &rule.matches {
        text += &match one {
            Match::Interface { name, is_out: false } => format!(" --in-interface {name}"),
            Match::Interface { name, is_out: true } => format!(" --out-interface {name}"),
            Match::Mark { value, mask, .. } => format!(" -m mark --mark {}/{mask:#x}", hex(*value)),
            Match::PortList { .. } | Match::DestinationPorts { .. } => Rule::default()
                .when(one.clone())
                .save(Table::Filter, "")
                .replace("-A ", "")
                .replace("dports", "destination-ports"),
            Match::ConnectionState { .. } | Match::Set { .. } => {
                Rule::default().when(one.clone()).save(Table::Filter, "").replace("-A ", "")
            }
            _ => String::new(),
        };
    }
    text += &match &rule.target {
        Some(Target::Jump(to)) => format!(" --jump {to}"),
        Some(Target::Goto(to)) => format!(" --goto {to}"),
        Some(Target::MarkOr(bits)) => format!(" --jump MARK --set-mark {bits:#x}/{bits:#x}"),
        Some(Target::MarkClear(bits)) => format!(" --jump MARK --set-mark 0/{bits:#x}"),
        Some(Target::Accept) => " --jump ACCEPT".into(),
        Some(Target::Drop) => " --jump DROP".into(),
        Some(Target::Return) => " --jump RETURN".into(),
        _ => String::new(),
    };
    text
}

/// The rules of a chain with their hashes, which stand before all other comments.
fn hashed(chain: &str, rules: Vec<Rule>) -> Vec<Arc<Rule>> {
    let mut hash = sha224(chain.as_bytes());
    let with_hash = |mut rule: Rule| {
        let mut text = hash.to_vec();
        text.extend(rendered(chain, &rule).bytes());
        hash = sha224(&text);
        rule.matches.insert(0, Match::Comment(arcstr::format!("cali:{}", letters_64(&hash, 16))));
        Arc::new(rule)
    };
    rules.into_iter().map(with_hash).collect()
}

#[derive(Default)]
struct Books {
    chains: Vec<(Table, Text, Option<Arc<Chain>>)>,
    sets: Vec<Arc<IpSet>>,
}

pub(super) fn write(policies: &[Policy], pods: &[Pod]) -> Restore {
    let mut books = Books::default();
    books.of_the_node();
    let is_of_here = |policy: &&Policy| pods.iter().any(|pod| policy.pods.contains(&pod.address));
    for policy in policies.iter().filter(is_of_here) {
        for (is_ingress, allowances) in [(true, &policy.ingress), (false, &policy.egress)] {
            if let Some(allowances) = allowances {
                books.policy(policy, is_ingress, allowances);
            }
        }
    }
    let mut interfaces: Vec<(Text, &Pod)> =
        pods.iter().map(|pod| (calico_interface(&format!("{}/{}", pod.namespace, pod.name)), pod)).collect();
    interfaces.arrange_by(|a, b| a.0.cmp(&b.0));
    for is_ingress in [false, true] {
        let (dispatch, prefix) =
            if is_ingress { ("cali-to-wl-dispatch", TO_POD) } else { ("cali-from-wl-dispatch", FROM_POD) };
        let mut rules = Vec::new();
        for (interface, pod) in &interfaces {
            let chain = limited(prefix, interface);
            let rule = goto(chain.clone());
            rules.push(if is_ingress { to(interface, rule) } else { from(interface, rule) });
            books.pod(&chain, pod, is_ingress, policies);
        }
        rules.push(Rule::with(Target::Drop).comment("Unknown interface"));
        books.chain(dispatch, rules);
    }
    let gate = |gate: &'static str, to: &str| (Table::Filter, gate, hashed(gate, vec![jump(to)]).remove(0));
    let ends = vec![
        Rule::with(Target::Accept).comment("Policy explicitly accepted packet.").when(accepted()),
        Rule::with(Target::MarkOr(ACCEPTED)),
    ];
    let ends = hashed("FORWARD*appends*", ends);
    Restore {
        chains: books.chains,
        jumps: vec![gate("INPUT", "cali-INPUT"), gate("FORWARD", FORWARD), gate("OUTPUT", "cali-OUTPUT")],
        ends: ends.into_iter().map(|rule| (Table::Filter, "FORWARD", rule)).collect(),
        replaces: Some((Table::Filter, CHAINS)),
        sets: Some((SETS, books.sets)),
        ..Restore::default()
    }
}

impl Books {
    fn chain(&mut self, name: impl Into<Text>, rules: Vec<Rule>) {
        let name = name.into();
        if self.chains.iter().all(|(_, other, _)| *other != name) {
            let rules = hashed(&name, rules);
            self.chains.push((Table::Filter, name, Some(Arc::new(Chain { rules }))));
        }
    }

    /// `StaticFilterTableChains`.
    fn of_the_node(&mut self) {
        let host_accepted = || {
            let words = "Host endpoint policy accepted packet.";
            Rule::with(Target::Accept).comment(words).when(accepted())
        };
        let already = || Rule::with(Target::Accept).when(accepted());
        self.chain(
            FORWARD,
            vec![
                clear(ALL & !ACCEPTED),
                jump("cali-from-hep-forward").when(is(ACCEPTED, 0)),
                from("cali+", jump("cali-from-wl-dispatch")),
                to("cali+", jump("cali-to-wl-dispatch")),
                jump("cali-to-hep-forward"),
                jump("cali-cidr-block"),
            ],
        );
        self.chain(
            "cali-INPUT",
            vec![
                from("cali+", goto("cali-wl-to-host")),
                already(),
                clear(ALL),
                jump("cali-from-host-endpoint"),
                host_accepted(),
            ],
        );
        self.chain(
            "cali-OUTPUT",
            vec![
                already(),
                to("cali+", Rule::with(Target::Return)),
                clear(ALL),
                jump("cali-to-host-endpoint").when(states(&[CtState::Dnat], true)),
                host_accepted(),
            ],
        );
        let to_host = Rule::with(Target::Accept).comment("Configured DefaultEndpointToHostAction");
        self.chain("cali-wl-to-host", vec![jump("cali-from-wl-dispatch"), to_host]);
        for empty in [
            "cali-from-host-endpoint",
            "cali-to-host-endpoint",
            "cali-from-hep-forward",
            "cali-to-hep-forward",
            "cali-cidr-block",
        ] {
            self.chain(empty, Vec::new());
        }
    }

    /// `endpointIptablesChain`, and the profiles of the pod.
    fn pod(&mut self, chain: &Text, pod: &Pod, is_ingress: bool, policies: &[Policy]) {
        let known = states(&[CtState::Related, CtState::Established], false);
        let mut rules = vec![
            Rule::with(Target::Accept).when(known),
            Rule::with(Target::Drop).when(states(&[CtState::Invalid], false)),
            clear(ACCEPTED | PASSED),
        ];
        for protocol in [Protocol::Udp, Protocol::IpInIp].into_iter().filter(|_| !is_ingress) {
            let (what, ports) = match protocol {
                Protocol::Udp => ("VXLAN", Some(Match::PortList { protocol, ports: vec![4789] })),
                _ => ("IPinIP", None),
            };
            let mut rule = Rule { protocol: Some(protocol), ..Rule::with(Target::Drop) };
            rule = rule.comment(format!("Drop {what} encapped packets originating in workloads"));
            rule.matches.extend(ports);
            rules.push(rule);
        }
        let is_about = |policy: &&Policy| {
            let way = if is_ingress { &policy.ingress } else { &policy.egress };
            way.is_some() && policy.pods.contains(&pod.address)
        };
        let mut names =
            policies.iter().filter(is_about).map(|policy| policy_chain(policy, is_ingress)).peekable();
        if names.peek().is_some() {
            rules.push(clear(PASSED).comment("Start of tier default"));
            for name in names {
                rules.push(Rule::jump(name).when(is(PASSED, 0)));
                rules.push(Rule::with(Target::Return).comment("Return if policy accepted").when(accepted()));
            }
            let words = "End of tier default. Drop if no policies passed packet";
            rules.push(Rule::with(Target::Drop).comment(words).when(is(PASSED, 0)));
        }
        let (prefix, way) = if is_ingress { ("cali-pri-", "ingress") } else { ("cali-pro-", "egress") };
        let Pod { namespace, account, .. } = pod;
        for profile in [format!("kns.{namespace}"), format!("ksa.{namespace}.{account}")] {
            let name = limited(prefix, &profile);
            rules.push(Rule::jump(name.clone()));
            rules.push(Rule::with(Target::Return).comment("Return if profile accepted").when(accepted()));
            // What no policy is about may pass, by its namespace's profile.
            let rule = if profile.starts_with("kns") {
                Rule::with(Target::MarkOr(ACCEPTED))
            } else {
                Rule::default()
            };
            self.chain(name, vec![rule.comment(format!("Profile {profile} {way}"))]);
        }
        rules.push(Rule::with(Target::Drop).comment("Drop if no profiles matched"));
        self.chain(chain.clone(), rules);
    }

    /// `ProtoRulesToIptablesRules`: each peer of a rule, with its ports.
    fn policy(&mut self, policy: &Policy, is_ingress: bool, allowances: &[Allowance]) {
        let Policy { namespace, name, .. } = policy;
        let way = if is_ingress { "ingress" } else { "egress" };
        let mut rules = Vec::new();
        for (number, allowance) in allowances.iter().enumerate() {
            let key = format!("{namespace}/{name}/{way}/{number}");
            if allowance.is_of_all {
                self.lines(&mut rules, Rule::default(), allowance, &key);
            }
            if !allowance.pods.is_empty() {
                let entries = allowance.pods.iter().map(|address| (Cidr::one(*address), false)).collect();
                let name = self.set("s:", &key, "hash:net", entries, Vec::new());
                let by = if is_ingress { "src" } else { "dst" };
                self.lines(&mut rules, Rule::default().when(Match::Set { name, by }), allowance, &key);
            }
            for block in &allowance.blocks {
                let of = |rule: Rule, range: Cidr| match is_ingress {
                    true => rule.from(Not::is(range)),
                    false => rule.to(Not::is(range)),
                };
                for (whole, _) in block.iter().filter(|(_, is_left_out)| !is_left_out) {
                    let mut rule = of(Rule::default(), *whole);
                    if block.iter().any(|(_, is_left_out)| *is_left_out) {
                        rules.push(Rule::with(Target::MarkOr(MET)));
                        for (range, _) in block.iter().filter(|(_, is_left_out)| *is_left_out) {
                            rules.push(of(clear(MET), *range));
                        }
                        rule = rule.when(is(MET, MET));
                    }
                    self.lines(&mut rules, rule, allowance, &key);
                }
            }
        }
        // A return at the end changes nothing.
        while rules.last().is_some_and(|rule| rule.target == Some(Target::Return)) {
            rules.pop();
        }
        if rules.is_empty() {
            rules.push(Rule::default());
        }
        let words = Match::Comment(arcstr::format!("Policy {namespace}/knp.default.{name} {way}"));
        rules[0].matches.insert(0, words);
        self.chain(policy_chain(policy, is_ingress), rules);
    }

    /// The lines for one peer: the mark for who meets all of it by one of the ports, and the way back for who has it.
    fn lines(&mut self, rules: &mut Vec<Rule>, peer: Rule, allowance: &Allowance, key: &str) {
        let mut push = |mut rule: Rule| {
            // The mark comes behind what the rule itself asks for.
            if matches!(rule.matches.first(), Some(Match::Mark { .. })) {
                rule.matches.rotate_left(1);
            }
            rules.push(rule.then(Target::MarkOr(ACCEPTED)));
            rules.push(Rule::with(Target::Return).when(accepted()));
        };
        if allowance.is_of_all_ports {
            return push(peer);
        }
        for Port { protocol, numbers } in &allowance.ports {
            let protocol = *protocol;
            let rule = Rule { protocol: Some(protocol), ..peer.clone() };
            push(match *numbers {
                None => rule,
                Some((first, last)) if first == last => {
                    rule.when(Match::PortList { protocol, ports: vec![first] })
                }
                Some((first, last)) => {
                    rule.when(Match::DestinationPorts { protocol, first, last, is_multiport: true })
                }
            });
        }
        for (at, named) in allowance.named_ports.iter().enumerate() {
            let Port { protocol, numbers } = named.port;
            let port = numbers.map_or(0, |(first, _)| first);
            let entry = |address: &core::net::IpAddr| PortEntry {
                address: Some(*address),
                protocol,
                port,
                other: None,
            };
            let owners = named.addresses.iter().map(entry).collect();
            let name = self.set("n:", &format!("{key}/{at}"), "hash:ip,port", Vec::new(), owners);
            push(Rule { protocol: Some(protocol), ..peer.clone() }.when(Match::Set { name, by: "dst,dst" }));
        }
    }

    fn set(
        &mut self,
        prefix: &str,
        key: &str,
        kind: &'static str,
        entries: Vec<(Cidr, bool)>,
        ports: Vec<PortEntry>,
    ) -> Text {
        let begin = format!("cali40{prefix}");
        let name: Text =
            arcstr::format!("{begin}{}", letters_64(&sha224(key.as_bytes()), LONGEST_SET - begin.len()));
        if self.sets.iter().all(|set| set.name != name) {
            self.sets.push(Arc::new(IpSet { name: name.clone(), kind, entries, ports }));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes that every node with Calico shows.
    #[test]
    fn hashes_are_those_of_felix() {
        let restore = write(&[], &[]);
        let mut lines: Vec<String> = Vec::new();
        for (table, chain, rule) in restore.jumps.iter().chain(&restore.ends) {
            lines.push(rule.save(*table, chain));
        }
        for (table, name, chain) in &restore.chains {
            lines.extend(chain.iter().flat_map(|chain| &chain.rules).map(|rule| rule.save(*table, name)));
        }
        for line in [
            "-A INPUT -m comment --comment \"cali:Cz_u1IQiXIMmKD4c\" -j cali-INPUT",
            "-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD",
            "-A OUTPUT -m comment --comment \"cali:tVnHkvAo15HuiPy0\" -j cali-OUTPUT",
            "-A FORWARD -m comment --comment \"cali:S93hcgKJrXEqnTfs\" -m comment --comment \"Policy explicitly accepted packet.\" -m mark --mark 0x10000/0x10000 -j ACCEPT",
            "-A FORWARD -m comment --comment \"cali:mp77cMpurHhyjLrM\" -j MARK --set-xmark 0x10000/0x10000",
            "-A cali-INPUT -i cali+ -m comment --comment \"cali:FewJpBykm9iJ-YNH\" -g cali-wl-to-host",
            "-A cali-INPUT -m comment --comment \"cali:hder3ARWznqqv8Va\" -m mark --mark 0x10000/0x10000 -j ACCEPT",
            "-A cali-OUTPUT -m comment --comment \"cali:Mq1_rAdXXH3YkrzW\" -m mark --mark 0x10000/0x10000 -j ACCEPT",
            "-A cali-OUTPUT -o cali+ -m comment --comment \"cali:69FkRTJDvD5Vu6Vl\" -j RETURN",
            "-A cali-wl-to-host -m comment --comment \"cali:Ee9Sbo10IpVujdIY\" -j cali-from-wl-dispatch",
            "-A cali-wl-to-host -m comment --comment \"cali:nSZbcOoG1xPONxb8\" -m comment --comment \"Configured DefaultEndpointToHostAction\" -j ACCEPT",
        ] {
            assert!(lines.iter().any(|other| other == line), "{line}\n{}", lines.join("\n"));
        }
    }
}
