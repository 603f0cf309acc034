//! CronJobs.
//!
//! Picture to hold in mind: a calendar with a work slip pinned to it.
//!
//! Follows `pkg/apis/batch/validation/validation.go`.

use super::batch::any_job_spec;
use super::errors::Errors;
use super::format::name_is_subdomain;
use super::meta::{self, METADATA, SPEC, quoted};
use super::semantic::equal;
use crate::api::cron::Schedule;
use crate::api::value::Value;

pub fn cron_job(cron_job: &Value, errors: &mut Errors) {
    meta::object_meta(cron_job, true, name_is_subdomain, errors);
    cron_job_spec(cron_job.at("spec"), None, errors);
    let name = cron_job.text("metadata.name");
    if name.len() > 52 {
        errors.invalid(&METADATA.child("name"), name, "must be no more than 52 characters");
    }
}

pub fn cron_job_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    cron_job_spec(new.at("spec"), Some(old.at("spec")), errors);
}

fn cron_job_spec(spec: &Value, old: Option<&Value>, errors: &mut Errors) {
    let schedule = spec.text("schedule");
    let path = SPEC.child("schedule");
    if schedule.is_empty() {
        errors.required(&path, "");
    } else {
        if let Err(problem) = Schedule::parse(schedule) {
            errors.invalid(&path, schedule, problem);
        }
        let had_zone = old.is_some_and(|old| old.text("schedule").contains("TZ"));
        if schedule.contains("TZ") && !had_zone {
            let message = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.invalid(&path, schedule, message);
        } else if schedule.contains("TZ") && spec.has("timeZone") {
            errors.invalid(&path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        }
    }
    errors.non_negative(spec, "startingDeadlineSeconds", &SPEC);
    if old.is_none_or(|old| !equal(old.at("timeZone"), spec.at("timeZone"))) {
        time_zone(spec.at("timeZone"), errors);
    }
    let policy = spec.text("concurrencyPolicy");
    errors.one_of(policy, &SPEC.child("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let template = spec.at("jobTemplate.spec");
    let template_path = SPEC.child("jobTemplate.spec");
    any_job_spec(template, &template_path, errors);
    if template.has("selector") {
        let message = "`selector` will be auto-generated";
        errors.invalid(&template_path.child("selector"), quoted(template.at("selector")), message);
    }
    if template.is_true("manualSelector") {
        errors.not_supported(&template_path.child("manualSelector"), true, &["nil", "false"]);
    }
    for name in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.non_negative(spec, name, &SPEC);
    }
}

/// Names of the tz database, a line an area: `Europe: Berlin Paris ...`.
const TIME_ZONES: &str = include_str!("time_zones.txt");

/// Whether the tz database has a zone of this name; `Local` and the empty name are Go's own.
pub fn is_time_zone(name: &str) -> bool {
    let (area, city) = name.split_once('/').unwrap_or(("", name));
    TIME_ZONES
        .lines()
        .filter_map(|line| line.split_once(": "))
        .any(|(known, cities)| known == area && cities.split(' ').any(|known| known == city))
}

fn time_zone(zone: &Value, errors: &mut Errors) {
    let Some(name) = zone.as_str() else { return };
    let path = SPEC.child("timeZone");
    let unknown = format!("unknown time zone {name}");
    if name.is_empty() {
        return errors.invalid(&path, name, "timeZone must be nil or non-empty string");
    }
    let of_charset = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let fits = |part: &str| {
        part != "."
            && part != ".."
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.bytes().all(of_charset)
    };
    if !name.split('/').all(fits) {
        return errors.invalid(&path, name, unknown);
    }
    let is_local = name.eq_ignore_ascii_case("local");
    if is_local {
        let message = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(&path, name, message);
    }
    if name != "Local" && !is_time_zone(name) {
        errors.invalid(&path, name, unknown);
    }
}
