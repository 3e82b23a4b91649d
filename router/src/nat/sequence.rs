//! Sequence numbers of TCP connections in which a packet has changed its length: both ends go on to see numbers that fit
//! what they have sent and received (`nf_conntrack_seqadj.c`).

use conntrack::{Direction, Shift};

use crate::engine::Packet;
use crate::flow::Conn;
use crate::frame::Checksum;
use crate::packet::{checksum, u16_at, u32_at};

/// Bytes of a TCP header without options.
const HEADER_MIN: usize = 20;
const CHECKSUM: usize = 16;
const ACK: u8 = 0x10;

const OPTION_END: u8 = 0;
const OPTION_NONE: u8 = 1;
const OPTION_SACK: u8 = 5;
/// Bytes of a block in a SACK option.
const SACK_BLOCK: usize = 8;

/// Shifts the numbers of a TCP packet of `direction` as its flow says. False if they cannot be read; the packet is then
/// to be dropped, as Linux does (`nf_ct_seq_adjust`).
pub(crate) fn shift_numbers(packet: &mut Packet, conn: &Conn, direction: Direction) -> bool {
    let shifts = conn.shifts();
    let (own, opposite) = (shifts[direction.index()], shifts[direction.opposite().index()]);
    let transport = packet.header.transport;
    let finished = !matches!(packet.frame().checksum, Checksum::Partial { .. });
    match packet.ip_mut().get_mut(transport..) {
        Some(tcp) if tcp.len() >= HEADER_MIN => Numbers { tcp, finished }.shift(own, opposite),
        _ => false,
    }
}

/// A TCP packet whose numbers change.
struct Numbers<'a> {
    tcp: &'a mut [u8],
    /// Whether its checksum covers them already.
    finished: bool,
}

impl Numbers<'_> {
    fn shift(&mut self, own: Shift, opposite: Shift) -> bool {
        let sequence = u32_at(self.tcp, 4);
        self.write(4, sequence.wrapping_add_signed(own.at(sequence)));
        if self.tcp[13] & ACK == 0 {
            return true;
        }
        let acknowledged = u32_at(self.tcp, 8);
        self.write(8, unshifted(acknowledged, opposite));
        self.shift_sack(opposite)
    }

    fn shift_sack(&mut self, opposite: Shift) -> bool {
        let end = usize::from(self.tcp[12] >> 4) * 4;
        if end > self.tcp.len() {
            return false;
        }
        let mut place = HEADER_MIN;
        while place < end {
            match self.tcp[place] {
                OPTION_END => return true,
                OPTION_NONE => place += 1,
                kind => {
                    if place + 1 == end {
                        return false;
                    }
                    let length = usize::from(self.tcp[place + 1]);
                    if length < 2 || place + length > end {
                        return false;
                    }
                    let blocks = length - 2;
                    if kind == OPTION_SACK && blocks.is_multiple_of(SACK_BLOCK) {
                        for edge in (place + 2..place + length).step_by(4) {
                            let number = u32_at(self.tcp, edge);
                            self.write(edge, unshifted(number, opposite));
                        }
                    }
                    place += length;
                }
            }
        }
        true
    }

    /// Writes a number, and mends the checksum if it covers the old one. A number that lies across the words that are
    /// summed changes three of them.
    fn write(&mut self, at: usize, number: u32) {
        let start = at & !1;
        let words = start..(at + 5) & !1;
        let mut old = [0; 6];
        let count = words.len().min(self.tcp.len() - start);
        old[..count].copy_from_slice(&self.tcp[start..start + count]);
        self.tcp[at..at + 4].copy_from_slice(&number.to_be_bytes());
        if self.finished {
            let new = &self.tcp[start..start + count];
            let sum = checksum::update_bytes(u16_at(self.tcp, CHECKSUM), &old[..count], new);
            self.tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// What the sender of a shifted stream calls the number that its receiver calls `number`.
const fn unshifted(number: u32, shift: Shift) -> u32 {
    let offset = shift.at(number.wrapping_add_signed(shift.before.wrapping_neg()));
    number.wrapping_add_signed(offset.wrapping_neg())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: Shift = Shift::NONE;

    /// A segment with these options, its checksum field the checksum of its bytes.
    fn segment(sequence: u32, acknowledged: u32, options: &[u8]) -> Vec<u8> {
        let header = HEADER_MIN + options.len().next_multiple_of(4);
        let mut tcp = vec![0; header];
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
        tcp[12] = u8::try_from(header / 4).unwrap() << 4;
        tcp[13] = ACK;
        tcp[HEADER_MIN..HEADER_MIN + options.len()].copy_from_slice(options);
        tcp.extend_from_slice(b"payload");
        let sum = checksum::checksum(&tcp);
        tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
        tcp
    }

    fn shift(tcp: &mut [u8], own: Shift, opposite: Shift) -> bool {
        Numbers { tcp, finished: true }.shift(own, opposite)
    }

    fn sack(blocks: &[(u32, u32)]) -> Vec<u8> {
        let mut option = vec![OPTION_NONE, OPTION_SACK, u8::try_from(2 + blocks.len() * SACK_BLOCK).unwrap()];
        for (start, end) in blocks {
            option.extend(start.to_be_bytes());
            option.extend(end.to_be_bytes());
        }
        option
    }

    #[test]
    fn numbers_before_and_after_the_change_are_shifted_each_by_their_own() {
        let change = Shift { position: 1000, before: 5, after: 8 };
        for (sequence, expected) in [(999, 1004), (1000, 1005), (1001, 1009)] {
            let mut tcp = segment(sequence, 7, &[]);
            assert!(shift(&mut tcp, change, NONE));
            assert_eq!((u32_at(&tcp, 4), u32_at(&tcp, 8)), (expected, 7));
            assert_eq!(checksum::checksum(&tcp), 0);
        }
    }

    #[test]
    fn what_is_acknowledged_is_shifted_back() {
        let change = Shift { position: 1000, before: 5, after: 8 };
        for (acknowledged, expected) in [(1005, 1000), (1009, 1001), (1020, 1012)] {
            let blocks = sack(&[(acknowledged, acknowledged), (1030, 1040)]);
            let mut tcp = segment(3, acknowledged, &blocks);
            assert!(shift(&mut tcp, NONE, change));
            let numbers = [4, 8, 23, 27, 31, 35].map(|place| u32_at(&tcp, place));
            assert_eq!(numbers, [3, expected, expected, expected, 1022, 1032]);
            assert_eq!(checksum::checksum(&tcp), 0);
        }
    }

    #[test]
    fn a_packet_without_ack_acknowledges_nothing() {
        let mut tcp = segment(3, 9, &[]);
        tcp[13] = 0;
        assert!(shift(&mut tcp, NONE, Shift { position: 0, before: 5, after: 5 }));
        assert_eq!(u32_at(&tcp, 8), 9);
    }

    #[test]
    fn an_unfinished_checksum_does_not_cover_the_numbers() {
        let mut tcp = segment(3, 9, &[]);
        let before = u16_at(&tcp, CHECKSUM);
        let change = Shift { position: 0, before: 5, after: 5 };
        assert!(Numbers { tcp: &mut tcp, finished: false }.shift(change, NONE));
        assert_eq!((u32_at(&tcp, 4), u16_at(&tcp, CHECKSUM)), (8, before));
    }

    #[test]
    fn broken_options_are_refused() {
        for options in [&[OPTION_NONE, OPTION_NONE, OPTION_NONE, 8][..], &[8, 1, 0, 0], &[8, 5, 0, 0]] {
            assert!(!shift(&mut segment(1, 2, options), NONE, NONE), "{options:?}");
        }
        assert!(shift(&mut segment(1, 2, &[OPTION_END, 8, 1, 0]), NONE, NONE));
    }

    proptest! {
        #[test]
        fn what_one_end_sends_comes_back_as_it_called_it(
            number: u32, position: u32, before in -100..100_i32, growth in -100..100_i32,
        ) {
            let change = Shift { position, before, after: before.wrapping_add(growth) };
            let there = number.wrapping_add_signed(change.at(number));
            // Only inside what the change itself covers can two numbers become one.
            prop_assume!(number.wrapping_sub(position).cast_signed().unsigned_abs() > 200);
            prop_assert_eq!(unshifted(there, change), number);
        }

        #[test]
        fn checksums_stay_right_whatever_the_options(
            options in prop::collection::vec(any::<u8>(), 0..40), own: (u32, i32, i32), opposite: (u32, i32, i32),
        ) {
            let [own, opposite] = [own, opposite].map(|(position, before, after)| Shift { position, before, after });
            let mut tcp = segment(5, 6, &options);
            shift(&mut tcp, own, opposite);
            prop_assert_eq!(checksum::checksum(&tcp), 0);
        }
    }
}
