//! A set that packets and time change.

/// The elements of a dynamic set, or of one with timeouts. Bounded by the set's size.
#[derive(Debug)]
pub struct LiveSet {}
