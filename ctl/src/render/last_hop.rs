//! Last hops for people.

use std::io::{self, Write};

use super::table::{Align, Table};
use crate::message::{FlowLastHop, LastHopRow, Mac};

/// A row for each last hop, and under it why replies do not go there.
pub(super) fn last_hops(out: &mut impl Write, hops: &[LastHopRow]) -> io::Result<()> {
    let mut table = Table::new([
        ("PORT", Align::Left),
        ("SOURCE", Align::Left),
        ("NEIGHBOR", Align::Left),
        ("DESTINATION", Align::Left),
        ("KIND", Align::Left),
        ("FLOWS", Align::Right),
        ("STATE", Align::Left),
    ]);
    let mac = |mac: Option<Mac>| mac.map_or_else(|| "-".into(), |mac| mac.to_string());
    for hop in hops {
        let group = hop.group.as_ref().map_or_else(String::new, |group| format!(" {group}"));
        table.push([
            hop.port.clone(),
            mac(hop.source_mac),
            hop.neighbor.map_or_else(|| "-".into(), |address| address.to_string()),
            mac(hop.destination_mac),
            format!("{}{group}", hop.kind.name()),
            hop.flows.to_string(),
            if hop.alive { "alive".into() } else { "dead".into() },
        ]);
    }
    table.write(out, |number| {
        hops[number].reason.iter().map(|reason| format!("replies are routed: {reason}")).collect()
    })
}

/// What a flow remembers, on a line under its routes.
pub(super) fn of_flow(out: &mut impl Write, hop: &FlowLastHop) -> io::Result<()> {
    write!(out, "    last hop  dev {}", hop.port)?;
    if let Some(neighbor) = hop.neighbor {
        write!(out, " neighbor {neighbor}")?;
    }
    if let Some(source) = hop.source_mac {
        write!(out, " lladdr {source}")?;
    }
    if let Some(destination) = hop.destination_mac {
        write!(out, " sent to {destination}")?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use crate::message::LastHopKind;
    use crate::samples;

    #[test]
    fn last_hops_say_why_replies_do_not_go_there() {
        let dead = LastHopRow {
            kind: LastHopKind::Group,
            group: Some("upstream".into()),
            neighbor: None,
            flows: 0,
            alive: false,
            reason: Some("neighbor 10.0.1.2 does not answer".into()),
            ..samples::last_hop()
        };
        assert_eq!(
            text(|out| last_hops(out, &[samples::last_hop(), dead])),
            "PORT  SOURCE             NEIGHBOR  DESTINATION        KIND            FLOWS  STATE\n\
             r0    00:00:5e:00:01:07  10.0.1.2  02:00:00:00:00:01  vrrp               17  alive\n\
             r0    00:00:5e:00:01:07  -         02:00:00:00:00:01  group upstream      0  dead\n    \
             replies are routed: neighbor 10.0.1.2 does not answer\n"
        );
    }

    #[test]
    fn a_flow_says_whom_it_came_from() {
        let row = samples::flow_last_hop();
        assert_eq!(
            text(|out| of_flow(out, &row)),
            "    last hop  dev r0 neighbor 10.0.1.2 lladdr 00:00:5e:00:01:07 sent to 02:00:00:00:00:01\n"
        );
    }
}
