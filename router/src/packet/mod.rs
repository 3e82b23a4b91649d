//! The bytes of a packet: what they say, and the arithmetic that keeps them true.

pub mod checksum;
pub mod offload;
