//! SCTP: the state of an association as its chunks and verification tags show it (`nf_conntrack_proto_sctp.c`).

mod chunks;
mod state;
#[cfg(test)]
mod tests;

pub use self::state::SctpState;

use std::time::Duration;

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use self::chunks::{Chunk, Chunks, HEADER, Kinds};
use self::state::{chunk, next};
use super::{Check, L4Tracker, Outcome, Seen, Timeout, ports};
use crate::conn::Status;
use crate::packet::Packet;
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::{Direction, Ids};

/// The SCTP tracker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sctp {
    /// How long associations live in each state.
    pub timeouts: SctpTimeouts,
}

/// How long an association lives after a packet that left it in a state. Defaults are Linux's.
#[derive(Clone, Copy, Debug)]
pub struct SctpTimeouts {
    /// An INIT was seen, or it is over (10 s).
    pub closed: Duration,
    /// An INIT ACK was seen (3 s).
    pub cookie_wait: Duration,
    /// A COOKIE ECHO was seen (3 s).
    pub cookie_echoed: Duration,
    /// Both ends have agreed (210 s).
    pub established: Duration,
    /// Who started it has sent a SHUTDOWN (3 s).
    pub shutdown_sent: Duration,
    /// The other has sent a SHUTDOWN (3 s).
    pub shutdown_recd: Duration,
    /// The SHUTDOWN is acknowledged (3 s).
    pub shutdown_ack_sent: Duration,
    /// A new path was tried by a HEARTBEAT (30 s).
    pub heartbeat_sent: Duration,
}

impl Default for SctpTimeouts {
    fn default() -> Self {
        Self {
            closed: Duration::from_secs(10),
            cookie_wait: Duration::from_secs(3),
            cookie_echoed: Duration::from_secs(3),
            established: Duration::from_secs(210),
            shutdown_sent: Duration::from_secs(3),
            shutdown_recd: Duration::from_secs(3),
            shutdown_ack_sent: Duration::from_secs(3),
            heartbeat_sent: Duration::from_secs(30),
        }
    }
}

impl SctpTimeouts {
    const fn of(&self, state: SctpState) -> Duration {
        match state {
            SctpState::None | SctpState::Closed => self.closed,
            SctpState::CookieWait => self.cookie_wait,
            SctpState::CookieEchoed => self.cookie_echoed,
            SctpState::Established => self.established,
            SctpState::ShutdownSent => self.shutdown_sent,
            SctpState::ShutdownReceived => self.shutdown_recd,
            SctpState::ShutdownAckSent => self.shutdown_ack_sent,
            SctpState::HeartbeatSent => self.heartbeat_sent,
        }
    }
}

/// What is remembered of an association (`struct ip_ct_sctp`).
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SctpFlow {
    /// The verification tag of packets of each direction; 0 if it is not known.
    tags: [u32; 2],
    state: SctpState,
    /// Whether an INIT came in a direction and no cookie has confirmed it.
    initiated: [u8; 2],
    /// Direction of a HEARTBEAT with a strange tag whose answer is awaited.
    strange_heartbeat: u8,
    unused: [u8; 4],
}

/// No strange HEARTBEAT.
const NOT_STRANGE: u8 = 2;

impl L4Tracker for Sctp {
    type State = SctpFlow;

    fn name(&self) -> &'static str {
        "sctp"
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        ports(header)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        let bytes = packet.transport();
        if bytes.len() < HEADER {
            return Err(InvalidReason::Truncated);
        }
        if packet.is_to_be_verified() && checksum(bytes) != bytes[8..12] {
            return Err(InvalidReason::Checksum);
        }
        if !Chunks::of(bytes).are_in_order() {
            return Err(InvalidReason::Flags);
        }
        Ok(Check::Track)
    }

    fn start(&self, packet: &Packet<'_>, _now: Instant) -> Result<SctpFlow, InvalidReason> {
        let bytes = packet.transport();
        let tag = tag_of(bytes);
        let chunks = Chunks::of(bytes);
        // Their receiver discards them (RFC 9260 section 8.4).
        if chunks.kinds().has_any(&[chunk::ABORT, chunk::SHUTDOWN_COMPLETE, chunk::COOKIE_ACK]) {
            return Err(InvalidReason::NotFirst);
        }
        let mut flow = SctpFlow {
            tags: [0; 2],
            state: SctpState::None,
            initiated: [0; 2],
            strange_heartbeat: NOT_STRANGE,
            unused: [0; 4],
        };
        for chunk in chunks {
            match next(Direction::Original, SctpState::None, chunk.kind) {
                None | Some(SctpState::None) => return Err(InvalidReason::NotFirst),
                Some(_) => {}
            }
            match chunk.kind {
                chunk::INIT if tag != 0 => return Err(InvalidReason::Tag),
                chunk::INIT => {
                    flow.tags[Direction::Reply.index()] =
                        chunk.announced_tag().ok_or(InvalidReason::Truncated)?;
                    flow.initiated[Direction::Original.index()] = 1;
                }
                chunk::HEARTBEAT => flow.tags[Direction::Original.index()] = tag,
                chunk::SHUTDOWN_ACK => flow.tags[Direction::Reply.index()] = tag,
                _ => {}
            }
        }
        Ok(flow)
    }

    fn update(&self, flow: &mut SctpFlow, packet: &Packet<'_>, seen: Seen) -> Outcome {
        let bytes = packet.transport();
        let own = seen.direction.index();
        let tag = tag_of(bytes);
        let chunks = Chunks::of(bytes);
        let kinds = chunks.kinds();
        if !kinds.has_any(&TAGGED_APART) && tag != flow.tags[own] {
            return Outcome::Invalid(InvalidReason::Tag);
        }
        let mut walked = Walked::default();
        let result = flow.walk(chunks, &kinds, tag, seen, &mut walked);
        let Walked { ignored, changed, assured } = walked;
        match (result, ignored, changed) {
            (Err(reason), _, true) => Outcome::InvalidChanged { reason, assured },
            (Err(reason), _, false) => Outcome::Invalid(reason),
            (Ok(()), true, false) => Outcome::Pass,
            (Ok(()), true, true) => Outcome::PassChanged { assured },
            (Ok(()), false, _) => Outcome::Accept { timeout: self.timeouts.of(flow.state), assured, changed },
        }
    }

    /// The association lives on as its state has it; what the chunks said is not known.
    fn pass_unseen(&self, flow: &mut SctpFlow, _seen: Seen) -> Outcome {
        Outcome::refresh(self.timeouts.of(flow.state))
    }

    fn timeouts(&self) -> Vec<Timeout> {
        let timeouts = &self.timeouts;
        [
            ("closed", timeouts.closed),
            ("cookie_wait", timeouts.cookie_wait),
            ("cookie_echoed", timeouts.cookie_echoed),
            ("established", timeouts.established),
            ("shutdown_sent", timeouts.shutdown_sent),
            ("shutdown_recd", timeouts.shutdown_recd),
            ("shutdown_ack_sent", timeouts.shutdown_ack_sent),
            ("heartbeat_sent", timeouts.heartbeat_sent),
        ]
        .map(|(name, duration)| Timeout { name, duration })
        .to_vec()
    }

    fn state_name(&self, flow: &SctpFlow) -> Option<&'static str> {
        Some(flow.state.name())
    }

    fn may_drop_early(&self, flow: &SctpFlow) -> bool {
        matches!(
            flow.state,
            SctpState::ShutdownSent | SctpState::ShutdownReceived | SctpState::ShutdownAckSent
        )
    }
}

/// Chunks that have rules of their own for the tag (RFC 9260 section 8.5.1), or need none.
const TAGGED_APART: [u8; 7] = [
    chunk::INIT,
    chunk::SHUTDOWN_COMPLETE,
    chunk::COOKIE_ECHO,
    chunk::ABORT,
    chunk::SHUTDOWN_ACK,
    chunk::HEARTBEAT,
    chunk::HEARTBEAT_ACK,
];

/// What the chunks of a packet have come to so far.
#[derive(Clone, Copy, Debug, Default)]
struct Walked {
    /// The packet is to pass without prolonging the flow.
    ignored: bool,
    /// The state has changed.
    changed: bool,
    /// Both ends have agreed.
    assured: bool,
}

/// What a packet's tag is to a chunk.
enum Tag {
    Right,
    Wrong,
    /// Not the one that is known, but the path may have come under a new one.
    Strange,
}

/// A chunk with a strange tag.
enum Strange {
    /// It asks.
    Heartbeat,
    /// It answers one that asked, and so the tag is the new one.
    Answer,
}

impl SctpFlow {
    /// Follows the chunks of a packet up to the first that does not fit; what came before it counts.
    fn walk(
        &mut self,
        chunks: Chunks<'_>,
        kinds: &Kinds,
        tag: u32,
        seen: Seen,
        walked: &mut Walked,
    ) -> Result<(), InvalidReason> {
        for chunk in chunks {
            match self.check_tag(&chunk, tag, seen.direction) {
                Tag::Right => {}
                Tag::Wrong => return Err(InvalidReason::Tag),
                Tag::Strange if walked.ignored || kinds.has_any(&[chunk::DATA]) => {
                    return Err(InvalidReason::Tag);
                }
                Tag::Strange => match self.meet_strange(&chunk, tag, seen.direction)? {
                    Strange::Heartbeat => {
                        walked.ignored = true;
                        continue;
                    }
                    Strange::Answer => {}
                },
            }
            let old = self.state;
            let new = next(seen.direction, old, chunk.kind).ok_or(InvalidReason::State)?;
            self.learn_tag(&chunk, seen.direction)?;
            // A repeated INIT does not keep an entry alive, or a reused port would never be free again.
            walked.ignored |= chunk.kind == chunk::INIT
                && (old, new) == (SctpState::Closed, SctpState::Closed)
                && seen.status.contains(Status::CONFIRMED);
            self.state = new;
            walked.changed |= old != new;
            walked.assured |= new == SctpState::Established;
        }
        Ok(())
    }

    /// Holds a packet's tag against what a chunk may bear.
    fn check_tag(&mut self, chunk: &Chunk<'_>, tag: u32, direction: Direction) -> Tag {
        let own = direction.index();
        let right = match chunk.kind {
            chunk::INIT => tag == 0,
            chunk::ABORT | chunk::SHUTDOWN_COMPLETE => {
                let expected = if chunk.returns_tag() { 1 - own } else { own };
                tag == self.tags[expected]
            }
            chunk::COOKIE_ECHO => tag == self.tags[own],
            chunk::COOKIE_ACK => {
                self.initiated = [0; 2];
                true
            }
            chunk::HEARTBEAT | chunk::HEARTBEAT_ACK if self.tags[own] == 0 => {
                self.tags[own] = tag;
                true
            }
            chunk::HEARTBEAT | chunk::HEARTBEAT_ACK if self.tags[own] != tag => return Tag::Strange,
            chunk::HEARTBEAT | chunk::HEARTBEAT_ACK => {
                self.strange_heartbeat = NOT_STRANGE;
                true
            }
            _ => true,
        };
        if right { Tag::Right } else { Tag::Wrong }
    }

    /// A HEARTBEAT with a strange tag passes; if it is answered, its tag is believed.
    fn meet_strange(
        &mut self,
        chunk: &Chunk<'_>,
        tag: u32,
        direction: Direction,
    ) -> Result<Strange, InvalidReason> {
        if chunk.kind == chunk::HEARTBEAT {
            self.strange_heartbeat = direction as u8;
            return Ok(Strange::Heartbeat);
        }
        if self.strange_heartbeat != direction.opposite() as u8 {
            return Err(InvalidReason::Tag);
        }
        self.strange_heartbeat = NOT_STRANGE;
        self.tags[direction.index()] = tag;
        self.tags[direction.opposite().index()] = 0;
        Ok(Strange::Answer)
    }

    /// Notes the tag that an INIT or INIT ACK announces for packets to its sender.
    fn learn_tag(&mut self, chunk: &Chunk<'_>, direction: Direction) -> Result<(), InvalidReason> {
        let (own, other) = (direction.index(), direction.opposite().index());
        match chunk.kind {
            chunk::INIT => {
                let announced = chunk.announced_tag().ok_or(InvalidReason::Truncated)?;
                // A repeated one begins nothing.
                if self.tags[other] != announced {
                    if self.initiated == [1; 2] {
                        self.initiated[other] = 0;
                    }
                    self.initiated[own] = 1;
                    self.tags[other] = announced;
                }
            }
            chunk::INIT_ACK => {
                let announced = chunk.announced_tag().ok_or(InvalidReason::Truncated)?;
                let known = self.tags[other];
                let unasked = self.initiated[other] == 0 && known != 0;
                let collision = self.initiated == [1; 2];
                if (unasked || collision) && known != announced {
                    return Err(InvalidReason::Tag);
                }
                self.tags[other] = announced;
            }
            _ => {}
        }
        Ok(())
    }
}

fn tag_of(packet: &[u8]) -> u32 {
    u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]])
}

/// The checksum of a packet, as it stands in the header (RFC 9260 appendix A).
fn checksum(packet: &[u8]) -> [u8; 4] {
    let sum = crc32c::crc32c(&packet[..8]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, &packet[12..]).to_le_bytes()
}
