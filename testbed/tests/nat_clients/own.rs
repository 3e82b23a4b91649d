//! Services of the router itself while it translates for others: BGP and ssh.

use std::fs;

use testbed::lab::{self, Lab, Process, SECONDS_5, wait_until};
use testbed::programs;
use testbed::router::Router;
use testbed::scenario::clients::{SECONDS_20, ping};
use testbed::scenario::frr::{CONVERGENCE, Frr, Protocol, RING, RING_PORTS, learned_next_hop, ring};
use testbed::scenario::nat::{HOME_ROUTER, OUTSIDE};
use testbed::scenario::server::content;

use crate::{behind, through_kernel_and_routerd};

/// Whatever leaves the local network bears the router's address.
const MASQUERADE: &str = r#"
flush ruleset
table inet nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname { "next", "before" } masquerade
    }
}
"#;

fn bgp_sessions_of_masquerading_routers_stay(router: &Router) {
    if !lab::labs_can_run() || !Frr::can_run() {
        return;
    }
    let lab = Lab::build(&ring()).unwrap();
    let routers = RING.map(|station| router.start(&lab, station, &RING_PORTS).unwrap());
    for router in &routers {
        router.load_rules(MASQUERADE).unwrap();
    }
    let _daemons = [0, 1, 2].map(|place| Frr::start(&lab, place, Protocol::Bgp).unwrap());
    let prefixes = ["10.2.2.0/24", "10.2.3.0/24", "fd02:2::/64", "fd02:3::/64"];
    let learned = |prefix: &str| learned_next_hop(&lab, "a", prefix, Protocol::Bgp).unwrap();
    for prefix in prefixes {
        wait_until(prefix, CONVERGENCE, || learned(prefix)).unwrap();
    }
    for host in ["10.2.2.2", "fd02:3::2"] {
        wait_until(host, CONVERGENCE, || (ping(&lab, "ha", host, 10).unwrap() == 10).then_some(())).unwrap();
    }
    // Sessions time out after three seconds; the routes are there all the while, also when the rules come anew.
    for round in 0..12 {
        if round % 4 == 1 {
            routers.iter().for_each(|router| drop(router.load_rules(MASQUERADE).unwrap()));
        }
        for prefix in prefixes {
            assert!(learned(prefix).is_some(), "{prefix} is gone in round {round}");
        }
        assert_eq!(ping(&lab, "ha", ["10.2.2.2", "fd02:3::2"][round % 2], 10).unwrap(), 10);
    }
}

/// A session of ssh that copies a file's worth of bytes back and forth.
fn ssh_to_the_router_works_while_it_translates(router: &Router) {
    const LENGTH: usize = 5 << 20;
    if !programs::can_run(&["sshd", "ssh", "ssh-keygen"], Some("sshd")) {
        return;
    }
    behind(router, HOME_ROUTER, |lab, running| {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let make_key = format!("ssh-keygen -q -t ed25519 -N  -f {}", file("key"));
        let words: Vec<&str> = make_key.split(' ').collect();
        Process::start(lab.at("r1"), &words).unwrap().finish(SECONDS_5).unwrap().ok().unwrap();
        fs::copy(file("key.pub"), file("authorized")).unwrap();
        fs::write(file("data"), content(LENGTH)).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let configuration = format!(
            "Port 22\nHostKey {0}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n\
             AuthorizedKeysFile {1}\nPasswordAuthentication no\n",
            file("key"),
            file("authorized")
        );
        fs::write(file("sshd_config"), configuration).unwrap();
        let mut sshd = lab.start("r1", &format!("/usr/sbin/sshd -D -e -f {}", file("sshd_config"))).unwrap();
        sshd.wait_line("Server listening", SECONDS_5).unwrap();
        for (from, to) in [("s", OUTSIDE[0]), ("s", OUTSIDE[1]), ("c1", "10.0.1.1"), ("c2", OUTSIDE[0])] {
            let options = format!(
                "-i {} -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
                file("key")
            );
            let line = format!("ssh {options} root@{to} cat {}", file("data"));
            let mut command = std::process::Command::new("ssh");
            command.args(line.split(' ').skip(1));
            command.args([">", &file("copy"), "&&", "echo", "copied"]);
            let session = Process::start_command(lab.at(from), command).unwrap();
            running.load_rules(HOME_ROUTER).unwrap();
            let said = session.finish(SECONDS_20).unwrap();
            assert!(said.output.contains("copied"), "{from} to {to}: {}{}", said.output, said.error);
            assert!(fs::read(file("copy")).unwrap() == content(LENGTH));
            fs::remove_file(file("copy")).unwrap();
        }
    });
}

through_kernel_and_routerd! {
    bgp_sessions_of_masquerading_routers_stay,
    ssh_to_the_router_works_while_it_translates,
}
