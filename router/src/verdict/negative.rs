//! Drops of packets that would have begun a flow, remembered for a moment: a flood of what is denied costs little.
//!
//! Each worker has a table of its own, of fixed size. A packet's tuple, zone, port of entry and mark have two places,
//! chosen by a keyed hash; a new entry takes the place of the older of the two. An entry knows the way the packet took and
//! its passage through the rules, and is as true as these are: the way is judged as a flow's is, the passage is one of the
//! present chains or of none, and each of its sections is held against the packet. It ends after [`LIFE`] all the same.
//!
//! It is asked by tracking when a packet belongs to no flow, nobody has announced one, and it would begin one. What it
//! knows is used in one of two ways:
//!
//! - *Refused at once*: the packet is counted and dropped there, and no flow is begun for it. That is for packets that
//!   rules drop in silence, that would come as far as that rule whatever their size and TTL, and whom no other hook on
//!   their way has to see; if anything is in doubt they go the other way.
//! - *Recalled*: a flow is begun, as ever, and remembers what the entry knows. So every step and every hook does its part
//!   but for looking up the route and walking the rules: this is how refused packets are answered.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::time::Duration;

use conntrack::{Instant, Tuple};
use fib::adjacency::PortId;
use fib::cache::{Judgement, Trust};
use fib::snapshot::Query;

use super::{End, Passage};
use crate::chain::{Family, Point};
use crate::drops::DropReason;
use crate::engine::{Context, LinkTarget, Packet};
use crate::flow::Kept;

/// Drops that a worker remembers at one time.
pub const DROPS_MAX: usize = 8_192;

/// How long a drop is remembered.
pub const LIFE: Duration = Duration::from_secs(1);

/// Places that a packet may have.
const PLACES_PER_PACKET: usize = 2;

/// One worker's table.
#[derive(Default)]
pub struct Negative {
    /// Made when it is first needed.
    places: Box<[Place]>,
    hasher: RandomState,
    flushes: u64,
    /// Places taken, those included that have ended since they were last cleared.
    used: u64,
    cleared: Instant,
}

/// What is remembered of a drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    /// Number of its passage.
    pub passage: u32,
    /// The way it took; nothing if it did not come as far, or if that was not to be kept.
    pub kept: Kept,
    /// Rules are all that saw it on its way, and they dropped it in silence.
    pub is_plain: bool,
}

/// What tells one packet from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// As it came, with its zone.
    pub tuple: Tuple,
    /// Port of entry.
    pub input: PortId,
    /// Its mark when it was tracked.
    pub mark: u32,
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (addresses, ids) = (self.tuple.addresses(), self.tuple.ids());
        (addresses.source, addresses.destination, ids.source, ids.destination).hash(state);
        (self.tuple.protocol(), self.tuple.zone(), self.input, self.mark).hash(state);
    }
}

#[derive(Clone, Copy)]
struct Place {
    held: Option<(Name, Drop)>,
    ends: Instant,
}

impl Negative {
    /// Forgets everything if the user has asked for it since; `flushes` counts how often.
    pub fn follow(&mut self, flushes: u64) {
        if self.flushes != flushes {
            self.flushes = flushes;
            self.places.fill(Place::EMPTY);
            self.used = 0;
        }
    }

    /// What is remembered of packets like this.
    #[must_use]
    pub fn find(&self, name: &Name, now: Instant) -> Option<Drop> {
        if self.places.is_empty() {
            return None;
        }
        let first = self.first_place(name);
        let mine = self.places[first..first + PLACES_PER_PACKET].iter();
        mine.filter(|place| place.ends > now)
            .find_map(|place| place.held.filter(|(held, _)| held == name).map(|(_, drop)| drop))
    }

    /// Remembers a drop.
    pub fn keep(&mut self, name: Name, drop: Drop, now: Instant) {
        if self.places.is_empty() {
            self.places = vec![Place::EMPTY; DROPS_MAX].into();
        }
        let first = self.first_place(&name);
        let mine = &mut self.places[first..first + PLACES_PER_PACKET];
        let own = mine.iter().position(|place| place.held.is_some_and(|(held, _)| held == name));
        let oldest = || mine.iter().enumerate().min_by_key(|(_, place)| place.ends).map(|(at, _)| at);
        let chosen = own.or_else(oldest).expect("there are places for each");
        self.used += u64::from(mine[chosen].held.is_none());
        mine[chosen] = Place { held: Some((name, drop)), ends: now + LIFE };
    }

    /// Clears places whose drops have ended, once in each [`LIFE`]; says when it wants to be called again.
    pub fn tend(&mut self, now: Instant) -> Option<Instant> {
        if self.used == 0 {
            return None;
        }
        if now - self.cleared >= LIFE {
            self.cleared = now;
            self.used = 0;
            for place in &mut self.places {
                if place.ends <= now {
                    *place = Place::EMPTY;
                }
                self.used += u64::from(place.held.is_some());
            }
        }
        (self.used > 0).then(|| self.cleared + LIFE)
    }

    /// Places taken, by drops of this and the last [`LIFE`].
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Bytes of memory it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of_val(&*self.places)
    }

    fn first_place(&self, name: &Name) -> usize {
        let groups = DROPS_MAX / PLACES_PER_PACKET;
        (self.hasher.hash_one(name) % groups as u64) as usize * PLACES_PER_PACKET
    }
}

const _: () = assert!(DROPS_MAX.is_multiple_of(PLACES_PER_PACKET));

/// Bytes of a worker's table, once it has one.
pub const BYTES: usize = DROPS_MAX * size_of::<Place>();

impl Place {
    const EMPTY: Self = Self { held: None, ends: Instant::ZERO };
}

/// Whether drops are remembered of packets like this one: those whose way through the router rests on nothing but what
/// rules and routing see.
#[must_use]
pub fn is_fit(packet: &Packet) -> bool {
    packet.input_port().is_some()
        && packet.target() == LinkTarget::Host
        && packet.packet_type.is_none()
        && packet.gathered.is_none()
        && !packet.trace
        && packet.has_bare_header()
}

/// Why a packet that is fit is dropped where it is tracked, if it is certain that rules would drop it, and they have counted
/// it then. `None`: it has to be tracked.
#[must_use]
pub fn refuses(drop: &Drop, packet: &Packet, context: &Context<'_>) -> Option<DropReason> {
    let passage = context.passages.get(drop.passage)?;
    let End::Dropped(reason, None) = passage.end() else { return None };
    let point = passage.sections().last()?.point();
    if !drop.is_plain || !context.chains.may_refuse(packet.family(), point) {
        return None;
    }
    comes_as_far(drop, passage, packet, context)?;
    let bytes = packet.ip().len() as u64;
    let lane = context.recording.lane();
    passage.sections().iter().for_each(|section| section.count(lane, bytes));
    Some(reason)
}

/// Whether a packet would be let through to the rule that drops it, and be dropped there.
fn comes_as_far(drop: &Drop, passage: &Passage, packet: &Packet, context: &Context<'_>) -> Option<()> {
    let is_before_routing = |point| point == Point::Prerouting;
    let mut mark = packet.mark;
    let mut output = None;
    for section in passage.sections() {
        if !is_before_routing(section.point()) && output.is_none() {
            output = Some(way(drop, Query { mark, ..packet.query() }, packet, context)?);
        }
        let holds = section.seen().holds_for_new(packet, mark, output, context.routing);
        if !holds {
            return None;
        }
        mark = section.mark().unwrap_or(mark);
    }
    Some(())
}

/// The port by which a packet would leave, if it would be forwarded without a word.
fn way(drop: &Drop, query: Query, packet: &Packet, context: &Context<'_>) -> Option<PortId> {
    let way = context.ways.get(drop.kept.way()?)?;
    let judgement = way.judge(drop.kept.stamp(), context.routing, &query, Trust::Generation);
    if matches!(judgement, Judgement::Stale(_)) || way.redirect || packet.header.ttl <= 1 {
        return None;
    }
    let mtu = match (context.routing.ports().get(way.hop.port).mtu, way.hop.route_mtu) {
        (port, 0) => port,
        (port, route) => port.min(route),
    };
    let fits = packet.wire_length() <= mtu as usize;
    (fits && matches!(packet.family(), Family::Ipv4 | Family::Ipv6)).then_some(way.hop.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use conntrack::Ids;

    fn name(number: u32) -> Name {
        let ids = Ids { source: number as u16, destination: (number >> 16) as u16 };
        let tuple = Tuple::between([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, ids);
        Name { tuple, input: PortId(0), mark: 0 }
    }

    fn drop(passage: u32) -> Drop {
        Drop { passage, kept: Kept::NOTHING, is_plain: true }
    }

    #[test]
    fn a_drop_is_remembered_for_a_moment_and_for_packets_just_like_it() {
        let mut table = Negative::default();
        let now = Instant::from_secs(5);
        assert_eq!((table.find(&name(1), now), table.memory()), (None, 0));
        table.keep(name(1), drop(7), now);
        assert_eq!(table.find(&name(1), now + LIFE / 2), Some(drop(7)));
        assert_eq!(table.find(&name(1), now + LIFE), None);
        assert_eq!(table.find(&Name { mark: 1, ..name(1) }, now), None);
        assert_eq!(table.find(&Name { input: PortId(1), ..name(1) }, now), None);
        table.keep(name(1), drop(8), now);
        assert_eq!((table.find(&name(1), now), table.used()), (Some(drop(8)), 1));
        table.follow(1);
        assert_eq!((table.find(&name(1), now), table.used()), (None, 0));
    }

    #[test]
    fn places_of_drops_that_have_ended_are_free_again() {
        let mut table = Negative::default();
        let now = Instant::from_secs(5);
        assert_eq!(table.tend(now), None);
        table.keep(name(1), drop(7), now);
        assert_eq!((table.tend(now), table.used()), (Some(now + LIFE), 1));
        table.keep(name(2), drop(7), now + LIFE / 2);
        assert_eq!((table.tend(now + LIFE), table.used()), (Some(now + LIFE * 2), 1));
        assert_eq!((table.tend(now + LIFE * 2), table.used()), (None, 0));
    }

    #[test]
    fn however_many_there_are_the_latest_is_there_and_no_more_room_is_taken() {
        let mut table = Negative::default();
        table.keep(name(0), drop(1), Instant::from_secs(1));
        let memory = table.memory();
        for number in 1..100_000_u32 {
            let now = Instant::from_secs(1) + Duration::from_micros(number.into());
            table.keep(name(number), drop(number), now);
            assert_eq!(table.find(&name(number), now), Some(drop(number)));
        }
        assert_eq!(table.memory(), memory);
        let held = table.used() as usize;
        assert!(held > DROPS_MAX * 9 / 10, "places are used evenly: {held}");
    }
}
