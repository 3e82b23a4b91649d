//! Floods, spoofing and everything at random: tables stay bounded, static neighbors stay, nothing waits for ever.

use super::*;
use proptest::prelude::*;

/// Room for few.
fn tight() -> Settings {
    Settings { keep: 4, crowded: 8, neighbors_max: 16, ..Settings::default() }
}

fn peer(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

#[test]
fn a_flood_of_senders_does_not_grow_the_table_and_does_not_keep_out_who_is_wanted() {
    let mut link = Link::with(tight());
    link.ask(PEER4.into());
    link.hear(&arp_reply(PEER4, A));
    for number in 10..1000 {
        link.hear(&arp_request(peer(number), B, OWN4));
        assert!(link.hood.neighbors() <= 16);
    }
    assert_eq!(link.mac(PEER4.into()), Some(A), "one in use stays");
    assert!(link.hood.counters().table_overflows > 900);
    assert_eq!(link.sent().len(), 1 + 990, "who has no room is answered all the same");
    let wanted: IpAddr = "10.0.0.77".parse().unwrap();
    link.hood.forget(PORT, wanted);
    link.ask(wanted);
    assert_eq!(link.state(wanted), NeighborState::Incomplete, "it takes the place of one that nobody uses");
    let full = link.events().into_iter().filter(|event| matches!(event, Event::TableFull { .. }));
    assert_eq!(full.count(), 1, "told once");
}

#[test]
fn a_scan_of_a_network_does_not_grow_the_table_either() {
    let mut link = Link::with(tight());
    for number in 10..1000 {
        link.ask(peer(number).into());
        link.pass(ms(10));
        link.hood.take_changes();
        assert!(link.hood.neighbors() <= 16);
    }
    link.pass(Duration::from_secs(4));
    link.ask(PEER4.into());
    assert_eq!(link.state(PEER4.into()), NeighborState::Incomplete, "those that failed make room");
}

#[test]
fn neighbors_of_one_family_do_not_keep_those_of_the_other_out() {
    let mut link = Link::with(tight());
    for number in 10..40 {
        link.ask(peer(number).into());
    }
    link.ask(peer6().into());
    assert_eq!(link.state(peer6().into()), NeighborState::Incomplete);
}

#[test]
fn who_has_long_not_been_used_is_forgotten_when_there_are_many() {
    let mut link = Link::with(tight());
    for number in 10..18 {
        link.ask(peer(number).into());
        link.hear(&arp_reply(peer(number), A));
    }
    link.hood.set_static(PORT, PEER4.into(), A);
    link.pass(Duration::from_secs(130));
    assert_eq!(link.hood.neighbors(), 1);
    assert_eq!(link.hood.deadline(), None);
    for number in 10..14 {
        link.ask(peer(number).into());
        link.hear(&arp_reply(peer(number), A));
    }
    link.pass(Duration::from_secs(1000));
    assert_eq!(link.hood.neighbors(), 5, "few are kept");
}

#[test]
fn what_nobody_takes_is_bounded() {
    let mut link = Link::with(tight());
    for number in 0..5000_u16 {
        link.hear(&arp_request(peer(number % 900 + 10), B, OWN4));
        link.ask(peer(number % 1000 + 2000).into());
        link.pass(ms(50));
    }
    assert!(link.hood.outbox.frames.len() <= 1024 && link.hood.outbox.events.len() <= 256);
    assert!(link.hood.outbox.changed.len() <= 16 * 4 + 32);
    assert!(link.hood.counters().frames_lost > 0);
}

#[derive(Clone, Debug)]
enum Step {
    Ask(IpAddr),
    Hear(Vec<u8>),
    Pass(u64),
    Up(bool),
    Address(u8, bool),
    Take,
}

fn any_mac() -> impl Strategy<Value = Mac> {
    (0..6_u8).prop_map(|last| Mac([2, 0, 0, 0, 0, last]))
}

fn any_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![(0..40_u8).prop_map(|last| Ipv4Addr::new(10, 0, 0, last)), any::<Ipv4Addr>()]
}

fn any_ipv6() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![(0..40_u16).prop_map(|last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)), any::<Ipv6Addr>()]
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let arp = (any::<bool>(), any_mac(), any_ipv4(), any_mac(), any_ipv4(), any_mac()).prop_map(
        |(request, sender_mac, sender, target_mac, target, to)| {
            wire::arp(&Arp { request, sender_mac, sender, target_mac, target }, to)
        },
    );
    let solicited = (any_mac(), any_ipv6(), any_ipv6(), proptest::option::of(any_mac()))
        .prop_map(|(mac, source, target, to)| wire::solicitation(mac, source, target, to, None));
    let advertised = (any_mac(), any_ipv6(), proptest::option::of(any_mac()), any::<[bool; 3]>()).prop_map(
        |(mac, target, link_address, [router, solicited, replaces])| {
            let said = Advertisement { target, link_address, router, solicited, replaces };
            wire::advertisement(mac, target, own6(), OWN, &said)
        },
    );
    prop_oneof![arp, solicited, advertised]
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let spoilt =
        (any_message(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut frame, at, value)| {
            let at = at.index(frame.len());
            frame[at] = value;
            frame
        });
    prop_oneof![9 => any_message(), 1 => spoilt]
}

fn any_step() -> impl Strategy<Value = Step> {
    let address = prop_oneof![any_ipv4().prop_map(IpAddr::V4), any_ipv6().prop_map(IpAddr::V6)];
    prop_oneof![
        4 => address.prop_map(Step::Ask),
        8 => any_frame().prop_map(Step::Hear),
        4 => (0..8_000_u64).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Up),
        1 => (0..40_u8, any::<bool>()).prop_map(|(last, detect)| Step::Address(last, detect)),
        1 => Just(Step::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever happens: bounds hold, static neighbors stay, what is due is done, and whoever follows the changes knows
    /// what the table knows.
    #[test]
    fn whatever_happens_bounds_hold(steps in proptest::collection::vec(any_step(), 1..300)) {
        let fixed: [IpAddr; 2] = ["10.0.0.20".parse().unwrap(), "fe80::20".parse().unwrap()];
        let mut link = Link::with(tight());
        let mut followed = BTreeMap::new();
        fixed.into_iter().for_each(|address| link.hood.set_static(PORT, address, A));
        link.hood.set_proxy(PORT, Proxy { all_routed: true, prefixes: vec!["fe80::/16".parse().unwrap()] });
        link.hood.set_advertising(PORT, Some(Advertising::default()), link.now);
        for step in steps {
            match step {
                Step::Ask(address) => link.ask(address),
                Step::Hear(frame) => link.hood.heard(PORT, &frame, link.now, &|_| Some(OTHER_PORT)),
                Step::Pass(time) => link.pass(ms(time)),
                Step::Up(up) => link.up(up),
                Step::Address(last, detect) => {
                    let net = if last == 20 { continue } else { format!("10.0.0.{last}/24") };
                    link.hood.add_address(PORT, net.parse().unwrap(), detect, link.now);
                }
                Step::Take => link.quiet_but_changes(&mut followed),
            }
            prop_assert!(link.hood.neighbors() <= 2 * 16 + 2);
            prop_assert!(link.hood.outbox.frames.len() <= 1024);
            for address in fixed {
                prop_assert_eq!(
                    link.hood.neighbor(PORT, address),
                    Some((NeighborState::Permanent, Some(A)))
                );
            }
            while link.hood.deadline().is_some_and(|deadline| deadline <= link.now) {
                let before = link.hood.timers.next();
                link.hood.turn(link.now);
                prop_assert!(
                    link.hood.deadline() > before || link.hood.deadline().is_none(),
                    "what is due is done"
                );
            }
            for (key, own) in &link.hood.own {
                prop_assert!(!own.is_ready() || !link.hood.table.contains(*key), "nobody under our own address");
            }
        }
        link.quiet_but_changes(&mut followed);
        let known: BTreeMap<_, _> = followed
            .keys()
            .copied()
            .chain(fixed)
            .filter_map(|address| Some((address, link.hood.neighbor(PORT, address)?)))
            .collect();
        prop_assert_eq!(&followed, &known);
        prop_assert_eq!(known.len(), link.hood.neighbors());
    }
}

impl Link {
    /// Takes out all there is, and keeps account of what is told of neighbors.
    fn quiet_but_changes(&mut self, followed: &mut BTreeMap<IpAddr, (NeighborState, Option<Mac>)>) {
        for change in self.hood.take_changes() {
            match change {
                Change::Neighbor(entry) => {
                    followed.insert(entry.address, (entry.state, entry.mac));
                }
                Change::NeighborGone { address, .. } => {
                    followed.remove(&address);
                }
                other => panic!("{other:?}"),
            }
        }
        while self.hood.take_frame().is_some() {}
        self.verdicts();
        self.events();
    }
}
