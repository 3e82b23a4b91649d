//! What users do to what is remembered of flows: switch it, have it forgotten, and say which flows follow their routes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use conntrack::Direction;
use ctl::message::{
    Failure, FailureKind, FlowCacheAction, FlowCacheChange, FlowCacheEvent, FlowCacheKind, RoutePolicyRow,
    WayFilter,
};
use fib::adjacency::Mac;
use fib::cache::Staleness;
use fib::change::{Change, RoutePolicy};
use ipnet::IpNet;

use super::show::{Ways, words};
use super::{Core, Sums};
use crate::config::FlowCacheConfig;
use crate::control::Sweep;
use crate::engine::{FlowCache, Kind};
use crate::flow::{Conn, Remembered};
use crate::offload::Invalidation;

impl Core {
    /// Switches kinds for the router as a whole, or has them forgotten.
    pub(super) fn steer(&self, change: &FlowCacheChange) {
        let kinds = change.kinds_meant();
        match change.action.mode() {
            Some(mode) => {
                for kind in kinds {
                    self.shared.set_flow_cache_of(words::kind(kind), words::mode(mode));
                }
                self.note_modes();
            }
            None => {
                self.flush(&kinds);
                self.chronicle.note(FlowCacheEvent::Flushed { kinds });
            }
        }
    }

    /// Switches kinds for the flows of now that are meant, or has these forget them.
    pub(super) fn touch(&self, change: &FlowCacheChange) -> Sweep<'_> {
        let (action, kinds, filter) = (change.action, change.kinds_meant(), change.filter.clone());
        let done = Rc::new(Cell::new(0));
        let touched = done.clone();
        let meant: Vec<_> = kinds.iter().map(|kind| (*kind, self.own_mode(*kind, action))).collect();
        self.sweep(
            move |flow, view| {
                if !view.is_meant(flow, &filter) {
                    return false;
                }
                for (kind, what) in &meant {
                    touch(flow, *kind, *what);
                }
                self.shared.offloads.void_flow(flow, Invalidation::FlowCache);
                done.set(done.get() + 1);
                true
            },
            move || {
                let flows = touched.get();
                self.chronicle.note(FlowCacheEvent::Touched { action, kinds, flows });
            },
        )
    }

    /// Has flows look up again that keep a way that is meant.
    ///
    /// # Errors
    /// The port is unknown.
    pub(super) fn invalidate(&self, filter: &WayFilter) -> Result<Sweep<'_>, Failure> {
        let unknown = |name: &String| {
            Failure::new(FailureKind::NotFound, format!("no port named {name} in this router"))
        };
        let port_named = |name: &String| {
            let port = self.port_ids().find(|port| self.shared.ports.name(*port) == name);
            port.ok_or_else(|| unknown(name))
        };
        let ways = Ways {
            via: filter.via,
            port: filter.port.as_ref().map(port_named).transpose()?,
            prefix: filter.prefix.map(|prefix| prefix.trunc()),
            mac: filter.mac.map(|mac| Mac(mac.0)),
        };
        let done = Rc::new(Cell::new(0));
        let invalidated = done.clone();
        Ok(self.sweep(
            move |flow, view| {
                let meant = Direction::ALL.map(|direction| {
                    let meant = view.keeps(flow, direction, &ways);
                    if meant && flow.user.forget(direction) {
                        flow.user.note_renewal(direction, Staleness::Invalidated);
                    }
                    meant
                });
                let is_meant = meant.contains(&true);
                if is_meant {
                    self.shared.offloads.void_flow(flow, Invalidation::FlowCache);
                    done.set(done.get() + 1);
                }
                is_meant
            },
            move || self.chronicle.note(FlowCacheEvent::Invalidated { flows: invalidated.get() }),
        ))
    }

    /// Sets the policy of a prefix, or leaves it without one.
    pub(super) fn set_policy(&self, prefix: IpNet, policy: Option<RoutePolicy>) -> Result<(), Failure> {
        self.set_policies([(prefix, policy)])?;
        let policy = policy.map(words::of_policy);
        self.chronicle.note(FlowCacheEvent::Policy { prefix, policy });
        Ok(())
    }

    /// The policy that a prefix has of its own.
    pub(super) fn policy_of(&self, prefix: IpNet) -> Option<RoutePolicyRow> {
        let routing = self.reader.load();
        let (_, policy) = routing.route_policies().iter().find(|(known, _)| *known == prefix)?;
        Some(RoutePolicyRow { prefix, policy: words::of_policy(*policy) })
    }

    /// Puts in force what a configuration says otherwise than the one before.
    pub(super) fn take_flow_cache(
        &self,
        before: &FlowCacheConfig,
        now: &FlowCacheConfig,
    ) -> Result<(), Failure> {
        let mut switched = false;
        for kind in Kind::ALL {
            let mode = now.modes.of(kind);
            if before.modes.of(kind) != mode {
                self.shared.set_flow_cache_of(kind, mode);
                switched = true;
            }
        }
        if switched {
            self.note_modes();
        }
        let is_named = |prefix: &IpNet| now.policies.iter().any(|(named, _)| named == prefix);
        let gone = before.policies.iter().filter(|(prefix, _)| !is_named(prefix));
        let said = now.policies.iter().filter(|policy| !before.policies.contains(policy));
        let changes = gone.map(|(prefix, _)| (*prefix, None));
        self.set_policies(changes.chain(said.map(|(prefix, policy)| (*prefix, Some(*policy)))))
    }

    /// What changes have asked of flows so far.
    pub(super) fn sums(&self) -> Sums {
        let routing = self.reader.load();
        let totals = self.totals();
        let total = |name: &str| totals.get(name).copied().unwrap_or(0);
        Sums {
            generation: routing.generation().0,
            changes: routing.journal().changes(),
            renewals: self.renewals(),
            moved: routing.journal().moved(),
            unaffected: total("flow_cache_unaffected"),
            kept_by_policy: total("flow_cache_kept_by_policy"),
        }
    }

    /// What an action does to a flow. A mode that is the router's own is none of the flow's: it follows the router again.
    fn own_mode(&self, kind: FlowCacheKind, action: FlowCacheAction) -> Touch {
        let in_force = self.shared.flow_cache().of(words::kind(kind));
        let mode = action.mode().map(words::mode);
        mode.map_or(Touch::Flush, |mode| Touch::Mode(Some(mode).filter(|mode| *mode != in_force)))
    }

    fn flush(&self, kinds: &BTreeSet<FlowCacheKind>) {
        if kinds.contains(&FlowCacheKind::Verdict) {
            self.shared.hooks.forget_passages();
        }
        if kinds.contains(&FlowCacheKind::Negative) {
            self.shared.flush_negative();
        }
        if kinds.contains(&FlowCacheKind::Untracked) {
            self.shared.flush_untracked();
        }
        if kinds.contains(&FlowCacheKind::Route) {
            self.writer.borrow_mut().raise();
            self.follow_generation();
        }
    }

    fn note_modes(&self) {
        self.chronicle.note(FlowCacheEvent::Modes(words::modes(self.shared.flow_cache())));
    }

    fn set_policies(
        &self,
        policies: impl IntoIterator<Item = (IpNet, Option<RoutePolicy>)>,
    ) -> Result<(), Failure> {
        let changes: Vec<Change> =
            policies.into_iter().map(|(prefix, policy)| Change::Policy(prefix, policy)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let applied = self.writer.borrow_mut().apply(changes);
        self.follow_generation();
        if applied.refused > 0 {
            let what = format!("{} more prefixes with policies than there can be", applied.refused);
            return Err(Failure::new(FailureKind::Failed, what));
        }
        Ok(())
    }
}

/// What is done to what a flow remembers of a kind.
#[derive(Clone, Copy)]
enum Touch {
    /// The mode it has of its own, if any.
    Mode(Option<FlowCache>),
    /// It is forgotten once.
    Flush,
}

fn touch(flow: &Conn, kind: FlowCacheKind, what: Touch) {
    for direction in Direction::ALL {
        match (kind, what) {
            (FlowCacheKind::Route, Touch::Mode(mode)) => {
                flow.user.set_mode(direction, Remembered::Route, mode);
            }
            (FlowCacheKind::Verdict, Touch::Mode(mode)) => {
                flow.user.set_mode(direction, Remembered::Verdict, mode);
            }
            (FlowCacheKind::Route, Touch::Flush) => {
                if flow.user.forget(direction) {
                    flow.user.note_renewal(direction, Staleness::Flush);
                }
            }
            (FlowCacheKind::Verdict, Touch::Flush) => flow.user.set_verdict(direction, 0),
            (FlowCacheKind::Negative | FlowCacheKind::Untracked, _) => {}
        }
    }
}
