//! A packet on its walk: its frame, what the headers say, and what the steps have found out so far.

use std::net::{IpAddr, Ipv6Addr};

use conntrack::Zone;
use fib::adjacency::{Mac, PortId};
use fib::cache::{Renewal, Trust};
use fib::snapshot::{Hop, Query};

use super::fragment::{Fit, Geometry, fit4, fit6};
use super::{Learned, Off, Routed};
use crate::chain::Family;
use crate::drops::DropReason;
use crate::flow::{Kept, Track};
use crate::frame::{Checksum, Frame};
use crate::packet::options::Options;
use crate::packet::parse::{Ip, ports};
use crate::packet::{ethernet, ipv4, ipv6, u16_at};
use crate::verdict::Passing;

/// Whom the frame was for on its link (`skb->pkt_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// This router's port.
    Host,
    /// Everybody, or a group.
    Many,
    /// Another host: a bridge takes such frames too.
    Other,
}

/// How a packet for this router arrived, noted while such packets are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Where it went before any hook changed that.
    pub(super) destination: IpAddr,
    /// Whether the guard takes packets like it from the kernel if they are for the router itself.
    pub(super) taken: bool,
}

/// How a packet of this host's is to leave, unless a hook sends it elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    /// Whether a program has sent it; else it is the router's own.
    pub(super) by_program: bool,
    /// Where it went when that was decided.
    pub(super) destination: IpAddr,
    /// The way; `None` if it is to be found behind the hooks for output.
    pub(super) hop: Option<Hop>,
    /// The next hop's link address, if the kernel has chosen it.
    pub(super) mac: Option<Mac>,
}

/// What a packet's flow remembers of the way.
#[derive(Clone, Copy, Debug)]
pub struct Recalled {
    /// What it keeps.
    pub kept: Kept,
    /// How far that is trusted.
    pub trust: Trust,
}

/// A way that is no longer trusted.
#[derive(Clone, Copy, Debug)]
pub struct Stale {
    /// The way.
    pub hop: Hop,
    /// Why.
    pub renewal: Renewal,
}

/// How a packet that a rule has refused is answered (`nf_reject_ipv4.c`, `nf_reject_ipv6.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// By an ICMP or ICMPv6 error, destination unreachable with this code.
    Unreachable(u8),
    /// By a TCP reset.
    Reset,
}

/// A packet on its walk.
#[derive(Debug)]
pub struct Packet {
    frame: Frame,
    network: usize,
    target: LinkTarget,
    own: bool,
    family: Family,
    /// Set while packets for the router itself are handed over.
    pub(super) arrived: Option<Arrived>,
    /// What the IP headers say; [`Ip::NONE`] if there are none. A hook that changes addresses or ports of the frame
    /// changes them here too.
    pub header: Ip,
    /// Packet mark (`meta mark`).
    pub mark: u32,
    /// Zone to be tracked in (`ct zone`); it means something before tracking only.
    pub zone: Zone,
    /// Traffic class (`meta priority`); while it is forwarded, what its TOS says.
    pub priority: u32,
    /// Whom the frame was for as a rule has set it (`meta pkttype`), as `PACKET_HOST` and its like.
    pub packet_type: Option<u8>,
    /// Its way through the rules is told.
    pub trace: bool,
    /// A hook that drops it wants it answered.
    pub reject: Option<Refusal>,
    /// What tracking said. A rule that sets [`Track::Untracked`] before tracking keeps it off (`notrack`).
    pub track: Track,
    /// The way it will take, once known. A hook before routing may set it.
    pub route: Option<Routed>,
    /// Set when the routing state was asked for this packet; a flow may keep it.
    pub learned: Option<Learned>,
    /// What its flow remembers of the way; routing judges whether it still holds. `None`: nobody has looked.
    pub recalled: Option<Recalled>,
    /// The way its flow took before, no longer trusted; kept if it is still among several equal ones.
    pub stale: Option<Stale>,
    /// What its flow remembers of the rules.
    pub(crate) passing: Passing,
    /// A rule at output has changed what its way depends on: it is routed anew behind the hooks there, which are told of the
    /// way it had until then.
    pub reroute: bool,
    /// A bridge is to hand the frame up to the router, whomever it is for (`meta broute`).
    pub pull_up: bool,
    /// The port by which a bridge wants the packet to leave that it has pulled up, unless a hook chooses a way.
    pub(super) leave_by: Option<PortId>,
    /// IPv4 options, once read.
    pub options: Option<Options>,
    /// How it leaves, if it began at this host.
    pub(super) departure: Option<Departure>,
    /// The port by which a hook has sent it on.
    pub(super) sent_by: Option<PortId>,
    /// How it was cut when it arrived, if it was put together from fragments.
    pub gathered: Option<Box<Geometry>>,
}

impl Packet {
    /// An IP packet whose network header is `network` bytes into its frame.
    #[must_use]
    pub fn new(mut frame: Frame, network: usize, target: LinkTarget, header: Ip) -> Self {
        frame.truncate(network + header.len);
        let family = match header.source {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        };
        Self::of_link(frame, network, target, family, header)
    }

    /// A frame for hooks of this family; what follows its link header is `network` bytes into it. Nothing is cut off.
    /// `header` is what the IP headers in it say, [`Ip::NONE`] if there are none or they are not sound.
    #[must_use]
    pub fn of_link(frame: Frame, network: usize, target: LinkTarget, family: Family, header: Ip) -> Self {
        Self {
            frame,
            network,
            target,
            own: false,
            family,
            arrived: None,
            header,
            mark: 0,
            priority: 0,
            packet_type: None,
            trace: false,
            reject: None,
            zone: Zone::DEFAULT,
            track: Track::Unseen,
            route: None,
            learned: None,
            recalled: None,
            stale: None,
            passing: Passing::Judged,
            reroute: false,
            pull_up: false,
            leave_by: None,
            options: None,
            departure: None,
            sent_by: None,
            gathered: None,
        }
    }

    /// A packet of the router's own; `frame` holds it from its network header on.
    #[must_use]
    pub fn originated(frame: Frame, header: Ip) -> Self {
        Self { own: true, ..Self::new(frame, 0, LinkTarget::Host, header) }
    }

    /// A packet that a program of this host has sent; its network header is `network` bytes into the frame.
    #[must_use]
    pub fn from_host(frame: Frame, network: usize, header: Ip) -> Self {
        Self { own: true, ..Self::new(frame, network, LinkTarget::Host, header) }
    }

    /// The same packet as one that begins at this host: it came in by no port.
    #[must_use]
    pub fn of_this_host(mut self) -> Self {
        (self.own, self.target) = (true, LinkTarget::Host);
        self
    }

    /// Hands on to the packet that was in this frame what rules have said of it: it is one and the same in Linux.
    pub(super) fn hand_labels_to(&self, up: &mut Self) {
        up.mark = self.mark;
        up.priority = self.priority;
        up.packet_type = self.packet_type;
        up.trace = self.trace;
        if matches!(self.track, Track::Untracked) {
            up.track = Track::Untracked;
        }
    }

    /// The same packet in a copy of its frame, before hooks of the ways that the two take.
    #[must_use]
    pub(super) fn copied(&self, frame: Frame) -> Self {
        Self {
            own: self.own,
            mark: self.mark,
            priority: self.priority,
            packet_type: self.packet_type,
            trace: self.trace,
            ..Self::of_link(frame, self.network, self.target, self.family, self.header)
        }
    }

    /// Puts a datagram in place of the packet, its network header where the old one was. The transport checksum is
    /// what the bytes say.
    ///
    /// # Panics
    /// If it is larger than the largest IP packet.
    pub fn replace(&mut self, datagram: &[u8], header: Ip) {
        self.frame.resize(self.network + datagram.len());
        self.ip_mut().copy_from_slice(datagram);
        self.frame.checksum = Checksum::Unknown;
        self.frame.segmentation = None;
        self.header = header;
    }

    /// Puts other bytes in place of the whole frame; what follows the link header is `network` bytes into them.
    ///
    /// # Panics
    /// If they are more than the frame has room for.
    pub(super) fn replace_frame(&mut self, bytes: &[u8], network: usize, header: Ip) {
        self.frame.resize(bytes.len());
        self.frame.bytes_mut().copy_from_slice(bytes);
        self.frame.checksum = Checksum::Unknown;
        self.frame.segmentation = None;
        self.network = network;
        self.header = header;
    }

    /// A segment of this super-packet: like it in everything but its bytes, and what tracking said.
    pub(super) fn segment(&self, frame: Frame) -> Self {
        let header = Ip { len: frame.len() - self.network, ..self.header };
        Self {
            own: self.own,
            arrived: self.arrived,
            mark: self.mark,
            zone: self.zone,
            priority: self.priority,
            packet_type: self.packet_type,
            trace: self.trace,
            route: self.route,
            learned: self.learned,
            recalled: self.recalled,
            stale: self.stale,
            pull_up: self.pull_up,
            leave_by: self.leave_by,
            options: self.options,
            departure: self.departure,
            ..Self::of_link(frame, self.network, self.target, self.family, header)
        }
    }

    /// Takes the frame away from the walk; a hook that does this returns [`crate::chain::Verdict::Stolen`].
    pub fn steal(&mut self) -> Frame {
        std::mem::replace(&mut self.frame, Frame::hollow())
    }

    /// Notes that a hook has sent it on by this port: it counts as forwarded. The hook returns
    /// [`crate::chain::Verdict::Stolen`].
    pub const fn note_sent(&mut self, port: PortId) {
        self.sent_by = Some(port);
    }

    /// Whether there is nothing between a network header of the usual size and the transport header, and it is no
    /// fragment.
    #[must_use]
    pub const fn has_bare_header(&self) -> bool {
        let network = match self.header.source {
            IpAddr::V4(_) => ipv4::HEADER_MIN,
            IpAddr::V6(_) => ipv6::HEADER_LEN,
        };
        self.header.transport == network && self.header.fragment.is_none()
    }

    /// Lowers TTL or hop limit by one.
    ///
    /// # Panics
    /// If it is 0.
    pub fn lower_ttl(&mut self) {
        self.header.ttl =
            self.header.ttl.checked_sub(1).expect("a packet that is forwarded has some TTL left");
        match self.header.source {
            IpAddr::V4(_) => ipv4::decrease_ttl(self.ip_mut()),
            IpAddr::V6(_) => ipv6::decrease_hop_limit(self.ip_mut()),
        }
    }

    /// Has rules judge it from here on, and its flow remember nothing of that. A hook that changes what rules read
    /// (addresses, ports, protocol) in some packets of a flow and not in all of them has to call this.
    pub const fn judge_by_rules(&mut self) {
        self.passing = Passing::Judged;
    }

    /// The number of the passage by which it has come past all rules so far, if it has.
    #[must_use]
    pub const fn passage(&self) -> Option<u32> {
        match self.passing {
            Passing::Recalled { passage, .. } => Some(passage),
            Passing::Judged | Passing::Recorded(_) => None,
        }
    }

    /// Has its flow, which begins with it, forget the way it may remember: that was for another destination.
    pub(crate) fn forget_way(&mut self) {
        if let (Track::Flow { flow, direction, .. }, Some(recalled)) = (&self.track, &mut self.recalled) {
            recalled.kept = Kept::NOTHING;
            flow.user.forget(*direction);
        }
    }

    /// Moves the packet to where it is to be kept; what stays is not to be used.
    #[must_use]
    pub(super) fn take(&mut self) -> Self {
        let hollow = Self::of_link(Frame::hollow(), self.network, self.target, self.family, self.header);
        std::mem::replace(self, hollow)
    }

    /// Puts the same bytes in other storage; returns the frame they were in.
    pub(super) fn exchange_frame(&mut self, frame: Frame) -> Frame {
        std::mem::replace(&mut self.frame, frame)
    }

    /// The frame, to be changed; the network header stays where it is.
    pub fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }

    /// What follows the link header, to be changed.
    pub fn ip_mut(&mut self) -> &mut [u8] {
        &mut self.frame.bytes_mut()[self.network..]
    }

    /// The frame.
    #[must_use]
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// What follows the link header. Of an IP packet padding of the link is already off.
    #[must_use]
    pub fn ip(&self) -> &[u8] {
        &self.frame.bytes()[self.network..]
    }

    /// Bytes of the frame before the network header.
    #[must_use]
    pub const fn network_offset(&self) -> usize {
        self.network
    }

    /// What the link header says that follows it, behind all tags; where there is no link header, what the family says.
    #[must_use]
    pub fn ether_type(&self) -> u16 {
        match self.family {
            _ if self.network >= ethernet::HEADER_LEN => u16_at(self.frame.bytes(), self.network - 2),
            Family::Ipv6 => ethernet::IPV6,
            Family::Arp => ethernet::ARP,
            Family::Ipv4 | Family::Bridge => ethernet::IPV4,
        }
    }

    /// The link addresses of the frame it came in: whose it was for, and whose it was from. `None` on a link that has none.
    #[must_use]
    pub fn link_addresses(&self) -> Option<(Mac, Mac)> {
        let header = self.frame.bytes()[..self.network].first_chunk::<{ ethernet::HEADER_LEN }>()?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, ..] = *header;
        Some((Mac([d0, d1, d2, d3, d4, d5]), Mac([s0, s1, s2, s3, s4, s5])))
    }

    /// Port of entry.
    #[must_use]
    pub const fn input(&self) -> PortId {
        self.frame.input
    }

    /// Port of entry; `None` for a packet of the router's own.
    #[must_use]
    pub const fn input_port(&self) -> Option<PortId> {
        if self.own { None } else { Some(self.frame.input) }
    }

    /// Reads again what routing and rules look at, after a hook has changed the bytes: addresses, TOS, TTL, ports.
    /// Where headers begin and how long they are stays as it was.
    pub fn read_header_again(&mut self) {
        if self.header.is_none() {
            return;
        }
        let bytes = &self.frame.bytes()[self.network..];
        let header = &mut self.header;
        match header.source {
            IpAddr::V4(_) if bytes.len() >= ipv4::HEADER_MIN => {
                header.source = ipv4::source(bytes).into();
                header.destination = ipv4::destination(bytes).into();
                header.tos = bytes[1];
                header.ttl = bytes[8];
                header.dont_fragment = bytes[6] & 0x40 != 0;
                header.protocol = bytes[9];
            }
            IpAddr::V6(_) if bytes.len() >= ipv6::HEADER_LEN => {
                let address = |at: usize| *bytes[at..].first_chunk::<16>().expect("the header is there");
                header.source = Ipv6Addr::from(address(8)).into();
                header.destination = Ipv6Addr::from(address(24)).into();
                header.tos = (u16_at(bytes, 0) >> 4) as u8;
                header.ttl = bytes[7];
            }
            _ => return,
        }
        if header.fragment.is_none_or(|fragment| fragment.offset == 0) {
            let transport = bytes.get(header.transport..).unwrap_or(&[]);
            (header.source_port, header.destination_port) = ports(header.protocol, transport);
        }
    }

    /// Bytes of the largest packet that will be on the wire: of a super-packet that is one of its segments.
    #[must_use]
    pub fn wire_length(&self) -> usize {
        match self.frame.segmentation {
            Some(cut) => usize::from(cut.header_len) + usize::from(cut.size),
            None => self.header.len,
        }
    }

    /// What its size means towards a link of this MTU.
    pub(super) fn fit(&self, mtu: usize) -> Fit {
        let len = self.wire_length();
        match self.family() {
            Family::Ipv4 => fit4(len, self.header.dont_fragment, self.gathered.as_deref(), mtu),
            _ => fit6(len, self.gathered.as_deref(), mtu),
        }
    }

    /// Whom the frame was for.
    #[must_use]
    pub const fn target(&self) -> LinkTarget {
        self.target
    }

    /// Whether it began at this host: made by routerd, or sent by a program.
    #[must_use]
    pub(super) const fn is_own(&self) -> bool {
        self.own
    }

    /// Family, as hooks call it.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Source address.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        self.header.source
    }

    /// Destination address.
    #[must_use]
    pub const fn destination(&self) -> IpAddr {
        self.header.destination
    }

    /// The question to the routing state.
    #[must_use]
    pub const fn query(&self) -> Query {
        Query {
            destination: self.header.destination,
            source: self.header.source,
            input: if self.own { None } else { Some(self.frame.input) },
            mark: self.mark,
            tos: self.header.tos,
            protocol: self.header.protocol,
            source_port: self.header.source_port,
            destination_port: self.header.destination_port,
        }
    }

    /// Nothing that came by link-layer broadcast or multicast is forwarded (RFC 1812 section 5.3.4).
    pub(super) const fn refuse_link_broadcast(&self) -> Result<(), Off> {
        match (self.packet_type, self.target) {
            (Some(0), _) | (None, LinkTarget::Host) => Ok(()),
            (Some(_), _) | (None, LinkTarget::Many | LinkTarget::Other) => {
                Err(Off::Drop(DropReason::NotUnicast))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARP_REQUEST: [u8; 22] =
        [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 0x81, 0, 0xe0, 0, 8, 6, 0, 1, 8, 0];

    #[test]
    fn a_frame_without_ip_is_of_the_family_it_is_said_to_be_and_stays_whole() {
        let mut frame = Frame::empty();
        frame.copy_from(&ARP_REQUEST);
        let packet = Packet::of_link(frame, 18, LinkTarget::Many, Family::Bridge, Ip::NONE);
        assert_eq!((packet.family(), packet.ether_type()), (Family::Bridge, ethernet::ARP));
        assert_eq!((packet.frame().bytes(), packet.ip()), (&ARP_REQUEST[..], &ARP_REQUEST[18..]));
    }

    #[test]
    fn without_a_link_header_the_family_says_what_a_packet_is() {
        let of = |family| Packet::of_link(Frame::empty(), 0, LinkTarget::Host, family, Ip::NONE).ether_type();
        assert_eq!(of(Family::Ipv4), ethernet::IPV4);
        assert_eq!(of(Family::Ipv6), ethernet::IPV6);
        assert_eq!(of(Family::Arp), ethernet::ARP);
    }
}
