//! All sorts of frames, from stations behind the three ports.

use std::net::{Ipv4Addr, Ipv6Addr};

use testbed::frames::{
    Checksum, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Extension, Icmp, Link, Mac, Payload, Tcp, Udp,
    V4, V6, arp,
};

/// A frame that arrives at a port.
#[derive(Clone, Debug)]
pub struct Probe {
    pub name: String,
    pub port: usize,
    pub frame: Vec<u8>,
}

impl Probe {
    /// No frame at all.
    pub const fn nothing() -> Self {
        Self { name: String::new(), port: 0, frame: Vec::new() }
    }
}

/// Stations behind r0, r1 and r2, and one that nobody has heard.
const A: Mac = [2, 0, 0, 0, 7, 0x0a];
const B: Mac = [2, 0, 0, 0, 7, 0x0b];
const C: Mac = [2, 0, 0, 0, 7, 0x0c];
const NOBODY: Mac = [2, 0, 0, 0, 7, 0x0f];
const ALL: Mac = [0xff; 6];
/// The ports' own addresses; the first is the bridge's.
pub const OWN: [Mac; 3] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 2, 1], [2, 0, 0, 0, 3, 1]];

const CUSTOMER: u16 = 0x8100;
const PROVIDER: u16 = 0x88a8;

/// Makes a frame from one station to another.
fn link(from: Mac, to: Mac) -> Link {
    Link { destination: to, source: from, tags: Vec::new(), trailer: Vec::new() }
}

fn tagged(from: Mac, to: Mac, tags: &[(u16, u16)]) -> Link {
    Link { tags: tags.to_vec(), ..link(from, to) }
}

fn udp(source: u16, destination: u16) -> Payload {
    Payload::Udp(Udp { source, destination, length: None, checksum: Checksum::Right, data: vec![0x42; 30] })
}

fn tcp(destination: u16, flags: u8) -> Payload {
    let options = if flags & 2 == 0 { Vec::new() } else { vec![2, 4, 5, 180] };
    Payload::Tcp(Tcp {
        source: 4000,
        destination,
        sequence: 1000,
        acknowledgment: 0,
        header_words: None,
        flags,
        window: 64000,
        checksum: Checksum::Right,
        options,
        data: Vec::new(),
    })
}

fn echo(kind: u8) -> Payload {
    Payload::Icmp(Icmp { kind, code: 0, checksum: Checksum::Right, rest: [0, 7, 0, 1], data: vec![0x5a; 24] })
}

fn v4(payload: Payload) -> V4 {
    V4 {
        version: 4,
        header_words: None,
        tos: 0x10,
        total_length: None,
        id: 0x1234,
        reserved: false,
        dont_fragment: true,
        more_fragments: false,
        offset: 0,
        ttl: 64,
        protocol: None,
        checksum: Checksum::Right,
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
        options: Vec::new(),
        payload,
    }
}

fn v6(payload: Payload) -> V6 {
    V6 {
        version: 6,
        traffic_class: 0,
        flow_label: 5,
        payload_length: None,
        next_header: None,
        hop_limit: 3,
        source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        destination: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2),
        extensions: Vec::new(),
        payload,
    }
}

fn ip(link: &Link, packet: &V4) -> Vec<u8> {
    link.around(ETHERTYPE_IPV4, &packet.bytes())
}

fn ip6(link: &Link, packet: &V6) -> Vec<u8> {
    link.around(ETHERTYPE_IPV6, &packet.bytes())
}

/// All probes but one that fares otherwise on purpose: what comes from an address of the bridge's own has come back, and
/// ends in routerd; Linux complains and passes it. In the order in which they are sent: the bridge learns from them.
pub fn all() -> Vec<Probe> {
    let mut probes = Vec::new();
    let mut probe = |name: &str, port: usize, frame: Vec<u8>| {
        probes.push(Probe { name: name.to_owned(), port, frame });
    };
    let plain = link(A, B);
    let address = |last| Ipv4Addr::new(10, 0, 0, last);
    let asks = arp(1, (A, address(1)), ([0; 6], address(2)));
    probe("a question for all", 0, link(A, ALL).around(ETHERTYPE_ARP, &asks));
    probe("an answer", 1, link(B, A).around(ETHERTYPE_ARP, &arp(2, (B, address(2)), (A, address(1)))));
    probe("a lie", 1, link(B, A).around(ETHERTYPE_ARP, &arp(2, (B, address(66)), (A, address(1)))));
    probe(
        "a gratuitous one",
        2,
        link(C, ALL).around(ETHERTYPE_ARP, &arp(1, (C, address(3)), ([0; 6], address(3)))),
    );
    probe(
        "an inverse answer",
        2,
        link(C, A).around(ETHERTYPE_ARP, &arp(9, (C, address(3)), (A, address(1)))),
    );
    probe("a cut one", 0, plain.around(ETHERTYPE_ARP, &asks[..12]));
    for port in [9, 53, 1001, 1002, 1003, 1004, 1005, 1006, 1008, 1009] {
        probe(&format!("udp {port}"), 0, ip(&plain, &v4(udp(53, port))));
        probe(&format!("udp {port} to nobody known"), 0, ip(&link(A, NOBODY), &v4(udp(53, port))));
        probe(&format!("udp {port} for all"), 1, ip(&link(B, ALL), &v4(udp(53, port))));
    }
    probe("udp 1007 of IPv6", 0, ip6(&plain, &v6(udp(53, 1007))));
    for port in [22, 80, 443] {
        probe(&format!("tcp {port}"), 0, ip(&plain, &v4(tcp(port, 2))));
        probe(&format!("tcp {port} of IPv6"), 0, ip6(&plain, &v6(tcp(port, 2))));
        probe(&format!("tcp {port} back"), 1, ip(&link(B, A), &v4(tcp(port, 16))));
        probe(&format!("tcp {port} to r2"), 0, ip(&link(A, C), &v4(tcp(port, 2))));
    }
    for (name, kind) in [("echo request", 8), ("echo reply", 0)] {
        probe(name, 0, ip(&plain, &v4(echo(kind))));
    }
    probe("echo request of IPv6", 0, ip6(&plain, &v6(echo(128))));
    probe("solicitation", 0, ip6(&plain, &v6(echo(135))));
    for tags in [
        &[(CUSTOMER, 5)][..],
        &[(CUSTOMER, 0x6005)],
        &[(CUSTOMER, 6)],
        &[(CUSTOMER, 7)],
        &[(CUSTOMER, 8)],
        &[(CUSTOMER, 0x3007)],
        &[(CUSTOMER, 0)],
        &[(CUSTOMER, 0xe000)],
        &[(CUSTOMER, 4095)],
        &[(PROVIDER, 5)],
        &[(PROVIDER, 5), (CUSTOMER, 6)],
        &[(CUSTOMER, 5), (CUSTOMER, 6)],
        &[(CUSTOMER, 5), (CUSTOMER, 6), (CUSTOMER, 7)],
    ] {
        let (to_b, to_all) = (tagged(A, B, tags), tagged(A, ALL, tags));
        probe(&format!("udp with {tags:x?}"), 0, ip(&to_b, &v4(udp(53, 53))));
        probe(&format!("tcp with {tags:x?}"), 0, ip(&to_b, &v4(tcp(22, 2))));
        probe(&format!("echo with {tags:x?}"), 0, ip(&to_b, &v4(echo(8))));
        probe(&format!("IPv6 with {tags:x?}"), 0, ip6(&to_b, &v6(echo(128))));
        probe(&format!("ARP with {tags:x?}"), 0, to_all.around(ETHERTYPE_ARP, &asks));
    }
    let broken: [(&str, V4); 8] = [
        ("version 5", V4 { version: 5, ..v4(udp(53, 53)) }),
        ("short header", V4 { header_words: Some(4), ..v4(udp(53, 53)) }),
        ("long header", V4 { header_words: Some(15), ..v4(udp(53, 53)) }),
        ("longer than it is", V4 { total_length: Some(900), ..v4(udp(53, 53)) }),
        ("shorter than its header", V4 { total_length: Some(19), ..v4(udp(53, 53)) }),
        ("wrong checksum", V4 { checksum: Checksum::Wrong, ..v4(udp(53, 53)) }),
        ("with options", V4 { options: vec![148, 4, 0, 0], ..v4(udp(53, 53)) }),
        ("protocol 89", v4(Payload::Raw(89, vec![1; 40]))),
    ];
    for (name, packet) in &broken {
        probe(name, 0, ip(&plain, packet));
    }
    let first = V4 { dont_fragment: false, more_fragments: true, ..v4(udp(53, 53)) };
    probe("a first fragment", 0, ip(&plain, &first));
    probe("a later fragment", 0, ip(&plain, &V4 { offset: 64, ..first }));
    let extended = |extension| V6 { extensions: vec![extension], ..v6(udp(53, 53)) };
    probe("a first fragment of IPv6", 0, ip6(&plain, &extended(Extension::fragment(1, 0, true))));
    probe("a later fragment of IPv6", 0, ip6(&plain, &extended(Extension::fragment(1, 64, false))));
    probe("destination options", 0, ip6(&plain, &extended(Extension::destination_options(&[1, 4]))));
    probe("IPv6 cut", 0, ip6(&plain, &V6 { payload_length: Some(900), ..v6(udp(53, 53)) }));
    let padded = Link { trailer: vec![0; 40], ..plain.clone() };
    probe("padded", 0, ip(&padded, &v4(udp(53, 53))));
    probe("a short frame", 0, plain.around(0x88b7, &[1, 2]));
    probe("another EtherType", 0, plain.around(0x88b7, &[0x46; 50]));
    probe("MPLS", 0, plain.around(0x8847, &[0; 50]));
    probe("reverse ARP", 0, link(A, ALL).around(0x8035, &asks));
    probe("spanning tree", 1, link(B, [1, 0x80, 0xc2, 0, 0, 0]).around(38, &[0x42; 38]));
    probe("LLC", 1, link(B, A).around(60, &[0xaa; 60]));
    probe("Novell's", 1, link(B, A).around(60, &[0xff; 60]));
    probe("a group", 0, ip(&link(A, [1, 0, 0x5e, 0, 0, 0xfb]), &v4(udp(5353, 5353))));
    probe("a group of IPv6", 0, ip6(&link(A, [0x33, 0x33, 0, 0, 0, 1]), &v6(udp(53, 53))));
    probe("from a group", 0, ip(&link([1, 0, 0x5e, 0, 0, 1], B), &v4(udp(53, 53))));
    probe("from nobody", 0, ip(&link([0; 6], B), &v4(udp(53, 53))));
    for (number, own) in OWN.iter().enumerate() {
        probe(&format!("for port {number} itself"), 1, ip(&link(B, *own), &v4(udp(53, 53))));
    }
    probe("back to where it came from", 1, ip(&link(A, B), &v4(udp(53, 53))));
    probe("moved", 2, ip(&link(A, B), &v4(udp(53, 53))));
    probe("to the moved one", 1, ip(&link(B, A), &v4(udp(53, 53))));
    probes
}
