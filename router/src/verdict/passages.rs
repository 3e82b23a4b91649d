//! The passages of some chains, under numbers that flows remember.

use super::{Passage, Recording};
use crate::interned::Interned;

/// Most passages of the present chains.
pub const PASSAGES_MAX: u32 = 65_536;

/// Numbers that stand for no passage: a flow's packets are not to be recorded in a state.
const MARKERS: u32 = 2;

/// What rules have made of packets since the present chains are in force.
#[derive(Debug)]
pub struct Passages {
    first: u32,
    kept: Interned<Passage>,
}

/// What a number stands for.
#[derive(Debug)]
pub enum Known<'a> {
    /// Nothing, or something of chains that are gone.
    Nothing,
    /// Packets of the flow are not to be recorded while they are new, or once they are established.
    Unfit {
        /// Which.
        established: bool,
    },
    /// A passage.
    Passage(&'a Passage),
}

impl Default for Passages {
    fn default() -> Self {
        Self::from_number(1)
    }
}

impl Passages {
    /// None yet, under numbers from `first` on. Where numbers end, fewer are kept.
    #[must_use]
    pub fn from_number(first: u32) -> Self {
        let values = first.saturating_add(MARKERS);
        Self { first, kept: Interned::new(values, PASSAGES_MAX.min(u32::MAX - values)) }
    }

    /// None yet, for the chains that follow. None of these is kept from here on, and all numbers lie below the new ones.
    #[must_use]
    pub fn followed(&self) -> Self {
        Self::from_number(self.kept.close())
    }

    /// What a flow's number stands for.
    #[must_use]
    pub fn find(&self, number: u32) -> Known<'_> {
        if let Some(passage) = self.kept.get(number) {
            return Known::Passage(passage);
        }
        match number.checked_sub(self.first) {
            Some(marker) if marker < MARKERS => Known::Unfit { established: marker == 1 },
            _ => Known::Nothing,
        }
    }

    /// The passage under a number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Passage> {
        self.kept.get(number)
    }

    /// The number that says of a flow that its packets are not to be recorded while they are new, or once they are
    /// established.
    #[must_use]
    pub const fn unfit(&self, established: bool) -> u32 {
        self.first.saturating_add(established as u32)
    }

    /// Keeps what was recorded; its number, or `None` if there is no room, or other chains are in force. Allocates for
    /// what is new only.
    pub fn keep(&self, recording: &Recording) -> Option<u32> {
        self.kept.number_of(recording, || recording.passage())
    }

    /// Adds what was counted to the counters, so that they are right when they are read.
    pub fn fold(&self) {
        self.kept.iter().for_each(Passage::fold);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.kept.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many there may be.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.kept.capacity()
    }

    /// How many found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.kept.refused()
    }

    /// Bytes of memory they take, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.kept.iter().map(Passage::memory).sum()
    }
}
