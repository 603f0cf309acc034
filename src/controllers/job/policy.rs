//! What a Job's rules say of a failed pod, and of the indexes that succeeded.
//!
//! Picture to hold in mind: house rules on the wall, read from the top: the first that fits decides.
//!
//! After `pkg/controller/job/pod_failure_policy.go` and `success_policy.go`.

use crate::api::{Value, meta};

use super::indexes::Indexes;

/// What the first rule that fits says of a failed pod.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Counts towards the back-off limit.
    Count,
    Ignore,
    /// Its index is not tried again.
    FailIndex,
    /// The whole job fails, with this message.
    FailJob(String),
}

impl Verdict {
    pub fn counts(&self) -> bool {
        *self != Verdict::Ignore
    }
}

fn matching_container<'a>(pod: &'a Value, requirement: &Value) -> Option<&'a Value> {
    let name = requirement.text("containerName");
    let values = requirement.items("values");
    let statuses = pod.items("status.containerStatuses").iter();
    statuses.chain(pod.items("status.initContainerStatuses")).find(|status| {
        let Some(code) = status.integer("state.terminated.exitCode").filter(|code| *code != 0) else {
            return false;
        };
        let is_listed = values.iter().any(|value| value.as_integer() == Some(code));
        let fits = match requirement.text("operator") {
            "In" => is_listed,
            "NotIn" => !is_listed,
            _ => false,
        };
        fits && (name.is_empty() || status.text("name") == name)
    })
}

/// What the job's `podFailurePolicy` says of `pod`.
pub fn of_failed_pod(job: &Value, pod: &Value) -> Verdict {
    for (place, rule) in job.items("spec.podFailurePolicy.rules").iter().enumerate() {
        let action = rule.text("action");
        let (namespace, name) = (meta::namespace(pod), meta::name(pod));
        let matched = if rule.has("onExitCodes") {
            matching_container(pod, rule.at("onExitCodes")).map(|container| {
                format!(
                    "Container {} for pod {namespace}/{name} failed with exit code {} matching {action} rule at index {place}",
                    container.text("name"),
                    container.integer("state.terminated.exitCode").unwrap_or(0),
                )
            })
        } else {
            let patterns = rule.items("onPodConditions");
            let fits = |condition: &&Value| {
                patterns.iter().any(|pattern| {
                    pattern.at("type") == condition.at("type")
                        && pattern.at("status") == condition.at("status")
                })
            };
            pod.items("status.conditions").iter().find(fits).map(|condition| {
                let type_ = condition.text("type");
                format!(
                    "Pod {namespace}/{name} has condition {type_} matching {action} rule at index {place}"
                )
            })
        };
        match (matched, action) {
            (Some(_), "Ignore") => return Verdict::Ignore,
            (Some(_), "FailIndex") => return Verdict::FailIndex,
            (Some(_), "Count") => return Verdict::Count,
            (Some(message), "FailJob") => return Verdict::FailJob(message),
            _ => {}
        }
    }
    Verdict::Count
}

/// The rule of the job's `successPolicy` that the `succeeded` indexes meet.
pub fn success(job: &Value, succeeded: &Indexes) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let completions = job.integer("spec.completions").unwrap_or(0);
    let rules = job.items("spec.successPolicy.rules");
    let place = rules.iter().position(|rule| {
        let wanted = rule.integer("succeededCount");
        if !rule.has("succeededIndexes") {
            return wanted.is_some_and(|wanted| succeeded.count() >= wanted);
        }
        let required = Indexes::parse(rule.text("succeededIndexes"), completions);
        let met = required.overlap(succeeded);
        !required.is_empty() && (met == required.count() || wanted.is_some_and(|wanted| met >= wanted))
    })?;
    Some(format!("Matched rules at index {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    fn job() -> Value {
        let rule = |action: &str, key: &str, value: Value| object! { "action" => action, key => value };
        let codes = |operator: &str, values: Value| object! { "operator" => operator, "values" => values };
        let disrupted = array![object! { "type" => "DisruptionTarget", "status" => "True" }];
        object! { "spec" => object! {
            "completions" => 10,
            "podFailurePolicy" => object! { "rules" => array![
                rule("Ignore", "onPodConditions", disrupted),
                rule("FailJob", "onExitCodes", codes("In", array![42])),
                rule("FailIndex", "onExitCodes", codes("In", array![7]).with("containerName", "c")),
                rule("Ignore", "onExitCodes", codes("NotIn", array![1, 7])),
            ] },
            "successPolicy" => object! { "rules" => array![
                object! { "succeededIndexes" => "0-3", "succeededCount" => 2 },
                object! { "succeededCount" => 5 },
            ] },
        } }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let message = "Container c for pod a/p failed with exit code 42 matching FailJob rule at index 1";
        for (container, code, disrupted, expected) in [
            ("c", 1, false, Verdict::Count),
            ("c", 42, true, Verdict::Ignore),
            ("c", 42, false, Verdict::FailJob(message.into())),
            ("c", 7, false, Verdict::FailIndex),
            ("d", 7, false, Verdict::Count),
            ("c", 3, false, Verdict::Ignore),
        ] {
            let terminated = object! { "terminated" => object! { "exitCode" => code } };
            let condition = object! { "type" => "DisruptionTarget", "status" => if disrupted { "True" } else { "False" } };
            let pod = object! {
                "metadata" => object! { "namespace" => "a", "name" => "p" },
                "status" => object! {
                    "containerStatuses" => array![object! { "name" => container, "state" => terminated }],
                    "conditions" => array![condition],
                },
            };
            assert_eq!(of_failed_pod(&job(), &pod), expected, "{container} {code} {disrupted}");
        }
    }

    #[test]
    fn success_may_come_before_the_end() {
        for (succeeded, rule) in
            [("", None), ("0", None), ("0,3", Some(0)), ("4-7", None), ("4-8", Some(1)), ("0-9", Some(0))]
        {
            let expected = rule.map(|rule: i32| format!("Matched rules at index {rule}"));
            assert_eq!(success(&job(), &Indexes::parse(succeeded, 10)), expected, "{succeeded}");
        }
    }
}
