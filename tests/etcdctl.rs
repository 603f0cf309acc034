//! Sessions with etcdctl and etcdutl that no recording of the real ones covers: lines and what they print.
//!
//! Picture to hold in mind: a page of a lab notebook that was written during the experiment and is held against every
//! repetition.
//!
//! A session is a text file: lines behind `$ ` are entered, what stands below is printed (`! ` marks the standard error,
//! `= ` an exit code other than 0). Lines behind `@ ` do something to the cluster: `@ stop m2`, `@ start m2`,
//! `@ pass 5` (seconds). The first line says which cluster it is: `# local` has three members of etcd beside the
//! terminal, `# kubeadm` is one node and a worker, `# cluster` the same with three members. Times, and names that are drawn by lot or made of the time, are barred.
//! `CLUSTERARIUM_UPDATE=1 cargo test --test etcdctl` writes the answers anew; read the difference before you keep it.

use std::path::Path;

use clusterarium::command::{Command, Scenario};
use clusterarium::console::{Console, Output};
use clusterarium::etcd::identity::{TOKEN, cluster_id, member_id};
use clusterarium::shell::diff;
use clusterarium::sim::Duration;

/// What one line may take.
const LIMIT: Duration = Duration::from_secs(900);
/// Members and clusters whose numbers follow from their addresses.
fn known() -> Vec<String> {
    let member = |url: &str| member_id(&[url], TOKEN, None);
    let local = ["31380", "32380", "33380"].map(|port| member(&format!("http://127.0.0.1:{port}")));
    let alone = member("http://localhost:2380");
    let nodes = ["10", "42", "43"].map(|end| member(&format!("https://192.168.56.{end}:2380")));
    let clusters = [cluster_id(local), cluster_id([alone]), cluster_id([nodes[0]]), cluster_id(nodes)];
    let members = local.into_iter().chain([alone]).chain(nodes).map(|id| id.0);
    members.chain(clusters).map(|id| format!("{id:x}")).collect()
}

fn boot(first: &str) -> Console {
    let small = Scenario { workers: 1, etcd_members: 1, ..Scenario::default() };
    let scenario = match first.trim() {
        "# local" => Scenario { hollow: true, workers: 0, local_etcd: true, ..small },
        "# cluster" => Scenario { etcd_members: 3, ..small },
        _ => small,
    };
    let mut console = Console::boot(1, scenario);
    console.settle(|_| {});
    console
}

fn act(console: &mut Console, order: &str) {
    let (verb, rest) = order.split_once(' ').expect("a verb and what it is about");
    let process = rest.to_string();
    match verb {
        "stop" => drop(console.history.command(Command::StopProcess { process })),
        "start" => drop(console.history.command(Command::StartProcess { process })),
        "pass" => console.pass(Duration::from_secs(rest.parse().expect("seconds")), &mut |_| {}),
        "quota" => drop(console.history.command(Command::SetQuota { member: process, bytes: 20_000 })),
        other => panic!("unknown order {other}"),
    }
}

/// Puts marks in place of what differs from run to run.
fn barred(line: &str) -> String {
    let mut line = line.to_string();
    for (before, ends) in [
        ("\"ts\":\"", "\""),
        ("\"took\":\"", "\""),
        (
            "took = ", " 
",
        ),
        (
            ". took ", " 
",
        ),
        ("etcd-endpoints://", "/"),
        ("endpoint://client-", "/"),
        ("2026-01-01T", "	\" "),
    ] {
        let mut from = 0;
        while let Some(at) = line[from..].find(before) {
            let begin = from + at + before.len();
            let end = line[begin..].find(|c| ends.contains(c)).map_or(line.len(), |end| begin + end);
            line.replace_range(begin..end, "<>");
            from = begin;
        }
    }
    // Numbers of leases and of members that were added are made of the time.
    let known = known();
    let is_drawn = |word: &str| {
        (14..=16).contains(&word.len())
            && word.chars().all(|c| c.is_ascii_hexdigit())
            && word.chars().any(|c| c.is_ascii_digit())
            && !known.iter().any(|id| id == word)
    };
    let parts: Vec<String> = line
        .split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if is_drawn(word) { part.replacen(word, "<id>", 1) } else { part.to_string() }
        })
        .collect();
    parts.concat()
}

fn transcript(source: &str) -> String {
    let mut console = boot(source.lines().next().unwrap_or_default());
    let mut text = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# ") || line.is_empty() {
            text += &format!("{line}\n");
            continue;
        }
        if let Some(order) = line.strip_prefix("@ ") {
            act(&mut console, order);
            text += &format!("{line}\n");
            continue;
        }
        let Some(mut command) = line.strip_prefix("$ ").map(String::from) else { continue };
        while let Some(more) = lines.peek().and_then(|line| line.strip_prefix("> ")) {
            command += &format!("\n{more}");
            lines.next();
        }
        text += &format!("$ {}\n", command.replace('\n', "\n> "));
        let mut printed = Vec::new();
        let code = console.exec(&command, "", LIMIT, |output| match output {
            Output::Stdout(text) => printed.push((false, text)),
            Output::Stderr(text) => printed.push((true, text)),
            Output::Audit(_) => {}
        });
        for (on_error, part) in printed {
            for line in part.split_inclusive('\n') {
                let open = if line.ends_with('\n') { "" } else { "%\n" };
                // An empty line would be taken for one between two entries.
                let line = if line == "\n" { "~\n".to_string() } else { barred(line) };
                text += &format!("{}{line}{open}", if on_error { "! " } else { "" });
            }
        }
        match code {
            Some(0) => {}
            Some(code) => text += &format!("= {code}\n"),
            None => {
                text += "= still running\n";
                console.interrupt(&mut |_| {});
            }
        }
    }
    text
}

#[test]
fn sessions_print_what_they_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/etcdctl");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut wrong = String::new();
    for path in paths {
        let source = std::fs::read_to_string(&path).expect("a session is text");
        let now = transcript(&source);
        if now == source {
            continue;
        }
        if std::env::var_os("CLUSTERARIUM_UPDATE").is_some() {
            std::fs::write(&path, &now).expect("the session can be written");
        } else {
            wrong += &format!("{}:\n{}\n", path.display(), diff::unified(&source, &now, 3));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
