//! FRR's bgpd at the router, behind its TUN device: what it learns of a neighbor forwards traffic.

use testbed::lab::{self, Lab, Plan, Role, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::{SECONDS_20, ping};
use testbed::scenario::frr::{CONVERGENCE, Frr, Protocol};

use crate::ground::KERNEL;

/// `h1 .2 ── 10.0.1.0/24 ── r1 .1 ── 10.0.2.0/24 ── .2 n .1 ── 10.0.3.0/24 ── .2 h2`, IPv6 likewise; neither router has
/// a route of its own. The neighbor `n` is the kernel's.
fn two_systems() -> Plan {
    ["h1", "h2"].iter().zip([1, 3]).fold(
        Plan::new()
            .station("h1", Role::Host)
            .station("r1", Role::Router)
            .station("n", Role::Router)
            .station("h2", Role::Host)
            .link("h1:eth0 10.0.1.2/24 fd00:1::2/64", "r1:r0 10.0.1.1/24 fd00:1::1/64")
            .link("r1:r1 10.0.2.1/24 fd00:2::1/64", "n:n0 10.0.2.2/24 fd00:2::2/64")
            .link("n:n1 10.0.3.1/24 fd00:3::1/64", "h2:eth0 10.0.3.2/24 fd00:3::2/64"),
        |plan, (name, subnet)| {
            plan.ip(name, &format!("route add default via 10.0.{subnet}.1"))
                .ip(name, &format!("route add default via fd00:{subnet}::1"))
        },
    )
}

/// Either router tells the other of the subnet behind it, each family in a session of its own. Of two next hops, that on
/// the link alone and that for all, the latter is taken: the router's programs have one device for all links.
fn configuration(own: u8, other: u8, subnet: u8) -> String {
    let neighbors = [format!("10.0.2.{other}"), format!("fd00:2::{other}")];
    let sessions: String = neighbors
        .iter()
        .map(|neighbor| {
            format!(
                " neighbor {neighbor} remote-as 6500{other}\n neighbor {neighbor} timers connect 1\n \
                 neighbor {neighbor} advertisement-interval 0\n"
            )
        })
        .collect();
    let [_, neighbor6] = neighbors;
    format!(
        "route-map global permit 10\n set ipv6 next-hop prefer-global\n!\n\
         router bgp 6500{own}\n bgp router-id 10.0.2.{own}\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         timers bgp 1 3\n{sessions} no neighbor {neighbor6} activate\n \
         address-family ipv4 unicast\n  network 10.0.{subnet}.0/24\n exit-address-family\n \
         address-family ipv6 unicast\n  neighbor {neighbor6} activate\n  neighbor {neighbor6} route-map global in\n  \
         network fd00:{subnet}::/64\n exit-address-family\n!\n"
    )
}

/// The router learns, forwards, forgets when the neighbor does, and learns again.
fn what_bgpd_learns_forwards(router: Router) {
    if !lab::labs_can_run() || !Frr::can_run() {
        return;
    }
    let (plan, router) = router.settle(two_systems(), "r1");
    // The last section is [host].
    let router = router.configured("follow-kernel-routes = true\n");
    let lab = Lab::build(&plan).unwrap();
    let _neighbor = KERNEL.start(&lab, "n", &["n0", "n1"]).unwrap();
    let running = router.start(&lab, "r1", &["r0", "r1"]).unwrap();
    // For IPv6 bgpd wants an address of the link alone at whatever device it speaks by.
    if lab.at("r1").ip("link show dev rtr0").is_ok() {
        lab.at("r1").ip("address add fe80::1/64 dev rtr0 nodad").unwrap();
    }
    let neighbor = Frr::start_configured(&lab, "n", Protocol::Bgp, &configuration(2, 1, 3)).unwrap();
    let _own = Frr::start_configured(&lab, "r1", Protocol::Bgp, &configuration(1, 2, 1)).unwrap();
    reached(&lab, &running);
    drop(neighbor);
    lost(&lab);
    let _again = Frr::start_configured(&lab, "n", Protocol::Bgp, &configuration(2, 1, 3)).unwrap();
    reached(&lab, &running);
}

fn reached(lab: &Lab, running: &Running<'_>) {
    for host in ["10.0.3.2", "fd00:3::2"] {
        let all = wait_until(&format!("answers from {host}"), CONVERGENCE, || {
            (ping(lab, "h1", host, 10).unwrap() == 10).then_some(())
        });
        all.unwrap_or_else(|error| {
            let routes = lab.run("r1", "ip route show table all", SECONDS_20).unwrap().output;
            panic!("{error}\n{routes}\n{}", running.tell("show routes").unwrap_or_default())
        });
    }
}

fn lost(lab: &Lab) {
    let no_route =
        || lab.run("h1", "ping -n -c 1 -W 1 10.0.3.2", SECONDS_20).unwrap().output.contains("Unreachable");
    wait_until("the route to go", CONVERGENCE, || no_route().then_some(())).unwrap();
}

#[test]
fn bgpd_of_the_kernel_forwards_what_it_learns() {
    what_bgpd_learns_forwards(KERNEL);
}

#[test]
fn bgpd_behind_the_device_of_an_own_host_forwards_what_it_learns() {
    what_bgpd_learns_forwards(Router::routerd(&[]).unwrap().owned("tun"));
}
