//! The router: ports, the walk of a packet, its hooks, and what keeps them in step with the kernel.

pub mod clock;
pub mod control;
pub mod engine;
pub mod frame;
pub mod guard;
pub mod mirror;
pub mod packet;
pub mod port;
pub mod privileges;
pub mod sysctl;
pub mod worker;
