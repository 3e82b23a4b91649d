//! Texts to rules: what is refused and how it is said, what commands do, and that nothing is half done.

use std::sync::Arc;
use std::time::Instant as Wall;

use conntrack::Instant;
use proptest::prelude::*;

use super::Environment;
use crate::rules::list::{Options, list};
use crate::rules::model::{Ruleset, Statement};
use crate::rules::syntax::nothing;
use crate::rules::{LoadError, load};

fn environment() -> Environment {
    Environment {
        kernel_is_host: true,
        interfaces: vec![(1, "lo".to_owned())],
        ..Environment::of_texts("ssh 22/tcp\nhttp 80/tcp\n", "tcp 6 TCP\nudp 17 UDP\n")
    }
}

fn apply(current: &Ruleset, text: &str) -> Result<Ruleset, LoadError> {
    load(current, "r", text, &mut nothing, &environment()).map(|loaded| loaded.commit(Instant::ZERO))
}

fn listed(ruleset: &Ruleset) -> String {
    list(ruleset, &Options::new(&environment()))
}

/// A ruleset of one chain in the inet family with these rules.
fn chain(rules: &str) -> String {
    format!(
        "table inet t {{\n chain other {{ }}\n chain c {{ type filter hook forward priority 0; policy accept;\n{rules}\n}}\n}}\n"
    )
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    for (rule, expected) in [
        (
            "ip protocol udp tcp dport 22",
            "r:4:17: conflicting transport protocols: udp and tcp, so no packet could match",
        ),
        (
            "ip saddr 1.1.1.1 ip6 daddr ::1",
            "r:4:18: conflicting network protocols: ip and ip6, so no packet could match",
        ),
        ("tcp dport 9-5 accept", "r:4:11: the range ends before it begins"),
        ("tcp dport 70000", "r:4:11: 70000 does not fit: inet_service has 16 bits"),
        ("tcp dport sssh", "r:4:11: `sssh` is not known where a value of type inet_service belongs"),
        ("ip saddr ::1", "r:4:10: an IPv6 address where an IPv4 address belongs"),
        ("jump nowhere", "r:4:6: there is no chain `nowhere` in table t"),
        ("jump c", "r:4:6: `c` is a base chain: packets come to it by its hook, it is not jumped to"),
        ("ip saddr @nothing", "r:4:10: there is no set or map `nothing` in table inet t"),
        (
            "iif \"eth7\"",
            "r:4:5: there is no interface `eth7`; `iifname` and `oifname` compare names that may come later",
        ),
        (
            "meta skuid 0",
            "r:4:1: `meta skuid`: sockets are the kernel's: a packet passing through this router has none",
        ),
        (
            "iifgroup 5",
            "r:4:1: `meta iifgroup`: this router does not know groups and kinds of interfaces: match their names",
        ),
        ("masquerade", "r:4:1: masquerade belongs into a chain of `type nat`"),
        ("accept counter", "r:4:8: nothing behind a verdict is reached; put the verdict last"),
        ("fib saddr oif exists", "r:4:1: this use of `fib` is possible at prerouting, not at forward"),
        (
            "ct original saddr 1.1.1.1",
            "r:4:1: of which family? Say `ct original ip saddr` or `ct original ip6 saddr`",
        ),
    ] {
        let error = apply(&Ruleset::default(), &chain(rule)).expect_err(rule);
        assert_eq!(error.headline(), expected, "{rule}");
    }
}

#[test]
fn chains_that_the_kernel_keeps_are_refused_with_what_to_do() {
    for (text, part) in [
        (
            "table ip t { chain c { type filter hook input priority 0; }; }",
            "put this chain into the kernel's nft",
        ),
        ("table ip t { chain c { type nat hook prerouting priority -200; }; }", "above -200"),
        ("table ip t { chain c { type nat hook forward priority 0; }; }", "nat chains are at"),
        ("table ip t { chain c { type route hook forward priority 0; }; }", "output only"),
        ("table bridge t { chain c { type filter hook forward priority 0; }; }", "bridge frames"),
        ("table netdev t { }", "netdev tables are the kernel's"),
        (
            "table ip t { chain c { type filter hook forward priority dstnat; }; }",
            "no priority of ip forward",
        ),
    ] {
        let error = apply(&Ruleset::default(), text).expect_err(text).headline();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn jumps_come_to_an_end() {
    let circle = "table ip t { chain a { }; chain b { jump a; }; chain a { jump b; }; }";
    assert!(apply(&Ruleset::default(), circle).unwrap_err().headline().contains("round for ever"));
    let chains = |count: usize| -> String {
        let declared: String = (0..=count).map(|number| format!("add chain ip t c{number}\n")).collect();
        let jumps: String =
            (0..count).map(|number| format!("add rule ip t c{number} jump c{}\n", number + 1)).collect();
        format!("add table ip t\n{declared}{jumps}")
    };
    assert!(apply(&Ruleset::default(), &chains(15)).is_ok());
    assert!(apply(&Ruleset::default(), &chains(16)).unwrap_err().headline().contains("16 jumps"));
}

#[test]
fn what_does_not_change_keeps_its_state() {
    let before = apply(
        &Ruleset::default(),
        "table ip a { chain c { counter; }; }\ntable ip b { chain c { counter; }; }",
    )
    .unwrap();
    let after = apply(&before, "add rule ip b c accept").unwrap();
    assert!(Arc::ptr_eq(&before.tables[0], &after.tables[0]));
    let counter = |ruleset: &Ruleset| match &ruleset.tables[1].chains[0].rules[0].statements[0] {
        Statement::Counter(counter) => counter.clone(),
        other => panic!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&counter(&before), &counter(&after)));
    assert_eq!(before.tables[1].chains[0].rules.len(), 1, "those before are as they were");
}

#[test]
fn commands_are_as_nfts() {
    let start = apply(&Ruleset::default(), "table ip t { set s { type ipv4_addr; elements = { 1.1.1.1 }; }; chain a { ip saddr @s; }; chain b { jump a; }; }").unwrap();
    for (text, part) in [
        ("create table ip t", "exists already"),
        ("create chain ip t a", "exists already"),
        ("create element ip t s { 1.1.1.1 }", "exists already"),
        ("delete chain ip t a", "in use"),
        ("delete set ip t s", "in use"),
        ("delete element ip t s { 2.2.2.2 }", "no such element"),
        ("delete table ip x", "there is no table"),
        ("delete rule ip t a handle 99", "handle 99"),
        ("add rule ip t a index 4 accept", "1 rules"),
    ] {
        let error = apply(&start, text).expect_err(text).headline();
        assert!(error.contains(part), "{text}: {error}");
    }
    let done = apply(&start, "add table ip t\ndestroy table ip x\nrename chain ip t a z\nflush set ip t s\ninsert rule ip t b accept").unwrap();
    assert_eq!(
        listed(&done),
        "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n\n\tchain z {\n\t\tip saddr @s\n\t}\n\n\tchain b {\n\t\taccept\n\t\tjump z\n\t}\n}\n"
    );
    assert!(apply(&done, "flush ruleset").unwrap().tables.is_empty());
}

#[test]
fn sets_of_rules_that_are_gone_are_gone() {
    let start = apply(
        &Ruleset::default(),
        &chain("ip saddr { 1.1.1.1, 2.2.2.2 } tcp dport vmap { 1 : drop, 2 : accept }"),
    )
    .unwrap();
    assert_eq!(start.tables[0].sets.len(), 2);
    let done = apply(&start, "flush chain inet t c").unwrap();
    assert!(done.tables[0].sets.is_empty());
}

#[test]
fn intervals_that_overlap_are_refused_or_joined() {
    let set = |more: &str| {
        format!(
            "table ip t {{ set s {{ type ipv4_addr; flags interval; {more} elements = {{ 10.0.0.0/8, 10.1.0.0/16 }}; }}; }}"
        )
    };
    assert!(apply(&Ruleset::default(), &set("")).unwrap_err().headline().contains("conflicting intervals"));
    assert!(
        listed(&apply(&Ruleset::default(), &set("auto-merge;")).unwrap())
            .contains("elements = { 10.0.0.0/8 }")
    );
}

#[test]
fn ten_thousand_rules_load_in_time() {
    let rules: String = (0..10_000)
        .map(|number| {
            format!(
                "ip saddr 10.{}.{}.0/24 tcp dport {{ 22, 80 }} counter accept\n",
                number / 250,
                number % 250
            )
        })
        .collect();
    let text = chain(&rules);
    let start = Wall::now();
    let loaded = load(&Ruleset::default(), "r", &text, &mut nothing, &environment()).unwrap();
    assert_eq!(loaded.summary.rules.added, 10_000);
    // A release build takes a tenth of this; the bound catches what grows with the square.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

fn statement() -> impl Strategy<Value = String> {
    let port = any::<u16>();
    let address = any::<u32>().prop_map(|bits| std::net::Ipv4Addr::from(bits).to_string());
    prop_oneof![
        (port, port).prop_map(|(one, other)| format!("tcp dport {}-{}", one.min(other), one.max(other))),
        proptest::collection::btree_set(port, 2..6).prop_map(|ports| {
            let ports: Vec<_> = ports.into_iter().map(|port| port.to_string()).collect();
            format!("tcp sport {{ {} }}", ports.join(", "))
        }),
        (address.clone(), 1..=32_u8).prop_map(|(address, bits)| format!("ip saddr {address}/{bits}")),
        proptest::collection::btree_set(address, 2..6).prop_map(|addresses| {
            let addresses: Vec<_> = addresses.into_iter().collect();
            format!("ip daddr != {{ {} }}", addresses.join(", "))
        }),
        any::<u32>().prop_map(|mark| format!("meta mark set {mark}")),
        (any::<u32>(), any::<u32>()).prop_map(|(mask, mark)| format!("ct mark & {mask} == {mark}")),
        (1..1000_u32, 1..50_u32)
            .prop_map(|(rate, burst)| format!("limit rate {rate}/minute burst {burst} packets")),
        Just("ct state established,related".to_owned()),
        Just("tcp flags & (fin | syn) == syn".to_owned()),
        Just("counter".to_owned()),
        Just("iifname \"eth*\"".to_owned()),
        Just("log prefix \"seen \" level info".to_owned()),
    ]
}

proptest! {
    #[test]
    fn what_is_listed_loads_again_as_the_same(rules in proptest::collection::vec(proptest::collection::vec(statement(), 1..5), 0..8)) {
        let rules: Vec<_> = rules.iter().map(|statements| statements.join(" ")).collect();
        let first = apply(&Ruleset::default(), &chain(&rules.join("\n"))).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let text = listed(&first);
        let again = apply(&Ruleset::default(), &text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(listed(&again), text);
    }

    #[test]
    fn an_error_leaves_everything_as_it_was(rules in proptest::collection::vec(statement(), 1..5)) {
        let before = apply(&Ruleset::default(), &chain("counter accept")).unwrap();
        let shown = listed(&before);
        let text = format!("flush chain inet t c\nadd rule inet t c {}\nadd rule inet t nowhere accept\n", rules.join(" "));
        prop_assert!(apply(&before, &text).is_err());
        prop_assert_eq!(listed(&before), shown);
    }
}

/// What a text is refused with in a router that is its own host.
fn refused_when_owned(text: &str) -> String {
    let environment = Environment { kernel_is_host: false, ..environment() };
    match load(&Ruleset::default(), "r", text, &mut nothing, &environment) {
        Ok(_) => panic!("`{text}` is taken"),
        Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn chains_of_frames_are_where_frames_come_by() {
    for (family, chain, expected) in [
        (
            "arp",
            "type filter hook forward priority 0",
            "ARP frames are for this host or from it: arp chains are at input and output",
        ),
        ("arp", "type nat hook input priority 0", "chains of arp tables are of type filter"),
        ("bridge", "type route hook output priority 0", "chains of bridge tables are of type filter"),
        ("arp", "type filter hook input priority raw", "`raw` is no priority of arp input"),
        ("bridge", "type filter hook forward priority out", "`out` is no priority of bridge forward"),
    ] {
        let refused = refused_when_owned(&format!("table {family} t {{ chain c {{ {chain}; }}; }}"));
        assert!(refused.ends_with(expected), "{refused}");
    }
}

#[test]
fn rules_for_frames_ask_for_what_frames_have() {
    for (family, hook, rule, expected) in [
        (
            "bridge",
            "forward",
            "ct state new",
            "`ct` reads what is tracked: bridge frames have not come so far, use ip, ip6 or inet",
        ),
        (
            "bridge",
            "prerouting",
            "ct mark set 1",
            "`ct` changes what is tracked: bridge frames have not come so far, use ip, ip6 or inet",
        ),
        (
            "bridge",
            "forward",
            "ct count 3",
            "`ct count` counts what is tracked: bridge frames have not come so far, use ip, ip6 or inet",
        ),
        (
            "bridge",
            "forward",
            "dnat to 1.1.1.1",
            "translation changes what is tracked: bridge frames have not come so far, use ip, ip6 or inet",
        ),
        (
            "bridge",
            "forward",
            "fib daddr type local",
            "`fib` looks into routes: bridge frames have not come so far, use ip, ip6 or inet",
        ),
        (
            "bridge",
            "forward",
            "rt mtu 1500",
            "`rt` reads a packet's route: bridge frames have not come so far, use ip, ip6 or inet",
        ),
        (
            "bridge",
            "forward",
            "meta nfproto ipv4",
            "`meta nfproto`: frames of all protocols pass here: match `meta protocol`",
        ),
        (
            "bridge",
            "forward",
            "meta ibrpvid 5",
            "`meta ibrpvid`: bridges of this router sort frames by no VLAN: match `vlan id`",
        ),
        (
            "bridge",
            "forward",
            "reject",
            "reject in a bridge is possible at prerouting and input, not at forward",
        ),
        ("bridge", "input", "ether type arp reject", "only IP packets are answered: use `drop`"),
        ("bridge", "forward", "meta broute set 1", "`meta broute` is possible at prerouting, not at forward"),
        (
            "bridge",
            "forward",
            "ether type ip vlan id 5",
            "the rule says already that no tag follows: match `vlan` first",
        ),
        (
            "bridge",
            "forward",
            "ip saddr 1.1.1.1 arp operation request",
            "conflicting network protocols: ip and arp, so no packet could match",
        ),
        (
            "bridge",
            "forward",
            "icmp type echo-request ip6 saddr ::1",
            "conflicting network protocols: ip and ip6, so no packet could match",
        ),
        (
            "bridge",
            "forward",
            "ether type 8021ad vlan type 8021q vlan type 8021q vlan id 5",
            "this router reads two tags of a frame",
        ),
        (
            "arp",
            "input",
            "ip saddr 1.1.1.1",
            "conflicting network protocols: arp and ip, so no packet could match",
        ),
        ("arp", "input", "reject", "nothing answers ARP frames but ARP: use `drop`"),
        ("arp", "input", "meta pkttype set host", "the packet type of ARP frames is not set"),
        (
            "arp",
            "input",
            "meta ibrname \"br0\"",
            "`meta ibrname`: only tables of family bridge ask for bridges",
        ),
        (
            "inet",
            "prerouting",
            "meta broute set 1",
            "`meta broute` takes frames out of a bridge: it belongs into a table of family bridge",
        ),
        (
            "inet",
            "forward",
            "vlan id 5",
            "tagged frames do not come to this router's IP rules: match tags in a table of family bridge",
        ),
    ] {
        let text =
            format!("table {family} t {{ chain c {{ type filter hook {hook} priority 0;\n{rule}\n}}; }}");
        let refused = refused_when_owned(&text);
        assert!(refused.ends_with(expected), "{family} {rule}: {refused}");
    }
}
