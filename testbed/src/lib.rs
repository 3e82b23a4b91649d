//! Ground to try the router on: labs in network namespaces, crafted frames, and the kernel to compare with.

pub mod lab;
