//! A pod sandbox: what the pause container holds.
//!
//! Picture to hold in mind: a slab is laid (the pause container), walls are put up around it (network, IPC and
//! UTS namespaces), a cable is pulled through the wall (the veth pair), a number is screwed to the door (the
//! address). Only then do tenants move in. Containers come and go; slab, walls and number stay.
//!
//! The steps and their words are what [`step`] lists; each is a `Note::Sandbox` at its own instant.

use std::sync::Arc;

use crate::api::Text;
use crate::message::cri::{ContainerStatus, SandboxConfig, SandboxStatus};
use crate::network::cni::Attachment;
use crate::sim::{Duration, Time};

/// The words of `Note::Sandbox`, in the order in which a sandbox sees them.
pub mod step {
    pub const PAUSE_CREATED: &str = "PauseContainerCreated";
    pub const NAMESPACES: &str = "NamespacesCreated";
    pub const PAUSE_STARTED: &str = "PauseContainerStarted";
    pub const CNI_ADD: &str = "CniAdd";
    pub const VETH: &str = "VethPairCreated";
    pub const ADDRESS: &str = "AddressAllocated";
    pub const ROUTES: &str = "RoutesSet";
    pub const DNS: &str = "DnsConfigured";
    pub const READY: &str = "SandboxReady";
    pub const FAILED: &str = "SandboxFailed";
    pub const IMAGE_PULL: &str = "ImagePullStarted";
    pub const IMAGE_PULLED: &str = "ImagePulled";
    pub const IMAGE_FAILED: &str = "ImagePullFailed";
    pub const CONTAINER_CREATED: &str = "ContainerCreated";
    pub const CONTAINER_STARTED: &str = "ContainerStarted";
    pub const TERM_SENT: &str = "SignalTermSent";
    pub const CONTAINER_EXITED: &str = "ContainerExited";
    pub const CONTAINER_REMOVED: &str = "ContainerRemoved";
    pub const CNI_DEL: &str = "CniDel";
    pub const ADDRESS_RELEASED: &str = "AddressReleased";
    pub const PAUSE_STOPPED: &str = "PauseContainerStopped";
    pub const SANDBOX_REMOVED: &str = "SandboxRemoved";
}

/// One line of a pod's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryStep {
    pub time: Time,
    /// One of [`step`].
    pub step: &'static str,
    /// What was made: the CNI's JSON, an address, routes, a container's name and identity.
    pub detail: Text,
}

/// A stage of a sandbox's life that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    PauseCreated,
    Namespaces,
    PauseStarted,
    CniAdd,
    Veth,
    Address,
    Routes,
    Dns,
    Ready,
    /// On the way down.
    CniDel,
    AddressReleased,
    Stopped,
}

impl Stage {
    /// How long it takes to get to this stage, lowest and highest, in microseconds: magnitudes of containerd
    /// with the bridge plugin on an idle machine.
    pub fn duration(self) -> (Duration, Duration) {
        let (low, high) = match self {
            Stage::PauseCreated => (18_000, 35_000),
            Stage::Namespaces => (2_000, 6_000),
            Stage::PauseStarted => (25_000, 50_000),
            Stage::CniAdd => (3_000, 8_000),
            Stage::Veth => (12_000, 25_000),
            Stage::Address => (4_000, 9_000),
            Stage::Routes => (6_000, 14_000),
            Stage::Dns => (800, 2_000),
            Stage::Ready => (500, 1_500),
            Stage::CniDel => (4_000, 9_000),
            Stage::AddressReleased => (8_000, 20_000),
            Stage::Stopped => (15_000, 40_000),
        };
        (Duration(low), Duration(high))
    }
    /// The stage after this one; `None`: it was the last.
    pub fn next(self, host_network: bool) -> Option<Stage> {
        Some(match self {
            Stage::PauseCreated => Stage::Namespaces,
            Stage::Namespaces => Stage::PauseStarted,
            Stage::PauseStarted if host_network => Stage::Dns,
            Stage::PauseStarted => Stage::CniAdd,
            Stage::CniAdd => Stage::Veth,
            Stage::Veth => Stage::Address,
            Stage::Address => Stage::Routes,
            Stage::Routes => Stage::Dns,
            Stage::Dns => Stage::Ready,
            Stage::CniDel => Stage::AddressReleased,
            Stage::AddressReleased => Stage::Stopped,
            Stage::Ready | Stage::Stopped => return None,
        })
    }
}

#[derive(Clone, Debug)]
pub struct Sandbox {
    pub id: Text,
    pub config: Arc<SandboxConfig>,
    /// How far it has come; `Ready` and `Stopped` are where it rests.
    pub stage: Stage,
    /// The pause container was killed from outside.
    pub is_broken: bool,
    pub created_at: Time,
    pub attachment: Option<Attachment>,
    /// An address that no plugin gave: every hollow pod has the same one.
    pub fixed_ip: Option<Text>,
}

impl Sandbox {
    pub fn new(id: Text, config: Arc<SandboxConfig>, now: Time) -> Sandbox {
        Sandbox {
            id,
            config,
            stage: Stage::PauseCreated,
            is_broken: false,
            created_at: now,
            attachment: None,
            fixed_ip: None,
        }
    }
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready && !self.is_broken
    }
    /// `namespace/name` of its pod.
    pub fn pod(&self) -> Text {
        [&self.config.namespace, "/", &self.config.name].concat().into()
    }
    pub fn ips(&self) -> Vec<Text> {
        match (&self.fixed_ip, &self.attachment) {
            (Some(ip), _) => vec![ip.clone()],
            (None, Some(attachment)) => attachment.addresses.iter().map(|ip| ip.to_string().into()).collect(),
            (None, None) => Vec::new(),
        }
    }
    pub fn status(&self, containers: Vec<ContainerStatus>) -> SandboxStatus {
        SandboxStatus {
            id: self.id.clone(),
            config: self.config.clone(),
            ready: self.is_ready(),
            ips: if self.config.host_network { Vec::new() } else { self.ips() },
            created_at: self.created_at,
            containers,
        }
    }
}
