//! Finds the flow a packet belongs to, or begins a tentative one (`nf_conntrack_in`).

use std::sync::Arc;

use conntrack::{Checksum, Datagram, Family as NetworkFamily, Tracked, Tuple};

use crate::chain::{Family, Hook, Needs, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, Kind, Packet};
use crate::flow::{Flow, FlowTable, Kept, Track};
use crate::verdict::negative::{self, Name};
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
        let mut known = None;
        let mut reason = None;
        let asks = context.flow_cache.uses(Kind::Negative) && negative::is_fit(packet);
        let refuse = |tuple: &Tuple| {
            let name = Name { tuple: *tuple, input: packet.input(), mark: packet.mark };
            let found = if asks { context.negative.find(&name, context.now) } else { None };
            // Of other rules than these it says nothing, and where they send packets it does not know.
            known = found.filter(|drop| context.passages.get(drop.passage).is_some());
            reason = known.and_then(|drop| negative::refuses(&drop, packet, context));
            reason.is_some()
        };
        packet.track = match self.flows.track_unless(&datagram(packet), context.now, refuse) {
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
            Tracked::Refused => {
                context.counters.negative_cache_hits.raise();
                return Verdict::Drop(reason.expect("it was refused for a reason"));
            }
        };
        if let (Some(drop), Track::Flow { flow, direction, .. }) = (known, &packet.track) {
            flow.user.keep(*direction, Kept::NOTHING, drop.kept);
            flow.user.set_verdict(*direction, drop.passage);
        }
        if let (Some(offloads), Track::Flow { flow: Flow::Tentative(flow), .. }) =
            (context.offloads, &packet.track)
        {
            offloads.tell_new(flow);
        }
        self.follow_master(packet, context)
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
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
pub(crate) fn datagram(packet: &Packet) -> Datagram<'_> {
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

#[cfg(test)]
mod tests {
    use conntrack::{Cursor, Zone};

    use super::*;
    use crate::chain::{Place, Point, Registration, priority};
    use crate::tabletop::Tabletop;
    use crate::tabletop::frames::{Ends, HOST};

    /// A rule before tracking.
    struct Raw<F>(F);

    impl<F: Fn(&mut Packet) + Send + Sync> Hook for Raw<F> {
        fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
            (self.0)(packet);
            Verdict::Accept
        }
    }

    fn table_with(rule: impl Fn(&mut Packet) + Send + Sync + 'static) -> Tabletop {
        let mut table = Tabletop::new(&["r0", "r1"]);
        table.address(0, "10.0.0.1/24");
        table.address(1, "10.0.1.1/24");
        table.neighbor(0, "10.0.0.2", Some(HOST.0));
        table.neighbor(1, "10.0.1.2", Some([2, 0, 0, 0, 2, 2]));
        let place = Place::new(Family::Ipv4, Point::Prerouting, "raw");
        let hook = Arc::new(Raw(rule));
        table.hooks().register([Registration { place, priority: priority::RAW, hook }]).unwrap();
        table
    }

    #[test]
    fn what_a_rule_keeps_off_is_forwarded_and_leaves_no_flow() {
        let mut table = table_with(|packet| {
            if packet.header.destination_port == 53 {
                packet.track = Track::Untracked;
            }
        });
        for port in [53, 54] {
            let ends = Ends::to_port(0, "10.0.0.2:1000", &format!("10.0.1.2:{port}"));
            table.pass(0, &ends.udp(b"hello")[..]);
        }
        assert_eq!(table.take(1).len(), 2);
        let flows = &table.shared().flows;
        assert_eq!((flows.len(), flows.stats().new), (1, 1));
    }

    #[test]
    fn a_rule_chooses_the_zone() {
        let mut table = table_with(|packet| packet.zone = Zone::both(packet.header.tos.into()));
        let mut frame = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:53").udp(b"hello");
        for tos in [0, 8, 8] {
            frame[15] = tos;
            crate::packet::ipv4::write_checksum(&mut frame[14..]);
            table.pass(0, &frame[..]);
        }
        let flows = &table.shared().flows;
        let page = flows.list(Cursor::default(), 10, table.now(), |_| true);
        let mut zones: Vec<_> = page.conns.iter().map(|conn| conn.zone()).collect();
        zones.sort_unstable_by_key(|zone| zone.id);
        assert_eq!(zones, [Zone::DEFAULT, Zone::both(8)]);
    }
}
