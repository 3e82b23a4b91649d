//! A router on the table: ports of memory, time moved by hand, no kernel. For tests, examples and simulations.

pub mod frames;
pub mod neighborhood;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use conntrack::{Instant, Registry as Trackers};
use fib::adjacency::{LinkIndex, Mac, NEIGHBORS_MAX, PortId};
use fib::change::{
    Address, Change, Link, NeighborEntry, NeighborState, NextHop, Route, RouteType, Rule, RuleAction, Scope,
    Target,
};
use fib::writer::Applied;
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::bridge::{self, Description};
use crate::chain::Registry;
use crate::compose::{Assembly, Plan, assemble};
use crate::engine::{Engine, Host, Resolver, Shared};
use crate::offload::Card;
use crate::port::memory::{Parcel, Settings, Wire, wired};
use crate::port::{Framing, HOST};
use crate::stats::Counters;
use crate::worker::{Notice, Worker, WorkerConfig, WorkerHandle};

/// A neighbor that the router has asked for: by which port, and its address.
pub type Question = (PortId, IpAddr);

/// A router with memory ports and one worker. Port `n` is link `n + 1` with the address `02:00:00:00:00:0n`.
pub struct Tabletop {
    /// The routing state's writer, and what workers share.
    pub assembly: Assembly,
    worker: Worker<Engine>,
    counters: Arc<Counters>,
    wires: Vec<Wire>,
    host: Option<Wire>,
    questions: Arc<Mutex<Vec<Question>>>,
    now: Instant,
    deadline: Option<Instant>,
    handle: WorkerHandle,
    _notices: tokio::sync::mpsc::Receiver<Notice>,
}

/// What a router on a table is made of.
pub struct Blueprint<'a> {
    /// Who answers for the router's addresses.
    pub host: Host,
    /// Names of the ports, and of what kind they are.
    pub ports: Vec<(&'a str, Settings)>,
    /// Bridges; they are the ports behind the others.
    pub bridges: Vec<Description>,
    /// The flow table.
    pub flows: conntrack::Config,
    /// Its trackers.
    pub trackers: Trackers,
    /// Neighbors that there is room for.
    pub neighbors_max: usize,
}

struct Asked(Arc<Mutex<Vec<Question>>>);

impl Resolver for Asked {
    fn ask(&self, port: PortId, address: IpAddr) -> bool {
        self.0.lock().push((port, address));
        true
    }
}

impl Tabletop {
    /// A router whose ports have these names, are up, and take all offloads.
    ///
    /// # Panics
    /// If the process has no file descriptors left.
    #[must_use]
    pub fn new(ports: &[&str]) -> Self {
        Self::with_ports(
            ports,
            Settings::default(),
            conntrack::Config::default(),
            Trackers::builtin().build(),
        )
    }

    /// A router with ports of this kind, and with this flow table.
    ///
    /// # Panics
    /// If the process has no file descriptors left.
    #[must_use]
    pub fn with_ports(
        ports: &[&str],
        settings: Settings,
        flows: conntrack::Config,
        trackers: Trackers,
    ) -> Self {
        let ports = ports.iter().map(|name| (*name, settings)).collect();
        Self::build(Blueprint {
            host: Host::Kernel,
            ports,
            bridges: Vec::new(),
            flows,
            trackers,
            neighbors_max: NEIGHBORS_MAX,
        })
    }

    /// A router that is its own host, whose ports have these names. With `tun`, what is for it leaves by the host's
    /// place ([`Self::take_at_host`]) and what [`Self::send_from_host`] sends begins there.
    ///
    /// # Panics
    /// If the process has no file descriptors left.
    #[must_use]
    pub fn owned(ports: &[&str], tun: bool) -> Self {
        Self::bridged(ports, Vec::new(), tun)
    }

    /// As [`Self::owned`], with bridges; they are the ports behind the others.
    ///
    /// # Panics
    /// If the process has no file descriptors left, or the bridges cannot be.
    #[must_use]
    pub fn bridged(ports: &[&str], bridges: Vec<Description>, tun: bool) -> Self {
        let mut tabletop = Self::build(Blueprint {
            host: Host::Owned { tun },
            ports: ports.iter().map(|name| (*name, Settings::default())).collect(),
            bridges,
            flows: conntrack::Config::default(),
            trackers: Trackers::builtin().build(),
            neighbors_max: NEIGHBORS_MAX,
        });
        if tun {
            tabletop.attach_host(Settings { framing: Framing::Network, ..Settings::default() });
        }
        tabletop
    }

    /// A router in all particulars.
    ///
    /// # Panics
    /// If the process has no file descriptors left, or there is to be room for no neighbor.
    #[must_use]
    pub fn build(blueprint: Blueprint<'_>) -> Self {
        let Blueprint { host, ports, bridges, flows, trackers, neighbors_max } = blueprint;
        let questions = Arc::new(Mutex::new(Vec::new()));
        let plan = Plan {
            host,
            ports: (ports.iter().map(|(name, _)| (*name).to_owned()))
                .chain(bridges.iter().map(|bridge| bridge.name.clone()))
                .collect(),
            bridges: bridges.clone(),
            neighbors_max,
            flows,
            trackers,
            resolver: Box::new(Asked(questions.clone())),
            seed: [1, 2],
        };
        let assembly = assemble(plan);
        let (engine, counters) = assembly.engine();
        let (notify, notices) = tokio::sync::mpsc::channel(16);
        let (worker, handle) =
            Worker::new(engine, &WorkerConfig::default(), notify).expect("file descriptors are left");
        let mut wires = Vec::new();
        for (port, (_, settings)) in assembly.shared.ports.ids().zip(&ports) {
            let (memory, wire) = wired(*settings).expect("file descriptors are left");
            handle.attach(port, Box::new(memory)).expect("the worker has room for a command");
            wires.push(wire);
        }
        let now = Instant::from_secs(1);
        let mut tabletop = Self {
            assembly,
            worker,
            counters,
            wires,
            host: None,
            questions,
            now,
            deadline: None,
            handle,
            _notices: notices,
        };
        let links: Vec<Link> = ports.iter().enumerate().map(|(index, (name, _))| link(index, name)).collect();
        let bridges = bridges.iter().enumerate().map(|(number, bridge)| {
            let members = bridge.members.iter().map(|member| &links[usize::from(member.0)]);
            Link { index: LinkIndex(u32::from(bridge.port.0) + 1), ..bridge::link(bridge, number, members) }
        });
        let links = links.iter().cloned().chain(bridges).map(Change::Link).collect::<Vec<_>>();
        tabletop.apply(usual_rules().map(Change::Rule).chain(links));
        tabletop
    }

    /// Applies changes of the routing state; they are in force with the next turn.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Applied {
        let applied = self.assembly.writer.apply(changes);
        let shared = &self.assembly.shared;
        shared.follow_routing(&self.assembly.writer.reader().load());
        shared.bridges.follow(&shared.ports);
        applied
    }

    /// Gives a port an address, with the routes that the kernel makes of it.
    ///
    /// # Panics
    /// If `net` is no address with a prefix length.
    pub fn address(&mut self, port: usize, net: &str) {
        let net: IpNet = net.parse().expect("an address with a prefix length");
        let link = LinkIndex(port as u32 + 1);
        let on_link = |table, kind, prefix: IpNet, scope| {
            let hop = NextHop { link: Some(link), via: None, weight: 1, onlink: false, dead: false };
            Change::Route(Route {
                table,
                prefix,
                kind,
                protocol: 2,
                scope,
                tos: 0,
                metric: if prefix.addr().is_ipv6() && table == 254 { 256 } else { 0 },
                preferred_source: prefix.addr().is_ipv4().then_some(net.addr()),
                mtu: 0,
                target: Target::NextHops(vec![hop]),
            })
        };
        let mut changes = vec![
            Change::Address(Address {
                link,
                net,
                peer: None,
                broadcast: None,
                scope: Scope::UNIVERSE,
                secondary: false,
                tentative: false,
                deprecated: false,
            }),
            on_link(255, RouteType::Local, IpNet::from(net.addr()), Scope::HOST),
            on_link(254, RouteType::Unicast, net.trunc(), Scope::LINK),
        ];
        if let IpNet::V4(net) = net
            && net.prefix_len() < 31
        {
            let broadcast = IpNet::from(IpAddr::V4(net.broadcast()));
            changes.push(on_link(255, RouteType::Broadcast, broadcast, Scope::LINK));
        }
        self.apply(changes);
    }

    /// Puts a card in, with room for `directions` directions of flows.
    ///
    /// # Panics
    /// If there is one already.
    pub fn insert_card(&mut self, directions: usize) -> Arc<Card> {
        Card::install(&self.assembly.shared, directions, [3, 4]).expect("there is room for one card")
    }

    /// Announces a route of the main table via a gateway.
    ///
    /// # Panics
    /// If the arguments are no prefix and no address.
    pub fn route(&mut self, prefix: &str, via: &str, port: usize) {
        let change = Change::Route(gateway_route(prefix, via, port));
        self.apply([change]);
    }

    /// Withdraws a route of the main table via a gateway.
    ///
    /// # Panics
    /// If the arguments are no prefix and no address.
    pub fn unroute(&mut self, prefix: &str, via: &str, port: usize) {
        let change = Change::RouteGone(gateway_route(prefix, via, port));
        self.apply([change]);
    }

    /// Says what is known of a neighbor; `None` that it does not answer.
    ///
    /// # Panics
    /// If `address` is no address.
    pub fn neighbor(&mut self, port: usize, address: &str, mac: Option<[u8; 6]>) {
        let state = if mac.is_some() { NeighborState::Reachable } else { NeighborState::Failed };
        let address = address.parse().expect("an address");
        let link = LinkIndex(port as u32 + 1);
        self.apply([Change::Neighbor(NeighborEntry { link, address, state, mac: mac.map(Mac) })]);
    }

    /// Puts a frame on a port's wire.
    ///
    /// # Panics
    /// If the wire is full.
    pub fn send(&mut self, port: usize, parcel: impl Into<Parcel>) {
        assert!(self.wires[port].push(parcel), "the wire of port {port} is full");
    }

    /// Lets the worker take turns until nothing arrives any more.
    pub fn settle(&mut self) {
        let now = self.now;
        loop {
            let turn = self.worker.turn(|| now);
            self.deadline = turn.deadline;
            if turn.frames == 0 {
                return;
            }
        }
    }

    /// Lets time pass, then the worker take turns.
    pub fn advance(&mut self, time: Duration) {
        self.now = self.now + time;
        self.settle();
    }

    /// Puts a frame on a port's wire and lets the worker deal with it.
    pub fn pass(&mut self, port: usize, parcel: impl Into<Parcel>) {
        self.send(port, parcel);
        self.settle();
    }

    /// Takes what the router has put on a port's wire.
    pub fn take(&mut self, port: usize) -> Vec<Parcel> {
        std::iter::from_fn(|| self.wires[port].pop()).collect()
    }

    /// Frames that the worker has free.
    #[must_use]
    pub fn frames_available(&self) -> usize {
        self.worker.frames_available()
    }

    /// Has packets for and from this host handed over, as if the guard kept the kernel from them.
    ///
    /// # Panics
    /// If the process has no file descriptors left.
    pub fn hand_over(&mut self) {
        self.assembly.shared.set_handover(true);
        self.attach_host(Settings::default());
    }

    fn attach_host(&mut self, settings: Settings) {
        let (memory, wire) = wired(settings).expect("file descriptors are left");
        self.handle.attach(HOST, Box::new(memory)).expect("the worker has room for a command");
        self.host = Some(wire);
        self.settle();
    }

    /// Lets a program of this host send a frame. Where packets are handed over, its source address on the link is the
    /// tag of the port that the kernel has chosen ([`crate::port::tag_of`]), its destination the next hop's; where the
    /// router is its own host, it begins with the network header.
    ///
    /// # Panics
    /// If nobody is at the host's place, or the wire is full.
    pub fn push_from_host(&mut self, parcel: impl Into<Parcel>) {
        let host = self.host.as_ref().expect("somebody is at the host's place");
        assert!(host.push(parcel), "the wire of the host is full");
    }

    /// As [`Self::push_from_host`], and lets the worker deal with it.
    pub fn send_from_host(&mut self, parcel: impl Into<Parcel>) {
        self.push_from_host(parcel);
        self.settle();
    }

    /// Takes what was handed over to this host.
    pub fn take_at_host(&mut self) -> Vec<Parcel> {
        let pop = |host: &Wire| std::iter::from_fn(|| host.pop()).collect();
        self.host.as_ref().map(pop).unwrap_or_default()
    }

    /// Takes what the router has asked about neighbors.
    pub fn questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions.lock())
    }

    /// The routing state, the worker's handle and its counters, when the last packet has passed.
    #[cfg(test)]
    pub(crate) fn into_parts(self) -> (Assembly, WorkerHandle, Arc<Counters>) {
        (self.assembly, self.handle, self.counters)
    }

    /// The time on the table.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// When the worker wants a turn at the latest, even if nothing arrives.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What the worker has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What workers share: flows, ports, neighbors.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.assembly.shared
    }

    /// Counters of the worker and its ports.
    #[must_use]
    pub const fn handle(&self) -> &WorkerHandle {
        &self.handle
    }

    /// The hooks, to register more or take some away.
    #[must_use]
    pub fn hooks(&self) -> &Registry {
        &self.assembly.shared.hooks
    }
}

/// The device of a table's port, as the kernel would announce it.
#[must_use]
pub fn link(index: usize, name: &str) -> Link {
    Link {
        index: LinkIndex(index as u32 + 1),
        name: name.to_owned(),
        kind: "veth".to_owned(),
        mac: port_mac(index),
        mtu: 1500,
        admin_up: true,
        carrier: true,
        loopback: false,
        no_arp: false,
        master: None,
        vrf_table: None,
    }
}

/// A policy rule for every packet of a family; its fields narrow it down.
#[must_use]
pub fn rule(ipv6: bool, priority: u32, action: RuleAction) -> Rule {
    Rule { protocol_origin: 4, ..Rule::for_all(ipv6, priority, action) }
}

/// The rules of a fresh namespace.
fn usual_rules() -> impl Iterator<Item = Rule> {
    let rules =
        [(false, 0, 255), (false, 32_766, 254), (false, 32_767, 253), (true, 0, 255), (true, 32_766, 254)];
    rules.into_iter().map(|(ipv6, priority, table)| Rule {
        protocol_origin: 2,
        ..rule(ipv6, priority, RuleAction::Lookup(table))
    })
}

/// The link address of a port on the table.
#[must_use]
pub const fn port_mac(port: usize) -> Mac {
    Mac([2, 0, 0, 0, 0, port as u8])
}

/// A route of the main table via a gateway.
///
/// # Panics
/// If the arguments are no prefix and no address.
#[must_use]
pub fn gateway_route(prefix: &str, via: &str, port: usize) -> Route {
    let via: IpAddr = via.parse().expect("an address");
    let hop = NextHop {
        link: Some(LinkIndex(port as u32 + 1)),
        via: Some(via),
        weight: 1,
        onlink: false,
        dead: false,
    };
    Route {
        table: 254,
        prefix: prefix.parse().expect("a prefix"),
        kind: RouteType::Unicast,
        protocol: 4,
        scope: Scope::UNIVERSE,
        tos: 0,
        metric: if via.is_ipv6() { 1024 } else { 0 },
        preferred_source: None,
        mtu: 0,
        target: Target::NextHops(vec![hop]),
    }
}
