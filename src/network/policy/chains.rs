//! The rules and sets of one node.
//!
//! Picture to hold in mind: the doorman's books, written out. All of them are written anew at each sync, under new
//! names, so that no guest ever meets a half-written one.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;
use crate::api::sha256::short_hash;
use crate::network::ipam::Cidr;
use crate::network::netfilter::walk::{ECHO_REQUEST, ECHO_REQUEST_6};
use crate::network::netfilter::{Chain, CtState, IpSet, Match, Not, Restore, Rule, Table, Target};
use crate::network::packet::Protocol;

use super::read::{Allowance, Pod, Policy, Port};
use super::{CHAINS, SETS, SETS_6, Settings};

/// Some policy lets it pass.
const ALLOWED: u32 = 0x10000;
/// The doormen of both ends have let it pass.
const PASSED: u32 = 0x20000;

const INPUT: &str = "KUBE-ROUTER-INPUT";
/// There once kube-router has been at work on a node.
pub(super) const FORWARD: &str = "KUBE-ROUTER-FORWARD";
const OUTPUT: &str = "KUBE-ROUTER-OUTPUT";
const DEFAULT: &str = "KUBE-NWPLCY-DEFAULT";
const COMMON: &str = "KUBE-NWPLCY-COMMON";
const TAIL: &str = "KUBE-NWPLCY-TAIL";
/// `--service-node-port-range`.
const NODE_PORTS: (u16, u16) = (30_000, 32_767);

fn has(mark: u32, is_negated: bool) -> Match {
    Match::Mark { value: mark, mask: mark, is_negated }
}
fn one(address: IpAddr) -> Not<Cidr> {
    Not::is(Cidr::one(address))
}
fn states(states: &'static [CtState]) -> Match {
    Match::ConnectionState { states, is_negated: false }
}

/// Comments of at most 120 bytes, as both packet filters of Linux take them.
fn comment(namespace: &str, name: &str, what: &str) -> Text {
    let mut text = format!("{namespace}/{name} {what}");
    text.truncate(120);
    text.into()
}
/// A comment that ends in the hash of its rule, by which kube-router finds it again.
fn marked(text: &str, chain: &str, options: &str) -> Text {
    arcstr::format!("{text} - {}", short_hash(&format!("{chain}{options}")))
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
        let text = "kube-router netpol";
        let text = marked(text, from, &format!("-mcomment--comment{text}-j{to}"));
        (table, from, Arc::new(Rule::jump(to).comment(text)))
    });
    let names: Vec<Ways> = policies.iter().map(|policy| books.policy(policy)).collect();
    let mut gates = Gates { input: entrance(settings, is_ipv6), forward: Vec::new(), output: Vec::new() };
    for pod in pods {
        let chain = books.pod(pod, policies.iter().zip(&names));
        gates.send(pod, &chain);
    }
    books.shared();
    for (name, mut rules) in [(INPUT, gates.input), (FORWARD, gates.forward), (OUTPUT, gates.output)] {
        rules.push(
            Rule::jump(TAIL)
                .comment("rule to explicitly handle traffic for network policies ACCEPT/REJECT decision"),
        );
        rules.push(
            Rule::with(Target::Accept)
                .comment("rule to explicitly ACCEPT traffic that comply to network policies")
                .when(has(PASSED, false)),
        );
        books.chain(name, rules);
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
fn entrance(settings: &Settings, is_ipv6: bool) -> Vec<Rule> {
    let mut rules = Vec::new();
    if let Some(range) = settings.service_range.filter(|range| range.is_ipv6() == is_ipv6) {
        let text = "allow traffic to primary/secondary cluster IP range";
        let text = marked(text, INPUT, &format!("-mcomment--comment{text}-d{range}-jRETURN"));
        rules.push(Rule::with(Target::Return).comment(text).to(Not::is(range)));
    }
    let (first, last) = NODE_PORTS;
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let text = format!("allow LOCAL {} traffic to node ports", protocol.upper_name());
        let name = protocol.name();
        let options = format!(
            "-p{name}-mcomment--comment{text}-maddrtype--dst-typeLOCAL-mmultiport--dports{first}:{last}-jRETURN"
        );
        let rule = Rule::with(Target::Return)
            .comment(marked(&text, INPUT, &options))
            .when(Match::DestinationLocal { is_negated: false })
            .when(Match::DestinationPorts { protocol, first, last, is_multiport: true });
        rules.push(Rule { protocol: Some(protocol), ..rule });
    }
    rules
}

/// The three gates of the node that send packets to the doormen.
struct Gates {
    input: Vec<Rule>,
    forward: Vec<Rule>,
    output: Vec<Rule>,
}

impl Gates {
    /// `interceptPodInboundTraffic` and `interceptPodOutboundTraffic`.
    fn send(&mut self, pod: &Pod, chain: &Text) {
        let address = one(pod.address);
        let say = |what: &str| Match::Comment(comment(&pod.namespace, &pod.name, what));
        let to = |rule: Rule| rule.when(say("in")).to(address.clone());
        let from = |rule: Rule| rule.when(say("out")).from(address.clone());
        let jump = || Rule::jump(chain.clone());
        self.forward.push(to(jump()));
        self.output.push(to(jump()));
        self.forward.push(to(jump().when(Match::Bridged)));
        for gate in [&mut self.input, &mut self.forward, &mut self.output] {
            gate.push(from(jump()));
        }
        self.forward.push(from(jump().when(Match::Bridged)));
    }
}

/// The chains of a policy, one for each way that it is about.
#[derive(Default)]
struct Ways {
    ingress: Option<Text>,
    egress: Option<Text>,
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
    fn chain(&mut self, name: impl Into<Text>, rules: Vec<Rule>) {
        let rules = rules.into_iter().map(Arc::new).collect();
        self.chains.push((self.table, name.into(), Some(Arc::new(Chain { rules }))));
    }
    fn set(&mut self, name: Text, is_of_ranges: bool, entries: Vec<(Cidr, bool)>) -> Text {
        let name = if self.table == Table::Filter6 { arcstr::format!("inet6:{name}") } else { name };
        // Pods that know a port by name are the same for all peers of a rule.
        if self.sets.iter().all(|set| set.name != name) {
            let kind = if is_of_ranges { "hash:net" } else { "hash:ip" };
            self.sets.push(Arc::new(IpSet { name: name.clone(), kind, entries, ports: Vec::new() }));
        }
        name
    }
    fn set_of_addresses(&mut self, name: Text, addresses: &[IpAddr]) -> Text {
        self.set(name, false, addresses.iter().map(|address| (Cidr::one(*address), false)).collect())
    }

    /// Chains that all pods share.
    fn shared(&mut self) {
        self.chain(
            DEFAULT,
            vec![
                Rule::with(Target::MarkOr(ALLOWED)).comment("rule to mark traffic matching a network policy"),
            ],
        );
        let icmp = |kind: u8, text: &str| Rule {
            protocol: Some(Protocol::Icmp),
            ..Rule::with(Target::Accept).comment(text).when(Match::IcmpType(kind))
        };
        let mut common = vec![
            Rule::with(Target::Drop)
                .comment("rule to drop invalid state for pod")
                .when(states(&[CtState::Invalid])),
            Rule::with(Target::Accept)
                .comment("rule for stateful firewall for pod")
                .when(states(&[CtState::Related, CtState::Established])),
        ];
        let is_ipv6 = self.table == Table::Filter6;
        let numbers = if is_ipv6 { [ECHO_REQUEST_6, 1, 3] } else { [ECHO_REQUEST, 3, 11] };
        for (number, what) in numbers.into_iter().zip([
            "echo requests",
            "destination unreachable messages",
            "time exceeded messages",
        ]) {
            common.push(icmp(number, &format!("allow icmp {what}")));
        }
        if is_ipv6 {
            common.push(icmp(135, "allow icmp neighbor solicitation messages"));
            common.push(icmp(136, "allow icmp neighbor advertisement messages"));
        }
        self.chain(COMMON, common);
        self.chain(
            TAIL,
            vec![Rule::with(Target::Accept).comment("accept netpol-ok").when(has(PASSED, false))],
        );
    }

    /// The doorman of a pod of this node.
    fn pod<'a>(&mut self, pod: &Pod, policies: impl Iterator<Item = (&'a Policy, &'a Ways)>) -> Text {
        let Pod { namespace, name, address, .. } = pod;
        let chain: Text =
            arcstr::format!("KUBE-POD-FW-{}", short_hash(&format!("{namespace}{name}{}", self.version)));
        let (mut is_ingress_ruled, mut is_egress_ruled) = (false, false);
        // Each is put on top of what is there.
        let mut top = Vec::new();
        for (policy, ways) in policies.filter(|(policy, _)| policy.pods.contains(address)) {
            let say = |rule: Rule| rule.comment(comment(&policy.namespace, &policy.name, "policy"));
            if let Some(chain) = &ways.ingress {
                is_ingress_ruled = true;
                top.push(say(Rule::jump(chain.clone())).to(one(*address)));
            }
            if let Some(chain) = &ways.egress {
                is_egress_ruled = true;
                top.push(say(Rule::jump(chain.clone())).from(one(*address)));
            }
        }
        if !is_ingress_ruled {
            top.push(Rule::jump(DEFAULT).comment("default ingress").to(one(*address)));
        }
        if !is_egress_ruled {
            top.push(Rule::jump(DEFAULT).comment("default egress").from(one(*address)));
        }
        let from_node = Match::SourceLocal { is_negated: false };
        top.push(Rule::with(Target::Accept).comment("from local node").when(from_node).to(one(*address)));
        top.push(Rule::jump(COMMON).comment("common netpol rules"));
        let mut rules: Vec<Rule> = top.into_iter().rev().collect();
        let unstamped = |target: Target, what: &str| {
            Rule::with(target).comment(comment(namespace, name, what)).when(has(ALLOWED, true))
        };
        let limit = Match::Limit { per_minute: 10, burst: 10 };
        rules.push(unstamped(Target::Log { group: 100 }, "log-drop").when(limit));
        rules.push(unstamped(Target::Reject, "reject"));
        rules.push(Rule::with(Target::MarkClear(ALLOWED)));
        rules.push(Rule::with(Target::MarkOr(PASSED)).comment("set netpol-ok mark"));
        self.chain(chain.clone(), rules);
        chain
    }

    /// The books of a policy.
    fn policy(&mut self, policy: &Policy) -> Ways {
        let Policy { namespace, name, pods, ingress, egress } = policy;
        let hash = short_hash(&format!("{namespace}{name}{}", self.family));
        let mut ways = Ways::default();
        for (is_ingress, allowances) in [(true, ingress), (false, egress)] {
            let Some(allowances) = allowances else { continue };
            let (prefix, way) = match is_ingress {
                true => ("KUBE-DST", &mut ways.ingress),
                false => ("KUBE-SRC", &mut ways.egress),
            };
            // A policy of one way has kube-router's own name for it.
            let second = if !is_ingress && ingress.is_some() { "egress" } else { "" };
            let chain = short_hash(&format!("{namespace}{name}{}{}{second}", self.version, self.family));
            let chain: Text = arcstr::format!("KUBE-NWPLCY-{chain}");
            *way = Some(chain.clone());
            let own = self.set_of_addresses(arcstr::format!("{prefix}-{hash}"), pods);
            let mut rules = Vec::new();
            for (number, allowance) in allowances.iter().enumerate() {
                let mut page = Page { books: self, policy, is_ingress, number, own: &own, rules: &mut rules };
                page.write(allowance);
            }
            self.chain(chain, rules);
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
    rules: &'a mut Vec<Rule>,
}

impl Page<'_, '_> {
    /// A set's name: of the peers, or of pods that know a port by name.
    fn name(&self, is_source: bool, what: &str) -> Text {
        let Policy { namespace, name, .. } = self.policy;
        let direction = if self.is_ingress { "ingressrule" } else { "egressrule" };
        let hash = short_hash(&format!("{namespace}{name}{direction}{}{what}", self.number));
        arcstr::format!("{}-{hash}", if is_source { "KUBE-SRC" } else { "KUBE-DST" })
    }

    /// `processIngressRules`, `processEgressRules`.
    fn write(&mut self, allowance: &Allowance) {
        if allowance.is_of_all {
            self.allow("any", None, allowance);
        }
        if !allowance.pods.is_empty() {
            let name = self.name(self.is_ingress, &format!("{}pod", self.books.family));
            let peers = self.books.set_of_addresses(name, &allowance.pods);
            self.allow("pods", Some(&peers), allowance);
        }
        for (at, block) in allowance.blocks.iter().enumerate() {
            let number = if at == 0 { String::new() } else { at.to_string() };
            let name = self.name(self.is_ingress, &format!("{}ipblock{number}", self.books.family));
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
        let what = format!("{} {whom}", if self.is_ingress { "ingress" } else { "egress" });
        if allowance.is_of_all_ports {
            return self.line(&what, source, destination, None);
        }
        for port in &allowance.ports {
            self.line(&what, source, destination, Some(*port));
        }
        for (at, named) in allowance.named_ports.iter().enumerate() {
            let what = format!("{what} np");
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
        let mut rule = Rule::default().comment(comment(&self.policy.namespace, &self.policy.name, what));
        for (set, by) in [(source, "src"), (destination, "dst")] {
            if let Some(name) = set {
                rule = rule.when(Match::Set { name: name.clone(), by });
            }
        }
        if let Some(Port { protocol, numbers }) = port {
            rule = match numbers {
                None => Rule { protocol: Some(protocol), ..rule },
                Some((first, last)) if first == last => rule.port(protocol, Some(first)),
                Some((first, last)) => Rule { protocol: Some(protocol), ..rule }
                    .when(Match::DestinationPorts { protocol, first, last, is_multiport: false }),
            };
        }
        self.rules.push(rule.clone().then(Target::MarkOr(ALLOWED)));
        self.rules.push(rule.when(has(ALLOWED, false)).then(Target::Return));
    }
}
