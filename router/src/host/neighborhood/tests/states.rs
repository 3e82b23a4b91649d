//! The table of RFC 4861 appendix C, row by row, for both families; and the times of Linux.

use super::*;
use NeighborState::{Delay, Failed, Incomplete, Probe, Reachable, Stale};

/// States with a link address.
const VALID: [NeighborState; 4] = [Reachable, Stale, Delay, Probe];

/// A row: an advertisement arrives.
struct Row {
    from: &'static [NeighborState],
    solicited: bool,
    replaces: bool,
    /// The link address in it, where the neighbor has `A`.
    mac: Option<Mac>,
    /// The state after, `None` for the same.
    to: Option<NeighborState>,
    /// The link address after.
    after: Option<Mac>,
}

const fn row(
    from: &'static [NeighborState],
    solicited: bool,
    replaces: bool,
    mac: Option<Mac>,
    to: Option<NeighborState>,
    after: Option<Mac>,
) -> Row {
    Row { from, solicited, replaces, mac, to, after }
}

/// The rows of appendix C that an advertisement begins.
const ADVERTISED: [Row; 15] = [
    row(&[Incomplete], false, false, Some(B), Some(Stale), Some(B)),
    row(&[Incomplete], false, true, Some(B), Some(Stale), Some(B)),
    row(&[Incomplete], true, false, Some(B), Some(Reachable), Some(B)),
    row(&[Incomplete], true, true, Some(B), Some(Reachable), Some(B)),
    row(&[Incomplete], true, true, None, None, None),
    row(&[Incomplete], false, false, None, None, None),
    row(&VALID, true, false, Some(A), Some(Reachable), Some(A)),
    row(&[Reachable], true, false, Some(B), Some(Stale), Some(A)),
    row(&[Stale, Probe, Delay], true, false, Some(B), None, Some(A)),
    row(&VALID, true, true, Some(A), Some(Reachable), Some(A)),
    row(&VALID, true, true, Some(B), Some(Reachable), Some(B)),
    // The appendix lets the state be; section 7.2.5, and Linux, take the answer for one.
    row(&VALID, true, false, None, Some(Reachable), Some(A)),
    row(&VALID, false, false, Some(A), None, Some(A)),
    row(&VALID, false, true, Some(A), None, Some(A)),
    row(&VALID, false, true, Some(B), Some(Stale), Some(B)),
];

#[test]
fn advertisements_do_what_the_table_of_the_rfc_says() {
    for (number, row) in ADVERTISED.iter().enumerate() {
        for from in row.from {
            let mut link = Link::new();
            link.bring(peer6().into(), *from);
            link.hear(&advertisement(peer6(), row.mac, row.solicited, row.replaces));
            let is = (link.state(peer6().into()), link.mac(peer6().into()));
            assert_eq!(is, (row.to.unwrap_or(*from), row.after), "row {number} from {from}");
        }
    }
}

#[test]
fn an_unsolicited_one_that_replaces_nothing_is_not_heeded() {
    for from in [Stale, Delay, Probe] {
        let mut link = Link::new();
        link.bring(peer6().into(), from);
        link.hear(&advertisement(peer6(), Some(B), false, false));
        assert_eq!((link.state(peer6().into()), link.mac(peer6().into())), (from, Some(A)));
    }
}

#[test]
fn nobody_is_remembered_who_was_not_asked_for() {
    let mut link = Link::new();
    link.hear(&advertisement(peer6(), Some(A), false, true));
    link.hear(&advertisement(peer6(), Some(A), true, true));
    link.hear(&arp_reply(PEER4, A));
    link.hear(&arp_request(PEER4, A, PEER4));
    assert_eq!(link.hood.neighbors(), 0);
    let mut link = Link::with(Settings { accept_unasked: true, ..Settings::default() });
    link.hear(&advertisement(peer6(), Some(A), false, true));
    link.hear(&arp_request(PEER4, A, PEER4));
    assert_eq!(peers().map(|peer| (link.state(peer), link.mac(peer))), [(Stale, Some(A)); 2]);
}

#[test]
fn a_question_from_a_neighbor_tells_where_it_is() {
    for from in [NeighborState::None, Incomplete, Failed, Reachable, Stale, Delay, Probe] {
        for mac in [A, B] {
            let mut link = Link::new();
            link.bring(peer6().into(), from);
            link.bring(PEER4.into(), from);
            let before = peers().map(|peer| link.state(peer));
            link.hear(&arp_request(PEER4, mac, OWN4));
            link.hear(&solicitation(peer6(), mac, own6(), None));
            for (peer, before) in peers().into_iter().zip(before) {
                let moved = !before.is_valid() || mac == B;
                let stale = if moved { Stale } else { before };
                // The answer to a solicitation is a packet to a neighbor that is stale.
                let expected = if peer.is_ipv6() && stale == Stale { Delay } else { stale };
                assert_eq!(link.state(peer), expected, "{peer} {from} {mac}");
                assert_eq!(link.mac(peer), Some(mac));
            }
        }
    }
}

#[test]
fn one_who_does_not_answer_is_asked_three_times_a_second_apart_and_has_then_failed() {
    for peer in peers() {
        let mut link = Link::new();
        link.ask(peer);
        for _ in 0..3 {
            assert_eq!(link.state(peer), Incomplete);
            assert_eq!(link.sent().len(), 1);
            link.pass(ms(999));
            link.ask(peer);
            assert!(link.sent().is_empty(), "one question a second");
            link.pass(ms(1));
        }
        assert_eq!((link.state(peer), link.sent().len()), (Failed, 0));
        assert_eq!(link.events(), [Event::Failed { port: PORT, address: peer }]);
        link.pass(Duration::from_secs(600));
        assert!(link.sent().is_empty());
        link.ask(peer);
        assert_eq!((link.state(peer), link.sent().len()), (Incomplete, 1), "and is asked again when wanted");
    }
}

#[test]
fn questions_are_made_as_the_kernel_makes_them() {
    let mut link = Link::new();
    link.ask(PEER4.into());
    let arp = Arp { request: true, sender_mac: OWN, sender: OWN4, target_mac: Mac::default(), target: PEER4 };
    assert_eq!(link.sent(), [(wire::BROADCAST, Message::Arp(arp))]);
    link.ask(peer6().into());
    let question = |to_group| Message::Solicitation {
        source: own6(),
        to_group,
        target: peer6(),
        link_address: Some(OWN),
        nonce: None,
    };
    assert_eq!(link.sent(), [(Mac([0x33, 0x33, 0xff, 0, 0, 2]), question(true))]);
    for (peer, asked) in peers().into_iter().zip([Message::Arp(arp), question(false)]) {
        let mut link = Link::new();
        link.bring(peer, Delay);
        link.pass(Duration::from_secs(5));
        assert_eq!(link.sent(), [(A, asked)], "at the last address known");
    }
}

#[test]
fn a_neighbor_grows_stale_between_half_and_one_and_a_half_times_thirty_seconds() {
    let mut times = Vec::new();
    for seed in 0..20 {
        let mut link = Link::new();
        link.hood.random = fastrand::Rng::with_seed(seed);
        link.pass(Duration::from_secs(300));
        link.bring(PEER4.into(), Reachable);
        let begun = link.now;
        link.pass(ms(14_999));
        assert_eq!(link.state(PEER4.into()), Reachable);
        let due = link.hood.deadline().expect("it will grow stale");
        link.pass(ms(30_002));
        assert_eq!(link.state(PEER4.into()), Stale);
        assert_eq!(link.hood.deadline(), None, "nothing happens until it is used");
        times.push(due - begun);
    }
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 10, "the time is drawn: {times:?}");
}

#[test]
fn a_stale_neighbor_that_is_used_is_asked_after_five_seconds_and_given_up_after_three_more() {
    for peer in peers() {
        let mut link = Link::new();
        link.bring(peer, Stale);
        link.ask(peer);
        assert_eq!(link.state(peer), Delay);
        link.pass(ms(4_999));
        assert!(link.sent().is_empty());
        for _ in 0..3 {
            link.pass(ms(1));
            assert_eq!((link.state(peer), link.sent().len()), (Probe, 1));
            assert_eq!(link.mac(peer), Some(A), "it is used still");
            link.pass(ms(999));
        }
        link.pass(ms(1));
        assert_eq!((link.state(peer), link.mac(peer)), (Failed, None));
    }
}

#[test]
fn an_answer_while_it_is_asked_makes_it_reachable() {
    for peer in peers() {
        for from in [Delay, Probe] {
            let mut link = Link::new();
            link.bring(peer, from);
            link.hear(&answer(peer, A));
            assert_eq!(link.state(peer), Reachable);
            link.pass(Duration::from_secs(14));
            assert_eq!((link.state(peer), link.sent().len()), (Reachable, 0));
        }
    }
}

#[test]
fn one_that_answered_again_stays_reachable_for_longer() {
    let mut link = Link::new();
    link.bring(PEER4.into(), Reachable);
    for _ in 0..10 {
        link.pass(Duration::from_secs(14));
        link.hear(&arp_reply(PEER4, A));
        assert_eq!(link.state(PEER4.into()), Reachable);
    }
}

#[test]
fn of_two_arp_replies_at_once_the_first_is_believed() {
    let mut link = Link::new();
    link.ask(PEER4.into());
    link.hear(&arp_reply(PEER4, A));
    link.pass(ms(900));
    link.hear(&arp_reply(PEER4, B));
    assert_eq!(link.mac(PEER4.into()), Some(A));
    link.pass(ms(200));
    link.hear(&arp_reply(PEER4, B));
    assert_eq!((link.mac(PEER4.into()), link.state(PEER4.into())), (Some(B), Reachable));
}

#[test]
fn a_gratuitous_arp_moves_a_neighbor_at_once() {
    let mut link = Link::new();
    link.bring(PEER4.into(), Reachable);
    link.hear(&arp_request(PEER4, B, PEER4));
    assert_eq!((link.mac(PEER4.into()), link.state(PEER4.into())), (Some(B), Stale));
    let moved = Event::Moved { port: PORT, address: PEER4.into(), before: A, after: B };
    assert_eq!(link.events(), [moved]);
    let changes = link.hood.take_changes();
    assert!(matches!(&changes[..], [Change::Neighbor(entry)] if entry.mac == Some(B)), "{changes:?}");
}

#[test]
fn an_arp_reply_to_everybody_proves_nothing_of_the_way_back() {
    let mut link = Link::new();
    link.ask(PEER4.into());
    let arp = Arp { request: false, sender_mac: A, sender: PEER4, target_mac: A, target: PEER4 };
    link.hear(&wire::arp(&arp, wire::BROADCAST));
    assert_eq!(link.state(PEER4.into()), Stale);
}

#[test]
fn routers_and_hosts_that_look_for_them_tell_where_they_are() {
    use smoltcp::wire::{EthernetAddress, NdiscRepr};
    let lladdr = Some(EthernetAddress(A.0).into());
    let said = wire::router_advertisement(A, peer6(), &NdiscRepr::RouterSolicit { lladdr }, 0, []);
    let mut link = Link::new();
    link.hear(&said);
    assert_eq!((link.state(peer6().into()), link.mac(peer6().into())), (Stale, Some(A)));
}
