//! Jobs in a toy world.

use super::JobController;
use super::indexes::index_of;
use crate::api::{Value, meta};
use crate::client::testing::{Manager, Sandbox};
use crate::{array, object};

fn job(spec: Value) -> Value {
    let labels = || object! { "batch.kubernetes.io/job-name" => "work" };
    let mut job = object! {
        "apiVersion" => "batch/v1", "kind" => "Job",
        "metadata" => object! { "name" => "work", "namespace" => "a" },
        "spec" => spec,
    };
    job.set_default("spec.parallelism", 1).set_default("spec.completions", 1);
    job.set_default("spec.backoffLimit", 6);
    job.set("spec.selector", object! { "matchLabels" => labels() });
    job.set("spec.template", object! {
        "metadata" => object! { "labels" => labels() },
        "spec" => object! { "restartPolicy" => "Never", "containers" => array![object! { "name" => "c" }] },
    });
    job
}
fn sandbox(spec: Value) -> Sandbox {
    let mut sandbox = Sandbox::new(vec![job(spec)], vec![Manager::of(vec![Box::<JobController>::default()])]);
    sandbox.engine.world.server.assigns_nodes = true;
    sandbox.run(3);
    sandbox
}
fn live(sandbox: &Sandbox) -> Vec<Value> {
    let is_live = |pod: &&Value| matches!(pod.text("status.phase"), "Pending" | "Running");
    sandbox.server().all("pods").into_iter().filter(is_live).cloned().collect()
}
/// Ends the pod of the lowest index (or any) with `phase` and `code`.
fn end_one(sandbox: &mut Sandbox, phase: &str, code: i64) {
    let Some(pod) = live(sandbox).into_iter().min_by_key(index_of) else { return };
    let key = format!("a/{}", meta::name(&pod));
    sandbox.act(|server, now| {
        server.change("pods", &key, |pod| {
            let finished_at = crate::api::time::rfc3339(now);
            let terminated = object! { "exitCode" => code, "finishedAt" => finished_at };
            let state = object! { "terminated" => terminated };
            pod.set("status.phase", phase);
            pod.set("status.containerStatuses", array![object! { "name" => "c", "state" => state }]);
            pod.set("status.conditions", array![]);
        });
    });
    sandbox.run(3);
}
fn status(sandbox: &Sandbox) -> Value {
    sandbox.server().get("jobs", "a/work").map(|job| job.at("status").clone()).unwrap_or_default()
}
fn conditions(sandbox: &Sandbox) -> Vec<String> {
    let status = status(sandbox);
    let of = |condition: &Value| format!("{} {}", condition.text("type"), condition.text("reason"));
    status.items("conditions").iter().map(of).collect()
}

#[test]
fn a_job_ends_when_enough_pods_have_succeeded() {
    let mut sandbox = sandbox(object! { "parallelism" => 2, "completions" => 3 });
    assert_eq!(live(&sandbox).len(), 2);
    assert_eq!(
        status(&sandbox).to_string().replace(status(&sandbox).text("startTime"), "T"),
        r#"{"active":2,"ready":2,"startTime":"T","terminating":0,"uncountedTerminatedPods":{}}"#
    );
    for (active, succeeded) in [(2, 1), (1, 2), (0, 3)] {
        end_one(&mut sandbox, "Succeeded", 0);
        let status = status(&sandbox);
        let counts = (status.integer("active").unwrap_or(0), status.integer("succeeded").unwrap_or(0));
        assert_eq!(counts, (active, succeeded));
    }
    assert_eq!(
        conditions(&sandbox),
        ["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"]
    );
    assert!(status(&sandbox).has("completionTime"));
    assert_eq!(status(&sandbox).map("uncountedTerminatedPods").len(), 0);
    let pods = sandbox.server().all("pods");
    assert!(pods.iter().all(|pod| pod.items("metadata.finalizers").is_empty()), "all are counted and let go");
}

#[test]
fn failures_are_tried_again_after_a_while_until_the_limit() {
    let mut sandbox = sandbox(object! { "backoffLimit" => 1 });
    end_one(&mut sandbox, "Failed", 1);
    assert_eq!(live(&sandbox).len(), 0, "waits ten seconds");
    sandbox.run(10);
    assert_eq!(live(&sandbox).len(), 1);
    end_one(&mut sandbox, "Failed", 1);
    assert_eq!(conditions(&sandbox), ["FailureTarget BackoffLimitExceeded", "Failed BackoffLimitExceeded"]);
    assert_eq!(status(&sandbox).integer("failed"), Some(2));
    sandbox.run(100);
    assert_eq!(sandbox.server().all("pods").len(), 2);
}

#[test]
fn rules_may_end_a_job_at_its_first_failure() {
    let codes = object! { "operator" => "In", "values" => array![42] };
    let rules = array![object! { "action" => "FailJob", "onExitCodes" => codes }];
    let mut sandbox = sandbox(object! {
        "parallelism" => 2, "completions" => 2, "podFailurePolicy" => object! { "rules" => rules },
    });
    end_one(&mut sandbox, "Failed", 42);
    sandbox.run(5);
    assert_eq!(conditions(&sandbox), ["FailureTarget PodFailurePolicy", "Failed PodFailurePolicy"]);
    assert_eq!(live(&sandbox).len(), 0);
}

#[test]
fn a_deadline_ends_a_job_and_its_pods() {
    let mut sandbox = sandbox(object! { "activeDeadlineSeconds" => 10 });
    sandbox.run(15);
    assert_eq!(conditions(&sandbox), ["FailureTarget DeadlineExceeded", "Failed DeadlineExceeded"]);
    assert_eq!((live(&sandbox).len(), status(&sandbox).integer("failed")), (0, Some(1)));
}

#[test]
fn indexes_are_tried_one_by_one() {
    let mut sandbox = sandbox(object! {
        "parallelism" => 2, "completions" => 3, "completionMode" => "Indexed", "backoffLimitPerIndex" => 1,
    });
    let pod = live(&sandbox).into_iter().min_by_key(index_of).unwrap_or_default();
    assert_eq!(pod.text("spec.hostname"), "work-0");
    assert_eq!(pod.items("spec.containers")[0].items("env")[0].text("name"), "JOB_COMPLETION_INDEX");
    assert!(meta::name(&pod).starts_with("work-0-"));
    end_one(&mut sandbox, "Failed", 1);
    let indexes: Vec<i64> = live(&sandbox).iter().filter_map(index_of).collect();
    assert_eq!(indexes, [1], "the first missing index waits, and later ones with it");
    end_one(&mut sandbox, "Succeeded", 0);
    sandbox.run(10);
    let again = live(&sandbox).into_iter().min_by_key(index_of).unwrap_or_default();
    let failures = meta::annotation(&again, "batch.kubernetes.io/job-index-failure-count");
    assert_eq!((index_of(&again), failures), (Some(0), Some("1")));
    end_one(&mut sandbox, "Failed", 1);
    assert_eq!(status(&sandbox).text("failedIndexes"), "0");
    end_one(&mut sandbox, "Succeeded", 0);
    assert_eq!(status(&sandbox).text("completedIndexes"), "1,2");
    assert_eq!(conditions(&sandbox), ["FailureTarget FailedIndexes", "Failed FailedIndexes"]);
}

#[test]
fn a_suspended_job_has_no_pods() {
    let mut sandbox = sandbox(object! { "parallelism" => 2, "completions" => 2 });
    for (suspend, pods, expected) in [(true, 0, "True"), (false, 2, "False")] {
        sandbox.act(|server, _| {
            server.change("jobs", "a/work", |job| {
                job.set("spec.suspend", suspend);
            });
        });
        sandbox.run(5);
        assert_eq!(live(&sandbox).len(), pods);
        let status = status(&sandbox);
        let condition = meta::find_condition(status.items("conditions"), "Suspended");
        assert_eq!(condition.map(|condition| condition.text("status")), Some(expected));
        assert_eq!(status.integer("failed"), None);
    }
}

#[test]
fn pods_of_a_job_that_is_gone_are_let_go() {
    let mut sandbox = sandbox(Value::object());
    sandbox.act(|server, now| server.delete("jobs", "a/work", "Background", now));
    sandbox.run(2);
    let pods = sandbox.server().all("pods");
    assert!(pods.iter().all(|pod| pod.items("metadata.finalizers").is_empty()));
}
