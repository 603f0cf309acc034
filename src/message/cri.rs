//! Between a kubelet and the container engine of its node: the Container Runtime Interface.
//!
//! Picture to hold in mind: a foreman and a crane driver with a fixed set of hand signals: run a sandbox,
//! pull an image, create, start, stop, remove a container, report what is there.
//!
//! The names are those of `k8s.io/cri-api/pkg/apis/runtime/v1`; only fields that the simulation reads exist.

use std::sync::Arc;

use crate::api::{Text, Value};
use crate::sim::Time;

#[derive(Clone, Debug)]
pub struct Request {
    pub id: u64,
    pub call: Call,
}

#[derive(Clone, Debug)]
pub enum Call {
    RunPodSandbox(SandboxConfig),
    StopPodSandbox {
        sandbox: Text,
    },
    RemovePodSandbox {
        sandbox: Text,
    },
    PullImage {
        image: Text,
    },
    ImageStatus {
        image: Text,
    },
    CreateContainer {
        sandbox: Text,
        container: ContainerConfig,
    },
    StartContainer {
        container: Text,
    },
    /// SIGTERM, then SIGKILL when the grace period is over.
    StopContainer {
        container: Text,
        grace_period_seconds: u64,
    },
    RemoveContainer {
        container: Text,
    },
    /// Runs a command in a container (probes and lifecycle hooks of the exec kind, `kubectl exec`).
    ExecSync {
        container: Text,
        command: Vec<Text>,
    },
    /// Everything that the engine knows: sandboxes and containers with their states.
    ListPodSandboxes,
    /// One sandbox and its containers.
    PodSandboxStatus {
        sandbox: Text,
    },
    /// The lines that a container has written, at most `tail` of the last ones.
    ContainerLogs {
        container: Text,
        tail: Option<usize>,
    },
    ListImages,
}

impl Call {
    /// The name of the remote procedure.
    pub fn name(&self) -> &'static str {
        match self {
            Call::RunPodSandbox(_) => "RunPodSandbox",
            Call::StopPodSandbox { .. } => "StopPodSandbox",
            Call::RemovePodSandbox { .. } => "RemovePodSandbox",
            Call::PullImage { .. } => "PullImage",
            Call::ImageStatus { .. } => "ImageStatus",
            Call::CreateContainer { .. } => "CreateContainer",
            Call::StartContainer { .. } => "StartContainer",
            Call::StopContainer { .. } => "StopContainer",
            Call::RemoveContainer { .. } => "RemoveContainer",
            Call::ExecSync { .. } => "ExecSync",
            Call::ListPodSandboxes => "ListPodSandbox",
            Call::PodSandboxStatus { .. } => "PodSandboxStatus",
            Call::ContainerLogs { .. } => "ContainerLogs",
            Call::ListImages => "ListImages",
        }
    }
}

#[derive(Clone, Debug)]
pub struct SandboxConfig {
    pub namespace: Text,
    pub name: Text,
    pub uid: Text,
    pub attempt: u32,
    pub hostname: Text,
    pub host_network: bool,
    pub annotations: Value,
}

#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// The Container of the pod's spec, after defaulting and with its environment resolved.
    pub spec: Value,
    pub attempt: u32,
    /// The pod's annotations: the process model reads its `clusterarium.dev/` ones.
    pub annotations: Value,
    /// Files mounted into the container: path and content.
    pub files: Vec<(Text, Text)>,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub id: u64,
    /// Errors are the engine's own words: `rpc error: code = NotFound desc = ...`.
    pub result: Result<Reply, Text>,
}

#[derive(Clone, Debug)]
pub enum Reply {
    Done,
    Sandbox {
        sandbox: Text,
    },
    Container {
        container: Text,
    },
    /// The image's identity and size; `None`: not on this node.
    Image(Option<Image>),
    Exec {
        exit_code: i32,
        stdout: Text,
        stderr: Text,
    },
    Sandboxes(Vec<SandboxStatus>),
    Logs(Vec<(Time, Text)>),
    Images(Vec<Image>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub reference: Text,
    /// `sha256:...` as `imageID` shows it.
    pub id: Text,
    pub size_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct SandboxStatus {
    pub id: Text,
    pub config: Arc<SandboxConfig>,
    /// The pause container runs.
    pub ready: bool,
    /// Empty with the host's network.
    pub ips: Vec<Text>,
    pub created_at: Time,
    pub containers: Vec<ContainerStatus>,
}

#[derive(Clone, Debug)]
pub struct ContainerStatus {
    pub id: Text,
    pub name: Text,
    pub image: Text,
    pub image_id: Text,
    pub attempt: u32,
    pub state: ContainerState,
    pub created_at: Time,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ContainerState {
    Created,
    Running { started_at: Time },
    Exited { started_at: Time, finished_at: Time, exit_code: i32, reason: Text, message: Text },
}

/// What the engine reports by itself.
#[derive(Clone, Debug)]
pub struct Event {
    pub container_id: Text,
    pub pod_uid: Text,
    pub kind: EventType,
    /// The sandbox as it is after the event.
    pub status: Option<SandboxStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Created,
    Started,
    Stopped,
    Deleted,
}
