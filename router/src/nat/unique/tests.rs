//! Choices as the kernel makes them: addresses are compared with recorded ones, ids with its rules.

use std::collections::HashSet;

use conntrack::{Config, Confirmed, Datagram, Registry, Shared, Status, Table, Tracked};
use smoltcp::wire::TcpControl;

use super::*;
use crate::chain::Verdict;
use crate::drops::DropReason;
use crate::flow::{Flow, Tentative};
use crate::nat::{Flags, decide};
use crate::tabletop::frames::Ends;

const NOW: Instant = Instant::from_secs(100);

fn table() -> FlowTable {
    Table::new(Config { seed: [5, 6], ..Config::default() }, Registry::builtin().build())
}

/// The flow that begins with this frame.
fn begin(table: &FlowTable, frame: &[u8]) -> Tentative {
    let family = if frame[12..14] == [0x86, 0xdd] { Family::Ipv6 } else { Family::Ipv4 };
    match table.track(&Datagram::new(family, &frame[14..]), NOW) {
        Tracked::Flow { flow: Flow::Tentative(tentative), .. } => tentative,
        other => panic!("begins no flow: {other:?}"),
    }
}

fn udp(source: &str, destination: &str) -> Vec<u8> {
    Ends::to_port(0, source, destination).udp(b"x")
}

fn syn(source: &str, destination: &str) -> Vec<u8> {
    Ends::to_port(0, source, destination).tcp(TcpControl::Syn, 1, None, b"")
}

fn range(first: &str, last: &str) -> Range {
    Range { addresses: Some((first.parse().unwrap(), last.parse().unwrap())), ..Range::default() }
}

fn with_ids(range: Range, low: u16, high: u16) -> Range {
    Range { ids: Some((low, high)), ..range }
}

fn with_flags(range: Range, flags: Flags) -> Range {
    Range { flags, ..range }
}

const RANDOM: Flags = Flags { random: true, fully_random: false, persistent: false, netmap: false };
const PERSISTENT: Flags = Flags { random: false, fully_random: false, persistent: true, netmap: false };

/// How packets of a flow look on the other side: `source:id > destination:id`.
fn seen(table: &FlowTable, flow: &Conn) -> String {
    let there = table.invert(&flow.tuple(Direction::Reply)).unwrap();
    let ids = there.ids();
    format!("{}:{} > {}:{}", there.source(), ids.source, there.destination(), ids.destination)
}

/// Decides one side of the flow that a frame begins, and confirms it.
fn pass(table: &FlowTable, frame: &[u8], range: &Range, manip: Manip) -> Result<String, DropReason> {
    let mut flow = begin(table, frame);
    match decide(&mut flow, table, NOW, range, manip) {
        Verdict::Accept => {}
        Verdict::Drop(reason) => return Err(reason),
        other => panic!("{other:?}"),
    }
    let seen = seen(table, &flow);
    match table.confirm(flow, NOW) {
        Confirmed::Inserted(_) => Ok(seen),
        other => panic!("{seen}: {other:?}"),
    }
}

fn snat(table: &FlowTable, frame: &[u8], range: &Range) -> Result<String, DropReason> {
    pass(table, frame, range, Manip::Source)
}

/// The id that a flow's source got.
fn source_id(seen: &str) -> u16 {
    let (source, _) = seen.split_once(" > ").unwrap();
    source.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Recorded on Linux 6.18: `snat to FIRST-LAST [persistent]` and likewise `dnat` of UDP packets to port 53.
#[test]
fn clients_are_spread_over_a_range_as_linux_spreads_them() {
    let four = range("192.0.2.1", "192.0.2.50");
    let servers = range("10.0.1.2", "10.0.1.30");
    let six = range("2001:db8::1", "2001:db8::ffff");
    let wide = range("2001:db8:0:1::5", "2001:db8:1:ffff::9");
    let servers6 = range("fd01::2", "fd01::20");
    use Manip::{Destination, Source};
    for (manip, range, source, destination, expected) in [
        (Source, four, "10.0.0.2", "10.0.1.2", "192.0.2.37"),
        (Source, four, "10.0.0.3", "10.0.1.2", "192.0.2.22"),
        (Source, four, "10.0.0.119", "10.0.1.2", "192.0.2.45"),
        (Source, with_flags(four, PERSISTENT), "10.0.0.2", "10.0.1.3", "192.0.2.49"),
        (Source, with_flags(four, PERSISTENT), "10.0.0.3", "10.0.1.3", "192.0.2.42"),
        (Source, with_flags(four, PERSISTENT), "10.0.0.119", "10.0.1.3", "192.0.2.42"),
        (Destination, servers, "10.0.0.2", "10.9.9.9", "10.0.1.5"),
        (Destination, servers, "10.0.0.3", "10.9.9.9", "10.0.1.16"),
        (Destination, servers, "10.0.0.119", "10.9.9.9", "10.0.1.15"),
        (Destination, with_flags(servers, PERSISTENT), "10.0.0.2", "10.9.9.8", "10.0.1.30"),
        (Destination, with_flags(servers, PERSISTENT), "10.0.0.3", "10.9.9.8", "10.0.1.26"),
        (Destination, with_flags(servers, PERSISTENT), "10.0.0.119", "10.9.9.8", "10.0.1.25"),
        (Source, six, "fd00::2", "fd01::2", "2001:db8::19cb"),
        (Source, six, "fd00::3", "fd01::2", "2001:db8::36c5"),
        (Source, six, "fd00::77", "fd01::2", "2001:db8::93b1"),
        (Source, with_flags(wide, PERSISTENT), "fd00::2", "fd01::3", "2001:db8:0:2dda:16ec:da2c:16ec:da2c"),
        (Source, with_flags(wide, PERSISTENT), "fd00::3", "fd01::3", "2001:db8:1:8c1:8460:4b64:8460:4b64"),
        (Source, with_flags(wide, PERSISTENT), "fd00::77", "fd01::3", "2001:db8:0:4572:22b8:9dea:22b8:9dea"),
        (Source, wide, "fd00::2", "fd01::4", "2001:db8:1:daac:ed56:3219:ed56:3219"),
        (Source, wide, "fd00::3", "fd01::4", "2001:db8:0:bd14:5e89:f8f2:5e89:f8f2"),
        (Source, wide, "fd00::77", "fd01::4", "2001:db8:0:f5f9:7afc:b793:7afc:b793"),
        (Destination, servers6, "fd00::2", "fd99::9", "fd01::1d"),
        (Destination, servers6, "fd00::3", "fd99::9", "fd01::f"),
        (Destination, servers6, "fd00::77", "fd99::9", "fd01::1f"),
    ] {
        let table = table();
        let bracketed = |address: &str, port: u16| {
            if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
        };
        let seen =
            pass(&table, &udp(&bracketed(source, 1000), &bracketed(destination, 53)), &range, manip).unwrap();
        let expected = match manip {
            Source => format!("{expected}:1000 > {destination}:53"),
            Destination => format!("{source}:1000 > {expected}:53"),
        };
        assert_eq!(seen, expected, "{range:?}");
    }
}

#[test]
fn all_addresses_as_a_range_leave_the_source_where_it_is() {
    let table = table();
    let all = range("0.0.0.0", "255.255.255.255");
    assert_eq!(
        snat(&table, &udp("10.0.0.2:1000", "10.0.1.2:53"), &all).unwrap(),
        "10.0.0.2:1000 > 10.0.1.2:53"
    );
}

#[test]
fn a_port_is_kept_while_it_is_free_towards_that_destination() {
    let table = table();
    let one = range("192.0.2.1", "192.0.2.1");
    let pass = |source, destination| snat(&table, &udp(source, destination), &one).unwrap();
    assert_eq!(pass("10.0.0.2:5000", "10.0.1.2:53"), "192.0.2.1:5000 > 10.0.1.2:53");
    assert_eq!(pass("10.0.0.3:5000", "10.0.1.3:53"), "192.0.2.1:5000 > 10.0.1.3:53");
    let other = source_id(&pass("10.0.0.3:5000", "10.0.1.2:53"));
    assert!(other >= 1024 && other != 5000, "{other}");
    // TCP ports are others.
    assert_eq!(
        snat(&table, &syn("10.0.0.3:5000", "10.0.1.2:53"), &one).unwrap(),
        "192.0.2.1:5000 > 10.0.1.2:53"
    );
}

#[test]
fn a_port_that_is_taken_is_replaced_by_one_of_its_kind() {
    for (port, kind) in
        [(1, 1..=511), (511, 1..=511), (512, 600..=1023), (1023, 600..=1023), (1024, 1024..=65_535)]
    {
        let table = table();
        let one = range("192.0.2.1", "192.0.2.1");
        for client in 2..30 {
            let frame = udp(&format!("10.0.0.{client}:{port}"), "10.0.1.2:53");
            let id = source_id(&snat(&table, &frame, &one).unwrap());
            assert!(id == port && client == 2 || kind.contains(&id), "{port} became {id}");
        }
    }
}

#[test]
fn a_source_keeps_its_mapping_towards_other_destinations() {
    let table = table();
    let one = range("192.0.2.1", "192.0.2.1");
    snat(&table, &udp("10.0.0.2:5000", "10.0.1.2:53"), &one).unwrap();
    let taken = snat(&table, &udp("10.0.0.3:5000", "10.0.1.2:53"), &one).unwrap();
    let mapped = source_id(&taken);
    assert_ne!(mapped, 5000);
    let again = snat(&table, &udp("10.0.0.3:5000", "10.0.1.9:53"), &one).unwrap();
    assert_eq!(again, format!("192.0.2.1:{mapped} > 10.0.1.9:53"), "although 5000 would be free there");
}

#[test]
fn a_source_keeps_its_address_of_a_range_and_leaves_one_it_may_no_longer_have() {
    let table = table();
    let first =
        snat(&table, &udp("10.0.0.2:5000", "10.0.1.2:53"), &range("192.0.2.1", "192.0.2.50")).unwrap();
    assert_eq!(first, "192.0.2.37:5000 > 10.0.1.2:53");
    let pass = |destination, range| snat(&table, &udp("10.0.0.2:5000", destination), &range).unwrap();
    assert_eq!(pass("10.0.1.3:53", range("192.0.2.30", "192.0.2.50")), "192.0.2.37:5000 > 10.0.1.3:53");
    assert_eq!(pass("10.0.1.4:53", range("192.0.2.1", "192.0.2.1")), "192.0.2.1:5000 > 10.0.1.4:53");
    // The newest mapping comes first.
    assert_eq!(pass("10.0.1.5:53", range("192.0.2.0", "192.0.2.50")), "192.0.2.1:5000 > 10.0.1.5:53");
}

#[test]
fn ids_are_taken_from_a_range_until_none_is_left() {
    let table = table();
    let ten = with_ids(range("192.0.2.1", "192.0.2.1"), 4000, 4009);
    let mut ids = HashSet::new();
    for client in 2..12 {
        let frame = udp(&format!("10.0.0.{client}:5000"), "10.0.1.2:53");
        ids.insert(source_id(&snat(&table, &frame, &ten).unwrap()));
    }
    assert_eq!(ids.len(), 10);
    assert!(ids.iter().all(|id| (4000..4010).contains(id)), "{ids:?}");
    let one_more = udp("10.0.0.99:5000", "10.0.1.2:53");
    assert_eq!(snat(&table, &one_more, &ten), Err(DropReason::NatExhausted));
    assert_eq!(table.len(), 10, "the flow is gone");
    assert!(snat(&table, &udp("10.0.0.99:5000", "10.0.1.3:53"), &ten).is_ok(), "towards another there are");
}

#[test]
fn an_id_within_the_range_is_kept_and_one_of_one_is_never_replaced() {
    let table = table();
    let some = with_ids(range("192.0.2.1", "192.0.2.1"), 4000, 4999);
    assert_eq!(
        snat(&table, &udp("10.0.0.2:4567", "10.0.1.2:53"), &some).unwrap(),
        "192.0.2.1:4567 > 10.0.1.2:53"
    );
    let one = with_ids(range("192.0.2.1", "192.0.2.1"), 4567, 4567);
    assert_eq!(snat(&table, &udp("10.0.0.3:4567", "10.0.1.2:53"), &one), Err(DropReason::NatExhausted));
}

#[test]
fn a_random_id_is_not_the_packets_own_and_others_for_others() {
    let table = table();
    let random = with_flags(range("192.0.2.1", "192.0.2.1"), RANDOM);
    let ids: HashSet<u16> = (2..102)
        .map(|client| {
            let frame = udp(&format!("10.0.0.{client}:5000"), "10.0.1.2:53");
            source_id(&snat(&table, &frame, &random).unwrap())
        })
        .collect();
    assert!(ids.len() == 100 && ids.iter().all(|id| *id >= 1024), "{ids:?}");
    let (low, high) = (ids.iter().min().unwrap(), ids.iter().max().unwrap());
    assert!(high - low > 50_000, "spread over {low} to {high}");
}

#[test]
fn a_destination_keeps_its_port_or_gets_the_first_of_a_range() {
    let table = table();
    let server = range("10.0.1.2", "10.0.1.2");
    let pass = |source, range| pass(&table, &udp(source, "192.0.2.1:80"), range, Manip::Destination).unwrap();
    assert_eq!(pass("10.0.0.2:1000", &server), "10.0.0.2:1000 > 10.0.1.2:80");
    let ports = with_ids(server, 8000, 8003);
    assert_eq!(pass("10.0.0.2:1001", &ports), "10.0.0.2:1001 > 10.0.1.2:8000");
    assert_eq!(pass("10.0.0.3:1001", &ports), "10.0.0.3:1001 > 10.0.1.2:8000");
    let offset = Range { base_id: Some(78), ..ports };
    assert_eq!(pass("10.0.0.2:1002", &offset), "10.0.0.2:1002 > 10.0.1.2:8002");
}

#[test]
fn two_ways_to_one_server_are_told_apart_by_the_source_port() {
    let table = table();
    let leave = |frame: &[u8]| {
        let mut flow = begin(&table, frame);
        if flow.tuple(Direction::Original).destination() != "10.0.1.2".parse::<IpAddr>().unwrap() {
            let to_server = with_ids(range("10.0.1.2", "10.0.1.2"), 80, 80);
            assert_eq!(decide(&mut flow, &table, NOW, &to_server, Manip::Destination), Verdict::Accept);
        }
        let unchanged = Range::to(flow.tuple(Direction::Reply).destination());
        assert_eq!(decide(&mut flow, &table, NOW, &unchanged, Manip::Source), Verdict::Accept);
        let seen = seen(&table, &flow);
        assert!(matches!(table.confirm(flow, NOW), Confirmed::Inserted(_)));
        seen
    };
    assert_eq!(leave(&syn("10.0.0.2:5000", "10.0.1.2:80")), "10.0.0.2:5000 > 10.0.1.2:80");
    let by_name = leave(&syn("10.0.0.2:5000", "192.0.2.1:8080"));
    assert!(by_name.starts_with("10.0.0.2:") && by_name.ends_with(" > 10.0.1.2:80"), "{by_name}");
    assert_ne!(source_id(&by_name), 5000);
}

#[test]
fn pings_of_several_clients_with_one_id_are_told_apart() {
    let table = table();
    let one = range("192.0.2.1", "192.0.2.1");
    let mut ids = HashSet::new();
    for client in 2..20 {
        let frame = Ends::to_port(0, &format!("10.0.0.{client}:77"), "10.0.1.2:0").echo(1);
        let flow = snat(&table, &frame, &one).unwrap();
        assert!(flow.starts_with("192.0.2.1:"), "{flow}");
        ids.insert(source_id(&flow));
    }
    assert_eq!(ids.len(), 18);
    assert!(ids.contains(&77), "the first kept its own");
}

#[test]
fn protocols_without_ids_have_one_flow_to_each_destination() {
    let table = table();
    let one = range("192.0.2.1", "192.0.2.1");
    let esp = |source: &str| {
        let mut frame = udp(&format!("{source}:1"), "10.0.1.2:2");
        frame[14 + 9] = 50;
        crate::packet::ipv4::write_checksum(&mut frame[14..]);
        frame
    };
    assert_eq!(snat(&table, &esp("10.0.0.2"), &one).unwrap(), "192.0.2.1:0 > 10.0.1.2:0");
    assert_eq!(snat(&table, &esp("10.0.0.3"), &one), Err(DropReason::NatExhausted));
}

#[test]
fn a_closed_connection_gives_its_port_to_a_new_one_when_ports_run_short() {
    let table = table();
    let one = with_ids(range("192.0.2.1", "192.0.2.1"), 4000, 4001);
    let connect = |source: &str, sequence| {
        let frame = Ends::to_port(0, source, "10.0.1.2:80").tcp(TcpControl::Syn, sequence, None, b"");
        snat(&table, &frame, &one)
    };
    let first = source_id(&connect("10.0.0.2:5000", 100).unwrap());
    connect("10.0.0.3:5000", 100).unwrap();
    assert_eq!(connect("10.0.0.4:5000", 5000), Err(DropReason::NatExhausted));
    let say = |from: String, to: &str, control, sequence, ack| {
        let frame = Ends::to_port(0, &from, to).tcp(control, sequence, Some(ack), b"");
        let tracked = table.track(&Datagram::new(Family::Ipv4, &frame[14..]), NOW);
        assert!(matches!(tracked, Tracked::Flow { flow: Flow::Conn(_), .. }), "{tracked:?}");
    };
    let back = format!("192.0.2.1:{first}");
    let client = || "10.0.0.2:5000".to_owned();
    let server = || "10.0.1.2:80".to_owned();
    say(server(), &back, TcpControl::Syn, 900, 101);
    say(client(), "10.0.1.2:80", TcpControl::None, 101, 901);
    say(client(), "10.0.1.2:80", TcpControl::Fin, 101, 901);
    say(server(), &back, TcpControl::Fin, 901, 102);
    say(client(), "10.0.1.2:80", TcpControl::None, 102, 902);
    assert_eq!(source_id(&connect("10.0.0.4:5000", 5000).unwrap()), first);
    assert_eq!(table.len(), 2, "the closed one is gone");
}

#[test]
fn the_status_tells_what_was_decided() {
    let table = table();
    let mut flow = begin(&table, &udp("10.0.0.2:5000", "192.0.2.1:53"));
    let decide = |flow: &mut Tentative, range: &Range, manip| decide(flow, &table, NOW, range, manip);
    decide(&mut flow, &range("10.0.1.2", "10.0.1.2"), Manip::Destination);
    assert_eq!(flow.status(), Status::DST_NAT | Status::DST_NAT_DONE);
    decide(&mut flow, &range("10.0.0.2", "10.0.0.2"), Manip::Source);
    assert_eq!(flow.status(), Status::DST_NAT | Status::DST_NAT_DONE | Status::SRC_NAT_DONE);
    let before = seen(&table, &flow);
    decide(&mut flow, &range("192.0.2.9", "192.0.2.9"), Manip::Source);
    assert_eq!(seen(&table, &flow), before, "what is decided stays");
}

#[test]
fn an_announced_flow_goes_where_its_master_goes() {
    let table = table();
    let mut master = begin(&table, &syn("10.0.0.2:5000", "10.0.1.2:21"));
    decide(&mut master, &table, NOW, &range("192.0.2.1", "192.0.2.1"), Manip::Source);
    let Confirmed::Inserted(master) = table.confirm(master, NOW) else { panic!("not inserted") };
    let master: Shared<Conn> = master;
    // The client has said that it listens on port 6000; that was announced on its behalf as port 6001.
    let mut data = begin(&table, &syn("10.0.1.2:20", "192.0.2.1:6001"));
    let verdict = super::super::follow_master(&mut data, &table, NOW, &master, Direction::Reply, 6000);
    assert_eq!(verdict, Verdict::Accept);
    assert_eq!(seen(&table, &data), "10.0.1.2:20 > 10.0.0.2:6000");
}
