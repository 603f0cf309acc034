//! Sets of addresses in the kernel, which rules refer to by name.
//!
//! Picture to hold in mind: the guest list at the door. The rule says "who is on the list may pass"; the list is
//! changed without a word of the rule being touched.
//!
//! After ipset(8) and the kernel's `net/netfilter/ipset`.

use core::net::IpAddr;

use crate::api::Text;
use crate::network::ipam::Cidr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpSet {
    pub name: Text,
    /// `hash:net`: of ranges; else of single addresses, `hash:ip`.
    pub is_of_ranges: bool,
    /// With those that the set leaves out of a larger range (`nomatch`).
    pub entries: Vec<(Cidr, bool)>,
}

impl IpSet {
    /// Of the ranges that hold `address` the smallest decides.
    pub fn contains(&self, address: IpAddr) -> bool {
        let holding = self.entries.iter().filter(|(range, _)| range.contains(address));
        holding.max_by_key(|(range, _)| range.prefix_length()).is_some_and(|(_, is_left_out)| !is_left_out)
    }
    /// As `ipset list` prints it.
    pub fn list(&self) -> String {
        let kind = if self.is_of_ranges { "hash:net" } else { "hash:ip" };
        let mut text = format!(
            "Name: {}\nType: {kind}\nHeader: family inet hashsize 1024 maxelem 65536 timeout 0\nNumber of entries: {}\nMembers:\n",
            self.name,
            self.entries.len(),
        );
        for (range, is_left_out) in &self.entries {
            match range.prefix_length() {
                32 => text += &range.address(0).to_string(),
                _ => text += &range.to_string(),
            }
            text += if *is_left_out { " timeout 0 nomatch\n" } else { " timeout 0\n" };
        }
        text
    }
}
