//! What is told of addresses, routes, policy rules and neighbors, and `route get`.

use super::*;

#[test]
fn addresses_stand_link_by_link() {
    let core = core(table());
    let address = |port: &str, family: &str, address: &str, length: u8| {
        json!({
            "port": port, "state": "UP", "family": family, "address": address, "prefix_length": length,
            "scope": "global", "peer": null, "broadcast": null, "flags": [],
        })
    };
    assert_eq!(
        ask(&core, &Question::Addresses),
        json!([
            address("r0", "ipv4", "10.0.0.1", 24),
            address("r0", "ipv6", "fd00::1", 64),
            address("r1", "ipv4", "10.0.1.1", 24),
        ])
    );
}

#[test]
fn a_route_that_is_not_used_says_why() {
    let mut table = table();
    table.apply([Change::Link(crate::tabletop::link(8, "eth8"))]);
    table.route("192.0.2.0/24", "10.0.8.9", 8);
    let core = core(table);
    let within = |prefix: &str| {
        let within = Some(prefix.parse().unwrap());
        ask(&core, &Question::Routes(RouteFilter { within, ..RouteFilter::default() }))
    };
    assert_eq!(
        within("192.0.2.0/24"),
        json!([{
            "family": "ipv4", "table": "main", "prefix": "192.0.2.0/24", "type": "unicast", "protocol": "static",
            "scope": "global", "metric": 0,
            "next_hops": [{
                "via": "10.0.8.9", "port": "eth8", "weight": 1, "usable": false,
                "reason": "no port named eth8 in this router",
            }],
            "usable": false, "reason": "no port named eth8 in this router",
        }])
    );
    assert_eq!(
        within("10.0.1.0/24"),
        json!([{
            "family": "ipv4", "table": "main", "prefix": "10.0.1.0/24", "type": "unicast", "protocol": "kernel",
            "scope": "link", "metric": 0, "preferred_source": "10.0.1.1",
            "next_hops": [{"via": null, "port": "r1", "weight": 1, "usable": true}],
            "usable": true, "reason": null,
        }])
    );
}

#[test]
fn routes_are_told_once_each_whatever_the_size_of_a_page() {
    let mut table = table();
    for number in 0..20 {
        table.route(&format!("192.0.2.{}/32", number * 3), "10.0.1.9", 1);
    }
    let core = core(table);
    let question = Question::Routes(RouteFilter { table: TableFilter::All, ..RouteFilter::default() });
    let at_once = rows(answer(&question, &core).unwrap(), 1_000);
    assert_eq!(at_once.len(), core.writer.borrow().route_count());
    for rows_max in [1, 2, 7, 64] {
        assert_eq!(rows(answer(&question, &core).unwrap(), rows_max), at_once, "{rows_max} a page");
    }
    let local =
        Question::Routes(RouteFilter { table: TableFilter::Named("local".into()), ..RouteFilter::default() });
    let not_local = Question::Routes(RouteFilter::default());
    let [local, others] = [local, not_local].map(|question| ask(&core, &question).as_array().unwrap().len());
    assert!(local > 0);
    assert_eq!(local + others, at_once.len());
}

#[test]
fn policy_rules_are_told_in_the_order_they_are_asked() {
    let mut table = table();
    let rule = |priority, action| Rule::for_all(false, priority, action);
    table.apply([
        Change::Rule(Rule {
            from: Some("10.0.0.0/24".parse().unwrap()),
            iif: Some("r0".into()),
            mark: Some((16, 255)),
            protocol: Some(17),
            destination_ports: Some((53, 53)),
            ..rule(100, RuleAction::Lookup(77))
        }),
        Change::Rule(Rule { invert: true, protocol: Some(89), ..rule(200, RuleAction::Prohibit) }),
        Change::Rule(Rule { protocol: Some(58), ..rule(300, RuleAction::Goto(32_766)) }),
    ]);
    let core = core(table);
    let Value::Array(rules) = ask(&core, &Question::PolicyRules) else { panic!("a list") };
    let ipv4: Vec<&Value> = rules.iter().filter(|rule| rule["family"] == "ipv4").collect();
    let any = json!({"family": "ipv4", "from": null, "to": null, "input_port": null});
    let with = |more: Value| {
        let mut rule = any.clone();
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    let expected = [
        with(json!({"priority": 0, "action": "lookup", "table": "local"})),
        with(json!({
            "priority": 100, "from": "10.0.0.0/24", "input_port": "r0", "mark": 16, "mark_mask": 255,
            "protocol": "udp", "destination_ports": [53, 53], "action": "lookup", "table": "77",
        })),
        with(json!({"priority": 200, "inverted": true, "protocol": "89", "action": "prohibit"})),
        with(json!({"priority": 300, "protocol": "ipv6-icmp", "action": "goto", "goto": 32_766})),
        with(json!({"priority": 32_766, "action": "lookup", "table": "main"})),
        with(json!({"priority": 32_767, "action": "lookup", "table": "default"})),
    ];
    assert_eq!(ipv4, expected.iter().collect::<Vec<_>>());
    assert!(rules.len() > ipv4.len(), "IPv6 has rules of its own");
}

#[test]
fn neighbors_are_those_announced_and_those_asked_for() {
    let mut table = table();
    table.neighbor(1, "10.0.1.7", None);
    // A packet for a neighbor that nobody knows yet.
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.0.1.77:53").udp(b"ask")[..]);
    // A device that is no port has neighbors too.
    table.apply([Change::Link(crate::tabletop::link(8, "eth8"))]);
    table.neighbor(8, "10.0.8.9", Some(GATEWAY));
    let core = core(table);
    let neighbor = |address: &str, port: &str, mac: Option<&str>, state: &str| json!({"address": address, "port": port, "mac": mac, "state": state});
    assert_eq!(
        ask(&core, &Question::Neighbors),
        json!([
            neighbor("10.0.0.2", "r0", Some("02:00:00:00:01:01"), "REACHABLE"),
            neighbor("10.0.1.2", "r1", Some("02:00:00:00:02:02"), "REACHABLE"),
            neighbor("10.0.1.7", "r1", None, "FAILED"),
            neighbor("10.0.1.9", "r1", Some("02:00:00:00:03:03"), "REACHABLE"),
            neighbor("10.0.1.77", "r1", None, "INCOMPLETE"),
            neighbor("10.0.8.9", "eth8", Some("02:00:00:00:03:03"), "REACHABLE"),
        ])
    );
}

#[test]
fn route_get_answers_as_packets_are_answered() {
    let core = core(table());
    let generation = core.writer.borrow().generation().0;
    let question = RouteQuery {
        source: Some("10.0.0.2".parse().unwrap()),
        input_port: Some("r0".into()),
        ..get("10.9.9.9")
    };
    assert_eq!(
        ask_one(&core, &Question::RouteGet(question)),
        json!({
            "destination": "10.9.9.9", "source": "10.0.0.2", "input_port": "r0", "mark": 0, "type": "unicast",
            "table": "main", "prefix": "10.0.0.0/8", "via": "10.0.1.9", "port": "r1",
            "preferred_source": "10.0.1.1", "mtu": 1500,
            "neighbor": {"address": "10.0.1.9", "mac": "02:00:00:00:03:03", "state": "REACHABLE"},
            "generation": generation, "depends_on": ["source"],
        })
    );
    for (destination, kind) in [
        ("10.0.0.1", "local"),
        ("10.0.0.255", "broadcast"),
        ("255.255.255.255", "broadcast"),
        ("224.0.0.5", "multicast"),
        ("ff02::1", "multicast"),
        ("192.0.2.1", "no_route"),
        ("2001:db8::1", "no_route"),
    ] {
        let answer = ask_one(&core, &Question::RouteGet(get(destination)));
        assert_eq!(
            (&answer["type"], &answer["generation"]),
            (&json!(kind), &json!(generation)),
            "{destination}"
        );
        assert_eq!((&answer["port"], &answer["mtu"]), (&Value::Null, &Value::Null), "{destination}");
    }
}

#[test]
fn route_get_refuses_what_no_packet_could_ask() {
    let mut table = table();
    let strict = LinkSettings { rp_filter: ReversePath::Strict, ..LinkSettings::default() };
    table.apply([Change::Settings(Settings::Link(LinkIndex(1), strict))]);
    let core = core(table);
    let refused = |source: &str, input: &str| {
        let question = RouteQuery {
            source: Some(source.parse().unwrap()),
            input_port: Some(input.into()),
            ..get("10.9.9.9")
        };
        answer(&Question::RouteGet(question), &core).err().map(|failure| failure.message)
    };
    assert_eq!(refused("10.0.0.2", "r0"), None);
    for (source, input, expected) in [
        ("10.0.0.2", "r9", "no port named r9 in this router"),
        ("fd00::2", "r0", "fd00::2 and 10.9.9.9 are of different families: no packet has both"),
        (
            "10.0.1.2",
            "r0",
            "a packet from 10.0.1.2 to 10.9.9.9 that enters by r0 is dropped: no route leads back to the source as \
             rp_filter on that port asks for",
        ),
        (
            "10.0.1.1",
            "r0",
            "a packet from 10.0.1.1 to 10.9.9.9 that enters by r0 is dropped: the source is an address of this router",
        ),
        (
            "127.0.0.1",
            "r0",
            "a packet from 127.0.0.1 to 10.9.9.9 that enters by r0 is dropped: source address that no host may have",
        ),
    ] {
        assert_eq!(refused(source, input).as_deref(), Some(expected), "{source} by {input}");
    }
}
