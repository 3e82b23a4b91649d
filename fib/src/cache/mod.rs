//! What a flow remembers of its route, and when that is still to be believed.
//!
//! A [`Way`] is an answer of the routing state with all that its validity rests on, and nothing of the flow that asked:
//! flows that go the same way hold the same value. What a flow has of its own is a [`Stamp`]: the version of the
//! routing state up to which its way is known to be good. [`Way::judge`] asks the journal of the present state
//! ([`crate::journal`]) whether anything since that version could make the answer another.

mod reason;
mod stamp;
mod way;

pub use self::reason::Staleness;
pub use self::stamp::Stamp;
pub use self::way::{Judgement, Renewal, Way};

/// How much a kept route is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Trust {
    /// While nothing has changed that could make it another.
    #[default]
    Generation,
    /// Whatever becomes of the routing state: `flow-cache hold`.
    Hold,
}

#[cfg(test)]
mod tests;
