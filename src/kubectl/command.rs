//! Which commands there are.
//!
//! Picture to hold in mind: the list on the wall behind the counter: what is offered, in which words, by whom.

use super::failure::Outcome;
use super::session::Session;
use super::{apply, create, delete, get, scale};

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
const fn command(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    group: Group,
    flags: &'static [&'static str],
    run: fn(&mut Session, &Command) -> Outcome,
) -> Command {
    Command { name, aliases: &[], usage, summary, flags, more_flags: &[], group, subcommands: &[], run }
}

pub const COMMANDS: &[Command] = &[
    Command {
        subcommands: CREATE,
        ..command(
            "create",
            "create -f FILENAME",
            "Create a resource from a file or from stdin",
            Group::Beginner,
            create::FLAGS,
            |session, _| create::from_files(session),
        )
    },
    command(
        "get",
        "get [(-o|--output=)json|yaml|name|...] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...) [flags]",
        "Display one or many resources",
        Group::Intermediate,
        get::FLAGS,
        |session, _| get::run(session),
    ),
    command(
        "delete",
        "delete ([-f FILENAME] | [-k DIRECTORY] | TYPE [(NAME | -l label | --all)])",
        "Delete resources by file names, stdin, resources and names, or by resources and label selector",
        Group::Intermediate,
        delete::FLAGS,
        |session, _| delete::run(session),
    ),
    command(
        "scale",
        "scale [--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE NAME)",
        "Set a new size for a deployment, replica set, or replication controller",
        Group::Deploy,
        scale::FLAGS,
        |session, _| scale::run(session),
    ),
    command(
        "apply",
        "apply (-f FILENAME | -k DIRECTORY)",
        "Apply a configuration to a resource by file name or stdin",
        Group::Advanced,
        apply::FLAGS,
        |session, _| apply::run(session),
    ),
];

const GENERATOR_FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "dry-run",
    "field-manager",
    "output",
    "save-config",
    "show-managed-fields",
    "template",
    "validate",
];

/// The entry of one generator.
const fn generator(index: usize) -> Command {
    let generator = &create::GENERATORS[index];
    Command {
        name: generator.names[0],
        aliases: &[],
        usage: generator.usage,
        summary: generator.summary,
        flags: GENERATOR_FLAGS,
        more_flags: generator.flags,
        group: Group::None,
        subcommands: &[],
        run: |session, command| match create::GENERATORS
            .iter()
            .find(|generator| generator.summary == command.summary)
        {
            Some(generator) => create::generate(session, generator),
            None => Ok(()),
        },
    }
}

const CREATE: &[Command] = &[
    named(0, "clusterrole", &[]),
    named(1, "clusterrolebinding", &[]),
    named(2, "configmap", &["cm"]),
    named(3, "cronjob", &["cj"]),
    named(4, "deployment", &["deploy"]),
    named(5, "ingress", &["ing"]),
    named(6, "job", &[]),
    named(7, "namespace", &["ns"]),
    named(8, "poddisruptionbudget", &["pdb"]),
    named(9, "priorityclass", &["pc"]),
    named(10, "quota", &["resourcequota"]),
    named(11, "role", &[]),
    named(12, "rolebinding", &[]),
    Command {
        subcommands: SECRET,
        ..command(
            "secret",
            "secret (docker-registry | generic | tls)",
            "Create a secret using a specified subcommand",
            Group::None,
            &[],
            usage,
        )
    },
    Command {
        subcommands: SERVICE,
        aliases: &["svc"],
        ..command(
            "service",
            "service",
            "Create a service using a specified subcommand",
            Group::None,
            &[],
            usage,
        )
    },
    named(20, "serviceaccount", &["sa"]),
    command(
        "token",
        "token SERVICE_ACCOUNT_NAME",
        "Request a service account token",
        Group::None,
        &["audience", "duration", "output"],
        |session, _| create::token(session),
    ),
];
const SECRET: &[Command] =
    &[named(13, "generic", &[]), named(14, "docker-registry", &[]), named(15, "tls", &[])];
const SERVICE: &[Command] = &[
    named(16, "clusterip", &[]),
    named(17, "externalname", &[]),
    named(18, "loadbalancer", &[]),
    named(19, "nodeport", &[]),
];

const fn named(index: usize, name: &'static str, aliases: &'static [&'static str]) -> Command {
    Command { name, aliases, ..generator(index) }
}

/// A command that is nothing without a subcommand: its help.
fn usage(session: &mut Session, command: &Command) -> Outcome {
    let text = super::help::of_command(command, &session.command.clone());
    session.print(text);
    Ok(())
}

/// The command of that name, or alias.
pub fn find(commands: &'static [Command], word: &str) -> Option<&'static Command> {
    commands.iter().find(|command| command.name == word || command.aliases.contains(&word))
}
