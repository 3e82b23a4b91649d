//! Answers: for the router's addresses, for others, and to nobody who has no right to one.

use super::*;

/// Hears a frame while these addresses are reached by the other port.
fn hear_routed(link: &mut Link, frame: &[u8], elsewhere: &str) {
    let net: IpNet = elsewhere.parse().unwrap();
    let routed = |address| Some(if net.contains(&address) { OTHER_PORT } else { PORT });
    link.hood.heard(PORT, frame, link.now, &routed);
}

fn reply(sender: Ipv4Addr, target: Ipv4Addr, target_mac: Mac) -> Message {
    Message::Arp(Arp { request: false, sender_mac: OWN, sender, target_mac, target })
}

fn advertised(target: Ipv6Addr, link_address: Option<Mac>, flags: [bool; 3]) -> Message {
    let [router, solicited, replaces] = flags;
    Message::Advertisement(Advertisement { target, link_address, router, solicited, replaces })
}

#[test]
fn arp_is_answered_to_the_one_who_asks() {
    let mut link = Link::new();
    link.hear(&arp_request(PEER4, A, OWN4));
    assert_eq!(link.sent(), [(A, reply(OWN4, PEER4, A))]);
    link.hear(&wire::arp_request(A, PEER4, OWN4, OWN));
    assert_eq!(link.sent(), [(A, reply(OWN4, PEER4, A))], "asked alone, too");
    let nobody = Ipv4Addr::UNSPECIFIED;
    link.hear(&arp_request(nobody, A, OWN4));
    assert_eq!(
        link.sent(),
        [(A, reply(OWN4, nobody, A))],
        "one who tries the address hears that it is taken"
    );
    link.hear(&arp_request(PEER4, A, "10.0.0.9".parse().unwrap()));
    assert!(link.sent().is_empty());
}

#[test]
fn an_address_of_another_port_is_answered_for_unless_that_is_switched_off() {
    for answers in [true, false] {
        let mut link = Link::with(Settings { answer_on_all_ports: answers, ..Settings::default() });
        let interface = Interface { link: LinkIndex(6), mac: OWN, mtu: 1500, up: true };
        link.hood.set_interface(OTHER_PORT, interface, link.now);
        link.hood.add_address(OTHER_PORT, "10.0.1.1/24".parse().unwrap(), false, link.now);
        link.quiet();
        link.hear(&arp_request(PEER4, A, "10.0.1.1".parse().unwrap()));
        assert_eq!(link.sent().len(), usize::from(answers));
    }
}

#[test]
fn solicitations_are_answered_as_the_kernel_answers_them() {
    let mut link = Link::new();
    link.hear(&solicitation(peer6(), A, own6(), None));
    assert_eq!(link.sent(), [(A, advertised(own6(), Some(OWN), [true, true, true]))]);
    link.hear(&solicitation(peer6(), A, own6(), Some(OWN)));
    assert_eq!(link.sent(), [(A, advertised(own6(), None, [true, true, false]))], "asked alone");
    link.hear(&solicitation(Ipv6Addr::UNSPECIFIED, A, own6(), None));
    let to_all = Mac([0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(link.sent(), [(to_all, advertised(own6(), Some(OWN), [true, false, true]))]);
    link.hear(&solicitation(peer6(), A, "fe80::9".parse().unwrap(), None));
    assert!(link.sent().is_empty());
}

#[test]
fn the_address_of_any_router_is_answered_for_after_a_while() {
    let mut link = Link::new();
    let any = "fe80::".parse().unwrap();
    link.hear(&solicitation(peer6(), A, any, None));
    assert!(link.sent().is_empty());
    link.pass(ms(800));
    assert_eq!(link.sent(), [(A, advertised(any, Some(OWN), [true, true, false]))]);
}

#[test]
fn a_neighbor_that_says_it_is_a_router_is_known_for_one() {
    let mut link = Link::new();
    link.bring(peer6().into(), NeighborState::Reachable);
    let said = |router| Advertisement {
        target: peer6(),
        link_address: Some(A),
        router,
        solicited: true,
        replaces: true,
    };
    for router in [true, false] {
        link.hear(&wire::advertisement(A, peer6(), own6(), OWN, &said(router)));
        assert_eq!(link.hood.is_router(PORT, peer6().into()), router);
    }
}

#[test]
fn messages_that_break_the_rules_are_counted_and_not_heeded() {
    let sound = solicitation(peer6(), A, own6(), None);
    let fix = |frame: &mut Vec<u8>| {
        let [source, destination] =
            [22, 38].map(|at| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap()));
        smoltcp::wire::Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&source, &destination);
    };
    let spoil = |at: usize, value: u8| {
        let mut frame = sound.clone();
        frame[at] = value;
        fix(&mut frame);
        frame
    };
    let mut wrong_checksum = sound.clone();
    wrong_checksum[56] ^= 1;
    let mut trial_with_address = solicitation(Ipv6Addr::UNSPECIFIED, A, own6(), None);
    let option = trial_with_address.len();
    trial_with_address.extend_from_slice(&[1, 1, 2, 0, 0, 0, 0, 0xa]);
    trial_with_address[19] += 8;
    fix(&mut trial_with_address);
    assert_eq!(option, 78);
    let mut trial_to_one = solicitation(Ipv6Addr::UNSPECIFIED, A, own6(), Some(OWN));
    fix(&mut trial_to_one);
    let mut zero_sender = arp_request(PEER4, A, OWN4);
    zero_sender[22..28].fill(0);
    let all = [
        ("came over a router", spoil(21, 254)),
        ("code", spoil(55, 1)),
        ("checksum", wrong_checksum),
        ("target is a group", spoil(62, 0xff)),
        ("option without length", spoil(79, 0)),
        ("option longer than the message", spoil(79, 9)),
        ("link address of two units", spoil(79, 2)),
        ("truncated", sound[..60].to_vec()),
        ("trial that says where it is from", trial_with_address),
        ("trial to one address", trial_to_one),
        ("sender without link address", zero_sender),
        ("arp for a group", arp_request(PEER4, A, "224.0.0.1".parse().unwrap())),
        ("arp for the loopback", arp_request(PEER4, A, "127.0.0.1".parse().unwrap())),
        ("arp cut short", arp_request(PEER4, A, OWN4)[..30].to_vec()),
    ];
    for (what, frame) in all {
        let mut link = Link::new();
        link.hear(&frame);
        assert_eq!((link.hood.counters().malformed, link.hood.neighbors()), (1, 0), "{what}");
        assert!(link.sent().is_empty(), "{what}");
    }
    let mut link = Link::new();
    link.hear(&sound);
    assert_eq!((link.hood.counters().malformed, link.sent().len()), (0, 1));
}

#[test]
fn solicited_advertisements_to_everybody_and_redirects_are_not_heeded() {
    let mut link = Link::new();
    link.bring(peer6().into(), NeighborState::Stale);
    let said = Advertisement {
        target: peer6(),
        link_address: Some(B),
        router: false,
        solicited: true,
        replaces: true,
    };
    let all = wire::ALL_NODES;
    link.hear(&wire::advertisement(B, peer6(), all, wire::group_mac(all), &said));
    assert_eq!((link.mac(peer6().into()), link.hood.counters().malformed), (Some(A), 1));
}

#[test]
fn neighbors_set_by_hand_stay_as_they_are() {
    let mut link = Link::new();
    for peer in peers() {
        link.hood.set_static(PORT, peer, A);
    }
    assert_eq!(link.hood.take_changes().len(), 2);
    link.hear(&arp_request(PEER4, B, PEER4));
    link.hear(&arp_reply(PEER4, B));
    link.hear(&arp_request(PEER4, B, OWN4));
    link.hear(&advertisement(peer6(), Some(B), true, true));
    link.hear(&solicitation(peer6(), B, own6(), None));
    peers().into_iter().for_each(|peer| link.ask(peer));
    link.pass(Duration::from_secs(100));
    for peer in peers() {
        assert_eq!(link.hood.neighbor(PORT, peer), Some((NeighborState::Permanent, Some(A))));
    }
    assert_eq!(link.hood.counters().claims, 5);
    let claim = |address| Event::Claimed { port: PORT, address, mac: B };
    assert!(link.events().contains(&claim(PEER4.into())));
    assert!(link.hood.take_changes().is_empty());
    link.up(false);
    link.up(true);
    let told = link.hood.take_changes();
    assert_eq!(told.len(), 2, "told again with the port: {told:?}");
    assert!(link.hood.forget(PORT, PEER4.into()));
    assert_eq!(
        link.hood.take_changes(),
        [Change::NeighborGone { link: LinkIndex(5), address: PEER4.into() }]
    );
}

#[test]
fn a_port_answers_for_what_is_routed_by_another_port() {
    let far = "10.9.0.5".parse().unwrap();
    let asks = arp_request(PEER4, A, far);
    let mut link = Link::new();
    hear_routed(&mut link, &asks, "10.9.0.0/16");
    link.pass(Duration::from_secs(1));
    assert!(link.sent().is_empty(), "not unless it is told to");
    link.hood.set_proxy(PORT, Proxy { all_routed: true, ..Proxy::default() });
    hear_routed(&mut link, &asks, "10.9.0.0/16");
    assert!(link.sent().is_empty(), "it waits, for the one who is asked for to be first");
    link.pass(ms(800));
    assert_eq!(link.sent(), [(A, reply(far, PEER4, A))]);
    hear_routed(&mut link, &wire::arp_request(A, PEER4, far, OWN), "10.9.0.0/16");
    assert_eq!(link.sent().len(), 1, "asked alone, at once");
    hear_routed(&mut link, &asks, "10.8.0.0/16");
    hear_routed(&mut link, &arp_request(far, A, far), "10.9.0.0/16");
    link.pass(ms(800));
    assert!(link.sent().is_empty(), "neither for its own link nor to one who announces it");
    assert_eq!(link.hood.counters().proxied, 2);
}

#[test]
fn a_port_answers_for_prefixes() {
    let near: IpAddr = "fd00:9::5".parse().unwrap();
    let IpAddr::V6(target) = near else { unreachable!() };
    let mut link = Link::new();
    let prefixes = vec!["10.9.0.0/16".parse().unwrap(), "fd00:9::/32".parse().unwrap()];
    link.hood.set_proxy(PORT, Proxy { all_routed: false, prefixes });
    assert!(link.hood.answers_for_others());
    link.hear(&solicitation(peer6(), A, target, None));
    link.pass(ms(800));
    assert_eq!(link.sent(), [(A, advertised(target, Some(OWN), [false, true, false]))]);
    link.hear(&solicitation(peer6(), A, "fd01::5".parse().unwrap(), None));
    hear_routed(&mut link, &arp_request(PEER4, A, "10.9.1.1".parse().unwrap()), "10.9.0.0/16");
    hear_routed(&mut link, &arp_request(PEER4, A, "10.8.1.1".parse().unwrap()), "10.8.0.0/16");
    link.pass(ms(800));
    assert_eq!(link.sent().len(), 1);
}

#[test]
fn answers_for_others_that_wait_are_bounded() {
    let mut link = Link::new();
    link.hood.set_proxy(PORT, Proxy { all_routed: true, ..Proxy::default() });
    for _ in 0..100 {
        hear_routed(&mut link, &arp_request(PEER4, A, "10.9.0.5".parse().unwrap()), "10.9.0.0/16");
    }
    link.pass(ms(800));
    assert_eq!(link.sent().len(), 64);
    assert_eq!(link.hood.counters().proxy_overflows, 36);
}
