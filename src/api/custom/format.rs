//! The formats that texts of custom resources may be asked to have.
//!
//! Picture to hold in mind: a box of stencils. Formats that no stencil is in the box for are not checked.
//!
//! Follows apiextensions-apiserver `pkg/apiserver/validation/formats.go` and `k8s.io/kube-openapi/pkg/validation/strfmt`.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::api::regex::Regex;
use crate::api::time_format;
use crate::api::validation::format as names;
use crate::arrange::Gather;

const KNOWN: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Go's registry looks formats up without their dashes.
fn normalized(format: &str) -> String {
    format.replace('-', "")
}

pub fn is_known(format: &str) -> bool {
    KNOWN.contains(&normalized(format).as_str())
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::go(pattern).is_ok_and(|regex| regex.is_match(&text.chars().collect::<Vec<char>>()))
}

fn is_mac(text: &str) -> bool {
    ["^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2})+$", "^[0-9a-fA-F]{2}(-[0-9a-fA-F]{2})+$"]
        .iter()
        .any(|pattern| matches(pattern, text) && [17, 23, 59].contains(&text.len()))
        || (matches("^[0-9a-fA-F]{4}(\\.[0-9a-fA-F]{4})+$", text) && [14, 19, 49].contains(&text.len()))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(bits) = bits.parse::<u8>() else { return false };
    (address.parse::<Ipv4Addr>().is_ok() && bits <= 32)
        || (address.parse::<Ipv6Addr>().is_ok() && bits <= 128)
}

/// The digits of an ISBN, with X for ten at the end of a short one.
fn is_isbn(text: &str, long: bool) -> bool {
    let signs: Vec<char> = text.chars().filter(|c| !matches!(c, '-' | ' ')).gather();
    let digit = |c: &char| match c {
        'X' if !long => Some(10),
        c => c.to_digit(10),
    };
    let digits: Option<Vec<u32>> = signs.iter().map(digit).collect();
    let Some(digits) = digits.filter(|digits| digits.len() == if long { 13 } else { 10 }) else {
        return false;
    };
    if long {
        let sum: u32 =
            digits.iter().enumerate().map(|(at, digit)| digit * if at % 2 == 0 { 1 } else { 3 }).sum();
        return sum.is_multiple_of(10);
    }
    digits[..9].iter().all(|digit| *digit < 10)
        && digits
            .iter()
            .enumerate()
            .map(|(at, digit)| digit * (10 - at as u32))
            .sum::<u32>()
            .is_multiple_of(11)
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() - body.len() <= 2
        && text.len().is_multiple_of(4)
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && time_format::parse_unix_micros(&format!("{text}T00:00:00Z")).is_some()
}

fn is_time(text: &str) -> bool {
    time_format::parse_unix_micros(text).is_some()
}

/// Go's durations, and words of Scala's: `22 ns`, `3 days`.
fn is_duration(text: &str) -> bool {
    const UNITS: &str = "(ns|nano|nanos|nanosecond|nanoseconds|us|µs|micro|micros|microsecond|microseconds|ms|milli|millis|millisecond|milliseconds|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hrs|hour|hours|d|day|days|w|wk|wks|week|weeks)";
    time_format::parse_go_duration(text).is_some()
        || matches(&format!("^\\s*[+-]?\\d+(\\.\\d+)?\\s*{UNITS}\\s*$"), text)
}

/// Whether a text has a known format.
pub fn fits(format: &str, text: &str) -> bool {
    let uuid = |third: &str, fourth: &str| {
        let pattern = format!("(?i)^[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{third}-?{fourth}-?[0-9a-f]{{12}}$");
        matches(&pattern, text)
    };
    match normalized(format).as_str() {
        "bsonobjectid" => matches("^[0-9a-fA-F]{24}$", text),
        "uri" => text.starts_with('/') || matches("^[a-zA-Z][a-zA-Z0-9+.-]*:[^\\s]+$", text),
        "email" => {
            matches("^[^@\\s<>]+@[^@\\s<>]+$", text) || matches("^[^<>@]*<[^@\\s<>]+@[^@\\s<>]+>$", text)
        }
        "hostname" => {
            text.len() <= 255
                && matches(
                    "^([a-zA-Z0-9_]|[a-zA-Z0-9_][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])(\\.([a-zA-Z0-9_]|[a-zA-Z0-9_][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_]))*\\.?$",
                    text,
                )
        }
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => uuid("[0-9a-f]{4}", "[0-9a-f]{4}"),
        "uuid3" => uuid("3[0-9a-f]{3}", "[0-9a-f]{4}"),
        "uuid4" => uuid("4[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
        "uuid5" => uuid("5[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
        "isbn" => is_isbn(text, false) || is_isbn(text, true),
        "isbn10" => is_isbn(text, false),
        "isbn13" => is_isbn(text, true),
        "creditcard" => {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            matches(
                "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
                &digits,
            )
        }
        "ssn" => matches("^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$", text),
        "hexcolor" => matches("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$", text),
        "rgbcolor" => {
            let part = "\\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\\s*";
            matches(&format!("^rgb\\({part},{part},{part}\\)$"), text)
        }
        "byte" => is_base64(text),
        "date" => is_date(text),
        "duration" => is_duration(text),
        "datetime" => is_time(text),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_formats() {
        for (format, good, bad) in [
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "fd00::1", "fd00:::1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "02:00:5e:10:00:00", "02:00:5e:10:00"),
            ("uuid", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-58cc-4372-a567"),
            ("uuid4", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-58cc-3372-a567-0e02b2c3d479"),
            ("date", "2026-01-31", "2026-02-30"),
            ("date-time", "2026-01-31T10:00:00Z", "2026-01-31 10:00"),
            ("duration", "1h30m", "soon"),
            ("duration", "22 ns", "22 lightyears"),
            ("email", "a@example.com", "a.example.com"),
            ("hostname", "web-1.example.com", "web 1"),
            ("uri", "https://example.com/a", "example"),
            ("byte", "YWJj", "YWJ"),
            ("isbn10", "0321751043", "0321751044"),
            ("isbn13", "978-0321751041", "978-0321751042"),
            ("hexcolor", "#a0b1c2", "#a0b1c"),
            ("rgbcolor", "rgb(255, 0, 12)", "rgb(256,0,0)"),
            ("ssn", "111-11-1111", "111-11-111"),
            ("k8s-short-name", "web", "Web"),
        ] {
            assert!(is_known(format), "{format}");
            assert!(fits(format, good), "{format}: {good}");
            assert!(!fits(format, bad), "{format}: {bad}");
        }
        assert!(!is_known("colour"));
    }
}
