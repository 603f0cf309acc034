//! The kubelet and its node: registration, lease, status.
//!
//! Picture to hold in mind: a lighthouse keeper. Once, the lighthouse is entered in the register; every ten
//! seconds the lamp turns (the lease); and a report goes to the office when something has changed, or every
//! five minutes to say that nothing has.
//!
//! Follows `pkg/kubelet/kubelet_node_status.go`, `nodestatus/setters.go`, and
//! `k8s.io/component-helpers/apimachinery/lease/controller.go`.

use crate::api::{Map, Text, Value, meta, time};
use crate::arrange::Arrange;
use crate::client::informer::{Delta, DeltaType};
use crate::client::{Answer, request};
use crate::language::Context;
use crate::message::cri::{Call, Image, Reply, SandboxStatus};
use crate::message::rest::{PatchType, Resource};
use crate::object;
use crate::sim::{Duration, Time};
use crate::timer::{KubeletTimer, Timer};

use super::config::VERSION;
use super::status::patch::status_patch;
use super::{CallPurpose, NODES, Purpose, State, resource};

/// What the kubelet knows of its own node.
#[derive(Clone, Debug, Default)]
pub struct NodeState {
    pub is_registered: bool,
    attempts: u32,
    /// Empty: the runtime answers.
    pub runtime_error: Text,
    /// Empty: pods can have a network.
    pub network_error: Text,
    /// Images on the disk, largest first.
    pub images: Vec<Image>,
    /// The runtime has been asked what it has.
    pub is_runtime_known: bool,
    /// The pods of both sources have been taken in.
    pub has_pods: bool,
    /// What it had at the start, until pods are matched with it.
    pub runtime_pods: Vec<SandboxStatus>,
    has_status: bool,
    pod_cidrs: Vec<Text>,
    reported_at: Option<Time>,
    /// Added to the five minutes, so that not all nodes report together.
    report_delay_us: i64,
    lease: Option<Value>,
    lease_failures: u32,
    has_status_timer: bool,
}

/// `nodeStatusUpdateFrequency` and `nodeStatusReportFrequency`.
const STATUS_PERIOD: Duration = Duration::from_secs(10);
const REPORT_PERIOD: Duration = Duration::from_secs(300);
/// A quarter of `nodeLeaseDurationSeconds`.
const LEASE_PERIOD: Duration = Duration::from_secs(10);
const LEASE_DURATION_SECONDS: i64 = 40;

/// `nodeStatusMaxImages`.
const IMAGES_SHOWN: usize = 50;
/// What 1.36 knows how to do by default (`component-helpers/nodedeclaredfeatures/features`).
const DECLARED_FEATURES: [&str; 4] = [
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
];

fn leases() -> Resource {
    Resource::new("coordination.k8s.io", "v1", "leases")
}

impl State {
    /// As the runtime says it, with upstream's words before it.
    pub(super) fn network_message(&self) -> String {
        format!(
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:{}",
            self.node.network_error
        )
    }

    fn own_node(&self) -> Option<&Value> {
        self.informers.store(NODES).get(&self.config.node_name)
    }

    /// The Node object as this kubelet would register it.
    pub(super) fn initial_node(&self, context: &Context) -> Value {
        let config = &self.config;
        let mut labels: Map = [
            ("beta.kubernetes.io/arch", "amd64"),
            ("beta.kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("kubernetes.io/os", "linux"),
        ]
        .into_iter()
        .collect();
        labels.insert("kubernetes.io/hostname", config.node_name.as_str());
        for (name, value) in &config.labels {
            labels.insert(name.clone(), value);
        }
        let mut node = object! {
            "apiVersion" => "v1", "kind" => "Node",
            "metadata" => object! { "name" => &config.node_name, "labels" => labels },
            "spec" => Value::object(),
        };
        if !config.hollow {
            let key = "volumes.kubernetes.io/controller-managed-attach-detach";
            meta::set_annotation(&mut node, key, "true");
        }
        if !config.taints.is_empty() {
            node.set("spec.taints", Value::from(config.taints.clone()));
        }
        if !config.provider_id.is_empty() {
            node.set("spec.providerID", &config.provider_id);
        }
        let status = self.node_status(&Value::Null, context.now());
        node.set("status", status);
        node
    }

    /// The status as it is now; conditions keep their transition times from `old`.
    fn node_status(&self, old: &Value, now: Time) -> Value {
        let config = &self.config;
        let now = time::rfc3339(now);
        let capacity: Map = config.capacity.iter().map(|(name, amount)| (name.clone(), amount)).collect();
        let capacity = Value::from(capacity);
        let info = if config.hollow {
            ("", "3.16.0-0.bpo.4-amd64", "Debian GNU/Linux 7 (wheezy)", "fakeRuntime://0.1.0")
        } else {
            ("set", "6.8.0-64-generic", "Ubuntu 24.04.2 LTS", "containerd://2.2.1")
        };
        // Numbers that identify a machine are made of its name, so that every run has the same.
        let identity = |salt: u64| -> String {
            if info.0.is_empty() {
                String::new()
            } else {
                super::pods::hash_hex(&[&config.node_name, &salt.to_string()])
            }
        };
        let uuid = |hex: String| {
            if hex.len() < 32 {
                hex
            } else {
                [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
            }
        };
        let mut addresses: Vec<Value> =
            config.host_ips.iter().map(|ip| object! { "type" => "InternalIP", "address" => ip }).collect();
        addresses.push(object! { "type" => "Hostname", "address" => &config.node_name });
        let mut status = object! {
            "addresses" => Value::from(addresses),
            "allocatable" => &capacity,
            "capacity" => &capacity,
            "daemonEndpoints" => object! { "kubeletEndpoint" => object! { "Port" => 10250 } },
            "declaredFeatures" => Value::array(DECLARED_FEATURES.map(Value::from)),
            "nodeInfo" => object! {
                "architecture" => "amd64",
                "bootID" => uuid(identity(3)),
                "containerRuntimeVersion" => info.3,
                "kernelVersion" => info.1,
                "kubeProxyVersion" => "",
                "kubeletVersion" => VERSION,
                "machineID" => identity(1),
                "operatingSystem" => "linux",
                "osImage" => info.2,
                "systemUUID" => uuid(identity(2)),
            },
        };
        if !config.hollow {
            let handler = |name: &str| {
                object! { "name" => name, "features" => object! { "recursiveReadOnlyMounts" => false, "userNamespaces" => true } }
            };
            status.set("runtimeHandlers", Value::array([handler(""), handler("runc")]));
            status.set("features", object! { "supplementalGroupsPolicy" => true });
        }
        let mut errors = Vec::new();
        if !self.node.runtime_error.is_empty() {
            errors.push(self.node.runtime_error.to_string());
        }
        if !self.node.network_error.is_empty() {
            errors.push(self.network_message());
        }
        let ready = match errors.as_slice() {
            [] => ("True", "KubeletReady", "kubelet is posting ready status".to_string()),
            [one] => ("False", "KubeletNotReady", one.clone()),
            several => ("False", "KubeletNotReady", format!("[{}]", several.join(", "))),
        };
        let conditions = [
            (
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available".to_string(),
            ),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure".to_string()),
            (
                "PIDPressure",
                "False",
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available".to_string(),
            ),
            ("Ready", ready.0, ready.1, ready.2),
        ];
        let own: Vec<Value> = conditions
            .into_iter()
            .map(|(kind, status, reason, message)| {
                let before = meta::find_condition(old.items("conditions"), kind);
                let since = match before {
                    Some(before) if before.text("status") == status => {
                        before.at("lastTransitionTime").clone()
                    }
                    _ => Value::from(&now),
                };
                object! {
                    "type" => kind, "status" => status, "reason" => reason, "message" => message,
                    "lastHeartbeatTime" => &now, "lastTransitionTime" => since,
                }
            })
            .collect();
        // Conditions of others (NetworkUnavailable) stay where they are.
        let mut merged: Vec<Value> = old.items("conditions").to_vec();
        for condition in own {
            match merged.iter_mut().find(|other| other.text("type") == condition.text("type")) {
                Some(other) => *other = condition,
                None => merged.push(condition),
            }
        }
        status.set("conditions", Value::from(merged));
        if !self.node.images.is_empty() {
            let images = self.node.images.iter().take(IMAGES_SHOWN).map(|image| {
                object! {
                    "names" => Value::array([Value::from(&image.id), Value::from(&image.reference)]),
                    "sizeBytes" => image.size_bytes,
                }
            });
            status.set("images", Value::array(images));
        }
        status
    }

    pub(super) fn register(&mut self, context: &mut Context) {
        if self.node.is_registered {
            return;
        }
        let node = self.initial_node(context);
        self.send(request::create(&resource("nodes"), "", node), Purpose::Register, context);
    }

    pub(super) fn node_answered(&mut self, purpose: &Purpose, answer: Answer, context: &mut Context) {
        let result = answer.into_result();
        match (purpose, result) {
            (Purpose::Register, Ok(_)) => self.registered(context),
            (Purpose::Register, Err(status)) if status.text("reason") == "AlreadyExists" => {
                let name = self.config.node_name.clone();
                self.send(request::get(&resource("nodes"), "", &name), Purpose::ExistingNode, context);
            }
            (Purpose::Register, Err(_)) | (Purpose::ExistingNode, Err(_)) => {
                // 100 ms, doubling, 7 s at most.
                self.node.attempts += 1;
                let step =
                    Duration::from_millis(100 << self.node.attempts.min(6)).min(Duration::from_secs(7));
                context.timer(step, Timer::Kubelet(KubeletTimer::Register));
            }
            (Purpose::ExistingNode, Ok(node)) => {
                // Labels that every node has are put right.
                let wanted = self.initial_node(context);
                let has = meta::labels(&node);
                let differing: Map = meta::labels(&wanted)
                    .iter()
                    .filter(|(name, value)| name.contains("kubernetes.io/") && has.get(name) != Some(*value))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .filter(|(name, _)| !name.starts_with("node-role.") && !name.starts_with("topology."))
                    .collect();
                if !differing.is_empty() {
                    let patch = object! { "metadata" => object! { "labels" => differing } };
                    let name = self.config.node_name.clone();
                    let patch =
                        request::patch(&resource("nodes"), "", &name, PatchType::StrategicMerge, patch);
                    self.send(patch, Purpose::Ignored, context);
                }
                self.registered(context);
            }
            (Purpose::NodeStatus, Ok(_)) => self.node.reported_at = Some(context.now()),
            // Whatever went wrong, the next look ten seconds later reports again.
            (Purpose::NodeStatus, Err(_)) => self.node.reported_at = None,
            _ => {}
        }
    }

    fn registered(&mut self, context: &mut Context) {
        self.node.is_registered = true;
        self.node_event("Normal", "Starting", "Starting kubelet.", context);
        self.renew_lease(context);
        if !std::mem::replace(&mut self.node.has_status_timer, true) {
            context.periodic(STATUS_PERIOD, Timer::Kubelet(KubeletTimer::NodeStatus));
        }
    }

    /// The lease is renewed, or got, or made.
    pub(super) fn renew_lease(&mut self, context: &mut Context) {
        // 10 s; while it cannot be renewed 200 ms, doubling, 7 s at most.
        let after = match self.node.lease_failures {
            0 => LEASE_PERIOD,
            failures => Duration::from_millis(100 << failures.min(6)).min(Duration::from_secs(7)),
        };
        context.periodic(after, Timer::Kubelet(KubeletTimer::Lease));
        let now = time::micro_time(context.now());
        match &self.node.lease {
            None => {
                let name = self.config.node_name.clone();
                let get = request::get(&leases(), "kube-node-lease", &name);
                self.send(get, Purpose::LeaseGet, context);
            }
            Some(lease) => {
                let mut lease = lease.clone();
                lease.set("spec.renewTime", now);
                self.send(request::update(&leases(), lease), Purpose::LeaseWrite, context);
            }
        }
    }

    pub(super) fn lease_answered(&mut self, purpose: &Purpose, answer: Answer, context: &mut Context) {
        match (purpose, answer.into_result()) {
            (Purpose::LeaseGet, Ok(lease)) => {
                let now = time::micro_time(context.now());
                let renewed = lease.with("spec.renewTime", now);
                self.send(request::update(&leases(), renewed), Purpose::LeaseWrite, context);
            }
            (Purpose::LeaseGet, Err(status)) if status.text("reason") == "NotFound" => {
                let name = &self.config.node_name;
                // Owned by the node, so that it goes with it.
                let Some(node) = self.own_node() else { return };
                let owner = object! {
                    "apiVersion" => "v1", "kind" => "Node", "name" => name, "uid" => node.at("metadata.uid"),
                };
                let lease = object! {
                    "apiVersion" => "coordination.k8s.io/v1", "kind" => "Lease",
                    "metadata" => object! {
                        "name" => name, "namespace" => "kube-node-lease", "ownerReferences" => Value::array([owner]),
                    },
                    "spec" => object! {
                        "holderIdentity" => name, "leaseDurationSeconds" => LEASE_DURATION_SECONDS,
                        "renewTime" => time::micro_time(context.now()),
                    },
                };
                let mut create = request::create(&leases(), "kube-node-lease", lease);
                create.name = name.clone();
                self.send(create, Purpose::LeaseWrite, context);
            }
            (Purpose::LeaseWrite, Ok(lease)) => {
                self.node.lease = Some(lease);
                self.node.lease_failures = 0;
            }
            (_, Err(_)) => {
                // Whoever changed or deleted it: it is got anew.
                self.node.lease = None;
                self.node.lease_failures += 1;
            }
            _ => {}
        }
    }

    /// Every ten seconds: how is the runtime, and what is there to report?
    pub(super) fn node_status_due(&mut self, context: &mut Context) {
        if !self.node.is_runtime_known {
            self.call(Call::ListPodSandboxes, CallPurpose::List, context);
            return;
        }
        if self.node.is_registered {
            context.periodic(STATUS_PERIOD, Timer::Kubelet(KubeletTimer::NodeStatus));
        }
        self.call(Call::Status, CallPurpose::NodeStatus, context);
    }

    /// The runtime has said how it is.
    pub(super) fn runtime_status(&mut self, result: Result<Reply, Text>, context: &mut Context) {
        let had_network = self.node.network_error.is_empty();
        match result {
            Ok(Reply::Status { runtime_error, network_error }) => {
                self.node.runtime_error = runtime_error;
                self.node.network_error = network_error;
            }
            Ok(_) => {}
            Err(_) => self.node.runtime_error = "container runtime is down".into(),
        }
        if !std::mem::replace(&mut self.node.has_status, true) {
            context.timer(Duration::from_millis(100), Timer::Kubelet(KubeletTimer::Register));
        }
        if !had_network && self.node.network_error.is_empty() {
            // Pods that waited for the network need not wait for their alarm.
            let waiting: Vec<Text> = self
                .workers
                .iter()
                .filter(|(_, worker)| worker.work.is_none())
                .map(|(uid, _)| uid.clone())
                .collect();
            for uid in waiting {
                self.sync(&uid, context);
            }
        }
        self.report_node_status(context);
    }

    /// The runtime has said which images it has.
    pub(super) fn images_listed(&mut self, result: Result<Reply, Text>) {
        if let Ok(Reply::Images(mut images)) = result {
            images.arrange_by(|a, b| {
                b.size_bytes.cmp(&a.size_bytes).then_with(|| a.reference.cmp(&b.reference))
            });
            self.node.images = images;
        }
    }

    /// Sends the status if it has changed, or if the last report is old.
    fn report_node_status(&mut self, context: &mut Context) {
        let now = context.now();
        let Some(node) = self.own_node().cloned() else { return };
        if !self.node.is_registered {
            return;
        }
        let old = node.at("status");
        let status = self.node_status(old, now);
        let has_changed = significant(old) != significant(&status);
        let is_due = match self.node.reported_at {
            None => true,
            Some(at) => {
                let period = REPORT_PERIOD.0 as i64 + self.node.report_delay_us;
                now.since(at).0 as i64 >= period
            }
        };
        if !has_changed && !is_due {
            return;
        }
        let half = REPORT_PERIOD.0 / 2;
        let is_irregular = has_changed || self.node.reported_at.is_none();
        self.node.report_delay_us =
            if is_irregular { context.random().between(0, 2 * half) as i64 - half as i64 } else { 0 };
        // Until the answer comes, the report counts as made: a second one would say the same.
        self.node.reported_at = Some(now);
        let was_ready = meta::is_condition_true(&node, "Ready");
        let is_ready = meta::find_condition(status.items("conditions"), "Ready")
            .is_some_and(|c| c.text("status") == "True");
        let name = self.config.node_name.clone();
        if was_ready != is_ready {
            let reason = if is_ready { "NodeReady" } else { "NodeNotReady" };
            let words = arcstr::format!("Node {name} status is now: {reason}");
            self.node_event("Normal", reason, words, context);
        }
        // What others have added (volumes, declared features) is not this kubelet's to take away.
        let mut complete = old.clone();
        if let Some(fields) = status.as_object() {
            for (field, value) in fields.iter() {
                complete.set(field, value);
            }
        }
        let Some(change) = status_patch(old, &complete) else { return };
        let patch = object! { "status" => change };
        let patch = request::patch(&resource("nodes"), "", &name, PatchType::StrategicMerge, patch)
            .subresource("status");
        self.send(patch, Purpose::NodeStatus, context);
    }

    /// The API server's Node has changed.
    pub(super) fn node_changed(&mut self, delta: &Delta, context: &mut Context) {
        if delta.kind == DeltaType::Deleted {
            return;
        }
        let node = &delta.object;
        let mut cidrs: Vec<Text> =
            node.items("spec.podCIDRs").iter().filter_map(|cidr| cidr.as_str().map(Text::from)).collect();
        if cidrs.is_empty() && node.has("spec.podCIDR") {
            cidrs.push(node.shared_text("spec.podCIDR"));
        }
        if cidrs != self.node.pod_cidrs && !cidrs.is_empty() {
            self.node.pod_cidrs = cidrs.clone();
            self.call(Call::UpdateRuntimeConfig { pod_cidrs: cidrs }, CallPurpose::Network, context);
        }
        if delta.kind == DeltaType::Added {
            // Static pods whose mirrors had to wait for the node.
            let waiting: Vec<Text> = self
                .workers
                .iter()
                .filter(|(_, worker)| worker.is_static && worker.mirror.is_none())
                .map(|(uid, _)| uid.clone())
                .collect();
            for uid in waiting {
                self.reconcile_mirror(&uid, context);
            }
            if self.node.lease.is_none() && self.node.is_registered {
                self.node.lease_failures = 0;
                let name = self.config.node_name.clone();
                self.send(request::get(&leases(), "kube-node-lease", &name), Purpose::LeaseGet, context);
            }
        }
    }
}

/// A status without what changes each time.
fn significant(status: &Value) -> Value {
    let mut status = status.clone();
    let conditions: Vec<Value> = status
        .items("conditions")
        .iter()
        .map(|condition| {
            let mut condition = condition.clone();
            condition.remove("lastHeartbeatTime");
            condition
        })
        .collect();
    status.set("conditions", Value::from(conditions));
    for field in ["volumesInUse", "volumesAttached", "declaredFeatures", "config"] {
        status.remove(field);
    }
    status
}
