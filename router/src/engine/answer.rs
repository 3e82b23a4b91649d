//! What the router itself sends in answer to a packet: ICMP errors and redirects, if they are due and allowed.

use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fib::adjacency::PortId;
use fib::snapshot::{Adjacency, Hop, Query};
use siphasher::sip::SipHasher13;

use super::fragment::{Geometry, MTU_MIN};
use super::icmp::{
    ANSWER4_MAX, ANSWER6_MAX, Answer4, Answer6, Error4, Error6, Sender4, Sender6, flow_label, redirect6,
};
use super::packet::Departure;
use super::{Host, Off, Packet, Routed, Walk};
use crate::chain::{Family, Point};
use crate::drops::DropReason;
use crate::flow::{CameBy, Flow, Track};
use crate::frame::Frame;
use crate::packet::options::Options;
use crate::packet::parse::parse_ip;
use crate::port::HOST;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Where an answer goes, and under which source address.
pub(super) struct Way {
    /// `None` if it is for this router itself: then it is to be a hook that sends it elsewhere, because the packet it is
    /// about has had its source translated.
    pub(super) hop: Option<Hop>,
    pub(super) source: IpAddr,
}

impl Walk<'_> {
    /// Sends an ICMPv4 error about a packet, if RFC 1812 section 4.3.2 and the limits allow one (`icmp_send`).
    pub(super) fn answer4(&mut self, packet: &mut Packet, reason: DropReason, error: Error4) {
        let IpAddr::V4(offender) = packet.source() else { return };
        if is_routing_error(reason) && !self.shared.limiter.lock().allow_route_error4(self.now_ms(), offender)
        {
            return self.context.counters.icmp_rate_limited.raise();
        }
        let options = packet.options.unwrap_or_default();
        let _ = self.send_error4(packet, &options, error);
    }

    fn send_error4(&mut self, packet: &mut Packet, options: &Options, error: Error4) -> Option<()> {
        let to_this_host = packet.refuse_link_broadcast().is_ok();
        let answer =
            Answer4::to(error, packet.ip(), options, to_this_host, |address| self.is_foreign(address));
        let answer = answer.ok()?;
        let target = answer.destination();
        let way = self.way_back(packet, IpAddr::V4(target), answer.tos(), ICMP)?;
        let IpAddr::V4(source) = way.source else { return None };
        if way.hop.is_some() && !self.shared.limiter.lock().allow_error4(self.now_ms(), target, error) {
            self.context.counters.icmp_rate_limited.raise();
            return None;
        }
        let sender = Sender4 {
            source,
            ttl: self.context.routing.namespace_settings().default_ttl,
            identification: (self.identification() >> 16) as u16,
            mtu: way.hop.map_or(ANSWER4_MAX, |hop| self.mtu(&hop)),
            time_of_day_ms: self.shared.time_of_day_ms(self.context.now),
        };
        let mut frame = self.context.out.take()?;
        frame.set_len(ANSWER4_MAX);
        match answer.write(&sender, frame.bytes_mut()) {
            Ok(len) => {
                frame.truncate(len);
                self.originate(frame, way.hop, &mut packet.track);
            }
            Err(_) => self.context.out.recycle(frame),
        }
        Some(())
    }

    /// Sends an ICMPv6 error about a packet, if RFC 4443 section 2.4 and the limits allow one (`icmp6_send`).
    pub(super) fn answer6(&mut self, packet: &mut Packet, error: Error6) {
        let _ = self.send_error6(packet, error);
    }

    fn send_error6(&mut self, packet: &mut Packet, error: Error6) -> Option<()> {
        let answer = Answer6::to(error, packet.ip(), packet.refuse_link_broadcast().is_ok()).ok()?;
        let target = answer.destination();
        let way = self.way_back(packet, IpAddr::V6(target), 0, ICMPV6)?;
        let IpAddr::V6(source) = way.source else { return None };
        if way.hop.is_some() && !self.shared.limiter.lock().allow_error6(self.now_ms(), target, error.kind())
        {
            self.context.counters.icmp_rate_limited.raise();
            return None;
        }
        let settings = self.context.routing.namespace_settings();
        let flow_label =
            if settings.auto_flow_labels { flow_label(self.shared.secret, source, target, error) } else { 0 };
        let sender = Sender6 { source, hop_limit: settings.default_hop_limit, flow_label };
        let mut frame = self.context.out.take()?;
        frame.set_len(ANSWER6_MAX);
        let len = answer.write(&sender, frame.bytes_mut());
        frame.truncate(len);
        self.originate(frame, way.hop, &mut packet.track);
        Some(())
    }

    /// Tells an IPv4 host of a shorter way (`ip_rt_send_redirect`).
    pub(super) fn redirect_ipv4(&mut self, packet: &mut Packet, routed: &Routed) {
        let (IpAddr::V4(host), IpAddr::V4(destination)) = (packet.source(), packet.destination()) else {
            return;
        };
        if !self.shared.limiter.lock().allow_redirect4(self.now_ms(), host) {
            return;
        }
        let gateway = match routed.hop.gateway {
            Some(IpAddr::V4(gateway)) => gateway,
            _ => destination,
        };
        let options = packet.options.unwrap_or_default();
        let _ = self.send_error4(packet, &options, Error4::Redirect { gateway });
    }

    /// Tells an IPv6 host of a shorter way.
    pub(super) fn redirect_ipv6(&mut self, packet: &Packet, routed: &Routed) {
        if let (IpAddr::V6(host), IpAddr::V6(destination)) = (packet.source(), packet.destination()) {
            let _ = self.send_redirect6(packet, routed, host, destination);
        }
    }

    /// `ip6_forward` up to the destination's limit, then `ndisc_send_redirect`: the target must be a neighbor by its
    /// link-local address, or the destination itself, and the host a neighbor too.
    fn send_redirect6(
        &mut self,
        packet: &Packet,
        routed: &Routed,
        host: Ipv6Addr,
        destination: Ipv6Addr,
    ) -> Option<()> {
        if !self.shared.limiter.lock().allow_redirect6_about(self.now_ms(), destination) {
            return None;
        }
        let target = match routed.hop.gateway {
            Some(IpAddr::V6(gateway)) => gateway,
            _ => destination,
        };
        let port = routed.hop.port;
        let source = self.link_local_address(port)?;
        if target != destination && !target.is_unicast_link_local() {
            return None;
        }
        let hop = self.way_to_neighbor(port, host, source)?;
        if !self.shared.limiter.lock().allow_redirect6_to(self.now_ms(), host) {
            return None;
        }
        let target_mac = routed.hop.neighbor.and_then(|id| self.shared.neighbors.get(id));
        let target_mac = target_mac.filter(|view| view.state.is_valid()).map(|view| view.mac);
        let mut frame = self.context.out.take()?;
        frame.set_len(ANSWER6_MAX);
        match redirect6(packet.ip(), target, target_mac, source, frame.bytes_mut()) {
            Ok(len) => {
                frame.truncate(len);
                self.originate(frame, Some(hop), &mut Track::Unseen);
            }
            Err(_) => self.context.out.recycle(frame),
        }
        Some(())
    }

    /// The way to a host on the link of a port; `None` if it is behind a gateway or elsewhere.
    fn way_to_neighbor(&self, port: PortId, host: Ipv6Addr, source: Ipv6Addr) -> Option<Hop> {
        if host.is_unicast_link_local() {
            return self.link_local_way(port, host);
        }
        match self.context.routing.lookup(&question(host.into(), source.into(), 0, ICMPV6)).adjacency {
            Adjacency::Forward(hop) if hop.port == port && hop.gateway.is_none() => Some(hop),
            _ => None,
        }
    }

    pub(super) fn link_local_way(&self, port: PortId, host: Ipv6Addr) -> Option<Hop> {
        let neighbor = self.shared.neighbors.find_or_create(port, IpAddr::V6(host))?;
        Some(Hop { port, neighbor: Some(neighbor), gateway: None, route_mtu: 0 })
    }

    /// Sends a packet of the router's own, from its network header on, past the hooks for such packets. It belongs to the
    /// flow of the packet that it is `about`, in the other direction.
    pub(super) fn originate(&mut self, frame: Frame, hop: Option<Hop>, about: &mut Track) {
        let header = parse_ip(frame.bytes()).expect("the router's own packets are sound");
        let mut packet = Packet::originated(frame, header);
        let lent = about.lend_to_error(&mut packet.track);
        let walked = self.walk_own(&mut packet, hop);
        // Behind the hooks it may have to wait; whom it is about needs the flow for the rest of its own way.
        if let Some(lent) = lent {
            about.take_back(lent, std::mem::take(&mut packet.track));
            if matches!(walked, Err(Off::Queued(_))) {
                packet.track = about.shared_with_error();
            }
        }
        let disposition = match walked {
            Ok(()) => self.depart(&mut packet),
            Err(off) => self.leave(&mut packet, off),
        };
        disposition.count_own(self.context.counters);
    }

    /// Has an IPv6 packet of the router's own that is too large for its way leave in fragments: nobody else may cut it.
    pub(super) fn cut_at_source(&self, packet: &mut Packet, hop: &Hop) {
        let mtu = self.mtu(hop).max(MTU_MIN);
        if packet.family() == Family::Ipv6 && packet.wire_length() > mtu {
            packet.gathered = Some(Box::new(Geometry::new([], mtu as u32, false)));
        }
    }

    /// The way of a packet of the router's own, from the first hook to the last.
    fn walk_own(&mut self, packet: &mut Packet, hop: Option<Hop>) -> Result<(), Off> {
        let destination = packet.destination();
        packet.route = hop.map(Routed::to);
        packet.departure = Some(Departure { by_program: false, destination, hop, mac: None });
        self.hooks(Point::Output, packet)?;
        self.walk_behind_output(packet)
    }

    /// The way back to the source of a packet. What is about a packet for this host comes from where that went. Of others
    /// IPv6 errors bear an address of the port of entry, IPv4 errors the one
    /// that belongs to the way back, unless `icmp_errors_use_inbound_ifaddr` says otherwise.
    pub(super) fn way_back(&self, packet: &Packet, target: IpAddr, tos: u8, protocol: u8) -> Option<Way> {
        let routing = self.context.routing;
        let input = packet.input();
        if input == HOST {
            // The kernel answers its programs from the address they sent from.
            return Some(Way { hop: Some(TO_HOST), source: target });
        }
        if let IpAddr::V6(address) = target
            && address.is_unicast_link_local()
        {
            let hop = self.link_local_way(input, address)?;
            let source = IpAddr::V6(self.link_local_address(input)?);
            return Some(Way { hop: Some(hop), source });
        }
        let query = question(target, packet.destination(), tos, protocol);
        let answer = routing.lookup(&query);
        let hop = match answer.adjacency {
            Adjacency::Forward(hop) => Some(hop),
            Adjacency::Local => None,
            Adjacency::NoRoute if self.came_by_last_hop(packet) => {
                let source = Some(packet.destination()).filter(|own| routing.is_own_address(*own));
                let source = source.or_else(|| routing.port_source_address(input, target))?;
                return Some(Way { hop: None, source });
            }
            _ => return None,
        };
        let inbound = match target {
            IpAddr::V4(_) => routing.namespace_settings().icmp_errors_use_inbound_ifaddr,
            IpAddr::V6(_) => true,
        };
        let source = if self.is_addressed(packet) {
            Some(packet.destination())
        } else if inbound {
            routing.port_source_address(input, target).or_else(|| routing.source_address(&answer, target))
        } else {
            routing.source_address(&answer, target)
        };
        Some(Way { hop, source: source? })
    }

    /// Whether an answer may find its way although routing knows none: back to where the packet's flow came from.
    fn came_by_last_hop(&self, packet: &Packet) -> bool {
        let came_by = |(flow, _): (&Flow, _)| flow.user.came_by() != CameBy::NOTHING;
        self.shared.last_hops.is_on() && packet.track.followed().is_some_and(came_by)
    }

    /// Whether a packet is for an address of this router's. Anycast addresses are the kernel's while it is the host.
    fn is_addressed(&self, packet: &Packet) -> bool {
        match self.shared.host {
            Host::Kernel => self.context.routing.is_own_address(packet.destination()),
            Host::Owned { .. } => self.is_mine(packet.destination()),
        }
    }

    /// Whether an address is neither this router's own, nor broadcast, nor multicast (`inet_addr_type`).
    pub(super) fn is_foreign(&self, address: Ipv4Addr) -> bool {
        !(address.is_multicast()
            || address.is_broadcast()
            || self.context.routing.is_own_address(IpAddr::V4(address)))
    }

    fn link_local_address(&self, port: PortId) -> Option<Ipv6Addr> {
        self.context.routing.addresses(port).iter().find_map(|address| match address.net.addr() {
            IpAddr::V6(own) if own.is_unicast_link_local() && !address.tentative => Some(own),
            _ => None,
        })
    }

    /// An identification that nobody without the router's secret can foresee, as the kernel's.
    pub(super) fn identification(&self) -> u32 {
        let counters = self.context.counters;
        let [one, other] = self.shared.secret;
        let mut hasher = SipHasher13::new_with_keys(one, other);
        hasher.write_u64(counters.icmp_sent.get());
        hasher.write_u64(counters.fragments_made.get());
        hasher.write_u64(self.context.now.nanos());
        hasher.finish() as u32
    }

    const fn now_ms(&self) -> u64 {
        self.context.now.nanos() / 1_000_000
    }
}

/// The way to the programs of this host. What an error quotes has to fit a packet of this size.
pub(super) const TO_HOST: Hop = Hop { port: HOST, neighbor: None, gateway: None, route_mtu: 1500 };

/// The question where a packet of the router's own goes.
pub(super) const fn question(destination: IpAddr, source: IpAddr, tos: u8, protocol: u8) -> Query {
    Query { destination, source, input: None, mark: 0, tos, protocol, source_port: 0, destination_port: 0 }
}

/// Whether the kernel would have found out in `ip_error`, which has a limit of its own.
const fn is_routing_error(reason: DropReason) -> bool {
    matches!(reason, DropReason::NoRoute | DropReason::Unreachable | DropReason::Prohibit)
}
