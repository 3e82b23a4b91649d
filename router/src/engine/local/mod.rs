//! The ways of packets that end at this host or begin there, past the hooks for input and output, where the kernel does
//! not see to them itself: the router is its own host ([`Host::Owned`]), or the guard keeps them from the kernel. By
//! [`HOST`] they go to programs and come from them.
//!
//! What programs of an owned host send, routerd routes. What they send in a host of the kernel's, it has routed: it is taken on its way out of a port, whose tag is its source
//! address on the link, and its destination there is the next hop's. That choice stands, as it may rest on what only
//! the kernel knows (a socket bound to a device, its user, its mark), unless a hook sends the packet elsewhere.

mod own;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use fib::adjacency::Mac;
use fib::snapshot::{Adjacency, Hop};

use super::fragment::Fit;
use super::icmp::{Error4, Error6};
use super::packet::{Arrived, Departure};
use super::transmit::LinkHeader;
use super::{Disposition, Host, LinkTarget, Off, Packet, Routed, Walk};
use crate::chain::{Family, Point, Verdict};
use crate::drops::DropReason;
use crate::frame::Frame;
use crate::guard;
use crate::nat::{is_turned_back, turn_back};
use crate::packet::parse::parse;
use crate::port::{Framing, HOST, port_of, tag_of};

impl Walk<'_> {
    /// The way of a packet for this host, from routing to whoever it is for.
    pub(super) fn deliver(&mut self, packet: &mut Packet) -> Disposition {
        if packet.input() == HOST
            && self.shared.host.is_owned()
            && let Verdict::Drop(reason) = turn_back(packet, &self.context, &self.shared.flows)
        {
            return self.end(packet, reason);
        }
        match self.hooks(Point::Input, packet) {
            Ok(()) => self.arrive(packet),
            Err(off) => self.leave(packet, off),
        }
    }

    /// What becomes of a packet for this host that the hooks for input have let in.
    pub(super) fn arrive(&mut self, packet: &mut Packet) -> Disposition {
        match self.shared.host {
            Host::Kernel => self.hand_over(packet),
            Host::Owned { tun } => self.arrive_own(packet, tun),
        }
    }

    /// The way of a packet from a program of this host, from the first hook to the last.
    fn walk_from_host(&mut self, packet: &mut Packet, sent: Option<(Hop, Mac)>) -> Result<(), Off> {
        let (hop, mac) = sent.unzip();
        let destination = packet.destination();
        match hop {
            Some(hop) => packet.route = Some(Routed::to(self.describe(packet, hop))),
            None => match self.route_own(packet) {
                // A hook may know where to.
                Err(off) if self.may_be_sent_by_hook(packet) && off.is_no_route() => {}
                routed => drop(routed?),
            },
        }
        let hop = hop.or(packet.route.map(|routed| routed.hop));
        packet.departure = Some(Departure { by_program: true, destination, hop, mac });
        self.hooks(Point::Output, packet)?;
        self.walk_behind_output(packet)
    }

    /// Whether a hook for output may know where a packet of a program's goes that leads nowhere as it is: to where its flow
    /// came from, or back to this host.
    fn may_be_sent_by_hook(&self, packet: &Packet) -> bool {
        self.shared.last_hops.is_on() || is_turned_back(packet.destination())
    }

    /// The rest of the way of a packet of this host's, behind the hooks for output. It leaves as it was sent, unless one
    /// of them has sent it elsewhere; what is for this host's programs stays so.
    pub(super) fn walk_behind_output(&mut self, packet: &mut Packet) -> Result<(), Off> {
        let to_host =
            packet.departure.and_then(|departure| departure.hop).is_some_and(|hop| hop.port == HOST);
        if let Some(Routed { hop, chosen: Some(_), .. }) = packet.route
            && !to_host
        {
            self.may_leave_whole(packet, &hop)?;
            packet.departure =
                packet.departure.map(|departure| Departure { hop: Some(hop), mac: None, ..departure });
            return self.hooks(Point::Postrouting, packet);
        }
        let stands = packet.departure.is_some_and(|departure| {
            let is_unchanged =
                departure.destination == packet.destination() && packet.route.is_some() && !packet.reroute;
            departure.hop.is_some_and(|hop| hop.port == HOST || is_unchanged)
        });
        if !stands {
            let hop = Some(self.route_own(packet)?);
            packet.departure = packet.departure.map(|departure| Departure { hop, mac: None, ..departure });
        }
        self.hooks(Point::Postrouting, packet)
    }

    /// Sends a packet of this host's that has passed all hooks.
    pub(super) fn depart(&mut self, packet: &mut Packet) -> Disposition {
        let Some(Departure { by_program, hop: Some(hop), mac, .. }) = packet.departure else {
            unreachable!("the way was found behind the hooks for output")
        };
        let disposition = match mac {
            Some(mac) => {
                let port = self.shared.ports.get(hop.port);
                self.send(packet, &hop, &port, mac)
            }
            None if hop.port == HOST => self.hand_over(packet),
            None => {
                if !by_program {
                    self.cut_at_source(packet, &hop);
                }
                let chosen = packet.route.and_then(|routed| routed.chosen);
                self.transmit(packet, &Routed { chosen, ..Routed::to(hop) })
            }
        };
        match disposition {
            Disposition::Forwarded(port) if by_program => Disposition::SentForHost(port),
            other => other,
        }
    }

    /// From a frame of a program's to its end.
    pub(super) fn run_from_host(&mut self, frame: Frame) -> Disposition {
        let framing = self.context.out.framing(HOST).unwrap_or(Framing::Ethernet);
        let parsed = match parse(frame.bytes(), framing) {
            Ok(parsed) => parsed,
            Err(unfit) => return self.give_back(frame, super::unfit_disposition(unfit)),
        };
        let sent = parsed.link.and_then(|link| {
            let hop = Hop { port: port_of(link.source)?, neighbor: None, gateway: None, route_mtu: 0 };
            Some((hop, link.destination))
        });
        let mut packet = Packet::from_host(frame, parsed.network, parsed.ip);
        match self.walk_from_host(&mut packet, sent) {
            Ok(()) => self.depart(&mut packet),
            Err(off) => self.leave(&mut packet, off),
        }
    }

    /// Notes of a packet how it arrived: what becomes of it may depend on it when hooks have changed it.
    pub(super) fn note_arrival(&self, packet: &mut Packet) {
        let taken = packet.target() == LinkTarget::Host && guard::is_taken(&packet.header, packet.ip());
        packet.arrived = Some(Arrived { destination: packet.destination(), taken });
    }

    /// Whether a packet for this host is to be handed over, because the guard has kept it from the kernel: packets for
    /// other hosts always (a hook has turned this one here), of those for this one what [`guard::is_taken`] says.
    pub(super) fn is_to_hand_over(&self, packet: &Packet) -> bool {
        if packet.is_own() {
            // A hook has turned it back here.
            return self.handover;
        }
        // Of a datagram in fragments at most the first was left to the kernel, which is of no use to it.
        let whole_taken = |arrived: Arrived| arrived.taken || packet.gathered.is_some();
        packet.arrived.is_some_and(|arrived| {
            packet.target() == LinkTarget::Host
                && (arrived.destination != packet.destination() || whole_taken(arrived))
        })
    }

    /// What the routing state knows of the kernel's choice of a port: hooks may ask by which gateway it leads.
    fn describe(&self, packet: &Packet, sent: Hop) -> Hop {
        match self.look_up(packet, &packet.query()).adjacency {
            Adjacency::Forward(hop) if hop.port == sent.port => hop,
            _ => sent,
        }
    }

    /// Gives a packet to the kernel.
    pub(super) fn hand_over(&mut self, packet: &mut Packet) -> Disposition {
        let Some(framing) = self.context.out.framing(HOST) else {
            return self.end(packet, DropReason::HostAbsent);
        };
        let link = LinkHeader {
            framing,
            destination: tag_of(HOST),
            source: tag_of(packet.input()),
            family: packet.family(),
        };
        let network = packet.network_offset();
        link.write(packet.frame_mut(), network);
        self.context.out.send(HOST, packet.steal());
        Disposition::HandedOver
    }

    /// Looks up the way of a packet from this host (`ip_route_output_key`, `ip_route_me_harder` and their like). Of one
    /// that leads nowhere a program hears by an ICMP error where routing is not the kernel's, in place of the error of its
    /// system call; else nothing.
    pub(super) fn route_own(&self, packet: &mut Packet) -> Result<Hop, Off> {
        let query = packet.query();
        let hop = match self.look_up(packet, &query).adjacency {
            Adjacency::Forward(hop) => hop,
            Adjacency::Local => return Err(Off::Local),
            Adjacency::Broadcast if self.shared.host.is_owned() => return self.route_to_all(packet),
            Adjacency::Broadcast | Adjacency::Multicast => return Err(Off::Drop(DropReason::NotUnicast)),
            Adjacency::Blackhole => return Err(Off::Drop(DropReason::Blackhole)),
            Adjacency::Unreachable => {
                return Err(self.tell_program(
                    packet,
                    DropReason::Unreachable,
                    Error4::HOST,
                    Error6::NO_ROUTE,
                ));
            }
            Adjacency::Prohibit => {
                return Err(self.tell_program(
                    packet,
                    DropReason::Prohibit,
                    Error4::PROHIBITED,
                    Error6::PROHIBITED,
                ));
            }
            Adjacency::NoRoute => {
                return Err(self.tell_program(
                    packet,
                    DropReason::NoRoute,
                    Error4::NETWORK,
                    Error6::NO_ROUTE,
                ));
            }
        };
        self.may_leave_whole(packet, &hop)?;
        packet.route = Some(Routed::to(hop));
        Ok(hop)
    }

    /// The way of a packet of this host's to everybody on a link.
    fn route_to_all(&self, packet: &mut Packet) -> Result<Hop, Off> {
        let IpAddr::V4(destination) = packet.destination() else {
            return Err(Off::Drop(DropReason::NotUnicast));
        };
        let routed = self.way_to_all(destination).ok_or(Off::Drop(DropReason::NotUnicast))?;
        self.may_leave_whole(packet, &routed.hop)?;
        packet.route = Some(routed);
        Ok(routed.hop)
    }

    /// Whether a packet of this host's is small enough for its way, or may be cut.
    fn may_leave_whole(&self, packet: &Packet, hop: &Hop) -> Result<(), Off> {
        let mtu = self.mtu(hop);
        if packet.family() == Family::Ipv4 && packet.fit(mtu) == Fit::TooBig {
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            return Err(Off::Answer4(DropReason::TooBig, Error4::FragmentationNeeded { mtu }));
        }
        Ok(())
    }

    /// The end of a program's packet that leads nowhere.
    const fn tell_program(&self, packet: &Packet, reason: DropReason, error4: Error4, error6: Error6) -> Off {
        match (self.shared.host, packet.family()) {
            (Host::Kernel, _) => Off::Drop(reason),
            (_, Family::Ipv4) => Off::Answer4(reason, error4),
            (_, _) => Off::Answer6(reason, error6),
        }
    }
}
