//! A worker's own: the kubelet, and the container engine that it directs.
//!
//! Picture to hold in mind: a building site. The foreman (the kubelet) has the plans from the office and
//! reports back; the crane driver (the [`runtime`]) lifts what the foreman signals. The foreman has a clerk for
//! every building ([`worker`]), who compares plan and site ([`actions`]) and does one thing after another
//! ([`steps`]).
//!
//! - [`config`] flags and configuration
//! - [`node`] registration, lease, node status
//! - [`pods`] where pods come from: the API server and manifest files; mirror pods
//! - [`admission`] what this node does not take
//! - [`worker`], [`actions`], [`steps`], [`kill`] a pod's way up and down
//! - [`images`] pulls and their back-off
//! - [`volumes`], [`environment`] what containers are given
//! - [`probes`] startup, liveness, readiness
//! - [`status`] what is told about a pod; [`status_manager`] telling it
//! - [`server`] logs and exec, for the API server
//! - [`resources`], [`backoff`] helpers
//! - [`runtime`] the container engine: sandboxes, containers, images, the process model

pub mod actions;
pub mod admission;
pub mod backoff;
pub mod config;
pub mod environment;
pub mod images;
pub mod kill;
pub mod manifests;
pub mod node;
pub mod pods;
pub mod probes;
pub mod resources;
pub mod runtime;
pub mod server;
mod start;
pub mod status;
pub mod status_manager;
pub mod steps;
#[cfg(test)]
mod tests;
pub mod volumes;
pub mod worker;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::{Text, Value};
use crate::client::informer::InformerIndex;
use crate::client::recorder::{EventApi, EventDraft};
use crate::client::{Answer, Connection, Informers, Recorder, Selection};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::cri::{self, Call, Reply};
use crate::message::rest::{Request, Resource, User};
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;
use crate::timer::{ClientTimer, KubeletTimer, Timer};

pub use config::KubeletConfig;
use node::NodeState;
use volumes::ObjectKey;
use worker::Worker;

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct Kubelet {
    state: Arc<State>,
}

#[derive(Clone)]
struct State {
    config: Arc<KubeletConfig>,
    connection: Connection<Purpose>,
    informers: Informers,
    recorder: Recorder,
    started_at: Time,
    node: NodeState,
    /// By UID; static pods by the UID that their manifest gives them.
    workers: SortedMap<Text, Arc<Worker>>,
    /// CRI calls whose answers are awaited.
    calls: SortedMap<u64, CallPurpose>,
    next_call: u64,
    /// Whether an alarm for the next look at the runtime is set.
    is_relist_set: bool,
    /// ConfigMaps and Secrets that pods use.
    objects: SortedMap<ObjectKey, volumes::CachedObject>,
    /// Pods that wait for their turn to pull, the first one pulling.
    pulls: VecDeque<Text>,
    /// UIDs whose status is to be sent, in order; the exchange in progress.
    unsent: VecDeque<Text>,
    sending: Option<status_manager::Letter>,
}

/// What an answer of the API server is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    Informer(usize),
    Event,
    Register,
    ExistingNode,
    Ignored,
    NodeStatus,
    LeaseGet,
    LeaseWrite,
    StatusGet { uid: Text },
    StatusPatch { uid: Text, version: u64 },
    StatusDelete { uid: Text },
    Token { uid: Text, volume: Text },
    Object(ObjectKey),
    MirrorCreate { uid: Text },
}

impl From<InformerIndex> for Purpose {
    fn from(index: InformerIndex) -> Purpose {
        Purpose::Informer(index.0)
    }
}

/// What an answer of the container engine is for.
#[derive(Clone, Debug)]
enum CallPurpose {
    /// The step that a worker has in hand.
    Work {
        uid: Text,
    },
    Kill {
        uid: Text,
        container: Text,
        round: u32,
    },
    Probe {
        uid: Text,
        container: Text,
        kind: u8,
        round: u32,
    },
    /// Everything that the runtime has, at the start.
    List,
    NodeStatus,
    /// The runtime's network has been configured.
    Network,
    Images,
    /// For the API server: (client, request).
    Logs {
        client: crate::sim::ActorId,
        id: u64,
        view: server::LogView,
    },
    Exec {
        client: crate::sim::ActorId,
        id: u64,
    },
    Dial {
        client: crate::sim::ActorId,
        id: u64,
        is_proxy: bool,
    },
    Ignored,
}

/// Places of the informers.
const PODS: usize = 0;
const NODES: usize = 1;
/// Absent on hollow nodes, whose containers have no environment.
const SERVICES: usize = 2;
/// Windows of the connection: the API client (50 requests/s, burst 100), and the one for events.
const API: usize = 0;
const EVENTS: usize = 1;

/// Between two looks at the runtime (`genericPlegRelistPeriod`).
const RELIST_PERIOD: Duration = Duration::from_secs(1);

pub(crate) fn resource(plural: &str) -> Resource {
    Resource::new("", "v1", plural)
}

impl Kubelet {
    pub fn new(config: KubeletConfig) -> Kubelet {
        Kubelet { state: Arc::new(State::new(Arc::new(config))) }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        if let Input::Message { message: Message::HostFile(file), .. } = &input {
            return self.file_changed(file, context);
        }
        Arc::make_mut(&mut self.state).handle(input, context);
    }
    /// Changes a file in the manifest directory (`None`: it is gone). The kubelet sees it when
    /// [`KubeletTimer::Manifests`] rings, which whoever changes the file rings.
    pub fn set_manifest(&mut self, file: &str, pod: Option<Value>) {
        let config = Arc::make_mut(&mut Arc::make_mut(&mut self.state).config);
        match pod {
            Some(pod) => drop(config.manifests.insert(file.into(), pod)),
            None => drop(config.manifests.remove(file)),
        }
    }
}

/// What may be seen from outside, as plain data.
impl Kubelet {
    pub fn config(&self) -> &KubeletConfig {
        &self.state.config
    }
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.state.workers.values().map(|worker| &**worker)
    }
    pub fn node(&self) -> &NodeState {
        &self.state.node
    }
    /// Requests that wait for the client's rate limit.
    pub fn throttled(&self) -> usize {
        self.state.connection.throttled()
    }
    pub fn informers(&self) -> &Informers {
        &self.state.informers
    }
}

impl State {
    fn new(config: Arc<KubeletConfig>) -> State {
        let mut connection = Connection::balanced(config.servers.clone());
        let user = Arc::new(User::new(
            arcstr::format!("system:node:{}", config.node_name),
            vec!["system:nodes".into(), "system:authenticated".into()],
        ));
        connection.window(user.clone(), "kubelet", 50, 100);
        connection.window(user, "kubelet", 50, 100);
        let mut informers = Informers::default();
        let by_field = |plural: &str, selector: String| Selection {
            field_selector: selector.into(),
            ..Selection::all(&resource(plural))
        };
        informers.add(by_field("pods", format!("spec.nodeName={}", config.node_name)), API);
        informers.add(by_field("nodes", format!("metadata.name={}", config.node_name)), API);
        if !config.hollow {
            informers.add(Selection::all(&resource("services")), API);
        }
        let recorder = Recorder::new(EventApi::Core, "kubelet", &config.node_name, EVENTS);
        State {
            connection,
            informers,
            recorder,
            started_at: Time::ZERO,
            node: NodeState::default(),
            workers: SortedMap::new(),
            calls: SortedMap::new(),
            next_call: 1,
            is_relist_set: false,
            objects: SortedMap::new(),
            pulls: VecDeque::new(),
            unsent: VecDeque::new(),
            sending: None,
            config,
        }
    }

    fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => self.start(context),
            Input::Message { message: Message::CriResponse(response), .. } => {
                if let Some(purpose) = self.calls.remove(&response.id) {
                    self.called(purpose, response.id, response.result.clone(), context);
                }
            }
            Input::Message { message: Message::CriEvent(event), .. } => self.runtime_event(&event, context),
            Input::Message { from, message: Message::Request(request) } => {
                self.serve(from, &request, context)
            }
            Input::Message { from, message } => {
                if let Some((purpose, answer)) = self.connection.receive(context, from, &message) {
                    self.answered(purpose, answer, context);
                }
            }
            Input::Timer(Timer::Client(timer)) => match timer {
                ClientTimer::Tokens { client } => self.connection.tokens(context, client),
                ClientTimer::Timeouts => {
                    for (purpose, answer) in self.connection.timeouts(context) {
                        self.answered(purpose, answer, context);
                    }
                }
                ClientTimer::Relist { informer } => {
                    self.informers.retry(context, &mut self.connection, informer);
                }
                _ => {}
            },
            Input::Timer(Timer::Kubelet(timer)) => self.timer(timer, context),
            Input::Timer(_) => {}
        }
    }

    fn start(&mut self, context: &mut Context) {
        // Numbers of requests and calls go on, so that answers to a former life are not taken for this one's.
        let (mut connection, next_call) = (self.connection.clone(), self.next_call);
        connection.restart();
        *self = State::new(self.config.clone());
        self.connection = connection;
        self.next_call = next_call;
        self.started_at = context.now();
        self.call(Call::ListPodSandboxes, CallPurpose::List, context);
        self.informers.start(context, &mut self.connection);
        context.periodic(Duration::from_secs(10), Timer::Kubelet(KubeletTimer::StatusBatch));
    }

    fn timer(&mut self, timer: KubeletTimer, context: &mut Context) {
        match timer {
            KubeletTimer::Register => self.register(context),
            KubeletTimer::Lease => self.renew_lease(context),
            KubeletTimer::NodeStatus => self.node_status_due(context),
            KubeletTimer::Relist => self.relist(context),
            KubeletTimer::StatusBatch => self.status_batch(context),
            KubeletTimer::Manifests => {
                if self.node.is_runtime_known {
                    self.read_manifests(context);
                }
            }
            KubeletTimer::Worker { uid, wake } => {
                if self.workers.get(&uid).is_some_and(|worker| worker.wake == wake) {
                    self.worker_due(&uid, context);
                }
            }
            KubeletTimer::Volumes { uid } => self.mount_volumes(&uid, context),
            KubeletTimer::Kill { uid, container, round } => self.kill_due(&uid, &container, round, context),
            KubeletTimer::Probe { uid, container, kind, round } => {
                self.probe_due(&uid, &container, kind, round, context);
            }
        }
    }

    fn answered(&mut self, purpose: Purpose, answer: Answer, context: &mut Context) {
        match purpose {
            Purpose::Informer(index) => {
                let was_synced =
                    self.informers.iter().nth(index).is_some_and(|(informer, _)| informer.synced);
                let deltas = self.informers.receive(context, &mut self.connection, index, answer);
                for delta in deltas {
                    match index {
                        PODS => self.pod_changed(&delta, context),
                        NODES => self.node_changed(&delta, context),
                        // Services are read where a container's environment is made.
                        _ => {}
                    }
                }
                let is_synced = self.informers.iter().nth(index).is_some_and(|(informer, _)| informer.synced);
                if is_synced && !was_synced {
                    self.informer_synced(index, context);
                }
            }
            Purpose::Event => self.recorder.sent(context, &mut self.connection, Purpose::Event),
            Purpose::Ignored => {}
            Purpose::Register | Purpose::ExistingNode | Purpose::NodeStatus => {
                self.node_answered(&purpose, answer, context);
            }
            Purpose::LeaseGet | Purpose::LeaseWrite => self.lease_answered(&purpose, answer, context),
            Purpose::StatusGet { uid } => self.status_read(&uid, answer, context),
            Purpose::StatusPatch { uid, version } => self.status_written(&uid, version, answer, context),
            Purpose::StatusDelete { uid } => self.status_deleted(&uid, answer, context),
            Purpose::Token { uid, volume } => self.token_answered(&uid, &volume, answer, context),
            Purpose::Object(key) => self.object_answered(&key, answer, context),
            Purpose::MirrorCreate { uid } => self.mirror_created(&uid, answer, context),
        }
    }

    fn called(&mut self, purpose: CallPurpose, id: u64, result: Result<Reply, Text>, context: &mut Context) {
        match purpose {
            CallPurpose::Work { uid } => self.step_answered(&uid, id, result, context),
            CallPurpose::Kill { uid, container, round } => {
                self.kill_answered(&uid, &container, round, result, context);
            }
            CallPurpose::Probe { uid, container, kind, round } => {
                self.probe_answered(&uid, &container, kind, round, result, context);
            }
            CallPurpose::List => self.runtime_listed(result, context),
            CallPurpose::NodeStatus => self.runtime_status(result, context),
            CallPurpose::Network => drop(self.call(Call::Status, CallPurpose::NodeStatus, context)),
            CallPurpose::Images => self.images_listed(result),
            CallPurpose::Logs { client, id, view } => server::logs_read(client, id, &view, result, context),
            CallPurpose::Exec { client, id } => server::executed(client, id, result, context),
            CallPurpose::Dial { client, id, is_proxy } => {
                server::dialed(client, id, is_proxy, result, context);
            }
            CallPurpose::Ignored => {}
        }
    }

    fn call(&mut self, call: Call, purpose: CallPurpose, context: &mut Context) -> u64 {
        let id = self.next_call;
        self.next_call += 1;
        self.calls.insert(id, purpose);
        context.send(self.config.engine, Message::CriRequest(Arc::new(cri::Request { id, call })));
        id
    }
    fn send(&mut self, request: Request, purpose: Purpose, context: &mut Context) {
        self.connection.send(context, API, request, purpose);
    }

    /// Tells people something about a pod (or, with `container`, about one of its containers).
    fn event(
        &mut self,
        uid: &str,
        container: Option<&str>,
        kind: &'static str,
        reason: &str,
        message: impl Into<Text>,
        context: &mut Context,
    ) {
        if self.config.hollow {
            return;
        }
        let Some(worker) = self.workers.get(uid) else { return };
        let mut draft = EventDraft::about(&with_kind(&worker.pod, "Pod"), kind, reason, message.into());
        if let Some(name) = container {
            let list = match worker.container(name) {
                Some((_, worker::ContainerKind::Init)) => "initContainers",
                Some((_, worker::ContainerKind::Ephemeral)) => "ephemeralContainers",
                _ => "containers",
            };
            draft = draft.field_path(&format!("spec.{list}{{{name}}}"));
        }
        self.recorder.record(context, &mut self.connection, draft, Purpose::Event);
    }
    /// Tells people something about this node. Its UID is its name, as kubelets write it.
    fn node_event(
        &mut self,
        kind: &'static str,
        reason: &str,
        message: impl Into<Text>,
        context: &mut Context,
    ) {
        if self.config.hollow {
            return;
        }
        let name = &self.config.node_name;
        let mut draft = EventDraft::about(&Value::object(), kind, reason, message.into());
        draft.about = crate::object! { "kind" => "Node", "name" => name, "uid" => name };
        self.recorder.record(context, &mut self.connection, draft, Purpose::Event);
    }

    fn worker(&mut self, uid: &str) -> Option<&mut Worker> {
        self.workers.get_mut(uid).map(Arc::make_mut)
    }

    /// Everything that the runtime has, after a start.
    fn runtime_listed(&mut self, result: Result<Reply, Text>, context: &mut Context) {
        match result {
            Ok(Reply::Sandboxes(all)) => {
                self.node.runtime_pods = all;
                self.node.is_runtime_known = true;
                self.call(Call::Status, CallPurpose::NodeStatus, context);
                if !self.config.hollow {
                    self.call(Call::ListImages, CallPurpose::Images, context);
                }
                self.read_manifests(context);
                self.take_in_pods(context);
            }
            _ => {
                // The engine is not up yet.
                self.node.runtime_error = "container runtime is down".into();
                let retry = KubeletTimer::NodeStatus;
                context.timer(Duration::from_secs(1), Timer::Kubelet(retry));
            }
        }
    }

    /// The engine says that something has changed: it is noted, and looked at with the next relist.
    fn runtime_event(&mut self, event: &cri::Event, context: &mut Context) {
        let Some(worker) = self.worker(&event.pod_uid) else { return };
        match &event.status {
            Some(status) => worker.observe(&status.id, Some(status)),
            None => worker.observe(&event.container_id, None),
        }
        worker.has_changed = true;
        self.set_relist(context);
    }
    /// Has the next relist made; where nobody waits for one, it would find nothing.
    fn set_relist(&mut self, context: &mut Context) {
        if !self.is_relist_set {
            self.is_relist_set = true;
            let next = self.relisted_at(context) + RELIST_PERIOD;
            context.timer(next.since(context.now()), Timer::Kubelet(KubeletTimer::Relist));
        }
    }
    /// The last beat of the generic PLEG: whole seconds since the start.
    fn relisted_at(&self, context: &Context) -> Time {
        let since = context.now().since(self.started_at).0;
        self.started_at + Duration(since / RELIST_PERIOD.0 * RELIST_PERIOD.0)
    }
    fn relist(&mut self, context: &mut Context) {
        self.is_relist_set = false;
        let changed: Vec<Text> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.has_changed || worker.is_waiting)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in changed {
            self.relist_pod(&uid, context);
        }
    }
    /// Looks at what the runtime has of one pod, and lets its worker look, too.
    fn relist_pod(&mut self, uid: &Text, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return };
        let is_waiting = worker.is_waiting;
        if std::mem::take(&mut worker.has_changed) {
            self.remove_dead_containers(uid, context);
        } else if !is_waiting {
            return;
        }
        self.sync(uid, context);
    }
}

/// The object with the kind that lists leave out.
fn with_kind(object: &Value, kind: &str) -> Value {
    if object.has("kind") {
        object.clone()
    } else {
        object.clone().with("kind", kind).with("apiVersion", "v1")
    }
}
