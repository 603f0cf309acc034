//! The container engine of a node: containerd with its shims, runc, CNI plugins and the kernel below them.
//!
//! Picture to hold in mind: a crane driver who does what the kubelet signals, one careful step after another,
//! and calls out whenever something on the site moves by itself.
//!
//! It outlives the kubelet: what it holds stays when the kubelet restarts. When the machine loses power
//! ([`ContainerEngine::lose_power`]), the processes are gone and the disk stays.
//!
//! - [`sandbox`] the pause container and what it holds
//! - [`container`] processes with files, output, end; [`process`] how they run
//! - [`attach`] whoever listens to a container
//! - [`calls`] the CRI; [`calling`] what programs in containers ask of others
//! - [`images`] the catalogue; [`program`] what programs do; [`userland`] what their shell finds
//! - [`routing`] what kube-proxy and the neighbours bring to the kernel
//! - [`host`] the node's own services and files, for who sits at its console
//! - [`talk`] what programs say over the network; [`proxy`] what they pass on; [`load`] many requests, and what became of them
//! - [`files`] volumes and other shelves; [`reach`] the network as processes see it

mod attach;
mod calling;
mod calls;
pub mod container;
mod exec;
pub mod files;
pub mod host;
pub mod images;
pub mod load;
pub mod operation;
mod process;
pub mod program;
mod proxy;
pub mod reach;
mod routing;
pub mod sandbox;
pub mod talk;
#[cfg(test)]
mod tests;
pub mod userland;

use core::net::IpAddr;
use std::sync::Arc;

use crate::shared_map::SharedMap;

use crate::api::{Text, Value};
use crate::arrange::Arrange;
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::cri::{self, EventType, Image};
use crate::message::node::NodeMessage;
use crate::network::cni::Network;
use crate::network::ipam::Cidr;
use crate::network::kernel::{Agent, Kernel};
use crate::network::packet::Protocol;
use crate::note::Note;
use crate::shell::{Machine, Main};
use crate::sim::{ActorId, Duration, Time};
use crate::sorted::{SortedMap, SortedSet};
use crate::timer::{EngineTimer, Timer};

use calling::Calling;
use container::Container;
use files::Disk;
use host::Units;
use load::Load;
use operation::Operation;
use sandbox::{Sandbox, Stage, StoryStep, step};
use talk::{Asked, Asker, Query};

/// What does not change while the engine lives.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The kubelet that hears what happens.
    pub kubelet: ActorId,
    /// A fake engine, as Kubernetes' own scale tests use: everything starts at once and nothing exits.
    pub hollow: bool,
    /// Of the link to the registries, in bytes a second.
    pub bandwidth_bytes_per_second: u64,
    /// Images that are on the disk from the start.
    pub images: Vec<Text>,
    /// The machine's name, and the address of its network card; `None`: the node has no network of its own.
    pub node: Text,
    pub address: Option<IpAddr>,
    /// The pods of all nodes (`--cluster-cidr`).
    pub cluster_range: Option<Cidr>,
    /// Who tells the others of the node's range from the start on. Without one, containerd has no configuration of its own
    /// for the pod network either.
    pub agent: Agent,
    /// Programs that are actors of their own, which work while their container runs.
    pub daemons: Vec<(&'static str, ActorId)>,
    /// The control plane's processes on this machine, by the containers of the static pods that they run in.
    pub processes: Vec<(&'static str, ActorId)>,
    /// The terminal that stands at the machine's console and sees its disk.
    pub console: Option<ActorId>,
    /// By the image's short name: its programs that ask others and wait for their answers.
    pub programs: &'static [(&'static str, &'static [(&'static str, Main)])],
}

impl EngineConfig {
    pub fn new(kubelet: ActorId, hollow: bool) -> EngineConfig {
        EngineConfig {
            kubelet,
            hollow,
            bandwidth_bytes_per_second: 25_000_000,
            images: Vec::new(),
            node: Text::new(),
            address: None,
            cluster_range: None,
            agent: Agent::Machine,
            daemons: Vec::new(),
            processes: Vec::new(),
            console: None,
            programs: &[],
        }
    }
    /// The process of the control plane that a container of a static pod is.
    fn process_of(&self, container: &Container, sandbox: Option<&Arc<Sandbox>>) -> Option<ActorId> {
        let (name, sandbox) = (container.name(), &sandbox?.config);
        let is_static = sandbox.namespace == "kube-system"
            && sandbox.name.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')) == Some(&self.node);
        let found = self.processes.iter().find(|(process, _)| is_static && *process == name);
        found.map(|(_, actor)| *actor)
    }
    /// The actor that a container's first process is.
    fn daemon_of(&self, container: &Container) -> Option<ActorId> {
        self.daemons.iter().find(|(program, _)| container.runs(program)).map(|(_, actor)| *actor)
    }
}

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct ContainerEngine {
    config: Arc<EngineConfig>,
    state: Arc<State>,
}

#[derive(Clone)]
struct State {
    kernel: Kernel,
    sandboxes: SortedMap<Text, Arc<Sandbox>>,
    containers: SortedMap<Text, Arc<Container>>,
    /// By full name.
    images: SortedMap<Text, Image>,
    disk: Disk,
    /// What the cluster's DNS answers: name to address.
    /// DNS queries that a program of this node has in hand.
    queries: SortedMap<u64, Query>,
    /// The configuration as it lies in `/etc/cni/net.d`, and what was understood of it.
    cni: Option<Network>,
    cni_error: Text,
    /// Somebody edited the configuration: the kubelet's range no longer overwrites it.
    has_own_cni_config: bool,
    operations: SortedMap<u64, Operation>,
    /// By the pod's UID; kept until the pod's remains are cleared away.
    stories: SharedMap<Text, Arc<Vec<StoryStep>>>,
    next_operation: u64,
    /// Processes of the control plane whose containers have ended: they go on with the next ones.
    stopped: SortedSet<ActorId>,
    calling: Calling,
    /// Shells between two lines.
    shells: SortedMap<Text, Machine>,
    /// Questions of programs that wait for their answers.
    asked: SortedMap<u64, Asked>,
    /// Where the node's own commands run.
    host: (Arc<Container>, Arc<Sandbox>),
    units: Arc<Units>,
    loads: Vec<Arc<Load>>,
    /// When the neighbours were last told of this node's ranges.
    told_at: Time,
}

/// Steps of one pod's story that are kept: a container that crashes again and again pushes out the oldest.
const STORY_STEPS: usize = 200;
const CNI_NOT_INITIALIZED: &str = "cni plugin not initialized";

impl ContainerEngine {
    pub fn new(config: EngineConfig) -> ContainerEngine {
        let mut state = State {
            kernel: Kernel::new(&config.node, config.address, config.cluster_range, config.agent),
            sandboxes: SortedMap::new(),
            containers: SortedMap::new(),
            images: SortedMap::new(),
            disk: Disk::default(),
            queries: SortedMap::new(),
            cni: None,
            cni_error: CNI_NOT_INITIALIZED.into(),
            has_own_cni_config: false,
            operations: SortedMap::new(),
            stories: SharedMap::default(),
            next_operation: 0,
            stopped: SortedSet::new(),
            calling: Calling::new(config.programs, u64::from(config.kubelet.0)),
            shells: SortedMap::new(),
            asked: SortedMap::new(),
            host: host::place(&config),
            units: Arc::new(Units::new()),
            loads: Vec::new(),
            told_at: Time::ZERO,
        };
        for name in &config.images {
            let found =
                images::Reference::parse(name).ok().and_then(|reference| images::look_up(&reference).ok());
            if let Some(image) = found {
                state.images.insert(image.reference.clone(), image);
            }
        }
        ContainerEngine { config: Arc::new(config), state: Arc::new(state) }
    }

    pub fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => self.start(context),
            Input::Message { from, message: Message::CriRequest(request) } => {
                self.call(from, &request, context)
            }
            Input::Message { from, message: Message::Node(message) } => {
                self.node_message(from, Arc::unwrap_or_clone(message), context)
            }
            Input::Message { message: Message::HostFile(file), .. } => self.file_changed(&file, context),
            Input::Message { message: Message::CriResponse(response), .. } => {
                self.node_answered(&response, context)
            }
            Input::Message { message, .. } => self.answered(&message, context),
            Input::Timer(Timer::Engine(timer)) => match timer {
                EngineTimer::Step { operation } => self.step(operation, context),
                EngineTimer::Process { container, wake } => {
                    if self.state.containers.get(&container).is_some_and(|found| found.wake == wake) {
                        self.advance(&container, context);
                    }
                }
                EngineTimer::Ask { id } => self.ask_timed_out(id, context),
                EngineTimer::Load { id } => self.load_tick(id, context),
                EngineTimer::Routes => self.routes_tick(context),
                EngineTimer::Kill { namespace, pod, container } => {
                    self.kill(&namespace, &pod, &container, context)
                }
            },
            Input::Timer(_) => {}
        }
    }

    /// The power fails: processes end, calls in progress are forgotten, files stay.
    pub fn lose_power(&mut self, now: Time) {
        self.lose_loads(now);
        let state = Arc::make_mut(&mut self.state);
        state.operations.clear();
        // With power they come back by themselves.
        state.stopped = SortedSet::new();
        state.asked.clear();
        state.kernel.lose_power();
        state.disk.host_mut().remove("dev/shm");
        state.calling.restart();
        for container in state.containers.values_mut().filter(|container| container.is_running()) {
            let container = Arc::make_mut(container);
            // What containerd reports of a container whose shim is gone.
            container.exit(now, 255, "Unknown", "");
            container.stop_waiters.clear();
        }
        for sandbox in state.sandboxes.values_mut() {
            Arc::make_mut(sandbox).is_broken = true;
        }
    }

    /// Replaces the node's CNI configuration (`None`: the file is gone). Sandboxes that exist keep what they
    /// have; addresses in use stay reserved where the ranges are the same.
    pub fn set_cni_config(&mut self, config: Option<Value>) {
        let state = Arc::make_mut(&mut self.state);
        state.has_own_cni_config = true;
        state.read_cni(config.as_ref());
    }

    fn start(&mut self, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        state.operations.clear();
        let running: Vec<Text> =
            state.containers.values().filter(|c| c.is_running()).map(|c| c.id.clone()).collect();
        // A sandbox that was half built has nobody left who would finish it.
        for sandbox in state.sandboxes.values_mut() {
            if !matches!(sandbox.stage, Stage::Ready | Stage::Stopped) {
                Arc::make_mut(sandbox).is_broken = true;
            }
        }
        for id in running {
            self.set_wake(&id, context);
        }
    }

    /// Writes one line of a pod's story: into the record, and into the story that is kept with the pod.
    fn note(&mut self, context: &mut Context, sandbox: &str, step: &'static str, detail: impl Into<Text>) {
        let Some(sandbox) = self.state.sandboxes.get(sandbox) else { return };
        let (pod, uid) = (sandbox.pod(), sandbox.config.uid.clone());
        let detail = detail.into();
        self.tell(context, &uid, step, detail.clone());
        context.note(Note::Sandbox { pod, step: step.into(), detail });
    }
    /// A line of the story alone: of what happens for a pod outside of its sandbox. A fake engine has no stories.
    fn tell(&mut self, context: &Context, pod_uid: &Text, step: &'static str, detail: impl Into<Text>) {
        if self.config.hollow || pod_uid.is_empty() {
            return;
        }
        let story = Arc::make_mut(&mut self.state).stories.entry(pod_uid, Arc::default);
        let story = Arc::make_mut(story);
        if story.len() == STORY_STEPS {
            story.remove(0);
        }
        story.push(StoryStep { time: context.now(), step, detail: detail.into() });
    }

    /// Tells the kubelet that something changed.
    fn announce(&self, context: &mut Context, id: &Text, sandbox: &Text, kind: EventType) {
        if !self.state.units.all[host::CONTAINERD].is_active {
            return;
        }
        let status = self.sandbox_status(sandbox);
        let pod_uid = status.as_ref().map(|status| status.config.uid.clone()).unwrap_or_default();
        let event = cri::Event { container_id: id.clone(), pod_uid, kind, status };
        context.send(self.config.kubelet, Message::CriEvent(Arc::new(event)));
    }

    fn sandbox_status(&self, id: &str) -> Option<cri::SandboxStatus> {
        let sandbox = self.state.sandboxes.get(id)?;
        let mut containers: Vec<&Arc<Container>> =
            self.state.containers.values().filter(|container| container.sandbox == id).collect();
        containers.arrange_by_key(|container| container.created_at);
        Some(
            sandbox.status(
                containers.into_iter().map(|container| container.status(self.config.hollow)).collect(),
            ),
        )
    }

    /// Sets the alarm for what a container does next.
    fn set_wake(&mut self, id: &Text, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let Some(container) = state.containers.get_mut(id) else { return };
        let container = Arc::make_mut(container);
        container.wake += 1;
        if let Some(at) = container.next_wake().filter(|_| container.is_running()) {
            let timer = EngineTimer::Process { container: id.clone(), wake: container.wake };
            // Centuries ahead is never: `sleep infinity` needs no alarm.
            if at.0 < u64::MAX / 8 {
                context.timer(at.since(context.now()), Timer::Engine(timer));
            }
        }
    }

    /// Lets a container's process go on until time must pass, or ends it.
    fn advance(&mut self, id: &Text, context: &mut Context) {
        self.go_on(id, context);
        self.attached(id, context);
    }
    fn go_on(&mut self, id: &Text, context: &mut Context) {
        let now = context.now();
        let Some(container) = self.state.containers.get(id).filter(|container| container.is_running()) else {
            return;
        };
        if let Some((at, code, reason)) = container.end().filter(|(at, ..)| *at <= now) {
            debug_assert!(at <= now);
            self.exit(id, code, reason, "", context);
            return;
        }
        if container.is_asking {
            return self.set_wake(id, context);
        }
        let state = Arc::make_mut(&mut self.state);
        let asked = state.run_process(id, now);
        self.make_calls(context);
        if let Some((sandbox, ask)) = asked {
            self.ask(Asker::Container(id.clone()), &sandbox, ask, context);
            return self.set_wake(id, context);
        }
        let Some(container) = self.state.containers.get(id) else { return };
        // A shell at a terminal ends when it is left, not with a line.
        let is_over = |machine: &&Machine| !container.is_shell || machine.has_left();
        match container.machine.as_ref().filter(is_over).and_then(Machine::status) {
            Some(code) => {
                self.exit(id, code, if code == 0 { "Completed" } else { "Error" }, "", context);
            }
            _ => self.set_wake(id, context),
        }
    }

    /// A container's first process has ended.
    fn exit(&mut self, id: &Text, code: i32, reason: &str, message: &str, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let Some(container) = state.containers.get_mut(id) else { return };
        let container = Arc::make_mut(container);
        container.exit(context.now(), code, reason, message);
        container.wake += 1;
        let sandbox = container.sandbox.clone();
        let detail = arcstr::format!("{} {id} exit code {code} ({reason})", container.name());
        let waiters = std::mem::take(&mut container.stop_waiters);
        let daemon = self.config.daemon_of(container);
        if let Some(process) = self.config.process_of(container, state.sandboxes.get(&sandbox)) {
            state.stopped.insert(process);
            context.stop(process);
        }
        self.note(context, &sandbox, step::CONTAINER_EXITED, detail);
        self.announce(context, id, &sandbox, EventType::Stopped);
        if let Some(daemon) = daemon {
            context.send(daemon, Message::node(NodeMessage::Exit { container: id.clone() }));
        }
        for client in waiters {
            self.reply(client, Ok(cri::Reply::Done), context);
        }
        self.attached(id, context);
    }

    /// Somebody (the user) kills a container's first process.
    fn kill(&mut self, namespace: &str, pod: &str, container: &str, context: &mut Context) {
        let is_it = |sandbox: &Sandbox| {
            sandbox.config.namespace == namespace && sandbox.config.name == pod && sandbox.is_ready()
        };
        let Some(sandbox) =
            self.state.sandboxes.values().find(|sandbox| is_it(sandbox)).map(|s| s.id.clone())
        else {
            return;
        };
        if container == "POD" {
            if let Some(found) = Arc::make_mut(&mut self.state).sandboxes.get_mut(&sandbox) {
                Arc::make_mut(found).is_broken = true;
            }
            self.note(context, &sandbox, step::PAUSE_STOPPED, "killed");
            self.announce(context, &sandbox, &sandbox, EventType::Stopped);
            return;
        }
        let found = self
            .state
            .containers
            .values()
            .find(|c| c.sandbox == sandbox && c.name() == container && c.is_running());
        if let Some(id) = found.map(|container| container.id.clone()) {
            self.exit(&id, 137, "Error", "", context);
        }
    }

    fn reply(&self, (client, id): (ActorId, u64), result: Result<cri::Reply, Text>, context: &mut Context) {
        context.send(client, Message::CriResponse(Arc::new(cri::Response { id, result })));
    }
    /// Begins work that takes time; its number.
    fn begin(&mut self, operation: Operation, after: Duration, context: &mut Context) -> u64 {
        let state = Arc::make_mut(&mut self.state);
        let id = state.next_operation;
        state.next_operation += 1;
        state.operations.insert(id, operation);
        context.timer(after, Timer::Engine(EngineTimer::Step { operation: id }));
        id
    }
}

/// What may be seen from outside, as plain data.
impl ContainerEngine {
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }
    pub fn sandboxes(&self) -> impl Iterator<Item = &Sandbox> {
        self.state.sandboxes.values().map(|sandbox| &**sandbox)
    }
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.state.containers.values().map(|container| &**container)
    }
    /// The containers of one sandbox, oldest first.
    pub fn containers_of(&self, sandbox: &str) -> Vec<&Container> {
        let mut found: Vec<&Container> =
            self.containers().filter(|container| container.sandbox == sandbox).collect();
        found.arrange_by_key(|container| container.created_at);
        found
    }
    /// What has happened to a pod on this node, oldest first; empty for a pod that was never here.
    pub fn story(&self, pod_uid: &str) -> &[StoryStep] {
        self.state.stories.get(pod_uid).map_or(&[], |story| story)
    }
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.state.images.values()
    }
    /// The services of the node.
    pub fn units(&self) -> &Units {
        &self.state.units
    }
    pub fn disk(&self) -> &Disk {
        &self.state.disk
    }
    /// Who listens on a port: in a pod with a network of its own (`namespace`, `name`), or on the node itself.
    pub fn listener(
        &self,
        pod: Option<(&str, &str)>,
        protocol: Protocol,
        port: u16,
        now: Time,
    ) -> Option<String> {
        self.state.listener(pod, protocol, port, now)
    }
    /// Interfaces, routes, rules and connections of the node.
    pub fn kernel(&self) -> &Kernel {
        &self.state.kernel
    }
    pub fn network(&self) -> Option<&Network> {
        self.state.cni.as_ref()
    }
    /// Why pods get no network; empty when they do.
    pub fn network_error(&self) -> &str {
        if self.config.hollow { "" } else { &self.state.cni_error }
    }
}

impl State {
    fn read_cni(&mut self, config: Option<&Value>) {
        let host = self.disk.host().clone();
        let file = |path: &str| host.read(path.trim_start_matches('/')).cloned();
        let read = config.map(|config| Network::read_on(config, &file, &self.kernel.ranges));
        match read {
            Some(Ok(mut network)) => {
                if let Some(old) = self.cni.take() {
                    for ledger in &mut network.ipam {
                        let same = old.ipam.iter().find(|former| former.range() == ledger.range());
                        if let Some(same) = same {
                            *ledger = same.clone();
                        }
                    }
                }
                self.cni = Some(network);
                self.cni_error = Text::new();
            }
            Some(Err(error)) => {
                self.cni = None;
                self.cni_error = arcstr::format!("cni config load failed: {error}");
            }
            None => {
                self.cni = None;
                self.cni_error = CNI_NOT_INITIALIZED.into();
            }
        }
    }

    fn listener(
        &self,
        pod: Option<(&str, &str)>,
        protocol: Protocol,
        port: u16,
        now: Time,
    ) -> Option<String> {
        let is_it = |sandbox: &Sandbox| match pod {
            Some((namespace, name)) => sandbox.config.namespace == namespace && sandbox.config.name == name,
            None => sandbox.config.host_network,
        };
        let mut sandboxes = self.sandboxes.values().filter(|sandbox| sandbox.is_ready() && is_it(sandbox));
        let found = sandboxes.find_map(|sandbox| {
            let mut containers = self.containers.values().filter(|one| one.sandbox == sandbox.id);
            containers.find_map(|container| container.hears(protocol, port, now))
        });
        // The kubelet is a process of the node, in no container.
        found.or_else(|| {
            let is_kubelet = pod.is_none() && protocol == Protocol::Tcp && port == 10250;
            (is_kubelet && self.units.all[host::KUBELET].is_active).then(|| "kubelet".to_string())
        })
    }
}
