//! What is told of flows, and what is done to them.

use super::*;

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
                "port": "r1", "next_hop": "10.0.1.9", "neighbor": "02:00:00:00:03:03", "prefix": "10.0.0.0/8",
                "table": "main", "policy": "move", "generation": generation, "valid": true, "source": "fib", "hits": 2,
                "renewals": 0, "last_renewal": null,
            },
            "verdict": {"cached": true, "valid": true, "unfit": false, "outcome": "accept", "counters": 0},
        },
        "reply": {
            "source": "10.9.9.9", "destination": "10.0.0.2", "source_port": 53, "destination_port": 1000,
            "packets": 0, "bytes": 0,
            "route": {
                "port": null, "next_hop": null, "neighbor": null, "prefix": null, "table": null, "policy": null,
                "generation": 0, "valid": false, "source": "none", "hits": 0, "renewals": 0, "last_renewal": null,
            },
            "verdict": {"cached": false, "valid": false, "unfit": false, "outcome": null, "counters": 0},
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
    table.route("10.9.9.0/24", "10.0.1.9", 1);
    table.pass(0, &to_far(1000).udp(b"ask")[..]);
    let core = core(table);
    let route = || ask_one(&core, &all_flows())["original"]["route"].clone();
    let is_valid = || route()["valid"].as_bool().unwrap();
    let set = |action: FlowCacheAction| {
        let rows = rows(act(&Action::FlowCache(Box::new(action.into())), &core).unwrap(), 64);
        to_json(&rows)[0].clone()
    };
    assert_eq!((&route()["renewals"], &route()["last_renewal"]), (&json!(1), &json!("route_added")));
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
