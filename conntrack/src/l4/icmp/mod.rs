//! What ICMP and ICMPv6 have in common: requests start a flow, replies belong to it, errors belong to the flow they quote.

mod v4;
mod v6;

pub use self::v4::Icmp;
pub use self::v6::Icmpv6;

use crate::packet::{Packet, PseudoHeader};
use crate::stats::InvalidReason;
use crate::tuple::{Family, Ids};

/// Bytes of the header, for errors the place where the quoted packet starts.
const HEADER: usize = 8;

/// A message whose header is whole, over the family it belongs to, with a checksum that is not wrong. Over the other
/// family it is nothing (`nf_conntrack_icmp_packet`).
fn message<'a>(packet: &Packet<'a>, family: Family, pseudo: PseudoHeader) -> Result<&'a [u8], InvalidReason> {
    let message = packet.transport();
    if packet.family() != family {
        return Err(InvalidReason::Network);
    }
    if message.len() < HEADER {
        return Err(InvalidReason::Truncated);
    }
    if packet.checksum_is_wrong(pseudo) {
        return Err(InvalidReason::Checksum);
    }
    Ok(message)
}

/// Type, code and id of a message.
fn ids(header: &[u8]) -> Option<Ids> {
    let (header, _) = header.split_first_chunk::<HEADER>()?;
    Some(Ids::icmp(header[0], header[1], u16::from_be_bytes([header[4], header[5]])))
}

/// Only a request may start a flow.
fn start(requests: &[(u8, u8)], packet: &Packet<'_>) -> Result<(), InvalidReason> {
    let kind = packet.transport().first().ok_or(InvalidReason::Truncated)?;
    if requests.iter().any(|(request, _)| request == kind) { Ok(()) } else { Err(InvalidReason::NotFirst) }
}

#[cfg(test)]
mod tests {
    use super::super::{Check, L4Tracker};
    use super::*;
    use crate::test_packets::{finished, icmp, icmpv6, packet};

    #[test]
    fn over_the_other_family_a_message_is_nothing() {
        let message = icmp("10.0.0.1", "10.0.0.2", 8, 0, 7, b"")[20..].to_vec();
        let over_v6 = finished("2001:db8::1", "2001:db8::2", 1, message, None);
        assert_eq!(Icmp::default().check(&packet(&over_v6)), Err(InvalidReason::Network));
        let message = icmpv6("2001:db8::1", "2001:db8::2", 128, 0, 7, b"")[40..].to_vec();
        let over_v4 = finished("10.0.0.1", "10.0.0.2", 58, message, Some(2));
        assert_eq!(Icmpv6::default().check(&packet(&over_v4)), Err(InvalidReason::Network));
    }

    #[test]
    fn short_and_damaged_messages_are_refused() {
        let good = icmp("10.0.0.1", "10.0.0.2", 8, 0, 7, b"data");
        assert_eq!(Icmp::default().check(&packet(&good)), Ok(Check::Track));
        assert_eq!(Icmp::default().check(&packet(&good[..27])), Err(InvalidReason::Truncated));
        let mut damaged = good;
        damaged[30] ^= 1;
        assert_eq!(Icmp::default().check(&packet(&damaged)), Err(InvalidReason::Checksum));
    }
}
