//! The rules and sets of one node.
//!
//! Picture to hold in mind: the doorman's books, written out. All of them are written anew at each sync, under new
//! names, so that no guest ever meets a half-written one.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;
use crate::api::sha256::short_hash;
use crate::network::ipam::Cidr;
use crate::network::netfilter::{Chain, IpSet, Restore, Rule, Table, read};
use crate::network::packet::Protocol;

use super::read::{Allowance, Pod, Policy, Port};
use super::{CHAINS, SETS, SETS_6, Settings};

const INPUT: &str = "KUBE-ROUTER-INPUT";
/// There once kube-router has been at work on a node.
pub(super) const FORWARD: &str = "KUBE-ROUTER-FORWARD";
const OUTPUT: &str = "KUBE-ROUTER-OUTPUT";

/// Chains that all pods share. Of the mark's bits 0x10000 says that some policy lets it pass, 0x20000 that the doormen of both
/// ends have.
const DEFAULT: &str = "-m comment --comment \"rule to mark traffic matching a network policy\" -j MARK --set-xmark 0x10000/0x10000";
const COMMON: &str = "\
-m comment --comment \"rule to drop invalid state for pod\" -m conntrack --ctstate INVALID -j DROP
-m comment --comment \"rule for stateful firewall for pod\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
/// Types of ICMP, and of ICMPv6.
const MESSAGES: [&[(u8, &str)]; 2] = [
    &[(8, "echo requests"), (3, "destination unreachable messages"), (11, "time exceeded messages")],
    &[
        (128, "echo requests"),
        (1, "destination unreachable messages"),
        (3, "time exceeded messages"),
        (135, "neighbor solicitation messages"),
        (136, "neighbor advertisement messages"),
    ],
];
const TAIL: &str = "-m comment --comment \"accept netpol-ok\" -m mark --mark 0x20000/0x20000 -j ACCEPT";
/// How the chains of the gates end.
const END_OF_GATE: &str = "\
-m comment --comment \"rule to explicitly handle traffic for network policies ACCEPT/REJECT decision\" -j KUBE-NWPLCY-TAIL
-m comment --comment \"rule to explicitly ACCEPT traffic that comply to network policies\" -m mark --mark 0x20000/0x20000 -j ACCEPT";

/// A comment of at most 120 bytes, as both packet filters of Linux take them.
fn comment(namespace: &str, name: &str, what: &str) -> String {
    let mut text = [namespace, "/", name, " ", what].concat();
    text.truncate(120);
    ["-m comment --comment \"", &text, "\" "].concat()
}
/// A comment that ends in the hash of its rule, by which kube-router finds it again: of its options without blanks.
fn marked(text: &str, chain: &str, before: &str, behind: &str) -> String {
    let options = [chain, before, "-mcomment--comment", text, behind].concat().replace(' ', "");
    // The comment keeps its blanks.
    let options = options.replace(&text.replace(' ', ""), text);
    ["-m comment --comment \"", text, " - ", &short_hash(&options), "\" "].concat()
}

pub(super) fn write(
    settings: &Settings,
    policies: &[Policy],
    pods: &[Pod],
    version: &str,
    is_ipv6: bool,
) -> Restore {
    let (table, family) = if is_ipv6 { (Table::Filter6, "IPv6") } else { (Table::Filter, "IPv4") };
    let mut books = Books { version, family, table, chains: Vec::new(), sets: Vec::new() };
    let jumps = [("INPUT", INPUT), ("FORWARD", FORWARD), ("OUTPUT", OUTPUT)].map(|(from, to)| {
        let jump = ["-j ", to].concat();
        let text = marked("kube-router netpol", from, "", &jump);
        (table, from, Arc::new(Rule::read(&(text + &jump))))
    });
    let names: Vec<[Option<Text>; 2]> = policies.iter().map(|policy| books.policy(policy)).collect();
    let mut gates = [entrance(settings, is_ipv6), String::new(), String::new()];
    for pod in pods {
        let chain = books.pod(pod, policies.iter().zip(&names));
        send(&mut gates, pod, &chain);
    }
    books.chain("KUBE-NWPLCY-DEFAULT", DEFAULT);
    let mut common = String::from(COMMON);
    for (number, what) in MESSAGES[usize::from(is_ipv6)] {
        common += &format!(
            "\n-p icmp -m comment --comment \"allow icmp {what}\" -m icmp --icmp-type {number} -j ACCEPT"
        );
    }
    books.chain("KUBE-NWPLCY-COMMON", &common);
    books.chain("KUBE-NWPLCY-TAIL", TAIL);
    for (name, rules) in [INPUT, FORWARD, OUTPUT].iter().zip(gates) {
        books.chain(*name, &(rules + END_OF_GATE));
    }
    Restore {
        chains: books.chains,
        jumps: jumps.to_vec(),
        replaces: Some((table, CHAINS)),
        sets: Some((if is_ipv6 { SETS_6 } else { SETS }, books.sets)),
        ..Restore::default()
    }
}

/// What the node itself is asked for by service addresses and node ports is not for the doormen to judge: behind the
/// translation they see it again.
fn entrance(settings: &Settings, is_ipv6: bool) -> String {
    let mut rules = String::new();
    if let Some(range) = settings.service_range.filter(|range| range.is_ipv6() == is_ipv6) {
        let options = format!("-d {range} -j RETURN");
        rules += &marked("allow traffic to primary/secondary cluster IP range", INPUT, "", &options);
        rules += &options;
        rules.push('\n');
    }
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let text = ["allow LOCAL ", protocol.upper_name(), " traffic to node ports"].concat();
        let before = ["-p ", protocol.name(), " "].concat();
        // `--service-node-port-range`.
        let behind = "-m addrtype --dst-type LOCAL -m multiport --dports 30000:32767 -j RETURN";
        rules += &[before.as_str(), &marked(&text, INPUT, &before, behind), behind, "\n"].concat();
    }
    rules
}

/// `interceptPodInboundTraffic` and `interceptPodOutboundTraffic`: the three gates of the node send packets to the doormen.
fn send([input, forward, output]: &mut [String; 3], pod: &Pod, chain: &Text) {
    let line = |flag: &str, bridged: &str, what: &str| {
        let say = comment(&pod.namespace, &pod.name, what);
        format!("{flag} {} {bridged}{say}-j {chain}\n", Cidr::one(pod.address))
    };
    const BRIDGED: &str = "-m physdev --physdev-is-bridged ";
    let (to, from) = (line("-d", "", "in"), line("-s", "", "out"));
    for part in [&to, &line("-d", BRIDGED, "in"), &from, &line("-s", BRIDGED, "out")] {
        forward.push_str(part);
    }
    input.push_str(&from);
    *output += &to;
    *output += &from;
}

struct Books<'a> {
    version: &'a str,
    /// Part of what the names of sets and chains are made from.
    family: &'static str,
    table: Table,
    chains: Vec<(Table, Text, Option<Arc<Chain>>)>,
    sets: Vec<Arc<IpSet>>,
}

impl Books<'_> {
    /// A chain of rules, one a line.
    fn chain(&mut self, name: impl Into<Text>, rules: &str) {
        let rules = read::rules(rules);
        self.chains.push((self.table, name.into(), Some(Arc::new(Chain { rules }))));
    }
    fn set(&mut self, name: String, is_of_ranges: bool, entries: Vec<(Cidr, bool)>) -> Text {
        let six = if self.table == Table::Filter6 { "inet6:" } else { "" };
        let name = Text::from([six, &name].concat());
        // Pods that know a port by name are the same for all peers of a rule.
        if self.sets.iter().all(|set| set.name != name) {
            let kind = if is_of_ranges { "hash:net" } else { "hash:ip" };
            self.sets.push(Arc::new(IpSet { name: name.clone(), kind, entries, ports: Vec::new() }));
        }
        name
    }
    fn set_of_addresses(&mut self, name: String, addresses: &[IpAddr]) -> Text {
        self.set(name, false, addresses.iter().map(|address| (Cidr::one(*address), false)).collect())
    }

    /// The doorman of a pod of this node.
    fn pod<'a>(
        &mut self,
        pod: &Pod,
        policies: impl Iterator<Item = (&'a Policy, &'a [Option<Text>; 2])>,
    ) -> Text {
        let Pod { namespace, name, address, .. } = pod;
        let chain: Text =
            ["KUBE-POD-FW-", &short_hash(&[namespace, name, self.version].concat())].concat().into();
        let own = Cidr::one(*address);
        let flags = ["-d", "-s"];
        let mut is_ruled = [false; 2];
        // Each is put on top of what is there.
        let mut top: Vec<String> = Vec::new();
        for (policy, ways) in policies.filter(|(policy, _)| policy.pods.contains(address)) {
            for (way, chain) in ways.iter().enumerate() {
                let Some(chain) = chain else { continue };
                is_ruled[way] = true;
                let say = comment(&policy.namespace, &policy.name, "policy");
                top.push(format!("{} {own} {say}-j {chain}\n", flags[way]));
            }
        }
        for way in 0..2 {
            if !is_ruled[way] {
                let (flag, word) = (flags[way], ["ingress", "egress"][way]);
                top.push(format!(
                    "{flag} {own} -m comment --comment \"default {word}\" -j KUBE-NWPLCY-DEFAULT\n"
                ));
            }
        }
        top.push(format!(
            "-d {own} -m comment --comment \"from local node\" -m addrtype --src-type LOCAL -j ACCEPT\n"
        ));
        top.push("-m comment --comment \"common netpol rules\" -j KUBE-NWPLCY-COMMON\n".into());
        let mut rules: String = top.into_iter().rev().collect();
        for (what, end) in [
            ("log-drop", "-m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-group 100\n"),
            ("reject", "-j REJECT --reject-with icmp-port-unreachable\n"),
        ] {
            rules += &[&comment(namespace, name, what), "-m mark ! --mark 0x10000/0x10000 ", end].concat();
        }
        rules += "-j MARK --set-xmark 0x0/0x10000\n-m comment --comment \"set netpol-ok mark\" -j MARK --set-xmark 0x20000/0x20000";
        self.chain(chain.clone(), &rules);
        chain
    }

    /// The books of a policy: the chains for what comes in and what goes out, where it is about that.
    fn policy(&mut self, policy: &Policy) -> [Option<Text>; 2] {
        let Policy { namespace, name, pods, ingress, egress } = policy;
        let hash = short_hash(&[namespace, name, self.family].concat());
        let mut ways = [None, None];
        for (is_ingress, allowances) in [(true, ingress), (false, egress)] {
            let Some(allowances) = allowances else { continue };
            let prefix = if is_ingress { "KUBE-DST-" } else { "KUBE-SRC-" };
            // A policy of one way has kube-router's own name for it.
            let second = if !is_ingress && ingress.is_some() { "egress" } else { "" };
            let chain = short_hash(&[namespace, name, self.version, self.family, second].concat());
            let chain: Text = ["KUBE-NWPLCY-", &chain].concat().into();
            ways[usize::from(!is_ingress)] = Some(chain.clone());
            let own = self.set_of_addresses([prefix, &hash].concat(), pods);
            let mut rules = String::new();
            for (number, allowance) in allowances.iter().enumerate() {
                let mut page = Page { books: self, policy, is_ingress, number, own: &own, rules: &mut rules };
                page.write(allowance);
            }
            self.chain(chain, &rules);
        }
        ways
    }
}

/// One rule of a policy.
struct Page<'a, 'b> {
    books: &'a mut Books<'b>,
    policy: &'a Policy,
    is_ingress: bool,
    number: usize,
    /// The set of the policy's own pods.
    own: &'a Text,
    rules: &'a mut String,
}

impl Page<'_, '_> {
    /// A set's name: of the peers, or of pods that know a port by name.
    fn name(&self, is_source: bool, what: &str) -> String {
        let Policy { namespace, name, .. } = self.policy;
        let direction = if self.is_ingress { "ingressrule" } else { "egressrule" };
        let hash = short_hash(&format!("{namespace}{name}{direction}{}{what}", self.number));
        [if is_source { "KUBE-SRC-" } else { "KUBE-DST-" }, &hash].concat()
    }

    /// `processIngressRules`, `processEgressRules`.
    fn write(&mut self, allowance: &Allowance) {
        if allowance.is_of_all {
            self.allow("any", None, allowance);
        }
        if !allowance.pods.is_empty() {
            let name = self.name(self.is_ingress, &[self.books.family, "pod"].concat());
            let peers = self.books.set_of_addresses(name, &allowance.pods);
            self.allow("pods", Some(&peers), allowance);
        }
        for (at, block) in allowance.blocks.iter().enumerate() {
            let number = if at == 0 { String::new() } else { at.to_string() };
            let name = self.name(self.is_ingress, &[self.books.family, "ipblock", &number].concat());
            let peers = self.books.set(name, true, block.clone());
            self.allow("cidr", Some(&peers), allowance);
        }
    }

    fn allow(&mut self, whom: &str, peers: Option<&Text>, allowance: &Allowance) {
        let own = self.own.clone();
        let (source, destination) = match self.is_ingress {
            true => (peers, Some(&own)),
            false => (Some(&own), peers),
        };
        let what = [if self.is_ingress { "ingress " } else { "egress " }, whom].concat();
        if allowance.is_of_all_ports {
            return self.line(&what, source, destination, None);
        }
        for port in &allowance.ports {
            self.line(&what, source, destination, Some(*port));
        }
        for (at, named) in allowance.named_ports.iter().enumerate() {
            let what = [&what, " np"].concat();
            // Everybody's port of that name has its number.
            if !self.is_ingress && peers.is_none() {
                self.line(&what, source, None, Some(named.port));
                continue;
            }
            let name = self.name(false, &format!("{at}{}namedport", self.books.family));
            let owners = self.books.set_of_addresses(name, &named.addresses);
            self.line(&what, source, Some(&owners), Some(named.port));
        }
    }

    /// `appendRuleToPolicyChain`: the stamp, and the end of the book for those who have it.
    fn line(&mut self, what: &str, source: Option<&Text>, destination: Option<&Text>, port: Option<Port>) {
        let mut rule = String::new();
        if let Some(Port { protocol, .. }) = port {
            rule += &["-p ", protocol.name(), " "].concat();
        }
        rule += &comment(&self.policy.namespace, &self.policy.name, what);
        for (set, by) in [(source, " src "), (destination, " dst ")] {
            if let Some(name) = set {
                rule += &["-m set --match-set ", name, by].concat();
            }
        }
        if let Some(Port { protocol, numbers: Some((first, last)) }) = port {
            rule += &format!("-m {} --dport {first}", protocol.name());
            if last != first {
                rule += &format!(":{last}");
            }
            rule.push(' ');
        }
        for end in ["-j MARK --set-xmark 0x10000/0x10000\n", "-m mark --mark 0x10000/0x10000 -j RETURN\n"] {
            self.rules.push_str(&rule);
            self.rules.push_str(end);
        }
    }
}
