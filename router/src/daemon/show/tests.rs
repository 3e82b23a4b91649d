//! A router that has forwarded packets between ports of memory, asked as routerctl asks it.

use std::cell::{Cell, RefCell};

use conntrack::Instant;
use ctl::message::{
    Action, FlowCacheAction, FlowFilter, Question, RouteFilter, RouteQuery, Row, TableFilter,
};
use fib::adjacency::LinkIndex;
use fib::change::{Change, LinkSettings, ReversePath, Rule, RuleAction, Settings};
use serde_json::{Value, json};

use crate::chain::{Family, Place, Point};
use crate::control::{Pages, act, answer};
use crate::daemon::{Core, GuardState, PortKind, Seat};
use crate::mirror::MirrorHandle;
use crate::port::keeper::{Keeper, Link};
use crate::tabletop::Tabletop;
use crate::tabletop::frames::{Ends, HOST};

const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];
const GATEWAY: [u8; 6] = [2, 0, 0, 0, 3, 3];

/// The moment at which questions are asked; the packets have passed at second 1.
const ASKED_AT: Instant = Instant::from_secs(11);

/// 10.0.0.0/24 and fd00::/64 on port r0, 10.0.1.0/24 on port r1, the rest of 10/8 behind 10.0.1.9.
fn table() -> Tabletop {
    let mut table = Tabletop::new(&["r0", "r1"]);
    table.address(0, "10.0.0.1/24");
    table.address(1, "10.0.1.1/24");
    table.address(0, "fd00::1/64");
    table.route("10.0.0.0/8", "10.0.1.9", 1);
    table.neighbor(0, "10.0.0.2", Some(HOST.0));
    table.neighbor(1, "10.0.1.2", Some(SERVER));
    table.neighbor(1, "10.0.1.9", Some(GATEWAY));
    table
}

/// The running router around a table that has done its work.
fn core(table: Tabletop) -> Core {
    let (assembly, handle, counters) = table.into_parts();
    let names = ["r0", "r1"].map(str::to_owned);
    let links: Vec<Link> = (1..)
        .zip(&names)
        .map(|(index, name)| Link { index: LinkIndex(index), name: name.clone(), up: true })
        .collect();
    let mut keeper = Keeper::new(names);
    keeper.decide(&links, Instant::ZERO);
    assembly.shared.ports.ids().for_each(|port| keeper.opened(port));
    Core {
        reader: assembly.writer.reader(),
        writer: RefCell::new(assembly.writer),
        shared: assembly.shared,
        defragment: assembly.defragment,
        workers: RefCell::new(vec![Seat { handle, counters }]),
        keeper: RefCell::new(keeper),
        kinds: vec![PortKind::AfPacket; 2],
        mirror: MirrorHandle::unattached(),
        guard: Cell::new(GuardState::On),
        clock: || ASKED_AT,
        ready_since: Cell::new(Some(Instant::from_secs(4))),
    }
}

fn rows(mut pages: Pages<'_, Row>, rows_max: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(page) = pages.next(rows_max) {
        rows.extend(page);
    }
    rows
}

fn to_json(rows: &[Row]) -> Value {
    let value = |row: &Row| {
        let mut bytes = Vec::new();
        row.write_json(&mut bytes).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    rows.iter().map(value).collect()
}

fn ask(core: &Core, question: &Question) -> Value {
    to_json(&rows(answer(question, core).unwrap(), 64))
}

fn ask_one(core: &Core, question: &Question) -> Value {
    let Value::Array(mut rows) = ask(core, question) else { unreachable!("rows are a list") };
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

fn all_flows() -> Question {
    Question::Flows(Box::default())
}

fn get(destination: &str) -> RouteQuery {
    RouteQuery { destination: destination.parse().unwrap(), source: None, input_port: None, mark: 0 }
}

fn to_far(client: u16) -> Ends {
    Ends::to_port(0, &format!("10.0.0.2:{client}"), "10.9.9.9:53")
}

#[test]
fn the_status_tells_what_is_in_force() {
    let mut table = table();
    table.pass(0, &to_far(1000).udp(b"ask")[..]);
    let core = core(table);
    let mut status = ask_one(&core, &Question::Status);
    let generation = core.writer.borrow().generation().0;
    assert_eq!(status["settings"].as_object().unwrap().len(), 14);
    status["settings"].take();
    assert_eq!(
        status,
        json!({
            "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(), "uptime_s": 7, "host": "kernel",
            "forwarding": true, "workers": 1, "ports": ["r0", "r1"], "generation": generation,
            "flow_cache": {"route": "on"}, "flows": 1, "flows_max": 262_144, "guard": "on", "settings": null,
        })
    );
    core.ready_since.set(None);
    let status = ask_one(&core, &Question::Status);
    assert_eq!((&status["forwarding"], &status["uptime_s"]), (&json!(false), &json!(0)));
}

#[test]
fn ports_count_what_passed_and_show_the_settings_in_force() {
    let mut table = table();
    let strict = LinkSettings { rp_filter: ReversePath::Strict, ..LinkSettings::default() };
    table.apply([Change::Settings(Settings::Link(LinkIndex(1), strict))]);
    let frame = to_far(1000).udp(b"ask");
    table.pass(0, &frame[..]);
    let core = core(table);
    let ports = ask(&core, &Question::Ports);
    let length = frame.len();
    assert_eq!(ports[0]["name"], "r0");
    assert_eq!(ports[0]["state"], "up");
    assert_eq!(ports[0]["settings"]["rp_filter"], "strict");
    assert_eq!(ports[0]["counters"]["received_frames"], 1);
    assert_eq!(ports[0]["counters"]["received_bytes"], length);
    assert_eq!(ports[1]["settings"]["rp_filter"], "off");
    assert_eq!(ports[1]["counters"]["sent_frames"], 1);
    assert_eq!(ports[1]["mac"], "02:00:00:00:00:01");
    assert_eq!(ports.as_array().unwrap().len(), 2);
}

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
    let rule = |priority, action| Rule {
        ipv6: false,
        priority,
        invert: false,
        from: None,
        to: None,
        iif: None,
        oif: None,
        mark: None,
        tos: 0,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        suppress_prefix_length: None,
        l3mdev: false,
        uid_range: false,
        action,
        protocol_origin: 0,
    };
    table.apply([
        Change::Rule(rule(0, RuleAction::Lookup(255))),
        Change::Rule(rule(32_766, RuleAction::Lookup(254))),
        Change::Rule(Rule {
            from: Some("10.0.0.0/24".parse().unwrap()),
            iif: Some("r0".into()),
            mark: Some((16, 255)),
            protocol: Some(17),
            destination_ports: Some((53, 53)),
            ..rule(100, RuleAction::Lookup(77))
        }),
        Change::Rule(Rule { invert: true, protocol: Some(89), ..rule(200, RuleAction::Prohibit) }),
        Change::Rule(rule(300, RuleAction::Goto(32_766))),
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
        with(json!({"priority": 300, "action": "goto", "goto": 32_766})),
        with(json!({"priority": 32_766, "action": "lookup", "table": "main"})),
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
fn a_flow_is_told_whole_with_the_route_it_keeps() {
    let mut table = table();
    for _ in 0..3 {
        table.pass(0, &to_far(1000).udp(b"ask")[..]);
    }
    let core = core(table);
    let generation = core.writer.borrow().generation().0;
    let expected = json!({
        "id": 1, "family": "ipv4", "protocol": "udp", "protocol_number": 17, "state": null,
        "status": ["confirmed"], "timeout_s": 20, "mark": 0, "zone": 0,
        "original": {
            "source": "10.0.0.2", "destination": "10.9.9.9", "source_port": 1000, "destination_port": 53,
            "packets": 3, "bytes": 93,
            "route": {
                "port": "r1", "next_hop": "10.0.1.9", "neighbor": "02:00:00:00:03:03", "generation": generation,
                "valid": true, "source": "fib", "hits": 2, "renewals": 0, "last_renewal": null,
            },
        },
        "reply": {
            "source": "10.9.9.9", "destination": "10.0.0.2", "source_port": 53, "destination_port": 1000,
            "packets": 0, "bytes": 0,
            "route": {
                "port": null, "next_hop": null, "neighbor": null, "generation": 0, "valid": false,
                "source": "none", "hits": 0, "renewals": 0, "last_renewal": null,
            },
        },
    });
    assert_eq!(ask_one(&core, &all_flows()), expected);
}

#[test]
fn an_echo_has_an_id_and_no_ports() {
    let mut table = table();
    table.pass(0, &to_far(77).echo(1)[..]);
    let flow = ask_one(&core(table), &all_flows());
    let original = &flow["original"];
    assert_eq!(
        (&original["type"], &original["code"], &original["id"], &original["source_port"]),
        (&json!(8), &json!(0), &json!(77), &Value::Null)
    );
    assert_eq!((&flow["reply"]["type"], &flow["reply"]["id"]), (&json!(0), &json!(77)));
}

#[test]
fn a_kept_route_is_valid_as_long_as_the_next_packet_would_take_it() {
    let mut table = table();
    table.pass(0, &to_far(1000).udp(b"ask")[..]);
    table.route("198.51.100.0/24", "10.0.1.9", 1);
    table.pass(0, &to_far(1000).udp(b"ask")[..]);
    let core = core(table);
    let route = || ask_one(&core, &all_flows())["original"]["route"].clone();
    let is_valid = || route()["valid"].as_bool().unwrap();
    let set = |action| {
        let rows = rows(act(&Action::FlowCache(action), &core).unwrap(), 64);
        to_json(&rows)[0].clone()
    };
    assert_eq!((&route()["renewals"], &route()["last_renewal"]), (&json!(1), &json!("generation")));
    assert!(is_valid());

    let before = core.writer.borrow().generation().0;
    assert_eq!(set(FlowCacheAction::Flush)["generation"], before + 1);
    assert!(!is_valid(), "flushed");
    assert_eq!(set(FlowCacheAction::Hold)["route"], "hold");
    assert!(is_valid(), "held");
    assert_eq!(set(FlowCacheAction::Off)["route"], "off");
    assert!(!is_valid(), "every packet looks up");
    assert_eq!(set(FlowCacheAction::On)["route"], "on");
    assert!(!is_valid(), "still the old generation");
}

#[test]
fn a_neighbor_that_moves_is_seen_by_flows_at_once() {
    let mut table = table();
    table.pass(0, &to_far(1000).udp(b"ask")[..]);
    table.neighbor(1, "10.0.1.9", Some(SERVER));
    let route = ask_one(&core(table), &all_flows())["original"]["route"].clone();
    assert_eq!((&route["neighbor"], &route["valid"]), (&json!("02:00:00:00:02:02"), &json!(true)));
}

#[test]
fn flows_are_told_once_each_in_pages_and_deleted_by_filter() {
    let mut table = table();
    for client in 0..300 {
        let frame = if client % 3 == 0 { to_far(client).echo(1) } else { to_far(client).udp(b"ask") };
        table.pass(0, &frame[..]);
    }
    let core = core(table);
    let ids = |rows_max| {
        let rows = rows(answer(&all_flows(), &core).unwrap(), rows_max);
        let id = |row: &Row| match row {
            Row::Flow(flow) => flow.id,
            other => panic!("{other:?}"),
        };
        let mut ids: Vec<u64> = rows.iter().map(id).collect();
        ids.sort_unstable();
        ids
    };
    for rows_max in [1, 13, 1_000] {
        assert_eq!(ids(rows_max), (1..=300).collect::<Vec<_>>(), "{rows_max} a page");
    }
    let delete =
        |filter: FlowFilter| to_json(&rows(act(&Action::DeleteFlows(Box::new(filter)), &core).unwrap(), 7));
    let echoes = FlowFilter { protocol_number: Some(1), ..FlowFilter::default() };
    assert_eq!(delete(echoes.clone()), json!([{"deleted": 100}]));
    assert_eq!(delete(echoes), json!([{"deleted": 0}]));
    let one = FlowFilter { destination_port: Some(53), source_port: Some(4), ..FlowFilter::default() };
    assert_eq!(delete(one), json!([{"deleted": 1}]));
    assert_eq!(ids(64).len(), 199);
    assert_eq!(delete(FlowFilter::default()), json!([{"deleted": 199}]));
    assert_eq!(ids(64), [0; 0]);
}

#[test]
fn what_a_filter_means_is_never_left_out_early() {
    let mut table = table();
    for client in 0..8 {
        table.pass(0, &to_far(client).udp(b"ask")[..]);
    }
    let core = core(table);
    for (filter, count) in [
        (r#"{"family":"ipv4","protocol_number":17,"source":"10.0.0.0/24","destination":"10.9.0.0/16"}"#, 8),
        (r#"{"id":3}"#, 1),
        (r#"{"family":"ipv6"}"#, 0),
        (r#"{"source":"10.9.0.0/16"}"#, 0),
        (r#"{"reply_source":"10.9.0.0/16","status":["unreplied"]}"#, 8),
        (r#"{"source_port":5}"#, 1),
    ] {
        let question = Question::Flows(Box::new(serde_json::from_str(filter).unwrap()));
        assert_eq!(ask(&core, &question).as_array().unwrap().len(), count, "{filter}");
    }
}

#[test]
fn hooks_and_trackers_are_the_registered_ones() {
    let table = table();
    table.hooks().unregister([Place::new(Family::Ipv6, Point::Output, "track")]).unwrap();
    let core = core(table);
    let hooks = ask(&core, &Question::Hooks);
    assert_eq!(hooks.as_array().unwrap().len(), 11);
    assert_eq!(hooks[1], json!({"family": "ipv4", "point": "prerouting", "priority": -200, "name": "track"}));
    let trackers = ask(&core, &Question::Trackers);
    assert_eq!(
        trackers[0],
        json!({"layer": "network", "name": "ipv4", "family": "ipv4", "protocol_number": null, "timeouts_s": {}})
    );
    assert_eq!(
        trackers[4],
        json!({
            "layer": "transport", "name": "udp", "family": "ipv4", "protocol_number": 17,
            "timeouts_s": {"unreplied": 30, "stream": 120},
        })
    );
    let last = &trackers.as_array().unwrap()[8];
    assert_eq!((&last["layer"], &last["protocol_number"]), (&json!("transport"), &Value::Null));
}

#[test]
fn counters_have_all_names_before_anything_happened_and_drops_their_reason() {
    let fresh = core(table());
    fresh.workers.borrow_mut().clear();
    let idle = ask_one(&fresh, &Question::Counters);

    let mut table = table();
    table.pass(0, &to_far(1000).udp(b"ask")[..]);
    table.pass(0, &to_far(1000).udp(b"ask")[..]);
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1", "192.0.2.1:2").udp(b"x")[..]);
    let core = core(table);
    let counters = ask_one(&core, &Question::Counters);
    for (name, count) in [
        ("received", 3),
        ("forwarded", 2),
        ("dropped", 1),
        ("fib_lookups", 2),
        ("flow_cache_hits", 1),
        ("generation", core.writer.borrow().generation().0),
        ("flows", 1),
        ("conntrack_insert", 1),
        ("worker_frames", 3),
        ("mirror_overruns", 0),
        ("fragments_received", 0),
    ] {
        assert_eq!(counters[name], count, "{name}");
    }
    let missing: Vec<_> = counters
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| idle.get(name).is_none() && !name.starts_with("worker_"))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");

    let drops = ask_one(&core, &Question::Drops);
    assert_eq!((&drops["no_route"], &drops["martian"]), (&json!(1), &json!(0)));
    assert_eq!(drops.as_object().unwrap().len(), crate::drops::DropReason::ALL.len());

    let flow_cache = ask_one(&core, &Question::FlowCache);
    assert_eq!((&flow_cache["fib_lookups"], &flow_cache["flow_cache_hits"]), (&json!(2), &json!(1)));
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
