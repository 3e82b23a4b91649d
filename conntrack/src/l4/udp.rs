//! UDP: a flow is a stream once it has answered and lasted (`nf_conntrack_proto_udp.c`).

use std::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::{Check, L4Tracker, Outcome, Seen, Timeout, ports};
use crate::conn::Status;
use crate::packet::{Packet, PseudoHeader};
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::Ids;

/// The UDP tracker.
#[derive(Clone, Copy, Debug)]
pub struct Udp {
    /// Lifetime of a flow that is not a stream (30 s).
    pub unreplied: Duration,
    /// Lifetime of a stream (120 s).
    pub stream: Duration,
}

/// How long a flow must last to be a stream.
const STREAM_AFTER: Duration = Duration::from_secs(2);

const HEADER: usize = 8;

impl Default for Udp {
    fn default() -> Self {
        Self { unreplied: Duration::from_secs(30), stream: Duration::from_secs(120) }
    }
}

/// What is remembered of a UDP flow.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct UdpState {
    /// When the flow becomes a stream if it is still in use, in nanoseconds as [`Instant`].
    stream_at: u64,
}

impl L4Tracker for Udp {
    type State = UdpState;

    fn name(&self) -> &'static str {
        "udp"
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        ports(header)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        let datagram = packet.transport();
        if datagram.len() < HEADER {
            return Err(InvalidReason::Truncated);
        }
        let length = usize::from(u16::from_be_bytes([datagram[4], datagram[5]]));
        if length > datagram.len() || length < HEADER {
            return Err(InvalidReason::Truncated);
        }
        let has_checksum = datagram[6..8] != [0, 0];
        if has_checksum && packet.checksum_is_wrong(PseudoHeader::Included) {
            return Err(InvalidReason::Checksum);
        }
        Ok(Check::Track)
    }

    fn start(&self, _packet: &Packet<'_>, now: Instant) -> Result<UdpState, InvalidReason> {
        Ok(UdpState { stream_at: (now + STREAM_AFTER).nanos() })
    }

    fn update(&self, state: &mut UdpState, _packet: &Packet<'_>, seen: Seen) -> Outcome {
        self.pass_unseen(state, seen)
    }

    fn must_see_every_packet(&self) -> bool {
        false
    }

    fn pass_unseen(&self, state: &mut UdpState, seen: Seen) -> Outcome {
        if !seen.status.contains(Status::SEEN_REPLY) {
            return Outcome::refresh(self.unreplied);
        }
        if seen.now.nanos() > state.stream_at {
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
    use crate::test_packets::{packet, udp};
    use crate::tuple::Direction;

    #[test]
    fn lengths_that_contradict_the_packet_are_refused() {
        let good = udp("10.0.0.1", "10.0.0.2", 1, 2, b"hello");
        assert_eq!(Udp::default().check(&packet(&good)), Ok(Check::Track));
        for (length, expected) in [(13_u16, true), (12, true), (8, true), (7, false), (14, false), (0, false)]
        {
            let mut bytes = good.clone();
            bytes[24..26].copy_from_slice(&length.to_be_bytes());
            bytes[26..28].copy_from_slice(&[0, 0]);
            assert_eq!(Udp::default().check(&packet(&bytes)).is_ok(), expected, "length {length}");
        }
        assert_eq!(Udp::default().check(&packet(&good[..27])), Err(InvalidReason::Truncated));
    }

    #[test]
    fn a_wrong_checksum_is_invalid_and_none_is_not() {
        let mut bytes = udp("10.0.0.1", "10.0.0.2", 1, 2, b"hello");
        bytes[26] ^= 1;
        assert_eq!(Udp::default().check(&packet(&bytes)), Err(InvalidReason::Checksum));
        bytes[26..28].copy_from_slice(&[0, 0]);
        assert_eq!(Udp::default().check(&packet(&bytes)), Ok(Check::Track));
    }

    #[test]
    fn a_flow_is_a_stream_when_it_has_answered_and_lasted_two_seconds() {
        let bytes = udp("10.0.0.1", "10.0.0.2", 1, 2, b"");
        let udp = Udp::default();
        let start = Instant::from_secs(100);
        let mut state = udp.start(&packet(&bytes), start).unwrap();
        let mut at = |offset_ms: u64, status: Status| {
            let now = start + Duration::from_millis(offset_ms);
            udp.update(&mut state, &packet(&bytes), Seen::new(Direction::Original, status, now))
        };
        let confirmed = Status::CONFIRMED;
        let answered = Status::CONFIRMED | Status::SEEN_REPLY;
        assert_eq!(at(0, Status::default()), Outcome::refresh(udp.unreplied));
        assert_eq!(at(5000, confirmed), Outcome::refresh(udp.unreplied));
        assert_eq!(at(2000, answered), Outcome::refresh(udp.unreplied));
        assert_eq!(
            at(2001, answered),
            Outcome::Accept { timeout: udp.stream, assured: true, changed: false }
        );
    }
}
