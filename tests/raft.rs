//! Plays every script of `tests/raft/` and compares what it prints with what it printed before.
//! `REWRITE=1 cargo test --test raft` writes what they print now; read the difference before committing it.
//!
//! Besides, laws are read off the transcripts: they hold in every story, and they find each [`Flaw`].

use std::collections::BTreeMap;
use std::path::Path;

use clusterarium::etcd::raft::Flaw;
use clusterarium::etcd::raft::script::{self, Stage};

fn scripts() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raft");
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .expect("tests/raft is part of the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    scripts
}

#[test]
fn every_story_goes_as_it_is_told() {
    let mut wrong = Vec::new();
    for path in scripts() {
        let told = std::fs::read_to_string(&path).expect("a readable script");
        let now = script::run(&told);
        if told == now {
            continue;
        }
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&path, now).expect("a writable script");
            continue;
        }
        let line = told.lines().zip(now.lines()).take_while(|(a, b)| a == b).count();
        let of = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_string();
        wrong.push(format!("{}:{}\n  told: {}\n  now:  {}", path.display(), line + 1, of(&told), of(&now)));
    }
    assert!(wrong.is_empty(), "stories that go otherwise:\n{}", wrong.join("\n"));
}

/// The commands of a script, without what they printed.
fn commands(script: &str) -> Vec<&str> {
    let mut is_command = true;
    let mut commands = Vec::new();
    for line in script.lines() {
        match line {
            "----" => is_command = false,
            "" => is_command = true,
            "quiet" | "loud" => {}
            _ if is_command && !line.starts_with('#') => commands.push(line),
            _ => {}
        }
    }
    commands
}

/// Plays a script, and names the law that is broken first.
fn broken_law(script: &str, flaw: Option<Flaw>) -> Option<&'static str> {
    let mut stage = Stage::default();
    stage.flaw = flaw;
    let (mut leaders, mut ledger) = (BTreeMap::new(), BTreeMap::new());
    for command in commands(script) {
        for line in stage.play(command).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [member, "became", "leader", "at", "term", term] => {
                    let first = leaders.entry(term.to_string()).or_insert_with(|| member.to_string());
                    if first != member {
                        return Some("election safety");
                    }
                }
                ["applies", id, ..] => {
                    let (_, index) = id.split_once('/').expect("a term and an index");
                    let known = ledger.entry(index.to_string()).or_insert_with(|| line.to_string());
                    if known != line {
                        return Some("state machine safety");
                    }
                }
                _ => {}
            }
        }
    }
    None
}

#[test]
fn the_laws_hold_in_every_story() {
    for path in scripts() {
        let script = std::fs::read_to_string(&path).expect("a readable script");
        assert_eq!(broken_law(&script, None), None, "{}", path.display());
    }
}

/// Two ask for a vote in one term.
const TWO_ASK: &str = "members 3 pre-vote=off
campaign 1
campaign 3
ready 1
ready 3
deliver 1->2
deliver 3->2
ready 2
deliver 2->1
deliver 2->3";

/// One votes, crashes, and is asked again in that term.
const ONE_CRASHES: &str = "members 3 pre-vote=off
campaign 1
ready 1
deliver 1->2
ready 2
deliver 2->1
lose
crash 2
restart 2
campaign 3
ready 3
deliver 3->2
ready 2
deliver 2->3";

/// What a leader of before sent arrives when the next one has written.
const ONE_IS_LATE: &str = "members 3 pre-vote=off check-quorum=off
campaign 1
stabilize
propose 1 a=1
ready 1
lose 1->2
campaign 2
ready 2
lose 2->1
deliver 2->3
ready 3
deliver 3->2
ready 2
lose 2->1
deliver 2->3
ready 3
deliver 1->3
ready 3
deliver 3->2
ready 2
deliver 2->3
tick 2
ready 2
deliver 2->3
ready 3";

#[cfg(debug_assertions)]
#[test]
fn the_laws_find_every_flaw() {
    let older_terms = include_str!("raft/16-older-terms.txt");
    for (flaw, script, law) in [
        (Flaw::NoTermCheck, ONE_IS_LATE, "state machine safety"),
        (Flaw::CommitsOlderTerms, older_terms, "state machine safety"),
        (Flaw::VotesTwice, TWO_ASK, "election safety"),
        (Flaw::ForgetsVote, ONE_CRASHES, "election safety"),
    ] {
        assert_eq!(broken_law(script, Some(flaw)), Some(law), "{flaw:?}");
        assert_eq!(broken_law(script, None), None, "without {flaw:?}");
    }
}
