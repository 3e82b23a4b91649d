//! Ground to try the router on: labs in network namespaces, crafted frames, and the kernel to compare with.

pub mod bench;
pub mod compare;
pub mod demo;
pub mod feed;
pub mod frames;
pub mod fuzz;
pub mod lab;
pub mod mutations;
pub mod null;
pub mod oracle;
pub mod programs;
pub mod proof;
pub mod router;
pub mod rulesets;
pub mod scenario;
pub mod sim;
pub mod wire;
