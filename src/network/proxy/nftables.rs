//! The table `ip kube-proxy` of nftables mode: upstream's chains, sets, maps and names.
//!
//! Picture to hold in mind: the same sorting office with a card index instead of the board: the address on the
//! envelope is looked up once, and the card says which desk. At the desk one die with as many sides as there are
//! endpoints is thrown.
//!
//! Follows `pkg/proxy/nftables/proxier.go` (`setupNFTables`, `syncProxyRules`), with the defaults that kubeadm leaves:
//! mark bit 14, and node ports at the node's primary address only.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;
use crate::api::sha256::short_hash;
use crate::arrange::Arrange;
use crate::network::ipam::Cidr;
use crate::network::netfilter::nft::SETS;
use crate::network::netfilter::{Chain, CtState, Match, Not, Restore, Rule, Table, Target};
use crate::network::packet::Protocol;

use super::endpoints::{Chosen, Endpoint};
use super::iptables::MASQUERADE_MARK;
use super::service::{PortName, ServicePort};
use super::{ServiceRules, Settings, gather};

/// What the names of services' own chains begin with, and of no others.
pub const SERVICE_CHAINS: &[&str] = &["service-", "local-", "external-", "endpoint-", "firewall-"];

const fn place(name: &'static str) -> (Table, &'static str) {
    (Table::KubeProxy, name)
}
const HAIRPINS: (Table, &str) = place(SETS[0].0);
const CLUSTER_IPS: (Table, &str) = place(SETS[1].0);
const NO_ENDPOINT_SERVICES: (Table, &str) = place(SETS[3].0);
const NO_ENDPOINT_NODE_PORTS: (Table, &str) = place(SETS[4].0);
const FIREWALL_IPS: (Table, &str) = place(SETS[5].0);
const SERVICE_IPS: (Table, &str) = place(SETS[6].0);
const SERVICE_NODE_PORTS: (Table, &str) = place(SETS[7].0);
const REJECT: &str = "reject-chain";

/// `hashAndTruncate`. Names that the API allows are never so long that they would be cut.
fn hashed(prefix: &str, name: &str) -> Text {
    let hash = short_hash(name);
    arcstr::format!("{prefix}-{}-{name}", &hash[..8])
}
fn service_name(port: &ServicePort) -> String {
    let PortName { namespace, name, port, protocol } = &port.name;
    format!("{namespace}/{name}/{}/{port}", protocol.name())
}

fn one(address: IpAddr) -> Not<Cidr> {
    Not::is(Cidr::one(address))
}
fn element(address: Option<IpAddr>, protocol: Protocol, port: u16) -> Rule {
    Rule { destination: address.map(one), ..Rule::default() }
        .when(Match::DestinationPort(protocol, Some(port)))
}

/// The rules of one port of a service, of which a node uses the endpoints `chosen`.
pub fn rules_of(settings: &Settings, port: &ServicePort, chosen: &Chosen) -> ServiceRules {
    let mut rules = ServiceRules::default();
    let name = service_name(port);
    let protocol = port.name.protocol;
    let (cluster_chain, local_chain) = (hashed("service", &name), hashed("local", &name));
    let (external_chain, firewall_chain) = (hashed("external", &name), hashed("firewall", &name));
    let has_any = chosen.has_any;
    let policy = |is_local: bool| if is_local { &local_chain } else { &cluster_chain };
    let has_internal = has_any && (!port.is_internal_local || !chosen.local.is_empty());
    let has_external = has_any && (!port.is_external_local || !chosen.local.is_empty());
    let goto = |rule: Rule, to: &Text| Arc::new(rule.then(Target::Goto(to.clone())));
    // With whose it is, so that it can be told from the element.
    let refusal = |rule: Rule| {
        let target = if has_any { Target::Drop } else { Target::Goto(REJECT.into()) };
        Arc::new(rule.comment(port.name.to_string()).then(target))
    };

    for endpoint in chosen.reachable.iter().filter(|endpoint| endpoint.is_local) {
        let hairpin = element(Some(endpoint.ip), protocol, endpoint.port).from(one(endpoint.ip));
        rules.share(HAIRPINS, Arc::new(hairpin));
    }
    rules.share(CLUSTER_IPS, Arc::new(Rule::default().to(one(port.cluster_ip))));
    let cluster_ip = element(Some(port.cluster_ip), protocol, port.port);
    if has_internal {
        rules.share(SERVICE_IPS, goto(cluster_ip, policy(port.is_internal_local)));
    } else {
        rules.share(NO_ENDPOINT_SERVICES, refusal(cluster_ip));
    }
    let uses_firewall = !port.load_balancer_ips.is_empty() && !port.source_ranges.is_empty();
    for address in port.external_ips.iter().chain(&port.load_balancer_ips) {
        let element = element(Some(*address), protocol, port.port);
        if has_any {
            rules.share(SERVICE_IPS, goto(element.clone(), &external_chain));
        }
        if !has_external {
            rules.share(NO_ENDPOINT_SERVICES, refusal(element));
        }
    }
    if uses_firewall {
        for address in &port.load_balancer_ips {
            rules.share(FIREWALL_IPS, goto(element(Some(*address), protocol, port.port), &firewall_chain));
        }
        let mut ranges = port.source_ranges.clone();
        if ranges.iter().any(|range| settings.node_ip.is_some_and(|ip| range.contains(ip))) {
            ranges.extend(port.load_balancer_ips.iter().copied().map(Cidr::one));
        }
        let others = Match::Ranges { ranges, is_source: true, is_negated: true };
        rules.chain(&firewall_chain, vec![Arc::new(Rule::with(Target::Drop).when(others))]);
    }
    if port.node_port != 0 {
        let element = element(None, protocol, port.node_port);
        if has_any {
            rules.share(SERVICE_NODE_PORTS, goto(element.clone(), &external_chain));
        }
        if !has_external {
            rules.share(NO_ENDPOINT_NODE_PORTS, refusal(element));
        }
    }
    if has_any && port.is_externally_accessible() {
        let mut lines = Vec::new();
        let mark = || Rule::with(Target::MarkOr(MASQUERADE_MARK));
        let own = || Match::SourceLocal { is_negated: false };
        if !port.is_external_local {
            lines.push(Arc::new(mark().comment("masquerade")));
        } else {
            if let Some(pods) = settings.cluster_cidr {
                let rule = Rule::default().comment("short-circuit pod traffic").from(Not::is(pods));
                lines.push(goto(rule, &cluster_chain));
            }
            lines.push(Arc::new(mark().comment("masquerade local traffic").when(own())));
            let rule = Rule::default().comment("short-circuit local traffic").when(own());
            lines.push(goto(rule, &cluster_chain));
        }
        if has_external {
            lines.push(goto(Rule::default(), policy(port.is_external_local)));
        }
        rules.chain(&external_chain, lines);
    }
    for (chain, endpoints, is_used) in [
        (&cluster_chain, &chosen.cluster, port.uses_cluster_endpoints()),
        (&local_chain, &chosen.local, port.uses_local_endpoints()),
    ] {
        if is_used && !endpoints.is_empty() {
            rules.chain(chain, to_endpoints(port, &name, endpoints));
        }
    }
    if port.affinity_seconds.is_some() {
        for endpoint in &chosen.reachable {
            let [chain, set] = endpoint_names(&name, endpoint);
            let remember = Rule::default().when(Match::RecentSet { list: set });
            let translate = Rule {
                protocol: Some(protocol),
                ..Rule::with(Target::Dnat { to: endpoint.ip, port: endpoint.port })
            };
            rules.chain(&chain, vec![Arc::new(remember), Arc::new(translate)]);
        }
    }
    rules
}

/// An endpoint's chain and its set of sources, which only session affinity needs.
fn endpoint_names(service: &str, endpoint: &Endpoint) -> [Text; 2] {
    let name = format!("{service}__{}/{}", endpoint.ip, endpoint.port);
    [hashed("endpoint", &name), hashed("affinity", &name)]
}

/// `writeServiceToEndpointDNATs`, and `writeServiceToEndpointJumps` where who was sent somewhere goes there again.
fn to_endpoints(port: &ServicePort, name: &str, endpoints: &[&Endpoint]) -> Vec<Arc<Rule>> {
    let mut lines = Vec::new();
    let Some(seconds) = port.affinity_seconds else {
        let all = endpoints.iter().map(|endpoint| (endpoint.ip, endpoint.port)).collect();
        let lots = Rule { protocol: Some(port.name.protocol), ..Rule::with(Target::DnatByLot(all)) };
        return vec![Arc::new(lots)];
    };
    let mut chains = Vec::new();
    for endpoint in endpoints {
        let [chain, list] = endpoint_names(name, endpoint);
        let rule = Rule::with(Target::Goto(chain.clone())).when(Match::RecentCheck { list, seconds });
        lines.push(Arc::new(rule));
        chains.push(chain);
    }
    lines.push(Arc::new(Rule::with(Target::GotoByLot(chains))));
    lines
}

/// All that services share, whole.
pub fn top_chains<'a>(
    settings: &Settings,
    service_ranges: &[Cidr],
    services: impl Iterator<Item = &'a ServiceRules>,
    restore: &mut Restore,
) {
    let mut sets = gather(SETS.map(|(name, ..)| place(name)), services);
    // A service has its address once, however many ports, and so has an endpoint of several services.
    sets[1].dedup();
    sets[0].arrange_by_key(|one| {
        let port = match one.matches.first() {
            Some(Match::DestinationPort(protocol, port)) => Some((*protocol, *port)),
            _ => None,
        };
        (one.source.as_ref().map(|source| source.value.order()), port)
    });
    sets[0].dedup();
    sets[2] = settings.node_ip.map(|ip| Arc::new(Rule::default().to(one(ip)))).into_iter().collect();
    let mut put = |name: &'static str, rules: Vec<Arc<Rule>>| {
        restore.chains.push((Table::KubeProxy, name.into(), Some(Arc::new(Chain { rules }))));
    };
    for ((name, ..), elements) in SETS.into_iter().zip(sets) {
        put(name, elements);
    }
    let new = || Match::ConnectionState { states: &[CtState::New], is_negated: false };
    let jump = |to: &'static str| Rule::jump(to).when(new());
    let element = |set: (Table, &'static str)| Match::Element(set.1);
    let map = |map: (Table, &'static str)| Rule::with(Target::Map(map.1));
    let node_port = |to| map(to).when(Match::Element(SETS[2].0));

    let mut cluster_ips = vec![
        Rule::with(Target::Reject)
            .when(element(CLUSTER_IPS))
            .comment("Reject traffic to invalid ports of ClusterIPs"),
    ];
    if !service_ranges.is_empty() {
        let ranges = Match::Ranges { ranges: service_ranges.to_vec(), is_source: false, is_negated: false };
        let rule = Rule::with(Target::Drop).when(ranges);
        cluster_ips.push(rule.comment("Drop traffic to unallocated ClusterIPs"));
    }
    let mark = Rule::with(Target::MarkOr(MASQUERADE_MARK)).when(element(CLUSTER_IPS));
    let mut dispatch = Vec::new();
    if settings.masquerades_all {
        dispatch.push(mark.comment("masquerade all clusterIP traffic"));
    } else if let Some(pods) = settings.cluster_cidr {
        let comment = "masquerade clusterIP traffic from outside cluster";
        dispatch.push(mark.from(Not::is_not(pods)).comment(comment));
    }
    dispatch.extend([map(SERVICE_IPS), node_port(SERVICE_NODE_PORTS)]);
    let translated = Match::ConnectionState { states: &[CtState::Dnat], is_negated: false };
    let marked = Match::Mark { value: 0, mask: MASQUERADE_MARK, is_negated: true };
    let masquerading = vec![
        Rule::with(Target::MasqueradeMarked(MASQUERADE_MARK)).when(marked),
        Rule::with(Target::Masquerade { is_random: true }).when(translated).when(element(HAIRPINS)),
    ];
    let (services, firewall) = ("service-endpoints-check", "firewall-check");
    let (clusters, node_ports) = ("cluster-ips-check", "nodeport-endpoints-check");
    for (name, rules) in [
        ("filter-prerouting-pre-dnat", vec![jump(firewall)]),
        ("filter-output-pre-dnat", vec![jump(firewall)]),
        ("filter-input", vec![jump(node_ports), jump(services)]),
        ("filter-forward", vec![jump(services), jump(clusters)]),
        ("filter-output", vec![jump(services), jump(clusters)]),
        ("nat-prerouting", vec![Rule::jump("services")]),
        ("nat-output", vec![Rule::jump("services")]),
        ("nat-postrouting", vec![Rule::jump("masquerading")]),
        ("services", dispatch),
        ("masquerading", masquerading),
        (clusters, cluster_ips),
        (services, vec![map(NO_ENDPOINT_SERVICES)]),
        (node_ports, vec![node_port(NO_ENDPOINT_NODE_PORTS)]),
        (firewall, vec![map(FIREWALL_IPS)]),
        (REJECT, vec![Rule::with(Target::Reject)]),
    ] {
        put(name, rules.into_iter().map(Arc::new).collect());
    }
}
