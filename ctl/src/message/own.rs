//! Changes of the tables that a router keeps which is its own host: addresses, routes, neighbors. Each is written as the
//! words of `ip` that mean it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, Mac, MaskedMark, RouteKind};
use crate::names;

/// Ways on of one route at most.
pub const NEXT_HOPS_MAX: usize = 64;

/// The largest share of one next hop, as of `ip route`.
pub const WEIGHT_MAX: u16 = 256;

/// Bytes of a device's name at most (`IFNAMSIZ` less the zero behind it).
const PORT_BYTES_MAX: usize = 15;

/// Who installed a route of which nobody says (`RTPROT_BOOT`), as with `ip route add`.
const BOOT: u8 = 3;

/// Table `main`.
const MAIN: u32 = 254;

/// An address comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressChange {
    /// What is done: it is added or deleted.
    pub verb: AddDel,
    /// The address with the length of its prefix.
    pub address: IpNet,
    /// Name of its port or bridge.
    pub port: String,
    /// It is used at once: nobody is asked whether somebody else has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nodad: bool,
}

/// What is done to an address or a policy rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddDel {
    /// It is new.
    Add,
    /// It goes.
    Del,
}

/// What is done to a route or a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeVerb {
    /// It is new; refused if there is one in its place.
    Add,
    /// It takes the place of the one that is there, if there is one.
    Replace,
    /// It goes.
    Del,
}

/// A route comes, takes another's place, or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteChange {
    /// What is done.
    pub verb: ChangeVerb,
    /// Type. Without one a route that is made is unicast, and one that is deleted may be of any.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<RouteKind>,
    /// Destination, without bits beyond its length.
    pub prefix: IpNet,
    /// Number of the table.
    #[serde(default = "main_table", skip_serializing_if = "is_main")]
    pub table: u32,
    /// Metric. Without one a route that is made has what Linux gives it (0, or 1024 for IPv6), and one that is deleted
    /// may have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Type of service it is for (IPv4), 0 for any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tos: u8,
    /// Who installs it, as a number (`rtm_protocol`). Without one a route that is made is `boot`, and one that is deleted
    /// may be anybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// Source address it suggests; one that is deleted may suggest any if there is none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_source: Option<IpAddr>,
    /// Path MTU it sets, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Ways on, [`NEXT_HOPS_MAX`] at most. A route that is deleted may lead anywhere if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_hops: Vec<NextHopChange>,
}

/// One way on of a route that is made or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextHopChange {
    /// Gateway; without one the destination is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Name of the port; without one the gateway's address says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Share of the flows, from 1 to [`WEIGHT_MAX`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u16,
    /// The gateway is on the link although no prefix says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
}

/// A policy rule comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRuleChange {
    /// What is done: it is added or deleted.
    pub verb: AddDel,
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// Preference; the smaller is asked first. Without one a rule that is added comes right before the first of those that
    /// have one other than 0, and one that is deleted may have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The match is inverted (`not`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inverted: bool,
    /// Source prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpNet>,
    /// Destination prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<IpNet>,
    /// Name of the port of entry (`iif`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_port: Option<String>,
    /// Name of the output port (`oif`); such a rule never matches a forwarded packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_port: Option<String>,
    /// Mark (`fwmark`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<MaskedMark>,
    /// Type of service (IPv4) or traffic class, 0 for any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tos: u8,
    /// Protocol (`ipproto`), as a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_number: Option<u8>,
    /// First and last source port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<(u16, u16)>,
    /// First and last destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<(u16, u16)>,
    /// Answers with a prefix this short or shorter do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress_prefix_length: Option<u8>,
    /// What it does. Without one a rule that is added looks into table `main`, and one that is deleted may do anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<PolicyAction>,
}

/// What a policy rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyAction {
    /// It looks into the table of this number.
    Lookup(u32),
    /// It goes on at the rule of this preference.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Drops in silence.
    Blackhole,
    /// Drops, and says unreachable.
    Unreachable,
    /// Drops, and says prohibited.
    Prohibit,
}

/// A neighbor is set by hand, or is no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighborChange {
    /// What is done.
    pub verb: ChangeVerb,
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address; needed where it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Name of the port or bridge it is on.
    pub port: String,
}

/// Which neighbors are forgotten: all that are not set by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeighborFlush {
    /// Only those on the port of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

/// How much a change has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Addresses, routes or neighbors that are otherwise now.
    pub changed: u64,
}

/// How many neighbors are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborsFlushed {
    /// How many.
    pub flushed: u64,
}

/// How far duplicate address detection is with an address (RFC 4862 section 5.4, RFC 5227).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dad {
    /// The link is asked whether somebody else has it; it is not used yet.
    Tentative,
    /// Nobody else has it, or nobody was to be asked: it is used.
    Ready,
    /// Somebody else has it: it is not used.
    Duplicate,
}

/// Why a change cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// An address that no port can have.
    #[error("{0} cannot be an address of a port: it is {1}")]
    NoUnicast(IpAddr, &'static str),
    /// No device has such a name.
    #[error("{0:?} cannot be the name of a port: one to {PORT_BYTES_MAX} bytes, without `/` and blanks")]
    PortName(String),
    /// An IPv4 prefix with bits where there can be none.
    #[error("{0} has bits beyond its length; perhaps {1} is meant, or {2}/32")]
    HostBits(IpNet, IpNet, IpAddr),
    /// A route that leads nowhere by its type, and is told where to.
    #[error("a route of type {0} leads nowhere: it has no `via`, `dev` or `nexthop`")]
    LeadsNowhere(&'static str),
    /// A route that says not where it leads.
    #[error("say where the route to {0} leads: `via ADDRESS`, `dev PORT` or both")]
    NoWay(IpNet),
    /// A type that is not made by hand.
    #[error("routes of type {0} are not made by hand: they come with addresses")]
    Type(&'static str),
    /// A gateway of the wrong family.
    #[error("{0} cannot be a gateway to {1}: IPv6 goes by IPv6 only")]
    GatewayFamily(IpAddr, IpNet),
    /// No neighbor can have this address.
    #[error("{0} cannot be a gateway or neighbor: it is {1}")]
    Gateway(IpAddr, &'static str),
    /// A link-local gateway without its link.
    #[error("{0} is of one link only: say which, `via {0} dev PORT`")]
    LinkLocalGateway(IpAddr),
    /// `onlink` without what it is about.
    #[error("`onlink` needs both `via ADDRESS` and `dev PORT`")]
    Onlink,
    /// More ways on than there can be.
    #[error("{0} next hops are more than the {NEXT_HOPS_MAX} that a route can have")]
    TooMany(usize),
    /// No share.
    #[error("a weight is from 1 to {WEIGHT_MAX}, not {0}")]
    Weight(u16),
    /// Not a type of service.
    #[error("only IPv4 routes have a type of service")]
    Tos,
    /// A source of the other family, or none at all.
    #[error("{0} cannot be the source of packets to {1}")]
    Source(IpAddr, IpNet),
    /// Not a path MTU.
    #[error("an mtu is from {0} to 65535 bytes, not {1}")]
    Mtu(u32, u32),
    /// Nobody to be asked for.
    #[error("say the neighbor's Ethernet address: `lladdr MAC`")]
    NoMac,
    /// Prefixes of both families, or not of the rule's.
    #[error("{0} is not of family {1}, as the rule is")]
    RuleFamily(IpNet, &'static str),
    /// A rule that goes back, or stays where it is.
    #[error("a rule goes on at a later one: {0} is not behind {1}")]
    Backwards(u32, u32),
    /// The last port before the first.
    #[error("ports {0}-{1}: the first is behind the last")]
    Ports(u16, u16),
    /// No such prefix length.
    #[error("no prefix is {0} bits long")]
    PrefixLength(u8),
    /// What only a lookup can have.
    #[error("`suppress_prefixlength` is about a lookup")]
    NothingToSuppress,
    /// An Ethernet address of nobody in particular.
    #[error("{0} is no neighbor's Ethernet address: it is {1}")]
    Mac(Mac, &'static str),
}

impl AddressChange {
    /// Finds what cannot be meant.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn check(&self) -> Result<(), ChangeError> {
        check_port(&self.port)?;
        not_unicast(self.address.addr())
            .map_or(Ok(()), |why| Err(ChangeError::NoUnicast(self.address.addr(), why)))
    }
}

impl RouteChange {
    /// A unicast route to `prefix` in table `main` of which nothing else is said yet.
    #[must_use]
    pub const fn new(verb: ChangeVerb, prefix: IpNet) -> Self {
        Self {
            verb,
            kind: None,
            prefix,
            table: MAIN,
            metric: None,
            tos: 0,
            protocol: None,
            preferred_source: None,
            mtu: None,
            next_hops: Vec::new(),
        }
    }

    /// Finds what cannot be meant. Whether ports and gateways exist is not known here.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn check(&self) -> Result<(), ChangeError> {
        let prefix = self.prefix;
        if prefix.addr() != prefix.network() {
            return Err(ChangeError::HostBits(prefix, prefix.trunc(), prefix.addr()));
        }
        match self.kind {
            None | Some(RouteKind::Unicast) if self.next_hops.is_empty() && self.verb != ChangeVerb::Del => {
                return Err(ChangeError::NoWay(prefix));
            }
            Some(kind) if kind.leads_nowhere() && !self.next_hops.is_empty() => {
                return Err(ChangeError::LeadsNowhere(kind.name()));
            }
            Some(kind) if kind != RouteKind::Unicast && !kind.leads_nowhere() => {
                return Err(ChangeError::Type(kind.name()));
            }
            _ => {}
        }
        if self.next_hops.len() > NEXT_HOPS_MAX {
            return Err(ChangeError::TooMany(self.next_hops.len()));
        }
        self.next_hops.iter().try_for_each(|hop| hop.check(prefix))?;
        let is_ipv4 = prefix.addr().is_ipv4();
        if self.tos != 0 && !is_ipv4 {
            return Err(ChangeError::Tos);
        }
        if let Some(source) = self.preferred_source
            && (source.is_ipv4() != is_ipv4 || not_unicast(source).is_some())
        {
            return Err(ChangeError::Source(source, prefix));
        }
        // RFC 791 and RFC 8200 section 5: every link carries packets this long.
        let least = if is_ipv4 { 68 } else { 1280 };
        match self.mtu {
            Some(mtu) if !(least..=65_535).contains(&mtu) => Err(ChangeError::Mtu(least, mtu)),
            _ => Ok(()),
        }
    }
}

impl NextHopChange {
    /// Straight onto the link of a port, or by a gateway, or both.
    #[must_use]
    pub const fn new(via: Option<IpAddr>, port: Option<String>) -> Self {
        Self { via, port, weight: 1, onlink: false }
    }

    fn check(&self, prefix: IpNet) -> Result<(), ChangeError> {
        self.port.as_deref().map_or(Ok(()), check_port)?;
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            return Err(ChangeError::Weight(self.weight));
        }
        if self.onlink && (self.via.is_none() || self.port.is_none()) {
            return Err(ChangeError::Onlink);
        }
        let Some(via) = self.via else {
            return if self.port.is_some() { Ok(()) } else { Err(ChangeError::NoWay(prefix)) };
        };
        if via.is_ipv4() && prefix.addr().is_ipv6() {
            return Err(ChangeError::GatewayFamily(via, prefix));
        }
        if let Some(why) = not_unicast(via) {
            return Err(ChangeError::Gateway(via, why));
        }
        match via {
            IpAddr::V6(address) if address.is_unicast_link_local() && self.port.is_none() => {
                Err(ChangeError::LinkLocalGateway(via))
            }
            _ => Ok(()),
        }
    }
}

impl PolicyRuleChange {
    /// A rule for all packets of which nothing else is said yet.
    #[must_use]
    pub const fn new(verb: AddDel, family: Family) -> Self {
        Self {
            verb,
            family,
            priority: None,
            inverted: false,
            from: None,
            to: None,
            input_port: None,
            output_port: None,
            mark: None,
            tos: 0,
            protocol_number: None,
            source_ports: None,
            destination_ports: None,
            suppress_prefix_length: None,
            action: None,
        }
    }

    /// Finds what cannot be meant.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn check(&self) -> Result<(), ChangeError> {
        for prefix in [self.from, self.to].into_iter().flatten() {
            if Family::of(prefix.addr()) != self.family {
                return Err(ChangeError::RuleFamily(prefix, self.family.name()));
            }
            if prefix.addr() != prefix.network() {
                return Err(ChangeError::HostBits(prefix, prefix.trunc(), prefix.addr()));
            }
        }
        [&self.input_port, &self.output_port].into_iter().flatten().try_for_each(|port| check_port(port))?;
        for (first, last) in [self.source_ports, self.destination_ports].into_iter().flatten() {
            if first > last {
                return Err(ChangeError::Ports(first, last));
            }
        }
        if let Some(length) = self.suppress_prefix_length {
            if length > if self.family == Family::Ipv4 { 32 } else { 128 } {
                return Err(ChangeError::PrefixLength(length));
            }
            if !matches!(self.action, None | Some(PolicyAction::Lookup(_))) {
                return Err(ChangeError::NothingToSuppress);
            }
        }
        match (self.action, self.priority) {
            (Some(PolicyAction::Goto(target)), Some(own)) if target <= own => {
                Err(ChangeError::Backwards(target, own))
            }
            _ => Ok(()),
        }
    }
}

impl NeighborChange {
    /// Finds what cannot be meant.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn check(&self) -> Result<(), ChangeError> {
        check_port(&self.port)?;
        if let Some(why) = not_unicast(self.address) {
            return Err(ChangeError::Gateway(self.address, why));
        }
        match self.mac {
            None if self.verb != ChangeVerb::Del => Err(ChangeError::NoMac),
            Some(mac) if mac == Mac([0; 6]) => Err(ChangeError::Mac(mac, "zero")),
            Some(mac) if mac.is_group() => Err(ChangeError::Mac(mac, "a group's")),
            _ => Ok(()),
        }
    }
}

impl NeighborFlush {
    /// Finds what cannot be meant.
    ///
    /// # Errors
    /// [`ChangeError::PortName`].
    pub fn check(&self) -> Result<(), ChangeError> {
        self.port.as_deref().map_or(Ok(()), check_port)
    }
}

impl AddDel {
    /// As written in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Del => "del",
        }
    }
}

impl ChangeVerb {
    /// As written in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Del => "del",
        }
    }
}

impl Dad {
    /// As written in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tentative => "tentative",
            Self::Ready => "ready",
            Self::Duplicate => "duplicate",
        }
    }
}

/// The words behind `ip` and behind `routerctl` that mean the change.
impl fmt::Display for AddressChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "address {} {} dev {}", self.verb.name(), self.address, self.port)?;
        formatter.write_str(if self.nodad { " nodad" } else { "" })
    }
}

/// The words behind `ip` and behind `routerctl` that mean the change.
impl fmt::Display for RouteChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "route {} ", self.verb.name())?;
        if let Some(kind) = self.kind {
            write!(formatter, "{} ", kind.name())?;
        }
        // Where neither family nor gateway is said, `ip` takes `default` for IPv4's.
        let is_clear = self.prefix.addr().is_ipv4() || self.next_hops.iter().any(|hop| hop.via.is_some());
        if self.prefix.prefix_len() == 0 && is_clear {
            formatter.write_str("default")?;
        } else {
            write!(formatter, "{}", self.prefix)?;
        }
        if self.tos != 0 {
            write!(formatter, " tos 0x{:02x}", self.tos)?;
        }
        // `ip` knows a weight only behind `nexthop`.
        let several = self.next_hops.len() > 1 || self.next_hops.iter().any(|hop| hop.weight != 1);
        if let ([hop], false) = (&self.next_hops[..], several) {
            hop.write(formatter, self.prefix, several)?;
        }
        if self.table != MAIN {
            write!(formatter, " table {}", names::table(self.table))?;
        }
        if let Some(protocol) = self.protocol.filter(|protocol| *protocol != BOOT) {
            write!(formatter, " proto {}", names::route_protocol(protocol))?;
        }
        if let Some(source) = self.preferred_source {
            write!(formatter, " src {source}")?;
        }
        if let Some(metric) = self.metric {
            write!(formatter, " metric {metric}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(formatter, " mtu {mtu}")?;
        }
        if several {
            for hop in &self.next_hops {
                formatter.write_str(" nexthop")?;
                hop.write(formatter, self.prefix, several)?;
            }
        }
        Ok(())
    }
}

impl NextHopChange {
    fn write(&self, formatter: &mut fmt::Formatter<'_>, prefix: IpNet, several: bool) -> fmt::Result {
        if let Some(via) = self.via {
            let other = if Family::of(via) == Family::of(prefix.addr()) { "" } else { "inet6 " };
            write!(formatter, " via {other}{via}")?;
        }
        if let Some(port) = &self.port {
            write!(formatter, " dev {port}")?;
        }
        if several {
            write!(formatter, " weight {}", self.weight)?;
        }
        formatter.write_str(if self.onlink { " onlink" } else { "" })
    }
}

/// The words behind `ip` that mean the change; `routerctl` has `policy` for `rule`.
impl fmt::Display for PolicyRuleChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.family == Family::Ipv6 {
            formatter.write_str("-6 ")?;
        }
        write!(formatter, "rule {}", self.verb.name())?;
        formatter.write_str(if self.inverted { " not" } else { "" })?;
        if let Some(from) = self.from {
            write!(formatter, " from {from}")?;
        }
        if let Some(to) = self.to {
            write!(formatter, " to {to}")?;
        }
        if self.tos != 0 {
            write!(formatter, " tos 0x{:02x}", self.tos)?;
        }
        if let Some(MaskedMark { value, mask }) = self.mark {
            write!(formatter, " fwmark 0x{value:x}/0x{mask:x}")?;
        }
        if let Some(port) = &self.input_port {
            write!(formatter, " iif {port}")?;
        }
        if let Some(port) = &self.output_port {
            write!(formatter, " oif {port}")?;
        }
        if let Some(number) = self.protocol_number {
            write!(formatter, " ipproto {number}")?;
        }
        for (word, ports) in [("sport", self.source_ports), ("dport", self.destination_ports)] {
            if let Some((first, last)) = ports {
                write!(formatter, " {word} {first}-{last}")?;
            }
        }
        match self.action {
            Some(PolicyAction::Lookup(table)) => write!(formatter, " lookup {}", names::table(table))?,
            Some(PolicyAction::Goto(priority)) => write!(formatter, " goto {priority}")?,
            Some(PolicyAction::Nop) => formatter.write_str(" nop")?,
            Some(PolicyAction::Blackhole) => formatter.write_str(" blackhole")?,
            Some(PolicyAction::Unreachable) => formatter.write_str(" unreachable")?,
            Some(PolicyAction::Prohibit) => formatter.write_str(" prohibit")?,
            None => {}
        }
        if let Some(length) = self.suppress_prefix_length {
            write!(formatter, " suppress_prefixlength {length}")?;
        }
        match self.priority {
            Some(priority) => write!(formatter, " priority {priority}"),
            None => Ok(()),
        }
    }
}

/// The words behind `ip` and behind `routerctl` that mean the change.
impl fmt::Display for NeighborChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "neighbor {} {}", self.verb.name(), self.address)?;
        if let Some(mac) = self.mac {
            write!(formatter, " lladdr {mac}")?;
        }
        write!(formatter, " dev {}", self.port)
    }
}

/// The words behind `ip` and behind `routerctl` that mean it.
impl fmt::Display for NeighborFlush {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            Some(port) => write!(formatter, "neighbor flush dev {port}"),
            None => formatter.write_str("neighbor flush all"),
        }
    }
}

/// What an address is that nobody in particular can have; `None` if somebody can.
fn not_unicast(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the address of nobody"),
        _ if address.is_multicast() => Some("a group's"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("everybody's"),
        _ => None,
    }
}

/// Whether a device can have this name (`dev_valid_name`).
fn check_port(name: &str) -> Result<(), ChangeError> {
    let wrong = name.is_empty()
        || name.len() > PORT_BYTES_MAX
        || matches!(name, "." | "..")
        || name.contains(|letter: char| letter == '/' || letter == ':' || letter.is_whitespace());
    if wrong { Err(ChangeError::PortName(name.chars().take(64).collect())) } else { Ok(()) }
}

const fn main_table() -> u32 {
    MAIN
}

const fn one() -> u16 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
const fn is_main(table: &u32) -> bool {
    *table == MAIN
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
const fn is_one(weight: &u16) -> bool {
    *weight == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
const fn is_zero(tos: &u8) -> bool {
    *tos == 0
}
