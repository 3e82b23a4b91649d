//! Two TCP ends that mostly behave: handshake, data, acknowledgments, close; and what may go wrong with them.

use fastrand::Rng;

use super::super::sequence::{ACK, Body, FIN, Options, PSH, Packet, RST, SYN, Segment, Side, Step, URG};
use super::{chance, error, pick, side, spoil};

/// The most steps of a sequence.
const STEPS: std::ops::Range<usize> = 3..26;

/// What an end knows. Numbers are relative, as in [`Segment`].
#[derive(Clone, Debug, Default)]
struct End {
    /// Its next sequence number.
    next: u32,
    /// The next it expects of the other.
    expects: u32,
    synchronized: bool,
    /// The other's SYN has arrived.
    heard: bool,
    finished: bool,
    window: u16,
    options: Options,
    last: Option<Segment>,
}

struct Talk {
    ends: [End; 2],
    reset: bool,
}

/// The steps of one sequence.
pub(super) fn steps(rng: &mut Rng) -> Vec<Step> {
    let mut talk = Talk { ends: [End::begin(rng, 0), End::begin(rng, 0)], reset: false };
    let length = rng.usize(STEPS);
    let errors = pick(rng, &[0, 3, 10, 10, 25, 50]);
    if chance(rng, 12) {
        talk.pick_up(rng);
    }
    let mut steps = Vec::new();
    while steps.len() < length {
        if chance(rng, 2)
            && let Some(error) = error(rng, &steps)
        {
            steps.push(Step::Send(error));
            continue;
        }
        let side = talk.whose_turn(rng);
        let before = talk.clone_ends();
        let segment = talk.speak(rng, side);
        let mut packet = Packet::new(side, Body::Tcp(segment));
        if chance(rng, errors) {
            err(rng, &mut packet);
            if rng.bool() {
                talk.ends = before;
            }
        }
        // Some that are seen do not arrive, some that are sent are not seen.
        match rng.u8(..100) {
            0..4 => {}
            4..7 => continue,
            _ => talk.hear(&packet),
        }
        steps.push(Step::Send(packet));
    }
    steps
}

impl End {
    fn begin(rng: &mut Rng, next: u32) -> Self {
        let options = Options {
            mss: chance(rng, 80).then_some(1460),
            scale: chance(rng, 75).then(|| pick(rng, &[0, 1, 2, 5, 7, 9, 13, 14, 15])),
            sack_permitted: chance(rng, 75),
            timestamp: chance(rng, 30),
            ..Options::default()
        };
        let window = pick(rng, &[64_240, 65_535, 29_200, 5840, 1000, 1, 0, 512]);
        Self { next, window, options, ..Self::default() }
    }
}

impl Talk {
    fn clone_ends(&self) -> [End; 2] {
        self.ends.clone()
    }

    /// The handshake was not seen.
    fn pick_up(&mut self, rng: &mut Rng) {
        let numbers = [rng.u32(..100_000), rng.u32(..100_000)];
        for (index, end) in self.ends.iter_mut().enumerate() {
            end.next = numbers[index];
            end.expects = numbers[1 - index];
            end.synchronized = true;
            end.heard = true;
        }
    }

    fn whose_turn(&self, rng: &mut Rng) -> Side {
        match &self.ends {
            [client, _] if !client.synchronized && chance(rng, 92) => Side::Left,
            [_, server] if server.heard && !server.synchronized && chance(rng, 85) => Side::Right,
            _ => side(rng),
        }
    }

    /// What the end on `side` says next.
    fn speak(&mut self, rng: &mut Rng, side: Side) -> Segment {
        if (self.reset || self.ends.iter().all(|end| end.finished)) && chance(rng, 30) {
            self.reopen(rng);
        }
        let own = &mut self.ends[side.index()];
        if !own.synchronized {
            own.synchronized = true;
            let flags = if own.heard { SYN | ACK } else { SYN };
            return own.segment(flags, 0);
        }
        if own.heard && !own.finished && own.last.as_ref().is_some_and(|last| last.flags & SYN != 0) {
            // The usual end of a handshake.
            if chance(rng, 70) {
                return own.segment(ACK, 0);
            }
        }
        match rng.u8(..100) {
            0..35 if !own.finished => {
                let length = pick(rng, &[1, 10, 100, 536, 1000, 1448, 1460]);
                own.segment(ACK | if rng.bool() { PSH } else { 0 }, length)
            }
            0..60 => own.segment(ACK, 0),
            60..70 => match own.last.clone() {
                Some(last) => last,
                None => own.segment(ACK, 0),
            },
            70..82 if !own.finished => {
                let length = pick(rng, &[0, 0, 0, 10]);
                let segment = own.segment(FIN | ACK, length);
                own.finished = true;
                segment
            }
            82..86 => {
                self.reset = true;
                let own = &mut self.ends[side.index()];
                let flags = if rng.bool() { RST } else { RST | ACK };
                Segment { window: 0, ..own.segment(flags, 0) }
            }
            86..90 => {
                own.window = pick(rng, &[0, 0, 1, 500, 65_535]);
                own.segment(ACK, 0)
            }
            90..93 => {
                // A keepalive, or a probe of a closed window.
                let segment = own.segment(ACK, 0);
                Segment {
                    sequence: segment.sequence.wrapping_sub(1),
                    length: u16::from(rng.bool()),
                    ..segment
                }
            }
            93..96 => {
                let mut segment = own.segment(ACK, 0);
                let left = segment.acknowledgment.wrapping_add(pick(rng, &[100, 1000, 1460]));
                segment.options.sacks.push((left, left.wrapping_add(pick(rng, &[1, 500, 1460]))));
                segment
            }
            96..98 => {
                let segment = own.last.clone().unwrap_or_default();
                Segment { flags: SYN, length: 0, ..segment }
            }
            _ => own.segment(ACK | URG, 1),
        }
    }

    /// Client and server begin anew on the same ports.
    fn reopen(&mut self, rng: &mut Rng) {
        let jump =
            |rng: &mut Rng| pick(rng, &[1, 100, 50_000, 1 << 20, 1 << 30, 0x9000_0000_u32, 0xffff_fff0, 0]);
        let numbers = [0, 1].map(|index: usize| self.ends[index].next.wrapping_add(jump(rng)));
        self.ends = numbers.map(|next| End::begin(rng, next));
        self.reset = false;
    }

    /// The other end gets a packet.
    fn hear(&mut self, packet: &Packet) {
        let Body::Tcp(segment) = &packet.body else { return };
        let other = &mut self.ends[packet.side.opposite().index()];
        if segment.flags & RST != 0 {
            self.reset = true;
            return;
        }
        if segment.flags & SYN != 0 && !other.heard {
            other.heard = true;
            other.expects = segment.sequence.wrapping_add(1);
        } else if segment.sequence == other.expects {
            let length = u32::from(segment.length) + u32::from(segment.flags & FIN);
            other.expects = other.expects.wrapping_add(length);
        }
    }
}

impl End {
    /// The next segment with so much data.
    fn segment(&mut self, flags: u8, length: u16) -> Segment {
        let options = if flags & SYN != 0 {
            self.options.clone()
        } else {
            Options { timestamp: self.options.timestamp, ..Options::default() }
        };
        let segment = Segment {
            flags,
            sequence: self.next,
            acknowledgment: if flags & ACK != 0 { self.expects } else { 0 },
            window: self.window,
            length,
            options,
            header_words: None,
        };
        let takes = u32::from(length) + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.next = self.next.wrapping_add(takes);
        self.last = Some(segment.clone());
        segment
    }
}

/// By how much numbers are wrong.
const OFFSETS: [u32; 22] = [
    1,
    u32::MAX,
    2,
    u32::MAX - 1,
    100,
    u32::MAX - 99,
    1460,
    u32::MAX - 1459,
    5840,
    29_200,
    u32::MAX - 29_199,
    65_535,
    u32::MAX - 65_534,
    66_000,
    u32::MAX - 65_999,
    70_000,
    1 << 20,
    u32::MAX - (1 << 20),
    1 << 30,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
];

/// Something goes wrong with a segment.
fn err(rng: &mut Rng, packet: &mut Packet) {
    let Body::Tcp(segment) = &mut packet.body else { return };
    match rng.u8(..22) {
        0..4 => segment.sequence = segment.sequence.wrapping_add(pick(rng, &OFFSETS)),
        4..7 => segment.acknowledgment = segment.acknowledgment.wrapping_add(pick(rng, &OFFSETS)),
        7 => segment.acknowledgment = 0,
        8 => segment.flags = rng.u8(..),
        9..12 => {
            let usual = [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, FIN, 0, SYN | FIN, ACK | URG];
            segment.flags = pick(rng, &usual);
        }
        12 => segment.window = rng.u16(..),
        13 => segment.options.scale = Some(pick(rng, &[0, 3, 14, 15, 255])),
        14 => segment.options = Options::default(),
        15 => {
            segment.options.raw = pick::<&[u8]>(
                rng,
                &[
                    &[3, 0, 0, 0],
                    &[3, 2, 1, 1],
                    &[5, 255, 1, 1],
                    &[0, 3, 3, 7],
                    &[5, 6, 0, 0, 0, 1, 1, 1],
                    &[253, 8, 0, 0, 0, 0, 0, 0],
                    &[1, 1, 1, 3],
                    &[4, 3, 0, 1],
                ],
            )
            .to_vec();
        }
        16 => {
            let edge = segment.acknowledgment.wrapping_add(pick(rng, &OFFSETS));
            segment.options.sacks.push((edge, edge.wrapping_add(pick(rng, &OFFSETS))));
        }
        17 => segment.header_words = Some(pick(rng, &[0, 4, 5, 6, 15])),
        18 => segment.length = rng.u16(..1400),
        19 => packet.side = packet.side.opposite(),
        _ => spoil(rng, packet),
    }
}
