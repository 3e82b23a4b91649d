//! Hooks as in netfilter: points where a packet is shown to functions that anybody may register.
//!
//! A hook sits at a [`Point`] of a [`Family`], before and after others by priority, and ends in a [`Verdict`].
//! [`Registry`] is where hooks come and go at run time; workers read a frozen [`Chains`] once a turn.

mod frozen;
mod point;
mod registry;

pub(crate) use frozen::Seat;
pub use frozen::{Chain, Chains, Outcome, REPEATS_MAX, Walked};
pub use point::{Family, Point, priority};
pub use registry::{HOOKS_MAX, HookRow, Place, Refused, Registration, Registry};

use crate::drops::DropReason;
use crate::engine::{Context, Packet};

/// What becomes of a packet after a hook has seen it (`NF_ACCEPT` … in `include/uapi/linux/netfilter.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with the next hook.
    Accept,
    /// The packet ends here, counted under this reason.
    Drop(DropReason),
    /// The hook has taken the packet (see [`Packet::steal`]); the walk forgets it.
    Stolen,
    /// To the program that listens on a queue; it comes back behind this hook.
    Queue {
        /// Number of the queue.
        number: u16,
        /// Go on with the next hook if nobody listens there; else the packet is dropped.
        bypass: bool,
    },
    /// Call this hook again, at most [`REPEATS_MAX`] times in a row.
    Repeat,
    /// Go on with the walk; the hooks left at this point are not called.
    Stop,
}

/// A function on the packet's way. One value serves all workers at once.
pub trait Hook: Send + Sync {
    /// Looks at the packet, may change it, and decides.
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict;

    /// Which packets have to be shown to it.
    fn needs(&self) -> Needs {
        Needs::EveryPacket
    }
}

/// Which packets have to be shown to a hook: others may be forwarded without a walk ([`crate::offload`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Those that the walk itself is for: what it does to the others of their flow is in their rewrite
    /// ([`crate::offload::Rewrite`]).
    WalkedPackets,
    /// Those of flows about which it has not decided yet.
    UndecidedFlows,
    /// All, except those of flows of which it is remembered what all rules make of them.
    Unremembered,
    /// All.
    EveryPacket,
}
