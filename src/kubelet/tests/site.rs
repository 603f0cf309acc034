//! A node with a kubelet and an engine, and a small stand-in for the API server.
//!
//! Picture to hold in mind: a stage with two real actors; the third reads from a script: it stores objects, counts
//! revisions and answers.

use std::sync::Arc;

use crate::api::{Text, Value, defaults, meta, time};
use crate::kubelet::runtime::{ContainerEngine, EngineConfig};
use crate::kubelet::{Kubelet, KubeletConfig};
use crate::language::{Context, Input, Wire};
use crate::message::Message;
use crate::message::rest::{Closed, Request, Response, Verb, WatchEvent, WatchType};
use crate::object;
use crate::sim::{ActorId, Control, Duration, Engine, HostId, Language, Network, Time, Trace, World};
use crate::sorted::SortedMap;
use crate::timer::{EngineTimer, Timer};

/// What the outside may ask.
pub type Command = <Wire as Language>::Command;

pub const SERVER: ActorId = ActorId(0);
pub const KUBELET: ActorId = ActorId(1);
pub const ENGINE: ActorId = ActorId(2);

/// Answers as an API server would, as far as a kubelet can tell.
#[derive(Clone, Default)]
pub struct FakeServer {
    revision: u64,
    /// (plural, namespace, name).
    pub objects: SortedMap<(Text, Text, Text), Value>,
    watches: Vec<Watch>,
    /// `verb plural/subresource name code`, of writes and of what is named in `shown`.
    pub log: Vec<String>,
    pub events: Vec<String>,
    pub uids: u32,
}

#[derive(Clone)]
struct Watch {
    client: ActorId,
    id: u64,
    plural: Text,
    node: Text,
    sequence: u64,
}

impl FakeServer {
    fn selects(plural: &str, node: &str, object: &Value) -> bool {
        plural != "pods" || object.text("spec.nodeName") == node
    }
    fn put(&mut self, plural: &str, mut object: Value, kind: WatchType, context: &mut Context) -> Value {
        self.revision += 1;
        meta::set_resource_version(&mut object, self.revision);
        let key = (
            Text::from(plural),
            object.shared_text("metadata.namespace"),
            object.shared_text("metadata.name"),
        );
        if kind == WatchType::Deleted {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, object.clone());
        }
        for watch in self.watches.iter_mut().filter(|watch| watch.plural == plural) {
            if Self::selects(plural, &watch.node, &object) {
                let event =
                    WatchEvent { id: watch.id, sequence: watch.sequence, kind, object: object.clone() };
                watch.sequence += 1;
                context.send(watch.client, Message::Watch(Arc::new(event)));
            }
        }
        object
    }

    fn handle(&mut self, input: Input, context: &mut Context) {
        let Input::Message { from, message } = input else { return };
        match message {
            Message::Request(request) => self.request(from, &request, context),
            Message::Closed(Closed { id, .. }) => self.watches.retain(|watch| watch.id != id),
            _ => {}
        }
    }

    fn request(&mut self, from: ActorId, request: &Request, context: &mut Context) {
        let plural = request.resource.plural.clone();
        let key = (plural.clone(), request.namespace.clone(), request.name.clone());
        let found = self.objects.get(&key).cloned();
        let node = request
            .options
            .field_selector
            .split_once('=')
            .map(|(_, node)| Text::from(node))
            .unwrap_or_default();
        let not_found = || {
            let message = format!("{plural} \"{}\" not found", request.name);
            let message = message.replacen("configmaps", "configmap", 1).replacen("secrets", "secret", 1);
            (404, object! { "kind" => "Status", "reason" => "NotFound", "message" => message })
        };
        let (code, body) = match request.verb {
            Verb::List => {
                let selected: Vec<Value> = self
                    .objects
                    .iter()
                    .filter(|((p, _, _), object)| *p == plural && Self::selects(&plural, &node, object))
                    .map(|(_, object)| object.clone())
                    .collect();
                let list = object! {
                    "metadata" => object! { "resourceVersion" => self.revision.to_string() }, "items" => Value::from(selected),
                };
                (200, list)
            }
            Verb::Watch => {
                self.watches.push(Watch {
                    client: from,
                    id: request.id,
                    plural: plural.clone(),
                    node,
                    sequence: 0,
                });
                (200, Value::Null)
            }
            Verb::Get => found.map_or_else(not_found, |object| (200, object)),
            Verb::Create if request.subresource == "token" => {
                (201, object! { "status" => object! { "token" => "a.b.c" } })
            }
            Verb::Create if plural == "events" => {
                let body = &request.body;
                let what = body.text("involvedObject.fieldPath").replace("spec.", "");
                self.events.push(format!(
                    "{} {} {what} {}",
                    body.text("type"),
                    body.text("reason"),
                    body.text("message")
                ));
                (201, body.clone())
            }
            Verb::Create if found.is_some() => (
                409,
                object! { "kind" => "Status", "reason" => "AlreadyExists", "message" => "already exists" },
            ),
            Verb::Create => {
                let mut object = request.body.clone();
                self.uids += 1;
                object.set_default("metadata.uid", format!("uid-{}", self.uids));
                if plural == "nodes" {
                    object.set("spec.podCIDRs", Value::array(["10.244.1.0/24".into()]));
                }
                (201, self.put(&plural, object, WatchType::Added, context))
            }
            Verb::Update => (200, self.put(&plural, request.body.clone(), WatchType::Modified, context)),
            Verb::Patch(_) if plural == "events" => (200, Value::object()),
            Verb::Patch(_) => match found {
                None => not_found(),
                Some(mut object) => {
                    merge(object.at_mut("status"), request.body.at("status"));
                    (200, self.put(&plural, object, WatchType::Modified, context))
                }
            },
            Verb::Delete => match found {
                None => not_found(),
                Some(object) => (200, self.put(&plural, object, WatchType::Deleted, context)),
            },
            Verb::DeleteCollection => (405, Value::Null),
        };
        if !matches!(request.verb, Verb::List | Verb::Watch | Verb::Get)
            && !matches!(plural.as_str(), "events" | "leases")
        {
            let subresource = if request.subresource.is_empty() {
                String::new()
            } else {
                format!("/{}", request.subresource)
            };
            self.log.push(format!("{} {plural}{subresource} {} {code}", request.verb.name(), request.name));
        }
        let response = Response { id: request.id, code, body, warnings: vec![], retry_after_seconds: None };
        context.send(from, Message::Response(Arc::new(response)));
    }
}

/// Strategic merge, as far as the kubelet's patches go.
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else { return };
    for (name, value) in fields.iter() {
        if let Some(list) = name.strip_prefix("$setElementOrder/") {
            let key = if list.ends_with("IPs") { "ip" } else { "type" };
            let mut items = target.items(list).to_vec();
            for change in patch.items(list) {
                let place = items.iter().position(|item| item.at(key) == change.at(key));
                if change.text("$patch") == "delete" {
                    items.retain(|item| item.at(key) != change.at(key));
                } else if let Some(place) = place {
                    for (field, value) in change.as_object().unwrap().iter() {
                        if value.is_null() && field != "lastProbeTime" {
                            items[place].remove(field);
                        } else {
                            items[place].set(field, value);
                        }
                    }
                } else {
                    items.push(change.clone());
                }
            }
            let order: Vec<Value> =
                value.as_array().unwrap().iter().map(|item| item.at(key).clone()).collect();
            items.sort_by_key(|item| order.iter().position(|other| other == item.at(key)));
            target.set(list, Value::from(items));
        } else if fields.contains_key(&format!("$setElementOrder/{name}")) {
        } else if value.is_null() {
            target.remove(name);
        } else if value.as_object().is_some() && target.at(name).as_object().is_some() {
            merge(target.at_mut(name), value);
        } else {
            target.set(name, value);
        }
    }
}

#[derive(Clone)]
pub struct Node {
    pub server: FakeServer,
    pub kubelet: Kubelet,
    pub engine: ContainerEngine,
    /// What the outside writes at the next command: plural, object, kind.
    pub write: Option<(Text, Value, WatchType)>,
    pub asked: Vec<Message>,
}

impl World for Node {
    type Language = Wire;
    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        match (actor, input) {
            (KUBELET, input) => self.kubelet.handle(input, context),
            (ENGINE, input) => self.engine.handle(input, context),
            (_, Input::Timer(_)) => {
                if let Some((plural, object, kind)) = self.write.take() {
                    self.server.put(&plural, object, kind, context);
                }
            }
            (_, Input::Message { message: message @ Message::Response(_), .. }) => self.asked.push(message),
            (_, input) => self.server.handle(input, context),
        }
    }
    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        match command {
            Command::Boot(_) => {
                for _ in 0..3 {
                    control.create(HostId(0));
                }
                for actor in [SERVER, ENGINE, KUBELET] {
                    control.start(actor);
                }
            }
            Command::StopHost { .. } => {
                self.engine.lose_power(control.now());
                control.start(ENGINE);
                control.start(KUBELET);
            }
            Command::StopProcess { .. } => control.stop(KUBELET),
            Command::StartProcess { .. } => control.start(KUBELET),
            Command::KillContainer { namespace, pod, container } => {
                let (namespace, pod, container) = (namespace.into(), pod.into(), container.into());
                control.wake(ENGINE, Timer::Engine(EngineTimer::Kill { namespace, pod, container }));
            }
            Command::WriteFile { .. } => {
                control.wake(KUBELET, Timer::Kubelet(crate::timer::KubeletTimer::Manifests));
            }
            // Any timer at all makes the server write.
            _ => control.wake(SERVER, Timer::Kubelet(crate::timer::KubeletTimer::Lease)),
        }
    }
}

pub struct Site {
    pub engine: Engine<Node>,
    pub trace: Trace<Wire>,
}

impl Site {
    pub fn new(hollow: bool) -> Site {
        Site::with(hollow, |_| {}, |_| {})
    }
    pub fn with(
        hollow: bool,
        kubelet: impl FnOnce(&mut KubeletConfig),
        engine: impl FnOnce(&mut EngineConfig),
    ) -> Site {
        let mut config = KubeletConfig::new("worker-1", "192.168.0.11", vec![SERVER], ENGINE, hollow);
        kubelet(&mut config);
        let mut engine_config = EngineConfig::new(KUBELET, hollow);
        engine(&mut engine_config);
        let node = Node {
            server: FakeServer::default(),
            kubelet: Kubelet::new(config),
            engine: ContainerEngine::new(engine_config),
            write: None,
            asked: Vec::new(),
        };
        let mut site = Site { engine: Engine::new(3, node, Network::default()), trace: Trace::default() };
        let ca = object! {
            "metadata" => object! { "namespace" => "default", "name" => "kube-root-ca.crt", "resourceVersion" => "1" },
            "data" => object! { "ca.crt" => "---" },
        };
        let key = ("configmaps".into(), "default".into(), "kube-root-ca.crt".into());
        site.engine.world.server.objects.insert(key, ca);
        site.engine.command(&Command::Boot(Default::default()), &mut site.trace);
        site.wait(5);
        site.engine.world.server.log.clear();
        site
    }
    pub fn command(&mut self, command: Command) {
        self.engine.command(&command, &mut self.trace);
    }
    pub fn wait(&mut self, seconds: u64) {
        self.wait_until(self.engine.now() + Duration::from_secs(seconds));
    }
    pub fn wait_until(&mut self, until: Time) {
        self.engine.run_until(until, &mut self.trace);
    }
    /// Goes on until `is_it`, for at most `seconds`; how many milliseconds it took.
    pub fn wait_for(&mut self, seconds: u64, is_it: impl Fn(&Site) -> bool) -> u64 {
        let from = self.engine.now();
        while !is_it(self) {
            let passed = self.engine.now().since(from);
            assert!(passed.as_secs() <= seconds, "still not so after {seconds} s: {}", self.log());
            if self.engine.step(&mut self.trace).is_none() {
                panic!("it will never be so: {}", self.log());
            }
        }
        self.engine.now().since(from).as_millis()
    }
    pub fn write(&mut self, plural: &str, object: Value, kind: WatchType) {
        self.engine.world.write = Some((plural.into(), object, kind));
        self.command(Command::HealNetwork);
        while self.engine.world.write.is_some() {
            self.engine.step(&mut self.trace);
        }
    }
    /// A pod appears that is bound to this node: `spec` as JSON, without node and account.
    pub fn pod(&mut self, name: &str, spec: &str) {
        self.annotated_pod(name, spec, Value::Null);
    }
    pub fn annotated_pod(&mut self, name: &str, spec: &str, annotations: Value) {
        let mut spec: Value = serde_json::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
        spec.set("nodeName", "worker-1");
        let mut pod = object! {
            "apiVersion" => "v1", "kind" => "Pod",
            "metadata" => object! { "namespace" => "default", "name" => name, "uid" => format!("uid-{name}"), "generation" => 1 },
            "spec" => spec,
            "status" => object! { "phase" => "Pending" },
        };
        if !annotations.is_null() {
            pod.set("metadata.annotations", annotations);
        }
        defaults::apply("", "v1", "Pod", &mut pod);
        self.write("pods", pod, WatchType::Added);
    }
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.engine.world.server.objects.get(&("pods".into(), "default".into(), name.into()))
    }
    pub fn status(&self, name: &str) -> Value {
        self.find(name).map(|pod| pod.at("status").clone()).unwrap_or_default()
    }
    /// Somebody deletes a pod with a grace period.
    pub fn delete(&mut self, name: &str, grace_seconds: i64) {
        let mut pod = self.find(name).expect("such a pod").clone();
        pod.set("metadata.deletionTimestamp", time::rfc3339(self.engine.now()));
        pod.set("metadata.deletionGracePeriodSeconds", grace_seconds);
        pod.set("metadata.generation", 2);
        self.write("pods", pod, WatchType::Modified);
    }
    pub fn log(&self) -> String {
        self.engine.world.server.log.join("\n")
    }
    pub fn events(&self) -> String {
        self.engine.world.server.events.join("\n")
    }
    /// `TYPE=STATUS (REASON)` of all conditions.
    pub fn conditions(&self, name: &str) -> String {
        let status = self.status(name);
        let shown: Vec<String> = status
            .items("conditions")
            .iter()
            .map(|c| match c.text("reason") {
                "" => format!("{}={}", c.text("type"), c.text("status")),
                reason => format!("{}={}({reason})", c.text("type"), c.text("status")),
            })
            .collect();
        shown.join(" ")
    }
    /// `NAME: STATE ready restarts` of all containers.
    pub fn containers(&self, name: &str) -> String {
        let status = self.status(name);
        let all = status.items("initContainerStatuses").iter().chain(status.items("containerStatuses"));
        let shown: Vec<String> = all
            .map(|c| {
                let state = c.map("state").keys().next().cloned().unwrap_or_default();
                let reason = match c.text(&format!("state.{state}.reason")) {
                    "" => String::new(),
                    reason => format!("({reason})"),
                };
                let ready = if c.is_true("ready") { " ready" } else { "" };
                format!(
                    "{}:{state}{reason}{ready} {}",
                    c.text("name"),
                    c.integer("restartCount").unwrap_or(-1)
                )
            })
            .collect();
        shown.join(" ")
    }
    pub fn phase(&self, name: &str) -> String {
        self.status(name).text("phase").to_string()
    }
}
