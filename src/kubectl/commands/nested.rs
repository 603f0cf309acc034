//! The commands below commands: `kubectl rollout status`, `kubectl create deployment`.
//!
//! Picture to hold in mind: the second pages of the list on the wall (see [`super`]).

use super::super::command::{Command, Group, command};
use super::super::{apply, auth, certificate, cluster_info, config, create, rollout, set, top};
use super::{simplified, usage};

pub const SET: &[Command] = &[
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
pub const ROLLOUT: &[Command] = &[
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
pub const APPLY: &[Command] = &[
    command(
        "edit-last-applied",
        "edit-last-applied (RESOURCE/NAME | -f FILENAME)",
        "Edit latest last-applied-configuration annotations of a resource/object",
        Group::None,
        &["filename", "kustomize", "recursive"],
        |_, _| {
            super::super::failure::fail(
                crate::fidelity::message("kubectl", "apply edit-last-applied").unwrap_or_default(),
            )
        },
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
pub const CERTIFICATE: &[Command] = &[
    command(
        "approve",
        "approve (-f FILENAME | NAME)",
        "Approve a certificate signing request",
        Group::None,
        certificate::FLAGS,
        |session, _| certificate::judge(session, true),
    ),
    command(
        "deny",
        "deny (-f FILENAME | NAME)",
        "Deny a certificate signing request",
        Group::None,
        certificate::FLAGS,
        |session, _| certificate::judge(session, false),
    ),
];
pub const CLUSTER_INFO: &[Command] = &[command(
    "dump",
    "dump [flags]",
    "Dump relevant information for debugging and diagnosis",
    Group::None,
    cluster_info::DUMP_FLAGS,
    |session, _| cluster_info::dump(session),
)];
pub const TOP: &[Command] = &[
    Command {
        aliases: &["nodes", "no"],
        ..command(
            "node",
            "node [NAME | -l label]",
            "Display resource (CPU/memory) usage of nodes",
            Group::None,
            top::NODE_FLAGS,
            |session, _| top::run(session),
        )
    },
    Command {
        aliases: &["pods", "po"],
        ..command(
            "pod",
            "pod [NAME | -l label]",
            "Display resource (CPU/memory) usage of pods",
            Group::None,
            top::POD_FLAGS,
            |session, _| top::run(session),
        )
    },
];
pub const AUTH: &[Command] = &[
    command(
        "can-i",
        "can-i VERB [TYPE | TYPE/NAME | NONRESOURCEURL]",
        "Check whether an action is allowed",
        Group::None,
        auth::CAN_I_FLAGS,
        |session, _| auth::can_i(session),
    ),
    command(
        "reconcile",
        "reconcile -f FILENAME",
        "Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects",
        Group::None,
        &[
            "allow-missing-template-keys",
            "dry-run",
            "filename",
            "kustomize",
            "output",
            "recursive",
            "remove-extra-permissions",
            "remove-extra-subjects",
            "show-managed-fields",
            "template",
        ],
        simplified,
    ),
    command(
        "whoami",
        "whoami",
        "Experimental: Check self subject attributes",
        Group::None,
        auth::WHO_AM_I_FLAGS,
        |session, _| auth::who_am_i(session),
    ),
];
pub const CONFIG: &[Command] = &[
    command(
        "current-context",
        "current-context [flags]",
        "Display the current-context",
        Group::None,
        &[],
        |session, _| config::current_context(session),
    ),
    command(
        "delete-cluster",
        "delete-cluster NAME",
        "Delete the specified cluster from the kubeconfig",
        Group::None,
        &[],
        |session, _| config::delete_cluster(session),
    ),
    command(
        "delete-context",
        "delete-context NAME",
        "Delete the specified context from the kubeconfig",
        Group::None,
        &[],
        |session, _| config::delete_context(session),
    ),
    command(
        "delete-user",
        "delete-user NAME",
        "Delete the specified user from the kubeconfig",
        Group::None,
        &[],
        |session, _| config::delete_user(session),
    ),
    command(
        "get-clusters",
        "get-clusters [flags]",
        "Display clusters defined in the kubeconfig",
        Group::None,
        &[],
        |session, _| config::get_clusters(session),
    ),
    command(
        "get-contexts",
        "get-contexts [(-o|--output=)name)]",
        "Describe one or many contexts",
        Group::None,
        &["no-headers", "output"],
        |session, _| config::get_contexts(session),
    ),
    command(
        "get-users",
        "get-users [flags]",
        "Display users defined in the kubeconfig",
        Group::None,
        &[],
        |session, _| config::get_users(session),
    ),
    command(
        "rename-context",
        "rename-context CONTEXT_NAME NEW_NAME",
        "Rename a context from the kubeconfig file",
        Group::None,
        &[],
        |session, _| config::rename_context(session),
    ),
    command(
        "set",
        "set PROPERTY_NAME PROPERTY_VALUE",
        "Set an individual value in a kubeconfig file",
        Group::None,
        &["set-raw-bytes"],
        |session, _| config::set(session),
    ),
    command(
        "set-cluster",
        "set-cluster NAME [--server=server] [--certificate-authority=path/to/certificate/authority] [--insecure-skip-tls-verify=true] [--tls-server-name=example.com]",
        "Set a cluster entry in kubeconfig",
        Group::None,
        &[
            "certificate-authority",
            "embed-certs",
            "insecure-skip-tls-verify",
            "proxy-url",
            "=server",
            "tls-server-name",
        ],
        |session, _| config::set_cluster(session),
    ),
    command(
        "set-context",
        "set-context [NAME | --current] [--cluster=cluster_nickname] [--user=user_nickname] [--namespace=namespace]",
        "Set a context entry in kubeconfig",
        Group::None,
        &["cluster", "current", "=namespace", "user"],
        |session, _| config::set_context(session),
    ),
    command(
        "set-credentials",
        "set-credentials NAME [--client-certificate=path/to/certfile] [--client-key=path/to/keyfile] [--token=bearer_token] [--username=basic_user] [--password=basic_password] [--auth-provider=provider_name] [--auth-provider-arg=key=value] [--exec-command=exec_command] [--exec-api-version=exec_api_version] [--exec-arg=arg] [--exec-env=key=value]",
        "Set a user entry in kubeconfig",
        Group::None,
        &["client-certificate", "client-key", "embed-certs", "password", "token", "username"],
        |session, _| config::set_credentials(session),
    ),
    command(
        "unset",
        "unset PROPERTY_NAME",
        "Unset an individual value in a kubeconfig file",
        Group::None,
        &[],
        |session, _| config::unset(session),
    ),
    Command {
        aliases: &["use"],
        ..command(
            "use-context",
            "use-context CONTEXT_NAME",
            "Set the current-context in a kubeconfig file",
            Group::None,
            &[],
            |session, _| config::use_context(session),
        )
    },
    command(
        "view",
        "view [flags]",
        "Display merged kubeconfig settings or a specified kubeconfig file",
        Group::None,
        config::VIEW_FLAGS,
        |session, _| config::view(session),
    ),
];

const GENERATOR_FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "dry-run",
    "field-manager@kubectl-create",
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

pub const CREATE: &[Command] = &[
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
            "service [flags]",
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
        &[
            "allow-missing-template-keys",
            "audience",
            "bound-object-kind",
            "bound-object-name",
            "bound-object-uid",
            "duration",
            "output",
            "show-managed-fields",
            "template",
        ],
        |session, _| create::token(session),
    ),
];
const SECRET: &[Command] =
    &[named(14, "docker-registry", &[]), named(13, "generic", &[]), named(15, "tls", &[])];
const SERVICE: &[Command] = &[
    named(16, "clusterip", &[]),
    named(17, "externalname", &[]),
    named(18, "loadbalancer", &[]),
    named(19, "nodeport", &[]),
];

const fn named(index: usize, name: &'static str, aliases: &'static [&'static str]) -> Command {
    Command { name, aliases, ..generator(index) }
}
