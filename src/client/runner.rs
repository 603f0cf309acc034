//! Controllers with their queues and workers, in one process.
//!
//! Picture to hold in mind: a workshop with several benches and one shared card box. News for the box is
//! called out; each bench that cares puts a slip on its own spike; the hands at that bench take slips one by
//! one. The workshop knows nothing of what is made at a bench.

use std::sync::Arc;

use crate::api::Text;
use crate::language::Context;
use crate::message::Message;
use crate::message::rest::User;
use crate::note::Note;
use crate::sim::{ActorId, Duration, RecordId, Time};
use crate::timer::{ClientTimer, Timer};

use super::call::{Call, Interrupt, Outgoing};
use super::connection::{Answer, Connection};
use super::informer::{Delta, InformerIndex, Informers, Selection};
use super::journal::{Journal, Place};
use super::leader_election::{Change, LeaderElector};
use super::recorder::{EventApi, Recorder};
use super::store::{IndexFunction, Store};
use super::work_queue::WorkQueue;

/// One control loop: which news it wants, which keys that news touches, and how a key is set right.
pub trait Controller: Send + Sync {
    /// What the controller manager calls it: `deployment-controller`.
    fn name(&self) -> &'static str;
    /// The name under which it calls the API server: its service account's.
    fn user_agent(&self) -> &'static str {
        self.name()
    }
    /// The `source.component` of its events.
    fn event_source(&self) -> &'static str {
        self.name()
    }
    /// How many keys it works on at a time.
    fn workers(&self) -> usize {
        5
    }
    /// Subscribes to informers. Called once, before anything else.
    fn subscribe(&mut self, informers: &mut Subscriptions);
    /// A change of a subscribed informer: adds the keys that it touches.
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys);
    /// Sets right what `call.key()` names. See [`Call`] and [`super::journal`] for the rules of this function.
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt>;
    /// How often [`Controller::on_period`] is called; `None`: never.
    fn period(&self) -> Option<Duration> {
        None
    }
    fn on_period(&mut self, _stores: &[Store], _keys: &mut Keys) {}
    /// Failures in a row after which a key is dropped until news touches it; `None`: never.
    fn retries(&self) -> Option<u32> {
        None
    }
    /// Forgets everything but the subscriptions, as a restarted process does.
    fn restart(&mut self);
    fn boxed_clone(&self) -> Box<dyn Controller>;
}

/// Where a controller orders its informers.
pub struct Subscriptions<'a> {
    informers: &'a mut Informers,
    subscribers: &'a mut Vec<Vec<usize>>,
    controller: usize,
    window: usize,
}

impl Subscriptions<'_> {
    /// The number of the shared informer of `selection`.
    pub fn add(&mut self, selection: Selection) -> usize {
        let index = self.informers.add(selection, self.window);
        self.subscribers.resize(self.subscribers.len().max(index + 1), Vec::new());
        if !self.subscribers[index].contains(&self.controller) {
            self.subscribers[index].push(self.controller);
        }
        index
    }
    pub fn add_index(&mut self, informer: usize, name: &'static str, function: IndexFunction) {
        self.informers.add_index(informer, name, function);
    }
}

/// A controller's queue, as its handlers see it.
pub struct Keys<'a> {
    queue: &'a mut WorkQueue,
    now: Time,
    cause: Option<RecordId>,
}

impl Keys<'_> {
    pub fn now(&self) -> Time {
        self.now
    }
    pub fn add(&mut self, key: Text) {
        self.queue.add(key, self.cause);
    }
    pub fn add_after(&mut self, key: Text, delay: Duration) {
        self.queue.add_after(key, delay, self.now, self.cause);
    }
    pub fn add_rate_limited(&mut self, key: Text) {
        self.queue.add_rate_limited(key, self.now, self.cause);
    }
}

/// What an answer that comes back to a runner is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    Informer(usize),
    Sync { controller: usize, worker: usize, work: u64, place: Place },
    Event { controller: usize },
    Lease,
}

impl From<InformerIndex> for Purpose {
    fn from(index: InformerIndex) -> Purpose {
        Purpose::Informer(index.0)
    }
}

#[derive(Clone)]
pub struct Runner {
    user: Arc<User>,
    connection: Connection<Purpose>,
    informers: Informers,
    /// For each informer, who listens.
    subscribers: Vec<Vec<usize>>,
    benches: Vec<Bench>,
    elector: Option<LeaderElector>,
    works: u64,
}

struct Bench {
    controller: Box<dyn Controller>,
    queue: WorkQueue,
    hands: Vec<Option<Work>>,
    window: usize,
    /// The window of its informers.
    watching: usize,
    recorder: Recorder,
    alarm: Option<Time>,
    /// The informers that it asked for while it was at work.
    followed: Vec<usize>,
}

impl Clone for Bench {
    fn clone(&self) -> Bench {
        Bench {
            controller: self.controller.boxed_clone(),
            queue: self.queue.clone(),
            hands: self.hands.clone(),
            window: self.window,
            watching: self.watching,
            recorder: self.recorder.clone(),
            alarm: self.alarm,
            followed: self.followed.clone(),
        }
    }
}

/// A key in somebody's hands.
#[derive(Clone)]
struct Work {
    number: u64,
    key: Text,
    journal: Journal<Answer>,
    stores: Arc<Vec<Store>>,
    started_at: Time,
    cause: Option<RecordId>,
}

/// One controller, for the picture.
pub struct BenchView<'a> {
    pub name: &'static str,
    pub queue: &'a WorkQueue,
    pub workers: usize,
}

impl Runner {
    /// A process that calls `server` as `user` where no controller does.
    pub fn new(server: ActorId, user: Arc<User>) -> Runner {
        Runner {
            user,
            connection: Connection::new(server),
            informers: Informers::default(),
            subscribers: Vec::new(),
            benches: Vec::new(),
            elector: None,
            works: 0,
        }
    }
    /// Adds a controller that calls as `user` with `qps` and `burst` of its own, and once more of these for its
    /// informers, which are the process's.
    pub fn add(&mut self, mut controller: Box<dyn Controller>, user: Arc<User>, qps: u64, burst: u64) {
        let window = self.connection.window(user, controller.user_agent(), qps, burst);
        let process = Arc::clone(&self.user);
        let watching = self.connection.window(process, controller.user_agent(), qps, burst);
        let index = self.benches.len();
        controller.subscribe(&mut Subscriptions {
            informers: &mut self.informers,
            subscribers: &mut self.subscribers,
            controller: index,
            window: watching,
        });
        self.benches.push(Bench {
            queue: WorkQueue::default(),
            hands: vec![None; controller.workers()],
            window,
            watching,
            recorder: Recorder::new(EventApi::Core, controller.event_source(), "", window),
            alarm: None,
            followed: Vec::new(),
            controller,
        });
    }
    /// Makes the process one of several of which one works, by the lease `lease` in kube-system.
    pub fn elect_leader(&mut self, lease: &str, identity: &str) {
        let window = self.connection.window(Arc::clone(&self.user), "leader-election", 0, 0);
        self.elector = Some(LeaderElector::new(lease, identity, window));
    }
    pub fn is_leader(&self) -> bool {
        self.elector.as_ref().is_none_or(|elector| elector.is_leader)
    }
    pub fn benches(&self) -> impl Iterator<Item = BenchView<'_>> {
        self.benches.iter().map(|bench| BenchView {
            name: bench.controller.name(),
            queue: &bench.queue,
            workers: bench.hands.len(),
        })
    }
    pub fn informers(&self) -> &Informers {
        &self.informers
    }
    pub fn throttled(&self) -> usize {
        self.connection.throttled()
    }

    /// The process begins: nothing is known yet.
    pub fn start(&mut self, context: &mut Context) {
        self.stand_down(context);
        match &mut self.elector {
            Some(elector) => elector.start(context, &mut self.connection, Purpose::Lease),
            None => self.begin(context),
        }
    }

    pub fn message(&mut self, context: &mut Context, from: ActorId, message: &Message) {
        if let Some((purpose, answer)) = self.connection.receive(context, from, message) {
            self.answer(context, purpose, answer);
        }
    }

    pub fn timer(&mut self, context: &mut Context, timer: &ClientTimer) {
        match *timer {
            ClientTimer::Tokens { client } => self.connection.tokens(context, client),
            ClientTimer::Timeouts => {
                for (purpose, answer) in self.connection.timeouts(context) {
                    self.answer(context, purpose, answer);
                }
            }
            ClientTimer::Relist { informer } => {
                self.informers.retry(context, &mut self.connection, informer);
            }
            ClientTimer::Queue { controller } => {
                self.benches[controller].alarm = None;
                self.work(context, controller);
            }
            ClientTimer::Periodic { controller } => self.period(context, controller),
            ClientTimer::Retry => {}
            ClientTimer::LeaderElection => {
                if let Some(elector) = &mut self.elector {
                    let change = elector.tick(context, &mut self.connection, Purpose::Lease);
                    self.leadership(context, change);
                }
            }
        }
    }

    fn answer(&mut self, context: &mut Context, purpose: Purpose, answer: Answer) {
        match purpose {
            Purpose::Informer(index) => {
                let had_synced = self.informers.have_synced();
                let deltas = self.informers.receive(context, &mut self.connection, index, answer);
                self.spread(context, index, &deltas);
                if !had_synced && self.informers.have_synced() {
                    for controller in 0..self.benches.len() {
                        self.work(context, controller);
                    }
                }
            }
            Purpose::Sync { controller, worker, work, place } => {
                let bench = &mut self.benches[controller];
                let Some(current) = bench.hands[worker].as_mut().filter(|current| current.number == work)
                else {
                    return;
                };
                if current.journal.answer(place, answer) {
                    self.run(context, controller, worker);
                    self.work(context, controller);
                }
            }
            Purpose::Event { controller } => {
                let bench = &mut self.benches[controller];
                bench.recorder.sent(context, &mut self.connection, Purpose::Event { controller });
            }
            Purpose::Lease => {
                if let Some(elector) = &mut self.elector {
                    let change = elector.receive(context, &mut self.connection, Purpose::Lease, answer);
                    self.leadership(context, change);
                }
            }
        }
    }

    fn leadership(&mut self, context: &mut Context, change: Change) {
        match change {
            Change::None => {}
            Change::Acquired => self.begin(context),
            // The process exits, and its supervisor starts it again: contending goes on with the next tick.
            Change::Lost => self.stand_down(context),
        }
    }

    fn begin(&mut self, context: &mut Context) {
        self.informers.start(context, &mut self.connection);
        for controller in 0..self.benches.len() {
            if let Some(period) = self.benches[controller].controller.period() {
                context.periodic(period, Timer::Client(ClientTimer::Periodic { controller }));
            }
        }
    }

    fn stand_down(&mut self, context: &mut Context) {
        self.connection.cancel(context, |_| true);
        self.connection.restart();
        self.informers.restart();
        for bench in &mut self.benches {
            bench.queue = WorkQueue::default();
            bench.hands.fill(None);
            bench.recorder.restart();
            bench.controller.restart();
            bench.alarm = None;
            bench.followed.clear();
        }
    }

    /// A controller follows these, and no longer what it followed before.
    fn follow(&mut self, context: &mut Context, controller: usize, selections: Vec<Selection>) {
        let window = self.benches[controller].watching;
        let mut followed = Vec::new();
        for selection in selections {
            let index = self.informers.add_late(context, &mut self.connection, selection, window);
            self.subscribers.resize(self.subscribers.len().max(index + 1), Vec::new());
            if !self.subscribers[index].contains(&controller) {
                self.subscribers[index].push(controller);
            }
            followed.push(index);
        }
        let before = std::mem::replace(&mut self.benches[controller].followed, followed.clone());
        for index in before.into_iter().filter(|index| !followed.contains(index)) {
            self.subscribers[index].retain(|other| *other != controller);
            if self.subscribers[index].is_empty() {
                self.informers.drop_late(context, &mut self.connection, index);
            }
        }
    }

    fn period(&mut self, context: &mut Context, controller: usize) {
        let synced = self.informers.have_synced();
        let bench = &mut self.benches[controller];
        let Some(period) = bench.controller.period() else { return };
        if self.elector.as_ref().is_some_and(|elector| !elector.is_leader) {
            return;
        }
        context.periodic(period, Timer::Client(ClientTimer::Periodic { controller }));
        if synced {
            let mut keys = Keys { queue: &mut bench.queue, now: context.now(), cause: context.cause() };
            bench.controller.on_period(self.informers.stores(), &mut keys);
            self.work(context, controller);
        }
    }

    /// Tells the subscribers of informer `index` what changed there.
    fn spread(&mut self, context: &mut Context, index: usize, deltas: &[Delta]) {
        if deltas.is_empty() {
            return;
        }
        for &controller in &self.subscribers[index] {
            let bench = &mut self.benches[controller];
            let mut keys = Keys { queue: &mut bench.queue, now: context.now(), cause: context.cause() };
            for delta in deltas {
                bench.controller.on_delta(delta, self.informers.stores(), &mut keys);
            }
        }
        for position in 0..self.subscribers[index].len() {
            self.work(context, self.subscribers[index][position]);
        }
    }

    /// Gives keys to idle hands, and sets the alarm for the next delayed one.
    fn work(&mut self, context: &mut Context, controller: usize) {
        // A controller's workers begin when every cache has synced.
        if !self.informers.have_synced() {
            return;
        }
        let now = context.now();
        let due = self.benches[controller].queue.advance(now);
        while let Some(worker) = self.benches[controller].hands.iter().position(Option::is_none) {
            let bench = &mut self.benches[controller];
            let Some((key, cause)) = bench.queue.get() else { break };
            self.works += 1;
            let name = bench.controller.name();
            context.because(cause, |context| {
                context.note(Note::Sync { controller: name.into(), key: key.clone() });
            });
            bench.hands[worker] = Some(Work {
                number: self.works,
                key,
                journal: Journal::default(),
                stores: self.informers.stores().clone(),
                started_at: now,
                cause,
            });
            context.because(cause, |context| self.run(context, controller, worker));
        }
        let bench = &mut self.benches[controller];
        let due = due.or_else(|| bench.queue.advance(now));
        if let Some(due) = due
            && bench.alarm.is_none_or(|alarm| due < alarm || alarm <= now)
        {
            bench.alarm = Some(due);
            context.timer(due.since(now), Timer::Client(ClientTimer::Queue { controller }));
        }
    }

    /// Runs the sync function of one worker as far as it goes.
    fn run(&mut self, context: &mut Context, controller: usize, worker: usize) {
        let bench = &mut self.benches[controller];
        let Some(work) = &mut bench.hands[worker] else { return };
        let mut outgoing = Outgoing::default();
        work.journal.rewind();
        let result = bench.controller.sync(&mut Call {
            key: &work.key,
            started_at: work.started_at,
            stores: &work.stores,
            journal: &mut work.journal,
            outgoing: &mut outgoing,
            requeues: bench.queue.requeues(&work.key),
        });
        let (number, cause) = (work.number, work.cause);
        for (place, request) in outgoing.requests {
            let purpose = Purpose::Sync { controller, worker, work: number, place };
            self.connection.send(context, bench.window, request, purpose);
        }
        for draft in outgoing.events {
            bench.recorder.record(context, &mut self.connection, draft, Purpose::Event { controller });
        }
        let now = context.now();
        for (key, delay) in outgoing.add_after {
            bench.queue.add_after(key, delay, now, cause);
        }
        if let Some(selections) = outgoing.follow {
            self.follow(context, controller, selections);
        }
        let bench = &mut self.benches[controller];
        let failure = match result {
            Err(Interrupt::Waiting) => return,
            Ok(()) => None,
            Err(Interrupt::Failed(message)) => Some(message),
        };
        let Some(work) = bench.hands[worker].take() else { return };
        match failure {
            None => bench.queue.forget(&work.key),
            Some(message) => {
                let line = arcstr::format!(
                    "\"Unhandled Error\" err=\"error syncing '{}': {message}, requeuing\" logger=\"{}\"",
                    work.key,
                    bench.controller.name()
                );
                context.note(Note::Log { line });
                let gives_up = bench
                    .controller
                    .retries()
                    .is_some_and(|retries| bench.queue.requeues(&work.key) >= retries);
                if gives_up {
                    bench.queue.forget(&work.key);
                } else {
                    bench.queue.add_rate_limited(work.key.clone(), now, work.cause);
                }
            }
        }
        bench.queue.done(&work.key);
    }
}
