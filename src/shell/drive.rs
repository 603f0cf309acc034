//! Lets a command that takes its time go on: a filter, a sleep, a process such as kubectl.
//!
//! Picture to hold in mind: a mill. Grain comes in at the top when there is some, flour goes out below, and
//! the miller is told when no more grain will come.

use std::sync::Arc;

use crate::api::Text;
use crate::sim::{Duration, Time};

use super::machine::{Effect, Machine, Step, Surroundings};
use super::program::{Host, Stdin, Wish};
use super::syntax::{Node, Simple};
use super::task::{Frame, Program, Stream};
use super::tools::Output;

/// A pipe is full here: the writer waits for its reader.
const PIPE_CAPACITY: usize = 1 << 20;

impl Machine {
    pub(super) fn run_program(
        &mut self,
        id: u32,
        mut program: Box<Program>,
        around: &mut Surroundings,
    ) -> Step {
        let over = self.input_is_over(id);
        let folder = match self.tasks.get(&id) {
            Some(task) => task.shell.folder.clone(),
            None => return Step::Ended,
        };
        let mut status = None;
        match &mut *program {
            Program::Sleep { until, asked } => {
                if *until <= around.now {
                    status = Some(0);
                } else if !*asked {
                    *asked = true;
                    around.effects.push(Effect::Wake(*until));
                }
            }
            Program::Filter { name, filter } => {
                let mut out = Output::default();
                let mut progress = true;
                status = filter.run_on_files(name, &folder, around.files, &mut out);
                if status.is_none() {
                    progress = false;
                    for _ in 0..256 {
                        let line = self.input_pipe(id).and_then(|pipe| pipe.take_line(over));
                        let Some((line, ended)) = line else {
                            if over {
                                status = Some(filter.tool.finish(&mut out));
                            }
                            break;
                        };
                        progress = true;
                        filter.tool.line(&line, ended, &mut out);
                        if out.done {
                            status = Some(filter.tool.finish(&mut out));
                            break;
                        }
                    }
                }
                for (path, text, append) in std::mem::take(&mut out.files) {
                    let before = around.files.read(&path).ok().filter(|_| append).unwrap_or_default();
                    if let Err(error) = around.files.write(&path, Text::from(format!("{before}{text}"))) {
                        out.stderr += &format!("{name}: {path}: {}\n", error.message());
                        status = status.map(|_| 1);
                    }
                }
                self.write(id, true, &out.stderr, around);
                if !self.write(id, false, &out.stdout, around) {
                    status = Some(141);
                }
                if status.is_none() && progress {
                    self.put_back(id, program);
                    return Step::Advanced;
                }
            }
            Program::Read { names } => {
                let line = self.input_pipe(id).and_then(|pipe| pipe.take_line(over));
                if let Some(task) = self.tasks.get_mut(&id)
                    && (line.is_some() || over)
                {
                    let (line, ended) = line.unwrap_or_default();
                    let mut rest = line.trim_matches([' ', '\t']);
                    for (index, name) in names.iter().enumerate() {
                        let value = match rest.split_once([' ', '\t']) {
                            Some((first, others)) if index + 1 < names.len() => {
                                rest = others.trim_start_matches([' ', '\t']);
                                first
                            }
                            _ => std::mem::take(&mut rest),
                        };
                        task.shell.variables.insert(name.clone(), value.to_string());
                    }
                    status = Some(i32::from(!ended));
                }
            }
            Program::Xargs { arguments, each, replace, input } => {
                if let Some(pipe) = self.input_pipe(id) {
                    input.push_str(&pipe.take_all());
                }
                if over {
                    let lines = super::builtins::xargs(arguments, *each, replace.as_deref(), input);
                    let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
                    task.shell.status = 0;
                    for words in lines.into_iter().rev() {
                        let words =
                            words.into_iter().map(|word| vec![super::syntax::Piece::Quoted(word)]).collect();
                        let simple = Simple { words, ..Simple::default() };
                        task.frames.push(Frame::Run(Arc::new(Node::Simple(simple))));
                    }
                    return Step::Advanced;
                }
            }
            Program::Process(process) => {
                if self.is_clogged(id) {
                    self.put_back(id, program);
                    return Step::Blocked;
                }
                let stdin = if over {
                    Stdin::Ended(self.input_pipe(id).map(|pipe| pipe.rest().into()).unwrap_or_default())
                } else {
                    Stdin::Open
                };
                let mut host = Host {
                    now: around.now,
                    files: around.files,
                    etcd: around.etcd.clone(),
                    random: around.random,
                    stdin,
                    output: Vec::new(),
                    wishes: Vec::new(),
                };
                status = process.poll(&mut host);
                let (output, wishes) = (host.output, host.wishes);
                for wish in wishes {
                    around.effects.push(match wish {
                        Wish::Send(ticket, request) => Effect::Send { task: id, ticket, request },
                        Wish::Call(ticket, call) => Effect::Call { task: id, ticket, call },
                        Wish::Cancel(ticket) => Effect::Cancel { task: id, ticket },
                        Wish::Wake(time) => Effect::Wake(time),
                        Wish::Attach(words, shell) => Effect::Attach { words, shell },
                        Wish::Detach => Effect::Detach,
                    });
                }
                for (on_error, text) in output {
                    if !self.write(id, on_error, &text, around) {
                        status = Some(141);
                    }
                }
                if status.is_some() {
                    around.effects.push(Effect::Forget { task: id });
                }
            }
        }
        match status {
            Some(status) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.shell.status = status;
                    task.after_command();
                }
                Step::Advanced
            }
            None => {
                self.put_back(id, program);
                Step::Blocked
            }
        }
    }
    fn put_back(&mut self, id: u32, program: Box<Program>) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.frames.push(Frame::Program(program));
        }
    }
    /// Whether a strand's output waits for its reader.
    fn is_clogged(&self, id: u32) -> bool {
        match self.tasks.get(&id).map(|task| &task.streams[1]) {
            Some(Stream::Pipe(pipe)) => {
                self.pipes.get(pipe).is_some_and(|pipe| pipe.len() > PIPE_CAPACITY)
                    && !self.tasks.values().any(|task| {
                        task.frames.iter().any(
                            |frame| matches!(frame, Frame::Expand { child: Some((_, capture)), .. } if capture == pipe),
                        )
                    })
            }
            _ => false,
        }
    }
    /// Sleeps for `duration` in strand `id`.
    pub(super) fn sleep(&mut self, id: u32, now: Time, duration: Duration) {
        if let Some(task) = self.tasks.get_mut(&id) {
            let program = Program::Sleep { until: now + duration, asked: false };
            task.frames.push(Frame::Program(Box::new(program)));
        }
    }
}
