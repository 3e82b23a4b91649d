//! IPv4 as connection tracking reads it (`ipv4_get_l4proto`).

use smoltcp::wire::Ipv4Packet;

use super::L3Tracker;
use crate::packet::Located;
use crate::stats::InvalidReason;
use crate::tuple::{Addresses, Family};

/// The IPv4 tracker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ipv4;

const HEADER_MIN: usize = 20;

impl L3Tracker for Ipv4 {
    fn name(&self) -> &'static str {
        "ipv4"
    }

    fn family(&self) -> Family {
        Family::Ipv4
    }

    fn locate(&self, bytes: &[u8]) -> Result<Located, InvalidReason> {
        if bytes.len() < HEADER_MIN {
            return Err(InvalidReason::Network);
        }
        let header = Ipv4Packet::new_unchecked(bytes);
        if header.frag_offset() != 0 {
            return Err(InvalidReason::Fragment);
        }
        let transport = usize::from(header.header_len());
        if transport < HEADER_MIN || transport > bytes.len() {
            return Err(InvalidReason::Network);
        }
        let mut addresses = Addresses { source: [0; 16], destination: [0; 16] };
        addresses.source[..4].copy_from_slice(&bytes[12..16]);
        addresses.destination[..4].copy_from_slice(&bytes[16..20]);
        Ok(Located { addresses, protocol: bytes[9], transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut bytes = vec![0; 24];
        bytes[0] = 0x46;
        bytes[9] = 17;
        bytes[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        bytes
    }

    #[test]
    fn options_are_stepped_over() {
        let located = Ipv4.locate(&header()).unwrap();
        assert_eq!((located.protocol, located.transport), (17, 24));
        assert_eq!(located.addresses.source[..4], [10, 0, 0, 1]);
        assert_eq!(located.addresses.destination[..4], [10, 0, 0, 2]);
    }

    #[test]
    fn first_fragments_are_located_and_later_ones_are_not() {
        let mut bytes = header();
        bytes[6] = 0x20;
        assert!(Ipv4.locate(&bytes).is_ok());
        bytes[7] = 1;
        assert_eq!(Ipv4.locate(&bytes), Err(InvalidReason::Fragment));
    }

    #[test]
    fn headers_that_do_not_fit_are_refused() {
        let bytes = header();
        for length in 0..24 {
            assert_eq!(Ipv4.locate(&bytes[..length]), Err(InvalidReason::Network), "{length} bytes");
        }
        let mut short = header();
        short[0] = 0x44;
        assert_eq!(Ipv4.locate(&short), Err(InvalidReason::Network));
    }
}
