//! The card against the walk: what leaves with it is what leaves without it.

mod behaviour;
mod equal;
mod events;
mod world;
