//! PEM (RFC 7468) and the base64 (RFC 4648) in it.
//!
//! Picture to hold in mind: an envelope with the kind of its contents printed on flap and back.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648's URL-safe alphabet.
pub const ALPHABET_OF_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// With padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = 0u32;
        for index in 0..3 {
            word = word << 8 | u32::from(chunk.get(index).copied().unwrap_or(0));
        }
        for index in 0..4 {
            if index <= chunk.len() {
                text.push(char::from(ALPHABET[(word >> (18 - 6 * index)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// In the URL-safe alphabet, without padding.
pub fn base64_url(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| if place < chunk.len() { u32::from(chunk[place]) } else { 0 };
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        let letters = [18, 12, 6, 0].map(|shift| ALPHABET_OF_URLS[(word >> shift) as usize & 63]);
        text.extend_from_slice(&letters[..=chunk.len()]);
    }
    String::from_utf8(text).unwrap_or_default()
}

/// `None` for what is no base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            continue;
        }
        let value = ALPHABET.iter().position(|letter| *letter == byte)? as u32;
        word = (word << 6 | value) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    (bits < 6).then_some(bytes)
}

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
        if let Some(bytes) = decode(&body).filter(|_| is_whole) {
            blocks.push((kind.to_owned(), bytes));
        }
    }
    blocks
}

/// A block as Go writes it, with lines of 64 letters.
pub fn write(kind: &str, bytes: &[u8]) -> String {
    let body = encode(bytes);
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
