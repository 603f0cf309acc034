//! `kubectl cp`: files into containers and out of them.
//!
//! Picture to hold in mind: a pneumatic post: the file goes as the text of a command through the same tube as
//! `exec`.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/cp/cp.go`. Upstream sends archives to a `tar` in the container; here a file is
//! sent as it is, and the image must have a shell instead.

use crate::client::request;
use crate::shell::files::Entry;
use crate::shell::quoted;

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

/// `path` in the folder `to`, if that is one over there.
fn target(session: &mut Session, path: &str, to: &Place) -> Outcome<String> {
    let is_folder = ask(session, to, &["test", "-d", &to.path])?.code == 0;
    let name = path.rsplit('/').next().unwrap_or("");
    Ok(if is_folder { format!("{}/{name}", to.path.trim_end_matches('/')) } else { to.path.clone() })
}

fn upload(session: &mut Session, from: &str, to: &Place) -> Outcome {
    let path = session.cli.path(from);
    let files = session.cli.files();
    let Some(entry) = files.get(&path) else {
        return fail(format!("{from} doesn't exist in local filesystem"));
    };
    let target = target(session, &path, to)?;
    let write = |target: &str, content: &str| format!("printf %s {} > {}", quoted(content), quoted(target));
    let scripts: Vec<String> = match entry {
        Entry::File(text) => vec![write(&target, text)],
        Entry::Folder => std::iter::once(format!("mkdir -p {}", quoted(&target)))
            .chain(files.below(&path).map(|(below, entry)| {
                let target = format!("{target}{}", &below[path.len()..]);
                match entry {
                    Entry::File(text) => write(&target, text),
                    Entry::Folder => format!("mkdir -p {}", quoted(&target)),
                }
            }))
            .collect(),
    };
    session.each(&scripts, (), |session, script, ()| {
        let ran = ask(session, to, &["sh", "-c", script])?;
        finish(session, ran)
    })
}

fn download(session: &mut Session, from: &Place, to: &str) -> Outcome {
    let is_folder = ask(session, from, &["test", "-d", &from.path])?.code == 0;
    let mut target = to.to_string();
    let base = from.path.trim_end_matches('/');
    // The content of a folder goes into the folder that is named, that of a file into a file in it.
    if !is_folder && session.cli.files().is_folder(&session.cli.path(to)) {
        let name = base.rsplit('/').next().unwrap_or("");
        target = format!("{}/{name}", target.trim_end_matches('/'));
    }
    let mut paths = vec![base.to_string()];
    if is_folder {
        let found = ask(session, from, &["find", base, "-type", "f"])?;
        if found.code != 0 {
            return finish(session, found);
        }
        paths = found.stdout.lines().map(String::from).collect();
    }
    session.each(&paths, (), |session, path, ()| {
        let ran = ask(session, from, &["cat", path])?;
        if ran.code != 0 {
            return finish(session, ran);
        }
        let target = format!("{target}{}", path.strip_prefix(base).unwrap_or(""));
        let place = session.cli.path(&target);
        let folder = place.rsplit_once('/').map_or("/", |(folder, _)| folder).to_string();
        let made = !is_folder || session.cli.change_files(|files| files.make_folders(&folder)).is_ok();
        match session.cli.write_file(&target, &ran.stdout) {
            Ok(()) if made => Ok(()),
            Ok(()) => fail(format!("open {target}: not a directory")),
            Err(error) => fail(format!("open {target}: {}", error.message().to_ascii_lowercase())),
        }
    })
}

fn finish(session: &mut Session, ran: Ran) -> Outcome {
    session.cli.eprint(&ran.stderr);
    match ran.code {
        0 => Ok(()),
        code => fail(format!("command terminated with exit code {code}")),
    }
}
