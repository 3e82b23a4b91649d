//! Replies that go back where their flow came from, in namespaces: firewalls that see one direction only, and pairs of
//! gateways under keepalived that fail over in mid-download.

mod asymmetric;
mod failover;
