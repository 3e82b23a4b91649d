//! A generation in 40 bits, as a flow keeps it.

use crate::snapshot::Generation;

/// Up to which version of the routing state a way is known to be good: the low 40 bits of a [`Generation`].
///
/// At 10,000 changes a second they last for three and a half years; the wrap is harmless as long as no flow goes
/// without a packet for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Stamp(u64);

/// How far a stamp may be ahead of the version in hand: a worker may meet a flow that another, which has taken a later
/// version, has just judged.
const AHEAD_MAX: u64 = 1 << 16;

impl Stamp {
    /// Bits of a stamp.
    pub const BITS: u32 = 40;

    const MASK: u64 = (1 << Self::BITS) - 1;

    /// The stamp of a version.
    #[must_use]
    pub const fn of(generation: Generation) -> Self {
        Self(generation.0 & Self::MASK)
    }

    /// The stamp these bits stand for; those beyond [`Stamp::BITS`] are cut off.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & Self::MASK)
    }

    /// The bits, below `1 << Stamp::BITS`.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The version it was made of: the latest one that is not later than the present or only a little ahead of it
    /// (65,536 versions). [`Generation`] 0, which never is current, if there has been no such version yet.
    #[must_use]
    pub const fn generation(self, present: Generation) -> Generation {
        let ahead = self.0.wrapping_sub(present.0) & Self::MASK;
        if ahead <= AHEAD_MAX {
            return Generation(present.0.saturating_add(ahead));
        }
        let behind = present.0.wrapping_sub(self.0) & Self::MASK;
        Generation(present.0.saturating_sub(behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAP: u64 = 1 << Stamp::BITS;

    #[test]
    fn a_stamp_stands_for_the_version_it_was_made_of_across_the_wrap() {
        for made in [1, 2, WRAP - 2, WRAP - 1, WRAP, WRAP + 1, 5 * WRAP - 1, 5 * WRAP] {
            for later in [0, 1, 2, 3, 1000, WRAP - AHEAD_MAX - 1] {
                let stamp = Stamp::from_bits(Stamp::of(Generation(made)).bits());
                assert_eq!(stamp.generation(Generation(made + later)), Generation(made), "{made} + {later}");
            }
            for earlier in [1, 2, AHEAD_MAX].into_iter().filter(|earlier| *earlier < made) {
                let stamp = Stamp::of(Generation(made));
                assert_eq!(
                    stamp.generation(Generation(made - earlier)),
                    Generation(made),
                    "{made} - {earlier}"
                );
            }
        }
    }

    #[test]
    fn a_stamp_of_no_version_yet_is_older_than_all() {
        assert_eq!(Stamp::from_bits(WRAP / 2).generation(Generation(5)), Generation(0));
        assert_eq!(Stamp::from_bits(5 + AHEAD_MAX + 1).generation(Generation(5)), Generation(0));
        assert_eq!(Stamp::from_bits(u64::MAX).bits(), WRAP - 1);
    }
}
