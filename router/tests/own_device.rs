//! The TUN device of a router that is its own host, as the kernel and its programs see it.

mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};

use fib::adjacency::LinkIndex;
use ipnet::IpNet;
use router::frame::Pool;
use router::host::tables::HostView;
use router::mirror::OwnDevice;
use router::port::Port;
use router::port::af_packet::index_of;
use router::port::tun::Tun;
use support::{in_namespace, ip, run};

const NAME: &str = "rtr0";

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn view(addresses: &[&str], routes: &[(&str, &str)]) -> HostView {
    let routes: BTreeMap<IpNet, IpAddr> =
        routes.iter().map(|(prefix, source)| (net(prefix), source.parse().unwrap())).collect();
    HostView { mtu: 1400, addresses: addresses.iter().map(|text| net(text)).collect(), routes }
}

/// What `ip` prints of the device's addresses and routes, without what differs from kernel to kernel.
fn told(words: &str) -> Vec<String> {
    let output = run("ip", words, "");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn addresses() -> Vec<String> {
    let lines = told(&format!("-o address show dev {NAME}"));
    lines.iter().map(|line| line.split(' ').nth(3).unwrap().to_owned()).collect()
}

fn source_towards(address: &str) -> String {
    let line = told(&format!("route get {address}")).remove(0);
    assert!(line.contains(&format!("dev {NAME}")), "{line}");
    line.split_once("src ").unwrap().1.split(' ').next().unwrap().to_owned()
}

#[test]
fn the_kernel_knows_addresses_and_routes_as_they_change() {
    in_namespace(|| {
        let _queues = Tun::make(NAME, 2).unwrap();
        let index = LinkIndex(index_of(NAME).unwrap());
        let first = view(
            &["10.0.1.1/24", "10.0.2.1/24", "fd00:1::1/64"],
            &[("10.9.0.0/16", "10.0.2.1"), ("fd09::/16", "fd00:1::1"), ("0.0.0.0/0", "10.0.1.1")],
        );
        let mut device = OwnDevice::set_up(index, NAME, false, &first).unwrap();
        assert_eq!(addresses(), ["10.0.1.1/24", "10.0.2.1/24", "fd00:1::1/64"]);
        for (towards, source) in [
            ("10.0.2.9", "10.0.2.1"),
            ("10.9.1.1", "10.0.2.1"),
            ("192.0.2.1", "10.0.1.1"),
            ("fd09::1", "fd00:1::1"),
            ("2001:db8::1", "fd00:1::1"),
        ] {
            assert_eq!(source_towards(towards), source, "{towards}");
        }
        assert!(told("link show dev rtr0")[0].contains("mtu 1400"));

        // An address goes, and with it the kernel would forget routes that suggest it.
        let second = view(
            &["10.0.1.1/24", "fd00:1::1/64"],
            &[("10.9.0.0/16", "10.0.1.1"), ("fd09::/16", "fd00:1::1")],
        );
        device.follow(&second).unwrap();
        assert_eq!(addresses(), ["10.0.1.1/24", "fd00:1::1/64"]);
        assert_eq!(source_towards("10.9.1.1"), "10.0.1.1");
        assert_eq!(source_towards("fd09::1"), "fd00:1::1");
        let routes = told("route show proto 114");
        assert_eq!(routes.len(), 2, "the route for everything, and one of ours: {routes:?}");

        // The kernel's own idea of a route goes first.
        ip("link add e0 type veth peer name e1");
        ip("address add 192.0.2.1/24 dev e0");
        ip("link set e0 up");
        ip("link set e1 up");
        ip("route add default via 192.0.2.254");
        assert!(told("route get 198.51.100.1")[0].contains("dev e0"));

        device.follow(&HostView { mtu: 1400, ..HostView::default() }).unwrap();
        assert_eq!(addresses(), [] as [&str; 0]);
    });
}

#[test]
fn what_a_program_sends_comes_out_and_what_is_put_in_reaches_it() {
    in_namespace(|| {
        let mut queue = Tun::make(NAME, 1).unwrap().remove(0);
        let index = LinkIndex(index_of(NAME).unwrap());
        let mut device = OwnDevice::set_up(index, NAME, true, &view(&["10.0.1.1/24"], &[])).unwrap();
        device.follow_strictness(false).unwrap();
        let program = UdpSocket::bind("10.0.1.1:7").unwrap();
        program.send_to(b"to a neighbor", "10.0.1.2:9").unwrap();
        let (mut pool, mut frames) = (Pool::new(8), Vec::new());
        queue.receive(&mut pool, &mut frames, 8).unwrap();
        let mut frame = frames.remove(0);
        assert_eq!((&frame.bytes()[12..20], frame.bytes()[0]), (&[10, 0, 1, 1, 10, 0, 1, 2][..], 0x45));

        // The same turned round.
        let bytes = frame.bytes_mut();
        bytes[12..20].copy_from_slice(&[10, 0, 1, 2, 10, 0, 1, 1]);
        bytes[20..24].copy_from_slice(&[0, 9, 0, 7]);
        queue.send(&mut pool, &mut vec![frame]);
        program.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let mut answer = [0; 32];
        let (len, from) = program.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..len], from), (&b"to a neighbor"[..], "10.0.1.2:9".parse().unwrap()));
    });
}

#[test]
fn a_device_of_that_name_is_left_alone() {
    in_namespace(|| {
        ip("link add rtr0 type veth peer name e1");
        let error = Tun::make(NAME, 1).err().expect("the name is taken");
        assert_eq!(error.to_string(), "a device named rtr0 exists already");
    });
}
