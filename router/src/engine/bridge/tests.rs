//! Bridges on the table: where frames go, what stays of them, what the router and rules see.

use std::sync::Arc;
use std::time::Duration;

use fib::change::{Change, Link as Device};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::bridge::{Description, News, PullUp};
use crate::chain::{Hook, Place, Registration, Verdict, priority};
use crate::engine::Context;
use crate::frame::{Checksum, VlanTag};
use crate::packet::ipv4;
use crate::port::memory::Parcel;
use crate::tabletop::frames::Ends;
use crate::tabletop::{Tabletop, link, port_mac};

const PORTS: [&str; 3] = ["a0", "a1", "a2"];
const BRIDGE: usize = 3;

fn described() -> Description {
    Description::plain("br0", PortId(3), &[PortId(0), PortId(1), PortId(2)])
}

fn table_of(description: Description) -> Tabletop {
    Tabletop::bridged(&PORTS, vec![description], false)
}

fn table() -> Tabletop {
    table_of(described())
}

const fn host(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 7, number])
}

const GROUP: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

/// A frame without IP, padded as it would be on a wire.
fn frame(from: Mac, to: Mac) -> Vec<u8> {
    [&to.0[..], &from.0, &[0x88, 0xb5], &[0xee; 46]].concat()
}

fn between(from: Mac, to: Mac, source: &str, destination: &str) -> Ends {
    let mut ends = Ends::to_port(0, source, destination);
    (ends.from, ends.to) = (from, to);
    ends
}

/// How many frames each port has sent.
fn sent(table: &mut Tabletop) -> [usize; 3] {
    std::array::from_fn(|port| table.take(port).len())
}

fn all_sent(table: &mut Tabletop) -> Vec<(usize, Parcel)> {
    let ports = 0..PORTS.len();
    ports
        .flat_map(|port| table.take(port).into_iter().map(move |parcel| (port, parcel)).collect::<Vec<_>>())
        .collect()
}

fn counted(table: &Tabletop, name: &str) -> u64 {
    table.counters().bridge(0).named().find(|(known, _)| *known == name).expect("there is such a counter").1
}

fn set_up(table: &mut Tabletop, port: usize, up: bool) {
    let device = Device { admin_up: up, ..link(port, PORTS[port]) };
    table.apply([Change::Link(device)]);
}

fn seat(table: &Tabletop, family: Family, point: Point, hook: impl Hook + 'static) {
    let place = Place::new(family, point, "test");
    table
        .hooks()
        .register([Registration { place, priority: priority::FILTER, hook: Arc::new(hook) }])
        .unwrap();
}

struct Run<F>(F);

impl<F: Fn(&mut Packet, &mut Context<'_>) -> Verdict + Send + Sync> Hook for Run<F> {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        (self.0)(packet, context)
    }
}

/// Takes any closure for a hook.
fn run<F: Fn(&mut Packet, &mut Context<'_>) -> Verdict + Send + Sync>(hook: F) -> Run<F> {
    Run(hook)
}

#[test]
fn a_frame_for_nobody_known_leaves_by_all_other_ports_as_it_came() {
    let mut table = table();
    let mut parcel =
        between(host(1), host(2), "10.0.0.1:9", "10.0.0.2:9").tcp_super_packet(1, 1, &[7; 9000], 1448);
    parcel.vlan = Some(VlanTag { protocol: 0x88a8, control: 0xf00a });
    table.pass(0, parcel.clone());
    assert_eq!(all_sent(&mut table), [(1, parcel.clone()), (2, parcel)]);
    assert_eq!((table.counters().bridged.get(), counted(&table, "copies")), (1, 2));
    let mut padded = between(host(1), host(2), "10.0.0.1:9", "10.0.0.2:9").udp(b"x");
    padded.extend([0x55; 20]);
    table.pass(0, &padded[..]);
    assert!(all_sent(&mut table).iter().all(|(_, parcel)| parcel.bytes == padded), "padding stays");
}

#[test]
fn who_was_heard_is_sent_to_alone_until_silent_or_elsewhere() {
    let mut table = table();
    table.pass(1, &frame(host(2), host(1))[..]);
    sent(&mut table);
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 1, 0]);
    table.pass(2, &frame(host(2), host(1))[..]);
    assert_eq!(sent(&mut table), [1, 0, 0]);
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 0, 1]);
    table.advance(Duration::from_secs(299));
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 0, 1]);
    table.advance(Duration::from_secs(1));
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 1, 1]);
    assert_eq!((counted(&table, "learned"), counted(&table, "moved")), (2, 1));
    let news = table.shared().bridges.iter().next().unwrap().observed.news(table.now());
    assert_eq!(news, [News::Moved { mac: host(2), before: PortId(1), port: PortId(2) }]);
}

#[test]
fn a_frame_never_leaves_by_the_port_of_entry() {
    let mut table = table();
    table.pass(0, &frame(host(2), host(9))[..]);
    sent(&mut table);
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 0, 0]);
    assert_eq!(table.counters().drops(DropReason::BridgeSamePort), 1);
}

#[test]
fn a_frame_from_an_own_address_has_come_back_and_ends() {
    let mut table = table();
    for own in [port_mac(0), port_mac(2)] {
        table.pass(1, &frame(own, host(1))[..]);
    }
    assert_eq!(sent(&mut table), [0, 0, 0]);
    assert_eq!((table.counters().drops(DropReason::BridgeLoop), counted(&table, "looped")), (2, 2));
    let news = table.shared().bridges.iter().next().unwrap().observed.news(table.now());
    assert_eq!(news, [News::Loop { mac: port_mac(2), port: PortId(1) }]);
}

#[test]
fn frames_without_a_sender_or_a_whole_header_end() {
    let mut table = table();
    for source in [GROUP, Mac::default()] {
        table.pass(0, &frame(source, host(1))[..]);
    }
    table.pass(0, &frame(host(1), host(2))[..13]);
    assert_eq!(sent(&mut table), [0, 0, 0]);
    assert_eq!(table.counters().drops(DropReason::BridgeSource), 2);
    assert_eq!(table.counters().drops(DropReason::Truncated), 1);
}

#[test]
fn of_reserved_groups_spanning_tree_passes_and_pause_never() {
    let passed = |description: Description| {
        let mut table = table_of(description);
        let pass = |last: u8| {
            table.pass(0, &frame(host(1), Mac([1, 0x80, 0xc2, 0, 0, last]))[..]);
            sent(&mut table) == [0, 1, 1]
        };
        [0, 1, 2, 0x0e, 0x0f, 0x10].map(pass)
    };
    assert_eq!(passed(described()), [true, false, false, false, false, true]);
    let cable = Description { link_local: Reserved::Pass, ..described() };
    assert_eq!(passed(cable), [true, false, true, true, true, true]);
    let deaf = Description { stp: Reserved::Drop, ..described() };
    assert_eq!(passed(deaf), [false, false, false, false, false, true]);
}

#[test]
fn nobody_is_sent_to_behind_a_port_that_is_down() {
    let mut table = table();
    table.pass(1, &frame(host(2), host(1))[..]);
    sent(&mut table);
    set_up(&mut table, 1, false);
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 0, 1]);
    set_up(&mut table, 2, false);
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 0, 0]);
    assert_eq!(table.counters().drops(DropReason::BridgeNoPort), 1);
    set_up(&mut table, 1, true);
    set_up(&mut table, 2, true);
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 1, 1], "it was forgotten when the port went down");
}

#[test]
fn what_is_larger_than_a_port_can_send_ends_there() {
    let mut table = table();
    table.apply([Change::Link(Device { mtu: 100, ..link(1, "a1") })]);
    let long = |len: usize| [&frame(host(1), host(2))[..14], &vec![1; len][..]].concat();
    for (len, expected) in [(100, [0, 1, 1]), (104, [0, 1, 1]), (105, [0, 0, 1])] {
        table.pass(0, &long(len)[..]);
        assert_eq!(sent(&mut table), expected, "{len} bytes");
    }
    assert_eq!((table.counters().drops(DropReason::BridgeTooBig), counted(&table, "too_big")), (1, 1));
}

#[test]
fn a_flood_takes_frames_from_the_pool_and_counts_those_that_are_missing() {
    let mut table = table();
    let free = table.frames_available();
    let stash = Arc::new(Mutex::new(Vec::new()));
    let taking = stash.clone();
    let take_all = move |_: &mut Packet, context: &mut Context<'_>| {
        taking.lock().extend(std::iter::from_fn(|| context.out.take()));
        Verdict::Accept
    };
    seat(&table, Family::Bridge, Point::Prerouting, run(take_all));
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 0, 0]);
    assert_eq!((counted(&table, "copies_lost"), table.counters().drops(DropReason::NoFrame)), (2, 2));
    assert_eq!(table.frames_available() + stash.lock().len(), free, "none is lost");
}

#[test]
fn frames_go_back_to_the_pool() {
    let mut table = table();
    table.address(BRIDGE, "10.0.0.1/24");
    let free = table.frames_available();
    let ping = between(host(1), port_mac(0), "10.0.0.7:1", "10.0.0.1:1").echo(1);
    for (port, bytes) in [
        (0, frame(host(1), host(2))),
        (0, frame(host(1), GROUP)),
        (1, frame(host(2), host(1))),
        (1, frame(host(1), host(1))),
        (2, frame(port_mac(1), host(1))),
        (1, ping),
    ] {
        table.pass(port, &bytes[..]);
    }
    assert_eq!(table.frames_available(), free);
}

#[test]
fn the_router_answers_by_the_bridge_and_is_heard_where_the_host_is() {
    let mut table = table();
    table.address(BRIDGE, "10.0.0.1/24");
    table.neighbor(BRIDGE, "10.0.0.7", Some(host(1).0));
    // To the address of another member than the one it comes in by.
    let ping = between(host(1), port_mac(2), "10.0.0.7:1", "10.0.0.1:1").echo(1);
    table.pass(1, &ping[..]);
    let answers = all_sent(&mut table);
    assert_eq!(answers.len(), 1);
    let (port, answer) = &answers[0];
    assert_eq!((*port, &answer.bytes[..6], &answer.bytes[6..12]), (1, &host(1).0[..], &port_mac(0).0[..]));
    assert_eq!((counted(&table, "received_frames"), counted(&table, "sent_frames")), (1, 1));

    table.neighbor(BRIDGE, "10.0.0.8", Some(host(2).0));
    let ping = between(host(2), port_mac(0), "10.0.0.8:1", "10.0.0.1:1").echo(1);
    table.pass(0, &ping[..]);
    table.advance(Duration::from_secs(300));
    table.take(0);
    let ping = between(host(9), port_mac(0), "10.0.0.8:1", "10.0.0.1:1").echo(1);
    table.pass(1, &ping[..]);
    assert_eq!(sent(&mut table), [1, 1, 1], "nobody knows where the answer's host is");
}

#[test]
fn packets_are_routed_between_a_bridge_and_a_port() {
    let mut table = Tabletop::bridged(
        &["a0", "a1", "r0"],
        vec![Description::plain("br0", PortId(3), &[PortId(0), PortId(1)])],
        false,
    );
    table.address(BRIDGE, "10.0.0.1/24");
    table.address(2, "10.0.1.1/24");
    table.neighbor(BRIDGE, "10.0.0.7", Some(host(1).0));
    table.neighbor(2, "10.0.1.7", Some(host(2).0));
    table.pass(1, &between(host(1), port_mac(0), "10.0.0.7:1", "10.0.1.7:1").udp(b"there")[..]);
    assert_eq!(sent(&mut table), [0, 0, 1]);
    table.pass(2, &between(host(2), port_mac(2), "10.0.1.7:1", "10.0.0.7:1").udp(b"back")[..]);
    assert_eq!(sent(&mut table), [0, 1, 0]);
    assert_eq!((table.counters().forwarded.get(), table.counters().dropped.get()), (2, 0));
    // Larger than the MTU: each piece finds its way.
    let mut big = between(host(2), port_mac(2), "10.0.1.7:1", "10.0.0.7:1").udp(&[7; 3000]);
    big[20] &= !0x40;
    ipv4::write_checksum(&mut big[14..]);
    table.apply([Change::Link(Device { mtu: 9000, ..link(2, "r0") })]);
    table.pass(2, &big[..]);
    assert_eq!(sent(&mut table), [0, 3, 0]);
    // Rules of the bridge see each piece with what rules of IP have said, and may drop it.
    let mark = |packet: &mut Packet, _: &mut Context<'_>| {
        packet.mark = 9;
        Verdict::Accept
    };
    seat(&table, Family::Ipv4, Point::Forward, run(mark));
    let drop_marked = |packet: &mut Packet, _: &mut Context<'_>| {
        if packet.mark == 9 { Verdict::Drop(DropReason::Rule) } else { Verdict::Accept }
    };
    seat(&table, Family::Bridge, Point::Output, run(drop_marked));
    table.pass(2, &big[..]);
    assert_eq!((sent(&mut table), table.counters().drops(DropReason::Rule)), ([0, 0, 0], 3));
}

#[test]
fn what_is_for_many_leaves_by_all_ports_and_reaches_the_router() {
    let mut table = table();
    table.address(BRIDGE, "10.0.0.1/24");
    table.pass(0, &between(host(1), Mac([0xff; 6]), "10.0.0.7:1", "10.0.0.255:9").udp(b"all")[..]);
    assert_eq!(sent(&mut table), [0, 1, 1]);
    assert_eq!(counted(&table, "received_frames"), 1);
}

#[test]
fn a_frame_of_a_vlan_is_passed_and_is_not_the_routers() {
    let mut table = table();
    table.address(BRIDGE, "10.0.0.1/24");
    table.neighbor(BRIDGE, "10.0.0.7", Some(host(1).0));
    let mut ping = Parcel::from(&between(host(1), port_mac(0), "10.0.0.7:1", "10.0.0.1:1").echo(1)[..]);
    ping.vlan = Some(VlanTag::customer(5));
    table.pass(1, ping.clone());
    assert_eq!(sent(&mut table), [0, 0, 0]);
    assert_eq!(table.counters().ignored.get(), 1);
    ping.vlan = Some(VlanTag { protocol: 0x8100, control: 0xe000 });
    table.pass(1, ping);
    let answers = all_sent(&mut table);
    assert_eq!(answers.len(), 1, "a priority is no VLAN");
    assert_eq!(answers[0].1.vlan, None);
}

/// Where hooks saw a frame: the point, the port it came in by, the port it leaves by.
type Seen = Arc<Mutex<Vec<(Point, Option<u16>, Option<u16>)>>>;

fn watch(table: &Tabletop) -> Seen {
    let seen = Seen::default();
    for point in Point::ALL {
        let seen = seen.clone();
        let note = move |packet: &mut Packet, _: &mut Context<'_>| {
            let output = packet.route.map(|routed| routed.hop.port.0);
            seen.lock().push((point, packet.input_port().map(|port| port.0), output));
            Verdict::Accept
        };
        seat(table, Family::Bridge, point, run(note));
    }
    seen
}

#[test]
fn hooks_see_a_frame_once_as_it_comes_and_once_for_each_port_it_leaves_by() {
    use Point::{Forward, Input, Output, Postrouting, Prerouting};
    let mut table = table();
    table.address(BRIDGE, "10.0.0.1/24");
    table.neighbor(BRIDGE, "10.0.0.7", Some(host(1).0));
    let seen = watch(&table);
    let take = || std::mem::take(&mut *seen.lock());

    table.pass(0, &frame(host(1), GROUP)[..]);
    assert_eq!(
        take(),
        [
            (Prerouting, Some(0), None),
            (Forward, Some(0), Some(1)),
            (Postrouting, Some(0), Some(1)),
            (Forward, Some(0), Some(2)),
            (Postrouting, Some(0), Some(2)),
            (Input, Some(0), None),
        ]
    );
    table.pass(0, &between(host(1), port_mac(0), "10.0.0.7:1", "10.0.0.1:1").echo(1)[..]);
    assert_eq!(
        take(),
        [
            (Prerouting, Some(0), None),
            (Input, Some(0), None),
            (Output, None, Some(0)),
            (Postrouting, None, Some(0)),
        ]
    );
    table.pass(2, &frame(host(2), host(1))[..]);
    assert_eq!(
        take(),
        [(Prerouting, Some(2), None), (Forward, Some(2), Some(0)), (Postrouting, Some(2), Some(0))]
    );
}

#[test]
fn rules_read_what_is_in_a_frame_and_behind_its_outermost_tag() {
    let mut table = table();
    let ports = Arc::new(Mutex::new(Vec::new()));
    let seen = ports.clone();
    let note = move |packet: &mut Packet, _: &mut Context<'_>| {
        seen.lock().push((packet.ether_type(), packet.header.destination_port));
        Verdict::Accept
    };
    seat(&table, Family::Bridge, Point::Prerouting, run(note));
    let udp = between(host(1), host(2), "10.0.0.7:1", "10.0.0.8:53").udp(b"x");
    let mut inner = udp.clone();
    inner.splice(12..12, VlanTag::customer(7).bytes());
    let mut outer = Parcel::from(&inner[..]);
    outer.vlan = Some(VlanTag { protocol: 0x88a8, control: 3 });
    table.pass(0, &udp[..]);
    table.pass(0, &inner[..]);
    table.pass(0, outer);
    table.pass(0, &frame(host(1), host(2))[..]);
    let ip = (ethernet::IPV4, 53);
    // An inner tag is what the outer one carries, as in the kernel.
    assert_eq!(*ports.lock(), [ip, ip, (ethernet::VLAN, 0), (0x88b5, 0)]);
}

#[test]
fn a_dropped_frame_is_learned_from_only_behind_the_first_hooks() {
    let mut table = table();
    let drop_all = |_: &mut Packet, _: &mut Context<'_>| Verdict::Drop(DropReason::Rule);
    seat(&table, Family::Bridge, Point::Prerouting, run(drop_all));
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(counted(&table, "learned"), 0);
    table.hooks().unregister([Place::new(Family::Bridge, Point::Prerouting, "test")]).unwrap();
    seat(&table, Family::Bridge, Point::Forward, run(drop_all));
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(sent(&mut table), [0, 0, 0]);
    assert_eq!((counted(&table, "learned"), table.counters().drops(DropReason::Rule)), (1, 3));
}

#[test]
fn where_a_rule_sends_a_frame_there_it_goes() {
    let mut table = table();
    table.pass(2, &frame(host(3), host(9))[..]);
    sent(&mut table);
    let redirect = |packet: &mut Packet, _: &mut Context<'_>| {
        packet.frame_mut().bytes_mut()[..6].copy_from_slice(&host(3).0);
        Verdict::Accept
    };
    seat(&table, Family::Bridge, Point::Prerouting, run(redirect));
    table.pass(0, &frame(host(1), host(2))[..]);
    assert_eq!(all_sent(&mut table), [(2, Parcel::from(&frame(host(1), host(3))[..]))]);
}

fn mark_with(mark: u32) -> impl Hook + 'static {
    run(move |packet: &mut Packet, _: &mut Context<'_>| {
        if packet.header.destination_port == 53 {
            packet.mark = mark;
        }
        Verdict::Accept
    })
}

/// A bridge of a0 and a1 that pulls frames up, and two ports more.
fn pulling(pull_up: Vec<PullUp>) -> Tabletop {
    let members = [PortId(0), PortId(1)];
    let description = Description { pull_up, ..Description::plain("br0", PortId(3), &members) };
    let mut table = Tabletop::bridged(&["a0", "a1", "r0"], vec![description], false);
    table.apply([Change::Link(Device { no_arp: true, ..link(2, "r0") })]);
    table
}

#[test]
fn a_marked_frame_is_pulled_up_and_leaves_by_the_port_that_is_configured_without_a_route() {
    let mut table = pulling(vec![PullUp { mark: 0x10, mask: 0xf0, port: Some(PortId(2)) }]);
    seat(&table, Family::Bridge, Point::Prerouting, mark_with(0x15));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let note = move |packet: &mut Packet, _: &mut Context<'_>| {
        let link = packet.frame().bytes()[..packet.network_offset()].to_vec();
        noted.lock().push((packet.input(), packet.mark, packet.target(), link));
        Verdict::Accept
    };
    seat(&table, Family::Ipv4, Point::Prerouting, run(note));
    let chosen = between(host(1), host(2), "10.0.0.7:1", "10.0.0.8:53");
    table.pass(0, &chosen.udp(b"x")[..]);
    let other = between(host(1), host(2), "10.0.0.7:1", "10.0.0.8:54").udp(b"x");
    table.pass(0, &other[..]);
    let left = all_sent(&mut table);
    assert_eq!(left.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(left[0].1.bytes, other, "what is not chosen passes as it came");
    assert_eq!(left[1].1.bytes[14..], chosen.with_ttl(63).udp(b"x")[14..]);
    let link = [&host(2).0[..], &host(1).0, &[8, 0]].concat();
    assert_eq!(*seen.lock(), [(PortId(3), 0x15, LinkTarget::Host, link)]);
    assert_eq!(counted(&table, "pulled_up"), 1);
}

#[test]
fn what_leaves_by_an_ethernet_when_pulled_up_goes_to_whom_it_was_for() {
    let entry = PullUp { mark: 7, mask: 7, port: Some(PortId(2)) };
    let mut table = pulling(vec![entry]);
    table.apply([Change::Link(link(2, "r0"))]);
    seat(&table, Family::Bridge, Point::Prerouting, mark_with(7));
    table.pass(0, &between(host(1), host(2), "10.0.0.7:1", "10.0.0.8:53").udp(b"x")[..]);
    let left = all_sent(&mut table);
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].0, &left[0].1.bytes[..6], &left[0].1.bytes[6..12]),
        (2, &host(2).0[..], &port_mac(2).0[..])
    );
}

#[test]
fn a_frame_that_a_rule_or_a_mark_pulls_up_is_routed() {
    for by_mark in [true, false] {
        let entry = PullUp { mark: 1, mask: 1, port: None };
        let mut table = pulling(if by_mark { vec![entry] } else { vec![] });
        table.address(2, "10.0.1.1/24");
        let choose = move |packet: &mut Packet, _: &mut Context<'_>| {
            packet.mark = 1;
            packet.pull_up = !by_mark;
            Verdict::Accept
        };
        seat(&table, Family::Bridge, Point::Prerouting, run(choose));
        table.pass(0, &between(host(1), host(2), "10.0.0.7:1", "10.0.1.8:53").udp(b"x")[..]);
        assert_eq!(sent(&mut table), [0, 0, 1]);
    }
}

#[test]
fn what_is_no_untagged_ip_is_not_pulled_up_and_passes() {
    let mut table = pulling(vec![PullUp { mark: 0, mask: 0, port: Some(PortId(2)) }]);
    let sound = between(host(1), host(2), "10.0.0.7:1", "10.0.0.8:53").udp(b"x");
    let mut tagged = Parcel::from(&sound[..]);
    tagged.vlan = Some(VlanTag::customer(0));
    let mut inner = sound.clone();
    inner.splice(12..12, VlanTag::customer(7).bytes());
    let mut broken = sound.clone();
    broken[24] ^= 1;
    let others = [
        tagged,
        Parcel::from(&inner[..]),
        Parcel::from(&broken[..]),
        Parcel::from(&frame(host(1), host(2))[..]),
    ];
    for parcel in &others {
        table.pass(0, parcel.clone());
        assert_eq!(all_sent(&mut table), [(1, parcel.clone())]);
    }
    assert_eq!((counted(&table, "not_pulled_up"), counted(&table, "pulled_up")), (4, 0));
    table.pass(0, &sound[..]);
    assert_eq!(sent(&mut table), [0, 0, 1]);
}

#[test]
fn a_full_table_floods_and_says_so() {
    let mut table = table_of(Description { macs_max: 16, ..described() });
    for number in 0..40 {
        table.pass(0, &frame(host(number), GROUP)[..]);
    }
    sent(&mut table);
    assert!(counted(&table, "macs_full") >= 24);
    table.pass(1, &frame(host(99), host(39))[..]);
    assert_eq!(sent(&mut table), [1, 0, 1]);
    let news = table.shared().bridges.iter().next().unwrap().observed.news(table.now());
    assert!(matches!(news[..], [News::Full { refused: 24.. }]));
}

#[test]
fn a_host_that_is_configured_cannot_be_moved_by_frames() {
    let mut table = table_of(Description { fixed: vec![(host(1), PortId(1))], ..described() });
    table.pass(2, &frame(host(1), GROUP)[..]);
    sent(&mut table);
    table.pass(0, &frame(host(2), host(1))[..]);
    assert_eq!(sent(&mut table), [0, 1, 0]);
    assert_eq!(counted(&table, "fixed_elsewhere"), 1);
}

/// What happens on the wires.
#[derive(Clone, Debug)]
enum Step {
    Send { port: usize, from: u8, to: u8 },
    Wait(u64),
    Switch(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3_usize, 0..6_u8, 0..8_u8).prop_map(|(port, from, to)| Step::Send { port, from, to }),
        1 => (1..200_u64).prop_map(Step::Wait),
        1 => (0..3_usize, any::<bool>()).prop_map(|(port, up)| Step::Switch(port, up)),
    ]
}

/// A bridge in the plainest words: who was heard where and when, and which ports are up.
struct Oracle {
    heard: Vec<(Mac, usize, u64)>,
    up: [bool; 3],
}

impl Oracle {
    /// The ports by which a frame leaves.
    fn pass(&mut self, port: usize, from: Mac, to: Mac, now: u64) -> Vec<usize> {
        self.heard.retain(|(mac, _, at)| *mac != from && now - at < 300);
        self.heard.push((from, port, now));
        let known = self.heard.iter().find(|(mac, ..)| *mac == to).map(|(_, port, _)| *port);
        let others = (0..3).filter(|other| *other != port && self.up[*other]);
        match known {
            Some(known) => others.filter(|other| *other == known).collect(),
            None => others.collect(),
        }
    }
}

/// A destination: a host, the group, or everybody.
const fn destination(number: u8) -> Mac {
    match number {
        6 => GROUP,
        7 => Mac([0xff; 6]),
        _ => host(number),
    }
}

proptest! {
    #[test]
    fn frames_leave_where_the_plainest_bridge_would_send_them(steps in prop::collection::vec(step(), 1..120)) {
        let mut table = table();
        let mut oracle = Oracle { heard: Vec::new(), up: [true; 3] };
        let mut now = 0;
        for step in steps {
            match step {
                Step::Send { port, from, to } if oracle.up[port] => {
                    let bytes = frame(host(from), destination(to));
                    table.pass(port, &bytes[..]);
                    let expected: Vec<_> = oracle.pass(port, host(from), destination(to), now).into_iter()
                        .map(|port| (port, Parcel { bytes: bytes.clone(), checksum: Checksum::Unknown, ..Parcel::default() }))
                        .collect();
                    prop_assert_eq!(all_sent(&mut table), expected);
                }
                Step::Send { .. } => {}
                Step::Wait(seconds) => {
                    now += seconds;
                    table.advance(Duration::from_secs(seconds));
                }
                Step::Switch(port, up) => {
                    set_up(&mut table, port, up);
                    oracle.up[port] = up;
                    if !up {
                        oracle.heard.retain(|(_, behind, _)| *behind != port);
                    }
                }
            }
        }
        prop_assert_eq!(table.counters().dropped.get(), table.counters().drops(DropReason::BridgeSamePort)
            + table.counters().drops(DropReason::BridgeNoPort));
    }
}
