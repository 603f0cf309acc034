//! A container's way down: pre-stop hook, the sidecars' turn, SIGTERM, SIGKILL.
//!
//! Picture to hold in mind: closing time. Guests are asked to leave, staff wait until the guests are out, and
//! the clock on the wall, which runs for all of it together, ends the discussion.
//!
//! Follows `pkg/kubelet/kuberuntime/kuberuntime_container.go` `killContainer` and
//! `kuberuntime_termination_order.go`.

use crate::api::{Text, Value};
use crate::language::Context;
use crate::message::cri::{Call, Reply};
use crate::sim::Duration;
use crate::timer::{KubeletTimer, Timer};

use super::actions::{KillOrder, KillReason};
use super::environment;
use super::resources::is_sidecar;
use super::worker::{Kill, KillStage, Wait, Worker};
use super::{CallPurpose, State};

/// `minimumGracePeriodInSeconds`.
const SHORTEST_GRACE: i64 = 2;

/// Seconds that a container gets.
fn grace_period(worker: &Worker, container: &Value, reason: KillReason) -> i64 {
    let pod = &worker.pod;
    if let Some(seconds) = pod.integer("metadata.deletionGracePeriodSeconds") {
        return seconds;
    }
    let of_probe = match reason {
        KillReason::StartupProbe => container.integer("startupProbe.terminationGracePeriodSeconds"),
        KillReason::LivenessProbe => container.integer("livenessProbe.terminationGracePeriodSeconds"),
        KillReason::Other => None,
    };
    of_probe.or(pod.integer("spec.terminationGracePeriodSeconds")).unwrap_or(SHORTEST_GRACE)
}

impl State {
    /// Begins to end containers, all at the same time.
    pub(super) fn begin_kills(&mut self, uid: &Text, orders: &[KillOrder], context: &mut Context) {
        let now = context.now();
        for order in orders {
            let Some(worker) = self.workers.get(uid) else { return };
            let container =
                worker.container(&order.name).map(|(container, _)| container.clone()).unwrap_or_default();
            let grace =
                order.grace_override.unwrap_or_else(|| grace_period(worker, &container, order.reason));
            let message = if order.message.is_empty() {
                arcstr::format!("Stopping container {}", order.name)
            } else {
                order.message.clone()
            };
            self.event(uid, Some(&order.name), "Normal", "Killing", message, context);
            let kill = Kill {
                order: order.clone(),
                at: KillStage::PreStop,
                begun_at: now,
                grace_seconds: grace,
                stage_at: now,
                round: 0,
            };
            if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
                work.wait = Wait::Kills;
                work.kills.insert(order.name.clone(), kill);
            }
        }
        for order in orders {
            self.pre_stop(uid, &order.name, context);
        }
        self.kills_done(uid, context);
    }

    fn kill_mut(&mut self, uid: &str, container: &str) -> Option<&mut Kill> {
        self.worker(uid)?.work.as_mut()?.kills.get_mut(container)
    }

    fn pre_stop(&mut self, uid: &Text, name: &Text, context: &mut Context) {
        let Some(worker) = self.workers.get(uid) else { return };
        let container = worker.container(name).map(|(container, _)| container.clone()).unwrap_or_default();
        let sandbox = worker.sandboxes.first().map(|sandbox| sandbox.id.clone()).unwrap_or_default();
        let hook = container.at("lifecycle.preStop").clone();
        let Some(kill) = self.kill_mut(uid, name) else { return };
        let (id, grace, round) = (kill.order.id.clone(), kill.grace_seconds, kill.round);
        let is_hollow = self.config.hollow;
        let limit = Duration::from_secs(grace.max(0) as u64);
        if let Some(seconds) = hook.integer("sleep.seconds").filter(|_| grace > 0 && !is_hollow) {
            let after = Duration::from_secs(seconds.max(0) as u64).min(limit);
            self.kill_alarm(uid, name, round, after, context);
            return;
        }
        match environment::hook_call(&hook, &id, &sandbox, &container) {
            Some(call) if grace > 0 && !is_hollow => {
                let purpose = CallPurpose::Kill { uid: uid.clone(), container: name.clone(), round };
                self.call(call, purpose, context);
                self.kill_alarm(uid, name, round, limit, context);
            }
            _ => self.next_kill_stage(uid, name, KillStage::Turn, context),
        }
    }

    fn kill_alarm(&mut self, uid: &Text, name: &Text, round: u32, after: Duration, context: &mut Context) {
        let timer = KubeletTimer::Kill { uid: uid.clone(), container: name.clone(), round };
        context.timer(after, Timer::Kubelet(timer));
    }

    /// Whole seconds of the stage that ends are taken off the grace period.
    fn next_kill_stage(&mut self, uid: &Text, name: &Text, stage: KillStage, context: &mut Context) {
        let now = context.now();
        let Some(kill) = self.kill_mut(uid, name) else { return };
        kill.grace_seconds -= now.since(kill.stage_at).as_secs() as i64;
        (kill.at, kill.stage_at) = (stage, now);
        kill.round += 1;
        let (round, grace) = (kill.round, kill.grace_seconds);
        match stage {
            KillStage::Turn => {
                if grace > 0 && self.must_wait(uid, name) {
                    let limit = Duration::from_secs(grace as u64);
                    self.kill_alarm(uid, name, round, limit, context);
                } else {
                    self.next_kill_stage(uid, name, KillStage::Stopping, context);
                }
            }
            KillStage::Stopping => {
                let Some(kill) = self.kill_mut(uid, name) else { return };
                let container = kill.order.id.clone();
                let call =
                    Call::StopContainer { container, grace_period_seconds: grace.max(SHORTEST_GRACE) as u64 };
                let purpose = CallPurpose::Kill { uid: uid.clone(), container: name.clone(), round };
                self.call(call, purpose, context);
            }
            KillStage::PreStop | KillStage::Done => {}
        }
    }

    /// A sidecar waits until the app containers, and the sidecars after it, have ended.
    fn must_wait(&self, uid: &str, name: &str) -> bool {
        let Some(worker) = self.workers.get(uid) else { return false };
        let Some(work) = &worker.work else { return false };
        let inits = worker.pod.items("spec.initContainers");
        let Some(place) = inits.iter().position(|container| container.text("name") == name) else {
            return false;
        };
        if !is_sidecar(&inits[place]) {
            return false;
        }
        let still_runs = |name: &str| work.kills.get(name).is_some_and(|kill| kill.at != KillStage::Done);
        worker.pod.items("spec.containers").iter().any(|container| still_runs(container.text("name")))
            || inits[place + 1..].iter().any(|other| is_sidecar(other) && still_runs(other.text("name")))
    }

    /// A hook took too long, a sleep is over, or a sidecar's patience has run out.
    pub(super) fn kill_due(&mut self, uid: &Text, name: &Text, round: u32, context: &mut Context) {
        let Some(kill) = self.kill_mut(uid, name) else { return };
        if kill.round != round {
            return;
        }
        match kill.at {
            KillStage::PreStop => self.next_kill_stage(uid, name, KillStage::Turn, context),
            KillStage::Turn => self.next_kill_stage(uid, name, KillStage::Stopping, context),
            KillStage::Stopping | KillStage::Done => {}
        }
    }

    pub(super) fn kill_answered(
        &mut self,
        uid: &Text,
        name: &Text,
        round: u32,
        result: Result<Reply, Text>,
        context: &mut Context,
    ) {
        let Some(kill) = self.kill_mut(uid, name) else { return };
        if kill.round != round {
            return;
        }
        match kill.at {
            KillStage::PreStop => {
                let has_failed = match result {
                    Ok(Reply::Exec { exit_code, .. }) => exit_code != 0,
                    Ok(Reply::Dialed { status, .. }) => status >= 400,
                    Ok(_) => false,
                    Err(_) => true,
                };
                if has_failed {
                    self.event(
                        uid,
                        Some(name),
                        "Warning",
                        "FailedPreStopHook",
                        "PreStopHook failed",
                        context,
                    );
                }
                self.next_kill_stage(uid, name, KillStage::Turn, context);
            }
            KillStage::Stopping => {
                kill.at = KillStage::Done;
                if let Err(error) = result
                    && let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut())
                {
                    work.fail(arcstr::format!("failed to \"KillContainer\" for \"{name}\": {error}"));
                }
                // Others may have waited for this one.
                let waiting: Vec<Text> = self
                    .workers
                    .get(uid)
                    .and_then(|worker| worker.work.as_ref())
                    .map(|work| {
                        work.kills
                            .iter()
                            .filter(|(_, k)| k.at == KillStage::Turn)
                            .map(|(n, _)| n.clone())
                            .collect()
                    })
                    .unwrap_or_default();
                for other in waiting {
                    if !self.must_wait(uid, &other) {
                        self.next_kill_stage(uid, &other, KillStage::Stopping, context);
                    }
                }
                self.kills_done(uid, context);
            }
            KillStage::Turn | KillStage::Done => {}
        }
    }

    /// Goes on when all have ended.
    fn kills_done(&mut self, uid: &Text, context: &mut Context) {
        let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) else { return };
        if work.wait == Wait::Kills && work.kills.values().all(|kill| kill.at == KillStage::Done) {
            work.kills.clear();
            work.present = None;
            work.wait = Wait::Nothing;
            self.proceed(uid, context);
        }
    }
}
