//! The recorded session with etcdctl and a cluster of three.
//!
//! Picture to hold in mind: the same play on another evening: the actors' watches, and the names that are drawn by lot,
//! differ; everything else must not.
//!
//! What is put on the stage before the first line and between the lines is what the recording shows: `m2` leads, and
//! before line 47 it and `m3` are stopped.

use clusterarium::command::{Command, Scenario};
use clusterarium::sim::Duration;

use super::Mark;
use super::cases::{Printed, Rig, json, quoted};
use super::text::{self, Free};

/// Members that are stopped before a line.
const STOPPED: &[(usize, &[&str])] = &[(47, &["m2", "m3"])];

pub fn session() -> Vec<Mark> {
    let scenario =
        Scenario { hollow: true, workers: 0, etcd_members: 1, local_etcd: true, ..Scenario::default() };
    let mut rig = Rig::led_by(scenario, "m2");
    let steps = json("etcdctl/etcdctl-3.4.json");
    let mut marks = Vec::new();
    // Names that were drawn by lot: the recorded ones and ours.
    let mut names: Vec<(String, String)> = Vec::new();
    for (index, step) in steps.as_array().unwrap_or(&[]).iter().enumerate() {
        for (_, members) in STOPPED.iter().filter(|(before, _)| *before == index) {
            for member in *members {
                rig.console.history.command(Command::StopProcess { process: member.to_string() });
            }
            rig.pass(Duration::from_secs(1));
        }
        let words: Vec<String> =
            step.items("argv").iter().filter_map(|word| word.as_str()).map(quoted).collect();
        let mut line = words.join(" ");
        for (theirs, ours) in &names {
            line = line.replace(theirs, ours);
        }
        let printed = rig.run_with(&line, step.text("stdin"));
        learn(step.text("stdout"), &printed, &mut names);
        marks.push(compare(index, &line, step, &printed, &names));
    }
    marks
}

/// Leases, and members that are added, are called after the time.
fn learn(recorded: &str, printed: &Printed, names: &mut Vec<(String, String)>) {
    let drawn = |text: &str| -> Option<String> {
        let words: Vec<&str> = text.lines().next()?.split(' ').collect();
        match words[..] {
            ["lease", lease, "granted", ..] => Some(lease.to_string()),
            ["Member", member, "added", ..] => Some(member.to_string()),
            _ => None,
        }
    };
    if let (Some(theirs), Some(ours)) = (drawn(recorded), drawn(&printed.stdout))
        && !names.iter().any(|(known, _)| *known == theirs)
    {
        names.push((theirs, ours));
    }
}

fn compare(
    index: usize,
    line: &str,
    step: &clusterarium::api::Value,
    printed: &Printed,
    names: &[(String, String)],
) -> Mark {
    let barred = |text: &str, is_recorded: bool| {
        let mut text = text.to_string();
        for (theirs, ours) in names.iter().filter(|_| is_recorded) {
            text = text.replace(theirs, ours);
        }
        // Hashes of what is in the store depend on how it is written down.
        if line.contains("hashkv") || line.contains("snapshot status") {
            text = bar_hashes(&text);
        }
        text.lines().map(bar_times).map(|line| line + "\n").collect::<String>()
    };
    // Members that are asked at once answer in any order.
    let free = if line.contains("endpoint health") { Free::Order } else { Free::Nothing };
    let (expected_out, expected_err) = (barred(step.text("stdout"), true), barred(step.text("stderr"), true));
    let out = text::compare(&expected_out, &barred(&printed.stdout, false), free);
    let err = text::compare(&expected_err, &barred(&printed.stderr, false), free);
    let (mut agreed, of) = (out.0 + err.0, out.1 + err.1 + 1);
    let mut differences = out.2;
    differences.extend(err.2);
    if step.integer("code") == Some(printed.code) {
        agreed += 1;
    } else {
        differences.push(format!("  exit code: real {}, ours {}", step.at("code"), printed.code));
    }
    if !differences.is_empty() {
        differences.insert(0, format!("  $ {line}"));
    }
    Mark { name: format!("etcdctl/etcdctl-3.4/{index:03}"), differences, agreed, of }
}

/// Numbers of nine and ten digits, and words of eight hexadecimal ones.
fn bar_hashes(text: &str) -> String {
    let is_hash = |word: &str| {
        let hex = word.len() >= 6 && word.len() <= 8 && word.chars().all(|c| c.is_ascii_hexdigit());
        let number = (8..=10).contains(&word.len()) && word.chars().all(|c| c.is_ascii_digit());
        hex || number
    };
    let words = text.split_inclusive([' ', '\n', ',']).map(|word| {
        let bare = word.trim_end_matches([' ', '\n', ',']);
        if is_hash(bare) { word.replacen(bare, "<hash>", 1) } else { word.to_string() }
    });
    words.collect()
}

/// `"ts":...`, `"took":...` and `took = ...`.
fn bar_times(line: &str) -> String {
    let mut line = line.to_string();
    for (before, ends) in [("\"ts\":", ",}"), ("\"took\":", ",}"), ("took = ", " ")] {
        if let Some(at) = line.find(before) {
            let from = at + before.len();
            let end = line[from..].find(|c| ends.contains(c)).map_or(line.len(), |end| from + end);
            line.replace_range(from..end, "<time>");
        }
    }
    line
}
