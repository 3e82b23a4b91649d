//! Three routers in a ring learn their routes by OSPF and by BGP; a cut link converges and pings go on.

use testbed::lab::{self, Lab, wait_until};
use testbed::router::Router;
use testbed::scenario::clients::ping;
use testbed::scenario::frr::{CONVERGENCE, Frr, Protocol, RING, RING_PORTS, learned_next_hop, ring};

const KERNEL: Router = Router::Kernel { tracking: false };

/// The ring learns, loses the link between `a` and `b`, goes round, and takes the short way again.
fn the_ring_learns_and_heals(router: &Router, protocol: Protocol) {
    if !lab::labs_can_run() || !Frr::can_run() {
        return;
    }
    let lab = Lab::build(&ring()).unwrap();
    let routers = RING.map(|station| router.start(&lab, station, &RING_PORTS).unwrap());
    let daemons = [0, 1, 2].map(|place| Frr::start(&lab, place, protocol).unwrap());
    let (prefixes, hosts): (&[&str], &[&str]) = match protocol {
        Protocol::Ospf => (&["10.2.2.0/24"], &["10.2.2.2", "10.2.3.2"]),
        Protocol::Bgp => {
            (&["10.2.2.0/24", "fd02:2::/64"], &["10.2.2.2", "10.2.3.2", "fd02:2::2", "fd02:3::2"])
        }
    };

    for prefix in prefixes {
        goes_by(&lab, prefix, protocol, |via| {
            ["10.3.1.2", "fd03:1::2"].contains(&via) || via.starts_with("fe80")
        });
    }
    for host in hosts {
        pings(&lab, host);
    }
    let direct = hops(&lab, "10.2.2.2");

    lab.at("a").ip("link set next down").unwrap();
    goes_by(&lab, "10.2.2.0/24", protocol, |via| via == "10.3.3.1");
    for host in hosts {
        pings(&lab, host);
    }
    goes_over(&lab, "10.2.2.2", direct + 1);

    lab.at("a").ip("link set next up").unwrap();
    lab.at("a").ip("address replace fd03:1::1/64 dev next nodad").unwrap();
    goes_by(&lab, "10.2.2.0/24", protocol, |via| via == "10.3.1.2");
    for host in hosts {
        pings(&lab, host);
    }
    goes_over(&lab, "10.2.2.2", direct);
    drop((daemons, routers));
}

/// Waits until `a` has learned the prefix with a next hop that `right` accepts.
fn goes_by(lab: &Lab, prefix: &str, protocol: Protocol, right: impl Fn(&str) -> bool) {
    let learned = || learned_next_hop(lab, "a", prefix, protocol).unwrap();
    let found = wait_until(prefix, CONVERGENCE, || learned().filter(|via| right(via)));
    found.unwrap_or_else(|error| panic!("{error}; the next hop is {:?}", learned()));
}

/// Waits until ten pings in a row from `ha` are answered.
fn pings(lab: &Lab, host: &str) {
    let all = wait_until(&format!("answers from {host}"), CONVERGENCE, || {
        (ping(lab, "ha", host, 10).unwrap() == 10).then_some(())
    });
    all.unwrap();
}

/// Waits until so many routers lie between `ha` and `host`: the other routers take a moment too.
fn goes_over(lab: &Lab, host: &str, routers: u32) {
    let right = || (hops(lab, host) == routers).then_some(());
    wait_until(&format!("a way of {routers} routers to {host}"), CONVERGENCE, right).unwrap();
}

/// How many routers lie between `ha` and `host`, by what is left of the TTL.
fn hops(lab: &Lab, host: &str) -> u32 {
    let said = lab.run("ha", &format!("ping -n -c 1 -W 2 {host}"), lab::SECONDS_5).unwrap().ok().unwrap();
    let ttl = said.split_once("ttl=").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap();
    64 - ttl.parse::<u32>().unwrap()
}

#[test]
fn the_kernels_ring_learns_by_ospf() {
    the_ring_learns_and_heals(&KERNEL, Protocol::Ospf);
}

#[test]
fn the_kernels_ring_learns_by_bgp() {
    the_ring_learns_and_heals(&KERNEL, Protocol::Bgp);
}

#[test]
fn routerds_ring_learns_by_ospf() {
    the_ring_learns_and_heals(&Router::routerd(&[]).unwrap(), Protocol::Ospf);
}

#[test]
fn routerds_ring_learns_by_bgp() {
    the_ring_learns_and_heals(&Router::routerd(&[]).unwrap(), Protocol::Bgp);
}
