//! The control thread's life: news from the kernel to the workers, questions from the workers to the kernel, users.

use std::time::Duration;

use anyhow::Context as _;
use fib::change::NamespaceSettings;
use fib::writer::Applied;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Core, Daemon};
use crate::clock;
use crate::config::ValidConfig;
use crate::control::Events;
use crate::engine::Host;
use crate::engine::rate::Settings as Limits;
use crate::mirror::{ResolveError, Resolver};

/// How often what only time brings is looked after: flows that expire while no packet comes, ports to try again.
const TICK: Duration = Duration::from_millis(100);
/// Flows taken off the table in one tick at most.
const EXPIRY_BUDGET: usize = 50_000;
/// Places of each bridge's table that are looked at for silent hosts in one tick at most.
const MACS_BUDGET: usize = 4096;
/// Messages about neighbors that are read together.
const MESSAGES_AT_ONCE: usize = 64;
/// Datagrams given up in one tick at most.
const FRAGMENTS_BUDGET: usize = 1024;

/// Runs the router until SIGTERM or SIGINT. `reload` reads the configuration anew on SIGHUP.
///
/// # Errors
/// The kernel's tables can no longer be followed.
pub async fn run(daemon: Daemon, reload: impl Fn() -> anyhow::Result<ValidConfig>) -> anyhow::Result<()> {
    let Daemon {
        core,
        mut config,
        server,
        queues: _served,
        mut changes,
        mut notices,
        mut questions,
        mut resolver,
        mut heard,
    } = daemon;
    let mut messages = Vec::with_capacity(MESSAGES_AT_ONCE);
    let mut signals = Signals::new()?;
    let mut tick = ticks();
    let events = Events::default();
    let mut serve = std::pin::pin!(server.serve(&core, &events));
    loop {
        tokio::select! {
            () = &mut serve => {}
            batch = changes.recv() => {
                let batch = batch.context("the kernel's routing tables can no longer be followed")?;
                let changes = core.meaning_of(batch);
                if !changes.is_empty() {
                    let applied = core.writer.borrow_mut().apply(changes);
                    core.follow(&applied, &events);
                    core.follow_neighborhood(&events);
                    core.settle_phases(&events);
                }
            }
            () = core.stirred() => core.follow_users(&events),
            Some(notice) = notices.recv() => core.take_notice(notice),
            Some((port, address)) = questions.recv() => match core.shared.host {
                Host::Kernel => core.resolve(&mut resolver, port, address),
                Host::Owned { .. } => core.find_neighbor(port, address, &events),
            },
            _ = heard.recv_many(&mut messages, MESSAGES_AT_ONCE) => core.hear(messages.drain(..), &events),
            () = core.neighbor_due() => core.tend_neighbors(&events),
            _ = tick.tick() => core.tend(&events),
            told = signals.next() => match told {
                Told::Stop => {
                    core.end_neighbors();
                    return Ok(());
                }
                Told::Reload => match reload() {
                    Ok(new) => core.take_config(&mut config, new).await,
                    Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
                },
            },
        }
    }
}

fn ticks() -> Interval {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

impl Core {
    /// Does what changes of the routing state ask for beyond it.
    pub(super) fn follow(&self, applied: &Applied, events: &Events) {
        self.heed(applied);
        if !applied.dumping {
            self.tell(applied, events);
        }
    }

    /// As [`Self::follow`], but that nobody is told.
    pub(super) fn heed(&self, applied: &Applied) {
        self.follow_generation();
        if applied.dumping {
            return;
        }
        if applied.raised {
            self.follow_settings();
        }
        if applied.raised || !applied.bindings.is_empty() {
            self.masquerades.borrow_mut().follow(&self.reader.load(), &self.shared.flows);
        }
        if !applied.bindings.is_empty()
            && let Err(error) = self.rearm_guard(self.handover.is_on())
        {
            tracing::error!("{error}");
        }
        self.keep_ports();
        self.follow_host();
        self.wake_workers();
    }

    /// Has those who have taken flows over judge them by the routing state of now, and notes when it began. To be called
    /// before a change is acknowledged.
    pub(super) fn follow_generation(&self) {
        let routing = self.reader.load();
        self.shared.follow_routing(&routing);
        self.shared.bridges.follow(&self.shared.ports);
        self.chronicle.note_generation(routing.generation().0, clock::since_1970_ms());
    }

    /// Puts the namespace's settings in force where they are not read from the routing state.
    pub(super) fn follow_settings(&self) {
        let limits = limits(self.reader.load().namespace_settings());
        self.shared.limiter.lock().set(limits);
        self.follow_handover();
        self.follow_device_settings();
    }

    /// Packets may wait for what has just changed.
    fn wake_workers(&self) {
        for seat in &*self.workers.borrow() {
            seat.handle.wake();
        }
    }

    /// Asks the kernel for a neighbor.
    fn resolve(&self, resolver: &mut Resolver, port: fib::adjacency::PortId, address: std::net::IpAddr) {
        let Some(link) = self.shared.ports.get(port).link else { return };
        match resolver.resolve(link, address) {
            Ok(()) => {}
            // What becomes of the port is told elsewhere; the packets give up by themselves.
            Err(ResolveError::Link { .. }) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// What time brings.
    fn tend(&self, events: &Events) {
        let now = self.now();
        self.shared.flows.expire(now, EXPIRY_BUDGET);
        self.defragment.expire(now, FRAGMENTS_BUDGET);
        self.shared.bridges.expire(now, MACS_BUDGET);
        self.shared.ways.tend(&self.shared.flows, now);
        self.shared.set_time_of_day_ms(now, clock::time_of_day_ms());
        if self.keeper.borrow().next_retry().is_some_and(|retry| retry <= now) {
            self.keep_ports();
        }
        self.keep_handover();
        self.keep_device();
        self.follow_neighborhood(events);
        self.tend_rules(now, events);
        self.tell_flows(events);
        self.tell_expectations(events);
        self.tell_flow_cache(events);
        self.note_bridges();
        self.tend_last_hops();
        self.tell_news(events);
    }

    /// Takes over what of a configuration read anew can be had without a restart.
    async fn take_config(&self, config: &mut ValidConfig, new: ValidConfig) {
        if let Some(what) = config.needs_restart(&new) {
            tracing::warn!(
                "{what} has changed in the configuration, which needs a restart; the rest is taken over"
            );
        }
        self.mirror.reread_settings(Some(new.sysctl.clone())).await;
        self.sysctl.replace(new.sysctl.clone());
        config.sysctl = new.sysctl;
        config.handover = new.handover;
        if let Err(error) = self.handover.configure(self, new.handover) {
            tracing::error!("{error}");
        }
        if let Err(error) = self.take_flow_cache(&config.flow_cache, &new.flow_cache) {
            tracing::error!("{error}");
        }
        config.flow_cache = new.flow_cache;
        if config.last_hop != new.last_hop {
            self.shared.set_last_hop(new.last_hop.clone());
        }
        config.last_hop = new.last_hop;
        match self.take_own(config, &new.own) {
            Ok(()) => config.own = new.own,
            Err(error) => tracing::error!("addresses, routes and rules stay as they were: {error}"),
        }
        config.rules = new.rules;
        match config.rules.as_deref().map(|path| self.take_rules_at(path)).transpose() {
            Ok(None) => {}
            Ok(Some(told)) => tracing::info!("{} rules are read again", told.rules),
            Err(error) => tracing::error!("the rules stay as they were: {error:#}"),
        }
        tracing::info!("settings are read again");
    }
}

/// The limits of ICMP errors that a namespace's settings ask for.
fn limits(settings: &NamespaceSettings) -> Limits {
    let word = |index: usize| u64::from(settings.icmp6_ratemask[index]);
    Limits {
        icmp_ratelimit_ms: settings.icmp_ratelimit_ms.into(),
        icmp_ratemask: settings.icmp_ratemask,
        messages_per_second: settings.icmp_msgs_per_sec.into(),
        messages_burst: settings.icmp_msgs_burst.into(),
        icmpv6_ratelimit_ms: settings.icmp6_ratelimit_ms.into(),
        icmpv6_ratemask: std::array::from_fn(|index| word(2 * index) | word(2 * index + 1) << 32),
        ..Limits::default()
    }
}

/// The signals a router obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }
}

/// What a signal says.
enum Told {
    Stop,
    Reload,
}
