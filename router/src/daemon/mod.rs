//! The router as a process: started, kept in step with the kernel, asked and told by users, ended without trace.
//!
//! Everything here runs on one thread, the control thread: [`start()`] puts the parts together or says what is wrong,
//! [`run()`] moves news between the mirror, the workers and the users until a signal ends it.

mod chronicle;
mod core;
mod handover;
mod host;
mod last_hop;
mod neighborhood;
mod own;
mod ports;
mod rules;
mod run;
mod show;
mod start;
mod steer;
mod tell;

pub use chronicle::{Chronicle, Sums};
pub use core::{Core, PortKind, Seat};
use handover::DEVICE;
pub use handover::{Handover, HandoverError};
pub use host::Own;
pub use rules::{Rules, Take, check_file};
pub use run::run;
pub use start::{Daemon, start};
