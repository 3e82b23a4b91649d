//! From what a story says of a packet to its frames.
//!
//! A packet bears the number of its flow where no router changes it (the IPv4 identification, the IPv6 flow label), so
//! that whoever answers finds out how it arrived: translated or not, by whichever port.

use std::net::IpAddr;

use router::tabletop::port_mac;

use super::hosts::{MANY_WAYS, address, mac, port, station};
use super::story::{Body, Flow, Protocol, Sent, Trouble};
use crate::frames::{
    Checksum, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Link, Payload, Tcp, Udp, V4, V6, fragment4, fragment6,
};

/// What marks the identification of a packet of a story.
const TAG: u16 = 0x4000;
/// Bytes of a packet's payload that its first piece has.
const CUT: usize = 24;
/// Bytes of a packet that an error quotes, at most.
const QUOTED: usize = 120;
/// Bytes of an Ethernet header.
const LINK_LEN: usize = 14;

/// How a packet came out of the router.
#[derive(Clone, Debug)]
struct Passed {
    port: usize,
    source: IpAddr,
    destination: IpAddr,
    source_id: u16,
    destination_id: u16,
    packet: Vec<u8>,
}

/// How the packets of each flow and direction came out last.
#[derive(Clone, Debug)]
pub(super) struct Passages(Vec<[Option<Passed>; 2]>);

impl Passages {
    /// Nothing has come out yet.
    pub fn new(flows: usize) -> Self {
        Self(vec![const { [None, None] }; flows])
    }

    /// Notes a frame that has come out of a port.
    pub fn note(&mut self, port: usize, frame: &[u8]) {
        let Some((tag, passed)) = read(port, frame) else { return };
        if let Some(flow) = self.0.get_mut(usize::from(tag >> 1)) {
            flow[usize::from(tag & 1)] = Some(passed);
        }
    }

    fn of(&self, flow: usize, reply: bool) -> Option<&Passed> {
        self.0.get(flow)?[usize::from(reply)].as_ref()
    }
}

/// Reads a frame that came out; `None` if it is no whole packet or first piece of a story's.
fn read(port: usize, frame: &[u8]) -> Option<(u16, Passed)> {
    let packet = frame.get(LINK_LEN..)?;
    let (tag, protocol, transport, source, destination) = match frame[12..14] {
        [8, 0] => {
            let is_later_piece = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff != 0;
            if is_later_piece {
                return None;
            }
            let header = usize::from(packet[0] & 0xf) * 4;
            let at = |from: usize| <[u8; 4]>::try_from(&packet[from..from + 4]).expect("four bytes");
            let tag = u16::from_be_bytes([packet[4], packet[5]]);
            (tag, packet[9], header, IpAddr::from(at(12)), IpAddr::from(at(16)))
        }
        _ => {
            let at = |from: usize| <[u8; 16]>::try_from(&packet[from..from + 16]).expect("sixteen bytes");
            let tag = u16::from_be_bytes([packet[2], packet[3]]);
            (tag, packet[6], 40, IpAddr::from(at(8)), IpAddr::from(at(24)))
        }
    };
    let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let (source_id, destination_id) = match (protocol, packet.get(transport)?) {
        (6 | 17, _) => (word(transport)?, word(transport + 2)?),
        (1, 0 | 8) | (58, 128 | 129) => (word(transport + 4)?, word(transport + 4)?),
        _ => return None,
    };
    let tag = tag.checked_sub(TAG)?;
    let packet = packet[..packet.len().min(QUOTED)].to_vec();
    Some((tag, Passed { port, source, destination, source_id, destination_id, packet }))
}

/// Whether a frame that left the router goes where several ways lead.
pub(super) fn has_many_ways(frame: &[u8]) -> bool {
    let destination: IpAddr = match frame[12..14] {
        [8, 0] => <[u8; 4]>::try_from(&frame[30..34]).expect("four bytes").into(),
        _ => <[u8; 16]>::try_from(&frame[38..54]).expect("sixteen bytes").into(),
    };
    destination == address(destination.is_ipv6(), MANY_WAYS)
}

/// Between whom a packet is.
struct Ends {
    port: usize,
    source: IpAddr,
    destination: IpAddr,
    source_id: u16,
    destination_id: u16,
}

impl Sent {
    /// The port at which it arrives, and its frames; none if it says something of a packet that never was.
    pub(super) fn frames(&self, flows: &[Flow], passages: &Passages) -> (usize, Vec<Vec<u8>>) {
        let Some(flow) = flows.get(self.flow) else { return (0, Vec::new()) };
        let to_many = flow.server == MANY_WAYS;
        let ends = match &self.body {
            Body::Error(_) => match passages.of(self.flow, !self.reply) {
                Some(quoted) => Ends {
                    port: quoted.port,
                    source: station(flow.ipv6, quoted.port, 2),
                    destination: quoted.source,
                    source_id: 0,
                    destination_id: 0,
                },
                None => return (0, Vec::new()),
            },
            _ => self.ends(flow, passages),
        };
        let arrives = self.astray.filter(|_| !to_many).unwrap_or(ends.port);
        let payload = match &self.body {
            Body::Error(trouble) => {
                let quoted = passages.of(self.flow, !self.reply).expect("it was there");
                error(*trouble, flow.ipv6, &quoted.packet)
            }
            _ => self.payload(flow, &ends),
        };
        let link = Link {
            destination: port_mac(arrives).0,
            source: mac(arrives, 2),
            tags: Vec::new(),
            trailer: Vec::new(),
        };
        let tag = TAG | (self.flow as u16) << 1 | u16::from(self.reply);
        let frames = match (ends.source, ends.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let length = length(&payload);
                let packet = V4 {
                    version: 4,
                    header_words: None,
                    tos: self.tos,
                    total_length: None,
                    id: tag,
                    reserved: false,
                    dont_fragment: self.dont_fragment && !self.pieces,
                    more_fragments: false,
                    offset: 0,
                    ttl: self.ttl,
                    protocol: None,
                    checksum: Checksum::Right,
                    source,
                    destination,
                    options: Vec::new(),
                    payload,
                };
                let packets = if self.pieces && length > CUT {
                    vec![fragment4(&packet, CUT, usize::MAX).bytes(), fragment4(&packet, 0, CUT).bytes()]
                } else {
                    vec![packet.bytes()]
                };
                packets.iter().map(|packet| link.around(ETHERTYPE_IPV4, packet)).collect()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let length = length(&payload);
                let packet = V6 {
                    version: 6,
                    traffic_class: self.tos,
                    flow_label: tag.into(),
                    payload_length: None,
                    next_header: None,
                    hop_limit: self.ttl,
                    source,
                    destination,
                    extensions: Vec::new(),
                    payload,
                };
                let packets = if self.pieces && length > CUT {
                    let piece = |from, to| fragment6(&packet, tag.into(), from, to).bytes();
                    vec![piece(CUT, usize::MAX), piece(0, CUT)]
                } else {
                    vec![packet.bytes()]
                };
                packets.iter().map(|packet| link.around(ETHERTYPE_IPV6, packet)).collect()
            }
            _ => unreachable!("both ends are of one family"),
        };
        (arrives, frames)
    }

    /// An answer goes back to where the question came from.
    fn ends(&self, flow: &Flow, passages: &Passages) -> Ends {
        if self.reply
            && let Some(question) = passages.of(self.flow, false)
        {
            return Ends {
                port: question.port,
                source: question.destination,
                destination: question.source,
                source_id: question.destination_id,
                destination_id: question.source_id,
            };
        }
        let (from, to) = if self.reply { (flow.server, flow.client) } else { (flow.client, flow.server) };
        let ids = (flow.client_id, flow.server_id);
        let (source_id, destination_id) = if self.reply { (ids.1, ids.0) } else { ids };
        let is_echo = flow.protocol == Protocol::Echo;
        Ends {
            port: port(from),
            source: address(flow.ipv6, from),
            destination: address(flow.ipv6, to),
            source_id: if is_echo { flow.client_id } else { source_id },
            destination_id,
        }
    }

    fn payload(&self, flow: &Flow, ends: &Ends) -> Payload {
        let checksum = if self.spoilt { Checksum::Wrong } else { Checksum::Right };
        let (source, destination) = (ends.source_id, ends.destination_id);
        let data = |length: usize| vec![0xda; length];
        match (flow.protocol, &self.body) {
            (Protocol::Tcp, body) => {
                let (sequence, acknowledgment, flags, length) = match body {
                    Body::Segment(sequence, acknowledgment, flags, length) => {
                        (*sequence, *acknowledgment, *flags, *length)
                    }
                    Body::Data(length) => (1, 1, 0x10, *length),
                    Body::Error(_) => unreachable!("errors are made elsewhere"),
                };
                let is_syn = flags & 2 != 0;
                // A maximum segment size of 1460.
                let options = if is_syn { vec![2, 4, 5, 0xb4] } else { Vec::new() };
                Payload::Tcp(Tcp {
                    source,
                    destination,
                    sequence,
                    acknowledgment,
                    header_words: None,
                    flags,
                    window: 60_000,
                    checksum,
                    options,
                    data: data(length),
                })
            }
            (Protocol::Udp, body) => {
                Payload::Udp(Udp { source, destination, length: None, checksum, data: data(body.length()) })
            }
            (Protocol::Echo, body) => {
                let kind = match (flow.ipv6, self.reply) {
                    (false, false) => 8,
                    (false, true) => 0,
                    (true, false) => 128,
                    (true, true) => 129,
                };
                let rest = [source.to_be_bytes(), [0, 1]].concat().try_into().expect("four bytes");
                Payload::Icmp(Icmp { kind, code: 0, checksum, rest, data: data(body.length()) })
            }
        }
    }
}

impl Body {
    const fn length(&self) -> usize {
        match self {
            Self::Data(length) | Self::Segment(_, _, _, length) => *length,
            Self::Error(_) => 0,
        }
    }
}

/// Bytes of what a packet carries, its header included.
fn length(payload: &Payload) -> usize {
    match payload {
        Payload::Udp(udp) => 8 + udp.data.len(),
        Payload::Tcp(tcp) => 20 + tcp.options.len() + tcp.data.len(),
        Payload::Icmp(icmp) => 8 + icmp.data.len(),
        Payload::Raw(_, bytes) => bytes.len(),
    }
}

/// An ICMP error about a packet.
fn error(trouble: Trouble, ipv6: bool, quoted: &[u8]) -> Payload {
    let (kind, code, rest) = match (trouble, ipv6) {
        (Trouble::TooBig, false) => (3, 4, [0, 0, 5, 0]),
        (Trouble::TooBig, true) => (2, 0, [0, 0, 5, 0]),
        (Trouble::Unreachable, false) => (3, 3, [0; 4]),
        (Trouble::Unreachable, true) => (1, 4, [0; 4]),
        (Trouble::Expired, false) => (11, 0, [0; 4]),
        (Trouble::Expired, true) => (3, 0, [0; 4]),
    };
    Payload::Icmp(Icmp { kind, code, checksum: Checksum::Right, rest, data: quoted.to_vec() })
}
