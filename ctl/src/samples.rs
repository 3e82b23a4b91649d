//! Rows to print in tests.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::message::{
    BridgePortRow, BridgeRow, Counters, ExpectationRow, Family, FlowCacheKind, FlowCacheMode, FlowCacheModes,
    FlowCacheRow, FlowCacheUse, FlowDirection, FlowLastHop, FlowRoute, FlowRow, FlowStatus, FlowVerdict,
    HostEvent, JournalDepth, JournalRow, LastHopKind, LastHopRow, Mac, MacKind, MacRow, MasterOfExpectation,
    NeighborRow, NextHopRow, PolicyRuleRow, PortRow, PortState, QueueRow, RouteKind, RoutePolicy, RouteRow,
    RouteSource, RulesCount, Setting, Status, TrackerLayer, TrackerRow,
};
use crate::names;

fn direction(address: &str, packets: u64, bytes: u64) -> FlowDirection {
    FlowDirection {
        source: address.parse().unwrap(),
        destination: address.parse().unwrap(),
        source_port: None,
        destination_port: None,
        icmp_type: None,
        icmp_code: None,
        icmp_id: None,
        zone: None,
        packets,
        bytes,
        route: FlowRoute::default(),
        verdict: FlowVerdict::default(),
    }
}

pub(crate) fn generic(protocol_number: u8) -> FlowRow {
    FlowRow {
        id: 4,
        family: Family::Ipv4,
        protocol: names::flow_protocol(protocol_number).into(),
        protocol_number,
        state: None,
        status: vec![FlowStatus::Confirmed],
        timeout_s: 599,
        mark: 0,
        zone: 0,
        helper: None,
        labels: Vec::new(),
        master: None,
        last_hop: None,
        original: direction("127.0.0.1", 1, 40),
        reply: direction("127.0.0.1", 0, 0),
    }
}

pub(crate) fn tcp() -> FlowRow {
    let route = FlowRoute {
        port: Some("r1".into()),
        next_hop: Some("10.0.12.2".parse().unwrap()),
        neighbor: Some("02:00:00:00:00:02".into()),
        prefix: Some("10.0.2.0/24".parse().unwrap()),
        table: Some("main".into()),
        policy: Some(RoutePolicy::Move),
        generation: 42,
        valid: true,
        source: RouteSource::Fib,
        hits: 2,
        renewals: 1,
        last_renewal: Some("route_added".into()),
        mode: None,
    };
    let verdict = FlowVerdict {
        cached: true,
        valid: true,
        unfit: false,
        outcome: Some("accept".into()),
        counters: 2,
        mode: None,
    };
    FlowRow {
        id: 1,
        state: Some("ESTABLISHED".into()),
        status: vec![FlowStatus::SeenReply, FlowStatus::Assured, FlowStatus::Confirmed],
        timeout_s: 431_999,
        mark: 17,
        original: FlowDirection {
            source_port: Some(38986),
            destination_port: Some(7777),
            route,
            verdict,
            ..direction("127.0.0.1", 3, 165)
        },
        reply: FlowDirection {
            source_port: Some(7777),
            destination_port: Some(38986),
            ..direction("127.0.0.1", 2, 112)
        },
        ..generic(6)
    }
}

pub(crate) fn udp() -> FlowRow {
    FlowRow {
        id: 2,
        state: Some("UNREPLIED".into()),
        timeout_s: 29,
        mark: 17,
        original: FlowDirection {
            source_port: Some(35721),
            destination_port: Some(7777),
            ..direction("127.0.0.1", 1, 29)
        },
        reply: FlowDirection {
            source_port: Some(7777),
            destination_port: Some(35721),
            ..direction("127.0.0.1", 0, 0)
        },
        ..generic(17)
    }
}

pub(crate) fn icmpv6() -> FlowRow {
    let echo = |icmp_type| FlowDirection {
        icmp_type: Some(icmp_type),
        icmp_code: Some(0),
        icmp_id: Some(9161),
        ..direction("::1", 1, 104)
    };
    FlowRow {
        id: 3,
        family: Family::Ipv6,
        status: vec![FlowStatus::SeenReply, FlowStatus::Confirmed],
        timeout_s: 29,
        original: echo(128),
        reply: echo(129),
        ..generic(58)
    }
}

pub(crate) fn expectation() -> ExpectationRow {
    ExpectationRow {
        id: 5,
        family: Family::Ipv4,
        protocol: "tcp".into(),
        protocol_number: 6,
        timeout_s: 299,
        source: Some("127.0.0.1".parse().unwrap()),
        destination: "127.0.0.1".parse().unwrap(),
        source_port: None,
        destination_port: 38410,
        zone: 0,
        helper: "ftp".into(),
        class: 0,
        permanent: false,
        inactive: false,
        master: MasterOfExpectation {
            id: 1,
            source: "127.0.0.1".parse().unwrap(),
            destination: "127.0.0.1".parse().unwrap(),
            source_port: 57046,
            destination_port: 2121,
        },
    }
}

pub(crate) fn route() -> RouteRow {
    RouteRow {
        family: Family::Ipv4,
        table: "main".into(),
        prefix: "10.10.0.0/16".parse().unwrap(),
        kind: RouteKind::Unicast,
        protocol: "boot".into(),
        scope: "global".into(),
        metric: 0,
        tos: 0,
        preferred_source: None,
        mtu: None,
        nexthop_object: None,
        next_hops: vec![NextHopRow {
            via: Some("10.9.0.5".parse().unwrap()),
            port: Some("v0".into()),
            weight: 1,
            onlink: false,
            usable: true,
            reason: None,
        }],
        usable: true,
        reason: None,
    }
}

pub(crate) fn policy_rule() -> PolicyRuleRow {
    PolicyRuleRow {
        family: Family::Ipv4,
        priority: 32766,
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
        table: Some("main".into()),
        goto: None,
    }
}

pub(crate) fn neighbor() -> NeighborRow {
    NeighborRow {
        address: "10.9.0.6".parse().unwrap(),
        port: "v0".into(),
        mac: Some("02:00:00:00:00:06".into()),
        state: "STALE".into(),
        flags: Vec::new(),
    }
}

pub(crate) fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 4242,
        uptime_s: 3661,
        host: "kernel".into(),
        host_device: None,
        forwarding: true,
        workers: 1,
        ports: vec!["r0".into(), "r1".into()],
        generation: 42,
        flow_cache: FlowCacheModes { untracked: FlowCacheMode::Off, ..FlowCacheModes::default() },
        flows: 10,
        flows_max: 262_144,
        rules: RulesCount { tables: 1, chains: 3, rules: 12, sets: 0 },
        handover: false,
        guard: "on".into(),
        settings: BTreeMap::from([("icmp_ratelimit_ms".into(), Setting::Number(1000))]),
    }
}

pub(crate) fn port(name: &str) -> PortRow {
    PortRow {
        name: name.into(),
        index: Some(2),
        kind: "af_packet".into(),
        mac: Some("02:00:00:00:00:01".into()),
        mtu: 1500,
        state: PortState::Up,
        reason: None,
        settings: BTreeMap::new(),
        counters: Counters::from([
            ("received_frames".into(), 10),
            ("received_bytes".into(), 1000),
            ("sent_frames".into(), 9),
            ("sent_bytes".into(), 900),
        ]),
    }
}

pub(crate) fn tracker() -> TrackerRow {
    TrackerRow {
        layer: TrackerLayer::Transport,
        name: "udp".into(),
        family: None,
        protocol_number: Some(17),
        timeouts_s: BTreeMap::from([("unreplied".into(), 30), ("replied".into(), 120)]),
    }
}

pub(crate) fn flow_cache() -> FlowCacheRow {
    let route = FlowCacheUse {
        entries: 12,
        entries_max: 262_144,
        memory_bytes: 4096,
        ..FlowCacheUse::counted(98, 2)
    };
    let verdict = FlowCacheUse {
        entries: 3,
        entries_max: 65_536,
        full: 1,
        memory_bytes: 3 << 20,
        ..FlowCacheUse::counted(2, 1)
    };
    FlowCacheRow {
        modes: FlowCacheModes { verdict: FlowCacheMode::Off, ..FlowCacheModes::default() },
        generation: 7,
        fib_lookups: 2,
        flow_cache_hits: 98,
        flow_cache_revalidated: 3,
        flow_cache_unaffected: 40,
        flow_cache_kept_by_policy: 1,
        kinds: BTreeMap::from([(FlowCacheKind::Route, route), (FlowCacheKind::Verdict, verdict)]),
        renewals: Counters::from([("port_down".into(), 1), ("route_added".into(), 2)]),
        journal: JournalDepth { changes: 100_000, depth: 65_536, depth_max: 65_536, overruns: 0 },
    }
}

pub(crate) fn journal() -> JournalRow {
    JournalRow {
        generation: 42,
        time_unix_ms: Some(1_766_000_000_123),
        change: "route_added".into(),
        family: Some(Family::Ipv4),
        table: Some("main".into()),
        prefix: Some("10.0.2.0/24".parse().unwrap()),
        via: None,
        port: None,
        address: None,
        moved: 17,
    }
}

const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);

pub(crate) fn bridge() -> BridgeRow {
    let port =
        |port: &str, macs| BridgePortRow { port: port.into(), state: PortState::Up, reason: None, macs };
    BridgeRow {
        name: "br0".into(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        state: PortState::Up,
        ports: vec![port("r0", 1), port("r1", 2)],
        macs: 3,
        macs_max: 4096,
        ageing_s: 300,
        counters: Counters::from([("forwarded".into(), 10), ("flooded".into(), 4), ("moved".into(), 0)]),
    }
}

pub(crate) fn mac() -> MacRow {
    MacRow {
        mac: MAC,
        bridge: "br0".into(),
        port: Some("r1".into()),
        age_s: Some(12),
        kind: MacKind::Learned,
    }
}

pub(crate) fn queue() -> QueueRow {
    QueueRow {
        queue: 0,
        pid: Some(4711),
        program: Some("third.py".into()),
        waiting: 2,
        waiting_max: 1024,
        timeout_ms: 500,
        counters: Counters::from([("accepted".into(), 20), ("dropped".into(), 10), ("full".into(), 0)]),
    }
}

pub(crate) fn last_hop() -> LastHopRow {
    let FlowLastHop { port, source_mac, destination_mac, neighbor, answers_to, used: _ } = flow_last_hop();
    LastHopRow {
        number: 3,
        port,
        source_mac,
        neighbor,
        answers_to,
        destination_mac,
        kind: LastHopKind::Vrrp,
        virtual_id: Some(7),
        group: None,
        flows: 17,
        silent_s: 2,
        is_newest: false,
        alive: true,
        reason: None,
    }
}

pub(crate) fn flow_last_hop() -> FlowLastHop {
    FlowLastHop {
        port: "r0".into(),
        source_mac: Some(Mac([0, 0, 0x5e, 0, 1, 7])),
        destination_mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        neighbor: Some("10.0.1.2".parse().unwrap()),
        answers_to: Some(Mac([0, 0, 0x5e, 0, 1, 7])),
        used: true,
    }
}

/// One event of each kind.
pub(crate) fn host_events() -> Vec<HostEvent> {
    let port = || "r0".to_owned();
    let bridge = || "br0".to_owned();
    let (own, other): (IpAddr, IpAddr) = ("10.0.1.1".parse().unwrap(), "10.0.1.2".parse().unwrap());
    vec![
        HostEvent::AddressReady { port: port(), address: own },
        HostEvent::DuplicateAddress { port: port(), address: own, mac: Some(MAC) },
        HostEvent::AddressConflict { port: port(), address: own, mac: Some(MAC), defended: true },
        HostEvent::NeighborMoved { port: port(), address: other, before: MAC, mac: OTHER_MAC },
        HostEvent::NeighborFailed { port: port(), address: other },
        HostEvent::StaticNeighborClaimed { port: port(), address: other, mac: OTHER_MAC },
        HostEvent::NeighborsFull { refused: 3 },
        HostEvent::LastHopDead {
            port: port(),
            mac: Some(MAC),
            neighbor: Some(other),
            reason: "unanswered".into(),
            flows: 17,
        },
        HostEvent::LastHopAlive { port: port(), mac: Some(MAC), neighbor: Some(other), flows: 17 },
        HostEvent::LastHopFollowed {
            port: port(),
            before: Some(MAC),
            mac: Some(OTHER_MAC),
            neighbor: Some(other),
            flows: 17,
        },
        HostEvent::LastHopsFull { refused: 1 },
        HostEvent::QueueBound { queue: 0, pid: 4711, program: Some("third.py".into()) },
        HostEvent::QueueGone { queue: 0, pid: 4711, reason: "hung_up".into(), waiting: 2 },
        HostEvent::QueueLost { queue: 0, dropped: 5, bypassed: 7 },
        HostEvent::BridgeLoop { bridge: bridge(), port: "r1".into(), mac: MAC, action: "dropped".into() },
        HostEvent::MacMoved { bridge: bridge(), mac: MAC, before: "r0".into(), port: "r1".into() },
        HostEvent::MacsFull { bridge: bridge(), refused: 9 },
        HostEvent::DeviceReady { device: "routerd0".into() },
        HostEvent::DeviceLost { device: "routerd0".into(), reason: "it was deleted".into() },
    ]
}
