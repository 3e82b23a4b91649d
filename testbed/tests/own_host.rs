//! A router that is its own host: its addresses answer, its tables change, the kernel is quiet on the ports, and programs
//! behind the TUN device do not notice.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;
use testbed::lab::{self, Lab, Process, SECONDS_5, wait_until};
use testbed::programs;
use testbed::router::{Router, Running};
use testbed::scenario::clients::{Download, SECONDS_20, ping};
use testbed::scenario::server::{Server, content};
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

/// Bytes of a download.
const LARGE: usize = 20 << 20;

/// The router's addresses on the subnets of `h1` and `h2`.
const OWN: [&str; 4] = ["10.0.1.1", "10.0.2.1", "fd00:1::1", "fd00:2::1"];

/// Addresses of `h1` and `h2`.
const HOSTS: [&str; 4] = ["10.0.1.2", "10.0.2.2", "fd00:1::2", "fd00:2::2"];

/// Runs `scene` in a lab of three subnets whose router is its own host.
fn owned(host: &str, arguments: &[&str], scene: impl FnOnce(&Lab, Running<'_>)) {
    if !lab::labs_can_run() {
        return;
    }
    let router = Router::routerd(arguments).unwrap().owned(host);
    let (plan, router) = router.settle(three_subnets(), "r1");
    let lab = Lab::build(&plan).unwrap();
    let running = router.start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    scene(&lab, running);
}

fn in_router(lab: &Lab, line: &str) -> String {
    lab.run("r1", line, SECONDS_5).unwrap().ok().unwrap()
}

fn answers(lab: &Lab, address: &str) -> bool {
    ping(lab, "h1", address, 2).unwrap() == 2
}

fn answers_again(lab: &Lab, address: &str) {
    wait_until(&format!("answers from {address}"), SECONDS_20, || answers(lab, address).then_some(()))
        .unwrap();
}

/// Own routes to a prefix, as a person sees them.
fn routes(router: &Running<'_>, prefix: &str) -> Vec<String> {
    let all = router.tell("show routes").unwrap();
    all.lines().filter(|line| line.starts_with(prefix)).map(|line| line.trim_end().to_owned()).collect()
}

fn refusal(router: &Running<'_>, line: &str) -> String {
    router.tell(line).expect_err(line).to_string()
}

#[test]
fn it_answers_as_soon_as_it_is_ready_and_the_kernel_is_not_heard() {
    for host in ["none", "tun"] {
        owned(host, &[], |lab, router| {
            for address in OWN.iter().chain(&HOSTS) {
                assert!(answers(lab, address), "{address} with --host {host}");
            }
            let status = router.ask("status").unwrap();
            assert_eq!((&status["host"], &status["guard"]), (&host.into(), &"on".into()));
            // What the kernel says on a port nobody hears, and it hears nobody: its own neighbors stay unknown to it.
            let said = lab.run("r1", "ping -6 -c 1 -W 1 -I r0 ff02::1", SECONDS_5).unwrap();
            assert!(said.output.contains(" 0 received"), "{}", said.output);
            let known = in_router(lab, "ip neigh show nud reachable");
            assert_eq!(known, "", "the kernel knows neighbors of routerd's");
            router.stop().unwrap();
            assert_eq!(in_router(lab, "nft list ruleset"), "");
        });
    }
}

#[test]
fn programs_behind_the_tun_device_serve_and_ask_with_default_offloads() {
    for arguments in [&[][..], &["--workers", "2"]] {
        owned("tun:host0", arguments, |lab, router| {
            for address in HOSTS {
                assert_eq!(ping(lab, "r1", address, 2).unwrap(), 2, "{address} from the router");
            }
            let content = Arc::new(content(LARGE));
            let serving_router = Server::start(lab.at("r1"), Arc::clone(&content)).unwrap();
            for (from, address) in [("h1", OWN[0]), ("h2", OWN[1]), ("h1", OWN[2])] {
                let came = Download::start(lab, from, address, "1000M").unwrap().finish().unwrap();
                assert!(came == *content, "{address}: {} of {LARGE} bytes", came.len());
            }
            drop(serving_router);
            let _serving_host = Server::start(lab.at("h2"), Arc::clone(&content)).unwrap();
            for address in [HOSTS[1], HOSTS[3]] {
                let came = Download::start(lab, "r1", address, "1000M").unwrap().finish().unwrap();
                assert!(came == *content, "{address}: {} of {LARGE} bytes to the router", came.len());
            }
            router.kill().unwrap();
            let devices = in_router(lab, "ip -brief link");
            assert!(!devices.contains("host0"), "the device outlives routerd: {devices}");
        });
    }
}

#[test]
fn the_tun_device_is_made_anew_with_all_that_is_on_it() {
    owned("tun", &[], |lab, _router| {
        let before = in_router(lab, "ip -brief address show dev rtr0");
        assert!(OWN.iter().all(|address| before.contains(address)), "{before}");
        in_router(lab, "ip link del rtr0");
        wait_until("the device to be back", SECONDS_20, || {
            let finished = lab.run("r1", "ip -brief address show dev rtr0", SECONDS_5).unwrap();
            OWN.iter().all(|address| finished.output.contains(address)).then_some(())
        })
        .unwrap();
        assert_eq!(ping(lab, "r1", HOSTS[0], 2).unwrap(), 2);
    });
}

#[test]
fn addresses_and_routes_are_changed_at_run_time() {
    owned("tun", &[], |lab, router| {
        lab.at("h2").ip("address add 10.0.9.2/24 dev eth0").unwrap();
        lab.at("h2").ip("address add 10.66.0.1/32 dev lo").unwrap();
        router.tell("address add 10.0.9.1/24 dev r1").unwrap();
        answers_again(lab, "10.0.9.1");
        let addresses = in_router(lab, "ip -brief address show dev rtr0");
        assert!(addresses.contains("10.0.9.1/24"), "{addresses}");
        router.tell("route add 10.66.0.0/16 via 10.0.9.2").unwrap();
        assert!(answers(lab, "10.66.0.1"));
        assert_eq!(routes(&router, "10.66"), ["10.66.0.0/16 via 10.0.9.2 dev r1"]);

        for (line, because) in [
            ("address add 10.0.9.1/24 dev r1", "10.0.9.1/24 is an address of r1 already"),
            ("address add 10.0.9.3/24 dev r9", "no port named r9"),
            ("address del 10.0.9.1/25 dev r1", "10.0.9.1/25 is no address of r1"),
            ("route add 10.66.0.0/16 via 10.0.9.3", "there is a route to 10.66.0.0/16"),
            (
                "route add 10.67.0.0/16 via 192.0.2.1",
                "gateway 192.0.2.1 is on no subnet of this router (onlink?)",
            ),
            ("route add 10.67.0.0/16 via 10.0.9.2 dev r0", "gateway 10.0.9.2 is on no subnet of r0"),
            ("route del 10.66.0.0/16 metric 5", "no such route to 10.66.0.0/16"),
        ] {
            let error = refusal(&router, line);
            assert!(error.contains(because), "`{line}`: {error}");
        }
        assert!(answers(lab, "10.66.0.1"), "what was refused has changed nothing");

        router.tell("address del 10.0.9.1/24 dev r1").unwrap();
        assert!(!answers(lab, "10.66.0.1"));
        assert_eq!(routes(&router, "10.66"), ["10.66.0.0/16 via 10.0.9.2 [not used: next hop dead]"]);
        router.tell("address add 10.0.9.1/24 dev r1 nodad").unwrap();
        assert!(answers(lab, "10.66.0.1"));
        router.tell("route del 10.66.0.0/16").unwrap();
        assert!(!answers(lab, "10.66.0.1"));
    });
}

#[test]
fn an_address_that_somebody_else_has_is_not_used() {
    owned("none", &[], |lab, router| {
        for taken in ["10.0.2.2/24", "fd00:2::2/64"] {
            router.tell(&format!("address add {taken} dev r1")).unwrap();
        }
        let is_duplicate = || {
            let rows = router.ask("show addresses").unwrap();
            let of = |address: &str| {
                let row = rows.as_array().unwrap().iter().find(|row| row["address"] == address);
                row.map(|row| row["dad"].to_string()).unwrap_or_default()
            };
            (of("10.0.2.2").contains("duplicate") && of("fd00:2::2").contains("duplicate")).then_some(())
        };
        wait_until("both to be found taken", SECONDS_20, is_duplicate).unwrap();
        for taken in ["10.0.2.2/24", "fd00:2::2/64"] {
            router.tell(&format!("address del {taken} dev r1")).unwrap();
        }
        answers_again(lab, "10.0.2.2");
        answers_again(lab, "fd00:2::2");
    });
}

#[test]
fn a_port_that_goes_and_comes_back_has_its_addresses_and_routes_again() {
    owned("none", &[], |lab, router| {
        router.tell("route add 10.66.0.0/16 via 10.0.2.2").unwrap();
        lab.at("h2").ip("address add 10.66.0.1/32 dev lo").unwrap();
        answers_again(lab, "10.66.0.1");
        in_router(lab, "ip link set r1 down");
        wait_until("the route to be unusable", SECONDS_5, || {
            routes(&router, "10.66")[0].contains("not used").then_some(())
        })
        .unwrap();
        assert!(routes(&router, "10.0.2.").is_empty(), "no connected route without its port");
        in_router(lab, "ip link set r1 up");
        for address in ["10.66.0.1", OWN[1], HOSTS[3]] {
            answers_again(lab, address);
        }
    });
}

#[test]
fn what_a_configuration_says_otherwise_is_taken_over_and_the_rest_stays() {
    if !lab::labs_can_run() {
        return;
    }
    let owned = three_subnets().own("r1");
    let lab = Lab::build(&owned.plan).unwrap();
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    fs::write(file.path(), &owned.config).unwrap();
    let arguments = ["--host", "none", "--config", &file.path().display().to_string()];
    let router = Router::routerd(&arguments).unwrap();
    let mut router = router.start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    router.tell("address add 10.0.7.1/24 dev r0 nodad").unwrap();

    let added = owned.config.replace("[host]\n", "[host]\nrules = [\"from 10.0.1.77 prohibit\"]\n");
    let added = added.replace("\"10.0.2.1/24 dev r1\"", "\"10.0.2.77/24 dev r1 nodad\"");
    assert_ne!(added, owned.config);
    fs::write(file.path(), &added).unwrap();
    router.process().unwrap().signal(Signal::SIGHUP).unwrap();
    let has = |router: &Running<'_>, address: &str| {
        let rows = router.ask("show addresses").unwrap();
        rows.as_array().unwrap().iter().any(|row| row["address"] == address)
    };
    wait_until("the address of the file", SECONDS_5, || has(&router, "10.0.2.77").then_some(())).unwrap();
    assert!(!has(&router, "10.0.2.1"), "what the file no longer says is gone");
    assert!(has(&router, "10.0.7.1"), "what a user has added stays");
    assert!(router.tell("show policy").unwrap().contains("from 10.0.1.77 prohibit"));
    assert!(answers(&lab, "10.0.2.77"));

    fs::write(file.path(), added.replace("10.0.2.77/24", "127.0.0.77/8")).unwrap();
    router.process().unwrap().signal(Signal::SIGHUP).unwrap();
    wait_until("a word about the address", SECONDS_5, || {
        let said = router.process().unwrap().error_output();
        said.contains("127.0.0.77").then_some(())
    })
    .unwrap();
    assert!(has(&router, "10.0.2.77"), "a file that is wrong changes nothing");
}

#[test]
fn routes_of_a_daemon_behind_the_tun_device_are_the_routers() {
    if !lab::labs_can_run() {
        return;
    }
    let router = Router::routerd(&[]).unwrap().owned("tun");
    let (plan, router) = router.settle(three_subnets(), "r1");
    let lab = Lab::build(&plan).unwrap();
    let router = router.configured("follow-kernel-routes = true\n");
    let router = router.start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    lab.at("h2").ip("address add 10.66.0.1/32 dev lo").unwrap();
    let via = |prefix: &str| routes(&router, prefix).into_iter().next().unwrap_or_default();
    let becomes = |prefix: &str, expected: &str| {
        wait_until(&format!("{prefix} to be {expected:?}"), SECONDS_5, || {
            (via(prefix) == expected).then_some(())
        })
        .unwrap();
    };
    in_router(&lab, "ip route add 10.66.0.0/16 via 10.0.2.2 dev rtr0 proto bgp metric 20");
    becomes("10.66", "10.66.0.0/16 via 10.0.2.2 dev r1 proto bgp metric 20");
    assert!(answers(&lab, "10.66.0.1"));
    in_router(&lab, "ip nexthop add id 7 via 10.0.1.2 dev rtr0");
    in_router(&lab, "ip route add 10.67.0.0/16 nhid 7 proto zebra");
    wait_until("a nexthop object to be followed", SECONDS_5, || {
        via("10.67").contains("via 10.0.1.2 dev r0").then_some(())
    })
    .unwrap();
    in_router(&lab, "ip route del 10.66.0.0/16");
    becomes("10.66", "");
    assert!(!answers(&lab, "10.66.0.1"));
}

#[test]
fn what_cannot_be_an_own_host_does_not_start_and_says_why() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&three_subnets()).unwrap();
    let refused = |arguments: &[&str], path: Option<&str>| {
        let mut command = Command::new(programs::program("routerd").unwrap());
        command.args(["--ports", "r0,r1"]).args(arguments);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let finished = Process::start_command(lab.at("r1"), command).unwrap().finish(SECONDS_5).unwrap();
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}: {}", finished.error);
        finished.error
    };
    let error = refused(&["--host", "tun"], None);
    assert!(
        error.contains("port r0 has the address") && error.contains("ip address flush dev r0"),
        "{error}"
    );
    for port in ["r0", "r1"] {
        lab.at("r1").ip(&format!("address flush dev {port}")).unwrap();
    }
    lab.at("r1").ip("link add rtr0 type veth peer name other").unwrap();
    let error = refused(&["--host", "tun"], None);
    assert!(error.contains("a device named rtr0 exists already"), "{error}");
    assert_eq!(in_router(&lab, "nft list ruleset"), "", "the guard is gone again");
}
