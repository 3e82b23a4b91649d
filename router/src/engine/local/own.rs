//! What is for the router itself while it is its own host ([`Host::Owned`](crate::engine::Host)): echo requests are
//! answered here, the rest goes to the programs behind the TUN device, or is refused as a host without programs does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fib::snapshot::Adjacency;

use super::super::answer::question;
use super::super::icmp::{
    Error4, Error6, Sender4, Sender6, echo_reply4, echo_reply6, flow_label, is_echo_request,
};
use super::super::neighborhood::is_discovery;
use super::super::refuse::has_wrong_checksum;
use super::super::{Disposition, Off, Packet, Walk};
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

    /// Whether an address is this router's alone, an anycast one included, and not everybody's.
    pub(in super::super) fn is_mine(&self, address: IpAddr) -> bool {
        let routing = self.context.routing;
        let asked = question(address, address, 0, 0);
        routing.is_own_address(address) || matches!(routing.lookup(&asked).adjacency, Adjacency::Local)
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
        if self.is_mine(packet.destination()) {
            if let Err(off) = self.read_headers(packet) {
                return self.leave(packet, off);
            }
            self.refuse_own(packet);
        }
        self.end(packet, DropReason::NoListener)
    }

    /// Obeys options and extension headers that are for the end of the way: IPv4 options are entered, so that an answer can
    /// turn them round; a routing header that leads on is refused (RFC 5095; `ipv6_rthdr_rcv`).
    fn read_headers(&self, packet: &mut Packet) -> Result<(), Off> {
        if packet.family() == Family::Ipv6 {
            return match routing_header_leading_on(packet) {
                Some(at) => {
                    let error = Error6::ParameterProblem { code: 0, pointer: at as u32 + 2 };
                    Err(Off::Answer6(DropReason::SourceRoute, error))
                }
                None => Ok(()),
            };
        }
        if packet.header.has_options && packet.options.is_none() {
            let read = self.read_options(packet).map_err(|malformed| {
                packet.options = Some(malformed.options);
                let error = Error4::ParameterProblem { pointer: malformed.pointer };
                Off::Answer4(DropReason::OptionsMalformed, error)
            })?;
            packet.options = Some(read);
        }
        Ok(())
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
        if let Err(off) = self.read_headers(packet) {
            // The packet itself is ended by whoever has asked.
            if let Off::Answer4(reason, error) = off {
                self.answer4(packet, reason, error);
            }
            return None;
        }
        let read = packet.options.unwrap_or_default();
        let options = Echo::of(&read, packet.ip(), |address| self.is_foreign(address)).ok()?;
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
        let routing = self.context.routing;
        let source = if routing.is_own_address(asked.into()) {
            asked
        } else {
            match routing.port_source_address(packet.input(), asker.into()) {
                Some(IpAddr::V6(source)) => source,
                _ => return None,
            }
        };
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
}

/// Whether `group` is where the owner of an address is asked for its link address (RFC 4291 section 2.7.1).
fn is_solicited_at(address: IpAddr, group: Ipv6Addr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    address.octets()[13..] == group.octets()[13..]
}

/// Where a routing header begins that has not led to its end, among those of a sound IPv6 packet.
fn routing_header_leading_on(packet: &Packet) -> Option<usize> {
    const ROUTING: u8 = 43;
    let bytes = packet.ip();
    ipv6::extension_headers(bytes, packet.header.transport).find_map(|(kind, at)| {
        let left = *bytes.get(at + 3)?;
        (kind == ROUTING && left > 0).then_some(at)
    })
}

/// Where the number of the protocol stands that the headers of a sound IPv6 packet end in.
fn next_header_at(packet: &Packet) -> usize {
    const FIXED: usize = 6;
    ipv6::extension_headers(packet.ip(), packet.header.transport).last().map_or(FIXED, |(_, at)| at)
}
