//! What few flows need right before their packets leave: a helper reads them, sequence numbers are shifted
//! (`nf_confirm`). Called by [`super::Confirm`] for flows that are not plain.

use conntrack::{Advice, Announcement, CtState, Direction, Message, Status, Wanted, protocol};

use crate::chain::Verdict;
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::{Flow, FlowTable, Track};
use crate::nat;

/// Looks after a packet of a flow that is not plain.
pub(super) fn attend(packet: &mut Packet, context: &Context<'_>, flows: &FlowTable) -> Verdict {
    let track = std::mem::take(&mut packet.track);
    let refused = match &track {
        // Errors about a flow are not its packets.
        Track::Flow { flow, direction, state } if packet.header.protocol == flow.protocol() => {
            let way = Way { flow, direction: *direction, state: *state };
            way.attend(packet, context, flows)
        }
        _ => None,
    };
    packet.track = track;
    refused.map_or(Verdict::Accept, Verdict::Drop)
}

/// A packet's way in its flow.
struct Way<'a> {
    flow: &'a Flow,
    direction: Direction,
    state: CtState,
}

impl Way<'_> {
    fn attend(&self, packet: &mut Packet, context: &Context<'_>, flows: &FlowTable) -> Option<DropReason> {
        // What the helper changes in this packet shifts those after it.
        let is_shifted = self.flow.status().contains(Status::SEQ_ADJUST);
        if self.flow.helper().is_some() && !self.help(packet, context, flows) {
            return Some(DropReason::HelperRefused);
        }
        let shifts = is_shifted && packet.header.protocol == protocol::TCP;
        (shifts && !nat::shift_numbers(packet, self.flow, self.direction))
            .then_some(DropReason::SequenceUnreadable)
    }

    /// Shows the packet to the flow's helper, and expects what it announces. False if it is not to pass.
    fn help(&self, packet: &mut Packet, context: &Context<'_>, flows: &FlowTable) -> bool {
        let message = Message {
            transport: &packet.ip()[packet.header.transport..],
            direction: self.direction,
            state: self.state,
            tuples: Direction::ALL.map(|direction| self.flow.tuple(direction)),
        };
        match flows.help(self.flow, &message) {
            Advice::Pass => true,
            Advice::Drop => false,
            Advice::Expect(announcement) => self.expect(packet, context, flows, &announcement),
        }
    }

    fn expect(
        &self,
        packet: &mut Packet,
        context: &Context<'_>,
        flows: &FlowTable,
        announcement: &Announcement,
    ) -> bool {
        let master = self.flow.shared();
        if master.status().intersects(Status::SRC_NAT | Status::DST_NAT) {
            return nat::announce(packet, flows, master, self.direction, announcement, context.now);
        }
        let wanted = Wanted {
            pattern: announcement.pattern,
            class: announcement.class,
            permanent: false,
            inactive: false,
            helper: None,
            nat: None,
        };
        flows.expect(master, wanted, context.now).is_ok()
    }
}

#[cfg(test)]
mod tests;
