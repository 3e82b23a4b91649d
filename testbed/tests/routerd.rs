//! routerd's life in a namespace: how it starts, what it survives, what it leaves behind, and what it says when it
//! cannot start.

use std::fs;
use std::process::Command;

use testbed::lab::{self, Finished, Lab, Process, SECONDS_5, wait_until};
use testbed::programs;
use testbed::router::{Router, Running};
use testbed::scenario::clients::{SECONDS_20, ping};
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

/// Runs `scene` in a lab of three subnets; routerd is not started yet.
fn in_a_lab(scene: impl FnOnce(&Lab)) {
    if lab::labs_can_run() {
        scene(&Lab::build(&three_subnets()).unwrap());
    }
}

fn start<'lab>(lab: &'lab Lab, arguments: &[&str]) -> Running<'lab> {
    Router::routerd(arguments).unwrap().start(lab, "r1", &THREE_SUBNETS_PORTS).unwrap()
}

/// Runs routerd with these arguments, expecting it to end by itself.
fn refused(lab: &Lab, arguments: &[&str]) -> Finished {
    let mut command = Command::new(programs::program("routerd").unwrap());
    command.args(arguments);
    Process::start_command(lab.at("r1"), command).unwrap().finish(SECONDS_5).unwrap()
}

/// Asserts that routerd ends with `code` and one line that has all of `words`.
fn is_refused(lab: &Lab, arguments: &[&str], code: i32, words: &[&str]) {
    let finished = refused(lab, arguments);
    assert_eq!(finished.status.code(), Some(code), "{arguments:?}: {}", finished.error);
    assert_eq!(finished.output, "", "{arguments:?}: it said it was ready");
    for word in words {
        assert!(finished.error.contains(word), "{arguments:?}: no `{word}` in {:?}", finished.error);
    }
    if code == 1 {
        assert_eq!(finished.error.trim_end().lines().count(), 1, "{arguments:?}: {:?}", finished.error);
    }
}

fn answers(lab: &Lab, address: &str) -> bool {
    ping(lab, "h1", address, 3).unwrap() == 3
}

fn answers_again(lab: &Lab, address: &str) {
    wait_until(&format!("answers from {address}"), SECONDS_20, || answers(lab, address).then_some(()))
        .unwrap();
}

/// What is there besides what a lab was built with: nft tables and devices.
fn surroundings(lab: &Lab) -> String {
    let tables = lab.run("r1", "nft list ruleset", SECONDS_5).unwrap().ok().unwrap();
    let devices = lab.run("r1", "ip -brief link", SECONDS_5).unwrap().ok().unwrap();
    let names: Vec<&str> = devices.lines().filter_map(|line| line.split(['@', ' ']).next()).collect();
    format!("{tables}{names:?}")
}

#[test]
fn it_leaves_nothing_behind_when_told_to_end() {
    in_a_lab(|lab| {
        let before = surroundings(lab);
        let routerd = start(lab, &[]);
        assert!(answers(lab, "10.0.2.2"));
        routerd.stop().unwrap();
        assert_eq!(surroundings(lab), before);
        assert!(!answers(lab, "10.0.2.2"), "who forwards?");
    });
}

#[test]
fn it_forwards_each_packet_once_whatever_ip_forward_says() {
    in_a_lab(|lab| {
        let routerd = start(lab, &[]);
        for (key, value) in [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")] {
            lab.at("r1").sysctl(key, value).unwrap();
        }
        for address in ["10.0.2.2", "fd00:2::2"] {
            let said =
                lab.run("h1", &format!("ping -n -c 5 -i 0.05 {address}"), SECONDS_5).unwrap().ok().unwrap();
            assert!(said.contains("5 received") && !said.contains("DUP"), "{said}");
        }
        drop(routerd);
    });
}

#[test]
fn a_new_one_just_works_after_the_old_one_was_killed() {
    in_a_lab(|lab| {
        start(lab, &[]).kill().unwrap();
        assert!(!answers(lab, "10.0.2.2"));
        let routerd = start(lab, &[]);
        assert!(answers(lab, "10.0.2.2") && answers(lab, "fd00:2::2"));
        routerd.stop().unwrap();
    });
}

#[test]
fn a_second_one_in_the_namespace_is_refused_and_does_no_harm() {
    in_a_lab(|lab| {
        let routerd = start(lab, &[]);
        is_refused(lab, &["--ports", "r0,r1"], 1, &["@routerd"]);
        assert!(answers(lab, "10.0.2.2"));
        routerd.stop().unwrap();
    });
}

#[test]
fn wrong_starts_are_told_in_one_line() {
    in_a_lab(|lab| {
        let before = surroundings(lab);
        is_refused(lab, &["--ports", "r0,nowhere"], 1, &["nowhere"]);
        is_refused(lab, &["--ports", "r0,r0"], 1, &["r0"]);
        is_refused(lab, &["--ports", "r0,lo"], 1, &["lo"]);
        is_refused(lab, &["--ports", "r0,r1", "--config", "/nonexistent.toml"], 1, &["/nonexistent.toml"]);
        is_refused(lab, &["--ports", "r0", "--workers", "many"], 2, &["many"]);
        is_refused(lab, &["--sideways"], 2, &["--sideways"]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("routerd.toml");
        let path = file.to_str().unwrap();
        fs::write(&file, "[conntrack]\nflows_maxx = 5\n").unwrap();
        is_refused(lab, &["--ports", "r0,r1", "--config", path], 1, &["routerd.toml:2:1", "flows_maxx"]);
        fs::write(&file, "[conntrack\n").unwrap();
        is_refused(lab, &["--ports", "r0,r1", "--config", path], 1, &["routerd.toml:1:"]);
        assert_eq!(surroundings(lab), before);
    });
}

#[test]
fn a_port_may_vanish_and_come_back() {
    in_a_lab(|lab| {
        let routerd = start(lab, &[]);
        assert!(answers(lab, "10.0.3.2"));
        lab.at("r1").ip("link del r2").unwrap();
        assert!(answers(lab, "10.0.2.2"), "the other ports go on");
        assert!(!answers(lab, "10.0.3.2"));
        let again = format!(
            "link add r2 address 02:00:00:00:03:09 type veth peer name eth0 netns {}",
            lab.at("h3").name()
        );
        lab.at("r1").ip(&again).unwrap();
        for line in ["address add 10.0.3.1/24 dev r2", "link set r2 up"] {
            lab.at("r1").ip(line).unwrap();
        }
        for line in ["address add 10.0.3.2/24 dev eth0", "link set eth0 up", "route add default via 10.0.3.1"]
        {
            lab.at("h3").ip(line).unwrap();
        }
        answers_again(lab, "10.0.3.2");
        routerd.stop().unwrap();
    });
}

#[test]
fn a_port_may_be_renamed() {
    in_a_lab(|lab| {
        let routerd = start(lab, &[]);
        assert!(answers(lab, "10.0.3.2"));
        lab.at("r1").ip("link set r2 name uplink").unwrap();
        assert!(answers(lab, "10.0.2.2"));
        lab.at("r1").ip("link set uplink name r2").unwrap();
        answers_again(lab, "10.0.3.2");
        routerd.stop().unwrap();
    });
}

#[test]
fn an_mtu_is_obeyed_from_the_moment_it_changes() {
    in_a_lab(|lab| {
        let routerd = start(lab, &[]);
        let large = |address: &str| ping(lab, "h1", &format!("-M do -s 1400 {address}"), 2).unwrap();
        assert_eq!(large("10.0.2.2"), 2);
        lab.at("r1").ip("link set r1 mtu 1300").unwrap();
        wait_until("the smaller MTU", SECONDS_5, || (large("10.0.2.2") == 0).then_some(())).unwrap();
        let said = lab.run("h1", "ip route get 10.0.2.2", SECONDS_5).unwrap().ok().unwrap();
        assert!(said.contains("mtu 1300"), "the host was not told: {said}");
        routerd.stop().unwrap();
    });
}

#[test]
fn a_port_with_another_mac_goes_on() {
    in_a_lab(|lab| {
        let routerd = start(lab, &[]);
        assert!(answers(lab, "10.0.2.2"));
        for line in ["link set r0 address 02:00:00:00:bb:01", "link set r1 address 02:00:00:00:bb:02"] {
            lab.at("r1").ip(line).unwrap();
        }
        for host in ["h1", "h2"] {
            lab.at(host).ip("neighbor flush dev eth0").unwrap();
        }
        answers_again(lab, "10.0.2.2");
        routerd.stop().unwrap();
    });
}

#[test]
fn status_says_when_it_forwards() {
    in_a_lab(|lab| {
        let none = testbed::router::routerctl(lab.at("r1"), "status").unwrap();
        assert!(!none.status.success() && !none.error.is_empty(), "{none:?}");
        let routerd = start(lab, &[]);
        let status = routerd.ask("status").unwrap();
        assert_eq!(status["host"], "kernel");
        assert_eq!(status["ports"].as_array().unwrap().len(), THREE_SUBNETS_PORTS.len());
        routerd.stop().unwrap();
    });
}

#[test]
fn two_workers_share_one_table_of_flows() {
    in_a_lab(|lab| {
        let routerd = start(lab, &["--workers", "2"]);
        for address in ["10.0.2.2", "10.0.3.2", "fd00:2::2", "fd00:3::2"] {
            assert_eq!(ping(lab, "h1", address, 20).unwrap(), 20, "{address}");
        }
        let flows = routerd.ask("show flows").unwrap();
        let echoes = flows.as_array().unwrap().iter().filter(|flow| flow["protocol"] == "icmp");
        for flow in echoes {
            assert_eq!(flow["original"]["packets"], flow["reply"]["packets"], "{flow}");
        }
        routerd.stop().unwrap();
    });
}
