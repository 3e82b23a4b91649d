//! Random sequences of the protocols that are not TCP.

use fastrand::Rng;

use super::super::sequence::{Body, Chunk, Packet, Side, Step};
use super::{chance, error, pick, side, spoil};

/// UDP between two ends.
pub(super) fn udp(rng: &mut Rng) -> Vec<Step> {
    talk(rng, |rng, packet| {
        let length = pick(rng, &[0, 1, 8, 100, 1000]);
        let claims = chance(rng, 4).then(|| pick(rng, &[0, 7, 8, length, length + 8, length + 9]));
        packet.body = Body::Udp { length, claims };
        packet.no_checksum = chance(rng, 10);
    })
}

/// Queries of ICMP, their answers, and types that nobody knows.
pub(super) fn icmp(rng: &mut Rng) -> Vec<Step> {
    talk(rng, |rng, packet| {
        let (query, answer) = pick(rng, &[(8, 0), (8, 0), (8, 0), (13, 14), (15, 16), (17, 18)]);
        let kind = match packet.side {
            Side::Left if !chance(rng, 8) => query,
            _ if !chance(rng, 8) => answer,
            _ => pick(rng, &[0, 1, 2, 6, 7, 9, 10, 19, 30, 40, 41, 42, 43, 255]),
        };
        let code = if chance(rng, 5) { rng.u8(..) } else { 0 };
        packet.body = Body::Icmp { kind, code, length: pick(rng, &[0, 8, 56]) };
    })
}

/// Changes types of ICMP into those of ICMPv6.
pub(super) fn to_icmpv6(step: &mut Step) {
    let Step::Send(packet) = step else { return };
    match &mut packet.body {
        Body::Icmp { kind, .. } => {
            *kind = match *kind {
                8 => 128,
                0 => 129,
                13 => 139,
                14 => 140,
                15 => 133,
                16 => 134,
                17 => 144,
                18 => 145,
                9 => 130,
                10 => 131,
                19 => 135,
                30 => 136,
                40 => 137,
                41 => 143,
                other => other,
            }
        }
        Body::Error { kind, code, .. } => {
            let (to_kind, to_code) = match *kind {
                3 => (1, *code % 7),
                4 => (2, 0),
                11 => (3, 0),
                12 => (4, 1),
                _ => (100, 0),
            };
            (*kind, *code) = (to_kind, to_code);
        }
        _ => {}
    }
}

/// UDP-Lite, GRE, and protocols without a tracker.
pub(super) fn other(rng: &mut Rng) -> Vec<Step> {
    let kind = rng.u8(..4);
    talk(rng, |rng, packet| {
        packet.body = match kind {
            0 => {
                let length = pick(rng, &[0, 4, 20, 100]);
                Body::UdpLite { length, coverage: pick(rng, &[0, 8, 8, 12, 20, 1, 7, 108, 500]) }
            }
            1 => Body::Gre { version: 0, key: rng.bool().then(|| rng.u16(..3)) },
            2 => Body::Gre { version: pick(rng, &[0, 1, 1, 2]), key: rng.bool().then(|| rng.u16(..3)) },
            _ => Body::Other { protocol: pick(rng, &[50, 51, 89, 4, 33, 115]), length: rng.u16(..100) },
        };
    })
}

fn talk(rng: &mut Rng, mut say: impl FnMut(&mut Rng, &mut Packet)) -> Vec<Step> {
    let length = rng.usize(2..12);
    let mut steps = Vec::new();
    while steps.len() < length {
        if chance(rng, 12)
            && let Some(error) = error(rng, &steps)
        {
            steps.push(Step::Send(error));
            continue;
        }
        let side = if steps.is_empty() && !chance(rng, 5) { Side::Left } else { side(rng) };
        let mut packet = Packet::new(side, Body::Other { protocol: 253, length: 0 });
        say(rng, &mut packet);
        if chance(rng, 8) {
            spoil(rng, &mut packet);
        }
        steps.push(Step::Send(packet));
    }
    steps
}

const TAGS: [u32; 2] = [101, 202];

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const HEARTBEAT_ACK: u8 = 5;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const ERROR: u8 = 9;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;

/// The usual life of an association: side, chunk, whether the tag is still zero.
const LIFE: [(Side, u8); 11] = [
    (Side::Left, INIT),
    (Side::Right, INIT_ACK),
    (Side::Left, COOKIE_ECHO),
    (Side::Right, COOKIE_ACK),
    (Side::Left, DATA),
    (Side::Right, SACK),
    (Side::Left, HEARTBEAT),
    (Side::Right, HEARTBEAT_ACK),
    (Side::Left, SHUTDOWN),
    (Side::Right, SHUTDOWN_ACK),
    (Side::Left, SHUTDOWN_COMPLETE),
];

/// An SCTP association.
pub(super) fn sctp(rng: &mut Rng) -> Vec<Step> {
    let length = rng.usize(2..16);
    let errors = pick(rng, &[0, 10, 30, 60]);
    let mut steps = Vec::new();
    let mut at = if chance(rng, 10) { rng.usize(..LIFE.len()) } else { 0 };
    while steps.len() < length {
        let (mut side, mut kind) = LIFE[at % LIFE.len()];
        match rng.u8(..100) {
            // Something is said again or left out.
            0..8 => {}
            8..12 => at += 2,
            12..16 => at = rng.usize(..LIFE.len()),
            _ => at += 1,
        }
        if chance(rng, errors) {
            match rng.u8(..3) {
                0 => side = side.opposite(),
                1 => kind = pick(rng, &CHUNKS),
                _ => (side, kind) = (super::side(rng), pick(rng, &CHUNKS)),
            }
        }
        let mut packet = Packet::new(side, association(rng, side, kind, errors));
        if chance(rng, errors / 5) {
            spoil(rng, &mut packet);
        }
        steps.push(Step::Send(packet));
        if chance(rng, 4)
            && let Some(error) = error(rng, &steps)
        {
            steps.push(Step::Send(error));
        }
    }
    steps
}

const CHUNKS: [u8; 15] = [
    DATA,
    INIT,
    INIT_ACK,
    SACK,
    HEARTBEAT,
    HEARTBEAT_ACK,
    ABORT,
    SHUTDOWN,
    SHUTDOWN_ACK,
    ERROR,
    COOKIE_ECHO,
    COOKIE_ACK,
    SHUTDOWN_COMPLETE,
    193,
    99,
];

fn association(rng: &mut Rng, side: Side, kind: u8, errors: u8) -> Body {
    let own = TAGS[side.index()];
    let mut tag = if kind == INIT { 0 } else { TAGS[side.opposite().index()] };
    let mut value = if matches!(kind, INIT | INIT_ACK) { own } else { 4 };
    let mut flags = 0;
    let mut claims = None;
    if chance(rng, errors / 2) {
        match rng.u8(..6) {
            0 => tag = pick(rng, &[0, 101, 202, 7]),
            1 => value = pick(rng, &[0, 1, 101, 202, 5]),
            2 => (flags, tag) = (1, own),
            3 => flags = 1,
            4 => claims = Some(pick(rng, &[0, 3, 4, 5, 400])),
            _ => tag = own,
        }
    }
    let mut chunks = vec![Chunk { kind, flags, value, claims }];
    if chance(rng, 10) || kind == COOKIE_ECHO && rng.bool() {
        chunks.push(Chunk {
            kind: pick(rng, &[DATA, DATA, SACK, ABORT, INIT]),
            flags: 0,
            value: 4,
            claims: None,
        });
    }
    Body::Sctp { tag, chunks }
}
