//! What is chosen is encrypted all the way between the boxes, and arrives.

use std::sync::Arc;

use testbed::lab::{self, Lab};
use testbed::scenario::cable::{ADDRESSES, BOXES, CHOSEN_PORT, bridged, cables};
use testbed::scenario::capture::{Capture, Way, holds};
use testbed::scenario::clients::Download;
use testbed::scenario::server::{PORT, Server};
use testbed::scenario::vpn::{self, Kind, OpenVpn};
use testbed::scenario::vrrp::{CLIENT, Keepalived, Pair, SERVER};

use crate::ground::{boxes, of_box, world};
use crate::untouched::all_sorts_pass;

/// What every page is full of: whoever sees it on a wire can read.
const PLAIN: &[u8] = b"anybody can read this; ";

/// What was seen between the gateways while pages were fetched.
struct OnTheWay {
    /// Frames with readable pages.
    readable: usize,
    /// Frames from or to the port of what is chosen.
    chosen: usize,
    /// Frames between the boxes, to OpenVPN's port.
    tunnel: usize,
}

/// Fetches pages of both families from either host, by the port that is chosen and by another one, each whole.
fn fetch(lab: &Lab, port: u16) -> OnTheWay {
    let pages = Arc::new(PLAIN.repeat(100_000));
    let capture = Capture::start(lab, "r1", "r0", Way::Both, "").unwrap();
    for (server, client, addresses) in [("s", "c", SERVER), ("c", "s", CLIENT)] {
        let _server = Server::start_at(lab.at(server), port, Arc::clone(&pages)).unwrap();
        for address in addresses {
            let fetched = Download::start_at(lab, client, (address, port), "1G").unwrap().finish().unwrap();
            assert!(fetched == *pages, "{client} from {address}: {} of {} bytes", fetched.len(), pages.len());
        }
    }
    let frames = capture.finish().unwrap();
    let count = |wanted: &dyn Fn(&[u8]) -> bool| frames.iter().filter(|frame| wanted(frame)).count();
    OnTheWay {
        readable: count(&|frame| holds(frame, PLAIN)),
        chosen: count(&|frame| is_of_port(frame, CHOSEN_PORT)),
        tunnel: count(&is_tunnel),
    }
}

/// Whether a frame is TCP, of either family, from or to this port.
fn is_of_port(frame: &[u8], port: u16) -> bool {
    let (protocol, transport) = match frame[12..14] {
        [0x08, 0x00] => (frame[23], 34),
        [0x86, 0xdd] => (frame[20], 54),
        _ => return false,
    };
    let port = port.to_be_bytes();
    protocol == 6
        && frame.get(transport..transport + 4).is_some_and(|ports| ports[..2] == port || ports[2..] == port)
}

/// Whether a frame is OpenVPN's, between the two boxes.
fn is_tunnel(frame: &[u8]) -> bool {
    let addresses = ADDRESSES.map(|address| address.parse::<std::net::Ipv4Addr>().unwrap().octets());
    let [one, other] = addresses;
    let pair = frame.get(26..34);
    frame[12..14] == [8, 0]
        && (pair == Some(&[one, other].concat()) || pair == Some(&[other, one].concat()))
        && frame[23] == 17
        && frame[36..38] == vpn::PORT.to_be_bytes()
}

#[test]
fn through_the_kernels_bridges_everything_can_be_read() {
    if !lab::labs_can_run() || !Keepalived::can_run() {
        return;
    }
    let lab = Lab::build(&bridged(cables(Kind::Tun))).unwrap();
    let _world = world(&lab);
    let _pairs = [Pair::Down, Pair::Up].map(|pair| Keepalived::start(&lab, pair, false).unwrap());
    let seen = fetch(&lab, CHOSEN_PORT);
    assert!(seen.readable > 100 && seen.chosen > 100 && seen.tunnel == 0);
}

#[test]
fn what_is_chosen_is_encrypted_and_the_rest_untouched() {
    if !lab::labs_can_run() || !Keepalived::can_run() || !OpenVpn::can_run() {
        return;
    }
    let lab = Lab::build(&cables(Kind::Tun)).unwrap();
    let _world = world(&lab);
    let _pairs = [Pair::Down, Pair::Up].map(|pair| Keepalived::start(&lab, pair, false).unwrap());
    let _boxes = boxes(&lab);
    let _openvpn = OpenVpn::start(&lab, BOXES, ADDRESSES[1], Kind::Tun).unwrap();

    let seen = fetch(&lab, CHOSEN_PORT);
    assert_eq!((seen.readable, seen.chosen), (0, 0), "what is chosen is seen between the boxes");
    assert!(seen.tunnel > 100, "{} frames went through the tunnel", seen.tunnel);
    let seen = fetch(&lab, PORT);
    assert!(seen.readable > 100, "what is not chosen can be read");

    all_sorts_pass(&lab, |host| of_box(&lab, host), true);
}
