//! Compares what was printed, after taking out what differs from run to run.
//!
//! Picture to hold in mind: reading two letters aloud: the dates differ, the words must not.

use super::normalize::{is_cluster_address, is_time, is_uid};

/// The letters of generated names and hashes (`k8s.io/apimachinery/pkg/util/rand`).
fn is_safe_letter(character: char) -> bool {
    "bcdfghjklmnpqrstvwxz2456789".contains(character)
}

/// `5s`, `2m15s`, `3h`, `4d2h`.
fn is_age(word: &str) -> bool {
    let mut digits = 0;
    let mut units = 0;
    for character in word.chars() {
        match character {
            '0'..='9' => digits += 1,
            's' | 'm' | 'h' | 'd' | 'y' if digits > 0 => {
                digits = 0;
                units += 1;
            }
            _ => return false,
        }
    }
    units > 0 && digits == 0
}

fn word(word: &str) -> String {
    let bare = word.trim_end_matches([',', ')', '"', ':']).trim_start_matches(['(', '"']);
    if is_age(bare) {
        return word.replace(bare, "<age>");
    }
    if is_time(bare) {
        return word.replace(bare, "<time>");
    }
    if is_uid(bare) {
        return word.replace(bare, "<uid>");
    }
    if is_cluster_address(bare) {
        return word.replace(bare, "<ip>");
    }
    if let Some((host, port)) = bare.rsplit_once(':')
        && port.chars().all(|c| c.is_ascii_digit())
        && (is_cluster_address(host.rsplit('/').next().unwrap_or(host)) || host.ends_with("127.0.0.1"))
    {
        return "<address>".into();
    }
    // Generated ends of names.
    let parts: Vec<String> = bare
        .split('/')
        .map(|part| {
            if is_cluster_address(part) {
                return "<ip>".to_string();
            }
            let pieces: Vec<&str> = part.split('-').collect();
            let last = pieces.len() - 1;
            let barred: Vec<String> = pieces
                .iter()
                .enumerate()
                .map(|(index, piece)| {
                    let is_generated = index > 0
                        && piece.chars().all(is_safe_letter)
                        && piece.chars().any(|c| c.is_ascii_digit() || piece.len() >= 5);
                    match piece.len() {
                        5 | 6 if is_generated && index == last => "<rand>".to_string(),
                        8..=10 if is_generated => "<hash>".to_string(),
                        _ => piece.to_string(),
                    }
                })
                .collect();
            barred.join("-")
        })
        .collect();
    word.replace(bare, &parts.join("/"))
}

/// `Mon, 23 Nov 2026 05:19:11 +0000` becomes one mark.
fn dates(line: &str) -> String {
    const DAYS: [&str; 7] = ["Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, "];
    let mut line = line.to_string();
    while let Some(start) = DAYS.iter().filter_map(|day| line.find(day)).min() {
        let end = (start + 31).min(line.len());
        if !line.is_char_boundary(end) {
            break;
        }
        line.replace_range(start..end, "<date>");
    }
    line
}

/// UIDs within words, as in an object that is printed on one line.
fn uids(line: &str) -> String {
    let mut barred = String::new();
    let mut rest = line;
    while let Some(dash) = rest.find('-') {
        let is_found = dash >= 8 && rest.get(dash - 8..dash + 28).is_some_and(is_uid);
        let end = if is_found { dash + 28 } else { dash + 1 };
        barred += &rest[..if is_found { dash - 8 } else { end }];
        if is_found {
            barred += "<uid>";
        }
        rest = &rest[end..];
    }
    barred + rest
}

/// The hash behind `pod-template-hash=` or `pod-template-hash: ` becomes a mark.
fn template_hash(line: &str) -> String {
    let Some((before, rest)) = line.split_once("pod-template-hash") else { return line.to_string() };
    let value = rest.trim_start_matches(['"', '=', ':', ' ']);
    let end = value.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(value.len());
    format!("{before}pod-template-hash{}<hash>{}", &rest[..rest.len() - value.len()], &value[end..])
}

/// Lines with runs of blanks folded and what is random barred; those that tell of the fake engine left out.
pub fn lines(text: &str) -> Vec<String> {
    const FAKE: [&str; 8] = [
        "fakeRuntime",
        "wheezy",
        "3.16.0",
        "kubemark://",
        "Machine ID",
        "System UUID",
        "Boot ID",
        "Image ID:",
    ];
    let text = text.replace("hollow-kubelet", "kubelet");
    text.lines()
        .filter(|line| !FAKE.iter().any(|fake| line.contains(fake)))
        .map(|line| {
            let trimmed = line.trim_start();
            if trimmed.starts_with("\"gitCommit\":") {
                return "<commit>".into();
            }
            // The port that the recorded API server listened on.
            if trimmed == "targetPort: 26443" {
                return "targetPort: 6443".into();
            }
            if trimmed.starts_with("resourceVersion:") || trimmed.starts_with("\"resourceVersion\":") {
                return "<resourceVersion>".into();
            }
            let dated = template_hash(&uids(&dates(line)));
            // Quotes around a time or a UID go with it.
            let words: Vec<String> = dated.split_whitespace().map(word).collect();
            words.join(" ")
        })
        .collect()
}

/// What may differ between two runs besides times and random letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    Nothing,
    /// On which node a pod is: the scheduler draws among the best.
    Nodes,
    /// Nodes, and the order of lines: names with hashes sort as they fall.
    Order,
}

/// Compares two texts: lines that agree, of how many, and the differences.
pub fn compare(expected: &str, actual: &str, free: Free) -> (usize, usize, Vec<String>) {
    let (mut left, mut right) = (lines(expected), lines(actual));
    if free != Free::Nothing && left != right {
        for lines in [&mut left, &mut right] {
            for line in lines.iter_mut() {
                for node in ["worker-1", "worker-2", "worker-3", "zone-a", "zone-b", "zone-c"] {
                    *line = line.replace(node, "<node>");
                }
            }
            if free == Free::Order {
                lines.sort();
            }
        }
    }
    let of = left.len().max(right.len()).max(1);
    if left == right {
        return (of, of, Vec::new());
    }
    let agreed = left.iter().filter(|line| right.contains(line)).count();
    let diff = clusterarium::shell::diff::unified(&(left.join("\n") + "\n"), &(right.join("\n") + "\n"), 1);
    (agreed.min(of - 1), of, diff.lines().map(|line| format!("  {line}")).collect())
}
