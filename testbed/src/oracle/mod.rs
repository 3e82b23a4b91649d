//! The kernel's connection tracking as oracle: the same sequences of packets through it and through ours, compared packet
//! by packet (did it pass, what was it to its flow) and after each step flow by flow.

pub mod bytes;
pub mod command;
mod compare;
mod ctnetlink;
pub mod flow;
pub mod generate;
pub mod icmp_table;
pub mod kernel;
pub mod mode;
pub mod ours;
pub mod sequence;
mod shrink;
pub mod tcp_table;
pub mod text;

use anyhow::Result;

pub use compare::{Difference, Judge};
pub use mode::{MODES, Mode, USUAL};
pub use sequence::Sequence;

/// Sequences written by hand.
const STORIES: [(&str, &str); 5] = [
    ("tcp", include_str!("stories/tcp.txt")),
    ("udp", include_str!("stories/udp.txt")),
    ("icmp", include_str!("stories/icmp.txt")),
    ("sctp", include_str!("stories/sctp.txt")),
    ("others", include_str!("stories/others.txt")),
];

/// Sequences that once failed.
const FIXTURES: [(&str, &str); 1] = [("random", include_str!("fixtures/random.txt"))];

/// What is played in a mode: all that is known, and `random` random sequences. Time passes only in the usual mode.
///
/// # Errors
/// As [`known_sequences`].
pub fn sequences_for(mode: &Mode, seed: u64, random: usize) -> Result<Vec<Sequence>> {
    let mut sequences = known_sequences()?;
    sequences.extend(generate::sequences(seed, random));
    sequences.retain(|sequence| *mode == USUAL || !sequence.waits());
    Ok(sequences)
}

/// Sequences that failed once, then those written by hand, then every cell of TCP's table and every type
/// of ICMP.
///
/// # Errors
/// A text cannot be read; the error names it.
pub fn known_sequences() -> Result<Vec<Sequence>> {
    use anyhow::Context;
    let mut sequences = Vec::new();
    for (name, text) in FIXTURES.into_iter().chain(STORIES) {
        let parsed = text::parse(text).with_context(|| format!("sequences `{name}`"))?;
        sequences.extend(parsed.into_iter().map(|sequence| {
            let name = format!("{name}: {}", sequence.name);
            Sequence { name, ..sequence }
        }));
    }
    sequences.extend(tcp_table::sequences());
    sequences.extend(icmp_table::sequences());
    Ok(sequences)
}
