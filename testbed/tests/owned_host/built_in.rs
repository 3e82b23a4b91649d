//! What the router answers by itself, without programs: echo, traces, ports where nobody listens, and who has its
//! addresses.

use testbed::lab::{self, Plan};
use testbed::scenario::clients::{mtr, nmap, ping, tracepath, traceroute};
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

use crate::ground::{Seen, is_like_the_kernel};

/// The words of what `arping` and `ndisc6` print that are no times and no counts of what was sent in vain.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| {
        word.ends_with("ms") || word == "ms" || word.parse::<f64>().is_ok() && word.contains('.')
    };
    text.lines()
        .map(|line| {
            line.split_whitespace().filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ") + "; "
        })
        .collect()
}

/// Three subnets around a router that says of every error that it is one.
fn unlimited() -> Plan {
    three_subnets().sysctl("r1", "ipv4/icmp_ratelimit", "0").sysctl("r1", "ipv6/icmp/ratelimit", "0")
}

fn asks_for_everything(lab: &lab::Lab, seen: &mut Seen) {
    for to in ["10.0.1.1", "10.0.2.1", "10.0.3.1", "fd00:1::1", "fd00:2::1"] {
        for size in [0, 56, 1472, 1473, 9000, 60_000] {
            seen.note(
                &format!("answers of {size} bytes from {to}"),
                ping(lab, "h1", &format!("-s {size} {to}"), 3).unwrap(),
            );
        }
    }
    for to in [
        "-b 10.0.1.255",
        "ff02::1%eth0",
        "-R 10.0.1.1",
        "-T tsonly 10.0.1.1",
        "-Q 0xb8 10.0.1.1",
        "-t 1 10.0.1.1",
    ] {
        seen.note(&format!("answers from {to}"), ping(lab, "h1", to, 1).unwrap());
    }
    for (to, options) in [
        ("10.0.1.1", "-I"),
        ("10.0.1.1", "-U"),
        ("10.0.1.1", "-T"),
        ("10.0.2.1", ""),
        ("10.0.2.2", "-I"),
        ("10.9.9.9", ""),
        ("fd00:1::1", "-I"),
        ("fd00:2::1", ""),
        ("fd00:9::9", "-T"),
    ] {
        seen.note(&format!("traceroute {options} {to}"), traceroute(lab, "h1", to, options).unwrap());
    }
    for to in ["10.0.1.1", "10.0.2.2", "fd00:2::2"] {
        seen.note(&format!("tracepath {to}"), tracepath(lab, "h1", to).unwrap());
        seen.note(&format!("mtr {to}"), format!("{:?}", mtr(lab, "h1", to, "").unwrap()));
    }
    for (to, options) in [
        ("10.0.1.1", "-sT -p 22,80"),
        ("10.0.1.1", "-sS -p 22,80"),
        ("10.0.1.1", "-sA -p 80"),
        ("10.0.1.1", "-sN -p 80"),
        ("10.0.1.1", "-sU -p 53"),
        ("10.0.1.1", "-sO -p 6,17,99,132"),
        ("fd00:1::1", "-6 -sT -p 22,80"),
        ("fd00:1::1", "-6 -sU -p 53"),
    ] {
        seen.note(&format!("nmap {options} {to}"), nmap(lab, "h1", to, options).unwrap());
    }
    for line in [
        "arping -c 2 -I eth0 10.0.1.1",
        "arping -c 1 -w 1 -I eth0 10.0.2.1",
        "arping -c 1 -w 1 -I eth0 10.0.1.77",
        "arping -D -c 2 -w 2 -I eth0 10.0.1.1",
        "arping -b -c 2 -I eth0 10.0.1.1",
        "ndisc6 -1 fd00:1::1 eth0",
        "ndisc6 -1 -r 1 -w 500 fd00:1::77 eth0",
        "ndisc6 -1 fe80::ff:fe00:102 eth0",
        "rdisc6 -1 -r 1 -w 500 eth0",
    ] {
        seen.run(lab, "h1", line, without_times);
    }
}

#[test]
fn a_host_without_programs_answers_as_the_kernel_does() {
    if !lab::labs_can_run() {
        return;
    }
    is_like_the_kernel("none", unlimited, &THREE_SUBNETS_PORTS, "", |lab, _, seen| {
        asks_for_everything(lab, seen)
    });
}

#[test]
fn a_host_with_programs_behind_a_device_answers_as_the_kernel_does() {
    if !lab::labs_can_run() {
        return;
    }
    is_like_the_kernel("tun", unlimited, &THREE_SUBNETS_PORTS, "", |lab, _, seen| {
        asks_for_everything(lab, seen)
    });
}
