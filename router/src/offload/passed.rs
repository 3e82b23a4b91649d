//! What rules make of packets that they are not shown: what is counted, and what that rests on.

use std::fmt;
use std::sync::Arc;

use crate::chain::Chains;
use crate::engine::Packet;
use crate::verdict::{End, Passage, Passages, Passing, What};

/// What all rules behind tracking make of the packets of a rewrite: they let them pass and count them.
#[derive(Clone)]
pub struct Passed {
    passages: Arc<Passages>,
    /// `None` where there are no rules.
    number: Option<u32>,
}

impl Passed {
    /// What rules make of packets like one that has come past them all. `None`: that is not remembered.
    pub(super) fn of(packet: &Packet, chains: &Chains) -> Option<Self> {
        let passages = chains.passages();
        let number = match packet.passing {
            Passing::Recalled { passage, next } => {
                let remembered = passages.get(passage)?;
                let is_whole = remembered.sections().len() == usize::from(next);
                (is_whole && remembered.end() == End::Passed).then_some(Some(passage))?
            }
            Passing::Judged | Passing::Recorded(_) if chains.walked(packet.family()).unremembered => {
                return None;
            }
            Passing::Judged | Passing::Recorded(_) => None,
        };
        Some(Self { passages: passages.clone(), number })
    }

    /// The passage, if there are rules.
    #[must_use]
    pub fn passage(&self) -> Option<&Passage> {
        self.passages.get(self.number?)
    }

    /// Counts packets in all counters that would have counted them.
    pub fn count(&self, packets: u64, bytes: u64) {
        if let Some(passage) = self.passage() {
            passage.count(packets, bytes);
        }
    }

    /// Whether rules have looked at what the TOS says of a packet.
    pub(super) fn rests_on_tos(&self) -> bool {
        let looked = |passage: &Passage| {
            passage.sections().iter().any(|section| section.seen().what.contains(What::PRIORITY))
        };
        self.passage().is_some_and(looked)
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Passed").field("number", &self.number).finish_non_exhaustive()
    }
}
