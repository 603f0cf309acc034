//! Programs in containers that talk to somebody over the network: real packets, by the node's rules and routes.
//!
//! Picture to hold in mind: a post room. A program hands in a question and waits; the post room stamps it as the
//! kernel's books say, and carries it down the hall or gives it to the carrier for the next house, whose post room
//! goes on. The answer comes the same way back. What is never answered comes back as a note that says so.
//!
//! A program waits as controllers do (`docs/architecture.md`): its script runs again from where it woke up, with the
//! answers that came so far; what it did in the meantime is undone until the last answer is there.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::api::{Text, Value};
use crate::language::Context;
use crate::message::Message;
use crate::message::node::{Letter, NodeMessage, Payload, Question, Reached, Said};
use crate::network::bandwidth::Limits;
use crate::network::cni::Attachment;
use crate::network::dns;
use crate::network::ipam::Cidr;
use crate::network::kernel::{Connection, Kernel};
use crate::network::packet::{ConnectionState, Packet, Protocol};
use crate::network::trace::follow::{End, Follower, Tracked};
use crate::network::trace::{Node, Pod, Spot, Wire, World, source_address};
use crate::sim::{ActorId, Duration, Time};
use crate::timer::{EngineTimer, Timer};

use super::host::HOST;
use super::sandbox::Sandbox;
use super::{ContainerEngine, State, reach};

/// The client's word for an answer that did not come.
pub const TIMED_OUT: &str = "Connection timed out";
/// Bytes that a request or an answer of HTTP has besides its body: the magnitude.
const HEADERS: usize = 240;
/// Until the name servers of the world outside answer.
const OUTSIDE_LATENCY: Duration = Duration::from_millis(12);

/// A question to somebody at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub address: Text,
    /// 0: an echo request.
    pub port: u16,
    pub question: Question,
    /// Until it is given up.
    pub timeout_seconds: u64,
}

/// What a run of a script asked, and has been answered, in order.
pub type Journal = Vec<(Ask, Reached)>;

/// The journal of the run in progress.
#[derive(Default)]
pub struct Desk {
    pub journal: Journal,
    next: Cell<usize>,
    /// The first question that is still open.
    open: RefCell<Option<Ask>>,
}

impl Desk {
    pub fn new(journal: &Journal) -> Desk {
        Desk { journal: journal.clone(), ..Desk::default() }
    }
    /// The answer, if it has come; otherwise the question is open, and what is returned means nothing.
    pub fn ask(&self, ask: Ask) -> Reached {
        if let Some((known, reached)) = self.journal.get(self.next.get())
            && *known == ask
        {
            self.next.set(self.next.get() + 1);
            return reached.clone();
        }
        self.open.borrow_mut().get_or_insert(ask);
        Err("")
    }
    /// The open question, and how many before it were answered.
    pub fn open(self) -> Option<(usize, Ask)> {
        Some((self.next.get(), self.open.into_inner()?))
    }
}

/// Who waits for an answer.
#[derive(Clone, Debug)]
pub enum Asker {
    /// A container's first process.
    Container(Text),
    /// A command beside it: the operation's number.
    Operation(u64),
    /// A load that looks up its name.
    Load(u64),
    /// A program that passes a request on.
    Proxy { query: u64, is_load: bool },
}

/// A question that has come to a program that is an actor of its own, which answers it later.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub sandbox: Text,
    pub packet: Packet,
    pub letter: Letter,
    /// How many endpoints it has been passed on to in vain.
    pub tries: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    asker: Asker,
    ask: Ask,
}

/// One node by itself: what lies beyond its wire is somebody else's.
struct Here<'a> {
    nodes: Vec<Node<'a>>,
    state: &'a State,
    now: Time,
}

impl<'a> Here<'a> {
    fn new(state: &'a State, now: Time) -> Here<'a> {
        let pods = state.sandboxes.values().filter(|sandbox| sandbox.is_ready()).map(|sandbox| {
            let config = &sandbox.config;
            Pod {
                namespace: &config.namespace,
                name: &config.name,
                attachment: sandbox.attachment.as_ref().filter(|_| !config.host_network),
                hostname: &config.hostname,
                name_servers: &config.dns.servers,
                searches: &config.dns.searches,
                options: &config.dns.options,
            }
        });
        let pods = pods.collect();
        let node = Node { name: &state.kernel.node, kernel: &state.kernel, is_up: true, pods };
        Here { nodes: vec![node], state, now }
    }
    fn spot_of(&self, sandbox: &Sandbox) -> Option<Spot> {
        let config = &sandbox.config;
        let is_it = |pod: &Pod| pod.namespace == config.namespace && pod.name == config.name;
        self.nodes[0].pods.iter().position(is_it).map(|pod| Spot::Pod(0, pod))
    }
    /// The sandbox at a spot that has a program on the port.
    fn sandbox_at(&self, spot: Spot, port: u16) -> Option<&'a Sandbox> {
        let wanted = match spot {
            Spot::Pod(_, pod) => Some((self.nodes[0].pods[pod].namespace, self.nodes[0].pods[pod].name)),
            _ => None,
        };
        let mut sandboxes = self.state.sandboxes.values().filter(|sandbox| sandbox.is_ready());
        let found = sandboxes.find(|sandbox| match wanted {
            Some((namespace, name)) => sandbox.config.namespace == namespace && sandbox.config.name == name,
            None => {
                let mut containers = self.state.containers.values();
                sandbox.config.host_network
                    && containers
                        .any(|one| one.sandbox == sandbox.id && one.listens(port, self.now).is_some())
            }
        });
        found.map(|sandbox| &**sandbox)
    }
    /// Who follows `packet`, with what conntrack knows of it.
    fn follower(&self, packet: &Packet) -> Follower<'_> {
        let mut follower = Follower::new(self);
        let is_its = |one: &&Connection| match packet.state {
            ConnectionState::New => false,
            ConnectionState::Further => one.original.has_sides_of(packet),
            ConnectionState::Established => one.reply.has_sides_of(packet),
        };
        let connections = self.state.kernel.connections.iter().filter(is_its);
        follower.tracked = connections.map(tracked).collect();
        follower
    }
}

fn tracked(connection: &Connection) -> Tracked {
    Tracked {
        node: 0,
        original: connection.original.clone(),
        translated: connection.reply.reply(),
        remembered: Vec::new(),
    }
}

impl World for Here<'_> {
    fn nodes(&self) -> &[Node<'_>] {
        &self.nodes
    }
    fn hands_over(&self) -> bool {
        true
    }
    fn wire(&self, _: &str, _: &str) -> Wire {
        Wire::Whole
    }
    fn listener(&self, _: &str, pod: Option<(&str, &str)>, protocol: Protocol, port: u16) -> Option<String> {
        self.state.listener(pod, protocol, port, self.now)
    }
    fn service(&self, _: &str, _: &str) -> Option<&Value> {
        None
    }
    fn services(&self) -> Vec<&Value> {
        Vec::new()
    }
    fn slices(&self, _: &str, _: &str) -> Vec<&Value> {
        Vec::new()
    }
    fn declared_port(&self, _: &str, _: &str) -> Option<u16> {
        None
    }
    fn service_range(&self) -> Option<Cidr> {
        None
    }
}

/// What a walk over this node's books came to, and what they have to remember of it.
struct Outcome {
    end: End,
    packet: Packet,
    tracked: Vec<Tracked>,
}

impl ContainerEngine {
    /// `from`: `None` comes in by the wire.
    fn walk(&mut self, now: Time, from: Option<Spot>, packet: Packet) -> Outcome {
        let state = Arc::make_mut(&mut self.state);
        state.kernel.now = now;
        if packet.state == ConnectionState::Further {
            state.kernel.see_again(&packet, now);
        }
        let here = Here::new(state, now);
        let mut follower = here.follower(&packet);
        let known = follower.tracked.len();
        let (end, packet) = match from {
            Some(spot) => follower.follow(spot, packet),
            None => {
                let mut packet = packet;
                (follower.arrive(0, &mut packet), packet)
            }
        };
        Outcome { end, packet, tracked: follower.tracked.split_off(known) }
    }
    /// Conversations that began are written down, and answers that came by are ticked off.
    fn remember(&mut self, outcome: &Outcome, now: Time) {
        let kernel: &mut Kernel = &mut Arc::make_mut(&mut self.state).kernel;
        if outcome.packet.state == ConnectionState::Established {
            kernel.tick_off(&outcome.packet);
        }
        for one in &outcome.tracked {
            kernel.remember(&one.remembered, one.original.source, now);
            let (original, reply) = (one.original.clone(), one.translated.reply());
            kernel.track(Connection { original, reply, seen_at: now, is_answered: false, is_kept: false });
        }
    }

    /// A program in `sandbox` asks somebody.
    pub(super) fn ask(&mut self, asker: Asker, sandbox: &Text, ask: Ask, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let id = state.next_operation;
        state.next_operation += 1;
        let timeout = Duration::from_secs(ask.timeout_seconds);
        let is_load = matches!(asker, Asker::Load(_) | Asker::Proxy { is_load: true, .. });
        state.asked.insert(id, Asked { asker: asker.clone(), ask: ask.clone() });
        if let Question::Load(order) = &ask.question {
            return self.begin_load(id, asker, sandbox, order, context);
        }
        let client_port = context.random().between(32_768, 60_999) as u16;
        let is_there = sandbox == HOST || state.sandboxes.contains_key(sandbox);
        let (true, Ok(destination)) = (is_there, ask.address.parse()) else {
            // Whoever asks has not been put aside yet.
            let arrived = NodeMessage::Reached { id, reached: Err("Network is unreachable") };
            let me = context.me();
            return context.send(me, Message::node(arrived));
        };
        let (protocol, ports) = match (ask.port, &ask.question) {
            (0, _) => (Protocol::Icmp, (0, 0)),
            (port, Question::Dns { .. }) => (Protocol::Udp, (client_port, port)),
            (port, _) => (Protocol::Tcp, (client_port, port)),
        };
        context.timer(timeout, Timer::Engine(EngineTimer::Ask { id }));
        let packet = Packet::new(protocol, (destination, ports.0), (destination, ports.1));
        self.post(Some(sandbox), packet, ask.question, (id, is_load), context);
    }

    /// Sends question `id` from a sandbox, or from the node itself, whose address becomes the packet's source.
    pub(super) fn post(
        &mut self,
        sandbox: Option<&Text>,
        mut packet: Packet,
        question: Question,
        (id, is_load): (u64, bool),
        context: &mut Context,
    ) {
        let now = context.now();
        let here = Here::new(&self.state, now);
        let sandbox = sandbox.and_then(|sandbox| self.state.sandboxes.get(sandbox));
        let spot = sandbox.and_then(|sandbox| here.spot_of(sandbox)).unwrap_or(Spot::Node(0));
        let destination = packet.destination;
        let outcome = match source_address(&here, spot, destination) {
            Some(source) => {
                packet.source = source;
                self.walk(now, Some(spot), packet)
            }
            None => Outcome { end: End::NoRoute { at: spot }, packet, tracked: Vec::new() },
        };
        let to = outcome.packet.destination;
        if is_load
            && (to != destination || !matches!(outcome.end, End::Rejected { .. } | End::NoRoute { .. }))
        {
            self.load_sent(id, to);
        }
        let letter = Letter {
            packet: outcome.packet.clone(),
            payload: Payload::Ask(question),
            asker: context.me(),
            id,
            is_load,
            by: None,
        };
        self.arrived(outcome, letter, context);
    }

    /// A letter came in over the wire.
    pub(super) fn letter(&mut self, letter: &Letter, context: &mut Context) {
        let now = context.now();
        let in_interface = self.state.kernel.entrance(&letter.packet).into();
        let packet = Packet { in_interface, out_interface: Text::new(), ..letter.packet.clone() };
        let outcome = self.walk(now, None, packet);
        self.arrived(outcome, letter.clone(), context);
    }

    /// What becomes of a letter after this node's books have been read.
    fn arrived(&mut self, outcome: Outcome, letter: Letter, context: &mut Context) {
        let now = context.now();
        self.remember(&outcome, now);
        let packet = outcome.packet.clone();
        let is_at_endpoint =
            matches!(outcome.end, End::Delivered { .. } | End::NobodyListens { .. } | End::NobodyHome { .. });
        let by = match letter.payload {
            Payload::Ask(_) if is_at_endpoint => Some(packet.destination),
            _ => letter.by,
        };
        let letter = Letter { by, ..letter };
        match (outcome.end, &letter.payload) {
            (End::OnWire { next }, _) => {
                let neighbour = self.state.kernel.neighbour(next).map(|one| one.actor);
                if let Some(actor) = neighbour {
                    let letter = Letter { packet, ..letter };
                    context.send(actor, Message::node(NodeMessage::Packet(Arc::new(letter))));
                }
            }
            (End::Delivered { .. }, Payload::Answer(reached)) if letter.asker == context.me() => {
                self.tell_asker(&letter, reached.clone(), context);
            }
            (End::Delivered { at: Spot::Outside, .. }, Payload::Answer(_)) => {
                let (asker, letter) = (letter.asker, Letter { packet, ..letter });
                context.send(asker, Message::node(NodeMessage::Packet(Arc::new(letter))));
            }
            (End::Delivered { at, .. }, Payload::Ask(Question::Http { .. }))
                if self.passes_on(at, &packet, &letter, context) => {}
            (End::Delivered { at, .. }, Payload::Ask(Question::Http { path, .. })) => {
                match self.served(at, &packet, path, now) {
                    (reached, None) => self.answer(at, &packet, reached, letter, context),
                    (reached, Some(limited)) => {
                        self.answer_shaped(limited, &packet, reached, letter, context);
                    }
                }
            }
            (End::Delivered { at, .. }, Payload::Ask(Question::Dns { kind, name })) => {
                let (kind, name) = (*kind, name.clone());
                self.query(at, &packet, kind, name, &letter, context);
            }
            // The name servers of the world outside of the cluster.
            (End::LeftTheCluster, Payload::Ask(Question::Dns { kind, name }))
                if letter.asker == context.me() =>
            {
                let reached = Ok(Said::Dns(dns::of_the_world(*kind, name)));
                let arrived = NodeMessage::Reached { id: letter.id, reached };
                context.send_after(OUTSIDE_LATENCY, context.me(), Message::node(arrived));
            }
            (End::NobodyListens { at }, Payload::Ask(_)) => {
                self.answer(at, &packet, Err("Connection refused"), letter, context);
            }
            (End::Rejected { .. }, Payload::Ask(_)) => {
                self.answer(Spot::Node(0), &packet, Err("Connection refused"), letter, context);
            }
            (End::NobodyHome { .. }, Payload::Ask(_)) => {
                self.answer(Spot::Node(0), &packet, Err("No route to host"), letter, context);
            }
            (End::NoRoute { .. }, Payload::Ask(_)) => {
                self.answer(Spot::Node(0), &packet, Err("Network is unreachable"), letter, context);
            }
            // Nobody says anything: whoever waits gives up by the clock.
            _ => {}
        }
    }

    /// What the program at `spot` says, and the sandbox whose cable has buckets.
    fn served(&self, spot: Spot, packet: &Packet, path: &Text, now: Time) -> (Reached, Option<Text>) {
        if packet.protocol == Protocol::Icmp {
            return (Ok(Said::Http(0, Text::new())), None);
        }
        let here = Here::new(&self.state, now);
        match here.sandbox_at(spot, packet.destination_port) {
            Some(sandbox) => {
                let (containers, disk) = (&self.state.containers, &self.state.disk);
                let said = reach::dial(containers, disk, sandbox, packet.destination_port, path, now);
                let is_limited = |one: &Attachment| one.limits != Limits::default();
                let is_limited = sandbox.attachment.as_ref().is_some_and(is_limited);
                let said = said.map(|(status, body)| Said::Http(status, body));
                (said, is_limited.then(|| sandbox.id.clone()))
            }
            // The kubelet wants to know who asks.
            None if path.is_empty() => (Ok(Said::Http(0, Text::new())), None),
            None => (Ok(Said::Http(401, "Unauthorized".into())), None),
        }
    }

    /// Sends an answer of a pod when the buckets of its cable have let through what came in and what goes out.
    fn answer_shaped(
        &mut self,
        id: Text,
        packet: &Packet,
        reached: Reached,
        letter: Letter,
        context: &mut Context,
    ) {
        let now = context.now();
        let length = match &reached {
            Ok(Said::Http(_, body)) => body.len(),
            _ => 0,
        };
        let state = Arc::make_mut(&mut self.state);
        let sandbox = state.sandboxes.get_mut(&id).map(Arc::make_mut);
        let mut wait = Duration::ZERO;
        if let Some(attachment) = sandbox.and_then(|one| one.attachment.as_mut()) {
            let [into, out] = &mut attachment.limits;
            wait = into.pass(HEADERS, now).max(out.pass(HEADERS + length, now));
        }
        let number = state.next_operation;
        state.next_operation += 1;
        let query = Query { sandbox: id, packet: packet.clone(), letter, tries: 0 };
        state.queries.insert(number, query);
        let through = NodeMessage::Reached { id: number, reached };
        context.send_after(wait, context.me(), Message::node(through));
    }

    /// A question has arrived where `program` runs: it is kept until that has answered. Its number, and who that is.
    pub(super) fn keep_query(
        &mut self,
        program: &str,
        at: Spot,
        packet: &Packet,
        letter: &Letter,
        now: Time,
    ) -> Option<(u64, Text, ActorId)> {
        let here = Here::new(&self.state, now);
        let sandbox = here.sandbox_at(at, packet.destination_port)?.id.clone();
        let (container, actor) = self.daemon_in(&sandbox, program)?;
        let state = Arc::make_mut(&mut self.state);
        let id = state.next_operation;
        state.next_operation += 1;
        let query = Query { sandbox, packet: packet.clone(), letter: letter.clone(), tries: 0 };
        state.queries.insert(id, query);
        Some((id, container, actor))
    }
    /// A DNS query has arrived at a program. Only CoreDNS answers; whoever asks another waits in vain.
    fn query(
        &mut self,
        at: Spot,
        packet: &Packet,
        kind: dns::Kind,
        name: Text,
        letter: &Letter,
        context: &mut Context,
    ) {
        let found = self.keep_query("coredns", at, packet, letter, context.now());
        let Some((id, container, actor)) = found else { return };
        let client = arcstr::format!("{}:{}", packet.source, packet.source_port);
        let server = arcstr::format!("{}", packet.destination);
        let query = NodeMessage::Query { id, container, kind, name, client, server };
        context.send(actor, Message::node(query));
    }
    /// The program answers: on to whoever asked.
    pub(super) fn answer_query(&mut self, id: u64, reached: Reached, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let Some(Query { sandbox, packet, letter, .. }) = state.queries.remove(&id) else { return };
        let here = Here::new(&self.state, context.now());
        let sandbox = self.state.sandboxes.get(&sandbox);
        if let Some(at) = sandbox.and_then(|sandbox| here.spot_of(sandbox)) {
            self.answer(at, &packet, reached, letter, context);
        }
    }

    /// Sends the answer to `packet` from where it ended.
    fn answer(&mut self, at: Spot, packet: &Packet, reached: Reached, letter: Letter, context: &mut Context) {
        if letter.asker == context.me() && matches!(at, Spot::Node(_)) && reached.is_err() {
            // The node's own kernel tells the program that it will not do.
            return self.tell_asker(&letter, reached, context);
        }
        let outcome = self.walk(context.now(), Some(at), packet.reply());
        let letter = Letter { packet: outcome.packet.clone(), payload: Payload::Answer(reached), ..letter };
        self.arrived(outcome, letter, context);
    }

    fn tell_asker(&mut self, letter: &Letter, reached: Reached, context: &mut Context) {
        if letter.is_load && self.load_answered(letter.id, letter.by, &reached, context) {
            return;
        }
        let arrived = NodeMessage::Reached { id: letter.id, reached };
        context.send(context.me(), Message::node(arrived));
    }

    /// An answer is there, or nobody waits for one any longer: the program goes on.
    pub(super) fn reached(&mut self, id: u64, reached: Reached, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let Some(Asked { asker, ask }) = state.asked.remove(&id) else {
            // An answer that has waited at a pod's cable.
            return self.answer_query(id, reached, context);
        };
        match asker {
            Asker::Container(container) => {
                if let Some(found) = state.containers.get_mut(&container) {
                    let found = Arc::make_mut(found);
                    found.journal.push((ask, reached));
                    found.is_asking = false;
                }
                self.advance(&container, context);
            }
            Asker::Operation(number) => self.exec_answered(number, (ask, reached), context),
            Asker::Load(load) => self.load_resolved(load, reached, context),
            Asker::Proxy { query, .. } => self.proxied(query, reached, context),
        }
    }
    /// Nobody has answered within the client's patience.
    pub(super) fn ask_timed_out(&mut self, id: u64, context: &mut Context) {
        self.reached(id, Err(TIMED_OUT), context);
    }
}
