//! Neighbors as rows: those the kernel has announced, and those it is being asked about.

use ctl::message::NeighborRow;
use fib::adjacency::{LinkIndex, Mac, Neighbors, Ports};
use fib::change::{NeighborEntry, NeighborState};
use fib::writer::Writer;

/// Every neighbor that there is something to say of, each with the name of its link, by device and address. As in `ip neigh`, addresses that nobody
/// has asked for yet and those that need no asking (multicast) are left out.
///
/// On ports the cells that packets look into have the last word: they know of questions the kernel has not answered.
pub(super) fn known_of(
    writer: &Writer,
    ports: &Ports,
    neighbors: &Neighbors,
) -> Vec<(String, NeighborEntry)> {
    let mut told: Vec<(String, NeighborEntry)> = Vec::new();
    let mut tell = |entry: NeighborEntry, name: &str| {
        if !matches!(entry.state, NeighborState::None | NeighborState::NoArp) {
            told.push((name.to_owned(), entry));
        }
    };
    let is_port = |link: LinkIndex| ports.ids().any(|port| ports.get(port).link == Some(link));
    for entry in writer.announced_neighbors().filter(|entry| !is_port(entry.link)) {
        let name = writer.link_name(entry.link).unwrap_or("").to_owned();
        tell(entry, &name);
    }
    neighbors.for_each(|row| {
        let Some(link) = ports.get(row.view.port).link else { return };
        let name = writer.link_name(link).unwrap_or_else(|| ports.name(row.view.port));
        let mac = row.view.state.is_valid().then_some(row.view.mac);
        tell(NeighborEntry { link, address: row.address, state: row.view.state, mac }, name);
    });
    told.sort_unstable_by_key(|(_, entry)| (entry.link, entry.address));
    told
}

/// The row of a neighbor on the link of this name.
pub(super) fn row(port: String, entry: &NeighborEntry) -> NeighborRow {
    NeighborRow {
        address: entry.address,
        port,
        mac: known(entry.state, entry.mac),
        state: state(entry.state).into(),
        flags: Vec::new(),
    }
}

/// A link address for people, if it can be used.
pub(super) fn known(state: NeighborState, mac: Option<Mac>) -> Option<String> {
    mac.filter(|_| state.is_valid()).map(|mac| mac.to_string())
}

/// As `ip neigh` writes it.
pub(super) const fn state(state: NeighborState) -> &'static str {
    match state {
        NeighborState::None => "NONE",
        NeighborState::Incomplete => "INCOMPLETE",
        NeighborState::Reachable => "REACHABLE",
        NeighborState::Stale => "STALE",
        NeighborState::Delay => "DELAY",
        NeighborState::Probe => "PROBE",
        NeighborState::Failed => "FAILED",
        NeighborState::Permanent => "PERMANENT",
        NeighborState::NoArp => "NOARP",
    }
}
