//! What the control socket tells of the running router, and what it can be told to do: rows made of its tables.
//!
//! Each file makes rows of one kind of thing; the conversions take values and give rows. What is asked of several
//! tables at once is true of about one moment: each table by itself is.

mod bridges;
mod counters;
mod expectations;
mod flow_cache;
mod flows;
mod neighbors;
mod own;
mod ports;
mod queues;
mod route_get;
pub(super) mod routing;
mod settings;
#[cfg(test)]
mod tests;
pub(super) mod words;

use conntrack::Cursor;
use ctl::message::{
    AddressChange, AddressRow, BridgeRow, Changed, Counters, ExpectationRow, Failure, FailureKind,
    FlowCacheChange, FlowCacheRow, FlowFilter, FlowRow, HookRow, JournalQuery, JournalRow, LastHopRow,
    MacFilter, MacRow, NeighborChange, NeighborFlush, NeighborRow, NeighborsFlushed, PolicyRuleChange,
    PolicyRuleRow, PortRow, QueueRow, RouteAnswer, RouteChange, RouteFilter, RoutePolicyRow, RouteQuery,
    RouteRow, Row, RulesFile, RulesFilter, RulesLoaded, Status, TrackerRow, WayFilter,
};
use fib::adjacency::PortId;
use ipnet::IpNet;

pub(super) use expectations::row as expectation;
pub(super) use flows::{View, Ways};

use super::{Core, Seat, Take};
use crate::bridge::Bridge;
use crate::control::{Actions, Pages, Sources, Sweep};
use crate::offload::SharedFlow;
use crate::port::{HOST as HOST_PLACE, PortCounters};

impl Sources for Core {
    fn status(&self) -> Status {
        let routing = self.reader.load();
        let ready = self.ready_since.get();
        let workers = self.workers.borrow().len();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_s: ready.map_or(0, |since| (self.now() - since).as_secs()),
            host: self.shared.host.word().into(),
            host_device: self.own_device(),
            forwarding: ready.is_some() && workers > 0,
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            ports: self.port_ids().map(|port| self.shared.ports.name(port).to_owned()).collect(),
            generation: routing.generation().0,
            flow_cache: words::modes(self.shared.flow_cache()),
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
        self.tell_standing(routing::addresses(&self.writer.borrow()))
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
        let known = neighbors::known_of(&self.writer.borrow(), &self.shared.ports, &self.shared.neighbors);
        Pages::of(known).filter_map(|(port, entry)| Some(self.neighbor_row(port, &entry)))
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
        flow_cache::row(self)
    }

    fn journal(&self, query: JournalQuery) -> Pages<'_, JournalRow> {
        flow_cache::journal(self, query)
    }

    fn route_policies(&self) -> Vec<RoutePolicyRow> {
        flow_cache::policies(self)
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

    fn bridges(&self) -> Vec<BridgeRow> {
        let ports = self.ports();
        let workers = self.workers.borrow();
        let row = |bridge: &Bridge| {
            let counted = workers.iter().map(|seat| seat.counters.bridge(bridge.number));
            bridges::row(bridge, &ports, &self.shared.ports, counted, self.now())
        };
        self.shared.bridges.iter().map(row).collect()
    }

    fn macs(&self, filter: &MacFilter) -> Result<Pages<'_, MacRow>, Failure> {
        bridges::macs(&self.shared.bridges, &self.shared.ports, filter, self.now())
    }

    fn queues(&self) -> Vec<QueueRow> {
        queues::rows(&self.shared.queues)
    }

    fn last_hops(&self) -> Pages<'_, LastHopRow> {
        Pages::of(self.show_last_hops())
    }
}

impl Actions for Core {
    fn change_flow_cache(&self, change: &FlowCacheChange) -> Result<(), Failure> {
        self.steer(change);
        Ok(())
    }

    fn touch_flows(&self, change: &FlowCacheChange) -> Result<Sweep<'_>, Failure> {
        Ok(self.touch(change))
    }

    fn invalidate_flows(&self, filter: &WayFilter) -> Result<Sweep<'_>, Failure> {
        self.invalidate(filter)
    }

    fn set_route_policy(&self, policy: &RoutePolicyRow) -> Result<(), Failure> {
        self.set_policy(policy.prefix.trunc(), Some(words::policy(policy.policy)))
    }

    fn unset_route_policy(&self, prefix: IpNet) -> Result<RoutePolicyRow, Failure> {
        let prefix = prefix.trunc();
        let none = || Failure::new(FailureKind::NotFound, format!("{prefix} has no policy of its own"));
        let policy = self.policy_of(prefix).ok_or_else(none)?;
        self.set_policy(prefix, None)?;
        Ok(policy)
    }

    fn load_rules(&self, file: &RulesFile) -> Result<RulesLoaded, Failure> {
        self.take_rules(file, Take::Commands)
    }

    fn change_address(&self, change: &AddressChange) -> Result<Changed, Failure> {
        self.change_own_address(change)
    }

    fn change_route(&self, change: &RouteChange) -> Result<Changed, Failure> {
        self.change_own_route(change)
    }

    fn change_policy_rule(&self, change: &PolicyRuleChange) -> Result<Changed, Failure> {
        self.change_own_rule(change)
    }

    fn change_neighbor(&self, change: &NeighborChange) -> Result<Changed, Failure> {
        self.change_own_neighbor(change)
    }

    fn flush_neighbors(&self, flush: &NeighborFlush) -> Result<NeighborsFlushed, Failure> {
        self.flush_own_neighbors(flush)
    }

    fn delete_flows(&self, filter: &FlowFilter) -> Sweep<'_> {
        let filter = filter.clone();
        self.sweep(
            move |conn, view| view.is_meant(conn, &filter) && self.shared.flows.delete_one(conn),
            || {},
        )
    }
}

impl Core {
    /// What passed a port, all workers together.
    fn port_counters(&self, port: PortId) -> PortCounters {
        let bridge = self.shared.bridges.number(port);
        let of_worker = |seat: &Seat| match bridge {
            Some(number) => bridges::port_counters(seat.counters.bridge(number)),
            None => seat.handle.stats().port(port),
        };
        self.workers.borrow().iter().map(of_worker).fold(PortCounters::default(), ports::add)
    }

    /// The row of the device by which packets for and from the router itself pass, while they do.
    fn host_row(&self) -> Option<PortRow> {
        let handed = self.handover.device_index().map(|index| (super::DEVICE.to_owned(), Some(index)));
        let (name, device) = handed.or_else(|| Some((self.own_device()?, self.own_device_index())))?;
        let writer = self.writer.borrow();
        let link = writer.links().map(|row| row.link).find(|link| Some(link.index) == device);
        Some(ports::host_row(&name, link, &self.port_counters(HOST_PLACE)))
    }

    /// A pass over the flows of now: `does` says whether it has done something to a flow, `ends` is called behind the last.
    pub(super) fn sweep<'a>(
        &'a self,
        does: impl Fn(&SharedFlow, &View<'_>) -> bool + 'a,
        ends: impl FnOnce() + 'a,
    ) -> Sweep<'a> {
        let mut next = Some(Cursor::default());
        let mut ends = Some(ends);
        Box::new(move |flows_max| {
            let Some(cursor) = next else {
                if let Some(ends) = ends.take() {
                    ends();
                }
                return None;
            };
            let page = self.shared.flows.list(cursor, flows_max, self.now(), |_| true);
            next = page.next;
            let routing = self.reader.load();
            let view = self.flow_view(&routing);
            Some(page.conns.iter().filter(|conn| does(conn, &view)).count() as u64)
        })
    }

    fn flow_view<'a>(&'a self, routing: &'a fib::snapshot::Snapshot) -> flows::View<'a> {
        flows::View::new(&self.shared, routing, self.now())
    }
}
