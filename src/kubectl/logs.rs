//! `kubectl logs`: what containers say.
//!
//! Picture to hold in mind: a speaking tube: the API server puts the call through to the kubelet on the pod's floor.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/logs`. A followed log is read again every second of simulated time.

use std::ops::ControlFlow;

use crate::api::{Text, Value, meta, selector};
use crate::arrange::Arrange;
use crate::client::request;
use crate::message::rest::Request;
use crate::sim::Duration;

use super::attach;
use super::builder::Info;
use super::delete::{Manner, delete_request};
use super::failure::{Failure, Outcome, Stop, fail, misused};
use super::session::{DryRun, Mapping, Session};

pub const FLAGS: &[&str] = &[
    "all-containers",
    "all-pods",
    "container",
    "f=follow",
    "ignore-errors",
    "insecure-skip-tls-verify-backend",
    "limit-bytes",
    "max-log-requests",
    "pod-running-timeout",
    "prefix",
    "p=previous",
    "selector",
    "since",
    "since-time",
    "tail",
    "timestamps",
];
/// A container whose log is wanted.
#[derive(Clone)]
pub struct Source {
    namespace: String,
    pod: String,
    pub container: String,
    prefix: String,
}

pub fn run(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let operands = session.operands().to_vec();
    let command = session.command.clone();
    let usage = |text: &str| misused(&command, text);
    let expected = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command";
    let labels = flags.text("selector").to_string();
    match (operands.len(), labels.is_empty()) {
        (0, true) => return usage(expected),
        (1.., false) => return usage("only a selector (-l) or a POD name is allowed"),
        (3.., true) => return usage(expected),
        _ => {}
    }
    let mut container = flags.text("container").to_string();
    if let Some(inline) = operands.get(1) {
        if !container.is_empty() {
            return fail("only one of -c or an inline [CONTAINER] arg is allowed");
        }
        container = inline.clone();
    }
    let time = flags.text("since-time");
    if !time.is_empty() && crate::api::time::parse_rfc3339(time).is_none() {
        return fail(format!(
            "parsing time {time:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {time:?} as \"2006\""
        ));
    }
    let since = flags.duration_us("since").unwrap_or(0);
    let tail = flags.number("tail").unwrap_or(-1);
    let problem = if !time.is_empty() && since != 0 {
        "at most one of `sinceTime` or `sinceSeconds` may be specified"
    } else if flags.switch("all-containers") && !container.is_empty() {
        &["--all-containers=true should not be specified with container name ", &container].concat()
    } else if flags.number("limit-bytes").is_some_and(|bytes| bytes < 0) {
        "--limit-bytes must be greater than 0"
    } else if since < 0 {
        "--since must be greater than 0"
    } else if tail < -1 {
        "--tail must be greater than or equal to -1"
    } else {
        ""
    };
    if !problem.is_empty() {
        // What is wrong with the object is told first.
        if let Some(operand) = operands.first() {
            object_of(session, operand, Use::Logs)?;
        }
        return fail(problem);
    }
    let pods = match operands.first() {
        Some(operand) => pods_of(session, operand, Use::Logs)?,
        None => {
            let (pods, namespace) = (session.built_in("", "pods"), session.namespace());
            session.list(&pods, &namespace, &labels, "", |_| {})??.items("items").to_vec()
        }
    };
    if pods.is_empty() {
        let namespace = session.namespace();
        session.eprintln(format!("No resources found in {namespace} namespace."));
        return Ok(());
    }
    let mut sources = Vec::new();
    for pod in &pods {
        sources.extend(sources_of(session, pod, &container)?);
    }
    let follow = flags.switch("follow");
    let most = flags.number("max-log-requests").unwrap_or(5);
    if follow && sources.len() as i64 > most {
        return fail(format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {most}, use --max-log-requests to increase the limit",
            sources.len()
        ));
    }
    let tail = if tail >= 0 {
        Some(tail)
    } else if !labels.is_empty() && !flags.is_set("tail") {
        Some(10)
    } else {
        None
    };
    if follow { follow_all(session, &sources, tail) } else { print_all(session, &sources, tail) }
}

/// What a pod is looked for, and how errors call it.
#[derive(Clone, Copy, PartialEq)]
pub enum Use {
    Logs,
    Attach,
}

/// What an operand names.
fn object_of(session: &mut Session, operand: &str, used: Use) -> Outcome<(Mapping, Value)> {
    let namespace = session.namespace();
    let (kind, name) = operand.split_once('/').unwrap_or(("pods", operand));
    let mapping = session.resource(kind)?;
    match session.attempt(request::get(&mapping.resource(), &namespace, name))? {
        Ok(object) => Ok((mapping, object)),
        Err(failure) if failure.is_not_found() && used == Use::Logs => {
            fail(format!("error from server (NotFound): {} in namespace {namespace:?}", failure.text()))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// The pods of an operand: a pod's name, or a workload's, of which one pod is chosen unless all are asked for. Waits
/// for the first as long as `--pod-running-timeout` says.
pub fn pods_of(session: &mut Session, operand: &str, used: Use) -> Outcome<Vec<Value>> {
    let namespace = session.namespace();
    let (mapping, object) = object_of(session, operand, used)?;
    let name = meta::name(&object);
    if mapping.info.kind == "Pod" {
        return Ok(vec![object]);
    }
    let labels = match mapping.info.kind.as_str() {
        "Service" if object.map("spec.selector").is_empty() => {
            Err(format!("invalid service '{name}': Service is defined without a selector"))
        }
        "ReplicationController" | "Service" => {
            Ok(selector::LabelSelector::from_map(object.map("spec.selector")).to_string())
        }
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
            Ok(selector::format(object.at("spec.selector")))
        }
        _ => Err(String::new()),
    };
    let labels = match labels {
        Ok(labels) => labels,
        Err(why) => {
            let go_type = format!("*{}.{}", mapping.version, mapping.info.kind);
            let why = if why.is_empty() { format!("selector for {go_type} not implemented") } else { why };
            let verb = if used == Use::Logs { "get the logs from" } else { "attach to" };
            return fail(format!("cannot {verb} {go_type}: {why}"));
        }
    };
    let pods = session.built_in("", "pods");
    let timeout_us = session.flags.duration_us("pod-running-timeout").unwrap_or(0).max(0) as u64;
    let deadline = session.now() + Duration(timeout_us);
    let mut found = session.fold(Vec::new(), |session, _| {
        let list = session.list(&pods, &namespace, &labels, "", |_| {})??;
        let found = list.items("items").to_vec();
        if !found.is_empty() {
            return Ok(ControlFlow::Break(found));
        }
        if session.now() + Duration::from_secs(1) > deadline {
            return fail("timed out waiting for the condition");
        }
        session.cli.sleep(Duration::from_secs(1))?;
        Ok(ControlFlow::Continue(found))
    })?;
    found.arrange_by_key(|pod| rank(pod, used));
    if used == Use::Attach {
        found.truncate(1);
    } else if !session.flags.switch("all-pods") {
        if found.len() > 1 {
            let all = found.len();
            session.eprintln(format!("Found {all} pods, using pod/{}", meta::name(&found[0])));
        }
        found.truncate(1);
    }
    Ok(found)
}

/// Which of several pods comes first (`podutils.ByLogging`, and `ActivePods` turned round): one with a node, running,
/// ready, for long; one that restarted often has more to tell; an old one.
fn rank(pod: &Value, used: Use) -> (bool, u8, bool, Text, i64, Text, Text) {
    let phase = match pod.text("status.phase") {
        "Running" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let ready = meta::condition(pod, "Ready").filter(|condition| condition.text("status") == "True");
    let statuses = pod.items("status.containerStatuses").iter();
    let restarts = statuses.filter_map(|status| status.integer("restartCount")).max().unwrap_or(0);
    (
        pod.text("spec.nodeName").is_empty(),
        phase,
        ready.is_none(),
        ready.map_or(Text::new(), |ready| ready.shared_text("lastTransitionTime")),
        if used == Use::Logs { -restarts } else { restarts },
        meta::creation_timestamp(pod).into(),
        meta::name(pod).into(),
    )
}

pub fn sources_of(session: &mut Session, pod: &Value, container: &str) -> Outcome<Vec<Source>> {
    let names = |field: &str| -> Vec<String> {
        pod.items(field).iter().map(|container| container.text("name").to_string()).collect()
    };
    let (init, apps) = (names("spec.initContainers"), names("spec.containers"));
    let name = meta::name(pod);
    let chosen: Vec<String> = if session.flags.switch("all-containers") {
        init.iter().chain(&apps).cloned().collect()
    } else if !container.is_empty() {
        let ephemeral = names("spec.ephemeralContainers");
        if !init.iter().chain(&apps).chain(&ephemeral).any(|known| known == container) {
            let all = all_containers(pod);
            return fail(format!("container {container} is not valid for pod {name} out of: {all}"));
        }
        vec![container.to_string()]
    } else {
        let preferred = meta::annotation(pod, "kubectl.kubernetes.io/default-container").filter(|name| {
            let is_there = init.iter().chain(&apps).any(|known| known == name);
            if !is_there && !name.is_empty() {
                session.eprintln(format!(
                    "Default container name {name:?} not found in pod {}",
                    meta::name(pod)
                ));
            }
            is_there
        });
        if preferred.is_none()
            && apps.len() + init.len() + pod.items("spec.ephemeralContainers").len() > 1
            && !session.flags.switch("quiet")
        {
            let all = all_containers(pod);
            let first = apps.first().cloned().unwrap_or_default();
            session.eprintln(format!("Defaulted container {first:?} out of: {all}"));
        }
        preferred.map(String::from).or(apps.first().cloned()).into_iter().collect()
    };
    let with_prefix = session.flags.switch("prefix") || session.flags.switch("all-pods");
    Ok(chosen
        .into_iter()
        .map(|container| Source {
            prefix: if with_prefix { format!("[pod/{name}/{container}] ") } else { String::new() },
            namespace: meta::namespace(pod).to_string(),
            pod: name.to_string(),
            container,
        })
        .collect())
}

/// `app, sidecar, setup (init)`.
pub fn all_containers(pod: &Value) -> String {
    let names = [("containers", ""), ("initContainers", " (init)"), ("ephemeralContainers", " (ephem)")];
    let names = names.into_iter().flat_map(|(field, mark)| {
        let containers = pod.at("spec").items(field).iter();
        containers.map(move |container| format!("{}{mark}", container.text("name")))
    });
    names.collect::<Vec<_>>().join(", ")
}

fn log_request(session: &Session, source: &Source, tail: Option<i64>) -> Request {
    let flags = &session.flags;
    let mut parameters: Vec<(Text, Text)> = vec![("container".into(), source.container.as_str().into())];
    let mut add = |name: &str, value: String| parameters.push((name.into(), value.into()));
    if flags.switch("previous") {
        add("previous", "true".into());
    }
    if flags.switch("timestamps") {
        add("timestamps", "true".into());
    }
    if let Some(tail) = tail {
        add("tailLines", tail.to_string());
    }
    if let Some(since) = flags.duration_us("since").filter(|since| *since > 0) {
        add("sinceSeconds", (since / 1_000_000).to_string());
    }
    if !flags.text("since-time").is_empty() {
        add("sinceTime", flags.text("since-time").to_string());
    }
    if let Some(bytes) = flags.number("limit-bytes").filter(|bytes| *bytes > 0) {
        add("limitBytes", bytes.to_string());
    }
    let pods = session.built_in("", "pods").resource();
    request::get(&pods, &source.namespace, &source.pod)
        .subresource("log")
        .options(|options| options.parameters = parameters)
}

fn text_of(body: &Value) -> String {
    body.as_str().map(String::from).unwrap_or_default()
}

fn prefixed(text: &str, prefix: &str) -> String {
    if prefix.is_empty() {
        text.to_string()
    } else {
        text.split_inclusive('\n').map(|line| format!("{prefix}{line}")).collect()
    }
}

fn print_all(session: &mut Session, sources: &[Source], tail: Option<i64>) -> Outcome {
    let ignores = session.flags.switch("ignore-errors");
    session.each(sources, (), |session, source, ()| {
        let request = log_request(session, source, tail);
        match session.attempt(request)? {
            Ok(body) => session.print(prefixed(&text_of(&body), &source.prefix)),
            Err(failure) if ignores => session.eprintln(format!("error: {}", failure.text())),
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    })
}

/// Reads logs again and again, and prints what is new; ends when all containers have.
fn follow_all(session: &mut Session, sources: &[Source], tail: Option<i64>) -> Outcome {
    // Lines that were passed, and whether the container still runs.
    let state: Vec<(Option<usize>, bool)> = vec![(None, true); sources.len()];
    session.fold(state, |session, mut state| {
        for (source, (seen, runs)) in sources.iter().zip(&mut state) {
            if !*runs {
                continue;
            }
            // Whether it runs is asked first: what it says last is then not missed.
            let pods = session.built_in("", "pods").resource();
            let pod = session.attempt(request::get(&pods, &source.namespace, &source.pod))?;
            *runs = pod.as_ref().is_ok_and(|pod| is_going_on(pod, &source.container));
            let request = log_request(session, source, None);
            let text = match session.attempt(request)? {
                Ok(body) => text_of(&body),
                Err(failure) if seen.is_none() => return Err(failure.into()),
                Err(_) => continue,
            };
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let start = match *seen {
                Some(seen) => seen.min(lines.len()),
                None => tail.map_or(0, |tail| lines.len().saturating_sub(tail.max(0) as usize)),
            };
            session.print(prefixed(&lines[start..].concat(), &source.prefix));
            *seen = Some(lines.len());
        }
        if state.iter().all(|(_, runs)| !runs) {
            return Ok(ControlFlow::Break(state));
        }
        session.cli.sleep(Duration::from_secs(1))?;
        Ok(ControlFlow::Continue(state))
    })?;
    Ok(())
}

fn is_going_on(pod: &Value, container: &str) -> bool {
    let statuses =
        pod.items("status.containerStatuses").iter().chain(pod.items("status.initContainerStatuses"));
    let mut own = statuses.filter(|status| status.text("name") == container);
    own.next().is_none_or(|status| !status.has("state.terminated"))
}

/// What whoever attaches to a container is told, unless `--quiet` (`pkg/cmd/attach`).
pub fn warn_of_recording(session: &mut Session) {
    if !session.flags.switch("quiet") {
        session.eprintln("All commands and output from this session will be recorded in container logs, including credentials and sensitive information passed through the command prompt.\nIf you don't see a command prompt, try pressing enter.");
    }
}

/// `kubectl run -it --rm`: shows what the pod says until it ends, or hands over what is typed, and takes it away.
pub fn follow_run(session: &mut Session, info: &Info, removes: bool) -> Outcome {
    let started = session.now();
    let resource = info.mapping.resource();
    let pod = session.fold(Value::Null, |session, _| {
        let pod = session.send(request::get(&resource, &info.namespace, &info.name))?;
        if pod.text("status.phase") != "Pending" {
            return Ok(ControlFlow::Break(pod));
        }
        if session.now().since(started) >= Duration::from_secs(60) {
            return fail("timed out waiting for the condition");
        }
        session.cli.sleep(Duration::from_secs(1))?;
        Ok(ControlFlow::Continue(pod))
    })?;
    let sources = sources_of(session, &pod, &info.name)?;
    let followed = if pod.text("status.phase") == "Running" {
        let reads = session.flags.switch("stdin");
        let input = if reads { session.cli.stdin()? } else { Text::new() };
        let is_waited_for = reads && attach::waits(session, &pod, &info.name)?;
        warn_of_recording(session);
        if is_waited_for && input.is_empty() && session.flags.switch("tty") {
            // What is typed from now on comes back to this command, line by line.
            session.cli.attach();
            return Ok(());
        }
        match is_waited_for {
            true => attach::listen(session, &pod, &info.name, &input),
            false => follow_all(session, &sources, None),
        }
    } else {
        follow_all(session, &sources, None)
    };
    if let Err(Stop::Halt(halt)) = followed {
        return Err(halt.into());
    }
    let finished = finish_run(session, info, removes);
    if let Err(Stop::Halt(halt)) = finished {
        return Err(halt.into());
    }
    followed.and(finished)
}

/// A line for a pod that `kubectl run -it` has made.
pub fn type_into_run(session: &mut Session, info: &Info, removes: bool) -> Outcome {
    let pod = session.send(request::get(&info.mapping.resource(), &info.namespace, &info.name))?;
    if !attach::type_line(session, &pod, &info.name)?.leaves {
        return Ok(());
    }
    attach::reattach_message(session, &pod, &info.name);
    finish_run(session, info, removes)
}

/// The pod's container has ended, or nobody listens any longer.
fn finish_run(session: &mut Session, info: &Info, removes: bool) -> Outcome {
    let resource = info.mapping.resource();
    let mut ended = session.send(request::get(&resource, &info.namespace, &info.name))?;
    let waits = !session.flags.switch("leave-stdin-open") && session.flags.text("restart") != "Always";
    if waits {
        let started = session.now();
        ended = session.fold(ended, |session, pod| {
            let is_over = matches!(pod.text("status.phase"), "Succeeded" | "Failed");
            if is_over || session.now().since(started) >= Duration::from_secs(60) {
                return Ok(ControlFlow::Break(pod));
            }
            session.cli.sleep(Duration::from_secs(1))?;
            let pod = session.send(request::get(&resource, &info.namespace, &info.name))?;
            Ok(ControlFlow::Continue(pod))
        })?;
    }
    if removes {
        let manner = Manner { grace_period: None, propagation: "Background" };
        session.send(delete_request(info, manner, DryRun::No))?;
        session.println(format!("pod {:?} deleted from {} namespace", info.name, info.namespace));
    }
    let place = format!("pod {}/{}", info.namespace, info.name);
    match ended.text("status.phase") {
        _ if !waits => Ok(()),
        "Succeeded" => Ok(()),
        "Failed" => {
            let statuses = ended.items("status.containerStatuses");
            let state = statuses.first().map_or(Value::Null, |status| status.at("state.terminated").clone());
            match state.integer("exitCode").unwrap_or(0) {
                0 => fail(format!("{place} failed with unknown exit code")),
                code => {
                    let (reason, message) = (state.text("reason"), state.text("message"));
                    session.eprintln(format!("{place} terminated ({reason})\n{message}").trim_end());
                    Err(Failure::Silent((code & 255) as i32).into())
                }
            }
        }
        phase => fail(format!("{place} left in phase {phase}")),
    }
}
