//! A flow as `conntrack` prints it, and under it what it remembers.

use std::io::{self, Write};

use super::last_hop;
use crate::message::{
    EventKind, FlowCacheMode, FlowDirection, FlowRoute, FlowRow, FlowStatus, FlowVerdict, RoutePolicy,
    RouteSource,
};
use crate::names;

/// The line of `conntrack -L` with accounting on, then what each direction keeps.
pub(super) fn flow(out: &mut impl Write, flow: &FlowRow) -> io::Result<()> {
    heading(out, flow, true)?;
    both_directions(out, flow, true)?;
    if flow.is(FlowStatus::Assured) {
        out.write_all(b" [ASSURED]")?;
    }
    if flow.is(FlowStatus::HardwareOffload) {
        out.write_all(b" [HW_OFFLOAD]")?;
    } else if flow.is(FlowStatus::Offload) {
        out.write_all(b" [OFFLOAD]")?;
    }
    write!(out, " mark={}", flow.mark)?;
    if flow.zone != 0 {
        write!(out, " zone={}", flow.zone)?;
    }
    helper(out, flow)?;
    out.write_all(b" use=1\n")?;
    kept(out, "original", &flow.original)?;
    kept(out, "reply   ", &flow.reply)?;
    flow.last_hop.as_ref().map_or(Ok(()), |hop| last_hop::of_flow(out, hop))
}

/// The line of `conntrack -E`: counters are told when the flow ends, and then its time only if some was left.
pub(super) fn event(out: &mut impl Write, kind: EventKind, flow: &FlowRow) -> io::Result<()> {
    let gone = kind == EventKind::Gone;
    out.write_all(event_word(kind))?;
    heading(out, flow, !gone || flow.timeout_s != 0)?;
    both_directions(out, flow, gone)?;
    if flow.is(FlowStatus::Assured) {
        out.write_all(b" [ASSURED]")?;
    }
    if flow.mark != 0 {
        write!(out, " mark={}", flow.mark)?;
    }
    if flow.zone != 0 {
        write!(out, " zone={}", flow.zone)?;
    }
    if !gone {
        helper(out, flow)?;
    }
    out.write_all(b"\n")
}

/// What `conntrack -E` writes in front of what happened.
pub(super) const fn event_word(kind: EventKind) -> &'static [u8] {
    match kind {
        EventKind::New => b"    [NEW] ",
        EventKind::Changed => b" [UPDATE] ",
        EventKind::Gone => b"[DESTROY] ",
    }
}

fn helper(out: &mut impl Write, flow: &FlowRow) -> io::Result<()> {
    match &flow.helper {
        Some(helper) => write!(out, " helper={helper}"),
        None => Ok(()),
    }
}

fn heading(out: &mut impl Write, flow: &FlowRow, timeout: bool) -> io::Result<()> {
    write!(out, "{:<8} {}", names::flow_protocol(flow.protocol_number), flow.protocol_number)?;
    let offloaded = flow.is(FlowStatus::Offload) || flow.is(FlowStatus::HardwareOffload);
    if timeout && !offloaded {
        write!(out, " {}", flow.timeout_s)?;
    }
    match &flow.state {
        Some(state) if state_is_printed(flow.protocol_number) => write!(out, " {state}"),
        _ => Ok(()),
    }
}

/// Protocols whose trackers in the kernel have no state to print, whatever state we know of them.
const fn state_is_printed(protocol_number: u8) -> bool {
    !matches!(protocol_number, 1 | 17 | 47 | 58 | 136)
}

fn both_directions(out: &mut impl Write, flow: &FlowRow, counters: bool) -> io::Result<()> {
    direction(out, flow.protocol_number, ("orig", &flow.original), counters)?;
    if !flow.is(FlowStatus::SeenReply) {
        out.write_all(b" [UNREPLIED]")?;
    }
    direction(out, flow.protocol_number, ("reply", &flow.reply), counters)
}

fn direction(
    out: &mut impl Write,
    protocol_number: u8,
    (side, direction): (&str, &FlowDirection),
    counters: bool,
) -> io::Result<()> {
    write!(out, " src={} dst={}", direction.source, direction.destination)?;
    let ports = (direction.source_port, direction.destination_port);
    match (protocol_number, ports, direction.icmp_type) {
        (47, (source, destination), _) => {
            write!(out, " srckey=0x{:x} dstkey=0x{:x}", source.unwrap_or(0), destination.unwrap_or(0))?;
        }
        (_, (Some(source), Some(destination)), _) => write!(out, " sport={source} dport={destination}")?,
        (_, _, Some(icmp_type)) => {
            let (code, id) = (direction.icmp_code.unwrap_or(0), direction.icmp_id.unwrap_or(0));
            write!(out, " type={icmp_type} code={code} id={id}")?;
        }
        _ => {}
    }
    if let Some(zone) = direction.zone {
        write!(out, " zone-{side}={zone}")?;
    }
    if counters {
        write!(out, " packets={} bytes={}", direction.packets, direction.bytes)?;
    }
    Ok(())
}

/// What a direction keeps: its route on a line, and on another what rules make of its packets, if that is kept.
fn kept(out: &mut impl Write, name: &str, direction: &FlowDirection) -> io::Result<()> {
    write!(out, "    {name} ")?;
    route(out, &direction.route)?;
    mode(out, direction.route.mode)?;
    writeln!(out)?;
    let verdict = &direction.verdict;
    if *verdict == FlowVerdict::default() {
        return Ok(());
    }
    out.write_all(b"              ")?;
    match &verdict.outcome {
        Some(outcome) => {
            let trust = if verdict.valid { "valid" } else { "not used" };
            write!(out, "verdict {outcome} {trust} counters {}", verdict.counters)?;
        }
        None if verdict.unfit => out.write_all(b"no verdict kept, each packet is judged")?,
        None if verdict.cached => out.write_all(b"verdict of other rules stale")?,
        None => out.write_all(b"no verdict kept")?,
    }
    mode(out, verdict.mode)?;
    writeln!(out)
}

fn route(out: &mut impl Write, route: &FlowRoute) -> io::Result<()> {
    let source = match route.source {
        RouteSource::None => {
            out.write_all(b" no route kept")?;
            return match &route.last_renewal {
                Some(reason) => write!(out, " hits {} renewals {} ({reason})", route.hits, route.renewals),
                None => Ok(()),
            };
        }
        RouteSource::Fib => "fib",
        RouteSource::LastHop => "last-hop",
    };
    if let Some(next_hop) = route.next_hop {
        write!(out, " via {next_hop}")?;
    }
    if let Some(port) = &route.port {
        write!(out, " dev {port}")?;
    }
    if let Some(neighbor) = &route.neighbor {
        write!(out, " lladdr {neighbor}")?;
    }
    write!(out, " from {source}")?;
    if let Some(prefix) = route.prefix {
        write!(out, " {prefix}")?;
    }
    if let Some(table) = route.table.as_deref().filter(|table| *table != "main") {
        write!(out, " table {table}")?;
    }
    if route.source == RouteSource::Fib {
        write!(out, " generation {}", route.generation)?;
    }
    let trust = if route.valid { "valid" } else { "stale" };
    write!(out, " {trust} hits {} renewals {}", route.hits, route.renewals)?;
    if let Some(reason) = &route.last_renewal {
        write!(out, " ({reason})")?;
    }
    if route.policy == Some(RoutePolicy::Keep) {
        out.write_all(b" policy keep")?;
    }
    Ok(())
}

/// A mode that was set for this flow.
fn mode(out: &mut impl Write, mode: Option<FlowCacheMode>) -> io::Result<()> {
    mode.map_or(Ok(()), |mode| write!(out, " mode {}", mode.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn line(flow: &FlowRow) -> String {
        let mut out = Vec::new();
        super::flow(&mut out, flow).unwrap();
        String::from_utf8(out).unwrap().lines().next().unwrap().to_owned()
    }

    fn event_line(kind: EventKind, flow: &FlowRow) -> String {
        let mut out = Vec::new();
        super::event(&mut out, kind, flow).unwrap();
        String::from_utf8(out).unwrap()
    }

    // The expected lines are what `conntrack -L` and `conntrack -E` (1.4.7, accounting on) printed of such flows.

    #[test]
    fn a_tcp_flow_reads_as_conntrack_prints_it() {
        assert_eq!(
            line(&samples::tcp()),
            "tcp      6 431999 ESTABLISHED src=127.0.0.1 dst=127.0.0.1 sport=38986 dport=7777 packets=3 bytes=165 \
             src=127.0.0.1 dst=127.0.0.1 sport=7777 dport=38986 packets=2 bytes=112 [ASSURED] mark=17 use=1"
        );
    }

    #[test]
    fn an_unanswered_udp_flow_reads_as_conntrack_prints_it() {
        assert_eq!(
            line(&samples::udp()),
            "udp      17 29 src=127.0.0.1 dst=127.0.0.1 sport=35721 dport=7777 packets=1 bytes=29 [UNREPLIED] \
             src=127.0.0.1 dst=127.0.0.1 sport=7777 dport=35721 packets=0 bytes=0 mark=17 use=1"
        );
    }

    #[test]
    fn an_icmpv6_flow_reads_as_conntrack_prints_it() {
        assert_eq!(
            line(&samples::icmpv6()),
            "icmpv6   58 29 src=::1 dst=::1 type=128 code=0 id=9161 packets=1 bytes=104 src=::1 dst=::1 type=129 \
             code=0 id=9161 packets=1 bytes=104 mark=0 use=1"
        );
    }

    #[test]
    fn flows_of_protocols_nobody_knows_read_as_conntrack_prints_them() {
        assert_eq!(
            line(&samples::generic(200)),
            "unknown  200 599 src=127.0.0.1 dst=127.0.0.1 packets=1 bytes=40 [UNREPLIED] src=127.0.0.1 \
             dst=127.0.0.1 packets=0 bytes=0 mark=0 use=1"
        );
        assert_eq!(
            line(&samples::generic(47)),
            "gre      47 599 src=127.0.0.1 dst=127.0.0.1 srckey=0x0 dstkey=0x0 packets=1 bytes=40 [UNREPLIED] \
             src=127.0.0.1 dst=127.0.0.1 srckey=0x0 dstkey=0x0 packets=0 bytes=0 mark=0 use=1"
        );
    }

    #[test]
    fn helpers_zones_and_what_was_left_read_as_conntrack_prints_them() {
        let mut flow = FlowRow { helper: Some("ftp".into()), ..samples::tcp() };
        assert!(line(&flow).ends_with(" [ASSURED] mark=17 helper=ftp use=1"), "{}", line(&flow));
        assert!(event_line(EventKind::Changed, &flow).ends_with(" [ASSURED] mark=17 helper=ftp\n"));
        let gone = event_line(EventKind::Gone, &flow);
        assert!(gone.starts_with("[DESTROY] tcp      6 431999 ESTABLISHED src=127.0.0.1 "), "{gone}");
        assert!(gone.ends_with(" [ASSURED] mark=17\n"), "{gone}");
        flow.original.zone = Some(7);
        assert!(line(&flow).contains(" dport=7777 zone-orig=7 packets=3 "), "{}", line(&flow));
    }

    fn under(flow: &FlowRow) -> Vec<String> {
        let mut out = Vec::new();
        super::flow(&mut out, flow).unwrap();
        String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn what_is_remembered_stands_under_the_line() {
        let mut flow = samples::tcp();
        assert_eq!(
            under(&flow),
            [
                "    original  via 10.0.12.2 dev r1 lladdr 02:00:00:00:00:02 from fib 10.0.2.0/24 generation 42 valid \
                 hits 2 renewals 1 (route_added)",
                "              verdict accept valid counters 2",
                "    reply     no route kept",
            ]
        );
        flow.original.route.table = Some("100".into());
        flow.original.route.policy = Some(RoutePolicy::Keep);
        flow.original.route.valid = false;
        flow.original.route.mode = Some(FlowCacheMode::Hold);
        flow.original.verdict = FlowVerdict { mode: Some(FlowCacheMode::Off), ..FlowVerdict::default() };
        flow.reply.route.mode = Some(FlowCacheMode::Hold);
        flow.reply.route.last_renewal = Some("invalidated".into());
        (flow.reply.route.hits, flow.reply.route.renewals) = (5, 1);
        flow.reply.verdict.unfit = true;
        assert_eq!(
            under(&flow),
            [
                "    original  via 10.0.12.2 dev r1 lladdr 02:00:00:00:00:02 from fib 10.0.2.0/24 table 100 generation \
                 42 stale hits 2 renewals 1 (route_added) policy keep mode hold",
                "              no verdict kept mode off",
                "    reply     no route kept hits 5 renewals 1 (invalidated) mode hold",
                "              no verdict kept, each packet is judged",
            ]
        );
    }

    #[test]
    fn events_read_as_conntrack_prints_them() {
        assert_eq!(
            event_line(EventKind::Changed, &samples::tcp()),
            " [UPDATE] tcp      6 431999 ESTABLISHED src=127.0.0.1 dst=127.0.0.1 sport=38986 dport=7777 \
             src=127.0.0.1 dst=127.0.0.1 sport=7777 dport=38986 [ASSURED] mark=17\n"
        );
        assert_eq!(
            event_line(EventKind::New, &samples::udp()),
            "    [NEW] udp      17 29 src=127.0.0.1 dst=127.0.0.1 sport=35721 dport=7777 [UNREPLIED] \
             src=127.0.0.1 dst=127.0.0.1 sport=7777 dport=35721 mark=17\n"
        );
        let ended = FlowRow { timeout_s: 0, ..samples::icmpv6() };
        assert_eq!(
            event_line(EventKind::Gone, &ended),
            "[DESTROY] icmpv6   58 src=::1 dst=::1 type=128 code=0 id=9161 packets=1 bytes=104 src=::1 dst=::1 \
             type=129 code=0 id=9161 packets=1 bytes=104\n"
        );
    }
}
