//! Networks to try routers in, and the programs people use on them.

pub mod cable;
pub mod capture;
pub mod clients;
pub mod dns;
pub mod flood;
pub mod frr;
pub mod ftp;
pub mod nat;
pub mod server;
pub mod ssh;
pub mod steady;
pub mod tap;
pub mod traffic;
pub mod vpn;
pub mod vrrp;

use crate::lab::{Plan, Role};

/// Three subnets around one router, whose station is `r1` with the ports `r0` to `r3`:
///
/// ```text
/// h1 .2 ── 10.0.1.0/24 ── r0 ┐    ┌ r1 ── 10.0.2.0/24 ── .2 h2 ┐ 10.9.9.9
///                            │ r1 │                            │ fd00:9::9
/// h3 .2 ── 10.0.3.0/24 ── r2 ┘    └ r3 ── 10.0.4.0/24 ── .2 h2 ┘
/// ```
///
/// IPv6 likewise in `fd00:N::/64`. The host `h2` has two links and an address reached over either; the router's route
/// to it begins by way of `10.0.2.2`.
pub fn three_subnets() -> Plan {
    let host = |plan: Plan, name: &str, subnet: u8| {
        plan.ip(name, &format!("route add default via 10.0.{subnet}.1"))
            .ip(name, &format!("route add default via fd00:{subnet}::1"))
    };
    let plan = Plan::new()
        .station("h1", Role::Host)
        .station("h2", Role::Host)
        .station("h3", Role::Host)
        .station("r1", Role::Router)
        .link("h1:eth0 10.0.1.2/24 fd00:1::2/64", "r1:r0 10.0.1.1/24 fd00:1::1/64")
        .link("h2:eth0 10.0.2.2/24 fd00:2::2/64", "r1:r1 10.0.2.1/24 fd00:2::1/64")
        .link("h3:eth0 10.0.3.2/24 fd00:3::2/64", "r1:r2 10.0.3.1/24 fd00:3::1/64")
        .link("h2:eth1 10.0.4.2/24 fd00:4::2/64", "r1:r3 10.0.4.1/24 fd00:4::1/64")
        .ip("h2", "address add 10.9.9.9/32 dev lo")
        .ip("h2", "address add fd00:9::9/128 dev lo nodad")
        .ip("r1", "route add 10.9.9.9/32 via 10.0.2.2")
        .ip("r1", "route add fd00:9::9/128 via fd00:2::2");
    ["h1", "h2", "h3"].into_iter().zip(1..).fold(plan, |plan, (name, subnet)| host(plan, name, subnet))
}

/// The ports of the router of [`three_subnets`].
pub const THREE_SUBNETS_PORTS: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// Two hosts `h1` and `h2` with three routers `r1`, `r2`, `r3` in a row between them, each with the ports `left` and
/// `right`. Links are `10.1.N.0/24` and `fd01:N::/64` from 0, the left end `.1`, the right end `.2`.
pub fn row_of_three_routers() -> Plan {
    let row = ["h1", "r1", "r2", "r3", "h2"];
    let plan = row.into_iter().fold(Plan::new(), |plan, name| {
        plan.station(name, if name.starts_with('r') { Role::Router } else { Role::Host })
    });
    let plan = row.windows(2).enumerate().fold(plan, |plan, (number, pair)| {
        let port =
            |name: &str, side: &str| format!("{name}:{}", if name.starts_with('h') { "eth0" } else { side });
        plan.link(
            &format!("{} 10.1.{number}.1/24 fd01:{number}::1/64", port(pair[0], "right")),
            &format!("{} 10.1.{number}.2/24 fd01:{number}::2/64", port(pair[1], "left")),
        )
    });
    let plan = row.iter().enumerate().fold(plan, |plan, (place, name)| {
        let onward = (place + 1..4).fold(plan, |plan, link| {
            plan.ip(name, &format!("route add 10.1.{link}.0/24 via 10.1.{place}.2"))
                .ip(name, &format!("route add fd01:{link}::/64 via fd01:{place}::2"))
        });
        (0..place.saturating_sub(1)).fold(onward, |plan, link| {
            plan.ip(name, &format!("route add 10.1.{link}.0/24 via 10.1.{}.1", place - 1))
                .ip(name, &format!("route add fd01:{link}::/64 via fd01:{}::1", place - 1))
        })
    });
    // Traceroute asks each router several things at once.
    row.into_iter().filter(|name| name.starts_with('r')).fold(plan, |plan, name| {
        plan.sysctl(name, "ipv4/icmp_ratelimit", "0").sysctl(name, "ipv6/icmp/ratelimit", "0")
    })
}
