//! Rules as they are written, on a router on the table.

use std::sync::Arc;

use conntrack::Instant;
use fib::change::{Change, Target};
use parking_lot::Mutex;
use smoltcp::wire::TcpControl;

use super::build::Ground;
use crate::chain::{Family, Hook, Place, Point, Registration, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::packet::checksum::{add, pseudo_header_v4, sum};
use crate::packet::ipv4;
use crate::rules::check::Environment;
use crate::rules::model::{ObjectKind, Ruleset, Statement};
use crate::rules::run::{ReadySets, RuleHook, compile};
use crate::rules::syntax::nothing;
use crate::tabletop::frames::Ends;
use crate::tabletop::gateway_route;

pub fn read(text: &str) -> Ruleset {
    let loaded = crate::rules::load(&Ruleset::default(), "r", text, &mut nothing, &Environment::default());
    loaded.unwrap_or_else(|error| panic!("{text}: {error}")).commit(Instant::ZERO)
}

/// A router with these rules in a chain at the forward hook of a table of IPv4.
fn forward(rules: &str) -> (Ground, Ruleset) {
    at("forward", rules)
}

/// The same at another hook.
fn at(hook: &str, rules: &str) -> (Ground, Ruleset) {
    let text = format!("table ip t {{ chain c {{ type filter hook {hook} priority 0; {rules}\n}}\n}}");
    let ruleset = read(&text);
    (Ground::with(&ruleset), ruleset)
}

/// Packets that the counters of all rules have counted, in order.
pub fn counts(ruleset: &Ruleset) -> Vec<u64> {
    let chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    let statements = chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
    let counters = statements.filter_map(|statement| match statement {
        Statement::Counter(counter) => Some(counter.read().0),
        _ => None,
    });
    counters.collect()
}

/// Packets that named counters have counted.
fn named(ruleset: &Ruleset) -> Vec<(String, u64)> {
    let objects = ruleset.tables.iter().flat_map(|table| &table.objects);
    let counters = objects.filter_map(|object| match &object.kind {
        ObjectKind::Counter(counter) => Some((object.name.to_string(), counter.read().0)),
        _ => None,
    });
    counters.collect()
}

pub fn udp(source: &str, destination: &str) -> Vec<u8> {
    Ends::to_port(0, source, destination).udp(b"question")
}

/// Whether the transport checksum of an IPv4 packet without options in a frame is right.
fn is_sound(frame: &[u8]) -> bool {
    let (packet, transport) = (&frame[14..], &frame[34..]);
    let length = u16::try_from(transport.len()).unwrap();
    let pseudo = pseudo_header_v4(ipv4::source(packet), ipv4::destination(packet), packet[9], length);
    add(pseudo, sum(transport)) == 0xffff
}

#[test]
fn the_routing_table_is_asked_for_the_way_back_and_the_kind_of_an_address() {
    let (mut ground, ruleset) = at(
        "prerouting",
        "fib saddr . iif oif missing counter
         fib saddr . iif oif exists counter
         fib saddr oifname \"r1\" counter
         fib daddr oifname \"r1\" counter
         fib daddr type unicast counter
         fib saddr type { local, broadcast } counter",
    );
    ground.pass(&udp("10.0.0.2:1", "10.0.1.2:53"));
    assert_eq!(counts(&ruleset), [0, 1, 0, 1, 1, 0]);
    ground.pass(&udp("10.0.1.77:1", "10.0.1.2:53"));
    assert_eq!(counts(&ruleset), [1, 1, 1, 2, 2, 0], "a source that would not be reached where it came from");
    ground.pass(&udp("172.16.0.1:1", "10.0.1.2:53"));
    assert_eq!(counts(&ruleset), [2, 1, 1, 3, 3, 0], "a source that no route leads to");
    ground.pass(&udp("10.0.0.255:1", "10.0.1.2:53"));
    assert_eq!(counts(&ruleset)[5], 1, "a broadcast address");
}

#[test]
fn of_several_next_hops_the_first_is_the_way_and_each_a_way_back() {
    let (mut ground, ruleset) = at(
        "prerouting",
        "fib saddr . iif oif exists counter
         fib saddr oifname \"r0\" counter
         fib saddr oifname \"r1\" counter",
    );
    let mut route = gateway_route("172.16.0.0/16", "10.0.1.2", 1);
    let other = gateway_route("172.16.0.0/16", "10.0.0.2", 0);
    let (Target::NextHops(hops), Target::NextHops(more)) = (&mut route.target, other.target) else { return };
    hops.extend(more);
    ground.table.apply([Change::Route(route)]);
    ground.pass(&udp("172.16.0.1:1", "10.0.1.2:53"));
    assert_eq!(counts(&ruleset), [1, 0, 1]);
}

#[test]
fn an_option_that_is_reset_becomes_no_operations() {
    let (mut ground, _) = forward("reset tcp option maxseg");
    let ends = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:80");
    let out = ground.pass(&super::live::syn_with_segment_max(1460)).remove(0);
    assert_eq!(out[54..58], [1, 1, 1, 1]);
    assert!(is_sound(&out));
    let plain = ends.tcp(TcpControl::Syn, 1, None, b"");
    assert_eq!(ground.pass(&plain).remove(0)[34..], plain[34..], "without the option nothing changes");
}

#[test]
fn a_map_names_the_object_that_counts() {
    let text = "table ip t {
        counter a { }
        counter b { }
        map who { type ipv4_addr : counter; elements = { 10.0.0.2 : \"a\", 10.0.0.3 : \"b\" }; }
        chain c { type filter hook forward priority 0; counter name ip saddr map @who counter; }
    }";
    let ruleset = read(text);
    let mut ground = Ground::with(&ruleset);
    for source in ["10.0.0.2:1", "10.0.0.3:1", "10.0.0.3:2", "10.0.0.4:1"] {
        ground.pass(&udp(source, "10.0.1.2:53"));
    }
    assert_eq!(named(&ruleset), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(counts(&ruleset), [3], "for what is not in the map the rule ends");
}

#[test]
fn numbers_come_one_after_another() {
    let text = "table ip t {
        chain a { counter; }
        chain b { counter; }
        chain c { counter; }
        chain d { type filter hook forward priority 0; numgen inc mod 3 vmap { 0 : jump a, 1 : jump b, 2 : jump c }; }
    }";
    let ruleset = read(text);
    let mut ground = Ground::with(&ruleset);
    for (port, expected) in [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (4, [2, 1, 1])] {
        ground.pass(&udp(&format!("10.0.0.2:{port}"), "10.0.1.2:53"));
        assert_eq!(counts(&ruleset), expected);
    }
}

#[test]
fn random_numbers_stay_in_their_range_and_reach_all_of_it() {
    let rules: String = (10..14).map(|number| format!("meta mark {number} counter\n")).collect();
    let (mut ground, ruleset) = forward(&format!("meta mark set numgen random mod 4 offset 10\n{rules}"));
    for port in 1..=400 {
        ground.pass(&udp(&format!("10.0.0.2:{port}"), "10.0.1.2:53"));
    }
    let counts = counts(&ruleset);
    assert_eq!(counts.iter().sum::<u64>(), 400);
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn hashes_follow_what_is_hashed_and_nothing_else() {
    let rules: String = (100..108).map(|number| format!("meta mark {number} counter\n")).collect();
    let hashed = |expression: &str| forward(&format!("meta mark set {expression}\n{rules}"));
    let spread = |(ground, ruleset): &mut (Ground, Ruleset), sources: [u8; 8]| {
        for (port, last) in (1..).zip(sources) {
            ground.pass(&udp(&format!("10.0.0.{last}:{port}"), "10.0.1.2:53"));
        }
        let counts = counts(ruleset);
        assert_eq!(counts.iter().sum::<u64>(), 8, "all results are in range");
        counts.iter().filter(|count| **count > 0).count()
    };
    let mut by_address = hashed("jhash ip saddr mod 8 seed 0x1234 offset 100");
    assert_eq!(spread(&mut by_address, [2; 8]), 1);
    let mut by_address = hashed("jhash ip saddr mod 8 seed 0x1234 offset 100");
    assert!(spread(&mut by_address, [2, 3, 4, 5, 6, 7, 8, 9]) > 1);
    let mut by_flow = hashed("symhash mod 8 offset 100");
    assert!(spread(&mut by_flow, [2; 8]) > 1, "flows differ by their ports");

    let (mut ground, ruleset) = hashed("symhash mod 8 offset 100");
    ground.pass(&udp("10.0.0.2:1", "10.0.1.2:53"));
    let back = Ends::to_port(1, "10.0.1.2:53", "10.0.0.2:1");
    ground.table.pass(1, &back.udp(b"answer")[..]);
    assert_eq!(counts(&ruleset).into_iter().max(), Some(2), "both directions hash alike");
}

#[test]
fn addresses_and_ports_to_translate_to_come_from_maps() {
    for (rule, expected) in [
        ("dnat to udp dport map { 53 : 10.0.1.2, 54 : 10.0.1.3 }", [10, 0, 1, 2, 0, 53]),
        ("dnat to ip daddr . udp dport map { 10.9.9.9 . 53 : 10.0.1.2 . 5353 }", [10, 0, 1, 2, 0x14, 0xe9]),
        ("dnat to 10.0.1.2:udp sport map { 1000 : 7 }", [10, 0, 1, 2, 0, 7]),
    ] {
        let text =
            format!("table ip t {{ chain c {{ type nat hook prerouting priority dstnat; {rule}\n}}\n}}");
        let mut ground = Ground::with(&read(&text));
        let out = ground.pass(&udp("10.0.0.2:1000", "10.9.9.9:53")).remove(0);
        assert_eq!((&out[30..34], &out[36..38]), (&expected[..4], &expected[4..]), "{rule}");
        assert!(is_sound(&out));
        assert!(ground.pass(&udp("10.0.0.2:1001", "10.9.9.9:99")).is_empty(), "no route leads to 10.9.9.9");
    }
}

#[test]
fn times_days_and_hours_are_those_of_the_wall_clock() {
    let (mut ground, ruleset) = forward(
        "meta hour \"10:00\"-\"12:00\" counter
         meta hour \"12:00\"-\"13:00\" counter
         meta day \"Friday\" counter
         meta day { \"Saturday\", \"Sunday\" } counter
         meta time < \"2026-11-20 11:00:01\" counter
         meta time \"2026-11-21 00:00:00\"-\"2026-11-22 00:00:00\" counter",
    );
    // 2026-11-20, a Friday, 11:00:00 UTC.
    let noon_before = 1_795_172_400_i64;
    let second = 1_000_000_000;
    let now = ground.table.now();
    ground.rules.world().set_wall_time(now, noon_before * second);
    ground.pass(&udp("10.0.0.2:1", "10.0.1.2:53"));
    assert_eq!(counts(&ruleset), [1, 0, 1, 0, 1, 0]);
    ground.table.advance(std::time::Duration::from_secs(5400));
    ground.pass(&udp("10.0.0.2:1", "10.0.1.2:53"));
    assert_eq!(counts(&ruleset), [1, 1, 2, 0, 1, 0], "an hour and a half later");
    let now = ground.table.now();
    ground.rules.world().set_wall_time(now, (noon_before + 86_400) * second);
    ground.pass(&udp("10.0.0.2:1", "10.0.1.2:53"));
    assert_eq!(counts(&ruleset), [2, 1, 2, 1, 1, 1], "the day after");
}

#[test]
fn a_flow_count_holds_packets_without_a_flow_for_one_more() {
    let text = "table ip t {
        chain raw { type filter hook prerouting priority raw; udp dport 9 notrack; }
        chain c { type filter hook forward priority 0; udp dport 9 ct count over 1 counter; ct count over 1 counter; }
    }";
    let ruleset = read(text);
    let mut ground = Ground::with(&ruleset);
    for _ in 0..3 {
        ground.pass(&udp("10.0.0.2:1", "10.0.1.2:9"));
    }
    assert_eq!(counts(&ruleset), [0, 0], "one is not over one, however often");
    ground.pass(&udp("10.0.0.2:1", "10.0.1.2:53"));
    ground.pass(&udp("10.0.0.2:1", "10.0.1.2:9"));
    assert_eq!(counts(&ruleset), [0, 1], "beside a flow it is the second");
}

/// A frame with an IPv4 packet of any protocol.
fn frame(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = udp("10.0.0.2:1", "10.0.1.2:2");
    frame.truncate(34);
    frame.extend(payload);
    let length = u16::try_from(frame.len() - 14).unwrap();
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame[23] = protocol;
    ipv4::write_checksum(&mut frame[14..34]);
    frame
}

#[test]
fn a_changed_sctp_packet_gets_its_checksum_anew_as_the_kernel_makes_it() {
    let (mut ground, _) = forward("sctp dport set 7777");
    let packet = [0, 1, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 4];
    let out = ground.pass(&frame(132, &packet)).remove(0);
    // As Linux 6.18 sent it.
    assert_eq!(out[34..50], [0, 1, 0x1e, 0x61, 0, 0, 0, 5, 0x82, 0xa4, 0, 0xf6, 0, 0, 0, 4]);
}

#[test]
fn a_datagram_without_checksum_stays_without() {
    let (mut ground, _) = forward("udp dport set 7777");
    let out = ground.pass(&frame(17, &[0, 1, 0, 2, 0, 12, 0, 0, b'a', b'b', b'c', b'd'])).remove(0);
    assert_eq!(out[34..42], [0, 1, 0x1e, 0x61, 0, 12, 0, 0]);
}

/// A chain whose verdicts are written down.
struct Noted {
    chain: RuleHook,
    verdicts: Arc<Mutex<Vec<Verdict>>>,
}

impl Hook for Noted {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        let verdict = self.chain.handle(packet, context);
        self.verdicts.lock().push(verdict);
        Verdict::Accept
    }
}

/// The queues that packets are sent to by one statement.
fn queues(statement: &str, packets: &[Vec<u8>]) -> Vec<Verdict> {
    let text = format!("table ip t {{ chain c {{ type filter hook forward priority 0; {statement}\n}}\n}}");
    let ruleset = read(&text);
    let mut ground = Ground::new();
    let world = ground.rules.world().clone();
    let code = Arc::new(compile(&ruleset.tables[0], Family::Ipv4, &world, false, &mut ReadySets::default()));
    let verdicts = Arc::new(Mutex::default());
    let base = ruleset.tables[0].chains[0].base.unwrap();
    let chain = RuleHook::new(code, world, &base, 0);
    let hook = Arc::new(Noted { chain, verdicts: Arc::clone(&verdicts) });
    let place = Place::new(Family::Ipv4, Point::Forward, "noted");
    ground.table.hooks().register([Registration { place, priority: 0, hook }]).unwrap();
    packets.iter().for_each(|packet| assert!(ground.passes(packet)));
    verdicts.lock().clone()
}

const fn to(number: u16) -> Verdict {
    Verdict::Queue { number, bypass: false }
}

#[test]
fn queues_are_chosen_by_hosts_or_by_an_expression() {
    let sources = |port: u16| (2..66).map(move |last| udp(&format!("10.0.0.{last}:{port}"), "10.0.1.2:53"));
    let packets: Vec<_> = sources(1).chain(sources(2)).collect();
    let chosen = queues("queue to 3-6", &packets);
    assert_eq!(chosen[..64], chosen[64..], "one host's packets stay together, whatever their ports");
    for queue in 3..=6 {
        assert!(chosen.contains(&to(queue)), "{queue}");
    }
    assert!(
        chosen.iter().all(|verdict| matches!(verdict, Verdict::Queue { number: 3..=6, bypass: false })),
        "{chosen:?}"
    );
    assert_eq!(queues("queue flags fanout to 3-6", &packets), chosen);
    let two = [udp("10.0.0.2:1", "10.0.1.2:53"), udp("10.0.0.2:1", "10.0.1.2:54")];
    assert_eq!(queues("queue to 9", &two), [to(9), to(9)]);
    let by_port = queues("queue to udp dport map { 53 : 1, 54 : 8 }", &two);
    assert_eq!(by_port, [to(1), to(8)]);
    let by_number = queues("queue to numgen inc mod 2 offset 4", &two);
    assert_eq!(by_number, [to(4), to(5)]);
}

#[test]
fn where_nobody_listens_a_queue_drops_unless_it_may_be_passed_by() {
    for (statement, passes) in [
        ("queue to 3", false),
        ("queue to 3-6", false),
        ("queue flags bypass to 3", true),
        ("queue flags bypass,fanout to 3-6", true),
        ("queue flags bypass to udp dport map { 53 : 1 }", true),
    ] {
        let (mut ground, _) = forward(statement);
        assert_eq!(ground.passes(&udp("10.0.0.2:1", "10.0.1.2:53")), passes, "{statement}");
        let dropped = ground.table.counters().drops(DropReason::QueueWithoutListener);
        assert_eq!(dropped, u64::from(!passes), "{statement}");
    }
}
