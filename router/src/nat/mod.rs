//! Translation of addresses and ports, as the kernel's `nf_nat`: what a flow is to look like on its other side is decided
//! with its first packet; each packet after that is rewritten from what the flow's two tuples say.
//!
//! A rule decides by [`setup`], [`masquerade`] or [`redirect`], called from a chain of [`crate::hooks::Nat`]; that hook
//! decides what no rule has, and rewrites. What these functions return is the verdict of the statement: `Accept` ends the
//! chain, `Drop` the packet.

mod error;
mod jhash;
mod local;
mod payload;
mod range;
mod rewrite;
mod sequence;
mod unique;

use conntrack::{Direction, Instant, Status};

pub use local::{Masquerades, forget_masqueraded, is_turned_back, masquerade, redirect, turn_back};
pub use range::{Flags, Manip, Range};

pub(crate) use error::translate_error;
pub(crate) use payload::announce;
pub(crate) use rewrite::{translate, write_end, write_sctp_checksum};
pub(crate) use sequence::shift_numbers;

use crate::chain::Verdict;
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::{Conn, Flow, FlowTable, Tentative, Track};

/// Decides one side of a packet's flow (`nf_nat_setup_info`). Nothing is decided for a flow that is in the table already,
/// a packet without one, or a range of another family than the packet's.
///
/// When no id is left that makes the flow's replies unlike any other's, the packet is to be dropped
/// ([`DropReason::NatExhausted`]); the kernel drops it when it cannot confirm the flow.
pub fn setup(
    packet: &mut Packet,
    context: &Context<'_>,
    table: &FlowTable,
    range: &Range,
    manip: Manip,
) -> Verdict {
    let range = range.for_address(match manip {
        Manip::Source => packet.source(),
        Manip::Destination => packet.destination(),
    });
    match &mut packet.track {
        Track::Flow { flow: Flow::Tentative(tentative), .. } => {
            decide(tentative, table, context.now, &range, manip)
        }
        _ => Verdict::Accept,
    }
}

/// Decides that one side of a packet's flow stays as it is, as far as its replies can be told from all others
/// (`nf_nat_alloc_null_binding`): if another flow has them, the source's id is translated all the same.
pub(crate) fn leave_as_is(
    packet: &mut Packet,
    context: &Context<'_>,
    table: &FlowTable,
    manip: Manip,
) -> Verdict {
    let Track::Flow { flow: Flow::Tentative(tentative), .. } = &mut packet.track else {
        return Verdict::Accept;
    };
    let reply = tentative.tuple(Direction::Reply);
    let address = match manip {
        Manip::Source => reply.destination(),
        Manip::Destination => reply.source(),
    };
    decide(tentative, table, context.now, &Range::to(address), manip)
}

/// Decides both sides of a flow that another announced (`nf_nat_follow_master`): its source becomes what the master's is
/// on that side, its destination is the master's own end, at the id `destination_id` that was expected before it was
/// translated.
///
/// `direction` is the direction in `master` that the first packet of the announced flow takes.
pub fn follow_master(
    tentative: &mut Tentative,
    table: &FlowTable,
    now: Instant,
    master: &Conn,
    direction: Direction,
    destination_id: u16,
) -> Verdict {
    let other_end = master.tuple(direction.opposite());
    let source = Range::to(other_end.destination());
    match decide(tentative, table, now, &source, Manip::Source) {
        Verdict::Accept => {}
        refused => return refused,
    }
    let destination = Range { ids: Some((destination_id, destination_id)), ..Range::to(other_end.source()) };
    decide(tentative, table, now, &destination, Manip::Destination)
}

/// Whether it has been decided what becomes of this side of a flow (`nf_nat_initialized`).
pub(crate) fn is_decided(status: Status, manip: Manip) -> bool {
    status.contains(manip.done())
}

/// Whether packets of `direction` are rewritten on this side.
pub(crate) fn is_rewritten(status: Status, manip: Manip, direction: Direction) -> bool {
    let bit = match direction {
        Direction::Original => manip.applied(),
        Direction::Reply => manip.opposite().applied(),
    };
    status.contains(bit)
}

fn decide(
    tentative: &mut Tentative,
    table: &FlowTable,
    now: Instant,
    range: &Range,
    manip: Manip,
) -> Verdict {
    if is_decided(tentative.status(), manip) || !range.is_of(tentative.family()) {
        return Verdict::Accept;
    }
    let reply = tentative.tuple(Direction::Reply);
    let Some(current) = table.invert(&reply) else { return Verdict::Accept };
    let search = unique::Search { table, flow: tentative, now, range, manip };
    let wanted = search.run(&current);
    let is_new = wanted != current;
    let Some(reply) = table.invert(&wanted) else { return Verdict::Accept };
    // Behind the destination there is still the source, whose id may make the difference.
    let is_taken = manip == Manip::Source
        && if is_new {
            table.is_taken(&reply, tentative, now)
        } else {
            table.is_own_reply_taken(tentative, now)
        };
    if is_taken {
        return Verdict::Drop(DropReason::NatExhausted);
    }
    let mut bits = manip.done();
    if is_new {
        tentative.set_reply(reply);
        bits = bits | manip.applied();
    }
    tentative.note_translation(bits);
    Verdict::Accept
}

#[cfg(test)]
mod tests;
