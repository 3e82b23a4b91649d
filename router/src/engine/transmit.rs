//! The last steps: the next hop's address found, what is too large cut, the link header written, the frame queued.

use std::net::IpAddr;

use fib::adjacency::{Mac, NeighborId, PortId, PortView};
use fib::change::NeighborState;
use fib::snapshot::Hop;

use super::bridge::Label;
use super::forward::too_big_ipv6;
use super::fragment::{Fit, Fragments4, Fragments6, Geometry};
use super::hold::Held;
use super::icmp::{Error4, Error6};
use super::{Disposition, Packet, Routed, Walk};
use crate::chain::Family;
use crate::drops::DropReason;
use crate::frame::Frame;
use crate::packet::{ethernet, offload};
use crate::port::Framing;

impl Walk<'_> {
    /// Sends a packet that has passed all hooks, or lets it wait for its next hop.
    pub(super) fn transmit(&mut self, packet: &mut Packet, routed: &Routed) -> Disposition {
        let hop = &routed.hop;
        let port = self.shared.ports.get(hop.port);
        if !port.up {
            return self.end(packet, DropReason::PortDown);
        }
        let mtu = self.mtu(hop);
        if packet.family() == Family::Ipv6 && packet.fit(mtu) == Fit::TooBig {
            // The MTU of a route, or of a port that has shrunk since (`ip6_fragment`).
            return self.leave(packet, too_big_ipv6(mtu));
        }
        let Some(neighbor) = hop.neighbor else {
            let to = routed.chosen.or((!port.needs_resolution).then_some(Mac::default()));
            return match to {
                Some(mac) => self.send(packet, hop, &port, mac),
                None => self.end(packet, DropReason::NeighborTableFull),
            };
        };
        match self.shared.neighbors.get(neighbor) {
            Some(view)
                if view.state.is_valid() && (routed.chosen.is_some() || !self.hold.waits_for(neighbor)) =>
            {
                if view.state == NeighborState::Stale {
                    self.ask(neighbor, hop, packet.destination());
                }
                self.send(packet, hop, &port, view.mac)
            }
            _ => match routed.chosen {
                Some(mac) => {
                    self.ask(neighbor, hop, packet.destination());
                    self.send(packet, hop, &port, mac)
                }
                None => self.wait(packet, hop, neighbor),
            },
        }
    }

    /// Sends a packet to a next hop whose link address is known, whole or in pieces.
    pub(super) fn send(&mut self, packet: &mut Packet, hop: &Hop, port: &PortView, mac: Mac) -> Disposition {
        let Some(framing) = self.framing(hop.port) else {
            return self.end(packet, DropReason::PortDown);
        };
        let link = LinkHeader { framing, destination: mac, source: port.mac, family: packet.family() };
        let mtu = self.mtu(hop);
        let label = Label { mark: packet.mark, priority: packet.priority };
        if packet.fit(mtu) == Fit::Whole {
            let network = packet.network_offset();
            link.write(packet.frame_mut(), network);
            return self.emit_labelled(hop.port, packet.steal(), label);
        }
        let network = packet.network_offset();
        let gathered = packet.gathered.take();
        let mut frame = packet.steal();
        frame.trim_front(network);
        let leaving = Leaving { port: hop.port, link, mtu, label };
        let cut = if frame.segmentation.is_some() {
            self.send_segments(&frame, &leaving)
        } else {
            self.send_fragments(&mut frame, &leaving, gathered.as_deref())
        };
        self.context.out.recycle(frame);
        match cut {
            Some(()) => Disposition::Forwarded(hop.port),
            None => Disposition::Dropped(DropReason::FragmentationFailed),
        }
    }

    /// Cuts a super-packet into its segments and those that are too large into fragments (`ip_finish_output_gso`).
    fn send_segments(&mut self, frame: &Frame, leaving: &Leaving) -> Option<()> {
        self.context.counters.packets_segmented.raise();
        let mut all = Some(());
        for mut segment in self.context.out.segment(frame, 0).ok()? {
            if segment.len() <= leaving.mtu {
                self.send_piece(segment, leaving);
            } else {
                all = self.send_fragments(&mut segment, leaving, None).and(all);
                self.context.out.recycle(segment);
            }
        }
        all
    }

    /// Sends a packet as fragments: those it came in, or those it has to be cut into (`ip_fragment`,
    /// `ip6_fragment`).
    fn send_fragments(
        &mut self,
        frame: &mut Frame,
        leaving: &Leaving,
        gathered: Option<&Geometry>,
    ) -> Option<()> {
        offload::finish_checksum(frame, 0).ok()?;
        let mut fragments = match (leaving.link.family, gathered) {
            (Family::Ipv4, _) => Fragments::V4(Fragments4::new(frame.bytes(), leaving.mtu, gathered).ok()?),
            (_, Some(gathered)) => {
                let identification = self.identification();
                Fragments::V6(Fragments6::new(frame.bytes(), gathered, identification).ok()?)
            }
            (_, None) => return None,
        };
        loop {
            let mut piece = self.context.out.take()?;
            let Some(len) = fragments.write_next(piece.receive_buffer()) else {
                self.context.out.recycle(piece);
                return Some(());
            };
            piece.set_len(len);
            self.context.counters.fragments_made.raise();
            self.send_piece(piece, leaving);
        }
    }

    /// Sends a part of a packet.
    fn send_piece(&mut self, mut piece: Frame, leaving: &Leaving) {
        leaving.link.write(&mut piece, 0);
        if let Disposition::Dropped(reason) = self.emit_labelled(leaving.port, piece, leaving.label) {
            self.context.counters.drop(reason);
        }
    }

    /// Lets a packet wait for its next hop's address, and has the kernel asked for it.
    fn wait(&mut self, packet: &mut Packet, hop: &Hop, neighbor: NeighborId) -> Disposition {
        self.ask(neighbor, hop, packet.destination());
        let settings = self.context.routing.namespace_settings();
        let bytes_max = match hop.gateway.unwrap_or(packet.destination()) {
            IpAddr::V4(_) => settings.unres_qlen_bytes_v4,
            IpAddr::V6(_) => settings.unres_qlen_bytes_v6,
        } as usize;
        let kept = packet.frame().detached();
        let frame = packet.exchange_frame(kept);
        self.context.out.recycle(frame);
        let counters = self.context.counters;
        let held = Held { packet: packet.take(), hop: *hop };
        self.hold.push(neighbor, held, bytes_max, self.context.now, |_| {
            counters.drop(DropReason::HoldQueueFull);
        });
        Disposition::Held
    }

    /// Has the kernel find or confirm a neighbor, if it has not been asked just now.
    fn ask(&self, neighbor: NeighborId, hop: &Hop, destination: IpAddr) {
        let now_ms = self.context.now.nanos() / 1_000_000;
        if self.shared.neighbors.mark_asked(neighbor, now_ms) {
            self.context.counters.neighbor_requests.raise();
            let _ = self.shared.resolver.ask(hop.port, hop.gateway.unwrap_or(destination));
        }
    }

    /// Sends what waited for a neighbor that has been found; `None` answers and drops what waited in vain.
    pub(super) fn settle(&mut self, held: Held, mac: Option<Mac>) -> Disposition {
        let Held { mut packet, hop } = held;
        let Some(mut frame) = self.context.out.take() else {
            return Disposition::Dropped(DropReason::NoFrame);
        };
        frame.copy_frame(packet.frame());
        let _ = packet.exchange_frame(frame);
        match mac {
            Some(mac) => {
                let port = self.shared.ports.get(hop.port);
                self.send(&mut packet, &hop, &port, mac)
            }
            None => {
                match packet.family() {
                    Family::Ipv4 => self.answer4(&mut packet, DropReason::NeighborFailed, Error4::HOST),
                    _ => self.answer6(&mut packet, Error6::ADDRESS),
                }
                self.end(&mut packet, DropReason::NeighborFailed)
            }
        }
    }

    /// Ends a packet in silence.
    pub(super) fn end(&mut self, packet: &mut Packet, reason: DropReason) -> Disposition {
        self.context.out.recycle(packet.steal());
        Disposition::Dropped(reason)
    }
}

/// How the parts of a packet leave.
struct Leaving {
    port: PortId,
    link: LinkHeader,
    mtu: usize,
    label: Label,
}

/// A packet's fragments, of either family.
enum Fragments<'a> {
    V4(Fragments4<'a>),
    V6(Fragments6<'a>),
}

impl Fragments<'_> {
    fn write_next(&mut self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::V4(fragments) => fragments.write_next(out),
            Self::V6(fragments) => fragments.write_next(out),
        }
    }
}

/// What is written before a packet's network header.
pub(crate) struct LinkHeader {
    pub(crate) framing: Framing,
    pub(crate) destination: Mac,
    pub(crate) source: Mac,
    pub(crate) family: Family,
}

impl LinkHeader {
    /// Puts the header in place of the `network` bytes before the packet.
    pub(crate) fn write(&self, frame: &mut Frame, network: usize) {
        frame.trim_front(network);
        if self.framing == Framing::Network {
            return;
        }
        let ether_type = if self.family == Family::Ipv4 { ethernet::IPV4 } else { ethernet::IPV6 };
        let header = frame.grow_front(ethernet::HEADER_LEN);
        header[0..6].copy_from_slice(&self.destination.0);
        header[6..12].copy_from_slice(&self.source.0);
        header[12..14].copy_from_slice(&ether_type.to_be_bytes());
    }
}
