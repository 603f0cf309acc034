//! Dates as `date` and `ls -l` print them, in simulated time.
//!
//! Picture to hold in mind: a desk calendar that somebody else turns.

use crate::api::time::{calendar, rfc3339, unix_us, weekday};
use crate::sim::Time;

pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
pub const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// `Jan  1 08:00`, as `ls -l` has it.
pub fn short(now: Time) -> String {
    let date = calendar(unix_us(now).div_euclid(1_000_000));
    let month = MONTHS[(date.month - 1) as usize % 12];
    format!("{month} {:>2} {:02}:{:02}", date.day, date.hour, date.minute)
}

/// The output of `date` with these arguments.
pub fn date(now: Time, arguments: &[String]) -> String {
    let seconds = unix_us(now).div_euclid(1_000_000);
    let date = calendar(seconds);
    let weekday = WEEKDAYS[weekday(seconds) as usize % 7];
    let month = MONTHS[(date.month - 1) as usize % 12];
    let Some(format) = arguments.iter().find_map(|argument| argument.strip_prefix('+')) else {
        if arguments.iter().any(|argument| argument.starts_with("-I") || argument.starts_with("--rfc-3339")) {
            return format!("{}\n", rfc3339(now));
        }
        return format!(
            "{weekday} {month} {:>2} {:02}:{:02}:{:02} UTC {}\n",
            date.day, date.hour, date.minute, date.second, date.year
        );
    };
    let mut result = String::new();
    let mut source = format.chars();
    while let Some(character) = source.next() {
        if character != '%' {
            result.push(character);
            continue;
        }
        match source.next() {
            Some('Y') => result += &date.year.to_string(),
            Some('y') => result += &format!("{:02}", date.year.rem_euclid(100)),
            Some('m') => result += &format!("{:02}", date.month),
            Some('d') => result += &format!("{:02}", date.day),
            Some('H') => result += &format!("{:02}", date.hour),
            Some('M') => result += &format!("{:02}", date.minute),
            Some('S') => result += &format!("{:02}", date.second),
            Some('s') => result += &seconds.to_string(),
            Some('N') => result += &format!("{:09}", unix_us(now).rem_euclid(1_000_000) * 1000),
            Some('D') => {
                result += &format!("{:02}/{:02}/{:02}", date.month, date.day, date.year.rem_euclid(100));
            }
            Some('R') => result += &format!("{:02}:{:02}", date.hour, date.minute),
            Some('F') => result += &format!("{}-{:02}-{:02}", date.year, date.month, date.day),
            Some('T') => result += &format!("{:02}:{:02}:{:02}", date.hour, date.minute, date.second),
            Some('a') => result += weekday,
            Some('b') => result += month,
            Some('Z') => result += "UTC",
            Some('%') => result.push('%'),
            Some(other) => {
                result.push('%');
                result.push(other);
            }
            None => result.push('%'),
        }
    }
    result + "\n"
}
