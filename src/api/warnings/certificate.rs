//! Whether a TLS secret holds a certificate and a key at all.
//!
//! Picture to hold in mind: the porter looks whether the envelope is the right way up; he does not read the letter.
//!
//! The words are those of Go's `tls.X509KeyPair`, as far as it looks at the PEM armour. What lies in the armour is not
//! taken apart: a certificate that parses as ASN.1 is taken for one, and no key is compared with it.

use crate::api::base64::STANDARD;
use crate::api::pem;

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
    let text =
        |encoded: &str| String::from_utf8_lossy(&STANDARD.decode(encoded).unwrap_or_default()).into_owned();
    let found = pem::blocks(&text(certificate));
    let skipped: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    let Some((_, first)) = found.iter().find(|(kind, _)| kind == "CERTIFICATE") else {
        return Some(match skipped.as_slice() {
            [] => "tls: failed to find any PEM data in certificate input".to_owned(),
            [kind] if kind.ends_with("PRIVATE KEY") => "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned(),
            kinds => format!("tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]", kinds.join(" ")),
        });
    };
    let keys = pem::blocks(&text(key));
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
