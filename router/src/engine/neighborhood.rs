//! ARP and neighbor discovery of a router that is its own host, between the ports and whoever keeps its neighbors
//! ([`crate::host::neighborhood`], on the control thread): what is heard passes the hooks for input first, what is said
//! those for output, and in IPv6 those behind routing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use fib::adjacency::PortId;
use fib::snapshot::{Adjacency, Hop, Query, Snapshot};
use tokio::sync::mpsc::Sender;

use super::{Disposition, LinkTarget, Packet, Routed, Walk};
use crate::chain::{Family, Point};
use crate::drops::DropReason;
use crate::frame::Frame;
use crate::packet::ethernet;
use crate::packet::ipv6::ICMPV6;
use crate::packet::parse::{Ip, parse};
use crate::port::Framing;

/// A message that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// By which port.
    pub port: PortId,
    /// The frame, from its Ethernet header on.
    pub frame: Box<[u8]>,
}

/// Who hears of messages about neighbors; nobody until [`Self::listen`].
#[derive(Debug, Default)]
pub struct Discovery {
    listener: OnceLock<Sender<Heard>>,
    answers_for_others: AtomicBool,
}

impl Discovery {
    /// From now on messages go there; those that find it full are dropped and counted.
    ///
    /// # Panics
    /// If somebody listens already.
    pub fn listen(&self, listener: Sender<Heard>) {
        assert!(self.listener.set(listener).is_ok(), "there is one who listens");
    }

    /// Says whether the router answers solicitations for other hosts, and so wants to hear them.
    pub fn set_answers_for_others(&self, answers: bool) {
        self.answers_for_others.store(answers, Ordering::Relaxed);
    }

    /// Whether solicitations for other hosts are wanted.
    #[must_use]
    pub fn answers_for_others(&self) -> bool {
        self.answers_for_others.load(Ordering::Relaxed)
    }

    /// Passes on a copy of a frame. False if there is no room, or nobody listens.
    fn tell(&self, port: PortId, frame: &[u8]) -> bool {
        let permit = self.listener.get().and_then(|listener| listener.try_reserve().ok());
        permit.map(|permit| permit.send(Heard { port, frame: frame.into() })).is_some()
    }
}

/// By which port an address is reached, for one who asks for it on the port `input`; `None` if by none.
#[must_use]
pub fn routed_by(routing: &Snapshot, input: PortId, destination: IpAddr) -> Option<PortId> {
    let source = match destination {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let query = Query {
        destination,
        source,
        input: Some(input),
        mark: 0,
        tos: 0,
        protocol: 0,
        source_port: 0,
        destination_port: 0,
    };
    match routing.lookup(&query).adjacency {
        Adjacency::Forward(hop) => Some(hop.port),
        _ => None,
    }
}

/// Whether a packet is a router or neighbor solicitation or advertisement, or a redirect.
pub(super) fn is_discovery(packet: &Packet) -> bool {
    const TYPES: std::ops::RangeInclusive<u8> = 133..=137;
    packet.family() == Family::Ipv6
        && packet.header.protocol == ICMPV6
        && packet.header.fragment.is_none()
        && packet.ip().get(packet.header.transport).is_some_and(|kind| TYPES.contains(kind))
}

fn arp(frame: Frame, network: usize, target: LinkTarget) -> Packet {
    Packet::of_link(frame, network, target, Family::Arp, Ip::NONE)
}

impl Walk<'_> {
    /// From an ARP frame for this port or for many to its end.
    pub(super) fn receive_arp(&mut self, frame: Frame, target: LinkTarget) -> Disposition {
        let network = ethernet::Header::read(frame.bytes()).map_or(0, |header| header.len);
        let mut packet = arp(frame, network, target);
        match self.hooks(Point::Input, &mut packet) {
            Ok(()) => self.hear_of_neighbors(&mut packet),
            Err(off) => self.leave(&mut packet, off),
        }
    }

    /// Hands a message that the hooks for input have let in to whoever keeps the neighbors.
    pub(super) fn hear_of_neighbors(&mut self, packet: &mut Packet) -> Disposition {
        if !self.shared.discovery.tell(packet.input(), packet.frame().bytes()) {
            return self.end(packet, DropReason::DiscoveryQueueFull);
        }
        self.context.counters.discovery_heard.raise();
        self.context.out.recycle(packet.steal());
        Disposition::Local
    }

    /// From a message of the router's own, with its Ethernet header, to its end: sent by this port, if the hooks let it.
    pub(super) fn say(&mut self, port: PortId, message: &[u8]) -> Disposition {
        let Some(mut frame) = self.context.out.take() else {
            return Disposition::Dropped(DropReason::NoFrame);
        };
        frame.copy_from(message);
        let mut packet = match parse(message, Framing::Ethernet) {
            Ok(parsed) => Packet::from_host(frame, parsed.network, parsed.ip),
            Err(_) => arp(frame, ethernet::HEADER_LEN, LinkTarget::Host).of_this_host(),
        };
        let hop = Hop { port, neighbor: None, gateway: None, route_mtu: 0 };
        packet.route = Some(Routed { hop, redirect: false, chosen: None });
        match self.hooks(Point::Output, &mut packet) {
            Ok(()) => self.say_behind_output(&mut packet),
            Err(off) => self.leave(&mut packet, off),
        }
    }

    /// The rest of a message's way, behind the hooks for output; ARP has no others.
    pub(super) fn say_behind_output(&mut self, packet: &mut Packet) -> Disposition {
        if packet.family() != Family::Arp
            && let Err(off) = self.hooks(Point::Postrouting, packet)
        {
            return self.leave(packet, off);
        }
        self.say_behind_hooks(packet)
    }

    /// Sends a message by the port that it was made for.
    pub(super) fn say_behind_hooks(&mut self, packet: &mut Packet) -> Disposition {
        let Some(Routed { hop, .. }) = packet.route else {
            return self.end(packet, DropReason::PortDown);
        };
        self.context.counters.discovery_sent.raise();
        match self.emit(hop.port, packet.steal()) {
            Disposition::Forwarded(port) => Disposition::SentForHost(port),
            other => other,
        }
    }
}
