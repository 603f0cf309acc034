//! The phase of a pod, out of its containers' states.
//!
//! Follows `pkg/kubelet/kubelet_pods.go` `getPhase`, with ContainerRestartRules as in 1.36.
//!
//! Picture to hold in mind: a head count at the door. Who is still to come decides Pending, who is inside
//! Running, and only when all have left is it asked how they went.

use crate::api::Value;
use crate::kubelet::resources::is_sidecar;

pub const PENDING: &str = "Pending";
pub const RUNNING: &str = "Running";
pub const SUCCEEDED: &str = "Succeeded";
pub const FAILED: &str = "Failed";

pub fn is_terminal(phase: &str) -> bool {
    matches!(phase, SUCCEEDED | FAILED)
}

/// Whether a container that ended with `exit_code` is started again.
pub fn should_restart(container: &Value, pod: &Value, exit_code: i64) -> bool {
    for rule in container.items("restartPolicyRules") {
        let codes = rule.items("exitCodes.values");
        let is_in = codes.iter().any(|code| code.as_integer() == Some(exit_code));
        let applies = match rule.text("exitCodes.operator") {
            "In" => is_in,
            "NotIn" => !is_in,
            _ => false,
        };
        if applies && rule.text("action") == "Restart" {
            return true;
        }
    }
    let policy = match container.text("restartPolicy") {
        "" => pod.text("spec.restartPolicy"),
        own => own,
    };
    match policy {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

pub fn container_status<'a>(statuses: &'a [Value], name: &str) -> Option<&'a Value> {
    statuses.iter().find(|status| status.text("name") == name)
}

fn exit_code(state: &Value) -> i64 {
    state.integer("terminated.exitCode").unwrap_or(0)
}

/// `statuses` of app and init containers together. `is_terminated`: nothing will be started any more.
/// `has_started`: an app container exists in the present sandbox.
pub fn phase(
    pod: &Value,
    statuses: &[Value],
    is_terminated: bool,
    is_static: bool,
    has_started: bool,
) -> &'static str {
    let (mut pending_sidecars, mut pending_init, mut failed_init) = (0, 0, 0);
    for container in pod.items("spec.initContainers").iter().filter(|container| !is_sidecar(container)) {
        let Some(status) = container_status(statuses, container.text("name")) else {
            pending_init += 1;
            continue;
        };
        let mut failed = |state: &Value| {
            let code = exit_code(state);
            if code != 0 && !should_restart(container, pod, code) {
                failed_init += 1;
            }
        };
        if status.has("state.terminated") {
            failed(status.at("state"));
        } else if status.has("state.waiting") && status.has("lastState.terminated") {
            failed(status.at("lastState"));
        } else {
            pending_init += 1;
        }
    }
    let (mut unknown, mut running, mut waiting) = (0, 0, 0);
    let (mut stopped, mut stopped_for_good, mut succeeded) = (0, 0, 0);
    for container in pod.items("spec.initContainers").iter().filter(|container| is_sidecar(container)) {
        let Some(status) = container_status(statuses, container.text("name")) else {
            unknown += 1;
            continue;
        };
        if status.has("state.running") {
            if !status.is_true("started") {
                pending_sidecars += 1;
            }
            running += 1;
        } else if status.has("state.terminated") {
            // A sidecar that has ended does not count.
        } else if status.has("state.waiting") {
            if !status.has("lastState.terminated") {
                pending_sidecars += 1;
                waiting += 1;
            }
        } else {
            pending_sidecars += 1;
            unknown += 1;
        }
    }
    for container in pod.items("spec.containers") {
        let Some(status) = container_status(statuses, container.text("name")) else {
            unknown += 1;
            continue;
        };
        let mut ended = |state: &Value| {
            stopped += 1;
            if !should_restart(container, pod, exit_code(state)) {
                stopped_for_good += 1;
            }
        };
        if status.has("state.running") {
            running += 1;
        } else if status.has("state.terminated") {
            ended(status.at("state"));
            if exit_code(status.at("state")) == 0 {
                succeeded += 1;
            }
        } else if status.has("state.waiting") {
            if status.has("lastState.terminated") {
                ended(status.at("lastState"));
            } else {
                waiting += 1;
            }
        } else {
            unknown += 1;
        }
    }
    if failed_init > 0 {
        return FAILED;
    }
    if pending_init > 0 || (pending_sidecars > 0 && !has_started) || waiting > 0 {
        return PENDING;
    }
    if running > 0 && unknown == 0 {
        return RUNNING;
    }
    if running == 0 && stopped > 0 && unknown == 0 {
        let outcome = if stopped == succeeded { SUCCEEDED } else { FAILED };
        if is_terminated && !is_static {
            return outcome;
        }
        return if stopped == stopped_for_good { outcome } else { RUNNING };
    }
    PENDING
}
