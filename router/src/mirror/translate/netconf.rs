//! Which setting changed (`RTM_NEWNETCONF`), a message the netlink crate lacks.
//!
//! Layout: include/uapi/linux/netconf.h. The kernel tells of forwarding, rp_filter, mc_forwarding, proxy_neigh,
//! ignore_routes_with_linkdown and bc_forwarding; its word is taken only for *where* something changed.

use fib::adjacency::LinkIndex;
use netlink_packet_core::{DecodeError, NlasIterator, parse_i32};

use super::Announcement;

/// Bytes of `struct netconfmsg` (one byte, aligned).
const HEADER_SIZE: usize = 4;

const NETCONFA_IFINDEX: u16 = 1;
/// `NETCONFA_IFINDEX_ALL`.
const ALL: i32 = -1;
/// `NETCONFA_IFINDEX_DEFAULT`.
const DEFAULT: i32 = -2;

/// Where a setting changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netconf {
    /// True for `net.ipv6.conf`.
    pub ipv6: bool,
    /// Of which link.
    pub scope: NetconfScope,
}

/// Of which link a setting changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetconfScope {
    /// `conf.all`: every link may be affected.
    All,
    /// `conf.default`: links made later.
    Default,
    /// One link.
    Link(LinkIndex),
}

/// Where the setting of a message is.
pub(super) fn read(payload: &[u8]) -> Result<Announcement, DecodeError> {
    let (header, attributes) = payload
        .split_at_checked(HEADER_SIZE)
        .ok_or_else(|| DecodeError::buffer_too_small(payload.len(), HEADER_SIZE))?;
    let ipv6 = match i32::from(header[0]) {
        libc::AF_INET => false,
        libc::AF_INET6 => true,
        _ => return Ok(Announcement::Ignored),
    };
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() != NETCONFA_IFINDEX {
            continue;
        }
        let scope = match parse_i32(attribute.value())? {
            ALL => NetconfScope::All,
            DEFAULT => NetconfScope::Default,
            index => match u32::try_from(index) {
                Ok(index) if index > 0 => NetconfScope::Link(LinkIndex(index)),
                _ => return Ok(Announcement::Ignored),
            },
        };
        return Ok(Announcement::Settings(Netconf { ipv6, scope }));
    }
    Ok(Announcement::Ignored)
}
