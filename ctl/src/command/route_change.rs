//! Changes of own routes, in the words of `ip route`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::words::{Once, Words, address, host_in_prefix, is_long_for, is_short_for};
use crate::message::{ChangeError, ChangeVerb, NextHopChange, RouteChange, RouteKind};
use crate::names;

/// Reads a route in the words of `ip route add`.
pub(crate) fn read_route(verb: ChangeVerb, words: &[String]) -> Result<RouteChange, String> {
    let mut words = Words::of(words);
    let mut first = words.needed("a prefix, or `default`")?;
    let kind = route_kind(first);
    if kind.is_some() {
        first = words.needed("a prefix, or `default`")?;
    }
    if first == "to" {
        first = words.needed("a prefix, or `default`")?;
    }
    let destination = Destination::read(first)?;
    let mut options = RouteWords::default();
    let mut several = Vec::new();
    while let Some(word) = words.next() {
        if word == "nexthop" {
            several.push(HopWords::default());
        } else {
            let hop = several.last_mut().unwrap_or(&mut options.hop);
            // Behind the first `nexthop` all words are of one.
            if !hop.take(word, &mut words)? && (!several.is_empty() || !options.take(word, &mut words)?) {
                return Err(unknown(word, !several.is_empty()));
            }
        }
    }
    if !several.is_empty() && options.hop.is_said() {
        return Err("say each way behind a `nexthop` of its own, or one way without".into());
    }
    let of_source = options.source.value.map(Ip::of);
    let hops = if several.is_empty() { vec![std::mem::take(&mut options.hop)] } else { several };
    let prefix = destination.prefix(hops.iter().find_map(|hop| hop.family).or(of_source));
    options.check_scope(prefix, &hops)?;
    let change = RouteChange {
        kind,
        table: options.table.value.unwrap_or(254),
        metric: options.metric.value,
        tos: options.tos.value.unwrap_or(0),
        protocol: options.protocol.value,
        preferred_source: options.source.value,
        mtu: options.mtu.value,
        next_hops: hops.into_iter().filter(HopWords::is_said).map(HopWords::into_hop).collect(),
        ..RouteChange::new(verb, prefix)
    };
    change.check().map_err(|error: ChangeError| error.to_string())?;
    Ok(change)
}

/// What is said of a route besides its ways.
struct RouteWords {
    hop: HopWords,
    table: Once<u32>,
    metric: Once<u32>,
    tos: Once<u8>,
    protocol: Once<u8>,
    source: Once<IpAddr>,
    mtu: Once<u32>,
    scope: Once<u8>,
}

/// What is said of one way.
#[derive(Debug)]
struct HopWords {
    via: Once<IpAddr>,
    /// The family that the gateway shows the route to be of.
    family: Option<Ip>,
    port: Once<String>,
    weight: Once<u16>,
    onlink: bool,
}

/// A family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ip {
    V4,
    V6,
}

/// Where a route is to.
enum Destination {
    Prefix(IpNet),
    Default,
}

impl RouteWords {
    /// Reads a word of the route and its value; false if it is none.
    fn take(&mut self, word: &str, words: &mut Words<'_>) -> Result<bool, String> {
        if is_short_for(word, "table") {
            let name = words.value(word)?;
            let number = names::table_number(name).filter(|number| *number != 0);
            self.table
                .set(number.ok_or_else(|| format!("{name:?} is no table: a name or a number from 1"))?)?;
        } else if ["metric", "preference", "priority"].iter().any(|whole| is_long_for(word, whole)) {
            self.metric.set(words.number(word)?)?;
        } else if word == "tos" || is_long_for(word, "dsfield") {
            self.tos.set(words.number(word)?)?;
        } else if is_long_for(word, "protocol") {
            let name = words.value(word)?;
            let number = names::route_protocol_number(name);
            self.protocol.set(number.ok_or_else(|| {
                format!("{name:?} is no protocol: a name such as static, or a number up to 255")
            })?)?;
        } else if is_long_for(word, "scope") {
            let name = words.value(word)?;
            let number = names::scope_number(name);
            self.scope.set(number.ok_or_else(|| format!("{name:?} is no scope, such as link"))?)?;
        } else if is_short_for(word, "src") {
            self.source.set(address(words.value(word)?)?)?;
        } else if is_long_for(word, "mtu") {
            self.mtu.set(words.number(word)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Routes have the scope that follows from where they lead; what `show routes` prints may be said again, nothing else.
    fn check_scope(&self, prefix: IpNet, hops: &[HopWords]) -> Result<(), String> {
        const LINK: u8 = 253;
        let is_on_link = prefix.addr().is_ipv4() && hops.iter().any(HopWords::is_said);
        let has_gateway = hops.iter().any(|hop| hop.via.value.is_some());
        let follows = if is_on_link && !has_gateway { LINK } else { 0 };
        match self.scope.value {
            Some(_) if !hops.iter().any(HopWords::is_said) => {
                Err("a route without `via` or `dev` is told by its prefix: leave `scope` out".into())
            }
            Some(scope) if scope != follows => Err(format!(
                "this route has scope {}, as follows from where it leads; leave `scope` out",
                names::scope(follows)
            )),
            _ => Ok(()),
        }
    }
}

impl Default for RouteWords {
    fn default() -> Self {
        Self {
            hop: HopWords::default(),
            table: Once::new("table"),
            metric: Once::new("metric"),
            tos: Once::new("tos"),
            protocol: Once::new("proto"),
            source: Once::new("src"),
            mtu: Once::new("mtu"),
            scope: Once::new("scope"),
        }
    }
}

impl HopWords {
    /// Reads a word of a way and its value; false if it is none.
    fn take(&mut self, word: &str, words: &mut Words<'_>) -> Result<bool, String> {
        if is_short_for(word, "via") {
            let mut value = words.value(word)?;
            let family = match value {
                "inet" => Some(Ip::V4),
                "inet6" => Some(Ip::V6),
                _ => None,
            };
            if family.is_some() {
                value = words.value(value)?;
            }
            let gateway = address(value)?;
            match family {
                Some(family) if family != Ip::of(gateway) => {
                    return Err(format!("{gateway} is of another family than is said before it"));
                }
                // As with `ip`, `inet6` says that the gateway is of another family than the route.
                Some(_) => {}
                None => self.family = Some(Ip::of(gateway)),
            }
            self.via.set(gateway)?;
        } else if is_short_for(word, "dev") {
            self.port.set(words.value(word)?.to_owned())?;
        } else if is_short_for(word, "weight") {
            self.weight.set(words.number(word)?)?;
        } else if is_short_for(word, "onlink") {
            self.onlink = true;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn is_said(&self) -> bool {
        self.via.value.is_some() || self.port.value.is_some() || self.weight.value.is_some() || self.onlink
    }

    fn into_hop(self) -> NextHopChange {
        NextHopChange {
            weight: self.weight.value.unwrap_or(1),
            onlink: self.onlink,
            ..NextHopChange::new(self.via.value, self.port.value)
        }
    }
}

impl Default for HopWords {
    fn default() -> Self {
        Self {
            via: Once::new("via"),
            family: None,
            port: Once::new("dev"),
            weight: Once::new("weight"),
            onlink: false,
        }
    }
}

impl Ip {
    const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl Destination {
    fn read(word: &str) -> Result<Self, String> {
        if word == "default" { Ok(Self::Default) } else { host_in_prefix(word).map(Self::Prefix) }
    }

    /// The prefix, of the family that gateway or source show if it is the default route.
    fn prefix(self, family: Option<Ip>) -> IpNet {
        match (self, family) {
            // As the kernel does (`ip6_route_info_create`), which refuses it for IPv4 only.
            (Self::Prefix(prefix @ IpNet::V6(_)), _) => prefix.trunc(),
            (Self::Prefix(prefix), _) => prefix,
            (Self::Default, Some(Ip::V6)) => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
            (Self::Default, _) => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
        }
    }
}

/// A type of route, if the word is one.
fn route_kind(word: &str) -> Option<RouteKind> {
    const KINDS: [RouteKind; 9] = [
        RouteKind::Unicast,
        RouteKind::Local,
        RouteKind::Broadcast,
        RouteKind::Anycast,
        RouteKind::Multicast,
        RouteKind::Blackhole,
        RouteKind::Unreachable,
        RouteKind::Prohibit,
        RouteKind::Throw,
    ];
    if word.contains(['.', ':', '/']) || word.len() < 3 {
        return None;
    }
    KINDS.into_iter().find(|kind| is_short_for(word, kind.name()))
}

fn unknown(word: &str, in_hop: bool) -> String {
    if in_hop {
        format!("`{word}` is none of nexthop, via, dev, weight, onlink, which stand behind `nexthop`")
    } else {
        format!(
            "`{word}` is none of via, dev, metric, table, proto, scope, tos, src, mtu, onlink, weight, nexthop"
        )
    }
}
