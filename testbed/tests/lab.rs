//! Labs come up as planned and leave nothing behind.

use std::path::Path;
use std::time::Duration;

use testbed::lab::{self, Lab, Plan, Role, SECONDS_5};

fn two_hosts() -> Plan {
    Plan::new()
        .station("h1", Role::Host)
        .station("r1", Role::Router)
        .station("h2", Role::Host)
        .link("h1:eth0 10.0.1.2/24 fd00:1::2/64", "r1:r0 10.0.1.1/24 fd00:1::1/64")
        .link("h2:eth0 10.0.2.2/24 fd00:2::2/64", "r1:r1 10.0.2.1/24 fd00:2::1/64")
        .ip("h1", "route add default via 10.0.1.1")
        .ip("h1", "route add default via fd00:1::1")
        .ip("h2", "route add default via 10.0.2.1")
        .ip("h2", "route add default via fd00:2::1")
        .sysctl("r1", "ipv4/ip_forward", "1")
        .sysctl("r1", "ipv6/conf/all/forwarding", "1")
}

#[test]
fn hosts_of_a_lab_reach_each_other_through_its_router() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&two_hosts()).unwrap();
    for address in ["10.0.2.2", "fd00:2::2"] {
        lab.run("h1", &format!("ping -n -c 1 -W 2 {address}"), SECONDS_5).unwrap().ok().unwrap();
    }
}

#[test]
fn a_lab_takes_its_namespaces_and_processes_with_it() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&two_hosts()).unwrap();
    let names: Vec<String> = lab.stations().map(|(_, namespace)| namespace.name().to_owned()).collect();
    let sleeper = lab.start("h1", "sleep 600").unwrap();
    let pid = sleeper.pid();
    std::mem::forget(sleeper);
    drop(lab);
    for name in names {
        assert!(!Path::new("/run/netns").join(&name).exists(), "{name} is still there");
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    assert!(stat.is_err() || stat.unwrap().contains(") Z "), "the process still runs");
}

#[test]
fn a_line_that_ip_refuses_is_named() {
    if !lab::labs_can_run() {
        return;
    }
    let plan = two_hosts().ip("h1", "route add 10.9.0.0/16 via 10.8.0.1");
    let error = format!("{:#}", Lab::build(&plan).unwrap_err());
    assert!(error.contains("route add 10.9.0.0/16 via 10.8.0.1"), "{error}");
    assert!(error.contains("h1"), "{error}");
}

#[test]
fn a_program_that_takes_too_long_is_killed_and_named() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&Plan::new().station("h1", Role::Host)).unwrap();
    let error = lab.run("h1", "sleep 600", Duration::from_millis(50)).unwrap_err();
    assert!(error.to_string().contains("sleep 600"), "{error}");
}
