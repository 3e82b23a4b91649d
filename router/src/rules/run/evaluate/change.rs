//! What rules change of packets (`nft_payload_set_eval`, `nft_exthdr_tcp_set_eval`, `nft_exthdr_tcp_strip_eval`).

use super::options::Place;
use super::read::{BEHIND_TAG, TAG_AT, TCP, UDP};
use super::{Run, Step};
use crate::drops::DropReason;
use crate::frame::{Checksum, VlanTag};
use crate::packet::checksum::{add, sum, update_bytes};
use crate::rules::model::{Base, OptionField};
use crate::rules::run::program::{Payload, Sums};

const UDP_LITE: u8 = 136;
const ICMPV6: u8 = 58;
/// The kind of the option that says the largest segment.
const SEGMENT_MAX: u8 = 2;
const NO_OPERATION: u8 = 1;
/// Offset of the checksum in a TCP header.
const TCP_CHECKSUM: usize = 16;
/// Bytes that hold 128 bits wherever they begin, and whole words around them.
const WINDOW_MAX: usize = 20;

impl Run<'_, '_> {
    /// Writes bits of a header; checksums follow.
    pub(super) fn write_payload(&mut self, payload: Payload, sums: Sums, value: u128) -> Option<()> {
        let (bytes, start) = self.base(payload.base)?;
        let (mut offset, length) = (usize::from(payload.offset), usize::from(payload.length));
        if payload.base == Base::Link
            && let Some(mut tag) = self.stripped_tag()
        {
            let (tag_from, tag_to) = (TAG_AT * 8, BEHIND_TAG * 8);
            if offset >= tag_from && offset + length <= tag_to {
                put_bits(&mut tag, offset - tag_from, length, value);
                let [p0, p1, c0, c1] = tag;
                let (protocol, control) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([c0, c1]));
                self.packet.frame_mut().vlan = Some(VlanTag { protocol, control });
                return Some(());
            }
            match (offset >= tag_to, offset + length <= tag_from) {
                (true, _) => offset -= tag_to - tag_from,
                (_, true) => {}
                _ => return None,
            }
        }
        // Whole words, so that checksums need no turning round.
        let first = start + offset / 16 * 2;
        let behind = start + (offset + length).div_ceil(8);
        let padded = (behind - start).next_multiple_of(2) + start;
        let behind = if padded <= bytes.len() { padded } else { behind };
        let window = behind - first;
        let mut old = [0; WINDOW_MAX];
        old[..window].copy_from_slice(bytes.get(first..behind)?);
        let mut new = old;
        put_bits(&mut new[..window], offset % 16, length, value);
        if payload.base == Base::Link {
            self.packet.frame_mut().bytes_mut()[first..behind].copy_from_slice(&new[..window]);
            return Some(());
        }
        let partial = matches!(self.packet.frame().checksum, Checksum::Partial { .. });
        let in_transport = matches!(payload.base, Base::Transport | Base::Inner);
        if let Some(own) = sums.own.map(usize::from)
            && !(in_transport && partial)
            && !(in_transport && self.has_no_checksum())
        {
            let field = start + own;
            let sum = self.packet.ip().get(field..field + 2)?;
            let repaired = never_zero(update_bytes(u16::from_be_bytes([sum[0], sum[1]]), &old, &new));
            self.packet.ip_mut()[field..field + 2].copy_from_slice(&repaired.to_be_bytes());
        }
        if sums.pseudo {
            self.repair_transport(&old, &new, partial);
        }
        self.packet.ip_mut()[first..behind].copy_from_slice(&new[..window]);
        if sums.crc && !partial {
            self.write_crc(start)?;
        }
        self.packet.read_header_again();
        Some(())
    }

    /// Makes the checksum of an SCTP packet anew, whatever it was before (`nft_payload_csum_sctp`).
    fn write_crc(&mut self, start: usize) -> Option<()> {
        const HEADER_LEN: usize = 12;
        let packet = self.packet.ip_mut().get_mut(start..).filter(|packet| packet.len() >= HEADER_LEN)?;
        crate::nat::write_sctp_checksum(packet);
        Some(())
    }

    /// The transport checksum, when part of its pseudo header has changed (`nft_payload_l4csum_update`).
    fn repair_transport(&mut self, old: &[u8], new: &[u8], partial: bool) -> Option<()> {
        let header = &self.packet.header;
        if header.fragment.is_some_and(|fragment| fragment.offset != 0) {
            return None;
        }
        let field = header.transport
            + match header.protocol {
                TCP => TCP_CHECKSUM,
                UDP if self.has_no_checksum() => return None,
                UDP | UDP_LITE => 6,
                ICMPV6 => 2,
                _ => return None,
            };
        let held = self.packet.ip().get(field..field + 2)?;
        let held = u16::from_be_bytes([held[0], held[1]]);
        let repaired = if partial {
            add(add(held, !sum(old)), sum(new))
        } else {
            never_zero(update_bytes(held, old, new))
        };
        self.packet.ip_mut()[field..field + 2].copy_from_slice(&repaired.to_be_bytes());
        Some(())
    }

    /// A UDP datagram whose sender made no checksum: none is made of nothing.
    fn has_no_checksum(&self) -> bool {
        let header = &self.packet.header;
        let field = header.transport + 6;
        header.protocol == UDP && self.packet.ip().get(field..field + 2) == Some(&[0, 0])
    }

    /// Writes a field of a TCP option that is there; the largest segment is only ever lowered.
    pub(super) fn write_option(&mut self, option: &OptionField, value: u128) -> Step {
        if self.tcp_header().is_none() {
            return Step::Break;
        }
        let Some(Some(Place { start, length })) = self.tcp_option(option.option) else { return Step::Next };
        let (offset, bytes) = (usize::from(option.offset / 8), usize::from(option.length / 8));
        if offset + bytes > length {
            return Step::Break;
        }
        let at = start + offset;
        let mut new = [0; 16];
        new.copy_from_slice(&value.to_be_bytes());
        let new = &new[16 - bytes..];
        let old = &self.packet.ip()[at..at + bytes];
        if option.option == SEGMENT_MAX && old <= new || old == new {
            return Step::Next;
        }
        let change: smallvec::SmallVec<[u8; 16]> = new.into();
        self.overwrite_option(at, &change);
        Step::Next
    }

    /// Puts no operations in place of a TCP option.
    pub(super) fn reset_option(&mut self, option: &OptionField) -> Step {
        let Some(header) = self.tcp_header() else { return Step::Break };
        let Some(Some(Place { start, length })) = self.tcp_option(option.option) else { return Step::Next };
        if start + length > self.packet.header.transport + header {
            return Step::Done(crate::chain::Verdict::Drop(DropReason::Rule));
        }
        let nothing = [NO_OPERATION; 40];
        self.overwrite_option(start, &nothing[..length.min(40)]);
        Step::Next
    }

    /// Overwrites bytes of the TCP header, and mends the checksum unless it is still to be made.
    fn overwrite_option(&mut self, at: usize, new: &[u8]) {
        let transport = self.packet.header.transport;
        let partial = matches!(self.packet.frame().checksum, Checksum::Partial { .. });
        let odd = (at - transport) % 2;
        let mut window = [[0; 44]; 2];
        let bytes = self.packet.ip_mut();
        window[0][odd..odd + new.len()].copy_from_slice(&bytes[at..at + new.len()]);
        window[1][odd..odd + new.len()].copy_from_slice(new);
        bytes[at..at + new.len()].copy_from_slice(new);
        if !partial {
            let field = transport + TCP_CHECKSUM;
            let held = u16::from_be_bytes([bytes[field], bytes[field + 1]]);
            let repaired = update_bytes(held, &window[0], &window[1]);
            bytes[field..field + 2].copy_from_slice(&repaired.to_be_bytes());
        }
    }
}

/// A checksum of zero says there is none, so its other form is written (`CSUM_MANGLED_0`).
const fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// Puts the low `length` bits of `value` from bit `offset` on.
fn put_bits(bytes: &mut [u8], offset: usize, length: usize, value: u128) {
    for bit in 0..length {
        let place = offset + bit;
        let mask = 0x80 >> (place % 8);
        if value >> (length - 1 - bit) & 1 == 0 {
            bytes[place / 8] &= !mask;
        } else {
            bytes[place / 8] |= mask;
        }
    }
}
