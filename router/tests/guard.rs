//! The guard against the kernel: transit stops, everything else goes on, and nothing stays behind.

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use router::guard::{Guard, TABLE};
use router::sysctl::{KernelForwarding, Sysctl};
use socket2::{Domain, Protocol, Socket, Type};
use support::{Host, in_namespace, ip, run};

/// A router between two hosts, forwarding by the kernel.
struct Lab {
    left: Host,
    right: Host,
}

/// The right host's addresses, which only transit reaches.
const FAR: [&str; 2] = ["198.51.100.9", "2001:db8:2::9"];
/// The router's: near side, far side, both families.
const ROUTER: [&str; 4] = ["192.0.2.1", "198.51.100.1", "2001:db8:1::1", "2001:db8:2::1"];

impl Lab {
    fn new() -> Self {
        let lab = Self { left: Host::new(), right: Host::new() };
        let sides = [(&lab.left, 0, "192.0.2", "2001:db8:1"), (&lab.right, 1, "198.51.100", "2001:db8:2")];
        for (host, number, v4, v6) in sides {
            ip(&format!("link add r{number} type veth peer name e{number}"));
            host.adopt(&format!("e{number}"));
            ip(&format!("link set r{number} up"));
            host.ip(&format!("link set e{number} up"));
            ip(&format!("addr add {v4}.1/24 dev r{number}"));
            ip(&format!("addr add {v6}::1/64 dev r{number} nodad"));
            host.ip(&format!("addr add {v4}.9/24 dev e{number}"));
            host.ip(&format!("addr add {v6}::9/64 dev e{number} nodad"));
            host.ip(&format!("route add default via {v4}.1"));
            host.ip(&format!("-6 route add default via {v6}::1"));
        }
        forward(true);
        lab
    }

    /// Asserts that the far host is reached over both families.
    fn assert_transit(&self) {
        for address in FAR {
            assert!(self.left.reaches(address), "the kernel forwards to {address}");
        }
    }

    /// Asserts that it is reached over neither.
    fn assert_no_transit(&self) {
        for address in FAR {
            assert!(self.left.misses(address), "{address} was reached");
        }
    }
}

fn forward(on: bool) {
    for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{file}"), if on { "1" } else { "0" }).unwrap();
    }
}

fn table_stands() -> bool {
    run("nft", &format!("list table netdev {TABLE}"), "").status.success()
}

fn kernel() -> KernelForwarding {
    Sysctl::default().kernel_forwarding(["r0", "r1"])
}

#[test]
fn transit_stops_and_local_traffic_goes_on() {
    in_namespace(|| {
        let lab = Lab::new();
        lab.assert_transit();
        assert_eq!(kernel(), KernelForwarding { ipv4: true, ipv6: true });

        let guard = Guard::set(["r0", "r1"], kernel()).unwrap();
        assert!(guard.is_set());
        lab.assert_no_transit();
        // Neighbors are found anew as well.
        lab.left.ip("neigh flush all");
        ip("neigh flush all");
        for address in ROUTER {
            assert!(lab.left.reaches(address), "{address} is the router's own");
        }
        assert!(lab.left.reaches("ff02::1%e0"), "multicast goes on");
        let link_local = own_link_local();
        assert!(lab.left.reaches(&format!("{link_local}%e0")), "{link_local} goes on");

        drop(guard);
        assert!(!table_stands());
        lab.assert_transit();
    });
}

/// The router's link-local address on r0.
fn own_link_local() -> String {
    let output = run("ip", "-6 -o addr show dev r0 scope link", "");
    let text = String::from_utf8(output.stdout).unwrap();
    let address = text.split_whitespace().find(|word| word.starts_with("fe80")).expect("r0 has one");
    address.split('/').next().unwrap().to_owned()
}

#[test]
fn the_packet_tap_still_sees_what_the_guard_drops() {
    in_namespace(|| {
        let lab = Lab::new();
        let _guard = Guard::set(["r0", "r1"], kernel()).unwrap();
        let every_protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
        let mut tap = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(every_protocol))).unwrap();
        tap.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        lab.assert_no_transit();

        let mut waiting =
            vec![vec![198, 51, 100, 9], vec![0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]];
        let patience = Instant::now() + Duration::from_secs(5);
        let mut frame = [0; 2048];
        while !waiting.is_empty() && Instant::now() < patience {
            let Ok(length) = tap.read(&mut frame) else { continue };
            waiting.retain(|destination| {
                !frame[..length].windows(destination.len()).any(|part| part == destination)
            });
        }
        assert!(waiting.is_empty(), "not seen by the tap: {waiting:?}");
    });
}

#[test]
fn the_kernel_sends_no_error_for_what_it_has_no_route_to() {
    in_namespace(|| {
        let lab = Lab::new();
        let errors = |address: &'static str| {
            let output = lab.left.inside(move || run("ping", &format!("-n -c 1 -W 1 {address}"), ""));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.contains("nreachable") || text.contains("No route")
        };
        lab.assert_transit();
        for address in ["203.0.113.1", "2001:db8:f::1"] {
            assert!(errors(address), "without the guard the kernel refuses {address}");
        }
        let _guard = Guard::set(["r0", "r1"], kernel()).unwrap();
        for address in ["203.0.113.1", "2001:db8:f::1"] {
            assert!(!errors(address), "with the guard the kernel is silent on {address}");
        }
    });
}

#[test]
fn a_port_made_anew_under_its_name_is_guarded_again() {
    in_namespace(|| {
        let lab = Lab::new();
        let mut guard = Guard::set(["r0", "r1"], kernel()).unwrap();
        ip("link del r0");
        guard.rearm(["r1"]).unwrap();
        ip("link add r0 type veth peer name e0");
        lab.left.adopt("e0");
        ip("link set r0 up");
        lab.left.ip("link set e0 up");
        ip("addr add 192.0.2.1/24 dev r0");
        lab.left.ip("addr add 192.0.2.9/24 dev e0");
        lab.left.ip("route add default via 192.0.2.1");
        guard.rearm(["r0", "r1"]).unwrap();
        assert!(lab.left.misses(FAR[0]));
        assert!(lab.left.reaches(ROUTER[0]));

        let refused = guard.rearm(["r0", "nonsuch"]);
        // Linux 6.16 and later take names of devices yet to come.
        if refused.is_err() {
            assert!(lab.left.misses(FAR[0]), "a refused change leaves the guard as it was");
        }
        drop(guard);
        assert!(!table_stands());
        assert!(lab.left.reaches(FAR[0]), "it was the guard that stopped it");
    });
}

#[test]
fn what_a_killed_routerd_left_is_replaced() {
    in_namespace(|| {
        ip("link add r0 type veth peer name r1");
        let forgotten = Guard::set(["r0"], kernel()).unwrap();
        std::mem::forget(forgotten);
        assert!(table_stands());
        let guard = Guard::set(["r1"], kernel()).unwrap();
        let listed = run("nft", &format!("list table netdev {TABLE}"), "");
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(text.contains("\"r1\"") && !text.contains("\"r0\""), "{text}");
        drop(guard);
        assert!(!table_stands());
    });
}

#[test]
fn a_user_namespace_is_enough() {
    const INSIDE: &str = "ROUTER_TEST_INSIDE_USER_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        // The outer process runs another test of this program here.
        return;
    }
    in_namespace(|| {
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--net"])
            .arg(program)
            .args(["--exact", "transit_stops_and_local_traffic_goes_on", "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
}
