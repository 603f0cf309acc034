//! One strand of a running command line: a shell (or a copy of it in a pipe) with what it still has to do.
//!
//! Picture to hold in mind: a to-do list whose top note is what happens next; a note may put several others
//! on top of itself. Nothing is kept on the machine's own stack, so a strand can be put down at any moment,
//! copied into a checkpoint, and taken up again.

use std::sync::Arc;

use crate::arrange::Gather;
use crate::sim::Time;
use crate::sorted::SortedMap;

use super::files::HOME;
use super::program::Process;
use super::syntax::Node;
use super::tools::Filter;

/// What a shell knows: variables, functions, where it is.
#[derive(Clone, Debug)]
pub struct Shell {
    pub variables: SortedMap<String, String>,
    pub functions: SortedMap<String, Arc<Node>>,
    pub aliases: SortedMap<String, String>,
    /// `$0`, `$1` ...
    pub parameters: Vec<String>,
    pub folder: String,
    pub status: i32,
    /// `set -e`.
    pub exit_on_error: bool,
    /// `set -x`.
    pub trace: bool,
}

impl Default for Shell {
    fn default() -> Shell {
        let variables = [
            ("HOME", HOME),
            ("USER", "student"),
            ("SHELL", "/bin/bash"),
            ("HOSTNAME", "cp-1"),
            ("TERM", "xterm"),
        ];
        Shell {
            variables: variables.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).gather(),
            functions: SortedMap::new(),
            aliases: SortedMap::new(),
            parameters: vec!["bash".into()],
            folder: HOME.into(),
            status: 0,
            exit_on_error: false,
            trace: false,
        }
    }
}

/// Where one of the three standard streams leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Stream {
    Null,
    /// The terminal's own two outputs.
    Terminal {
        on_error: bool,
    },
    Pipe(u32),
    /// An absolute path, written at its end.
    File(String),
}

pub type Streams = [Stream; 3];

#[derive(Clone)]
pub struct Task {
    pub shell: Shell,
    pub frames: Vec<Frame>,
    pub streams: Streams,
    /// Started with `&`: an interrupt leaves it alone.
    pub background: bool,
    /// Depth of functions and `source`.
    pub depth: usize,
}

/// One note on the to-do list.
#[derive(Clone)]
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
    },
    For {
        node: Arc<Node>,
        values: Arc<Vec<String>>,
        index: usize,
    },
    /// Command substitutions before `node` can be expanded.
    Expand {
        node: Arc<Node>,
        scripts: Arc<Vec<Arc<str>>>,
        outputs: Vec<String>,
        child: Option<(u32, u32)>,
    },
    /// Puts the streams back after a redirection.
    Restore(Box<Streams>),
    /// The end of a function or a sourced file.
    Return {
        parameters: Option<Vec<String>>,
    },
    /// A pipeline's strands; the last one's status counts.
    Join {
        children: Vec<u32>,
        last: u32,
        negated: bool,
    },
    /// `set -e` does not look at conditions.
    Condition,
    Program(Box<Program>),
}

/// A command that may take its time.
#[derive(Clone)]
pub enum Program {
    Filter {
        name: String,
        filter: Filter,
    },
    Sleep {
        until: Time,
        asked: bool,
    },
    /// `read a b`.
    Read {
        names: Vec<String>,
    },
    Xargs {
        arguments: Vec<String>,
        each: Option<usize>,
        replace: Option<String>,
        input: String,
    },
    Process(Process),
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
