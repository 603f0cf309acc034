//! PEM (RFC 7468).
//!
//! Picture to hold in mind: an envelope with the kind of its contents printed on flap and back.

use super::base64::STANDARD;

/// The blocks of a PEM text: their types, and whether anything is in them.
pub fn blocks(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(kind) =
            line.trim_end().strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"))
        else {
            continue;
        };
        let end = format!("-----END {kind}-----");
        let mut body = String::new();
        let mut is_closed = false;
        for line in lines.by_ref() {
            if line.trim_end() == end {
                is_closed = true;
                break;
            }
            // Headers are not part of the body.
            if !line.contains(':') {
                body.extend(line.split_whitespace());
            }
        }
        let is_whole = is_closed && body.len().is_multiple_of(4);
        if let Ok(bytes) = STANDARD.decode(&body)
            && is_whole
        {
            blocks.push((kind.to_owned(), bytes));
        }
    }
    blocks
}

/// A block as Go writes it, with lines of 64 letters.
pub fn write(kind: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let mut text = ["-----BEGIN ", kind, "-----\n"].concat();
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&["-----END ", kind, "-----\n"].concat());
    text
}
