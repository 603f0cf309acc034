//! The conditions that a kubelet owns: PodReadyToStartContainers, Initialized, Ready, ContainersReady.
//!
//! Follows `pkg/kubelet/status/generate.go`.
//!
//! Picture to hold in mind: lamps on a panel, each with a label that says why it is not lit.

use crate::api::{Text, Value, meta};
use crate::kubelet::resources::is_sidecar;
use crate::object;

use super::phase::{FAILED, SUCCEEDED, container_status};

/// The types of condition that no other component writes.
pub fn is_owned(kind: &str) -> bool {
    matches!(
        kind,
        "PodScheduled"
            | "Ready"
            | "Initialized"
            | "ContainersReady"
            | "PodReadyToStartContainers"
            | "PodResizePending"
            | "PodResizeInProgress"
            | "AllContainersRestarting"
    )
}

/// A condition without its times. Upstream's `lastProbeTime` is always null.
fn condition(kind: &str, status: bool, reason: &str, message: &str, generation: i64) -> Value {
    let mut condition = object! {
        "type" => kind,
        "status" => if status { "True" } else { "False" },
        "lastProbeTime" => Value::Null,
    };
    if generation > 0 {
        condition.set("observedGeneration", generation);
    }
    if !reason.is_empty() {
        condition.set("reason", reason);
    }
    if !message.is_empty() {
        condition.set("message", message);
    }
    condition
}

fn names(list: &[&str]) -> String {
    format!("[{}]", list.join(" "))
}

/// `containers with unknown status: [a], containers with WORD status: [b]`.
fn explain(unknown: &[&str], others: &[&str], word: &str) -> String {
    let mut messages = Vec::new();
    if !unknown.is_empty() {
        messages.push(format!("containers with unknown status: {}", names(unknown)));
    }
    if !others.is_empty() {
        messages.push(format!("containers with {word} status: {}", names(others)));
    }
    messages.join(", ")
}

fn for_terminal(kind: &str, phase: &str, generation: i64) -> Value {
    condition(kind, false, if phase == FAILED { "PodFailed" } else { "PodCompleted" }, "", generation)
}

pub fn ready_to_start_containers(has_sandbox: bool, generation: i64) -> Value {
    condition("PodReadyToStartContainers", has_sandbox, "", "", generation)
}

pub fn initialized(pod: &Value, statuses: &[Value], phase: &str, old: &Value, generation: i64) -> Value {
    const KIND: &str = "Initialized";
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for container in pod.items("spec.initContainers") {
        let name = container.text("name");
        match container_status(statuses, name) {
            None => unknown.push(name),
            Some(status) if is_sidecar(container) && !status.is_true("started") => incomplete.push(name),
            Some(status) if !is_sidecar(container) && !status.is_true("ready") => incomplete.push(name),
            Some(_) => {}
        }
    }
    if phase == SUCCEEDED && unknown.is_empty() {
        return condition(KIND, true, "PodCompleted", "", generation);
    }
    let has_started = pod.items("spec.containers").iter().any(|container| {
        container_status(statuses, container.text("name"))
            .is_some_and(|status| status.has("state.running") || status.has("state.terminated"))
    });
    let was_true =
        meta::find_condition(old.items("conditions"), KIND).is_some_and(|c| c.text("status") == "True");
    let message = explain(&unknown, &incomplete, "incomplete");
    if has_started || message.is_empty() || was_true {
        return condition(KIND, true, "", "", generation);
    }
    condition(KIND, false, "ContainersNotInitialized", &message, generation)
}

pub fn containers_ready(pod: &Value, statuses: &[Value], phase: &str, generation: i64) -> Value {
    const KIND: &str = "ContainersReady";
    let sidecars = pod.items("spec.initContainers").iter().filter(|container| is_sidecar(container));
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    for container in sidecars.chain(pod.items("spec.containers")) {
        let name = container.text("name");
        match container_status(statuses, name) {
            None => unknown.push(name),
            Some(status) if !status.is_true("ready") => unready.push(name),
            Some(_) => {}
        }
    }
    if phase == FAILED || (phase == SUCCEEDED && unknown.is_empty()) {
        return for_terminal(KIND, phase, generation);
    }
    let message = explain(&unknown, &unready, "unready");
    if message.is_empty() {
        return condition(KIND, true, "", "", generation);
    }
    condition(KIND, false, "ContainersNotReady", &message, generation)
}

/// `others` are the conditions among which those of the readiness gates are looked for.
pub fn ready(pod: &Value, containers_ready: &Value, others: &[Value], generation: i64) -> Value {
    const KIND: &str = "Ready";
    if containers_ready.text("status") != "True" {
        let (reason, message) = (containers_ready.text("reason"), containers_ready.text("message"));
        return condition(KIND, false, reason, message, generation);
    }
    let mut messages: Vec<String> = Vec::new();
    for gate in pod.items("spec.readinessGates") {
        let kind = gate.text("conditionType");
        match meta::find_condition(others, kind) {
            None => messages
                .push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(found) if found.text("status") != "True" => messages.push(format!(
                "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                found.text("status")
            )),
            Some(_) => {}
        }
    }
    if messages.is_empty() {
        return condition(KIND, true, "", "", generation);
    }
    condition(KIND, false, "ReadinessGatesNotReady", &messages.join(", "), generation)
}

pub fn scheduled(generation: i64) -> Value {
    condition("PodScheduled", true, "", "", generation)
}

/// Gives each condition that the kubelet owns its `lastTransitionTime`: the old one's while the status stays.
pub fn set_transition_times(status: &mut Value, old: &Value, now: &Text) {
    if status.items("conditions").is_empty() {
        return;
    }
    let old = old.items("conditions");
    for condition in status.at_mut("conditions").make_array() {
        let kind = condition.text("type");
        if !is_owned(kind) && kind != "DisruptionTarget" {
            continue;
        }
        let before = meta::find_condition(old, kind);
        let since = match before {
            Some(before) if before.text("status") == condition.text("status") => {
                before.at("lastTransitionTime").clone()
            }
            _ => Value::from(now),
        };
        condition.set("lastTransitionTime", since);
    }
}

/// A pod whose phase is terminal is not ready, whatever its containers said last.
pub fn unready_when_terminal(status: &mut Value, generation: i64, now: &Text) {
    let phase = status.shared_text("phase");
    let is_true = |status: &Value, kind: &str| {
        meta::find_condition(status.items("conditions"), kind)
            .is_some_and(|found| found.text("status") == "True")
    };
    if !super::phase::is_terminal(&phase) || !(is_true(status, "Ready") || is_true(status, "ContainersReady"))
    {
        return;
    }
    for condition in status.at_mut("conditions").make_array() {
        let kind = condition.shared_text("type");
        if kind == "Ready" || kind == "ContainersReady" {
            let was_true = condition.text("status") == "True";
            let since = if was_true { Value::from(now) } else { condition.at("lastTransitionTime").clone() };
            *condition = for_terminal(&kind, &phase, generation).with("lastTransitionTime", since);
        }
    }
}
