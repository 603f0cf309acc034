//! The rules of iptables mode: upstream's chains, names, comments, order and probabilities.
//!
//! Picture to hold in mind: a sorting office with a board at the entrance (KUBE-SERVICES: which address goes to
//! which desk), a desk for every service (KUBE-SVC), where a die is thrown, and a pigeonhole for every endpoint
//! (KUBE-SEP), where the address on the envelope is overwritten.
//!
//! Follows `pkg/proxy/iptables/proxier.go` (`syncProxyRules`, `writeServiceToEndpointRules`), with the defaults that
//! kubeadm leaves: mark bit 14, node ports on localhost, every local address a node port address.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;
use crate::api::sha256::short_hash;
use crate::network::ipam::Cidr;
use crate::network::netfilter::{Chain, Leftover, Match, Not, Restore, Rule, Table, Target, read};
use crate::network::packet::Protocol;

use super::endpoints::{Chosen, Endpoint};
use super::service::ServicePort;
use super::{ServiceRules, Settings, gather};

/// `masqueradeBit` 14.
pub const MASQUERADE_MARK: u32 = 0x4000;
pub const SERVICES: &str = "KUBE-SERVICES";
/// What the names of services' own chains begin with (`isServiceChainName`).
pub const SERVICE_CHAINS: &[&str] = &["KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-"];
/// `CleanupLeftovers`. What the kubelet writes too stays.
pub const LEFTOVERS: [Leftover; 4] = [
    Leftover::Chains(Table::Nat, &[SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQUERADE, CANARY]),
    Leftover::Chains(Table::Nat, SERVICE_CHAINS),
    Leftover::Chains(Table::Filter, &[SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, FIREWALL, CANARY]),
    Leftover::Chains(Table::Mangle, &[CANARY]),
];
const EXTERNAL_SERVICES: &str = "KUBE-EXTERNAL-SERVICES";
pub(super) const NODE_PORTS: &str = "KUBE-NODEPORTS";
pub(super) const POSTROUTING: &str = "KUBE-POSTROUTING";
pub(super) const MARK_MASQUERADE: &str = "KUBE-MARK-MASQ";
pub(super) const FORWARD: &str = "KUBE-FORWARD";
pub(super) const FIREWALL: &str = "KUBE-PROXY-FIREWALL";
const CANARY: &str = "KUBE-PROXY-CANARY";
/// Both write it: kube-proxy and the kubelet.
pub const KUBELET_FIREWALL: &str = "KUBE-FIREWALL";
const LOCALHOST: &str = "127.0.0.0/8";

const NAT_SERVICES: (Table, &str) = (Table::Nat, SERVICES);
const NAT_NODE_PORTS: (Table, &str) = (Table::Nat, NODE_PORTS);
const FILTER_SERVICES: (Table, &str) = (Table::Filter, SERVICES);
const FILTER_EXTERNAL: (Table, &str) = (Table::Filter, EXTERNAL_SERVICES);
const FILTER_NODE_PORTS: (Table, &str) = (Table::Filter, NODE_PORTS);
const FILTER_FIREWALL: (Table, &str) = (Table::Filter, FIREWALL);

/// The name of an endpoint's chain.
pub fn endpoint_chain(port: &ServicePort, endpoint: &Endpoint) -> Text {
    let hash = short_hash(&format!("{}{}{}", port.name, port.name.protocol.name(), endpoint.text));
    arcstr::format!("KUBE-SEP-{hash}")
}

fn one(address: IpAddr) -> Not<Cidr> {
    Not::is(Cidr::one(address))
}

/// The rules of one port of a service, of which a node uses the endpoints `chosen`.
pub fn rules_of(settings: &Settings, port: &ServicePort, chosen: &Chosen, is_large: bool) -> ServiceRules {
    let mut rules = ServiceRules::default();
    let name = port.name.to_string();
    let protocol = port.name.protocol;
    let hash = short_hash(&format!("{name}{}", protocol.name()));
    let chain_name = |prefix: &str| -> Text { arcstr::format!("KUBE-{prefix}-{hash}") };
    let (cluster_chain, local_chain) = (chain_name("SVC"), chain_name("SVL"));
    let has_any = chosen.has_any;
    let policy = |is_local: bool| if is_local { &local_chain } else { &cluster_chain };
    let internal_chain = policy(port.is_internal_local);
    let has_internal = has_any && (!port.is_internal_local || !chosen.local.is_empty());
    let has_external = has_any && (!port.is_external_local || !chosen.local.is_empty());
    let external_chain = chain_name("EXT");
    let uses_external_chain = has_any && port.is_externally_accessible();
    let firewall_chain = chain_name("FW");
    let uses_firewall = has_any && !port.load_balancer_ips.is_empty() && !port.source_ranges.is_empty();
    let refusal = || match has_any {
        true => (Target::Drop, format!("{name} has no local endpoints")),
        false => (Target::Reject, format!("{name} has no endpoints")),
    };
    let to = |comment: &str, address: IpAddr| {
        Rule::default().comment(comment).port(protocol, Some(port.port)).to(one(address))
    };
    let jump = |rule: Rule, to: &Text| Arc::new(Rule { target: Some(Target::Jump(to.clone())), ..rule });
    let end = |rule: Rule, target: Target| Arc::new(Rule { target: Some(target), ..rule });

    let cluster_ip = to(&format!("{name} cluster IP"), port.cluster_ip);
    if has_internal {
        rules.share(NAT_SERVICES, jump(cluster_ip.clone(), internal_chain));
    } else {
        let (target, comment) = refusal();
        rules.share(FILTER_SERVICES, end(to(&comment, port.cluster_ip), target));
    }
    for address in &port.external_ips {
        if has_any {
            rules.share(NAT_SERVICES, jump(to(&format!("{name} external IP"), *address), &external_chain));
        }
        if !has_external {
            let (target, comment) = refusal();
            rules.share(FILTER_EXTERNAL, end(to(&comment, *address), target));
        }
    }
    for address in &port.load_balancer_ips {
        if has_any {
            let chain = if uses_firewall { &firewall_chain } else { &external_chain };
            rules.share(NAT_SERVICES, jump(to(&format!("{name} loadbalancer IP"), *address), chain));
        }
        if uses_firewall {
            let comment = format!("{name} traffic not accepted by {firewall_chain}");
            rules.share(FILTER_FIREWALL, end(to(&comment, *address), Target::Drop));
        }
        if !has_external {
            let (target, comment) = refusal();
            rules.share(FILTER_EXTERNAL, end(to(&comment, *address), target));
        }
    }
    if port.node_port != 0 {
        if has_any {
            let at_port = || Rule::default().comment(name.as_str()).port(protocol, Some(port.node_port));
            let on_localhost = Rule {
                destination: Cidr::parse(LOCALHOST).map(Not::is),
                ..at_port().when(Match::Account("localhost_nps_accepted_pkts"))
            };
            rules.share(NAT_NODE_PORTS, jump(on_localhost, &external_chain));
            rules.share(NAT_NODE_PORTS, jump(at_port(), &external_chain));
        }
        if !has_external {
            let (target, comment) = refusal();
            let rule = Rule::default()
                .comment(comment)
                .when(Match::DestinationLocal { is_negated: false })
                .port(protocol, Some(port.node_port));
            rules.share(FILTER_EXTERNAL, end(rule, target));
        }
    }
    if port.health_check_node_port != 0 {
        let rule = Rule::default()
            .comment(format!("{name} health check node port"))
            .port(Protocol::Tcp, Some(port.health_check_node_port));
        rules.share(FILTER_NODE_PORTS, end(rule, Target::Accept));
    }

    let mark = || Target::Jump(MARK_MASQUERADE.into());
    let mut internal = Vec::new();
    if has_internal {
        if settings.masquerades_all {
            internal.push(end(cluster_ip, mark()));
        } else if let Some(pods) = settings.cluster_cidr {
            internal.push(end(cluster_ip.from(Not::is_not(pods)), mark()));
        }
    }
    if uses_external_chain {
        let mut lines = Vec::new();
        let comment = |words: &str| Rule::default().comment(format!("{words} {name} external destinations"));
        if !port.is_external_local {
            lines.push(end(comment("masquerade traffic for"), mark()));
        } else {
            if let Some(pods) = settings.cluster_cidr {
                lines.push(jump(comment("pod traffic for").from(Not::is(pods)), &cluster_chain));
            }
            let local = Match::SourceLocal { is_negated: false };
            lines.push(end(comment("masquerade LOCAL traffic for").when(local.clone()), mark()));
            lines.push(jump(comment("route LOCAL traffic for").when(local), &cluster_chain));
        }
        if has_external {
            lines.push(jump(Rule::default(), policy(port.is_external_local)));
        }
        rules.chain(&external_chain, lines);
    }
    if uses_firewall {
        let comment = || Rule::default().comment(format!("{name} loadbalancer IP"));
        let mut lines: Vec<Arc<Rule>> = port
            .source_ranges
            .iter()
            .map(|range| jump(comment().from(Not::is(*range)), &external_chain))
            .collect();
        let is_node = |range: &Cidr| settings.node_ip.is_some_and(|ip| range.contains(ip));
        if port.source_ranges.iter().any(is_node) {
            let addresses = port.load_balancer_ips.iter();
            lines.extend(addresses.map(|ip| jump(comment().from(one(*ip)), &external_chain)));
        }
        lines.push(Arc::new(
            Rule::default().comment(format!("other traffic to {name} will be dropped by {FIREWALL}")),
        ));
        rules.chain(&firewall_chain, lines);
    }
    let mut internal = Some(internal);
    for (chain, endpoints, is_used) in [
        (&cluster_chain, &chosen.cluster, port.uses_cluster_endpoints()),
        (&local_chain, &chosen.local, port.uses_local_endpoints()),
    ] {
        let mut lines = match chain == internal_chain {
            true => internal.take().unwrap_or_default(),
            false => Vec::new(),
        };
        if is_used && !endpoints.is_empty() {
            to_endpoints(port, &name, endpoints, is_large, &mut lines);
        }
        if !lines.is_empty() {
            rules.chain(chain, lines);
        }
    }
    for endpoint in &chosen.reachable {
        let chain = endpoint_chain(port, endpoint);
        let commented = || match is_large {
            true => Rule::default(),
            false => Rule::default().comment(name.as_str()),
        };
        let mut translate = commented();
        if port.affinity_seconds.is_some() {
            translate = translate.when(Match::RecentSet { list: chain.clone() });
        }
        let translate = translate.port(protocol, None);
        let lines = vec![
            end(commented().from(one(endpoint.ip)), mark()),
            end(translate, Target::Dnat { to: endpoint.ip, port: endpoint.port }),
        ];
        rules.chain(&chain, lines);
    }
    rules
}

/// `writeServiceToEndpointRules`: who was sent somewhere before goes there again; the others draw lots.
fn to_endpoints(
    port: &ServicePort,
    name: &str,
    endpoints: &[&Endpoint],
    is_large: bool,
    lines: &mut Vec<Arc<Rule>>,
) {
    let commented = |endpoint: &Endpoint| match is_large {
        true => Rule::default(),
        false => Rule::default().comment(format!("{name} -> {}", endpoint.text)),
    };
    let mut push = |rule: Rule, endpoint: &Endpoint| {
        let target = Some(Target::Jump(endpoint_chain(port, endpoint)));
        lines.push(Arc::new(Rule { target, ..rule }));
    };
    if let Some(seconds) = port.affinity_seconds {
        for endpoint in endpoints {
            let list = endpoint_chain(port, endpoint);
            push(commented(endpoint).when(Match::RecentCheck { list, seconds }), endpoint);
        }
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let left = (endpoints.len() - index) as u32;
        let rule = match left {
            1 => commented(endpoint),
            _ => commented(endpoint).when(Match::Statistic { of: left }),
        };
        push(rule, endpoint);
    }
}

/// The chains that all services share, whole.
pub fn top_chains<'a>(services: impl Iterator<Item = &'a ServiceRules>, restore: &mut Restore) {
    let places =
        [NAT_SERVICES, NAT_NODE_PORTS, FILTER_SERVICES, FILTER_EXTERNAL, FILTER_NODE_PORTS, FILTER_FIREWALL];
    let mut gathered = gather(places, services);
    gathered[0].extend(read::rules(LAST_SERVICE));
    for ((table, name), rules) in places.into_iter().zip(gathered) {
        restore.chains.push((table, name.into(), Some(Arc::new(Chain { rules }))));
    }
    restore.chains.extend(read::chains(TOP, &|_| true));
    restore.chains.extend(read::chains(MASQUERADING, &|_| true));
}

const LAST_SERVICE: &str = "-m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS";
const TOP: &str = "\
filter KUBE-FORWARD
-m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP
-m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x4000/0x4000 -j ACCEPT
-m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT

filter KUBE-FIREWALL
! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block incoming localnet connections\" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP";
/// What ipvs mode has, too. The mark is taken off so that the packet is not translated again when it comes by once more.
pub(super) const MASQUERADING: &str = "\
nat KUBE-POSTROUTING
-m mark ! --mark 0x4000/0x4000 -j RETURN
-j MARK --set-xmark 0x4000/0x0
-m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully

nat KUBE-MARK-MASQ
-j MARK --set-xmark 0x4000/0x4000";

/// Against packets for localhost that come from elsewhere: node ports on localhost would let them in.
pub fn martian_rule() -> Rule {
    Rule::read(TOP.rsplit('\n').next().unwrap_or(""))
}

/// Where packets are sent through kube-proxy's chains; upstream puts each at the top of its chain.
pub fn jumps() -> Vec<(Table, &'static str, Arc<Rule>)> {
    read::jumps(
        "\
filter INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES
filter FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES
filter INPUT -m comment --comment \"kubernetes health check service ports\" -j KUBE-NODEPORTS
filter FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
filter OUTPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
filter FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
filter INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
filter OUTPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
filter FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
nat OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
nat PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
nat POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
filter INPUT -j KUBE-FIREWALL
filter OUTPUT -j KUBE-FIREWALL",
    )
}

/// The empty chains by which kube-proxy notices that somebody has flushed a table.
pub fn canaries() -> Vec<(Table, Text, Option<Arc<Chain>>)> {
    [Table::Mangle, Table::Nat, Table::Filter]
        .into_iter()
        .map(|table| (table, CANARY.into(), Some(Arc::default())))
        .collect()
}
