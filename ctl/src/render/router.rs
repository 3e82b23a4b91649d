//! The router itself for people: status, ports, hooks, trackers, counters.

use std::io::{self, Write};

use super::counted;
use super::flow_cache::modes;
use super::table::{Align, Table};
use crate::message::{Counters, HookRow, PortRow, Settings, Status, TrackerLayer, TrackerRow};

/// How the router is, in a few lines.
pub(super) fn status(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let doing = if status.forwarding { "forwards" } else { "does not forward yet" };
    writeln!(
        out,
        "routerd {} {doing} (pid {}, up {})",
        status.version,
        status.pid,
        duration(status.uptime_s)
    )?;
    let device = status.host_device.as_ref().map_or_else(String::new, |device| format!(" by {device}"));
    writeln!(out, "  host        {}{device}, guard {}", status.host, status.guard)?;
    // The packets of a router that is its own host pass routerd in any case.
    if status.host == "kernel" {
        let handed = if status.handover { "on, the router's own packets pass routerd" } else { "off" };
        writeln!(out, "  hand-over   {handed}")?;
    }
    writeln!(out, "  workers     {}", status.workers)?;
    writeln!(out, "  ports       {}", status.ports.join(" "))?;
    writeln!(out, "  generation  {}", status.generation)?;
    writeln!(out, "  flow cache  {}", modes(&status.flow_cache))?;
    writeln!(out, "  flows       {} of {}", status.flows, status.flows_max)?;
    match status.rules {
        rules if rules.tables == 0 => writeln!(out, "  rules       none")?,
        rules => writeln!(
            out,
            "  rules       {} in {} of {}",
            counted(rules.rules, "rule"),
            counted(rules.chains, "chain"),
            counted(rules.tables, "table")
        )?,
    }
    for (number, line) in settings(&status.settings).into_iter().enumerate() {
        writeln!(out, "  {:<10}  {line}", if number == 0 { "settings" } else { "" })?;
    }
    Ok(())
}

/// A row for each port, and under it its settings.
pub(super) fn ports(out: &mut impl Write, ports: &[PortRow]) -> io::Result<()> {
    const LEFT: Align = Align::Left;
    const RIGHT: Align = Align::Right;
    let mut table = Table::new([
        ("PORT", LEFT),
        ("STATE", LEFT),
        ("KIND", LEFT),
        ("MAC", LEFT),
        ("MTU", RIGHT),
        ("RECEIVED", RIGHT),
        ("BYTES", RIGHT),
        ("DROPPED", RIGHT),
        ("SENT", RIGHT),
        ("BYTES", RIGHT),
        ("DROPPED", RIGHT),
    ]);
    for port in ports {
        let counter = |name: &str| port.counters.get(name).copied().unwrap_or(0).to_string();
        table.push([
            port.name.clone(),
            port.state.name().into(),
            port.kind.to_string(),
            port.mac.clone().unwrap_or_else(|| "-".into()),
            port.mtu.to_string(),
            counter("received_frames"),
            counter("received_bytes"),
            counter("receive_dropped"),
            counter("sent_frames"),
            counter("sent_bytes"),
            counter("send_dropped"),
        ]);
    }
    table.write(out, |number| {
        let reason = ports[number].reason.iter().cloned();
        reason.chain(settings(&ports[number].settings)).collect()
    })
}

/// A row for each hook.
pub(super) fn hooks(out: &mut impl Write, hooks: &[HookRow]) -> io::Result<()> {
    let mut table = Table::new([
        ("FAMILY", Align::Left),
        ("POINT", Align::Left),
        ("PRIORITY", Align::Right),
        ("HOOK", Align::Left),
    ]);
    for hook in hooks {
        table.push([
            hook.family.name().into(),
            hook.point.to_string(),
            hook.priority.to_string(),
            hook.name.to_string(),
        ]);
    }
    table.write(out, |_| Vec::new())
}

/// A row for each tracker.
pub(super) fn trackers(out: &mut impl Write, trackers: &[TrackerRow]) -> io::Result<()> {
    let mut table = Table::new([
        ("LAYER", Align::Left),
        ("TRACKER", Align::Left),
        ("FAMILY", Align::Left),
        ("PROTOCOL", Align::Right),
        ("TIMEOUTS", Align::Left),
    ]);
    for tracker in trackers {
        let timeouts: Vec<String> =
            tracker.timeouts_s.iter().map(|(state, seconds)| format!("{state} {seconds}s")).collect();
        table.push([
            match tracker.layer {
                TrackerLayer::Network => "network".into(),
                TrackerLayer::Transport => "transport".into(),
            },
            tracker.name.to_string(),
            tracker.family.map_or("any", crate::message::Family::name).into(),
            tracker.protocol_number.map_or_else(|| "any".into(), |number| number.to_string()),
            timeouts.join(", "),
        ]);
    }
    table.write(out, |_| Vec::new())
}

/// A line for each counter.
pub(super) fn counters(out: &mut impl Write, counters: &Counters) -> io::Result<()> {
    let width = counters.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in counters {
        writeln!(out, "{name:<width$}  {value}")?;
    }
    Ok(())
}

/// A line for each reason that dropped anything.
pub(super) fn drops(out: &mut impl Write, drops: &Counters) -> io::Result<()> {
    let happened: Counters =
        drops.iter().filter(|(_, count)| **count > 0).map(|(name, count)| (name.clone(), *count)).collect();
    if happened.is_empty() {
        return writeln!(out, "no packet has been dropped");
    }
    counters(out, &happened)
}

/// Settings, a few on a line.
fn settings(settings: &Settings) -> Vec<String> {
    const ON_A_LINE: usize = 4;
    let words: Vec<String> = settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    words.chunks(ON_A_LINE).map(|line| line.join(", ")).collect()
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let clock = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    match days {
        0 => clock,
        1 => format!("1 day {clock}"),
        days => format!("{days} days {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use crate::message::{Family, PortState, Setting};
    use crate::samples;

    #[test]
    fn status_says_first_whether_it_forwards() {
        let mut row = samples::status();
        assert_eq!(
            text(|out| status(out, &row)),
            "routerd 0.1.0 forwards (pid 4242, up 01:01:01)\n  \
             host        kernel, guard on\n  \
             hand-over   off\n  \
             workers     1\n  \
             ports       r0 r1\n  \
             generation  42\n  \
             flow cache  route on, verdict on, negative on, untracked off\n  \
             flows       10 of 262144\n  \
             rules       12 rules in 3 chains of 1 table\n  \
             settings    icmp_ratelimit_ms 1000\n"
        );
        row.host = "tun".into();
        row.host_device = Some("rtr0".into());
        assert!(text(|out| status(out, &row)).contains("\n  host        tun by rtr0, guard on\n  workers "));
        row.forwarding = false;
        row.uptime_s = 2 * 86_400;
        let first = "routerd 0.1.0 does not forward yet (pid 4242, up 2 days 00:00:00)\n";
        assert!(text(|out| status(out, &row)).starts_with(first));
    }

    #[test]
    fn ports_line_up_and_say_why_they_are_down() {
        let mut second = samples::port("veth-long-name");
        second.state = PortState::Absent;
        second.reason = Some("there is no device of that name".into());
        second.mac = None;
        second.settings = Settings::from([("rp_filter".into(), Setting::Word("strict".into()))]);
        assert_eq!(
            text(|out| ports(out, &[samples::port("r0"), second])),
            "PORT            STATE   KIND       MAC                 MTU  RECEIVED  BYTES  DROPPED  SENT  BYTES  DROPPED\n\
             r0              up      af_packet  02:00:00:00:00:01  1500        10   1000        0     9    900        0\n\
             veth-long-name  absent  af_packet  -                  1500        10   1000        0     9    900        0\n    \
             there is no device of that name\n    \
             rp_filter strict\n"
        );
        assert_eq!(text(|out| ports(out, &[])), "");
    }

    #[test]
    fn hooks_and_trackers_line_up() {
        let hook = |point: &'static str, priority, name: &'static str| HookRow {
            family: Family::Ipv4,
            point: point.into(),
            priority,
            name: name.into(),
        };
        assert_eq!(
            text(|out| hooks(out, &[hook("prerouting", -200, "conntrack"), hook("forward", 0, "filter")])),
            "FAMILY  POINT       PRIORITY  HOOK\n\
             ipv4    prerouting      -200  conntrack\n\
             ipv4    forward            0  filter\n"
        );
        let rows = [samples::tracker()];
        assert_eq!(
            text(|out| trackers(out, &rows)),
            "LAYER      TRACKER  FAMILY  PROTOCOL  TIMEOUTS\n\
             transport  udp      any           17  replied 120s, unreplied 30s\n"
        );
    }

    #[test]
    fn counters_line_up_and_drops_that_never_happened_are_left_out() {
        let row = Counters::from([("forwarded".into(), 9), ("fib_lookups".into(), 2)]);
        assert_eq!(text(|out| counters(out, &row)), "fib_lookups  2\nforwarded    9\n");
        let mut row = Counters::from([("ttl_exceeded".into(), 0)]);
        assert_eq!(text(|out| drops(out, &row)), "no packet has been dropped\n");
        row.insert("no_route".into(), 3);
        assert_eq!(text(|out| drops(out, &row)), "no_route  3\n");
    }
}
