//! Sessions about what the API server does: custom resources that come, serve, change and go; who may do what; what is
//! wrong with objects that the recorded conformance data do not hold.
//!
//! Picture to hold in mind: a guest house whose rooms are built while the guests are at the door, each with a key or none.
//!
//! A session is a text file (see [`transcript`]). Lines behind `@ ` do something to the cluster: `@ pass 5` (seconds),
//! `@ stop PROCESS`, `@ start PROCESS`, `@ off MACHINE`, `@ on MACHINE`, `@ partition A B | C`, `@ heal network`,
//! `@ kill NAMESPACE POD CONTAINER`. Times and UIDs are barred.

mod transcript;

use clusterarium::command::{Command, Scenario};
use clusterarium::console::Console;
use clusterarium::sim::Duration;

fn boot(first: &str) -> Console {
    let audit = first == "# audited";
    let mut console = Console::boot(1, Scenario { hollow: true, workers: 1, audit, ..Scenario::default() });
    console.settle(|_| {});
    console
}

fn act(console: &mut Console, order: &str) {
    let mut command = |command: Command| {
        console.history.command(command);
    };
    let (verb, rest) = order.split_once(' ').expect("a verb and what it is about");
    let process = rest.to_string();
    match verb {
        "stop" => command(Command::StopProcess { process }),
        "start" => command(Command::StartProcess { process }),
        "kill" => {
            let mut words = rest.split_whitespace().map(String::from);
            let mut word = || words.next().expect("a namespace, a pod and a container");
            let (namespace, pod, container) = (word(), word(), word());
            command(Command::KillContainer { namespace, pod, container });
        }
        "off" => command(Command::StopHost { host: process }),
        "on" => command(Command::StartHost { host: process }),
        "partition" => {
            let side = |side: &str| side.split_whitespace().map(String::from).collect();
            let sides = rest.split('|').map(side).collect();
            command(Command::Partition { sides });
        }
        "heal" => command(Command::HealNetwork),
        "pass" => console.pass(Duration::from_secs(rest.parse().expect("seconds")), &mut |_| {}),
        other => panic!("unknown order {other}"),
    }
}

/// Puts marks in place of what differs from run to run.
fn barred(line: &str) -> String {
    line.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || "-:".contains(c)))
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let is_time = word.len() == 20 && word.starts_with("20") && word.ends_with('Z');
            let is_uid = word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
            let is_hex = |length| word.len() == length && word.bytes().all(|b| b.is_ascii_hexdigit());
            match (is_time, is_uid) {
                _ if is_hex(13) || is_hex(64) => part.replacen(word, "<id>", 1),
                (true, _) => part.replacen(word, "<time>", 1),
                (_, true) => part.replacen(word, "<uid>", 1),
                _ => part.to_string(),
            }
        })
        .collect()
}

#[test]
fn custom_resources_print_what_they_printed() {
    transcript::check("tests/custom_resources", boot, act, barred);
}

#[test]
fn roles_open_the_doors_that_they_opened() {
    transcript::check("tests/access", boot, act, barred);
}

#[test]
fn what_is_wrong_is_told_in_the_same_words() {
    transcript::check("tests/validation", boot, act, barred);
}

/// A cluster that is not hollow: what it does when something of it is gone. The first line may say what it is made of,
/// as the options of `clusterarium shell` do: `# --control-plane-nodes 3 --external-etcd`.
fn boot_whole(first: &str) -> Console {
    let mut scenario = Scenario::default();
    let mut words = first.trim_start_matches("# ").split_whitespace();
    let number = |words: &mut std::str::SplitWhitespace| words.next().and_then(|word| word.parse().ok());
    while let Some(word) = words.next() {
        match word {
            "--control-plane-nodes" => scenario.control_plane_nodes = number(&mut words).expect("a number"),
            "--etcd-members" => scenario.etcd_members = number(&mut words).expect("a number"),
            "--external-etcd" => scenario.external_etcd = true,
            _ => break,
        }
    }
    let mut console = Console::boot(1, scenario);
    console.settle(|_| {});
    console
}

#[test]
fn an_outage_is_felt_where_it_is_felt() {
    transcript::check("tests/outages", boot_whole, act, barred);
}

#[test]
fn a_mechanic_climbs_into_what_runs() {
    transcript::check("tests/debugging", boot_whole, act, barred);
}

#[test]
fn a_node_has_a_console_of_its_own() {
    transcript::check("tests/nodes", boot_whole, act, barred);
}
