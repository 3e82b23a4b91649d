//! The neighbors of a router that is its own host: who has which link address, who else has ours, and what hosts are
//! told of the router. ARP and neighbor discovery, for all ports.
//!
//! A state machine without clock and socket: it is told of ports, addresses, questions of the datapath, frames heard
//! and time ([`Neighborhood::turn`], by [`Neighborhood::deadline`]); what it wants is taken out of it: frames to send,
//! changes of neighbors for the routing state, verdicts on addresses, events. Whatever waits in it is bounded.
//!
//! RFC 826, 4861, 4862, 5227, 8106; where these leave a choice, as Linux does (`net/ipv4/arp.c`, `net/ipv6/ndisc.c`,
//! `net/core/neighbour.c`).

mod address;
mod advertise;
mod entry;
mod heard;
mod outbox;
mod proxy;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{LinkIndex, Mac, PortId};
use fib::change::{Change, NeighborEntry, NeighborState};
use ipnet::IpNet;

pub use advertise::{AdvertisedPrefix, Advertising, AdvertisingError, Preference};
pub use outbox::{Counters, Event, Outgoing, Standing, Verdict};
pub use settings::{Detection, Proxy, Settings};

use address::Own;
use advertise::Advertiser;
use outbox::Outbox;
use proxy::Waiting;
use table::{Family, Table};
use timers::Timers;

/// What is done in one turn at most; the rest waits for the next.
const WORK_PER_TURN: usize = 256;
/// How often a port's reachable time is drawn anew (RFC 4861 section 6.3.2 wants it every few hours, Linux does so).
const REACHABLE_TIME_RENEWED: Duration = Duration::from_secs(300);

/// A port and an address behind or on it.
type Key = (PortId, IpAddr);

/// A port's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its link.
    pub link: LinkIndex,
    /// Its link address; zero if it has none, and then it has no neighbors to find either.
    pub mac: Mac,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether frames pass it.
    pub up: bool,
}

/// What waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Neighbor(Key),
    Address(Key),
    Advertise(PortId),
    Answer(u64),
    Collect(Family),
}

/// The neighbors of all ports, and the router's addresses as these see them.
pub struct Neighborhood {
    settings: Settings,
    random: fastrand::Rng,
    ports: BTreeMap<PortId, Port>,
    own: BTreeMap<Key, Own>,
    table: Table,
    waiting: Waiting,
    timers: Timers<Timer>,
    outbox: Outbox,
}

struct Port {
    interface: Interface,
    proxy: Proxy,
    advertiser: Option<Advertiser>,
    reachable_time: Duration,
    reachable_time_until: Instant,
}

impl Neighborhood {
    /// An empty one. The same seed makes the same choices.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings: settings.in_order(),
            random: fastrand::Rng::with_seed(seed),
            ports: BTreeMap::new(),
            own: BTreeMap::new(),
            table: Table::default(),
            waiting: Waiting::default(),
            timers: Timers::new(),
            outbox: Outbox::default(),
        }
    }

    /// A port has this device, new or altered. When it comes up, or has another link address, its addresses are tried
    /// and announced anew; when it goes down its neighbors are forgotten, but for those set by hand.
    pub fn set_interface(&mut self, port: PortId, interface: Interface, now: Instant) {
        let known = self.port(port);
        let before = std::mem::replace(&mut known.interface, interface);
        let is_another = (before.link, before.mac) != (interface.link, interface.mac);
        if is_another || before.up && !interface.up {
            self.forget_neighbors(port, before.link);
        }
        let comes_up = interface.up && (is_another || !before.up);
        if is_another || comes_up {
            self.tell_static(port);
        }
        if comes_up {
            self.try_addresses(port, now);
        } else if before.up && !interface.up {
            self.rest_addresses(port);
        }
    }

    /// A port has no device any more. Its addresses stay, and wait.
    pub fn remove_interface(&mut self, port: PortId, now: Instant) {
        self.set_interface(port, Interface::ABSENT, now);
    }

    /// Sets for whom a port answers besides the router.
    pub fn set_proxy(&mut self, port: PortId, proxy: Proxy) {
        self.port(port).proxy = proxy;
    }

    /// Sets what a port tells the hosts behind it. With `None`, or something else than before, hosts are told that the
    /// router is none any more, or what is new.
    pub fn set_advertising(&mut self, port: PortId, advertising: Option<Advertising>, now: Instant) {
        let known = self.port(port);
        if known.advertiser.as_ref().map(|advertiser| &advertiser.advertising) == advertising.as_ref() {
            return;
        }
        if advertising.is_none() {
            self.advertise(port, true, now);
        }
        self.port(port).advertiser = advertising.map(Advertiser::new);
        self.start_advertising(port, now);
    }

    /// The router ends: hosts are told.
    pub fn end(&mut self, now: Instant) {
        let ports: Vec<PortId> = self.ports.keys().copied().collect();
        ports.into_iter().for_each(|port| self.set_advertising(port, None, now));
    }

    /// Sets a neighbor by hand: nothing that is heard changes it. It is told of while its port has a device.
    pub fn set_static(&mut self, port: PortId, address: IpAddr, mac: Mac) {
        self.timers.set(Timer::Neighbor((port, address)), None);
        self.table.set_static((port, address), mac);
        self.note((port, address));
    }

    /// Forgets a neighbor, one set by hand too. False if there is none.
    pub fn forget(&mut self, port: PortId, address: IpAddr) -> bool {
        let key = (port, address);
        let known = self.table.remove(key);
        if known {
            self.timers.set(Timer::Neighbor(key), None);
            self.note(key);
        }
        known
    }

    /// Forgets all neighbors that were found, or those of one port. Says how many these were.
    pub fn flush(&mut self, only: Option<PortId>) -> usize {
        let found: Vec<Key> =
            self.table.keys_found().filter(|key| only.is_none_or(|port| port == key.0)).collect();
        found.iter().for_each(|(port, address)| {
            self.forget(*port, *address);
        });
        found.len()
    }

    /// A packet waits for this neighbor, or is sent to it while it is stale.
    pub fn ask(&mut self, port: PortId, address: IpAddr, now: Instant) {
        let passes = self.ports.get(&port).is_some_and(Port::passes);
        let key = (port, address);
        if !passes || is_group(address) || self.is_ours(key) || self.table.is_static(key) {
            return;
        }
        self.outbox.counters.asked += 1;
        if !self.table.contains(key) && !self.make_room(key, true, now) {
            return;
        }
        let probe = self.table.found_or_new(key, now).wanted(now, &self.settings);
        self.settle(key);
        if let Some(probe) = probe {
            self.probe(key, probe);
        }
    }

    /// Whether any port answers for addresses of IPv6 that are not the router's.
    #[must_use]
    pub fn answers_for_others(&self) -> bool {
        let has_ipv6 = |port: &Port| port.proxy.prefixes.iter().any(|prefix| prefix.addr().is_ipv6());
        self.ports.values().any(has_ipv6)
    }

    /// Does what is due, a bounded part of it: more may be due afterwards.
    pub fn turn(&mut self, now: Instant) {
        for _ in 0..WORK_PER_TURN {
            let Some(timer) = self.timers.pop(now) else { return };
            match timer {
                Timer::Neighbor(key) => self.neighbor_due(key, now),
                Timer::Address(key) => self.address_due(key, now),
                Timer::Advertise(port) => self.advertise(port, false, now),
                Timer::Answer(number) => self.answer_waiting(number),
                Timer::Collect(family) => self.collect(family, now),
            }
        }
    }

    /// When to call [`Self::turn`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes the next frame to be sent.
    pub fn take_frame(&mut self) -> Option<Outgoing> {
        self.outbox.frames.pop_front()
    }

    /// A frame that was taken could not be sent.
    pub const fn note_lost_frame(&mut self) {
        self.outbox.counters.frames_lost += 1;
    }

    /// Takes what has changed of neighbors since the last time: each as it is now.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let changed = std::mem::take(&mut self.outbox.changed);
        let told = |((port, address), was_on): (Key, LinkIndex)| {
            let known = self.table.get((port, address)).zip(self.ports.get(&port).and_then(Port::link));
            match known {
                Some(((state, mac), link)) => Change::Neighbor(NeighborEntry { link, address, state, mac }),
                None => Change::NeighborGone { link: was_on, address },
            }
        };
        changed.into_iter().map(told).collect()
    }

    /// Takes the next verdict on an address.
    pub fn take_verdict(&mut self) -> Option<Verdict> {
        let ((port, address), standing) = self.outbox.verdicts.pop_first()?;
        Some(Verdict { port, address, standing })
    }

    /// Takes the next event.
    pub fn take_event(&mut self) -> Option<Event> {
        self.outbox.events.pop_front()
    }

    /// How one of the router's addresses stands.
    #[must_use]
    pub fn standing(&self, port: PortId, address: IpAddr) -> Option<Standing> {
        self.own.get(&(port, address)).map(Own::standing)
    }

    /// State and link address of a neighbor.
    #[must_use]
    pub fn neighbor(&self, port: PortId, address: IpAddr) -> Option<(NeighborState, Option<Mac>)> {
        self.table.get((port, address))
    }

    /// Whether a neighbor has said that it is a router (`NTF_ROUTER`).
    #[must_use]
    pub fn is_router(&self, port: PortId, address: IpAddr) -> bool {
        self.table.is_router((port, address))
    }

    /// Number of neighbors, those set by hand included.
    #[must_use]
    pub fn neighbors(&self) -> usize {
        self.table.len()
    }

    /// What has been counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.outbox.counters
    }

    /// Puts a neighbor's new state in force: its time, and whether it has to be told.
    fn settle(&mut self, key: Key) {
        self.timers.set(Timer::Neighbor(key), self.table.due(key));
        if self.table.take_news(key) {
            self.note(key);
        }
    }

    /// Whether an address is the router's, or about to be: not one that turned out to be somebody else's.
    fn is_ours(&self, key: Key) -> bool {
        self.own.get(&key).is_some_and(|own| !matches!(own.standing(), Standing::Duplicate(_)))
    }

    /// A neighbor is not what it was. Of those on ports without a device nothing is told.
    fn note(&mut self, key: Key) {
        if let Some(link) = self.ports.get(&key.0).and_then(Port::link) {
            self.outbox.changed.entry(key).or_insert(link);
        }
    }

    /// A port, known from now on.
    fn port(&mut self, port: PortId) -> &mut Port {
        self.ports.entry(port).or_insert_with(|| Port {
            interface: Interface::ABSENT,
            proxy: Proxy::default(),
            advertiser: None,
            reachable_time: Duration::ZERO,
            reachable_time_until: Instant::ZERO,
        })
    }

    fn neighbor_due(&mut self, key: Key, now: Instant) {
        let reachable_time = self.reachable_time(key.0, now);
        let Some(entry) = self.table.found(key) else { return };
        let probe = entry.expire(now, reachable_time, &self.settings);
        if entry.state() == NeighborState::Failed {
            self.outbox.counters.failed += 1;
            self.outbox.tell(Event::Failed { port: key.0, address: key.1 });
        }
        self.settle(key);
        if let Some(probe) = probe {
            self.probe(key, probe);
        }
    }

    /// Sends a question.
    fn probe(&mut self, (port, address): Key, probe: entry::Probe) {
        let Some(mac) = self.ports.get(&port).map(|port| port.interface.mac) else { return };
        let to = match probe {
            entry::Probe::Group => None,
            entry::Probe::Unicast(mac) => Some(mac),
        };
        let frame = match address {
            IpAddr::V4(target) => {
                let sender = self.source_ipv4(port, target);
                wire::arp_request(mac, sender, target, to.unwrap_or(wire::BROADCAST))
            }
            IpAddr::V6(target) => {
                // Without an address to be answered at there is no use in asking (`ndisc_send_ns`).
                let Some(source) = self.source_ipv6(port, None) else { return };
                wire::solicitation(mac, source, target, to, None)
            }
        };
        self.outbox.counters.probes += 1;
        self.outbox.send(port, frame);
    }

    /// The address that asks for an IPv4 neighbor: one of its subnet, else any of the port, else any of the router
    /// (`inet_select_addr`).
    fn source_ipv4(&self, port: PortId, target: Ipv4Addr) -> Ipv4Addr {
        let ready = || {
            self.own.iter().filter(|(_, own)| own.is_ready()).filter_map(|(key, own)| match own.net() {
                IpNet::V4(net) => Some((key.0, net)),
                IpNet::V6(_) => None,
            })
        };
        let of_port = || ready().filter(|(on, _)| *on == port);
        let chosen = of_port()
            .find(|(_, net)| net.contains(&target))
            .or_else(|| of_port().next())
            .or_else(|| ready().next());
        chosen.map_or(Ipv4Addr::UNSPECIFIED, |(_, net)| net.addr())
    }

    /// The address of a port that speaks to `destination`: the link-local one, unless that is of another scope and the
    /// port has one of its prefix.
    fn source_ipv6(&self, port: PortId, destination: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
        let ready = || {
            let of_port = self.own.range((port, IpAddr::V6(Ipv6Addr::UNSPECIFIED))..);
            of_port.take_while(|(key, _)| key.0 == port).filter(|(_, own)| own.is_ready()).filter_map(
                |(_, own)| match own.net() {
                    IpNet::V6(net) => Some(net),
                    IpNet::V4(_) => None,
                },
            )
        };
        let same_prefix = destination.and_then(|destination| ready().find(|net| net.contains(&destination)));
        let link_local = || ready().find(|net| net.addr().is_unicast_link_local());
        same_prefix.or_else(link_local).or_else(|| ready().next()).map(|net| net.addr())
    }

    /// How long a neighbor of this port is reachable.
    fn reachable_time(&mut self, port: PortId, now: Instant) -> Duration {
        let base = self.settings.reachable_time;
        let Some(port) = self.ports.get_mut(&port) else { return base };
        if port.reachable_time_until <= now {
            port.reachable_time = base / 2 + advertise::random_below(&mut self.random, base);
            port.reachable_time_until = now + REACHABLE_TIME_RENEWED;
        }
        port.reachable_time
    }

    /// Starts to advertise, if there is something and an address to do it from.
    fn start_advertising(&mut self, port: PortId, now: Instant) {
        let has_source = self.link_local(port).is_some();
        let Some(known) = self.ports.get_mut(&port) else { return };
        let passes = known.passes();
        let Some(advertiser) = &mut known.advertiser else {
            return self.timers.set(Timer::Advertise(port), None);
        };
        if has_source && passes {
            advertiser.start(now);
        } else {
            advertiser.stop();
        }
        self.timers.set(Timer::Advertise(port), advertiser.due());
    }

    fn advertise(&mut self, port: PortId, last: bool, now: Instant) {
        let Some(source) = self.link_local(port) else { return };
        let Some(known) = self.ports.get_mut(&port).filter(|port| port.passes()) else { return };
        let Some(advertiser) = &mut known.advertiser else { return };
        let frame = advertiser.advertising.frame(known.interface.mac, source, last);
        advertiser.sent(now, &mut self.random);
        self.timers.set(Timer::Advertise(port), advertiser.due());
        self.outbox.counters.advertisements += 1;
        self.outbox.send(port, frame);
    }

    /// The address that a port advertises from (RFC 4861 section 6.1.2 wants a link-local one).
    fn link_local(&self, port: PortId) -> Option<Ipv6Addr> {
        self.source_ipv6(port, None).filter(Ipv6Addr::is_unicast_link_local)
    }
}

impl Interface {
    /// No device.
    const ABSENT: Self = Self { link: LinkIndex(0), mac: Mac([0; 6]), mtu: 0, up: false };
}

impl Port {
    /// Its device, if there is one.
    fn link(&self) -> Option<LinkIndex> {
        Some(self.interface.link).filter(|link| link.0 != 0)
    }

    /// Whether neighbors can be found by it.
    fn passes(&self) -> bool {
        self.interface.up && self.interface.mac != Mac::default()
    }
}

/// Whether an address is nobody's in particular.
fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address.is_unspecified() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}
