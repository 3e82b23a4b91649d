//! Rules on a router on the table: what each match reads, what each statement does.

mod build;
mod matches;
mod statements;
