//! A queue's numbers, which outlive the programs that listen there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::Listener;

/// A queue that a program has bound, or that packets were sent to.
#[derive(Debug)]
pub struct Record {
    /// Number of the queue.
    pub number: u16,
    /// What has become of its packets since routerd started.
    pub numbers: Arc<Numbers>,
    listener: ArcSwapOption<Listener>,
    /// How many of the lost ones have been told of, dropped and unjudged.
    told: [AtomicU64; 2],
}

macro_rules! numbers {
    ($($(#[$doc:meta])+ $field:ident,)+) => {
        /// What has become of a queue's packets.
        #[derive(Debug, Default)]
        pub struct Numbers {
            $($(#[$doc])+ pub $field: AtomicU64,)+
        }

        impl Numbers {
            /// Names and numbers, in a fixed order.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field.load(Ordering::Relaxed)),)+].into_iter()
            }
        }
    };
}

numbers! {
    /// Put into the queue.
    queued,
    /// Given to its program.
    given,
    /// Let go on by the program, by whichever verdict.
    accepted,
    /// Dropped by it.
    dropped,
    /// Of the accepted those that it has changed.
    changed,
    /// Dropped because what it had made of them was no packet.
    malformed,
    /// Messages of the program that could not be obeyed.
    refused,
    /// For which there was no room.
    full,
    /// Without a verdict in time.
    timed_out,
    /// Without a verdict when their program ended or gave the queue up.
    left,
    /// Of those three the ones that went on, as the program had asked.
    opened,
    /// Dropped because nobody had bound the queue.
    unbound,
    /// That went on because nobody had bound it (`bypass`).
    bypassed,
}

/// Packets that a queue did not get judged, since this was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses {
    /// Number of the queue.
    pub number: u16,
    /// Dropped.
    pub dropped: u64,
    /// Gone on.
    pub bypassed: u64,
}

impl Record {
    pub(super) fn new(number: u16) -> Self {
        Self { number, numbers: Arc::default(), listener: ArcSwapOption::empty(), told: Default::default() }
    }

    pub(super) fn set_listener(&self, listener: Option<Arc<Listener>>) {
        self.listener.store(listener);
    }

    /// Who listens there.
    #[must_use]
    pub fn listener(&self) -> Option<Arc<Listener>> {
        self.listener.load_full()
    }

    /// What was lost since this was asked last, if anything was. One thread asks.
    pub(super) fn losses(&self) -> Option<Losses> {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let numbers = &self.numbers;
        let opened = get(&numbers.opened);
        let unjudged = get(&numbers.full) + get(&numbers.timed_out) + get(&numbers.left);
        let dropped = (unjudged + get(&numbers.unbound)).saturating_sub(opened);
        let bypassed = opened + get(&numbers.bypassed);
        let [dropped, bypassed] = [(&self.told[0], dropped), (&self.told[1], bypassed)]
            .map(|(told, now)| now.saturating_sub(told.swap(now, Ordering::Relaxed)));
        (dropped + bypassed > 0).then_some(Losses { number: self.number, dropped, bypassed })
    }
}

/// Raises a number by one.
pub(crate) fn raise(number: &AtomicU64) {
    number.fetch_add(1, Ordering::Relaxed);
}
