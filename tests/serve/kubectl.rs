//! Debian's kubectl (or any other in the path) against the served cluster, through a script with a transcript.
//!
//! Picture to hold in mind: a stranger at the keyboard who follows a lesson sheet; the sheet says what must appear.

use std::process::{Command, Stdio};

use super::program::Program;

/// Lines `$ COMMAND`, each followed by what it prints on either stream; `# ...` is a remark. A line `...` stands for any
/// lines, and `*` within a line for any text.
const SHEET: &str = include_str!("kubectl.txt");

fn kubectl_version() -> Option<String> {
    let output = Command::new("kubectl").args(["version", "--client", "-o", "json"]).output().ok()?;
    let version: clusterarium::api::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(version.text("clientVersion.gitVersion").to_owned())
}

/// Whether a line fits a pattern in which `*` is any text.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut last = None;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
        last = Some(part);
    }
    match last {
        None => rest.is_empty(),
        Some(part) => line.ends_with(part),
    }
}

/// Whether the lines fit the patterns, `...` being any lines.
fn all_fit(patterns: &[&str], lines: &[&str]) -> bool {
    match patterns.split_first() {
        None => lines.is_empty(),
        Some((&"...", rest)) => (0..=lines.len()).any(|skipped| all_fit(rest, &lines[skipped..])),
        Some((pattern, rest)) => {
            lines.split_first().is_some_and(|(line, others)| fits(pattern, line) && all_fit(rest, others))
        }
    }
}

#[test]
fn the_sheet_is_followed() {
    let Some(version) = kubectl_version() else {
        eprintln!("SKIPPED: there is no kubectl here (Debian: apt-get install kubernetes-client)");
        return;
    };
    println!("kubectl {version}");
    let folder = std::env::temp_dir().join(format!("clusterarium-kubectl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("config");
    let program = Program::start(&["--speed", "4", "--write-kubeconfig", &config.to_string_lossy()]);
    let mut wrong = Vec::new();
    for step in SHEET.split("\n$ ").skip(1) {
        let mut lines = step.lines().filter(|line| !line.starts_with('#')).peekable();
        let mut command = lines.next().unwrap_or("").to_owned();
        // A here-document goes on to its end.
        if command.ends_with("<<EOF") {
            for line in lines.by_ref() {
                command = command + "\n" + line;
                if line == "EOF" {
                    break;
                }
            }
            command.push('\n');
        }
        let patterns: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let output = Command::new("bash")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(&folder)
            .env("KUBECONFIG", &config)
            .env("HOME", &folder)
            .env("ADDRESS", format!("http://{}", program.address))
            .stdin(Stdio::null())
            .output()
            .expect("bash is there");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        if !all_fit(&patterns, &told) {
            wrong.push(format!(
                "$ {command}\n  expected:\n{}\n  got:\n{}",
                patterns.join("\n"),
                told.join("\n")
            ));
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(wrong.is_empty(), "{} steps differ\n{}", wrong.len(), wrong.join("\n\n"));
}
