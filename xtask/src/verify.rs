//! Everything that `test` runs.
//!
//! Picture to hold in mind: the cheap judges sit first. Formatting takes a second, the browser minutes; and
//! the verdict at the end lists them all, so one failure does not hide another.

use std::fs;
use std::time::Instant;

use crate::setup::{self, Need};
use crate::shell::{Command, Outcome, find, root};

/// A step by the name that the command line knows.
type Step = (&'static str, fn() -> Outcome);

/// Runs the named steps, or all.
pub fn test(only: &[&str]) -> Outcome {
    let steps: [Step; 6] = [
        ("format", format),
        ("clippy", clippy),
        ("native", native),
        ("wasm", wasm),
        ("build", crate::build),
        ("browser", browser),
    ];
    if let Some(unknown) = only.iter().find(|name| !steps.iter().any(|(step, _)| step == *name)) {
        let names: Vec<&str> = steps.iter().map(|(name, _)| *name).collect();
        return Err(format!("test has no step '{unknown}'; it has: {}", names.join(", ")));
    }
    setup::ensure(&Need::ALL)?;
    let mut verdicts = Vec::new();
    let mut failed = Vec::new();
    for (name, step) in steps.iter().filter(|(name, _)| only.is_empty() || only.contains(name)) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = match (*name, failed.contains(&"build")) {
            ("browser", true) => Err("there is no built page to test".to_string()),
            _ => step(),
        };
        let verdict = match &outcome {
            Ok(()) => "ok".to_string(),
            Err(message) => {
                failed.push(*name);
                format!("FAILED: {message}")
            }
        };
        verdicts.push(format!("{name:10}{:5} s  {verdict}", start.elapsed().as_secs()));
    }
    println!("\n{}", verdicts.join("\n"));
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("failed: {}", failed.join(", "))),
    }
}

fn format() -> Outcome {
    Command::new("cargo").args(["fmt", "--all", "--check"]).run()
}

/// Natively what runs natively, and for WASM what runs in the browser.
fn clippy() -> Outcome {
    let deny = ["--", "-D", "warnings"];
    Command::new("cargo")
        .args(["clippy", "--workspace", "--exclude", "components", "--all-targets"])
        .args(deny)
        .run()?;
    Command::new("cargo")
        .args([
            "clippy",
            "-p",
            "components",
            "-p",
            "worker",
            "--all-targets",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .args(deny)
        .run()
}

/// nextest where it is installed (faster), else cargo's own.
fn native() -> Outcome {
    // Of the page what needs no browser: where things stand, in which order they come.
    Command::new("cargo").args(["test", "-p", "components", "--lib"]).run()?;
    let packages = ["--workspace", "--exclude", "components"];
    match find("cargo-nextest") {
        Some(_) => {
            Command::new("cargo").args(["nextest", "run", "--no-tests=pass"]).args(packages).run()?;
            Command::new("cargo").args(["test", "--doc", "--quiet"]).args(packages).run()
        }
        None => Command::new("cargo").args(["test"]).args(packages).run(),
    }
}

/// Tests that run as WASM in a headless Chromium, by wasm-bindgen's runner and chromedriver. They are told what the same
/// sessions came to natively.
fn wasm() -> Outcome {
    let driver = find("chromedriver").ok_or("chromedriver is missing")?;
    Command::new("cargo").args(["test", "-p", "worker", "--test", "same_everywhere"]).run()?;
    let note = root().join("target/tmp/native-sessions.txt");
    let native =
        fs::read_to_string(&note).map_err(|error| format!("cannot read {}: {error}", note.display()))?;
    Command::new("cargo")
        .args(["test", "-p", "components", "-p", "worker", "--test", "page", "--test", "same_everywhere"])
        .args(["--target", "wasm32-unknown-unknown"])
        .env("NATIVE_SESSIONS", &native)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "wasm-bindgen-test-runner")
        .env("CHROMEDRIVER", &driver.to_string_lossy())
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120")
        .run()
}

/// The page in dist/, driven from outside.
fn browser() -> Outcome {
    let chromium = setup::chromium().ok_or("Chromium is missing")?;
    Command::new("node")
        .args([
            "--test",
            "--test-concurrency=1",
            "tests/browser/tokens.test.mjs",
            "tests/browser/streams.test.mjs",
        ])
        .args(["tests/browser/page.test.mjs", "tests/browser/lenses.test.mjs", "tests/browser/hand.test.mjs"])
        .args(["tests/browser/level.test.mjs", "tests/browser/topology.test.mjs"])
        .env("CHROME", &chromium.to_string_lossy())
        .run()
}
