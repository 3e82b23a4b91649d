//! What a lab is to be, as data: stations, links between their ports, settings, and lines of `ip`.

use anyhow::{Context, Result};

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
}

/// A lab as data. Building it twice gives labs alike to the last MAC.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    stations: Vec<(String, Role)>,
    links: Vec<Link>,
    settings: Vec<(String, String, String)>,
    lines: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Link {
    ends: [End; 2],
}

#[derive(Clone, Debug)]
struct End {
    station: String,
    port: String,
    mac: String,
    addresses: Vec<String>,
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
            let end =
                End::parse(text, format!("02:00:00:00:{number:02x}:{side:02x}")).expect("a well written end");
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
    pub fn addresses<'a>(&'a self, station: &'a str, port: &str) -> Vec<&'a str> {
        let ends = self.ends_of(station).filter(|end| end.port == port);
        ends.flat_map(|end| end.addresses.iter().map(String::as_str)).collect()
    }

    /// Lines that make the links, by the station to run them at. `name_of` gives a station's namespace.
    pub(super) fn link_lines(&self, name_of: impl Fn(&str) -> String) -> Vec<(String, Vec<String>)> {
        let line = |Link { ends: [one, other] }: &Link| {
            format!(
                "link add {} address {} type veth peer name {} address {} netns {}",
                one.port,
                one.mac,
                other.port,
                other.mac,
                name_of(&other.station)
            )
        };
        self.links.iter().map(|link| (link.ends[0].station.clone(), vec![line(link)])).collect()
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.settings.iter().map(|(station, key, value)| (station.as_str(), key.as_str(), value.as_str()))
    }

    /// Lines that give addresses, raise the ports, and then what was added with [`Self::ip`].
    pub(super) fn configuration_lines(&self) -> Vec<(&str, Vec<String>)> {
        let lines_of = |station: &str| {
            let own = self.ends_of(station).flat_map(End::lines);
            let added = self.lines.iter().filter(|(at, _)| at == station).map(|(_, line)| line.clone());
            own.chain(added).collect()
        };
        self.stations.iter().map(|(name, _)| (name.as_str(), lines_of(name))).collect()
    }

    fn ends_of<'a>(&'a self, station: &'a str) -> impl Iterator<Item = &'a End> {
        self.links.iter().flat_map(|link| &link.ends).filter(move |end| end.station == station)
    }

    fn has(&self, station: &str) -> bool {
        self.stations.iter().any(|(name, _)| name == station)
    }
}

impl End {
    fn parse(text: &str, mac: String) -> Result<Self> {
        let mut words = text.split_whitespace();
        let (station, port) = words
            .next()
            .and_then(|place| place.split_once(':'))
            .with_context(|| format!("`{text}`: expected station:port address/length …"))?;
        let addresses = words.map(str::to_owned).collect();
        Ok(Self { station: station.to_owned(), port: port.to_owned(), mac, addresses })
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let address = |address: &String| {
            let family = if address.contains(':') { " nodad" } else { " broadcast +" };
            format!("address add {address} dev {}{family}", self.port)
        };
        let addresses: Vec<String> = self.addresses.iter().map(address).collect();
        std::iter::once(format!("link set {} up", self.port)).chain(addresses)
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
        assert_eq!(plan.addresses("r1", "r0"), ["10.0.1.1/24", "fd00:1::1/64"]);
    }

    #[test]
    fn links_are_made_with_both_macs_given() {
        let lines = small().link_lines(|station| format!("rb-1-1-{station}"));
        assert_eq!(
            lines[0].1[0],
            "link add eth0 address 02:00:00:00:01:01 type veth peer name r0 address 02:00:00:00:01:02 netns rb-1-1-r1"
        );
    }

    #[test]
    fn routes_come_after_addresses() {
        let plan = small();
        let lines = plan.configuration_lines();
        assert_eq!(
            lines[0].1,
            [
                "link set eth0 up",
                "address add 10.0.1.2/24 dev eth0 broadcast +",
                "route add default via 10.0.1.1"
            ]
        );
    }

    #[test]
    #[should_panic(expected = "no such station")]
    fn a_link_to_a_station_that_is_not_there_is_refused() {
        let _ = Plan::new().station("h1", Role::Host).link("h1:eth0", "r1:r0");
    }
}
