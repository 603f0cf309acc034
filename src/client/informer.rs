//! Reflector, delta FIFO and shared informer: how a process's copy of the cluster is made and kept.
//!
//! Picture to hold in mind: somebody who copies a ledger. First all of it (list), with the page number; then
//! only what is added after that page (watch). If the line drops, watch again from the last page seen; if
//! that page has been thrown away meanwhile (410 Gone), copy all of it again and compare.
//!
//! After client-go's `tools/cache`: `reflector.go`, `delta_fifo.go`, `shared_informer.go`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;
use crate::language::Context;
use crate::message::rest::{CloseReason, Resource, WatchType};
use crate::shared_map::SharedMap;
use crate::sim::Duration;
use crate::timer::{ClientTimer, Timer};

use super::connection::{Answer, Connection};
use super::request;
use super::store::{IndexFunction, Store, key_of};

/// What an informer keeps a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub resource: Resource,
    /// Empty: all.
    pub namespace: Text,
    pub label_selector: Text,
    pub field_selector: Text,
}

impl Selection {
    pub fn all(resource: &Resource) -> Selection {
        Selection {
            resource: resource.clone(),
            namespace: Text::new(),
            label_selector: Text::new(),
            field_selector: Text::new(),
        }
    }
    /// One for each kind: its group, whose version is `v1`, and its plural.
    pub fn all_of(kinds: &[(&str, &str)]) -> Vec<Selection> {
        kinds.iter().map(|(group, plural)| Selection::all(&Resource::new(*group, "v1", *plural))).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaType {
    Added,
    Updated,
    Deleted,
}

/// A change, as subscribers see it: after the store has it.
#[derive(Clone, Debug)]
pub struct Delta {
    pub informer: usize,
    pub kind: DeltaType,
    /// For a deletion the last state that is known.
    pub object: Value,
    /// What the store held before.
    pub old: Option<Value>,
}

/// The purpose of an informer's requests, for the owner's own purpose type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InformerIndex(pub usize);

/// What an owner of informers must be able to note beside a request.
pub trait Purpose: Clone + PartialEq + From<InformerIndex> {}
impl<P: Clone + PartialEq + From<InformerIndex>> Purpose for P {}

/// All informers of one process. Two subscribers to one selection share one.
#[derive(Clone, Default)]
pub struct Informers {
    informers: Vec<Informer>,
    /// How many of them have not seen their first list.
    unsynced: usize,
    /// One store an informer. A worker keeps this pointer: the world as it was when its work began.
    stores: Arc<Vec<Store>>,
}

#[derive(Clone)]
pub struct Informer {
    pub selection: Selection,
    window: usize,
    pub state: ReflectorState,
    /// The last revision seen; empty: the next list must be a fresh one.
    pub resource_version: Text,
    pub synced: bool,
    /// Came when the others had begun: nobody waits for it, and a restarted process knows nothing of it.
    is_late: bool,
    attempts: u32,
    pub fifo: DeltaFifo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReflectorState {
    Stopped,
    /// Given up: its place is kept, for others know their informers by number.
    Dropped,
    Listing,
    Watching,
    BackingOff,
}

/// Changes that wait to be handed on, object by object: several changes of one object wait together.
#[derive(Clone, Default)]
pub struct DeltaFifo {
    queue: VecDeque<Text>,
    deltas: SharedMap<Text, Vec<(RawDelta, Value)>>,
    /// Deltas handed on since the start.
    pub processed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawDelta {
    Added,
    Updated,
    Deleted,
    /// Part of a list: present, whatever was known before.
    Replaced,
}

impl DeltaFifo {
    fn push(&mut self, key: Text, kind: RawDelta, object: Value) {
        let waiting = self.deltas.entry(&key, Vec::new);
        if waiting.is_empty() {
            self.queue.push_back(key);
        }
        // Two deletions in a row say one thing: the earlier knows the object better.
        if kind == RawDelta::Deleted && waiting.last().is_some_and(|(last, _)| *last == RawDelta::Deleted) {
            return;
        }
        waiting.push((kind, object));
    }
    fn pop(&mut self) -> Option<(Text, Vec<(RawDelta, Value)>)> {
        let key = self.queue.pop_front()?;
        let deltas = self.deltas.remove(&key).unwrap_or_default();
        self.processed += deltas.len() as u64;
        Some((key, deltas))
    }
}

/// After client-go's reflector: 800 ms, doubling, 30 s at most.
fn back_off(attempts: u32) -> Duration {
    Duration::from_millis((800_u64 << attempts.min(6)).min(30_000))
}

impl Informers {
    /// The informer of `selection`, made if there is none yet. It sends from the connection's `window`.
    pub fn add(&mut self, selection: Selection, window: usize) -> usize {
        if let Some(index) = self.informers.iter().position(|informer| informer.selection == selection) {
            return index;
        }
        self.unsynced += 1;
        self.informers.push(Informer {
            selection,
            window,
            state: ReflectorState::Stopped,
            resource_version: "0".into(),
            synced: false,
            is_late: false,
            attempts: 0,
            fifo: DeltaFifo::default(),
        });
        Arc::make_mut(&mut self.stores).push(Store::default());
        self.informers.len() - 1
    }
    /// Follows `selection` from now on, while others are at work.
    pub fn add_late<P: Purpose>(
        &mut self,
        context: &mut Context,
        connection: &mut Connection<P>,
        selection: Selection,
        window: usize,
    ) -> usize {
        let known = self.informers.len();
        let index = self.add(selection, window);
        if index == known {
            self.unsynced -= 1;
            self.informers[index].is_late = true;
        } else if self.informers[index].state == ReflectorState::Dropped {
            self.informers[index].resource_version = "0".into();
        } else {
            return index;
        }
        self.list(context, connection, index);
        index
    }
    /// Gives up what came late.
    pub fn drop_late<P: Purpose>(
        &mut self,
        context: &mut Context,
        connection: &mut Connection<P>,
        index: usize,
    ) {
        if self.informers[index].is_late {
            connection.cancel_watch(&P::from(InformerIndex(index)), context);
            self.forget(index, ReflectorState::Dropped);
        }
    }
    fn forget(&mut self, index: usize, state: ReflectorState) {
        let informer = &mut self.informers[index];
        *informer = Informer {
            state,
            resource_version: "0".into(),
            synced: false,
            attempts: 0,
            fifo: DeltaFifo::default(),
            ..informer.clone()
        };
        Arc::make_mut(&mut self.stores)[index].clear();
    }
    pub fn add_index(&mut self, informer: usize, name: &'static str, function: IndexFunction) {
        Arc::make_mut(&mut self.stores)[informer].add_index(name, function);
    }
    pub fn store(&self, informer: usize) -> &Store {
        &self.stores[informer]
    }
    pub fn stores(&self) -> &Arc<Vec<Store>> {
        &self.stores
    }
    pub fn iter(&self) -> impl Iterator<Item = (&Informer, &Store)> {
        self.informers.iter().zip(self.stores.iter())
    }
    pub fn is_empty(&self) -> bool {
        self.informers.is_empty()
    }
    /// Every informer has seen its first list.
    pub fn have_synced(&self) -> bool {
        self.unsynced == 0
    }
    /// Forgets what was copied, as a restarted process does; selections and indices stay.
    pub fn restart(&mut self) {
        self.unsynced = self.informers.iter().filter(|informer| !informer.is_late).count();
        for index in 0..self.informers.len() {
            let is_late = self.informers[index].is_late;
            self.forget(index, if is_late { ReflectorState::Dropped } else { ReflectorState::Stopped });
        }
    }
    /// Begins to list, where it has not begun.
    pub fn start<P: Purpose>(&mut self, context: &mut Context, connection: &mut Connection<P>) {
        for index in 0..self.informers.len() {
            if self.informers[index].state == ReflectorState::Stopped {
                self.list(context, connection, index);
            }
        }
    }
    /// The back-off of informer `index` is over.
    pub fn retry<P: Purpose>(&mut self, context: &mut Context, connection: &mut Connection<P>, index: usize) {
        let informer = &self.informers[index];
        if informer.state != ReflectorState::BackingOff {
            return;
        }
        if informer.synced && !informer.resource_version.is_empty() {
            self.watch(context, connection, index);
        } else {
            self.list(context, connection, index);
        }
    }
    /// Takes the answer to a request of informer `index`; returns what changed, in order.
    pub fn receive<P: Purpose>(
        &mut self,
        context: &mut Context,
        connection: &mut Connection<P>,
        index: usize,
        answer: Answer,
    ) -> Vec<Delta> {
        let informer = &mut self.informers[index];
        match (informer.state, answer) {
            (ReflectorState::Dropped, _) => Vec::new(),
            (ReflectorState::Listing, Answer::Response(response)) if response.is_success() => {
                informer.attempts = 0;
                informer.resource_version = response.body.shared_text("metadata.resourceVersion");
                Arc::make_mut(&mut self.stores)[index].revision = meta::resource_version(&response.body);
                let deltas = self.replace(index, response.body.items("items"));
                let informer = &mut self.informers[index];
                if !std::mem::replace(&mut informer.synced, true) && !informer.is_late {
                    self.unsynced -= 1;
                }
                self.watch(context, connection, index);
                deltas
            }
            (ReflectorState::Watching, Answer::Response(response)) if response.is_success() => {
                informer.attempts = 0;
                Vec::new()
            }
            (_, Answer::Response(response)) => {
                if response.code == 410 {
                    informer.resource_version = Text::new();
                }
                self.back_off(context, index);
                Vec::new()
            }
            (ReflectorState::Watching, Answer::Watch(event)) => {
                if event.kind == WatchType::Error {
                    // 410 Gone: the page was thrown away. A list that may be old would lead here again.
                    informer.resource_version = Text::new();
                    connection.cancel_watch(&P::from(InformerIndex(index)), context);
                    self.list(context, connection, index);
                    return Vec::new();
                }
                informer.resource_version = event.object.shared_text("metadata.resourceVersion");
                Arc::make_mut(&mut self.stores)[index].revision = meta::resource_version(&event.object);
                let kind = match event.kind {
                    WatchType::Added => RawDelta::Added,
                    WatchType::Modified => RawDelta::Updated,
                    WatchType::Deleted => RawDelta::Deleted,
                    WatchType::Bookmark | WatchType::Error => return Vec::new(),
                };
                informer.fifo.push(key_of(&event.object), kind, event.object.clone());
                self.process(index)
            }
            (ReflectorState::Watching, Answer::Closed(CloseReason::TimedOut)) => {
                self.watch(context, connection, index);
                Vec::new()
            }
            (_, Answer::Closed(_)) => {
                self.back_off(context, index);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn list<P: Purpose>(&mut self, context: &mut Context, connection: &mut Connection<P>, index: usize) {
        let informer = &mut self.informers[index];
        informer.state = ReflectorState::Listing;
        let selection = &informer.selection;
        let request = request::list(&selection.resource, &selection.namespace).options(|options| {
            options.label_selector = selection.label_selector.clone();
            options.field_selector = selection.field_selector.clone();
            options.resource_version = informer.resource_version.clone();
        });
        connection.send(context, informer.window, request, P::from(InformerIndex(index)));
    }

    fn watch<P: Purpose>(&mut self, context: &mut Context, connection: &mut Connection<P>, index: usize) {
        let informer = &mut self.informers[index];
        informer.state = ReflectorState::Watching;
        // Between 5 and 10 minutes, so that not all watches of a cluster end together.
        let timeout_seconds = context.random().between(300, 600);
        let selection = &informer.selection;
        let request = request::watch(&selection.resource, &selection.namespace, &informer.resource_version)
            .options(|options| {
                options.label_selector = selection.label_selector.clone();
                options.field_selector = selection.field_selector.clone();
                options.timeout_seconds = Some(timeout_seconds);
            });
        connection.send(context, informer.window, request, P::from(InformerIndex(index)));
    }

    fn back_off(&mut self, context: &mut Context, index: usize) {
        let informer = &mut self.informers[index];
        informer.state = ReflectorState::BackingOff;
        let delay = back_off(informer.attempts);
        informer.attempts += 1;
        context.timer(delay, Timer::Client(ClientTimer::Relist { informer: index }));
    }

    /// Makes the store equal to a list.
    fn replace(&mut self, index: usize, items: &[Value]) -> Vec<Delta> {
        let mut present: Vec<Text> = items.iter().map(key_of).collect();
        present.arrange();
        let gone: Vec<(Text, Value)> = self.stores[index]
            .iter()
            .filter(|(key, _)| present.binary_search(key).is_err())
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        let fifo = &mut self.informers[index].fifo;
        for item in items {
            fifo.push(key_of(item), RawDelta::Replaced, item.clone());
        }
        for (key, object) in gone {
            fifo.push(key, RawDelta::Deleted, object);
        }
        self.process(index)
    }

    /// Hands on what waits in the FIFO: first to the store, then to the subscribers.
    fn process(&mut self, index: usize) -> Vec<Delta> {
        let mut changes = Vec::new();
        let store = &mut Arc::make_mut(&mut self.stores)[index];
        while let Some((key, deltas)) = self.informers[index].fifo.pop() {
            for (raw, object) in deltas {
                let (kind, old) = if raw == RawDelta::Deleted {
                    let old = store.remove(&key);
                    if old.is_none() {
                        continue;
                    }
                    (DeltaType::Deleted, old)
                } else {
                    let old = store.insert(key.clone(), object.clone());
                    (if old.is_some() { DeltaType::Updated } else { DeltaType::Added }, old)
                };
                changes.push(Delta { informer: index, kind, object, old });
            }
        }
        changes
    }
}
