//! Frames that nobody has chosen pass as through a cable.

use testbed::lab::{self, Lab};
use testbed::scenario::cable::{BEYOND, bridged, cables};
use testbed::scenario::vpn::Kind;
use testbed::scenario::vrrp::{Keepalived, Pair};

use crate::ground::{BothSides, send_all_sorts, world};
use crate::odd;

/// Sends all sorts of frames through the boxes of both hosts and compares what came out with what went in, but for what
/// fits the filter `but` of the host. With `all`, there are frames among them that bridges are not to pass.
pub fn all_sorts_pass(lab: &Lab, but: impl Fn(&str) -> String, all: bool) {
    let frames = odd::frames(all);
    for (host, beyond) in ["c", "s"].into_iter().zip(BEYOND) {
        odd::pass(lab, (host, "eth0"), ("sw", beyond), &frames);
        odd::pass(lab, ("sw", beyond), (host, "eth0"), &frames);
    }
    let sides = ["c", "s"].map(|host| BothSides::start(lab, host, &but(host)));
    send_all_sorts(lab);
    let counts = sides.map(BothSides::alike);
    assert!(counts.as_flattened().iter().all(|count| *count > 100), "{counts:?}");
}

#[test]
fn all_sorts_pass_the_kernels_bridges() {
    if !lab::labs_can_run() || !Keepalived::can_run() {
        return;
    }
    let lab = Lab::build(&bridged(cables(Kind::Tun))).unwrap();
    let _world = world(&lab);
    let _pairs = [Pair::Down, Pair::Up].map(|pair| Keepalived::start(&lab, pair, false).unwrap());
    all_sorts_pass(&lab, |_| String::new(), false);
}
