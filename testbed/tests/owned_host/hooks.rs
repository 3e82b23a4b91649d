//! All five hooks on packets of the router's own programs: what is counted where, translated, tracked, sent elsewhere.

use std::sync::Arc;

use testbed::lab;
use testbed::scenario::clients::ping;
use testbed::scenario::server::Server;
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

use crate::ground::is_like_the_kernel;

/// At each of the five hooks, which echo requests and replies pass and what tracking says of them.
fn counters() -> String {
    ["prerouting", "input", "forward", "output", "postrouting"].iter().fold(
        "flush ruleset\ntable inet counting {\n".to_owned(),
        |text, hook| {
            text + &format!(
                "chain {hook} {{ type filter hook {hook} priority filter;\n\
                 icmp type echo-request ct state new counter\n\
                 icmp type echo-request ct state established counter\n\
                 icmp type echo-reply ct state established counter\n\
                 icmpv6 type echo-request ct state new counter\n\
                 icmpv6 type echo-reply ct state established counter\n\
                 icmp type destination-unreachable ct state related counter\n\
                 icmpv6 type destination-unreachable ct state related counter\n\
                 udp dport 9 ct direction original counter\n}}\n"
            )
        },
    ) + "}\n"
}

#[test]
fn each_hook_sees_what_it_sees_in_the_kernel() {
    if !lab::labs_can_run() {
        return;
    }
    is_like_the_kernel("tun", three_subnets, &THREE_SUBNETS_PORTS, &counters(), |lab, _, seen| {
        for (from, to) in [
            ("h1", "10.0.1.1"),
            ("h1", "10.0.2.2"),
            ("r1", "10.0.2.2"),
            ("h1", "fd00:1::1"),
            ("h1", "fd00:2::2"),
            ("r1", "fd00:2::2"),
        ] {
            let line = format!("ping -n -c 3 -i 0.05 -W 2 {to}");
            let said = lab.run(from, &line, lab::SECONDS_5).unwrap();
            seen.note(&line, said.status.success());
        }
        // Datagrams that nobody wants, on either side.
        for (from, to) in [("h1", "10.0.1.1"), ("r1", "10.0.2.2"), ("h1", "fd00:1::1"), ("r1", "fd00:2::2")] {
            lab.at(from).run("bash", &["-c", &format!("echo x > /dev/udp/{to}/9 || true")]).unwrap();
        }
        seen.note("answers", ping(lab, "h1", "10.0.1.1", 1).unwrap());
    });
}

/// Translation at every place where there can be some.
const TRANSLATIONS: &str = r#"
flush ruleset
table inet nat {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        iifname "r0" tcp dport 80 counter redirect to :8080
        iifname "r0" ip daddr 10.0.1.1 tcp dport 82 counter dnat ip to 10.0.2.2:8080
        iifname "r0" ip6 daddr fd00:1::1 tcp dport 82 counter dnat ip6 to [fd00:2::2]:8080
    }
    chain input {
        type nat hook input priority 100;
        ip saddr 10.0.1.2 tcp dport 8082 counter snat ip to 10.0.1.99
    }
    chain output {
        type nat hook output priority -100;
        ip daddr 10.9.9.9 tcp dport 80 counter dnat ip to 10.0.2.2:8080
        ip6 daddr fd00:9::9 tcp dport 80 counter dnat ip6 to [fd00:2::2]:8080
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "r1" ip saddr { 10.0.1.1, 10.0.1.2 } counter masquerade
        oifname "r1" ip6 saddr { fd00:1::1, fd00:1::2 } counter masquerade
    }
}
table inet marks {
    chain output {
        type route hook output priority mangle;
        tcp dport 8083 meta mark set 7
    }
    chain postrouting {
        type filter hook postrouting priority filter;
        oifname "r1" tcp dport { 8080, 8083 } ct state new counter
        oifname "r3" tcp dport { 8080, 8083 } ct state new counter
    }
}
"#;

#[test]
fn translation_and_marks_act_on_local_packets_as_in_the_kernel() {
    if !lab::labs_can_run() {
        return;
    }
    let plan = || {
        three_subnets()
            .ip("r1", "rule add fwmark 7 lookup 100 priority 1000")
            .ip("r1", "-6 rule add fwmark 7 lookup 100 priority 1000")
            .ip("r1", "route add 10.9.9.9/32 via 10.0.4.2 table 100")
            .ip("r1", "route add fd00:9::9/128 via fd00:4::2 table 100")
    };
    is_like_the_kernel("tun", plan, &THREE_SUBNETS_PORTS, TRANSLATIONS, |lab, _, seen| {
        let _at_router = [8080, 8082].map(|port| Server::telling_ends(lab.at("r1"), port).unwrap());
        let _beyond = [8080, 8083].map(|port| Server::telling_ends(lab.at("h2"), port).unwrap());
        for address in [
            "10.0.1.1:80",
            "10.0.3.1:80",
            "10.0.77.1:80",
            "[fd00:1::1]:80",
            "10.0.1.1:82",
            "[fd00:1::1]:82",
            "10.0.1.1:8082",
        ] {
            seen.curl(lab, "h1", "", address);
        }
        seen.curl(lab, "h2", "", "10.0.2.1:80");
        for address in ["10.9.9.9:80", "[fd00:9::9]:80", "10.9.9.9:8083", "[fd00:9::9]:8083"] {
            seen.curl(lab, "r1", "", address);
        }
        seen.curl(lab, "r1", "--interface 10.0.1.1", "10.0.2.2:8080");
        seen.curl(lab, "r1", "--interface fd00:1::1", "[fd00:2::2]:8080");
    });
}

/// Rules that turn what programs of the router send to others back to its own server.
const TURNED_BACK: &str = r#"
flush ruleset
table inet nat {
    chain output {
        type nat hook output priority -100;
        tcp dport 81 counter redirect to :8080
        ip daddr 10.9.9.9 tcp dport 82 counter dnat ip to 10.0.1.1:8080
        ip6 daddr fd00:9::9 tcp dport 82 counter dnat ip6 to [fd00:1::1]:8080
    }
}
"#;

#[test]
fn what_rules_turn_back_to_the_router_reaches_its_programs_and_the_answers_come_back() {
    if !lab::labs_can_run() {
        return;
    }
    is_like_the_kernel("tun", three_subnets, &THREE_SUBNETS_PORTS, TURNED_BACK, |lab, _, seen| {
        let content = Arc::new(b"the router's own\n".to_vec());
        let _at_router = Server::start_at(lab.at("r1"), 8080, content).unwrap();
        for address in ["10.0.3.2:81", "[fd00:3::2]:81", "10.9.9.9:82", "[fd00:9::9]:82"] {
            seen.curl(lab, "r1", "", address);
        }
        seen.note("h3", ping(lab, "r1", "10.0.3.2", 1).unwrap());
    });
}
