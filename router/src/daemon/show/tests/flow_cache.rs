//! What users do to what is remembered of flows, and what they are told of it.

use ctl::message::{
    FlowCacheChange, FlowsInvalidated, FlowsTouched, JournalQuery, Reply, RoutePolicy, RoutePolicyRow, Topic,
    WayFilter,
};

use super::*;
use crate::config::FlowCacheConfig;
use crate::control::{Events, Told};
use crate::engine::{FlowCache, Kind, Modes};

/// Three flows, each asked and asked again: two to the far, of clients 1000 and 1001, and one to 10.0.1.2.
fn with_flows() -> Tabletop {
    let mut table = table();
    ask_again(&mut table);
    ask_again(&mut table);
    table
}

fn to_near() -> Ends {
    Ends::to_port(0, "10.0.0.2:1002", "10.0.1.2:53")
}

fn ask_again(table: &mut Tabletop) {
    for ends in [to_far(1000), to_far(1001), to_near()] {
        table.pass(0, &ends.udp(b"ask")[..]);
    }
}

fn change(core: &Core, json: &str) -> Row {
    let change: Box<FlowCacheChange> = serde_json::from_str(json).unwrap();
    one(rows(act(&Action::FlowCache(change), core).unwrap(), 2))
}

fn invalidate(core: &Core, json: &str) -> u64 {
    let filter: WayFilter = serde_json::from_str(json).unwrap();
    match one(rows(act(&Action::InvalidateFlows(Box::new(filter)), core).unwrap(), 2)) {
        Row::FlowsInvalidated(FlowsInvalidated { invalidated }) => invalidated,
        other => panic!("{other:?}"),
    }
}

fn one(mut rows: Vec<Row>) -> Row {
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// What the original directions keep, by the flow's client.
fn kept(core: &Core, key: &str) -> Vec<Value> {
    let mut flows = ask(core, &all_flows()).as_array().unwrap().clone();
    flows.sort_by_key(|flow| flow["original"]["source_port"].as_u64());
    flows.iter().map(|flow| flow["original"]["route"][key].clone()).collect()
}

#[test]
fn kinds_are_switched_each_for_itself() {
    let core = core(with_flows());
    let modes = |core: &Core| ask_one(core, &Question::Status)["flow_cache"].clone();
    let Row::FlowCache(row) = change(&core, r#"{"action":"off","kinds":["verdict","negative"]}"#) else {
        panic!("no row of the flow cache")
    };
    assert_eq!(serde_json::to_value(row.modes).unwrap(), modes(&core));
    change(&core, r#""hold""#);
    let expected = json!({"route": "hold", "verdict": "off", "negative": "off", "untracked": "hold"});
    assert_eq!(modes(&core), expected);
    change(&core, r#""on""#);
    assert_eq!(core.shared.flow_cache(), Modes::all(FlowCache::On));
}

#[test]
fn some_flows_are_held_while_the_others_follow() {
    let core = core(with_flows());
    let touched = change(&core, r#"{"action":"hold","filter":{"destination":"10.9.0.0/16"}}"#);
    assert_eq!(touched, Row::FlowsTouched(FlowsTouched { touched: 2 }));
    assert_eq!(core.shared.flow_cache(), Modes::all(FlowCache::On));
    assert_eq!(kept(&core, "mode"), [json!("hold"), json!("hold"), Value::Null]);
    core.writer.borrow_mut().raise();
    assert_eq!(kept(&core, "valid"), [json!(true), json!(true), json!(false)]);
    let touched = change(&core, r#"{"action":"on","kinds":["route"],"filter":{"source_port":1001}}"#);
    assert_eq!(touched, Row::FlowsTouched(FlowsTouched { touched: 1 }));
    assert_eq!(kept(&core, "mode"), [json!("hold"), Value::Null, Value::Null], "as the router's");
    assert_eq!(kept(&core, "valid"), [json!(true), json!(false), json!(false)]);
}

#[test]
fn some_flows_forget_and_the_others_do_not() {
    let core = core(with_flows());
    change(&core, r#"{"action":"flush","filter":{"destination":"10.0.1.2/32"}}"#);
    assert_eq!(kept(&core, "source"), ["fib", "fib", "none"]);
    assert_eq!(kept(&core, "last_renewal"), [Value::Null, Value::Null, json!("flush")]);
    assert_eq!(kept(&core, "hits"), [1, 1, 1], "the history stays");
}

#[test]
fn flows_are_invalidated_by_their_way() {
    for (filter, count) in [
        (r#"{"via":"10.0.1.9"}"#, 2),
        (r#"{"via":"10.0.1.2"}"#, 1),
        (r#"{"via":"10.0.1.3"}"#, 0),
        (r#"{"port":"r1"}"#, 3),
        (r#"{"port":"r0"}"#, 0),
        (r#"{"prefix":"10.9.0.0/16"}"#, 2),
        (r#"{"prefix":"10.0.1.77/24"}"#, 1),
        (r#"{"prefix":"fd00::/8"}"#, 0),
        (r#"{"mac":"02:00:00:00:03:03"}"#, 2),
        (r#"{"mac":"02:00:00:00:02:02","port":"r1"}"#, 1),
        (r#"{"mac":"02:00:00:00:02:02","via":"10.0.1.9"}"#, 0),
        ("{}", 3),
    ] {
        let core = core(with_flows());
        assert_eq!(invalidate(&core, filter), count, "{filter}");
        let gone = kept(&core, "last_renewal").iter().filter(|reason| **reason == "invalidated").count();
        assert_eq!(gone as u64, count, "{filter}");
        assert_eq!(invalidate(&core, filter), 0, "{filter}: nothing is kept any more");
    }
    let nowhere = WayFilter { port: Some("eth9".into()), ..WayFilter::default() };
    let error = act(&Action::InvalidateFlows(Box::new(nowhere)), &core(table())).err().unwrap();
    assert_eq!(error.to_string(), "no port named eth9 in this router");
}

#[test]
fn a_policy_is_set_listed_and_taken_back() {
    let core = core(table());
    let prefix = "10.2.3.4/16".parse().unwrap();
    let set = |policy| {
        let row = RoutePolicyRow { prefix, policy };
        one(rows(act(&Action::SetRoutePolicy(row), &core).unwrap(), 2))
    };
    set(RoutePolicy::Move);
    set(RoutePolicy::Keep);
    let listed = || ask(&core, &Question::RoutePolicies);
    assert_eq!(listed(), json!([{"prefix": "10.2.0.0/16", "policy": "keep"}]));
    let unset = || act(&Action::UnsetRoutePolicy(prefix), &core).map(|pages| one(rows(pages, 2)));
    assert!(matches!(unset(), Ok(Row::RoutePolicy(row)) if row.policy == RoutePolicy::Keep));
    assert_eq!(listed(), json!([]));
    let error = unset().err().unwrap();
    assert_eq!(error.to_string(), "10.2.0.0/16 has no policy of its own");
    let changes: Vec<Value> = journal(&core, Some(3)).iter().map(|row| row["change"].clone()).collect();
    assert_eq!(changes, ["policy", "policy", "policy"]);
}

fn journal(core: &Core, changes_max: Option<u64>) -> Vec<Value> {
    ask(core, &Question::Journal(JournalQuery { changes_max })).as_array().unwrap().clone()
}

#[test]
fn the_journal_tells_the_last_changes_first_in_pages_of_any_size() {
    let mut table = with_flows();
    table.route("10.9.0.0/16", "10.0.1.2", 1);
    ask_again(&mut table);
    table.unroute("10.9.0.0/16", "10.0.1.2", 1);
    let core = core(table);
    let generation = core.writer.borrow().generation().0;
    core.chronicle.note_generation(generation, 1_766_000_000_123);
    let all = journal(&core, None);
    assert_eq!(
        all[0],
        json!({
            "generation": generation, "time_unix_ms": 1_766_000_000_123_u64, "change": "route_removed",
            "family": "ipv4", "table": "main", "prefix": "10.9.0.0/16", "via": null, "port": null,
            "address": null, "moved": 0,
        })
    );
    assert_eq!((&all[1]["change"], &all[1]["moved"]), (&json!("route_added"), &json!(2)));
    assert!(
        all.iter().any(|row| row["change"] == "address_added" && row["address"] == "10.0.0.1"),
        "{all:?}"
    );
    let ordered = all.is_sorted_by_key(|row| std::cmp::Reverse(row["generation"].as_u64()));
    assert!(ordered, "{all:?}");
    for rows_max in [1, 2, 7, 1_000] {
        let pages = answer(&Question::Journal(JournalQuery::default()), &core).unwrap();
        assert_eq!(to_json(&rows(pages, rows_max)), Value::Array(all.clone()), "{rows_max} a page");
    }
    assert_eq!(journal(&core, Some(2)), all[..2]);
    assert_eq!(journal(&core, Some(0)), all[..0]);
}

#[test]
fn the_flow_cache_is_counted_kind_by_kind() {
    let mut table = with_flows();
    table.route("10.9.0.0/16", "10.0.1.2", 1);
    ask_again(&mut table);
    let core = core(table);
    let row = ask_one(&core, &Question::FlowCache);
    let counters = ask_one(&core, &Question::Counters);
    assert_eq!(counters["flow_cache_renewed_route_added"], 2);
    assert_eq!(counters["flow_cache_renewed_port_down"], 0);
    let route = &row["kinds"]["route"];
    // Three lookups of flows that begin, two by those that the new route concerns.
    assert_eq!(
        (&route["hits"], &route["misses"], &route["hit_rate"]),
        (&json!(4), &json!(5), &json!(4.0 / 9.0))
    );
    assert_eq!((&row["flow_cache_unaffected"], &row["flow_cache_revalidated"]), (&json!(1), &json!(2)));
    assert_eq!(row["renewals"], json!({"route_added": 2}));
    assert!(route["entries"].as_u64() > Some(0) && route["memory_bytes"].as_u64() > Some(0), "{row}");
    assert!(row["journal"]["depth"].as_u64() > Some(0), "{row}");
    assert_eq!(row["journal"]["depth"], row["journal"]["changes"]);
}

#[test]
fn who_watches_is_told_what_users_do_and_what_changes_have_asked_of_flows() {
    let core = core(with_flows());
    let events = Events::default();
    core.tell_flow_cache(&events);
    let mut watch = events.watch(Topic::FlowCache.into());
    let mut told = || -> Vec<Value> {
        core.tell_flow_cache(&events);
        let next = || match watch.try_next()? {
            Told::Message(message) => match ctl::frame::decode(&message[ctl::frame::PREFIX..]).unwrap() {
                Reply::Event(event) => Some(serde_json::to_value(event).unwrap()["flow_cache"].clone()),
                other => panic!("{other:?}"),
            },
            Told::Lost(count) => panic!("{count} events are lost"),
        };
        std::iter::from_fn(next).collect()
    };
    assert_eq!(told(), [Value::Null; 0], "what was before is not told");
    change(&core, r#"{"action":"off","kinds":["verdict"]}"#);
    change(&core, r#"{"action":"flush","kinds":["route"],"filter":{"source_port":1000}}"#);
    invalidate(&core, r#"{"port":"r1"}"#);
    let modes = json!({
        "what": "modes", "route": "on", "verdict": "off", "negative": "on", "untracked": "on"
    });
    assert_eq!(
        told(),
        [
            modes,
            json!({"what": "touched", "action": "flush", "kinds": ["route"], "flows": 1}),
            json!({"what": "invalidated", "flows": 2})
        ]
    );
    change(&core, r#"{"action":"flush","kinds":["route"]}"#);
    let generation = core.writer.borrow().generation().0;
    assert_eq!(
        told(),
        [
            json!({"what": "flushed", "kinds": ["route"]}),
            json!({
                "what": "followed", "generation": generation, "changes": 1, "renewals": {}, "moved": 0,
                "unaffected": 0, "kept_by_policy": 0,
            })
        ]
    );
    assert_eq!(told(), [Value::Null; 0], "nothing has happened");
}

#[test]
fn a_configuration_puts_in_force_what_it_says_otherwise_than_before() {
    let core = core(table());
    let prefix = |text: &str| text.parse().unwrap();
    let config = |modes, policies: &[(&str, fib::change::RoutePolicy)]| FlowCacheConfig {
        modes,
        policies: policies.iter().map(|(text, policy)| (prefix(text), *policy)).collect(),
    };
    let keep = fib::change::RoutePolicy::Keep;
    let on = Modes::all(FlowCache::On);
    let first =
        config(on.with(Kind::Route, FlowCache::Hold), &[("10.1.0.0/16", keep), ("10.2.0.0/16", keep)]);
    core.take_flow_cache(&FlowCacheConfig::default(), &first).unwrap();
    assert_eq!(core.shared.flow_cache(), first.modes);
    change(&core, r#"{"action":"off","kinds":["negative"]}"#);
    let own = RoutePolicyRow { prefix: prefix("10.3.0.0/16"), policy: RoutePolicy::Keep };
    act(&Action::SetRoutePolicy(own), &core).unwrap();
    let second = config(on, &[("10.2.0.0/16", keep)]);
    core.take_flow_cache(&first, &second).unwrap();
    assert_eq!(core.shared.flow_cache(), on.with(Kind::Negative, FlowCache::Off), "switched by hand");
    assert_eq!(
        ask(&core, &Question::RoutePolicies),
        json!([
            {"prefix": "10.2.0.0/16", "policy": "keep"},
            {"prefix": "10.3.0.0/16", "policy": "keep"}
        ])
    );
}
