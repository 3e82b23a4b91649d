//! Pieces in, datagrams out: what was seen of Linux 6.18 in a namespace, a property test, and the bounds.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::test_packets::{datagram, finished, udp};

const START: Instant = Instant::from_secs(100);
const V4: (&str, &str) = ("10.0.0.1", "10.0.1.2");
const V6: (&str, &str) = ("fd00::1", "fd01::2");

fn gather() -> Gather {
    Gather::new(GatherConfig::default())
}

/// Payload bytes that tell their position.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|position| (position % 251) as u8 ^ (position / 251) as u8).collect()
}

/// A piece of `payload`, of which `range` is taken.
fn v4(id: u16, payload: &[u8], range: std::ops::Range<usize>, more: bool) -> Vec<u8> {
    let mut bytes = finished(V4.0, V4.1, 17, payload[range.clone()].to_vec(), None);
    bytes[4..6].copy_from_slice(&id.to_be_bytes());
    let field = u16::try_from(range.start / 8).unwrap() | u16::from(more) << 13;
    bytes[6..8].copy_from_slice(&field.to_be_bytes());
    smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes[..]).fill_checksum();
    bytes
}

fn v6(id: u32, payload: &[u8], range: std::ops::Range<usize>, more: bool) -> Vec<u8> {
    v6_of(17, id, payload, range, more)
}

fn v6_of(next: u8, id: u32, payload: &[u8], range: std::ops::Range<usize>, more: bool) -> Vec<u8> {
    let mut rest = vec![next, 0];
    rest.extend((u16::try_from(range.start).unwrap() | u16::from(more)).to_be_bytes());
    rest.extend(id.to_be_bytes());
    rest.extend_from_slice(&payload[range]);
    finished(V6.0, V6.1, 44, rest, None)
}

fn set_dont_fragment(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[6] |= 0x40;
    bytes
}

fn set_ecn(mut bytes: Vec<u8>, ecn: u8) -> Vec<u8> {
    bytes[1] |= if bytes[0] >> 4 == 4 { ecn } else { ecn << 4 };
    bytes
}

/// What came of a piece, without what it borrows.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Not,
    Held,
    Dropped(FragmentDrop),
    Whole { bytes: Vec<u8>, pieces: Vec<u16>, piece_max: usize, dont_fragment: bool },
}

fn push(gather: &mut Gather, bytes: &[u8], now: Instant) -> Came {
    match gather.push(&datagram(bytes), 1, now) {
        Gathered::NotFragment => Came::Not,
        Gathered::Held => Came::Held,
        Gathered::Dropped(reason) => Came::Dropped(reason),
        Gathered::Complete(whole) => Came::Whole {
            bytes: whole.bytes.to_vec(),
            pieces: whole.pieces.to_vec(),
            piece_max: whole.piece_max,
            dont_fragment: whole.dont_fragment,
        },
    }
}

fn push_all(pieces: &[Vec<u8>]) -> Vec<Came> {
    let mut gather = gather();
    let came = pieces.iter().map(|piece| push(&mut gather, piece, START)).collect();
    gather.expire(START + Duration::from_secs(1000), usize::MAX);
    gather.expire(START + Duration::from_secs(1001), usize::MAX);
    for family in Family::ALL {
        assert_eq!((gather.bytes(family), gather.len(family)), (0, 0));
    }
    assert!(gather.sources.sent.is_empty());
    came
}

#[test]
fn whole_packets_pass() {
    assert_eq!(push_all(&[udp(V4.0, V4.1, 1, 2, b"x"), udp(V6.0, V6.1, 1, 2, b"x")]), [Came::Not, Came::Not]);
}

#[test]
fn pieces_in_any_order_become_the_datagram_and_are_remembered() {
    let payload = content(3000);
    for last_first in [false, true] {
        let mut pieces = vec![
            v4(7, &payload, 0..800, true),
            v4(7, &payload, 800..2000, true),
            v4(7, &payload, 2000..3000, false),
        ];
        if last_first {
            pieces.reverse();
        }
        let came = push_all(&pieces);
        let mut whole = finished(V4.0, V4.1, 17, payload.clone(), None);
        whole[4..6].copy_from_slice(&[0, 7]);
        smoltcp::wire::Ipv4Packet::new_unchecked(&mut whole[..]).fill_checksum();
        let whole = Came::Whole {
            bytes: whole,
            pieces: vec![800, 1200, 1000],
            piece_max: 1220,
            dont_fragment: false,
        };
        assert_eq!(came, [Came::Held, Came::Held, whole]);
    }
}

#[test]
fn the_ipv6_fragment_header_goes_even_when_nothing_was_cut() {
    let payload = content(108);
    let came = push_all(&[v6(2, &payload, 0..108, false)]);
    let whole = finished(V6.0, V6.1, 17, payload, None);
    assert_eq!(came, [Came::Whole { bytes: whole, pieces: vec![108], piece_max: 156, dont_fragment: false }]);
}

#[test]
fn a_duplicate_is_dropped_alone_and_an_overlap_kills() {
    let payload = content(3000);
    let first = v4(3, &payload, 0..1000, true);
    let last = v4(3, &payload, 2000..3000, false);
    let came = push_all(&[
        first.clone(),
        v4(3, &payload, 8..16, true),
        first.clone(),
        v4(3, &payload, 1000..2000, true),
        last.clone(),
    ]);
    let duplicate = Came::Dropped(FragmentDrop::Duplicate);
    assert_eq!(came[1..3], [duplicate, Came::Dropped(FragmentDrop::Duplicate)]);
    assert!(matches!(came[4], Came::Whole { .. }));

    let came = push_all(&[first, v4(3, &payload, 992..2000, true), last, v4(3, &payload, 1000..2000, true)]);
    let overlap = Came::Dropped(FragmentDrop::Overlap);
    assert_eq!(came, [Came::Held, overlap, Came::Held, Came::Held]);
}

#[test]
fn contradicting_ends_kill_in_ipv4_and_are_dropped_alone_in_ipv6() {
    let payload = content(3000);
    let length = || Came::Dropped(FragmentDrop::Length);
    let came = push_all(&[
        v4(4, &payload, 0..1000, true),
        v4(4, &payload, 2000..3000, false),
        v4(4, &payload, 2000..2500, false),
        v4(4, &payload, 1000..2000, true),
    ]);
    assert_eq!(came, [Came::Held, Came::Held, length(), Came::Held]);
    let came = push_all(&[
        v6(4, &payload, 0..1000, true),
        v6(4, &payload, 2000..3000, false),
        v6(4, &payload, 2000..2500, false),
        v6(4, &payload, 3000..3000, false),
        v6(4, &payload, 1000..2000, true),
    ]);
    assert_eq!(came[2..4], [length(), length()]);
    assert!(matches!(came[4], Came::Whole { .. }));
}

#[test]
fn empty_pieces_kill_in_ipv4_and_are_dropped_alone_in_ipv6() {
    let payload = content(2000);
    let length = || Came::Dropped(FragmentDrop::Length);
    let came = push_all(&[
        v4(4, &payload, 0..1000, true),
        v4(4, &payload, 1000..1000, true),
        v4(4, &payload, 1000..2000, false),
    ]);
    assert_eq!(came, [Came::Held, length(), Came::Held]);
    let came = push_all(&[
        v6(4, &payload, 0..1000, true),
        v6(4, &payload, 1000..1000, true),
        v6(4, &payload, 1000..2000, false),
    ]);
    assert_eq!(came[1], length());
    assert!(matches!(came[2], Came::Whole { .. }));
}

#[test]
fn a_piece_that_ends_between_multiples_of_eight_is_cut_in_ipv4_and_passes_in_ipv6() {
    let payload = content(3000);
    let came = push_all(&[v4(5, &payload, 0..1003, true), v4(5, &payload, 1000..3000, false)]);
    assert!(matches!(&came[1], Came::Whole { pieces, .. } if *pieces == [1000, 2000]));

    let came = push_all(&[
        v6(5, &payload, 0..1000, true),
        v6(5, &payload, 1000..2001, true),
        v6(5, &payload, 1000..3000, false),
    ]);
    assert_eq!(came, [Came::Held, Came::Not, Came::Held]);
}

#[test]
fn an_ipv6_first_piece_without_the_whole_transport_header_passes_ungathered() {
    let payload = content(200);
    for (next, header) in [(6, 20), (17, 8), (58, 8), (89, 1)] {
        let enough = usize::next_multiple_of(header, 8);
        assert_eq!(push_all(&[v6_of(next, 1, &payload, 0..enough, true)]), [Came::Held], "protocol {next}");
        assert_eq!(
            push_all(&[v6_of(next, 1, &payload, 0..enough - 8, true)]),
            [Came::Not],
            "protocol {next}"
        );
    }
    // Destination options that announce sixteen bytes of which eight are there.
    let options = [17, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(push_all(&[v6_of(60, 1, &options, 0..8, true)]), [Came::Not]);
    assert_eq!(push_all(&[v6_of(6, 1, &payload, 8..16, true)]), [Came::Held]);
}

#[test]
fn headers_before_the_fragment_header_stay_and_are_counted() {
    let payload = content(16);
    let piece = |range: std::ops::Range<usize>, more| {
        let fragment = v6(1, &payload, range, more);
        let mut rest = vec![44, 0, 1, 4, 0, 0, 0, 0];
        rest.extend_from_slice(&fragment[40..]);
        finished(V6.0, V6.1, 60, rest, None)
    };
    let came = push_all(&[piece(8..16, false), piece(0..8, true)]);
    let mut rest = vec![17, 0, 1, 4, 0, 0, 0, 0];
    rest.extend_from_slice(&payload);
    let bytes = finished(V6.0, V6.1, 60, rest, None);
    assert_eq!(came[1], Came::Whole { bytes, pieces: vec![8, 8], piece_max: 64, dont_fragment: false });
}

#[test]
fn dont_fragment_stays_if_the_largest_piece_bore_it() {
    let payload = content(3000);
    let (first, last) = (v4(6, &payload, 0..1000, true), v4(6, &payload, 1000..3000, false));
    for (pieces, expected) in [
        ([first.clone(), set_dont_fragment(last.clone())], true),
        ([set_dont_fragment(first.clone()), last.clone()], false),
        ([first, last], false),
    ] {
        let came = push_all(&pieces);
        let Came::Whole { dont_fragment, bytes, .. } = &came[1] else { panic!("whole") };
        assert_eq!(*dont_fragment, expected);
        assert_eq!(bytes[6] & 0x40 != 0, expected);
    }
}

#[test]
fn ecn_of_the_pieces_is_joined_or_refused() {
    let payload = content(24);
    for (seen, expected) in [
        ([0, 0, 0], Some(0)),
        ([2, 2, 2], Some(2)),
        ([2, 3, 2], Some(3)),
        ([1, 3, 1], Some(3)),
        ([3, 3, 3], Some(3)),
        ([2, 1, 2], Some(2)),
        ([0, 3, 0], None),
        ([0, 2, 2], None),
        ([2, 0, 3], None),
    ] {
        let v4s = [
            set_ecn(v4(8, &payload, 0..8, true), seen[0]),
            set_ecn(v4(8, &payload, 8..16, true), seen[1]),
            set_ecn(v4(8, &payload, 16..24, false), seen[2]),
        ];
        let v6s = [
            set_ecn(v6(8, &payload, 0..8, true), seen[0]),
            set_ecn(v6(8, &payload, 8..16, true), seen[1]),
            set_ecn(v6(8, &payload, 16..24, false), seen[2]),
        ];
        for (pieces, shift) in [(v4s, 0), (v6s, 4)] {
            match (push_all(&pieces).pop().unwrap(), expected) {
                (Came::Whole { bytes, .. }, Some(ecn)) => {
                    assert_eq!((bytes[1] >> shift) & 3, ecn, "{seen:?}");
                }
                (came, None) => assert_eq!(came, Came::Dropped(FragmentDrop::Ecn), "{seen:?}"),
                (came, _) => panic!("{seen:?}: {came:?}"),
            }
        }
    }
}

#[test]
fn nothing_longer_than_a_datagram_can_be_is_put_together() {
    let payload = content(65_536);
    let too_long = || Came::Dropped(FragmentDrop::TooLong);
    let v4s = [v4(1, &payload, 0..32_768, true), v4(1, &payload, 32_768..65_520, false)];
    assert_eq!(push_all(&v4s), [Came::Held, too_long()]);
    let v4s = [v4(1, &payload, 0..32_768, true), v4(1, &payload, 32_768..65_515, false)];
    assert!(matches!(push_all(&v4s)[1], Came::Whole { .. }));
    let v6s = [v6(1, &payload, 0..32_768, true), v6(1, &payload, 32_768..65_536, false)];
    assert_eq!(push_all(&v6s), [Came::Held, too_long()]);
    let v6s = [v6(1, &payload, 0..32_768, true), v6(1, &payload, 32_768..65_535, false)];
    assert!(matches!(push_all(&v6s)[1], Came::Whole { .. }));
}

#[test]
fn ipv6_pieces_of_different_ports_do_not_meet_and_ipv4_ones_do() {
    let payload = content(16);
    for (first, last, meet) in [
        (v4(1, &payload, 0..8, true), v4(1, &payload, 8..16, false), true),
        (v6(1, &payload, 0..8, true), v6(1, &payload, 8..16, false), false),
    ] {
        let mut gather = gather();
        gather.push(&datagram(&first), 1, START);
        let came = gather.push(&datagram(&last), 2, START);
        assert_eq!(matches!(came, Gathered::Complete(_)), meet);
    }
}

#[test]
fn datagrams_are_given_up_when_their_time_is_over() {
    let payload = content(16);
    for (first, last, timeout) in [
        (v4(1, &payload, 0..8, true), v4(1, &payload, 8..16, false), 30),
        (v6(1, &payload, 0..8, true), v6(1, &payload, 8..16, false), 60),
    ] {
        let at = |offset_ms| START + Duration::from_secs(timeout) + Duration::from_millis(offset_ms);
        let mut gather = gather();
        push(&mut gather, &first, START);
        assert_eq!(push(&mut gather, &last, at(0)), Came::Held);
        assert_eq!(gather.stats().timed_out, 1);
        assert_eq!(gather.expire(START + Duration::from_secs(2 * timeout - 1), 100), 0);
        assert_eq!(gather.expire(at(1000 * timeout + 600), 100), 1);
        assert_eq!(gather.stats().timed_out, 2);
        assert!(gather.is_empty(Family::Ipv4) && gather.is_empty(Family::Ipv6));
    }
}

#[test]
fn giving_up_keeps_to_its_budget() {
    let payload = content(16);
    let mut gather = gather();
    for id in 0..10 {
        push(&mut gather, &v4(id, &payload, 0..8, true), START);
    }
    let late = START + Duration::from_secs(40);
    assert_eq!(gather.expire(late, 4), 4);
    assert_eq!(gather.expire(late, 100), 6);
}

#[test]
fn no_more_is_held_than_allowed() {
    let payload = content(1000);
    let config = GatherConfig { bytes_max: 100_000, ..GatherConfig::default() };
    let mut gather = Gather::new(config);
    let mut refused = 0;
    for id in 0..1000 {
        match push(&mut gather, &v4(id, &payload, 0..1000, true), START) {
            Came::Held => {}
            Came::Dropped(FragmentDrop::Memory) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 900);
    assert!(gather.bytes(Family::Ipv4) < 103_000);
    assert_eq!(push(&mut gather, &v6(1, &payload, 0..1000, true), START), Came::Held);
    assert_eq!(gather.stats().dropped[FragmentDrop::Memory as usize], refused);
}

#[test]
fn a_datagram_begins_anew_when_its_source_sent_too_many_others_between() {
    let payload = content(16);
    let (first, last) = (v4(1, &payload, 0..8, true), v4(1, &payload, 8..16, false));
    for (others, complete) in [(63, true), (64, false)] {
        let mut gather = gather();
        push(&mut gather, &first, START);
        for id in 0..others {
            push(&mut gather, &v4(100 + id, &payload, 0..8, true), START);
        }
        let came = push(&mut gather, &last, START);
        assert_eq!(matches!(came, Came::Whole { .. }), complete, "{others} others");
        assert_eq!(gather.stats().restarted, u64::from(!complete));
        if !complete {
            assert!(matches!(push(&mut gather, &first, START), Came::Whole { .. }));
        }
    }
}

#[test]
fn a_cut_off_fragment_header_is_dropped() {
    let whole = v6(1, &content(16), 8..16, false);
    assert_eq!(push_all(&[whole[..46].to_vec()]), [Came::Dropped(FragmentDrop::Truncated)]);
}

proptest! {
    #[test]
    fn any_cutting_order_and_duplication_gives_the_datagram_back(
        length in 24_usize..4000,
        cuts in prop::collection::btree_set(1_usize..500, 0..12),
        shuffle in any::<u64>(),
        duplicates in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        is_v6: bool,
    ) {
        let payload = content(length);
        // The first piece holds a whole transport header.
        let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut * 8).filter(|cut| *cut < length && *cut >= 8).collect();
        bounds.insert(0, 0);
        bounds.push(length);
        let mut pieces: Vec<Vec<u8>> = bounds
            .windows(2)
            .map(|bound| {
                let (range, more) = (bound[0]..bound[1], bound[1] != length);
                if is_v6 { v6(9, &payload, range, more) } else { v4(9, &payload, range, more) }
            })
            .collect();
        prop_assume!(is_v6 || pieces.len() > 1);
        let sizes: Vec<u16> = bounds.windows(2).map(|bound| u16::try_from(bound[1] - bound[0]).unwrap()).collect();

        // Duplicates come before the last piece is in, or they would start a datagram of their own.
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        let mut random = shuffle;
        for position in (1..order.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(position, (random >> 33) as usize % (position + 1));
        }
        for duplicate in duplicates {
            let earlier = duplicate.index(order.len());
            if earlier + 1 < order.len() {
                order.insert(earlier + 1, order[earlier]);
            }
        }
        let mut gather = gather();
        let mut whole = None;
        for (position, piece) in order.iter().enumerate() {
            match push(&mut gather, &pieces[*piece], START) {
                Came::Held | Came::Dropped(FragmentDrop::Duplicate) => {}
                Came::Whole { bytes, pieces, .. } => {
                    prop_assert_eq!(position, order.len() - 1);
                    whole = Some((bytes, pieces));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
        let (bytes, cut) = whole.expect("all pieces are in");
        let header = if is_v6 { 40 } else { 20 };
        prop_assert_eq!(&bytes[header..], &payload[..]);
        prop_assert_eq!(cut, sizes);
        prop_assert_eq!(gather.bytes(Family::Ipv4) + gather.bytes(Family::Ipv6), 0);
        pieces.clear();
    }

    #[test]
    fn arbitrary_pieces_never_give_wrong_bytes_and_leave_nothing_behind(
        pieces in prop::collection::vec((0_usize..12, 1_usize..60, any::<bool>(), 0_u8..3), 1..60),
        is_v6: bool,
    ) {
        let payload = content(200);
        let mut gather = gather();
        for (start, length, more, id) in pieces {
            let range = start * 8..(start * 8 + length).min(200);
            let piece = if is_v6 {
                v6(id.into(), &payload, range, more)
            } else {
                v4(id.into(), &payload, range, more)
            };
            if let Came::Whole { bytes, pieces, .. } = push(&mut gather, &piece, START) {
                let header = if is_v6 { 40 } else { 20 };
                prop_assert_eq!(&bytes[header..], &payload[..bytes.len() - header]);
                prop_assert_eq!(pieces.iter().map(|size| usize::from(*size)).sum::<usize>(), bytes.len() - header);
            }
        }
        gather.expire(START + Duration::from_secs(1000), usize::MAX);
        gather.expire(START + Duration::from_secs(1001), usize::MAX);
        prop_assert_eq!(gather.bytes(Family::Ipv4) + gather.bytes(Family::Ipv6), 0);
        prop_assert!(gather.sources.sent.is_empty());
    }
}
