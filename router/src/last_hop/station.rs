//! A link address behind a port: when it was heard, and which neighbor it stands for, so that who answers it follows that
//! neighbor to another address.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use fib::adjacency::{Mac, NeighborId, NeighborView, Neighbors, PortId, Ports};
use fib::change::NeighborState;

/// Within this time after a frame from a link address, its neighbor's failure to answer is not believed.
const FRESH_MS: u64 = 3_000;

/// How often a station's last frame is noted, and its neighbor thought about again.
pub(super) const REVIEW_MS: u64 = 1_000;

/// What a link address is, as far as its digits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A device's own.
    Physical,
    /// A virtual router's (RFC 9568 section 7.3), by its identifier.
    Vrrp(u8),
    /// An HSRP group's, of version 1 or 2, by its number.
    Hsrp(u16),
    /// A GLBP forwarder's.
    Glbp,
    /// A broadcast or multicast address.
    Group,
}

/// Why nothing can be sent to a link address any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// Its port is down or gone.
    PortDown,
    /// The neighbor that it stands for does not answer.
    NeighborFailed,
    /// Nothing was heard from it for long.
    Unanswered,
}

/// How good a reason there is to think that an address moves from gateway to gateway; the better ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The address was seen with the link address.
    Known,
    /// It is the gateway by which routing would answer.
    Gateway,
    /// It has been announced to everybody (gratuitous ARP, unsolicited neighbor advertisement).
    Announced,
    /// It belongs to a virtual router, or has been seen to move.
    Virtual,
    /// The user has said so.
    Declared,
}

/// The neighbor that a link address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The neighbor.
    pub neighbor: NeighborId,
    /// Its protocol address.
    pub address: IpAddr,
    /// How it was chosen.
    pub rank: Rank,
    /// Its link address when it was chosen.
    pub mac: Mac,
}

/// Where to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The link address.
    pub(super) mac: Mac,
    /// The neighbor whose it is.
    pub(super) neighbor: Option<(NeighborId, IpAddr)>,
    /// That neighbor has it now and had another before.
    pub(super) moved: bool,
}

/// A link address behind a port.
#[derive(Debug)]
pub struct Station {
    /// The port; for bridged ports the bridge.
    pub port: PortId,
    /// The link address; all zero on a port without any.
    pub mac: Mac,
    heard_ms: AtomicU64,
    moved_ms: [AtomicU64; 2],
    /// Place of the group that it was declared to be of, plus one.
    group: AtomicU8,
    /// One for each family: a virtual router may have another address for IPv6, where it takes nothing else.
    bound: [ArcSwapOption<Bound>; 2],
}

/// What a station is judged by.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) ports: &'a Ports,
    pub(super) neighbors: &'a Neighbors,
    pub(super) now_ms: u64,
    /// Milliseconds that a station without a neighbor may be silent; 0 for ever.
    pub(super) idle_ms: u64,
}

impl Kind {
    /// What a link address is.
    #[must_use]
    pub const fn of(mac: Mac) -> Self {
        match mac.0 {
            [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, id] => Self::Vrrp(id),
            [0x00, 0x00, 0x0c, 0x07, 0xac, group] => Self::Hsrp(group as u16),
            [0x00, 0x00, 0x0c, 0x9f, high @ 0xf0..=0xff, low]
            | [0x00, 0x05, 0x73, 0xa0, high @ 0x00..=0x0f, low] => {
                Self::Hsrp(((high & 0x0f) as u16) << 8 | low as u16)
            }
            [0x00, 0x07, 0xb4, 0x00, ..] => Self::Glbp,
            [first, ..] if first & 1 == 1 => Self::Group,
            _ => Self::Physical,
        }
    }

    /// Whether it goes from one router to another by itself.
    #[must_use]
    pub const fn is_virtual(self) -> bool {
        matches!(self, Self::Vrrp(_) | Self::Hsrp(_) | Self::Glbp)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Physical => formatter.write_str("physical"),
            Self::Vrrp(id) => write!(formatter, "vrrp {id}"),
            Self::Hsrp(group) => write!(formatter, "hsrp {group}"),
            Self::Glbp => formatter.write_str("glbp"),
            Self::Group => formatter.write_str("group"),
        }
    }
}

impl Dead {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PortDown => "port_down",
            Self::NeighborFailed => "neighbor_failed",
            Self::Unanswered => "unanswered",
        }
    }

    pub(super) const fn bits(dead: Option<Self>) -> u8 {
        match dead {
            None => 0,
            Some(Self::PortDown) => 1,
            Some(Self::NeighborFailed) => 2,
            Some(Self::Unanswered) => 3,
        }
    }

    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            1 => Some(Self::PortDown),
            2 => Some(Self::NeighborFailed),
            3 => Some(Self::Unanswered),
            _ => None,
        }
    }
}

impl Station {
    pub(super) fn new(port: PortId, mac: Mac, now_ms: u64) -> Self {
        Self {
            port,
            mac,
            heard_ms: AtomicU64::new(now_ms),
            moved_ms: Default::default(),
            group: AtomicU8::new(0),
            bound: Default::default(),
        }
    }

    /// Notes that a frame has come from it; says whether it is time to think about its neighbor again.
    pub(super) fn hear(&self, now_ms: u64) -> bool {
        let heard = self.heard_ms.load(Ordering::Relaxed);
        let due = now_ms.saturating_sub(heard) >= REVIEW_MS;
        if due {
            self.heard_ms.store(now_ms, Ordering::Relaxed);
        }
        due
    }

    pub(super) fn bind(&self, ipv6: bool, bound: Option<Bound>) {
        let place = usize::from(ipv6);
        self.moved_ms[place].store(0, Ordering::Relaxed);
        self.bound[place].store(bound.map(std::sync::Arc::new));
    }

    pub(super) fn join(&self, group: Option<usize>) {
        self.group.store(group.map_or(0, |place| place as u8 + 1), Ordering::Relaxed);
    }

    /// When the neighbor was first seen at another link address than the one it was chosen for; `None` while it is not.
    pub(super) fn moved_since(&self, bound: &Bound, world: &World<'_>) -> Option<u64> {
        let view = world.neighbors.get(bound.neighbor).filter(|view| view.state.is_valid())?;
        let moved_ms = &self.moved_ms[usize::from(bound.address.is_ipv6())];
        if view.mac == bound.mac {
            moved_ms.store(0, Ordering::Relaxed);
            return None;
        }
        let _ = moved_ms.compare_exchange(0, world.now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed);
        Some(moved_ms.load(Ordering::Relaxed))
    }

    /// The neighbor of a family that it stands for.
    #[must_use]
    pub fn bound(&self, ipv6: bool) -> Option<Bound> {
        self.bound[usize::from(ipv6)].load().as_deref().copied()
    }

    /// The neighbor that it stands for, of whatever family.
    #[must_use]
    pub fn any_bound(&self) -> Option<Bound> {
        self.bound(false).or_else(|| self.bound(true))
    }

    /// The place of the group that it was declared to be of.
    #[must_use]
    pub fn group(&self) -> Option<usize> {
        usize::from(self.group.load(Ordering::Relaxed)).checked_sub(1)
    }

    /// What its address is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::of(self.mac)
    }

    /// When a frame last came from it, to within a second, in milliseconds of the router's clock.
    #[must_use]
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// Where to send what is for this station: to its neighbor's address as it is now, or to its own while nothing is
    /// known of a neighbor. `own` is a neighbor that is known for certain. What is known of the other family is used too,
    /// unless that is a virtual address, which takes packets of its family alone.
    pub(super) fn target(&self, own: Option<&Bound>, ipv6: bool, world: &World<'_>) -> Result<Target, Dead> {
        let port = world.ports.get(self.port);
        if !port.up || port.link.is_none() {
            return Err(Dead::PortDown);
        }
        if !port.needs_resolution {
            return Ok(Target { mac: Mac::default(), neighbor: None, moved: false });
        }
        let [guard, other] = [ipv6, !ipv6].map(|family| self.bound[usize::from(family)].load());
        let see = |bound: &Bound| Some((*bound, world.neighbors.get(bound.neighbor)?));
        let seen = own.or(guard.as_deref()).and_then(see).or_else(|| {
            let is_shared = |(_, view): &(_, NeighborView)| !Kind::of(view.mac).is_virtual();
            other.as_deref().and_then(see).filter(is_shared)
        });
        let silent_ms = world.now_ms.saturating_sub(self.heard_ms());
        match seen {
            Some((bound, view)) if view.state.is_valid() => {
                let neighbor = Some((bound.neighbor, bound.address));
                Ok(Target { mac: view.mac, neighbor, moved: view.mac != bound.mac })
            }
            Some((_, view)) if view.state == NeighborState::Failed && silent_ms > FRESH_MS => {
                Err(Dead::NeighborFailed)
            }
            _ if world.idle_ms != 0 && silent_ms > world.idle_ms => Err(Dead::Unanswered),
            _ => {
                let neighbor = seen.map(|(bound, _)| (bound.neighbor, bound.address));
                Ok(Target { mac: self.mac, neighbor, moved: false })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_routers_are_known_by_their_addresses() {
        let kinds = [
            ([0x00, 0x00, 0x5e, 0x00, 0x01, 51], Kind::Vrrp(51)),
            ([0x00, 0x00, 0x5e, 0x00, 0x02, 7], Kind::Vrrp(7)),
            ([0x00, 0x00, 0x5e, 0x00, 0x03, 7], Kind::Physical),
            ([0x00, 0x00, 0x0c, 0x07, 0xac, 9], Kind::Hsrp(9)),
            ([0x00, 0x00, 0x0c, 0x9f, 0xf1, 0x02], Kind::Hsrp(0x102)),
            ([0x00, 0x00, 0x0c, 0x9f, 0xe1, 0x02], Kind::Physical),
            ([0x00, 0x05, 0x73, 0xa0, 0x0f, 0xff], Kind::Hsrp(0xfff)),
            ([0x00, 0x05, 0x73, 0xa0, 0x10, 0x00], Kind::Physical),
            ([0x00, 0x07, 0xb4, 0x00, 0x01, 0x02], Kind::Glbp),
            ([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12], Kind::Group),
            ([0xff; 6], Kind::Group),
            ([0x02, 0, 0, 0, 0, 1], Kind::Physical),
        ];
        for (mac, kind) in kinds {
            assert_eq!(Kind::of(Mac(mac)), kind, "{}", Mac(mac));
        }
    }

    #[test]
    fn a_frame_is_noted_once_a_second() {
        let station = Station::new(PortId(0), Mac::default(), 5_000);
        assert!(!station.hear(5_999));
        assert!(station.hear(6_000) && !station.hear(6_001));
        assert_eq!(station.heard_ms(), 6_000);
    }
}
