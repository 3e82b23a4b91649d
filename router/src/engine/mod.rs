//! The whole path of a packet.

pub mod fragment;
pub mod icmp;
pub mod rate;
#[cfg(test)]
mod recorded;
