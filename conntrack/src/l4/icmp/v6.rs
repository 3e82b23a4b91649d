//! ICMPv6: neighbor discovery and multicast listener messages are not tracked at all, and redirects quote in an option
//! (`nf_conntrack_proto_icmpv6.c`).

use std::time::Duration;

use super::super::{Check, L4Tracker, Outcome, Seen, Timeout};
use super::{HEADER, ids, message, start};
use crate::packet::{Packet, PseudoHeader};
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::{Family, ICMPV6_REQUESTS, Ids};

/// The ICMPv6 tracker.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6 {
    /// Lifetime of a flow (30 s).
    pub timeout: Duration,
}

impl Default for Icmpv6 {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30) }
    }
}

/// Errors have types below this (RFC 4443 section 2.1).
const INFORMATIONAL: u8 = 128;

/// Multicast listener query, report, done; router and neighbor solicitation and advertisement; MLDv2 report; multicast
/// router advertisement and solicitation.
const UNTRACKED: [u8; 10] = [130, 131, 132, 133, 134, 135, 136, 143, 151, 152];

/// Redirect (RFC 4861 section 4.5).
const REDIRECT: u8 = 137;
/// Bytes of a redirect before its options.
const REDIRECT_HEADER: usize = 40;
/// The option that quotes the packet which was redirected, after a header of eight bytes.
const REDIRECTED_HEADER: u8 = 4;

impl L4Tracker for Icmpv6 {
    type State = ();

    fn name(&self) -> &'static str {
        "icmpv6"
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        ids(header)
    }

    fn invert(&self, ids: Ids) -> Option<Ids> {
        ids.icmp_answer(&ICMPV6_REQUESTS)
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        let message = message(packet, Family::Ipv6, PseudoHeader::Included)?;
        match message[0] {
            kind if UNTRACKED.contains(&kind) => Ok(Check::Untracked),
            REDIRECT => check_redirect(packet, message),
            INFORMATIONAL.. => Ok(Check::Track),
            _ => Ok(Check::Quotes(packet.located.transport + HEADER)),
        }
    }

    fn start(&self, packet: &Packet<'_>, _now: Instant) -> Result<(), InvalidReason> {
        start(&ICMPV6_REQUESTS, packet)
    }

    fn update(&self, state: &mut (), _packet: &Packet<'_>, seen: Seen) -> Outcome {
        self.pass_unseen(state, seen)
    }

    fn must_see_every_packet(&self) -> bool {
        false
    }

    fn pass_unseen(&self, _state: &mut (), _seen: Seen) -> Outcome {
        Outcome::refresh(self.timeout)
    }

    fn timeouts(&self) -> Vec<Timeout> {
        vec![Timeout { name: "timeout", duration: self.timeout }]
    }
}

/// A redirect quotes in its first option, if it comes from the link (`nf_conntrack_icmpv6_redirect`).
fn check_redirect(packet: &Packet<'_>, message: &[u8]) -> Result<Check, InvalidReason> {
    if message.len() < REDIRECT_HEADER {
        return Err(InvalidReason::Truncated);
    }
    if message[1] != 0 {
        return Ok(Check::Track);
    }
    let hop_limit = packet.bytes()[7];
    let source = packet.addresses().source;
    let is_link_local = source[0] == 0xfe && source[1] & 0xc0 == 0x80;
    if hop_limit != 255 || !is_link_local {
        return Err(InvalidReason::Misdirected);
    }
    match message.get(REDIRECT_HEADER..REDIRECT_HEADER + 2) {
        None | Some([_, 0]) => Err(InvalidReason::Truncated),
        Some([REDIRECTED_HEADER, _]) => Ok(Check::Quotes(packet.located.transport + REDIRECT_HEADER + 8)),
        Some(_) => Ok(Check::Track),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_packets::{icmpv6, packet};

    #[test]
    fn neighbor_discovery_is_left_alone_and_types_below_128_quote() {
        for kind in (0..=255).filter(|kind| *kind != REDIRECT) {
            let bytes = icmpv6("2001:db8::1", "2001:db8::2", kind, 0, 7, b"data");
            let expected = match kind {
                0..=127 => Check::Quotes(48),
                130..=136 | 143 | 151 | 152 => Check::Untracked,
                _ => Check::Track,
            };
            assert_eq!(Icmpv6::default().check(&packet(&bytes)), Ok(expected), "type {kind}");
            let starts = Icmpv6::default().start(&packet(&bytes), Instant::ZERO).is_ok();
            assert_eq!(starts, [128, 139].contains(&kind), "type {kind}");
        }
    }

    #[test]
    fn the_checksum_covers_the_addresses() {
        let mut bytes = icmpv6("2001:db8::1", "2001:db8::2", 128, 0, 7, b"data");
        bytes[23] ^= 4;
        assert_eq!(Icmpv6::default().check(&packet(&bytes)), Err(InvalidReason::Checksum));
    }

    #[test]
    fn a_redirect_from_the_link_quotes_in_its_first_option() {
        let redirect = |source: &str, hop_limit: u8, code: u8, option: &[u8]| {
            let payload = [&[0; 32], option].concat();
            let mut bytes = icmpv6(source, "fe80::2", REDIRECT, code, 0, &payload);
            bytes[7] = hop_limit;
            Icmpv6::default().check(&packet(&bytes))
        };
        let quote = [&[REDIRECTED_HEADER, 6, 0, 0, 0, 0, 0, 0][..], &[0; 40]].concat();
        assert_eq!(redirect("fe80::1", 255, 0, &quote), Ok(Check::Quotes(40 + 48)));
        assert_eq!(redirect("febf::1", 255, 0, &quote), Ok(Check::Quotes(40 + 48)));
        assert_eq!(redirect("fec0::1", 255, 0, &quote), Err(InvalidReason::Misdirected));
        assert_eq!(redirect("fe80::1", 254, 0, &quote), Err(InvalidReason::Misdirected));
        assert_eq!(redirect("2001:db8::1", 64, 1, &quote), Ok(Check::Track));
        assert_eq!(redirect("fe80::1", 255, 0, &[2, 1, 0, 0, 0, 0, 0, 0]), Ok(Check::Track));
        for option in [&[][..], &[4], &[4, 0]] {
            assert_eq!(redirect("fe80::1", 255, 0, option), Err(InvalidReason::Truncated), "{option:?}");
        }
    }
}
