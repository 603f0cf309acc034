//! `hey`: many requests to one address, and a summary of how they fared.
//!
//! Picture to hold in mind: the printed slip of a counting machine.
//!
//! The form is that of `rakyll/hey` (`requester/print.go`), but for the part that tells apart what a request spends on
//! dialling, writing and reading: one packet stands for all of it here.

use crate::api::{Text, time_format};
use crate::arrange::Arrange;
use crate::message::node::{LoadOrder, LoadReport, read_url};
use crate::shell::system::Outcome;
use crate::sim::Duration;

use super::super::load::{MOST_WORKERS, SHORTEST_INTERVAL};
use super::tools::{Tool, fails, text};

const VALUES: [&str; 14] =
    ["-host", "-n", "-c", "-q", "-z", "-o", "-m", "-H", "-t", "-A", "-d", "-D", "-T", "-U"];
const PERCENTILES: [usize; 7] = [10, 25, 50, 75, 90, 95, 99];

/// Seconds with `digits` decimals.
fn seconds(us: u64, digits: u32) -> String {
    let unit = 10_u64.pow(6 - digits);
    let rounded = (us + unit / 2) / unit;
    let whole = 10_u64.pow(digits);
    format!("{}.{:0width$}", rounded / whole, rounded % whole, width = digits as usize)
}

/// A number with decimals, in thousandths.
fn milli(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let rest: String = rest.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(rest.parse().ok()?)
}

impl Tool<'_, '_, '_> {
    pub(super) fn hey(&mut self) -> Outcome {
        let usage = |words: &str| fails(1, format!("{words}Usage: hey [options...] <url>\n"));
        // The image's entry point may be named again behind it.
        let operands = self.operands(&VALUES);
        let Some(url) = operands.iter().copied().find(|word| *word != "hey") else { return usage("") };
        let value = |name: &str| self.option(name).map(|text| text.trim_start_matches('='));
        let number = |name: &str, otherwise: u32| match value(name) {
            Some(text) => text.parse::<u32>().ok(),
            None => Some(otherwise),
        };
        let duration = match value("-z") {
            Some(text) => time_format::parse_go_duration(text).and_then(|us| u64::try_from(us).ok()),
            None => Some(0),
        };
        let each = value("-q").map_or(Some(0), milli);
        let (Some(count), Some(workers), Some(timeout), Some(duration), Some(each)) =
            (number("-n", 200), number("-c", 50), number("-t", 20), duration, each)
        else {
            return usage("invalid value for a flag\n");
        };
        if workers == 0 {
            return usage("-c cannot be smaller than 1.\n\n");
        }
        if duration == 0 && count < workers {
            return usage("-n cannot be less than -c.\n\n");
        }
        let Some((host, port, path)) = read_url(url) else { return usage("") };
        let wanted = each.saturating_mul(workers.into());
        let interval = 1_000_000_000_u64.checked_div(wanted).map_or(Duration::ZERO, Duration);
        let order = LoadOrder {
            host: host.into(),
            port,
            path,
            host_header: value("-host").unwrap_or_default().into(),
            interval: interval.max(SHORTEST_INTERVAL),
            workers: workers.min(MOST_WORKERS),
            timeout_seconds: if timeout == 0 { 3600 } else { timeout },
            requests: if duration == 0 { u64::from(count / workers * workers) } else { 0 },
            duration: Duration(duration),
            connections: if self.arguments.contains(&"-disable-keepalive") {
                0
            } else {
                workers.min(MOST_WORKERS)
            },
        };
        let server = self.userland.network.resolver().servers.first().cloned().unwrap_or_default();
        let report = match self.userland.network.load(order) {
            Ok(report) => report,
            Err(words) => return fails(1, format!("{words}\n")),
        };
        let mut out = text(summary(&report, url, host, port, &server));
        if interval < SHORTEST_INTERVAL {
            out.stderr = "hey: the simulation sends 100 requests a second at most\n".into();
        }
        out
    }
}

fn summary(report: &LoadReport, url: &str, host: &str, port: u16, server: &str) -> String {
    let times = &report.latencies_us;
    let at = |place: usize| times.get(place).map_or(0, |us| u64::from(*us));
    let (fastest, slowest) = (at(0), at(times.len().saturating_sub(1)));
    let sum: u64 = times.iter().map(|us| u64::from(*us)).sum();
    let average = sum.checked_div(times.len() as u64).map_or(" NaN".into(), |us| seconds(us, 4));
    let answers: u64 = report.statuses.iter().map(|(_, count)| count).sum();
    let failures = report.errors.iter().filter(|(words, _)| !words.starts_with("HTTP "));
    let mut failures: Vec<(String, u64)> =
        failures.map(|(words, count)| (go_words(words, report, url, host, port, server), *count)).collect();
    failures.arrange();
    let all = answers + failures.iter().map(|(_, count)| count).sum::<u64>();
    let rate = (all * 1_000_000).saturating_mul(1_000_000) / report.took.0.max(1);
    let mut out = String::from("\nSummary:\n");
    for (name, value) in [
        ("Total", seconds(report.took.0, 4)),
        ("Slowest", seconds(slowest, 4)),
        ("Fastest", seconds(fastest, 4)),
        ("Average", average),
    ] {
        out += &format!("  {name}:\t{value} secs\n");
    }
    out += &format!("  Requests/sec:\t{}\n  \n", seconds(rate, 4));
    if report.bytes > 0 {
        let each = report.bytes.checked_div(answers).unwrap_or(0);
        out += &format!("  Total data:\t{} bytes\n  Size/request:\t{each} bytes\n", report.bytes);
    }
    out += "\nResponse time histogram:\n";
    if !times.is_empty() {
        histogram(times, &mut out);
    }
    out += "\n\nLatency distribution:\n";
    let place = |share: usize| (0..times.len()).find(|place| place * 100 / times.len() >= share);
    for share in PERCENTILES.into_iter().filter(|_| !times.is_empty()) {
        let (share, us) = place(share).map_or((0, 0), |place| (share, at(place)));
        out += &format!("  {share}% in {} secs\n", seconds(us, 4));
    }
    out += "\nStatus code distribution:\n";
    let mut statuses = report.statuses.clone();
    statuses.arrange();
    for (status, count) in statuses {
        out += &format!("  [{status}]\t{count} responses\n");
    }
    if !failures.is_empty() {
        out += "\nError distribution:\n";
        for (words, count) in failures {
            out += &format!("  [{count}]\t{words}\n");
        }
    }
    out + "\n"
}

/// Ten steps from the fastest to the slowest, and how many were no slower than each.
fn histogram(times: &[u32], out: &mut String) {
    let (fastest, slowest) = (u64::from(times[0]), u64::from(times[times.len() - 1]));
    let marks = |step: u64| fastest + (slowest - fastest) * step / 10;
    let mut counts = [0_u64; 11];
    let mut step = 0;
    for us in times {
        while u64::from(*us) > marks(step as u64) && step < 10 {
            step += 1;
        }
        counts[step] += 1;
    }
    let most = counts.into_iter().max().unwrap_or(0).max(1);
    for (step, count) in counts.into_iter().enumerate() {
        let bar = "■".repeat(((count * 40 + most / 2) / most) as usize);
        *out += &format!("  {} [{count}]\t|{bar}\n", seconds(marks(step as u64), 3));
    }
}

/// A failure as Go's client words it.
fn go_words(words: &Text, report: &LoadReport, url: &str, host: &str, port: u16, server: &str) -> String {
    let dial = |what: &str| format!("dial tcp {}:{port}: connect: {what}", report.address);
    let reason = match words.as_str() {
        "Connection timed out" => {
            "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into()
        }
        "Empty reply from server" => "EOF".into(),
        "no such host" | "server misbehaving" | "i/o timeout" => {
            format!("dial tcp: lookup {host} on {server}:53: {words}")
        }
        words => dial(&words.to_ascii_lowercase()),
    };
    format!("Get \"{url}\": {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_written() {
        assert_eq!([milli("50"), milli("0.5"), milli("x")], [Some(50_000), Some(500), None]);
        assert_eq!((seconds(1_234_567, 4), seconds(999_960, 4)), ("1.2346".into(), "1.0000".into()));
    }

    #[test]
    fn a_summary_has_the_real_form() {
        let report = LoadReport {
            took: Duration::from_secs(10),
            latencies_us: vec![1000; 9].into_iter().chain([11_000]).collect(),
            bytes: 6150,
            statuses: vec![(200, 10)],
            errors: vec![("Connection refused".into(), 2)],
            address: "10.96.0.7".into(),
        };
        let text = summary(&report, "http://web", "web", 80, "10.96.0.10");
        for line in [
            "\nSummary:\n  Total:\t10.0000 secs\n  Slowest:\t0.0110 secs\n  Fastest:\t0.0010 secs\n  Average:\t0.0020 secs\n  Requests/sec:\t1.2000\n",
            "  Size/request:\t615 bytes\n",
            "  0.001 [9]\t|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■\n  0.002 [0]\t|\n",
            "  0.011 [1]\t|■■■■\n",
            "  90% in 0.0110 secs\n",
            "  [200]\t10 responses\n",
            "  [2]\tGet \"http://web\": dial tcp 10.96.0.7:80: connect: connection refused\n",
        ] {
            assert!(text.contains(line), "{line}\nof\n{text}");
        }
    }
}
