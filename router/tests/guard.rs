//! The guard against the kernel: transit stops, everything else goes on, and nothing stays behind.

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use fib::adjacency::PortId;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use router::frame::{Frame, Pool};
use router::guard::{Guard, Handover, TABLE, is_taken};
use router::packet::parse::parse;
use router::port::af_packet::{AfPacket, Settings, index_of};
use router::port::{Framing, Port, tag_of};
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

/// A packet socket that sees what passes in a namespace, what is sent included.
fn tap() -> Socket {
    let every_protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
    let tap = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(every_protocol))).unwrap();
    tap.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    tap
}

#[test]
fn a_kernel_that_is_not_the_host_hears_nothing_and_says_nothing() {
    in_namespace(|| {
        let lab = Lab::new();
        let mut guard = Guard::set_whole(["r0", "r1"]).unwrap();
        lab.left.ip("neigh flush all");
        let mut far = lab.right.inside(tap);
        for address in ROUTER.iter().chain(&FAR) {
            assert!(lab.left.misses(address), "{address} was answered");
        }
        // The kernel's own wish to speak leads nowhere either: neither its questions for neighbors nor its pings.
        for address in ["198.51.100.9", "2001:db8:2::9", "ff02::1%r1"] {
            run("ping", &format!("-c 1 -W 1 {address}"), "");
        }
        let mut frame = [0; 2048];
        while let Ok(length) = far.read(&mut frame) {
            let from_router = frame[6..12] != lab.right.mac("e1");
            assert!(!from_router, "the kernel has sent {:02x?}", &frame[..length]);
        }

        // What routerd sends bears its mark, and passes.
        let mut port = AfPacket::open(index_of("r1").unwrap(), &Settings::default()).unwrap();
        let mut pool = Pool::new(4);
        let mut own = pool.take().unwrap();
        let bytes = [&[0xff; 6][..], &[2, 9, 9, 9, 9, 9], &[0x88, 0xb5], &[7; 46]].concat();
        own.copy_from(&bytes);
        port.send(&mut pool, &mut vec![own]);
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            assert!(Instant::now() < patience, "routerd's frame has not arrived");
            if far.read(&mut frame).is_ok_and(|length| frame[..length] == bytes) {
                break;
            }
        }

        guard.rearm(["r0"]).unwrap();
        assert!(lab.right.reaches("198.51.100.1"), "r1 is the kernel's again");
        assert!(lab.left.misses("192.0.2.1"));
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
        let mut tap = tap();
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

/// What the near host sends to the router.
#[derive(Clone, Debug)]
struct Probe {
    ipv6: bool,
    link_local: bool,
    protocol: u8,
    /// IPv6 headers before the transport.
    extensions: Vec<u8>,
    /// Offset in units of eight bytes, and whether more follows.
    fragment: Option<(u16, bool)>,
    transport: Vec<u8>,
}

fn probes() -> impl Strategy<Value = Probe> {
    let protocol =
        prop::sample::select(vec![1, 2, 6, 17, 17, 33, 41, 47, 50, 51, 58, 58, 89, 112, 132, 136, 255]);
    let word = prop::sample::select(vec![0_u16, 53, 67, 68, 520, 521, 546, 3784, 3785, 8080, 65_535]);
    let kind = prop::sample::select(vec![
        0, 1, 2, 3, 4, 8, 128, 129, 130, 131, 132, 133, 134, 137, 138, 142, 143, 144,
    ]);
    let transport = (kind, word, 0_usize..24).prop_map(|(kind, port, length)| {
        let mut bytes = vec![kind, 7];
        bytes.extend(port.to_be_bytes());
        bytes.resize(length.max(4), 0);
        bytes.truncate(length);
        bytes
    });
    let extensions = prop::collection::vec(prop::sample::select(vec![0, 43, 60, 51]), 0..3);
    let fragment = prop::option::of((prop::sample::select(vec![0_u16, 0, 1, 100]), any::<bool>()));
    (any::<bool>(), prop::bool::weighted(0.1), protocol, extensions, fragment, transport).prop_map(
        |(ipv6, link_local, protocol, extensions, fragment, transport)| Probe {
            ipv6,
            link_local,
            protocol,
            extensions,
            fragment,
            transport,
        },
    )
}

impl Probe {
    /// The frame to `mac`, from the link address that `number` stands for.
    fn frame(&self, mac: [u8; 6], number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        let mut frame = [&mac[..], &[0x02, 0x99, 0, 0, high, low]].concat();
        if self.ipv6 {
            frame.extend([0x86, 0xdd]);
            frame.extend(self.ipv6_packet());
        } else {
            frame.extend([8, 0]);
            frame.extend(self.ipv4_packet());
        }
        frame
    }

    fn ipv4_packet(&self) -> Vec<u8> {
        let (offset, more) = self.fragment.unwrap_or_default();
        let len = 20 + self.transport.len() as u8;
        let [high, low] = (offset | u16::from(more) << 13).to_be_bytes();
        let mut packet = vec![0x45, 0, 0, len, 0, 1, high, low, 64, self.protocol, 0, 0];
        packet.extend([192, 0, 2, 9, 192, 0, 2, 1]);
        router::packet::ipv4::write_checksum(&mut packet);
        packet.extend(&self.transport);
        packet
    }

    fn ipv6_packet(&self) -> Vec<u8> {
        let mut headers = Vec::new();
        let fragment = self.fragment.map(|_| 44);
        let chain: Vec<u8> = self.extensions.iter().copied().chain(fragment).chain([self.protocol]).collect();
        for (place, kind) in chain.iter().enumerate().take(chain.len() - 1) {
            let next = chain[place + 1];
            headers.extend(match kind {
                44 => {
                    let (offset, more) = self.fragment.unwrap();
                    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                    [next, 0, high, low, 0, 0, 0, 1]
                }
                // An authentication header counts in words of four bytes, less two.
                51 => [next, 0, 0, 0, 0, 0, 0, 1],
                // Padding; or a routing header with no segments left.
                _ => [next, 0, 1, 4, 0, 0, 0, 0],
            });
        }
        let len = (headers.len() + self.transport.len()) as u8;
        let source: std::net::Ipv6Addr =
            if self.link_local { "fe80::9" } else { "2001:db8:1::9" }.parse().unwrap();
        let destination: std::net::Ipv6Addr = "2001:db8:1::1".parse().unwrap();
        let mut packet = vec![0x60, 0, 0, 0, 0, len, chain[0], 64];
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(headers);
        packet.extend(&self.transport);
        packet
    }
}

#[test]
fn the_router_and_the_guard_agree_on_what_is_taken_from_the_kernel() {
    const PROBES: u16 = 1500;
    in_namespace(|| {
        let lab = Lab::new();
        ip("tuntap add dev routerd mode tap");
        ip("link set routerd up");
        let mut guard = Guard::set(["r0", "r1"], kernel()).unwrap();
        let ports = vec![("r0", tag_of(PortId(0))), ("r1", tag_of(PortId(1)))];
        guard.rearm_handing_over(["r0", "r1"], &Handover { device: "routerd", ports }).unwrap();
        // Behind the guard stands a witness of what it has left to the kernel.
        let witness = "table netdev witness {
            set seen {
                type ether_addr
                flags dynamic
                size 65535
            }
            chain behind {
                type filter hook ingress device \"r0\" priority 0
                add @seen { ether saddr }
            }
        }";
        let output = run("nft", "-f -", witness);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let mac: Vec<u8> =
            address_of_r0().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let mac: [u8; 6] = mac.try_into().unwrap();
        let mut runner = TestRunner::default();
        let probes: Vec<Probe> =
            (0..PROBES).map(|_| probes().new_tree(&mut runner).unwrap().current()).collect();
        let frames: Vec<Vec<u8>> =
            probes.iter().zip(0..).map(|(probe, number)| probe.frame(mac, number)).collect();
        // The last is left to the kernel by any guard: ARP.
        let mut last = [&[0xff; 6][..], &[0x02, 0x99, 0, 0, 0xff, 0xff, 8, 6]].concat();
        last.resize(60, 0);
        let sent = frames.iter().cloned().chain([last]).collect::<Vec<_>>();
        lab.left.inside(move || {
            let index = index_of("e0").unwrap();
            let mut port = AfPacket::open(index, &Settings::default()).unwrap();
            let mut pool = Pool::new(8);
            for bytes in sent {
                let mut frame = Frame::empty();
                frame.copy_from(&bytes);
                port.send(&mut pool, &mut vec![frame]);
            }
            assert_eq!(port.counters().send_dropped, 0);
        });

        let patience = Instant::now() + Duration::from_secs(10);
        let seen = loop {
            let listed = run("nft", "list set netdev witness seen", "");
            let seen = String::from_utf8(listed.stdout).unwrap();
            if seen.contains("02:99:00:00:ff:ff") {
                break seen;
            }
            assert!(Instant::now() < patience, "the last frame has not come: {seen}");
        };
        let mut taken_count = 0;
        for (number, (probe, frame)) in probes.iter().zip(&frames).enumerate() {
            // What is no packet ends here either way.
            let Ok(parsed) = parse(frame, Framing::Ethernet) else { continue };
            let taken = is_taken(&parsed.ip, &frame[parsed.network..]);
            taken_count += usize::from(taken);
            let left = seen.contains(&format!("02:99:00:00:{:02x}:{:02x}", number >> 8, number & 0xff));
            assert_eq!(left, !taken, "{probe:?}: left to the kernel {left}, taken by routerd {taken}");
        }
        assert!((300..1400).contains(&taken_count), "{taken_count} taken: the probes are of one kind");
    });
}

fn address_of_r0() -> String {
    let output = run("ip", "-o link show dev r0", "");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap().to_owned()
}
