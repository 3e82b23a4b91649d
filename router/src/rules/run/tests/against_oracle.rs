//! Random rules, sets and packets: what is compiled says what the rules say.

use std::sync::Arc;

use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select as one_of;
use smoltcp::wire::TcpControl;

use super::build::*;
use crate::chain::{Family, Hook, Place, Point, Registration, Verdict as Outcome};
use crate::engine::{Context, Packet};
use crate::rules::model::{
    Base, Chain, Comparison, Ctype, Data, DataType, Element, ElementKey, Expression, Field, MetaKey, Policy,
    Right, Rule, Selector, Set, SetRef, Statement, Table, TableFamily, Type, Value, Verdict,
};
use crate::rules::run::oracle::{End, Oracle, padded};
use crate::rules::run::{ReadySets, RuleHook, World, compile};
use crate::tabletop::frames::Ends;

/// Shows each packet to the compiled rules and to the oracle.
struct Judge {
    compiled: RuleHook,
    table: Arc<Table>,
    said: Arc<Mutex<Vec<Said>>>,
}

/// What is expected, and what compiled rules have said.
type Said = (Option<End>, Option<End>);

impl Hook for Judge {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Outcome {
        let oracle = Oracle { table: &self.table, packet, input: "r0", output: "r1" };
        let expected = oracle.chain("base").or(Some(End::Accept));
        let compiled = match self.compiled.handle(packet, context) {
            Outcome::Accept => Some(End::Accept),
            Outcome::Drop(_) => Some(End::Drop),
            _ => None,
        };
        self.said.lock().push((expected, compiled));
        Outcome::Accept
    }
}

static FIELDS: [&Field; 9] =
    [&IP_SADDR, &IP_DADDR, &IP_PROTOCOL, &IP6_SADDR, &IP_DSCP, &TCP_DPORT, &TCP_FLAGS, &UDP_DPORT, &TH_DPORT];

/// An expression, and values of its type that packets may have.
fn readable() -> impl Strategy<Value = (Expression, Vec<u8>)> {
    let field = one_of(&FIELDS[..])
        .prop_flat_map(|field| values_of(field.kind).prop_map(move |value| (select(field), value)));
    let keys = [MetaKey::TransportProtocol, MetaKey::NetfilterProtocol, MetaKey::Protocol, MetaKey::Length];
    let names = [MetaKey::InputName, MetaKey::OutputName];
    let meta_key = one_of([keys.as_slice(), &names].concat())
        .prop_flat_map(|key| values_of(key.kind()).prop_map(move |value| (meta(key), value)));
    let ct = one_of(&[Ctype::State, Ctype::Direction, Ctype::DestinationPort][..]).prop_flat_map(|key| {
        let ct = Expression::Select(Selector::Ct { key, direction: None });
        values_of(key.kind()).prop_map(move |value| (ct.clone(), value))
    });
    let bases = one_of(&[Base::Network, Base::Transport][..]);
    let raw =
        (bases, 0_u16..200, 1_u16..=128, vec(any::<u8>(), 16)).prop_map(|(base, offset, length, bytes)| {
            let bytes_needed = usize::from(length.div_ceil(8));
            let mut value = bytes[..bytes_needed].to_vec();
            value[0] &= 0xff >> (bytes_needed * 8 - usize::from(length));
            (Expression::Select(Selector::Raw { base, offset, length }), value)
        });
    prop_oneof![6 => field, 3 => meta_key, 2 => ct, 1 => raw]
}

fn values_of(kind: Type) -> BoxedStrategy<Vec<u8>> {
    let one = |values: Vec<Vec<u8>>| one_of(values).boxed();
    match kind {
        Type::Ipv4Address => one((0..4)
            .map(|last| vec![10, 0, last / 2, 1 + last])
            .chain([vec![10, 0, 0, 2], vec![10, 0, 1, 2]])
            .collect()),
        Type::Ipv6Address => one(["fd00::2", "fd01::2", "fd00::"]
            .iter()
            .map(|text| text.parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec())
            .collect()),
        Type::InterfaceName => one(["r0", "r1", "r2", ""].iter().map(|name| padded_name(name)).collect()),
        Type::Protocol => one([1, 6, 17, 58].iter().map(|number| vec![*number]).collect()),
        Type::NetfilterProtocol => one(vec![vec![2], vec![10]]),
        Type::EtherType => one(vec![vec![8, 0], vec![0x86, 0xdd]]),
        Type::CtState => one([2, 4, 8, 10].iter().map(|bits| vec![0, 0, 0, *bits]).collect()),
        Type::CtDirection => one(vec![vec![0], vec![1]]),
        Type::Service => (50_u8..56).prop_map(|port| vec![0, port]).boxed(),
        Type::Dscp => one(vec![vec![0], vec![46]]),
        kind => {
            let bytes = kind.bytes();
            (28_u8..60).prop_map(move |low| [vec![0; bytes - 1], vec![low]].concat()).boxed()
        }
    }
}

fn padded_name(name: &str) -> Vec<u8> {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(16, 0);
    padded
}

fn matching() -> impl Strategy<Value = Statement> {
    use Comparison::{AnyBit, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NoBit, NotEqual};
    let comparisons = [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual, AnyBit, NoBit];
    let compared = (readable(), one_of(comparisons.to_vec()), any::<[u8; 16]>(), any::<[u8; 16]>(), 0_u8..4)
        .prop_map(|((left, bytes), comparison, mask, flip, masked)| {
            let left = if masked == 0 {
                let part = |of: [u8; 16]| value(&of[..bytes.len()]);
                Expression::Bitwise { inner: Box::new(left), mask: part(mask), flip: part(flip) }
            } else {
                left
            };
            compare(left, comparison, Right::Value(value(&bytes)))
        });
    let equality = || one_of(&[Equal, NotEqual][..]);
    let ranged = (readable(), equality(), 0_u8..9).prop_map(|((left, bytes), comparison, more)| {
        let mut to = bytes.clone();
        let last = to.len() - 1;
        to[last] = to[last].saturating_add(more);
        compare(left, comparison, Right::Range(value(&bytes), value(&to)))
    });
    let prefixed = (readable(), equality(), 0_u16..=128).prop_filter_map(
        "whole bytes",
        |((left, bytes), comparison, length)| {
            let whole = left.types()[0].bits() == 8 * u16::try_from(bytes.len()).unwrap();
            let length = length.min(8 * u16::try_from(bytes.len()).unwrap());
            whole.then(|| compare(left, comparison, Right::Prefix(value(&bytes), length)))
        },
    );
    let member = (0..SETS, equality())
        .prop_map(|(place, comparison)| compare(key(place), comparison, Right::Set(SetRef(set_name(place)))));
    let concatenated =
        (readable(), readable(), equality()).prop_map(|((one, first), (other, second), comparison)| {
            let wanted = padded(&[&first, &second]);
            compare(Expression::Concat(vec![one, other]), comparison, Right::Value(wanted))
        });
    let mapped = (50_u8..56, equality()).prop_map(|(port, comparison)| {
        let map = Expression::Map {
            key: Box::new(select(&TH_DPORT)),
            map: SetRef("map".into()),
            data: Type::Service,
        };
        compare(map, comparison, Right::Value(value(&[0, port])))
    });
    prop_oneof![4 => compared, 2 => ranged, 2 => prefixed, 3 => member, 1 => concatenated, 1 => mapped]
}

/// Sets by place: of ports, of intervals of ports, of addresses and ports, of intervals of both, of names.
const SETS: usize = 5;

fn set_name(place: usize) -> Arc<str> {
    format!("set{place}").into()
}

fn key(place: usize) -> Expression {
    match place {
        0 | 1 => select(&TH_DPORT),
        2 | 3 => Expression::Concat(vec![select(&IP_DADDR), select(&TH_DPORT)]),
        _ => meta(MetaKey::OutputName),
    }
}

fn sets() -> impl Strategy<Value = Vec<Set>> {
    let ports = vec(50_u8..56, 0..4);
    let pairs = vec((1_u8..4, 0_u8..2, 50_u8..56, 0_u8..4), 0..5);
    (
        ports,
        pairs,
        any::<bool>(),
        one_of(&["r0", "r1", "r2"][..]),
        vec((50_u8..56, 50_u8..56), 0..4),
        verdicts(),
    )
        .prop_map(|(mut ports, pairs, catch_all, name, mapped, verdicts)| {
            ports.sort_unstable();
            ports.dedup();
            let values = ports.iter().map(|port| element(ElementKey::Value(value(&[0, *port])))).collect();
            let mut ranges: Vec<Element> = ports
                .chunks_exact(2)
                .map(|pair| element(ElementKey::Range(value(&[0, pair[0]]), value(&[0, pair[1]]))))
                .collect();
            if catch_all {
                ranges.push(element(ElementKey::CatchAll));
            }
            let both = |address: u8, port: u8| padded(&[&[10, 0, 1, address], &[0, port]]);
            let exact =
                pairs.iter().map(|(address, _, port, _)| element(ElementKey::Value(both(*address, *port))));
            let boxes = pairs.iter().map(|(address, addresses, port, ports)| {
                element(ElementKey::Range(both(*address, *port), both(address + addresses, port + ports)))
            });
            let concatenation = [Type::Ipv4Address, Type::Service];
            let mut map = set("map", &[Type::Service], Vec::new());
            map.data = Some(DataType::Values { types: vec![Type::Service], interval: false });
            map.elements = Arc::new(with_data(
                mapped.into_iter().map(|(key, port)| (key, Data::Value(value(&[0, port])))),
            ));
            let mut decided = set("verdicts", &[Type::Service], Vec::new());
            decided.data = Some(DataType::Verdict);
            decided.elements =
                Arc::new(with_data(verdicts.into_iter().map(|(key, verdict)| (key, Data::Verdict(verdict)))));
            vec![
                set("set0", &[Type::Service], values),
                set("set1", &[Type::Service], ranges),
                set("set2", &concatenation, exact.collect()),
                set("set3", &concatenation, boxes.collect()),
                set(
                    "set4",
                    &[Type::InterfaceName],
                    vec![element(ElementKey::Value(Value::from_slice(&padded_name(name))))],
                ),
                map,
                decided,
            ]
        })
}

fn with_data(elements: impl Iterator<Item = (u8, Data)>) -> Vec<Element> {
    let mut seen = std::collections::HashSet::new();
    elements
        .filter(|(port, _)| seen.insert(*port))
        .map(|(port, data)| Element { data: Some(data), ..element(ElementKey::Value(value(&[0, port]))) })
        .collect()
}

fn verdicts() -> impl Strategy<Value = Vec<(u8, Verdict)>> {
    vec((50_u8..56, deciding(0)), 0..5)
}

/// Verdicts in a chain of this depth: they lead to deeper chains only.
fn deciding(depth: usize) -> impl Strategy<Value = Verdict> {
    let deeper: Arc<str> = format!("chain{}", depth + 1).into();
    let plain = vec![
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Continue,
        Verdict::Return,
        if depth < CHAINS { Verdict::Jump(deeper.clone()) } else { Verdict::Return },
        if depth < CHAINS { Verdict::Goto(deeper) } else { Verdict::Continue },
    ];
    one_of(plain)
}

/// Chains besides the base chain.
const CHAINS: usize = 3;

fn rules(depth: usize) -> impl Strategy<Value = Vec<Arc<Rule>>> {
    let last = prop_oneof![
        4 => deciding(depth).prop_map(Statement::Verdict),
        1 => Just(()).prop_map(move |()| if depth == 0 {
            Statement::VerdictMap { key: select(&TH_DPORT), map: SetRef("verdicts".into()) }
        } else {
            Statement::Verdict(Verdict::Continue)
        }),
    ];
    let one = (vec(matching(), 0..4), last).prop_map(|(mut statements, last)| {
        statements.push(last);
        rule(statements)
    });
    vec(one, 0..6)
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let one = (any::<bool>(), 50_u8..56, 0_u8..4, 0_usize..20).prop_map(|(ipv6, port, kind, length)| {
        let (client, server) = if ipv6 { ("[fd00::2]:52", "[fd01::2]") } else { ("10.0.0.2:52", "10.0.1.2") };
        let ends = Ends::to_port(0, client, &format!("{server}:{port}"));
        match kind {
            0 => ends.tcp(TcpControl::Syn, 1, None, b""),
            1 => ends.tcp(TcpControl::None, 1, Some(1), &[53; 20][..length]),
            2 => ends.echo(1),
            _ => ends.udp(&[52; 20][..length]),
        }
    });
    vec(one, 1..12)
}

fn chains() -> impl Strategy<Value = Vec<Arc<Chain>>> {
    (rules(0), rules(1), rules(2), rules(3)).prop_map(|(one, two, three, four)| {
        vec![
            base("base", Point::Forward, 0, Policy::Accept, one),
            chain("chain1", two),
            chain("chain2", three),
            chain("chain3", four),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn compiled_rules_say_what_the_rules_say(chains in chains(), sets in sets(), frames in frames()) {
        let ruleset = table(TableFamily::Inet, chains, sets);
        let mut ground = Ground::new();
        let shared = ground.table.shared();
        let world = Arc::new(World::new(shared.flows.clone(), shared.ports.clone(), 1));
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut ready = ReadySets::default();
        let base = ruleset.tables[0].chains[0].base.unwrap();
        for family in [Family::Ipv4, Family::Ipv6] {
            let code = Arc::new(compile(&ruleset.tables[0], family, &world, false, &mut ready));
            let hook = Arc::new(Judge {
                compiled: RuleHook::new(code, world.clone(), &base, 0),
                table: ruleset.tables[0].clone(),
                said: said.clone(),
            });
            let registration = Registration { place: Place::new(family, Point::Forward, "judge"), priority: 0, hook };
            ground.table.hooks().register([registration]).unwrap();
        }
        for frame in &frames {
            ground.pass(frame);
        }
        let said = said.lock();
        prop_assert_eq!(said.len(), frames.len());
        for (expected, compiled) in said.iter() {
            prop_assert_eq!(expected, compiled);
        }
    }
}
