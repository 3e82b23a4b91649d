//! The words of routerd and routerctl: messages, a client, and how replies look.
//!
//! [`message`] is the contract: what may be asked, and the rows that come back, whose JSON form is documented in
//! `docs/control.md` and stable. [`frame`] puts messages on a stream, [`client`] speaks them with a running
//! routerd, [`render`] prints them for people and for programs, [`command`] reads routerctl's command line,
//! [`lines`] the lines of a configuration that say the same. [`queue`] is for programs that judge packets.
//!
//! This crate knows nothing of the router's insides: the router translates its tables into these rows.

pub mod address;
pub mod client;
pub mod command;
pub mod frame;
pub mod lines;
pub mod message;
pub mod names;
pub mod namespace;
pub mod queue;
pub mod render;

#[cfg(test)]
mod samples;
