//! Decimal numbers to floats, and back.
//!
//! Picture to hold in mind: long multiplication and long division on squared paper. The standard library does the same
//! faster, with a table of powers of five that hardly compresses: eleven kilobytes of the page, for numbers that
//! manifests hold once in a blue moon. The way back goes through JSON's writer: of two that are as short and as near it
//! takes the even one, as Go does and the standard library does not.

use serde::Serialize;

/// The fewest digits that tell a float from all others.
pub struct Decimal {
    sign: &'static str,
    /// Without zeros at either end; nothing for zero.
    digits: String,
    /// The power of ten of the first digit.
    exponent: i32,
}

impl Decimal {
    /// Of a finite `f64` or `f32`.
    pub fn of(float: impl Serialize) -> Decimal {
        let text = serde_json::to_string(&float).unwrap_or_default();
        let (sign, number) = text.strip_prefix('-').map_or(("", text.as_str()), |number| ("-", number));
        let (mantissa, power) = number.split_once('e').unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_start_matches('0');
        let power: i32 = power.parse().unwrap_or(0);
        let exponent = power + whole.len() as i32 - 1 - (all.len() - digits.len()) as i32;
        Decimal { sign, digits: digits.trim_end_matches('0').to_owned(), exponent }
    }
    /// As Go's `FormatFloat` writes it with the verb `f`.
    pub fn plain(&self) -> String {
        let Decimal { sign, digits, exponent } = self;
        if digits.is_empty() {
            return format!("{sign}0");
        }
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
        let padded = [zeros(-exponent), digits.clone(), zeros(exponent + 1 - digits.len() as i32)].concat();
        let (whole, fraction) = padded.split_at(usize::try_from(exponent + 1).unwrap_or(0).max(1));
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }
    /// With so many digits behind the point.
    pub fn fixed(&self, precision: usize) -> String {
        let places = i64::from(self.exponent) + 1 + precision as i64;
        let text = self.rounded(places).plain();
        let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let point = if digits == 0 && precision > 0 { "." } else { "" };
        [&text, point, &"0".repeat(precision.saturating_sub(digits))].concat()
    }
    /// One digit, a point and so many digits, and the power of ten that they are to be taken by.
    pub fn scientific(&self, precision: usize) -> (String, i32) {
        let rounded = self.rounded(1 + precision as i64);
        let power = if rounded.digits.is_empty() { 0 } else { rounded.exponent };
        (Decimal { exponent: 0, ..rounded }.fixed(precision), power)
    }
    /// The first digits only, rounded to even where the rest is a half.
    fn rounded(&self, count: i64) -> Decimal {
        let Decimal { sign, digits, exponent } = self;
        let (sign, mut exponent) = (*sign, *exponent);
        let Ok(count) = usize::try_from(count) else {
            return Decimal { sign, digits: String::new(), exponent: 0 };
        };
        if count >= digits.len() {
            return Decimal { sign, digits: digits.clone(), exponent };
        }
        let (kept, rest) = digits.split_at(count);
        let is_odd = kept.ends_with(['1', '3', '5', '7', '9']);
        let mut kept = kept.as_bytes().to_vec();
        if rest > "5" || (rest == "5" && is_odd) {
            while kept.last() == Some(&b'9') {
                kept.pop();
            }
            match kept.last_mut() {
                Some(last) => *last += 1,
                None => {
                    kept.push(b'1');
                    exponent += 1;
                }
            }
        }
        let text = String::from_utf8(kept).unwrap_or_default();
        Decimal { sign, digits: text.trim_end_matches('0').to_owned(), exponent }
    }
    /// With the verb `g`: plain, or with an exponent where that is below -4 or from 6 on.
    pub fn general(&self) -> String {
        let Decimal { sign, digits, exponent } = self;
        if digits.is_empty() || (-4..6).contains(exponent) {
            return self.plain();
        }
        let (first, more) = digits.split_at(1);
        let point = if more.is_empty() { "" } else { "." };
        let power_sign = if *exponent < 0 { '-' } else { '+' };
        format!("{sign}{first}{point}{more}e{power_sign}{:02}", exponent.abs())
    }
}

/// Digits that are carried. No float lies half way between two others with more than 768 digits: what comes after them
/// can only break a tie.
const DIGITS: i32 = 800;

/// The float nearest to the decimal number `text`, ties to even, as Go's `strconv.ParseFloat` and the standard library
/// have it. `None` for what is no decimal number (`inf` and `nan` are none) and for what is too large for a float.
pub fn parse_float(text: &str) -> Option<f64> {
    let (is_negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let (mut words, mut carried, mut power) = (Vec::new(), 0, 0_i32);
    let (mut seen_digit, mut seen_point, mut is_cut) = (false, false, false);
    let mut rest = digits;
    while let [byte, tail @ ..] = rest {
        match byte {
            b'0'..=b'9' => {
                seen_digit = true;
                let digit = u64::from(byte - b'0');
                if carried < DIGITS {
                    multiply(&mut words, 10, digit);
                    carried += i32::from(!words.is_empty());
                    power = power.saturating_sub(i32::from(seen_point));
                } else {
                    is_cut |= digit > 0;
                    power = power.saturating_add(i32::from(!seen_point));
                }
            }
            b'.' if !seen_point => seen_point = true,
            b'e' | b'E' => {
                power = power.saturating_add(exponent(tail)?);
                break;
            }
            _ => return None,
        }
        rest = tail;
    }
    let magnitude = match (seen_digit, power.saturating_add(carried)) {
        (false, _) => return None,
        (true, _) if words.is_empty() => 0.0,
        (true, ..-400) => 0.0,
        (true, -400..=400) => nearest(words, power, is_cut)?,
        (true, _) => return None,
    };
    Some(if is_negative { -magnitude } else { magnitude })
}

fn exponent(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        all => (1, all),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // Far outside of what a float holds one power is like another.
    let size = digits.iter().fold(0_i32, |size, byte| (size * 10 + i32::from(byte - b'0')).min(100_000));
    is_number.then_some(sign * size)
}

/// `words * factor + carry`; words have 32 bits, the lowest first, and none stands for nothing.
fn multiply(words: &mut Vec<u32>, factor: u64, mut carry: u64) {
    for word in words.iter_mut() {
        let product = u64::from(*word) * factor + carry;
        (*word, carry) = (product as u32, product >> 32);
    }
    if carry > 0 {
        words.push(carry as u32);
    }
}

/// `words * 10^power`, a little more if `is_inexact`. There are words.
fn nearest(mut words: Vec<u32>, power: i32, mut is_inexact: bool) -> Option<f64> {
    let mut scale = 0;
    let steps = power.unsigned_abs();
    let factors = (0..steps.div_ceil(9)).map(|step| 10_u64.pow(9.min(steps - step * 9)));
    if power >= 0 {
        factors.for_each(|factor| multiply(&mut words, factor, 0));
    } else {
        // A factor takes away 30 bits at most; room for them, and for 64 bits that stay.
        let room = 3 + steps.div_ceil(9) as usize;
        words.splice(0..0, std::iter::repeat_n(0, room));
        scale = -32 * room as i32;
        for factor in factors {
            let mut remainder = 0;
            for word in words.iter_mut().rev() {
                let part = (remainder << 32) | u64::from(*word);
                (*word, remainder) = ((part / factor) as u32, part % factor);
            }
            is_inexact |= remainder > 0;
        }
    }
    while words.last() == Some(&0) {
        words.pop();
    }
    // The highest 64 bits, and whether anything lies below them.
    let word = |back: usize| words.len().checked_sub(back).map_or(0, |place| u64::from(words[place]));
    let shift = word(1).leading_zeros() - 32;
    let top = (u128::from(word(1)) << 64 | u128::from(word(2)) << 32 | u128::from(word(3))) << shift;
    is_inexact |= top as u32 > 0 || words[..words.len().saturating_sub(3)].iter().any(|word| *word > 0);
    scale += 32 * (words.len() as i32 - 2) - shift as i32;
    round((top >> 32) as u64, scale, is_inexact)
}

/// The float nearest to `top * 2^scale`, a little more if `is_inexact`; the highest bit of `top` is set.
fn round(top: u64, scale: i32, is_inexact: bool) -> Option<f64> {
    const HIGHEST: i32 = 1023;
    const LOWEST: i32 = -1022;
    let exponent = scale + 63;
    // Below the lowest exponent a float has the fewer bits, the smaller it is.
    let dropped = 11 + (LOWEST - exponent).max(0);
    if dropped > 64 {
        return Some(0.0);
    }
    let wide = u128::from(top);
    let (kept, rest) = ((wide >> dropped) as u64, wide & ((1 << dropped) - 1));
    let half = 1 << (dropped - 1);
    let is_up = rest > half || rest == half && (is_inexact || kept % 2 == 1);
    let hidden = u64::try_from(exponent.max(LOWEST) - LOWEST).unwrap_or(0) << 52;
    let float = f64::from_bits(hidden + kept + u64::from(is_up));
    (exponent <= HIGHEST && float.is_finite()).then_some(float)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are hard to round, and shapes that are none.
    const CASES: &str = "0 -0 1 +1 1. .5 5e0 1e1 1E+2 1e-2 0.1 0.2 0.3 1.1 123456789012345678 9007199254740993 9007199254740992.999 \
        9007199254740993.0000000000000000000000001 1e22 1e23 1e100 1.7976931348623157e308 1.7976931348623159e308 1e309 1e400 \
        2.2250738585072014e-308 2.2250738585072011e-308 4.9e-324 2.4703282292062327e-324 2.4703282292062328e-324 1e-400 \
        5e-324 0.000000000000000000000000000001 100000000000000000000000000000000000000000 8.5e-7 72057594037927945 \
        3.1415926535897932384626433832795028841971 1e99999999999 1e-99999999999 0e99999999999 00012.500 \
        e . .e1 1e 1e+ 1.2.3 0x1 1_0 --1 1a inf nan +";

    /// Where two are as short and as near, the standard library takes the larger one, JSON's writer and Go the even one.
    #[test]
    fn floats_are_written_as_short_as_the_standard_library_writes_them() {
        let some = CASES.split_whitespace().filter_map(parse_float);
        let random = (0..2_000_u64).map(|seed| f64::from_bits(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        for float in some.chain(random).chain([-0.0, 1e20]).filter(|float| float.is_finite()) {
            let decimal = Decimal::of(float);
            for (ours, standard) in
                [(decimal.plain(), format!("{float}")), (decimal.general(), format!("{float:e}"))]
            {
                assert_eq!(parse_float(&ours).map(f64::to_bits), Some(float.to_bits()), "{ours}");
                if let Some((mantissa, _)) = ours.split_once('e') {
                    assert_eq!(mantissa.len(), standard.find('e').unwrap_or(0), "{ours}, not {standard}");
                } else if !standard.contains('e') {
                    assert_eq!(ours.len(), standard.len(), "{ours}, not {standard}");
                }
            }
        }
        let tie = Decimal::of(180_781_774_559_581.0 + 0.125).plain();
        assert_eq!(tie, "180781774559581.12");
    }

    #[test]
    fn every_number_is_read_as_the_standard_library_reads_it() {
        let mut state = 1_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 8
        };
        let random =
            (0..20_000).map(|_| format!("{}.{}e{}", next() % 1000, next(), next() as i64 % 700 - 350));
        let shortest: Vec<String> = (0..20_000_u64)
            .map(|seed| format!("{:?}", f64::from_bits(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))))
            .collect();
        for text in
            CASES.split_whitespace().map(String::from).chain(random).chain(shortest).chain([String::new()])
        {
            let standard = text.parse::<f64>().ok().filter(|value| value.is_finite());
            let ours = parse_float(&text);
            assert_eq!(
                ours.map(f64::to_bits),
                standard.map(f64::to_bits),
                "{text}: {ours:?}, not {standard:?}"
            );
        }
    }
}
