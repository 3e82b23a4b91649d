//! Flows that others have announced (`nf_conntrack_expect.c`): a bounded table, asked once for each flow that begins.

mod store;
#[cfg(test)]
mod tests;

pub(crate) use self::store::Store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::conn::{Conn, Shared, Status};
use crate::helper::Helper;
use crate::time::Instant;
use crate::tuple::{Addresses, Direction, Ids, Tuple};

/// Which flows are meant: those whose original tuple is `tuple`, except where its source does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The tuple of the flow's first packet. Its zone is the master's.
    pub tuple: Tuple,
    /// Whether the source address must be the tuple's.
    pub source_address: bool,
    /// Whether the source id must be the tuple's.
    pub source_id: bool,
}

/// A flow to be announced; what [`crate::Table::expect`] is given.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which.
    pub pattern: Pattern,
    /// Which of the helper's policies bounds it.
    pub class: u8,
    /// Any number of flows may answer to it until its time is up; else the first one uses it up.
    pub permanent: bool,
    /// It is known but does not hold yet.
    pub inactive: bool,
    /// The helper that is to watch the expected flow.
    pub helper: Option<Arc<dyn Helper>>,
    /// How the expected flow is to be translated.
    pub nat: Option<FollowMaster>,
}

/// An announced flow is to be translated as its master is (`nf_nat_follow_master`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowMaster {
    /// The master's direction that the expected flow's first packet takes.
    pub direction: Direction,
    /// Destination id that the announced flow really goes to.
    pub id: u16,
}

/// An announced flow.
pub struct Expectation<X> {
    id: u64,
    pattern: Pattern,
    master: Shared<Conn<X>>,
    name: &'static str,
    class: u8,
    permanent: bool,
    inactive: bool,
    helper: Option<Arc<dyn Helper>>,
    nat: Option<FollowMaster>,
    expires: Instant,
}

/// Why a flow cannot be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    /// The flow that announces it is over.
    #[error("the flow that announces it is over")]
    MasterGone,
    /// No helper watches the flow that announces it, or the helper has no such class.
    #[error("no helper with such a class watches the flow that announces it")]
    NoHelper,
    /// Another flow expects what might be the same one (`EBUSY`): another id may be free.
    #[error("another flow expects what might be the same flow")]
    Busy,
    /// It is expected already by another flow or class (`EALREADY`).
    #[error("the same flow is expected already, by another flow or in another class")]
    Already,
    /// There are too many (`EMFILE`).
    #[error("too many flows are expected")]
    Full,
}

/// Something that happened to an expectation.
#[derive(Debug)]
pub struct ExpectationEvent<X> {
    /// Whether it is there now; else it has just gone.
    pub is_new: bool,
    /// Which.
    pub expectation: Arc<Expectation<X>>,
    /// How long it was to hold.
    pub timeout: Duration,
}

impl<X> Clone for ExpectationEvent<X> {
    fn clone(&self) -> Self {
        Self { is_new: self.is_new, expectation: Arc::clone(&self.expectation), timeout: self.timeout }
    }
}

impl<X> Expectation<X> {
    /// Unique in its table and never reused.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Which flows it is about.
    #[must_use]
    pub const fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The flow that announced it.
    #[must_use]
    pub const fn master(&self) -> &Shared<Conn<X>> {
        &self.master
    }

    /// Name of the helper that read the announcement.
    #[must_use]
    pub const fn helper_name(&self) -> &'static str {
        self.name
    }

    /// The helper that is to watch the expected flow.
    #[must_use]
    pub const fn helper(&self) -> Option<&Arc<dyn Helper>> {
        self.helper.as_ref()
    }

    /// Its class among those of its helper.
    #[must_use]
    pub const fn class(&self) -> u8 {
        self.class
    }

    /// Whether it holds for more than one flow.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// Whether it does not hold yet.
    #[must_use]
    pub const fn is_inactive(&self) -> bool {
        self.inactive
    }

    /// How the expected flow is to be translated.
    #[must_use]
    pub const fn nat(&self) -> Option<FollowMaster> {
        self.nat
    }

    /// Time left at `now`.
    #[must_use]
    pub fn timeout_at(&self, now: Instant) -> Duration {
        self.expires - now
    }

    /// Whether it answers for a flow that begins with `tuple`.
    fn holds_for(&self, tuple: &Tuple) -> bool {
        // Its master must have left the router before anybody can answer to it.
        let master = self.master.status();
        !self.inactive
            && self.pattern.meets(tuple)
            && master.contains(Status::CONFIRMED)
            && !master.contains(Status::DYING)
    }
}

impl Pattern {
    /// Whether the flow that begins with `tuple` is meant (`nf_ct_tuple_mask_cmp`).
    #[must_use]
    pub fn meets(&self, tuple: &Tuple) -> bool {
        self.mask(&self.tuple) == self.mask(tuple)
    }

    /// Whether one flow might be meant by both (`expect_clash`).
    #[must_use]
    pub fn clashes(&self, other: &Self) -> bool {
        let both = Self {
            tuple: self.tuple,
            source_address: self.source_address && other.source_address,
            source_id: self.source_id && other.source_id,
        };
        both.mask(&self.tuple) == both.mask(&other.tuple)
    }

    /// The parts of `tuple` that matter; the others are zero.
    const fn mask(&self, tuple: &Tuple) -> Tuple {
        mask(tuple, self.source_address, self.source_id)
    }
}

/// `tuple` without its source address or id, unless they are to be kept.
const fn mask(tuple: &Tuple, source_address: bool, source_id: bool) -> Tuple {
    let addresses = *tuple.addresses();
    let source = if source_address { addresses.source } else { [0; 16] };
    let id = if source_id { tuple.ids().source } else { 0 };
    let addresses = Addresses { source, destination: addresses.destination };
    let ids = Ids { source: id, destination: tuple.ids().destination };
    Tuple::new(tuple.family(), tuple.zone(), tuple.protocol(), addresses, ids)
}

impl<X> fmt::Debug for Expectation<X> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Expectation")
            .field("id", &self.id)
            .field("pattern", &self.pattern)
            .field("master", &self.master.id())
            .finish_non_exhaustive()
    }
}
