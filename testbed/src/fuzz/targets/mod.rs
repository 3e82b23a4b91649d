//! What is fed, a file for each.

pub mod capture;
pub mod command;
pub mod config;
pub mod control;
pub mod engine;
pub mod helper;
pub mod neighborhood;
pub mod netlink;
pub mod offload;
pub mod packet;
pub mod queue;
pub mod rules;
pub mod tracking;

use router::packet::ipv4;

/// Makes the header checksum of an IPv4 packet right, so that changed bytes get further than the first check.
fn mend(packet: &mut [u8]) {
    let is_ipv4 = packet.first().is_some_and(|byte| byte >> 4 == 4 && byte & 0xf >= 5);
    if is_ipv4 && packet.len() >= ipv4::header_len(packet) {
        ipv4::write_checksum(packet);
    }
}
