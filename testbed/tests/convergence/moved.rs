//! A route moves in the middle of a stream: once `ip` has returned, no packet takes the old way any more.

use std::time::{Duration, SystemTime};

use testbed::lab::{Lab, SECONDS_5, wait_until};
use testbed::router::Running;
use testbed::scenario::steady::Download;
use testbed::scenario::tap::Tap;

use crate::ground::{
    FAMILIES, Family, WAY_PORTS, answers_go_the_second_way, download, flow, taps, waited_for_processor,
    with_routerd,
};

/// How long after `ip` has returned a packet may still take the old way.
const ALLOWED: Duration = Duration::from_millis(10);
/// Packets on the new way after which a move is over.
const MOVED: usize = 100;
/// Moves of each kind.
const ROUNDS: usize = 4;

/// A stream on one of two ways, watched on both.
struct Watched<'lab> {
    lab: &'lab Lab,
    pid: u32,
    taps: [Tap; 2],
    download: Download,
    way: usize,
    /// From when on nothing may be seen on the other way.
    settled: SystemTime,
}

impl<'lab> Watched<'lab> {
    /// Begins a stream, and waits until it is on a way.
    fn start(lab: &'lab Lab, routerd: &mut Running<'_>, family: &Family) -> Self {
        let taps = taps(lab, family);
        let pid = routerd.process().unwrap().pid();
        let download = download(lab, family);
        let way = wait_until("a way", SECONDS_5, || taps.iter().position(|tap| tap.count() >= MOVED));
        Self { lab, pid, taps, download, way: way.unwrap(), settled: SystemTime::now() }
    }

    /// Makes changes at the router that take the stream to another way, or leave it where it is.
    fn change(&mut self, lines: &[String], way: usize) {
        let lab = self.lab;
        self.moves(&format!("{lines:?}"), way, || lab.at("r1").batch(lines).unwrap());
    }

    /// Does what takes the stream to another way, or leaves it where it is.
    fn moves(&mut self, what: &str, way: usize, act: impl FnOnce()) {
        self.nothing_on_the_other_way(what);
        let waited = waited_for_processor(self.pid);
        act();
        let returned = SystemTime::now();
        let on = &self.taps[way];
        wait_until("packets on the new way", SECONDS_5, || (on.count_after(returned) >= MOVED).then_some(()))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let waited = waited_for_processor(self.pid) - waited;
        (self.way, self.settled) = (way, returned + ALLOWED + waited);
        self.nothing_on_the_other_way(what);
    }

    fn nothing_on_the_other_way(&self, what: &str) {
        let other = &self.taps[1 - self.way];
        let late = other.count_after(self.settled);
        let last = other.last().and_then(|last| last.at.duration_since(self.settled).ok());
        assert_eq!(late, 0, "{what}: packets on the other way, the last {last:?} too late");
    }

    /// The stream ends with every byte.
    fn finish(self) {
        self.download.goes_on(20_000).unwrap();
        self.nothing_on_the_other_way("at the end");
        self.download.finish().unwrap();
    }
}

/// In each family, a stream that begins by the first way while `moves` come to pass.
fn in_mid_stream(prepare: impl Fn(&Lab, &Family), moves: impl Fn(&mut Watched<'_>, &Running<'_>, &Family)) {
    with_routerd("", |lab, routerd| {
        answers_go_the_second_way(lab);
        for family in &FAMILIES {
            prepare(lab, family);
            let mut watched = Watched::start(lab, routerd, family);
            moves(&mut watched, routerd, family);
            watched.finish();
        }
    });
}

/// The other way at every second move, beginning with it.
fn there_and_back() -> impl Iterator<Item = usize> {
    [1, 0].into_iter().cycle().take(ROUNDS)
}

#[test]
fn a_stream_follows_a_replaced_route_at_once() {
    in_mid_stream(
        |_, _| {},
        |watched, routerd, family| {
            for (moves, way) in (1_u64..).zip(there_and_back()) {
                watched.change(&[format!("route replace {} via {}", family.prefix, family.via[way])], way);
                let route = flow(routerd, &watched.download)["reply"]["route"].clone();
                assert_eq!(route["port"], WAY_PORTS[way], "{route}");
                assert_eq!(
                    route["via"].as_str().or(route["next_hop"].as_str()),
                    Some(family.via[way]),
                    "{route}"
                );
                assert_eq!(route["renewals"].as_u64(), Some(moves), "{route}");
            }
        },
    );
}

#[test]
fn a_stream_follows_a_more_specific_route_and_falls_back_when_that_goes() {
    in_mid_stream(
        |lab, family| {
            // The host's own route goes; one of the neighborhood has the same gateway.
            for line in [
                format!("route add {} via {}", wider(family), family.via[0]),
                format!("route del {}", family.prefix),
            ] {
                lab.at("r1").ip(&line).unwrap();
            }
        },
        |watched, _, family| {
            for way in there_and_back() {
                let word = if way == 1 { "add" } else { "del" };
                watched.change(&[format!("route {word} {} via {}", family.prefix, family.via[1])], way);
            }
        },
    );
}

fn wider(family: &Family) -> &'static str {
    if family.option.is_empty() { "10.9.0.0/16" } else { "fd00:9::/64" }
}

#[test]
fn a_stream_follows_a_replaced_nexthop_object_at_once() {
    let object = |family: &Family, way: usize| {
        let id = if family.option.is_empty() { 4 } else { 6 };
        format!("nexthop replace id {id} via {} dev {}", family.via[way], WAY_PORTS[way])
    };
    in_mid_stream(
        |lab, family| {
            let id = if family.option.is_empty() { 4 } else { 6 };
            for line in [object(family, 0), format!("route replace {} nhid {id}", family.prefix)] {
                lab.at("r1").ip(&line).unwrap();
            }
        },
        |watched, _, family| {
            for way in there_and_back() {
                watched.change(&[object(family, way)], way);
            }
        },
    );
}

#[test]
fn a_stream_follows_a_policy_rule_that_comes_and_goes() {
    in_mid_stream(
        |lab, family| {
            lab.at("r1").ip(&format!("route add {} via {} table 100", family.prefix, family.via[1])).unwrap();
        },
        |watched, _, family| {
            for way in there_and_back() {
                let word = if way == 1 { "add" } else { "del" };
                let selector = format!("from {} to {}", family.server, family.client);
                watched.change(&[format!("{}rule {word} {selector} lookup 100", family.option)], way);
            }
        },
    );
}

#[test]
fn a_stream_keeps_its_member_of_a_group_while_that_is_there_and_leaves_it_when_it_goes() {
    in_mid_stream(
        |lab, family| lab.at("r1").ip(&group(family, [(0, 1), (1, 1)])).unwrap(),
        |watched, _, family| {
            let (own, other) = (watched.way, 1 - watched.way);
            // Other weights and another order move the hash's borders, and not the flow.
            for members in [[(own, 1), (other, 200)], [(other, 200), (own, 1)], [(own, 1), (other, 1)]] {
                watched.change(&[group(family, members)], own);
            }
            watched.change(&[format!("route replace {} via {}", family.prefix, family.via[other])], other);
            // It does not go back when its first member does.
            watched.change(&[group(family, [(own, 200), (other, 1)])], other);
        },
    );
}

#[test]
fn a_stream_that_is_held_moves_only_when_it_is_let_go() {
    in_mid_stream(
        |_, _| {},
        |watched, routerd, family| {
            routerd.tell("flow-cache hold").unwrap();
            let line = format!("route replace {} via {}", family.prefix, family.via[1]);
            watched.change(&[line], 0);
            // The route is another by now: only the flow is held.
            let way = routerd.ask(&format!("route get {}", family.client)).unwrap();
            assert_eq!(way["via"], family.via[1], "{way}");
            watched.moves("flow-cache on", 1, || drop(routerd.tell("flow-cache on").unwrap()));
        },
    );
}

/// A route of two members: ways and weights.
fn group(family: &Family, members: [(usize, u32); 2]) -> String {
    let [one, other] = members.map(|(way, weight)| {
        format!("nexthop via {} dev {} weight {weight}", family.via[way], WAY_PORTS[way])
    });
    format!("route replace {} {one} {other}", family.prefix)
}
