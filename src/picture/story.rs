//! A pod's birth and life on its node, step by step, in the viewer's words.
//!
//! Picture to hold in mind: a flip book. The engine drew every page at its own instant; here each page gets a
//! caption, and the reader turns them back and forth with the time.

use serde::{Deserialize, Serialize};

use crate::api::{Value, meta};
use crate::kubelet::runtime::ContainerEngine;
use crate::kubelet::runtime::sandbox::{StoryStep, step};

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Microseconds since the run began.
    pub time_us: u64,
    /// `CniAdd`: the word by which a drawing knows it; [`crate::kubelet::runtime::sandbox::step`] lists them.
    pub step: String,
    /// `CNI ADD`: a few words.
    pub title: String,
    /// One plain sentence.
    pub explanation: String,
    /// What was made or said, verbatim: the CNI's JSON, addresses, routes, the lines of resolv.conf, an error.
    pub detail: String,
    /// For steps of one container: its name.
    pub container: String,
    /// It went wrong.
    pub is_failure: bool,
}

/// The story of `pod`, up to the present instant.
pub(super) fn story(pod: &Value, engine: Option<&ContainerEngine>) -> Vec<Step> {
    let uid = meta::uid(pod);
    let Some(engine) = engine else { return Vec::new() };
    let mut steps = engine.story(uid);
    if steps.is_empty() {
        // A static pod's mirror has a UID of its own.
        steps = engine.story(meta::annotation(pod, "kubernetes.io/config.hash").unwrap_or(""));
    }
    steps.iter().map(caption).collect()
}

fn caption(line: &StoryStep) -> Step {
    let (title, explanation) = match line.step {
        step::PAUSE_CREATED => {
            ("RunPodSandbox", "The engine creates the pause container, on which everything else will stand.")
        }
        step::NAMESPACES => {
            ("Namespaces", "Namespaces of its own are made; every container of the pod will join them.")
        }
        step::PAUSE_STARTED => (
            "pause runs",
            "The pause container's only process starts: as long as it sleeps, the namespaces live.",
        ),
        step::CNI_ADD => (
            "CNI ADD",
            "The engine calls the network plugin with this configuration: add a network to the sandbox.",
        ),
        step::VETH => (
            "veth pair",
            "A cable with two ends is made: eth0 inside of the pod, the other end on the node's bridge.",
        ),
        step::ADDRESS => {
            ("IPAM", "The address ledger gives out the next free address of the node's pod range.")
        }
        step::ROUTES => {
            ("Routes", "Routes are set inside of the pod: its own range, and everything else by the node.")
        }
        step::DNS => ("resolv.conf", "The name server and the search list are written for the pod."),
        step::READY => ("Sandbox ready", "The plugin's result comes back; containers may move in."),
        step::FAILED => ("Sandbox failed", "What was built is torn down; the kubelet will try again."),
        step::IMAGE_PULL => ("Pulling", "The image is fetched from its registry, layer by layer."),
        step::IMAGE_PULLED => ("Pulled", "The image is on the node."),
        step::IMAGE_FAILED => {
            ("Pull failed", "The registry does not give this image; the kubelet will try again, ever later.")
        }
        step::CONTAINER_CREATED => (
            "Created",
            "The container exists: root file system, mounts, namespaces joined; nothing runs yet.",
        ),
        step::CONTAINER_STARTED => ("Started", "The container's first process runs."),
        step::TERM_SENT => ("SIGTERM", "The process is asked to leave; after the grace period it is killed."),
        step::CONTAINER_EXITED => ("Exited", "The container's first process has ended."),
        step::CONTAINER_REMOVED => ("Removed", "The container's remains are cleared away."),
        step::CNI_DEL => ("CNI DEL", "The engine calls the network plugin: take the network away."),
        step::ADDRESS_RELEASED => ("Address released", "The address goes back to the ledger, and rests."),
        step::PAUSE_STOPPED => ("pause stops", "The pause container ends, and its namespaces with it."),
        step::SANDBOX_REMOVED => ("Sandbox removed", "Nothing of it is left on the node."),
        _ => ("", ""),
    };
    let is_of_container = matches!(
        line.step,
        step::CONTAINER_CREATED
            | step::CONTAINER_STARTED
            | step::CONTAINER_EXITED
            | step::CONTAINER_REMOVED
            | step::TERM_SENT
    );
    let container = line.detail.split(' ').next().filter(|_| is_of_container).unwrap_or("");
    let has_bad_exit = line.step == step::CONTAINER_EXITED && !line.detail.contains("exit code 0 ");
    Step {
        time_us: line.time.0,
        step: line.step.to_string(),
        title: title.to_string(),
        explanation: explanation.to_string(),
        detail: line.detail.to_string(),
        container: container.to_string(),
        is_failure: has_bad_exit || matches!(line.step, step::FAILED | step::IMAGE_FAILED),
    }
}
