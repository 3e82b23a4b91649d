//! Packets for and from the router itself pass routerd, and nobody notices: neither hosts nor the router's programs.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use testbed::lab::{self, Lab, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::{self, Download, Pings, ping};
use testbed::scenario::frr::{CONVERGENCE, Frr, Protocol, RING, RING_PORTS, learned_next_hop, ring};
use testbed::scenario::server::{Server, content};
use testbed::scenario::{self, THREE_SUBNETS_PORTS};

/// Bytes of a download.
const LARGE: usize = 50 << 20;

/// routerd with hand-over switched on.
fn handing_over(arguments: &[&str]) -> Router {
    Router::routerd(arguments).unwrap().configured("handover = \"on\"\n")
}

/// Runs `scene` in a lab of three subnets whose router hands over.
fn handed_over(arguments: &[&str], scene: impl FnOnce(&Lab, &Running<'_>)) {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&scenario::three_subnets()).unwrap();
    let router = handing_over(arguments).start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    assert_eq!(router.ask("status").unwrap()["guard"], "handover");
    scene(&lab, &router);
}

fn counter(router: &Running<'_>, name: &str) -> u64 {
    router.ask("show counters").unwrap()[name].as_u64().unwrap()
}

#[test]
fn the_router_answers_pings_of_all_sizes_and_pings_itself() {
    handed_over(&[], |lab, router| {
        let before = (counter(router, "handed_over"), counter(router, "taken_from_host"));
        for to in ["10.0.1.1", "10.0.2.1", "fd00:1::1", "fd00:2::1"] {
            assert_eq!(ping(lab, "h1", to, 3).unwrap(), 3, "{to}");
            assert_eq!(ping(lab, "h1", &format!("-s 9000 {to}"), 3).unwrap(), 3, "{to} in fragments");
        }
        for to in ["10.0.1.2", "10.0.2.2", "fd00:1::2", "fd00:2::2"] {
            assert_eq!(ping(lab, "r1", to, 3).unwrap(), 3, "{to} from the router");
            assert_eq!(ping(lab, "r1", &format!("-s 9000 {to}"), 3).unwrap(), 3, "{to} in fragments");
        }
        let after = (counter(router, "handed_over"), counter(router, "taken_from_host"));
        assert!(after.0 >= before.0 + 48 && after.1 >= before.1 + 48, "{before:?} {after:?}");
        assert_eq!(ping(lab, "h1", "10.0.2.2", 3).unwrap(), 3, "forwarding goes on");
    });
}

#[test]
fn a_service_on_the_router_sends_and_takes_50_megabytes_with_default_offloads() {
    for arguments in [&[][..], &["--workers", "2"]] {
        handed_over(arguments, |lab, _| {
            let content = Arc::new(content(LARGE));
            let serving_router = Server::start(lab.at("r1"), Arc::clone(&content)).unwrap();
            for (from, address) in [("h1", "10.0.1.1"), ("h2", "10.0.2.1"), ("h1", "fd00:1::1")] {
                let came = Download::start(lab, from, address, "1000M").unwrap().finish().unwrap();
                assert!(came == *content, "{address}: {} of {LARGE} bytes", came.len());
            }
            drop(serving_router);
            let _serving_host = Server::start(lab.at("h2"), Arc::clone(&content)).unwrap();
            for address in ["10.0.2.2", "fd00:2::2"] {
                let came = Download::start(lab, "r1", address, "1000M").unwrap().finish().unwrap();
                assert!(came == *content, "{address}: {} of {LARGE} bytes to the router", came.len());
            }
        });
    }
}

#[test]
fn a_closed_port_refuses_at_once_and_udp_is_answered() {
    handed_over(&[], |lab, router| {
        for address in ["10.0.1.1", "fd00:1::1"] {
            let address: IpAddr = address.parse().unwrap();
            let refused = lab.at("h1").inside(|| {
                TcpStream::connect_timeout(&SocketAddr::new(address, 9), SECONDS_5).unwrap_err().kind()
            });
            assert_eq!(refused, std::io::ErrorKind::ConnectionRefused, "{address}");

            let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            let server = lab.at("r1").inside(|| UdpSocket::bind((any, 0))).unwrap();
            let client = lab.at("h1").inside(|| UdpSocket::bind((any, 0))).unwrap();
            let port = server.local_addr().unwrap().port();
            for socket in [&server, &client] {
                socket.set_read_timeout(Some(SECONDS_5)).unwrap();
            }
            let mut bytes = [0; 4096];
            for length in [1, 4000] {
                client.send_to(&vec![7; length], (address, port)).unwrap();
                let (came, from) = server.recv_from(&mut bytes).unwrap();
                assert_eq!(came, length);
                server.send_to(&bytes[..came], from).unwrap();
                let (came, from) = client.recv_from(&mut bytes).unwrap();
                assert_eq!((came, from.ip()), (length, address));
            }
            // What nobody listens for is refused by the kernel, and the error passes routerd.
            client.connect((address, 9)).unwrap();
            client.send(&[0]).unwrap();
            assert_eq!(client.recv(&mut bytes).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        }
        let flows = router.ask("show flows").unwrap();
        let own = |flow: &&serde_json::Value| flow["original"]["destination"] == "10.0.1.1";
        assert!(flows.as_array().unwrap().iter().any(|flow| own(&flow)), "{flows}");
    });
}

#[test]
fn the_way_to_the_router_is_traced_as_through_the_kernel() {
    if !lab::labs_can_run() {
        return;
    }
    let traces = [Router::Kernel { tracking: false }, handing_over(&[])].map(|router| {
        let lab = Lab::build(&scenario::row_of_three_routers()).unwrap();
        let stations = ["r1", "r2", "r3"];
        let _routers = stations.map(|station| router.start(&lab, station, &["left", "right"]).unwrap());
        let far = far_router_address(&lab);
        wait_until("the last router", SECONDS_5, || (ping(&lab, "h1", &far, 1).unwrap() == 1).then_some(()))
            .unwrap();
        ["", "-I", "-T"].map(|options| clients::traceroute(&lab, "h1", &far, options).unwrap())
    });
    assert_eq!(traces[0], traces[1]);
}

/// The IPv4 address of the last router in the row on the side that the first host does not face.
fn far_router_address(lab: &Lab) -> String {
    let said = lab.run("r3", "ip -4 -json address show dev right", SECONDS_5).unwrap().ok().unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    said[0]["addr_info"][0]["local"].as_str().unwrap().to_owned()
}

#[test]
fn the_router_learns_the_path_mtu_of_what_it_sends_itself() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&scenario::row_of_three_routers()).unwrap();
    let router = handing_over(&[]);
    let _routers = ["r1", "r2", "r3"].map(|station| router.start(&lab, station, &["left", "right"]).unwrap());
    lab.at("r2").ip("link set right mtu 1400").unwrap();
    lab.at("r3").ip("link set left mtu 1400").unwrap();
    for far in ["10.1.3.2", "fd01:3::2"] {
        let sent = 4 << 20;
        assert_eq!(carried(&lab, "r1", "h2", far.parse().unwrap(), sent), sent);
        let learned = lab.run("r1", &format!("ip route get {far}"), SECONDS_5).unwrap().ok().unwrap();
        assert!(learned.contains("mtu 1400"), "{learned}");
    }
}

/// How many of `sent` bytes arrive in one TCP connection.
fn carried(lab: &Lab, from: &str, to: &str, address: IpAddr, sent: usize) -> usize {
    let listener = lab.at(to).inside(|| TcpListener::bind((address, 0))).unwrap();
    let target = listener.local_addr().unwrap();
    let mut sender =
        lab.at(from).inside(|| TcpStream::connect_timeout(&target, SECONDS_5)).expect("a connection");
    let (mut accepted, _) = listener.accept().unwrap();
    let reader = thread::spawn(move || {
        accepted.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut bytes = Vec::new();
        accepted.read_to_end(&mut bytes).unwrap();
        bytes.len()
    });
    sender.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    sender.write_all(&vec![0x5a; sent]).unwrap();
    drop(sender);
    reader.join().unwrap()
}

#[test]
fn a_socket_bound_to_a_device_sends_by_it() {
    handed_over(&[], |lab, _| {
        // The route to 10.9.9.9 leads by r1; h2 has it behind r3 too.
        let before = ["eth0", "eth1"].map(|port| received_packets(lab, port));
        let _ = lab.run("r1", "ping -n -c 20 -i 0.02 -W 1 -I r3 10.9.9.9", SECONDS_5).unwrap();
        let after = ["eth0", "eth1"].map(|port| received_packets(lab, port));
        assert!(after[1] >= before[1] + 20, "{before:?} {after:?}: r3 was not used");
        assert!(after[0] < before[0] + 20, "{before:?} {after:?}: r1 was used");
    });
}

/// Packets that a port of `h2` has received.
fn received_packets(lab: &Lab, port: &str) -> u64 {
    let line = format!("ip -json -statistics link show dev {port}");
    let said = lab.run("h2", &line, SECONDS_5).unwrap().ok().unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    said[0]["stats64"]["rx"]["packets"].as_u64().unwrap()
}

#[test]
fn strict_reverse_paths_are_no_obstacle() {
    handed_over(&[], |lab, _| {
        for value in ["1", "2", "0", "1"] {
            lab.at("r1").sysctl("ipv4/conf/all/rp_filter", value).unwrap();
            wait_until(value, SECONDS_5, || (ping(lab, "h1", "10.0.1.1", 1).unwrap() == 1).then_some(()))
                .unwrap();
            assert_eq!(ping(lab, "h1", "10.0.1.1", 3).unwrap(), 3, "all.rp_filter={value}");
            assert_eq!(ping(lab, "r1", "10.0.2.2", 3).unwrap(), 3, "all.rp_filter={value}");
        }
    });
}

#[test]
fn a_device_that_is_deleted_is_made_anew() {
    handed_over(&["--workers", "2"], |lab, router| {
        let index = device_index(lab).expect("the device is there");
        lab.at("r1").ip("link delete routerd").unwrap();
        wait_until("the device anew", SECONDS_5, || device_index(lab).filter(|anew| *anew != index)).unwrap();
        for (from, to) in [("h1", "10.0.1.1"), ("h1", "fd00:1::1"), ("r1", "10.0.2.2")] {
            wait_until(to, SECONDS_5, || (ping(lab, from, to, 1).unwrap() == 1).then_some(())).unwrap();
            assert_eq!(ping(lab, from, to, 3).unwrap(), 3, "{to}");
        }
        assert_eq!(router.ask("status").unwrap()["guard"], "handover");
    });
}

/// The index of the device by which packets are handed over at `r1`.
fn device_index(lab: &Lab) -> Option<u64> {
    let said = lab.run("r1", "ip -json link show dev routerd", SECONDS_5).unwrap().ok().ok()?;
    serde_json::from_str::<serde_json::Value>(&said).unwrap()[0]["ifindex"].as_u64()
}

#[test]
fn pings_to_the_router_survive_its_end_and_nothing_stays_behind() {
    if !lab::labs_can_run() {
        return;
    }
    let lab = Lab::build(&scenario::three_subnets()).unwrap();
    let router = handing_over(&[]).start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    let pings = Pings::start(&lab, "h1", "10.0.1.1").unwrap();
    router.stop().unwrap();
    let (answered, lost) = pings.finish().unwrap();
    assert!(answered > 0 && lost <= 5, "{lost} lost when routerd ended");
    assert_eq!(device_index(&lab), None, "the device stays");
    let rules = lab.run("r1", "nft list ruleset", SECONDS_5).unwrap().ok().unwrap();
    assert_eq!(rules.trim(), "", "the guard stays");

    let router = handing_over(&[]).start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    router.kill().unwrap();
    let given_back = || lab.at("r1").run("nft", &["list", "chain", "netdev", "routerd-guard", "own"]);
    wait_until("the kernel to have its packets back", SECONDS_5, || {
        (!given_back().unwrap().contains("drop")).then_some(())
    })
    .unwrap();
    assert_eq!(ping(&lab, "h1", "10.0.1.1", 3).unwrap(), 3, "the kernel answers for itself again");
    let _router = handing_over(&[]).start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    assert_eq!(ping(&lab, "h1", "10.0.1.1", 3).unwrap(), 3, "after what a killed routerd has left");
}

#[test]
fn bgp_sessions_of_the_router_stay_and_ospf_too() {
    if !lab::labs_can_run() || !Frr::can_run() {
        return;
    }
    for (protocol, prefix, hosts) in [
        (Protocol::Bgp, "10.2.2.0/24", &["10.2.2.2", "fd02:3::2"][..]),
        (Protocol::Ospf, "10.2.3.0/24", &["10.2.2.2", "10.2.3.2"]),
    ] {
        let lab = Lab::build(&ring()).unwrap();
        let router = handing_over(&[]);
        let routers = RING.map(|station| router.start(&lab, station, &RING_PORTS).unwrap());
        let _daemons = [0, 1, 2].map(|place| Frr::start(&lab, place, protocol).unwrap());
        wait_until(prefix, CONVERGENCE, || learned_next_hop(&lab, "a", prefix, protocol).unwrap()).unwrap();
        for host in hosts {
            wait_until(host, CONVERGENCE, || (ping(&lab, "ha", host, 10).unwrap() == 10).then_some(()))
                .unwrap();
        }
        if protocol == Protocol::Bgp {
            assert!(counter(&routers[0], "handed_over") > 0 && counter(&routers[0], "taken_from_host") > 0);
        }
        // Sessions time out after three seconds (BGP) and one (OSPF): the route is there all the while.
        for _ in 0..8 {
            assert!(learned_next_hop(&lab, "a", prefix, protocol).unwrap().is_some());
            assert!(ping(&lab, "ha", hosts[0], 10).unwrap() == 10);
        }
    }
}
