//! `host-local`: addresses out of the node's own range.
//!
//! Picture to hold in mind: a ledger of numbered keys. The clerk remembers the last key given out and hands
//! over the next free one, so a returned key rests until the whole board has been gone round.
//!
//! Follows `containernetworking/plugins` `plugins/ipam/host-local/backend/allocator`: the network's own and
//! the broadcast address are never given out, the first usable one is the gateway's.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::api::Text;
use crate::sorted::SortedMap;

/// A range of addresses: `10.244.1.0/24`, `fd00:10:244:1::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: u128,
    prefix_length: u8,
    is_ipv6: bool,
}

impl Cidr {
    /// `None` for what is not a CIDR. Bits below the prefix are cleared.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, length) = text.split_once('/')?;
        let prefix_length: u8 = length.parse().ok()?;
        let (bits, width, is_ipv6) = match address.parse().ok()? {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32, false),
            IpAddr::V6(v6) => (u128::from(v6), 128, true),
        };
        if prefix_length > width {
            return None;
        }
        let host_bits = u32::from(width - prefix_length);
        let mask = if host_bits == 128 { 0 } else { u128::MAX << host_bits };
        Some(Cidr { base: bits & mask, prefix_length, is_ipv6 })
    }
    /// The range of one address.
    pub fn one(address: IpAddr) -> Cidr {
        match address {
            IpAddr::V4(v4) => Cidr { base: u128::from(u32::from(v4)), prefix_length: 32, is_ipv6: false },
            IpAddr::V6(v6) => Cidr { base: u128::from(v6), prefix_length: 128, is_ipv6: true },
        }
    }
    pub fn is_ipv6(self) -> bool {
        self.is_ipv6
    }
    /// Sorts as routing tables are printed: by family, address and length.
    pub fn order(self) -> (bool, u128, u8) {
        (self.is_ipv6, self.base, self.prefix_length)
    }
    pub fn prefix_length(self) -> u8 {
        self.prefix_length
    }
    pub fn contains(self, address: IpAddr) -> bool {
        let bits = match address {
            IpAddr::V4(v4) if !self.is_ipv6 => u128::from(u32::from(v4)),
            IpAddr::V6(v6) if self.is_ipv6 => u128::from(v6),
            _ => return false,
        };
        bits.checked_sub(self.base).is_some_and(|offset| offset <= self.last_offset())
    }
    fn last_offset(self) -> u128 {
        let host_bits = (if self.is_ipv6 { 128 } else { 32 }) - u32::from(self.prefix_length);
        if host_bits == 128 { u128::MAX } else { (1 << host_bits) - 1 }
    }
    /// The address at `offset` from the range's base.
    pub fn address(self, offset: u128) -> IpAddr {
        let bits = self.base.wrapping_add(offset);
        if self.is_ipv6 { IpAddr::V6(Ipv6Addr::from(bits)) } else { IpAddr::V4(Ipv4Addr::from(bits as u32)) }
    }
    /// The first usable address: the bridge's own.
    pub fn gateway(self) -> IpAddr {
        self.address(1)
    }
    /// The last address that is given out: the one before the broadcast address.
    fn last_usable(self) -> u128 {
        let last = self.last_offset();
        if self.is_ipv6 { last } else { last.saturating_sub(1) }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.address(0), self.prefix_length)
    }
}

/// The ledger of one range set.
#[derive(Clone, Debug)]
pub struct HostLocal {
    range: Cidr,
    last_reserved: u128,
    /// Offset in the range to the container that holds it.
    reserved: SortedMap<u128, Text>,
}

impl HostLocal {
    pub fn new(range: Cidr) -> HostLocal {
        // As if the gateway had been given out last: the first pod gets the next one.
        HostLocal { range, last_reserved: 1, reserved: SortedMap::new() }
    }
    pub fn range(&self) -> Cidr {
        self.range
    }
    pub fn reserved(&self) -> impl Iterator<Item = (IpAddr, &Text)> {
        self.reserved.iter().map(|(offset, holder)| (self.range.address(*offset), holder))
    }
    /// Reserves the next free address for `holder`. The error is the plugin's own.
    pub fn allocate(&mut self, holder: &Text) -> Result<IpAddr, String> {
        let (first, last) = (2, self.range.last_usable());
        let exhausted = || {
            let (from, to) = (self.range.address(1), self.range.address(last));
            format!("no IP addresses available in range set: {from}-{to}")
        };
        // At most one more try than there are addresses in use finds a free one.
        let usable = last.saturating_sub(first).saturating_add(1);
        if last < first || self.reserved.len() as u128 >= usable {
            return Err(exhausted());
        }
        let mut offset = self.last_reserved;
        for _ in 0..=self.reserved.len() {
            offset = if offset >= last { first } else { offset + 1 };
            if !self.reserved.contains_key(&offset) {
                self.reserved.insert(offset, holder.clone());
                self.last_reserved = offset;
                return Ok(self.range.address(offset));
            }
        }
        Err(exhausted())
    }
    /// Releases what `holder` has reserved; true if it had something.
    pub fn release(&mut self, holder: &str) -> bool {
        let before = self.reserved.len();
        self.reserved.retain(|_, name| name != holder);
        self.reserved.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_printed() {
        let cases = [
            ("10.244.1.0/24", Some("10.244.1.0/24"), "10.244.1.1"),
            ("10.22.3.4/16", Some("10.22.0.0/16"), "10.22.0.1"),
            ("fd00:10:244::/64", Some("fd00:10:244::/64"), "fd00:10:244::1"),
            ("10.244.1.0", None, ""),
            ("10.244.1.0/33", None, ""),
            ("pods/24", None, ""),
        ];
        for (text, printed, gateway) in cases {
            let cidr = Cidr::parse(text);
            assert_eq!(cidr.map(|cidr| cidr.to_string()).as_deref(), printed, "{text}");
            if let Some(cidr) = cidr {
                assert_eq!(cidr.gateway().to_string(), gateway);
            }
        }
    }

    #[test]
    fn addresses_go_round_and_run_out() {
        let mut ipam = HostLocal::new(Cidr::parse("10.0.0.0/29").unwrap());
        let mut take = |name: &str| ipam.allocate(&name.into()).map(|address| address.to_string());
        assert_eq!(take("a").unwrap(), "10.0.0.2");
        assert_eq!(take("b").unwrap(), "10.0.0.3");
        for name in ["c", "d", "e"] {
            take(name).unwrap();
        }
        assert_eq!(take("f").unwrap_err(), "no IP addresses available in range set: 10.0.0.1-10.0.0.6");
        assert!(ipam.release("b"));
        assert!(!ipam.release("b"));
        assert_eq!(ipam.allocate(&"g".into()).unwrap().to_string(), "10.0.0.3");
    }

    #[test]
    fn a_returned_address_rests() {
        let mut ipam = HostLocal::new(Cidr::parse("10.0.0.0/24").unwrap());
        assert_eq!(ipam.allocate(&"a".into()).unwrap().to_string(), "10.0.0.2");
        ipam.release("a");
        assert_eq!(ipam.allocate(&"b".into()).unwrap().to_string(), "10.0.0.3");
    }
}
