//! The life of one neighbor under a stream: who may change its MAC, what confirms it, how it fails and comes back.

use std::net::{Ipv4Addr, Ipv6Addr};

use testbed::frames::{Checksum, ETHERTYPE_ARP, ETHERTYPE_IPV6, Icmp, Link, Mac, Payload, V6, arp};
use testbed::lab::{Lab, SECONDS_5, wait_until};
use testbed::router::Running;
use testbed::scenario::clients::SECONDS_20;
use testbed::wire::{Frame, Wire};

use crate::ground::{FAMILIES, Family, answers_go_the_second_way, asked, download, flow, taps, with_routerd};

/// The MAC of `eth0` of `h2`, where the first way leads.
const TRUE: Mac = [2, 0, 0, 0, 2, 1];
/// One that nobody has.
const NOBODYS: Mac = [2, 0, 0, 0, 0x99, 1];
/// Neighbors on the same link that are not there, of either family.
const OTHERS: [&str; 2] = ["10.0.2.77", "fd00:2::77"];

fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Says to all on the first way, in the name of `h2`, that an address is to be found at `mac`: gratuitous ARP (RFC 5227
/// section 3), or an unsolicited neighbor advertisement that overrides (RFC 4861 section 7.2.6).
fn announce(lab: &Lab, address: &str, mac: Mac) {
    let wire = Wire::open(lab.at("h2"), "eth0").unwrap();
    let frame = match address.parse::<Ipv4Addr>() {
        Ok(address) => {
            let link = Link { destination: [0xff; 6], source: mac, tags: Vec::new(), trailer: Vec::new() };
            link.around(ETHERTYPE_ARP, &arp(2, (mac, address), (mac, address)))
        }
        Err(_) => {
            let address: Ipv6Addr = address.parse().unwrap();
            let target_link_address = [[2, 1].as_slice(), &mac].concat();
            let packet = V6 {
                version: 6,
                traffic_class: 0,
                flow_label: 0,
                payload_length: None,
                next_header: None,
                hop_limit: 255,
                source: address,
                destination: "ff02::1".parse().unwrap(),
                extensions: Vec::new(),
                payload: Payload::Icmp(Icmp {
                    kind: 136,
                    code: 0,
                    checksum: Checksum::Right,
                    rest: [0x20, 0, 0, 0],
                    data: [address.octets().as_slice(), &target_link_address].concat(),
                }),
            };
            let all_nodes = [0x33, 0x33, 0, 0, 0, 1];
            let link = Link { destination: all_nodes, source: mac, tags: Vec::new(), trailer: Vec::new() };
            link.around(ETHERTYPE_IPV6, &packet.bytes())
        }
    };
    wire.send(&Frame::from(frame)).unwrap();
}

/// The row of a neighbor on the first way.
fn neighbor(routerd: &Running<'_>, address: &str) -> serde_json::Value {
    let rows = routerd.ask("show neighbors").unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["address"] == address && row["port"] == "r1");
    row.cloned().unwrap_or_default()
}

/// Waits until routerd has this MAC for a neighbor, or, when there is none to be had, no confidence in any.
fn known(routerd: &Running<'_>, address: &str, what: &str, right: impl Fn(&serde_json::Value) -> bool) {
    wait_until(what, SECONDS_20, || right(&neighbor(routerd, address)).then_some(()))
        .unwrap_or_else(|error| panic!("{error}\n{}", routerd.tell("show neighbors").unwrap()));
}

/// Lets neighbors of the first way be doubted, and asked after, within seconds.
fn doubt_quickly(lab: &Lab) {
    for family in ["ipv4", "ipv6"] {
        for (key, value) in
            [("base_reachable_time_ms", "500"), ("delay_first_probe_time", "1"), ("retrans_time_ms", "100")]
        {
            lab.at("r1").sysctl(&format!("{family}/neigh/r1/{key}"), value).unwrap();
        }
    }
}

#[test]
fn a_stream_follows_gratuitous_announcements_and_a_static_neighbor_does_not() {
    with_routerd("", |lab, routerd| {
        answers_go_the_second_way(lab);
        for (family, other) in FAMILIES.iter().zip(OTHERS) {
            let tap = &taps(lab, family)[0];
            let goes_to = |mac: Mac| {
                let now = std::time::SystemTime::now();
                wait_until(&format!("packets to {}", text(mac)), SECONDS_5, || {
                    tap.last().is_some_and(|last| last.at > now && last.to == mac).then_some(())
                })
                .unwrap();
            };
            let astray = || tap.arrivals().iter().filter(|arrival| arrival.to == NOBODYS).count();
            let download = download(lab, family);
            download.goes_on(20_000).unwrap();
            let kept = asked(&flow(routerd, &download));
            let has = |address: &str, mac: Mac| {
                known(routerd, address, &text(mac), |row| row["mac"] == text(mac).as_str());
            };
            // The kernel believes no second announcement within a second unless it is gratuitous.
            announce(lab, family.via[0], NOBODYS);
            has(family.via[0], NOBODYS);
            goes_to(NOBODYS);
            announce(lab, family.via[0], TRUE);
            has(family.via[0], TRUE);
            goes_to(TRUE);
            download.goes_on(20_000).unwrap();
            let went_astray = astray();

            let r1 = lab.at("r1");
            let neighbor = |address: &str, mac: Mac, state: &str| {
                r1.ip(&format!("neighbor replace {address} dev r1 lladdr {} nud {state}", text(mac)))
                    .unwrap();
            };
            neighbor(family.via[0], TRUE, "permanent");
            known(routerd, family.via[0], "a static neighbor", |row| row["state"] == "PERMANENT");
            neighbor(other, TRUE, "stale");
            has(other, TRUE);
            announce(lab, family.via[0], NOBODYS);
            // What comes after it has been heard, so it was too.
            announce(lab, other, NOBODYS);
            has(other, NOBODYS);
            has(family.via[0], TRUE);
            download.goes_on(20_000).unwrap();
            goes_to(TRUE);
            assert_eq!(astray(), went_astray, "a static neighbor was overwritten");
            let row = flow(routerd, &download);
            assert_eq!(asked(&row), kept, "the flow was touched: {row}");
            download.finish().unwrap();
        }
    });
}

/// After an announcement that is a lie, packets from the true neighbor go on coming; only an answer from the announced
/// MAC could confirm it, and none comes. So the neighbor is asked for, and the truth found.
#[test]
fn a_neighbor_is_not_confirmed_by_what_comes_from_another_mac() {
    with_routerd("", |lab, routerd| {
        for family in &FAMILIES {
            // Both directions use the first way: acknowledgements come from the true neighbor.
            let download = download(lab, family);
            download.goes_on(20_000).unwrap();
            let kept = asked(&flow(routerd, &download)).map(|(_, renewals)| renewals);
            doubt_quickly(lab);
            announce(lab, family.via[0], NOBODYS);
            known(routerd, family.via[0], "the lie", |row| row["mac"] == text(NOBODYS).as_str());
            known(routerd, family.via[0], "the truth", |row| row["mac"] == text(TRUE).as_str());
            download.goes_on(20_000).unwrap();
            let row = flow(routerd, &download);
            assert_eq!(asked(&row).map(|(_, renewals)| renewals), kept, "{row}");
            download.finish().unwrap();
        }
    });
}

#[test]
fn a_stream_outlives_a_neighbor_that_fails_and_comes_back() {
    with_routerd("", |lab, routerd| {
        answers_go_the_second_way(lab);
        doubt_quickly(lab);
        for family in &FAMILIES {
            let length = if family.option.is_empty() { 24 } else { 64 };
            let address = format!("{}/{length} dev eth0", family.via[0]);
            let download = download(lab, family);
            download.goes_on(20_000).unwrap();
            let kept = asked(&flow(routerd, &download)).map(|(_, renewals)| renewals);
            // Nobody answers for it any more.
            lab.at("h2").ip(&format!("address del {address}")).unwrap();
            known(routerd, family.via[0], "a failed neighbor", |row| {
                row.is_null() || ["FAILED", "INCOMPLETE"].iter().any(|state| row["state"] == *state)
            });
            lab.at("h2").ip(&format!("address add {address}{}", nodad(family))).unwrap();
            download.goes_on(20_000).unwrap();
            let row = flow(routerd, &download);
            assert_eq!(asked(&row).map(|(_, renewals)| renewals), kept, "{row}");
            download.finish().unwrap();
        }
    });
}

fn nodad(family: &Family) -> &'static str {
    if family.option.is_empty() { "" } else { " nodad" }
}
