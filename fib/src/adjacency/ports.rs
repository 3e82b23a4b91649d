//! The port cells: what every packet needs to know of a port, read without a lock and edited by the one writer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{LinkIndex, Mac, PORTS_MAX, PortId};

const UP: u64 = 1 << 48;
const NEEDS_RESOLUTION: u64 = 1 << 49;

/// One cell per configured port, in the order of the configuration; at most [`PORTS_MAX`].
///
/// Each value read is one the writer wrote; two values of one view may stem from before and after an edit.
#[derive(Debug)]
pub struct Ports {
    cells: Box<[PortCell]>,
}

/// What a port is right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortView {
    /// The kernel's device behind the port; `None` while there is none of that name.
    pub link: Option<LinkIndex>,
    /// Administratively up. Without carrier it is up still: Linux keeps such routes (`ignore_routes_with_linkdown` off).
    pub up: bool,
    /// MTU in bytes (network layer).
    pub mtu: u32,
    /// Ethernet address; all zero on devices without one.
    pub mac: Mac,
    /// Frames need the neighbor's MAC. False for devices without ARP and ND (TUN, point-to-point).
    pub needs_resolution: bool,
}

/// What the writer puts into a cell: as [`PortView`], as a whole.
pub type PortState = PortView;

#[derive(Debug)]
struct PortCell {
    name: String,
    link: AtomicU32,
    mtu: AtomicU32,
    /// MAC in the low 48 bits, then the flags.
    mac_and_flags: AtomicU64,
}

impl Ports {
    /// Cells for ports of these names, none of them bound to a device yet.
    ///
    /// # Panics
    /// With more than [`PORTS_MAX`] names: the configuration is checked before it comes here.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        assert!(names.len() <= PORTS_MAX, "a router has at most {PORTS_MAX} ports");
        let cell = |name: &String| PortCell {
            name: name.clone(),
            link: AtomicU32::new(0),
            mtu: AtomicU32::new(0),
            mac_and_flags: AtomicU64::new(NEEDS_RESOLUTION),
        };
        Self { cells: names.iter().map(cell).collect() }
    }

    /// The writer's edit. Seen by every thread's next [`Ports::get`].
    pub(crate) fn set(&self, port: PortId, state: PortState) {
        let Some(cell) = self.cells.get(usize::from(port.0)) else { return };
        let flags = if state.up { UP } else { 0 } | if state.needs_resolution { NEEDS_RESOLUTION } else { 0 };
        cell.mtu.store(state.mtu, Ordering::Relaxed);
        cell.link.store(state.link.map_or(0, |link| link.0), Ordering::Relaxed);
        cell.mac_and_flags.store(state.mac.to_word() | flags, Ordering::Release);
    }

    /// What a port is now; of a port that does not exist, one that is down.
    #[must_use]
    pub fn get(&self, port: PortId) -> PortView {
        let Some(cell) = self.cells.get(usize::from(port.0)) else { return PortView::ABSENT };
        let word = cell.mac_and_flags.load(Ordering::Acquire);
        let link = cell.link.load(Ordering::Relaxed);
        PortView {
            link: (link != 0).then_some(LinkIndex(link)),
            up: word & UP != 0,
            mtu: cell.mtu.load(Ordering::Relaxed),
            mac: Mac::from_word(word),
            needs_resolution: word & NEEDS_RESOLUTION != 0,
        }
    }

    /// Whether a port is administratively up; false for a port that does not exist.
    #[must_use]
    pub fn is_up(&self, port: PortId) -> bool {
        let cell = self.cells.get(usize::from(port.0));
        cell.is_some_and(|cell| cell.mac_and_flags.load(Ordering::Acquire) & UP != 0)
    }

    /// The name a port was configured with; empty for a port that does not exist.
    #[must_use]
    pub fn name(&self, port: PortId) -> &str {
        self.cells.get(usize::from(port.0)).map_or("", |cell| &cell.name)
    }

    /// The port configured under a name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<PortId> {
        self.ids().find(|port| self.name(*port) == name)
    }

    /// All ports, in the order of the configuration.
    pub fn ids(&self) -> impl Iterator<Item = PortId> + use<> {
        let count = u16::try_from(self.cells.len()).expect("bounded by PORTS_MAX");
        (0..count).map(PortId)
    }
}

impl PortView {
    /// A port without a device.
    pub const ABSENT: Self = Self { link: None, up: false, mtu: 0, mac: Mac([0; 6]), needs_resolution: true };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_reads_as_it_was_written() {
        let ports = Ports::new(&["r0".into(), "r1".into()]);
        assert_eq!(ports.get(PortId(0)), PortView::ABSENT);
        let state = PortState {
            link: Some(LinkIndex(7)),
            up: true,
            mtu: 9000,
            mac: Mac([2, 0xff, 3, 4, 5, 0x81]),
            needs_resolution: false,
        };
        ports.set(PortId(1), state);
        assert_eq!(ports.get(PortId(1)), state);
        assert!(ports.is_up(PortId(1)) && !ports.is_up(PortId(0)) && !ports.is_up(PortId(2)));
        assert_eq!(ports.get(PortId(0)), PortView::ABSENT, "the other port is untouched");
        assert_eq!(ports.by_name("r1"), Some(PortId(1)));
        assert_eq!(ports.by_name("r2"), None);
    }

    #[test]
    fn a_port_that_does_not_exist_is_down() {
        let ports = Ports::new(&[]);
        assert_eq!(ports.get(PortId(3)), PortView::ABSENT);
        assert_eq!(ports.name(PortId(3)), "");
    }
}
