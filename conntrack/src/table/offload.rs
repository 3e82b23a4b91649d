//! What an engine asks of the table that forwards packets of known flows by itself: each packet, or sums of many, counts
//! as if it had been tracked.

use super::{Accepted, Table};
use crate::conn::{Conn, Shared, Status};
use crate::l4::{Check, Outcome, Seen};
use crate::packet::{Datagram, Packet};
use crate::table::CtState;
use crate::time::Instant;
use crate::tuple::{Direction, Tuple};

/// What an engine of that kind cannot do to a flow's packets.
const TOO_MUCH: [Status; 3] = [Status::HELPER, Status::SEQ_ADJUST, Status::NAT_CLASH];

impl<X> Table<X> {
    /// Whether the tracker of a flow must see each of its packets ([`Self::observe`]); otherwise sums will do
    /// ([`Self::account`]).
    #[must_use]
    pub fn must_see_every_packet(&self, conn: &Conn<X>) -> bool {
        self.registry.l4(conn.family(), conn.protocol()).must_see_every_packet()
    }

    /// Does what [`Table::track`] does for a packet of `conn` in `direction`, if that is nothing out of the ordinary:
    /// the packet fits, and the flow is alive and without helper or shifted numbers. `None` otherwise; then nothing has
    /// changed, and the packet is to be tracked.
    pub fn observe(
        &self,
        conn: &Shared<Conn<X>>,
        direction: Direction,
        datagram: &Datagram<'_>,
        now: Instant,
    ) -> Option<CtState> {
        let status = conn.status();
        if !conn.is_live() || conn.is_expired(now) || TOO_MUCH.iter().any(|bit| status.contains(*bit)) {
            return None;
        }
        let located = self.registry.l3(datagram.family)?.locate(datagram.bytes).ok()?;
        let packet = Packet { datagram: *datagram, located, verify: self.config.checksum };
        let tracker = self.registry.l4(datagram.family, located.protocol);
        if tracker.check(&packet) != Ok(Check::Track) {
            return None;
        }
        let ids = tracker.ids(packet.transport())?;
        let zone = datagram.zone.of(direction);
        let tuple = Tuple::new(datagram.family, zone, located.protocol, located.addresses, ids);
        if tuple != conn.tuple(direction) {
            return None;
        }
        let accepted = {
            let left = conn.timeout_at(now);
            let mut progress = conn.progress();
            let mut state = progress.state;
            let seen = Seen { left, ..Seen::new(direction, status, now) };
            let Outcome::Accept { timeout, assured, changed } = tracker.update(&mut state, &packet, seen)
            else {
                return None;
            };
            progress.state = state;
            conn.count(&mut progress, direction, 1, packet.bytes().len() as u64);
            Accepted { timeout, assured, changed }
        };
        Some(self.accept(conn, direction, status, accepted, now))
    }

    /// Counts packets of `conn` that have passed in `direction` without being shown to anybody here, the last of them at
    /// `last_seen`, and has the flow live on from then. Says whether the flow is still in the table; if it is not,
    /// nothing is counted.
    pub fn account(
        &self,
        conn: &Shared<Conn<X>>,
        direction: Direction,
        packets: u64,
        bytes: u64,
        last_seen: Instant,
    ) -> bool {
        if !conn.is_live() {
            return false;
        }
        if packets == 0 {
            return true;
        }
        // A packet of the reply direction counts as one for what it proves, as in `track`: from the next one on.
        let status = conn.status();
        let tracker = self.registry.l4(conn.family(), conn.protocol());
        let outcome = {
            let left = conn.timeout_at(last_seen);
            let mut progress = conn.progress();
            conn.count(&mut progress, direction, packets, bytes);
            let seen = Seen { left, ..Seen::new(direction, status, last_seen) };
            tracker.pass_unseen(&mut progress.state, seen)
        };
        if let Outcome::Accept { timeout, assured, changed } = outcome {
            // A report may be late: it never shortens the flow's life.
            let timeout = timeout.max(conn.timeout_at(last_seen));
            self.accept(conn, direction, status, Accepted { timeout, assured, changed }, last_seen);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conn::TrafficCount;
    use crate::events::{Change, EventKind};
    use crate::l4::{Tcp, Udp};
    use crate::registry::Registry;
    use crate::table::{Config, Confirmed, Flow, Tracked};
    use crate::test_packets::{ACK, FIN, SYN, datagram, tcp_with, udp};

    const A: &str = "10.0.0.1";
    const B: &str = "10.0.1.2";
    const NOW: Instant = Instant::from_secs(1_000);

    fn table() -> Table<()> {
        Table::new(Config::default(), Registry::builtin().build())
    }

    /// Tracks packets, confirming what begins a flow; returns the flow of the last.
    fn pass(table: &Table<()>, packets: &[Vec<u8>], now: Instant) -> Shared<Conn<()>> {
        let mut last = None;
        for bytes in packets {
            last = match table.track(&datagram(bytes), now) {
                Tracked::Flow { flow: Flow::Tentative(tentative), .. } => match table.confirm(tentative, now)
                {
                    Confirmed::Inserted(conn) => Some(conn),
                    other => panic!("not inserted: {other:?}"),
                },
                Tracked::Flow { flow: Flow::Conn(conn), .. } => {
                    table.deliver(&conn, now);
                    Some(conn)
                }
                other => panic!("no flow: {other:?}"),
            };
        }
        last.expect("there are packets")
    }

    fn handshake() -> [Vec<u8>; 3] {
        [
            tcp_with(A, B, 1000, 80, SYN, 100, 0, b""),
            tcp_with(B, A, 80, 1000, SYN | ACK, 500, 101, b""),
            tcp_with(A, B, 1000, 80, ACK, 101, 501, b""),
        ]
    }

    /// All that can be seen of a flow.
    fn picture(table: &Table<()>, conn: &Conn<()>) -> impl PartialEq + std::fmt::Debug + use<> {
        let traffic = Direction::ALL.map(|direction| conn.traffic(direction));
        (conn.status(), conn.expires(), traffic, table.state_name(conn))
    }

    #[test]
    fn observed_packets_leave_a_flow_as_tracked_ones_do() {
        let (tracked, observed) = (table(), table());
        let [one, other] = [&tracked, &observed].map(|table| pass(table, &handshake(), NOW));
        let later = [
            (Direction::Original, tcp_with(A, B, 1000, 80, ACK, 101, 501, b"request")),
            (Direction::Reply, tcp_with(B, A, 80, 1000, ACK, 501, 108, b"answer")),
            (Direction::Reply, tcp_with(B, A, 80, 1000, FIN | ACK, 507, 108, b"")),
            (Direction::Original, tcp_with(A, B, 1000, 80, FIN | ACK, 108, 508, b"")),
            (Direction::Reply, tcp_with(B, A, 80, 1000, ACK, 508, 109, b"")),
        ];
        for (step, (direction, bytes)) in (1..).zip(&later) {
            let now = NOW + Duration::from_secs(step);
            let Tracked::Flow { state, .. } = tracked.track(&datagram(bytes), now) else { panic!("invalid") };
            assert_eq!(observed.observe(&other, *direction, &datagram(bytes), now), Some(state));
            assert_eq!(picture(&tracked, &one), picture(&observed, &other));
        }
        assert_eq!(observed.state_name(&other), Some("TIME_WAIT"));
    }

    #[test]
    fn what_is_out_of_the_ordinary_changes_nothing_and_is_left_to_tracking() {
        let table = table();
        let conn = pass(&table, &handshake(), NOW);
        let before = picture(&table, &conn);
        let forth = Direction::Original;
        let refused = [
            ("beyond the window", tcp_with(A, B, 1000, 80, ACK, 5_000_000, 501, b"x")),
            ("a new start", tcp_with(A, B, 1000, 80, SYN, 7_000, 0, b"")),
            ("of another flow", tcp_with(A, B, 1001, 80, ACK, 101, 501, b"x")),
            ("of another protocol", udp(A, B, 1000, 80, b"x")),
            ("not a packet", vec![0x45; 12]),
        ];
        for (name, bytes) in &refused {
            assert_eq!(table.observe(&conn, forth, &datagram(bytes), NOW), None, "{name}");
            assert_eq!(picture(&table, &conn), before, "{name}");
        }
        let good = tcp_with(A, B, 1000, 80, ACK, 101, 501, b"x");
        assert_eq!(table.observe(&conn, Direction::Reply, &datagram(&good), NOW), None);
        assert_eq!(table.observe(&conn, forth, &datagram(&good), NOW), Some(CtState::Established));
        conn.shift(forth, 101, 3);
        assert_eq!(table.observe(&conn, forth, &datagram(&good), NOW), None, "shifted");
        table.delete_one(&conn);
        assert_eq!(table.observe(&conn, forth, &datagram(&good), NOW), None, "gone");
    }

    #[test]
    fn sums_count_and_prolong_and_make_a_udp_flow_a_stream() {
        let table = table();
        let events = table.subscribe(16);
        let conn = pass(&table, &[udp(A, B, 1000, 53, b"x")], NOW);
        assert!(!table.must_see_every_packet(&conn));
        let at = |seconds| NOW + Duration::from_secs(seconds);
        assert!(table.account(&conn, Direction::Reply, 5, 500, at(1)));
        assert_eq!(conn.traffic(Direction::Reply), TrafficCount { packets: 5, bytes: 500 });
        assert!(conn.status().contains(Status::SEEN_REPLY));
        assert_eq!(conn.expires(), at(1) + Udp::default().unreplied);
        table.deliver(&conn, at(1));
        assert!(table.account(&conn, Direction::Original, 7, 700, at(10)));
        assert!(conn.status().contains(Status::ASSURED));
        assert_eq!(conn.expires(), at(10) + Udp::default().stream);
        table.deliver(&conn, at(10));
        assert!(table.account(&conn, Direction::Original, 0, 0, at(20)));
        assert!(table.account(&conn, Direction::Original, 1, 50, at(5)), "a late report");
        assert_eq!(conn.expires(), at(10) + Udp::default().stream);
        let kinds: Vec<_> = std::iter::from_fn(|| events.try_next()).map(|event| event.kind).collect();
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds[0], EventKind::New);
        for (kind, change) in kinds[1..].iter().zip([Change::Reply, Change::Assured]) {
            assert!(matches!(kind, EventKind::Update(changes) if changes.contains(change)), "{kind:?}");
        }
        table.delete_one(&conn);
        let before = conn.traffic(Direction::Original);
        assert!(!table.account(&conn, Direction::Original, 1, 50, at(20)));
        assert_eq!(conn.traffic(Direction::Original), before);
    }

    #[test]
    fn sums_of_a_tcp_connection_count_and_keep_its_state_s_lifetime() {
        let table = table();
        let conn = pass(&table, &handshake(), NOW);
        assert!(table.must_see_every_packet(&conn));
        let later = NOW + Duration::from_secs(60);
        assert!(table.account(&conn, Direction::Reply, 10, 10_000, later));
        assert_eq!(conn.expires(), later + Tcp::default().timeouts.established);
        assert_eq!(conn.traffic(Direction::Reply).packets, 11);
        assert_eq!(table.state_name(&conn), Some("ESTABLISHED"));
    }
}
