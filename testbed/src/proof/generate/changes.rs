//! What becomes different on the ground.

use fastrand::Rng;

use super::{Limits, one_in, pick};
use crate::proof::story::{Change, Health, Kind, Way};
use crate::proof::world::{ADDRESS_COUNT, POLICY_COUNT, PREFIX_COUNT};

/// Nexthop objects there may be: of IPv4 first, then of IPv6.
const OBJECTS: [u32; 2] = [1, 2];

/// Anything that may become different.
pub(super) fn any(rng: &mut Rng, limits: Limits) -> Change {
    match rng.u32(0..32) {
        0..6 => route(rng, false),
        6..10 => route(rng, true),
        10..12 if limits.many_ways => group(rng),
        10..12 => object(rng),
        12 | 13 => Change::Policy {
            gone: false,
            ipv6: ipv6(rng),
            kind: rng.usize(..POLICY_COUNT),
            some: one_in(rng, 3),
        },
        14 | 15 => Change::Policy {
            gone: true,
            ipv6: ipv6(rng),
            kind: rng.usize(..POLICY_COUNT),
            some: one_in(rng, 3),
        },
        16..19 => {
            let port = rng.usize(0..4);
            // IPv6 needs 1280 bytes; the kernel takes it off a link with less. Ways among several are alike.
            let mtu = if port < 2 { pick(rng, &[1_500, 1_500, 1_500, 1_500, 1_300, 600]) } else { 1_500 };
            Change::Link { port, admin_up: !one_in(rng, 3), carrier: !one_in(rng, 5), mtu }
        }
        19 if one_in(rng, 3) => Change::Replaced { port: rng.usize(0..4) },
        19..25 => neighbor(rng),
        25..28 => Change::Address { gone: rng.bool(), which: rng.usize(..ADDRESS_COUNT), local: rng.bool() },
        28 => Change::Settings {
            port: rng.usize(0..4),
            reverse_path: rng.u8(0..3),
            redirects: rng.bool(),
            ipv6_disabled: one_in(rng, 10),
        },
        _ => route(rng, false),
    }
}

fn ipv6(rng: &mut Rng) -> bool {
    one_in(rng, 3)
}

fn route(rng: &mut Rng, gone: bool) -> Change {
    let ipv6 = ipv6(rng);
    let kind = match rng.u32(0..12) {
        0 => Kind::Blackhole,
        1 => Kind::Unreachable,
        2 => Kind::Prohibit,
        3 => Kind::Throw,
        _ => Kind::Unicast,
    };
    let port = rng.usize(0..4);
    let way = match rng.u32(0..8) {
        0 | 1 => Way::Link(port),
        2 => Way::Object(OBJECTS[usize::from(ipv6)]),
        _ => Way::Gateway(port, rng.u8(2..4)),
    };
    Change::Route {
        gone,
        ipv6,
        prefix: rng.usize(..PREFIX_COUNT),
        kind,
        table: pick(rng, &[254, 254, 254, 100]),
        tos: pick(rng, &[0, 0, 0, 0, 0, 0, 0x10]),
        metric: pick(rng, &[0, 0, 0, 10]),
        mtu: pick(rng, &[0, 0, 0, 0, 0, 0, 1_300, 620]),
        way,
    }
}

/// Several ways at once; over ports whose MTU stays and to neighbors that stay, so that the ways are alike.
fn group(rng: &mut Rng) -> Change {
    let all = [(2, 2), (2, 3), (3, 2), (3, 3)];
    let mut members: Vec<(usize, u8)> = all.into_iter().filter(|_| rng.bool()).collect();
    if members.is_empty() {
        members.push(pick(rng, &all));
    }
    Change::Group { gone: one_in(rng, 3), ipv6: ipv6(rng), members }
}

fn object(rng: &mut Rng) -> Change {
    let ipv6 = ipv6(rng);
    Change::Object {
        gone: one_in(rng, 4),
        ipv6,
        id: OBJECTS[usize::from(ipv6)],
        port: rng.usize(0..4),
        station: rng.u8(2..4),
        blackhole: one_in(rng, 8),
    }
}

fn neighbor(rng: &mut Rng) -> Change {
    let (port, station) = if one_in(rng, 4) { (2, 200) } else { (rng.usize(0..2), rng.u8(2..4)) };
    let state =
        pick(rng, &[Health::Reachable, Health::Reachable, Health::Reachable, Health::Stale, Health::Failed]);
    Change::Neighbor { gone: one_in(rng, 3), ipv6: ipv6(rng), port, station, state, mac: rng.u8(0..3) }
}
