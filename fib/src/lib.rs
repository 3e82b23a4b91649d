//! Where a destination goes: what was announced (the RIB), what is used (the FIB), and when a kept answer is still true.
//!
//! Data flows one way: [`change::Change`]s go into the [`writer::Writer`], which keeps the [`rib`], works out
//! what can be used and publishes it; readers take a [`snapshot::Snapshot`] once a turn and ask it
//! [`snapshot::Snapshot::lookup`]. Neighbors and ports are shared cells ([`adjacency`]) that are edited in place,
//! so that a neighbor's new MAC reaches every flow without a flow being touched.
//!
//! This crate opens no socket, reads no clock and knows nothing of packets.

pub mod adjacency;
pub mod cache;
pub mod change;
pub mod lpm;
mod path;
pub mod publish;
pub mod rib;
#[cfg(test)]
mod rig;
pub mod snapshot;
pub mod writer;

pub use path::Reason;
