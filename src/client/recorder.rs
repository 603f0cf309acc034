//! Events: what components tell people about objects, without drowning the API server in it.
//!
//! Picture to hold in mind: a clerk with a rubber stamp between a chatterbox and the notice board. The same
//! notice again only raises a counter; ten notices that differ in a detail become one; who goes on talking
//! about one thing is allowed a new notice every five minutes.
//!
//! After client-go's `tools/record` (`events_cache.go`: aggregator, spam filter, logger) for core/v1 events
//! and `tools/events` for events.k8s.io/v1, which the scheduler uses.

use std::collections::VecDeque;

use crate::api::{Text, Value, time};
use crate::language::Context;
use crate::message::rest::{PatchType, Request, Resource};
use crate::object;
use crate::shared_map::SharedMap;
use crate::sim::{Duration, Time};

use super::connection::Connection;
use super::request;

/// Similar events within ten minutes from which on they are combined.
const AGGREGATE_FROM: usize = 10;
const AGGREGATE_WITHIN: Duration = Duration::from_secs(600);
/// Events about one object that one source may send in a burst; afterwards one each `SPAM_REFILL`.
const SPAM_BURST: u64 = 25;
const SPAM_REFILL: Duration = Duration::from_secs(300);
/// Entries that each memory keeps at most.
const CACHE: usize = 4096;

/// Which of the two event APIs a component speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventApi {
    /// `v1`: with `source`, `count`, first and last timestamps.
    Core,
    /// `events.k8s.io/v1`: with `reportingController`, `action`, `eventTime`.
    Events,
}

/// An event before it is correlated.
#[derive(Clone, Debug)]
pub struct EventDraft {
    /// The ObjectReference.
    pub about: Value,
    pub kind: &'static str,
    pub reason: Text,
    pub message: Text,
    /// For events.k8s.io: what was tried (`Binding`, `Scheduling`).
    pub action: &'static str,
    /// For events.k8s.io: a second object.
    pub related: Value,
}

impl EventDraft {
    pub fn about(object: &Value, kind: &'static str, reason: &str, message: Text) -> EventDraft {
        EventDraft {
            about: reference(object),
            kind,
            reason: reason.into(),
            message,
            action: "",
            related: Value::Null,
        }
    }
    /// Names a part of the object: `spec.containers{nginx}`.
    #[must_use]
    pub fn field_path(mut self, path: &str) -> EventDraft {
        self.about.set("fieldPath", path);
        self
    }
    #[must_use]
    pub fn action(mut self, action: &'static str) -> EventDraft {
        self.action = action;
        self
    }
}

/// The ObjectReference of `object` (`tools/reference.GetReference`).
pub fn reference(object: &Value) -> Value {
    let mut reference = object! {
        "kind" => object.at("kind"),
        "apiVersion" => object.at("apiVersion"),
        "name" => object.at("metadata.name"),
        "uid" => object.at("metadata.uid"),
        "resourceVersion" => object.at("metadata.resourceVersion"),
    };
    if object.has("metadata.namespace") {
        reference.set("namespace", object.at("metadata.namespace"));
    }
    reference
}

#[derive(Clone)]
pub struct Recorder {
    api: EventApi,
    /// `deployment-controller`, `kubelet`.
    component: Text,
    /// The node, for components of one.
    host: Text,
    window: usize,
    similar: SharedMap<Text, Similar>,
    spam: SharedMap<Text, Bucket>,
    logged: SharedMap<Text, Logged>,
    /// The sink sends one event at a time.
    waiting: VecDeque<Request>,
    is_sending: bool,
    names: u64,
}

#[derive(Clone)]
struct Similar {
    messages: Vec<Text>,
    last_at: Time,
}

#[derive(Clone)]
struct Bucket {
    tokens_us: u64,
    filled_at: Time,
}

#[derive(Clone)]
struct Logged {
    name: Text,
    count: i64,
    last_at: Time,
}

impl Recorder {
    pub fn new(api: EventApi, component: &str, host: &str, window: usize) -> Recorder {
        Recorder {
            api,
            component: component.into(),
            host: host.into(),
            window,
            similar: SharedMap::new(),
            spam: SharedMap::new(),
            logged: SharedMap::new(),
            waiting: VecDeque::new(),
            is_sending: false,
            names: 0,
        }
    }
    /// Forgets everything, as a restarted process does.
    pub fn restart(&mut self) {
        *self = Recorder::new(self.api, &self.component, &self.host, self.window);
    }

    /// Records `draft`; the answer to what is sent comes back under `purpose`, for [`Recorder::sent`].
    pub fn record<P: Clone>(
        &mut self,
        context: &mut Context,
        connection: &mut Connection<P>,
        draft: EventDraft,
        purpose: P,
    ) {
        let Some(request) = self.correlate(draft, context.now()) else { return };
        self.waiting.push_back(request);
        self.pump(context, connection, purpose);
    }
    /// The last event has been answered, well or not: the next one may go.
    pub fn sent<P: Clone>(&mut self, context: &mut Context, connection: &mut Connection<P>, purpose: P) {
        self.is_sending = false;
        self.pump(context, connection, purpose);
    }
    fn pump<P: Clone>(&mut self, context: &mut Context, connection: &mut Connection<P>, purpose: P) {
        if self.is_sending {
            return;
        }
        if let Some(request) = self.waiting.pop_front() {
            self.is_sending = true;
            connection.send(context, self.window, request, purpose);
        }
    }

    fn correlate(&mut self, draft: EventDraft, now: Time) -> Option<Request> {
        let about = &draft.about;
        let parts = ["kind", "namespace", "name", "uid", "fieldPath"].map(|field| about.text(field));
        let object_key = Text::from(parts.join("/"));
        let similar_key = Text::from([&object_key, draft.kind, &draft.reason].join("/"));
        let (key, message) = match self.api {
            EventApi::Core => self.aggregate(&similar_key, &draft.message, now),
            EventApi::Events => (similar_key.clone(), draft.message.clone()),
        };
        if self.api == EventApi::Core && !self.passes_spam_filter(&object_key, now) {
            return None;
        }
        evict(&mut self.logged);
        let namespace: Text = match about.text("namespace") {
            "" => "default".into(),
            namespace => namespace.into(),
        };
        if let Some(logged) = self.logged.get_mut(&key) {
            logged.count += 1;
            logged.last_at = now;
            let logged = logged.clone();
            return Some(self.repeated(&logged, &namespace, &message, now));
        }
        self.names += 1;
        // Nanoseconds since 1970; the last three digits tell apart what one microsecond holds.
        let nanos = time::unix_us(now) * 1000 + (self.names % 1000) as i64;
        let name = arcstr::format!("{}.{nanos:x}", about.text("name"));
        self.logged.insert(key, Logged { name: name.clone(), count: 1, last_at: now });
        let event = match self.api {
            EventApi::Core => self.core_event(&draft, &name, &namespace, message, now),
            EventApi::Events => self.new_event(&draft, &name, &namespace, message, now),
        };
        Some(request::create(&self.resource(), &namespace, event))
    }

    /// The key under which the event is counted, and its message.
    fn aggregate(&mut self, similar_key: &Text, message: &Text, now: Time) -> (Text, Text) {
        evict(&mut self.similar);
        let similar = self.similar.entry(similar_key, || Similar { messages: Vec::new(), last_at: now });
        if now.since(similar.last_at) > AGGREGATE_WITHIN {
            similar.messages.clear();
        }
        similar.last_at = now;
        if !similar.messages.contains(message) {
            similar.messages.push(message.clone());
        }
        if similar.messages.len() < AGGREGATE_FROM {
            return ([similar_key.as_str(), message].join("/").into(), message.clone());
        }
        similar.messages.remove(0);
        (similar_key.clone(), arcstr::format!("(combined from similar events): {message}"))
    }

    fn passes_spam_filter(&mut self, object_key: &Text, now: Time) -> bool {
        evict(&mut self.spam);
        let full = SPAM_BURST * SPAM_REFILL.0;
        let bucket = self.spam.entry(object_key, || Bucket { tokens_us: full, filled_at: now });
        bucket.tokens_us = (bucket.tokens_us + now.since(bucket.filled_at).0).min(full);
        bucket.filled_at = now;
        let passes = bucket.tokens_us >= SPAM_REFILL.0;
        if passes {
            bucket.tokens_us -= SPAM_REFILL.0;
        }
        passes
    }

    fn resource(&self) -> Resource {
        match self.api {
            EventApi::Core => Resource::new("", "v1", "events"),
            EventApi::Events => Resource::new("events.k8s.io", "v1", "events"),
        }
    }

    /// The patch that counts an event up.
    fn repeated(&self, logged: &Logged, namespace: &Text, message: &Text, now: Time) -> Request {
        let (kind, patch) = match self.api {
            EventApi::Core => (
                PatchType::StrategicMerge,
                object! {
                    "count" => logged.count,
                    "lastTimestamp" => time::rfc3339(now),
                    "message" => message,
                },
            ),
            EventApi::Events => (
                PatchType::StrategicMerge,
                object! {
                    "series" => object! { "count" => logged.count, "lastObservedTime" => time::micro_time(now) },
                },
            ),
        };
        request::patch(&self.resource(), namespace, &logged.name, kind, patch)
    }

    fn core_event(
        &self,
        draft: &EventDraft,
        name: &Text,
        namespace: &Text,
        message: Text,
        now: Time,
    ) -> Value {
        let mut source = object! { "component" => &self.component };
        if !self.host.is_empty() {
            source.set("host", &self.host);
        }
        let now = time::rfc3339(now);
        object! {
            "apiVersion" => "v1",
            "kind" => "Event",
            "metadata" => object! { "name" => name, "namespace" => namespace },
            "involvedObject" => &draft.about,
            "reason" => &draft.reason,
            "message" => message,
            "source" => source,
            "firstTimestamp" => &now,
            "lastTimestamp" => &now,
            "count" => 1,
            "type" => draft.kind,
            "eventTime" => Value::Null,
            "reportingComponent" => &self.component,
            "reportingInstance" => &self.host,
        }
    }

    fn new_event(
        &self,
        draft: &EventDraft,
        name: &Text,
        namespace: &Text,
        message: Text,
        now: Time,
    ) -> Value {
        let mut event = object! {
            "apiVersion" => "events.k8s.io/v1",
            "kind" => "Event",
            "metadata" => object! { "name" => name, "namespace" => namespace },
            "eventTime" => time::micro_time(now),
            "reportingController" => &self.component,
            "reportingInstance" => arcstr::format!("{}-{}", self.component, self.host),
            "action" => draft.action,
            "reason" => &draft.reason,
            "regarding" => &draft.about,
            "note" => message,
            "type" => draft.kind,
        };
        if !draft.related.is_null() {
            event.set("related", &draft.related);
        }
        event
    }
}

/// Makes room where a memory is full: the smallest key goes, for want of a use order worth its cost.
fn evict<V: Clone>(memory: &mut SharedMap<Text, V>) {
    let smallest = memory.keys().next().filter(|_| memory.len() >= CACHE).cloned();
    if let Some(smallest) = smallest {
        memory.remove(&smallest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::rest::Verb;

    fn draft(message: &str) -> EventDraft {
        let pod = object! { "kind" => "Pod", "metadata" => object! { "namespace" => "a", "name" => "x" } };
        EventDraft::about(&pod, "Warning", "BackOff", message.into())
    }

    #[test]
    fn the_same_event_again_raises_its_count() {
        let mut recorder = Recorder::new(EventApi::Core, "kubelet", "n1", 0);
        let first = recorder.correlate(draft("m"), Time::from_secs(1)).unwrap();
        let second = recorder.correlate(draft("m"), Time::from_secs(2)).unwrap();
        assert_eq!((first.verb, second.verb), (Verb::Create, Verb::Patch(PatchType::StrategicMerge)));
        assert_eq!(second.body.integer("count"), Some(2));
        assert_eq!(second.name, first.name);
    }

    #[test]
    fn the_tenth_similar_event_is_combined() {
        let mut recorder = Recorder::new(EventApi::Core, "kubelet", "n1", 0);
        let messages: Vec<String> = (0..10)
            .map(|number| {
                let event =
                    recorder.correlate(draft(&format!("m{number}")), Time::from_secs(number)).unwrap();
                event.body.text("message").to_string()
            })
            .collect();
        assert_eq!(messages[8], "m8");
        assert_eq!(messages[9], "(combined from similar events): m9");
    }

    #[test]
    fn a_chatterbox_is_silenced_after_its_burst() {
        let mut recorder = Recorder::new(EventApi::Core, "kubelet", "n1", 0);
        let sent = (0..100).filter(|_| recorder.correlate(draft("m"), Time::from_secs(1)).is_some()).count();
        assert_eq!(sent, 25);
        assert!(recorder.correlate(draft("m"), Time::from_secs(302)).is_some());
    }
}
