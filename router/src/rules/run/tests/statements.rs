//! What statements do.

use std::sync::Arc;

use smoltcp::wire::TcpControl;

use super::build::*;
use crate::chain::{Family, Point};
use crate::packet::ipv4;
use crate::rules::model::{
    Data, DataType, Element, ElementKey, Expression, Policy, Reject, SetRef, Statement, TableFamily, Target,
    Type, Verdict,
};
use crate::tabletop::frames::Ends;

fn udp(port: u16) -> Vec<u8> {
    Ends::to_port(0, "10.0.0.2:1000", &format!("10.0.1.2:{port}")).udp(b"question")
}

#[test]
fn a_chain_returns_to_the_rule_behind_the_one_that_jumped() {
    let [(before, one), (inner, two), (behind_jump, three), (behind, four)] =
        [counter(), counter(), counter(), counter()];
    let chains = vec![
        base(
            "forward",
            Point::Forward,
            0,
            Policy::Drop,
            vec![
                rule(vec![one]),
                rule(vec![verdict(Verdict::Jump("inner".into())), three]),
                rule(vec![four]),
                rule(vec![verdict(Verdict::Goto("last".into()))]),
                rule(vec![verdict(Verdict::Drop)]),
            ],
        ),
        chain("inner", vec![rule(vec![two, verdict(Verdict::Return)]), rule(vec![verdict(Verdict::Drop)])]),
        chain("last", vec![rule(vec![equals(select(&UDP_DPORT), &[0, 53]), verdict(Verdict::Accept)])]),
    ];
    let mut ground = Ground::with(&table(TableFamily::Inet, chains, Vec::new()));
    assert!(ground.passes(&udp(53)));
    assert!(!ground.passes(&udp(54)), "behind `goto` comes the policy");
    let read = [before, inner, behind_jump, behind].map(|counter| counter.read().0);
    assert_eq!(read, [2, 2, 0, 2]);
    assert_eq!(ground.table.counters().drops(crate::drops::DropReason::Rule), 1);
}

#[test]
fn accepting_ends_one_base_chain_and_of_two_with_one_priority_the_later_is_first() {
    let (first, counted) = counter();
    let chains = vec![
        base("late", Point::Forward, 0, Policy::Drop, vec![rule(vec![counted])]),
        base("early", Point::Forward, 0, Policy::Accept, vec![rule(vec![verdict(Verdict::Accept)])]),
    ];
    let mut ground = Ground::with(&table(TableFamily::Ip, chains, Vec::new()));
    assert!(!ground.passes(&udp(53)));
    assert_eq!(first.read(), (1, 36), "IP bytes are counted");
    let rows = ground.table.hooks().rows();
    let names: Vec<_> = rows
        .iter()
        .filter(|row| row.place.family == Family::Ipv4 && row.place.point == Point::Forward)
        .map(|row| &*row.place.name)
        .collect();
    assert_eq!(names, ["t/early", "t/late"]);
    ground.install(&crate::rules::model::Ruleset::default());
    assert!(ground.passes(&udp(53)), "an empty ruleset lets everything pass");
}

#[test]
fn a_verdict_map_leads_where_its_key_says() {
    let element = |port: u16, verdict| Element {
        data: Some(Data::Verdict(verdict)),
        ..element(ElementKey::Value(value(&port.to_be_bytes())))
    };
    let mut map = set(
        "verdicts",
        &[Type::Service],
        vec![element(53, Verdict::Drop), element(54, Verdict::Jump("inner".into()))],
    );
    map.data = Some(DataType::Verdict);
    let (inner, counted) = counter();
    let lookup = Statement::VerdictMap { key: select(&UDP_DPORT), map: SetRef("verdicts".into()) };
    let chains = vec![
        base("forward", Point::Forward, 0, Policy::Accept, vec![rule(vec![lookup])]),
        chain("inner", vec![rule(vec![counted])]),
    ];
    let mut ground = Ground::with(&table(TableFamily::Ip, chains, vec![map]));
    assert!(!ground.passes(&udp(53)));
    assert!(ground.passes(&udp(54)) && ground.passes(&udp(55)));
    assert_eq!(inner.read().0, 1);
}

fn set_field(field: &'static crate::rules::model::Field, bytes: &[u8]) -> Statement {
    Statement::Set { target: Target::Field(field), value: Expression::Value(field.kind, value(bytes)) }
}

/// Whether all checksums of an IPv4 packet in a frame are right.
fn is_sound(frame: &[u8]) -> bool {
    use crate::packet::checksum::{add, checksum, pseudo_header_v4, sum};
    let packet = &frame[14..];
    let transport = &packet[20..];
    let pseudo =
        pseudo_header_v4(ipv4::source(packet), ipv4::destination(packet), packet[9], transport.len() as u16);
    checksum(&packet[..20]) == 0 && add(pseudo, sum(transport)) == 0xffff
}

#[test]
fn headers_are_set_and_their_checksums_follow() {
    let statements = vec![
        set_field(&IP_DSCP, &[46]),
        set_field(&IP_TTL, &[7]),
        set_field(&IP_SADDR, &[10, 0, 9, 9]),
        set_field(&UDP_DPORT, &[1, 2]),
    ];
    let chains = vec![base("mangle", Point::Postrouting, -150, Policy::Accept, vec![rule(statements)])];
    let mut ground = Ground::with(&table(TableFamily::Ip, chains, Vec::new()));
    let out = ground.pass(&udp(53)).remove(0);
    assert!(is_sound(&out));
    let packet = &out[14..];
    assert_eq!((packet[1], packet[8]), (46 << 2, 7));
    assert_eq!(packet[12..16], [10, 0, 9, 9]);
    assert_eq!(packet[22..24], [1, 2]);
}

#[test]
fn a_destination_that_a_rule_sets_is_routed_to() {
    let statements = vec![set_field(&IP_DADDR, &[10, 0, 1, 2])];
    let chains = vec![base("mangle", Point::Prerouting, -150, Policy::Accept, vec![rule(statements)])];
    let mut ground = Ground::with(&table(TableFamily::Ip, chains, Vec::new()));
    let out = ground.pass(&Ends::to_port(0, "10.0.0.2:1000", "10.99.0.1:53").udp(b"question")).remove(0);
    assert!(is_sound(&out));
}

fn refusing(reject: Reject) -> Ground {
    let chains =
        vec![base("forward", Point::Forward, 0, Policy::Accept, vec![rule(vec![Statement::Reject(reject)])])];
    Ground::with(&table(TableFamily::Inet, chains, Vec::new()))
}

#[test]
fn a_refused_packet_is_answered_with_an_error() {
    for (reject, client, server, at, expected) in [
        (Reject::Icmp(3), "10.0.0.2:1000", "10.0.1.2:53", 34, [3, 3]),
        (Reject::Icmpx(1), "10.0.0.2:1000", "10.0.1.2:53", 34, [3, 3]),
        (Reject::Icmpx(3), "10.0.0.2:1000", "10.0.1.2:53", 34, [3, 13]),
        (Reject::Icmpx(2), "[fd00::2]:1000", "[fd01::2]:53", 54, [1, 3]),
    ] {
        let mut ground = refusing(reject);
        assert!(!ground.passes(&Ends::to_port(0, client, server).udp(b"question")));
        let answers = ground.table.take(0);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].bytes[at..at + 2], expected);
    }
    let mut ground = refusing(Reject::Icmpv6(1));
    assert!(ground.passes(&udp(53)), "an answer of the other family ends the rule");
    let mut spoiled = udp(53);
    *spoiled.last_mut().unwrap() ^= 1;
    let mut ground = refusing(Reject::Icmp(3));
    assert!(!ground.passes(&spoiled));
    assert!(ground.table.take(0).is_empty(), "what arrives damaged is not answered");
}

#[test]
fn a_refused_segment_is_answered_with_a_reset() {
    let ends = Ends::to_port(0, "10.0.0.2:1000", "10.0.1.2:80");
    let mut ground = refusing(Reject::TcpReset);
    assert!(!ground.passes(&ends.tcp(TcpControl::Syn, 100, None, b"")));
    let answer = ground.table.take(0).remove(0);
    let tcp = &answer.bytes[34..];
    assert_eq!(answer.bytes[14..34], {
        let mut header = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 1, 2, 10, 0, 0, 2];
        ipv4::write_checksum(&mut header);
        header
    });
    assert_eq!(tcp[..4], [0, 80, 3, 232]);
    assert_eq!(tcp[4..14], [0, 0, 0, 0, 0, 0, 0, 101, 0x50, 0x14]);
    assert!(matches!(answer.checksum, crate::frame::Checksum::Partial { start: 20, offset: 16 }));
    assert_eq!(ground.table.shared().flows.len(), 0, "no flow is left behind");
    assert!(!ground.passes(&ends.tcp(TcpControl::Rst, 100, None, b"")));
    assert!(ground.table.take(0).is_empty(), "a reset is not answered");
    assert!(ground.passes(&udp(53)), "nothing but segments is");
    assert!(!ground.passes(&ends.tcp(TcpControl::Psh, 100, Some(77), b"data")));
    let answer = ground.table.take(0).remove(0);
    assert_eq!(answer.bytes[38..48], [0, 0, 0, 77, 0, 0, 0, 0, 0x50, 0x04]);
    let ends = Ends::to_port(0, "[fd00::2]:1000", "[fd01::2]:80");
    assert!(!ground.passes(&ends.tcp(TcpControl::Syn, 100, None, b"")));
    let answer = ground.table.take(0).remove(0);
    assert_eq!(answer.bytes[54 + 4..54 + 14], [0, 0, 0, 0, 0, 0, 0, 101, 0x50, 0x14]);
    assert_eq!(answer.checksum, crate::frame::Checksum::Unknown);
}

#[test]
fn rules_change_hands_in_one_moment_and_counters_survive() {
    let (counted, statement) = counter();
    let one = base("forward", Point::Forward, 0, Policy::Accept, vec![rule(vec![statement])]);
    let ruleset = table(TableFamily::Ip, vec![one], Vec::new());
    let mut ground = Ground::with(&ruleset);
    ground.pass(&udp(53));
    ground.install(&ruleset.clone());
    ground.pass(&udp(53));
    assert_eq!(counted.read().0, 2);
    let held = Arc::strong_count(&counted);
    assert_eq!(held, 4, "the test, the model, the code and the flow's passage: old code is gone");
}
