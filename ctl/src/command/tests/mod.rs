//! Command lines, right and wrong.

mod own;

use std::path::Path;

use super::*;
use crate::message::{
    Family, FlowCacheAction, FlowCacheChange, FlowCacheKind, FlowFilter, FlowStatusFilter, Mac, MaskedMark,
    RouteFilter, RoutePolicy, RoutePolicyRow, RulesFilter, TableFilter, Topic, WayFilter,
};

fn invocation(line: &str) -> Result<Invocation, clap::Error> {
    parse(["routerctl"].into_iter().chain(line.split_whitespace()))
}

fn request(line: &str) -> Request {
    match invocation(line).unwrap_or_else(|error| panic!("{line}: {error}")).task {
        Task::Send(request) => request,
        task => panic!("{line}: {task:?}"),
    }
}

fn flows(line: &str) -> FlowFilter {
    match request(line) {
        Request::Ask(Question::Flows(filter)) | Request::Do(Action::DeleteFlows(filter)) => *filter,
        other => panic!("{line} is {other:?}"),
    }
}

fn usage_error(line: &str) -> String {
    let error = invocation(line).expect_err(line);
    assert_eq!(error.exit_code(), 2, "{line}");
    error.to_string()
}

#[test]
fn the_definition_holds_together() {
    Arguments::command().debug_assert();
}

#[test]
fn words_may_be_shortened_while_unambiguous() {
    for (line, question) in [
        ("status", Question::Status),
        ("st", Question::Status),
        ("sh fl", Question::Flows(Box::default())),
        ("sh flow", Question::Flows(Box::default())),
        ("sh flow-", Question::FlowCache),
        ("sh neigh", Question::Neighbors),
        ("sh n", Question::Neighbors),
        ("show neighbours", Question::Neighbors),
        ("show neighbors", Question::Neighbors),
        ("show route", Question::Routes(RouteFilter::default())),
        ("show ro", Question::Routes(RouteFilter::default())),
        ("sho addr", Question::Addresses),
        ("sh po", Question::Ports),
        ("sh pol", Question::PolicyRules),
        ("sh h", Question::Hooks),
        ("sh t", Question::Trackers),
        ("sh c", Question::Counters),
        ("sh ru", Question::Rules(RulesFilter::default())),
        ("sh d", Question::Drops),
        ("sh expect", Question::Expectations),
    ] {
        if line == "sh po" {
            assert!(usage_error(line).contains("po"), "`po` is ports or policy");
        } else {
            assert_eq!(request(line), Request::Ask(question), "{line}");
        }
    }
    assert!(usage_error("s").contains("unrecognized subcommand 's'"));
    usage_error("show everything");
}

#[test]
fn half_a_command_is_answered_with_what_may_follow() {
    for (line, offer) in [("", "flow-cache"), ("show", "neighbors"), ("route", "get"), ("flow-c", "flush")] {
        assert!(usage_error(line).contains(offer), "{line}");
    }
}

#[test]
fn what_changes_something_is_an_action() {
    assert_eq!(request("fl flush"), Request::Do(Action::DeleteFlows(Box::default())));
    assert_eq!(flows("flows delete -p udp").protocol_number, Some(17));
    assert!(usage_error("flows delete").contains("say which flows to delete, or `flows flush`"));
}

fn flow_cache(line: &str) -> FlowCacheChange {
    match request(line) {
        Request::Do(Action::FlowCache(change)) => *change,
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn the_flow_cache_is_switched_as_a_whole_kind_by_kind_or_for_some_flows() {
    for (line, action) in [
        ("flow-cache on", FlowCacheAction::On),
        ("flow-c of", FlowCacheAction::Off),
        ("flow-cache hold", FlowCacheAction::Hold),
        ("flow-cache flush", FlowCacheAction::Flush),
    ] {
        assert_eq!(flow_cache(line), action.into(), "{line}");
    }
    let kinds = |line: &str| Vec::from_iter(flow_cache(line).kinds);
    assert_eq!(kinds("flow-cache off verd"), [FlowCacheKind::Verdict]);
    assert_eq!(kinds("flow-cache hold r untracked"), [FlowCacheKind::Route, FlowCacheKind::Untracked]);
    assert_eq!(kinds("flow-cache flush n n"), [FlowCacheKind::Negative]);
    let some = flow_cache("flow-cache hold route -p tcp -d 10.0.2.0/24");
    let filter = flows("show flows -p tcp -d 10.0.2.0/24");
    let route = [FlowCacheKind::Route].into();
    assert_eq!(some, FlowCacheChange { action: FlowCacheAction::Hold, kinds: route, filter });
    for (line, said) in [
        ("flow-cache of routs", "`routs` is none of route, verdict, negative, untracked"),
        ("flow-cache hold verdict", "can be said of route and untracked, not of verdict"),
        ("flow-cache off negative -p tcp", "no flow keeps what is negative"),
        ("flow-cache off -s 10.0.0.1 -d fd00::1", "different families"),
        ("flow-cache offf", "unrecognized subcommand 'offf'"),
    ] {
        let error = usage_error(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn ways_are_named_as_ip_names_them() {
    let filter = |line: &str| match request(line) {
        Request::Do(Action::InvalidateFlows(filter)) => *filter,
        other => panic!("{line} is {other:?}"),
    };
    let all = filter("flows invalidate via 10.0.12.2 dev r1 prefix 10.2.0.9/16 mac 02:00:00:00:00:0A");
    let expected = WayFilter {
        via: Some("10.0.12.2".parse().unwrap()),
        port: Some("r1".into()),
        prefix: Some("10.2.0.0/16".parse().unwrap()),
        mac: Some(Mac([2, 0, 0, 0, 0, 10])),
    };
    assert_eq!(all, expected);
    assert_eq!(filter("fl inv p fd00::1").prefix, Some("fd00::1/128".parse().unwrap()));
    for (line, said) in [
        ("flows invalidate", "SELECTOR"),
        ("flows invalidate via", "`via` needs a value"),
        ("flows invalidate via ten", "\"ten\" is not an address"),
        ("flows invalidate port r1 via", "`port` is none of via, dev, prefix, mac"),
        ("flows invalidate dev r1 dev r2", "`dev` is said twice"),
        ("flows invalidate mac 02:00", "is not an Ethernet address; write it as 02:00:00:00:00:01"),
    ] {
        let error = usage_error(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn prefixes_have_policies() {
    let prefix = "10.2.0.0/16".parse().unwrap();
    for (line, meant) in [
        ("route policy list", Request::Ask(Question::RoutePolicies)),
        (
            "ro pol add 10.2.0.0/16 keep",
            Request::Do(Action::SetRoutePolicy(RoutePolicyRow { prefix, policy: RoutePolicy::Keep })),
        ),
        (
            "route policy add 10.2.9.9/16 m",
            Request::Do(Action::SetRoutePolicy(RoutePolicyRow { prefix, policy: RoutePolicy::Move })),
        ),
        ("route policy del 10.2.0.0/16", Request::Do(Action::UnsetRoutePolicy(prefix))),
        ("route policy delete 10.2.0.0/16", Request::Do(Action::UnsetRoutePolicy(prefix))),
    ] {
        assert_eq!(request(line), meant, "{line}");
    }
    for (line, said) in [
        ("route policy", "list"),
        ("route policy add 10.2.0.0/16", "keep|move"),
        ("route policy add 10.2.0.0/16 stay", "it is keep or move"),
        ("route policy add everything keep", "neither an address nor a prefix"),
        ("route policy del", "PREFIX"),
        ("route policy lits", "unrecognized subcommand 'lits'"),
    ] {
        let error = usage_error(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn the_journal_is_shown_in_part_or_whole() {
    let changes_max = |line: &str| match request(line) {
        Request::Ask(Question::Journal(query)) => query.changes_max,
        other => panic!("{line} is {other:?}"),
    };
    assert_eq!(changes_max("show journal"), Some(32));
    assert_eq!(changes_max("sh j 5"), Some(5));
    assert_eq!(changes_max("show journal all"), None);
    assert!(usage_error("show journal some").contains("it is a number, or `all`"));
}

#[test]
fn filters_read_as_conntrack_reads_them() {
    let filter = flows(
        "show flows -f ipv4 -p tcp -s 10.0.1.0/24 -d 10.0.2.2 -r 10.0.2.2 -q 192.0.2.1 --sport 1 --dport 2 \
         --reply-port-src 3 --reply-port-dst 4 --state established -u assured,seen_reply -m 0x10/0xff -w 5 \
         --id 6",
    );
    let expected = FlowFilter {
        id: Some(6),
        family: Some(Family::Ipv4),
        protocol_number: Some(6),
        source: Some("10.0.1.0/24".parse().unwrap()),
        destination: Some("10.0.2.2/32".parse().unwrap()),
        reply_source: Some("10.0.2.2/32".parse().unwrap()),
        reply_destination: Some("192.0.2.1/32".parse().unwrap()),
        source_port: Some(1),
        destination_port: Some(2),
        reply_source_port: Some(3),
        reply_destination_port: Some(4),
        icmp_type: None,
        icmp_code: None,
        icmp_id: None,
        state: Some("ESTABLISHED".into()),
        status: vec![FlowStatusFilter::Assured, FlowStatusFilter::SeenReply],
        mark: Some(MaskedMark { value: 0x10, mask: 0xff }),
        zone: Some(5),
    };
    assert_eq!(filter, expected);
    let long = flows("show flows --orig-src fd00::/16 --orig-port-dst 53 --proto icmpv6 --mark 7");
    assert_eq!(long.source, Some("fd00::/16".parse().unwrap()));
    assert_eq!((long.destination_port, long.protocol_number), (Some(53), Some(58)));
    assert_eq!(long.mark, Some(MaskedMark { value: 7, mask: u32::MAX }));
    let icmp = flows("show flows -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 9");
    assert_eq!((icmp.icmp_type, icmp.icmp_code, icmp.icmp_id), (Some(8), Some(0), Some(9)));
}

#[test]
fn filters_that_cannot_be_meant_are_usage_errors() {
    for (line, said) in [
        ("show flows -p tpc", "a name such as tcp"),
        ("show flows -s 10.0.0.0/33", "neither an address nor a prefix"),
        ("show flows -s 10.0.0.1 -d fd00::1", "different families"),
        ("show flows -f ipv6 -s 10.0.0.1", "different families"),
        ("show flows -m 1/x", "is not a mark"),
        ("show flows --dport 65536", "65536"),
        ("show flows -u asured", "ASSURED"),
    ] {
        let error = usage_error(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn routes_are_selected_by_family_table_and_prefix() {
    let filter = |line: &str| match request(line) {
        Request::Ask(Question::Routes(filter)) => filter,
        other => panic!("{line} is {other:?}"),
    };
    assert_eq!(filter("show routes").table, TableFilter::NotLocal);
    assert_eq!(filter("show routes table all").table, TableFilter::All);
    assert_eq!(filter("show routes t 254").table, TableFilter::Named("main".into()));
    assert_eq!(filter("show routes table 100").table, TableFilter::Named("100".into()));
    let both = filter("show routes -6 fd00::/8 table local");
    assert_eq!((both.family, both.within), (Some(Family::Ipv6), Some("fd00::/8".parse().unwrap())));
    assert!(usage_error("show routes table").contains("needs a name"));
    usage_error("show routes -4 -6");
    usage_error("show routes 10.0.0.0/8/8");
}

#[test]
fn route_get_reads_as_ip_reads_it() {
    let query = |line: &str| match request(line) {
        Request::Ask(Question::RouteGet(query)) => query,
        other => panic!("{line} is {other:?}"),
    };
    let plain = query("route get 10.0.0.1");
    assert_eq!((plain.destination, plain.mark), ("10.0.0.1".parse().unwrap(), 0));
    let full = query("ro g to fd00::1 from fd00::2 iif r0 mark 0x10");
    assert_eq!(full.source, Some("fd00::2".parse().unwrap()));
    assert_eq!((full.input_port.as_deref(), full.mark), (Some("r0"), 16));
    for (line, said) in [
        ("route get", "DEST"),
        ("route get ten", "\"ten\" is not an address"),
        ("route get 10.0.0.1 from", "`from` needs a value"),
        ("route get 10.0.0.1 oif r0", "none of from, iif, mark"),
        ("route get 10.0.0.1 from fd00::1", "different families"),
        ("route get 10.0.0.1 mark 1/2", "without a mask"),
    ] {
        let error = usage_error(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn rules_are_listed_whole_or_by_table() {
    let filter = |line: &str| match request(line) {
        Request::Ask(Question::Rules(filter)) => filter,
        other => panic!("{line} is {other:?}"),
    };
    assert_eq!(filter("show rules"), RulesFilter::default());
    assert!(filter("show rules -a").handles && filter("show rules -s").stateless);
    assert!(filter("-j show rules").json);
    assert_eq!(filter("show rules table t").table.as_deref(), Some("t"));
    let both = filter("show rules table inet t");
    assert_eq!((both.family.as_deref(), both.table.as_deref()), (Some("inet"), Some("t")));
    assert!(usage_error("show rules table ipx t").contains("none of ip, ip6"));
    assert!(usage_error("show rules chain").contains("say `table"));
}

#[test]
fn files_of_rules_are_read_where_the_command_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.nft");
    std::fs::write(&path, "flush ruleset\n").unwrap();
    let mut load = invocation(&format!("rules load {}", path.display())).unwrap();
    load.read_file().unwrap();
    let Task::Send(Request::Do(Action::LoadRules(file))) = load.task else { panic!("{:?}", load.task) };
    assert_eq!((file.text.as_str(), file.name.as_str()), ("flush ruleset\n", path.to_str().unwrap()));
    assert!(Path::new(&file.directory).is_absolute());

    std::fs::write(&path, [0xff]).unwrap();
    let mut check = invocation(&format!("rules check {}", path.display())).unwrap();
    assert!(check.read_file().unwrap_err().to_string().contains("rules.nft: invalid utf-8"));
    std::fs::write(&path, vec![b' '; RULES_BYTES_MAX + 1]).unwrap();
    assert!(check.read_file().unwrap_err().to_string().contains("larger than 16777216 bytes"));
    assert!(usage_error("rules load").contains("FILE"));
}

#[test]
fn topics_default_to_all() {
    let topics = |line: &str| match request(line) {
        Request::Monitor(topics) => topics,
        other => panic!("{line} is {other:?}"),
    };
    assert_eq!(topics("monitor"), Topics::ALL);
    assert_eq!(topics("mon fl"), Topic::Flows.into());
    assert_eq!(topics("mon r neigh"), Topics { neighbors: true, ..Topic::Routes.into() });
    assert_eq!(topics("mon flow-cache"), Topic::FlowCache.into());
    assert_eq!(topics("mon flow-cache all"), Topics::ALL);
    assert_eq!(topics("monitor log"), Topic::Log.into());
    assert_eq!(topics("monitor expect"), Topic::Expectations.into());
    assert!(usage_error("monitor weather").contains("none of flows"));
}

#[test]
fn general_options_stand_anywhere() {
    let invocation = invocation("show flows -j -p tcp -n lab --control /run/r.sock").unwrap();
    assert!(invocation.json);
    assert_eq!(invocation.namespace.as_deref(), Some("lab"));
    assert_eq!(invocation.control, Address::Path("/run/r.sock".into()));
    assert_eq!(self::invocation("status").unwrap().control, Address::default());
    usage_error("status --control @");
}
