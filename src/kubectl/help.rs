//! What kubectl says of itself.
//!
//! Picture to hold in mind: the leaflet at the counter.

use crate::arrange::{Arrange, Gather};
use crate::shell::Cli;

use super::command::{self, Command, Group};
use super::commands;
use super::failure::Stop;
use super::flag::{self, Entry, Flag, Kind};

const GROUPS: [(Group, &str); 8] = [
    (Group::Beginner, "Basic Commands (Beginner):"),
    (Group::Intermediate, "Basic Commands (Intermediate):"),
    (Group::Deploy, "Deploy Commands:"),
    (Group::Cluster, "Cluster Management Commands:"),
    (Group::Troubleshooting, "Troubleshooting and Debugging Commands:"),
    (Group::Advanced, "Advanced Commands:"),
    (Group::Settings, "Settings Commands:"),
    (Group::Other, "Other Commands:"),
];

/// What `kubectl` alone prints.
pub fn overview() -> String {
    let mut text = "kubectl controls the Kubernetes cluster manager.\n\n Find more information at: https://kubernetes.io/docs/reference/kubectl/\n\n".to_string();
    for (group, heading) in GROUPS {
        if group == Group::Other {
            text += "Subcommands provided by plugins:\n\n";
        }
        text += &format!("{heading}\n{}\n", listing(commands::COMMANDS, |command| command.group == group));
    }
    text + "Usage:\n  kubectl [flags] [options]\n\nUse \"kubectl <command> --help\" for more information about a given command.\nUse \"kubectl options\" for a list of global command-line options (applies to all commands).\n"
}

fn listing(commands: &[Command], wanted: impl Fn(&Command) -> bool) -> String {
    let width = commands.iter().map(|command| command.name.len()).max().unwrap_or(0).max(11);
    let chosen = commands.iter().filter(|command| wanted(command));
    chosen.map(|command| format!("  {:<width$}   {}\n", command.name, command.summary)).collect()
}

/// `kubectl COMMAND --help`.
pub fn of_command(command: &Command, name: &str) -> String {
    let mut text = format!("{}.\n\n", command.summary.trim_end_matches('.'));
    if !command.aliases.is_empty() {
        text += &format!("Aliases:\n{}, {}\n\n", command.name, command.aliases.join(", "));
    }
    if !command.subcommands.is_empty() {
        text += &format!("Available Commands:\n{}\n", listing(command.subcommands, |_| true));
    }
    let names = command.flags.iter().chain(command.more_flags);
    let mut flags: Vec<Flag> = names.filter_map(|text| Entry::read(text).flag()).gather();
    flags.arrange_by_key(|flag| flag.long);
    flags.dedup_by_key(|flag| flag.long);
    if !flags.is_empty() {
        text += "Options:\n";
        text += &flags.iter().map(option).collect::<String>();
    }
    let parent = name.rsplit_once(' ').map_or("kubectl", |(parent, _)| parent);
    let usage = match command.usage.split_once(' ') {
        Some((first, rest)) if first == command.name => format!("{name} {rest}"),
        _ => format!("{parent} {}", command.usage),
    };
    let options = if usage.contains("[options]") { "" } else { " [options]" };
    text += &format!("Usage:\n  {usage}{options}\n\n");
    if !command.subcommands.is_empty() {
        text += &format!("Use \"{name} <command> --help\" for more information about a given command.\n");
    }
    text + "Use \"kubectl options\" for a list of global command-line options (applies to all commands).\n"
}

fn option(flag: &Flag) -> String {
    let default = match flag.kind {
        // klog's own type has no default to show.
        Kind::Text if flag.long == "vmodule" => String::new(),
        Kind::Optional("true") => flag.default.into(),
        Kind::Text | Kind::Optional(_) => format!("'{}'", flag.default),
        Kind::List | Kind::Array => format!("[{}]", flag.default),
        _ if flag.default.is_empty() => "0".into(),
        _ => flag.default.to_string(),
    };
    let names = match flag.short {
        Some(short) => format!("-{short}, --{}", flag.long),
        None => format!("--{}", flag.long),
    };
    format!("    {names}={default}:\n\t{}\n\n", flag.help)
}

/// `kubectl options`.
pub fn global_options() -> String {
    let mut text = "The following options can be passed to any command:\n\n".to_string();
    for flag in flag::global().iter().filter(|flag| flag.long != "help") {
        text += &option(flag);
    }
    text
}

/// `kubectl help COMMAND`.
pub fn for_words(cli: &mut Cli, words: &[String]) -> Result<(), Stop> {
    let mut commands = commands::COMMANDS;
    let mut found: Option<(&Command, String)> = None;
    for word in words {
        let Some(next) = command::find(commands, word) else { break };
        let name = found.map_or("kubectl".to_string(), |(_, name)| name) + " " + next.name;
        commands = next.subcommands;
        found = Some((next, name));
    }
    cli.print(match found {
        Some((command, name)) => of_command(command, &name),
        None if !words.is_empty() => {
            let overview = overview();
            let groups = overview.splitn(3, "\n\n").last().unwrap_or("");
            cli.eprint(format!("Unknown help topic [`{}`]\n\n\n{groups}", words.join("` `")));
            return Ok(());
        }
        None => overview(),
    });
    Ok(())
}
