//! A datagram of which some pieces are there: what fits, what is there twice, what contradicts the rest
//! (`inet_frag_queue_insert`).

use super::FragmentDrop;
use super::piece::{Key, Piece};
use crate::time::Instant;
use crate::tuple::Family;

/// A datagram that waits for pieces.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) key: Key,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// Pieces that its source had sent when the last one of this datagram came.
    pub(super) sent_before: u32,
    /// Pieces in order of position. As in Linux a run grows only at the end of the datagram, and only within a run is a
    /// piece recognized as there already.
    runs: Vec<Run>,
    /// Of the piece at the start.
    header: Option<Header>,
    /// The end of the datagram as far as known; final if `has_last`.
    length: usize,
    has_last: bool,
    /// Payload bytes that are there.
    gathered: usize,
    /// Largest piece with its header.
    piece_max: usize,
    /// Largest of those that bore DF.
    dont_fragment_max: usize,
    /// One bit for each of the four ECN values seen.
    ecn_seen: u8,
    bytes: usize,
}

/// Why a piece was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is dropped; the datagram goes on waiting.
    Piece(FragmentDrop),
    /// It is dropped, and the datagram with it.
    Datagram(FragmentDrop),
    /// The datagram is given up, but this piece passes.
    Misaligned,
}

/// What a complete datagram looks like, besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) header: usize,
    pub(super) piece_max: usize,
    pub(super) dont_fragment: bool,
}

#[derive(Debug)]
struct Run {
    start: usize,
    end: usize,
    payloads: Vec<Box<[u8]>>,
}

#[derive(Debug)]
struct Header {
    bytes: Box<[u8]>,
    next_header: (u8, usize),
}

/// What a piece counts besides its payload, about what an `sk_buff` takes.
const PIECE_COST: usize = 768;
/// What a datagram counts besides its pieces.
const DATAGRAM_COST: usize = 256;
/// The longest datagram, and the longest IPv6 payload.
const LENGTH_MAX: usize = 65_535;

const CONGESTED: u8 = 3;

impl Partial {
    pub(super) fn new(key: Key, deadline: Instant, sent_before: u32) -> Self {
        Self {
            key,
            deadline,
            sent_before,
            runs: Vec::new(),
            header: None,
            length: 0,
            has_last: false,
            gathered: 0,
            piece_max: 0,
            dont_fragment_max: 0,
            ecn_seen: 0,
            bytes: DATAGRAM_COST,
        }
    }

    /// Throws away what is there and waits until `deadline` for all pieces.
    pub(super) fn restart(&mut self, deadline: Instant) {
        *self = Self::new(self.key, deadline, self.sent_before);
    }

    /// Adds a piece; returns whether the datagram is complete.
    pub(super) fn add(&mut self, piece: &Piece<'_>, family: Family) -> Result<bool, Refused> {
        let end = piece.offset + piece.payload.len();
        self.fit(piece, end, family)?;
        self.place(piece, end)?;
        self.bytes += piece.payload.len() + PIECE_COST;
        self.gathered += piece.payload.len();
        self.ecn_seen |= 1 << piece.ecn;
        // IPv4 counts what is left of a piece that was cut, IPv6 the packet as it came.
        let size = piece.header.len() + piece.payload.len();
        let size = if family == Family::Ipv4 { size } else { piece.size };
        self.piece_max = self.piece_max.max(size);
        if piece.dont_fragment {
            self.dont_fragment_max = self.dont_fragment_max.max(size);
        }
        if piece.offset == 0 {
            self.bytes += piece.header.len();
            self.header = Some(Header { bytes: piece.header.into(), next_header: piece.next_header });
        }
        Ok(self.header.is_some() && self.has_last && self.gathered == self.length)
    }

    /// Writes the complete datagram into `bytes` and the sizes of its pieces into `pieces`.
    pub(super) fn assemble(
        &self,
        family: Family,
        bytes: &mut Vec<u8>,
        pieces: &mut Vec<u16>,
    ) -> Result<Whole, FragmentDrop> {
        let congested = self.ecn()?;
        let header = self.header.as_ref().expect("a complete datagram has a start");
        let total = header.bytes.len() + self.length;
        let counted = if family == Family::Ipv4 { total } else { total - crate::l3::IPV6_HEADER };
        let counted = u16::try_from(counted).map_err(|_| FragmentDrop::TooLong)?;

        bytes.clear();
        pieces.clear();
        bytes.extend_from_slice(&header.bytes);
        for payload in self.runs.iter().flat_map(|run| &run.payloads) {
            bytes.extend_from_slice(payload);
            pieces.push(u16::try_from(payload.len()).expect("checked with the whole"));
        }
        let whole = Whole {
            header: header.bytes.len(),
            piece_max: self.piece_max,
            dont_fragment: self.dont_fragment_max == self.piece_max,
        };
        match family {
            Family::Ipv4 => {
                bytes[1] |= congested;
                bytes[2..4].copy_from_slice(&counted.to_be_bytes());
                bytes[6] = if whole.dont_fragment { 0x40 } else { 0 };
                bytes[7] = 0;
                smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes[..]).fill_checksum();
            }
            Family::Ipv6 => {
                bytes[1] |= congested << 4;
                bytes[4..6].copy_from_slice(&counted.to_be_bytes());
                let (next_header, announced_at) = header.next_header;
                bytes[announced_at] = next_header;
            }
        }
        Ok(whole)
    }

    /// Whether no piece is there.
    pub(super) const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// What it counts towards the memory that may be held.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds a piece against what is known of the datagram's end.
    fn fit(&mut self, piece: &Piece<'_>, end: usize, family: Family) -> Result<(), Refused> {
        let refuse = |reason| match family {
            Family::Ipv4 => Refused::Datagram(reason),
            Family::Ipv6 => Refused::Piece(reason),
        };
        if family == Family::Ipv6 && end > LENGTH_MAX {
            return Err(Refused::Piece(FragmentDrop::TooLong));
        }
        if piece.more {
            if !end.is_multiple_of(8) {
                return Err(Refused::Misaligned);
            }
            if end > self.length {
                if self.has_last {
                    return Err(refuse(FragmentDrop::Length));
                }
                self.length = end;
            }
        } else {
            if end < self.length || (self.has_last && end != self.length) {
                return Err(refuse(FragmentDrop::Length));
            }
            self.has_last = true;
            self.length = end;
        }
        if piece.payload.is_empty() { Err(refuse(FragmentDrop::Length)) } else { Ok(()) }
    }

    /// Puts the payload among the others.
    fn place(&mut self, piece: &Piece<'_>, end: usize) -> Result<(), Refused> {
        let new_run = || Run { start: piece.offset, end, payloads: vec![piece.payload.into()] };
        match self.runs.last_mut() {
            Some(last) if last.end < end => {
                if piece.offset < last.end {
                    return Err(Refused::Datagram(FragmentDrop::Overlap));
                }
                if piece.offset == last.end {
                    last.end = end;
                    last.payloads.push(piece.payload.into());
                } else {
                    self.runs.push(new_run());
                }
            }
            _ => {
                let position = self.runs.partition_point(|run| run.end <= piece.offset);
                match self.runs.get(position) {
                    Some(run) if run.start < end => {
                        let inside = run.start <= piece.offset && end <= run.end;
                        return Err(if inside {
                            Refused::Piece(FragmentDrop::Duplicate)
                        } else {
                            Refused::Datagram(FragmentDrop::Overlap)
                        });
                    }
                    _ => self.runs.insert(position, new_run()),
                }
            }
        }
        Ok(())
    }

    /// ECN bits to be set in the whole, if its pieces agree (RFC 3168 section 5.3, `ip_frag_ecn_table`).
    fn ecn(&self) -> Result<u8, FragmentDrop> {
        const NOT_CAPABLE: u8 = 1;
        const CONGESTION: u8 = 1 << CONGESTED;
        match self.ecn_seen {
            NOT_CAPABLE | CONGESTION => Ok(0),
            seen if seen & NOT_CAPABLE != 0 => Err(FragmentDrop::Ecn),
            seen if seen & CONGESTION != 0 => Ok(CONGESTED),
            _ => Ok(0),
        }
    }
}
