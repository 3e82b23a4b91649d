//! The router: ports, the walk of a packet, its hooks, and what keeps them in step with the kernel.

pub mod frame;
pub mod port;
