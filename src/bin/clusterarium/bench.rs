//! `clusterarium bench`: how long the library's test tracks take on this machine.
//!
//! Picture to hold in mind: the stopwatch for [`clusterarium::benchmark`], which has none.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clusterarium::benchmark::{self, RuleBook};
use clusterarium::network::proxy::Mode;
use lexopt::prelude::*;

const USAGE: &str = "\
Measures the simulation on this machine; prints medians.

Usage:
  clusterarium bench [NAME ...] [--pods N] [--nodes N] [--services N] [--creates N] [--watchers N] [--rounds N]

Without these options a benchmark has the size that its budget is about.

Names:
";

struct Bench {
    name: &'static str,
    what: &'static str,
    size: Size,
    /// Runs once; what it came to, and how long the measured part took.
    run: fn(u64, Size) -> (String, Duration),
}

/// How much there is to do.
#[derive(Clone, Copy)]
struct Size {
    pods: usize,
    nodes: u32,
    services: usize,
    creates: usize,
    watchers: usize,
    rounds: u64,
}

/// One node, one round, and nothing on it.
const BARE: Size = Size { pods: 0, nodes: 1, services: 0, creates: 0, watchers: 0, rounds: 1 };

const BENCHES: &[Bench] = &[
    // These two first: what a process once held it seldom gives back.
    Bench {
        name: "history",
        what: "a seek in an hour of history, and its memory",
        size: Size { pods: 100, nodes: 10, ..BARE },
        run: history,
    },
    Bench {
        name: "memory",
        what: "pods, and what they take",
        size: Size { pods: 1000, nodes: 10, ..BARE },
        run: memory,
    },
    Bench {
        name: "boot",
        what: "a cluster until its nodes are Ready",
        size: Size { nodes: 3, rounds: 5, ..BARE },
        run: boot,
    },
    Bench {
        name: "pods",
        what: "pods from one Deployment to all Ready",
        size: Size { pods: 1000, nodes: 10, rounds: 5, ..BARE },
        run: pods,
    },
    Bench {
        name: "seek",
        what: "a seek in that history",
        size: Size { pods: 1000, nodes: 10, rounds: 3, ..BARE },
        run: seek,
    },
    Bench {
        name: "requests",
        what: "creates through the whole pipeline, one after the other",
        size: Size { creates: 5000, rounds: 3, ..BARE },
        run: requests,
    },
    Bench {
        name: "watchers",
        what: "creates that watchers are told of",
        size: Size { creates: 200, watchers: 1000, rounds: 3, ..BARE },
        run: watchers,
    },
    Bench {
        name: "scheduler",
        what: "pods that wait, to all bound",
        size: Size { pods: 10_000, nodes: 5_000, ..BARE },
        run: scheduler,
    },
    Bench {
        name: "rules",
        what: "kube-proxy's rules of all services, in each mode",
        size: Size { services: 5000, rounds: 3, ..BARE },
        run: rules,
    },
    Bench {
        name: "packets",
        what: "a packet traced there and back, in iptables mode",
        size: Size { nodes: 3, services: 5000, ..BARE },
        run: packets,
    },
];

pub fn run(arguments: &[String]) -> ExitCode {
    let list: String = BENCHES.iter().map(|bench| format!("  {:<10} {}\n", bench.name, bench.what)).collect();
    match options(arguments) {
        Ok(None) => {
            print!("{USAGE}{list}");
            ExitCode::SUCCESS
        }
        Ok(Some(chosen)) => {
            chosen.into_iter().for_each(measure);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("clusterarium bench: {error}\n\n{USAGE}{list}");
            ExitCode::from(2)
        }
    }
}

/// Which benchmarks, at which size. `None`: help is wanted.
fn options(arguments: &[String]) -> Result<Option<Vec<(&'static Bench, Size)>>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut chosen: Vec<&Bench> = Vec::new();
    let (mut pods, mut nodes, mut services, mut rounds) = (None, None, None, None);
    let (mut creates, mut watchers) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("pods") => pods = Some(parser.value()?.parse()?),
            Long("nodes") => nodes = Some(parser.value()?.parse()?),
            Long("services") => services = Some(parser.value()?.parse()?),
            Long("creates") => creates = Some(parser.value()?.parse()?),
            Long("watchers") => watchers = Some(parser.value()?.parse()?),
            Long("rounds") => rounds = Some(parser.value()?.parse()?),
            Value(name) => {
                let bench = BENCHES.iter().find(|bench| name == bench.name);
                chosen.push(bench.ok_or_else(|| format!("no benchmark {name:?}"))?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if chosen.is_empty() {
        chosen.extend(BENCHES);
    }
    let with_size = |bench: &'static Bench| {
        let size = bench.size;
        let size = Size {
            pods: pods.unwrap_or(size.pods),
            nodes: nodes.unwrap_or(size.nodes),
            services: services.unwrap_or(size.services),
            creates: creates.unwrap_or(size.creates),
            watchers: watchers.unwrap_or(size.watchers),
            rounds: rounds.unwrap_or(size.rounds).max(1),
        };
        (bench, size)
    };
    Ok(Some(chosen.into_iter().map(with_size).collect()))
}

fn measure((bench, size): (&Bench, Size)) {
    let mut results: Vec<(Duration, String)> = (1..=size.rounds)
        .map(|seed| {
            let (result, time) = (bench.run)(seed, size);
            (time, result)
        })
        .collect();
    results.sort();
    let (median, result) = &results[results.len() / 2];
    let counted = |count: usize, what: &str| match count {
        0 => String::new(),
        count => format!("{count} {what}, "),
    };
    let (pods, services) = (counted(size.pods, "pods"), counted(size.services, "services"));
    let (creates, watchers) = (counted(size.creates, "creates"), counted(size.watchers, "watchers"));
    let nodes = size.nodes;
    println!(
        "{:<10} {:>10.1} ms  {} ({pods}{services}{creates}{watchers}{nodes} nodes: {result})",
        bench.name,
        median.as_secs_f64() * 1000.0,
        bench.what,
    );
}

fn boot(seed: u64, size: Size) -> (String, Duration) {
    let start = Instant::now();
    let history = benchmark::ready_cluster(seed, size.nodes);
    (format!("{} simulated", history.now()), start.elapsed())
}

fn pods(seed: u64, size: Size) -> (String, Duration) {
    let mut history = benchmark::ready_cluster(seed, size.nodes);
    let start = Instant::now();
    let drive = benchmark::pods(&mut history, size.pods);
    let time = start.elapsed();
    (drive_text(&drive), time)
}

fn drive_text(drive: &benchmark::Drive) -> String {
    let end = if drive.is_complete { "" } else { ", not reached" };
    format!("{} events, {} s simulated{end}", drive.events, drive.simulated.as_secs())
}

fn seek(seed: u64, size: Size) -> (String, Duration) {
    let mut history = benchmark::ready_cluster(seed, size.nodes);
    benchmark::pods(&mut history, size.pods);
    let time = seeks(&mut history);
    (format!("{} checkpoints", history.checkpoints()), time)
}

/// The mean of some seeks.
fn seeks(history: &mut benchmark::Track) -> Duration {
    const SEEKS: u32 = 20;
    let start = Instant::now();
    for number in 0..SEEKS {
        let instant = benchmark::instant(history, u64::from(number), u64::from(SEEKS));
        history.seek(instant);
    }
    start.elapsed() / SEEKS
}

fn scheduler(seed: u64, size: Size) -> (String, Duration) {
    let mut history = benchmark::waiting_pods(seed, size.nodes, size.pods);
    let start = Instant::now();
    let drive = benchmark::bind(&mut history, size.pods);
    let time = start.elapsed();
    let rate = size.pods as f64 / time.as_secs_f64();
    (format!("{rate:.0} pods a second, {}", drive_text(&drive)), time)
}

fn requests(seed: u64, size: Size) -> (String, Duration) {
    creates(seed, size, 0)
}

fn watchers(seed: u64, size: Size) -> (String, Duration) {
    creates(seed, size, size.watchers)
}

/// ConfigMaps that so many clients are told of.
fn creates(seed: u64, size: Size, watchers: usize) -> (String, Duration) {
    let mut history = benchmark::ready_cluster(seed, size.nodes);
    if watchers > 0 {
        benchmark::watchers(&mut history, watchers);
    }
    let start = Instant::now();
    let drive = benchmark::config_maps(&mut history, size.creates);
    let time = start.elapsed();
    let rate = (watchers.max(1) * size.creates) as f64 / time.as_secs_f64();
    let what = if watchers > 0 { "watch events" } else { "requests" };
    (format!("{rate:.0} {what} a second, {}", drive_text(&drive)), time)
}

fn memory(seed: u64, size: Size) -> (String, Duration) {
    let mut history = benchmark::ready_cluster(seed, size.nodes);
    let before = resident_bytes();
    let start = Instant::now();
    let drive = benchmark::pods(&mut history, size.pods);
    let time = start.elapsed();
    let megabytes = resident_bytes().saturating_sub(before) / 1_000_000;
    (format!("{megabytes} MB with their history, {}", drive_text(&drive)), time)
}

fn rules(_: u64, size: Size) -> (String, Duration) {
    const CHANGES: u32 = 20;
    let mut text = String::new();
    let mut all = Duration::ZERO;
    for mode in Mode::ALL {
        let mut book = RuleBook::of(mode, size.services);
        let start = Instant::now();
        let count = book.write();
        let time = start.elapsed();
        let start = Instant::now();
        (0..CHANGES).for_each(|number| book.change(number % 2 == 1));
        let change = start.elapsed() / CHANGES;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        text += &format!(
            "{}{} {count} in {:.1} ms, after one change {:.2} ms",
            if text.is_empty() { "" } else { "; " },
            mode.name(),
            milliseconds(time),
            milliseconds(change)
        );
        all += time;
    }
    (text, all)
}

fn packets(seed: u64, size: Size) -> (String, Duration) {
    const PACKETS: u32 = 200;
    let mut history = benchmark::ready_cluster(seed, size.nodes);
    let drive = benchmark::services(&mut history, size.services);
    let start = Instant::now();
    let answered = (0..PACKETS).filter(|number| benchmark::packet(&history, *number, size.services)).count();
    let time = start.elapsed() / PACKETS;
    let rate = 1.0 / time.as_secs_f64();
    (format!("{rate:.0} packets a second, {answered} of {PACKETS} answered, {}", drive_text(&drive)), time)
}

fn history(seed: u64, size: Size) -> (String, Duration) {
    let before = resident_bytes();
    let mut history = benchmark::ready_cluster(seed, size.nodes);
    benchmark::pods(&mut history, size.pods);
    benchmark::let_an_hour_pass(&mut history);
    let megabytes = resident_bytes().saturating_sub(before) / 1_000_000;
    let time = seeks(&mut history);
    let (checkpoints, records) = (history.checkpoints(), history.trace.range().count());
    (format!("{megabytes} MB, {checkpoints} checkpoints, {records} lines"), time)
}

/// What this process holds in memory, as Linux counts it; 0 elsewhere.
fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.as_deref().and_then(|text| text.split(' ').nth(1)).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}
