//! Where a destination goes: what was announced (the RIB), what is used (the FIB), and when a kept answer is still true.
//!
//! Data flows one way: [`change::Change`]s go into the [`writer::Writer`], which keeps the [`rib`], works out
//! what can be used and publishes it; readers take a [`snapshot::Snapshot`] once a turn and ask it
//! [`snapshot::Snapshot::lookup`]. Neighbors and ports are shared cells ([`adjacency`]) that are edited in place,
//! so that a neighbor's new MAC reaches every flow without a flow being touched.
//!
//! Whoever keeps an answer keeps a [`cache::Way`] with the generation it is known to be good at; the [`journal`], which is
//! part of the snapshot, tells whether anything since could have made it another.
//!
//! This crate opens no socket, reads no clock and knows nothing of packets.
//!
//! ```
//! use fib::adjacency::{LinkIndex, Mac, PortId};
//! use fib::change::{Change, Link, NextHop, Route, RouteType, Scope, Target};
//! use fib::snapshot::{Adjacency, Query};
//! use fib::writer::Writer;
//!
//! let mut writer = Writer::new(vec!["r0".into()], 1024);
//! let worker = writer.reader();
//! let link = Link {
//!     index: LinkIndex(7), name: "r0".into(), kind: "veth".into(), mac: Mac([2, 0, 0, 0, 0, 1]), mtu: 1500,
//!     admin_up: true, carrier: true, loopback: false, no_arp: false, master: None, vrf_table: None,
//! };
//! let hop = NextHop {
//!     link: Some(LinkIndex(7)), via: Some("192.0.2.1".parse()?), weight: 1, onlink: false, dead: false,
//! };
//! let default = Route {
//!     table: 254, prefix: "0.0.0.0/0".parse()?, kind: RouteType::Unicast, protocol: 4, scope: Scope::UNIVERSE, tos: 0,
//!     metric: 0, preferred_source: None, mtu: 0, target: Target::NextHops(vec![hop]),
//! };
//! writer.apply([Change::Link(link), Change::Route(default)]);
//!
//! let snapshot = worker.load();
//! let query = Query {
//!     destination: "203.0.113.7".parse()?, source: "192.0.2.9".parse()?, input: Some(PortId(0)), mark: 0, tos: 0,
//!     protocol: 17, source_port: 4000, destination_port: 53,
//! };
//! let Adjacency::Forward(hop) = snapshot.lookup(&query).adjacency else { panic!("a default route") };
//! assert_eq!((hop.port, hop.gateway), (PortId(0), Some("192.0.2.1".parse()?)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod adjacency;
pub mod cache;
pub mod change;
pub mod journal;
pub mod lpm;
mod path;
pub mod publish;
pub mod rib;
#[cfg(test)]
mod rig;
pub mod snapshot;
pub mod writer;

pub use path::Reason;
