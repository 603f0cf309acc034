//! Wires the actors to the engine; the only module that knows them all.
//!
//! Picture to hold in mind: the rack. Machines stand in it, processes run on machines, and here is written
//! which process is on which machine, what it was started with, and which button of the outside does what.
//!
//! The default cluster is `cp-1` and three workers. etcd's first member runs on `cp-1` as a static pod, the
//! others on machines of their own, so that a quorum can be lost and the control plane still be looked at.

mod addons;
mod archive;
mod faults;
mod kubeadm;
mod load;
mod set_up;

use std::sync::Arc;

use crate::apiserver::ApiServer;
use crate::cloud_controller::CloudController;
use crate::command::{Command, PodNetwork, Scenario};
use crate::controllers::manager::ControllerManager;
use crate::coredns::CoreDns;
use crate::etcd::member::{DISK_LATENCY, Flags, Member, QUOTA_BYTES};
#[cfg(feature = "gateway")]
use crate::gateway::Gateway;
use crate::ingress_nginx::IngressNginx;
use crate::kube_proxy::KubeProxy;
use crate::kube_router::KubeRouter;
use crate::kubelet::Kubelet;
use crate::kubelet::runtime::ContainerEngine;
use crate::kubelet::runtime::host::KUBELET;
use crate::language::{Context, Input, Wire};
use crate::scheduler::Scheduler;
use crate::shell::terminal::Terminal;
use crate::sim::{ActorId, Control, Duration, Engine, History, HostId, Network, Random, Time, World};
#[cfg(feature = "gateway")]
use crate::timer::GatewayTimer;
use crate::timer::{EtcdTimer, TerminalTimer, Timer};

pub use faults::refusal;

use kubeadm::Kubeadm;

/// All actors of the cluster. A clone is a checkpoint: actors are shared until they next change.
#[derive(Clone, Default)]
pub struct Cluster {
    /// By the actor's number.
    processes: Vec<Process>,
    /// By the host's number.
    machines: Vec<Machine>,
    scenario: Scenario,
}

/// One process, and where it runs.
#[derive(Clone)]
pub struct Process {
    /// `kube-apiserver-cp-1`, `kubelet-worker-1`: the name that commands use.
    pub name: String,
    pub actor: ActorId,
    pub host: HostId,
    pub role: Arc<Role>,
}

#[derive(Clone)]
pub struct Machine {
    pub name: String,
    pub ip: String,
    pub kind: MachineKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineKind {
    ControlPlane,
    Worker,
    Etcd,
    Workstation,
}

/// What a process is. The variants are the actors of this world.
#[expect(
    clippy::large_enum_variant,
    reason = "each stands behind an Arc of its own; a box inside would be one more hop"
)]
#[derive(Clone)]
pub enum Role {
    Etcd(Member),
    ApiServer(ApiServer),
    ControllerManager(ControllerManager),
    Scheduler(Scheduler),
    Kubelet(Kubelet),
    Engine(ContainerEngine),
    /// The kernel of the workstation, from where requests come that are sent from outside of the cluster.
    Outside(ContainerEngine),
    Terminal(Terminal),
    Kubeadm(Kubeadm),
    KubeProxy(KubeProxy),
    KubeRouter(KubeRouter),
    CoreDns(CoreDns),
    CloudController(CloudController),
    IngressNginx(IngressNginx),
    #[cfg(feature = "gateway")]
    Gateway(Gateway),
}

impl Role {
    /// Who sends and receives packets on a machine.
    fn engine(&self) -> Option<&ContainerEngine> {
        match self {
            Role::Engine(engine) | Role::Outside(engine) => Some(engine),
            _ => None,
        }
    }
}

/// A new history of a cluster with `seed`, set up by [`Command::Boot`].
pub fn boot(seed: u64, scenario: Scenario) -> History<Cluster> {
    boot_at(seed, scenario, Time::ZERO)
}

/// The same, set up at `instant`: before it nothing happens.
pub fn boot_at(seed: u64, scenario: Scenario, instant: Time) -> History<Cluster> {
    let mut history = History::new(Engine::new(seed, Cluster::default(), Network::default()));
    history.run_until(instant);
    history.command(Command::Boot(scenario));
    history
}

impl World for Cluster {
    type Language = Wire;

    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        if matches!(input, Input::Start) {
            self.take_restored_data(actor);
            self.note_kubelet(actor, true, context.now());
        }
        let Some(process) = self.processes.get_mut(actor.0 as usize) else { return };
        match Arc::make_mut(&mut process.role) {
            Role::Etcd(member) => member.handle(input, context),
            Role::ApiServer(server) => server.handle(input, context),
            Role::ControllerManager(manager) => manager.handle(input, context),
            Role::Scheduler(scheduler) => scheduler.handle(input, context),
            Role::Kubelet(kubelet) => kubelet.handle(input, context),
            Role::Engine(engine) | Role::Outside(engine) => engine.handle(input, context),
            Role::Terminal(terminal) => terminal.handle(input, context),
            Role::Kubeadm(kubeadm) => kubeadm.handle(input, context),
            Role::KubeProxy(proxy) => proxy.handle(input, context),
            Role::KubeRouter(router) => router.handle(input, context),
            Role::CoreDns(server) => server.handle(input, context),
            Role::CloudController(controller) => controller.handle(input, context),
            Role::IngressNginx(controller) => controller.handle(input, context),
            #[cfg(feature = "gateway")]
            Role::Gateway(gateway) => gateway.handle(input, context),
        }
    }

    fn stopped(&mut self, actor: ActorId, now: Time) {
        self.note_kubelet(actor, false, now);
        let process = self.processes.get_mut(actor.0 as usize);
        if let Some(Role::Etcd(member)) = process.map(|process| Arc::make_mut(&mut process.role)) {
            member.stopped();
        }
    }

    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        match command {
            Command::Boot(scenario) => self.set_up(scenario, control),
            Command::Exec { session, line, stdin } => {
                if let Some((actor, terminal)) = self.terminal_mut() {
                    let id = terminal.enter(*session, line.as_str(), stdin.as_str());
                    control.wake(actor, Timer::Terminal(TerminalTimer::Enter { id }));
                }
            }
            Command::Interrupt { session } => {
                if let Some((actor, terminal)) = self.terminal_mut() {
                    let id = terminal.interrupt(*session);
                    control.wake(actor, Timer::Terminal(TerminalTimer::Enter { id }));
                }
            }
            #[cfg(feature = "gateway")]
            Command::Http { exchange, request } => {
                if let Some((actor, gateway)) = self.gateway(control) {
                    gateway.take(*exchange, request.clone());
                    control.wake(actor, Timer::Gateway(GatewayTimer::Begin { exchange: *exchange }));
                }
            }
            #[cfg(feature = "gateway")]
            Command::HangUp { exchange } => {
                if let Some((actor, gateway)) = self.gateway(control) {
                    gateway.hang_up(*exchange);
                    control.wake(actor, Timer::Gateway(GatewayTimer::Begin { exchange: *exchange }));
                }
            }
            // Nobody outside can knock at a page.
            #[cfg(not(feature = "gateway"))]
            Command::Http { .. } | Command::HangUp { .. } => {}
            Command::WriteFile { path, content } => {
                if let Some((_, terminal)) = self.terminal_mut() {
                    // A path that cannot be written changes nothing; the shell says so when it is used.
                    let _ = terminal.write_file(path, content.as_deref());
                }
            }
            Command::StopProcess { process } => {
                if let Some(actor) = self.actor(process) {
                    control.stop(actor);
                }
            }
            Command::StartProcess { process } => {
                if let Some(actor) = self.actor(process) {
                    control.start(actor);
                }
            }
            Command::StopHost { host } => self.power(host, false, control),
            Command::StartHost { host } => self.power(host, true, control),
            Command::KillContainer { namespace, pod, container } => {
                self.kill(namespace, pod, container, control);
            }
            Command::CutLink { a, b } => self.cut(a, b, true, control),
            Command::JoinLink { a, b } => self.cut(a, b, false, control),
            Command::CutOneWay { from, to } => {
                if let (Some(from), Some(to)) = (self.place(from), self.place(to)) {
                    control.network().fault_mut(from, to).cut = true;
                }
            }
            Command::DegradeLink { from, to, extra_delay_us, loss_per_million } => {
                if let (Some(from), Some(to)) = (self.place(from), self.place(to)) {
                    let fault = control.network().fault_mut(from, to);
                    fault.extra_delay = Duration(*extra_delay_us);
                    fault.loss_per_million = (*loss_per_million).min(1_000_000);
                }
            }
            Command::HealNetwork => control.network().heal(),
            Command::DropMessage { record } => control.drop_in_flight(crate::sim::RecordId(*record)),
            Command::DelayMessage { record, by_us } => {
                control.delay_in_flight(crate::sim::RecordId(*record), Duration(*by_us));
            }
            Command::Campaign { member, after_us } => {
                if let Some(actor) = self.actor(member) {
                    control.wake(actor, Timer::Etcd(EtcdTimer::Campaign { after: Duration(*after_us) }));
                }
            }
            Command::TransferLeader { member } => {
                if let Some(actor) = self.actor(member) {
                    control.wake(actor, Timer::Etcd(EtcdTimer::TakeOver));
                }
            }
            Command::SlowDisk { member, latency_us } => {
                if let Some(member) = self.etcd_mut(member) {
                    let latency = Duration(*latency_us);
                    member.disk_latency =
                        if latency == Duration::ZERO { DISK_LATENCY } else { (latency, latency) };
                }
            }
            Command::CorruptDisk { member } => {
                let mut random = Random::stream(control.seed() ^ control.now().0, "corrupt disk");
                if let Some(member) = self.etcd_mut(member) {
                    member.corrupt_disk(&mut random);
                }
            }
            Command::SetQuota { member, bytes } => {
                if let Some(member) = self.etcd_mut(member) {
                    member.quota_bytes = if *bytes == 0 { QUOTA_BYTES } else { *bytes };
                }
            }
            Command::SetFlags { member, flags } => {
                if let Some(member) = self.etcd_mut(member)
                    && let Ok(flags) = Flags::read(&member.usual_flags, flags)
                    && !member.is_running()
                {
                    member.flags = flags;
                }
            }
            Command::AddEtcdMember { name, is_learner } => {
                let is_new = self.actor(name).is_none() && self.host(name).is_none();
                if (is_new || self.etcd(name).is_some()) && self.cannot_join(name).is_none() {
                    self.add_etcd_member(name, Some(*is_learner), control);
                }
            }
            Command::Partition { sides } => self.partition(sides, control),
            Command::StartLoad { source, url, host, requests_per_second, keeps_connections } => {
                self.stop_load(control);
                self.start_load(source, url, host, (*requests_per_second, *keeps_connections), control);
            }
            Command::StopLoad => self.stop_load(control),
            Command::AddNode { name } => {
                if self.host(name).is_none() {
                    self.add_node(name, MachineKind::Worker, control);
                    self.set_up_ingress(name, control);
                }
            }
        }
    }
}

impl Cluster {
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }
    pub fn actor(&self, process: &str) -> Option<ActorId> {
        self.processes.iter().find(|other| other.name == process).map(|other| other.actor)
    }
    pub fn host(&self, machine: &str) -> Option<HostId> {
        self.machines.iter().position(|other| other.name == machine).map(|index| HostId(index as u32))
    }
    pub fn api_server(&self) -> Option<&ApiServer> {
        self.processes.iter().find_map(|process| match &*process.role {
            Role::ApiServer(server) => Some(server),
            _ => None,
        })
    }
    /// An API server, for whoever plays a stretch of time again to look closer.
    pub fn api_server_mut(&mut self, actor: ActorId) -> Option<&mut ApiServer> {
        match Arc::make_mut(&mut self.processes.get_mut(actor.0 as usize)?.role) {
            Role::ApiServer(server) => Some(server),
            _ => None,
        }
    }
    /// The kubelet and the container engine of a machine.
    pub fn node(&self, host: HostId) -> (Option<&Kubelet>, Option<&ContainerEngine>) {
        let mut node = (None, None);
        for process in self.processes.iter().filter(|process| process.host == host) {
            match &*process.role {
                Role::Kubelet(kubelet) => node.0 = Some(kubelet),
                Role::Engine(engine) => node.1 = Some(engine),
                _ => {}
            }
        }
        node
    }
    /// How many pods a fresh cluster has: static pods, kube-proxy on each node, CoreDNS twice.
    pub fn system_pods(&self) -> usize {
        if self.scenario.hollow {
            return 0;
        }
        let Scenario { control_plane_nodes, workers, etcd_members, external_etcd, .. } = self.scenario;
        let planes = control_plane_nodes.max(1);
        let stacked = if external_etcd { 0 } else { planes.min(etcd_members.max(1)) };
        let nodes = planes + workers;
        let network = match self.scenario.network {
            PodNetwork::Bridge => 0,
            PodNetwork::Flannel => nodes,
            PodNetwork::Calico => nodes + 1,
        };
        (planes * 3 + stacked + nodes + 2 + network) as usize
    }
    /// The terminal on the workstation.
    pub fn terminal(&self) -> Option<&Terminal> {
        self.processes.iter().find_map(|process| match &*process.role {
            Role::Terminal(terminal) => Some(terminal),
            _ => None,
        })
    }
    fn terminal_mut(&mut self) -> Option<(ActorId, &mut Terminal)> {
        let process = self.processes.iter_mut().find(|process| matches!(*process.role, Role::Terminal(_)))?;
        match Arc::make_mut(&mut process.role) {
            Role::Terminal(terminal) => Some((process.actor, terminal)),
            _ => None,
        }
    }

    /// The gateway on the workstation, set up when somebody outside first knocks.
    #[cfg(feature = "gateway")]
    fn gateway(&mut self, control: &mut Control<Wire>) -> Option<(ActorId, &mut Gateway)> {
        if !self.processes.iter().any(|process| matches!(*process.role, Role::Gateway(_))) {
            let server = self.processes.iter().find(|process| matches!(*process.role, Role::ApiServer(_)))?;
            let (server, host) = (server.actor, self.host("workstation")?);
            let actor = control.create(host);
            self.process("gateway", actor, host, Role::Gateway(Gateway::new(server)));
            control.start(actor);
        }
        let process = self.processes.iter_mut().find(|process| matches!(*process.role, Role::Gateway(_)))?;
        match Arc::make_mut(&mut process.role) {
            Role::Gateway(gateway) => Some((process.actor, gateway)),
            _ => None,
        }
    }

    /// Tells the machine of a kubelet that it runs, or no longer does.
    fn note_kubelet(&mut self, actor: ActorId, is_active: bool, now: Time) {
        let Some(process) = self.processes.get(actor.0 as usize) else { return };
        if !matches!(*process.role, Role::Kubelet(_)) {
            return;
        }
        let host = process.host;
        for process in self.processes.iter_mut().filter(|process| process.host == host) {
            if let Role::Engine(engine) = &*process.role
                && engine.units().all[KUBELET].is_active != is_active
                && let Role::Engine(engine) = Arc::make_mut(&mut process.role)
            {
                engine.note_kubelet(is_active, now);
            }
        }
    }

    fn machine(&mut self, name: &str, ip: String, kind: MachineKind) -> HostId {
        self.machines.push(Machine { name: name.into(), ip, kind });
        HostId(self.machines.len() as u32 - 1)
    }
    /// Actors are numbered in the order in which they are created, and so are processes.
    fn process(&mut self, name: &str, actor: ActorId, host: HostId, role: Role) {
        let index = actor.0 as usize;
        if self.processes.len() <= index {
            let filler = Process { name: String::new(), actor, host, role: Arc::new(role) };
            self.processes.resize(index + 1, filler);
            self.processes[index].name = name.into();
        } else {
            self.processes[index] = Process { name: name.into(), actor, host, role: Arc::new(role) };
        }
    }

    fn etcd(&self, process: &str) -> Option<&Member> {
        match &*self.processes.iter().find(|other| other.name == process)?.role {
            Role::Etcd(member) => Some(member),
            _ => None,
        }
    }
    fn etcd_mut(&mut self, process: &str) -> Option<&mut Member> {
        let process = self.processes.iter_mut().find(|other| other.name == process)?;
        match Arc::make_mut(&mut process.role) {
            Role::Etcd(member) => Some(member),
            _ => None,
        }
    }
}
