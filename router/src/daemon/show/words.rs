//! Words of users for what the router knows by its own types.

use ctl::message::{FlowCacheKind, FlowCacheMode, FlowCacheModes, RoutePolicy};

use crate::engine::{FlowCache, Kind, Modes};

/// What is in force, kind by kind.
pub(in crate::daemon) fn modes(modes: Modes) -> FlowCacheModes {
    let mut told = FlowCacheModes::default();
    for of_user in FlowCacheKind::ALL {
        told.set(of_user, of_mode(modes.of(kind(of_user))));
    }
    told
}

/// The kind that a user means.
pub(in crate::daemon) const fn kind(kind: FlowCacheKind) -> Kind {
    match kind {
        FlowCacheKind::Route => Kind::Route,
        FlowCacheKind::Verdict => Kind::Verdict,
        FlowCacheKind::Negative => Kind::Negative,
        FlowCacheKind::Untracked => Kind::Untracked,
    }
}

/// The mode that a user means.
pub(in crate::daemon) const fn mode(mode: FlowCacheMode) -> FlowCache {
    match mode {
        FlowCacheMode::On => FlowCache::On,
        FlowCacheMode::Off => FlowCache::Off,
        FlowCacheMode::Hold => FlowCache::Hold,
    }
}

/// The policy that a user means.
pub(in crate::daemon) const fn policy(policy: RoutePolicy) -> fib::change::RoutePolicy {
    match policy {
        RoutePolicy::Keep => fib::change::RoutePolicy::Keep,
        RoutePolicy::Move => fib::change::RoutePolicy::Move,
    }
}

/// A mode as users read it.
pub(in crate::daemon) const fn of_mode(mode: FlowCache) -> FlowCacheMode {
    match mode {
        FlowCache::On => FlowCacheMode::On,
        FlowCache::Off => FlowCacheMode::Off,
        FlowCache::Hold => FlowCacheMode::Hold,
    }
}

/// A policy as users read it.
pub(in crate::daemon) const fn of_policy(policy: fib::change::RoutePolicy) -> RoutePolicy {
    match policy {
        fib::change::RoutePolicy::Keep => RoutePolicy::Keep,
        fib::change::RoutePolicy::Move => RoutePolicy::Move,
    }
}
