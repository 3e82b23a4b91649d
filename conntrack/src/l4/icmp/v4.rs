//! ICMP (`nf_conntrack_proto_icmp.c`).

use std::time::Duration;

use super::super::{Check, L4Tracker, Outcome, Seen, Timeout};
use super::{HEADER, ids, message, start};
use crate::packet::{Packet, PseudoHeader};
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::{Family, ICMP_REQUESTS, Ids};

/// The ICMP tracker.
#[derive(Clone, Copy, Debug)]
pub struct Icmp {
    /// Lifetime of a flow (30 s).
    pub timeout: Duration,
}

impl Default for Icmp {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30) }
    }
}

/// The highest type that exists as far as Linux is concerned (`NR_ICMP_TYPES`).
const TYPE_MAX: u8 = 18;

/// Destination unreachable, source quench, redirect, time exceeded, parameter problem.
const ERRORS: [u8; 5] = [3, 4, 5, 11, 12];

impl L4Tracker for Icmp {
    type State = ();

    fn name(&self) -> &'static str {
        "icmp"
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        ids(header)
    }

    fn invert(&self, ids: Ids) -> Option<Ids> {
        ids.icmp_answer(&ICMP_REQUESTS)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        let message = message(packet, Family::Ipv4, PseudoHeader::None)?;
        if message[0] > TYPE_MAX {
            return Err(InvalidReason::MessageType);
        }
        if ERRORS.contains(&message[0]) {
            return Ok(Check::Quotes(packet.located.transport + HEADER));
        }
        Ok(Check::Track)
    }

    fn start(&self, packet: &Packet<'_>, _now: Instant) -> Result<(), InvalidReason> {
        start(&ICMP_REQUESTS, packet)
    }

    fn update(&self, state: &mut (), _packet: &Packet<'_>, seen: Seen) -> Outcome {
        self.pass_unseen(state, seen)
    }

    fn must_see_every_packet(&self) -> bool {
        false
    }

    fn pass_unseen(&self, _state: &mut (), _seen: Seen) -> Outcome {
        Outcome::refresh(self.timeout)
    }

    fn timeouts(&self) -> Vec<Timeout> {
        vec![Timeout { name: "timeout", duration: self.timeout }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_packets::{icmp, packet};

    #[test]
    fn only_requests_start_a_flow_and_each_has_its_reply() {
        for kind in 0..=TYPE_MAX {
            let bytes = icmp("10.0.0.1", "10.0.0.2", kind, 0, 7, b"data");
            let request = ICMP_REQUESTS.iter().find(|(request, _)| *request == kind);
            assert_eq!(Icmp::default().start(&packet(&bytes), Instant::ZERO).is_ok(), request.is_some());
            if let Some((_, reply)) = request {
                let ids = Icmp::default().ids(packet(&bytes).transport()).unwrap();
                let inverted = Icmp::default().invert(ids).unwrap();
                assert_eq!(inverted, Ids::icmp(*reply, 0, 7));
                assert_eq!(Icmp::default().invert(inverted), Some(ids));
            }
        }
    }

    #[test]
    fn errors_quote_and_unknown_types_are_refused() {
        for kind in 0..=255 {
            let bytes = icmp("10.0.0.1", "10.0.0.2", kind, 0, 7, b"data");
            let expected = match kind {
                3 | 4 | 5 | 11 | 12 => Ok(Check::Quotes(28)),
                0..=18 => Ok(Check::Track),
                _ => Err(InvalidReason::MessageType),
            };
            assert_eq!(Icmp::default().check(&packet(&bytes)), expected, "type {kind}");
        }
    }
}
