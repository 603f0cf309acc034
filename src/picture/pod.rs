//! A pod as it is drawn: what the API says, and what stands on its node.
//!
//! Picture to hold in mind: the pod's own drawing in the course: containers on the slab of the pause container
//! that carries the address. The status word is the one of `kubectl get pods`.

use crate::api::{Value, meta};
use crate::kubelet::runtime::ContainerEngine;

use super::build::{owner_of, stamp_us};
use super::{Container, ContainerRole, Pod, Sandbox, Share, Tone};

pub(super) fn picture_of_pod(pod: &Value, engine: Option<&ContainerEngine>) -> Pod {
    let namespace = pod.text("metadata.namespace");
    let name = pod.text("metadata.name");
    let status = status_word(pod);
    let mut containers = Vec::new();
    for spec in pod.items("spec.initContainers") {
        let is_sidecar = spec.text("restartPolicy") == "Always";
        let role = if is_sidecar { ContainerRole::Sidecar } else { ContainerRole::Init };
        containers.push(container(pod, spec, role, "status.initContainerStatuses"));
    }
    for spec in pod.items("spec.containers") {
        containers.push(container(pod, spec, ContainerRole::App, "status.containerStatuses"));
    }
    let ready = containers.iter().filter(|one| one.role != ContainerRole::Init);
    let (mut used, mut of) = (0, 0);
    for one in ready {
        of += 1;
        used += u64::from(one.is_ready);
    }
    let tone = tone_of(pod, &status, used == of);
    let uid = pod.text("metadata.uid");
    // The mirror of a static pod has a UID of its own; its sandbox carries the one of the file.
    let file_uid = meta::annotation(pod, "kubernetes.io/config.hash").unwrap_or(uid);
    let sandbox = engine
        .and_then(|engine| {
            engine
                .sandboxes()
                .filter(|sandbox| sandbox.config.uid == uid || sandbox.config.uid == file_uid)
                .max_by_key(|sandbox| (sandbox.config.attempt, sandbox.created_at))
        })
        .map(|sandbox| {
            let mut ips = sandbox.ips().into_iter().map(|ip| ip.to_string());
            Sandbox {
                id: sandbox.id.to_string(),
                is_ready: sandbox.is_ready(),
                ip: ips.next().unwrap_or_default(),
                second_ip: ips.next().unwrap_or_default(),
                host_network: sandbox.config.host_network,
                step: format!("{:?}", sandbox.stage),
            }
        });
    Pod {
        namespace: namespace.to_string(),
        name: name.to_string(),
        uid: pod.text("metadata.uid").to_string(),
        node: pod.text("spec.nodeName").to_string(),
        tone,
        status,
        ready: Share { used, of },
        restarts: containers.iter().map(|one| one.restarts).sum(),
        ip: pod.text("status.podIP").to_string(),
        owner: owner_of(pod),
        containers,
        sandbox,
        is_mirror: meta::annotation(pod, "kubernetes.io/config.mirror").is_some(),
        created_us: stamp_us(pod, "metadata.creationTimestamp"),
    }
}

fn container(pod: &Value, spec: &Value, role: ContainerRole, statuses: &str) -> Container {
    let name = spec.text("name");
    let status = pod.items(statuses).iter().find(|status| status.text("name") == name);
    let null = Value::Null;
    let status = status.unwrap_or(&null);
    let is_ready = status.is_true("ready");
    let (state, tone) = if status.has("state.running") {
        let tone = if is_ready { Tone::Healthy } else { Tone::Progressing };
        ("Running".to_string(), tone)
    } else if status.has("state.terminated") {
        let reason = status.text("state.terminated.reason");
        let is_clean = status.integer("state.terminated.exitCode") == Some(0);
        (format!("Terminated: {reason}"), if is_clean { Tone::Completed } else { Tone::Failed })
    } else {
        let reason = status.text("state.waiting.reason");
        let tone = match reason {
            "" | "PodInitializing" => Tone::Pending,
            "ContainerCreating" => Tone::Progressing,
            _ => Tone::Failed,
        };
        (if reason.is_empty() { "Waiting".to_string() } else { format!("Waiting: {reason}") }, tone)
    };
    Container {
        name: name.to_string(),
        image: spec.text("image").to_string(),
        role,
        state,
        tone,
        is_ready,
        restarts: u64::try_from(status.integer("restartCount").unwrap_or(0)).unwrap_or(0),
    }
}

fn tone_of(pod: &Value, status: &str, all_ready: bool) -> Tone {
    if meta::is_deleting(pod) {
        return Tone::Terminating;
    }
    match pod.text("status.phase") {
        "Succeeded" => Tone::Completed,
        "Failed" => Tone::Failed,
        "Running" if status == "Running" && all_ready => Tone::Healthy,
        "Running" if status == "Running" => Tone::Progressing,
        _ if status.contains("BackOff") || status.contains("Err") || status.contains("Crash") => Tone::Failed,
        "Running" => Tone::Degraded,
        _ if pod.text("spec.nodeName").is_empty() => Tone::Pending,
        _ => Tone::Progressing,
    }
}

/// The STATUS column, by the API server's own printer.
fn status_word(pod: &Value) -> String {
    crate::apiserver::tables::pod_status(pod)
}
