//! Addresses: `RTM_NEWADDR`, `RTM_DELADDR`.

use std::net::IpAddr;

use fib::adjacency::LinkIndex;
use fib::change::{Address, Change, Scope};
use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::Announcement;

/// The address a message tells of. IPv4 names the own address `IFA_LOCAL` and the far end `IFA_ADDRESS`; IPv6 names
/// its own `IFA_ADDRESS` unless there is a far end (include/uapi/linux/if_addr.h, inet6_fill_ifaddr).
pub(super) fn read(message: &AddressMessage, change: fn(Address) -> Change) -> Announcement {
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let mut local = None;
    let mut given = None;
    let mut broadcast = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => given = Some(*address),
            AddressAttribute::Broadcast(address) => broadcast = Some(IpAddr::V4(*address)),
            // Holds all flags; the header has room for the lowest eight only.
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let Some(own) = local.or(given) else {
        return Announcement::Ignored;
    };
    let Ok(net) = IpNet::new(own, message.header.prefix_len) else {
        return Announcement::Ignored;
    };
    Announcement::Change(change(Address {
        link: LinkIndex(message.header.index),
        net,
        peer: given.filter(|peer| *peer != own),
        broadcast,
        scope: Scope(message.header.scope.into()),
        secondary: own.is_ipv4() && flags.contains(AddressFlags::Secondary),
        tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
            && !flags.contains(AddressFlags::Optimistic),
        deprecated: flags.contains(AddressFlags::Deprecated),
    }))
}
