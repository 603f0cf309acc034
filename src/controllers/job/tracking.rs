//! Counting each finished pod exactly once, whatever happens in between.
//!
//! Picture to hold in mind: double entry: first the piece is named in the book, then its tag is cut off, then
//! its name becomes a stroke in the tally. Whoever takes over the book knows which step comes next.
//!
//! After `trackJobStatusAndRemoveFinalizers` of `job_controller.go` (KEP-2307).

use crate::api::{Text, Value, meta};
use crate::arrange::{Arrange, Gather};
use crate::client::{Call, Interrupt};
use crate::controllers::claim::aggregate;
use crate::controllers::kinds::{count, set_count};
use crate::message::rest::Request;
use crate::sorted::SortedSet;
use crate::{array, object};

use super::{FINALIZER, JobController, Work, condition, is_failed, is_indexed, patch_pod, verdict};

/// Pods that a status names at most.
const MOST_UNCOUNTED: usize = 500;
const UNCOUNTED: [(&str, &str); 2] = [
    ("status.uncountedTerminatedPods.succeeded", "status.succeeded"),
    ("status.uncountedTerminatedPods.failed", "status.failed"),
];

/// A request that takes the tracking finalizer off `pod`.
pub(super) fn release(pod: &Value) -> Request {
    let metadata = object! { "$deleteFromPrimitiveList/finalizers" => array![FINALIZER] };
    patch_pod(pod, object! { "metadata" => metadata })
}

/// Turns the names of pods that no longer bear the finalizer into counts; true if there were any.
fn count_released(job: &mut Value, held: &SortedSet<Text>) -> bool {
    let mut has_changed = false;
    for (names, total) in UNCOUNTED {
        let before = job.items(names).len();
        let kept: Vec<Value> = job
            .items(names)
            .iter()
            .filter(|uid| held.contains(uid.as_str().unwrap_or("")))
            .cloned()
            .collect();
        let released = before - kept.len();
        if released == 0 {
            continue;
        }
        has_changed = true;
        let sum = count(job, total) + released as i64;
        set_count(job, total, sum);
        if kept.is_empty() {
            job.remove(names);
        } else {
            job.set(names, Value::array(kept));
        }
    }
    has_changed
}

impl Work {
    fn may_release(&self, pod: &Value, has_failed: bool) -> bool {
        if meta::is_deleting(&self.job) || self.end.is_some() || pod.text("status.phase") == "Succeeded" {
            return true;
        }
        let is_delayed = super::index_of(pod)
            .and_then(|index| self.delayed.get(&index))
            .is_some_and(|delayed| meta::uid(delayed) == meta::uid(pod));
        has_failed && !is_delayed
    }
    fn ends_in_success(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.text("type") == "SuccessCriteriaMet")
    }

    /// Names the finished pods in the status. Returns those to release, and whether the status must be written
    /// before that, and whether there were too many for one time.
    fn name_finished(&mut self) -> (Vec<Value>, bool, bool) {
        let is_indexed = is_indexed(&self.job);
        if is_indexed {
            self.pods.arrange_by_key(super::index_of);
        }
        let (mut release, mut new_indexes, mut has_news) = (Vec::new(), Vec::new(), false);
        let tracked: Vec<Value> = self.pods.iter().filter(|pod| self.is_tracked(pod)).cloned().collect();
        for pod in &tracked {
            let has_failed = is_failed(&self.job, pod);
            if !self.may_release(pod, has_failed) {
                continue;
            }
            release.push(pod.clone());
            let uid = pod.shared_text("metadata.uid");
            let is_counted = self.uncounted_failed.contains(&uid);
            if pod.text("status.phase") == "Succeeded" && !is_counted {
                if is_indexed {
                    let new = self.valid_index(pod).filter(|index| !self.succeeded_before.contains(*index));
                    has_news |= new.is_some();
                    new_indexes.extend(new);
                } else if !self.uncounted_succeeded.contains(&uid) {
                    has_news = true;
                    self.job.at_mut(UNCOUNTED[0].0).make_array().push(uid.into());
                }
            } else if has_failed || (self.end.is_some() && !self.ends_in_success()) {
                let is_valid = !is_indexed || self.valid_index(pod).is_some();
                if !is_counted && is_valid && verdict(&self.job, pod).counts() {
                    has_news = true;
                    self.job.at_mut(UNCOUNTED[1].0).make_array().push(uid.into());
                }
            }
            let named: usize = UNCOUNTED.iter().map(|(names, _)| self.job.items(names).len()).sum();
            if new_indexes.len() + named >= MOST_UNCOUNTED {
                return (release, has_news, true);
            }
        }
        if is_indexed {
            self.succeeded_indexes = self.succeeded_indexes.with(new_indexes);
        }
        (release, has_news, false)
    }
    /// Writes the indexes that succeeded and failed into the status; true if they changed.
    fn write_indexes(&mut self) -> bool {
        let before = self.job.at("status").clone();
        let completed = self.succeeded_indexes.to_string();
        if completed.is_empty() {
            self.job.remove("status.completedIndexes");
        } else {
            self.job.set("status.completedIndexes", completed);
        }
        set_count(&mut self.job, "status.succeeded", self.succeeded_indexes.count());
        if let Some(failed) = &self.failed_indexes {
            self.job.set("status.failedIndexes", failed.to_string());
        }
        ["completedIndexes", "failedIndexes"]
            .iter()
            .any(|field| self.job.at("status").at(field) != before.at(field))
    }
    /// Writes why the job ends into the status, and what its last condition will be; true if it is news.
    fn write_end(&mut self) -> bool {
        let Some(end) = self.end.clone() else { return false };
        let (reason, message) = (end.text("reason"), end.text("message"));
        let last = match end.text("type") {
            "FailureTarget" => "Failed",
            "SuccessCriteriaMet" => "Complete",
            _ => return false,
        };
        let is_news = meta::condition(&self.job, end.text("type")).is_none();
        self.end = Some(condition(last, reason, message, self.now));
        if is_news {
            self.job.at_mut("status.conditions").make_array().push(end);
        }
        is_news
    }
    /// Marks the job as finished, once nothing is left to count or to wait for.
    fn finish(&mut self) -> bool {
        let Some(end) = &self.end else { return false };
        let is_waiting = UNCOUNTED.iter().any(|(names, _)| !self.job.items(names).is_empty());
        if is_waiting || self.terminating > 0 {
            return false;
        }
        let since = end.shared_text("lastTransitionTime");
        let is_complete = end.text("type") == "Complete";
        meta::set_condition(&mut self.job, end, &since);
        if is_complete {
            self.job.set("status.completionTime", since);
        }
        true
    }
}

impl JobController {
    pub(super) fn track(
        &mut self,
        call: &mut Call,
        mut work: Work,
        mut has_news: bool,
    ) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let mut held: SortedSet<Text> = work
            .pods
            .iter()
            .filter(|pod| work.is_tracked(pod))
            .map(|pod| pod.shared_text("metadata.uid"))
            .gather();
        has_news |= count_released(&mut work.job, &held);
        let (release, names_news, is_overfull) = work.name_finished();
        has_news |= names_news;
        if is_indexed(&work.job) {
            has_news |= work.write_indexes();
        }
        has_news |= work.write_end();
        if has_news {
            work.job = self.write_status(call, &work.job)?;
            work.job.set_default("status.uncountedTerminatedPods", Value::object());
            if call.once() {
                self.backoffs.insert(key.clone(), work.backoff);
            }
        }
        let outcome = self.release_all(call, &release, &mut held)?;
        has_news = count_released(&mut work.job, &held);
        if outcome.is_err() {
            if has_news {
                self.write_status(call, &work.job)?;
            }
            return outcome;
        }
        let is_finished = !is_overfull && work.finish();
        if has_news || is_finished {
            let job = self.write_status(call, &work.job)?;
            if let Some(end) = work.end.as_ref().filter(|_| is_finished) {
                self.tell_of_end(call, &job, end);
                if call.once() {
                    self.finished.insert(job.shared_text("metadata.uid"));
                }
            }
        }
        Ok(())
    }
    fn tell_of_end(&self, call: &mut Call, job: &Value, end: &Value) {
        if end.text("type") != "Complete" {
            return call.event(job, "Warning", end.text("reason"), end.text("message"));
        }
        if job.integer("spec.completions").is_some_and(|wanted| count(job, "status.succeeded") > wanted) {
            let message = "Too many succeeded pods running after completion count reached";
            call.event(job, "Warning", "TooManySucceededPods", message);
        }
        call.event(job, "Normal", "Completed", "Job completed");
    }
    /// Takes the finalizer off all of `pods`; those for which it worked are no longer `held`.
    fn release_all(
        &mut self,
        call: &mut Call,
        pods: &[Value],
        held: &mut SortedSet<Text>,
    ) -> Result<Result<(), Interrupt>, Interrupt> {
        let key = call.key().clone();
        if pods.is_empty() {
            return Ok(Ok(()));
        }
        if call.once() {
            let uids = pods.iter().map(|pod| pod.shared_text("metadata.uid"));
            self.releasing.entry(key.clone()).or_default().extend(uids);
        }
        let answers = call.all(pods.iter().map(release).collect())?;
        let mut errors = Vec::new();
        for (pod, answer) in pods.iter().zip(answers) {
            if let Err(status) = &answer {
                if call.once() {
                    self.released(&key, pod);
                }
                if status.text("reason") != "NotFound" {
                    errors.push(format!("removing tracking finalizer: {}", status.text("message")));
                    continue;
                }
            }
            held.remove(meta::uid(pod));
        }
        Ok(if errors.is_empty() { Ok(()) } else { Err(Interrupt::Failed(aggregate(&errors))) })
    }
}
