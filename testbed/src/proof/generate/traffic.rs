//! Packets: what two hosts might say to each other, and what they had better not.

use fastrand::Rng;

use super::{Limits, one_in, pick};
use crate::proof::story::{Body, Flow, Protocol, Sent, Trouble};

/// How far two hosts have come.
pub(super) struct Talk {
    protocol: Protocol,
    /// How much of an opening or an end has been said.
    stage: Stage,
    /// The number each side sends next: of the client, and of the server.
    next: [u32; 2],
    /// The last segment, to be sent again.
    last: Option<(bool, Body)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Closed,
    Asked,
    Answered,
    Open,
    /// This side has closed: the server, if true.
    Closing(bool),
    Closed2,
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

impl Talk {
    pub fn new(flow: &Flow) -> Self {
        Self { protocol: flow.protocol, stage: Stage::Closed, next: [1_000, 5_000], last: None }
    }

    /// The next segment that makes sense; by the server, if true.
    fn segment(&mut self, rng: &mut Rng) -> (bool, Body) {
        let [client, server] = self.next;
        let (by_server, flags, length) = match self.stage {
            Stage::Closed => (false, SYN, 0),
            Stage::Asked => (true, SYN | ACK, 0),
            Stage::Answered => (false, ACK, 0),
            Stage::Open if one_in(rng, 12) => (rng.bool(), FIN | ACK, 0),
            Stage::Open => (rng.bool(), if rng.bool() { ACK } else { ACK | PSH }, length(rng)),
            Stage::Closing(server) => (!server, FIN | ACK, 0),
            Stage::Closed2 => (rng.bool(), ACK, 0),
        };
        let number = [client, server][usize::from(by_server)];
        let other = [client, server][usize::from(!by_server)];
        let acknowledged = if flags & ACK == 0 { 0 } else { other };
        let taken = length as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[usize::from(by_server)] = number.wrapping_add(taken);
        self.stage = match self.stage {
            Stage::Closed => Stage::Asked,
            Stage::Asked => Stage::Answered,
            Stage::Answered => Stage::Open,
            Stage::Open if flags & FIN != 0 => Stage::Closing(by_server),
            Stage::Closing(_) => Stage::Closed2,
            Stage::Closed2 if one_in(rng, 3) => {
                self.next = self.next.map(|number| number.wrapping_add(100_000));
                Stage::Closed
            }
            same => same,
        };
        let body = Body::Segment(number, acknowledged, flags, length);
        self.last = Some((by_server, body.clone()));
        (by_server, body)
    }

    /// A segment that does not belong there.
    fn bad(&self, rng: &mut Rng) -> (bool, Body) {
        let by_server = rng.bool();
        let [own, other] = if by_server { [self.next[1], self.next[0]] } else { self.next };
        let far = pick(rng, &[0_u32, 1, 70_000, 1 << 20, 0x8000_0000]);
        let body = match rng.u32(0..6) {
            0 => Body::Segment(own.wrapping_add(far), other, RST, 0),
            1 => Body::Segment(own, other.wrapping_add(far), ACK, 10),
            2 => Body::Segment(own.wrapping_add(far), other, ACK, 10),
            3 => Body::Segment(own, 0, pick(rng, &[0, SYN | FIN, SYN | RST, FIN, 0x29]), 0),
            4 => Body::Segment(own.wrapping_add(far), 0, SYN, 0),
            _ => Body::Segment(own.wrapping_sub(far), other, ACK | PSH, 20),
        };
        (by_server, body)
    }
}

/// A packet of some flow.
pub(super) fn sent(rng: &mut Rng, limits: Limits, talks: &mut [Talk]) -> Sent {
    let number = rng.usize(..talks.len());
    let talk = &mut talks[number];
    let (reply, body) = match (talk.protocol, rng.u32(0..40)) {
        (_, 0 | 1) => {
            let trouble = pick(rng, &[Trouble::TooBig, Trouble::Unreachable, Trouble::Expired]);
            (rng.bool(), Body::Error(trouble))
        }
        (Protocol::Tcp, 2..4) => talk.bad(rng),
        (Protocol::Tcp, 4..7) => talk.last.clone().unwrap_or((false, Body::Data(length(rng)))),
        (Protocol::Tcp, 7..9) => (rng.bool(), Body::Data(length(rng))),
        (Protocol::Tcp, _) => talk.segment(rng),
        _ => (rng.u32(0..10) < 4, Body::Data(length(rng))),
    };
    Sent {
        flow: number,
        reply,
        body,
        astray: one_in(rng, 12).then(|| rng.usize(0..4)),
        tos: pick(rng, &[0, 0, 0, 0, 0x10, 0x02, 0x20]),
        ttl: if one_in(rng, 14) { pick(rng, &[1, 2]) } else { 64 },
        dont_fragment: rng.bool(),
        pieces: limits.pieces && one_in(rng, 8),
        spoilt: limits.stateful && one_in(rng, 40),
    }
}

/// Bytes of data: mostly few.
fn length(rng: &mut Rng) -> usize {
    match rng.u32(0..8) {
        0..6 => rng.usize(1..40),
        6 => rng.usize(560..700),
        _ => rng.usize(1_200..1_440),
    }
}
