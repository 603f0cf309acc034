//! What CNI plugins write into the node's tables for one sandbox: portmap its host ports, bridge and ptp (`ipMasq`) the
//! hiding of its address.
//!
//! Picture to hold in mind: notices that a caretaker pins to the board when somebody moves in, with the tenant's name on
//! each, so that he finds them all again when he takes them down.
//!
//! Follows `containernetworking/plugins` (`plugins/meta/portmap/portmap_iptables.go`, `pkg/ip/ipmasq_iptables_linux.go`):
//! chains, order and comments. The letters behind a chain's name are those of another sum.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::{Text, Value};

use super::cni::{Attachment, Network};
use super::ipam::Cidr;
use super::kernel::Kernel;
use super::netfilter::{Chain, Match, Not, Rule, Table, Target};
use super::packet::Protocol;
use crate::api::sha256::sha256;

/// A port of the node that leads to one of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    pub protocol: Protocol,
    pub host_port: u16,
    pub container_port: u16,
    /// Of the node's addresses only this one.
    pub host_ip: Option<IpAddr>,
}

const DNAT: &str = "CNI-HOSTPORT-DNAT";
const SET_MARK: &str = "CNI-HOSTPORT-SETMARK";
const MASQUERADE: &str = "CNI-HOSTPORT-MASQ";
/// `markMasqBit` 13.
const MARK: u32 = 0x2000;

fn chain_name(prefix: &str, length: usize, network: &str, sandbox: &str) -> Text {
    let mut sum = String::new();
    for byte in sha256(format!("{network}{sandbox}").as_bytes()) {
        sum += &format!("{byte:02x}");
    }
    arcstr::format!("{prefix}{}", &sum[..length])
}

/// Whether a list has the plugin that maps ports.
fn maps_ports(network: &Network) -> bool {
    let is_it =
        |plugin: &Value| plugin.text("type") == "portmap" && plugin.is_true("capabilities.portMappings");
    network.config.items("plugins").iter().any(is_it)
}

impl Kernel {
    /// The plugins have been called with ADD for `sandbox`.
    pub fn pin(
        &mut self,
        network: &Network,
        attachment: &Attachment,
        mappings: &[PortMapping],
        sandbox: &str,
    ) {
        if network.ip_masquerade {
            self.hide(network, attachment, sandbox);
        }
        if mappings.is_empty() || !maps_ports(network) {
            return;
        }
        let Some((address, length)) = ipv4(attachment) else { return };
        let rules = &mut self.rules;
        if rules.chain(Table::Nat, DNAT).is_none() {
            for chain in ["PREROUTING", "OUTPUT"] {
                let rule = Rule::jump(DNAT).when(Match::DestinationLocal { is_negated: false });
                rules.append(Table::Nat, chain, rule);
            }
            let mark = Rule::with(Target::MarkOr(MARK)).comment("CNI portfwd masquerade mark");
            rules.append(Table::Nat, SET_MARK, mark);
            let marked = Match::Mark { value: MARK, mask: MARK, is_negated: false };
            let hide = Rule::with(Target::Masquerade { is_random: false }).when(marked);
            rules.append(Table::Nat, MASQUERADE, hide);
            let first = Rule::jump(MASQUERADE).comment("CNI portfwd requiring masquerade");
            rules.insert_first(Table::Nat, "POSTROUTING", first);
        }
        let own = chain_name("CNI-DN-", 21, &network.name, sandbox);
        let comment = format!("dnat name: \"{}\" id: \"{sandbox}\"", network.name);
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let ports: Vec<u16> =
                mappings.iter().filter(|one| one.protocol == protocol).map(|one| one.host_port).collect();
            if !ports.is_empty() {
                let mut entry = Rule::jump(own.clone()).comment(comment.clone());
                entry.protocol = Some(protocol);
                rules.append(Table::Nat, DNAT, entry.when(Match::PortList { protocol, ports }));
            }
        }
        let mut chain = Chain::default();
        for one in mappings {
            let base = || {
                let rule = Rule::default().port(one.protocol, Some(one.host_port));
                match one.host_ip {
                    Some(address) => rule.to(Not::is(Cidr::one(address))),
                    None => rule,
                }
            };
            let sources = [Cidr::parse(&format!("{address}/{length}")), Cidr::parse("127.0.0.1/32")];
            for source in sources.into_iter().flatten() {
                let mark = base().from(Not::is(source)).then(Target::Jump(SET_MARK.into()));
                chain.rules.push(Arc::new(mark));
            }
            let to = Target::Dnat { to: address, port: one.container_port };
            chain.rules.push(Arc::new(base().then(to)));
        }
        rules.set(Table::Nat, own, Some(Arc::new(chain)));
    }

    /// `ipMasq`: what leaves the pods' own range carries the node's address.
    fn hide(&mut self, network: &Network, attachment: &Attachment, sandbox: &str) {
        let own = chain_name("CNI-", 24, &network.name, sandbox);
        let comment = format!("name: \"{}\" id: \"{sandbox}\"", network.name);
        let (Some((address, length)), Some(multicast)) = (ipv4(attachment), Cidr::parse("224.0.0.0/4"))
        else {
            return;
        };
        let Some(range) = Cidr::parse(&format!("{address}/{length}")) else { return };
        let chain = Chain {
            rules: vec![
                Arc::new(Rule::with(Target::Accept).to(Not::is(range)).comment(comment.clone())),
                Arc::new(
                    Rule::with(Target::Masquerade { is_random: false })
                        .to(Not::is_not(multicast))
                        .comment(comment.clone()),
                ),
            ],
        };
        self.rules.set(Table::Nat, own.clone(), Some(Arc::new(chain)));
        let jump = Rule::jump(own).from(Not::is(Cidr::one(address))).comment(comment);
        self.rules.append(Table::Nat, "POSTROUTING", jump);
    }

    /// The plugins have been called with DEL: whatever bears the sandbox's name is taken down.
    pub fn unpin(&mut self, network: &str, sandbox: &str) {
        for (prefix, length, entries) in [("CNI-DN-", 21, DNAT), ("CNI-", 24, "POSTROUTING")] {
            let own = chain_name(prefix, length, network, sandbox);
            if self.rules.chain(Table::Nat, &own).is_some() {
                let is_its = |rule: &Rule| rule.target == Some(Target::Jump(own.clone()));
                self.rules.remove_rules(Table::Nat, entries, is_its);
                self.rules.set(Table::Nat, own.clone(), None);
            }
        }
    }
}

fn ipv4(attachment: &Attachment) -> Option<(IpAddr, u8)> {
    let mut all = attachment.addresses.iter().copied().zip(attachment.prefix_lengths.iter().copied());
    all.find(|(address, _)| address.is_ipv4())
}
