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

use core::net::IpAddr;
use std::sync::Arc;

use crate::apiserver::{self, ApiServer};
use crate::command::{Command, Scenario};
use crate::controllers::manager::ControllerManager;
use crate::coredns::CoreDns;
use crate::etcd::identity::{TOKEN, member_id};
use crate::etcd::member::{DISK_LATENCY, Flags, Member, Peer, QUOTA_BYTES};
#[cfg(feature = "gateway")]
use crate::gateway::Gateway;
use crate::kube_proxy::KubeProxy;
use crate::kube_router::KubeRouter;
use crate::kubelet::Kubelet;
use crate::kubelet::config::KubeletConfig;
use crate::kubelet::runtime::{ContainerEngine, EngineConfig};
use crate::language::{Context, Input, Wire};
use crate::message::raft::MemberId;
use crate::network::ipam::Cidr;
use crate::network::policy;
use crate::network::proxy::Settings;
use crate::object;
use crate::scheduler::Scheduler;
use crate::shell::terminal::Terminal;
use crate::sim::{ActorId, Control, Duration, Engine, History, HostId, Network, Random, Time, World};
#[cfg(feature = "gateway")]
use crate::timer::GatewayTimer;
use crate::timer::{EtcdTimer, TerminalTimer, Timer};

pub use faults::refusal;

use kubeadm::Kubeadm;

/// `--cluster-cidr`: the pods of all nodes.
const CLUSTER_CIDR: &str = "10.244.0.0/16";

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
    Terminal(Terminal),
    Kubeadm(Kubeadm),
    KubeProxy(KubeProxy),
    KubeRouter(KubeRouter),
    CoreDns(CoreDns),
    #[cfg(feature = "gateway")]
    Gateway(Gateway),
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
        let Some(process) = self.processes.get_mut(actor.0 as usize) else { return };
        match Arc::make_mut(&mut process.role) {
            Role::Etcd(member) => member.handle(input, context),
            Role::ApiServer(server) => server.handle(input, context),
            Role::ControllerManager(manager) => manager.handle(input, context),
            Role::Scheduler(scheduler) => scheduler.handle(input, context),
            Role::Kubelet(kubelet) => kubelet.handle(input, context),
            Role::Engine(engine) => engine.handle(input, context),
            Role::Terminal(terminal) => terminal.handle(input, context),
            Role::Kubeadm(kubeadm) => kubeadm.handle(input, context),
            Role::KubeProxy(proxy) => proxy.handle(input, context),
            Role::KubeRouter(router) => router.handle(input, context),
            Role::CoreDns(server) => server.handle(input, context),
            #[cfg(feature = "gateway")]
            Role::Gateway(gateway) => gateway.handle(input, context),
        }
    }

    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        match command {
            Command::Boot(scenario) => self.set_up(scenario, control),
            Command::Exec { session, line, stdin } => {
                if let Some((actor, terminal)) = self.terminal() {
                    let id = terminal.enter(*session, line.as_str(), stdin.as_str());
                    control.wake(actor, Timer::Terminal(TerminalTimer::Enter { id }));
                }
            }
            Command::Interrupt { session } => {
                if let Some((actor, terminal)) = self.terminal() {
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
                if let Some((_, terminal)) = self.terminal() {
                    // A path that cannot be written changes nothing; the shell says so when it is used.
                    let _ = terminal.write_file(path, content.as_deref());
                }
            }
            Command::StopProcess { process } => {
                if let Some(member) = self.etcd_mut(process) {
                    member.stopped();
                }
                if let Some(actor) = self.actor(process) {
                    control.stop(actor);
                }
            }
            Command::StartProcess { process } => {
                self.take_restored_data(process);
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
            Command::SetQuota { member, bytes } => {
                if let Some(member) = self.etcd_mut(member) {
                    member.quota_bytes = if *bytes == 0 { QUOTA_BYTES } else { *bytes };
                }
            }
            Command::SetFlags { member, flags } => {
                if let (Some(member), Ok(flags)) = (self.etcd_mut(member), Flags::read(flags))
                    && !member.is_running()
                {
                    member.flags = flags;
                }
            }
            Command::AddEtcdMember { name, is_learner } => {
                if self.actor(name).is_none() && self.host(name).is_none() {
                    self.add_etcd_member(name, Some(*is_learner), control);
                }
            }
            Command::Partition { sides } => self.partition(sides, control),
            Command::AddNode { name } => {
                if self.host(name).is_none() {
                    self.add_node(name, MachineKind::Worker, control);
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
        let planes = self.scenario.control_plane_nodes.max(1);
        (planes * 4 + planes + self.scenario.workers + 2) as usize
    }
    fn terminal(&mut self) -> Option<(ActorId, &mut Terminal)> {
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

    fn set_up(&mut self, scenario: &Scenario, control: &mut Control<Wire>) {
        if !self.processes.is_empty() {
            return;
        }
        self.scenario = scenario.clone();
        let workstation = self.machine("workstation", "192.168.56.1".into(), MachineKind::Workstation);
        let mut planes = Vec::new();
        for number in 1..=scenario.control_plane_nodes.max(1) {
            let ip = format!("192.168.56.{}", 9 + number);
            planes.push(self.machine(&format!("cp-{number}"), ip, MachineKind::ControlPlane));
        }
        // Members first: the API servers are started with their addresses.
        let mut members: Vec<(String, HostId, ActorId)> = Vec::new();
        for number in 1..=scenario.etcd_members.max(1) {
            let (name, host) = match planes.get(number as usize - 1) {
                Some(host) => (format!("etcd-cp-{number}"), *host),
                None => {
                    let name = format!("etcd-{number}");
                    let host = self.machine(&name, format!("192.168.56.{}", 40 + number), MachineKind::Etcd);
                    (name, host)
                }
            };
            members.push((name, host, control.create(host)));
        }
        let peers: Vec<ActorId> = members.iter().map(|(_, _, actor)| *actor).collect();
        let founders: Vec<Peer> =
            members.iter().map(|(name, host, actor)| self.etcd_peer(name, *host, *actor)).collect();
        for (me, (name, host, actor)) in founders.iter().zip(&members) {
            self.process(name, *actor, *host, Role::Etcd(Member::founding(me, &founders)));
        }
        let mut servers = Vec::new();
        for (index, host) in planes.iter().enumerate() {
            let name = format!("cp-{}", index + 1);
            // Each server prefers the member beside it.
            let mut etcd = peers.clone();
            etcd.rotate_left(index % peers.len());
            let mut config = apiserver::Config::new(name.as_str(), etcd);
            config.audits = scenario.audit;
            let actor = control.create(*host);
            self.process(
                &format!("kube-apiserver-{name}"),
                actor,
                *host,
                Role::ApiServer(ApiServer::new(config)),
            );
            servers.push(actor);
        }
        for (index, host) in planes.iter().enumerate() {
            let name = format!("cp-{}", index + 1);
            let mut random = Random::stream(control.seed(), &format!("identity/{name}"));
            let mut identity = || format!("{name}_{}", random.uuid());
            let manager = ControllerManager::new(servers[index], &identity());
            let actor = control.create(*host);
            let role = Role::ControllerManager(manager);
            self.process(&format!("kube-controller-manager-{name}"), actor, *host, role);
            let scheduler = Scheduler::new(servers[index], &name, &identity());
            let actor = control.create(*host);
            self.process(&format!("kube-scheduler-{name}"), actor, *host, Role::Scheduler(scheduler));
        }
        let actor = control.create(workstation);
        let mut terminal = Terminal::new(servers[0], &archive::programs(scenario));
        for (address, listener) in archive::listeners(&founders, "192.168.56.10") {
            terminal.learn_etcd(address, listener);
        }
        if !scenario.hollow {
            // What `kubeadm init` tells the administrator to copy there.
            let _ = terminal.write_file(".kube/config", Some(crate::kubectl::ADMINISTRATOR_CONFIG));
            archive::lay_out(&mut terminal.files, "cp-1", "192.168.56.10");
        }
        if scenario.local_etcd {
            self.set_up_local_etcd(workstation, &mut terminal, control);
        }
        self.process("terminal", actor, workstation, Role::Terminal(terminal));
        for process in &self.processes {
            control.start(process.actor);
        }
        for host in planes {
            let name = self.machines[host.0 as usize].name.clone();
            self.node_processes(&name, host, control);
        }
        if !scenario.hollow {
            let first = HostId(1);
            let objects = addons::objects(&self.machines[first.0 as usize].ip);
            let actor = control.create(first);
            self.process("kubeadm-cp-1", actor, first, Role::Kubeadm(Kubeadm::new(servers[0], objects)));
            control.start(actor);
        }
        for number in 1..=scenario.workers {
            self.add_node(&format!("worker-{number}"), MachineKind::Worker, control);
        }
    }

    fn add_node(&mut self, name: &str, kind: MachineKind, control: &mut Control<Wire>) {
        let workers = self.machines.iter().filter(|machine| machine.kind == MachineKind::Worker).count();
        // Workers from .101 on; beyond a hundred and fifty the third byte counts on.
        let (block, rest) = (workers / 150, workers % 150);
        let host = self.machine(name, format!("192.168.{}.{}", 56 + block, 101 + rest), kind);
        self.node_processes(name, host, control);
    }

    /// The container engine and the kubelet of a machine, started.
    fn node_processes(&mut self, name: &str, host: HostId, control: &mut Control<Wire>) {
        let Some(server) = self.processes.iter().find(|process| matches!(*process.role, Role::ApiServer(_)))
        else {
            return;
        };
        let server = server.actor;
        let (engine, kubelet) = (control.create(host), control.create(host));
        let machine = &self.machines[host.0 as usize];
        let mut config = KubeletConfig::new(name, &machine.ip, server, engine, self.scenario.hollow);
        if machine.kind == MachineKind::ControlPlane {
            config.labels.push(("node-role.kubernetes.io/control-plane".into(), "".into()));
            config.taints.push(object! {
                "key" => "node-role.kubernetes.io/control-plane",
                "effect" => "NoSchedule",
            });
            if !self.scenario.hollow {
                config.manifests = addons::static_pods(name, &machine.ip);
            }
        } else {
            let workers = self.machines.iter().filter(|machine| machine.kind == MachineKind::Worker).count();
            // Zones a, b and c in turn; the third worker has the solid-state disk.
            let zone = ["zone-a", "zone-b", "zone-c"][(workers - 1) % 3];
            config.labels.push(("topology.kubernetes.io/zone".into(), zone.into()));
            if workers == 3 {
                config.labels.push(("disktype".into(), "ssd".into()));
            }
        }
        let mut engine_config = EngineConfig::new(kubelet, self.scenario.hollow);
        let address = machine.ip.parse().ok();
        let mut daemons = Vec::new();
        if !self.scenario.hollow {
            let [proxy, router, dns] = std::array::from_fn(|_| control.create(host));
            engine_config.images = addons::images(machine.kind == MachineKind::ControlPlane);
            engine_config.node = name.into();
            engine_config.address = address;
            engine_config.cluster_range = Cidr::parse(CLUSTER_CIDR);
            engine_config.daemons = vec![("kube-proxy", proxy), ("kube-router", router), ("coredns", dns)];
            let settings = Settings {
                node_name: name.into(),
                node_ip: address,
                cluster_cidr: engine_config.cluster_range,
                masquerades_all: false,
            };
            let proxy_role = Role::KubeProxy(KubeProxy::new(server, engine, settings));
            daemons.push(("kube-proxy", proxy, proxy_role));
            let settings = policy::Settings {
                node_name: name.into(),
                node_ip: machine.ip.as_str().into(),
                service_range: Cidr::parse(apiserver::SERVICE_CLUSTER_IP_RANGE),
            };
            let router_role = Role::KubeRouter(KubeRouter::new(server, engine, settings));
            daemons.push(("kube-router", router, router_role));
            daemons.push(("coredns", dns, Role::CoreDns(CoreDns::new(server, engine))));
        }
        engine_config.programs = archive::PROGRAMS_OF_IMAGES;
        // The terminal stands at the console of the first node.
        let console = (name == "cp-1" && !self.scenario.hollow).then(|| self.actor("terminal")).flatten();
        engine_config.console = console;
        let (ip, is_plane) = (machine.ip.clone(), machine.kind == MachineKind::ControlPlane);
        let mut container_engine = ContainerEngine::new(engine_config);
        for (address, listener) in archive::listeners(&self.etcd_peers(), &ip) {
            container_engine.learn_etcd(address, listener);
        }
        if is_plane && !self.scenario.hollow {
            archive::furnish(&mut container_engine, name, &ip);
        }
        if let Some(terminal) = console {
            container_engine.attach_console();
            self.stand_at(terminal, engine);
        }
        if let (Some(address), false) = (address, self.scenario.hollow) {
            self.lay_wire(name, address, engine, &mut container_engine);
        }
        let engine_role = Role::Engine(container_engine);
        self.process(&format!("containerd-{name}"), engine, host, engine_role);
        self.process(&format!("kubelet-{name}"), kubelet, host, Role::Kubelet(Kubelet::new(config)));
        control.start(engine);
        control.start(kubelet);
        for (program, actor, role) in daemons {
            self.process(&format!("{program}-{name}"), actor, host, role);
            control.start(actor);
        }
    }

    /// Connects a node with all that are there: their kernels know one another's addresses.
    fn lay_wire(&mut self, name: &str, address: IpAddr, actor: ActorId, new: &mut ContainerEngine) {
        for process in &mut self.processes {
            let machine = &self.machines[process.host.0 as usize];
            let Ok(other) = machine.ip.parse() else { continue };
            if let Role::Engine(engine) = Arc::make_mut(&mut process.role) {
                engine.learn_neighbour(name, address, actor);
                new.learn_neighbour(&machine.name, other, process.actor);
            }
        }
    }

    /// Where all members of the cluster's etcd are.
    fn etcd_peers(&self) -> Vec<Peer> {
        let peer = |process: &Process| match &*process.role {
            Role::Etcd(member) if member.peer().client_url.starts_with("https") => {
                Some(member.peer().clone())
            }
            _ => None,
        };
        self.processes.iter().filter_map(peer).collect()
    }
    /// How the other members find one.
    fn etcd_peer(&self, name: &str, host: HostId, actor: ActorId) -> Peer {
        let ip = &self.machines[host.0 as usize].ip;
        let (peer_url, client_url) =
            (arcstr::format!("https://{ip}:2380"), arcstr::format!("https://{ip}:2379"));
        Peer {
            id: member_id(&[&peer_url], TOKEN, None),
            // kubeadm calls a member by its node, the pod `etcd-` and that.
            name: name.strip_prefix("etcd-").filter(|node| self.host(node).is_some()).unwrap_or(name).into(),
            peer_url,
            client_url,
            actor,
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

    /// Starts a member that joins etcd, on a machine of its own. With `is_learner` it asks to be added.
    fn add_etcd_member(&mut self, name: &str, is_learner: Option<bool>, control: &mut Control<Wire>) {
        let taken = self.machines.iter().filter(|machine| machine.kind == MachineKind::Etcd).count();
        // Members on machines of their own have the addresses from .42 on; those that are added go on above them.
        let host = self.machine(name, format!("192.168.56.{}", 50 + taken), MachineKind::Etcd);
        let actor = control.create(host);
        let me = Peer { id: MemberId(0), ..self.etcd_peer(name, host, actor) };
        let mut others = Vec::new();
        for process in &mut self.processes {
            if let Role::Etcd(member) = Arc::make_mut(&mut process.role) {
                member.learn_address(me.peer_url.clone(), actor);
                others.push(member.peer().clone());
            }
        }
        self.process(name, actor, host, Role::Etcd(Member::joining(&me, &others, is_learner)));
        control.start(actor);
    }
}
