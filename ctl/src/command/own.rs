//! Changes of the router's own addresses, routes and neighbors, in the words of `ip`; and queues.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use clap::Subcommand;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::words::{address, is_short_for};
use crate::message::{
    Action, AddressChange, AddressVerb, ChangeError, ChangeVerb, Mac, MacError, NeighborChange,
    NeighborFlush, NextHopChange, Question, Request, RouteChange, RouteKind,
};
use crate::names;

#[derive(Debug, Subcommand)]
pub(super) enum Address {
    /// ADDRESS/LENGTH dev PORT \[nodad\]: give a port an address
    Add {
        /// ADDRESS/LENGTH dev PORT \[nodad\]; `nodad` asks nobody whether somebody else has it
        #[arg(required = true, value_name = "ADDRESS/LENGTH")]
        words: Vec<String>,
    },
    /// ADDRESS/LENGTH dev PORT: take it
    #[command(alias = "delete")]
    Del {
        /// ADDRESS/LENGTH dev PORT
        #[arg(required = true, value_name = "ADDRESS/LENGTH")]
        words: Vec<String>,
    },
    /// List addresses, as `show addresses` does
    #[command(alias = "show")]
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum Neighbor {
    /// ADDRESS lladdr MAC dev PORT: set a neighbor by hand
    Add {
        /// ADDRESS lladdr MAC dev PORT
        #[arg(required = true, value_name = "ADDRESS")]
        words: Vec<String>,
    },
    /// The same, in place of what is known of it
    #[command(alias = "change")]
    Replace {
        /// ADDRESS lladdr MAC dev PORT
        #[arg(required = true, value_name = "ADDRESS")]
        words: Vec<String>,
    },
    /// ADDRESS dev PORT: forget a neighbor, set by hand or not
    #[command(alias = "delete")]
    Del {
        /// ADDRESS dev PORT
        #[arg(required = true, value_name = "ADDRESS")]
        words: Vec<String>,
    },
    /// \[dev PORT\]: forget all neighbors that are not set by hand
    Flush {
        /// \[dev PORT\]
        #[arg(value_name = "dev PORT")]
        words: Vec<String>,
    },
    /// List neighbors, as `show neighbors` does
    #[command(alias = "show")]
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// List queues, as `show queues` does
    #[command(alias = "show")]
    List,
}

impl Address {
    pub(super) fn into_request(self) -> Result<Request, String> {
        let (verb, words) = match self {
            Self::Add { words } => (AddressVerb::Add, words),
            Self::Del { words } => (AddressVerb::Del, words),
            Self::List => return Ok(Request::Ask(Question::Addresses)),
        };
        let mut words = Words::of(&words);
        let address = host_in_prefix(words.next_behind("to")?)?;
        let (mut port, mut nodad) = (Once::new("dev"), false);
        while let Some(word) = words.next() {
            if is_short_for(word, "dev") {
                port.set(words.value(word)?.to_owned())?;
            } else if is_short_for(word, "nodad") && word.len() > 1 {
                nodad = true;
            } else {
                return Err(format!("`{word}` is none of dev, nodad"));
            }
        }
        let change = AddressChange { verb, address, port: port.needed("PORT")?, nodad };
        change.check().map_err(|error| error.to_string())?;
        Ok(Request::Do(Action::ChangeAddress(change)))
    }
}

impl Neighbor {
    pub(super) fn into_request(self) -> Result<Request, String> {
        let (verb, words) = match self {
            Self::Add { words } => (ChangeVerb::Add, words),
            Self::Replace { words } => (ChangeVerb::Replace, words),
            Self::Del { words } => (ChangeVerb::Del, words),
            Self::Flush { words } => return neighbor_flush(&words),
            Self::List => return Ok(Request::Ask(Question::Neighbors)),
        };
        let mut words = Words::of(&words);
        let address = address(words.next_behind("to")?)?;
        let (mut port, mut mac) = (Once::new("dev"), Once::new("lladdr"));
        while let Some(word) = words.next() {
            if is_short_for(word, "dev") {
                port.set(words.value(word)?.to_owned())?;
            } else if is_short_for(word, "lladdr") {
                mac.set(words.value(word)?.parse::<Mac>().map_err(|error: MacError| error.to_string())?)?;
            } else if is_short_for(word, "nud") {
                if !is_short_for(words.value(word)?, "permanent") {
                    return Err("a neighbor that is set by hand is `nud permanent`, nothing else".into());
                }
            } else {
                return Err(format!("`{word}` is none of lladdr, dev, nud"));
            }
        }
        let change = NeighborChange { verb, address, mac: mac.value, port: port.needed("PORT")? };
        change.check().map_err(|error| error.to_string())?;
        Ok(Request::Do(Action::ChangeNeighbor(change)))
    }
}

impl Queue {
    pub(super) fn into_request(self) -> Request {
        match self {
            Self::List => Request::Ask(Question::Queues),
        }
    }
}

fn neighbor_flush(words: &[String]) -> Result<Request, String> {
    let mut words = Words::of(words);
    let mut port = Once::new("dev");
    while let Some(word) = words.next() {
        if is_short_for(word, "dev") {
            port.set(words.value(word)?.to_owned())?;
        } else if !is_short_for(word, "all") {
            return Err(format!("`{word}` is none of dev, all"));
        }
    }
    let flush = NeighborFlush { port: port.value };
    flush.check().map_err(|error| error.to_string())?;
    Ok(Request::Do(Action::FlushNeighbors(flush)))
}

/// Reads a route in the words of `ip route add`.
pub(super) fn route_change(verb: ChangeVerb, words: &[String]) -> Result<Request, String> {
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
    let hops = if several.is_empty() { vec![options.hop] } else { several };
    let prefix = destination.prefix(hops.iter().find_map(|hop| hop.family).or(of_source));
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
    Ok(Request::Do(Action::ChangeRoute(Box::new(change))))
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
        } else if is_short_for(word, "src") {
            self.source.set(address(words.value(word)?)?)?;
        } else if is_long_for(word, "mtu") {
            // `lock` is about path MTU discovery, which is left to the hosts.
            self.mtu.set(words.number(word)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
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

/// Words of a command line, one after the other.
struct Words<'a>(std::slice::Iter<'a, String>);

impl<'a> Words<'a> {
    fn of(words: &'a [String]) -> Self {
        Self(words.iter())
    }

    fn next(&mut self) -> Option<&'a str> {
        self.0.next().map(String::as_str)
    }

    fn needed(&mut self, what: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("it needs {what}"))
    }

    /// The next word, behind `may` if that stands there.
    fn next_behind(&mut self, may: &str) -> Result<&'a str, String> {
        match self.needed("an address")? {
            word if word == may => self.value(may),
            word => Ok(word),
        }
    }

    /// The value behind `word`.
    fn value(&mut self, word: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("`{word}` needs a value"))
    }

    fn number<T: TryFrom<u32>>(&mut self, word: &str) -> Result<T, String> {
        let value = self.value(word)?;
        let number = match value.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => u32::from_str(value),
        };
        let number = number.ok().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| {
            format!("`{word} {value}`: it is a number from 0 to {}", (1_u64 << (8 * size_of::<T>())) - 1)
        })
    }
}

/// A value that is said once.
#[derive(Debug)]
struct Once<T> {
    word: &'static str,
    value: Option<T>,
}

impl<T> Once<T> {
    const fn new(word: &'static str) -> Self {
        Self { word, value: None }
    }

    fn set(&mut self, value: T) -> Result<(), String> {
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(format!("`{}` is said twice", self.word)),
        }
    }

    fn needed(self, what: &str) -> Result<T, String> {
        self.value.ok_or_else(|| format!("say `{} {what}`", self.word))
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

/// An address with the length of its prefix; one address alone without.
fn host_in_prefix(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is neither an address nor a prefix"))
}

/// Whether a word is short for `whole` and long enough to mean nothing else.
fn is_long_for(word: &str, whole: &str) -> bool {
    word.len() >= 3.min(whole.len()) && is_short_for(word, whole)
}

fn unknown(word: &str, in_hop: bool) -> String {
    if in_hop {
        format!("`{word}` is none of nexthop, via, dev, weight, onlink, which stand behind `nexthop`")
    } else {
        format!("`{word}` is none of via, dev, metric, table, proto, tos, src, mtu, onlink, weight, nexthop")
    }
}
