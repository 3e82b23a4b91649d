//! Rules on a router on the table: what each match reads, what each statement does.

mod against_oracle;
mod build;
mod frames;
mod live;
mod local;
mod matches;
mod reload;
mod statements;
mod texts;
