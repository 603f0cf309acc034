//! Runs command lines: the interpreter of [`super::syntax`].
//!
//! Picture to hold in mind: a small office of strands ([`super::task`]) that pass text through pipes. The
//! office manager goes round the desks, lets each do a few notes of its to-do list, and stops when every desk
//! waits: for a line of text, for an answer from outside, or for the clock.
//!
//! Nothing that is typed can hang it: notes, nesting and output are counted, and time passes only in the
//! simulation.

use std::sync::Arc;

use crate::api::Text;
use crate::client::{Answer, EtcdAnswer, Listener};
use crate::message::rest::Request;
use crate::sim::{Random, Time};
use crate::sorted::{SortedMap, SortedSet};

use super::expand::substitutions;
use super::files::Files;
use super::launch::words_of;
use super::parse::Parser;
use super::program::{EtcdCall, Main, Process};
use super::syntax::Node;
use super::task::{Frame, Pipe, Program, Shell, Stream, Task};

/// Notes that one line may work off without any time passing.
const MAXIMUM_STEPS: u64 = 2_000_000;
const MAXIMUM_OUTPUT: usize = 32 << 20;
const MAXIMUM_TASKS: usize = 200;
const MAXIMUM_DEPTH: usize = 100;

#[derive(Clone, Default)]
pub struct Machine {
    pub(super) tasks: SortedMap<u32, Task>,
    pub(super) pipes: SortedMap<u32, Pipe>,
    next: u32,
    /// Statuses of strands that somebody waits for.
    ended: SortedMap<u32, i32>,
    /// The strand of the line at hand, and the shell that it left.
    main: Option<(u32, Shell)>,
    steps: u64,
    written: usize,
}

/// What the machine may use while it runs, and what it wants done.
pub struct Surroundings<'a> {
    pub now: Time,
    pub files: &'a mut Files,
    /// Programs by name.
    pub programs: &'a [(&'static str, Main)],
    pub history: &'a [String],
    /// Who of etcd can be reached where.
    pub etcd: Arc<SortedMap<Text, Listener>>,
    pub random: &'a mut Random,
    /// `true`: on the standard error.
    pub output: Vec<(bool, String)>,
    pub effects: Vec<Effect>,
}

#[derive(Debug)]
pub enum Effect {
    Send {
        task: u32,
        ticket: u64,
        request: Box<Request>,
    },
    Call {
        task: u32,
        ticket: u64,
        call: Box<EtcdCall>,
    },
    Cancel {
        task: u32,
        ticket: u64,
    },
    /// All exchanges of a strand that has ended.
    Forget {
        task: u32,
    },
    Wake(Time),
    /// Lines that follow are for this command, in the shell of that name.
    Attach {
        words: Arc<Vec<String>>,
        shell: u64,
    },
    Detach,
}

#[derive(PartialEq)]
pub(super) enum Step {
    Advanced,
    Blocked,
    Ended,
}

impl Machine {
    /// Begins to run `text`; returns the strand's number.
    pub fn start(&mut self, shell: Shell, text: &str, stdin: &str) -> u32 {
        let pipe = self.add_pipe(Pipe::of(stdin));
        let streams =
            [Stream::Pipe(pipe), Stream::Terminal { on_error: false }, Stream::Terminal { on_error: true }];
        (self.steps, self.written) = (0, 0);
        let source = Frame::Source { text: text.chars().collect(), position: 0 };
        let task = Task { shell: shell.clone(), frames: vec![source], streams, background: false, depth: 0 };
        let id = self.add_task(task);
        self.main = Some((id, shell));
        id
    }
    pub(super) fn add_task(&mut self, task: Task) -> u32 {
        self.next += 1;
        self.tasks.insert(self.next, task);
        self.next
    }
    pub(super) fn add_pipe(&mut self, pipe: Pipe) -> u32 {
        self.next += 1;
        self.pipes.insert(self.next, pipe);
        self.next
    }
    pub fn is_running(&self, task: u32) -> bool {
        self.tasks.contains_key(&task)
    }
    fn process(&mut self, task: u32) -> Option<&mut Process> {
        match self.tasks.get_mut(&task)?.frames.last_mut()? {
            Frame::Program(program) => match &mut **program {
                Program::Process(process) => Some(process),
                _ => None,
            },
            _ => None,
        }
    }
    pub fn deliver(&mut self, task: u32, ticket: u64, answer: Answer) {
        if let Some(process) = self.process(task) {
            process.deliver(ticket, answer);
        }
    }
    pub fn deliver_etcd(&mut self, task: u32, ticket: u64, answer: EtcdAnswer, now: Time) {
        if let Some(process) = self.process(task) {
            process.deliver_etcd(ticket, answer, now);
        }
    }
    /// Ends every strand that is not in the background, as Ctrl+C does.
    pub fn interrupt(&mut self, around: &mut Surroundings) {
        let ids: Vec<u32> =
            self.tasks.iter().filter(|(_, task)| !task.background).map(|(id, _)| *id).collect();
        for id in ids {
            self.end(id, 130, around);
        }
    }
    /// Runs until every strand waits. Time has passed since the last time, so counting begins anew.
    pub fn run(&mut self, around: &mut Surroundings) {
        self.steps = 0;
        loop {
            let mut advanced = false;
            let ids: Vec<u32> = self.tasks.keys().copied().collect();
            for id in ids {
                // Few steps at a turn, so that a pipe's reader keeps up with its writer.
                for _ in 0..64 {
                    match self.step(id, around) {
                        Step::Advanced => advanced = true,
                        Step::Blocked => break,
                        Step::Ended => {
                            advanced = true;
                            break;
                        }
                    }
                    self.steps += 1;
                    if self.steps > MAXIMUM_STEPS {
                        self.abandon("this command does not come to an end", around);
                        return;
                    }
                }
            }
            if self.written > MAXIMUM_OUTPUT {
                self.abandon("too much output", around);
                return;
            }
            if !advanced {
                break;
            }
        }
        self.collect_garbage();
    }
    fn abandon(&mut self, why: &str, around: &mut Surroundings) {
        around.output.push((true, format!("bash: stopped: {why}\n")));
        let ids: Vec<u32> = self.tasks.keys().copied().collect();
        for id in ids {
            self.end(id, 137, around);
        }
    }
    /// The last status of a line's strand, and the shell that it left.
    pub fn result(&mut self, task: u32) -> Option<(i32, Shell)> {
        let status = self.ended.remove(&task)?;
        let (_, shell) = self.main.take()?;
        Some((status, shell))
    }
    fn collect_garbage(&mut self) {
        let mut used = SortedSet::new();
        for task in self.tasks.values() {
            for stream in task.all_streams() {
                if let Stream::Pipe(pipe) = stream {
                    used.insert(*pipe);
                }
            }
            for frame in &task.frames {
                if let Frame::Expand { child: Some((_, pipe)), .. } = frame {
                    used.insert(*pipe);
                }
            }
        }
        self.pipes.retain(|id, _| used.contains(id));
        let tasks = &self.tasks;
        let awaited = |id: &u32| {
            tasks.values().flat_map(|task| &task.frames).any(|frame| match frame {
                Frame::Join { children, .. } => children.contains(id),
                Frame::Expand { child: Some((child, _)), .. } => child == id,
                _ => false,
            })
        };
        let main = self.main.as_ref().map(|(id, _)| *id);
        self.ended.retain(|id, _| awaited(id) || main == Some(*id));
    }

    pub(super) fn end(&mut self, id: u32, status: i32, around: &mut Surroundings) {
        if let Some(task) = self.tasks.remove(&id) {
            if let Some((main, shell)) = &mut self.main
                && *main == id
            {
                *shell = task.shell;
            }
            around.effects.push(Effect::Forget { task: id });
            self.ended.insert(id, status);
        }
    }

    pub(super) fn has_writer(&self, pipe: u32) -> bool {
        let is_writer = |task: &Task| {
            task.streams[1..].contains(&Stream::Pipe(pipe))
                || task.frames.iter().any(|frame| {
                    matches!(frame, Frame::Restore(streams) if streams[1..].contains(&Stream::Pipe(pipe)))
                })
        };
        self.tasks.values().any(is_writer)
    }
    pub(super) fn has_reader(&self, pipe: u32) -> bool {
        self.tasks.values().any(|task| {
            task.streams[0] == Stream::Pipe(pipe)
                || task.frames.iter().any(|frame| match frame {
                    Frame::Restore(streams) => streams[0] == Stream::Pipe(pipe),
                    Frame::Expand { child: Some((_, capture)), .. } => *capture == pipe,
                    _ => false,
                })
        })
    }
    /// Whether the standard input of strand `id` has nothing to come behind what is in the pipe.
    pub(super) fn input_is_over(&self, id: u32) -> bool {
        match self.tasks.get(&id).map(|task| &task.streams[0]) {
            Some(Stream::Pipe(pipe)) => {
                self.pipes.get(pipe).is_none_or(|pipe| pipe.sealed) || !self.has_writer(*pipe)
            }
            _ => true,
        }
    }
    pub(super) fn input_pipe(&mut self, id: u32) -> Option<&mut Pipe> {
        match self.tasks.get(&id).map(|task| &task.streams[0]) {
            Some(Stream::Pipe(pipe)) => self.pipes.get_mut(pipe),
            _ => None,
        }
    }
    /// Writes to a strand's output; false when nobody reads it any more.
    pub(super) fn write(&mut self, id: u32, on_error: bool, text: &str, around: &mut Surroundings) -> bool {
        if text.is_empty() {
            return true;
        }
        self.written += text.len();
        let Some(task) = self.tasks.get(&id) else { return false };
        match task.streams[if on_error { 2 } else { 1 }].clone() {
            Stream::Null => true,
            Stream::Terminal { on_error } => {
                match around.output.last_mut() {
                    Some((last, written)) if *last == on_error => written.push_str(text),
                    _ => around.output.push((on_error, text.to_string())),
                }
                true
            }
            Stream::Pipe(pipe) => {
                if !self.has_reader(pipe) {
                    return false;
                }
                if let Some(pipe) = self.pipes.get_mut(&pipe) {
                    pipe.write(text);
                }
                true
            }
            Stream::File(path) => {
                let before = around.files.read(&path).unwrap_or_default();
                let content =
                    if before.is_empty() { text.into() } else { Text::from(format!("{before}{text}")) };
                around.files.write(&path, content).is_ok()
            }
        }
    }
    pub(super) fn complain(&mut self, id: u32, text: &str, around: &mut Surroundings) {
        self.write(id, true, &format!("bash: {text}\n"), around);
    }

    /// Works off the top note of one strand.
    fn step(&mut self, id: u32, around: &mut Surroundings) -> Step {
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        let Some(frame) = task.frames.pop() else {
            let status = task.shell.status;
            self.end(id, status, around);
            return Step::Ended;
        };
        match frame {
            Frame::Source { text, position } => self.read_command(id, text, position, around),
            Frame::Run(node) => self.run_node(id, node, around),
            Frame::List { nodes, index } => {
                if let Node::List(list) = &*nodes
                    && let Some(node) = list.get(index).cloned()
                {
                    task.frames.push(Frame::List { nodes, index: index + 1 });
                    task.frames.push(Frame::Run(node));
                }
                Step::Advanced
            }
            Frame::Then { on_success, node } => {
                if (task.shell.status == 0) == on_success {
                    task.frames.push(Frame::Run(node));
                }
                Step::Advanced
            }
            Frame::Condition => Step::Advanced,
            Frame::If { node, branch } => {
                let Node::If { branches, otherwise } = &*node else { return Step::Advanced };
                let next = if task.shell.status == 0 {
                    branches.get(branch).map(|(_, body)| body.clone())
                } else if let Some((condition, _)) = branches.get(branch + 1) {
                    let condition = condition.clone();
                    task.frames.push(Frame::If { node, branch: branch + 1 });
                    task.frames.push(Frame::Condition);
                    task.frames.push(Frame::Run(condition));
                    return Step::Advanced;
                } else {
                    task.shell.status = 0;
                    otherwise.clone()
                };
                task.frames.extend(next.map(Frame::Run));
                Step::Advanced
            }
            Frame::Loop { node, testing } => {
                let Node::Loop { until, condition, body } = &*node else { return Step::Advanced };
                if !testing {
                    let condition = condition.clone();
                    task.frames.push(Frame::Loop { node, testing: true });
                    task.frames.push(Frame::Condition);
                    task.frames.push(Frame::Run(condition));
                } else if (task.shell.status == 0) != *until {
                    let body = body.clone();
                    task.frames.push(Frame::Loop { node, testing: false });
                    task.frames.push(Frame::Run(body));
                } else {
                    task.shell.status = 0;
                }
                Step::Advanced
            }
            Frame::For { node, values, index } => {
                let Node::For { name, body, .. } = &*node else { return Step::Advanced };
                if let Some(value) = values.get(index) {
                    task.shell.variables.insert(name.clone(), value.clone());
                    let body = body.clone();
                    task.frames.push(Frame::For { node, values, index: index + 1 });
                    task.frames.push(Frame::Run(body));
                }
                Step::Advanced
            }
            Frame::Restore(streams) => {
                task.streams = *streams;
                Step::Advanced
            }
            Frame::Return { parameters } => {
                task.depth -= 1;
                if let Some(parameters) = parameters {
                    task.shell.parameters = parameters;
                }
                Step::Advanced
            }
            Frame::Join { children, last, negated } => self.join(id, children, last, negated),
            Frame::Expand { node, scripts, outputs, child } => {
                self.substitute(id, node, scripts, outputs, child, around)
            }
            Frame::Program(program) => self.run_program(id, program, around),
        }
    }

    fn read_command(
        &mut self,
        id: u32,
        text: Arc<[char]>,
        position: usize,
        around: &mut Surroundings,
    ) -> Step {
        let mut parser = Parser::new(&text, position);
        let result = parser.next_command();
        let position = parser.position();
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match result {
            Ok(None) => {}
            Ok(Some(node)) => {
                task.frames.push(Frame::Source { text, position });
                task.frames.push(Frame::Run(Arc::new(node)));
            }
            Err(error) => {
                task.shell.status = 2;
                self.complain(id, &error, around);
            }
        }
        Step::Advanced
    }

    fn run_node(&mut self, id: u32, node: Arc<Node>, around: &mut Surroundings) -> Step {
        let tasks = self.tasks.len();
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match &*node {
            Node::List(_) => task.frames.push(Frame::List { nodes: node, index: 0 }),
            Node::And(left, right) | Node::Or(left, right) => {
                let on_success = matches!(&*node, Node::And(..));
                task.frames.push(Frame::Then { on_success, node: right.clone() });
                task.frames.push(Frame::Condition);
                task.frames.push(Frame::Run(left.clone()));
            }
            Node::If { branches, .. } => {
                let condition = branches.first().map(|(condition, _)| condition.clone());
                task.frames.push(Frame::If { node, branch: 0 });
                task.frames.push(Frame::Condition);
                task.frames.extend(condition.map(Frame::Run));
            }
            Node::Loop { .. } => {
                task.shell.status = 0;
                task.frames.push(Frame::Loop { node, testing: false });
            }
            Node::Function { name, body } => {
                task.shell.functions.insert(name.clone(), body.clone());
                task.shell.status = 0;
            }
            Node::Background(body) => {
                if tasks >= MAXIMUM_TASKS {
                    return self.refuse(id, "fork: retry: Resource temporarily unavailable", around);
                }
                let child = Task {
                    frames: vec![Frame::Run(body.clone())],
                    background: true,
                    streams: [Stream::Null, task.streams[1].clone(), task.streams[2].clone()],
                    ..task.clone()
                };
                task.shell.status = 0;
                self.add_task(child);
            }
            Node::Pipeline { negated, parts } => {
                if tasks + parts.len() >= MAXIMUM_TASKS {
                    return self.refuse(id, "fork: retry: Resource temporarily unavailable", around);
                }
                if let ([part], true) = (parts.as_slice(), *negated) {
                    task.frames.push(Frame::Join { children: Vec::new(), last: 0, negated: true });
                    task.frames.push(Frame::Condition);
                    task.frames.push(Frame::Run(part.clone()));
                    return Step::Advanced;
                }
                let (parts, negated) = (parts.clone(), *negated);
                self.start_pipeline(id, &parts, negated);
            }
            Node::Simple(_)
            | Node::For { .. }
            | Node::Case { .. }
            | Node::Group { .. }
            | Node::Subshell { .. } => {
                let mut scripts = Vec::new();
                words_of(&node, |word| substitutions(word, &mut scripts));
                if scripts.is_empty() {
                    return self.run_expanded(id, &node, Vec::new(), around);
                }
                task.frames.push(Frame::Expand {
                    node,
                    scripts: Arc::new(scripts),
                    outputs: Vec::new(),
                    child: None,
                });
            }
        }
        Step::Advanced
    }
    pub(super) fn refuse(&mut self, id: u32, why: &str, around: &mut Surroundings) -> Step {
        self.complain(id, why, around);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.shell.status = 1;
        }
        Step::Advanced
    }

    fn start_pipeline(&mut self, id: u32, parts: &[Arc<Node>], negated: bool) {
        let Some(task) = self.tasks.get(&id) else { return };
        let template = Task { frames: Vec::new(), ..task.clone() };
        let mut input = template.streams[0].clone();
        let mut children = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut child = Task { frames: vec![Frame::Run(part.clone())], ..template.clone() };
            child.streams[0] = input.clone();
            if index + 1 < parts.len() {
                let pipe = self.add_pipe(Pipe::default());
                child.streams[1] = Stream::Pipe(pipe);
                input = Stream::Pipe(pipe);
            }
            children.push(self.add_task(child));
        }
        let last = children.last().copied().unwrap_or(0);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.frames.push(Frame::Join { children, last, negated });
        }
    }
    fn join(&mut self, id: u32, children: Vec<u32>, last: u32, negated: bool) -> Step {
        let running = children.iter().any(|child| self.tasks.contains_key(child));
        let status =
            children.iter().map(|child| (*child, self.ended.get(child).copied())).collect::<Vec<_>>();
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if running {
            task.frames.push(Frame::Join { children, last, negated });
            return Step::Blocked;
        }
        if !children.is_empty() {
            task.shell.status =
                status.iter().find(|(child, _)| *child == last).and_then(|(_, s)| *s).unwrap_or(0);
        }
        if negated {
            task.shell.status = i32::from(task.shell.status == 0);
        }
        for child in children {
            self.ended.remove(&child);
        }
        Step::Advanced
    }

    /// Runs the command substitutions of `node`, one after the other.
    fn substitute(
        &mut self,
        id: u32,
        node: Arc<Node>,
        scripts: Arc<Vec<Arc<str>>>,
        mut outputs: Vec<String>,
        child: Option<(u32, u32)>,
        around: &mut Surroundings,
    ) -> Step {
        let tasks = self.tasks.len();
        if let Some((child, pipe)) = child {
            if self.tasks.contains_key(&child) {
                if let Some(task) = self.tasks.get_mut(&id) {
                    let child = Some((child, pipe));
                    task.frames.push(Frame::Expand { node, scripts, outputs, child });
                }
                return Step::Blocked;
            }
            let status = self.ended.remove(&child).unwrap_or(0);
            outputs.push(self.pipes.remove(&pipe).map(|mut pipe| pipe.take_all()).unwrap_or_default());
            if let Some(task) = self.tasks.get_mut(&id) {
                task.shell.status = status;
            }
        }
        let Some(script) = scripts.get(outputs.len()) else {
            return self.run_expanded(id, &node, outputs, around);
        };
        let source = Frame::Source { text: script.chars().collect(), position: 0 };
        let pipe = self.add_pipe(Pipe::default());
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if task.depth >= MAXIMUM_DEPTH || tasks >= MAXIMUM_TASKS {
            return self.refuse(id, "fork: retry: Resource temporarily unavailable", around);
        }
        let mut streams = task.streams.clone();
        streams[1] = Stream::Pipe(pipe);
        let child = Task { frames: vec![source], streams, depth: task.depth + 1, ..task.clone() };
        let child = self.add_task(child);
        if let Some(task) = self.tasks.get_mut(&id) {
            let child = Some((child, pipe));
            task.frames.push(Frame::Expand { node, scripts, outputs, child });
        }
        Step::Advanced
    }
    pub(super) fn depth_is_exceeded(task: &Task) -> bool {
        task.depth >= MAXIMUM_DEPTH || task.frames.len() > 10_000
    }
}

impl Task {
    fn all_streams(&self) -> impl Iterator<Item = &Stream> {
        let saved = self.frames.iter().filter_map(|frame| match frame {
            Frame::Restore(streams) => Some(streams.iter()),
            _ => None,
        });
        self.streams.iter().chain(saved.flatten())
    }
    /// `set -e`: a failure outside of a condition ends the shell.
    pub(super) fn after_command(&mut self) {
        if self.shell.exit_on_error
            && self.shell.status != 0
            && !self.frames.iter().any(|frame| matches!(frame, Frame::Condition))
        {
            self.frames.clear();
        }
    }
}
