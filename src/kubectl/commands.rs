//! Which commands there are.
//!
//! Picture to hold in mind: the list on the wall behind the counter: what is offered, in which words, by whom.

use super::command::{Command, Group, command};
use super::failure::{Failure, Outcome};
use super::session::Session;
use super::{
    apply, autoscale, create, delete, describe, exec, expose, get, label, logs, nodes, patch, replace,
    rollout, run, scale, set, taint,
};

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
        "expose",
        "expose (-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] [--target-port=number-or-name] [--name=name] [--external-ip=external-ip-of-service] [--type=type]",
        "Take a replication controller, service, deployment or pod and expose it as a new Kubernetes service",
        Group::Beginner,
        expose::FLAGS,
        |session, _| expose::run(session),
    ),
    command(
        "run",
        "run NAME --image=image [--env=\"key=value\"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- [COMMAND] [args...]",
        "Run a particular image on the cluster",
        Group::Beginner,
        run::FLAGS,
        |session, _| run::run(session),
    ),
    Command {
        subcommands: SET,
        ..command("set", "set SUBCOMMAND", "Set specific features on objects", Group::Beginner, &[], usage)
    },
    command(
        "get",
        "get [(-o|--output=)json|yaml|kyaml|name|go-template|go-template-file|template|templatefile|jsonpath|jsonpath-as-json|jsonpath-file|custom-columns|custom-columns-file|wide] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...) [flags]",
        "Display one or many resources",
        Group::Intermediate,
        get::FLAGS,
        |session, _| get::run(session),
    ),
    command(
        "edit",
        "edit (RESOURCE/NAME | -f FILENAME)",
        "Edit a resource on the server",
        Group::Intermediate,
        &[
            "allow-missing-template-keys",
            "field-manager@kubectl-edit",
            "filename",
            "kustomize",
            "output",
            "output-patch",
            "recursive",
            "save-config",
            "show-managed-fields",
            "subresource",
            "template",
            "validate",
            "windows-line-endings",
        ],
        simplified,
    ),
    command(
        "delete",
        "delete ([-f FILENAME] | [-k DIRECTORY] | TYPE [(NAME | -l label | --all)])",
        "Delete resources by file names, stdin, resources and names, or by resources and label selector",
        Group::Intermediate,
        delete::FLAGS,
        |session, _| delete::run(session),
    ),
    Command {
        subcommands: ROLLOUT,
        ..command(
            "rollout",
            "rollout SUBCOMMAND",
            "Manage the rollout of a resource",
            Group::Deploy,
            &[],
            usage,
        )
    },
    command(
        "scale",
        "scale [--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE NAME)",
        "Set a new size for a deployment, replica set, or replication controller",
        Group::Deploy,
        scale::FLAGS,
        |session, _| scale::run(session),
    ),
    command(
        "autoscale",
        "autoscale (-f FILENAME | TYPE NAME | TYPE/NAME) [--min=MINPODS] --max=MAXPODS [--cpu=CPU] [--memory=MEMORY]",
        "Auto-scale a deployment, replica set, stateful set, or replication controller",
        Group::Deploy,
        autoscale::FLAGS,
        |session, _| autoscale::run(session),
    ),
    command(
        "cordon",
        "cordon NODE",
        "Mark node as unschedulable",
        Group::Cluster,
        nodes::CORDON_FLAGS,
        |session, _| nodes::cordon(session, true),
    ),
    command(
        "uncordon",
        "uncordon NODE",
        "Mark node as schedulable",
        Group::Cluster,
        nodes::CORDON_FLAGS,
        |session, _| nodes::cordon(session, false),
    ),
    command(
        "drain",
        "drain NODE",
        "Drain node in preparation for maintenance",
        Group::Cluster,
        nodes::DRAIN_FLAGS,
        |session, _| nodes::drain(session),
    ),
    command(
        "taint",
        "taint NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ... KEY_N=VAL_N:TAINT_EFFECT_N",
        "Update the taints on one or more nodes",
        Group::Cluster,
        taint::FLAGS,
        |session, _| taint::run(session),
    ),
    command(
        "describe",
        "describe (-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
        "Show details of a specific resource or group of resources",
        Group::Troubleshooting,
        describe::FLAGS,
        |session, _| describe::run(session),
    ),
    command(
        "logs",
        "logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
        "Print the logs for a container in a pod",
        Group::Troubleshooting,
        logs::FLAGS,
        |session, _| logs::run(session),
    ),
    command(
        "attach",
        "attach (POD | TYPE/NAME) -c CONTAINER",
        "Attach to a running container",
        Group::Troubleshooting,
        &["container", "pod-running-timeout@1m0s", "quiet", "stdin", "tty"],
        simplified,
    ),
    command(
        "exec",
        "exec (POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]",
        "Execute a command in a container",
        Group::Troubleshooting,
        exec::FLAGS,
        |session, _| exec::run(session),
    ),
    command(
        "port-forward",
        "port-forward TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]",
        "Forward one or more local ports to a pod",
        Group::Troubleshooting,
        &["address", "pod-running-timeout@1m0s"],
        simplified,
    ),
    command(
        "proxy",
        "proxy [--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix]",
        "Run a proxy to the Kubernetes API server",
        Group::Troubleshooting,
        &["address", "port"],
        simplified,
    ),
    command(
        "debug",
        "debug (POD | TYPE[[.VERSION].GROUP]/NAME) [ -- COMMAND [args...] ]",
        "Create debugging sessions for troubleshooting workloads and nodes",
        Group::Troubleshooting,
        &["container", "image", "stdin", "tty"],
        simplified,
    ),
    Command {
        subcommands: APPLY,
        ..command(
            "apply",
            "apply (-f FILENAME | -k DIRECTORY)",
            "Apply a configuration to a resource by file name or stdin",
            Group::Advanced,
            apply::FLAGS,
            |session, _| apply::run(session),
        )
    },
    command(
        "patch",
        "patch (-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE]",
        "Update fields of a resource",
        Group::Advanced,
        patch::FLAGS,
        |session, _| patch::run(session),
    ),
    command(
        "replace",
        "replace -f FILENAME",
        "Replace a resource by file name or stdin",
        Group::Advanced,
        replace::FLAGS,
        |session, _| replace::run(session),
    ),
    command(
        "kustomize",
        "kustomize DIR",
        "Build a kustomization target from a directory or URL",
        Group::Advanced,
        &[],
        simplified,
    ),
    command(
        "label",
        "label [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version]",
        "Update the labels on a resource",
        Group::Settings,
        label::FLAGS,
        |session, _| label::label(session),
    ),
    command(
        "annotate",
        "annotate [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version]",
        "Update the annotations on a resource",
        Group::Settings,
        label::FLAGS,
        |session, _| label::annotate(session),
    ),
    command(
        "completion",
        "completion SHELL",
        "Output shell completion code for the specified shell (bash, zsh, fish, or powershell)",
        Group::Settings,
        &[],
        simplified,
    ),
    command(
        "kuberc",
        "kuberc SUBCOMMAND",
        "Manage kuberc configuration files",
        Group::Other,
        &[],
        simplified,
    ),
    command(
        "plugin",
        "plugin [flags]",
        "Provides utilities for interacting with plugins",
        Group::Other,
        &[],
        simplified,
    ),
    command(
        "options",
        "options",
        "Print the list of flags inherited by all commands",
        Group::None,
        &[],
        |session, _| {
            session.print(super::help::global_options());
            Ok(())
        },
    ),
];

const SET: &[Command] = &[
    command(
        "env",
        "env RESOURCE/NAME KEY_1=VAL_1 ... KEY_N=VAL_N",
        "Update environment variables on a pod template",
        Group::None,
        set::ENV_FLAGS,
        |session, _| set::env(session),
    ),
    command(
        "image",
        "image (-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ... CONTAINER_NAME_N=CONTAINER_IMAGE_N",
        "Update the image of a pod template",
        Group::None,
        set::FLAGS,
        |session, _| set::image(session),
    ),
    command(
        "resources",
        "resources (-f FILENAME | TYPE NAME)  ([--limits=LIMITS & --requests=REQUESTS]",
        "Update resource requests/limits on objects with pod templates",
        Group::None,
        set::RESOURCES_FLAGS,
        |session, _| set::resources(session),
    ),
    command(
        "selector",
        "selector (-f FILENAME | TYPE NAME) EXPRESSIONS [--resource-version=version]",
        "Set the selector on a resource",
        Group::None,
        set::SELECTOR_FLAGS,
        |session, _| set::selector(session),
    ),
    Command {
        aliases: &["sa"],
        ..command(
            "serviceaccount",
            "serviceaccount (-f FILENAME | TYPE NAME) SERVICE_ACCOUNT",
            "Update the service account of a resource",
            Group::None,
            set::FLAGS,
            |session, _| set::service_account(session),
        )
    },
    command(
        "subject",
        "subject (-f FILENAME | TYPE NAME) [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
        "Update the user, group, or service account in a role binding or cluster role binding",
        Group::None,
        set::SUBJECT_FLAGS,
        |session, _| set::subject(session),
    ),
];
const ROLLOUT: &[Command] = &[
    command(
        "history",
        "history (TYPE NAME | TYPE/NAME) [flags]",
        "View rollout history",
        Group::None,
        rollout::HISTORY_FLAGS,
        |session, _| rollout::history(session),
    ),
    command(
        "pause",
        "pause RESOURCE",
        "Mark the provided resource as paused",
        Group::None,
        rollout::CHANGE_FLAGS,
        |session, _| rollout::change(session, rollout::Change::Pause),
    ),
    command(
        "restart",
        "restart RESOURCE",
        "Restart a resource",
        Group::None,
        rollout::CHANGE_FLAGS,
        |session, _| rollout::change(session, rollout::Change::Restart),
    ),
    command(
        "resume",
        "resume RESOURCE",
        "Resume a paused resource",
        Group::None,
        rollout::CHANGE_FLAGS,
        |session, _| rollout::change(session, rollout::Change::Resume),
    ),
    command(
        "status",
        "status (TYPE NAME | TYPE/NAME) [flags]",
        "Show the status of the rollout",
        Group::None,
        rollout::STATUS_FLAGS,
        |session, _| rollout::status(session),
    ),
    command(
        "undo",
        "undo (TYPE NAME | TYPE/NAME) [flags]",
        "Undo a previous rollout",
        Group::None,
        rollout::UNDO_FLAGS,
        |session, _| rollout::undo(session),
    ),
];
const APPLY: &[Command] = &[
    command(
        "edit-last-applied",
        "edit-last-applied (RESOURCE/NAME | -f FILENAME)",
        "Edit latest last-applied-configuration annotations of a resource/object",
        Group::None,
        &["filename", "kustomize", "recursive"],
        |_, _| super::failure::fail(crate::fidelity::message("kubectl", "edit").unwrap_or_default()),
    ),
    command(
        "set-last-applied",
        "set-last-applied -f FILENAME",
        "Set the last-applied-configuration annotation on a live object to match the contents of a file",
        Group::None,
        apply::SET_LAST_APPLIED_FLAGS,
        |session, _| apply::set_last_applied(session),
    ),
    command(
        "view-last-applied",
        "view-last-applied (TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME)",
        "View the latest last-applied-configuration annotations of a resource/object",
        Group::None,
        &["all", "filename", "kustomize", "output@yaml", "recursive", "selector"],
        |session, _| apply::view_last_applied(session),
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

/// A command that is left out on purpose, and says so.
fn simplified(_: &mut Session, command: &Command) -> Outcome {
    let message = crate::fidelity::message("kubectl", command.name).unwrap_or_default();
    Err(Failure::Message(message.into()).into())
}

/// A command that is nothing without a subcommand: its help.
fn usage(session: &mut Session, command: &Command) -> Outcome {
    if let Some(word) = session.operands().first() {
        let text =
            format!("error: unknown command {word:?}\nSee '{} -h' for help and examples", session.command);
        return Err(Failure::Exact(text).into());
    }
    let text = super::help::of_command(command, &session.command.clone());
    session.print(text);
    Ok(())
}
