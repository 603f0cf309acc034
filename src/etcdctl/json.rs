//! Texts as Go writes them: JSON with the fields in the order of the struct, `%q`.
//!
//! Picture to hold in mind: a typist who leaves out every line of the form on which nothing stands.

use crate::api::base64::STANDARD;
use crate::arrange::Gather;

/// An object; a field without a value is left out.
pub fn object(fields: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let fields: Vec<String> = fields
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("\"{name}\":{value}")))
        .gather();
    format!("{{{}}}", fields.join(","))
}
pub fn array(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(","))
}
/// A list that is left out when it is empty.
pub fn list(items: impl IntoIterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.into_iter().collect();
    (!items.is_empty()).then(|| format!("[{}]", items.join(",")))
}
/// A number that is left out when it is nought.
pub fn number(number: impl Into<i128>) -> Option<String> {
    let number = number.into();
    (number != 0).then(|| number.to_string())
}
pub fn switch(value: bool) -> Option<String> {
    value.then(|| "true".into())
}
/// A text that is left out when it is empty.
pub fn string(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| text(value))
}
/// Bytes, in base64; left out when there are none.
pub fn bytes(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| format!("\"{}\"", STANDARD.encode(value.as_bytes())))
}

/// `encoding/json`: what would end a script in HTML is escaped too.
pub fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..'\u{20}' => {
                out += &format!("\\u{:04x}", character as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Go's `%q`.
pub fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\u{0}'..'\u{20}' | '\u{7f}' => out += &format!("\\x{:02x}", character as u32),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Reads what [`quote`] writes at the beginning of `text`: the value, and what stands behind it.
pub fn unquote(text: &str) -> Option<(String, &str)> {
    let mut characters = text.strip_prefix('"')?.char_indices();
    let mut out = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((out, &text[at + 2..])),
            '\\' => match characters.next()?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'x' => {
                    let (high, low) =
                        (characters.next()?.1.to_digit(16)?, characters.next()?.1.to_digit(16)?);
                    out.push(char::from_u32(high * 16 + low)?);
                }
                other @ ('"' | '\\' | '\'') => out.push(other),
                _ => return None,
            },
            other => out.push(other),
        }
    }
    None
}
