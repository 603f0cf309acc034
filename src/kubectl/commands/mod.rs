//! Which commands there are.
//!
//! Picture to hold in mind: the list on the wall behind the counter: what is offered, in which words, by whom.

use super::command::{Command, Group, command};
use super::failure::{Failure, Outcome, misused};
use super::session::Session;
use super::{
    apply, attach, autoscale, cluster_info, copy, create, debug, delete, describe, diff, edit, events, exec,
    explain, expose, get, label, logs, nodes, patch, replace, resources, run, scale, taint, version, wait,
};
pub(super) use nested::CONFIG;
use nested::{APPLY, AUTH, CERTIFICATE, CLUSTER_INFO, CREATE, ROLLOUT, SET, TOP};

mod nested;

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
        "explain",
        "explain TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group] [-o|--output=plaintext|plaintext-openapiv2]",
        "Get documentation for a resource",
        Group::Intermediate,
        &["api-version", "output@plaintext", "recursive"],
        |session, _| explain::run(session),
    ),
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
        edit::FLAGS,
        |session, _| edit::run(session),
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
    Command {
        subcommands: CERTIFICATE,
        ..command(
            "certificate",
            "certificate SUBCOMMAND",
            "Modify certificate resources",
            Group::Cluster,
            &[],
            usage,
        )
    },
    Command {
        subcommands: CLUSTER_INFO,
        ..command(
            "cluster-info",
            "cluster-info [flags]",
            "Display cluster information",
            Group::Cluster,
            &[],
            |session, _| cluster_info::run(session),
        )
    },
    Command {
        subcommands: TOP,
        ..command("top", "top [flags]", "Display resource (CPU/memory) usage", Group::Cluster, &[], usage)
    },
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
        attach::FLAGS,
        |session, _| attach::run(session),
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
        |session, command| match session.operands() {
            [] | [_] => {
                misused(&session.command, "TYPE/NAME and list of ports are required for port-forward")
            }
            _ => simplified(session, command),
        },
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
        "cp",
        "cp <file-spec-src> <file-spec-dest>",
        "Copy files and directories to and from containers",
        Group::Troubleshooting,
        copy::FLAGS,
        |session, _| copy::run(session),
    ),
    Command {
        subcommands: AUTH,
        ..command("auth", "auth [flags]", "Inspect authorization", Group::Troubleshooting, &[], usage)
    },
    command(
        "debug",
        "debug (POD | TYPE[[.VERSION].GROUP]/NAME) [ -- COMMAND [args...] ]",
        "Create debugging sessions for troubleshooting workloads and nodes",
        Group::Troubleshooting,
        debug::FLAGS,
        |session, _| debug::run(session),
    ),
    command(
        "events",
        "events [(-o|--output=)json|yaml|kyaml|name|go-template|go-template-file|template|templatefile|jsonpath|jsonpath-as-json|jsonpath-file] [--for TYPE/NAME] [--watch] [--types=Normal,Warning]",
        "List events",
        Group::Troubleshooting,
        events::FLAGS,
        |session, _| events::run(session),
    ),
    command(
        "diff",
        "diff -f FILENAME",
        "Diff the live version against a would-be applied version",
        Group::Advanced,
        diff::FLAGS,
        |session, _| diff::run(session),
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
        "wait",
        "wait ([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) [--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]]",
        "Wait for a specific condition on one or many resources",
        Group::Advanced,
        wait::FLAGS,
        |session, _| wait::run(session),
    ),
    command(
        "kustomize",
        "kustomize DIR [flags]",
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
        "api-resources",
        "api-resources [flags]",
        "Print the supported API resources on the server",
        Group::Other,
        resources::FLAGS,
        |session, _| resources::resources(session),
    ),
    command(
        "api-versions",
        "api-versions",
        "Print the supported API versions on the server, in the form of \"group/version\"",
        Group::Other,
        &[],
        |session, _| resources::versions(session),
    ),
    Command {
        subcommands: CONFIG,
        ..command("config", "config SUBCOMMAND", "Modify kubeconfig files", Group::Other, &[], usage)
    },
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
        "version",
        "version [flags]",
        "Print the client and server version information",
        Group::Other,
        &["client", "output"],
        |session, _| version::run(session),
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

/// A command that is left out on purpose, and says so.
fn simplified(_: &mut Session, command: &Command) -> Outcome {
    let message = crate::fidelity::message("kubectl", command.name).unwrap_or_default();
    Err(Failure::Message(message.into()).into())
}

/// A command that is nothing without a subcommand: its help, which for most of them is an error.
fn usage(session: &mut Session, command: &Command) -> Outcome {
    let text = super::help::of_command(command, &session.command.clone());
    if command.name == "certificate" {
        session.print(text);
        return Ok(());
    }
    if let Some(word) = session.operands().first() {
        return misused(&session.command, &format!("unknown command {word:?}"));
    }
    match command.name {
        "rollout" => session.print(text),
        _ => session.eprint(text),
    }
    Err(Failure::Silent(1).into())
}
