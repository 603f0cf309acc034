//! As many pods of a job as should run now: creating what lacks, deleting what is too much.
//!
//! Picture to hold in mind: benches in the hall: never more people than benches, nor than pieces left to make.
//!
//! After `manageJob`, `deleteJobPods` of `job_controller.go`.

use crate::api::{Value, meta};
use crate::arrange::Arrange;
use crate::client::store::key_of;
use crate::client::{Call, Interrupt};
use crate::controllers::kinds::{JOB, count};
use crate::controllers::pod_control::{self, Deletions};
use crate::controllers::pods;
use crate::object;
use crate::sim::Duration;

use super::backoff::{self, Record};
use super::indexes::{INDEX, index_of};
use super::{BATCH_PERIOD, FINALIZER, JobController, Work};
use super::{is_indexed, is_suspended, replaces_failed_only, split_key, tracking, verdict};

/// Pods created or deleted in one sync at most.
const MOST_PER_SYNC: usize = 500;
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// A name that the API server completes is at most so long before its five letters.
const LONGEST_PREFIX: usize = 58;

/// How often the pod's index had failed before: counted, and ignored by the failure policy.
pub(super) fn failures_of_index(pod: &Value) -> (i64, i64) {
    let read = |key: &str| meta::annotation(pod, key).and_then(|text| text.parse().ok()).unwrap_or(0);
    (read(FAILURES), read(IGNORED_FAILURES))
}

/// Which of the active pods to delete so that at least `least` go: of an indexed job first all doubles.
fn to_remove(work: &Work, least: usize) -> Vec<Value> {
    let (mut doubles, mut left) = (Vec::new(), work.active.clone());
    if is_indexed(&work.job) {
        left.arrange_by_key(index_of);
        let groups = left.chunk_by(|a, b| index_of(a) == index_of(b));
        let mut kept = Vec::new();
        for group in groups {
            let surplus = match work.valid_index(&group[0]) {
                Some(_) => group.len() - 1,
                None => group.len(),
            };
            let gone = pods::choose_for_deletion(group.to_vec(), [], surplus, work.now);
            let stays = |pod: &&Value| !gone.iter().any(|other| meta::uid(other) == meta::uid(pod));
            kept.extend(group.iter().filter(stays).cloned());
            doubles.extend(gone);
        }
        left = kept;
    }
    if doubles.len() < least {
        doubles.extend(pods::choose_for_deletion(left, [], least - doubles.len(), work.now));
    }
    doubles
}

/// The pod for an index; `replaced` is the last one that failed there.
fn indexed_pod(job: &Value, pod: &Value, index: i64, replaced: Option<&Value>) -> Value {
    let mut pod = pod.clone();
    let name = meta::name(job);
    meta::set_annotation(&mut pod, INDEX, index.to_string());
    meta::set_label(&mut pod, INDEX, index.to_string());
    pod.set("spec.hostname", format!("{name}-{index}"));
    let suffix = format!("-{index}-");
    let prefix: String = if name.len() + suffix.len() > LONGEST_PREFIX {
        name.chars().take(LONGEST_PREFIX - suffix.len()).collect()
    } else {
        name.to_owned()
    };
    pod.set("metadata.generateName", format!("{prefix}{suffix}"));
    if job.has("spec.backoffLimitPerIndex") {
        let (mut counted, mut ignored) = replaced.map_or((0, 0), failures_of_index);
        match replaced {
            Some(replaced) if verdict(job, replaced).counts() => counted += 1,
            Some(_) => ignored += 1,
            None => {}
        }
        meta::set_annotation(&mut pod, FAILURES, counted.to_string());
        if ignored > 0 {
            meta::set_annotation(&mut pod, IGNORED_FAILURES, ignored.to_string());
        }
    }
    pod
}

/// Tells each container its index.
fn add_index_variable(pod: &mut Value) {
    for list in ["spec.initContainers", "spec.containers"] {
        if !pod.has(list) {
            continue;
        }
        for container in pod.at_mut(list).make_array() {
            if container.items("env").iter().all(|variable| variable.text("name") != "JOB_COMPLETION_INDEX") {
                let field = object! { "fieldPath" => format!("metadata.labels['{INDEX}']") };
                let variable = object! {
                    "name" => "JOB_COMPLETION_INDEX", "valueFrom" => object! { "fieldRef" => field },
                };
                container.at_mut("env").make_array().push(variable);
            }
        }
    }
}

/// How many of the active pods remain, and the error to end the sync with once the status is written.
type Managed = (i64, Result<(), Interrupt>);

impl JobController {
    /// Deletes the active pods of a job that has ended.
    pub(super) fn delete_active(&mut self, call: &mut Call, work: &mut Work) -> Result<Deletions, Interrupt> {
        let deleted = pod_control::delete_all(call, &work.job, &work.active)?;
        work.ready = 0;
        work.terminating += deleted.done();
        Ok(deleted)
    }
    /// Deletes `gone` of the active pods, which no longer count.
    fn remove(&mut self, call: &mut Call, work: &mut Work, gone: Vec<Value>) -> Result<Managed, Interrupt> {
        let (key, now) = (call.key().clone(), call.now());
        if call.once() {
            self.expectations.expect_deletions(&key, gone.iter().map(key_of), now);
        }
        let tracked: Vec<&Value> = gone.iter().filter(|pod| meta::has_finalizer(pod, FINALIZER)).collect();
        call.all(tracked.into_iter().map(tracking::release).collect())?;
        let deleted = pod_control::delete_all(call, &work.job, &gone)?;
        if !deleted.refused.is_empty() && call.once() {
            let namespace = split_key(&key).0;
            for name in &deleted.refused {
                self.expectations.deletion_observed(&key, &arcstr::format!("{namespace}/{name}"));
            }
        }
        work.terminating += deleted.done();
        work.ready -= gone.iter().filter(|pod| pods::is_ready(pod)).count() as i64;
        Ok((work.active.len() as i64 - deleted.done(), deleted.outcome()))
    }

    pub(super) fn manage(&mut self, call: &mut Call, work: &mut Work) -> Result<Managed, Interrupt> {
        let active = work.active.len() as i64;
        if is_suspended(&work.job) {
            let gone = to_remove(work, work.active.len());
            return self.remove(call, work, gone);
        }
        let parallelism = count(&work.job, "spec.parallelism");
        let wanted = match work.completions() {
            None if work.succeeded > 0 => active,
            None => parallelism,
            Some(completions) => (completions - work.succeeded).clamp(0, parallelism.max(0)),
        };
        let mut gone = to_remove(work, usize::try_from(active - wanted).unwrap_or(0));
        gone.truncate(MOST_PER_SYNC);
        if !gone.is_empty() {
            return self.remove(call, work, gone);
        }
        let terminating = if replaces_failed_only(&work.job) { work.terminating } else { 0 };
        let missing = usize::try_from(wanted - terminating - active).unwrap_or(0).min(MOST_PER_SYNC);
        if missing == 0 {
            return Ok((active, Ok(())));
        }
        let has_limit_per_index = work.job.has("spec.backoffLimitPerIndex");
        let wait = work.backoff.remaining(work.now);
        if !has_limit_per_index && wait > Duration::ZERO {
            call.requeue_after(wait.max(BATCH_PERIOD));
            return Ok((0, Ok(())));
        }
        let mut pod = pod_control::from_template(work.job.at("spec.template"), &work.job, &JOB);
        meta::add_finalizer(&mut pod, FINALIZER);
        let made = if is_indexed(&work.job) {
            let (indexes, wait) = self.indexes_to_add(work, missing);
            if indexes.is_empty() && wait > Duration::ZERO {
                call.requeue_after(wait.max(BATCH_PERIOD));
                return Ok((0, Ok(())));
            }
            add_index_variable(&mut pod);
            let make = |index: &i64| indexed_pod(&work.job, &pod, *index, work.delayed.get(index));
            indexes.iter().map(make).collect()
        } else {
            vec![pod; missing]
        };
        let (key, now, missing) = (call.key().clone(), call.now(), made.len());
        if call.once() {
            self.expectations.expect_creations(&key, missing as i64, now);
        }
        let batches = pod_control::create_in_batches(call, &work.job, made, 1)?;
        let skipped = (missing - batches.successes) as i64;
        if skipped > 0 && call.once() {
            self.expectations.creations_observed(&key, skipped);
        }
        let outcome = batches.error.map_or(Ok(()), |error| Err(Interrupt::Failed(error)));
        Ok((active + batches.successes as i64, outcome))
    }

    /// The first indexes that lack a pod; of those that wait after a failure, how long the shortest wait is.
    fn indexes_to_add(&self, work: &Work, count: usize) -> (Vec<i64>, Duration) {
        let mut taken = work.succeeded_indexes.with(work.active.iter().filter_map(index_of));
        if replaces_failed_only(&work.job) {
            let terminating = work.pods.iter().filter(|pod| pods::is_terminating(pod));
            taken = taken.with(terminating.filter_map(index_of));
        }
        if let Some(failed) = &work.failed_indexes {
            taken = taken.merged(failed);
        }
        let wait_of = |index: &i64| {
            work.delayed.get(index).map_or(Duration::ZERO, |pod| {
                let (counted, ignored) = failures_of_index(pod);
                let last_failure = Some(backoff::finished_at(pod));
                Record { failures: counted + ignored + 1, last_failure }.remaining(work.now)
            })
        };
        let missing = taken.first_missing(count, work.completions().unwrap_or(0));
        let (now, later): (Vec<i64>, Vec<i64>) =
            missing.into_iter().partition(|index| wait_of(index) == Duration::ZERO);
        (now, later.iter().map(wait_of).min().unwrap_or(Duration::ZERO))
    }
}
