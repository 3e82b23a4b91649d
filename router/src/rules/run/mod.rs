//! Rules as packets meet them: the chains of a table compiled into flat instructions, and their evaluation.
//!
//! A table is compiled once for each network family ([`compile()`]); a [`RuleHook`] enters the code at its base chain. What
//! a rule reads often is read once a packet; comparisons of up to eight bytes are one subtraction and one comparison.
//! A value that cannot be had ends the rule (`NFT_BREAK`), exactly where the kernel's expressions do.

mod compile;
mod evaluate;
mod hook;
#[cfg(test)]
mod oracle;
mod program;
mod tables;
#[cfg(test)]
mod tests;

pub use compile::{ReadySets, compile};
pub use hook::{RuleHook, World};
pub use program::Code;
