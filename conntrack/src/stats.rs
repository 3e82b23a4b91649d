//! Counters of a table, by the names `conntrack -S` uses where it has them.

use crate::sync::{AtomicU64, Ordering};

macro_rules! invalid_reasons {
    ($($(#[$documentation:meta])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet belongs to no flow. Such packets are forwarded until a rule says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum InvalidReason {
            $($(#[$documentation])+ $variant,)+
        }

        impl InvalidReason {
            /// Every reason, in the order of [`Stats::invalid`].
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

invalid_reasons! {
    /// Nobody tracks this network protocol, or its headers make no sense.
    Network = "network",
    /// A later piece of a fragmented datagram that was not gathered.
    Fragment = "fragment",
    /// The transport header is cut off or its lengths contradict each other.
    Truncated = "truncated",
    /// The transport checksum is wrong.
    Checksum = "checksum",
    /// A combination of TCP flags or SCTP chunks that no stack sends.
    Flags = "flags",
    /// A message type that the protocol does not know.
    MessageType = "message_type",
    /// It belongs to no flow and may not start one.
    NotFirst = "not_first",
    /// It does not fit the state its flow is in.
    State = "state",
    /// It lies outside what the other end may accept.
    Window = "window",
    /// Its verification tag is not that of the association.
    Tag = "tag",
    /// An error about a packet of no known flow.
    Unrelated = "unrelated",
    /// An error sent to somebody who did not send the packet it quotes.
    Misdirected = "misdirected",
}

/// A table's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Flows in the table.
    pub entries: u64,
    /// Packets that found their flow.
    pub found: u64,
    /// Packets that might start a flow.
    pub new: u64,
    /// Packets related to a flow: ICMP errors.
    pub related: u64,
    /// Packets that are not to be tracked.
    pub untracked: u64,
    /// Packets that belong to no flow, by [`InvalidReason::ALL`].
    pub invalid: [u64; InvalidReason::ALL.len()],
    /// Packets that met the attempt to reopen a closed flow, and started it anew.
    pub reopened: u64,
    /// Flows put into the table.
    pub insert: u64,
    /// Flows that could not be: another had taken their tuple.
    pub insert_failed: u64,
    /// Flows that turned out to be in the table already when they were to be put there.
    pub clash_resolve: u64,
    /// Packets dropped because the table was full or a clash could not be resolved.
    pub drop: u64,
    /// Flows thrown out to make room.
    pub early_drop: u64,
    /// Flows that ended by their timeout.
    pub expired: u64,
    /// Flows deleted on request or by their protocol.
    pub deleted: u64,
    /// Flows announced by others.
    pub expect_create: u64,
    /// Flows that came as announced.
    pub expect_new: u64,
    /// Announcements that hold no longer.
    pub expect_delete: u64,
    /// Events that a subscriber had no room for.
    pub events_lost: u64,
}

impl Stats {
    /// Packets that belong to no flow, for whatever reason.
    #[must_use]
    pub fn invalid_total(&self) -> u64 {
        self.invalid.iter().sum()
    }

    /// How often `reason` applied.
    #[must_use]
    pub const fn invalid_for(&self, reason: InvalidReason) -> u64 {
        self.invalid[reason as usize]
    }
}

/// The counters that are not kept in the shards.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) new: AtomicU64,
    pub(crate) related: AtomicU64,
    pub(crate) untracked: AtomicU64,
    pub(crate) invalid: [AtomicU64; InvalidReason::ALL.len()],
    pub(crate) reopened: AtomicU64,
    pub(crate) insert: AtomicU64,
    pub(crate) insert_failed: AtomicU64,
    pub(crate) clash_resolve: AtomicU64,
    pub(crate) drop: AtomicU64,
    pub(crate) early_drop: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) deleted: AtomicU64,
    pub(crate) expect_create: AtomicU64,
    pub(crate) expect_new: AtomicU64,
    pub(crate) expect_delete: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            new: AtomicU64::new(0),
            related: AtomicU64::new(0),
            untracked: AtomicU64::new(0),
            invalid: std::array::from_fn(|_| AtomicU64::new(0)),
            reopened: AtomicU64::new(0),
            insert: AtomicU64::new(0),
            insert_failed: AtomicU64::new(0),
            clash_resolve: AtomicU64::new(0),
            drop: AtomicU64::new(0),
            early_drop: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            expect_create: AtomicU64::new(0),
            expect_new: AtomicU64::new(0),
            expect_delete: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_invalid(&self, reason: InvalidReason) {
        count(&self.invalid[reason as usize]);
    }

    /// What is counted here; the rest is left at zero.
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            new: read(&self.new),
            related: read(&self.related),
            untracked: read(&self.untracked),
            invalid: std::array::from_fn(|index| read(&self.invalid[index])),
            reopened: read(&self.reopened),
            insert: read(&self.insert),
            insert_failed: read(&self.insert_failed),
            clash_resolve: read(&self.clash_resolve),
            drop: read(&self.drop),
            early_drop: read(&self.early_drop),
            expired: read(&self.expired),
            deleted: read(&self.deleted),
            expect_create: read(&self.expect_create),
            expect_new: read(&self.expect_new),
            expect_delete: read(&self.expect_delete),
            ..Stats::default()
        }
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How many.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_name_and_a_counter_of_its_own() {
        let counters = Counters::new();
        for (times, reason) in InvalidReason::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| counters.count_invalid(reason));
        }
        let stats = counters.snapshot();
        for (times, reason) in InvalidReason::ALL.into_iter().enumerate() {
            assert_eq!(stats.invalid_for(reason), times as u64 + 1, "{}", reason.name());
        }
        let mut names: Vec<_> = InvalidReason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), InvalidReason::ALL.len());
    }
}
