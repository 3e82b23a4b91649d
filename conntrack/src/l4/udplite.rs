//! UDP-Lite: as UDP, but the checksum covers only the beginning and there must be one (RFC 3828;
//! `nf_conntrack_proto_udp.c`).
//!
//! As in Linux the pseudo header is summed with the protocol number of UDP, against section 3.1 of the RFC: what
//! applications send is invalid unless checksums are not verified.

use std::time::Duration;

use super::{Check, L4Tracker, Outcome, Seen, Timeout, ports};
use crate::conn::Status;
use crate::packet::{Packet, PseudoHeader};
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::Ids;

/// The UDP-Lite tracker.
#[derive(Clone, Copy, Debug)]
pub struct UdpLite {
    /// Lifetime of a flow that has not been answered (30 s).
    pub unreplied: Duration,
    /// Lifetime of one that has (120 s).
    pub stream: Duration,
}

impl Default for UdpLite {
    fn default() -> Self {
        Self { unreplied: Duration::from_secs(30), stream: Duration::from_secs(120) }
    }
}

const HEADER: usize = 8;

/// What Linux takes the pseudo header to be of.
const UDP: u8 = 17;

impl L4Tracker for UdpLite {
    type State = ();

    fn name(&self) -> &'static str {
        "udplite"
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        ports(header)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        let datagram = packet.transport();
        if datagram.len() < HEADER {
            return Err(InvalidReason::Truncated);
        }
        let covered = match usize::from(u16::from_be_bytes([datagram[4], datagram[5]])) {
            0 => datagram.len(),
            covered if (HEADER..=datagram.len()).contains(&covered) => covered,
            _ => return Err(InvalidReason::Truncated),
        };
        let has_checksum = datagram[6..8] != [0, 0];
        if !has_checksum || packet.checksum_is_wrong_over(covered, PseudoHeader::OfProtocol(UDP)) {
            return Err(InvalidReason::Checksum);
        }
        Ok(Check::Track)
    }

    fn start(&self, _packet: &Packet<'_>, _now: Instant) -> Result<(), InvalidReason> {
        Ok(())
    }

    fn update(&self, state: &mut (), _packet: &Packet<'_>, seen: Seen) -> Outcome {
        self.pass_unseen(state, seen)
    }

    fn must_see_every_packet(&self) -> bool {
        false
    }

    fn pass_unseen(&self, _state: &mut (), seen: Seen) -> Outcome {
        if seen.status.contains(Status::SEEN_REPLY) {
            Outcome::Accept { timeout: self.stream, assured: true, changed: false }
        } else {
            Outcome::refresh(self.unreplied)
        }
    }

    fn timeouts(&self) -> Vec<Timeout> {
        vec![
            Timeout { name: "unreplied", duration: self.unreplied },
            Timeout { name: "stream", duration: self.stream },
        ]
    }

    fn allows_clash(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_packets::{finished, packet};
    use crate::tuple::Direction;

    /// Ports 7 and 53, 21 bytes of payload of which the header and the first `covered - 8` bytes count; `covered` may
    /// make no sense.
    fn udplite(covered: u16) -> Vec<u8> {
        let mut datagram = vec![0, 7, 0, 53];
        datagram.extend_from_slice(&covered.to_be_bytes());
        datagram.extend_from_slice(&[0, 0]);
        datagram.extend_from_slice(b"is it all that counts");
        let whole = datagram.len();
        let counted = if covered == 0 { whole } else { usize::from(covered).min(whole) };
        // What is not covered is zero while it is summed.
        let rest = datagram.split_off(counted);
        datagram.resize(whole, 0);
        let mut bytes = finished("10.0.0.1", "10.0.0.2", UDP, datagram, Some(6));
        bytes[9] = 136;
        let start = bytes.len() - rest.len();
        bytes[start..].copy_from_slice(&rest);
        bytes
    }

    #[test]
    fn only_what_the_checksum_covers_must_be_right() {
        for covered in [0, 8, 9, 12, 29_u16] {
            let counted = if covered == 0 { 29 } else { usize::from(covered) };
            let right = udplite(covered);
            assert_eq!(UdpLite::default().check(&packet(&right)), Ok(Check::Track), "{covered}");
            for at in 8..29 {
                let mut damaged = right.clone();
                damaged[20 + at] ^= 1;
                let expected = if at < counted { Err(InvalidReason::Checksum) } else { Ok(Check::Track) };
                assert_eq!(UdpLite::default().check(&packet(&damaged)), expected, "{covered}, byte {at}");
            }
        }
    }

    #[test]
    fn what_applications_send_is_invalid_as_in_linux() {
        let bytes = finished("10.0.0.1", "10.0.0.2", 136, vec![0, 7, 0, 53, 0, 8, 0, 0], Some(6));
        assert_eq!(UdpLite::default().check(&packet(&bytes)), Err(InvalidReason::Checksum));
        let unverified = Packet { verify: false, ..packet(&bytes) };
        assert_eq!(UdpLite::default().check(&unverified), Ok(Check::Track));
    }

    #[test]
    fn a_coverage_that_makes_no_sense_and_no_checksum_are_refused() {
        for covered in [1, 7, 30, u16::MAX] {
            let bytes = udplite(covered);
            assert_eq!(UdpLite::default().check(&packet(&bytes)), Err(InvalidReason::Truncated), "{covered}");
        }
        let mut bytes = udplite(8);
        assert_eq!(UdpLite::default().check(&packet(&bytes[..27])), Err(InvalidReason::Truncated));
        bytes[26..28].copy_from_slice(&[0, 0]);
        assert_eq!(UdpLite::default().check(&packet(&bytes)), Err(InvalidReason::Checksum));
    }

    #[test]
    fn an_answer_is_enough_to_be_assured() {
        let (tracker, bytes) = (UdpLite::default(), udplite(8));
        let at = |status| {
            tracker.update(&mut (), &packet(&bytes), Seen::new(Direction::Original, status, Instant::ZERO))
        };
        assert_eq!(at(Status::CONFIRMED), Outcome::refresh(Duration::from_secs(30)));
        let answered = Outcome::Accept { timeout: Duration::from_secs(120), assured: true, changed: false };
        assert_eq!(at(Status::CONFIRMED | Status::SEEN_REPLY), answered);
    }
}
