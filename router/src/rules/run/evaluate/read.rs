//! What rules read of packets, flows and ports (`nft_payload.c`, `nft_meta.c`, `nft_ct.c`). What cannot be had is `None`.

use conntrack::{CtState, Direction, Family as FlowFamily};
use fib::adjacency::PortId;

use super::Run;
use crate::chain::{Family, Point};
use crate::engine::LinkTarget;
use crate::flow::{Flow, Track};
use crate::rules::lookup::number;
use crate::rules::model::{Base, Ctype, MetaKey};
use crate::rules::run::compile::NO_PORT_BIT;
use crate::rules::run::hook::name_number;
use crate::rules::run::program::{Load, Payload};
use crate::verdict;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const GRE: u8 = 47;

/// `ct state` bits.
const INVALID: u32 = 1;
const UNTRACKED: u32 = 64;

impl Run<'_, '_> {
    /// Reads anew.
    pub(super) fn read(&mut self, load: &Load) -> Option<u128> {
        if self.recorded {
            self.note(load);
        }
        match load {
            Load::Payload(payload) => self.payload(*payload),
            Load::InputBit => Some(port_bit(self.input())),
            Load::OutputBit => Some(port_bit(self.output())),
            Load::Meta(key) => self.meta(*key),
            Load::Ct(key, direction) => self.ct(*key, *direction),
            Load::Fib(by, result) => self.fib(*by, *result),
            Load::Route(key) => self.route(*key),
            Load::Extension(header, offset, length) => self.extension(*header, *offset, *length),
            Load::Option(of_tcp, option, offset, length) => self.option(*of_tcp, *option, *offset, *length),
        }
    }

    /// The port of entry; none for packets of the router's own, and for frames that leave a bridge.
    pub(super) fn input(&self) -> Option<PortId> {
        match (self.code.family, self.point) {
            (Family::Bridge, Point::Output | Point::Postrouting) => None,
            _ => self.packet.input_port(),
        }
    }

    /// The port of exit, where it is settled.
    pub(super) fn output(&self) -> Option<PortId> {
        verdict::output(self.packet, self.point)
    }

    /// The bytes that offsets of a base count in, and where it begins in them.
    pub(super) fn base(&self, base: Base) -> Option<(&[u8], usize)> {
        let header = &self.packet.header;
        let is_first = header.fragment.is_none_or(|fragment| fragment.offset == 0);
        match base {
            Base::Link => {
                // What the router itself sends has none yet, but in a bridge.
                let is_made = self.code.family == Family::Bridge || self.packet.input_port().is_some();
                let has_header = is_made && self.packet.network_offset() >= ETHERNET_LEN;
                has_header.then(|| (self.packet.frame().bytes(), 0))
            }
            Base::Network => Some((self.packet.ip(), 0)),
            Base::Transport => (is_first && !header.is_none()).then(|| (self.packet.ip(), header.transport)),
            Base::Inner => {
                let bytes = self.packet.ip();
                let transport = bytes.get(header.transport..).filter(|_| is_first && !header.is_none())?;
                let length = match header.protocol {
                    UDP => 8,
                    TCP => usize::from(transport.get(12)? >> 4) * 4,
                    GRE => gre_len(transport)?,
                    _ => 0,
                };
                Some((bytes, header.transport + length))
            }
        }
    }

    fn payload(&self, payload: Payload) -> Option<u128> {
        let (bytes, start) = self.base(payload.base)?;
        let offset = usize::from(payload.offset);
        let length = usize::from(payload.length);
        if payload.base == Base::Link
            && let Some(tag) = self.stripped_tag()
        {
            return behind_tag(bytes, tag, offset, length);
        }
        let first = start + offset / 8;
        let behind = start + (offset + length).div_ceil(8);
        bits_of(bytes.get(first..behind)?, offset % 8, length)
    }

    /// The tag that a port has taken off a frame that is bridged: rules read it where it was.
    pub(super) fn stripped_tag(&self) -> Option<[u8; 4]> {
        match (self.code.family, self.packet.frame().vlan) {
            (Family::Bridge, Some(tag)) => Some(tag.bytes()),
            _ => None,
        }
    }

    /// Bytes that are counted of the packet: what follows the link header, and the whole of an ARP frame that leaves, as
    /// the kernel has made its link header by then.
    pub(super) fn length(&self) -> usize {
        match (self.code.family, self.point) {
            (Family::Arp, Point::Output) => self.packet.frame().len(),
            _ => self.packet.ip().len(),
        }
    }

    /// What follows the outermost tag of a frame, or its link header if it has no tag (`skb->protocol`).
    fn protocol(&self) -> u16 {
        match self.packet.ether_type() {
            ether_type @ 1536.. => ether_type,
            // A length: the frame is of IEEE 802.3, Novell's without a header of 802.2 (`eth_type_trans`).
            _ if self.packet.ip().starts_with(&[0xff, 0xff]) => 1,
            _ => 4,
        }
    }

    fn meta(&self, key: MetaKey) -> Option<u128> {
        Some(match key {
            MetaKey::Length => self.length() as u128,
            MetaKey::Protocol => u128::from(self.protocol()),
            MetaKey::NetfilterProtocol => {
                u128::from(if self.code.family == Family::Ipv4 { 2_u8 } else { 10 })
            }
            MetaKey::TransportProtocol if self.packet.header.is_none() => return None,
            MetaKey::TransportProtocol => u128::from(self.packet.header.protocol),
            MetaKey::Mark => u128::from(self.packet.mark),
            MetaKey::Priority => u128::from(self.packet.priority),
            MetaKey::InputIndex => u128::from(self.link_index(self.input())),
            MetaKey::OutputIndex => u128::from(self.link_index(self.output())),
            MetaKey::InputName => self.world.name(self.input()),
            MetaKey::OutputName => self.world.name(self.output()),
            MetaKey::InputBridge => self.world.name(Some(self.world.bridge_of(self.input()?)?)),
            MetaKey::OutputBridge => self.world.name(Some(self.world.bridge_of(self.output()?)?)),
            MetaKey::InputBridgeAddress => {
                number(&self.world.ports.get(self.world.bridge_of(self.input()?)?).mac.0)
            }
            MetaKey::InputType => u128::from(self.link_type(self.input()?)),
            MetaKey::OutputType => u128::from(self.link_type(self.output()?)),
            MetaKey::PacketType => u128::from(self.packet_type()),
            MetaKey::Random => u128::from(self.world.random()),
            MetaKey::Time => u128::from(self.world.wall_time_s(self.context.now)),
            MetaKey::Day => {
                let days = self.world.wall_time_s(self.context.now) / 86_400;
                u128::from((4 + days) % 7)
            }
            MetaKey::Hour => u128::from(self.world.wall_time_s(self.context.now) % 86_400),
            // The checker lets none of these through: the router does not know them.
            MetaKey::Cpu
            | MetaKey::Realm
            | MetaKey::InputKind
            | MetaKey::OutputKind
            | MetaKey::InputGroup
            | MetaKey::OutputGroup => return None,
        })
    }

    /// The kernel's index of a port's device; 0 for none.
    pub(super) fn link_index(&self, port: Option<PortId>) -> u32 {
        verdict::link_number(port, self.context.routing)
    }

    /// `ARPHRD_*` of a port: Ethernet, or a device without link header.
    fn link_type(&self, port: PortId) -> u16 {
        const ETHER: u16 = 1;
        const NONE: u16 = 0xfffe;
        match self.context.out.framing(port) {
            Some(crate::port::Framing::Network) => NONE,
            _ => ETHER,
        }
    }

    /// `PACKET_HOST` and its like.
    pub(super) fn packet_type(&self) -> u8 {
        const HOST: u8 = 0;
        const BROADCAST: u8 = 1;
        const MULTICAST: u8 = 2;
        const OTHER_HOST: u8 = 3;
        if let Some(kind) = self.packet.packet_type {
            return kind;
        }
        match self.packet.target() {
            LinkTarget::Host => HOST,
            LinkTarget::Many if self.packet.frame().bytes().starts_with(&[0xff; 6]) => BROADCAST,
            LinkTarget::Many => MULTICAST,
            LinkTarget::Other => OTHER_HOST,
        }
    }

    fn ct(&self, key: Ctype, direction: Option<Direction>) -> Option<u128> {
        let (flow, way, state) = match &self.packet.track {
            Track::Flow { flow, direction, state } => (flow, *direction, *state),
            other if key == Ctype::State => {
                let untracked = matches!(other, Track::Untracked);
                return Some(u128::from(if untracked { UNTRACKED } else { INVALID }));
            }
            _ => return None,
        };
        let traffic = |of: fn(conntrack::TrafficCount) -> u64| match direction {
            Some(direction) => of(flow.traffic(direction)),
            None => Direction::ALL.into_iter().map(|direction| of(flow.traffic(direction))).sum(),
        };
        let tuple = flow.tuple(direction.unwrap_or(Direction::Original));
        let address = |family, octets: &[u8; 16]| {
            let length = if family == FlowFamily::Ipv4 { 4 } else { 16 };
            (flow.family() == family).then(|| number(&octets[..length]))
        };
        Some(match key {
            Ctype::State => u128::from(state_bit(state)),
            Ctype::Direction => way.index() as u128,
            Ctype::Status => u128::from(flow.status().bits()),
            Ctype::Mark => u128::from(flow.mark()),
            Ctype::Expiration => match flow {
                Flow::Conn(conn) => conn.timeout_at(self.context.now).as_millis(),
                Flow::Tentative(_) => 0,
            },
            // Of flows that a helper has announced.
            Ctype::Helper => name_number(flow.master()?.helper()?.name()),
            Ctype::Label => flow.labels(),
            Ctype::Id => u128::from(flow.id() as u32),
            Ctype::NetworkProtocol => u128::from(if flow.family() == FlowFamily::Ipv4 { 2_u8 } else { 10 }),
            Ctype::Protocol => u128::from(flow.protocol()),
            Ctype::Zone => {
                u128::from(direction.map_or(flow.zone().id, |direction| flow.zone().of(direction)))
            }
            Ctype::SourceIpv4 => address(FlowFamily::Ipv4, &tuple.addresses().source)?,
            Ctype::DestinationIpv4 => address(FlowFamily::Ipv4, &tuple.addresses().destination)?,
            Ctype::SourceIpv6 => address(FlowFamily::Ipv6, &tuple.addresses().source)?,
            Ctype::DestinationIpv6 => address(FlowFamily::Ipv6, &tuple.addresses().destination)?,
            Ctype::SourcePort => u128::from(tuple.ids().source),
            Ctype::DestinationPort => u128::from(tuple.ids().destination),
            Ctype::Packets => u128::from(traffic(|count| count.packets)),
            Ctype::Bytes => u128::from(traffic(|count| count.bytes)),
            Ctype::AverageBytes => {
                let packets = traffic(|count| count.packets);
                u128::from(traffic(|count| count.bytes).checked_div(packets).unwrap_or(0))
            }
        })
    }

    /// A hash that is the same for all packets of a flow, in both directions (`symhash`).
    pub(super) fn flow_hash(&self) -> u32 {
        let header = &self.packet.header;
        self.hash_of_ends([
            (header.source, header.source_port),
            (header.destination, header.destination_port),
        ])
    }

    /// A hash that is the same for all packets of one protocol between two hosts.
    pub(super) fn hash_of_addresses(&self) -> u32 {
        let header = &self.packet.header;
        self.hash_of_ends([(header.source, 0), (header.destination, 0)])
    }

    fn hash_of_ends(&self, mut ends: [(std::net::IpAddr, u16); 2]) -> u32 {
        let mut bytes = [0; 37];
        ends.sort_unstable();
        for (place, (address, port)) in ends.into_iter().enumerate() {
            let at = place * 18;
            match address {
                std::net::IpAddr::V4(address) => bytes[at..at + 4].copy_from_slice(&address.octets()),
                std::net::IpAddr::V6(address) => bytes[at..at + 16].copy_from_slice(&address.octets()),
            }
            bytes[at + 16..at + 18].copy_from_slice(&port.to_be_bytes());
        }
        bytes[36] = self.packet.header.protocol;
        jhash(&bytes, 0)
    }
}

const ETHERNET_LEN: usize = 14;

/// Bits of a link header whose tag is not among its bytes.
fn behind_tag(bytes: &[u8], tag: [u8; 4], offset: usize, length: usize) -> Option<u128> {
    let mut window = [0; 17];
    let (first, behind) = (offset / 8, (offset + length).div_ceil(8));
    let window = &mut window[..behind - first];
    for (place, byte) in (first..behind).zip(window.iter_mut()) {
        *byte = match place {
            ..TAG_AT => *bytes.get(place)?,
            TAG_AT..BEHIND_TAG => tag[place - TAG_AT],
            _ => *bytes.get(place - tag.len())?,
        };
    }
    bits_of(window, offset % 8, length)
}

/// Where a tag stands in a link header, and where it ends.
pub(super) const TAG_AT: usize = 12;
pub(super) const BEHIND_TAG: usize = 16;

/// `length` bits of a few bytes, from bit `offset` of the first on.
pub(super) fn bits_of(bytes: &[u8], offset: usize, length: usize) -> Option<u128> {
    let tail = bytes.len() * 8 - offset - length;
    let whole = match *bytes {
        [one] => u128::from(one),
        [one, two] => u128::from(u16::from_be_bytes([one, two])),
        [a, b, c, d] => u128::from(u32::from_be_bytes([a, b, c, d])),
        [] => return None,
        ref more if more.len() <= 16 => number(more),
        ref more => {
            let (first, rest) = more.split_first_chunk::<16>()?;
            let high = u128::from_be_bytes(*first) << offset >> offset;
            return Some(high << (8 - tail) | u128::from(*rest.first()?) >> tail);
        }
    };
    let all = if length >= 128 { u128::MAX } else { (1 << length) - 1 };
    Some(whole >> tail & all)
}

fn port_bit(port: Option<PortId>) -> u128 {
    // Ports beyond are looked for by name, or are the way to this host, which has none.
    1 << port.map_or(NO_PORT_BIT, |port| u32::from(port.0).min(NO_PORT_BIT))
}

const fn state_bit(state: CtState) -> u32 {
    match state {
        CtState::Established | CtState::EstablishedReply => 2,
        CtState::Related | CtState::RelatedReply => 4,
        CtState::New => 8,
    }
}

/// Bytes of a GRE header of version 0 (`nft_payload_inner_offset`).
fn gre_len(header: &[u8]) -> Option<usize> {
    let flags = u16::from_be_bytes([*header.first()?, *header.get(1)?]);
    let options = [0x8000_u16, 0x2000, 0x1000].into_iter().filter(|flag| flags & flag != 0).count();
    (flags & 7 == 0).then_some(4 + 4 * options)
}

/// Jenkins' hash as the kernel has it (`include/linux/jhash.h`).
pub(super) fn jhash(bytes: &[u8], seed: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32).wrapping_add(seed);
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |bytes: &[u8]| {
        let mut padded = [0; 4];
        padded[..bytes.len().min(4)].copy_from_slice(&bytes[..bytes.len().min(4)]);
        u32::from_le_bytes(padded)
    };
    let mut rest = bytes;
    while rest.len() > 12 {
        a = a.wrapping_add(word(&rest[..4]));
        b = b.wrapping_add(word(&rest[4..8]));
        c = c.wrapping_add(word(&rest[8..12]));
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return c;
    }
    let part = |from: usize| word(rest.get(from..).unwrap_or(&[]));
    a = a.wrapping_add(part(0));
    b = b.wrapping_add(part(4));
    c = c.wrapping_add(part(8));
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}
