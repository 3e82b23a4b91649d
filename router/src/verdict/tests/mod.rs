//! What is remembered of the rules is what the rules would say.

mod against_walk;
mod drops;
mod ground;
mod threads;

use smoltcp::wire::TcpControl;

use crate::chain::Point;
use crate::drops::DropReason;
use crate::engine::{FlowCache, Kind};
use crate::tabletop::frames::Ends;
use crate::verdict::{End, Known, Passages, Recording};
use ground::Router;

fn question() -> Vec<u8> {
    Ends::to_port(0, "10.0.0.2:1000", "10.9.0.2:53").udp(b"question")
}

fn answer() -> Vec<u8> {
    Ends::to_port(1, "10.9.0.2:53", "10.0.0.2:1000").udp(b"answer")
}

/// A flow that is established, and then five packets more from the first host.
fn five_more(router: &mut Router) -> u64 {
    router.pass(0, &question());
    router.pass(1, &answer());
    router.pass(0, &question());
    let before = router.hits();
    for _ in 0..5 {
        router.pass(0, &question());
    }
    router.hits() - before
}

fn forward(rules: &str) -> String {
    format!(
        "table inet t {{
            set fixed {{ type ipv4_addr; counter; elements = {{ 10.0.0.2 }}; }}
            set living {{ type ipv4_addr; flags dynamic; size 10; elements = {{ 10.0.0.2 }}; }}
            map marks {{ type inet_service : mark; elements = {{ 53 : 7 }}; }}
            map livemarks {{ type ipv4_addr : mark; flags dynamic; size 10; elements = {{ 10.0.0.2 : 7 }}; }}
            counter named {{ }}
            quota much {{ 1000 mbytes }}
            limit fast {{ rate 1000000/second }}
            chain sub {{ counter; }}
            chain c {{ type filter hook forward priority 0; {rules}
            }}
        }}"
    )
}

#[test]
fn what_is_the_same_for_all_packets_of_a_flow_is_walked_once() {
    for rule in [
        "counter",
        "ip saddr 10.0.0.2 udp dport 53 counter",
        "@th,16,16 53 @nh,96,32 0x0a000002 counter",
        "ip saddr . udp dport { 10.0.0.2 . 53 } accept",
        "ip saddr @fixed jump sub",
        "ct state vmap { established : accept, new : goto sub }",
        "ct original ip daddr 10.9.0.2 ct direction original ct zone 0 counter",
        "iifname \"r0\" oifname \"r1\" counter",
        "iif \"r0\" oif \"r1\" counter",
        "meta mark set udp dport map @marks counter name \"named\"",
        "meta mark 0 meta priority 0 counter",
        "ct mark set 7 counter",
        "symhash mod 2 < 2 counter",
        "jhash ip saddr mod 4 < 4 counter",
        "meta l4proto udp meta nfproto ipv4 ip protocol udp counter",
        "ip ttl > 10 drop",
    ] {
        let mut router = Router::with(&forward(rule));
        let expected = if rule.contains("ttl") { 0 } else { 5 };
        assert_eq!(five_more(&mut router), expected, "{rule}");
    }
}

#[test]
fn what_each_packet_is_asked_for_anew_is_always_walked() {
    for rule in [
        "ip ttl > 10 counter",
        "ip dscp cs0 counter",
        "ip id 0 counter",
        "ip length < 1000 counter",
        "meta length < 1000 counter",
        "udp length < 1000 counter",
        "udp checksum != 0 counter",
        "@th,16,17 0 counter",
        "@nh,64,16 0 counter",
        "@ll,0,8 2 counter",
        "@ih,0,8 0x71 counter",
        "ip option lsrr exists counter",
        "limit rate 1000000/second counter",
        "limit name \"fast\" counter",
        "quota 1000 mbytes counter",
        "quota name \"much\" counter",
        "ct count over 1000 drop",
        "last counter",
        "log prefix \"x\"",
        "queue flags bypass to 3",
        "meta nftrace set 1",
        "numgen inc mod 2 0 counter",
        "numgen random mod 2 0 counter",
        "meta random < 1000 counter",
        "meta time > \"2020-01-01\" counter",
        "meta hour < \"12:00\" counter",
        "meta pkttype host counter",
        "fib saddr oif exists counter",
        "fib daddr type unicast counter",
        "rt ip nexthop 10.0.1.2 counter",
        "ct status seen-reply counter",
        "ct expiration > 1s counter",
        "ct packets > 1 counter",
        "ct bytes > 1 counter",
        "ct avgpkt > 1 counter",
        "ct label 1 counter",
        "ct id 1 counter",
        "ip saddr @living counter",
        "meta mark set ip saddr map @livemarks",
        "update @living { ip saddr }",
        "ip dscp set cs1",
        "ip ttl set 10",
        "meta pkttype set host",
        "ct label set 1",
        "notrack",
    ] {
        let is_early = ["fib", "meta pkttype set", "notrack"].iter().any(|early| rule.starts_with(early));
        let text = forward(rule);
        let text = if is_early { text.replace("hook forward", "hook prerouting") } else { text };
        let mut router = Router::new(FlowCache::On);
        router.load(&text).unwrap_or_else(|error| panic!("{rule}: {error}"));
        assert_eq!(five_more(&mut router), 0, "{rule}");
        assert!(router.table.counters().verdict_cache_unfit.get() > 0, "{rule}");
    }
    let flags = "tcp flags & (syn | ack) == ack counter";
    let mut router = Router::with(&forward(flags));
    let there = Ends::to_port(0, "10.0.0.2:1000", "10.9.0.2:80");
    let back = Ends::to_port(1, "10.9.0.2:80", "10.0.0.2:1000");
    router.pass(0, &there.tcp(TcpControl::Syn, 0, None, b""));
    router.pass(1, &back.tcp(TcpControl::Syn, 0, Some(1), b""));
    for _ in 0..4 {
        router.pass(0, &there.tcp(TcpControl::None, 1, Some(1), b""));
    }
    assert_eq!(router.hits(), 0);
    assert!(router.listed().contains("counter packets 4 "), "{}", router.listed());
}

#[test]
fn counters_of_rules_sets_and_objects_are_right_whenever_they_are_read() {
    let rules = "ip saddr @fixed counter jump sub\n counter name \"named\" jump sub";
    let mut router = Router::with(&forward(rules));
    let bytes = question().len() - 14;
    for packets in 1..6 {
        router.pass(0, &question());
        let listed = router.listed();
        let expected = [
            format!("elements = {{ 10.0.0.2 counter packets {packets} bytes {} }}", packets * bytes),
            format!("ip saddr @fixed counter packets {packets} bytes {} jump sub", packets * bytes),
            format!("\t\tcounter packets {} bytes {}\n", 2 * packets, 2 * packets * bytes),
        ];
        for part in expected {
            assert!(listed.contains(&part), "{part} is not in {listed}");
        }
    }
    assert!(router.hits() > 2);
    router.load("reset counters table inet t\nreset rules").unwrap();
    assert!(router.listed().contains("ip saddr @fixed counter packets 0 bytes 0"), "{}", router.listed());
    router.pass(0, &question());
    assert!(router.listed().contains("ip saddr @fixed counter packets 1 "), "{}", router.listed());
}

#[test]
fn changed_rules_sets_and_maps_are_in_force_with_the_next_packet() {
    let rules = "ip saddr @fixed drop\n meta mark set udp dport map @marks meta mark 9 drop";
    let mut router = Router::with(&forward(rules));
    router.load("delete element inet t fixed { 10.0.0.2 }").unwrap();
    for change in [
        ["add element inet t fixed { 10.0.0.2 }", "delete element inet t fixed { 10.0.0.2 }"],
        [
            "delete element inet t marks { 53 }\n add element inet t marks { 53 : 9 }",
            "delete element inet t marks { 53 }\n add element inet t marks { 53 : 7 }",
        ],
        ["insert rule inet t c drop", "flush chain inet t c"],
    ] {
        assert_eq!(five_more(&mut router), 5, "{change:?}");
        assert!(router.passes(&question()));
        router.load(change[0]).unwrap();
        for _ in 0..4 {
            assert!(!router.passes(&question()), "{change:?}");
        }
        router.load(change[1]).unwrap();
        assert!(router.passes(&question()), "{change:?}");
    }
}

#[test]
fn a_flow_that_is_dropped_is_dropped_and_refused_without_a_walk() {
    let mut router = Router::with(&forward("accept"));
    router.pass(0, &question());
    router.load("insert rule inet t c counter reject with icmp host-prohibited").unwrap();
    let first = router.pass(0, &question());
    router.wait(std::time::Duration::from_secs(5));
    let hits = router.hits();
    let other = router.pass(0, &question());
    assert_eq!(router.hits(), hits + 1);
    assert_eq!((first.frames[0].len(), first.dropped, other.dropped), (1, 1, 1));
    assert_eq!(first.frames[0][0][14 + 20..14 + 22], [3, 10]);
    assert_eq!(first.frames[0][0][14 + 20..], other.frames[0][0][14 + 20..], "it is answered the same way");
    assert_eq!(router.table.counters().drops(DropReason::Rule), 2);
    assert!(router.listed().contains("counter packets 2 "), "{}", router.listed());
}

#[test]
fn what_was_remembered_for_one_port_of_exit_is_not_believed_for_another() {
    let mut router = Router::with(&forward("counter\n oifname \"r1\" counter\n oifname \"r2\" counter drop"));
    assert_eq!(five_more(&mut router), 5);
    router.reroute(2);
    assert!(!router.passes(&question()));
    assert!(!router.passes(&question()));
    router.reroute(1);
    assert!(router.passes(&question()));
    let listed = router.listed();
    for part in ["\t\tcounter packets 11 ", "\"r1\" counter packets 8 ", "\"r2\" counter packets 2 "] {
        assert!(listed.contains(part), "{part} is not in {listed}");
    }
}

#[test]
fn what_was_remembered_for_one_port_of_entry_is_not_believed_for_another() {
    let mut router = Router::with(&forward("iifname \"r0\" accept\n drop"));
    assert_eq!(five_more(&mut router), 5);
    let astray = router.pass(2, &Ends::to_port(2, "10.0.0.2:1000", "10.9.0.2:53").udp(b"astray"));
    assert_eq!(astray.dropped, 1);
    assert!(router.passes(&question()));
}

#[test]
fn a_flow_that_becomes_established_is_judged_as_such() {
    let mut router =
        Router::with(&forward("ct state new counter accept\n ct state established counter drop"));
    for _ in 0..4 {
        assert!(router.passes(&question()));
    }
    assert_eq!(router.hits(), 2);
    assert_eq!(router.pass(1, &answer()).dropped, 1);
    assert!(!router.passes(&question()));
    assert!(!router.passes(&question()));
    let listed = router.listed();
    assert!(listed.contains("new counter packets 4 ") && listed.contains("established counter packets 3 "));
}

#[test]
fn a_flow_whose_mark_somebody_changes_is_judged_anew() {
    let mut router = Router::with(&forward("ct mark 9 drop\n meta mark set ct mark"));
    assert_eq!(five_more(&mut router), 5);
    let flows = router.table.shared().flows.clone();
    let page = flows.list(conntrack::Cursor::default(), 9, router.table.now(), |_| true);
    page.conns[0].set_mark(9);
    assert!(!router.passes(&question()));
    page.conns[0].set_mark(3);
    let marks = |outcome: ground::Outcome| outcome.marks;
    assert_eq!(marks(router.pass(0, &question())), [(3, 0)]);
    assert_eq!(marks(router.pass(0, &question())), [(3, 0)]);
}

#[test]
fn nothing_is_remembered_while_it_is_switched_off() {
    let mut router = Router::with(&forward("counter"));
    router.table.shared().set_flow_cache_of(Kind::Verdict, FlowCache::Off);
    assert_eq!(five_more(&mut router), 0);
    router.table.shared().set_flow_cache_of(Kind::Verdict, FlowCache::On);
    assert_eq!(five_more(&mut router), 5);
    router.table.shared().set_flow_cache_of(Kind::Verdict, FlowCache::Off);
    assert_eq!(five_more(&mut router), 0);
}

#[test]
fn each_of_the_two_hooks_can_be_taken_away_alone() {
    use crate::chain::{Family, Place};
    for (points, name) in [
        ([Point::Prerouting, Point::Output], "verdict-from-flow"),
        ([Point::Postrouting, Point::Input], "keep-verdict"),
    ] {
        let mut router = Router::with(&forward("counter"));
        router.table.hooks().unregister(points.map(|point| Place::new(Family::Ipv4, point, name))).unwrap();
        assert_eq!(five_more(&mut router), 0);
        assert!(router.listed().contains("counter packets 8 "));
    }
}

#[test]
fn numbers_of_chains_that_are_gone_mean_nothing_and_when_none_is_left_nothing_is_kept() {
    let passage = |hook| {
        let mut recording = Recording::default();
        let number = recording.begin();
        assert!(recording.enter(number, hook, Point::Forward));
        recording.leave(End::Passed);
        recording
    };
    let old = Passages::default();
    let number = old.keep(&passage(1)).unwrap();
    assert_eq!(old.keep(&passage(1)), Some(number));
    let new = old.followed();
    assert!(matches!(old.find(number), Known::Passage(_)) && matches!(new.find(number), Known::Nothing));
    assert!(matches!(new.find(old.unfit(true)), Known::Nothing));
    assert!(matches!(new.find(0), Known::Nothing));
    assert_eq!(old.keep(&passage(2)), None, "its chains are gone");
    let again = new.keep(&passage(1)).unwrap();
    assert!(again > number && matches!(old.find(again), Known::Nothing));
    assert!(matches!(new.find(new.unfit(true)), Known::Unfit { established: true }));

    let last = Passages::from_number(u32::MAX - 3);
    assert_eq!(last.capacity(), 1);
    assert!(last.keep(&passage(1)).is_some());
    assert_eq!((last.keep(&passage(2)), last.refused()), (None, 1));
    let none = last.followed().followed();
    assert_eq!((none.capacity(), none.keep(&passage(1))), (0, None));
    assert!(matches!(none.find(0), Known::Nothing));
}
