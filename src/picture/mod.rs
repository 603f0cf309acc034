//! What can be seen at one instant: plain data in the viewer's words, without coordinates.
//!
//! Picture to hold in mind: a photograph with a caption under everything on it. Whoever draws it decides
//! where things stand; the photograph says what there is, how it fares, and what is on its way to whom.
//!
//! A picture crosses a worker boundary, so it owns everything and borrows nothing. It is read from the
//! actors' own state and from etcd: it never asks the API server, and never changes anything.

mod admitted;
mod asked;
mod build;
mod complete;
mod election;
mod etcd;
mod fields;
mod files;
pub mod flow;
mod hand;
mod inspect;
mod inspect_etcd;
mod load;
mod narration;
mod network;
mod pod;
mod stories;
mod story;
mod volumes;
mod why;

use serde::{Deserialize, Serialize};

pub use crate::network::trace::report::{
    Envelope, Hop, HopStage, HopVerdict, Lookup, PacketSource, PacketTarget, PacketTrace, PacketVerdict,
    Place,
};
pub use admitted::admitted;
pub use build::build;
pub use complete::{Completion, complete};
pub use election::tell_etcd;
pub use etcd::{EntryState, EtcdMember, LogEntry, PeerProgress, ProgressState, Vote};
pub use files::{file, files};
pub use flow::{Flow, Shape, is_routine};
pub use hand::{Action, MEND, setups};
pub use inspect::{ConditionRow, Detail, EventRow, Query, inspect};
pub use inspect_etcd::Reference;
pub use load::{Load, LoadEndpoint};
pub use narration::{Sentence, Teller, tell};
pub use network::trace_packet;
pub use stories::{STORIES, free_name, scene};
pub use story::Step;
pub use volumes::VolumeRow;
pub use why::{Link, why};

/// The cluster at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Microseconds since the run began.
    pub time_us: u64,
    /// The furthest instant that has been simulated.
    pub horizon_us: u64,
    pub hosts: Vec<Host>,
    pub components: Vec<Component>,
    pub etcd: Vec<EtcdMember>,
    pub pods: Vec<Pod>,
    pub workloads: Vec<Workload>,
    pub services: Vec<Service>,
    /// Cables that are cut, slow or lossy.
    pub links: Vec<LinkFault>,
    /// Requests that are sent to a service, or were.
    pub load: Option<Load>,
    /// Whether the API server answers, and with how many objects.
    pub objects: u64,
    /// The store's revision at the etcd leader.
    pub revision: u64,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    pub name: String,
    pub role: HostRole,
    pub ip: String,
    pub is_up: bool,
    /// For nodes of the cluster.
    pub node: Option<NodeState>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostRole {
    ControlPlane,
    #[default]
    Worker,
    Etcd,
    /// Where the user sits.
    Workstation,
}

/// What the API knows of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeState {
    /// `Ready`, `NotReady`, `Unknown`, as `kubectl get nodes` shows it.
    pub status: String,
    pub is_schedulable: bool,
    pub taints: Vec<String>,
    pub pod_cidr: String,
    pub cpu_milli: Share,
    pub memory_mib: Share,
    pub pods: Share,
}

/// Requested out of allocatable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub used: u64,
    pub of: u64,
}

/// A process: an actor of the simulation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// `kube-apiserver-cp-1`: also the name that commands use.
    pub name: String,
    /// Identifies it in messages.
    pub actor: u32,
    pub kind: ComponentKind,
    pub host: String,
    pub is_running: bool,
    /// Holds its leader lease, where there is one.
    pub is_leader: bool,
    /// Keys that wait in its queues, requests in hand: the number worth showing.
    pub busy: u64,
    /// An API server's watch cache is so many revisions behind what etcd has: what it tells of may be out of date.
    pub behind: u64,
    pub loops: Vec<Loop>,
    /// An API server's requests that are not answered yet.
    pub in_hand: Vec<InHand>,
}

/// A request on its way through the API server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InHand {
    /// `POST pods`.
    pub label: String,
    /// `default/nginx`, or empty.
    pub about: String,
    /// When it leaves authentication, authorization, admission and validation; after that it is at storage, until
    /// it is answered. Validating admission comes after validation and is counted to it.
    pub leaves_us: [u64; 4],
}

impl InHand {
    /// Where it is: 0 authentication, 1 authorization, 2 admission, 3 validation, 4 storage.
    pub fn stage_at(&self, time_us: u64) -> usize {
        self.leaves_us.iter().filter(|leaves| **leaves <= time_us).count()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ComponentKind {
    #[default]
    ApiServer,
    Etcd,
    ControllerManager,
    Scheduler,
    Kubelet,
    ContainerEngine,
    KubeProxy,
    /// Enforces NetworkPolicies, where it is installed.
    KubeRouter,
    /// Felix and BIRD.
    CalicoNode,
    CoreDns,
    Terminal,
}

/// A control loop inside a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loop {
    pub name: String,
    pub queued: Vec<String>,
    pub processing: Vec<String>,
    pub workers: u32,
}

/// A pod, as the API and its node know it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// Empty while it is not bound.
    pub node: String,
    /// The STATUS column of `kubectl get pods`.
    pub status: String,
    pub tone: Tone,
    pub ready: Share,
    pub restarts: u64,
    pub ip: String,
    pub owner: Option<Owner>,
    pub containers: Vec<Container>,
    /// `None`: there is no sandbox (yet, or any more).
    pub sandbox: Option<Sandbox>,
    /// A static pod's mirror.
    pub is_mirror: bool,
    pub created_us: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    pub kind: String,
    pub name: String,
}

/// How something fares: the colour and the shape it is drawn in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tone {
    /// Not there yet.
    #[default]
    Pending,
    /// On its way.
    Progressing,
    Healthy,
    /// Something is wrong, and is being tried again.
    Degraded,
    Failed,
    /// Ran to its end.
    Completed,
    /// On its way out.
    Terminating,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub role: ContainerRole,
    /// `Running`, `Waiting: ImagePullBackOff`, `Terminated: Completed`.
    pub state: String,
    pub tone: Tone,
    pub is_ready: bool,
    pub restarts: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerRole {
    Init,
    /// An init container that stays (`restartPolicy: Always`).
    Sidecar,
    #[default]
    App,
}

/// The pause container and what hangs on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    pub id: String,
    pub is_ready: bool,
    pub ip: String,
    /// Of the other family, in a cluster of both.
    pub second_ip: String,
    pub host_network: bool,
    /// The last step of its birth or end: `veth pair`, `CNI ADD`.
    pub step: String,
}

/// An object that makes pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub ready: Share,
    pub owner: Option<Owner>,
    pub tone: Tone,
}

/// A name and an address in front of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    /// `ClusterIP`, `NodePort`, `LoadBalancer`, `ExternalName`.
    pub kind: String,
    /// `None` for a headless one.
    pub cluster_ip: String,
    pub ports: Vec<u16>,
    /// Of its first port.
    pub node_port: Option<u16>,
    /// Of its load balancer; empty: it has none.
    pub external_ip: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkFault {
    pub from: String,
    pub to: String,
    pub is_cut: bool,
    pub extra_delay_us: u64,
    pub loss_per_million: u32,
}
