//! What a lab is to be, as data: stations, links between their ports, settings, and lines of `ip`.

use anyhow::{Context, Result};
use ipnet::IpNet;

/// What a station is for; it decides the settings its namespace begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Has addresses, forwards nothing.
    Host,
    /// Its kernel may forward, if [`crate::router::Router::Kernel`] switches that on.
    Router,
    /// Holds the far ends of links: has no addresses and says nothing of its own accord.
    Wire,
}

/// Settings that every namespace begins with, so that nothing depends on what the machine defaults to.
const COMMON: &[(&str, &str)] = &[
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/auto_flowlabels", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/conf/default/mldv2_unsolicited_report_interval", "1"),
];

/// Settings that are there only while the module `br_netfilter` is loaded: with it Linux has IP's own rules look at what
/// its bridges pass, and throws away there what is no sound IP.
const WITH_BRIDGE_NETFILTER: &[(&str, &str)] = &[
    ("bridge/bridge-nf-call-iptables", "0"),
    ("bridge/bridge-nf-call-ip6tables", "0"),
    ("bridge/bridge-nf-call-arptables", "0"),
];

const SILENT: &[(&str, &str)] = &[
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv4/conf/default/arp_ignore", "8"),
];

impl Role {
    /// The settings a namespace of this role begins with: key below `/proc/sys/net`, value.
    pub(super) fn settings(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let more = if self == Self::Wire { SILENT } else { &[] };
        COMMON.iter().chain(more).copied()
    }

    /// Settings besides these that not every machine has.
    pub(super) fn settings_if_there(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        WITH_BRIDGE_NETFILTER.iter().copied()
    }
}

/// A lab as data. Building it twice gives labs alike to the last MAC.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    stations: Vec<(String, Role)>,
    links: Vec<Link>,
    settings: Vec<(String, String, String)>,
    lines: Vec<(String, String)>,
}

/// A veth pair.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
}

/// One end of it: which station's port, and what it has.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) station: String,
    pub(crate) port: String,
    pub(crate) mac: [u8; 6],
    pub(crate) addresses: Vec<IpNet>,
}

impl Plan {
    /// A plan of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a station, which becomes a namespace.
    pub fn station(mut self, name: &str, role: Role) -> Self {
        assert!(!self.has(name), "station {name} is there already");
        self.stations.push((name.to_owned(), role));
        self
    }

    /// Adds a veth link between two ends, each written `station:port address/length …`. MACs follow from the order of
    /// the links: `02:00:00:00:LL:EE`, link from 1, end 1 or 2.
    ///
    /// # Panics
    /// An end names no station of the plan.
    pub fn link(mut self, one: &str, other: &str) -> Self {
        let number = self.links.len() + 1;
        let ends = [(1, one), (2, other)].map(|(side, text)| {
            let number = u8::try_from(number).expect("fewer than 256 links");
            let end = End::parse(text, [2, 0, 0, 0, number, side]).expect("a well written end");
            assert!(self.has(&end.station), "`{text}`: the plan has no such station");
            end
        });
        self.links.push(Link { ends });
        self
    }

    /// Adds a line of `ip` (without the word `ip`), run at `station` once links and addresses are there.
    pub fn ip(mut self, station: &str, line: &str) -> Self {
        assert!(self.has(station), "the plan has no station {station}");
        self.lines.push((station.to_owned(), line.to_owned()));
        self
    }

    /// Adds a sysctl at `station`, set once the links are there, named below `/proc/sys/net` with slashes.
    pub fn sysctl(mut self, station: &str, key: &str, value: &str) -> Self {
        assert!(self.has(station), "the plan has no station {station}");
        self.settings.push((station.to_owned(), key.to_owned(), value.to_owned()));
        self
    }

    /// The stations in the order they were added.
    pub fn stations(&self) -> impl Iterator<Item = (&str, Role)> {
        self.stations.iter().map(|(name, role)| (name.as_str(), *role))
    }

    /// The ports of a station in the order of the links.
    pub fn ports<'a>(&'a self, station: &'a str) -> Vec<&'a str> {
        self.ends_of(station).map(|end| end.port.as_str()).collect()
    }

    /// The ports' addresses, as written.
    pub fn addresses<'a>(&'a self, station: &'a str, port: &str) -> Vec<IpNet> {
        let ends = self.ends_of(station).filter(|end| end.port == port);
        ends.flat_map(|end| end.addresses.iter().copied()).collect()
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.settings.iter().map(|(station, key, value)| (station.as_str(), key.as_str(), value.as_str()))
    }

    /// What was added with [`Self::ip`], by station.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        let lines_of = |station: &str| {
            self.lines.iter().filter(|(at, _)| at == station).map(|(_, line)| line.clone()).collect()
        };
        self.stations.iter().map(move |(name, _)| (name.as_str(), lines_of(name)))
    }

    pub(super) fn ends_of_mut(&mut self, station: &str) -> impl Iterator<Item = &mut End> {
        self.links.iter_mut().flat_map(|link| &mut link.ends).filter(move |end| end.station == station)
    }

    /// Takes a station's lines of `ip` away.
    pub(super) fn take_lines(&mut self, station: &str) -> Vec<String> {
        let mut taken = Vec::new();
        self.lines.retain(|(at, line)| {
            let stays = at != station;
            if !stays {
                taken.push(line.clone());
            }
            stays
        });
        taken
    }

    fn ends_of<'a>(&'a self, station: &'a str) -> impl Iterator<Item = &'a End> {
        self.links.iter().flat_map(|link| &link.ends).filter(move |end| end.station == station)
    }

    fn has(&self, station: &str) -> bool {
        self.stations.iter().any(|(name, _)| name == station)
    }
}

impl End {
    fn parse(text: &str, mac: [u8; 6]) -> Result<Self> {
        let mut words = text.split_whitespace();
        let (station, port) = words
            .next()
            .and_then(|place| place.split_once(':'))
            .with_context(|| format!("`{text}`: expected station:port address/length …"))?;
        let address =
            |word: &str| word.parse().with_context(|| format!("`{text}`: {word} is no address/length"));
        let addresses = words.map(address).collect::<Result<_>>()?;
        Ok(Self { station: station.to_owned(), port: port.to_owned(), mac, addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, Role};

    fn small() -> Plan {
        Plan::new()
            .station("h1", Role::Host)
            .station("r1", Role::Router)
            .link("h1:eth0 10.0.1.2/24", "r1:r0 10.0.1.1/24 fd00:1::1/64")
            .ip("h1", "route add default via 10.0.1.1")
    }

    #[test]
    fn a_plan_says_its_ports_and_addresses() {
        let plan = small();
        assert_eq!(plan.ports("r1"), ["r0"]);
        let texts = plan.addresses("r1", "r0").iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts, ["10.0.1.1/24", "fd00:1::1/64"]);
    }

    #[test]
    fn macs_follow_from_the_order_of_the_links() {
        let plan = small();
        let macs: Vec<_> = plan.links().flat_map(|link| link.ends.each_ref().map(|end| end.mac)).collect();
        assert_eq!(macs, [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]]);
    }

    #[test]
    #[should_panic(expected = "no such station")]
    fn a_link_to_a_station_that_is_not_there_is_refused() {
        let _ = Plan::new().station("h1", Role::Host).link("h1:eth0", "r1:r0");
    }
}
