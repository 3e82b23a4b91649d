//! Finds the flow a packet belongs to, or begins a tentative one (`nf_conntrack_in`).

use std::sync::Arc;

use conntrack::{Checksum, Datagram, Family as NetworkFamily, Tracked};

use crate::chain::{Family, Hook, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::{Flow, FlowTable, Track};
use crate::{frame, nat};

/// Connection tracking at prerouting and output.
pub struct TrackFlow {
    flows: Arc<FlowTable>,
}

impl TrackFlow {
    /// Tracks into `flows`.
    #[must_use]
    pub const fn new(flows: Arc<FlowTable>) -> Self {
        Self { flows }
    }
}

impl Hook for TrackFlow {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if !matches!(packet.track, Track::Unseen) {
            return Verdict::Accept;
        }
        packet.track = match self.flows.track(&datagram(packet), context.now) {
            Tracked::Flow { flow, direction, state } => Track::Flow { flow, direction, state },
            Tracked::Invalid(_) => {
                context.counters.invalid_packets.raise();
                Track::Invalid
            }
            Tracked::Untracked => {
                context.counters.untracked_packets.raise();
                Track::Untracked
            }
            Tracked::Full => return Verdict::Drop(DropReason::FlowTableFull),
        };
        self.follow_master(packet, context)
    }
}

impl TrackFlow {
    /// A flow that a translated one has announced is translated as that one is, whatever the rules say.
    fn follow_master(&self, packet: &mut Packet, context: &Context<'_>) -> Verdict {
        let Track::Flow { flow: Flow::Tentative(tentative), .. } = &mut packet.track else {
            return Verdict::Accept;
        };
        let Some(expectation) = tentative.expectation().cloned() else { return Verdict::Accept };
        let Some(follow) = expectation.nat() else { return Verdict::Accept };
        let master = expectation.master();
        nat::follow_master(tentative, &self.flows, context.now, master, follow.direction, follow.id)
    }
}

/// The packet as trackers read it.
pub(super) fn datagram(packet: &Packet) -> Datagram<'_> {
    let checksum = match packet.frame().checksum {
        frame::Checksum::Unknown => Checksum::Unknown,
        frame::Checksum::Valid => Checksum::Valid,
        frame::Checksum::Partial { .. } => Checksum::Partial,
    };
    let family = match packet.family() {
        Family::Ipv6 => NetworkFamily::Ipv6,
        _ => NetworkFamily::Ipv4,
    };
    Datagram { bytes: packet.ip(), family, checksum, zone: packet.zone }
}
