//! The router: ports, the walk of a packet, its hooks, and what keeps them in step with the kernel.

pub mod chain;
pub mod clock;
pub mod compose;
pub mod config;
pub mod control;
pub mod daemon;
pub mod drops;
pub mod engine;
pub mod flow;
pub mod frame;
pub mod guard;
pub mod hooks;
pub mod interned;
pub mod mirror;
pub mod nat;
pub mod news;
pub mod offload;
pub mod packet;
pub mod port;
pub mod privileges;
pub mod rules;
pub mod stats;
mod sync;
pub mod sysctl;
pub mod tabletop;
pub mod verdict;
pub mod worker;
