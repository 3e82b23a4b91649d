//! The hooks forwarding is made of, one in each file; [`crate::compose`] registers them.

mod confirm;
mod defragment;
mod helper;
mod keep_route;
mod nat;
mod route_from_flow;
mod track;

pub use confirm::Confirm;
pub use defragment::Defragment;
pub use keep_route::KeepRoute;
pub use nat::{Nat, NatChain};
pub use route_from_flow::RouteFromFlow;
pub use track::TrackFlow;
