//! A toy world for tests: one API server without rules, and the actors under test.
//!
//! Picture to hold in mind: a sandbox with a postman. It files what it is given, stamps versions, tells whoever
//! watches, and lets a pod run a tenth of a second after it has a node. It refuses only stale versions.

use std::sync::Arc;

use super::store::key_of;
use crate::api::{Text, Value, meta, time};
use crate::command::Command;
use crate::language::{Context, Input, Wire};
use crate::message::Message;
use crate::message::rest::{PatchType, Request, Response, User, Verb, WatchEvent, WatchType};
use crate::object;
use crate::sim::{ActorId, Duration, Engine, HostId, Network, Time, Trace, World, actor::Control};
use crate::sorted::SortedMap;
use crate::timer::{ApiServerTimer, Timer};

/// What can be put under test.
pub trait Process {
    fn handle(&mut self, input: Input, context: &mut Context);
    fn copy(&self) -> Box<dyn Process>;
}

pub const SERVER: ActorId = ActorId(0);

pub struct Toy {
    pub server: Server,
    processes: Vec<Box<dyn Process>>,
}

impl Clone for Toy {
    fn clone(&self) -> Toy {
        Toy { server: self.server.clone(), processes: self.processes.iter().map(|p| p.copy()).collect() }
    }
}

impl World for Toy {
    type Language = Wire;
    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        match actor {
            SERVER => self.server.handle(input, context),
            ActorId(number) => self.processes[number as usize - 1].handle(input, context),
        }
    }
    fn command(&mut self, _: &Command, control: &mut Control<Wire>) {
        if control.now() == Time::ZERO {
            for _ in 0..=self.processes.len() {
                let actor = control.create(HostId(1));
                control.start(actor);
            }
        } else {
            // The outside has changed objects: the server tells its watchers.
            control.wake(SERVER, Timer::ApiServer(ApiServerTimer::Housekeeping));
        }
    }
}

/// A running toy world.
pub struct Sandbox {
    pub engine: Engine<Toy>,
    pub trace: Trace<Wire>,
}

impl Sandbox {
    pub fn new(objects: Vec<Value>, processes: Vec<Box<dyn Process>>) -> Sandbox {
        let mut server = Server::default();
        for object in objects {
            server.create(object, Time::ZERO);
        }
        let mut engine = Engine::new(7, Toy { server, processes }, Network::default());
        let mut trace = Trace::default();
        engine.command(&Command::HealNetwork, &mut trace);
        Sandbox { engine, trace }
    }
    pub fn run(&mut self, seconds: u64) {
        let until = self.engine.now() + Duration::from_secs(seconds);
        self.engine.run_until(until, &mut self.trace);
    }
    /// Does `act` to the server from outside.
    pub fn act(&mut self, act: impl FnOnce(&mut Server, Time)) {
        let now = self.engine.now();
        act(&mut self.engine.world.server, now);
        self.engine.command(&Command::HealNetwork, &mut self.trace);
    }
    pub fn server(&self) -> &Server {
        &self.engine.world.server
    }
}

#[derive(Clone, Default)]
pub struct Server {
    pub objects: SortedMap<Text, SortedMap<Text, Value>>,
    watches: Vec<Watch>,
    pending: Vec<(WatchType, Text, Value, Option<Value>)>,
    pub revision: u64,
    /// Pods to be running at an instant.
    starting: Vec<(Time, Text)>,
    dying: Vec<(Time, Text)>,
    /// `agent verb resource[/subresource] name code`.
    pub log: Vec<String>,
    /// Gives a node to every new pod, where no scheduler is under test.
    pub assigns_nodes: bool,
}

#[derive(Clone)]
struct Watch {
    client: ActorId,
    id: u64,
    plural: Text,
    namespace: Text,
    field_selector: Text,
    sequence: u64,
}

fn selects(selector: &str, object: &Value) -> bool {
    selector.split(',').filter(|term| !term.is_empty()).all(|term| {
        if let Some((path, value)) = term.split_once("!=") {
            object.text(path) != value
        } else if let Some((path, value)) = term.split_once('=') {
            object.text(path) == value
        } else {
            true
        }
    })
}

impl Server {
    pub fn get(&self, plural: &str, key: &str) -> Option<&Value> {
        self.objects.get(plural)?.get(key)
    }
    pub fn all(&self, plural: &str) -> Vec<&Value> {
        self.objects.get(plural).into_iter().flat_map(|objects| objects.values()).collect()
    }
    /// The log without reads, events and leases.
    pub fn writes(&self) -> Vec<&str> {
        self.log
            .iter()
            .map(String::as_str)
            .filter(|line| !line.contains(" events ") && !line.contains(" leases "))
            .collect()
    }
    fn plural(kind: &str) -> Text {
        match kind {
            "Endpoints" => "endpoints".into(),
            kind if kind.ends_with('y') => {
                arcstr::format!("{}ies", kind[..kind.len() - 1].to_ascii_lowercase())
            }
            kind if kind.ends_with("ss") => arcstr::format!("{}es", kind.to_ascii_lowercase()),
            kind => arcstr::format!("{}s", kind.to_ascii_lowercase()),
        }
    }
    pub fn create(&mut self, object: Value, now: Time) -> Value {
        let plural = Server::plural(object.text("kind"));
        self.create_at(&plural, object, now)
    }
    fn create_at(&mut self, plural: &Text, mut object: Value, now: Time) -> Value {
        self.revision += 1;
        if object.text("metadata.name").is_empty() {
            let name = format!("{}{:05}", object.text("metadata.generateName"), self.revision);
            object.set("metadata.name", name);
        }
        object.set_default("metadata.uid", format!("uid-{}", self.revision));
        object.set_default("metadata.creationTimestamp", time::rfc3339(now));
        object.set_default("metadata.generation", 1);
        if plural == "namespaces" {
            object.set_default("status.phase", "Active");
            object.set_default("spec.finalizers", vec![Value::from("kubernetes")]);
        }
        if plural == "pods" {
            object.set_default("status.phase", "Pending");
            if self.assigns_nodes {
                let required =
                    object.at("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
                let named = required
                    .items("nodeSelectorTerms")
                    .first()
                    .and_then(|term| term.items("matchFields").first()?.items("values").first().cloned());
                object.set_default("spec.nodeName", named.unwrap_or_else(|| "node-1".into()));
            }
            if object.has("spec.nodeName") {
                self.starting.push((now + Duration::from_millis(100), key_of(&object)));
            }
        }
        self.put(WatchType::Added, plural, object)
    }
    fn put(&mut self, kind: WatchType, plural: &Text, mut object: Value) -> Value {
        self.revision += 1;
        object.set("metadata.resourceVersion", self.revision.to_string());
        let old = self.objects.entry(plural.clone()).or_default().insert(key_of(&object), object.clone());
        self.pending.push((kind, plural.clone(), object.clone(), old));
        object
    }
    /// Changes an object from outside.
    pub fn change(&mut self, plural: &str, key: &str, change: impl FnOnce(&mut Value)) {
        let old = self.objects[plural][key].clone();
        let mut object = old.clone();
        change(&mut object);
        self.replace(&plural.into(), &old, object);
    }
    fn replace(&mut self, plural: &Text, old: &Value, mut object: Value) -> Value {
        if object == *old {
            return object;
        }
        if object.at("spec") != old.at("spec") {
            object.set("metadata.generation", meta::generation(old) + 1);
        }
        let runs = plural == "pods" && !matches!(object.text("status.phase"), "Succeeded" | "Failed");
        if meta::is_deleting(&object) && object.items("metadata.finalizers").is_empty() && !runs {
            let is_final = plural != "namespaces" || object.items("spec.finalizers").is_empty();
            if is_final {
                self.remove(plural, &key_of(&object));
                return object;
            }
        }
        self.put(WatchType::Modified, plural, object)
    }
    pub fn remove(&mut self, plural: &Text, key: &str) {
        if let Some(mut object) = self.objects.get_mut(plural).and_then(|objects| objects.remove(key)) {
            self.revision += 1;
            object.set("metadata.resourceVersion", self.revision.to_string());
            self.pending.push((WatchType::Deleted, plural.clone(), object.clone(), Some(object)));
        }
    }
    pub fn delete(&mut self, plural: &str, key: &str, policy: &str, now: Time) {
        let plural = Text::from(plural);
        let Some(old) = self.get(&plural, key).cloned() else { return };
        let mut object = old.clone();
        match policy {
            "Foreground" => {
                meta::add_finalizer(&mut object, "foregroundDeletion");
            }
            "Orphan" => {
                meta::add_finalizer(&mut object, "orphan");
            }
            _ => {}
        }
        let runs = plural == "pods"
            && object.has("spec.nodeName")
            && !matches!(object.text("status.phase"), "Succeeded" | "Failed");
        let is_held = runs || plural == "namespaces" || !object.items("metadata.finalizers").is_empty();
        if !is_held {
            return self.remove(&plural, key);
        }
        if !meta::is_deleting(&object) {
            object.set("metadata.deletionTimestamp", time::rfc3339(now));
            if runs {
                self.dying.push((now + Duration::from_secs(1), key.into()));
            }
            if plural == "namespaces" {
                object.set("status.phase", "Terminating");
            }
            self.put(WatchType::Modified, &plural, object);
        }
    }

    fn tick(&mut self, now: Time) {
        let due: Vec<Text> =
            self.starting.iter().filter(|(time, _)| *time <= now).map(|(_, key)| key.clone()).collect();
        self.starting.retain(|(time, _)| *time > now);
        for key in due {
            if let Some(pod) = self.get("pods", &key).cloned() {
                let since = time::rfc3339(now);
                let ready = object! { "type" => "Ready", "status" => "True", "lastTransitionTime" => since };
                let mut pod = pod.with("status.phase", "Running");
                pod.set("status.conditions", vec![ready]);
                pod.set("status.podIP", format!("10.244.0.{}", self.revision % 250));
                self.put(WatchType::Modified, &"pods".into(), pod);
            }
        }
        let gone: Vec<Text> =
            self.dying.iter().filter(|(time, _)| *time <= now).map(|(_, key)| key.clone()).collect();
        self.dying.retain(|(time, _)| *time > now);
        for key in gone {
            let held = self.get("pods", &key).filter(|pod| !pod.items("metadata.finalizers").is_empty());
            match held.cloned() {
                Some(pod) => {
                    let pod = pod.with("status.phase", "Failed");
                    self.put(WatchType::Modified, &"pods".into(), pod);
                }
                None => self.remove(&"pods".into(), &key),
            }
        }
    }

    fn handle(&mut self, input: Input, context: &mut Context) {
        let now = context.now();
        match input {
            Input::Start => {
                context.periodic(
                    Duration::from_millis(50),
                    Timer::ApiServer(ApiServerTimer::Handled { client: SERVER, id: 0 }),
                );
            }
            Input::Timer(Timer::ApiServer(ApiServerTimer::Handled { .. })) => {
                context.periodic(
                    Duration::from_millis(50),
                    Timer::ApiServer(ApiServerTimer::Handled { client: SERVER, id: 0 }),
                );
                self.tick(now);
            }
            Input::Timer(_) => {}
            Input::Message { from, message: Message::Request(request) } => {
                let (code, body) = match self.serve(&request, from, now) {
                    Ok(body) => (if request.verb == Verb::Create { 201 } else { 200 }, body),
                    Err((code, reason)) => {
                        (code, object! { "kind" => "Status", "reason" => reason, "message" => reason })
                    }
                };
                if !request.verb.is_read() {
                    self.log.push(format!(
                        "{} {} {}{}{} {} {code}",
                        request.user_agent,
                        request.verb,
                        request.resource.plural,
                        if request.subresource.is_empty() { "" } else { "/" },
                        request.subresource,
                        request.name
                    ));
                }
                let response =
                    Response { id: request.id, code, body, warnings: Vec::new(), retry_after_seconds: None };
                context.send(from, Message::Response(Arc::new(response)));
            }
            Input::Message { from, message: Message::Closed(closed) } => {
                self.watches.retain(|watch| (watch.client, watch.id) != (from, closed.id));
            }
            Input::Message { .. } => {}
        }
        for (kind, plural, object, old) in std::mem::take(&mut self.pending) {
            for watch in self.watches.iter_mut().filter(|watch| watch.plural == plural) {
                if !watch.namespace.is_empty() && watch.namespace != meta::namespace(&object) {
                    continue;
                }
                let (is_in, was_in) = (
                    selects(&watch.field_selector, &object),
                    old.as_ref().is_some_and(|old| selects(&watch.field_selector, old)),
                );
                let kind = match (kind, was_in, is_in) {
                    (WatchType::Deleted, true, _) | (_, true, false) => WatchType::Deleted,
                    (_, true, true) => WatchType::Modified,
                    (_, false, true) => WatchType::Added,
                    _ => continue,
                };
                let event =
                    WatchEvent { id: watch.id, sequence: watch.sequence, kind, object: object.clone() };
                watch.sequence += 1;
                context.send(watch.client, Message::Watch(Arc::new(event)));
            }
        }
    }

    fn serve(&mut self, request: &Request, from: ActorId, now: Time) -> Result<Value, (u16, &'static str)> {
        let plural = &request.resource.plural;
        let key = super::store::key(&request.namespace, &request.name);
        let found = self.get(plural, &key).cloned().ok_or((404, "NotFound"));
        match request.verb {
            Verb::Get => found,
            Verb::List => {
                let items: Vec<Value> = self
                    .all(plural)
                    .into_iter()
                    .filter(|object| {
                        (request.namespace.is_empty() || meta::namespace(object) == request.namespace)
                            && selects(&request.options.field_selector, object)
                    })
                    .cloned()
                    .collect();
                let version = self.revision.to_string();
                Ok(object! { "metadata" => object! { "resourceVersion" => version }, "items" => items })
            }
            Verb::Watch => {
                self.watches.push(Watch {
                    client: from,
                    id: request.id,
                    plural: plural.clone(),
                    namespace: request.namespace.clone(),
                    field_selector: request.options.field_selector.clone(),
                    sequence: 0,
                });
                Ok(Value::object())
            }
            Verb::Create if request.subresource == "binding" => {
                let pod = found?;
                if pod.has("spec.nodeName") {
                    return Err((409, "Conflict"));
                }
                self.starting.push((now + Duration::from_millis(100), key));
                let pod = pod.with("spec.nodeName", request.body.at("target.name"));
                Ok(self.put(WatchType::Modified, plural, pod))
            }
            Verb::Create => {
                if found.is_ok() && !request.name.is_empty() {
                    return Err((409, "AlreadyExists"));
                }
                let mut body = request.body.clone();
                if !request.namespace.is_empty() {
                    body.set("metadata.namespace", &request.namespace);
                }
                Ok(self.create_at(plural, body, now))
            }
            Verb::Update => {
                let old = found?;
                let version = request.body.text("metadata.resourceVersion");
                if !version.is_empty() && version != old.text("metadata.resourceVersion") {
                    return Err((409, "Conflict"));
                }
                let mut object = request.body.clone();
                if request.subresource == "status" {
                    object.set("spec", old.at("spec"));
                } else if old.has("status") {
                    object.set("status", old.at("status"));
                }
                Ok(self.replace(plural, &old, object))
            }
            Verb::Patch(PatchType::StrategicMerge | PatchType::Merge) => {
                let old = found?;
                let mut object = old.clone();
                merge(&mut object, &request.body, "", request.verb == Verb::Patch(PatchType::StrategicMerge));
                Ok(self.replace(plural, &old, object))
            }
            Verb::Patch(_) => Err((415, "UnsupportedMediaType")),
            Verb::Delete => {
                let old = found?;
                let uid = &request.options.precondition_uid;
                if !uid.is_empty() && uid != meta::uid(&old) {
                    return Err((409, "Conflict"));
                }
                self.delete(plural, &key, &request.options.propagation_policy, now);
                Ok(old)
            }
            Verb::DeleteCollection => {
                let keys: Vec<Text> = self
                    .all(plural)
                    .into_iter()
                    .filter(|object| meta::namespace(object) == request.namespace)
                    .map(key_of)
                    .collect();
                for key in keys {
                    self.delete(plural, &key, &request.options.propagation_policy, now);
                }
                Ok(Value::object())
            }
        }
    }
}

/// Enough of strategic merge for what controllers send.
fn merge(target: &mut Value, patch: &Value, field: &str, strategic: bool) {
    match patch {
        Value::Object(fields) => {
            for (name, value) in fields.iter() {
                if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
                    let gone = value.as_array().unwrap_or(&[]);
                    target.at_mut(list).make_array().retain(|item| !gone.contains(item));
                } else if name.starts_with("$setElementOrder") {
                } else if value.is_null() {
                    target.make_object().remove(name);
                } else {
                    merge(target.make_object().entry(name), value, name, strategic);
                }
            }
        }
        Value::Array(items) if strategic && matches!(field, "ownerReferences" | "conditions") => {
            let by = if field == "conditions" { "type" } else { "uid" };
            for item in items.iter() {
                let list = target.make_array();
                let position = list.iter().position(|old| old.at(by) == item.at(by));
                match (position, item.text("$patch")) {
                    (Some(position), "delete") => {
                        list.remove(position);
                    }
                    (Some(position), _) => merge(&mut list[position], item, "", strategic),
                    (None, "delete") => {}
                    (None, _) => list.push(item.clone()),
                }
            }
        }
        Value::Array(items) if strategic && field == "finalizers" => {
            for item in items.iter() {
                let list = target.make_array();
                if !list.contains(item) {
                    list.push(item.clone());
                }
            }
        }
        other => *target = other.clone(),
    }
}

/// One controller in a process of its own.
#[derive(Clone)]
pub struct Manager(pub super::Runner);

impl Manager {
    pub fn of(controllers: Vec<Box<dyn super::Controller>>) -> Box<dyn Process> {
        let mut runner = super::Runner::new(SERVER, Arc::default());
        for controller in controllers {
            runner.add(controller, Arc::new(User::default()), 1000, 1000);
        }
        Box::new(Manager(runner))
    }
}

impl Process for Manager {
    fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => self.0.start(context),
            Input::Message { from, message } => self.0.message(context, from, &message),
            Input::Timer(Timer::Client(timer)) => self.0.timer(context, &timer),
            Input::Timer(_) => {}
        }
    }
    fn copy(&self) -> Box<dyn Process> {
        Box::new(self.clone())
    }
}

/// A Deployment as the API server would complete it.
pub fn deployment(name: &str, replicas: i64, image: &str) -> Value {
    let labels = || object! { "app" => name };
    object! {
        "apiVersion" => "apps/v1",
        "kind" => "Deployment",
        "metadata" => object! { "name" => name, "namespace" => "default", "labels" => labels() },
        "spec" => object! {
            "replicas" => replicas,
            "progressDeadlineSeconds" => 600,
            "revisionHistoryLimit" => 2,
            "selector" => object! { "matchLabels" => labels() },
            "strategy" => object! {
                "type" => "RollingUpdate",
                "rollingUpdate" => object! { "maxSurge" => "25%", "maxUnavailable" => "25%" },
            },
            "template" => object! {
                "metadata" => object! { "labels" => labels() },
                "spec" => object! {
                    "containers" => vec![object! { "name" => "c", "image" => image }],
                },
            },
        },
    }
}
