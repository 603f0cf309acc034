//! What a command is.
//!
//! Picture to hold in mind: one line of the list on the wall behind the counter; the list is [`super::commands`].

use super::failure::Outcome;
use super::session::Session;

pub struct Command {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// Behind `kubectl ` in the help's usage line.
    pub usage: &'static str,
    pub summary: &'static str,
    pub flags: &'static [&'static str],
    pub more_flags: &'static [&'static str],
    pub group: Group,
    pub subcommands: &'static [Command],
    pub run: fn(&mut Session, &Command) -> Outcome,
}

/// The headings of the overview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Beginner,
    Intermediate,
    Deploy,
    Cluster,
    Troubleshooting,
    Advanced,
    Settings,
    Other,
    /// Not in the overview.
    None,
}

/// A command without subcommands.
pub const fn command(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    group: Group,
    flags: &'static [&'static str],
    run: fn(&mut Session, &Command) -> Outcome,
) -> Command {
    Command { name, aliases: &[], usage, summary, flags, more_flags: &[], group, subcommands: &[], run }
}

/// The command of that name, or alias.
pub fn find(commands: &'static [Command], word: &str) -> Option<&'static Command> {
    commands.iter().find(|command| command.name == word || command.aliases.contains(&word))
}
