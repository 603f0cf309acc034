//! Instants and ages as people and Kubernetes write them.
//!
//! Picture to hold in mind: the engine's ruler with one calendar date pencilled beside its zero mark. With that
//! date every other mark has one too, the same in every run.
//!
//! Times are RFC 3339 in UTC, whole seconds (`metav1.Time`) or microseconds (`metav1.MicroTime`); ages follow
//! `k8s.io/apimachinery/pkg/util/duration`; durations are printed as Go prints them.

use super::time::{self, Calendar};
use super::value::Text;
use crate::sim::{Duration, Time};

/// Reads RFC 3339, with any offset and fraction, as microseconds since 1970. `None` if it is none.
pub fn parse_unix_micros(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits
            .iter()
            .try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, expected)| bytes.get(*at) != Some(expected)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if matches!(bytes.get(at), Some(b'.' | b',')) {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        for place in 0..6 {
            let digit = if place < digits { bytes[at + 1 + place] - b'0' } else { 0 };
            micros = micros * 10 + i64::from(digit);
        }
        at += 1 + digits;
    }
    let offset_seconds = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && bytes[at + 3] == b':' => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let seconds = time::unix_s(Calendar { year, month, day, hour, minute, second });
    Some((seconds - offset_seconds) * 1_000_000 + micros)
}

/// The simulated instant of an RFC 3339 text; the run's beginning for anything earlier.
pub fn parse(text: &str) -> Option<Time> {
    let micros = parse_unix_micros(text)? - time::EPOCH_S * 1_000_000;
    Some(Time(u64::try_from(micros).unwrap_or(0)))
}

/// How `metav1.Time` (or, with `micro`, `MicroTime`) prints a text that it has read: in UTC, cut to its
/// precision.
pub fn normalize(text: &str, micro: bool) -> Option<Text> {
    let micros = parse_unix_micros(text)?;
    Some(if micro { time::micro_time_of(micros) } else { time::rfc3339_of(micros.div_euclid(1_000_000)) })
}

/// Whether a text is as [`normalize`] gives it: most are, and need not be written anew to see it.
pub fn is_normal(text: &str, micro: bool) -> bool {
    let is_cut =
        if micro { text.len() == 27 && text.as_bytes().get(19) == Some(&b'.') } else { text.len() == 20 };
    is_cut && text.ends_with('Z') && parse_unix_micros(text).is_some()
}

/// kubectl's age in two or three figures: `5s`, `2m15s`, `3h12m`, `2d4h`, `1y40d`. `seconds` may be negative:
/// a clock ahead by one second is now, more is `<invalid>`.
pub fn human_duration(seconds: i64) -> String {
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small}{small_unit}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(hours / 24, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        _ if hours < 24 * 365 * 8 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// The age at `now` of what has this timestamp; `<unknown>` without one, as kubectl prints it.
pub fn age(timestamp: &str, now: Time) -> String {
    match parse_unix_micros(timestamp) {
        Some(micros) => human_duration((time::unix_us(now) - micros).div_euclid(1_000_000)),
        None => "<unknown>".to_owned(),
    }
}

/// A duration as Go prints it: `1m30s`, `250ms`, `1.5s`, `0s`.
pub fn go_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let decimal = |value: u64, unit: u64, name: &str| {
        let fraction = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        match fraction.trim_end_matches('0') {
            "" => format!("{}{name}", value / unit),
            digits => format!("{}.{digits}{name}", value / unit),
        }
    };
    match micros {
        0 => "0s".to_owned(),
        1..1000 => format!("{micros}µs"),
        1000..1_000_000 => decimal(micros, 1000, "ms"),
        _ => {
            let (hours, minutes) = (micros / 3_600_000_000, micros / 60_000_000 % 60);
            let seconds = decimal(micros % 60_000_000, 1_000_000, "s");
            match (hours, minutes) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// Reads a duration as Go writes it (`300ms`, `1h30m`, `-1.5h`), in microseconds. `None` if it is none.
pub fn parse_go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, tail) = rest.split_at(digits_end);
        let (fraction, tail) = match tail.strip_prefix('.') {
            Some(tail) => tail.split_at(tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())),
            None => ("", tail),
        };
        if whole.is_empty() && fraction.is_empty() || whole.len() > 18 {
            return None;
        }
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let mut place = scale;
        nanos += if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? } * scale;
        for digit in fraction.bytes().take(18) {
            place /= 10;
            nanos += i128::from(digit - b'0') * place;
        }
        rest = tail;
    }
    if nanos > i128::from(i64::MAX) {
        return None;
    }
    let micros = i64::try_from(nanos / 1000).ok()?;
    Some(if negative { -micros } else { micros })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_dates_and_dates_instants() {
        assert_eq!(time::rfc3339(Time::ZERO), "2026-01-01T08:00:00Z");
        assert_eq!(time::rfc3339_of(-62_135_596_799), "0001-01-01T00:00:01Z");
        assert_eq!(time::micro_time(Time(90_000_250)), "2026-01-01T08:01:30.000250Z");
        assert_eq!(parse("2026-01-01T08:01:30.00025Z"), Some(Time(90_000_250)));
        assert_eq!(parse("2026-01-01T10:00:01+02:00"), Some(Time(1_000_000)));
        assert_eq!(parse("1999-01-01T00:00:00Z"), Some(Time::ZERO));
        for (year, month, day) in [(1970, 1, 1), (2000, 2, 29), (2026, 12, 31), (1, 1, 1), (2100, 3, 1)] {
            let date = Calendar { year, month, day, hour: 1, minute: 2, second: 3 };
            assert_eq!(time::calendar(time::unix_s(date)), date);
        }
        for text in [
            "",
            "2026-06-01",
            "2026-06-01T08:00:00",
            "2026-02-30T00:00:00Z",
            "2026-06-01T24:00:00Z",
            "2026-06-01T08:00:00.Z",
            "2026-06-01T08:00:00+2",
            "２026-06-01T08:00:00Z",
            "2026-06-01T08:00:00Zz",
        ] {
            assert_eq!(parse_unix_micros(text), None, "{text}");
        }
        for (text, micro, normal) in [
            ("2026-06-01T10:00:01.5+02:00", false, "2026-06-01T08:00:01Z"),
            ("2026-06-01T10:00:01.5+02:00", true, "2026-06-01T08:00:01.500000Z"),
            ("2026-06-01T10:00:01,500000Z", true, "2026-06-01T10:00:01.500000Z"),
            ("2026-06-01T10:00:01.Z", false, ""),
            ("2026-06-01T10:00:01Z", false, "2026-06-01T10:00:01Z"),
            ("2026-06-01T10:00:01.000250Z", true, "2026-06-01T10:00:01.000250Z"),
        ] {
            assert_eq!(normalize(text, micro).as_deref().unwrap_or(""), normal, "{text}");
            assert_eq!(is_normal(text, micro), text == normal, "{text}");
        }
    }

    #[test]
    fn ages_read_as_in_kubectl() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (600, "10m"),
            (10_800, "3h"),
            (11_520, "3h12m"),
            (8 * 3600, "8h"),
            (48 * 3600, "2d"),
            (52 * 3600, "2d4h"),
            (8 * 86_400, "8d"),
            (800 * 86_400, "2y70d"),
            (4000 * 86_400, "10y"),
        ] {
            assert_eq!(human_duration(seconds), expected);
        }
        assert_eq!(age("2026-01-01T08:00:00Z", Time::from_secs(42)), "42s");
        assert_eq!(age("", Time::ZERO), "<unknown>");
    }

    #[test]
    fn go_durations() {
        for (micros, text) in [
            (0, "0s"),
            (250_000, "250ms"),
            (1_500_000, "1.5s"),
            (90_000_000, "1m30s"),
            (3_600_000_000, "1h0m0s"),
            (15, "15µs"),
            (1_250, "1.25ms"),
        ] {
            assert_eq!(go_duration(Duration(micros)), text);
            assert_eq!(parse_go_duration(text), Some(micros as i64));
        }
        for text in ["", "5", "1x", "s", ".s", "1h-5m", "99999999999999999999s"] {
            assert_eq!(parse_go_duration(text), None, "{text}");
        }
    }
}
