//! Neighbors: `RTM_NEWNEIGH`, `RTM_DELNEIGH`.

use std::net::IpAddr;

use fib::adjacency::{LinkIndex, Mac};
use fib::change::{Change, NeighborEntry, NeighborState};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteType;

use super::Announcement;

/// What is known of a neighbor.
pub(super) fn announced(message: &NeighbourMessage) -> Announcement {
    let Some((link, address)) = key(message) else {
        return Announcement::Ignored;
    };
    let state = match message.header.state {
        NeighbourState::None => NeighborState::None,
        NeighbourState::Incomplete => NeighborState::Incomplete,
        NeighbourState::Reachable => NeighborState::Reachable,
        NeighbourState::Stale => NeighborState::Stale,
        NeighbourState::Delay => NeighborState::Delay,
        NeighbourState::Probe => NeighborState::Probe,
        NeighbourState::Failed => NeighborState::Failed,
        NeighbourState::Noarp => NeighborState::NoArp,
        NeighbourState::Permanent => NeighborState::Permanent,
        _ => return Announcement::Unsupported("a neighbor state this program does not know"),
    };
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(octets) => octets.as_slice().try_into().map(Mac).ok(),
        _ => None,
    });
    Announcement::Change(Change::Neighbor(NeighborEntry { link, address, state, mac }))
}

/// A neighbor entry was removed.
pub(super) fn withdrawn(message: &NeighbourMessage) -> Announcement {
    match key(message) {
        Some((link, address)) => Announcement::Change(Change::NeighborGone { link, address }),
        None => Announcement::Ignored,
    }
}

/// Link and address, unless the entry is one of a bridge's forwarding table, an address to answer for by proxy, or
/// the mapping of a multicast, broadcast or own address, which no packet is forwarded to.
fn key(message: &NeighbourMessage) -> Option<(LinkIndex, IpAddr)> {
    if message.header.flags.contains(NeighbourFlags::Proxy) || message.header.ifindex == 0 {
        return None;
    }
    if matches!(message.header.kind, RouteType::Multicast | RouteType::Broadcast | RouteType::Local) {
        return None;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    Some((LinkIndex(message.header.ifindex), address))
}
