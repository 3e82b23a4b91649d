//! The flow cache: its use, its changes, and the journal of the routing state.

use std::fmt::Write as _;
use std::io::{self, Write};

use chrono::DateTime;

use super::counted;
use super::table::{Align, Table};
use crate::message::{
    Counters, FlowCacheEvent, FlowCacheKind, FlowCacheModes, FlowCacheRow, FlowCacheUse, JournalRow,
    RoutePolicyRow,
};

/// A row for each kind, and under the table what the routing state has asked of it.
pub(super) fn flow_cache(out: &mut impl Write, row: &FlowCacheRow) -> io::Result<()> {
    let mut table = Table::new([
        ("KIND", Align::Left),
        ("MODE", Align::Left),
        ("HITS", Align::Right),
        ("MISSES", Align::Right),
        ("HIT RATE", Align::Right),
        ("ENTRIES", Align::Right),
        ("MOST", Align::Right),
        ("FULL", Align::Right),
        ("MEMORY", Align::Right),
    ]);
    for kind in FlowCacheKind::ALL {
        let uses = row.kinds.get(&kind).copied().unwrap_or_default();
        let FlowCacheUse { hits, misses, hit_rate, entries, entries_max, full, memory_bytes } = uses;
        table.push([
            kind.name().into(),
            row.modes.of(kind).name().into(),
            hits.to_string(),
            misses.to_string(),
            hit_rate.map_or_else(|| "-".into(), percent),
            entries.to_string(),
            entries_max.to_string(),
            full.to_string(),
            bytes(memory_bytes),
        ]);
    }
    table.write(out, |_| Vec::new())?;
    writeln!(out, "generation {}, {} in the FIB", row.generation, counted(row.fib_lookups, "lookup"))?;
    writeln!(
        out,
        "after changes {} still true, {} kept by policy, {} looked up again{}",
        row.flow_cache_unaffected,
        row.flow_cache_kept_by_policy,
        row.flow_cache_revalidated,
        reasons(&row.renewals)
    )?;
    let journal = &row.journal;
    writeln!(
        out,
        "journal {}, the last {} known one by one (at most {}), {}",
        counted(journal.changes, "change"),
        journal.depth,
        journal.depth_max,
        counted(journal.overruns, "overrun")
    )
}

/// A change of the routing state on a line.
pub(super) fn journal(out: &mut impl Write, row: &JournalRow) -> io::Result<()> {
    let time = row.time_unix_ms.and_then(|time| DateTime::from_timestamp_millis(time.try_into().ok()?));
    let time = time.map_or_else(|| "-".into(), |time| format!("{time:?}"));
    write!(out, "{} {time} {}", row.generation, row.change)?;
    if let Some(prefix) = row.prefix {
        write!(out, " {prefix}")?;
    }
    if let Some(table) = row.table.as_deref().filter(|table| *table != "main") {
        write!(out, " table {table}")?;
    }
    if let Some(address) = row.address {
        write!(out, " {address}")?;
    }
    if let Some(via) = row.via {
        write!(out, " via {via}")?;
    }
    if let Some(port) = &row.port {
        write!(out, " dev {port}")?;
    }
    if let Some(family) = row.family.filter(|_| row.prefix.is_none() && row.address.is_none()) {
        write!(out, " {}", family.name())?;
    }
    writeln!(out, " moved {}", row.moved)
}

/// A prefix and its policy, as they are written in a command.
pub(super) fn route_policy(out: &mut impl Write, row: &RoutePolicyRow) -> io::Result<()> {
    writeln!(out, "{} {}", row.prefix, row.policy.name())
}

/// A change of the flow cache on a line.
pub(super) fn event(out: &mut impl Write, event: &FlowCacheEvent) -> io::Result<()> {
    out.write_all(b"flow-cache ")?;
    let names = |kinds: &std::collections::BTreeSet<FlowCacheKind>| -> String {
        kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" ")
    };
    match event {
        FlowCacheEvent::Modes(row) => writeln!(out, "{}", modes(row)),
        FlowCacheEvent::Flushed { kinds } => writeln!(out, "flush {}", names(kinds)),
        FlowCacheEvent::Touched { action, kinds, flows } => {
            writeln!(out, "{} {} of {}", action.name(), names(kinds), counted(*flows, "flow"))
        }
        FlowCacheEvent::Invalidated { flows } => {
            writeln!(out, "{} will look up again", counted(*flows, "flow"))
        }
        FlowCacheEvent::Policy { prefix, policy: Some(policy) } => {
            writeln!(out, "route policy {prefix} {}", policy.name())
        }
        FlowCacheEvent::Policy { prefix, policy: None } => writeln!(out, "route policy {prefix} none"),
        FlowCacheEvent::Followed { generation, changes, renewals, moved, unaffected, kept_by_policy } => {
            let again: u64 = renewals.values().sum();
            writeln!(
                out,
                "generation {generation} after {}: {moved} moved, {unaffected} still true, {kept_by_policy} kept by \
                 policy, {again} looked up again{}",
                counted(*changes, "change"),
                reasons(renewals)
            )
        }
    }
}

/// What is in force, on a line.
pub(super) fn modes(modes: &FlowCacheModes) -> String {
    FlowCacheKind::ALL.map(|kind| format!("{} {}", kind.name(), modes.of(kind).name())).join(", ")
}

/// Reasons that have occurred, behind their sum: the most frequent first.
fn reasons(renewals: &Counters) -> String {
    let mut occurred: Vec<_> = renewals.iter().filter(|(_, count)| **count > 0).collect();
    occurred.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut text = String::new();
    for (number, (reason, count)) in occurred.into_iter().enumerate() {
        let _ = write!(text, "{} {reason} {count}", if number == 0 { ":" } else { "," });
    }
    text
}

/// A share in percent, never rounded up to all.
fn percent(share: f64) -> String {
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

/// A number of bytes in the largest unit that leaves it whole, or nearly so.
fn bytes(count: u64) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{} KiB", count >> 10),
        _ => format!("{} MiB", count >> 20),
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::super::text;
    use super::*;
    use crate::message::{Family, FlowCacheAction, FlowCacheMode, RoutePolicy};
    use crate::samples;

    #[test]
    fn the_flow_cache_is_told_kind_by_kind() {
        assert_eq!(
            text(|out| flow_cache(out, &samples::flow_cache())),
            "KIND       MODE  HITS  MISSES  HIT RATE  ENTRIES    MOST  FULL    MEMORY\n\
             route      on      98       2   98.00 %       12  262144     0    4096 B\n\
             verdict    off      2       1   66.66 %        3   65536     1  3072 KiB\n\
             negative   on       0       0         -        0       0     0       0 B\n\
             untracked  on       0       0         -        0       0     0       0 B\n\
             generation 7, 2 lookups in the FIB\n\
             after changes 40 still true, 1 kept by policy, 3 looked up again: route_added 2, port_down 1\n\
             journal 100000 changes, the last 65536 known one by one (at most 65536), 0 overruns\n"
        );
    }

    #[test]
    fn a_rate_is_not_rounded_up_to_all() {
        assert_eq!(percent(0.999_99), "99.99 %");
        assert_eq!(percent(1.0), "100.00 %");
    }

    #[test]
    fn the_journal_says_when_what_changed_and_how_many_flows_moved() {
        let mut row = samples::journal();
        assert_eq!(
            text(|out| journal(out, &row)),
            "42 2025-12-17T19:33:20.123Z route_added 10.0.2.0/24 moved 17\n"
        );
        row.table = Some("100".into());
        assert!(text(|out| journal(out, &row)).contains(" 10.0.2.0/24 table 100 moved 17"));
        (row.time_unix_ms, row.prefix, row.table) = (None, None, None);
        (row.change, row.port, row.via) = ("next_hop_gone".into(), Some("r1".into()), "fd00::1".parse().ok());
        (row.family, row.moved) = (Some(Family::Ipv6), 0);
        assert_eq!(text(|out| journal(out, &row)), "42 - next_hop_gone via fd00::1 dev r1 ipv6 moved 0\n");
        row.time_unix_ms = Some(u64::MAX);
        assert!(text(|out| journal(out, &row)).starts_with("42 - next_hop_gone "));
    }

    #[test]
    fn each_change_of_the_flow_cache_has_a_line() {
        let prefix: IpNet = "10.2.0.0/16".parse().unwrap();
        let kinds = [FlowCacheKind::Route, FlowCacheKind::Verdict].into();
        let modes = FlowCacheModes { verdict: FlowCacheMode::Off, ..FlowCacheModes::default() };
        for (event, line) in [
            (FlowCacheEvent::Modes(modes), "route on, verdict off, negative on, untracked on"),
            (FlowCacheEvent::Flushed { kinds: [FlowCacheKind::Negative].into() }, "flush negative"),
            (
                FlowCacheEvent::Touched { action: FlowCacheAction::Off, kinds, flows: 1 },
                "off route verdict of 1 flow",
            ),
            (FlowCacheEvent::Invalidated { flows: 3 }, "3 flows will look up again"),
            (
                FlowCacheEvent::Policy { prefix, policy: Some(RoutePolicy::Keep) },
                "route policy 10.2.0.0/16 keep",
            ),
            (FlowCacheEvent::Policy { prefix, policy: None }, "route policy 10.2.0.0/16 none"),
            (
                FlowCacheEvent::Followed {
                    generation: 9,
                    changes: 2,
                    renewals: Counters::from([("next_hop_gone".into(), 4), ("port_down".into(), 0)]),
                    moved: 3,
                    unaffected: 1000,
                    kept_by_policy: 1,
                },
                "generation 9 after 2 changes: 3 moved, 1000 still true, 1 kept by policy, \
                 4 looked up again: next_hop_gone 4",
            ),
        ] {
            assert_eq!(text(|out| super::event(out, &event)), format!("flow-cache {line}\n"));
        }
    }
}
