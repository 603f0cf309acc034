//! The table that kube-proxy has in nftables mode, as `nft list` prints it, and where its chains hang.
//!
//! Picture to hold in mind: the other publisher's edition of the rule book. Its chapters are opened at the same
//! gates, it has registers (sets and maps) in which a page is found at once, and it is printed in its own type.
//!
//! After nft(8), and the base chains of `pkg/proxy/nftables/proxier.go`.

use super::set::short;
use super::{CtState, Match, Not, Rule, RuleSet, Table, Target};
use crate::network::ipam::Cidr;

/// Chain, type, hook and priority.
const HOOKS: [(&str, &str, &str, &str); 8] = [
    ("filter-prerouting-pre-dnat", "filter", "prerouting", "dstnat - 10"),
    ("filter-output-pre-dnat", "filter", "output", "dstnat - 10"),
    ("filter-input", "filter", "input", "filter"),
    ("filter-forward", "filter", "forward", "filter"),
    ("filter-output", "filter", "output", "filter"),
    ("nat-prerouting", "nat", "prerouting", "dstnat"),
    ("nat-output", "nat", "output", "dstnat"),
    ("nat-postrouting", "nat", "postrouting", "srcnat"),
];
pub const BASE_CHAINS: &[&str] =
    &[HOOKS[0].0, HOOKS[1].0, HOOKS[2].0, HOOKS[3].0, HOOKS[4].0, HOOKS[5].0, HOOKS[6].0, HOOKS[7].0];

/// Name, type, and comment.
pub const SETS: [(&str, &str, &str); 8] = [
    (
        "hairpin-connections",
        "ipv4_addr . ipv4_addr . inet_proto . inet_service",
        "service hairpin connections",
    ),
    ("cluster-ips", "ipv4_addr", "Active ClusterIPs"),
    ("nodeport-ips", "ipv4_addr", "IPs that accept NodePort traffic"),
    (
        "no-endpoint-services",
        "ipv4_addr . inet_proto . inet_service : verdict",
        "vmap to drop or reject packets to services with no endpoints",
    ),
    (
        "no-endpoint-nodeports",
        "inet_proto . inet_service : verdict",
        "vmap to drop or reject packets to service nodeports with no endpoints",
    ),
    (
        "firewall-ips",
        "ipv4_addr . inet_proto . inet_service : verdict",
        "destinations that are subject to LoadBalancerSourceRanges",
    ),
    (
        "service-ips",
        "ipv4_addr . inet_proto . inet_service : verdict",
        "ClusterIP, ExternalIP and LoadBalancer IP traffic",
    ),
    ("service-nodeports", "inet_proto . inet_service : verdict", "NodePort traffic"),
];

/// The chains that are read before and after a built-in one of iptables; empty: none.
pub(super) fn beside(table: Table, chain: &str) -> [&'static str; 2] {
    match (table, chain) {
        (Table::Nat, "PREROUTING") => [HOOKS[0].0, HOOKS[5].0],
        (Table::Nat, "OUTPUT") => [HOOKS[1].0, HOOKS[6].0],
        (Table::Nat, "POSTROUTING") => ["", HOOKS[7].0],
        (Table::Filter, "INPUT") => ["", HOOKS[2].0],
        (Table::Filter, "FORWARD") => ["", HOOKS[3].0],
        (Table::Filter, "OUTPUT") => ["", HOOKS[4].0],
        _ => ["", ""],
    }
}

fn is_set(name: &str) -> bool {
    SETS.iter().any(|(set, ..)| *set == name)
}

/// One rule, or one element of a set, behind the name of what it stands in.
pub fn line(chain: &str, rule: &Rule) -> String {
    let mut text = format!("{chain}: ");
    if is_set(chain) {
        element(&mut text, rule)
    } else {
        sentence(&mut text, rule)
    }
    text
}

impl RuleSet {
    /// `nft list table ip kube-proxy`; empty: there is none.
    pub fn nft(&self) -> String {
        let chains = self.table(Table::KubeProxy);
        let mut text = String::new();
        if chains.is_empty() {
            return text;
        }
        text += "table ip kube-proxy {\n\tcomment \"rules for kube-proxy\"\n";
        for (name, kind, comment) in SETS {
            let Some(set) = chains.get(name) else { continue };
            let what = if kind.ends_with("verdict") { "map" } else { "set" };
            text += &format!("\n\t{what} {name} {{\n\t\ttype {kind}\n\t\tcomment \"{comment}\"\n");
            for (number, one) in set.rules.iter().enumerate() {
                text += if number == 0 { "\t\telements = { " } else { ",\n\t\t\t     " };
                element(&mut text, one);
            }
            text += if set.rules.is_empty() { "\t}\n" } else { " }\n\t}\n" };
        }
        let rules = || chains.values().flat_map(|chain| &chain.rules);
        for one in rules().flat_map(|rule| &rule.matches) {
            if let Match::RecentCheck { list, seconds } = one {
                text += &format!(
                    "\n\tset {list} {{\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout {}\n\t}}\n",
                    lifetime(*seconds)
                );
            }
        }
        let own = chains.keys().map(|name| name.as_str());
        let own = own.filter(|name| !is_set(name) && !BASE_CHAINS.contains(name));
        for name in BASE_CHAINS.iter().copied().chain(own) {
            let Some(chain) = chains.get(name) else { continue };
            text += &format!("\n\tchain {name} {{\n");
            if let Some((_, kind, hook, priority)) = HOOKS.iter().find(|(base, ..)| *base == name) {
                text += &format!("\t\ttype {kind} hook {hook} priority {priority}; policy accept;\n");
            }
            for rule in &chain.rules {
                text += "\t\t";
                sentence(&mut text, rule);
                text.push('\n');
            }
            text += "\t}\n";
        }
        text + "}\n"
    }
}

/// `3h`, `1d2h30m5s`.
fn lifetime(seconds: u32) -> String {
    let mut text = String::new();
    let mut left = seconds;
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if left >= length {
            text += &format!("{}{unit}", left / length);
            left %= length;
        }
    }
    text
}

fn address(side: &Option<Not<Cidr>>) -> Option<String> {
    side.as_ref().map(|Not { value, is_negated }| {
        let not = if *is_negated { "!= " } else { "" };
        format!("{not}{}", short(*value))
    })
}

/// `172.30.0.41 . tcp . 80 comment "..." : goto service-...`.
fn element(text: &mut String, rule: &Rule) {
    let mut parts: Vec<String> = [&rule.source, &rule.destination].into_iter().filter_map(address).collect();
    let mut comment = None;
    for one in &rule.matches {
        match one {
            Match::DestinationPort(protocol, Some(port)) => {
                parts.extend([protocol.name().to_string(), port.to_string()]);
            }
            Match::Comment(words) => comment = Some(words),
            _ => {}
        }
    }
    *text += &parts.join(" . ");
    if let Some(words) = comment {
        *text += &format!(" comment \"{words}\"");
    }
    match &rule.target {
        Some(Target::Goto(to)) => *text += &format!(" : goto {to}"),
        Some(_) => *text += " : drop",
        None => {}
    }
}

/// A rule: conditions, statement, comment.
fn sentence(text: &mut String, rule: &Rule) {
    let mut parts: Vec<String> = rule.matches.iter().filter_map(condition).collect();
    parts.extend(address(&rule.source).map(|one| format!("ip saddr {one}")));
    parts.extend(address(&rule.destination).map(|one| format!("ip daddr {one}")));
    parts.extend(rule.protocol.map(|protocol| format!("meta l4proto {}", protocol.name())));
    parts.extend(rule.target.as_ref().map(statement));
    let comment = rule.matches.iter().find_map(|one| match one {
        Match::Comment(words) => Some(format!("comment \"{words}\"")),
        _ => None,
    });
    parts.extend(comment);
    *text += &parts.join(" ");
}

fn condition(one: &Match) -> Option<String> {
    Some(match one {
        Match::Element("hairpin-connections") => {
            "ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections".into()
        }
        Match::Element(set) => format!("ip daddr @{set}"),
        Match::RecentCheck { list, .. } => format!("ip saddr @{list}"),
        Match::RecentSet { list } => format!("update @{list} {{ ip saddr }}"),
        Match::ConnectionState { states, .. } => match states {
            [CtState::Dnat] => "ct status dnat".into(),
            _ => "ct state new".into(),
        },
        Match::SourceLocal { .. } => "fib saddr type local".into(),
        Match::Mark { mask, .. } => format!("meta mark & {mask:#010x} != 0x00000000"),
        Match::Ranges { ranges, is_source, is_negated } => {
            let side = if *is_source { "saddr" } else { "daddr" };
            let not = if *is_negated { "!= " } else { "" };
            let all: Vec<String> = ranges.iter().map(|range| short(*range)).collect();
            match all.as_slice() {
                [only] => format!("ip {side} {not}{only}"),
                _ => format!("ip {side} {not}{{ {} }}", all.join(", ")),
            }
        }
        _ => return None,
    })
}

fn by_lot(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.enumerate().map(|(number, one)| format!("{number} : {one}")).collect();
    format!("{{ {} }}", all.join(", "))
}

fn statement(target: &Target) -> String {
    match target {
        Target::Jump(to) => format!("jump {to}"),
        Target::Goto(to) => format!("goto {to}"),
        Target::Map(map) => match map.contains("nodeports") {
            true => format!("meta l4proto . th dport vmap @{map}"),
            false => format!("ip daddr . meta l4proto . th dport vmap @{map}"),
        },
        Target::MarkOr(bits) => format!("meta mark set meta mark | {bits:#010x}"),
        Target::MasqueradeMarked(bits) => {
            format!("meta mark set meta mark ^ {bits:#010x} masquerade fully-random")
        }
        Target::Masquerade { .. } => "masquerade fully-random".into(),
        Target::Dnat { to, port } => format!("dnat to {}", std::net::SocketAddr::new(*to, *port)),
        Target::DnatByLot(all) => format!(
            "dnat ip addr . port to numgen random mod {} map {}",
            all.len(),
            by_lot(all.iter().map(|(to, port)| format!("{to} . {port}")))
        ),
        Target::GotoByLot(all) => format!(
            "numgen random mod {} vmap {}",
            all.len(),
            by_lot(all.iter().map(|to| format!("goto {to}")))
        ),
        Target::Reject => "reject".into(),
        _ => "drop".into(),
    }
}
