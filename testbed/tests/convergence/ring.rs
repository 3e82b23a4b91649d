//! FRR converges under running flows: those over the cut link go round, the others notice nothing.

use testbed::lab::{self, Lab, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::frr::{CONVERGENCE, Frr, Protocol, RING, RING_PORTS, learned_next_hop, ring};
use testbed::scenario::steady::{Download, Ends};

use crate::ground::{asked, flow};

/// A download of `ha` from the host behind another router.
fn from_behind(lab: &Lab, router: u8, family: &str) -> Download {
    let address = |host: u8| {
        let text = if family == "ipv4" { format!("10.2.{host}.2") } else { format!("fd02:{host}::2") };
        text.parse().unwrap()
    };
    let server = lab.at(["ha", "hb", "hc"][usize::from(router) - 1]);
    Download::start(&Ends { server, at: address(router), client: lab.at("ha"), from: address(1) }).unwrap()
}

/// Waits until `a` has learned the way to the network behind `b` with a next hop that `right` accepts.
fn learned(lab: &Lab, prefix: &str, protocol: Protocol, right: impl Fn(&str) -> bool) {
    let learned = || learned_next_hop(lab, "a", prefix, protocol).unwrap();
    let found = wait_until(prefix, CONVERGENCE, || learned().filter(|via| right(via)));
    found.unwrap_or_else(|error| panic!("{error}; the next hop is {:?}", learned()));
}

/// Waits until the flow leaves `a` towards its server by that port.
fn leaves_by(routerd: &Running<'_>, download: &Download, port: &str) {
    wait_until(&format!("the flow by {port}"), CONVERGENCE, || {
        (flow(routerd, download)["original"]["route"]["port"] == port).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", flow(routerd, download)));
    download.goes_on(50_000).unwrap();
}

fn a_cut_is_felt_only_by_flows_over_it(protocol: Protocol) {
    if !lab::labs_can_run() || !Frr::can_run() {
        return;
    }
    let lab = Lab::build(&ring()).unwrap();
    let router = Router::routerd(&[]).unwrap();
    let routers = RING.map(|station| router.start(&lab, station, &RING_PORTS).unwrap());
    let daemons = [0, 1, 2].map(|place| Frr::start(&lab, place, protocol).unwrap());
    let families: &[&str] = if protocol == Protocol::Bgp { &["ipv4", "ipv6"] } else { &["ipv4"] };
    let prefixes = ["10.2.2.0/24", "10.2.3.0/24", "fd02:2::/64", "fd02:3::/64"];
    for prefix in &prefixes[..2 * families.len()] {
        learned(&lab, prefix, protocol, |_| true);
    }
    learned(&lab, "10.2.2.0/24", protocol, |via| via == "10.3.1.2");
    // The way back is learned by other routers, at a time of their own.
    let start = |router| {
        families
            .iter()
            .map(|family| {
                let answers = || {
                    let host = if *family == "ipv4" {
                        format!("10.2.{router}.2")
                    } else {
                        format!("fd02:{router}::2")
                    };
                    (testbed::scenario::clients::ping(&lab, "ha", &host, 3).unwrap() == 3).then_some(())
                };
                wait_until("answers", CONVERGENCE, answers).unwrap();
                from_behind(&lab, router, family)
            })
            .collect::<Vec<_>>()
    };
    let (over, beside) = (start(2), start(3));
    let a = &routers[0];
    for download in &over {
        leaves_by(a, download, "next");
    }
    for download in &beside {
        leaves_by(a, download, "before");
    }
    let before: Vec<_> = beside.iter().map(|download| asked(&flow(a, download))).collect();

    lab.at("a").ip("link set next down").unwrap();
    for download in &over {
        leaves_by(a, download, "before");
    }
    lab.at("a").ip("link set next up").unwrap();
    lab.at("a").ip("address replace fd03:1::1/64 dev next nodad").unwrap();
    for download in &over {
        leaves_by(a, download, "next");
    }
    for (download, before) in beside.iter().zip(before) {
        download.goes_on(50_000).unwrap();
        let row = flow(a, download);
        assert_eq!(asked(&row), before, "a flow beside the cut was looked up for: {row}");
    }
    for download in over.into_iter().chain(beside) {
        download.finish().unwrap();
    }
    drop((daemons, routers));
}

#[test]
fn a_cut_that_ospf_heals_is_felt_only_by_flows_over_it() {
    a_cut_is_felt_only_by_flows_over_it(Protocol::Ospf);
}

#[test]
fn a_cut_that_bgp_heals_is_felt_only_by_flows_over_it() {
    a_cut_is_felt_only_by_flows_over_it(Protocol::Bgp);
}
