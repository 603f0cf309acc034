//! Watches: opening them, telling them, keeping them, ending them.
//!
//! Picture to hold in mind: newsletters. A subscriber says up to which issue it has read; it gets the issues since,
//! then each new one as it appears; now and then a slip that says only "you have missed nothing up to here"; and one
//! day a polite note to subscribe again.
//!
//! Follows `k8s.io/apiserver/pkg/storage/cacher` (cacher.go `Watch`, cache_watcher.go) and
//! `pkg/endpoints/handlers/watch.go`.

use std::sync::Arc;

use crate::api::status::Status;
use crate::api::{Value, meta};
use crate::language::Context;
use crate::message::Message;
use crate::message::rest::{CloseReason, Closed, Response, WatchEvent, WatchType};
use crate::sim::Duration;

use super::ApiServer;
use super::cache::Event;
use super::catalog::Route;
use super::exchange::{Answer, Exchange, Step};
use super::filter::Filter;
use super::form::Form;
use super::read::parse_revision;
use super::watchers::{ExchangeId, Watcher};

/// `--min-request-timeout`: watches that name no time last between this and twice this.
const MIN_REQUEST_TIMEOUT_SECONDS: u64 = 1800;
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// Sends one slip.
fn send(watcher: &mut Watcher, kind: WatchType, object: Value, context: &mut Context) {
    let (client, id) = watcher.exchange;
    let event = WatchEvent { id, sequence: watcher.sequence, kind, object };
    watcher.sequence += 1;
    context.send(client, Message::Watch(Arc::new(event)));
}

/// Sends an object in the watcher's form.
fn tell(watcher: &mut Watcher, kind: WatchType, object: &Value, context: &mut Context) {
    let object = watcher.form.event(object, context.now(), watcher.sequence == 0);
    send(watcher, kind, object, context);
}

impl ApiServer {
    pub(super) fn begin_watch(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let options = &request.options;
        check_watch_options(&request)?;
        Filter::new(&route.info, &request)?;
        let revision = parse_revision(&options.resource_version)?;
        if options.send_initial_events {
            if options.resource_version.is_empty() {
                return Ok(self.ask_revision(exchange, cache));
            }
            if revision > self.feed.revision() {
                return Ok(Step::AwaitRevision(revision));
            }
        }
        self.open_stream(exchange, route, cache, context)
    }

    /// Answers with the opening of a stream, tells what it has missed, and registers it.
    pub(super) fn open_stream(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        number: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let options = &request.options;
        let filter = Arc::new(Filter::new(&route.info, &request)?);
        self.fillable(&route.info, number, &request.resource.version)?;
        let revision = parse_revision(&options.resource_version)?;
        let now = context.now();
        let seconds = options.timeout_seconds.filter(|seconds| *seconds > 0).unwrap_or_else(|| {
            MIN_REQUEST_TIMEOUT_SECONDS + context.random().below(MIN_REQUEST_TIMEOUT_SECONDS)
        });
        let mut watcher = Watcher {
            exchange: exchange.id,
            sequence: 0,
            filter: Arc::clone(&filter),
            form: Arc::new(Form::new(&route.info, &request)),
            bookmarks: options.allow_watch_bookmarks,
            opened: now,
            until: now + Duration::from_secs(seconds),
            from_revision: revision.max(self.feed.revision()),
        };
        let id = exchange.id.1;
        let opening = Response {
            id,
            code: 200,
            body: Value::Null,
            warnings: exchange.warnings.clone(),
            retry_after_seconds: None,
        };
        context.send(exchange.id.0, Message::Response(Arc::new(opening)));
        self.note(exchange, &Answer::new(200, Value::Null), context);
        let Some(cache) = self.caches.get(number) else { return Err(Status::no_such_path()) };

        if revision == 0 || options.send_initial_events {
            let state: Vec<Value> = cache
                .list(&filter.namespace)
                .filter(|(_, object)| !filter.has_selector() || filter.matches(object))
                .map(|(_, object)| object.clone())
                .collect();
            for object in &state {
                tell(&mut watcher, WatchType::Added, object, context);
            }
            if options.send_initial_events && options.allow_watch_bookmarks {
                let bookmark = watcher.form.bookmark(self.feed.revision(), true);
                send(&mut watcher, WatchType::Bookmark, bookmark, context);
            }
        } else {
            match cache.window.since(revision) {
                Err(oldest) => {
                    let message = format!("too old resource version: {revision} ({oldest})");
                    send(&mut watcher, WatchType::Error, Status::expired(message).to_value(), context);
                    return Ok(Step::Opened);
                }
                Ok(events) => {
                    for event in events {
                        match filter.transition(event) {
                            None => {}
                            Some(WatchType::Deleted) if !event.deleted => {
                                let mut object = event.previous.clone().unwrap_or_default();
                                meta::set_resource_version(&mut object, event.revision);
                                tell(&mut watcher, WatchType::Deleted, &object, context);
                            }
                            Some(kind) => tell(&mut watcher, kind, &event.object, context),
                        }
                    }
                }
            }
        }
        self.streams.insert(exchange.id, number);
        self.ends.insert((watcher.until, exchange.id), ());
        if watcher.bookmarks {
            // Spread over a second or so, like the buckets of the real server.
            self.bookmarks.insert((now + BOOKMARK_INTERVAL, exchange.id), ());
        }
        if let Some(cache) = self.caches.get_mut(number) {
            Arc::make_mut(cache).watchers.insert(watcher);
        }
        Ok(Step::Opened)
    }

    /// Tells a change to everybody whom it concerns.
    pub(super) fn tell(&mut self, number: usize, event: &Event, context: &mut Context) {
        if self.catalog.by_cache.get(number).is_some_and(|info| info.definition.is_some()) {
            self.end_unfilled(number, event, context);
        }
        if let Some(cache) = self.caches.get_mut(number) {
            Arc::make_mut(cache).watchers.dispatch(event, |watcher, kind, object| {
                tell(watcher, kind, object, context);
            });
        }
    }

    /// A custom resource that no webhook converts ends the watches of all versions but its own.
    fn end_unfilled(&mut self, number: usize, event: &Event, context: &mut Context) {
        let catalog = Arc::clone(&self.catalog);
        let (Some(cache), Some(info)) = (self.caches.get(number), catalog.by_cache.get(number)) else {
            return;
        };
        let version = |watcher: &Watcher| meta::split_api_version(&watcher.form.api_version).1.to_owned();
        let is_cut = |watcher: &&Watcher| self.convertible(info, &version(watcher), &event.object).is_err();
        let cut: Vec<ExchangeId> =
            cache.watchers.iter().filter(is_cut).map(|watcher| watcher.exchange).collect();
        for exchange in cut {
            self.end_stream(exchange);
            context.send(exchange.0, Message::Closed(Closed { id: exchange.1, why: CloseReason::TimedOut }));
        }
    }

    /// Forgets a stream; false if there was none.
    pub(super) fn end_stream(&mut self, exchange: ExchangeId) -> bool {
        let Some(number) = self.streams.get(&exchange).copied() else { return false };
        self.streams.remove(&exchange);
        if let Some(cache) = self.caches.get_mut(number)
            && let Some(watcher) = Arc::make_mut(cache).watchers.remove(exchange)
        {
            self.ends.remove(&(watcher.until, exchange));
        }
        true
    }

    /// Ends a stream with an error: its client must list again.
    pub(super) fn fail_stream(&mut self, exchange: ExchangeId, message: &str, context: &mut Context) {
        let Some(number) = self.streams.get(&exchange).copied() else { return };
        if let Some(cache) = self.caches.get_mut(number)
            && let Some(watcher) = Arc::make_mut(cache).watchers.get_mut(exchange)
        {
            send(watcher, WatchType::Error, Status::expired(message).to_value(), context);
        }
        self.end_stream(exchange);
    }

    /// Once a second: bookmarks that are due, streams whose time is over.
    pub(super) fn look_after_streams(&mut self, context: &mut Context) {
        let now = context.now();
        while let Some(((due, exchange), ())) = self.bookmarks.first() {
            let (due, exchange) = (*due, *exchange);
            if due > now {
                break;
            }
            self.bookmarks.remove(&(due, exchange));
            let Some(number) = self.streams.get(&exchange).copied() else { continue };
            let revision = self.feed.revision();
            if let Some(cache) = self.caches.get_mut(number)
                && let Some(watcher) = Arc::make_mut(cache).watchers.get_mut(exchange)
                // A number that a client gave anew has a bookmark of its own.
                && watcher.bookmarks
                && now.since(watcher.opened) >= BOOKMARK_INTERVAL
            {
                let bookmark = watcher.form.bookmark(revision, false);
                send(watcher, WatchType::Bookmark, bookmark, context);
                self.bookmarks.insert((now + BOOKMARK_INTERVAL, exchange), ());
            }
        }
        while let Some(((until, exchange), ())) = self.ends.first() {
            let (until, exchange) = (*until, *exchange);
            if until > now {
                break;
            }
            self.ends.remove(&(until, exchange));
            if self.end_stream(exchange) {
                let closed = Closed { id: exchange.1, why: CloseReason::TimedOut };
                context.send(exchange.0, Message::Closed(closed));
            }
        }
    }
}

/// Follows `ValidateListOptions` for watches.
fn check_watch_options(request: &crate::message::rest::Request) -> Result<(), Status> {
    use crate::api::field::{FieldError, FieldPath};
    use crate::api::kind::GroupKind;
    let options = &request.options;
    let path = FieldPath::new("resourceVersionMatch");
    let mut errors = Vec::new();
    match (options.send_initial_events, options.resource_version_match.as_str()) {
        (false, "") | (true, "NotOlderThan") => {}
        (false, _) => errors.push(FieldError::forbidden(
            &path,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        (true, "") => errors.push(FieldError::forbidden(
            &path,
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        (true, other) => errors.push(FieldError::not_supported(&path, other, &["NotOlderThan"])),
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &errors))
    }
}
