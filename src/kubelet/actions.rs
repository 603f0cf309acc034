//! What must be done so that the runtime has what the pod wants.
//!
//! Picture to hold in mind: somebody with the plan in one hand who looks at the site and writes the list of
//! what to take away and what to put up. Nothing is remembered from the last look.
//!
//! Follows `pkg/kubelet/kuberuntime/kuberuntime_manager.go` `computePodActions` and
//! `kuberuntime_container.go` `computeInitContainerActions`.

use crate::api::{Text, Value};
use crate::message::cri::{ContainerState, ContainerStatus};

use super::probes::{ProbeKind, ProbeResult};
use super::resources::is_sidecar;
use super::runtime::images::Reference;
use super::status::containers::will_start;
use super::status::phase::should_restart;
use super::worker::Worker;

/// A container that is to be ended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillOrder {
    pub id: Text,
    pub name: Text,
    /// The event's words; empty: `Stopping container NAME`.
    pub message: Text,
    pub reason: KillReason,
    /// Seconds; `None`: what the pod says.
    pub grace_override: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    Other,
    StartupProbe,
    LivenessProbe,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// Everything goes: the sandbox has changed, or no container is left to run.
    pub kill_pod: bool,
    pub create_sandbox: bool,
    pub attempt: u32,
    /// The sandbox in use, or the one that is replaced; empty: there was none.
    pub sandbox: Text,
    /// Places in the lists of the spec.
    pub init_containers: Vec<usize>,
    pub containers: Vec<usize>,
    pub ephemeral_containers: Vec<usize>,
    pub kills: Vec<KillOrder>,
}

fn restarts_on_failure(pod: &Value) -> bool {
    pod.text("spec.restartPolicy") != "Never"
}

fn is_running(status: &ContainerStatus) -> bool {
    matches!(status.state, ContainerState::Running { .. })
}
fn exit_code(status: &ContainerStatus) -> Option<i32> {
    match status.state {
        ContainerState::Exited { exit_code, .. } => Some(exit_code),
        _ => None,
    }
}

/// Whether a running container was made of another image than the spec now names.
fn has_changed(container: &Value, status: &ContainerStatus) -> bool {
    let wanted = container.text("image");
    if wanted == status.image {
        return false;
    }
    // `nginx` and `docker.io/library/nginx:latest` are one image.
    let full = |name: &str| Reference::parse(name).map(|reference| reference.full());
    full(wanted) != full(&status.image)
}

/// (a new one is needed, its attempt, the old one's id).
fn sandbox_changed(worker: &Worker) -> (bool, u32, Text) {
    let Some(newest) = worker.sandboxes.first() else { return (true, 0, Text::new()) };
    let ready = worker.sandboxes.iter().filter(|sandbox| sandbox.ready).count();
    let next = newest.config.attempt + 1;
    let host_network = worker.pod.is_true("spec.hostNetwork");
    if ready > 1 || !newest.ready {
        return (true, next, newest.id.clone());
    }
    if newest.config.host_network != host_network {
        return (true, next, Text::new());
    }
    if !host_network && newest.ips.is_empty() {
        return (true, next, newest.id.clone());
    }
    (false, newest.config.attempt, newest.id.clone())
}

pub fn compute(worker: &Worker) -> Actions {
    let pod = &worker.pod;
    let (create_sandbox, attempt, sandbox) = sandbox_changed(worker);
    let mut actions =
        Actions { kill_pod: create_sandbox, create_sandbox, attempt, sandbox, ..Actions::default() };
    let containers = pod.items("spec.containers");
    if create_sandbox {
        let has_containers = worker.containers().next().is_some();
        if !restarts_on_failure(pod) && attempt != 0 && has_containers {
            actions.create_sandbox = false;
            return actions;
        }
        let has_succeeded = |container: &Value| {
            let policy = match container.text("restartPolicy") {
                "" => pod.text("spec.restartPolicy"),
                own => own,
            };
            policy == "OnFailure"
                && worker.newest(container.text("name")).is_some_and(|s| exit_code(s) == Some(0))
        };
        let to_start: Vec<usize> =
            (0..containers.len()).filter(|index| !has_succeeded(&containers[*index])).collect();
        if to_start.is_empty() && containers.iter().any(|c| worker.newest(c.text("name")).is_some()) {
            actions.create_sandbox = false;
            return actions;
        }
        if pod.items("spec.initContainers").is_empty() {
            actions.containers = to_start;
        } else {
            actions.init_containers = vec![0];
        }
        return actions;
    }

    for (index, container) in pod.items("spec.ephemeralContainers").iter().enumerate() {
        if worker.newest(container.text("name")).is_none() {
            actions.ephemeral_containers.push(index);
        }
    }
    let has_initialized = init_actions(worker, &mut actions);
    if actions.kill_pod || !has_initialized {
        return actions;
    }

    let mut kept = 0;
    for (index, container) in containers.iter().enumerate() {
        let status = worker.newest(container.text("name"));
        let Some(status) = status.filter(|status| is_running(status)) else {
            if will_start(container, pod, status) {
                actions.containers.push(index);
            }
            continue;
        };
        let name = &status.name;
        let mut restart = match container.text("restartPolicy") {
            "" => restarts_on_failure(pod),
            own => own != "Never",
        };
        let (mut message, reason) = if has_changed(container, status) {
            restart = true;
            (format!("Container {name} definition changed"), KillReason::Other)
        } else if worker.prober.result(name, ProbeKind::Liveness, &status.id) == Some(ProbeResult::Failure) {
            (format!("Container {name} failed liveness probe"), KillReason::LivenessProbe)
        } else if worker.prober.result(name, ProbeKind::Startup, &status.id) == Some(ProbeResult::Failure) {
            (format!("Container {name} failed startup probe"), KillReason::StartupProbe)
        } else {
            kept += 1;
            continue;
        };
        if restart {
            message += ", will be restarted";
            actions.containers.push(index);
        }
        actions.kills.push(kill(status, message, reason));
    }
    if kept == 0 && actions.containers.is_empty() {
        actions.kill_pod = true;
        actions.init_containers.clear();
    }
    actions
}

fn kill(status: &ContainerStatus, message: String, reason: KillReason) -> KillOrder {
    KillOrder {
        id: status.id.clone(),
        name: status.name.clone(),
        message: message.into(),
        reason,
        grace_override: None,
    }
}

/// Whether the pod is initialized; what to start next if not, and which sidecars to restart.
fn init_actions(worker: &Worker, actions: &mut Actions) -> bool {
    let pod = &worker.pod;
    let containers = pod.items("spec.initContainers");
    if containers.is_empty() {
        return true;
    }
    // An app container that runs (or was made) proves that the init containers once ran through.
    let mut has_initialized = pod.items("spec.containers").iter().any(|container| {
        worker.newest(container.text("name")).is_some_and(|status| exit_code(status).is_none())
    });
    let mut was_initialized = has_initialized;
    let last = containers.len() - 1;
    for (index, container) in containers.iter().enumerate().rev() {
        let Some(status) = worker.newest(container.text("name")) else {
            if was_initialized && is_sidecar(container) {
                actions.init_containers.push(index);
            }
            continue;
        };
        if was_initialized && !is_sidecar(container) {
            continue;
        }
        // This one is through: the next one's turn, or the app containers'.
        let mut next = |actions: &mut Actions| {
            if index == last {
                has_initialized = true;
            } else if !was_initialized {
                actions.init_containers.push(index + 1);
            }
        };
        match &status.state {
            ContainerState::Created => actions.init_containers.push(index),
            ContainerState::Running { .. } if !is_sidecar(container) => {}
            ContainerState::Running { .. } => {
                running_sidecar(worker, container, status, index, actions, &mut next);
            }
            ContainerState::Exited { .. } if is_sidecar(container) => actions.init_containers.push(index),
            ContainerState::Exited { exit_code, .. } => {
                if *exit_code == 0 {
                    next(actions);
                } else if should_restart(container, pod, i64::from(*exit_code))
                    && !pod.has("metadata.deletionTimestamp")
                {
                    actions.init_containers.push(index);
                } else {
                    actions.kill_pod = true;
                    actions.init_containers.clear();
                    return false;
                }
            }
        }
        was_initialized = true;
    }
    if !was_initialized {
        actions.init_containers.push(0);
    }
    actions.init_containers.reverse();
    has_initialized
}

/// A sidecar that runs: whether it has started, lives and is what the spec says.
fn running_sidecar(
    worker: &Worker,
    container: &Value,
    status: &ContainerStatus,
    index: usize,
    actions: &mut Actions,
    started: &mut dyn FnMut(&mut Actions),
) {
    let name = &status.name;
    let result = |kind| worker.prober.result(name, kind, &status.id);
    if container.has("startupProbe") {
        match result(ProbeKind::Startup) {
            Some(ProbeResult::Success) => {}
            Some(ProbeResult::Failure) => {
                let message = format!("Init container {name} failed startup probe");
                actions.kills.push(kill(status, message, KillReason::StartupProbe));
                actions.init_containers.push(index);
                return;
            }
            _ => return,
        }
    }
    started(actions);
    if has_changed(container, status) {
        actions.kills.push(kill(
            status,
            format!("Init container {name} definition changed"),
            KillReason::Other,
        ));
        actions.init_containers.push(index);
    } else if result(ProbeKind::Liveness) == Some(ProbeResult::Failure) {
        let message = format!("Init container {name} failed liveness probe");
        actions.kills.push(kill(status, message, KillReason::LivenessProbe));
        actions.init_containers.push(index);
    }
}
