//! routerd's life in a namespace: how it starts, what it survives, what it leaves behind, and what it says when it
//! cannot start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;
use testbed::lab::{self, Finished, Lab, Process, SECONDS_5, wait_until};
use testbed::programs;
use testbed::router::{Router, Running};
use testbed::scenario::clients::{SECONDS_20, ping};
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

/// A user without privileges.
const NOBODY: u32 = 65534;

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

/// Copies of the programs where any user may run them.
fn programs_for_everybody() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["routerd", "routerctl"] {
        fs::copy(programs::program(name).unwrap(), folder.path().join(name)).unwrap();
    }
    folder
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
            let told = |what: &str| routerd.tell(what).unwrap();
            assert_eq!(
                ping(lab, "h1", address, 20).unwrap(),
                20,
                "{address}\n{}{}{}",
                told("show drops"),
                told("show counters"),
                told("show neighbors")
            );
        }
        let flows = routerd.ask("show flows").unwrap();
        let echoes = flows.as_array().unwrap().iter().filter(|flow| flow["protocol"] == "icmp");
        for flow in echoes {
            assert_eq!(flow["original"]["packets"], flow["reply"]["packets"], "{flow}");
        }
        routerd.stop().unwrap();
    });
}

#[test]
fn it_keeps_two_capabilities_and_can_get_no_more() {
    in_a_lab(|lab| {
        let mut routerd = start(lab, &["--workers", "2"]);
        let pid = routerd.process().unwrap().pid();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        for thread in threads {
            let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let of = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
                line.unwrap_or_else(|| panic!("no {name} in {status}")).to_owned()
            };
            // CAP_NET_ADMIN is bit 12, CAP_NET_RAW bit 13.
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(of(set), "0000000000003000", "{set} of {}", of("Name"));
            }
            assert_eq!(of("NoNewPrivs"), "1");
        }
        routerd.stop().unwrap();
    });
}

#[test]
fn without_privileges_it_says_which_are_missing() {
    in_a_lab(|lab| {
        let folder = programs_for_everybody();
        let mut command = Command::new(folder.path().join("routerd"));
        command.args(["--ports", "r0,r1"]).current_dir("/").uid(NOBODY).gid(NOBODY);
        let finished = Process::start_command(lab.at("r1"), command).unwrap().finish(SECONDS_5).unwrap();
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert_eq!(finished.error.lines().count(), 1, "{}", finished.error);
        assert!(finished.error.contains("CAP_NET_ADMIN, CAP_NET_RAW"), "{}", finished.error);
    });
}

/// A command that runs routerd where there is no `nft`.
fn without_nft() -> Command {
    let mut command = Command::new("unshare");
    let hide = "mount --bind /dev/null \"$(command -v nft)\" && exec \"$0\" --ports r0,r1,r2,r3";
    command.args(["--mount", "sh", "-c", hide]).arg(programs::program("routerd").unwrap());
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

#[test]
fn without_nft_it_forwards_only_where_the_kernel_does_not() {
    in_a_lab(|lab| {
        let r1 = lab.at("r1");
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            r1.sysctl(key, "1").unwrap();
            let refused = Process::start_command(r1, without_nft()).unwrap().finish(SECONDS_5).unwrap();
            assert_eq!((refused.status.code(), refused.output.as_str()), (Some(1), ""), "{refused:?}");
            assert_eq!(refused.error.lines().count(), 1, "{}", refused.error);
            for remedy in [format!("net.{}=0", key.replace('/', ".")), "install nftables".to_owned()] {
                assert!(refused.error.contains(&remedy), "{}", refused.error);
            }
            r1.sysctl(key, "0").unwrap();
        }
        let mut routerd = Process::start_command(r1, without_nft()).unwrap();
        routerd.wait_output(SECONDS_20).unwrap();
        assert!(answers(lab, "10.0.2.2") && answers(lab, "fd00:2::2"));
        let status = testbed::router::routerctl(r1, "status").unwrap().ok().unwrap();
        assert!(status.contains("guard off"), "{status}");
        routerd.stop(Signal::SIGTERM).unwrap().ok().unwrap();
    });
}

#[test]
fn a_tun_device_is_a_port_and_goes_with_routerd() {
    in_a_lab(|lab| {
        let before = surroundings(lab);
        let inside = lab.at("r1");
        // The device will have this from its birth; without it a source that is the router's own is a martian.
        inside.sysctl("ipv4/conf/default/accept_local", "1").unwrap();
        let routerd = Router::routerd(&[]).unwrap().start(lab, "r1", &["r0", "r1", "tun:t0"]).unwrap();
        // What programs here send to h2 goes into the device and through routerd. It comes back by itself: the
        // addresses are the kernel's.
        inside
            .batch(&[
                "link set t0 up".to_owned(),
                "address add 10.0.7.1/24 dev t0".to_owned(),
                "route add default dev t0 table 100".to_owned(),
                "rule add from 10.0.7.1 iif lo lookup 100".to_owned(),
            ])
            .unwrap();
        let through = wait_until("an answer through the device", SECONDS_20, || {
            (ping(lab, "r1", "-I 10.0.7.1 10.0.2.2", 3).ok()? == 3).then_some(())
        });
        through.unwrap();
        let ports = routerd.ask("show ports").unwrap();
        let tun = ports.as_array().unwrap().iter().find(|port| port["name"] == "t0").unwrap();
        assert_eq!(tun["kind"], "tun");
        assert!(tun["counters"]["received_frames"].as_u64().unwrap() >= 3, "{tun}");
        let flows = routerd.ask("show flows -p icmp -s 10.0.7.1").unwrap();
        assert_eq!(flows[0]["original"]["route"]["port"], "r1", "{flows}");

        // And out of it: the kernel receives there what routerd sends.
        inside.ip("route add 10.8.0.0/16 dev t0").unwrap();
        let mut capture =
            lab.start("r1", "tcpdump -ni t0 --immediate-mode -l icmp and dst 10.8.0.1").unwrap();
        capture.wait_line("listening", SECONDS_5).unwrap();
        assert_eq!(ping(lab, "h1", "10.8.0.1", 2).unwrap(), 0);
        capture.wait_line("10.0.1.2 > 10.8.0.1: ICMP echo request", SECONDS_5).unwrap();
        drop(capture);

        inside.ip("rule del from 10.0.7.1 iif lo lookup 100").unwrap();
        routerd.stop().unwrap();
        assert_eq!(surroundings(lab), before);
    });
}

#[test]
fn sysctls_are_read_again_when_it_hangs_up() {
    in_a_lab(|lab| {
        let mut routerd = start(lab, &[]);
        let told =
            |routerd: &Running<'_>| routerd.ask("status").unwrap()["settings"]["icmp_ratelimit_ms"].clone();
        let errors = || {
            let said = lab.run("h1", "ping -n -t 1 -c 20 -i 0.01 -W 1 10.0.2.2", SECONDS_5).unwrap().output;
            said.matches("Time to live exceeded").count()
        };
        assert_eq!(told(&routerd), 1000);
        assert!(errors() < 10, "one a second after the first six");
        lab.at("r1").sysctl("ipv4/icmp_ratelimit", "0").unwrap();
        routerd.process().unwrap().signal(Signal::SIGHUP).unwrap();
        wait_until("the new rate limit", SECONDS_5, || (told(&routerd) == 0).then_some(())).unwrap();
        assert_eq!(errors(), 20);
        routerd.stop().unwrap();
    });
}

#[test]
fn what_happens_is_told_to_those_who_watch() {
    in_a_lab(|lab| {
        let routerd = start(lab, &[]);
        let watch = |topic: &str| routerd.watch(&format!("monitor {topic}")).unwrap();
        let (mut flows, mut routes, mut neighbors, mut rows) =
            (watch("flows"), watch("routes"), watch("neighbors"), watch("routes -j"));
        // A watcher is heard of by what it is told: events from before it came are not for it.
        let heard = |watcher: &mut Process, cause: &dyn Fn(u32), said: &str| {
            let mut tries = 0;
            wait_until(&format!("{said:?}"), SECONDS_5, || {
                cause(tries);
                tries += 1;
                (watcher.output().contains(said)).then_some(())
            })
            .unwrap();
        };
        heard(&mut flows, &|_| assert!(answers(lab, "10.0.2.2")), "[NEW] icmp     1 ");
        routerd.tell("flows flush").unwrap();
        flows.wait_line("[DESTROY] icmp     1 ", SECONDS_5).unwrap();

        let route = |number| format!("10.77.{number}.0/24");
        let add = |number| lab.at("r1").ip(&format!("route add {} via 10.0.2.2", route(number))).unwrap();
        heard(&mut routes, &add, "10.77.0.0/24 via 10.0.2.2 dev r1");
        heard(&mut rows, &|number| add(100 + number), r#""prefix":"10.77.1"#);
        for line in ["route del 10.77.0.0/24", "route add unreachable 10.78.0.0/16"] {
            lab.at("r1").ip(line).unwrap();
        }
        routes.wait_line("Deleted 10.77.0.0/24", SECONDS_5).unwrap();
        routes.wait_line("unreachable 10.78.0.0/16", SECONDS_5).unwrap();
        let row = rows.wait_line("10.78.0.0/16", SECONDS_5).unwrap();
        let row: serde_json::Value = serde_json::from_str(&row).unwrap();
        assert_eq!(
            (&row["event"], &row["route"]["type"]),
            (&"changed".into(), &"unreachable".into()),
            "{row}"
        );

        let teach = |number| {
            lab.at("r1")
                .ip(&format!("neighbor replace 10.0.2.{} lladdr 02:00:00:00:77:77 dev r1", 100 + number))
                .unwrap();
        };
        heard(&mut neighbors, &teach, "lladdr 02:00:00:00:77:77 PERMANENT");
        routerd.stop().unwrap();
    });
}
