//! Gateways on either side fail over in the middle of downloads, encrypted ones and others, and none breaks.

use testbed::lab::{self, Lab};
use testbed::scenario::cable::{ADDRESSES, BOXES, CHOSEN_PORT, cables};
use testbed::scenario::steady::{Download, Ends};
use testbed::scenario::vpn::{Kind, OpenVpn};
use testbed::scenario::vrrp::{CLIENT, Keepalived, Pair, SERVER};

use crate::ground::{boxes, world};

fn gateways_fail_over(virtual_mac: bool) {
    if !lab::labs_can_run() || !Keepalived::can_run() || !OpenVpn::can_run() {
        return;
    }
    let lab = Lab::build(&cables(Kind::Tun)).unwrap();
    let _world = world(&lab);
    let mut pairs = [Pair::Down, Pair::Up].map(|pair| Keepalived::start(&lab, pair, virtual_mac).unwrap());
    let _boxes = boxes(&lab);
    let _openvpn = OpenVpn::start(&lab, BOXES, ADDRESSES[1], Kind::Tun).unwrap();
    let ends = [0, 1].map(|family| Ends {
        server: lab.at("s"),
        at: SERVER[family].parse().unwrap(),
        client: lab.at("c"),
        from: CLIENT[family].parse().unwrap(),
    });
    let downloads =
        [CHOSEN_PORT, 0].map(|port| ends.each_ref().map(|ends| Download::start_at(ends, port).unwrap()));
    let all_go_on = || downloads.iter().flatten().for_each(|download| download.goes_on(100_000).unwrap());
    all_go_on();
    for keepalived in &mut pairs {
        for (place, plugged, time) in [(1, false, 1), (0, true, 2)] {
            keepalived.plug(&lab, 0, plugged).unwrap();
            keepalived.wait_master(place, time).unwrap();
            all_go_on();
        }
    }
    for download in downloads.into_iter().flatten() {
        download.finish().unwrap();
    }
}

#[test]
fn no_connection_is_lost_when_gateways_answer_with_their_own_addresses() {
    gateways_fail_over(false);
}

#[test]
fn no_connection_is_lost_when_gateways_take_their_address_along() {
    gateways_fail_over(true);
}
