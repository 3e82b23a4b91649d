//! The control socket: what routerctl asks is answered here, without a worker ever waiting for it.
//!
//! [`Server::serve`] is one future that runs beside the mirror on the control thread. It owns all clients, spawns
//! nothing, and is ended by dropping it. What the router knows comes in through [`Sources`], what it can be told
//! to do through [`Actions`]; [`answer()`] turns a question into pages of rows and does no input or output.

mod answer;
mod events;
mod listen;
mod serve;
mod session;
mod sources;

#[cfg(test)]
mod fake;

pub use answer::{act, answer};
#[cfg(test)]
pub(crate) use events::Told;
pub use events::{EVENTS_MAX, Events};
pub use listen::BindError;
pub(crate) use listen::Claim;
pub use serve::{ControlStats, Limits, Server};
pub use sources::{Actions, Pages, Sources, Sweep};
