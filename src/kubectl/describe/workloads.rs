//! Controllers of pods, and what looks after them: autoscalers, budgets.
//!
//! Picture to hold in mind: a foreman's board.

use crate::api::{Value, meta, selector};

use super::page::{Page, date, go_list, joined, line, number, or_unset, text_of, truth};
use super::pod;

/// Pods of a controller by phase: running, waiting, succeeded, failed.
pub type PodCounts = [usize; 4];

pub fn counts(pods: &[Value], uid: &str) -> PodCounts {
    let mut counts = [0; 4];
    for pod in pods.iter().filter(|pod| meta::is_controlled_by(pod, uid)) {
        match pod.text("status.phase") {
            "Running" => counts[0] += 1,
            "Pending" => counts[1] += 1,
            "Succeeded" => counts[2] += 1,
            "Failed" => counts[3] += 1,
            _ => {}
        }
    }
    counts
}

fn pods_status(page: &mut Page, counts: PodCounts) {
    let [running, waiting, succeeded, failed] = counts;
    line!(
        page,
        0,
        "Pods Status:\t{running} Running / {waiting} Waiting / {succeeded} Succeeded / {failed} Failed"
    );
}

fn reasons(page: &mut Page, object: &Value) {
    if object.items("status.conditions").is_empty() {
        return;
    }
    line!(page, 0, "Conditions:");
    line!(page, 1, "Type\tStatus\tReason");
    line!(page, 1, "----\t------\t------");
    for condition in object.items("status.conditions") {
        line!(
            page,
            1,
            "{} \t{}\t{}",
            condition.text("type"),
            condition.text("status"),
            condition.text("reason")
        );
    }
}

fn owner(page: &mut Page, object: &Value) {
    if let Some(owner) = meta::controller_of(object) {
        line!(page, 0, "Controlled By:\t{}/{}", owner.text("kind"), owner.text("name"));
    }
}

pub fn replica_set(page: &mut Page, set: &Value, counts: PodCounts) {
    page.name(set);
    let selector = match set.text("kind") {
        "ReplicationController" => joined(set.map("spec.selector")),
        _ => selector::format(set.at("spec.selector")),
    };
    line!(page, 0, "Selector:\t{selector}");
    page.marks(set);
    owner(page, set);
    line!(
        page,
        0,
        "Replicas:\t{} current / {} desired",
        number(set, "status.replicas"),
        number(set, "spec.replicas")
    );
    pods_status(page, counts);
    pod::template(page, set.at("spec.template"));
    reasons(page, set);
}

/// `old` and `new` are the Deployment's ReplicaSets.
pub fn deployment(page: &mut Page, deployment: &Value, old: &[Value], new: Option<&Value>) {
    page.name(deployment);
    line!(page, 0, "CreationTimestamp:\t{}", date(deployment.text("metadata.creationTimestamp")));
    page.marks(deployment);
    line!(page, 0, "Selector:\t{}", selector::format(deployment.at("spec.selector")));
    line!(
        page,
        0,
        "Replicas:\t{} desired | {} updated | {} total | {} available | {} unavailable",
        number(deployment, "spec.replicas"),
        number(deployment, "status.updatedReplicas"),
        number(deployment, "status.replicas"),
        number(deployment, "status.availableReplicas"),
        number(deployment, "status.unavailableReplicas")
    );
    line!(page, 0, "StrategyType:\t{}", deployment.text("spec.strategy.type"));
    line!(page, 0, "MinReadySeconds:\t{}", number(deployment, "spec.minReadySeconds"));
    if deployment.has("spec.strategy.rollingUpdate") {
        let update = deployment.at("spec.strategy.rollingUpdate");
        let (least, most) = (text_of(update.at("maxUnavailable")), text_of(update.at("maxSurge")));
        line!(page, 0, "RollingUpdateStrategy:\t{least} max unavailable, {most} max surge");
    }
    pod::template(page, deployment.at("spec.template"));
    reasons(page, deployment);
    if !old.is_empty() || new.is_some() {
        let show = |sets: &[&Value]| {
            let texts: Vec<String> = sets
                .iter()
                .map(|set| {
                    let name = set.text("metadata.name");
                    format!(
                        "{name} ({}/{} replicas created)",
                        number(set, "status.replicas"),
                        number(set, "spec.replicas")
                    )
                })
                .collect();
            if texts.is_empty() { "<none>".to_string() } else { texts.join(", ") }
        };
        line!(page, 0, "OldReplicaSets:\t{}", show(&old.iter().collect::<Vec<_>>()));
        line!(page, 0, "NewReplicaSet:\t{}", show(&new.into_iter().collect::<Vec<_>>()));
    }
}

pub fn stateful_set(page: &mut Page, set: &Value, counts: PodCounts) {
    page.name(set);
    line!(page, 0, "CreationTimestamp:\t{}", date(set.text("metadata.creationTimestamp")));
    line!(page, 0, "Selector:\t{}", selector::format(set.at("spec.selector")));
    page.marks(set);
    line!(
        page,
        0,
        "Replicas:\t{} desired | {} total",
        number(set, "spec.replicas"),
        number(set, "status.replicas")
    );
    line!(page, 0, "Update Strategy:\t{}", set.text("spec.updateStrategy.type"));
    if let Some(partition) = set.integer("spec.updateStrategy.rollingUpdate.partition") {
        line!(page, 1, "Partition:\t{partition}");
        let most = set.at("spec.updateStrategy.rollingUpdate.maxUnavailable");
        if !most.is_null() {
            line!(page, 1, "MaxUnavailable:\t{}", text_of(most));
        }
    }
    pods_status(page, counts);
    pod::template(page, set.at("spec.template"));
    let claims = set.items("spec.volumeClaimTemplates");
    if claims.is_empty() {
        return line!(page, 0, "Volume Claims:\t<none>");
    }
    line!(page, 0, "Volume Claims:");
    for claim in claims {
        line!(page, 1, "Name:\t{}", claim.text("metadata.name"));
        line!(page, 1, "StorageClass:\t{}", claim.text("spec.storageClassName"));
        line!(page, 1, "Labels:\t{}", joined(claim.map("metadata.labels")));
        line!(page, 1, "Annotations:\t{}", joined(claim.map("metadata.annotations")));
        let capacity = claim.at("spec.resources.requests.storage");
        let capacity = if capacity.is_null() { "<default>".into() } else { text_of(capacity) };
        line!(page, 1, "Capacity:\t{capacity}");
        line!(page, 1, "Access Modes:\t{}", go_list(claim, "spec.accessModes"));
    }
}

pub fn daemon_set(page: &mut Page, set: &Value, counts: PodCounts) {
    page.name(set);
    line!(page, 0, "Selector:\t{}", selector::format(set.at("spec.selector")));
    line!(page, 0, "Node-Selector:\t{}", joined(set.map("spec.template.spec.nodeSelector")));
    page.marks(set);
    for (title, field) in [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ] {
        line!(page, 0, "{title}: {}", number(set.at("status"), field));
    }
    pods_status(page, counts);
    pod::template(page, set.at("spec.template"));
}

pub fn job(page: &mut Page, job: &Value) {
    page.name(job);
    line!(page, 0, "Selector:\t{}", selector::format(job.at("spec.selector")));
    page.marks(job);
    owner(page, job);
    let spec = job.at("spec");
    if spec.has("parallelism") {
        line!(page, 0, "Parallelism:\t{}", number(spec, "parallelism"));
    }
    line!(page, 0, "Completions:\t{}", or_unset(spec.at("completions")));
    for (title, field) in [
        ("Completion Mode", "completionMode"),
        ("Suspend", "suspend"),
        ("Backoff Limit", "backoffLimit"),
        ("TTL Seconds After Finished", "ttlSecondsAfterFinished"),
    ] {
        if spec.has(field) {
            line!(page, 0, "{title}:\t{}", text_of(spec.at(field)));
        }
    }
    let (start, end) = (job.text("status.startTime"), job.text("status.completionTime"));
    if !start.is_empty() {
        line!(page, 0, "Start Time:\t{}", date(start));
    }
    if !end.is_empty() {
        line!(page, 0, "Completed At:\t{}", date(end));
    }
    let instant = crate::api::time::parse_rfc3339;
    if let (Some(start), Some(end)) = (instant(start), instant(end)) {
        let seconds = (end - start).div_euclid(1_000_000);
        line!(page, 0, "Duration:\t{}", crate::api::time_format::human_duration(seconds));
    }
    if spec.has("activeDeadlineSeconds") {
        line!(page, 0, "Active Deadline Seconds:\t{}s", number(spec, "activeDeadlineSeconds"));
    }
    let status = job.at("status");
    let ready = status.integer("ready").map_or(String::new(), |ready| format!(" ({ready} Ready)"));
    line!(
        page,
        0,
        "Pods Statuses:\t{} Active{ready} / {} Succeeded / {} Failed",
        number(status, "active"),
        number(status, "succeeded"),
        number(status, "failed")
    );
    if spec.text("completionMode") == "Indexed" {
        let indexes = status.text("completedIndexes");
        let cut = indexes.get(50..).and_then(|rest| rest.find(',')).map(|comma| 50 + comma);
        let shown = match cut {
            Some(cut) => format!("{}...", &indexes[..=cut]),
            None if indexes.is_empty() => "<none>".into(),
            None => indexes.to_string(),
        };
        line!(page, 0, "Completed Indexes:\t{shown}");
    }
    pod::template(page, spec.at("template"));
}

pub fn cron_job(page: &mut Page, cron: &Value) {
    page.heading(cron);
    let spec = cron.at("spec");
    line!(page, 0, "Schedule:\t{}", spec.text("schedule"));
    line!(page, 0, "Concurrency Policy:\t{}", spec.text("concurrencyPolicy"));
    line!(page, 0, "Suspend:\t{}", spec.at("suspend").as_bool().map_or("<unset>", truth));
    line!(page, 0, "Time Zone:\t{}", or_unset(spec.at("timeZone")));
    line!(page, 0, "Successful Job History Limit:\t{}", or_unset(spec.at("successfulJobsHistoryLimit")));
    line!(page, 0, "Failed Job History Limit:\t{}", or_unset(spec.at("failedJobsHistoryLimit")));
    let deadline =
        spec.integer("startingDeadlineSeconds").map_or("<unset>".into(), |seconds| format!("{seconds}s"));
    line!(page, 0, "Starting Deadline Seconds:\t{deadline}");
    let job = spec.at("jobTemplate.spec");
    let chosen = if job.has("selector") { selector::format(job.at("selector")) } else { "<unset>".into() };
    line!(page, 0, "Selector:\t{chosen}");
    line!(page, 0, "Parallelism:\t{}", or_unset(job.at("parallelism")));
    line!(page, 0, "Completions:\t{}", or_unset(job.at("completions")));
    if job.has("activeDeadlineSeconds") {
        line!(page, 0, "Active Deadline Seconds:\t{}s", number(job, "activeDeadlineSeconds"));
    }
    pod::template(page, job.at("template"));
    let last = cron.text("status.lastScheduleTime");
    line!(page, 0, "Last Schedule Time:\t{}", if last.is_empty() { "<unset>".into() } else { date(last) });
    let active: Vec<&str> = cron.items("status.active").iter().map(|job| job.text("name")).collect();
    line!(page, 0, "Active Jobs:\t{}", if active.is_empty() { "<none>".into() } else { active.join(", ") });
}

pub fn autoscaler(page: &mut Page, scaler: &Value) {
    page.heading(scaler);
    line!(page, 0, "CreationTimestamp:\t{}", date(scaler.text("metadata.creationTimestamp")));
    let target = scaler.at("spec.scaleTargetRef");
    line!(page, 0, "Reference:\t{}/{}", target.text("kind"), target.text("name"));
    line!(page, 0, "Metrics:\t( current / target )");
    for (index, metric) in scaler.items("spec.metrics").iter().enumerate() {
        let current = scaler.items("status.currentMetrics").get(index).cloned().unwrap_or_default();
        metric_line(page, metric, &current);
    }
    line!(page, 0, "Min replicas:\t{}", or_unset(scaler.at("spec.minReplicas")));
    line!(page, 0, "Max replicas:\t{}", number(scaler, "spec.maxReplicas"));
    if scaler.has("spec.behavior") {
        line!(page, 0, "Behavior:");
        for (title, field) in [("Scale Up", "scaleUp"), ("Scale Down", "scaleDown")] {
            let rules = scaler.at("spec.behavior").at(field);
            if rules.is_null() {
                continue;
            }
            line!(page, 1, "{title}:");
            if let Some(seconds) = rules.integer("stabilizationWindowSeconds") {
                line!(page, 2, "Stabilization Window: {seconds} seconds");
            }
            if !rules.items("policies").is_empty() {
                let choice = rules.text("selectPolicy");
                line!(page, 2, "Select Policy: {}", if choice.is_empty() { "Max" } else { choice });
                line!(page, 2, "Policies:");
                for policy in rules.items("policies") {
                    let (value, period) = (number(policy, "value"), number(policy, "periodSeconds"));
                    line!(
                        page,
                        3,
                        "- Type: {}\tValue: {value}\tPeriod: {period} seconds",
                        policy.text("type")
                    );
                }
            }
        }
    }
    let status = scaler.at("status");
    let (current, desired) = (number(status, "currentReplicas"), number(status, "desiredReplicas"));
    line!(page, 0, "{} pods:\t{current} current / {desired} desired", target.text("kind"));
    page.conditions(
        scaler,
        &[("Type", "type"), ("Status", "status"), ("Reason", "reason"), ("Message", "message")],
        false,
    );
}

fn metric_line(page: &mut Page, metric: &Value, current: &Value) {
    let known = |value: &Value| if value.is_null() { "<unknown>".to_string() } else { text_of(value) };
    let (field, title) = match metric.text("type") {
        "Resource" => ("resource", format!("resource {} on pods", metric.text("resource.name"))),
        "ContainerResource" => (
            "containerResource",
            format!(
                "resource {} of container \"{}\" on pods",
                metric.text("containerResource.name"),
                metric.text("containerResource.container")
            ),
        ),
        "Pods" => {
            let name = metric.text("pods.metric.name");
            let (now, target) = (
                known(current.at("pods.current.averageValue")),
                text_of(metric.at("pods.target.averageValue")),
            );
            return line!(page, 1, "{name:?} on pods:\t{now} / {target}");
        }
        kind @ ("External" | "Object") => {
            let field = kind.to_ascii_lowercase();
            let (source, now) = (metric.at(&field), current.at(&field).at("current"));
            let average = source.has("target.averageValue");
            let value = if average { "averageValue" } else { "value" };
            let word = if average { "target average value" } else { "target value" };
            let place = match kind {
                "Object" => format!(
                    " on {}/{}",
                    source.text("describedObject.kind"),
                    source.text("describedObject.name")
                ),
                _ => String::new(),
            };
            let name = source.text("metric.name");
            let (now, target) = (known(now.at(value)), text_of(source.at("target").at(value)));
            return line!(page, 1, "{name:?}{place} ({word}):\t{now} / {target}");
        }
        other => return line!(page, 1, "<unknown metric type {other:?}>"),
    };
    let (target, now) = (metric.at(field).at("target"), current.at(field).at("current"));
    if target.has("averageValue") {
        return line!(
            page,
            1,
            "{title}:\t{} / {}",
            known(now.at("averageValue")),
            text_of(target.at("averageValue"))
        );
    }
    let current = match now.integer("averageUtilization") {
        Some(percent) => format!("{percent}% ({})", text_of(now.at("averageValue"))),
        None => "<unknown>".into(),
    };
    let wanted =
        target.integer("averageUtilization").map_or("<auto>".into(), |percent| format!("{percent}%"));
    line!(page, 1, "{title}  (as a percentage of request):\t{current} / {wanted}");
}

pub fn disruption_budget(page: &mut Page, budget: &Value) {
    page.name(budget);
    for (title, field) in [("Min available", "spec.minAvailable"), ("Max unavailable", "spec.maxUnavailable")]
    {
        if budget.has(field) {
            line!(page, 0, "{title}:\t{}", text_of(budget.at(field)));
            break;
        }
    }
    let chosen = if budget.has("spec.selector") {
        selector::format(budget.at("spec.selector"))
    } else {
        "<unset>".into()
    };
    line!(page, 0, "Selector:\t{chosen}");
    line!(page, 0, "Status:");
    for (title, field) in [
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ] {
        line!(page, 2, "{title}:\t{}", number(budget.at("status"), field));
    }
}
