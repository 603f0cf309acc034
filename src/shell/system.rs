//! What stands around a shell: the workstation's terminal, or a container.
//!
//! Picture to hold in mind: one actor on different stages. The play is the same; the stage has its own drawers
//! ([`FileSystem`]), its own telephone (programs and commands that only it has) and its own language for what goes
//! wrong ([`Dialect`]).

use std::any::Any;
use std::sync::Arc;

use crate::api::Text;
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

use super::files::{FileError, FileSystem};
use super::parse::SyntaxError;
use super::program::Main;

/// A program that runs until somebody ends it. What it does meanwhile only the system knows.
pub type Service = Arc<dyn Any + Send + Sync>;

/// The system that a shell runs on.
pub trait System {
    fn dialect(&self) -> Dialect;
    /// The name of the user, who owns all files.
    fn user(&self) -> &str;
    fn files(&self) -> &dyn FileSystem;
    fn files_mut(&mut self) -> &mut dyn FileSystem;
    /// Programs that ask others and wait for the answers.
    fn programs(&self) -> &[(&'static str, Main)];
    /// Whether one of the tools that systems share ([`super::tools`] and files) is installed here.
    fn has_tool(&self, name: &str) -> bool;
    /// Runs a command that is the system's own; false: there is none of that name.
    fn run(&mut self, command: &Command, out: &mut Outcome) -> bool;
}

/// A command for the system, with what it may look at.
pub struct Command<'a> {
    pub now: Time,
    pub words: &'a [String],
    pub variables: &'a SortedMap<Text, Text>,
    pub folder: &'a str,
}

/// What a command leaves behind, and what it goes on to do.
#[derive(Default)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
    pub then: Then,
}

#[derive(Default)]
pub enum Then {
    #[default]
    Done,
    /// It ends after this time.
    Sleep(Duration),
    Serve(Service),
    /// It gives way to another command.
    Run(Vec<String>),
}

impl Outcome {
    /// Says why on the standard error.
    pub fn fail(&mut self, status: i32, message: impl AsRef<str>) {
        self.stderr.push_str(message.as_ref());
        self.stderr.push('\n');
        self.status = status;
    }
    /// A line on the standard output.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.stdout.push_str(line.as_ref());
        self.stdout.push('\n');
    }
}

/// Whose words are used: those of bash with GNU's tools, or those of BusyBox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Bash,
    BusyBox,
}

impl Dialect {
    /// The name with which the shell begins its complaints.
    pub fn shell(self) -> &'static str {
        match self {
            Dialect::Bash => "bash",
            Dialect::BusyBox => "sh",
        }
    }
    pub fn is_busybox(self) -> bool {
        self == Dialect::BusyBox
    }
    /// GNU's `cannot remove` is BusyBox's `can't remove`; the same for other verbs.
    pub fn cannot(self) -> &'static str {
        if self.is_busybox() { "can't" } else { "cannot" }
    }
    /// Where `which` finds tools.
    pub fn tool_folder(self) -> &'static str {
        if self.is_busybox() { "/bin" } else { "/usr/bin" }
    }

    pub(super) fn not_found(self, name: &str) -> String {
        match self {
            Dialect::Bash if name.contains('/') => format!("{name}: No such file or directory"),
            Dialect::Bash => format!("{name}: command not found"),
            Dialect::BusyBox => format!("{name}: not found"),
        }
    }
    pub(super) fn cannot_enter(self, folder: &str, error: FileError) -> String {
        let error = error.message();
        match self {
            Dialect::Bash => format!("cd: {folder}: {error}"),
            Dialect::BusyBox => format!("cd: can't cd to {folder}: {error}"),
        }
    }
    pub(super) fn cannot_open(self, name: &str, error: FileError) -> String {
        match (self, error) {
            (Dialect::Bash, error) => format!("{name}: {}", error.message()),
            (Dialect::BusyBox, FileError::NotFound) => format!("can't open {name}: no such file"),
            (Dialect::BusyBox, error) => format!("can't open {name}: {}", error.message()),
        }
    }
    pub(super) fn cannot_create(self, name: &str, error: FileError) -> String {
        match (self, error) {
            (Dialect::Bash, error) => format!("{name}: {}", error.message()),
            (Dialect::BusyBox, FileError::NotFound) => format!("can't create {name}: nonexistent directory"),
            (Dialect::BusyBox, error) => format!("can't create {name}: {}", error.message()),
        }
    }
    /// A tool that reads files cannot read this one.
    pub(super) fn cannot_read(self, tool: &str, file: &str, error: FileError) -> String {
        match (self, tool, error) {
            (Dialect::BusyBox, "cat", FileError::IsFolder) => format!("{tool}: read error: Is a directory\n"),
            // Those of BusyBox's tools that open their files in its own way; others use the C library's.
            (Dialect::BusyBox, "cat" | "tail" | "sort" | "uniq" | "sh" | "bash" | "ash", error) => {
                format!("{tool}: can't open '{file}': {}\n", error.message())
            }
            (Dialect::Bash, "head" | "tail", FileError::NotFound) => {
                format!("{tool}: cannot open '{file}' for reading: {}\n", error.message())
            }
            (_, tool, error) => format!("{tool}: {file}: {}\n", error.message()),
        }
    }
    pub(super) fn wrong_syntax(self, error: &SyntaxError) -> String {
        match (self, error) {
            (Dialect::Bash, SyntaxError::Unexpected(token)) => {
                format!("syntax error near unexpected token `{token}'")
            }
            (Dialect::Bash, SyntaxError::End { .. }) => "syntax error: unexpected end of file".into(),
            (Dialect::Bash, SyntaxError::Unterminated(quote)) => {
                format!("unexpected EOF while looking for matching `{quote}'")
            }
            (Dialect::Bash, SyntaxError::Other(why)) => why.clone(),
            (Dialect::BusyBox, SyntaxError::Unexpected(token)) if token == "newline" => {
                "syntax error: unexpected newline".into()
            }
            (Dialect::BusyBox, SyntaxError::Unexpected(token)) => {
                format!("syntax error: unexpected \"{token}\"")
            }
            (Dialect::BusyBox, SyntaxError::End { wanted: Some(word) }) => {
                format!("syntax error: unexpected end of file (expecting \"{word}\")")
            }
            (Dialect::BusyBox, SyntaxError::End { wanted: None }) => {
                "syntax error: unexpected end of file".into()
            }
            (Dialect::BusyBox, SyntaxError::Unterminated('"' | '\'')) => {
                "syntax error: unterminated quoted string".into()
            }
            (Dialect::BusyBox, SyntaxError::Unterminated(closing)) => {
                format!("syntax error: unexpected end of file (expecting \"{closing}\")")
            }
            (Dialect::BusyBox, SyntaxError::Other(why)) => format!("syntax error: {why}"),
        }
    }
}
