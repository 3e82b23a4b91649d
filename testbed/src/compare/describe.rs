//! Frames in a few words, for expectations and reports.

use std::fmt::Write;

use super::ground::PORTS;
use super::run::Outcome;
use crate::frames::Offload;
use crate::wire::Frame;

/// What came out, port by port: `r1 udp, r0 icmp 3/4`; `nothing` if so.
pub fn outcome(outcome: &Outcome) -> String {
    let mut words = Vec::new();
    for (port, frames) in PORTS.iter().zip(&outcome.ports) {
        words.extend(frames.iter().map(|frame| format!("{port} {}", with_offload(frame))));
    }
    if outcome.stuck {
        words.push("and the router forwards no more".to_owned());
    }
    if words.is_empty() { "nothing".to_owned() } else { without_long_runs(&words) }
}

/// A frame in a few words, with what is left to the device: `tcp ½` for its checksum, `tcp in 1000s` for cutting it.
fn with_offload(frame: &Frame) -> String {
    let mut text = summary(&frame.bytes);
    match frame.offload {
        Offload { segments: Some((_, size)), .. } => {
            let _ = write!(text, " in {size}s");
        }
        Offload { checksum: Some(_), .. } => text.push_str(" ½"),
        Offload { .. } => {}
    }
    text
}

/// The words with commas between them, four and more of a kind in a row as `6 × r0 icmp 11/0`.
fn without_long_runs(words: &[String]) -> String {
    let runs = words.chunk_by(|one, next| one == next);
    let text =
        |run: &[String]| if run.len() < 4 { run.join(", ") } else { format!("{} × {}", run.len(), run[0]) };
    runs.map(text).collect::<Vec<_>>().join(", ")
}

/// A frame in a few words.
pub fn summary(frame: &[u8]) -> String {
    let half = |at: usize| frame.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    match half(12) {
        0x0800 => ipv4(&frame[14..]),
        0x86dd => ipv6(&frame[14..]),
        0x0806 if half(20) == 1 => "arp request".to_owned(),
        0x0806 => "arp reply".to_owned(),
        0x8100 | 0x88a8 => format!("vlan {}", half(14) & 0xfff),
        other => format!("ethertype {other:04x}"),
    }
}

fn ipv4(packet: &[u8]) -> String {
    if packet.len() < 20 {
        return "runt".to_owned();
    }
    let header = usize::from(packet[0] & 15) * 4;
    let place = u16::from_be_bytes([packet[6], packet[7]]);
    let offset = (place & 0x1fff) * 8;
    let mut text = match packet[9] {
        1 if offset == 0 => icmp("icmp", packet.get(header..).unwrap_or_default()),
        protocol => transport(protocol),
    };
    if place & 0x3fff != 0 {
        let _ = write!(text, " fragment {offset}+{}", packet.len() - header);
    }
    text
}

fn ipv6(packet: &[u8]) -> String {
    let Some(mut next) = packet.get(6).copied() else { return "runt".to_owned() };
    let mut rest = packet.get(40..).unwrap_or_default();
    let mut text = String::new();
    while matches!(next, 0 | 43 | 44 | 60) && rest.len() >= 8 {
        let length = if next == 44 { 8 } else { usize::from(rest[1]) * 8 + 8 };
        match next {
            44 => {
                let offset = u16::from_be_bytes([rest[2], rest[3]]) & !7;
                let _ = write!(text, " fragment {offset}+{}", rest.len() - 8);
                if offset != 0 {
                    return transport(rest[0]) + &text;
                }
            }
            0 => text.push_str(" hop-by-hop"),
            43 => text.push_str(" routing"),
            _ => text.push_str(" options"),
        }
        next = rest[0];
        rest = rest.get(length..).unwrap_or_default();
    }
    let last = if next == 58 { icmp("icmp6", rest) } else { transport(next) };
    last + &text
}

fn icmp(name: &str, message: &[u8]) -> String {
    match message {
        [kind, code, ..] => format!("{name} {kind}/{code}"),
        _ => format!("{name} runt"),
    }
}

fn transport(protocol: u8) -> String {
    match protocol {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmp6".to_owned(),
        other => format!("protocol {other}"),
    }
}

/// Unlike rows that are shown of a frame; those after them seldom say more.
const ROWS_MAX: usize = 6;

/// The first rows of sixteen bytes in which two frames differ, one above the other.
pub fn unlike_rows(kernel: &[u8], tried: &[u8], name: &str) -> String {
    let mut text = String::new();
    let rows = (0..kernel.len().max(tried.len())).step_by(16).map(|start| {
        let row = |frame: &'_ [u8]| frame[start.min(frame.len())..frame.len().min(start + 16)].to_vec();
        (start, row(kernel), row(tried))
    });
    for (start, one, other) in rows.filter(|(_, one, other)| one != other).take(ROWS_MAX) {
        let _ = writeln!(text, "      {start:4}  {:8} {}", "kernel", hex(&one));
        let _ = writeln!(text, "      {start:4}  {name:8} {}", hex(&other));
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

/// The name of the field that byte `at` of an untagged frame belongs to, as far as the network header goes.
pub fn field(frame: &[u8], at: usize) -> &'static str {
    let ether_type = frame.get(12..14).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    match (at, ether_type) {
        (0..6, _) => "destination MAC",
        (6..12, _) => "source MAC",
        (12..14, _) => "ethertype",
        (14, Some(0x0800)) => "version and header length",
        (15, Some(0x0800)) => "TOS",
        (16..18, Some(0x0800)) => "total length",
        (18..20, Some(0x0800)) => "identification",
        (20..22, Some(0x0800)) => "flags and fragment offset",
        (22, Some(0x0800)) => "TTL",
        (23, Some(0x0800)) => "protocol",
        (24..26, Some(0x0800)) => "header checksum",
        (26..30, Some(0x0800)) => "source address",
        (30..34, Some(0x0800)) => "destination address",
        (14..18, Some(0x86dd)) => "version, traffic class and flow label",
        (18..20, Some(0x86dd)) => "payload length",
        (20, Some(0x86dd)) => "next header",
        (21, Some(0x86dd)) => "hop limit",
        (22..38, Some(0x86dd)) => "source address",
        (38..54, Some(0x86dd)) => "destination address",
        _ => "what follows the network header",
    }
}
