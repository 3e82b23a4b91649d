//! Bridges and their MAC tables for people.

use std::io::{self, Write};

use super::counted;
use super::table::{Align, Table};
use crate::message::{BridgeRow, Counters, MacRow};

/// A row for each bridge, and under it its members and what it has counted.
pub(super) fn bridges(out: &mut impl Write, bridges: &[BridgeRow]) -> io::Result<()> {
    let mut table = Table::new([
        ("BRIDGE", Align::Left),
        ("STATE", Align::Left),
        ("MAC", Align::Left),
        ("MTU", Align::Right),
        ("MACS", Align::Right),
        ("MOST", Align::Right),
        ("AGEING", Align::Right),
    ]);
    for bridge in bridges {
        table.push([
            bridge.name.clone(),
            bridge.state.name().into(),
            bridge.mac.to_string(),
            bridge.mtu.to_string(),
            bridge.macs.to_string(),
            bridge.macs_max.to_string(),
            format!("{}s", bridge.ageing_s),
        ]);
    }
    table.write(out, |number| below(&bridges[number]))
}

/// A row for each address.
pub(super) fn macs(out: &mut impl Write, macs: &[MacRow]) -> io::Result<()> {
    let mut table = Table::new([
        ("MAC", Align::Left),
        ("BRIDGE", Align::Left),
        ("PORT", Align::Left),
        ("AGE", Align::Right),
        ("KIND", Align::Left),
    ]);
    for row in macs {
        table.push([
            row.mac.to_string(),
            row.bridge.clone(),
            row.port.clone().unwrap_or_else(|| "-".into()),
            row.age_s.map_or_else(|| "-".into(), |age| format!("{age}s")),
            row.kind.name().into(),
        ]);
    }
    table.write(out, |_| Vec::new())
}

fn below(bridge: &BridgeRow) -> Vec<String> {
    let member = |port: &crate::message::BridgePortRow| {
        let reason = port.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("port {} {}, {}{reason}", port.port, port.state.name(), counted(port.macs, "address"))
    };
    let mut lines: Vec<String> = bridge.ports.iter().map(member).collect();
    lines.extend(occurred(&bridge.counters));
    lines
}

/// Counters that are not zero, a few on a line.
pub(super) fn occurred(counters: &Counters) -> Vec<String> {
    const ON_A_LINE: usize = 6;
    let words: Vec<String> = counters
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    words.chunks(ON_A_LINE).map(|line| line.join(", ")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use crate::message::{MacKind, PortState};
    use crate::samples;

    #[test]
    fn a_bridge_stands_above_its_members() {
        let mut row = samples::bridge();
        row.ports[1].state = PortState::Down;
        row.ports[1].reason = Some("the device has no carrier".into());
        assert_eq!(
            text(|out| bridges(out, &[row])),
            "BRIDGE  STATE  MAC                 MTU  MACS  MOST  AGEING\n\
             br0     up     02:00:00:00:00:01  1500     3  4096    300s\n    \
             port r0 up, 1 address\n    \
             port r1 down, 2 addresses: the device has no carrier\n    \
             flooded 4, forwarded 10\n"
        );
    }

    #[test]
    fn addresses_line_up() {
        let learned = samples::mac();
        let own = MacRow { port: None, age_s: None, kind: MacKind::Own, ..samples::mac() };
        assert_eq!(
            text(|out| macs(out, &[learned, own])),
            "MAC                BRIDGE  PORT  AGE  KIND\n\
             02:00:00:00:00:0a  br0     r1    12s  learned\n\
             02:00:00:00:00:0a  br0     -       -  own\n"
        );
    }
}
