//! Plays sequences on both sides, compares, and makes what differs small.

use std::fmt::{self, Display, Formatter};

use anyhow::Result;

use super::flow::Seen;
use super::kernel::{BATCH_MAX, Kernel, Played};
use super::mode::{Mode, USUAL};
use super::ours;
use super::sequence::Sequence;
use super::shrink;

/// Both sides, ready to play.
pub struct Judge {
    kernel: Kernel,
    mode: Mode,
    /// What our side is told of the mode, if not the truth.
    pretended: Option<Mode>,
}

/// A sequence in which the two sides differ, or do not although they should.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The sequence, made as short as can be; as a text it is a fixture.
    pub sequence: Sequence,
    /// Name of the mode.
    pub mode: &'static str,
    /// The first step that differs, and what each side saw; `None` if a difference that is meant is not there any more.
    pub at: Option<(usize, Seen, Seen)>,
}

impl Judge {
    /// Makes both sides ready, with Linux's defaults.
    ///
    /// # Errors
    /// The lab cannot be built.
    pub fn new() -> Result<Self> {
        let mut judge = Self { kernel: Kernel::new()?, mode: USUAL, pretended: None };
        judge.set(USUAL)?;
        Ok(judge)
    }

    /// Changes to another mode on both sides.
    ///
    /// # Errors
    /// The kernel lacks a switch.
    pub fn set(&mut self, mode: Mode) -> Result<()> {
        self.mode = mode;
        self.kernel.set(&mode)
    }

    /// Lets our side believe in another mode, so that there are differences to be found.
    pub fn pretend(&mut self, mode: Mode) {
        self.pretended = Some(mode);
    }

    /// Plays sequences and returns how many were played in this mode, and those that are not as they should be. Of
    /// these at most `shrunk_max` are made small.
    ///
    /// # Errors
    /// The kernel does not forward any more.
    pub fn judge(&mut self, sequences: &[Sequence], shrunk_max: usize) -> Result<(usize, Vec<Difference>)> {
        let mode = self.mode.name;
        let meant = |sequence: &&Sequence| sequence.mode.as_deref().is_none_or(|only| only == mode);
        let (patient, quick): (Vec<_>, Vec<_>) =
            sequences.iter().filter(meant).partition(|sequence| sequence.waits());
        let mut found = Vec::new();
        for batch in quick.chunks(BATCH_MAX).chain(patient.chunks(BATCH_MAX)) {
            for (sequence, at) in batch.iter().zip(self.differences(batch)?) {
                if at.is_some() == sequence.deviation.is_some() {
                    continue;
                }
                let difference = Difference { sequence: (*sequence).clone(), mode, at };
                found.push(if found.len() < shrunk_max && difference.at.is_some() {
                    shrink::shrink(self, difference)?
                } else {
                    difference
                });
            }
        }
        Ok((quick.len() + patient.len(), found))
    }

    /// What each side saw, step by step: the kernel's first.
    ///
    /// # Errors
    /// The kernel does not forward any more.
    pub fn trace(&mut self, sequence: &Sequence) -> Result<Vec<(Seen, Seen)>> {
        let steps = self.play(&[sequence])?.swap_remove(0);
        Ok(steps.into_iter().map(|(kernel, ours)| (kernel.seen, ours)).collect())
    }

    /// Where each of at most [`BATCH_MAX`] sequences differs first, and what was seen there.
    pub(super) fn differences(&mut self, batch: &[&Sequence]) -> Result<Vec<Option<(usize, Seen, Seen)>>> {
        let first = |steps: Vec<(Played, Seen)>| {
            let unlike = |(kernel, ours): &(Played, Seen)| !kernel.seen.is_like(ours, kernel.slack);
            let (step, (kernel, ours)) = steps.into_iter().enumerate().find(|(_, step)| unlike(step))?;
            Some((step, kernel.seen, ours))
        };
        Ok(self.play(batch)?.into_iter().map(first).collect())
    }

    /// What both sides saw of each sequence.
    fn play(&mut self, batch: &[&Sequence]) -> Result<Vec<Vec<(Played, Seen)>>> {
        let kernel = self.kernel.play(batch)?;
        let mode = self.pretended.unwrap_or(self.mode);
        let ours = ours::play(batch, kernel.number, &mode, &kernel.played);
        let both = kernel.played.into_iter().zip(ours);
        Ok(both.map(|(kernel, ours)| kernel.into_iter().zip(ours).collect()).collect())
    }
}

impl Display for Difference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.sequence)?;
        let Some((step, kernel, ours)) = &self.at else {
            return writeln!(formatter, "  mode {}: both do the same, which is not what is meant", self.mode);
        };
        writeln!(
            formatter,
            "  mode {}: differs at step {} `{}`",
            self.mode,
            step + 1,
            self.sequence.steps[*step]
        )?;
        writeln!(formatter, "    kernel: {kernel}")?;
        writeln!(formatter, "    ours:   {ours}")
    }
}
