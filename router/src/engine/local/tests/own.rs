//! While the router is its own host: with a TUN device to the kernel, and without one.

use std::net::IpAddr;
use std::sync::Arc;

use crate::chain::{Family, Hook, Needs, Place, Point, Registration, Verdict, priority};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::hooks::{Nat, NatChain};
use crate::nat::{Flags, redirect};
use crate::packet::parse::{Ip, parse_ip};
use crate::packet::{checksum, ipv4};
use crate::tabletop::frames::{Ends, HOST as CLIENT};
use crate::tabletop::{Tabletop, gateway_route, port_mac};
use fib::adjacency::Mac;
use fib::change::{Change, Route, RouteType, Scope};
use smoltcp::wire::TcpControl;

const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];

/// 10.0.0.0/24 and fd00::/64 on port 0, 10.0.1.0/24 on port 1, all the router's own.
fn table(tun: bool) -> Tabletop {
    let mut table = Tabletop::owned(&["r0", "r1"], tun);
    table.address(0, "10.0.0.1/24");
    table.address(0, "fd00::1/64");
    table.address(1, "10.0.1.1/24");
    table.neighbor(0, "10.0.0.2", Some(CLIENT.0));
    table.neighbor(0, "fd00::2", Some(CLIENT.0));
    table.neighbor(1, "10.0.1.2", Some(SERVER));
    table
}

fn to_router() -> Ends {
    Ends::to_port(0, "10.0.0.2:1000", "10.0.0.1:53")
}

fn to_router6() -> Ends {
    Ends::to_port(0, "[fd00::2]:1000", "[fd00::1]:53")
}

/// The one packet that left by a port towards the client, from its network header on.
fn reply(table: &mut Tabletop, port: usize) -> (Ip, Vec<u8>) {
    let sent = table.take(port);
    assert_eq!(sent.len(), 1, "{:?} {:?}", sent, table.counters().dropped.get());
    let bytes = sent[0].bytes.clone();
    assert_eq!((&bytes[..6], &bytes[6..12]), (&CLIENT.0[..], &port_mac(port).0[..]));
    let packet = bytes[14..].to_vec();
    (parse_ip(&packet).expect("a sound packet"), packet)
}

fn nothing_is_left(table: &mut Tabletop) {
    assert!((0..2).all(|port| table.take(port).is_empty()));
    assert!(table.take_at_host().is_empty());
}

/// Marks its call by a drop, or lets pass.
struct Judge(Verdict);

impl Hook for Judge {
    fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        self.0
    }

    fn needs(&self) -> Needs {
        Needs::EveryPacket
    }
}

fn seat(table: &Tabletop, family: Family, point: Point, verdict: Verdict) {
    let place = Place::new(family, point, "test");
    let hook = Arc::new(Judge(verdict));
    table.hooks().register([Registration { place, priority: priority::FILTER, hook }]).unwrap();
}

#[test]
fn pings_are_answered_by_the_address_that_was_asked_with_and_without_a_device() {
    for tun in [false, true] {
        let mut table = table(tun);
        for ends in [to_router(), to_router6(), Ends::to_port(0, "10.0.0.2:7", "10.0.1.1:0")] {
            table.pass(0, &ends.echo(3)[..]);
            let (ip, packet) = reply(&mut table, 0);
            assert_eq!((ip.source, ip.destination), (ends.destination.ip(), ends.source.ip()));
            let kind = packet[ip.transport];
            assert_eq!(kind, if ip.source.is_ipv4() { 0 } else { 129 });
            assert_eq!(packet[ip.transport + 8..], *b"ping");
            nothing_is_left(&mut table);
        }
        assert_eq!((table.counters().echo_replies.get(), table.counters().local.get()), (3, 3));
        assert_eq!(table.shared().flows.len(), 3, "they are tracked, request and reply as one");
    }
}

#[test]
fn a_ping_to_all_is_answered_in_ipv6_alone() {
    let mut table = table(false);
    table.pass(0, &Ends { to: Mac([0xff; 6]), ..Ends::to_port(0, "10.0.0.2:7", "10.0.0.255:0") }.echo(1)[..]);
    table.pass(
        0,
        &Ends { to: Mac([1, 0, 0x5e, 0, 0, 1]), ..Ends::to_port(0, "10.0.0.2:7", "224.0.0.1:0") }.echo(1)[..],
    );
    nothing_is_left(&mut table);
    let all = Ends { to: Mac([0x33, 0x33, 0, 0, 0, 1]), ..Ends::to_port(0, "[fd00::2]:7", "[ff02::1]:0") };
    table.pass(0, &all.echo(1)[..]);
    let (ip, _) = reply(&mut table, 0);
    assert_eq!(ip.source, to_router6().destination.ip());
    let stranger =
        Ends { to: Mac([0x33, 0x33, 0, 0, 0, 9]), ..Ends::to_port(0, "[fd00::2]:7", "[ff02::9]:0") };
    table.pass(0, &stranger.echo(1)[..]);
    assert_eq!(table.counters().drops(DropReason::NoListener), 1);
}

/// An echo request with so many bytes, IP header included.
fn large_ping(ends: &Ends, len: u16) -> Vec<u8> {
    let mut ping = ends.echo(1);
    ping.resize(14 + usize::from(len), 7);
    let (transport, pseudo) = match (ends.source.ip(), ends.destination.ip()) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ping[18..20].copy_from_slice(&(len - 40).to_be_bytes());
            (54, checksum::pseudo_header_v6(source, destination, 58, u32::from(len) - 40))
        }
        _ => {
            ping[16..18].copy_from_slice(&len.to_be_bytes());
            ipv4::write_checksum(&mut ping[14..]);
            (34, 0)
        }
    };
    ping[transport + 2..transport + 4].fill(0);
    let sum = !checksum::add(pseudo, checksum::sum(&ping[transport..]));
    ping[transport + 2..transport + 4].copy_from_slice(&sum.to_be_bytes());
    ping
}

/// Expects the answer to a large ping of so many bytes behind its IP header, in fragments that fit.
fn expect_fragments(table: &mut Tabletop, count: usize, data: usize) {
    let pieces = table.take(0);
    assert_eq!(pieces.len(), count);
    let sizes = pieces.iter().map(|piece| {
        let ip = parse_ip(&piece.bytes[14..]).unwrap();
        assert!(ip.len <= 1500 && ip.fragment.is_some());
        ip.len - ip.transport
    });
    assert_eq!(sizes.sum::<usize>(), data);
}

#[test]
fn a_large_ping_is_answered_in_fragments_of_either_family() {
    let mut table = table(false);
    // The wire of a table takes any size; the way back does not.
    table.pass(0, &large_ping(&to_router(), 4000)[..]);
    expect_fragments(&mut table, 3, 3980);
    table.pass(0, &large_ping(&to_router6(), 4000)[..]);
    expect_fragments(&mut table, 3, 3960);
}

#[test]
fn a_ping_in_fragments_is_answered_with_and_without_tracking() {
    for tracked in [true, false] {
        let mut table = table(false);
        if !tracked {
            table.assembly.track_nothing();
        }
        let whole = large_ping(&to_router(), 2000);
        let (header, data) = whole.split_at(34);
        for (offset, more, part) in [(0_u16, 0x2000, &data[..1000]), (125, 0, &data[1000..])] {
            let mut piece = [header, part].concat();
            piece[16..18].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
            piece[20..22].copy_from_slice(&(offset | more).to_be_bytes());
            ipv4::write_checksum(&mut piece[14..]);
            table.pass(0, &piece[..]);
        }
        expect_fragments(&mut table, 2, 1980);
    }
}

#[test]
fn without_programs_a_host_refuses_what_nobody_listens_for() {
    let mut table = table(false);
    table.pass(0, &to_router().udp(b"x")[..]);
    let (ip, packet) = reply(&mut table, 0);
    assert_eq!((ip.source, &packet[20..22]), (to_router().destination.ip(), &[3, 3][..]));
    table.pass(0, &to_router6().udp(b"x")[..]);
    let (_, packet) = reply(&mut table, 0);
    assert_eq!(packet[40..42], [1, 4]);

    for ends in [to_router(), to_router6()] {
        table.pass(0, &ends.tcp(TcpControl::Syn, 77, None, &[])[..]);
        let (ip, packet) = reply(&mut table, 0);
        let tcp = &packet[ip.transport..];
        assert_eq!((tcp[13], &tcp[8..12]), (0x14, &78_u32.to_be_bytes()[..]), "RST and ACK");
        table.pass(0, &ends.tcp(TcpControl::Rst, 77, None, &[])[..]);
        assert!(table.take(0).is_empty(), "no reset is answered");
    }

    let mut unknown = to_router().udp(b"x");
    unknown[23] = 200;
    ipv4::write_checksum(&mut unknown[14..]);
    table.pass(0, &unknown[..]);
    assert_eq!(reply(&mut table, 0).1[20..22], [3, 2]);
    let mut unknown = to_router6().udp(b"x");
    unknown[20] = 200;
    table.pass(0, &unknown[..]);
    let (_, packet) = reply(&mut table, 0);
    assert_eq!((&packet[40..42], &packet[44..48]), (&[4, 1][..], &[0, 0, 0, 6][..]));
    // A datagram with a wrong checksum, and one to everybody, are not answered.
    let mut wrong = to_router().udp(b"x");
    *wrong.last_mut().unwrap() ^= 1;
    table.pass(0, &wrong[..]);
    table.pass(
        0,
        &Ends { to: Mac([0xff; 6]), ..Ends::to_port(0, "10.0.0.2:7", "10.0.0.255:9") }.udp(b"x")[..],
    );
    nothing_is_left(&mut table);
}

#[test]
fn with_a_device_programs_take_and_answer_what_is_for_the_router() {
    let mut table = table(true);
    for (ends, back) in [
        (to_router(), Ends::to_port(0, "10.0.0.1:53", "10.0.0.2:1000")),
        (to_router6(), Ends::to_port(0, "[fd00::1]:53", "[fd00::2]:1000")),
    ] {
        table.pass(0, &ends.udp(b"question")[..]);
        let at_host = table.take_at_host();
        assert_eq!(at_host.len(), 1);
        assert_eq!(at_host[0].bytes, ends.udp(b"question")[14..], "as it came, from its network header on");
        let answer = back.udp(b"answer");
        table.send_from_host(&answer[14..]);
        assert_eq!(reply(&mut table, 0).1, answer[14..]);
    }
    assert_eq!(table.shared().flows.len(), 2);
    assert_eq!((table.counters().handed_over.get(), table.counters().taken_from_host.get()), (2, 2));
}

#[test]
fn the_five_points_see_local_packets_where_linux_shows_them() {
    for (point, passes_echo, passes_forwarded) in [
        (Point::Prerouting, false, false),
        (Point::Input, false, true),
        (Point::Forward, true, false),
        (Point::Output, false, true),
        (Point::Postrouting, false, false),
    ] {
        let mut table = table(true);
        seat(&table, Family::Ipv4, point, Verdict::Drop(DropReason::Rule));
        table.pass(0, &to_router().echo(1)[..]);
        assert_eq!(table.take(0).len(), usize::from(passes_echo), "{point:?}");
        table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:2").udp(b"x")[..]);
        assert_eq!(table.take(1).len(), usize::from(passes_forwarded), "{point:?}");
    }
}

#[test]
fn a_program_speaks_to_everybody_on_a_link() {
    let mut table = table(true);
    let to_all = Ends::to_port(0, "10.0.1.1:9", "10.0.1.255:9").udp(b"to all");
    table.send_from_host(&to_all[14..]);
    let sent = table.take(1);
    assert_eq!((sent.len(), &sent[0].bytes[..6]), (1, &[0xff; 6][..]));
    assert_eq!(sent[0].bytes[14..], to_all[14..]);
}

/// Redirects what programs send to port 81 to port 8080 of this host.
struct Redirect(Arc<crate::flow::FlowTable>);

impl Hook for Redirect {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        if packet.header.destination_port == 81 {
            return redirect(packet, context, &self.0, Point::Output, Some((8080, 8080)), Flags::default());
        }
        Verdict::Accept
    }
}

#[test]
fn what_a_rule_turns_back_to_the_host_reaches_its_program_and_so_does_the_answer() {
    let mut table = table(true);
    let flows = table.shared().flows.clone();
    let chains = [Family::Ipv4, Family::Ipv6].map(|family| NatChain {
        family,
        point: Point::Output,
        priority: priority::DESTINATION_NAT,
        hook: Arc::new(Redirect(flows.clone())),
    });
    table.hooks().register(Nat::seats(&flows, &chains)).unwrap();
    let loopback = gateway_route("127.0.0.0/8", "10.0.0.1", 0);
    table.apply([Change::Route(Route {
        table: 255,
        kind: RouteType::Local,
        scope: Scope::HOST,
        ..loopback
    })]);
    for (own, far, program, seeming) in [
        ("10.0.0.1:5000", "10.0.1.2:81", "127.0.0.1:8080", "192.0.0.8:5000"),
        ("[fd00::1]:5000", "[fd00::2]:81", "[fd00::1]:8080", "[100::8]:5000"),
    ] {
        let sent = Ends::to_port(0, own, far).udp(b"question");
        table.send_from_host(&sent[14..]);
        let came = table.take_at_host();
        assert_eq!(came.len(), 1, "{:?}", table.counters().dropped.get());
        assert_eq!(came[0].bytes, Ends::to_port(0, seeming, program).udp(b"question")[14..]);

        let answer = Ends::to_port(0, program, seeming).udp(b"answer");
        table.send_from_host(&answer[14..]);
        let came = table.take_at_host();
        assert_eq!(came.len(), 1, "the answer");
        assert_eq!(came[0].bytes, Ends::to_port(0, far, own).udp(b"answer")[14..]);
    }
    assert_eq!(flows.len(), 2);
    assert!(table.take(0).is_empty() && table.take(1).is_empty());
}

#[test]
fn a_program_hears_that_its_packet_leads_nowhere() {
    let mut table = table(true);
    table.send_from_host(&Ends::to_port(0, "10.0.0.1:53", "192.0.2.1:9").udp(b"x")[14..]);
    let told = table.take_at_host();
    assert_eq!(told.len(), 1);
    let packet = &told[0].bytes;
    assert_eq!(
        (&packet[12..16], &packet[16..20], &packet[20..22]),
        (&[10, 0, 0, 1][..], &[10, 0, 0, 1][..], &[3, 0][..])
    );
    table.send_from_host(&Ends::to_port(0, "[fd00::1]:53", "[2001:db8::1]:9").udp(b"x")[14..]);
    let told = table.take_at_host();
    assert_eq!((told.len(), &told[0].bytes[40..42]), (1, &[1, 0][..]));
    assert_eq!(table.counters().drops(DropReason::NoRoute), 2);
}

#[test]
fn a_program_whose_neighbor_is_silent_hears_that_too() {
    let mut table = table(true);
    table.send_from_host(&Ends::to_port(0, "10.0.0.1:53", "10.0.0.9:9").udp(b"x")[14..]);
    assert!(table.take_at_host().is_empty());
    table.neighbor(0, "10.0.0.9", None);
    table.settle();
    let told = table.take_at_host();
    assert_eq!((told.len(), &told[0].bytes[20..22]), (1, &[3, 1][..]));
}

#[test]
fn all_frames_come_back_to_their_pool() {
    let mut table = table(false);
    let frames = table.frames_available();
    for ends in [to_router(), to_router6()] {
        table.pass(0, &ends.echo(1)[..]);
        table.pass(0, &ends.udp(b"x")[..]);
        table.pass(0, &ends.tcp(TcpControl::Syn, 1, None, &[])[..]);
    }
    table.pass(0, &Ends::to_port(0, "10.0.0.2:7", "224.0.0.9:0").echo(1)[..]);
    table.take(0);
    assert_eq!(table.frames_available(), frames);
}
