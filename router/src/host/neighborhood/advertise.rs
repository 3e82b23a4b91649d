//! Router advertisements: what a port tells the hosts behind it, and when (RFC 4861 section 6.2, RFC 8106).

use std::net::Ipv6Addr;
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::Mac;
use ipnet::Ipv6Net;
use smoltcp::wire::{
    EthernetAddress, NdiscOptionRepr, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr,
    NdiscRouterFlags,
};
use thiserror::Error;

use super::wire;

/// The first advertisements of a port come at most this far apart (`MAX_INITIAL_RTR_ADVERT_INTERVAL`).
const INITIAL_INTERVAL_MAX: Duration = Duration::from_secs(16);
/// How many are the first ones (`MAX_INITIAL_RTR_ADVERTISEMENTS`).
const INITIAL_COUNT: u32 = 3;
/// An answer to a solicitation waits a random time up to this (`MAX_RA_DELAY_TIME`).
const ANSWER_DELAY_MAX: Duration = Duration::from_millis(500);
/// Between two advertisements there is at least this (`MIN_DELAY_BETWEEN_RAS`).
const SPACING_MIN: Duration = Duration::from_secs(3);
/// The recursive DNS server option (RFC 8106 section 5.1).
const RECURSIVE_DNS: u8 = 25;
/// Prefixes that a port advertises at most, and DNS servers: all of it fits into 1280 bytes.
pub const PREFIXES_MAX: usize = 24;
/// See `PREFIXES_MAX`.
pub const DNS_SERVERS_MAX: usize = 8;

/// What a port tells the hosts behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertising {
    /// Shortest time between two advertisements; at least 3 s, at most three quarters of the longest.
    pub interval_min: Duration,
    /// Longest time between two advertisements; 4 to 1800 s.
    pub interval_max: Duration,
    /// How long hosts take this for a default router: 0 for not at all, or `interval_max` to 9000 s.
    pub lifetime: Duration,
    /// Which router hosts prefer (RFC 4191).
    pub preference: Preference,
    /// Hop limit that hosts are to use; 0 for no word on it.
    pub hop_limit: u8,
    /// Addresses are to be had by DHCPv6.
    pub managed: bool,
    /// Other configuration is to be had by DHCPv6.
    pub other: bool,
    /// MTU of the link.
    pub mtu: Option<u32>,
    /// How long hosts are to take neighbors for reachable; 0 for no word on it.
    pub reachable_time: Duration,
    /// How long hosts are to wait between questions to a neighbor; 0 for no word on it.
    pub retransmit_time: Duration,
    /// Prefixes of the link.
    pub prefixes: Vec<AdvertisedPrefix>,
    /// Recursive DNS servers.
    pub dns_servers: Vec<Ipv6Addr>,
    /// How long these may be used.
    pub dns_lifetime: Duration,
}

/// A prefix of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvertisedPrefix {
    /// The prefix.
    pub prefix: Ipv6Net,
    /// Its addresses are on the link.
    pub on_link: bool,
    /// Hosts may make an address of it (RFC 4862).
    pub autonomous: bool,
    /// How long it is valid.
    pub valid: Duration,
    /// How long addresses made of it are preferred; at most `valid`.
    pub preferred: Duration,
}

/// Which router hosts prefer (RFC 4191 section 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// Another if there is one.
    Low,
    /// None in particular.
    #[default]
    Medium,
    /// This one.
    High,
}

/// Why something cannot be advertised.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdvertisingError {
    /// See [`Advertising::interval_max`].
    #[error("interval-max is {0} s and must be 4 to 1800 s (RFC 4861 section 6.2.1)")]
    IntervalMax(u64),
    /// See [`Advertising::interval_min`].
    #[error("interval-min is {0} s and must be at least 3 s and at most three quarters of interval-max")]
    IntervalMin(u64),
    /// See [`Advertising::lifetime`].
    #[error("lifetime is {0} s and must be 0, or interval-max to 9000 s")]
    Lifetime(u64),
    /// See [`AdvertisedPrefix::preferred`].
    #[error("prefix {0} is to be preferred for longer than it is valid")]
    Preferred(Ipv6Net),
    /// Link-local and multicast prefixes are not advertised.
    #[error("prefix {0} cannot be advertised: it is link-local or multicast")]
    Prefix(Ipv6Net),
    /// Only prefixes of 64 bits are of use for addresses that hosts make.
    #[error("prefix {0} is autonomous, for which it must have 64 bits")]
    Autonomous(Ipv6Net),
    /// See `PREFIXES_MAX`.
    #[error("{0} prefixes are more than the {PREFIXES_MAX} that fit")]
    Prefixes(usize),
    /// See `DNS_SERVERS_MAX`.
    #[error("{0} DNS servers are more than the {DNS_SERVERS_MAX} that fit")]
    DnsServers(usize),
    /// No IPv6 link has a smaller one.
    #[error("MTU {0} is below 1280, the least of IPv6")]
    Mtu(u32),
}

impl Default for Advertising {
    /// RFC 4861 section 6.2.1, with nothing about prefixes.
    fn default() -> Self {
        Self {
            interval_min: Duration::from_secs(200),
            interval_max: Duration::from_secs(600),
            lifetime: Duration::from_secs(1800),
            preference: Preference::default(),
            hop_limit: 64,
            managed: false,
            other: false,
            mtu: None,
            reachable_time: Duration::ZERO,
            retransmit_time: Duration::ZERO,
            prefixes: Vec::new(),
            dns_servers: Vec::new(),
            dns_lifetime: Duration::from_secs(1800),
        }
    }
}

impl AdvertisedPrefix {
    /// On the link, for hosts to make addresses of, with the lifetimes of RFC 4861 section 6.2.1.
    #[must_use]
    pub const fn new(prefix: Ipv6Net) -> Self {
        Self {
            prefix,
            on_link: true,
            autonomous: true,
            valid: Duration::from_secs(2_592_000),
            preferred: Duration::from_secs(604_800),
        }
    }
}

impl Advertising {
    /// Checks what RFC 4861 section 6.2.1 asks for.
    ///
    /// # Errors
    /// See [`AdvertisingError`].
    pub fn check(&self) -> Result<(), AdvertisingError> {
        let (min, max) = (self.interval_min.as_secs(), self.interval_max.as_secs());
        if !(4..=1800).contains(&max) {
            return Err(AdvertisingError::IntervalMax(max));
        }
        if self.interval_min < SPACING_MIN || self.interval_min * 4 > self.interval_max * 3 {
            return Err(AdvertisingError::IntervalMin(min));
        }
        let lifetime = self.lifetime.as_secs();
        if lifetime != 0 && !(max..=9000).contains(&lifetime) {
            return Err(AdvertisingError::Lifetime(lifetime));
        }
        if self.prefixes.len() > PREFIXES_MAX {
            return Err(AdvertisingError::Prefixes(self.prefixes.len()));
        }
        if self.dns_servers.len() > DNS_SERVERS_MAX {
            return Err(AdvertisingError::DnsServers(self.dns_servers.len()));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu < 1280) {
            return Err(AdvertisingError::Mtu(mtu));
        }
        self.prefixes.iter().try_for_each(AdvertisedPrefix::check)
    }

    /// The advertisement; the `last` one tells hosts that this router is none any more (RFC 4861 section 6.2.5).
    pub(super) fn frame(&self, mac: Mac, source: Ipv6Addr, last: bool) -> Vec<u8> {
        let mut flags = NdiscRouterFlags::empty();
        flags.set(NdiscRouterFlags::MANAGED, self.managed);
        flags.set(NdiscRouterFlags::OTHER, self.other);
        let lifetime = if last { Duration::ZERO } else { self.lifetime };
        let preference = if lifetime.is_zero() { 0 } else { self.preference.bits() };
        let time = smoltcp::time::Duration::from_millis;
        let advertisement = NdiscRepr::RouterAdvert {
            hop_limit: self.hop_limit,
            flags,
            router_lifetime: lifetime.into(),
            reachable_time: time(self.reachable_time.as_millis() as u64),
            retrans_time: time(self.retransmit_time.as_millis() as u64),
            lladdr: Some(EthernetAddress(mac.0).into()),
            mtu: self.mtu,
            prefix_info: None,
        };
        let options: Vec<Vec<u8>> = self
            .prefixes
            .iter()
            .map(AdvertisedPrefix::option)
            .chain((!self.dns_servers.is_empty()).then(|| self.dns_option(last)))
            .collect();
        wire::router_advertisement(mac, source, &advertisement, preference, options.iter().map(Vec::as_slice))
    }

    fn dns_option(&self, last: bool) -> Vec<u8> {
        let lifetime_s = if last { 0 } else { seconds(self.dns_lifetime) };
        let mut data = vec![0; 2];
        data.extend_from_slice(&lifetime_s.to_be_bytes());
        self.dns_servers.iter().for_each(|server| data.extend_from_slice(&server.octets()));
        let length = u8::try_from(1 + 2 * self.dns_servers.len()).expect("bounded by DNS_SERVERS_MAX");
        wire::option(&NdiscOptionRepr::Unknown { type_: RECURSIVE_DNS, length, data: &data })
    }
}

impl AdvertisedPrefix {
    fn check(&self) -> Result<(), AdvertisingError> {
        let address = self.prefix.network();
        if address.is_unicast_link_local() || address.is_multicast() {
            return Err(AdvertisingError::Prefix(self.prefix));
        }
        if self.preferred > self.valid {
            return Err(AdvertisingError::Preferred(self.prefix));
        }
        if self.autonomous && self.prefix.prefix_len() != 64 {
            return Err(AdvertisingError::Autonomous(self.prefix));
        }
        Ok(())
    }

    fn option(&self) -> Vec<u8> {
        let mut flags = NdiscPrefixInfoFlags::empty();
        flags.set(NdiscPrefixInfoFlags::ON_LINK, self.on_link);
        flags.set(NdiscPrefixInfoFlags::ADDRCONF, self.autonomous);
        let time = |time| smoltcp::time::Duration::from_secs(u64::from(seconds(time)));
        wire::option(&NdiscOptionRepr::PrefixInformation(NdiscPrefixInformation {
            prefix_len: self.prefix.prefix_len(),
            flags,
            valid_lifetime: time(self.valid),
            preferred_lifetime: time(self.preferred),
            prefix: self.prefix.network(),
        }))
    }
}

impl Preference {
    /// The two bits, where they stand among the flags.
    const fn bits(self) -> u8 {
        match self {
            Self::High => 0b0_1000,
            Self::Medium => 0,
            Self::Low => 0b1_1000,
        }
    }
}

/// Whole seconds of a lifetime; what does not fit into 32 bits is forever, which is all ones.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// When a port advertises.
#[derive(Clone, Debug)]
pub(super) struct Advertiser {
    pub(super) advertising: Advertising,
    initial_left: u32,
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Advertiser {
    /// One that waits for [`Self::start`].
    pub(super) const fn new(advertising: Advertising) -> Self {
        Self { advertising, initial_left: INITIAL_COUNT, last: None, due: None }
    }

    /// The port has an address to advertise from: the first ones are due.
    pub(super) fn start(&mut self, now: Instant) {
        self.initial_left = INITIAL_COUNT;
        self.due = Some(self.spaced(now));
    }

    /// The port has none any more.
    pub(super) const fn stop(&mut self) {
        self.due = None;
    }

    /// A host has asked.
    pub(super) fn solicited(&mut self, now: Instant, random: &mut fastrand::Rng) {
        let delay = random_below(random, ANSWER_DELAY_MAX);
        if let Some(due) = self.due {
            self.due = Some(due.min(self.spaced(now) + delay));
        }
    }

    /// An advertisement has been sent.
    pub(super) fn sent(&mut self, now: Instant, random: &mut fastrand::Rng) {
        let (min, max) = (self.advertising.interval_min, self.advertising.interval_max);
        let interval = min + random_below(random, max.saturating_sub(min));
        self.initial_left = self.initial_left.saturating_sub(1);
        let initial = self.initial_left > 0;
        self.last = Some(now);
        self.due = Some(now + if initial { interval.min(INITIAL_INTERVAL_MAX) } else { interval });
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// `moment`, or later if that is too soon after the last advertisement.
    fn spaced(&self, moment: Instant) -> Instant {
        self.last.map_or(moment, |last| moment.max(last + SPACING_MIN))
    }
}

/// A random time below `bound`.
pub(super) fn random_below(random: &mut fastrand::Rng, bound: Duration) -> Duration {
    let nanoseconds = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(if nanoseconds == 0 { 0 } else { random.u64(..nanoseconds) })
}
