//! Begins a command: expands its words, opens its files.
//!
//! Picture to hold in mind: the stage hand who sets the props before the curtain rises.

use std::sync::Arc;

use super::expand::Scope;
use super::files::absolute;
use super::machine::{Machine, Step, Surroundings};
use super::syntax::{Node, Redirection, Simple, Target, Word};
use super::task::{Frame, Pipe, Stream, Task};

impl Machine {
    /// Expands the words of `node` and begins it.
    pub(super) fn run_expanded(
        &mut self,
        id: u32,
        node: &Arc<Node>,
        outputs: Vec<String>,
        around: &mut Surroundings,
    ) -> Step {
        let mut outputs = outputs.into_iter();
        let Some(mut task) = self.tasks.remove(&id) else { return Step::Ended };
        let Task { shell, .. } = &mut task;
        let (status, folder) = (shell.status, shell.folder.clone());
        let parameters = shell.parameters.clone();
        let mut scope = Scope {
            variables: &mut shell.variables,
            parameters: &parameters,
            status,
            folder: &folder,
            files: around.files,
            outputs: &mut outputs,
        };
        let mut expand = || -> Result<Expanded, String> {
            let mut expanded = Expanded::default();
            match &**node {
                Node::Simple(Simple { assignments, words, redirections }) => {
                    for word in words {
                        scope.fields(word, &mut expanded.words)?;
                    }
                    expanded.targets = targets(redirections, &mut scope)?;
                    for (name, word) in assignments {
                        expanded.assignments.push((name.clone(), scope.single(word)?));
                    }
                }
                Node::For { words: Some(words), .. } => {
                    for word in words {
                        scope.fields(word, &mut expanded.words)?;
                    }
                }
                Node::For { words: None, .. } => {
                    expanded.words = parameters.iter().skip(1).cloned().collect()
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
                    expanded.targets = targets(redirections, &mut scope)?;
                    expanded.body = Some(body.clone());
                }
                _ => {}
            }
            Ok(expanded)
        };
        let result = expand();
        self.tasks.insert(id, task);
        let expanded = match result {
            Ok(expanded) => expanded,
            Err(error) => return self.refuse(id, &error, around),
        };
        let before = self.tasks.get(&id).map(|task| task.streams.clone());
        if !expanded.targets.is_empty() {
            if let (Some(task), Some(before)) = (self.tasks.get_mut(&id), before) {
                task.frames.push(Frame::Restore(Box::new(before)));
            }
            if let Err(error) = self.redirect(id, &expanded.targets, around) {
                return self.refuse(id, &error, around);
            }
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match &**node {
            Node::Simple(_) => return self.run_command(id, expanded.assignments, expanded.words, around),
            Node::For { .. } => {
                task.shell.status = 0;
                task.frames.push(Frame::For {
                    node: node.clone(),
                    values: Arc::new(expanded.words),
                    index: 0,
                });
            }
            Node::Subshell { .. } => {
                let frames: Vec<Frame> = expanded.body.map(Frame::Run).into_iter().collect();
                let child = Task { frames, ..task.clone() };
                let child = self.add_task(child);
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.frames.push(Frame::Join { children: vec![child], last: child, negated: false });
                }
            }
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
        for (descriptor, destination) in targets {
            let folder = self.tasks.get(&id).map(|task| task.shell.folder.clone()).unwrap_or_default();
            let stream = match destination {
                Destination::Read(name) if name == "/dev/null" => Stream::Null,
                Destination::Write { name, .. } if name == "/dev/null" => Stream::Null,
                Destination::Write { name, .. } if name == "/dev/stderr" => {
                    Stream::Terminal { on_error: true }
                }
                Destination::Read(name) => {
                    let text = around
                        .files
                        .read(&absolute(&folder, name))
                        .map_err(|error| format!("{name}: {}", error.message()))?;
                    Stream::Pipe(self.add_pipe(Pipe::of(&text)))
                }
                Destination::Text(text) => Stream::Pipe(self.add_pipe(Pipe::of(text))),
                Destination::Write { name, append } => {
                    if name.is_empty() {
                        return Err(": No such file or directory".into());
                    }
                    let path = absolute(&folder, name);
                    let before = around.files.read(&path).ok().filter(|_| *append).unwrap_or_default();
                    around
                        .files
                        .write(&path, before)
                        .map_err(|error| format!("{name}: {}", error.message()))?;
                    Stream::File(path)
                }
                Destination::Duplicate(other) => match self.tasks.get(&id) {
                    Some(task) => task.streams[usize::from(*other).min(2)].clone(),
                    None => return Ok(()),
                },
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

#[derive(Default)]
struct Expanded {
    words: Vec<String>,
    assignments: Vec<(String, String)>,
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
pub(super) fn words_of(node: &Node, mut each: impl FnMut(&Word)) {
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
            simple.words.iter().for_each(&mut each);
            redirected(&simple.redirections, &mut each);
            simple.assignments.iter().for_each(|(_, word)| each(word));
        }
        Node::For { words: Some(words), .. } => words.iter().for_each(each),
        Node::Case { word, arms } => {
            each(word);
            arms.iter().flat_map(|(patterns, _)| patterns).for_each(each);
        }
        Node::Group { redirections, .. } | Node::Subshell { redirections, .. } => {
            redirected(redirections, &mut each);
        }
        _ => {}
    }
}
