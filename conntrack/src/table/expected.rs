//! Flows that others announce: how they come to be expected, and what becomes of them when they begin.

use std::sync::Arc;

use super::Table;
use crate::conn::{Conn, Shared};
use crate::events::Subscription;
use crate::expect::{ExpectError, Expectation, ExpectationEvent, Wanted};
use crate::helper::{Advice, Message};
use crate::stats::count;
use crate::time::Instant;
use crate::tuple::Direction;
use crate::zone::Zone;

/// Expectations that one call of [`Table::expire`] ends at most.
const EXPIRY_BUDGET: usize = 64;

impl<X> Table<X> {
    /// Shows a packet of a flow to the helper that watches it; `message` is what helpers see of a packet.
    pub fn help(&self, conn: &Conn<X>, message: &Message<'_>) -> Advice {
        match conn.help() {
            Some(help) => help.helper.handle(&mut help.memory(), message),
            None => Advice::Pass,
        }
    }

    /// Expects a flow that `master` announces. One that was expected before by the same flow in the same way is
    /// expected anew; of too many of one flow the oldest gives way (`nf_ct_expect_related`).
    ///
    /// # Errors
    /// [`ExpectError`]; after [`ExpectError::Busy`] another destination id may be tried.
    pub fn expect(
        &self,
        master: &Shared<Conn<X>>,
        wanted: Wanted,
        now: Instant,
    ) -> Result<Arc<Expectation<X>>, ExpectError> {
        let added = self.expected.add(master, wanted, now)?;
        for gone in &added.gone {
            self.expectation_gone(gone, now);
        }
        count(&self.counters.expect_create);
        self.expectation_event(true, &added.expectation, now);
        Ok(added.expectation)
    }

    /// Expects a flow no longer, and says whether it was still expected.
    pub fn unexpect(&self, expectation: &Arc<Expectation<X>>, now: Instant) -> bool {
        let removed = self.expected.remove(expectation);
        if removed {
            self.expectation_gone(expectation, now);
        }
        removed
    }

    /// All flows that are expected at `now`, those that are expected for the shortest time first.
    #[must_use]
    pub fn expectations(&self, now: Instant) -> Vec<Arc<Expectation<X>>> {
        let mut list = self.expected.list();
        list.retain(|expectation| !expectation.timeout_at(now).is_zero());
        list
    }

    /// How many flows are expected.
    #[must_use]
    pub fn expectations_len(&self) -> usize {
        self.expected.len()
    }

    /// Opens a channel of at most `events_max` events about what becomes of expectations from now on.
    pub fn subscribe_expectations(&self, events_max: usize) -> Subscription<ExpectationEvent<X>> {
        self.expectation_subscribers.subscribe(events_max)
    }

    /// Makes a flow that begins the one that was announced, if there is such an announcement (`init_conntrack`).
    pub(super) fn answer_expectation(
        &self,
        conn: &Conn<X>,
        zone: Zone,
        now: Instant,
    ) -> Option<Arc<Expectation<X>>> {
        let (expectation, used_up) = self.expected.find(&conn.tuple(Direction::Original), zone, now)?;
        conn.set_master(Shared::clone(expectation.master()));
        conn.set_mark(expectation.master().mark());
        if let Some(helper) = expectation.helper() {
            conn.set_helper(Arc::clone(helper));
        }
        count(&self.counters.expect_new);
        if used_up {
            self.expectation_gone(&expectation, now);
        }
        Some(expectation)
    }

    pub(super) fn expire_expectations(&self, now: Instant) {
        for expectation in self.expected.expire(now, EXPIRY_BUDGET) {
            self.expectation_gone(&expectation, now);
        }
    }

    /// What a flow has announced does not outlive it.
    pub(super) fn unexpect_all_of(&self, master: &Conn<X>, now: Instant) {
        for expectation in self.expected.remove_of(master.id()) {
            self.expectation_gone(&expectation, now);
        }
    }

    fn expectation_gone(&self, expectation: &Arc<Expectation<X>>, now: Instant) {
        count(&self.counters.expect_delete);
        self.expectation_event(false, expectation, now);
    }

    fn expectation_event(&self, is_new: bool, expectation: &Arc<Expectation<X>>, now: Instant) {
        self.expectation_subscribers.publish(|| {
            let timeout = expectation.timeout_at(now);
            [Some(ExpectationEvent { is_new, expectation: Arc::clone(expectation), timeout })]
        });
    }
}
