//! Routes of packets without a flow: what is not tracked, or not followed, need not be looked up each time either.
//!
//! Each worker has a table of its own, of fixed size. A question has two places, chosen by a keyed hash; a new answer
//! takes the place of the older of the two. Answers are believed by the rule for flows ([`fib::cache::Way::judge`]).

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use fib::adjacency::PortId;
use fib::cache::{Judgement, Stamp, Trust, Way};
use fib::snapshot::{Query, Snapshot};

use crate::flow::Kept;
use crate::interned::Interned;
use crate::stats::Counters;

/// Answers that a worker keeps.
pub const PLACES: usize = 8_192;

/// Memory of a worker's table, in bytes. It is made with the first answer.
pub const TABLE_BYTES: usize = PLACES * size_of::<Place>();

/// Places that a question may have.
const PLACES_PER_QUESTION: usize = 2;

/// One worker's table.
pub(super) struct Untracked {
    /// Made when it is first needed: most routers track everything.
    places: Box<[Place]>,
    hasher: RandomState,
    /// Whose numbers the answers bear.
    ways: Arc<Interned<Way>>,
    used: u64,
    flushes: u64,
}

#[derive(Clone, Copy)]
struct Place {
    question: Question,
    kept: Kept,
}

impl Place {
    const EMPTY: Self = Self { question: Question::NONE, kept: Kept::NOTHING };
}

/// A question, small and quickly hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    destination: IpAddr,
    source: IpAddr,
    input: Option<PortId>,
    mark: u32,
    ports: (u16, u16),
    protocol: u8,
    tos: u8,
}

impl Question {
    const NONE: Self = Self {
        destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        input: None,
        mark: 0,
        ports: (0, 0),
        protocol: 0,
        tos: 0,
    };

    const fn of(query: &Query) -> Self {
        Self {
            destination: query.destination,
            source: query.source,
            input: query.input,
            mark: query.mark,
            ports: (query.source_port, query.destination_port),
            protocol: query.protocol,
            tos: query.tos,
        }
    }
}

impl Untracked {
    pub(super) fn new(ways: Arc<Interned<Way>>) -> Self {
        Self { places: Box::default(), hasher: RandomState::new(), ways, used: 0, flushes: 0 }
    }

    /// Forgets everything if ways have got other numbers, or the user has asked for it since: `flushes` counts how often.
    pub(super) fn follow(&mut self, ways: &Arc<Interned<Way>>, flushes: u64) {
        if !Arc::ptr_eq(&self.ways, ways) || self.flushes != flushes {
            self.ways = ways.clone();
            self.flushes = flushes;
            self.used = 0;
            self.places.fill(Place::EMPTY);
        }
    }

    /// Answers kept now.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// The way of a packet that asks this, if it was asked before and still holds.
    pub(super) fn recall(
        &mut self,
        query: &Query,
        routing: &Snapshot,
        trust: Trust,
        counters: &Counters,
    ) -> Option<Way> {
        let question = Question::of(query);
        let at = self.find(&question)?;
        let place = &mut self.places[at];
        let way = self.ways.get(place.kept.way()?)?;
        match way.judge(place.kept.stamp(), routing, query, trust) {
            Judgement::Good => {}
            Judgement::Unaffected | Judgement::KeptByPolicy => {
                counters.untracked_cache_unaffected.raise();
                place.kept = Kept::new(place.kept.way()?, Stamp::of(routing.generation()));
            }
            Judgement::Stale(_) => {
                counters.untracked_cache_revalidated.raise();
                place.kept = Kept::NOTHING;
                self.used -= 1;
                return None;
            }
        }
        counters.untracked_cache_hits.raise();
        Some(*way)
    }

    /// Keeps the way of packets that ask this.
    pub(super) fn keep(&mut self, query: &Query, mut way: Way, stamp: Stamp) {
        if self.places.is_empty() {
            self.places = vec![Place::EMPTY; PLACES].into();
        }
        let question = Question::of(query);
        // To stay in spite of changes is for established flows.
        way.keep = false;
        let Some(number) = self.ways.number(way) else { return };
        let first = self.first_place(&question);
        let mine = first..first + PLACES_PER_QUESTION;
        let is_free = |place: &Place| place.kept == Kept::NOTHING;
        let here = &mut self.places[mine];
        let chosen = here.iter().position(|place| place.question == question);
        let chosen = chosen.or_else(|| here.iter().position(is_free)).unwrap_or_else(|| {
            // What was asked last stands first.
            here.rotate_right(1);
            0
        });
        self.used += u64::from(is_free(&here[chosen]));
        here[chosen] = Place { question, kept: Kept::new(number, stamp) };
    }

    fn find(&self, question: &Question) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let first = self.first_place(question);
        (first..first + PLACES_PER_QUESTION).find(|place| {
            let place = &self.places[*place];
            place.kept != Kept::NOTHING && place.question == *question
        })
    }

    fn first_place(&self, question: &Question) -> usize {
        let groups = PLACES / PLACES_PER_QUESTION;
        (self.hasher.hash_one(question) % groups as u64) as usize * PLACES_PER_QUESTION
    }
}

const _: () = assert!(PLACES.is_multiple_of(PLACES_PER_QUESTION));
