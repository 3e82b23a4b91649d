//! ICMPv6: as ICMP, and neighbor discovery and multicast listener messages are not tracked at all
//! (`nf_conntrack_proto_icmpv6.c`).

use std::time::Duration;

use super::icmp::{HEADER, ids, invert, start};
use super::{Check, L4Tracker, Outcome, Seen, Timeout};
use crate::packet::{Packet, PseudoHeader};
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::Ids;

/// The ICMPv6 tracker.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6 {
    /// Lifetime of a flow (30 s).
    pub timeout: Duration,
}

impl Default for Icmpv6 {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30) }
    }
}

/// Requests and their replies: echo, node information.
const REQUESTS: [(u8, u8); 2] = [(128, 129), (139, 140)];

/// Errors have types below this (RFC 4443 section 2.1).
const INFORMATIONAL: u8 = 128;

/// Multicast listener query, report, done; router and neighbor solicitation and advertisement; MLDv2 report.
const UNTRACKED: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];

impl L4Tracker for Icmpv6 {
    type State = ();

    fn name(&self) -> &'static str {
        "icmpv6"
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        ids(header)
    }

    fn invert(&self, ids: Ids) -> Option<Ids> {
        invert(&REQUESTS, ids)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        let message = packet.transport();
        if message.len() < HEADER {
            return Err(InvalidReason::Truncated);
        }
        if packet.checksum_is_wrong(PseudoHeader::Included) {
            return Err(InvalidReason::Checksum);
        }
        match message[0] {
            kind if UNTRACKED.contains(&kind) => Ok(Check::Untracked),
            INFORMATIONAL.. => Ok(Check::Track),
            _ => Ok(Check::Quotes(packet.located.transport + HEADER)),
        }
    }

    fn start(&self, packet: &Packet<'_>, _now: Instant) -> Result<(), InvalidReason> {
        start(&REQUESTS, packet)
    }

    fn update(&self, _state: &mut (), _packet: &Packet<'_>, _seen: Seen) -> Outcome {
        Outcome::refresh(self.timeout)
    }

    fn timeouts(&self) -> Vec<Timeout> {
        vec![Timeout { name: "timeout", duration: self.timeout }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_packets::{icmpv6, packet};

    #[test]
    fn neighbor_discovery_is_left_alone_and_types_below_128_quote() {
        for kind in 0..=255 {
            let bytes = icmpv6("2001:db8::1", "2001:db8::2", kind, 0, 7, b"data");
            let expected = match kind {
                0..=127 => Check::Quotes(48),
                130..=136 | 143 => Check::Untracked,
                _ => Check::Track,
            };
            assert_eq!(Icmpv6::default().check(&packet(&bytes)), Ok(expected), "type {kind}");
            let starts = Icmpv6::default().start(&packet(&bytes), Instant::ZERO).is_ok();
            assert_eq!(starts, [128, 139].contains(&kind), "type {kind}");
        }
    }

    #[test]
    fn the_checksum_covers_the_addresses() {
        let mut bytes = icmpv6("2001:db8::1", "2001:db8::2", 128, 0, 7, b"data");
        bytes[23] ^= 4;
        assert_eq!(Icmpv6::default().check(&packet(&bytes)), Err(InvalidReason::Checksum));
    }
}
