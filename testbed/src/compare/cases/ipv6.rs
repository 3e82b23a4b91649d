//! The IPv6 header and IPv6 addresses (RFC 8200, RFC 4291).

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::compare::case::{Case, Step, frame, v6};
use crate::compare::ground::Key;
use crate::compare::mask::asks_for_neighbor;
use crate::frames::{ETHERTYPE_IPV6, Link, Payload, V6};

/// Sources, and what is peculiar about them.
const SOURCES: &[(&str, &str, &str)] = &[
    ("source ::", "nothing", "::"),
    ("source ::1", "nothing", "::1"),
    ("source ff02::1", "nothing", "ff02::1"),
    ("source ff05::1", "nothing", "ff05::1"),
    ("source fe80::2", "r0 icmp6 1/2", "fe80::2"),
    ("source fec0::1", "r1 udp", "fec0::1"),
    ("source ::ffff:172.20.0.1", "r1 udp", "::ffff:172.20.0.1"),
    ("source ::172.20.0.1", "r1 udp", "::172.20.0.1"),
    ("source 2001:db8::1, to which there is no route", "r1 udp", "2001:db8::1"),
    ("source is the router's own address", "r1 udp", "fd00:10::1"),
    ("source is the router's address on another port", "r1 udp", "fd00:12::1"),
    ("source lies behind another port in IPv6", "r1 udp", "fd22::9"),
    ("source is the destination in IPv6", "r1 udp", "fd21::1"),
    ("source is the subnet-router anycast address", "r1 udp", "fd00:10::"),
];

/// Destinations, and what is peculiar about them.
const DESTINATIONS: &[(&str, &str, &str)] = &[
    ("destination ::", "r0 icmp6 1/0", "::"),
    ("destination ::1", "nothing", "::1"),
    ("destination ff02::1", "nothing", "ff02::1"),
    ("destination ff02::99", "nothing", "ff02::99"),
    ("destination ff05::99", "nothing", "ff05::99"),
    ("destination ff0e::99", "nothing", "ff0e::99"),
    ("destination fec0::1", "r0 icmp6 1/0", "fec0::1"),
    ("destination ::ffff:172.21.0.1", "r0 icmp6 1/0", "::ffff:172.21.0.1"),
    ("destination is a neighbor on another link in IPv6", "r1 udp", "fd00:11::2"),
    ("destination is the router on that port in IPv6", "r0 icmp6 1/4", "fd00:10::1"),
    ("destination is the router on another port in IPv6", "r0 icmp6 1/4", "fd00:11::1"),
];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        v6("nothing peculiar in IPv6", "r1 udp", Key::udp6),
        v6("IPv6 version 0", "nothing", |k| V6 { version: 0, ..k.udp6() }),
        v6("version 4 in an IPv6 frame", "nothing", |k| V6 { version: 4, ..k.udp6() }),
        v6("IPv6 version 7", "nothing", |k| V6 { version: 7, ..k.udp6() }),
        v6("traffic class and flow label", "r1 udp", |k| V6 {
            traffic_class: 0xb8,
            flow_label: 0xabcde,
            ..k.udp6()
        }),
        v6("congestion experienced in IPv6", "r1 udp", |k| V6 { traffic_class: 0x03, ..k.udp6() }),
        v6("hop limit 0", "r0 icmp6 3/0", |k| V6 { hop_limit: 0, ..k.udp6() }),
        v6("hop limit 1", "r0 icmp6 3/0", |k| V6 { hop_limit: 1, ..k.udp6() }),
        v6("hop limit 2", "r1 udp", |k| V6 { hop_limit: 2, ..k.udp6() }),
        v6("hop limit 255", "r1 udp", |k| V6 { hop_limit: 255, ..k.udp6() }),
        v6("hop limit 1 with a traffic class and flow label", "r0 icmp6 3/0", |k| V6 {
            hop_limit: 1,
            traffic_class: 0xb9,
            flow_label: 0xabcde,
            ..k.udp6()
        }),
        v6("payload length 0", "r1 udp", |k| V6 { payload_length: Some(0), ..k.udp6() }),
        v6("payload length one more than there is", "nothing", |k| V6 {
            payload_length: Some(29),
            ..k.udp6()
        }),
        v6("payload length four less than there is", "r1 udp", |k| V6 {
            payload_length: Some(24),
            ..k.udp6()
        }),
        v6("payload length 65535", "nothing", |k| V6 { payload_length: Some(65535), ..k.udp6() }),
        v6("no next header", "r1 protocol 59", |k| k.v6(Payload::Raw(59, vec![]))),
        v6("no next header and bytes behind it", "r1 protocol 59", |k| k.v6(Payload::Raw(59, vec![1; 9]))),
        v6("an unknown next header", "r1 protocol 200", |k| k.v6(Payload::Raw(200, vec![1; 9]))),
        frame("IPv6 frame ends after the ethertype", "nothing", |k| k.link(0).around(ETHERTYPE_IPV6, &[])),
        frame("IPv6 packet cut within the header", "nothing", |k| {
            k.link(0).around(ETHERTYPE_IPV6, &k.udp6().bytes()[..39])
        }),
        frame("IPv6 packet cut behind the header", "nothing", |k| {
            k.link(0).around(ETHERTYPE_IPV6, &k.udp6().bytes()[..40])
        }),
        frame("a hundred bytes behind the IPv6 packet", "r1 udp", |k| {
            Link { trailer: vec![0xee; 100], ..k.link(0) }.around(ETHERTYPE_IPV6, &k.udp6().bytes())
        }),
        frame("hop limit 1 and bytes behind the packet", "r0 icmp6 3/0", |k| {
            let packet = V6 { hop_limit: 1, ..k.udp6() };
            Link { trailer: vec![0xee; 9], ..k.link(0) }.around(ETHERTYPE_IPV6, &packet.bytes())
        }),
        v6("echo request to the router in IPv6", "r0 icmp6 129/0", |k| V6 {
            destination: address("fd00:10::1"),
            ..k.v6(Payload::Icmp(k.echo(128)))
        }),
        v6("echo request to the router's far address in IPv6", "r0 icmp6 129/0", |k| V6 {
            destination: address("fd00:12::1"),
            ..k.v6(Payload::Icmp(k.echo(128)))
        }),
        v6("link-local source and hop limit 1", "r0 icmp6 3/0", |k| V6 {
            source: address("fe80::2"),
            hop_limit: 1,
            ..k.udp6()
        }),
        v6("link-local source and no route", "r0 icmp6 1/0", |k| V6 {
            source: address("fe80::2"),
            destination: address("2001:db8::1"),
            ..k.udp6()
        }),
        v6("source :: and hop limit 1", "nothing", |k| V6 {
            source: address("::"),
            hop_limit: 1,
            ..k.udp6()
        }),
        v6("multicast source and hop limit 1", "nothing", |k| V6 {
            source: address("ff02::1"),
            hop_limit: 1,
            ..k.udp6()
        }),
        v6("source without a route and hop limit 1", "nothing", |k| V6 {
            source: address("2001:db8::1"),
            hop_limit: 1,
            ..k.udp6()
        }),
    ];
    let source = |(name, expected, text): &(&'static str, &'static str, &'static str)| {
        let source = address(text);
        Case::new(name, expected, move |k| vec![Step::Send(0, k.frame6(&V6 { source, ..k.udp6() }))])
    };
    let destination = |(name, expected, text): &(&'static str, &'static str, &'static str)| {
        let destination = address(text);
        Case::new(name, expected, move |k| vec![Step::Send(0, k.frame6(&V6 { destination, ..k.udp6() }))])
    };
    cases.extend(SOURCES.iter().map(source));
    cases.extend(DESTINATIONS.iter().map(destination));
    cases.extend([
        asking("destination fe80::99", "r0 icmp6 135/0", "fe80::99", |frame| asks_for(frame, "fe80::99")),
        asking(
            "destination is another link's subnet-router anycast address",
            "r0 icmp6 1/4",
            "fd00:11::",
            |frame| refuses(frame) || asks_for(frame, "fd00:11::"),
        )
        .without_kernel("r1 icmp6 135/0", "a kernel that does not forward does not take that address"),
    ]);
    cases
}

/// A packet for an address that the router may have to ask for, which takes it a moment: until `done`.
fn asking(
    name: &'static str,
    expected: &'static str,
    destination: &'static str,
    done: fn(&[u8]) -> bool,
) -> Case {
    Case::new(name, expected, move |k| {
        let packet = V6 { destination: address(destination), ..k.udp6() };
        vec![Step::Send(0, k.frame6(&packet)), Step::AwaitAnywhere(done, Duration::from_secs(2))]
    })
}

/// Whether the frame is a neighbor solicitation for an address (RFC 4861 section 4.3).
fn asks_for(frame: &[u8], target: &str) -> bool {
    asks_for_neighbor(frame) && frame.get(62..78) == Some(&address(target).octets())
}

/// Whether the frame is destination unreachable.
fn refuses(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&58) && frame.get(54) == Some(&1)
}

fn address(text: &str) -> Ipv6Addr {
    text.parse().expect("an address written out here")
}
