//! A pod worker: all that a kubelet holds of one pod.
//!
//! Picture to hold in mind: one clerk a pod, who does one thing at a time. What arrives meanwhile waits in the
//! tray as one "look again". The clerk's work is a list of steps; the one in hand waits for an answer, a time
//! or another clerk.
//!
//! Follows `pkg/kubelet/pod_workers.go`: a pod is synced until it is to go, then its containers are ended
//! (terminating), then its remains are cleared away (terminated).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;
use crate::message::cri::{ContainerState, ContainerStatus, SandboxStatus};
use crate::sim::Time;
use crate::sorted::SortedMap;

use super::actions::KillOrder;
use super::backoff::BackOff;
use super::probes::Prober;
use super::resources::Totals;
use super::status::containers::Reasons;
use super::volumes::Volumes;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Containers are started and kept.
    Syncing,
    /// Containers are ended.
    Terminating,
    /// All have ended; volumes are unmounted.
    Terminated,
    /// Nothing is left to do.
    Finished,
}

#[derive(Clone)]
pub struct Worker {
    /// As the API server (or the manifest) has it.
    pub pod: Value,
    pub totals: Totals,
    pub is_static: bool,
    /// The API server's image of a static pod.
    pub mirror: Option<Value>,
    pub is_creating_mirror: bool,
    pub stage: Stage,
    /// The API server (or the manifest directory) has it no more.
    pub is_gone: bool,
    /// This node does not take it.
    pub is_rejected: bool,
    pub work: Option<Work>,
    /// Something arrived while the clerk was busy.
    pub is_pending: bool,
    /// Counts alarms: only the last one that was set counts.
    pub wake: u32,
    pub seen_at: Time,
    /// What the runtime has of this pod, the newest sandbox first.
    pub sandboxes: Vec<SandboxStatus>,
    /// The runtime has said something since the last relist.
    pub has_changed: bool,
    /// When the clerk was last done, and when the pod alone was looked at: before he begins anew, he wants to know what
    /// has become of it (`podCache.GetNewerThan`).
    pub synced_at: Option<Time>,
    pub looked_at: Option<Time>,
    /// He waits for the next relist.
    pub is_waiting: bool,
    pub status: StatusEntry,
    /// Why containers could not be started.
    pub reasons: Reasons,
    pub restart_back_off: SortedMap<Text, BackOff>,
    /// By image: the wait, and what the pull said.
    pub image_back_off: SortedMap<Text, (BackOff, Text)>,
    pub volumes: Volumes,
    pub prober: Prober,
}

/// The status manager's cache of one pod.
#[derive(Clone, Debug, Default)]
pub struct StatusEntry {
    /// `Null`: none computed yet.
    pub status: Value,
    pub version: u64,
    /// The version that the API server has.
    pub sent_version: u64,
    /// The object's revision after the last letter.
    pub written_revision: Text,
    /// The API server has shown a status that may be somebody else's.
    pub is_suspect: bool,
    /// The worker is through with the pod: it may be deleted.
    pub is_finished: bool,
    /// Deleted at the API server: nothing more is sent.
    pub is_closed: bool,
}

/// What a clerk is doing.
#[derive(Clone, Debug)]
pub struct Work {
    pub stage: Stage,
    pub started_at: Time,
    /// What is still to do after the present step.
    pub steps: VecDeque<Step>,
    pub present: Option<Step>,
    pub wait: Wait,
    /// The first thing that went wrong, and when it may be tried again.
    pub failure: Option<Failure>,
    pub has_acted: bool,
    pub kills: SortedMap<Text, Kill>,
}

/// What the step in hand waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Nothing,
    Volumes,
    /// ConfigMaps and Secrets of the environment.
    Objects,
    Kills,
    /// The answer to a CRI call.
    Call(u64),
    /// Its turn to pull an image.
    Turn,
    /// The worker's alarm.
    Time,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub message: Text,
    /// When the back-off that stopped it is over.
    pub retry_at: Option<Time>,
}

/// One thing after another.
#[derive(Clone, Debug)]
pub enum Step {
    MountVolumes,
    Kill(Vec<KillOrder>),
    StopSandboxes {
        left: Vec<Text>,
    },
    /// Containers of an earlier sandbox are taken away, so that they are not taken for this one's.
    PurgeInitContainers,
    CreateSandbox {
        attempt: u32,
    },
    InspectSandbox {
        sandbox: Text,
    },
    Start(Arc<Start>),
    /// Terminating: the final status.
    Conclude,
    /// Terminated: volumes are unmounted.
    Unmount {
        is_waiting: bool,
    },
}

/// A container on its way up.
#[derive(Clone, Debug)]
pub struct Start {
    pub container: Text,
    pub kind: ContainerKind,
    pub at: StartStage,
    /// When the kubelet began to care for the image, and when the pull began.
    pub wanted_at: Time,
    pub pull_at: Time,
    /// The runtime's id, once it is created.
    pub id: Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartStage {
    BackOff,
    InspectImage,
    Pull,
    Create,
    Start,
    PostStart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    Init,
    App,
    Ephemeral,
}

/// A container on its way down.
#[derive(Clone, Debug)]
pub struct Kill {
    pub order: KillOrder,
    pub at: KillStage,
    pub begun_at: Time,
    /// Seconds that are left of the grace period at this stage's beginning.
    pub grace_seconds: i64,
    pub stage_at: Time,
    pub round: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillStage {
    PreStop,
    /// A sidecar waits until those that it serves have ended.
    Turn,
    Stopping,
    Done,
}

impl Work {
    pub fn new(stage: Stage, now: Time, steps: impl IntoIterator<Item = Step>) -> Work {
        Work {
            stage,
            started_at: now,
            steps: steps.into_iter().collect(),
            present: None,
            wait: Wait::Nothing,
            failure: None,
            has_acted: false,
            kills: SortedMap::new(),
        }
    }
    /// Something went wrong that is tried again after the usual time.
    pub fn fail(&mut self, message: impl Into<Text>) {
        let message = message.into();
        self.failure.get_or_insert_with(|| Failure { message, retry_at: None }).retry_at = None;
    }
    /// A back-off stopped something until `at`. Where several did, the first that ends counts; where something
    /// else went wrong, none does.
    pub fn fail_until(&mut self, message: impl Into<Text>, at: Time) {
        match &mut self.failure {
            None => self.failure = Some(Failure { message: message.into(), retry_at: Some(at) }),
            Some(Failure { retry_at: Some(earlier), .. }) => *earlier = at.min(*earlier),
            Some(_) => {}
        }
    }
}

impl Worker {
    pub fn new(pod: Value, is_static: bool, now: Time) -> Worker {
        Worker {
            totals: Totals::of(&pod),
            pod,
            is_static,
            mirror: None,
            is_creating_mirror: false,
            stage: Stage::Syncing,
            is_gone: false,
            is_rejected: false,
            work: None,
            is_pending: false,
            wake: 0,
            seen_at: now,
            sandboxes: Vec::new(),
            synced_at: None,
            looked_at: None,
            is_waiting: false,
            has_changed: false,
            status: StatusEntry::default(),
            reasons: Reasons::new(),
            restart_back_off: SortedMap::new(),
            image_back_off: SortedMap::new(),
            volumes: Volumes::default(),
            prober: Prober::default(),
        }
    }
    pub fn uid(&self) -> &str {
        meta::uid(&self.pod)
    }
    pub fn namespace(&self) -> &str {
        meta::namespace(&self.pod)
    }
    pub fn name(&self) -> &str {
        meta::name(&self.pod)
    }
    /// `name_namespace(uid)`, as events name a pod.
    pub fn description(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }
    /// The object whose status the API server keeps for this pod.
    pub fn api_pod(&self) -> Option<&Value> {
        if self.is_static { self.mirror.as_ref() } else { Some(&self.pod) }
    }
    /// The status that was computed last, or the one that the API server has.
    pub fn known_status(&self) -> &Value {
        if self.status.status.is_null() { self.pod.at("status") } else { &self.status.status }
    }
    pub fn is_terminating(&self) -> bool {
        self.stage != Stage::Syncing
    }
    /// Whether some of its containers may still run.
    pub fn could_have_running_containers(&self) -> bool {
        !self.is_rejected && matches!(self.stage, Stage::Syncing | Stage::Terminating)
    }
    /// A container of the spec, of whichever list.
    pub fn container(&self, name: &str) -> Option<(&Value, ContainerKind)> {
        let lists = [
            ("spec.containers", ContainerKind::App),
            ("spec.initContainers", ContainerKind::Init),
            ("spec.ephemeralContainers", ContainerKind::Ephemeral),
        ];
        lists.iter().find_map(|(path, kind)| {
            self.pod
                .items(path)
                .iter()
                .find(|container| container.text("name") == name)
                .map(|found| (found, *kind))
        })
    }
    /// What the runtime has, the newest container first.
    pub fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.sandboxes.iter().flat_map(|sandbox| &sandbox.containers)
    }
    /// The newest container of a name.
    pub fn newest(&self, name: &str) -> Option<&ContainerStatus> {
        self.containers().filter(|status| status.name == name).max_by_key(|status| status.created_at)
    }
    pub fn running(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.containers().filter(|status| matches!(status.state, ContainerState::Running { .. }))
    }
    /// Takes what the runtime says of one sandbox; `None`: it is gone.
    pub fn observe(&mut self, id: &str, status: Option<&SandboxStatus>) {
        self.sandboxes.retain(|sandbox| sandbox.id != id);
        if let Some(status) = status {
            self.sandboxes.push(status.clone());
            self.sandboxes
                .arrange_by_key(|sandbox| std::cmp::Reverse((sandbox.created_at, sandbox.config.attempt)));
        }
    }
}
