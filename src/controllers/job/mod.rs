//! job-controller: pods that run to their end, as many times as are asked for.
//!
//! Picture to hold in mind: a foreman of piecework with a tally: each finished piece is written down before it
//! leaves the hall (the finalizer holds it until then), and spoilt pieces make the foreman wait longer each time.
//!
//! - this file: news, and what a sync decides
//! - `manage` creating and deleting pods; `tracking` counting the finished ones
//! - [`indexes`], [`policy`], [`backoff`]: the arithmetic
//!
//! After `pkg/controller/job/job_controller.go`.

pub mod backoff;
pub mod indexes;
mod manage;
pub mod policy;
#[cfg(test)]
mod tests;
mod tracking;

use crate::api::selector::LabelSelector;
use crate::api::{Text, Value, meta, time};
use crate::arrange::Gather;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::{key_of, split_key};
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::message::rest::PatchType;
use crate::object;
use crate::sim::{Duration, Time};
use crate::sorted::{SortedMap, SortedSet};

use super::claim::{CONTROLLER, Claimant, by_controller, concerned, orphans, resolve};
use super::consistency::Written;
use super::expectations::Expectations;
use super::kinds::{JOB, POD, count, set_count};
use super::pods;
use backoff::Record;
use indexes::{Indexes, index_of};
use policy::Verdict;

/// News of pods is gathered for so long before a job is looked at.
const BATCH_PERIOD: Duration = Duration::from_secs(1);
/// Holds a pod until it has been counted.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// What keys of pods begin with whose job is gone or finished.
const ORPHAN: &str = "orphan!";

#[derive(Clone, Default)]
pub struct JobController {
    expectations: Expectations,
    /// Pods, by the key of their job, whose finalizer has been removed, which the copy does not show yet.
    releasing: SortedMap<Text, SortedSet<Text>>,
    backoffs: SortedMap<Text, Record>,
    /// Jobs (by UID) that were marked finished, which the copy does not show yet.
    finished: SortedSet<Text>,
    written: Written,
    jobs: usize,
    pods: usize,
}

pub fn is_finished(job: &Value) -> bool {
    meta::is_condition_true(job, "Complete") || meta::is_condition_true(job, "Failed")
}
fn is_indexed(job: &Value) -> bool {
    job.text("spec.completionMode") == "Indexed"
}
fn is_suspended(job: &Value) -> bool {
    job.is_true("spec.suspend")
}
fn is_managed_elsewhere(job: &Value) -> bool {
    !matches!(job.text("spec.managedBy"), "" | "kubernetes.io/job-controller")
}
/// A terminating pod is replaced only when it has failed for good.
fn replaces_failed_only(job: &Value) -> bool {
    job.text("spec.podReplacementPolicy") == "Failed" || job.has("spec.podFailurePolicy")
}
fn is_failed(job: &Value, pod: &Value) -> bool {
    match pod.text("status.phase") {
        "Failed" => true,
        "Succeeded" => false,
        _ => meta::is_deleting(pod) && !replaces_failed_only(job),
    }
}
/// What the job's policy says of a failed pod.
fn verdict(job: &Value, pod: &Value) -> Verdict {
    policy::of_failed_pod(job, pod)
}
fn condition(type_: &str, reason: &str, message: &str, now: Time) -> Value {
    let now = time::rfc3339(now);
    object! {
        "type" => type_, "status" => "True", "reason" => reason, "message" => message,
        "lastProbeTime" => &now, "lastTransitionTime" => now,
    }
}

/// A job in the hands of one sync.
struct Work {
    job: Value,
    pods: Vec<Value>,
    active: Vec<Value>,
    ready: i64,
    terminating: i64,
    succeeded: i64,
    failed: i64,
    /// UIDs of pods that the status names and does not count yet.
    uncounted_succeeded: SortedSet<Text>,
    uncounted_failed: SortedSet<Text>,
    /// UIDs of pods whose finalizer is on its way out.
    releasing: SortedSet<Text>,
    backoff: Record,
    succeeded_before: Indexes,
    succeeded_indexes: Indexes,
    failed_indexes: Option<Indexes>,
    /// Failed pods that stay until their index is tried again.
    delayed: SortedMap<i64, Value>,
    /// Why the job ends.
    end: Option<Value>,
    now: Time,
}

fn uids(job: &Value, field: &str) -> SortedSet<Text> {
    job.items(field).iter().filter_map(Value::as_str).map(Text::from).gather()
}

impl Work {
    fn completions(&self) -> Option<i64> {
        self.job.integer("spec.completions")
    }
    /// The pod's index, if it is one that counts.
    fn valid_index(&self, pod: &Value) -> Option<i64> {
        index_of(pod).filter(|index| self.completions().is_some_and(|completions| *index < completions))
    }
    fn is_tracked(&self, pod: &Value) -> bool {
        meta::has_finalizer(pod, FINALIZER) && !self.releasing.contains(meta::uid(pod))
    }
    /// Tracked pods of the job's indexes, besides those `uncounted` already.
    fn countable(&self, uncounted: &SortedSet<Text>) -> Vec<&Value> {
        self.pods
            .iter()
            .filter(|pod| {
                self.is_tracked(pod)
                    && !uncounted.contains(meta::uid(pod))
                    && (!is_indexed(&self.job) || self.valid_index(pod).is_some())
            })
            .collect()
    }
    fn fails(&self, reason: &str, message: &str) -> Option<Value> {
        Some(condition("FailureTarget", reason, message, self.now))
    }

    /// Counts what has finished since the last time.
    fn count_finished(&mut self, before: Record) {
        let is_success = |pod: &&Value| pod.text("status.phase") == "Succeeded";
        let mut succeeded = self.countable(&self.uncounted_succeeded);
        succeeded.retain(is_success);
        let mut failed = self.countable(&self.uncounted_failed);
        failed.retain(|pod| is_failed(&self.job, pod));
        let counted = failed.iter().filter(|pod| verdict(&self.job, pod).counts()).count();
        let (new_successes, new_failures) = (succeeded.len() as i64, counted as i64);
        let backoff = before.after(&succeeded, &failed);
        self.succeeded =
            count(&self.job, "status.succeeded") + new_successes + self.uncounted_succeeded.len() as i64;
        self.failed = count(&self.job, "status.failed") + new_failures + self.uncounted_failed.len() as i64;
        self.backoff = backoff;
    }
    /// Whether the job has ended, and why.
    fn find_end(&mut self, call: &mut Call) {
        let job = &self.job;
        let present =
            |type_: &str| meta::condition(job, type_).filter(|found| found.text("status") == "True");
        if let Some(met) = present("SuccessCriteriaMet") {
            self.end = Some(met.clone());
        } else if let Some(target) = present("FailureTarget") {
            let (reason, message) = (target.text("reason"), target.text("message"));
            self.end = Some(condition("Failed", reason, message, self.now));
        } else {
            let failure =
                self.pods.iter().filter(|pod| is_failed(job, pod)).find_map(|pod| match verdict(job, pod) {
                    Verdict::FailJob(message) => Some(message),
                    _ => None,
                });
            self.end = failure.and_then(|message| self.fails("PodFailurePolicy", &message));
        }
        if self.end.is_some() {
            return;
        }
        let limit = job.integer("spec.backoffLimit").unwrap_or(6);
        let deadline = job.integer("spec.activeDeadlineSeconds").filter(|_| !is_suspended(job));
        let started_at = time::parse(job.text("status.startTime"));
        if self.failed > limit || self.exceeds_restarts(limit) {
            let message = "Job has reached the specified backoff limit";
            self.end = self.fails("BackoffLimitExceeded", message);
        } else if let (Some(deadline), Some(started_at)) = (deadline, started_at) {
            let due = started_at + pods::seconds(deadline);
            if due <= self.now {
                let message = "Job was active longer than specified deadline";
                self.end = self.fails("DeadlineExceeded", message);
            } else {
                call.requeue_after(due.since(self.now));
            }
        }
    }
    fn exceeds_restarts(&self, limit: i64) -> bool {
        if self.job.text("spec.template.spec.restartPolicy") != "OnFailure" {
            return false;
        }
        let restarts: i64 = self
            .pods
            .iter()
            .filter(|pod| matches!(pod.text("status.phase"), "Running" | "Pending"))
            .flat_map(|pod| {
                let statuses = pod.items("status.containerStatuses").iter();
                statuses.chain(pod.items("status.initContainerStatuses"))
            })
            .map(|status| count(status, "restartCount"))
            .sum();
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    /// For a job with indexes: which have succeeded, which have failed for good.
    fn find_indexes(&mut self) {
        let completions = self.completions().unwrap_or(0);
        let tracked: Vec<(i64, &Value)> = self
            .pods
            .iter()
            .filter(|pod| meta::has_finalizer(pod, FINALIZER))
            .filter_map(|pod| Some((self.valid_index(pod)?, pod)))
            .collect();
        let succeeded = tracked
            .iter()
            .filter(|(_, pod)| pod.text("status.phase") == "Succeeded")
            .map(|(index, _)| *index);
        let before = Indexes::parse(self.job.text("status.completedIndexes"), completions);
        let after = before.with(succeeded);
        let limit = self.job.integer("spec.backoffLimitPerIndex");
        let failed = limit.map(|limit| {
            let failed = tracked.iter().filter(|(_, pod)| self.is_index_failed(pod, limit));
            Indexes::parse(self.job.text("status.failedIndexes"), completions)
                .with(failed.map(|(index, _)| *index))
        });
        self.succeeded = after.count();
        (self.succeeded_before, self.succeeded_indexes, self.failed_indexes) = (before, after, failed);
        if let Some(failed) = &self.failed_indexes {
            if self.end.is_none() {
                let (failures, most) = (failed.count(), self.job.integer("spec.maxFailedIndexes"));
                if most.is_some_and(|most| failures > most) {
                    let message = "Job has exceeded the specified maximal number of failed indexes";
                    self.end = self.fails("MaxFailedIndexesExceeded", message);
                } else if failures > 0 && failures + self.succeeded >= completions {
                    self.end = self.fails("FailedIndexes", "Job has failed indexes");
                }
            }
            self.delayed = self.find_delayed();
        }
        if self.end.is_none()
            && let Some(message) = policy::success(&self.job, &self.succeeded_indexes)
        {
            self.end = Some(condition("SuccessCriteriaMet", "SuccessPolicy", &message, self.now));
        }
    }
    fn is_index_failed(&self, pod: &Value, limit: i64) -> bool {
        if !is_failed(&self.job, pod) {
            return false;
        }
        match verdict(&self.job, pod) {
            Verdict::FailIndex => true,
            verdict => verdict.counts() && manage::failures_of_index(pod).0 >= limit,
        }
    }
    /// For each index that is to be tried again the pod that failed last: it carries the count.
    fn find_delayed(&self) -> SortedMap<i64, Value> {
        let running: SortedSet<i64> = self.active.iter().filter_map(index_of).gather();
        let mut delayed: SortedMap<i64, Value> = SortedMap::new();
        for pod in self.countable(&SortedSet::new()) {
            let Some(index) = index_of(pod).filter(|_| is_failed(&self.job, pod)) else { continue };
            let is_over = self.succeeded_indexes.contains(index)
                || self.failed_indexes.as_ref().is_some_and(|failed| failed.contains(index))
                || running.contains(&index);
            let total = |pod: &Value| {
                let (counted, ignored) = manage::failures_of_index(pod);
                counted + ignored
            };
            let is_later = delayed.get(&index).is_none_or(|last| {
                total(last) <= total(pod) && backoff::finished_at(pod) >= backoff::finished_at(last)
            });
            if !is_over && is_later {
                delayed.insert(index, pod.clone());
            }
        }
        delayed
    }
    /// Sets the condition `Suspended`; true if it changed.
    fn set_suspended(&mut self, is_suspended: bool) -> bool {
        let old = meta::condition_status(&self.job, "Suspended");
        let (status, reason, message) = if is_suspended {
            ("True", "JobSuspended", "Job suspended")
        } else {
            ("False", "JobResumed", "Job resumed")
        };
        if old == status || (old.is_empty() && !is_suspended) {
            return false;
        }
        let new = condition("Suspended", reason, message, self.now).with("status", status);
        meta::set_condition(&mut self.job, &new, &time::rfc3339(self.now));
        true
    }
}

impl JobController {
    fn write_status(&mut self, call: &mut Call, job: &Value) -> Result<Value, Interrupt> {
        let written = call.request(request::update_status(&JOB.resource, job.clone()))?;
        let key = call.key().clone();
        if call.once() {
            self.written.wrote(&key, self.jobs, &written);
        }
        Ok(JOB.named(&written))
    }
    fn forget(&mut self, call: &mut Call, uid: &str) {
        let key = call.key().clone();
        if call.once() {
            self.expectations.forget(&key);
            self.releasing.remove(&key);
            self.backoffs.remove(&key);
            self.written.forget(&key);
            self.finished.remove(uid);
        }
    }
    fn claim_pods(&self, call: &mut Call, job: &Value) -> Result<Vec<Value>, Interrupt> {
        let Ok(selector) = LabelSelector::from_value(job.at("spec.selector")) else { return Ok(Vec::new()) };
        let store = call.store(self.pods);
        let candidates: Vec<Value> = store
            .by_index(CONTROLLER, meta::uid(job))
            .chain(store.by_index(CONTROLLER, &orphans(meta::namespace(job))))
            .cloned()
            .collect();
        let claimant = Claimant { owner: job, kind: &JOB, selector: &selector, finalizer: Some(FINALIZER) };
        let mut claimed = claimant.claim(call, candidates, &POD)?;
        for pod in &mut claimed {
            if !meta::is_controlled_by(pod, meta::uid(job)) {
                meta::add_finalizer(pod, FINALIZER);
            }
        }
        Ok(claimed)
    }

    fn begin(&mut self, call: &mut Call, mut job: Value) -> Result<Work, Interrupt> {
        let key = call.key().clone();
        let now = call.now();
        let record = self.backoffs.get(&key).copied().unwrap_or_default();
        let failures = call.remember(|| record.failures);
        let last_failure = call.remember(|| record.last_failure.map_or(-1, |at| at.as_micros() as i64));
        let before = Record { failures, last_failure: u64::try_from(last_failure).ok().map(Time) };
        let claimed = self.claim_pods(call, &job)?;
        let none = SortedSet::new();
        let known = self.releasing.get(&key).unwrap_or(&none);
        let releasing = claimed
            .iter()
            .map(|pod| pod.shared_text("metadata.uid"))
            .filter(|uid| call.remember(|| i64::from(known.contains(uid))) == 1)
            .gather();
        job.set_default("status.uncountedTerminatedPods", Value::object());
        let active: Vec<Value> = claimed.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let mut work = Work {
            ready: active.iter().filter(|pod| pods::is_ready(pod)).count() as i64,
            terminating: claimed.iter().filter(|pod| pods::is_terminating(pod)).count() as i64,
            uncounted_succeeded: uids(&job, "status.uncountedTerminatedPods.succeeded"),
            uncounted_failed: uids(&job, "status.uncountedTerminatedPods.failed"),
            pods: claimed,
            active,
            succeeded: 0,
            failed: 0,
            releasing,
            backoff: before,
            succeeded_before: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            delayed: SortedMap::new(),
            end: None,
            now,
            job,
        };
        work.count_finished(before);
        Ok(work)
    }

    fn sync_job(&mut self, call: &mut Call, job: Value) -> Result<(), Interrupt> {
        if is_managed_elsewhere(&job) {
            return Ok(());
        }
        let uid = job.shared_text("metadata.uid");
        if is_finished(&job) {
            self.forget(call, &uid);
            return Ok(());
        }
        if call.remember(|| i64::from(self.finished.contains(&uid))) == 1 {
            return Ok(());
        }
        let (key, now) = (call.key().clone(), call.now());
        let is_satisfied = call.remember(|| i64::from(self.expectations.are_satisfied(&key, now))) == 1;
        let mut work = self.begin(call, job)?;
        if !work.job.has("status.startTime") && !is_suspended(&work.job) {
            work.job.set("status.startTime", time::rfc3339(now));
        }
        work.find_end(call);
        if is_indexed(&work.job) {
            work.find_indexes();
        }
        let mut active = work.active.len() as i64;
        let mut has_news = false;
        let mut managed = Ok(());
        if work.end.is_some() {
            let deleted = self.delete_active(call, &mut work)?;
            if deleted.failed > 0 || !is_satisfied {
                work.end = None;
            }
            active -= deleted.done();
            managed = deleted.outcome();
        } else {
            let may_manage = is_satisfied && !meta::is_deleting(&work.job);
            if may_manage {
                (active, managed) = self.manage(call, &mut work)?;
            }
            let is_complete = match work.completions() {
                None => work.succeeded > 0 && active == 0,
                Some(completions) => work.succeeded >= completions && active == 0,
            };
            if is_complete {
                let message = "Reached expected number of succeeded pods";
                work.end = Some(condition("SuccessCriteriaMet", "CompletionsReached", message, now));
            } else if may_manage {
                let suspended = is_suspended(&work.job);
                has_news = work.set_suspended(suspended);
                if has_news && suspended {
                    call.event(&work.job, "Normal", "Suspended", "Job suspended");
                } else if has_news {
                    call.event(&work.job, "Normal", "Resumed", "Job resumed");
                    work.job.set("status.startTime", time::rfc3339(now));
                }
            }
        }
        let status = work.job.at("status");
        has_news |= active != count(status, "active")
            || status.integer("ready") != Some(work.ready)
            || status.integer("terminating") != Some(work.terminating);
        set_count(&mut work.job, "status.active", active);
        work.job.set("status.ready", work.ready);
        work.job.set("status.terminating", work.terminating);
        self.track(call, work, has_news)?;
        managed
    }

    /// Lets a pod go whose job is gone or finished.
    fn sync_orphan(&mut self, call: &mut Call, key: &str) -> Result<(), Interrupt> {
        let Some(pod) = call.store(self.pods).get(key).cloned() else { return Ok(()) };
        let namespace = meta::namespace(&pod);
        if let Some(reference) = meta::controller_of(&pod) {
            if reference.text("kind") != "Job" {
                return Ok(());
            }
            let job = resolve(call.store(self.jobs), &JOB, namespace, reference);
            if job.is_some_and(|job| is_managed_elsewhere(job) || !is_finished(job)) {
                return Ok(());
            }
        }
        if meta::has_finalizer(&pod, FINALIZER)
            && let Err(status) = call.attempt(tracking::release(&pod))?
            && status.text("reason") != "NotFound"
        {
            return Err(Interrupt::from_status(&status));
        }
        Ok(())
    }

    fn pod_changed(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        let pod = &delta.object;
        let is_gone = delta.kind == DeltaType::Deleted;
        let is_tracked = meta::has_finalizer(pod, FINALIZER);
        let orphan = arcstr::format!("{ORPHAN}{}", key_of(pod));
        let controller = meta::controller_of(pod);
        let owner = controller
            .and_then(|controller| resolve(&stores[self.jobs], &JOB, meta::namespace(pod), controller));
        let is_ours = controller.is_none_or(|controller| controller.text("kind") == "Job");
        if is_gone || meta::is_deleting(pod) {
            match owner.filter(|job| !is_finished(job)) {
                None if is_tracked && is_ours && !is_gone => keys.add(orphan),
                None => {}
                Some(job) => {
                    let key = key_of(job);
                    self.expectations.deletion_observed(&key, &key_of(pod));
                    if is_gone || !is_tracked {
                        self.released(&key, pod);
                    }
                    keys.add_after(key, BATCH_PERIOD);
                }
            }
            return;
        }
        if let Some(job) = owner {
            let key = key_of(job);
            if delta.old.is_none() {
                self.expectations.creation_observed(&key);
            }
            if !is_tracked {
                self.released(&key, pod);
            }
        } else if controller.is_none() && is_tracked {
            keys.add(orphan);
        }
        for job in concerned(delta, &stores[self.jobs], &JOB) {
            keys.add_after(key_of(job), BATCH_PERIOD);
        }
    }
    fn released(&mut self, key: &Text, pod: &Value) {
        if let Some(releasing) = self.releasing.get_mut(key) {
            releasing.remove(meta::uid(pod));
            if releasing.is_empty() {
                self.releasing.remove(key);
            }
        }
    }
    /// The job has ended: pods that it never counted are let go.
    fn release_leftovers(&self, stores: &[Store], job: &Value, keys: &mut Keys) {
        let Ok(selector) = LabelSelector::from_value(job.at("spec.selector")) else { return };
        let store = &stores[self.pods];
        let owned = store.by_index(CONTROLLER, meta::uid(job));
        for pod in owned.chain(store.by_index(CONTROLLER, &orphans(meta::namespace(job)))) {
            if meta::has_finalizer(pod, FINALIZER) && selector.matches_object(pod) {
                keys.add(arcstr::format!("{ORPHAN}{}", key_of(pod)));
            }
        }
    }
    fn job_changed(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        let job = &delta.object;
        let key = key_of(job);
        if delta.kind == DeltaType::Deleted {
            self.finished.remove(meta::uid(job));
            self.backoffs.remove(&key);
            self.release_leftovers(stores, job, keys);
            return keys.add(key);
        }
        let Some(old) = &delta.old else { return keys.add(key) };
        if is_finished(job) {
            return self.release_leftovers(stores, job, keys);
        }
        if meta::generation(old) == meta::generation(job) {
            keys.add_after(key, BATCH_PERIOD);
        } else {
            keys.add(key);
        }
    }
}

impl Controller for JobController {
    fn name(&self) -> &'static str {
        "job-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.jobs = informers.add(Selection::all(&JOB.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, CONTROLLER, by_controller);
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.jobs {
            self.job_changed(delta, stores, keys);
        } else if delta.informer == self.pods {
            self.pod_changed(delta, stores, keys);
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        if let Some(pod) = key.strip_prefix(ORPHAN) {
            return self.sync_orphan(call, pod);
        }
        self.written.ensure_ready(call)?;
        match JOB.find(call.store(self.jobs), &key) {
            Some(job) => self.sync_job(call, job),
            None => {
                self.forget(call, "");
                Ok(())
            }
        }
    }
    fn restart(&mut self) {
        let (jobs, pods) = (self.jobs, self.pods);
        *self = JobController { jobs, pods, ..JobController::default() };
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

/// A request that merges `patch` into `pod`.
fn patch_pod(pod: &Value, patch: Value) -> crate::message::rest::Request {
    request::patch(&POD.resource, meta::namespace(pod), meta::name(pod), PatchType::StrategicMerge, patch)
}
