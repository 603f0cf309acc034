//! Which machines a fresh cluster has, which processes run on them, and with what each is started.
//!
//! Picture to hold in mind: the fitter's plan. Machines are carried in, the archive's members first, because the API
//! servers are started with their addresses; then the control plane, then the desk of the user, then the nodes.
//!
//! The topologies are kubeadm's (`docs/setup/production-environment/tools/kubeadm/ha-topology`): stacked, where each
//! control-plane node has a member of etcd that its API server alone speaks to, and external, where each API server
//! knows all members. What has to reach "the" API server goes through a balancer, which is no machine here: each
//! connection is put through to one server, and to the next when that one cannot be reached.

use core::net::IpAddr;
use std::sync::Arc;

use crate::apiserver::{self, ApiServer};
use crate::cloud_controller::CloudController;
use crate::command::{PodNetwork, Scenario};
use crate::controllers::manager::ControllerManager;
use crate::coredns::CoreDns;
use crate::etcd::member::{Member, Peer};
use crate::ingress_nginx::IngressNginx;
use crate::kube_proxy::KubeProxy;
use crate::kube_router::KubeRouter;
use crate::kubelet::Kubelet;
use crate::kubelet::config::KubeletConfig;
use crate::kubelet::runtime::{ContainerEngine, EngineConfig};
use crate::language::Wire;
use crate::network::cni;
use crate::network::ipam::Cidr;
use crate::network::kernel::Agent;
use crate::network::policy;
use crate::network::proxy::{Mode, Settings};
use crate::network::trace::OUTSIDE;
use crate::object;
use crate::scheduler::Scheduler;
use crate::shell::terminal::Terminal;
use crate::sim::{ActorId, Control, HostId, Random};

use super::kubeadm::Kubeadm;
use super::{Cluster, MachineKind, Role, addons, archive};

/// `--cluster-cidr`: the pods of all nodes.
const CLUSTER_CIDR: &str = "10.244.0.0/16";

impl Cluster {
    pub(super) fn set_up(&mut self, scenario: &Scenario, control: &mut Control<Wire>) {
        if !self.processes.is_empty() {
            return;
        }
        self.scenario = scenario.clone();
        let workstation = self.machine(OUTSIDE, "192.168.56.1".into(), MachineKind::Workstation);
        let mut planes = Vec::new();
        for number in 1..=scenario.control_plane_nodes.max(1) {
            let ip = format!("192.168.56.{}", 9 + number);
            planes.push(self.machine(&format!("cp-{number}"), ip, MachineKind::ControlPlane));
        }
        let founders = self.set_up_etcd(&planes, control);
        let servers = self.set_up_control_plane(&planes, &founders, control);
        let actor = control.create(workstation);
        let mut terminal = Terminal::new(servers[0], &archive::programs(scenario), scenario.hollow);
        let first_ip = self.machines[planes[0].0 as usize].ip.clone();
        for (address, listener) in archive::listeners(&founders, &first_ip) {
            terminal.learn_etcd(address, listener);
        }
        // The reference cluster has one, behind whatever address.
        for (host, server) in planes.iter().zip(&servers).filter(|_| !scenario.hollow) {
            let machine = &self.machines[host.0 as usize];
            terminal.learn_server(arcstr::format!("{}:6443", machine.ip), *server);
            terminal.learn_server(arcstr::format!("{}:6443", machine.name), *server);
        }
        if !scenario.hollow {
            let addresses: Vec<(&str, &str)> = planes
                .iter()
                .map(|host| &self.machines[host.0 as usize])
                .map(|machine| (machine.name.as_str(), machine.ip.as_str()))
                .collect();
            // What `kubeadm init` tells the administrator to copy there.
            let config = crate::kubectl::administrator_config(&addresses);
            let _ = terminal.write_file(".kube/config", Some(&config));
            archive::lay_out(&mut terminal.files, &self.static_pods(planes[0]), "cp-1", &first_ip);
        }
        if scenario.local_etcd {
            self.set_up_local_etcd(workstation, &mut terminal, control);
        }
        self.process("terminal", actor, workstation, Role::Terminal(terminal));
        for process in &self.processes {
            control.start(process.actor);
        }
        for host in &planes {
            let name = self.machines[host.0 as usize].name.clone();
            self.node_processes(&name, *host, control);
        }
        let names: Vec<&str> =
            planes.iter().map(|host| self.machines[host.0 as usize].name.as_str()).collect();
        let forms = addons::forms(&names, &first_ip, scenario);
        let actor = control.create(planes[0]);
        self.process("kubeadm-cp-1", actor, planes[0], Role::Kubeadm(Kubeadm::new(servers[0], forms)));
        control.start(actor);
        for number in 1..=scenario.workers {
            self.add_node(&format!("worker-{number}"), MachineKind::Worker, control);
        }
        let cloud = |servers, engine| Role::CloudController(CloudController::new(servers, engine));
        self.set_up_add_on(planes[0], "cloud-controller-manager", cloud, control);
        let machines = self.machines.clone();
        for machine in machines {
            self.set_up_ingress(&machine.name, control);
        }
    }

    /// The process of ingress-nginx on a node.
    pub(super) fn set_up_ingress(&mut self, node: &str, control: &mut Control<Wire>) {
        let ingress = |servers, engine| Role::IngressNginx(IngressNginx::new(servers, engine));
        if let Some(host) = self.host(node) {
            self.set_up_add_on(host, "nginx-ingress-controller", ingress, control);
        }
    }

    /// The process of an add-on on a node, which works while a container there runs it.
    fn set_up_add_on(
        &mut self,
        host: HostId,
        program: &'static str,
        role: fn(Vec<ActorId>, ActorId) -> Role,
        control: &mut Control<Wire>,
    ) {
        let servers = self.servers_for(host);
        let engine = self.processes.iter_mut().find(|one| one.host == host && one.role.engine().is_some());
        let Some(process) = engine.filter(|_| !self.scenario.hollow) else { return };
        let (engine, actor) = (process.actor, control.create(host));
        if let Role::Engine(engine) = Arc::make_mut(&mut process.role) {
            engine.add_daemon(program, actor);
        }
        let name = [program, "-", &self.machines[host.0 as usize].name].concat();
        self.process(&name, actor, host, role(servers, engine));
        control.start(actor);
    }

    /// etcd's members, on the control-plane nodes or machines of their own.
    fn set_up_etcd(&mut self, planes: &[HostId], control: &mut Control<Wire>) -> Vec<Peer> {
        let mut members: Vec<(String, HostId, ActorId)> = Vec::new();
        for number in 1..=self.scenario.etcd_members.max(1) {
            let stacked = planes.get(number as usize - 1).filter(|_| !self.scenario.external_etcd);
            let (name, host) = match stacked {
                Some(host) => (format!("etcd-cp-{number}"), *host),
                None => {
                    let name = format!("etcd-{number}");
                    let host = self.machine(&name, format!("192.168.56.{}", 40 + number), MachineKind::Etcd);
                    (name, host)
                }
            };
            members.push((name, host, control.create(host)));
        }
        let founders: Vec<Peer> =
            members.iter().map(|(name, host, actor)| self.etcd_peer(name, *host, *actor)).collect();
        for (me, (name, host, actor)) in founders.iter().zip(&members) {
            self.process(
                name,
                *actor,
                *host,
                Role::Etcd(archive::by_kubeadm(Member::founding(me, &founders))),
            );
        }
        founders
    }

    /// An API server, a controller manager and a scheduler on each of `planes`; the servers.
    fn set_up_control_plane(
        &mut self,
        planes: &[HostId],
        founders: &[Peer],
        control: &mut Control<Wire>,
    ) -> Vec<ActorId> {
        let mut servers = Vec::new();
        for host in planes {
            let machine = &self.machines[host.0 as usize];
            let etcd = self.etcd_of_server(*host, founders).iter().map(|peer| peer.actor).collect();
            let mut config = apiserver::Config::new(machine.name.as_str(), machine.ip.as_str(), etcd);
            config.audits = self.scenario.audit;
            config.is_alone = planes.len() == 1;
            let name = format!("kube-apiserver-{}", machine.name);
            let actor = control.create(*host);
            self.process(&name, actor, *host, Role::ApiServer(ApiServer::new(config)));
            servers.push(actor);
        }
        // Both speak to the API server beside them (`localAPIEndpoint`).
        for (host, server) in planes.iter().zip(&servers) {
            let name = self.machines[host.0 as usize].name.clone();
            let mut random = Random::stream(control.seed(), &format!("identity/{name}"));
            let mut identity = || format!("{name}_{}", random.uuid());
            let manager = ControllerManager::new(
                *server,
                &identity(),
                &self.scenario.authority,
                self.scenario.dual_stack,
            );
            let actor = control.create(*host);
            let role = Role::ControllerManager(manager);
            self.process(&format!("kube-controller-manager-{name}"), actor, *host, role);
            let scheduler = Scheduler::new(*server, &name, &identity());
            let actor = control.create(*host);
            self.process(&format!("kube-scheduler-{name}"), actor, *host, Role::Scheduler(scheduler));
        }
        servers
    }

    /// `--etcd-servers` of the API server on `host`: of several that have a member beside them, each knows that one
    /// alone; otherwise all, the nearest first.
    fn etcd_of_server(&self, host: HostId, founders: &[Peer]) -> Vec<Peer> {
        let ip = &self.machines[host.0 as usize].ip;
        let own = founders
            .iter()
            .position(|peer| archive::address(&peer.client_url).starts_with(&format!("{ip}:")));
        let is_stacked = own.is_some() && self.scenario.control_plane_nodes > 1;
        match own {
            Some(own) if is_stacked => vec![founders[own].clone()],
            own => {
                let planes = self.machines[..host.0 as usize]
                    .iter()
                    .filter(|machine| machine.kind == MachineKind::ControlPlane)
                    .count();
                let mut all = founders.to_vec();
                all.rotate_left(own.unwrap_or(planes) % founders.len().max(1));
                all
            }
        }
    }

    /// The manifests of the static pods on a control-plane node.
    fn static_pods(&self, host: HostId) -> addons::Manifests {
        let machine = &self.machines[host.0 as usize];
        let founders = self.etcd_peers();
        let servers = self.etcd_of_server(host, &founders);
        addons::static_pods(&machine.name, &machine.ip, &founders, &servers, self.scenario.dual_stack)
    }

    /// The API servers, in the order in which a client on `host` is put through to them: on a control-plane node
    /// there is only its own (`ControlPlaneKubeletLocalMode`), workers are spread.
    fn servers_for(&self, host: HostId) -> Vec<ActorId> {
        let is_server = |process: &&super::Process| matches!(*process.role, Role::ApiServer(_));
        let servers = || self.processes.iter().filter(is_server);
        if let Some(own) = servers().find(|server| server.host == host) {
            return vec![own.actor];
        }
        let mut all: Vec<ActorId> = servers().map(|server| server.actor).collect();
        if !all.is_empty() {
            let turn = host.0 as usize % all.len();
            all.rotate_left(turn);
        }
        all
    }

    pub(super) fn add_node(&mut self, name: &str, kind: MachineKind, control: &mut Control<Wire>) {
        let workers = self.machines.iter().filter(|machine| machine.kind == MachineKind::Worker).count();
        // Workers from .101 on; beyond a hundred and fifty the third byte counts on.
        let (block, rest) = (workers / 150, workers % 150);
        let host = self.machine(name, format!("192.168.{}.{}", 56 + block, 101 + rest), kind);
        self.node_processes(name, host, control);
    }

    /// The container engine and the kubelet of a machine, started.
    fn node_processes(&mut self, name: &str, host: HostId, control: &mut Control<Wire>) {
        let servers = self.servers_for(host);
        if servers.is_empty() {
            return;
        }
        let (engine, kubelet) = (control.create(host), control.create(host));
        let machine = &self.machines[host.0 as usize];
        let mut config = KubeletConfig::new(name, &machine.ip, servers.clone(), engine, self.scenario.hollow);
        let manifests = (machine.kind == MachineKind::ControlPlane && !self.scenario.hollow)
            .then(|| self.static_pods(host));
        if machine.kind == MachineKind::ControlPlane {
            config.taints.push(object! {
                "key" => "node-role.kubernetes.io/control-plane",
                "effect" => "NoSchedule",
            });
            config.manifests = manifests.clone().unwrap_or_default();
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
            engine_config.processes = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
                .into_iter()
                .filter_map(|process| Some((process, self.actor(&format!("{process}-{name}"))?)))
                .collect();
            // Calico's Felix judges as kube-router does.
            engine_config.daemons = vec![
                ("kube-proxy", proxy),
                ("kube-router", router),
                ("start_runit", router),
                ("coredns", dns),
            ];
            if self.scenario.network != PodNetwork::Bridge {
                engine_config.agent = Agent::Nobody;
            }
            let settings = Settings {
                node_name: name.into(),
                node_ip: address,
                cluster_cidr: engine_config.cluster_range,
                masquerades_all: false,
                mode: Mode::Iptables,
                scheduler: "rr".into(),
            };
            let proxy_role = Role::KubeProxy(KubeProxy::new(servers.clone(), engine, settings));
            daemons.push(("kube-proxy", proxy, proxy_role));
            let settings = policy::Settings {
                node_name: name.into(),
                node_ip: machine.ip.as_str().into(),
                service_range: Cidr::parse(apiserver::SERVICE_CLUSTER_IP_RANGE),
            };
            let router_role = Role::KubeRouter(KubeRouter::new(servers.clone(), engine, settings));
            daemons.push(("kube-router", router, router_role));
            daemons.push(("coredns", dns, Role::CoreDns(CoreDns::new(servers, engine))));
        }
        engine_config.programs = archive::PROGRAMS_OF_IMAGES;
        // The terminal stands at the console of the first node.
        let console = (name == "cp-1" && !self.scenario.hollow).then(|| self.actor("terminal")).flatten();
        engine_config.console = console;
        let ip = machine.ip.clone();
        let mut container_engine = ContainerEngine::new(engine_config);
        for folder in [cni::PLUGINS, cni::CONFIGURATIONS].into_iter().filter(|_| !self.scenario.hollow) {
            container_engine.make_host_directory(folder);
        }
        for (address, listener) in archive::listeners(&self.etcd_peers(), &ip) {
            container_engine.learn_etcd(address, listener);
        }
        if let Some(manifests) = &manifests {
            archive::furnish(&mut container_engine, manifests, name, &ip);
        }
        if !self.scenario.hollow {
            archive::lay_out_node(&mut container_engine, name, &ip);
            self.put_through(name, &ip, engine);
        }
        container_engine.know_disk();
        if let Some(terminal) = console {
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
            match Arc::make_mut(&mut process.role) {
                Role::Engine(engine) => {
                    engine.learn_neighbour(name, address, actor);
                    new.learn_neighbour(&machine.name, other, process.actor);
                }
                // No machine of the cluster's network.
                Role::Outside(engine) => engine.learn_neighbour(name, address, actor),
                _ => {}
            }
        }
    }

    /// The workstation's own kernel, when the first request is sent from there.
    pub(super) fn set_up_outside(&mut self, control: &mut Control<Wire>) {
        let Some(host) = self.host(OUTSIDE) else { return };
        let actor = control.create(host);
        let mut config = EngineConfig::new(actor, false);
        config.node = OUTSIDE.into();
        config.address = self.machines[host.0 as usize].ip.parse().ok();
        let mut engine = ContainerEngine::new(config);
        for process in &mut self.processes {
            let machine = &self.machines[process.host.0 as usize];
            if let (Role::Engine(_), Ok(address)) = (&*process.role, machine.ip.parse()) {
                engine.learn_neighbour(&machine.name, address, process.actor);
            }
            if machine.name == "cp-1"
                && let Role::Engine(other) = Arc::make_mut(&mut process.role)
            {
                engine.learn_balancers(other.learn_outside(actor));
            }
        }
        self.process("network-workstation", actor, host, Role::Outside(engine));
        control.start(actor);
    }
}
