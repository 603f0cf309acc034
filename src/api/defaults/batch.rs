//! Jobs and CronJobs.
//!
//! Picture to hold in mind: a work slip: once, one at a time, six attempts, unless it says otherwise.
//!
//! Follows `pkg/apis/batch/v1/defaults.go`.

use super::edit::{each, fill, missing, present, within};
use super::pod::pod_template;
use crate::api::value::Value;

pub fn job(job: &mut Value) {
    present(job, "status");
    present(job, "spec");
    if !job.has("spec.completions") && !job.has("spec.parallelism") {
        job.set("spec.completions", 1);
    }
    missing(job, "spec.parallelism", 1);
    let attempts = if job.has("spec.backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    missing(job, "spec.backoffLimit", attempts);
    let labels = job.at("spec.template.metadata.labels").clone();
    if !labels.is_null() && job.map("metadata.labels").is_empty() {
        job.set("metadata.labels", labels);
    }
    missing(job, "spec.completionMode", "NonIndexed");
    missing(job, "spec.suspend", false);
    let replacement = if job.has("spec.podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    missing(job, "spec.podReplacementPolicy", replacement);
    missing(job, "spec.manualSelector", false);
    within(job, "spec", job_spec);
}

/// What a CronJob's template shares with a Job: the rest is filled in when the Job itself is made.
fn job_spec(spec: &mut Value) {
    within(spec, "podFailurePolicy", |policy| {
        each(policy, "rules", |rule| {
            each(rule, "onPodConditions", |pattern| fill(pattern, "status", "True"));
        });
    });
    present(spec, "template");
    within(spec, "template", pod_template);
}

pub fn cron_job(cron_job: &mut Value) {
    present(cron_job, "status");
    present(cron_job, "spec");
    within(cron_job, "spec", |spec| {
        fill(spec, "concurrencyPolicy", "Allow");
        missing(spec, "suspend", false);
        missing(spec, "successfulJobsHistoryLimit", 3);
        missing(spec, "failedJobsHistoryLimit", 1);
        present(spec, "jobTemplate.metadata");
        present(spec, "jobTemplate.spec");
        within(spec, "jobTemplate.spec", job_spec);
    });
}
