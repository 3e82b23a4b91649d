//! What users change of the router's own tables: addresses, routes, policy rules, neighbors. In `--host kernel` these are the
//! kernel's, and users are told the command that changes them there.

use std::fmt::Display;

use ctl::message::{
    AddDel, AddressChange, ChangeVerb, Changed, Failure, FailureKind, Family, NeighborChange, NeighborFlush,
    NeighborsFlushed, PolicyRuleChange, RouteChange,
};
use fib::adjacency::PortId;
use fib::change::Change;

use super::Core;
use crate::host::spoken::{self, Directory};
use crate::host::tables::{OwnError, OwnTables};

impl Core {
    /// Gives a port an own address, or takes it.
    pub(super) fn change_own_address(&self, change: &AddressChange) -> Result<Changed, Failure> {
        self.require_own("addresses", change)?;
        self.change_own(|tables| {
            let address = spoken::address(change, &*tables)?;
            match change.verb {
                AddDel::Add => tables.add_address(address),
                AddDel::Del => tables.remove_address(address.port, address.net),
            }
        })
    }

    /// Makes, replaces or deletes an own route.
    pub(super) fn change_own_route(&self, change: &RouteChange) -> Result<Changed, Failure> {
        self.require_own("routes", change)?;
        self.change_own(|tables| match change.verb {
            ChangeVerb::Add => tables.add_route(spoken::route(change, spoken::BOOT, &*tables)?),
            ChangeVerb::Replace => tables.replace_route(spoken::route(change, spoken::BOOT, &*tables)?),
            ChangeVerb::Del => {
                let is_meant = spoken::is_meant(change, &*tables)?;
                tables.remove_route(change.table, change.prefix, is_meant)
            }
        })
    }

    /// Makes or deletes an own policy rule.
    pub(super) fn change_own_rule(&self, change: &PolicyRuleChange) -> Result<Changed, Failure> {
        self.require_own("policy rules", change)?;
        self.change_own(|tables| {
            tables.change(|wanted, _| match change.verb {
                AddDel::Add => {
                    let free = wanted.free_preference(change.family == Family::Ipv6);
                    wanted.add_rule(spoken::rule(change, free))
                }
                AddDel::Del => {
                    let mut rules: Vec<_> = wanted.rules().iter().collect();
                    rules.sort_by_key(|rule| rule.priority);
                    let meant = rules.into_iter().find(|rule| spoken::is_rule_meant(change, rule)).cloned();
                    wanted.remove_rule(&meant.ok_or(OwnError::NoRule)?);
                    Ok(())
                }
            })
        })
    }

    /// Sets a neighbor by hand, or no longer.
    pub(super) fn change_own_neighbor(&self, change: &NeighborChange) -> Result<Changed, Failure> {
        self.require_own("neighbors", change)?;
        let said = spoken::neighbor(change, &*self.own.tables.borrow()).map_err(|error| failure(&error))?;
        let is_known = self.neighborhood.borrow().neighbor(said.port, said.address).is_some();
        let mut neighborhood = self.neighborhood.borrow_mut();
        match change.verb {
            ChangeVerb::Add if is_known => {
                let message = format!("{} is known as a neighbor of {} already", change.address, change.port);
                return Err(Failure::new(FailureKind::Failed, message));
            }
            ChangeVerb::Add | ChangeVerb::Replace => {
                neighborhood.set_static(said.port, said.address, said.mac);
            }
            ChangeVerb::Del if !neighborhood.forget(said.port, said.address) => {
                let message = format!("{} is not known as a neighbor of {}", change.address, change.port);
                return Err(Failure::new(FailureKind::NotFound, message));
            }
            ChangeVerb::Del => {}
        }
        drop(neighborhood);
        self.settle_neighborhood();
        Ok(Changed { changed: 1 })
    }

    /// Forgets neighbors that are not set by hand.
    pub(super) fn flush_own_neighbors(&self, flush: &NeighborFlush) -> Result<NeighborsFlushed, Failure> {
        self.require_own("neighbors", flush)?;
        let only: Option<PortId> = match &flush.port {
            None => None,
            Some(name) => Some(self.own.tables.borrow().port(name).map_err(|error| failure(&error))?),
        };
        let flushed = self.neighborhood.borrow_mut().flush(only);
        self.settle_neighborhood();
        Ok(NeighborsFlushed { flushed: flushed as u64 })
    }

    /// Changes the tables, and the routing state with them: it is in force when this returns, or nothing has changed.
    fn change_own(
        &self,
        change: impl FnOnce(&mut OwnTables) -> Result<Vec<Change>, OwnError>,
    ) -> Result<Changed, Failure> {
        let said = change(&mut self.own.tables.borrow_mut()).map_err(|error| failure(&error))?;
        self.settle_own(said);
        Ok(Changed { changed: 1 })
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

fn failure(error: &OwnError) -> Failure {
    let kind = match error {
        OwnError::NoPort(_) | OwnError::NoAddress(..) | OwnError::NoRoute(_) | OwnError::NoRule => {
            FailureKind::NotFound
        }
        _ => FailureKind::Failed,
    };
    Failure::new(kind, error.to_string())
}
