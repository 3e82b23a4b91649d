//! What is shown and told of last hops.

use std::time::Duration;

use ctl::message::{HostEvent, Question};
use fib::adjacency::Mac;

use super::*;
use crate::last_hop::{Group, Settings};

/// By which the far client's packets come; routing would answer by [`GATEWAY`].
const COMES_BY: [u8; 6] = [2, 0, 0, 0, 3, 7];

/// A flow from far away to the host on r0, by 10.0.1.7, which was answered there.
fn answered(settings: Settings) -> Tabletop {
    let mut table = table();
    table.neighbor(1, "10.0.1.7", Some(COMES_BY));
    table.shared().set_last_hop(settings);
    let question = Ends { from: Mac(COMES_BY), ..Ends::to_port(1, "10.9.9.9:53", "10.0.0.2:1000") };
    table.pass(1, &question.udp(b"question")[..]);
    let shared = table.shared();
    shared.last_hops.tend(&shared.flows, &shared.ports, &shared.neighbors, table.now());
    answer_once(&mut table);
    table
}

fn answer_once(table: &mut Tabletop) {
    table.pass(0, &Ends::to_port(0, "10.0.0.2:1000", "10.9.9.9:53").udp(b"answer")[..]);
    assert_eq!(table.take(1).len(), 1);
}

fn everywhere() -> Settings {
    Settings { everywhere: true, ..Settings::default() }
}

#[test]
fn a_last_hop_is_shown_with_its_neighbor_and_its_flows() {
    let core = core(answered(everywhere()));
    let row = ask_one(&core, &Question::LastHops);
    let expected = json!({
        "port": "r1", "source_mac": "02:00:00:00:03:07", "neighbor": "10.0.1.7",
        "destination_mac": "02:00:00:00:00:01", "kind": "physical", "flows": 1, "alive": true, "reason": null,
        "answers_to": "02:00:00:00:03:07", "silent_s": 10, "is_newest": false,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&row[key], value, "{key} of {row}");
    }
    let flow = ask_one(&core, &all_flows());
    let hop = &flow["last_hop"];
    assert_eq!((&hop["port"], &hop["source_mac"]), (&json!("r1"), &json!("02:00:00:00:03:07")));
    assert_eq!((&hop["answers_to"], &hop["used"]), (&json!("02:00:00:00:03:07"), &json!(true)));
    let route = &flow["reply"]["route"];
    assert_eq!((&route["source"], &route["valid"]), (&json!("last-hop"), &json!(true)));
    assert_eq!((&route["next_hop"], &route["neighbor"]), (&json!("10.0.1.7"), &json!("02:00:00:00:03:07")));
    assert_eq!(flow["original"]["route"]["source"], "fib");
}

#[test]
fn a_flow_whose_replies_are_routed_shows_their_route() {
    let mut table = answered(everywhere());
    table.shared().set_last_hop(Settings { ports: vec![fib::adjacency::PortId(0)], ..Settings::default() });
    answer_once(&mut table);
    let core = core(table);
    let flow = ask_one(&core, &all_flows());
    assert_eq!(flow["reply"]["route"]["source"], "fib");
    assert_eq!(flow["last_hop"]["source_mac"], "02:00:00:00:03:07", "it is remembered");
    assert_eq!(flow["last_hop"]["used"], false);
}

#[test]
fn a_group_is_named_and_what_becomes_of_a_gateway_is_told() {
    let group = Group {
        name: "upstream".into(),
        port: fib::adjacency::PortId(1),
        macs: vec![Mac(COMES_BY)],
        addresses: Vec::new(),
    };
    let mut table = answered(Settings { groups: vec![group], ..everywhere() });
    table.advance(Duration::from_secs(4));
    table.neighbor(1, "10.0.1.7", None);
    answer_once(&mut table);
    let core = core(table);
    let row = ask_one(&core, &Question::LastHops);
    assert_eq!((&row["kind"], &row["group"]), (&json!("group"), &json!("upstream")));
    assert_eq!((&row["alive"], &row["reason"]), (&json!(false), &json!("neighbor_failed")));
    assert_eq!((&row["source_mac"], &row["answers_to"]), (&json!("02:00:00:00:03:07"), &Value::Null));

    core.tend_last_hops();
    let dead = HostEvent::LastHopDead {
        port: "r1".into(),
        mac: Some(ctl::message::Mac(COMES_BY)),
        neighbor: "10.0.1.7".parse().ok(),
        reason: "neighbor_failed".into(),
        flows: 1,
    };
    assert_eq!(core.news.take(), [dead]);
    core.tend_last_hops();
    assert_eq!(core.news.take(), [], "once");
}
