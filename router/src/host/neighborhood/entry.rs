//! One neighbor's state: what is known, how it came to be known, and when something has to be done about it.
//!
//! RFC 4861 section 7.3 for both families, as the kernel has it (`net/core/neighbour.c`).

use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::Mac;
use fib::change::NeighborState;

use super::settings::Settings;

/// A neighbor that is found by asking. One that was set by hand has no such entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    state: NeighborState,
    /// The last address known; valid as far as `state` says.
    mac: Mac,
    /// When state or address last became another.
    updated: Instant,
    /// When it last answered; `None` if that is too long ago to matter.
    confirmed: Option<Instant>,
    /// When a packet was last to be sent to it.
    used: Option<Instant>,
    /// Questions since the last answer.
    probes: u32,
    due: Option<Instant>,
    is_router: bool,
}

/// A question that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// To everybody.
    Group,
    /// To the neighbor where it was last.
    Unicast(Mac),
}

/// What a message says of a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// Its address; `None` if the message does not say.
    pub(super) mac: Option<Mac>,
    /// Whether the message answers a question of ours, so that the neighbor can be reached both ways.
    pub(super) solicited: bool,
    /// Whether an address may be replaced by another.
    pub(super) replaces: Replaces,
    /// Whether it is a router, where the message says so.
    pub(super) is_router: Option<bool>,
}

/// Whether a message may replace the address that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaces {
    /// Yes.
    Yes,
    /// No; but it makes one doubt it (`NEIGH_UPDATE_F_WEAK_OVERRIDE`).
    Doubts,
    /// No, and it is not heeded.
    No,
}

impl News {
    /// A message that nobody has asked for says where its sender is.
    pub(super) const fn told(mac: Option<Mac>) -> Self {
        Self { mac, solicited: false, replaces: Replaces::Yes, is_router: None }
    }
}

impl Entry {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            state: NeighborState::None,
            mac: Mac([0; 6]),
            updated: now,
            confirmed: None,
            used: None,
            probes: 0,
            due: None,
            is_router: false,
        }
    }

    /// A packet is to be sent to it (`__neigh_event_send`).
    pub(super) fn wanted(&mut self, now: Instant, settings: &Settings) -> Option<Probe> {
        self.used = Some(now);
        match self.state {
            NeighborState::None | NeighborState::Failed => {
                self.become_(NeighborState::Incomplete, now);
                self.probes = 1;
                self.due = Some(now + settings.retransmit_time);
                Some(Probe::Group)
            }
            NeighborState::Stale => {
                self.become_(NeighborState::Delay, now);
                self.due = Some(now + settings.delay_probe_time);
                None
            }
            _ => None,
        }
    }

    /// Its time has come (`neigh_timer_handler`).
    pub(super) fn expire(
        &mut self,
        now: Instant,
        reachable_time: Duration,
        settings: &Settings,
    ) -> Option<Probe> {
        self.due = None;
        let within = |since: Option<Instant>, time: Duration| since.is_some_and(|since| now < since + time);
        match self.state {
            NeighborState::Reachable if within(self.confirmed, reachable_time) => {
                self.due = self.confirmed.map(|confirmed| confirmed + reachable_time);
                None
            }
            NeighborState::Reachable if within(self.used, settings.delay_probe_time) => {
                self.become_(NeighborState::Delay, now);
                self.due = Some(now + settings.delay_probe_time);
                None
            }
            NeighborState::Reachable => {
                self.become_(NeighborState::Stale, now);
                None
            }
            NeighborState::Delay => {
                self.become_(NeighborState::Probe, now);
                self.probes = 0;
                self.ask_again(now, settings.unicast_probes, Probe::Unicast(self.mac), settings)
            }
            NeighborState::Probe => {
                self.ask_again(now, settings.unicast_probes, Probe::Unicast(self.mac), settings)
            }
            NeighborState::Incomplete => {
                self.ask_again(now, settings.multicast_probes, Probe::Group, settings)
            }
            _ => None,
        }
    }

    /// Something was heard of it (`__neigh_update`).
    pub(super) fn update(&mut self, news: News, now: Instant, reachable_time: Duration) {
        let was_valid = self.state.is_valid();
        let Some(mac) = news.mac.or(was_valid.then_some(self.mac)) else { return };
        if news.solicited {
            self.confirmed = Some(now);
        }
        let mut next = if news.solicited { NeighborState::Reachable } else { NeighborState::Stale };
        let moved = mac != self.mac;
        if was_valid && moved {
            match news.replaces {
                Replaces::Yes => {}
                Replaces::Doubts if self.state == NeighborState::Reachable => {
                    self.settle(NeighborState::Stale, now);
                    return;
                }
                Replaces::Doubts | Replaces::No => return,
            }
        }
        self.is_router = news.is_router.unwrap_or(self.is_router);
        if was_valid && !moved && next == NeighborState::Stale {
            next = self.state;
        }
        self.mac = mac;
        if moved {
            self.updated = now;
            self.confirmed = news.solicited.then_some(now);
        }
        self.settle(next, now);
        if next == NeighborState::Reachable {
            self.due = self.due.or(Some(now + reachable_time));
        }
    }

    pub(super) const fn state(&self) -> NeighborState {
        self.state
    }

    /// Its address, as far as it is one to send to.
    pub(super) fn mac(&self) -> Option<Mac> {
        self.state.is_valid().then_some(self.mac)
    }

    /// Whether it has said that it is a router.
    pub(super) const fn is_router(&self) -> bool {
        self.is_router
    }

    /// When [`Self::expire`] is to be called.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// When it last became another.
    pub(super) const fn updated(&self) -> Instant {
        self.updated
    }

    /// When it was last of use: sent to, or found.
    pub(super) fn of_use(&self) -> Option<Instant> {
        self.used.max(self.confirmed)
    }

    /// Asks again, or gives up when `probes_max` questions are out.
    fn ask_again(
        &mut self,
        now: Instant,
        probes_max: u32,
        probe: Probe,
        settings: &Settings,
    ) -> Option<Probe> {
        if self.probes >= probes_max {
            self.become_(NeighborState::Failed, now);
            return None;
        }
        self.probes += 1;
        self.due = Some(now + settings.retransmit_time);
        Some(probe)
    }

    /// Goes over into a state that waits for nothing, if it is in another.
    fn settle(&mut self, state: NeighborState, now: Instant) {
        if self.state != state {
            self.become_(state, now);
            self.due = None;
        }
    }

    fn become_(&mut self, state: NeighborState, now: Instant) {
        self.state = state;
        self.updated = now;
    }
}
