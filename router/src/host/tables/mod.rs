//! The tables of a router that is its own host: addresses, routes and policy rules, made of what people want and of the
//! links there are, and told to the routing state as [`Change`]s.
//!
//! Of the kernel's tables only links and settings are heeded, and routes of the main table if that is wanted
//! ([`Setup::follow`]); its addresses, neighbors and rules are another host's. Nothing here asks the kernel, a clock or a
//! socket: links come by [`OwnTables::take`], and what is found out of addresses by [`OwnTables::set_phase`].

mod follow;
mod picture;
#[cfg(test)]
mod tests;
mod told;
mod wanted;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use fib::adjacency::{LinkIndex, Mac, PortId};
use fib::change::{Address, Change, Link, LinkSettings, Route, RouteType, Rule, Settings};
use ipnet::IpNet;

pub use wanted::{
    ADDRESSES_MAX, LOCAL, MAIN, OwnAddress, OwnError, OwnHop, OwnNeighbor, OwnRoute, ROUTES_MAX, RULES_MAX,
    RouteKey, Seats, Wanted,
};

use super::spoken::Directory;
use follow::Follow;
use picture::Ground;
use told::Told;

/// Links with this index and above are bridges of the router's own; no device of the kernel's has it.
pub const BRIDGE_LINKS: u32 = 0x4000_0000;

/// The most routes of the kernel that are followed.
pub const FOLLOWED_MAX: usize = follow::ROUTES_MAX;

/// The protocol (`rtm_protocol`) of routes that routerd itself puts into the kernel's table: not to be followed.
pub const OWN_PROTOCOL: u8 = 114;

/// MTU of a bridge without members, in bytes.
const BRIDGE_MTU: u32 = 1500;

/// What the tables begin with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The ports, in the order of their [`PortId`]s.
    pub ports: Vec<Seat>,
    /// Addresses, routes and rules.
    pub wanted: Wanted,
    /// Name of the device by whose routes the kernel's main table is followed; `None` to leave it alone.
    pub follow: Option<String>,
}

/// A port, as far as these tables are concerned.
#[derive(Clone, Debug, PartialEq)]
pub enum Seat {
    /// A device of this name.
    Device(String),
    /// A bridge of the router's own.
    Bridge {
        /// Its name.
        name: String,
        /// Its Ethernet address; `None` for the lowest of its members'.
        mac: Option<Mac>,
        /// Its members.
        members: Vec<PortId>,
        /// Its settings.
        settings: LinkSettings,
    },
}

/// How far an address is with finding out whether somebody else has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is being asked for, and not used yet.
    Tentative,
    /// It is used.
    Ready,
    /// Somebody else has it: it is not used.
    Duplicate,
}

/// An address as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The address.
    pub address: OwnAddress,
    /// How far it is.
    pub phase: Phase,
}

/// What the kernel has to know so that its programs can use the router's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostView {
    /// The smallest MTU of the ports, in bytes.
    pub mtu: u32,
    /// Addresses in use with their prefixes, those of one link alone not among them.
    pub addresses: Vec<IpNet>,
    /// Routes that lead beyond the prefixes of addresses, with the source that packets are to have.
    pub routes: BTreeMap<IpNet, IpAddr>,
}

/// A complete picture of what the routing state is to hold.
#[derive(Debug, Default)]
struct Picture {
    links: Vec<(Link, LinkSettings)>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
    rules: Vec<Rule>,
}

/// The router's own tables.
#[derive(Debug)]
pub struct OwnTables {
    seats: SeatList,
    wanted: Wanted,
    ground: Links,
    /// A complete picture of the kernel's tables that is not at its end yet.
    incoming: Option<Vec<Change>>,
    /// Whether there ever was one.
    complete: bool,
    told: Told,
    follow: Follow,
}

/// The ports as people know them.
#[derive(Debug)]
struct SeatList(Vec<Seat>);

/// The links there are, which port each stands for, and what was found out of addresses.
#[derive(Debug, Default)]
struct Links {
    links: BTreeMap<LinkIndex, Link>,
    ipv6_disabled: BTreeMap<LinkIndex, bool>,
    bound: Vec<Option<LinkIndex>>,
    /// The links that bridges are.
    bridges: BTreeMap<PortId, Link>,
    /// Ports that are members of a bridge.
    members: Vec<bool>,
    phases: HashMap<(PortId, IpAddr), Phase>,
}

impl OwnTables {
    /// Tables without links. Nothing is told before [`Self::take`] has got a complete picture of them.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let seats = SeatList(setup.ports);
        let members = seats.ids().map(|port| seats.bridge_of(port).is_some()).collect();
        let bound = vec![None; seats.0.len()];
        let disabled = seats.ids().filter_map(|port| match seats.seat(port) {
            Seat::Bridge { settings, .. } => Some((SeatList::made_up(port), settings.ipv6_disabled)),
            Seat::Device(_) => None,
        });
        let ipv6_disabled = disabled.collect();
        Self {
            seats,
            wanted: setup.wanted,
            ground: Links { bound, members, ipv6_disabled, ..Links::default() },
            incoming: None,
            complete: false,
            told: Told::default(),
            follow: Follow::new(setup.follow),
        }
    }

    /// Takes what the kernel says and returns what it means for the routing state. What is the kernel's own affair is left
    /// out; a picture is taken when it is complete, and told as what has changed by it.
    pub fn take(&mut self, batch: Vec<Change>) -> Vec<Change> {
        let (mut said, mut news) = (Vec::new(), Vec::new());
        for change in batch {
            match change {
                Change::DumpBegin => {
                    said.extend(self.take_news(std::mem::take(&mut news)));
                    self.incoming = Some(Vec::new());
                }
                Change::DumpEnd => {
                    if let Some(picture) = self.incoming.take() {
                        said.extend(self.take_picture(picture));
                    }
                }
                change if !self.follow.heeds(&change) => {}
                change => self.incoming.as_mut().unwrap_or(&mut news).push(change),
            }
        }
        said.extend(self.take_news(news));
        said
    }

    /// Whether the links were ever known.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Gives a port an address.
    ///
    /// # Errors
    /// See [`OwnError`]; nothing has changed.
    pub fn add_address(&mut self, address: OwnAddress) -> Result<Vec<Change>, OwnError> {
        self.wanted.add_address(&self.seats, address)?;
        Ok(self.settle())
    }

    /// Takes an address from a port. Routes that suggest it as a source suggest none from now on.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_address(&mut self, port: PortId, net: IpNet) -> Result<Vec<Change>, OwnError> {
        self.wanted.remove_address(&self.seats, port, net)?;
        Ok(self.settle())
    }

    /// Adds a route.
    ///
    /// # Errors
    /// See [`OwnError`]; nothing has changed.
    pub fn add_route(&mut self, route: OwnRoute) -> Result<Vec<Change>, OwnError> {
        let (key, direct) = (route.key(), route.is_direct());
        self.wanted.add_route(&self.seats, route)?;
        Ok(self.settle_route(key, direct))
    }

    /// Puts a route in the place of the one like it, if there is one.
    ///
    /// # Errors
    /// See [`OwnError`]; nothing has changed.
    pub fn replace_route(&mut self, route: OwnRoute) -> Result<Vec<Change>, OwnError> {
        let (key, direct) = (route.key(), route.is_direct());
        let before = self.wanted.replace_route(&self.seats, route)?;
        Ok(self.settle_route(key, direct || before.is_some_and(|before| before.is_direct())))
    }

    /// Takes the first route to a prefix away that `matches`, in the order of type of service and metric.
    ///
    /// # Errors
    /// None does.
    pub fn remove_route(
        &mut self,
        table: u32,
        prefix: IpNet,
        matches: impl Fn(&OwnRoute) -> bool,
    ) -> Result<Vec<Change>, OwnError> {
        let gone = self.wanted.remove_route(table, prefix, matches)?;
        Ok(self.settle_route(gone.key(), gone.is_direct()))
    }

    /// Makes what is wanted something else: wholly, or not at all.
    ///
    /// # Errors
    /// What `change` says; nothing has changed.
    pub fn change<E>(
        &mut self,
        change: impl FnOnce(&mut Wanted, &dyn Seats) -> Result<(), E>,
    ) -> Result<Vec<Change>, E> {
        let mut wanted = self.wanted.clone();
        change(&mut wanted, &self.seats)?;
        self.wanted = wanted;
        Ok(self.settle())
    }

    /// What is wanted.
    #[must_use]
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Takes what was found out of an address: nobody else has it, or somebody does.
    pub fn set_phase(&mut self, port: PortId, address: IpAddr, phase: Phase) -> Vec<Change> {
        if self.standings().iter().all(|one| one.address.port != port || one.address.net.addr() != address) {
            return Vec::new();
        }
        if self.ground.phases.insert((port, address), phase) == Some(phase) {
            return Vec::new();
        }
        self.settle()
    }

    /// As [`Self::set_phase`], of all addresses; `None` for those of which nothing was found out.
    pub fn set_phases(&mut self, phase_of: impl Fn(PortId, IpAddr) -> Option<Phase>) -> Vec<Change> {
        let mut differs = false;
        for one in self.standings().into_iter().filter(|one| one.address.detect) {
            let key = (one.address.port, one.address.net.addr());
            let found = phase_of(key.0, key.1);
            if found.is_some_and(|phase| self.ground.phases.insert(key, phase) != Some(phase)) {
                differs = true;
            }
        }
        if differs { self.settle() } else { Vec::new() }
    }

    /// The addresses of ports that are up, those included that they give themselves for their link. Of a port that is down
    /// those of IPv4.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let mut all = Vec::new();
        for port in self.ground.seats() {
            let Some(link) = self.ground.link(port) else { continue };
            let with_ipv6 = link.admin_up && !self.ground.ipv6_disabled(link.index);
            let of_link = picture::link_local(port, link).filter(|_| with_ipv6);
            let own = self.wanted.addresses().iter().filter(|own| own.port == port);
            let own = own.filter(|own| with_ipv6 || own.net.addr().is_ipv4()).cloned();
            all.extend(of_link.into_iter().chain(own));
        }
        all.into_iter().map(|address| Standing { phase: self.ground.phase(&address), address }).collect()
    }

    /// The link that a port stands for, if there is one.
    #[must_use]
    pub fn link_of(&self, port: PortId) -> Option<&Link> {
        self.ground.link(port)
    }

    /// A port's name.
    #[must_use]
    pub fn name(&self, port: PortId) -> &str {
        self.seats.name(port)
    }

    /// Has the routes of another device followed, or of none. The kernel's whole picture has to be taken anew.
    pub fn set_followed(&mut self, device: Option<String>) {
        self.follow.set_device(device);
    }

    /// Routes of the kernel that found no room.
    #[must_use]
    pub const fn not_followed(&self) -> u64 {
        self.follow.refused()
    }

    /// What the kernel has to know so that its programs can use the router's addresses.
    #[must_use]
    pub fn host_view(&self) -> HostView {
        let ready = self.standings().into_iter().filter(|one| one.phase == Phase::Ready);
        let ready: Vec<OwnAddress> = ready.map(|one| one.address).collect();
        let mut view = HostView::default();
        let mtus = self.ground.seats().into_iter().filter_map(|port| Some(self.ground.link(port)?.mtu));
        view.mtu = mtus.min().unwrap_or(BRIDGE_MTU).max(MTU_MIN);
        for address in &ready {
            if !wanted::is_link_local(address.net.addr()) && !view.addresses.contains(&address.net) {
                view.addresses.push(address.net);
            }
        }
        let subnets = self.wanted.subnets();
        for route in self.wanted.routes() {
            if view.routes.len() >= HOST_ROUTES_MAX {
                break;
            }
            if route.table != MAIN || route.tos != 0 || route.kind != RouteType::Unicast {
                continue;
            }
            if let Some(source) = source_of(route, &ready, &subnets) {
                view.routes.entry(route.prefix).or_insert(source);
            }
        }
        view
    }

    /// The links of a picture that is complete: those it does not name are gone.
    fn take_picture(&mut self, picture: Vec<Change>) -> Vec<Change> {
        self.complete = true;
        self.follow.forget();
        let is_named = |index: &LinkIndex| {
            picture.iter().any(|change| matches!(change, Change::Link(link) if link.index == *index))
        };
        let gone: Vec<_> = self.ground.links.keys().filter(|index| !is_named(index)).copied().collect();
        let gone = gone.into_iter().map(Change::LinkGone);
        self.take_news(gone.chain(picture).collect())
    }

    fn take_news(&mut self, news: Vec<Change>) -> Vec<Change> {
        if news.is_empty() || !self.complete {
            return Vec::new();
        }
        let mut links = Vec::new();
        for change in news {
            match change {
                Change::Link(link) => {
                    if self.ground.take_link(&link) {
                        links.push(Change::Link(link));
                    }
                }
                Change::LinkGone(index) => {
                    self.ground.links.remove(&index);
                    self.ground.ipv6_disabled.remove(&index);
                    links.push(Change::LinkGone(index));
                }
                Change::Settings(settings) => {
                    if let Settings::Link(index, of_link) = &settings {
                        self.ground.ipv6_disabled.insert(*index, of_link.ipv6_disabled);
                    }
                    links.push(Change::Settings(settings));
                }
                other => self.follow.take(other),
            }
        }
        if links.is_empty() {
            return self.settle_followed();
        }
        self.ground.bind(&self.seats);
        self.settle_with(links)
    }

    /// As [`Self::settle`], where nothing but a route is otherwise than before, on which gateways may be if it is `direct`.
    fn settle_route(&mut self, key: RouteKey, direct: bool) -> Vec<Change> {
        if direct || !self.complete {
            return self.settle();
        }
        let route = picture::draw_route(&self.wanted, &key, &self.ground);
        let Some(own) = self.told.become_at(key, route) else { return self.settle() };
        self.follow.look_at(key);
        let followed = self.followed();
        [own.gone, followed.gone, own.come, followed.come].concat()
    }

    /// What has to be said so that the routing state holds what is wanted now.
    fn settle(&mut self) -> Vec<Change> {
        self.ground.forget_strangers(&self.wanted);
        if self.complete { self.settle_with(Vec::new()) } else { Vec::new() }
    }

    /// What goes is told before its link does, and what comes when its link is there.
    fn settle_with(&mut self, links: Vec<Change>) -> Vec<Change> {
        let mut picture = picture::draw(&self.wanted, &self.ground);
        picture.links = self.seats.links_made_up(&self.ground);
        let own = self.told.become_(picture);
        self.follow.look_again();
        let followed = self.followed();
        [own.gone, followed.gone, links, own.links, own.come, followed.come].concat()
    }

    fn settle_followed(&mut self) -> Vec<Change> {
        let followed = self.followed();
        [followed.gone, followed.come].concat()
    }

    fn followed(&mut self) -> follow::Followed {
        let Some(name) = self.follow.device() else { return follow::Followed::default() };
        let device = self.ground.links.values().find(|link| link.name == name).map(|link| link.index);
        let subnets = self.wanted.subnets();
        let (wanted, ground) = (&self.wanted, &self.ground);
        let around = follow::Surroundings {
            device,
            link_of: &|via| {
                let on = |(net, port): &(IpNet, PortId)| {
                    let link = ground.link(*port).filter(|link| net.contains(&via) && link.admin_up)?;
                    Some(link.index)
                };
                subnets.iter().find_map(on)
            },
            is_ready: &|source| {
                let mut own = wanted.addresses().iter().filter(|own| own.net.addr() == source);
                own.any(|own| ground.phase(own) == Phase::Ready)
            },
            own: &self.told,
        };
        self.follow.settle(&around)
    }
}

/// The least MTU of IPv6 (RFC 8200 section 5), below which the kernel takes it off a device.
const MTU_MIN: u32 = 1280;

/// The most routes that the kernel is told.
const HOST_ROUTES_MAX: usize = 4096;

/// The source that packets along a route are to have: what it suggests, or an address of its first way on.
fn source_of(route: &OwnRoute, ready: &[OwnAddress], subnets: &[(IpNet, PortId)]) -> Option<IpAddr> {
    if let Some(source) = route.preferred_source {
        return ready.iter().any(|own| own.net.addr() == source).then_some(source);
    }
    let hop = route.hops.first()?;
    let covers = |via: IpAddr| subnets.iter().find(|(net, _)| net.contains(&via)).map(|(_, port)| *port);
    let port = hop.port.or_else(|| covers(hop.via?))?;
    let is_ipv6 = route.prefix.addr().is_ipv6();
    let fits = |own: &&OwnAddress| {
        let address = own.net.addr();
        own.port == port && address.is_ipv6() == is_ipv6 && !wanted::is_link_local(address)
    };
    let mut fitting = ready.iter().filter(fits);
    let first = fitting.clone().next();
    let best = hop.via.and_then(|via| fitting.find(|own| own.net.contains(&via)));
    best.or(first).map(|own| own.net.addr())
}

impl SeatList {
    fn ids(&self) -> impl Iterator<Item = PortId> + use<> {
        let count = u16::try_from(self.0.len()).expect("bounded by PORTS_MAX");
        (0..count).map(PortId)
    }

    /// The index that stands for a bridge's link.
    fn made_up(port: PortId) -> LinkIndex {
        LinkIndex(BRIDGE_LINKS + u32::from(port.0))
    }

    /// The links of the bridges, as their members make them.
    fn bridges(&self, ground: &Links) -> BTreeMap<PortId, Link> {
        let one = |port: PortId| {
            let Seat::Bridge { name, mac, members, .. } = self.seat(port) else { return None };
            let links = || members.iter().filter_map(|member| ground.link(*member));
            let lowest =
                links().map(|link| link.mac).filter(|mac| *mac != Mac::default()).min_by_key(|mac| mac.0);
            let link = Link {
                index: Self::made_up(port),
                name: name.clone(),
                kind: "bridge".to_owned(),
                mac: mac.or(lowest).unwrap_or_default(),
                mtu: links().map(|link| link.mtu).min().unwrap_or(BRIDGE_MTU),
                admin_up: true,
                carrier: links().any(|link| link.admin_up && link.carrier),
                loopback: false,
                no_arp: false,
                master: None,
                vrf_table: None,
            };
            Some((port, link))
        };
        self.ids().filter_map(one).collect()
    }

    /// These links with their settings.
    fn links_made_up(&self, ground: &Links) -> Vec<(Link, LinkSettings)> {
        let settings = |port: PortId| match self.seat(port) {
            Seat::Bridge { settings, .. } => *settings,
            Seat::Device(_) => LinkSettings::default(),
        };
        ground.bridges.iter().map(|(port, link)| (link.clone(), settings(*port))).collect()
    }

    fn seat(&self, port: PortId) -> &Seat {
        &self.0[usize::from(port.0)]
    }
}

impl Directory for OwnTables {
    fn port_named(&self, name: &str) -> Option<PortId> {
        self.seats.ids().find(|port| self.seats.name(*port) == name)
    }
}

impl Seats for SeatList {
    fn name(&self, port: PortId) -> &str {
        match self.seat(port) {
            Seat::Device(name) | Seat::Bridge { name, .. } => name,
        }
    }

    fn bridge_of(&self, port: PortId) -> Option<PortId> {
        self.ids().find(|bridge| match self.seat(*bridge) {
            Seat::Device(_) => false,
            Seat::Bridge { members, .. } => members.contains(&port),
        })
    }
}

impl Links {
    /// Takes what is known of a link; false if that was known before.
    fn take_link(&mut self, link: &Link) -> bool {
        let before = self.links.insert(link.index, link.clone());
        if link.admin_up && before.as_ref().is_none_or(|before| !before.admin_up) {
            let port = self.bound.iter().position(|bound| *bound == Some(link.index));
            // Of IPv6 addresses it is found out anew each time (RFC 4862 section 5.4), those of IPv4 stay in use.
            self.phases.retain(|(of, address), _| Some(usize::from(of.0)) != port || address.is_ipv4());
        }
        before.as_ref() != Some(link)
    }

    /// Finds each port its link, as the routing state does: a bound one is kept while it lives, whatever its name; else the
    /// one of that name.
    fn bind(&mut self, seats: &SeatList) {
        for bound in &mut self.bound {
            *bound = bound.filter(|index| self.links.contains_key(index));
        }
        for port in seats.ids() {
            let place = usize::from(port.0);
            let Seat::Device(name) = seats.seat(port) else { continue };
            if self.bound[place].is_some() {
                continue;
            }
            let is_free = |link: &&Link| link.name == *name && !self.bound.contains(&Some(link.index));
            self.bound[place] = self.links.values().rfind(is_free).map(|link| link.index);
            self.phases.retain(|(of, address), _| *of != port || address.is_ipv4());
        }
        self.bridges = seats.bridges(self);
    }

    /// Forgets what was found out of addresses that are no longer wanted.
    fn forget_strangers(&mut self, wanted: &Wanted) {
        let is_wanted = |(port, address): &(PortId, IpAddr)| {
            wanted::is_link_local(*address)
                || wanted.addresses().iter().any(|own| own.port == *port && own.net.addr() == *address)
        };
        self.phases.retain(|of, _| is_wanted(of));
    }
}

impl Ground for Links {
    fn link(&self, port: PortId) -> Option<&Link> {
        let of_kernel = || self.links.get(&(*self.bound.get(usize::from(port.0))?)?);
        self.bridges.get(&port).or_else(of_kernel)
    }

    fn phase(&self, address: &OwnAddress) -> Phase {
        let found = self.phases.get(&(address.port, address.net.addr())).copied();
        let link = self.link(address.port);
        // Where there are no neighbors nobody can be asked; where nothing is sent, an address does no harm.
        let is_asked = link.is_some_and(|link| !link.no_arp && link.admin_up);
        if address.detect && is_asked { found.unwrap_or(Phase::Tentative) } else { Phase::Ready }
    }

    fn ipv6_disabled(&self, link: LinkIndex) -> bool {
        self.ipv6_disabled.get(&link).copied().unwrap_or(false)
    }

    fn loopback(&self) -> Option<&Link> {
        self.links.values().find(|link| link.loopback)
    }

    fn seats(&self) -> Vec<PortId> {
        let free = self.members.iter().enumerate().filter(|(_, is_member)| !**is_member);
        free.map(|(place, _)| PortId(u16::try_from(place).expect("bounded by PORTS_MAX"))).collect()
    }
}
