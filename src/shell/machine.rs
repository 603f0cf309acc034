//! Runs scripts: the strands, the pipes between them, and the clock.
//!
//! Picture to hold in mind: a small office of strands ([`super::task`]) that pass text through pipes. The
//! office manager goes round the desks, lets each do a few notes of its to-do list, and stops when every desk
//! waits: for a line of text, for an answer from outside, or for the clock.
//!
//! A machine is plain data and knows nothing of where it stands: a line of the terminal and a container's first
//! process run on the same one. Nothing can hang it: notes, nesting and output are counted, and time passes only in
//! the simulation.

use std::sync::Arc;

use crate::api::Text;
use crate::arrange::Gather;
use crate::client::{Answer, EtcdAnswer, Listener};
use crate::message::rest::Request;
use crate::sim::{Duration, Random, Time};
use crate::sorted::{SortedMap, SortedSet};

use super::program::{EtcdCall, NodeCall, NodeReply, Process};
use super::syntax::{Node, Piece, Simple};
use super::system::{Service, System};
use super::task::{Frame, Pipe, Program, Shell, Stream, Task};

/// Notes that one line may work off without any time passing.
const MAXIMUM_STEPS: u64 = 2_000_000;
/// Notes that a script without a limit works off before time passes, a millisecond for two of them.
const STEPS_AT_ONCE: u64 = 1000;
const MAXIMUM_OUTPUT: usize = 32 << 20;
pub(super) const MAXIMUM_TASKS: usize = 200;
pub(super) const MAXIMUM_DEPTH: usize = 100;

#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub(super) tasks: SortedMap<u32, Task>,
    pub(super) pipes: SortedMap<u32, Pipe>,
    /// The pipe that is written to from outside, and whether more may come.
    outside: Option<(u32, bool)>,
    next: u32,
    /// Statuses of strands that somebody waits for.
    pub(super) ended: SortedMap<u32, i32>,
    /// The shell between two lines.
    shell: Shell,
    /// The strand of the line at hand.
    main: Option<u32>,
    /// How the last line ended.
    status: Option<i32>,
    /// `exit` was called.
    has_left: bool,
    /// A script that goes on without a pause takes time instead of being stopped.
    is_patient: bool,
    /// Ctrl+C was pressed.
    is_interrupted: bool,
    /// Nothing happens before.
    paused_until: Option<Time>,
    /// Something has come since it last stood still.
    is_ready: bool,
    steps: u64,
    written: usize,
}

/// What the machine may use while it runs, and what it wants done.
pub struct Surroundings<'a> {
    pub now: Time,
    pub system: &'a mut dyn System,
    /// Who of etcd can be reached where.
    pub etcd: Arc<SortedMap<Text, Listener>>,
    pub random: &'a mut Random,
    /// `true`: on the standard error.
    pub output: Output,
    pub effects: Vec<Effect>,
}

/// Pieces of output; `true`: on the standard error.
pub type Output = Vec<(bool, String)>;

/// What a strand wants of the outside. Answers come back under its number and the ticket.
#[derive(Debug)]
pub enum Effect {
    Send {
        task: u32,
        ticket: u64,
        /// The API server's `host:port`; empty: the usual one.
        server: Text,
        request: Box<Request>,
    },
    Call {
        task: u32,
        ticket: u64,
        call: Box<EtcdCall>,
    },
    /// To a container engine.
    Node {
        task: u32,
        ticket: u64,
        call: Box<NodeCall>,
    },
    Cancel {
        task: u32,
        ticket: u64,
    },
    /// All exchanges of a strand that has ended.
    Forget {
        task: u32,
    },
    /// Lines that follow are for this command, in the shell of that name.
    Attach {
        words: Arc<Vec<String>>,
        shell: u64,
    },
    Detach,
    /// The page's editor shows this file.
    Edit {
        path: Text,
    },
}

#[derive(PartialEq)]
pub(super) enum Step {
    Advanced,
    Blocked,
    Ended,
}

impl Machine {
    /// A shell that waits for its first line.
    pub fn of_shell(shell: Shell) -> Machine {
        Machine { shell, ..Machine::default() }
    }
    /// One command as a process of its own, without a shell around it; it may run for as long as it likes.
    pub fn of_command(words: &[Text], shell: Shell, stdin: &str) -> Machine {
        let words = words.iter().map(|word| vec![Piece::Quoted(word.to_string())]).collect();
        let node = Node::Simple(Simple { words, ..Simple::default() });
        let mut machine = Machine { is_patient: true, ..Machine::of_shell(shell) };
        machine.begin(Frame::Run(Arc::new(node)), stdin);
        machine
    }
    /// Lets scripts that never pause take time instead of stopping them.
    pub fn patient(mut self) -> Machine {
        self.is_patient = true;
        self
    }
    /// Begins to run `text`.
    pub fn start(&mut self, text: &str, stdin: &str) {
        self.begin(Frame::source(text), stdin);
    }
    fn begin(&mut self, frame: Frame, stdin: &str) {
        (self.steps, self.written, self.status, self.is_ready) = (0, 0, None, true);
        self.outside = None;
        let input =
            if stdin.is_empty() { Stream::Null } else { Stream::Pipe(self.add_pipe(Pipe::of(stdin))) };
        let streams = [input, Stream::Outside { on_error: false }, Stream::Outside { on_error: true }];
        let shell = std::mem::take(&mut self.shell);
        let (frames, signals) = (vec![frame], Vec::new());
        let task = Task { shell, frames, streams, background: false, depth: 0, signals };
        self.main = Some(self.add_task(task));
    }
    /// From now on there may be more to read than there is: see [`Machine::feed`].
    pub fn open_input(&mut self) {
        let empty = self.add_pipe(Pipe::of(""));
        let main = self.main.and_then(|main| self.tasks.get_mut(&main));
        let Some(stream) = main.map(|task| &mut task.streams[0]) else { return };
        if !matches!(stream, Stream::Pipe(_)) {
            *stream = Stream::Pipe(empty);
        }
        if let Stream::Pipe(pipe) = *stream {
            self.outside = Some((pipe, true));
            if let Some(pipe) = self.pipes.get_mut(&pipe) {
                pipe.sealed = false;
            }
        }
    }
    /// More for the line at hand to read, where its input is open, and whether that is all.
    pub fn feed(&mut self, text: &str, is_over: bool) {
        if let Some((id, is_open)) = &mut self.outside {
            *is_open &= !is_over;
            if let Some(pipe) = self.pipes.get_mut(id) {
                pipe.write(text);
            }
        }
        self.is_ready = true;
    }
    /// What was fed and nobody has read.
    pub fn take_unread(&mut self) -> String {
        let pipe = self.outside.take().and_then(|(pipe, _)| self.pipes.get_mut(&pipe));
        pipe.map(Pipe::take_all).unwrap_or_default()
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
    /// The shell of the line at hand, or the one that waits for a line.
    pub fn shell(&self) -> &Shell {
        self.main.and_then(|main| self.tasks.get(&main)).map_or(&self.shell, |task| &task.shell)
    }
    /// Whether the line at hand goes on.
    pub fn is_running(&self) -> bool {
        self.main.is_some()
    }
    /// How the last line ended.
    pub fn status(&self) -> Option<i32> {
        self.status
    }
    /// Whether the shell was left by `exit`.
    pub fn has_left(&self) -> bool {
        self.has_left
    }
    pub(super) fn leaves(&mut self, task: u32) {
        self.has_left |= self.main == Some(task);
    }
    fn programs(&self) -> impl Iterator<Item = &Program> {
        self.tasks.values().filter_map(|task| match task.frames.last()? {
            Frame::Program(program) => Some(&**program),
            _ => None,
        })
    }
    /// What runs until it is ended, in the foreground or on the side.
    pub fn service(&self) -> Option<&Service> {
        self.programs().find_map(|program| match program {
            Program::Service(service) => Some(service),
            _ => None,
        })
    }
    /// Whether a program waits for answers from outside.
    pub fn is_calling(&self) -> bool {
        self.programs().any(|program| matches!(program, Program::Process { .. }))
    }
    /// When there is something to do again; `None`: not before something comes from outside.
    pub fn wake(&self) -> Option<Time> {
        if self.is_ready {
            return Some(Time::ZERO);
        }
        self.paused_until.or_else(|| self.tasks.values().filter_map(Task::wake).min())
    }
    fn process(&mut self, task: u32) -> Option<&mut Process> {
        self.is_ready = true;
        match self.tasks.get_mut(&task)?.frames.last_mut()? {
            Frame::Program(program) => match &mut **program {
                Program::Process { process, is_ready, .. } => {
                    *is_ready = true;
                    Some(process)
                }
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
    pub fn deliver_node(&mut self, task: u32, ticket: u64, reply: NodeReply) {
        if let Some(process) = self.process(task) {
            process.deliver_node(ticket, reply);
        }
    }
    /// Hands a signal to the line at hand. True if it has a trap for it, or ignores it: it must not be killed.
    pub fn signal(&mut self, name: &str) -> bool {
        let main = self.main.and_then(|main| self.tasks.get_mut(&main));
        let is_trapped = main.is_some_and(|task| task.take_signal(name));
        self.is_ready |= is_trapped;
        is_trapped
    }
    /// Ends every strand that is not in the background, as Ctrl+C does.
    pub fn interrupt(&mut self, around: &mut Surroundings) {
        let ids: Vec<u32> =
            self.tasks.iter().filter(|(_, task)| !task.background).map(|(id, _)| *id).gather();
        for id in ids {
            self.end_by_signal(id, 130, around);
        }
    }
    /// As [`Machine::interrupt`], when it runs next.
    pub fn interrupt_soon(&mut self) {
        (self.is_interrupted, self.is_ready, self.paused_until) = (true, true, None);
    }
    /// Runs until every strand waits. Time has passed since the last time, so counting begins anew.
    pub fn run(&mut self, around: &mut Surroundings) {
        if self.paused_until.is_some_and(|until| until > around.now) {
            return;
        }
        (self.steps, self.paused_until, self.is_ready) = (0, None, false);
        if std::mem::take(&mut self.is_interrupted) {
            self.interrupt(around);
        }
        loop {
            let mut advanced = false;
            let ids: Vec<u32> = self
                .tasks
                .iter()
                .filter(|(_, task)| !task.is_waiting(around.now))
                .map(|(id, _)| *id)
                .gather();
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
                    if self.is_patient && self.steps > STEPS_AT_ONCE {
                        self.paused_until = Some(around.now + Duration::from_millis(STEPS_AT_ONCE / 2));
                        self.written = 0;
                        return;
                    }
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
        let shell = around.system.dialect().shell();
        around.output.push((true, format!("{shell}: stopped: {why}\n")));
        let ids: Vec<u32> = self.tasks.keys().copied().collect();
        for id in ids {
            self.end(id, 137, around);
        }
    }
    fn collect_garbage(&mut self) {
        if self.pipes.is_empty() && self.ended.is_empty() {
            return;
        }
        let mut used = SortedSet::new();
        used.extend(self.outside.map(|(pipe, _)| pipe));
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
        self.ended.retain(|id, _| {
            tasks.values().flat_map(|task| &task.frames).any(|frame| match frame {
                Frame::Join { children, .. } => children.contains(id),
                Frame::Expand { child: Some((child, _)), .. } => child == id,
                _ => false,
            }) || tasks.values().any(|task| task.shell.jobs.contains(id))
                || self.shell.jobs.contains(id)
        });
    }

    /// A strand ends by a signal. A program that has something left to do does it, and says how that ended; SIGKILL it
    /// never hears of.
    pub(super) fn end_by_signal(&mut self, id: u32, status: i32, around: &mut Surroundings) {
        let will = self.process(id).and_then(|process| process.will.take()).filter(|_| status != 137);
        let status = will.as_ref().map_or(status, |will| will.status);
        if let Some(will) = will {
            self.write(id, true, will.words, around);
            around.effects.push(Effect::Call { task: id, ticket: u64::MAX, call: Box::new(will.call) });
        }
        self.end(id, status, around);
    }
    pub(super) fn end(&mut self, id: u32, status: i32, around: &mut Surroundings) {
        let Some(task) = self.tasks.remove(&id) else { return };
        let is_asking = task.frames.iter().any(Frame::is_process);
        if is_asking {
            around.effects.push(Effect::Forget { task: id });
        }
        if self.main == Some(id) {
            self.shell = Shell { status, ..task.shell };
            self.main = None;
            self.status = Some(status);
        } else {
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
        self.outside == Some((pipe, true)) || self.tasks.values().any(is_writer)
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
            Stream::Outside { on_error } => {
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
            Stream::File(path) => around.system.files_mut().append(&path, text).is_ok(),
        }
    }
    /// Says something in the shell's own name.
    pub(super) fn complain(&mut self, id: u32, text: &str, around: &mut Surroundings) {
        let shell = around.system.dialect().shell();
        self.write(id, true, &format!("{shell}: {text}\n"), around);
    }
    pub(super) fn refuse(&mut self, id: u32, why: &str, around: &mut Surroundings) -> Step {
        self.complain(id, why, around);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.shell.status = 1;
        }
        Step::Advanced
    }
    pub(super) fn depth_is_exceeded(task: &Task) -> bool {
        task.depth >= MAXIMUM_DEPTH || task.frames.len() > 10_000
    }
}

impl Frame {
    fn is_process(&self) -> bool {
        matches!(self, Frame::Program(program) if matches!(**program, Program::Process { .. }))
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
    /// Takes a signal if there is a trap for it; true also where it is ignored.
    pub(super) fn take_signal(&mut self, name: &str) -> bool {
        let Some(script) = self.shell.traps.get(name) else { return false };
        if !script.is_empty() {
            self.signals.push(name.into());
            // `wait` is the one command that a signal ends; others are waited for, as POSIX says.
            if matches!(self.frames.last(), Some(Frame::Join { is_wait: true, .. })) {
                self.frames.pop();
                self.shell.status = 143;
            }
        }
        true
    }
}
