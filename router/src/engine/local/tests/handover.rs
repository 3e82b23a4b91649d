//! While the kernel is the host, and what is for it is handed over.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use fib::adjacency::PortId;

use super::super::*;
use crate::chain::{Hook, Place, Registration, Verdict, priority};
use crate::engine::Context;
use crate::hooks::{Nat, NatChain};
use crate::nat::{Flags, masquerade, redirect};
use crate::packet::ipv4;
use crate::tabletop::frames::{Ends, HOST as CLIENT};
use crate::tabletop::{Tabletop, port_mac};

const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];

/// 10.0.0.0/24 and fd00::/64 on port 0, 10.0.1.0/24 on port 1; packets for the router are handed over.
fn table() -> Tabletop {
    let mut table = Tabletop::new(&["r0", "r1"]);
    table.address(0, "10.0.0.1/24");
    table.address(0, "fd00::1/64");
    table.address(1, "10.0.1.1/24");
    table.neighbor(0, "10.0.0.2", Some(CLIENT.0));
    table.neighbor(1, "10.0.1.2", Some(SERVER));
    table.hand_over();
    table
}

fn to_router() -> Ends {
    Ends::to_port(0, "10.0.0.2:1000", "10.0.0.1:53")
}

/// What a program here sends by that port, to the next hop with that link address.
fn from_program(port: u16, next_hop: Mac, source: &str, destination: &str) -> Ends {
    let mut ends = Ends::to_port(0, source, destination);
    (ends.from, ends.to) = (tag_of(PortId(port)), next_hop);
    ends
}

fn at_host(table: &mut Tabletop) -> Vec<Vec<u8>> {
    table.take_at_host().into_iter().map(|parcel| parcel.bytes).collect()
}

fn sent(table: &mut Tabletop, port: usize) -> Vec<Vec<u8>> {
    table.take(port).into_iter().map(|parcel| parcel.bytes).collect()
}

/// Turns what goes to one address to another, as long as it is IPv4 without a transport checksum.
struct Turn(Ipv4Addr, Ipv4Addr);

impl Hook for Turn {
    fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        if packet.destination() == IpAddr::V4(self.0) {
            let bytes = packet.ip_mut();
            bytes[16..20].copy_from_slice(&self.1.octets());
            ipv4::write_checksum(bytes);
            packet.header.destination = self.1.into();
        }
        Verdict::Accept
    }
}

/// Masquerades what leaves by r1, and redirects what comes to 10.9.9.9 to the router.
struct Translate(Arc<crate::flow::FlowTable>, Point);

impl Hook for Translate {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        let far = IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9));
        let by_r1 = packet.route.is_some_and(|routed| routed.hop.port == PortId(1));
        match self.1 {
            Point::Postrouting if by_r1 => masquerade(packet, context, &self.0, None, Flags::default()),
            Point::Prerouting if packet.destination() == far => {
                redirect(packet, context, &self.0, self.1, None, Flags::default())
            }
            _ => Verdict::Accept,
        }
    }
}

fn translate(table: &Tabletop) {
    let flows = &table.shared().flows;
    let chains = [Point::Prerouting, Point::Postrouting].map(|point| NatChain {
        family: Family::Ipv4,
        point,
        priority: priority::SOURCE_NAT,
        hook: Arc::new(Translate(flows.clone(), point)),
    });
    table.hooks().register(Nat::seats(flows, &chains)).unwrap();
}

struct Refuse;

impl Hook for Refuse {
    fn handle(&self, _packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
        Verdict::Drop(DropReason::Rule)
    }
}

fn seat(table: &Tabletop, point: Point, hook: Arc<dyn Hook>) {
    let place = Place::new(Family::Ipv4, point, "test");
    let priority = priority::DESTINATION_NAT;
    table.hooks().register([Registration { place, priority, hook }]).unwrap();
}

#[test]
fn a_packet_for_the_router_is_handed_over_as_it_came() {
    let mut table = table();
    table.pass(0, &to_router().udp(b"question")[..]);
    let mut expected = to_router();
    (expected.from, expected.to) = (tag_of(PortId(0)), tag_of(HOST));
    assert_eq!(at_host(&mut table), [expected.udp(b"question")]);
    assert_eq!(table.counters().handed_over.get(), 1);
    assert_eq!(table.counters().local.get(), 0);
    assert_eq!(table.shared().flows.len(), 1, "it is confirmed");
}

#[test]
fn a_programs_packet_leaves_as_the_kernel_sent_it_and_the_answer_finds_it() {
    let mut table = table();
    let (own, far) = ("10.0.1.1:53", "10.9.9.9:1000");
    let next_hop = Mac([2, 0, 0, 0, 7, 7]);
    // No route leads there by port 1; the kernel knows better.
    table.send_from_host(&from_program(1, next_hop, own, far).udp(b"question")[..]);
    let mut expected = Ends::to_port(1, own, far);
    (expected.from, expected.to) = (port_mac(1), next_hop);
    assert_eq!(sent(&mut table, 1), [expected.udp(b"question")]);
    assert_eq!((table.counters().taken_from_host.get(), table.counters().received.get()), (1, 0));
    assert_eq!(table.counters().forwarded.get(), 0);

    table.pass(1, &Ends::to_port(1, far, own).udp(b"answer")[..]);
    assert_eq!(at_host(&mut table).len(), 1);
    assert_eq!(table.shared().flows.len(), 1, "both are one flow");
}

#[test]
fn without_a_tag_a_programs_packet_goes_where_the_routing_state_says() {
    let mut table = table();
    let mut ends = from_program(0, Mac::default(), "10.0.0.1:53", "10.0.1.2:1000");
    ends.from = tag_of(HOST);
    table.send_from_host(&ends.udp(b"x")[..]);
    let mut expected = ends;
    (expected.from, expected.to) = (port_mac(1), Mac(SERVER));
    assert_eq!(sent(&mut table, 1), [expected.udp(b"x")]);
}

#[test]
fn what_belongs_to_a_link_stays_the_kernels() {
    let mut table = table();
    let kept = [
        ("10.0.0.2:68", "10.0.0.1:67"),
        ("10.0.0.2:5353", "224.0.0.251:5353"),
        ("10.0.0.2:9", "10.0.0.255:9"),
        ("[fe80::2]:9", "[fd00::1]:9"),
    ];
    for (source, destination) in kept {
        table.pass(0, &Ends::to_port(0, source, destination).udp(b"x")[..]);
    }
    assert_eq!(table.counters().local.get(), kept.len() as u64);
    assert!(at_host(&mut table).is_empty());
}

#[test]
fn a_packet_that_a_hook_turns_here_is_handed_over_and_one_turned_away_is_forwarded() {
    let mut table = table();
    let (far, own) = (Ipv4Addr::new(10, 9, 9, 9), Ipv4Addr::new(10, 0, 0, 1));
    seat(&table, Point::Prerouting, Arc::new(Turn(far, own)));
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "10.9.9.9:9").echo(1)[..]);
    assert_eq!(at_host(&mut table).len(), 1);

    table.hooks().unregister([Place::new(Family::Ipv4, Point::Prerouting, "test")]).unwrap();
    seat(&table, Point::Prerouting, Arc::new(Turn(own, Ipv4Addr::new(10, 0, 1, 2))));
    table.pass(0, &Ends::to_port(0, "10.0.0.3:1", "10.0.0.1:9").echo(1)[..]);
    assert_eq!((at_host(&mut table).len(), sent(&mut table, 1).len()), (0, 1));
}

#[test]
fn a_packet_that_a_hook_turns_elsewhere_is_routed_anew() {
    let mut table = table();
    seat(&table, Point::Output, Arc::new(Turn(Ipv4Addr::new(10, 9, 9, 9), Ipv4Addr::new(10, 0, 1, 2))));
    let ends = from_program(0, CLIENT, "10.0.0.1:1", "10.9.9.9:9");
    table.send_from_host(&ends.echo(1)[..]);
    let left = sent(&mut table, 1);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0][..6], SERVER);
    assert!(sent(&mut table, 0).is_empty());
}

#[test]
fn hooks_at_input_and_output_judge() {
    let mut table = table();
    seat(&table, Point::Input, Arc::new(Refuse));
    seat(&table, Point::Output, Arc::new(Refuse));
    table.pass(0, &to_router().udp(b"x")[..]);
    let ends = from_program(1, Mac(SERVER), "10.0.1.1:1", "10.0.1.2:9");
    table.send_from_host(&ends.udp(b"x")[..]);
    assert_eq!(table.counters().drops(DropReason::Rule), 2);
    assert!(at_host(&mut table).is_empty() && sent(&mut table, 1).is_empty());
    assert_eq!(table.shared().flows.len(), 0);
}

/// Source and destination port of a UDP datagram without IPv4 options.
fn udp_ports(frame: &[u8]) -> (u16, u16) {
    let port = |place: usize| u16::from_be_bytes([frame[place], frame[place + 1]]);
    (port(34), port(36))
}

#[test]
fn a_masqueraded_flow_does_not_take_the_port_of_a_program() {
    let mut table = table();
    translate(&table);
    let server = "10.0.1.2:53";
    table.send_from_host(&from_program(1, Mac(SERVER), "10.0.1.1:1000", server).udp(b"own")[..]);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", server).udp(b"clients")[..]);
    let left = sent(&mut table, 1);
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|frame| frame[26..30] == [10, 0, 1, 1]), "both leave as the router");
    assert_eq!(udp_ports(&left[0]), (1000, 53), "the program's port stays");
    let (borrowed, _) = udp_ports(&left[1]);
    assert_ne!(borrowed, 1000);

    for (port, at_router, at_client) in [(1000, 1, 0), (borrowed, 0, 1)] {
        let mut reply = Ends::to_port(1, server, &format!("10.0.1.1:{port}"));
        reply.from = Mac(SERVER);
        table.pass(1, &reply.udp(b"answer")[..]);
        assert_eq!(at_host(&mut table).len(), at_router, "port {port}");
        assert_eq!(sent(&mut table, 0).len(), at_client, "port {port}");
    }
}

#[test]
fn a_service_of_the_router_answers_as_the_address_that_was_asked() {
    let mut table = table();
    translate(&table);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.9.9.9:80").udp(b"question")[..]);
    let mut asked = Ends::to_port(0, "10.0.0.2:1000", "10.0.0.1:80");
    (asked.from, asked.to) = (tag_of(PortId(0)), tag_of(HOST));
    assert_eq!(at_host(&mut table), [asked.udp(b"question")]);

    table.send_from_host(&from_program(0, CLIENT, "10.0.0.1:80", "10.0.0.2:1000").udp(b"answer")[..]);
    let mut answer = Ends::to_port(0, "10.9.9.9:80", "10.0.0.2:1000");
    (answer.from, answer.to) = (port_mac(0), CLIENT);
    assert_eq!(sent(&mut table, 0), [answer.udp(b"answer")]);
}

#[test]
fn a_program_whose_packet_is_too_large_for_its_way_is_told() {
    let mut table = table();
    let mut ends = from_program(0, Mac::default(), "10.0.0.1:53", "10.0.1.2:1000");
    ends.from = tag_of(HOST);
    let mut frame = ends.udp(&[7; 1600]);
    frame[20] |= 0x40;
    ipv4::write_checksum(&mut frame[14..]);
    table.send_from_host(&frame[..]);
    let told = at_host(&mut table);
    assert_eq!(told.len(), 1);
    let packet = &told[0][14..];
    assert_eq!((packet[9], packet[20], packet[21]), (1, 3, 4), "fragmentation needed");
    assert_eq!(packet[26..28], [0x05, 0xdc], "of 1500 bytes");
    assert_eq!((&packet[12..16], &packet[16..20]), (&[10, 0, 0, 1][..], &[10, 0, 0, 1][..]));
    assert!(sent(&mut table, 1).is_empty());
}

#[test]
fn a_datagram_in_fragments_is_handed_over_whole_and_leaves_in_those_it_was_sent_in() {
    let mut table = table();
    let whole = to_router().udp(&[7; 1600]);
    for piece in fragments(&whole) {
        table.pass(0, &piece[..]);
    }
    let came = at_host(&mut table);
    assert_eq!(came.len(), 1);
    assert_eq!(came[0][34..], whole[34..]);

    let whole = from_program(1, Mac(SERVER), "10.0.1.1:9", "10.0.1.2:9").udp(&[7; 1600]);
    let pieces = fragments(&whole);
    for piece in &pieces {
        table.send_from_host(&piece[..]);
    }
    let left = sent(&mut table, 1);
    let lengths = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(&left), lengths(&pieces));
}

/// An IPv4 packet without options in two fragments.
fn fragments(frame: &[u8]) -> [Vec<u8>; 2] {
    const CUT: usize = 1000;
    let (header, payload) = frame.split_at(34);
    [(0, 0x2000, &payload[..CUT]), (CUT / 8, 0, &payload[CUT..])].map(|(offset, more, payload)| {
        let mut piece = [header, payload].concat();
        piece[16..18].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        piece[20..22].copy_from_slice(&(offset as u16 | more).to_be_bytes());
        ipv4::write_checksum(&mut piece[14..]);
        piece
    })
}

#[test]
fn with_nothing_in_the_hosts_place_packets_for_it_are_dropped_and_counted() {
    let mut table = Tabletop::new(&["r0"]);
    table.address(0, "10.0.0.1/24");
    table.shared().set_handover(true);
    table.pass(0, &to_router().udp(b"x")[..]);
    assert_eq!(table.counters().drops(DropReason::HostAbsent), 1);
}

#[test]
fn without_hand_over_the_kernel_has_its_own_copy() {
    let mut table = table();
    table.shared().set_handover(false);
    table.pass(0, &to_router().udp(b"x")[..]);
    assert_eq!((table.counters().local.get(), table.counters().handed_over.get()), (1, 0));
    assert!(at_host(&mut table).is_empty());
    let frames = table.frames_available();
    table.pass(0, &to_router().udp(b"x")[..]);
    assert_eq!(table.frames_available(), frames);
}
