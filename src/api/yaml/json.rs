//! Why a text that begins like JSON is none, in Go's words.
//!
//! kubectl tries JSON first for a text that begins with a brace, and YAML after it; when both fail, it tells of
//! the JSON. Follows scanner.go of `encoding/json` and `YAMLOrJSONDecoder` of `k8s.io/apimachinery`.

use super::{Mark, YamlError};
use crate::api::field::go_quote;

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    /// A value, or the end of an empty list.
    ValueOrEnd,
    /// A key, or the end of an empty object.
    KeyOrEnd,
    Key,
    Colon,
    /// A comma or the end, inside what is open.
    Next,
}

/// The first error of a stream of JSON values.
pub(super) fn error(text: &str) -> YamlError {
    let bytes = text.as_bytes();
    let mut open: Vec<u8> = Vec::new();
    let mut expect = Expect::Value;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            at += 1;
            continue;
        }
        let in_object = open.last() == Some(&b'{');
        let mut closed = false;
        match (expect, byte) {
            (Expect::Value | Expect::ValueOrEnd, b'{') => {
                open.push(b'{');
                expect = Expect::KeyOrEnd;
                at += 1;
                continue;
            }
            (Expect::Value | Expect::ValueOrEnd, b'[') => {
                open.push(b'[');
                expect = Expect::ValueOrEnd;
                at += 1;
                continue;
            }
            (Expect::ValueOrEnd, b']') | (Expect::KeyOrEnd, b'}') => closed = true,
            (Expect::Next, b'}') if in_object => closed = true,
            (Expect::Next, b']') if !in_object => closed = true,
            (Expect::Next, b',') => {
                expect = if in_object { Expect::Key } else { Expect::Value };
                at += 1;
                continue;
            }
            (Expect::Colon, b':') => {
                expect = Expect::Value;
                at += 1;
                continue;
            }
            (Expect::Key | Expect::KeyOrEnd, b'"') => {
                match string(bytes, at) {
                    Ok(end) => at = end,
                    Err(problem) => return describe(text, problem),
                }
                expect = Expect::Colon;
                continue;
            }
            (Expect::Value | Expect::ValueOrEnd, _) => {
                match scalar(bytes, at) {
                    Ok(end) => at = end,
                    Err(problem) => return describe(text, problem),
                }
                expect = if open.is_empty() { Expect::Value } else { Expect::Next };
                continue;
            }
            _ => {}
        }
        if closed {
            open.pop();
            expect = if open.is_empty() { Expect::Value } else { Expect::Next };
            at += 1;
            continue;
        }
        let context = match expect {
            Expect::Key | Expect::KeyOrEnd => "looking for beginning of object key string",
            Expect::Colon => "after object key",
            Expect::Next if in_object => "after object key:value pair",
            Expect::Next => "after array element",
            Expect::Value | Expect::ValueOrEnd => "looking for beginning of value",
        };
        return describe(text, Some((at, context.to_owned())));
    }
    describe(text, None)
}

/// Where and in what context; `None` for a text that ends too early.
type Problem = Option<(usize, String)>;

fn describe(text: &str, problem: Problem) -> YamlError {
    let offset = problem.as_ref().map_or(text.len(), |(at, _)| *at);
    let before = &text.as_bytes()[..offset];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count();
    let mark = Mark { offset: text.floor_char_boundary(offset), line, column };
    let Some((at, context)) = problem else { return YamlError::separator("unexpected EOF", mark) };
    // Go looks at bytes, and quotes each as the character of that number.
    let character = char::from(text.as_bytes()[at]);
    let shown = match character {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => format!("'{}'", go_quote(&character.to_string()).trim_matches('"')),
    };
    YamlError::separator(format!("json: offset {}: invalid character {shown} {context}", at + 1), mark)
}

/// The end of the string that begins at `start`.
fn string(bytes: &[u8], start: usize) -> Result<usize, Problem> {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return Err(None),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match bytes.get(at + 1) {
                None => return Err(None),
                Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => at += 2,
                Some(b'u') => {
                    for digit in at + 2..at + 6 {
                        match bytes.get(digit) {
                            None => return Err(None),
                            Some(byte) if byte.is_ascii_hexdigit() => {}
                            Some(_) => {
                                return Err(Some((digit, "in \\u hexadecimal character escape".to_owned())));
                            }
                        }
                    }
                    at += 6;
                }
                Some(_) => return Err(Some((at + 1, "in string escape code".to_owned()))),
            },
            Some(0..0x20) => return Err(Some((at, "in string literal".to_owned()))),
            Some(_) => at += 1,
        }
    }
}

/// The end of the string, number or word that begins at `start`.
fn scalar(bytes: &[u8], start: usize) -> Result<usize, Problem> {
    let word = match bytes[start] {
        b'"' => return string(bytes, start),
        b't' => "true",
        b'f' => "false",
        b'n' => "null",
        b'-' | b'0'..=b'9' => return number(bytes, start),
        _ => return Err(Some((start, "looking for beginning of value".to_owned()))),
    };
    for (offset, expected) in word.bytes().enumerate() {
        match bytes.get(start + offset) {
            None => return Err(None),
            Some(found) if *found == expected => {}
            Some(_) => {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(Some((start + offset, context)));
            }
        }
    }
    Ok(start + word.len())
}

fn number(bytes: &[u8], start: usize) -> Result<usize, Problem> {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let need = |at: usize, context: &str| match bytes.get(at) {
        _ if digit(at) => Ok(()),
        None => Err(None),
        Some(_) => Err(Some((at, context.to_owned()))),
    };
    let mut at = start + usize::from(bytes[start] == b'-');
    need(at, "in numeric literal")?;
    if bytes[at] == b'0' {
        at += 1;
    } else {
        while digit(at) {
            at += 1;
        }
    }
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        need(at, "after decimal point in numeric literal")?;
        while digit(at) {
            at += 1;
        }
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        need(at, "in exponent of numeric literal")?;
        while digit(at) {
            at += 1;
        }
    }
    Ok(at)
}
