//! Programs of the router itself, before the input and output chains of its rules: ssh, a web server, DNS, and what they
//! send of their own accord.

use std::sync::Arc;

use testbed::lab;
use testbed::scenario::clients::{Download, SECONDS_20, ping, traceroute};
use testbed::scenario::dns::Dns;
use testbed::scenario::server::{PORT, Server, content};
use testbed::scenario::ssh::Ssh;
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

use crate::ground::is_like_the_kernel;

/// The first subnet may use everything, the second is refused with a word, the third without.
const FIREWALL: &str = r#"
flush ruleset
table inet firewall {
    chain input {
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        ct state vmap { established : accept, related : accept, invalid : drop }
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        iifname "r0" tcp dport { 22, 53, 8080 } counter accept
        iifname "r0" udp dport 53 counter accept
        iifname { "r0", "r1" } meta l4proto { icmp, ipv6-icmp } accept
        iifname "r1" tcp dport 8080 counter reject with tcp reset
        iifname "r1" udp dport 53 counter reject
    }
    chain output {
        type filter hook output priority filter; policy accept;
        tcp dport 8081 counter reject with tcp reset
        oifname "r1" tcp dport 8080 ct state new counter accept
        oifname "r0" meta l4proto tcp ct state new counter drop
    }
}
"#;

#[test]
fn programs_behind_rules_are_reached_and_reach_out_as_with_the_kernel() {
    if !lab::labs_can_run() || !Ssh::can_run() || !Dns::can_run() {
        return;
    }
    is_like_the_kernel("tun", three_subnets, &THREE_SUBNETS_PORTS, FIREWALL, |lab, _, seen| {
        for (from, to) in [
            ("h1", "10.0.1.1"),
            ("h1", "fd00:1::1"),
            ("h1", "10.0.3.1"),
            ("h2", "10.0.2.1"),
            ("r1", "10.0.2.2"),
        ] {
            seen.note(&format!("answers {from} gets from {to}"), ping(lab, from, to, 5).unwrap());
            let large = ping(lab, from, &format!("-s 9000 {to}"), 3).unwrap();
            seen.note(&format!("answers in fragments {from} gets from {to}"), large);
        }
        seen.note("answers h3 gets", ping(lab, "h3", "10.0.3.1", 1).unwrap());

        let ssh = Ssh::start(lab, "r1", 5 << 20).unwrap();
        for (from, to) in [("h1", "10.0.1.1"), ("h1", "fd00:1::1"), ("h2", "10.0.2.1")] {
            let session = ssh.fetch(lab, from, to).unwrap().finish(SECONDS_20).unwrap();
            seen.note(&format!("ssh {from} to {to}"), ssh.has_fetched(&session).unwrap());
        }

        let pages = Arc::new(content(20 << 20));
        let web = Server::start(lab.at("r1"), Arc::clone(&pages)).unwrap();
        for address in ["10.0.1.1", "fd00:1::1"] {
            let fetched = Download::start(lab, "h1", address, "1G").unwrap().finish().unwrap();
            seen.note(&format!("download from {address}"), fetched == *pages);
        }
        for (from, address) in [("h2", "10.0.2.1:8080"), ("h2", "[fd00:2::1]:8080"), ("h3", "10.0.3.1:8080")]
        {
            seen.curl(lab, from, "", address);
        }
        drop(web);

        let dns = Dns::start(lab, "r1").unwrap();
        for (from, to) in [("h1", "10.0.1.1"), ("h1", "fd00:1::1"), ("h2", "10.0.2.1")] {
            for (kind, tcp) in [("A", false), ("AAAA", false), ("A", true)] {
                let heard = dns.ask(lab, from, to, kind, tcp).unwrap();
                seen.note(&format!("{from} asks {to} {kind} {tcp}"), heard);
            }
        }
        dns.stop().unwrap();

        let _outside = [PORT, 8081].map(|port| Server::telling_ends(lab.at("h2"), port).unwrap());
        let _other = Server::telling_ends(lab.at("h1"), PORT).unwrap();
        for address in
            ["10.0.2.2:8080", "[fd00:2::2]:8080", "10.9.9.9:8080", "10.0.2.2:8081", "10.0.1.2:8080"]
        {
            seen.curl(lab, "r1", "", address);
        }
        seen.curl(lab, "r1", "--interface 10.0.1.1", "10.0.2.2:8080");
        for (to, options) in [("10.9.9.9", ""), ("fd00:9::9", ""), ("10.0.2.2", "-I")] {
            seen.note(&format!("traceroute {options} {to}"), traceroute(lab, "r1", to, options).unwrap());
        }
        drop(_outside);
        let _large = Server::start(lab.at("h2"), Arc::clone(&pages)).unwrap();
        for address in ["10.0.2.2", "fd00:2::2"] {
            let fetched = Download::start(lab, "r1", address, "1G").unwrap().finish().unwrap();
            seen.note(&format!("download of the router's from {address}"), fetched == *pages);
        }
    });
}
