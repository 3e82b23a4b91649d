//! Every cell of TCP's table of transitions: each kind of segment, from either side, in each state.

use super::sequence::{ACK, Body, FIN, Options, Packet, RST, SYN, Segment, Sequence, Side, Step};

/// States and how they are reached in the fewest steps: side and flags.
const STATES: [(&str, &[(Side, u8)]); 10] = [
    ("none", &[]),
    ("syn_sent", &[(Side::Left, SYN)]),
    ("syn_recv", &[(Side::Left, SYN), (Side::Right, SYN | ACK)]),
    ("established", &[(Side::Left, SYN), (Side::Right, SYN | ACK), (Side::Left, ACK)]),
    ("fin_wait", &[(Side::Left, SYN), (Side::Right, SYN | ACK), (Side::Left, ACK), (Side::Left, FIN | ACK)]),
    (
        "close_wait",
        &[
            (Side::Left, SYN),
            (Side::Right, SYN | ACK),
            (Side::Left, ACK),
            (Side::Left, FIN | ACK),
            (Side::Right, ACK),
        ],
    ),
    (
        "last_ack",
        &[
            (Side::Left, SYN),
            (Side::Right, SYN | ACK),
            (Side::Left, ACK),
            (Side::Left, FIN | ACK),
            (Side::Right, FIN | ACK),
        ],
    ),
    (
        "time_wait",
        &[
            (Side::Left, SYN),
            (Side::Right, SYN | ACK),
            (Side::Left, ACK),
            (Side::Left, FIN | ACK),
            (Side::Right, FIN | ACK),
            (Side::Left, ACK),
        ],
    ),
    ("close", &[(Side::Left, SYN), (Side::Right, SYN | ACK), (Side::Left, ACK), (Side::Right, RST | ACK)]),
    ("syn_sent2", &[(Side::Left, SYN), (Side::Right, SYN)]),
];

/// Kinds of segments, by their flags.
const KINDS: [(&str, u8); 6] =
    [("syn", SYN), ("syn-ack", SYN | ACK), ("fin", FIN | ACK), ("ack", ACK), ("rst", RST), ("none", 0)];

/// What follows the segment of the cell, to show what it left behind.
const AFTERWARDS: [(&str, &[(Side, u8)]); 4] = [
    ("then both acknowledge", &[(Side::Right, ACK), (Side::Left, ACK)]),
    ("then an answer to a SYN", &[(Side::Right, SYN | ACK), (Side::Left, ACK)]),
    ("then a reset", &[(Side::Right, RST | ACK), (Side::Left, SYN)]),
    ("then a SYN", &[(Side::Left, SYN), (Side::Right, ACK), (Side::Left, RST)]),
];

/// The sequences: each cell, with each continuation.
#[must_use]
pub fn sequences() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for (state, prefix) in STATES {
        for (kind, flags) in KINDS {
            for side in [Side::Left, Side::Right] {
                for (afterwards, more) in AFTERWARDS {
                    let from = if side == Side::Left { "client" } else { "server" };
                    let name = format!("tcp table: {kind} from the {from} in {state}, {afterwards}");
                    let said = [prefix, &[(side, flags)], more].concat();
                    sequences.push(Sequence::new(name, steps(&said)));
                }
            }
        }
    }
    sequences
}

/// Segments with these flags, with the numbers that two ends would give them.
fn steps(said: &[(Side, u8)]) -> Vec<Step> {
    let mut next = [0_u32; 2];
    let step = |&(side, flags): &(Side, u8)| {
        let own = next[side.index()];
        let takes = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        // A segment that starts anew does not count on from the one before.
        let sequence = if flags & SYN != 0 { 0 } else { own };
        next[side.index()] = sequence + takes;
        let options = if flags & SYN != 0 {
            Options { mss: Some(1460), scale: Some(7), sack_permitted: true, ..Options::default() }
        } else {
            Options::default()
        };
        let acknowledgment = if flags & ACK != 0 { next[side.opposite().index()] } else { 0 };
        let segment = Segment { flags, sequence, acknowledgment, window: 500, options, ..Segment::default() };
        Step::Send(Packet::new(side, Body::Tcp(segment)))
    };
    said.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_a_sequence_for_each_cell_and_continuation() {
        let sequences = super::sequences();
        assert_eq!(sequences.len(), 2 * 6 * 10 * 4);
        let mut names: Vec<_> = sequences.iter().map(|sequence| &sequence.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), sequences.len());
    }
}
