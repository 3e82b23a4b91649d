//! What has changed in the routing state, change by change.

/// An entry's place in the journal: the first is 0, each later one is one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);
