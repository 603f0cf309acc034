//! `kubectl attach`: what a container's first process says, and what it is told.
//!
//! Picture to hold in mind: a chair at the machine's own console: whoever sits down hears what it says from then on, and
//! what he types is typed into it, not into a copy beside it.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/attach/attach.go`.

use crate::api::{Text, Value, meta};
use crate::client::request;

use super::exec::{Ran, execute_with};
use super::failure::{Outcome, fail};
use super::logs::{Use, pods_of, sources_of, warn_of_recording};
use super::session::Session;

pub const FLAGS: &[&str] = &["container", "pod-running-timeout@1m0s", "q=quiet", "i=stdin", "t=tty"];

/// The line that is typed at a console on which this command sits, and which console it is.
fn typed(session: &Session) -> Option<Text> {
    session.cli.variable("CLUSTERARIUM_SHELL")?;
    session.cli.variable("CLUSTERARIUM_LINE").map(Text::from)
}
/// Whether this command was called for a line that is typed.
pub fn has_line(session: &Session) -> bool {
    typed(session).is_some()
}

/// Whether the first process of a container waits for somebody to type.
pub fn waits(session: &mut Session, pod: &Value, container: &str) -> Outcome<bool> {
    let line = vec![("line".into(), Text::new())];
    Ok(!execute_with(session, (pod, container, "attach"), &[], line, false)?.leaves)
}

/// Hands over the line that is typed; true: the process has ended.
pub fn type_line(session: &mut Session, pod: &Value, container: &str) -> Outcome<Ran> {
    let line = typed(session).unwrap_or_default();
    let ran = execute_with(session, (pod, container, "attach"), &[], vec![("line".into(), line)], true)?;
    if ran.leaves {
        session.cli.detach();
    }
    Ok(ran)
}

/// Hands over what there is to read, and listens until the process ends.
pub fn listen(session: &mut Session, pod: &Value, container: &str, input: &Text) -> Outcome {
    let is_read = session.flags.switch("stdin") && !input.is_empty();
    let input = is_read.then(|| ("input".into(), input.clone())).into_iter().collect();
    execute_with(session, (pod, container, "attach"), &[], input, true)?;
    Ok(())
}

/// What is said of a session that is over.
pub fn reattach_message(session: &mut Session, pod: &Value, container: &str) {
    let ephemeral = pod.items("spec.ephemeralContainers").iter().any(|one| one.text("name") == container);
    let name = meta::name(pod);
    let again = format!("'kubectl attach {name} -c {container} -i -t'");
    if session.flags.switch("quiet") {
    } else if ephemeral {
        session.println(format!(
            "Session ended, the ephemeral container will not be restarted but may be reattached using {again} if it is still running"
        ));
    } else if pod.text("spec.restartPolicy") == "Always" {
        session.println(format!("Session ended, resume using {again} command when the pod is running"));
    }
}

pub fn run(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let operands = session.operands().to_vec();
    let name = match operands.as_slice() {
        [] => return fail("at least 1 argument is required for attach"),
        [name] => name.clone(),
        [kind, name] => format!("{kind}/{name}"),
        more => {
            let words = more.join(" ");
            return fail(format!(
                "expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {}: [{words}]",
                more.len()
            ));
        }
    };
    let namespace = session.namespace();
    let pod = match name.split_once('/') {
        None => {
            let pods = session.built_in("", "pods").resource();
            session.send(request::get(&pods, &namespace, &name))?
        }
        Some(("pod" | "pods" | "po", name)) => {
            let pods = session.built_in("", "pods").resource();
            session.send(request::get(&pods, &namespace, name))?
        }
        Some(_) => match pods_of(session, &name, Use::Attach)?.into_iter().next() {
            Some(pod) => pod,
            None => return fail("timed out waiting for the condition"),
        },
    };
    let phase = pod.text("status.phase");
    if matches!(phase, "Succeeded" | "Failed") {
        return fail(format!("cannot attach a container in a completed pod; current phase is {phase}"));
    }
    let wanted = flags.text("container");
    let lists = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];
    let container = |name: &str| {
        lists.iter().flat_map(|list| pod.items(list)).find(|one| one.text("name") == name).cloned()
    };
    if !wanted.is_empty() {
        sources_of(session, &pod, wanted)?;
    }
    if has_line(session) {
        let source = sources_of(session, &pod, wanted)?.into_iter().next();
        let name = source.map_or(String::new(), |source| source.container);
        if type_line(session, &pod, &name)?.leaves {
            reattach_message(session, &pod, &name);
        }
        return Ok(());
    }
    let source = sources_of(session, &pod, wanted)?.into_iter().next();
    let name = source.map_or(String::new(), |source| source.container);
    let has_terminal = container(&name).is_some_and(|one| one.is_true("tty"));
    if flags.switch("tty") && !has_terminal {
        session.eprintln(format!("error: Unable to use a TTY - container {name} did not allocate one"));
    }
    let mut input = Text::new();
    if flags.switch("stdin") {
        input = session.cli.stdin()?;
        if input.is_empty() && waits(session, &pod, &name)? {
            if flags.switch("tty") && has_terminal {
                warn_of_recording(session);
            }
            session.cli.attach();
            return Ok(());
        }
    }
    listen(session, &pod, &name, &input)
}
