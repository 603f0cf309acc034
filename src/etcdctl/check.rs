//! `check perf`: how many writes a second the cluster bears.
//!
//! Picture to hold in mind: a stress test on the bench: so many slips a second, for a minute, with a stopwatch on each.

use std::ops::ControlFlow;

use super::client::{address, connect};
use super::keys::{compact_to, prefix_end};
use super::{Order, Outcome, Stop, exit, fail};
use crate::api::Value;
use crate::message::etcd::{Change, Operation, Outcome as Answered, Range, Txn};
use crate::shell::program::EtcdCall;
use crate::shell::{Cli, Halt};
use crate::sim::Duration;

/// Writes a second, and how many may be under way at a time.
struct Load {
    per_second: u64,
    clients: u64,
}

const SECONDS: u64 = 60;
/// Writes are handed out in so many portions a second.
const PORTIONS: u64 = 50;
const VALUE_BYTES: usize = 1024;

/// What the stopwatches say, in microseconds.
#[derive(Clone, Copy, Default)]
struct Report {
    count: u64,
    failed: u64,
    slowest: u64,
    sum: u64,
    sum_of_squares: u128,
}

impl Report {
    fn add(&mut self, took: Duration) {
        let took = took.as_micros();
        self.count += 1;
        self.slowest = self.slowest.max(took);
        self.sum += took;
        self.sum_of_squares += u128::from(took) * u128::from(took);
    }
    fn deviation(&self) -> u64 {
        let count = u128::from(self.count.max(1));
        let mean = u128::from(self.sum) / count;
        u64::try_from((self.sum_of_squares / count).saturating_sub(mean * mean).isqrt()).unwrap_or(u64::MAX)
    }
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}s", micros / 1_000_000, micros % 1_000_000)
}

pub fn perf(cli: &mut Cli, order: &Order) -> Outcome {
    let name = order.flags.text("load");
    let load = match name {
        "s" | "small" => Load { per_second: 150, clients: 50 },
        "m" | "medium" => Load { per_second: 1_000, clients: 200 },
        "l" | "large" => Load { per_second: 8_000, clients: 500 },
        "xl" | "xLarge" => Load { per_second: 15_000, clients: 1_000 },
        _ => return fail(exit::BAD_FEATURE, format!("unknown load option {name}")),
    };
    let prefix = order.flags.text("prefix").to_string();
    let (order, client) = connect(cli, order)?;
    let all = Range {
        key: prefix.as_str().into(),
        range_end: prefix_end(&prefix).into(),
        limit: 1,
        ..Range::default()
    };
    let until = cli.now() + Duration::from_secs(SECONDS);
    let found = client.call(cli, &order, "KV/Range", &Operation::Range(all.clone()), Some(until))?;
    if let Ok(Answered::Range(result)) = &found.result
        && !result.pairs.is_empty()
    {
        let words = format!("prefix {prefix:?} has keys. Delete with 'etcdctl del --prefix {prefix}' first");
        return fail(exit::INVALID_INPUT, words);
    }
    let began = cli.now();
    let value = Value::from("\0".repeat(VALUE_BYTES));
    let (report, ..) = cli.fold((Report::default(), 0u64, 0u64), |cli, (mut report, portion, sent)| {
        if portion == SECONDS * PORTIONS {
            return Ok(ControlFlow::Break((report, portion, sent)));
        }
        let due = began + Duration(portion * 1_000_000 / PORTIONS);
        let now = cli.now();
        cli.sleep(due.since(now))?;
        let address = address(&client.endpoints[portion as usize % client.endpoints.len()]).to_string();
        // What is late is made up for, as far as there are clients.
        let wanted = (load.per_second * (portion + 1) / PORTIONS).saturating_sub(sent).min(load.clients);
        let calls = (0..wanted).map(|index| {
            let key = format!("{prefix}{:016x}", (sent + index).wrapping_mul(0x9e37_79b9_7f4a_7c15)).into();
            let put = Change::Put { key, value: value.clone(), lease: 0 };
            let txn = Txn { compare: Vec::new(), success: vec![put], failure: Vec::new() };
            EtcdCall { address: address.clone(), operation: Operation::Txn(txn) }
        });
        for reply in cli.call_all(calls.collect(), Some(began + Duration::from_secs(SECONDS + 30)))? {
            match reply.response {
                Some(response) if response.result.is_ok() => report.add(reply.took),
                _ => report.failed += 1,
            }
        }
        let is_over = cli.now().since(began) >= Duration::from_secs(SECONDS);
        let next = (report, portion + 1, sent + wanted);
        Ok(if is_over { ControlFlow::Break(next) } else { ControlFlow::Continue(next) })
    })?;
    let took = cli.now().since(began).as_micros().max(1);
    cli.eprintln(format!("{SECONDS} / {SECONDS} [{}] 100.00%", "-".repeat(60)));
    let delete = Change::Delete { key: all.key, range_end: all.range_end };
    let txn = Txn { compare: Vec::new(), success: vec![delete], failure: Vec::new() };
    let limit = cli.now() + Duration::from_secs(30);
    match client.attempt(cli, &order, "KV/DeleteRange", &Operation::Txn(txn), Some(limit))? {
        Ok(response) if order.flags.switch("auto-compact") => {
            cli.println(format!("Compacting with revision {}", response.revision));
            compact_to(cli, &order, &client, response.revision)?;
            cli.println(format!("Compacted with revision {}", response.revision));
        }
        Ok(_) => {}
        Err(failed) => {
            cli.println(format!("FAIL: Cleanup failed during key deletion: ERROR({})", failed.text()));
        }
    }
    if order.flags.switch("auto-defrag") {
        for endpoint in &client.endpoints {
            cli.println(format!("Defragmenting {endpoint:?}"));
            let limit = cli.now() + Duration::from_secs(30);
            let alone = client.of(endpoint);
            alone.call(cli, &order, "Maintenance/Defragment", &Operation::Defragment, Some(limit))?;
            cli.println(format!("Defragmented {endpoint:?}"));
        }
    }
    judge(cli, &load, &report, took)
}

fn judge(cli: &mut Cli, load: &Load, report: &Report, took_us: u64) -> Outcome {
    let mut passed = true;
    let mut say = |is_good: bool, text: String| {
        passed &= is_good;
        cli.println(text);
    };
    if report.failed > 0 {
        say(false, "FAIL: too many errors".into());
        say(false, format!("FAIL: ERROR(context deadline exceeded) -> {}", report.failed));
    }
    let rate = report.count * 1_000_000 / took_us;
    match rate * 10 > load.per_second * 9 {
        true => say(true, format!("PASS: Throughput is {} writes/s", rate + 1)),
        false => say(false, format!("FAIL: Throughput too low: {} writes/s", rate + 1)),
    }
    match report.slowest <= 500_000 {
        true => say(true, format!("PASS: Slowest request took {}", seconds(report.slowest))),
        false => say(false, format!("Slowest request took too long: {}", seconds(report.slowest))),
    }
    let deviation = report.deviation();
    match deviation <= 100_000 {
        true => say(true, format!("PASS: Stddev is {}", seconds(deviation))),
        false => say(false, format!("Stddev too high: {}", seconds(deviation))),
    }
    if passed {
        cli.println("PASS");
        return Ok(());
    }
    cli.println("FAIL");
    Err(Stop::Halt(Halt::Exit(exit::ERROR)))
}
