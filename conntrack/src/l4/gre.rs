//! GRE: two addresses make a flow, and for PPTP's version the call id of the receiver (`nf_conntrack_proto_gre.c`).

use std::time::Duration;

use super::{Check, L4Tracker, Outcome, Seen, Timeout};
use crate::conn::Status;
use crate::packet::Packet;
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::Ids;

/// The GRE tracker.
#[derive(Clone, Copy, Debug)]
pub struct Gre {
    /// Lifetime of a flow that has not been answered (30 s).
    pub unreplied: Duration,
    /// Lifetime of one that has (180 s).
    pub stream: Duration,
}

impl Default for Gre {
    fn default() -> Self {
        Self { unreplied: Duration::from_secs(30), stream: Duration::from_secs(180) }
    }
}

/// What version 1 carries (RFC 2637 section 4.1).
const PPP: [u8; 2] = [0x88, 0x0b];

impl L4Tracker for Gre {
    type State = ();

    fn name(&self) -> &'static str {
        "gre"
    }

    /// The key of the destination is the call id; that of the source is known only to who follows PPTP's control
    /// connection. Version 0 has no key here, whatever its header says.
    fn ids(&self, header: &[u8]) -> Option<Ids> {
        match header.first_chunk::<8>() {
            Some(header) if is_version_1(header) => {
                Some(Ids { source: 0, destination: u16::from_be_bytes([header[6], header[7]]) })
            }
            _ => Some(Ids::default()),
        }
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        let header = packet.transport();
        if header.len() >= 8 && is_version_1(header) && header[2..4] != PPP {
            return Err(InvalidReason::MessageType);
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

const fn is_version_1(header: &[u8]) -> bool {
    header[1] & 7 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_packets::{finished, packet};
    use crate::tuple::Direction;

    fn gre(header: &[u8]) -> Vec<u8> {
        finished("10.0.0.1", "10.0.0.2", 47, header.to_vec(), None)
    }

    #[test]
    fn only_pptp_s_version_has_a_key() {
        let with_key = [0x20, 0, 8, 0, 0, 0, 1, 2];
        let pptp = [0x30, 0x81, 0x88, 0x0b, 0, 4, 1, 2, 0, 0, 0, 1];
        for (header, key) in
            [(&with_key[..], 0), (&pptp, 0x0102), (&pptp[..8], 0x0102), (&pptp[..7], 0), (&[], 0)]
        {
            assert_eq!(Gre::default().ids(header), Some(Ids { source: 0, destination: key }), "{header:?}");
            assert_eq!(Gre::default().check(&packet(&gre(header))), Ok(Check::Track), "{header:?}");
        }
        let other = [0x30, 0x81, 8, 0, 0, 4, 1, 2];
        assert_eq!(Gre::default().check(&packet(&gre(&other))), Err(InvalidReason::MessageType));
    }

    #[test]
    fn a_flow_that_has_been_answered_lives_longer() {
        let (gre, bytes) = (Gre::default(), gre(&[0; 4]));
        let at = |status| {
            gre.update(&mut (), &packet(&bytes), Seen::new(Direction::Original, status, Instant::ZERO))
        };
        assert_eq!(at(Status::CONFIRMED), Outcome::refresh(Duration::from_secs(30)));
        let answered = Outcome::Accept { timeout: Duration::from_secs(180), assured: true, changed: false };
        assert_eq!(at(Status::CONFIRMED | Status::SEEN_REPLY), answered);
    }
}
