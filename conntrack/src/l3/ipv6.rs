//! IPv6 as connection tracking reads it: extension headers are stepped over (`ipv6_get_l4proto`, `ipv6_skip_exthdr`).

use super::L3Tracker;
use crate::packet::Located;
use crate::stats::InvalidReason;
use crate::tuple::{Addresses, Family};

/// The IPv6 tracker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ipv6;

/// Bytes of the fixed header.
pub(crate) const HEADER: usize = 40;
/// Bytes of a fragment header.
pub(crate) const FRAGMENT_HEADER: usize = 8;

impl L3Tracker for Ipv6 {
    fn name(&self) -> &'static str {
        "ipv6"
    }

    fn family(&self) -> Family {
        Family::Ipv6
    }

    fn locate(&self, bytes: &[u8]) -> Result<Located, InvalidReason> {
        if bytes.len() < HEADER {
            return Err(InvalidReason::Network);
        }
        let mut addresses = Addresses { source: [0; 16], destination: [0; 16] };
        addresses.source.copy_from_slice(&bytes[8..24]);
        addresses.destination.copy_from_slice(&bytes[24..40]);
        let mut chain = Extensions::of(bytes);
        loop {
            match chain.step().ok_or(InvalidReason::Network)? {
                Step::Extension => {}
                Step::Fragment { offset, .. } if offset != 0 => return Err(InvalidReason::Fragment),
                Step::Fragment { .. } => {}
                // The last extension header may say that it is longer than the packet: nothing of the transport is there.
                Step::Transport => {
                    let transport = chain.offset.min(bytes.len());
                    return Ok(Located { addresses, protocol: chain.header, transport });
                }
            }
        }
    }
}

/// Walks the chain of extension headers; each step costs at least eight bytes, so it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extensions<'a> {
    bytes: &'a [u8],
    /// Type of the header at `offset`.
    pub(crate) header: u8,
    /// Where it starts, in bytes from the network header. May lie behind the end.
    pub(crate) offset: usize,
    /// Where the byte that announced it stands.
    pub(crate) announced_at: usize,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An extension header, now behind.
    Extension,
    /// A fragment header, now behind.
    Fragment {
        /// Position of the fragment in the datagram, in bytes.
        offset: usize,
    },
    /// No extension header: the transport header starts here.
    Transport,
}

impl<'a> Extensions<'a> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    const NO_NEXT_HEADER: u8 = 59;
    const DESTINATION: u8 = 60;

    /// The chain of a packet of at least [`HEADER`] bytes.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, header: bytes[6], offset: HEADER, announced_at: 6 }
    }

    /// Steps over one header. `None`: the chain is cut off, or ends in "no next header".
    pub(crate) fn step(&mut self) -> Option<Step> {
        let (length, step) = match self.header {
            Self::HOP_BY_HOP | Self::ROUTING | Self::DESTINATION => {
                ((usize::from(*self.bytes.get(self.offset + 1)?) + 1) * 8, Step::Extension)
            }
            Self::AUTHENTICATION => {
                ((usize::from(*self.bytes.get(self.offset + 1)?) + 2) * 4, Step::Extension)
            }
            Self::FRAGMENT => {
                let field = self.bytes.get(self.offset + 2..self.offset + 4)?;
                let offset = usize::from(u16::from_be_bytes([field[0], field[1]]) & !7);
                (FRAGMENT_HEADER, Step::Fragment { offset })
            }
            Self::NO_NEXT_HEADER => return None,
            _ => return Some(Step::Transport),
        };
        self.header = self.bytes[self.offset];
        self.announced_at = self.offset;
        self.offset += length;
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[0] = 0x60;
        bytes[6] = first;
        bytes[8] = 0x20;
        bytes[24] = 0x30;
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn extension_headers_are_stepped_over_by_their_own_lengths() {
        let mut rest = vec![60, 1];
        rest.resize(16, 0);
        rest.extend_from_slice(&[51, 0, 0, 0, 0, 0, 0, 0]);
        rest.extend_from_slice(&[44, 1]);
        rest.resize(36, 0);
        rest.extend_from_slice(&[6, 0, 0, 1, 0, 0, 0, 9]);
        let located = Ipv6.locate(&datagram(0, &rest)).unwrap();
        assert_eq!((located.protocol, located.transport), (6, HEADER + 44));
        assert_eq!((located.addresses.source[0], located.addresses.destination[0]), (0x20, 0x30));
    }

    #[test]
    fn a_packet_without_payload_is_tracked_and_one_without_next_header_is_not() {
        assert_eq!(Ipv6.locate(&datagram(17, &[])).unwrap().transport, HEADER);
        assert_eq!(Ipv6.locate(&datagram(59, &[])), Err(InvalidReason::Network));
    }

    #[test]
    fn later_fragments_are_refused_and_first_ones_located() {
        assert_eq!(Ipv6.locate(&datagram(44, &[17, 0, 0, 9, 0, 0, 0, 1])), Err(InvalidReason::Fragment));
        assert!(Ipv6.locate(&datagram(44, &[17, 0, 0, 1, 0, 0, 0, 1])).is_ok());
    }

    #[test]
    fn chains_are_refused_if_a_header_s_length_is_cut_off_and_the_rest_of_the_last_is_not_missed() {
        let whole = datagram(0, &[60, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0]);
        for length in 0..HEADER + 10 {
            assert_eq!(Ipv6.locate(&whole[..length]), Err(InvalidReason::Network), "{length} bytes");
        }
        for length in HEADER + 10..=whole.len() {
            let located = Ipv6.locate(&whole[..length]).unwrap();
            assert_eq!((located.protocol, located.transport), (17, length));
        }
    }
}
