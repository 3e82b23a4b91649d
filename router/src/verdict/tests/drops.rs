//! Drops of packets that would have begun a flow.

use std::time::Duration;

use smoltcp::wire::TcpControl;

use super::ground::Router;
use super::{forward, question};
use crate::chain::{Family, Hook, Place, Point, Registration, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, FlowCache, Kind, Packet};
use crate::tabletop::frames::Ends;

/// Packets dropped where they were tracked, and packets dropped by what was remembered.
fn remembered(router: &Router) -> (u64, u64) {
    let counters = router.table.counters();
    (counters.negative_cache_hits.get(), counters.negative_cache_recalled.get())
}

const DENY: &str = "iifname \"r0\" oifname \"r1\" udp dport 53 counter drop";

/// A router that has just dropped the first packet of a flood, and passed it by with the second.
fn flooded(rules: &str) -> Router {
    let mut router = Router::with(&forward(rules));
    assert!(!router.passes(&question()));
    assert!(!router.passes(&question()));
    assert_eq!(remembered(&router), (1, 0));
    router
}

#[test]
fn a_flood_of_what_is_denied_costs_one_lookup_and_is_counted_to_the_last_byte() {
    let mut router = Router::with(&forward(DENY));
    for _ in 0..100 {
        assert_eq!(router.pass(0, &question()).dropped, 1);
    }
    let counters = router.table.counters();
    assert_eq!((counters.fib_lookups.get(), counters.drops(DropReason::Rule)), (1, 100));
    assert_eq!(remembered(&router), (99, 0));
    assert_eq!(router.table.shared().flows.len(), 0);
    let bytes = 100 * (question().len() - 14);
    let listed = router.listed();
    assert!(listed.contains(&format!("counter packets 100 bytes {bytes} drop")), "{listed}");
}

#[test]
fn a_drop_is_remembered_for_a_second() {
    let mut router = flooded(DENY);
    router.wait(Duration::from_millis(999));
    router.pass(0, &question());
    assert_eq!(remembered(&router), (2, 0));
    router.wait(Duration::from_millis(1));
    router.pass(0, &question());
    assert_eq!(remembered(&router), (2, 0), "rules are asked once in a while");
    router.pass(0, &question());
    assert_eq!(remembered(&router), (3, 0));
}

#[test]
fn what_is_denied_no_more_passes_at_once() {
    let allow = "insert rule inet t c accept";
    let mut router = flooded(DENY);
    router.load(allow).unwrap();
    assert!(router.passes(&question()), "the rules are others");

    let mut router = flooded("ip saddr @fixed drop");
    router.load("delete element inet t fixed { 10.0.0.2 }").unwrap();
    assert!(router.passes(&question()), "the set is another");

    let mut router = flooded(DENY);
    router.reroute(2);
    assert!(router.passes(&question()), "the way is another");
    router.reroute(1);
    assert!(!router.passes(&question()) || router.table.shared().flows.len() == 1);

    let mut router = flooded("iifname \"r0\" drop");
    let elsewhere = Ends::to_port(2, "10.0.0.2:1000", "10.9.0.2:53").udp(b"question");
    assert!(!router.pass(2, &elsewhere).frames[1].is_empty(), "the port of entry is another");
}

#[test]
fn a_packet_of_a_flow_that_was_begun_meanwhile_is_not_dropped() {
    let mut router = flooded("iifname \"r0\" ct state new drop");
    let inward = Ends::to_port(1, "10.9.0.2:53", "10.0.0.2:1000").udp(b"from the other side");
    assert!(!router.pass(1, &inward).frames[0].is_empty());
    assert!(router.passes(&question()), "it is an answer now");
}

#[test]
fn a_packet_that_would_not_come_as_far_is_told_why() {
    let ends = Ends::to_port(0, "10.0.0.2:1000", "10.9.0.2:53");
    let mut plain = Router::new(FlowCache::Off);
    plain.load(&forward(DENY)).unwrap();
    let mut router = flooded(DENY);
    let mut large = ends.udp(&[7; 1600]);
    large[20] |= 0x40;
    crate::packet::ipv4::write_checksum(&mut large[14..34]);
    for frame in [ends.with_ttl(1).udp(b"question"), large] {
        let (told, expected) = (router.pass(0, &frame), plain.pass(0, &frame));
        assert_eq!(told.frames[0].len(), 1);
        let quoted = |outcome: &super::ground::Outcome| outcome.frames[0][0][14 + 20..].to_vec();
        assert_eq!(quoted(&told), quoted(&expected));
    }
    assert_eq!(remembered(&router), (1, 0));
    assert_eq!(router.listed().matches("counter packets 2 ").count(), 1, "{}", router.listed());
}

#[test]
fn who_is_refused_is_answered_as_before() {
    let rules = "oifname \"r1\" counter reject with icmp admin-prohibited";
    let mut routers = [FlowCache::On, FlowCache::Off].map(Router::new);
    let outcomes = routers.each_mut().map(|router| {
        router.load(&forward(rules)).unwrap();
        let pass = |router: &mut Router| {
            let outcome = router.pass(0, &question());
            router.wait(Duration::from_millis(300));
            outcome.frames[0].iter().map(|frame| frame[14 + 20..].to_vec()).collect::<Vec<_>>()
        };
        (0..8).map(|_| pass(router)).collect::<Vec<_>>()
    });
    assert_eq!(outcomes[0], outcomes[1]);
    assert!(outcomes[0].iter().any(|answers| answers.len() == 1));
    assert_eq!(remembered(&routers[0]), (0, 6), "two of eight were walked: one in a second");
    assert_eq!(routers[0].table.counters().fib_lookups.get(), 2);
    assert_eq!(routers[0].listed(), routers[1].listed());
}

#[test]
fn rules_on_the_way_to_the_one_that_drops_count_and_mark() {
    let text = "table inet t {
        chain a { type filter hook prerouting priority mangle; counter meta mark set 5; }
        chain b { type filter hook forward priority 0; meta mark 5 counter; }
        chain c { type filter hook forward priority 1; meta mark 5 counter drop; }
    }";
    let mut router = Router::with(text);
    for _ in 0..5 {
        router.pass(0, &question());
    }
    assert_eq!(remembered(&router), (4, 0));
    assert_eq!(router.listed().matches("counter packets 5 ").count(), 3, "{}", router.listed());
}

#[test]
fn what_each_packet_is_asked_for_anew_is_no_drop_to_be_remembered() {
    for rule in ["limit rate over 1/hour burst 1 packets drop", "meta length > 20 drop", "ip ttl < 100 drop"]
    {
        let mut router = Router::with(&forward(rule));
        for _ in 0..5 {
            router.pass(0, &question());
        }
        assert_eq!(remembered(&router), (0, 0), "{rule}");
    }
    let mut router = Router::with(&forward("tcp flags & syn == syn drop"));
    let syn = Ends::to_port(0, "10.0.0.2:1", "10.9.0.2:2").tcp(TcpControl::Syn, 0, None, b"");
    for _ in 0..3 {
        router.pass(0, &syn);
    }
    assert_eq!(remembered(&router), (0, 0));
}

/// Wants to see every packet.
struct Watch;

impl Hook for Watch {
    fn handle(&self, _packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        context.counters.stolen.raise();
        Verdict::Accept
    }
}

#[test]
fn a_hook_on_the_way_sees_all_that_it_is_to_see() {
    let mut router = Router::with(&forward(DENY));
    let place = Place::new(Family::Ipv4, Point::Forward, "watch");
    let registration = Registration { place, priority: -1, hook: std::sync::Arc::new(Watch) };
    router.table.hooks().register([registration]).unwrap();
    for _ in 0..5 {
        router.pass(0, &question());
    }
    assert_eq!(router.table.counters().stolen.get(), 5);
    assert_eq!(remembered(&router), (0, 4));
}

#[test]
fn drops_are_forgotten_when_that_is_switched_off_or_asked_for() {
    let mut router = flooded(DENY);
    router.table.shared().flush_negative();
    router.pass(0, &question());
    assert_eq!(remembered(&router), (1, 0));
    router.pass(0, &question());
    assert_eq!(remembered(&router), (2, 0));
    router.table.shared().set_flow_cache_of(Kind::Negative, FlowCache::Off);
    for _ in 0..3 {
        router.pass(0, &question());
    }
    assert_eq!(remembered(&router), (2, 0));
}

#[test]
fn translated_packets_are_dropped_as_before() {
    let text = "table ip t {
        chain n { type nat hook prerouting priority dstnat; udp dport 53 counter dnat to 10.0.1.2:5353; }
        chain m { type nat hook prerouting priority dstnat + 1; counter; }
        chain c { type filter hook forward priority 0; udp dport { 5353, 99 } counter drop; }
    }";
    let mut routers = [FlowCache::On, FlowCache::Off].map(Router::new);
    let other = Ends::to_port(0, "10.0.0.2:1000", "10.9.0.2:99").udp(b"question");
    for router in &mut routers {
        router.load(text).unwrap();
        for _ in 0..4 {
            assert!(!router.passes(&question()) && !router.passes(&other));
        }
    }
    assert_eq!(routers[0].listed(), routers[1].listed());
    assert_eq!(remembered(&routers[0]), (0, 3), "of a flow that is translated each packet is walked");
}

#[test]
fn where_a_dropped_packet_went_says_nothing_of_one_that_is_translated_by_now() {
    let mut router = flooded("oifname \"r1\" drop");
    router.load("flush ruleset\n table ip t { chain n { type nat hook prerouting priority dstnat; dnat to 10.0.2.2; }\n }").unwrap();
    let outcome = router.pass(0, &question());
    assert_eq!(outcome.frames.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1]);
}
