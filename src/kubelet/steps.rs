//! A worker's steps: how a pod comes up, is kept, and goes.
//!
//! Picture to hold in mind: a checklist on a clipboard. A step is begun, the clerk waits for its outcome, ticks
//! it off and begins the next; what fails is written at the foot of the page, with the time of the next try.
//!
//! Follows `pkg/kubelet/kubelet.go` (`SyncPod`, `SyncTerminatingPod`, `SyncTerminatedPod`), `pod_workers.go`
//! (`completeWork`) and `kuberuntime_manager.go` (`SyncPod`).

use std::sync::Arc;

use crate::api::{Text, meta};
use crate::arrange::Arrange;
use crate::language::Context;
use crate::message::cri::{Call, ContainerState, Reply};
use crate::sim::{Duration, Time};
use crate::timer::{KubeletTimer, Timer};

use super::actions::{self, KillOrder, KillReason};
use super::environment;
use super::status::phase::is_terminal;
use super::worker::{ContainerKind, Stage, Start, StartStage, Step, Wait, Work};
use super::{CallPurpose, State};

/// `backOffPeriod`, after a sync that failed.
const ERROR_BACK_OFF: Duration = Duration::from_secs(10);
/// `backOffOnTransientErrorPeriod`, while the network is not ready.
const NETWORK_BACK_OFF: Duration = Duration::from_secs(1);
/// How often a sync looks whether volumes are mounted (`podAttachAndMountRetryInterval`), and for how long.
pub(super) const VOLUME_POLL: Duration = Duration::from_millis(300);
const VOLUME_TIMEOUT: Duration = Duration::from_secs(123);

impl State {
    /// Something has happened to a pod: its worker looks, now or when it is free.
    pub(super) fn sync(&mut self, uid: &Text, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return };
        if worker.work.is_some() {
            worker.is_pending = true;
            return;
        }
        let (synced_at, looked_at, is_finished) =
            (worker.synced_at, worker.looked_at, worker.stage == Stage::Finished);
        if !is_finished && synced_at.is_some() && looked_at.max(Some(self.relisted_at(context))) <= synced_at
        {
            if let Some(worker) = self.worker(uid) {
                worker.is_waiting = true;
            }
            self.set_relist(context);
            return;
        }
        let Some(worker) = self.worker(uid) else { return };
        worker.is_waiting = false;
        match worker.stage {
            Stage::Syncing => self.sync_pod(uid, context),
            Stage::Terminating => self.sync_terminating(uid, context),
            Stage::Terminated => self.sync_terminated(uid, context),
            Stage::Finished => {}
        }
    }

    /// The alarm of a worker: a wait is over, or it is time to look again.
    pub(super) fn worker_due(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        let Some(worker) = self.worker(uid) else { return };
        let Some(work) = &mut worker.work else {
            self.sync(uid, context);
            return;
        };
        match work.wait {
            Wait::Time => {
                work.wait = Wait::Nothing;
                self.proceed(uid, context);
            }
            Wait::Volumes => {
                if worker.volumes.are_mounted() {
                    work.wait = Wait::Nothing;
                    self.proceed(uid, context);
                } else if now.since(work.started_at) >= VOLUME_TIMEOUT {
                    let words = "unmounted volumes, unattached volumes=[], failed to process volumes=[]: context deadline exceeded";
                    work.fail(words);
                    self.finish(uid, context);
                } else {
                    self.set_wake(uid, VOLUME_POLL, context);
                }
            }
            _ => {}
        }
    }

    pub(super) fn set_wake(&mut self, uid: &Text, after: Duration, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return };
        worker.wake += 1;
        let timer = KubeletTimer::Worker { uid: uid.clone(), wake: worker.wake };
        context.timer(after, Timer::Kubelet(timer));
    }

    fn sync_pod(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        let status = self.generate_status(uid, false);
        let is_over = is_terminal(status.text("phase"));
        self.set_status(uid, status, false, context);
        if is_over {
            // Nothing more is started; what still runs (sidecars) is ended.
            if let Some(worker) = self.worker(uid) {
                worker.stage = Stage::Terminating;
            }
            self.sync_terminating(uid, context);
            return;
        }
        let Some(worker) = self.worker(uid) else { return };
        let host_network = worker.pod.is_true("spec.hostNetwork");
        let mut work = Work::new(Stage::Syncing, now, []);
        if !self.node.network_error.is_empty() && !host_network {
            let words = arcstr::format!("network is not ready: {}", self.network_message());
            self.event(uid, None, "Warning", "NetworkNotReady", words.clone(), context);
            work.fail(words);
        } else {
            work.steps.push_back(Step::MountVolumes);
        }
        if let Some(worker) = self.worker(uid) {
            worker.work = Some(work);
        }
        self.reconcile_mirror(uid, context);
        self.proceed(uid, context);
    }

    /// The second half of a sync: what to take away and what to put up.
    fn plan(&mut self, uid: &Text, context: &mut Context) {
        self.start_probers(uid, context);
        let Some(worker) = self.workers.get(uid) else { return };
        let actions = actions::compute(worker);
        let pod = worker.pod.clone();
        let mut steps = Vec::new();
        if actions.create_sandbox && !actions.sandbox.is_empty() {
            let words = "Pod sandbox changed, it will be killed and re-created.";
            self.event(uid, None, "Normal", "SandboxChanged", words, context);
        }
        let Some(worker) = self.workers.get(uid) else { return };
        if actions.kill_pod {
            let orders: Vec<KillOrder> = worker.running().map(order).collect();
            let sandboxes: Vec<Text> = worker.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
            if !orders.is_empty() {
                steps.push(Step::Kill(orders));
            }
            if !sandboxes.is_empty() {
                steps.push(Step::StopSandboxes { left: sandboxes });
            }
            if actions.create_sandbox && actions.attempt > 0 {
                steps.push(Step::PurgeInitContainers);
            }
        } else if !actions.kills.is_empty() {
            steps.push(Step::Kill(actions.kills.clone()));
        }
        if actions.create_sandbox {
            steps.push(Step::CreateSandbox { attempt: actions.attempt });
        }
        let lists = [
            (&actions.ephemeral_containers, "spec.ephemeralContainers", ContainerKind::Ephemeral),
            (&actions.init_containers, "spec.initContainers", ContainerKind::Init),
            (&actions.containers, "spec.containers", ContainerKind::App),
        ];
        for (places, list, kind) in lists {
            for place in places {
                let Some(container) = pod.items(list).get(*place) else { continue };
                steps.push(Step::Start(Arc::new(Start {
                    container: container.shared_text("name"),
                    kind,
                    at: StartStage::BackOff,
                    wanted_at: Time::ZERO,
                    pull_at: Time::ZERO,
                    id: Text::new(),
                })));
            }
        }
        if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
            work.has_acted |= !steps.is_empty();
            work.steps.extend(steps);
        }
    }

    fn sync_terminating(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        let status = self.generate_status(uid, false);
        self.set_status(uid, status, false, context);
        self.stop_liveness_probes(uid);
        let Some(worker) = self.worker(uid) else { return };
        let orders: Vec<KillOrder> = worker.running().map(order).collect();
        // All of them: one whose pause container was killed still holds its address.
        let sandboxes: Vec<Text> = worker.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        let mut steps = Vec::new();
        if !orders.is_empty() {
            steps.push(Step::Kill(orders));
        }
        if !sandboxes.is_empty() {
            steps.push(Step::StopSandboxes { left: sandboxes });
        }
        steps.push(Step::Conclude);
        worker.work = Some(Work::new(Stage::Terminating, now, steps));
        self.proceed(uid, context);
    }

    fn sync_terminated(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        let status = self.generate_status(uid, true);
        self.set_status(uid, status, false, context);
        let Some(worker) = self.worker(uid) else { return };
        worker.work = Some(Work::new(Stage::Terminated, now, [Step::Unmount { is_waiting: false }]));
        self.proceed(uid, context);
    }

    /// Begins steps until one must be waited for, or all are done.
    pub(super) fn proceed(&mut self, uid: &Text, context: &mut Context) {
        loop {
            let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) else { return };
            if work.wait != Wait::Nothing {
                return;
            }
            let step = match work.present.take() {
                Some(step) => Some(step),
                None => work.steps.pop_front(),
            };
            let Some(step) = step else {
                self.finish(uid, context);
                return;
            };
            work.present = Some(step.clone());
            self.begin(uid, step, context);
        }
    }

    fn wait_for(&mut self, uid: &Text, wait: Wait) {
        if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
            work.wait = wait;
        }
    }
    /// The step in hand is done.
    pub(super) fn done(&mut self, uid: &Text) {
        if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
            work.present = None;
            work.wait = Wait::Nothing;
        }
    }
    /// The step in hand failed, and with it the rest.
    fn abort(&mut self, uid: &Text, message: impl Into<Text>) {
        if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
            work.fail(message);
            work.present = None;
            work.steps.clear();
            work.wait = Wait::Nothing;
        }
    }
    /// Asks the engine on behalf of the step in hand.
    pub(super) fn call_for_step(&mut self, uid: &Text, call: Call, context: &mut Context) {
        let id = self.call(call, CallPurpose::Work { uid: uid.clone() }, context);
        self.wait_for(uid, Wait::Call(id));
    }

    fn begin(&mut self, uid: &Text, step: Step, context: &mut Context) {
        match step {
            Step::MountVolumes => {
                if self.begin_volumes(uid, context) {
                    self.done(uid);
                    self.plan(uid, context);
                } else {
                    self.wait_for(uid, Wait::Volumes);
                    self.set_wake(uid, VOLUME_POLL, context);
                }
            }
            Step::Kill(orders) => self.begin_kills(uid, &orders, context),
            Step::StopSandboxes { left } => match left.first() {
                Some(sandbox) => {
                    let call = Call::StopPodSandbox { sandbox: sandbox.clone() };
                    self.call_for_step(uid, call, context);
                }
                None => self.done(uid),
            },
            Step::PurgeInitContainers => {
                self.purge_init_containers(uid, context);
                self.done(uid);
            }
            Step::CreateSandbox { attempt } => {
                let Some(worker) = self.workers.get(uid) else { return };
                let config = environment::sandbox_config(&self.config, worker, attempt);
                self.call_for_step(uid, Call::RunPodSandbox(Arc::new(config)), context);
            }
            Step::InspectSandbox { sandbox } => {
                self.call_for_step(uid, Call::PodSandboxStatus { sandbox }, context);
            }
            Step::Start(start) => self.begin_start(uid, &start, context),
            Step::Conclude => {
                if let Some(worker) = self.worker(uid) {
                    worker.prober.stop();
                    worker.stage = Stage::Terminated;
                }
                let status = self.generate_status(uid, true);
                self.set_status(uid, status, false, context);
                self.done(uid);
            }
            Step::Unmount { is_waiting: false } => {
                if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
                    work.present = Some(Step::Unmount { is_waiting: true });
                    work.wait = Wait::Time;
                }
                // The reconciler unmounts every 100 ms; the worker polls for it every 300 ms.
                let has_volumes =
                    self.workers.get(uid).is_some_and(|worker| !worker.pod.items("spec.volumes").is_empty());
                let after =
                    if has_volumes { VOLUME_POLL + Duration::from_millis(100) } else { Duration::ZERO };
                self.set_wake(uid, after, context);
            }
            Step::Unmount { is_waiting: true } => {
                self.call(Call::RemoveVolumes { pod_uid: uid.clone() }, CallPurpose::Ignored, context);
                if let Some(worker) = self.worker(uid) {
                    worker.stage = Stage::Finished;
                }
                self.terminate_status(uid, context);
                self.done(uid);
            }
        }
    }

    /// The engine has answered the call of the step in hand.
    pub(super) fn step_answered(
        &mut self,
        uid: &Text,
        call: u64,
        result: Result<Reply, Text>,
        context: &mut Context,
    ) {
        let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) else { return };
        if work.wait != Wait::Call(call) {
            return;
        }
        work.wait = Wait::Nothing;
        let Some(step) = work.present.clone() else { return };
        match step {
            Step::StopSandboxes { mut left } => {
                if let Err(error) = result {
                    work.fail(arcstr::format!("failed to \"KillPodSandbox\" for \"{uid}\": {error}"));
                }
                left.remove(0);
                if left.is_empty() {
                    work.present = None
                } else {
                    work.present = Some(Step::StopSandboxes { left })
                }
            }
            Step::CreateSandbox { .. } => match result {
                Ok(Reply::Sandbox { sandbox }) => work.present = Some(Step::InspectSandbox { sandbox }),
                Ok(_) => self.abort(uid, "pod sandbox status is nil"),
                Err(error) => {
                    let is_going = self.workers.get(uid).is_some_and(|worker| is_to_go(&worker.pod));
                    if !is_going {
                        let words = arcstr::format!("Failed to create pod sandbox: {error}");
                        self.event(uid, None, "Warning", "FailedCreatePodSandBox", words, context);
                    }
                    self.abort(uid, error);
                }
            },
            Step::InspectSandbox { .. } => match result {
                Ok(Reply::Sandboxes(found)) => {
                    if let Some(worker) = self.worker(uid) {
                        for sandbox in &found {
                            worker.observe(&sandbox.id, Some(sandbox));
                        }
                    }
                    self.done(uid);
                    self.sandbox_ready(uid, context);
                }
                Ok(_) => self.abort(uid, "pod sandbox status is nil"),
                Err(error) => {
                    let words = arcstr::format!("Unable to get pod sandbox status: {error}");
                    self.event(uid, None, "Warning", "FailedPodSandBoxStatus", words, context);
                    self.abort(uid, error);
                }
            },
            Step::Start(start) => self.start_answered(uid, &start, result, context),
            _ => {}
        }
        self.proceed(uid, context);
    }

    /// All steps are done, or one has failed: what comes next, and when.
    pub(super) fn finish(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        let frequency = self.config.sync_frequency;
        let is_hollow = self.config.hollow;
        let Some(worker) = self.worker(uid) else { return };
        let Some(work) = worker.work.take() else { return };
        let is_pending = std::mem::take(&mut worker.is_pending);
        let should_go = worker.stage == Stage::Syncing && (worker.is_gone || is_to_go(&worker.pod));
        if should_go {
            worker.stage = Stage::Terminating;
        }
        let (is_transition, has_ended) = (worker.stage != work.stage, worker.stage == Stage::Finished);
        if has_ended {
            self.worker_ended(uid, context);
            return;
        }
        let has_acted = work.stage == Stage::Syncing && work.failure.is_none() && work.has_acted;
        if let Some(worker) = self.worker(uid) {
            worker.synced_at = Some(now);
            if has_acted {
                worker.looked_at = Some(now + Duration(1));
            }
        }
        let has_changed = self.workers.get(uid).is_some_and(|worker| worker.has_changed);
        if has_acted && has_changed && !is_transition {
            // What was just done is looked at now, not with the next relist (`RequestPodRelist`).
            self.relist_pod(uid, context);
            return;
        }
        if is_transition || is_pending {
            self.sync(uid, context);
            return;
        }
        let jitter = |context: &mut Context, base: Duration| {
            let extra = context.random().below(base.0 / 2 + 1);
            base + Duration(extra)
        };
        let after = match &work.failure {
            None if is_hollow => return,
            None => jitter(context, frequency),
            Some(failure) if failure.message.starts_with("network is not ready") => {
                jitter(context, NETWORK_BACK_OFF)
            }
            Some(failure) => {
                let wait = failure.retry_at.map_or(ERROR_BACK_OFF, |at| at.since(now));
                jitter(context, wait.min(frequency))
            }
        };
        self.set_wake(uid, after, context);
    }

    /// Init containers of former sandboxes are forgotten: this sandbox begins from the beginning.
    fn purge_init_containers(&mut self, uid: &Text, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return };
        let names: Vec<Text> = worker
            .pod
            .items("spec.initContainers")
            .iter()
            .map(|container| container.shared_text("name"))
            .collect();
        let mut gone = Vec::new();
        for sandbox in &mut worker.sandboxes {
            sandbox.containers.retain(|container| {
                let stays = !names.contains(&container.name);
                if !stays {
                    gone.push(container.id.clone());
                }
                stays
            });
        }
        for container in gone {
            self.call(Call::RemoveContainer { container }, CallPurpose::Ignored, context);
        }
    }

    /// Of each name the newest container is kept, and one dead one before it; empty old sandboxes go.
    pub(super) fn remove_dead_containers(&mut self, uid: &Text, context: &mut Context) {
        let Some(worker) = self.workers.get(uid) else { return };
        let mut containers: Vec<_> = worker.containers().collect();
        // The usual pod has nothing to throw away.
        if containers.len() <= 1 && worker.sandboxes.len() <= 1 {
            return;
        }
        containers.arrange_by_key(|status| std::cmp::Reverse(status.created_at));
        let mut gone = Vec::new();
        let mut seen: Vec<&Text> = Vec::new();
        for status in containers {
            let older = seen.iter().filter(|name| **name == &status.name).count();
            if older >= 2 && matches!(status.state, ContainerState::Exited { .. }) {
                gone.push(status.id.clone());
            }
            seen.push(&status.name);
        }
        let empty: Vec<Text> = worker
            .sandboxes
            .iter()
            .skip(1)
            .filter(|sandbox| {
                !sandbox.ready && sandbox.containers.iter().all(|status| gone.contains(&status.id))
            })
            .map(|sandbox| sandbox.id.clone())
            .collect();
        for container in gone {
            self.call(Call::RemoveContainer { container }, CallPurpose::Ignored, context);
        }
        for sandbox in empty {
            self.call(Call::RemovePodSandbox { sandbox }, CallPurpose::Ignored, context);
        }
    }
}

/// The order to end a container because its pod ends.
fn order(status: &crate::message::cri::ContainerStatus) -> KillOrder {
    KillOrder {
        id: status.id.clone(),
        name: status.name.clone(),
        message: Text::new(),
        reason: KillReason::Other,
        grace_override: None,
    }
}

/// The pod is being deleted.
pub(super) fn is_to_go(pod: &crate::api::Value) -> bool {
    meta::is_deleting(pod)
}
