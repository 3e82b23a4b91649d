//! A pair of gateways fails over in mid-download, while routing knows of neither.

use serde_json::Value;
use testbed::lab::{self, Lab, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::SECONDS_20;
use testbed::scenario::steady::{Download, Ends};
use testbed::scenario::tap::Tap;
use testbed::scenario::vrrp::{BETWEEN_PAIRS_PORTS, CLIENT, Keepalived, Pair, SERVER, between_pairs};

/// A gateway that nobody is: by its route no reply would get anywhere.
const NOBODY: [&str; 2] = ["10.0.2.99", "fd00:2::99"];

/// What the pair has in common on the router's segment.
const SHARED: [&str; 3] = ["10.0.2.254", "fe80::254", "fd00:2::254"];

/// The last hop of a download's flow, as `show last-hops` has it.
fn last_hop(routerd: &Running<'_>, download: &Download) -> Value {
    let flows = routerd.ask(&format!("show flows -p tcp --sport {}", download.client_port())).unwrap();
    assert_eq!(flows.as_array().map(Vec::len), Some(1), "{flows}");
    assert_eq!(flows[0]["reply"]["route"]["source"], "last-hop", "{flows}");
    flows[0]["last_hop"].clone()
}

/// A member's own MAC on the router's segment.
fn own_mac(lab: &Lab, place: usize) -> String {
    let name = Pair::Up.members()[place];
    let said = lab.run(name, "ip -json link show s2", SECONDS_5).unwrap().ok().unwrap();
    serde_json::from_str::<Value>(&said).unwrap()[0]["address"].as_str().unwrap().to_owned()
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Clients behind the pair download from a server on the other side of the router; the pair loses its master and gets it
/// back.
fn the_pair_fails_over(virtual_mac: bool) {
    if !lab::labs_can_run() || !Keepalived::can_run() {
        return;
    }
    let lab = Lab::build(&between_pairs()).unwrap();
    for (prefix, via) in ["10.0.20.0/24", "fd00:20::/64"].into_iter().zip(NOBODY) {
        lab.at("r1").ip(&format!("route replace {prefix} via {via} dev r1")).unwrap();
    }
    let config = "[last-hop]\nports = [\"r1\"]\n";
    let routerd = Router::routerd(&[]).unwrap().configured(config);
    let routerd = routerd.start(&lab, "r1", &BETWEEN_PAIRS_PORTS).unwrap();
    let _down = Keepalived::start(&lab, Pair::Down, false).unwrap();
    let mut pair = Keepalived::start(&lab, Pair::Up, virtual_mac).unwrap();
    let downloads = [0, 1].map(|family| {
        let ends = Ends {
            server: lab.at("c"),
            at: CLIENT[family].parse().unwrap(),
            client: lab.at("s"),
            from: SERVER[family].parse().unwrap(),
        };
        Download::start(&ends).unwrap()
    });
    let taps =
        [0, 1].map(|family| Tap::start(lab.at("sw"), "r1-s2", SERVER[family].parse().unwrap()).unwrap());
    for download in &downloads {
        download.goes_on(100_000).unwrap();
        let hop = last_hop(&routerd, download);
        let neighbor = hop["neighbor"].as_str().unwrap_or_default();
        assert!(SHARED.contains(&neighbor), "it stands for what the pair has in common: {hop}");
    }
    for (place, plugged, time) in [(1, false, 1), (0, true, 2)] {
        pair.plug(&lab, 0, plugged).unwrap();
        pair.wait_master(place, time).unwrap();
        for (download, tap) in downloads.iter().zip(&taps) {
            download.goes_on(200_000).unwrap_or_else(|error| {
                let told = ["show last-hops", "show neighbors", "show flows -p tcp"]
                    .map(|line| routerd.tell(line).unwrap_or_default());
                let seen = tap.last().map(|arrival| text(arrival.to));
                panic!("{error}: at last to {seen:?}\n{}", told.join("\n"))
            });
            let expected = |mac: &str| match virtual_mac {
                // Its own until it has said what it is in charge of.
                true => mac.starts_with("00:00:5e:00:0"),
                false => mac == own_mac(&lab, place),
            };
            wait_until("replies to go to the new master", SECONDS_20, || {
                expected(&text(tap.last()?.to)).then_some(())
            })
            .unwrap_or_else(|error| {
                let seen = tap.last().map(|arrival| text(arrival.to));
                panic!("{error}: {seen:?}, {}", routerd.tell("show last-hops").unwrap())
            });
        }
    }
    for download in downloads {
        assert_eq!(last_hop(&routerd, &download)["port"], "r1");
        download.finish().unwrap();
    }
    routerd.stop().unwrap();
}

#[test]
fn flows_follow_gateways_that_answer_with_their_own_macs() {
    the_pair_fails_over(false);
}

#[test]
fn flows_follow_gateways_that_have_a_mac_in_common() {
    the_pair_fails_over(true);
}
