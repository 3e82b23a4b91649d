//! How a packet that a rule has refused is answered: by an ICMP error or a TCP reset (`nf_reject_ipv4.c`,
//! `nf_reject_ipv6.c`).

use std::net::IpAddr;

use fib::snapshot::{Adjacency, Hop};

use super::answer::{TO_HOST, question};
use super::icmp::{Error4, Error6};
use super::{Packet, Refusal, Walk};
use crate::chain::Family;
use crate::drops::DropReason;
use crate::flow::Track;
use crate::frame::{Checksum, Frame};
use crate::packet::{checksum, ipv4, ipv6, u16_at};
use crate::port::HOST;

const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const GRE: u8 = 47;
const ESP: u8 = 50;
const AH: u8 = 51;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// Bytes of a TCP header without options; a reset is one.
const TCP_LEN: usize = 20;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

impl Walk<'_> {
    /// Answers a packet that a rule has refused, if it may be answered.
    pub(super) fn refuse(&mut self, packet: &mut Packet, refusal: Refusal) {
        match (refusal, packet.family()) {
            (Refusal::Reset, _) => {
                let _ = self.send_reset(packet, false);
            }
            (Refusal::Unreachable(_), _) if has_wrong_checksum(packet) => {}
            (Refusal::Unreachable(code), Family::Ipv4) => {
                self.answer4(packet, DropReason::Rule, Error4::Unreachable(code));
            }
            (Refusal::Unreachable(code), _) => self.answer6(packet, Error6::Unreachable(code)),
        }
    }

    /// Answers a segment for which nobody listens here, with the TOS it bears (`tcp_v4_send_reset`).
    pub(super) fn reset(&mut self, packet: &mut Packet) {
        let _ = self.send_reset(packet, true);
    }

    /// `nf_send_reset`, `nf_send_reset6`: no answer to a reset, to groups, or to what is not sound. One of the `host`'s is
    /// tracked for itself.
    fn send_reset(&mut self, packet: &mut Packet, host: bool) -> Option<()> {
        let header = packet.header;
        let answer = Reset::to(packet)?;
        if packet.refuse_link_broadcast().is_err() {
            return None;
        }
        let to_one_host = |address: IpAddr| match address {
            IpAddr::V4(address) => !(address.is_multicast() || address.is_broadcast()),
            IpAddr::V6(address) => !(address.is_multicast() || address.is_unspecified()),
        };
        if !to_one_host(header.source) || !to_one_host(header.destination) {
            return None;
        }
        let hop = self.way_of_reset(packet)?;
        let settings = self.context.routing.namespace_settings();
        let hop_limit =
            if header.source.is_ipv4() { settings.default_ttl } else { settings.default_hop_limit };
        let mut frame = self.context.out.take()?;
        let tos = if host { header.tos } else { 0 };
        answer.write(&mut frame, header.destination, header.source, tos, hop_limit);
        if host {
            swap_completion(&mut frame);
            self.originate(frame, hop, &mut Track::Unseen);
        } else {
            // The reset belongs to the flow of the segment, as the answer to it (`nf_ct_attach`).
            self.originate(frame, hop, &mut packet.track);
        }
        Some(())
    }

    /// The way of a reset: back to the segment's source, which may be this host; then there is no hop.
    fn way_of_reset(&self, packet: &Packet) -> Option<Option<Hop>> {
        let header = &packet.header;
        if packet.input() == HOST {
            return Some(Some(TO_HOST));
        }
        if let IpAddr::V6(source) = header.source
            && source.is_unicast_link_local()
        {
            return self.link_local_way(packet.input(), source).map(Some);
        }
        let way = question(header.source, header.destination, 0, TCP);
        match self.context.routing.lookup(&way).adjacency {
            Adjacency::Forward(hop) => Some(Some(hop)),
            Adjacency::Local => Some(None),
            _ => None,
        }
    }
}

/// The numbers of a reset (`nf_reject_ip_tcphdr_put`).
pub(super) struct Reset {
    source_port: u16,
    destination_port: u16,
    sequence: u32,
    acknowledged: Option<u32>,
}

impl Reset {
    /// The reset that answers a packet, if it is a sound segment and no reset itself (`nf_reject_ip_tcphdr_get`).
    pub(super) fn to(packet: &Packet) -> Option<Self> {
        let header = &packet.header;
        let is_later = header.fragment.is_some_and(|fragment| fragment.offset != 0);
        let segment = packet.ip().get(header.transport..)?;
        if header.protocol != TCP || is_later || segment.len() < TCP_LEN || segment[13] & RST != 0 {
            return None;
        }
        if has_wrong_checksum(packet) {
            return None;
        }
        let number =
            |at: usize| u32::from_be_bytes([segment[at], segment[at + 1], segment[at + 2], segment[at + 3]]);
        let flags = segment[13];
        let header_len = u32::from(segment[12] >> 4) * 4;
        let (sequence, acknowledged) = if flags & ACK != 0 {
            (number(8), None)
        } else {
            let begins_and_ends = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
            let behind = number(4)
                .wrapping_add(begins_and_ends)
                .wrapping_add(segment.len() as u32)
                .wrapping_sub(header_len);
            (0, Some(behind))
        };
        let (source_port, destination_port) = (u16_at(segment, 2), u16_at(segment, 0));
        Some(Self { source_port, destination_port, sequence, acknowledged })
    }

    /// Makes the packet. In IPv4 its checksum is left to be finished, as Linux leaves it.
    pub(super) fn write(
        &self,
        frame: &mut Frame,
        source: IpAddr,
        destination: IpAddr,
        tos: u8,
        hop_limit: u8,
    ) {
        let mut tcp = [0; TCP_LEN];
        tcp[..2].copy_from_slice(&self.source_port.to_be_bytes());
        tcp[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
        tcp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.acknowledged.unwrap_or(0).to_be_bytes());
        tcp[12] = 5 << 4;
        tcp[13] = RST | if self.acknowledged.is_some() { ACK } else { 0 };
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                const DONT_FRAGMENT: u8 = 0x40;
                let pseudo = checksum::pseudo_header_v4(source, destination, TCP, TCP_LEN as u16);
                tcp[16..18].copy_from_slice(&pseudo.to_be_bytes());
                frame.set_len(ipv4::HEADER_MIN + TCP_LEN);
                let bytes = frame.bytes_mut();
                bytes[..ipv4::HEADER_MIN].fill(0);
                bytes[..2].copy_from_slice(&[0x45, tos]);
                bytes[3] = (ipv4::HEADER_MIN + TCP_LEN) as u8;
                bytes[6] = DONT_FRAGMENT;
                bytes[8] = hop_limit;
                bytes[9] = TCP;
                bytes[12..16].copy_from_slice(&source.octets());
                bytes[16..20].copy_from_slice(&destination.octets());
                ipv4::write_checksum(bytes);
                bytes[ipv4::HEADER_MIN..].copy_from_slice(&tcp);
                frame.checksum = Checksum::Partial { start: ipv4::HEADER_MIN as u16, offset: 16 };
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                const HEADER: usize = ipv6::HEADER_LEN;
                let pseudo = checksum::pseudo_header_v6(source, destination, TCP, TCP_LEN as u32);
                let finished = !checksum::add(pseudo, checksum::sum(&tcp));
                tcp[16..18].copy_from_slice(&finished.to_be_bytes());
                frame.set_len(HEADER + TCP_LEN);
                let bytes = frame.bytes_mut();
                bytes[..4].copy_from_slice(&[0x60 | tos >> 4, tos << 4, 0, 0]);
                bytes[4..8].copy_from_slice(&[0, TCP_LEN as u8, TCP, hop_limit]);
                bytes[8..24].copy_from_slice(&source.octets());
                bytes[24..40].copy_from_slice(&destination.octets());
                bytes[HEADER..].copy_from_slice(&tcp);
            }
            _ => unreachable!("a packet has addresses of one family"),
        }
    }
}

/// Finishes the checksum of a reset over IPv4, and leaves that of one over IPv6 to be finished: so it is with those that
/// the kernel's TCP sends, contrary to those of its rules.
fn swap_completion(frame: &mut Frame) {
    const CHECKSUM: usize = 16;
    let is_ipv4 = matches!(frame.checksum, Checksum::Partial { .. });
    let start = if is_ipv4 { ipv4::HEADER_MIN } else { ipv6::HEADER_LEN };
    let bytes = frame.bytes_mut();
    let field = start + CHECKSUM;
    if is_ipv4 {
        // What is in the field is the sum of the pseudo header.
        let finished = checksum::checksum(&bytes[start..]);
        bytes[field..field + 2].copy_from_slice(&finished.to_be_bytes());
        frame.checksum = Checksum::Unknown;
    } else {
        let (source, destination) = (ipv6::source(bytes), ipv6::destination(bytes));
        let pseudo = checksum::pseudo_header_v6(source, destination, TCP, TCP_LEN as u32);
        bytes[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
        frame.checksum = Checksum::Partial { start: start as u16, offset: CHECKSUM as u16 };
    }
}

/// Whether a packet's checksum is known to be wrong (`nf_reject_verify_csum`, `nf_ip_checksum`, `nf_ip6_checksum`). One
/// that is still to be finished is not, and protocols that do not sum up all they carry are not asked. Of all others the
/// kernel believes that they do, whatever they are; a fragment has no checksum of its own.
pub(super) fn has_wrong_checksum(packet: &Packet) -> bool {
    if packet.frame().checksum != Checksum::Unknown {
        return false;
    }
    let header = &packet.header;
    if header.fragment.is_some() {
        return true;
    }
    let Some(transport) = packet.ip().get(header.transport..) else { return true };
    match header.protocol {
        UDP if transport.get(6..8).is_none_or(|checksum| checksum == [0, 0]) => return false,
        GRE | ESP | AH | SCTP | UDP_LITE | DCCP => return false,
        _ => {}
    }
    let pseudo = match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) if matches!(header.protocol, TCP | UDP) => {
            checksum::pseudo_header_v4(source, destination, header.protocol, transport.len() as u16)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            checksum::pseudo_header_v6(source, destination, header.protocol, transport.len() as u32)
        }
        _ => 0,
    };
    checksum::add(pseudo, checksum::sum(transport)) != 0xffff
}
