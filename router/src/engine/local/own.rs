//! What is for the router itself while it is its own host ([`Host::Owned`](crate::engine::Host)): echo requests are
//! answered here, the rest goes to the programs behind the TUN device, or is refused as a host without programs does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::icmp::{
    Error4, Error6, Sender4, Sender6, echo_reply4, echo_reply6, flow_label, is_echo_request,
};
use super::super::neighborhood::is_discovery;
use super::super::refuse::has_wrong_checksum;
use super::super::{Disposition, Packet, Walk};
use crate::chain::Family;
use crate::drops::DropReason;
use crate::flow::Track;
use crate::packet::ipv6::{self, ICMPV6};
use crate::packet::options::{self, Echo};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const UDP_LITE: u8 = 136;
/// Nothing follows (RFC 8200 section 4.7).
const NO_NEXT_HEADER: u8 = 59;

/// All hosts of a link (RFC 1112).
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

impl Walk<'_> {
    /// The way of a packet for a group or for everybody, if the router listens there.
    pub(in super::super) fn deliver_to_group(&mut self, packet: &mut Packet) -> Disposition {
        let wanted =
            self.listens_to(packet) || self.shared.discovery.answers_for_others() && is_discovery(packet);
        if wanted { self.deliver(packet) } else { self.end(packet, DropReason::NoListener) }
    }

    /// Whether the router is in a group: all hosts, everybody on a link, and in IPv6 all nodes, all routers and the groups in
    /// which its addresses are asked for (RFC 4291 section 2.8).
    fn listens_to(&self, packet: &Packet) -> bool {
        match packet.destination() {
            IpAddr::V4(address) => !address.is_multicast() || address == ALL_HOSTS,
            IpAddr::V6(address) => match address.segments() {
                [0xff01 | 0xff02, 0, 0, 0, 0, 0, 0, 1] | [0xff01 | 0xff02 | 0xff05, 0, 0, 0, 0, 0, 0, 2] => {
                    true
                }
                [0xff02, 0, 0, 0, 0, 1, 0xff00..=0xffff, _] => {
                    let addresses = self.context.routing.addresses(packet.input());
                    addresses.iter().any(|own| {
                        let of_routers =
                            own.net.prefix_len() < 127 && is_solicited_at(own.net.network(), address);
                        of_routers || is_solicited_at(own.net.addr(), address)
                    })
                }
                _ => false,
            },
        }
    }

    /// What becomes of a packet that the hooks for input have let in.
    pub(super) fn arrive_own(&mut self, packet: &mut Packet, tun: bool) -> Disposition {
        if is_discovery(packet) {
            return self.hear_of_neighbors(packet);
        }
        let is_ipv6 = packet.family() == Family::Ipv6;
        let is_icmp = packet.header.protocol == if is_ipv6 { ICMPV6 } else { ICMP };
        let is_whole = packet.header.fragment.is_none_or(|fragment| fragment.offset == 0 && !fragment.more);
        let message = packet.ip().get(packet.header.transport..).unwrap_or(&[]);
        if is_icmp && is_whole && is_echo_request(message, is_ipv6) {
            return self.answer_echo(packet);
        }
        if tun {
            return self.hand_over(packet);
        }
        if is_icmp {
            // Errors and replies: nobody here has asked for any.
            self.context.out.recycle(packet.steal());
            return Disposition::Local;
        }
        self.refuse_own(packet);
        self.end(packet, DropReason::NoListener)
    }

    /// Says that nobody listens: a reset to TCP, port unreachable to UDP, and that a protocol is not known
    /// (`tcp_v4_send_reset`, `__udp4_lib_rcv`, `ip_protocol_deliver_rcu` and their like).
    fn refuse_own(&mut self, packet: &mut Packet) {
        let protocol = packet.header.protocol;
        match (protocol, packet.family()) {
            (TCP, _) => self.reset(packet),
            (UDP | UDP_LITE, _) if has_wrong_checksum(packet) => {}
            (UDP | UDP_LITE, Family::Ipv4) => self.answer4(packet, DropReason::NoListener, Error4::PORT),
            (UDP | UDP_LITE, _) => self.answer6(packet, Error6::PORT),
            (NO_NEXT_HEADER, Family::Ipv6) => {}
            (_, Family::Ipv4) => self.answer4(packet, DropReason::NoListener, Error4::PROTOCOL),
            (_, _) => {
                let pointer = next_header_at(packet) as u32;
                self.answer6(packet, Error6::ParameterProblem { code: 1, pointer });
            }
        }
    }

    /// Answers an echo request. One to many is not answered in IPv4 (`icmp_echo_ignore_broadcasts`).
    fn answer_echo(&mut self, packet: &mut Packet) -> Disposition {
        if has_wrong_checksum(packet) {
            return self.end(packet, DropReason::HeaderMalformed);
        }
        let answered = match packet.family() {
            Family::Ipv4 => self.answer_echo4(packet),
            _ => self.answer_echo6(packet),
        };
        self.context.out.recycle(packet.steal());
        self.context.counters.echo_replies.add(answered.is_some().into());
        Disposition::Local
    }

    fn answer_echo4(&mut self, packet: &mut Packet) -> Option<()> {
        let IpAddr::V4(own) = packet.destination() else { return None };
        if packet.refuse_link_broadcast().is_err() || !self.context.routing.is_own_address(own.into()) {
            return None;
        }
        let options = self.options_turned_round(packet)?;
        let target = options.first_hop.map_or_else(|| packet.source(), IpAddr::V4);
        let way = self.way_back(packet, target, packet.header.tos, ICMP)?;
        let sender = Sender4 {
            source: own,
            ttl: self.context.routing.namespace_settings().default_ttl,
            identification: (self.identification() >> 16) as u16,
            mtu: 0,
            time_of_day_ms: self.shared.time_of_day_ms(self.context.now),
        };
        let mut frame = self.context.out.take()?;
        frame.set_len(packet.ip().len() + options::OPTIONS_MAX);
        let len = echo_reply4(packet.ip(), packet.header.transport, &options, &sender, frame.bytes_mut());
        frame.truncate(len);
        self.originate(frame, way.hop, &mut Track::Unseen);
        Some(())
    }

    fn answer_echo6(&mut self, packet: &mut Packet) -> Option<()> {
        let (IpAddr::V6(asker), IpAddr::V6(asked)) = (packet.source(), packet.destination()) else {
            return None;
        };
        if asker.is_unspecified() || asker.is_multicast() {
            return None;
        }
        let way = self.way_back(packet, asker.into(), packet.header.tos, ICMPV6)?;
        let source = if asked.is_multicast() { way.source } else { asked.into() };
        let IpAddr::V6(source) = source else { return None };
        let settings = self.context.routing.namespace_settings();
        let label = flow_label(self.shared.secret, source, asker, Error6::Unreachable(0));
        let flow_label = if settings.auto_flow_labels { label } else { 0 };
        let sender = Sender6 { source, hop_limit: settings.default_hop_limit, flow_label };
        let mut frame = self.context.out.take()?;
        frame.set_len(packet.ip().len());
        let len = echo_reply6(packet.ip(), packet.header.transport, &sender, frame.bytes_mut());
        frame.truncate(len);
        self.originate(frame, way.hop, &mut Track::Unseen);
        Some(())
    }

    /// The options of an answer to a packet for this host (`ip_options_echo`); `None` if they are wrong, which is told.
    fn options_turned_round(&mut self, packet: &mut Packet) -> Option<Echo> {
        if !packet.header.has_options {
            return Some(Echo::EMPTY);
        }
        match self.read_options(packet) {
            Ok(read) => {
                packet.options = Some(read);
                Echo::of(&read, packet.ip(), |address| self.is_foreign(address)).ok()
            }
            Err(malformed) => {
                packet.options = Some(malformed.options);
                let error = Error4::ParameterProblem { pointer: malformed.pointer };
                self.answer4(packet, DropReason::OptionsMalformed, error);
                None
            }
        }
    }
}

/// Whether `group` is where the owner of an address is asked for its link address (RFC 4291 section 2.7.1).
fn is_solicited_at(address: IpAddr, group: Ipv6Addr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    address.octets()[13..] == group.octets()[13..]
}

/// Where the number of the protocol stands that the headers of a sound IPv6 packet end in.
fn next_header_at(packet: &Packet) -> usize {
    const FIXED: usize = 6;
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    let (bytes, transport) = (packet.ip(), packet.header.transport);
    let (mut at, mut place) = (FIXED, ipv6::HEADER_LEN);
    while place < transport {
        let Some(&[_, length]) = bytes.get(place..).and_then(<[u8]>::first_chunk) else { break };
        let len = match bytes[at] {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        at = place;
        place += len;
    }
    at
}
