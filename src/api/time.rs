//! Instants as Kubernetes writes them: RFC 3339, in UTC.
//!
//! Picture to hold in mind: a calendar nailed to the ruler of simulated time at one fixed date. Nothing asks
//! the real clock; every run begins on the same morning.

use std::cell::RefCell;

use super::value::Text;
use crate::sim::Time;

/// When every run begins: 2026-01-01T08:00:00Z, in seconds since 1970.
pub const EPOCH_S: i64 = 1_767_254_400;

const DAY_S: i64 = 86_400;

thread_local! {
    /// The second that was written last, and how. Objects name few others; only memory is shared.
    static LAST: RefCell<(i64, Text)> = const { RefCell::new((0, Text::new())) };
}

/// Microseconds since 1970.
pub fn unix_us(time: Time) -> i64 {
    EPOCH_S * 1_000_000 + time.0 as i64
}

/// The simulated instant of a Unix time; `None` before the run began.
pub fn from_unix_us(unix_us: i64) -> Option<Time> {
    u64::try_from(unix_us - EPOCH_S * 1_000_000).ok().map(Time)
}

/// Whole seconds, as `metav1.Time`: `2026-01-01T08:00:05Z`.
pub fn rfc3339(time: Time) -> Text {
    rfc3339_of(unix_us(time).div_euclid(1_000_000))
}

/// The same, of seconds since 1970.
pub fn rfc3339_of(unix_s: i64) -> Text {
    LAST.with_borrow_mut(|last| {
        if last.1.is_empty() || last.0 != unix_s {
            let mut text = String::with_capacity(20);
            push_second(&mut text, unix_s);
            text.push('Z');
            *last = (unix_s, text.into());
        }
        last.1.clone()
    })
}

/// Up to the second, without zone: `2026-01-01T08:00:05`. Without `format!`: there are some in every object.
fn push_second(text: &mut String, unix_s: i64) {
    let Calendar { year, month, day, hour, minute, second } = calendar(unix_s);
    for (separator, number, digits) in
        [("", year, 4), ("-", month, 2), ("-", day, 2), ("T", hour, 2), (":", minute, 2), (":", second, 2)]
    {
        text.push_str(separator);
        push_digits(text, number, digits);
    }
}

/// A number that is not negative, with leading zeros.
fn push_digits(text: &mut String, number: i64, digits: u32) {
    if digits == 2 && number < 100 {
        let number = number as u8;
        text.push(char::from(b'0' + number / 10));
        return text.push(char::from(b'0' + number % 10));
    }
    let mut unit = 10_i64.pow(digits - 1);
    while number / 10 >= unit {
        unit *= 10;
    }
    while unit > 0 {
        text.push(char::from(b'0' + (number / unit % 10).unsigned_abs() as u8));
        unit /= 10;
    }
}

/// Microseconds, as `metav1.MicroTime`: `2026-01-01T08:00:05.000123Z`.
pub fn micro_time(time: Time) -> Text {
    micro_time_of(unix_us(time))
}

/// The same, of microseconds since 1970.
pub fn micro_time_of(us: i64) -> Text {
    let mut text = String::with_capacity(27);
    push_second(&mut text, us.div_euclid(1_000_000));
    text.push('.');
    push_digits(&mut text, us.rem_euclid(1_000_000), 6);
    text.push('Z');
    text.into()
}

/// A date taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
}

/// The date of an instant given in seconds since 1970.
pub fn calendar(unix_s: i64) -> Calendar {
    let (days, rest) = (unix_s.div_euclid(DAY_S), unix_s.rem_euclid(DAY_S));
    // Eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Calendar { year, month, day, hour: rest / 3600, minute: rest % 3600 / 60, second: rest % 60 }
}

/// The day of the week, Sunday is 0.
pub fn weekday(unix_s: i64) -> i64 {
    (unix_s.div_euclid(DAY_S) + 4).rem_euclid(7)
}

/// Seconds since 1970 of a date.
pub fn unix_s(date: Calendar) -> i64 {
    let year = date.year - i64::from(date.month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = if date.month > 2 { date.month - 3 } else { date.month + 9 };
    let day_of_year = (153 * month + 2) / 5 + date.day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    days * DAY_S + date.hour * 3600 + date.minute * 60 + date.second
}

/// Reads RFC 3339 with any offset and up to nanoseconds: microseconds since 1970.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let is = |index: usize, allowed: &[u8]| text.as_bytes().get(index).is_some_and(|b| allowed.contains(b));
    let separators = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let date = Calendar {
        year: number(0..4)?,
        month: number(5..7)?,
        day: number(8..10)?,
        hour: number(11..13)?,
        minute: number(14..16)?,
        second: number(17..19)?,
    };
    let in_range = (1..=12).contains(&date.month)
        && (1..=31).contains(&date.day)
        && date.hour < 24
        && date.minute < 60
        && date.second < 61;
    if !separators || !in_range {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut fraction_us = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        let six: String = after[..digits].chars().chain("000000".chars()).take(6).collect();
        fraction_us = six.parse::<i64>().ok()?;
        rest = &after[digits..];
    }
    let offset_s = match rest.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
            let seconds = (digit(h1)? * 10 + digit(h2)?) * 3600 + (digit(m1)? * 10 + digit(m2)?) * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    Some((unix_s(date) - offset_s) * 1_000_000 + fraction_us)
}

/// The simulated instant that a timestamp of an object names; `None` when it is no time of this run.
pub fn parse(text: &str) -> Option<Time> {
    from_unix_us(parse_rfc3339(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_begins_on_a_fixed_morning() {
        assert_eq!(rfc3339(Time::ZERO), "2026-01-01T08:00:00Z");
        assert_eq!(micro_time(Time(1_500_000)), "2026-01-01T08:00:01.500000Z");
    }

    #[test]
    fn dates_go_there_and_back() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:30:01Z", 951_827_401),
            ("2026-11-23T05:20:55Z", 1_795_411_255),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(parse_rfc3339(text), Some(unix * 1_000_000), "{text}");
            assert_eq!(rfc3339_of(unix), text);
        }
        assert_eq!(parse_rfc3339("2026-01-01T09:00:00.5+01:00"), Some(EPOCH_S * 1_000_000 + 500_000));
        for bad in [
            "",
            "2026",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }
}
