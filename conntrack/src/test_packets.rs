//! Packets for the tests in this crate.

#[path = "../tests/packets/mod.rs"]
mod build;

pub(crate) use self::build::*;
use crate::l3::{Ipv4, Ipv6, L3Tracker};
use crate::packet::{Datagram, Packet};
use crate::tuple::Family;

/// A datagram as a network tracker hands it on, with checksums to be verified.
pub(crate) fn packet(bytes: &[u8]) -> Packet<'_> {
    let datagram = datagram(bytes);
    let located = match datagram.family {
        Family::Ipv4 => Ipv4.locate(bytes),
        Family::Ipv6 => Ipv6.locate(bytes),
    };
    Packet { datagram, located: located.expect("test packets are well formed"), verify: true }
}

/// The bytes as a datagram of the family their version says.
pub(crate) fn datagram(bytes: &[u8]) -> Datagram<'_> {
    Datagram::new(if bytes[0] >> 4 == 4 { Family::Ipv4 } else { Family::Ipv6 }, bytes)
}
