//! What a controller's sync function is given: the world as it stood, and a telephone.
//!
//! Picture to hold in mind: a clerk in a closed room with a photograph of the card boxes, a telephone to the
//! API server, and a slot for memos. See [`super::journal`] for how the clerk waits without waiting.

use crate::api::{Text, Value};
use crate::message::rest::{PatchType, Request, Resource};
use crate::sim::{Duration, Time};

use super::connection::Answer;
use super::informer::Selection;
use super::journal::{Journal, Place, Waiting};
use super::recorder::EventDraft;
use super::request;
use super::store::{Store, split_key};

/// Why a sync stopped before its end.
#[derive(Clone, Debug)]
pub enum Interrupt {
    /// For an answer: it will be run again.
    Waiting,
    /// For an error: the key is tried again after its back-off. The text is for the log.
    Failed(Text),
}

impl From<Waiting> for Interrupt {
    fn from(_: Waiting) -> Interrupt {
        Interrupt::Waiting
    }
}

impl Interrupt {
    /// The failure that a `Status` tells of.
    pub fn from_status(status: &Value) -> Interrupt {
        Interrupt::Failed(status.shared_text("message"))
    }
}

/// What a run of the sync function left to do.
#[derive(Default)]
pub(super) struct Outgoing {
    pub requests: Vec<(Place, Request)>,
    pub events: Vec<EventDraft>,
    pub add_after: Vec<(Text, Duration)>,
    /// What the controller's late informers are to be from now on.
    pub follow: Option<Vec<Selection>>,
}

pub struct Call<'a> {
    pub(super) key: &'a Text,
    pub(super) started_at: Time,
    pub(super) stores: &'a [Store],
    pub(super) journal: &'a mut Journal<Answer>,
    pub(super) outgoing: &'a mut Outgoing,
    pub(super) requeues: u32,
}

impl Call<'_> {
    pub fn key(&self) -> &Text {
        self.key
    }
    pub fn namespace(&self) -> &str {
        split_key(self.key).0
    }
    pub fn name(&self) -> &str {
        split_key(self.key).1
    }
    /// When this sync began. It stays the same while the sync waits.
    pub fn now(&self) -> Time {
        self.started_at
    }
    /// How often this key has failed since its last success.
    pub fn requeues(&self) -> u32 {
        self.requeues
    }
    /// The copy that informer `informer` had when this sync began.
    pub fn store(&self, informer: usize) -> &Store {
        &self.stores[informer]
    }
    pub fn stores(&self) -> &[Store] {
        self.stores
    }

    /// Sends `requests` together and waits for all answers: an object, or the `Status` of a failure.
    pub fn all(&mut self, requests: Vec<Request>) -> Result<Vec<Result<Value, Value>>, Interrupt> {
        let mut requests: Vec<Option<Request>> = requests.into_iter().map(Some).collect();
        let outgoing = &mut self.outgoing.requests;
        let answers = self.journal.ask(requests.len(), |place| {
            if let Some(request) = requests[place.index].take() {
                outgoing.push((place, request));
            }
        })?;
        Ok(answers.into_iter().map(Answer::into_result).collect())
    }
    /// Sends one request; an unsuccessful answer is the caller's to judge.
    pub fn attempt(&mut self, request: Request) -> Result<Result<Value, Value>, Interrupt> {
        Ok(self.all(vec![request])?.remove(0))
    }
    /// Sends one request; an unsuccessful answer ends the sync.
    pub fn request(&mut self, request: Request) -> Result<Value, Interrupt> {
        self.attempt(request)?.map_err(|status| Interrupt::from_status(&status))
    }

    pub fn get(&mut self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, Interrupt> {
        self.request(request::get(resource, namespace, name))
    }
    pub fn create(
        &mut self,
        resource: &Resource,
        namespace: &str,
        object: Value,
    ) -> Result<Value, Interrupt> {
        self.request(request::create(resource, namespace, object))
    }
    pub fn update(&mut self, resource: &Resource, object: Value) -> Result<Value, Interrupt> {
        self.request(request::update(resource, object))
    }
    pub fn update_status(&mut self, resource: &Resource, object: Value) -> Result<Value, Interrupt> {
        self.request(request::update_status(resource, object))
    }
    pub fn patch(
        &mut self,
        resource: &Resource,
        (namespace, name): (&str, &str),
        kind: PatchType,
        patch: Value,
    ) -> Result<Value, Interrupt> {
        self.request(request::patch(resource, namespace, name, kind, patch))
    }
    pub fn delete(&mut self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, Interrupt> {
        self.request(request::delete(resource, namespace, name))
    }

    /// True the first time that this sync comes by here: for changes of the controller's own memory.
    pub fn once(&mut self) -> bool {
        self.journal.once()
    }
    /// What `look` saw the first time that this sync came by here: for reading the controller's own memory,
    /// which other keys and news change while this sync waits.
    pub fn remember(&mut self, look: impl FnOnce() -> i64) -> i64 {
        self.journal.remember(look)
    }
    /// Records an event about `object`; `kind` is `Normal` or `Warning`.
    pub fn event(&mut self, object: &Value, kind: &'static str, reason: &str, message: impl Into<Text>) {
        if self.journal.once() {
            self.outgoing.events.push(EventDraft::about(object, kind, reason, message.into()));
        }
    }
    /// Looks at `key` again after `delay`.
    pub fn add_after(&mut self, key: Text, delay: Duration) {
        if self.journal.once() {
            self.outgoing.add_after.push((key, delay));
        }
    }
    /// Follows these besides what was subscribed at the start; what was followed before and is not among them is given up.
    pub fn follow(&mut self, selections: Vec<Selection>) {
        if self.journal.once() {
            self.outgoing.follow = Some(selections);
        }
    }
    /// Looks at this sync's key again after `delay`.
    pub fn requeue_after(&mut self, delay: Duration) {
        let key = self.key.clone();
        self.add_after(key, delay);
    }
}
