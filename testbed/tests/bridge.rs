//! Three hosts on a bridge, routerd's and the kernel's: whatever is sent, both pass it to the same places, as it was.

use std::sync::Arc;
use std::thread;

use testbed::frames::{Checksum, Cut, ETHERTYPE_IPV4, Link, Mac, Offload, Payload, Tcp, V4};
use testbed::lab::{self, Lab, Plan, Role, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::{Download, ping};
use testbed::scenario::server::{Server, content};
use testbed::wire::{Frame, Wire};

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
const PORTS: [&str; 3] = ["a0", "a1", "a2"];
/// Bytes of a download.
const LARGE: usize = 50 << 20;

/// Whose bridge it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Kernels,
    Routerds,
}

/// Three stations around `r1`.
fn plan(role: Role) -> Plan {
    let plan =
        HOSTS.into_iter().fold(Plan::new().station("r1", Role::Wire), |plan, host| plan.station(host, role));
    (1..).zip(HOSTS.into_iter().zip(PORTS)).fold(plan, |plan, (number, (host, port))| {
        let addresses =
            if role == Role::Host { format!(" 10.0.0.{number}/24 fd00::{number}/64") } else { String::new() };
        plan.link(&format!("{host}:eth0{addresses}"), &format!("r1:{port}"))
    })
}

/// The lab with the kernel's bridge, or ports for routerd's.
fn build(plan: Plan, whose: Whose) -> Lab {
    let plan = match whose {
        Whose::Kernels => {
            let plan = plan.ip("r1", "link add br0 type bridge mcast_snooping 0");
            let plan = PORTS
                .into_iter()
                .fold(plan, |plan, port| plan.ip("r1", &format!("link set {port} master br0")));
            plan.ip("r1", "link set br0 up")
        }
        Whose::Routerds => plan,
    };
    let lab = Lab::build(&plan).unwrap();
    let passes = || {
        let ports = lab.run("r1", "ip -o link show", SECONDS_5).unwrap().ok().unwrap();
        (!ports.contains("qdisc noop ")).then_some(())
    };
    wait_until("the links", SECONDS_5, passes).unwrap();
    lab
}

/// Starts whose bridge it is; the kernel's is there already.
fn start(lab: &Lab, whose: Whose) -> Option<Running<'_>> {
    let bridge = format!("[[bridge]]\nname = \"br0\"\nports = {PORTS:?}\n");
    (whose == Whose::Routerds).then(|| {
        let router = Router::routerd(&[]).unwrap().owned("none").configured(&bridge);
        router.start(lab, "r1", &PORTS).unwrap()
    })
}

/// Runs `scene` with either bridge.
fn with_both(role: Role, scene: impl Fn(&Lab, Option<&Running<'_>>)) {
    if !lab::labs_can_run() {
        return;
    }
    for whose in [Whose::Kernels, Whose::Routerds] {
        println!("{whose:?}");
        let lab = build(plan(role), whose);
        let router = start(&lab, whose);
        scene(&lab, router.as_ref());
    }
}

#[test]
fn hosts_ping_and_fetch_50_megabytes_with_default_offloads() {
    with_both(Role::Host, |lab, router| {
        for (from, to) in [("h1", 2), ("h2", 3), ("h3", 1)] {
            for to in [format!("10.0.0.{to}"), format!("fd00::{to}")] {
                assert!(ping(lab, from, &to, 5).unwrap() >= 5, "{to} from {from}");
                let large = format!("-s 9000 {to}");
                assert!(ping(lab, from, &large, 3).unwrap() >= 3, "{to} from {from} in fragments");
            }
        }
        let content = Arc::new(content(LARGE));
        let _server = Server::start(lab.at("h2"), Arc::clone(&content)).unwrap();
        for (from, address) in [("h1", "10.0.0.2"), ("h3", "fd00::2")] {
            let came = Download::start(lab, from, address, "1000M").unwrap().finish().unwrap();
            assert!(came == *content, "{address}: {} of {LARGE} bytes", came.len());
        }
        let Some(router) = router else { return };
        let bridge = &router.ask("show bridges").unwrap()[0];
        assert!(bridge["counters"]["forwarded"].as_u64().unwrap() > 1000, "{bridge}");
        let macs = router.ask("show macs").unwrap();
        let learned: Vec<_> =
            macs.as_array().unwrap().iter().filter(|row| row["kind"] == "learned").collect();
        assert_eq!(learned.len(), 3, "{macs}");
    });
}

#[test]
fn hosts_reach_the_bridges_own_addresses_and_a_network_behind_it() {
    if !lab::labs_can_run() {
        return;
    }
    let far = plan(Role::Host).station("h4", Role::Host).link("h4:eth0 10.0.9.4/24", "r1:r0");
    let far = far.ip("h4", "route add default via 10.0.9.1").ip("h2", "route add 10.0.9.0/24 via 10.0.0.254");
    let lab = build(far, Whose::Routerds);
    let own = format!(
        "[host]\naddresses = [\"10.0.0.254/24 dev br0 nodad\", \"fd00::254/64 dev br0 nodad\", \
         \"10.0.9.1/24 dev r0 nodad\"]\n[[bridge]]\nname = \"br0\"\nports = {PORTS:?}\n"
    );
    let router = Router::routerd(&[]).unwrap().owned("none").configured(&own);
    let router = router.start(&lab, "r1", &["a0", "a1", "a2", "r0"]).unwrap();
    for host in HOSTS {
        for own in ["10.0.0.254", "fd00::254", "10.0.0.254 -s 9000"] {
            assert!(ping(&lab, host, own, 3).unwrap() >= 3, "{own} from {host}");
        }
    }
    assert!(ping(&lab, "h2", "10.0.9.4", 3).unwrap() >= 3);
    let content = Arc::new(content(LARGE));
    let _server = Server::start(lab.at("h4"), Arc::clone(&content)).unwrap();
    let came = Download::start(&lab, "h2", "10.0.9.4", "1000M").unwrap().finish().unwrap();
    assert!(came == *content, "{} of {LARGE} bytes through the router", came.len());
    let neighbors = router.ask("show neighbors").unwrap();
    let on_bridge = |row: &&serde_json::Value| row["port"] == "br0" && row["address"] == "10.0.0.2";
    assert!(neighbors.as_array().unwrap().iter().any(|row| on_bridge(&row)), "{neighbors}");
}

#[test]
fn jumbo_frames_pass_where_all_ports_take_them() {
    let jumbo = |plan: Plan| {
        let hosts = HOSTS.into_iter().fold(plan, |plan, host| plan.ip(host, "link set eth0 mtu 9000"));
        ["a0", "a1"].into_iter().fold(hosts, |plan, port| plan.ip("r1", &format!("link set {port} mtu 9000")))
    };
    if !lab::labs_can_run() {
        return;
    }
    for whose in [Whose::Kernels, Whose::Routerds] {
        let lab = build(jumbo(plan(Role::Host)), whose);
        let router = start(&lab, whose);
        let large = |to: &str| {
            lab.run("h1", &format!("ping -n -c 3 -i 0.05 -W 1 -M do -s 8972 {to}"), SECONDS_5).unwrap()
        };
        assert!(large("10.0.0.2").ok().is_ok(), "{whose:?}");
        assert!(large("10.0.0.3").ok().is_err(), "{whose:?}: a2 takes 1500 bytes");
        assert!(ping(&lab, "h1", "10.0.0.3", 3).unwrap() >= 3, "{whose:?}");
        if let Some(router) = router {
            assert!(router.ask("show drops").unwrap()["bridge_too_big"].as_u64().unwrap() >= 3);
        }
    }
}

/// Stations that frames come from and go to; the last is nobody.
const STATIONS: [Mac; 5] =
    [[2, 0, 0, 0, 77, 0], [2, 0, 0, 0, 77, 1], [2, 0, 0, 0, 77, 2], [2, 0, 0, 0, 77, 3], [2, 0, 0, 0, 77, 4]];

/// A frame of an experiment, of these to those, with tags: short, long, or a super-packet.
fn frame(destination: Mac, source: Mac, tags: &[(u16, u16)], number: u16, kind: usize) -> Frame {
    let link = Link { destination, source, tags: tags.to_vec(), trailer: Vec::new() };
    let number = number.to_be_bytes();
    match kind {
        0 => link.around(0x88b5, &number).into(),
        1 => link.around(0x88b5, &[&number[..], &[0x5a; 1490]].concat()).into(),
        _ => large(&link, &number),
    }
}

/// A TCP super-packet with an unfinished checksum.
fn large(link: &Link, number: &[u8]) -> Frame {
    let tcp = Tcp {
        source: 7,
        destination: 9,
        sequence: 1,
        acknowledgment: 2,
        header_words: None,
        flags: 0x18,
        window: 500,
        checksum: Checksum::Partial,
        options: Vec::new(),
        data: number.repeat(8000),
    };
    let packet = V4 {
        version: 4,
        header_words: None,
        tos: 0,
        total_length: None,
        id: 1,
        reserved: false,
        dont_fragment: true,
        more_fragments: false,
        offset: 0,
        ttl: 64,
        protocol: None,
        checksum: Checksum::Right,
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        options: Vec::new(),
        payload: Payload::Tcp(tcp),
    };
    let transport = 14 + 4 * link.tags.len() as u16 + 20;
    let offload = Offload { checksum: Some((transport, 16)), segments: Some((Cut::Tcp4, 1000)) };
    Frame { bytes: link.around(ETHERTYPE_IPV4, &packet.bytes()), offload }
}

/// Numbers that look random, the same for the same seed (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Frames of a story: the host that sends each, and the frame.
fn story(seed: u64) -> Vec<(usize, Frame)> {
    let mut dice = Dice(seed);
    let groups: [Mac; 4] =
        [[0xff; 6], [0x33, 0x33, 0, 0, 0, 9], [1, 0x80, 0xc2, 0, 0, 0x10], [1, 0, 0x5e, 0, 0, 5]];
    let tags: [&[(u16, u16)]; 7] = [
        &[],
        &[],
        &[(0x8100, 0xe000)],
        &[(0x8100, 0x7005)],
        &[(0x88a8, 0x300a)],
        &[(0x88a8, 9), (0x8100, 0xa00a)],
        &[(0x8100, 1), (0x8100, 2), (0x8100, 3)],
    ];
    let next = |number| {
        let host = dice.below(HOSTS.len());
        // Mostly at home, sometimes moved to another host.
        let source = if dice.below(4) == 0 { dice.below(4) } else { host };
        let destination = match dice.below(8) {
            0 => groups[dice.below(groups.len())],
            _ => STATIONS[dice.below(STATIONS.len())],
        };
        let tags = tags[dice.below(tags.len())];
        // The kernel cuts super-packets with two tags where they are sent, and takes long frames with one tag at most.
        let kind = dice.below(if tags.len() > 1 { 1 } else { 3 });
        let kind = if kind == 1 && tags.first().is_some_and(|tag| tag.0 == 0x88a8) { 0 } else { kind };
        (host, frame(destination, STATIONS[source], tags, number, kind))
    };
    (0..150).map(next).collect()
}

/// Who marks the end of each frame's way.
const MARKER: Mac = [2, 0, 0, 0, 78, 0];

/// Sends each frame, and lists which hosts it came to, with what came.
fn tell(lab: &Lab, story: &[(usize, Frame)]) -> Vec<Vec<(usize, Frame)>> {
    let mut wires = HOSTS.map(|host| Wire::open(lab.at(host), "eth0").unwrap());
    let mut came = Vec::new();
    for (number, (host, sent)) in (0_u16..).zip(story) {
        let mark = [MARKER[0], 0, 0, 0, 78, *host as u8];
        let mark = frame([0xff; 6], mark, &[], number, 0);
        wires[*host].send(sent).unwrap();
        wires[*host].send(&mark).unwrap();
        let mut arrived = Vec::new();
        for (other, wire) in wires.iter_mut().enumerate().filter(|(other, _)| other != host) {
            wait_until(&format!("the mark behind frame {number}"), SECONDS_5, || {
                let frame = wire.receive().unwrap()?;
                if frame.bytes.get(6..11) == Some(&STATIONS[0][..5]) {
                    arrived.push((other, frame.clone()));
                }
                (frame == mark).then_some(())
            })
            .unwrap();
        }
        came.push(arrived);
    }
    came
}

#[test]
fn frames_of_all_kinds_go_where_the_kernels_bridge_sends_them_and_come_as_they_were() {
    if !lab::labs_can_run() {
        return;
    }
    for seed in [1, 2] {
        let story = story(seed);
        let [kernel, routerd] = thread::scope(|scope| {
            [Whose::Kernels, Whose::Routerds]
                .map(|whose| {
                    let story = &story;
                    scope.spawn(move || {
                        let lab = build(plan(Role::Wire), whose);
                        let _router = start(&lab, whose);
                        tell(&lab, story)
                    })
                })
                .map(|thread| thread.join().unwrap())
        });
        for (number, ((sent, kernel), routerd)) in story.iter().zip(&kernel).zip(&routerd).enumerate() {
            assert!(
                kernel == routerd,
                "seed {seed}, frame {number} {:02x?} from {}: kernel {:02x?} routerd {:02x?}",
                &sent.1.bytes[..60.min(sent.1.bytes.len())],
                HOSTS[sent.0],
                kernel
                    .iter()
                    .map(|(host, frame)| (host, frame.bytes.len(), frame.offload))
                    .collect::<Vec<_>>(),
                routerd
                    .iter()
                    .map(|(host, frame)| (host, frame.bytes.len(), frame.offload))
                    .collect::<Vec<_>>(),
            );
            assert!(
                routerd.iter().all(|(_, frame)| *frame == sent.1),
                "seed {seed}, frame {number} is changed"
            );
        }
        assert!(routerd.iter().flatten().count() > 150, "most frames came somewhere");
    }
}
