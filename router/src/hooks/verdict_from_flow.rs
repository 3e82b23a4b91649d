//! Takes what rules make of a packet from its flow, so that they need not be walked.

use conntrack::{CtState, Direction};

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, FlowCache, Kind, Packet};
use crate::flow::{Flow, Tentative, Track};
use crate::verdict::{Known, Passing, negative};

/// Right behind connection tracking: from here on base chains pass the packet as they passed the one that its flow
/// remembers, or tell the worker's recording what they do.
#[derive(Default)]
pub struct VerdictFromFlow;

impl Hook for VerdictFromFlow {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        // Options may change where a packet goes, and traced packets are told of each rule.
        if packet.trace || packet.header.has_options {
            return Verdict::Accept;
        }
        let (conn, direction, state) = match &packet.track {
            Track::Flow { flow: Flow::Conn(conn), direction, state } => (conn, direction, state),
            Track::Flow { flow: Flow::Tentative(flow), state: CtState::New, .. } => {
                packet.passing = begin(flow, packet, context);
                return Verdict::Accept;
            }
            _ => return Verdict::Accept,
        };
        let own = conn.user.history(*direction).verdict_mode();
        if own.unwrap_or(context.flow_cache.of(Kind::Verdict)) == FlowCache::Off {
            return Verdict::Accept;
        }
        let is_established = match state {
            CtState::New => false,
            CtState::Established | CtState::EstablishedReply => true,
            CtState::Related | CtState::RelatedReply => return Verdict::Accept,
        };
        let number = conn.user.verdict(*direction);
        packet.passing = match context.passages.find(number) {
            Known::Passage(_) => {
                context.counters.verdict_cache_hits.raise();
                Passing::Recalled { passage: number, next: 0 }
            }
            Known::Unfit { established } if established == is_established => Passing::Judged,
            Known::Unfit { .. } | Known::Nothing => Passing::Recorded(context.recording.begin()),
        };
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}

/// Of a packet that begins a flow only its drop is to be remembered, apart from the flow ([`crate::verdict::negative`]).
fn begin(flow: &Tentative, packet: &Packet, context: &mut Context<'_>) -> Passing {
    if !context.flow_cache.uses(Kind::Negative) || flow.expectation().is_some() || !negative::is_fit(packet) {
        return Passing::Judged;
    }
    context.recording.note_mark(packet.mark);
    let number = flow.user.verdict(Direction::Original);
    if context.passages.get(number).is_some() {
        return Passing::Recalled { passage: number, next: 0 };
    }
    Passing::Recorded(context.recording.begin())
}
