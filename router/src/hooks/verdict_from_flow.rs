//! Takes what rules make of a packet from its flow, so that they need not be walked.

use conntrack::CtState;

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, FlowCache, Kind, Packet};
use crate::flow::{Flow, Track};
use crate::verdict::{Known, Passing};

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
        let Track::Flow { flow: Flow::Conn(conn), direction, state } = &packet.track else {
            return Verdict::Accept;
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
