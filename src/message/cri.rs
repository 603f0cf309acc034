//! Between a kubelet and the container engine of its node: the Container Runtime Interface.
//!
//! Picture to hold in mind: a foreman and a crane driver with a fixed set of hand signals: run a sandbox,
//! pull an image, create, start, stop, remove a container, report what is there.
//!
//! The names are those of `k8s.io/cri-api/pkg/apis/runtime/v1`; only fields that the simulation reads exist.
//! Three calls are not CRI, but what a kubelet does on its own node and only the keeper of the containers can
//! act out here: it writes the files of volumes to the disk ([`Call::WriteVolume`]), clears them away
//! ([`Call::RemoveVolumes`]), and dials ports of pods for its probes ([`Call::Dial`]).
//!
//! Where a call that runs a command names no container, the command is the node's own: whoever sits at its console, or
//! has come by `ssh`, gives it.

use std::sync::Arc;

use crate::api::{Text, Value};
use crate::network::portmap::PortMapping;
use crate::sim::Time;

/// What is said of a socket at which nobody listens.
pub const REFUSED: &str = "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused\"";

#[derive(Clone, Debug)]
pub struct Request {
    pub id: u64,
    pub call: Call,
}

#[derive(Clone, Debug)]
pub enum Call {
    RunPodSandbox(Arc<SandboxConfig>),
    StopPodSandbox {
        sandbox: Text,
    },
    RemovePodSandbox {
        sandbox: Text,
    },
    PullImage {
        image: Text,
        /// Of the pod that it is pulled for (CRI's `sandbox_config`).
        pod_uid: Text,
    },
    ImageStatus {
        image: Text,
    },
    CreateContainer {
        sandbox: Text,
        container: Arc<ContainerConfig>,
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
    /// Runs a command in a container to its end (probes and lifecycle hooks of the exec kind).
    ExecSync {
        container: Text,
        command: Vec<Text>,
        /// 0: none.
        timeout_seconds: u64,
    },
    /// Runs a command whose output is answered in pieces, as they come (`kubectl exec`).
    Exec {
        container: Text,
        command: Vec<Text>,
        /// What it reads, and whether that is all.
        input: Text,
        is_input_over: bool,
        /// It writes to a terminal: both outputs come as one.
        tty: bool,
    },
    /// Listens to a container's first process from now on, answered in pieces like [`Call::Exec`].
    Attach {
        container: Text,
        /// What it reads, and whether that is all.
        input: Text,
        is_input_over: bool,
        /// A line that is typed: the last piece comes when the process waits for the next one. An empty one only asks
        /// whether it waits; `leaves` says that it does not.
        line: Option<Text>,
    },
    /// One line for a shell that stays there between lines, as `kubectl exec -it ... sh` has one.
    ExecLine {
        container: Text,
        /// Names the shell; a new name begins one.
        shell: Text,
        line: Text,
        /// Whether what the line runs has nothing to read.
        is_input_over: bool,
        tty: bool,
    },
    /// The next piece of a command's output, once there is one.
    ExecMore {
        container: Text,
        /// As the last piece named it.
        stream: u64,
    },
    /// More for a command to read; answered at once, without output.
    ExecInput {
        container: Text,
        stream: u64,
        input: Text,
        is_input_over: bool,
        /// Ctrl+C.
        is_interrupted: bool,
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
    /// What the engine tells besides (`verbose`) of a container or a sandbox; of itself without an identity.
    Verbose {
        id: Text,
    },
    ListStats,
    /// Whether the runtime and its network are ready.
    Status,
    /// The node's pod ranges, from which the CNI configuration is written.
    UpdateRuntimeConfig {
        pod_cidrs: Vec<Text>,
    },
    /// A volume's files are written to the node's disk; what it held before is replaced.
    WriteVolume {
        pod_uid: Text,
        volume: Text,
        files: Files,
    },
    /// The volumes of a pod that is gone are cleared away.
    RemoveVolumes {
        pod_uid: Text,
    },
    /// Opens a connection to a port of a pod.
    Dial {
        sandbox: Text,
        port: u16,
        request: DialRequest,
        timeout_seconds: u64,
    },
}

/// Paths below a volume's root, and what the files hold.
pub type Files = Arc<Vec<(Text, Text)>>;

#[derive(Clone, Debug)]
pub enum DialRequest {
    /// Connect, and close again.
    TcpSocket,
    HttpGet {
        path: Text,
    },
    Grpc,
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
            Call::Exec { .. } | Call::ExecLine { .. } | Call::ExecMore { .. } | Call::ExecInput { .. } => {
                "Exec"
            }
            Call::Attach { .. } => "Attach",
            Call::ListPodSandboxes => "ListPodSandbox",
            Call::PodSandboxStatus { .. } => "PodSandboxStatus",
            Call::ContainerLogs { .. } => "ContainerLogs",
            Call::ListImages => "ListImages",
            Call::Verbose { .. } => "Status",
            Call::ListStats => "ListContainerStats",
            Call::Status => "Status",
            Call::UpdateRuntimeConfig { .. } => "UpdateRuntimeConfig",
            Call::WriteVolume { .. } => "WriteVolume",
            Call::RemoveVolumes { .. } => "RemoveVolumes",
            Call::Dial { .. } => "Dial",
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
    pub host_ipc: bool,
    pub share_process_namespace: bool,
    pub dns: DnsConfig,
    /// Host ports.
    pub port_mappings: Vec<PortMapping>,
    pub annotations: Value,
}

/// What becomes the pod's `/etc/resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    pub servers: Vec<Text>,
    pub searches: Vec<Text>,
    pub options: Vec<Text>,
}

#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// The Container of the pod's spec, after defaulting.
    pub spec: Value,
    pub attempt: u32,
    /// The environment that the kubelet resolved, in order.
    pub environment: Vec<(Text, Text)>,
    /// `command` and `args` with their `$(NAME)` references resolved.
    pub command: Vec<Text>,
    pub args: Vec<Text>,
    /// The pod's annotations: the process model reads its `clusterarium.dev/` ones.
    pub annotations: Value,
    pub mounts: Vec<Mount>,
    /// Bytes, 0 for none.
    pub memory_limit_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub container_path: Text,
    pub source: MountSource,
    /// A path below the source, or empty.
    pub sub_path: Text,
    pub read_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A volume that lives as long as its pod.
    Pod { volume: Text },
    /// A path of the node, which outlives pods.
    Host { path: Text },
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
        /// The shell that a line was for has been left.
        leaves: bool,
        /// The command goes on, under this number; its exit code is not known yet.
        stream: Option<u64>,
        /// What it was given and has not read before it ended: its shell may.
        unread: Text,
    },
    Sandboxes(Vec<SandboxStatus>),
    Logs(Vec<(Time, Text)>),
    Images(Vec<Image>),
    Information(Value),
    /// By container: thousandths of a processor, bytes of memory.
    Stats(Vec<(Text, u64, u64)>),
    Status {
        /// Empty: the runtime is ready; else why it is not.
        runtime_error: Text,
        network_error: Text,
    },
    /// What came back from a port: the HTTP status (0 for a bare connection) and body.
    Dialed {
        status: u16,
        body: Text,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The name with host and tag: `docker.io/library/nginx:1.27`.
    pub reference: Text,
    /// `docker.io/library/nginx@sha256:...` as `imageID` shows it.
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
    /// By creation, oldest first.
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
    /// User and groups of the first process; `None` where the engine does not say.
    pub user: Option<LinuxUser>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinuxUser {
    pub uid: i64,
    pub gid: i64,
    pub supplemental_groups: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ContainerState {
    Created,
    Running { started_at: Time },
    Exited { started_at: Time, finished_at: Time, exit_code: i32, reason: Text, message: Text },
}

/// A file of a node's disk that was written or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFile {
    /// Absolute.
    pub path: Text,
    pub change: HostChange,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostChange {
    Written(Text),
    DirectoryMade,
    Removed,
}

/// What the engine reports by itself.
#[derive(Clone, Debug)]
pub struct Event {
    /// Of a container, or of a sandbox.
    pub container_id: Text,
    pub pod_uid: Text,
    pub kind: EventType,
    /// The sandbox as it is after the event; `None` once it is removed.
    pub status: Option<SandboxStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Started,
    Stopped,
    Deleted,
}
