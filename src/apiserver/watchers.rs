//! Who watches a resource, and who of them is to be told of a change.
//!
//! Picture to hold in mind: pigeonholes. A watcher that wants everything stands at the counter; one that wants the pods
//! of one node has a pigeonhole with that node's name. A change goes to the counter and to the holes that it
//! concerns, so that five thousand kubelets cost a pod no more than one.
//!
//! Follows `indexedWatchers` and `dispatchEvent` of `k8s.io/apiserver/pkg/storage/cacher/cacher.go`, and its
//! index triggers (`spec.nodeName` of pods, `metadata.name` of secrets, config maps and nodes).

use std::sync::Arc;

use crate::shared_map::SharedMap;

use crate::api::{Text, Value, meta};
use crate::message::rest::WatchType;
use crate::sim::{ActorId, Time};

use super::cache::Event;
use super::filter::Filter;

/// An exchange as both ends know it: the client and its number.
pub(crate) type ExchangeId = (ActorId, u64);

#[derive(Clone)]
pub(crate) struct Watcher {
    pub exchange: ExchangeId,
    /// Events sent so far.
    pub sequence: u64,
    pub filter: Arc<Filter>,
    /// How objects are shown: their version, or table rows.
    pub form: Arc<super::form::Form>,
    pub bookmarks: bool,
    pub opened: Time,
    /// When the stream ends.
    pub until: Time,
    /// Changes up to here are not for this watcher: it has them from its initial state.
    pub from_revision: u64,
}

/// Where a watcher waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Hole {
    All,
    Namespace(Text),
    /// One object by namespace (empty where there is none) and name.
    Object(Text, Text),
    Node(Text),
}

#[derive(Clone, Default)]
pub(crate) struct Watchers {
    next: u64,
    all: SharedMap<u64, Watcher>,
    holes: SharedMap<Hole, Arc<Vec<u64>>>,
    numbers: SharedMap<ExchangeId, u64>,
    /// Whether any watcher waits for a node: the node of an event is looked up only then.
    by_node: usize,
}

impl Watchers {
    fn hole(filter: &Filter) -> Hole {
        if let Some(node) = &filter.node {
            Hole::Node(node.clone())
        } else if let Some(name) = &filter.name {
            // A watch for a name in all namespaces stands at the counter.
            if filter.namespace.is_empty() && filter.namespaced {
                Hole::All
            } else {
                Hole::Object(filter.namespace.clone(), name.clone())
            }
        } else if filter.namespace.is_empty() {
            Hole::All
        } else {
            Hole::Namespace(filter.namespace.clone())
        }
    }
    pub(crate) fn insert(&mut self, watcher: Watcher) {
        self.remove(watcher.exchange);
        let number = self.next;
        self.next += 1;
        let hole = Watchers::hole(&watcher.filter);
        self.by_node += usize::from(matches!(hole, Hole::Node(_)));
        match self.holes.get_mut(&hole) {
            Some(numbers) => Arc::make_mut(numbers).push(number),
            None => drop(self.holes.insert(hole, Arc::new(vec![number]))),
        }
        self.numbers.insert(watcher.exchange, number);
        self.all.insert(number, watcher);
    }
    pub(crate) fn remove(&mut self, exchange: ExchangeId) -> Option<Watcher> {
        let number = *self.numbers.get(&exchange)?;
        let watcher = self.all.get(&number)?.clone();
        let hole = Watchers::hole(&watcher.filter);
        self.by_node -= usize::from(matches!(hole, Hole::Node(_)));
        let mut is_empty = false;
        if let Some(numbers) = self.holes.get_mut(&hole) {
            Arc::make_mut(numbers).retain(|other| *other != number);
            is_empty = numbers.is_empty();
        }
        if is_empty {
            self.holes.remove(&hole);
        }
        self.numbers.remove(&exchange);
        self.all.remove(&number);
        Some(watcher)
    }
    pub(crate) fn get_mut(&mut self, exchange: ExchangeId) -> Option<&mut Watcher> {
        let number = *self.numbers.get(&exchange)?;
        self.all.get_mut(&number)
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Watcher> {
        self.all.values()
    }

    /// Hands every watcher that the event concerns to `tell`, with what the event is for it.
    pub(crate) fn dispatch(&mut self, event: &Event, mut tell: impl FnMut(&mut Watcher, WatchType, &Value)) {
        if self.all.is_empty() {
            return;
        }
        let (namespace, name) = match event.key.split_once('/') {
            Some((namespace, name)) => (Text::from(namespace), Text::from(name)),
            None => (Text::new(), event.key.clone()),
        };
        let mut holes = vec![Hole::All];
        if !namespace.is_empty() {
            holes.push(Hole::Namespace(namespace.clone()));
        }
        holes.push(Hole::Object(namespace, name));
        if self.by_node > 0 {
            let node = event.object.shared_text("spec.nodeName");
            let before = event.previous.as_ref().map(|object| object.shared_text("spec.nodeName"));
            if let Some(before) = before.filter(|before| *before != node && !before.is_empty()) {
                holes.push(Hole::Node(before));
            }
            if !node.is_empty() {
                holes.push(Hole::Node(node));
            }
        }
        // The last state with the new revision, for watchers whose selector the object leaves: made at most once.
        let mut left: Option<Value> = None;
        for hole in holes {
            let Some(numbers) = self.holes.get(&hole) else { continue };
            for number in Arc::clone(numbers).iter() {
                let Some(watcher) = self.all.get_mut(number) else { continue };
                if event.revision <= watcher.from_revision {
                    continue;
                }
                match watcher.filter.transition(event) {
                    None => {}
                    Some(WatchType::Deleted) if !event.deleted => {
                        let object = left.get_or_insert_with(|| {
                            let mut object = event.previous.clone().unwrap_or_default();
                            meta::set_resource_version(&mut object, event.revision);
                            object
                        });
                        tell(watcher, WatchType::Deleted, object);
                    }
                    Some(kind) => tell(watcher, kind, &event.object),
                }
            }
        }
    }
}
