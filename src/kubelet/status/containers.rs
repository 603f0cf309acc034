//! Container statuses, out of what the runtime says and what was said before.
//!
//! Follows `pkg/kubelet/kubelet_pods.go` `convertToAPIContainerStatuses`.
//!
//! Picture to hold in mind: a row of name plates, one for each container of the spec. What the runtime shows of
//! the newest container of that name goes on the plate, the one before it into the corner "last state"; where
//! nothing runs although it should, the reason why it could not be started is written over it.

use crate::api::{Text, Value, time};
use crate::arrange::Arrange;
use crate::message::cri::{ContainerState, ContainerStatus};
use crate::object;
use crate::sorted::SortedMap;

use super::generate::Observed;
use super::phase::{container_status, should_restart};

/// Why a container could not be started, by its name: reason and message.
pub type Reasons = SortedMap<Text, (Text, Text)>;

const UNKNOWN_REASON: &str = "ContainerStatusUnknown";

pub fn is_exited(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Exited { .. })
}

/// Whether the kubelet will start a container (again), given the newest one of its name.
pub fn will_start(container: &Value, pod: &Value, newest: Option<&ContainerStatus>) -> bool {
    if pod.has("metadata.deletionTimestamp") {
        return false;
    }
    match newest.map(|status| &status.state) {
        None | Some(ContainerState::Created) => true,
        Some(ContainerState::Running { .. }) => false,
        Some(ContainerState::Exited { exit_code, .. }) => {
            should_restart(container, pod, i64::from(*exit_code))
        }
    }
}

fn state_of(status: &ContainerStatus, id: &str) -> Value {
    match &status.state {
        ContainerState::Created => object! { "waiting" => Value::object() },
        ContainerState::Running { started_at } => {
            object! { "running" => object! { "startedAt" => time::rfc3339(*started_at) } }
        }
        ContainerState::Exited { started_at, finished_at, exit_code, reason, message } => {
            let mut terminated = object! {
                "exitCode" => *exit_code,
                "startedAt" => time::rfc3339(*started_at),
                "finishedAt" => time::rfc3339(*finished_at),
                "containerID" => id,
            };
            if !reason.is_empty() {
                terminated.set("reason", reason);
            }
            if !message.is_empty() {
                terminated.set("message", message);
            }
            object! { "terminated" => terminated }
        }
    }
}

fn unknown(message: &str) -> Value {
    object! {
        "reason" => UNKNOWN_REASON, "message" => message, "exitCode" => 137,
        "startedAt" => Value::Null, "finishedAt" => Value::Null,
    }
}

fn volume_mounts(container: &Value) -> Value {
    let mounts = container.items("volumeMounts").iter().map(|mount| {
        let mut status = object! { "name" => mount.at("name"), "mountPath" => mount.at("mountPath") };
        if mount.is_true("readOnly") {
            status.set("readOnly", true);
            // The runtime does not support recursive read-only mounts, so `IfPossible` ends up as this, too.
            status.set("recursiveReadOnly", "Disabled");
        }
        status
    });
    Value::array(mounts)
}

/// `resources` of a container: what it was given.
fn resources(container: &Value, status: &ContainerStatus, is_hollow: bool) -> Value {
    let mut resources = container.at("resources").clone();
    if resources.is_null() {
        resources = Value::object();
    }
    // The fake runtime reports nothing, so upstream falls back to what it has noted itself, which holds a zero
    // where no memory was named.
    if is_hollow && matches!(status.state, ContainerState::Running { .. }) {
        for kind in ["limits", "requests"] {
            if resources.has(kind) && !resources.has(&format!("{kind}.memory")) {
                resources.set(&format!("{kind}.memory"), "0");
            }
        }
    }
    resources
}

/// The statuses of `containers` (a list of the pod's spec).
pub fn statuses(seen: &Observed, containers: &[Value], old: &[Value], is_init: bool) -> Vec<Value> {
    let pod = seen.pod;
    let has_init = !pod.items("spec.initContainers").is_empty();
    let waiting_reason = if has_init { "PodInitializing" } else { "ContainerCreating" };
    let mut newest_first: Vec<&ContainerStatus> = seen.containers().collect();
    newest_first.arrange_by_key(|status| std::cmp::Reverse(status.created_at));
    let has_app_container = || {
        pod.items("spec.containers")
            .iter()
            .any(|c| newest_first.iter().any(|status| status.name == c.text("name")))
    };

    let mut statuses = Vec::with_capacity(containers.len());
    for container in containers {
        let name = container.shared_text("name");
        let old_status = container_status(old, &name);
        let of_name: Vec<&ContainerStatus> =
            newest_first.iter().filter(|status| status.name == name).take(2).copied().collect();
        let mut status = base(container, old_status, waiting_reason);
        match of_name.first() {
            None => {
                if let Some(old_status) = old_status {
                    missing(&mut status, old_status, pod, waiting_reason);
                }
            }
            Some(newest) => {
                status = convert(seen, container, newest, old_status);
                if let Some(before) = of_name.get(1) {
                    let id = seen.container_id(&before.id);
                    status.set("lastState", state_of(before, &id));
                }
            }
        }
        if is_init {
            let is_done = of_name
                .first()
                .is_some_and(|newest| matches!(newest.state, ContainerState::Exited { exit_code: 0, .. }));
            if is_done {
                statuses.push(status);
                continue;
            }
            let is_sidecar = crate::kubelet::resources::is_sidecar(container);
            if of_name.is_empty() && !is_sidecar && status.has("state.waiting") && has_app_container() {
                status.set("state", object! { "terminated" => object! {
                    "reason" => "Completed", "exitCode" => 0, "startedAt" => Value::Null, "finishedAt" => Value::Null,
                    "message" => "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally",
                } });
                statuses.push(status);
                continue;
            }
        }
        // What should be started and is not: why.
        if will_start(container, pod, of_name.first().copied())
            && let Some((reason, message)) = seen.reasons.get(&name)
        {
            if status.has("state.terminated") {
                status.set("lastState", status.at("state").clone());
            }
            let mut waiting = object! { "reason" => reason };
            if !message.is_empty() {
                waiting.set("message", message);
            }
            status.set("state", object! { "waiting" => waiting });
        }
        statuses.push(status);
    }
    if !is_init {
        statuses.arrange_by(|a, b| a.text("name").cmp(b.text("name")));
    }
    statuses
}

/// The plate before anybody looked: waiting, or as it was when it had ended.
fn base(container: &Value, old: Option<&Value>, waiting_reason: &str) -> Value {
    if let Some(old) = old.filter(|old| old.has("state.terminated")) {
        return old.clone();
    }
    let mut status = object! {
        "name" => container.at("name"),
        "image" => container.at("image"),
        "imageID" => "",
        "ready" => false,
        "restartCount" => old.and_then(|old| old.integer("restartCount")).unwrap_or(0),
        "lastState" => old.map_or_else(Value::object, |old| old.at("lastState").clone()),
        "state" => object! { "waiting" => object! { "reason" => waiting_reason } },
    };
    if !container.items("volumeMounts").is_empty() {
        status.set("volumeMounts", volume_mounts(container));
    }
    status
}

/// The runtime knows nothing of a container that is said to have run.
fn missing(status: &mut Value, old: &Value, pod: &Value, waiting_reason: &str) {
    let is_default = status.text("state.waiting.reason") == waiting_reason;
    if !old.has("state.running") || !is_default || status.has("lastState.terminated") {
        return;
    }
    let message =
        "The container could not be located when the pod was deleted.  The container used to be Running";
    status.set("lastState", object! { "terminated" => unknown(message) });
    if !pod.has("metadata.deletionTimestamp") {
        let count = status.integer("restartCount").unwrap_or(0);
        status.set("restartCount", count + 1);
    }
}

fn convert(seen: &Observed, container: &Value, found: &ContainerStatus, old: Option<&Value>) -> Value {
    let id = seen.container_id(&found.id);
    let mut restart_count = i64::from(found.attempt);
    let mut last_state = Value::object();
    if let Some(old) = old {
        restart_count = restart_count.max(old.integer("restartCount").unwrap_or(0));
        let terminated = if old.text("containerID") != id && old.has("state.terminated") {
            old.at("state.terminated")
        } else {
            old.at("lastState.terminated")
        };
        if !terminated.is_null() {
            last_state = object! { "terminated" => terminated };
        }
    }
    let mut status = object! {
        "name" => &found.name,
        "image" => &found.image,
        "imageID" => &found.image_id,
        "containerID" => &id,
        "ready" => false,
        "restartCount" => restart_count,
        "lastState" => last_state,
        "state" => state_of(found, &id),
        "resources" => resources(container, found, seen.is_hollow),
    };
    if let Some(started) = old.map(|old| old.at("started")).filter(|started| !started.is_null())
        && matches!(found.state, ContainerState::Running { .. })
    {
        status.set("started", started);
    }
    let requests = container.at("resources.requests");
    if !requests.is_empty() {
        status.set("allocatedResources", requests);
    }
    let mounts = match old {
        Some(old) => old.at("volumeMounts").clone(),
        None => volume_mounts(container),
    };
    if !mounts.is_empty() {
        status.set("volumeMounts", mounts);
    }
    if let Some(user) = &found.user {
        let groups: Vec<Value> = user.supplemental_groups.iter().map(|group| Value::from(*group)).collect();
        let linux =
            object! { "uid" => user.uid, "gid" => user.gid, "supplementalGroups" => Value::from(groups) };
        status.set("user", object! { "linux" => linux });
    }
    status
}
