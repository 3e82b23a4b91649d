//! What a rule allows a translation to choose from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use conntrack::{Family, Status};

/// Which side of a packet is translated (`enum nf_nat_manip_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manip {
    /// Where it comes from: at postrouting, and at input.
    Source,
    /// Where it goes: at prerouting, and at output.
    Destination,
}

impl Manip {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }

    /// Set once this side has been decided.
    pub(super) const fn done(self) -> Status {
        match self {
            Self::Source => Status::SRC_NAT_DONE,
            Self::Destination => Status::DST_NAT_DONE,
        }
    }

    /// Set if this side is rewritten.
    pub(super) const fn applied(self) -> Status {
        match self {
            Self::Source => Status::SRC_NAT,
            Self::Destination => Status::DST_NAT,
        }
    }
}

/// Addresses and ids that a translation may choose from (`struct nf_nat_range2`). The default leaves both as they are, as
/// far as replies can be told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first and the last address, of one family; `None` leaves the address.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// The lowest and the highest id (port; ICMP id), in this order; `None` leaves it to the protocol: a destination's
    /// stays, a source's stays if it is free.
    pub ids: Option<(u16, u16)>,
    /// Chooses the id as far into `ids` as the packet's is behind this one (`NF_NAT_RANGE_PROTO_OFFSET`).
    pub base_id: Option<u16>,
    /// How it is chosen.
    pub flags: Flags,
}

/// How a translation chooses (`NF_NAT_RANGE_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// At random, even if the packet's own id is free.
    pub random: bool,
    /// As `random`; the two have long been the same to the kernel.
    pub fully_random: bool,
    /// The same address for a client, whatever it talks to.
    pub persistent: bool,
    /// The addresses are a prefix in place of the packet's own; host bits stay (`NF_NAT_RANGE_NETMAP`).
    pub netmap: bool,
}

impl Flags {
    /// Whether ids are chosen at random.
    pub(super) const fn is_random(self) -> bool {
        self.random || self.fully_random
    }
}

impl Range {
    /// This address only, and the id as it is.
    #[must_use]
    pub fn to(address: IpAddr) -> Self {
        Self { addresses: Some((address, address)), ..Self::default() }
    }

    /// Whether it can be applied to flows of this family.
    pub(super) fn is_of(&self, family: Family) -> bool {
        self.addresses.is_none_or(|(first, _)| first.is_ipv4() == (family == Family::Ipv4))
    }

    /// The range for a packet that bears this address: a prefix has one address for each (`nft_nat_setup_netmap`).
    pub(super) fn for_address(&self, address: IpAddr) -> Self {
        let mapped = match (self.addresses, address) {
            (Some((IpAddr::V4(first), IpAddr::V4(last))), IpAddr::V4(address)) if self.flags.netmap => {
                let host = u32::from(first) ^ u32::from(last);
                Ipv4Addr::from(u32::from(address) & host | u32::from(first) & !host).into()
            }
            (Some((IpAddr::V6(first), IpAddr::V6(last))), IpAddr::V6(address)) if self.flags.netmap => {
                let host = u128::from(first) ^ u128::from(last);
                Ipv6Addr::from(u128::from(address) & host | u128::from(first) & !host).into()
            }
            _ => return *self,
        };
        Self { addresses: Some((mapped, mapped)), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(first: &str, last: &str, address: &str) -> String {
        let addresses = Some((first.parse().unwrap(), last.parse().unwrap()));
        let flags = Flags { netmap: true, ..Flags::default() };
        let range = Range { addresses, flags, ..Range::default() };
        let (first, last) = range.for_address(address.parse().unwrap()).addresses.unwrap();
        assert_eq!(first, last);
        first.to_string()
    }

    #[test]
    fn a_prefix_is_put_in_place_and_host_bits_stay() {
        assert_eq!(mapped("192.0.2.0", "192.0.2.255", "10.1.2.77"), "192.0.2.77");
        assert_eq!(mapped("172.16.0.0", "172.31.255.255", "10.1.2.77"), "172.17.2.77");
        assert_eq!(mapped("192.0.2.9", "192.0.2.9", "10.1.2.77"), "192.0.2.9");
        assert_eq!(
            mapped("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", "fd00::1:2:3:4"),
            "2001:db8::1:2:3:4"
        );
    }

    #[test]
    fn without_the_flag_or_of_another_family_a_range_stays_as_it_is() {
        let range = Range {
            addresses: Some(("10.0.0.0".parse().unwrap(), "10.0.0.7".parse().unwrap())),
            ..Range::default()
        };
        assert_eq!(range.for_address("10.9.9.9".parse().unwrap()), range);
        let range = Range { flags: Flags { netmap: true, ..Flags::default() }, ..range };
        assert_eq!(range.for_address("fd00::1".parse().unwrap()), range);
        assert!(range.is_of(Family::Ipv4) && !range.is_of(Family::Ipv6));
        assert!(Range::default().is_of(Family::Ipv6));
    }
}
