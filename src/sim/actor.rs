//! What an actor sees of the world, and the only ways in which it may act on it.
//!
//! Picture to hold in mind: a clerk behind a counter with one tray in and one tray out. The clerk never
//! leaves the counter: a letter, an alarm clock or the call to start work come in; letters, alarm clocks
//! and notes for the record go out.

use super::network::{HostId, Network};
use super::random::Random;
use super::time::{Duration, Time};
use super::trace::RecordId;

/// Names an actor. Identities are never reused, so a message can outlive its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ActorId(pub u32);

/// The words that the actors of one world share: what they say to one another, to themselves and to the record.
pub trait Language: Clone + 'static {
    type Message: Message;
    type Timer: Clone;
    /// What the outside may ask.
    type Command: Clone;
    /// What an actor may write into the record beside its messages.
    type Note: Clone;
}

/// All actors of one simulation. `Clone` must be cheap: it is a checkpoint.
pub trait World: Clone {
    type Language: Language;

    /// Hands `input` to `actor`.
    fn handle(&mut self, actor: ActorId, input: Input<Self::Language>, context: &mut Context<Self::Language>);
    /// `actor` has stopped: what it had in memory is gone.
    fn stopped(&mut self, _actor: ActorId, _now: Time) {}
    /// Carries out what the outside asks.
    fn command(
        &mut self,
        command: &<Self::Language as Language>::Command,
        control: &mut Control<Self::Language>,
    );
}

pub trait Message: Clone {
    /// A number that is equal for equal messages: the run's hash is made of these.
    fn digest(&self) -> u64;
    /// Groups messages for link filters ("drop votes"): the meaning is the world's.
    fn class(&self) -> u16;
    /// What the sender gets back when the host is up but nothing listens: `None` where silence is the answer.
    fn refusal(&self) -> Option<Self>;
    /// How often a transport below resends what a lossy link loses (TCP) before the connection is given up: until then
    /// loss is delay. 0: it is lost at once.
    fn most_resends(&self) -> u32;
}

/// What comes in.
#[derive(Clone)]
pub enum Input<L: Language> {
    /// The process begins, the first time or after a stop: everything volatile is gone.
    Start,
    Message {
        from: ActorId,
        message: L::Message,
    },
    Timer(L::Timer),
}

/// What goes out, as data.
#[derive(Clone)]
pub(super) enum Effect<L: Language> {
    Send { to: ActorId, message: L::Message, delay: Duration, cause: Option<RecordId> },
    Timer { after: Duration, timer: L::Timer, cause: Option<RecordId> },
    Note { note: L::Note, cause: Option<RecordId> },
    Start { process: ActorId, cause: Option<RecordId> },
    Stop { process: ActorId, cause: Option<RecordId> },
}

/// An actor's hands while it handles one input.
pub struct Context<'a, L: Language> {
    pub(super) now: Time,
    pub(super) me: ActorId,
    pub(super) random: &'a mut Random,
    pub(super) cause: Option<RecordId>,
    pub(super) effects: &'a mut Vec<Effect<L>>,
}

impl<L: Language> Context<'_, L> {
    pub fn now(&self) -> Time {
        self.now
    }
    pub fn me(&self) -> ActorId {
        self.me
    }
    /// This actor's own stream of chance.
    pub fn random(&mut self) -> &mut Random {
        self.random
    }
    /// What the effects of this moment are recorded as the consequence of.
    pub fn cause(&self) -> Option<RecordId> {
        self.cause
    }
    /// Records what `act` does as the consequence of `cause`: for work that waited in a queue.
    pub fn because<R>(&mut self, cause: Option<RecordId>, act: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::replace(&mut self.cause, cause);
        let result = act(self);
        self.cause = outer;
        result
    }
    pub fn send(&mut self, to: ActorId, message: L::Message) {
        self.send_after(Duration::ZERO, to, message);
    }
    /// Sends once `delay` has passed: the time that the work before it takes.
    #[cfg_attr(published, optimize(speed))]
    pub fn send_after(&mut self, delay: Duration, to: ActorId, message: L::Message) {
        self.effects.push(Effect::Send { to, message, delay, cause: self.cause });
    }
    /// Sets an alarm. What it leads to is a consequence of what led to it.
    pub fn timer(&mut self, after: Duration, timer: L::Timer) {
        self.effects.push(Effect::Timer { after, timer, cause: self.cause });
    }
    /// Sets an alarm for work that happens for no reason but the time.
    pub fn periodic(&mut self, after: Duration, timer: L::Timer) {
        self.effects.push(Effect::Timer { after, timer, cause: None });
    }
    pub fn note(&mut self, note: L::Note) {
        self.effects.push(Effect::Note { note, cause: self.cause });
    }
    /// Starts another process, as a machine does that runs it.
    pub fn start(&mut self, process: ActorId) {
        self.effects.push(Effect::Start { process, cause: self.cause });
    }
    /// Stops another process, as [`Control::stop`] does.
    pub fn stop(&mut self, process: ActorId) {
        self.effects.push(Effect::Stop { process, cause: self.cause });
    }
}

/// The hands of the outside: what a command may do besides changing actors' state.
pub struct Control<'a, L: Language> {
    pub(super) now: Time,
    pub(super) seed: u64,
    pub(super) cause: Option<RecordId>,
    pub(super) network: &'a mut Network,
    pub(super) next_actor: &'a mut u32,
    pub(super) requests: &'a mut Vec<ControlRequest<L>>,
}

pub(super) enum ControlRequest<L: Language> {
    Start(ActorId),
    Stop(ActorId),
    Deliver { from: ActorId, to: ActorId, message: L::Message },
    Wake { actor: ActorId, timer: L::Timer },
    DropInFlight(RecordId),
    DelayInFlight(RecordId, Duration),
}

impl<L: Language> Control<'_, L> {
    pub fn now(&self) -> Time {
        self.now
    }
    pub fn seed(&self) -> u64 {
        self.seed
    }
    /// The record of the command itself.
    pub fn cause(&self) -> Option<RecordId> {
        self.cause
    }
    pub fn network(&mut self) -> &mut Network {
        self.network
    }
    /// Makes room for an actor on `host`. It does nothing before [`Control::start`].
    pub fn create(&mut self, host: HostId) -> ActorId {
        let actor = ActorId(*self.next_actor);
        *self.next_actor += 1;
        self.network.place(actor, host);
        actor
    }
    /// Starts a process; a running one is restarted: its timers and all that was volatile are gone.
    pub fn start(&mut self, actor: ActorId) {
        self.requests.push(ControlRequest::Start(actor));
    }
    /// Stops a process. Its host refuses connections to it, unless the host itself is down.
    pub fn stop(&mut self, actor: ActorId) {
        self.requests.push(ControlRequest::Stop(actor));
    }
    /// Sends on behalf of `from`, now.
    pub fn send(&mut self, from: ActorId, to: ActorId, message: L::Message) {
        self.requests.push(ControlRequest::Deliver { from, to, message });
    }
    /// Gives `actor` a timer that rings at once.
    pub fn wake(&mut self, actor: ActorId, timer: L::Timer) {
        self.requests.push(ControlRequest::Wake { actor, timer });
    }
    /// Takes one message that is under way off its link.
    pub fn drop_in_flight(&mut self, message: RecordId) {
        self.requests.push(ControlRequest::DropInFlight(message));
    }
    /// Makes one message that is under way take longer.
    pub fn delay_in_flight(&mut self, message: RecordId, by: Duration) {
        self.requests.push(ControlRequest::DelayInFlight(message, by));
    }
}
