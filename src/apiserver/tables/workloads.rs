//! What makes pods and what scales it.
//!
//! Picture to hold in mind: a foreman's board: how many are wanted, how many are there.
//!
//! Follows the printers of `apps`, `batch`, `autoscaling` and `policy` in `pkg/printers/internalversion/printers.go`.

use crate::api::{Value, int_or_string, meta, selector, time, time_format};

use super::{Printer, containers, labels, name_of, number, text_or};

pub(super) fn cells(group: &str, kind: &str, object: &Value, printer: &Printer) -> Option<Vec<Value>> {
    let count = |path: &str| Value::Integer(number(object, path));
    let wide = |mut cells: Vec<Value>, spec: &Value, selector: Option<String>| {
        let (names, images) = containers(spec);
        cells.push(names.into());
        cells.push(images.into());
        cells.extend(selector.map(Value::from));
        cells
    };
    let template = object.at("spec.template.spec");
    let selector = selector::format(object.at("spec.selector"));
    Some(match (group, kind) {
        ("", "ReplicationController") | ("apps", "ReplicaSet") => {
            let cells = vec![
                name_of(object),
                count("spec.replicas"),
                count("status.replicas"),
                count("status.readyReplicas"),
                printer.age(object),
            ];
            let selector = if kind == "ReplicaSet" { selector } else { labels(object.at("spec.selector")) };
            wide(cells, template, Some(selector))
        }
        ("apps", "Deployment") => {
            let ready =
                format!("{}/{}", number(object, "status.readyReplicas"), number(object, "spec.replicas"));
            let cells = vec![
                name_of(object),
                ready.into(),
                count("status.updatedReplicas"),
                count("status.availableReplicas"),
                printer.age(object),
            ];
            wide(cells, template, Some(selector))
        }
        ("apps", "StatefulSet") => {
            let ready =
                format!("{}/{}", number(object, "status.readyReplicas"), number(object, "spec.replicas"));
            wide(vec![name_of(object), ready.into(), printer.age(object)], template, None)
        }
        ("apps", "DaemonSet") => {
            let cells = vec![
                name_of(object),
                count("status.desiredNumberScheduled"),
                count("status.currentNumberScheduled"),
                count("status.numberReady"),
                count("status.updatedNumberScheduled"),
                count("status.numberAvailable"),
                labels(template.at("nodeSelector")).into(),
                printer.age(object),
            ];
            wide(cells, template, Some(selector))
        }
        ("apps", "ControllerRevision") => {
            let controller = match meta::controller_of(object) {
                None => "<none>".to_owned(),
                Some(owner) => {
                    let (group, _) = meta::split_api_version(owner.text("apiVersion"));
                    let kind = owner.text("kind").to_ascii_lowercase();
                    let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
                    format!("{kind}/{}", owner.text("name"))
                }
            };
            vec![name_of(object), controller.into(), count("revision"), printer.age(object)]
        }
        ("batch", "Job") => wide(job(object, printer), template, Some(selector)),
        ("batch", "CronJob") => {
            let last = object.text("status.lastScheduleTime");
            let cells = vec![
                name_of(object),
                object.text("spec.schedule").into(),
                text_or(object, "spec.timeZone", "<none>").into(),
                match object.at("spec.suspend").as_bool() {
                    Some(true) => "True".into(),
                    Some(false) => "False".into(),
                    None => "<unset>".into(),
                },
                object.items("status.active").len().into(),
                if last.is_empty() { "<none>".into() } else { printer.since(last) },
                printer.age(object),
            ];
            let selector = selector::format(object.at("spec.jobTemplate.spec.selector"));
            wide(cells, object.at("spec.jobTemplate.spec.template.spec"), Some(selector))
        }
        ("policy", "PodDisruptionBudget") => {
            let amount = |path: &str| match object.at(path) {
                Value::Null => Value::from("N/A"),
                value => Value::from(int_or_string::text(value)),
            };
            vec![
                name_of(object),
                amount("spec.minAvailable"),
                amount("spec.maxUnavailable"),
                count("status.disruptionsAllowed"),
                printer.age(object),
            ]
        }
        ("autoscaling", "Scale") => vec![
            name_of(object),
            Value::from(number(object, "spec.replicas")),
            Value::from(number(object, "status.replicas")),
            printer.age(object),
        ],
        ("autoscaling", "HorizontalPodAutoscaler") => {
            let target = object.at("spec.scaleTargetRef");
            let metrics = if object.has("spec.targetCPUUtilizationPercentage") {
                let current = match object.integer("status.currentCPUUtilizationPercentage") {
                    Some(percent) => format!("{percent}%"),
                    None => "<unknown>".to_owned(),
                };
                format!("cpu: {current}/{}%", number(object, "spec.targetCPUUtilizationPercentage"))
            } else {
                metrics(object.items("spec.metrics"), object.items("status.currentMetrics"))
            };
            vec![
                name_of(object),
                format!("{}/{}", target.text("kind"), target.text("name")).into(),
                metrics.into(),
                object.integer("spec.minReplicas").map_or("<unset>".to_owned(), |min| min.to_string()).into(),
                count("spec.maxReplicas"),
                count("status.currentReplicas"),
                printer.age(object),
            ]
        }
        _ => return None,
    })
}

fn job(job: &Value, printer: &Printer) -> Vec<Value> {
    let succeeded = number(job, "status.succeeded");
    let completions = match (job.integer("spec.completions"), number(job, "spec.parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let (start, end) = (job.text("status.startTime"), job.text("status.completionTime"));
    let duration = match (time::parse_rfc3339(start), time::parse_rfc3339(end)) {
        (None, _) => String::new(),
        (Some(_), None) => printer.since_text(start),
        (Some(start), Some(end)) => time_format::human_duration((end - start).div_euclid(1_000_000)),
    };
    let has = |condition: &str| meta::is_condition_true(job, condition);
    let status = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if meta::is_deleting(job) {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    vec![name_of(job), status.into(), completions.into(), duration.into(), printer.age(job)]
}

fn metrics(specs: &[Value], statuses: &[Value]) -> String {
    const MAX: usize = 2;
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let amount = |value: &Value| int_or_string::text(value);
    let list: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(index, spec)| {
            let (field, is_resource) = match spec.text("type") {
                "External" => ("external", false),
                "Pods" => ("pods", false),
                "Object" => ("object", false),
                "Resource" => ("resource", true),
                "ContainerResource" => ("containerResource", true),
                _ => return "<unknown type>".to_owned(),
            };
            let target = spec.at(field).at("target");
            let current = statuses.get(index).map_or(&Value::Null, |status| status.at(field).at("current"));
            let or_unknown = |value: &Value| {
                if value.is_null() { "<unknown>".to_owned() } else { amount(value) }
            };
            if is_resource {
                let name = spec.at(field).text("name");
                if target.has("averageValue") {
                    return format!(
                        "{name}: {}/{}",
                        or_unknown(current.at("averageValue")),
                        amount(target.at("averageValue"))
                    );
                }
                let percent = |value: &Value, none: &str| {
                    value.as_integer().map_or(none.to_owned(), |percent| format!("{percent}%"))
                };
                return format!(
                    "{name}: {}/{}",
                    percent(current.at("averageUtilization"), "<unknown>"),
                    percent(target.at("averageUtilization"), "<auto>")
                );
            }
            if target.has("averageValue") {
                let suffix = if field == "pods" { "" } else { " (avg)" };
                let current = or_unknown(current.at("averageValue"));
                return format!("{current}/{}{suffix}", amount(target.at("averageValue")));
            }
            format!("{}/{}", or_unknown(current.at("value")), amount(target.at("value")))
        })
        .collect();
    let shown = list[..list.len().min(MAX)].join(", ");
    if list.len() > MAX { format!("{shown} + {} more...", list.len() - MAX) } else { shown }
}
