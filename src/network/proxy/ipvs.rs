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
    Chain, IpSet, Leftover, Match, Not, PortEntry, Restore, Rule, Table, Target, read,
};
use crate::network::packet::Protocol;

use super::endpoints::{Chosen, Endpoint};
use super::iptables;
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

/// Name and type.
const SETS: [(&str, &str); 17] = [
    (LOOP_BACK, IP_PORT_IP),
    (CLUSTER_IP, IP_PORT),
    (EXTERNAL_IP, IP_PORT),
    (EXTERNAL_IP_LOCAL, IP_PORT),
    (LOAD_BALANCER, IP_PORT),
    (LOAD_BALANCER_FIREWALL, IP_PORT),
    (LOAD_BALANCER_LOCAL, IP_PORT),
    (SOURCE_IP, IP_PORT_IP),
    (SOURCE_CIDR, "hash:ip,port,net"),
    ("KUBE-NODE-PORT-TCP", PORT),
    ("KUBE-NODE-PORT-LOCAL-TCP", PORT),
    ("KUBE-NODE-PORT-UDP", PORT),
    ("KUBE-NODE-PORT-LOCAL-UDP", PORT),
    ("KUBE-NODE-PORT-SCTP-HASH", IP_PORT),
    ("KUBE-NODE-PORT-LOCAL-SCTP-HASH", IP_PORT),
    (HEALTH_CHECK, PORT),
    (ADDRESSES, "hash:ip"),
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
        SETS.map(|(name, kind)| IpSet { name: name.into(), kind, entries: Vec::new(), ports: Vec::new() });
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
    let is_filled = |name: &str| sets.iter().any(|set| set.name == name && !set.ports.is_empty());
    let (from, by) = match settings.cluster_cidr {
        _ if settings.masquerades_all => (String::new(), "dst,dst"),
        Some(pods) => (format!("! -s {pods} "), "dst,dst"),
        None => (String::new(), "src,dst"),
    };
    let text = CHAINS.replace("FROM ", &from).replace("BY", by);
    restore.chains.extend(read::chains(&text, &is_filled));
    // What is read next stands behind what there is of the same chain.
    let mut masquerading = read::chains(iptables::MASQUERADING, &is_filled);
    if let (Some((.., Some(hairpins))), Some((.., Some(rest)))) =
        (restore.chains.last_mut(), masquerading.first())
    {
        Arc::make_mut(hairpins).rules.extend(rest.rules.iter().cloned());
    }
    restore.chains.extend(masquerading.drain(1..));
    // Addresses of load balancers that only some may use, and the node is not one of them.
    let of = |name: &str| sets.iter().find(|set| set.name == name).map_or(&[][..], |set| &set.ports);
    let allowed = of(SOURCE_IP);
    let is_forbidden = |one: &&PortEntry| !allowed.iter().any(|other| other.address == one.address);
    let forbidden = of(LOAD_BALANCER_FIREWALL).iter().filter(is_forbidden).map(|one| {
        Arc::new(Rule {
            source: one.address.map(|address| Not::is(Cidr::one(address))),
            ..Rule::with(Target::Drop).when(Match::VirtualServer(one.clone()))
        })
    });
    let rules = forbidden.collect();
    restore.chains.push((Table::Filter, OUT_FILTER.into(), Some(Arc::new(Chain { rules }))));
}

/// The last is the one that [`iptables::MASQUERADING`] begins with. Ports of the node itself are not to be reached by the
/// addresses of services: hence KUBE-IPVS-FILTER.
const CHAINS: &str = "\
nat KUBE-SERVICES
-s 127.0.0.0/8 -j RETURN
?-m comment --comment \"Kubernetes service lb portal\" -m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER
?FROM -m comment --comment \"Kubernetes service cluster ip + port for masquerade purpose\" -m set --match-set KUBE-CLUSTER-IP BY -j KUBE-MARK-MASQ
?-m comment --comment \"Kubernetes service external ip + port for masquerade and filter purpose\" -m set --match-set KUBE-EXTERNAL-IP dst,dst -j KUBE-MARK-MASQ
?-m comment --comment \"Kubernetes service external ip + port for masquerade and filter purpose\" -m set --match-set KUBE-EXTERNAL-IP dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT
?-m comment --comment \"Kubernetes service external ip + port for masquerade and filter purpose\" -m set --match-set KUBE-EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL -j ACCEPT
?-m comment --comment \"Kubernetes service external ip + port with externalTrafficPolicy=local\" -m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT
?-m comment --comment \"Kubernetes service external ip + port with externalTrafficPolicy=local\" -m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst -m addrtype --dst-type LOCAL -j ACCEPT
-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
?-m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
?-m set --match-set KUBE-LOAD-BALANCER dst,dst -j ACCEPT

nat KUBE-NODE-PORT
?-p tcp -m comment --comment \"Kubernetes nodeport TCP port with externalTrafficPolicy=local\" -m set --match-set KUBE-NODE-PORT-LOCAL-TCP dst -j RETURN
?-p tcp -m comment --comment \"Kubernetes nodeport TCP port for masquerade purpose\" -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ
?-p udp -m comment --comment \"Kubernetes nodeport UDP port with externalTrafficPolicy=local\" -m set --match-set KUBE-NODE-PORT-LOCAL-UDP dst -j RETURN
?-p udp -m comment --comment \"Kubernetes nodeport UDP port for masquerade purpose\" -m set --match-set KUBE-NODE-PORT-UDP dst -j KUBE-MARK-MASQ
?-p sctp -m comment --comment \"Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'\" -m set --match-set KUBE-NODE-PORT-LOCAL-SCTP-HASH dst,dst -j RETURN
?-p sctp -m comment --comment \"Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'\" -m set --match-set KUBE-NODE-PORT-SCTP-HASH dst,dst -j KUBE-MARK-MASQ

nat KUBE-LOAD-BALANCER
?-m comment --comment \"Kubernetes service load balancer ip + port with externalTrafficPolicy=local\" -m set --match-set KUBE-LOAD-BALANCER-LOCAL dst,dst -j RETURN
-j KUBE-MARK-MASQ

filter KUBE-FORWARD
-m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x4000/0x4000 -j ACCEPT
-m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT

filter KUBE-NODE-PORT
-m comment --comment \"Kubernetes health check node port\" -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT

filter KUBE-PROXY-FIREWALL
?-m comment --comment \"Kubernetes service load balancer ip + port for load balancer with sourceRange\" -m set --match-set KUBE-LOAD-BALANCER-FW dst,dst -j KUBE-SOURCE-RANGES-FIREWALL

filter KUBE-SOURCE-RANGES-FIREWALL
?-m comment --comment \"Kubernetes service load balancer ip + port + source cidr for packet filter purpose\" -m set --match-set KUBE-LOAD-BALANCER-SOURCE-CIDR dst,dst,src -j RETURN
?-m comment --comment \"Kubernetes service load balancer ip + port + source IP for packet filter purpose\" -m set --match-set KUBE-LOAD-BALANCER-SOURCE-IP dst,dst,src -j RETURN
-j DROP

filter KUBE-IPVS-FILTER
-m set --match-set KUBE-LOAD-BALANCER dst,dst -j RETURN
-m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
-m set --match-set KUBE-EXTERNAL-IP dst,dst -j RETURN
-m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst -j RETURN
-m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j RETURN
-m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT

nat KUBE-POSTROUTING
?-m comment --comment \"Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose\" -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE";

/// `iptablesJumpChain`; each goes to the top of its chain.
pub fn jumps() -> Vec<(Table, &'static str, Arc<Rule>)> {
    read::jumps(
        "\
nat OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
nat PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
nat POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
filter FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
filter INPUT -m comment --comment \"kubernetes health check rules\" -j KUBE-NODE-PORT
filter INPUT -m comment --comment \"kube-proxy firewall rules\" -j KUBE-PROXY-FIREWALL
filter FORWARD -m comment --comment \"kube-proxy firewall rules\" -j KUBE-PROXY-FIREWALL
filter INPUT -m comment --comment \"kubernetes ipvs access filter\" -j KUBE-IPVS-FILTER
filter OUTPUT -m comment --comment \"kubernetes ipvs access filter\" -j KUBE-IPVS-OUT-FILTER",
    )
}
