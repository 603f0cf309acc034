//! Pods and pod templates: containers, their states, volumes.
//!
//! Picture to hold in mind: the data sheet of a machine, part by part.

use crate::api::{Value, meta};
use crate::arrange::Arrange;

use super::page::{Page, date, go_list, line, number, or_none, text_of, truth};
use super::volume;

pub fn pod(page: &mut Page, pod: &Value) {
    page.name(pod);
    if let Some(priority) = pod.integer("spec.priority") {
        line!(page, 0, "Priority:\t{priority}");
    }
    for (title, path) in [
        ("Priority Class Name", "spec.priorityClassName"),
        ("Runtime Class Name", "spec.runtimeClassName"),
        ("Service Account", "spec.serviceAccountName"),
    ] {
        if !pod.text(path).is_empty() {
            line!(page, 0, "{title}:\t{}", pod.text(path));
        }
    }
    match pod.text("spec.nodeName") {
        "" => line!(page, 0, "Node:\t<none>"),
        node => line!(page, 0, "Node:\t{node}/{}", pod.text("status.hostIP")),
    }
    if pod.has("status.startTime") {
        line!(page, 0, "Start Time:\t{}", date(pod.text("status.startTime")));
    }
    page.marks(pod);
    let phase = pod.text("status.phase");
    match meta::deletion_timestamp(pod) {
        Some(at) if !matches!(phase, "Failed" | "Succeeded") => {
            let lasts = page.since(at);
            line!(page, 0, "Status:\tTerminating (lasts {lasts})");
            line!(
                page,
                0,
                "Termination Grace Period:\t{}s",
                number(pod, "metadata.deletionGracePeriodSeconds")
            );
        }
        _ => line!(page, 0, "Status:\t{phase}"),
    }
    for (title, path) in [("Reason", "status.reason"), ("Message", "status.message")] {
        if !pod.text(path).is_empty() {
            line!(page, 0, "{title}:\t{}", pod.text(path));
        }
    }
    seccomp(page, pod.at("spec.securityContext.seccompProfile"), 0, 0);
    line!(page, 0, "IP:\t{}", pod.text("status.podIP"));
    if pod.items("status.podIPs").is_empty() {
        line!(page, 0, "IPs:\t<none>");
    } else {
        line!(page, 0, "IPs:");
        for address in pod.items("status.podIPs") {
            line!(page, 1, "IP:\t{}", address.text("ip"));
        }
    }
    if let Some(owner) = meta::controller_of(pod) {
        line!(page, 0, "Controlled By:\t{}/{}", owner.text("kind"), owner.text("name"));
    }
    if !pod.text("status.nominatedNodeName").is_empty() {
        line!(page, 0, "NominatedNodeName:\t{}", pod.text("status.nominatedNodeName"));
    }
    if pod.has("spec.resources") {
        line!(page, 0, "Resources:");
        resources(page, pod.at("spec.resources"), 1);
    }
    if !pod.items("spec.initContainers").is_empty() {
        containers(
            page,
            "Init Containers",
            pod.items("spec.initContainers"),
            pod.items("status.initContainerStatuses"),
            Some(pod),
            "",
        );
    }
    containers(
        page,
        "Containers",
        pod.items("spec.containers"),
        pod.items("status.containerStatuses"),
        Some(pod),
        "",
    );
    if !pod.items("spec.ephemeralContainers").is_empty() {
        containers(
            page,
            "Ephemeral Containers",
            pod.items("spec.ephemeralContainers"),
            pod.items("status.ephemeralContainerStatuses"),
            Some(pod),
            "",
        );
    }
    let gates = pod.items("spec.readinessGates");
    if !gates.is_empty() {
        line!(page, 0, "Readiness Gates:");
        line!(page, 1, "Type\tStatus");
        for gate in gates {
            let kind = gate.text("conditionType");
            line!(page, 1, "{kind} \t{} ", or_none(meta::condition_status(pod, kind)));
        }
    }
    if !pod.items("status.conditions").is_empty() {
        line!(page, 0, "Conditions:");
        line!(page, 1, "Type\tStatus");
        for condition in pod.items("status.conditions") {
            line!(page, 1, "{} \t{} ", condition.text("type"), condition.text("status"));
        }
    }
    volume::volumes(page, pod.items("spec.volumes"), "");
    line!(page, 0, "QoS Class:\t{}", quality(pod));
    page.pairs("Node-Selectors", pod.map("spec.nodeSelector"));
    page.tolerations("Tolerations", pod.items("spec.tolerations"));
    spread(page, pod.items("spec.topologySpreadConstraints"), "");
}

/// The quality of service, which the status carries once the pod was accepted.
fn quality(pod: &Value) -> &str {
    match pod.text("status.qosClass") {
        "" => "BestEffort",
        class => class,
    }
}

fn seccomp(page: &mut Page, profile: &Value, level: usize, local_level: usize) {
    if profile.is_null() {
        return;
    }
    line!(page, level, "SeccompProfile:\t{}", profile.text("type"));
    if profile.text("type") == "Localhost" {
        line!(page, local_level, "LocalhostProfile:\t{}", profile.text("localhostProfile"));
    }
}

pub fn template(page: &mut Page, template: &Value) {
    line!(page, 0, "Pod Template:");
    page.pairs("  Labels", template.map("metadata.labels"));
    if !template.map("metadata.annotations").is_empty() {
        page.annotations("  Annotations", template.map("metadata.annotations"));
    }
    if !template.text("spec.serviceAccountName").is_empty() {
        line!(page, 1, "Service Account:\t{}", template.text("spec.serviceAccountName"));
    }
    if !template.items("spec.initContainers").is_empty() {
        containers(page, "Init Containers", template.items("spec.initContainers"), &[], None, "  ");
    }
    containers(page, "Containers", template.items("spec.containers"), &[], None, "  ");
    volume::volumes(page, template.items("spec.volumes"), "  ");
    spread(page, template.items("spec.topologySpreadConstraints"), "  ");
    if !template.text("spec.priorityClassName").is_empty() {
        line!(page, 1, "Priority Class Name:\t{}", template.text("spec.priorityClassName"));
    }
    page.pairs("  Node-Selectors", template.map("spec.nodeSelector"));
    page.tolerations("  Tolerations", template.items("spec.tolerations"));
}

fn spread(page: &mut Page, constraints: &[Value], space: &str) {
    if constraints.is_empty() {
        return;
    }
    let mut sorted: Vec<&Value> = constraints.iter().collect();
    sorted.arrange_by_key(|constraint| constraint.text("topologyKey").to_string());
    for (index, constraint) in sorted.into_iter().enumerate() {
        let start =
            if index == 0 { format!("{space}Topology Spread Constraints:\t") } else { format!("{space}\t") };
        let selector = match constraint.has("labelSelector") {
            true => format!(" for selector {}", crate::api::selector::format(constraint.at("labelSelector"))),
            false => String::new(),
        };
        line!(
            page,
            0,
            "{start}{}:{} when max skew {} is exceeded{selector}",
            constraint.text("topologyKey"),
            constraint.text("whenUnsatisfiable"),
            number(constraint, "maxSkew")
        );
    }
}

fn containers(
    page: &mut Page,
    label: &str,
    containers: &[Value],
    statuses: &[Value],
    pod: Option<&Value>,
    space: &str,
) {
    let none = if containers.is_empty() { " <none>" } else { "" };
    line!(page, 0, "{space}{label}:{none}");
    let indent = if space.is_empty() { "" } else { " " };
    for container in containers {
        let status = statuses.iter().find(|status| status.text("name") == container.text("name"));
        line!(page, 1, "{indent}{}:", container.text("name"));
        if let Some(status) = status {
            line!(page, 2, "Container ID:\t{}", status.text("containerID"));
        }
        line!(page, 2, "Image:\t{}", container.text("image"));
        if let Some(status) = status {
            line!(page, 2, "Image ID:\t{}", status.text("imageID"));
        }
        for (title, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
            let ports = ports(container.items("ports"), field);
            let plural = if ports.contains(',') { "s" } else { "" };
            line!(page, 2, "{title}{plural}:\t{}", or_none(&ports));
        }
        seccomp(page, container.at("securityContext.seccompProfile"), 2, 3);
        for (title, field) in [("Command", "command"), ("Args", "args")] {
            if !container.items(field).is_empty() {
                line!(page, 2, "{title}:");
                for part in
                    container.items(field).iter().filter_map(Value::as_str).flat_map(|word| word.split('\n'))
                {
                    line!(page, 3, "{part}");
                }
            }
        }
        if let Some(status) = status {
            state(page, "State", status.at("state"));
            if status.has("lastState.terminated") {
                state(page, "Last State", status.at("lastState"));
            }
            line!(page, 2, "Ready:\t{}", truth(status.is_true("ready")));
            line!(page, 2, "Restart Count:\t{}", number(status, "restartCount"));
        }
        resources(page, container.at("resources"), 2);
        for (title, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if container.has(field) {
                line!(page, 2, "{title}:\t{}", probe(container.at(field)));
            }
        }
        environment(page, container, pod);
        mounts(page, container);
    }
}

fn ports(ports: &[Value], field: &str) -> String {
    let texts: Vec<String> = ports
        .iter()
        .map(|port| {
            let text = format!("{}/{}", number(port, field), port.text("protocol"));
            match port.text("name") {
                "" => text,
                name => format!("{text} ({name})"),
            }
        })
        .collect();
    texts.join(", ")
}

fn state(page: &mut Page, title: &str, state: &Value) {
    if state.has("running") {
        line!(page, 2, "{title}:\tRunning");
        line!(page, 3, "Started:\t{}", date(state.text("running.startedAt")));
    } else if state.has("terminated") {
        let ended = state.at("terminated");
        line!(page, 2, "{title}:\tTerminated");
        for (name, field) in [("Reason", "reason"), ("Message", "message")] {
            if !ended.text(field).is_empty() {
                line!(page, 3, "{name}:\t{}", ended.text(field));
            }
        }
        line!(page, 3, "Exit Code:\t{}", number(ended, "exitCode"));
        if number(ended, "signal") > 0 {
            line!(page, 3, "Signal:\t{}", number(ended, "signal"));
        }
        line!(page, 3, "Started:\t{}", date(ended.text("startedAt")));
        line!(page, 3, "Finished:\t{}", date(ended.text("finishedAt")));
    } else {
        line!(page, 2, "{title}:\tWaiting");
        if !state.text("waiting.reason").is_empty() {
            line!(page, 3, "Reason:\t{}", state.text("waiting.reason"));
        }
    }
}

pub fn resources(page: &mut Page, resources: &Value, level: usize) {
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let amounts = resources.map(field);
        if !amounts.is_empty() {
            line!(page, level, "{title}:");
        }
        for (name, amount) in amounts.iter() {
            line!(page, level + 1, "{name}:\t{}", text_of(amount));
        }
    }
}

fn probe(probe: &Value) -> String {
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number(probe, "initialDelaySeconds"),
        number(probe, "timeoutSeconds"),
        number(probe, "periodSeconds"),
        number(probe, "successThreshold"),
        number(probe, "failureThreshold")
    );
    if probe.has("exec") {
        return format!("exec {} {attributes}", go_list(probe, "exec.command"));
    }
    if probe.has("httpGet") {
        let (scheme, host) = (probe.text("httpGet.scheme").to_ascii_lowercase(), probe.text("httpGet.host"));
        let (port, path) = (text_of(probe.at("httpGet.port")), probe.text("httpGet.path"));
        return format!("http-get {scheme}://{host}:{port}{path} {attributes}");
    }
    if probe.has("tcpSocket") {
        return format!(
            "tcp-socket {}:{} {attributes}",
            probe.text("tcpSocket.host"),
            text_of(probe.at("tcpSocket.port"))
        );
    }
    if probe.has("grpc") {
        return format!(
            "grpc <pod>:{} {} {attributes}",
            number(probe, "grpc.port"),
            probe.text("grpc.service")
        );
    }
    format!("unknown {attributes}")
}

fn environment(page: &mut Page, container: &Value, pod: Option<&Value>) {
    if !container.items("envFrom").is_empty() {
        line!(page, 2, "Environment Variables from:");
        for source in container.items("envFrom") {
            let (kind, reference) = match source.has("configMapRef") {
                true => ("ConfigMap", source.at("configMapRef")),
                false => ("Secret", source.at("secretRef")),
            };
            let prefix = match source.text("prefix") {
                "" => String::new(),
                prefix => format!(" with prefix '{prefix}'"),
            };
            line!(
                page,
                3,
                "{}\t{kind}{prefix}\tOptional: {}",
                reference.text("name"),
                reference.is_true("optional")
            );
        }
    }
    let variables = container.items("env");
    line!(page, 2, "Environment:{}", if variables.is_empty() { "\t<none>" } else { "" });
    for variable in variables {
        let name = variable.text("name");
        let from = variable.at("valueFrom");
        if from.is_null() {
            for (index, part) in variable.text("value").split('\n').enumerate() {
                match index {
                    0 => line!(page, 3, "{name}:\t{part}"),
                    _ => line!(page, 3, "\t{part}"),
                }
            }
        } else if from.has("fieldRef") {
            let path = from.text("fieldRef.fieldPath");
            let value = pod.map_or(String::new(), |pod| field_of(pod, path));
            line!(page, 3, "{name}:\t{value} ({}:{path})", from.text("fieldRef.apiVersion"));
        } else if from.has("resourceFieldRef") {
            let resource = from.text("resourceFieldRef.resource");
            let value = resource_of(container, resource, from.at("resourceFieldRef.divisor"));
            line!(page, 3, "{name}:\t{value} ({resource})");
        } else if from.has("secretKeyRef") {
            let reference = from.at("secretKeyRef");
            line!(
                page,
                3,
                "{name}:\t<set to the key '{}' in secret '{}'>\tOptional: {}",
                reference.text("key"),
                reference.text("name"),
                reference.is_true("optional")
            );
        } else if from.has("configMapKeyRef") {
            let reference = from.at("configMapKeyRef");
            line!(
                page,
                3,
                "{name}:\t<set to the key '{}' of config map '{}'>\tOptional: {}",
                reference.text("key"),
                reference.text("name"),
                reference.is_true("optional")
            );
        }
    }
}

/// A field of the pod, as the downward API names it.
fn field_of(pod: &Value, path: &str) -> String {
    if let Some((map, rest)) = path.split_once('[') {
        let key = rest.trim_matches(['\'', ']', '"']);
        return pod.map(map).get(key).map_or(String::new(), text_of);
    }
    match pod.at(path) {
        Value::Null => String::new(),
        value => text_of(value),
    }
}

fn resource_of(container: &Value, resource: &str, divisor: &Value) -> String {
    let Some((kind, name)) = resource.split_once('.') else { return String::new() };
    let amount = container
        .map(&format!("resources.{kind}"))
        .get(name)
        .and_then(crate::api::quantity::Quantity::from_value);
    let Some(amount) = amount else {
        return if kind == "limits" && matches!(name, "cpu" | "memory") {
            "node allocatable".into()
        } else {
            "0".into()
        };
    };
    let divisor =
        crate::api::quantity::Quantity::from_value(divisor).filter(|divisor| divisor.milli_value() > 0);
    let millis = divisor.map_or(1000, |divisor| divisor.milli_value());
    ((amount.milli_value() + millis - 1) / millis).to_string()
}

fn mounts(page: &mut Page, container: &Value) {
    let mut mounts: Vec<&Value> = container.items("volumeMounts").iter().collect();
    mounts.arrange_by_key(|mount| mount.text("mountPath").to_string());
    line!(page, 2, "Mounts:{}", if mounts.is_empty() { "\t<none>" } else { "" });
    for mount in mounts {
        let mut flags = if mount.is_true("readOnly") { "ro" } else { "rw" }.to_string();
        if !mount.text("subPath").is_empty() {
            flags += &format!(",path={:?}", mount.text("subPath"));
        }
        line!(page, 3, "{} from {} ({flags})", mount.text("mountPath"), mount.text("name"));
    }
    if !container.items("volumeDevices").is_empty() {
        line!(page, 2, "Devices:");
        for device in container.items("volumeDevices") {
            line!(page, 3, "{} from {}", device.text("devicePath"), device.text("name"));
        }
    }
}
