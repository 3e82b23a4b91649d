//! Frames written field by field, right unless a field is set wrong on purpose; independent of the router's own code.

mod ipv4;
mod ipv6;
mod link;
mod offload;
mod transport;

pub use ipv4::{V4, fragment as fragment4};
pub use ipv6::{Extension, V6, fragment as fragment6};
pub use link::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Link, Mac, arp};
pub use offload::{Cut, OFFLOAD_LEN, Offload};
pub use transport::{Checksum, Icmp, Payload, Tcp, Udp};

/// Internet checksum of RFC 1071 over `parts`, each but the last of even length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    !((folded >> 16) + (folded & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn an_odd_byte_is_the_high_half_of_a_word() {
        assert_eq!(checksum(&[&[0x12]]), !0x1200);
    }
}
