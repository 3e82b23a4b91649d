//! The packets of the comparison: a few flows between near and far hosts, in every dress.

use std::net::IpAddr;

use proptest::prelude::*;
use router::tabletop::port_mac;
use testbed::frames::{
    Checksum, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Link, Payload, Tcp, Udp, V4, V6, fragment4, fragment6,
};

use crate::world::host_mac;

/// Hosts by number: the address's last parts, and the port behind which they are.
const HOSTS: [(&str, &str, usize); 10] = [
    ("10.0.0.2", "fd00::2", 0),
    ("10.0.0.3", "fd00::3", 0),
    ("10.0.1.2", "fd01::2", 1),
    ("10.0.2.2", "fd02::2", 2),
    ("10.0.2.200", "fd02::200", 2),
    ("10.50.1.7", "fd50:1::7", 3),
    ("10.50.1.8", "fd50:1::8", 3),
    ("10.50.2.1", "fd50:2::1", 3),
    ("10.60.0.1", "fd60::1", 2),
    ("10.77.0.1", "fd77::1", 3),
];

/// Number of the host that is reached by several ways at once.
const MANY_WAYS: usize = 9;

/// Who talks to whom.
#[derive(Clone, Debug)]
pub struct Flow {
    ipv6: bool,
    protocol: Protocol,
    source: usize,
    destination: usize,
    /// The second of two pairs of ports.
    other_ids: bool,
}

/// Flows of one case: few, so that each is met often.
pub const FLOWS: usize = 4;

/// A packet to be sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Number of its flow.
    flow: usize,
    /// From the destination to the source.
    reply: bool,
    /// Arrives where its source is not.
    astray: Option<usize>,
    tos: u8,
    ttl: u8,
    dont_fragment: bool,
    payload: usize,
    mark: MarkedAt,
    /// Comes in two pieces, the second one first.
    pieces: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Udp,
    Tcp,
    Echo,
}

/// When a test hook gives the packet a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkedAt {
    Never,
    /// Before the route is taken from the flow.
    Early,
    /// Behind it.
    Late,
}

impl MarkedAt {
    /// What the packet's last byte says.
    pub fn of(packet: &[u8]) -> Self {
        match packet.last() {
            Some(1) => Self::Early,
            Some(2) => Self::Late,
            _ => Self::Never,
        }
    }
}

/// Flows of all kinds.
pub fn any_flow() -> impl Strategy<Value = Flow> {
    let protocol = prop_oneof![Just(Protocol::Udp), Just(Protocol::Tcp), Just(Protocol::Echo)];
    (any::<bool>(), protocol, 0..HOSTS.len() - 1, 0..HOSTS.len(), any::<bool>()).prop_map(
        |(ipv6, protocol, source, destination, other_ids)| {
            // A sender on a link that may be the way out hears of a redirect for one way and not for the other.
            let source = if destination == MANY_WAYS { source % 3 } else { source };
            Flow { ipv6, protocol, source, destination, other_ids }
        },
    )
}

/// Packets of all kinds; in pieces only if `fragments`.
pub fn any_sent(fragments: bool) -> impl Strategy<Value = Sent> {
    let mark = prop_oneof![4 => Just(MarkedAt::Never), 1 => Just(MarkedAt::Early), 1 => Just(MarkedAt::Late)];
    let size = prop_oneof![6 => 1_usize..40, 1 => 560_usize..700, 1 => 1_200_usize..1_440];
    let way = (0..FLOWS, prop::bool::weighted(0.3), prop::option::weighted(0.1, 0_usize..4));
    let dress = (
        prop_oneof![4 => Just(0_u8), 1 => Just(0x10), 1 => Just(0x02)],
        prop_oneof![8 => Just(64_u8), 1 => Just(1)],
        any::<bool>(),
        size,
        mark,
        prop::bool::weighted(if fragments { 0.15 } else { 0.0 }),
    );
    (way, dress).prop_map(|((flow, reply, astray), (tos, ttl, dont_fragment, payload, mark, pieces))| Sent {
        flow,
        reply,
        astray,
        tos,
        ttl,
        dont_fragment,
        payload,
        mark,
        pieces,
    })
}

impl Flow {
    /// A UDP flow from a near host to a far one.
    pub fn plain() -> Self {
        Self { ipv6: false, protocol: Protocol::Udp, source: 0, destination: 5, other_ids: false }
    }
}

impl Sent {
    /// A small packet of the first flow.
    pub fn plain() -> Self {
        Self {
            flow: 0,
            reply: false,
            astray: None,
            tos: 0,
            ttl: 64,
            dont_fragment: false,
            payload: 8,
            mark: MarkedAt::Never,
            pieces: false,
        }
    }

    /// The port at which it arrives, and its frames.
    pub fn frames(&self, flows: &[Flow]) -> (usize, Vec<Vec<u8>>) {
        let flow = &flows[self.flow];
        let ends = (flow.source, flow.destination);
        let to_many = flow.destination == MANY_WAYS;
        let (from, to) = if self.reply && !to_many { (ends.1, ends.0) } else { ends };
        let port = self.astray.filter(|_| !to_many).unwrap_or(HOSTS[from].2);
        let link = Link {
            destination: port_mac(port).0,
            source: host_mac(port, 2),
            tags: Vec::new(),
            trailer: Vec::new(),
        };
        let frames = if flow.ipv6 {
            let packets = self.ipv6_packets(flow, HOSTS[from].1, HOSTS[to].1);
            packets.iter().map(|packet| link.around(ETHERTYPE_IPV6, packet)).collect()
        } else {
            let packets = self.ipv4_packets(flow, HOSTS[from].0, HOSTS[to].0);
            packets.iter().map(|packet| link.around(ETHERTYPE_IPV4, packet)).collect()
        };
        (port, frames)
    }

    fn ipv4_packets(&self, flow: &Flow, source: &str, destination: &str) -> Vec<Vec<u8>> {
        let packet = V4 {
            version: 4,
            header_words: None,
            tos: self.tos,
            total_length: None,
            id: 0x1234,
            reserved: false,
            dont_fragment: self.dont_fragment && !self.pieces,
            more_fragments: false,
            offset: 0,
            ttl: self.ttl,
            protocol: None,
            checksum: Checksum::Right,
            source: source.parse().expect("an IPv4 address"),
            destination: destination.parse().expect("an IPv4 address"),
            options: Vec::new(),
            payload: self.payload(flow),
        };
        if self.pieces {
            vec![fragment4(&packet, 24, usize::MAX).bytes(), fragment4(&packet, 0, 24).bytes()]
        } else {
            vec![packet.bytes()]
        }
    }

    fn ipv6_packets(&self, flow: &Flow, source: &str, destination: &str) -> Vec<Vec<u8>> {
        let packet = V6 {
            version: 6,
            traffic_class: self.tos,
            flow_label: 0,
            payload_length: None,
            next_header: None,
            hop_limit: self.ttl,
            source: source.parse().expect("an IPv6 address"),
            destination: destination.parse().expect("an IPv6 address"),
            extensions: Vec::new(),
            payload: self.payload(flow),
        };
        if self.pieces {
            let piece = |from, to| fragment6(&packet, 0x1234, from, to).bytes();
            vec![piece(24, usize::MAX), piece(0, 24)]
        } else {
            vec![packet.bytes()]
        }
    }

    fn payload(&self, flow: &Flow) -> Payload {
        let client = if flow.other_ids { 2000 } else { 1000 };
        let server = if flow.other_ids { 53 } else { 80 };
        let (source, destination) = if self.reply { (server, client) } else { (client, server) };
        // Long enough for two pieces.
        let mut data = vec![0xda; self.payload.max(if self.pieces { 24 } else { 1 })];
        *data.last_mut().expect("not empty") = match self.mark {
            MarkedAt::Never => 0,
            MarkedAt::Early => 1,
            MarkedAt::Late => 2,
        };
        match flow.protocol {
            Protocol::Udp => {
                Payload::Udp(Udp { source, destination, length: None, checksum: Checksum::Right, data })
            }
            Protocol::Tcp => Payload::Tcp(Tcp {
                source,
                destination,
                sequence: 1,
                acknowledgment: 1,
                header_words: None,
                flags: 0x10,
                window: 60_000,
                checksum: Checksum::Right,
                options: Vec::new(),
                data,
            }),
            Protocol::Echo => {
                let kind = match (flow.ipv6, self.reply) {
                    (false, false) => 8,
                    (false, true) => 0,
                    (true, false) => 128,
                    (true, true) => 129,
                };
                let rest = [client.to_be_bytes(), [0, 1]].concat().try_into().expect("four bytes");
                Payload::Icmp(Icmp { kind, code: 0, checksum: Checksum::Right, rest, data })
            }
        }
    }
}

/// Whether a frame that left the router goes where several ways lead.
pub fn has_many_ways(frame: &[u8]) -> bool {
    let destination: IpAddr = match frame[12..14] {
        [8, 0] => <[u8; 4]>::try_from(&frame[30..34]).expect("four bytes").into(),
        _ => <[u8; 16]>::try_from(&frame[38..54]).expect("sixteen bytes").into(),
    };
    let (v4, v6, _) = HOSTS[MANY_WAYS];
    destination == v4.parse::<IpAddr>().expect("an address")
        || destination == v6.parse::<IpAddr>().expect("an address")
}
