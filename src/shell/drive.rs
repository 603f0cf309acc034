//! Lets a command that takes its time go on: a filter, a sleep, a process such as kubectl.
//!
//! Picture to hold in mind: a mill. Grain comes in at the top when there is some, flour goes out below, and
//! the miller is told when no more grain will come.

use std::sync::Arc;

use crate::api::Text;
use crate::arrange::Gather;
use crate::sim::{Duration, Time};

use super::expand::separators;
use super::files;
use super::machine::{Effect, Machine, Step, Surroundings};
use super::program::{Host, Process, Stdin, Wish};
use super::syntax::{Node, Piece, Simple};
use super::task::{Frame, Program, Shell, Stream};
use super::tools::{Filter, Output};

/// A pipe is full here: the writer waits for its reader.
const PIPE_CAPACITY: usize = 1 << 20;
/// How often `tail -f` looks.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// What became of a command that was given a turn.
enum Turn {
    Ended(i32),
    Went,
    Waits,
    /// Other notes have taken its place.
    Replaced,
}

impl Machine {
    pub(super) fn run_program(
        &mut self,
        id: u32,
        mut program: Box<Program>,
        around: &mut Surroundings,
    ) -> Step {
        let is_over = self.input_is_over(id);
        let turn = match &mut *program {
            Program::Sleep { until, status } if *until <= around.now => Turn::Ended(*status),
            Program::Sleep { .. } | Program::Service(_) => Turn::Waits,
            Program::Filter { name, filter } => self.filter(id, name, filter, is_over, around),
            Program::Read { names, raw } => self.read(id, names, *raw, is_over),
            Program::Script { text } => {
                self.gather_input(id, text);
                match self.tasks.get_mut(&id).filter(|_| is_over) {
                    Some(task) => {
                        task.frames.push(Frame::source(text));
                        Turn::Replaced
                    }
                    None => Turn::Waits,
                }
            }
            Program::Xargs { arguments, each, replace, input } => {
                self.gather_input(id, input);
                match self.tasks.get_mut(&id).filter(|_| is_over) {
                    Some(task) => {
                        task.shell.status = 0;
                        for words in xargs(arguments, *each, replace.as_deref(), input).into_iter().rev() {
                            let words = words.into_iter().map(|word| vec![Piece::Quoted(word)]).collect();
                            let simple = Simple { words, ..Simple::default() };
                            task.frames.push(Frame::Run(Arc::new(Node::Simple(simple))));
                        }
                        Turn::Replaced
                    }
                    None => Turn::Waits,
                }
            }
            Program::Follow { path, seen, until } => {
                let content = around.system.files().read(path).unwrap_or_default();
                let from = if content.len() < *seen { 0 } else { *seen };
                let new = content.get(from..).unwrap_or("");
                let is_read = self.write(id, false, new, around);
                *seen = content.len();
                *until = until.map(|until| follow_until(until, around.now));
                if is_read { Turn::Waits } else { Turn::Ended(141) }
            }
            Program::Process { .. } if self.is_clogged(id) => Turn::Waits,
            Program::Process { process, wakes, is_ready } => {
                *is_ready = !is_over;
                self.poll(id, process, wakes, is_over, around)
            }
        };
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match turn {
            Turn::Ended(status) => {
                task.shell.status = status;
                task.after_command();
                Step::Advanced
            }
            Turn::Replaced => Step::Advanced,
            Turn::Went => {
                task.frames.push(Frame::Program(program));
                Step::Advanced
            }
            Turn::Waits => {
                task.frames.push(Frame::Program(program));
                Step::Blocked
            }
        }
    }
    fn gather_input(&mut self, id: u32, text: &mut String) {
        if let Some(pipe) = self.input_pipe(id) {
            text.push_str(&pipe.take_all());
        }
    }

    fn filter(
        &mut self,
        id: u32,
        name: &str,
        filter: &mut Filter,
        is_over: bool,
        around: &mut Surroundings,
    ) -> Turn {
        let Some(task) = self.tasks.get(&id) else { return Turn::Ended(0) };
        let dialect = around.system.dialect();
        let mut out = Output::default();
        let mut status =
            filter.run_on_files(name, &task.shell.folder, around.system.files(), dialect, &mut out);
        let mut has_progressed = status.is_some();
        let mut lines = 0;
        while status.is_none() && lines < 256 {
            let line = self.input_pipe(id).and_then(|pipe| pipe.take_line(is_over));
            let Some((line, is_terminated)) = line else {
                if is_over {
                    status = Some(filter.tool.finish(&mut out));
                }
                break;
            };
            (lines, has_progressed) = (lines + 1, true);
            filter.tool.line(&line, is_terminated, &mut out);
            if out.done {
                status = Some(filter.tool.finish(&mut out));
            }
        }
        for (path, text, append) in std::mem::take(&mut out.files) {
            let files = around.system.files_mut();
            let done = match (path.as_str(), append) {
                (files::NULL_DEVICE, _) => Ok(()),
                (path, true) => files.append(path, &text),
                (path, false) => files.write(path, text.into()),
            };
            if let Err(error) = done {
                out.stderr += &format!("{name}: {path}: {}\n", error.message());
                status = status.map(|_| 1);
            }
        }
        self.write(id, true, &out.stderr, around);
        if !self.write(id, false, &out.stdout, around) {
            status = Some(141);
        }
        match status {
            Some(status) => Turn::Ended(status),
            None if has_progressed => Turn::Went,
            None => Turn::Waits,
        }
    }

    fn read(&mut self, id: u32, names: &[Text], raw: bool, is_over: bool) -> Turn {
        let line = self.input_pipe(id).and_then(|pipe| pipe.take_line(is_over));
        if line.is_none() && !is_over {
            return Turn::Waits;
        }
        let (mut line, mut is_terminated) = line.unwrap_or_default();
        if !raw && line.ends_with('\\') && is_terminated {
            // A backslash joins the next line.
            line.pop();
            let next = self.input_pipe(id).and_then(|pipe| pipe.take_line(true));
            let (next, ended) = next.unwrap_or_default();
            line += &next;
            is_terminated = ended;
        }
        if !raw {
            line = line.replace('\\', "");
        }
        if let Some(task) = self.tasks.get_mut(&id) {
            assign(&mut task.shell, names, &line);
        }
        Turn::Ended(i32::from(!is_terminated))
    }

    fn poll(
        &mut self,
        id: u32,
        process: &mut Process,
        wakes: &mut Vec<Time>,
        is_over: bool,
        around: &mut Surroundings,
    ) -> Turn {
        let stdin = if is_over {
            Stdin::Ended(self.input_pipe(id).map(|pipe| pipe.rest().into()).unwrap_or_default())
        } else {
            Stdin::Open
        };
        let mut host = Host {
            now: around.now,
            files: around.system.files_mut(),
            server: String::new(),
            etcd: around.etcd.clone(),
            random: around.random,
            stdin,
            output: Vec::new(),
            wishes: Vec::new(),
        };
        let mut status = process.poll(&mut host);
        let (output, wishes, server) = (host.output, host.wishes, Text::from(host.server));
        wakes.retain(|wake| *wake > around.now);
        let mut script = None;
        for wish in wishes {
            around.effects.push(match wish {
                Wish::Send(ticket, request) => {
                    Effect::Send { task: id, ticket, server: server.clone(), request }
                }
                Wish::Call(ticket, call) => Effect::Call { task: id, ticket, call },
                Wish::Node(ticket, call) => Effect::Node { task: id, ticket, call },
                Wish::Cancel(ticket) => Effect::Cancel { task: id, ticket },
                Wish::Wake(time) => {
                    wakes.push(time);
                    continue;
                }
                Wish::Attach(words, shell) => Effect::Attach { words, shell },
                Wish::Detach => Effect::Detach,
                Wish::Edit(path) => Effect::Edit { path },
                Wish::GiveWay(text) => {
                    script = Some(text);
                    continue;
                }
            });
        }
        for (on_error, text) in output {
            if !self.write(id, on_error, &text, around) {
                status = Some(141);
            }
        }
        match status {
            Some(status) => {
                around.effects.push(Effect::Forget { task: id });
                match (script, self.tasks.get_mut(&id)) {
                    (Some(script), Some(task)) => {
                        task.frames.push(Frame::source(&script));
                        Turn::Replaced
                    }
                    _ => Turn::Ended(status),
                }
            }
            None => Turn::Waits,
        }
    }
    /// Whether a strand's output waits for its reader.
    fn is_clogged(&self, id: u32) -> bool {
        let Some(Stream::Pipe(pipe)) = self.tasks.get(&id).map(|task| &task.streams[1]) else { return false };
        let is_capture = |frame: &Frame| matches!(frame, Frame::Expand { child: Some((_, capture)), .. } if capture == pipe);
        self.pipes.get(pipe).is_some_and(|pipe| pipe.len() > PIPE_CAPACITY)
            && !self.tasks.values().flat_map(|task| &task.frames).any(is_capture)
    }
}

/// When `tail -f` looks next that wanted to look at `until`.
fn follow_until(until: Time, now: Time) -> Time {
    if until > now { until } else { now + FOLLOW_INTERVAL }
}

/// Cuts a line at `IFS` into as many words as there are names; the last takes what is left.
fn assign(shell: &mut Shell, names: &[Text], line: &str) {
    let separators = separators(&shell.variables);
    let parts = |c: char| separators.contains(c);
    let is_blank = |c: char| parts(c) && c.is_whitespace();
    let mut rest = line.trim_matches(is_blank);
    for (index, name) in names.iter().enumerate() {
        let value = match rest.find(parts) {
            Some(end) if index + 1 < names.len() => {
                let (value, behind) = rest.split_at(end);
                let behind = behind.trim_start_matches(is_blank);
                let hard = behind.chars().next().filter(|c| parts(*c)).map_or(0, char::len_utf8);
                rest = behind[hard..].trim_start_matches(is_blank);
                value
            }
            _ => std::mem::take(&mut rest),
        };
        shell.set(name, value);
    }
}

/// The command lines that `xargs` makes of its input.
fn xargs(arguments: &[String], each: Option<usize>, replace: Option<&str>, input: &str) -> Vec<Vec<String>> {
    if let Some(mark) = replace {
        let lines = input.lines().map(str::trim).filter(|line| !line.is_empty());
        return lines
            .map(|line| arguments.iter().map(|argument| argument.replace(mark, line)).collect())
            .collect();
    }
    let items: Vec<String> = input.split_whitespace().map(|item| item.replace(['"', '\''], "")).gather();
    if items.is_empty() {
        return vec![arguments.to_vec()];
    }
    items
        .chunks(each.unwrap_or(5000))
        .map(|chunk| arguments.iter().cloned().chain(chunk.iter().cloned()).collect())
        .collect()
}
