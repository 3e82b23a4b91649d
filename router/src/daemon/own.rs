//! What users change of the router's own tables: addresses, routes, neighbors. In `--host kernel` these are the kernel's,
//! and users are told the command that changes them there.

use std::fmt::Display;

use ctl::message::{
    AddressChange, Changed, Failure, FailureKind, NeighborChange, NeighborFlush, NeighborsFlushed,
    PolicyRuleChange, RouteChange,
};

use fib::change::Change;

use super::Core;
use crate::host::neighborhood::Verdict;

impl Core {
    /// Gives a port an own address, or takes it.
    pub(super) fn change_own_address(&self, change: &AddressChange) -> Result<Changed, Failure> {
        self.require_own("addresses", change)?;
        Err(not_yet("addresses"))
    }

    /// Makes, replaces or deletes an own route.
    pub(super) fn change_own_route(&self, change: &RouteChange) -> Result<Changed, Failure> {
        self.require_own("routes", change)?;
        Err(not_yet("routes"))
    }

    /// Adds or deletes an own policy rule.
    pub(super) fn change_own_rule(&self, change: &PolicyRuleChange) -> Result<Changed, Failure> {
        self.require_own("policy rules", change)?;
        Err(not_yet("policy rules"))
    }

    /// Sets a neighbor by hand, or no longer.
    pub(super) fn change_own_neighbor(&self, change: &NeighborChange) -> Result<Changed, Failure> {
        self.require_own("neighbors", change)?;
        Err(not_yet("neighbors"))
    }

    /// Forgets neighbors that are not set by hand.
    pub(super) fn flush_own_neighbors(&self, flush: &NeighborFlush) -> Result<NeighborsFlushed, Failure> {
        self.require_own("neighbors", flush)?;
        Err(not_yet("neighbors"))
    }

    /// What the routing state is to be told when one of the router's addresses stands otherwise than before.
    pub(super) fn take_verdict(&self, verdict: &Verdict) -> Vec<Change> {
        let _ = verdict;
        Vec::new()
    }

    /// Name of the TUN device by which local packets pass to and from the kernel, of an owned host that has one.
    pub(super) fn own_device(&self) -> Option<String> {
        None
    }

    /// Refuses what is the kernel's, with the words that are to be typed instead.
    fn require_own(&self, what: &str, change: &dyn Display) -> Result<(), Failure> {
        if self.shared.host.is_owned() { Ok(()) } else { Err(kernels(what, change)) }
    }
}

/// What is said of a change of the kernel's tables.
fn kernels(what: &str, change: &dyn Display) -> Failure {
    let message = format!("{what} are the kernel's here (--host kernel): use `ip {change}`");
    Failure::new(FailureKind::Failed, message)
}

fn not_yet(what: &str) -> Failure {
    Failure::new(FailureKind::Failed, format!("own {what} come from the configuration file only"))
}
