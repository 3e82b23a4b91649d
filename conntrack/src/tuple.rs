//! What identifies one direction of a flow: addresses, protocol, and the protocol's own ids.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher13;

/// Network protocol family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both, in the order used by listings.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// `ipv4` or `ipv6`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// Position in arrays with one place for each family.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Ipv4 => 0,
            Self::Ipv6 => 1,
        }
    }
}

/// Direction of a packet in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// As the packet that started the flow.
    Original,
    /// The other way.
    Reply,
}

impl Direction {
    /// Both, the original one first.
    pub const ALL: [Self; 2] = [Self::Original, Self::Reply];

    /// The other direction.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }

    /// Position in arrays with one place for each direction: original 0, reply 1.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Original => 0,
            Self::Reply => 1,
        }
    }
}

/// Source and destination address of a packet. An IPv4 address stands in the first four bytes, zeros after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// Where it comes from.
    pub source: [u8; 16],
    /// Where it goes.
    pub destination: [u8; 16],
}

/// What a transport protocol adds to a tuple: port numbers, or for ICMP the id, type and code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Source port, or ICMP id.
    pub source: u16,
    /// Destination port, or ICMP type (high byte) and code.
    pub destination: u16,
}

impl Ids {
    /// The ids of an ICMP or ICMPv6 message.
    #[must_use]
    pub const fn icmp(kind: u8, code: u8, id: u16) -> Self {
        Self { source: id, destination: u16::from_be_bytes([kind, code]) }
    }

    /// ICMP type.
    #[must_use]
    pub const fn icmp_type(self) -> u8 {
        self.destination.to_be_bytes()[0]
    }

    /// ICMP code.
    #[must_use]
    pub const fn icmp_code(self) -> u8 {
        self.destination.to_be_bytes()[1]
    }

    /// Source and destination exchanged, as protocols with ports want it.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }

    /// The ids of a reply to an ICMP request and the other way round; the code and the id stay. `None` if the type is
    /// neither. `requests` are request types and those of their replies.
    pub(crate) fn icmp_answer(self, requests: &[(u8, u8)]) -> Option<Self> {
        let answer = requests.iter().find_map(|&(request, reply)| match self.icmp_type() {
            kind if kind == request => Some(reply),
            kind if kind == reply => Some(request),
            _ => None,
        })?;
        Some(Self::icmp(answer, self.icmp_code(), self.source))
    }
}

/// Requests of ICMP and their replies: echo, timestamp, information, address mask.
pub(crate) const ICMP_REQUESTS: [(u8, u8); 4] = [(8, 0), (13, 14), (15, 16), (17, 18)];

/// Requests of ICMPv6 and their replies: echo, node information.
pub(crate) const ICMPV6_REQUESTS: [(u8, u8); 2] = [(128, 129), (139, 140)];

/// Protocol numbers of both.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Identifies one direction of a flow. 40 bytes; compared and hashed as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    addresses: Addresses,
    ids: Ids,
    zone: u16,
    family: Family,
    protocol: u8,
}

const _: () = assert!(size_of::<Tuple>() == Tuple::SIZE);

impl Tuple {
    const SIZE: usize = 40;

    /// A tuple of `family`, with addresses as [`Addresses`] lays them out.
    #[must_use]
    pub const fn new(family: Family, zone: u16, protocol: u8, addresses: Addresses, ids: Ids) -> Self {
        Self { addresses, ids, zone, family, protocol }
    }

    /// A tuple between two addresses of the same family.
    ///
    /// # Panics
    /// If the families differ.
    #[must_use]
    pub fn between(source: IpAddr, destination: IpAddr, protocol: u8, ids: Ids) -> Self {
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "addresses of one family");
        let family = if source.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let addresses = Addresses { source: octets(source), destination: octets(destination) };
        Self::new(family, 0, protocol, addresses, ids)
    }

    /// The same tuple in `zone`.
    #[must_use]
    pub const fn in_zone(self, zone: u16) -> Self {
        Self { zone, ..self }
    }

    /// Network protocol family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Transport protocol number.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Zone: flows of different zones never meet. Zone 0 is the usual one.
    #[must_use]
    pub const fn zone(&self) -> u16 {
        self.zone
    }

    /// Both addresses.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The protocol's ids.
    #[must_use]
    pub const fn ids(&self) -> Ids {
        self.ids
    }

    /// Where packets of this direction come from.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        address(self.family, &self.addresses.source)
    }

    /// Where packets of this direction go.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        address(self.family, &self.addresses.destination)
    }

    /// The tuple of the other direction, where the protocol inverts its ids to `ids`.
    #[must_use]
    pub const fn inverted(&self, ids: Ids) -> Self {
        let addresses = Addresses { source: self.addresses.destination, destination: self.addresses.source };
        Self { addresses, ids, ..*self }
    }

    /// The tuple of the other direction as it most often is: in the same zone, with the ids turned around, or for ICMP
    /// with the type that answers. The mirror of the mirror is the tuple itself.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let ids = match self.protocol {
            ICMP => self.ids.icmp_answer(&ICMP_REQUESTS).unwrap_or(self.ids),
            ICMPV6 => self.ids.icmp_answer(&ICMPV6_REQUESTS).unwrap_or(self.ids),
            _ => self.ids.swapped(),
        };
        self.inverted(ids)
    }

    /// The source alone: two tuples are equal in it if they come from the same address and id by the same protocol in the
    /// same zone.
    #[must_use]
    pub const fn source_only(&self) -> Self {
        let addresses = Addresses { source: self.addresses.source, destination: [0; 16] };
        Self { addresses, ids: Ids { source: self.ids.source, destination: 0 }, ..*self }
    }

    /// Orders a tuple and its mirror.
    fn rank(&self) -> (u128, u128, u16, u16) {
        let Addresses { source, destination } = self.addresses;
        let ids = (self.ids.source, self.ids.destination);
        (u128::from_ne_bytes(source), u128::from_ne_bytes(destination), ids.0, ids.1)
    }

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..16].copy_from_slice(&self.addresses.source);
        bytes[16..32].copy_from_slice(&self.addresses.destination);
        bytes[32..34].copy_from_slice(&self.ids.source.to_ne_bytes());
        bytes[34..36].copy_from_slice(&self.ids.destination.to_ne_bytes());
        bytes[36..38].copy_from_slice(&self.zone.to_ne_bytes());
        bytes[38] = self.family as u8;
        bytes[39] = self.protocol;
        bytes
    }
}

/// Hashes tuples so that nobody who does not know the seed can make them collide (SipHash-1-3).
#[derive(Clone, Copy, Debug)]
pub struct TupleHasher(SipHasher13);

impl TupleHasher {
    /// A hasher with this secret.
    #[must_use]
    pub fn new(seed: [u64; 2]) -> Self {
        Self(SipHasher13::new_with_keys(seed[0], seed[1]))
    }

    /// The hash of a tuple.
    #[must_use]
    pub fn hash(&self, tuple: &Tuple) -> u64 {
        self.0.hash(&tuple.to_bytes())
    }

    /// A hash that a tuple has in common with its mirror.
    pub(crate) fn hash_both(&self, tuple: &Tuple, mirror: &Tuple) -> u64 {
        self.hash(if tuple.rank() <= mirror.rank() { tuple } else { mirror })
    }
}

impl fmt::Debug for Tuple {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "protocol {} zone {}: {} id {} > {} id {}",
            self.protocol,
            self.zone,
            self.source(),
            self.ids.source,
            self.destination(),
            self.ids.destination
        )
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

fn address(family: Family, bytes: &[u8; 16]) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        Family::Ipv6 => Ipv6Addr::from(*bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(source: &str, destination: &str, ids: Ids) -> Tuple {
        Tuple::between(source.parse().unwrap(), destination.parse().unwrap(), 17, ids)
    }

    #[test]
    fn addresses_of_both_families_come_back_as_they_went_in() {
        for (source, destination) in [("10.0.0.1", "192.168.255.2"), ("2001:db8::1", "fe80::2")] {
            let tuple = tuple(source, destination, Ids::default());
            assert_eq!(tuple.source().to_string(), source);
            assert_eq!(tuple.destination().to_string(), destination);
        }
    }

    #[test]
    fn inverting_twice_gives_the_tuple_back() {
        let tuple = tuple("10.0.0.1", "10.0.0.2", Ids { source: 7, destination: 53 }).in_zone(3);
        let inverted = tuple.inverted(tuple.ids().swapped());
        assert_ne!(tuple, inverted);
        assert_eq!(inverted.inverted(inverted.ids().swapped()), tuple);
    }

    #[test]
    fn every_part_of_a_tuple_and_the_seed_change_the_hash() {
        let hasher = TupleHasher::new([1, 2]);
        let ids = Ids { source: 1, destination: 2 };
        let one = tuple("10.0.0.1", "10.0.0.2", ids);
        let others = [
            tuple("10.0.0.3", "10.0.0.2", ids),
            tuple("10.0.0.1", "10.0.0.3", ids),
            tuple("10.0.0.1", "10.0.0.2", ids.swapped()),
            one.in_zone(1),
            Tuple::new(Family::Ipv4, 0, 6, *one.addresses(), ids),
            Tuple::new(Family::Ipv6, 0, 17, *one.addresses(), ids),
        ];
        for other in others {
            assert_ne!(hasher.hash(&one), hasher.hash(&other), "{other:?}");
        }
        assert_ne!(hasher.hash(&one), TupleHasher::new([1, 3]).hash(&one));
        assert_eq!(hasher.hash(&one), TupleHasher::new([1, 2]).hash(&one));
    }

    #[test]
    fn a_tuple_and_its_mirror_share_one_hash_and_nobody_else_does() {
        let hasher = TupleHasher::new([1, 2]);
        let hash = |tuple: &Tuple| hasher.hash_both(tuple, &tuple.mirrored());
        let of = |protocol, ids| {
            let one = tuple("10.0.0.1", "10.0.0.2", ids);
            Tuple::new(Family::Ipv4, 3, protocol, *one.addresses(), ids)
        };
        let tuples = [
            of(17, Ids { source: 1000, destination: 53 }),
            of(17, Ids { source: 53, destination: 1000 }),
            of(6, Ids { source: 1000, destination: 53 }),
            of(1, Ids::icmp(8, 0, 7)),
            of(1, Ids::icmp(8, 1, 7)),
            of(1, Ids::icmp(13, 0, 7)),
            of(1, Ids::icmp(8, 0, 8)),
            of(1, Ids::icmp(42, 0, 7)),
            of(58, Ids::icmp(128, 0, 7)),
            of(58, Ids::icmp(140, 0, 7)),
        ];
        for (index, tuple) in tuples.iter().enumerate() {
            let mirror = tuple.mirrored();
            assert_eq!(mirror.mirrored(), *tuple);
            assert_eq!((mirror.source(), mirror.zone()), (tuple.destination(), 3));
            assert_eq!(hash(tuple), hash(&mirror), "{tuple:?}");
            for other in &tuples[..index] {
                assert_ne!(hash(tuple), hash(other), "{tuple:?} {other:?}");
            }
        }
        assert_eq!(tuples[3].mirrored().ids(), Ids::icmp(0, 0, 7));
        let alone = tuple("10.0.0.1", "10.0.0.1", Ids { source: 7, destination: 7 });
        assert_eq!(alone.mirrored(), alone);
    }

    #[test]
    fn icmp_ids_keep_type_code_and_id_apart() {
        let ids = Ids::icmp(8, 3, 0x1234);
        assert_eq!((ids.icmp_type(), ids.icmp_code(), ids.source), (8, 3, 0x1234));
    }
}
