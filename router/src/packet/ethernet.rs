//! The Ethernet header: who a frame is for, from whom, and what it carries.

use fib::adjacency::Mac;

/// Bytes of an Ethernet header without tags.
pub const HEADER_LEN: usize = 14;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad tag.
pub const SERVICE_VLAN: u16 = 0x88a8;

/// Tags that are looked through at most (802.1ad around 802.1Q).
const TAGS_MAX: usize = 2;

/// Where the network header begins in a frame that begins with an Ethernet header: behind all tags, of which eight are
/// looked through (`VLAN_MAX_DEPTH`). It may lie outside a frame that ends too early.
#[must_use]
pub fn network_offset(frame: &[u8]) -> usize {
    let mut offset = HEADER_LEN;
    for _ in 0..8 {
        let ether_type = frame.get(offset - 2..offset).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        if !matches!(ether_type, Some(VLAN | SERVICE_VLAN)) {
            break;
        }
        offset += 4;
    }
    offset
}

/// Whether this EtherType is that of a VLAN tag.
#[must_use]
pub const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, VLAN | SERVICE_VLAN)
}

/// What an Ethernet header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Link address it is for.
    pub destination: Mac,
    /// Link address it is from.
    pub source: Mac,
    /// What follows, behind all tags.
    pub ether_type: u16,
    /// Id of the first tag whose id is not 0; such a frame belongs to a VLAN, not to the port.
    pub vlan: Option<u16>,
    /// Bytes of the header with its tags.
    pub len: usize,
}

/// Whom a frame is for, as `eth_type_trans` sorts it into `PACKET_HOST` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// The port it came in by.
    Host,
    /// Everybody on the link.
    Broadcast,
    /// A group.
    Multicast,
    /// Somebody else.
    OtherHost,
}

impl Header {
    /// Reads the header. Tags with id 0 carry a priority only and are looked through, as `skb_vlan_untag` and
    /// `vlan_do_receive` have it. `None` if the frame ends within the header.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let (header, mut rest) = frame.split_first_chunk::<HEADER_LEN>()?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        let mut read = Self {
            destination: Mac([d0, d1, d2, d3, d4, d5]),
            source: Mac([s0, s1, s2, s3, s4, s5]),
            ether_type: u16::from_be_bytes([t0, t1]),
            vlan: None,
            len: HEADER_LEN,
        };
        for _ in 0..TAGS_MAX {
            if !matches!(read.ether_type, VLAN | SERVICE_VLAN) {
                break;
            }
            let ([c0, c1, t0, t1], behind) = rest.split_first_chunk::<4>()?;
            let id = u16::from_be_bytes([*c0, *c1]) & 0x0fff;
            read.vlan = read.vlan.or((id != 0).then_some(id));
            read.ether_type = u16::from_be_bytes([*t0, *t1]);
            read.len += 4;
            rest = behind;
        }
        Some(read)
    }

    /// Whom the frame is for, seen from a port whose link address is `own`.
    #[must_use]
    pub fn cast(&self, own: Mac) -> Cast {
        if self.destination == own {
            Cast::Host
        } else if self.destination == Mac([0xff; 6]) {
            Cast::Broadcast
        } else if self.destination.0[0] & 1 == 1 {
            Cast::Multicast
        } else {
            Cast::OtherHost
        }
    }
}

/// Whether a frame carries ARP for the port itself, not for a VLAN.
#[must_use]
pub fn is_arp(frame: &[u8]) -> bool {
    Header::read(frame).is_some_and(|header| header.ether_type == ARP && header.vlan.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(destination: [u8; 6], rest: &[u8]) -> Vec<u8> {
        [&destination[..], &[2, 0, 0, 0, 0, 9], rest].concat()
    }

    #[test]
    fn a_priority_tag_is_looked_through() {
        let header = Header::read(&frame([2, 0, 0, 0, 0, 1], &[0x81, 0, 0xe0, 0, 8, 0, 0x45])).unwrap();
        assert_eq!((header.ether_type, header.vlan, header.len), (IPV4, None, 18));
    }

    #[test]
    fn a_tag_with_an_id_is_told() {
        let header =
            Header::read(&frame([2, 0, 0, 0, 0, 1], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 8, 6])).unwrap();
        assert_eq!((header.ether_type, header.vlan, header.len), (ARP, Some(7), 22));
    }

    #[test]
    fn a_frame_that_ends_in_its_header_is_none() {
        let whole = frame([2, 0, 0, 0, 0, 1], &[0x81, 0, 0, 0, 8, 0]);
        for len in 0..whole.len() {
            assert_eq!(Header::read(&whole[..len]), None, "{len} bytes");
        }
        assert!(Header::read(&whole).is_some());
    }

    #[test]
    fn frames_are_sorted_by_whom_they_are_for() {
        let own = Mac([2, 0, 0, 0, 0, 1]);
        let cast = |destination| Header::read(&frame(destination, &[8, 0])).unwrap().cast(own);
        assert_eq!(cast([2, 0, 0, 0, 0, 1]), Cast::Host);
        assert_eq!(cast([0xff; 6]), Cast::Broadcast);
        assert_eq!(cast([1, 0, 0x5e, 0, 0, 1]), Cast::Multicast);
        assert_eq!(cast([2, 0, 0, 0, 0, 2]), Cast::OtherHost);
    }
}
