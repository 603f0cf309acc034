//! cronjob-controller: a Job each time that a schedule names.
//!
//! Picture to hold in mind: a church clock with a striking train: it looks at the time it struck last, counts
//! what has passed since, strikes once for the latest, and winds itself up to the next.
//!
//! After `pkg/controller/cronjob/cronjob_controllerv2.go` and `utils.go`. Schedules are read in UTC.

use crate::api::cron::Schedule;
use crate::api::{Text, Value, meta, time};
use crate::arrange::Arrange;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::object;
use crate::sim::{Duration, Time};

use super::claim::{CONTROLLER, by_controller, concerned};
use super::job::is_finished;
use super::kinds::{CRON_JOB, JOB};
use super::pod_control;

/// So much after the minute, so that no clock is found to be before it.
const DELTA_US: i64 = 100_000;
const MANY_MISSED: i64 = 100;
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

#[derive(Clone, Default)]
pub struct CronJobController {
    cron_jobs: usize,
    jobs: usize,
}

/// What has passed since the schedule was last met.
#[derive(Debug, PartialEq, Eq)]
struct Missed {
    /// From when on was counted, in Unix seconds.
    earliest_s: i64,
    latest_s: Option<i64>,
    count: i64,
}

/// The latest scheduled time that has passed and is not met (`mostRecentScheduleTime`). Fails for a schedule
/// that names nothing.
fn missed(cron_job: &Value, now_s: i64, schedule: &Schedule, heeds_deadline: bool) -> Option<Missed> {
    let read = |path: &str| Some(time::parse_rfc3339(cron_job.text(path))?.div_euclid(1_000_000));
    let mut earliest_s =
        read("status.lastScheduleTime").or_else(|| read("metadata.creationTimestamp")).unwrap_or(now_s);
    if let Some(deadline) = cron_job.integer("spec.startingDeadlineSeconds").filter(|_| heeds_deadline) {
        earliest_s = earliest_s.max(now_s - deadline);
    }
    let first = schedule.next(earliest_s)?;
    let second = schedule.next(first)?;
    if now_s < first {
        return Some(Missed { earliest_s, latest_s: None, count: 0 });
    }
    if now_s < second {
        return Some(Missed { earliest_s, latest_s: Some(first), count: 0 });
    }
    let between = (second - first).max(1);
    let count = (now_s - first) / between + 1;
    let mut latest_s = None;
    let mut candidate = schedule.next(first + (count - 2) * between);
    while let Some(time) = candidate.filter(|time| *time <= now_s) {
        latest_s = Some(time);
        candidate = schedule.next(time);
    }
    Some(Missed { earliest_s, latest_s, count })
}

/// How long until the schedule must be looked at again.
fn until_next(cron_job: &Value, now: Time, schedule: &Schedule) -> Duration {
    let now_us = time::unix_us(now);
    let now_s = now_us.div_euclid(1_000_000);
    let from_s = match missed(cron_job, now_s, schedule, false) {
        Some(Missed { latest_s: Some(latest_s), .. }) => latest_s,
        Some(Missed { earliest_s, count: 0, .. }) => earliest_s,
        _ => now_s,
    };
    // A schedule that names nothing is looked at again in a year.
    let next_s = schedule.next(from_s).unwrap_or(now_s + 365 * 86_400);
    Duration(u64::try_from(next_s * 1_000_000 + DELTA_US - now_us).unwrap_or(0))
}

fn job_name(cron_job: &Value, scheduled_s: i64) -> Text {
    arcstr::format!("{}-{}", meta::name(cron_job), scheduled_s / 60)
}
fn job_for(cron_job: &Value, scheduled_s: i64) -> Value {
    let template = cron_job.at("spec.jobTemplate");
    let mut job = object! {
        "apiVersion" => &JOB.api_version,
        "kind" => &JOB.kind,
        "metadata" => object! {
            "name" => job_name(cron_job, scheduled_s),
            "ownerReferences" => vec![CRON_JOB.controller_reference(cron_job)],
        },
        "spec" => template.at("spec"),
    };
    for field in ["metadata.labels", "metadata.annotations"] {
        if template.has(field) {
            job.set(field, template.at(field));
        }
    }
    meta::set_annotation(&mut job, SCHEDULED_AT, time::rfc3339_of(scheduled_s));
    job
}
fn is_active(cron_job: &Value, path: &str, value: &str) -> bool {
    cron_job.items("status.active").iter().any(|reference| reference.text(path) == value)
}
fn forget_active(cron_job: &mut Value, uid: &str) {
    let left = cron_job.items("status.active").iter().filter(|reference| reference.text("uid") != uid);
    let left: Vec<Value> = left.cloned().collect();
    if left.is_empty() {
        cron_job.remove("status.active");
    } else {
        cron_job.set("status.active", Value::array(left));
    }
}
/// `Complete` or `Failed`, which is true of a finished job.
fn end_of(job: &Value) -> &'static str {
    if meta::is_condition_true(job, "Complete") { "Complete" } else { "Failed" }
}

impl CronJobController {
    fn delete_job(&self, call: &mut Call, cron_job: &mut Value, job: &Value) -> Result<bool, Interrupt> {
        let delete = request::delete(&JOB.resource, meta::namespace(job), meta::name(job))
            .options(|options| options.propagation_policy = "Background".into());
        if let Err(status) = call.attempt(delete)? {
            let message = format!("Deleted job: {}", status.text("message"));
            call.event(cron_job, "Warning", "FailedDelete", message);
            return Ok(false);
        }
        forget_active(cron_job, meta::uid(job));
        let message = format!("Deleted job {}", meta::name(job));
        call.event(cron_job, "Normal", "SuccessfulDelete", message);
        Ok(true)
    }

    /// Deletes the oldest finished jobs past the limits; true if the status changed.
    fn clean_up(&self, call: &mut Call, cron_job: &mut Value, jobs: &[Value]) -> Result<bool, Interrupt> {
        let mut has_changed = false;
        for (end, limit) in
            [("Complete", "spec.successfulJobsHistoryLimit"), ("Failed", "spec.failedJobsHistoryLimit")]
        {
            let Some(limit) = cron_job.integer(limit) else { continue };
            let mut finished: Vec<&Value> =
                jobs.iter().filter(|job| is_finished(job) && end_of(job) == end).collect();
            finished.arrange_by_key(|job| {
                let started_at = job.shared_text("status.startTime");
                (started_at.is_empty(), started_at, job.shared_text("metadata.name"))
            });
            let surplus = finished.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            for job in finished.into_iter().take(surplus) {
                has_changed |= self.delete_job(call, cron_job, job)?;
            }
        }
        Ok(has_changed)
    }

    /// Compares the list of active jobs with the jobs; true if the status changed.
    fn reconcile(&self, call: &mut Call, cron_job: &mut Value, jobs: &[Value]) -> Result<bool, Interrupt> {
        let mut has_changed = false;
        for job in jobs {
            let (uid, name) = (meta::uid(job), meta::name(job));
            let is_known = is_active(cron_job, "uid", uid);
            if !is_finished(job) {
                if !is_known {
                    let fresh = call.get(&CRON_JOB.resource, meta::namespace(job), meta::name(cron_job))?;
                    if is_active(&fresh, "uid", uid) {
                        *cron_job = CRON_JOB.named(&fresh);
                        continue;
                    }
                    let message = format!("Saw a job that the controller did not create or forgot: {name}");
                    call.event(cron_job, "Warning", "UnexpectedJob", message);
                }
                continue;
            }
            if is_known {
                forget_active(cron_job, uid);
                let message = format!("Saw completed job: {name}, condition: {}", end_of(job));
                call.event(cron_job, "Normal", "SawCompletedJob", message);
                has_changed = true;
            }
            let completed_at = job.shared_text("status.completionTime");
            let is_later = completed_at.as_str() > cron_job.text("status.lastSuccessfulTime");
            if end_of(job) == "Complete" && is_later {
                cron_job.set("status.lastSuccessfulTime", completed_at);
                has_changed = true;
            }
        }
        for active in cron_job.items("status.active").to_vec() {
            let (uid, name) = (active.text("uid"), active.text("name"));
            if jobs.iter().any(|job| meta::uid(job) == uid) {
                continue;
            }
            match call.attempt(request::get(&JOB.resource, active.text("namespace"), name))? {
                Err(status) if status.text("reason") == "NotFound" => {
                    let message = format!("Active job went missing: {name}");
                    call.event(cron_job, "Normal", "MissingJob", message);
                    forget_active(cron_job, uid);
                    has_changed = true;
                }
                Err(status) => return Err(Interrupt::from_status(&status)),
                Ok(_) => {}
            }
        }
        Ok(has_changed)
    }

    /// Creates the job that is due, if one is; true if the status changed. The next look is ordered.
    fn strike(&self, call: &mut Call, cron_job: &mut Value) -> Result<bool, Interrupt> {
        let text = cron_job.shared_text("spec.schedule");
        let schedule = match Schedule::parse(&text) {
            Ok(schedule) => schedule,
            Err(error) => {
                let message = format!("unparseable schedule: {text:?} : {error}");
                call.event(cron_job, "Warning", "UnparseableSchedule", message);
                return Ok(false);
            }
        };
        let now = call.now();
        let now_us = time::unix_us(now);
        let missed = missed(cron_job, now_us.div_euclid(1_000_000), &schedule, true);
        if missed.as_ref().is_some_and(|missed| missed.count > MANY_MISSED) {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            call.event(cron_job, "Warning", "TooManyMissedTimes", message);
        }
        let due_s = missed.and_then(|missed| missed.latest_s);
        let mut has_changed = false;
        if let Some(due_s) = due_s
            && self.may_start(call, cron_job, due_s, now_us)
        {
            has_changed = self.start(call, cron_job, due_s)?;
        }
        call.requeue_after(until_next(cron_job, now, &schedule));
        Ok(has_changed)
    }
    fn may_start(&self, call: &mut Call, cron_job: &Value, due_s: i64, now_us: i64) -> bool {
        let deadline = cron_job.integer("spec.startingDeadlineSeconds");
        if deadline.is_some_and(|deadline| (due_s + deadline) * 1_000_000 < now_us) {
            let time = rfc1123(due_s);
            let message = format!("Missed scheduled time to start a job: {time}");
            call.event(cron_job, "Warning", "MissSchedule", message);
            return false;
        }
        if is_active(cron_job, "name", &job_name(cron_job, due_s))
            || cron_job.text("status.lastScheduleTime") == time::rfc3339_of(due_s)
        {
            return false;
        }
        if cron_job.text("spec.concurrencyPolicy") == "Forbid" && !cron_job.items("status.active").is_empty()
        {
            let message =
                "Not starting job because prior execution is running and concurrency policy is Forbid";
            call.event(cron_job, "Normal", "JobAlreadyActive", message);
            return false;
        }
        true
    }
    fn start(&self, call: &mut Call, cron_job: &mut Value, due_s: i64) -> Result<bool, Interrupt> {
        let namespace = cron_job.shared_text("metadata.namespace");
        let mut has_changed = false;
        if cron_job.text("spec.concurrencyPolicy") == "Replace" {
            for active in cron_job.items("status.active").to_vec() {
                let name = active.text("name");
                let job = match call.attempt(request::get(&JOB.resource, &namespace, name))? {
                    Ok(job) => job,
                    Err(status) => {
                        let message = format!("Get job: {}", status.text("message"));
                        call.event(cron_job, "Warning", "FailedGet", message);
                        return Err(Interrupt::from_status(&status));
                    }
                };
                if !self.delete_job(call, cron_job, &job)? {
                    let error = arcstr::format!("could not replace job {namespace}/{name}");
                    return Err(Interrupt::Failed(error));
                }
                has_changed = true;
            }
        }
        let job = job_for(cron_job, due_s);
        let created = match call.attempt(request::create(&JOB.resource, &namespace, job.clone()))? {
            Ok(created) => {
                let message = format!("Created job {}", meta::name(&created));
                call.event(cron_job, "Normal", "SuccessfulCreate", message);
                created
            }
            Err(status) if status.text("reason") == "AlreadyExists" => {
                let existing = call.get(&JOB.resource, &namespace, meta::name(&job))?;
                let is_ours = meta::is_controlled_by(&existing, meta::uid(cron_job));
                if !is_ours || is_active(cron_job, "uid", meta::uid(&existing)) {
                    return Ok(has_changed);
                }
                existing
            }
            Err(status) => {
                if !pod_control::is_namespace_terminating(&status) {
                    let message = format!("Error creating job: {}", status.text("message"));
                    call.event(cron_job, "Warning", "FailedCreate", message);
                }
                return Err(Interrupt::from_status(&status));
            }
        };
        let reference = object! {
            "apiVersion" => &JOB.api_version,
            "kind" => &JOB.kind,
            "namespace" => namespace,
            "name" => meta::name(&created),
            "uid" => meta::uid(&created),
            "resourceVersion" => created.at("metadata.resourceVersion"),
        };
        cron_job.at_mut("status.active").make_array().push(reference);
        cron_job.set("status.lastScheduleTime", time::rfc3339_of(due_s));
        Ok(true)
    }
}

/// `Mon, 02 Jan 2006 15:04:05 UTC`, as Go's RFC 1123.
fn rfc1123(unix_s: i64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = time::calendar(unix_s);
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} UTC",
        DAYS[time::weekday(unix_s) as usize % 7],
        date.day,
        MONTHS[(date.month - 1) as usize % 12],
        date.year,
        date.hour,
        date.minute,
        date.second
    )
}

impl Controller for CronJobController {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.jobs = informers.add(Selection::all(&JOB.resource));
        informers.add_index(self.jobs, CONTROLLER, by_controller);
        self.cron_jobs = informers.add(Selection::all(&CRON_JOB.resource));
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.jobs {
            if meta::controller_of(&delta.object).is_some() {
                for cron_job in concerned(delta, &stores[self.cron_jobs], &CRON_JOB) {
                    keys.add(key_of(cron_job));
                }
            }
            return;
        }
        let cron_job = &delta.object;
        let has_new_schedule = delta.kind == DeltaType::Updated
            && delta.old.as_ref().is_some_and(|old| {
                ["spec.schedule", "spec.timeZone"].iter().any(|field| old.at(field) != cron_job.at(field))
            });
        match Schedule::parse(cron_job.text("spec.schedule")) {
            // The times of a new schedule that have passed already are not made up for.
            Ok(schedule) if has_new_schedule => {
                keys.add_after(key_of(cron_job), until_next(cron_job, keys.now(), &schedule));
            }
            Err(_) if has_new_schedule => {}
            _ => keys.add(key_of(cron_job)),
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let Some(mut cron_job) = CRON_JOB.find(call.store(self.cron_jobs), call.key()) else {
            return Ok(());
        };
        let jobs: Vec<Value> =
            call.store(self.jobs).by_index(CONTROLLER, meta::uid(&cron_job)).cloned().collect();
        let mut has_changed = self.clean_up(call, &mut cron_job, &jobs)?;
        has_changed |= self.reconcile(call, &mut cron_job, &jobs)?;
        let is_idle = meta::is_deleting(&cron_job) || cron_job.is_true("spec.suspend");
        let outcome = if is_idle { Ok(false) } else { self.strike(call, &mut cron_job) };
        if matches!(outcome, Err(Interrupt::Waiting)) {
            return outcome.map(|_| ());
        }
        if has_changed || matches!(outcome, Ok(true)) {
            call.update_status(&CRON_JOB.resource, cron_job)?;
        }
        outcome.map(|_| ())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{Manager, Sandbox};

    fn cron_job(schedule: &str, policy: &str) -> Value {
        object! {
            "apiVersion" => "batch/v1", "kind" => "CronJob",
            "metadata" => object! { "name" => "tick", "namespace" => "a" },
            "spec" => object! {
                "schedule" => schedule, "concurrencyPolicy" => policy,
                "successfulJobsHistoryLimit" => 1, "failedJobsHistoryLimit" => 1,
                "jobTemplate" => object! { "spec" => object! { "completions" => 1 } },
            },
        }
    }
    fn sandbox(schedule: &str, policy: &str) -> Sandbox {
        let controller = Box::<CronJobController>::default();
        Sandbox::new(vec![cron_job(schedule, policy)], vec![Manager::of(vec![controller])])
    }
    fn finish(sandbox: &mut Sandbox, name: &str) {
        let key = format!("a/{name}");
        sandbox.act(|server, now| {
            server.change("jobs", &key, |job| {
                let end = object! { "type" => "Complete", "status" => "True" };
                job.set("status.conditions", vec![end]);
                job.set("status.completionTime", time::rfc3339(now));
            });
        });
        sandbox.run(1);
    }
    fn names(sandbox: &Sandbox) -> Vec<String> {
        sandbox.server().all("jobs").into_iter().map(|job| meta::name(job).to_owned()).collect()
    }

    #[test]
    fn the_latest_of_the_missed_times_counts() {
        let created_at = "2026-01-01T00:00:30Z";
        let start = time::parse_rfc3339(created_at).unwrap_or_default() / 1_000_000;
        let minutes = |count: i64| Some(start + 30 + (count - 1) * 60);
        for (after_s, deadline, latest_s, count) in [
            (10, None, None, 0),
            (30, None, minutes(1), 0),
            (89, None, minutes(1), 0),
            (90, None, minutes(2), 2),
            (30 + 60 * 200, None, minutes(201), 201),
            (30 + 60 * 200, Some(70), minutes(201), 2),
            (80, Some(10), None, 0),
        ] {
            let mut cron_job = cron_job("* * * * *", "Allow");
            cron_job.set("metadata.creationTimestamp", created_at);
            if let Some(deadline) = deadline {
                cron_job.set("spec.startingDeadlineSeconds", deadline);
            }
            let schedule = Schedule::parse("* * * * *").unwrap_or(Schedule::Every { seconds: 1 });
            let missed = missed(&cron_job, start + after_s, &schedule, true);
            let found = missed.map(|missed| (missed.latest_s, missed.count));
            assert_eq!(found, Some((latest_s, count)), "{after_s} s");
        }
    }

    #[test]
    fn a_job_is_made_each_minute_and_old_ones_go() {
        let mut sandbox = sandbox("*/1 * * * *", "Allow");
        sandbox.run(61);
        let first = names(&sandbox);
        assert_eq!(first.len(), 1);
        let status =
            |sandbox: &Sandbox| sandbox.server().get("cronjobs", "a/tick").map(|c| c.at("status").clone());
        let active = status(&sandbox).unwrap_or_default();
        assert_eq!(active.items("active").len(), 1);
        assert!(active.has("lastScheduleTime"));
        finish(&mut sandbox, &first[0]);
        let done = status(&sandbox).unwrap_or_default();
        assert!(done.items("active").is_empty() && done.has("lastSuccessfulTime"));
        sandbox.run(60);
        let second = names(&sandbox);
        assert_eq!(second.len(), 2);
        finish(&mut sandbox, &second[1]);
        assert_eq!(names(&sandbox), second[1..]);
    }

    #[test]
    fn the_policy_decides_about_overlapping_jobs() {
        for (policy, jobs) in [("Allow", 3), ("Forbid", 1), ("Replace", 1)] {
            let mut sandbox = sandbox("* * * * *", policy);
            sandbox.run(185);
            assert_eq!(names(&sandbox).len(), jobs, "{policy}");
        }
    }

    #[test]
    fn dates_print_as_in_mails() {
        assert_eq!(rfc1123(0), "Thu, 01 Jan 1970 00:00:00 UTC");
    }
}
