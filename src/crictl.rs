//! `crictl`: a client of the Container Runtime Interface, for people.
//!
//! Picture to hold in mind: somebody who stands beside the foreman and gives the crane driver the same hand signals. The
//! driver obeys both; the foreman is astonished to find a wall gone, and has it put up again.
//!
//! Follows `kubernetes-sigs/cri-tools` (cmd/crictl): the columns, the words, what is sorted how. Everything is asked of
//! the engine's socket, by the calls that the kubelet uses. Tables are Go's `text/tabwriter` with cells at least 20 wide;
//! ages and sizes are docker/go-units'.

use std::ops::ControlFlow;

use crate::api::{Text, Value, time, yaml};
use crate::arrange::Arrange;
use crate::kubectl::print::go_json;
use crate::kubectl::tab_writer::{Style, align};
use crate::message::cri::{Call, ContainerState, ContainerStatus, Image, Reply, SandboxStatus};
use crate::shell::{Cli, Halt, Main, Run};
use crate::sim::{Duration, Time};
use crate::{array, object};

pub const PROGRAM: (&str, Main) = ("crictl", main);

const PATIENCE: Duration = Duration::from_secs(600);

const HELP: &str = "NAME:
   crictl - client for CRI

USAGE:
   crictl command [command options]

COMMANDS:
   events      Stream the events of containers
   exec        Run a command in a running container
   images      List images
   info        Display information of the container runtime
   inspect     Display the status of one or more containers
   inspectp    Display the status of one or more pods
   logs        Fetch the logs of a container
   pods        List pods
   ps          List containers
   pull        Pull an image from a registry
   rm          Remove one or more containers
   rmp         Remove one or more pods
   stats       List container(s) resource usage statistics
   statsp      List pod statistics
   stop        Stop one or more running containers
   stopp       Stop one or more running pods
   version     Display runtime version information
";

/// Flags that take the next word.
const WITH_VALUE: &str = " --name --state --pod --namespace --tail --timeout --output -o -n -t ";

/// A line of a list: what a container is in, and the container; a pod alone for the pods' commands.
type Item<'a> = (&'a SandboxStatus, Option<&'a ContainerStatus>);

struct Order<'c, 'p, 'h> {
    cli: &'c mut Cli<'p, 'h>,
    command: String,
    flags: Vec<(String, String)>,
    operands: Vec<String>,
}

fn main(cli: &mut Cli) -> Run<()> {
    let words = cli.arguments();
    let command = words.get(1).map_or("help", String::as_str).to_string();
    let (mut flags, mut operands) = (Vec::new(), Vec::new());
    let mut rest = words.iter().skip(2).cloned();
    while let Some(word) = rest.next() {
        // What is run in a container has flags of its own.
        if !word.starts_with('-') || (command == "exec" && !operands.is_empty()) {
            operands.push(word);
            continue;
        }
        let mut spaced = word.clone();
        spaced.insert(0, ' ');
        spaced.push(' ');
        match word.split_once('=') {
            Some((flag, value)) => flags.push((flag.into(), value.into())),
            None if WITH_VALUE.contains(&spaced) && !(word == "-t" && command == "exec") => {
                flags.push((word, rest.next().unwrap_or_default()));
            }
            None if word.starts_with("--") => flags.push((word, String::new())),
            // `-it` are two.
            None => flags.extend(word[1..].chars().map(|letter| (format!("-{letter}"), String::new()))),
        }
    }
    let mut order = Order { cli, command, flags, operands };
    match order.command.as_str() {
        _ if !["", "table", "json", "yaml"].contains(&order.form()) => {
            let form = order.form().to_string();
            order.fatal(&["unsupported output format: ", &form])
        }
        "ps" | "pods" => order.list(),
        "images" => order.images(),
        "version" => {
            order.ask(Call::Status)?;
            order.cli.print("Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  v2.2.1\nRuntimeApiVersion:  v1\n");
            Ok(())
        }
        "info" => order.print_document(Text::new()),
        "inspect" | "inspectp" => order.inspect(),
        "events" => order.events(),
        "logs" => order.logs(),
        "exec" => order.exec(),
        "stop" | "rm" | "stopp" | "rmp" => order.change(),
        "stats" | "statsp" => order.stats(),
        "pull" => order.pull(),
        "help" | "--help" | "-h" => {
            order.cli.print(HELP);
            Ok(())
        }
        _ => order.fatal(&["command \"", &words[1], "\" not found"]),
    }
}

impl Order<'_, '_, '_> {
    fn value(&self, flag: &str) -> Option<&str> {
        self.flags.iter().find(|(name, _)| name == flag).map(|(_, value)| value.as_str())
    }
    fn has(&self, long: &str) -> bool {
        self.value(long).or(self.value(&long[1..3])).is_some()
    }
    /// `-o`: how documents are printed.
    fn form(&self) -> &str {
        self.value("--output").or(self.value("-o")).unwrap_or("")
    }
    fn wants_document(&self) -> bool {
        matches!(self.form(), "json" | "yaml")
    }
    fn fatal<T>(&mut self, words: &[&str]) -> Run<T> {
        self.cli.eprint("FATA[0000] ");
        self.cli.fail(words.concat())
    }
    fn ask(&mut self, call: Call) -> Run<Reply> {
        match self.cli.call_node("", call, PATIENCE)? {
            Ok(reply) => Ok(reply),
            Err(error) if error.contains("Unavailable") => self.fatal(&[
                "validate service connection: validate CRI v1 runtime API for endpoint \"unix:///run/containerd/containerd.sock\": ",
                &error,
            ]),
            Err(error) => self.fatal(&[&error]),
        }
    }
    /// Whether the command is about pods.
    fn is_of_pods(&self) -> bool {
        self.command.len() > 3 && self.command.ends_with('p') && self.command != "stop"
            || matches!(self.command.as_str(), "pods" | "rmp")
    }
    /// Everything that there is, the newest first.
    fn all(&mut self) -> Run<Vec<SandboxStatus>> {
        match self.ask(Call::ListPodSandboxes)? {
            Reply::Sandboxes(all) => Ok(all),
            _ => Ok(Vec::new()),
        }
    }
    fn items<'a>(&self, all: &'a [SandboxStatus]) -> Vec<Item<'a>> {
        let mut found: Vec<Item> = Vec::new();
        for pod in all {
            match self.is_of_pods() {
                true => found.push((pod, None)),
                false => found.extend(pod.containers.iter().map(|one| (pod, Some(one)))),
            }
        }
        found
            .arrange_by_key(|(pod, one)| std::cmp::Reverse(one.map_or(pod.created_at, |one| one.created_at)));
        found
    }
    fn print_table(&mut self, rows: &[Vec<String>]) {
        let text: Vec<String> = rows.iter().map(|row| row.join("\t") + "\n").collect();
        self.cli.print(align(&text.concat(), Style { minimum: 20, padding: 3 }));
    }

    fn list(&mut self) -> Run<()> {
        let all = self.all()?;
        let now = self.cli.now();
        let is_of_pods = self.is_of_pods();
        let state = self.value("--state").unwrap_or("").to_ascii_lowercase();
        let wanted = |flag: &str, text: &str| self.value(flag).is_none_or(|value| text.contains(value));
        let mut documents = Vec::new();
        let mut rows = vec![cells(match is_of_pods {
            true => &["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"],
            false => {
                &["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"]
            }
        })];
        for item in self.items(&all) {
            let (pod, word) = (item.0, state_of(item));
            let config = &pod.config;
            let is_running = is_of_pods || self.has("--all") || word == "Running" || !state.is_empty();
            let name = item.1.map_or(&config.name, |one| &one.name);
            let is_wanted = (state.is_empty() || word.eq_ignore_ascii_case(&state))
                && wanted("--name", name)
                && wanted("--pod", &pod.id)
                && wanted("--namespace", &config.namespace);
            if !is_running || !is_wanted {
                continue;
            }
            if self.wants_document() {
                documents.push(item);
                continue;
            }
            if self.has("--quiet") {
                rows.push(cells(&[id_of(item)]));
                continue;
            }
            rows.push(match item.1 {
                None => {
                    let attempt = config.attempt.to_string();
                    let age = ago(pod.created_at, now);
                    cells(&[short(&pod.id), &age, word, name, &config.namespace, &attempt, "(default)"])
                }
                Some(one) => {
                    let image = one.image_id.rsplit("sha256:").next().unwrap_or("");
                    let (attempt, age) = (one.attempt.to_string(), ago(one.created_at, now));
                    cells(&[
                        short(&one.id),
                        short(image),
                        &age,
                        word,
                        name,
                        &attempt,
                        short(&pod.id),
                        &config.name,
                        &config.namespace,
                    ])
                }
            });
        }
        if self.wants_document() {
            let mut list = Vec::new();
            for item in documents {
                list.push(self.summary(item)?);
            }
            let name = if is_of_pods { "items" } else { "containers" };
            self.print_value(&object! { name => Value::from(list) });
            return Ok(());
        }
        if self.has("--quiet") {
            rows[1..].iter().for_each(|row| self.cli.println(&row[0]));
            return Ok(());
        }
        self.print_table(&rows);
        Ok(())
    }

    fn images(&mut self) -> Run<()> {
        let Reply::Images(mut images) = self.ask(Call::ListImages)? else { return Ok(()) };
        images.arrange_by(|a, b| a.reference.cmp(&b.reference));
        if self.wants_document() {
            let document = |image: &Image| {
                object! {
                    "id" => image.id.rsplit('@').next().unwrap_or(""),
                    "pinned" => image.reference.contains("/pause:"),
                    "repoDigests" => array![],
                    "repoTags" => array![image.reference.clone()],
                    "size" => image.size_bytes.to_string(),
                }
            };
            let list: Vec<Value> = images.iter().map(document).collect();
            self.print_value(&object! { "images" => Value::from(list) });
            return Ok(());
        }
        let mut rows = vec![cells(&["IMAGE", "TAG", "IMAGE ID", "SIZE"])];
        for image in &images {
            let (name, tag) = image.reference.rsplit_once(':').unwrap_or((&image.reference, "<none>"));
            let id = image.id.rsplit("sha256:").next().unwrap_or("");
            rows.push(cells(&[name, tag, short(id), &human_size(image.size_bytes)]));
        }
        self.print_table(&rows);
        Ok(())
    }

    /// The item that an operand means.
    fn find<'a>(&mut self, all: &'a [SandboxStatus], word: &str) -> Run<Item<'a>> {
        let found = self.items(all).into_iter().find(|item| id_of(*item).starts_with(word));
        let what = if self.is_of_pods() { "sandbox" } else { "container" };
        match found.filter(|_| !word.is_empty()) {
            Some(found) => Ok(found),
            None if word.is_empty() => self.fatal(&["ID cannot be empty"]),
            None => self.fatal(&[
                "rpc error: code = NotFound desc = an error occurred when try to find ",
                what,
                " \"",
                word,
                "\": not found",
            ]),
        }
    }
    /// The items that the operands mean.
    fn found<'a>(&mut self, all: &'a [SandboxStatus]) -> Run<Vec<Item<'a>>> {
        let mut words = self.operands.clone();
        if words.is_empty() {
            words.push(String::new());
        }
        words.iter().map(|word| self.find(all, word)).collect()
    }
    fn print_document(&mut self, id: Text) -> Run<()> {
        if let Reply::Information(document) = self.ask(Call::Verbose { id })? {
            self.print_value(&document);
        }
        Ok(())
    }
    fn print_value(&mut self, document: &Value) {
        if self.form() == "yaml" {
            return self.cli.print(yaml::to_string(document));
        }
        for line in go_json(document).lines() {
            // Two blanks where kubectl has four.
            let rest = line.trim_start_matches(' ');
            self.cli.print(&line[..(line.len() - rest.len()) / 2]);
            self.cli.println(rest);
        }
    }
    /// What a list says of a container or a pod: a part of its status, with the instant in nanoseconds.
    fn summary(&mut self, item: Item) -> Run<Value> {
        let (pod, one) = item;
        let Reply::Information(document) = self.ask(Call::Verbose { id: id_of(item).clone() })? else {
            return Ok(Value::Null);
        };
        let mut found =
            object! { "createdAt" => nanoseconds(one.map_or(pod.created_at, |one| one.created_at)) };
        for field in
            ["annotations", "id", "image", "imageRef", "labels", "metadata", "runtimeHandler", "state"]
        {
            if let Some(value) = document.at("status").get(field) {
                found.set(field, value.clone());
            }
        }
        if let Some(one) = one {
            found.set("imageId", one.image_id.rsplit('@').next().unwrap_or(""));
            found.set("podSandboxId", pod.id.clone());
        }
        Ok(found)
    }
    /// What happens to containers from now on, looked at each second.
    fn events(&mut self) -> Run<()> {
        let seen = |all: &[SandboxStatus]| -> Vec<(Text, &'static str)> {
            let ones = all.iter().flat_map(|pod| pod.containers.iter().map(move |one| (pod, Some(one))));
            all.iter()
                .map(|pod| (pod, None))
                .chain(ones)
                .map(|item| (id_of(item).clone(), state_of(item)))
                .collect()
        };
        let mut known = seen(&self.all()?);
        loop {
            self.cli.sleep(Duration::from_secs(1))?;
            let now = seen(&self.all()?);
            let mut events: Vec<(Text, &str)> = Vec::new();
            for (id, state) in &now {
                let before = known.iter().find(|(other, _)| other == id).map(|(_, state)| *state);
                let is_up = matches!(*state, "Running" | "Ready");
                if before.is_none() {
                    events.push((id.clone(), "CREATED"));
                }
                if before != Some(*state) && *state != "Created" {
                    events.push((id.clone(), if is_up { "STARTED" } else { "STOPPED" }));
                }
            }
            let is_gone = |(id, _): &&(Text, &str)| now.iter().all(|(other, _)| other != id);
            events.extend(known.iter().filter(is_gone).map(|(id, _)| (id.clone(), "DELETED")));
            let created_at = nanoseconds(self.cli.now());
            for (id, kind) in events {
                self.print_value(&object! {
                    "containerEventType" => ["CONTAINER_", kind, "_EVENT"].concat(),
                    "containerId" => id,
                    "createdAt" => created_at.clone(),
                });
            }
            known = now;
        }
    }
    fn inspect(&mut self) -> Run<()> {
        let all = self.all()?;
        for item in self.found(&all)? {
            self.print_document(id_of(item).clone())?;
        }
        Ok(())
    }

    fn logs(&mut self) -> Run<()> {
        let all = self.all()?;
        let container = id_of(self.found(&all)?[0]).clone();
        let tail = self.value("--tail").and_then(|tail| tail.parse().ok());
        let follows = self.has("--follow");
        // The file is looked at each second: what was read up to an instant is counted.
        let seen = (Time::ZERO, 0usize, tail);
        let Order { cli, .. } = self;
        cli.fold(seen, |cli, (time, count, tail)| {
            let call = Call::ContainerLogs { container: container.clone(), tail };
            let Ok(Reply::Logs(lines)) = cli.call_node("", call, PATIENCE)? else {
                return Ok(ControlFlow::Break((time, count, None)));
            };
            let skip = lines.iter().filter(|(at, _)| *at < time).count() + count;
            lines.iter().skip(skip).for_each(|(_, line)| cli.println(line));
            let last = lines.last().map_or(time, |(at, _)| *at);
            let seen = (last, lines.iter().filter(|(at, _)| *at == last).count(), None);
            if !follows {
                return Ok(ControlFlow::Break(seen));
            }
            cli.sleep(Duration::from_secs(1))?;
            Ok(ControlFlow::Continue(seen))
        })?;
        Ok(())
    }

    fn exec(&mut self) -> Run<()> {
        let all = self.all()?;
        let words = self.operands.split_off(self.operands.len().min(1));
        let container = id_of(self.found(&all)?[0]).clone();
        let command: Vec<Text> = words.iter().map(Text::from).collect();
        let tty = self.has("--tty");
        let line = self.cli.variable("CLUSTERARIUM_SHELL").zip(self.cli.variable("CLUSTERARIUM_LINE"));
        let call = match line.map(|(shell, line)| (Text::from(shell), Text::from(line))) {
            Some((shell, line)) => {
                Call::ExecLine { container: container.clone(), shell, line, is_input_over: true, tty }
            }
            None => {
                let mut input = Text::new();
                if self.has("--interactive") {
                    input = self.cli.stdin()?;
                    if tty && input.is_empty() && command.len() == 1 && command[0].ends_with("sh") {
                        self.cli.attach();
                        return Ok(());
                    }
                }
                Call::Exec { container: container.clone(), command, input, is_input_over: true, tty }
            }
        };
        match self.cli.run_elsewhere("", &container, call, PATIENCE)? {
            Ok((code, leaves)) => {
                if leaves {
                    self.cli.detach();
                }
                if code == 0 {
                    return Ok(());
                }
                self.fatal(&[
                    "execing command in container: command terminated with exit code ",
                    &code.to_string(),
                ])
            }
            Err(error) => self.fatal(&["execing command in container: ", &error]),
        }
    }

    fn change(&mut self) -> Run<()> {
        let all = self.all()?;
        let stops = self.command.starts_with("stop");
        let items = if !stops && self.has("--all") { self.items(&all) } else { self.found(&all)? };
        let grace_period_seconds =
            self.value("-t").or(self.value("--timeout")).and_then(|text| text.parse().ok()).unwrap_or(0);
        for item in items {
            let (id, is_running) = (id_of(item).clone(), matches!(state_of(item), "Running" | "Ready"));
            let what = if item.1.is_some() { "container" } else { "sandbox" };
            if !stops && is_running && !self.has("--force") {
                return self.fatal(&[
                    "removing the ",
                    what,
                    " \"",
                    &id,
                    "\": ",
                    what,
                    " is running, please stop it first",
                ]);
            }
            if stops || is_running {
                self.ask(match item.1 {
                    Some(_) => Call::StopContainer { container: id.clone(), grace_period_seconds },
                    None => Call::StopPodSandbox { sandbox: id.clone() },
                })?;
            }
            if !stops {
                self.ask(match item.1 {
                    Some(_) => Call::RemoveContainer { container: id.clone() },
                    None => Call::RemovePodSandbox { sandbox: id.clone() },
                })?;
            }
            let verb = match (item.1, stops) {
                (Some(_), _) => "",
                (None, true) => "Stopped sandbox ",
                (None, false) => "Removed sandbox ",
            };
            self.cli.print(verb);
            self.cli.println(id);
        }
        Ok(())
    }

    fn stats(&mut self) -> Run<()> {
        let all = self.all()?;
        let Reply::Stats(stats) = self.ask(Call::ListStats)? else { return Ok(()) };
        let mut documents: Vec<Value> = Vec::new();
        let mut rows = vec![cells(match self.is_of_pods() {
            true => &["POD", "POD ID", "CPU %", "MEM"],
            false => &["CONTAINER", "NAME", "CPU %", "MEM", "DISK", "INODES", "SWAP"],
        })];
        for item in self.items(&all).into_iter().filter(|item| matches!(state_of(*item), "Running" | "Ready"))
        {
            let (mut cpu, mut memory) = (0, 0);
            for (id, own_cpu, own_memory) in &stats {
                let is_its = match item.1 {
                    Some(one) => one.id == *id,
                    None => item.0.containers.iter().any(|one| one.id == *id),
                };
                if is_its {
                    (cpu, memory) = (cpu + own_cpu, memory + own_memory);
                }
            }
            if self.wants_document() {
                let name = item.1.map_or(&item.0.config.name, |one| &one.name).clone();
                let timestamp = nanoseconds(self.cli.now());
                let usage = |field: &'static str, value: u64| {
                    object! { "timestamp" => timestamp.clone(), field => object! { "value" => value.to_string() } }
                };
                documents.push(object! {
                    "attributes" => object! { "id" => id_of(item).clone(), "metadata" => object! { "name" => name } },
                    "cpu" => usage("usageNanoCores", cpu * 1_000_000),
                    "memory" => usage("workingSetBytes", memory),
                });
                continue;
            }
            // Hundredths of a percent of one processor: thousandths of it, times ten.
            let percent = format!("{}.{}0", cpu / 10, cpu % 10);
            let (id, memory) = (short(id_of(item)), human_size(memory));
            rows.push(match item.1 {
                Some(one) => cells(&[id, &one.name, &percent, &memory, "0B", "0", "0B"]),
                None => cells(&[&item.0.config.name, id, &percent, &memory]),
            });
        }
        if self.wants_document() {
            self.print_value(&object! { "stats" => Value::from(documents) });
            return Ok(());
        }
        self.print_table(&rows);
        Ok(())
    }

    fn pull(&mut self) -> Run<()> {
        let image = self.operands.first().map(Text::from).unwrap_or_default();
        if let Reply::Image(Some(image)) = self.ask(Call::PullImage { image, pod_uid: Text::new() })? {
            self.cli.print("Image is up to date for ");
            self.cli.println(image.id.rsplit('@').next().unwrap_or(""));
            return Ok(());
        }
        Err(Halt::Exit(1))
    }
}

fn nanoseconds(instant: Time) -> String {
    format!("{}000", time::unix_us(instant))
}
fn cells(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| cell.to_string()).collect()
}
fn id_of<'a>((pod, one): Item<'a>) -> &'a Text {
    one.map_or(&pod.id, |one| &one.id)
}
fn state_of((pod, one): Item) -> &'static str {
    match one.map(|one| &one.state) {
        None if pod.ready => "Ready",
        None => "NotReady",
        Some(ContainerState::Created) => "Created",
        Some(ContainerState::Running { .. }) => "Running",
        Some(ContainerState::Exited { .. }) => "Exited",
    }
}
/// The first 13 letters of an identity.
fn short(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}

/// `units.HumanDuration`, and `ago`.
fn ago(then: Time, now: Time) -> String {
    let seconds = now.since(then).as_secs();
    let hours = (seconds + 1800) / 3600;
    let (count, unit) = match seconds {
        0 => return "Less than a second ago".into(),
        1 => (1, " second"),
        2..60 => (seconds, " seconds"),
        60..120 => return "About a minute ago".into(),
        120..3600 => (seconds / 60, " minutes"),
        _ if hours == 1 => return "About an hour ago".into(),
        _ if hours < 48 => (hours, " hours"),
        _ if hours < 24 * 14 => (hours / 24, " days"),
        _ => (hours / 24 / 7, " weeks"),
    };
    count.to_string() + unit + " ago"
}

/// `units.HumanSizeWithPrecision` with three digits: `73.1MB`.
fn human_size(bytes: u64) -> String {
    let (mut scale, mut units) = (1, ["B", "kB", "MB", "GB", "TB"].into_iter());
    let mut unit = units.next().unwrap_or("");
    while bytes / scale >= 1000
        && let Some(next) = units.next()
    {
        (scale, unit) = (scale * 1000, next);
    }
    // Thousandths of the unit, to three digits in all.
    let thousandths = bytes / scale * 1000 + bytes % scale * 1000 / scale;
    let step = if thousandths < 10_000 {
        10
    } else if thousandths < 100_000 {
        100
    } else {
        1000
    };
    let rounded = (thousandths + step / 2) / step * step;
    let text = format!("{}.{:03}", rounded / 1000, rounded % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_string() + unit
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
