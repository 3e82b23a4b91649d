//! Ethernet: header, VLAN tags, and what stands behind the packet; ARP.

use std::net::Ipv4Addr;

/// A link-layer address.
pub type Mac = [u8; 6];

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// What stands around a packet on an Ethernet.
#[derive(Clone, Debug)]
pub struct Link {
    /// To whom.
    pub destination: Mac,
    /// From whom.
    pub source: Mac,
    /// VLAN tags from the outside in: TPID, TCI.
    pub tags: Vec<(u16, u16)>,
    /// Bytes behind the packet.
    pub trailer: Vec<u8>,
}

impl Link {
    /// The frame that carries `packet`.
    pub fn around(&self, ether_type: u16, packet: &[u8]) -> Vec<u8> {
        let mut frame = [self.destination, self.source].concat();
        for (protocol, tag) in &self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(ether_type.to_be_bytes());
        frame.extend(packet);
        frame.extend(&self.trailer);
        frame
    }
}

/// An ARP packet for IPv4 over Ethernet (RFC 826): 1 asks, 2 answers.
pub fn arp(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    for (mac, address) in [sender, target] {
        packet.extend(mac);
        packet.extend(address.octets());
    }
    packet
}
