//! Bytes as letters (RFC 4648), as Go writes and reads them.
//!
//! Picture to hold in mind: three full buckets poured into four smaller ones; what is missing in the last four is made
//! up with sand (`=`), or left out.
//!
//! Follows Go's `encoding/base64`: `StdEncoding` and `RawURLEncoding`.

/// Which letters, and whether the last ones are filled up with `=`.
pub struct Alphabet {
    letters: &'static [u8; 64],
    is_padded: bool,
}

/// Of Secrets, certificates and the tool `base64`.
pub const STANDARD: Alphabet = Alphabet {
    letters: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    is_padded: true,
};

/// Of tokens and of what stands in addresses.
pub const URL: Alphabet = Alphabet {
    letters: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    is_padded: false,
};

impl Alphabet {
    pub fn encode(&self, bytes: &[u8]) -> String {
        let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
        for chunk in bytes.chunks(3) {
            let byte = |place: usize| if place < chunk.len() { u32::from(chunk[place]) } else { 0 };
            let word = byte(0) << 16 | byte(1) << 8 | byte(2);
            let letters = [18, 12, 6, 0].map(|shift| self.letters[(word >> shift) as usize & 63]);
            text.extend_from_slice(&letters[..=chunk.len()]);
            if self.is_padded {
                text.extend_from_slice(&b"=="[..3 - chunk.len()]);
            }
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// The bytes; else where the text is found to be no base64 (`CorruptInputError`). Line breaks are skipped.
    pub fn decode(&self, text: &str) -> Result<Vec<u8>, usize> {
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
        self.decode_into(text, &mut bytes).map(|()| bytes)
    }

    /// The same, and of what is none the bytes that came before, even of four letters that are not whole.
    pub fn decode_into(&self, text: &str, bytes: &mut Vec<u8>) -> Result<(), usize> {
        let mut source = text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
        // Letters of the last four that have come, and their bits.
        let (mut count, mut word) = (0, 0_u32);
        while let Some((at, byte)) = source.next() {
            if byte == b'=' && self.is_padded && count > 1 {
                if count == 2 {
                    match source.next() {
                        Some((_, b'=')) => {}
                        other => return Err(other.map_or(text.len(), |(at, _)| at)),
                    }
                }
                return source.next().map_or(Ok(()), |(at, _)| Err(at));
            }
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                _ if byte == self.letters[62] => 62,
                _ if byte == self.letters[63] => 63,
                _ => return Err(at),
            };
            word = word << 6 | u32::from(value);
            count = (count + 1) % 4;
            // Each letter but the first of four completes a byte.
            if count != 1 {
                bytes.push((word >> [0, 0, 4, 2][count]) as u8);
            }
        }
        // Go counts from the last whole group when the end is missing.
        match count {
            0 => Ok(()),
            2 | 3 if !self.is_padded => Ok(()),
            _ => Err(text.len() - count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_and_read() {
        for (plain, standard, url) in [
            ("", "", ""),
            ("a", "YQ==", "YQ"),
            ("ab", "YWI=", "YWI"),
            ("abc", "YWJj", "YWJj"),
            ("s3cret!", "czNjcmV0IQ==", "czNjcmV0IQ"),
            ("\u{3ff}\u{3f}>~", "z78/Pn4=", "z78_Pn4"),
        ] {
            assert_eq!(STANDARD.encode(plain.as_bytes()), standard);
            assert_eq!(URL.encode(plain.as_bytes()), url);
            assert_eq!(STANDARD.decode(standard), Ok(plain.into()));
            assert_eq!(URL.decode(url), Ok(plain.into()));
        }
        assert_eq!(STANDARD.decode("YWJj\r\nYWJj\n"), Ok("abcabc".into()));
    }

    /// What Go says of each.
    #[test]
    fn what_is_none_is_refused_where_go_refuses_it() {
        for (text, standard, url) in [
            ("A", Some(0), Some(0)),
            ("YQ", Some(0), None),
            ("YQ=", Some(3), Some(2)),
            ("YQ==", None, Some(2)),
            ("YQ=x", Some(3), Some(2)),
            ("YQ==x", Some(4), Some(2)),
            ("YWI=x", Some(4), Some(3)),
            ("YWJj!", Some(4), Some(4)),
            ("YWJjYQ", Some(4), None),
            ("=", Some(0), Some(0)),
            ("Y=", Some(1), Some(1)),
            ("-_", Some(0), None),
            ("+/==", None, Some(0)),
        ] {
            assert_eq!(STANDARD.decode(text).err(), standard, "{text}");
            assert_eq!(URL.decode(text).err(), url, "{text}");
        }
    }
}
