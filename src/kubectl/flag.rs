//! The command line of every command: one table of flags, read as pflag reads them.
//!
//! Picture to hold in mind: a switchboard. Each command shows some of the switches; how a switch is thrown
//! (`-oyaml`, `--output=yaml`, `-A`, `--force=false`) is the same for all.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::failure::Failure;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `--x`, `--x=false`.
    Switch,
    Text,
    Number,
    /// `30s`, `5m`.
    Duration,
    /// May be given several times, or joined with commas.
    List,
    /// May be given several times; commas belong to the value.
    Array,
    /// `--dry-run` alone means this value.
    Optional(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: &'static str,
    pub help: &'static str,
}

const fn flag(
    long: &'static str,
    short: Option<char>,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Flag {
    Flag { long, short, kind, default, help }
}

/// Flags that every command takes.
pub const GLOBAL: &[Flag] = &[
    flag("as", None, Kind::Text, "", "Username to impersonate for the operation."),
    flag(
        "as-group",
        None,
        Kind::Array,
        "",
        "Group to impersonate for the operation, this flag can be repeated.",
    ),
    flag("as-uid", None, Kind::Text, "", "UID to impersonate for the operation."),
    flag("as-user-extra", None, Kind::Array, "", "User extras to impersonate for the operation."),
    flag("cache-dir", None, Kind::Text, "$HOME/.kube/cache", "Default cache directory"),
    flag("certificate-authority", None, Kind::Text, "", "Path to a cert file for the certificate authority"),
    flag("client-certificate", None, Kind::Text, "", "Path to a client certificate file for TLS"),
    flag("client-key", None, Kind::Text, "", "Path to a client key file for TLS"),
    flag("cluster", None, Kind::Text, "", "The name of the kubeconfig cluster to use"),
    flag("context", None, Kind::Text, "", "The name of the kubeconfig context to use"),
    flag("disable-compression", None, Kind::Switch, "false", "Opt out of response compression"),
    flag("insecure-skip-tls-verify", None, Kind::Switch, "false", "Do not check the server's certificate"),
    flag("kubeconfig", None, Kind::Text, "", "Path to the kubeconfig file to use for CLI requests."),
    flag("kuberc", None, Kind::Text, "", "Path to the kuberc file to use for preferences."),
    flag("log-flush-frequency", None, Kind::Duration, "5s", "Maximum number of seconds between log flushes"),
    flag(
        "match-server-version",
        None,
        Kind::Switch,
        "false",
        "Require server version to match client version",
    ),
    flag("namespace", Some('n'), Kind::Text, "", "If present, the namespace scope for this CLI request"),
    flag("password", None, Kind::Text, "", "Password for basic authentication to the API server"),
    flag("profile", None, Kind::Text, "none", "Name of profile to capture."),
    flag("profile-output", None, Kind::Text, "profile.pprof", "Name of the file to write the profile to"),
    flag(
        "request-timeout",
        None,
        Kind::Text,
        "0",
        "The length of time to wait before giving up on a single server request.",
    ),
    flag("server", Some('s'), Kind::Text, "", "The address and port of the Kubernetes API server"),
    flag("tls-server-name", None, Kind::Text, "", "Server name to use for server certificate validation."),
    flag("token", None, Kind::Text, "", "Bearer token for authentication to the API server"),
    flag("user", None, Kind::Text, "", "The name of the kubeconfig user to use"),
    flag("username", None, Kind::Text, "", "Username for basic authentication to the API server"),
    flag("v", Some('v'), Kind::Number, "0", "number for the log level verbosity"),
    flag(
        "vmodule",
        None,
        Kind::Text,
        "",
        "comma-separated list of pattern=N settings for file-filtered logging",
    ),
    flag(
        "warnings-as-errors",
        None,
        Kind::Switch,
        "false",
        "Treat warnings received from the server as errors",
    ),
    flag("help", Some('h'), Kind::Switch, "false", "Print help"),
];

/// Every other flag by name: commands list the names of those they show.
const SHARED: &[Flag] = &[
    flag(
        "all",
        None,
        Kind::Switch,
        "false",
        "Select all resources, in the namespace of the specified resource types",
    ),
    flag("all-containers", None, Kind::Switch, "false", "Get all containers' logs in the pod(s)."),
    flag("all-namespaces", Some('A'), Kind::Switch, "false", "If present, across all namespaces."),
    flag("all-pods", None, Kind::Switch, "false", "Get logs from all pod(s)."),
    flag(
        "allow-missing-template-keys",
        None,
        Kind::Switch,
        "true",
        "Ignore any errors in templates when a field or map key is missing.",
    ),
    flag("annotations", None, Kind::Array, "", "Annotations to apply to the pod."),
    flag("api-group", None, Kind::Text, "", "Limit to resources in the specified API group."),
    flag(
        "api-version",
        None,
        Kind::Text,
        "",
        "Get different explanations for particular API version (API group/version)",
    ),
    flag("append-hash", None, Kind::Switch, "false", "Append a hash of the object to its name."),
    flag(
        "attach",
        None,
        Kind::Switch,
        "false",
        "If true, wait for the Pod to start running, and then attach to it.",
    ),
    flag("audience", None, Kind::Array, "", "Audience of the requested token."),
    flag("cached", None, Kind::Switch, "false", "Use the cached list of resources if available."),
    flag(
        "cascade",
        None,
        Kind::Optional("background"),
        "background",
        "Must be \"background\", \"orphan\", or \"foreground\".",
    ),
    flag("categories", None, Kind::List, "", "Limit to resources that belong to the specified categories."),
    flag("chunk-size", None, Kind::Number, "500", "Return large lists in chunks rather than all at once."),
    flag("class", None, Kind::Text, "", "Ingress Class to be used"),
    flag("cluster-ip", None, Kind::Text, "", "ClusterIP to be assigned to the service."),
    flag(
        "clusterip",
        None,
        Kind::Text,
        "",
        "Assign your own ClusterIP or set to 'None' for a 'headless' service.",
    ),
    flag("clusterrole", None, Kind::Text, "", "ClusterRole this binding should reference"),
    flag(
        "aggregation-rule",
        None,
        Kind::Array,
        "",
        "An aggregation label selector for combining ClusterRoles.",
    ),
    flag("client", None, Kind::Switch, "false", "If true, shows client version only (no server required)."),
    flag(
        "command",
        None,
        Kind::Switch,
        "false",
        "If true and extra arguments are present, use them as the 'command' field.",
    ),
    flag(
        "concurrency",
        None,
        Kind::Number,
        "1",
        "Number of objects to process in parallel when diffing against the live version.",
    ),
    flag("container", Some('c'), Kind::Text, "", "Container name."),
    flag(
        "containers",
        Some('c'),
        Kind::Text,
        "*",
        "The names of containers in the selected pod templates to change.",
    ),
    flag("cpu", None, Kind::Text, "", "Target CPU utilization or value."),
    flag("cpu-percent", None, Kind::Number, "-1", "The target average CPU utilization."),
    flag("current-replicas", None, Kind::Number, "-1", "Precondition for current size."),
    flag("default-backend", None, Kind::Text, "", "Default service for backend, in format of svcname:port"),
    flag(
        "delete-emptydir-data",
        None,
        Kind::Switch,
        "false",
        "Continue even if there are pods using emptyDir.",
    ),
    flag(
        "description",
        None,
        Kind::Text,
        "",
        "A text string that usually provides guidelines on when this priority class should be used.",
    ),
    flag(
        "disable-eviction",
        None,
        Kind::Switch,
        "false",
        "Force drain to use delete, even if eviction is supported.",
    ),
    flag("docker-email", None, Kind::Text, "", "Email for Docker registry"),
    flag("docker-password", None, Kind::Text, "", "Password for Docker registry authentication"),
    flag(
        "docker-server",
        None,
        Kind::Text,
        "https://index.docker.io/v1/",
        "Server location for Docker registry",
    ),
    flag("docker-username", None, Kind::Text, "", "Username for Docker registry authentication"),
    flag(
        "dry-run",
        None,
        Kind::Optional("unchanged"),
        "none",
        "Must be \"none\", \"server\", or \"client\".",
    ),
    flag("duration", None, Kind::Duration, "0s", "Requested lifetime of the issued token."),
    flag("env", Some('e'), Kind::Array, "", "Environment variables to set."),
    flag(
        "expose",
        None,
        Kind::Switch,
        "false",
        "If true, create a ClusterIP service associated with the pod.",
    ),
    flag("external-ip", None, Kind::Text, "", "Additional external IP address to accept for the service."),
    flag("external-name", None, Kind::Text, "", "External name of service"),
    flag("field-manager", None, Kind::Text, "", "Name of the manager used to track field ownership."),
    flag(
        "field-selector",
        None,
        Kind::Text,
        "",
        "Selector (field query) to filter on, supports '=', '==', and '!='.",
    ),
    flag("filename", Some('f'), Kind::List, "", "Filename, directory, or URL to files."),
    flag("follow", Some('f'), Kind::Switch, "false", "Specify if the logs should be streamed."),
    flag("for", None, Kind::Array, "", "The condition to wait on, or the object to filter events for."),
    flag(
        "force",
        None,
        Kind::Switch,
        "false",
        "If true, immediately remove resources from API and bypass graceful deletion.",
    ),
    flag(
        "force-conflicts",
        None,
        Kind::Switch,
        "false",
        "If true, server-side apply will force the changes against conflicts.",
    ),
    flag("from", None, Kind::Text, "", "The name of the resource to copy from."),
    flag("from-env-file", None, Kind::List, "", "Specify the path to a file to read lines of key=val pairs."),
    flag("from-file", None, Kind::List, "", "Key files can be specified using their file path."),
    flag(
        "from-literal",
        None,
        Kind::Array,
        "",
        "Specify a key and literal value to insert (i.e. mykey=somevalue)",
    ),
    flag(
        "global-default",
        None,
        Kind::Switch,
        "false",
        "Whether this PriorityClass should be considered as the default priority.",
    ),
    flag(
        "grace-period",
        None,
        Kind::Number,
        "-1",
        "Period of time in seconds given to the resource to terminate gracefully.",
    ),
    flag("group", None, Kind::Array, "", "Groups to bind to the role."),
    flag(
        "hard",
        None,
        Kind::Text,
        "",
        "A comma-delimited set of resource=quantity pairs that define a hard limit.",
    ),
    flag("ignore-daemonsets", None, Kind::Switch, "false", "Ignore DaemonSet-managed pods."),
    flag("ignore-errors", None, Kind::Switch, "false", "Continue past errors."),
    flag(
        "ignore-not-found",
        None,
        Kind::Switch,
        "false",
        "Treat \"resource not found\" as a successful retrieval.",
    ),
    flag("image", None, Kind::Array, "", "The image for the container to run."),
    flag("image-pull-policy", None, Kind::Text, "", "The image pull policy for the container."),
    flag(
        "insecure-skip-tls-verify-backend",
        None,
        Kind::Switch,
        "false",
        "Skip verifying the identity of the kubelet that logs are requested from.",
    ),
    flag(
        "interactive",
        Some('i'),
        Kind::Switch,
        "false",
        "If true, delete resource only when user confirms.",
    ),
    flag("keys", None, Kind::List, "", "Comma-separated list of keys to import from specified resource"),
    flag("kustomize", Some('k'), Kind::Text, "", "Process the kustomization directory."),
    flag(
        "label-columns",
        Some('L'),
        Kind::List,
        "",
        "Accepts a comma separated list of labels that are going to be presented as columns.",
    ),
    flag("labels", Some('l'), Kind::Text, "", "Comma separated labels to apply."),
    flag(
        "leave-stdin-open",
        None,
        Kind::Switch,
        "false",
        "Leave stdin open after the first attach completes.",
    ),
    flag("limit-bytes", None, Kind::Number, "0", "Maximum bytes of logs to return."),
    flag("limits", None, Kind::Text, "", "The resource requirement requests for this container."),
    flag("list", None, Kind::Switch, "false", "Display the current values."),
    flag("load-balancer-ip", None, Kind::Text, "", "IP to assign to the LoadBalancer."),
    flag("local", None, Kind::Switch, "false", "If true, do not contact the api-server but run locally."),
    flag("max", None, Kind::Number, "-1", "The upper limit for the number of pods."),
    flag(
        "max-log-requests",
        None,
        Kind::Number,
        "5",
        "Maximum number of concurrent logs to follow when using by a selector.",
    ),
    flag("max-unavailable", None, Kind::Text, "", "The maximum number or percentage of unavailable pods."),
    flag("memory", None, Kind::Text, "", "Target memory utilization or value."),
    flag("min", None, Kind::Number, "-1", "The lower limit for the number of pods."),
    flag("min-available", None, Kind::Text, "", "The minimum number or percentage of available pods."),
    flag(
        "minify",
        None,
        Kind::Switch,
        "false",
        "Remove all information not used by current-context from the output",
    ),
    flag("name", None, Kind::Text, "", "The name for the newly created object."),
    flag(
        "namespaced",
        None,
        Kind::Optional("true"),
        "",
        "If false, non-namespaced resources will be returned.",
    ),
    flag("no-headers", None, Kind::Switch, "false", "Don't print headers."),
    flag("node-port", None, Kind::Number, "0", "Port used to expose the service on each node in a cluster."),
    flag("non-resource-url", None, Kind::List, "", "A partial url that user is allowed to access."),
    flag("now", None, Kind::Switch, "false", "If true, resources are signaled for immediate shutdown."),
    flag("openapi-patch", None, Kind::Switch, "true", "If true, use openapi to calculate diff."),
    flag("output", Some('o'), Kind::Text, "", "Output format."),
    flag(
        "output-watch-events",
        None,
        Kind::Switch,
        "false",
        "Output watch event objects when --watch or --watch-only is used.",
    ),
    flag("overrides", None, Kind::Text, "", "An inline JSON override for the generated object."),
    flag(
        "override-type",
        None,
        Kind::Text,
        "merge",
        "The method used to override the generated object: json, merge, or strategic.",
    ),
    flag("overwrite", None, Kind::Switch, "false", "If true, allow values to be overwritten."),
    flag("patch", Some('p'), Kind::Text, "", "The patch to be applied to the resource JSON file."),
    flag("patch-file", None, Kind::Text, "", "A file containing a patch to be applied to the resource."),
    flag(
        "pod-running-timeout",
        None,
        Kind::Duration,
        "20s",
        "The length of time to wait until at least one pod is running",
    ),
    flag("pod-selector", None, Kind::Text, "", "Label selector to filter pods on the node"),
    flag(
        "port",
        None,
        Kind::Text,
        "",
        "The port that this container exposes or the service should serve on.",
    ),
    flag("prefix", None, Kind::Switch, "false", "Prefix each log line with the log source."),
    flag("prefix-env", None, Kind::Text, "", "Prefix to append to variable names"),
    flag(
        "preemption-policy",
        None,
        Kind::Text,
        "PreemptLowerPriority",
        "preemption-policy is the policy for preempting pods with lower priority.",
    ),
    flag("preconditions", None, Kind::Text, "", "Preconditions"),
    flag(
        "previous",
        Some('p'),
        Kind::Switch,
        "false",
        "Print the logs for the previous instance of the container in a pod if it exists.",
    ),
    flag("privileged", None, Kind::Switch, "false", "If true, run the container in privileged mode."),
    flag("protocol", None, Kind::Text, "", "The network protocol for the service to be created."),
    flag(
        "prune",
        None,
        Kind::Switch,
        "false",
        "Automatically delete resource objects that do not appear in the configs.",
    ),
    flag(
        "prune-allowlist",
        None,
        Kind::Array,
        "",
        "Overwrite the default allowlist with <group/version/kind> for --prune",
    ),
    flag("quiet", Some('q'), Kind::Switch, "false", "Suppress output; only the exit code counts."),
    flag("raw", None, Kind::Text, "", "Raw URI to request from the server."),
    flag("record", None, Kind::Switch, "false", "Record current kubectl command in the resource annotation."),
    flag(
        "recursive",
        Some('R'),
        Kind::Switch,
        "false",
        "Process the directory used in -f, --filename recursively.",
    ),
    flag("replicas", None, Kind::Number, "", "The new desired number of replicas."),
    flag("requests", None, Kind::Text, "", "The resource requirement requests for this container."),
    flag(
        "resolve",
        None,
        Kind::Switch,
        "false",
        "Show secret or configmap references when listing variables.",
    ),
    flag("resource", None, Kind::List, "", "Resource that the rule applies to"),
    flag("resource-name", None, Kind::Array, "", "Resource in the white list that the rule applies to"),
    flag("resource-version", None, Kind::Text, "", "Only change the object if this is its current version."),
    flag("restart", None, Kind::Text, "Always", "The restart policy for this Pod."),
    flag(
        "revision",
        None,
        Kind::Number,
        "0",
        "See the details, including podTemplate of the revision specified",
    ),
    flag("rm", None, Kind::Switch, "false", "If true, delete the pod after it exits."),
    flag("role", None, Kind::Text, "", "Role this RoleBinding should reference"),
    flag("rule", None, Kind::Array, "", "Rule in format host/path=service:port[,tls=secretname]."),
    flag(
        "annotation",
        None,
        Kind::Array,
        "",
        "Annotation to insert in the ingress object, in the format annotation=value",
    ),
    flag(
        "save-config",
        None,
        Kind::Switch,
        "false",
        "Save the configuration of current object in its annotation.",
    ),
    flag("schedule", None, Kind::Text, "", "A schedule in the Cron format the job should be run with."),
    flag(
        "scopes",
        None,
        Kind::Text,
        "",
        "A comma-delimited set of quota scopes that must all match each object tracked by the quota.",
    ),
    flag(
        "selector",
        Some('l'),
        Kind::Text,
        "",
        "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.",
    ),
    flag(
        "server-print",
        None,
        Kind::Switch,
        "true",
        "If true, have the server return the appropriate table output.",
    ),
    flag(
        "server-side",
        None,
        Kind::Switch,
        "false",
        "If true, apply runs in the server instead of the client.",
    ),
    flag(
        "serviceaccount",
        None,
        Kind::Array,
        "",
        "Service accounts to bind to the role, in the format <namespace>:<name>.",
    ),
    flag(
        "session-affinity",
        None,
        Kind::Text,
        "",
        "If non-empty, set the session affinity for the service to this; legal values: 'None', 'ClientIP'",
    ),
    flag(
        "show-events",
        None,
        Kind::Switch,
        "true",
        "If true, display events related to the described object.",
    ),
    flag(
        "show-kind",
        None,
        Kind::Switch,
        "false",
        "If present, list the resource type for the requested object(s).",
    ),
    flag("show-labels", None, Kind::Switch, "false", "When printing, show all labels as the last column."),
    flag(
        "show-managed-fields",
        None,
        Kind::Switch,
        "false",
        "If true, keep the managedFields when printing objects in JSON or YAML format.",
    ),
    flag(
        "since",
        None,
        Kind::Duration,
        "0s",
        "Only return logs newer than a relative duration like 5s, 2m, or 3h.",
    ),
    flag("since-time", None, Kind::Text, "", "Only return logs after a specific date (RFC3339)."),
    flag(
        "skip-wait-for-delete-timeout",
        None,
        Kind::Number,
        "0",
        "Skip waiting for pods deleted longer ago than this.",
    ),
    flag("sort-by", None, Kind::Text, "", "If non-empty, sort by this field, a JSONPath expression."),
    flag("stdin", Some('i'), Kind::Switch, "false", "Keep stdin open on the container in the pod."),
    flag(
        "subresource",
        None,
        Kind::Text,
        "",
        "If specified, operate on the subresource of the requested object.",
    ),
    flag("tail", None, Kind::Number, "-1", "Lines of recent log file to display."),
    flag(
        "target-port",
        None,
        Kind::Text,
        "",
        "Name or number for the port on the container that the service should direct traffic to.",
    ),
    flag("tcp", None, Kind::List, "", "Port pairs can be specified as '<port>:<targetPort>'."),
    flag(
        "template",
        None,
        Kind::Text,
        "",
        "Template string or path to template file to use when -o=go-template, -o=go-template-file.",
    ),
    flag("timeout", None, Kind::Duration, "0s", "The length of time to wait before giving up."),
    flag("timestamps", None, Kind::Switch, "false", "Include timestamps on each line in the log output"),
    flag(
        "to-revision",
        None,
        Kind::Number,
        "0",
        "The revision to rollback to. Default to 0 (last revision).",
    ),
    flag("tty", Some('t'), Kind::Switch, "false", "Stdin is a TTY"),
    flag("cert", None, Kind::Text, "", "Path to PEM encoded public key certificate."),
    flag("key", None, Kind::Text, "", "Path to private key associated with given certificate."),
    flag("type", None, Kind::Text, "", "The type of patch, service or secret."),
    flag("types", None, Kind::List, "", "Output only events of given types."),
    flag("user-subject", None, Kind::Array, "", "Usernames to bind to the role."),
    flag(
        "validate",
        None,
        Kind::Optional("strict"),
        "strict",
        "Must be one of: strict (or true), warn, ignore (or false).",
    ),
    flag("value", None, Kind::Number, "0", "the value of this priority class."),
    flag("verb", None, Kind::List, "", "Verb that applies to the resources contained in the rule"),
    flag("verbs", None, Kind::List, "", "Limit to resources that support the specified verbs."),
    flag("wait", None, Kind::Switch, "true", "If true, wait for resources to be gone before returning."),
    flag(
        "watch",
        Some('w'),
        Kind::Switch,
        "false",
        "After listing/getting the requested object, watch for changes.",
    ),
    flag(
        "watch-only",
        None,
        Kind::Switch,
        "false",
        "Watch for changes to the requested object(s), without listing/getting first.",
    ),
    flag(
        "windows-line-endings",
        None,
        Kind::Switch,
        "false",
        "Defaults to the line ending native to your platform.",
    ),
];

/// A flag by its name, with another default or short form where a command deviates: `labels`, `-f=follow`.
pub fn find(name: &str) -> Option<&'static Flag> {
    SHARED.iter().chain(GLOBAL).find(|flag| flag.long == name)
}

/// What the user wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    values: BTreeMap<&'static str, Vec<String>>,
    pub operands: Vec<String>,
    /// What stands behind `--`, if that stands there.
    pub after_dashes: Option<Vec<String>>,
}

impl Flags {
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
    /// The last value given, or the default.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name).and_then(|values| values.last()) {
            Some(value) => value,
            None => find(name).map_or("", |flag| flag.default),
        }
    }
    pub fn switch(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1" | "t" | "T" | "TRUE" | "True")
    }
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name).parse().ok()
    }
    /// All values given; commas part those of a list.
    pub fn list(&self, name: &str) -> Vec<String> {
        let Some(values) = self.values.get(name) else { return Vec::new() };
        let splits = find(name).is_some_and(|flag| flag.kind == Kind::List);
        values
            .iter()
            .flat_map(
                |value| if splits { value.split(',').collect::<Vec<_>>() } else { vec![value.as_str()] },
            )
            .map(String::from)
            .collect()
    }
    /// A duration in microseconds.
    pub fn duration_us(&self, name: &str) -> Option<i64> {
        let text = self.text(name);
        text.parse::<i64>()
            .ok()
            .map(|seconds| seconds.saturating_mul(1_000_000))
            .or_else(|| crate::api::time_format::parse_go_duration(text))
    }
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.values.entry(name).or_default().push(value.into());
    }

    /// Reads `arguments` with the flags named in `allowed` (`switch`, or `x=y` to give `-x` to `--y`) besides the
    /// global ones. `command` is named in the hint of an error.
    pub fn parse(arguments: &[String], allowed: &[&'static str], command: &str) -> Result<Flags, Failure> {
        let mut flags = Flags::default();
        let mut arguments = arguments;
        if let Some(dashes) = arguments.iter().position(|argument| argument == "--") {
            flags.after_dashes = Some(arguments[dashes + 1..].to_vec());
            arguments = &arguments[..dashes];
        }
        let usage = |text: String| Failure::Usage(text, command.to_string());
        let by_long = |name: &str| {
            let own = allowed.iter().any(|flag| {
                flag.trim_start_matches(|c: char| c != '=').trim_start_matches('=') == name || *flag == name
            });
            GLOBAL.iter().find(|flag| flag.long == name).or_else(|| if own { find(name) } else { None })
        };
        let by_short = |letter: char| {
            let renamed = allowed.iter().find_map(|flag| {
                let (short, long) = flag.split_once('=')?;
                (short.chars().eq([letter])).then(|| find(long)).flatten()
            });
            renamed.or_else(|| {
                let own = allowed.iter().filter(|flag| !flag.contains('=')).filter_map(|flag| find(flag));
                own.chain(GLOBAL).find(|flag| flag.short == Some(letter))
            })
        };
        let mut parser = lexopt::Parser::from_args(arguments.iter().map(OsString::from));
        loop {
            let argument = match parser.next() {
                Ok(Some(argument)) => argument,
                Ok(None) => return Ok(flags),
                Err(error) => return Err(usage(error.to_string())),
            };
            let (flag, written, is_long) = match argument {
                lexopt::Arg::Value(value) => {
                    flags.operands.push(value.to_string_lossy().into_owned());
                    continue;
                }
                lexopt::Arg::Long(name) => {
                    let name = name.to_string();
                    (by_long(&name), format!("--{name}"), true)
                }
                lexopt::Arg::Short(letter) => (by_short(letter), format!("-{letter}"), false),
            };
            let Some(flag) = flag else {
                return Err(usage(if is_long {
                    format!("unknown flag: {written}")
                } else {
                    let cluster = arguments
                        .iter()
                        .find(|argument| argument.starts_with('-') && argument.contains(&written[1..]));
                    format!("unknown shorthand flag: '{}' in {}", &written[1..], cluster.unwrap_or(&written))
                }));
            };
            let value = match flag.kind {
                Kind::Switch | Kind::Optional(_) => {
                    let attached = if is_long { parser.optional_value() } else { None };
                    match (attached, flag.kind) {
                        (Some(value), _) => value.to_string_lossy().into_owned(),
                        (None, Kind::Optional(alone)) => alone.to_string(),
                        (None, _) => "true".into(),
                    }
                }
                _ => match parser.value() {
                    Ok(value) => value.to_string_lossy().into_owned(),
                    Err(_) if is_long => return Err(usage(format!("flag needs an argument: {written}"))),
                    Err(_) => {
                        let letter = &written[1..];
                        return Err(usage(format!("flag needs an argument: '{letter}' in {written}")));
                    }
                },
            };
            check(flag, &value).map_err(usage)?;
            flags.set(flag.long, value);
        }
    }
}

fn check(flag: &Flag, value: &str) -> Result<(), String> {
    let names = match flag.short {
        Some(short) => format!("-{short}, --{}", flag.long),
        None => format!("--{}", flag.long),
    };
    let invalid = |why: String| Err(format!("invalid argument {value:?} for {names:?} flag: {why}"));
    match flag.kind {
        Kind::Switch
            if !matches!(
                value,
                "true" | "false" | "1" | "0" | "t" | "f" | "T" | "F" | "TRUE" | "FALSE" | "True" | "False"
            ) =>
        {
            invalid(format!("strconv.ParseBool: parsing {value:?}: invalid syntax"))
        }
        Kind::Number if value.parse::<i64>().is_err() => {
            invalid(format!("strconv.ParseInt: parsing {value:?}: invalid syntax"))
        }
        Kind::Duration if crate::api::time_format::parse_go_duration(value).is_none() => {
            let missing_unit = value.parse::<i64>().is_ok();
            invalid(if missing_unit {
                format!("time: missing unit in duration {value:?}")
            } else {
                format!("time: invalid duration {value:?}")
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, String> {
        let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
        let allowed = [
            "output",
            "all-namespaces",
            "watch",
            "force",
            "tail",
            "filename",
            "label-columns",
            "dry-run",
            "timeout",
        ];
        Flags::parse(&arguments, &allowed, "kubectl get").map_err(|failure| failure.text())
    }

    #[test]
    fn all_forms_of_pflag_are_read() {
        for (line, name, value) in [
            ("-oyaml", "output", "yaml"),
            ("-o yaml", "output", "yaml"),
            ("-o=yaml", "output", "yaml"),
            ("--output yaml", "output", "yaml"),
            ("--output=yaml", "output", "yaml"),
            ("-Aw", "watch", "true"),
            ("-Awojson", "output", "json"),
            ("--force=false", "force", "false"),
            ("pods --tail -1", "tail", "-1"),
            ("--dry-run", "dry-run", "unchanged"),
            ("--dry-run=client pods", "dry-run", "client"),
            ("-n kube-system pods", "namespace", "kube-system"),
            ("-f -", "filename", "-"),
        ] {
            assert_eq!(parse(line).expect(line).text(name), value, "{line}");
        }
        let flags = parse("-L a,b -L c po x -- ls -la").unwrap();
        assert_eq!(flags.list("label-columns"), ["a", "b", "c"]);
        assert_eq!(flags.operands, ["po", "x"]);
        assert_eq!(flags.after_dashes.unwrap(), ["ls", "-la"]);
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_pflag() {
        for (line, expected) in [
            ("--unicorn", "unknown flag: --unicorn"),
            ("-z", "unknown shorthand flag: 'z' in -z"),
            ("--output", "flag needs an argument: --output"),
            ("-o", "flag needs an argument: 'o' in -o"),
            (
                "--tail=x",
                "invalid argument \"x\" for \"--tail\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "--force=maybe",
                "invalid argument \"maybe\" for \"--force\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "--timeout=1",
                "invalid argument \"1\" for \"--timeout\" flag: time: missing unit in duration \"1\"",
            ),
        ] {
            assert_eq!(parse(line).unwrap_err(), expected, "{line}");
        }
    }
}
