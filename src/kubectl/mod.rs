//! kubectl, in Rust: a client of the API server like any other.
//!
//! Picture to hold in mind: a counter clerk who speaks the customer's language and fills in the server's forms.
//! Every command is a straight function over [`session::Session`]; where it waits for an answer it stops, and is
//! run again from its first line when the answer is there (see [`crate::shell::program`]).
//!
//! - [`commands`] which commands there are; [`flag`] what they take; [`help`] what they say of themselves
//! - [`builder`] from arguments and files to objects; [`session`] requests
//! - [`print`], [`tab_writer`], [`template`] how results are shown; [`failure`] how errors are
//! - one module a command, or a family of them
//!
//! Output and wording follow `k8s.io/kubectl` and `k8s.io/cli-runtime` of Kubernetes 1.36.

pub mod apply;
mod attach;
mod auth;
mod autoscale;
pub mod builder;
mod certificate;
mod change;
mod cluster_info;
pub mod command;
mod commands;
pub mod complete;
mod config;
mod copy;
mod create;
mod debug;
mod delete;
mod describe;
mod diff;
mod edit;
mod events;
mod exec;
mod explain;
mod expose;
pub mod failure;
pub mod flag;
mod generate;
mod get;
mod help;
mod label;
mod logs;
mod nodes;
mod patch;
pub mod print;
mod replace;
mod resources;
mod rollout;
mod run;
mod scale;
pub mod session;
mod set;
pub mod tab_writer;
mod taint;
pub mod template;
mod top;
mod version;
mod wait;

use std::sync::Arc;

use crate::api::kind::Registry;
use crate::arrange::Gather;
use crate::shell::{Cli, Halt, Main, Run};

use command::{Command, find};
use failure::{Failure, Stop};
use flag::Flags;
use session::Session;

/// The programs that a terminal has besides its tools.
pub const PROGRAMS: &[(&str, Main)] = &[("kubectl", main)];

/// The version that the client says it is.
pub const VERSION: &str = "v1.36.2";

/// The kubeconfig that `kubeadm init` leaves, for the control-plane nodes with these names and addresses. The first is
/// "the" cluster; where there are more, each has a cluster and a context of its own besides, so that one of several
/// API servers can be spoken to (`--context cp-2`). Nobody checks the certificates of the simulation.
pub fn administrator_config(servers: &[(&str, &str)]) -> String {
    let mut clusters = String::from("apiVersion: v1\nclusters:\n");
    let mut contexts = String::from("contexts:\n");
    let mut add = |name: &str, context: &str, ip: &str| {
        clusters += "- cluster:\n    certificate-authority-data: c2ltdWxhdGVk\n    server: https://";
        clusters += ip;
        clusters += ":6443\n  name: ";
        clusters += name;
        contexts += "- context:\n    cluster: ";
        contexts += name;
        contexts += "\n    user: kubernetes-admin\n  name: ";
        contexts += context;
        for text in [&mut clusters, &mut contexts] {
            text.push('\n');
        }
    };
    if let Some((_, ip)) = servers.first() {
        add("kubernetes", "kubernetes-admin@kubernetes", ip);
    }
    if servers.len() > 1 {
        for (name, ip) in servers {
            add(name, name, ip);
        }
    }
    clusters += &contexts;
    clusters += "\
current-context: kubernetes-admin@kubernetes
kind: Config
users:
- name: kubernetes-admin
  user:
    client-certificate-data: c2ltdWxhdGVk
    client-key-data: c2ltdWxhdGVk
";
    clusters
}

/// The program.
pub fn main(cli: &mut Cli) -> Run<()> {
    let arguments = cli.arguments();
    match dispatch(cli, &arguments[1..]) {
        Ok(()) => Ok(()),
        Err(Stop::Halt(halt)) => Err(halt),
        Err(Stop::Failure(failure)) => {
            let text = failure.report();
            cli.eprint(text);
            Err(Halt::Exit(failure.exit_code()))
        }
    }
}

/// A command line that has been understood.
struct Begun {
    command: &'static Command,
    /// `kubectl get`.
    name: String,
    flags: Arc<Flags>,
    context: Arc<config::Context>,
}

/// Understands the words once, and runs the command that they name.
fn dispatch(cli: &mut Cli, arguments: &[String]) -> Result<(), Stop> {
    let (act, kept) = cli.begin_act();
    let begun = match kept.and_then(|kept| kept.downcast::<Begun>().ok()) {
        Some(begun) => begun,
        None => {
            let Some(begun) = begin(cli, arguments)? else { return Ok(()) };
            let begun = Arc::new(begun);
            cli.end_act(act, begun.clone());
            begun
        }
    };
    match begun.flags.text("server") {
        "" => cli.aim(&begun.context.server),
        server => cli.aim(server),
    }
    let (flags, context) = (begun.flags.clone(), begun.context.clone());
    let mut session = Session { cli, flags, registry: Registry::new(), command: begun.name.clone(), context };
    (begun.command.run)(&mut session, begun.command)
}

/// Finds the command among flags, and the cluster that it is for; nothing where all there was to do was to tell of itself.
fn begin(cli: &mut Cli, arguments: &[String]) -> Result<Option<Begun>, Stop> {
    let Some((command, path, rest)) = locate(arguments)? else {
        if let Some(word) = first_word(arguments) {
            if word == "help" {
                help::for_words(cli, &arguments[1..])?;
                return Ok(None);
            }
            // Upstream looks for a plugin of that name, and wants flags behind it.
            let text = match arguments.first().filter(|first| first.starts_with('-')) {
                Some(flag) => format!("Error: flags cannot be placed before plugin name: {flag}"),
                None => format!("error: unknown command {word:?} for \"kubectl\"\n{}", suggestions(word)),
            };
            return Err(Failure::Exact(text).into());
        }
        Flags::parse(arguments, &[], "kubectl")?;
        cli.print(help::overview());
        return Ok(None);
    };
    let name = format!("kubectl {path}");
    let mut allowed: Vec<&'static str> = command.flags.to_vec();
    allowed.extend(command.more_flags);
    let flags = match Flags::parse(&rest, &allowed, &name) {
        // What is left out says so before it is particular about flags.
        Err(_) if crate::fidelity::message("kubectl", &path).is_some() => Flags::default(),
        parsed => parsed?,
    };
    if flags.switch("help") {
        cli.print(help::of_command(command, &name));
        return Ok(None);
    }
    // Whoever mends the kubeconfig must not stumble over it.
    let context = match path.starts_with("config") {
        true => config::Context::default(),
        false => config::Context::read(cli, &flags.without(&allowed))?,
    };
    Ok(Some(Begun { command, name, flags: Arc::new(flags), context: Arc::new(context) }))
}

/// The command that `arguments` name, its full name, and what is left of them.
#[allow(clippy::type_complexity)]
fn locate(arguments: &[String]) -> Result<Option<(&'static Command, String, Vec<String>)>, Failure> {
    let mut rest = arguments.to_vec();
    let mut path = String::new();
    let mut command: Option<&'static Command> = None;
    loop {
        let commands = command.map_or(commands::COMMANDS, |command| command.subcommands);
        let Some(index) = word_at(&rest) else { break };
        let Some(next) = find(commands, &rest[index]) else { break };
        rest.remove(index);
        path = if path.is_empty() { next.name.to_string() } else { format!("{path} {}", next.name) };
        command = Some(next);
        if next.subcommands.is_empty() {
            break;
        }
    }
    Ok(command.map(|command| (command, path, rest)))
}
/// Where the first word stands that is neither a global flag nor its value.
fn word_at(arguments: &[String]) -> Option<usize> {
    let mut index = 0;
    while let Some(argument) = arguments.get(index) {
        if argument == "--" {
            return None;
        }
        if !argument.starts_with('-') || argument == "-" {
            return Some(index);
        }
        let takes_value = flag::global().iter().any(|flag| {
            let is_long = argument.strip_prefix("--") == Some(flag.long);
            let is_short = flag.short.is_some_and(|short| *argument == format!("-{short}"));
            (is_long || is_short) && flag.kind != flag::Kind::Switch
        });
        index += if takes_value { 2 } else { 1 };
    }
    None
}
fn first_word(arguments: &[String]) -> Option<&str> {
    word_at(arguments).map(|index| arguments[index].as_str())
}

/// Commands that are spelt alike.
fn suggestions(word: &str) -> String {
    let near: Vec<String> = commands::COMMANDS
        .iter()
        .filter(|command| distance(command.name, word) <= 2 || command.name.starts_with(word))
        .map(|command| format!("\t{}\n", command.name))
        .gather();
    if near.is_empty() { String::new() } else { format!("\nDid you mean this?\n{}\n", near.concat()) }
}

/// How many letters must be changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(40).gather();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(40).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
