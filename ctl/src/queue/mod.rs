//! Programs that decide what becomes of packets: rules send packets to a queue, a program gives each a verdict.

pub mod message;
