//! Amounts of cpu, memory and whatever else is counted: `250m`, `1Gi`, `1.5`.
//!
//! Picture to hold in mind: a shop's till that counts in the smallest coin there is. Every price is turned into
//! coins (thousand-millionths) when it comes in, sums are sums of whole coins, and only the printed
//! receipt groups them again into the largest unit that divides evenly.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource`: amounts are exact, parts of a nano are rounded away from zero.

use std::cmp::Ordering;
use std::fmt;

use super::value::{Text, Value};

/// How an amount prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// `12M`
    DecimalSi,
    /// `12Mi`
    BinarySi,
    /// `12e6`
    DecimalExponent,
}

/// An exact amount: whole nano-units. Compares by amount alone, whatever the format.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no amount; prints upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityError {
    Format,
    Numeric,
    Suffix,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            QuantityError::Format => {
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            }
            QuantityError::Numeric => "unable to parse numeric part of quantity",
            QuantityError::Suffix => "unable to parse quantity's suffix",
        })
    }
}

const NANO: i128 = 1_000_000_000;
const MILLI: i128 = 1_000_000;
/// Upstream caps binary amounts at the largest 64-bit integer.
const MAX_BINARY: i128 = (i64::MAX as i128) * NANO;
const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: [(&str, i32); 6] =
    [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// The parts of an amount's text.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

/// The scanner of upstream's `parseQuantityString`, with its leniencies (`.`, `-`, `1.`).
fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let bytes = text.as_bytes();
    let skip = |from: usize, fits: fn(u8) -> bool| -> usize {
        bytes[from..].iter().position(|byte| !fits(*byte)).map_or(bytes.len(), |count| from + count)
    };
    let digit: fn(u8) -> bool = |byte| byte.is_ascii_digit();
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let significant = skip(start, |byte| byte == b'0');
    let whole_end = skip(significant, digit);
    let whole = if whole_end == significant { "0" } else { &text[significant..whole_end] };
    let mut end = whole_end;
    let mut fraction = "";
    if bytes.get(end) == Some(&b'.') {
        end = skip(whole_end + 1, digit);
        fraction = &text[whole_end + 1..end];
    }
    let mut suffix_end = skip(end, |byte| b"eEinumkKMGTP".contains(&byte));
    if matches!(bytes.get(suffix_end), Some(b'-' | b'+')) {
        suffix_end += 1;
    }
    if skip(suffix_end, digit) != bytes.len() {
        return Err(QuantityError::Format);
    }
    Ok(Parts { negative, whole, fraction, suffix: &text[end..] })
}

/// `(base, exponent, format)` of a suffix.
fn interpret(suffix: &str) -> Result<(i32, i32, Format), QuantityError> {
    if let Some((_, exponent)) = DECIMAL_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Ok((10, *exponent, Format::DecimalSi));
    }
    if let Some((_, exponent)) = BINARY_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Ok((2, *exponent, Format::BinarySi));
    }
    match suffix.strip_prefix(['e', 'E']).map(str::parse::<i64>) {
        Some(Ok(exponent)) => Ok((10, exponent.clamp(-1000, 1000) as i32, Format::DecimalExponent)),
        _ => Err(QuantityError::Suffix),
    }
}

impl Quantity {
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::DecimalSi };

    pub const fn from_units(units: i64, format: Format) -> Quantity {
        Quantity { nanos: units as i128 * NANO, format }
    }
    pub const fn from_millis(millis: i64, format: Format) -> Quantity {
        Quantity { nanos: millis as i128 * MILLI, format }
    }

    /// Reads an amount; the errors are upstream's.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let parts = split(text)?;
        let (base, exponent, mut format) = interpret(parts.suffix)?;
        let mut amount: i128 = 0;
        for digit in parts.whole.bytes().chain(parts.fraction.bytes()) {
            amount = amount.saturating_mul(10).saturating_add(i128::from(digit - b'0'));
        }
        let mut scale = 9 - i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX);
        if base == 10 {
            scale = scale.saturating_add(exponent);
        } else {
            amount = amount.saturating_mul(1 << exponent);
        }
        if scale >= 0 {
            let power = 10i128.checked_pow(scale.unsigned_abs()).unwrap_or(i128::MAX);
            amount = amount.saturating_mul(power);
        } else {
            let power = 10i128.checked_pow(scale.unsigned_abs()).unwrap_or(i128::MAX);
            let rest = amount % power;
            amount = amount / power + i128::from(rest != 0);
        }
        if format == Format::BinarySi {
            amount = amount.min(MAX_BINARY);
            if amount > 0 && amount < NANO {
                format = Format::DecimalSi;
            }
        }
        Ok(Quantity { nanos: if parts.negative { -amount } else { amount }, format })
    }
    /// Reads a field: a string or a bare number. `None` if it is absent or no amount.
    pub fn from_value(value: &Value) -> Option<Quantity> {
        match value {
            Value::String(text) => Quantity::parse(text.trim()).ok(),
            Value::Integer(units) => Some(Quantity::from_units(*units, Format::DecimalSi)),
            Value::Float(_) => Quantity::parse(&value.to_string()).ok(),
            _ => None,
        }
    }
    /// What is stored when `text` is written: the canonical form, except that upstream keeps texts that its
    /// fast path takes for canonical (`1.500`, `+5`, `1E3`).
    pub fn normalize(text: &str) -> Result<Text, QuantityError> {
        let quantity = Quantity::parse(text)?;
        if text == "0" {
            return Ok(Text::from(text));
        }
        let parts = split(text)?;
        let (_, exponent, format) = interpret(parts.suffix)?;
        let digits = parts.whole.len() + parts.fraction.len();
        let kept = match format {
            Format::BinarySi => {
                let precision = 15 - digits as i32 - exponent * 3 / 10 - 1;
                let odd = parts.whole.bytes().next_back().is_some()
                    && parts.whole.parse::<u64>().is_ok_and(|value| value & 7 != 0);
                parts.fraction.is_empty() && precision >= 0 && odd
            }
            _ => {
                let scale = exponent - parts.fraction.len() as i32;
                let shifted = format!("{}{}", parts.whole, parts.fraction);
                digits <= 18
                    && scale >= -9
                    && scale % 3 == 0
                    && !shifted.ends_with("000")
                    && !shifted.starts_with('0')
            }
        };
        Ok(if kept { Text::from(text) } else { Text::from(quantity.to_string()) })
    }

    pub const fn format(&self) -> Format {
        self.format
    }
    pub const fn is_zero(&self) -> bool {
        self.nanos == 0
    }
    /// -1, 0 or 1.
    pub const fn sign(&self) -> i32 {
        self.nanos.signum() as i32
    }
    pub const fn nanos(&self) -> i128 {
        self.nanos
    }
    fn ceil(&self, unit: i128) -> i128 {
        self.nanos.div_euclid(unit) + i128::from(self.nanos.rem_euclid(unit) != 0)
    }
    /// Whole units, rounded up, capped to 64 bits: upstream's `Value()`.
    pub fn value(&self) -> i64 {
        clamp(self.ceil(NANO))
    }
    /// Thousandths, rounded up, capped to 64 bits: upstream's `MilliValue()`.
    pub fn milli_value(&self) -> i64 {
        clamp(self.ceil(MILLI))
    }
    /// The amount rounded away from zero to whole milli-units, as resource lists are when they are defaulted.
    pub fn round_up_to_milli(&self) -> Quantity {
        let magnitude = Quantity { nanos: self.nanos.abs(), format: self.format }.ceil(MILLI) * MILLI;
        Quantity { nanos: magnitude * self.nanos.signum(), format: self.format }
    }
    /// Nothing is lost by printing whole units.
    pub const fn is_integer(&self) -> bool {
        self.nanos % NANO == 0
    }

    #[must_use]
    pub fn negated(self) -> Quantity {
        Quantity { nanos: -self.nanos, format: self.format }
    }
    #[must_use]
    pub fn scaled(self, factor: i64) -> Quantity {
        Quantity { nanos: self.nanos.saturating_mul(i128::from(factor)), format: self.format }
    }
    #[must_use]
    pub fn with_format(self, format: Format) -> Quantity {
        Quantity { nanos: self.nanos, format }
    }
}

fn clamp(amount: i128) -> i64 {
    amount.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

impl std::ops::Add for Quantity {
    type Output = Quantity;
    /// The sum; its format is the left side's unless that is zero.
    fn add(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        Quantity { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}
impl std::ops::Sub for Quantity {
    type Output = Quantity;
    #[allow(clippy::suspicious_arithmetic_impl)]
    fn sub(self, other: Quantity) -> Quantity {
        self + other.negated()
    }
}
impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: the largest suffix that needs no fraction.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if self.nanos == 0 {
            return formatter.write_str("0");
        }
        if self.format == Format::BinarySi && self.nanos.abs() >= 1024 * NANO && self.is_integer() {
            let mut units = self.nanos / NANO;
            let mut suffix = "";
            for (name, _) in BINARY_SUFFIXES {
                if units % 1024 != 0 {
                    break;
                }
                units /= 1024;
                suffix = name;
            }
            return write!(formatter, "{units}{suffix}");
        }
        let (mut amount, mut exponent) = (self.nanos, -9);
        while amount % 1000 == 0 && (exponent < 18 || self.format == Format::DecimalExponent) {
            amount /= 1000;
            exponent += 3;
        }
        if self.format == Format::DecimalExponent {
            return match exponent {
                0 => write!(formatter, "{amount}"),
                _ => write!(formatter, "{amount}e{exponent}"),
            };
        }
        let suffix =
            DECIMAL_SUFFIXES.iter().find(|(_, power)| *power == exponent).map_or("", |(name, _)| name);
        write!(formatter, "{amount}{suffix}")
    }
}

impl From<Quantity> for Value {
    fn from(quantity: Quantity) -> Value {
        Value::from(quantity.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_and_printed_canonically() {
        // (text, canonical, milli value)
        for (text, canonical, millis) in [
            ("0", "0", 0),
            ("100m", "100m", 100),
            ("0.5", "500m", 500),
            ("1000m", "1", 1000),
            ("1.5", "1500m", 1500),
            ("1Gi", "1Gi", 1_073_741_824_000),
            ("1024Mi", "1Gi", 1_073_741_824_000),
            ("1.5Gi", "1536Mi", 1_610_612_736_000),
            ("512", "512", 512_000),
            ("0.1Ki", "102400m", 102_400),
            ("512Ki", "512Ki", 524_288_000),
            ("1e3", "1e3", 1_000_000),
            ("12E6", "12e6", 12_000_000_000),
            ("1E", "1E", i64::MAX),
            ("1000k", "1M", 1_000_000_000),
            ("-1", "-1", -1000),
            ("1n", "1n", 1),
            ("0.1n", "1n", 1),
            ("-0.1n", "-1n", 0),
            ("16Ei", "9223372036854775807", i64::MAX),
            (".5", "500m", 500),
            ("5.", "5", 5000),
            ("-", "0", 0),
            ("+5", "5", 5000),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!(quantity.to_string(), canonical, "{text}");
            assert_eq!(quantity.milli_value(), millis, "{text}");
            assert_eq!(Quantity::parse(canonical).unwrap(), quantity);
        }
    }

    #[test]
    fn what_is_no_amount_says_why() {
        for (text, error) in [
            ("", QuantityError::Format),
            ("lots", QuantityError::Format),
            ("1 Gi", QuantityError::Format),
            ("1Gib", QuantityError::Format),
            ("--1", QuantityError::Suffix),
            ("1.2.3", QuantityError::Format),
            ("1GiB", QuantityError::Format),
            ("1mm", QuantityError::Suffix),
            ("1K", QuantityError::Suffix),
            ("1e", QuantityError::Suffix),
            ("1é", QuantityError::Format),
        ] {
            assert_eq!(Quantity::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_stored_when_a_text_is_written() {
        for (text, stored) in [
            ("1.500", "1.500"),
            ("1.5", "1500m"),
            ("1000m", "1"),
            ("+5", "+5"),
            ("1E3", "1E3"),
            ("1000Ki", "1000Ki"),
            ("1024Ki", "1Mi"),
            ("3Ki", "3Ki"),
            ("0Gi", "0"),
        ] {
            assert_eq!(Quantity::normalize(text).unwrap(), stored, "{text}");
        }
    }

    #[test]
    fn sums_keep_the_format_that_says_more() {
        let parse = |text| Quantity::parse(text).unwrap();
        assert_eq!((Quantity::ZERO + parse("1Gi")).to_string(), "1Gi");
        assert_eq!((parse("1Gi") + parse("512Mi") - parse("1Mi")).to_string(), "1535Mi");
        assert_eq!((parse("250m") + parse("1")).to_string(), "1250m");
        assert!(parse("1000Mi") < parse("1Gi") && parse("1") == parse("1000m"));
        assert_eq!(parse("1.0001").round_up_to_milli().to_string(), "1001m");
        assert_eq!(parse("100u").value(), 1);
    }
}
