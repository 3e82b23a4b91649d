//! The hooks forwarding is made of, one in each file; [`crate::compose`] registers them.

mod confirm;
mod defragment;
mod helper;
mod keep_route;
mod keep_verdict;
mod last_hop;
mod nat;
mod route_from_flow;
mod track;
mod verdict_from_flow;

pub use confirm::Confirm;
pub use defragment::Defragment;
pub use keep_route::KeepRoute;
pub use keep_verdict::{KeepVerdict, keep};
pub use last_hop::LastHopHook;
pub use nat::{Nat, NatChain};
pub use route_from_flow::RouteFromFlow;
pub use track::TrackFlow;
pub(crate) use track::datagram;
pub use verdict_from_flow::VerdictFromFlow;
