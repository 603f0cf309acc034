//! Jobs.
//!
//! Picture to hold in mind: a work slip.
//!
//! Follows `pkg/apis/batch/validation/validation.go`, with the options of `pkg/registry/batch/job/strategy.go`.

use super::errors::{Errors, IMMUTABLE};
use super::format::{dns1123_label, name_is_subdomain};
use super::go;
use super::meta::{self, METADATA, SPEC, STATUS, quoted};
use super::network::domain_prefixed_path;
use super::pod::pod_template;
use super::workloads::{NO_MATCH, quoted_labels};
use crate::api::field::{FieldPath, go_quote};
use crate::api::meta::is_condition_true;
use crate::api::value::Value;
use crate::arrange::Gather;

const INDEXED: &str = "Indexed";
const MAX_INDEXED_PARALLELISM: i64 = 100_000;
const COMPLETIONS_SOFT_LIMIT: i64 = 100_000;
const HIGH_COMPLETIONS_LIMIT: i64 = 10_000;

/// `fmt.Sprintf("%q", list)`.
fn quoted_list(names: &[&str]) -> String {
    format!("valid values: [{}]", names.iter().map(|name| go_quote(name)).collect::<Vec<_>>().join(" "))
}

pub fn job(job: &Value, errors: &mut Errors) {
    meta::object_meta(job, true, name_is_subdomain, errors);
    generated_selector(job, errors);
    job_spec(job.at("spec"), errors);
    let completions = job.integer("spec.completions").unwrap_or(0);
    if job.text("spec.completionMode") == INDEXED && completions > 0 {
        let name = job.text("metadata.name");
        let host = format!("{name}-{}", completions - 1);
        if !dns1123_label(&host).is_empty() {
            let message = format!("will not able to create pod with invalid DNS label: {host}");
            errors.invalid(&METADATA.child("name"), name, message);
        }
    }
}

/// `validateGeneratedSelector`.
fn generated_selector(job: &Value, errors: &mut Errors) {
    if job.is_true("spec.manualSelector") || !job.has("spec.selector") {
        return;
    }
    let (uid, name) = (job.text("metadata.uid"), job.text("metadata.name"));
    if uid.is_empty() {
        errors.required(&METADATA.child("uid"), "");
    }
    let labels = job.map("spec.template.metadata.labels");
    let path = SPEC.child("template.metadata.labels");
    let expected = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    for (key, value) in expected {
        let message = format!("must be '{value}'");
        match labels.get(key).and_then(Value::as_str) {
            None => errors.required(&path.key(key), message),
            Some(found) if found != value => {
                errors.invalid(&path.key(key), quoted_labels(job.at("spec.template")), message);
            }
            Some(_) => {}
        }
    }
    let own = expected.into_iter().collect();
    let selector = job.at("spec.selector");
    if meta::selector_matches(selector, &own) == Some(false) {
        errors.invalid(&SPEC.child("selector"), quoted(selector), "`selector` not auto-generated");
    }
}

/// `ValidateJobSpec`.
fn job_spec(spec: &Value, errors: &mut Errors) {
    any_job_spec(spec, &SPEC, errors);
    let selector = spec.at("selector");
    if selector.is_null() {
        errors.required(&SPEC.child("selector"), "");
    } else {
        meta::label_selector(selector, &SPEC.child("selector"), errors);
    }
    let template = spec.at("template");
    if meta::selector_matches(selector, template.map("metadata.labels")) == Some(false) {
        errors.invalid(&SPEC.child("template.metadata.labels"), quoted_labels(template), NO_MATCH);
    }
}

/// `validateJobSpec`: what a Job shares with a CronJob's template.
pub(super) fn any_job_spec(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    for name in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        errors.non_negative(spec, name, path);
    }
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        errors.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = spec.at("managedBy").as_str() {
        domain_prefixed_path(manager, &path.child("managedBy"), errors);
        if manager.len() > 63 {
            errors.too_long(&path.child("managedBy"), 63);
        }
    }
    completion_mode(spec, path, errors);
    if spec.has("podFailurePolicy") {
        pod_failure_policy(spec, &path.child("podFailurePolicy"), errors);
    }
    if spec.has("successPolicy") {
        let policy = path.child("successPolicy");
        if spec.text("completionMode") == INDEXED {
            success_policy(spec, &policy, errors);
        } else {
            let quoted = go::internal("SuccessPolicy")(spec.at("successPolicy"));
            errors.invalid(&policy, quoted, "requires indexed completion mode");
        }
    }
    if spec.has("podFailurePolicy") {
        errors.one_of_if_given(spec, "podReplacementPolicy", path, &["Failed"]);
    } else {
        errors.one_of_if_given(spec, "podReplacementPolicy", path, &["Failed", "TerminatingOrFailed"]);
    }
    pod_template(spec.at("template"), &path.child("template"), errors);
    let policy = spec.text("template.spec.restartPolicy");
    let path = path.child("template.spec.restartPolicy");
    match policy {
        "Always" | "" => errors.required(&path, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.has("podFailurePolicy") => {
            errors.invalid(&path, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        other => errors.not_supported(&path, other, &["OnFailure", "Never"]),
    }
}

fn completion_mode(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.one_of_if_given(spec, "completionMode", path, &["NonIndexed", INDEXED]);
    let completions = spec.integer("completions");
    let parallelism = spec.integer("parallelism");
    let failed = spec.integer("maxFailedIndexes");
    let path_failed = path.child("maxFailedIndexes");
    let path_parallelism = path.child("parallelism");
    match spec.text("completionMode") {
        INDEXED => {
            if completions.is_none() {
                errors.required(&path.child("completions"), "when completion mode is Indexed");
            }
            if let Some(number) = parallelism.filter(|number| *number > MAX_INDEXED_PARALLELISM) {
                let message = format!(
                    "must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed"
                );
                errors.invalid(&path_parallelism, number, message);
            }
            if let (Some(completions), Some(failed)) = (completions, failed)
                && failed > completions
            {
                errors.invalid(&path_failed, failed, "must be less than or equal to completions");
            }
            if let Some(failed) = failed.filter(|number| *number > 100_000) {
                errors.invalid(&path_failed, failed, "must be less than or equal to 100000");
            }
            let many = completions.is_some_and(|number| number > COMPLETIONS_SOFT_LIMIT);
            if many && spec.has("backoffLimitPerIndex") {
                if failed.is_none() {
                    let message =
                        format!("must be specified when completions is above {COMPLETIONS_SOFT_LIMIT}");
                    errors.required(&path_failed, message);
                }
                for (path, number) in [(&path_parallelism, parallelism), (&path_failed, failed)] {
                    if let Some(number) = number.filter(|number| *number > HIGH_COMPLETIONS_LIMIT) {
                        let message = format!(
                            "must be less than or equal to {HIGH_COMPLETIONS_LIMIT} when completions are above {COMPLETIONS_SOFT_LIMIT} and used with backoff limit per index"
                        );
                        errors.invalid(path, number, message);
                    }
                }
            }
        }
        "" | "NonIndexed" => {
            for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(number) = spec.integer(name) {
                    errors.invalid(&path.child(name), number, "requires indexed completion mode");
                }
            }
        }
        _ => {}
    }
}

fn pod_failure_policy(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
    let rules = spec.items("podFailurePolicy.rules");
    let list = path.child("rules");
    if rules.len() > 20 {
        errors.too_many(&list, rules.len(), 20);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = list.index(index);
        let action = rule.text("action");
        let action_path = path.child("action");
        match action {
            "" => errors.required(&action_path, quoted_list(ACTIONS)),
            "FailIndex" if !spec.has("backoffLimitPerIndex") => {
                errors.invalid(&action_path, action, "requires the backoffLimitPerIndex to be set");
            }
            _ if !ACTIONS.contains(&action) => errors.not_supported(&action_path, action, ACTIONS),
            _ => {}
        }
        let conditions = rule.items("onPodConditions");
        if rule.has("onExitCodes") {
            on_exit_codes(spec, rule.at("onExitCodes"), &path.child("onExitCodes"), errors);
        }
        let list = path.child("onPodConditions");
        if conditions.len() > 20 {
            errors.too_many(&list, conditions.len(), 20);
        }
        for (index, pattern) in conditions.iter().enumerate() {
            let path = list.index(index);
            meta::label_name(pattern.text("type"), &path.child("type"), errors);
            const STATUSES: &[&str] = &["False", "True", "Unknown"];
            match pattern.text("status") {
                "" => errors.required(&path.child("status"), quoted_list(STATUSES)),
                status if !STATUSES.contains(&status) => {
                    errors.not_supported(&path.child("status"), status, STATUSES);
                }
                _ => {}
            }
        }
        match (rule.has("onExitCodes"), !conditions.is_empty()) {
            (true, true) => {
                let message = "specifying both OnExitCodes and OnPodConditions is not supported";
                errors.invalid_unquoted(&path, message);
            }
            (false, false) => {
                let message = "specifying one of OnExitCodes and OnPodConditions is required";
                errors.invalid_unquoted(&path, message);
            }
            _ => {}
        }
    }
}

fn on_exit_codes(spec: &Value, rule: &Value, path: &FieldPath, errors: &mut Errors) {
    const OPERATORS: &[&str] = &["In", "NotIn"];
    let operator = rule.text("operator");
    match operator {
        "" => errors.required(&path.child("operator"), quoted_list(OPERATORS)),
        other if !OPERATORS.contains(&other) => {
            errors.not_supported(&path.child("operator"), other, OPERATORS)
        }
        _ => {}
    }
    if let Some(name) = rule.at("containerName").as_str() {
        let lists = ["template.spec.containers", "template.spec.initContainers"];
        let known =
            lists.iter().flat_map(|list| spec.items(list)).any(|container| container.text("name") == name);
        if !known {
            let message = "must be one of the container or initContainer names in the pod template";
            errors.invalid(&path.child("containerName"), name, message);
        }
    }
    let list = path.child("values");
    let values: Vec<i64> = rule.items("values").iter().filter_map(Value::as_integer).gather();
    if values.is_empty() {
        errors.invalid(&list, rule.at("values"), "at least one value is required");
    } else if values.len() > 255 {
        errors.too_many(&list, values.len(), 255);
    }
    for (index, code) in values.iter().enumerate() {
        if operator == "In" && *code == 0 {
            errors.invalid(&list.index(index), 0, "must not be 0 for the In operator");
        }
        if values[..index].contains(code) {
            errors.duplicate(&list.index(index), *code);
        }
    }
    if !values.is_sorted() {
        errors.invalid(&list, rule.at("values"), "must be ordered");
    }
}

fn success_policy(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    let rules = spec.items("successPolicy.rules");
    let list = path.child("rules");
    if rules.is_empty() {
        errors.required(&list, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        errors.too_many(&list, rules.len(), 20);
    }
    let completions = spec.integer("completions").unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        let path = list.index(index);
        let count = rule.integer("succeededCount");
        let indexes = rule.at("succeededIndexes").as_str();
        if count.is_none() && indexes.is_none() {
            errors.required(&path, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(text) = indexes {
            let path = path.child("succeededIndexes");
            if text.len() > 64 * 1024 {
                errors.too_long(&path, 64 * 1024);
            }
            match count_indexes(text, completions) {
                Ok(number) => total = number,
                Err(problem) => {
                    errors.invalid(&path, text, format!("error parsing succeededIndexes: {problem}"))
                }
            }
        }
        if let Some(count) = count {
            errors.non_negative(rule, "succeededCount", &path);
            let path = path.child("succeededCount");
            if count > completions {
                let message = format!(
                    "must be less than or equal to {completions} (the number of specified completions)"
                );
                errors.invalid(&path, count, message);
            }
            if indexes.is_some() && count > total {
                let message = format!(
                    "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
                );
                errors.invalid(&path, count, message);
            }
        }
    }
}

/// `validateIndexesFormat`: how many indexes `1,3-5,7` names.
pub fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut last, mut total) = (None, 0);
    for interval in text.split(',') {
        let limits: Vec<&str> = interval.split('-').gather();
        if limits.len() > 2 {
            return Err(format!(
                "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
                go_quote(interval)
            ));
        }
        let index = |text: &str| -> Result<i64, String> {
            let number: i64 = text
                .parse()
                .map_err(|_| format!("cannot convert string to integer for index: {}", go_quote(text)))?;
            if number >= completions {
                return Err(format!("too large index: {}", go_quote(text)));
            }
            Ok(number)
        };
        let first = index(limits[0])?;
        let mut end = first;
        if let Some(text) = limits.get(1) {
            end = index(text)?;
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
        }
        if let Some(last) = last
            && last >= first
        {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// `ValidateJobUpdate`.
pub fn job_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let (spec, old_spec) = (new.at("spec"), old.at("spec"));
    job_spec(spec, errors);
    let path = SPEC.child("completions");
    if spec.text("completionMode") != INDEXED {
        errors.immutable(spec.at("completions"), old_spec.at("completions"), &path);
    } else if spec.at("completions") != old_spec.at("completions")
        && spec.has("completions")
        && spec.at("completions") != spec.at("parallelism")
    {
        let message = "can only be modified in tandem with spec.parallelism";
        errors.invalid(&path, spec.at("completions"), message);
    }
    errors.immutable(spec.at("selector"), old_spec.at("selector"), &SPEC.child("selector"));
    template_update(new, old, errors);
    errors.immutable(spec.at("completionMode"), old_spec.at("completionMode"), &SPEC.child("completionMode"));
    let quote = go::internal("*PodFailurePolicy");
    let path = SPEC.child("podFailurePolicy");
    errors.immutable_as(spec.at("podFailurePolicy"), old_spec.at("podFailurePolicy"), &path, quote);
    for name in ["backoffLimitPerIndex", "managedBy"] {
        errors.immutable(spec.at(name), old_spec.at(name), &SPEC.child(name));
    }
    let quote = go::internal("*SuccessPolicy");
    errors.immutable_as(
        spec.at("successPolicy"),
        old_spec.at("successPolicy"),
        &SPEC.child("successPolicy"),
        quote,
    );
}

/// `validatePodTemplateUpdate`: while a Job is suspended, where its pods run and what they use may change.
fn template_update(new: &Value, old: &Value, errors: &mut Errors) {
    let template = new.at("spec.template");
    let mut allowed = old.at("spec.template").clone();
    let copy = |target: &mut Value, path: &str| match template.at(path) {
        Value::Null => {
            target.remove(path);
        }
        value => {
            target.set(path, value);
        }
    };
    let suspended = old.is_true("spec.suspend");
    let stopped = !old.has("status.startTime") || is_condition_true(old, "Suspended");
    if suspended && stopped && old.integer("status.active").unwrap_or(0) == 0 {
        for path in [
            "spec.affinity.nodeAffinity",
            "spec.nodeSelector",
            "spec.tolerations",
            "metadata.annotations",
            "metadata.labels",
            "spec.schedulingGates",
        ] {
            copy(&mut allowed, path);
        }
        for list in ["spec.containers", "spec.initContainers"] {
            let now = template.items(list);
            if now.len() != allowed.items(list).len() {
                continue;
            }
            for (index, container) in now.iter().enumerate() {
                if allowed.items(list)[index].text("name") == container.text("name") {
                    let resources = container.at("resources");
                    allowed.at_mut(list).make_array()[index].set("resources", resources);
                }
            }
        }
        let quote = go::internal("PodSpec");
        errors.immutable_as(template.at("spec"), allowed.at("spec"), &SPEC.child("template.spec"), quote);
        return;
    }
    errors.immutable_as(template, &allowed, &SPEC.child("template"), go::internal("PodTemplateSpec"));
}

/// `ValidateJobUpdateStatus`, with the strict options that a Job gets whose status changes.
pub fn job_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let status = new.at("status");
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.non_negative(status, name, &STATUS);
    }
    let is = |object: &Value, kind: &str| is_condition_true(object, kind);
    let conditions = STATUS.child("conditions");
    let (complete, failed) = (is(new, "Complete"), is(new, "Failed"));
    let finished = complete || failed;
    let mut both = |wrong: bool, message: &str| {
        if wrong {
            errors.invalid_unquoted(&conditions, message);
        }
    };
    both(complete && failed, "cannot set Complete=True and Failed=true conditions");
    both(complete && is(new, "FailureTarget"), "cannot set Complete=True and FailureTarget=true conditions");
    let completion = STATUS.child("completionTime");
    if status.has("completionTime") && !complete {
        let message = "cannot set completionTime when there is no Complete=True condition";
        errors.invalid(&completion, status.at("completionTime"), message);
    }
    if !status.has("completionTime") && complete {
        errors.required(&completion, "completionTime is required for Complete jobs");
    }
    let mut both = |wrong: bool, message: &str| {
        if wrong {
            errors.invalid_unquoted(&conditions, message);
        }
    };
    both(
        failed && !is(new, "FailureTarget"),
        "cannot set Failed=True condition without the FailureTarget=true condition",
    );
    both(
        complete && !is(new, "SuccessCriteriaMet"),
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
    let count = |name: &str| status.integer(name).unwrap_or(0);
    if finished && count("active") > 0 {
        errors.invalid(&STATUS.child("active"), count("active"), "active>0 is invalid for finished job");
    }
    if finished && !status.has("startTime") {
        errors.required(&STATUS.child("startTime"), "startTime is required for finished job");
    }
    let uncounted = status.at("uncountedTerminatedPods");
    if finished && !(uncounted.items("failed").is_empty() && uncounted.items("succeeded").is_empty()) {
        let quoted = go::internal("UncountedTerminatedPods")(uncounted);
        errors.invalid(&STATUS.child("uncountedTerminatedPods"), quoted, "must be empty for finished job");
    }
    let completions = new.integer("spec.completions").unwrap_or(i64::from(i32::MAX));
    for name in ["completedIndexes", "failedIndexes"] {
        if let Err(problem) = count_indexes(status.text(name), completions) {
            errors.invalid(
                &STATUS.child(name),
                status.text(name),
                format!("error parsing {name}: {problem}"),
            );
        }
    }
    if count("ready") > count("active") {
        errors.invalid(&STATUS.child("ready"), count("ready"), "cannot set more ready pods than active");
    }
    for name in ["failed", "succeeded"] {
        if count(name) < old.at("status").integer(name).unwrap_or(0) {
            errors.invalid(&STATUS.child(name), count(name), format!("cannot decrease the {name} counter"));
        }
    }
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is(old, kind) && !is(new, kind) {
            errors
                .invalid_unquoted(&conditions, format!("cannot disable the terminal {kind}=True condition"));
        }
    }
    let before = old.at("status.completionTime");
    if status.has("completionTime") && !before.is_null() && before != status.at("completionTime") {
        errors.invalid(&completion, status.at("completionTime"), IMMUTABLE);
    }
    let start = old.at("status.startTime");
    if !start.is_null() && start != status.at("startTime") && !new.is_true("spec.suspend") {
        let message = "field is immutable for unsuspended job once set";
        errors.invalid(&STATUS.child("startTime"), status.at("startTime"), message);
    }
    if is(old, "SuccessCriteriaMet") && !is(new, "SuccessCriteriaMet") {
        errors.invalid_unquoted(&conditions, "cannot disable the SuccessCriteriaMet=True condition");
    }
}
