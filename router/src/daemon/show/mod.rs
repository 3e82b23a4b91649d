//! What the control socket tells of the running router, and what it can be told to do: rows made of its tables.
//!
//! Each file makes rows of one kind of thing; the conversions take values and give rows. What is asked of several
//! tables at once is true of about one moment: each table by itself is.

mod counters;
mod expectations;
mod flows;
pub(super) mod neighbors;
mod ports;
mod route_get;
pub(super) mod routing;
mod settings;
#[cfg(test)]
mod tests;

use conntrack::Cursor;
use ctl::message::{
    AddressRow, Counters, ExpectationRow, Failure, FlowCacheAction, FlowCacheMode, FlowCacheModes,
    FlowCacheRow, FlowFilter, FlowRow, HookRow, NeighborRow, PolicyRuleRow, PortRow, RouteAnswer,
    RouteFilter, RouteQuery, RouteRow, Row, RulesFile, RulesFilter, RulesLoaded, Status, TrackerRow,
};
use fib::adjacency::PortId;
use ipnet::IpNet;

pub(super) use expectations::row as expectation;
pub(super) use flows::View;

use super::{Core, Take};
use crate::control::{Actions, Deletion, Pages, Sources};
use crate::engine::{FlowCache, Kind};
use crate::port::{HOST as HOST_PLACE, PortCounters};

/// Who owns addresses and local traffic. This router leaves them to the kernel.
const HOST: &str = "kernel";

impl Sources for Core {
    fn status(&self) -> Status {
        let routing = self.reader.load();
        let ready = self.ready_since.get();
        let workers = self.workers.borrow().len();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_s: ready.map_or(0, |since| (self.now() - since).as_secs()),
            host: HOST.into(),
            forwarding: ready.is_some() && workers > 0,
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            ports: self.port_ids().map(|port| self.shared.ports.name(port).to_owned()).collect(),
            generation: routing.generation().0,
            flow_cache: FlowCacheModes { route: mode(self.shared.flow_cache().of(Kind::Route)) },
            flows: self.shared.flows.len() as u64,
            flows_max: self.shared.flows.config().flows_max as u64,
            rules: self.rules.count(),
            handover: self.handover.is_on(),
            guard: match self.guard.borrow().is_set() {
                _ if self.handover.is_on() => "handover".into(),
                true => "on".into(),
                false => "off".into(),
            },
            settings: settings::of_namespace(routing.namespace_settings()),
        }
    }

    fn ports(&self) -> Vec<PortRow> {
        let routing = self.reader.load();
        let writer = self.writer.borrow();
        let keeper = self.keeper.borrow();
        let row = |port: PortId| {
            let view = self.shared.ports.get(port);
            ports::row(&ports::Facts {
                name: self.shared.ports.name(port),
                kind: self.kinds[usize::from(port.0)],
                view,
                standing: keeper.standing(port),
                link: writer.links().map(|row| row.link).find(|link| Some(link.index) == view.link),
                settings: routing.link_settings(port),
                counters: self.port_counters(port),
                now: self.now(),
            })
        };
        self.port_ids().map(row).chain(self.host_row()).collect()
    }

    fn addresses(&self) -> Vec<AddressRow> {
        routing::addresses(&self.writer.borrow())
    }

    fn routes(&self, filter: &RouteFilter) -> Pages<'_, RouteRow> {
        let filter = filter.clone();
        let mut after: Option<Option<(u32, IpNet)>> = Some(None);
        Pages::new(move |rows_max| {
            let (rows, last) = routing::page(&self.writer.borrow(), after?, rows_max, &filter);
            after = last.map(Some);
            Some(rows)
        })
    }

    fn policy_rules(&self) -> Vec<PolicyRuleRow> {
        let writer = self.writer.borrow();
        [false, true].into_iter().flat_map(|ipv6| writer.rules(ipv6)).map(routing::policy_rule).collect()
    }

    fn neighbors(&self) -> Pages<'_, NeighborRow> {
        Pages::of(neighbors::rows(&self.writer.borrow(), &self.shared.ports, &self.shared.neighbors))
    }

    fn flows(&self, filter: &FlowFilter) -> Pages<'_, FlowRow> {
        let filter = filter.clone();
        let mut next = Some(Cursor::default());
        Pages::new(move |flows_max| {
            let page = self.shared.flows.list(next?, flows_max, self.now(), |_| true);
            next = page.next;
            let routing = self.reader.load();
            let view = self.flow_view(&routing);
            let wanted = page.conns.iter().filter(|conn| flows::may_match(&filter, conn));
            Some(wanted.map(|conn| view.row(conn)).collect())
        })
    }

    fn expectations(&self) -> Vec<ExpectationRow> {
        let now = self.now();
        let rows = self.shared.flows.expectations(now);
        rows.iter().map(|expectation| expectations::row(expectation, expectation.timeout_at(now))).collect()
    }

    fn hooks(&self) -> Vec<HookRow> {
        self.shared.hooks.rows().into_iter().map(routing::hook).collect()
    }

    fn trackers(&self) -> Vec<TrackerRow> {
        self.shared.flows.registry().rows().into_iter().map(flows::tracker).collect()
    }

    fn counters(&self) -> Counters {
        counters::all(self)
    }

    fn drops(&self) -> Counters {
        counters::drops(self.workers.borrow().iter().map(|seat| &*seat.counters))
    }

    fn flow_cache(&self) -> FlowCacheRow {
        let totals = self.totals();
        let total = |name| totals.get(name).copied().unwrap_or(0);
        FlowCacheRow {
            route: mode(self.shared.flow_cache().of(Kind::Route)),
            generation: self.reader.load().generation().0,
            fib_lookups: total("fib_lookups"),
            flow_cache_hits: total("flow_cache_hits"),
            flow_cache_revalidated: total("flow_cache_revalidated"),
        }
    }

    fn rules(&self, filter: &RulesFilter) -> Result<Pages<'_, Row>, Failure> {
        self.rule_rows(filter)
    }

    fn check_rules(&self, file: &RulesFile) -> Result<RulesLoaded, Failure> {
        self.check_rules_file(file)
    }

    fn route_get(&self, query: &RouteQuery) -> Result<RouteAnswer, Failure> {
        route_get::answer(&self.reader.load(), query)
    }
}

impl Actions for Core {
    fn set_flow_cache(&self, action: FlowCacheAction) -> Result<(), Failure> {
        match action {
            FlowCacheAction::On => self.shared.set_flow_cache(FlowCache::On),
            FlowCacheAction::Off => self.shared.set_flow_cache(FlowCache::Off),
            FlowCacheAction::Hold => self.shared.set_flow_cache(FlowCache::Hold),
            FlowCacheAction::Flush => {
                self.writer.borrow_mut().raise();
            }
        }
        Ok(())
    }

    fn load_rules(&self, file: &RulesFile) -> Result<RulesLoaded, Failure> {
        self.take_rules(file, Take::Commands)
    }

    fn delete_flows(&self, filter: &FlowFilter) -> Deletion<'_> {
        let filter = filter.clone();
        let mut next = Some(Cursor::default());
        Box::new(move |flows_max| {
            let table = &self.shared.flows;
            let page = table.list(next?, flows_max, self.now(), |_| true);
            next = page.next;
            let routing = self.reader.load();
            let view = self.flow_view(&routing);
            let meant = page.conns.iter().filter(|conn| {
                filter.is_everything() || flows::may_match(&filter, conn) && filter.matches(&view.row(conn))
            });
            Some(meant.filter(|conn| table.delete_one(conn)).count() as u64)
        })
    }
}

impl Core {
    /// What passed a port, all workers together.
    fn port_counters(&self, port: PortId) -> PortCounters {
        let workers = self.workers.borrow();
        workers
            .iter()
            .fold(PortCounters::default(), |sum, seat| ports::add(sum, seat.handle.stats().port(port)))
    }

    /// The row of the device by which packets for and from the router itself pass, while they do.
    fn host_row(&self) -> Option<PortRow> {
        let device = self.handover.device_index()?;
        let writer = self.writer.borrow();
        let link = writer.links().map(|row| row.link).find(|link| link.index == device);
        Some(ports::host_row(super::DEVICE, link, &self.port_counters(HOST_PLACE)))
    }

    fn flow_view<'a>(&'a self, routing: &'a fib::snapshot::Snapshot) -> flows::View<'a> {
        flows::View::new(&self.shared, routing, self.now())
    }
}

const fn mode(mode: FlowCache) -> FlowCacheMode {
    match mode {
        FlowCache::On => FlowCacheMode::On,
        FlowCache::Off => FlowCacheMode::Off,
        FlowCache::Hold => FlowCacheMode::Hold,
    }
}
