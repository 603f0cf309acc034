//! What a plain word means: a number, a boolean, nothing, or itself.
//!
//! Picture to hold in mind: a clerk who reads every word twice, once as a number and once as English, and is
//! known to hear "yes", "on" and "y" as consent.
//!
//! Follows resolve.go of go-yaml v2 (YAML 1.1), and Go's JSON encoding for what becomes of floats.

use crate::api::float::{Decimal, parse_float};
use crate::api::value::Value;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Integer(i64),
    /// Too large for a signed integer.
    Unsigned(u64),
    Float(f64),
    /// The text itself.
    Text,
}

impl Scalar {
    pub fn tag(&self) -> &'static str {
        match self {
            Scalar::Null => "!!null",
            Scalar::Bool(_) => "!!bool",
            Scalar::Integer(_) | Scalar::Unsigned(_) => "!!int",
            Scalar::Float(_) => "!!float",
            Scalar::Text => "!!str",
        }
    }
    /// As JSON carries it; `None` for what JSON cannot (`.inf`, `.nan`).
    pub fn value(&self, text: &str) -> Option<Value> {
        Some(match self {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => Value::Bool(*value),
            Scalar::Integer(value) => Value::Integer(*value),
            Scalar::Unsigned(value) => Value::Float(*value as f64),
            Scalar::Float(value) if !value.is_finite() => return None,
            // Printed without a point, so read back as an integer.
            Scalar::Float(value) if value.fract() == 0.0 && value.abs() < 9e18 => {
                Value::Integer(*value as i64)
            }
            Scalar::Float(value) => Value::Float(*value),
            Scalar::Text => Value::from(text),
        })
    }
}

/// The meaning of a plain scalar without a tag.
pub(super) fn resolve(text: &str) -> Scalar {
    let Some(first) = text.bytes().next() else { return Scalar::Null };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                Scalar::Bool(true)
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
                Scalar::Bool(false)
            }
            "~" | "null" | "Null" | "NULL" => Scalar::Null,
            _ => Scalar::Text,
        },
        b'.' => match text {
            ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" => Scalar::Float(f64::INFINITY),
            _ => float(text),
        },
        b'+' | b'-' | b'0'..=b'9' => match text {
            "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
            _ => number(text),
        },
        _ => Scalar::Text,
    }
}

fn number(text: &str) -> Scalar {
    let stripped;
    let plain = if text.contains('_') {
        stripped = text.replace('_', "");
        &stripped
    } else {
        text
    };
    let (negative, digits) = match plain.as_bytes().first() {
        Some(b'-') => (true, &plain[1..]),
        Some(b'+') => (false, &plain[1..]),
        _ => (false, plain),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, body) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    let is_number = !body.is_empty() && body.bytes().all(|byte| (byte as char).is_digit(radix));
    if is_number && let Ok(magnitude) = u64::from_str_radix(body, radix) {
        if negative {
            if magnitude <= i64::MIN.unsigned_abs() {
                return Scalar::Integer((magnitude as i64).wrapping_neg());
            }
        } else if let Ok(value) = i64::try_from(magnitude) {
            return Scalar::Integer(value);
        } else if !plain.starts_with('+') {
            // Go's unsigned parser takes no sign.
            return Scalar::Unsigned(magnitude);
        }
    }
    // `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
    let mantissa_end = digits.find(['e', 'E']).unwrap_or(digits.len());
    let (mantissa, exponent) = digits.split_at(mantissa_end);
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(a, b)| (a, Some(b)));
    let mantissa_fits = is_digits(whole)
        && fraction.is_none_or(is_digits)
        && (!whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty()));
    let exponent_fits = exponent.is_empty() || {
        let power = exponent[1..].strip_prefix(['-', '+']).unwrap_or(&exponent[1..]);
        !power.is_empty() && is_digits(power)
    };
    if mantissa_fits && exponent_fits { float(plain) } else { Scalar::Text }
}

/// What Go's `ParseFloat` makes of it; too large is no number.
fn float(text: &str) -> Scalar {
    parse_float(text).map_or(Scalar::Text, Scalar::Float)
}

/// A float as a map's key: Go's `FormatFloat(value, 'g', -1, 32)`.
pub(super) fn float_key(value: f64) -> String {
    let single = value as f32;
    special(single.into()).unwrap_or_else(|| Decimal::of(single).general())
}

/// A float as a value: Go's `FormatFloat(value, 'g', -1, 64)`.
pub(super) fn go_float(value: f64) -> String {
    special(value).unwrap_or_else(|| Decimal::of(value).general())
}

/// YAML's words for what has no digits.
fn special(value: f64) -> Option<String> {
    let word = match value {
        f64::INFINITY => ".inf",
        f64::NEG_INFINITY => "-.inf",
        _ if value.is_nan() => ".nan",
        _ => return None,
    };
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_as_a_key_has_the_fewest_digits_of_a_single() {
        let cases = [
            (0.0, "0"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (-2.5e-7, "-2.5e-07"),
            (123_456.0, "123456"),
            (1e21, "1e+21"),
            (16_777_217.0, "1.6777216e+07"),
            (3.402_823_466_385_288_6e38, "3.4028235e+38"),
            // Half way between two: Go takes the even one.
            (-30_619.562_5, "-30619.562"),
            (1e300, ".inf"),
            (f64::NEG_INFINITY, "-.inf"),
            (f64::NAN, ".nan"),
        ];
        for (value, expected) in cases {
            assert_eq!(float_key(value), expected, "{value}");
        }
    }
}
