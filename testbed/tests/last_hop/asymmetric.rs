//! Two firewalls between a client and the router: the client comes by one, the router's route leads by the other.

use std::fmt::Write as _;

use testbed::lab::{self, Lab, Plan, Role, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::steady::{Download, Ends};

/// ```text
/// c .2 ── 10.0.20.0/24 ──┬─ f1 .11 ─┬── 10.0.2.0/24 ── r1 │ r1 │ r0 ── 10.0.1.0/24 ── .2 s
///                        └─ f2 .12 ─┘
/// ```
///
/// IPv6 likewise in `fd00:N::/64`. The client reaches the server by `f1`; the router's way back is by `f2`.
fn between_firewalls() -> Plan {
    let plan = ["c", "s"].into_iter().fold(Plan::new(), |plan, name| plan.station(name, Role::Host));
    let plan = plan
        .station("r1", Role::Router)
        .station("sw", Role::Wire)
        .link("c:eth0 10.0.20.2/24 fd00:20::2/64", "sw:c-s20")
        .link("r1:r1 10.0.2.1/24 fd00:2::1/64", "sw:r1-s2")
        .link("r1:r0 10.0.1.1/24 fd00:1::1/64", "s:eth0 10.0.1.2/24 fd00:1::2/64");
    let mut ends = vec![(20, "c-s20".to_owned()), (2, "r1-s2".to_owned())];
    let mut plan = plan;
    for (name, host) in [("f1", 11), ("f2", 12)] {
        plan = plan.station(name, Role::Router).sysctl(name, "ipv4/ip_forward", "1").sysctl(
            name,
            "ipv6/conf/all/forwarding",
            "1",
        );
        for segment in [2, 20] {
            plan = plan.link(
                &format!("{name}:s{segment} 10.0.{segment}.{host}/24 fd00:{segment}::{host}/64"),
                &format!("sw:{name}-s{segment}"),
            );
            ends.push((segment, format!("{name}-s{segment}")));
        }
        plan = plan
            .ip(name, "route add 10.0.1.0/24 via 10.0.2.1")
            .ip(name, "route add fd00:1::/64 via fd00:2::1");
    }
    let mut bridges = String::new();
    for segment in [2, 20] {
        let _ = write!(bridges, "link add s{segment} type bridge mcast_snooping 0\nlink set s{segment} up\n");
    }
    for (segment, end) in ends {
        let _ = writeln!(bridges, "link set {end} master s{segment}");
    }
    let plan = bridges.lines().fold(plan, |plan, line| plan.ip("sw", line));
    plan.ip("c", "route add 10.0.1.0/24 via 10.0.20.11")
        .ip("c", "route add fd00:1::/64 via fd00:20::11")
        .ip("r1", "route add 10.0.20.0/24 via 10.0.2.12")
        .ip("r1", "route add fd00:20::/64 via fd00:2::12")
        .ip("s", "route add default via 10.0.1.1")
        .ip("s", "route add default via fd00:1::1")
}

/// Lets through what it has seen begin on its far side, and answers to that.
const FIREWALL: &str = "
table inet firewall {
    chain forward {
        type filter hook forward priority filter; policy drop
        ct state established,related accept
        iifname s20 ct state new accept
        counter
    }
}
";

/// The client's and the server's addresses, either family.
const FAMILIES: [[&str; 2]; 2] = [["10.0.20.2", "10.0.1.2"], ["fd00:20::2", "fd00:1::2"]];

fn download(lab: &Lab, [client, server]: [&str; 2]) -> anyhow::Result<Download> {
    Download::start(&Ends {
        server: lab.at("s"),
        at: server.parse().unwrap(),
        client: lab.at("c"),
        from: client.parse().unwrap(),
    })
}

fn firewalled() -> Option<Lab> {
    if !lab::labs_can_run() {
        return None;
    }
    let lab = Lab::build(&between_firewalls()).unwrap();
    for name in ["f1", "f2"] {
        lab.at(name).nft(FIREWALL).unwrap();
    }
    Some(lab)
}

fn start<'lab>(lab: &'lab Lab, config: &str) -> Running<'lab> {
    Router::routerd(&[]).unwrap().configured(config).start(lab, "r1", &["r0", "r1"]).unwrap()
}

fn counter(routerd: &Running<'_>, name: &str) -> u64 {
    routerd.ask("show counters").unwrap()[name].as_u64().unwrap()
}

#[test]
fn by_its_route_a_reply_dies_at_a_firewall_that_has_not_seen_the_request() {
    let Some(lab) = firewalled() else { return };
    let routerd = start(&lab, "");
    for family in FAMILIES {
        assert!(download(&lab, family).is_err(), "{family:?}");
    }
    let rules = lab.run("f2", "nft list ruleset", SECONDS_5).unwrap().ok().unwrap();
    assert!(!rules.contains("counter packets 0 "), "f2 has dropped the answers: {rules}");
    routerd.stop().unwrap();
}

#[test]
fn by_its_last_hop_it_passes_the_firewall_that_has() {
    let Some(lab) = firewalled() else { return };
    let routerd = start(&lab, "[last-hop]\nports = [\"r1\"]\n");
    let downloads = FAMILIES.map(|family| download(&lab, family).unwrap());
    for download in &downloads {
        download.goes_on(100_000).unwrap();
        let flows = routerd.ask(&format!("show flows -p tcp --sport {}", download.client_port())).unwrap();
        assert_eq!(flows[0]["reply"]["route"]["source"], "last-hop", "{flows}");
    }
    let hops = routerd.ask("show last-hops").unwrap();
    assert_eq!(hops.as_array().map(Vec::len), Some(1), "{hops}");
    assert_eq!((&hops[0]["flows"], &hops[0]["alive"]), (&2.into(), &true.into()), "{hops}");
    for download in downloads {
        download.finish().unwrap();
    }
    let rules = lab.run("f2", "nft list ruleset", SECONDS_5).unwrap().ok().unwrap();
    assert!(rules.contains("counter packets 0 "), "nothing has come to f2: {rules}");
    routerd.stop().unwrap();
}

#[test]
fn rules_choose_by_marks_and_a_reload_switches() {
    let Some(lab) = firewalled() else { return };
    let config = "[last-hop]\noriginal-mark = \"0x2/0x2\"\nreply-mark = \"0x1/0x1\"\n";
    let routerd = start(&lab, config);
    let rules = "
        table inet lasthop {
            chain choose {
                type filter hook prerouting priority mangle
                iifname r1 ct direction original meta mark set meta mark or 0x2
                iifname r0 ct direction reply meta mark set meta mark or 0x1
            }
        }";
    assert!(download(&lab, FAMILIES[0]).is_err(), "nobody gives marks yet");
    assert_eq!(counter(&routerd, "last_hop_learned"), 0);
    routerd.load_rules(rules).unwrap();
    let stream = download(&lab, FAMILIES[0]).unwrap();
    stream.goes_on(100_000).unwrap();
    let replies = counter(&routerd, "last_hop_replies");
    assert!(replies > 50, "{replies}");
    stream.finish().unwrap();
    routerd.stop().unwrap();
}

/// The gateway is pulled out of its socket, and the router hears of nothing: the reply is routed, and told of.
#[test]
fn a_gateway_that_is_gone_is_told_of_and_its_flows_are_routed() {
    if !lab::labs_can_run() {
        return;
    }
    // Without firewalls, so that the other one takes over in the middle of a stream.
    let lab = Lab::build(&between_firewalls()).unwrap();
    let routerd = start(&lab, "[last-hop]\nports = [\"r1\"]\nidle_s = 3\n");
    let stream = download(&lab, FAMILIES[0]).unwrap();
    stream.goes_on(100_000).unwrap();
    assert!(counter(&routerd, "last_hop_replies") > 50);
    for line in ["link set f1-s2 down", "link set f1-s20 down"] {
        lab.at("sw").ip(line).unwrap();
    }
    // The client's acknowledgements find another way.
    lab.at("c").ip("route replace 10.0.1.0/24 via 10.0.20.12").unwrap();
    stream.goes_on(100_000).unwrap();
    let hops = wait_until("the stream's last hop to be the other gateway", SECONDS_5, || {
        let hops = routerd.ask("show last-hops").ok()?;
        let living = hops.as_array()?.iter().find(|hop| hop["flows"] == 1)?.clone();
        (living["alive"] == true).then_some(living)
    });
    hops.unwrap();
    stream.finish().unwrap();
    routerd.stop().unwrap();
}
