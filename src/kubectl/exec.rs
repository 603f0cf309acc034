//! `kubectl exec`: a command inside of a container.
//!
//! Picture to hold in mind: a speaking tube: the API server puts the call through to the kubelet on the pod's floor.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/exec`.

use crate::api::{Text, Value, meta};
use crate::client::request;
use crate::message::rest::{Request, Verb};

use super::failure::{Failure, Outcome, fail};
use super::logs::{Use, pods_of, sources_of};
use super::session::Session;

pub const FLAGS: &[&str] =
    &["container", "filename", "kustomize", "pod-running-timeout@1m0s", "q=quiet", "i=stdin", "t=tty"];

pub fn run(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let operands = session.operands().to_vec();
    let command = session.command.clone();
    let usage = |text: &str| {
        Err(Failure::Exact(format!("error: {text}\nSee '{command} -h' for help and examples")).into())
    };
    let Some(name) = operands.first() else {
        return fail("pod, type/name or --filename must be specified");
    };
    let words = match &flags.after_dashes {
        Some(words) => words.clone(),
        None if operands.len() > 1 => {
            return usage(
                "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead",
            );
        }
        None => Vec::new(),
    };
    if words.is_empty() {
        return fail("you must specify at least one command for the container");
    }
    let namespace = session.namespace();
    let pod = if name.contains('/') {
        match pods_of(session, name, Use::Attach)?.into_iter().next() {
            Some(pod) => pod,
            None => return fail("timed out waiting for the condition"),
        }
    } else {
        let pods = session.built_in("", "pods").resource();
        session.send(request::get(&pods, &namespace, name))?
    };
    let phase = pod.text("status.phase");
    if matches!(phase, "Succeeded" | "Failed") {
        return fail(format!("cannot exec into a container in a completed pod; current phase is {phase}"));
    }
    let wanted = flags.text("container");
    let known = ["containers", "initContainers", "ephemeralContainers"];
    let has = |field: &&str| pod.at("spec").items(field).iter().any(|own| own.text("name") == wanted);
    if !wanted.is_empty() && !known.iter().any(has) {
        return fail(format!("container {wanted} not found in pod {}", meta::name(&pod)));
    }
    let source = sources_of(session, &pod, wanted)?.into_iter().next();
    let container = source.map_or(String::new(), |source| source.container);
    let is_shell = matches!(words[0].rsplit('/').next(), Some("bash" | "sh" | "ash"));
    if flags.switch("tty") && is_shell && words.len() == 1 {
        return fail(
            "there is no interactive terminal inside of a simulated container: give a command, as in -- sh -c 'COMMAND'",
        );
    }
    let ran = execute(session, &pod, &container, &words)?;
    session.print(ran.stdout);
    session.cli.eprint(ran.stderr);
    match ran.code {
        0 => Ok(()),
        code => {
            session.eprintln(format!("command terminated with exit code {code}"));
            Err(Failure::Silent((code & 255) as i32).into())
        }
    }
}

/// What a command in a container said, and how it ended.
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: i64,
}

/// Runs a command in a container of `pod`.
pub fn execute(session: &mut Session, pod: &Value, container: &str, words: &[String]) -> Outcome<Ran> {
    let mut parameters: Vec<(Text, Text)> = vec![("container".into(), container.into())];
    parameters.extend(words.iter().map(|word| (Text::from("command"), Text::from(word.as_str()))));
    parameters.push(("stdout".into(), "true".into()));
    parameters.push(("stderr".into(), "true".into()));
    let pods = session.built_in("", "pods").resource();
    let request = Request {
        verb: Verb::Create,
        ..request::get(&pods, meta::namespace(pod), meta::name(pod))
            .subresource("exec")
            .options(|options| options.parameters = parameters)
    };
    let answer = session.send(request)?;
    Ok(Ran {
        stdout: answer.text("stdout").to_string(),
        stderr: answer.text("stderr").to_string(),
        code: answer.integer("exitCode").unwrap_or(0),
    })
}
