//! Bridges: which ports each joins, what it knows of hosts behind them, and what it has counted.
//!
//! A bridge is a port of the router itself, so that it can have addresses, routes and neighbors. Workers share what is
//! here; how a frame walks through a bridge is in `engine/bridge`.

mod link;
mod macs;
mod observed;

use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{Mac, PortId, Ports};
use parking_lot::Mutex;

pub use link::{FIRST_LINK, link, link_index};
pub use macs::{Behind, Entry, Kind, Learned, MacTable, is_station};
pub use observed::{FULL_TOLD_EVERY, LOOP_TOLD_EVERY, News, Observed};

/// Most bridges of a router.
pub const BRIDGES_MAX: usize = 64;

/// A bridge as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name, as that of a port.
    pub name: String,
    /// The port that it is itself.
    pub port: PortId,
    /// The ports that it joins: at least two, each in no other bridge.
    pub members: Vec<PortId>,
    /// Its link address; `None` for the lowest of its members'.
    pub mac: Option<Mac>,
    /// How long a link address is remembered after its last frame.
    pub ageing: Duration,
    /// Link addresses that are remembered at most.
    pub macs_max: usize,
    /// Frames of the spanning tree protocol (01:80:c2:00:00:00).
    pub stp: Reserved,
    /// Other frames for the reserved addresses 01:80:c2:00:00:02 to :0f (LLDP, 802.1X, LACP).
    pub link_local: Reserved,
    /// Which frames enter the hooks of IP, by their mark; the first that matches decides.
    pub pull_up: Vec<PullUp>,
    /// Hosts that are always behind these ports.
    pub fixed: Vec<(Mac, PortId)>,
}

/// What is done with frames for a group address that bridges keep for themselves (IEEE 802.1Q, table 8-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// They pass as through a cable.
    Pass,
    /// They end here, as IEEE 802.1D says.
    Drop,
}

/// Frames of a mark that enter the hooks of IP, whomever they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullUp {
    /// The mark, in the bits that `mask` has.
    pub mark: u32,
    /// Which bits of a packet's mark are compared.
    pub mask: u32,
    /// The port by which they leave without a route, unless a hook chooses another; `None`: they are routed.
    pub port: Option<PortId>,
}

impl PullUp {
    /// Whether frames with this mark are meant.
    #[must_use]
    pub const fn matches(&self, mark: u32) -> bool {
        mark & self.mask == self.mark & self.mask
    }
}

impl Description {
    /// A bridge of these ports with what is usual: the lowest link address, 300 s of memory for 8192 link addresses,
    /// spanning tree frames passed, other reserved ones not, nothing pulled up.
    #[must_use]
    pub fn plain(name: &str, port: PortId, members: &[PortId]) -> Self {
        Self {
            name: name.to_owned(),
            port,
            members: members.to_vec(),
            mac: None,
            ageing: Duration::from_secs(300),
            macs_max: 8192,
            stp: Reserved::Pass,
            link_local: Reserved::Drop,
            pull_up: Vec::new(),
            fixed: Vec::new(),
        }
    }
}

/// A bridge at work.
#[derive(Debug)]
pub struct Bridge {
    /// Its number, in the order of the configuration.
    pub number: usize,
    /// As configured.
    pub description: Description,
    /// Which link address is behind which member.
    pub macs: MacTable,
    /// What workers have noticed of it.
    pub observed: Observed,
    /// What was last taken over of its own port and its members: link address, and whether it is up.
    followed: Mutex<Vec<(PortId, Mac, bool)>>,
}

/// All bridges of a router, in the order of the configuration; their ports stand behind one another.
#[derive(Debug, Default)]
pub struct Bridges {
    all: Box<[Bridge]>,
    /// Number of the bridge that a port is a member of, by the port's number; [`NONE`] for none.
    of_member: Box<[u8]>,
}

const NONE: u8 = u8::MAX;
const _: () = assert!(BRIDGES_MAX < NONE as usize, "a bridge's number fits beside NONE");

impl Bridges {
    /// Bridges that know nobody yet. `seed` makes it hard to foresee where link addresses are kept.
    ///
    /// # Panics
    /// If there are more than [`BRIDGES_MAX`], if their ports do not follow one another, or if a port is a member twice:
    /// the configuration is checked before it comes here.
    #[must_use]
    pub fn new(descriptions: Vec<Description>, seed: [u64; 2]) -> Self {
        assert!(descriptions.len() <= BRIDGES_MAX, "at most {BRIDGES_MAX} bridges");
        let ports =
            descriptions.iter().flat_map(|bridge| &bridge.members).map(|port| usize::from(port.0) + 1);
        let mut of_member = vec![NONE; ports.max().unwrap_or(0)].into_boxed_slice();
        for (number, description) in (0_u8..).zip(&descriptions) {
            let expected = descriptions[0].port.0 + u16::from(number);
            assert_eq!(description.port.0, expected, "the ports of bridges follow one another");
            for member in &description.members {
                let place = &mut of_member[usize::from(member.0)];
                assert_eq!(*place, NONE, "a port is a member of one bridge");
                *place = number;
            }
        }
        let bridge = |(number, description): (usize, Description)| {
            let macs = MacTable::new(description.macs_max, description.ageing, seed);
            for (mac, port) in &description.fixed {
                macs.fix(*mac, *port);
            }
            Bridge { number, description, macs, observed: Observed::default(), followed: Mutex::default() }
        };
        Self { all: descriptions.into_iter().enumerate().map(bridge).collect(), of_member }
    }

    /// Takes over the link addresses of the ports as they are now, and forgets who was behind a port that is down.
    /// To be called when links have changed.
    pub fn follow(&self, ports: &Ports) {
        for bridge in &self.all {
            let Description { port, members, .. } = &bridge.description;
            let state = |port: &PortId| (*port, ports.get(*port).mac, ports.is_up(*port));
            let now: Vec<_> = [port].into_iter().chain(members).map(state).collect();
            let mut before = bridge.followed.lock();
            if *before == now {
                continue;
            }
            let addresses = now.iter().filter(|(_, mac, _)| *mac != Mac::default());
            bridge.macs.set_own(&addresses.map(|(port, mac, _)| (*mac, *port)).collect::<Vec<_>>());
            for (port, _, is_up) in &now {
                if !is_up {
                    bridge.macs.flush(*port);
                }
            }
            *before = now;
        }
    }

    /// Forgets link addresses that have been silent for too long. Each call looks at `budget` places of each table at
    /// most, and goes on where the last one ended.
    pub fn expire(&self, now: Instant, budget: usize) {
        for bridge in &self.all {
            bridge.macs.expire(now, budget);
        }
    }

    /// The bridge that this port is a member of.
    #[must_use]
    pub fn of_member(&self, port: PortId) -> Option<&Bridge> {
        let number = *self.of_member.get(usize::from(port.0))?;
        self.all.get(usize::from(number))
    }

    /// The bridge that this port is.
    #[must_use]
    pub fn at(&self, port: PortId) -> Option<&Bridge> {
        self.all.get(self.number(port)?)
    }

    /// The number of the bridge that this port is, in the order of the configuration.
    #[must_use]
    pub fn number(&self, port: PortId) -> Option<usize> {
        let first = self.all.first()?.description.port;
        let number = usize::from(port.0.checked_sub(first.0)?);
        (number < self.all.len()).then_some(number)
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Bridge> {
        self.all.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Bridges {
        let one = Description::plain("br0", PortId(5), &[PortId(0), PortId(3)]);
        let other = Description::plain("br1", PortId(6), &[PortId(1), PortId(4)]);
        Bridges::new(vec![one, other], [1, 2])
    }

    #[test]
    fn ports_lead_to_the_bridge_that_they_are_members_of_or_are() {
        let bridges = two();
        let name = |bridge: Option<&Bridge>| bridge.map(|bridge| bridge.description.name.clone());
        let members = (0..8).map(|port| name(bridges.of_member(PortId(port))).unwrap_or_default());
        assert_eq!(members.collect::<Vec<_>>(), ["br0", "br1", "", "br0", "br1", "", "", ""]);
        let own = (0..8).map(|port| name(bridges.at(PortId(port))).unwrap_or_default());
        assert_eq!(own.collect::<Vec<_>>(), ["", "", "", "", "", "br0", "br1", ""]);
        assert!(
            Bridges::default().at(PortId(0)).is_none() && Bridges::default().of_member(PortId(0)).is_none()
        );
    }

    #[test]
    fn a_mark_is_compared_in_the_bits_of_the_mask() {
        let pull_up = PullUp { mark: 0x10, mask: 0x30, port: None };
        assert_eq!([0x10, 0x110, 0x30, 0].map(|mark| pull_up.matches(mark)), [true, true, false, false]);
    }
}
