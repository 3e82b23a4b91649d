//! Rules in nft's language: text is parsed into a tree, checked into a [`model`], compiled and run.
//!
//! What outlives a reload, such as counters, is [`state`] and shared by the old rules and the new.

pub mod install;
pub mod journal;
mod lookup;
pub mod model;
pub mod run;
pub mod state;
pub mod syntax;
