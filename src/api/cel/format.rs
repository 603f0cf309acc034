//! `'%s has %d'.format([a, b])`.
//!
//! Picture to hold in mind: a form letter with blanks, each saying how it wants to be filled in.
//!
//! Follows cel-go's `ext/formatting.go` (version 2 of its library of texts), in American English. Fixed and scientific
//! numbers are rounded from their shortest digits.

use super::evaluate::{Evaluator, failure};
use super::functions::print;
use super::{Cel, Failure};
use crate::api::field::go_quote;
use crate::api::float::Decimal;
use crate::api::value::Value;
use crate::arrange::Arrange;

const PRECISION: usize = 6;

pub fn format(evaluator: &mut Evaluator, text: &str, list: &Cel) -> Result<Cel, Failure> {
    let (mut out, mut index) = (String::new(), 0);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        if characters.peek() == Some(&'%') {
            characters.next();
            out.push('%');
            continue;
        }
        let Some(item) = list.item(index) else {
            return Err(failure(&["index ", &index.to_string(), " out of range"]));
        };
        index += 1;
        let mut precision = PRECISION;
        if characters.peek() == Some(&'.') {
            characters.next();
            precision = 0;
            while let Some(digit) = characters.peek().and_then(|c| c.to_digit(10)) {
                characters.next();
                precision = precision.saturating_mul(10).saturating_add(digit as usize);
            }
        }
        let Some(clause) = characters.next() else { return Err(failure(&["unexpected end of string"])) };
        evaluator.spend(precision)?;
        let filled = fill(evaluator, clause, precision, &item)?;
        evaluator.spend(filled.len() / 8 + 1)?;
        out.push_str(&filled);
    }
    Ok(out.into())
}

fn fill(evaluator: &mut Evaluator, clause: char, precision: usize, item: &Cel) -> Result<String, Failure> {
    let fail = |what: &str| {
        let kind = item.type_name();
        failure(&["error during formatting: ", what, ", was given ", kind])
    };
    let whole = match item {
        Cel::Value(Value::Integer(number)) => Some((*number < 0, number.unsigned_abs())),
        Cel::Uint(number) => Some((false, *number)),
        _ => None,
    };
    let in_base = |base: u64, letters: &[u8; 16]| {
        let (is_negative, mut number) = whole?;
        let mut digits = Vec::new();
        while digits.is_empty() || number > 0 {
            digits.push(letters[(number % base) as usize]);
            number /= base;
        }
        digits.extend(is_negative.then_some(b'-'));
        Some(digits.iter().rev().map(|digit| char::from(*digit)).collect::<String>())
    };
    let lower = b"0123456789abcdef";
    let (filled, wrong) = match clause {
        's' => {
            return shown(evaluator, item, false, 0)?.ok_or_else(|| {
                fail("string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps")
            });
        }
        'd' => (in_base(10, lower), "decimal clause can only be used on integers"),
        'f' => (fixed(item, precision), "fixed-point clause can only be used on doubles"),
        'e' => (scientific(item, precision), "scientific clause can only be used on doubles"),
        'b' => {
            let bit = item.as_bool().map(|is| if is { "1" } else { "0" }.to_owned());
            (bit.or_else(|| in_base(2, lower)), "only integers and bools can be formatted as binary")
        }
        'o' => (in_base(8, lower), "octal clause can only be used on integers"),
        'x' | 'X' => {
            let letters = if clause == 'x' { lower } else { b"0123456789ABCDEF" };
            let bytes = match item {
                Cel::Bytes(bytes) => Some(bytes.as_slice()),
                other => other.as_str().map(str::as_bytes),
            };
            let pairs = bytes.map(|bytes| {
                bytes
                    .iter()
                    .flat_map(|byte| [byte >> 4, byte & 15])
                    .map(|half| char::from(letters[usize::from(half)]))
                    .collect()
            });
            (
                pairs.or_else(|| in_base(16, letters)),
                "only integers, byte buffers, and strings can be formatted as hex",
            )
        }
        other => {
            let clause = other.to_string();
            return Err(failure(&[
                "could not parse formatting clause: unrecognized formatting clause \"",
                &clause,
                "\"",
            ]));
        }
    };
    filled.ok_or_else(|| fail(wrong))
}

/// As `%s` writes it; `is_inner` within a list or a map.
fn shown(
    evaluator: &mut Evaluator,
    item: &Cel,
    is_inner: bool,
    depth: usize,
) -> Result<Option<String>, Failure> {
    evaluator.spend(1)?;
    if depth > 40 {
        return Ok(None);
    }
    if item.is_list() || item.is_map() {
        let mut parts = Vec::new();
        for (index, key) in item.items().unwrap_or_default().iter().enumerate() {
            let Some(mut part) = shown(evaluator, key, true, depth + 1)? else { return Ok(None) };
            if item.is_map() {
                evaluator.spend(index / 16)?;
                let value = evaluator.entry_at(item, index);
                let Some(value) = shown(evaluator, &value, true, depth + 1)? else { return Ok(None) };
                part = [&part, ":", &value].concat();
            }
            evaluator.spend(part.len() / 8)?;
            parts.push(part);
        }
        if item.is_map() {
            parts.arrange();
            return Ok(Some(["{", &parts.join(", "), "}"].concat()));
        }
        return Ok(Some(["[", &parts.join(", "), "]"].concat()));
    }
    Ok(match item {
        Cel::Value(Value::Null) => Some("null".to_owned()),
        Cel::Type(name) => Some((*name).to_owned()),
        Cel::Value(Value::Float(_)) if is_inner => fixed(item, PRECISION).map(|text| text.replace(',', "")),
        Cel::Value(Value::String(text)) if is_inner => Some(go_quote(text)),
        Cel::Timestamp(_) if is_inner => print(item).map(|text| ["timestamp(\"", &text, "\")"].concat()),
        Cel::Duration(_) if is_inner => print(item).map(|text| ["duration(\"", &text, "\")"].concat()),
        Cel::Bytes(_) if is_inner => print(item).map(|text| ["b", &go_quote(&text)].concat()),
        Cel::Quantity(_) | Cel::Opaque(_) => None,
        other => print(other),
    })
}

fn decimal(item: &Cel) -> Option<Decimal> {
    match item {
        Cel::Value(Value::Float(number)) => Some(Decimal::of(*number)),
        _ => None,
    }
}

fn fixed(item: &Cel, precision: usize) -> Option<String> {
    let text = decimal(item)?.fixed(precision);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    Some(out)
}

/// `1.234560 × 10³`, with narrow spaces.
fn scientific(item: &Cel, precision: usize) -> Option<String> {
    let (mut text, power) = decimal(item)?.scientific(precision);
    text.push_str("\u{202f}\u{d7}\u{202f}10");
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    if power < 0 {
        text.push('⁻');
    }
    let number = power.unsigned_abs().to_string();
    text.extend(number.bytes().map(|digit| digits[usize::from(digit - b'0')]));
    Some(text)
}
