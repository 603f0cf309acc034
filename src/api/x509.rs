//! X.509: what the cluster reads of requests for certificates, and the certificates that it makes of them.
//!
//! Picture to hold in mind: Russian dolls. Each has its kind and its size painted on it; to read one, open it and take out
//! the next; to make one, begin with the innermost.
//!
//! DER of RFC 2986 and RFC 5280; a certificate's extensions come as Go's `x509.CreateCertificate` writes them. Signatures
//! are bytes here: nothing is computed or checked.

use super::base64::STANDARD;
use super::{Value, pem, time};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;

/// 1.2.840.113549.1.9.14, which carries the extensions that a request wishes for.
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// 2.5.29.x
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];

/// `AlgorithmIdentifier` of ecdsa-with-SHA256.
pub const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Kinds of alternative names, by their tags.
pub const EMAIL_ADDRESS: u8 = 0x81;
pub const DNS_NAME: u8 = 0x82;
pub const URI: u8 = 0x86;
pub const IP_ADDRESS: u8 = 0x87;

/// Attributes of a name, by the last number of their identifiers (2.5.4.x).
pub const COMMON_NAME: u8 = 3;
pub const ORGANIZATION: u8 = 10;

/// A request for a certificate (PKCS #10).
#[derive(Debug)]
pub struct Request {
    /// The attributes 2.5.4.x of the subject.
    subject: Vec<(u8, String)>,
    alternative_names: Vec<(u8, String)>,
    /// As they stand in the request.
    name_der: Vec<u8>,
    key_der: Vec<u8>,
    alternative_names_der: Vec<u8>,
}

impl Request {
    /// Reads a request as objects carry it: PEM in base64.
    ///
    /// # Errors
    /// In Go's words: of `ParseCSR`.
    pub fn read(text: &str) -> Result<Request, &'static str> {
        let text = STANDARD.decode(text).unwrap_or_default();
        let block = pem::blocks(&String::from_utf8_lossy(&text)).into_iter().next();
        match block {
            Some((kind, der)) if kind == "CERTIFICATE REQUEST" => {
                Request::of(&der).ok_or("asn1: syntax error: sequence truncated")
            }
            _ => Err("PEM block type must be CERTIFICATE REQUEST"),
        }
    }
    fn of(der: &[u8]) -> Option<Request> {
        let mut rest = der;
        let mut signed = expect(&mut rest, SEQUENCE)?;
        let mut info = expect(&mut signed, SEQUENCE)?;
        expect(&mut signed, SEQUENCE)?;
        expect(&mut signed, BIT_STRING)?;
        expect(&mut info, INTEGER)?;
        let (_, name, name_der) = take(&mut info).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let (_, _, key_der) = take(&mut info).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let mut request = Request {
            subject: attributes(name)?,
            alternative_names: Vec::new(),
            name_der: name_der.to_vec(),
            key_der: key_der.to_vec(),
            alternative_names_der: Vec::new(),
        };
        let mut wishes = take(&mut info).map_or(&[][..], |(_, wishes, _)| wishes);
        while !wishes.is_empty() {
            let mut wish = expect(&mut wishes, SEQUENCE)?;
            let is_request = expect(&mut wish, OBJECT_IDENTIFIER)? == EXTENSION_REQUEST;
            let mut values = expect(&mut wish, SET)?;
            if is_request {
                let extensions = expect(&mut values, SEQUENCE)?;
                if let Some(value) = extension(extensions, SUBJECT_ALTERNATIVE_NAME) {
                    request.alternative_names = alternative_names(value)?;
                    request.alternative_names_der = value.to_vec();
                }
            }
        }
        rest.is_empty().then_some(request)
    }
    /// The values of an attribute of the subject.
    pub fn subject(&self, attribute: u8) -> Vec<&str> {
        values(&self.subject, attribute)
    }
    /// What the subject is called; empty where it has no such name.
    pub fn common_name(&self) -> &str {
        // Go takes the last of several.
        self.subject(COMMON_NAME).last().copied().unwrap_or("")
    }
    /// The other names of a kind.
    pub fn names(&self, kind: u8) -> Vec<&str> {
        values(&self.alternative_names, kind)
    }
}

fn values(all: &[(u8, String)], wanted: u8) -> Vec<&str> {
    let mut found = Vec::new();
    for (own, value) in all {
        if *own == wanted {
            found.push(value.as_str());
        }
    }
    found
}

/// Who issues certificates.
pub struct Issuer {
    name_der: Vec<u8>,
    key_identifier: Vec<u8>,
    /// Seconds since 1970.
    pub not_after_s: i64,
}

impl Issuer {
    /// Reads an authority's certificate, as PEM; `None` where it is none.
    pub fn read(text: &str) -> Option<Issuer> {
        let (_, der) = pem::blocks(text).into_iter().next()?;
        let mut rest = der.as_slice();
        let mut certificate = expect(&mut rest, SEQUENCE)?;
        let mut fields = expect(&mut certificate, SEQUENCE)?;
        // Certificates of version 1 do not say so.
        if fields.first() == Some(&0xa0) {
            take(&mut fields)?;
        }
        expect(&mut fields, INTEGER)?;
        expect(&mut fields, SEQUENCE)?;
        expect(&mut fields, SEQUENCE)?;
        let mut validity = expect(&mut fields, SEQUENCE)?;
        take(&mut validity)?;
        let (tag, not_after, _) = take(&mut validity)?;
        let (_, _, name_der) = take(&mut fields)?;
        expect(&mut fields, SEQUENCE)?;
        let mut key_identifier = &[][..];
        while let Some((tag, mut content, _)) = take(&mut fields) {
            if tag == 0xa3
                && let Some(mut value) = extension(expect(&mut content, SEQUENCE)?, SUBJECT_KEY_IDENTIFIER)
            {
                key_identifier = expect(&mut value, OCTET_STRING)?;
            }
        }
        Some(Issuer {
            name_der: name_der.to_vec(),
            key_identifier: key_identifier.to_vec(),
            not_after_s: instant(tag, not_after)?,
        })
    }
}

/// When the certificate in a PEM text ends, in seconds since 1970.
pub fn not_after_s(text: &str) -> Option<i64> {
    Issuer::read(text).map(|certificate| certificate.not_after_s)
}

/// What is to be signed of a certificate: for the subject and the key of `request`, with `usages` as signing requests name
/// them, valid between two instants in seconds since 1970. `algorithm` is the `AlgorithmIdentifier` of the signature.
pub fn to_be_signed(
    request: &Request,
    usages: &[Value],
    issuer: &Issuer,
    algorithm: &[u8],
    serial: &[u8; 16],
    valid_s: (i64, i64),
) -> Vec<u8> {
    let mut number = serial.to_vec();
    number[0] = number[0] & 0x7f | 0x40;
    let mut extensions = Vec::new();
    let (bits, extended) = key_usages(usages);
    if bits != 0 {
        // As many bytes as it takes, and how many bits of the last are none.
        let bytes = bits.to_be_bytes();
        let bytes = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
        let unused = bits.trailing_zeros() as u8 % 8;
        let value = wrap(BIT_STRING, &[&[unused], bytes]);
        extensions.extend(extended_by(KEY_USAGE, true, &value));
    }
    if !extended.is_empty() {
        extensions.extend(extended_by(EXTENDED_KEY_USAGE, false, &wrap(SEQUENCE, &[&extended])));
    }
    extensions.extend(extended_by(BASIC_CONSTRAINTS, true, &wrap(SEQUENCE, &[])));
    if !issuer.key_identifier.is_empty() {
        let identifier = wrap(SEQUENCE, &[&wrap(0x80, &[&issuer.key_identifier])]);
        extensions.extend(extended_by(AUTHORITY_KEY_IDENTIFIER, false, &identifier));
    }
    if !request.alternative_names_der.is_empty() {
        let is_critical = request.subject.is_empty();
        extensions.extend(extended_by(SUBJECT_ALTERNATIVE_NAME, is_critical, &request.alternative_names_der));
    }
    let validity = [moment(valid_s.0), moment(valid_s.1)].concat();
    wrap(
        SEQUENCE,
        &[
            &[0xa0, 3, INTEGER, 1, 2],
            &wrap(INTEGER, &[&number]),
            algorithm,
            &issuer.name_der,
            &wrap(SEQUENCE, &[&validity]),
            &request.name_der,
            &request.key_der,
            &wrap(0xa3, &[&wrap(SEQUENCE, &[&extensions])]),
        ],
    )
}

/// A certificate as PEM.
pub fn certificate(to_be_signed: &[u8], algorithm: &[u8], signature: &[u8]) -> String {
    let signature = wrap(BIT_STRING, &[&[0], signature]);
    pem::write("CERTIFICATE", &wrap(SEQUENCE, &[to_be_signed, algorithm, &signature]))
}

/// A signature of ECDSA over a curve of 256 bits: its two numbers.
pub fn ecdsa_signature(numbers: [[u8; 32]; 2]) -> Vec<u8> {
    let [r, s] = numbers.map(|mut number| {
        number[0] = number[0] & 0x7f | 0x40;
        wrap(INTEGER, &[&number])
    });
    wrap(SEQUENCE, &[&r, &s])
}

/// The bits of the key usage, the first on the left, and the identifiers of the extended one.
fn key_usages(usages: &[Value]) -> (u16, Vec<u8>) {
    /// In the order of Go's constants; their identifiers without tag and length.
    const EXTENDED: [(&str, &[u8]); 12] = [
        ("any", &[0x55, 0x1d, 37, 0]),
        ("server auth", &[1]),
        ("client auth", &[2]),
        ("code signing", &[3]),
        ("email protection", &[4]),
        ("ipsec end system", &[5]),
        ("ipsec tunnel", &[6]),
        ("ipsec user", &[7]),
        ("timestamping", &[8]),
        ("ocsp signing", &[9]),
        ("microsoft sgc", &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3]),
        ("netscape sgc", &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1]),
    ];
    /// 1.3.6.1.5.5.7.3, below which most are.
    const KEY_PURPOSE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3];
    const PLAIN: [&str; 9] = [
        "digital signature",
        "content commitment",
        "key encipherment",
        "data encipherment",
        "key agreement",
        "cert sign",
        "crl sign",
        "encipher only",
        "decipher only",
    ];
    let has = |name: &str| {
        usages.iter().any(|usage| {
            let usage = usage.as_str().unwrap_or("");
            usage == name
                || matches!((name, usage), ("digital signature", "signing") | ("email protection", "s/mime"))
        })
    };
    let mut bits = 0;
    for (place, name) in PLAIN.iter().enumerate() {
        if has(name) {
            bits |= 0x8000 >> place;
        }
    }
    let mut extended = Vec::new();
    for (name, identifier) in EXTENDED {
        if has(name) {
            let above = if identifier.len() == 1 { KEY_PURPOSE } else { &[] };
            extended.extend(wrap(OBJECT_IDENTIFIER, &[above, identifier]));
        }
    }
    (bits, extended)
}

/// One extension of a certificate.
fn extended_by(identifier: &[u8], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if is_critical { &[BOOLEAN, 1, 0xff] } else { &[] };
    wrap(SEQUENCE, &[&wrap(OBJECT_IDENTIFIER, &[identifier]), critical, &wrap(OCTET_STRING, &[value])])
}

/// The value of one of several extensions.
fn extension<'a>(mut extensions: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    while !extensions.is_empty() {
        let mut own = expect(&mut extensions, SEQUENCE)?;
        if expect(&mut own, OBJECT_IDENTIFIER)? == wanted {
            let (tag, value, _) = take(&mut own)?;
            return if tag == BOOLEAN { expect(&mut own, OCTET_STRING) } else { Some(value) };
        }
    }
    None
}

/// The attributes 2.5.4.x of a name.
fn attributes(mut name: &[u8]) -> Option<Vec<(u8, String)>> {
    let mut found = Vec::new();
    while !name.is_empty() {
        let mut set = expect(&mut name, SET)?;
        while !set.is_empty() {
            let mut pair = expect(&mut set, SEQUENCE)?;
            let identifier = expect(&mut pair, OBJECT_IDENTIFIER)?;
            let (_, value, _) = take(&mut pair)?;
            if let [0x55, 4, attribute] = identifier {
                found.push((*attribute, String::from_utf8_lossy(value).into_owned()));
            }
        }
    }
    Some(found)
}

fn alternative_names(mut value: &[u8]) -> Option<Vec<(u8, String)>> {
    let mut found = Vec::new();
    let mut names = expect(&mut value, SEQUENCE)?;
    while !names.is_empty() {
        let (kind, name, _) = take(&mut names)?;
        let text = match (kind, name) {
            (IP_ADDRESS, [a, b, c, d]) => std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string(),
            (IP_ADDRESS, _) => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(name).ok()?).to_string(),
            _ => String::from_utf8_lossy(name).into_owned(),
        };
        found.push((kind, text));
    }
    Some(found)
}

/// The next doll of a row: its tag, what is in it, and the whole of it.
#[inline(never)]
fn take<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8], &'a [u8])> {
    let all = *rest;
    let (tag, length) = (*all.first()?, *all.get(1)?);
    let (size, start) = if length < 0x80 {
        (usize::from(length), 2)
    } else {
        let digits = all.get(2..2 + usize::from(length & 0x7f)).filter(|digits| digits.len() <= 3)?;
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), 2 + digits.len())
    };
    let content = all.get(start..start + size)?;
    *rest = &all[start + size..];
    Some((tag, content, &all[..start + size]))
}

/// What is in the next one, which has to have this tag.
#[inline(never)]
fn expect<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    take(rest).filter(|(own, ..)| *own == tag).map(|(_, content, _)| content)
}

/// One doll around several.
fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let size = content.len();
    let mut whole = vec![tag];
    if size < 0x80 {
        whole.push(size as u8);
    } else {
        let digits = (size as u32).to_be_bytes();
        let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
        whole.push(0x80 | digits.len() as u8);
        whole.extend(digits);
    }
    whole.extend(content);
    whole
}

/// An instant, with two digits of its year as long as that will do.
fn moment(unix_s: i64) -> Vec<u8> {
    let mut digits = time::rfc3339_of(unix_s).to_string();
    digits.retain(|letter| !matches!(letter, '-' | ':' | 'T'));
    match digits.as_str() < "2050" {
        true => wrap(UTC_TIME, &[&digits.as_bytes()[2..]]),
        false => wrap(GENERALIZED_TIME, &[digits.as_bytes()]),
    }
}

fn instant(tag: u8, digits: &[u8]) -> Option<i64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let century = match tag {
        UTC_TIME if digits < "50" => "20",
        UTC_TIME => "19",
        _ => "",
    };
    let all = [century, digits].concat();
    let part = |from: usize| all.get(from..from + 2).unwrap_or("");
    let text =
        [part(0), part(2), "-", part(4), "-", part(6), "T", part(8), ":", part(10), ":", part(12), "Z"];
    time::parse_rfc3339(&text.concat()).map(|us| us / 1_000_000)
}

#[cfg(test)]
mod tests;
