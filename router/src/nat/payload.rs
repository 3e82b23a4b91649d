//! Announcements of translated flows: the address and port that a packet names are those of the other side of the router,
//! so they are written anew, whatever length that takes (`nf_nat_helper.c`, `nf_nat_ftp.c`).

use std::hash::Hasher;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use conntrack::{
    Announcement, Direction, ExpectError, Expectation, FollowMaster, Ids, Instant, Pattern, Shared, Tuple,
    Wanted, protocol,
};
use siphasher::sip::SipHasher13;

use crate::chain::Family;
use crate::engine::Packet;
use crate::flow::{Conn, Extension, FlowTable};
use crate::frame::Checksum;
use crate::packet::{checksum, ipv4, u16_at, u32_at};

/// Other ports that are tried when the one that was named is expected by somebody else (`nf_nat_exp_find_port`).
const ATTEMPTS_MAX: u32 = 128;

/// The largest IP packet.
const PACKET_MAX: usize = 65_535;

/// Expects the flow that a packet of `direction` announces and has the packet say how it will be seen from the other
/// side (`nf_nat_ftp`). False if that cannot be done; then nothing is expected and the packet is to be dropped.
pub(crate) fn announce(
    packet: &mut Packet,
    flows: &FlowTable,
    conn: &Shared<Conn>,
    direction: Direction,
    announcement: &Announcement,
    now: Instant,
) -> bool {
    let Some(helper) = conn.helper().cloned() else { return false };
    let Ok(expectation) = expect_translated(flows, conn, direction, announcement, now) else { return false };
    let expected = expectation.pattern().tuple;
    let text = helper.spell(announcement.form, expected.destination(), expected.ids().destination);
    if write_in_tcp(packet, conn, direction, announcement.text.clone(), text.as_bytes()) {
        return true;
    }
    flows.unexpect(&expectation, now);
    false
}

/// Expects the flow at the port that was named, or at another if that one is taken.
fn expect_translated(
    flows: &FlowTable,
    conn: &Shared<Conn>,
    direction: Direction,
    announcement: &Announcement,
    now: Instant,
) -> Result<Arc<Expectation<Extension>>, ExpectError> {
    let named = announcement.pattern.tuple.ids().destination;
    if named == 0 {
        return Err(ExpectError::Busy);
    }
    let nat = FollowMaster { direction: direction.opposite(), id: named };
    let wanted = |id| Wanted {
        pattern: at_id(&announcement.pattern, id),
        class: announcement.class,
        permanent: false,
        inactive: false,
        helper: None,
        nat: Some(nat),
    };
    let mut result = flows.expect(conn, wanted(named), now);
    let span = u16::MAX - named;
    for attempt in 0..ATTEMPTS_MAX.min(u32::from(span)) {
        if !matches!(result, Err(ExpectError::Busy)) {
            break;
        }
        result = flows.expect(conn, wanted(named + random(flows, conn, attempt) % span), now);
    }
    result
}

fn at_id(pattern: &Pattern, id: u16) -> Pattern {
    let tuple = &pattern.tuple;
    let ids = Ids { destination: id, ..tuple.ids() };
    let tuple = Tuple::new(tuple.family(), tuple.zone(), tuple.protocol(), *tuple.addresses(), ids);
    Pattern { tuple, ..*pattern }
}

/// A number that nobody without the table's secret can foresee, another for each flow and attempt.
fn random(flows: &FlowTable, conn: &Conn, attempt: u32) -> u16 {
    const PURPOSE: u64 = u64::from_be_bytes(*b"expected");
    let [one, other] = flows.config().seed;
    let mut hasher = SipHasher13::new_with_keys(one, other);
    hasher.write_u64(PURPOSE);
    hasher.write_u64(conn.id());
    hasher.write_u32(attempt);
    hasher.finish() as u16
}

/// Writes `new` in place of `text`, a part of a TCP packet's payload counted from its TCP header, and notes how that
/// shifts what follows in its flow (`nf_nat_mangle_tcp_packet`). The checksum is left to be finished. False if the
/// packet would get too long.
fn write_in_tcp(
    packet: &mut Packet,
    conn: &Conn,
    direction: Direction,
    text: Range<usize>,
    new: &[u8],
) -> bool {
    let transport = packet.header.transport;
    let sequence = u32_at(packet.ip(), transport + 4);
    let before = packet.header.len;
    let after = before - text.len() + new.len();
    if after > PACKET_MAX || !replace(packet, transport + text.start..transport + text.end, new, after) {
        return false;
    }
    packet.header.len = after;
    write_length(packet);
    leave_checksum_unfinished(packet, before - transport, after - transport);
    let growth = i32::try_from(after).expect("16 bits") - i32::try_from(before).expect("16 bits");
    conn.shift(direction, sequence, growth);
    true
}

/// Puts `new` in the place of some bytes and makes the packet `len` bytes long. False if its frame has no room.
fn replace(packet: &mut Packet, old: Range<usize>, new: &[u8], len: usize) -> bool {
    let (network, before) = (packet.network_offset(), packet.header.len);
    if network + len > packet.frame().capacity() {
        return false;
    }
    packet.frame_mut().resize(network + before.max(len));
    let bytes = packet.ip_mut();
    bytes.copy_within(old.end..before, old.start + new.len());
    bytes[old.start..old.start + new.len()].copy_from_slice(new);
    packet.frame_mut().resize(network + len);
    true
}

/// Writes the packet's length into its network header.
fn write_length(packet: &mut Packet) {
    const IPV6_HEADER: usize = 40;
    let len = packet.header.len;
    let family = packet.family();
    let bytes = packet.ip_mut();
    match family {
        Family::Ipv6 => bytes[4..6].copy_from_slice(&word(len - IPV6_HEADER).to_be_bytes()),
        _ => {
            bytes[2..4].copy_from_slice(&word(len).to_be_bytes());
            ipv4::write_checksum(bytes);
        }
    }
}

/// Leaves the TCP checksum to whoever sends the packet (`nf_nat_csum_recalc`).
fn leave_checksum_unfinished(packet: &mut Packet, before: usize, after: usize) {
    const FIELD: usize = 16;
    let transport = packet.header.transport;
    let field = transport + FIELD;
    let sum = if let Checksum::Partial { .. } = packet.frame().checksum {
        let sum = u16_at(packet.ip(), field);
        checksum::add(checksum::add(sum, !word(before)), word(after))
    } else {
        packet.frame_mut().checksum = Checksum::Partial { start: word(transport), offset: word(FIELD) };
        match (packet.source(), packet.destination()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                checksum::pseudo_header_v4(source, destination, protocol::TCP, word(after))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                checksum::pseudo_header_v6(source, destination, protocol::TCP, u32::from(word(after)))
            }
            _ => unreachable!("both addresses are of the packet's family"),
        }
    };
    packet.ip_mut()[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

fn word(length: usize) -> u16 {
    u16::try_from(length).expect("within an IP packet")
}
