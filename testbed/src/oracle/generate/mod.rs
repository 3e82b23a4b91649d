//! Random sequences by seed: hosts that mostly behave and then err.

mod others;
mod tcp;

use fastrand::Rng;

use super::sequence::{Body, Packet, Sequence, Side, Step, Treatment};

/// `count` sequences; the same for the same seed. About one in a hundred lets time pass, always at the same steps, so
/// that waiting for all of them takes no longer than for one.
#[must_use]
pub fn sequences(seed: u64, count: usize) -> Vec<Sequence> {
    (0..count).map(|index| sequence(seed, index)).collect()
}

/// The steps before which time may pass, and how long, in milliseconds.
const WAITS: [(usize, u32); 2] = [(2, 2600), (6, 2600)];

fn sequence(seed: u64, index: usize) -> Sequence {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64));
    let (kind, mut steps) = match rng.u8(..100) {
        0..70 => ("tcp", tcp::steps(&mut rng)),
        70..78 => ("udp", others::udp(&mut rng)),
        78..84 => ("icmp", others::icmp(&mut rng)),
        84..93 => ("sctp", others::sctp(&mut rng)),
        _ => ("other", others::other(&mut rng)),
    };
    let ipv6 = rng.u8(..4) == 0;
    if ipv6 && kind == "icmp" {
        steps.iter_mut().for_each(others::to_icmpv6);
    }
    if rng.u8(..100) == 0 {
        for (at, wait) in WAITS {
            if at < steps.len() {
                steps.insert(at, Step::Wait(wait));
            }
        }
    }
    let mut sequence = Sequence::new(format!("random {kind}, seed {seed}, number {index}"), steps);
    sequence.ipv6 = ipv6;
    if rng.bool() {
        sequence.starts = [rng.u32(..), rng.u32(..)];
    }
    sequence
}

/// One of `choices`.
fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

/// Whether it happens, `percent` times in a hundred.
fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

fn side(rng: &mut Rng) -> Side {
    if rng.bool() { Side::Left } else { Side::Right }
}

/// What may go wrong with any packet.
fn spoil(rng: &mut Rng, packet: &mut Packet) {
    match rng.u8(..9) {
        0 | 1 => packet.bad_checksum = true,
        2 => packet.cut = Some(pick(rng, &[0, 4, 7, 8, 11, 12, 19, 20])),
        3 => packet.treatment = Treatment::Lost,
        4 => packet.treatment = Treatment::Zone(rng.u8(1..3)),
        5 => packet.treatment = Treatment::NoTrack,
        6 => packet.flow = rng.u8(1..3),
        7 => packet.pieces = Some(pick(rng, &[8, 16, 24, 64])),
        _ => packet.no_checksum = true,
    }
}

/// An error about one of the packets sent before, or about one that was not sent.
fn error(rng: &mut Rng, steps: &[Step]) -> Option<Packet> {
    let sent: Vec<&Packet> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Send(packet) if !matches!(packet.body, Body::Error { .. }) => Some(packet),
            _ => None,
        })
        .collect();
    let mut quoted = (*sent.get(rng.usize(..sent.len().max(1)))?).clone();
    quoted.pieces = None;
    quoted.treatment = Treatment::Usual;
    if chance(rng, 10) {
        quoted.flow = quoted.flow.wrapping_add(1);
    }
    let (kind, code) = pick(rng, &[(3, 1), (3, 3), (3, 4), (11, 0), (12, 0), (5, 1), (4, 0), (3, 13)]);
    let quoted_bytes = pick(rng, &[28, 28, 28, 20, 24, 27, 36, 60, 128]);
    let side = if chance(rng, 10) { quoted.side } else { quoted.side.opposite() };
    let from = match side {
        Side::Left => super::sequence::Host::LeftRouter,
        Side::Right => super::sequence::Host::RightRouter,
    };
    let mut packet = Packet::new(side, Body::Error { kind, code, quoted: Box::new(quoted), quoted_bytes });
    packet.from = rng.bool().then_some(from);
    if chance(rng, 5) {
        packet.bad_checksum = true;
    }
    if chance(rng, 5) {
        packet.to = Some(pick(rng, &super::sequence::Host::ALL).0);
    }
    // What is sent to somebody on its own side is not forwarded as is meant.
    if packet.to.is_some_and(|to| {
        use super::sequence::Host;
        matches!(to, Host::Client | Host::LeftRouter) == (packet.side == Side::Left)
    }) {
        packet.to = None;
    }
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::super::sequence::STEPS_MAX;
    use super::super::text::parse;
    use super::sequences;

    #[test]
    fn a_seed_gives_the_same_sequences_and_another_gives_others() {
        assert_eq!(sequences(7, 50), sequences(7, 50));
        assert_ne!(sequences(7, 50), sequences(8, 50));
    }

    #[test]
    fn random_sequences_are_read_as_they_are_written() {
        for sequence in sequences(1, 2000) {
            assert!(sequence.steps.len() <= STEPS_MAX);
            let text = sequence.to_string();
            assert_eq!(parse(&text).unwrap(), [sequence], "{text}");
        }
    }
}
