//! Cron schedules, as CronJobs write them.
//!
//! Picture to hold in mind: five combs laid over a calendar; a job is due where all of them have a gap.
//!
//! Follows `github.com/robfig/cron/v3` (parser.go), whose `ParseStandard` Kubernetes uses, with its error texts.

use super::time;

/// A parsed schedule. Bit *n* of a field is set when the value *n* is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    Fields {
        minutes: u64,
        hours: u64,
        days: u64,
        months: u64,
        weekdays: u64,
        /// `*` or `?` stood in days or weekdays: then both must match, otherwise one is enough.
        either_day_is_any: bool,
    },
    /// `@every 90s`: a constant delay.
    Every { seconds: i64 },
}

const DAY_S: i64 = 86_400;
/// Five years.
const SEARCHED_DAYS: i64 = 5 * 366;

struct Bounds {
    low: u64,
    high: u64,
    names: &'static [&'static str],
    /// The number of the first name.
    first_name: u64,
}

const MINUTES: Bounds = Bounds { low: 0, high: 59, names: &[], first_name: 0 };
const HOURS: Bounds = Bounds { low: 0, high: 23, names: &[], first_name: 0 };
const DAYS: Bounds = Bounds { low: 1, high: 31, names: &[], first_name: 0 };
const MONTHS: Bounds = Bounds {
    low: 1,
    high: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    first_name: 1,
};
const WEEKDAYS: Bounds =
    Bounds { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"], first_name: 0 };

impl Schedule {
    /// Reads a schedule; the error is the text that the API server puts into its refusal. A leading time zone
    /// (`TZ=...`) is skipped: which ones are allowed is for the caller to say.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let mut text = text;
        if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
            let Some((_, rest)) = text.split_once(' ') else {
                return Err(
                    "invalid schedule format: runtime error: slice bounds out of range [3:-1]".to_owned()
                );
            };
            text = rest.trim();
        }
        if text.starts_with('@') {
            return descriptor(text);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        let (minutes, _) = field(minutes, &MINUTES)?;
        let (hours, _) = field(hours, &HOURS)?;
        let (days, any_day) = field(days, &DAYS)?;
        let (months, _) = field(months, &MONTHS)?;
        let (weekdays, any_weekday) = field(weekdays, &WEEKDAYS)?;
        Ok(Schedule::Fields {
            minutes,
            hours,
            days,
            months,
            weekdays,
            either_day_is_any: any_day || any_weekday,
        })
    }

    /// The first second after `after_s` (since 1970, in UTC) that the schedule names; `None` if there is none
    /// within five years, such as 30 February.
    pub fn next(&self, after_s: i64) -> Option<i64> {
        let Schedule::Fields { minutes, hours, days, months, weekdays, either_day_is_any } = *self else {
            let Schedule::Every { seconds } = *self else { return None };
            return Some(after_s + seconds);
        };
        let has = |bits: u64, value: i64| bits & (1 << value) != 0;
        let first = (after_s.div_euclid(60) + 1) * 60;
        let midnight = first - first.rem_euclid(DAY_S);
        (0..SEARCHED_DAYS).map(|day| midnight + day * DAY_S).find_map(|day| {
            let date = time::calendar(day);
            let (by_date, by_weekday) = (has(days, date.day), has(weekdays, time::weekday(day)));
            let is_due = if either_day_is_any { by_date && by_weekday } else { by_date || by_weekday };
            if !is_due || !has(months, date.month) {
                return None;
            }
            let instants = (0..24).filter(|hour| has(hours, *hour)).flat_map(move |hour| {
                (0..60)
                    .filter(move |minute| has(minutes, *minute))
                    .map(move |minute| day + hour * 3600 + minute * 60)
            });
            instants.into_iter().find(|instant| *instant >= first)
        })
    }
}

fn descriptor(text: &str) -> Result<Schedule, String> {
    let plain = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(duration) = text.strip_prefix("@every ") else {
                return Err(format!("unrecognized descriptor: {text}"));
            };
            return match super::time_format::parse_go_duration(duration) {
                // Delays are rounded to whole seconds, one at least.
                Some(micros) => Ok(Schedule::Every { seconds: (micros / 1_000_000).max(1) }),
                None => Err(format!(
                    "failed to parse duration {text}: time: invalid duration {}",
                    super::field::go_quote(duration)
                )),
            };
        }
    };
    Schedule::parse(plain)
}

/// The bits of one field, and whether it says "any".
fn field(text: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let (mut bits, mut any) = (0, false);
    for expression in text.split(',').filter(|expression| !expression.is_empty()) {
        let (more, is_any) = range(expression, bounds)?;
        bits |= more;
        any |= is_any;
    }
    Ok((bits, any))
}

fn range(expression: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let parts: Vec<&str> = expression.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let star = matches!(ends[0], "*" | "?");
    let (start, mut end) = if star {
        (bounds.low, bounds.high)
    } else {
        let start = number_or_name(ends[0], bounds)?;
        match ends.len() {
            1 => (start, start),
            2 => (start, number_or_name(ends[1], bounds)?),
            _ => return Err(format!("too many hyphens: {expression}")),
        }
    };
    let step = match parts.len() {
        1 => 1,
        2 => {
            let step = number(parts[1])?;
            if ends.len() == 1 {
                end = bounds.high;
            }
            step
        }
        _ => return Err(format!("too many slashes: {expression}")),
    };
    let (low, high) = (bounds.low, bounds.high);
    if start < low {
        return Err(format!("beginning of range ({start}) below minimum ({low}): {expression}"));
    }
    if end > high {
        return Err(format!("end of range ({end}) above maximum ({high}): {expression}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {expression}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {expression}"));
    }
    let mut bits = 0;
    let mut value = start;
    while value <= end {
        bits |= 1 << value;
        value = value.saturating_add(step);
    }
    Ok((bits, star && step == 1))
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(index) => Ok(bounds.first_name + index as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let quoted = super::field::go_quote(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax"
        ));
    }
    match text.parse::<i64>() {
        Ok(value) if value < 0 => Err(format!("negative number ({value}) not allowed: {text}")),
        Ok(value) => Ok(value.unsigned_abs()),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {quoted}: value out of range"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_or_refused_in_upstreams_words() {
        for (text, expected) in [
            ("75 * * * *", "end of range (75) above maximum (59): 75"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("0 25 * * *", "end of range (25) above maximum (23): 25"),
            ("0 0 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
            ("@every day", "failed to parse duration @every day: time: invalid duration \"day\""),
            ("*/15 9-17 * jan,feb mon-fri", ""),
            ("@hourly", ""),
            ("@every 1m30s", ""),
        ] {
            assert_eq!(Schedule::parse(text).err().unwrap_or_default(), expected, "{text}");
        }
    }

    #[test]
    fn combs_have_their_teeth_where_they_should() {
        let Ok(Schedule::Fields { minutes, months, weekdays, either_day_is_any, .. }) =
            Schedule::parse("0,30 12 1 mar sun,6")
        else {
            panic!("a good schedule");
        };
        assert_eq!((minutes, months, weekdays), (1 | 1 << 30, 1 << 3, 1 | 1 << 6));
        assert!(!either_day_is_any);
    }

    #[test]
    fn the_next_time_comes_after_this_one() {
        let at = |text: &str| time::parse_rfc3339(text).unwrap_or_default() / 1_000_000;
        for (schedule, after, next) in [
            ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
            ("* * * * *", "2026-01-01T00:00:59Z", "2026-01-01T00:01:00Z"),
            ("*/15 3 * * *", "2026-01-01T03:45:00Z", "2026-01-02T03:00:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 12 * * mon", "2026-01-01T00:00:00Z", "2026-01-05T12:00:00Z"),
            ("0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("@every 90s", "2026-01-01T00:00:10Z", "2026-01-01T00:01:40Z"),
        ] {
            let found = Schedule::parse(schedule).ok().and_then(|schedule| schedule.next(at(after)));
            assert_eq!(found, Some(at(next)), "{schedule}");
        }
        assert_eq!(Schedule::parse("0 0 30 2 *").ok().and_then(|schedule| schedule.next(0)), None);
    }
}
