//! Whether a TLS secret holds a certificate and a key at all.
//!
//! Picture to hold in mind: the porter looks whether the envelope is the right way up; he does not read the letter.
//!
//! The words are those of Go's `tls.X509KeyPair`, as far as it looks at the PEM armour. What lies in the armour is not
//! taken apart: a certificate that parses as ASN.1 is taken for one, and no key is compared with it.

/// The blocks of a PEM text: their types, and whether anything is in them.
fn blocks(text: &str) -> Vec<(String, Vec<u8>)> {
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
        if let Some(bytes) = decode(&body).filter(|_| is_closed) {
            blocks.push((kind.to_owned(), bytes));
        }
    }
    blocks
}

/// RFC 4648 with padding; `None` for what is no base64.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || !text.len().is_multiple_of(4) {
        return None;
    }
    for letter in digits.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

/// Whether the bytes begin with an ASN.1 sequence that ends with them.
fn is_sequence(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, length, rest @ ..] if *length < 0x80 => rest.len() == usize::from(*length),
        [0x30, length, rest @ ..] => {
            let count = usize::from(length & 0x7f);
            let Some((size, body)) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count)) else {
                return false;
            };
            size.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)) == body.len()
        }
        _ => false,
    }
}

/// What Go's `tls.X509KeyPair` says about a certificate and a key, both in base64 as a Secret has them.
pub fn problem(certificate: &str, key: &str) -> Option<String> {
    let text = |encoded: &str| String::from_utf8_lossy(&decode(encoded).unwrap_or_default()).into_owned();
    let found = blocks(&text(certificate));
    let skipped: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    let Some((_, first)) = found.iter().find(|(kind, _)| kind == "CERTIFICATE") else {
        return Some(match skipped.as_slice() {
            [] => "tls: failed to find any PEM data in certificate input".to_owned(),
            [kind] if kind.ends_with("PRIVATE KEY") => "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned(),
            kinds => format!("tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]", kinds.join(" ")),
        });
    };
    let keys = blocks(&text(key));
    let is_key = |kind: &str| kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY");
    let Some(at) = keys.iter().position(|(kind, _)| is_key(kind)) else {
        let skipped: Vec<&str> = keys.iter().map(|(kind, _)| kind.as_str()).collect();
        return Some(match skipped.as_slice() {
            [] => "tls: failed to find any PEM data in key input".to_owned(),
            ["CERTIFICATE"] => {
                "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
            }
            kinds => format!(
                "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
                kinds.join(" ")
            ),
        });
    };
    if !is_sequence(first) {
        return Some("x509: malformed certificate".to_owned());
    }
    (!is_sequence(&keys[at].1)).then(|| "tls: failed to parse private key".to_owned())
}
