//! `clusterarium bench`: how long the library's test tracks take on this machine.
//!
//! Picture to hold in mind: the stopwatch for [`clusterarium::benchmark`], which has none.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clusterarium::benchmark;

const USAGE: &str = "\
Measures the simulation on this machine; prints medians.

Usage:
  clusterarium bench [NAME]

Names:
";

struct Bench {
    name: &'static str,
    what: &'static str,
    rounds: usize,
    /// Runs once; what it came to, and how long the measured part took.
    run: fn(u64) -> (String, Duration),
}

const BENCHES: &[Bench] = &[
    Bench { name: "boot", what: "a cluster of 3 workers until its nodes are Ready", rounds: 5, run: boot },
    Bench {
        name: "pods",
        what: "1,000 pods on 10 nodes from one Deployment to all Ready",
        rounds: 5,
        run: pods,
    },
    Bench { name: "seek", what: "20 seeks over that history", rounds: 3, run: seek },
];

pub fn run(arguments: &[String]) -> ExitCode {
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let list: String = BENCHES.iter().map(|bench| format!("  {:<8} {}\n", bench.name, bench.what)).collect();
    if names.iter().any(|name| matches!(*name, "--help" | "-h")) {
        print!("{USAGE}{list}");
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&Bench> =
        BENCHES.iter().filter(|bench| names.is_empty() || names.contains(&bench.name)).collect();
    if chosen.is_empty() {
        eprint!("clusterarium bench: no such benchmark\n\n{USAGE}{list}");
        return ExitCode::from(2);
    }
    for bench in chosen {
        let mut results: Vec<(Duration, String)> = (0..bench.rounds as u64)
            .map(|round| {
                let (result, time) = (bench.run)(round + 1);
                (time, result)
            })
            .collect();
        results.sort();
        let (median, result) = &results[results.len() / 2];
        println!("{:<6} {:>10.1} ms  {} ({result})", bench.name, median.as_secs_f64() * 1000.0, bench.what);
    }
    ExitCode::SUCCESS
}

fn boot(seed: u64) -> (String, Duration) {
    let start = Instant::now();
    let history = benchmark::ready_cluster(seed, 3);
    (format!("{} simulated", history.now()), start.elapsed())
}

fn pods(seed: u64) -> (String, Duration) {
    let mut history = benchmark::ready_cluster(seed, 10);
    let start = Instant::now();
    let drive = benchmark::pods(&mut history, 1000);
    let time = start.elapsed();
    let end = if drive.is_complete { "" } else { ", not reached" };
    (format!("{} events, {} s simulated{end}", drive.events, drive.simulated.as_secs()), time)
}

fn seek(seed: u64) -> (String, Duration) {
    let mut history = benchmark::ready_cluster(seed, 10);
    benchmark::pods(&mut history, 1000);
    let start = Instant::now();
    for number in 0..20 {
        let instant = benchmark::instant(&history, number, 20);
        history.seek(instant);
    }
    (format!("{} checkpoints", history.checkpoints()), start.elapsed() / 20)
}
