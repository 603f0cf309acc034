//! The reader of the cards: one running script, as plain data.
//!
//! Picture to hold in mind: a finger on a card, a pile of notes for what is half done (loops, pipes,
//! redirections, calls), and an hour at which to go on.

mod process;

use std::sync::Arc;

use crate::api::Text;
use crate::client::Listener;
use crate::network::netfilter::Table;
use crate::shell::Main;
use crate::shell::program::EtcdCall;
use crate::sim::{Duration, Random, Time};
use crate::sorted::SortedMap;

use super::super::files::View;
use super::super::program::Server;
use super::commands::{self, Ran, Then};
use super::compile::{Card, Code, Simple, compile, compile_arguments};
use super::lexer::Word;
use super::redirect::Target;
use process::Running;

/// What a script can reach while it runs.
pub struct Surroundings<'a> {
    pub now: Time,
    pub files: View<'a>,
    pub hostname: &'a str,
    /// Names and arguments of the processes that share the PID namespace.
    pub processes: &'a [Text],
    /// Programs that the image does not have are an error; without this list any name may be one.
    pub has_only_known_programs: bool,
    pub network: &'a dyn Reach,
    /// The image has no tools at all.
    pub is_minimal: bool,
    /// Programs of the image that speak with others.
    pub programs: &'static [(&'static str, Main)],
    /// Who of etcd can be reached where.
    pub etcd: Arc<SortedMap<Text, Listener>>,
    pub random: &'a mut Random,
    /// Counts processes, so that answers find theirs.
    pub next_process: &'a mut u64,
    pub calls: Vec<Call>,
}

/// What a process wants of the outside.
#[derive(Debug)]
pub enum Call {
    Etcd { process: u64, ticket: u64, call: Box<EtcdCall> },
    Cancel { process: u64, ticket: u64 },
}

/// The network as a script sees it.
pub trait Reach {
    /// The address that a name resolves to.
    fn resolve(&self, name: &str) -> Option<Text>;
    /// An HTTP request, or with an empty path a bare connection; to port 0 an echo request. The error is the
    /// client's word for it. An answer that has yet to come means that the whole run will be repeated.
    fn request(
        &self,
        address: &str,
        port: u16,
        path: &str,
        timeout_seconds: u64,
    ) -> Result<(u16, Text), &'static str>;
    /// `ip addr`'s lines.
    fn interfaces(&self) -> String;
    fn routes(&self) -> String;
    /// `ip neigh`'s.
    fn neighbours(&self) -> String {
        String::new()
    }
    /// `conntrack -L`'s, and what it writes besides.
    fn connections(&self) -> (String, String) {
        (String::new(), String::new())
    }
    /// `iptables-save`'s, of all tables or one; empty where a network has none.
    fn rules(&self, _table: Option<Table>) -> String {
        String::new()
    }
}

/// A piece of output: descriptor 1 or 2, and text.
pub type Output = Vec<(u8, String)>;

#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) code: Arc<Code>,
    pub(super) at: usize,
    pub status: i32,
    pub(super) variables: Arc<SortedMap<Text, Text>>,
    /// `$0`, `$1` ...
    pub(super) arguments: Vec<Text>,
    pub(super) directory: Text,
    pub(super) frames: Vec<Frame>,
    /// Functions that were defined: name and first card.
    functions: SortedMap<Text, usize>,
    /// Signal to script; an empty script ignores it.
    pub(super) traps: SortedMap<Text, Text>,
    pending_signals: Vec<Text>,
    pub state: State,
    /// Scripts running on the side.
    children: Vec<Machine>,
    /// The status that a sleep or a server leaves behind when it is over.
    pub(super) exits_on_failure: bool,
    depth: u32,
    /// What of the standard input has been read, for `read`.
    pub(super) input_at: usize,
    process: Option<Running>,
    /// `exit` was called.
    pub has_left: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Ready,
    Sleeping {
        until: Time,
    },
    /// A server (or an unknown program) runs in the foreground until it is killed.
    Serving(Arc<Server>),
    /// `tail -f`: prints what is added to a file.
    Following {
        path: Text,
        seen: usize,
        until: Time,
    },
    /// A program waits for answers from outside.
    Calling,
    /// `wait`, or nothing left to do but to wait for a signal.
    Waiting,
    Exited(i32),
}

#[derive(Clone, Debug)]
pub(super) enum Frame {
    For { words: Vec<Text>, next: usize },
    Capture { text: String },
    Input { text: Text, at_before: usize },
    Redirect { targets: Vec<(u8, Target)>, input: Option<usize> },
    Scope { variables: Arc<SortedMap<Text, Text>>, directory: Text, end: usize },
    Call { code: Option<Arc<Code>>, at: usize, arguments: Vec<Text>, is_subshell: bool },
}

/// Cards that are read without any time passing; then a millisecond passes for each that was read.
const CARDS_AT_ONCE: usize = 500;
const DEEPEST: u32 = 12;
/// How often `tail -f` looks.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

impl Machine {
    pub fn new(code: Arc<Code>, environment: &[(Text, Text)], directory: &str) -> Machine {
        let mut variables: SortedMap<Text, Text> = SortedMap::new();
        variables
            .insert("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
        variables.extend(environment.iter().cloned());
        Machine {
            code,
            at: 0,
            status: 0,
            variables: Arc::new(variables),
            arguments: vec!["sh".into()],
            directory: directory.into(),
            frames: Vec::new(),
            functions: SortedMap::new(),
            traps: SortedMap::new(),
            pending_signals: Vec::new(),
            state: State::Ready,
            children: Vec::new(),
            exits_on_failure: false,
            depth: 0,
            input_at: 0,
            process: None,
            has_left: false,
        }
    }
    /// A shell that has no line yet.
    pub fn waiting(environment: &[(Text, Text)]) -> Machine {
        Machine::new(compile_arguments(&[]), environment, "/")
    }
    /// Takes the next line.
    pub fn enter(&mut self, code: Arc<Code>) {
        self.code = code;
        self.at = 0;
        self.frames.clear();
        // Their cards were those of an earlier line.
        self.functions.clear();
        self.state = State::Ready;
    }
    /// Gives it something to read.
    pub fn read_from(&mut self, text: &Text) {
        if !text.is_empty() {
            self.frames.push(Frame::Input { text: text.clone(), at_before: 0 });
        }
    }
    /// One command without a shell around it.
    pub fn of_arguments(arguments: &[Text], environment: &[(Text, Text)], directory: &str) -> Machine {
        Machine::new(compile_arguments(arguments), environment, directory)
    }

    pub(super) fn child(&self, code: Arc<Code>) -> Machine {
        Machine {
            code,
            at: 0,
            frames: Vec::new(),
            children: Vec::new(),
            traps: SortedMap::new(),
            pending_signals: Vec::new(),
            state: State::Ready,
            depth: self.depth + 1,
            process: None,
            ..self.clone()
        }
    }

    pub fn is_running(&self) -> bool {
        !matches!(self.state, State::Exited(_))
    }
    /// The server in the foreground or on the side.
    pub fn server(&self) -> Option<&Arc<Server>> {
        match &self.state {
            State::Serving(server) => Some(server),
            _ => self.children.iter().find_map(Machine::server),
        }
    }
    /// When there is something to do again; `None`: not before a signal.
    pub fn wake(&self) -> Option<Time> {
        let own = match &self.state {
            State::Ready => Some(Time::ZERO),
            State::Sleeping { until } | State::Following { until, .. } => Some(*until),
            State::Calling => self.process.as_ref().and_then(Running::wake),
            _ => None,
        };
        self.children.iter().filter_map(Machine::wake).chain(own).min()
    }

    /// Hands over a signal. True if the script has a trap for it (or ignores it): it must not be killed.
    pub fn signal(&mut self, name: &str) -> bool {
        let is_trapped = self.traps.contains_key(name);
        if is_trapped {
            self.pending_signals.push(name.into());
            // `wait` is the one command that a signal ends; others are waited for, as POSIX says.
            if self.state == State::Waiting {
                self.state = State::Ready;
            }
        }
        is_trapped
    }

    /// `set -e`.
    fn after_failure(&mut self, status: i32) {
        let is_tested =
            matches!(self.code.cards.get(self.at), Some(Card::JumpIfFailed(_) | Card::JumpIfOk(_)));
        if status != 0 && self.exits_on_failure && !is_tested {
            self.exit(status);
        }
    }

    /// Goes on until time must pass.
    pub fn run(&mut self, surroundings: &mut Surroundings, output: &mut Output) {
        for index in 0..self.children.len() {
            let mut child = self.children[index].clone();
            if child.wake().is_some_and(|wake| wake <= surroundings.now) {
                child.run(surroundings, output);
                self.children[index] = child;
            }
        }
        if self.state == State::Waiting && self.children.iter().all(|child| !child.is_running()) {
            self.children.clear();
            self.status = 0;
            self.state = State::Ready;
        }
        match &self.state {
            State::Sleeping { until } if *until <= surroundings.now => self.state = State::Ready,
            State::Following { until, .. } if *until <= surroundings.now => self.follow(surroundings, output),
            State::Calling => self.go_on(surroundings, output),
            _ => {}
        }
        let mut cards = 0;
        while self.state == State::Ready {
            if cards == CARDS_AT_ONCE {
                let until = surroundings.now + Duration::from_millis(CARDS_AT_ONCE as u64);
                self.state = State::Sleeping { until };
                break;
            }
            cards += 1;
            self.take_signals();
            self.step(surroundings, output);
        }
    }

    /// Runs to the end with all sleeps skipped, as far as that is possible: the standard output.
    pub(super) fn run_at_once(&mut self, surroundings: &mut Surroundings) -> String {
        let mut output = Output::new();
        if self.depth > DEEPEST {
            return String::new();
        }
        for _ in 0..10_000 {
            match self.state {
                State::Exited(_)
                | State::Serving(_)
                | State::Following { .. }
                | State::Calling
                | State::Waiting => break,
                State::Sleeping { .. } => self.state = State::Ready,
                State::Ready => {}
            }
            self.step(surroundings, &mut output);
        }
        output.into_iter().filter(|(descriptor, _)| *descriptor == 1).map(|(_, text)| text).collect()
    }

    fn follow(&mut self, surroundings: &mut Surroundings, output: &mut Output) {
        let State::Following { path, seen, .. } = self.state.clone() else { return };
        let content = surroundings.files.read(&path).unwrap_or_default();
        let from = if content.len() < seen { 0 } else { seen };
        if let Some(new) = content.get(from..).filter(|new| !new.is_empty()) {
            self.write(1, new, &[], surroundings, output);
        }
        let until = surroundings.now + FOLLOW_INTERVAL;
        self.state = State::Following { path, seen: content.len(), until };
    }

    fn take_signals(&mut self) {
        if self.pending_signals.is_empty() {
            return;
        }
        let signal = self.pending_signals.remove(0);
        if let Some(script) = self.traps.get(&signal).cloned()
            && let Ok(code) = compile(&script)
        {
            self.call(Some(code), self.arguments.clone(), false);
        }
    }

    fn call(&mut self, code: Option<Arc<Code>>, arguments: Vec<Text>, is_subshell: bool) {
        let code = code.map(|code| std::mem::replace(&mut self.code, code));
        let has_new_code = code.is_some();
        let arguments = std::mem::replace(&mut self.arguments, arguments);
        self.frames.push(Frame::Call { code, at: self.at, arguments, is_subshell });
        if has_new_code {
            self.at = 0;
        }
    }

    pub(super) fn set_variable(&mut self, name: Text, value: Text) {
        Arc::make_mut(&mut self.variables).insert(name, value);
    }

    fn step(&mut self, surroundings: &mut Surroundings, output: &mut Output) {
        let Some(card) = self.code.cards.get(self.at).cloned() else {
            self.exit(self.status);
            return;
        };
        self.at += 1;
        match card {
            Card::Simple(simple) => self.simple(&simple, surroundings, output),
            Card::Jump(to) => self.at = to,
            Card::JumpIfOk(to) => {
                if self.status == 0 {
                    self.at = to;
                }
            }
            Card::JumpIfFailed(to) => {
                if self.status != 0 {
                    self.at = to;
                }
            }
            Card::Negate => self.status = i32::from(self.status == 0),
            Card::Status(status) => self.status = status,
            Card::ForBegin { words } => {
                let words = self.fields(&words, surroundings);
                self.frames.push(Frame::For { words, next: 0 });
            }
            Card::ForNext { name, done } => {
                let word = match self.frames.last_mut() {
                    Some(Frame::For { words, next }) => {
                        *next += 1;
                        words.get(*next - 1).cloned()
                    }
                    _ => None,
                };
                match word {
                    Some(word) => self.set_variable(name, word),
                    None => {
                        self.frames.pop();
                        self.at = done;
                    }
                }
            }
            Card::Case { word, patterns, otherwise } => {
                let text = self.text_of(&word, surroundings);
                let is_match = patterns.iter().any(|pattern| {
                    let pattern = self.text_of(pattern, surroundings);
                    super::expand::matches(&pattern, &text)
                });
                if !is_match {
                    self.at = otherwise;
                }
            }
            Card::PipeOut => self.frames.push(Frame::Capture { text: String::new() }),
            Card::PipeIn => {
                // In a longer pipe the input of the stage before lies under its output.
                let text = self.pop_capture();
                self.pop_input();
                self.frames.push(Frame::Input { text: text.into(), at_before: self.input_at });
                self.input_at = 0;
            }
            Card::Pop => self.pop(),
            Card::RedirectBegin(redirects) => self.begin_redirect(&redirects, surroundings, output),
            Card::ScopeBegin { end } => self.frames.push(Frame::Scope {
                variables: self.variables.clone(),
                directory: self.directory.clone(),
                end,
            }),
            Card::Background { end } => {
                let mut child = self.child(self.code.clone());
                child.at = self.at;
                child.run(surroundings, output);
                self.children.push(child);
                self.at = end;
                self.status = 0;
            }
            Card::Function { name, end } => {
                self.functions.insert(name, self.at);
                self.at = end;
            }
            Card::Return => self.leave_call(),
            Card::End => {
                let is_in_call = self.frames.iter().any(|frame| matches!(frame, Frame::Call { .. }));
                if is_in_call { self.leave_call() } else { self.exit(self.status) }
            }
        }
    }

    fn pop_capture(&mut self) -> String {
        match self.frames.pop() {
            Some(Frame::Capture { text }) => text,
            Some(other) => {
                self.frames.push(other);
                String::new()
            }
            None => String::new(),
        }
    }
    fn pop_input(&mut self) {
        if let Some(Frame::Input { at_before, .. }) = self.frames.last() {
            self.input_at = *at_before;
            self.frames.pop();
        }
    }
    fn pop(&mut self) {
        match self.frames.pop() {
            Some(Frame::Scope { variables, directory, .. }) => {
                self.variables = variables;
                self.directory = directory;
            }
            Some(Frame::Input { at_before, .. }) => self.input_at = at_before,
            Some(Frame::Redirect { input: Some(at_before), .. }) => {
                self.input_at = at_before;
                // The file's content lies below.
                self.frames.pop();
            }
            _ => {}
        }
    }

    /// Back to where a function or another script was called.
    fn leave_call(&mut self) {
        while let Some(frame) = self.frames.pop() {
            if let Frame::Call { code, at, arguments, .. } = frame {
                if let Some(code) = code {
                    self.code = code;
                }
                self.at = at;
                self.arguments = arguments;
                return;
            }
        }
        self.exit(self.status);
    }

    /// `exit`: leaves the innermost subshell, or ends the script.
    fn exit(&mut self, status: i32) {
        self.status = status;
        while let Some(frame) = self.frames.pop() {
            match frame {
                Frame::Scope { variables, directory, end } => {
                    self.variables = variables;
                    self.directory = directory;
                    self.at = end;
                    return;
                }
                Frame::Call { code, at, arguments, is_subshell: true } => {
                    if let Some(code) = code {
                        self.code = code;
                    }
                    self.at = at;
                    self.arguments = arguments;
                    return;
                }
                _ => {}
            }
        }
        // `trap ... EXIT`.
        if let Some(script) = self.traps.remove("EXIT")
            && let Ok(code) = compile(&script)
        {
            self.code = code;
            self.at = 0;
            return;
        }
        self.state = State::Exited(status);
    }

    /// The standard input that is not read yet.
    fn input(&self) -> Text {
        for frame in self.frames.iter().rev() {
            if let Frame::Input { text, .. } = frame {
                return text.get(self.input_at..).unwrap_or("").into();
            }
        }
        Text::new()
    }

    fn simple(&mut self, simple: &Simple, surroundings: &mut Surroundings, output: &mut Output) {
        let words = self.fields(&simple.words, surroundings);
        let (targets, input) = match self.targets(&simple.redirects, surroundings) {
            Ok(found) => found,
            Err(error) => {
                self.write(2, &(error + "\n"), &[], surroundings, output);
                self.status = 1;
                return;
            }
        };
        let assignments: Vec<(Text, Text)> = simple
            .assignments
            .iter()
            .map(|(name, word): &(Text, Word)| (name.clone(), self.text_of(word, surroundings).into()))
            .collect();
        let Some(name) = words.first() else {
            let has_command = simple
                .assignments
                .iter()
                .any(|(_, word)| word.iter().any(|part| matches!(part, super::lexer::Part::Command { .. })));
            if !has_command {
                self.status = 0;
            }
            for (name, value) in assignments {
                self.set_variable(name, value);
            }
            return;
        };
        if let Some(&at) = self.functions.get(name) {
            let arguments = words.clone();
            self.call(None, arguments, false);
            self.at = at;
            return;
        }
        let before = (!assignments.is_empty()).then(|| self.variables.clone());
        for (name, value) in assignments {
            self.set_variable(name, value);
        }
        let has_own_input = input.is_some();
        let input = input.unwrap_or_else(|| self.input());
        let ran = match self.builtin(&words, &input, has_own_input, surroundings) {
            Some(ran) => ran,
            None => commands::run(&words, &input, &self.variables, &self.directory, surroundings),
        };
        let input = if matches!(ran.then, Then::Process(_)) { input } else { Text::new() };
        if let Some(before) = before {
            self.variables = before;
        }
        let Ran { status, stdout, stderr, then } = ran;
        self.write(1, &stdout, &targets, surroundings, output);
        self.write(2, &stderr, &targets, surroundings, output);
        self.status = status;
        match then {
            Then::Done => self.after_failure(status),
            Then::Process(process) => self.begin_process(process, targets, input, surroundings, output),
            Then::Exit => {
                self.exit(status);
                self.has_left = matches!(self.state, State::Exited(_));
            }
            Then::Sleep(duration) => self.state = State::Sleeping { until: surroundings.now + duration },
            Then::Serve(server) => self.state = State::Serving(server),
            Then::Wait => self.state = State::Waiting,
            Then::Follow(path) => {
                let seen = surroundings.files.read(&path).map_or(0, |content| content.len());
                self.state = State::Following { path, seen, until: surroundings.now + FOLLOW_INTERVAL };
            }
            Then::Script { code, arguments, is_subshell } => {
                if self.frames.len() > 200 {
                    self.exit(2);
                } else {
                    self.call(Some(code), arguments, is_subshell);
                }
            }
            Then::Return => self.leave_call(),
        }
    }
}
