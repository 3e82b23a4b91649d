//! Rewrites one side of a packet: its address, its id, and every checksum that covers them (`nf_nat_manip_pkt`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use conntrack::{Direction, Family, Tuple, protocol};

use super::Manip;
use crate::engine::Packet;
use crate::flow::Conn;
use crate::frame::Checksum;
use crate::packet::{checksum, u16_at};

/// What one side of a packet becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    pub(super) manip: Manip,
    pub(super) address: [u8; 16],
    /// Port; id of an ICMP query; key of a call in GRE.
    pub(super) id: u16,
}

/// What is to be known of the headers that are rewritten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers {
    pub(super) family: Family,
    pub(super) protocol: u8,
    /// Where `protocol` starts, from the network header.
    pub(super) transport: usize,
    /// The transport checksum is still to be finished: its field holds the sum of the pseudo header.
    pub(super) unfinished: bool,
}

/// The packet is too short to hold what is to be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooShort;

const GRE: u8 = 47;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// The least that is there of every transport header that is rewritten.
const TRANSPORT_MIN: usize = 8;

impl Side {
    /// What this side of packets becomes whose answers have the tuple `answers` on the other side of the router.
    pub(super) fn answered_by(answers: &Tuple, manip: Manip) -> Self {
        let (addresses, ids) = (answers.addresses(), answers.ids());
        let icmp = matches!(answers.protocol(), protocol::ICMP | protocol::ICMPV6);
        match manip {
            Manip::Source => {
                let id = if icmp { ids.source } else { ids.destination };
                Self { manip, address: addresses.destination, id }
            }
            Manip::Destination => Self { manip, address: addresses.source, id: ids.source },
        }
    }

    fn ipv4(&self) -> [u8; 4] {
        [self.address[0], self.address[1], self.address[2], self.address[3]]
    }
}

/// Rewrites one side of a packet as its flow says. False if the packet is too short for that.
pub(crate) fn translate(packet: &mut Packet, flow: &Conn, direction: Direction, manip: Manip) -> bool {
    write_side(packet, &Side::answered_by(&flow.tuple(direction.opposite()), manip))
}

/// Writes an address and a port as one end of a packet of a protocol with ports. False if the packet is too short for
/// that.
pub(crate) fn write_end(packet: &mut Packet, manip: Manip, address: IpAddr, port: u16) -> bool {
    let address = match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    };
    write_side(packet, &Side { manip, address, id: port })
}

fn write_side(packet: &mut Packet, side: &Side) -> bool {
    let headers = Headers {
        family: if packet.header.source.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 },
        protocol: packet.header.protocol,
        transport: packet.header.transport,
        unfinished: matches!(packet.frame().checksum, Checksum::Partial { .. }),
    };
    if rewrite(packet.ip_mut(), &headers, side).is_err() {
        return false;
    }
    note(packet, side);
    true
}

/// Keeps what is known of a packet's headers in step with a rewritten side.
pub(super) fn note(packet: &mut Packet, side: &Side) {
    let header = &mut packet.header;
    let address = match header.source {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(side.ipv4())),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(side.address)),
    };
    let has_ports = matches!(header.protocol, protocol::TCP | protocol::UDP | SCTP | UDP_LITE);
    match side.manip {
        Manip::Source => {
            header.source = address;
            if has_ports {
                header.source_port = side.id;
            }
        }
        Manip::Destination => {
            header.destination = address;
            if has_ports {
                header.destination_port = side.id;
            }
        }
    }
}

/// Rewrites one side of the packet that `bytes` begin with.
pub(super) fn rewrite(bytes: &mut [u8], headers: &Headers, side: &Side) -> Result<(), TooShort> {
    let Some((network, transport)) = bytes.split_at_mut_checked(headers.transport) else {
        return Err(TooShort);
    };
    let place = match (headers.family, side.manip) {
        (Family::Ipv4, Manip::Source) => 12..16,
        (Family::Ipv4, Manip::Destination) => 16..20,
        (Family::Ipv6, Manip::Source) => 8..24,
        (Family::Ipv6, Manip::Destination) => 24..40,
    };
    let new = &side.address[..place.len()];
    let old = &mut network[place];
    rewrite_transport(transport, headers, side, &AddressChange { old, new })?;
    if headers.family == Family::Ipv6 {
        old.copy_from_slice(new);
        return Ok(());
    }
    let (from, to) = ([old[0], old[1], old[2], old[3]], side.ipv4());
    old.copy_from_slice(&to);
    let sum = checksum::update_u32(u16_at(network, 10), u32::from_be_bytes(from), u32::from_be_bytes(to));
    network[10..12].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// An address that is about to change.
struct AddressChange<'a> {
    old: &'a [u8],
    new: &'a [u8],
}

/// A change of sixteen bits in a header.
#[derive(Clone, Copy)]
struct IdChange {
    old: u16,
    new: u16,
}

fn rewrite_transport(
    transport: &mut [u8],
    headers: &Headers,
    side: &Side,
    address: &AddressChange<'_>,
) -> Result<(), TooShort> {
    let is_known = matches!(
        headers.protocol,
        protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6 | GRE | SCTP | UDP_LITE
    );
    if !is_known {
        return Ok(());
    }
    if transport.len() < TRANSPORT_MIN {
        return Err(TooShort);
    }
    let unfinished = headers.unfinished;
    match headers.protocol {
        protocol::TCP => {
            const WHOLE: usize = 20;
            const FIELD: usize = 16;
            let id = rewrite_port(transport, side);
            // Of a packet quoted in an error there may be no more than the ports.
            if transport.len() >= WHOLE {
                mend(transport, FIELD, Some(address), id, unfinished);
            }
        }
        protocol::UDP | UDP_LITE => {
            const FIELD: usize = 6;
            let id = rewrite_port(transport, side);
            if headers.protocol == UDP_LITE || u16_at(transport, FIELD) != 0 {
                mend(transport, FIELD, Some(address), id, unfinished);
                if u16_at(transport, FIELD) == 0 {
                    transport[FIELD..FIELD + 2].fill(0xff);
                }
            }
        }
        SCTP => {
            const WHOLE: usize = 12;
            rewrite_port(transport, side);
            if transport.len() >= WHOLE && !unfinished {
                write_sctp_checksum(transport);
            }
        }
        protocol::ICMP => {
            if is_icmp_query(transport[0]) {
                let id = replace(transport, 4, side.id);
                mend(transport, 2, None, id, unfinished);
            }
        }
        protocol::ICMPV6 => {
            let unchanged = IdChange { old: 0, new: 0 };
            let id = if is_icmpv6_echo(transport[0]) { replace(transport, 4, side.id) } else { unchanged };
            mend(transport, 2, Some(address), id, unfinished);
        }
        _ => rewrite_key(transport, side)?,
    }
    Ok(())
}

fn rewrite_port(transport: &mut [u8], side: &Side) -> IdChange {
    match side.manip {
        Manip::Source => replace(transport, 0, side.id),
        Manip::Destination => replace(transport, 2, side.id),
    }
}

/// The key of a call in GRE names the receiver's end only, and only version 1 (PPTP) has one.
fn rewrite_key(transport: &mut [u8], side: &Side) -> Result<(), TooShort> {
    const VERSION: u8 = 0x07;
    const CALL_ID: usize = 6;
    if side.manip == Manip::Source {
        return Ok(());
    }
    match transport[1] & VERSION {
        0 => Ok(()),
        1 => {
            replace(transport, CALL_ID, side.id);
            Ok(())
        }
        _ => Err(TooShort),
    }
}

fn replace(bytes: &mut [u8], at: usize, new: u16) -> IdChange {
    let old = u16_at(bytes, at);
    bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
    IdChange { old, new }
}

/// Mends the checksum at `field`. One that is still to be finished covers the address so far, and is not complemented.
fn mend(
    transport: &mut [u8],
    field: usize,
    address: Option<&AddressChange<'_>>,
    id: IdChange,
    unfinished: bool,
) {
    let mut sum = u16_at(transport, field);
    if unfinished {
        let Some(AddressChange { old, new }) = address else { return };
        sum = !checksum::update_bytes(!sum, old, new);
    } else {
        if let Some(AddressChange { old, new }) = address {
            sum = checksum::update_bytes(sum, old, new);
        }
        sum = checksum::update_u16(sum, id.old, id.new);
    }
    transport[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// CRC32c over the whole SCTP packet (RFC 9260 appendix A), which no small change can mend.
pub(crate) fn write_sctp_checksum(packet: &mut [u8]) {
    const FIELD: usize = 8;
    packet[FIELD..FIELD + 4].fill(0);
    let sum = crc32c::crc32c(packet);
    packet[FIELD..FIELD + 4].copy_from_slice(&sum.to_le_bytes());
}

/// Requests and replies, which have an id.
const fn is_icmp_query(kind: u8) -> bool {
    matches!(kind, 0 | 8 | 13..=18)
}

const fn is_icmpv6_echo(kind: u8) -> bool {
    matches!(kind, 128 | 129)
}
