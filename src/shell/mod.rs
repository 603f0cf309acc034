//! A POSIX shell, and the tools that people pipe into.
//!
//! Picture to hold in mind: a desk. What is written becomes notes on a to-do list; what takes time (a request, a sleep)
//! leaves the desk as a message or an alarm, and the desk waits. Where the desk stands makes no difference to it: in
//! front of the cluster ([`terminal`]) or inside of a container (`kubelet/runtime`). What does is behind
//! [`system::System`].
//!
//! Understood are quoting, variables, `$?`, `$(...)`, `$((...))`, pipes, redirections, here-documents, lists,
//! `if`, `while`, `for`, `case`, functions, aliases, globs, `&`, `wait`, `trap`. Absent are job control beyond that,
//! arrays, `[[ && ]]`, process substitution and brace expansion.
//!
//! - [`parse`], [`syntax`], [`expand`] the language
//! - [`machine`], [`task`], [`walk`], [`launch`], [`drive`] its interpreter
//! - [`control`], [`builtins`], [`jobs`] the commands that are part of it
//! - [`tools`], [`file_commands`], [`plain`] `cat`, `grep`, `ls`, `seq` and others
//! - [`program`] how kubectl and its like run
//! - [`system`] what the shell stands on; [`workstation`] the terminal's
//! - [`remote`] `ssh`, and the commands of the node at whose console the terminal stands
//! - [`terminal`] the actor

mod arithmetic;
mod builtins;
mod console;
mod control;
pub mod date;
pub mod diff;
mod drive;
mod expand;
mod file_commands;
pub mod files;
mod jobs;
mod launch;
pub mod machine;
pub mod parse;
mod parse_redirection;
mod parse_word;
mod plain;
pub mod program;
pub mod remote;
pub mod syntax;
pub mod system;
pub mod task;
pub mod terminal;
mod test;
#[cfg(test)]
mod tests;
pub mod tools;
mod walk;
mod workstation;

pub use files::Files;
pub use machine::Machine;
pub use program::{Cli, Halt, Main, Run};
pub use terminal::Terminal;

const TEXT_TOOLS: &[&str] = &[
    "cat", "grep", "head", "tail", "wc", "sort", "uniq", "cut", "tr", "sed", "awk", "tee", "xargs", "base64",
    "rev", "tac",
];
const FILE_TOOLS: &[&str] = &["ls", "cd", "pwd", "mkdir", "rm", "cp", "mv", "touch", "find", "tree", "diff"];
const BUILT_IN: &[&str] = &[
    "echo", "printf", "export", "alias", "test", "read", "seq", "sleep", "history", "date", "clear", "exit",
];
/// Tools besides those that `help` tells of.
const MORE_TOOLS: &[&str] = &[
    "seq", "sleep", "date", "clear", "echo", "printf", "test", "egrep", "fgrep", "gawk", "mawk", "less",
    "more", "rmdir", "chmod", "chown", "ln", "sync", "cmp", "basename", "dirname", "expr", "env", "printenv",
    "reset", "timeout", "nohup", "sh", "bash", "ash", "dash", "which", "true", "false", "[",
];
const SHELL_ONLY: &[&str] = &[
    ":", ".", "[", "[[", "alias", "bind", "break", "builtin", "cd", "command", "complete", "continue",
    "declare", "echo", "eval", "exec", "exit", "export", "false", "hash", "jobs", "kill", "let", "local",
    "printf", "pwd", "read", "readonly", "return", "set", "shift", "shopt", "source", "stty", "test", "trap",
    "true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "wait",
];

/// Whether all systems have a tool of this name, unless they are made without tools.
pub fn is_tool(name: &str) -> bool {
    [TEXT_TOOLS, FILE_TOOLS, MORE_TOOLS].iter().any(|tools| tools.contains(&name))
}
/// Whether a command of this name is part of the shell.
pub fn is_built_in(name: &str) -> bool {
    SHELL_ONLY.contains(&name)
}

/// A word as the shell reads it as one.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// What `help` prints.
fn help_text(programs: &[(&'static str, Main)]) -> String {
    let names: Vec<&str> = programs.iter().map(|(name, _)| *name).collect();
    format!(
        "A small shell in front of a simulated cluster.\n\n\
         Programs:   {}\n\
         Text:       {}\n\
         Files:      {}\n\
         Shell:      {}\n\n\
         sleep passes simulated time; Ctrl+C stops what runs.\n",
        names.join(" "),
        TEXT_TOOLS.join(" "),
        FILE_TOOLS.join(" "),
        BUILT_IN.join(" ")
    )
}
