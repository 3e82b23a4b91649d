//! OpenVPN's own device as a port of routerd between two networks, in a host of the kernel's: packets pass into the tunnel
//! and out of it with default offloads.

use std::sync::Arc;

use testbed::lab::{self, Lab, Plan, Role};
use testbed::router::Router;
use testbed::scenario::clients::{Download, ping, traceroute};
use testbed::scenario::server::{Server, content};
use testbed::scenario::vpn::{DEVICE, Kind, OpenVpn};

/// `h1 .2 ── 10.0.1.0/24 ── .1 r1 ── 192.0.2.0/24 ── r2 .1 ── 10.0.2.0/24 ── .2 h2`, IPv6 in `fd00:N::/64`; between the
/// routers the hosts' packets go by OpenVPN alone.
fn two_networks(kind: Kind) -> Plan {
    let plan = Plan::new()
        .station("h1", Role::Host)
        .station("r1", Role::Router)
        .station("r2", Role::Router)
        .station("h2", Role::Host)
        .link("h1:eth0 10.0.1.2/24 fd00:1::2/64", "r1:lan 10.0.1.1/24 fd00:1::1/64")
        .link("r1:wan 192.0.2.1/24", "r2:wan 192.0.2.2/24")
        .link("h2:eth0 10.0.2.2/24 fd00:2::2/64", "r2:lan 10.0.2.1/24 fd00:2::1/64");
    (1..=2).fold(plan, |plan, own| {
        let (host, router, other) = (format!("h{own}"), format!("r{own}"), 3 - own);
        let lines = [
            kind.device_line(),
            format!("link set {DEVICE} up"),
            format!("address add 10.0.9.{own}/24 dev {DEVICE}"),
            format!("address add fd00:9::{own}/64 dev {DEVICE} nodad"),
            format!("route add 10.0.{other}.0/24 via 10.0.9.{other}"),
            format!("route add fd00:{other}::/64 via fd00:9::{other}"),
        ];
        lines
            .iter()
            .fold(plan, |plan, line| plan.ip(&router, line))
            .ip(&host, &format!("route add default via 10.0.{own}.1"))
            .ip(&host, &format!("route add default via fd00:{own}::1"))
    })
}

fn networks_meet_through_the_tunnel(kind: Kind) {
    if !lab::labs_can_run() || !OpenVpn::can_run() {
        return;
    }
    let lab = Lab::build(&two_networks(kind)).unwrap();
    let mut openvpn = OpenVpn::start(&lab, ["r1", "r2"], "192.0.2.2", kind).unwrap();
    openvpn.wait().unwrap();
    let pages = Arc::new(content(10 << 20));
    let _server = Server::start(lab.at("h2"), Arc::clone(&pages)).unwrap();
    let seen = [Router::Kernel { tracking: false }, Router::routerd(&[]).unwrap()].map(|router| {
        let routers = ["r1", "r2"].map(|station| router.start(&lab, station, &["lan", DEVICE]).unwrap());
        for address in ["10.0.2.2", "fd00:2::2"] {
            assert_eq!(ping(&lab, "h1", address, 5).unwrap(), 5, "{address} with {}", router.name());
            assert_eq!(ping(&lab, "h1", &format!("-s 9000 {address}"), 3).unwrap(), 3, "{address}");
            let fetched = Download::start(&lab, "h1", address, "1G").unwrap().finish().unwrap();
            assert!(fetched == *pages, "{address} with {}", router.name());
        }
        let traces =
            ["10.0.2.2", "fd00:2::2"].map(|address| traceroute(&lab, "h1", address, "-q 1").unwrap());
        routers.into_iter().for_each(|running| running.stop().unwrap());
        traces
    });
    assert_eq!(seen[0], seen[1], "the kernel's way and routerd's");
}

#[test]
fn packets_pass_a_tunnel_of_packets() {
    networks_meet_through_the_tunnel(Kind::Tun);
}

#[test]
fn packets_pass_a_tunnel_of_frames() {
    networks_meet_through_the_tunnel(Kind::Tap);
}
