//! Pods: the one word that sums up a pod.
//!
//! Picture to hold in mind: a nurse's summary at the bed's foot: not the chart, but the worst thing on it.
//!
//! Follows `printPod` and `printPodTemplate` of `pkg/printers/internalversion/printers.go`.

use crate::api::{Value, meta};
use crate::arrange::Gather;
use crate::sorted::SortedMap;

use super::{Printer, containers, labels, name_of, number, text_or};

pub(super) fn cells(group: &str, kind: &str, object: &Value, printer: &Printer) -> Option<Vec<Value>> {
    match (group, kind) {
        ("", "Pod") => Some(pod(object, printer)),
        ("", "PodTemplate") => {
            let (names, images) = containers(object.at("template.spec"));
            let labels = labels(object.at("template.metadata.labels"));
            Some(vec![name_of(object), names.into(), images.into(), labels.into()])
        }
        _ => None,
    }
}

fn is_sidecar(container: Option<&&Value>) -> bool {
    container.is_some_and(|container| container.text("restartPolicy") == "Always")
}

/// Why a container ended: its reason, its signal or its exit code.
fn end_of(terminated: &Value) -> String {
    match (terminated.text("reason"), number(terminated, "signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Restarts, and when the last one was.
#[derive(Clone, Default)]
struct Restarts<'a> {
    count: i64,
    last: &'a str,
}

impl<'a> Restarts<'a> {
    fn add(&mut self, status: &'a Value) {
        self.count += number(status, "restartCount");
        // RFC 3339 in UTC sorts as text.
        self.last = self.last.max(status.text("lastState.terminated.finishedAt"));
    }
}

/// The cells of a pod's row: name, ready, status, restarts, age and so on.
pub(super) fn pod(pod: &Value, printer: &Printer) -> Vec<Value> {
    let phase = pod.text("status.phase");
    let mut reason = text_or(pod, "status.reason", phase).to_owned();
    let gated = meta::condition(pod, "PodScheduled")
        .is_some_and(|condition| condition.text("reason") == "SchedulingGated");
    if gated {
        reason = "SchedulingGated".to_owned();
    }
    let init: SortedMap<&str, &Value> =
        pod.items("spec.initContainers").iter().map(|container| (container.text("name"), container)).gather();
    let sidecars = init.values().filter(|container| is_sidecar(Some(container))).count();
    let total = pod.items("spec.containers").len() + sidecars;
    let mut ready = 0;
    let mut restarts = Restarts::default();
    let mut sidecar_restarts = Restarts::default();
    let mut is_initializing = false;
    for (index, status) in pod.items("status.initContainerStatuses").iter().enumerate() {
        restarts.add(status);
        let sidecar = is_sidecar(init.get(status.text("name")));
        if sidecar {
            sidecar_restarts.add(status);
        }
        let (terminated, waiting) = (status.at("state.terminated"), status.text("state.waiting.reason"));
        if !terminated.is_null() && number(terminated, "exitCode") == 0 {
            continue;
        }
        if sidecar && status.is_true("started") {
            ready += usize::from(status.is_true("ready"));
            continue;
        }
        reason = if !terminated.is_null() {
            format!("Init:{}", end_of(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", init.len())
        };
        is_initializing = true;
        break;
    }
    if !is_initializing || meta::is_condition_true(pod, "Initialized") {
        restarts = sidecar_restarts;
        let mut has_running = false;
        let mut error = String::new();
        for status in pod.items("status.containerStatuses").iter().rev() {
            restarts.add(status);
            let (terminated, waiting) = (status.at("state.terminated"), status.text("state.waiting.reason"));
            if !waiting.is_empty() {
                reason = waiting.to_owned();
            } else if !terminated.is_null() {
                reason = end_of(terminated);
                if number(terminated, "exitCode") != 0 {
                    error.clone_from(&reason);
                }
            } else if status.is_true("ready") && status.has("state.running") {
                has_running = true;
                ready += 1;
            }
        }
        if reason == "Completed" {
            if has_running && meta::is_condition_true(pod, "Ready") {
                reason = "Running".to_owned();
            } else if !error.is_empty() {
                reason = error;
            } else if has_running {
                reason = "NotReady".to_owned();
            }
        }
    }
    if meta::is_deleting(pod) {
        if pod.text("status.reason") == "NodeLost" {
            reason = "Unknown".to_owned();
        } else if !matches!(phase, "Failed" | "Succeeded") {
            reason = "Terminating".to_owned();
        }
    }
    let restarts = if restarts.count != 0 && !restarts.last.is_empty() {
        format!("{} ({} ago)", restarts.count, printer.since_text(restarts.last))
    } else {
        restarts.count.to_string()
    };
    let gates = pod.items("spec.readinessGates");
    let readiness_gates = if gates.is_empty() {
        "<none>".to_owned()
    } else {
        let open =
            gates.iter().filter(|gate| meta::is_condition_true(pod, gate.text("conditionType"))).count();
        format!("{open}/{}", gates.len())
    };
    let address = pod.items("status.podIPs").first().map_or("", |address| address.text("ip"));
    vec![
        name_of(pod),
        format!("{ready}/{total}").into(),
        reason.into(),
        restarts.into(),
        printer.age(pod),
        Value::from(if address.is_empty() { "<none>" } else { address }),
        Value::from(text_or(pod, "spec.nodeName", "<none>")),
        Value::from(text_or(pod, "status.nominatedNodeName", "<none>")),
        readiness_gates.into(),
    ]
}
