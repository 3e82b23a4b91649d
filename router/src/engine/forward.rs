//! Whether a packet may go on, and what forwarding does to it (RFC 1812 section 5.2, RFC 8200; the kernel's
//! `ip_forward` and `ip6_forward`).

use std::net::{IpAddr, Ipv4Addr};

use fib::snapshot::{Hop, Query};

use super::fragment::{Fit, MTU_MIN};
use super::icmp::{Error4, Error6};
use super::route::Fate;
use super::{LinkTarget, Off, Packet, Routed, Walk};
use crate::chain::Family;
use crate::drops::DropReason;
use crate::packet::options::{self, Malformed, Options, Surroundings};
use crate::packet::{ipv4, ipv6};

impl Walk<'_> {
    /// Reads IPv4 options and enters this router into them (`ip_rcv_options`), then follows what routing has found
    /// (`dst_input`): what is wrong with the options is told before there is no route.
    pub(super) fn take_options(&self, packet: &mut Packet, fate: Fate) -> Result<Routed, Off> {
        if packet.family() != Family::Ipv4 || !packet.header.has_options {
            return fate.followed();
        }
        let may_name_way = self.context.routing.link_settings(packet.input()).accept_source_route;
        if fate.is_local() && !may_name_way {
            // Whoever takes what is for this host reads its options. No way is named to it.
            return if self.shared.host.is_owned() && self.names_way(packet) {
                Err(Off::Drop(DropReason::SourceRoute))
            } else {
                fate.followed()
            };
        }
        let options = match self.read_options(packet) {
            Ok(options) => options,
            Err(_) if fate.is_local() => return fate.followed(),
            Err(malformed) => {
                packet.options = Some(malformed.options);
                let error = Error4::ParameterProblem { pointer: malformed.pointer };
                return Err(Off::Answer4(DropReason::OptionsMalformed, error));
            }
        };
        packet.options = Some(options);
        if !options.has_source_route() {
            return fate.followed();
        }
        match fate {
            _ if !may_name_way => Err(Off::Drop(DropReason::SourceRoute)),
            Fate::Forward(_) if options.is_strict() => {
                let error = Error4::ParameterProblem { pointer: DESTINATION_OFFSET };
                Err(Off::Answer4(DropReason::SourceRoute, error))
            }
            Fate::Forward(routed) => Ok(routed),
            Fate::End(Off::Local) => self.follow_source_route(packet, options),
            Fate::End(_) => Err(Off::Drop(DropReason::SourceRoute)),
        }
    }

    /// Whether a packet's options name a way; it stays as it is.
    fn names_way(&self, packet: &Packet) -> bool {
        const HEADER_MAX: usize = 60;
        let mut copy = [0; HEADER_MAX];
        let header = &packet.ip()[..ipv4::header_len(packet.ip()).min(HEADER_MAX)];
        copy[..header.len()].copy_from_slice(header);
        let surroundings = Around { walk: self, source: packet.source(), input: packet.input() };
        options::compile(&mut copy[..header.len()], &surroundings).is_ok_and(|read| read.has_source_route())
    }

    /// Reads a packet's IPv4 options and enters this router where they ask for it.
    pub(super) fn read_options(&self, packet: &mut Packet) -> Result<Options, Malformed> {
        let surroundings = Around { walk: self, source: packet.source(), input: packet.input() };
        options::compile(packet.ip_mut(), &surroundings)
    }

    /// The way of a packet for this router that names others after it (`ip_options_rcv_srr`). What names none, or
    /// wrongly, is the kernel's. The way is this packet's alone: its flow does not keep it.
    fn follow_source_route(&self, packet: &mut Packet, mut options: Options) -> Result<Routed, Off> {
        let to_this_router = self.context.routing.is_own_address(packet.destination());
        if !to_this_router || packet.target() != LinkTarget::Host {
            return Err(Off::Local);
        }
        let named = options.named_hops(packet.ip());
        let mut others = named.filter(|hop| !self.context.routing.is_own_address((*hop).into()));
        let Some(next_hop) = others.next() else {
            drop(others);
            if let Some(last) = options.named_hops(packet.ip()).last() {
                // It has been at all of them, and is for the last one (the fast loop of `ip_options_rcv_srr`).
                packet.ip_mut()[16..20].copy_from_slice(&last.octets());
                ipv4::write_checksum(packet.ip_mut());
                packet.header.destination = last.into();
            }
            return Err(Off::Local);
        };
        drop(others);
        let query = Query { destination: next_hop.into(), ..packet.query() };
        match self.judge_ipv4(packet, query) {
            Ok(Fate::Forward(routed)) => {
                options.set_next_hop(next_hop);
                packet.options = Some(options);
                packet.learned = None;
                Ok(Routed { redirect: false, ..routed })
            }
            _ => Err(Off::Drop(DropReason::SourceRoute)),
        }
    }

    /// What forwarding asks of a packet and does to it.
    pub(super) fn forward(&mut self, packet: &mut Packet, routed: &Routed) -> Result<(), Off> {
        packet.refuse_link_broadcast()?;
        match packet.family() {
            Family::Ipv4 => self.forward_ipv4(packet, routed),
            _ => self.forward_ipv6(packet, routed),
        }
    }

    /// The steps of `ip_forward` (`net/ipv4/ip_forward.c`).
    fn forward_ipv4(&mut self, packet: &mut Packet, routed: &Routed) -> Result<(), Off> {
        if packet.header.ttl <= 1 {
            return Err(Off::Answer4(DropReason::TtlExceeded, Error4::TimeExceeded));
        }
        let options = packet.options.unwrap_or_default();
        if options.is_strict() && routed.hop.gateway.is_some() {
            return Err(Off::Answer4(DropReason::SourceRoute, Error4::SOURCE_ROUTE_FAILED));
        }
        let mtu = self.mtu(&routed.hop);
        if packet.fit(mtu) == Fit::TooBig {
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            return Err(Off::Answer4(DropReason::TooBig, Error4::FragmentationNeeded { mtu }));
        }
        packet.lower_ttl();
        packet.priority = ipv4::priority_of_tos(packet.header.tos);
        if routed.redirect && !options.has_source_route() {
            self.redirect_ipv4(packet, routed);
        }
        Ok(())
    }

    /// The steps of `ip6_forward` (`net/ipv6/ip6_output.c`). The MTU of a route is looked at on the way out only.
    fn forward_ipv6(&mut self, packet: &mut Packet, routed: &Routed) -> Result<(), Off> {
        if packet.header.ttl <= 1 {
            return Err(Off::Answer6(DropReason::TtlExceeded, Error6::TimeExceeded));
        }
        if routed.redirect {
            self.redirect_ipv6(packet, routed);
        } else {
            may_leave_its_link(packet)?;
        }
        let mtu = self.shared.ports.get(routed.hop.port).mtu as usize;
        if packet.fit(mtu.max(MTU_MIN)) == Fit::TooBig {
            return Err(too_big_ipv6(mtu));
        }
        packet.lower_ttl();
        Ok(())
    }

    /// Enters the address of the way out into IPv4 options (`ip_forward_options`).
    pub(super) fn finish_options(&self, packet: &mut Packet) {
        let Some(mut options) = packet.options.take() else { return };
        if let Some(next_hop) = options.next_hop() {
            packet.header.destination = next_hop.into();
        }
        let answer = self.context.routing.lookup(&packet.query());
        let egress = self.context.routing.source_address(&answer, packet.destination());
        let egress = match egress {
            Some(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        options.finish(packet.ip_mut(), egress);
        packet.options = Some(options);
    }

    /// Bytes that fit into one packet on a way (`ip_dst_mtu_maybe_forward`, `ip6_dst_mtu_maybe_forward`).
    pub(super) fn mtu(&self, hop: &Hop) -> usize {
        match hop.route_mtu {
            0 => self.shared.ports.get(hop.port).mtu as usize,
            route => route as usize,
        }
    }
}

/// Whether the source of a packet for another link reaches that far.
fn may_leave_its_link(packet: &Packet) -> Result<(), Off> {
    let IpAddr::V6(source) = packet.source() else { return Ok(()) };
    match ipv6::sort_source(source) {
        ipv6::Source::Global => Ok(()),
        ipv6::Source::Unspecified => Err(Off::Drop(DropReason::Martian)),
        ipv6::Source::LinkLocal => Err(Off::Answer6(DropReason::LinkLocal, Error6::BEYOND_SCOPE)),
    }
}

/// The end of an IPv6 packet that does not fit; no link is said to take less than 1280 bytes (RFC 8200 section 5).
pub(super) fn too_big_ipv6(mtu: usize) -> Off {
    let mtu = u32::try_from(mtu.max(MTU_MIN)).unwrap_or(u32::MAX);
    Off::Answer6(DropReason::TooBig, Error6::PacketTooBig { mtu })
}

/// Offset of the destination address in an IPv4 header.
const DESTINATION_OFFSET: u8 = 16;

/// What IPv4 options may ask.
struct Around<'a, 'b> {
    walk: &'a Walk<'b>,
    source: IpAddr,
    input: fib::adjacency::PortId,
}

impl Surroundings for Around<'_, '_> {
    fn receiving_address(&self) -> Ipv4Addr {
        match self.walk.context.routing.port_source_address(self.input, self.source) {
            Some(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::UNSPECIFIED,
        }
    }

    fn time_of_day_ms(&self) -> u32 {
        self.walk.shared.time_of_day_ms(self.walk.context.now)
    }

    fn is_foreign(&self, address: Ipv4Addr) -> bool {
        self.walk.is_foreign(address)
    }
}
