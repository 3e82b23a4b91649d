//! What is sent through rules: conversations, whose answers are made of what came out.

use std::net::IpAddr;

use crate::compare::ground::{Key, neighbor_mac, router_mac};
use crate::frames::{
    Checksum, Cut, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Link, Offload, Payload, Tcp, Udp, V4, V6, fragment4,
    fragment6,
};
use crate::wire::Frame;

/// A conversation: what is sent first, and what is answered to what came out of the router.
#[derive(Clone, Debug)]
pub struct Probe {
    /// In a few words.
    pub name: String,
    /// One after another; what was sent before has been dealt with when the next is sent.
    pub acts: Vec<Act>,
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub enum Act {
    /// A frame arrives at a port.
    Send(usize, Vec<u8>),
    /// A frame arrives at a port whose sender has left something to the device.
    SendOffloaded(usize, Frame),
    /// Whoever got the last packet answers it, by the port it came out of.
    Answer(Answer),
}

/// How a packet is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A TCP segment with these flags and so many bytes, in order: it acknowledges what the packet was.
    Tcp(u8, usize),
    /// A UDP datagram back.
    Udp,
    /// An echo reply.
    Echo,
    /// An ICMP error about it with this type and code (of ICMPv4; ICMPv6 has the corresponding one), from the host.
    Error(u8, u8),
    /// The same from a router on the way.
    ErrorOnTheWay(u8, u8),
}

/// TCP flags.
pub mod flags {
    #![allow(missing_docs, reason = "named as in RFC 9293")]
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
    pub const URG: u8 = 32;
}
use flags::{ACK, FIN, PSH, RST, SYN};

/// Bytes of data in a super-packet, and in each segment of it.
const SUPER_LEN: usize = 3500;
const SUPER_SEGMENT_LEN: u16 = 1000;

/// An end of a conversation: address and port, or echo id.
#[derive(Clone, Copy, Debug)]
pub struct End(pub IpAddr, pub u16);

/// Who talks to whom, and by which port of the router the first packet comes.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Port of entry.
    pub entry: usize,
    /// Who begins.
    pub from: End,
    /// To whom.
    pub to: End,
}

impl Talk {
    /// A packet with this payload from the one who begins, in a frame.
    #[must_use]
    pub fn frame(&self, payload: Payload) -> Vec<u8> {
        framed(self.entry, &packet(self.from.0, self.to.0, payload))
    }

    /// A TCP segment from the one who begins.
    #[must_use]
    pub fn tcp(&self, flags: u8, sequence: u32, acknowledgment: u32, data: usize) -> Vec<u8> {
        self.frame(Payload::Tcp(segment(self.from.1, self.to.1, flags, sequence, acknowledgment, data)))
    }

    /// A whole TCP connection: opened, used both ways, closed, and the port used again.
    #[must_use]
    pub fn tcp_connection(&self) -> Vec<Act> {
        vec![
            Act::Send(self.entry, self.tcp(SYN, 1000, 0, 0)),
            Act::Answer(Answer::Tcp(SYN | ACK, 0)),
            Act::Answer(Answer::Tcp(ACK, 0)),
            Act::Send(self.entry, self.tcp(PSH | ACK, 1001, 5001, 100)),
            Act::Answer(Answer::Tcp(PSH | ACK, 200)),
            Act::Answer(Answer::Tcp(FIN | ACK, 0)),
            Act::Answer(Answer::Tcp(FIN | ACK, 0)),
            Act::Answer(Answer::Tcp(ACK, 0)),
        ]
    }

    /// A TCP connection whose data come as a super-packet, and an answer to it.
    #[must_use]
    pub fn super_packet(&self) -> Vec<Act> {
        let mut acts = self.tcp_connection();
        acts.truncate(3);
        let mut data = segment(self.from.1, self.to.1, PSH | ACK, 1001, 5001, SUPER_LEN);
        data.checksum = Checksum::Partial;
        let (headers, cut) = if self.from.0.is_ipv4() { (34, Cut::Tcp4) } else { (54, Cut::Tcp6) };
        let offload = Offload { checksum: Some((headers, 16)), segments: Some((cut, SUPER_SEGMENT_LEN)) };
        let frame = Frame { bytes: self.frame(Payload::Tcp(data)), offload };
        acts.push(Act::SendOffloaded(self.entry, frame));
        acts.push(Act::Answer(Answer::Tcp(PSH | ACK, 200)));
        acts
    }

    /// Two datagrams there, an answer to each.
    #[must_use]
    pub fn udp_exchange(&self) -> Vec<Act> {
        let frame = self.frame(Payload::Udp(datagram(self.from.1, self.to.1, 40)));
        vec![
            Act::Send(self.entry, frame.clone()),
            Act::Answer(Answer::Udp),
            Act::Send(self.entry, frame),
            Act::Answer(Answer::Udp),
        ]
    }

    /// An echo request and its reply.
    #[must_use]
    pub fn ping(&self) -> Vec<Act> {
        vec![Act::Send(self.entry, self.frame(Payload::Icmp(self.echo()))), Act::Answer(Answer::Echo)]
    }

    fn echo(&self) -> Icmp {
        let kind = if self.from.0.is_ipv4() { 8 } else { 128 };
        let id = self.from.1.to_be_bytes();
        Icmp { kind, code: 0, checksum: Checksum::Right, rest: [id[0], id[1], 0, 1], data: vec![0x5a; 24] }
    }

    /// A datagram in two fragments, the later one first if `reversed`.
    #[must_use]
    pub fn fragments(&self, reversed: bool) -> Vec<Act> {
        let payload = Payload::Udp(datagram(self.from.1, self.to.1, 600));
        let mut frames: Vec<Vec<u8>> = match packet(self.from.0, self.to.0, payload) {
            Packet::V4(whole) => [(0, 400), (400, 608)]
                .map(|(from, to)| framed(self.entry, &Packet::V4(fragment4(&whole, from, to))))
                .into(),
            Packet::V6(whole) => [(0, 400), (400, 608)]
                .map(|(from, to)| framed(self.entry, &Packet::V6(fragment6(&whole, 77, from, to))))
                .into(),
        };
        if reversed {
            frames.reverse();
        }
        let mut acts: Vec<Act> = frames.into_iter().map(|frame| Act::Send(self.entry, frame)).collect();
        acts.push(Act::Answer(Answer::Udp));
        acts
    }
}

/// A packet of either family.
enum Packet {
    V4(V4),
    V6(V6),
}

fn packet(source: IpAddr, destination: IpAddr, payload: Payload) -> Packet {
    let key = Key { number: 1 };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Packet::V4(V4 { source, destination, ..key.v4(payload) })
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Packet::V6(V6 { source, destination, ..key.v6(payload) })
        }
        _ => unreachable!("both ends are of one family"),
    }
}

/// The packet in a frame from the gateway behind a port.
fn framed(port: usize, packet: &Packet) -> Vec<u8> {
    let link = Link {
        destination: router_mac(port),
        source: neighbor_mac(port, 2),
        tags: Vec::new(),
        trailer: Vec::new(),
    };
    match packet {
        Packet::V4(packet) => link.around(ETHERTYPE_IPV4, &packet.bytes()),
        Packet::V6(packet) => link.around(ETHERTYPE_IPV6, &packet.bytes()),
    }
}

fn segment(source: u16, destination: u16, flags: u8, sequence: u32, acknowledgment: u32, data: usize) -> Tcp {
    let options = if flags & SYN != 0 { vec![2, 4, 5, 180] } else { Vec::new() };
    Tcp {
        source,
        destination,
        sequence,
        acknowledgment,
        header_words: None,
        flags,
        window: 64000,
        checksum: Checksum::Right,
        options,
        data: vec![0x41; data],
    }
}

fn datagram(source: u16, destination: u16, data: usize) -> Udp {
    Udp { source, destination, length: None, checksum: Checksum::Right, data: vec![0x42; data] }
}

/// What is to be known of a frame to answer it.
struct Seen<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    packet: &'a [u8],
    transport: &'a [u8],
}

impl<'a> Seen<'a> {
    fn of(frame: &'a [u8]) -> Option<Self> {
        let packet = frame.get(14..)?;
        match frame.get(12..14)? {
            [8, 0] => {
                let address = |at: usize| -> Option<IpAddr> {
                    Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?))
                };
                let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
                let packet = packet.get(..length)?;
                Some(Self {
                    source: address(12)?,
                    destination: address(16)?,
                    protocol: packet[9],
                    packet,
                    transport: packet.get(usize::from(packet[0] & 15) * 4..)?,
                })
            }
            [0x86, 0xdd] => {
                let address = |at: usize| -> Option<IpAddr> {
                    Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?))
                };
                let (mut protocol, mut at) = (*packet.get(6)?, 40);
                while matches!(protocol, 0 | 43 | 44 | 60) {
                    protocol = *packet.get(at)?;
                    at += if packet[6] == 44 { 8 } else { usize::from(*packet.get(at + 1)?) * 8 + 8 };
                }
                let (source, destination) = (address(8)?, address(24)?);
                Some(Self { source, destination, protocol, packet, transport: packet.get(at..)? })
            }
            _ => None,
        }
    }

    fn half(&self, at: usize) -> u16 {
        self.transport.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn word(&self, at: usize) -> u32 {
        u32::from(self.half(at)) << 16 | u32::from(self.half(at + 2))
    }
}

/// The answer to a frame that came out of `port`; `None` if such a frame has no such answer.
#[must_use]
pub fn answer(port: usize, frame: &[u8], answer: Answer) -> Option<Vec<u8>> {
    let seen = Seen::of(frame)?;
    let back = |payload| Some(framed(port, &packet(seen.destination, seen.source, payload)));
    let (source, destination) = (seen.half(2), seen.half(0));
    match answer {
        Answer::Tcp(flags, data) => {
            if seen.protocol != 6 || seen.transport.get(13)? & RST != 0 {
                return None;
            }
            let their_flags = seen.transport[13];
            let header = usize::from(seen.transport[12] >> 4) * 4;
            let length = seen.transport.len().saturating_sub(header) as u32
                + u32::from(their_flags & SYN != 0)
                + u32::from(their_flags & FIN != 0);
            let sequence = if their_flags & ACK == 0 { 5000 } else { seen.word(8) };
            let acknowledgment = if flags & ACK == 0 { 0 } else { seen.word(4).wrapping_add(length) };
            back(Payload::Tcp(segment(source, destination, flags, sequence, acknowledgment, data)))
        }
        Answer::Udp => {
            (seen.protocol == 17).then(|| back(Payload::Udp(datagram(source, destination, 30))))?
        }
        Answer::Echo => {
            let reply = match (seen.protocol, *seen.transport.first()?) {
                (1, 8) => 0,
                (58, 128) => 129,
                _ => return None,
            };
            let rest = seen.transport.get(4..8)?.try_into().ok()?;
            let data = seen.transport.get(8..)?.to_vec();
            back(Payload::Icmp(Icmp { kind: reply, code: 0, checksum: Checksum::Right, rest, data }))
        }
        Answer::Error(kind, code) => Some(error(port, &seen, seen.destination, kind, code)),
        Answer::ErrorOnTheWay(kind, code) => {
            let router = match seen.source {
                IpAddr::V4(_) => IpAddr::from([172, 20 + port as u8, 9, 9]),
                IpAddr::V6(_) => IpAddr::from([0xfd20 + port as u16, 0, 0, 0, 0, 0, 9, 9]),
            };
            Some(error(port, &seen, router, kind, code))
        }
    }
}

fn error(port: usize, seen: &Seen<'_>, from: IpAddr, kind: u8, code: u8) -> Vec<u8> {
    let mtu = 1400_u16.to_be_bytes();
    let (kind, code, rest) = match (seen.source, kind, code) {
        (IpAddr::V4(_), 3, 4) => (3, 4, [0, 0, mtu[0], mtu[1]]),
        (IpAddr::V4(_), ..) => (kind, code, [0; 4]),
        (IpAddr::V6(_), 3, 4) => (2, 0, [0, 0, mtu[0], mtu[1]]),
        (IpAddr::V6(_), 3, 3) => (1, 4, [0; 4]),
        (IpAddr::V6(_), 3, _) => (1, 0, [0; 4]),
        (IpAddr::V6(_), 11, _) => (3, 0, [0; 4]),
        (IpAddr::V6(_), ..) => (4, 0, [0; 4]),
    };
    let data = seen.packet[..seen.packet.len().min(512)].to_vec();
    let payload = Payload::Icmp(Icmp { kind, code, checksum: Checksum::Right, rest, data });
    framed(port, &packet(from, seen.source, payload))
}

/// What every ruleset is tried with: both families, from each port to each other, of every protocol rules speak of.
#[must_use]
pub fn usual() -> Vec<Probe> {
    let mut probes = Vec::new();
    let mut number = 30_000;
    let mut add = |name: String, acts: Vec<Act>| probes.push(Probe { name, acts });
    for ipv6 in [false, true] {
        let family = if ipv6 { "ipv6" } else { "ipv4" };
        let at = |port: usize, host: u8| -> IpAddr {
            if ipv6 {
                IpAddr::from([0xfd20 + port as u16, 0, 0, 0, 0, 0, 0, host.into()])
            } else {
                IpAddr::from([172, 20 + port as u8, 0, host])
            }
        };
        let mut talk = |entry: usize, host: u8, exit: usize, other: u8, service: u16| {
            number += 1;
            Talk { entry, from: End(at(entry, host), number), to: End(at(exit, other), service) }
        };
        for (entry, exit) in [(0, 1), (1, 0), (0, 2), (2, 1)] {
            let way = format!("{family} r{entry} to r{exit}");
            add(format!("{way} tcp 80"), talk(entry, 1, exit, 1, 80).tcp_connection());
            add(format!("{way} udp 53"), talk(entry, 1, exit, 1, 53).udp_exchange());
            add(format!("{way} ping"), talk(entry, 1, exit, 1, 0).ping());
        }
        for service in [22, 443, 8080] {
            add(format!("{family} tcp {service}"), talk(0, 2, 1, 2, service).tcp_connection());
        }
        for service in [123, 5353, 33434] {
            add(format!("{family} udp {service}"), talk(0, 2, 1, 2, service).udp_exchange());
        }
        for (host, other) in [(5, 5), (10, 20), (200, 1)] {
            let name = format!("{family} host {host} to host {other}");
            add(name, talk(0, host, 1, other, 80).udp_exchange());
        }
        let loose = talk(0, 3, 1, 1, 80);
        for (name, flags) in [
            ("ack", ACK),
            ("syn-ack", SYN | ACK),
            ("fin", FIN | ACK),
            ("rst", RST),
            ("null", 0),
            ("xmas", 0x29),
        ] {
            add(
                format!("{family} tcp {name} out of nothing"),
                vec![Act::Send(
                    0,
                    Talk { from: End(loose.from.0, number + u16::from(flags)), ..loose }.tcp(flags, 9, 9, 0),
                )],
            );
        }
        number += 100;
        let mut talk = |service: u16| {
            number += 1;
            Talk { entry: 0, from: End(at(0, 4), number), to: End(at(1, 4), service) }
        };
        for (kind, code) in [(3, 3), (3, 4), (11, 0)] {
            let mut acts = talk(33434).udp_exchange();
            acts.truncate(1);
            acts.push(Act::Answer(Answer::Error(kind, code)));
            add(format!("{family} udp answered by error {kind}/{code}"), acts);
            let mut acts = talk(80).tcp_connection();
            acts.truncate(1);
            acts.push(Act::Answer(Answer::ErrorOnTheWay(kind, code)));
            add(format!("{family} tcp stopped on the way by error {kind}/{code}"), acts);
        }
        add(format!("{family} ping answered by an error"), {
            let mut acts = talk(0).ping();
            acts[1] = Act::Answer(Answer::Error(11, 0));
            acts
        });
        add(format!("{family} fragments"), talk(53).fragments(false));
        add(format!("{family} fragments, the later first"), talk(53).fragments(true));
        for protocol in [47, 50, 89, 132] {
            let raw = talk(0).frame(Payload::Raw(protocol, vec![0x12; 40]));
            add(format!("{family} protocol {protocol}"), vec![Act::Send(0, raw)]);
        }
        let refused = talk(81);
        add(
            format!("{family} tcp refused by its server"),
            vec![Act::Send(0, refused.tcp(SYN, 1, 0, 0)), Act::Answer(Answer::Tcp(RST | ACK, 0))],
        );
        let wrong = talk(53);
        add(format!("{family} udp with a wrong checksum"), {
            let udp = Udp { checksum: Checksum::Wrong, ..datagram(wrong.from.1, 53, 20) };
            vec![Act::Send(0, wrong.frame(Payload::Udp(udp)))]
        });
    }
    let last_hop = V4 { ttl: 1, ..Key { number: 1 }.udp4() };
    add("ipv4 with its last ttl".into(), vec![Act::Send(0, framed(0, &Packet::V4(last_hop)))]);
    let marked = V4 { tos: 0xb8, ..Key { number: 2 }.udp4() };
    add("ipv4 with dscp ef".into(), vec![Act::Send(0, framed(0, &Packet::V4(marked)))]);
    let marked = V6 { traffic_class: 0xb9, flow_label: 0x12345, ..Key { number: 2 }.udp6() };
    add("ipv6 with dscp ef and ecn".into(), vec![Act::Send(0, framed(0, &Packet::V6(marked)))]);
    let odd = V4 { source: [192, 168, 77, 1].into(), ..Key { number: 3 }.udp4() };
    add("ipv4 from a source without a route".into(), vec![Act::Send(0, framed(0, &Packet::V4(odd)))]);
    let odd = V4 { source: [172, 21, 0, 9].into(), ..Key { number: 4 }.udp4() };
    add("ipv4 from a source behind another port".into(), vec![Act::Send(0, framed(0, &Packet::V4(odd)))]);
    probes
}
