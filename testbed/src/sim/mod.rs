//! Simulated ground: one router on a table, hosts with a stack of their own, links with faults, and time that passes
//! when everybody has nothing left to do. A run depends on its plan and its seed alone.
//!
//! The plan is the same [`Plan`] that labs in namespaces are built of. Its one [`Role::Router`] becomes the router,
//! with a stand-in for the kernel that owns its addresses; each host becomes a smoltcp stack.

mod cable;
mod host;
mod ip;
mod kernel;
mod offload;
pub mod seed;
pub mod traffic;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

use conntrack::{Instant, Registry};
use fib::change::{Change, Link};
use ipnet::IpNet;
use router::port::Offloads;
use router::port::memory::{Parcel, Settings};
use router::tabletop::{Blueprint, Tabletop, link, port_mac};

pub use cable::Faults;
pub use host::Host;

use crate::lab::{Plan, Role};
use cable::Cable;
use kernel::{Doings, Kernel};
use traffic::Traffic;

/// Neighbors of the router. Few enough that they are in one shard, in an order that no random hash decides.
const NEIGHBORS_MAX: usize = 1024;

/// Frames of the router that are remembered.
const LOG_MAX: usize = 1 << 20;

/// How a ground differs from the plainest one.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Everything that looks like chance follows from it.
    pub seed: u64,
    /// What happens on all links.
    pub faults: Faults,
    /// Ports of the router whose far side glues and cuts super-packets; the others' get finished frames.
    pub offloading: &'a [&'a str],
}

/// The ground.
pub struct Ground {
    /// The router.
    pub table: Tabletop,
    ports: Vec<Port>,
    hosts: BTreeMap<String, Host>,
    kernel: Kernel,
    flights: BinaryHeap<Reverse<Flight>>,
    flown: u64,
    next_port: u16,
    log: Vec<Sent>,
}

/// A frame that the router has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// By the port of this number, in the order of the plan.
    pub port: usize,
    /// To this address.
    pub destination: IpAddr,
    /// So many bytes.
    pub bytes: usize,
}

/// A port of the router and what it is plugged into.
struct Port {
    name: String,
    subnets: Vec<IpNet>,
    cable: Cable,
    /// The host, and the number of its link.
    far: (String, usize),
}

/// A frame on a link. The earliest comes first, of equals the one that started first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    number: u64,
    port: usize,
    to_router: bool,
    parcel: Bytes,
}

/// A parcel that has no order of its own.
#[derive(Debug)]
struct Bytes(Parcel);

impl Ground {
    /// Builds the ground that `plan` describes.
    ///
    /// # Panics
    /// If the plan is not of one router and hosts each linked to it, or says what a simulated ground does not know.
    #[must_use]
    pub fn build(plan: &Plan, options: &Options<'_>) -> Self {
        let mut routers = plan.stations().filter(|(_, role)| *role == Role::Router);
        let (router, _) = routers.next().expect("a plan with a router");
        assert!(routers.next().is_none(), "simulated ground has one router");
        let names = plan.ports(router);
        let kind = |name: &str| {
            let offloads = if options.offloading.contains(&name) { Offloads::ALL } else { Offloads::NONE };
            Settings { offloads, ..Settings::default() }
        };
        let table = Tabletop::build(Blueprint {
            host: router::engine::Host::Kernel,
            ports: names.iter().map(|name| (*name, kind(name))).collect(),
            bridges: Vec::new(),
            flows: conntrack::Config { seed: [options.seed, 1], ..conntrack::Config::default() },
            trackers: Registry::builtin().build(),
            neighbors_max: NEIGHBORS_MAX,
        });
        let hosts = plan.stations().filter(|(_, role)| *role == Role::Host);
        let mut ground = Self {
            table,
            ports: Vec::new(),
            hosts: hosts.map(|(name, _)| (name.to_owned(), Host::new())).collect(),
            kernel: Kernel::default(),
            flights: BinaryHeap::new(),
            flown: 0,
            next_port: 40_000,
            log: Vec::new(),
        };
        ground.plug(plan, router, options);
        for (station, lines) in plan.lines() {
            for line in lines {
                if station == router { ground.ip(&line) } else { ground.host(station).ip(&line) }
            }
        }
        ground
    }

    /// Runs a line of `ip` (without the word `ip`) at the router: `route add|replace|del PREFIX via GATEWAY`.
    ///
    /// # Panics
    /// If the line says anything else.
    pub fn ip(&mut self, line: &str) {
        let subnets: Vec<_> = self.ports.iter().map(|port| port.subnets.clone()).collect();
        let change = ip::change(line, &subnets).unwrap_or_else(|error| panic!("`{line}`: {error}"));
        self.table.apply([change]);
    }

    /// Cuts the link of a router's port: what is on it is lost, and both ends lose the carrier.
    ///
    /// # Panics
    /// If there is no such port.
    pub fn cut(&mut self, port: &str) {
        let changes = self.kernel.cut(self.port(port));
        self.set_carrier(port, false);
        self.table.apply(changes);
    }

    /// Mends what [`Self::cut`] has cut.
    ///
    /// # Panics
    /// If there is no such port.
    pub fn mend(&mut self, port: &str) {
        self.set_carrier(port, true);
    }

    /// Changes what happens on a port's link.
    ///
    /// # Panics
    /// If there is no such port.
    pub fn set_faults(&mut self, port: &str, faults: Faults) {
        let port = self.port(port);
        self.ports[port].cable.faults = faults;
    }

    /// Lets time pass until all of `traffic` is done, at most `patience`; whether it is.
    pub fn run(&mut self, traffic: &mut [&mut dyn Traffic], patience: Duration) -> bool {
        self.run_until(traffic, patience, |traffic| traffic.iter().all(|one| one.is_done()))
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, traffic: &mut [&mut dyn Traffic], time: Duration) {
        self.run_until(traffic, time, |_| false);
    }

    /// Lets time pass until `condition` holds, at most `patience`; whether it does.
    pub fn run_until(
        &mut self,
        traffic: &mut [&mut dyn Traffic],
        patience: Duration,
        condition: impl Fn(&[&mut dyn Traffic]) -> bool,
    ) -> bool {
        let end = self.now() + patience;
        loop {
            self.settle(traffic);
            if condition(traffic) {
                return true;
            }
            if self.now() == end {
                return false;
            }
            let next = self.next_event(traffic).unwrap_or(end).clamp(self.now() + INSTANT, end);
            self.table.advance(next - self.now());
        }
    }

    /// A host.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.get_mut(name).unwrap_or_else(|| panic!("the plan has no host {name}"))
    }

    /// The time on the ground.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.table.now()
    }

    /// What the router has sent so far, the oldest first.
    #[must_use]
    pub fn sent(&self) -> &[Sent] {
        &self.log
    }

    /// Frames that were lost on all links.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.ports.iter().map(|port| port.cable.lost).sum()
    }

    /// A port or identifier that no traffic uses yet.
    pub(crate) fn next_port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    fn plug(&mut self, plan: &Plan, router: &str, options: &Options<'_>) {
        let mut seeds = fastrand::Rng::with_seed(options.seed);
        for planned in plan.links() {
            let [one, other] = &planned.ends;
            let (near, far) = if one.station == router { (one, other) } else { (other, one) };
            assert!(near.station == router, "each link ends at the router");
            let port = self.ports.len();
            self.kernel.add_port(port_mac(port).0);
            for net in &near.addresses {
                self.table.address(port, &net.to_string());
                self.kernel.add_address(port, net.addr());
            }
            let offloads = options.offloading.contains(&near.port.as_str());
            let host = self.host(&far.station);
            let link = host.add_link(far.mac, offloads, seeds.u64(..));
            far.addresses.iter().for_each(|net| host.add_address(link, *net));
            if link > 0 {
                near.addresses.iter().for_each(|net| host.set_gateway(link, net.addr()));
            }
            self.ports.push(Port {
                name: near.port.clone(),
                subnets: near.addresses.clone(),
                cable: Cable::new(options.faults, seeds.u64(..)),
                far: (far.station.clone(), link),
            });
        }
    }

    fn set_carrier(&mut self, port: &str, carrier: bool) {
        let number = self.port(port);
        self.ports[number].cable.whole = carrier;
        self.table.apply([Change::Link(Link { carrier, ..link(number, port) })]);
        if !carrier {
            self.flights.retain(|Reverse(flight)| flight.port != number);
        }
    }

    fn port(&self, name: &str) -> usize {
        self.ports.iter().position(|port| port.name == name).unwrap_or_else(|| panic!("no port {name}"))
    }

    /// Everybody does what is to be done now.
    fn settle(&mut self, traffic: &mut [&mut dyn Traffic]) {
        loop {
            let mut active = self.land();
            traffic.iter_mut().for_each(|one| one.work(self));
            let now = self.now();
            for host in self.hosts.values_mut() {
                active |= host.poll(now);
            }
            traffic.iter_mut().for_each(|one| one.work(self));
            self.table.settle();
            self.find_neighbors();
            active |= self.launch();
            if !active {
                return;
            }
        }
    }

    /// Frames arrive that are due.
    fn land(&mut self) -> bool {
        let mut any = false;
        while self.flights.peek().is_some_and(|Reverse(flight)| flight.at <= self.now()) {
            let Reverse(Flight { port, to_router, parcel, .. }) = self.flights.pop().expect("just seen");
            any = true;
            if to_router {
                let doings = self.kernel.look(port, &parcel.0.bytes);
                self.table.send(port, parcel.0);
                self.table.settle();
                self.carry_out(doings);
            } else {
                let (host, link) = self.ports[port].far.clone();
                self.host(&host).arrive(link, parcel.0);
            }
        }
        any
    }

    /// Frames start that hosts and the router have sent.
    fn launch(&mut self) -> bool {
        let mut any = false;
        for port in 0..self.ports.len() {
            let (host, link) = self.ports[port].far.clone();
            for parcel in self.host(&host).take_sent(link) {
                self.fly(port, true, parcel);
                any = true;
            }
            for parcel in self.table.take(port) {
                self.note(port, &parcel.bytes);
                self.fly(port, false, parcel);
                any = true;
            }
        }
        any
    }

    fn fly(&mut self, port: usize, to_router: bool, parcel: Parcel) {
        for time in self.ports[port].cable.fate() {
            let at = self.now() + time;
            self.flown += 1;
            let parcel = Bytes(parcel.clone());
            self.flights.push(Reverse(Flight { at, number: self.flown, port, to_router, parcel }));
        }
    }

    fn note(&mut self, port: usize, frame: &[u8]) {
        let destination = match frame[12..14] {
            [8, 0] => <[u8; 4]>::try_from(&frame[30..34]).map(IpAddr::from).ok(),
            _ => <[u8; 16]>::try_from(&frame[38..54]).map(IpAddr::from).ok(),
        };
        if let Some(destination) = destination
            && self.log.len() < LOG_MAX
        {
            self.log.push(Sent { at: self.now(), port, destination, bytes: frame.len() });
        }
    }

    /// Passes the router's questions on, and the answers back.
    fn find_neighbors(&mut self) {
        let now = self.now();
        loop {
            let questions = self.table.questions();
            for (port, address) in &questions {
                self.kernel.ask(usize::from(port.0), *address, now);
            }
            let doings = self.kernel.work(now);
            let news = !doings.changes.is_empty();
            self.carry_out(doings);
            if questions.is_empty() && !news {
                return;
            }
        }
    }

    fn carry_out(&mut self, doings: Doings) {
        for (port, bytes) in doings.frames {
            self.fly(port, false, Parcel { bytes, ..Parcel::default() });
        }
        if !doings.changes.is_empty() {
            self.table.apply(doings.changes);
            self.table.settle();
        }
    }

    fn next_event(&mut self, traffic: &[&mut dyn Traffic]) -> Option<Instant> {
        let now = self.now();
        let landing = self.flights.peek().map(|Reverse(flight)| flight.at);
        let hosts = self.hosts.values_mut().filter_map(|host| host.due_in(now)).min().map(|time| now + time);
        let traffic = traffic.iter().filter_map(|one| one.due()).min();
        [landing, hosts, traffic, self.kernel.due(), self.table.deadline()].into_iter().flatten().min()
    }
}

/// The least time that passes between two looks at everybody: a stack's clock has no smaller step.
const INSTANT: Duration = Duration::from_micros(1);

impl PartialEq for Bytes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}
