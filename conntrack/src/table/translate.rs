//! What address translation asks of the table: is a tuple free, and how has this source been translated before?

use super::Table;
use crate::conn::{Conn, Shared, Status};
use crate::events::End;
use crate::time::Instant;
use crate::tuple::{Direction, Tuple};

impl<X> Table<X> {
    /// The tuple of answers to packets of `tuple` (`nf_ct_invert_tuple`); `None` if the protocol knows no answers to
    /// them.
    #[must_use]
    pub fn invert(&self, tuple: &Tuple) -> Option<Tuple> {
        let ids = self.registry.l4(tuple.family(), tuple.protocol()).invert(tuple.ids())?;
        Some(tuple.inverted(ids))
    }

    /// Whether a flow in the table stands in the way of `flow`, a tentative one, having `reply` as its reply tuple
    /// (`nf_conntrack_tuple_taken`). One with the same original tuple does not: both are the same flow, which
    /// [`Table::confirm`] finds out.
    #[must_use]
    pub fn is_taken(&self, reply: &Tuple, flow: &Conn<X>, now: Instant) -> bool {
        let reply = &reply.in_zone(flow.tuple(Direction::Reply).zone());
        self.find(&self.sought(reply), now).is_some_and(|(holder, _)| {
            !std::ptr::eq(&*holder, flow)
                && holder.tuple(Direction::Original) != flow.tuple(Direction::Original)
        })
    }

    /// As [`Self::is_taken`] for the reply tuple that `flow` has already. Two untranslated flows that are one, begun
    /// from both ends at the same moment, are not in each other's way (`nf_nat_used_tuple_new`).
    #[must_use]
    pub fn is_own_reply_taken(&self, flow: &Conn<X>, now: Instant) -> bool {
        let reply = flow.tuple(Direction::Reply);
        if !self.is_taken(&reply, flow, now) {
            return false;
        }
        let tracker = self.registry.l4(flow.family(), flow.protocol());
        if !tracker.allows_clash() || is_translated(flow.status()) {
            return true;
        }
        let Some(forth) = self.invert(&reply) else { return true };
        let holder = self.get(&forth, now).or_else(|| self.get(&reply, now));
        let Some((holder, _)) = holder else { return false };
        is_translated(holder.status()) || holder.tuple(Direction::Original) != reply
    }

    /// As [`Self::is_taken`], but a translated connection that is over yields ([`crate::L4Tracker::yields_to`]): it is
    /// deleted (`nf_nat_used_tuple_harder`).
    pub fn is_taken_for_good(&self, reply: &Tuple, flow: &Conn<X>, now: Instant) -> bool {
        if !self.is_taken(reply, flow, now) {
            return false;
        }
        let Some((holder, direction)) = self.get(reply, now) else { return false };
        let status = holder.status();
        if direction == Direction::Original
            || status.contains(Status::FIXED_TIMEOUT)
            || !status.contains(Status::SRC_NAT)
        {
            return true;
        }
        let tracker = self.registry.l4(flow.family(), flow.protocol());
        let [old, new] = [holder.progress().state, flow.progress().state];
        !(tracker.yields_to(&old, &new) && self.remove(&holder, End::Deleted))
    }

    /// The first of the newest flows of the source of `tuple` (address, protocol, id and zone) of which `pick` makes
    /// something. Only flows whose source translation was decided before they were confirmed are known by their source.
    /// `pick` is called under a lock and must lock nothing.
    pub fn find_by_source<R>(&self, tuple: &Tuple, mut pick: impl FnMut(&Conn<X>) -> Option<R>) -> Option<R> {
        let source = tuple.source_only();
        self.sources.find(self.hasher.hash(&source), |conn| {
            let same = conn.tuple(Direction::Original).source_only() == source;
            if same { pick(conn) } else { None }
        })
    }

    /// Makes a flow that enters the table known by its source.
    pub(super) fn note_source(&self, conn: &Shared<Conn<X>>) {
        if conn.status().contains(Status::SRC_NAT_DONE) {
            self.sources.insert(self.source_hash(conn), conn);
        }
    }

    /// Forgets the source of a flow that has left the table.
    pub(super) fn forget_source(&self, conn: &Shared<Conn<X>>) {
        if conn.status().contains(Status::SRC_NAT_DONE) {
            self.sources.remove(self.source_hash(conn), conn);
        }
    }

    fn source_hash(&self, conn: &Conn<X>) -> u64 {
        self.hasher.hash(&conn.tuple(Direction::Original).source_only())
    }
}

/// Whether an address or sequence numbers of the flow are altered.
fn is_translated(status: Status) -> bool {
    [Status::SRC_NAT, Status::DST_NAT, Status::SEQ_ADJUST].into_iter().any(|bit| status.contains(bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Tentative;
    use crate::registry::Registry;
    use crate::table::{Config, Confirmed, Flow, Tracked};
    use crate::test_packets::{ACK, FIN, SYN, datagram, icmp, tcp, tcp_with, udp};

    const A: &str = "10.0.0.1";
    const B: &str = "10.0.1.2";
    const NOW: Instant = Instant::from_secs(1_000);

    fn table() -> Table<()> {
        Table::new(Config::default(), Registry::builtin().build())
    }

    fn begin(table: &Table<()>, bytes: &[u8]) -> Tentative<()> {
        match table.track(&datagram(bytes), NOW) {
            Tracked::Flow { flow: Flow::Tentative(tentative), .. } => tentative,
            other => panic!("begins no flow: {other:?}"),
        }
    }

    fn confirm(table: &Table<()>, tentative: Tentative<()>) -> Shared<Conn<()>> {
        match table.confirm(tentative, NOW) {
            Confirmed::Inserted(conn) => conn,
            other => panic!("not inserted: {other:?}"),
        }
    }

    /// As the tuple of packets from `source`, with another source address.
    fn from(tuple: &Tuple, source: &str) -> Tuple {
        Tuple::between(source.parse().unwrap(), tuple.destination(), tuple.protocol(), tuple.ids())
    }

    /// Has a flow's source translated to the address `to`.
    fn translate(table: &Table<()>, tentative: &mut Tentative<()>, to: &str) {
        let wanted = from(&tentative.tuple(Direction::Original), to);
        tentative.set_reply(table.invert(&wanted).unwrap());
        tentative.note_translation(Status::SRC_NAT | Status::SRC_NAT_DONE);
    }

    #[test]
    fn a_translated_flow_is_found_by_its_translated_replies_only() {
        let table = table();
        let mut tentative = begin(&table, &udp(A, B, 1000, 53, b"x"));
        translate(&table, &mut tentative, "192.0.2.1");
        confirm(&table, tentative);
        let reply = udp(B, "192.0.2.1", 53, 1000, b"y");
        assert!(matches!(
            table.track(&datagram(&reply), NOW),
            Tracked::Flow { flow: Flow::Conn(_), direction: Direction::Reply, .. }
        ));
        let untranslated = udp(B, A, 53, 1000, b"y");
        begin(&table, &untranslated);
    }

    #[test]
    fn a_reply_tuple_is_taken_once_confirmed_and_free_again_when_its_flow_ends() {
        let table = table();
        let mut first = begin(&table, &udp(A, B, 1000, 53, b"x"));
        translate(&table, &mut first, "192.0.2.1");
        let second = begin(&table, &udp("10.0.0.2", B, 1000, 53, b"x"));
        let reply = first.tuple(Direction::Reply);
        assert!(!table.is_taken(&reply, &second, NOW), "nobody has been confirmed");
        let conn = confirm(&table, first);
        assert!(table.is_taken(&reply, &second, NOW));
        table.delete_one(&conn);
        assert!(!table.is_taken(&reply, &second, NOW));
    }

    #[test]
    fn a_flow_is_not_in_the_way_of_another_attempt_at_itself() {
        let table = table();
        let packet = udp(A, B, 1000, 53, b"x");
        let (mut first, mut second) = (begin(&table, &packet), begin(&table, &packet));
        translate(&table, &mut first, "192.0.2.1");
        translate(&table, &mut second, "192.0.2.1");
        confirm(&table, first);
        assert!(!table.is_taken(&second.tuple(Direction::Reply), &second, NOW));
    }

    #[test]
    fn two_ends_that_begin_an_untranslated_flow_at_once_keep_their_ports() {
        let table = table();
        let here = begin(&table, &udp(A, B, 1000, 2000, b"x"));
        let there = begin(&table, &udp(B, A, 2000, 1000, b"x"));
        let conn = confirm(&table, here);
        assert!(table.is_taken(&there.tuple(Direction::Reply), &there, NOW));
        assert!(!table.is_own_reply_taken(&there, NOW));
        conn.set_status(Status::DST_NAT);
        assert!(table.is_own_reply_taken(&there, NOW), "a translated one is another flow");
    }

    #[test]
    fn tcp_flows_begun_from_both_ends_are_in_each_others_way() {
        let table = table();
        let here = begin(&table, &tcp(A, B, 1000, 2000, SYN));
        let there = begin(&table, &tcp(B, A, 2000, 1000, SYN));
        confirm(&table, here);
        assert!(table.is_own_reply_taken(&there, NOW));
    }

    #[test]
    fn a_translated_connection_that_is_over_yields_to_one_ahead_of_it() {
        let table = table();
        let mut first = begin(&table, &tcp_with(A, B, 1000, 80, SYN, 5000, 0, b""));
        translate(&table, &mut first, "192.0.2.1");
        let reply = first.tuple(Direction::Reply);
        let conn = confirm(&table, first);
        let ahead = begin(&table, &tcp_with("10.0.0.2", B, 1000, 80, SYN, 6000, 0, b""));
        let behind = begin(&table, &tcp_with("10.0.0.3", B, 1000, 80, SYN, 4000, 0, b""));
        assert!(table.is_taken_for_good(&reply, &ahead, NOW), "it is not over");
        for bytes in [
            tcp_with(B, "192.0.2.1", 80, 1000, SYN | ACK, 7000, 5001, b""),
            tcp_with(A, B, 1000, 80, ACK, 5001, 7001, b""),
            tcp_with(A, B, 1000, 80, FIN | ACK, 5001, 7001, b""),
            tcp_with(B, "192.0.2.1", 80, 1000, FIN | ACK, 7001, 5002, b""),
            tcp_with(A, B, 1000, 80, ACK, 5002, 7002, b""),
        ] {
            assert!(matches!(table.track(&datagram(&bytes), NOW), Tracked::Flow { flow: Flow::Conn(_), .. }));
        }
        assert_eq!(table.state_name(&conn), Some("TIME_WAIT"));
        assert!(table.is_taken(&reply, &ahead, NOW), "it does not yield unless asked to");
        assert!(table.is_taken_for_good(&reply, &behind, NOW));
        assert!(!table.is_taken_for_good(&reply, &ahead, NOW));
        assert!(!table.is_taken(&reply, &behind, NOW), "it is gone");
    }

    #[test]
    fn a_source_is_known_while_its_flow_is_in_the_table() {
        let table = table();
        let mut tentative = begin(&table, &udp(A, B, 1000, 53, b"x"));
        translate(&table, &mut tentative, "192.0.2.1");
        let other = begin(&table, &udp(A, "10.0.1.3", 1000, 53, b"x")).tuple(Direction::Original);
        let find = || table.find_by_source(&other, |conn| Some(conn.tuple(Direction::Reply).destination()));
        assert_eq!(find(), None);
        let conn = confirm(&table, tentative);
        assert_eq!(find(), Some("192.0.2.1".parse().unwrap()));
        for other in [udp(A, B, 1001, 53, b""), tcp(A, B, 1000, 53, SYN), udp("10.0.0.2", B, 1000, 53, b"")] {
            let other = begin(&table, &other).tuple(Direction::Original);
            assert!(table.find_by_source(&other, |_| Some(())).is_none(), "{other:?}");
        }
        table.delete_one(&conn);
        assert_eq!(find(), None);
    }

    #[test]
    fn flows_that_nobody_translates_are_not_known_by_their_source() {
        let table = table();
        let tentative = begin(&table, &udp(A, B, 1000, 53, b"x"));
        let tuple = tentative.tuple(Direction::Original);
        let conn = confirm(&table, tentative);
        assert!(table.find_by_source(&tuple, |_| Some(())).is_none());
        assert!(table.delete_one(&conn));
    }

    #[test]
    fn inverting_follows_the_protocol() {
        let table = table();
        let echo = begin(&table, &icmp(A, B, 8, 0, 7, b"")).tuple(Direction::Original);
        let reply = table.invert(&echo).unwrap();
        assert_eq!((reply.ids().icmp_type(), reply.ids().source), (0, 7));
        assert_eq!(table.invert(&reply), Some(echo));
    }
}
