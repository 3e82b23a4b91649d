//! What the head of a file of rules says of how it is to be tried: comments that begin with `#:`.
//!
//! ```text
//! #: only                               none of the usual probes, only those below
//! #: ports-vary                         ports and ids that translation chooses at random are not compared
//! #: ids-vary                           nor are the identifications of ICMP errors, where their source is translated
//! #: counted-only                       nft tells these rules wrongly: only what they have counted is compared
//! #: tcp r0 172.20.0.7:4000 10.10.0.9:80        a TCP connection that begins at r0
//! #: udp r1 [fd21::7]:4000 [fd20::9]:53         datagrams and their answers
//! #: super r0 172.20.0.7:4000 172.21.0.1:80      a TCP connection whose data come as a super-packet
//! #: ping r0 172.20.0.7:77 172.21.0.1           an echo request with this id
//! ```

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};

use super::probe::{End, Probe, Talk, usual};
use crate::compare::Outcome;
use crate::compare::ground::PORTS;
use crate::wire::Frame;

/// How a file is tried.
#[derive(Clone, Debug, Default)]
pub struct Script {
    only: bool,
    ports_vary: bool,
    ids_vary: bool,
    /// nft tells these rules wrongly; only what they have counted is compared.
    pub(super) counted_only: bool,
    own: Vec<Probe>,
}

impl Script {
    /// Reads the comments of a file.
    ///
    /// # Errors
    /// A line that begins with `#:` cannot be understood.
    pub fn read(text: &str) -> Result<Self> {
        let mut script = Self::default();
        for line in text.lines().filter_map(|line| line.strip_prefix("#:")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["only"] => script.only = true,
                ["ports-vary"] => script.ports_vary = true,
                ["ids-vary"] => script.ids_vary = true,
                ["counted-only"] => script.counted_only = true,
                [kind, port, from, to] => {
                    let probe = talk(kind, port, from, to).with_context(|| line.to_owned())?;
                    script.own.push(Probe { name: line.trim().to_owned(), acts: probe });
                }
                _ => bail!("`#:{line}` says nothing that is known"),
            }
        }
        Ok(script)
    }

    /// All probes, in the order they are sent.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        let mut probes = if self.only { Vec::new() } else { usual() };
        probes.extend(self.own.iter().cloned());
        probes
    }
}

fn talk(kind: &str, port: &str, from: &str, to: &str) -> Result<Vec<super::probe::Act>> {
    let entry = PORTS.iter().position(|known| *known == port).context("no such port")?;
    let end = |text: &str| -> Result<End> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(End(address, 0));
        }
        let end: SocketAddr = text.parse().context("ADDRESS:PORT is expected")?;
        Ok(End(end.ip(), end.port()))
    };
    let talk = Talk { entry, from: end(from)?, to: end(to)? };
    Ok(match kind {
        "tcp" => talk.tcp_connection(),
        "udp" => talk.udp_exchange(),
        "super" => talk.super_packet(),
        "ping" => talk.ping(),
        _ => bail!("{kind} is none of tcp, udp, super, ping"),
    })
}

/// The outcome with what may vary set to zero.
pub(super) fn masked(outcome: &Outcome, script: &Script) -> Outcome {
    let mut masked = outcome.clone();
    for frame in masked.ports.iter_mut().flatten() {
        if script.ports_vary {
            *frame = without_ports(frame);
        }
        if script.ids_vary && is_icmp_error(&frame.bytes) {
            frame.bytes[18..20].fill(0);
            frame.bytes[24..26].fill(0);
        }
    }
    masked
}

/// Whether it is an ICMPv4 error without IP options.
fn is_icmp_error(frame: &[u8]) -> bool {
    let starts = frame.get(12..15) == Some(&[8, 0, 0x45]) && frame.get(23) == Some(&1);
    starts && matches!(frame.get(34), Some(3 | 11 | 12))
}

fn without_ports(frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    let ipv6 = match frame.bytes.get(12..14) {
        Some([8, 0]) => false,
        Some([0x86, 0xdd]) => true,
        _ => return frame,
    };
    mask_ports(&mut frame.bytes[14..], ipv6);
    frame
}

/// Sets ports, ids and the checksums over them to zero, also in the packet that an ICMP error quotes.
fn mask_ports(packet: &mut [u8], ipv6: bool) {
    let header = if ipv6 { Some(40) } else { packet.first().map(|first| usize::from(first & 15) * 4) };
    let protocol = packet.get(if ipv6 { 6 } else { 9 }).copied();
    let (Some(header), Some(protocol)) = (header, protocol) else { return };
    let Some(transport) = packet.get_mut(header..) else { return };
    if let (1, Some(3 | 11 | 12)) | (58, Some(1..=4)) = (protocol, transport.first())
        && transport.len() > 8
    {
        transport[2..4].fill(0);
        return mask_ports(&mut transport[8..], ipv6);
    }
    let fields: &[(usize, usize)] = match protocol {
        6 => &[(0, 4), (16, 18)],
        17 => &[(0, 4), (6, 8)],
        1 | 58 => &[(2, 6)],
        _ => &[],
    };
    for (from, to) in fields {
        if let Some(bytes) = transport.get_mut(*from..*to) {
            bytes.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_file_says_how_it_is_tried() {
        let script =
            Script::read("#: only\n# a comment\n#: tcp r0 172.20.0.7:4000 10.10.0.9:80\ntable ip t {}")
                .unwrap();
        let probes = script.probes();
        assert_eq!(probes.len(), 1);
        assert_eq!(probes[0].acts.len(), 8);
        assert!(Script::read("table ip t {}").unwrap().probes().len() > 50);
        for wrong in ["#: nothing", "#: tcp r9 1.1.1.1:1 2.2.2.2:2", "#: tcp r0 here there"] {
            assert!(Script::read(wrong).is_err(), "{wrong}");
        }
    }
}
