//! `kubectl cp`: files into containers and out of them.
//!
//! Picture to hold in mind: a pneumatic post: the file goes as the text of a command through the same tube as
//! `exec`.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/cp/cp.go`. Upstream sends archives to a `tar` in the container; here a file is
//! sent as it is, and the image must have a shell instead.

use crate::client::request;
use crate::shell::files::Entry;

use super::exec::{Ran, execute};
use super::failure::{Outcome, fail};
use super::logs::sources_of;
use super::session::Session;

pub const FLAGS: &[&str] = &["container", "no-preserve", "retries"];

/// One end of the tube.
#[derive(Debug, PartialEq)]
struct Place {
    namespace: Option<String>,
    /// Empty: here.
    pod: String,
    path: String,
}

fn place(text: &str) -> Outcome<Place> {
    let malformed = "filespec must match the canonical format: [[namespace/]pod:]file/path";
    let Some((pod, path)) = text.split_once(':') else {
        return Ok(Place { namespace: None, pod: String::new(), path: text.into() });
    };
    let (namespace, pod) = match pod.split_once('/') {
        Some((namespace, pod)) => (Some(namespace.to_string()), pod),
        None => (None, pod),
    };
    if pod.is_empty() || pod.contains('/') {
        return fail(malformed);
    }
    Ok(Place { namespace, pod: pod.into(), path: path.into() })
}

pub fn run(session: &mut Session) -> Outcome {
    let operands = session.operands().to_vec();
    let [from, to] = operands.as_slice() else { return fail("source and destination are required") };
    let (from, to) = (place(from)?, place(to)?);
    if !from.pod.is_empty() && !to.pod.is_empty() {
        return fail("one of src or dest must be a local file specification");
    }
    if from.path.is_empty() || to.path.is_empty() {
        return fail("filepath can not be empty");
    }
    match (from.pod.is_empty(), to.pod.is_empty()) {
        (true, false) => upload(session, &from.path, &to),
        (false, true) => download(session, &from, &to.path),
        _ => fail("one of src or dest must be a remote file specification"),
    }
}

/// Runs `words` in the pod's container.
fn ask(session: &mut Session, place: &Place, words: &[&str]) -> Outcome<Ran> {
    let namespace = place.namespace.clone().unwrap_or_else(|| session.namespace());
    let pods = session.built_in("", "pods").resource();
    let pod = session.send(request::get(&pods, &namespace, &place.pod))?;
    let container = session.flags.text("container").to_string();
    let source = sources_of(session, &pod, &container)?.into_iter().next();
    let container = source.map_or(String::new(), |source| source.container);
    let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
    execute(session, &pod, &container, &words)
}

fn folders() -> Outcome {
    fail(crate::fidelity::message("kubectl", "cp of folders").unwrap_or_default())
}

fn upload(session: &mut Session, from: &str, to: &Place) -> Outcome {
    let path = session.cli.path(from);
    let content = match session.cli.files().get(&path) {
        Some(Entry::File(text)) => text.to_string(),
        Some(Entry::Folder) => return folders(),
        None => return fail(format!("{from} doesn't exist in local filesystem")),
    };
    let mut target = to.path.clone();
    if ask(session, to, &["test", "-d", &target])?.code == 0 {
        let name = path.rsplit('/').next().unwrap_or("");
        target = format!("{}/{name}", target.trim_end_matches('/'));
    }
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let script = format!("printf %s {} > {}", quoted(&content), quoted(&target));
    let ran = ask(session, to, &["sh", "-c", &script])?;
    finish(session, ran)
}

fn download(session: &mut Session, from: &Place, to: &str) -> Outcome {
    if ask(session, from, &["test", "-d", &from.path])?.code == 0 {
        return folders();
    }
    let ran = ask(session, from, &["cat", &from.path])?;
    if ran.code != 0 {
        return finish(session, ran);
    }
    let mut target = to.to_string();
    if session.cli.files().is_folder(&session.cli.path(to)) {
        let name = from.path.rsplit('/').next().unwrap_or("");
        target = format!("{}/{name}", to.trim_end_matches('/'));
    }
    match session.cli.write_file(&target, &ran.stdout) {
        Ok(()) => Ok(()),
        Err(error) => fail(format!("open {target}: {}", error.message().to_ascii_lowercase())),
    }
}

fn finish(session: &mut Session, ran: Ran) -> Outcome {
    session.cli.eprint(&ran.stderr);
    match ran.code {
        0 => Ok(()),
        code => fail(format!("command terminated with exit code {code}")),
    }
}
