//! Keeps what rules have made of a packet in its flow, for those that follow.

use conntrack::CtState;

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, Packet};
use crate::flow::{Flow, Track};
use crate::verdict::{Passing, Unfit};

/// Behind all rules, at the end of input and postrouting.
#[derive(Default)]
pub struct KeepVerdict;

impl Hook for KeepVerdict {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if let Passing::Recorded(number) = packet.passing {
            keep(packet, context, number);
        }
        Verdict::Accept
    }

    fn needs(&self) -> Needs {
        Needs::WalkedPackets
    }
}

/// Keeps what has been recorded of a packet. Of packets that rules drop this is the end, too.
pub fn keep(packet: &mut Packet, context: &mut Context<'_>, number: u32) {
    packet.passing = Passing::Judged;
    keep_in_flow(packet, context, number);
    context.recording.clear();
}

fn keep_in_flow(packet: &Packet, context: &mut Context<'_>, number: u32) {
    let Track::Flow { flow: Flow::Conn(conn), direction, state } = &packet.track else { return };
    let word = match context.recording.unfit(number) {
        None => {
            let Some(word) = context.passages.keep(context.recording) else { return };
            context.counters.verdict_cache_kept.raise();
            word
        }
        Some(unfit) => {
            context.counters.verdict_cache_unfit.raise();
            if unfit == Unfit::Once {
                return;
            }
            context.passages.unfit(!matches!(state, CtState::New))
        }
    };
    conn.user.set_verdict(*direction, word);
}
