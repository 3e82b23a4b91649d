//! The lab tool: demo, benches and scenarios on simulated ground and in real namespaces.
fn main() {}
