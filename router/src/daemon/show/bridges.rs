//! Bridges as rows: their ports, what they have counted, and who is behind which port.

use conntrack::Instant;
use ctl::message::{
    BridgePortRow, BridgeRow, Counters, Failure, FailureKind, Mac, MacFilter, MacKind, MacRow, PortRow,
    PortState,
};
use fib::adjacency::{PortId, Ports};

use crate::bridge::{Bridge, Bridges, Entry, Kind};
use crate::control::Pages;
use crate::port::PortCounters;
use crate::stats;

/// The row of a bridge; `ports` are the rows of all ports, `counted` what each worker has counted of it.
pub(super) fn row<'a>(
    bridge: &Bridge,
    ports: &[PortRow],
    names: &Ports,
    counted: impl Iterator<Item = &'a stats::BridgeCounters>,
    now: Instant,
) -> BridgeRow {
    let description = &bridge.description;
    let learned: Vec<PortId> = (bridge.macs.entries(now))
        .filter(|entry| entry.behind.kind == Kind::Learned)
        .map(|entry| entry.behind.port)
        .collect();
    let port_of = |port: PortId| ports.iter().find(|row| row.name == names.name(port));
    let member = |port: &PortId| {
        let row = port_of(*port);
        BridgePortRow {
            port: names.name(*port).to_owned(),
            state: row.map_or(PortState::Absent, |row| row.state),
            reason: row.and_then(|row| row.reason.clone()),
            macs: learned.iter().filter(|behind| *behind == port).count() as u64,
        }
    };
    let mut counters = Counters::new();
    for (name, count) in counted.flat_map(stats::BridgeCounters::named) {
        *counters.entry(name.into()).or_default() += count;
    }
    let view = names.get(description.port);
    BridgeRow {
        name: description.name.clone(),
        mac: Mac(view.mac.0),
        mtu: view.mtu,
        state: port_of(description.port).map_or(PortState::Absent, |row| row.state),
        ports: description.members.iter().map(member).collect(),
        macs: bridge.macs.len() as u64,
        macs_max: bridge.macs.entries_max() as u64,
        ageing_s: bridge.macs.ageing().as_secs(),
        counters,
    }
}

/// What passed the port that a bridge is, as a worker has counted it.
pub(super) fn port_counters(counted: &stats::BridgeCounters) -> PortCounters {
    PortCounters {
        received_frames: counted.received_frames.get(),
        received_bytes: counted.received_bytes.get(),
        sent_frames: counted.sent_frames.get(),
        sent_bytes: counted.sent_bytes.get(),
        ..PortCounters::default()
    }
}

/// The rows of link addresses, a part of a table at a time.
pub(super) fn macs<'a>(
    bridges: &'a Bridges,
    ports: &'a Ports,
    filter: &MacFilter,
    now: Instant,
) -> Result<Pages<'a, MacRow>, Failure> {
    let is_meant =
        |bridge: &&Bridge| filter.bridge.as_ref().is_none_or(|name| *name == bridge.description.name);
    let mut meant: Vec<&Bridge> = bridges.iter().filter(is_meant).collect();
    if let (Some(name), true) = (&filter.bridge, meant.is_empty()) {
        let message = format!("no bridge named {name} in this router");
        return Err(Failure::new(FailureKind::NotFound, message));
    }
    meant.reverse();
    let mut from = 0;
    Ok(Pages::new(move |rows_max| {
        let bridge = *meant.last()?;
        let (entries, next) = bridge.macs.page(from, rows_max, now);
        from = next.unwrap_or(0);
        if next.is_none() {
            meant.pop();
        }
        Some(entries.iter().map(|entry| mac_row(bridge, ports, entry)).collect())
    }))
}

fn mac_row(bridge: &Bridge, ports: &Ports, entry: &Entry) -> MacRow {
    let behind = entry.behind;
    let is_of_bridge = behind.port == bridge.description.port;
    MacRow {
        mac: Mac(entry.mac.0),
        bridge: bridge.description.name.clone(),
        port: (!is_of_bridge).then(|| ports.name(behind.port).to_owned()),
        age_s: (behind.kind == Kind::Learned).then_some(entry.silent.as_secs()),
        kind: match behind.kind {
            Kind::Learned => MacKind::Learned,
            Kind::Fixed => MacKind::Static,
            Kind::Own => MacKind::Own,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bridge::Description;
    use crate::tabletop::{Tabletop, port_mac};

    const HOST: [u8; 6] = [2, 0, 0, 0, 7, 1];
    const FIXED: [u8; 6] = [2, 0, 0, 0, 7, 2];

    /// A bridge that has flooded a frame of a host behind a1, five seconds ago.
    fn table() -> Tabletop {
        let fixed = vec![(fib::adjacency::Mac(FIXED), PortId(0))];
        let members = [PortId(0), PortId(1)];
        let description = Description { fixed, ..Description::plain("br0", PortId(2), &members) };
        let mut table = Tabletop::bridged(&["a0", "a1"], vec![description], false);
        table.pass(1, &[&[0xff; 6][..], &HOST, &[0x88, 0xb5], &[0; 46]].concat()[..]);
        table.advance(Duration::from_secs(5));
        table
    }

    fn rows(mut pages: Pages<'_, MacRow>) -> Vec<MacRow> {
        let mut rows: Vec<_> = std::iter::from_fn(|| pages.next(100)).flatten().collect();
        rows.sort_by_key(|row| row.mac.0);
        rows
    }

    #[test]
    fn a_bridge_tells_of_its_members_and_what_it_has_counted() {
        let table = table();
        let shared = table.shared();
        let bridge = shared.bridges.iter().next().unwrap();
        let counted = [table.counters().bridge(0), table.counters().bridge(0)];
        let row = row(bridge, &[], &shared.ports, counted.into_iter(), table.now());
        assert_eq!((row.name.as_str(), row.mac, row.mtu), ("br0", Mac(port_mac(0).0), 1500));
        assert_eq!((row.macs, row.macs_max, row.ageing_s), (4, 8192, 300));
        let members: Vec<_> = row.ports.iter().map(|member| (member.port.as_str(), member.macs)).collect();
        assert_eq!(members, [("a0", 0), ("a1", 1)]);
        let counter = |name: &str| row.counters[name];
        assert_eq!((counter("flooded"), counter("learned"), counter("moved")), (2, 2, 0), "of two workers");
    }

    #[test]
    fn each_address_says_where_it_is_and_why() {
        let table = table();
        let shared = table.shared();
        let all = macs(&shared.bridges, &shared.ports, &MacFilter::default(), table.now()).ok().unwrap();
        let row = |mac: [u8; 6], port: &str, age_s, kind| MacRow {
            mac: Mac(mac),
            bridge: "br0".into(),
            port: Some(port.into()),
            age_s,
            kind,
        };
        // The bridge's own address is the first member's, too.
        let of_bridge = MacRow { port: None, ..row(port_mac(0).0, "", None, MacKind::Own) };
        let expected = [
            of_bridge,
            row(port_mac(1).0, "a1", None, MacKind::Own),
            row(HOST, "a1", Some(5), MacKind::Learned),
            row(FIXED, "a0", None, MacKind::Static),
        ];
        assert_eq!(rows(all), expected);
        let other = MacFilter { bridge: Some("br9".into()) };
        let error = macs(&shared.bridges, &shared.ports, &other, table.now()).err().unwrap();
        assert_eq!(error.message, "no bridge named br9 in this router");
    }

    #[test]
    fn every_counter_stands_in_the_documentation() {
        let page = include_str!("../../../../docs/bridge.md");
        for (name, _) in stats::BridgeCounters::default().named() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
