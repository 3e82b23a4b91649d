//! Protocols that nobody registered: a flow is a pair of addresses (`nf_conntrack_proto_generic.c`).

use std::time::Duration;

use super::{Check, L4Tracker, Outcome, Seen, Timeout};
use crate::packet::Packet;
use crate::stats::InvalidReason;
use crate::time::Instant;
use crate::tuple::Ids;

/// The generic tracker.
#[derive(Clone, Copy, Debug)]
pub struct Generic {
    /// Lifetime of a flow (600 s).
    pub timeout: Duration,
}

impl Default for Generic {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600) }
    }
}

impl L4Tracker for Generic {
    type State = ();

    fn name(&self) -> &'static str {
        "generic"
    }

    fn ids(&self, _header: &[u8]) -> Option<Ids> {
        Some(Ids::default())
    }

    fn check(&self, _packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        Ok(Check::Track)
    }

    fn start(&self, _packet: &Packet<'_>, _now: Instant) -> Result<(), InvalidReason> {
        Ok(())
    }

    fn update(&self, state: &mut (), _packet: &Packet<'_>, seen: Seen) -> Outcome {
        self.pass_unseen(state, seen)
    }

    fn must_see_every_packet(&self) -> bool {
        false
    }

    fn pass_unseen(&self, _state: &mut (), _seen: Seen) -> Outcome {
        Outcome::refresh(self.timeout)
    }

    fn timeouts(&self) -> Vec<Timeout> {
        vec![Timeout { name: "timeout", duration: self.timeout }]
    }
}
