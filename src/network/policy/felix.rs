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
use crate::api::base64::URL;
use crate::api::sha256::{sha224, sha256};
use crate::arrange::Arrange;
use crate::network::cni::calico_interface;
use crate::network::ipam::Cidr;
use crate::network::netfilter::{Chain, IpSet, Match, PortEntry, Restore, Rule, Table};

use super::read::{Allowance, Pod, Policy, Port};

/// What its chains and its sets are named; nobody else's are.
const CHAINS: &[&str] = &["cali-"];
const SETS: &[&str] = &["cali40"];
/// There once Felix has been at work on a node.
pub const FORWARD: &str = "cali-FORWARD";
/// The doormen of a cable: to the pod behind it, and from there. The interface's name follows.
pub const TO_POD: &str = "cali-tw-";
pub const FROM_POD: &str = "cali-fw-";

/// Of chains and of sets.
const LONGEST_CHAIN: usize = 28;
const LONGEST_SET: usize = 31;

/// Chains that every node has (`StaticFilterTableChains`): a name, and its rules as Felix renders them.
///
/// The mark's bits: 0x10000 a policy or a profile lets it pass, 0x20000 the rest of the policies is skipped, 0x80000 and
/// 0x100000 what a rule of several parts is about has been met.
const OF_THE_NODE: &str = "\
cali-FORWARD
--jump MARK --set-mark 0/0x1a0000
-m mark --mark 0/0x10000 --jump cali-from-hep-forward
--in-interface cali+ --jump cali-from-wl-dispatch
--out-interface cali+ --jump cali-to-wl-dispatch
--jump cali-to-hep-forward
--jump cali-cidr-block

cali-INPUT
--in-interface cali+ --goto cali-wl-to-host
-m mark --mark 0x10000/0x10000 --jump ACCEPT
--jump MARK --set-mark 0/0x1b0000
--jump cali-from-host-endpoint
-m comment --comment \"Host endpoint policy accepted packet.\" -m mark --mark 0x10000/0x10000 --jump ACCEPT

cali-OUTPUT
-m mark --mark 0x10000/0x10000 --jump ACCEPT
--out-interface cali+ --jump RETURN
--jump MARK --set-mark 0/0x1b0000
-m conntrack ! --ctstate DNAT --jump cali-to-host-endpoint
-m comment --comment \"Host endpoint policy accepted packet.\" -m mark --mark 0x10000/0x10000 --jump ACCEPT

cali-wl-to-host
--jump cali-from-wl-dispatch
-m comment --comment \"Configured DefaultEndpointToHostAction\" --jump ACCEPT

cali-from-host-endpoint

cali-to-host-endpoint

cali-from-hep-forward

cali-to-hep-forward

cali-cidr-block";

/// At the end of FORWARD.
const APPENDED: &str = "\
-m comment --comment \"Policy explicitly accepted packet.\" -m mark --mark 0x10000/0x10000 --jump ACCEPT
--jump MARK --set-mark 0x10000/0x10000";

/// `endpointIptablesChain`: how the chain of an endpoint begins, what one from a pod has besides, and what stands around and
/// after the jumps to policies and profiles.
const KNOWN: &str = "\
-m conntrack --ctstate RELATED,ESTABLISHED --jump ACCEPT
-m conntrack --ctstate INVALID --jump DROP
--jump MARK --set-mark 0/0x30000";
const NO_TUNNELS: &str = "
-m comment --comment \"Drop VXLAN encapped packets originating in workloads\" -p 17 -m multiport --destination-ports 4789 --jump DROP
-m comment --comment \"Drop IPinIP encapped packets originating in workloads\" -p 4 --jump DROP";
const TIER: &str = "\n-m comment --comment \"Start of tier default\" --jump MARK --set-mark 0/0x20000";
const END_OF_TIER: &str = "\n-m comment --comment \"End of tier default. Drop if no policies passed packet\" -m mark --mark 0/0x20000 --jump DROP";
const END: &str = "\n-m comment --comment \"Drop if no profiles matched\" --jump DROP";
const ACCEPTED: &str = "-m mark --mark 0x10000/0x10000 --jump RETURN";

/// `GetLengthLimitedID`.
fn limited(prefix: &str, name: &str) -> String {
    if prefix.len() + name.len() <= LONGEST_CHAIN {
        return [prefix, name].concat();
    }
    [prefix, "_", &URL.encode(&sha256(name.as_bytes()))[..LONGEST_CHAIN - 1 - prefix.len()]].concat()
}

fn policy_chain(policy: &Policy, is_ingress: bool) -> String {
    let Policy { namespace, name, .. } = policy;
    let prefix = if is_ingress { "cali-pi-" } else { "cali-po-" };
    // Of the tier `default`.
    limited(prefix, &["default/", namespace, "/knp.default.", name].concat())
}

/// The rules of a chain, one a line, with their hashes, which stand before all other comments.
fn hashed(chain: &str, rules: &str) -> Vec<Arc<Rule>> {
    let mut hash = sha224(chain.as_bytes());
    let with_hash = |text: &str| {
        let mut hashed = hash.to_vec();
        for part in ["-A ", chain, " HASH ", text.trim_end()] {
            hashed.extend(part.bytes());
        }
        hash = sha224(&hashed);
        let mut rule = Rule::read(text);
        rule.matches.insert(0, Match::Comment(["cali:", &URL.encode(&hash)[..16]].concat().into()));
        Arc::new(rule)
    };
    rules.lines().map(with_hash).collect()
}

#[derive(Default)]
struct Books {
    chains: Vec<(Table, Text, Option<Arc<Chain>>)>,
    sets: Vec<Arc<IpSet>>,
}

pub(super) fn write(policies: &[Policy], pods: &[Pod]) -> Restore {
    let mut books = Books::default();
    for chain in OF_THE_NODE.split("\n\n") {
        let (name, rules) = chain.split_once('\n').unwrap_or((chain, ""));
        books.chain(name, rules);
    }
    let is_of_here = |policy: &&Policy| pods.iter().any(|pod| policy.pods.contains(&pod.address));
    for policy in policies.iter().filter(is_of_here) {
        for (is_ingress, allowances) in [(true, &policy.ingress), (false, &policy.egress)] {
            if let Some(allowances) = allowances {
                books.policy(policy, is_ingress, allowances);
            }
        }
    }
    let mut interfaces: Vec<(Text, &Pod)> =
        pods.iter().map(|pod| (calico_interface(&[&pod.namespace, "/", &pod.name].concat()), pod)).collect();
    interfaces.arrange_by(|a, b| a.0.cmp(&b.0));
    for is_ingress in [false, true] {
        let (dispatch, flag, prefix) = match is_ingress {
            true => ("cali-to-wl-dispatch", "--out-interface ", TO_POD),
            false => ("cali-from-wl-dispatch", "--in-interface ", FROM_POD),
        };
        let mut rules = String::new();
        for (interface, pod) in &interfaces {
            let chain = limited(prefix, interface);
            rules += &[flag, interface, " --goto ", &chain, "\n"].concat();
            books.pod(&chain, pod, is_ingress, policies);
        }
        rules += "-m comment --comment \"Unknown interface\" --jump DROP";
        books.chain(dispatch, &rules);
    }
    let all = |gate: &'static str, rules: Vec<Arc<Rule>>| {
        rules.into_iter().map(move |rule| (Table::Filter, gate, rule))
    };
    let gates = ["INPUT", "FORWARD", "OUTPUT"];
    Restore {
        chains: books.chains,
        jumps: gates
            .iter()
            .flat_map(|gate| all(gate, hashed(gate, &["--jump cali-", gate].concat())))
            .collect(),
        ends: all("FORWARD", hashed("FORWARD*appends*", APPENDED)).collect(),
        replaces: Some((Table::Filter, CHAINS)),
        sets: Some((SETS, books.sets)),
        ..Restore::default()
    }
}

impl Books {
    fn chain(&mut self, name: &str, rules: &str) {
        if self.chains.iter().all(|(_, other, _)| other != name) {
            let rules = hashed(name, rules);
            self.chains.push((Table::Filter, name.into(), Some(Arc::new(Chain { rules }))));
        }
    }

    /// The chain of an endpoint, and the profiles of the pod.
    fn pod(&mut self, chain: &str, pod: &Pod, is_ingress: bool, policies: &[Policy]) {
        let mut rules = String::from(KNOWN);
        if !is_ingress {
            rules += NO_TUNNELS;
        }
        let is_about = |policy: &&Policy| {
            let way = if is_ingress { &policy.ingress } else { &policy.egress };
            way.is_some() && policy.pods.contains(&pod.address)
        };
        let mut about = policies.iter().filter(is_about).peekable();
        if about.peek().is_some() {
            rules += TIER;
            for policy in about {
                rules += "\n-m mark --mark 0/0x20000 --jump ";
                rules += &policy_chain(policy, is_ingress);
                rules += "\n-m comment --comment \"Return if policy accepted\" ";
                rules += ACCEPTED;
            }
            rules += END_OF_TIER;
        }
        let (prefix, way) = if is_ingress { ("cali-pri-", "ingress") } else { ("cali-pro-", "egress") };
        let Pod { namespace, account, .. } = pod;
        // What no policy is about may pass, by its namespace's profile.
        for (profile, verdict) in [
            (["kns.", namespace].concat(), " --jump MARK --set-mark 0x10000/0x10000"),
            (["ksa.", namespace, ".", account].concat(), ""),
        ] {
            let name = limited(prefix, &profile);
            rules +=
                &["\n--jump ", &name, "\n-m comment --comment \"Return if profile accepted\" ", ACCEPTED]
                    .concat();
            let only = ["-m comment --comment \"Profile ", &profile, " ", way, "\"", verdict].concat();
            self.chain(&name, &only);
        }
        rules += END;
        self.chain(chain, &rules);
    }

    /// `ProtoRulesToIptablesRules`: each peer of a rule, with its ports.
    fn policy(&mut self, policy: &Policy, is_ingress: bool, allowances: &[Allowance]) {
        let Policy { namespace, name, .. } = policy;
        let (way, by, side) = match is_ingress {
            true => ("ingress", " src ", "--source "),
            false => ("egress", " dst ", "--destination "),
        };
        let mut rules =
            ["-m comment --comment \"Policy ", namespace, "/knp.default.", name, " ", way, "\" "].concat();
        for (number, allowance) in allowances.iter().enumerate() {
            let key = format!("{namespace}/{name}/{way}/{number}");
            if allowance.is_of_all {
                self.lines(&mut rules, "", "", allowance, &key);
            }
            if !allowance.pods.is_empty() {
                let entries = allowance.pods.iter().map(|address| (Cidr::one(*address), false)).collect();
                let name = self.set("s:", &key, "hash:net", entries, Vec::new());
                let peer = ["-m set --match-set ", &name, by].concat();
                self.lines(&mut rules, &peer, "", allowance, &key);
            }
            for block in &allowance.blocks {
                let ranges = |out: bool| {
                    let of = block.iter().filter(move |(_, is_left_out)| *is_left_out == out);
                    of.map(|(range, _)| format!("{side}{range} "))
                };
                for whole in ranges(false) {
                    let mut mark = "";
                    for (number, range) in ranges(true).enumerate() {
                        mark = "-m mark --mark 0x80000/0x80000 ";
                        if number == 0 {
                            rules += "--jump MARK --set-mark 0x80000/0x180000\n";
                        }
                        rules += &[&range, "--jump MARK --set-mark 0/0x80000\n"].concat();
                    }
                    self.lines(&mut rules, &whole, mark, allowance, &key);
                }
            }
        }
        // A return at the end changes nothing.
        while let Some(shorter) = rules.trim_end_matches('\n').strip_suffix(ACCEPTED) {
            rules.truncate(shorter.len());
        }
        self.chain(&policy_chain(policy, is_ingress), rules.trim_end_matches('\n'));
    }

    /// The lines for one peer: the mark for who meets all of it by one of the ports, and the way back for who has it.
    fn lines(&mut self, rules: &mut String, peer: &str, mark: &str, allowance: &Allowance, key: &str) {
        let mut push = |protocol: &str, ports: &str| {
            for part in
                [protocol, peer, ports, mark, "--jump MARK --set-mark 0x10000/0x10000\n", ACCEPTED, "\n"]
            {
                rules.push_str(part);
            }
        };
        if allowance.is_of_all_ports {
            return push("", "");
        }
        for Port { protocol, numbers } in &allowance.ports {
            let ports = match *numbers {
                None => String::new(),
                Some((first, last)) if first == last => format!("-m multiport --destination-ports {first} "),
                Some((first, last)) => format!("-m multiport --destination-ports {first}:{last} "),
            };
            push(&["-p ", protocol.name(), " "].concat(), &ports);
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
            let owners = ["-m set --match-set ", &name, " dst,dst "].concat();
            push(&["-p ", protocol.name(), " "].concat(), &owners);
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
        let mut name = ["cali40", prefix].concat();
        name += &URL.encode(&sha224(key.as_bytes()))[..LONGEST_SET - name.len()];
        let name = Text::from(name);
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
