//! A router of rows only, to ask in tests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use ctl::message::{
    AddressChange, AddressRow, AnswerKind, BridgePortRow, BridgeRow, Changed, Counters, Event, EventKind,
    ExpectationRow, Failure, FailureKind, Family, FlowCacheChange, FlowCacheModes, FlowCacheRow,
    FlowDirection, FlowFilter, FlowRoute, FlowRow, FlowStatus, FlowVerdict, HookRow, JournalDepth,
    JournalQuery, JournalRow, LastHopKind, LastHopRow, Mac, MacFilter, MacKind, MacRow, MasterOfExpectation,
    NeighborChange, NeighborFlush, NeighborRow, NeighborsFlushed, PolicyRuleChange, PolicyRuleRow, PortRow,
    PortState, QueueRow, RouteAnswer, RouteChange, RouteFilter, RouteKind, RoutePolicyRow, RouteQuery,
    RouteRow, RouteSource, Row, RulesCount, RulesFile, RulesFilter, RulesLoaded, Status, Subject,
    TrackerLayer, TrackerRow, WayFilter,
};
use ipnet::IpNet;

use super::sources::{Actions, Pages, Sources, Sweep};

/// A router whose flows are numbers: even ones go to port 80, odd ones to 443.
pub(super) struct Fake {
    flows: RefCell<Vec<u64>>,
    modes: Cell<FlowCacheModes>,
    policies: RefCell<Vec<RoutePolicyRow>>,
    /// Changes of the own tables, in the words of `ip`.
    pub(super) changes: RefCell<Vec<String>>,
    /// The most rows that were asked for at a time.
    pub(super) page_max: Cell<usize>,
}

impl Fake {
    pub(super) fn with_flows(count: u64) -> Self {
        Self {
            flows: RefCell::new((0..count).collect()),
            modes: Cell::default(),
            policies: RefCell::default(),
            changes: RefCell::default(),
            page_max: Cell::new(0),
        }
    }
}

pub(super) fn flow(id: u64) -> FlowRow {
    let port = if id.is_multiple_of(2) { 80 } else { 443 };
    let client = u16::try_from(id % 60_000).unwrap() + 1024;
    let direction = |source: &str, destination: &str, source_port, destination_port| FlowDirection {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        source_port: Some(source_port),
        destination_port: Some(destination_port),
        icmp_type: None,
        icmp_code: None,
        icmp_id: None,
        zone: None,
        packets: 10,
        bytes: 1_000,
        route: FlowRoute { port: Some("r1".into()), source: RouteSource::Fib, ..FlowRoute::default() },
        verdict: FlowVerdict::default(),
    };
    FlowRow {
        id,
        family: Family::Ipv4,
        protocol: "tcp".into(),
        protocol_number: 6,
        state: Some("ESTABLISHED".into()),
        status: vec![FlowStatus::SeenReply, FlowStatus::Assured, FlowStatus::Confirmed],
        timeout_s: 431_999,
        mark: 0,
        zone: 0,
        helper: None,
        labels: Vec::new(),
        master: None,
        last_hop: None,
        original: direction("10.0.1.2", "10.0.2.2", client, port),
        reply: direction("10.0.2.2", "10.0.1.2", port, client),
    }
}

pub(super) fn flow_event(event: EventKind, id: u64) -> Event {
    Event { event, subject: Subject::Flow(Box::new(flow(id))) }
}

pub(super) fn neighbor_event() -> Event {
    Event { event: EventKind::New, subject: Subject::Neighbor(neighbor("10.0.1.2")) }
}

fn neighbor(address: &str) -> NeighborRow {
    NeighborRow {
        address: address.parse().unwrap(),
        port: "r0".into(),
        mac: Some("02:00:00:00:00:02".into()),
        state: "REACHABLE".into(),
        flags: Vec::new(),
    }
}

impl Sources for Fake {
    fn status(&self) -> Status {
        Status {
            version: "0.0.0".into(),
            pid: 1,
            uptime_s: 60,
            host: "none".into(),
            host_device: None,
            forwarding: true,
            workers: 1,
            ports: vec!["r0".into(), "r1".into()],
            generation: 7,
            flow_cache: self.modes.get(),
            flows: self.flows.borrow().len() as u64,
            flows_max: 262_144,
            rules: RulesCount::default(),
            handover: false,
            guard: "on".into(),
            settings: BTreeMap::new(),
        }
    }

    fn ports(&self) -> Vec<PortRow> {
        let port = |name: &str| PortRow {
            name: name.into(),
            index: Some(2),
            kind: "af_packet".into(),
            mac: Some("02:00:00:00:00:01".into()),
            mtu: 1500,
            state: PortState::Up,
            reason: None,
            settings: BTreeMap::new(),
            counters: Counters::new(),
        };
        vec![port("r0"), port("r1")]
    }

    fn addresses(&self) -> Vec<AddressRow> {
        let address = |port: &str, address: &str| AddressRow {
            port: port.into(),
            state: "UP".into(),
            family: Family::Ipv4,
            address: address.parse().unwrap(),
            prefix_length: 24,
            scope: "global".into(),
            peer: None,
            broadcast: None,
            flags: Vec::new(),
            dad: None,
        };
        vec![address("r0", "10.0.1.1"), address("r0", "10.0.3.1"), address("r1", "10.0.2.1")]
    }

    fn routes(&self, _: &RouteFilter) -> Pages<'_, RouteRow> {
        let route = |table: &'static str, prefix: &str| RouteRow {
            family: Family::Ipv4,
            table: table.into(),
            prefix: prefix.parse().unwrap(),
            kind: RouteKind::Blackhole,
            protocol: "static".into(),
            scope: "global".into(),
            metric: 0,
            tos: 0,
            preferred_source: None,
            mtu: None,
            nexthop_object: None,
            next_hops: Vec::new(),
            usable: true,
            reason: None,
        };
        Pages::of([
            route("main", "0.0.0.0/0"),
            route("main", "10.0.0.0/8"),
            route("100", "10.0.0.0/8"),
            route("local", "10.0.1.1/32"),
        ])
    }

    fn policy_rules(&self) -> Vec<PolicyRuleRow> {
        let rule = |priority, table: &'static str| PolicyRuleRow {
            family: Family::Ipv4,
            priority,
            inverted: false,
            from: None,
            to: None,
            input_port: None,
            output_port: None,
            mark: None,
            mark_mask: None,
            tos: 0,
            protocol: None,
            source_ports: None,
            destination_ports: None,
            suppress_prefix_length: None,
            l3mdev: false,
            action: "lookup".into(),
            table: Some(table.into()),
            goto: None,
        };
        vec![rule(0, "local"), rule(32766, "main"), rule(32767, "default")]
    }

    fn neighbors(&self) -> Pages<'_, NeighborRow> {
        Pages::of([neighbor("10.0.1.2"), neighbor("10.0.2.2")])
    }

    fn flows(&self, _: &FlowFilter) -> Pages<'_, FlowRow> {
        let mut next = 0;
        Pages::new(move |rows_max| {
            self.page_max.set(self.page_max.get().max(rows_max));
            let flows = self.flows.borrow();
            let page: Vec<FlowRow> = flows[next..].iter().take(rows_max).map(|id| flow(*id)).collect();
            next += page.len();
            (!page.is_empty()).then_some(page)
        })
    }

    fn expectations(&self) -> Vec<ExpectationRow> {
        let master = flow(0).original;
        vec![ExpectationRow {
            id: 1,
            family: Family::Ipv4,
            protocol: "tcp".into(),
            protocol_number: 6,
            timeout_s: 300,
            source: Some(master.destination),
            destination: master.source,
            source_port: None,
            destination_port: 5000,
            zone: 0,
            helper: "ftp".into(),
            class: 0,
            permanent: false,
            inactive: false,
            master: MasterOfExpectation {
                id: 0,
                source: master.source,
                destination: master.destination,
                source_port: 1024,
                destination_port: 80,
            },
        }]
    }

    fn hooks(&self) -> Vec<HookRow> {
        let hook = |name: &'static str, priority| HookRow {
            family: Family::Ipv4,
            point: "prerouting".into(),
            priority,
            name: name.into(),
        };
        vec![hook("conntrack", -200), hook("route-from-flow", -199)]
    }

    fn trackers(&self) -> Vec<TrackerRow> {
        let tracker = |name: &'static str, protocol_number| TrackerRow {
            layer: TrackerLayer::Transport,
            name: name.into(),
            family: None,
            protocol_number,
            timeouts_s: BTreeMap::new(),
        };
        vec![tracker("tcp", Some(6)), tracker("generic", None)]
    }

    fn counters(&self) -> Counters {
        Counters::from([("received".into(), 10), ("forwarded".into(), 9)])
    }

    fn drops(&self) -> Counters {
        Counters::from([("ttl_exceeded".into(), 1)])
    }

    fn flow_cache(&self) -> FlowCacheRow {
        FlowCacheRow {
            modes: self.modes.get(),
            generation: 7,
            fib_lookups: 2,
            flow_cache_hits: 98,
            flow_cache_revalidated: 0,
            flow_cache_unaffected: 0,
            flow_cache_kept_by_policy: 0,
            kinds: BTreeMap::new(),
            renewals: Counters::new(),
            journal: JournalDepth::default(),
        }
    }

    fn journal(&self, query: JournalQuery) -> Pages<'_, JournalRow> {
        let row = |generation| JournalRow {
            generation,
            time_unix_ms: None,
            change: "route_added".into(),
            family: Some(Family::Ipv4),
            table: Some("main".into()),
            prefix: Some("10.0.0.0/8".parse().unwrap()),
            via: None,
            port: None,
            address: None,
            moved: 0,
        };
        let changes_max = query.changes_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap());
        Pages::of((1..=100).rev().take(changes_max).map(row))
    }

    fn route_policies(&self) -> Vec<RoutePolicyRow> {
        self.policies.borrow().clone()
    }

    fn rules(&self, _: &RulesFilter) -> Result<Pages<'_, Row>, Failure> {
        Ok(Pages::of([Row::RulesText("table ip t {\n}\n".into())]))
    }

    fn check_rules(&self, file: &RulesFile) -> Result<RulesLoaded, Failure> {
        Self::judge(file, false)
    }

    fn route_get(&self, query: &RouteQuery) -> Result<RouteAnswer, Failure> {
        if let Some(port) = &query.input_port {
            return Err(Failure::new(FailureKind::NotFound, format!("no port named {port} in this router")));
        }
        Ok(RouteAnswer {
            destination: query.destination,
            source: query.source,
            input_port: None,
            mark: query.mark,
            kind: AnswerKind::NoRoute,
            table: None,
            prefix: None,
            via: None,
            port: None,
            preferred_source: None,
            mtu: None,
            neighbor: None,
            generation: 7,
            depends_on: Vec::new(),
        })
    }

    fn bridges(&self) -> Vec<BridgeRow> {
        let port = BridgePortRow { port: "r1".into(), state: PortState::Up, reason: None, macs: 1 };
        vec![BridgeRow {
            name: "br0".into(),
            mac: MAC,
            mtu: 1500,
            state: PortState::Up,
            ports: vec![port],
            macs: 2,
            macs_max: 4096,
            ageing_s: 300,
            counters: Counters::new(),
        }]
    }

    fn macs(&self, filter: &MacFilter) -> Result<Pages<'_, MacRow>, Failure> {
        if let Some(bridge) = filter.bridge.as_deref().filter(|bridge| *bridge != "br0") {
            return Err(Failure::new(
                FailureKind::NotFound,
                format!("no bridge named {bridge} in this router"),
            ));
        }
        let row = |port: Option<&str>, kind| MacRow {
            mac: MAC,
            bridge: "br0".into(),
            port: port.map(str::to_owned),
            age_s: None,
            kind,
        };
        Ok(Pages::of([row(Some("r1"), MacKind::Learned), row(None, MacKind::Own)]))
    }

    fn queues(&self) -> Vec<QueueRow> {
        vec![QueueRow {
            queue: 0,
            pid: None,
            program: None,
            waiting: 0,
            waiting_max: 1024,
            timeout_ms: 500,
            counters: Counters::new(),
        }]
    }

    fn last_hops(&self) -> Pages<'_, LastHopRow> {
        Pages::of((0..3).map(|number| LastHopRow {
            number,
            port: "r0".into(),
            source_mac: Some(MAC),
            neighbor: None,
            answers_to: Some(MAC),
            destination_mac: Some(MAC),
            kind: LastHopKind::Physical,
            virtual_id: None,
            group: None,
            flows: 1,
            silent_s: 0,
            is_newest: false,
            alive: true,
            reason: None,
        }))
    }
}

/// The Ethernet address that a fake router knows.
const MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);

impl Fake {
    /// A pass over the flows that counts those that are meant.
    fn sweep<'a>(&'a self, is_meant: impl Fn(u64) -> bool + 'a) -> Sweep<'a> {
        let mut next = 0;
        Box::new(move |flows_max| {
            let flows = self.flows.borrow();
            let step = &flows[next..flows.len().min(next + flows_max)];
            next += step.len();
            (!step.is_empty()).then(|| step.iter().filter(|id| is_meant(**id)).count() as u64)
        })
    }

    fn change(&self, change: &dyn std::fmt::Display) -> Result<Changed, Failure> {
        self.changes.borrow_mut().push(change.to_string());
        Ok(Changed { changed: 1 })
    }

    /// All files are right but those that say otherwise.
    fn judge(file: &RulesFile, loaded: bool) -> Result<RulesLoaded, Failure> {
        if file.text == "nonsense" {
            return Err(Failure::new(FailureKind::Failed, format!("{}:1:1: no command", file.name)));
        }
        Ok(RulesLoaded { loaded, tables: 1, ..RulesLoaded::default() })
    }
}

impl Actions for Fake {
    fn load_rules(&self, file: &RulesFile) -> Result<RulesLoaded, Failure> {
        Self::judge(file, true)
    }

    fn change_flow_cache(&self, change: &FlowCacheChange) -> Result<(), Failure> {
        let mut modes = self.modes.get();
        for kind in change.kinds_meant() {
            modes.set(kind, change.action.mode().unwrap_or(modes.of(kind)));
        }
        self.modes.set(modes);
        Ok(())
    }

    fn touch_flows(&self, change: &FlowCacheChange) -> Result<Sweep<'_>, Failure> {
        let filter = change.filter.clone();
        Ok(self.sweep(move |id| filter.matches(&flow(id))))
    }

    fn invalidate_flows(&self, filter: &WayFilter) -> Result<Sweep<'_>, Failure> {
        let port = filter.port.clone();
        Ok(self.sweep(move |id| port.is_none() || flow(id).original.route.port == port))
    }

    fn set_route_policy(&self, policy: &RoutePolicyRow) -> Result<(), Failure> {
        self.policies.borrow_mut().push(*policy);
        Ok(())
    }

    fn unset_route_policy(&self, prefix: IpNet) -> Result<RoutePolicyRow, Failure> {
        let mut policies = self.policies.borrow_mut();
        let place = policies.iter().position(|policy| policy.prefix == prefix);
        let place = place.ok_or_else(|| Failure::new(FailureKind::NotFound, "it has none"))?;
        Ok(policies.swap_remove(place))
    }

    fn change_address(&self, change: &AddressChange) -> Result<Changed, Failure> {
        self.change(change)
    }

    fn change_route(&self, change: &RouteChange) -> Result<Changed, Failure> {
        self.change(change)
    }

    fn change_policy_rule(&self, change: &PolicyRuleChange) -> Result<Changed, Failure> {
        self.change(change)
    }

    fn change_neighbor(&self, change: &NeighborChange) -> Result<Changed, Failure> {
        self.change(change)
    }

    fn flush_neighbors(&self, flush: &NeighborFlush) -> Result<NeighborsFlushed, Failure> {
        self.change(flush)?;
        Ok(NeighborsFlushed { flushed: 2 })
    }

    fn delete_flows(&self, filter: &FlowFilter) -> Sweep<'_> {
        let filter = filter.clone();
        let mut next = 0;
        Box::new(move |flows_max| {
            let mut flows = self.flows.borrow_mut();
            if next == flows.len() {
                return None;
            }
            let end = flows.len().min(next + flows_max);
            let before = flows.len();
            let kept: Vec<u64> =
                flows[next..end].iter().copied().filter(|id| !filter.matches(&flow(*id))).collect();
            let kept_count = kept.len();
            flows.splice(next..end, kept);
            next += kept_count;
            Some((before - flows.len()) as u64)
        })
    }
}
