//! Makes a sequence that differs as small as it can be while it still differs.

use anyhow::Result;

use super::compare::{Difference, Judge};
use super::kernel::BATCH_MAX;
use super::sequence::{Body, Options, Packet, Segment, Sequence, Step};

/// Rounds of which each makes the sequence smaller by a little.
const ROUNDS_MAX: usize = 100;

/// The smallest sequence found that differs as well. In each round all that are a little smaller are played at once.
pub(super) fn shrink(judge: &mut Judge, difference: Difference) -> Result<Difference> {
    let mut smallest = difference;
    for _ in 0..ROUNDS_MAX {
        let smaller = smaller(&smallest);
        let batch: Vec<&Sequence> = smaller.iter().take(BATCH_MAX).collect();
        let found = judge.differences(&batch)?.into_iter().zip(&batch).find_map(|(at, sequence)| {
            at.map(|at| Difference { sequence: (*sequence).clone(), at: Some(at), ..smallest.clone() })
        });
        match found {
            Some(found) => smallest = found,
            None => break,
        }
    }
    Ok(smallest)
}

/// Sequences a little smaller, the smallest first.
fn smaller(difference: &Difference) -> Vec<Sequence> {
    let sequence = &difference.sequence;
    let with = |steps: Vec<Step>| Sequence { steps, ..sequence.clone() };
    let mut candidates = Vec::new();
    if let Some((step, ..)) = difference.at
        && step + 1 < sequence.steps.len()
    {
        candidates.push(with(sequence.steps[..=step].to_vec()));
    }
    let length = sequence.steps.len();
    for take in [length / 2, length / 4, 2, 1] {
        if take == 0 || take > length {
            continue;
        }
        for from in 0..=length - take {
            let mut steps = sequence.steps.clone();
            steps.drain(from..from + take);
            candidates.push(with(steps));
        }
    }
    for (index, step) in sequence.steps.iter().enumerate() {
        let Step::Send(packet) = step else { continue };
        for packet in simpler(packet) {
            let mut steps = sequence.steps.clone();
            steps[index] = Step::Send(packet);
            candidates.push(with(steps));
        }
    }
    candidates.retain(|candidate| !candidate.steps.is_empty());
    candidates
}

/// Packets with one thing less to read.
fn simpler(packet: &Packet) -> Vec<Packet> {
    let plain = Packet::new(packet.side, packet.body.clone());
    let mut candidates = vec![
        Packet { from: None, ..packet.clone() },
        Packet { to: None, ..packet.clone() },
        Packet { flow: 0, ..packet.clone() },
        Packet { pieces: None, ..packet.clone() },
        Packet { bad_checksum: false, ..packet.clone() },
        plain,
    ];
    if let Body::Tcp(segment) = &packet.body {
        let options = &segment.options;
        let other_options = [
            Options::default(),
            Options { mss: None, ..options.clone() },
            Options { scale: None, ..options.clone() },
            Options { sack_permitted: false, ..options.clone() },
            Options { timestamp: false, ..options.clone() },
            Options { sacks: Vec::new(), ..options.clone() },
            Options { raw: Vec::new(), ..options.clone() },
        ];
        let segments = other_options.map(|options| Segment { options, ..segment.clone() });
        let segments = segments.into_iter().chain([
            Segment { flags: segment.flags & 0b1_0111, ..segment.clone() },
            Segment { length: 0, ..segment.clone() },
            Segment { length: segment.length.min(1), ..segment.clone() },
            Segment { length: segment.length.min(100), ..segment.clone() },
            Segment { sequence: 0, ..segment.clone() },
            Segment { sequence: 1, ..segment.clone() },
            Segment { acknowledgment: 0, ..segment.clone() },
            Segment { acknowledgment: 1, ..segment.clone() },
            Segment { window: 1000, ..segment.clone() },
        ]);
        candidates.extend(segments.map(|segment| Packet { body: Body::Tcp(segment), ..packet.clone() }));
    }
    candidates.retain(|candidate| weight(candidate) < weight(packet));
    candidates
}

/// How much there is to read: it falls from round to round, so that shrinking ends.
fn weight(packet: &Packet) -> u64 {
    let fields = u64::from(packet.from.is_some())
        + u64::from(packet.to.is_some())
        + u64::from(packet.flow != 0)
        + u64::from(packet.pieces.is_some())
        + u64::from(packet.bad_checksum)
        + u64::from(packet.no_checksum)
        + u64::from(packet.cut.is_some())
        + u64::from(packet.treatment != super::sequence::Treatment::Usual);
    let body = match &packet.body {
        Body::Tcp(segment) => {
            let options = &segment.options;
            let options = u64::from(options.mss.is_some())
                + u64::from(options.scale.is_some())
                + u64::from(options.sack_permitted)
                + u64::from(options.timestamp)
                + options.sacks.len() as u64
                + options.raw.len() as u64;
            let number = |number: u32, usual: u32| u64::from(number != 0) + 2 * u64::from(number > usual);
            u64::from(segment.flags.count_ones())
                + options
                + number(segment.sequence, 1)
                + number(segment.acknowledgment, 1)
                + u64::from(segment.window != 1000)
                + u64::from(segment.length)
        }
        _ => 0,
    };
    fields * 10 + body
}
