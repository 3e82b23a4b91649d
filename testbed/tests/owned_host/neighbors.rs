//! What real hosts on the links make of a router that is its own host: they configure themselves by what it advertises, hear
//! who it is, and are heard when they have an address that was to be the router's.

use serde_json::Value;
use testbed::lab::{self, Lab, Plan, Role, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::capture::{Capture, Way};
use testbed::scenario::clients::{SECONDS_20, ping};

const HOSTS: [&str; 2] = ["none", "tun"];

/// `h1 ── fd00:1::/64 10.0.1.0/24 ── r1 ── fd00:2::/64 10.0.2.0/24 ── h2`, where `h1` has no address yet.
fn plan() -> Plan {
    Plan::new()
        .station("h1", Role::Host)
        .station("r1", Role::Router)
        .station("h2", Role::Host)
        .link("h1:eth0", "r1:r0 10.0.1.1/24 fd00:1::1/64")
        .link("h2:eth0 10.0.2.2/24 fd00:2::2/64", "r1:r1 10.0.2.1/24 fd00:2::1/64")
        .ip("h2", "route add default via 10.0.2.1")
        .ip("h2", "route add default via fd00:2::1")
}

/// The lab with routerd as its own host, to be started with these lines of configuration besides.
fn lab_for(host: &str, lines: &str) -> (Lab, Router) {
    let (plan, router) = Router::routerd(&[]).unwrap().owned(host).settle(plan(), "r1");
    (Lab::build(&plan).unwrap(), router.configured(lines))
}

fn start<'lab>(lab: &'lab Lab, router: &Router) -> Running<'lab> {
    router.start(lab, "r1", &["r0", "r1"]).unwrap()
}

/// What `ip -json` with these words prints at `h1`.
fn ip(lab: &Lab, words: &str) -> Value {
    let said = lab.run("h1", &format!("ip -json {words}"), SECONDS_5).unwrap().ok().unwrap();
    serde_json::from_str(&said).unwrap()
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn a_host_configures_itself_by_what_the_router_advertises() {
    if !lab::labs_can_run() {
        return;
    }
    for host in HOSTS {
        let advertise = "[[host.advertise]]\nport = \"r0\"\nmtu = 1400\nhop-limit = 33\nlifetime-s = 900\n\
                         prefixes = [{ prefix = \"fd00:1::/64\", valid-s = 3600, preferred-s = 1800 }]\n";
        let (lab, router) = lab_for(host, advertise);
        let running = start(&lab, &router);
        for (key, value) in [("accept_ra", "1"), ("autoconf", "1"), ("router_solicitations", "3")] {
            lab.at("h1").sysctl(&format!("ipv6/conf/eth0/{key}"), value).unwrap();
        }
        // A host asks when its link comes up.
        lab.at("h1").batch(&["link set eth0 down".to_owned(), "link set eth0 up".to_owned()]).unwrap();
        let address = wait_until("an address", SECONDS_20, || {
            let links = ip(&lab, "-6 address show dev eth0 scope global");
            rows(&links[0]["addr_info"]).find(|row| row["dynamic"] == true).cloned()
        });
        let address = address.unwrap_or_else(|error| {
            panic!("--host {host}: {error}\n{}", running.tell("show counters").unwrap())
        });
        assert_eq!((&address["local"], &address["prefixlen"]), (&"fd00:1::ff:fe00:101".into(), &64.into()));
        let lifetime = |key: &str| address[key].as_u64().unwrap();
        assert!((3500..=3600).contains(&lifetime("valid_life_time")), "{address}");
        assert!((1700..=1800).contains(&lifetime("preferred_life_time")), "{address}");
        let routes = ip(&lab, "-6 route show default");
        assert_eq!(routes[0]["gateway"], "fe80::ff:fe00:102", "{routes}");
        assert_eq!(lab.at("h1").read_sysctl("ipv6/conf/eth0/mtu").unwrap(), "1400");
        assert_eq!(lab.at("h1").read_sysctl("ipv6/conf/eth0/hop_limit").unwrap(), "33");
        assert_eq!(ping(&lab, "h1", "fd00:2::2", 5).unwrap(), 5, "--host {host}");

        // The last word of a router is that it is none any more (RFC 4861 section 6.2.5).
        running.stop().unwrap();
        wait_until("the default route to go", SECONDS_5, || {
            (rows(&ip(&lab, "-6 route show default")).count() == 0).then_some(())
        })
        .unwrap();
    }
}

#[test]
fn the_router_says_who_it_is_when_it_starts() {
    if !lab::labs_can_run() {
        return;
    }
    for host in HOSTS {
        let (lab, router) = lab_for(host, "");
        // Announced by everybody to everybody: ARP with one address twice, an advertisement that nobody asked for.
        let own = "(arp src host 10.0.1.1 and arp dst host 10.0.1.1) or (icmp6 and ip6[40] == 136 and dst host ff02::1)";
        let wire = Capture::start(&lab, "h1", "eth0", Way::In, own).unwrap();
        let running = start(&lab, &router);
        let announced = |frames: &[Vec<u8>]| {
            let arp = frames.iter().any(|frame| frame[12..14] == [8, 6]);
            let target: std::net::Ipv6Addr = "fd00:1::1".parse().unwrap();
            let six =
                frames.iter().any(|frame| frame[12..14] == [0x86, 0xdd] && frame[62..78] == target.octets());
            arp && six
        };
        wait_until("announcements", SECONDS_5, || announced(&wire.frames().unwrap()).then_some(()))
            .unwrap_or_else(|error| panic!("--host {host}: {error}: {:02x?}", wire.frames().unwrap()));
        running.stop().unwrap();
    }
}

/// How far the router is with an address.
fn dad(running: &Running<'_>, address: &str) -> Value {
    let addresses = running.ask("show addresses").unwrap();
    let row = rows(&addresses).find(|row| row["address"] == address);
    row.unwrap_or_else(|| panic!("{address} is not among {addresses}"))["dad"].clone()
}

#[test]
fn an_address_that_a_host_has_is_left_to_it() {
    if !lab::labs_can_run() {
        return;
    }
    for host in HOSTS {
        let (lab, router) = lab_for(host, "");
        for address in ["10.0.1.1/24", "fd00:1::1/64"] {
            lab.at("h1").ip(&format!("address add {address} dev eth0 nodad")).unwrap();
        }
        let running = start(&lab, &router);
        for address in ["10.0.1.1", "fd00:1::1"] {
            assert_eq!(dad(&running, address), "duplicate", "--host {host}: {address}");
        }
        assert_ne!(dad(&running, "10.0.2.1"), "duplicate");
        let line = "arping -D -c 1 -w 1 -I eth0 10.0.1.1";
        let free = lab.run("h1", line, SECONDS_5).unwrap();
        assert!(free.status.success(), "--host {host}: routerd answers for it: {}", free.output);
        running.stop().unwrap();
    }
}
