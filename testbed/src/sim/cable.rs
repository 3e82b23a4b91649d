//! Links of the simulated ground: frames take time, get lost, come twice, overtake each other, or meet a cut.

use std::time::Duration;

use fastrand::Rng;

/// What happens to frames on a link, each direction alike. Chances are between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Chance that a frame is lost.
    pub loss: f64,
    /// Chance that a frame arrives twice.
    pub duplication: f64,
    /// Chance that a frame takes up to [`Self::detour`] longer, so that others overtake it.
    pub reordering: f64,
    /// Time from end to end.
    pub delay: Duration,
    /// The most that a reordered frame takes longer.
    pub detour: Duration,
}

impl Faults {
    /// A sound link.
    pub const NONE: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        reordering: 0.0,
        delay: Duration::from_micros(200),
        detour: Duration::from_millis(3),
    };

    /// 5 % each of frames are lost, come twice, or are overtaken.
    pub const ROUGH: Self = Self { loss: 0.05, duplication: 0.05, reordering: 0.05, ..Self::NONE };
}

/// A link's state, and its own source of chance, so that traffic elsewhere does not change its fortune.
#[derive(Debug)]
pub(super) struct Cable {
    pub(super) faults: Faults,
    pub(super) whole: bool,
    random: Rng,
    /// Frames that were lost by chance or by a cut.
    pub(super) lost: u64,
}

impl Cable {
    pub(super) fn new(faults: Faults, seed: u64) -> Self {
        Self { faults, whole: true, random: Rng::with_seed(seed), lost: 0 }
    }

    /// How long each copy of a frame takes that is put on the link now; none if it is lost.
    pub(super) fn fate(&mut self) -> Vec<Duration> {
        let lost = self.chance(self.faults.loss);
        if lost || !self.whole {
            self.lost += 1;
            return Vec::new();
        }
        let copies = if self.chance(self.faults.duplication) { 2 } else { 1 };
        (0..copies).map(|_| self.faults.delay + self.detour()).collect()
    }

    fn detour(&mut self) -> Duration {
        if self.chance(self.faults.reordering) {
            self.faults.detour.mul_f64(self.random.f64())
        } else {
            Duration::ZERO
        }
    }

    /// Draws a number whether or not it matters, so that the run does not depend on which faults are switched on.
    fn chance(&mut self, probability: f64) -> bool {
        self.random.f64() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(faults: Faults, seed: u64) -> Vec<Vec<Duration>> {
        let mut cable = Cable::new(faults, seed);
        (0..10_000).map(|_| cable.fate()).collect()
    }

    #[test]
    fn a_sound_link_delivers_each_frame_once_and_on_time() {
        assert!(fates(Faults::NONE, 1).iter().all(|fate| *fate == [Faults::NONE.delay]));
    }

    #[test]
    fn faults_are_as_frequent_as_they_are_said_to_be() {
        let fates = fates(Faults::ROUGH, 1);
        let share = |count: usize| count as f64 / 10_000.0;
        let lost = share(fates.iter().filter(|fate| fate.is_empty()).count());
        let twice = share(fates.iter().filter(|fate| fate.len() == 2).count());
        let late = share(fates.iter().flatten().filter(|time| **time > Faults::ROUGH.delay).count());
        for share in [lost, twice, late] {
            assert!((0.035..0.065).contains(&share), "{lost} {twice} {late}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        assert_eq!(fates(Faults::ROUGH, 7), fates(Faults::ROUGH, 7));
        assert_ne!(fates(Faults::ROUGH, 7), fates(Faults::ROUGH, 8));
    }

    #[test]
    fn nothing_crosses_a_cut() {
        let mut cable = Cable::new(Faults::NONE, 1);
        cable.whole = false;
        assert_eq!(cable.fate(), []);
        assert_eq!(cable.lost, 1);
    }
}
