//! Gateways that fail over: pairs of keepalived on either side of routerd, under streams in both families.

use serde_json::Value;
use testbed::lab::{self, Lab, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::SECONDS_20;
use testbed::scenario::steady::{Download, Ends};
use testbed::scenario::tap::Tap;
use testbed::scenario::vrrp::{BETWEEN_PAIRS_PORTS, CLIENT, Keepalived, Pair, SERVER, between_pairs};

use crate::ground::{asked, flow};

/// Where packets towards the client (down) and the server (up) leave routerd: its ports' far ends.
fn tap(lab: &Lab, pair: Pair, family: usize) -> Tap {
    let (device, towards) = match pair {
        Pair::Down => ("r1-s1", CLIENT[family]),
        Pair::Up => ("r1-s2", SERVER[family]),
    };
    Tap::start(lab.at("sw"), device, towards.parse().unwrap()).unwrap()
}

/// The MAC that routerd has for a gateway.
fn mac(routerd: &Running<'_>, pair: Pair, family: usize) -> String {
    let neighbors = routerd.ask("show neighbors").unwrap();
    let gateway = &pair.gateways()[family];
    let row = neighbors
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["address"] == gateway.as_str() && row["port"] == pair.port());
    row.map_or_else(String::new, |row| row["mac"].as_str().unwrap_or_default().to_owned())
}

/// A member's MAC on the segment of the router in the middle.
fn own_mac(lab: &Lab, pair: Pair, place: usize) -> String {
    let device = if pair == Pair::Down { "s1" } else { "s2" };
    let name = pair.members()[place];
    let said = lab.run(name, &format!("ip -json link show {device}"), SECONDS_5).unwrap().ok().unwrap();
    serde_json::from_str::<Value>(&said).unwrap()[0]["address"].as_str().unwrap().to_owned()
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Both pairs lose their masters, one after the other, and get them back.
fn gateways_fail_over(virtual_mac: bool) {
    if !lab::labs_can_run() || !Keepalived::can_run() {
        return;
    }
    let lab = Lab::build(&between_pairs()).unwrap();
    let routerd = Router::routerd(&[]).unwrap().start(&lab, "r1", &BETWEEN_PAIRS_PORTS).unwrap();
    let mut pairs = [Pair::Down, Pair::Up].map(|pair| Keepalived::start(&lab, pair, virtual_mac).unwrap());
    let downloads = [0, 1].map(|family| {
        let ends = Ends {
            server: lab.at("s"),
            at: SERVER[family].parse().unwrap(),
            client: lab.at("c"),
            from: CLIENT[family].parse().unwrap(),
        };
        Download::start(&ends).unwrap()
    });
    for download in &downloads {
        download.goes_on(100_000).unwrap();
    }
    let kept = downloads.each_ref().map(|download| asked(&flow(&routerd, download)));
    for (pair, keepalived) in [Pair::Down, Pair::Up].into_iter().zip(&mut pairs) {
        let taps = [0, 1].map(|family| tap(&lab, pair, family));
        let mut history = [0, 1].map(|family| vec![mac(&routerd, pair, family)]);
        for (tap, download) in taps.iter().zip(&downloads) {
            download.goes_on(20_000).unwrap();
            assert!(tap.count() > 0);
        }
        // Away from the first member and back to it, when that is there again.
        for (place, plugged, time) in [(1, false, 1), (0, true, 2)] {
            let before = [0, 1].map(|family| mac(&routerd, pair, family));
            keepalived.plug(&lab, 0, plugged).unwrap();
            keepalived.wait_master(place, time).unwrap();
            for family in [0, 1] {
                let expected = if virtual_mac { before[family].clone() } else { own_mac(&lab, pair, place) };
                wait_until("the gateway's MAC", SECONDS_20, || {
                    (mac(&routerd, pair, family) == expected).then_some(())
                })
                .unwrap_or_else(|error| {
                    panic!(
                        "{error}: {expected}, at first {before:?}\n{}",
                        routerd.tell("show neighbors").unwrap()
                    )
                });
                assert_eq!(before[family] == expected, virtual_mac, "the MAC was to change, or to stay");
                // A stream was away for half a second or so; then its packets all go to that MAC.
                downloads[family].goes_on(100_000).unwrap();
                history[family].push(expected);
                went_to(&taps[family], &history[family]);
            }
        }
    }
    for (download, kept) in downloads.into_iter().zip(kept) {
        let row = flow(&routerd, &download);
        assert_eq!(asked(&row), kept, "the flow was touched: {row}");
        download.finish().unwrap();
    }
    routerd.stop().unwrap();
}

/// Packets have gone to these MACs, one after the other: since the first has gone to the next, none went to the one
/// before.
fn went_to(tap: &Tap, macs: &[String]) {
    let mut seen: Vec<String> = tap.arrivals().iter().map(|arrival| text(arrival.to)).collect();
    seen.dedup();
    let mut macs = macs.to_vec();
    macs.dedup();
    assert_eq!(seen, macs);
}

#[test]
fn flows_follow_a_gateway_that_fails_over_and_none_is_touched() {
    gateways_fail_over(false);
}

#[test]
fn flows_do_not_notice_a_gateway_that_takes_its_mac_along() {
    gateways_fail_over(true);
}
