//! The whole status of a pod.
//!
//! Follows `pkg/kubelet/kubelet_pods.go` `generateAPIPodStatus` and the prober manager's `UpdatePodStatus`.
//!
//! Picture to hold in mind: the chart's form is filled in from top to bottom: addresses, containers, phase,
//! lamps.

use crate::api::{Text, Value, meta, strategy};
use crate::kubelet::resources::{Totals, is_sidecar};
use crate::message::cri::{ContainerStatus, SandboxStatus};
use crate::{array, object};

use super::conditions;
use super::containers::{self, Reasons};
use super::phase::{is_terminal, phase};

/// What the probes say of a container; `None`: they have not been asked about it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    pub started: Option<bool>,
    pub ready: Option<bool>,
}

/// All that a status is made of.
pub struct Observed<'a> {
    pub pod: &'a Value,
    /// The status that the kubelet computed last, or the API server's.
    pub old: &'a Value,
    /// Newest first.
    pub sandboxes: &'a [SandboxStatus],
    pub reasons: &'a Reasons,
    pub totals: &'a Totals,
    /// Called for each running container, by name and runtime id.
    pub probes: &'a dyn Fn(&str, &str) -> Probed,
    /// Nothing will be started any more.
    pub is_terminated: bool,
    pub is_static: bool,
    pub is_hollow: bool,
    pub host_ips: &'a [Text],
}

impl Observed<'_> {
    pub fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.sandboxes.iter().flat_map(|sandbox| &sandbox.containers)
    }
    /// `containerd://...`, as the API shows it.
    pub fn container_id(&self, id: &str) -> Text {
        container_id(id, self.is_hollow)
    }
    /// The sandbox in use is up, and has an address if it needs one.
    fn has_sandbox(&self) -> bool {
        self.sandboxes.first().is_some_and(|sandbox| sandbox.ready)
            && self.sandboxes.iter().filter(|sandbox| sandbox.ready).count() == 1
    }
}

pub fn container_id(id: &str, is_hollow: bool) -> Text {
    if is_hollow { arcstr::format!("fakeRuntime://{id}") } else { arcstr::format!("containerd://{id}") }
}

/// The status, without transition times and start time.
pub fn generate(seen: &Observed) -> Value {
    let pod = seen.pod;
    let host_network = pod.is_true("spec.hostNetwork");
    let mut apps =
        containers::statuses(seen, pod.items("spec.containers"), seen.old.items("containerStatuses"), false);
    let mut inits = containers::statuses(
        seen,
        pod.items("spec.initContainers"),
        seen.old.items("initContainerStatuses"),
        true,
    );
    let ephemeral = containers::statuses(
        seen,
        pod.items("spec.ephemeralContainers"),
        seen.old.items("ephemeralContainerStatuses"),
        false,
    );

    let both: Vec<Value> = apps.iter().chain(&inits).cloned().collect();
    let present = seen.sandboxes.first().map(|sandbox| sandbox.containers.as_slice()).unwrap_or_default();
    let has_started = pod
        .items("spec.containers")
        .iter()
        .any(|c| present.iter().any(|status| status.name == c.text("name")));
    let mut phase = Text::from(phase(pod, &both, seen.is_terminated, seen.is_static, has_started));
    // Nobody leaves a terminal phase.
    for known in [seen.old.text("phase"), pod.text("status.phase")] {
        if !is_terminal(&phase) && is_terminal(known) {
            phase = known.into();
        }
    }
    if is_terminal(pod.text("status.phase")) {
        phase = pod.shared_text("status.phase");
    }

    if seen.is_hollow {
        // The fake prober: app containers are ready whatever they do, and nothing is said of `started`.
        for status in &mut apps {
            status.set("ready", true);
        }
    } else {
        for status in &mut apps {
            probe(seen, status, true);
        }
        for (status, container) in inits.iter_mut().zip(pod.items("spec.initContainers")) {
            probe(seen, status, is_sidecar(container));
            let exit_code = status.integer("state.terminated.exitCode");
            if !is_sidecar(container) && exit_code == Some(0) {
                status.set("ready", true);
            }
        }
    }

    let generation = meta::generation(pod);
    let all: Vec<Value> = inits.iter().chain(&apps).cloned().collect();
    let mut others: Vec<Value> = pod
        .items("status.conditions")
        .iter()
        .filter(|condition| !conditions::is_owned(condition.text("type")))
        .cloned()
        .collect();
    let disruption = meta::find_condition(seen.old.items("conditions"), "DisruptionTarget");
    if let Some(disruption) = disruption {
        others.retain(|condition| condition.text("type") != "DisruptionTarget");
        others.push(disruption.clone());
    }
    let containers_ready = conditions::containers_ready(pod, &all, &phase, generation);
    let ready = conditions::ready(pod, &containers_ready, &others, generation);
    others.push(conditions::ready_to_start_containers(seen.has_sandbox(), generation));
    others.push(conditions::initialized(pod, &all, &phase, seen.old, generation));
    others.push(ready);
    others.push(containers_ready);
    others.push(conditions::scheduled(generation));

    let mut status = object! { "phase" => &phase, "conditions" => Value::from(others) };
    if generation > 0 {
        status.set("observedGeneration", generation);
    }
    if phase == seen.old.text("phase") {
        for field in ["reason", "message"] {
            let value = match seen.old.text(field) {
                "" => pod.at("status").shared_text(field),
                text => text.into(),
            };
            if !value.is_empty() {
                status.set(field, value);
            }
        }
    }
    let lists = [
        ("containerStatuses", apps),
        ("initContainerStatuses", inits),
        ("ephemeralContainerStatuses", ephemeral),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            status.set(name, Value::from(list));
        }
    }
    addresses(seen, &mut status, host_network);
    status.set("qosClass", strategy::pod::qos_class(pod));
    if !seen.totals.allocated.is_null() {
        status.set("allocatedResources", &seen.totals.allocated);
    }
    status.set("resources", &seen.totals.resources);
    status
}

/// What the prober manager adds to a container's status. Where a probe has not been asked yet, what was said of
/// this very container before holds: a kubelet's restart makes nothing unready.
fn probe(seen: &Observed, status: &mut Value, may_be_ready: bool) {
    let name = status.shared_text("name");
    let id = status.shared_text("containerID");
    let before = ["containerStatuses", "initContainerStatuses"]
        .iter()
        .find_map(|list| super::phase::container_status(seen.old.items(list), &name))
        .filter(|old| old.text("containerID") == id);
    let probed = if status.has("state.running") {
        (seen.probes)(&name, id.split("://").nth(1).unwrap_or(""))
    } else {
        Probed { started: Some(false), ready: Some(false) }
    };
    let was = |field: &str| before.is_some_and(|old| old.is_true(field));
    let started = probed.started.unwrap_or_else(|| was("started"));
    status.set("started", started);
    if may_be_ready {
        let ready = probed.ready.unwrap_or_else(|| was("ready"));
        status.set("ready", started && ready);
    }
}

fn addresses(seen: &Observed, status: &mut Value, host_network: bool) {
    let list = |ips: &[Text]| Value::array(ips.iter().map(|ip| object! { "ip" => ip }));
    if let Some(first) = seen.host_ips.first() {
        status.set("hostIP", first);
        status.set("hostIPs", list(seen.host_ips));
    }
    let of_sandbox = seen.sandboxes.first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
    let ips = if host_network { seen.host_ips.to_vec() } else { of_sandbox };
    if let Some(first) = ips.first() {
        status.set("podIP", first);
        status.set("podIPs", list(&ips));
    }
}

/// The status of a pod that this node does not admit.
pub fn rejected(pod: &Value, reason: &str, message: &str) -> Value {
    let mut status = object! {
        "phase" => "Failed",
        "reason" => reason,
        "message" => format!("Pod was rejected: {message}"),
        "qosClass" => strategy::pod::qos_class(pod),
        "conditions" => array![],
    };
    status.remove("conditions");
    let generation = meta::generation(pod);
    if generation > 0 {
        status.set("observedGeneration", generation);
    }
    status
}
