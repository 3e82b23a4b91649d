//! What rules log and what traced packets have met: a bounded queue that workers never wait for.
//!
//! A record is what the line needs and nothing more; the line is made by whoever takes it out (`nf_log_syslog.c`).

use std::collections::VecDeque;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conntrack::Instant;
use fib::adjacency::{PortId, Ports};
use parking_lot::Mutex;

use crate::chain::Point;
use crate::engine::Packet;
use crate::packet::parse::parse_ip;

/// Records that wait to be taken out.
const WAITING_MAX: usize = 1024;
/// Bytes of a packet that a record keeps.
const HEAD_MAX: usize = 128;
/// Bytes of a link header.
const LINK_LEN: usize = 14;

/// What a record keeps of a packet.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// Where on its way.
    pub point: Point,
    /// Port of entry.
    pub input: Option<PortId>,
    /// Port of exit.
    pub output: Option<PortId>,
    /// Its mark.
    pub mark: u32,
    /// Bytes of the packet.
    pub length: usize,
    link: Option<[u8; LINK_LEN]>,
    head: [u8; HEAD_MAX],
    kept: usize,
}

/// Why there is an entry.
#[derive(Clone, Debug)]
pub enum Reason {
    /// A `log` statement.
    Log {
        /// What the line begins with.
        prefix: Arc<str>,
        /// 0 (emergency) to 7 (debug).
        level: u8,
        /// `NF_LOG_*`.
        flags: u8,
        /// To the event stream under this number.
        group: Option<u16>,
    },
    /// A traced packet has met the rule of this handle.
    Trace {
        /// The rule's handle.
        rule: u64,
    },
}

/// An entry of the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Why.
    pub reason: Reason,
    /// What.
    pub record: Record,
}

/// Entries that wait to be taken out; what finds it full or in use is counted and gone.
#[derive(Debug)]
pub struct Journal {
    waiting: Mutex<VecDeque<Entry>>,
    lost: AtomicU64,
}

impl Default for Journal {
    fn default() -> Self {
        Self { waiting: Mutex::new(VecDeque::with_capacity(WAITING_MAX)), lost: AtomicU64::new(0) }
    }
}

impl Journal {
    /// Takes out at most `count` entries, oldest first.
    pub fn take(&self, count: usize) -> Vec<Entry> {
        let mut waiting = self.waiting.lock();
        let count = count.min(waiting.len());
        waiting.drain(..count).collect()
    }

    /// Entries that were lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn log(&self, record: Record, prefix: &Arc<str>, level: u8, flags: u8, group: Option<u16>) {
        self.put(Entry { reason: Reason::Log { prefix: prefix.clone(), level, flags, group }, record });
    }

    pub(super) fn trace(&self, record: Record, rule: u64) {
        self.put(Entry { reason: Reason::Trace { rule }, record });
    }

    fn put(&self, entry: Entry) {
        match self.waiting.try_lock() {
            Some(mut waiting) if waiting.len() < WAITING_MAX => waiting.push_back(entry),
            _ => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Record {
    pub(super) fn of(
        packet: &Packet,
        input: Option<PortId>,
        output: Option<PortId>,
        point: Point,
        at: Instant,
    ) -> Self {
        let bytes = packet.ip();
        let kept = bytes.len().min(HEAD_MAX);
        let mut head = [0; HEAD_MAX];
        head[..kept].copy_from_slice(&bytes[..kept]);
        let frame = packet.frame().bytes();
        let has_link = packet.network_offset() >= LINK_LEN;
        Self {
            at,
            point,
            input,
            output,
            mark: packet.mark,
            length: bytes.len(),
            link: frame.first_chunk().copied().filter(|_| has_link),
            head,
            kept,
        }
    }

    /// The line that the kernel would write, without its prefix. `flags` are `NF_LOG_*`.
    #[must_use]
    pub fn line(&self, ports: &Ports, flags: u8) -> String {
        let name = |port: Option<PortId>| port.map_or("", |port| ports.name(port));
        let mut line = format!("IN={} OUT={} ", name(self.input), name(self.output));
        if self.input.is_some() {
            line.push_str("MAC=");
            if let Some(link) = &self.link {
                let bytes: Vec<String> = link.iter().map(|byte| format!("{byte:02x}")).collect();
                line.push_str(&bytes.join(":"));
            }
            line.push(' ');
        }
        let head = &self.head[..self.kept];
        let written = match head.first().map(|byte| byte >> 4) {
            Some(4) => write_ipv4(&mut line, head, flags),
            Some(6) => write_ipv6(&mut line, head, flags),
            _ => None,
        };
        if written.is_none() {
            line.push_str("TRUNCATED ");
        }
        if self.mark != 0 {
            let _ = write!(line, "MARK={:#x} ", self.mark);
        }
        line
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// `dump_ipv4_packet`
fn write_ipv4(line: &mut String, head: &[u8], flags: u8) -> Option<()> {
    let address = |at| Some(Ipv4Addr::from(long(head, at)?));
    let (source, destination) = (address(12)?, address(16)?);
    let tos = head[1];
    let _ = write!(
        line,
        "SRC={source} DST={destination} LEN={} TOS=0x{:02X} PREC=0x{:02X} TTL={} ID={} ",
        word(head, 2)?,
        tos & 0x1e,
        tos & 0xe0,
        head[8],
        word(head, 4)?
    );
    let fragment = word(head, 6)?;
    for (bit, name) in [(0x8000, "CE "), (0x4000, "DF "), (0x2000, "MF ")] {
        if fragment & bit != 0 {
            line.push_str(name);
        }
    }
    if fragment & 0x1fff != 0 {
        let _ = write!(line, "FRAG:{} ", fragment & 0x1fff);
    }
    let transport = usize::from(head[0] & 0xf) * 4;
    write_transport(line, head[9], head.get(transport..)?, fragment & 0x1fff != 0, flags)
}

/// `dump_ipv6_packet`
fn write_ipv6(line: &mut String, head: &[u8], flags: u8) -> Option<()> {
    let address = |at: usize| Some(Ipv6Addr::from(*head.get(at..)?.first_chunk::<16>()?));
    let spelled = |address: Ipv6Addr| {
        address.segments().iter().map(|part| format!("{part:04x}")).collect::<Vec<_>>().join(":")
    };
    let (source, destination) = (spelled(address(8)?), spelled(address(24)?));
    let first = long(head, 0)?;
    let _ = write!(
        line,
        "SRC={source} DST={destination} LEN={} TC={} HOPLIMIT={} FLOWLBL={} ",
        word(head, 4)?.saturating_add(40),
        first >> 20 & 0xff,
        head[7],
        first & 0xf_ffff
    );
    // What is kept may end before the packet does; only headers are looked at.
    let mut whole = head.to_vec();
    let length = u16::try_from(head.len().saturating_sub(40)).ok()?;
    whole[4..6].copy_from_slice(&length.to_be_bytes());
    let parsed = parse_ip(&whole).ok()?;
    let is_later = parsed.fragment.is_some_and(|fragment| fragment.offset != 0);
    write_transport(line, parsed.protocol, head.get(parsed.transport..)?, is_later, flags)
}

fn write_transport(line: &mut String, protocol: u8, bytes: &[u8], later: bool, flags: u8) -> Option<()> {
    const TCP_SEQUENCE: u8 = 1;
    const FLAG_NAMES: [(u8, &str); 8] = [
        (0x80, "CWR "),
        (0x40, "ECE "),
        (0x20, "URG "),
        (0x10, "ACK "),
        (0x08, "PSH "),
        (0x04, "RST "),
        (0x02, "SYN "),
        (0x01, "FIN "),
    ];
    match protocol {
        6 => line.push_str("PROTO=TCP "),
        17 => line.push_str("PROTO=UDP "),
        136 => line.push_str("PROTO=UDPLITE "),
        1 => line.push_str("PROTO=ICMP "),
        58 => line.push_str("PROTO=ICMPv6 "),
        other => {
            let _ = write!(line, "PROTO={other} ");
            return Some(());
        }
    }
    if later {
        return Some(());
    }
    match protocol {
        6 => {
            let _ = write!(line, "SPT={} DPT={} ", word(bytes, 0)?, word(bytes, 2)?);
            if flags & TCP_SEQUENCE != 0 {
                let _ = write!(line, "SEQ={} ACK={} ", long(bytes, 4)?, long(bytes, 8)?);
            }
            let _ = write!(line, "WINDOW={} RES=0x{:02x} ", word(bytes, 14)?, (bytes[12] & 0xf) << 2);
            for (bit, name) in FLAG_NAMES {
                if bytes[13] & bit != 0 {
                    line.push_str(name);
                }
            }
            let _ = write!(line, "URGP={} ", word(bytes, 18)?);
        }
        17 | 136 => {
            let _ = write!(line, "SPT={} DPT={} LEN={} ", word(bytes, 0)?, word(bytes, 2)?, word(bytes, 4)?);
        }
        _ => {
            let (kind, code) = (*bytes.first()?, *bytes.get(1)?);
            let _ = write!(line, "TYPE={kind} CODE={code} ");
            let is_echo = matches!((protocol, kind), (1, 0 | 8) | (58, 128 | 129));
            if is_echo {
                let _ = write!(line, "ID={} SEQ={} ", word(bytes, 4)?, word(bytes, 6)?);
            }
        }
    }
    Some(())
}
