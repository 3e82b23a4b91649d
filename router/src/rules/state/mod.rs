//! What rules remember from packet to packet: counters, quotas, limits, live sets. It outlives a reload of the rules.

mod counter;
mod live_set;
mod meter;

pub use counter::{Counter, Last, Quota, Sequence};
pub use live_set::{Inserted, Live, LiveElement, LiveSet, Place, SIZE_MAX_IF_UNSAID, Touch, fresh};
pub use meter::{FlowCount, Limit};
