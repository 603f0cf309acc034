//! Three members of etcd and the customers at their counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use clusterarium::api::{Text, Value};
use clusterarium::command::{Command, Scenario};
use clusterarium::etcd::{Member, Peer};
use clusterarium::language::{Context, Input, Wire};
use clusterarium::message::Message;
use clusterarium::message::etcd::{self, Change, Operation, Outcome, Request, Txn};
use clusterarium::message::raft::MemberId;
use clusterarium::sim::actor::ActorId;
use clusterarium::sim::{Control, Duration, Engine, HostId, Network, Time, World};
use clusterarium::sim::{Random, Trace};
use clusterarium::timer::{EtcdTimer, TerminalTimer, Timer};

pub const MEMBERS: u32 = 3;
const CLIENTS: u32 = 3;

/// What a customer asked and was told.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub asked: Time,
    pub answered: Option<Time>,
    pub what: Asked,
    /// The store's revision in the answer; 0 without one, or when it was an error.
    pub revision: u64,
    /// What a read found.
    pub found: Option<Value>,
}

#[derive(Clone, Debug)]
pub enum Asked {
    Put { key: Text, value: i64 },
    Read { key: Text },
}

#[derive(Clone, Default)]
pub struct Client {
    pub history: BTreeMap<u64, Exchange>,
    next: u64,
    /// The watch on everything: its number, whom it was opened with, and when that was last heard from.
    watch: (u64, u32, Time),
    /// What the watch has told: revision, key and value.
    pub told: Vec<(u64, Text, Option<Value>)>,
    pub lost_history: bool,
}

#[derive(Clone)]
pub struct Cluster {
    pub members: Vec<Member>,
    pub clients: Vec<Client>,
    /// Customers stop asking, so that all can come to rest.
    pub closing: bool,
    /// Asked by hand: requests that a test sends, and their answers.
    pub answers: BTreeMap<u64, Result<Outcome, etcd::Error>>,
    by_hand: Option<(u32, Arc<Request>)>,
}

pub type Simulation = (Engine<Cluster>, Trace<Wire>);

impl World for Cluster {
    type Language = Wire;

    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        let number = actor.0;
        if let Some(member) = self.members.get_mut(number as usize) {
            member.handle(input, context);
        } else if let Some(client) = self.clients.get_mut((number - MEMBERS) as usize) {
            client.handle(input, self.closing, context);
        } else if let Input::Message { message: Message::EtcdResponse(response), .. } = input {
            self.answers.insert(response.id, response.result.clone());
        }
    }

    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        let member = |name: &str| ActorId(name.trim_start_matches("etcd-").parse().expect("a member"));
        let host = |name: &str| HostId(member(name).0);
        match command {
            Command::Boot(_) => {
                // The customers, and the one who asks by hand, live on hosts of their own.
                for number in 0..=MEMBERS + CLIENTS {
                    let actor = control.create(HostId(number));
                    control.start(actor);
                }
            }
            Command::StopProcess { process } => {
                control.stop(member(process));
                self.members[member(process).0 as usize].stopped();
            }
            Command::StartProcess { process } => control.start(member(process)),
            Command::CutLink { a, b } => control.network().set_cut(host(a), host(b), true),
            Command::JoinLink { a, b } => control.network().set_cut(host(a), host(b), false),
            Command::DegradeLink { from, to, extra_delay_us, loss_per_million } => {
                let fault = control.network().fault_mut(host(from), host(to));
                fault.extra_delay = Duration(*extra_delay_us);
                fault.loss_per_million = *loss_per_million;
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
                    let from = ActorId(MEMBERS + CLIENTS);
                    control.send(from, ActorId(to), Message::EtcdRequest(request));
                }
            }
            _ => {}
        }
    }
}

impl Client {
    fn handle(&mut self, input: Input, closing: bool, context: &mut Context) {
        match input {
            Input::Start => {
                context.periodic(Duration::from_millis(5), Timer::Terminal(TerminalTimer::Resume { id: 0 }));
            }
            Input::Timer(_) => {
                let pause = context.random().duration(Duration::from_millis(2), Duration::from_millis(60));
                context.periodic(pause, Timer::Terminal(TerminalTimer::Resume { id: 0 }));
                if !closing {
                    self.ask(context);
                }
                self.look_after_watch(context);
            }
            Input::Message { message: Message::EtcdResponse(response), .. } => {
                if response.id == self.watch.0 {
                    self.watch.2 = if response.result.is_ok() { context.now() } else { Time::ZERO };
                } else if let Some(exchange) = self.history.get_mut(&response.id) {
                    exchange.answered = Some(context.now());
                    match &response.result {
                        Ok(Outcome::Range(range)) => {
                            exchange.revision = response.revision;
                            exchange.found = range.pairs.first().map(|pair| pair.value.clone());
                        }
                        Ok(_) => exchange.revision = response.revision,
                        Err(_) => {}
                    }
                }
            }
            Input::Message { message: Message::EtcdWatch(response), .. } => {
                if response.watch_id == self.watch.0 {
                    self.watch.2 = context.now();
                    if response.compact_revision > 0 {
                        self.lost_history = true;
                        self.watch.2 = Time::ZERO;
                    }
                    for event in &response.events {
                        let value = event.current.as_ref().map(|pair| pair.value.clone());
                        self.told.push((event.mod_revision, event.key.clone(), value));
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

    fn ask(&mut self, context: &mut Context) {
        let id = self.number();
        let to = context.random().below(u64::from(MEMBERS)) as u32;
        let key = Text::from(format!("/registry/pods/{}", context.random().below(5)));
        let is_read = context.random().below(2) == 0;
        let (what, operation) = if is_read {
            let range = etcd::Range { key: key.clone(), ..etcd::Range::default() };
            (Asked::Read { key }, Operation::Range(range))
        } else {
            // Unlike any other value ever written.
            let value = (u64::from(context.me().0) << 32 | id) as i64;
            (Asked::Put { key: key.clone(), value }, put(&key, value))
        };
        let exchange = Exchange { asked: context.now(), answered: None, what, revision: 0, found: None };
        self.history.insert(id, exchange);
        Client::send(id, to, operation, context);
    }

    /// A watch whose member is silent although asked is opened again with another, from where it stood.
    fn look_after_watch(&mut self, context: &mut Context) {
        let silent = context.now().since(self.watch.2);
        if self.watch.0 == 0 || self.watch.2 == Time::ZERO || silent > Duration::from_secs(2) {
            let old = self.watch;
            if old.0 > 0 {
                let cancel = Operation::CancelWatch { watch_id: old.0 };
                Client::send(self.number(), old.1, cancel, context);
            }
            let (id, to) = (self.number(), context.random().below(u64::from(MEMBERS)) as u32);
            self.watch = (id, to, context.now());
            let watch = Operation::Watch {
                key: "/registry/".into(),
                range_end: "/registry0".into(),
                start_revision: self.told.last().map_or(2, |(revision, _, _)| revision + 1),
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

pub fn put(key: &Text, value: i64) -> Operation {
    let put = Change::Put { key: key.clone(), value: value.into(), lease: 0 };
    Operation::Txn(Txn { success: vec![put], ..Txn::default() })
}

/// A cluster that has just been started.
pub fn boot(seed: u64, clients: bool) -> Simulation {
    let peer = |number: u32| Peer {
        id: MemberId(u64::from(number) + 1),
        name: format!("etcd-{number}").into(),
        peer_url: format!("https://10.0.0.{number}:2380").into(),
        client_url: format!("https://10.0.0.{number}:2379").into(),
        actor: ActorId(number),
    };
    let peers: Vec<Peer> = (0..MEMBERS).map(peer).collect();
    let members = peers.iter().map(|me| {
        let mut member = Member::founding(me, &peers);
        // Small, so that snapshots happen.
        (member.flags.snapshot_entries, member.flags.catch_up_entries) = (100, 40);
        member
    });
    let world = Cluster {
        members: members.collect(),
        clients: vec![Client::default(); CLIENTS as usize],
        closing: !clients,
        answers: BTreeMap::new(),
        by_hand: None,
    };
    let mut engine = Engine::new(seed, world, Network::default());
    let mut trace = Trace::default();
    trace.capacity = 1000;
    engine.command(&Command::Boot(Scenario::default()), &mut trace);
    (engine, trace)
}

/// Asks member `to` by hand, and runs until it answers or `patience` is over.
pub fn ask(
    (engine, trace): &mut Simulation,
    to: u32,
    operation: Operation,
    patience: Duration,
) -> Option<Result<Outcome, etcd::Error>> {
    let id = engine.next_record().0;
    engine.world.by_hand = Some((to, Arc::new(Request { id, operation })));
    engine.command(&Command::Interrupt { session: 0 }, trace);
    let until = engine.now() + patience;
    while !engine.world.answers.contains_key(&id) && engine.next_time().is_some_and(|time| time <= until) {
        engine.step(trace);
    }
    engine.world.answers.get(&id).cloned()
}

/// The member that leads the latest term.
pub fn leader(cluster: &Cluster) -> Option<u32> {
    let leads = |number: &u32| cluster.members[*number as usize].leads();
    (0..MEMBERS).filter(|number| leads(number).is_some()).max_by_key(leads)
}

pub fn random(seed: u64) -> Random {
    Random::stream(seed, "faults")
}
