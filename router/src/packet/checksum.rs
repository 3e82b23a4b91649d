//! The internet checksum (RFC 1071) and its repair after a small change (RFC 1624).
//!
//! A *sum* is the one's complement sum of 16-bit words, not yet complemented; a *checksum* is its complement, as it
//! stands in a header. Both are plain numbers here: big-endian on the wire, host order in a `u16`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The sum of `bytes`; an odd last byte counts as the high half of a word.
#[must_use]
pub fn sum(bytes: &[u8]) -> u16 {
    // One's complement addition does not care in which byte order it is done (RFC 1071 section 2 B), so words are
    // added as they lie in memory, eight accumulators side by side for the vector unit, and swapped once.
    let mut lanes = [0_u64; 8];
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(4)) {
            *lane += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
    }
    let mut total = lanes.iter().fold(0, |total, lane| total + fold_once(*lane));
    let mut words = blocks.remainder().chunks_exact(2);
    for word in &mut words {
        total += u64::from(u16::from_ne_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    u16::from_be(fold(total))
}

/// The checksum of `bytes`: 0 over bytes that contain their own, correct checksum.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    !sum(bytes)
}

/// The sum of two stretches of bytes from their sums; the first stretch must be of even length.
#[must_use]
pub const fn add(first: u16, second: u16) -> u16 {
    let total = first as u32 + second as u32;
    (total & 0xffff) as u16 + (total >> 16) as u16
}

/// `checksum` after a 16-bit word that it covers has changed (RFC 1624 equation 3).
#[must_use]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    !add(add(!checksum, !old), new)
}

/// `checksum` after a 32-bit word that it covers has changed.
#[must_use]
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    update_u16(
        update_u16(checksum, (old >> 16) as u16, (new >> 16) as u16),
        (old & 0xffff) as u16,
        (new & 0xffff) as u16,
    )
}

/// `checksum` after bytes that it covers, beginning at an even place, have changed from `old` to `new`.
///
/// The sum of an unfinished checksum ([`crate::frame::Checksum::Partial`]) is repaired by complementing it before
/// and after.
#[must_use]
pub fn update_bytes(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    !add(add(!checksum, !sum(old)), sum(new))
}

/// The sum of the IPv4 pseudo header (RFC 9293 section 3.1, RFC 768); `length` is that of transport header and data.
#[must_use]
pub fn pseudo_header_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: u16) -> u16 {
    let addresses = add(sum(&source.octets()), sum(&destination.octets()));
    add(addresses, add(u16::from(protocol), length))
}

/// The sum of the IPv6 pseudo header (RFC 8200 section 8.1); `length` is that of transport header and data.
#[must_use]
pub fn pseudo_header_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, length: u32) -> u16 {
    let addresses = add(sum(&source.octets()), sum(&destination.octets()));
    add(add(addresses, u16::from(protocol)), add((length >> 16) as u16, (length & 0xffff) as u16))
}

const fn fold_once(total: u64) -> u64 {
    (total & 0xffff_ffff) + (total >> 32)
}

const fn fold(total: u64) -> u16 {
    let total = fold_once(fold_once(total));
    let total = (total & 0xffff) + (total >> 16);
    let total = (total & 0xffff) + (total >> 16);
    ((total & 0xffff) + (total >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 section 4.1, word for word.
    fn slow_sum(bytes: &[u8]) -> u16 {
        let mut total = 0_u64;
        for pair in bytes.chunks(2) {
            total += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
        while total >> 16 != 0 {
            total = (total & 0xffff) + (total >> 16);
        }
        total as u16
    }

    /// In one's complement there are two zeros, which only a comparison of meaning may take for equal.
    fn same(left: u16, right: u16) -> bool {
        left == right || [left, right].map(|zero| zero.is_multiple_of(0xffff)) == [true, true]
    }

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn a_header_with_its_checksum_sums_to_zero() {
        let header =
            [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(checksum(&header), 0);
    }

    #[test]
    fn the_largest_sum_does_not_overflow() {
        assert_eq!(sum(&vec![0xff; 65_535]), slow_sum(&vec![0xff; 65_535]));
    }

    proptest! {
        #[test]
        fn fast_and_slow_agree(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(sum(&bytes), slow_sum(&bytes));
        }

        #[test]
        fn sums_of_parts_add_up(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..100_usize) {
            let cut = (cut * 2).min(bytes.len() & !1);
            prop_assert!(same(add(sum(&bytes[..cut]), sum(&bytes[cut..])), sum(&bytes)));
        }

        #[test]
        fn an_updated_checksum_is_the_checksum_of_what_changed(
            mut bytes in prop::collection::vec(any::<u8>(), 20..200),
            place in 0..100_usize,
            new in any::<[u8; 16]>(),
            width in prop::sample::select(vec![2_usize, 4, 16]),
        ) {
            let place = (place * 2).min((bytes.len() - width) & !1);
            let before = checksum(&bytes);
            let old = bytes[place..place + width].to_vec();
            bytes[place..place + width].copy_from_slice(&new[..width]);
            let word = |from: &[u8]| u32::from_be_bytes([from[0], from[1], from[2], from[3]]);
            let half = |from: &[u8]| u16::from_be_bytes([from[0], from[1]]);
            let updated = match width {
                2 => update_u16(before, half(&old), half(&new)),
                4 => update_u32(before, word(&old), word(&new)),
                _ => update_bytes(before, &old, &new[..width]),
            };
            prop_assert!(same(updated, checksum(&bytes)), "{updated:#x} {:#x}", checksum(&bytes));
        }

        #[test]
        fn pseudo_headers_are_the_sum_of_their_bytes(
            source in any::<[u8; 16]>(), destination in any::<[u8; 16]>(), protocol in any::<u8>(), length in any::<u16>(),
        ) {
            let mut six = [source, destination].concat();
            six.extend(u32::from(length).to_be_bytes());
            six.extend([0, 0, 0, protocol]);
            prop_assert!(same(pseudo_header_v6(source.into(), destination.into(), protocol, length.into()), slow_sum(&six)));
            let four = |address: [u8; 16]| -> [u8; 4] { address[..4].try_into().unwrap() };
            let mut bytes = [four(source), four(destination)].concat();
            bytes.extend([0, protocol]);
            bytes.extend(length.to_be_bytes());
            let fast = pseudo_header_v4(four(source).into(), four(destination).into(), protocol, length);
            prop_assert!(same(fast, slow_sum(&bytes)));
        }
    }
}
