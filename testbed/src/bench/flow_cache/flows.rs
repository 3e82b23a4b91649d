//! The flows of the bench: their packets, and the prefixes that these go to.

use std::net::Ipv4Addr;

use router::tabletop::port_mac;

/// The addresses that packets go to: all that begin with these four bits.
const BLOCK: u32 = 32 << 24;
/// Length of the block's own prefix.
const BLOCK_LENGTH: u32 = 4;
/// Next hops that prefixes lead to, by turns.
pub const GATEWAYS: u32 = 64;
/// The most flows there are: each has a source of its own.
pub const FLOWS_MAX: u32 = 1 << 20;

/// Bytes of a frame: 64 on the wire.
pub const FRAME_LEN: usize = 60;

/// A frame as it arrives, in a cache line of its own.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Recorded(pub [u8; FRAME_LEN]);

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the host that began its flow, by the first port.
    There,
    /// From the other one, by the second.
    Back,
}

impl Way {
    /// The port that packets arrive at, and the one they leave by.
    #[must_use]
    pub const fn ports(self) -> [u16; 2] {
        match self {
            Self::There => [0, 1],
            Self::Back => [1, 0],
        }
    }
}

/// A UDP packet of a flow, whose checksum the card has verified. Flow `n` and flow `n + 1` are far from each other.
#[must_use]
pub fn frame(flow: u32, way: Way) -> Recorded {
    let mut bytes = [0; FRAME_LEN];
    let [input, _] = way.ports();
    bytes[..6].copy_from_slice(&port_mac(input.into()).0);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 1, 1]);
    bytes[12..14].copy_from_slice(&[8, 0]);
    let ip = &mut bytes[14..];
    ip[..12].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    let (client, server) = ends(flow);
    let (client, server) = ((client, 4096_u16), (server, 53_u16));
    let (source, destination) = match way {
        Way::There => (client, server),
        Way::Back => (server, client),
    };
    ip[12..16].copy_from_slice(&source.0.octets());
    ip[16..20].copy_from_slice(&destination.0.octets());
    ip[20..22].copy_from_slice(&source.1.to_be_bytes());
    ip[22..24].copy_from_slice(&destination.1.to_be_bytes());
    ip[24..26].copy_from_slice(&26_u16.to_be_bytes());
    let sum: u32 =
        ip[..20].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    Recorded(bytes)
}

/// The addresses of a flow: a client in 10.0.0.0/8, and a server anywhere in the block.
fn ends(flow: u32) -> (Ipv4Addr, Ipv4Addr) {
    // Spreads numbers that follow each other, each to a place of its own.
    const ODD: u32 = 0x9e37_79b1;
    let client = (10 << 24) + (1 << 16) + flow % FLOWS_MAX;
    let server = BLOCK + (flow.wrapping_mul(ODD) >> BLOCK_LENGTH);
    (client.into(), server.into())
}

/// The block cut into so many prefixes: their first address and their length, which differs by one at most. So the same
/// flows find their way in a small table and in a large one.
pub fn cut(count: u32) -> impl Iterator<Item = (Ipv4Addr, u8)> {
    let bits = count.ilog2();
    let halved = count - (1 << bits);
    let length = BLOCK_LENGTH + bits;
    let whole = (halved..1 << bits).map(move |number| (number, length));
    let halves = (0..2 * halved).map(move |number| (number, length + 1));
    halves
        .chain(whole)
        .map(|(number, length)| (Ipv4Addr::from(BLOCK + (number << (32 - length))), length as u8))
}

/// The next hop of this number.
#[must_use]
pub const fn gateway(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(11, 0, 0, 2 + (number % GATEWAYS) as u8)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_block_is_cut_into_as_many_prefixes_and_nothing_is_left_over() {
        for count in [1, 10, 1_000, 100_000] {
            let mut prefixes: Vec<_> = cut(count).collect();
            assert_eq!(prefixes.len(), count as usize);
            prefixes.sort();
            let mut next = u64::from(BLOCK);
            for (address, length) in prefixes {
                assert_eq!(u64::from(u32::from(address)), next, "of {count}");
                next += 1 << (32 - u32::from(length));
            }
            assert_eq!(next, u64::from(BLOCK) + (1 << (32 - BLOCK_LENGTH)), "of {count}");
        }
    }

    #[test]
    fn each_flow_has_ends_of_its_own_and_its_way_back_is_its_way_turned_round() {
        let servers: HashSet<_> = (0..10_000).map(|flow| ends(flow).1).collect();
        let clients: HashSet<_> = (0..10_000).map(|flow| ends(flow).0).collect();
        assert_eq!((servers.len(), clients.len()), (10_000, 10_000));
        let [there, back] = [Way::There, Way::Back].map(|way| frame(77, way).0);
        assert_eq!(there[26..30], back[30..34]);
        assert_eq!(there[30..34], back[26..30]);
        assert_eq!(there[34..36], back[36..38]);
        assert_eq!(there[24..26], back[24..26], "a sum does not care for the order");
    }
}
