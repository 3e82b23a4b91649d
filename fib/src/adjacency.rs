//! Where a route ends: ports and neighbors, as cells that all threads share and one writer edits in place.

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

/// The most ports a router has.
pub const PORTS_MAX: usize = 256;

/// A neighbor's place in [`Neighbors`]; `incarnation` tells a reused place from the neighbor that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighborId {
    /// Index of the cell.
    pub index: u32,
    /// Which tenant of the cell is meant.
    pub incarnation: u32,
}
