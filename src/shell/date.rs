//! The wall clock of the simulated machines, as `date` and `ls -l` show it.
//!
//! Picture to hold in mind: all clocks of the cluster were set to one instant when the run began, and none of
//! them drifts.

use crate::api::time::{calendar, rfc3339, unix_us, weekday};
use crate::sim::Time;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// `Jan  1 08:00`, as `ls -l` has it.
pub fn short(now: Time) -> String {
    format(now, "%b %e %H:%M")
}

/// The output of `date` with these arguments.
///
/// # Errors
/// In `date`'s words, where it is to set the clock: nobody may.
pub fn date(now: Time, arguments: &[String]) -> Result<String, String> {
    if let Some(word) = arguments.iter().find(|word| !word.starts_with(['+', '-'])) {
        return Err(format!("date: invalid date '{word}'"));
    }
    let mut text = match arguments.iter().find_map(|argument| argument.strip_prefix('+')) {
        Some(wanted) => format(now, wanted),
        None if arguments.iter().any(|word| word.starts_with("-I") || word.starts_with("--rfc-3339")) => {
            rfc3339(now).to_string()
        }
        None => format(now, "%a %b %e %H:%M:%S UTC %Y"),
    };
    text.push('\n');
    Ok(text)
}

/// `strftime` for the conversions that scripts use; others stay as they are. UTC.
pub fn format(now: Time, format: &str) -> String {
    let micros = unix_us(now);
    let seconds = micros.div_euclid(1_000_000);
    let date = calendar(seconds);
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match characters.next() {
            Some('Y') => text += &date.year.to_string(),
            Some('y') => text += &format!("{:02}", date.year.rem_euclid(100)),
            Some('m') => text += &format!("{:02}", date.month),
            Some('d') => text += &format!("{:02}", date.day),
            Some('e') => text += &format!("{:>2}", date.day),
            Some('H') => text += &format!("{:02}", date.hour),
            Some('M') => text += &format!("{:02}", date.minute),
            Some('S') => text += &format!("{:02}", date.second),
            Some('N') => text += &format!("{:06}000", micros.rem_euclid(1_000_000)),
            Some('s') => text += &seconds.to_string(),
            Some('F') => text += &format!("{:04}-{:02}-{:02}", date.year, date.month, date.day),
            Some('D') => {
                text += &format!("{:02}/{:02}/{:02}", date.month, date.day, date.year.rem_euclid(100));
            }
            Some('T') => text += &format!("{:02}:{:02}:{:02}", date.hour, date.minute, date.second),
            Some('R') => text += &format!("{:02}:{:02}", date.hour, date.minute),
            Some('b' | 'h') => text += MONTHS[(date.month - 1).rem_euclid(12) as usize],
            Some('a') => text += WEEKDAYS[weekday(seconds).rem_euclid(7) as usize],
            Some('Z') => text += "UTC",
            Some('z') => text += "+0000",
            Some('n') => text.push('\n'),
            Some('%') => text.push('%'),
            Some(other) => {
                text.push('%');
                text.push(other);
            }
            None => text.push('%'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_prints_as_in_a_shell() {
        let cases = [
            ("%a %b %e %H:%M:%S UTC %Y", "Thu Jan  1 08:00:01 UTC 2026"),
            ("%F %T.%N", "2026-01-01 08:00:01.500000000"),
            ("%s %% %q", "1767254401 % %q"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(format(Time(1_500_000), pattern), expected);
        }
    }
}
