//! One strand of a running command line: a shell (or a copy of it in a pipe) with what it still has to do.
//!
//! Picture to hold in mind: a to-do list whose top note is what happens next; a note may put several others
//! on top of itself. Nothing is kept on the machine's own stack, so a strand can be put down at any moment,
//! copied into a checkpoint, and taken up again.

use std::sync::Arc;

use crate::api::Text;
use crate::sim::Time;
use crate::sorted::SortedMap;

use super::program::Process;
use super::syntax::Node;
use super::system::Service;
use super::tools::Filter;

/// What a shell knows: variables, functions, where it is.
#[derive(Clone, Debug, Default)]
pub struct Shell {
    pub variables: Arc<SortedMap<Text, Text>>,
    pub functions: SortedMap<Text, Arc<Node>>,
    pub aliases: SortedMap<Text, Text>,
    /// Signal (or `EXIT`) to script; an empty script ignores it.
    pub traps: SortedMap<Text, Text>,
    /// `$0`, `$1` ...
    pub parameters: Vec<Text>,
    pub folder: Text,
    pub status: i32,
    /// `set -e`.
    pub exit_on_error: bool,
    /// `set -x`.
    pub trace: bool,
    /// Somebody types its lines one by one: the end of one is not its end.
    pub is_interactive: bool,
    /// Strands started with `&`, the last of which is `$!`.
    pub jobs: Vec<u32>,
}

impl Shell {
    pub fn new(name: &str, variables: SortedMap<Text, Text>, folder: &str) -> Shell {
        Shell {
            variables: Arc::new(variables),
            parameters: vec![name.into()],
            folder: folder.into(),
            ..Shell::default()
        }
    }
    pub fn set(&mut self, name: &str, value: impl Into<Text>) {
        Arc::make_mut(&mut self.variables).insert(name.into(), value.into());
    }
    pub fn unset(&mut self, name: &str) {
        if self.variables.contains_key(name) {
            Arc::make_mut(&mut self.variables).remove(name);
        }
    }
    /// Gives a variable back the value that it had before.
    pub fn put_back(&mut self, (name, value): (Text, Option<Text>)) {
        match value {
            Some(value) => self.set(&name, value),
            None => self.unset(&name),
        }
    }
    /// A copy for a subshell: what it traps is not trapped there, what it ignores is ignored.
    pub fn below(&self) -> Shell {
        let mut shell = Shell { is_interactive: false, jobs: Vec::new(), ..self.clone() };
        shell.traps.retain(|_, script| script.is_empty());
        shell
    }
}

/// Where one of the three standard streams leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Stream {
    Null,
    /// The two outputs of the machine.
    Outside {
        on_error: bool,
    },
    Pipe(u32),
    /// An absolute path, written at its end.
    File(Text),
}

pub type Streams = [Stream; 3];

#[derive(Clone, Debug)]
pub struct Task {
    pub shell: Shell,
    pub frames: Vec<Frame>,
    pub streams: Streams,
    /// Started with `&`: an interrupt leaves it alone.
    pub background: bool,
    /// Depth of functions and `source`.
    pub depth: usize,
    /// Signals that came and have a trap.
    pub signals: Vec<Text>,
}

impl Task {
    /// A strand of its own for a part of this one's work.
    pub fn below(&self, frames: Vec<Frame>) -> Task {
        Task {
            shell: self.shell.below(),
            frames,
            streams: self.streams.clone(),
            background: self.background,
            depth: self.depth,
            signals: Vec::new(),
        }
    }
    /// When it goes on by itself.
    pub fn wake(&self) -> Option<Time> {
        match self.frames.last()? {
            Frame::Join { deadline, .. } => *deadline,
            Frame::Program(program) => match &**program {
                Program::Sleep { until, .. } => Some(*until),
                Program::Follow { until, .. } => *until,
                Program::Process { wakes, .. } => wakes.iter().min().copied(),
                _ => None,
            },
            _ => None,
        }
    }
    /// Whether it waits for answers, and none has come: with many such strands, most have nothing to do at any time.
    pub fn is_waiting(&self, now: Time) -> bool {
        let Some(Frame::Program(program)) = self.frames.last() else { return false };
        matches!(&**program, Program::Process { wakes, is_ready: false, .. } if wakes.iter().all(|wake| *wake > now))
    }
    /// Whether it is between two commands.
    pub fn is_between_commands(&self) -> bool {
        !matches!(
            self.frames.last(),
            Some(Frame::Join { .. } | Frame::Expand { .. } | Frame::Program(_) | Frame::Condition)
        )
    }
}

/// One note on the to-do list.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Text to read commands from.
    Source {
        text: Arc<[char]>,
        position: usize,
    },
    Run(Arc<Node>),
    List {
        nodes: Arc<Node>,
        index: usize,
    },
    /// `&&` (run on success) or `||`.
    Then {
        on_success: bool,
        node: Arc<Node>,
    },
    If {
        node: Arc<Node>,
        branch: usize,
    },
    Loop {
        node: Arc<Node>,
        testing: bool,
        /// Of the last body that ran: the loop's own.
        status: i32,
    },
    For {
        node: Arc<Node>,
        values: Arc<Vec<Text>>,
        index: usize,
    },
    /// Command substitutions before `node` can be expanded.
    Expand {
        node: Arc<Node>,
        scripts: Arc<Vec<Arc<str>>>,
        outputs: Vec<Substituted>,
        child: Option<(u32, u32)>,
    },
    /// Puts the streams back after a redirection.
    Restore(Box<Streams>),
    /// Puts back the variables that one command had with a value of its own.
    Variables(Vec<(Text, Option<Text>)>),
    /// The end of a function or a sourced file.
    Return {
        parameters: Option<Vec<Text>>,
        /// What `local` has hidden.
        hidden: Vec<(Text, Option<Text>)>,
    },
    /// The end of a trap: the status is again what it was.
    Trapped {
        status: i32,
    },
    /// A pipeline's strands; the last one's status counts.
    Join {
        children: Vec<u32>,
        last: u32,
        negated: bool,
        /// `timeout`: they are ended then.
        deadline: Option<Time>,
        /// `wait`: a signal with a trap ends it.
        is_wait: bool,
    },
    /// `set -e` does not look at conditions.
    Condition,
    Program(Box<Program>),
}

/// What a command substitution wrote, and its status.
pub type Substituted = (String, i32);

impl Frame {
    pub fn source(text: &str) -> Frame {
        Frame::Source { text: text.chars().collect(), position: 0 }
    }
    pub fn join(children: Vec<u32>, negated: bool) -> Frame {
        let last = children.last().copied().unwrap_or(0);
        Frame::Join { children, last, negated, deadline: None, is_wait: false }
    }
    pub fn program(program: Program) -> Frame {
        Frame::Program(Box::new(program))
    }
}

/// A command that may take its time.
#[derive(Clone, Debug)]
pub enum Program {
    Filter {
        name: Text,
        filter: Box<Filter>,
    },
    Sleep {
        until: Time,
        status: i32,
    },
    /// `read a b`; with `raw`, a backslash is a letter like others.
    Read {
        names: Vec<Text>,
        raw: bool,
    },
    /// `sh` that reads its script.
    Script {
        text: String,
    },
    Xargs {
        arguments: Vec<String>,
        each: Option<usize>,
        replace: Option<String>,
        input: String,
    },
    Process {
        process: Box<Process>,
        /// Instants at which it wants to look again.
        wakes: Vec<Time>,
        /// Something has come for it since it last looked, or may come unannounced.
        is_ready: bool,
    },
    Service(Service),
    /// `tail -f`: prints what is added to a file.
    Follow {
        path: Text,
        seen: usize,
        /// When it looks again; `None`: nothing can come.
        until: Option<Time>,
    },
}

/// Text on its way from one strand to another.
#[derive(Clone, Debug, Default)]
pub struct Pipe {
    text: String,
    read: usize,
    /// Nothing will be added: a file, a here-document.
    pub sealed: bool,
}

impl Pipe {
    pub fn of(text: &str) -> Pipe {
        Pipe { text: text.to_string(), read: 0, sealed: true }
    }
    pub fn write(&mut self, text: &str) {
        if self.read > 4096 && self.read * 2 > self.text.len() {
            self.text.drain(..self.read);
            self.read = 0;
        }
        self.text.push_str(text);
    }
    pub fn rest(&self) -> &str {
        &self.text[self.read..]
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn len(&self) -> usize {
        self.text.len() - self.read
    }
    /// The next line without its end, and whether it had one; an open last line only if `at_end`.
    pub fn take_line(&mut self, at_end: bool) -> Option<(String, bool)> {
        let rest = self.rest();
        let (line, ended) = match rest.find('\n') {
            Some(end) => (rest[..end].to_string(), true),
            None if at_end && !rest.is_empty() => (rest.to_string(), false),
            None => return None,
        };
        self.read += line.len() + usize::from(ended);
        Some((line, ended))
    }
    pub fn take_all(&mut self) -> String {
        let text = self.rest().to_string();
        self.read = self.text.len();
        text
    }
}
