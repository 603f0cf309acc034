//! Who is told what changes (etcd's `server/storage/mvcc/watchable_store.go`).
//!
//! Picture to hold in mind: a row of letter boxes, each with a range of keys on it. Whoever puts one up names the
//! line of the ledger from which on he wants to know; what is past comes at once, the rest as it happens, in
//! order, nothing twice. If the pages he asks for have been torn out, he is told so and his box is taken down.

use std::sync::Arc;

use super::{Member, Running};
use crate::api::Text;
use crate::etcd::store::{Change, is_in_range};
use crate::language::Context;
use crate::message::Message;
use crate::message::etcd::{Error, Operation, Outcome, Request, WatchResponse};
use crate::sim::{ActorId, Duration, Time};
use crate::sorted::SortedMap;

/// A watcher who insists on a leader is told after three election timeouts without one.
const NO_LEADER: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
struct Watch {
    key: Text,
    range_end: Text,
    /// The next revision that the watcher wants.
    next: u64,
    with_previous: bool,
    with_progress: bool,
    /// It has been told something since its client was last told how far it is.
    has_news: bool,
}

impl Watch {
    fn wants(&self, change: &Change) -> bool {
        change.main >= self.next && is_in_range(change.key(), &self.key, &self.range_end)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    open: SortedMap<(ActorId, u64), Watch>,
    /// When each client is told next how far those of its watches are that want to know: all are on one stream.
    streams: SortedMap<ActorId, Time>,
}

impl Watches {
    pub fn len(&self) -> usize {
        self.open.len()
    }
}

/// The interval, and up to a tenth more, so that not all clients are told in one instant.
fn pause(interval: Duration, client: ActorId) -> Duration {
    interval + Duration(interval.0 / 100 * u64::from(client.0 % 10))
}

fn tell_progress(client: ActorId, watch_id: u64, revision: u64, context: &mut Context) {
    let response = WatchResponse { watch_id, revision, events: Vec::new(), compact_revision: 0 };
    context.send(client, Message::EtcdWatch(Arc::new(response)));
}

impl Member {
    pub(super) fn open_watch(&mut self, client: ActorId, request: &Request, context: &mut Context) {
        let Operation::Watch { key, range_end, start_revision, previous, progress } = &request.operation
        else {
            return;
        };
        let store = &self.backend.store;
        let watch = Watch {
            key: key.clone(),
            range_end: range_end.clone(),
            next: if *start_revision == 0 { store.revision() + 1 } else { *start_revision },
            with_previous: *previous,
            with_progress: *progress,
            has_news: false,
        };
        let interval = self.flags.watch_progress_notify_interval;
        let Some(running) = &mut self.running else { return };
        // Kubernetes' watches insist on a leader, or they could lag for ever without knowing.
        if running.raft.lead().is_none() {
            self.reply(client, request.id, Err(Error::NoLeader), context);
            return;
        }
        let (id, from) = (request.id, watch.next);
        if watch.with_progress {
            running.watches.streams.entry(client).or_insert_with(|| context.now() + pause(interval, client));
        }
        running.watches.open.insert((client, id), watch);
        self.reply(client, id, Ok(Outcome::WatchCreated), context);
        if from <= self.backend.store.revision() {
            self.tell_watcher(client, id, from, context);
        }
    }
    pub(super) fn close_watch(&mut self, client: ActorId, id: u64) {
        if let Some(running) = &mut self.running {
            running.watches.open.remove(&(client, id));
        }
    }

    /// Tells one watcher what has changed since `from`.
    fn tell_watcher(&mut self, client: ActorId, id: u64, from: u64, context: &mut Context) {
        let store = &self.backend.store;
        let Some(running) = &mut self.running else { return };
        let Some(watch) = running.watches.open.get_mut(&(client, id)) else { return };
        let mut response = WatchResponse {
            watch_id: id,
            revision: store.revision(),
            events: Vec::new(),
            compact_revision: 0,
        };
        match store.changes_from(from) {
            Ok(changes) => {
                let wanted = changes.filter(|change| watch.wants(change));
                response.events = wanted.map(|change| change.event(watch.with_previous)).collect();
                watch.has_news |= !response.events.is_empty();
                watch.next = watch.next.max(store.revision() + 1);
            }
            Err(_) => {
                response.compact_revision = store.compacted();
                running.watches.open.remove(&(client, id));
            }
        }
        if !response.events.is_empty() || response.compact_revision > 0 {
            context.send(client, Message::EtcdWatch(Arc::new(response)));
        }
    }

    /// Tells all watchers what has changed since revision `before`.
    pub(super) fn tell_watchers(&mut self, before: u64, context: &mut Context) {
        let store = &self.backend.store;
        let Some(Running { watches, .. }) = &mut self.running else { return };
        if store.revision() == before || watches.open.is_empty() {
            return;
        }
        let Ok(changes) = store.changes_from(before + 1) else {
            // After a snapshot that begins later: each is told from where it stands, or that this is gone.
            let behind: Vec<_> = watches.open.iter().map(|(key, watch)| (*key, watch.next)).collect();
            for ((client, id), next) in behind {
                self.tell_watcher(client, id, next, context);
            }
            return;
        };
        for ((client, id), watch) in &mut watches.open {
            let wanted = changes.clone().filter(|change| watch.wants(change));
            let events: Vec<_> = wanted.map(|change| change.event(watch.with_previous)).collect();
            if !events.is_empty() {
                watch.has_news = true;
                let response =
                    WatchResponse { watch_id: *id, revision: store.revision(), events, compact_revision: 0 };
                context.send(*client, Message::EtcdWatch(Arc::new(response)));
            }
        }
    }

    /// Tells a client how far its watches have seen, though nothing in them changed: all of them when it asks, unless
    /// one begins later than that.
    pub(super) fn send_progress(&self, client: ActorId, context: &mut Context) {
        let Some(running) = &self.running else { return };
        let revision = self.backend.store.revision();
        let own = || running.watches.open.iter().filter(|((watcher, _), _)| *watcher == client);
        if own().all(|(_, watch)| watch.next <= revision + 1) {
            own().for_each(|((_, id), _)| tell_progress(client, *id, revision, context));
        }
    }
    /// Every so often, whoever wants to know is told, unless something else has told him since.
    pub(super) fn notify_progress(&mut self, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        let (now, revision) = (context.now(), self.backend.store.revision());
        let interval = self.flags.watch_progress_notify_interval;
        let Watches { open, streams } = &mut running.watches;
        streams.retain(|client, due| {
            if *due > now {
                return true;
            }
            *due = now + pause(interval, *client);
            let mut is_open = false;
            for ((_, id), watch) in open.iter_mut().filter(|((watcher, _), _)| watcher == client) {
                is_open |= watch.with_progress;
                if watch.with_progress && !watch.has_news && watch.next <= revision + 1 {
                    tell_progress(*client, *id, revision, context);
                }
                watch.has_news = false;
            }
            is_open
        });
    }

    pub(super) fn end_leaderless_watches(&mut self, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        if running.leaderless_since.is_none_or(|since| context.now().since(since) < NO_LEADER) {
            return;
        }
        for (client, id) in std::mem::take(&mut running.watches.open).into_keys() {
            self.reply(client, id, Err(Error::NoLeader), context);
        }
    }
}
