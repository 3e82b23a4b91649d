//! Two boxes that nobody has heard of, each put into a cable: between a client and its gateways, and between those of the
//! server and the server.

use crate::lab::{Plan, Role};

use super::vpn::{DEVICE, Kind};
use super::vrrp;

/// The boxes: the client's, the server's.
pub const BOXES: [&str; 2] = ["a", "b"];
/// A box's ports: towards the host, towards the rest of the world.
pub const BOX_PORTS: [&str; 2] = ["in", "out"];
/// The boxes' addresses in their hosts' networks.
pub const ADDRESSES: [&str; 2] = ["10.0.10.5", "10.0.20.5"];
/// Where frames of either host's cable are to be seen beyond its box: a device of the station `sw`.
pub const BEYOND: [&str; 2] = ["c-s10", "s-s20"];

/// [`vrrp::between_pairs`] with a box in the cable of either host, whose devices `in` and `out` have no address, and
/// who has a device of OpenVPN's; `r1` is all the world there is between them:
///
/// ```text
/// c eth0 ── in │ a │ out ── 10.0.10.0/24 ── d1, d2 ── r1 ── u1, u2 ── 10.0.20.0/24 ── out │ b │ in ── eth0 s
/// ```
pub fn cables(kind: Kind) -> Plan {
    let plan = BOXES.into_iter().fold(vrrp::stations(), |plan, name| plan.station(name, Role::Router));
    let plan = plan
        .link(vrrp::CLIENT_END, "a:in")
        .link("a:out", "sw:c-s10")
        .link(vrrp::SERVER_END, "b:in")
        .link("b:out", "sw:s-s20");
    BOXES.into_iter().fold(vrrp::pairs_between_ends(plan), |plan, name| {
        plan.ip(name, &kind.device_line()).ip(name, &format!("link set {DEVICE} up"))
    })
}

/// The same with boxes that are bridges of the kernel's: what any other box in a cable is to be compared with.
pub fn bridged(plan: Plan) -> Plan {
    BOXES.into_iter().fold(plan, |plan, name| {
        let plan = plan.ip(name, "link add br0 type bridge mcast_snooping 0");
        let plan = BOX_PORTS
            .into_iter()
            .fold(plan, |plan, port| plan.ip(name, &format!("link set {port} master br0")));
        plan.ip(name, "link set br0 up")
    })
}
