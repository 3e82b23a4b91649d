//! The neighbor discovery redirect, as `ndisc_send_redirect` makes it (`net/ipv6/ndisc.c`, RFC 4861 section 4.5).

use std::net::Ipv6Addr;

use fib::adjacency::Mac;

use super::v6::{Sender6, write_checksum, write_header};
use super::{ANSWER6_MAX, NotAnswered};
use crate::packet::ipv6::{self, HEADER_LEN};

/// ICMPv6 type.
const REDIRECT: u8 = 137;
/// Header, target and destination.
const MESSAGE_LEN: usize = 8 + 16 + 16;
/// Option: link address of the target.
const TARGET_LINK_ADDRESS: u8 = 2;
/// Bytes of that option on Ethernet.
const LINK_ADDRESS_LEN: usize = 8;
/// Option: the packet that was redirected.
const REDIRECTED_HEADER: u8 = 4;
/// Bytes before the quote in that option.
const REDIRECTED_HEADER_LEN: usize = 8;
/// Hop limit of all neighbor discovery.
const HOP_LIMIT: u8 = 255;

/// Writes the redirect from its network header on into `out` and returns its length, at most [`ANSWER6_MAX`].
///
/// `packet` is the redirected one from its network header on without padding, its hop limit not yet lowered;
/// `target` the next hop, `target_mac` its link address if it is known; `source` the link-local address of the port.
///
/// # Errors
/// [`NotAnswered::NoTarget`] if the next hop is a gateway that is not named by a link-local address.
///
/// # Panics
/// If `packet` has no header, or `out` is shorter than [`ANSWER6_MAX`].
pub fn redirect6(
    packet: &[u8],
    target: Ipv6Addr,
    target_mac: Option<Mac>,
    source: Ipv6Addr,
    out: &mut [u8],
) -> Result<usize, NotAnswered> {
    let destination = ipv6::destination(packet);
    if target != destination && !ipv6::is_link_local(target) {
        return Err(NotAnswered::NoTarget);
    }
    let message_end = HEADER_LEN + MESSAGE_LEN;
    let mac_end = message_end + target_mac.map_or(0, |_| LINK_ADDRESS_LEN);
    let redirected_len = (ANSWER6_MAX - mac_end).min(packet.len() + REDIRECTED_HEADER_LEN) & !7;
    let len = mac_end + redirected_len;
    let out = &mut out[..len];
    write_header(out, &Sender6 { source, hop_limit: HOP_LIMIT, flow_label: 0 }, ipv6::source(packet));

    let message = &mut out[HEADER_LEN..];
    message[0] = REDIRECT;
    message[1..8].fill(0);
    message[8..24].copy_from_slice(&target.octets());
    message[24..40].copy_from_slice(&destination.octets());
    if let Some(mac) = target_mac {
        let option = &mut out[message_end..mac_end];
        option[0] = TARGET_LINK_ADDRESS;
        option[1] = (LINK_ADDRESS_LEN / 8) as u8;
        option[2..].copy_from_slice(&mac.0);
    }
    let (option, quote) = out[mac_end..].split_at_mut(REDIRECTED_HEADER_LEN);
    option.fill(0);
    option[0] = REDIRECTED_HEADER;
    option[1] = (redirected_len / 8) as u8;
    quote.copy_from_slice(&packet[..quote.len()]);
    write_checksum(out);
    Ok(len)
}
