//! ICMP errors: which flow is the packet about that they quote (`nf_conntrack_inet_error`)?

use crate::packet::Packet;
use crate::registry::Registry;
use crate::stats::InvalidReason;
use crate::tuple::{Direction, Tuple};

/// The tuple by which the quoted packet's flow sees answers to it. The error travels in that direction: whoever sent the
/// quoted packet is to be told.
///
/// `packet` is the error and `quote` the place of the quoted packet in it.
///
/// # Errors
/// What is quoted cannot be read.
pub(crate) fn answered_tuple(
    registry: &Registry,
    packet: &Packet<'_>,
    quote: usize,
) -> Result<Tuple, InvalidReason> {
    let family = packet.family();
    let quoted = packet.bytes().get(quote..).ok_or(InvalidReason::Truncated)?;
    let network = registry.l3(family).ok_or(InvalidReason::Network)?;
    let located = network.locate(quoted).map_err(|_| InvalidReason::Unrelated)?;
    let tracker = registry.l4(family, located.protocol);
    let ids = tracker.ids(&quoted[located.transport..]).ok_or(InvalidReason::Unrelated)?;
    let inverted = tracker.invert(ids).ok_or(InvalidReason::Unrelated)?;
    let zone = packet.datagram.zone.of(Direction::Original);
    let sent = Tuple::new(family, zone, located.protocol, located.addresses, ids);
    Ok(sent.inverted(inverted))
}
