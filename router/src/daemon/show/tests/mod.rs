//! A router that has forwarded packets between ports of memory, asked as routerctl asks it.

mod expectations;
mod flow_cache;
mod flows;
mod last_hop;
mod own;
mod routing;
mod rules;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use conntrack::Instant;
use ctl::message::{
    Action, FlowCacheAction, FlowFilter, Question, RouteFilter, RouteQuery, Row, TableFilter,
};
use fib::adjacency::LinkIndex;
use fib::change::{Change, LinkSettings, ReversePath, Rule, RuleAction, Settings};
use serde_json::{Value, json};

use crate::chain::{Family, Place, Point};
use crate::control::{Pages, act, answer};
use crate::daemon::{Chronicle, Core, Handover, Own, PortKind, Rules, Seat};
use crate::guard::Guard;
use crate::host::neighborhood::{Neighborhood, Settings as Neighbors};
use crate::host::tables::Setup;
use crate::mirror::MirrorHandle;
use crate::port::af_packet;
use crate::port::keeper::{Keeper, Link};
use crate::sysctl::KernelForwarding;
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
    let rules = Rules::new(&assembly.shared, 1, true);
    Core {
        rules,
        reader: assembly.writer.reader(),
        writer: RefCell::new(assembly.writer),
        shared: assembly.shared,
        masquerades: RefCell::default(),
        defragment: assembly.defragment,
        workers: RefCell::new(vec![Seat { handle, counters }]),
        keeper: RefCell::new(keeper),
        kinds: vec![PortKind::AfPacket; 2],
        mirror: MirrorHandle::unattached(),
        own: Own::with(Setup::default()),
        neighborhood: RefCell::new(Neighborhood::new(Neighbors::default(), 1)),
        port_settings: af_packet::Settings::default(),
        tuns: RefCell::default(),
        subscription: RefCell::default(),
        expectation_subscription: RefCell::default(),
        chronicle: Chronicle::default(),
        last_hops_told_ms: Cell::new(0),
        news: Arc::default(),
        guard: RefCell::new(Guard::set_with(None, [], KernelForwarding::default()).unwrap()),
        handover: Handover::new(false),
        sysctl: RefCell::default(),
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
    assert_eq!(status["settings"].as_object().unwrap().len(), 15);
    status["settings"].take();
    assert_eq!(
        status,
        json!({
            "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(), "uptime_s": 7, "host": "kernel", "host_device": null,
            "forwarding": true, "workers": 1, "ports": ["r0", "r1"], "generation": generation,
            "flow_cache": {"route": "on", "verdict": "on", "negative": "on", "untracked": "on"}, "flows": 1, "flows_max": 262_144,
            "rules": {"tables": 0, "chains": 0, "rules": 0, "sets": 0}, "handover": false,
            "guard": "off", "settings": null,
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
fn hooks_and_trackers_are_the_registered_ones() {
    let table = table();
    table.hooks().unregister([Place::new(Family::Ipv6, Point::Output, "track")]).unwrap();
    let core = core(table);
    let hooks = ask(&core, &Question::Hooks);
    assert_eq!(hooks.as_array().unwrap().len(), 27);
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
    let last = trackers.as_array().unwrap().last().expect("there are some");
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
