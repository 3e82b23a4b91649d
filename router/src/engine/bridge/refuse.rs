//! How a frame is answered that a rule of a bridge has refused: its sender hears from whom it was for, by the member that it
//! came in by (`nft_reject_bridge.c`).

use std::net::IpAddr;

use super::super::refuse::{Reset, has_wrong_checksum};
use super::super::{Packet, Refusal, Walk};
use super::{Disposition, Link};
use crate::bridge::Bridge;
use crate::chain::Point;
use crate::frame::{Frame, VlanTag};
use crate::packet::{checksum, ethernet, ipv4, ipv6, u16_at};

const ICMP: u8 = 1;
/// Type of ICMP destination unreachable, and of that of ICMPv6.
const UNREACHABLE4: u8 = 3;
const UNREACHABLE6: u8 = 1;
/// Bytes of an ICMP header.
const ICMP_LEN: usize = 8;
/// Bytes of what was refused that an answer quotes at most, so that it stays below 576 and 1280.
const QUOTED4_MAX: usize = 536;
const QUOTED6_MAX: usize = 1220;

impl Walk<'_> {
    /// Answers a frame that a rule has refused, if it may be answered.
    pub(super) fn refuse_bridged(&mut self, bridge: &Bridge, packet: &mut Packet, refusal: Refusal) {
        let member = packet.input();
        let Some(frame) = self.answer_to_frame(packet, refusal) else { return };
        let Ok(link) = Link::read(frame.bytes()) else { return self.context.out.recycle(frame) };
        if !self.shared.ports.is_up(member) {
            return self.context.out.recycle(frame);
        }
        let mut answer = self.bridged(bridge, frame, link).of_this_host();
        if let Disposition::Dropped(reason) = self.leave_by(bridge, &mut answer, member, Point::Output) {
            self.context.counters.drop(reason);
        }
    }

    fn answer_to_frame(&mut self, packet: &mut Packet, refusal: Refusal) -> Option<Frame> {
        let settings = self.context.routing.namespace_settings();
        let hop_limit =
            if packet.source().is_ipv4() { settings.default_ttl } else { settings.default_hop_limit };
        let mut frame = self.context.out.take()?;
        let written = match refusal {
            Refusal::Reset => write_reset(packet, hop_limit, &mut frame),
            Refusal::Unreachable(code) => write_unreachable(packet, code, hop_limit, &mut frame),
        };
        if written.is_none() {
            self.context.out.recycle(frame);
            return None;
        }
        let refused = packet.frame();
        frame.vlan = tag_of(packet);
        frame.input = refused.input;
        let header = frame.grow_front(ethernet::HEADER_LEN);
        header[..6].copy_from_slice(&refused.bytes()[6..12]);
        header[6..12].copy_from_slice(&refused.bytes()[..6]);
        header[12..].copy_from_slice(&packet.ether_type().to_be_bytes());
        Some(frame)
    }
}

/// The outermost tag of a frame.
fn tag_of(packet: &Packet) -> Option<VlanTag> {
    let bytes = packet.frame().bytes();
    let is_among_bytes = packet.network_offset() > ethernet::HEADER_LEN;
    let tag = || VlanTag { protocol: u16_at(bytes, 12), control: u16_at(bytes, 14) };
    packet.frame().vlan.or_else(|| is_among_bytes.then(tag))
}

/// Takes padding off, which is no part of any checksum.
fn trim(packet: &mut Packet) {
    let behind = packet.network_offset() + packet.header.len;
    packet.frame_mut().truncate(behind);
}

fn write_reset(packet: &mut Packet, hop_limit: u8, frame: &mut Frame) -> Option<()> {
    trim(packet);
    let (source, destination) = (packet.source(), packet.destination());
    Reset::to(packet)?.write(frame, destination, source, 0, hop_limit);
    Some(())
}

/// Destination unreachable, from whom the packet was for (`nf_reject_skb_v4_unreach`, `nf_reject_skb_v6_unreach`). As in
/// the kernel padding is quoted too, and what says so itself is not answered.
fn write_unreachable(packet: &mut Packet, code: u8, hop_limit: u8, frame: &mut Frame) -> Option<()> {
    let (header, carried) = (packet.header, packet.ip());
    let message = carried.get(header.transport..header.len)?;
    let is_later = header.fragment.is_some_and(|fragment| fragment.offset != 0);
    match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            const DONT_FRAGMENT: u8 = 0x40;
            if is_later || header.protocol == ICMP && message.first() == Some(&UNREACHABLE4) {
                return None;
            }
            let quoted = &carried[..carried.len().min(QUOTED4_MAX)];
            frame.set_len(ipv4::HEADER_MIN + ICMP_LEN + quoted.len());
            let (ip, icmp) = frame.bytes_mut().split_at_mut(ipv4::HEADER_MIN);
            write_icmp(icmp, UNREACHABLE4, code, quoted);
            let sum = checksum::checksum(icmp);
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
            let len = (ipv4::HEADER_MIN + icmp.len()) as u16;
            ip.fill(0);
            ip[0] = 0x45;
            ip[2..4].copy_from_slice(&len.to_be_bytes());
            (ip[6], ip[8], ip[9]) = (DONT_FRAGMENT, hop_limit, ICMP);
            ip[12..16].copy_from_slice(&destination.octets());
            ip[16..20].copy_from_slice(&source.octets());
            ipv4::write_checksum(ip);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            if header.protocol == ipv6::ICMPV6 && message.first() == Some(&UNREACHABLE6) {
                return None;
            }
            let quoted = &carried[..carried.len().min(QUOTED6_MAX)];
            frame.set_len(ipv6::HEADER_LEN + ICMP_LEN + quoted.len());
            let (ip, icmp) = frame.bytes_mut().split_at_mut(ipv6::HEADER_LEN);
            write_icmp(icmp, UNREACHABLE6, code, quoted);
            let pseudo = checksum::pseudo_header_v6(destination, source, ipv6::ICMPV6, icmp.len() as u32);
            let sum = !checksum::add(pseudo, checksum::sum(icmp));
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
            ip[..4].copy_from_slice(&[0x60, 0, 0, 0]);
            ip[4..6].copy_from_slice(&(icmp.len() as u16).to_be_bytes());
            ip[6..8].copy_from_slice(&[ipv6::ICMPV6, hop_limit]);
            ip[8..24].copy_from_slice(&destination.octets());
            ip[24..40].copy_from_slice(&source.octets());
        }
        _ => return None,
    }
    trim(packet);
    (!has_wrong_checksum(packet)).then_some(())
}

/// Writes a message without its checksum.
fn write_icmp(icmp: &mut [u8], kind: u8, code: u8, quoted: &[u8]) {
    icmp[..ICMP_LEN].copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
    icmp[ICMP_LEN..].copy_from_slice(quoted);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fib::adjacency::{Mac, PortId};
    use smoltcp::wire::TcpControl;

    use super::*;
    use crate::bridge::Description;
    use crate::chain::{Family, Hook, Place, Registration, Verdict, priority};
    use crate::drops::DropReason;
    use crate::engine::Context;
    use crate::packet::parse::parse_ip;
    use crate::port::memory::Parcel;
    use crate::tabletop::Tabletop;
    use crate::tabletop::frames::Ends;

    struct Refuse(Refusal);

    impl Hook for Refuse {
        fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
            packet.reject = Some(self.0);
            Verdict::Drop(DropReason::Rule)
        }
    }

    /// A bridge that refuses all it receives.
    fn bridge(refusal: Refusal) -> Tabletop {
        let described = Description::plain("br0", PortId(2), &[PortId(0), PortId(1)]);
        let table = Tabletop::bridged(&["a0", "a1"], vec![described], false);
        let place = Place::new(Family::Bridge, Point::Prerouting, "test");
        let hook = Arc::new(Refuse(refusal));
        table.hooks().register([Registration { place, priority: priority::FILTER, hook }]).unwrap();
        table
    }

    fn ends(family: u8) -> Ends {
        let mut ends = match family {
            4 => Ends::to_port(0, "10.0.0.2:1000", "10.0.0.3:53"),
            _ => Ends::to_port(0, "[fd00::2]:1000", "[fd00::3]:53"),
        };
        (ends.from, ends.to) = (Mac([2, 0, 0, 0, 7, 1]), Mac([2, 0, 0, 0, 7, 2]));
        ends
    }

    /// The one answer, which came out where the frame came in.
    fn answer(table: &mut Tabletop, parcel: impl Into<Parcel>) -> Option<Parcel> {
        let free = table.frames_available();
        table.pass(0, parcel);
        assert_eq!(table.counters().drops(DropReason::Rule), 1);
        assert!(table.take(1).is_empty());
        assert_eq!(table.frames_available(), free);
        let mut answers = table.take(0);
        assert!(answers.len() <= 1);
        answers.pop()
    }

    #[test]
    fn the_sender_hears_from_whom_it_wrote_to_that_this_is_unreachable() {
        for family in [4, 6] {
            let asked = ends(family).udp(b"question");
            let mut table = bridge(Refusal::Unreachable(4));
            let answer = answer(&mut table, &asked[..]).expect("there is an answer");
            assert_eq!((&answer.bytes[..6], &answer.bytes[6..12]), (&asked[6..12], &asked[..6]));
            let packet = &answer.bytes[14..];
            let ip = parse_ip(packet).expect("a sound packet");
            let ends = ends(family);
            assert_eq!((ip.source, ip.destination), (ends.destination.ip(), ends.source.ip()));
            let message = &packet[ip.transport..];
            assert_eq!(message[..2], [if family == 4 { 3 } else { 1 }, 4]);
            assert_eq!(message[8..], asked[14..]);
            let pseudo = match (ip.source, ip.destination) {
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    checksum::pseudo_header_v6(source, destination, 58, message.len() as u32)
                }
                _ => 0,
            };
            assert_eq!(checksum::add(pseudo, checksum::sum(message)), 0xffff);
        }
    }

    #[test]
    fn a_tag_is_given_back_with_the_answer() {
        let mut parcel = Parcel::from(&ends(4).udp(b"question")[..]);
        let tag = VlanTag { protocol: 0x8100, control: 0x6005 };
        parcel.vlan = Some(tag);
        let answer = answer(&mut bridge(Refusal::Unreachable(3)), parcel).expect("there is an answer");
        assert_eq!((answer.vlan, u16_at(&answer.bytes, 12)), (Some(tag), ethernet::IPV4));
    }

    #[test]
    fn a_segment_is_answered_by_a_reset_and_nothing_else_is() {
        for family in [4, 6] {
            let syn = ends(family).tcp(TcpControl::Syn, 7, None, b"");
            let answer = answer(&mut bridge(Refusal::Reset), &syn[..]).expect("there is an answer");
            let packet = &answer.bytes[14..];
            let ip = parse_ip(packet).expect("a sound packet");
            assert_eq!((ip.source_port, ip.destination_port), (53, 1000));
            let segment = &packet[ip.transport..];
            assert_eq!(
                (segment[13], &segment[8..12]),
                (0x14, &[0, 0, 0, 8][..]),
                "a reset that acknowledges"
            );
        }
        for silent in [ends(4).udp(b"x"), ends(6).tcp(TcpControl::Rst, 7, None, b"")] {
            assert_eq!(answer(&mut bridge(Refusal::Reset), &silent[..]), None);
        }
    }

    #[test]
    fn what_is_not_sound_is_not_answered_and_padding_is_quoted() {
        let mut wrong = ends(4).udp(b"question");
        wrong[45] ^= 1;
        assert_eq!(answer(&mut bridge(Refusal::Unreachable(3)), &wrong[..]), None);
        let mut padded = ends(4).udp(b"x");
        padded.resize(60, 0);
        let answer = answer(&mut bridge(Refusal::Unreachable(3)), &padded[..]).expect("there is an answer");
        assert_eq!(answer.bytes[14 + 28..], padded[14..]);
    }
}
