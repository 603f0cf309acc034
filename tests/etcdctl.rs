//! Sessions with etcdctl and etcdutl that no recording of the real ones covers: lines and what they print.
//!
//! Picture to hold in mind: a page of a lab notebook that was written during the experiment and is held against every
//! repetition.
//!
//! A session is a text file (see [`transcript`]). Lines behind `@ ` do something to the cluster: `@ stop m2`,
//! `@ start m2`, `@ pass 5` (seconds), `@ quota m1 20000` (bytes), `@ corrupt m2` (its disk), `@ flags m1 --pre-vote=false`
//! (of a stopped one), `@ add etcd-4`. The first line says which cluster it is: `# local` has three members of etcd beside the
//! terminal, `# kubeadm` is one node and a worker, `# cluster` the same with three members. Times, and names that are drawn by lot or made of the time, are barred.
//! `CLUSTERARIUM_UPDATE=1 cargo test --test etcdctl` writes the answers anew; read the difference before you keep it.

mod transcript;

use clusterarium::command::{Command, Scenario};
use clusterarium::console::Console;
use clusterarium::etcd::identity::{TOKEN, cluster_id, member_id};
use clusterarium::sim::Duration;

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
        "quota" => {
            let (member, bytes) = rest.split_once(' ').expect("a member and bytes");
            let (member, bytes) = (member.to_string(), bytes.parse().expect("bytes"));
            console.history.command(Command::SetQuota { member, bytes });
        }
        "corrupt" => drop(console.history.command(Command::CorruptDisk { member: process })),
        "add" => drop(console.history.command(Command::AddEtcdMember { name: process, is_learner: false })),
        "flags" => {
            let mut words = rest.split(' ').map(String::from);
            let member = words.next().expect("a member");
            console.history.command(Command::SetFlags { member, flags: words.collect() });
        }
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

#[test]
fn sessions_print_what_they_printed() {
    transcript::check("tests/etcdctl", boot, act, barred);
}
