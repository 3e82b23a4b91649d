//! An announced flow as `conntrack` prints it.

use std::io::{self, Write};
use std::net::IpAddr;

use crate::message::{EventKind, ExpectationRow};

/// The line of `conntrack -L expect`.
pub(super) fn expectation(out: &mut impl Write, row: &ExpectationRow) -> io::Result<()> {
    let nobody: IpAddr = if row.destination.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let all: IpAddr = if row.destination.is_ipv4() { [0xff; 4].into() } else { [0xff; 16].into() };
    let (source, source_mask) = row.source.map_or((nobody, nobody), |source| (source, all));
    let (port, port_mask) = row.source_port.map_or((0, 0), |port| (port, u16::MAX));
    let (destination, destination_port) = (row.destination, row.destination_port);
    write!(out, "{} proto={}", row.timeout_s, row.protocol_number)?;
    write!(out, " src={source} dst={destination} sport={port} dport={destination_port}")?;
    write!(out, " mask-src={source_mask} mask-dst={all} sport={port_mask} dport={}", u16::MAX)?;
    let master = &row.master;
    write!(out, " master-src={} master-dst={}", master.source, master.destination)?;
    write!(out, " sport={} dport={}", master.source_port, master.destination_port)?;
    if row.zone != 0 {
        write!(out, " zone={}", row.zone)?;
    }
    let flags = [(row.permanent, "PERMANENT"), (row.inactive, "INACTIVE")];
    let flags: Vec<&str> = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect();
    if !flags.is_empty() {
        write!(out, " {}", flags.join(","))?;
    }
    writeln!(out, " class={} helper={}", row.class, row.helper)
}

/// The line of `conntrack -E expect`.
pub(super) fn event(out: &mut impl Write, kind: EventKind, row: &ExpectationRow) -> io::Result<()> {
    out.write_all(super::flow::event_word(kind))?;
    expectation(out, row)
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use crate::samples;

    // The expected lines are what `conntrack -L expect` and `conntrack -E expect` (1.4.7) printed of such an announcement.

    #[test]
    fn an_announced_connection_reads_as_conntrack_prints_it() {
        let line = "299 proto=6 src=127.0.0.1 dst=127.0.0.1 sport=0 dport=38410 mask-src=255.255.255.255 \
                    mask-dst=255.255.255.255 sport=0 dport=65535 master-src=127.0.0.1 master-dst=127.0.0.1 \
                    sport=57046 dport=2121 class=0 helper=ftp\n";
        assert_eq!(text(|out| expectation(out, &samples::expectation())), line);
        let new = text(|out| event(out, EventKind::New, &samples::expectation()));
        assert_eq!(new, format!("    [NEW] {line}"));
        let gone = text(|out| event(out, EventKind::Gone, &samples::expectation()));
        assert_eq!(gone, format!("[DESTROY] {line}"));
    }

    #[test]
    fn one_from_anybody_has_an_empty_mask() {
        let row = ExpectationRow {
            source: None,
            destination: "fd00::1".parse().unwrap(),
            permanent: true,
            zone: 7,
            ..samples::expectation()
        };
        let line = text(|out| expectation(out, &row));
        assert!(
            line.contains(" src=:: dst=fd00::1 sport=0 dport=38410 mask-src=:: mask-dst=ffff:"),
            "{line}"
        );
        assert!(line.ends_with(" zone=7 PERMANENT class=0 helper=ftp\n"), "{line}");
    }
}
