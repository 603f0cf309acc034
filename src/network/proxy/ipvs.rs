//! Ipvs mode: virtual servers, the sets that say whose packets are marked, and the few rules that read them.
//!
//! Picture to hold in mind: the sorting office hires a switchboard. What is left of its boards are short lists: who
//! must be disguised, whose calls come back to themselves, who may not be called at all.
//!
//! Follows `pkg/proxy/ipvs/proxier.go` (`syncProxyRules`, `syncEndpoint`, `writeIptablesRules`), which upstream has
//! deprecated. Real servers that go are gone at once.

use std::sync::Arc;

use crate::arrange::Arrange;
use crate::network::ipam::Cidr;
use crate::network::ipvs::VirtualServer;
use crate::network::netfilter::{
    Chain, CtState, IpSet, Leftover, Match, Not, PortEntry, Restore, Rule, Table, Target,
};
use crate::network::packet::Protocol;

use super::endpoints::{Chosen, Endpoint};
use super::iptables::{self, FIREWALL, FORWARD, MARK_MASQUERADE, POSTROUTING, SERVICES};
use super::service::ServicePort;
use super::{ServiceRules, Settings};

const NODE_PORT: &str = "KUBE-NODE-PORT";
const LOAD_BALANCER: &str = "KUBE-LOAD-BALANCER";
const SOURCE_RANGES: &str = "KUBE-SOURCE-RANGES-FIREWALL";
const FILTER: &str = "KUBE-IPVS-FILTER";
const OUT_FILTER: &str = "KUBE-IPVS-OUT-FILTER";

const LOOP_BACK: &str = "KUBE-LOOP-BACK";
const CLUSTER_IP: &str = "KUBE-CLUSTER-IP";
const EXTERNAL_IP: &str = "KUBE-EXTERNAL-IP";
const EXTERNAL_IP_LOCAL: &str = "KUBE-EXTERNAL-IP-LOCAL";
const LOAD_BALANCER_LOCAL: &str = "KUBE-LOAD-BALANCER-LOCAL";
const LOAD_BALANCER_FIREWALL: &str = "KUBE-LOAD-BALANCER-FW";
const SOURCE_IP: &str = "KUBE-LOAD-BALANCER-SOURCE-IP";
const SOURCE_CIDR: &str = "KUBE-LOAD-BALANCER-SOURCE-CIDR";
const HEALTH_CHECK: &str = "KUBE-HEALTH-CHECK-NODE-PORT";
const ADDRESSES: &str = "KUBE-IPVS-IPS";

const IP_PORT: &str = "hash:ip,port";
const IP_PORT_IP: &str = "hash:ip,port,ip";
const PORT: &str = "bitmap:port";

/// Name, type, and the comment of rules that read it.
const SETS: [(&str, &str, &str); 17] = [
    (LOOP_BACK, IP_PORT_IP, "endpoints dst ip:port, source ip for solving hairpin purpose"),
    (CLUSTER_IP, IP_PORT, "service cluster ip + port for masquerade purpose"),
    (EXTERNAL_IP, IP_PORT, "service external ip + port for masquerade and filter purpose"),
    (EXTERNAL_IP_LOCAL, IP_PORT, "service external ip + port with externalTrafficPolicy=local"),
    (LOAD_BALANCER, IP_PORT, "service lb portal"),
    (LOAD_BALANCER_FIREWALL, IP_PORT, "service load balancer ip + port for load balancer with sourceRange"),
    (LOAD_BALANCER_LOCAL, IP_PORT, "service load balancer ip + port with externalTrafficPolicy=local"),
    (SOURCE_IP, IP_PORT_IP, "service load balancer ip + port + source IP for packet filter purpose"),
    (
        SOURCE_CIDR,
        "hash:ip,port,net",
        "service load balancer ip + port + source cidr for packet filter purpose",
    ),
    ("KUBE-NODE-PORT-TCP", PORT, "nodeport TCP port for masquerade purpose"),
    ("KUBE-NODE-PORT-LOCAL-TCP", PORT, "nodeport TCP port with externalTrafficPolicy=local"),
    ("KUBE-NODE-PORT-UDP", PORT, "nodeport UDP port for masquerade purpose"),
    ("KUBE-NODE-PORT-LOCAL-UDP", PORT, "nodeport UDP port with externalTrafficPolicy=local"),
    (
        "KUBE-NODE-PORT-SCTP-HASH",
        IP_PORT,
        "nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
    ),
    (
        "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
        IP_PORT,
        "nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
    ),
    (HEALTH_CHECK, PORT, "health check node port"),
    (ADDRESSES, "hash:ip", ""),
];
/// Where the node ports of a protocol are, in [`SETS`]; those of policy Local one behind.
fn node_port_sets(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Udp => 11,
        Protocol::Sctp => 13,
        _ => 9,
    }
}

/// What is not in use in nftables mode.
pub const AND_IPTABLES_LEFTOVERS: &[Leftover] = {
    let [a, b, c, d] = iptables::LEFTOVERS;
    &[
        a,
        b,
        c,
        d,
        Leftover::Servers,
        Leftover::Chains(Table::Nat, &[NODE_PORT, LOAD_BALANCER]),
        Leftover::Chains(Table::Filter, &[NODE_PORT, SOURCE_RANGES, FILTER, OUT_FILTER]),
        Leftover::Sets(OWN_SETS),
    ]
};
const OWN_SETS: &[&str] =
    &[LOOP_BACK, CLUSTER_IP, EXTERNAL_IP, LOAD_BALANCER, "KUBE-NODE-PORT-", HEALTH_CHECK, ADDRESSES];

/// What one port of a service brings, of which a node uses the endpoints `chosen` of `all`.
pub fn rules_of(settings: &Settings, port: &ServicePort, chosen: &Chosen, all: &[Endpoint]) -> ServiceRules {
    let mut rules = ServiceRules::default();
    let protocol = port.name.protocol;
    let entry = |address, port, other| PortEntry { address, protocol, port, other };
    let mut put = |set: &'static str, entry: PortEntry| rules.entries.push((set, entry));
    for endpoint in all.iter().filter(|endpoint| endpoint.is_local) {
        put(LOOP_BACK, entry(Some(endpoint.ip), endpoint.port, Some(Cidr::one(endpoint.ip))));
    }
    put(CLUSTER_IP, entry(Some(port.cluster_ip), port.port, None));
    for address in &port.external_ips {
        let set = if port.is_external_local { EXTERNAL_IP_LOCAL } else { EXTERNAL_IP };
        put(set, entry(Some(*address), port.port, None));
    }
    for address in &port.load_balancer_ips {
        let plain = entry(Some(*address), port.port, None);
        put(LOAD_BALANCER, plain.clone());
        if port.is_external_local {
            put(LOAD_BALANCER_LOCAL, plain.clone());
        }
        if !port.source_ranges.is_empty() {
            put(LOAD_BALANCER_FIREWALL, plain);
        }
        for range in &port.source_ranges {
            put(SOURCE_CIDR, entry(Some(*address), port.port, Some(*range)));
        }
        if port.source_ranges.iter().any(|range| settings.node_ip.is_some_and(|ip| range.contains(ip))) {
            put(SOURCE_IP, entry(Some(*address), port.port, Some(Cidr::one(*address))));
        }
    }
    if port.node_port != 0 {
        let sets = node_port_sets(protocol);
        let address = settings.node_ip.filter(|_| protocol == Protocol::Sctp);
        put(SETS[sets].0, entry(address, port.node_port, None));
        if port.is_external_local {
            put(SETS[sets + 1].0, entry(address, port.node_port, None));
        }
    }
    if port.health_check_node_port != 0 {
        let number = port.health_check_node_port;
        put(HEALTH_CHECK, PortEntry { protocol: Protocol::Tcp, ..entry(None, number, None) });
    }

    let mut serve = |address, number, is_local: bool| {
        // Without an endpoint of its own the node sends all the same to where there are some, and the answer to
        // somebody outside comes from an address that was not asked.
        let endpoints = match is_local && !chosen.local.is_empty() {
            true => &chosen.local,
            false => &chosen.cluster,
        };
        rules.servers.push(Arc::new(VirtualServer {
            address,
            protocol,
            port: number,
            scheduler: settings.scheduler.clone(),
            persistent_seconds: port.affinity_seconds,
            real: endpoints.iter().map(|endpoint| (endpoint.ip, endpoint.port)).collect(),
            leaving: Vec::new(),
        }));
    };
    serve(Some(port.cluster_ip), port.port, port.is_internal_local);
    for address in port.external_ips.iter().chain(&port.load_balancer_ips) {
        serve(Some(*address), port.port, port.is_external_local);
    }
    if port.node_port != 0 {
        serve(None, port.node_port, port.is_external_local);
    }
    rules
}

/// The virtual servers and the sets of all services, and the rules.
pub fn all<'a>(settings: &Settings, services: impl Iterator<Item = &'a ServiceRules>, restore: &mut Restore) {
    let mut sets =
        SETS.map(|(name, kind, _)| IpSet { name: name.into(), kind, entries: Vec::new(), ports: Vec::new() });
    let mut servers = Vec::new();
    for service in services {
        for (name, entry) in &service.entries {
            if let Some(set) = sets.iter_mut().find(|set| set.name == *name) {
                set.ports.push(entry.clone());
            }
        }
        servers.extend(service.servers.iter().cloned());
    }
    // An endpoint of several services has one entry.
    sets[0].ports.arrange_by_key(|entry| (entry.address, entry.protocol, entry.port));
    sets[0].ports.dedup();
    for set in sets.iter_mut().filter(|set| set.kind == PORT) {
        set.ports.arrange_by_key(|entry| entry.port);
    }
    let own = settings.node_ip;
    let mut bound: Vec<Cidr> = servers
        .iter()
        .filter_map(|server| server.address)
        .filter(|ip| Some(*ip) != own)
        .map(Cidr::one)
        .collect();
    bound.arrange_by_key(|address| address.order());
    bound.dedup();
    sets[16].entries = bound.into_iter().map(|address| (address, false)).collect();
    rules(settings, &sets, restore);
    restore.sets = Some((OWN_SETS, sets.into_iter().map(Arc::new).collect()));
    restore.servers = Some(servers);
}

/// `writeIptablesRules`.
fn rules(settings: &Settings, sets: &[IpSet], restore: &mut Restore) {
    let reads = |set: usize, by: &'static str| Match::Set { name: SETS[set].0.into(), by };
    // A rule that reads a set which has something in it.
    let of = |set: usize, by: &'static str| {
        let comment = format!("Kubernetes {}", SETS[set].2);
        (!sets[set].ports.is_empty()).then(|| Rule::default().comment(comment).when(reads(set, by)))
    };
    let to = |rule: Option<Rule>, target: Target| rule.map(|rule| rule.then(target));
    let mark = || Target::Jump(MARK_MASQUERADE.into());
    let local = |is_negated| Match::DestinationLocal { is_negated };

    let mut postrouting: Vec<Rule> =
        to(of(0, "dst,dst,src"), Target::Masquerade { is_random: false }).into_iter().collect();
    postrouting.extend(iptables::masquerading());

    let localhost = Cidr::parse("127.0.0.0/8").map(Not::is);
    let mut services = vec![Rule { source: localhost, ..Rule::with(Target::Return) }];
    services.extend(to(of(4, "dst,dst"), Target::Jump(LOAD_BALANCER.into())));
    services.extend(of(1, "dst,dst").and_then(|rule| match settings.cluster_cidr {
        _ if settings.masquerades_all => Some(rule.then(mark())),
        Some(pods) => Some(rule.from(Not::is_not(pods)).then(mark())),
        None => to(of(1, "src,dst"), mark()),
    }));
    services.extend(to(of(2, "dst,dst"), mark()));
    for rule in [of(2, "dst,dst"), of(3, "dst,dst")].into_iter().flatten() {
        let foreign = rule.clone().when(Match::NotFromBridge).when(Match::SourceLocal { is_negated: true });
        services.extend([foreign, rule.when(local(false))].map(|rule| rule.then(Target::Accept)));
    }
    services.push(Rule::jump(NODE_PORT).when(local(false)));
    for set in [1, 4] {
        if !sets[set].ports.is_empty() {
            services.push(Rule::with(Target::Accept).when(reads(set, "dst,dst")));
        }
    }
    let mut load_balancer: Vec<Rule> = to(of(6, "dst,dst"), Target::Return).into_iter().collect();
    load_balancer.push(Rule::jump(MARK_MASQUERADE));
    let mut node_ports = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let set = node_port_sets(protocol);
        let by = if protocol == Protocol::Sctp { "dst,dst" } else { "dst" };
        for (set, target) in [(set + 1, Target::Return), (set, mark())] {
            let rule = to(of(set, by), target);
            node_ports.extend(rule.map(|rule| Rule { protocol: Some(protocol), ..rule }));
        }
    }
    let firewall = to(of(5, "dst,dst"), Target::Jump(SOURCE_RANGES.into()));
    let mut source_ranges: Vec<Rule> = [of(8, "dst,dst,src"), of(7, "dst,dst,src")]
        .into_iter()
        .flatten()
        .map(|rule| rule.then(Target::Return))
        .collect();
    source_ranges.push(Rule::with(Target::Drop));
    let health =
        Rule::with(Target::Accept).comment(format!("Kubernetes {}", SETS[15].2)).when(reads(15, "dst"));
    // Ports of the node itself are not to be reached by the addresses of services.
    let mut filter: Vec<Rule> = [(4, "dst,dst"), (1, "dst,dst"), (2, "dst,dst"), (3, "dst,dst"), (15, "dst")]
        .map(|(set, by)| Rule::with(Target::Return).when(reads(set, by)))
        .into();
    let new = Match::ConnectionState { states: &[CtState::New], is_negated: false };
    filter.push(Rule::with(Target::Reject).when(new).when(reads(16, "dst")));
    // Addresses of load balancers that only some may use, and the node is not one of them.
    let is_allowed = |one: &&PortEntry| !sets[7].ports.iter().any(|other| other.address == one.address);
    let forbidden = sets[5].ports.iter().filter(is_allowed).map(|one| Rule {
        source: one.address.map(|address| Not::is(Cidr::one(address))),
        ..Rule::with(Target::Drop).when(Match::VirtualServer(one.clone()))
    });
    let chains = [
        (Table::Nat, SERVICES, services),
        (Table::Nat, POSTROUTING, postrouting),
        (Table::Nat, NODE_PORT, node_ports),
        (Table::Nat, LOAD_BALANCER, load_balancer),
        (Table::Nat, MARK_MASQUERADE, vec![iptables::marking()]),
        (Table::Filter, FORWARD, iptables::forwarding().into()),
        (Table::Filter, NODE_PORT, vec![health]),
        (Table::Filter, FIREWALL, firewall.into_iter().collect()),
        (Table::Filter, SOURCE_RANGES, source_ranges),
        (Table::Filter, FILTER, filter),
        (Table::Filter, OUT_FILTER, forbidden.collect()),
    ];
    for (table, name, rules) in chains {
        let rules = rules.into_iter().map(Arc::new).collect();
        restore.chains.push((table, name.into(), Some(Arc::new(Chain { rules }))));
    }
}

/// `iptablesJumpChain`; each goes to the top of its chain.
pub fn jumps() -> Vec<(Table, &'static str, Arc<Rule>)> {
    let (portals, access) = ("kubernetes service portals", "kubernetes ipvs access filter");
    let firewall = "kube-proxy firewall rules";
    [
        (Table::Nat, "OUTPUT", SERVICES, portals),
        (Table::Nat, "PREROUTING", SERVICES, portals),
        (Table::Nat, "POSTROUTING", POSTROUTING, "kubernetes postrouting rules"),
        (Table::Filter, "FORWARD", FORWARD, "kubernetes forwarding rules"),
        (Table::Filter, "INPUT", NODE_PORT, "kubernetes health check rules"),
        (Table::Filter, "INPUT", FIREWALL, firewall),
        (Table::Filter, "FORWARD", FIREWALL, firewall),
        (Table::Filter, "INPUT", FILTER, access),
        (Table::Filter, "OUTPUT", OUT_FILTER, access),
    ]
    .map(|(table, from, to, comment)| (table, from, Arc::new(Rule::jump(to).comment(comment))))
    .into()
}
