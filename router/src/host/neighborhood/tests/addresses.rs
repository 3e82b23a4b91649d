//! The router's own addresses: tried, announced, defended.

use super::*;

const NET4: &str = "10.0.0.1/24";
const NET6: &str = "fe80::1/64";

fn probe(target: Ipv4Addr) -> Message {
    let [sender_mac, target_mac] = [OWN, Mac::default()];
    Message::Arp(Arp { request: true, sender_mac, sender: Ipv4Addr::UNSPECIFIED, target_mac, target })
}

fn announcement() -> Message {
    let [sender_mac, target_mac] = [OWN, Mac::default()];
    Message::Arp(Arp { request: true, sender_mac, sender: OWN4, target_mac, target: OWN4 })
}

fn unsolicited() -> Message {
    Message::Advertisement(Advertisement {
        target: own6(),
        link_address: Some(OWN),
        router: true,
        solicited: false,
        replaces: true,
    })
}

fn messages(link: &mut Link) -> Vec<Message> {
    link.sent().into_iter().map(|(_, message)| message).collect()
}

#[test]
fn an_ipv4_address_is_asked_for_twice_then_used_and_announced_twice() {
    let mut link = Link::bare(Settings::default());
    link.hood.add_address(PORT, NET4.parse().unwrap(), true, link.now);
    assert_eq!(link.hood.standing(PORT, OWN4.into()), Some(Standing::Tentative));
    link.pass(ms(250));
    assert_eq!(link.sent(), [(wire::BROADCAST, probe(OWN4)), (wire::BROADCAST, probe(OWN4))]);
    assert!(link.verdicts().is_empty());
    link.pass(ms(200));
    assert_eq!(link.verdicts(), [(OWN4.into(), Standing::Ready)]);
    assert_eq!(messages(&mut link), [announcement()]);
    link.pass(Duration::from_secs(60));
    assert_eq!(messages(&mut link), [announcement()]);
    assert_eq!(link.hood.deadline(), None);
}

#[test]
fn an_ipv6_address_is_asked_for_once_within_a_second_and_used_a_second_later() {
    let mut link = Link::bare(Settings::default());
    link.hood.add_address(PORT, NET6.parse().unwrap(), true, link.now);
    link.pass(ms(999));
    let sent = link.sent();
    let [(to, Message::Solicitation { source, target, link_address, nonce, .. })] = sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((to, target), (Mac([0x33, 0x33, 0xff, 0, 0, 1]), own6()));
    assert_eq!((source, link_address), (Ipv6Addr::UNSPECIFIED, None));
    assert!(nonce.is_some());
    assert!(link.verdicts().is_empty());
    link.pass(ms(1_001));
    assert_eq!(link.verdicts(), [(own6().into(), Standing::Ready)]);
    assert_eq!(messages(&mut link), [unsolicited()]);
}

#[test]
fn without_trying_an_address_is_used_at_once() {
    for (detect, probes) in [(false, 2), (true, 0)] {
        let detection = Detection { probes, ..Settings::default().detection_ipv4 };
        let mut link = Link::bare(Settings { detection_ipv4: detection, ..Settings::default() });
        link.hood.add_address(PORT, NET4.parse().unwrap(), detect, link.now);
        assert_eq!(link.verdicts(), [(OWN4.into(), Standing::Ready)]);
        assert_eq!(messages(&mut link), [announcement()]);
    }
}

#[test]
fn an_address_that_somebody_has_is_not_used() {
    // One who has it, in an answer or not; and one who tries it as well.
    let tries = wire::arp_request(A, Ipv4Addr::UNSPECIFIED, OWN4, wire::BROADCAST);
    for claim in [arp_reply(OWN4, A), arp_request(OWN4, A, OWN4), arp_request(OWN4, A, PEER4), tries] {
        let mut link = Link::bare(Settings::default());
        link.hood.add_address(PORT, NET4.parse().unwrap(), true, link.now);
        link.pass(ms(100));
        link.quiet();
        link.hear(&claim);
        assert_eq!(link.verdicts(), [(OWN4.into(), Standing::Duplicate(A))]);
        link.pass(Duration::from_secs(60));
        link.hear(&arp_request(PEER4, B, OWN4));
        assert!(link.sent().is_empty(), "it is neither announced nor answered for");
        assert_eq!(link.hood.counters().duplicates, 1);
    }
    let tries = solicitation(Ipv6Addr::UNSPECIFIED, A, own6(), None);
    let mut another = [0; 6];
    another[0] = 1;
    let tries_with_nonce = wire::solicitation(A, Ipv6Addr::UNSPECIFIED, own6(), None, Some(another));
    for claim in [advertisement(own6(), Some(A), false, true), tries, tries_with_nonce] {
        let mut link = Link::bare(Settings::default());
        link.hood.add_address(PORT, NET6.parse().unwrap(), true, link.now);
        link.pass(ms(1_000));
        link.quiet();
        link.hear(&claim);
        assert_eq!(link.verdicts(), [(own6().into(), Standing::Duplicate(A))]);
        link.pass(Duration::from_secs(60));
        link.hear(&solicitation(peer6(), B, own6(), None));
        assert!(link.sent().is_empty());
    }
}

#[test]
fn who_has_an_address_that_was_to_be_ours_is_a_neighbor_like_others() {
    let mut link = Link::new();
    link.hood.add_address(PORT, "10.0.0.3/24".parse().unwrap(), true, link.now);
    let theirs = Ipv4Addr::new(10, 0, 0, 3);
    link.hear(&arp_reply(theirs, A));
    assert_eq!(link.verdicts(), [(theirs.into(), Standing::Duplicate(A))]);
    link.quiet();
    link.ask(theirs.into());
    assert_eq!(link.sent().len(), 1);
    link.hear(&arp_reply(theirs, A));
    assert_eq!(link.state(theirs.into()), NeighborState::Reachable);
    link.hear(&arp_request(theirs, A, OWN4));
    assert_eq!((link.sent().len(), link.hood.counters().conflicts), (1, 1));
}

#[test]
fn our_own_questions_that_come_back_are_no_conflict() {
    let mut link = Link::bare(Settings::default());
    for net in [NET4, NET6] {
        link.hood.add_address(PORT, net.parse().unwrap(), true, link.now);
    }
    link.pass(ms(1_000));
    let frames: Vec<_> = std::iter::from_fn(|| link.hood.take_frame()).collect();
    assert!(frames.len() >= 3);
    for outgoing in &frames {
        link.hear(&outgoing.frame);
        // A switch that has changed who it is from, as some do.
        let mut frame = outgoing.frame.clone();
        if frame[12] == 0x86 {
            frame[6..12].copy_from_slice(&B.0);
            link.hear(&frame);
        }
    }
    link.pass(Duration::from_secs(5));
    let is_ready = |(_, standing): &(IpAddr, Standing)| *standing == Standing::Ready;
    let verdicts = link.verdicts();
    assert!(verdicts.len() == 2 && verdicts.iter().all(is_ready), "{verdicts:?}");
    assert_eq!(link.hood.counters().looped, frames.len() as u64 + 1);
}

#[test]
fn a_question_for_a_tentative_address_is_not_answered() {
    let mut link = Link::bare(Settings::default());
    for net in [NET4, NET6] {
        link.hood.add_address(PORT, net.parse().unwrap(), true, link.now);
    }
    link.hear(&arp_request(PEER4, A, OWN4));
    link.hear(&solicitation(peer6(), A, own6(), None));
    assert!(link.sent().is_empty());
}

#[test]
fn an_address_in_use_is_defended_once_in_ten_seconds() {
    for (claim, answer) in [
        (arp_reply(OWN4, A), announcement()),
        (arp_request(OWN4, A, PEER4), announcement()),
        (advertisement(own6(), Some(A), false, true), unsolicited()),
    ] {
        let mut link = Link::new();
        for _ in 0..100 {
            link.hear(&claim);
            link.pass(ms(95));
        }
        assert_eq!(messages(&mut link), [answer]);
        assert_eq!((link.hood.counters().conflicts, link.hood.counters().defences), (100, 1));
        assert_eq!(link.events().len(), 1);
        link.pass(ms(500));
        link.hear(&claim);
        assert_eq!(messages(&mut link), [answer]);
        assert_eq!(link.hood.neighbors(), 0, "nobody is remembered under the router's own address");
        assert!(link.verdicts().is_empty());
    }
}

#[test]
fn when_the_port_comes_up_again_addresses_are_announced_and_those_of_ipv6_tried() {
    let mut link = Link::new();
    link.bring(PEER4.into(), NeighborState::Reachable);
    link.up(false);
    assert_eq!(link.verdicts(), [(own6().into(), Standing::Tentative)]);
    let gone = Change::NeighborGone { link: LinkIndex(5), address: PEER4.into() };
    assert_eq!(link.hood.take_changes(), [gone]);
    link.ask(PEER4.into());
    link.hear(&arp_request(PEER4, A, OWN4));
    link.pass(Duration::from_secs(60));
    assert!(link.sent().is_empty() && link.hood.deadline().is_none(), "a port that is down is left alone");
    link.up(true);
    assert_eq!(messages(&mut link), [announcement()]);
    link.pass(Duration::from_secs(3));
    assert_eq!(link.verdicts(), [(own6().into(), Standing::Ready)]);
    let said = messages(&mut link);
    assert!(said.contains(&unsolicited()) && said.contains(&announcement()), "{said:?}");
    link.up(true);
    assert!(link.sent().is_empty(), "nothing has changed");
}

#[test]
fn another_link_address_is_announced_and_neighbors_are_found_anew() {
    let mut link = Link::new();
    link.bring(PEER4.into(), NeighborState::Reachable);
    let interface = Interface { link: LinkIndex(5), mac: B, mtu: 1500, up: true };
    link.hood.set_interface(PORT, interface, link.now);
    assert_eq!(link.state(PEER4.into()), NeighborState::None);
    let outgoing = link.hood.take_frame().expect("an announcement");
    assert_eq!((&outgoing.frame[6..12], &outgoing.frame[22..28]), (&B.0[..], &B.0[..]));
}

#[test]
fn addresses_on_a_device_without_link_addresses_are_used_at_once() {
    let mut link = Link { hood: Neighborhood::new(Settings::default(), 1), now: Instant::from_secs(1) };
    let interface = Interface { link: LinkIndex(3), mac: Mac::default(), mtu: 1500, up: true };
    link.hood.set_interface(PORT, interface, link.now);
    for net in [NET4, NET6] {
        link.hood.add_address(PORT, net.parse().unwrap(), true, link.now);
    }
    assert_eq!(link.verdicts().len(), 2);
    link.ask(PEER4.into());
    assert!(link.sent().is_empty() && link.hood.deadline().is_none());
}

#[test]
fn a_set_of_addresses_takes_the_place_of_another() {
    let mut link = Link::new();
    let kept: (PortId, IpNet, bool) = (PORT, NET4.parse().unwrap(), true);
    let new: (PortId, IpNet, bool) = (PORT, "10.0.0.7/24".parse().unwrap(), false);
    link.hood.set_addresses([kept, new], link.now);
    assert_eq!(link.verdicts(), [(new.1.addr(), Standing::Ready)], "the one that stays is not tried again");
    assert_eq!(link.hood.standing(PORT, own6().into()), None);
    link.hear(&solicitation(peer6(), A, own6(), None));
    link.quiet();
    link.hear(&arp_request(PEER4, A, "10.0.0.7".parse().unwrap()));
    assert_eq!(link.sent().len(), 1);
}
