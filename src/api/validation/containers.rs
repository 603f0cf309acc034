//! The three lists of containers, and what only some of them may have: probes, hooks, restart rules.
//!
//! Picture to hold in mind: a relay race. The starters (init containers) run one after the other, the runners side
//! by side, and a substitute (ephemeral container) may come in late, with fewer rights.
//!
//! Follows `validateContainers`, `validateInitContainers`, `validateEphemeralContainers` and `validateProbe` of
//! `pkg/apis/core/validation/validation.go`.

use super::container::{any_port_number, container_common, port_number_or_name};
use super::errors::Errors;
use super::format::http_header_name;
use super::pod::PodContext;
use crate::api::field::FieldPath;
use crate::api::value::{Text, Value};

pub fn containers(list: &[Value], context: &PodContext, path: &FieldPath, errors: &mut Errors) {
    if list.is_empty() {
        return errors.required(path, "");
    }
    for (index, container) in list.iter().enumerate() {
        let item = path.index(index);
        container_common(container, context, &item, errors);
        if list[..index].iter().any(|earlier| earlier.text("name") == container.text("name")) {
            errors.duplicate(&item.child("name"), container.text("name"));
        }
        lifecycle(container, context, &item, errors);
        probes(container, context, &item, errors);
        restart_rules(container, false, &item, errors);
    }
    host_port_conflicts(list, path, errors);
}

pub fn init_containers(
    list: &[Value],
    regular: &[Value],
    context: &PodContext,
    path: &FieldPath,
    errors: &mut Errors,
) {
    for (index, container) in list.iter().enumerate() {
        let item = path.index(index);
        container_common(container, context, &item, errors);
        restart_rules(container, true, &item, errors);
        let name = container.text("name");
        let is_taken = |other: &Value| other.text("name") == name && !name.is_empty();
        let of_regular = regular.iter().any(|other| other.text("name") == name);
        if of_regular || list[..index].iter().any(is_taken) {
            errors.duplicate(&item.child("name"), name);
        }
        // Upstream checks each alone, under the list's first index.
        host_port_conflicts(std::slice::from_ref(container), path, errors);
        let is_sidecar = container.text("restartPolicy") == "Always";
        if is_sidecar {
            lifecycle(container, context, &item, errors);
            probes(container, context, &item, errors);
        } else {
            for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container.has(name) {
                    let message = "may not be set for init containers without restartPolicy=Always";
                    errors.forbidden(&item.child(name), message);
                }
            }
            let policies = item.child("resizePolicy");
            for (index, policy) in container.items("resizePolicy").iter().enumerate() {
                if policy.text("restartPolicy") == "RestartContainer" {
                    errors.invalid(
                        &policies.index(index).child("restartPolicy"),
                        "RestartContainer",
                        "must not be set to 'RestartContainer' for non-sidecar initContainers",
                    );
                }
            }
        }
    }
}

/// Fields that an ephemeral container may not have.
const NOT_EPHEMERAL: &[(&str, &str)] = &[
    ("ports", "ports"),
    ("resources", "resources"),
    ("resizePolicy", "resizePolicy"),
    ("restartPolicy", "restartPolicy"),
    ("restartPolicyRules", "restartPolicyRules"),
    ("livenessProbe", "livenessProbe"),
    ("readinessProbe", "readinessProbe"),
    ("startupProbe", "startupProbe"),
    ("lifecycle", "lifecycle"),
];

pub fn ephemeral_containers(spec: &Value, context: &PodContext, path: &FieldPath, errors: &mut Errors) {
    let list = spec.items("ephemeralContainers");
    let others = || spec.items("containers").iter().chain(spec.items("initContainers"));
    for (index, container) in list.iter().enumerate() {
        let item = path.index(index);
        let name = container.text("name");
        container_common(container, context, &item, errors);
        only_for_pod(container, &item, errors);
        if others().chain(&list[..index]).any(|other| other.text("name") == name) {
            errors.duplicate(&item.child("name"), name);
        }
        let target = container.text("targetContainerName");
        if !target.is_empty() && !others().any(|other| other.text("name") == target) {
            errors.not_found(&item.child("targetContainerName"), target);
        }
        const MESSAGE: &str = "cannot be set for an Ephemeral Container";
        for (field, shown) in NOT_EPHEMERAL {
            if !container.at(field).is_empty() {
                errors.forbidden(&item.child(shown), MESSAGE);
            }
        }
        let mounts = item.child("volumeMounts");
        for (index, mount) in container.items("volumeMounts").iter().enumerate() {
            for name in ["subPath", "subPathExpr"] {
                if !mount.text(name).is_empty() {
                    errors.forbidden(&mounts.index(index).child(name), MESSAGE);
                }
            }
        }
    }
}

/// What is checked in pods but not in templates, which may hold old images.
pub fn only_for_pod(container: &Value, path: &FieldPath, errors: &mut Errors) {
    let image = container.text("image");
    if image.trim() != image {
        errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
}

fn host_port_conflicts(list: &[Value], path: &FieldPath, errors: &mut Errors) {
    let mut seen: Vec<(&str, &str, i64)> = Vec::new();
    for (index, container) in list.iter().enumerate() {
        let item = path.index(index);
        let ports = item.child("ports");
        for (index, port) in container.items("ports").iter().enumerate() {
            let number = port.integer("hostPort").unwrap_or(0);
            if number == 0 {
                continue;
            }
            let key = (port.text("protocol"), port.text("hostIP"), number);
            if seen.contains(&key) {
                let shown = format!("{}/{}/{}", key.0, key.1, key.2);
                errors.duplicate(&ports.index(index).child("hostPort"), shown);
            } else {
                seen.push(key);
            }
        }
    }
}

fn probes(container: &Value, context: &PodContext, path: &FieldPath, errors: &mut Errors) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.at(name);
        if probe.is_null() {
            continue;
        }
        let path = path.child(name);
        handler(probe, HandlerUse::Probe, context.grace_period_seconds, &path, errors);
        for field in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            errors.non_negative(probe, field, &path);
        }
        let grace = probe.integer("terminationGracePeriodSeconds");
        if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
            errors.invalid(&path.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
        }
        let successes = probe.integer("successThreshold").unwrap_or(0);
        if name != "readinessProbe" && successes != 1 {
            errors.invalid(&path.child("successThreshold"), successes, "must be 1");
        }
        if name == "readinessProbe"
            && let Some(seconds) = grace
        {
            let message = "must not be set for readinessProbes";
            errors.invalid(&path.child("terminationGracePeriodSeconds"), seconds, message);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum HandlerUse {
    Probe,
    Lifecycle,
}

fn handler(handler: &Value, usage: HandlerUse, grace: Option<i64>, path: &FieldPath, errors: &mut Errors) {
    let mut count = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let action = handler.at(kind);
        let only_in = match kind {
            "grpc" => Some(HandlerUse::Probe),
            "sleep" => Some(HandlerUse::Lifecycle),
            _ => None,
        };
        if action.is_null() || only_in.is_some_and(|only| only != usage) {
            continue;
        }
        let path = path.child(kind);
        if count > 0 {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        count += 1;
        match kind {
            "exec" if action.items("command").is_empty() => errors.required(&path.child("command"), ""),
            "httpGet" => http_get(action, &path, errors),
            "tcpSocket" => port_number_or_name(action.at("port"), &path.child("port"), errors),
            "grpc" => any_port_number(action.integer("port").unwrap_or(0), &path.child("port"), errors),
            "sleep" => {
                let seconds = action.integer("seconds").unwrap_or(0);
                if let Some(grace) = grace
                    && !(0..=grace).contains(&seconds)
                {
                    let message =
                        format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.invalid(&path, seconds, message);
                }
            }
            _ => {}
        }
    }
    if count == 0 {
        errors.required(path, "must specify a handler type");
    }
}

fn http_get(action: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(action, "path", path);
    port_number_or_name(action.at("port"), &path.child("port"), errors);
    let scheme = action.text("scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    for header in action.items("httpHeaders") {
        if let Some(complaint) = http_header_name(header.text("name")) {
            errors.invalid(&path.child("httpHeaders"), header.text("name"), complaint);
        }
    }
}

const WINDOWS_SIGNALS: &[&str] = &["SIGKILL", "SIGTERM"];
const LINUX_SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

fn lifecycle(container: &Value, context: &PodContext, path: &FieldPath, errors: &mut Errors) {
    let lifecycle = container.at("lifecycle");
    if lifecycle.is_null() {
        return;
    }
    let path = path.child("lifecycle");
    for name in ["postStart", "preStop"] {
        if lifecycle.has(name) {
            let grace = context.grace_period_seconds;
            handler(lifecycle.at(name), HandlerUse::Lifecycle, grace, &path.child(name), errors);
        }
    }
    if let Some(signal) = lifecycle.at("stopSignal").as_str() {
        let path = path.child("stopSignal");
        let supported = match context.os {
            "" => return errors.forbidden(&path, "may not be set for containers with empty `spec.os.name`"),
            "windows" => WINDOWS_SIGNALS,
            _ => LINUX_SIGNALS,
        };
        if !supported.contains(&signal) {
            errors.not_supported(&path, signal, supported);
        }
    }
}

/// `validateContainerRestartPolicy`.
fn restart_rules(container: &Value, is_init: bool, path: &FieldPath, errors: &mut Errors) {
    let rules = container.items("restartPolicyRules");
    match container.at("restartPolicy").as_str() {
        None if rules.is_empty() => return,
        None => {
            errors.required(
                &path.child("restartPolicy"),
                "must specify restartPolicy when restart rules are used",
            );
            if is_init {
                return;
            }
        }
        Some(policy) if !matches!(policy, "Always" | "Never" | "OnFailure") => {
            errors.not_supported(&path.child("restartPolicy"), policy, &["Always", "Never", "OnFailure"]);
        }
        Some(_) => {}
    }
    let list = path.child("restartPolicyRules");
    if rules.len() > 20 {
        errors.too_many(&list, rules.len(), 20);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = list.index(index);
        let action = rule.text("action");
        if !matches!(action, "Restart" | "RestartAllContainers") {
            errors.not_supported(&path.child("action"), action, &["Restart", "RestartAllContainers"]);
        }
        let path = path.child("exitCodes");
        if !rule.has("exitCodes") {
            errors.required(&path, "must be specified");
            continue;
        }
        let operator = rule.text("exitCodes.operator");
        if !matches!(operator, "In" | "NotIn") {
            errors.not_supported(&path.child("operator"), operator, &["In", "NotIn"]);
        }
        let values = rule.items("exitCodes.values").len();
        if values > 255 {
            errors.too_many(&path.child("values"), values, 255);
        }
    }
}

/// `VisitContainersWithPath`: init containers, containers, ephemeral containers, in this order.
pub fn visit(spec: &Value, path: &FieldPath, mut visitor: impl FnMut(&Value, &FieldPath)) {
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        let list = path.child(name);
        for (index, container) in spec.items(name).iter().enumerate() {
            visitor(container, &list.index(index));
        }
    }
}

/// The names of a pod's containers of all three lists.
pub fn names(spec: &Value) -> impl Iterator<Item = Text> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|name| spec.items(name))
        .map(|container| container.shared_text("name"))
}
