//! What a router that is its own host does for itself, which the kernel does elsewhere.

pub mod neighborhood;
pub mod spoken;
pub mod tables;
