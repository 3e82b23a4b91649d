//! Flows while the network around them changes: routes that move, links that are cut, gateways that fail over, routes
//! that are learned. Streams live, packets follow at once, and who is not concerned notices nothing.

mod cut;
mod effects;
mod failover;
mod feed;
mod ground;
mod moved;
mod neighbors;
mod ring;
mod watched;
