//! The router's own addresses: tried before they are used, announced, and defended (RFC 5227, RFC 4862 section 5.4,
//! RFC 4861 section 7.2.6).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use conntrack::Instant;
use fib::adjacency::{Mac, PortId};
use ipnet::IpNet;

use super::advertise::random_below;
use super::outbox::{Event, Standing};
use super::wire::{self, Advertisement, Nonce};
use super::{Key, Neighborhood, Port, Timer};

/// One of the router's addresses.
#[derive(Debug)]
pub(super) struct Own {
    net: IpNet,
    /// Whether it is to be tried before it is used.
    detect: bool,
    stage: Stage,
    /// What tells our own questions from another's.
    nonce: Nonce,
    defended: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Until the port is up.
    Waiting,
    /// Being asked for; this many questions are left.
    Probing(u32),
    /// In use; this many announcements are left.
    Ready(u32),
    /// Somebody else's.
    Duplicate(Mac),
}

impl Own {
    pub(super) const fn net(&self) -> IpNet {
        self.net
    }

    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready(_))
    }

    pub(super) const fn standing(&self) -> Standing {
        match self.stage {
            Stage::Waiting | Stage::Probing(_) => Standing::Tentative,
            Stage::Ready(_) => Standing::Ready,
            Stage::Duplicate(mac) => Standing::Duplicate(mac),
        }
    }

    /// Whether a question with this nonce is one of ours.
    pub(super) fn has_asked(&self, nonce: Option<Nonce>) -> bool {
        nonce == Some(self.nonce)
    }
}

impl Neighborhood {
    /// A port has this address: it is tried if `detect` says so and the settings do, then used and announced; a
    /// verdict tells when. Until the port is up it waits.
    pub fn add_address(&mut self, port: PortId, net: IpNet, detect: bool, now: Instant) {
        let key = (port, net.addr());
        let own = Own { net, detect, stage: Stage::Waiting, nonce: self.nonce(), defended: None };
        self.own.insert(key, own);
        self.outbox.verdicts.remove(&key);
        self.timers.set(Timer::Address(key), None);
        // What was found under it before is somebody else's.
        self.forget(port, net.addr());
        if self.ports.get(&port).is_some_and(|port| port.interface.up) {
            self.try_address(key, now);
        }
    }

    /// These are all the addresses there are, each with its port and whether it is to be tried: what is new is added,
    /// what is not among them removed.
    pub fn set_addresses(&mut self, wanted: impl IntoIterator<Item = (PortId, IpNet, bool)>, now: Instant) {
        let wanted: BTreeMap<Key, (IpNet, bool)> =
            wanted.into_iter().map(|(port, net, detect)| ((port, net.addr()), (net, detect))).collect();
        let gone: Vec<Key> = self.own.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
        gone.into_iter().for_each(|(port, address)| self.remove_address(port, address, now));
        for ((port, address), (net, detect)) in wanted {
            match self.own.get_mut(&(port, address)) {
                Some(own) => own.net = net,
                None => self.add_address(port, net, detect, now),
            }
        }
    }

    /// A port has this address no longer.
    pub fn remove_address(&mut self, port: PortId, address: IpAddr, now: Instant) {
        let key = (port, address);
        if self.own.remove(&key).is_some() {
            self.outbox.verdicts.remove(&key);
            self.timers.set(Timer::Address(key), None);
            if self.link_local(port).is_none() {
                self.start_advertising(port, now);
            }
        }
    }

    /// The port has come up, or has another link address.
    pub(super) fn try_addresses(&mut self, port: PortId, now: Instant) {
        self.own_of(port).into_iter().for_each(|key| self.try_address(key, now));
        self.start_advertising(port, now);
    }

    /// The port has gone down. IPv4 addresses stay in use, as they do in Linux; IPv6 ones are tried anew later.
    pub(super) fn rest_addresses(&mut self, port: PortId) {
        for key in self.own_of(port) {
            self.timers.set(Timer::Address(key), None);
            let own = self.own.get_mut(&key).expect("it was there a moment ago");
            if !(own.is_ready() && key.1.is_ipv4()) {
                if own.is_ready() {
                    self.outbox.verdicts.insert(key, Standing::Tentative);
                }
                own.stage = Stage::Waiting;
            }
        }
        if let Some(advertiser) = self.ports.get_mut(&port).and_then(|port| port.advertiser.as_mut()) {
            advertiser.stop();
        }
        self.timers.set(Timer::Advertise(port), None);
    }

    /// The next step of trying or announcing an address.
    pub(super) fn address_due(&mut self, key: Key, now: Instant) {
        let detection = self.settings.detection(key.1);
        let Some(own) = self.own.get_mut(&key) else { return };
        match own.stage {
            Stage::Probing(0) => self.take_into_use(key, now),
            Stage::Probing(left) => {
                own.stage = Stage::Probing(left - 1);
                self.timers.set(Timer::Address(key), Some(now + detection.interval));
                self.try_out(key);
            }
            Stage::Ready(left @ 1..) => {
                own.stage = Stage::Ready(left - 1);
                let next = (left > 1).then(|| now + self.settings.announcement_interval);
                self.timers.set(Timer::Address(key), next);
                self.announce(key);
            }
            Stage::Waiting | Stage::Ready(0) | Stage::Duplicate(_) => {}
        }
    }

    /// Somebody else uses an address of the router's.
    pub(super) fn conflict(&mut self, key: Key, mac: Mac, now: Instant) {
        self.outbox.counters.conflicts += 1;
        let interval = self.settings.defence_interval;
        let Some(own) = self.own.get_mut(&key) else { return };
        match own.stage {
            Stage::Waiting | Stage::Probing(_) => {
                own.stage = Stage::Duplicate(mac);
                self.outbox.counters.duplicates += 1;
                self.outbox.verdicts.insert(key, Standing::Duplicate(mac));
                self.timers.set(Timer::Address(key), None);
            }
            Stage::Ready(_)
                if own.defended.is_none_or(|defended| now.saturating_since(defended) >= interval) =>
            {
                own.defended = Some(now);
                self.outbox.counters.defences += 1;
                self.outbox.tell(Event::Conflict { port: key.0, address: key.1, mac });
                self.announce(key);
            }
            Stage::Ready(_) | Stage::Duplicate(_) => {}
        }
    }

    fn try_address(&mut self, key: Key, now: Instant) {
        let detection = self.settings.detection(key.1);
        let has_neighbors = self.ports.get(&key.0).is_some_and(Port::passes);
        let nonce = self.nonce();
        let delay = random_below(&mut self.random, detection.delay);
        let Some(own) = self.own.get_mut(&key) else { return };
        let stays = own.is_ready() && key.1.is_ipv4();
        if stays || !own.detect || detection.probes == 0 || !has_neighbors {
            return self.take_into_use(key, now);
        }
        if own.is_ready() {
            self.outbox.verdicts.insert(key, Standing::Tentative);
        }
        own.nonce = nonce;
        own.stage = Stage::Probing(detection.probes);
        self.timers.set(Timer::Address(key), Some(now + delay));
    }

    /// The address is the router's. It is announced, and the first announcement goes at once.
    fn take_into_use(&mut self, key: Key, now: Instant) {
        let announcements =
            if self.ports.get(&key.0).is_some_and(Port::passes) { self.settings.announcements } else { 0 };
        let Some(own) = self.own.get_mut(&key) else { return };
        let was_ready = own.is_ready();
        own.stage = Stage::Ready(announcements);
        if !was_ready {
            self.outbox.verdicts.insert(key, Standing::Ready);
        }
        self.timers.set(Timer::Address(key), None);
        self.address_due(key, now);
        let is_link_local = matches!(key.1, IpAddr::V6(address) if address.is_unicast_link_local());
        if is_link_local && !was_ready {
            self.start_advertising(key.0, now);
        }
    }

    /// Asks whether anybody has an address.
    fn try_out(&mut self, (port, address): Key) {
        let Some(mac) = self.ports.get(&port).map(|port| port.interface.mac) else { return };
        let frame = match address {
            IpAddr::V4(target) => wire::arp_request(mac, Ipv4Addr::UNSPECIFIED, target, wire::BROADCAST),
            IpAddr::V6(target) => {
                let nonce = self.own.get(&(port, address)).map(|own| own.nonce);
                wire::solicitation(mac, Ipv6Addr::UNSPECIFIED, target, None, nonce)
            }
        };
        self.outbox.counters.probes += 1;
        self.outbox.send(port, frame);
    }

    /// Tells everybody where an address is.
    fn announce(&mut self, (port, address): Key) {
        let Some(mac) = self.ports.get(&port).map(|port| port.interface.mac) else { return };
        let frame = match address {
            IpAddr::V4(address) => wire::arp_request(mac, address, address, wire::BROADCAST),
            IpAddr::V6(address) => {
                let advertisement = Advertisement {
                    target: address,
                    link_address: Some(mac),
                    router: true,
                    solicited: false,
                    replaces: true,
                };
                let to = wire::group_mac(wire::ALL_NODES);
                wire::advertisement(mac, address, wire::ALL_NODES, to, &advertisement)
            }
        };
        self.outbox.send(port, frame);
    }

    fn own_of(&self, port: PortId) -> Vec<Key> {
        self.own.keys().filter(|key| key.0 == port).copied().collect()
    }

    fn nonce(&mut self) -> Nonce {
        let [a, b, c, d, e, f, ..] = self.random.u64(..).to_be_bytes();
        [a, b, c, d, e, f]
    }
}
