//! Looks ahead: has the memory on its way that packets will need a little later, so that the flows of a batch are waited
//! for together and not one after the other.
//!
//! Nothing here changes anything, and nothing is relied on: what was not foreseen is found all the same.

use super::Table;
use crate::conn::{Conn, Shared};
use crate::l4::Check;
use crate::packet::{Datagram, Packet};
use crate::shard::Sought;
use crate::tuple::{Direction, Tuple};

/// A packet that will be tracked soon.
#[derive(Clone, Copy, Debug)]
pub struct Foreseen {
    hash: u64,
}

/// Bytes that memory comes in.
const LINE: usize = 64;

/// Up to so many flows stay in a core's own cache, so that looking ahead costs more than it brings.
const FLOWS_NEAR: usize = 16_384;

impl<X> Table<X> {
    /// Whether looking ahead pays, for as many flows as there are.
    #[must_use]
    pub fn is_worth_foreseeing(&self) -> bool {
        self.len() > FLOWS_NEAR
    }

    /// The first look at a packet that is to be tracked: calls `fetch` with the address of memory where its flow will be
    /// searched for. `None` if it will belong to no flow, or the way to its flow is not that straight.
    pub fn foresee(&self, datagram: &Datagram<'_>, fetch: impl Fn(*const u8)) -> Option<Foreseen> {
        let located = self.registry.l3(datagram.family)?.locate(datagram.bytes).ok()?;
        // Checksums are left to tracking.
        let packet = Packet { datagram: *datagram, located, verify: false };
        let tracker = self.registry.l4(datagram.family, located.protocol);
        if tracker.check(&packet) != Ok(Check::Track) {
            return None;
        }
        let ids = tracker.ids(packet.transport())?;
        let zone = datagram.zone.of(Direction::Original);
        let tuple = Tuple::new(datagram.family, zone, located.protocol, located.addresses, ids);
        let hash = Sought::new(&self.hasher, &tuple).hash;
        fetch(self.shards[self.shard_of(hash)].0.try_lock()?.address(hash)?);
        Some(Foreseen { hash })
    }

    /// The second look, when what the first one asked for is there: calls `fetch` with the addresses of the flow itself.
    pub fn approach(&self, foreseen: Foreseen, fetch: impl Fn(*const u8)) {
        if let Some(shard) = self.shards[self.shard_of(foreseen.hash)].0.try_lock() {
            for conn in shard.candidates(foreseen.hash) {
                fetch_flow(conn, &fetch);
            }
        }
    }
}

/// Has a flow fetched, and the count of its holders, which stands before it.
fn fetch_flow<X>(conn: &Shared<Conn<X>>, fetch: impl Fn(*const u8)) {
    const COUNT: usize = size_of::<usize>();
    let start = Shared::as_ptr(conn).cast::<u8>().wrapping_sub(COUNT);
    for offset in (0..COUNT + size_of::<Conn<X>>()).step_by(LINE) {
        fetch(start.wrapping_add(offset));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::registry::Registry;
    use crate::table::{Config, Confirmed, Flow, Tracked};
    use crate::test_packets::{datagram, icmp, udp};
    use crate::time::Instant;

    const A: &str = "10.0.0.1";
    const B: &str = "10.0.1.2";

    #[test]
    fn both_directions_of_a_flow_are_foreseen_at_its_address_and_nothing_is_changed() {
        let table = Table::<[u64; 5]>::new(Config::default(), Registry::builtin().build());
        let now = Instant::from_secs(1);
        let Tracked::Flow { flow: Flow::Tentative(flow), .. } =
            table.track(&datagram(&udp(A, B, 1000, 53, b"x")), now)
        else {
            panic!("a new flow")
        };
        let Confirmed::Inserted(conn) = table.confirm(flow, now) else { panic!("inserted") };
        let before = (table.stats(), conn.traffic(Direction::Original), conn.expires());
        for bytes in [udp(A, B, 1000, 53, b"x"), udp(B, A, 53, 1000, b"answer")] {
            let fetched = RefCell::new(Vec::new());
            let fetch = |address: *const u8| fetched.borrow_mut().push(address.addr());
            let foreseen = table.foresee(&datagram(&bytes), fetch).expect("it is tracked");
            assert_eq!(fetched.take().len(), 1, "where the search begins");
            table.approach(foreseen, fetch);
            let fetched = fetched.into_inner();
            let start = Shared::as_ptr(&conn).addr() - 8;
            let end = start + 8 + size_of_val(&*conn);
            let lines = |from: usize, to: usize| (from / LINE..=to / LINE).collect::<Vec<_>>();
            assert_eq!(
                fetched.iter().map(|address| address / LINE).collect::<Vec<_>>(),
                lines(start, end - 1)
            );
        }
        assert_eq!((table.stats(), conn.traffic(Direction::Original), conn.expires()), before);
    }

    #[test]
    fn what_belongs_to_no_flow_is_not_foreseen() {
        let table = Table::<()>::new(Config::default(), Registry::builtin().build());
        let quoted = udp(A, B, 1000, 53, b"x");
        for bytes in [icmp(B, A, 3, 3, 0, &quoted), vec![0x45; 12], quoted] {
            let fetch = |_: *const u8| panic!("there is nothing to fetch");
            assert!(table.foresee(&datagram(&bytes), fetch).is_none(), "{bytes:?}");
        }
        assert!(!table.is_worth_foreseeing());
    }
}
