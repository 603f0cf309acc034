//! The gates of a node: what rules, virtual servers and conntrack do to a packet at each.
//!
//! Picture to hold in mind: the clerks behind the counters of one post office: who relabels, who refuses, and who keeps
//! the list by which an answer gets its labels back.

use core::net::IpAddr;

use super::Spot;
use super::follow::{End, Follower, Tracked};
use super::report::{HopStage, HopVerdict};
use crate::network::netfilter::{Table, Verdict};
use crate::network::packet::{ConnectionState, Packet};

fn host_and_port(address: IpAddr, port: u16) -> String {
    if port == 0 { address.to_string() } else { std::net::SocketAddr::new(address, port).to_string() }
}

/// The last line that says whose it is: in nftables an element of a map, behind which one rule refuses for all.
fn deciding(lines: &[String]) -> String {
    let is_it = |line: &&String| line.starts_with("-A ") || line.contains('"');
    lines.iter().rev().find(is_it).or(lines.last()).cloned().unwrap_or_default()
}

impl Follower<'_> {
    pub(super) fn prerouting(&mut self, node: usize, packet: &mut Packet) -> Option<End> {
        packet.mark = 0;
        self.entered = Some((node, packet.clone(), Vec::new()));
        self.untranslated = None;
        if self.is_known(node, HopStage::Prerouting, packet) {
            return None;
        }
        self.translate(node, "PREROUTING", HopStage::Prerouting, packet)
    }
    /// Conntrack knows the conversation, or it is an answer at least. What it does not know it takes for new, in the middle
    /// of a conversation too.
    pub(super) fn is_known(&mut self, node: usize, stage: HopStage, packet: &mut Packet) -> bool {
        let is_known = packet.state != ConnectionState::New && self.translate_again(node, stage, packet);
        if packet.state == ConnectionState::Further && !is_known {
            packet.state = ConnectionState::New;
        }
        packet.state != ConnectionState::New
    }

    /// Table `nat` at PREROUTING or OUTPUT, and what nftables has to say before it.
    pub(super) fn translate(
        &mut self,
        node: usize,
        chain: &str,
        stage: HopStage,
        packet: &mut Packet,
    ) -> Option<End> {
        let kernel = self.world.nodes()[node].kernel;
        let before = packet.clone();
        let walk = kernel.rules.walk(Table::Nat, chain, packet, kernel);
        let is_dropped = walk.verdict == Verdict::Drop;
        let words = match walk.verdict {
            Verdict::Drop => "A rule drops it without a word.".to_string(),
            Verdict::Dnat { to, port } => {
                let old = host_and_port(packet.destination, packet.destination_port);
                packet.destination = to;
                packet.destination_port = port;
                packet.is_dnat = true;
                format!("The destination {old} is overwritten with {}.", host_and_port(to, port))
            }
            _ => "No rule of table nat translates it: the destination stays as it is.".to_string(),
        };
        if let Some((.., remembered)) = &mut self.entered {
            remembered.extend(walk.remembered.iter().cloned());
        }
        let interface = packet.in_interface.clone();
        let lines = walk.lines();
        let end = is_dropped.then(|| End::Dropped { node, rule: deciding(&lines) });
        let verdict = if is_dropped { HopVerdict::Dropped } else { HopVerdict::Passes };
        let (spot, after) = (Spot::Node(node), packet.clone());
        self.hop(spot, &interface, stage, chain, words, lines, &before, &after, verdict);
        end
    }

    /// A virtual server of the node's kernel puts it through to a real one; `Some`: there is none.
    pub(super) fn balance(&mut self, node: usize, stage: HopStage, packet: &mut Packet) -> Option<End> {
        // Of packets that are only thought of, each next one has the next client's port, and the next turn.
        let ahead = if self.world.hands_over() { 0 } else { packet.source_port.into() };
        let balanced = self.world.nodes()[node].kernel.balance(packet, ahead)?;
        let before = packet.clone();
        let interface = packet.in_interface.clone();
        let Some((to, port)) = balanced.to else {
            let words = "The virtual server has no real servers: it says so with an ICMP message.";
            let rule = deciding(&balanced.lines);
            let (spot, verdict) = (Spot::Node(node), HopVerdict::Refused);
            self.hop(spot, &interface, stage, "IPVS", words, balanced.lines, &before, &before, verdict);
            return Some(End::Rejected { node, rule });
        };
        let words = format!(
            "The virtual server {} puts it through to {}.",
            host_and_port(packet.destination, packet.destination_port),
            host_and_port(to, port)
        );
        (packet.destination, packet.destination_port) = (to, port);
        packet.is_dnat = true;
        if let Some((.., remembered)) = &mut self.entered {
            remembered.extend(balanced.remembered);
        }
        let after = packet.clone();
        let (spot, verdict) = (Spot::Node(node), HopVerdict::Passes);
        self.hop(spot, &interface, stage, "IPVS", words, balanced.lines, &before, &after, verdict);
        None
    }

    /// Not the first of its conversation: conntrack knows what was done to that. Whether it does.
    fn translate_again(&mut self, node: usize, stage: HopStage, packet: &mut Packet) -> bool {
        let is_answer = packet.state == ConnectionState::Established;
        let comes = |one: &Tracked| if is_answer { one.translated.reply() } else { one.original.clone() };
        let is_it = |one: &&Tracked| {
            one.node == node && one.original.protocol == packet.protocol && comes(one).has_sides_of(packet)
        };
        let Some(tracked) = self.tracked.iter().find(is_it) else { return false };
        let leaves = if is_answer { tracked.original.reply() } else { tracked.translated.clone() };
        let before = packet.clone();
        let (asked, seen) = (
            host_and_port(leaves.source, leaves.source_port),
            host_and_port(packet.source, packet.source_port),
        );
        self.untranslated = Some((leaves.source, leaves.source_port));
        (packet.destination, packet.destination_port) = (leaves.destination, leaves.destination_port);
        if before.destination != packet.destination || before.destination_port != packet.destination_port {
            let words = format!(
                "Conntrack knows the conversation: the answer is for {}, behind whom this node's address stood.",
                host_and_port(packet.destination, packet.destination_port)
            );
            let rules = vec![format!("conntrack: {asked} is answered by {seen}")];
            let interface = packet.in_interface.clone();
            let after = packet.clone();
            let spot = Spot::Node(node);
            self.hop(spot, &interface, stage, "conntrack", words, rules, &before, &after, HopVerdict::Passes);
        }
        true
    }

    /// Table `filter` at one gate; `Some`: that is the end. A gate that lets pass because a rule says so is told of.
    pub(super) fn filter(
        &mut self,
        node: usize,
        chain: &str,
        stage: HopStage,
        packet: &mut Packet,
    ) -> Option<End> {
        let kernel = self.world.nodes()[node].kernel;
        let at = packet.clone();
        let walk = kernel.rules.walk(Table::Filter, chain, packet, kernel);
        let lines = walk.lines();
        let rule = deciding(&lines);
        let spot = Spot::Node(node);
        let interface = packet.out_interface.clone();
        let (words, verdict, end) = match walk.verdict {
            Verdict::Drop => {
                ("A rule drops it without a word.", HopVerdict::Dropped, Some(End::Dropped { node, rule }))
            }
            Verdict::Reject => (
                "A rule refuses it, and says so with an ICMP message.",
                HopVerdict::Refused,
                Some(End::Rejected { node, rule }),
            ),
            _ if lines.is_empty() => return None,
            _ => ("A rule lets it pass.", HopVerdict::Passes, None),
        };
        let title = format!("{chain} (filter)");
        self.hop(spot, &interface, stage, title, words, lines, &at, &at, verdict);
        end
    }

    /// Table `nat` at POSTROUTING: masquerading, and what conntrack remembers.
    pub(super) fn postrouting(&mut self, node: usize, packet: &mut Packet, own: Option<IpAddr>) {
        let kernel = self.world.nodes()[node].kernel;
        let before = packet.clone();
        let spot = Spot::Node(node);
        let interface = packet.out_interface.clone();
        if packet.state != ConnectionState::New {
            self.restore_source(node, HopStage::Postrouting, packet);
            return;
        }
        let walk = kernel.rules.walk(Table::Nat, "POSTROUTING", packet, kernel);
        if let (Verdict::Masquerade { is_random }, Some(own)) = (&walk.verdict, own) {
            packet.source = own;
            if *is_random && packet.source_port != 0 {
                packet.source_port = 1024 + (packet.lot(1) % 64_512) as u16;
            }
            let words = format!(
                "The source is hidden behind {own}, this node's address on the way out, so that the answer comes back here."
            );
            let lines = walk.lines();
            let after = packet.clone();
            self.hop(
                spot,
                &interface,
                HopStage::Postrouting,
                "POSTROUTING",
                words,
                lines,
                &before,
                &after,
                HopVerdict::Passes,
            );
        }
        self.track(node, packet);
        packet.is_dnat = false;
        packet.mark = 0;
    }
    /// On the way out an answer gets the source that was asked.
    pub(super) fn restore_source(&mut self, node: usize, stage: HopStage, packet: &mut Packet) {
        let Some((address, port)) = self.untranslated.take() else { return };
        let before = packet.clone();
        (packet.source, packet.source_port) = (address, port);
        if (before.source, before.source_port) == (address, port) {
            return;
        }
        let words = format!(
            "Conntrack knows the conversation: {} was asked, so the answer comes from there.",
            host_and_port(address, port)
        );
        let (after, interface) = (packet.clone(), packet.out_interface.clone());
        let (spot, title) = (Spot::Node(node), "conntrack");
        self.hop(spot, &interface, stage, title, words, vec![], &before, &after, HopVerdict::Passes);
    }
    /// Conntrack confirms the conversation when its first packet leaves the node, or is delivered there.
    pub(super) fn track(&mut self, node: usize, packet: &Packet) {
        if let Some((entered_at, original, remembered)) = self.entered.take()
            && entered_at == node
        {
            self.tracked.push(Tracked { node, original, translated: packet.clone(), remembered });
        }
    }
}
