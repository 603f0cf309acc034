//! How the caches are filled and kept up with etcd.
//!
//! Picture to hold in mind: one newspaper subscription. The server first takes stock of the whole archive, then
//! reads every issue from the next number on; a missing number is ordered again; when the printer no longer has
//! it, stock is taken anew.
//!
//! Upstream opens one etcd watch for each resource; here a single watch on `/registry/` carries the same events in one
//! order for all resources, so that every cache is as new as every other. The rest follows
//! `k8s.io/apiserver/pkg/storage/etcd3/watcher.go` and `cacher/cacher.go`; compaction every five minutes
//! follows `etcd3/compact.go`.

use std::sync::Arc;

use crate::api::kind::{Registry, ResourceInfo};
use crate::api::value::literal;
use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;
use crate::language::Context;
use crate::message::rest::{CloseReason, Closed};
use crate::message::{Message, etcd};
use crate::shared_map::SharedMap;
use crate::sim::{ActorId, Duration, Time};

use super::ApiServer;
use super::catalog::Catalog;
use super::store::Purpose;

const PREFIX: Text = literal!("/registry/");
const PREFIX_END: Text = literal!("/registry0");
const COMPACTION_INTERVAL: Duration = Duration::from_secs(300);
/// A member that has said nothing for so long is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(5);
/// One that gives none is taken for dead.
const SILENCE: Duration = Duration::from_secs(8);
/// What etcd has answered a request with is on the watch as well by then.
const LAG: Duration = Duration::from_secs(1);

/// Where the server stands in etcd's history.
#[derive(Clone, Default)]
pub(crate) struct Feed {
    /// The caches hold everything up to here; 0 before the first list.
    revision: u64,
    /// The number of the watch, 0 for none.
    watch: u64,
    /// The next message may skip revisions: the watch has just been opened behind them.
    may_skip: bool,
    endpoint: Option<ActorId>,
    heard: Time,
    /// How many members in a row have refused the watch.
    refusals: usize,
    /// A revision that an answer has named and the watch has not told, and since when.
    expected: Option<(u64, Time)>,
    next_compaction: Time,
    /// What is compacted next time: the revision of five minutes ago.
    compact_revision: u64,
}

impl Feed {
    pub(crate) fn is_ready(&self) -> bool {
        self.revision > 0
    }
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }
}

impl ApiServer {
    /// Takes stock of all that etcd holds.
    pub(super) fn list_everything(&mut self, context: &mut Context) {
        self.feed.watch = 0;
        let range = etcd::Range { key: PREFIX, range_end: PREFIX_END, ..etcd::Range::default() };
        self.store.ask(etcd::Operation::Range(range), Purpose::List, context);
    }

    pub(super) fn listed(&mut self, response: &etcd::Response, context: &mut Context) {
        let Ok(etcd::Outcome::Range(range)) = &response.result else {
            self.list_everything(context);
            return;
        };
        // Definitions first: they decide which caches there are.
        let definitions = self.catalog.shelves.definitions;
        let is_definition =
            |key: &str| self.catalog.locate(key).is_some_and(|(cache, _)| cache == definitions);
        let custom: Vec<Value> = range
            .pairs
            .iter()
            .filter(|pair| is_definition(&pair.key))
            .map(|pair| pair.value.clone())
            .collect();
        self.unclaimed = SharedMap::new();
        self.redraw_catalog(&custom, context);
        let mut stock: Vec<Vec<(Text, Value)>> = vec![Vec::new(); self.caches.len()];
        for pair in &range.pairs {
            let mut object = pair.value.clone();
            meta::set_resource_version(&mut object, pair.mod_revision);
            match self.catalog.locate(&pair.key) {
                Some((cache, below)) => stock[cache].push((below.into(), object)),
                None => drop(self.unclaimed.insert(pair.key.clone(), object)),
            }
        }
        // After a compaction had left the watch behind, open watches cannot be told what they missed.
        let lost: Vec<_> = self.streams.keys().copied().collect();
        for exchange in lost {
            self.fail_stream(exchange, "too old resource version", context);
        }
        for (cache, objects) in self.caches.iter_mut().zip(stock) {
            Arc::make_mut(cache).reset(objects.into_iter(), response.revision);
        }
        self.keyrings = SharedMap::new();
        self.bind_all_pods();
        let services = self.caches.get(self.catalog.shelves.services);
        self.allocator.reset(services.into_iter().flat_map(|cache| cache.objects.values()));
        let is_first = !self.feed.is_ready();
        // Even an empty store has a revision: etcd begins at 1.
        self.feed.revision = response.revision.max(1);
        if is_first {
            self.feed.next_compaction = context.now() + COMPACTION_INTERVAL;
        }
        self.watch_everything(context);
        if is_first {
            self.begin_bootstrap(context);
        }
        self.consider_all_definitions(context);
        self.serve_waiting(context);
    }

    /// Follows etcd from the next revision on.
    pub(super) fn watch_everything(&mut self, context: &mut Context) {
        self.feed.endpoint = self.store.endpoint();
        self.feed.heard = context.now();
        self.feed.may_skip = true;
        let operation = etcd::Operation::Watch {
            key: PREFIX,
            range_end: PREFIX_END,
            start_revision: self.feed.revision + 1,
            // The caches hold every previous state themselves.
            previous: false,
            progress: true,
        };
        self.feed.watch = self.store.ask(operation, Purpose::Watch, context);
    }

    pub(super) fn watch_answered(&mut self, response: &etcd::Response, context: &mut Context) {
        match &response.result {
            Ok(_) => {
                self.feed.heard = context.now();
                self.feed.refusals = 0;
            }
            Err(etcd::Error::Compacted { .. }) => self.list_everything(context),
            Err(_) => {
                self.feed.refusals += 1;
                if self.feed.refusals < self.store.endpoints() {
                    self.watch_everything(context);
                } else {
                    // Housekeeping goes round again.
                    self.feed.refusals = 0;
                    self.feed.watch = 0;
                }
            }
        }
    }

    /// An answer of etcd names a revision: the watch must soon have told of it.
    pub(super) fn heard_of(&mut self, revision: u64, now: Time) {
        if revision > self.feed.revision && self.feed.expected.is_none() {
            self.feed.expected = Some((revision, now));
        }
    }

    /// The member that serves the watch has refused something: it was stopped, and the watch is gone.
    pub(super) fn refused(&mut self, context: &mut Context) {
        if self.feed.is_ready() && self.feed.watch != 0 && self.feed.endpoint != self.store.endpoint() {
            self.watch_everything(context);
        } else if self.store.endpoints() == 1 {
            self.feed.watch = 0;
        }
    }

    /// An issue of the newspaper.
    pub(super) fn changed(&mut self, from: ActorId, response: &etcd::WatchResponse, context: &mut Context) {
        if response.watch_id != self.feed.watch {
            // A watch that was given up: its member need not go on.
            let cancel = etcd::Request {
                id: 0,
                operation: etcd::Operation::CancelWatch { watch_id: response.watch_id },
            };
            context.send(from, Message::EtcdRequest(Arc::new(cancel)));
            return;
        }
        self.feed.heard = context.now();
        if response.compact_revision > 0 {
            self.list_everything(context);
            return;
        }
        // A progress notification tells of no change: one that is ahead of us passed a change that was lost.
        let expected = self.feed.revision + u64::from(!response.events.is_empty());
        let first = response.events.first().map_or(response.revision, |event| event.mod_revision);
        if first > expected && !self.feed.may_skip {
            // An issue is missing: lost on the way, or made of keys that are not Kubernetes'. Asking again tells.
            self.watch_everything(context);
            return;
        }
        self.feed.may_skip = false;
        for event in &response.events {
            if event.mod_revision > self.feed.revision {
                self.take_in(event, context);
            }
        }
        self.feed.revision = self.feed.revision.max(response.revision);
        if self.feed.expected.is_some_and(|(revision, _)| revision <= self.feed.revision) {
            self.feed.expected = None;
        }
        self.serve_waiting(context);
    }

    fn take_in(&mut self, event: &etcd::WatchEvent, context: &mut Context) {
        let catalog = Arc::clone(&self.catalog);
        let object = event.current.as_ref().map(|pair| {
            let mut object = pair.value.clone();
            meta::set_resource_version(&mut object, event.mod_revision);
            object
        });
        let Some((number, below)) = catalog.locate(&event.key) else {
            match object {
                Some(object) => drop(self.unclaimed.insert(event.key.clone(), object)),
                None => drop(self.unclaimed.remove(&event.key)),
            }
            return;
        };
        let Some(cache) = self.caches.get_mut(number) else { return };
        let cache = Arc::make_mut(cache);
        let Some(event) = cache.apply(below.into(), object, event.mod_revision, context.now()) else {
            return;
        };
        self.tell(number, &event, context);
        self.forget_keyrings(number);
        if number == catalog.shelves.pods {
            self.pod_bound(
                &event.key,
                event.previous.as_ref(),
                Some(&event.object).filter(|_| !event.deleted),
            );
        } else if number == catalog.shelves.services {
            self.allocator.changed(&event);
        } else if number == catalog.shelves.definitions {
            self.definitions_changed(&event.key, context);
        } else if event.deleted {
            self.instance_removed(context);
        }
    }

    /// A custom resource definition came, went or changed.
    fn definitions_changed(&mut self, key: &str, context: &mut Context) {
        let definitions: Vec<Value> = match self.caches.get(self.catalog.shelves.definitions) {
            Some(cache) => cache.objects.values().cloned().collect(),
            None => Vec::new(),
        };
        self.redraw_catalog(&definitions, context);
        self.consider_definition(key, context);
    }

    /// Opens the doors that the definitions describe, and closes those of definitions that are gone.
    fn redraw_catalog(&mut self, definitions: &[Value], context: &mut Context) {
        let before = self.catalog.registry.custom();
        // What is built in is asked first: a definition of the same name serves nothing.
        let built_in = Registry::new();
        let is_free = |definition: &&Value| {
            built_in.resource(definition.text("spec.group"), definition.text("spec.names.plural")).is_none()
        };
        let mut custom: Vec<Arc<ResourceInfo>> = definitions
            .iter()
            .filter(is_free)
            .filter_map(|definition| {
                let is_same = |info: &&Arc<ResourceInfo>| {
                    info.definition.as_ref().is_some_and(|kind| kind.is_of(definition))
                };
                match before.iter().find(is_same) {
                    Some(info) => Some(Arc::clone(info)),
                    None => ResourceInfo::from_definition(definition).map(Arc::new),
                }
            })
            .collect();
        // Custom groups have one priority: discovery lists them by name.
        custom.arrange_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
        if custom.len() == before.len() && custom.iter().zip(before).all(|(new, old)| Arc::ptr_eq(new, old)) {
            return;
        }
        let old = Arc::clone(&self.catalog);
        let catalog = Catalog::new(Registry::new().with_custom(custom), old.by_cache.clone());
        self.catalog = Arc::new(catalog);
        self.caches.resize_with(self.catalog.by_cache.len(), Arc::default);
        self.end_outdated_streams(&old, context);
        for number in 0..self.caches.len() {
            match (number < old.by_cache.len() && old.is_open(number), self.catalog.is_open(number)) {
                (false, true) => self.open_shelf(number),
                (true, false) => self.close_shelf(number, context),
                _ => {}
            }
        }
    }

    /// What lay in etcd before there was a door to it.
    fn open_shelf(&mut self, number: usize) {
        let prefix = self.catalog.key(number, "");
        let keys: Vec<Text> = self
            .unclaimed
            .from(prefix.as_str())
            .take_while(|(key, _)| key.starts_with(prefix.as_str()))
            .map(|(key, _)| key.clone())
            .collect();
        let found: Vec<(Text, Value)> = keys
            .into_iter()
            .filter_map(|key| {
                let object = self.unclaimed.remove(&key)?;
                Some((Text::from(&key[prefix.len()..]), object))
            })
            .collect();
        Arc::make_mut(&mut self.caches[number]).reset(found.into_iter(), self.feed.revision);
    }

    /// A definition that has changed is served anew: who watches its instances in the old way must ask again
    /// (`removeStorage_locked`).
    fn end_outdated_streams(&mut self, old: &Catalog, context: &mut Context) {
        let catalog = Arc::clone(&self.catalog);
        for info in old.registry.custom() {
            let (Some(before), Some(route)) = (&info.definition, catalog.find(&info.group, &info.plural))
            else {
                continue;
            };
            let is_same =
                route.info.definition.as_ref().is_some_and(|now| before.serves_as(now.definition()));
            if !is_same && let Some(number) = route.cache {
                self.end_streams(number, context);
            }
        }
    }

    fn end_streams(&mut self, number: usize, context: &mut Context) {
        let streams: Vec<_> =
            self.streams.iter().filter(|(_, cache)| **cache == number).map(|(id, _)| *id).collect();
        for exchange in streams {
            if self.end_stream(exchange) {
                let closed = Closed { id: exchange.1, why: CloseReason::TimedOut };
                context.send(exchange.0, Message::Closed(closed));
            }
        }
    }

    /// Nobody can ask for these any more: whoever watched them hears the end.
    fn close_shelf(&mut self, number: usize, context: &mut Context) {
        self.end_streams(number, context);
        let cache = std::mem::take(&mut self.caches[number]);
        for (below, object) in cache.objects.iter() {
            self.unclaimed.insert(self.catalog.key(number, below), object.clone());
        }
    }

    /// When it next has etcd compacted, and up to which revision; 0: it has not noted one yet.
    pub fn next_compaction(&self) -> (Time, u64) {
        (self.feed.next_compaction, self.feed.compact_revision)
    }

    /// Asks the member that serves the watch for a sign of life, and turns to another if it gives none; compacts.
    pub(super) fn look_after_feed(&mut self, context: &mut Context) {
        if !self.feed.is_ready() {
            return;
        }
        let now = context.now();
        if self.feed.watch == 0 || self.feed.endpoint != self.store.endpoint() {
            self.watch_everything(context);
        } else if now.since(self.feed.heard) >= SILENCE {
            self.store.turn_away();
            self.watch_everything(context);
        } else if self
            .feed
            .expected
            .is_some_and(|(revision, since)| revision > self.feed.revision && now.since(since) >= LAG)
        {
            self.feed.expected = None;
            self.watch_everything(context);
        } else if now.since(self.feed.heard) >= QUIET {
            self.store.ask(etcd::Operation::Progress, Purpose::Probe, context);
        }
        if now >= self.feed.next_compaction {
            self.feed.next_compaction = now + COMPACTION_INTERVAL;
            if self.feed.compact_revision > 0 {
                let operation = etcd::Operation::Compact { revision: self.feed.compact_revision };
                self.store.ask(operation, Purpose::Errand, context);
            }
            self.feed.compact_revision = self.feed.revision;
        }
    }
}
