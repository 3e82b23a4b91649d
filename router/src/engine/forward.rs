//! Whether a packet may go on, and what forwarding does to it (RFC 1812 section 5.2, RFC 8200; the kernel's
//! `ip_forward` and `ip6_forward`).

use std::net::{IpAddr, Ipv4Addr};

use fib::snapshot::Hop;

use super::fragment::{Fit, MTU_MIN};
use super::icmp::{Error4, Error6};
use super::{Off, Packet, Routed, Walk};
use crate::chain::Family;
use crate::drops::DropReason;
use crate::packet::options::{self, Surroundings};
use crate::packet::{ipv4, ipv6};

impl Walk<'_> {
    /// Reads IPv4 options and enters this router into them (`ip_rcv_options`).
    pub(super) fn take_options(&self, packet: &mut Packet) -> Result<(), Off> {
        if packet.family() != Family::Ipv4 || !packet.header.has_options {
            return Ok(());
        }
        let surroundings = Around { walk: self, source: packet.source(), input: packet.input() };
        match options::compile(packet.ip_mut(), &surroundings) {
            Ok(options) => packet.options = Some(options),
            Err(malformed) => {
                packet.options = Some(malformed.options);
                let error = Error4::ParameterProblem { pointer: malformed.pointer };
                return Err(Off::Answer4(DropReason::OptionsMalformed, error));
            }
        }
        let options = packet.options.as_ref().expect("just read");
        if options.has_source_route() {
            if !self.context.routing.link_settings(packet.input()).accept_source_route {
                return Err(Off::Drop(DropReason::SourceRoute));
            }
            if options.is_strict() {
                let error = Error4::ParameterProblem { pointer: DESTINATION_OFFSET };
                return Err(Off::Answer4(DropReason::SourceRoute, error));
            }
        }
        Ok(())
    }

    /// The checks of forwarding in the kernel's order: hop limit, address scopes, size.
    pub(super) fn may_pass(&self, packet: &Packet, routed: &Routed) -> Result<(), Off> {
        if packet.header.ttl <= 1 {
            return Err(match packet.family() {
                Family::Ipv4 => Off::Answer4(DropReason::TtlExceeded, Error4::TimeExceeded),
                _ => Off::Answer6(DropReason::TtlExceeded, Error6::TimeExceeded),
            });
        }
        if let IpAddr::V6(source) = packet.source()
            && routed.hop.port != packet.input()
        {
            match ipv6::sort_source(source) {
                ipv6::Source::Global => {}
                ipv6::Source::Unspecified => return Err(Off::Drop(DropReason::Martian)),
                ipv6::Source::LinkLocal => {
                    return Err(Off::Answer6(DropReason::LinkLocal, Error6::BEYOND_SCOPE));
                }
            }
        }
        let mtu = self.mtu(&routed.hop);
        if packet.fit(mtu) == Fit::TooBig {
            return Err(match packet.family() {
                Family::Ipv4 => {
                    let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
                    Off::Answer4(DropReason::TooBig, Error4::FragmentationNeeded { mtu })
                }
                _ => {
                    let mtu = u32::try_from(mtu.max(MTU_MIN)).unwrap_or(u32::MAX);
                    Off::Answer6(DropReason::TooBig, Error6::PacketTooBig { mtu })
                }
            });
        }
        Ok(())
    }

    /// Takes one off the TTL or hop limit.
    pub(super) fn lower_ttl(packet: &mut Packet) {
        match packet.family() {
            Family::Ipv4 => ipv4::decrease_ttl(packet.ip_mut()),
            _ => ipv6::decrease_hop_limit(packet.ip_mut()),
        }
        packet.header.ttl -= 1;
    }

    /// Enters the address of the way out into IPv4 options (`ip_forward_options`).
    pub(super) fn finish_options(&self, packet: &mut Packet) {
        let Some(mut options) = packet.options.take() else { return };
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
