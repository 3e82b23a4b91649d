//! Gathers the pieces of fragmented datagrams, so that rules and trackers see whole packets (`nf_defrag_ipv4`,
//! `nf_conntrack_reasm`).
//!
//! Pieces are held until their datagram is complete, then come back as one, with what is needed to cut it up again as it
//! was. Everything is bounded: memory, time, and how far the pieces of a datagram may lie apart in the stream.

mod partial;
mod piece;

use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use self::partial::{Partial, Refused};
use self::piece::{Key, NoPiece, Piece};
use crate::expiry::Schedule;
use crate::packet::Datagram;
use crate::time::Instant;
use crate::tuple::Family;

/// Bounds of a [`Gather`]; the defaults are Linux's.
#[derive(Clone, Copy, Debug)]
pub struct GatherConfig {
    /// Secret of the hash; random, or fixed in a test.
    pub seed: [u64; 2],
    /// Bytes that may be held for each family (4 MiB, `ipfrag_high_thresh`): when more are, new pieces are dropped. Each
    /// piece counts with what an `sk_buff` takes besides its data.
    pub bytes_max: usize,
    /// How long the pieces of an IPv4 datagram are waited for (30 s, `ipfrag_time`).
    pub timeout_ipv4: Duration,
    /// How long the pieces of an IPv6 datagram are waited for (60 s, `nf_conntrack_frag6_timeout`).
    pub timeout_ipv6: Duration,
    /// Pieces that one IPv4 source may send between two of one datagram (64, `ipfrag_max_dist`), or else its id has
    /// wrapped and they do not belong together. 0: any number.
    pub distance_max: u32,
}

impl Default for GatherConfig {
    fn default() -> Self {
        Self {
            seed: [0, 0],
            bytes_max: 4 << 20,
            timeout_ipv4: Duration::from_secs(30),
            timeout_ipv6: Duration::from_secs(60),
            distance_max: 64,
        }
    }
}

/// Holds the pieces of datagrams that are not complete yet. One for each worker.
pub struct Gather {
    config: GatherConfig,
    families: [Held; 2],
    sources: Sources,
    datagram: Vec<u8>,
    pieces: Vec<u16>,
    stats: GatherStats,
}

/// What became of a packet handed to [`Gather::push`].
#[derive(Debug, PartialEq, Eq)]
pub enum Gathered<'a> {
    /// It goes on as it is: it is whole, or one of the broken IPv6 pieces that Linux lets pass ungathered (a first piece
    /// without the whole transport header, a piece that ends between two multiples of eight).
    NotFragment,
    /// It is held until the rest has come.
    Held,
    /// It is of no use.
    Dropped(FragmentDrop),
    /// It was the last piece that was missing.
    Complete(Assembled<'a>),
}

/// A datagram put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assembled<'a> {
    /// The whole datagram, from the network header on. Header fields are as Linux leaves them: lengths and IPv4 checksum
    /// are right, ECN is congested if any piece was, the IPv6 fragment header is gone.
    pub bytes: &'a [u8],
    /// Length of the header that each piece needs; payload follows it.
    pub header: usize,
    /// Payload bytes of each piece, in order of position: cut like this, it leaves as it came.
    pub pieces: &'a [u16],
    /// Size of the largest piece with its header (`frag_max_size`): no larger one may leave.
    pub piece_max: usize,
    /// Whether the largest piece bore DF (`IPSKB_FRAG_PMTU`); `bytes` bears it then.
    pub dont_fragment: bool,
    /// The pieces' identification.
    pub identification: u32,
}

macro_rules! fragment_drops {
    ($($(#[$documentation:meta])+ $variant:ident = $name:literal,)+) => {
        /// Why a piece was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FragmentDrop {
            $($(#[$documentation])+ $variant,)+
        }

        impl FragmentDrop {
            /// Every reason, in the order of [`GatherStats::dropped`].
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Name for counters.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

fragment_drops! {
    /// All of it was there already. The datagram goes on waiting.
    Duplicate = "duplicate",
    /// It overlaps another piece in part (RFC 5722). The whole datagram is given up.
    Overlap = "overlap",
    /// It contradicts what is known of the datagram's end, or has no payload. The IPv4 datagram is given up; an IPv6 one
    /// goes on waiting.
    Length = "length",
    /// The datagram would be longer than 65,535 bytes.
    TooLong = "too_long",
    /// Its pieces disagree on ECN in a way that only an attack can explain (RFC 3168 section 5.3).
    Ecn = "ecn",
    /// Too much is held already.
    Memory = "memory",
    /// The fragment header is cut off.
    Truncated = "truncated",
}

/// Counters of a [`Gather`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatherStats {
    /// Pieces handed in.
    pub pieces: u64,
    /// Datagrams put together.
    pub completed: u64,
    /// Pieces dropped, by [`FragmentDrop::ALL`].
    pub dropped: [u64; FragmentDrop::ALL.len()],
    /// Datagrams whose missing pieces did not come in time.
    pub timed_out: u64,
    /// Datagrams begun anew because their pieces lay too far apart.
    pub restarted: u64,
}

impl Gather {
    /// Nothing held yet.
    #[must_use]
    pub fn new(config: GatherConfig) -> Self {
        Self {
            config,
            families: [Held::new(), Held::new()],
            sources: Sources::new(config.seed),
            datagram: Vec::new(),
            pieces: Vec::new(),
            stats: GatherStats::default(),
        }
    }

    /// Takes a packet as it came in by the port with number `input`, its headers checked as for forwarding.
    pub fn push(&mut self, datagram: &Datagram<'_>, input: u32, now: Instant) -> Gathered<'_> {
        let piece = match Piece::of(datagram, input) {
            Ok(piece) => piece,
            Err(NoPiece::Whole) => return Gathered::NotFragment,
            Err(NoPiece::Dropped(reason)) => {
                self.stats.pieces += 1;
                return self.dropped(reason);
            }
        };
        self.stats.pieces += 1;
        let family = datagram.family;
        if self.families[family.index()].bytes > self.config.bytes_max {
            return self.dropped(FragmentDrop::Memory);
        }
        let slot = self.find_or_begin(family, &piece, now);
        self.keep_distance(family, slot, &piece, now);

        let held = &mut self.families[family.index()];
        let partial = held.partial(slot);
        let before = partial.bytes();
        let added = partial.add(&piece, family);
        let after = partial.bytes();
        held.bytes = held.bytes - before + after;
        match added {
            Ok(false) => Gathered::Held,
            Ok(true) => self.complete(family, slot),
            Err(Refused::Piece(reason)) => self.dropped(reason),
            Err(Refused::Datagram(reason)) => {
                self.remove(family, slot);
                self.dropped(reason)
            }
            Err(Refused::Misaligned) => {
                self.remove(family, slot);
                Gathered::NotFragment
            }
        }
    }

    /// Gives up datagrams whose time is over, looking at no more than `budget`; returns how many.
    pub fn expire(&mut self, now: Instant, budget: usize) -> usize {
        let mut budget = budget;
        let mut ended = Vec::new();
        for family in Family::ALL {
            let held = &mut self.families[family.index()];
            held.partials.advance(
                now,
                &mut budget,
                |partial| partial.deadline,
                |partial| ended.push((family, partial.key)),
            );
        }
        let mut given_up = 0;
        for (family, key) in &ended {
            let held = &self.families[family.index()];
            // One that ended in a round which is finished here may have been met in the next round, too.
            let Some(slot) = held.find(self.sources.hash(key), key) else { continue };
            self.remove(*family, slot);
            given_up += 1;
        }
        self.stats.timed_out += given_up as u64;
        given_up
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> &GatherStats {
        &self.stats
    }

    /// Bytes held for `family`, as counted towards [`GatherConfig::bytes_max`].
    #[must_use]
    pub const fn bytes(&self, family: Family) -> usize {
        self.families[family.index()].bytes
    }

    /// Datagrams of `family` that wait for pieces.
    #[must_use]
    pub const fn len(&self, family: Family) -> usize {
        self.families[family.index()].partials.len()
    }

    /// Whether nothing of `family` is held.
    #[must_use]
    pub const fn is_empty(&self, family: Family) -> bool {
        self.len(family) == 0
    }

    fn dropped(&mut self, reason: FragmentDrop) -> Gathered<'_> {
        self.stats.dropped[reason as usize] += 1;
        Gathered::Dropped(reason)
    }

    /// The slot of the datagram that a piece belongs to.
    fn find_or_begin(&mut self, family: Family, piece: &Piece<'_>, now: Instant) -> u32 {
        let hash = self.sources.hash(&piece.key);
        let held = &mut self.families[family.index()];
        if let Some(slot) = held.find(hash, &piece.key) {
            if held.partial(slot).deadline > now {
                return slot;
            }
            self.remove(family, slot);
            self.stats.timed_out += 1;
        }
        let timeout = match family {
            Family::Ipv4 => self.config.timeout_ipv4,
            Family::Ipv6 => self.config.timeout_ipv6,
        };
        let deadline = now + timeout;
        let partial = Partial::new(piece.key, deadline, self.sources.enter(family, &piece.key));
        let held = &mut self.families[family.index()];
        held.bytes += partial.bytes();
        let slot = held.partials.insert(partial, deadline, now);
        held.index.insert_unique(hash, (hash, slot), |(hash, _)| *hash);
        slot
    }

    /// Begins an IPv4 datagram anew if its source has sent too many other pieces since the last one (`ip_frag_too_far`).
    fn keep_distance(&mut self, family: Family, slot: u32, piece: &Piece<'_>, now: Instant) {
        if family != Family::Ipv4 || self.config.distance_max == 0 {
            return;
        }
        let sent = self.sources.count(&piece.key);
        let held = &mut self.families[family.index()];
        let partial = held.partial(slot);
        let distance = sent.wrapping_sub(partial.sent_before);
        partial.sent_before = sent;
        if distance > self.config.distance_max && !partial.is_empty() {
            let before = partial.bytes();
            partial.restart(now + self.config.timeout_ipv4);
            let after = partial.bytes();
            held.bytes = held.bytes - before + after;
            self.stats.restarted += 1;
        }
    }

    fn complete(&mut self, family: Family, slot: u32) -> Gathered<'_> {
        let partial = self.remove(family, slot);
        match partial.assemble(family, &mut self.datagram, &mut self.pieces) {
            Ok(whole) => {
                self.stats.completed += 1;
                Gathered::Complete(Assembled {
                    bytes: &self.datagram,
                    header: whole.header,
                    pieces: &self.pieces,
                    piece_max: whole.piece_max,
                    dont_fragment: whole.dont_fragment,
                    identification: partial.key.identification,
                })
            }
            Err(reason) => self.dropped(reason),
        }
    }

    fn remove(&mut self, family: Family, slot: u32) -> Partial {
        let held = &mut self.families[family.index()];
        let partial = held.partials.remove(slot);
        let hash = self.sources.hash(&partial.key);
        let Ok(entry) = held.index.find_entry(hash, |(_, other)| *other == slot) else {
            panic!("what is held stands in the index");
        };
        entry.remove();
        held.bytes -= partial.bytes();
        self.sources.leave(family, &partial.key);
        partial
    }
}

impl fmt::Debug for Gather {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gather").field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// What is held of one family.
struct Held {
    partials: Schedule<Partial>,
    /// Hash and slot of each.
    index: HashTable<(u64, u32)>,
    bytes: usize,
}

impl Held {
    fn new() -> Self {
        Self { partials: Schedule::new(0), index: HashTable::new(), bytes: 0 }
    }

    fn find(&self, hash: u64, key: &Key) -> Option<u32> {
        let same =
            |entry: &(u64, u32)| self.partials.get(entry.1 as usize).is_some_and(|held| held.key == *key);
        self.index.find(hash, same).map(|(_, slot)| *slot)
    }

    fn partial(&mut self, slot: u32) -> &mut Partial {
        self.partials.get_mut(slot).expect("the index names occupied slots")
    }
}

/// How many pieces each IPv4 source has sent, while anything of it is held.
struct Sources {
    hasher: Seeded,
    sent: std::collections::HashMap<[u8; 16], Source, Seeded>,
}

struct Source {
    pieces: u32,
    datagrams: usize,
}

impl Sources {
    fn new(seed: [u64; 2]) -> Self {
        let hasher = Seeded(seed);
        Self { hasher, sent: std::collections::HashMap::with_hasher(hasher) }
    }

    fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }

    /// A datagram of this source is held from now on; returns how many pieces the source has sent before.
    fn enter(&mut self, family: Family, key: &Key) -> u32 {
        if family != Family::Ipv4 {
            return 0;
        }
        let source = self.sent.entry(key.addresses.source).or_insert(Source { pieces: 0, datagrams: 0 });
        source.datagrams += 1;
        source.pieces
    }

    /// One more piece; returns how many.
    fn count(&mut self, key: &Key) -> u32 {
        let source = self.sent.get_mut(&key.addresses.source).expect("counted while something of it is held");
        source.pieces = source.pieces.wrapping_add(1);
        source.pieces
    }

    /// A datagram of this source is no longer held.
    fn leave(&mut self, family: Family, key: &Key) {
        if family != Family::Ipv4 {
            return;
        }
        let Entry::Occupied(mut source) = self.sent.entry(key.addresses.source) else {
            panic!("counted while something of it is held");
        };
        source.get_mut().datagrams -= 1;
        if source.get().datagrams == 0 {
            source.remove();
        }
    }
}

/// Makes keyed hashers.
#[derive(Clone, Copy)]
struct Seeded([u64; 2]);

impl BuildHasher for Seeded {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests;
