//! `[host]`: what a router that is its own host has of addresses, routes, policy rules and neighbors, in the words of `ip`,
//! and what its neighbors are told.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::Ipv6Addr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use ctl::lines;
use fib::adjacency::PortId;
use ipnet::{IpNet, Ipv6Net};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::HostKind;
use super::file::bounded;
use crate::bridge::Description;
use crate::host::neighborhood::{AdvertisedPrefix, Advertising, Preference, Proxy, Settings};
use crate::host::spoken::{self, Directory};
use crate::host::tables::{OwnError, OwnNeighbor, Seats, Wanted};

/// What a router that is its own host has. Of no concern where the kernel is the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostConfig {
    /// Addresses, routes and policy rules.
    pub wanted: Wanted,
    /// Neighbors set by hand, each once.
    pub neighbors: Vec<OwnNeighbor>,
    /// Whether routes of the kernel that lead out of the TUN device are followed.
    pub follow_kernel_routes: bool,
    /// How neighbors are found, kept and answered.
    pub discovery: Settings,
    /// For whom ports answer besides the router.
    pub proxy: BTreeMap<PortId, Proxy>,
    /// What ports tell the hosts behind them.
    pub advertise: BTreeMap<PortId, Advertising>,
}

/// `host = "KIND"`, or `[host]`.
#[derive(Debug)]
pub(super) enum Value {
    Kind(String),
    Section(Box<Section>),
}

/// `[host]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Section {
    pub(super) kind: Option<Spanned<String>>,
    addresses: Vec<Spanned<String>>,
    routes: Vec<Spanned<String>>,
    routes_file: Option<Spanned<PathBuf>>,
    rules: Vec<Spanned<String>>,
    neighbors: Vec<Spanned<String>>,
    follow_kernel_routes: Option<Spanned<bool>>,
    discovery: Discovery,
    proxy: Vec<ProxySection>,
    advertise: Vec<AdvertiseSection>,
}

/// `[host.discovery]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Discovery {
    #[serde(deserialize_with = "bounded::<_, _, 1, 86_400>")]
    reachable_s: Option<u64>,
    #[serde(deserialize_with = "bounded::<_, _, 10, 60_000>")]
    retransmit_ms: Option<u64>,
    #[serde(deserialize_with = "bounded::<_, _, 1, 3_600>")]
    delay_s: Option<u64>,
    #[serde(deserialize_with = "bounded::<_, _, 1, 100>")]
    multicast_probes: Option<u32>,
    #[serde(deserialize_with = "bounded::<_, _, 1, 100>")]
    unicast_probes: Option<u32>,
    #[serde(deserialize_with = "bounded::<_, _, 1, 86_400>")]
    stale_s: Option<u64>,
    #[serde(deserialize_with = "bounded::<_, _, 16, 1_048_576>")]
    neighbors_max: Option<usize>,
    accept_unasked: Option<bool>,
    answer_on_all_ports: Option<bool>,
    #[serde(deserialize_with = "bounded::<_, _, 0, 10>")]
    detect_ipv4: Option<u32>,
    #[serde(deserialize_with = "bounded::<_, _, 0, 10>")]
    detect_ipv6: Option<u32>,
    #[serde(deserialize_with = "bounded::<_, _, 0, 10>")]
    announcements: Option<u32>,
}

/// `[[host.proxy]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ProxySection {
    port: Spanned<String>,
    #[serde(default)]
    all_routed: bool,
    #[serde(default)]
    prefixes: Vec<IpNet>,
}

/// `[[host.advertise]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AdvertiseSection {
    port: Spanned<String>,
    #[serde(default)]
    interval_min_s: Option<u64>,
    #[serde(default)]
    interval_max_s: Option<u64>,
    #[serde(default)]
    lifetime_s: Option<u64>,
    #[serde(default)]
    preference: Option<PreferenceWord>,
    #[serde(default)]
    hop_limit: Option<u8>,
    #[serde(default)]
    managed: bool,
    #[serde(default)]
    other: bool,
    #[serde(default)]
    mtu: Option<u32>,
    #[serde(default)]
    prefixes: Vec<PrefixSection>,
    #[serde(default)]
    dns_servers: Vec<Ipv6Addr>,
    #[serde(default)]
    dns_lifetime_s: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PrefixSection {
    prefix: Ipv6Net,
    #[serde(default)]
    on_link: Option<bool>,
    #[serde(default)]
    autonomous: Option<bool>,
    #[serde(default)]
    valid_s: Option<u64>,
    #[serde(default)]
    preferred_s: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PreferenceWord {
    Low,
    Medium,
    High,
}

/// What is wrong, and where; in another file it says so itself.
pub(super) type Wrong = (Option<Range<usize>>, String);

impl Section {
    /// Reads the lines, with what is known of ports.
    pub(super) fn read(
        self,
        span: Range<usize>,
        kind: &HostKind,
        names: &[&str],
        bridges: &[Description],
    ) -> Result<HostConfig, Wrong> {
        let ports = Names { names, bridges };
        if !kind.host().is_owned() {
            let Self { kind: _, addresses, routes, routes_file, rules, neighbors, proxy, advertise, .. } =
                &self;
            let lines = addresses.iter().chain(routes).chain(rules).chain(neighbors).next();
            let told = lines.is_some() || routes_file.is_some() || !proxy.is_empty() || !advertise.is_empty();
            if told || self.follow_kernel_routes.is_some() {
                let what = "addresses, routes and neighbors are the kernel's with host \"kernel\": say them with `ip`, or \
                            choose host \"tun\" or \"none\"";
                return Err((lines.map(Spanned::span).or(Some(span)), what.to_owned()));
            }
        }
        let mut config = HostConfig { discovery: self.discovery.into(), ..HostConfig::default() };
        if let Some(follow) = self.follow_kernel_routes {
            if *follow.get_ref() && kind.device().is_none() {
                let what = "there are routes of the kernel's to follow only with host \"tun\"";
                return Err((Some(follow.span()), what.to_owned()));
            }
            config.follow_kernel_routes = follow.into_inner();
        }
        let wanted = &mut config.wanted;
        each(&self.addresses, |line| add_address(wanted, line, &ports))?;
        each(&self.routes, |line| add_route(wanted, line, &ports))?;
        if let Some(path) = &self.routes_file {
            read_routes(wanted, path, &ports)?;
        }
        each(&self.rules, |line| {
            let change = lines::rule(line)?;
            let free = wanted.free_preference(change.family == ctl::message::Family::Ipv6);
            wanted.add_rule(spoken::rule(&change, free)).map_err(|error| error.to_string())
        })?;
        each(&self.neighbors, |line| add_neighbor(&mut config.neighbors, line, &ports))?;
        for proxy in self.proxy {
            let port = place_of(&proxy.port, &ports)?;
            let told = Proxy { all_routed: proxy.all_routed, prefixes: proxy.prefixes };
            if config.proxy.insert(port, told).is_some() {
                return Err(twice(&proxy.port));
            }
        }
        for section in self.advertise {
            let port = place_of(&section.port, &ports)?;
            let name = section.port.clone();
            let told = Advertising::from(section);
            told.check().map_err(|error| (Some(name.span()), error.to_string()))?;
            if config.advertise.insert(port, told).is_some() {
                return Err(twice(&name));
            }
        }
        Ok(config)
    }
}

fn each(lines: &[Spanned<String>], mut read: impl FnMut(&str) -> Result<(), String>) -> Result<(), Wrong> {
    lines.iter().try_for_each(|line| read(line.get_ref()).map_err(|what| (Some(line.span()), what)))
}

fn add_address(wanted: &mut Wanted, line: &str, ports: &Names<'_>) -> Result<(), String> {
    let change = lines::address(line)?;
    let address = spoken::address(&change, ports).map_err(|error| error.to_string())?;
    wanted.add_address(ports, address).map_err(|error| error.to_string())
}

fn add_route(wanted: &mut Wanted, line: &str, ports: &Names<'_>) -> Result<(), String> {
    let change = lines::route(line)?;
    let route = spoken::route(&change, spoken::STATIC, ports).map_err(|error| error.to_string())?;
    wanted.add_route(ports, route).map_err(|error| error.to_string())
}

fn add_neighbor(neighbors: &mut Vec<OwnNeighbor>, line: &str, ports: &Names<'_>) -> Result<(), String> {
    let change = lines::neighbor(line)?;
    let neighbor = spoken::neighbor(&change, ports).map_err(|error| error.to_string())?;
    if neighbors.iter().any(|held| (held.port, held.address) == (neighbor.port, neighbor.address)) {
        return Err(format!("neighbor {} of {} is set twice", change.address, change.port));
    }
    neighbors.push(neighbor);
    Ok(())
}

/// One route a line, as in `routes`; what stands behind `#` is for people.
fn read_routes(wanted: &mut Wanted, path: &Spanned<PathBuf>, ports: &Names<'_>) -> Result<(), Wrong> {
    let name = path.get_ref().display();
    let text = fs::read_to_string(path.get_ref())
        .map_err(|error| (Some(path.span()), format!("{name}: {error}")))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            add_route(wanted, line, ports)
                .map_err(|what| (Some(path.span()), format!("{name}:{}: {what}", number + 1)))?;
        }
    }
    Ok(())
}

fn place_of(name: &Spanned<String>, ports: &Names<'_>) -> Result<PortId, Wrong> {
    let wrong = |error: OwnError| (Some(name.span()), error.to_string());
    let port = ports.port(name.get_ref()).map_err(wrong)?;
    match ports.bridge_of(port) {
        None => Ok(port),
        Some(bridge) => {
            let (port, bridge) = (name.get_ref().clone(), ports.name(bridge).to_owned());
            Err(wrong(OwnError::Member { port, bridge }))
        }
    }
}

fn twice(port: &Spanned<String>) -> Wrong {
    (Some(port.span()), format!("this is said of port {} twice", port.get_ref()))
}

/// The ports by their names, bridges behind the others.
struct Names<'a> {
    names: &'a [&'a str],
    bridges: &'a [Description],
}

impl Directory for Names<'_> {
    fn port_named(&self, name: &str) -> Option<PortId> {
        let place = self.names.iter().position(|known| *known == name)?;
        Some(PortId(u16::try_from(place).expect("bounded by PORTS_MAX")))
    }
}

impl Seats for Names<'_> {
    fn name(&self, port: PortId) -> &str {
        self.names[usize::from(port.0)]
    }

    fn bridge_of(&self, port: PortId) -> Option<PortId> {
        self.bridges.iter().find(|bridge| bridge.members.contains(&port)).map(|bridge| bridge.port)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Value;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a host, or a section [host]")
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Kind(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
                let section = Section::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Value::Section(Box::new(section)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl From<Discovery> for Settings {
    fn from(section: Discovery) -> Self {
        let usual = Self::default();
        let seconds = |said: Option<u64>, usual| said.map_or(usual, Duration::from_secs);
        Self {
            reachable_time: seconds(section.reachable_s, usual.reachable_time),
            retransmit_time: section.retransmit_ms.map_or(usual.retransmit_time, Duration::from_millis),
            delay_probe_time: seconds(section.delay_s, usual.delay_probe_time),
            multicast_probes: section.multicast_probes.unwrap_or(usual.multicast_probes),
            unicast_probes: section.unicast_probes.unwrap_or(usual.unicast_probes),
            stale_time: seconds(section.stale_s, usual.stale_time),
            neighbors_max: section.neighbors_max.unwrap_or(usual.neighbors_max),
            accept_unasked: section.accept_unasked.unwrap_or(usual.accept_unasked),
            answer_on_all_ports: section.answer_on_all_ports.unwrap_or(usual.answer_on_all_ports),
            detection_ipv4: usual.detection_ipv4.with_probes(section.detect_ipv4),
            detection_ipv6: usual.detection_ipv6.with_probes(section.detect_ipv6),
            announcements: section.announcements.unwrap_or(usual.announcements),
            ..usual
        }
    }
}

impl From<AdvertiseSection> for Advertising {
    fn from(section: AdvertiseSection) -> Self {
        let usual = Self::default();
        let seconds = |said: Option<u64>, usual| said.map_or(usual, Duration::from_secs);
        let interval_max = seconds(section.interval_max_s, usual.interval_max);
        // RFC 4861 section 6.2.1, MinRtrAdvInterval and AdvDefaultLifetime.
        let third = (interval_max / 3).max(Duration::from_secs(3));
        Self {
            interval_min: seconds(section.interval_min_s, third),
            interval_max,
            lifetime: seconds(section.lifetime_s, (interval_max * 3).min(Duration::from_secs(9000))),
            preference: section.preference.map_or(usual.preference, Into::into),
            hop_limit: section.hop_limit.unwrap_or(usual.hop_limit),
            managed: section.managed,
            other: section.other,
            mtu: section.mtu,
            prefixes: section.prefixes.into_iter().map(Into::into).collect(),
            dns_servers: section.dns_servers,
            dns_lifetime: seconds(section.dns_lifetime_s, interval_max * 3),
            ..usual
        }
    }
}

impl From<PrefixSection> for AdvertisedPrefix {
    /// What is not said is as in RFC 4861 section 6.2.1.
    fn from(section: PrefixSection) -> Self {
        Self {
            prefix: section.prefix.trunc(),
            on_link: section.on_link.unwrap_or(true),
            autonomous: section.autonomous.unwrap_or(true),
            valid: Duration::from_secs(section.valid_s.unwrap_or(2_592_000)),
            preferred: Duration::from_secs(section.preferred_s.unwrap_or(604_800)),
        }
    }
}

impl From<PreferenceWord> for Preference {
    fn from(word: PreferenceWord) -> Self {
        match word {
            PreferenceWord::Low => Self::Low,
            PreferenceWord::Medium => Self::Medium,
            PreferenceWord::High => Self::High,
        }
    }
}
