//! What rules made of a packet is remembered for those that follow in its flow, with every counter exact.
//!
//! A [`Passage`] is a packet's way through the rules behind tracking: for each base chain that saw it one [`Section`],
//! with what the chain's decision rested on, what it counted, which marks it gave, and how it ended. While a packet is
//! [`Passing::Recorded`], rules tell the worker's [`Recording`] what they read and do. What they read is either the same
//! for every packet of a flow and direction (addresses, ports, the flow's tuples, its zone), or it is noted with its value
//! ([`Seen`]: ports of entry and exit, marks, `ct state`), or the packet's way is not to be remembered at all: that list is
//! one of what may be remembered, so what nobody has thought of is walked. At the end of its way the recording becomes a
//! passage in the [`Passages`] of the chains it walked, and its flow remembers the number.
//!
//! A packet whose flow has a number is [`Passing::Recalled`]. Each base chain then compares what its section rested on
//! with the packet as it is there and then, adds the packet to the section's totals and returns what it returned before.
//! Where something differs, such as the port of exit because the route has moved, the packet is walked from there on, and
//! recorded anew. Chains before tracking are always walked, and no other hook is ever skipped, so a section is passed only
//! by packets that would have met its chain.
//!
//! # Rules that change
//!
//! Passages belong to [`crate::chain::Chains`] and change hands with them. Numbers are never given twice: those of chains
//! that are gone lie below the first number of the present ones, so that a reload, a changed set or map, or a hook that
//! comes or goes makes all flows forget at once. When the numbers are used up (after four billion), nothing is kept any
//! more.
//!
//! # Why no packet is lost or counted twice
//!
//! Each worker adds to totals of its own in a section, by plain stores, which only it writes and which only grow.
//! [`Passages::fold`] reads them and adds to the counters what they have grown by since it was there last; where it was is
//! swapped in one step, so that of two folds at once each part goes to one of them. So the sum of what counters have and
//! what totals have grown by since is at any time what has been counted, and a counter that is read behind a fold lacks no
//! packet whose worker was through with it before.
//!
//! Passages that have been replaced may still be used by workers in the middle of a turn: a worker's [`Chains`] keep them
//! alive. [`Registry`] holds on to them, folds them too, and lets them go with the last fold after it has seen that
//! nobody else has them. From then on nobody can add to them. The counters are those of the rules that were walked, alive
//! as long as a passage names them; a rule that outlives a reload has the same counter in both rulesets and gets what both
//! have counted.
//!
//! Who reads, resets or replaces counters calls [`Registry::fold`] first.
//!
//! [`Chains`]: crate::chain::Chains
//! [`Registry`]: crate::chain::Registry
//! [`Registry::fold`]: crate::chain::Registry::fold

pub mod negative;
mod passage;
mod passages;
mod recording;
mod seen;
#[cfg(test)]
mod tests;
mod totals;

pub use passage::{End, Passage, Section};
pub use passages::{Known, PASSAGES_MAX, Passages};
pub use recording::{COUNTERS_MAX, Recording, SECTIONS_MAX, Unfit};
pub use seen::{Seen, What};
pub(crate) use seen::{link_number, output};

/// Where a packet stands towards what rules have made of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passing {
    /// Rules judge it, and nothing is remembered.
    #[default]
    Judged,
    /// Rules judge it and tell the worker's recording, if that is still at this number.
    Recorded(u32),
    /// Its flow knows what rules make of it.
    Recalled {
        /// Number of the passage.
        passage: u32,
        /// The section that the next base chain is to have.
        next: u16,
    },
}
