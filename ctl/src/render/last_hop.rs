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
        ("ANSWERS TO", Align::Left),
        ("DESTINATION", Align::Left),
        ("KIND", Align::Left),
        ("FLOWS", Align::Right),
        ("SILENT", Align::Right),
        ("STATE", Align::Left),
    ]);
    let mac = |mac: Option<Mac>| mac.map_or_else(|| "-".into(), |mac| mac.to_string());
    for hop in hops {
        let group = hop.group.as_ref().map_or_else(String::new, |group| format!(" {group}"));
        let id = hop.virtual_id.map_or_else(String::new, |id| format!(" {id}"));
        table.push([
            hop.port.clone(),
            mac(hop.source_mac),
            hop.neighbor.map_or_else(|| "-".into(), |address| address.to_string()),
            mac(hop.answers_to),
            mac(hop.destination_mac),
            format!("{}{id}{group}", hop.kind.name()),
            hop.flows.to_string(),
            format!("{}s", hop.silent_s),
            if hop.alive { "alive".into() } else { "dead".into() },
        ]);
    }
    table.write(out, |number| {
        let hop = &hops[number];
        let dead = hop.reason.iter().map(|reason| format!("replies are routed: {reason}"));
        let newest = hop.is_newest.then(|| "programs' packets go on to its destination".to_owned());
        dead.chain(newest).collect()
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
    match hop.answers_to {
        answers_to if answers_to == hop.source_mac => {}
        Some(answers_to) => write!(out, " answers to {answers_to}")?,
        None => out.write_all(b" dead")?,
    }
    out.write_all(if hop.used { b"\n" } else { b" not used\n" })
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
            virtual_id: None,
            group: Some("upstream".into()),
            neighbor: None,
            answers_to: None,
            flows: 0,
            silent_s: 90,
            is_newest: true,
            alive: false,
            reason: Some("unanswered".into()),
            ..samples::last_hop()
        };
        assert_eq!(
            text(|out| last_hops(out, &[samples::last_hop(), dead])),
            "PORT  SOURCE             NEIGHBOR  ANSWERS TO         DESTINATION        KIND            FLOWS  SILENT  STATE\n\
             r0    00:00:5e:00:01:07  10.0.1.2  00:00:5e:00:01:07  02:00:00:00:00:01  vrrp 7             17      2s  alive\n\
             r0    00:00:5e:00:01:07  -         -                  02:00:00:00:00:01  group upstream      0     90s  dead\n    \
             replies are routed: unanswered\n    \
             programs' packets go on to its destination\n"
        );
    }

    #[test]
    fn a_flow_says_whom_it_came_from() {
        let mut row = samples::flow_last_hop();
        assert_eq!(
            text(|out| of_flow(out, &row)),
            "    last hop  dev r0 neighbor 10.0.1.2 lladdr 00:00:5e:00:01:07 sent to 02:00:00:00:00:01\n"
        );
        row.answers_to = None;
        row.used = false;
        assert!(text(|out| of_flow(out, &row)).ends_with(" sent to 02:00:00:00:00:01 dead not used\n"));
        row.answers_to = Some(Mac([2, 0, 0, 0, 0, 9]));
        assert!(text(|out| of_flow(out, &row)).ends_with(" answers to 02:00:00:00:00:09 not used\n"));
    }
}
