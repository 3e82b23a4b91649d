//! Tests of the configuration: what is taken, and what is said about what is not.

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use fib::change::{ReversePath, RoutePolicy};
use ipnet::IpNet;
use proptest::prelude::*;

use super::file::{Buffers, File};
use super::*;
use crate::engine::{FlowCache, Kind, Modes};

const ON: Modes = Modes::all(FlowCache::On);
const OFF: Modes = Modes::all(FlowCache::Off);

fn arguments(line: &str) -> Arguments {
    Arguments::try_parse_from(std::iter::once("routerd").chain(line.split_whitespace())).unwrap()
}

/// The file's text, with no argument beside it.
fn parse(text: &str) -> Result<ValidConfig, String> {
    parse_with(text, "")
}

fn parse_with(text: &str, line: &str) -> Result<ValidConfig, String> {
    ValidConfig::parse(text, Path::new("routerd.toml"), &arguments(line)).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(text: &str, beginning: &str, mentions: &[&str]) {
    let error = parse(text).expect_err("this must be refused");
    assert!(error.starts_with(beginning), "{error:?} does not begin with {beginning:?}");
    for part in mentions {
        assert!(error.contains(part), "{error:?} does not mention {part:?}");
    }
    assert!(!error.contains('\n'), "{error:?} is more than a line");
}

/// The example of the documentation.
fn example() -> &'static str {
    let page = include_str!("../../../docs/config.md");
    let (_, rest) = page.split_once("```toml\n").expect("the page has an example");
    rest.split_once("```").expect("the example ends").0
}

#[test]
fn the_documented_example_is_taken_and_names_every_key() {
    let file: File = toml::from_str(example()).unwrap();
    // Taken apart by name, so that a new key does not compile until it stands in the example.
    let File {
        ports,
        host,
        workers,
        control,
        flow_cache,
        handover,
        log,
        rules,
        sysctl,
        port,
        bridge: _,
        last_hop: _,
        conntrack,
        buffers,
        offload,
        queue,
        flow_cache_section,
    } = file;
    assert_eq!(ports.len(), 3);
    assert!(
        host.is_some()
            && workers.is_some()
            && control.is_some()
            && flow_cache.is_some()
            && handover.is_some()
            && log.is_some()
            && rules.is_some()
    );
    let settings =
        format!("{sysctl:?}{port:?}{conntrack:?}{buffers:?}{offload:?}{queue:?}{flow_cache_section:?}");
    assert!(!settings.contains("None"), "a key is missing in the example: {settings}");
    let Buffers { .. } = buffers;
    parse(example()).unwrap();
}

/// The example of a router that is its own host.
fn own_example() -> &'static str {
    let page = include_str!("../../../docs/host.md");
    let (_, rest) = page.split_once("```toml\n").expect("the page has an example");
    rest.split_once("```").expect("the example ends").0
}

#[test]
fn the_documented_example_of_an_own_host_is_taken_and_names_every_key() {
    let file: File = toml::from_str(own_example()).unwrap();
    let Some(super::host::Value::Section(section)) = file.host.map(toml::Spanned::into_inner) else {
        panic!("it has a section [host]");
    };
    let said = format!("{section:?}");
    assert!(!said.contains("None") && !said.contains("[]"), "a key is missing in the example: {said}");
    let config = parse(own_example()).unwrap();
    assert_eq!(config.host, HostKind::Tun("rtr0".to_owned()));
    let own = config.own;
    let plain = parse("ports = [\"r0\"]\nhost = \"none\"").unwrap().own;
    assert_eq!((&own.discovery, own.follow_kernel_routes), (&plain.discovery, plain.follow_kernel_routes));
    assert_eq!((own.wanted.addresses().len(), own.wanted.routes().count()), (3, 3));
    let preferences: Vec<_> = own.wanted.rules().iter().map(|rule| (rule.ipv6, rule.priority)).collect();
    assert_eq!(preferences, [(false, 1000), (true, 32_765)]);
    assert_eq!((own.neighbors.len(), own.proxy.len(), own.advertise.len()), (1, 1, 1));
    let advertised = own.advertise.values().next().unwrap();
    let usual = crate::host::neighborhood::Advertising::default();
    assert_eq!(
        (advertised.interval_min, advertised.lifetime, advertised.dns_lifetime),
        (usual.interval_min, usual.lifetime, usual.dns_lifetime)
    );
}

#[test]
fn what_is_wrong_with_an_own_host_is_told_with_its_place() {
    let head = "ports = [\"a\", \"b\"]\n[host]\nkind = \"none\"\n";
    let addresses = "addresses = [\"10.0.0.1/24 dev a\", \"10.0.1.1/24 dev b\"]\n";
    for (body, place, part) in [
        ("addresses = [\"10.0.0.1/24 dev c\"]", "4:14", "no port named c"),
        ("addresses = [\"10.0.0.1/24\"]", "4:14", "dev"),
        ("addresses = [\"10.0.0.1/24 dev a\",\n \"10.0.0.1/24 dev a\"]", "5:2", "is an address of a already"),
        ("addresses = [\"127.0.0.1/8 dev a\"]", "4:14", "every host's own"),
        (
            "routes = [\"default via 10.0.9.9\"]",
            "4:11",
            "gateway 10.0.9.9 is on no subnet of this router (onlink?)",
        ),
        ("routes = [\"default dev a\", \"default dev b\"]", "4:28", "already"),
        ("routes = [\"10.0.0.0/33 dev a\"]", "4:11", "10.0.0.0/33"),
        ("routes-file = \"/nonsuch/routes\"", "4:15", "/nonsuch/routes: "),
        ("rules = [\"form all lookup 5\"]", "4:10", "`form`"),
        ("neighbors = [\"10.0.0.2 dev a\"]", "4:14", "lladdr"),
        ("follow-kernel-routes = true", "4:24", "host \"tun\""),
        ("follow-kernel-routes = 1", "4:24", "boolean"),
        ("adresses = []", "4:1", "adresses"),
        ("[[host.proxy]]\nport = \"c\"", "5:8", "no port named c"),
        ("[[host.advertise]]\nport = \"a\"\ninterval-max-s = 3", "5:8", "4 to 1800"),
        ("[host.discovery]\nreachable-s = 0", "5:15", "1 to"),
    ] {
        assert_refused(&format!("{head}{body}"), &format!("routerd.toml:{place}: "), &[part]);
    }
    let of_kernel = format!("ports = [\"a\", \"b\"]\n[host]\n{addresses}");
    assert_refused(&of_kernel, "routerd.toml:3:14: ", &["kernel's", "tun"]);
    assert!(parse_with(&of_kernel, "--host none").is_ok());
    assert_refused("ports = [\"a\"]\n[host]\nkind = \"tap\"", "routerd.toml:3:8: ", &["no host"]);
}

#[test]
fn routes_stand_in_a_file_of_their_own_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("routes");
    let text = format!(
        "ports = [\"a\"]\n[host]\nkind = \"none\"\naddresses = [\"10.0.0.1/24 dev a\"]\nroutes-file = {:?}",
        path.display().to_string()
    );
    std::fs::write(&path, "# two\ndefault via 10.0.0.2 # out\n\n10.9.0.0/16 dev a\n").unwrap();
    assert_eq!(parse(&text).unwrap().own.wanted.routes().count(), 2);
    std::fs::write(&path, "default via 10.0.0.2\n10.9.0.0/16 via 10.7.0.1\n").unwrap();
    assert_refused(&text, "routerd.toml:5:15: ", &["routes:2: gateway 10.7.0.1"]);
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let written = parse(example()).unwrap();
    let plain = parse("ports = [\"eth0\"]").unwrap();
    assert_eq!(written.workers, plain.workers);
    assert_eq!(written.control, plain.control);
    assert_eq!(written.flow_cache, plain.flow_cache);
    assert_eq!(written.handover, plain.handover);
    assert_eq!(written.log, plain.log);
    assert_eq!(format!("{:?}", written.conntrack), format!("{:?}", plain.conntrack));
    assert_eq!(written.buffers, plain.buffers);
    assert_eq!(written.offload, plain.offload);
    assert_eq!(written.queue, plain.queue);
}

#[test]
fn an_argument_beats_the_file() {
    let text = "ports = [\"eth0\"]\nworkers = 2\nflow_cache = \"on\"\nlog = \"warn\"\ncontrol = \"@one\"";
    let line = "--ports eth1,tun:vpn0 --workers 4 --flow-cache off --log debug --control /run/two --check";
    let config = parse_with(text, line).unwrap();
    assert_eq!(config.ports, [PortSpec::Device("eth1".to_owned()), PortSpec::Tun("vpn0".to_owned())]);
    assert_eq!((config.workers, config.flow_cache.modes, config.log.as_str()), (4, OFF, "debug"));
    assert_eq!(config.control.to_string(), "/run/two");
    assert!(config.check);
    let config = parse(text).unwrap();
    assert_eq!((config.workers, config.flow_cache.modes, config.log.as_str()), (2, ON, "warn"));
}

#[test]
fn overrides_reach_the_settings() {
    let text = "ports = [\"nonsuch0\"]\n[sysctl]\nicmp_ratelimit_ms = 5\n[port.nonsuch0]\nrp_filter = \"loose\"\n\
                bc_forwarding = true\n[conntrack]\nudp_timeout_stream_s = 7\ntcp_max_retrans = 0";
    let config = parse(text).unwrap();
    assert_eq!(config.sysctl.namespace([]).icmp_ratelimit_ms, 5);
    let settings = config.sysctl.link("nonsuch0");
    assert_eq!((settings.rp_filter, settings.bc_forwarding), (ReversePath::Loose, true));
    let trackers = config.conntrack.trackers;
    assert_eq!(trackers.udp.stream, Duration::from_secs(7));
    assert_eq!(trackers.udplite.stream, Duration::from_secs(7));
    assert_eq!(trackers.udp.unreplied, Duration::from_secs(30));
    assert_eq!(trackers.tcp.max_retrans, 0);
    let config = parse("ports = [\"nonsuch0\"]\n[offload]\ncard = true\nflows_max = 7").unwrap();
    assert_eq!(config.offload, OffloadConfig { card: true, flows_max: 7 });
}

#[test]
fn what_is_remembered_is_said_at_once_or_kind_by_kind() {
    let modes = |text: &str, line: &str| {
        parse_with(&format!("ports = [\"a\"]\n{text}"), line).unwrap().flow_cache.modes
    };
    let some = "[flow-cache]\nroute = \"hold\"\nverdict = \"off\"";
    let expected = ON.with(Kind::Route, FlowCache::Hold).with(Kind::Verdict, FlowCache::Off);
    assert_eq!(modes("", ""), ON);
    assert_eq!(modes(some, ""), expected);
    assert_eq!(modes(some, "--flow-cache off"), OFF);
    assert_eq!(modes(some, "--flow-cache on"), ON);
    let others = "flow_cache = \"off\"\n[flow-cache]\nnegative = \"on\"\nuntracked = \"hold\"";
    let expected = OFF.with(Kind::Negative, FlowCache::On).with(Kind::Untracked, FlowCache::Hold);
    assert_eq!(modes(others, ""), expected);
}

#[test]
fn policies_are_whole_prefixes_each_named_once() {
    let text =
        "ports = [\"a\"]\n[flow-cache]\nkeep = [\"10.1.2.3/8\", \"fd00::/8\"]\nmove = [\"10.1.0.0/16\"]";
    let prefix = |text: &str| text.parse::<IpNet>().unwrap();
    assert_eq!(
        parse(text).unwrap().flow_cache.policies,
        [
            (prefix("10.0.0.0/8"), RoutePolicy::Keep),
            (prefix("10.1.0.0/16"), RoutePolicy::Move),
            (prefix("fd00::/8"), RoutePolicy::Keep)
        ]
    );
    let both = "ports = [\"a\"]\n[flow-cache]\nkeep = [\"10.0.0.0/8\"]\nmove = [\"10.9.0.0/8\"]";
    assert_refused(both, "routerd.toml:4:9: ", &["10.0.0.0/8 is named twice"]);
}

/// Each timeout given a value of its own stands with its tracker, under its own name.
#[test]
fn every_timeout_reaches_the_tracker_and_the_state_it_names() {
    let keys: Vec<&str> = example()
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, _)| key)
        .filter(|key| key.contains("_timeout") && key.ends_with("_s"))
        .collect();
    let given: String = keys.iter().zip(101..).map(|(key, seconds)| format!("{key} = {seconds}\n")).collect();
    let config = parse(&format!("ports = [\"a\"]\n[conntrack]\n{given}")).unwrap();
    let rows = conntrack::Registry::builder_with(&config.conntrack.trackers).build().rows();
    let mut reached = 0;
    for (key, seconds) in keys.iter().zip(101..) {
        let (protocol, name) = key.trim_end_matches("_s").split_once("_timeout").unwrap();
        let name = match (protocol, name.trim_start_matches('_')) {
            ("icmp" | "icmpv6" | "generic", "") => "timeout",
            (_, "") => "unreplied",
            (_, name) => name,
        };
        for row in rows.iter().filter(|row| row.name == protocol) {
            let timeout = row.timeouts.iter().find(|timeout| timeout.name == name).expect(key);
            assert_eq!(timeout.duration, Duration::from_secs(seconds), "{key}");
            reached += 1;
        }
    }
    assert_eq!(reached, 2 * keys.len() - 1, "each over both families, and the generic one");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases: [(&str, &str, &[&str]); 18] = [
        ("ports = [\"a\"]\nprots = 1", "routerd.toml:2:1: ", &["prots", "expected"]),
        ("ports = [\"a\"]\nworkers = 0", "routerd.toml:2:11: ", &["0 is out of range", "1 to 16"]),
        ("ports = [\"a\"]\nworkers = -1", "routerd.toml:2:11: ", &["-1 is out of range"]),
        ("ports = [\"a\"]\nworkers = \"two\"", "routerd.toml:2:11: ", &["string", "expected"]),
        ("ports = [\"a\",\n  \"b\", \"a\"]", "routerd.toml:2:8: ", &["port a is named twice"]),
        ("ports = [\"a\", \"tun:a\"]", "routerd.toml:1:15: ", &["named twice"]),
        ("ports = [\"a\", \"lo\"]", "routerd.toml:1:15: ", &["loopback"]),
        ("ports = [\"sixteencharacter\"]", "routerd.toml:1:10: ", &["too long", "15"]),
        ("ports = [\"a b\"]", "routerd.toml:1:10: ", &["no device's name"]),
        ("ports = [\"a\"]\nhost = \"tap\"", "routerd.toml:2:8: ", &["no host", "tun:NAME"]),
        ("ports = [\"a\"]\n[port.b]\n", "routerd.toml:2:", &["port.b", "does not have"]),
        ("ports = [\"a\"]\n[port.a]\nrp_filter = \"yes\"", "routerd.toml:3:13: ", &["strict"]),
        ("ports = [\"a\"]\n[sysctl]\ndefault_ttl = 0", "routerd.toml:3:15: ", &["1 to 255"]),
        ("ports = [\"a\"]\n[conntrack]\nicmp_timeout_s = 0", "routerd.toml:3:18: ", &["out of range"]),
        ("ports = [\"a\"]\n[flow-cache]\nverdict = \"hold\"", "routerd.toml:3:11: ", &["hold", "on"]),
        ("ports = [\"a\"]\n[flow-cache]\nroutes = \"on\"", "routerd.toml:3:1: ", &["routes", "verdict"]),
        ("ports = [\"a\"]\n[flow-cache]\nkeep = [\"ten\"]", "routerd.toml:3:9: ", &["invalid"]),
        ("ports = [\"ä\", \"b\"", "routerd.toml:1:", &["expected"]),
    ];
    for (text, beginning, mentions) in cases {
        assert_refused(text, beginning, mentions);
    }
}

#[test]
fn columns_count_characters() {
    assert_refused("ports = [\"äöü\", \"lo\"]", "routerd.toml:1:17: ", &["loopback"]);
}

#[test]
fn without_ports_an_example_is_given() {
    assert_refused("", "no ports", &["--ports eth0,eth1"]);
    assert_refused("ports = []", "no ports", &[]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = ValidConfig::load(&arguments("--ports a --config /nonsuch/routerd.toml")).unwrap_err();
    assert!(error.to_string().starts_with("/nonsuch/routerd.toml: "), "{error}");
}

#[test]
fn wrong_arguments_are_refused_where_they_stand() {
    let cases: [(&str, &[&str]); 6] = [
        ("--host nowhere --ports a", &["--host", "no host"]),
        ("--ports a,", &["--ports", "without a name"]),
        ("--workers 17 --ports a", &["--workers", "1..=16"]),
        ("--flow-cache hold --ports a", &["--flow-cache", "on"]),
        ("--control @ --ports a", &["--control"]),
        ("--log a=b=c --ports a", &["--log"]),
    ];
    for (line, mentions) in cases {
        let words = std::iter::once("routerd").chain(line.split_whitespace());
        let error = Arguments::try_parse_from(words).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        for part in mentions {
            assert!(error.to_string().contains(part), "{line}: {error}");
        }
    }
}

#[test]
fn arguments_that_do_not_fit_together_are_refused() {
    for (line, part) in [
        ("--ports a,b,a", "port a is named twice"),
        ("--ports a,lo", "--ports: lo is the loopback device"),
        ("--ports tun:lo", "--ports: lo is the loopback device"),
        ("--ports a,x --host tun:x", "both a port and the device of the host"),
        ("", "no ports"),
    ] {
        let error = ValidConfig::load(&arguments(line)).unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
    let many: Vec<String> = (0..=PORTS_MAX).map(|number| format!("p{number}")).collect();
    let error = ValidConfig::load(&arguments(&format!("--ports {}", many.join(",")))).unwrap_err();
    assert!(error.to_string().contains("more than 256"), "{error}");
}

#[test]
fn what_needs_a_restart_is_told_apart_from_what_does_not() {
    let running = parse("ports = [\"a\"]\nlog = \"info\"").unwrap();
    let same = parse("ports = [\"a\"]\nlog = \"debug\"\n[port.a]\nrp_filter = \"loose\"").unwrap();
    assert_eq!(running.needs_restart(&same), None);
    let cases = [
        ("ports = [\"b\"]", "ports"),
        ("ports = [\"a\"]\nhost = \"none\"", "host"),
        ("ports = [\"a\"]\nworkers = 2", "workers"),
        ("ports = [\"a\"]\ncontrol = \"@other\"", "control"),
        ("ports = [\"a\"]\n[conntrack]\nflows_max = 5", "conntrack"),
        ("ports = [\"a\"]\n[buffers]\nframes_max = 300", "buffers"),
    ];
    for (text, what) in cases {
        assert_eq!(running.needs_restart(&parse(text).unwrap()), Some(what), "{text}");
    }
}

#[test]
fn port_names_are_what_the_kernel_takes_and_nft_cannot_misread() {
    for name in ["eth0", "a.5", "x-y_z@1", "fifteencharacte", "tun:t0"] {
        assert_eq!(name.parse::<PortSpec>().unwrap().to_string(), name);
    }
    for name in ["", "tun:", ".", "..", "a/b", "a:b", "a\"b", "a*", "a\\", "a'b", "a\tb"] {
        assert!(name.parse::<PortSpec>().is_err(), "{name:?}");
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "[a-z0-9=\\[\\]\"., \n#_{}ä-]{0,120}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_damaged_example_makes_it_answer_in_one_line(at in any::<prop::sample::Index>(), put in any::<char>()) {
        let mut characters: Vec<char> = example().chars().collect();
        let at = at.index(characters.len());
        characters[at] = put;
        let text: String = characters.into_iter().collect();
        if let Err(error) = parse(&text) {
            prop_assert!(!error.contains('\n'), "{}", error);
        }
    }
}

#[test]
fn the_examples_about_last_hops_are_taken() {
    let page = include_str!("../../../docs/last-hop.md");
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let config = parse(&format!("ports = [\"eth0\", \"eth1\"]\n{example}")).unwrap();
        assert!(config.last_hop.is_on());
    }
}

#[test]
fn last_hops_need_flows_and_ports_that_are_there() {
    let text = "ports = [\"r0\"]\n[last-hop]\neverywhere = \"on\"\n";
    assert!(parse(text).unwrap().last_hop.everywhere);
    assert_refused(
        &format!("{text}[conntrack]\nenabled = false\n"),
        "routerd.toml:2:1: ",
        &["remembered by flows", "enabled = false"],
    );
    assert_refused(
        "ports = [\"r0\"]\n[last-hop]\nports = [\"r1\"]\n",
        "routerd.toml:3:10: ",
        &["r1 is no port"],
    );
}
