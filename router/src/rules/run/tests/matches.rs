//! What matches read.

use smoltcp::wire::TcpControl;

use super::build::*;
use crate::rules::model::{
    Comparison, Ctype, ElementKey, Expression, MetaKey, Right, Selector, SetRef, TableFamily, Type,
};
use crate::tabletop::frames::Ends;

fn ends(client: &str, server: &str) -> Ends {
    Ends::to_port(0, client, server)
}

fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

fn ct(key: Ctype) -> Expression {
    Expression::Select(Selector::Ct { key, direction: None })
}

#[test]
fn fields_are_compared_as_numbers_in_all_ways() {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let port = |comparison, right| vec![compare(select(&UDP_DPORT), comparison, right)];
    let number = |port: u16| Right::Value(value(&port.to_be_bytes()));
    let range = |from: u16, to: u16| Right::Range(value(&from.to_be_bytes()), value(&to.to_be_bytes()));
    let (ruleset, counters) = counted(
        TableFamily::Inet,
        vec![
            port(Equal, number(53)),
            port(NotEqual, number(53)),
            port(Less, number(53)),
            port(LessOrEqual, number(53)),
            port(Greater, number(53)),
            port(GreaterOrEqual, number(53)),
            port(Equal, range(50, 60)),
            port(NotEqual, range(50, 60)),
            port(Less, number(0)),
            port(Greater, number(65_535)),
        ],
        Vec::new(),
    );
    let mut ground = Ground::with(&ruleset);
    for port in [52, 53, 54, 61] {
        assert!(ground.passes(&ends("10.0.0.2:1000", &format!("10.0.1.2:{port}")).udp(b"question")));
        assert!(ground.passes(&ends("[fd00::2]:1000", &format!("[fd01::2]:{port}")).udp(b"question")));
    }
    assert!(ground.passes(&ends("10.0.0.2:1000", "10.0.1.2:53").tcp(TcpControl::Syn, 1, None, b"")));
    assert_eq!(counts(&counters), [2, 6, 2, 4, 4, 6, 6, 2, 0, 0]);
}

#[test]
fn addresses_are_compared_by_prefix_and_rules_of_the_other_family_never_match() {
    let prefix = Right::Prefix(value(&[10, 0, 0, 0]), 24);
    let wide = |bytes: [u8; 16], length| Right::Prefix(value(&bytes), length);
    let fd00 = "fd00::".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let (ruleset, counters) = counted(
        TableFamily::Inet,
        vec![
            vec![compare(select(&IP_SADDR), Comparison::Equal, prefix.clone())],
            vec![compare(select(&IP_SADDR), Comparison::NotEqual, prefix)],
            vec![compare(select(&IP6_SADDR), Comparison::Equal, wide(fd00, 64))],
            vec![compare(select(&IP6_SADDR), Comparison::NotEqual, wide(fd00, 64))],
            vec![equals(meta(MetaKey::NetfilterProtocol), &[10])],
            vec![equals(meta(MetaKey::Protocol), &[8, 0])],
        ],
        Vec::new(),
    );
    let mut ground = Ground::with(&ruleset);
    ground.pass(&ends("10.0.0.2:1", "10.0.1.2:2").udp(b""));
    ground.pass(&ends("10.0.5.2:1", "10.0.1.2:2").udp(b""));
    ground.pass(&ends("[fd00::2]:1", "[fd01::2]:2").udp(b""));
    assert_eq!(counts(&counters), [1, 1, 1, 0, 1, 2]);
}

#[test]
fn ports_are_known_by_name_prefix_and_index_where_they_are_known() {
    let (ruleset, counters) = counted(
        TableFamily::Inet,
        vec![
            vec![equals(meta(MetaKey::InputName), &name("r0"))],
            vec![equals(meta(MetaKey::OutputName), &name("r0"))],
            vec![compare(meta(MetaKey::OutputName), Comparison::NotEqual, Right::Value(value(&name("r0"))))],
            vec![compare(meta(MetaKey::InputName), Comparison::Equal, Right::Prefix(value(&name("r")), 8))],
            vec![equals(meta(MetaKey::InputIndex), &[0, 0, 0, 1])],
            vec![equals(meta(MetaKey::OutputIndex), &[0, 0, 0, 2])],
            vec![in_set(meta(MetaKey::OutputName), "names")],
        ],
        vec![set("names", &[Type::InterfaceName], vec![element(ElementKey::Value(value(&name("r1"))))])],
    );
    let mut ground = Ground::with(&ruleset);
    ground.pass(&ends("10.0.0.2:1", "10.0.1.2:2").udp(b""));
    assert_eq!(counts(&counters), [1, 0, 1, 1, 1, 1, 1]);
}

#[test]
fn the_flow_is_known_by_state_and_tuple() {
    let state = |bits: u32| {
        vec![compare(ct(Ctype::State), Comparison::AnyBit, Right::Value(value(&bits.to_be_bytes())))]
    };
    let (ruleset, counters) = counted(
        TableFamily::Inet,
        vec![
            state(8),
            state(2),
            state(2 | 4),
            vec![equals(ct(Ctype::Direction), &[1])],
            vec![equals(ct(Ctype::DestinationPort), &[0, 53])],
            vec![equals(ct(Ctype::SourceIpv6), &[0; 16])],
            state(1),
        ],
        Vec::new(),
    );
    let mut ground = Ground::with(&ruleset);
    ground.pass(&ends("10.0.0.2:1000", "10.0.1.2:53").udp(b"question"));
    ground.table.pass(1, &Ends::to_port(1, "10.0.1.2:53", "10.0.0.2:1000").udp(b"answer")[..]);
    ground.pass(&ends("10.0.0.2:1000", "10.0.1.2:53").udp(b"question"));
    assert_eq!(counts(&counters), [1, 2, 2, 1, 3, 0, 0]);
    ground.pass(&ends("10.0.0.2:1000", "10.0.1.2:53").tcp(TcpControl::Rst, 1, None, b""));
    assert_eq!(counts(&counters)[6], 1, "a reset that belongs to nothing is invalid");
}

#[test]
fn flags_are_compared_under_a_mask() {
    let masked = |mask: u8| Expression::Bitwise {
        inner: Box::new(select(&TCP_FLAGS)),
        mask: value(&[mask]),
        flip: value(&[0]),
    };
    let (ruleset, counters) = counted(
        TableFamily::Ip,
        vec![
            vec![equals(masked(0x17), &[0x02])],
            vec![compare(masked(0x12), Comparison::NotEqual, Right::Value(value(&[0])))],
            vec![compare(select(&TCP_FLAGS), Comparison::NoBit, Right::Value(value(&[0x10])))],
        ],
        Vec::new(),
    );
    let mut ground = Ground::with(&ruleset);
    let ends = ends("10.0.0.2:1000", "10.0.1.2:80");
    ground.pass(&ends.tcp(TcpControl::Syn, 1, None, b""));
    ground.pass(&ends.tcp(TcpControl::Psh, 2, Some(1), b"data"));
    ground.pass(&ends.udp(b""));
    assert_eq!(counts(&counters), [1, 2, 1]);
}

#[test]
fn what_a_packet_is_too_short_for_matches_nothing() {
    let raw = |offset| {
        Expression::Select(Selector::Raw { base: crate::rules::model::Base::Transport, offset, length: 16 })
    };
    let not = |left| vec![compare(left, Comparison::NotEqual, Right::Value(value(&[0xff, 0xff])))];
    let (ruleset, counters) = counted(TableFamily::Ip, vec![not(raw(8 * 8)), not(raw(8 * 7))], Vec::new());
    let mut ground = Ground::with(&ruleset);
    ground.pass(&ends("10.0.0.2:1", "10.0.1.2:2").udp(b"\x01"));
    assert_eq!(counts(&counters), [0, 1], "one byte behind the header is not two");
}

#[test]
fn sets_of_values_intervals_and_concatenations_are_looked_into() {
    let one = |address: u8, port: u16| {
        let [high, low] = port.to_be_bytes();
        value(&[10, 0, 1, address, high, low, 0, 0])
    };
    let both = Expression::Concat(vec![select(&IP_DADDR), select(&TH_DPORT)]);
    let sets = vec![
        set("ports", &[Type::Service], vec![element(ElementKey::Value(value(&[0, 80])))]),
        set("range", &[Type::Service], vec![element(ElementKey::Range(value(&[0, 80]), value(&[0, 90])))]),
        set("both", &[Type::Ipv4Address, Type::Service], vec![element(ElementKey::Value(one(2, 80)))]),
        set(
            "ranges",
            &[Type::Ipv4Address, Type::Service],
            vec![element(ElementKey::Range(one(1, 70), one(9, 80)))],
        ),
    ];
    let without = compare(select(&TH_DPORT), Comparison::NotEqual, Right::Set(SetRef("ports".into())));
    let (ruleset, counters) = counted(
        TableFamily::Inet,
        vec![
            vec![in_set(select(&TH_DPORT), "ports")],
            vec![in_set(select(&TH_DPORT), "range")],
            vec![in_set(both.clone(), "both")],
            vec![in_set(both, "ranges")],
            vec![without],
        ],
        sets,
    );
    let mut ground = Ground::with(&ruleset);
    for port in [80, 85, 70, 91] {
        ground.pass(&ends("10.0.0.2:1000", &format!("10.0.1.2:{port}")).udp(b""));
    }
    ground.pass(&ends("[fd00::2]:1000", "[fd01::2]:80").udp(b""));
    ground.pass(&ends("10.0.0.2:1000", "10.0.1.2:80").echo(1));
    assert_eq!(counts(&counters), [2, 3, 1, 2, 3]);
}

#[test]
fn fields_that_only_some_messages_have_are_read_of_these() {
    let (ruleset, counters) =
        counted(TableFamily::Inet, vec![vec![equals(select(&ICMP_ID), &[3, 232])]], Vec::new());
    let mut ground = Ground::with(&ruleset);
    ground.pass(&ends("10.0.0.2:1000", "10.0.1.2:1").echo(1));
    ground.pass(&ends("10.0.0.2:1000", "10.0.1.2:1").udp(&[3; 8]));
    ground.pass(&ends("[fd00::2]:1000", "[fd01::2]:1").echo(1));
    assert_eq!(counts(&counters), [1]);
}
