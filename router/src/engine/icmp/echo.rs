//! Answers to echo requests, as `icmp_echo` and `icmpv6_echo_reply` make them.

use super::v4::Sender4;
use super::v6::{Sender6, write_checksum, write_header};
use super::{ICMP, ICMP_HEADER_LEN};
use crate::packet::options::Echo;
use crate::packet::{checksum, ipv4, ipv6};

/// Types of an echo request and of its reply (RFC 792).
const REQUEST: u8 = 8;
const REPLY: u8 = 0;
/// The same in ICMPv6 (RFC 4443 section 4).
const REQUEST6: u8 = 128;
const REPLY6: u8 = 129;

/// Whether `message`, an ICMP message from its first byte on, is a whole echo request; `ipv6` says of which family.
#[must_use]
pub fn is_echo_request(message: &[u8], ipv6: bool) -> bool {
    let kind = if ipv6 { REQUEST6 } else { REQUEST };
    message.len() >= ICMP_HEADER_LEN && message[..2] == [kind, 0]
}

/// Writes the answer to an echo request into `out`, from the network header on, and returns its length: the same data,
/// TOS whole, the options turned round. `request` is a sound packet from its network header on, its ICMP message begins at
/// `transport`.
///
/// # Panics
/// If `out` is too short for it.
pub fn echo_reply4(
    request: &[u8],
    transport: usize,
    options: &Echo,
    sender: &Sender4,
    out: &mut [u8],
) -> usize {
    let header_len = ipv4::HEADER_MIN + options.len();
    let message = &request[transport..];
    let len = header_len + message.len();
    let out = &mut out[..len];
    out[0] = 0x40 | (header_len / 4) as u8;
    out[1] = request[1];
    out[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    out[4..6].copy_from_slice(&sender.identification.to_be_bytes());
    out[6..8].fill(0);
    out[8] = sender.ttl;
    out[9] = ICMP;
    out[12..16].copy_from_slice(&sender.source.octets());
    out[16..20].copy_from_slice(&options.first_hop.unwrap_or_else(|| ipv4::source(request)).octets());
    options.write(&mut out[ipv4::HEADER_MIN..header_len], sender.source, sender.time_of_day_ms);
    ipv4::write_checksum(out);
    let reply = &mut out[header_len..];
    reply.copy_from_slice(message);
    reply[..4].copy_from_slice(&[REPLY, 0, 0, 0]);
    let checksum = checksum::checksum(reply);
    reply[2..4].copy_from_slice(&checksum.to_be_bytes());
    len
}

/// The same for ICMPv6: the traffic class stays, extension headers do not.
///
/// # Panics
/// If `out` is too short for it.
pub fn echo_reply6(request: &[u8], transport: usize, sender: &Sender6, out: &mut [u8]) -> usize {
    let message = &request[transport..];
    let len = ipv6::HEADER_LEN + message.len();
    let out = &mut out[..len];
    write_header(out, sender, ipv6::source(request));
    out[0] |= request[0] & 0x0f;
    out[1] |= request[1] & 0xf0;
    out[ipv6::HEADER_LEN..].copy_from_slice(message);
    out[ipv6::HEADER_LEN] = REPLY6;
    write_checksum(out);
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// `ping -Q 0x23 -M do -s 8`, and what Linux 6.18 replies.
    #[test]
    fn an_ipv4_reply_is_that_of_linux() {
        let request = bytes(
            "4523 0024 0000 4000 4001 26a6 0a07 0001 0a07 0002 0800 8b8c 6062 0001 0001 0203 0405 0607",
        );
        let reply = bytes(
            "4523 0024 25a3 0000 4001 4103 0a07 0002 0a07 0001 0000 938c 6062 0001 0001 0203 0405 0607",
        );
        assert!(is_echo_request(&request[20..], false));
        assert!(!is_echo_request(&reply[20..], false));
        let sender = Sender4 {
            source: "10.7.0.2".parse().unwrap(),
            ttl: 64,
            identification: 0x25a3,
            mtu: 1500,
            time_of_day_ms: 0,
        };
        let mut out = [0xaa; 64];
        let len = echo_reply4(&request, 20, &Echo::EMPTY, &sender, &mut out);
        assert_eq!(out[..len], reply);
    }

    #[test]
    fn an_ipv6_reply_is_that_of_linux() {
        let request = bytes(
            "6203 9edf 0010 3a40 fd07 0000 0000 0000 0000 0000 0000 0001 fd07 0000 0000 0000 0000 0000 0000 \
             0002 8000 192e 6063 0001 0001 0203 0405 0607",
        );
        let reply = bytes(
            "6202 7288 0010 3a40 fd07 0000 0000 0000 0000 0000 0000 0002 fd07 0000 0000 0000 0000 0000 0000 \
             0001 8100 182e 6063 0001 0001 0203 0405 0607",
        );
        assert!(is_echo_request(&request[40..], true));
        let sender = Sender6 { source: "fd07::2".parse().unwrap(), hop_limit: 64, flow_label: 0x27288 };
        let mut out = [0xaa; 64];
        let len = echo_reply6(&request, 40, &sender, &mut out);
        assert_eq!(out[..len], reply);
    }
}
