//! The words of nft's language and what they stand for: one table each, read by the checker, the listing and the JSON.

pub mod fields;
pub mod keys;
pub mod options;
pub mod priorities;
pub mod symbols;
pub mod types;
