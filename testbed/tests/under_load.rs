//! Traffic goes on while ports, routes and flows come and go, on several workers too, and nothing is lost or counted
//! twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use testbed::lab::{self, Lab, SECONDS_5, wait_until};
use testbed::programs;
use testbed::router::{Router, Running};
use testbed::scenario::clients::{self, Pings, SECONDS_20, ping};
use testbed::scenario::{THREE_SUBNETS_PORTS, three_subnets};

/// Runs `scene` with routerd between three subnets, started with these arguments.
fn with_routerd(arguments: &[&str], scene: impl FnOnce(&Lab, &Running<'_>)) {
    if lab::labs_can_run() {
        let lab = Lab::build(&three_subnets()).unwrap();
        let routerd = Router::routerd(arguments).unwrap().start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
        scene(&lab, &routerd);
        routerd.stop().unwrap();
    }
}

/// Echo requests from `h1` to `h2`, both families, during `scene`: none is lost.
fn while_pings_pass(lab: &Lab, scene: impl FnOnce()) {
    let pings = ["10.0.2.2", "fd00:2::2"].map(|to| (to, Pings::start(lab, "h1", to).unwrap()));
    scene();
    for (to, pings) in pings {
        let (answered, lost) = pings.finish().unwrap();
        assert_eq!(lost, 0, "pings to {to}; {answered} were answered");
    }
}

fn answers(lab: &Lab, address: &str) {
    let again = wait_until(&format!("answers from {address}"), SECONDS_20, || {
        (ping(lab, "h1", address, 3).unwrap() == 3).then_some(())
    });
    again.unwrap();
}

fn counter(routerd: &Running<'_>, name: &str) -> u64 {
    routerd.ask("show counters").unwrap()[name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
}

/// Every frame received has come to one end.
fn counters_add_up(routerd: &Running<'_>) {
    let ends = ["forwarded", "local", "ignored", "dropped", "stolen"];
    // A frame that arrives between two readings is counted by the next.
    let sum = wait_until("counters that add up", SECONDS_5, || {
        let counters = routerd.ask("show counters").unwrap();
        let count = |name: &str| counters[name].as_u64().unwrap();
        let ended: u64 = ends.iter().map(|name| count(name)).sum();
        (ended == count("received")).then_some(())
    });
    sum.unwrap_or_else(|error| panic!("{error}\n{}", routerd.tell("show counters").unwrap()));
}

#[test]
fn what_happens_to_one_port_is_not_felt_on_the_others() {
    with_routerd(&[], |lab, routerd| {
        let port = |condition: &dyn Fn(&Value) -> bool| {
            let told = wait_until("the port as it now is", SECONDS_5, || {
                let ports = routerd.ask("show ports").unwrap();
                ports.as_array().unwrap().iter().any(condition).then_some(())
            });
            told.unwrap_or_else(|error| panic!("{error}\n{}", routerd.tell("show ports").unwrap()));
        };
        let (r1, h3) = (lab.at("r1"), lab.at("h3"));
        answers(lab, "10.0.3.2");
        while_pings_pass(lab, || {
            r1.ip("link set r2 name uplink").unwrap();
            answers(lab, "10.0.3.2");
            r1.ip("link set uplink name r2").unwrap();
            r1.ip("link set r2 mtu 1300").unwrap();
            port(&|port| port["name"] == "r2" && port["mtu"] == 1300);
            r1.ip("link set r2 address 02:00:00:00:bb:03").unwrap();
            port(&|port| port["mac"] == "02:00:00:00:bb:03");
            h3.ip("neighbor flush dev eth0").unwrap();
            answers(lab, "10.0.3.2");
            r1.ip("link set r2 down").unwrap();
            port(&|port| port["name"] == "r2" && port["state"] != "up");
            r1.ip("link set r2 up").unwrap();
            answers(lab, "10.0.3.2");
            r1.ip("link del r2").unwrap();
            port(&|port| port["name"] == "r2" && port["state"] != "up");
            let again =
                format!("link add r2 address 02:00:00:00:03:09 type veth peer name eth0 netns {}", h3.name());
            for line in [&again, "address add 10.0.3.1/24 dev r2", "link set r2 up"] {
                r1.ip(line).unwrap();
            }
            for line in
                ["address add 10.0.3.2/24 dev eth0", "link set eth0 up", "route add default via 10.0.3.1"]
            {
                h3.ip(line).unwrap();
            }
            port(&|port| port["name"] == "r2" && port["state"] == "up");
            answers(lab, "10.0.3.2");
        });
        counters_add_up(routerd);
    });
}

#[test]
fn a_burst_of_a_hundred_thousand_routes_stops_no_packet() {
    const ROUTES: u32 = 100_000;
    with_routerd(&[], |lab, routerd| {
        let before = counter(routerd, "routes");
        let lines: Vec<String> = (0..ROUTES)
            .map(|number| {
                let [_, high, middle, low] = number.to_be_bytes();
                format!("route add 100.{}.{middle}.{low}/32 via 10.0.2.2 proto 50", 64 + high)
            })
            .collect();
        let routes = |condition: &dyn Fn(u64) -> bool| {
            wait_until("the routes", 2 * SECONDS_20, || condition(counter(routerd, "routes")).then_some(()))
                .unwrap_or_else(|error| panic!("{error}: there are {}", counter(routerd, "routes")));
        };
        while_pings_pass(lab, || {
            lab.at("r1").batch(&lines).unwrap();
            routes(&|count| count >= before + u64::from(ROUTES));
            let got = routerd.ask("route get 100.64.1.7").unwrap();
            assert_eq!(got["via"], "10.0.2.2", "{got}");
            lab.at("r1").ip("route flush proto 50").unwrap();
            // The kernel may have added one or the other of its own.
            routes(&|count| count < before + 100);
            let left = routerd.tell("show routes").unwrap();
            assert!(!left.contains("100."), "{left}");
        });
        counters_add_up(routerd);
    });
}

#[test]
fn a_hundred_thousand_flows_are_listed_while_traffic_passes() {
    const PORTS: u16 = 60_000;
    with_routerd(&[], |lab, routerd| {
        // Nobody listens there; what h2 answers is nobody's business either. A port's ring holds 4096 frames.
        let here: IpAddr = "10.0.1.2".parse().unwrap();
        let mut sent = 0;
        for _ in 0..2 {
            let socket = lab.at("h1").inside(|| UdpSocket::bind((here, 0))).unwrap();
            for port in 1..=PORTS {
                socket.send_to(b"?", ("10.0.2.2", port)).unwrap();
                sent += 1;
                if port % 3000 == 0 {
                    wait_until(&format!("{sent} flows"), SECONDS_5, || {
                        (counter(routerd, "flows") >= sent).then_some(())
                    })
                    .unwrap_or_else(|error| panic!("{error}\n{}", routerd.tell("show ports").unwrap()));
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let listing = folder.path().join("flows");
        while_pings_pass(lab, || {
            let mut command = Command::new(programs::program("routerctl").unwrap());
            command.args(["-j", "show", "flows", "-p", "udp"]);
            command.stdout(Stdio::from(File::create(&listing).unwrap())).stdin(Stdio::null());
            assert!(lab.at("r1").inside(|| command.status()).unwrap().success());
        });
        let flows: Vec<Value> =
            serde_json::from_reader(BufReader::new(File::open(&listing).unwrap())).unwrap();
        let mut ids: Vec<u64> = flows.iter().map(|flow| flow["id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), flows.len(), "a flow was listed twice");
        assert_eq!(flows.len(), 2 * usize::from(PORTS));
        let one = routerd.ask("show flows -p udp --dport 777").unwrap();
        assert_eq!(one.as_array().unwrap().len(), 2);
        counters_add_up(routerd);
    });
}

/// h2 answers over its other link, so that the directions of a flow use ports, and sockets, of their own.
fn answers_go_another_way(lab: &Lab) {
    for route in ["default via 10.0.4.1 src 10.0.2.2", "default via fd00:4::1 src fd00:2::2"] {
        lab.at("h2").ip(&format!("route replace {route}")).unwrap();
    }
}

#[test]
fn two_workers_carry_many_streams_both_ways_round() {
    with_routerd(&["--workers", "2"], |lab, routerd| {
        answers_go_another_way(lab);
        for to in ["10.0.2.2", "fd00:2::2"] {
            for (options, least) in [
                ("--parallel 16", 100e6),
                ("--parallel 16 --reverse", 100e6),
                // Three fragments each.
                ("--udp --parallel 16 --bitrate 2M --length 4000", 30e6),
                ("--udp --parallel 16 --bitrate 2M --length 1200 --reverse", 30e6),
            ] {
                let rate = clients::iperf3(lab, "h1", "h2", to, options).unwrap();
                assert!(rate > least, "{options} to {to}: {rate} bits a second");
            }
        }
        // Sixteen streams and one that controls them, four times, each family.
        for family in ["ipv4", "ipv6"] {
            let flows = routerd
                .ask(&format!(
                    "show flows --family {family} -d {}",
                    if family == "ipv4" { "10.0.2.2" } else { "fd00:2::2" }
                ))
                .unwrap();
            let flows = flows.as_array().unwrap();
            let of = |protocol: &str| flows.iter().filter(|flow| flow["protocol"] == protocol).count();
            assert_eq!((of("tcp"), of("udp")), (2 * 17 + 2, 2 * 16), "{family}");
        }
        counters_add_up(routerd);
    });
}

/// Sockets of one end of many pairs, each connected to its peer of the other end.
fn pairs(lab: &Lab, addresses: [&str; 2], count: usize) -> [Vec<UdpSocket>; 2] {
    let bind = |station: &str, address: &str| -> Vec<UdpSocket> {
        let address: IpAddr = address.parse().unwrap();
        lab.at(station).inside(|| (0..count).map(|_| UdpSocket::bind((address, 0)).unwrap()).collect())
    };
    let ends = [bind("h1", addresses[0]), bind("h2", addresses[1])];
    for (one, other) in ends[0].iter().zip(&ends[1]) {
        let address = |socket: &UdpSocket| -> SocketAddr { socket.local_addr().unwrap() };
        one.connect(address(other)).unwrap();
        other.connect(address(one)).unwrap();
    }
    ends
}

/// Datagrams that wait in a socket, once no more come.
fn drain(socket: &UdpSocket) -> usize {
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buffer = [0; 4096];
    (0..)
        .take_while(|received| {
            if *received == DATAGRAMS {
                return false;
            }
            match socket.recv(&mut buffer) {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Err(error) => panic!("{error}"),
            }
        })
        .count()
}

/// Datagrams each socket of a pair sends.
const DATAGRAMS: usize = 4;

#[test]
fn flows_that_begin_on_two_workers_at_once_become_one() {
    const PAIRS: usize = 400;
    with_routerd(&["--workers", "2"], |lab, routerd| {
        answers_go_another_way(lab);
        for addresses in [["10.0.1.2", "10.0.2.2"], ["fd00:1::2", "fd00:2::2"]] {
            answers(lab, addresses[1]);
            let ends = pairs(lab, addresses, PAIRS);
            // Both ends begin at the same moment. Fragments are spread by addresses alone, whole datagrams by
            // identifiers too: one flow has packets on both workers.
            thread::scope(|scope| {
                for sockets in &ends {
                    scope.spawn(move || {
                        for socket in sockets {
                            for length in [100, 3000].into_iter().cycle().take(DATAGRAMS) {
                                socket.send(&vec![7; length]).unwrap();
                            }
                        }
                    });
                }
            });
            let arrived: usize = ends.iter().flatten().map(drain).sum();
            assert_eq!(
                arrived,
                2 * PAIRS * DATAGRAMS,
                "{addresses:?}: {}",
                routerd.tell("show drops").unwrap()
            );

            let flows = routerd.ask(&format!("show flows -p udp --family {}", family(addresses[0]))).unwrap();
            let mut packets = BTreeMap::new();
            for flow in flows.as_array().unwrap() {
                let direction = |name: &str| flow[name]["packets"].as_u64().unwrap();
                let ends = |name: &str| (flow["original"][name].to_string(), flow["reply"][name].to_string());
                let (one, other) = ends("source_port");
                let pair = if one < other { (one, other) } else { (other, one) };
                let known = packets.insert(pair, direction("original") + direction("reply"));
                assert_eq!(known, None, "one pair, two flows: {flow}");
            }
            assert_eq!(packets.len(), PAIRS);
            assert_eq!(packets.values().sum::<u64>(), (2 * PAIRS * DATAGRAMS) as u64, "{addresses:?}");
        }
        counters_add_up(routerd);
    });
}

fn family(address: &str) -> &'static str {
    if address.contains(':') { "ipv6" } else { "ipv4" }
}
