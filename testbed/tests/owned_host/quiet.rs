//! The kernel says nothing on the ports of a router that is its own host, and hears nothing; what routerd leaves behind when
//! it is killed is nothing that lasts.

use serde_json::Value;
use testbed::lab::{self, Lab, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::capture::{Capture, Way};
use testbed::scenario::clients::ping;
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

const HOSTS: [&str; 2] = ["none", "tun"];

/// Runs `scene` with routerd as its own host between three subnets.
fn with_own_host(host: &str, scene: impl FnOnce(&Lab, &Router, Running<'_>)) {
    if !lab::labs_can_run() {
        return;
    }
    let (plan, router) = Router::routerd(&[]).unwrap().owned(host).settle(three_subnets(), "r1");
    let lab = Lab::build(&plan).unwrap();
    let running = router.start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    scene(&lab, &router, running);
}

/// Has the kernel of the router's station want to talk by the port `r0`, of an address that routerd knows nothing of, and
/// be talked to. Says which frames of these were seen on the wire in a second and more, and whether it answered.
fn kernel_talks(lab: &Lab) -> (Vec<Vec<u8>>, bool) {
    // Of the ports' own link-local addresses, which both have, the kernel asks for routers and reports groups.
    let about = "host 192.0.2.1 or (arp and host 192.0.2.9) or net fd99::/64 or ip6 proto 0 or \
                 (icmp6 and ip6[40] == 133)";
    let wire = Capture::start(lab, "h1", "eth0", Way::In, about).unwrap();
    lab.at("h1").ip("address replace 192.0.2.2/24 dev eth0").unwrap();
    for line in
        ["address replace 192.0.2.1/24 dev r0", "address replace fd99::1/64 dev r0", "neighbor flush dev r0"]
    {
        lab.at("r1").ip(line).unwrap();
    }
    for line in [
        "ping -n -c 1 -W 1 -I r0 192.0.2.9",
        "ping -n -c 1 -W 1 -I r0 fd99::9",
        "ping -n -c 1 -W 1 -I r0 ff02::1",
        "arping -A -c 1 -I r0 192.0.2.1",
    ] {
        lab.run("r1", line, SECONDS_5).unwrap();
    }
    let answered = lab.run("h1", "arping -c 1 -w 1 -I eth0 192.0.2.1", SECONDS_5).unwrap().status.success()
        || ping(lab, "h1", "192.0.2.1", 1).unwrap() > 0;
    for line in ["address delete 192.0.2.1/24 dev r0", "address delete fd99::1/64 dev r0"] {
        lab.at("r1").ip(line).unwrap();
    }
    (wire.finish().unwrap(), answered)
}

#[test]
fn the_kernel_is_not_heard_and_hears_nothing() {
    for host in HOSTS {
        with_own_host(host, |lab, _, running| {
            let (frames, answered) = kernel_talks(lab);
            assert!(frames.is_empty(), "--host {host}: the kernel was heard:\n{frames:02x?}");
            assert!(!answered, "--host {host}: the kernel answered");
            assert_eq!(ping(lab, "h1", "10.0.1.1", 3).unwrap(), 3, "routerd answers all the while");
            running.stop().unwrap();
            // Which also shows that it would have been heard.
            let (frames, answered) = kernel_talks(lab);
            assert!(frames.len() > 3 && answered, "--host {host}: after its end {frames:02x?}, {answered}");
        });
    }
}

/// Names of the links at the router's station, and of nft's tables.
fn left_behind(lab: &Lab) -> (Vec<String>, Vec<String>) {
    let names = |program: &str, words: &[&str]| {
        let said: Value = serde_json::from_str(&lab.at("r1").run(program, words).unwrap()).unwrap();
        let rows = said.as_array().cloned().or_else(|| said["nftables"].as_array().cloned()).unwrap();
        let name =
            |row: &Value| row["ifname"].as_str().or_else(|| row["table"]["name"].as_str()).map(str::to_owned);
        rows.iter().filter_map(name).collect::<Vec<_>>()
    };
    (names("ip", &["-json", "link", "show"]), names("nft", &["-j", "list", "tables"]))
}

#[test]
fn nothing_that_lasts_is_left_by_a_router_that_is_killed() {
    for host in HOSTS {
        with_own_host(host, |lab, router, running| {
            let bare: Vec<String> =
                std::iter::once("lo").chain(THREE_SUBNETS_PORTS).map(str::to_owned).collect();
            let sorted = |mut names: Vec<String>| {
                names.sort();
                names
            };
            assert_eq!(left_behind(lab).1, ["routerd-guard"]);
            assert_eq!(left_behind(lab).0.len() > bare.len(), host == "tun");
            running.kill().unwrap();
            wait_until("devices to go", SECONDS_5, || {
                (sorted(left_behind(lab).0) == sorted(bare.clone())).then_some(())
            })
            .unwrap();
            // A guard may outlive it, so that the kernel does not take over: the next one replaces it, and takes it away.
            let again = router.start(lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
            assert_eq!(ping(lab, "h1", "10.0.2.2", 3).unwrap(), 3);
            again.stop().unwrap();
            let (links, tables) = left_behind(lab);
            assert_eq!((sorted(links), tables), (sorted(bare), Vec::new()), "--host {host}");
        });
    }
}

#[test]
fn an_address_of_the_kernels_on_a_port_is_refused_with_the_remedy() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&three_subnets()).unwrap();
    let router = Router::routerd(&[]).unwrap().owned("tun");
    let error = format!("{:#}", router.start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap_err());
    assert!(error.contains("ip address flush dev r"), "{error}");
    assert!(error.contains("--host kernel"), "{error}");
}
