//! What only a router that is its own host knows of its addresses and neighbors.

use ctl::message::{AddressRow, Dad, NeighborFlag, NeighborRow};
use fib::adjacency::PortId;
use fib::change::{NeighborEntry, NeighborState};

use super::neighbors;
use crate::daemon::Core;
use crate::host::neighborhood::Standing;

impl Core {
    /// The row of a neighbor on the link of this name, with what is known of it beyond what the kernel tells.
    pub(in crate::daemon) fn neighbor_row(&self, port: String, entry: &NeighborEntry) -> NeighborRow {
        let row = neighbors::row(port, entry);
        if !self.shared.host.is_owned() {
            return row;
        }
        let neighborhood = self.neighborhood.borrow();
        let port = self.port_named(&row.port);
        let is_router = port.is_some_and(|port| neighborhood.is_router(port, row.address));
        let flags = [
            (is_router, NeighborFlag::Router),
            (entry.state == NeighborState::Permanent, NeighborFlag::Static),
        ];
        let flags = flags.into_iter().filter(|(holds, _)| *holds).map(|(_, flag)| flag).collect();
        NeighborRow { flags, ..row }
    }

    /// Says of own addresses how far duplicate address detection is.
    pub(super) fn tell_standing(&self, mut rows: Vec<AddressRow>) -> Vec<AddressRow> {
        if self.shared.host.is_owned() {
            let neighborhood = self.neighborhood.borrow();
            for row in &mut rows {
                let port = self.port_named(&row.port);
                row.dad = port.and_then(|port| neighborhood.standing(port, row.address)).map(dad);
            }
        }
        rows
    }

    fn port_named(&self, name: &str) -> Option<PortId> {
        self.port_ids().find(|port| self.shared.ports.name(*port) == name)
    }
}

const fn dad(standing: Standing) -> Dad {
    match standing {
        Standing::Tentative => Dad::Tentative,
        Standing::Ready => Dad::Ready,
        Standing::Duplicate(_) => Dad::Duplicate,
    }
}
