//! What people want the router's own tables to hold, and why some of it cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use fib::adjacency::{Mac, PortId};
use fib::change::{RouteType, Rule};
use ipnet::IpNet;

/// The most own addresses of all ports together.
pub const ADDRESSES_MAX: usize = 4096;
/// The most own routes.
pub const ROUTES_MAX: usize = 65_536;
/// The most own policy rules.
pub const RULES_MAX: usize = 1024;

/// Table `main`.
pub const MAIN: u32 = 254;
/// Table `local`.
pub const LOCAL: u32 = 255;

/// What distinguishes routes: table, prefix, TOS, metric.
pub type RouteKey = (u32, IpNet, u8, u32);

/// An address of the router's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// The port or bridge it is on.
    pub port: PortId,
    /// Address and length of its prefix.
    pub net: IpNet,
    /// Whether it is asked first if somebody else has it.
    pub detect: bool,
}

/// A route of the router's own, as people ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRoute {
    /// Table.
    pub table: u32,
    /// Destination, host bits zero.
    pub prefix: IpNet,
    /// Unicast, or one of the types that lead nowhere.
    pub kind: RouteType,
    /// Who asked for it (`rtm_protocol`).
    pub protocol: u8,
    /// Type of service it is for (IPv4), 0 for any.
    pub tos: u8,
    /// Metric; smaller wins.
    pub metric: u32,
    /// Source address it suggests.
    pub preferred_source: Option<IpAddr>,
    /// Path MTU it sets in bytes, 0 for none.
    pub mtu: u32,
    /// Ways on; none for types that lead nowhere.
    pub hops: Vec<OwnHop>,
}

/// One way on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnHop {
    /// Gateway; without one the destination is on the link.
    pub via: Option<IpAddr>,
    /// Port; without one the gateway's address says which.
    pub port: Option<PortId>,
    /// Share of the flows, at least 1.
    pub weight: u16,
    /// The gateway is on the link although no prefix says so.
    pub onlink: bool,
}

/// A neighbor set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnNeighbor {
    /// The port or bridge it is on.
    pub port: PortId,
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: Mac,
}

/// Why the tables cannot be as wanted. Each is told to whoever asked, and then nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnError {
    /// No port has this name.
    #[error("no port named {0} in this router")]
    NoPort(String),
    /// A port that belongs to a bridge.
    #[error("port {port} is a member of {bridge}, and has no addresses of its own: give it to {bridge}")]
    Member {
        /// The port.
        port: String,
        /// The bridge.
        bridge: String,
    },
    /// Not an address that a port can have.
    #[error("{0} cannot be an address of a port: it is {1}")]
    NoUnicast(IpAddr, &'static str),
    /// It is there already.
    #[error("{0} is an address of {1} already")]
    Duplicate(IpNet, String),
    /// It is not there.
    #[error("{0} is no address of {1}")]
    NoAddress(IpNet, String),
    /// No room.
    #[error("more than {ADDRESSES_MAX} own addresses, the most there can be")]
    TooManyAddresses,
    /// There is one like it.
    #[error("there is a route to {0} with this table, type of service and metric already")]
    RouteExists(IpNet),
    /// The prefix of an address.
    #[error("{0} is the prefix of an address of {1}, and has its route by that")]
    Connected(IpNet, String),
    /// There is none like it.
    #[error("there is no such route to {0} of the router's own")]
    NoRoute(IpNet),
    /// No room.
    #[error("more than {ROUTES_MAX} own routes, the most there can be")]
    TooManyRoutes,
    /// A gateway out of reach.
    #[error("gateway {0} is on no subnet of this router (onlink?)")]
    GatewayUnknown(IpAddr),
    /// A gateway out of reach of the port named.
    #[error("gateway {0} is on no subnet of {1} (onlink?)")]
    GatewayElsewhere(IpAddr, String),
    /// A gateway that is this router.
    #[error("gateway {0} is this router itself")]
    GatewayOwn(IpAddr),
    /// A way on that says nothing.
    #[error("the route to {0} does not say where it leads: a gateway, a port or both")]
    NoWay(IpNet),
    /// A source that is not the router's.
    #[error("{0} is no address of this router, so it cannot be a source")]
    SourceForeign(IpAddr),
    /// There is one like it.
    #[error("there is such a policy rule with preference {0} already")]
    RuleExists(u32),
    /// There is none like it.
    #[error(
        "there is no such policy rule of the router's own; those for the tables local, main and default stay"
    )]
    NoRule,
    /// No room.
    #[error("more than {RULES_MAX} own policy rules, the most there can be")]
    TooManyRules,
}

/// Everything that is wanted. What stands here is consistent: no address twice, no route without a way on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    addresses: Vec<OwnAddress>,
    routes: BTreeMap<RouteKey, OwnRoute>,
    /// Routes on whose prefix gateways may be.
    direct: BTreeSet<RouteKey>,
    rules: Vec<Rule>,
}

/// What the names of ports stand for, and which are members of a bridge.
pub trait Seats {
    /// A port's name.
    fn name(&self, port: PortId) -> &str;
    /// The bridge that a port is a member of.
    fn bridge_of(&self, port: PortId) -> Option<PortId>;
}

impl OwnRoute {
    /// What distinguishes it from others.
    #[must_use]
    pub const fn key(&self) -> RouteKey {
        (self.table, self.prefix, self.tos, self.metric)
    }

    /// Whether it leads straight onto links, so that gateways may be on its prefix.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.kind == RouteType::Unicast && self.hops.iter().all(|hop| hop.via.is_none())
    }
}

impl Wanted {
    /// Adds an address.
    ///
    /// # Errors
    /// See [`OwnError`]; nothing has changed.
    pub fn add_address(
        &mut self,
        seats: &(impl Seats + ?Sized),
        address: OwnAddress,
    ) -> Result<(), OwnError> {
        let port = || seats.name(address.port).to_owned();
        if let Some(bridge) = seats.bridge_of(address.port) {
            return Err(OwnError::Member { port: port(), bridge: seats.name(bridge).to_owned() });
        }
        if let Some(why) = no_host(address.net.addr()) {
            return Err(OwnError::NoUnicast(address.net.addr(), why));
        }
        if self.addresses.iter().any(|held| held.port == address.port && is_same(held.net, address.net)) {
            return Err(OwnError::Duplicate(address.net, port()));
        }
        if self.addresses.len() >= ADDRESSES_MAX {
            return Err(OwnError::TooManyAddresses);
        }
        self.addresses.push(address);
        Ok(())
    }

    /// Takes an address away.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_address(
        &mut self,
        seats: &(impl Seats + ?Sized),
        port: PortId,
        net: IpNet,
    ) -> Result<(), OwnError> {
        let place = self.addresses.iter().position(|held| held.port == port && held.net == net);
        let place = place.ok_or_else(|| OwnError::NoAddress(net, seats.name(port).to_owned()))?;
        self.addresses.remove(place);
        Ok(())
    }

    /// Adds a route.
    ///
    /// # Errors
    /// See [`OwnError`]; nothing has changed.
    pub fn add_route(&mut self, seats: &(impl Seats + ?Sized), route: OwnRoute) -> Result<(), OwnError> {
        if self.routes.contains_key(&route.key()) {
            return Err(OwnError::RouteExists(route.prefix));
        }
        if self.routes.len() >= ROUTES_MAX {
            return Err(OwnError::TooManyRoutes);
        }
        self.check_route(seats, &route)?;
        self.put_route(route);
        Ok(())
    }

    /// Puts a route in the place of the one like it, if there is one, which is returned.
    ///
    /// # Errors
    /// See [`OwnError`]; nothing has changed.
    pub fn replace_route(
        &mut self,
        seats: &(impl Seats + ?Sized),
        route: OwnRoute,
    ) -> Result<Option<OwnRoute>, OwnError> {
        self.check_route(seats, &route)?;
        if self.routes.len() >= ROUTES_MAX && !self.routes.contains_key(&route.key()) {
            return Err(OwnError::TooManyRoutes);
        }
        Ok(self.put_route(route))
    }

    /// Takes the first route away that `matches`.
    ///
    /// # Errors
    /// None does.
    pub fn remove_route(
        &mut self,
        table: u32,
        prefix: IpNet,
        matches: impl Fn(&OwnRoute) -> bool,
    ) -> Result<OwnRoute, OwnError> {
        let all = (table, prefix, 0, 0)..=(table, prefix, u8::MAX, u32::MAX);
        let found = self.routes.range(all).find(|(_, route)| matches(route)).map(|(key, _)| *key);
        let key = found.ok_or(OwnError::NoRoute(prefix))?;
        self.direct.remove(&key);
        Ok(self.routes.remove(&key).expect("it was found there"))
    }

    /// Adds a policy rule. A preference of 0 is for [`Self::free_preference`] to choose before.
    ///
    /// # Errors
    /// See [`OwnError`]; nothing has changed.
    pub fn add_rule(&mut self, rule: Rule) -> Result<(), OwnError> {
        if self.rules.contains(&rule) {
            return Err(OwnError::RuleExists(rule.priority));
        }
        if self.rules.len() >= RULES_MAX {
            return Err(OwnError::TooManyRules);
        }
        self.rules.push(rule);
        Ok(())
    }

    /// The preference of a rule for which none was given: one before the first rule but that of the local table
    /// (`fib_default_rule_pref`).
    #[must_use]
    pub fn free_preference(&self, ipv6: bool) -> u32 {
        let own = self.rules.iter().filter(|rule| rule.ipv6 == ipv6 && rule.priority > 0);
        own.map(|rule| rule.priority).min().unwrap_or(MAIN_PREFERENCE).min(MAIN_PREFERENCE).saturating_sub(1)
    }

    /// Takes a policy rule away.
    pub fn remove_rule(&mut self, rule: &Rule) {
        self.rules.retain(|held| held != rule);
    }

    /// Addresses, in the order in which they came.
    #[must_use]
    pub fn addresses(&self) -> &[OwnAddress] {
        &self.addresses
    }

    /// Routes, by table, prefix, type of service and metric.
    pub fn routes(&self) -> impl Iterator<Item = &OwnRoute> {
        self.routes.values()
    }

    /// The route with this key.
    #[must_use]
    pub fn route(&self, key: &RouteKey) -> Option<&OwnRoute> {
        self.routes.get(key)
    }

    /// Policy rules besides those that every router has, in the order in which they came.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Where gateways can be: prefixes of addresses and of routes straight onto a link, longest first.
    pub(super) fn subnets(&self) -> Vec<(IpNet, PortId)> {
        let of_addresses = self.addresses.iter().map(|address| (address.net.trunc(), address.port));
        let direct = self.direct.iter().filter_map(|key| self.routes.get(key));
        let of_routes =
            direct.flat_map(|route| route.hops.iter().filter_map(|hop| Some((route.prefix, hop.port?))));
        let mut all: Vec<_> = of_addresses.chain(of_routes).collect();
        all.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.prefix_len()));
        all
    }

    /// Whether an address is one of the router's, in use or about to be.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.net.addr() == address)
    }

    fn put_route(&mut self, route: OwnRoute) -> Option<OwnRoute> {
        let key = route.key();
        if route.is_direct() {
            self.direct.insert(key);
        } else {
            self.direct.remove(&key);
        }
        self.routes.insert(key, route)
    }

    /// Whether a route can be made, links aside.
    fn check_route(&self, seats: &(impl Seats + ?Sized), route: &OwnRoute) -> Result<(), OwnError> {
        let connected = |own: &&OwnAddress| {
            let metric = if own.net.addr().is_ipv6() { CONNECTED_METRIC6 } else { 0 };
            own.net.trunc() == route.prefix && route.key() == (MAIN, route.prefix, 0, metric)
        };
        if let Some(own) = self.addresses.iter().find(connected) {
            return Err(OwnError::Connected(route.prefix, seats.name(own.port).to_owned()));
        }
        if let Some(source) = route.preferred_source
            && !self.is_own(source)
        {
            return Err(OwnError::SourceForeign(source));
        }
        route.hops.iter().try_for_each(|hop| self.check_hop(seats, route, hop))
    }

    fn check_hop(
        &self,
        seats: &(impl Seats + ?Sized),
        route: &OwnRoute,
        hop: &OwnHop,
    ) -> Result<(), OwnError> {
        if let Some(port) = hop.port
            && let Some(bridge) = seats.bridge_of(port)
        {
            let (port, bridge) = (seats.name(port).to_owned(), seats.name(bridge).to_owned());
            return Err(OwnError::Member { port, bridge });
        }
        let Some(via) = hop.via else {
            return if hop.port.is_some() { Ok(()) } else { Err(OwnError::NoWay(route.prefix)) };
        };
        if self.is_own(via) {
            return Err(OwnError::GatewayOwn(via));
        }
        match hop.port {
            Some(_) if hop.onlink || is_link_local(via) => Ok(()),
            Some(port) if self.subnets().iter().any(|(net, on)| *on == port && net.contains(&via)) => Ok(()),
            Some(port) => Err(OwnError::GatewayElsewhere(via, seats.name(port).to_owned())),
            None if self.subnets().iter().any(|(net, _)| net.contains(&via)) => Ok(()),
            None => Err(OwnError::GatewayUnknown(via)),
        }
    }
}

/// Metric of a connected route in IPv6 (`IP6_RT_PRIO_ADDRCONF`).
pub(super) const CONNECTED_METRIC6: u32 = 256;

/// Preference of the rule for the main table.
const MAIN_PREFERENCE: u32 = 32_766;

/// Whether an address is of one link only (IPv6).
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Linux keeps IPv4 addresses apart by their prefix as well, IPv6 ones not (`__inet_insert_ifa`, `ipv6_chk_same_addr`).
fn is_same(one: IpNet, other: IpNet) -> bool {
    if one.addr().is_ipv6() { one.addr() == other.addr() } else { one == other }
}

/// Why a port cannot have this address. Linux lets some of these IPv4 addresses pass, but no packet from or to them.
fn no_host(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the address of nobody"),
        _ if address.is_multicast() => Some("a group's"),
        _ if address.is_loopback() => Some("every host's own"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("everybody's"),
        IpAddr::V4(address) if address.octets()[0] == 0 => Some("in the network of nobody"),
        _ => None,
    }
}
