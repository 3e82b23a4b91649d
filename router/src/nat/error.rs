//! ICMP errors about translated flows: the packet they quote is turned back into what its sender sent, and they come from
//! whom its sender sent it to (`nf_nat_icmp_reply_translation`, `nf_nat_icmpv6_reply_translation`).

use conntrack::{Direction, Family, Status, protocol};

use super::rewrite::{Headers, Side, TooShort, note, rewrite};
use super::{Manip, is_rewritten};
use crate::engine::Packet;
use crate::flow::Conn;
use crate::frame::Checksum;
use crate::packet::{checksum, ipv4, ipv6};

/// Where an error's quote begins, from its own header.
const HEADER: usize = 8;

const REDIRECT4: u8 = 5;
const REDIRECT6: u8 = 137;

/// Translates one side of an error about `flow` that goes in `direction`. False if it must not pass: a redirect about
/// a flow that is translated, a wrong checksum, a quote too short.
pub(crate) fn translate_error(packet: &mut Packet, flow: &Conn, direction: Direction, manip: Manip) -> bool {
    try_translate(packet, flow, direction, manip).is_ok()
}

fn try_translate(
    packet: &mut Packet,
    flow: &Conn,
    direction: Direction,
    manip: Manip,
) -> Result<(), TooShort> {
    let outer = Headers {
        family: flow.family(),
        protocol: packet.header.protocol,
        transport: packet.header.transport,
        unfinished: matches!(packet.frame().checksum, Checksum::Partial { .. }),
    };
    let message = packet.ip().get(outer.transport..).filter(|message| message.len() > HEADER);
    let kind = message.ok_or(TooShort)?[0];
    if packet.frame().checksum == Checksum::Unknown && !is_sound(packet.ip(), &outer) {
        return Err(TooShort);
    }
    let status = flow.status();
    if is_redirect(outer.family, kind) && !passes_redirects(status) {
        return Err(TooShort);
    }
    if !is_rewritten(status, manip, direction) {
        return Ok(());
    }
    let answers = flow.tuple(direction.opposite());
    // The quoted packet goes the other way, so it is its other side that changes, to what it was.
    let quoted = match manip.opposite() {
        Manip::Source => {
            Side { manip: Manip::Source, address: answers.addresses().source, id: answers.ids().source }
        }
        Manip::Destination => {
            let icmp = matches!(answers.protocol(), protocol::ICMP | protocol::ICMPV6);
            let id = if icmp { answers.ids().source } else { answers.ids().destination };
            Side { manip: Manip::Destination, address: answers.addresses().destination, id }
        }
    };
    rewrite_quote(&mut packet.ip_mut()[outer.transport + HEADER..], outer.family, &quoted)?;
    if !outer.unfinished {
        write_checksum(packet.ip_mut(), &outer);
    }
    let side = Side::answered_by(&answers, manip);
    rewrite(packet.ip_mut(), &outer, &side)?;
    note(packet, &side);
    Ok(())
}

fn rewrite_quote(quote: &mut [u8], family: Family, side: &Side) -> Result<(), TooShort> {
    let (protocol, transport) = match family {
        Family::Ipv4 => {
            let header = quote.get(..ipv4::HEADER_MIN).ok_or(TooShort)?;
            (header[9], ipv4::header_len(header))
        }
        Family::Ipv6 => {
            quote.get(..ipv6::HEADER_LEN).ok_or(TooShort)?;
            let upper = ipv6::upper_layer(quote);
            match upper.fragment {
                // Behind a later fragment's header there is no port.
                Some(fragment) if fragment.offset != 0 => (ipv6::NONE, ipv6::HEADER_LEN),
                _ => (upper.protocol, upper.offset),
            }
        }
    };
    rewrite(quote, &Headers { family, protocol, transport, unfinished: false }, side)
}

/// A redirect names an address of the other side of the translation, which makes no sense on this one.
fn passes_redirects(status: Status) -> bool {
    status.contains(Status::SRC_NAT_DONE | Status::DST_NAT_DONE)
        && !status.contains(Status::SRC_NAT)
        && !status.contains(Status::DST_NAT)
}

const fn is_redirect(family: Family, kind: u8) -> bool {
    match family {
        Family::Ipv4 => kind == REDIRECT4,
        Family::Ipv6 => kind == REDIRECT6,
    }
}

/// The sum that an error's checksum is to make whole.
fn sum(bytes: &[u8], headers: &Headers) -> u16 {
    let message = &bytes[headers.transport..];
    let sum = checksum::sum(message);
    match headers.family {
        Family::Ipv4 => sum,
        Family::Ipv6 => {
            let (source, destination) = (ipv6::source(bytes), ipv6::destination(bytes));
            let pseudo =
                checksum::pseudo_header_v6(source, destination, protocol::ICMPV6, message.len() as u32);
            checksum::add(sum, pseudo)
        }
    }
}

fn is_sound(bytes: &[u8], headers: &Headers) -> bool {
    sum(bytes, headers) == 0xffff
}

fn write_checksum(bytes: &mut [u8], headers: &Headers) {
    let field = headers.transport + 2;
    bytes[field..field + 2].fill(0);
    let whole = !sum(bytes, headers);
    bytes[field..field + 2].copy_from_slice(&whole.to_be_bytes());
}
