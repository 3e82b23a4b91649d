//! The walk on a table: two networks, a third behind a gateway, packets in, packets out.

use std::time::Duration;

use fib::adjacency::PortId;
use fib::change::{Change, Link, Rule, RuleAction};
use fib::writer::Writer;

use crate::chain::{Family, Hook, Place, Point, Registration, Verdict, priority};
use crate::drops::DropReason;
use crate::engine::{Context, FlowCache, Kind, Packet};
use crate::tabletop::frames::{Ends, HOST};
use crate::tabletop::{Blueprint, Tabletop, gateway_route, port_mac, rule};

const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];
const GATEWAY: [u8; 6] = [2, 0, 0, 0, 3, 3];
const OTHER_GATEWAY: [u8; 6] = [2, 0, 0, 0, 3, 4];

/// 10.0.0.0/24 and fd00::/64 on port 0, 10.0.1.0/24 and fd01::/64 on port 1, the rest of 10/8 behind 10.0.1.9.
fn table() -> Tabletop {
    let mut table = Tabletop::new(&["r0", "r1"]);
    table.address(0, "10.0.0.1/24");
    table.address(1, "10.0.1.1/24");
    table.address(0, "fd00::1/64");
    table.address(1, "fd01::1/64");
    table.route("10.0.0.0/8", "10.0.1.9", 1);
    table.neighbor(0, "10.0.0.2", Some(HOST.0));
    table.neighbor(1, "10.0.1.2", Some(SERVER));
    table.neighbor(1, "10.0.1.9", Some(GATEWAY));
    table.neighbor(1, "10.0.1.10", Some(OTHER_GATEWAY));
    table.neighbor(0, "fd00::2", Some(HOST.0));
    table.neighbor(1, "fd01::2", Some(SERVER));
    table
}

fn to_server() -> Ends {
    Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:2000")
}

fn from_server() -> Ends {
    let mut ends = Ends::to_port(1, "10.0.1.2:2000", "10.0.0.2:1000");
    ends.from = fib::adjacency::Mac(SERVER);
    ends
}

fn to_far() -> Ends {
    Ends::to_port(0, "10.0.0.2:1000", "10.9.9.9:2000")
}

/// The only frame that port `port` has sent.
fn only(table: &mut Tabletop, port: usize) -> Vec<u8> {
    let frames = table.take(port);
    assert_eq!(frames.len(), 1, "port {port} sent {frames:?}; drops: {}", drops(table));
    frames.into_iter().next().expect("one").bytes
}

fn drops(table: &Tabletop) -> String {
    let counted = |reason: &&DropReason| table.counters().drops(**reason) > 0;
    let names: Vec<_> = DropReason::ALL.iter().filter(counted).map(|reason| reason.name()).collect();
    names.join(", ")
}

#[test]
fn a_packet_leaves_with_its_ttl_lowered_and_new_link_addresses() {
    let mut table = table();
    table.pass(0, &to_server().udp(b"hello")[..]);
    let mut expected = to_server().with_ttl(63);
    expected.from = port_mac(1);
    expected.to = fib::adjacency::Mac(SERVER);
    assert_eq!(only(&mut table, 1), expected.udp(b"hello"));
    assert_eq!(table.counters().forwarded.get(), 1);
}

#[test]
fn ipv6_is_forwarded_likewise() {
    let mut table = table();
    let ends = Ends::to_port(0, "[fd00::2]:1000", "[fd01::2]:2000");
    table.pass(0, &ends.udp(b"hello")[..]);
    let mut expected = ends.with_ttl(63);
    expected.from = port_mac(1);
    expected.to = fib::adjacency::Mac(SERVER);
    assert_eq!(only(&mut table, 1), expected.udp(b"hello"));
}

#[test]
fn ethernet_padding_is_not_forwarded() {
    let mut table = table();
    let mut frame = to_server().udp(b"x");
    let len = frame.len();
    frame.resize(60, 0xee);
    table.pass(0, &frame[..]);
    assert_eq!(only(&mut table, 1).len(), len);
}

#[test]
fn a_flow_is_looked_up_once_in_each_direction() {
    let mut table = table();
    for _ in 0..5 {
        table.pass(0, &to_server().udp(b"ask")[..]);
        table.pass(1, &from_server().udp(b"answer")[..]);
    }
    assert_eq!(table.counters().forwarded.get(), 10);
    assert_eq!(table.counters().fib_lookups.get(), 2);
    assert_eq!(table.counters().flow_cache_hits.get(), 8);
}

#[test]
fn with_the_flow_cache_off_every_packet_is_looked_up() {
    let mut table = table();
    table.shared().set_flow_cache(FlowCache::Off);
    for _ in 0..3 {
        table.pass(0, &to_server().udp(b"ask")[..]);
    }
    assert_eq!(table.counters().fib_lookups.get(), 3);
    assert_eq!(table.take(1).len(), 3);
}

#[test]
fn without_its_hooks_packets_go_by_the_routes_that_each_worker_keeps() {
    let mut table = table();
    table.assembly.track_nothing();
    for _ in 0..3 {
        table.pass(0, &to_server().udp(b"ask")[..]);
    }
    assert_eq!(table.counters().fib_lookups.get(), 1);
    assert_eq!(table.counters().untracked_cache_hits.get(), 2);
    assert_eq!(table.counters().untracked_cache_entries.get(), 1);
    assert_eq!(table.take(1).len(), 3);
    assert_eq!(table.shared().flows.len(), 0);
    table.shared().flush_untracked();
    table.pass(0, &to_server().udp(b"ask")[..]);
    assert_eq!(table.counters().fib_lookups.get(), 2);
    table.shared().set_flow_cache_of(Kind::Untracked, FlowCache::Off);
    table.pass(0, &to_server().udp(b"ask")[..]);
    assert_eq!(table.counters().fib_lookups.get(), 3);
}

#[test]
fn routes_of_packets_without_a_flow_follow_every_change() {
    let mut table = table();
    table.assembly.track_nothing();
    let gateway = |table: &mut Tabletop| {
        table.pass(0, &to_far().udp(b"?")[..]);
        only(table, 1)[..6].to_vec()
    };
    assert_eq!(gateway(&mut table), GATEWAY);
    table.route("172.16.0.0/16", "10.0.1.10", 1);
    assert_eq!(gateway(&mut table), GATEWAY, "of another prefix");
    assert_eq!(table.counters().untracked_cache_unaffected.get(), 1);
    assert_eq!(table.counters().fib_lookups.get(), 1);
    table.route("10.9.0.0/16", "10.0.1.10", 1);
    assert_eq!(gateway(&mut table), OTHER_GATEWAY);
    table.neighbor(1, "10.0.1.10", Some(GATEWAY));
    let lookups = table.counters().fib_lookups.get();
    assert_eq!(gateway(&mut table), GATEWAY, "known by another address");
    assert_eq!(table.counters().fib_lookups.get(), lookups);
}

#[test]
fn a_full_table_of_routes_without_a_flow_forgets_and_goes_on() {
    let mut table = table();
    table.assembly.track_nothing();
    for port in 0..20_000_u16 {
        let ends = Ends::to_port(0, &format!("10.0.0.2:{}", port + 1), "10.0.1.2:2000");
        table.pass(0, &ends.udp(b"?")[..]);
        only(&mut table, 1);
    }
    let entries = table.counters().untracked_cache_entries.get();
    assert!((4_000..=8_192).contains(&entries), "{entries}");
}

#[test]
fn a_changed_route_takes_effect_with_the_next_packet() {
    let mut table = table();
    table.pass(0, &to_far().udp(b"1")[..]);
    assert_eq!(only(&mut table, 1)[..6], GATEWAY);
    table.route("10.0.0.0/8", "10.0.1.10", 1);
    table.pass(0, &to_far().udp(b"2")[..]);
    assert_eq!(only(&mut table, 1)[..6], OTHER_GATEWAY);
    assert_eq!(table.counters().flow_cache_revalidated.get(), 1);
    assert_eq!(table.shared().flows.len(), 1, "the flow has stayed");
}

#[test]
fn a_busy_flow_follows_its_route_too() {
    let mut table = table();
    (0..3).for_each(|_| table.pass(0, &to_far().udp(b"1")[..]));
    assert_eq!(table.take(1).len(), 3);
    table.route("10.0.0.0/8", "10.0.1.10", 1);
    for _ in 0..2 {
        table.pass(0, &to_far().udp(b"2")[..]);
        assert_eq!(only(&mut table, 1)[..6], OTHER_GATEWAY);
    }
}

#[test]
fn held_routes_stay_whatever_changes() {
    let mut table = table();
    table.shared().set_flow_cache(FlowCache::Hold);
    table.pass(0, &to_far().udp(b"1")[..]);
    table.route("10.0.0.0/8", "10.0.1.10", 1);
    table.pass(0, &to_far().udp(b"2")[..]);
    let sent = table.take(1);
    assert!(sent.iter().all(|frame| frame.bytes[..6] == GATEWAY), "{sent:?}");
    assert_eq!(sent.len(), 2);
}

#[test]
fn held_routes_do_not_lead_out_of_a_port_that_is_down() {
    let mut table = table();
    table.shared().set_flow_cache(FlowCache::Hold);
    table.pass(0, &to_far().udp(b"1")[..]);
    table.take(1);
    table.route("10.9.0.0/16", "10.0.0.2", 0);
    table.pass(0, &to_far().udp(b"2")[..]);
    assert_eq!(table.take(1).len(), 1, "the old way is held");
    table.apply([Change::Link(Link { admin_up: false, ..table_link(1) })]);
    table.pass(0, &to_far().udp(b"3")[..]);
    assert_eq!(table.take(1), []);
    assert_eq!(table.counters().flow_cache_revalidated.get(), 1);
}

#[test]
fn a_mark_that_the_flows_route_was_not_found_for_is_looked_up() {
    let mut table = table();
    let blackhole = Rule { mark: Some((1, 1)), ..rule(false, 100, RuleAction::Blackhole) };
    table.apply([Change::Rule(blackhole)]);
    table.pass(0, &to_server().udp(b"x")[..]);
    assert_eq!(table.take(1).len(), 1);
    let place = Place::new(Family::Ipv4, Point::Prerouting, "mangle");
    let hook = std::sync::Arc::new(Again(1));
    table.hooks().register([Registration { place, priority: priority::MANGLE, hook }]).unwrap();
    table.pass(0, &to_server().udp(b"x")[..]);
    assert_eq!(table.take(1), [], "the flow's route was for unmarked packets");
    assert_eq!(table.counters().drops(DropReason::Blackhole), 1);
}

#[test]
fn a_marked_flow_is_looked_up_once_too() {
    let mut table = table();
    let far = Rule { mark: Some((1, 1)), ..rule(false, 100, RuleAction::Lookup(77)) };
    table.apply([Change::Rule(far)]);
    table.apply([Change::Route(fib::change::Route {
        table: 77,
        ..gateway_route("0.0.0.0/0", "10.0.1.10", 1)
    })]);
    let place = Place::new(Family::Ipv4, Point::Prerouting, "mangle");
    let hook = std::sync::Arc::new(Again(1));
    table.hooks().register([Registration { place, priority: priority::MANGLE, hook }]).unwrap();
    for _ in 0..3 {
        table.pass(0, &to_far().udp(b"x")[..]);
        assert_eq!(only(&mut table, 1)[..6], OTHER_GATEWAY);
    }
    assert_eq!(table.counters().fib_lookups.get(), 1);
    assert_eq!(table.counters().flow_cache_hits.get(), 2);
}

/// Sends large packets elsewhere, as `meta length > 100 ip daddr set` does.
struct Divert;

impl Hook for Divert {
    fn handle(&self, packet: &mut Packet, _: &mut Context<'_>) -> Verdict {
        if packet.header.len > 100 {
            packet.ip_mut()[16..20].copy_from_slice(&[10, 0, 1, 2]);
            packet.read_header_again();
        }
        Verdict::Accept
    }
}

#[test]
fn a_packet_that_is_sent_elsewhere_goes_there_alone() {
    let mut table = table();
    let place = Place::new(Family::Ipv4, Point::Prerouting, "divert");
    let hook = std::sync::Arc::new(Divert);
    table.hooks().register([Registration { place, priority: priority::MANGLE, hook }]).unwrap();
    for (payload, to) in
        [(&[0; 10][..], GATEWAY), (&[0; 200], SERVER), (&[0; 10], GATEWAY), (&[0; 200], SERVER)]
    {
        table.pass(0, &to_far().udp(payload)[..]);
        assert_eq!(only(&mut table, 1)[..6], to, "{} bytes", payload.len());
    }
    assert_eq!(table.counters().fib_lookups.get(), 3);
    assert_eq!(table.counters().flow_cache_hits.get(), 1, "the flow's own way stays");
}

/// Changes a route while a packet is on its walk, its own route found and not yet kept.
struct Meanwhile(parking_lot::Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Hook for Meanwhile {
    fn handle(&self, _: &mut Packet, _: &mut Context<'_>) -> Verdict {
        if let Some(change) = self.0.lock().take() {
            change();
        }
        Verdict::Accept
    }
}

#[test]
fn a_change_in_the_middle_of_a_walk_reaches_the_next_packet() {
    let mut table = table();
    let placeholder = Writer::new(vec!["elsewhere".to_owned()], 1);
    let mut writer = std::mem::replace(&mut table.assembly.writer, placeholder);
    let change = move || {
        writer.apply([Change::Route(gateway_route("10.0.0.0/8", "10.0.1.10", 1))]);
    };
    seat(&table, "meanwhile", 0, Meanwhile(parking_lot::Mutex::new(Some(Box::new(change)))));
    table.pass(0, &to_far().udp(b"1")[..]);
    assert_eq!(only(&mut table, 1)[..6], GATEWAY, "judged by the state its turn began with");
    table.pass(0, &to_far().udp(b"2")[..]);
    assert_eq!(only(&mut table, 1)[..6], OTHER_GATEWAY);
}

#[test]
fn without_room_for_its_neighbor_a_packet_is_dropped_and_counted() {
    let kind = crate::port::memory::Settings::default();
    let mut table = Tabletop::build(Blueprint {
        host: super::Host::Kernel,
        ports: vec![("r0", kind), ("r1", kind)],
        bridges: Vec::new(),
        flows: conntrack::Config::default(),
        trackers: conntrack::Registry::builtin().build(),
        neighbors_max: 1,
    });
    table.address(0, "10.0.0.1/24");
    table.address(1, "10.0.1.1/24");
    table.neighbor(0, "10.0.0.2", Some(HOST.0));
    table.pass(0, &to_server().udp(b"x")[..]);
    assert_eq!(table.take(1), []);
    assert_eq!(table.counters().drops(DropReason::NeighborTableFull), 1);
}

#[test]
fn a_new_mac_reaches_a_flow_without_a_lookup() {
    let mut table = table();
    table.pass(0, &to_server().udp(b"1")[..]);
    table.neighbor(1, "10.0.1.2", Some([2, 9, 9, 9, 9, 9]));
    table.pass(0, &to_server().udp(b"2")[..]);
    let sent = table.take(1);
    assert_eq!(sent[1].bytes[..6], [2, 9, 9, 9, 9, 9]);
    assert_eq!(table.counters().fib_lookups.get(), 1);
}

#[test]
fn packets_wait_for_their_neighbor_and_leave_in_order() {
    let mut table = table();
    let ends = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.77:2000");
    for payload in [b"1", b"2", b"3"] {
        table.pass(0, &ends.udp(payload)[..]);
    }
    assert_eq!(table.take(1), []);
    assert_eq!(table.questions(), [(PortId(1), "10.0.1.77".parse().unwrap())]);
    table.neighbor(1, "10.0.1.77", Some(SERVER));
    table.settle();
    let sent = table.take(1);
    let payloads: Vec<_> = sent.iter().map(|frame| *frame.bytes.last().unwrap()).collect();
    assert_eq!(payloads, *b"123");
    assert_eq!(table.counters().forwarded.get(), 3);
}

#[test]
fn packets_for_a_dead_neighbor_are_answered_with_host_unreachable() {
    let mut table = table();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.77:2000").udp(b"1")[..]);
    table.neighbor(1, "10.0.1.77", None);
    table.settle();
    let answer = only(&mut table, 0);
    assert_eq!(answer[14 + 20..14 + 22], [3, 1]);
    assert_eq!(table.counters().drops(DropReason::NeighborFailed), 1);
}

#[test]
fn a_neighbor_that_fails_again_fails_its_packets_again() {
    let mut table = table();
    for _ in 0..2 {
        table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.77:2000").udp(b"1")[..]);
        table.neighbor(1, "10.0.1.77", None);
        table.advance(Duration::from_secs(1));
        assert_eq!(only(&mut table, 0)[14 + 20..14 + 22], [3, 1]);
    }
}

#[test]
fn waiting_packets_are_bounded_and_the_oldest_go_first() {
    let mut table = table();
    let ends = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.77:2000");
    for number in 0..300_u16 {
        table.pass(0, &ends.udp(&number.to_be_bytes())[..]);
    }
    table.neighbor(1, "10.0.1.77", Some(SERVER));
    table.settle();
    let sent = table.take(1);
    assert_eq!(sent.len(), 256);
    assert_eq!(sent[0].bytes[sent[0].bytes.len() - 2..], 44_u16.to_be_bytes());
    assert_eq!(table.counters().drops(DropReason::HoldQueueFull), 44);
}

#[test]
fn what_is_for_the_router_is_left_to_the_kernel() {
    let mut table = table();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "10.0.0.1:22").udp(b"x")[..]);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "10.0.1.255:22").udp(b"x")[..]);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "224.0.0.5:22").udp(b"x")[..]);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "255.255.255.255:22").udp(b"x")[..]);
    assert_eq!(table.counters().local.get(), 4);
    assert_eq!(table.take(0).len() + table.take(1).len(), 0);
}

#[test]
fn frames_for_others_are_not_touched() {
    let mut table = table();
    let mut ends = to_server();
    ends.to = fib::adjacency::Mac([2, 0, 0, 0, 7, 7]);
    table.pass(0, &ends.udp(b"x")[..]);
    ends.to = fib::adjacency::Mac([0xff; 6]);
    table.pass(0, &ends.udp(b"x")[..]);
    assert_eq!(table.take(1), []);
    assert_eq!(table.counters().ignored.get(), 1);
    assert_eq!(table.counters().drops(DropReason::NotUnicast), 1);
}

#[test]
fn a_used_up_ttl_is_answered() {
    let mut table = table();
    table.pass(0, &to_server().with_ttl(1).udp(b"x")[..]);
    let answer = only(&mut table, 0);
    assert_eq!(answer[14 + 12..14 + 16], [10, 0, 0, 1], "from the port it came in by");
    assert_eq!(answer[14 + 20..14 + 22], [11, 0]);
    assert_eq!(table.shared().flows.len(), 0, "no flow is confirmed");
}

#[test]
fn without_a_route_the_source_is_told_so() {
    let mut table = table();
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "192.0.2.1:2").udp(b"x")[..]);
    assert_eq!(only(&mut table, 0)[14 + 20..14 + 22], [3, 0]);
    table.pass(0, &Ends::to_port(0, "[fd00::2]:1", "[2001:db8::1]:2").udp(b"x")[..]);
    assert_eq!(only(&mut table, 0)[14 + 40..14 + 42], [1, 0]);
}

#[test]
fn a_large_packet_is_fragmented_or_refused() {
    let mut table = table();
    table.apply([Change::Link(Link { mtu: 600, ..table_link(1) })]);
    let mut frame = to_server().udp(&[7; 1000]);
    table.pass(0, &with_df(&mut frame, true)[..]);
    let answer = only(&mut table, 0);
    assert_eq!(answer[14 + 20..14 + 22], [3, 4]);
    assert_eq!(answer[14 + 26..14 + 28], 600_u16.to_be_bytes());
    table.pass(0, &with_df(&mut frame, false)[..]);
    let sent = table.take(1);
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|fragment| fragment.bytes.len() <= 14 + 600));
    assert_eq!(table.counters().fragments_made.get(), 2);
}

#[test]
fn fragments_find_their_flow_and_leave_as_they_came() {
    let mut table = table();
    let whole = to_server().udp(&[7; 1000]);
    let (first, second) = fragments(&whole, 504);
    table.pass(0, &second[..]);
    assert_eq!(table.take(1), []);
    table.pass(0, &first[..]);
    let sent: Vec<_> = table.take(1).iter().map(|frame| frame.bytes.len()).collect();
    assert_eq!(sent, [first.len(), second.len()]);
    assert_eq!(table.counters().datagrams_gathered.get(), 1);
    assert_eq!(table.shared().flows.len(), 1);
}

struct Says(Verdict);

impl Hook for Says {
    fn handle(&self, _: &mut Packet, _: &mut Context<'_>) -> Verdict {
        self.0
    }
}

fn seat(table: &Tabletop, name: &str, priority: i32, hook: impl Hook + 'static) {
    let place = Place::new(Family::Ipv4, Point::Forward, name);
    table.hooks().register([Registration { place, priority, hook: std::sync::Arc::new(hook) }]).unwrap();
}

/// Counts its calls in the packet's mark, and asks to be called again until it was called often enough.
struct Again(u32);

impl Hook for Again {
    fn handle(&self, packet: &mut Packet, _: &mut Context<'_>) -> Verdict {
        packet.mark += 1;
        if packet.mark < self.0 { Verdict::Repeat } else { Verdict::Accept }
    }
}

struct ExpectMark(u32);

impl Hook for ExpectMark {
    fn handle(&self, packet: &mut Packet, _: &mut Context<'_>) -> Verdict {
        if packet.mark == self.0 { Verdict::Accept } else { Verdict::Drop(DropReason::Rule) }
    }
}

struct Thief;

impl Hook for Thief {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        let frame = packet.steal();
        context.out.send(PortId(0), frame);
        Verdict::Stolen
    }
}

#[test]
fn accept_goes_on_drop_ends_and_stop_skips_the_rest() {
    for (first, passes, reason) in [
        (Verdict::Accept, false, Some(DropReason::Rule)),
        (Verdict::Drop(DropReason::Blackhole), false, Some(DropReason::Blackhole)),
        (Verdict::Stop, true, None),
    ] {
        let mut table = table();
        seat(&table, "first", 0, Says(first));
        seat(&table, "second", 1, Says(Verdict::Drop(DropReason::Rule)));
        table.pass(0, &to_server().udp(b"x")[..]);
        assert_eq!(table.take(1).len() == 1, passes, "{first:?}");
        if let Some(reason) = reason {
            assert_eq!(table.counters().drops(reason), 1, "{first:?}");
        }
    }
}

#[test]
fn repeat_calls_the_same_hook_again_but_not_for_ever() {
    let mut table = table();
    seat(&table, "again", 0, Again(3));
    seat(&table, "expect", 1, ExpectMark(3));
    table.pass(0, &to_server().udp(b"x")[..]);
    assert_eq!(table.take(1).len(), 1);
    seat(&table, "stuck", 2, Says(Verdict::Repeat));
    table.pass(0, &to_server().udp(b"x")[..]);
    assert_eq!(table.take(1), []);
    assert_eq!(table.counters().drops(DropReason::HookRepeatsTooOften), 1);
}

#[test]
fn stolen_leaves_the_packet_with_the_hook() {
    let mut table = table();
    let available = table.frames_available();
    seat(&table, "thief", 0, Thief);
    table.pass(0, &to_server().udp(b"x")[..]);
    assert_eq!(table.take(0).len(), 1, "the thief has sent it elsewhere");
    assert_eq!(table.take(1), []);
    assert_eq!(table.counters().stolen.get(), 1);
    assert_eq!(table.frames_available(), available, "its storage has come back once");
}

#[test]
fn queue_without_a_listener_drops() {
    let mut table = table();
    seat(&table, "queue", 0, Says(Verdict::Queue { number: 3, bypass: false }));
    table.pass(0, &to_server().udp(b"x")[..]);
    assert_eq!(table.take(1), []);
    assert_eq!(table.counters().drops(DropReason::QueueWithoutListener), 1);
}

fn table_link(port: usize) -> Link {
    crate::tabletop::link(port, ["r0", "r1"][port])
}

/// Sets or clears DF in a frame and mends its checksum.
fn with_df(frame: &mut [u8], df: bool) -> Vec<u8> {
    frame[14 + 6] = if df { 0x40 } else { 0 };
    crate::packet::ipv4::write_checksum(&mut frame[14..]);
    frame.to_vec()
}

/// Cuts an IPv4 frame in two behind `at` bytes of payload.
fn fragments(frame: &[u8], at: usize) -> (Vec<u8>, Vec<u8>) {
    let (headers, payload) = frame.split_at(14 + 20);
    let piece = |payload: &[u8], word: u16| {
        let mut piece = [headers, payload].concat();
        piece[14 + 2..14 + 4].copy_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
        piece[14 + 4..14 + 6].copy_from_slice(&77_u16.to_be_bytes());
        piece[14 + 6..14 + 8].copy_from_slice(&word.to_be_bytes());
        crate::packet::ipv4::write_checksum(&mut piece[14..]);
        piece
    };
    (piece(&payload[..at], 0x2000), piece(&payload[at..], (at / 8) as u16))
}
