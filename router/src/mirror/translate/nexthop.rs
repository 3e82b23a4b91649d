//! Nexthop objects and groups (`ip nexthop`): `RTM_NEWNEXTHOP`, `RTM_DELNEXTHOP`, which the netlink crate lacks.
//!
//! Layout: include/uapi/linux/nexthop.h.

use std::net::IpAddr;

use fib::adjacency::LinkIndex;
use fib::change::{Change, NextHop, NexthopKind, NexthopObject};
use netlink_packet_core::{DecodeError, NlasIterator, parse_u32};

use super::Announcement;

/// Bytes of `struct nhmsg`: family, scope, protocol, reserved, flags.
const HEADER_SIZE: usize = 8;
/// Bytes of `struct nexthop_grp`: id, weight less one (low byte, high byte), reserved.
const MEMBER_SIZE: usize = 8;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_BLACKHOLE: u16 = 4;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_ENCAP_TYPE: u16 = 7;
const NHA_FDB: u16 = 11;

const RTNH_F_DEAD: u32 = 1;
const RTNH_F_ONLINK: u32 = 4;

/// The object a message tells of. Objects of a bridge's forwarding table (`fdb`) route nothing.
pub(super) fn announced(payload: &[u8]) -> Result<Announcement, DecodeError> {
    let (flags, attributes) = split(payload)?;
    let mut id = 0;
    let mut group = None;
    let mut blackhole = false;
    let mut fdb = false;
    let mut hop = NextHop {
        link: None,
        via: None,
        weight: 1,
        onlink: flags & RTNH_F_ONLINK != 0,
        dead: flags & RTNH_F_DEAD != 0,
    };
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            NHA_ID => id = parse_u32(value)?,
            NHA_GROUP => group = Some(members(value)),
            NHA_BLACKHOLE => blackhole = true,
            NHA_OIF => hop.link = Some(LinkIndex(parse_u32(value)?)),
            NHA_GATEWAY => hop.via = Some(address(value)?),
            NHA_ENCAP_TYPE => hop.dead = true,
            NHA_FDB => fdb = true,
            _ => {}
        }
    }
    if id == 0 || fdb {
        return Ok(Announcement::Ignored);
    }
    let kind = match group {
        Some(members) => NexthopKind::Group(members),
        None if blackhole => NexthopKind::Blackhole,
        None => NexthopKind::Single(hop),
    };
    Ok(Announcement::Change(Change::Nexthop(NexthopObject { id, kind })))
}

/// The object is gone.
pub(super) fn withdrawn(payload: &[u8]) -> Result<Announcement, DecodeError> {
    let (_, attributes) = split(payload)?;
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == NHA_ID {
            return Ok(Announcement::Change(Change::NexthopGone(parse_u32(attribute.value())?)));
        }
    }
    Ok(Announcement::Ignored)
}

/// Flags of the header, and the attributes behind it.
fn split(payload: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    let (header, attributes) = payload
        .split_at_checked(HEADER_SIZE)
        .ok_or_else(|| DecodeError::buffer_too_small(payload.len(), HEADER_SIZE))?;
    Ok((parse_u32(&header[4..8])?, attributes))
}

fn members(value: &[u8]) -> Vec<(u32, u16)> {
    let (members, _) = value.as_chunks::<MEMBER_SIZE>();
    members
        .iter()
        .map(|member| {
            let id = u32::from_ne_bytes([member[0], member[1], member[2], member[3]]);
            let weight_less_one = u16::from_le_bytes([member[4], member[5]]);
            (id, weight_less_one.saturating_add(1))
        })
        .collect()
}

fn address(value: &[u8]) -> Result<IpAddr, DecodeError> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        Ok(IpAddr::from(octets))
    } else if let Ok(octets) = <[u8; 16]>::try_from(value) {
        Ok(IpAddr::from(octets))
    } else {
        Err(DecodeError::invalid_ip_address(value.len()))
    }
}
