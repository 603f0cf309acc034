//! `kubectl exec`: a command inside of a container.
//!
//! Picture to hold in mind: a speaking tube: the API server puts the call through to the kubelet on the pod's floor.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/exec`.

use std::ops::ControlFlow;

use crate::api::{Text, Value, meta};
use crate::client::request;
use crate::message::rest::{Request, Verb};

use super::failure::{Failure, Outcome, fail, misused};
use super::logs::{Use, pods_of, sources_of};
use super::session::Session;

pub const FLAGS: &[&str] =
    &["container", "filename", "pod-running-timeout@1m0s", "q=quiet", "i=stdin", "t=tty"];

pub fn run(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let operands = session.operands().to_vec();
    let command = session.command.clone();
    let usage = |text: &str| misused(&command, text);
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
    let source = sources_of(session, &pod, wanted)?.into_iter().next();
    let container = source.map_or(String::new(), |source| source.container);
    let is_shell = matches!(words[0].rsplit('/').next(), Some("bash" | "sh" | "ash"));
    let line = session.cli.variable("CLUSTERARIUM_SHELL").zip(session.cli.variable("CLUSTERARIUM_LINE"));
    let line = line.map(|(shell, line)| (Text::from(shell), Text::from(line)));
    let (mut more, is_line) = (Vec::new(), line.is_some());
    if let Some((shell, line)) = line {
        more = vec![("shell".into(), shell), ("line".into(), line)];
    } else if flags.switch("stdin") {
        let input = session.cli.stdin()?;
        if input.is_empty() && flags.switch("tty") && is_shell && words.len() == 1 {
            // What is typed from now on is for the shell over there, line by line.
            session.cli.attach();
            return Ok(());
        }
        more = vec![("input".into(), input)];
    }
    if flags.switch("tty") {
        more.push(("tty".into(), "true".into()));
    }
    let ran = execute_with(session, (&pod, &container, "exec"), &words, more, true)?;
    if ran.leaves {
        session.cli.detach();
    }
    match ran.code {
        0 => Ok(()),
        // A shell that goes on says nothing of a command that failed.
        code if is_line && !ran.leaves => Err(Failure::Silent((code & 255) as i32).into()),
        code => {
            session.eprintln(format!("command terminated with exit code {code}"));
            Err(Failure::Silent((code & 255) as i32).into())
        }
    }
}

/// What a command in a container said, and how it ended.
#[derive(Clone, Default)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: i64,
    /// The shell that a line was for has been left.
    pub leaves: bool,
}

/// Runs a command in a container of `pod`.
pub fn execute(session: &mut Session, pod: &Value, container: &str, words: &[String]) -> Outcome<Ran> {
    execute_with(session, (pod, container, "exec"), words, Vec::new(), false)
}

/// Asks for one piece of output after the other; `shows` prints them as they come.
pub fn execute_with(
    session: &mut Session,
    (pod, container, subresource): (&Value, &str, &str),
    words: &[String],
    more: Vec<(Text, Text)>,
    shows: bool,
) -> Outcome<Ran> {
    let mut parameters: Vec<(Text, Text)> = vec![("container".into(), container.into())];
    parameters.extend(words.iter().map(|word| (Text::from("command"), Text::from(word.as_str()))));
    parameters.push(("stdout".into(), "true".into()));
    parameters.push(("stderr".into(), "true".into()));
    parameters.extend(more);
    let (ran, _) = session.fold((Ran::default(), Text::new()), |session, (mut ran, stream)| {
        let parameters = match stream.is_empty() {
            true => parameters.clone(),
            false => vec![("container".into(), container.into()), ("stream".into(), stream)],
        };
        let pods = session.built_in("", "pods").resource();
        let request = Request {
            verb: Verb::Create,
            ..request::get(&pods, meta::namespace(pod), meta::name(pod))
                .subresource(subresource)
                .options(|options| options.parameters = parameters)
        };
        let answer = session.send(request)?;
        if shows {
            session.print(answer.text("stdout"));
            session.cli.eprint(answer.text("stderr"));
        } else {
            ran.stdout += answer.text("stdout");
            ran.stderr += answer.text("stderr");
        }
        Ok(match answer.integer("stream") {
            Some(stream) => ControlFlow::Continue((ran, stream.to_string().into())),
            None => {
                ran.code = answer.integer("exitCode").unwrap_or(0);
                ran.leaves = answer.is_true("leaves");
                ControlFlow::Break((ran, Text::new()))
            }
        })
    })?;
    Ok(ran)
}
