//! Random rules, random traffic, random changes: with everything remembered the same comes out as without.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use smoltcp::wire::TcpControl;

use super::ground::Router;
use crate::engine::FlowCache;
use crate::rules::check::Environment;
use crate::rules::model::Ruleset;
use crate::rules::syntax::nothing;
use crate::tabletop::frames::Ends;

/// What rules compare: mostly what may be remembered.
const MATCHES: &[&str] = &[
    "",
    "",
    "ip saddr 10.0.0.2",
    "ip daddr 10.9.0.2",
    "ip6 saddr fd00::2",
    "udp dport 53",
    "th dport { 53, 80 }",
    "tcp dport 80",
    "@th,0,16 1000",
    "meta l4proto { tcp, icmp }",
    "icmp type echo-request",
    "icmp id 1000",
    "iifname \"r0\"",
    "iifname != \"r0\"",
    "meta mark 1",
    "meta mark & 2 == 2",
    "ct mark 7",
    "ct mark != 0",
    "ct state established",
    "ct state new",
    "ct direction reply",
    "ct original ip daddr 10.9.0.2",
    "ip saddr @clients",
    "ip daddr . th dport @pairs",
    "symhash mod 2 0",
    "jhash ip saddr mod 2 1",
    "ct state vmap { established : continue, new : continue }",
    "meta priority 0",
    "ip ttl > 62",
    "meta length > 50",
    "tcp flags & syn == syn",
    "limit rate 3/second burst 2 packets",
    "quota 300 bytes",
    "numgen inc mod 2 0",
    "ct packets > 3",
    "ip dscp cs1",
    "ip saddr @living",
    "ct status seen-reply",
    "last",
];

/// The same for what is only known behind routing.
const LATE: &[&str] = &["oifname \"r1\"", "oifname \"r2\"", "oif \"r1\"", "rt ip nexthop 10.0.1.2"];

const STATEMENTS: &[&str] = &[
    "counter",
    "counter",
    "counter",
    "counter name \"one\"",
    "counter name th dport map @named",
    "meta mark set 1",
    "meta mark set th dport map @marks",
    "meta mark set meta mark | 2",
    "meta mark set ct mark",
    "ct mark set 7",
    "ct mark set meta mark",
    "meta priority set 0001:0002",
    "update @living { ip saddr }",
    "ip dscp set cs1",
];

const VERDICTS: &[&str] = &[
    "",
    "",
    "",
    "",
    "accept",
    "accept",
    "drop",
    "return",
    "jump sub",
    "goto sub",
    "reject",
    "reject with icmpx host-unreachable",
    "ip saddr vmap { 10.0.0.2 : jump sub, 10.9.0.2 : accept }",
];

/// What rules name.
const NAMED: &str = "
    set clients { type ipv4_addr; counter; elements = { 10.0.0.2 }; }
    set pairs { type ipv4_addr . inet_service; elements = { 10.9.0.2 . 53, 10.9.0.2 . 80 }; }
    set living { type ipv4_addr; flags dynamic; size 9; counter; }
    map marks { type inet_service : mark; elements = { 53 : 1, 80 : 2 }; }
    map named { type inet_service : counter; elements = { 53 : \"one\", 1000 : \"other\" }; }
    counter one { }
    counter other { }
";

/// Whether a rule says something, and nothing against itself.
fn can_be(rule: &str) -> bool {
    let chain = format!("chain c {{ type filter hook forward priority 0; {rule}\n}}");
    let text = format!("table inet t {{ {NAMED} chain sub {{ }}\n {chain}\n}}");
    let interfaces = (0..3).map(|port| (port + 1, format!("r{port}"))).collect();
    let environment = Environment { interfaces, ..Environment::default() };
    !rule.trim().is_empty()
        && crate::rules::load(&Ruleset::default(), "r", &text, &mut nothing, &environment).is_ok()
}

/// A rule of a chain before routing or behind; one that may name the chain `sub`, or refuse packets, or not.
fn rule(late: bool, deep: bool, refuses: bool) -> impl Strategy<Value = String> {
    let matches = if late { [MATCHES, LATE].concat() } else { MATCHES.to_vec() };
    let verdicts: Vec<_> = VERDICTS.iter().copied().filter(|word| !deep || !word.contains("sub")).collect();
    let verdicts: Vec<_> =
        verdicts.into_iter().filter(|word| refuses || !word.starts_with("reject")).collect();
    (vec(select(matches), 0..3), vec(select(STATEMENTS), 0..3), select(verdicts))
        .prop_map(|(matches, statements, verdict)| {
            format!("{} {} {verdict}", matches.join(" "), statements.join(" "))
        })
        .prop_map(|rule| if can_be(&rule) { rule } else { "counter".to_owned() })
}

fn rules(late: bool, deep: bool, refuses: bool) -> impl Strategy<Value = String> {
    vec(rule(late, deep, refuses), 0..4).prop_map(|rules| rules.join("\n"))
}

fn ruleset() -> impl Strategy<Value = String> {
    let nat = select(vec![
        "",
        "chain n { type nat hook postrouting priority srcnat; oifname \"r1\" counter masquerade; }",
        "chain n { type nat hook prerouting priority dstnat; udp dport 53 counter dnat ip to 10.0.1.2:5353; }",
    ]);
    let policy = select(vec!["accept", "accept", "drop"]);
    let chains = (
        rules(false, true, false),
        rules(false, false, false),
        rules(true, false, true),
        rules(true, false, true),
        rules(true, false, false),
    );
    (nat, policy, chains).prop_map(|(nat, policy, (sub, before, forward, behind, last))| {
        format!(
            "table inet t {{
                {NAMED}
                chain sub {{ {sub}
                }}
                chain before {{ type filter hook prerouting priority mangle; {before}
                }}
                chain forward {{ type filter hook forward priority filter; policy {policy}; {forward}
                    ct state established counter accept
                    counter
                }}
                chain behind {{ type filter hook forward priority 10; {behind}
                }}
                chain last {{ type filter hook postrouting priority srcnat + 1; {last}
                }}
                {nat}
            }}"
        )
    })
}

#[derive(Clone, Debug)]
enum Action {
    Packet {
        flow: u8,
        back: bool,
        kind: u8,
        astray: bool,
    },
    /// Some of the commands that change rules in force.
    Command(&'static str),
    Reload(String),
    Reroute(usize),
    Wait(u64),
    Read,
}

const COMMANDS: &[&str] = &[
    "reset counters",
    "reset rules",
    "add element inet t clients { 10.9.0.2 }",
    "destroy element inet t clients { 10.0.0.2 }",
    "destroy element inet t marks { 53 }\nadd element inet t marks { 53 : 2 }",
    "add rule inet t last counter",
    "insert rule inet t forward ct state established counter",
    "flush chain inet t before",
    "reset set inet t clients",
];

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let packet = (0_u8..5, any::<bool>(), 0_u8..3, 0_u8..10)
        .prop_map(|(flow, back, kind, astray)| Action::Packet { flow, back, kind, astray: astray == 0 });
    let action = prop_oneof![
        30 => packet,
        2 => select(COMMANDS).prop_map(Action::Command),
        1 => ruleset().prop_map(Action::Reload),
        1 => (1_usize..3).prop_map(Action::Reroute),
        1 => (1_u64..40_000).prop_map(Action::Wait),
        2 => Just(Action::Read),
    ];
    vec(action, 10..80)
}

/// A packet of one of five flows: UDP, TCP, echo, UDP over IPv6, UDP to another port.
fn frame(flow: u8, back: bool, kind: u8, port: usize) -> Vec<u8> {
    let (client, server) = match flow {
        0 => ("10.0.0.2:1000", "10.9.0.2:53"),
        1 => ("10.0.0.2:1000", "10.9.0.2:80"),
        2 => ("10.0.0.2:1000", "10.9.0.2:1000"),
        3 => ("[fd00::2]:1000", "[fd01::2]:53"),
        _ => ("10.0.0.2:1001", "10.9.0.2:99"),
    };
    let (from, to) = if back { (server, client) } else { (client, server) };
    let ends = Ends::to_port(port, from, to);
    match (flow, kind) {
        (1, 0) => ends.tcp(TcpControl::Syn, 0, back.then_some(1), b""),
        (1, 1) => ends.tcp(TcpControl::None, 1, Some(1), b"data"),
        (1, _) => ends.with_ttl(63).tcp(TcpControl::Psh, 1, Some(1), b"more data"),
        (2, _) => ends.echo(u16::from(kind)),
        (_, 0) => ends.udp(b"question"),
        (_, 1) => ends.udp(b"a longer question"),
        _ => ends.with_ttl(63).udp(b""),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn what_is_remembered_is_what_the_rules_would_say(first in ruleset(), actions in actions()) {
        let mut routers = [FlowCache::On, FlowCache::Off].map(Router::new);
        for router in &mut routers {
            router.load(&first).unwrap_or_else(|error| panic!("{error}\n{first}"));
        }
        for (step, action) in actions.iter().enumerate() {
            let [with, without] = routers.each_mut().map(|router| match action {
                Action::Packet { flow, back, kind, astray } => {
                    let port = if *astray { 2 } else { usize::from(*back) };
                    format!("{:?}", router.pass(port, &frame(*flow, *back, *kind, port)))
                }
                Action::Command(text) => format!("{:?}", router.load(text)),
                Action::Reload(text) => format!("{:?}", router.load(&format!("destroy table inet t\n{text}"))),
                Action::Reroute(port) => { router.reroute(*port); String::new() }
                Action::Wait(milliseconds) => {
                    router.wait(Duration::from_millis(*milliseconds));
                    String::new()
                }
                Action::Read => router.listed() + &router.flows().join("\n"),
            });
            prop_assert_eq!(with, without, "step {} of {:?}", step, actions);
        }
        let [with, without] = routers.each_ref().map(|router| (router.listed(), router.flows()));
        prop_assert_eq!(with, without);
    }
}
