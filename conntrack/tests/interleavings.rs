//! Confirmation against expiry, deletion and each other, under schedules that shuttle chooses.
//!
//! `cargo test -p conntrack --features shuttle --test interleavings`. A failure prints the schedule that led to it.
#![cfg(feature = "shuttle")]

mod packets;

use std::sync::Arc;
use std::time::Duration;

use conntrack::{
    Config, Confirmed, Cursor, Datagram, Direction, Family, Flow, Instant, Registry, Shared, Status, Table,
    Tracked,
};

const SCHEDULES: usize = 2_000;
const A: &str = "10.0.0.1";
const B: &str = "10.0.1.2";
const START: Instant = Instant::from_secs(1_000);

fn table(flows_max: usize) -> Arc<Table<()>> {
    // Large enough a cap for several shards, so that both tuples of a flow mostly have locks of their own.
    Arc::new(Table::new(Config { flows_max, seed: [5, 6], ..Config::default() }, Registry::builtin().build()))
}

/// Tracks a packet and confirms its flow; what is refused is refused.
fn forward(table: &Table<()>, bytes: &[u8], now: Instant) {
    if let Tracked::Flow { flow: Flow::Tentative(tentative), .. } =
        table.track(&Datagram::new(Family::Ipv4, bytes), now)
    {
        match table.confirm(tentative, now) {
            Confirmed::Inserted(conn) | Confirmed::Merged { conn, .. } => {
                assert!(conn.status().contains(Status::CONFIRMED));
            }
            Confirmed::Refused => {}
        }
    }
}

/// What must hold when everybody has finished: every flow is found by both of its tuples and counted once.
fn check(table: &Table<()>) {
    let listed = table.list(Cursor::default(), usize::MAX, Instant::ZERO, |_| true).conns;
    for conn in &listed {
        assert!(!conn.status().contains(Status::DYING));
        for direction in Direction::ALL {
            let (found, found_in) =
                table.get(&conn.tuple(direction), Instant::ZERO).expect("listed flows are found");
            assert!(Shared::ptr_eq(&found, conn));
            assert_eq!(found_in, direction);
        }
    }
    let stats = table.stats();
    assert_eq!(table.len(), listed.len());
    assert_eq!(stats.entries, listed.len() as u64);
    assert_eq!(stats.insert, stats.entries + stats.expired + stats.deleted + stats.early_drop);
}

#[test]
fn confirming_the_same_flow_from_both_ends_while_others_expire_and_delete() {
    shuttle::check_random(
        || {
            let table = table(100_000);
            let (there, back) = (packets::udp(A, B, 500, 500, b"x"), packets::udp(B, A, 500, 500, b"y"));
            forward(&table, &there, START);
            let late = START + Duration::from_secs(31);
            let threads = [
                shuttle::thread::spawn({
                    let (table, there) = (Arc::clone(&table), there.clone());
                    move || forward(&table, &there, late)
                }),
                shuttle::thread::spawn({
                    let table = Arc::clone(&table);
                    move || forward(&table, &back, late)
                }),
                shuttle::thread::spawn({
                    let table = Arc::clone(&table);
                    move || {
                        table.expire(late, 100);
                    }
                }),
                shuttle::thread::spawn({
                    let table = Arc::clone(&table);
                    move || {
                        table.flush();
                    }
                }),
            ];
            for thread in threads {
                thread.join().unwrap();
            }
            check(&table);
            assert!(table.len() <= 1, "both ends are the same flow");
        },
        SCHEDULES,
    );
}

#[test]
fn a_packet_that_prolongs_a_flow_while_it_expires_leaves_the_table_whole() {
    shuttle::check_random(
        || {
            let table = table(100_000);
            let packet = packets::udp(A, B, 1, 2, b"x");
            forward(&table, &packet, START);
            let end = START + Duration::from_secs(30);
            let before = START + Duration::from_millis(29_999);
            let threads = [
                shuttle::thread::spawn({
                    let (table, packet) = (Arc::clone(&table), packet.clone());
                    move || forward(&table, &packet, before)
                }),
                shuttle::thread::spawn({
                    let table = Arc::clone(&table);
                    move || {
                        table.expire(end + Duration::from_secs(1), 100);
                    }
                }),
            ];
            for thread in threads {
                thread.join().unwrap();
            }
            check(&table);
            forward(&table, &packet, before);
            assert_eq!(table.len(), 1);
            check(&table);
        },
        SCHEDULES,
    );
}

#[test]
fn a_full_table_never_holds_more_than_it_may() {
    shuttle::check_random(
        || {
            let table = table(2);
            let threads: Vec<_> = (0..3_u16)
                .map(|worker| {
                    let table = Arc::clone(&table);
                    shuttle::thread::spawn(move || {
                        for port in 0..2 {
                            forward(&table, &packets::udp(A, B, 10 * worker + port, 2, b"x"), START);
                            assert!(table.stats().entries <= 2);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            check(&table);
        },
        SCHEDULES,
    );
}

#[test]
fn a_connection_reopened_by_two_workers_at_once_stays_one() {
    shuttle::check_random(
        || {
            let table = table(100_000);
            for bytes in [
                packets::tcp(A, B, 1, 80, packets::SYN),
                packets::tcp(B, A, 80, 1, packets::SYN | packets::ACK),
                packets::tcp(A, B, 1, 80, packets::FIN | packets::ACK),
                packets::tcp(B, A, 80, 1, packets::FIN | packets::ACK),
                packets::tcp(A, B, 1, 80, packets::ACK),
            ] {
                forward(&table, &bytes, START);
            }
            let threads = [7, 8].map(|sequence| {
                let table = Arc::clone(&table);
                shuttle::thread::spawn(move || {
                    let syn = packets::tcp_with(A, B, 1, 80, packets::SYN, sequence, 0, b"");
                    forward(&table, &syn, START);
                })
            });
            for thread in threads {
                thread.join().unwrap();
            }
            check(&table);
            assert_eq!(table.len(), 1);
            assert_eq!(table.stats().deleted, 1);
        },
        SCHEDULES,
    );
}
