//! What rules log and what traced packets have met: a bounded queue that workers never wait for.
//!
//! A record is what the line needs and nothing more; the line is made by whoever takes it out (`nf_log_syslog.c`).

mod line;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use conntrack::Instant;
use fib::adjacency::{PortId, Ports};
use parking_lot::Mutex;

use crate::chain::{Family, Point};
use crate::engine::Packet;
use crate::packet::ethernet;
use line::Link;

/// Records that wait to be taken out.
const WAITING_MAX: usize = 1024;
/// Bytes of a packet that a record keeps.
const HEAD_MAX: usize = 256;
/// Bytes of a link header.
const LINK_LEN: usize = 14;
/// Bytes of the addresses that it begins with.
const ADDRESSES_LEN: usize = 12;
/// EtherType of reverse ARP, which is told as ARP is.
const REVERSE_ARP: u16 = 0x8035;

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
    /// The tag of a bridged frame.
    tag: Option<[u8; 4]>,
    /// EtherType behind the tag.
    ether_type: u16,
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
        tag: Option<[u8; 4]>,
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
        let network = packet.network_offset();
        let has_link = network >= LINK_LEN;
        let in_frame = || {
            let behind_addresses = frame.get(ADDRESSES_LEN..network.checked_sub(2)?)?;
            behind_addresses.first_chunk::<4>().copied()
        };
        let tag = tag.or_else(|| in_frame().filter(|_| packet.family() == Family::Bridge));
        let link = frame.first_chunk::<ADDRESSES_LEN>().filter(|_| has_link).map(|addresses| {
            let mut link = [0; LINK_LEN];
            link[..ADDRESSES_LEN].copy_from_slice(addresses);
            link[ADDRESSES_LEN..].copy_from_slice(&frame[network - 2..network]);
            link
        });
        Self {
            at,
            point,
            input,
            output,
            mark: packet.mark,
            length: bytes.len(),
            link,
            tag: tag.filter(|_| has_link),
            ether_type: packet.ether_type(),
            head,
            kept,
        }
    }

    /// Keeps at most so many bytes of the packet (`snaplen`).
    pub(super) fn cut_to(mut self, bytes: usize) -> Self {
        self.kept = self.kept.min(bytes);
        self
    }

    /// The line that the kernel would write, without its prefix. `flags` are `NF_LOG_*`.
    #[must_use]
    pub fn line(&self, ports: &Ports, flags: u8) -> String {
        let name = |port: Option<PortId>| port.map_or("", |port| ports.name(port));
        let mut line = format!("IN={} OUT={} ", name(self.input), name(self.output));
        let head = &self.head[..self.kept];
        let link = Link { header: self.link.as_ref(), tag: self.tag };
        let is_ip = matches!(self.ether_type, ethernet::IPV4 | ethernet::IPV6);
        if matches!(self.ether_type, ethernet::ARP | REVERSE_ARP) {
            line::write_arp(&mut line, link, head, self.length, flags);
            return line;
        }
        if self.input.is_some() || !is_ip {
            line::write_link(&mut line, link, flags);
        }
        if is_ip && line::write_packet(&mut line, head, self.length, flags) && self.mark != 0 {
            let _ = write!(line, "MARK={:#x} ", self.mark);
        }
        line
    }
}
