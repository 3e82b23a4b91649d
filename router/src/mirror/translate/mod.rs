//! One message of the kernel (rtnetlink) becomes one [`Change`]: pure, total, tested on recorded messages.

mod address;
mod link;
mod neighbor;
pub(super) mod netconf;
mod nexthop;
#[cfg(test)]
mod recorded;
mod route;
mod rule;

use fib::change::Change;
use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;

pub use netconf::{Netconf, NetconfScope};

/// `RTM_NEWNEXTHOP` (include/uapi/linux/rtnetlink.h), which libc does not name.
pub(super) const RTM_NEWNEXTHOP: u16 = 104;
/// `RTM_DELNEXTHOP`.
pub(super) const RTM_DELNEXTHOP: u16 = 105;
/// `RTM_GETNEXTHOP`.
pub(super) const RTM_GETNEXTHOP: u16 = 106;

/// What one message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Announcement {
    /// Something the routing tables have a word for.
    Change(Change),
    /// A setting changed; the kernel tells only some of them, so all of that link are to be read again.
    Settings(Netconf),
    /// The kernel forwards by something [`Change`] has no word for; the words say what was left out.
    Unsupported(&'static str),
    /// Nothing that concerns routing (a bridge's forwarding entry, a cached route, another family).
    Ignored,
}

/// A message that is not what its type promises. The kernel and this program disagree: nothing is applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rtnetlink message of type {kind} is not understood: {reason}")]
pub struct Unreadable {
    /// Message type (`RTM_*`).
    pub kind: u16,
    /// What the parser said.
    pub reason: String,
}

/// Says what the message of type `kind` (`RTM_*`) with this payload (what follows `struct nlmsghdr`) announces.
///
/// # Errors
/// The payload is too short for its type or carries an attribute of the wrong size.
pub fn translate(kind: u16, payload: &[u8]) -> Result<Announcement, Unreadable> {
    parse(kind, payload).map_err(|error| Unreadable { kind, reason: error.to_string() })
}

fn parse(kind: u16, payload: &[u8]) -> Result<Announcement, DecodeError> {
    Ok(match kind {
        libc::RTM_NEWLINK => link::announced(&LinkMessage::parse(payload)?),
        libc::RTM_DELLINK => link::withdrawn(&LinkMessage::parse(payload)?),
        libc::RTM_NEWADDR => address::read(&AddressMessage::parse(payload)?, Change::Address),
        libc::RTM_DELADDR => address::read(&AddressMessage::parse(payload)?, Change::AddressGone),
        libc::RTM_NEWROUTE => route::read(&RouteMessage::parse(payload)?, Change::Route),
        libc::RTM_DELROUTE => route::read(&RouteMessage::parse(payload)?, Change::RouteGone),
        libc::RTM_NEWRULE => rule::read(&RuleMessage::parse(payload)?, Change::Rule),
        libc::RTM_DELRULE => rule::read(&RuleMessage::parse(payload)?, Change::RuleGone),
        libc::RTM_NEWNEIGH => neighbor::announced(&NeighbourMessage::parse(payload)?),
        libc::RTM_DELNEIGH => neighbor::withdrawn(&NeighbourMessage::parse(payload)?),
        RTM_NEWNEXTHOP => nexthop::announced(payload)?,
        RTM_DELNEXTHOP => nexthop::withdrawn(payload)?,
        libc::RTM_NEWNETCONF | libc::RTM_DELNETCONF => netconf::read(payload)?,
        _ => Announcement::Ignored,
    })
}
