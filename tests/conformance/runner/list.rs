//! The list of expected failures.
//!
//! Picture to hold in mind: the errata slip in a book: it must name every mistake, and no line that is right.

use std::collections::BTreeMap;

use super::{Mark, data};

const HEADING: &str = "# Cases that are known to differ from the real cluster, and why.\n# A listed case that passes is a failure too. NAME* lists all cases whose names begin so.\n\n";
const NEW: &str = "not looked into yet";

fn read() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(data().join("expected-failures.txt")).unwrap_or_default();
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (name, reason) = line.split_once("  ").unwrap_or((line, NEW));
            (name.trim().to_string(), reason.trim().to_string())
        })
        .collect()
}

/// Fails when the marks and the list do not agree.
pub fn check(marks: &[Mark]) {
    let listed = read();
    let covering = |name: &str| {
        listed.iter().find(|(entry, _)| match entry.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => entry.as_str() == name,
        })
    };
    if std::env::var_os("CLUSTERARIUM_UPDATE").is_some() {
        let mut text = HEADING.to_string();
        let mut written: BTreeMap<String, String> = BTreeMap::new();
        for mark in marks.iter().filter(|mark| !mark.is_exact()) {
            match covering(&mark.name) {
                Some((entry, reason)) => written.insert(entry.clone(), reason.clone()),
                None => written.insert(mark.name.clone(), NEW.into()),
            };
        }
        for (name, reason) in written {
            text += &format!("{name}  {reason}\n");
        }
        std::fs::write(data().join("expected-failures.txt"), text).expect("the list can be written");
        return;
    }
    let mut wrong = Vec::new();
    for mark in marks {
        match (mark.is_exact(), covering(&mark.name)) {
            (false, None) => {
                let first = mark.differences.first().cloned().unwrap_or_default();
                wrong.push(format!("{} differs from the real cluster: {first}", mark.name));
            }
            (true, Some((entry, _))) if !entry.ends_with('*') => {
                wrong.push(format!("{} is listed as a failure and passes: take it off the list", mark.name));
            }
            _ => {}
        }
    }
    for entry in listed.keys() {
        let prefix = entry.trim_end_matches('*');
        if !marks.iter().any(|mark| mark.name.starts_with(prefix)) {
            wrong.push(format!("{entry} is listed, and there is no such case"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
