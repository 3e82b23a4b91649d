//! A router with three ports, two of which lead to the same servers, and frames for it.

use std::sync::Arc;

use conntrack::{Cursor, Status};
use fib::change::Change;
use smoltcp::wire::TcpControl;

use crate::offload::Card;
use crate::port::memory::Parcel;
use crate::rules::check::Environment;
use crate::rules::install::RuleHooks;
use crate::rules::model::Ruleset;
use crate::rules::run::World as RuleWorld;
use crate::rules::{self, syntax};
use crate::tabletop::frames::{Ends, HOST};
use crate::tabletop::{Tabletop, link};

/// Link addresses of what answers on ports 1 and 2.
pub(super) const GATEWAYS: [[u8; 6]; 2] = [[2, 0, 0, 0, 2, 2], [2, 0, 0, 0, 3, 2]];

/// Prefixes of the servers, one in each family.
pub(super) const SERVERS: [&str; 2] = ["192.0.2.0/24", "2001:db8::/32"];

/// The next hops towards them, by port.
pub(super) const NEXT_HOPS: [[&str; 2]; 2] = [["10.0.1.2", "fd01::2"], ["10.0.2.2", "fd02::2"]];

/// Rules that let nothing through.
pub(super) const DROP: &str = "
table ip t {
    chain c {
        type filter hook forward priority 0; policy drop;
    }
}
";

/// A router, its rules, and its card if it has one.
pub(super) struct World {
    pub(super) table: Tabletop,
    pub(super) card: Option<Arc<Card>>,
    rules: RuleHooks,
}

/// What is kept of a flow, but for who forwards it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowPicture {
    tuples: String,
    status: u32,
    mark: u32,
    state: Option<&'static str>,
    expires: u64,
    traffic: [(u64, u64); 2],
}

impl World {
    pub(super) fn new(with_card: bool) -> Self {
        let mut table = Tabletop::new(&["r0", "r1", "r2"]);
        for (port, net) in [
            (0, "10.0.0.1/24"),
            (1, "10.0.1.1/24"),
            (2, "10.0.2.1/24"),
            (0, "fd00::1/64"),
            (1, "fd01::1/64"),
            (2, "fd02::1/64"),
        ] {
            table.address(port, net);
        }
        for host in 2..6 {
            table.neighbor(0, &format!("10.0.0.{host}"), Some(HOST.0));
            table.neighbor(0, &format!("fd00::{host}"), Some(HOST.0));
        }
        for (index, mac) in GATEWAYS.into_iter().enumerate() {
            for address in NEXT_HOPS[index] {
                table.neighbor(index + 1, address, Some(mac));
            }
        }
        for (prefix, via) in SERVERS.into_iter().zip(NEXT_HOPS[0]) {
            table.route(prefix, via, 1);
        }
        let shared = table.shared();
        let rules = RuleHooks::new(Arc::new(RuleWorld::new(shared.flows.clone(), shared.ports.clone(), 1)));
        let card = with_card.then(|| table.insert_card(64));
        Self { table, card, rules }
    }

    pub(super) fn load(&mut self, text: &str) {
        let none = Ruleset::default();
        let loaded = rules::load(&none, "rules", text, &mut syntax::nothing, &Environment::default());
        let ruleset = loaded.unwrap_or_else(|error| panic!("{error}")).commit(self.table.now());
        self.rules.install(self.table.hooks(), &ruleset).expect("there is room");
    }

    pub(super) fn pass(&mut self, port: usize, parcel: impl Into<Parcel>) -> [Vec<Parcel>; 3] {
        self.table.pass(port, parcel);
        self.take()
    }

    /// What has left by each port.
    pub(super) fn take(&mut self) -> [Vec<Parcel>; 3] {
        [0, 1, 2].map(|port| self.table.take(port))
    }

    /// Sets what a port's device is like.
    pub(super) fn set_link(&mut self, port: usize, up: bool, mtu: u32) {
        let name = format!("r{port}");
        let link = fib::change::Link { admin_up: up, mtu, ..link(port, &name) };
        self.table.apply([Change::Link(link)]);
    }

    pub(super) fn offloaded(&self) -> u64 {
        self.table.counters().offloaded.get()
    }

    /// Every flow, in an order of its own.
    pub(super) fn flows(&self) -> Vec<FlowPicture> {
        let flows = &self.table.shared().flows;
        let page = flows.list(Cursor::default(), usize::MAX, self.table.now(), |_| true);
        let mut pictures: Vec<_> = page
            .conns
            .iter()
            .map(|conn| FlowPicture {
                tuples: conntrack::Direction::ALL
                    .map(|direction| format!("{:?}", conn.tuple(direction)))
                    .join(" | "),
                status: conn.status().bits() & !Status::OFFLOAD.bits(),
                mark: conn.mark(),
                state: flows.state_name(conn),
                expires: conn.expires().nanos(),
                traffic: conntrack::Direction::ALL
                    .map(|direction| conn.traffic(direction))
                    .map(|traffic| (traffic.packets, traffic.bytes)),
            })
            .collect();
        pictures.sort();
        pictures
    }

    /// What was counted, but for who has forwarded it and when rules were walked to learn what they make of it.
    pub(super) fn counted(&self) -> Vec<(&'static str, u64)> {
        const HOW: [&str; 4] =
            ["offloaded", "verdict_cache", "flow_cache_unaffected", "flow_cache_kept_by_policy"];
        let is_how = |name: &str| HOW.iter().any(|how| name.starts_with(how));
        self.table.counters().named().filter(|(name, _)| !is_how(name)).collect()
    }
}

/// The two ends of a client's conversation, seen from it and from its server.
pub(super) fn ends(client: u8, ipv6: bool) -> [Ends; 2] {
    let (here, there) = if ipv6 {
        (format!("[fd00::{client}]:1000"), "[2001:db8::9]:80".to_owned())
    } else {
        (format!("10.0.0.{client}:1000"), "192.0.2.9:80".to_owned())
    };
    [Ends::to_port(0, &here, &there), Ends::to_port(1, &there, &here)]
}

/// Lets a TCP flow begin.
pub(super) fn shake_hands(world: &mut World, [there, back]: [Ends; 2]) {
    world.pass(0, &there.tcp(TcpControl::Syn, 0, None, b"")[..]);
    world.pass(1, &back.tcp(TcpControl::Syn, 0, Some(1), b"")[..]);
    world.pass(0, &there.tcp(TcpControl::None, 1, Some(1), b"")[..]);
}
