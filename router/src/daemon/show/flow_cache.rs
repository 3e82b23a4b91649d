//! The flow cache, the journal and the policies of prefixes as rows.

use std::collections::BTreeMap;

use ctl::message::{
    Counters, Family, FlowCacheKind, FlowCacheRow, FlowCacheUse, JournalDepth, JournalQuery, JournalRow,
    RoutePolicyRow,
};
use ctl::names;
use fib::adjacency::Ports;
use fib::cache::{Staleness, Way};
use fib::journal::{DEPTH_MAX, Position, Row, Subject};

use super::words;
use crate::control::Pages;
use crate::daemon::{Chronicle, Core};
use crate::engine::{UNTRACKED_BYTES, UNTRACKED_MAX};
use crate::verdict::negative::{BYTES, DROPS_MAX};

/// How the flow cache is.
pub(super) fn row(core: &Core) -> FlowCacheRow {
    let totals = core.totals();
    let total = |name: &str| totals.get(name).copied().unwrap_or(0);
    let routing = core.reader.load();
    let journal = routing.journal();
    FlowCacheRow {
        modes: words::modes(core.shared.flow_cache()),
        generation: routing.generation().0,
        fib_lookups: total("fib_lookups"),
        flow_cache_hits: total("flow_cache_hits"),
        flow_cache_revalidated: total("flow_cache_revalidated"),
        flow_cache_unaffected: total("flow_cache_unaffected"),
        flow_cache_kept_by_policy: total("flow_cache_kept_by_policy"),
        kinds: kinds(core, &total),
        renewals: core.renewals(),
        journal: JournalDepth {
            changes: journal.changes(),
            depth: journal.depth() as u64,
            depth_max: DEPTH_MAX as u64,
            overruns: journal.overruns(),
        },
    }
}

/// Use and size, kind by kind.
fn kinds(core: &Core, total: &impl Fn(&str) -> u64) -> BTreeMap<FlowCacheKind, FlowCacheUse> {
    let chains = core.shared.hooks.chains();
    let passages = chains.passages();
    let ways = core.shared.ways.present();
    let workers = core.workers.borrow().len() as u64;
    let route = FlowCacheUse {
        entries: ways.len().into(),
        entries_max: ways.capacity().into(),
        full: ways.refused(),
        memory_bytes: u64::from(ways.len()) * size_of::<Way>() as u64,
        ..FlowCacheUse::counted(total("flow_cache_hits"), total("flow_cache_misses"))
    };
    let verdict = FlowCacheUse {
        entries: passages.len().into(),
        entries_max: passages.capacity().into(),
        full: passages.refused(),
        memory_bytes: passages.memory() as u64,
        ..FlowCacheUse::counted(
            total("verdict_cache_hits"),
            total("verdict_cache_kept") + total("verdict_cache_unfit"),
        )
    };
    let entries = total("untracked_cache_entries");
    let tables = if entries > 0 { workers } else { 0 };
    let untracked = FlowCacheUse {
        entries,
        entries_max: workers * UNTRACKED_MAX as u64,
        memory_bytes: tables * UNTRACKED_BYTES as u64,
        ..FlowCacheUse::counted(total("untracked_cache_hits"), total("untracked_cache_misses"))
    };
    let entries = total("negative_cache_entries");
    let tables = if entries > 0 { workers } else { 0 };
    let negative = FlowCacheUse {
        entries,
        entries_max: workers * DROPS_MAX as u64,
        memory_bytes: tables * BYTES as u64,
        ..FlowCacheUse::counted(
            total("negative_cache_hits") + total("negative_cache_recalled"),
            total("negative_cache_kept"),
        )
    };
    BTreeMap::from([
        (FlowCacheKind::Route, route),
        (FlowCacheKind::Verdict, verdict),
        (FlowCacheKind::Negative, negative),
        (FlowCacheKind::Untracked, untracked),
    ])
}

/// Prefixes with policies.
pub(super) fn policies(core: &Core) -> Vec<RoutePolicyRow> {
    let routing = core.reader.load();
    let policies = routing.route_policies().iter();
    policies
        .map(|(prefix, policy)| RoutePolicyRow { prefix: *prefix, policy: words::of_policy(*policy) })
        .collect()
}

/// The last changes, the newest first. Those that come while it is read are left out.
pub(super) fn journal(core: &Core, query: JournalQuery) -> Pages<'_, JournalRow> {
    let mut left = query.changes_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let mut before: Option<Position> = None;
    Pages::new(move |rows_max| {
        let routing = core.reader.load();
        let older = |row: &Row| before.is_none_or(|before| row.position < before);
        let rows = routing.journal().rows(usize::MAX).skip_while(|row| !older(row));
        let page: Vec<Row> = rows.take(rows_max.max(1).min(left)).collect();
        left -= page.len();
        before = Some(page.last()?.position);
        Some(page.iter().map(|row| change(row, routing.ports(), &core.chronicle)).collect())
    })
}

fn change(row: &Row, ports: &Ports, chronicle: &Chronicle) -> JournalRow {
    let name = |port| ports.name(port).to_owned();
    let family = |ipv6| if ipv6 { Family::Ipv6 } else { Family::Ipv4 };
    let told = JournalRow {
        generation: row.generation.0,
        time_unix_ms: chronicle.time_of(row.generation.0),
        change: row.what.name().into(),
        family: None,
        table: None,
        prefix: None,
        via: None,
        port: None,
        address: None,
        moved: row.moved.into(),
    };
    match row.subject {
        Subject::Prefix { table, prefix } => JournalRow {
            family: Some(Family::of(prefix.addr())),
            table: Some(names::table(table)),
            prefix: Some(prefix),
            ..told
        },
        Subject::NextHop { port, via, ipv6 } => {
            JournalRow { family: Some(family(ipv6)), via, port: port.map(name), ..told }
        }
        Subject::Port(port) => JournalRow { port: Some(name(port)), ..told },
        Subject::Address(address) => {
            JournalRow { family: Some(Family::of(address)), address: Some(address), ..told }
        }
        Subject::Policy(prefix) => {
            JournalRow { family: Some(Family::of(prefix.addr())), prefix: Some(prefix), ..told }
        }
        Subject::Family { ipv6 } => JournalRow { family: Some(family(ipv6)), ..told },
        Subject::All => told,
    }
}

impl Core {
    /// Why kept routes were looked up again, all workers together; reasons that have not occurred are left out.
    pub(in crate::daemon) fn renewals(&self) -> Counters {
        let workers = self.workers.borrow();
        let count = |reason: Staleness| workers.iter().map(|seat| seat.counters.renewals(reason)).sum();
        Staleness::ALL
            .iter()
            .map(|reason| (reason.name().to_owned(), count(*reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
