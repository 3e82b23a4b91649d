//! Tests of the table as its users see it.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::conn::TrafficCount;
use crate::events::{Changes, Event, EventKind};
use crate::expect::{ExpectError, FollowMaster, Pattern, Wanted};
use crate::helper::Ftp;
use crate::packet::Datagram;
use crate::registry::{Registry, protocol};
use crate::shard::entries_of;
use crate::test_packets::{ACK, FIN, RST, SYN, datagram, icmp, icmpv6, tcp, tcp_with, udp};
use crate::tuple::{Addresses, Family, Ids};
use crate::zone::ZoneScope;

const A: &str = "10.0.0.1";
const B: &str = "10.0.1.2";
const START: Instant = Instant::from_secs(1_000);

fn table() -> Table<()> {
    table_of(1000)
}

fn table_of(flows_max: usize) -> Table<()> {
    Table::new(Config { flows_max, seed: [3, 4], ..Config::default() }, Registry::builtin().build())
}

fn after(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

/// Tracks a packet, confirms its flow and tells of it, as a packet that is forwarded does.
fn forward(
    table: &Table<()>,
    bytes: &[u8],
    now: Instant,
) -> Result<(CtState, Shared<Conn<()>>), InvalidReason> {
    match table.track(&datagram(bytes), now) {
        Tracked::Flow { flow: Flow::Conn(conn), state, .. } => {
            if !conn.is_plain() {
                table.deliver(&conn, now);
            }
            Ok((state, conn))
        }
        Tracked::Flow { flow: Flow::Tentative(tentative), state, .. } => {
            match table.confirm(tentative, now) {
                Confirmed::Inserted(conn) => Ok((state, conn)),
                other => panic!("not inserted: {other:?}"),
            }
        }
        Tracked::Invalid(reason) => Err(reason),
        other => panic!("neither tracked nor invalid: {other:?}"),
    }
}

fn state_of(table: &Table<()>, bytes: &[u8], now: Instant) -> Result<CtState, InvalidReason> {
    forward(table, bytes, now).map(|(state, _)| state)
}

/// What must hold of every table at rest.
fn check(table: &Table<()>) {
    let mut entries = 0;
    let mut flows = 0;
    for shard in &table.shards {
        let shard = shard.0.lock();
        entries += shard.entries();
        flows += shard.flows.len();
    }
    assert_eq!(table.len(), flows);
    let listed = table.list(Cursor::default(), usize::MAX, Instant::ZERO, |_| true).conns;
    assert_eq!(listed.len(), flows);
    let wanted = listed.iter().map(|conn| entries_of(conn, conn.status()).len());
    assert_eq!(entries, wanted.sum());
    for conn in listed {
        assert!(conn.is_live());
        for direction in Direction::ALL {
            let (found, found_in) =
                table.get(&conn.tuple(direction), Instant::ZERO).expect("listed is found");
            assert!(Shared::ptr_eq(&found, &conn));
            assert_eq!(found_in, direction);
        }
    }
}

#[test]
fn a_tentative_flow_leaves_nothing_behind_when_its_packet_is_dropped() {
    let table = table();
    let packet = udp(A, B, 1, 2, b"x");
    let tracked = table.track(&datagram(&packet), START);
    assert!(matches!(tracked, Tracked::Flow { flow: Flow::Tentative(_), state: CtState::New, .. }));
    assert_eq!(table.len(), 1);
    drop(tracked);
    assert_eq!(table.len(), 0);
    check(&table);
    assert_eq!(table.stats().insert, 0);
}

#[test]
fn a_reply_finds_the_flow_and_establishes_it() {
    let table = table();
    assert_eq!(state_of(&table, &udp(A, B, 1, 2, b"x"), START), Ok(CtState::New));
    assert_eq!(state_of(&table, &udp(A, B, 1, 2, b"x"), START), Ok(CtState::New));
    assert_eq!(state_of(&table, &udp(B, A, 2, 1, b"xyz"), START), Ok(CtState::EstablishedReply));
    let (state, conn) = forward(&table, &udp(A, B, 1, 2, b"x"), START).unwrap();
    assert_eq!(state, CtState::Established);
    assert_eq!(conn.traffic(Direction::Original), TrafficCount { packets: 3, bytes: 87 });
    assert_eq!(conn.traffic(Direction::Reply), TrafficCount { packets: 1, bytes: 31 });
    assert_eq!(table.stats().new, 1);
    assert_eq!(table.stats().found, 3);
    check(&table);
}

#[test]
fn the_time_of_a_flow_runs_from_its_confirmation() {
    let table = table();
    let packet = udp(A, B, 1, 2, b"x");
    let Tracked::Flow { flow: Flow::Tentative(tentative), .. } = table.track(&datagram(&packet), START)
    else {
        panic!("a new flow");
    };
    let Confirmed::Inserted(conn) = table.confirm(tentative, after(100)) else { panic!("inserted") };
    assert_eq!(conn.timeout_at(after(100)), Duration::from_secs(30));
}

#[test]
fn a_flow_that_has_ended_is_not_found_even_before_it_is_swept() {
    let table = table();
    let packet = udp(A, B, 1, 2, b"x");
    let (_, first) = forward(&table, &packet, START).unwrap();
    let (state, second) = forward(&table, &packet, after(30)).unwrap();
    assert_eq!(state, CtState::New);
    assert_ne!(first.id(), second.id());
    assert!(first.status().contains(Status::DYING));
    assert_eq!(table.stats().expired, 1);
    check(&table);
}

#[test]
fn sweeping_removes_ended_flows_within_the_budget() {
    let table = table();
    for port in 0..100 {
        forward(&table, &udp(A, B, port, 2, b"x"), START).unwrap();
    }
    assert_eq!(table.expire(after(29), 1000), 0);
    forward(&table, &udp(A, B, 7, 2, b"x"), after(29)).unwrap();
    let first = table.expire(after(31), 40);
    assert!(first <= 40);
    let rest = table.expire(after(31), 1000);
    assert_eq!(first + rest, 99);
    assert_eq!(table.len(), 1);
    assert_eq!(table.expire(after(60), 1000), 1);
    check(&table);
}

#[test]
fn a_full_table_throws_out_a_flow_that_is_not_assured() {
    let table = table_of(10);
    for port in 0..10 {
        forward(&table, &udp(A, B, port, 2, b"x"), START).unwrap();
    }
    forward(&table, &udp(A, B, 99, 2, b"x"), START).unwrap();
    assert_eq!(table.len(), 10);
    assert_eq!(table.stats().early_drop, 1);
    check(&table);
}

#[test]
fn a_table_full_of_assured_flows_refuses_new_ones() {
    let table = table_of(10);
    for port in 0..10 {
        establish(&table, port, START);
    }
    let packet = tcp(A, B, 99, 80, SYN);
    assert!(matches!(table.track(&datagram(&packet), START), Tracked::Full));
    assert_eq!((table.len(), table.stats().drop, table.stats().early_drop), (10, 1, 0));
    assert_eq!(state_of(&table, &tcp(A, B, 3, 80, ACK), START), Ok(CtState::Established));

    forward(&table, &tcp(A, B, 5, 80, FIN | ACK), START).unwrap();
    assert_eq!(state_of(&table, &packet, START), Ok(CtState::New));
    assert_eq!((table.len(), table.stats().early_drop), (10, 1));
    check(&table);
}

#[test]
fn tentative_flows_count_towards_the_cap() {
    let table = table_of(2);
    let (one, two, three) = (udp(A, B, 1, 2, b""), udp(A, B, 2, 2, b""), udp(A, B, 3, 2, b""));
    let first = table.track(&datagram(&one), START);
    let second = table.track(&datagram(&two), START);
    assert!(matches!(table.track(&datagram(&three), START), Tracked::Full));
    drop(second);
    assert!(matches!(table.track(&datagram(&three), START), Tracked::Flow { .. }));
    drop(first);
}

fn establish(table: &Table<()>, port: u16, now: Instant) {
    forward(table, &tcp(A, B, port, 80, SYN), now).unwrap();
    forward(table, &tcp(B, A, 80, port, SYN | ACK), now).unwrap();
    let (_, conn) = forward(table, &tcp(A, B, port, 80, ACK), now).unwrap();
    assert!(conn.status().contains(Status::ASSURED));
    assert_eq!(table.state_name(&conn), Some("ESTABLISHED"));
}

#[test]
fn two_workers_that_start_the_same_udp_flow_share_it() {
    let table = table();
    let (there, back) = (udp(A, B, 500, 500, b"x"), udp(B, A, 500, 500, b"yy"));
    for (packet, expected) in [(&there, Direction::Original), (&back, Direction::Reply)] {
        let begin = |packet: &[u8]| match table.track(&datagram(packet), START) {
            Tracked::Flow { flow: Flow::Tentative(tentative), .. } => tentative,
            other => panic!("a new flow: {other:?}"),
        };
        let (winner, loser) = (begin(&there), begin(packet));
        let Confirmed::Inserted(won) = table.confirm(winner, START) else { panic!("inserted") };
        let Confirmed::Merged { conn, direction } = table.confirm(loser, START) else { panic!("merged") };
        assert!(Shared::ptr_eq(&won, &conn));
        assert_eq!(direction, expected);
        assert_eq!(conn.traffic(direction).bytes, if direction == Direction::Original { 58 } else { 30 });
        check(&table);
        assert_eq!(table.flush(), 1);
    }
    assert_eq!(table.stats().clash_resolve, 2);
}

#[test]
fn two_workers_that_start_the_same_tcp_connection_lose_the_second_packet() {
    let table = table();
    let packet = tcp(A, B, 1, 80, SYN);
    let begin = || match table.track(&datagram(&packet), START) {
        Tracked::Flow { flow: Flow::Tentative(tentative), .. } => tentative,
        other => panic!("a new flow: {other:?}"),
    };
    let (winner, loser) = (begin(), begin());
    assert!(matches!(table.confirm(winner, START), Confirmed::Inserted(_)));
    assert!(matches!(table.confirm(loser, START), Confirmed::Refused));
    let stats = table.stats();
    assert_eq!((stats.insert, stats.insert_failed, stats.drop), (1, 1, 1));
    check(&table);
}

#[test]
fn an_ended_flow_does_not_clash() {
    let table = table();
    let packet = tcp(A, B, 1, 80, SYN);
    let Tracked::Flow { flow: Flow::Tentative(late), .. } = table.track(&datagram(&packet), START) else {
        panic!("a new flow");
    };
    forward(&table, &packet, START).unwrap();
    assert!(matches!(table.confirm(late, after(120)), Confirmed::Inserted(_)));
    assert_eq!(table.stats().expired, 1);
    check(&table);
}

#[test]
fn echo_replies_belong_to_requests_and_are_invalid_alone() {
    let table = table();
    let reply = icmp(B, A, 0, 0, 7, b"data");
    assert_eq!(state_of(&table, &reply, START), Err(InvalidReason::NotFirst));
    assert_eq!(state_of(&table, &icmp(A, B, 8, 0, 7, b"data"), START), Ok(CtState::New));
    assert_eq!(state_of(&table, &icmp(B, A, 0, 0, 8, b"data"), START), Err(InvalidReason::NotFirst));
    assert_eq!(state_of(&table, &reply, START), Ok(CtState::EstablishedReply));
    assert_eq!(table.stats().invalid_for(InvalidReason::NotFirst), 2);
    assert_eq!(table.stats().invalid_total(), 2);
}

#[test]
fn an_error_is_related_to_the_flow_it_quotes_and_changes_nothing_in_it() {
    let table = table();
    let there = udp(A, B, 1, 2, b"payload");
    let (_, conn) = forward(&table, &there, START).unwrap();
    let before = (conn.traffic(Direction::Original), conn.traffic(Direction::Reply), conn.expires());

    let error = icmp("10.9.9.9", A, 3, 3, 0, &there[..28]);
    assert_eq!(state_of(&table, &error, after(5)), Ok(CtState::RelatedReply));
    let back = udp(B, A, 2, 1, b"payload");
    let error = icmp("10.9.9.9", B, 11, 0, 0, &back);
    assert_eq!(state_of(&table, &error, after(5)), Ok(CtState::Related));

    assert_eq!(before, (conn.traffic(Direction::Original), conn.traffic(Direction::Reply), conn.expires()));
    assert!(!conn.status().contains(Status::SEEN_REPLY));
    assert_eq!(table.stats().related, 2);
}

#[test]
fn errors_about_nothing_or_to_the_wrong_host_are_invalid() {
    let table = table();
    let there = udp(A, B, 1, 2, b"payload");
    let error = icmp("10.9.9.9", A, 3, 3, 0, &there);
    assert_eq!(state_of(&table, &error, START), Err(InvalidReason::Unrelated));
    forward(&table, &there, START).unwrap();
    assert!(state_of(&table, &error, START).is_ok());
    let elsewhere = icmp("10.9.9.9", "10.0.0.77", 3, 3, 0, &there);
    assert_eq!(state_of(&table, &elsewhere, START), Err(InvalidReason::Misdirected));
    for length in 0..24 {
        let cut = icmp("10.9.9.9", A, 3, 3, 0, &there[..length]);
        assert_eq!(state_of(&table, &cut, START), Err(InvalidReason::Unrelated), "{length} bytes");
    }
}

#[test]
fn icmpv6_errors_are_related_and_neighbor_discovery_is_untracked() {
    let table = table();
    let (a, b) = ("2001:db8::1", "2001:db8:1::2");
    let there = tcp(a, b, 1, 80, SYN);
    forward(&table, &there, START).unwrap();
    let error = icmpv6("2001:db8:2::3", a, 2, 0, 0, &there);
    assert_eq!(state_of(&table, &error, START), Ok(CtState::RelatedReply));
    let solicitation = icmpv6(a, b, 135, 0, 0, &[0; 16]);
    assert!(matches!(table.track(&datagram(&solicitation), START), Tracked::Untracked));
    assert_eq!(table.stats().untracked, 1);
}

#[test]
fn zones_do_not_meet() {
    let table = table();
    let there = udp(A, B, 1, 2, b"x");
    forward(&table, &there, START).unwrap();
    let mut elsewhere = datagram(&there);
    elsewhere.zone = Zone::both(5);
    let tracked = table.track(&elsewhere, START);
    let Tracked::Flow { flow: Flow::Tentative(tentative), .. } = tracked else { panic!("a flow of its own") };
    assert_eq!(tentative.zone(), Zone::both(5));
}

#[test]
fn a_zone_may_hold_one_direction_only() {
    for scope in [ZoneScope::Original, ZoneScope::Reply] {
        let table = table();
        let zone = Zone { id: 9, scope };
        let (there, back) = (udp(A, B, 1, 2, b"x"), udp(B, A, 2, 1, b"x"));
        let track = |bytes: &[u8], zone| table.track(&Datagram { zone, ..datagram(bytes) }, START);
        let Tracked::Flow { flow: Flow::Tentative(tentative), .. } = track(&there, zone) else {
            panic!("a new flow");
        };
        assert_eq!(tentative.zone(), zone);
        table.confirm(tentative, START);
        let direction_of = |tracked| match tracked {
            Tracked::Flow { flow: Flow::Conn(_), direction, .. } => Some(direction),
            _ => None,
        };
        assert_eq!(direction_of(track(&there, zone)), Some(Direction::Original));
        assert_eq!(direction_of(track(&back, zone)), Some(Direction::Reply));
        let original_is_outside = scope == ZoneScope::Reply;
        let outside = direction_of(track(&there, Zone::DEFAULT));
        assert_eq!(outside, original_is_outside.then_some(Direction::Original));
        assert_eq!(
            direction_of(track(&back, Zone::DEFAULT)),
            (!original_is_outside).then_some(Direction::Reply)
        );
        assert_eq!(
            direction_of(track(&there, Zone::both(9))),
            (!original_is_outside).then_some(Direction::Original)
        );
        check(&table);
    }
}

#[test]
fn errors_are_related_to_flows_of_their_zone() {
    let table = table();
    let there = udp(A, B, 1, 2, b"payload");
    let zone = Zone { id: 3, scope: ZoneScope::Original };
    let Tracked::Flow { flow: Flow::Tentative(tentative), .. } =
        table.track(&Datagram { zone, ..datagram(&there) }, START)
    else {
        panic!("a new flow");
    };
    table.confirm(tentative, START);
    let error = icmp("10.9.9.9", A, 3, 3, 0, &there);
    assert_eq!(state_of(&table, &error, START), Ok(CtState::RelatedReply), "replies come in zone 0");
    let elsewhere = Datagram { zone: Zone::both(3), ..datagram(&error) };
    assert!(matches!(table.track(&elsewhere, START), Tracked::Invalid(InvalidReason::Unrelated)));
}

#[test]
fn unregistered_protocols_make_one_flow_of_a_pair_of_addresses() {
    let table = table();
    let there = crate::test_packets::finished(A, B, 89, vec![1, 2, 3], None);
    let back = crate::test_packets::finished(B, A, 89, vec![], None);
    let (_, conn) = forward(&table, &there, START).unwrap();
    assert_eq!(table.protocol_name(&conn), "generic");
    assert_eq!(state_of(&table, &back, START), Ok(CtState::EstablishedReply));
    assert_eq!(conn.timeout_at(START), Duration::from_secs(600));
}

#[test]
fn a_reset_without_a_reply_before_ends_the_flow_at_once() {
    let table = table();
    forward(&table, &tcp(A, B, 1, 80, SYN), START).unwrap();
    let (state, conn) = forward(&table, &tcp(B, A, 80, 1, RST | ACK), START).unwrap();
    assert_eq!(state, CtState::EstablishedReply);
    assert_eq!(conn.traffic(Direction::Reply).packets, 1);
    assert!(conn.status().contains(Status::DYING));
    assert_eq!((table.len(), table.stats().deleted), (0, 1));
    check(&table);
}

#[test]
fn a_flow_that_only_bad_packets_come_by_for_ends() {
    let table = table();
    let (_, conn) = forward(&table, &tcp(A, B, 1, 80, SYN), START).unwrap();
    let ends = conn.expires();
    for second in 1..100 {
        let stray = forward(&table, &tcp(A, B, 1, 80, FIN | ACK), after(second));
        assert_eq!(stray.unwrap_err(), InvalidReason::State, "at {second} s");
    }
    assert_eq!(conn.expires(), ends);
}

#[test]
fn a_syn_reopens_a_closed_connection_as_a_new_flow() {
    let table = table();
    establish(&table, 1, START);
    forward(&table, &tcp(A, B, 1, 80, FIN | ACK), START).unwrap();
    forward(&table, &tcp(B, A, 80, 1, FIN | ACK), START).unwrap();
    let (_, closed) = forward(&table, &tcp(A, B, 1, 80, ACK), START).unwrap();
    assert_eq!(table.state_name(&closed), Some("TIME_WAIT"));
    let (state, reopened) = forward(&table, &tcp_with(A, B, 1, 80, SYN, 77, 0, b""), START).unwrap();
    assert_eq!((state, table.state_name(&reopened)), (CtState::New, Some("SYN_SENT")));
    assert_ne!(closed.id(), reopened.id());
    assert_eq!(table.stats().reopened, 1);
    check(&table);
}

#[test]
fn events_tell_the_life_of_a_flow() {
    let table = table();
    let events = table.subscribe(100);
    establish(&table, 1, START);
    forward(&table, &tcp(A, B, 1, 80, RST), START).unwrap();
    table.expire(after(11), 100);
    let kinds: Vec<_> = std::iter::from_fn(|| events.try_next()).map(|event: Event<()>| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::New,
            EventKind::Update(Changes::of(Change::Reply).and(Change::State)),
            EventKind::Update(Changes::of(Change::Assured).and(Change::State)),
            EventKind::Update(Changes::of(Change::State)),
            EventKind::Destroy(End::Expired),
        ]
    );
    assert_eq!(events.lost(), 0);
}

#[test]
fn a_slow_subscriber_loses_events_and_others_do_not() {
    let table = table();
    let (slow, quick) = (table.subscribe(1), table.subscribe(100));
    for port in 0..5 {
        forward(&table, &udp(A, B, port, 2, b""), START).unwrap();
    }
    assert_eq!(slow.lost(), 4);
    assert_eq!(table.stats().events_lost, 4);
    assert_eq!(std::iter::from_fn(|| quick.try_next()).count(), 5);
    drop((slow, quick));
    forward(&table, &udp(A, B, 99, 2, b""), START).unwrap();
    assert_eq!(table.stats().events_lost, 4);
}

#[test]
fn paged_listings_name_every_flow_once() {
    let table = table_of(100_000);
    for port in 0..1000 {
        forward(&table, &udp(A, B, port, 2, b""), START).unwrap();
    }
    for page_size in [1, 7, 128, 5000] {
        let mut seen = Vec::new();
        let mut next = Some(Cursor::default());
        while let Some(cursor) = next {
            let page = table.list(cursor, page_size, START, |_| true);
            assert!(page.conns.len() <= page_size);
            seen.extend(page.conns.iter().map(|conn| conn.id()));
            next = page.next;
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=1000).collect::<Vec<_>>(), "pages of {page_size}");
    }
    assert_eq!(table.delete(|conn| conn.tuple(Direction::Original).ids().source < 10), 10);
    assert_eq!(table.list(Cursor::default(), 5000, START, |_| true).conns.len(), 990);
    assert_eq!(table.list(Cursor::default(), 5000, after(30), |_| true).conns.len(), 0);
    let one = table.list(Cursor::default(), 1, START, |_| true).conns.remove(0);
    assert!(table.delete_one(&one));
    assert!(!table.delete_one(&one), "it is gone already");
    assert_eq!(table.flush(), 989);
    check(&table);
}

#[test]
fn without_a_network_tracker_everything_is_invalid() {
    let table = Table::<()>::new(Config::default(), Registry::builder().build());
    let packet = udp(A, B, 1, 2, b"");
    assert!(matches!(table.track(&datagram(&packet), START), Tracked::Invalid(InvalidReason::Network)));
}

#[test]
fn get_finds_by_either_tuple() {
    let table = table();
    let (_, conn) = forward(&table, &udp(A, B, 1, 2, b""), START).unwrap();
    let ids = Ids { source: 1, destination: 2 };
    let there = Tuple::between(A.parse().unwrap(), B.parse().unwrap(), protocol::UDP, ids);
    let (found, direction) = table.get(&there, START).unwrap();
    assert!(Shared::ptr_eq(&found, &conn));
    assert_eq!(direction, Direction::Original);
    assert_eq!(table.get(&there.inverted(ids.swapped()), START).unwrap().1, Direction::Reply);
    assert!(table.get(&there, after(30)).is_none());
    let addresses = Addresses { source: [9; 16], destination: [9; 16] };
    assert!(table.get(&Tuple::new(Family::Ipv6, 0, 17, addresses, ids), START).is_none());
}

#[test]
fn an_event_shows_the_flow_as_it_was() {
    let table = table();
    let events = table.subscribe(100);
    let (_, conn) = forward(&table, &tcp(A, B, 1, 80, SYN), START).unwrap();
    table.announce(&conn, Change::Mark);
    conn.set_mark(5);
    forward(&table, &tcp(B, A, 80, 1, SYN | ACK), after(1)).unwrap();
    let (new, update) = (events.try_next().unwrap(), events.try_next().unwrap());
    let seen = |event: &Event<()>| {
        let packets = event.picture.traffic.map(|traffic| traffic.packets);
        (event.picture.state, event.picture.timeout.as_secs(), event.picture.mark, packets)
    };
    assert_eq!(seen(&new), (Some("SYN_SENT"), 120, 0, [1, 0]));
    assert_eq!(seen(&update), (Some("SYN_RECV"), 60, 5, [1, 1]));
    let changes = Changes::of(Change::Reply).and(Change::State).and(Change::Mark);
    assert_eq!(update.kind, EventKind::Update(changes));
    table.expire(after(11), 100);
    table.flush();
    let end = events.try_next().unwrap();
    assert_eq!((end.kind, end.picture.timeout.as_secs()), (EventKind::Destroy(End::Deleted), 50));
    assert!(events.try_next().is_none());
}

#[test]
fn what_another_worker_notices_first_is_told_after_the_beginning() {
    let table = table();
    let events = table.subscribe(100);
    let Tracked::Flow { flow: Flow::Tentative(tentative), .. } =
        table.track(&datagram(&udp(A, B, 1, 2, b"")), START)
    else {
        panic!("a new flow");
    };
    table.announce(&tentative, Change::Mark);
    assert!(events.try_next().is_none(), "nobody knows the flow yet");
    let Confirmed::Inserted(conn) = table.confirm(tentative, START) else { panic!("inserted") };
    assert_eq!(events.try_next().unwrap().kind, EventKind::New);
    table.announce(&conn, Change::New);
    table.announce(&conn, Change::Mark);
    table.delete_one(&conn);
    let kinds: Vec<_> = std::iter::from_fn(|| events.try_next()).map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::New, EventKind::Destroy(End::Deleted)]);
}

/// A control connection that a helper watches.
fn control(table: &Table<()>, port: u16) -> Shared<Conn<()>> {
    let Tracked::Flow { flow: Flow::Tentative(tentative), .. } =
        table.track(&datagram(&tcp(A, B, port, 21, SYN)), START)
    else {
        panic!("a new flow");
    };
    assert!(tentative.set_helper(Arc::new(Ftp::default())));
    assert!(!tentative.set_helper(Arc::new(Ftp::default())), "one helper a flow");
    let Confirmed::Inserted(conn) = table.confirm(tentative, START) else { panic!("inserted") };
    conn
}

fn wanted(source: &str, destination: &str, port: u16) -> Wanted {
    let ids = Ids { source: 0, destination: port };
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    let tuple = Tuple::between(source, destination, protocol::TCP, ids);
    let pattern = Pattern { tuple, source_address: true, source_id: false };
    Wanted { pattern, class: 0, permanent: false, inactive: false, helper: None, nat: None }
}

#[test]
fn an_expected_flow_is_related_and_takes_after_its_master() {
    let table = table();
    let master = control(&table, 1);
    master.set_mark(42);
    let nat = Some(FollowMaster { direction: Direction::Original, id: 7 });
    table.expect(&master, Wanted { nat, ..wanted(B, A, 5000) }, START).unwrap();
    assert_eq!(state_of(&table, &tcp(B, A, 20, 5001, SYN), START), Ok(CtState::New));
    let Tracked::Flow { flow: Flow::Tentative(data), state, .. } =
        table.track(&datagram(&tcp(B, A, 20, 5000, SYN)), START)
    else {
        panic!("a new flow");
    };
    assert_eq!(state, CtState::Related);
    assert_eq!(data.expectation().and_then(|expectation| expectation.nat()), nat);
    assert_eq!((data.mark(), data.status().contains(Status::EXPECTED)), (42, true));
    assert!(Shared::ptr_eq(data.master().unwrap(), &master));
    table.confirm(data, START);
    assert_eq!(state_of(&table, &tcp(B, A, 20, 5000, SYN), START), Ok(CtState::Related));
    assert_eq!(state_of(&table, &tcp(B, A, 21, 5000, SYN), START), Ok(CtState::New), "it held for one flow");
    let stats = table.stats();
    assert_eq!((stats.expect_create, stats.expect_new, stats.expect_delete), (1, 1, 1));
}

#[test]
fn a_flow_that_is_refused_leaves_nothing_behind_and_an_announced_one_is_not_asked_for() {
    let table = table();
    let master = control(&table, 1);
    let begins = |bytes: &[u8]| {
        let mut asked = None;
        let tracked = table.track_unless(&datagram(bytes), START, |tuple| asked.replace(*tuple).is_none());
        (matches!(tracked, Tracked::Refused), asked)
    };
    let before = table.stats();
    let (refused, asked) = begins(&udp(A, B, 1000, 53, b"x"));
    assert!(refused && table.len() == 1 && table.stats() == before);
    let ids = Ids { source: 1000, destination: 53 };
    let tuple = Tuple::between(A.parse().unwrap(), B.parse().unwrap(), protocol::UDP, ids);
    assert_eq!(asked, Some(tuple));
    let known = tcp(A, B, 1, 21, SYN);
    assert_eq!(begins(&known), (false, None), "a packet of a known flow begins none");
    let stray = tcp(A, B, 2, 21, RST);
    assert_eq!(begins(&stray), (false, None), "neither does one that begins nothing");
    table.expect(&master, wanted(B, A, 5000), START).unwrap();
    assert!(!begins(&tcp(B, A, 20, 5000, SYN)).0, "somebody has announced it");
}

#[test]
fn an_expectation_ends_with_its_time_or_its_master() {
    let table = table();
    let events = table.subscribe_expectations(100);
    let (one, two) = (control(&table, 1), control(&table, 2));
    table.expect(&one, wanted(B, A, 5000), START).unwrap();
    table.expect(&two, wanted(B, A, 5001), START).unwrap();
    table.delete_one(&two);
    assert_eq!(table.expect(&two, wanted(B, A, 5001), START).unwrap_err(), ExpectError::MasterGone);
    assert_eq!(table.expectations(after(299)).len(), 1);
    assert_eq!(table.expectations(after(300)).len(), 0);
    assert_eq!(state_of(&table, &tcp(B, A, 20, 5000, SYN), after(300)), Ok(CtState::New));
    table.expire(after(301), 100);
    assert_eq!(table.expectations_len(), 0);
    let told: Vec<_> = std::iter::from_fn(|| events.try_next())
        .map(|event| (event.is_new, event.expectation.id(), event.timeout.as_secs()))
        .collect();
    assert_eq!(told[..2], [(true, 1, 300), (true, 2, 300)]);
    assert_eq!(
        told[2..].iter().map(|(is_new, id, _)| (*is_new, *id)).collect::<Vec<_>>(),
        [(false, 2), (false, 1)]
    );
}

#[test]
fn one_flow_s_newest_expectation_replaces_its_oldest_and_another_s_stands_in_the_way() {
    let table = table();
    let (one, two) = (control(&table, 1), control(&table, 2));
    table.expect(&one, wanted(B, A, 5000), START).unwrap();
    table.expect(&one, wanted(B, A, 5000), after(100)).unwrap();
    assert_eq!(table.expectations(after(399)).len(), 1, "expected anew");
    assert_eq!(table.expect(&two, wanted(B, A, 5000), START).unwrap_err(), ExpectError::Busy);
    table.expect(&one, wanted(B, A, 5001), START).unwrap();
    assert_eq!(table.expectations_len(), 1, "FTP announces one at a time");
    table.expect(&two, wanted(B, A, 5000), START).unwrap();
    let (_, plain) = forward(&table, &udp(A, B, 1, 2, b""), START).unwrap();
    assert_eq!(table.expect(&plain, wanted(B, A, 1), START).unwrap_err(), ExpectError::NoHelper);
    let far = Wanted { class: 1, ..wanted(B, A, 1) };
    assert_eq!(table.expect(&one, far, START).unwrap_err(), ExpectError::NoHelper);
}

#[test]
fn expectations_are_bounded() {
    let config = Config { expectations_max: 2, ..Config::default() };
    let table = Table::new(config, Registry::builtin().build());
    let masters: Vec<_> = (1..=3).map(|port| control(&table, port)).collect();
    for (master, port) in masters.iter().zip(5000..).take(2) {
        table.expect(master, wanted(B, A, port), START).unwrap();
    }
    assert_eq!(table.expect(&masters[2], wanted(B, A, 5002), START).unwrap_err(), ExpectError::Full);
    table.expect(&masters[1], wanted(B, A, 5003), START).unwrap();
    assert_eq!(table.expectations_len(), 2);
}

#[test]
fn a_translated_flow_that_clashes_is_found_by_its_replies_for_a_second() {
    let table = table();
    let begin = || match table.track(&datagram(&udp(A, B, 1, 53, b"")), START) {
        Tracked::Flow { flow: Flow::Tentative(tentative), .. } => tentative,
        other => panic!("a new flow: {other:?}"),
    };
    // As if both had been translated, to different destinations.
    let translated = |mut tentative: Tentative<()>, server: &str| {
        let ids = Ids { source: 53, destination: 1 };
        let reply = Tuple::between(server.parse().unwrap(), A.parse().unwrap(), protocol::UDP, ids);
        tentative.set_reply(reply);
        tentative.note_translation(Status::DST_NAT | Status::DST_NAT_DONE | Status::SRC_NAT_DONE);
        tentative
    };
    let (winner, loser) = (translated(begin(), "10.0.1.3"), translated(begin(), "10.0.1.4"));
    let again = translated(begin(), "10.0.1.4");
    let Confirmed::Inserted(_) = table.confirm(winner, START) else { panic!("inserted") };
    let Confirmed::Inserted(clashing) = table.confirm(loser, START) else {
        panic!("inserted for its replies")
    };
    assert!(clashing.status().contains(Status::NAT_CLASH | Status::FIXED_TIMEOUT));
    assert_eq!(clashing.timeout_at(START), Duration::from_secs(1));
    let Confirmed::Merged { conn, direction } = table.confirm(again, START) else {
        panic!("the same once more")
    };
    assert!(Shared::ptr_eq(&conn, &clashing) && direction == Direction::Original);

    let (_, found) = forward(&table, &udp(A, B, 1, 53, b""), START).unwrap();
    assert!(!Shared::ptr_eq(&found, &clashing));
    let (state, found) = forward(&table, &udp("10.0.1.4", A, 53, 1, b""), START).unwrap();
    assert!(Shared::ptr_eq(&found, &clashing) && state == CtState::EstablishedReply);
    assert!(clashing.status().contains(Status::DYING), "the answer was all it was there for");
    check(&table);
    table.flush();
    assert!(table.is_empty());
}

#[test]
fn shifted_sequence_numbers_are_no_reason_to_leave_the_window() {
    for is_known in [false, true] {
        let table = table();
        forward(&table, &tcp_with(A, B, 1, 80, SYN, 999, 0, b""), START).unwrap();
        forward(&table, &tcp_with(B, A, 80, 1, SYN | ACK, 4999, 1000, b""), START).unwrap();
        forward(&table, &tcp_with(A, B, 1, 80, ACK, 1000, 5000, b""), START).unwrap();
        let (_, conn) = forward(&table, &tcp_with(A, B, 1, 80, ACK, 1000, 5000, b"short"), START).unwrap();
        // On its way the segment has become longer, so that more is acknowledged than was sent.
        if is_known {
            conn.shift(Direction::Original, 1000, 7);
        }
        let acknowledgement = tcp_with(B, A, 80, 1, ACK, 5000, 1012, b"");
        let expected = if is_known { Ok(CtState::EstablishedReply) } else { Err(InvalidReason::Window) };
        assert_eq!(state_of(&table, &acknowledgement, START), expected);
    }
}
