//! Where a route ends: ports and neighbors, as cells that all threads share and one writer edits in place.

mod neighbors;
mod ports;

use std::fmt;

pub use neighbors::{ASK_INTERVAL_MS, NEIGHBORS_MAX, NeighborRow, NeighborView, Neighbors};
pub use ports::{PortState, PortView, Ports};

/// A port's place in the router's port table: given once per configured port, never reused for another.
///
/// Not the kernel's interface index (that is [`LinkIndex`]), which changes when a device is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u16);

/// The kernel's interface index. 0 is never a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkIndex(pub u32);

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl Mac {
    /// The address in the low 48 bits of a word, as the cells keep it.
    const fn to_word(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    const fn from_word(word: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = word.to_be_bytes();
        Self([a, b, c, d, e, f])
    }
}

/// The most ports a router has.
pub const PORTS_MAX: usize = 256;

/// A neighbor's place in [`Neighbors`]; `incarnation` tells a reused place from the neighbor that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NeighborId {
    /// Index of the cell.
    pub index: u32,
    /// Which tenant of the cell is meant.
    pub incarnation: u32,
}
