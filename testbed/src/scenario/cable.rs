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

/// What the boxes choose to encrypt: connections to web servers between the two networks.
pub const CHOSEN_PORT: u16 = 80;

/// `routerd.toml` of a box: it bridges its two ports, has an address in its host's network and no route.
pub fn configuration(place: usize) -> String {
    let subnet = [10, 20][place];
    format!(
        "[host]\naddresses = [\"{}/24 dev br0\", \"fd00:{subnet}::5/64 dev br0\"]\n\n\
         [[bridge]]\nname = \"br0\"\nports = [\"in\", \"out\"]\nlink-local = \"pass\"\n\
         pull-up = [{{ mark = \"0x1\", port = \"{DEVICE}\" }}, {{ mark = \"0x2\" }}]\n\n\
         [last-hop]\noriginal-mark = \"0x1\"\nreply-mark = \"0x2\"\n",
        ADDRESSES[place]
    )
}

/// The rules of either box: what is pulled out of the cable, and which way what comes out of the tunnel belongs.
pub const RULES: &str = r#"
table bridge cable {
    chain prerouting {
        type filter hook prerouting priority filter;
        iifname != "in" accept
        ip daddr { 10.0.10.0/24, 10.0.20.0/24 } tcp dport 80 meta mark set 0x1
        ip daddr { 10.0.10.0/24, 10.0.20.0/24 } tcp sport 80 meta mark set 0x2
        ip6 daddr { fd00:10::/64, fd00:20::/64 } tcp dport 80 meta mark set 0x1
        ip6 daddr { fd00:10::/64, fd00:20::/64 } tcp sport 80 meta mark set 0x2
    }
}
table inet cable {
    chain prerouting {
        type filter hook prerouting priority mangle;
        iifname "ovpn0" ct direction original meta mark set 0x1
        iifname "ovpn0" ct direction reply meta mark set 0x2
        iifname "br0" udp dport 1194 ct direction original meta mark set 0x1
    }
    chain output {
        type filter hook output priority mangle;
        udp dport 1194 ct direction original meta mark set 0x1
        udp dport 1194 ct direction reply meta mark set 0x2
    }
}
"#;
