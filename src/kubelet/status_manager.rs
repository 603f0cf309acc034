//! The status manager: what is told about pods, when, and when a pod may be deleted.
//!
//! Picture to hold in mind: a letter writer with one desk. Charts lie in a pile; for each, the writer first asks
//! the desk what is on file (GET), sends the lines that differ (PATCH), and, when a pod has gone entirely, asks
//! for its file to be closed (DELETE without grace). Only one letter is under way at a time.
//!
//! Follows `pkg/kubelet/status/status_manager.go`.

use crate::api::{Text, Value, meta, time};
use crate::client::{Answer, request};
use crate::language::Context;
use crate::message::rest::PatchType;
use crate::object;
use crate::sim::Duration;
use crate::timer::{KubeletTimer, Timer};

use super::status::patch::status_patch;
use super::status::phase::is_terminal;
use super::status::{Observed, Probed, conditions, generate};
use super::worker::Worker;
use super::{Purpose, State, resource};

/// A status on its way to the API server.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    status: Value,
    version: u64,
}

/// Between two looks at statuses that could not be sent (`syncPeriod`).
const SYNC_PERIOD: Duration = Duration::from_secs(10);

impl State {
    /// Computes a pod's status out of what is known now.
    pub(super) fn generate_status(&self, uid: &str, is_terminated: bool) -> Value {
        let Some(worker) = self.workers.get(uid) else { return Value::object() };
        let probes = |name: &str, id: &str| -> Probed { worker.prober.probed(name, id) };
        generate(&Observed {
            pod: &worker.pod,
            old: worker.known_status(),
            sandboxes: &worker.sandboxes,
            reasons: &worker.reasons,
            totals: &worker.totals,
            probes: &probes,
            is_terminated,
            is_static: worker.is_static,
            is_hollow: self.config.hollow,
            host_ips: &self.config.host_ips,
        })
    }

    /// Takes a status into the cache, and has it sent if it differs (or if `force`).
    pub(super) fn set_status(&mut self, uid: &Text, mut status: Value, force: bool, context: &mut Context) {
        let now = time::rfc3339(context.now());
        let Some(worker) = self.worker(uid) else { return };
        let old = match (&worker.status.status, &worker.mirror) {
            (Value::Null, Some(mirror)) => mirror.at("status").clone(),
            (Value::Null, None) => worker.pod.at("status").clone(),
            (known, _) => known.clone(),
        };
        conditions::set_transition_times(&mut status, &old, &now);
        match old.at("startTime") {
            Value::Null => status.set("startTime", &now),
            since => status.set("startTime", since),
        };
        let is_same = !worker.status.status.is_null() && worker.status.status == status;
        if !is_same || force {
            worker.status.status = status;
            worker.status.version += 1;
            self.queue_status(uid, context);
        }
        self.arm_probes(uid, context);
    }

    /// A sandbox stands, with its network: people see it before the images are there (KEP-3085).
    pub(super) fn sandbox_ready(&mut self, uid: &Text, context: &mut Context) {
        let Some(worker) = self.workers.get(uid) else { return };
        let mut status = worker.known_status().clone();
        let condition = conditions::ready_to_start_containers(true, meta::generation(&worker.pod));
        let list = status.at_mut("conditions").make_array();
        match list.iter_mut().find(|other| other.text("type") == condition.text("type")) {
            Some(other) => *other = condition,
            None => list.push(condition),
        }
        self.set_status(uid, status, false, context);
    }

    /// The worker is through with the pod: its last status, after which it may be deleted.
    pub(super) fn terminate_status(&mut self, uid: &Text, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return };
        let mut status = worker.known_status().clone();
        let unknown = || {
            object! { "terminated" => object! {
                "reason" => "ContainerStatusUnknown", "exitCode" => 137, "startedAt" => Value::Null, "finishedAt" => Value::Null,
                "message" => "The container could not be located when the pod was terminated",
            } }
        };
        let has_started = |status: &Value| !status.has("state.waiting") || status.has("lastState.terminated");
        let inits = status.items("initContainerStatuses").to_vec();
        let was_initialized = worker.pod.items("spec.initContainers").is_empty()
            || status.items("containerStatuses").iter().any(has_started)
            || inits.last().is_some_and(|last| last.integer("state.terminated.exitCode") == Some(0));
        if was_initialized && !status.items("containerStatuses").is_empty() {
            for container in status.at_mut("containerStatuses").make_array() {
                if !container.has("state.terminated") {
                    container.set("state", unknown());
                }
            }
        }
        // Of the init containers all up to the last one that ever started.
        let reached = inits.iter().rposition(has_started).map_or(inits.len().min(1), |place| place + 1);
        if reached > 0 {
            for container in status.at_mut("initContainerStatuses").make_array().iter_mut().take(reached) {
                if !container.has("state.terminated") {
                    container.set("state", unknown());
                }
            }
        }
        if !worker.is_static && !is_terminal(status.text("phase")) {
            status.set("phase", "Failed");
        }
        worker.status.is_finished = true;
        self.set_status(uid, status, true, context);
    }

    pub(super) fn queue_status(&mut self, uid: &Text, context: &mut Context) {
        if !self.unsent.contains(uid) {
            self.unsent.push_back(uid.clone());
        }
        self.send_next_status(context);
    }

    /// The next letter, if the desk is free.
    fn send_next_status(&mut self, context: &mut Context) {
        while self.sending.is_none() {
            let Some(uid) = self.unsent.pop_front() else { return };
            let Some(worker) = self.workers.get(&uid).filter(|worker| !worker.status.is_closed) else {
                continue;
            };
            // A static pod without a mirror has nobody to tell.
            let Some(pod) = worker.api_pod() else { continue };
            let get = request::get(&resource("pods"), meta::namespace(pod), meta::name(pod));
            // The chart as it is now: what is written on it meanwhile is the next letter's.
            let entry = &worker.status;
            self.sending = Some(Letter { status: entry.status.clone(), version: entry.version });
            self.send(get, Purpose::StatusGet { uid }, context);
        }
    }
    fn letter_done(&mut self, context: &mut Context) {
        self.sending = None;
        self.send_next_status(context);
    }

    pub(super) fn status_read(&mut self, uid: &Text, answer: Answer, context: &mut Context) {
        let Ok(pod) = answer.into_result() else { return self.letter_done(context) };
        let now = time::rfc3339(context.now());
        let Some(worker) = self.workers.get(uid) else { return self.letter_done(context) };
        let known_uid = worker.api_pod().map(meta::uid).unwrap_or_default();
        if meta::uid(&pod) != known_uid {
            // Deleted and made anew under the same name.
            if let Some(worker) = self.worker(uid) {
                worker.status.is_closed = true;
            }
            return self.letter_done(context);
        }
        let Some(Letter { status, version }) = self.sending.clone() else { return };
        let merged = merge(worker, status, &pod, &now);
        match status_patch(pod.at("status"), &merged) {
            Some(change) => {
                let patch =
                    object! { "metadata" => object! { "uid" => pod.at("metadata.uid") }, "status" => change };
                let request = request::patch(
                    &resource("pods"),
                    meta::namespace(&pod),
                    meta::name(&pod),
                    PatchType::StrategicMerge,
                    patch,
                )
                .subresource("status");
                self.send(request, Purpose::StatusPatch { uid: uid.clone(), version }, context);
            }
            None => self.status_is_up_to_date(uid, version, &pod, context),
        }
    }

    pub(super) fn status_written(&mut self, uid: &Text, version: u64, answer: Answer, context: &mut Context) {
        match answer.into_result() {
            Ok(pod) => self.status_is_up_to_date(uid, version, &pod, context),
            Err(_) => self.letter_done(context),
        }
    }

    /// The API server has version `version`; a pod that is to go and has gone is deleted.
    fn status_is_up_to_date(&mut self, uid: &Text, version: u64, pod: &Value, context: &mut Context) {
        let Some(worker) = self.worker(uid) else { return self.letter_done(context) };
        worker.status.sent_version = worker.status.sent_version.max(version);
        worker.status.written_revision = pod.shared_text("metadata.resourceVersion");
        let may_go = meta::is_deleting(pod)
            && !worker.is_static
            && is_terminal(pod.text("status.phase"))
            && worker.status.is_finished
            && worker.status.version == version;
        if !may_go {
            if worker.status.version > version && !self.unsent.contains(uid) {
                self.unsent.push_back(uid.clone());
            }
            return self.letter_done(context);
        }
        let body = object! {
            "apiVersion" => "v1", "kind" => "DeleteOptions", "gracePeriodSeconds" => 0,
            "preconditions" => object! { "uid" => pod.at("metadata.uid") },
        };
        let mut delete = request::delete(&resource("pods"), meta::namespace(pod), meta::name(pod));
        delete.body = body;
        delete.options.grace_period_seconds = Some(0);
        delete.options.precondition_uid = pod.shared_text("metadata.uid");
        self.send(delete, Purpose::StatusDelete { uid: uid.clone() }, context);
    }

    pub(super) fn status_deleted(&mut self, uid: &Text, answer: Answer, context: &mut Context) {
        if answer.into_result().is_ok()
            && let Some(worker) = self.worker(uid)
        {
            worker.status.is_closed = true;
        }
        self.letter_done(context);
    }

    /// Every 10 s: what could not be sent, what somebody else has changed (`needsReconcile`: a node that was lost has
    /// its pods marked as not ready), and pods that wait for their deletion.
    pub(super) fn status_batch(&mut self, context: &mut Context) {
        context.periodic(SYNC_PERIOD, Timer::Kubelet(KubeletTimer::StatusBatch));
        let now = time::rfc3339(context.now());
        let is_overwritten = |worker: &Worker| {
            worker.status.is_suspect
                && worker.api_pod().is_some_and(|pod| {
                    let ours = merge(worker, worker.status.status.clone(), pod, &now);
                    status_patch(pod.at("status"), &ours).is_some()
                })
        };
        let mut late = Vec::new();
        let mut cleared = Vec::new();
        for (uid, worker) in &self.workers {
            let entry = &worker.status;
            let is_late = entry.sent_version < entry.version;
            let is_to_go = entry.is_finished && meta::is_deleting(&worker.pod) && !worker.is_static;
            if !entry.is_closed && (is_late || is_to_go || is_overwritten(worker)) {
                late.push(uid.clone());
            } else if entry.is_suspect {
                cleared.push(uid.clone());
            }
        }
        for uid in cleared {
            if let Some(worker) = self.worker(&uid) {
                worker.status.is_suspect = false;
            }
        }
        for uid in late {
            self.queue_status(&uid, context);
        }
    }
}

/// The kubelet's status laid over the API server's: conditions of others stay, and a pod that could still have
/// running containers does not become terminal yet.
fn merge(worker: &Worker, mut new: Value, pod: &Value, now: &Text) -> Value {
    let old = pod.at("status");
    let mut merged: Vec<Value> = old
        .items("conditions")
        .iter()
        .filter(|condition| !conditions::is_owned(condition.text("type")))
        .cloned()
        .collect();
    let is_becoming_terminal = !is_terminal(old.text("phase")) && is_terminal(new.text("phase"));
    let could_run = worker.could_have_running_containers();
    for condition in new.items("conditions") {
        let kind = condition.text("type");
        if conditions::is_owned(kind) {
            merged.push(condition.clone());
        } else if kind == "DisruptionTarget" && is_becoming_terminal && !could_run {
            merged.retain(|other| other.text("type") != kind);
            merged.push(condition.clone().with("lastTransitionTime", now));
        }
    }
    if !merged.is_empty() {
        new.set("conditions", Value::from(merged));
    }
    for field in ["resourceClaimStatuses", "extendedResourceClaimStatus", "nominatedNodeName"] {
        if old.has(field) {
            new.set(field, old.at(field));
        }
    }
    if is_becoming_terminal && could_run {
        for field in ["phase", "reason", "message"] {
            match old.at(field) {
                Value::Null => drop(new.remove(field)),
                value => drop(new.set(field, value)),
            }
        }
    }
    conditions::unready_when_terminal(&mut new, meta::generation(pod), now);
    new
}
