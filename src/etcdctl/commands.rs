//! Which commands there are, and which flags each takes.
//!
//! Picture to hold in mind: the price list on the wall.

use super::flags::{Flag, Kind, flag};
use super::{Order, Outcome, Version};
use super::{
    auth, check, concurrency, endpoint, keys, lease, maintenance, member, restore, snapshot, txn, watch,
};
use crate::shell::Cli;

type Main = fn(&mut Cli, &Order) -> Outcome;

pub struct Command {
    /// Its name, and what stands behind it in the usage line.
    pub usage: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub flags: &'static [Flag],
    /// Flags of this command and of those below it.
    pub persistent: &'static [Flag],
    pub subcommands: &'static [Command],
    /// `None`: it is only a heading for its subcommands.
    pub run: Option<Main>,
    only: Option<Version>,
}

impl Command {
    pub fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or("")
    }
    pub fn is_in(&self, version: Version) -> bool {
        self.only.is_none_or(|only| only == version)
    }
    /// The subcommand of that name, or the only one whose name begins so (`cobra.EnablePrefixMatching`).
    pub fn find(&self, word: &str, version: Version) -> Option<&'static Command> {
        let all = || self.subcommands.iter().filter(move |command| command.is_in(version));
        if let Some(exact) = all().find(|command| command.name() == word) {
            return Some(exact);
        }
        let mut near = all().filter(|command| !word.is_empty() && command.name().starts_with(word));
        near.next().filter(|_| near.next().is_none())
    }
    const fn about(self, description: &'static str) -> Command {
        Command { description, ..self }
    }
    const fn only(self, version: Version) -> Command {
        Command { only: Some(version), ..self }
    }
    const fn persistent(self, persistent: &'static [Flag]) -> Command {
        Command { persistent, ..self }
    }
}

const fn command(usage: &'static str, summary: &'static str, flags: &'static [Flag], run: Main) -> Command {
    Command {
        usage,
        summary,
        description: "",
        flags,
        persistent: &[],
        subcommands: &[],
        run: Some(run),
        only: None,
    }
}
const fn group(usage: &'static str, summary: &'static str, subcommands: &'static [Command]) -> Command {
    Command {
        usage,
        summary,
        description: "",
        flags: &[],
        persistent: &[],
        subcommands,
        run: None,
        only: None,
    }
}

/// The flag of every command of etcdctl that is called so.
pub fn global_flag(name: &str, version: Version) -> Option<&'static Flag> {
    GLOBAL.iter().find(|flag| flag.name == name && flag.is_in(version))
}

use Kind::{Duration, List, Number, Switch, Text};
use Version::V3_6;

const GLOBAL: &[Flag] = &[
    flag(List, "endpoints", "[127.0.0.1:2379]", "gRPC endpoints"),
    flag(Switch, "debug", "false", "enable client-side debug logging"),
    flag(Text, "write-out", "simple", "set the output format (fields, json, protobuf, simple, table)")
        .short('w'),
    flag(Switch, "hex", "false", "print byte strings as hex encoded strings"),
    flag(Duration, "dial-timeout", "2s", "dial timeout for client connections"),
    flag(Duration, "command-timeout", "5s", "timeout for short running command (excluding dial timeout)"),
    flag(Duration, "keepalive-time", "2s", "keepalive time for client connections"),
    flag(Duration, "keepalive-timeout", "6s", "keepalive timeout for client connections"),
    flag(
        Number,
        "max-request-bytes",
        "0",
        "client-side request send limit in bytes (if 0, it defaults to 2.0 MiB (2 * 1024 * 1024).)",
    )
    .only(V3_6),
    flag(
        Number,
        "max-recv-bytes",
        "0",
        "client-side response receive limit in bytes (if 0, it defaults to \"math.MaxInt32\")",
    )
    .only(V3_6),
    flag(Switch, "insecure-transport", "true", "disable transport security for client connections"),
    flag(Switch, "insecure-discovery", "true", "accept insecure SRV records describing cluster endpoints"),
    flag(
        Switch,
        "insecure-skip-tls-verify",
        "false",
        "skip server certificate verification (CAUTION: this option should be enabled only for testing purposes)",
    ),
    flag(Text, "cert", "", "identify secure client using this TLS certificate file"),
    flag(Text, "key", "", "identify secure client using this TLS key file"),
    flag(Text, "cacert", "", "verify certificates of TLS-enabled secure servers using this CA bundle"),
    flag(Text, "user", "", "username[:password] for authentication (prompt if password is not supplied)"),
    flag(
        Text,
        "password",
        "",
        "password for authentication (if this option is used, --user option shouldn't include password)",
    ),
    flag(Text, "discovery-srv", "", "domain name to query for SRV records describing cluster endpoints")
        .short('d'),
    flag(Text, "discovery-srv-name", "", "service name to query when using DNS discovery"),
];

const CLUSTER: &[Flag] =
    &[flag(Switch, "cluster", "false", "use all endpoints from the cluster member list")];
const NONE: &[Flag] = &[];

const MEMBER_LIST: &str = "When --write-out is set to simple, this command prints out comma-separated member lists for each endpoint.
The items in the lists are ID, Status, Name, Peer Addrs, Client Addrs, Is Learner.
";
const ENDPOINT_STATUS: &str = "When --write-out is set to simple, this command prints out comma-separated status lists for each endpoint.
The items in the lists are endpoint, ID, version, db size, is leader, is learner, raft term, raft index, raft applied index, errors.
";
const SNAPSHOT_STATUS: &str = "When --write-out is set to simple, this command prints out comma-separated status lists for each endpoint.
The items in the lists are hash, revision, total keys, total size.
";
const PUT: &str = "
Puts the given key into the store.

When <value> begins with '-', <value> is interpreted as a flag.
Insert '--' for workaround:

$ put <key> -- <value>
$ put -- <key> <value>

If <value> isn't given as a command line argument and '--ignore-value' is not specified,
this command tries to read the value from standard input.

If <lease> isn't given as a command line argument and '--ignore-lease' is not specified,
this command tries to read the value from standard input.

For example,
$ cat file | put <key>
will store the content of the file to <key>.
";

pub const GET_FLAGS: &[Flag] = &[
    flag(Text, "consistency", "l", "Linearizable(l) or Serializable(s)"),
    flag(Text, "order", "", "Order of results; ASCEND or DESCEND (ASCEND by default)"),
    flag(Text, "sort-by", "", "Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION"),
    flag(Number, "limit", "0", "Maximum number of results"),
    flag(Switch, "prefix", "false", "Get keys with matching prefix"),
    flag(
        Switch,
        "from-key",
        "false",
        "Get keys that are greater than or equal to the given key using byte compare",
    ),
    flag(Number, "rev", "0", "Specify the kv revision"),
    flag(Switch, "keys-only", "false", "Get only the keys"),
    flag(Switch, "count-only", "false", "Get only the count").only(V3_6),
    flag(Switch, "print-value-only", "false", "Only write values when using the \"simple\" output format"),
    flag(Number, "min-create-rev", "0", "Minimum create revision").only(V3_6),
    flag(Number, "max-create-rev", "0", "Maximum create revision").only(V3_6),
    flag(Number, "min-mod-rev", "0", "Minimum modification revision").only(V3_6),
    flag(Number, "max-mod-rev", "0", "Maximum modification revision").only(V3_6),
];
pub const PUT_FLAGS: &[Flag] = &[
    flag(Text, "lease", "0", "lease ID (in hexadecimal) to attach to the key"),
    flag(Switch, "prev-kv", "false", "return the previous key-value pair before modification"),
    flag(Switch, "ignore-value", "false", "updates the key using its current value"),
    flag(Switch, "ignore-lease", "false", "updates the key using its current lease"),
];
pub const DEL_FLAGS: &[Flag] = &[
    flag(Switch, "prefix", "false", "delete keys with matching prefix"),
    flag(Switch, "prev-kv", "false", "return deleted key-value pairs"),
    flag(
        Switch,
        "from-key",
        "false",
        "delete keys that are greater than or equal to the given key using byte compare",
    ),
    flag(Switch, "range", "false", "delete range of keys").only(V3_6),
];
pub const WATCH_FLAGS: &[Flag] = &[
    flag(Switch, "interactive", "false", "Interactive mode").short('i'),
    flag(Switch, "prefix", "false", "Watch on a prefix if prefix is set"),
    flag(Number, "rev", "0", "Revision to start watching"),
    flag(Switch, "prev-kv", "false", "get the previous key-value pair before the event happens"),
    flag(Switch, "progress-notify", "false", "get periodic watch progress notification from server")
        .only(V3_6),
];
const RESTORE_FLAGS: &[Flag] = &[
    flag(Text, "data-dir", "", "Path to the output data directory"),
    flag(Text, "wal-dir", "", "Path to the WAL directory (use --data-dir if none given)"),
    flag(
        Text,
        "initial-cluster",
        "default=http://localhost:2380",
        "Initial cluster configuration for restore bootstrap",
    ),
    flag(
        Text,
        "initial-cluster-token",
        "etcd-cluster",
        "Initial cluster token for the etcd cluster during restore bootstrap",
    ),
    flag(
        Text,
        "initial-advertise-peer-urls",
        "http://localhost:2380",
        "List of this member's peer URLs to advertise to the rest of the cluster",
    ),
    flag(Text, "name", "default", "Human-readable name for this member"),
    flag(
        Switch,
        "skip-hash-check",
        "false",
        "Ignore snapshot integrity hash value (required if copied from data directory)",
    ),
    flag(Number, "bump-revision", "0", "How much to increase the latest revision after restore").only(V3_6),
    flag(
        Switch,
        "mark-compacted",
        "false",
        "Mark the latest revision after restore as the point of scheduled compaction (required if --bump-revision > 0, disallowed otherwise)",
    )
    .only(V3_6),
];
const PERMISSION_FLAGS: &[Flag] = &[
    flag(Switch, "prefix", "false", "grant a prefix permission"),
    flag(
        Switch,
        "from-key",
        "false",
        "grant a permission of keys that are greater than or equal to the given key using byte compare",
    ),
];
const REVOKE_FLAGS: &[Flag] = &[
    flag(Switch, "prefix", "false", "revoke a prefix permission"),
    flag(
        Switch,
        "from-key",
        "false",
        "revoke a permission of keys that are greater than or equal to the given key using byte compare",
    ),
];
const PERF_FLAGS: &[Flag] = &[
    flag(
        Text,
        "load",
        "s",
        "The performance check's workload model. Accepted workloads: s(small), m(medium), l(large), xl(xLarge). Different workload models use different configurations in terms of number of clients and expected throughput.",
    ),
    flag(Text, "prefix", "/etcdctl-check-perf/", "The prefix for writing the performance check's keys."),
    flag(Switch, "auto-compact", "false", "Compact storage with last revision after test is finished."),
    flag(Switch, "auto-defrag", "false", "Defragment storage after test is finished."),
];
const PEER_URLS: Flag = flag(Text, "peer-urls", "", "comma separated peer URLs for the new member.");

fn help(_: &mut Cli, _: &Order) -> Outcome {
    // The help is found before any command is.
    Ok(())
}
const HELP: Command = command("help [command]", "Help about any command", NONE, help);

pub const ETCDCTL: &Command = &Command {
    usage: "etcdctl",
    summary: "A simple command line client for etcd3.",
    description: "",
    flags: &[],
    persistent: GLOBAL,
    run: None,
    only: None,
    subcommands: &[
        HELP,
        command("get [options] <key> [range_end]", "Gets the key or a range of keys", GET_FLAGS, keys::get),
        command(
            "put [options] <key> <value> (<value> can also be given from stdin)",
            "Puts the given key into the store",
            PUT_FLAGS,
            keys::put,
        )
        .about(PUT),
        command(
            "del [options] <key> [range_end]",
            "Removes the specified key or range of keys [key, range_end)",
            DEL_FLAGS,
            keys::del,
        ),
        command(
            "txn [options]",
            "Txn processes all the requests in one transaction",
            &[flag(Switch, "interactive", "false", "Input transaction in interactive mode").short('i')],
            txn::run,
        ),
        command(
            "compaction [options] <revision>",
            "Compacts the event history in etcd",
            &[flag(
                Switch,
                "physical",
                "false",
                "'true' to wait for compaction to physically remove all old revisions",
            )],
            keys::compact,
        ),
        group(
            "alarm <subcommand>",
            "Alarm related commands",
            &[
                command("disarm", "Disarms all alarms", NONE, maintenance::alarm_disarm),
                command("list", "Lists all alarms", NONE, maintenance::alarm_list),
            ],
        ),
        command(
            "defrag",
            "Defragments the storage of the etcd members with given endpoints",
            NONE,
            maintenance::defrag,
        )
        .persistent(CLUSTER),
        group(
            "endpoint <subcommand>",
            "Endpoint related commands",
            &[
                command(
                    "health",
                    "Checks the healthiness of endpoints specified in `--endpoints` flag",
                    NONE,
                    endpoint::health,
                ),
                command(
                    "status",
                    "Prints out the status of endpoints specified in `--endpoints` flag",
                    NONE,
                    endpoint::status,
                )
                .about(ENDPOINT_STATUS),
                command(
                    "hashkv",
                    "Prints the KV history hash for each endpoint in --endpoints",
                    &[flag(Number, "rev", "0", "maximum revision to hash (default: latest revision)")],
                    endpoint::hash,
                ),
            ],
        )
        .persistent(CLUSTER),
        command(
            "move-leader <transferee-member-id>",
            "Transfers leadership to another etcd cluster member.",
            NONE,
            endpoint::move_leader,
        ),
        command(
            "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
            "Watches events stream on keys or prefixes",
            WATCH_FLAGS,
            watch::run,
        ),
        command("version", "Prints the version of etcdctl", NONE, maintenance::version),
        group(
            "lease <subcommand>",
            "Lease related commands",
            &[
                command("grant <ttl>", "Creates leases", NONE, lease::grant),
                command("revoke <leaseID>", "Revokes leases", NONE, lease::revoke),
                command(
                    "timetolive <leaseID> [options]",
                    "Get lease information",
                    &[flag(Switch, "keys", "false", "Get keys attached to this lease")],
                    lease::time_to_live,
                ),
                command("list", "List all active leases", NONE, lease::list),
                command(
                    "keep-alive [options] <leaseID>",
                    "Keeps leases alive (renew)",
                    &[flag(
                        Switch,
                        "once",
                        "false",
                        "Resets the keep-alive time to its original value and cobrautl.Exits immediately",
                    )],
                    lease::keep_alive,
                ),
            ],
        ),
        group(
            "member <subcommand>",
            "Membership related commands",
            &[
                command(
                    "add <memberName> [options]",
                    "Adds a member into the cluster",
                    &[
                        PEER_URLS,
                        flag(Switch, "learner", "false", "indicates if the new member is raft learner"),
                    ],
                    member::add,
                ),
                command("remove <memberID>", "Removes a member from the cluster", NONE, member::remove),
                command(
                    "update <memberID> [options]",
                    "Updates a member in the cluster",
                    &[flag(Text, "peer-urls", "", "comma separated peer URLs for the updated member.")],
                    member::update,
                ),
                command(
                    "list",
                    "Lists all members in the cluster",
                    &[flag(Text, "consistency", "l", "Linearizable(l) or Serializable(s)").only(V3_6)],
                    member::list,
                )
                .about(MEMBER_LIST),
                command(
                    "promote <memberID>",
                    "Promotes a non-voting member in the cluster",
                    NONE,
                    member::promote,
                )
                .about("Promotes a non-voting learner member to a voting one in the cluster.\n"),
            ],
        ),
        group(
            "snapshot <subcommand>",
            "Manages etcd node snapshots",
            &[
                command(
                    "save <filename>",
                    "Stores an etcd node backend snapshot to a given file",
                    NONE,
                    snapshot::save,
                ),
                command(
                    "restore <filename> [options]",
                    "Restores an etcd member snapshot to an etcd directory",
                    RESTORE_FLAGS,
                    restore::restore_by_etcdctl,
                ),
                command(
                    "status <filename>",
                    "Gets backend snapshot status of a given file",
                    NONE,
                    restore::status_by_etcdctl,
                )
                .about(SNAPSHOT_STATUS),
            ],
        ),
        command(
            "lock <lockname> [exec-command arg1 arg2 ...]",
            "Acquires a named lock",
            &[flag(Number, "ttl", "10", "timeout for session")],
            concurrency::lock,
        ),
        command(
            "elect <election-name> [proposal]",
            "Observes and participates in leader election",
            &[flag(Switch, "listen", "false", "observation mode").short('l')],
            concurrency::elect,
        ),
        group(
            "auth <enable or disable>",
            "Enable or disable authentication",
            &[
                command("enable", "Enables authentication", NONE, auth::enable),
                command("disable", "Disables authentication", NONE, auth::disable),
                command("status", "Returns authentication status", NONE, auth::status).only(V3_6),
            ],
        ),
        group(
            "user <subcommand>",
            "User related commands",
            &[
                command(
                    "add <user name or user:password> [options]",
                    "Adds a new user",
                    &[
                        flag(
                            Switch,
                            "interactive",
                            "true",
                            "Read password from stdin instead of interactive terminal",
                        ),
                        flag(Text, "new-user-password", "", "Supply password from the command line flag"),
                        flag(
                            Switch,
                            "no-password",
                            "false",
                            "Create a user without password (CN based auth only)",
                        ),
                    ],
                    auth::user_add,
                ),
                command("delete <user name>", "Deletes a user", NONE, auth::user_delete),
                command(
                    "get <user name> [options]",
                    "Gets detailed information of a user",
                    &[flag(Switch, "detail", "false", "Show permissions of roles granted to the user")],
                    auth::user_get,
                ),
                command("list", "Lists all users", NONE, auth::user_list),
                command(
                    "passwd <user name> [options]",
                    "Changes password of user",
                    &[flag(
                        Switch,
                        "interactive",
                        "true",
                        "If true, read password from stdin instead of interactive terminal",
                    )],
                    auth::user_password,
                ),
                command(
                    "grant-role <user name> <role name>",
                    "Grants a role to a user",
                    NONE,
                    auth::user_grant_role,
                ),
                command(
                    "revoke-role <user name> <role name>",
                    "Revokes a role from a user",
                    NONE,
                    auth::user_revoke_role,
                ),
            ],
        ),
        group(
            "role <subcommand>",
            "Role related commands",
            &[
                command("add <role name>", "Adds a new role", NONE, auth::role_add),
                command("delete <role name>", "Deletes a role", NONE, auth::role_delete),
                command("get <role name>", "Gets detailed information of a role", NONE, auth::role_get),
                command("list", "Lists all roles", NONE, auth::role_list),
                command(
                    "grant-permission [options] <role name> <permission type> <key> [endkey]",
                    "Grants a key to a role",
                    PERMISSION_FLAGS,
                    auth::role_grant,
                ),
                command(
                    "revoke-permission <role name> <key> [endkey]",
                    "Revokes a key from a role",
                    REVOKE_FLAGS,
                    auth::role_revoke,
                ),
            ],
        ),
        group(
            "check <subcommand>",
            "commands for checking properties of the etcd cluster",
            &[command(
                "perf [options]",
                "Check the performance of the etcd cluster",
                PERF_FLAGS,
                check::perf,
            )],
        ),
    ],
};

pub const ETCDUTL: &Command = &Command {
    usage: "etcdutl",
    summary: "An administrative command line tool for etcd3.",
    description: "",
    flags: &[],
    persistent: &[flag(
        Text,
        "write-out",
        "simple",
        "set the output format (fields, json, protobuf, simple, table)",
    )
    .short('w')],
    run: None,
    only: None,
    subcommands: &[
        HELP,
        group(
            "snapshot <subcommand>",
            "Manages etcd node snapshots",
            &[
                command(
                    "restore <filename> --data-dir {output dir} [options]",
                    "Restores an etcd member snapshot to an etcd directory",
                    RESTORE_FLAGS,
                    restore::restore,
                ),
                command(
                    "status <filename>",
                    "Gets backend snapshot status of a given file",
                    NONE,
                    restore::status,
                )
                .about(SNAPSHOT_STATUS),
            ],
        ),
        command(
            "hashkv <filename>",
            "Prints the KV history hash of a given file",
            &[flag(Number, "rev", "0", "maximum revision to hash (default: latest revision)")],
            restore::hash,
        ),
        command("version", "Prints the version of etcdutl", NONE, restore::version),
    ],
};
