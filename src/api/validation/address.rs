//! IP addresses and CIDR blocks.
//!
//! Picture to hold in mind: a clerk who still accepts the old spelling from papers filed long ago (leading
//! zeros), but from nobody new.
//!
//! Follows `k8s.io/apimachinery/pkg/util/validation/ip.go` with `StrictIPCIDRValidation` on, as in 1.36, and
//! `k8s.io/utils/net`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::errors::Errors;
use crate::api::field::{FieldPath, go_quote};

/// `ParseIPSloppy`: an address, in the old spelling too.
pub fn parse(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// An address and a prefix length in bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cidr {
    pub address: IpAddr,
    pub bits: u32,
}

impl Cidr {
    /// `ParseCIDRSloppy`.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, bits) = text.split_once('/')?;
        let address = parse(address)?;
        if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let bits: u32 = bits.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        (bits <= width).then_some(Cidr { address, bits })
    }
    /// The block's first address.
    pub fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
            }
        }
    }
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Cidr { address, bits: self.bits }.network() == self.network()
    }
    /// Whether the text has only digits without leading zeros, so that Go's strict parser takes it.
    fn is_strictly_spelt(text: &str) -> bool {
        let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
        address.parse::<IpAddr>().is_ok() && (bits == "0" || !bits.starts_with('0'))
    }
}

/// The network as Go prints it: `10.0.0.0/8`.
impl std::fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.network(), self.bits)
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

/// An address as Go prints it: one that is an IPv4 address in IPv6 clothes, as IPv4.
pub fn canonical(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| v6.to_string(), |v4| v4.to_string()),
        IpAddr::V4(v4) => v4.to_string(),
    }
}

pub fn is_ipv6(text: &str) -> bool {
    parse(text).is_some_and(|address| address.is_ipv6() && !is_mapped(address))
}

/// `IsValidIPForLegacyField`; `valid_before` are values that the object already had.
pub fn legacy_ip<'a>(
    path: &FieldPath,
    text: &str,
    valid_before: impl IntoIterator<Item = &'a str>,
    errors: &mut Errors,
) {
    if valid_before.into_iter().any(|old| old == text) {
        return;
    }
    check_ip(path, text, errors);
}

fn check_ip(path: &FieldPath, text: &str, errors: &mut Errors) -> Option<IpAddr> {
    let Some(address) = parse(text) else {
        errors.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return None;
    };
    let before = errors.len();
    if text.parse::<IpAddr>().is_err() {
        errors.invalid(path, text, "must not have leading 0s");
    } else if is_mapped(address) {
        errors.invalid(path, text, "must not be an IPv4-mapped IPv6 address");
    }
    (errors.len() == before).then_some(address)
}

/// `IsValidIP`: in canonical form too.
pub fn ip(path: &FieldPath, text: &str, errors: &mut Errors) {
    if let Some(address) = check_ip(path, text, errors)
        && canonical(address) != text
    {
        errors.invalid(path, text, format!("must be in canonical form ({})", go_quote(&canonical(address))));
    }
}

/// `IsValidCIDRForLegacyField`. The block, where the text is one at all.
pub fn legacy_cidr<'a>(
    path: &FieldPath,
    text: &str,
    valid_before: impl IntoIterator<Item = &'a str>,
    errors: &mut Errors,
) -> Option<Cidr> {
    if valid_before.into_iter().any(|old| old == text) {
        return Cidr::parse(text);
    }
    check_cidr(path, text, errors)
}

fn check_cidr(path: &FieldPath, text: &str, errors: &mut Errors) -> Option<Cidr> {
    let Some(cidr) = Cidr::parse(text) else {
        errors.invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        return None;
    };
    if !Cidr::is_strictly_spelt(text) {
        errors.invalid(path, text, "must not have leading 0s in IP or prefix length");
    } else if is_mapped(cidr.address) {
        errors.invalid(path, text, "must not have an IPv4-mapped IPv6 address");
    } else if cidr.network() != cidr.address {
        errors.invalid(path, text, "must not have bits set beyond the prefix length");
    }
    Some(cidr)
}

/// `IsValidCIDR`: in canonical form too.
pub fn cidr(path: &FieldPath, text: &str, errors: &mut Errors) {
    let before = errors.len();
    if let Some(cidr) = check_cidr(path, text, errors)
        && errors.len() == before
        && cidr.to_string() != text
    {
        errors.invalid(path, text, format!("must be in canonical form ({})", go_quote(&cidr.to_string())));
    }
}

/// `IsDualStackIPStrings` and `IsDualStackCIDRStrings`: both families are there.
pub fn is_dual_stack<'a>(texts: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = (false, false);
    for text in texts {
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        if is_ipv6(address) { seen.1 = true } else { seen.0 = true }
    }
    seen == (true, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_upstream_does() {
        for (text, expected) in [
            (
                "10.96.0.300",
                "x: Invalid value: \"10.96.0.300\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
            ("010.1.1.1", "x: Invalid value: \"010.1.1.1\": must not have leading 0s"),
            (
                "::ffff:1.2.3.4",
                "x: Invalid value: \"::ffff:1.2.3.4\": must not be an IPv4-mapped IPv6 address",
            ),
            ("2001:DB8::1", "x: Invalid value: \"2001:DB8::1\": must be in canonical form (\"2001:db8::1\")"),
            ("10.0.0.1", ""),
        ] {
            let mut errors = Errors::new();
            ip(&FieldPath::new("x"), text, &mut errors);
            let found =
                errors.into_list().iter().map(|error| error.to_string()).collect::<Vec<_>>().join("; ");
            assert_eq!(found, expected);
        }
        for (text, expected) in [
            ("192.168.1.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
            ("10.1.2.3/8", "must not have bits set beyond the prefix length"),
            ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
            ("10.0.0.0/8", ""),
        ] {
            let mut errors = Errors::new();
            legacy_cidr(&FieldPath::new("x"), text, [], &mut errors);
            assert_eq!(
                errors.into_list().pop().map_or(String::new(), |error| error.detail),
                expected,
                "{text}"
            );
        }
    }
}
