//! Members of etcd and the customers at their counters.
//!
//! Picture to hold in mind: the building of `main.rs` without the inspector. Here is only what happens in it; what must
//! not happen is in `faults.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use clusterarium::api::{Text, Value};
use clusterarium::command::{Command, Scenario};
use clusterarium::etcd::raft::Flaw;
use clusterarium::etcd::{Member, Peer};
use clusterarium::language::{Context, Input, Wire};
use clusterarium::message::Message;
use clusterarium::message::etcd::{self, Change, ChangeResult, Compare, Operation, Outcome, Request, Txn};
use clusterarium::message::raft::{Body, MemberId};
use clusterarium::sim::actor::ActorId;
use clusterarium::sim::{Control, Duration, Engine, HostId, Network, Time, World};
use clusterarium::sim::{Random, Trace};
use clusterarium::timer::{EtcdTimer, TerminalTimer, Timer};

pub const MEMBERS: u32 = 3;
const CLIENTS: u32 = 3;
/// What customers ask leases for, in seconds.
const TTL_SECONDS: u64 = 4;
/// So many of the newest revisions are never compacted.
const KEPT_REVISIONS: u64 = 60;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    pub founders: u32,
    /// Members that can be started later, and ask to be added then.
    pub spares: u32,
    pub has_customers: bool,
    pub pre_vote: bool,
    pub flaw: Option<Flaw>,
    /// Messages among members that come once more later, in a million.
    pub repeated_per_million: u32,
    /// How long a member's clock takes for 100 ms, lowest and highest.
    pub tick: (Duration, Duration),
    /// `--corrupt-check-time` of all members.
    pub corrupt_check_time: Duration,
}

impl Default for Setup {
    fn default() -> Setup {
        let tick = Duration::from_millis(100);
        Setup {
            founders: MEMBERS,
            spares: 0,
            has_customers: false,
            pre_vote: true,
            flaw: None,
            repeated_per_million: 0,
            tick: (tick, tick),
            corrupt_check_time: Duration::ZERO,
        }
    }
}

/// What a customer asked and was told.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub asked: Time,
    pub answered: Option<Time>,
    pub what: Asked,
    /// The store's revision in the answer; 0 without one, or when it was an error.
    pub revision: u64,
    /// What a read found, with its revision.
    pub found: Option<(Value, u64)>,
    /// Whether it changed anything.
    pub has_changed: bool,
    /// The member that answered.
    pub by: Option<u32>,
}

#[derive(Clone, Debug)]
pub enum Asked {
    Put {
        key: Text,
        value: i64,
    },
    Read {
        key: Text,
    },
    /// If the key is as it was at this revision, put; else read.
    Swap {
        key: Text,
        known: u64,
        value: i64,
    },
    Delete {
        key: Text,
    },
}

#[derive(Clone, Default)]
pub struct Client {
    pub history: BTreeMap<u64, Exchange>,
    next: u64,
    /// The watch on everything: its number, whom it was opened with, and when that was last heard from.
    watch: (u64, u32, Time),
    /// What the watch has told: revision, key and value.
    pub told: Vec<(u64, Text, Option<Value>)>,
    /// By which member each was told.
    pub tellers: Vec<u32>,
    /// The next revision that it waits for.
    wanted: u64,
    /// Revisions (from, to) that it was told are compacted.
    pub missed: Vec<(u64, u64)>,
    /// When each key was changed last, as far as this customer knows.
    known: BTreeMap<Text, u64>,
    /// Until when leases must last: counted from when it was asked for what was then granted or renewed.
    pub leases: BTreeMap<i64, Time>,
    lease: i64,
    asked_for_lease: BTreeMap<u64, (i64, Time)>,
    last_renewal: Time,
}

#[derive(Clone)]
pub struct Cluster {
    pub members: Vec<Member>,
    pub clients: Vec<Client>,
    founders: u32,
    /// Spare members that were ever started.
    joined: BTreeSet<u32>,
    /// Customers stop asking, so that all can come to rest.
    pub closing: bool,
    /// Asked by hand: requests that a test sends, and their answers.
    pub answers: BTreeMap<u64, Result<Outcome, etcd::Error>>,
    by_hand: Option<(u32, Arc<Request>)>,
    /// Processes that stand still, and what has come for them meanwhile. They keep their memory, but not their time.
    paused: BTreeMap<u32, VecDeque<Input>>,
    /// Which process is to go on.
    resumed: Option<u32>,
    repeated_per_million: u32,
    /// Members whose database has had a bit flipped, or has come from one that had.
    pub corrupt: BTreeSet<u32>,
    /// Members whose write-ahead log has.
    pub broken: BTreeSet<u32>,
    /// A message that each member has had already, and may get once more.
    old: BTreeMap<u32, Message>,
}

pub type Simulation = (Engine<Cluster>, Trace<Wire>);

impl World for Cluster {
    type Language = Wire;

    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        let (number, slots) = (actor.0, self.members.len() as u32);
        if number < slots {
            let resume = || Timer::Terminal(TerminalTimer::Resume { id: 0 });
            if let Some(held) = self.paused.get_mut(&number)
                && !matches!(input, Input::Start)
            {
                if !matches!(input, Input::Timer(Timer::Terminal(_))) {
                    held.push_back(input);
                } else if let Some(input) = held.pop_front() {
                    // One after the other, so that the inspector sees what each leads to.
                    context.timer(Duration::ZERO, resume());
                    self.hand(number, input, context);
                } else {
                    self.paused.remove(&number);
                }
                return;
            }
            self.paused.remove(&number);
            self.hand(number, input, context);
        } else if let Some(client) = self.clients.get_mut((number - slots) as usize) {
            client.handle(input, self.founders, self.closing, context);
        } else if let Input::Message { message: Message::EtcdResponse(response), .. } = input {
            self.answers.insert(response.id, response.result.clone());
        }
    }

    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        let member = |name: &str| ActorId(name.trim_start_matches("etcd-").parse().expect("a member"));
        let host = |name: &str| HostId(member(name).0);
        let slots = self.members.len() as u32;
        match command {
            Command::Boot(_) => {
                // The customers, and the one who asks by hand, live on hosts of their own.
                for number in 0..=slots + CLIENTS {
                    let actor = control.create(HostId(number));
                    if !(self.founders..slots).contains(&number) {
                        control.start(actor);
                    }
                }
            }
            Command::StopProcess { process } => {
                control.stop(member(process));
                self.paused.remove(&member(process).0);
                self.members[member(process).0 as usize].stopped();
            }
            Command::StartProcess { process } => {
                self.joined.insert(member(process).0);
                control.start(member(process));
            }
            Command::CutLink { a, b } => control.network().set_cut(host(a), host(b), true),
            Command::CutOneWay { from, to } => control.network().fault_mut(host(from), host(to)).cut = true,
            Command::JoinLink { a, b } => control.network().set_cut(host(a), host(b), false),
            Command::DegradeLink { from, to, extra_delay_us, loss_per_million } => {
                let fault = control.network().fault_mut(host(from), host(to));
                fault.extra_delay = Duration(*extra_delay_us);
                fault.loss_per_million = *loss_per_million;
            }
            Command::SlowDisk { member: name, latency_us } => {
                let (low, high) = clusterarium::etcd::member::DISK_LATENCY;
                let high = if *latency_us == 0 { high } else { Duration(*latency_us) };
                self.members[member(name).0 as usize].disk_latency = (low, high);
            }
            Command::CorruptDisk { member: name } => {
                let number = member(name).0;
                let mut random = Random::stream(control.seed() ^ control.now().0, "corrupt disk");
                let member = &mut self.members[number as usize];
                member.corrupt_disk(&mut random);
                let place = if member.has_damaged_log() { &mut self.broken } else { &mut self.corrupt };
                place.insert(number);
            }
            Command::HealNetwork => control.network().heal(),
            Command::DropMessage { record } => {
                control.drop_in_flight(clusterarium::sim::RecordId(*record));
            }
            Command::DelayMessage { record, by_us } => {
                control.delay_in_flight(clusterarium::sim::RecordId(*record), Duration(*by_us));
            }
            Command::Campaign { member: name, after_us } => {
                control.wake(member(name), Timer::Etcd(EtcdTimer::Campaign { after: Duration(*after_us) }));
            }
            Command::Interrupt { .. } => {
                if let Some((to, request)) = self.by_hand.take() {
                    let from = ActorId(slots + CLIENTS);
                    control.send(from, ActorId(to), Message::EtcdRequest(request));
                }
                if let Some(number) = self.resumed.take() {
                    control.wake(ActorId(number), Timer::Terminal(TerminalTimer::Resume { id: 0 }));
                }
            }
            _ => {}
        }
    }
}

impl Cluster {
    pub fn slots(&self) -> u32 {
        self.members.len() as u32
    }
    /// A founder, or one that has begun to join.
    pub fn has_begun(&self, number: u32) -> bool {
        number < self.founders || self.joined.contains(&number)
    }
    pub fn founders(&self) -> u32 {
        self.founders
    }
    /// Has a process stand still.
    pub fn pause(&mut self, number: u32) {
        self.paused.entry(number).or_default();
    }
    pub fn is_paused(&self, number: u32) -> bool {
        self.paused.contains_key(&number)
    }

    fn hand(&mut self, number: u32, input: Input, context: &mut Context) {
        // What a corrupt member sends as a snapshot is as wrong as it is itself.
        if let Input::Message { from, message: Message::Raft(message) } = &input
            && matches!(message.body, Body::Snap { .. })
            && self.corrupt.contains(&from.0)
        {
            self.corrupt.insert(number);
        }
        let member = &mut self.members[number as usize];
        // A connection repeats nothing, but Raft itself must bear it. What is passed on to the leader is not Raft's.
        if self.repeated_per_million > 0
            && let Input::Message { from, message: Message::Raft(message) } = &input
            && !matches!(message.body, Body::Prop { .. })
        {
            if context.random().chance(self.repeated_per_million)
                && let Some(message) = self.old.remove(&number)
            {
                member.handle(Input::Message { from: *from, message }, context);
            }
            // Some are of long ago, of another leader's time.
            if context.random().chance(20_000) || !self.old.contains_key(&number) {
                self.old.insert(number, Message::Raft(message.clone()));
            }
        }
        member.handle(input, context);
    }
}

impl Client {
    fn handle(&mut self, input: Input, members: u32, closing: bool, context: &mut Context) {
        match input {
            Input::Start => {
                self.wanted = 2;
                context.periodic(Duration::from_millis(5), Timer::Terminal(TerminalTimer::Resume { id: 0 }));
            }
            Input::Timer(_) => {
                let pause = context.random().duration(Duration::from_millis(2), Duration::from_millis(60));
                context.periodic(pause, Timer::Terminal(TerminalTimer::Resume { id: 0 }));
                if !closing {
                    self.ask(members, context);
                    self.look_after_lease(members, context);
                }
                self.look_after_watch(members, context);
            }
            Input::Message { from, message: Message::EtcdResponse(response) } => {
                if response.id == self.watch.0 {
                    self.watch.2 = if response.result.is_ok() { context.now() } else { Time::ZERO };
                } else if let Some((lease, asked)) = self.asked_for_lease.remove(&response.id) {
                    self.hear_of_lease(lease, asked, &response.result);
                } else if let Some(exchange) = self.history.get_mut(&response.id) {
                    exchange.answered = Some(context.now());
                    exchange.by = Some(from.0);
                    if let Ok(outcome) = &response.result {
                        exchange.hear(response.revision, outcome);
                        let (Asked::Put { key, .. }
                        | Asked::Read { key }
                        | Asked::Swap { key, .. }
                        | Asked::Delete { key }) = &exchange.what;
                        let known = if exchange.has_changed {
                            exchange.revision
                        } else {
                            exchange.found.as_ref().map_or(0, |(_, revision)| *revision)
                        };
                        self.known.insert(key.clone(), known);
                    }
                }
            }
            Input::Message { from, message: Message::EtcdWatch(response) } => {
                if response.watch_id == self.watch.0 {
                    self.watch.2 = context.now();
                    if response.compact_revision > 0 {
                        self.missed.push((self.wanted, response.compact_revision));
                        self.wanted = response.compact_revision;
                        self.watch.2 = Time::ZERO;
                    }
                    for event in &response.events {
                        let value = event.current.as_ref().map(|pair| pair.value.clone());
                        self.told.push((event.mod_revision, event.key.clone(), value));
                        self.tellers.push(from.0);
                        self.wanted = event.mod_revision + 1;
                    }
                }
            }
            Input::Message { .. } => {}
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
    fn send(id: u64, to: u32, operation: Operation, context: &mut Context) {
        context.send(ActorId(to), Message::EtcdRequest(Arc::new(Request { id, operation })));
    }

    fn ask(&mut self, members: u32, context: &mut Context) {
        let id = self.number();
        let to = context.random().below(u64::from(members)) as u32;
        let key = Text::from(format!("/registry/pods/{}", context.random().below(5)));
        // Unlike any other value ever written.
        let value = (u64::from(context.me().0) << 32 | id) as i64;
        let range = etcd::Range { key: key.clone(), ..etcd::Range::default() };
        let (what, operation) = match context.random().below(20) {
            0..=8 => (Asked::Read { key }, Operation::Range(range)),
            9..=14 => (Asked::Put { key: key.clone(), value }, put(&key, value)),
            15..=17 => {
                let known = self.known.get(&key).copied().unwrap_or(0);
                let put = Change::Put { key: key.clone(), value: value.into(), lease: 0 };
                let txn = Txn {
                    compare: vec![Compare::ModRevision { key: key.clone(), revision: known }],
                    success: vec![put],
                    failure: vec![Change::Range(range)],
                };
                (Asked::Swap { key, known, value }, Operation::Txn(txn))
            }
            18 => {
                let delete = Change::Delete { key: key.clone(), range_end: Text::new() };
                (Asked::Delete { key }, Operation::Txn(Txn { success: vec![delete], ..Txn::default() }))
            }
            _ => {
                let revision = self.wanted.saturating_sub(KEPT_REVISIONS);
                return Client::send(id, to, Operation::Compact { revision }, context);
            }
        };
        let asked = context.now();
        let exchange =
            Exchange { asked, answered: None, what, revision: 0, found: None, has_changed: false, by: None };
        self.history.insert(id, exchange);
        Client::send(id, to, operation, context);
    }

    /// Every customer has a lease with a key on it. Now and then he lets it end.
    fn look_after_lease(&mut self, members: u32, context: &mut Context) {
        if context.now().since(self.last_renewal) < Duration::from_millis(700) {
            return;
        }
        self.last_renewal = context.now();
        let (id, to) = (self.number(), context.random().below(u64::from(members)) as u32);
        if self.lease == 0 || context.random().below(20) == 0 {
            self.lease = (u64::from(context.me().0) << 32 | id) as i64;
        }
        let (lease, is_granted) = (self.lease, self.leases.contains_key(&self.lease));
        self.asked_for_lease.insert(id, (lease, context.now()));
        let operation = if is_granted {
            Operation::LeaseKeepAlive { lease }
        } else {
            Operation::LeaseGrant { lease, ttl_seconds: TTL_SECONDS }
        };
        Client::send(id, to, operation, context);
        if is_granted {
            let key = Text::from(format!("/registry/leases/{}", context.me().0));
            let put = Change::Put { key, value: lease.into(), lease };
            let number = self.number();
            let txn = Txn { success: vec![put], ..Txn::default() };
            Client::send(number, to, Operation::Txn(txn), context);
        }
    }
    fn hear_of_lease(&mut self, lease: i64, asked: Time, result: &Result<Outcome, etcd::Error>) {
        match result {
            Ok(Outcome::Lease { ttl_seconds, .. }) if *ttl_seconds > 0 => {
                let end = self.leases.entry(lease).or_insert(Time::ZERO);
                *end = (asked + Duration::from_secs(*ttl_seconds)).max(*end);
            }
            Err(etcd::Error::LeaseNotFound) if self.lease == lease => self.lease = 0,
            _ => {}
        }
    }

    /// A watch whose member is silent although asked is opened again with another, from where it stood.
    fn look_after_watch(&mut self, members: u32, context: &mut Context) {
        let silent = context.now().since(self.watch.2);
        if self.watch.0 == 0 || self.watch.2 == Time::ZERO || silent > Duration::from_secs(2) {
            let old = self.watch;
            if old.0 > 0 {
                let cancel = Operation::CancelWatch { watch_id: old.0 };
                Client::send(self.number(), old.1, cancel, context);
            }
            let (id, to) = (self.number(), context.random().below(u64::from(members)) as u32);
            self.watch = (id, to, context.now());
            let watch = Operation::Watch {
                key: "/registry/".into(),
                range_end: "/registry0".into(),
                start_revision: self.wanted,
                previous: false,
                progress: true,
            };
            Client::send(id, to, watch, context);
        } else if silent > Duration::from_millis(500) {
            let to = self.watch.1;
            Client::send(self.number(), to, Operation::Progress, context);
        }
    }
}

impl Exchange {
    fn hear(&mut self, revision: u64, outcome: &Outcome) {
        let pair = |range: &etcd::RangeResult| {
            range.pairs.first().map(|pair| (pair.value.clone(), pair.mod_revision))
        };
        self.revision = revision;
        match outcome {
            Outcome::Range(range) => self.found = pair(range),
            Outcome::Txn { results, .. } => match results.first() {
                Some(ChangeResult::Range(range)) => self.found = pair(range),
                Some(ChangeResult::Put { .. }) => self.has_changed = true,
                Some(ChangeResult::Delete { deleted, .. }) => self.has_changed = *deleted > 0,
                None => {}
            },
            _ => {}
        }
    }
}

pub fn put(key: &Text, value: i64) -> Operation {
    let put = Change::Put { key: key.clone(), value: value.into(), lease: 0 };
    Operation::Txn(Txn { success: vec![put], ..Txn::default() })
}

/// A cluster of three that has just been started.
pub fn boot(seed: u64, has_customers: bool) -> Simulation {
    boot_with(seed, &Setup { has_customers, ..Setup::default() })
}
pub fn boot_with(seed: u64, setup: &Setup) -> Simulation {
    let mut random = Random::stream(seed, "setup");
    let peer = |number: u32| Peer {
        id: MemberId(u64::from(number) + 1),
        name: format!("etcd-{number}").into(),
        peer_url: format!("https://10.0.0.{number}:2380").into(),
        client_url: format!("https://10.0.0.{number}:2379").into(),
        actor: ActorId(number),
    };
    let slots: Vec<Peer> = (0..setup.founders + setup.spares).map(peer).collect();
    let founders = &slots[..setup.founders as usize];
    let members = slots.iter().map(|me| {
        let mut member = if me.actor.0 < setup.founders {
            Member::founding(me, founders)
        } else {
            Member::joining(me, founders, Some(true))
        };
        slots.iter().for_each(|peer| member.learn_address(peer.peer_url.clone(), peer.actor));
        // Small, so that snapshots happen.
        (member.flags.snapshot_entries, member.flags.catch_up_entries) = (100, 40);
        (member.flags.pre_vote, member.flags.flaw) = (setup.pre_vote, setup.flaw);
        member.flags.corrupt_check_time = setup.corrupt_check_time;
        member.tick = random.duration(setup.tick.0, setup.tick.1);
        member
    });
    let world = Cluster {
        members: members.collect(),
        clients: vec![Client::default(); CLIENTS as usize],
        founders: setup.founders,
        joined: BTreeSet::new(),
        closing: !setup.has_customers,
        answers: BTreeMap::new(),
        by_hand: None,
        paused: BTreeMap::new(),
        resumed: None,
        repeated_per_million: setup.repeated_per_million,
        corrupt: BTreeSet::new(),
        broken: BTreeSet::new(),
        old: BTreeMap::new(),
    };
    let mut engine = Engine::new(seed, world, Network::default());
    let mut trace = Trace::default();
    trace.capacity = 1000;
    engine.command(&Command::Boot(Scenario::default()), &mut trace);
    (engine, trace)
}

/// Sends to member `to` by hand; the number under which the answer will be found.
pub fn send((engine, trace): &mut Simulation, to: u32, operation: Operation) -> u64 {
    let id = engine.next_record().0;
    engine.world.by_hand = Some((to, Arc::new(Request { id, operation })));
    engine.command(&Command::Interrupt { session: 0 }, trace);
    id
}

/// Has a process go on that stood still.
pub fn resume((engine, trace): &mut Simulation, number: u32) {
    if engine.world.is_paused(number) {
        engine.world.resumed = Some(number);
        engine.command(&Command::Interrupt { session: 0 }, trace);
    }
}

/// Asks member `to` by hand, and runs until it answers or `patience` is over.
pub fn ask(
    simulation: &mut Simulation,
    to: u32,
    operation: Operation,
    patience: Duration,
) -> Option<Result<Outcome, etcd::Error>> {
    let id = send(simulation, to, operation);
    let (engine, trace) = simulation;
    let until = engine.now() + patience;
    while !engine.world.answers.contains_key(&id) && engine.next_time().is_some_and(|time| time <= until) {
        engine.step(trace);
    }
    engine.world.answers.get(&id).cloned()
}

/// The member that leads the latest term.
pub fn leader(cluster: &Cluster) -> Option<u32> {
    let leads = |number: &u32| cluster.members[*number as usize].leads();
    (0..cluster.slots()).filter(|number| leads(number).is_some()).max_by_key(leads)
}

pub fn random(seed: u64) -> Random {
    Random::stream(seed, "faults")
}
