//! The kernel's packet filter: tables of chains of rules.
//!
//! Picture to hold in mind: five gates on every node's road (PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING), each
//! with a rule book that is read from the top; a rule may send the reader to another chapter (a chain) and back.
//!
//! A copy of a rule set shares every chain: kube-proxy hands over only the chains that changed.
//!
//! - [`set`] lists of addresses that rules refer to by name
//! - [`read`] rules from their text; [`save`] how `iptables-save` prints them
//! - [`nft`] how `nft list` prints the table that kube-proxy has in nftables mode
//! - [`walk`] what they do to a packet
//!
//! After iptables(8), iptables-extensions(8), nft(8) and the kernel's `net/netfilter`.

pub mod nft;
pub mod read;
pub mod save;
pub mod set;
pub mod walk;

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::Text;
use crate::arrange::Arrange;
use crate::shared_map::SharedMap;

use super::ipam::Cidr;
use super::ipvs::VirtualServer;
use super::packet::Protocol;

pub use set::{IpSet, PortEntry};
pub use walk::{Verdict, Walk};

/// In the order in which `iptables-save` prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Mangle,
    Filter,
    Nat,
    /// `filter` of ip6tables, for packets of IPv6.
    Filter6,
    /// `ip kube-proxy`, of nftables: beside chains there are sets and maps, whose elements are kept as rules.
    KubeProxy,
}

/// Those of iptables; of ip6tables there is [`Table::Filter6`] alone.
pub const TABLES: [Table; 3] = [Table::Mangle, Table::Filter, Table::Nat];

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Table::Mangle => "mangle",
            Table::Filter | Table::Filter6 => "filter",
            Table::Nat => "nat",
            Table::KubeProxy => "kube-proxy",
        }
    }
    /// The chains that packets enter by themselves.
    pub fn built_in(self) -> &'static [&'static str] {
        match self {
            Table::Mangle => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            Table::Filter | Table::Filter6 => &["INPUT", "FORWARD", "OUTPUT"],
            Table::Nat => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            Table::KubeProxy => nft::BASE_CHAINS,
        }
    }
}

/// A condition that may be turned round (`!`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Not<T> {
    pub value: T,
    pub is_negated: bool,
}

impl<T> Not<T> {
    pub fn is(value: T) -> Not<T> {
        Not { value, is_negated: false }
    }
    pub fn is_not(value: T) -> Not<T> {
        Not { value, is_negated: true }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub source: Option<Not<Cidr>>,
    pub destination: Option<Not<Cidr>>,
    pub protocol: Option<Protocol>,
    /// In the order in which they were written.
    pub matches: Vec<Match>,
    /// `None`: it only counts.
    pub target: Option<Target>,
}

/// A match module with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    Comment(Text),
    /// `-m tcp --dport 80`; without a port only the module is named.
    DestinationPort(Protocol, Option<u16>),
    /// `-m tcp --dport 8000:8080`, or `-m multiport --dports 8000:8080`.
    DestinationPorts {
        protocol: Protocol,
        first: u16,
        last: u16,
        is_multiport: bool,
    },
    /// `-m multiport --dports 80,443`.
    PortList {
        protocol: Protocol,
        ports: Vec<u16>,
    },
    /// `-m icmp --icmp-type`: the type's number in the header.
    IcmpType(u8),
    /// `-m set --match-set NAME src`; `by` says which parts of the packet are looked up, as `dst,dst`.
    Set {
        name: Text,
        by: &'static str,
    },
    /// `-m limit`: so many a minute. What is limited here only writes a log, which nobody reads.
    Limit {
        per_minute: u32,
        burst: u32,
    },
    /// `-i cali+`, `-o eth0`: what ends in `+` is a beginning.
    Interface {
        name: Text,
        is_out: bool,
    },
    /// `-m physdev --physdev-is-bridged`: it comes and goes by ports of one bridge.
    Bridged,
    /// `-m physdev ! --physdev-is-in`: it has not come by a port of a bridge.
    NotFromBridge,
    /// `-m ipvs --vaddr`: a virtual server has translated it. Of the node's own packets, as their source tells.
    VirtualServer(PortEntry),
    /// `-m mark --mark 0x4000/0x4000`.
    Mark {
        value: u32,
        mask: u32,
        is_negated: bool,
    },
    ConnectionState {
        states: &'static [CtState],
        is_negated: bool,
    },
    /// `-m statistic --mode random --probability`: passes one packet in `of`.
    Statistic {
        of: u32,
    },
    /// `-m addrtype --src-type LOCAL`.
    SourceLocal {
        is_negated: bool,
    },
    DestinationLocal {
        is_negated: bool,
    },
    /// `-m recent --rcheck --seconds N --reap`: the source was remembered in the list so recently.
    RecentCheck {
        list: Text,
        seconds: u32,
    },
    /// `-m recent --set`: remembers the source.
    RecentSet {
        list: Text,
    },
    /// `-m nfacct`: counts and lets pass.
    Account(&'static str),
    /// nftables: the packet is an element of this set of the table.
    Element(&'static str),
    /// nftables: a set without a name, as `ip saddr != { ... }`.
    Ranges {
        ranges: Vec<Cidr>,
        is_source: bool,
        is_negated: bool,
    },
}

/// States of `-m conntrack --ctstate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtState {
    New,
    Established,
    Related,
    Invalid,
    /// A virtual state: the destination was translated.
    Dnat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Accept,
    Drop,
    Return,
    /// With `icmp-port-unreachable`.
    Reject,
    Jump(Text),
    /// Bits of the mark that are set.
    MarkOr(u32),
    MarkXor(u32),
    /// Bits of the mark that are cleared.
    MarkClear(u32),
    /// To the log that listens on this group (`NFLOG`); the packet goes on.
    Log {
        group: u16,
    },
    Masquerade {
        is_random: bool,
    },
    Dnat {
        to: IpAddr,
        port: u16,
    },
    /// As a jump, but what comes back goes on behind the jump before it.
    Goto(Text),
    /// nftables: what the map says of the packet's element.
    Map(&'static str),
    /// nftables: takes these bits off the mark, and masquerades.
    MasqueradeMarked(u32),
    /// nftables: one of so many, by lot.
    DnatByLot(Vec<(IpAddr, u16)>),
    GotoByLot(Vec<Text>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub rules: Vec<Arc<Rule>>,
}

/// All tables of one node's kernel.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    mangle: SharedMap<Text, Arc<Chain>>,
    filter: SharedMap<Text, Arc<Chain>>,
    nat: SharedMap<Text, Arc<Chain>>,
    filter6: SharedMap<Text, Arc<Chain>>,
    kube_proxy: SharedMap<Text, Arc<Chain>>,
    /// By name.
    sets: Arc<Vec<Arc<IpSet>>>,
    /// Of IPVS.
    servers: Arc<Vec<Arc<VirtualServer>>>,
}

/// What an `iptables-restore --noflush` brings: the chains that it names are as it says, or gone; others stay.
#[derive(Clone, Debug, Default)]
pub struct Restore {
    pub chains: Vec<(Table, Text, Option<Arc<Chain>>)>,
    /// Jumps from the built-in chains, each put at the top of its chain unless it is already there.
    pub jumps: Vec<(Table, &'static str, Arc<Rule>)>,
    /// Rules at the end of built-in chains, likewise.
    pub ends: Vec<(Table, &'static str, Arc<Rule>)>,
    /// The writer's own: a table, and what names of his chains begin with. Such chains that he does not name are gone.
    pub replaces: Option<(Table, &'static [&'static str])>,
    /// What others have left and is not to stay, before all else.
    pub cleans: &'static [Leftover],
    /// The virtual servers of IPVS are these.
    pub servers: Option<Vec<Arc<VirtualServer>>>,
    /// With [`Self::replaces`], `ipset restore` before it: the sets whose names begin so are these.
    pub sets: Option<(&'static [&'static str], Vec<Arc<IpSet>>)>,
}

/// What a mode of kube-proxy leaves behind.
#[derive(Debug)]
pub enum Leftover {
    /// Chains whose names begin so, with the jumps to them from built-in chains.
    Chains(Table, &'static [&'static str]),
    Sets(&'static [&'static str]),
    Servers,
}

fn begins(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

impl RuleSet {
    pub fn table(&self, table: Table) -> &SharedMap<Text, Arc<Chain>> {
        match table {
            Table::Mangle => &self.mangle,
            Table::Filter => &self.filter,
            Table::Nat => &self.nat,
            Table::Filter6 => &self.filter6,
            Table::KubeProxy => &self.kube_proxy,
        }
    }
    fn table_mut(&mut self, table: Table) -> &mut SharedMap<Text, Arc<Chain>> {
        match table {
            Table::Mangle => &mut self.mangle,
            Table::Filter => &mut self.filter,
            Table::Nat => &mut self.nat,
            Table::Filter6 => &mut self.filter6,
            Table::KubeProxy => &mut self.kube_proxy,
        }
    }
    pub fn chain(&self, table: Table, name: &str) -> Option<&Arc<Chain>> {
        self.table(table).get(name)
    }
    pub fn set(&mut self, table: Table, name: Text, chain: Option<Arc<Chain>>) {
        match chain {
            Some(chain) => drop(self.table_mut(table).insert(name, chain)),
            None => drop(self.table_mut(table).remove(&name)),
        }
    }
    /// `iptables -A`.
    pub fn append(&mut self, table: Table, chain: &str, rule: Rule) {
        let chain = self.table_mut(table).entry(&chain.into(), Arc::default);
        Arc::make_mut(chain).rules.push(Arc::new(rule));
    }
    /// `iptables -I`.
    pub fn insert_first(&mut self, table: Table, chain: &str, rule: Rule) {
        self.ensure_first(table, chain, &Arc::new(rule));
    }
    /// `iptables -D`, of all that fit.
    pub fn remove_rules(&mut self, table: Table, chain: &str, is_gone: impl Fn(&Rule) -> bool) {
        if let Some(chain) = self.table_mut(table).get_mut(chain) {
            Arc::make_mut(chain).rules.retain(|rule| !is_gone(rule));
        }
    }
    /// `iptables -C || iptables -I`.
    fn ensure_first(&mut self, table: Table, chain: &str, rule: &Arc<Rule>) {
        let chain = self.table_mut(table).entry(&chain.into(), Arc::default);
        if !chain.rules.contains(rule) {
            Arc::make_mut(chain).rules.insert(0, rule.clone());
        }
    }
    fn clean(&mut self, leftover: &Leftover) {
        match leftover {
            Leftover::Chains(table, prefixes) => {
                self.remove_chains(*table, prefixes);
                for name in table.built_in() {
                    let Some(chain) = self.table_mut(*table).get_mut(*name) else { continue };
                    let is_left = |rule: &Arc<Rule>| match &rule.target {
                        Some(Target::Jump(to)) => !begins(to, prefixes),
                        _ => true,
                    };
                    if !chain.rules.iter().all(is_left) {
                        Arc::make_mut(chain).rules.retain(is_left);
                    }
                }
            }
            Leftover::Sets(prefixes) => {
                Arc::make_mut(&mut self.sets).retain(|set| !begins(&set.name, prefixes));
            }
            Leftover::Servers => self.servers = Arc::default(),
        }
    }
    fn remove_chains(&mut self, table: Table, prefixes: &[&str]) {
        let chains = self.table_mut(table);
        let gone: Vec<Text> = chains.keys().filter(|name| begins(name, prefixes)).cloned().collect();
        for name in gone {
            chains.remove(&name);
        }
    }
    pub fn restore(&mut self, restore: &Restore) {
        for leftover in restore.cleans {
            self.clean(leftover);
        }
        if let Some(servers) = &restore.servers {
            self.servers = Arc::new(servers.clone());
        }
        if let Some((prefixes, sets)) = &restore.sets {
            let others = self.sets.iter().filter(|set| !begins(&set.name, prefixes)).cloned();
            let mut sets: Vec<Arc<IpSet>> = others.chain(sets.iter().cloned()).collect();
            sets.arrange_by(|a, b| a.name.cmp(&b.name));
            self.sets = Arc::new(sets);
        }
        if let Some((table, prefixes)) = restore.replaces {
            self.remove_chains(table, prefixes);
        }
        for (table, name, chain) in &restore.chains {
            self.set(*table, name.clone(), chain.clone());
        }
        for (table, chain, rule) in &restore.jumps {
            self.ensure_first(*table, chain, rule);
        }
        for (table, name, rule) in &restore.ends {
            let chain = self.table_mut(*table).entry(&(*name).into(), Arc::default);
            if !chain.rules.contains(rule) {
                Arc::make_mut(chain).rules.push(rule.clone());
            }
        }
    }
    pub fn sets(&self) -> &[Arc<IpSet>] {
        &self.sets
    }
    pub fn servers(&self) -> &[Arc<VirtualServer>] {
        &self.servers
    }
    pub(in crate::network) fn set_servers(&mut self, servers: Vec<Arc<VirtualServer>>) {
        self.servers = Arc::new(servers);
    }
    /// Rules in all tables, with the elements of sets and maps.
    pub fn rule_count(&self) -> usize {
        let tables = TABLES.iter().chain(&[Table::Filter6, Table::KubeProxy]);
        tables.flat_map(|table| self.table(*table).values()).map(|chain| chain.rules.len()).sum()
    }
}

impl Rule {
    pub fn jump(to: impl Into<Text>) -> Rule {
        Rule { target: Some(Target::Jump(to.into())), ..Rule::default() }
    }
    pub fn with(target: Target) -> Rule {
        Rule { target: Some(target), ..Rule::default() }
    }
    #[must_use]
    pub fn comment(mut self, comment: impl Into<Text>) -> Rule {
        self.matches.push(Match::Comment(comment.into()));
        self
    }
    #[must_use]
    pub fn when(mut self, condition: Match) -> Rule {
        self.matches.push(condition);
        self
    }
    #[must_use]
    pub fn from(mut self, source: Not<Cidr>) -> Rule {
        self.source = Some(source);
        self
    }
    #[must_use]
    pub fn to(mut self, destination: Not<Cidr>) -> Rule {
        self.destination = Some(destination);
        self
    }
    #[must_use]
    pub fn then(mut self, target: Target) -> Rule {
        self.target = Some(target);
        self
    }
    /// `-p tcp -m tcp --dport PORT`.
    #[must_use]
    pub fn port(mut self, protocol: Protocol, port: Option<u16>) -> Rule {
        self.protocol = Some(protocol);
        self.matches.push(Match::DestinationPort(protocol, port));
        self
    }
}
