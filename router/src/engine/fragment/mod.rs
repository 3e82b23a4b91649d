//! Packets that do not fit, and datagrams that were gathered from fragments: what is done with them, and the
//! fragments they leave as.
//!
//! What is cut must be an ordinary packet: checksums finished, super-packets segmented before.

mod v4;
mod v6;

pub use v4::{Fragments4, fit4};
pub use v6::{Fragments6, MTU_MIN, fit6};

/// Pieces that are remembered of a datagram; of one in more pieces only the size of the largest is.
pub const PIECES_MAX: usize = 64;

/// How a datagram came that was gathered from fragments, so that it can leave the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pieces: [u16; PIECES_MAX],
    count: u8,
    dont_fragment: bool,
    fragment_max: u32,
}

impl Geometry {
    /// `pieces` are the payload bytes of each fragment in the order of their places, `fragment_max` the bytes of the
    /// largest fragment with its headers (`frag_max_size`). `dont_fragment` says that no fragment was larger than
    /// the largest that bore DF (`IPSKB_FRAG_PMTU`, IPv4 only).
    #[must_use]
    pub fn new(pieces: impl IntoIterator<Item = u16>, fragment_max: u32, dont_fragment: bool) -> Self {
        let mut geometry = Self { pieces: [0; PIECES_MAX], count: 0, dont_fragment, fragment_max };
        for piece in pieces {
            let Some(place) = geometry.pieces.get_mut(usize::from(geometry.count)) else {
                geometry.count = 0;
                break;
            };
            *place = piece;
            geometry.count += 1;
        }
        geometry
    }

    /// Makes nothing of the places where it was cut: it is cut anew, into fragments no larger than those it came in.
    pub const fn forget_pieces(&mut self) {
        self.count = 0;
    }

    /// Bytes of the largest fragment, its headers included.
    #[must_use]
    pub const fn fragment_max(&self) -> usize {
        self.fragment_max as usize
    }

    /// Whether the datagram bears DF: its largest fragment did.
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.dont_fragment
    }

    /// Payload bytes of each fragment; empty if there were too many.
    #[must_use]
    pub fn pieces(&self) -> &[u16] {
        &self.pieces[..usize::from(self.count)]
    }
}

/// What a packet's size means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It goes as it is.
    Whole,
    /// It goes as fragments.
    Fragments,
    /// It does not go; its source is told.
    TooBig,
}

/// The headers leave no room for eight bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("headers leave no room for eight bytes of payload in each fragment")]
pub struct NoRoom;

/// Which bytes of a payload go into each fragment.
#[derive(Clone, Copy, Debug)]
struct Cuts<'a> {
    /// Payload bytes of each, if the pieces it came in are kept.
    pieces: &'a [u16],
    /// Payload bytes of a fragment at most.
    room: usize,
    next: usize,
    end: usize,
}

/// One fragment's share of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    start: usize,
    end: usize,
    last: bool,
}

impl<'a> Cuts<'a> {
    /// Cuts `len` bytes for fragments with `room` for payload: as they came, if each piece fits and lies on a
    /// boundary of eight bytes, else each as full as it goes (`ip_do_fragment` and `ip6_fragment`, their fast and
    /// their slow path).
    fn new(len: usize, room: usize, gathered: Option<&'a Geometry>) -> Result<Self, NoRoom> {
        if room < 8 {
            return Err(NoRoom);
        }
        let pieces = gathered.map_or(&[][..], Geometry::pieces);
        let whole = pieces.iter().map(|piece| usize::from(*piece)).sum::<usize>() == len;
        let fits = pieces.iter().all(|piece| usize::from(*piece) <= room);
        let aligned =
            pieces.split_last().is_some_and(|(_, before)| before.iter().all(|piece| piece % 8 == 0));
        let pieces = if whole && fits && aligned { pieces } else { &[] };
        Ok(Self { pieces, room, next: 0, end: len })
    }
}

impl Iterator for Cuts<'_> {
    type Item = Cut;

    fn next(&mut self) -> Option<Cut> {
        if self.next == self.end {
            return None;
        }
        let left = self.end - self.next;
        let len = match self.pieces.split_first() {
            Some((piece, rest)) => {
                self.pieces = rest;
                usize::from(*piece)
            }
            None if left <= self.room => left,
            None => self.room & !7,
        };
        let start = self.next;
        self.next += len;
        Some(Cut { start, end: self.next, last: self.next == self.end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lengths(len: usize, room: usize, pieces: &[u16]) -> Vec<usize> {
        let geometry = Geometry::new(pieces.iter().copied(), 0, false);
        let cuts = Cuts::new(len, room, Some(&geometry)).unwrap();
        cuts.map(|cut| cut.end - cut.start).collect()
    }

    #[test]
    fn pieces_that_fit_are_kept() {
        assert_eq!(lengths(1600, 1480, &[800, 400, 400]), [800, 400, 400]);
        assert_eq!(lengths(1003, 1480, &[96, 907]), [96, 907]);
    }

    #[test]
    fn one_piece_that_does_not_fit_has_all_cut_anew() {
        assert_eq!(lengths(1600, 580, &[800, 400, 400]), [576, 576, 448]);
        assert_eq!(lengths(1600, 580, &[400, 800, 400]), [576, 576, 448]);
    }

    #[test]
    fn pieces_of_another_datagram_are_not_believed() {
        assert_eq!(lengths(1600, 1480, &[800, 400]), [1480, 120]);
        assert_eq!(lengths(1600, 1480, &[801, 799]), [1480, 120]);
    }

    #[test]
    fn a_datagram_in_too_many_pieces_is_cut_anew() {
        assert_eq!(Geometry::new([8; PIECES_MAX], 28, false).pieces().len(), PIECES_MAX);
        assert!(Geometry::new([8; PIECES_MAX + 1], 28, false).pieces().is_empty());
    }

    #[test]
    fn no_room_is_told() {
        assert!(matches!(Cuts::new(100, 7, None), Err(NoRoom)));
    }

    proptest! {
        #[test]
        fn cuts_cover_the_payload_once(len in 1usize..70_000, room in 8usize..2000, pieces in proptest::collection::vec(0u16..3000, 0..8)) {
            let geometry = Geometry::new(pieces, 0, false);
            let mut expected = 0;
            for cut in Cuts::new(len, room, Some(&geometry)).unwrap() {
                prop_assert_eq!(cut.start, expected);
                prop_assert!(cut.end - cut.start <= room);
                prop_assert_eq!(cut.last, cut.end == len);
                prop_assert!(cut.last || cut.end % 8 == 0);
                expected = cut.end;
            }
            prop_assert_eq!(expected, len);
        }
    }
}
