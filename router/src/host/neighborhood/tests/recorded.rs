//! What Linux 6.18 sent for the same messages, recorded from a router of two ports in a namespace, byte by byte.

use super::*;

const MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])];
const FROM: Mac = Mac([2, 0, 0, 0, 0, 0xa]);

/// The kernel's answers begin so: to the host that asked, from r0.
const ARP: &str = "02000000000a020000000001080600010800060400020200000000010a00";
const ADVERTISEMENT: &str = "02000000000a02000000000186dd6000000000";

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn ipv6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The router of the recording: 10.0.0.1/24, fd00::1/64 and fe80::ff:fe00:1 on r0, 10.0.1.1/24, fd00:1::1/64 and
/// fe80::ff:fe00:2 on r1.
fn router() -> Link {
    let mut link = Link { hood: Neighborhood::new(Settings::default(), 3), now: Instant::from_secs(100) };
    let addresses = [
        ["10.0.0.1/24", "fd00::1/64", "fe80::ff:fe00:1/64"],
        ["10.0.1.1/24", "fd00:1::1/64", "fe80::ff:fe00:2/64"],
    ];
    for (port, (mac, addresses)) in (0..).map(PortId).zip(MACS.into_iter().zip(addresses)) {
        let interface = Interface { link: LinkIndex(u32::from(port.0) + 1), mac, mtu: 1500, up: true };
        link.hood.set_interface(port, interface, link.now);
        for net in addresses {
            link.hood.add_address(port, net.parse().unwrap(), false, link.now);
        }
    }
    link.pass(Duration::from_secs(10));
    while link.hood.take_frame().is_some() {}
    link
}

fn taken(link: &mut Link) -> Vec<Outgoing> {
    std::iter::from_fn(|| link.hood.take_frame()).collect()
}

#[test]
fn the_kernel_answers_arp_so() {
    for (asks, target, answer) in [
        (Ipv4Addr::new(10, 0, 0, 2), "10.0.0.1", "000102000000000a0a000002"),
        (Ipv4Addr::UNSPECIFIED, "10.0.0.1", "000102000000000a00000000"),
        (Ipv4Addr::new(10, 0, 0, 2), "10.0.1.1", "010102000000000a0a000002"),
        (Ipv4Addr::new(172, 16, 0, 2), "10.0.0.1", "000102000000000aac100002"),
        (Ipv4Addr::new(10, 0, 0, 255), "10.0.0.1", "000102000000000a0a0000ff"),
    ] {
        let mut link = router();
        link.hear(&arp_request(asks, FROM, target.parse().unwrap()));
        let expected = Outgoing { port: PORT, frame: bytes(&format!("{ARP}{answer}")) };
        assert_eq!(taken(&mut link), [expected], "{asks} asks for {target}");
    }
}

#[test]
fn and_these_not() {
    for (asks, target) in [
        (Ipv4Addr::new(10, 0, 0, 2), "10.0.0.77"),
        (Ipv4Addr::new(10, 0, 0, 2), "10.0.0.255"),
        (Ipv4Addr::new(224, 0, 0, 2), "10.0.0.1"),
        (Ipv4Addr::new(10, 0, 1, 1), "10.0.0.1"),
    ] {
        let mut link = router();
        link.hear(&arp_request(asks, FROM, target.parse().unwrap()));
        assert_eq!(taken(&mut link), [], "{asks} asks for {target}");
    }
    let mut link = router();
    link.hear(&solicitation(ipv6("fe80::a"), FROM, ipv6("fd00:1::1"), None));
    assert_eq!(taken(&mut link), [], "an address of another port");
    let mut unsaid = solicitation(ipv6("::"), FROM, ipv6("fd00::1"), None);
    unsaid[22..38].copy_from_slice(&ipv6("fe80::aa").octets());
    let destination = wire::solicited_node(ipv6("fd00::1"));
    smoltcp::wire::Icmpv6Packet::new_unchecked(&mut unsaid[54..])
        .fill_checksum(&ipv6("fe80::aa"), &destination);
    link.hear(&unsaid);
    assert_eq!(taken(&mut link), [], "one who asks many and does not say where it is");
    assert_eq!(link.hood.counters().malformed, 0);
}

#[test]
fn the_kernel_answers_solicitations_so() {
    let mut alone = solicitation(ipv6("fe80::a"), FROM, ipv6("fd00::1"), Some(MACS[0]));
    alone.truncate(54 + 24);
    alone[19] = 24;
    smoltcp::wire::Icmpv6Packet::new_unchecked(&mut alone[54..])
        .fill_checksum(&ipv6("fe80::a"), &ipv6("fd00::1"));
    for (asks, answer) in [
        (
            solicitation(ipv6("fe80::a"), FROM, ipv6("fe80::ff:fe00:1"), None),
            format!(
                "{ADVERTISEMENT}203afffe80000000000000000000fffe000001fe80000000000000000000000000000a88009a13\
                 e0000000fe80000000000000000000fffe0000010201020000000001"
            ),
        ),
        (
            alone,
            format!(
                "{ADVERTISEMENT}183afffd000000000000000000000000000001fe80000000000000000000000000000a8800bf1d\
                 c0000000fd000000000000000000000000000001"
            ),
        ),
        (
            solicitation(ipv6("::"), FROM, ipv6("fd00::1"), None),
            "33330000000102000000000186dd6000000000203afffd000000000000000000000000000001ff02000000000000000000000000\
             00018800da9aa0000000fd0000000000000000000000000000010201020000000001"
                .to_owned(),
        ),
        (
            solicitation(ipv6("fe80::a"), FROM, ipv6("fd00::"), None),
            format!(
                "{ADVERTISEMENT}203afffe80000000000000000000fffe000001fe80000000000000000000000000000a8800ba94\
                 c0000000fd0000000000000000000000000000000201020000000001"
            ),
        ),
    ] {
        let mut link = router();
        link.hear(&asks);
        link.pass(Duration::from_secs(1));
        let answers = taken(&mut link);
        assert_eq!(answers, [Outgoing { port: PORT, frame: bytes(&answer) }]);
    }
}

#[test]
fn the_kernel_looks_for_neighbors_so() {
    for (target, question) in [
        ("10.0.1.77", "ffffffffffff020000000002080600010800060400010200000000020a0001010000000000000a00014d"),
        (
            "fd00:1::77",
            "3333ff00007702000000000286dd6000000000203afffe80000000000000000000fffe000002ff02000000000000000000\
             01ff00007787007c2a00000000fd0000010000000000000000000000770101020000000002",
        ),
    ] {
        let mut link = router();
        link.hood.ask(OTHER_PORT, target.parse().unwrap(), link.now);
        link.pass(Duration::from_secs(4));
        let asked = Outgoing { port: OTHER_PORT, frame: bytes(question) };
        assert_eq!(taken(&mut link), [asked.clone(), asked.clone(), asked]);
    }
}

#[test]
fn the_kernel_confirms_neighbors_so() {
    let was_at = Mac([2, 0, 0, 0, 0, 0xb]);
    let is_at = Mac([2, 0, 0, 0, 0, 0xc]);
    let v4 = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 2));
    let found = |link: &mut Link, frame: &[u8]| link.hood.heard(OTHER_PORT, frame, link.now, &|_| None);
    let mut link = router();
    link.hood.ask(OTHER_PORT, v4, link.now);
    let answer = Arp {
        request: false,
        sender_mac: was_at,
        sender: Ipv4Addr::new(10, 0, 1, 2),
        target_mac: MACS[1],
        target: Ipv4Addr::new(10, 0, 1, 1),
    };
    found(&mut link, &wire::arp(&answer, MACS[1]));
    found(&mut link, &arp_request(answer.sender, is_at, answer.sender));
    taken(&mut link);
    link.hood.ask(OTHER_PORT, v4, link.now);
    link.pass(Duration::from_secs(9));
    let question = "02000000000c020000000002080600010800060400010200000000020a0001010000000000000a000102";
    let asked = Outgoing { port: OTHER_PORT, frame: bytes(question) };
    assert_eq!(taken(&mut link), [asked.clone(), asked.clone(), asked]);

    let target = ipv6("fd00:1::2");
    link.hood.ask(OTHER_PORT, target.into(), link.now);
    let said =
        Advertisement { target, link_address: Some(was_at), router: false, solicited: true, replaces: true };
    found(&mut link, &wire::advertisement(was_at, target, ipv6("fe80::ff:fe00:2"), MACS[1], &said));
    let moved = Advertisement { link_address: Some(is_at), solicited: false, ..said };
    let all = wire::ALL_NODES;
    found(&mut link, &wire::advertisement(is_at, target, all, wire::group_mac(all), &moved));
    taken(&mut link);
    link.hood.ask(OTHER_PORT, target.into(), link.now);
    link.pass(Duration::from_secs(9));
    let question = "02000000000c02000000000286dd6000000000203afffe80000000000000000000fffe000002fd0000010000000000000000\
                    0000000287007e1700000000fd0000010000000000000000000000020101020000000002";
    let asked = Outgoing { port: OTHER_PORT, frame: bytes(question) };
    assert_eq!(taken(&mut link), [asked.clone(), asked.clone(), asked]);
}
