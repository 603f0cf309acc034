//! The loop.
//!
//! Picture to hold in mind: a sorted pile of envelopes. The top one is opened, the clock jumps to its
//! instant, its actor acts, and the new envelopes go into the pile. Equal instants open in the order in
//! which they were put there, so there is one total order and no chance about it.

use crate::arrange::Arrange;

use super::actor::{ActorId, Context, Control, ControlRequest, Effect, Input, Language, Message, World};
use super::network::{Lost, Network};
use super::queue::Queue;
use super::random::Random;
use super::time::{Duration, Time};
use super::trace::{Record, RecordId, Trace, What};

/// A whole simulation at one instant. A clone is a checkpoint.
#[derive(Clone)]
pub struct Engine<W: World> {
    seed: u64,
    now: Time,
    queue: Queue<Entry<W::Language>>,
    pub world: W,
    pub network: Network,
    processes: Vec<Process>,
    network_random: Random,
    next_record: u64,
    next_actor: u32,
    events: u64,
    hash: u64,
    /// Empty between events.
    effects: Vec<Effect<W::Language>>,
}

#[derive(Clone)]
struct Process {
    running: bool,
    /// Counts starts: what was meant for an earlier life is not for this one.
    incarnation: u32,
    random: Random,
}

#[derive(Clone)]
struct Entry<L: Language> {
    cause: Option<RecordId>,
    due: Due<L>,
}

#[derive(Clone)]
enum Due<L: Language> {
    /// The message of line `cause` arrives.
    Delivery {
        from: ActorId,
        to: ActorId,
        message: L::Message,
        digest: u64,
    },
    /// A message leaves, after the work that precedes it.
    Departure {
        from: ActorId,
        incarnation: u32,
        to: ActorId,
        message: L::Message,
    },
    Timer {
        actor: ActorId,
        incarnation: u32,
        timer: L::Timer,
    },
}

type MessageOf<W> = <<W as World>::Language as Language>::Message;

impl<W: World> Engine<W> {
    pub fn new(seed: u64, world: W, network: Network) -> Engine<W> {
        Engine {
            seed,
            now: Time::ZERO,
            queue: Queue::new(),
            world,
            network,
            processes: Vec::new(),
            network_random: Random::stream(seed, "network"),
            next_record: 0,
            next_actor: 0,
            events: 0,
            hash: 0,
            effects: Vec::new(),
        }
    }
    pub fn now(&self) -> Time {
        self.now
    }
    pub fn seed(&self) -> u64 {
        self.seed
    }
    /// How many events have been handled: the unit in which work is counted.
    pub fn events(&self) -> u64 {
        self.events
    }
    /// A number that stands for everything that has happened: equal runs, equal hashes, on every target.
    pub fn hash(&self) -> u64 {
        self.hash
    }
    pub fn next_record(&self) -> RecordId {
        RecordId(self.next_record)
    }
    pub fn is_running(&self, actor: ActorId) -> bool {
        self.processes.get(actor.0 as usize).is_some_and(|process| process.running)
    }
    /// When the next thing happens; `None` when nothing ever will.
    pub fn next_time(&self) -> Option<Time> {
        self.queue.next_time()
    }
    /// Messages that are under way now: line, sender, receiver, arrival, message; in order of arrival.
    pub fn in_flight(&self) -> Vec<(RecordId, ActorId, ActorId, Time, &MessageOf<W>)> {
        let mut messages: Vec<_> = self
            .queue
            .iter()
            .filter_map(|(order, entry)| match &entry.due {
                Due::Delivery { from, to, message, .. } => {
                    entry.cause.map(|id| (order, (id, *from, *to, order.0, message)))
                }
                _ => None,
            })
            .collect();
        messages.arrange_by_key(|(order, _)| *order);
        messages.into_iter().map(|(_, message)| message).collect()
    }

    /// Handles everything due up to and including `until`; the clock then stands at `until`.
    pub fn run_until(&mut self, until: Time, trace: &mut Trace<W::Language>) {
        while self.next_time().is_some_and(|time| time <= until) {
            self.step(trace);
        }
        self.now = self.now.max(until);
    }

    /// Handles the next event, if there is one, and says when that was.
    #[cfg_attr(published, optimize(speed))]
    pub fn step(&mut self, trace: &mut Trace<W::Language>) -> Option<Time> {
        let (time, entry) = self.queue.pop()?;
        self.now = time;
        self.events += 1;
        match entry.due {
            Due::Delivery { from, to, message, digest } => {
                let sent = entry.cause.expect("a delivery's cause is its own line");
                if let Some(why) = self.why_undeliverable(to) {
                    self.record(trace, Some(sent), What::Undelivered { sent, why });
                    if let (Lost::Refused, Some(refusal)) = (why, message.refusal()) {
                        self.send(trace, to, from, refusal, Some(sent));
                    }
                } else {
                    self.fold(&[1, u64::from(to.0), digest]);
                    self.hand(trace, to, Input::Message { from, message }, Some(sent));
                }
            }
            Due::Departure { from, incarnation, to, message } => {
                if self.is_alive(from, incarnation) {
                    self.send(trace, from, to, message, entry.cause);
                }
            }
            Due::Timer { actor, incarnation, timer } => {
                if self.is_alive(actor, incarnation) {
                    self.fold(&[2, u64::from(actor.0)]);
                    self.hand(trace, actor, Input::Timer(timer), entry.cause);
                }
            }
        }
        Some(self.now)
    }

    /// Carries out a command of the outside, now.
    pub fn command(
        &mut self,
        command: &<W::Language as Language>::Command,
        trace: &mut Trace<W::Language>,
    ) -> RecordId {
        let id = self.record(trace, None, What::Command(Box::new(command.clone())));
        let mut requests = Vec::new();
        let mut control = Control {
            now: self.now,
            seed: self.seed,
            cause: Some(id),
            network: &mut self.network,
            next_actor: &mut self.next_actor,
            requests: &mut requests,
        };
        self.world.command(command, &mut control);
        for number in self.processes.len() as u32..self.next_actor {
            let random = Random::stream(self.seed, &format!("actor/{number}"));
            self.processes.push(Process { running: false, incarnation: 0, random });
        }
        self.lose_what_is_cut(id, trace);
        for request in requests {
            self.carry_out(request, Some(id), trace);
        }
        id
    }

    /// A cable that is cut loses what is on it, for good: a connection that resends is given up like one over which it was
    /// tried to send. On a cable that was cut before there is nothing.
    fn lose_what_is_cut(&mut self, cause: RecordId, trace: &mut Trace<W::Language>) {
        if !self.network.faults().any(|(_, fault)| fault.cut) {
            return;
        }
        let network = &self.network;
        let is_lost = |entry: &Entry<W::Language>| match &entry.due {
            Due::Delivery { from, to, .. } => network.is_cut(*from, *to),
            _ => false,
        };
        let mut lost: Vec<RecordId> =
            self.queue.iter().filter_map(|(_, entry)| entry.cause.filter(|_| is_lost(entry))).collect();
        self.queue.postpone(is_lost, |_| None);
        lost.arrange_by_key(|id| *id);
        for sent in lost {
            self.record(trace, Some(cause), What::Undelivered { sent, why: Lost::Cut });
        }
    }

    fn carry_out(
        &mut self,
        request: ControlRequest<W::Language>,
        cause: Option<RecordId>,
        trace: &mut Trace<W::Language>,
    ) {
        match request {
            ControlRequest::Start(actor) => {
                let Some(process) = self.processes.get_mut(actor.0 as usize) else { return };
                process.running = true;
                process.incarnation += 1;
                self.record(trace, cause, What::Started(actor));
                self.hand(trace, actor, Input::Start, cause);
            }
            ControlRequest::Stop(actor) => {
                let Some(process) = self.processes.get_mut(actor.0 as usize) else { return };
                if std::mem::replace(&mut process.running, false) {
                    self.world.stopped(actor, self.now);
                    self.record(trace, cause, What::Stopped(actor));
                }
            }
            ControlRequest::Deliver { from, to, message } => self.send(trace, from, to, message, cause),
            ControlRequest::Wake { actor, timer } => {
                if self.is_running(actor) {
                    self.set_timer(actor, Duration::ZERO, timer, cause);
                }
            }
            ControlRequest::DropInFlight(id) => {
                if !self.queue.postpone(|entry| entry.is_delivery_of(id), |_| None).is_empty() {
                    self.record(trace, cause, What::Undelivered { sent: id, why: Lost::Dropped });
                }
            }
            ControlRequest::DelayInFlight(id, by) => {
                let arrives = self.queue.postpone(|entry| entry.is_delivery_of(id), |time| Some(time + by));
                if let Some(Some(arrives)) = arrives.first().copied() {
                    self.record(trace, cause, What::Delayed { sent: id, arrives });
                }
            }
        }
    }

    #[cfg_attr(published, optimize(speed))]
    fn hand(
        &mut self,
        trace: &mut Trace<W::Language>,
        actor: ActorId,
        input: Input<W::Language>,
        cause: Option<RecordId>,
    ) {
        // One heap of letters for all events: most leave some.
        let mut effects = std::mem::take(&mut self.effects);
        let process = &mut self.processes[actor.0 as usize];
        let mut context =
            Context { now: self.now, me: actor, random: &mut process.random, cause, effects: &mut effects };
        self.world.handle(actor, input, &mut context);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to, message, delay: Duration::ZERO, cause } => {
                    self.send(trace, actor, to, message, cause);
                }
                Effect::Send { to, message, delay, cause } => {
                    let incarnation = self.processes[actor.0 as usize].incarnation;
                    self.enqueue(
                        self.now + delay,
                        cause,
                        Due::Departure { from: actor, incarnation, to, message },
                    );
                }
                Effect::Timer { after, timer, cause } => self.set_timer(actor, after, timer, cause),
                Effect::Note { note, cause } => {
                    self.record(trace, cause, What::Note { actor, note });
                }
                Effect::Start { process, cause } => {
                    self.carry_out(ControlRequest::Start(process), cause, trace);
                }
                Effect::Stop { process, cause } => {
                    self.carry_out(ControlRequest::Stop(process), cause, trace)
                }
            }
        }
        self.effects = effects;
    }

    #[cfg_attr(published, optimize(speed))]
    fn send(
        &mut self,
        trace: &mut Trace<W::Language>,
        from: ActorId,
        to: ActorId,
        message: MessageOf<W>,
        cause: Option<RecordId>,
    ) {
        let arrives = self.network.route(
            (from, to),
            self.now,
            message.class(),
            message.most_resends(),
            &mut self.network_random,
        );
        let digest = message.digest();
        self.fold(&[3, u64::from(from.0), u64::from(to.0), digest]);
        let id = self.record(trace, cause, What::Sent { from, to, arrives, message: message.clone() });
        if let Ok(time) = arrives {
            self.enqueue(time, Some(id), Due::Delivery { from, to, message, digest });
        }
    }

    #[cfg_attr(published, optimize(speed))]
    fn set_timer(
        &mut self,
        actor: ActorId,
        after: Duration,
        timer: <W::Language as Language>::Timer,
        cause: Option<RecordId>,
    ) {
        let incarnation = self.processes[actor.0 as usize].incarnation;
        self.enqueue(self.now + after, cause, Due::Timer { actor, incarnation, timer });
    }

    #[cfg_attr(published, optimize(speed))]
    fn enqueue(&mut self, time: Time, cause: Option<RecordId>, due: Due<W::Language>) {
        self.queue.push(time, Entry { cause, due });
    }

    #[cfg_attr(published, optimize(speed))]
    fn record(
        &mut self,
        trace: &mut Trace<W::Language>,
        cause: Option<RecordId>,
        what: What<W::Language>,
    ) -> RecordId {
        let id = RecordId(self.next_record);
        self.next_record += 1;
        trace.push(id, Record::new(self.now, cause, what));
        id
    }

    fn is_alive(&self, actor: ActorId, incarnation: u32) -> bool {
        self.processes.get(actor.0 as usize).is_some_and(|p| p.running && p.incarnation == incarnation)
    }

    fn why_undeliverable(&self, to: ActorId) -> Option<Lost> {
        if self.network.host(to).is_none_or(|host| self.network.is_down(host)) {
            Some(Lost::HostDown)
        } else if !self.is_running(to) {
            Some(Lost::Refused)
        } else {
            None
        }
    }

    /// FNV-1a over whole words: cheap, and the same everywhere.
    #[inline(always)]
    fn fold(&mut self, words: &[u64]) {
        let mut hash = self.hash ^ self.now.0;
        for word in words {
            hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
        self.hash = hash;
    }
}

impl<L: Language> Entry<L> {
    fn is_delivery_of(&self, id: RecordId) -> bool {
        self.cause == Some(id) && matches!(self.due, Due::Delivery { .. })
    }
}
