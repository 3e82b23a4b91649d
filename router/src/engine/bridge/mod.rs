//! The way of a frame through a bridge: from the member that received it to other members, as it came, and up to the
//! router itself; and the way of the router's own frames out by the members of a bridge (`net/bridge/br_input.c`,
//! `br_forward.c`, `br_device.c`).

mod refuse;
#[cfg(test)]
mod tests;

use conntrack::Instant;
use fib::adjacency::{Mac, PortId};
use fib::snapshot::Hop;

use super::{Disposition, LinkTarget, Off, Packet, Routed, Walk};
use crate::bridge::{Behind, Bridge, Kind, Learned, Reserved, is_station};
use crate::chain::{Family, Point};
use crate::drops::DropReason;
use crate::frame::{Frame, VlanTag};
use crate::packet::parse::{Ip, parse, parse_bridged};
use crate::packet::{ethernet, u16_at};
use crate::port::Framing;
use crate::stats::BridgeCounters;

impl Walk<'_> {
    /// Sends a frame that is ready to leave, by its port or by the members of a bridge.
    pub(super) fn emit(&mut self, port: PortId, frame: Frame) -> Disposition {
        self.emit_labelled(port, frame, Label::default())
    }

    /// As [`Self::emit`], of a packet with this label, which rules of a bridge read.
    pub(super) fn emit_labelled(&mut self, port: PortId, frame: Frame, label: Label) -> Disposition {
        let shared = self.shared;
        let Some(bridge) = shared.bridges.at(port) else {
            self.context.out.send(port, frame);
            return Disposition::Forwarded(port);
        };
        match self.leave_bridge(bridge, frame, label) {
            Ok(()) => Disposition::Forwarded(port),
            Err(disposition) => disposition,
        }
    }

    /// What frames of a port begin with; `None` when it is not there.
    pub(super) fn framing(&self, port: PortId) -> Option<Framing> {
        match self.shared.bridges.at(port) {
            Some(_) => Some(Framing::Ethernet),
            None => self.context.out.framing(port),
        }
    }

    /// From a frame that a member of a bridge has received to its end.
    pub(super) fn run_bridged(&mut self, bridge: &Bridge, frame: Frame) -> Disposition {
        match self.walk_bridged(bridge, frame) {
            Ok(disposition) => disposition,
            Err((frame, reason)) => self.give_back(frame, Disposition::Dropped(reason)),
        }
    }

    fn walk_bridged(&mut self, bridge: &Bridge, frame: Frame) -> Result<Disposition, (Frame, DropReason)> {
        let link = match Link::read(frame.bytes()) {
            Ok(link) => link,
            Err(reason) => return Err((frame, reason)),
        };
        if let Err(reason) = link.may_pass(bridge) {
            return Err((frame, reason));
        }
        let packet = &mut self.bridged(bridge, frame, link);
        Ok(match self.hooks(Point::Prerouting, packet) {
            Ok(()) => self.pass(bridge, packet),
            Err(off) => self.end_bridged(bridge, packet, off),
        })
    }

    /// The rest of a frame's way, behind the hooks at a point.
    pub(super) fn walk_on_bridged(&mut self, packet: &mut Packet, point: Point) -> Disposition {
        let shared = self.shared;
        let member = packet.route.map_or(packet.input(), |routed| routed.hop.port);
        let Some(bridge) = shared.bridges.of_member(member) else {
            return self.end(packet, DropReason::BridgeNoPort);
        };
        match point {
            Point::Prerouting => self.pass(bridge, packet),
            Point::Input => self.arrive_bridged(bridge, packet),
            Point::Forward | Point::Output => self.leave_behind_forward(bridge, packet, member),
            Point::Postrouting => self.send_by(bridge, packet, member),
        }
    }

    /// Where a frame goes behind the first hooks, which may have changed it.
    fn pass(&mut self, bridge: &Bridge, packet: &mut Packet) -> Disposition {
        let Ok(link) = Link::read(packet.frame().bytes()) else {
            return self.end(packet, DropReason::BridgeSource);
        };
        if self.learn(bridge, link.source, packet.input()) == Learned::Own {
            return self.end(packet, DropReason::BridgeLoop);
        }
        if let Some(mut up) = self.pull_up(bridge, packet) {
            return self.run_received(&mut up);
        }
        let counters = self.counters(bridge);
        match self.whereabouts(bridge, link.destination) {
            Whereabouts::Group => {
                counters.flooded.raise();
                let sent = self.flood(bridge, packet, Point::Forward);
                match self.go_up(bridge, packet) {
                    Disposition::Ignored if sent => Disposition::Bridged,
                    disposition => disposition,
                }
            }
            Whereabouts::Here => self.go_up(bridge, packet),
            Whereabouts::Behind(port) if port == packet.input() => {
                self.end(packet, DropReason::BridgeSamePort)
            }
            Whereabouts::Behind(port) => {
                counters.forwarded.raise();
                self.leave_by(bridge, packet, port, Point::Forward)
            }
            Whereabouts::Unknown => {
                counters.flooded.raise();
                let sent = self.flood(bridge, packet, Point::Forward);
                let disposition =
                    if sent { Disposition::Bridged } else { Disposition::Dropped(DropReason::BridgeNoPort) };
                self.give_back(packet.steal(), disposition)
            }
        }
    }

    /// The way of a frame for this router, from the bridge to the port that the bridge is.
    fn go_up(&mut self, bridge: &Bridge, packet: &mut Packet) -> Disposition {
        match self.hooks(Point::Input, packet) {
            Ok(()) => self.arrive_bridged(bridge, packet),
            Err(off) => self.end_bridged(bridge, packet, off),
        }
    }

    /// What becomes of a frame for this router that the hooks have let in.
    fn arrive_bridged(&mut self, bridge: &Bridge, packet: &mut Packet) -> Disposition {
        let is_for_many = packet.frame().bytes().first().is_some_and(|first| first & 1 == 1);
        let target = if is_for_many { LinkTarget::Many } else { LinkTarget::Host };
        let mut frame = packet.steal();
        self.count_up(bridge, &mut frame);
        match &mut self.receive(frame, Some(target)) {
            Ok(up) => {
                packet.hand_labels_to(up);
                self.run_received(up)
            }
            Err(disposition) => *disposition,
        }
    }

    /// The packet in a frame that enters the hooks of IP though it may be for another host, if a mark or a rule asks for
    /// that; the bridge has lost it then. What is not sound IP, or is tagged, goes on as a frame.
    fn pull_up(&mut self, bridge: &Bridge, packet: &mut Packet) -> Option<Packet> {
        let entry = bridge.description.pull_up.iter().find(|entry| entry.matches(packet.mark));
        if entry.is_none() && !packet.pull_up {
            return None;
        }
        let counters = self.counters(bridge);
        let sound = parse(packet.frame().bytes(), Framing::Ethernet);
        let untagged = packet.frame().vlan.is_none() && packet.network_offset() == ethernet::HEADER_LEN;
        let (true, Ok(parsed)) = (untagged, sound) else {
            counters.not_pulled_up.raise();
            return None;
        };
        counters.pulled_up.raise();
        let target = if packet.target() == LinkTarget::Many { LinkTarget::Many } else { LinkTarget::Host };
        let mut frame = packet.steal();
        self.count_up(bridge, &mut frame);
        let mut up = Packet::new(frame, parsed.network, target, parsed.ip);
        packet.hand_labels_to(&mut up);
        up.leave_by = entry.and_then(|entry| entry.port);
        Some(up)
    }

    /// Sends a packet that was pulled up for a port out by it, unless a hook has chosen another way. On an Ethernet it
    /// goes to the link address that it was for.
    pub(super) fn take_port_of_pull_up(packet: &mut Packet) {
        if let (Some(port), None) = (packet.leave_by, packet.route) {
            let chosen = packet.link_addresses().map(|(destination, _)| destination);
            packet.route = Some(Routed { chosen, ..Routed::to(by(port)) });
        }
    }

    /// The way of a frame of this router's own out by the members of a bridge.
    fn leave_bridge(&mut self, bridge: &Bridge, frame: Frame, label: Label) -> Result<(), Disposition> {
        let link = match Link::read(frame.bytes()) {
            Ok(link) => link,
            Err(reason) => return Err(self.give_back(frame, Disposition::Dropped(reason))),
        };
        let counters = self.counters(bridge);
        counters.sent_frames.raise();
        counters.sent_bytes.add(frame.len() as u64);
        let mut packet = self.bridged(bridge, frame, link).of_this_host();
        (packet.mark, packet.priority) = (label.mark, label.priority);
        if let Whereabouts::Behind(port) = self.whereabouts(bridge, link.destination) {
            return match self.leave_by(bridge, &mut packet, port, Point::Output) {
                Disposition::Bridged => Ok(()),
                disposition => Err(disposition),
            };
        }
        counters.flooded.raise();
        let sent = self.flood(bridge, &packet, Point::Output);
        let frame = packet.steal();
        match sent {
            true => {
                self.context.out.recycle(frame);
                Ok(())
            }
            false => Err(self.give_back(frame, Disposition::Dropped(DropReason::BridgeNoPort))),
        }
    }

    /// Sends a copy of a frame by each member that is up, but not by the one that it came in by. Whether there was any.
    fn flood(&mut self, bridge: &Bridge, packet: &Packet, point: Point) -> bool {
        let mut any = false;
        for member in &bridge.description.members {
            if packet.input_port() == Some(*member) || !self.shared.ports.is_up(*member) {
                continue;
            }
            any = true;
            let Some(mut frame) = self.context.out.take() else {
                self.counters(bridge).copies_lost.raise();
                self.context.counters.drop(DropReason::NoFrame);
                continue;
            };
            frame.copy_frame(packet.frame());
            self.counters(bridge).copies.raise();
            let mut copy = packet.copied(frame);
            if let Disposition::Dropped(reason) = self.leave_by(bridge, &mut copy, *member, point) {
                self.context.counters.drop(reason);
            }
        }
        any
    }

    /// The last steps of a frame: the hooks that know by which member it leaves, then that member.
    fn leave_by(
        &mut self,
        bridge: &Bridge,
        packet: &mut Packet,
        member: PortId,
        point: Point,
    ) -> Disposition {
        packet.route = Some(Routed::to(by(member)));
        match self.hooks(point, packet) {
            Ok(()) => self.leave_behind_forward(bridge, packet, member),
            Err(off) => self.end_bridged(bridge, packet, off),
        }
    }

    fn leave_behind_forward(&mut self, bridge: &Bridge, packet: &mut Packet, member: PortId) -> Disposition {
        match self.hooks(Point::Postrouting, packet) {
            Ok(()) => self.send_by(bridge, packet, member),
            Err(off) => self.end_bridged(bridge, packet, off),
        }
    }

    fn send_by(&mut self, bridge: &Bridge, packet: &mut Packet, member: PortId) -> Disposition {
        let mtu = self.shared.ports.get(member).mtu as usize;
        let frame = packet.frame();
        // A super-packet is cut for the wire by whoever sends it there (`is_skb_forwardable`).
        if frame.segmentation.is_none() && frame.len() > mtu + ethernet::HEADER_LEN + VlanTag::LEN {
            self.counters(bridge).too_big.raise();
            return self.end(packet, DropReason::BridgeTooBig);
        }
        self.context.out.send(member, packet.steal());
        Disposition::Bridged
    }

    /// Ends a frame that a hook has not let through.
    fn end_bridged(&mut self, bridge: &Bridge, packet: &mut Packet, off: Off) -> Disposition {
        match off {
            Off::Refuse(reason, refusal) => {
                self.refuse_bridged(bridge, packet, refusal);
                self.end(packet, reason)
            }
            off => self.leave(packet, off),
        }
    }

    /// Takes in where a frame came from.
    fn learn(&mut self, bridge: &Bridge, source: Mac, port: PortId) -> Learned {
        let learned = bridge.macs.learn(source, port, self.context.now);
        let counters = self.counters(bridge);
        match learned {
            Learned::Known | Learned::Busy => {}
            Learned::New => counters.learned.raise(),
            Learned::Moved(before) => {
                counters.moved.raise();
                bridge.observed.note_move(source, before, port);
            }
            Learned::Full => {
                counters.macs_full.raise();
                bridge.observed.note_full();
            }
            Learned::Fixed => counters.fixed_elsewhere.raise(),
            Learned::Own => {
                counters.looped.raise();
                bridge.observed.note_loop(source, port);
            }
        }
        learned
    }

    fn whereabouts(&self, bridge: &Bridge, destination: Mac) -> Whereabouts {
        if is_group(destination) {
            return Whereabouts::Group;
        }
        match bridge.macs.find(destination, self.now()) {
            Some(Behind { kind: Kind::Own, .. }) => Whereabouts::Here,
            // One that has just gone down is flushed soon: until then nobody is known to be there.
            Some(Behind { port, .. }) if self.shared.ports.is_up(port) => Whereabouts::Behind(port),
            _ => Whereabouts::Unknown,
        }
    }

    /// A frame as hooks of bridges see it. What is in it is read only if anybody looks.
    fn bridged(&self, bridge: &Bridge, frame: Frame, link: Link) -> Packet {
        let is_seen = Point::ALL.iter().any(|point| !self.chains.at(Family::Bridge, *point).is_empty());
        let target = match link.destination {
            destination if is_group(destination) => LinkTarget::Many,
            destination if is_seen => self.seen_target(bridge, destination, frame.input),
            _ => LinkTarget::Other,
        };
        let network = behind_outermost_tag(&frame);
        let header = if is_seen {
            parse_bridged(u16_at(frame.bytes(), network - 2), &frame.bytes()[network..])
        } else {
            Ip::NONE
        };
        Packet::of_link(frame, network, target, Family::Bridge, header)
    }

    /// Whom a frame for one station is for, as rules see it: another member's own address is another host's
    /// (`br_handle_frame`).
    fn seen_target(&self, bridge: &Bridge, destination: Mac, input: PortId) -> LinkTarget {
        match bridge.macs.find(destination, self.now()) {
            Some(Behind { kind: Kind::Own, port }) if [input, bridge.description.port].contains(&port) => {
                LinkTarget::Host
            }
            _ => LinkTarget::Other,
        }
    }

    /// Counts a frame that goes up, which has come in by the bridge from there on.
    fn count_up(&self, bridge: &Bridge, frame: &mut Frame) {
        frame.input = bridge.description.port;
        let counters = self.counters(bridge);
        counters.received_frames.raise();
        counters.received_bytes.add(frame.len() as u64);
    }

    fn counters(&self, bridge: &Bridge) -> &BridgeCounters {
        self.context.counters.bridge(bridge.number)
    }

    const fn now(&self) -> Instant {
        self.context.now
    }
}

/// What rules have said of a packet, and rules of a bridge by which it leaves may read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Label {
    pub(super) mark: u32,
    pub(super) priority: u32,
}

const fn is_group(mac: Mac) -> bool {
    mac.0[0] & 1 == 1
}

/// Out by this port, to whomever the link header says.
const fn by(port: PortId) -> Hop {
    Hop { port, neighbor: None, gateway: None, route_mtu: 0 }
}

/// Where what follows the outermost tag begins: an inner tag belongs to that, as the kernel sees it (`skb_vlan_untag`).
fn behind_outermost_tag(frame: &Frame) -> usize {
    let ether_type = u16_at(frame.bytes(), ethernet::HEADER_LEN - 2);
    let is_among_bytes = frame.vlan.is_none() && ethernet::is_tag(ether_type);
    let tag = if is_among_bytes { VlanTag::LEN } else { 0 };
    (ethernet::HEADER_LEN + tag).min(frame.len())
}

/// Where a link address is, seen from a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    /// At many places.
    Group,
    /// It is this router's own.
    Here,
    /// Behind this member.
    Behind(PortId),
    /// Nobody knows.
    Unknown,
}

/// From whom a frame is to whom.
#[derive(Clone, Copy, Debug)]
struct Link {
    destination: Mac,
    source: Mac,
}

impl Link {
    /// Reads the link addresses of a frame that may be bridged: one that has a whole link header, and comes from one
    /// station.
    fn read(frame: &[u8]) -> Result<Self, DropReason> {
        let header = frame.first_chunk::<{ ethernet::HEADER_LEN }>().ok_or(DropReason::Truncated)?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, ..] = *header;
        let source = Mac([s0, s1, s2, s3, s4, s5]);
        if !is_station(source) {
            return Err(DropReason::BridgeSource);
        }
        Ok(Self { destination: Mac([d0, d1, d2, d3, d4, d5]), source })
    }

    /// Whether a frame for this destination is for a bridge to pass: group addresses that end at the next bridge are
    /// not, unless the configuration wants it (IEEE 802.1Q, table 8-1; `br_handle_frame`).
    fn may_pass(&self, bridge: &Bridge) -> Result<(), DropReason> {
        let [0x01, 0x80, 0xc2, 0, 0, last @ 0..=0x0f] = self.destination.0 else { return Ok(()) };
        let kept = match last {
            0 => bridge.description.stp,
            // Pause frames are the business of the two ends of a wire.
            1 => Reserved::Drop,
            _ => bridge.description.link_local,
        };
        match kept {
            Reserved::Pass => Ok(()),
            Reserved::Drop => Err(DropReason::BridgeReserved),
        }
    }
}
