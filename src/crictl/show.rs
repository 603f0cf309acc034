//! What `crictl` prints: tables, and the documents of `inspect`.
//!
//! Picture to hold in mind: the card index of a storehouse, short as a list, long as a card.
//!
//! Tables are Go's `text/tabwriter` with cells at least 20 wide; ages and sizes are docker/go-units'.

use crate::api::{Map, Text, Value, time};
use crate::arrange::Gather;
use crate::kubectl::print::go_json;
use crate::kubectl::tab_writer::{Style, align};
use crate::message::cri::{ContainerState, ContainerStatus, Image, SandboxStatus};
use crate::object;
use crate::sim::Time;

/// Columns as wide as their widest cell and 3 blanks, at least 20.
pub fn table(text: &str) -> String {
    align(text, Style { minimum: 20, padding: 3 })
}

/// `json.Indent` with two blanks.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    for line in go_json(value).lines() {
        let rest = line.trim_start_matches(' ');
        text.extend(std::iter::repeat_n(' ', (line.len() - rest.len()) / 2));
        text += rest;
        text.push('\n');
    }
    text
}

/// The first 13 letters of an identity.
pub fn truncated(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}

/// `units.HumanDuration`, and `ago`.
pub fn ago(then: Time, now: Time) -> String {
    let seconds = now.since(then).as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    let many = |count: u64, unit: &str| format!("{count} {unit} ago");
    match seconds {
        0 => "Less than a second ago".into(),
        1 => "1 second ago".into(),
        2..60 => many(seconds, "seconds"),
        60..120 => "About a minute ago".into(),
        120..3600 => many(minutes, "minutes"),
        _ if hours == 1 => "About an hour ago".into(),
        _ if hours < 48 => many(hours, "hours"),
        _ if hours < 24 * 14 => many(hours / 24, "days"),
        _ if hours < 24 * 60 => many(hours / 24 / 7, "weeks"),
        _ if hours < 24 * 365 * 2 => many(hours / 24 / 30, "months"),
        _ => many(hours / 24 / 365, "years"),
    }
}

/// `units.HumanSizeWithPrecision` with three digits: `73.1MB`.
pub fn human_size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut scale, mut unit) = (1u64, 0);
    while bytes / scale >= 1000 && unit + 1 < units.len() {
        (scale, unit) = (scale * 1000, unit + 1);
    }
    // Thousandths of the unit, to three digits in all.
    let thousandths = (bytes as u128 * 1000 / scale as u128) as u64;
    let step = match thousandths {
        0..10_000 => 10,
        10_000..100_000 => 100,
        _ => 1000,
    };
    let rounded = (thousandths + step / 2) / step * step;
    let fraction = format!("{:03}", rounded % 1000);
    match fraction.trim_end_matches('0') {
        "" => format!("{}{}", rounded / 1000, units[unit]),
        digits => format!("{}.{digits}{}", rounded / 1000, units[unit]),
    }
}

pub fn state(state: &ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "Created",
        ContainerState::Running { .. } => "Running",
        ContainerState::Exited { .. } => "Exited",
    }
}

/// `sha256:...`
pub fn image_id(image: &Image) -> &str {
    image.id.rsplit('@').next().unwrap_or(&image.id)
}
pub fn image_columns(image: &Image) -> (&str, &str) {
    let name = image.reference.split('@').next().unwrap_or("");
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (name, "<none>"),
    }
}
pub fn image(image: &Image) -> Value {
    object! {
        "id" => image_id(image),
        "repoDigests" => Value::array([Value::from(image.id.as_str())]),
        "repoTags" => Value::array([Value::from(image.reference.as_str())]),
        "size" => image.size_bytes.to_string(),
    }
}

fn stamp(time: Time) -> Text {
    arcstr::format!("{}000Z", time::micro_time(time).trim_end_matches('Z'))
}

fn labels(pod: &SandboxStatus, container: Option<&Text>) -> Value {
    let config = &pod.config;
    let mut labels = Map::new();
    if let Some(name) = container {
        labels.insert("io.kubernetes.container.name", name);
    }
    labels.insert("io.kubernetes.pod.name", &config.name);
    labels.insert("io.kubernetes.pod.namespace", &config.namespace);
    labels.insert("io.kubernetes.pod.uid", &config.uid);
    Value::from(labels)
}

/// A container's status, or with less of it the line of a list.
pub fn container(pod: &SandboxStatus, one: &ContainerStatus, is_whole: bool) -> Value {
    let image_id = one.image_id.rsplit('@').next().unwrap_or("").to_string();
    let name = match &one.state {
        ContainerState::Created => "CONTAINER_CREATED",
        ContainerState::Running { .. } => "CONTAINER_RUNNING",
        ContainerState::Exited { .. } => "CONTAINER_EXITED",
    };
    let mut card = object! {
        "annotations" => Value::object(),
        "id" => one.id.clone(),
        "image" => object! { "image" => if is_whole { one.image.to_string() } else { image_id.clone() } },
        "imageId" => image_id,
        "imageRef" => one.image_id.clone(),
        "labels" => labels(pod, Some(&one.name)),
        "metadata" => object! { "attempt" => one.attempt, "name" => one.name.clone() },
        "state" => name,
    };
    if !is_whole {
        card.set("createdAt", one.created_at_ns());
        card.set("podSandboxId", pod.id.clone());
        return card;
    }
    card.set("createdAt", stamp(one.created_at));
    let never = "0001-01-01T00:00:00Z";
    let (mut started, mut finished) = (Text::from(never), Text::from(never));
    match &one.state {
        ContainerState::Created => {}
        ContainerState::Running { started_at } => started = stamp(*started_at),
        ContainerState::Exited { started_at, finished_at, exit_code, reason, message } => {
            (started, finished) = (stamp(*started_at), stamp(*finished_at));
            card.set("reason", reason.clone());
            card.set("message", message.clone());
            card.set("exitCode", *exit_code);
        }
    }
    card.set("startedAt", started);
    card.set("finishedAt", finished);
    let config = &pod.config;
    card.set(
        "logPath",
        format!(
            "/var/log/pods/{}_{}_{}/{}/{}.log",
            config.namespace, config.name, config.uid, one.name, one.attempt
        ),
    );
    card
}

/// A sandbox's status, or the line of a list.
pub fn sandbox(pod: &SandboxStatus, is_whole: bool) -> Value {
    let config = &pod.config;
    let mut card = object! {
        "annotations" => Some(config.annotations.clone()).filter(|all| !all.is_null()).unwrap_or_else(Value::object),
        "id" => pod.id.clone(),
        "labels" => labels(pod, None),
        "metadata" => object! {
            "attempt" => config.attempt, "name" => config.name.clone(), "namespace" => config.namespace.clone(),
            "uid" => config.uid.clone(),
        },
        "state" => if pod.ready { "SANDBOX_READY" } else { "SANDBOX_NOTREADY" },
    };
    if !is_whole {
        card.set("createdAt", (time::unix_us(pod.created_at) * 1000).to_string());
        card.set("runtimeHandler", "");
        return card;
    }
    card.set("createdAt", stamp(pod.created_at));
    let mode = if config.host_network { "NODE" } else { "POD" };
    let options = object! {
        "ipc" => if config.host_ipc { "NODE" } else { "POD" },
        "network" => mode,
        "pid" => if config.share_process_namespace { "POD" } else { "CONTAINER" },
    };
    card.set("linux", object! { "namespaces" => object! { "options" => options } });
    let mut network = object! { "additionalIps" => Value::array([]), "ip" => "" };
    if let Some((first, more)) = pod.ips.split_first() {
        network.set("ip", first.clone());
        let more: Vec<Value> = more.iter().map(|ip| object! { "ip" => ip.clone() }).gather();
        network.set("additionalIps", Value::from(more));
    }
    card.set("network", network);
    card
}

impl ContainerStatus {
    fn created_at_ns(&self) -> String {
        (time::unix_us(self.created_at) * 1000).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_read_as_dockers() {
        for (bytes, expected) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (73_145_000, "73.1MB"),
            (318_731, "319kB"),
            (1_234_567_890, "1.23GB"),
        ] {
            assert_eq!(human_size(bytes), expected);
        }
        for (seconds, expected) in [
            (0, "Less than a second ago"),
            (59, "59 seconds ago"),
            (61, "About a minute ago"),
            (600, "10 minutes ago"),
            (3600, "About an hour ago"),
            (7300, "2 hours ago"),
            (86_400 * 3, "3 days ago"),
        ] {
            assert_eq!(ago(Time::ZERO, Time::from_secs(seconds)), expected);
        }
    }
}
