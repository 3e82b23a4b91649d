//! Services of the router itself while it translates for others: BGP and ssh.

use testbed::lab::{self, Lab, wait_until};
use testbed::router::Router;
use testbed::scenario::clients::{SECONDS_20, ping};
use testbed::scenario::frr::{CONVERGENCE, Frr, Protocol, RING, RING_PORTS, learned_next_hop, ring};
use testbed::scenario::nat::{HOME_ROUTER, OUTSIDE};
use testbed::scenario::ssh::Ssh;

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
    if !Ssh::can_run() {
        return;
    }
    behind(router, HOME_ROUTER, |lab, running| {
        let ssh = Ssh::start(lab, "r1", LENGTH).unwrap();
        for (from, to) in [("s", OUTSIDE[0]), ("s", OUTSIDE[1]), ("c1", "10.0.1.1"), ("c2", OUTSIDE[0])] {
            let session = ssh.fetch(lab, from, to).unwrap();
            running.load_rules(HOME_ROUTER).unwrap();
            let said = session.finish(SECONDS_20).unwrap();
            assert!(ssh.has_fetched(&said).unwrap(), "{from} to {to}: {}{}", said.output, said.error);
        }
    });
}

through_kernel_and_routerd! {
    bgp_sessions_of_masquerading_routers_stay,
    ssh_to_the_router_works_while_it_translates,
}
