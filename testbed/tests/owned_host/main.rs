//! A router that is its own host: what its programs, its hosts and its neighbors see is what they see of the kernel.

mod bgp;
mod built_in;
mod ground;
mod hooks;
mod neighbors;
mod programs;
mod quiet;
