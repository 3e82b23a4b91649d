//! The router as a process: started, kept in step with the kernel, asked and told by users, ended without trace.

mod core;
mod show;

pub use core::{Core, GuardState, PortKind, Seat};
