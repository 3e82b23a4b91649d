//! The programs people use, with default offloads, through the kernel and through routerd.

use std::sync::Arc;

use testbed::lab::{self, Lab, wait_until};
use testbed::router::{Router, Running};
use testbed::scenario::clients::{self, Download, SECONDS_20};
use testbed::scenario::server::{Server, content};
use testbed::scenario::{self, THREE_SUBNETS_PORTS};

/// The size of downloads, in bytes.
const LARGE: usize = 60 << 20;

/// Runs `scene` in a lab of three subnets with each router. `None` when labs cannot be built here.
fn on_three_subnets<T>(router: &Router, scene: impl FnOnce(&Lab, &mut Running<'_>) -> T) -> Option<T> {
    if !lab::labs_can_run() {
        return None;
    }
    let lab = Lab::build(&scenario::three_subnets()).unwrap();
    let mut running = router.start(&lab, "r1", &THREE_SUBNETS_PORTS).unwrap();
    Some(scene(&lab, &mut running))
}

/// Runs `scene` in a lab with three routers of that kind in a row.
fn in_a_row<T>(router: &Router, scene: impl FnOnce(&Lab) -> T) -> Option<T> {
    if !lab::labs_can_run() {
        return None;
    }
    let lab = Lab::build(&scenario::row_of_three_routers()).unwrap();
    let routers = ["r1", "r2", "r3"].map(|station| router.start(&lab, station, &["left", "right"]).unwrap());
    let answer = scene(&lab);
    drop(routers);
    Some(answer)
}

const KERNEL: Router = Router::Kernel { tracking: true };

fn pings_are_answered(router: &Router) {
    on_three_subnets(router, |lab, _| {
        for to in ["10.0.2.2", "10.0.3.2", "10.9.9.9", "fd00:2::2", "fd00:3::2", "fd00:9::9"] {
            assert_eq!(clients::ping(lab, "h1", to, 5).unwrap(), 5, "{to}");
        }
        for to in ["10.0.1.1", "10.0.2.1", "fd00:1::1", "fd00:2::1"] {
            assert_eq!(clients::ping(lab, "h1", to, 2).unwrap(), 2, "{to}, the router itself");
        }
    });
}

fn large_pings_are_answered_in_fragments(router: &Router) {
    on_three_subnets(router, |lab, _| {
        for to in ["10.0.2.2", "fd00:2::2"] {
            assert_eq!(clients::ping(lab, "h1", &format!("-s 9000 {to}"), 3).unwrap(), 3, "{to}");
        }
    });
}

fn streams_pass_with_default_offloads(router: &Router) {
    on_three_subnets(router, |lab, _| {
        for to in ["10.0.2.2", "fd00:2::2"] {
            for options in ["", "--reverse", "--parallel 4"] {
                let rate = clients::iperf3(lab, "h1", "h2", to, options).unwrap();
                assert!(rate > 100e6, "tcp {options} to {to}: {rate} bits a second");
            }
            let rate = clients::iperf3(lab, "h1", "h2", to, "--udp --bitrate 50M --length 1200").unwrap();
            assert!(rate > 40e6, "udp to {to}: {rate} bits a second");
        }
    });
}

fn a_download_arrives_byte_by_byte(router: &Router) {
    on_three_subnets(router, |lab, _| {
        let content = Arc::new(content(LARGE));
        let _server = Server::start(lab.at("h2"), Arc::clone(&content)).unwrap();
        for address in ["10.0.2.2", "fd00:2::2"] {
            let came = Download::start(lab, "h1", address, "1000M").unwrap().finish().unwrap();
            assert!(came == *content, "{address}: {} of {LARGE} bytes", came.len());
        }
    });
}

fn a_route_changes_in_the_middle_of_a_download(router: &Router) {
    on_three_subnets(router, |lab, _| {
        let content = Arc::new(content(LARGE));
        let _server = Server::start(lab.at("h2"), Arc::clone(&content)).unwrap();
        for (address, change) in [
            ("10.9.9.9", "route replace 10.9.9.9/32 via 10.0.4.2"),
            ("fd00:9::9", "route replace fd00:9::9/128 via fd00:4::2"),
        ] {
            let mut download = Download::start(lab, "h1", address, "40M").unwrap();
            download.wait_bytes(LARGE as u64 / 4).unwrap();
            let received = || ["eth0", "eth1"].map(|port| received_packets(lab, "h2", port));
            lab.at("r1").ip(change).unwrap();
            let before = received();
            assert!(download.goes_on(), "the download ended before the route changed");
            let came = download.finish().unwrap();
            assert!(came == *content, "{address}: {} of {LARGE} bytes", came.len());
            let [old, new] = received();
            let (old, new) = (old - before[0], new - before[1]);
            // Acknowledgements, few as segments are large. Some were on the way still when the change was made.
            assert!(
                new > 20 && old * 10 < new,
                "{address}: {old} packets took the old route, {new} the new one"
            );
        }
    });
}

fn a_next_hop_lost_for_a_while_does_not_end_a_download(router: &Router) {
    on_three_subnets(router, |lab, _| {
        let content = Arc::new(content(LARGE));
        let _server = Server::start(lab.at("h2"), Arc::clone(&content)).unwrap();
        let mut download = Download::start(lab, "h1", "10.9.9.9", "40M").unwrap();
        download.wait_bytes(LARGE as u64 / 4).unwrap();
        lab.at("r1").ip("link set r1 down").unwrap();
        lab.at("r1").ip("route add 10.9.9.9/32 via 10.0.4.2").unwrap();
        lab.at("h2").ip("route replace default via 10.0.4.1").unwrap();
        assert!(download.goes_on(), "the download ended before the link was cut");
        assert!(download.finish().unwrap() == *content);
    });
}

fn a_host_with_another_mac_is_found_again(router: &Router) {
    on_three_subnets(router, |lab, _| {
        for to in ["10.0.2.2", "fd00:2::2"] {
            assert_eq!(clients::ping(lab, "h1", to, 2).unwrap(), 2);
        }
        let host = lab.at("h2");
        host.batch(
            &["link set eth0 down", "link set eth0 address 02:00:00:00:aa:01", "link set eth0 up"]
                .map(str::to_owned),
        )
        .unwrap();
        host.batch(&[
            "address add fd00:2::2/64 dev eth0 nodad".to_owned(),
            "route add default via 10.0.2.1".to_owned(),
        ])
        .unwrap();
        let _ = host.ip("route add default via fd00:2::1");
        // The host says its new MAC with the first thing it sends.
        for router_address in ["10.0.2.1", "fd00:2::1"] {
            assert!(clients::ping(lab, "h2", router_address, 2).unwrap() > 0);
        }
        for to in ["10.0.2.2", "fd00:2::2"] {
            let again = wait_until("the host to be found again", SECONDS_20, || {
                (clients::ping(lab, "h1", to, 2).ok()? == 2).then_some(())
            });
            again.unwrap();
        }
    });
}

fn received_packets(lab: &Lab, station: &str, port: &str) -> u64 {
    let links = lab
        .run(station, &format!("ip -json -statistics link show {port}"), SECONDS_20)
        .unwrap()
        .ok()
        .unwrap();
    let links: serde_json::Value = serde_json::from_str(&links).unwrap();
    links[0]["stats64"]["rx"]["packets"].as_u64().unwrap()
}

/// What tools that trace routes and scan ports say of a row of three routers.
fn what_tools_say(router: &Router) -> Option<Vec<(String, String)>> {
    in_a_row(router, |lab| {
        lab.at("r2").ip("link set right mtu 1400").unwrap();
        lab.at("r3").ip("link set left mtu 1400").unwrap();
        let _server = Server::start(lab.at("h2"), Arc::new(content(10))).unwrap();
        let mut said = Vec::new();
        for to in ["10.1.3.2", "fd01:3::2"] {
            for options in ["", "-I", "-T -p 8080"] {
                said.push((
                    format!("traceroute {options} {to}"),
                    clients::traceroute(lab, "h1", to, options).unwrap(),
                ));
            }
            said.push((format!("tracepath {to}"), clients::tracepath(lab, "h1", to).unwrap()));
            for options in ["", "--udp", "--tcp --port 8080"] {
                let hops = clients::mtr(lab, "h1", to, options).unwrap();
                said.push((format!("mtr {options} {to}"), format!("{hops:?}")));
            }
            let six = if to.contains(':') { "-6 " } else { "" };
            for options in ["-sS -p 8000-8100", "-sU -p 5000-5003", "-sT -p 8080,81"] {
                let options = format!("{six}{options}");
                said.push((format!("nmap {options} {to}"), clients::nmap(lab, "h1", to, &options).unwrap()));
            }
        }
        said
    })
}

#[test]
fn tools_see_the_row_of_routers_as_it_is() {
    let Some(said) = what_tools_say(&KERNEL) else { return };
    for (command, answer) in &said {
        let six = command.contains("fd01");
        let hops =
            if six { ["fd01::2", "fd01:1::2", "fd01:2::2"] } else { ["10.1.0.2", "10.1.1.2", "10.1.2.2"] };
        if command.starts_with("traceroute") || command.starts_with("mtr") {
            for hop in hops {
                assert!(answer.contains(hop), "{command} lacks {hop}:\n{answer}");
            }
        }
        if command.starts_with("tracepath") {
            assert!(answer.contains("pmtu 1400"), "{command}:\n{answer}");
        }
        if command.starts_with("nmap") && command.contains("8080") {
            assert!(answer.contains("8080/open"), "{command}:\n{answer}");
        }
    }
}

/// What tools say through routerd and through the kernel is the same, word for word.
#[test]
fn tools_see_routerd_as_they_see_the_kernel() {
    let Some(kernel) = what_tools_say(&KERNEL) else { return };
    let routerd = what_tools_say(&Router::routerd(&[]).unwrap()).unwrap();
    for ((command, by_kernel), (_, by_routerd)) in kernel.iter().zip(&routerd) {
        assert_eq!(by_kernel, by_routerd, "{command}");
    }
}

#[test]
fn a_flow_of_many_packets_looks_its_route_up_once_a_direction() {
    on_three_subnets(&Router::routerd(&[]).unwrap(), |lab, routerd| {
        let count =
            |routerd: &Running<'_>, name: &str| routerd.ask("show counters").unwrap()[name].as_u64().unwrap();
        // The first ping resolves the neighbors, which is news.
        assert_eq!(clients::ping(lab, "h1", "10.0.3.2", 2).unwrap(), 2);
        let (lookups, hits) = (count(routerd, "fib_lookups"), count(routerd, "flow_cache_hits"));
        assert_eq!(clients::ping(lab, "h1", "10.0.3.2", 50).unwrap(), 50);
        let (lookups, hits) =
            (count(routerd, "fib_lookups") - lookups, count(routerd, "flow_cache_hits") - hits);
        assert!(hits >= 90, "{hits} hits");
        assert!(lookups <= 6, "{lookups} lookups for one flow");
    });
}

macro_rules! through {
    ($router:expr, $module:ident) => {
        through! { $router, $module:
            pings_are_answered,
            large_pings_are_answered_in_fragments,
            streams_pass_with_default_offloads,
            a_download_arrives_byte_by_byte,
            a_route_changes_in_the_middle_of_a_download,
            a_next_hop_lost_for_a_while_does_not_end_a_download,
            a_host_with_another_mac_is_found_again,
        }
    };
    ($router:expr, $module:ident: $($scene:ident,)*) => {
        mod $module {
            use super::*;
            $(
                #[test]
                fn $scene() {
                    if lab::labs_can_run() {
                        super::$scene(&$router);
                    }
                }
            )*
        }
    };
}

through!(KERNEL, through_the_kernel);
through!(Router::routerd(&[]).unwrap(), through_routerd);
