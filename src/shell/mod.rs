//! The terminal: a small POSIX shell with a home directory in memory, and the tools that people pipe into.
//!
//! Picture to hold in mind: a desk in front of the cluster. What is typed becomes notes on a to-do list; what
//! takes time (a request, a sleep) leaves the desk as a message or an alarm and the desk waits.
//!
//! Understood are quoting, variables, `$?`, `$(...)`, `$((...))`, pipes, redirections, here-documents, lists,
//! `if`, `while`, `for`, `case`, functions, aliases, globs. Absent are job control beyond `&` and `wait`,
//! arrays, `[[ && ]]`, process substitution and brace expansion.
//!
//! - [`parse`], [`syntax`], [`expand`] the language
//! - [`machine`], [`task`], [`builtins`] its interpreter
//! - [`tools`] `cat`, `grep`, `sed` and others
//! - [`program`] how kubectl and its like run
//! - [`terminal`] the actor

mod arithmetic;
mod builtins;
mod console;
mod date;
pub mod diff;
mod drive;
mod expand;
mod file_commands;
pub mod files;
mod launch;
pub mod machine;
pub mod parse;
mod parse_word;
pub mod program;
pub mod syntax;
pub mod task;
pub mod terminal;
mod test;
#[cfg(test)]
mod tests;
pub mod tools;

pub use files::Files;
pub use program::{Cli, Halt, Main, Run};
pub use terminal::Terminal;

const TEXT_TOOLS: &str = "cat grep head tail wc sort uniq cut tr sed awk tee xargs base64 rev tac";
const FILE_TOOLS: &str = "ls cd pwd mkdir rm cp mv touch find tree diff";
const BUILT_IN: &str = "echo printf export alias test read seq sleep history date clear exit";

/// What `help` prints.
fn help_text(programs: &[(&'static str, Main)]) -> String {
    let names: Vec<&str> = programs.iter().map(|(name, _)| *name).collect();
    format!(
        "A small shell in front of a simulated cluster.\n\n\
         Programs:   {}\n\
         Text:       {TEXT_TOOLS}\n\
         Files:      {FILE_TOOLS}\n\
         Shell:      {BUILT_IN}\n\n\
         sleep passes simulated time; Ctrl+C stops what runs.\n",
        names.join(" ")
    )
}
