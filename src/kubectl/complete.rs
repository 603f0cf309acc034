//! What may stand at the cursor: commands, flags, their values, resources, names.
//!
//! Picture to hold in mind: a clerk who has heard the same orders a thousand times and finishes your sentence.
//!
//! Follows `k8s.io/kubectl/pkg/util/completion` and what cobra makes of commands and flags. It is a pure function:
//! what exists in the cluster is looked up through [`Known`].

use crate::api::kind::Registry;
use crate::arrange::{Arrange, Gather};

use super::command::{Command, find};
use super::commands::COMMANDS;
use super::flag::{self, Entry, Flag, Kind};

/// What the caller knows of the cluster and the terminal.
pub trait Known {
    /// All resources, custom ones too.
    fn registry(&self) -> Registry;
    /// The namespace of the context.
    fn namespace(&self) -> String;
    /// The names of the objects of a resource; `namespace` is empty for cluster-scoped ones.
    fn names(&self, group: &str, plural: &str, namespace: &str) -> Vec<String>;
    /// The containers of a pod.
    fn containers(&self, namespace: &str, pod: &str) -> Vec<String>;
    /// The contexts of the kubeconfig.
    fn contexts(&self) -> Vec<String>;
    /// The paths of files and folders that begin so, folders with a slash at their end.
    fn files(&self, beginning: &str) -> Vec<String>;
}

/// What a command's operands are.
#[derive(Clone, Copy, PartialEq)]
enum Operands {
    Nothing,
    /// A type and names, or `type/name`.
    Objects,
    /// The same, of these types only.
    Types(&'static [&'static str]),
    /// A type, `type/name`, or the name of a pod.
    Pods,
    Nodes,
    Requests,
    Contexts,
    Files,
    /// A type's name alone.
    TypeOnly,
}

fn operands(path: &str) -> Operands {
    const WORKLOADS: &[&str] =
        &["daemonsets", "deployments", "replicasets", "replicationcontrollers", "statefulsets"];
    match path {
        "get" | "describe" | "delete" | "label" | "annotate" | "patch" | "edit" | "wait" => Operands::Objects,
        "apply view-last-applied" | "set image" | "set env" | "set resources" | "set serviceaccount" => {
            Operands::Objects
        }
        "scale" => Operands::Types(&["deployments", "replicasets", "replicationcontrollers", "statefulsets"]),
        "autoscale" => Operands::Types(WORKLOADS),
        "expose" => {
            Operands::Types(&["deployments", "pods", "replicasets", "replicationcontrollers", "services"])
        }
        "rollout pause" | "rollout resume" => Operands::Types(&["deployments"]),
        _ if path.starts_with("rollout ") => Operands::Types(&["daemonsets", "deployments", "statefulsets"]),
        "taint" => Operands::Types(&["nodes"]),
        "logs" | "exec" | "attach" | "port-forward" | "debug" | "cp" | "top pod" => Operands::Pods,
        "cordon" | "uncordon" | "drain" | "top node" => Operands::Nodes,
        "config use-context" | "config delete-context" | "config rename-context" => Operands::Contexts,
        "certificate approve" | "certificate deny" => Operands::Requests,
        "explain" | "auth can-i" => Operands::TypeOnly,
        "kustomize" => Operands::Files,
        _ => Operands::Nothing,
    }
}

/// The words before the cursor, understood.
struct Line<'w> {
    command: Option<&'static Command>,
    path: String,
    operands: Vec<&'w str>,
    namespace: Option<&'w str>,
    /// The flag whose value stands at the cursor.
    open: Option<Flag>,
    after_dashes: bool,
}

fn flags_of(command: Option<&'static Command>) -> Vec<Flag> {
    let own = command.into_iter().flat_map(|command| command.flags.iter().chain(command.more_flags));
    own.filter_map(|text| Entry::read(text).flag()).chain(flag::global().iter().copied()).gather()
}

fn read<'w>(words: &'w [String]) -> Line<'w> {
    let mut line = Line {
        command: None,
        path: String::new(),
        operands: Vec::new(),
        namespace: None,
        open: None,
        after_dashes: false,
    };
    let mut index = 0;
    while let Some(word) = words.get(index) {
        index += 1;
        if word == "--" {
            line.after_dashes = true;
            return line;
        }
        if let Some(text) = word.strip_prefix('-').filter(|text| !text.is_empty()) {
            let (name, value) =
                text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            let wanted = |flag: &Flag| match name.strip_prefix('-') {
                Some(long) => flag.long == long,
                None => flag.short.is_some_and(|short| name.chars().eq([short])),
            };
            let found = flags_of(line.command).into_iter().find(wanted);
            let takes_value = |flag: &Flag| !matches!(flag.kind, Kind::Switch | Kind::Optional(_));
            let mut given = value;
            if let Some(flag) = found.filter(|flag| value.is_none() && takes_value(flag)) {
                given = words.get(index).map(String::as_str);
                index += 1;
                if given.is_none() {
                    line.open = Some(flag);
                }
            }
            if found.is_some_and(|flag| flag.long == "namespace") {
                line.namespace = given;
            }
            continue;
        }
        let commands = line.command.map_or(COMMANDS, |command| command.subcommands);
        match find(commands, word).filter(|_| line.operands.is_empty()) {
            Some(command) => {
                line.path = format!("{} {}", line.path, command.name).trim_start().to_string();
                line.command = Some(command);
            }
            None => line.operands.push(word),
        }
    }
    line
}

/// What may stand in the place of the last of `words`, which is what is written so far of a command line behind
/// `kubectl` (an empty word where nothing is written yet). Sorted, each once.
pub fn complete(words: &[String], known: &dyn Known) -> Vec<String> {
    let Some((word, before)) = words.split_last() else { return Vec::new() };
    let line = read(before);
    let namespace = line.namespace.map_or_else(|| known.namespace(), String::from);
    let mut found = if line.after_dashes {
        Vec::new()
    } else if let Some(flag) = line.open {
        values(&flag, word, &line, &namespace, known)
    } else if let Some((name, value)) = word.split_once('=').filter(|_| word.starts_with('-')) {
        let wanted = |flag: &Flag| {
            name.strip_prefix("--") == Some(flag.long)
                || flag.short.is_some_and(|short| name == format!("-{short}"))
        };
        match flags_of(line.command).into_iter().find(wanted) {
            Some(flag) => {
                let values = values(&flag, value, &line, &namespace, known);
                values.into_iter().map(|value| format!("{name}={value}")).collect()
            }
            None => Vec::new(),
        }
    } else if word.starts_with('-') {
        flags_of(line.command).iter().map(|flag| format!("--{}", flag.long)).collect()
    } else {
        let commands = line.command.map_or(COMMANDS, |command| command.subcommands);
        let mut found: Vec<String> = match line.operands.is_empty() {
            true => commands.iter().map(|command| command.name.to_string()).collect(),
            false => Vec::new(),
        };
        found.extend(operand(word, &line, &namespace, known));
        found
    };
    found.retain(|candidate| candidate.starts_with(word.as_str()));
    found.arrange();
    found.dedup();
    found
}

/// The names of all resources, qualified where two groups have the same.
fn types(known: &dyn Known) -> Vec<String> {
    let registry = known.registry();
    let mut names: Vec<String> = Vec::new();
    for info in registry.resources().filter(|info| info.verbs.contains(&crate::api::kind::Verb::Get)) {
        let plain = info.plural.to_string();
        let name = if names.contains(&plain) { format!("{plain}.{}", info.group) } else { plain };
        names.push(name);
    }
    names
}

/// The names of the objects of what was typed as a type.
fn names(typed: &str, namespace: &str, known: &dyn Known) -> Vec<String> {
    match known.registry().find(typed) {
        Some((info, _)) => {
            let namespace = if info.namespaced { namespace } else { "" };
            known.names(&info.group, &info.plural, namespace)
        }
        None => Vec::new(),
    }
}

fn objects(word: &str, line: &Line, namespace: &str, known: &dyn Known, types: Vec<String>) -> Vec<String> {
    if let Some((kind, _)) = word.split_once('/') {
        return names(kind, namespace, known).into_iter().map(|name| format!("{kind}/{name}")).collect();
    }
    match line.operands.first() {
        None => types,
        // After `type/name` come further ones of that form.
        Some(first) if first.contains('/') => types.into_iter().map(|name| name + "/").collect(),
        Some(first) => {
            let mut found = names(first, namespace, known);
            found.retain(|name| !line.operands[1..].contains(&name.as_str()));
            found
        }
    }
}

fn operand(word: &str, line: &Line, namespace: &str, known: &dyn Known) -> Vec<String> {
    match operands(&line.path) {
        Operands::Nothing => Vec::new(),
        Operands::Objects => objects(word, line, namespace, known, types(known)),
        Operands::Types(allowed) => {
            objects(word, line, namespace, known, allowed.iter().map(|name| name.to_string()).collect())
        }
        Operands::Pods if word.contains('/') => objects(word, line, namespace, known, Vec::new()),
        Operands::Pods if line.operands.is_empty() => known.names("", "pods", namespace),
        Operands::Pods if line.path == "logs" => known.containers(namespace, line.operands[0]),
        Operands::Pods => Vec::new(),
        Operands::Nodes => {
            let mut found = known.names("", "nodes", "");
            found.retain(|name| !line.operands.contains(&name.as_str()));
            found
        }
        Operands::Requests => known.names("certificates.k8s.io", "certificatesigningrequests", ""),
        Operands::Contexts if line.operands.is_empty() => known.contexts(),
        Operands::Contexts => Vec::new(),
        Operands::Files => known.files(word),
        Operands::TypeOnly => match (line.path.as_str(), line.operands.len()) {
            ("explain", 0) | ("auth can-i", 1) => types(known),
            ("auth can-i", 0) => {
                ["create", "delete", "get", "list", "patch", "update", "watch"].map(String::from).to_vec()
            }
            _ => Vec::new(),
        },
    }
}

fn values(flag: &Flag, word: &str, line: &Line, namespace: &str, known: &dyn Known) -> Vec<String> {
    const FORMATS: &[&str] = &["go-template=", "json", "jsonpath=", "name", "yaml"];
    const GET_FORMATS: &[&str] =
        &["custom-columns=", "go-template=", "json", "jsonpath=", "name", "wide", "yaml"];
    let fixed: &[&str] = match flag.long {
        "namespace" => return known.names("", "namespaces", ""),
        "container" => {
            return line.operands.first().map_or(Vec::new(), |pod| known.containers(namespace, pod));
        }
        "context" => return known.contexts(),
        "filename" | "kustomize" | "patch-file" | "kubeconfig" | "from-file" | "from-env-file" => {
            return known.files(word);
        }
        "serviceaccount" => return known.names("", "serviceaccounts", namespace),
        "clusterrole" => return known.names("rbac.authorization.k8s.io", "clusterroles", ""),
        "role" => return known.names("rbac.authorization.k8s.io", "roles", namespace),
        "output" if line.path == "get" => GET_FORMATS,
        "output" if line.path == "version" => &["json", "yaml"],
        "output" => FORMATS,
        "dry-run" => &["client", "none", "server"],
        "cascade" => &["background", "foreground", "orphan"],
        "validate" => &["ignore", "strict", "warn"],
        "restart" => &["Always", "Never", "OnFailure"],
        "image-pull-policy" => &["Always", "IfNotPresent", "Never"],
        "protocol" => &["SCTP", "TCP", "UDP"],
        "subresource" => &["resize", "scale", "status"],
        "types" => &["Normal", "Warning"],
        "type" if line.path == "patch" => &["json", "merge", "strategic"],
        "type" if line.path == "expose" => &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        "for" if line.path == "wait" => &["condition=", "create", "delete", "jsonpath="],
        "sort-by" if line.path.starts_with("top") => &["cpu", "memory"],
        _ if flag.kind == Kind::Switch => &["false", "true"],
        _ => &[],
    };
    fixed.iter().map(|value| value.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Town;

    impl Known for Town {
        fn registry(&self) -> Registry {
            Registry::new()
        }
        fn namespace(&self) -> String {
            "default".into()
        }
        fn names(&self, _: &str, plural: &str, namespace: &str) -> Vec<String> {
            let names: &[&str] = match (plural, namespace) {
                ("pods", "default") => &["web-1", "web-2"],
                ("pods", "kube-system") => &["coredns"],
                ("deployments", "default") => &["web"],
                ("nodes", "") => &["cp-1", "worker-1"],
                ("namespaces", "") => &["default", "kube-system"],
                _ => &[],
            };
            names.iter().map(|name| name.to_string()).collect()
        }
        fn containers(&self, _: &str, pod: &str) -> Vec<String> {
            if pod == "web-1" { vec!["nginx".into(), "sidecar".into()] } else { Vec::new() }
        }
        fn contexts(&self) -> Vec<String> {
            vec!["kubernetes-admin@kubernetes".into()]
        }
        fn files(&self, _: &str) -> Vec<String> {
            vec!["pod.yaml".into()]
        }
    }

    #[test]
    fn the_clerk_finishes_sentences() {
        for (line, expected) in [
            ("co", "completion config cordon"),
            ("rollout re", "restart resume"),
            ("create se", "secret service serviceaccount"),
            ("get dep", "deployments"),
            ("get pods ", "web-1 web-2"),
            ("get po web-1 ", "web-2"),
            ("get pods/", "pods/web-1 pods/web-2"),
            ("-n kube-system get pods ", "coredns"),
            ("get pods -n ", "default kube-system"),
            ("get pods --namespace=k", "--namespace=kube-system"),
            ("get pods -o j", "json jsonpath="),
            ("get --no", "--no-headers"),
            ("logs ", "web-1 web-2"),
            ("logs web-1 -c ", "nginx sidecar"),
            ("logs deployments/", "deployments/web"),
            ("exec web-1 -- l", ""),
            ("drain ", "cp-1 worker-1"),
            ("drain cp-1 ", "worker-1"),
            ("rollout status ", "daemonsets deployments statefulsets"),
            ("rollout status deployments/", "deployments/web"),
            ("apply -f ", "pod.yaml"),
            ("scale deployments w", "web"),
            ("config use-context ", "kubernetes-admin@kubernetes"),
            ("patch --type=", "--type=json --type=merge --type=strategic"),
            ("unicorn x", ""),
        ] {
            let words: Vec<String> = line.split(' ').map(String::from).collect();
            assert_eq!(complete(&words, &Town).join(" "), expected, "{line:?}");
        }
    }
}
