//! `crictl`: a client of the Container Runtime Interface, for people.
//!
//! Picture to hold in mind: somebody who stands beside the foreman and gives the crane driver the same hand signals. The
//! driver obeys both; the foreman is astonished to find a wall gone, and has it put up again.
//!
//! Follows `kubernetes-sigs/cri-tools` (cmd/crictl): the columns, the words, what is sorted how. Everything is asked of
//! the engine's socket, by the calls that the kubelet uses.
//!
//! - [`show`] tables and documents

mod show;

use crate::api::{Text, Value, time, yaml};
use crate::arrange::Arrange;
use crate::message::cri::{Call, ContainerState, ContainerStatus, Reply, SandboxStatus};
use crate::object;
use crate::shell::{Cli, Halt, Main, Run};
use crate::sim::Duration;

use show::{ago, container, human_size, image_columns, sandbox, table, truncated};

pub const PROGRAM: (&str, Main) = ("crictl", main);

/// `--timeout` is two seconds for each call; what may take longer has a deadline of its own.
const PATIENCE: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(600);

const HELP: &str = "NAME:
   crictl - client for CRI

USAGE:
   crictl [global options] command [command options]

COMMANDS:
   exec        Run a command in a running container
   images      List images
   info        Display information of the container runtime
   inspect     Display the status of one or more containers
   inspecti    Return the status of one or more images
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

/// Flags that take the next word, of all commands.
const WITH_VALUE: [&str; 15] = [
    "name",
    "state",
    "pod",
    "p",
    "namespace",
    "label",
    "image",
    "last",
    "n",
    "output",
    "o",
    "tail",
    "timeout",
    "id",
    "runtime-endpoint",
];

struct Words {
    flags: Vec<(String, String)>,
    operands: Vec<String>,
}

impl Words {
    /// `until_operand`: what follows the first operand is not looked at (`exec`).
    fn read(words: &[String], until_operand: bool) -> Words {
        let (mut flags, mut operands) = (Vec::new(), Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
                operands.push(word.clone());
                if until_operand {
                    operands.extend(words.cloned());
                    break;
                }
                continue;
            };
            let flag = flag.trim_start_matches('-');
            match flag.split_once('=') {
                Some((name, value)) => flags.push((name.into(), value.into())),
                // `logs -p` takes no word, `ps -p` does.
                None if WITH_VALUE.contains(&flag) && !(until_operand && flag == "p") => {
                    let value = words.next().cloned().unwrap_or_default();
                    flags.push((flag.into(), value));
                }
                // `-it`, `-aq`.
                None if !word.starts_with("--") => {
                    flags.extend(flag.chars().map(|letter| (letter.into(), "true".into())));
                }
                None => flags.push((flag.into(), "true".into())),
            }
        }
        Words { flags, operands }
    }
    fn value(&self, names: [&str; 2]) -> &str {
        let found = self.flags.iter().rev().find(|(name, _)| names.contains(&name.as_str()));
        found.map_or("", |(_, value)| value)
    }
    fn has(&self, names: [&str; 2]) -> bool {
        self.value(names) == "true"
    }
}

fn fatal<T>(cli: &mut Cli, words: String) -> Run<T> {
    cli.fail(format!("FATA[0000] {words}"))
}

fn ask(cli: &mut Cli, call: Call, patience: Duration) -> Run<Result<Reply, Text>> {
    let result = cli.call_node("", call, patience)?;
    if let Err(error) = &result
        && error.starts_with("rpc error: code = Unavailable")
    {
        return fatal(
            cli,
            format!(
                "validate service connection: validate CRI v1 runtime API for endpoint \"unix:///run/containerd/containerd.sock\": {error}"
            ),
        );
    }
    Ok(result)
}

fn sandboxes(cli: &mut Cli) -> Run<Vec<SandboxStatus>> {
    match ask(cli, Call::ListPodSandboxes, PATIENCE)? {
        Ok(Reply::Sandboxes(mut all)) => {
            all.arrange_by_key(|one| std::cmp::Reverse(one.created_at));
            Ok(all)
        }
        Ok(_) => Ok(Vec::new()),
        Err(error) => fatal(cli, format!("list pod sandboxes: {error}")),
    }
}

/// Containers with their sandboxes, the newest first.
fn containers(all: &[SandboxStatus]) -> Vec<(&SandboxStatus, &ContainerStatus)> {
    let mut found: Vec<_> =
        all.iter().flat_map(|sandbox| sandbox.containers.iter().map(move |one| (sandbox, one))).collect();
    found.arrange_by_key(|(_, one)| std::cmp::Reverse(one.created_at));
    found
}

fn print_document(cli: &mut Cli, format: &str, document: &Value) {
    match format {
        "yaml" => cli.print(yaml::to_string(document)),
        _ => cli.print(show::document(document)),
    }
}

fn main(cli: &mut Cli) -> Run<()> {
    let all = cli.arguments();
    let mut at = 1;
    while all.get(at).is_some_and(|word| word.starts_with('-')) {
        // Of the global options those that name the socket have a value.
        at += if matches!(
            all[at].as_str(),
            "-r" | "--runtime-endpoint" | "-i" | "--image-endpoint" | "-t" | "--timeout" | "-c" | "--config"
        ) {
            2
        } else {
            1
        };
    }
    let Some(command) = all.get(at).cloned() else {
        cli.print(HELP);
        return Ok(());
    };
    let words = Words::read(&all[at + 1..], matches!(command.as_str(), "exec" | "logs"));
    match command.as_str() {
        "ps" => list_containers(cli, &words),
        "pods" => list_pods(cli, &words),
        "images" | "image" | "img" => list_images(cli, &words),
        "version" => {
            ask(cli, Call::Status, PATIENCE)?.ok();
            cli.print("Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  v2.2.1\nRuntimeApiVersion:  v1\n");
            Ok(())
        }
        "info" => match ask(cli, Call::Verbose { id: Text::new() }, PATIENCE)? {
            Ok(Reply::Information(document)) => {
                print_document(cli, words.value(["output", "o"]), &document);
                Ok(())
            }
            _ => Ok(()),
        },
        "inspect" | "inspectp" => inspect(cli, &words, command == "inspectp"),
        "inspecti" => inspect_images(cli, &words),
        "logs" => logs(cli, &words),
        "exec" => exec(cli, &words),
        "stop" | "rm" | "stopp" | "rmp" => change(cli, &command, &words),
        "stats" | "statsp" => stats(cli, &words, command == "statsp"),
        "pull" => pull(cli, &words),
        "help" | "h" => {
            cli.print(HELP);
            Ok(())
        }
        _ => fatal(cli, format!("command {command:?} not found")),
    }
}

fn list_containers(cli: &mut Cli, words: &Words) -> Run<()> {
    let all = sandboxes(cli)?;
    let now = cli.now();
    let (name, state, pod) =
        (words.value(["name", "name"]), words.value(["state", "s"]), words.value(["pod", "p"]));
    let id = words.value(["id", "id"]);
    let wants_all =
        words.has(["all", "a"]) || words.has(["latest", "l"]) || !state.is_empty() || !id.is_empty();
    let last = if words.has(["latest", "l"]) { Some(1) } else { words.value(["last", "n"]).parse().ok() };
    let found = containers(&all).into_iter().filter(|(sandbox, one)| {
        let word = show::state(&one.state);
        (wants_all || last.is_some() || word == "Running")
            && one.name.contains(name)
            && (state.is_empty() || word.eq_ignore_ascii_case(state))
            && sandbox.id.starts_with(pod)
            && one.id.starts_with(id)
    });
    let found: Vec<_> = found.take(last.unwrap_or(usize::MAX)).collect();
    if words.has(["quiet", "q"]) {
        found.iter().for_each(|(_, one)| cli.println(&one.id));
        return Ok(());
    }
    if !matches!(words.value(["output", "o"]), "" | "table") {
        let list = found.iter().map(|(sandbox, one)| container(sandbox, one, false));
        print_document(cli, words.value(["output", "o"]), &object! { "containers" => Value::array(list) });
        return Ok(());
    }
    let whole = words.has(["no-trunc", "no-trunc"]);
    let mut text = String::from("CONTAINER\tIMAGE\tCREATED\tSTATE\tNAME\tATTEMPT\tPOD ID\tPOD\tNAMESPACE\n");
    for (sandbox, one) in found {
        let image = one.image_id.rsplit("sha256:").next().unwrap_or("");
        let (id, pod, image) = match whole {
            true => (one.id.as_str(), sandbox.id.as_str(), one.image_id.as_str()),
            false => (truncated(&one.id), truncated(&sandbox.id), truncated(image)),
        };
        text += &format!(
            "{id}\t{image}\t{}\t{}\t{}\t{}\t{pod}\t{}\t{}\n",
            ago(one.created_at, now),
            show::state(&one.state),
            one.name,
            one.attempt,
            sandbox.config.name,
            sandbox.config.namespace
        );
    }
    cli.print(table(&text));
    Ok(())
}

fn list_pods(cli: &mut Cli, words: &Words) -> Run<()> {
    let all = sandboxes(cli)?;
    let now = cli.now();
    let (name, namespace) = (words.value(["name", "name"]), words.value(["namespace", "namespace"]));
    let (state, id) = (words.value(["state", "s"]), words.value(["id", "id"]));
    let last = if words.has(["latest", "l"]) { Some(1) } else { words.value(["last", "n"]).parse().ok() };
    let found = all.iter().filter(|one| {
        let word = if one.ready { "Ready" } else { "NotReady" };
        one.config.name.contains(name)
            && (namespace.is_empty() || one.config.namespace == namespace)
            && (state.is_empty() || word.eq_ignore_ascii_case(state))
            && one.id.starts_with(id)
    });
    let found: Vec<_> = found.take(last.unwrap_or(usize::MAX)).collect();
    if words.has(["quiet", "q"]) {
        found.iter().for_each(|one| cli.println(&one.id));
        return Ok(());
    }
    if !matches!(words.value(["output", "o"]), "" | "table") {
        let list = Value::array(found.iter().map(|one| sandbox(one, false)));
        print_document(cli, words.value(["output", "o"]), &object! { "items" => list });
        return Ok(());
    }
    let mut text = String::from("POD ID\tCREATED\tSTATE\tNAME\tNAMESPACE\tATTEMPT\tRUNTIME\n");
    for one in found {
        let id = if words.has(["no-trunc", "no-trunc"]) { &one.id } else { truncated(&one.id) };
        text += &format!(
            "{id}\t{}\t{}\t{}\t{}\t{}\t(default)\n",
            ago(one.created_at, now),
            if one.ready { "Ready" } else { "NotReady" },
            one.config.name,
            one.config.namespace,
            one.config.attempt
        );
    }
    cli.print(table(&text));
    Ok(())
}

fn list_images(cli: &mut Cli, words: &Words) -> Run<()> {
    let Ok(Reply::Images(mut images)) = ask(cli, Call::ListImages, PATIENCE)? else { return Ok(()) };
    images.arrange_by(|a, b| a.reference.cmp(&b.reference));
    images.retain(|image| words.operands.iter().all(|word| image.reference.contains(word.as_str())));
    if words.has(["quiet", "q"]) {
        images.iter().for_each(|image| cli.println(show::image_id(image)));
        return Ok(());
    }
    if !matches!(words.value(["output", "o"]), "" | "table") {
        let list = Value::array(images.iter().map(show::image));
        print_document(cli, words.value(["output", "o"]), &object! { "images" => list });
        return Ok(());
    }
    let mut text = String::from("IMAGE\tTAG\tIMAGE ID\tSIZE\n");
    for image in &images {
        let (name, tag) = image_columns(image);
        let id = show::image_id(image);
        let id = if words.has(["no-trunc", "no-trunc"]) {
            id
        } else {
            truncated(&id["sha256:".len().min(id.len())..])
        };
        text += &format!("{name}\t{tag}\t{id}\t{}\n", human_size(image.size_bytes));
    }
    cli.print(table(&text));
    Ok(())
}

fn inspect_images(cli: &mut Cli, words: &Words) -> Run<()> {
    let Ok(Reply::Images(images)) = ask(cli, Call::ListImages, PATIENCE)? else { return Ok(()) };
    for word in &words.operands {
        let is_it = |image: &&crate::message::cri::Image| {
            let id = show::image_id(image);
            image.reference == *word
                || image.reference.rsplit('/').next() == Some(word)
                || id == word
                || id.trim_start_matches("sha256:").starts_with(word.as_str())
        };
        match images.iter().find(is_it) {
            Some(image) => {
                print_document(
                    cli,
                    words.value(["output", "o"]),
                    &object! { "status" => show::image(image) },
                );
            }
            None => return fatal(cli, format!("no such image {word:?} present")),
        }
    }
    Ok(())
}

/// The container or sandbox whose identity begins so.
fn find<'a>(
    cli: &mut Cli,
    all: &'a [SandboxStatus],
    word: &str,
    doing: &str,
    is_pod: bool,
) -> Run<(&'a SandboxStatus, Option<&'a ContainerStatus>)> {
    let found = match is_pod {
        true => all.iter().find(|one| one.id.starts_with(word)).map(|one| (one, None)),
        false => {
            let found = containers(all).into_iter().find(|(_, one)| one.id.starts_with(word));
            found.map(|(sandbox, one)| (sandbox, Some(one)))
        }
    };
    if let Some(found) = found.filter(|_| !word.is_empty()) {
        return Ok(found);
    }
    let (what, kind) = if is_pod { ("pod sandbox", "sandbox") } else { ("container", "container") };
    fatal(
        cli,
        format!(
            "{doing} {what} {word:?}: rpc error: code = NotFound desc = an error occurred when try to find {kind} {word:?}: not found"
        ),
    )
}

fn wants_operand(cli: &mut Cli, words: &Words) -> Run<()> {
    match words.operands.is_empty() {
        true => fatal(cli, "ID cannot be empty".into()),
        false => Ok(()),
    }
}

fn inspect(cli: &mut Cli, words: &Words, is_pod: bool) -> Run<()> {
    wants_operand(cli, words)?;
    let all = sandboxes(cli)?;
    for word in &words.operands {
        let (pod, one) = find(cli, &all, word, "getting the status of the", is_pod)?;
        let (id, status) = match one {
            Some(one) => (&one.id, container(pod, one, true)),
            None => (&pod.id, sandbox(pod, true)),
        };
        let information = match ask(cli, Call::Verbose { id: id.clone() }, PATIENCE)? {
            Ok(Reply::Information(document)) => document,
            _ => Value::object(),
        };
        let document = object! { "info" => information, "status" => status };
        print_document(cli, words.value(["output", "o"]), &document);
    }
    Ok(())
}

fn logs(cli: &mut Cli, words: &Words) -> Run<()> {
    wants_operand(cli, words)?;
    let all = sandboxes(cli)?;
    let (pod, one) = find(cli, &all, &words.operands[0], "getting the status of the", false)?;
    let Some(mut wanted) = one else { return Ok(()) };
    // Flags may stand behind the identity, too.
    let behind = Words::read(&words.operands[1..], false);
    let has = |names| words.has(names) || behind.has(names);
    if has(["previous", "p"]) {
        let mut former =
            pod.containers.iter().filter(|other| other.name == wanted.name && other.attempt < wanted.attempt);
        match former.next_back() {
            Some(former) => wanted = former,
            None => return fatal(cli, format!("previous terminated container {:?} not found", wanted.name)),
        }
    }
    let tail = [words, &behind].iter().find_map(|words| words.value(["tail", "tail"]).parse().ok());
    let (with_times, follows) = (has(["timestamps", "t"]), has(["follow", "f"]));
    let container = wanted.id.clone();
    let (seen, tail) = ((crate::sim::Time::ZERO, 0usize), tail);
    // The file is looked at each second: what stands at the last instant seen is counted.
    cli.fold((seen, tail), |cli, ((time, count), tail)| {
        let call = Call::ContainerLogs { container: container.clone(), tail };
        let Ok(Reply::Logs(lines)) = ask(cli, call, PATIENCE)? else {
            return Ok(std::ops::ControlFlow::Break(((time, count), tail)));
        };
        let same = |at: crate::sim::Time| lines.iter().filter(|(other, _)| *other == at).count();
        let skip = lines.iter().filter(|(at, _)| *at < time).count() + count;
        for (at, line) in lines.iter().skip(skip) {
            if with_times {
                cli.print(time::micro_time(*at).trim_end_matches('Z'));
                cli.print("000Z ");
            }
            cli.println(line);
        }
        let last = lines.last().map_or((time, count), |(at, _)| (*at, same(*at)));
        if !follows {
            return Ok(std::ops::ControlFlow::Break((last, None)));
        }
        cli.sleep(Duration::from_secs(1))?;
        Ok(std::ops::ControlFlow::Continue((last, None)))
    })?;
    Ok(())
}

fn exec(cli: &mut Cli, words: &Words) -> Run<()> {
    wants_operand(cli, words)?;
    let all = sandboxes(cli)?;
    let (_, one) = find(cli, &all, &words.operands[0], "execing command in", false)?;
    let Some(one) = one else { return Ok(()) };
    let command: Vec<Text> =
        words.operands[1..].iter().skip_while(|word| *word == "--").map(Text::from).collect();
    if command.is_empty() {
        return fatal(cli, "execing command in container: command cannot be empty".into());
    }
    let (container, tty) = (one.id.clone(), words.has(["tty", "t"]));
    let line = cli.variable("CLUSTERARIUM_SHELL").zip(cli.variable("CLUSTERARIUM_LINE"));
    let call = match line.map(|(shell, line)| (Text::from(shell), Text::from(line))) {
        Some((shell, line)) => {
            Call::ExecLine { container: container.clone(), shell, line, is_input_over: true, tty }
        }
        None => {
            let mut input = Text::new();
            if words.has(["interactive", "i"]) {
                input = cli.stdin()?;
                if tty
                    && input.is_empty()
                    && matches!(command[0].rsplit('/').next(), Some("sh" | "bash" | "ash"))
                {
                    cli.attach();
                    return Ok(());
                }
            }
            Call::Exec { container: container.clone(), command, input, is_input_over: true, tty }
        }
    };
    match cli.run_elsewhere("", &container, call, LONG)? {
        Ok((code, leaves)) => {
            if leaves {
                cli.detach();
            }
            match code {
                0 => Ok(()),
                code => {
                    cli.eprintln(format!(
                        "FATA[0000] execing command in container: command terminated with exit code {code}"
                    ));
                    Err(Halt::Exit(1))
                }
            }
        }
        Err(error) => fatal(cli, format!("execing command in container: {error}")),
    }
}

fn change(cli: &mut Cli, command: &str, words: &Words) -> Run<()> {
    let all = sandboxes(cli)?;
    let is_pod = command.ends_with('p') && command != "stop";
    let forces = words.has(["force", "f"]);
    let mut names = words.operands.clone();
    if command.starts_with("rm") && words.has(["all", "a"]) {
        names = match is_pod {
            true => all.iter().map(|one| one.id.to_string()).collect(),
            false => containers(&all).iter().map(|(_, one)| one.id.to_string()).collect(),
        };
    } else {
        wants_operand(cli, words)?;
    }
    let doing = match command {
        "stop" | "stopp" => "stopping the",
        _ => "removing the",
    };
    for word in &names {
        let (pod, one) = find(cli, &all, word, doing, is_pod)?;
        let grace_period_seconds = words.value(["timeout", "t"]).parse().unwrap_or(0);
        let stop = match one {
            Some(one) => Call::StopContainer { container: one.id.clone(), grace_period_seconds },
            None => Call::StopPodSandbox { sandbox: pod.id.clone() },
        };
        let is_running = match one {
            Some(one) => matches!(one.state, ContainerState::Running { .. }),
            None => pod.ready,
        };
        let mut calls = Vec::new();
        if command.starts_with("stop") || (is_running && forces) {
            calls.push(stop);
        } else if is_running {
            let what = if is_pod { "sandbox" } else { "container" };
            let id = one.map_or(&pod.id, |one| &one.id);
            return fatal(cli, format!("{doing} {what} {id:?}: {what} is running, please stop it first"));
        }
        match one {
            _ if command.starts_with("stop") => {}
            Some(one) => calls.push(Call::RemoveContainer { container: one.id.clone() }),
            None => calls.push(Call::RemovePodSandbox { sandbox: pod.id.clone() }),
        }
        for call in calls {
            if let Err(error) = ask(cli, call, LONG)? {
                return fatal(cli, format!("{doing} {word:?}: {error}"));
            }
        }
        match command {
            "stopp" => cli.println(format!("Stopped sandbox {word}")),
            "rmp" => cli.println(format!("Removed sandbox {word}")),
            _ => cli.println(word),
        }
    }
    Ok(())
}

fn stats(cli: &mut Cli, words: &Words, of_pods: bool) -> Run<()> {
    let all = sandboxes(cli)?;
    let Ok(Reply::Stats(stats)) = ask(cli, Call::ListStats, PATIENCE)? else { return Ok(()) };
    let used = |one: &ContainerStatus| {
        stats.iter().find(|(id, ..)| *id == one.id).map_or((0, 0), |(_, cpu, memory)| (*cpu, *memory))
    };
    let is_wanted = |id: &str| words.operands.iter().all(|word| id.starts_with(word.as_str()));
    // Hundredths of a percent of one processor: thousandths of it, times ten.
    let percent = |milli: u64| format!("{}.{}0", milli / 10, milli % 10);
    let mut text = String::new();
    if of_pods {
        text += "POD\tPOD ID\tCPU %\tMEM\n";
        for pod in all.iter().filter(|pod| pod.ready && is_wanted(&pod.id)) {
            let sum = pod.containers.iter().map(used).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            let (name, id) = (&pod.config.name, truncated(&pod.id));
            text += &format!("{name}\t{id}\t{}\t{}\n", percent(sum.0), human_size(sum.1));
        }
    } else {
        text += "CONTAINER\tNAME\tCPU %\tMEM\tDISK\tINODES\tSWAP\n";
        for (_, one) in containers(&all) {
            let wants = words.has(["all", "a"]) || matches!(one.state, ContainerState::Running { .. });
            if wants && is_wanted(&one.id) {
                let (cpu, memory) = used(one);
                let (id, name) = (truncated(&one.id), &one.name);
                text += &format!("{id}\t{name}\t{}\t{}\t0B\t0\t0B\n", percent(cpu), human_size(memory));
            }
        }
    }
    cli.print(table(&text));
    Ok(())
}

fn pull(cli: &mut Cli, words: &Words) -> Run<()> {
    let Some(name) = words.operands.first() else { return fatal(cli, "Image name cannot be empty".into()) };
    let call = Call::PullImage { image: name.into(), pod_uid: Text::new() };
    match ask(cli, call, LONG)? {
        Ok(Reply::Image(Some(image))) => {
            cli.println(format!("Image is up to date for {}", show::image_id(&image)));
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) => fatal(cli, format!("pulling image: {error}")),
    }
}
