//! ICMP errors about translated flows, the router's own among them: stories that were told to Linux 6.18 with the same
//! rules, and what came out there.

use std::time::Duration;

use super::*;
use crate::packet::checksum;
use crate::packet::parse::parse_ip;
use crate::tabletop::gateway_route;

/// Who plays in a story, in one family.
struct Cast {
    client: &'static str,
    server: &'static str,
    /// The router's address towards the client, and towards the server.
    inner: &'static str,
    outer: &'static str,
    /// A router on the way to the server, and one on the way to the client.
    via: &'static str,
    inner_via: &'static str,
}

const CASTS: [Cast; 2] = [
    Cast {
        client: "10.0.0.2",
        server: "10.0.1.2",
        inner: "10.0.0.1",
        outer: "10.0.1.1",
        via: "10.0.1.9",
        inner_via: "10.0.0.9",
    },
    Cast {
        client: "fd00::2",
        server: "fd01::2",
        inner: "fd00::1",
        outer: "fd01::1",
        via: "fd01::9",
        inner_via: "fd00::9",
    },
];

/// `masquerade` towards the server; from there, port 8080 of the router is port 80 of the client's host; 10.7.7.7 is
/// another name for the server.
fn stage() -> Tabletop {
    let mut table = table();
    let flows = table.shared().flows.clone();
    let chain = |family, point, hook: Arc<dyn Hook>| NatChain { family, point, priority: 0, hook };
    let masquerade: Arc<dyn Hook> = Arc::new(Rule {
        flows: flows.clone(),
        statement: |packet: &mut Packet, context: &mut Context<'_>, flows: &FlowTable| match packet.route {
            Some(routed) if routed.hop.port.0 == 1 => {
                masquerade(packet, context, flows, None, Flags::default())
            }
            _ => Verdict::Accept,
        },
    });
    let dnat: Arc<dyn Hook> = Arc::new(Rule {
        flows: flows.clone(),
        statement: |packet: &mut Packet, context: &mut Context<'_>, flows: &FlowTable| {
            let to = match (packet.destination().to_string().as_str(), packet.header.destination_port) {
                ("10.0.1.1", 8080) => "10.0.0.2",
                ("fd01::1", 8080) => "fd00::2",
                ("10.7.7.7", 8080) => "10.0.1.2",
                ("10.7.7.7", 9090) => "10.0.1.98",
                _ => return Verdict::Accept,
            };
            let range = Range { ids: Some((80, 80)), ..Range::to(to.parse().unwrap()) };
            setup(packet, context, flows, &range, Manip::Destination)
        },
    });
    let chains = [
        chain(Family::Ipv4, Point::Postrouting, masquerade.clone()),
        chain(Family::Ipv6, Point::Postrouting, masquerade),
        chain(Family::Ipv4, Point::Prerouting, dnat.clone()),
        chain(Family::Ipv6, Point::Prerouting, dnat),
    ];
    table.hooks().register(Nat::seats(&flows, &chains)).unwrap();
    table.apply([Change::Link(Link { mtu: 1300, ..link(1, "r1") })]);
    table.advance(Duration::from_secs(10));
    table
}

/// A frame of UDP from the client (port 0) or the server (port 1).
fn udp(port: usize, from: (&str, u16), to: (&str, u16), ttl: u8) -> Vec<u8> {
    ends(port, from, to).with_ttl(ttl).udp(b"x")
}

fn large(port: usize, from: (&str, u16), to: (&str, u16)) -> Vec<u8> {
    let mut frame = ends(port, from, to).udp(&[b'z'; 1400]);
    if frame[14] >> 4 == 4 {
        frame[14 + 6] = 0x40;
        crate::packet::ipv4::write_checksum(&mut frame[14..]);
    }
    frame
}

fn ends(port: usize, from: (&str, u16), to: (&str, u16)) -> Ends {
    let bracketed = |(address, port): (&str, u16)| match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    };
    let ends = Ends::to_port(port, &bracketed(from), &bracketed(to));
    Ends { from: fib::adjacency::Mac(if port == 0 { HOST.0 } else { SERVER }), ..ends }
}

/// What an error says, in either family.
#[derive(Clone, Copy)]
enum Says {
    TimeExceeded,
    PortUnreachable,
    Redirect,
}

/// An error about `quote`, the packet from its network header on.
fn error(port: usize, from: &str, to: &str, says: Says, quote: &[u8]) -> Vec<u8> {
    let six = from.contains(':');
    let (kind, code) = match (says, six) {
        (Says::TimeExceeded, false) => (11, 0),
        (Says::TimeExceeded, true) => (3, 0),
        (Says::PortUnreachable, false) => (3, 3),
        (Says::PortUnreachable, true) => (1, 4),
        (Says::Redirect, _) => (5, 1),
    };
    // A datagram whose eight bytes of header become those of the error.
    let mut frame = ends(port, (from, 0), (to, 0)).udp(quote);
    let (protocol_at, transport) = if six { (14 + 6, 54) } else { (14 + 9, 34) };
    frame[protocol_at] = if six { 58 } else { 1 };
    frame[transport..transport + 8].copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
    if !six {
        crate::packet::ipv4::write_checksum(&mut frame[14..]);
    }
    let sum = !whole_sum(&frame[14..]);
    frame[transport + 2..transport + 4].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The sum over transport header, data and pseudo header, if the protocol has one: 0xffff if the checksum is right.
fn whole_sum(packet: &[u8]) -> u16 {
    let (transport, protocol) = if packet[0] >> 4 == 4 { (20, packet[9]) } else { (40, packet[6]) };
    let sum = checksum::sum(&packet[transport..]);
    let addresses = match (packet[0] >> 4, protocol) {
        (4, 1) => return sum,
        (4, _) => checksum::sum(&packet[12..20]),
        _ => checksum::sum(&packet[8..40]),
    };
    let length = (packet.len() - transport) as u16;
    checksum::add(checksum::add(sum, addresses), checksum::add(u16::from(protocol), length))
}

/// A packet in words, every checksum in it verified.
fn describe(packet: &[u8]) -> String {
    let header = parse_ip(packet).or_else(|_| parse_ip(&whole(packet))).expect("a sound packet");
    let (source, destination) = (header.source, header.destination);
    if packet.len() == header.len {
        assert_eq!(whole_sum(packet), 0xffff, "checksum of a packet from {source} to {destination}");
    }
    let transport = &packet[header.transport..];
    let word = match (header.protocol, transport[0], transport[1]) {
        (17 | 6, ..) => {
            return format!("{source} {} > {destination} {}", header.source_port, header.destination_port);
        }
        (1, 11, 0) | (58, 3, 0) => "time exceeded",
        (1, 3, 4) | (58, 2, 0) => "too big",
        (1, 3, 1) | (58, 1, 3) => "host unreachable",
        (1, 3, 3) | (58, 1, 4) => "port unreachable",
        other => panic!("{other:?}"),
    };
    format!("{source} > {destination} {word} ({})", describe(&transport[8..]))
}

/// A quote that was cut short, filled up to the length that its header states.
fn whole(quote: &[u8]) -> Vec<u8> {
    let length = match quote[0] >> 4 {
        4 => usize::from(u16::from_be_bytes([quote[2], quote[3]])),
        _ => 40 + usize::from(u16::from_be_bytes([quote[4], quote[5]])),
    };
    let mut whole = quote.to_vec();
    whole.resize(length, 0);
    whole
}

/// What comes out on both ports when a frame goes in.
fn tell(table: &mut Tabletop, port: usize, frame: &[u8]) -> [Vec<String>; 2] {
    table.pass(port, frame);
    table.advance(Duration::from_secs(2));
    [0, 1].map(|port| table.take(port).iter().map(|parcel| describe(&parcel.bytes[14..])).collect())
}

fn at_client(text: String) -> [Vec<String>; 2] {
    [vec![text], vec![]]
}

fn at_server(text: String) -> [Vec<String>; 2] {
    [vec![], vec![text]]
}

#[test]
fn the_routers_errors_show_a_masqueraded_flow_as_its_ends_know_it() {
    for Cast { client: c, server: s, inner, outer, .. } in CASTS {
        let mut table = stage();
        let short = tell(&mut table, 0, &udp(0, (c, 1000), (s, 53), 1));
        assert_eq!(short, at_client(format!("{inner} > {c} time exceeded ({c} 1000 > {s} 53)")));
        assert_eq!(table.shared().flows.len(), 0, "it makes no flow");

        tell(&mut table, 0, &udp(0, (c, 1001), (s, 53), 64));
        let back = tell(&mut table, 1, &udp(1, (s, 53), (outer, 1001), 64));
        assert_eq!(back, at_client(format!("{s} 53 > {c} 1001")));
        let short = tell(&mut table, 0, &udp(0, (c, 1001), (s, 53), 1));
        assert_eq!(short, at_client(format!("{inner} > {c} time exceeded ({c} 1001 > {s} 53)")));
        let short = tell(&mut table, 1, &udp(1, (s, 53), (outer, 1001), 1));
        assert_eq!(short, at_server(format!("{outer} > {s} time exceeded ({s} 53 > {outer} 1001)")));
        let big = tell(&mut table, 0, &large(0, (c, 1001), (s, 53)));
        assert_eq!(big, at_client(format!("{inner} > {c} too big ({c} 1001 > {s} 53)")));
    }
}

#[test]
fn the_routers_errors_show_a_forwarded_port_as_its_ends_know_it() {
    for Cast { client: c, server: s, inner, outer, .. } in CASTS {
        let mut table = stage();
        let short = tell(&mut table, 1, &udp(1, (s, 1005), (outer, 8080), 1));
        assert_eq!(short, at_server(format!("{outer} > {s} time exceeded ({s} 1005 > {outer} 8080)")));
        let forth = tell(&mut table, 1, &udp(1, (s, 1006), (outer, 8080), 64));
        assert_eq!(forth, at_client(format!("{s} 1006 > {c} 80")));
        let short = tell(&mut table, 1, &udp(1, (s, 1006), (outer, 8080), 1));
        assert_eq!(short, at_server(format!("{outer} > {s} time exceeded ({s} 1006 > {outer} 8080)")));
        let short = tell(&mut table, 0, &udp(0, (c, 80), (s, 1006), 1));
        assert_eq!(short, at_client(format!("{inner} > {c} time exceeded ({c} 80 > {s} 1006)")));
        let big = tell(&mut table, 0, &large(0, (c, 80), (s, 1006)));
        assert_eq!(big, at_client(format!("{inner} > {c} too big ({c} 80 > {s} 1006)")));
    }
}

#[test]
fn errors_about_a_flow_translated_on_both_sides_come_from_whom_the_client_knows() {
    let mut table = stage();
    let (c, name) = ("10.0.0.2", "10.7.7.7");
    table.route("10.7.7.0/24", "10.0.1.2", 1);
    let short = tell(&mut table, 0, &udp(0, (c, 2000), (name, 8080), 1));
    assert_eq!(short, at_client(format!("{name} > {c} time exceeded ({c} 2000 > {name} 8080)")));
    let forth = tell(&mut table, 0, &udp(0, (c, 2001), (name, 8080), 64));
    assert_eq!(forth, at_server("10.0.1.1 2001 > 10.0.1.2 80".to_owned()));
    let short = tell(&mut table, 0, &udp(0, (c, 2001), (name, 8080), 1));
    assert_eq!(short, at_client(format!("{name} > {c} time exceeded ({c} 2001 > {name} 8080)")));
    let big = tell(&mut table, 0, &large(0, (c, 2001), (name, 8080)));
    assert_eq!(big, at_client(format!("{name} > {c} too big ({c} 2001 > {name} 8080)")));
    let short = tell(&mut table, 1, &udp(1, ("10.0.1.2", 80), ("10.0.1.1", 2001), 1));
    let expected = "10.0.1.1 > 10.0.1.2 time exceeded (10.0.1.2 80 > 10.0.1.1 2001)";
    assert_eq!(short, at_server(expected.to_owned()));
}

#[test]
fn errors_from_routers_on_the_way_reach_the_client_inside_out() {
    for Cast { client: c, server: s, outer, via, .. } in CASTS {
        let mut table = stage();
        tell(&mut table, 0, &udp(0, (c, 1009), (s, 53), 64));
        let sent = udp(1, (outer, 1009), (s, 53), 1);
        let short = if c.contains(':') { 48 } else { 28 };
        for quote in [&sent[14..], &sent[14..14 + short]] {
            let told = tell(&mut table, 1, &error(1, via, outer, Says::TimeExceeded, quote));
            assert_eq!(told, at_client(format!("{via} > {c} time exceeded ({c} 1009 > {s} 53)")));
        }
        let syn = |port, from| ends(port, from, (s, 80)).tcp(smoltcp::wire::TcpControl::Syn, 77, None, b"");
        tell(&mut table, 0, &syn(0, (c, 1012)));
        let sent = syn(1, (outer, 1012));
        for quote in [&sent[14..], &sent[14..14 + short]] {
            let told = tell(&mut table, 1, &error(1, via, outer, Says::PortUnreachable, quote));
            assert_eq!(told, at_client(format!("{via} > {c} port unreachable ({c} 1012 > {s} 80)")));
        }
    }
}

#[test]
fn errors_from_inside_bear_the_address_that_was_spoken_to() {
    for Cast { client: c, server: s, outer, inner_via, .. } in CASTS {
        let mut table = stage();
        table.neighbor(0, inner_via, Some(HOST.0));
        tell(&mut table, 1, &udp(1, (s, 1010), (outer, 8080), 64));
        let seen = udp(0, (s, 1010), (c, 80), 63);
        let told = tell(&mut table, 0, &error(0, c, s, Says::PortUnreachable, &seen[14..]));
        assert_eq!(told, at_server(format!("{outer} > {s} port unreachable ({s} 1010 > {outer} 8080)")));
        let told = tell(&mut table, 0, &error(0, inner_via, s, Says::TimeExceeded, &seen[14..]));
        assert_eq!(told, at_server(format!("{outer} > {s} time exceeded ({s} 1010 > {outer} 8080)")));
    }
}

#[test]
fn redirects_about_a_translated_flow_are_dropped() {
    let mut table = stage();
    tell(&mut table, 0, &udp(0, ("10.0.0.2", 1009), ("10.0.1.2", 53), 64));
    let sent = udp(1, ("10.0.1.1", 1009), ("10.0.1.2", 53), 64);
    let told = tell(&mut table, 1, &error(1, "10.0.1.9", "10.0.1.1", Says::Redirect, &sent[14..]));
    assert_eq!(told, [vec![], vec![]] as [Vec<String>; 2]);
    assert_eq!(table.counters().drops(DropReason::NatUntranslatable), 1);
}

#[test]
fn an_error_with_a_wrong_checksum_is_not_made_right() {
    let mut table = stage();
    tell(&mut table, 0, &udp(0, ("10.0.0.2", 1009), ("10.0.1.2", 53), 64));
    let sent = udp(1, ("10.0.1.1", 1009), ("10.0.1.2", 53), 64);
    let mut frame = error(1, "10.0.1.9", "10.0.1.1", Says::TimeExceeded, &sent[14..]);
    frame[14 + 20 + 2] ^= 1;
    assert_eq!(tell(&mut table, 1, &frame), [vec![], vec![]] as [Vec<String>; 2]);
}

#[test]
fn errors_that_arise_behind_the_translation_find_back_to_the_client() {
    for (c, dead, outer) in [("10.0.0.2", "10.0.1.99", "10.0.1.1"), ("fd00::2", "fd01::99", "fd01::1")] {
        let mut table = stage();
        table.pass(0, &udp(0, (c, 1000), (dead, 53), 64)[..]);
        table.neighbor(1, dead, None);
        table.advance(Duration::from_secs(4));
        let told: Vec<_> = table.take(0).iter().map(|parcel| describe(&parcel.bytes[14..])).collect();
        assert_eq!(told, [format!("{outer} > {c} host unreachable ({c} 1000 > {dead} 53)")]);
    }
    let mut table = stage();
    table.route("10.7.7.0/24", "10.0.1.2", 1);
    table.pass(0, &udp(0, ("10.0.0.2", 1001), ("10.7.7.7", 9090), 64)[..]);
    table.neighbor(1, "10.0.1.98", None);
    table.advance(Duration::from_secs(4));
    let told: Vec<_> = table.take(0).iter().map(|parcel| describe(&parcel.bytes[14..])).collect();
    assert_eq!(told, ["10.7.7.7 > 10.0.0.2 host unreachable (10.0.0.2 1001 > 10.7.7.7 9090)"]);
}

#[test]
fn a_narrow_route_is_told_to_the_masqueraded_client() {
    let mut table = stage();
    table.apply([Change::Link(link(1, "r1"))]);
    let route = gateway_route("2001:db8::/32", "fd01::2", 1);
    table.apply([Change::Route(fib::change::Route { mtu: 1280, ..route })]);
    let (c, far) = ("fd00::2", "2001:db8::9");
    let expected = |port| at_client(format!("fd01::1 > {c} too big ({c} {port} > {far} 53)"));
    assert_eq!(tell(&mut table, 0, &large(0, (c, 1002), (far, 53))), expected(1002));
    tell(&mut table, 0, &udp(0, (c, 1003), (far, 53), 64));
    assert_eq!(tell(&mut table, 0, &large(0, (c, 1003), (far, 53))), expected(1003));
}
