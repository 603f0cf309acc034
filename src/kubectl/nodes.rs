//! `kubectl cordon`, `uncordon` and `drain`.
//!
//! Picture to hold in mind: a road worker: first the barrier, then the cars are led away one by one, and the worker
//! waits until the last has gone.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/drain` and `pkg/drain`.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::api::{Value, meta, time};
use crate::client::request;
use crate::message::rest::PatchType;
use crate::object;
use crate::sim::Duration;
use crate::sorted::SortedMap;

use super::apply::delete_options;
use super::builder::{Info, Rules};
use super::change::patch_request;
use super::failure::{Failure, Outcome, Stop, fail, misused};
use super::session::{Chosen, DryRun, Session};

pub const CORDON_FLAGS: &[&str] = &["dry-run", "selector"];
pub const DRAIN_FLAGS: &[&str] = &[
    "chunk-size",
    "delete-emptydir-data",
    "disable-eviction",
    "dry-run",
    "force",
    "grace-period",
    "ignore-daemonsets",
    "pod-selector",
    "selector",
    "skip-wait-for-delete-timeout",
    "timeout",
];
/// How long `drain` waits after a refusal by a disruption budget.
const RETRY: Duration = Duration::from_secs(5);

fn nodes(session: &mut Session) -> Outcome<Arc<Chosen>> {
    let operands = session.operands().to_vec();
    let has_selector = !session.flags.text("selector").is_empty();
    if operands.is_empty() && !has_selector {
        let (name, command) = (session.command.replace("kubectl ", ""), session.command.clone());
        return misused(&command, &["USAGE: ", &name, " NODE [flags]"].concat());
    }
    if !operands.is_empty() && has_selector {
        let words = "cannot specify both a node name and a --selector option";
        return misused(&session.command, words);
    }
    let mut words = vec!["nodes".to_string()];
    words.extend(
        operands
            .iter()
            .map(|operand| operand.trim_start_matches("node/").trim_start_matches("nodes/").to_string()),
    );
    let chosen = session.settle(|session| {
        let selection = session.select(&words, Rules { all_without_selector: true, ..Rules::default() })?;
        session.fetch(selection)
    })?;
    Failure::many(chosen.1.clone())?;
    Ok(chosen)
}

pub fn cordon(session: &mut Session, wanted: bool) -> Outcome {
    let nodes = nodes(session)?;
    barrier(session, &nodes.0, wanted)
}

fn barrier(session: &mut Session, infos: &[Info], wanted: bool) -> Outcome {
    let dry_run = session.dry_run()?;
    let word = if wanted { "cordoned" } else { "uncordoned" };
    session.each(infos, (), |session, info, ()| {
        if info.object.is_true("spec.unschedulable") == wanted {
            session.println(format!("node/{} already {word}{}", info.name, dry_run.suffix()));
            return Ok(());
        }
        if dry_run != DryRun::Client {
            let value = if wanted { Value::from(true) } else { Value::Null };
            let body = object! { "spec" => object! { "unschedulable" => value } };
            let request = patch_request(session, info, PatchType::StrategicMerge, body, "kubectl")?;
            if let Err(failure) = session.attempt(request)? {
                let verb = word.trim_end_matches("ed");
                session.eprintln(format!("error: unable to {verb} node {:?}: {}", info.name, failure.text()));
                return Ok(());
            }
        }
        session.println(format!("node/{} {word}{}", info.name, dry_run.suffix()));
        Ok(())
    })
}

pub fn drain(session: &mut Session) -> Outcome {
    let nodes = nodes(session)?;
    let dry_run = session.dry_run()?;
    barrier(session, &nodes.0, true)?;
    let (fatal, pending) = session.each(
        &nodes.0,
        (Vec::new(), Vec::new()),
        |session, info, mut state: (Vec<Failure>, Vec<String>)| {
            match empty(session, info, dry_run) {
                Ok(()) => session.println(format!("node/{} drained{}", info.name, dry_run.suffix())),
                Err(Stop::Failure(failure)) => {
                    let text = failure.text();
                    session.eprintln(format!(
                        "error: unable to drain node {:?} due to error: {text}, continuing command...",
                        info.name
                    ));
                    state.0.push(failure);
                    state.1.push(info.name.clone());
                }
                Err(halt) => return Err(halt),
            }
            Ok(state)
        },
    )?;
    if !pending.is_empty() {
        session.eprintln("There are pending nodes to be drained:");
        for node in pending {
            session.eprintln(format!(" {node}"));
        }
    }
    match fatal.as_slice() {
        // The only message is printed without `error: `, as an aggregate of one aggregate is upstream.
        [Failure::Message(text)] => Err(Failure::Exact(text.clone()).into()),
        _ => Ok(Failure::many(fatal)?),
    }
}

/// What is to happen to one pod.
enum Verdict {
    Evict,
    EvictWithWarning(String),
    Skip,
    SkipWithWarning(String),
    Refuse(String),
}

fn judge(session: &mut Session, pod: &Value) -> Outcome<Verdict> {
    let flags = session.flags.clone();
    let force = flags.switch("force");
    let is_done = matches!(pod.text("status.phase"), "Succeeded" | "Failed");
    let owner = meta::controller_of(pod);
    if let Some(owner) = owner
        && owner.text("kind") == "DaemonSet"
        && !is_done
    {
        let sets = session.built_in("apps", "daemonsets").resource();
        let found = session.attempt(request::get(&sets, meta::namespace(pod), owner.text("name")))?;
        return Ok(match found {
            Err(failure) if failure.is_not_found() && force => Verdict::EvictWithWarning(failure.text()),
            Err(failure) => Verdict::Refuse(failure.text()),
            Ok(_) if flags.switch("ignore-daemonsets") => {
                Verdict::SkipWithWarning("ignoring DaemonSet-managed Pods".into())
            }
            Ok(_) => Verdict::Refuse("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".into()),
        });
    }
    if meta::annotation(pod, "kubernetes.io/config.mirror").is_some() {
        return Ok(Verdict::Skip);
    }
    if is_done {
        return Ok(Verdict::Evict);
    }
    if pod.items("spec.volumes").iter().any(|volume| volume.has("emptyDir"))
        && !flags.switch("delete-emptydir-data")
    {
        let why = "Pods with local storage (use --delete-emptydir-data to override)";
        return Ok(Verdict::Refuse(why.into()));
    }
    // Upstream keeps the last filter's word only: with a controller, nothing is said of local storage.
    Ok(match (owner.is_some(), force) {
        (true, _) => Verdict::Evict,
        (false, true) => Verdict::EvictWithWarning("deleting Pods that declare no controller".into()),
        (false, false) => Verdict::Refuse("Pods that declare no controller (use --force to override)".into()),
    })
}

fn empty(session: &mut Session, node: &Info, dry_run: DryRun) -> Outcome {
    let pods = session.built_in("", "pods");
    let selector = session.flags.text("pod-selector").to_string();
    let list = session.list(&pods, "", &selector, &format!("spec.nodeName={}", node.name), |_| {})??;
    let (mut chosen, mut refused, mut warned) =
        (Vec::new(), SortedMap::<String, Vec<String>>::new(), SortedMap::<String, Vec<String>>::new());
    for pod in list.items("items") {
        let name = format!("{}/{}", meta::namespace(pod), meta::name(pod));
        match judge(session, pod)? {
            Verdict::Evict => chosen.push(pod.clone()),
            Verdict::EvictWithWarning(why) => {
                chosen.push(pod.clone());
                warned.entry(why).or_default().push(name);
            }
            Verdict::Skip => {}
            Verdict::SkipWithWarning(why) => warned.entry(why).or_default().push(name),
            Verdict::Refuse(why) => refused.entry(why).or_default().push(name),
        }
    }
    if !refused.is_empty() {
        let failures: Vec<Failure> = refused
            .into_iter()
            .map(|(why, names)| Failure::Message(format!("cannot delete {why}: {}", names.join(", "))))
            .collect();
        Failure::many(failures)?;
    }
    let warnings: Vec<String> =
        warned.into_iter().map(|(why, names)| format!("{why}: {}", names.join(", "))).collect();
    if !warnings.is_empty() {
        session.warn(&warnings.join("; "));
    }
    if dry_run != DryRun::No {
        for pod in &chosen {
            let suffix = dry_run.suffix();
            session.println(format!("evicting pod {}/{}{suffix}", meta::namespace(pod), meta::name(pod)));
        }
        return Ok(());
    }
    if chosen.is_empty() {
        return Ok(());
    }
    evict(session, chosen)
}

/// Evicts pods at once, and waits for them together; who is refused by a budget is asked again.
fn evict(session: &mut Session, pods: Vec<Value>) -> Outcome {
    let resource = session.built_in("", "pods").resource();
    let evicts = !session.flags.switch("disable-eviction");
    let grace = session.flags.number("grace-period").filter(|seconds| *seconds >= 0);
    let timeout_us = session.flags.duration_us("timeout").unwrap_or(0).max(0) as u64;
    let started = session.now();
    let word = if evicts { "evicted" } else { "deleted" };
    // Not yet asked, and asked but still there.
    let state = (pods, Vec::<Value>::new(), Vec::<Failure>::new());
    let (_, _, failures) = session.fold(state, |session, (waiting, mut going, mut failures)| {
        let now = session.now();
        if timeout_us > 0
            && now.since(started).as_micros() >= timeout_us
            && !(waiting.is_empty() && going.is_empty())
        {
            return fail("drain did not complete within the given timeout: global timeout reached");
        }
        if !waiting.is_empty() {
            let mut requests = Vec::new();
            for pod in &waiting {
                let (namespace, name) = (meta::namespace(pod), meta::name(pod));
                if evicts {
                    session.println(format!("evicting pod {namespace}/{name}"));
                    let body = object! {
                        "apiVersion" => "policy/v1", "kind" => "Eviction",
                        "metadata" => object! { "name" => name, "namespace" => namespace },
                        "deleteOptions" => match grace {
                            Some(seconds) => object! { "gracePeriodSeconds" => seconds },
                            None => Value::object(),
                        },
                    };
                    requests.push(request::create(&resource, namespace, body).subresource("eviction"));
                } else {
                    let mut delete = request::delete(&resource, namespace, name);
                    delete.body = delete_options(grace, "");
                    requests.push(delete);
                }
            }
            let answers = session.send_all(requests)?;
            let mut again = Vec::new();
            for (pod, answer) in waiting.into_iter().zip(answers) {
                let (namespace, name) = (meta::namespace(&pod).to_string(), meta::name(&pod).to_string());
                match answer {
                    Ok(_) => going.push(pod),
                    Err(failure) if failure.is_not_found() => {}
                    Err(failure) if failure.reason() == "TooManyRequests" => {
                        let text = failure.text();
                        session.eprintln(format!(
                            "error when evicting pods/{name:?} -n {namespace:?} (will retry after 5s): {text}"
                        ));
                        again.push(pod);
                    }
                    Err(failure) => failures.push(Failure::Message(format!(
                        "error when evicting pods/{name:?} -n {namespace:?}: {}",
                        failure.text()
                    ))),
                }
            }
            let still = look(session, going, word)?;
            if again.is_empty() && still.is_empty() {
                return Ok(ControlFlow::Break((again, still, failures)));
            }
            session.cli.sleep(if again.is_empty() { Duration::from_secs(1) } else { RETRY })?;
            return Ok(ControlFlow::Continue((again, still, failures)));
        }
        let still = look(session, going, word)?;
        if still.is_empty() {
            return Ok(ControlFlow::Break((Vec::new(), still, failures)));
        }
        session.cli.sleep(Duration::from_secs(1))?;
        Ok(ControlFlow::Continue((Vec::new(), still, failures)))
    })?;
    Ok(Failure::many(failures)?)
}

/// Tells which pods have gone, and hands back the others.
fn look(session: &mut Session, pods: Vec<Value>, word: &str) -> Outcome<Vec<Value>> {
    let resource = session.built_in("", "pods").resource();
    let requests =
        pods.iter().map(|pod| request::get(&resource, meta::namespace(pod), meta::name(pod))).collect();
    let answers = session.send_all(requests)?;
    let mut still = Vec::new();
    for (pod, answer) in pods.into_iter().zip(answers) {
        match answer {
            Ok(found) if meta::uid(&found) == meta::uid(&pod) => still.push(pod),
            Err(failure) if !failure.is_not_found() => return Err(failure.into()),
            _ => session.println(format!("pod/{} {word}", meta::name(&pod))),
        }
    }
    Ok(still)
}

/// The present instant as objects carry it.
pub fn timestamp(session: &mut Session) -> String {
    time::rfc3339(session.now()).to_string()
}
