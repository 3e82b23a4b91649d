//! Who is behind each port: stations by link address, what was told of protocol addresses, and from both which neighbor a
//! station stands for. Bounded; who floods a link with claims is counted and changes nothing of what is known.
//!
//! Locks: the one around a directory comes before those of the neighbor table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use fib::adjacency::{Mac, PortId};

use super::announcement::Announcement;
use super::settings::Settings;
use super::station::{Bound, Kind, Rank, Station, World};

/// Most stations that flows come from or go to.
pub const STATIONS_MAX: usize = 1 << 15;
/// Most protocol addresses of which it is remembered who had them.
pub const SIGHTS_MAX: usize = 1 << 12;
/// Most protocol addresses of one link address that are thought about.
const ADDRESSES_MAX: usize = 8;

/// The neighbor table is not searched again before.
const SEARCH_INTERVAL_MS: u64 = 1_000;
/// How long an address that was only seen is remembered when there is no room for others.
const SIGHT_KEPT_MS: u64 = 60_000;
/// How long a router counts as in charge of a virtual one after it has said so. Advertisements come each second as a rule.
const IN_CHARGE_MS: u64 = 10_000;
/// How long frames of a station whose neighbor has moved are taken for stragglers.
const STRAGGLERS_MS: u64 = 2_000;

/// Stations and sights.
#[derive(Debug, Default)]
pub(super) struct Directory {
    links: HashMap<(PortId, Mac), Link>,
    sights: HashMap<(PortId, IpAddr), Sight>,
    /// How many link addresses have a station.
    stations: usize,
    /// There are stations that nothing was looked for yet.
    has_new: bool,
    /// There are stations that nothing was found for.
    has_unknown: bool,
    /// What the neighbor table said of its changes when it was searched, and when that was.
    searched: (u64, u64),
    swept_ms: u64,
    /// Sights that found no room.
    pub(super) refused: u64,
}

/// What is known of a link address.
#[derive(Debug, Default)]
struct Link {
    station: Option<Arc<Station>>,
    /// Sights with this link address.
    addresses: Vec<IpAddr>,
}

/// What is known of a protocol address.
#[derive(Debug)]
struct Sight {
    /// Who had it last; unknown of one that was declared and not seen yet.
    mac: Option<Mac>,
    rank: Rank,
    told_ms: u64,
    /// The group that declares it.
    group: Option<usize>,
    /// The virtual address that its owner is in charge of, and when it said so.
    in_charge_of: Option<(IpAddr, u64)>,
}

impl Directory {
    /// The station of a link address, made if there is room.
    pub(super) fn station(
        &mut self,
        port: PortId,
        mac: Mac,
        settings: &Settings,
        world: &World<'_>,
    ) -> Option<Arc<Station>> {
        if let Some(station) = self.links.get(&(port, mac)).and_then(|link| link.station.as_ref()) {
            return Some(station.clone());
        }
        if self.stations >= STATIONS_MAX {
            return None;
        }
        let station = Arc::new(Station::new(port, mac, world.now_ms));
        station.join(settings.group_of(port, mac));
        self.links.entry((port, mac)).or_default().station = Some(station.clone());
        self.stations += 1;
        self.has_new = true;
        Some(station)
    }

    /// Takes in what a frame has told.
    pub(super) fn hear(&mut self, port: PortId, told: &Announcement, world: &World<'_>) {
        match *told {
            Announcement::Neighbor { address, mac, unasked } => {
                let rank = if unasked { Rank::Announced } else { Rank::Known };
                self.see(port, address, mac, rank, world);
                self.hear_from(port, mac, world);
            }
            Announcement::Virtual { speaker, mac, addresses } => {
                let is_virtual = Kind::of(mac).is_virtual();
                if !is_virtual {
                    self.see(port, speaker, mac, Rank::Known, world);
                }
                for address in addresses.into_iter().flatten() {
                    // Who speaks from a device's own address may have the virtual one all the same.
                    let known = self.sights.get(&(port, address)).and_then(|sight| sight.mac);
                    let is_better = is_virtual || known.is_none_or(|known| !Kind::of(known).is_virtual());
                    if is_better {
                        self.see(port, address, mac, Rank::Virtual, world);
                    }
                }
                let Some(first) = addresses[0] else { return };
                let Some(sight) = self.sights.get_mut(&(port, speaker)) else { return };
                sight.in_charge_of = Some((first, world.now_ms));
                if let Some(mac) = sight.mac {
                    self.hear_from(port, mac, world);
                }
                self.hear_from(port, mac, world);
            }
        }
    }

    /// Thinks about a station's neighbor again. `gateway` is what routing would answer it by, if that is at its address;
    /// `speaks` says that packets of flows come from it.
    pub(super) fn review(&self, station: &Station, gateway: Option<Bound>, speaks: bool, world: &World<'_>) {
        for ipv6 in [false, true] {
            let gateway = gateway.filter(|gateway| gateway.address.is_ipv6() == ipv6);
            self.review_family(station, ipv6, gateway, speaks, world);
        }
    }

    fn review_family(
        &self,
        station: &Station,
        ipv6: bool,
        gateway: Option<Bound>,
        speaks: bool,
        world: &World<'_>,
    ) {
        let best = self.best(station, ipv6, gateway, world);
        let Some(bound) = station.bound(ipv6) else {
            if best.is_some() {
                station.bind(ipv6, best);
            }
            return;
        };
        let is_still_it = best.is_some_and(|best| best.address == bound.address);
        let is_better =
            |best: Bound| best.rank > bound.rank || speaks && is_still_it && best.mac != bound.mac;
        if best.is_some_and(is_better) || world.neighbors.get(bound.neighbor).is_none() {
            return station.bind(ipv6, best);
        }
        if !speaks {
            return;
        }
        let is_over = match station.moved_since(&bound, world) {
            // Flows of this station follow; but while packets still come from it, it is not gone.
            Some(since) => world.now_ms.saturating_sub(since) > STRAGGLERS_MS,
            None => bound.mac != station.mac,
        };
        if is_over && !is_still_it && bound.rank != Rank::Declared {
            station.bind(ipv6, best);
        }
    }

    /// Notes which groups there are now.
    pub(super) fn declare(&mut self, settings: &Settings) {
        self.sights.retain(|_, sight| {
            sight.group = None;
            sight.mac.is_some()
        });
        for (place, group) in settings.groups.iter().enumerate() {
            for address in &group.addresses {
                let unseen =
                    || Sight { mac: None, rank: Rank::Known, told_ms: 0, group: None, in_charge_of: None };
                // The user's word is bounded already.
                self.sights.entry((group.port, *address)).or_insert_with(unseen).group = Some(place);
            }
        }
        for ((port, mac), link) in &self.links {
            if let Some(station) = &link.station {
                let group = settings.group_of(*port, *mac);
                station.join(group);
                for ipv6 in [false, true] {
                    if station.bound(ipv6).is_some_and(|bound| bound.rank == Rank::Declared) {
                        station.bind(ipv6, None);
                    }
                }
            }
        }
        self.has_new = true;
    }

    /// Binds stations of which nothing else is known to neighbors with their address, if there are new stations or other
    /// neighbors.
    pub(super) fn search(&mut self, world: &World<'_>) {
        let (changes, searched_ms) = (world.neighbors.changes(), self.searched.1);
        let may_find = self.has_unknown
            && self.searched.0 != changes
            && world.now_ms.saturating_sub(searched_ms) >= SEARCH_INTERVAL_MS;
        if !std::mem::take(&mut self.has_new) && !may_find {
            return;
        }
        self.searched = (changes, world.now_ms);
        world.neighbors.for_each(|row| {
            if !row.view.state.is_valid() {
                return;
            }
            let link = self.links.get(&(row.view.port, row.view.mac));
            if let Some(station) = link.and_then(|link| link.station.as_ref())
                && station.bound(row.address.is_ipv6()).is_none()
            {
                let bound =
                    Bound { neighbor: row.id, address: row.address, rank: Rank::Known, mac: row.view.mac };
                station.bind(row.address.is_ipv6(), Some(bound));
            }
        });
        let stations = || self.links.values().filter_map(|link| link.station.as_ref());
        stations().for_each(|station| self.review(station, None, false, world));
        self.has_unknown = stations().any(|station| station.any_bound().is_none());
    }

    /// Lets go of stations that nobody holds any more.
    pub(super) fn sweep(&mut self) {
        let stations = &mut self.stations;
        self.links.retain(|_, link| {
            if link.station.as_ref().is_some_and(|station| Arc::strong_count(station) == 1) {
                link.station = None;
                *stations -= 1;
            }
            link.station.is_some() || !link.addresses.is_empty()
        });
    }

    /// The station of a link address, if there is one.
    pub(super) fn find(&self, port: PortId, mac: Mac) -> Option<&Arc<Station>> {
        self.links.get(&(port, mac))?.station.as_ref()
    }

    /// A frame has come from a link address.
    fn hear_from(&self, port: PortId, mac: Mac, world: &World<'_>) {
        if let Some(station) = self.find(port, mac) {
            station.hear(world.now_ms);
            self.review(station, None, false, world);
        }
    }

    /// Notes that an address is at a link address.
    fn see(&mut self, port: PortId, address: IpAddr, mac: Mac, rank: Rank, world: &World<'_>) {
        let key = (port, address);
        if !self.sights.contains_key(&key) && !self.has_room(world.now_ms) {
            self.refused += 1;
            return;
        }
        let sight = self.sights.entry(key).or_insert(Sight {
            mac: None,
            rank,
            told_ms: world.now_ms,
            group: None,
            in_charge_of: None,
        });
        let before = sight.mac.replace(mac);
        let moved = before.is_some_and(|before| before != mac);
        let earned = if moved { Rank::Virtual } else { rank };
        sight.rank = sight.rank.max(earned);
        if rank >= Rank::Announced || moved {
            sight.told_ms = world.now_ms;
        }
        if before == Some(mac) {
            return;
        }
        if let Some(before) = before {
            self.unlist(port, before, address);
        }
        let addresses = &mut self.links.entry((port, mac)).or_default().addresses;
        if addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
            return;
        }
        // Better ones are not driven out by those that were only seen.
        let rank_of = |address: &IpAddr| self.sights.get(&(port, *address)).map(|sight| sight.rank);
        let least = addresses.iter_mut().min_by_key(|address| rank_of(address));
        if let Some(least) = least.filter(|least| rank_of(least) < rank_of(&address)) {
            *least = address;
        }
    }

    fn unlist(&mut self, port: PortId, mac: Mac, address: IpAddr) {
        let Some(link) = self.links.get_mut(&(port, mac)) else { return };
        link.addresses.retain(|listed| *listed != address);
        if link.addresses.is_empty() && link.station.is_none() {
            self.links.remove(&(port, mac));
        }
    }

    /// Whether another address can be remembered. Once a second old ones that were only seen make room.
    fn has_room(&mut self, now_ms: u64) -> bool {
        if self.sights.len() < SIGHTS_MAX {
            return true;
        }
        if now_ms.saturating_sub(self.swept_ms) < 1_000 {
            return false;
        }
        self.swept_ms = now_ms;
        let is_old = |sight: &Sight| {
            sight.rank == Rank::Known
                && sight.group.is_none()
                && now_ms.saturating_sub(sight.told_ms) > SIGHT_KEPT_MS
        };
        let old: Vec<_> =
            self.sights.iter().filter(|(_, sight)| is_old(sight)).map(|(key, _)| *key).collect();
        for key in old {
            if let Some(mac) = self.sights.remove(&key).and_then(|sight| sight.mac) {
                self.unlist(key.0, mac, key.1);
            }
        }
        self.sights.len() < SIGHTS_MAX
    }

    /// The neighbor that a station stands for, as far as anything is known.
    fn best(
        &self,
        station: &Station,
        ipv6: bool,
        gateway: Option<Bound>,
        world: &World<'_>,
    ) -> Option<Bound> {
        let port = station.port;
        let listed = self.links.get(&(port, station.mac)).map_or(&[][..], |link| &link.addresses);
        let mut best: Option<(Rank, u64, IpAddr, Mac)> = None;
        let mut consider = |rank, told_ms, address: IpAddr, mac| {
            let is_of_family = address.is_ipv6() == ipv6;
            if is_of_family
                && best.is_none_or(|(best_rank, best_told, ..)| (rank, told_ms) > (best_rank, best_told))
            {
                best = Some((rank, told_ms, address, mac));
            }
        };
        for address in listed {
            let Some(sight) = self.sights.get(&(port, *address)) else { continue };
            consider(sight.rank, sight.told_ms, *address, station.mac);
            if let Some((virtual_address, said_ms)) = sight.in_charge_of
                && world.now_ms.saturating_sub(said_ms) <= IN_CHARGE_MS
                && let Some(mac) = self.sights.get(&(port, virtual_address)).and_then(|sight| sight.mac)
            {
                consider(Rank::Virtual, said_ms, virtual_address, mac);
            }
        }
        if let Some(group) = station.group() {
            for ((at, address), sight) in &self.sights {
                if *at == port && sight.group == Some(group) {
                    consider(Rank::Declared, sight.told_ms, *address, sight.mac.unwrap_or(station.mac));
                }
            }
        }
        let found = best.and_then(|(rank, _, address, mac)| {
            let neighbor = world.neighbors.find_or_create(port, address)?;
            let view = world.neighbors.get(neighbor).filter(|view| view.state.is_valid());
            Some(Bound { neighbor, address, rank, mac: view.map_or(mac, |view| view.mac) })
        });
        match (found, gateway) {
            (Some(found), Some(gateway)) if gateway.rank > found.rank => Some(gateway),
            (None, gateway) => gateway,
            (found, _) => found,
        }
    }
}
