//! The lab that crafted frames are sent through: one router with three ports, each with a wire at its far end.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::frames::{Checksum, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Link, Mac, Payload, Tcp, Udp, V4, V6};
use crate::lab::{Plan, Role};

/// The router's station.
pub const ROUTER: &str = "router";
/// The station that holds the wires.
pub const WIRES: &str = "wires";
/// The router's ports, in order.
pub const PORTS: [&str; 3] = ["r0", "r1", "r2"];
/// MTU of port `r2`, in bytes; the others have 1500.
pub const SMALL_MTU: usize = 1280;

/// How the router is set up, beyond what all grounds share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Connection tracking on, no default route, nothing loosened.
    Tracking,
    /// The same without connection tracking.
    Stateless,
    /// A default route in both families by way of `r1`.
    DefaultRoute,
    /// `rp_filter=1`.
    ReversePathStrict,
    /// `rp_filter=2`.
    ReversePathLoose,
    /// `accept_source_route=1`.
    SourceRoutes,
    /// `bc_forwarding=1`.
    DirectedBroadcasts,
    /// `send_redirects=1`.
    Redirects,
    /// ICMP errors are limited for each target as Linux does by default: one a second after a burst.
    RateLimits,
}

impl Ground {
    /// Whether the kernel as router tracks connections here.
    pub fn tracking(self) -> bool {
        self != Self::Stateless
    }

    /// The lab: ports `10.1P.0.1/24` and `fd00:1P::1/64`; behind each port `172.2P.0.0/16` and `fd2P::/16` by way of
    /// the neighbor `.2`; one prefix of every kind of route. Rate limits are open.
    pub fn plan(self) -> Plan {
        let mut plan = Plan::new().station(ROUTER, Role::Router).station(WIRES, Role::Wire);
        for (number, port) in PORTS.iter().enumerate() {
            plan = plan.link(
                &format!("{ROUTER}:{port} 10.1{number}.0.1/24 fd00:1{number}::1/64"),
                &format!("{WIRES}:w{number}"),
            );
        }
        for (key, value) in SETTINGS {
            plan = plan.sysctl(ROUTER, key, value);
        }
        plan = plan.ip(ROUTER, &format!("link set r2 mtu {SMALL_MTU}"));
        for number in 0..PORTS.len() {
            for line in behind(number) {
                plan = plan.ip(ROUTER, &line);
            }
        }
        for line in ROUTES.iter().chain(POLICY).chain(NEXTHOPS) {
            plan = plan.ip(ROUTER, line);
        }
        self.own(plan)
    }

    fn own(self, plan: Plan) -> Plan {
        let all = |plan: Plan, name: &str, value: &str| {
            PORTS
                .iter()
                .chain(&["all"])
                .fold(plan, |plan, port| plan.sysctl(ROUTER, &format!("ipv4/conf/{port}/{name}"), value))
        };
        match self {
            Self::Tracking | Self::Stateless => plan,
            Self::DefaultRoute => plan
                .ip(ROUTER, "route add default via 10.11.0.2")
                .ip(ROUTER, "route add default via fd00:11::2"),
            Self::ReversePathStrict => all(plan, "rp_filter", "1"),
            Self::ReversePathLoose => all(plan, "rp_filter", "2"),
            Self::SourceRoutes => all(plan, "accept_source_route", "1")
                .sysctl(ROUTER, "ipv6/conf/all/accept_source_route", "1")
                .sysctl(ROUTER, "ipv6/conf/r0/accept_source_route", "1"),
            Self::DirectedBroadcasts => all(plan, "bc_forwarding", "1"),
            Self::Redirects => all(plan, "send_redirects", "1"),
            Self::RateLimits => plan
                .sysctl(ROUTER, "ipv4/icmp_ratelimit", "1000")
                .sysctl(ROUTER, "ipv4/icmp_ratemask", "6168")
                .sysctl(ROUTER, "ipv6/icmp/ratelimit", "1000"),
        }
    }
}

/// What all grounds set at the router, so that nothing depends on defaults or on how fast frames come.
const SETTINGS: &[(&str, &str)] = &[
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv4/icmp_msgs_per_sec", "1000000000"),
    ("ipv4/icmp_msgs_burst", "1000000000"),
    ("ipv6/icmp/ratelimit", "0"),
    ("ipv4/ip_default_ttl", "64"),
    ("ipv4/fwmark_reflect", "0"),
    ("ipv4/icmp_errors_use_inbound_ifaddr", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/r0/send_redirects", "0"),
    ("ipv4/conf/r1/send_redirects", "0"),
    ("ipv4/conf/r2/send_redirects", "0"),
    ("ipv4/conf/all/accept_source_route", "0"),
    ("ipv4/conf/all/bc_forwarding", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    ("ipv6/conf/r0/accept_redirects", "0"),
    ("ipv6/conf/r1/accept_redirects", "0"),
    ("ipv6/conf/r2/accept_redirects", "0"),
];

/// One prefix of every kind of route, by second digit.
const ROUTES: &[&str] = &[
    "route add 172.23.0.0/16 via 10.11.0.2 mtu 1000",
    "route add fd23::/16 via fd00:11::2 mtu 1300",
    "route add blackhole 172.24.0.0/16",
    "route add blackhole fd24::/16",
    "route add unreachable 172.25.0.0/16",
    "route add unreachable fd25::/16",
    "route add prohibit 172.26.0.0/16",
    "route add prohibit fd26::/16",
    "route add throw 172.27.0.0/16",
    "route add throw fd27::/16",
    "route add 172.28.0.0/16 via 10.11.0.99",
    "route add fd28::/16 via fd00:11::99",
    "route add 172.29.0.0/16 via inet6 fe80::2 dev r1",
    "route add fd29::/16 via fe80::2 dev r1",
    "route add 172.30.0.0/16 via 10.11.0.3",
    "route add 172.30.128.0/17 via 10.12.0.3",
    "route add 172.30.128.7/32 via 10.11.0.2",
    "route add fd30::/16 via fd00:11::3",
    "route add fd30:8000::/17 via fd00:12::3",
    "route add fd30:8000::7/128 via fd00:11::2",
    "route add 172.31.0.0/24 via 10.11.0.2 metric 10",
    "route add 172.31.0.0/24 via 10.12.0.2 metric 20",
    "route add 172.31.1.0/24 via 10.13.0.2 dev r2 onlink",
    "neighbor add 10.13.0.2 dev r2 lladdr 02:00:00:00:03:04 nud permanent",
    "rule add from 172.20.250.0/24 lookup 100 priority 1000",
    "route add 172.21.0.0/16 via 10.12.0.3 table 100",
    "route add prohibit 172.22.0.0/16 table 100",
    "rule add tos 0x10 to 172.21.200.0/24 lookup 101 priority 1001",
    "route add 172.21.200.0/24 via 10.11.0.3 table 101",
    "rule add from 172.20.251.0/24 prohibit priority 1002",
    "rule add from 172.20.252.0/24 blackhole priority 1003",
    "rule add from 172.20.253.0/24 unreachable priority 1004",
    "-6 rule add from fd20:250::/32 lookup 100 priority 1000",
    "route add fd21::/16 via fd00:12::3 table 100",
    "-6 rule add from fd20:251::/32 prohibit priority 1002",
    "-6 rule add from fd20:252::/32 blackhole priority 1003",
];

/// Rules of every kind, and the tables they lead to: 102 sends to `r2`, 103 has but a default route to it.
const POLICY: &[&str] = &[
    "route add 172.18.0.0/16 via 10.11.0.2",
    "route add 172.18.0.0/16 via 10.12.0.3 table 102",
    "route add 172.18.77.0/24 via 10.12.0.2 table 102",
    "route add default via 10.12.0.3 table 103",
    "route add throw 172.18.9.0/24 table 104",
    "route add default via 10.12.0.3 table 104",
    "rule add to 172.18.1.0/24 lookup 102 priority 900",
    "rule add iif r2 to 172.18.2.0/24 lookup 102 priority 901",
    "rule add to 172.18.4.0/24 ipproto tcp lookup 102 priority 903",
    "rule add to 172.18.5.0/24 ipproto udp dport 7000-8000 lookup 102 priority 904",
    "rule add to 172.18.6.0/24 lookup 103 suppress_prefixlength 0 priority 905",
    "rule add to 172.18.7.0/24 lookup 103 priority 906",
    "rule add to 172.18.8.0/24 fwmark 7 lookup 102 priority 907",
    "rule add to 172.18.9.0/24 lookup 104 priority 908",
    "rule add to 172.18.10.0/24 goto 920 priority 909",
    "rule add to 172.18.10.0/24 prohibit priority 910",
    "rule add to 172.18.10.0/24 lookup 102 priority 920",
    "rule add to 172.18.77.0/24 lookup 102 suppress_prefixlength 16 priority 921",
    "rule add to 172.18.11.0/24 sport 1-99 lookup 102 priority 922",
    "rule add to 172.18.12.0/24 tos 0x08 lookup 102 priority 923",
    "rule add to 172.18.3.0/24 goto 960 priority 950",
    "rule add goto 970 priority 955",
    "rule add not from 172.20.0.0/16 lookup 102 priority 960",
    "rule add to 172.18.13.0/24 lookup 102 priority 970",
    "route add fd18::/16 via fd00:11::2",
    "route add fd18::/16 via fd00:12::3 table 102",
    "route add default via fd00:12::3 table 103",
    "-6 rule add to fd18:1::/32 lookup 102 priority 900",
    "-6 rule add iif r2 to fd18:2::/32 lookup 102 priority 901",
    "-6 rule add to fd18:4::/32 ipproto tcp lookup 102 priority 903",
    "-6 rule add to fd18:5::/32 ipproto udp dport 7000-8000 lookup 102 priority 904",
    "-6 rule add to fd18:6::/32 lookup 103 suppress_prefixlength 0 priority 905",
    "-6 rule add to fd18:7::/32 lookup 103 priority 906",
    "-6 rule add to fd18:8::/32 unreachable priority 907",
    "-6 rule add to fd18:9::/32 blackhole priority 908",
    "-6 rule add to fd18:3::/32 goto 960 priority 950",
    "-6 rule add goto 970 priority 955",
    "-6 rule add not from fd20::/16 lookup 102 priority 960",
    "-6 rule add to fd18:13::/32 lookup 102 priority 970",
];

/// Several next hops, and next hops that are objects. Which of several is taken is each router's own affair: all of a
/// route have one MAC here.
const NEXTHOPS: &[&str] = &[
    "neighbor add 10.11.0.4 lladdr 02:00:00:00:02:02 dev r1 nud permanent",
    "neighbor add fd00:11::4 lladdr 02:00:00:00:02:02 dev r1 nud permanent",
    "route add 172.19.0.0/24 nexthop via 10.11.0.2 nexthop via 10.11.0.4",
    "route add 172.19.1.0/24 nexthop via 10.11.0.2 weight 1 nexthop via 10.11.0.4 weight 200",
    "route add fd19::/32 nexthop via fd00:11::2 nexthop via fd00:11::4",
    "nexthop add id 1 via 10.11.0.2 dev r1",
    "nexthop add id 2 via 10.11.0.4 dev r1",
    "nexthop add id 3 blackhole",
    "nexthop add id 4 via fe80::2 dev r1",
    "nexthop add id 5 via fd00:11::2 dev r1",
    "nexthop add id 6 via fd00:11::4 dev r1",
    "nexthop add id 7 dev r1",
    "nexthop add id 8 via 10.12.0.2 dev r2",
    "nexthop add id 11 group 1",
    "nexthop add id 12 group 1,3/2,200",
    "nexthop add id 13 group 5/6",
    "nexthop add id 14 group 1/4",
    "route add 172.19.2.0/24 nhid 1",
    "route add 172.19.3.0/24 nhid 3",
    "route add 172.19.4.0/24 nhid 4",
    "route add 172.19.5.0/24 nhid 7",
    "route add 172.19.6.0/24 nhid 11",
    "route add 172.19.7.0/24 nhid 12",
    "route add 172.19.8.0/24 nhid 14",
    "route add 172.19.9.0/24 nhid 8",
    "route add fd19:2::/32 nhid 5",
    "route add fd19:3::/32 nhid 4",
    "route add fd19:4::/32 nhid 13",
    "nexthop replace id 8 via 10.11.0.3 dev r1",
];

/// What lies behind a port, and the neighbors on it.
fn behind(number: usize) -> [String; 7] {
    let (port, link) = (PORTS[number], number + 1);
    let mac = |end: u8| format!("lladdr 02:00:00:00:{link:02x}:{end:02x} dev {port} nud permanent");
    [
        format!("neighbor add 10.1{number}.0.2 {}", mac(2)),
        format!("neighbor add 10.1{number}.0.3 {}", mac(3)),
        format!("neighbor add fd00:1{number}::2 {}", mac(2)),
        format!("neighbor add fd00:1{number}::3 {}", mac(3)),
        format!("neighbor add fe80::2 {}", mac(2)),
        format!("route add 172.2{number}.0.0/16 via 10.1{number}.0.2"),
        format!("route add fd2{number}::/16 via fd00:1{number}::2"),
    ]
}

/// The router's own IPv4 addresses.
pub const OWN4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 10, 0, 1), Ipv4Addr::new(10, 11, 0, 1), Ipv4Addr::new(10, 12, 0, 1)];

/// The MAC of the router's port.
pub fn router_mac(port: usize) -> Mac {
    [2, 0, 0, 0, port as u8 + 1, 1]
}

/// The MAC of a neighbor on a port: 2 for the gateway `.2`, 3 for `.3`.
pub fn neighbor_mac(port: usize, end: u8) -> Mac {
    [2, 0, 0, 0, port as u8 + 1, end]
}

/// What makes a case's packets its own: each case has addresses, ports and ids that no other uses, so that neither
/// connections nor per-address limits carry over.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The case's number within its chapter.
    pub number: u16,
}

/// The UDP and TCP port that packets of cases go to.
pub const SERVICE: u16 = 7777;

impl Key {
    /// A source behind `r0`.
    pub fn source4(self) -> Ipv4Addr {
        Ipv4Addr::new(172, 20, (self.number / 200) as u8, (self.number % 200) as u8 + 1)
    }

    /// A source behind `r0`.
    pub fn source6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd20, 0, 0, 0, 0, 0, 1, self.number)
    }

    /// A destination behind `port`.
    pub fn behind4(self, port: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 20 + port, 0, 1)
    }

    /// A destination behind `port`.
    pub fn behind6(self, port: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd20 + port, 0, 0, 0, 0, 0, 0, 1)
    }

    /// A port of the source.
    pub fn source_port(self) -> u16 {
        20000 + self.number
    }

    /// UDP, 20 bytes of it.
    pub fn udp(self) -> Udp {
        Udp {
            source: self.source_port(),
            destination: SERVICE,
            length: None,
            checksum: Checksum::Right,
            data: b"what a person writes".to_vec(),
        }
    }

    /// A TCP SYN.
    pub fn syn(self) -> Tcp {
        Tcp {
            source: self.source_port(),
            destination: SERVICE,
            sequence: 1000,
            acknowledgment: 0,
            header_words: None,
            flags: 0x02,
            window: 64000,
            checksum: Checksum::Right,
            options: vec![2, 4, 5, 180],
            data: Vec::new(),
        }
    }

    /// An echo request: type 8 in IPv4, 128 in IPv6.
    pub fn echo(self, kind: u8) -> Icmp {
        let id = self.source_port().to_be_bytes();
        Icmp { kind, code: 0, checksum: Checksum::Right, rest: [id[0], id[1], 0, 1], data: vec![0x5a; 24] }
    }

    /// An IPv4 packet from behind `r0` to behind `r1`.
    pub fn v4(self, payload: Payload) -> V4 {
        V4 {
            version: 4,
            header_words: None,
            tos: 0,
            total_length: None,
            id: 0x4000 + self.number,
            reserved: false,
            dont_fragment: false,
            more_fragments: false,
            offset: 0,
            ttl: 64,
            protocol: None,
            checksum: Checksum::Right,
            source: self.source4(),
            destination: self.behind4(1),
            options: Vec::new(),
            payload,
        }
    }

    /// An IPv6 packet from behind `r0` to behind `r1`.
    pub fn v6(self, payload: Payload) -> V6 {
        V6 {
            version: 6,
            traffic_class: 0,
            flow_label: 0,
            payload_length: None,
            next_header: None,
            hop_limit: 64,
            source: self.source6(),
            destination: self.behind6(1),
            extensions: Vec::new(),
            payload,
        }
    }

    /// UDP in IPv4 from behind `r0` to behind `r1`.
    pub fn udp4(self) -> V4 {
        self.v4(Payload::Udp(self.udp()))
    }

    /// UDP in IPv6 from behind `r0` to behind `r1`.
    pub fn udp6(self) -> V6 {
        self.v6(Payload::Udp(self.udp()))
    }

    /// UDP in IPv4 with `length` bytes of data.
    pub fn long4(self, length: usize) -> V4 {
        self.v4(Payload::Udp(Udp { data: pattern(length), ..self.udp() }))
    }

    /// UDP in IPv6 with `length` bytes of data.
    pub fn long6(self, length: usize) -> V6 {
        self.v6(Payload::Udp(Udp { data: pattern(length), ..self.udp() }))
    }

    /// From the gateway on `port` to the router.
    pub fn link(self, port: usize) -> Link {
        Link {
            destination: router_mac(port),
            source: neighbor_mac(port, 2),
            tags: Vec::new(),
            trailer: Vec::new(),
        }
    }

    /// `packet` in a frame from the gateway on `r0`.
    pub fn frame4(self, packet: &V4) -> Vec<u8> {
        self.link(0).around(ETHERTYPE_IPV4, &packet.bytes())
    }

    /// `packet` in a frame from the gateway on `r0`.
    pub fn frame6(self, packet: &V6) -> Vec<u8> {
        self.link(0).around(ETHERTYPE_IPV6, &packet.bytes())
    }
}

/// Bytes in which each place can be told.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}
