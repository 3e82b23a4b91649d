//! The chunks of an SCTP packet, one after the other.

use super::state::chunk;

/// Bytes of the common header.
pub(super) const HEADER: usize = 12;

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Length as it stands there, header included and padding not.
    length: u16,
    /// Everything after its header, up to the end of the packet.
    after: &'a [u8],
}

impl Chunk<'_> {
    /// The tag that an INIT or INIT ACK announces: what packets to its sender are to bear. `None` if it is cut off
    /// before the end of its fixed part.
    pub(super) fn announced_tag(&self) -> Option<u32> {
        const FIXED: usize = 16;
        let fixed = self.after.first_chunk::<FIXED>()?;
        Some(u32::from_be_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]))
    }

    /// The sender knows no association and returns the tag that it was sent (RFC 9260 section 8.5.1).
    pub(super) const fn returns_tag(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// Walks the chunks. Each step costs at least four bytes, so it ends; a chunk of length 0 is handed out and is the last.
#[derive(Clone, Debug)]
pub(super) struct Chunks<'a>(&'a [u8]);

impl<'a> Chunks<'a> {
    /// The chunks of a packet that has its common header.
    pub(super) fn of(packet: &'a [u8]) -> Self {
        Self(&packet[HEADER..])
    }

    /// Whether they may stand together: cookies first, what opens and what ends alone, none empty, at least one
    /// (`do_basic_checks`).
    pub(super) fn are_in_order(&self) -> bool {
        let mut alone = false;
        let mut count = 0;
        for chunk in self.clone() {
            alone |= matches!(chunk.kind, chunk::INIT | chunk::INIT_ACK | chunk::SHUTDOWN_COMPLETE);
            let first = alone || matches!(chunk.kind, chunk::COOKIE_ECHO | chunk::COOKIE_ACK);
            if (first && count != 0) || chunk.length == 0 {
                return false;
            }
            count += 1;
        }
        count != 0
    }

    /// Which kinds there are.
    pub(super) fn kinds(&self) -> Kinds {
        Kinds(self.clone().fold(0, |kinds, chunk| kinds | Kinds::bit(chunk.kind)))
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (header, after) = self.0.split_first_chunk::<4>()?;
        let length = u16::from_be_bytes([header[2], header[3]]);
        let step = usize::from(length).next_multiple_of(4);
        self.0 = if length == 0 { &[] } else { self.0.get(step..).unwrap_or(&[]) };
        Some(Chunk { kind: header[0], flags: header[1], length, after })
    }
}

/// A set of chunk types, of those up to 14, which tracking knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds(u16);

impl Kinds {
    const fn bit(kind: u8) -> u16 {
        if kind < 16 { 1 << kind } else { 0 }
    }

    /// Whether one of `kinds` is there.
    pub(super) fn has_any(self, kinds: &[u8]) -> bool {
        kinds.iter().any(|kind| self.0 & Self::bit(*kind) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(bytes: &[u8]) -> Vec<u8> {
        [&[0; HEADER], bytes].concat()
    }

    #[test]
    fn chunks_are_walked_by_their_padded_lengths() {
        let bytes = chunks(&[0, 3, 0, 5, 9, 0, 0, 0, 7, 0, 0, 4, 3, 0, 0, 99, 1]);
        let walked: Vec<_> = Chunks::of(&bytes).map(|chunk| (chunk.kind, chunk.length)).collect();
        assert_eq!(walked, [(0, 5), (7, 4), (3, 99)]);
        assert!(Chunks::of(&bytes).kinds().has_any(&[chunk::ABORT, chunk::SHUTDOWN]));
        assert!(!Chunks::of(&bytes).kinds().has_any(&[chunk::ABORT, 200]));
    }

    #[test]
    fn what_may_not_stand_together_is_told() {
        let of = |kinds: &[u8]| chunks(&kinds.iter().flat_map(|kind| [*kind, 0, 0, 4]).collect::<Vec<_>>());
        for (kinds, expected) in [
            (&[][..], false),
            (&[chunk::DATA], true),
            (&[chunk::INIT], true),
            (&[chunk::INIT, chunk::DATA], false),
            (&[chunk::DATA, chunk::INIT_ACK], false),
            (&[chunk::SHUTDOWN_COMPLETE, chunk::DATA], false),
            (&[chunk::COOKIE_ECHO, chunk::DATA], true),
            (&[chunk::DATA, chunk::COOKIE_ECHO], false),
            (&[chunk::COOKIE_ACK, 3, chunk::DATA], true),
            (&[3, chunk::COOKIE_ACK], false),
        ] {
            assert_eq!(Chunks::of(&of(kinds)).are_in_order(), expected, "{kinds:?}");
        }
        assert!(!Chunks::of(&chunks(&[0, 0, 0, 0])).are_in_order());
        assert!(!Chunks::of(&chunks(&[0, 0, 0])).are_in_order());
        assert!(Chunks::of(&chunks(&[0, 0, 0, 1, 0])).are_in_order());
    }
}
