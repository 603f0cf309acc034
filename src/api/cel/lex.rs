//! An expression's words.
//!
//! Picture to hold in mind: scissors along the gaps of a telegram: each snippet is a word, a number, a text in quotes or a
//! sign, and its place is written on its back.

use super::Cel;
use super::parse::Trouble;
use crate::api::value::{Text, Value};

#[derive(Clone)]
pub enum Token {
    Name(Text),
    Int(u64),
    Literal(Cel),
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", ".?", "[?", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".",
    ",", "(", ")", "[", "]", "{", "}",
];

fn unknown_token(source: &str, place: usize) -> Trouble {
    let character = source[place..].chars().next().unwrap_or(' ');
    (place, format!("Syntax error: token recognition error at: '{character}'"))
}

pub fn lex(source: &str) -> Result<Vec<(Token, usize)>, Trouble> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let mut place = 0;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    while let Some(byte) = bytes.get(place) {
        let rest = &source[place..];
        if byte.is_ascii_whitespace() {
            place += 1;
            continue;
        }
        if rest.starts_with("//") {
            place += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let word = bytes[place..].iter().take_while(|byte| is_name(byte)).count();
        let quote = bytes.get(place + word).is_some_and(|byte| matches!(byte, b'"' | b'\''));
        let (token, length) = if quote && word <= 2 && rest[..word].bytes().all(|b| b"rRbB".contains(&b)) {
            text(rest, word).ok_or_else(|| unknown_token(source, place))?
        } else if byte.is_ascii_digit()
            || (*byte == b'.' && bytes.get(place + 1).is_some_and(u8::is_ascii_digit))
        {
            number(rest).ok_or_else(|| (place, "invalid numeric literal".to_owned()))?
        } else if word > 0 {
            let token = match &rest[..word] {
                "true" => Token::Literal(true.into()),
                "false" => Token::Literal(false.into()),
                "null" => Token::Literal(Cel::NULL),
                "in" => Token::Sign("in"),
                name => Token::Name(name.into()),
            };
            (token, word)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(unknown_token(source, place));
        };
        tokens.push((token, place));
        place += length;
    }
    tokens.push((Token::End, source.len()));
    Ok(tokens)
}

fn number(rest: &str) -> Option<(Token, usize)> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_unsigned = |end: usize| matches!(bytes.get(end), Some(b'u' | b'U'));
    let whole = |text: &str, radix: u32, end: usize| {
        let number = u64::from_str_radix(text, radix).ok()?;
        let token = if is_unsigned(end) { Token::Literal(Cel::Uint(number)) } else { Token::Int(number) };
        Some((token, end + usize::from(is_unsigned(end))))
    };
    if rest.starts_with("0x") || rest.starts_with("0X") {
        let end = 2 + bytes[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        return whole(&rest[2..end], 16, end);
    }
    let mut end = digits(0);
    let mut is_float = false;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        (is_float, end) = (true, end + 1 + digits(end + 1));
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let count = if end + 1 + sign < bytes.len() { digits(end + 1 + sign) } else { 0 };
        if count > 0 {
            (is_float, end) = (true, end + 1 + sign + count);
        }
    }
    if is_float {
        let number = crate::api::float::parse_float(&rest[..end])?;
        return Some((Token::Literal(Value::Float(number).into()), end));
    }
    whole(&rest[..end], 10, end)
}

/// A literal in quotes, behind a prefix such as `r` or `b`.
fn text(rest: &str, prefix: usize) -> Option<(Token, usize)> {
    let flags = rest[..prefix].to_ascii_lowercase();
    let (raw, bytes) = (flags.contains('r'), flags.contains('b'));
    let quote = rest.get(prefix..prefix + 1)?;
    let body = &rest[prefix..];
    let triple = quote.repeat(3);
    let end = if body.starts_with(&triple) { triple.as_str() } else { quote };
    let (mut place, mut out) = (prefix + end.len(), Vec::new());
    loop {
        let here = &rest[place..];
        if here.starts_with(end) {
            break;
        }
        let character = here.chars().next()?;
        place += character.len_utf8();
        if character == '\n' && end.len() == 1 {
            return None;
        }
        if character != '\\' || raw {
            out.extend_from_slice(&here.as_bytes()[..character.len_utf8()]);
            if raw && character == '\\' && rest[place..].starts_with(quote) && end.len() == 1 {
                // Even where it escapes nothing a backslash keeps the quote from ending the text.
                out.extend_from_slice(quote.as_bytes());
                place += 1;
            }
            continue;
        }
        let kind = rest[place..].chars().next()?;
        place += kind.len_utf8();
        let plain = "abfnrtv\\?\"'`".find(kind).map(|index| b"\x07\x08\x0c\n\r\t\x0b\\?\"'`"[index]);
        if let Some(plain) = plain {
            out.push(plain);
            continue;
        }
        let (radix, count) = match kind {
            'x' | 'X' => (16, 2),
            'u' => (16, 4),
            'U' => (16, 8),
            '0'..='3' => {
                place -= 1;
                (8, 3)
            }
            _ => return None,
        };
        let code = u32::from_str_radix(rest.get(place..place + count)?, radix).ok()?;
        place += count;
        if bytes && matches!(kind, 'x' | 'X' | '0'..='3') {
            out.push(u8::try_from(code).ok()?);
        } else {
            let mut buffer = [0; 4];
            out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
        }
    }
    let value = if bytes { Cel::Bytes(out.into()) } else { String::from_utf8(out).ok()?.into() };
    Some((Token::Literal(value), place + end.len()))
}
