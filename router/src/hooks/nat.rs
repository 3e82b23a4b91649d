//! Translates addresses and ports (`nf_nat_inet_fn` and its callers in `nf_nat_proto.c`).

use std::sync::Arc;

use conntrack::{CtState, Direction, Status, protocol};

use crate::chain::{Family, Hook, Needs, Place, Point, Registration, Verdict, priority};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::{Flow, FlowTable, Track, masqueraded_by};
use crate::nat::{self, Manip};

/// Translation at one point for one family. The chains of rules that decide about new flows are part of it: a new ruleset
/// seats new values.
pub struct Nat {
    flows: Arc<FlowTable>,
    manip: Manip,
    chains: Box<[Arc<dyn Hook>]>,
}

/// A chain of rules that decides about new flows, by [`nat::setup`] and its like. It sees the first packet of a flow
/// only, and sees none once another chain has decided.
#[derive(Clone)]
pub struct NatChain {
    /// Family.
    pub family: Family,
    /// Where; [`Point::Forward`] has no translation.
    pub point: Point,
    /// Order among the chains of the point, smaller first, equals in the order given.
    pub priority: i32,
    /// The chain.
    pub hook: Arc<dyn Hook>,
}

impl Nat {
    /// What its seats are called.
    pub const NAME: &'static str = "nat";

    /// Translation at all its points: destinations at prerouting and output, sources at postrouting and input, for both
    /// families, with these chains.
    ///
    /// Once they are seated they are to stay, with other chains or none: flows that are translated need them.
    ///
    /// # Panics
    /// If a chain is for a place where nothing is translated.
    #[must_use]
    pub fn seats(flows: &Arc<FlowTable>, chains: &[NatChain]) -> Vec<Registration> {
        let mut seats = Vec::new();
        for family in FAMILIES {
            for (point, manip, priority) in POINTS {
                let mut here: Vec<&NatChain> =
                    chains.iter().filter(|chain| (chain.family, chain.point) == (family, point)).collect();
                here.sort_by_key(|chain| chain.priority);
                let chains = here.into_iter().map(|chain| chain.hook.clone()).collect();
                let hook = Arc::new(Self { flows: flows.clone(), manip, chains });
                seats.push(Registration { place: Place::new(family, point, Self::NAME), priority, hook });
            }
        }
        let seated = |chain: &NatChain| {
            FAMILIES.contains(&chain.family) && POINTS.iter().any(|(point, ..)| *point == chain.point)
        };
        assert!(chains.iter().all(seated), "a chain for a place where nothing is translated");
        seats
    }

    /// The places of [`Self::seats`].
    pub fn places() -> impl Iterator<Item = Place> {
        FAMILIES
            .into_iter()
            .flat_map(|family| POINTS.map(|(point, ..)| Place::new(family, point, Self::NAME)))
    }
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

const POINTS: [(Point, Manip, i32); 4] = [
    (Point::Prerouting, Manip::Destination, priority::DESTINATION_NAT),
    (Point::Input, Manip::Source, priority::SOURCE_NAT),
    (Point::Output, Manip::Destination, priority::DESTINATION_NAT),
    (Point::Postrouting, Manip::Source, priority::SOURCE_NAT),
];

impl Hook for Nat {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        let Track::Flow { flow, state, .. } = &packet.track else { return Verdict::Accept };
        let is_first = match state {
            CtState::Related | CtState::RelatedReply if is_icmp(packet) => {
                return self.translate_error(packet);
            }
            CtState::New | CtState::Related | CtState::RelatedReply => {
                !nat::is_decided(flow.status(), self.manip)
            }
            CtState::Established | CtState::EstablishedReply => false,
        };
        if is_first {
            match self.decide(packet, context) {
                Verdict::Accept => {}
                other => return other,
            }
        } else if let Some(reason) = self.is_rerouted(packet) {
            return Verdict::Drop(reason);
        }
        self.translate(packet)
    }

    fn needs(&self) -> Needs {
        Needs::UndecidedFlows
    }
}

impl Nat {
    /// Asks the chains, until one has decided; if none does, the flow stays as it is.
    fn decide(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if matches!(packet.track, Track::Flow { flow: Flow::Conn(_), .. }) {
            // What rules behind see is not what they see of the flow's next packet.
            packet.judge_by_rules();
        }
        let verdict = self.ask_chains(packet, context);
        let is_translated = |flow: &Flow| flow.status().intersects(Status::SRC_NAT | Status::DST_NAT);
        if matches!(&packet.track, Track::Flow { flow, .. } if is_translated(flow)) {
            packet.judge_by_rules();
            packet.forget_way();
        }
        verdict
    }

    fn ask_chains(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        for chain in &self.chains {
            match chain.handle(packet, context) {
                Verdict::Accept => {}
                other => return other,
            }
            let Track::Flow { flow, .. } = &packet.track else { return Verdict::Accept };
            if nat::is_decided(flow.status(), self.manip) {
                return Verdict::Accept;
            }
        }
        nat::leave_as_is(packet, context, &self.flows, self.manip)
    }

    /// Ends a masqueraded flow that would leave by another port than the one whose address it bears
    /// (`nf_nat_oif_changed`).
    fn is_rerouted(&self, packet: &Packet) -> Option<DropReason> {
        let Track::Flow { flow, direction: Direction::Original, .. } = &packet.track else { return None };
        if self.manip == Manip::Destination {
            return None;
        }
        let borrowed = masqueraded_by(flow)?;
        let Flow::Conn(conn) = flow else { return None };
        if packet.route.is_none_or(|routed| routed.hop.port == borrowed) {
            return None;
        }
        self.flows.delete_one(conn);
        Some(DropReason::NatRerouted)
    }

    /// Rewrites the packet as its flow says (`nf_nat_packet`).
    fn translate(&self, packet: &mut Packet) -> Verdict {
        self.with_flow(packet, |packet, flow, direction| {
            !nat::is_rewritten(flow.status(), self.manip, direction)
                || nat::translate(packet, flow, direction, self.manip)
        })
    }

    fn translate_error(&self, packet: &mut Packet) -> Verdict {
        self.with_flow(packet, |packet, flow, direction| {
            nat::translate_error(packet, flow, direction, self.manip)
        })
    }

    /// Has a packet rewritten with its flow at hand.
    fn with_flow(
        &self,
        packet: &mut Packet,
        rewrite: impl FnOnce(&mut Packet, &Flow, Direction) -> bool,
    ) -> Verdict {
        let track = std::mem::take(&mut packet.track);
        let rewritten = match &track {
            Track::Flow { flow, direction, .. } => rewrite(packet, flow, *direction),
            _ => true,
        };
        packet.track = track;
        if rewritten { Verdict::Accept } else { Verdict::Drop(DropReason::NatUntranslatable) }
    }
}

const fn is_icmp(packet: &Packet) -> bool {
    matches!(
        (packet.family(), packet.header.protocol),
        (Family::Ipv4, protocol::ICMP) | (Family::Ipv6, protocol::ICMPV6)
    )
}
