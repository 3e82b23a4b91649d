//! What clients do behind a home router: they go out under its address, and some of them can be reached by it.

use std::sync::Arc;

use testbed::lab::{Lab, SECONDS_5, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::{self, Download, Pings, SECONDS_20};
use testbed::scenario::nat::{
    FORWARDED_PORT, HOME_ROUTER, OUTSIDE, REDIRECTED_PORT, SERVER, tcp_contact, udp_contact,
};
use testbed::scenario::server::{self, Server, content};
use testbed::scenario::traffic::Stream;

use crate::{KERNEL, behind, through_kernel_and_routerd, with_port};

/// The size of downloads, in bytes.
const LARGE: usize = 50 << 20;

fn at_home(router: &Router, scene: impl FnOnce(&Lab, &mut Running<'_>)) {
    behind(router, HOME_ROUTER, scene);
}

fn downloads_from_outside_arrive_byte_by_byte(router: &Router) {
    at_home(router, |lab, _| {
        let content = Arc::new(content(LARGE));
        let _server = Server::start(lab.at("s"), Arc::clone(&content)).unwrap();
        for address in SERVER {
            let came = Download::start(lab, "c1", address, "1000M").unwrap().finish().unwrap();
            assert!(came == *content, "{address}: {} of {LARGE} bytes", came.len());
        }
    });
}

fn downloads_from_a_forwarded_port_arrive_byte_by_byte(router: &Router) {
    at_home(router, |lab, _| {
        let content = Arc::new(content(LARGE));
        let _server = Server::start(lab.at("c1"), Arc::clone(&content)).unwrap();
        // From outside, from another subnet inside, and from the server's own host by way of its router.
        for from in ["s", "c2", "c1"] {
            for address in OUTSIDE {
                let there = (address, FORWARDED_PORT);
                let came = Download::start_at(lab, from, there, "1000M").unwrap().finish().unwrap();
                assert!(came == *content, "{from} at {address}: {} of {LARGE} bytes", came.len());
            }
        }
    });
}

fn streams_pass_with_default_offloads(router: &Router) {
    at_home(router, |lab, _| {
        for to in SERVER {
            for options in ["--parallel 8", "--parallel 8 --reverse"] {
                let rate = clients::iperf3(lab, "c1", "s", to, options).unwrap();
                assert!(rate > 100e6, "tcp {options} to {to}: {rate} bits a second");
            }
            for options in
                ["--udp --bitrate 50M --length 1200", "--udp --bitrate 20M --length 4000 --reverse"]
            {
                let rate = clients::iperf3(lab, "c2", "s", to, options).unwrap();
                assert!(rate > 15e6, "udp {options} to {to}: {rate} bits a second");
            }
        }
    });
}

fn pings_of_several_clients_with_one_id_are_answered(router: &Router) {
    at_home(router, |lab, _| {
        for to in SERVER {
            // One after the other at first: of two that choose an id at the same instant the kernel drops one,
            // when it confirms the second (nf_conntrack_core.c, __nf_conntrack_confirm).
            for client in ["c1", "c2"] {
                assert_eq!(
                    clients::ping(lab, client, &format!("-e 77 {to}"), 1).unwrap(),
                    1,
                    "{client} at {to}"
                );
            }
            let line = format!("ping -n -c 20 -i 0.05 -W 3 -e 77 {to}");
            let pings = ["c1", "c2"].map(|client| lab.start(client, &line).unwrap());
            for ping in pings {
                let said = ping.finish(SECONDS_20).unwrap().ok().unwrap();
                assert_eq!(clients::received(&said), Some(20), "{said}");
            }
        }
        // On this side of the narrow link, which IPv6 hosts would have to hear of first.
        for to in ["192.0.2.2", "2001:db8:2::2"] {
            let line = format!("-s 9000 {to}");
            assert_eq!(clients::ping(lab, "c1", &line, 3).unwrap(), 3, "{to} in fragments");
        }
    });
}

fn the_path_mtu_is_discovered(router: &Router) {
    at_home(router, |lab, _| {
        for to in SERVER {
            let options = if to.contains(':') { "-s 1400" } else { "-s 1420" };
            let line = format!("ping -n -c 1 -W 2 -M do {options} {to}");
            let said = lab.run("c2", &line, SECONDS_5).unwrap();
            let said = said.output + &said.error;
            assert!(said.contains("mtu = 1400") || said.contains("mtu=1400"), "{line}: {said}");

            let traced = clients::tracepath(lab, "c2", to).unwrap();
            assert!(traced.contains("pmtu 1400"), "{traced}");

            // Segments for 1500 bytes at first; the server's address stands for what the router learns of it.
            let rate = clients::iperf3(lab, "c1", "s", to, "").unwrap();
            assert!(rate > 50e6, "{to}: {rate} bits a second");
            let learned = lab.run("c1", &format!("ip route get {to}"), SECONDS_5).unwrap().ok().unwrap();
            assert!(learned.contains("mtu 1400"), "{learned}");
        }
    });
}

fn clients_bear_the_routers_address(router: &Router) {
    at_home(router, |lab, _| {
        for (server, outside) in SERVER.into_iter().zip(OUTSIDE) {
            for client in ["c1", "c2"] {
                let there = with_port(server, 7777);
                for contact in [tcp_contact, udp_contact] {
                    let peer = contact(lab, client, &there, "s", &there).unwrap();
                    assert_eq!(
                        peer.ip(),
                        outside.parse::<std::net::IpAddr>().unwrap(),
                        "{client} at {there}"
                    );
                }
            }
        }
    });
}

fn a_forwarded_port_leads_inside_from_everywhere(router: &Router) {
    at_home(router, |lab, _| {
        for (family, outside) in OUTSIDE.into_iter().enumerate() {
            let (there, here) =
                (with_port(outside, FORWARDED_PORT), ["10.0.1.2:8080", "[fd00:1::2]:8080"][family]);
            for (from, seen) in [
                ("s", SERVER[family]),
                ("x", ["192.0.2.2", "2001:db8:2::2"][family]),
                // Hairpins: the router steps in between, or answers would not come back by it.
                ("c2", ["10.0.1.1", "fd00:1::1"][family]),
                ("c1", ["10.0.1.1", "fd00:1::1"][family]),
            ] {
                for contact in [tcp_contact, udp_contact] {
                    let peer = contact(lab, from, &there, "c1", here).unwrap();
                    assert_eq!(peer.ip(), seen.parse::<std::net::IpAddr>().unwrap(), "{from} at {there}");
                }
            }
        }
    });
}

fn a_redirected_port_leads_to_the_router(router: &Router) {
    at_home(router, |lab, _| {
        let content = Arc::new(content(LARGE / 10));
        let server = Server::start(lab.at("r1"), Arc::clone(&content)).unwrap();
        for address in SERVER {
            let there = (address, REDIRECTED_PORT);
            let came = Download::start_at(lab, "c1", there, "1000M").unwrap().finish().unwrap();
            assert!(came == *content, "{address}: {} bytes", came.len());
        }
        drop(server);
        for (family, here) in ["10.0.1.1:8080", "[fd00:1::1]:8080"].into_iter().enumerate() {
            let there = with_port(SERVER[family], REDIRECTED_PORT);
            let peer = tcp_contact(lab, "c1", &there, "r1", here).unwrap();
            assert_eq!(peer.ip().to_string(), ["10.0.1.2", "fd00:1::2"][family]);
        }
    });
}

fn nobody_outside_gets_in_unasked(router: &Router) {
    at_home(router, |lab, _| {
        let _server = Server::start(lab.at("c1"), Arc::new(content(10))).unwrap();
        for (family, inside) in ["10.0.1.2", "fd00:1::2"].into_iter().enumerate() {
            lab.at("x").ip(&format!("route add {inside} via {}", OUTSIDE[family])).unwrap();
            assert_eq!(clients::ping(lab, "x", inside, 3).unwrap(), 0, "{inside}");
            let line =
                format!("curl --silent --noproxy * --max-time 1 http://{}/", with_port(inside, server::PORT));
            assert!(!lab.run("x", &line, SECONDS_5).unwrap().status.success(), "{inside}");
        }
    });
}

fn the_routers_own_connections_go_on_meanwhile(router: &Router) {
    at_home(router, |lab, _| {
        let content = Arc::new(content(LARGE));
        let _servers =
            ["s", "r1"].map(|station| Server::start(lab.at(station), Arc::clone(&content)).unwrap());
        let mut through = Download::start(lab, "c1", SERVER[0], "20M").unwrap();
        through.wait_bytes(1).unwrap();
        let pings =
            [("s", OUTSIDE[0]), ("s", OUTSIDE[1]), ("r1", SERVER[0]), ("r1", SERVER[1]), ("c2", "10.0.3.1")]
                .map(|(from, to)| Pings::start(lab, from, to).unwrap());
        for (from, address) in
            [("s", OUTSIDE[0]), ("s", OUTSIDE[1]), ("c2", "10.0.3.1"), ("r1", SERVER[0]), ("r1", SERVER[1])]
        {
            let came = Download::start(lab, from, address, "1000M").unwrap().finish().unwrap();
            assert!(came == *content, "{from} at {address}: {} bytes", came.len());
        }
        for pings in pings {
            let (answered, lost) = pings.finish().unwrap();
            assert!(answered > 0 && lost == 0, "{lost} pings lost, {answered} answered");
        }
        assert!(through.finish().unwrap() == *content);
    });
}

fn rules_are_loaded_anew_in_mid_transfer(router: &Router) {
    at_home(router, |lab, running| {
        let content = Arc::new(content(LARGE));
        let _servers =
            ["s", "c1"].map(|station| Server::start(lab.at(station), Arc::clone(&content)).unwrap());
        let mut downloads = vec![
            Download::start(lab, "c2", SERVER[0], "20M").unwrap(),
            Download::start(lab, "c2", SERVER[1], "20M").unwrap(),
            Download::start_at(lab, "s", (OUTSIDE[0], FORWARDED_PORT), "20M").unwrap(),
        ];
        let pings = SERVER.map(|to| Pings::start(lab, "c1", to).unwrap());
        for part in 1..8 {
            for download in &mut downloads {
                download.wait_bytes(part * LARGE as u64 / 10).unwrap();
            }
            running.load_rules(HOME_ROUTER).unwrap();
            assert!(
                running
                    .load_rules("flush ruleset\ntable inet filter { chain x { jump nowhere; } }\n")
                    .is_err()
            );
        }
        assert!(downloads.iter_mut().all(Download::goes_on), "a download ended too soon");
        for pings in pings {
            let (answered, lost) = pings.finish().unwrap();
            assert_eq!(lost, 0, "{answered} pings were answered");
        }
        for download in downloads {
            assert!(download.finish().unwrap() == *content);
        }
    });
}

fn connections_of_the_router_survive_its_first_rules(router: &Router) {
    behind(router, "flush ruleset\n", |lab, running| {
        let content = Arc::new(content(LARGE));
        let _servers =
            ["r1", "x"].map(|station| Server::start(lab.at(station), Arc::clone(&content)).unwrap());
        let mut downloads = [("s", OUTSIDE[0]), ("s", OUTSIDE[1]), ("c1", "10.0.1.1"), ("r1", "192.0.2.2")]
            .map(|(from, address)| Download::start(lab, from, address, "20M").unwrap());
        let pings =
            [("s", OUTSIDE[0]), ("r1", SERVER[1])].map(|(from, to)| Pings::start(lab, from, to).unwrap());
        for (part, rules) in [HOME_ROUTER, "flush ruleset\n", HOME_ROUTER].into_iter().enumerate() {
            for download in &mut downloads {
                download.wait_bytes((part as u64 + 1) * LARGE as u64 / 6).unwrap();
            }
            running.load_rules(rules).unwrap();
        }
        assert!(downloads.iter_mut().all(Download::goes_on), "a download ended too soon");
        for pings in pings {
            let (answered, lost) = pings.finish().unwrap();
            assert!(lost <= 2, "{lost} pings lost, {answered} answered");
        }
        for download in downloads {
            assert!(download.finish().unwrap() == *content);
        }
    });
}

/// Where errors get lost, segments have to be made to fit, those of either end.
const CLAMPED: &str = r#"
table inet mangle {
    chain forward {
        type filter hook forward priority mangle;
        tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    }
}
"#;

fn clamped_segments_pass_a_narrow_port_whose_errors_get_lost(router: &Router) {
    const ENOUGH: u64 = 1 << 20;
    const DEAF: &str = "table inet deaf {\n chain in {\n type filter hook input priority 0\n \
        icmp type destination-unreachable drop\n icmpv6 type packet-too-big drop\n }\n }\n";
    at_home(router, |lab, running| {
        running.load_rules(CLAMPED).unwrap();
        lab.at("c1").nft(DEAF).unwrap();
        for (station, port) in [("r1", "r1"), ("x", "left")] {
            lab.at(station).ip(&format!("link set {port} mtu 1400")).unwrap();
        }
        for to in SERVER {
            let [from, at] = ["c1", "s"].map(|station| lab.at(station));
            let stream = Stream::start(from, at, to.parse().unwrap(), SECONDS_20).unwrap();
            wait_until(&format!("bytes at {to}"), SECONDS_5, || (stream.received() > ENOUGH).then_some(()))
                .unwrap();
            stream.finish().unwrap();
            let learned = lab.run("c1", &format!("ip route get {to}"), SECONDS_5).unwrap().ok().unwrap();
            assert!(!learned.contains("mtu"), "{learned}");
        }
    });
}

through_kernel_and_routerd! {
    connections_of_the_router_survive_its_first_rules,
    clamped_segments_pass_a_narrow_port_whose_errors_get_lost,
    downloads_from_outside_arrive_byte_by_byte,
    downloads_from_a_forwarded_port_arrive_byte_by_byte,
    streams_pass_with_default_offloads,
    pings_of_several_clients_with_one_id_are_answered,
    the_path_mtu_is_discovered,
    clients_bear_the_routers_address,
    a_forwarded_port_leads_inside_from_everywhere,
    a_redirected_port_leads_to_the_router,
    nobody_outside_gets_in_unasked,
    the_routers_own_connections_go_on_meanwhile,
    rules_are_loaded_anew_in_mid_transfer,
}

#[test]
fn many_workers_and_no_flow_cache_do_the_same() {
    for arguments in [["--workers", "2"], ["--flow-cache", "off"]] {
        let router = Router::routerd(&arguments).unwrap();
        for scene in [
            downloads_from_a_forwarded_port_arrive_byte_by_byte,
            streams_pass_with_default_offloads,
            pings_of_several_clients_with_one_id_are_answered,
            the_routers_own_connections_go_on_meanwhile,
            crate::ftp::files_are_fetched_through_masquerade,
            crate::ftp::files_are_fetched_from_a_forwarded_server,
        ] {
            scene(&router);
        }
    }
}

/// What tools say that trace the way out.
fn what_tools_say(router: &Router) -> Option<Vec<(String, String)>> {
    behind(router, HOME_ROUTER, |lab, _| {
        let _server = Server::start(lab.at("s"), Arc::new(content(10))).unwrap();
        let mut said = Vec::new();
        for to in SERVER {
            for options in ["", "-I", "-T -p 8080"] {
                let traced = clients::traceroute(lab, "c1", to, options).unwrap();
                said.push((format!("traceroute {options} {to}"), traced));
            }
            said.push((format!("tracepath {to}"), clients::tracepath(lab, "c1", to).unwrap()));
            for options in ["", "--udp", "--tcp --port 8080"] {
                let hops = clients::mtr(lab, "c1", to, options).unwrap();
                said.push((format!("mtr {options} {to}"), format!("{hops:?}")));
            }
        }
        said
    })
}

#[test]
fn tools_see_the_way_out_as_through_the_kernel() {
    let Some(kernel) = what_tools_say(&KERNEL) else { return };
    let routerd = what_tools_say(&Router::routerd(&[]).unwrap()).unwrap();
    for ((command, by_kernel), (_, by_routerd)) in kernel.iter().zip(&routerd) {
        assert_eq!(by_kernel, by_routerd, "{command}");
        let hops = if command.contains("2001:db8") {
            ["fd00:1::1", "2001:db8:2::2", SERVER[1]]
        } else {
            ["10.0.1.1", "192.0.2.2", SERVER[0]]
        };
        for hop in hops {
            assert!(by_kernel.contains(hop), "{command} lacks {hop}:\n{by_kernel}");
        }
    }
}

#[test]
fn masqueraded_flows_end_with_their_address() {
    at_home(&Router::routerd(&[]).unwrap(), |lab, running| {
        let _server = Server::start(lab.at("s"), Arc::new(content(LARGE))).unwrap();
        // The rest of the download may go on under another address of the router's.
        let flows = |running: &Running<'_>, address: &str| {
            let flows = running.ask("show flows -p tcp").unwrap();
            let flows = flows.as_array().unwrap().iter();
            flows.filter(|flow| flow["reply"]["destination"] == address).count()
        };
        let way_back = ["route add default via 192.0.2.2", "route add default via 2001:db8:2::2"];
        for (family, outside) in OUTSIDE.into_iter().enumerate() {
            let mut download = Download::start(lab, "c1", SERVER[family], "5M").unwrap();
            download.wait_bytes(100_000).unwrap();
            assert!(flows(running, outside) > 0);
            let address = format!("{outside}/{}", [24, 64][family]);
            lab.at("r1").ip(&format!("address delete {address} dev r1")).unwrap();
            wait_until("flows to end", SECONDS_5, || (flows(running, outside) == 0).then_some(()))
                .unwrap_or_else(|error| panic!("{error}\n{}", running.tell("show flows").unwrap()));
            drop(download);

            lab.at("r1").ip(&format!("address add {address} dev r1{}", ["", " nodad"][family])).unwrap();
            // IPv6 routes by way of others stay.
            let _ = lab.at("r1").ip(way_back[family]);
            let there = with_port(SERVER[family], 7777);
            wait_until("the way out again", SECONDS_20, || tcp_contact(lab, "c1", &there, "s", &there).ok())
                .unwrap();
        }
    });
}

#[test]
fn rules_named_on_the_command_line_are_in_force_from_the_first_packet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home.nft");
    std::fs::write(&path, HOME_ROUTER).unwrap();
    let router = Router::routerd(&["--rules", &path.display().to_string()]).unwrap();
    behind(&router, "", |lab, running| {
        let there = with_port(SERVER[0], 7777);
        let peer = tcp_contact(lab, "c1", &there, "s", &there).unwrap();
        assert_eq!(peer.ip().to_string(), OUTSIDE[0]);
        assert_eq!(running.ask("status").unwrap()["guard"], "handover");
    });
}
