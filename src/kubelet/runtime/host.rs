//! The node itself, as whoever has come by `ssh` finds it: its services, its own files, and those that kubelet and engine
//! keep there.
//!
//! Picture to hold in mind: the machine room below all flats. Whoever stands in it has no flat of his own, but the
//! switches of the house are on its walls, and the letter boxes of all tenants can be opened from behind.
//!
//! A command of the node runs as those of containers do, in the place of a container that is none ([`HOST`]). The engine
//! keeps it because it keeps the node's kernel and disk: where `containerd` is stopped here, only its socket is closed.

use core::cell::OnceCell;
use std::sync::Arc;

use crate::api::{Map, Text, Value, time};
use crate::language::Context;
use crate::message::Message;
use crate::message::cri::{
    Call, ContainerConfig, ContainerState, DnsConfig, HostChange, HostFile, Image, Mount, MountSource, Reply,
    SandboxConfig,
};
use crate::network::cni;
use crate::sim::Time;
use crate::sorted::SortedMap;
use crate::{array, object};

use super::container::Container;
use super::files::Directory;
use super::images::Content;
use super::sandbox::Sandbox;
use super::{ContainerEngine, EngineConfig, State};

/// The name of no container: the node's own place.
pub const HOST: &str = "";
/// Where the engine looks for the configuration of the network.
const CNI_FOLDER: &str = "etc/cni/net.d/";
/// What is written there by the engine, as soon as it knows the node's ranges.
const CNI_FILE: &str = "etc/cni/net.d/10-containerd-net.conflist";
const MANIFESTS: &str = "etc/kubernetes/manifests/";
/// Lines of the journal that are kept.
const JOURNAL: usize = 200;

/// A service of systemd.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    pub is_active: bool,
    pub since: Time,
}

/// The services, and what systemd has written down of them.
#[derive(Clone, Debug)]
pub struct Units {
    pub all: [Unit; 2],
    pub journal: Vec<(Time, usize, Text)>,
    /// Processes to be started or stopped, in this order.
    pub(super) orders: Vec<(usize, bool)>,
    /// A link of the node has been deleted (`ip link delete`).
    pub(super) has_lost_bridge: bool,
}

pub const KUBELET: usize = 0;
pub const CONTAINERD: usize = 1;
/// Name and description, by the unit's number.
pub const UNITS: [(&str, &str); 2] =
    [("kubelet", "kubelet: The Kubernetes Node Agent"), ("containerd", "containerd container runtime")];

impl Units {
    pub(super) fn new() -> Units {
        let unit = Unit { is_active: true, since: Time::ZERO };
        Units { all: [unit; 2], journal: Vec::new(), orders: Vec::new(), has_lost_bridge: false }
    }
    /// Notes that a service runs or no longer does; nothing where it is known.
    pub fn note(&mut self, unit: usize, is_active: bool, now: Time) {
        if self.all[unit].is_active == is_active {
            return;
        }
        self.all[unit] = Unit { is_active, since: now };
        let (name, about) = UNITS[unit];
        let verb = if is_active { "Started" } else { "Stopped" };
        if self.journal.len() == JOURNAL {
            self.journal.remove(0);
        }
        self.journal.push((now, unit, arcstr::format!("{verb} {name}.service - {about}.")));
    }
    /// `systemctl start` and `stop`.
    pub fn order(&mut self, unit: usize, is_active: bool, now: Time) {
        if self.all[unit].is_active != is_active {
            self.note(unit, is_active, now);
            self.orders.push((unit, is_active));
        }
    }
}

/// The number of a process, which nothing in the simulation counts: it goes with the container's identity.
pub fn process_id(id: &str) -> u64 {
    let digits = id.get(..6).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    1200 + digits.unwrap_or(0) % 30_000
}

/// The place in which the node's own commands run.
pub(super) fn place(config: &EngineConfig) -> (Arc<Container>, Arc<Sandbox>) {
    let node = &config.node;
    let dns = DnsConfig { servers: vec![arcstr::literal!("10.0.0.2")], ..DnsConfig::default() };
    let sandbox = SandboxConfig {
        namespace: Text::new(),
        name: Text::new(),
        uid: Text::new(),
        attempt: 0,
        hostname: node.clone(),
        host_network: true,
        host_ipc: true,
        share_process_namespace: true,
        dns,
        port_mappings: Vec::new(),
        annotations: Value::Null,
    };
    let root = Mount {
        container_path: "/".into(),
        source: MountSource::Host { path: "/".into() },
        sub_path: Text::new(),
        read_only: false,
    };
    let words = [("USER", "root"), ("LOGNAME", "root"), ("SHELL", "/bin/bash")];
    let container = ContainerConfig {
        spec: Value::object(),
        attempt: 0,
        environment: words.map(|(name, value)| (name.into(), value.into())).to_vec(),
        command: Vec::new(),
        args: Vec::new(),
        annotations: Value::Null,
        mounts: vec![root],
        memory_limit_bytes: 0,
    };
    let image = Image { reference: Text::new(), id: Text::new(), size_bytes: 0 };
    let content = Content::of_host();
    let mut container =
        Container::new(HOST.into(), HOST.into(), Arc::new(container), image, content, Time::ZERO);
    container.state = ContainerState::Running { started_at: Time::ZERO };
    (Arc::new(container), Arc::new(Sandbox::new(HOST.into(), Arc::new(sandbox), Time::ZERO)))
}

/// Files that nobody has written, because they say what is known already: logs of containers, directories of pods.
pub struct Shown<'a> {
    sandboxes: &'a SortedMap<Text, Arc<Sandbox>>,
    containers: &'a SortedMap<Text, Arc<Container>>,
    directory: OnceCell<Directory>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(
        sandboxes: &'a SortedMap<Text, Arc<Sandbox>>,
        containers: &'a SortedMap<Text, Arc<Container>>,
    ) -> Shown<'a> {
        Shown { sandboxes, containers, directory: OnceCell::new() }
    }
    /// What is shown at a path of the node's, if anything may be.
    pub fn covering(&self, path: &str) -> Option<&Directory> {
        let folders = ["var", "var/lib", "var/lib/kubelet", "var/log"];
        let is_there = folders.contains(&path)
            || path.starts_with("var/log/")
            || path.starts_with("var/lib/kubelet/pods");
        is_there.then(|| self.directory.get_or_init(|| self.build()))
    }
    fn build(&self) -> Directory {
        let mut files = Directory::default();
        files.make_directory("var/log/pods");
        files.make_directory("var/log/containers");
        files.make_directory("var/lib/kubelet/pods");
        for container in self.containers.values() {
            let Some(sandbox) = self.sandboxes.get(&container.sandbox) else { continue };
            let config = &sandbox.config;
            let mut text = String::new();
            for (at, line) in &container.logs {
                text += time::micro_time(*at).trim_end_matches('Z');
                text += "000Z stdout F ";
                text += line;
                text.push('\n');
            }
            let text = Text::from(text);
            let (namespace, pod, uid, name) =
                (&config.namespace, &config.name, &config.uid, container.name());
            let attempt = container.config.attempt;
            files.put(&format!("var/log/pods/{namespace}_{pod}_{uid}/{name}/{attempt}.log"), text.clone());
            let id = &container.id;
            files.put(&format!("var/log/containers/{pod}_{namespace}_{name}-{id}.log"), text);
            files.make_directory(&format!("var/lib/kubelet/pods/{uid}/containers/{name}"));
        }
        files
    }
}

/// The file to which the engine writes what a container says.
fn log_path(sandbox: &Sandbox, container: &Container) -> String {
    let (config, attempt) = (&sandbox.config, container.config.attempt.to_string());
    [
        "/var/log/pods/",
        &config.namespace,
        "_",
        &config.name,
        "_",
        &config.uid,
        "/",
        container.name(),
        "/",
        &attempt,
        ".log",
    ]
    .concat()
}

impl State {
    /// Where commands beside `container` run; [`HOST`]: on the node.
    pub(super) fn place(&self, container: &str) -> Option<Arc<Container>> {
        if container == HOST {
            return Some(self.host.0.clone());
        }
        self.containers.get(container).filter(|one| one.is_running()).cloned()
    }
    pub(super) fn sandbox_of(&self, container: &Container) -> Option<Arc<Sandbox>> {
        if container.id == HOST {
            return Some(self.host.1.clone());
        }
        self.sandboxes.get(&container.sandbox).cloned()
    }

    /// Writes the configuration of the network that the engine makes for the node's ranges.
    pub(super) fn write_cni(&mut self, config: &str) {
        self.disk.host_mut().put(CNI_FILE, config.into());
    }
    /// Reads the first file that holds a configuration, by name.
    pub(super) fn reload_cni(&mut self) {
        let names = self.disk.host().list(CNI_FOLDER.trim_end_matches('/'));
        let is_config =
            |name: &&Text| [".conf", ".conflist", ".json"].iter().any(|ending| name.ends_with(ending));
        let first = names
            .iter()
            .find(is_config)
            .and_then(|name| self.disk.host().read(&format!("{CNI_FOLDER}{name}")).cloned());
        self.has_own_cni_config = true;
        match first
            .as_deref()
            .map(|text| serde_json::from_str::<Value>(text).map_err(|error| error.to_string()))
        {
            Some(Err(error)) => {
                self.cni = None;
                self.cni_error =
                    arcstr::format!("cni config load failed: error parsing configuration: {error}");
            }
            Some(Ok(config)) => self.read_cni(Some(&config)),
            None => self.read_cni(None),
        }
    }
}

impl ContainerEngine {
    /// A service of the node has been started or stopped, by whatever hand.
    pub fn note_kubelet(&mut self, is_active: bool, now: Time) {
        if self.state.units.all[KUBELET].is_active != is_active {
            Arc::make_mut(&mut Arc::make_mut(&mut self.state).units).note(KUBELET, is_active, now);
        }
    }

    /// Whether a call finds nobody at the socket: what the kubelet does by itself needs none.
    pub(super) fn is_closed(&self, call: &Call) -> bool {
        let is_nodes = match call {
            Call::Exec { container, .. }
            | Call::ExecLine { container, .. }
            | Call::ExecMore { container, .. }
            | Call::ExecInput { container, .. } => container == HOST,
            Call::WriteVolume { .. } | Call::RemoveVolumes { .. } | Call::Dial { .. } => true,
            _ => false,
        };
        !is_nodes && !self.state.units.all[CONTAINERD].is_active
    }

    /// Carries out what commands of the node have ordered.
    pub(super) fn carry_out(&mut self, context: &mut Context) {
        if self.state.units.orders.is_empty() && !self.state.units.has_lost_bridge {
            return;
        }
        let state = Arc::make_mut(&mut self.state);
        let units = Arc::make_mut(&mut state.units);
        if std::mem::take(&mut units.has_lost_bridge) {
            state.kernel.bridge = None;
        }
        for (unit, is_active) in std::mem::take(&mut units.orders) {
            match (unit, is_active) {
                (KUBELET, true) => context.start(self.config.kubelet),
                (KUBELET, false) => context.stop(self.config.kubelet),
                // The containers go on without their engine, and are found again.
                (_, true) => {
                    let all: Vec<Text> = self.state.sandboxes.keys().cloned().collect();
                    for id in all {
                        self.announce(context, &id, &id, crate::message::cri::EventType::Started);
                    }
                }
                (_, false) => {}
            }
        }
    }

    /// The disk has changed: the configuration of the network is read again, the kubelet looks at its manifests.
    pub(super) fn disk_changed(&mut self, before: &Directory, context: &mut Context) {
        let now = self.state.disk.host().clone();
        let differs = |folder: &str| {
            let below = |directory: &Directory| {
                let is_file = |path: &str| path.starts_with(folder) && !path.ends_with('/');
                let all = directory.iter().filter(|(path, _)| is_file(path));
                all.map(|(path, text)| (path.clone(), text.clone())).collect::<Vec<_>>()
            };
            let (before, now) = (below(before), below(&now));
            (before != now).then_some((before, now))
        };
        // Flannel's plugin goes by what flanneld has written down.
        let is_config = [CNI_FOLDER, &cni::SUBNET_FILE[1..], &cni::PLUGINS[1..]];
        if is_config.into_iter().any(|path| differs(path).is_some()) {
            Arc::make_mut(&mut self.state).reload_cni();
        }
        let Some((before, now)) = differs(MANIFESTS) else { return };
        let mut tell = |path: &Text, change: HostChange| {
            let file = HostFile { path: arcstr::format!("/{path}"), change };
            context.send(self.config.kubelet, Message::HostFile(Arc::new(file)));
        };
        for (path, text) in now.iter().filter(|entry| !before.contains(entry)) {
            tell(path, HostChange::Written(text.clone()));
        }
        for (path, _) in before.iter().filter(|(path, _)| !now.iter().any(|(other, _)| other == path)) {
            tell(path, HostChange::Removed);
        }
    }

    /// What the engine tells of itself, of a container or of a sandbox: `info`, `inspect` and `inspectp` of `crictl`.
    pub(super) fn verbose(&self, id: &Text) -> Value {
        if id.is_empty() {
            return self.describe();
        }
        let mut status = Value::object();
        let mut information = Value::object();
        let (sandbox, container) = match self.state.containers.get(id) {
            Some(container) => (&container.sandbox, Some(container)),
            None => (id, None),
        };
        let Some(sandbox) = self.state.sandboxes.get(sandbox) else { return status };
        let config = &sandbox.config;
        let mut labels = Map::new();
        labels.insert("io.kubernetes.pod.name", &config.name);
        labels.insert("io.kubernetes.pod.namespace", &config.namespace);
        labels.insert("io.kubernetes.pod.uid", &config.uid);
        let stamp = |time: Time| arcstr::format!("{}000Z", time::micro_time(time).trim_end_matches('Z'));
        status.set("id", id);
        status.set("metadata.attempt", config.attempt);
        status.set("metadata.name", &config.name);
        status.set("createdAt", stamp(sandbox.created_at));
        let pid = |is_running: bool| if is_running { process_id(id) } else { 0 };
        if let Some(container) = container {
            labels.insert("io.kubernetes.container.name", container.name());
            status.set("metadata.attempt", container.config.attempt);
            status.set("metadata.name", container.name());
            status.set("createdAt", stamp(container.created_at));
            status.set("image.image", &container.image.reference);
            status.set("imageRef", &container.image.id);
            status.set("logPath", log_path(sandbox, container));
            let (state, started, finished) = match &container.state {
                ContainerState::Created => ("CREATED", None, None),
                ContainerState::Running { started_at } => ("RUNNING", Some(*started_at), None),
                ContainerState::Exited { started_at, finished_at, exit_code, reason, message } => {
                    status.set("exitCode", *exit_code);
                    status.set("reason", reason);
                    status.set("message", message);
                    ("EXITED", Some(*started_at), Some(*finished_at))
                }
            };
            status.set("state", arcstr::format!("CONTAINER_{state}"));
            for (field, time) in [("startedAt", started), ("finishedAt", finished)] {
                status.set(field, time.map_or("0001-01-01T00:00:00Z".into(), stamp));
            }
            information.set("pid", pid(container.is_running()));
            information.set("sandboxID", &container.sandbox);
            let words = |words: &[Text]| Value::array(words.iter().map(Value::from));
            information.set("runtimeSpec.process.args", words(&container.arguments()));
            let environment = container.config.environment.iter();
            let environment: Vec<Text> =
                environment.map(|(name, value)| arcstr::format!("{name}={value}")).collect();
            information.set("runtimeSpec.process.env", words(&environment));
            let mounts = container.config.mounts.iter().map(|mount| {
                let source = match &mount.source {
                    MountSource::Host { path } => path,
                    MountSource::Pod { volume } => volume,
                };
                object! { "destination" => &mount.container_path, "source" => source }
            });
            information.set("runtimeSpec.mounts", Value::array(mounts));
        } else {
            status.set("metadata.namespace", &config.namespace);
            status.set("metadata.uid", &config.uid);
            status.set("state", if sandbox.is_ready() { "SANDBOX_READY" } else { "SANDBOX_NOTREADY" });
            status.set("network.ip", sandbox.ips().first().cloned().unwrap_or_default());
            let mode = if config.host_network { "NODE" } else { "POD" };
            status.set("linux.namespaces.options.network", mode);
            information.set("image", "registry.k8s.io/pause:3.10.2");
            information.set("pid", pid(sandbox.is_ready()));
            if let (Some(made), Some(network)) = (&sandbox.attachment, &self.state.cni) {
                information.set("cniResult", made.result(&network.cni_version));
                information.set("netNS", &made.namespace);
            }
        }
        status.set("labels", Value::from(labels));
        object! { "info" => information, "status" => status }
    }
    fn describe(&self) -> Value {
        let error = self.network_error();
        let is_ready = error.is_empty();
        let (message, reason) = match is_ready {
            true => (String::new(), ""),
            false => (format!("Network plugin returns error: {error}"), "NetworkPluginNotReady"),
        };
        let network = object! { "message" => message, "reason" => reason, "status" => is_ready, "type" => "NetworkReady" };
        let runtime = object! { "message" => "", "reason" => "", "status" => true, "type" => "RuntimeReady" };
        let mut document = Value::object();
        document.set("config.cni.confDir", "/etc/cni/net.d");
        document.set("config.containerdEndpoint", "/run/containerd/containerd.sock");
        document.set("lastCNILoadStatus", if is_ready { "OK" } else { error });
        document.set("status.conditions", array![runtime, network]);
        document
    }

    pub(super) fn stats(&self, now: Time) -> Reply {
        let running = self.containers().filter(|one| one.is_running());
        Reply::Stats(running.map(|one| (one.id.clone(), one.cpu_milli(), one.memory_bytes(now))).collect())
    }
}
