//! Enters a tentative flow into the table once its first packet has passed everything, and has helpers look at packets
//! before they leave (`nf_confirm`).

use std::sync::Arc;

use conntrack::{Confirmed, Direction};

use super::helper;
use crate::chain::{Hook, Needs, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::{Flow, FlowTable, Track};

/// The last hook of a packet's way.
pub struct Confirm {
    flows: Arc<FlowTable>,
}

impl Confirm {
    /// Confirms into `flows`.
    #[must_use]
    pub const fn new(flows: Arc<FlowTable>) -> Self {
        Self { flows }
    }
}

impl Confirm {
    /// Tells subscribers what the packet has changed in its flow.
    fn tell(&self, packet: &Packet, context: &Context<'_>) {
        if let Track::Flow { flow: Flow::Conn(conn), .. } = &packet.track
            && !conn.is_plain()
        {
            self.flows.deliver(conn, context.now);
        }
    }
}

impl Hook for Confirm {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if let Track::Flow { flow, .. } = &packet.track
            && !flow.is_plain()
        {
            match helper::attend(packet, context, &self.flows) {
                Verdict::Accept => {}
                refused => return refused,
            }
        }
        let (tentative, direction, state) = match std::mem::take(&mut packet.track) {
            Track::Flow {
                flow: Flow::Tentative(tentative),
                direction: direction @ Direction::Original,
                state,
            } => (tentative, direction, state),
            // An error of the router's own about a flow's first packet makes no flow of it.
            other => {
                packet.track = other;
                self.tell(packet, context);
                return Verdict::Accept;
            }
        };
        let (conn, direction) = match self.flows.confirm(tentative, context.now) {
            Confirmed::Inserted(conn) => (conn, direction),
            Confirmed::Merged { conn, direction } => (conn, direction),
            Confirmed::Refused => return Verdict::Drop(DropReason::FlowClash),
        };
        packet.track = Track::Flow { flow: Flow::Conn(conn), direction, state };
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}
