//! The bytes of a packet: what they say, and the arithmetic that keeps them true.

pub mod checksum;
pub mod ethernet;
pub mod hop_by_hop;
pub mod ipv4;
pub mod ipv6;
pub mod offload;
pub mod options;
pub mod parse;

/// Sixteen bits of `bytes` at `at`, in network order.
///
/// # Panics
/// If they are not there.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Thirty-two bits of `bytes` at `at`, in network order.
///
/// # Panics
/// If they are not there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
