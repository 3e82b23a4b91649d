//! What is for this host and what is from it, on the table.

mod handover;
mod own;
