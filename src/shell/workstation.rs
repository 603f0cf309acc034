//! The system that the terminal stands on: a user's workstation.
//!
//! Picture to hold in mind: a desk with a name plate, a drawer of files and a note of what was typed.

use std::sync::Arc;

use crate::api::Text;
use crate::arrange::Gather;
use crate::sorted::SortedMap;

use super::files::{FileSystem, Files, HOME};
use super::program::Main;
use super::system::{Command, Dialect, Outcome, System};
use super::task::Shell;

const USER: &str = "student";
const HOSTNAME: &str = "cp-1";
/// Commands that only this system has.
const OWN: [&str; 7] = ["history", "help", "hostname", "whoami", "id", "uname", "sudo"];

/// The shell in which lines are typed.
pub(super) fn login_shell() -> Shell {
    let variables =
        [("HOME", HOME), ("USER", USER), ("SHELL", "/bin/bash"), ("HOSTNAME", HOSTNAME), ("TERM", "xterm")];
    let variables: SortedMap<Text, Text> =
        variables.into_iter().map(|(name, value)| (Text::from(name), Text::from(value))).gather();
    Shell {
        variables: Arc::new(variables),
        is_interactive: true,
        ..Shell::new("bash", SortedMap::new(), HOME)
    }
}

pub(super) struct Workstation<'a> {
    pub files: &'a mut Files,
    /// Programs by name.
    pub programs: &'a [(&'static str, Main)],
    pub history: &'a [String],
}

impl System for Workstation<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Bash
    }
    fn user(&self) -> &str {
        USER
    }
    fn files(&self) -> &dyn FileSystem {
        self.files
    }
    fn files_mut(&mut self) -> &mut dyn FileSystem {
        self.files
    }
    fn programs(&self) -> &[(&'static str, Main)] {
        self.programs
    }
    fn has_tool(&self, name: &str) -> bool {
        super::is_tool(name) || OWN.contains(&name)
    }
    fn run(&mut self, command: &Command, out: &mut Outcome) -> bool {
        match command.words[0].as_str() {
            "history" => {
                for (index, line) in self.history.iter().enumerate() {
                    out.line(format!("{:>5}  {line}", index + 1));
                }
            }
            "help" => out.stdout = super::help_text(self.programs),
            "hostname" => out.line(HOSTNAME),
            "whoami" => out.line(USER),
            "id" => out.line(format!("uid=1000({USER}) gid=1000({USER}) groups=1000({USER}),27(sudo)")),
            "uname" => {
                let is_all = command.words.iter().any(|word| word == "-a");
                out.line(if is_all { "Linux cp-1 6.12.0 #1 SMP x86_64 GNU/Linux" } else { "Linux" });
            }
            _ => return false,
        }
        true
    }
}
