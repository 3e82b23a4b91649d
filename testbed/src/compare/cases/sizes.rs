//! Packets as long as links take, and IPv6 packets that are too long.

use std::net::Ipv6Addr;

use crate::compare::case::{Case, v4, v6};
use crate::compare::ground::SMALL_MTU;
use crate::frames::{Payload, V4, V6};

pub fn cases() -> Vec<Case> {
    vec![
        v4("an IPv4 packet of 1500 bytes", "r1 udp", |k| k.long4(1472)),
        v6("an IPv6 packet of 1500 bytes", "r1 udp", |k| k.long6(1452)),
        v6("an IPv6 packet of 1280 bytes to a link of 1280", "r2 udp", |k| V6 {
            destination: k.behind6(2),
            ..k.long6(SMALL_MTU - 48)
        }),
        v6("an IPv6 packet of 1281 bytes to a link of 1280", "r0 icmp6 2/0", |k| V6 {
            destination: k.behind6(2),
            ..k.long6(SMALL_MTU - 47)
        }),
        v6("an IPv6 packet of 1500 bytes to a link of 1280", "r0 icmp6 2/0", |k| V6 {
            destination: k.behind6(2),
            ..k.long6(1452)
        }),
        v6("a long IPv6 packet over a route with an MTU of 1300", "r0 icmp6 2/0", |k| V6 {
            destination: Ipv6Addr::new(0xfd23, 0, 0, 0, 0, 0, 0, 1),
            ..k.long6(1452)
        }),
        v6("a long echo request to a link of 1280", "r0 icmp6 2/0", |k| {
            let echo = crate::frames::Icmp { data: vec![7; 1300], ..k.echo(128) };
            V6 { destination: k.behind6(2), ..k.v6(Payload::Icmp(echo)) }
        }),
        v6("a long IPv6 packet with hop limit 1 to a link of 1280", "r0 icmp6 3/0", |k| V6 {
            destination: k.behind6(2),
            hop_limit: 1,
            ..k.long6(1452)
        }),
        v6("a long IPv6 packet with a traffic class to a link of 1280", "r0 icmp6 2/0", |k| V6 {
            destination: k.behind6(2),
            traffic_class: 0xb8,
            flow_label: 0x12345,
            ..k.long6(1452)
        }),
        v4(
            "a long packet of an unknown protocol",
            "r2 protocol 253 fragment 0+1256, r2 protocol 253 fragment 1256+144",
            |k| V4 { destination: k.behind4(2), ..k.v4(Payload::Raw(253, vec![9; 1400])) },
        ),
        v4("a long packet of an unknown protocol not to be fragmented", "r0 icmp 3/4", |k| V4 {
            destination: k.behind4(2),
            dont_fragment: true,
            ..k.v4(Payload::Raw(253, vec![9; 1400]))
        }),
        v4("a long tcp segment not to be fragmented", "r0 icmp 3/4", |k| {
            let segment = crate::frames::Tcp { data: vec![7; 1400], ..k.syn() };
            V4 { destination: k.behind4(2), dont_fragment: true, ..k.v4(Payload::Tcp(segment)) }
        }),
    ]
}
