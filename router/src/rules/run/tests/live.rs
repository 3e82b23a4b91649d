//! Statements that remember: live sets, limits, marks, labels, translation, the journal.

use std::sync::Arc;
use std::time::Duration;

use smoltcp::wire::TcpControl;

use super::build::*;
use crate::chain::Point;
use crate::rules::journal::Reason;
use crate::rules::model::{
    BaseChain, Chain, ChainKind, Comparison, Ctype, Dynamic, DynamicOperation, Expression, Limit, LimitUnit,
    Log, MetaKey, Nat, NatAddress, NatKind, OptionField, Policy, Right, Selector, SetFlags, SetRef,
    Statement, TableFamily, Target, Type, Verdict,
};
use crate::rules::state::{self, FlowCount, LiveSet};
use crate::tabletop::frames::Ends;

fn from(last: u8, port: u16) -> Vec<u8> {
    Ends::to_port(0, &format!("10.0.0.{last}:1000"), &format!("10.0.1.2:{port}")).udp(b"question")
}

fn live_set(size: u32, timeout_ms: u64) -> (crate::rules::model::Set, Arc<LiveSet>) {
    let live = Arc::new(LiveSet::new(&[Type::Ipv4Address], size));
    let mut set = set("seen", &[Type::Ipv4Address], Vec::new());
    set.flags = SetFlags { dynamic: true, timeout: true, ..SetFlags::default() };
    set.timeout_ms = Some(timeout_ms);
    set.live = Some(live.clone());
    (set, live)
}

fn adding(state: Vec<Statement>) -> Statement {
    Statement::Dynamic(Dynamic {
        operation: DynamicOperation::Add,
        set: SetRef("seen".into()),
        key: select(&IP_SADDR),
        data: None,
        verdict: None,
        timeout_ms: None,
        state,
    })
}

fn forward(rules: Vec<Vec<Statement>>) -> Arc<Chain> {
    base("forward", Point::Forward, 0, Policy::Accept, rules.into_iter().map(rule).collect())
}

#[test]
fn packets_fill_sets_that_have_room_and_elements_end() {
    let (set, live) = live_set(2, 10_000);
    let (known, counted) = counter();
    let (added, counted_too) = counter();
    let chain = forward(vec![
        vec![in_set(select(&IP_SADDR), "seen"), counted],
        vec![adding(Vec::new()), counted_too],
    ]);
    let mut ground = Ground::with(&table(TableFamily::Ip, vec![chain], vec![set]));
    for last in [2, 3, 2, 4] {
        ground.pass(&from(last, 53));
    }
    assert_eq!(known.read().0, 1);
    assert_eq!(added.read().0, 3, "for the third address there was no room, which ends the rule");
    assert_eq!(live.elements(ground.table.now()).len(), 2);
    ground.table.advance(Duration::from_secs(11));
    ground.pass(&from(2, 53));
    assert_eq!(known.read().0, 1, "what has ended is not found");
}

#[test]
fn each_element_has_a_limit_of_its_own() {
    let (set, live) = live_set(100, 60_000);
    let rate = Limit { rate: 1, period_s: 60, burst: 2, unit: LimitUnit::Packets, over: true };
    let limit = Statement::Limit(Arc::new(state::Limit::new(rate)));
    let chain = forward(vec![vec![adding(vec![limit]), verdict(Verdict::Drop)]]);
    let mut ground = Ground::with(&table(TableFamily::Ip, vec![chain], vec![set]));
    ground.table.advance(Duration::from_secs(1000));
    let passed = |ground: &mut Ground, last| (0..4).filter(|_| ground.passes(&from(last, 53))).count();
    assert_eq!((passed(&mut ground, 2), passed(&mut ground, 3)), (2, 2));
    let listed = live.elements(ground.table.now());
    assert!(matches!(listed[0].element.state[..], [Statement::Limit(_)]));
}

#[test]
fn a_count_of_flows_is_of_those_alive() {
    let count = Statement::CtCount(Arc::new(FlowCount::new(2, true)));
    let chain = forward(vec![vec![count, verdict(Verdict::Drop)]]);
    let mut ground = Ground::with(&table(TableFamily::Ip, vec![chain], Vec::new()));
    let passed: Vec<bool> = [53, 54, 53, 55].into_iter().map(|port| ground.passes(&from(2, port))).collect();
    assert_eq!(passed, [true, true, true, false]);
    ground.table.advance(Duration::from_secs(200));
    assert!(ground.passes(&from(2, 56)), "the others have ended");
}

#[test]
fn marks_go_from_packet_to_flow_and_back() {
    let ct_mark = || Expression::Select(Selector::Ct { key: Ctype::Mark, direction: None });
    let set_mark = |target, value| Statement::Set { target, value };
    let (marked, counted) = counter();
    let chain = forward(vec![
        vec![equals(ct_mark(), &[0, 0, 0, 7]), set_mark(Target::MetaMark, ct_mark())],
        vec![equals(meta(MetaKey::Mark), &[0, 0, 0, 7]), counted],
        vec![set_mark(Target::CtMark, Expression::Value(Type::Mark, value(&[0, 0, 0, 7])))],
    ]);
    let mut ground = Ground::with(&table(TableFamily::Inet, vec![chain], Vec::new()));
    ground.pass(&from(2, 53));
    assert_eq!(marked.read().0, 0);
    ground.pass(&from(2, 53));
    assert_eq!(marked.read().0, 1);
}

#[test]
fn a_packet_that_is_not_to_be_tracked_is_untracked() {
    let state = Expression::Select(Selector::Ct { key: Ctype::State, direction: None });
    let (untracked, counted) = counter();
    let raw = base("raw", Point::Prerouting, -300, Policy::Accept, vec![rule(vec![Statement::Notrack])]);
    let chain =
        forward(vec![vec![compare(state, Comparison::AnyBit, Right::Value(value(&[0, 0, 0, 64]))), counted]]);
    let mut ground = Ground::with(&table(TableFamily::Inet, vec![raw, chain], Vec::new()));
    assert!(ground.passes(&from(2, 53)));
    assert_eq!(untracked.read().0, 1);
    assert!(ground.table.shared().flows.is_empty());
}

#[test]
fn the_largest_segment_is_lowered_to_what_the_way_has_room_for() {
    let option = OptionField {
        of_tcp: true,
        option: 2,
        names: ("maxseg", Some("size")),
        offset: 16,
        length: 16,
        kind: Type::Integer(16),
    };
    let statement = Statement::Set {
        target: Target::Option(option),
        value: Expression::Select(Selector::Route(crate::rules::model::RouteKey::Mtu)),
    };
    let read = Expression::Select(Selector::Option(option));
    let (lowered, counted) = counter();
    let chain = forward(vec![vec![statement], vec![equals(read, &1460_u16.to_be_bytes()), counted]]);
    let mut ground = Ground::with(&table(TableFamily::Inet, vec![chain], Vec::new()));
    for (asked, left) in [(9000_u16, 1460), (1460, 1460), (1000, 1000)] {
        let frame = syn_with_segment_max(asked);
        let out = ground.pass(&frame).remove(0);
        assert_eq!(out[14 + 20 + 22..14 + 20 + 24], u16::to_be_bytes(left));
        let (packet, transport) = (&out[14..], &out[34..]);
        let pseudo = crate::packet::checksum::pseudo_header_v4(
            crate::packet::ipv4::source(packet),
            crate::packet::ipv4::destination(packet),
            6,
            24,
        );
        assert_eq!(crate::packet::checksum::add(pseudo, crate::packet::checksum::sum(transport)), 0xffff);
    }
    assert_eq!(lowered.read().0, 2);
}

/// A SYN whose one option says the largest segment.
pub fn syn_with_segment_max(size: u16) -> Vec<u8> {
    let ends = Ends::to_port(0, &format!("10.0.0.2:{size}"), "10.0.1.2:80");
    let mut frame = ends.tcp(TcpControl::Syn, 1, None, &[2, 4, size.to_be_bytes()[0], size.to_be_bytes()[1]]);
    let tcp = 14 + 20;
    let old = [frame[tcp + 12], frame[tcp + 13]];
    frame[tcp + 12] = 6 << 4;
    let new = [frame[tcp + 12], frame[tcp + 13]];
    let held = u16::from_be_bytes([frame[tcp + 16], frame[tcp + 17]]);
    let repaired = crate::packet::checksum::update_bytes(held, &old, &new);
    frame[tcp + 16..tcp + 18].copy_from_slice(&repaired.to_be_bytes());
    frame
}

#[test]
fn what_is_logged_waits_in_the_journal_as_the_kernel_would_write_it() {
    let log = Log {
        prefix: Some("seen: ".into()),
        group: None,
        snaplen: None,
        queue_threshold: None,
        level: None,
        flags: 0,
    };
    let chain = forward(vec![vec![Statement::Log(log)]]);
    let mut ground = Ground::with(&table(TableFamily::Inet, vec![chain], Vec::new()));
    ground.pass(&from(2, 53));
    let entries = ground.rules.world().journal.take(10);
    let [entry] = &entries[..] else { panic!("one entry") };
    assert!(matches!(&entry.reason, Reason::Log { prefix, level: 4, .. } if **prefix == *"seen: "));
    let line = entry.record.line(&ground.table.shared().ports, 0);
    assert_eq!(
        line,
        "IN=r0 OUT=r1 MAC=02:00:00:00:00:00:02:00:00:00:01:01:08:00 SRC=10.0.0.2 DST=10.0.1.2 LEN=36 TOS=0x00 \
         PREC=0x00 TTL=63 ID=0 DF PROTO=UDP SPT=1000 DPT=53 LEN=16 "
    );
    for port in 0..2000 {
        ground.pass(&from(2, port));
    }
    let journal = &ground.rules.world().journal;
    assert_eq!(journal.take(usize::MAX).len() as u64 + journal.lost(), 2000);
    assert!(journal.lost() > 0, "the journal is bounded");
}

#[test]
fn chains_of_type_nat_decide_about_new_flows() {
    let nat = Statement::Nat(Nat {
        kind: NatKind::Destination,
        address: Some(NatAddress::One(
            Type::Ipv4Address,
            Expression::Value(Type::Ipv4Address, value(&[10, 0, 1, 2])),
        )),
        ids: None,
        random: false,
        fully_random: false,
        persistent: false,
    });
    let masquerade = Statement::Nat(Nat {
        kind: NatKind::Masquerade,
        address: None,
        ids: None,
        random: false,
        fully_random: false,
        persistent: false,
    });
    let of_nat = |name: &str, point, priority, statement| {
        let base = BaseChain { kind: ChainKind::Nat, point, priority, policy: Policy::Accept };
        let rules = vec![rule(vec![statement])];
        Arc::new(Chain { name: name.into(), handle: 1, comment: None, base: Some(base), rules })
    };
    let chains = vec![
        of_nat("pre", Point::Prerouting, -100, nat),
        of_nat("post", Point::Postrouting, 100, masquerade),
    ];
    let ruleset = table(TableFamily::Ip, chains, Vec::new());
    let mut ground = Ground::with(&ruleset);
    ground.install(&ruleset);
    let out = ground.pass(&Ends::to_port(0, "10.0.0.2:1000", "10.9.9.9:53").udp(b"question")).remove(0);
    assert_eq!(out[26..34], [10, 0, 1, 1, 10, 0, 1, 2]);
    ground.table.pass(1, &Ends::to_port(1, "10.0.1.2:53", "10.0.1.1:1000").udp(b"answer")[..]);
    let back = ground.table.take(0).remove(0).bytes;
    assert_eq!(back[26..34], [10, 9, 9, 9, 10, 0, 0, 2]);
}

#[test]
fn rules_allocate_nothing_once_flows_are_known() {
    let (set, _) = live_set(100, 60_000);
    let rate = Limit { rate: 1_000_000, period_s: 1, burst: 5, unit: LimitUnit::Packets, over: false };
    let (_, counted) = counter();
    let both = Expression::Concat(vec![select(&IP_SADDR), select(&IP_DADDR)]);
    let known = element(crate::rules::model::ElementKey::Range(
        value(&[10, 0, 0, 0, 10, 0, 1, 0]),
        value(&[10, 0, 0, 9, 10, 0, 1, 9]),
    ));
    let sets = vec![set, super::build::set("both", &[Type::Ipv4Address, Type::Ipv4Address], vec![known])];
    let chain = forward(vec![
        vec![adding(Vec::new())],
        vec![in_set(both, "both"), Statement::Limit(Arc::new(state::Limit::new(rate))), counted],
        vec![Statement::Set {
            target: Target::Field(&IP_DSCP),
            value: Expression::Value(Type::Dscp, value(&[46])),
        }],
    ]);
    let mut ground = Ground::with(&table(TableFamily::Ip, vec![chain], sets));
    let frame = from(2, 53);
    for _ in 0..10 {
        assert!(ground.passes(&frame));
    }
    let mut counted = 0;
    for _ in 0..20 {
        ground.table.send(0, &frame[..]);
        counted += allocation_counter::measure(|| ground.table.settle()).count_total;
        assert_eq!(ground.table.take(1).len(), 1);
    }
    assert_eq!(counted, 0);
}
