//! Holds the house in order: who may use whom, how long a file may be, and what never enters `src/`.
//!
//! A rule that fails here is not to be widened lightly: `docs/architecture.md` says what each is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each module of `src/`, the modules it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("arrange", &[]),
    ("shared_map", &[]),
    ("sorted", &[]),
    ("sim", &[]),
    ("api", &["sim"]),
    ("message", &["api", "sim", "etcd", "network"]),
    ("timer", &["api", "sim"]),
    ("note", &["api", "sim", "message"]),
    ("command", &["api", "message"]),
    ("language", &["command", "message", "note", "sim", "timer"]),
    ("client", &["api", "language", "message", "note", "sim", "timer"]),
    ("etcd", &["api", "language", "message", "note", "sim", "timer"]),
    ("apiserver", &["api", "client", "language", "message", "note", "sim", "timer", "fidelity"]),
    ("controllers", &["api", "client", "language", "message", "note", "sim", "timer"]),
    ("scheduler", &["api", "client", "language", "message", "note", "sim", "timer"]),
    ("network", &["api", "sim"]),
    ("kube_proxy", &["api", "client", "language", "message", "network", "sim", "timer"]),
    ("kube_router", &["api", "client", "language", "message", "network", "sim", "timer"]),
    ("cloud_controller", &["api", "client", "language", "message", "network", "sim"]),
    ("coredns", &["api", "client", "language", "message", "network", "sim", "timer"]),
    ("ingress_nginx", &["api", "client", "language", "message", "network", "sim"]),
    // Containers run the same shell as the terminal, and programs of images as that runs its own.
    ("kubelet", &["api", "client", "language", "message", "network", "note", "shell", "sim", "timer"]),
    ("kubectl", &["api", "client", "fidelity", "language", "message", "note", "shell", "sim", "timer"]),
    ("shell", &["api", "client", "fidelity", "language", "message", "note", "sim", "timer"]),
    ("calicoctl", &["api", "client", "kubectl", "message", "network", "shell"]),
    ("etcdctl", &["api", "client", "etcd", "fidelity", "message", "shell", "sim"]),
    ("crictl", &["api", "kubectl", "message", "shell", "sim"]),
    ("gateway", &["api", "client", "language", "message", "note", "sim", "timer"]),
    ("fidelity", &["api"]),
    ("lesson", &["api", "command", "sim"]),
    (
        "cluster",
        &[
            "api",
            "apiserver",
            "calicoctl",
            "client",
            "cloud_controller",
            "command",
            "controllers",
            "crictl",
            "etcd",
            "etcdctl",
            "ingress_nginx",
            "kube_proxy",
            "kube_router",
            "coredns",
            "gateway",
            "kubectl",
            "kubelet",
            "language",
            "message",
            "network",
            "note",
            "scheduler",
            "shell",
            "sim",
            "timer",
        ],
    ),
    (
        "picture",
        &[
            "api",
            "apiserver",
            "cluster",
            "command",
            "etcd",
            "kubectl",
            "kubelet",
            "language",
            "message",
            "network",
            "note",
            "scheduler",
            "shell",
            "sim",
        ],
    ),
    ("console", &["api", "cluster", "command", "language", "message", "note", "picture", "shell", "sim"]),
    ("playback", &["cluster", "language", "message", "picture", "sim"]),
    (
        "benchmark",
        &[
            "api",
            "apiserver",
            "cluster",
            "command",
            "etcd",
            "language",
            "message",
            "network",
            "note",
            "picture",
            "playback",
            "sim",
        ],
    ),
];

/// Lines that a source file may have. Past six hundred it usually holds two ideas.
const LONGEST_FILE: usize = 700;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return files };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The module of `src/` that a file belongs to.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).unwrap_or(file);
    let first = relative.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    first.unwrap_or_default().trim_end_matches(".rs").to_string()
}

/// A file of unit tests: it may use what it likes.
fn is_test(file: &Path) -> bool {
    let relative = file.strip_prefix(root()).unwrap_or(file);
    file.ends_with("tests.rs")
        || file.ends_with("testing.rs")
        || relative.components().any(|part| part.as_os_str() == "tests")
}

/// The code of a file without its unit tests and comments: those may use what they like.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The top-level modules that `code` names after `crate::`.
fn used(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with('$'))
        .map(|(at, _)| {
            let rest = &code[at + "crate::".len()..];
            rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        })
        .collect()
}

#[test]
fn arrows_run_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let module = module_of(&file);
        if matches!(module.as_str(), "lib" | "bin") || is_test(&file) {
            continue;
        }
        let Some(allowed) = allowed.get(module.as_str()) else {
            wrong.push(format!("{module} has no line in MAY_USE"));
            continue;
        };
        for other in used(&code(&file)) {
            // Macros live at the crate's root; whoever sorts, or keeps a map, does it in the one way.
            let is_common =
                matches!(other.as_str(), "object" | "array" | "arrange" | "shared_map" | "sorted" | "");
            if other != module && !is_common && !allowed.contains(&other.as_str()) {
                wrong.push(format!("{}: {module} may not use {other}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_simulation_has_no_clock_no_chance_and_no_futures() {
    const FORBIDDEN: &[(&str, &str)] = &[
        ("std::time", "a clock"),
        ("SystemTime", "a clock"),
        ("Instant::now", "a clock"),
        ("async fn", "a future cannot be cloned"),
        (".await;", "a future cannot be cloned"),
        (".await?", "a future cannot be cloned"),
        ("std::fs", "input and output"),
        ("std::net::Tcp", "input and output"),
        ("UdpSocket", "input and output"),
        ("std::env", "input and output"),
        ("std::thread", "threads"),
        ("HashMap", "an order that differs from run to run"),
        ("web_sys", "a DOM"),
        (".sort(", "six kilobytes of the page for each type: crate::arrange"),
        (".sort_", "six kilobytes of the page for each type: crate::arrange"),
        (
            "BTree",
            "five kilobytes of the page for each type: crate::sorted, or crate::shared_map for what grows",
        ),
        ("todo!(", "unfinished work"),
        ("unimplemented!(", "unfinished work"),
    ];
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        if matches!(module_of(&file).as_str(), "arrange" | "bin") || is_test(&file) {
            continue;
        }
        let code = code(&file);
        for (word, why) in FORBIDDEN {
            if code.contains(word) {
                wrong.push(format!("{}: {word} ({why})", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_why_it_exists_and_is_short_enough() {
    let mut wrong = Vec::new();
    for folder in ["src", "components", "xtask", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if !text.starts_with("//!") && !is_test(&file) {
                wrong.push(format!("{}: does not begin with its module's reason", file.display()));
            }
            let lines = text.lines().count();
            if lines > LONGEST_FILE {
                wrong.push(format!("{}: {lines} lines, {LONGEST_FILE} at most", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
