//! Everything the router counts, by name. What one worker counts stands under its own name, what a part of the router
//! counts under that part's.

use conntrack::{FragmentDrop, GatherStats, InvalidReason, Stats};
use ctl::message::Counters;
use fib::cache::Staleness;

use crate::daemon::Core;
use crate::drops::DropReason;
use crate::mirror::MirrorCounters;
use crate::stats;
use crate::worker::WorkerStats;

/// All counters but the drops by reason.
pub(super) fn all(core: &Core) -> Counters {
    let mut all = Counters::new();
    for (name, count) in core.totals() {
        all.insert(name.to_owned(), count);
    }
    add(&mut all, renewals(&stats::Counters::new()));
    for seat in &*core.workers.borrow() {
        add(&mut all, worker(seat.handle.stats()));
        add(&mut all, renewals(&seat.counters));
    }
    add(&mut all, flows(&core.shared.flows.stats()));
    add(&mut all, fragments(&core.defragment.stats()));
    add(&mut all, mirror(&core.mirror.counters()));
    add(
        &mut all,
        core.neighborhood.borrow().counters().named().map(|(name, count)| (name.to_owned(), count)),
    );
    let writer = core.writer.borrow();
    add(
        &mut all,
        named([
            ("flow_cache_news_lost", core.chronicle.news_lost()),
            ("flows", core.shared.flows.len() as u64),
            ("generation", core.reader.load().generation().0),
            ("host_news_lost", core.news.lost()),
            ("neighbors_refused", core.shared.neighbors.refused()),
            ("routes", writer.route_count() as u64),
            ("rules_logs_lost", core.rules.world().journal.lost()),
            ("routing_state_copies", writer.copies()),
        ]),
    );
    all
}

/// Dropped packets of all workers by reason, those that never happened at zero.
pub(super) fn drops<'a>(workers: impl IntoIterator<Item = &'a stats::Counters>) -> Counters {
    let mut drops: Counters = DropReason::ALL.iter().map(|reason| (reason.name().to_owned(), 0)).collect();
    for worker in workers {
        add(
            &mut drops,
            DropReason::ALL.iter().map(|reason| (reason.name().to_owned(), worker.drops(*reason))),
        );
    }
    drops
}

/// A worker's turns, and what it could not send.
fn worker(stats: &WorkerStats) -> impl Iterator<Item = (String, u64)> {
    named([
        ("worker_turns", stats.turns.get()),
        ("worker_frames", stats.frames.get()),
        ("worker_full_batches", stats.full_batches.get()),
        ("worker_sleeps", stats.sleeps.get()),
        ("worker_notices_lost", stats.notices_lost.get()),
        ("worker_unattached_frames", stats.unattached.get()),
        ("worker_unfinishable_frames", stats.unfinishable.get()),
    ])
}

/// Why routes of flows were looked up again.
fn renewals(counters: &stats::Counters) -> impl Iterator<Item = (String, u64)> {
    Staleness::ALL
        .iter()
        .map(|reason| (format!("flow_cache_renewed_{}", reason.name()), counters.renewals(*reason)))
}

/// The flow table, by the names of `conntrack -S` where it has them.
fn flows(stats: &Stats) -> impl Iterator<Item = (String, u64)> {
    let Stats {
        entries,
        found,
        new,
        related,
        untracked,
        invalid,
        reopened,
        insert,
        insert_failed,
        clash_resolve,
        drop,
        early_drop,
        expired,
        deleted,
        expect_create,
        expect_new,
        expect_delete,
        events_lost,
    } = *stats;
    let reasons = InvalidReason::ALL
        .into_iter()
        .zip(invalid)
        .map(|(reason, count)| (format!("conntrack_invalid_{}", reason.name()), count));
    named([
        ("conntrack_entries", entries),
        ("conntrack_found", found),
        ("conntrack_new", new),
        ("conntrack_related", related),
        ("conntrack_untracked", untracked),
        ("conntrack_invalid", stats.invalid_total()),
        ("conntrack_reopened", reopened),
        ("conntrack_insert", insert),
        ("conntrack_insert_failed", insert_failed),
        ("conntrack_clash_resolve", clash_resolve),
        ("conntrack_drop", drop),
        ("conntrack_early_drop", early_drop),
        ("conntrack_expired", expired),
        ("conntrack_deleted", deleted),
        ("conntrack_expect_create", expect_create),
        ("conntrack_expect_new", expect_new),
        ("conntrack_expect_delete", expect_delete),
        ("conntrack_events_lost", events_lost),
    ])
    .chain(reasons)
}

/// What became of fragments on their way to be gathered.
fn fragments(stats: &GatherStats) -> impl Iterator<Item = (String, u64)> {
    let GatherStats { pieces, completed, dropped, timed_out, restarted } = *stats;
    let reasons = FragmentDrop::ALL
        .into_iter()
        .zip(dropped)
        .map(|(reason, count)| (format!("fragments_dropped_{}", reason.name()), count));
    named([
        ("fragments_received", pieces),
        ("fragments_datagrams_completed", completed),
        ("fragments_datagrams_timed_out", timed_out),
        ("fragments_datagrams_restarted", restarted),
    ])
    .chain(reasons)
}

/// The copy of the kernel's tables.
fn mirror(counters: &MirrorCounters) -> impl Iterator<Item = (String, u64)> {
    let MirrorCounters {
        events,
        dump_entries,
        overruns,
        resyncs,
        dumps_repeated,
        dumps_failed,
        last_dump_us,
        unreadable,
        unsupported,
    } = *counters;
    named([
        ("mirror_events", events),
        ("mirror_dump_entries", dump_entries),
        ("mirror_overruns", overruns),
        ("mirror_resyncs", resyncs),
        ("mirror_dumps_repeated", dumps_repeated),
        ("mirror_dumps_failed", dumps_failed),
        ("mirror_last_dump_us", last_dump_us),
        ("mirror_unreadable", unreadable),
        ("mirror_unsupported", unsupported),
    ])
}

fn add(all: &mut Counters, counted: impl IntoIterator<Item = (String, u64)>) {
    for (name, count) in counted {
        *all.entry(name).or_default() += count;
    }
}

fn named<const COUNT: usize>(counters: [(&'static str, u64); COUNT]) -> impl Iterator<Item = (String, u64)> {
    counters.into_iter().map(|(name, count)| (name.to_owned(), count))
}
