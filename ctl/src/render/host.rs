//! What befalls the router as a host, for people: a line each.

use std::io::{self, Write};
use std::net::IpAddr;

use super::counted;
use crate::message::{HostEvent, Mac};

/// A line of `monitor host`: what it is about first, then what has happened.
pub(super) fn event(out: &mut impl Write, event: &HostEvent) -> io::Result<()> {
    use HostEvent as E;
    match event {
        E::AddressReady { port, address } => writeln!(out, "address {address} dev {port} ready"),
        E::DuplicateAddress { port, address, mac } => {
            writeln!(out, "address {address} dev {port} duplicate, not used: {} has it", who(*mac))
        }
        E::AddressConflict { port, address, mac, defended } => {
            let done = if *defended { "answered" } else { "not answered again so soon" };
            writeln!(out, "address {address} dev {port} claimed by {}, {done}", who(*mac))
        }
        E::NeighborMoved { port, address, before, mac } => {
            writeln!(out, "neighbor {address} dev {port} moved from {before} to {mac}")
        }
        E::NeighborFailed { port, address } => {
            writeln!(out, "neighbor {address} dev {port} does not answer")
        }
        E::StaticNeighborClaimed { port, address, mac } => {
            writeln!(out, "neighbor {address} dev {port} claimed by {mac}, stays as it was set by hand")
        }
        E::NeighborsFull { refused } => {
            writeln!(out, "no room for {}", counted(*refused, "neighbor"))
        }
        E::LastHopDead { port, mac, neighbor, reason, flows } => {
            let hop = hop(port, *mac, *neighbor);
            writeln!(out, "last-hop {hop} dead ({reason}), replies of {} are routed", counted(*flows, "flow"))
        }
        E::LastHopAlive { port, mac, neighbor, flows } => {
            let hop = hop(port, *mac, *neighbor);
            writeln!(out, "last-hop {hop} alive, replies of {} go there", counted(*flows, "flow"))
        }
        E::LastHopFollowed { port, before, mac, neighbor, flows } => {
            let hop = hop(port, *mac, *neighbor);
            writeln!(out, "last-hop {hop} followed from {} with {}", who(*before), counted(*flows, "flow"))
        }
        E::LastHopsFull { refused } => {
            writeln!(out, "no room for last hops of {}, whose replies are routed", counted(*refused, "flow"))
        }
        E::QueueBound { queue, pid, program } => {
            writeln!(out, "queue {queue} bound by {}", program_of(*pid, program.as_deref()))
        }
        E::QueueGone { queue, pid, reason, waiting } => {
            writeln!(
                out,
                "queue {queue} gone ({reason}) from pid {pid}, {} waited",
                counted(*waiting, "packet")
            )
        }
        E::QueueLost { queue, dropped, bypassed } => {
            writeln!(out, "queue {queue} could not take packets: {dropped} dropped, {bypassed} bypassed it")
        }
        E::BridgeLoop { bridge, port, mac, action } => {
            writeln!(out, "bridge {bridge} loop at port {port}, seen by {mac}: frames {action}")
        }
        E::MacMoved { bridge, mac, before, port } => {
            writeln!(out, "bridge {bridge} mac {mac} moved from port {before} to port {port}")
        }
        E::MacsFull { bridge, refused } => {
            writeln!(out, "bridge {bridge} has no room for {}", counted(*refused, "address"))
        }
        E::DeviceReady { device } => writeln!(out, "device {device} ready"),
        E::DeviceLost { device, reason } => writeln!(out, "device {device} lost: {reason}"),
    }
}

fn who(mac: Option<Mac>) -> String {
    mac.map_or_else(|| "somebody".into(), |mac| mac.to_string())
}

fn hop(port: &str, mac: Option<Mac>, neighbor: Option<IpAddr>) -> String {
    let mut text = format!("dev {port}");
    if let Some(neighbor) = neighbor {
        text += &format!(" neighbor {neighbor}");
    }
    if let Some(mac) = mac {
        text += &format!(" lladdr {mac}");
    }
    text
}

fn program_of(pid: u32, name: Option<&str>) -> String {
    name.map_or_else(|| format!("pid {pid}"), |name| format!("{name} (pid {pid})"))
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use crate::samples;

    #[test]
    fn each_event_is_a_line_that_says_what_it_is_about() {
        let lines: String =
            samples::host_events().iter().map(|event| text(|out| super::event(out, event))).collect();
        let expected = "\
address 10.0.1.1 dev r0 ready
address 10.0.1.1 dev r0 duplicate, not used: 02:00:00:00:00:0a has it
address 10.0.1.1 dev r0 claimed by 02:00:00:00:00:0a, answered
neighbor 10.0.1.2 dev r0 moved from 02:00:00:00:00:0a to 02:00:00:00:00:0b
neighbor 10.0.1.2 dev r0 does not answer
neighbor 10.0.1.2 dev r0 claimed by 02:00:00:00:00:0b, stays as it was set by hand
no room for 3 neighbors
last-hop dev r0 neighbor 10.0.1.2 lladdr 02:00:00:00:00:0a dead (unanswered), replies of 17 flows are routed
last-hop dev r0 neighbor 10.0.1.2 lladdr 02:00:00:00:00:0a alive, replies of 17 flows go there
last-hop dev r0 neighbor 10.0.1.2 lladdr 02:00:00:00:00:0b followed from 02:00:00:00:00:0a with 17 flows
no room for last hops of 1 flow, whose replies are routed
queue 0 bound by third.py (pid 4711)
queue 0 gone (hung_up) from pid 4711, 2 packets waited
queue 0 could not take packets: 5 dropped, 7 bypassed it
bridge br0 loop at port r1, seen by 02:00:00:00:00:0a: frames dropped
bridge br0 mac 02:00:00:00:00:0a moved from port r0 to port r1
bridge br0 has no room for 9 addresses
device routerd0 ready
device routerd0 lost: it was deleted
";
        assert_eq!(lines, expected);
    }
}
