//! A TCP segment as tracking reads it: what it is, which part of the stream it covers, and its options.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// Bytes of a header without options.
pub(super) const HEADER_MIN: usize = 20;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;
pub(super) const URG: u8 = 32;

/// What a segment is, by the most telling of its flags (`get_conntrack_index`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
pub(super) enum Kind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Reset,
    Other,
}

/// A segment whose header is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) kind: Kind,
    /// Sequence number of its first byte.
    pub(super) sequence: u32,
    /// Sequence number after it; SYN and FIN take one each.
    pub(super) end: u32,
    /// The acknowledgement field, whether or not the flag is set.
    pub(super) acknowledgement: u32,
    /// The window field, as it stands there.
    pub(super) window: u16,
    flags: u8,
    options: &'a [u8],
}

impl<'a> Segment<'a> {
    /// The segment in `bytes`, which start with a header that is at least [`HEADER_MIN`] long and no longer than `bytes`.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let (header, _) = bytes.split_first_chunk::<HEADER_MIN>().expect("checked to be there");
        let header_length = usize::from(header[12] >> 4) * 4;
        let flags = header[13];
        let taken =
            bytes.len() - header_length + usize::from(flags & SYN != 0) + usize::from(flags & FIN != 0);
        let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let taken = u32::try_from(taken).expect("a segment is shorter than 4 GiB");
        Self {
            kind: Kind::of(flags),
            sequence,
            end: sequence.wrapping_add(taken),
            acknowledgement: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            window: u16::from_be_bytes([header[14], header[15]]),
            flags,
            options: &bytes[HEADER_MIN..header_length],
        }
    }

    pub(super) const fn has_syn(&self) -> bool {
        self.flags & SYN != 0
    }

    pub(super) const fn has_ack(&self) -> bool {
        self.flags & ACK != 0
    }

    pub(super) const fn has_reset(&self) -> bool {
        self.flags & RST != 0
    }

    /// What the options of a SYN offer; `None` if there are no options at all (`tcp_options`).
    pub(super) fn offer(&self) -> Option<Offer> {
        if self.options.is_empty() {
            return None;
        }
        let mut offer = Offer::default();
        for (kind, data) in Options(self.options) {
            match (kind, data) {
                (WINDOW_SCALE, &[scale]) => offer.scale = Some(scale.min(SCALE_MAX)),
                (SACK_PERMITTED, []) => offer.sack_permitted = true,
                _ => {}
            }
        }
        Some(offer)
    }

    /// The acknowledgement, or the highest right edge of a selective one that lies after it (`tcp_sack`).
    pub(super) fn highest_acknowledged(&self) -> u32 {
        let mut highest = self.acknowledgement;
        // By far the most segments have a timestamp and nothing else.
        if self.options.len() == 12 && self.options[..4] == [NOP, NOP, TIMESTAMP, 10] {
            return highest;
        }
        let sack = Options(self.options)
            .find(|(kind, data)| *kind == SACK && !data.is_empty() && data.len().is_multiple_of(8));
        if let Some((_, blocks)) = sack {
            for block in blocks.as_chunks::<8>().0 {
                let right = u32::from_be_bytes([block[4], block[5], block[6], block[7]]);
                if after(right, highest) {
                    highest = right;
                }
            }
        }
        highest
    }
}

/// What a SYN offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// How many bits its sender's windows are to be shifted by.
    pub(super) scale: Option<u8>,
    /// Whether its sender takes selective acknowledgements.
    pub(super) sack_permitted: bool,
}

impl Kind {
    const fn of(flags: u8) -> Self {
        if flags & RST != 0 {
            Self::Reset
        } else if flags & SYN != 0 {
            if flags & ACK != 0 { Self::SynAck } else { Self::Syn }
        } else if flags & FIN != 0 {
            Self::Fin
        } else if flags & ACK != 0 {
            Self::Ack
        } else {
            Self::Other
        }
    }
}

/// Whether `one` comes before `other` in a stream.
pub(super) const fn before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}

/// Whether `one` comes after `other` in a stream.
pub(super) const fn after(one: u32, other: u32) -> bool {
    before(other, one)
}

/// Kinds and data of options, up to the end of the list or the first that makes no sense.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let [NOP, rest @ ..] = self.0 {
            self.0 = rest;
        }
        let &[kind, length, ..] = self.0 else { return None };
        let length = usize::from(length);
        if kind == END || length < 2 {
            return None;
        }
        let (option, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((kind, &option[2..]))
    }
}

const END: u8 = 0;
const NOP: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMP: u8 = 8;

/// The largest scale there is (RFC 7323 section 2.3).
const SCALE_MAX: u8 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    /// A bare ACK of 1000 with these options, padded as headers are.
    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_MIN];
        bytes.extend_from_slice(options);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes[8..12].copy_from_slice(&1000_u32.to_be_bytes());
        bytes[12] = u8::try_from(bytes.len() / 4).unwrap() << 4;
        bytes[13] = ACK;
        bytes
    }

    #[test]
    fn a_segment_ends_after_its_payload_and_its_syn_and_fin() {
        for (flags, length, taken) in [(ACK, 0, 0), (ACK, 7, 7), (SYN, 0, 1), (SYN, 3, 4), (FIN | ACK, 2, 3)]
        {
            let mut bytes = with_options(&[NOP; 4]);
            bytes[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
            bytes[13] = flags;
            bytes.resize(bytes.len() + length, b'x');
            assert_eq!(
                Segment::of(&bytes).end,
                u32::MAX.wrapping_add(taken),
                "flags {flags}, {length} bytes"
            );
        }
    }

    #[test]
    fn an_offer_is_read_up_to_the_first_option_that_makes_no_sense() {
        let offer = |scale, sack_permitted| Some(Offer { scale, sack_permitted });
        let cases: [(&[u8], Option<Offer>); 9] = [
            (&[], None),
            (&[NOP, WINDOW_SCALE, 3, 7, SACK_PERMITTED, 2], offer(Some(7), true)),
            (&[WINDOW_SCALE, 3, 200], offer(Some(14), false)),
            (&[SACK_PERMITTED, 2, END, WINDOW_SCALE, 3, 7], offer(None, true)),
            (&[SACK_PERMITTED, 1, WINDOW_SCALE, 3, 7], offer(None, false)),
            (&[WINDOW_SCALE, 4, 7, 7, SACK_PERMITTED, 2], offer(None, true)),
            (&[SACK_PERMITTED, 2, 99, 7, 0, 0], offer(None, true)),
            (&[99, 5, 0, 0, 0, WINDOW_SCALE, 3, 0], offer(Some(0), false)),
            (&[NOP, NOP, NOP, WINDOW_SCALE], offer(None, false)),
        ];
        for (options, expected) in cases {
            assert_eq!(Segment::of(&with_options(options)).offer(), expected, "{options:?}");
        }
    }

    #[test]
    fn the_highest_right_edge_after_the_acknowledgement_counts() {
        let block = |left: u32, right: u32| [left.to_be_bytes(), right.to_be_bytes()].concat();
        let sack = |blocks: &[Vec<u8>]| {
            let data = blocks.concat();
            [vec![NOP, NOP, SACK, u8::try_from(2 + data.len()).unwrap()], data].concat()
        };
        let timestamp = [[NOP, NOP, TIMESTAMP, 10].as_slice(), &[0xff; 8]].concat();
        let cases = [
            (Vec::new(), 1000),
            (timestamp.clone(), 1000),
            (sack(&[block(1500, 2000)]), 2000),
            (sack(&[block(1500, 2000), block(3000, 4000), block(2500, 2600)]), 4000),
            (sack(&[block(500, 900)]), 1000),
            ([timestamp, sack(&[block(1500, 2000)])].concat(), 2000),
            (vec![SACK, 6, 0, 0, 0x20, 0], 1000),
            (vec![SACK, 2, NOP, NOP], 1000),
        ];
        for (options, expected) in cases {
            assert_eq!(Segment::of(&with_options(&options)).highest_acknowledged(), expected, "{options:?}");
        }
    }

    #[test]
    fn before_and_after_go_round_the_end_of_the_numbers() {
        assert!(before(u32::MAX, 0) && after(0, u32::MAX) && before(5, 6));
        assert!(!before(7, 7) && !after(7, 7));
    }
}
