//! The libraries that Kubernetes adds to the language, and the values they make: addresses, URLs, versions, formats, and
//! the authorizer.
//!
//! Picture to hold in mind: the reference shelf behind the clerk: the street directory, the table of editions, the box of
//! stencils, and the telephone to the doorman.
//!
//! Follows `k8s.io/apiserver/pkg/cel/library` (`ip.go`, `cidr.go`, `urls.go`, `semverlib.go`, `format.go`, `authz.go`,
//! `jsonpatch.go`), Go's `net/netip` and `net/url`, and `github.com/blang/semver/v4`.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::evaluate::{Evaluator, failure, no_such_overload};
use super::{Cel, Failure};
use crate::api::field::go_quote;
use crate::api::validation::format as names;
use crate::api::value::{Text, Value};
use crate::arrange::Gather;

type Outcome = Result<Cel, Failure>;

/// A value of one of the libraries.
#[derive(Clone, Debug, PartialEq)]
pub enum Opaque {
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Url(Url),
    Version(Version),
    /// By its name in the library.
    Format(Text),
    Check(Check),
    Decision(Decision),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Url {
    whole: Text,
    scheme: Text,
    host: Text,
    path: Text,
    query: Text,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    numbers: [u64; 3],
    before: Text,
    build: Text,
}

/// What the authorizer is going to be asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// `namespace`, `name` of a service account that asks instead of the request's user.
    pub account: Option<(Text, Text)>,
    pub path: Text,
    /// There for questions about resources.
    pub group: Option<Text>,
    pub resource: Text,
    pub subresource: Text,
    pub namespace: Text,
    pub name: Text,
    pub field_selector: Text,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    pub is_allowed: bool,
    pub reason: Text,
    pub error: Text,
}

impl Opaque {
    pub fn type_name(&self) -> &'static str {
        match self {
            Opaque::Ip(_) => "net.IP",
            Opaque::Cidr(..) => "net.CIDR",
            Opaque::Url(_) => "kubernetes.URL",
            Opaque::Version(_) => "kubernetes.Semver",
            Opaque::Format(_) => "kubernetes.NamedFormat",
            Opaque::Check(check) if !check.path.is_empty() => "kubernetes.authorization.PathCheck",
            Opaque::Check(check) if !check.resource.is_empty() => "kubernetes.authorization.ResourceCheck",
            Opaque::Check(Check { group: Some(_), .. }) => "kubernetes.authorization.GroupCheck",
            Opaque::Check(_) => "kubernetes.authorization.Authorizer",
            Opaque::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
    /// As `string()` has it.
    pub fn text(&self) -> Option<String> {
        match self {
            Opaque::Ip(address) => Some(address.to_string()),
            Opaque::Cidr(address, bits) => Some([&address.to_string(), "/", &bits.to_string()].concat()),
            _ => None,
        }
    }
}

fn opaque(value: Opaque) -> Cel {
    Cel::Opaque(Arc::new(value))
}

/// What stands for the authorizer, and for it asked about the request's own resource.
pub fn authorizer(check: Check) -> Cel {
    opaque(Opaque::Check(check))
}

fn parse_ip(text: &str) -> Result<IpAddr, Failure> {
    let quoted = go_quote(text);
    let Ok(address) = text.split('%').next().unwrap_or("").parse::<IpAddr>() else {
        let why = "): unable to parse IP";
        return Err(failure(&[
            "IP Address ",
            &quoted,
            " parse error during conversion from string: ParseAddr(",
            &quoted,
            why,
        ]));
    };
    if text.contains('%') {
        return Err(failure(&["IP address ", &quoted, " with zone value is not allowed"]));
    }
    if matches!(address, IpAddr::V6(own) if own.to_ipv4_mapped().is_some()) {
        return Err(failure(&["IPv4-mapped IPv6 address ", &quoted, " is not allowed"]));
    }
    Ok(address)
}

fn parse_cidr(text: &str) -> Result<(IpAddr, u8), Failure> {
    const START: &str = "network address parse error during conversion from string: ";
    let quoted = go_quote(text);
    let wrong = |why: &str| failure(&[START, START, "netip.ParsePrefix(", &quoted, "): ", why]);
    let Some((address, bits)) = text.rsplit_once('/') else { return Err(wrong("no '/'")) };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(wrong(&["ParseAddr(", &go_quote(address), "): unable to parse IP"].concat()));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let number = bits.parse::<u8>().ok().filter(|_| {
        bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'))
    });
    match number {
        None => Err(wrong(&["bad bits after slash: ", &go_quote(bits)].concat())),
        Some(number) if number > most => Err(wrong("prefix length out of range")),
        Some(_) if matches!(address, IpAddr::V6(own) if own.to_ipv4_mapped().is_some()) => {
            Err(failure(&[START, "IPv4-mapped IPv6 address ", &quoted, " is not allowed"]))
        }
        Some(number) => Ok((address, number)),
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(own) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from(u32::from(own) & mask).into()
        }
        IpAddr::V6(own) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from(u128::from(own) & mask).into()
        }
    }
}

fn of_ip(name: &str, address: IpAddr) -> Outcome {
    let is_link_local = match address {
        IpAddr::V4(own) => own.is_link_local(),
        IpAddr::V6(own) => own.segments()[0] & 0xffc0 == 0xfe80,
    };
    Ok(match name {
        "family" => (if address.is_ipv4() { 4 } else { 6 }).into(),
        "isUnspecified" => address.is_unspecified().into(),
        "isLoopback" => address.is_loopback().into(),
        "isLinkLocalUnicast" => is_link_local.into(),
        "isLinkLocalMulticast" => match address {
            IpAddr::V4(own) => own.octets()[..3] == [224, 0, 0],
            IpAddr::V6(own) => own.segments()[0] & 0xff0f == 0xff02,
        }
        .into(),
        "isGlobalUnicast" => {
            let is_broadcast = matches!(address, IpAddr::V4(own) if own.is_broadcast());
            let is_special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
            (!is_broadcast && !is_special && !is_link_local).into()
        }
        _ => return Err(no_such_overload()),
    })
}

fn of_cidr(name: &str, address: IpAddr, bits: u8, rest: &[Cel]) -> Outcome {
    let holds = |other: IpAddr, own: u8| {
        other.is_ipv4() == address.is_ipv4() && bits <= own && masked(other, bits) == masked(address, bits)
    };
    Ok(match (name, rest) {
        ("ip", []) => opaque(Opaque::Ip(address)),
        ("prefixLength", []) => i64::from(bits).into(),
        ("masked", []) => opaque(Opaque::Cidr(masked(address, bits), bits)),
        ("containsIP" | "containsCIDR", [other]) => {
            let (other, own) = match (other.as_str(), other) {
                (Some(text), _) if name == "containsIP" => (parse_ip(text)?, 128),
                (Some(text), _) => parse_cidr(text)?,
                (None, Cel::Opaque(other)) => match **other {
                    Opaque::Ip(address) if name == "containsIP" => (address, 128),
                    Opaque::Cidr(address, bits) if name == "containsCIDR" => (address, bits),
                    _ => return Err(no_such_overload()),
                },
                _ => return Err(no_such_overload()),
            };
            holds(other, own).into()
        }
        _ => return Err(no_such_overload()),
    })
}

/// The bytes behind a `%`, put back; `None` where there are none.
fn unescape(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&pair).ok().filter(|pair| !pair.starts_with('+'))?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Up to the `%` that is no escape, two behind it.
fn bad_escape(text: &str) -> Option<&str> {
    let start = text.match_indices('%').find(|(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })?;
    let rest = &text[start.0..];
    Some(rest.char_indices().nth(3).map_or(rest, |(end, _)| &rest[..end]))
}

/// `url.ParseRequestURI`, and `url.Parse` as to the fragment; the error is Go's.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let fail = |why: &str| Err(["parse ", &go_quote(text), ": ", why].concat());
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return fail("net/url: invalid control character in URL");
    }
    if text.is_empty() {
        return fail("empty url");
    }
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let (mut scheme, mut rest) = ("", text);
    if let Some(end) = text.find(|c: char| !is_scheme(c))
        && text[end..].starts_with(':')
    {
        if end == 0 {
            return fail("missing protocol scheme");
        }
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            (scheme, rest) = (&text[..end], &text[end + 1..]);
        }
    }
    if scheme.is_empty()
        && text.split('/').next().is_some_and(|start| start.contains(':'))
        && !text.starts_with('/')
    {
        return fail("first path segment in URL cannot contain colon");
    }
    if !rest.starts_with('/') && scheme.is_empty() {
        return fail("invalid URI for request");
    }
    let rest = rest.split('#').next().unwrap_or("");
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url {
        whole: text.into(),
        scheme: scheme.to_ascii_lowercase().into(),
        query: query.into(),
        ..Url::default()
    };
    if !before.starts_with('/') {
        // Opaque: `mailto:a@b`.
        return Ok(url);
    }
    let has_authority = before.starts_with("//") && (!scheme.is_empty() || !before.starts_with("///"));
    let (authority, path) = match before.strip_prefix("//").filter(|_| has_authority) {
        Some(inner) => inner.split_at(inner.find('/').unwrap_or(inner.len())),
        None => ("", before),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, port)) => port,
            None => return fail("missing ']' in host"),
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    if let Some(digits) = port.strip_prefix(':') {
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return fail(&["invalid port ", &go_quote(port), " after host"].concat());
        }
    } else if !port.is_empty() {
        return fail(&["invalid port ", &go_quote(port), " after host"].concat());
    }
    let is_wrong =
        |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.~!$&'()*+,;=:[]<>\"%".contains(c);
    if let Some(wrong) = host.chars().find(|c| is_wrong(*c)) {
        return fail(&["invalid character ", &go_quote(&wrong.to_string()), " in host name"].concat());
    }
    for part in [host, path] {
        if let Some(escape) = bad_escape(part) {
            return fail(&["invalid URL escape ", &go_quote(escape)].concat());
        }
    }
    url.host = unescape(host, false).unwrap_or_default().into();
    url.path = path.into();
    Ok(url)
}

fn of_url(name: &str, url: &Url) -> Outcome {
    let is_bracketed = url.host.starts_with('[');
    let port = match url.host.rfind(':') {
        Some(at) if !is_bracketed || url.host[..at].ends_with(']') => at,
        _ => url.host.len(),
    };
    Ok(match name {
        "getScheme" => Cel::from(&url.scheme),
        "getHost" => Cel::from(&url.host),
        "getHostname" => url.host[..port].trim_start_matches('[').trim_end_matches(']').into(),
        "getPort" => url.host[port..].trim_start_matches(':').into(),
        "getEscapedPath" => {
            let mut out = String::new();
            for byte in url.path.bytes() {
                if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
            out.into()
        }
        "getQuery" => {
            let mut all: Vec<(Text, Vec<Cel>)> = Vec::new();
            for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let (Some(key), Some(value)) = (unescape(key, true), unescape(value, true)) else { continue };
                match all.iter_mut().find(|(own, _)| *own == key) {
                    Some((_, values)) => values.push(value.into()),
                    None => all.push((key.into(), vec![value.into()])),
                }
            }
            Cel::Map(Arc::new(all.into_iter().map(|(key, values)| (key.into(), Cel::list(values))).collect()))
        }
        _ => return Err(no_such_overload()),
    })
}

/// `semver.Parse`, or with `is_lenient` as Kubernetes tolerates versions; the error is Go's.
fn parse_version(text: &str, is_lenient: bool) -> Result<Version, String> {
    let mut lenient = String::new();
    let mut text = text;
    if is_lenient {
        let mut count = 0;
        for part in text.strip_prefix('v').unwrap_or(text).splitn(3, '.') {
            if count > 0 {
                lenient.push('.');
            }
            count += 1;
            let rest = if part.len() > 1 { part.trim_start_matches('0') } else { part };
            if part.len() > 1 && !rest.starts_with(|c: char| c.is_ascii_digit()) {
                lenient.push('0');
            }
            lenient.push_str(rest);
        }
        if count < 3 && lenient.contains(['+', '-']) {
            return Err("Short version cannot contain PreRelease/Build meta data".to_owned());
        }
        lenient.push_str(["", ".0.0", ".0", ""][count]);
        text = &lenient;
    }
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    let mut parts = text.splitn(3, '.');
    let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
    let (patch, before) = rest.split_once('-').map_or((rest, None), |(rest, before)| (rest, Some(before)));
    let mut numbers = [0; 3];
    for (index, text) in [major, minor, patch].into_iter().enumerate() {
        let quoted = go_quote(text);
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let what = ["major", "minor", "patch"][index];
            return Err(["Invalid character(s) found in ", what, " number ", &quoted].concat());
        }
        let what = ["Major", "Minor", "Patch"][index];
        if text.len() > 1 && text.starts_with('0') {
            return Err([what, " number must not contain leading zeroes ", &quoted].concat());
        }
        numbers[index] = text.parse().map_err(|_| [what, " number out of range ", &quoted].concat())?;
    }
    for (what, words, all) in
        [("Prerelease", "prerelease", before), ("Build meta data", "build meta data", build)]
    {
        for part in all.into_iter().flat_map(|all| all.split('.')) {
            if part.is_empty() {
                return Err([what, " is empty"].concat());
            }
            if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(["Invalid character(s) found in ", words, " ", &go_quote(part)].concat());
            }
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            if what == "Prerelease" && part.len() > 1 && part.starts_with('0') && is_number {
                let quoted = go_quote(part);
                return Err(["Numeric PreRelease version must not contain leading zeroes ", &quoted].concat());
            }
        }
    }
    Ok(Version { numbers, before: before.unwrap_or("").into(), build: build.unwrap_or("").into() })
}

/// Builds count for nothing; a version that is still to come is before the version itself.
fn compare_versions(a: &Version, b: &Version) -> Ordering {
    let whole = a.numbers.cmp(&b.numbers).then(a.before.is_empty().cmp(&b.before.is_empty()));
    if whole.is_ne() {
        return whole;
    }
    let (mut left, mut right) = (a.before.split('.'), b.before.split('.'));
    loop {
        let (a, b) = match (left.next(), right.next()) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => return a.is_some().cmp(&b.is_some()),
        };
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            // Numbers come before words.
            (own, other) => other.is_ok().cmp(&own.is_ok()).then(a.cmp(b)),
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn of_version(name: &str, own: &Version, rest: &[Cel]) -> Outcome {
    let order = match rest {
        [Cel::Opaque(other)] => match &**other {
            Opaque::Version(other) => Some(compare_versions(own, other)),
            _ => return Err(no_such_overload()),
        },
        [] => None,
        _ => return Err(no_such_overload()),
    };
    let number = |index: usize| i64::try_from(own.numbers[index]).unwrap_or(i64::MAX).into();
    Ok(match (name, order) {
        ("major", None) => number(0),
        ("minor", None) => number(1),
        ("patch", None) => number(2),
        ("isGreaterThan", Some(order)) => order.is_gt().into(),
        ("isLessThan", Some(order)) => order.is_lt().into(),
        ("compareTo", Some(order)) => (order as i64).into(),
        _ => return Err(no_such_overload()),
    })
}

/// What is wrong with a text as to a format.
fn complaints(format: &str, text: &str) -> Vec<String> {
    let is_prefix = format.ends_with("Prefix");
    let dns1035 = |text: &str| {
        let masked = text.strip_suffix('-').filter(|start| is_prefix && !start.is_empty());
        names::dns1035_label(&masked.map_or_else(|| text.to_owned(), |start| [start, "a"].concat()))
    };
    let strfmt = |format: &str, why: &str| {
        if crate::api::custom::has_format(format, text) { Vec::new() } else { vec![why.to_owned()] }
    };
    match format.trim_end_matches("Prefix") {
        "dns1123Label" => names::name_is_label(text, is_prefix),
        "dns1123Subdomain" => names::name_is_subdomain(text, is_prefix),
        "dns1035Label" => dns1035(text),
        "qualifiedName" => names::qualified_name(text),
        "labelValue" => names::label_value(text),
        "uri" => parse_url(text).err().into_iter().collect(),
        "uuid" => strfmt("uuid", "does not match the UUID format"),
        "byte" => strfmt("byte", "invalid base64"),
        "date" => strfmt("date", "invalid date"),
        _ => strfmt("datetime", "invalid datetime"),
    }
}

/// `authorizer` and what is asked by it.
fn of_check(evaluator: &mut Evaluator, name: &str, check: &Check, rest: &[Cel]) -> Outcome {
    let mut check = check.clone();
    let kind = Opaque::Check(check.clone()).type_name();
    let kind = kind.rsplit('.').next().unwrap_or("");
    let texts: Vec<&str> = rest.iter().filter_map(Cel::as_str).gather();
    match (kind, name, &texts[..]) {
        ("Authorizer", "path", [path]) if path.trim().is_empty() => {
            return Err(failure(&["path must not be empty"]));
        }
        ("Authorizer", "path", [path]) => check.path = (*path).into(),
        ("Authorizer", "group", [group]) => check.group = Some((*group).into()),
        ("Authorizer", "serviceAccount", [namespace, name]) => {
            if !names::name_is_subdomain(name, false).is_empty() {
                return Err(failure(&["Invalid service account name"]));
            }
            if !names::name_is_label(namespace, false).is_empty() {
                return Err(failure(&["Invalid service account namespace"]));
            }
            check.account = Some(((*namespace).into(), (*name).into()));
        }
        ("GroupCheck", "resource", [resource]) if resource.trim().is_empty() => {
            return Err(failure(&["resource must not be empty"]));
        }
        ("GroupCheck", "resource", [resource]) => check.resource = (*resource).into(),
        ("ResourceCheck", "subresource", [own]) => check.subresource = (*own).into(),
        ("ResourceCheck", "namespace", [own]) => check.namespace = (*own).into(),
        ("ResourceCheck", "name", [own]) => check.name = (*own).into(),
        ("ResourceCheck", "fieldSelector", [own]) => check.field_selector = (*own).into(),
        // No authorizer asks for labels.
        ("ResourceCheck", "labelSelector", [_]) => {}
        ("ResourceCheck" | "PathCheck", "check", [verb]) => {
            let Some(judge) = evaluator.judge else { return Err(no_such_overload()) };
            return Ok(opaque(Opaque::Decision(judge(&check, verb))));
        }
        _ => return Err(no_such_overload()),
    }
    Ok(opaque(Opaque::Check(check)))
}

/// Functions behind a dot of a library's value.
pub fn member(evaluator: &mut Evaluator, name: &str, target: &Opaque, rest: &[Cel]) -> Outcome {
    match (target, name, rest) {
        (Opaque::Ip(address), _, []) => of_ip(name, *address),
        (Opaque::Cidr(address, bits), ..) => of_cidr(name, *address, *bits, rest),
        (Opaque::Url(url), _, []) => of_url(name, url),
        (Opaque::Version(version), ..) => of_version(name, version, rest),
        (Opaque::Check(check), ..) => of_check(evaluator, name, check, rest),
        (Opaque::Format(format), "validate", [Cel::Value(Value::String(text))]) => {
            let found = complaints(format, text);
            let list = Cel::list(found.iter().map(|own| own.as_str().into()).collect());
            Ok(Cel::optional((!found.is_empty()).then_some(list)))
        }
        (Opaque::Decision(decision), "allowed", []) => Ok(decision.is_allowed.into()),
        (Opaque::Decision(decision), "reason", []) => Ok(Cel::from(&decision.reason)),
        (Opaque::Decision(decision), "errored", []) => Ok((!decision.error.is_empty()).into()),
        (Opaque::Decision(decision), "error", []) => Ok(Cel::from(&decision.error)),
        _ => Err(no_such_overload()),
    }
}

/// Functions of libraries that stand alone or behind the library's name; `None` for those of others.
pub fn call(name: &str, arguments: &[Cel]) -> Option<Outcome> {
    let text = arguments.first().and_then(Cel::as_str);
    let is_lenient = arguments.get(1).and_then(Cel::as_bool).unwrap_or(false);
    let wrong = |error: &str| failure(&[error]);
    Some(match (name, text) {
        ("ip", Some(text)) => parse_ip(text).map(|own| opaque(Opaque::Ip(own))),
        ("isIP", Some(text)) => Ok(parse_ip(text).is_ok().into()),
        ("ip.isCanonical", Some(text)) => parse_ip(text).map(|own| (own.to_string() == text).into()),
        ("cidr", Some(text)) => parse_cidr(text).map(|(own, bits)| opaque(Opaque::Cidr(own, bits))),
        ("isCIDR", Some(text)) => Ok(parse_cidr(text).is_ok().into()),
        ("url", Some(text)) => match parse_url(text) {
            Ok(url) => Ok(opaque(Opaque::Url(url))),
            Err(error) => Err(failure(&["URL parse error during conversion from string: ", &error])),
        },
        ("isURL", Some(text)) => Ok(parse_url(text).is_ok().into()),
        ("semver", Some(text)) => parse_version(text, is_lenient)
            .map(|own| opaque(Opaque::Version(own)))
            .map_err(|error| wrong(&error)),
        ("isSemver", Some(text)) => Ok(parse_version(text, is_lenient).is_ok().into()),
        ("format.named", Some(text)) => {
            let is_known = super::check::overloads(&["format.", text].concat()).is_some() && text != "named";
            Ok(Cel::optional(is_known.then(|| opaque(Opaque::Format(text.into())))))
        }
        ("jsonpatch.escapeKey", Some(text)) => Ok(text.replace('~', "~0").replace('/', "~1").into()),
        (name, None) if arguments.is_empty() && name.starts_with("format.") => {
            Ok(opaque(Opaque::Format(name["format.".len()..].into())))
        }
        _ => return None,
    })
}
