//! What the user has said of what is remembered of flows, kind by kind.

use std::sync::atomic::{AtomicU32, Ordering};

use fib::cache::Trust;

/// What is done with one kind of what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlowCache {
    /// Kept and used.
    On = 0,
    /// Neither kept nor used.
    Off = 1,
    /// Kept, and trusted whatever becomes of the routing state. Of kinds that are no routes: as `On`.
    Hold = 2,
}

impl FlowCache {
    /// How far kept routes are trusted; `None`: they are neither kept nor used.
    #[must_use]
    pub const fn trust(self) -> Option<Trust> {
        match self {
            Self::On => Some(Trust::Generation),
            Self::Hold => Some(Trust::Hold),
            Self::Off => None,
        }
    }
}

/// A kind of what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Routes of tracked flows.
    Route = 0,
    /// What rules have made of tracked flows.
    Verdict = 1,
    /// Drops of packets that would have begun a flow.
    Negative = 2,
    /// Routes of packets without a flow.
    Untracked = 3,
}

impl Kind {
    /// All kinds, in the order of their indices.
    pub const ALL: [Self; 4] = [Self::Route, Self::Verdict, Self::Negative, Self::Untracked];

    /// The word users read and write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Verdict => "verdict",
            Self::Negative => "negative",
            Self::Untracked => "untracked",
        }
    }
}

/// What is in force for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes([FlowCache; Kind::ALL.len()]);

impl Modes {
    /// The same for all kinds.
    #[must_use]
    pub const fn all(mode: FlowCache) -> Self {
        Self([mode; Kind::ALL.len()])
    }

    /// What is in force for a kind.
    #[must_use]
    pub const fn of(self, kind: Kind) -> FlowCache {
        self.0[kind as usize]
    }

    /// The same with another mode for one kind.
    #[must_use]
    pub const fn with(mut self, kind: Kind, mode: FlowCache) -> Self {
        self.0[kind as usize] = mode;
        self
    }

    /// Whether a kind is kept and used.
    #[must_use]
    pub const fn uses(self, kind: Kind) -> bool {
        !matches!(self.of(kind), FlowCache::Off)
    }
}

/// Modes that control sets and workers read once a turn.
#[derive(Debug)]
pub(super) struct Switches(AtomicU32);

impl Switches {
    pub(super) fn new(modes: Modes) -> Self {
        Self(AtomicU32::new(pack(modes)))
    }

    pub(super) fn get(&self) -> Modes {
        let word = self.0.load(Ordering::Relaxed).to_le_bytes();
        Modes(word.map(|mode| match mode {
            1 => FlowCache::Off,
            2 => FlowCache::Hold,
            _ => FlowCache::On,
        }))
    }

    pub(super) fn set(&self, modes: Modes) {
        self.0.store(pack(modes), Ordering::Relaxed);
    }
}

fn pack(modes: Modes) -> u32 {
    u32::from_le_bytes(modes.0.map(|mode| mode as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_switch_of_its_own() {
        let switches = Switches::new(Modes::all(FlowCache::On));
        let modes = switches.get().with(Kind::Verdict, FlowCache::Off).with(Kind::Untracked, FlowCache::Hold);
        switches.set(modes);
        assert_eq!(switches.get(), modes);
        let in_force = Kind::ALL.map(|kind| switches.get().of(kind));
        assert_eq!(in_force, [FlowCache::On, FlowCache::Off, FlowCache::On, FlowCache::Hold]);
        assert_eq!(Kind::ALL.map(|kind| switches.get().uses(kind)), [true, false, true, true]);
    }
}
