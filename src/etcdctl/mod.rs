//! etcdctl and etcdutl, in Rust: the first a client of etcd's members, the second a tool for etcd's files.
//!
//! Picture to hold in mind: the service hatch of the archive. Whoever has the right papers may speak with the clerks
//! directly, past the counter at which everybody else queues; and next to it lies the tool box for the archive's own
//! boxes, which nobody needs a clerk for.
//!
//! Every command is a straight function over [`shell::Cli`](crate::shell::Cli) and [`Order`]; it runs in the terminal and
//! inside of containers alike. Wording follows etcd's `etcdctl` and `etcdutl` of 3.6, and that of 3.4 where somebody has
//! installed that one ([`Version`]).
//!
//! - [`commands`] which commands there are; [`flags`] what they take; [`help`] what they say of themselves
//! - [`client`] calls, deadlines, what is logged of failures; [`tls`] papers
//! - [`print`] the output formats; [`json`], [`table`] their craft
//! - [`keys`], [`txn`], [`watch`], [`lease`], [`member`], [`endpoint`], [`maintenance`], [`snapshot`], [`restore`],
//!   [`concurrency`], [`check`], [`auth`] a family of commands each

mod auth;
mod check;
mod client;
mod commands;
mod concurrency;
mod endpoint;
mod flags;
mod help;
mod json;
mod keys;
mod lease;
mod maintenance;
mod member;
mod print;
mod restore;
mod snapshot;
mod table;
pub mod tls;
mod txn;
mod watch;

use std::sync::Arc;

use crate::arrange::Gather;
use crate::shell::{Cli, Halt, Main, Run};

use commands::Command;
use flags::Flags;

/// The programs of etcd's image, 3.6.8.
pub const PROGRAMS: &[(&str, Main)] = &[("etcdctl", etcdctl), ("etcdutl", etcdutl)];
/// The client that Debian packs apart from etcd, 3.4.23.
pub const PROGRAMS_OF_3_4: &[(&str, Main)] = &[("etcdctl", etcdctl_of_3_4)];

/// Which etcdctl this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V3_4,
    V3_6,
}

impl Version {
    pub fn text(self) -> &'static str {
        match self {
            Version::V3_4 => "3.4.23",
            Version::V3_6 => "3.6.8",
        }
    }
    fn api(self) -> &'static str {
        match self {
            Version::V3_4 => "3.4",
            Version::V3_6 => "3.6",
        }
    }
}

/// etcd's exit codes (`pkg/cobrautl/error.go`).
pub mod exit {
    pub const ERROR: i32 = 1;
    pub const BAD_CONNECTION: i32 = 2;
    pub const INVALID_INPUT: i32 = 3;
    pub const BAD_FEATURE: i32 = 4;
    pub const INTERRUPTED: i32 = 5;
    pub const BAD_ARGS: i32 = 128;
}

/// What was asked of the program.
#[derive(Clone)]
pub struct Order {
    pub version: Version,
    pub flags: Arc<Flags>,
    pub operands: Arc<Vec<String>>,
}

/// Why a command stopped.
#[derive(Debug)]
pub enum Stop {
    Halt(Halt),
    /// `Error: ` and this text, with this exit code.
    Failure {
        code: i32,
        text: String,
    },
}

pub type Outcome<T = ()> = Result<T, Stop>;

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Stop {
        Stop::Halt(halt)
    }
}

/// Ends the command as `ExitWithError` does.
pub fn fail<T>(code: i32, text: impl Into<String>) -> Outcome<T> {
    Err(Stop::Failure { code, text: text.into() })
}

fn etcdctl(cli: &mut Cli) -> Run<()> {
    run(cli, commands::ETCDCTL, Version::V3_6)
}
fn etcdctl_of_3_4(cli: &mut Cli) -> Run<()> {
    run(cli, commands::ETCDCTL, Version::V3_4)
}
fn etcdutl(cli: &mut Cli) -> Run<()> {
    run(cli, commands::ETCDUTL, Version::V3_6)
}

fn run(cli: &mut Cli, root: &'static Command, version: Version) -> Run<()> {
    let arguments = cli.arguments();
    match dispatch(cli, root, version, &arguments[1..]) {
        Ok(()) => Ok(()),
        Err(Stop::Halt(halt)) => Err(halt),
        Err(Stop::Failure { code, text }) => {
            cli.eprintln(format!("Error: {text}"));
            Err(Halt::Exit(code))
        }
    }
}

/// Finds the command among flags, and runs it (cobra's `Command.Execute`).
fn dispatch(cli: &mut Cli, root: &'static Command, version: Version, arguments: &[String]) -> Outcome {
    let mut path = vec![root];
    let mut rest = arguments.to_vec();
    loop {
        let command = path[path.len() - 1];
        let Some(index) = flags::first_word(&rest, &path, version) else { break };
        let word = rest[index].clone();
        match command.find(&word, version) {
            Some(next) if next.name() == "help" => {
                rest.remove(index);
                let words: Vec<String> = rest.iter().filter(|word| !word.starts_with('-')).cloned().gather();
                return help_for(cli, root, version, &words);
            }
            Some(next) => {
                rest.remove(index);
                path.push(next);
            }
            None if path.len() == 1 => {
                let text = help::unknown_command(root, version, &word);
                return flag_failure(cli, version, &text, None);
            }
            None => break,
        }
        if path[path.len() - 1].subcommands.is_empty() {
            break;
        }
    }
    let command = path[path.len() - 1];
    let (flags, operands) = match flags::parse(&rest, &path, version) {
        Ok(parsed) => parsed,
        Err(text) => return flag_failure(cli, version, &text, Some(help::usage(&path, version))),
    };
    let Some(run) = command.run.filter(|_| !flags.switch("help")) else {
        cli.print(help::usage(&path, version));
        // The help is printed through cobra, which ends its own, empty text.
        cli.print("\n");
        return Ok(());
    };
    run(cli, &Order { version, flags: Arc::new(flags), operands: Arc::new(operands) })
}

fn help_for(cli: &mut Cli, root: &'static Command, version: Version, words: &[String]) -> Outcome {
    let mut path = vec![root];
    for word in words {
        match path[path.len() - 1].find(word, version) {
            Some(next) => path.push(next),
            None => break,
        }
    }
    if path.len() == 1 && !words.is_empty() {
        let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        cli.println(format!("Unknown help topic [{}]", quoted.join(" ").replace('"', "`")));
    }
    cli.print(help::usage(&path, version));
    cli.print("\n");
    Ok(())
}

/// A mistake on the command line: 3.4 tells it before and after its usage, 3.6 before only.
fn flag_failure(cli: &mut Cli, version: Version, text: &str, usage: Option<String>) -> Outcome {
    cli.eprintln(format!("Error: {text}"));
    match usage {
        Some(usage) => {
            cli.print(usage);
            cli.eprint("\n");
        }
        None => cli.eprintln("Run 'etcdctl --help' for usage."),
    }
    if version == Version::V3_4 {
        cli.eprintln(format!("Error: {text}"));
    }
    Err(Stop::Halt(Halt::Exit(exit::ERROR)))
}
