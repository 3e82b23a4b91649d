//! Keeps what rules have made of a packet in its flow, for those that follow.

use conntrack::{CtState, Direction, Status};
use fib::cache::Stamp;

use crate::chain::{Hook, Needs, Verdict};
use crate::engine::{Context, Packet};
use crate::flow::{Conn, Flow, Kept, Tentative, Track};
use crate::verdict::negative::{Drop, Name};
use crate::verdict::{End, Passing, Unfit};

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
    match &packet.track {
        Track::Flow { flow: Flow::Conn(conn), direction, state } => {
            keep_in_flow(conn, *direction, *state, context, number);
        }
        Track::Flow { flow: Flow::Tentative(flow), .. } => keep_drop(flow, packet, context, number),
        Track::Unseen | Track::Invalid | Track::Untracked => {}
    }
    context.recording.clear();
}

fn keep_in_flow(conn: &Conn, direction: Direction, state: CtState, context: &mut Context<'_>, number: u32) {
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
    conn.user.set_verdict(direction, word);
}

/// Remembers that a packet that would have begun a flow was dropped, if it was.
fn keep_drop(flow: &Tentative, packet: &Packet, context: &mut Context<'_>, number: u32) {
    let Some(End::Dropped(_, refusal)) = context.recording.end() else { return };
    if context.recording.unfit(number).is_some() {
        return;
    }
    let Some(passage) = context.passages.keep(context.recording) else { return };
    let kept = match (packet.learned, packet.recalled) {
        (Some(learned), _) if learned.has_place(context.routing) => {
            let way = context.ways.number(learned.way);
            way.map_or(Kept::NOTHING, |way| Kept::new(way, Stamp::of(learned.generation)))
        }
        (Some(_), _) | (None, None) => Kept::NOTHING,
        (None, Some(recalled)) => recalled.kept,
    };
    // Translation may have other plans for the next one.
    let is_plain = refusal.is_none() && !flow.status().intersects(Status::NAT);
    let name = Name {
        tuple: flow.tuple(Direction::Original),
        input: packet.input(),
        mark: context.recording.mark(),
    };
    context.negative.keep(name, Drop { passage, kept, is_plain }, context.now);
    context.counters.negative_cache_kept.raise();
}
