//! Begins a command: expands its words, opens its files.
//!
//! Picture to hold in mind: the stage hand who sets the props before the curtain rises.

use std::sync::Arc;

use super::expand::Scope;
use super::files::{self, NULL_DEVICE, absolute};
use super::machine::{Machine, Step, Surroundings};
use super::syntax::{Node, Redirection, Simple, Target, Word};
use super::task::{Frame, Pipe, Stream, Substituted};
use crate::api::Text;

impl Machine {
    /// Expands the words of `node` and begins it.
    pub(super) fn run_expanded(
        &mut self,
        id: u32,
        node: &Arc<Node>,
        outputs: Vec<Substituted>,
        around: &mut Surroundings,
    ) -> Step {
        let substituted = outputs.last().map(|(_, status)| *status);
        let mut outputs = outputs.into_iter();
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        let shell = &mut task.shell;
        let mut scope = Scope {
            variables: &mut shell.variables,
            parameters: &shell.parameters,
            status: shell.status,
            last_job: shell.jobs.last().copied(),
            folder: &shell.folder,
            files: around.system.files(),
            outputs: &mut outputs,
        };
        let expanded = match expand(node, &mut scope) {
            Ok(expanded) => expanded,
            Err(error) => {
                if !shell.is_interactive {
                    // POSIX: an expansion error ends a shell that nobody types at.
                    task.frames.clear();
                }
                return self.refuse(id, &error, around);
            }
        };
        if !expanded.targets.is_empty() {
            let before = task.streams.clone();
            task.frames.push(Frame::Restore(Box::new(before)));
            if let Err(error) = self.redirect(id, &expanded.targets, around) {
                let step = self.refuse(id, &error, around);
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.after_command();
                }
                return step;
            }
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match &**node {
            Node::Simple(_) if expanded.words.is_empty() => {
                // The status of the last command substitution stays, if there was one.
                task.shell.status = substituted.unwrap_or(0);
                task.after_command();
            }
            Node::Simple(_) => return self.run_command(id, expanded.assignments, expanded.words, around),
            Node::For { .. } => {
                task.shell.status = 0;
                let values = Arc::new(expanded.words.into_iter().map(Text::from).collect());
                task.frames.push(Frame::For { node: node.clone(), values, index: 0 });
            }
            Node::Subshell { .. } => {
                let child = task.below(expanded.body.map(Frame::Run).into_iter().collect());
                let child = self.add_task(child);
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.frames.push(Frame::join(vec![child], false));
                }
            }
            Node::Group { .. } => task.frames.extend(expanded.body.map(Frame::Run)),
            _ => {
                task.shell.status = 0;
                task.frames.extend(expanded.body.map(Frame::Run));
            }
        }
        Step::Advanced
    }

    fn redirect(
        &mut self,
        id: u32,
        targets: &[(u8, Destination)],
        around: &mut Surroundings,
    ) -> Result<(), String> {
        let dialect = around.system.dialect();
        for (descriptor, destination) in targets {
            let Some(task) = self.tasks.get(&id) else { return Ok(()) };
            let folder = task.shell.folder.clone();
            let stream = match destination {
                Destination::Read(name) => {
                    let path = absolute(&folder, name);
                    let text = files::read(around.system.files(), &path)
                        .map_err(|error| dialect.cannot_open(name, error))?;
                    Stream::Pipe(self.add_pipe(Pipe::of(&text)))
                }
                Destination::Text(text) => Stream::Pipe(self.add_pipe(Pipe::of(text))),
                Destination::Write { name, append } => {
                    let path = absolute(&folder, name);
                    match path.as_str() {
                        _ if name.is_empty() => return Err(": No such file or directory".into()),
                        NULL_DEVICE => Stream::Null,
                        "/dev/stdout" => task.streams[1].clone(),
                        "/dev/stderr" => task.streams[2].clone(),
                        // Those of the first process, and as good as the machine's own.
                        "/proc/1/fd/1" => Stream::Outside { on_error: false },
                        "/proc/1/fd/2" => Stream::Outside { on_error: true },
                        _ => {
                            let files = around.system.files_mut();
                            let done = if *append {
                                files.append(&path, "")
                            } else {
                                files.write(&path, Text::new())
                            };
                            done.map_err(|error| dialect.cannot_create(name, error))?;
                            Stream::File(path.into())
                        }
                    }
                }
                Destination::Duplicate(other) => task.streams[usize::from(*other).min(2)].clone(),
            };
            let Some(task) = self.tasks.get_mut(&id) else { return Ok(()) };
            match descriptor {
                // `&>`: both outputs.
                3 => {
                    task.streams[1] = stream.clone();
                    task.streams[2] = stream;
                }
                descriptor => task.streams[usize::from(*descriptor)] = stream,
            }
        }
        Ok(())
    }
}

fn expand(node: &Node, scope: &mut Scope) -> Result<Expanded, String> {
    let mut expanded = Expanded::default();
    match node {
        Node::Simple(Simple { assignments, words, redirections }) => {
            for word in words {
                scope.fields(word, &mut expanded.words)?;
            }
            expanded.targets = targets(redirections, scope)?;
            for (name, word) in assignments {
                let value = Text::from(scope.single(word)?);
                match expanded.words.is_empty() {
                    true => drop(Arc::make_mut(scope.variables).insert(name.clone(), value)),
                    false => expanded.assignments.push((name.clone(), value)),
                }
            }
        }
        Node::For { words: Some(words), .. } => {
            for word in words {
                scope.fields(word, &mut expanded.words)?;
            }
        }
        Node::For { words: None, .. } => {
            expanded.words = scope.parameters.iter().skip(1).map(ToString::to_string).collect();
        }
        Node::Case { word, arms } => {
            let subject = scope.single(word)?;
            for (patterns, body) in arms {
                for pattern in patterns {
                    let pattern = scope.pattern(pattern)?;
                    if expanded.body.is_none() && super::expand::matches(&pattern, &subject) {
                        expanded.body = Some(body.clone());
                    }
                }
            }
        }
        Node::Group { redirections, body } | Node::Subshell { redirections, body } => {
            expanded.targets = targets(redirections, scope)?;
            expanded.body = Some(body.clone());
        }
        _ => {}
    }
    Ok(expanded)
}

#[derive(Default)]
struct Expanded {
    words: Vec<String>,
    assignments: Vec<(Text, Text)>,
    targets: Vec<(u8, Destination)>,
    body: Option<Arc<Node>>,
}

enum Destination {
    Read(String),
    Write { name: String, append: bool },
    Duplicate(u8),
    Text(String),
}

fn targets(redirections: &[Redirection], scope: &mut Scope) -> Result<Vec<(u8, Destination)>, String> {
    let one = |redirection: &Redirection| {
        let destination = match &redirection.target {
            Target::Read(word) => Destination::Read(scope.single(word)?),
            Target::Write { word, append } => {
                Destination::Write { name: scope.single(word)?, append: *append }
            }
            Target::Duplicate(descriptor) => Destination::Duplicate(*descriptor),
            Target::Here(word) => Destination::Text(scope.single(word)?),
        };
        Ok((redirection.descriptor, destination))
    };
    redirections.iter().map(one).collect()
}

/// The words of one node, in the order in which they are expanded.
pub(super) fn words_of(node: &Node, each: &mut dyn FnMut(&Word)) {
    let redirected = |redirections: &[Redirection], each: &mut dyn FnMut(&Word)| {
        for redirection in redirections {
            match &redirection.target {
                Target::Read(word) | Target::Write { word, .. } | Target::Here(word) => each(word),
                Target::Duplicate(_) => {}
            }
        }
    };
    match node {
        Node::Simple(simple) => {
            simple.words.iter().for_each(&mut *each);
            redirected(&simple.redirections, each);
            simple.assignments.iter().for_each(|(_, word)| each(word));
        }
        Node::For { words: Some(words), .. } => words.iter().for_each(each),
        Node::Case { word, arms } => {
            each(word);
            arms.iter().flat_map(|(patterns, _)| patterns).for_each(each);
        }
        Node::Group { redirections, .. } | Node::Subshell { redirections, .. } => {
            redirected(redirections, each);
        }
        _ => {}
    }
}
