//! A logged packet in the words of the kernel's log (`nf_log_syslog.c`).

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::LINK_LEN;

/// `NF_LOG_TCPSEQ`
const TCP_SEQUENCE: u8 = 1;
/// `NF_LOG_TCPOPT`
const TCP_OPTIONS: u8 = 2;
/// `NF_LOG_IPOPT`
const IP_OPTIONS: u8 = 4;
/// `NF_LOG_MACDECODE`
const LINK_DECODED: u8 = 32;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ESP: u8 = 50;
const AH: u8 = 51;
const ICMPV6: u8 = 58;
const UDP_LITE: u8 = 136;
/// Hop-by-hop options, routing, fragment, destination options.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Flags of TCP by the bytes 12 and 13 of its header, in the order in which they are told.
const TCP_FLAGS: [(u16, &str); 9] = [
    (0x100, "AE "),
    (0x80, "CWR "),
    (0x40, "ECE "),
    (0x20, "URG "),
    (0x10, "ACK "),
    (0x08, "PSH "),
    (0x04, "RST "),
    (0x02, "SYN "),
    (0x01, "FIN "),
];

/// A link header, and the tag that was in it.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) header: Option<&'a [u8; LINK_LEN]>,
    pub(super) tag: Option<[u8; 4]>,
}

/// Writes the link header of a packet that came in (`dump_mac_header`).
pub(super) fn write_link(line: &mut String, link: Link<'_>, flags: u8) {
    let _ = match link.header {
        Some(header) if flags & LINK_DECODED != 0 => return write_decoded(line, header, link.tag),
        Some(header) => write!(line, "MAC={} ", spelled(header)),
        None => write!(line, "MAC= "),
    };
}

fn write_decoded(line: &mut String, header: &[u8; LINK_LEN], tag: Option<[u8; 4]>) {
    let (to, from) = (spelled(&header[..6]), spelled(&header[6..12]));
    let _ = write!(line, "MACSRC={from} MACDST={to} ");
    if let Some(tag) = tag {
        let _ = write!(line, "VPROTO={:04x} VID={} ", word(&tag, 0), word(&tag, 2) & 0xfff);
    }
    let _ = write!(line, "MACPROTO={:04x} ", word(header, 12));
}

fn spelled(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

/// Writes an ARP message of which the first bytes are `head` and which has `length` bytes (`dump_arp_packet`).
pub(super) fn write_arp(line: &mut String, link: Link<'_>, head: &[u8], length: usize, flags: u8) {
    const HEADER_LEN: usize = 8;
    /// Ethernet, with its addresses and those of IPv4.
    const USUAL: (u16, [u8; 2]) = (1, [6, 4]);
    let Some(header) = head.first_chunk::<HEADER_LEN>() else {
        line.push_str("TRUNCATED");
        return;
    };
    if let (Some(link_header), true) = (link.header, flags & LINK_DECODED != 0) {
        write_decoded(line, link_header, link.tag);
    }
    let (hardware, protocol, operation) = (word(header, 0), word(header, 2), word(header, 6));
    let _ = write!(line, "ARP HTYPE={hardware} PTYPE=0x{protocol:04x} OPCODE={operation}");
    if (hardware, [header[4], header[5]]) != USUAL {
        return;
    }
    let Some(ends) = head[HEADER_LEN..].first_chunk::<20>() else {
        let _ = write!(line, " INCOMPLETE [{} bytes]", length.saturating_sub(HEADER_LEN));
        return;
    };
    let address = |at| Ipv4Addr::from(long(ends, at));
    let (source, target) = (spelled(&ends[..6]), spelled(&ends[10..16]));
    let _ = write!(line, " MACSRC={source} IPSRC={} MACDST={target} IPDST={}", address(6), address(16));
}

/// Writes a packet of which the first bytes are `head` and which has `length` bytes; whether its mark is told as well.
pub(super) fn write_packet(line: &mut String, head: &[u8], length: usize, flags: u8) -> bool {
    let is_ipv6 = head.first().is_some_and(|first| first >> 4 == 6);
    let mut writer = Writer { line, head, length, flags };
    if is_ipv6 { writer.ipv6(0) } else { writer.ipv4(0) }
}

struct Writer<'a> {
    line: &'a mut String,
    head: &'a [u8],
    length: usize,
    flags: u8,
}

impl<'a> Writer<'a> {
    /// An IPv4 packet that begins at `start` (`dump_ipv4_packet`).
    fn ipv4(&mut self, start: usize) -> bool {
        let Some(header) = self.bytes(start, 20) else { return self.cut() };
        let address = |at| Ipv4Addr::from(long(header, at));
        let (tos, fragment) = (header[1], word(header, 6));
        let _ = write!(
            self.line,
            "SRC={} DST={} LEN={} TOS=0x{:02X} PREC=0x{:02X} TTL={} ID={} ",
            address(12),
            address(16),
            word(header, 2),
            tos & 0x1e,
            tos & 0xe0,
            header[8],
            word(header, 4)
        );
        for (bit, name) in [(0x8000, "CE "), (0x4000, "DF "), (0x2000, "MF ")] {
            if fragment & bit != 0 {
                self.line.push_str(name);
            }
        }
        let is_later = fragment & 0x1fff != 0;
        if is_later {
            let _ = write!(self.line, "FRAG:{} ", fragment & 0x1fff);
        }
        let header_len = usize::from(header[0] & 0xf) * 4;
        if self.flags & IP_OPTIONS != 0 && header_len > 20 {
            let Some(options) = self.bytes(start + 20, header_len - 20) else { return self.cut() };
            self.options(options);
        }
        let transport = start + header_len;
        match header[9] {
            TCP => return self.tcp(transport, is_later),
            UDP | UDP_LITE => return self.udp(header[9], transport, is_later),
            ICMP => self.icmp(transport, is_later, start == 0),
            AH if is_later => {}
            AH => self.security_index("AH", transport, 12, 4, false),
            ESP => self.security_index("ESP", transport, 8, 0, is_later),
            other => self.protocol(other),
        }
        true
    }

    fn icmp(&mut self, start: usize, is_later: bool, is_outermost: bool) {
        self.line.push_str("PROTO=ICMP ");
        if is_later {
            return;
        }
        let Some(header) = self.bytes(start, 8) else { return self.incomplete(start, 8) };
        let (kind, code) = (header[0], header[1]);
        let _ = write!(self.line, "TYPE={kind} CODE={code} ");
        let needed = match kind {
            0 | 8 => 4,
            3 | 4 | 5 | 11 | 12 => 28,
            13 | 14 => 20,
            17 | 18 => 12,
            _ => 0,
        };
        if self.length.saturating_sub(start) < needed {
            return self.incomplete(start, needed);
        }
        match kind {
            0 | 8 => self.echo(header),
            12 => {
                let _ = write!(self.line, "PARAMETER={} ", header[4]);
            }
            3 | 4 | 5 | 11 => {
                if kind == 5 {
                    let _ = write!(self.line, "GATEWAY={} ", Ipv4Addr::from(long(header, 4)));
                }
                if is_outermost {
                    self.line.push('[');
                    self.ipv4(start + 8);
                    self.line.push_str("] ");
                }
                if (kind, code) == (3, 4) {
                    let _ = write!(self.line, "MTU={} ", word(header, 6));
                }
            }
            _ => {}
        }
    }

    /// An IPv6 packet that begins at `start` (`dump_ipv6_packet`).
    fn ipv6(&mut self, start: usize) -> bool {
        let Some(header) = self.bytes(start, 40) else { return self.cut() };
        let spelled = |at: usize| {
            let parts = (at..at + 16).step_by(2).map(|at| format!("{:04x}", word(header, at)));
            parts.collect::<Vec<_>>().join(":")
        };
        let first = long(header, 0);
        let _ = write!(
            self.line,
            "SRC={} DST={} LEN={} TC={} HOPLIMIT={} FLOWLBL={} ",
            spelled(8),
            spelled(24),
            usize::from(word(header, 4)) + 40,
            first >> 20 & 0xff,
            header[7],
            first & 0xf_ffff
        );
        let (mut next, mut at, mut is_later) = (header[6], start + 40, false);
        while let HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION | AH | ESP = next {
            let Some(extension) = self.bytes(at, 2) else { return self.cut() };
            let Some(length) = self.extension(next, at, &mut is_later) else { return false };
            next = extension[0];
            at += length;
        }
        match next {
            TCP => return self.tcp(at, is_later),
            UDP | UDP_LITE => return self.udp(next, at, is_later),
            ICMPV6 => return self.icmpv6(at, is_later, start == 0),
            other => self.protocol(other),
        }
        true
    }

    /// An extension header; its length, if something is told of what comes behind it.
    fn extension(&mut self, kind: u8, at: usize, is_later: &mut bool) -> Option<usize> {
        let tells = self.flags & IP_OPTIONS != 0;
        let units = usize::from(self.bytes(at, 2)?[1]);
        if tells {
            self.line.push_str("OPT ( ");
        }
        let length = match kind {
            FRAGMENT => {
                self.line.push_str("FRAG:");
                let Some(header) = self.bytes(at, 8) else {
                    self.line.push_str("TRUNCATED ");
                    return None;
                };
                let offset = word(header, 2);
                let more = if offset & 1 != 0 { "INCOMPLETE " } else { "" };
                let _ = write!(self.line, "{} {more}ID:{:08x} ", offset & 0xfff8, long(header, 4));
                *is_later |= offset & 0xfff8 != 0;
                8
            }
            AH | ESP => {
                if tells {
                    self.line.push_str(if kind == AH { "AH " } else { "ESP " });
                    let (length, place) = if kind == AH { (12, 4) } else { (8, 0) };
                    match self.bytes(at, length).filter(|_| !*is_later) {
                        Some(header) => {
                            let _ = write!(self.line, "SPI={:#x} ", long(header, place));
                        }
                        None => {
                            if !*is_later {
                                self.incomplete(at, length);
                            }
                            self.line.push(')');
                            return None;
                        }
                    }
                    if kind == ESP {
                        self.line.push(')');
                    }
                }
                if kind == ESP {
                    return None;
                }
                (units + 2) * 4
            }
            _ => {
                if *is_later {
                    self.line.push_str(if tells { ")" } else { "" });
                    return None;
                }
                (units + 1) * 8
            }
        };
        if tells {
            self.line.push_str(") ");
        }
        Some(length)
    }

    fn icmpv6(&mut self, start: usize, is_later: bool, is_outermost: bool) -> bool {
        self.line.push_str("PROTO=ICMPv6 ");
        if is_later {
            return true;
        }
        let Some(header) = self.bytes(start, 8) else {
            self.incomplete(start, 8);
            return false;
        };
        let (kind, code) = (header[0], header[1]);
        let _ = write!(self.line, "TYPE={kind} CODE={code} ");
        match kind {
            128 | 129 => self.echo(header),
            1..=4 => {
                if kind == 4 {
                    let _ = write!(self.line, "POINTER={:08x} ", long(header, 4));
                }
                if is_outermost {
                    self.line.push('[');
                    self.ipv6(start + 8);
                    self.line.push_str("] ");
                }
                if kind == 2 {
                    let _ = write!(self.line, "MTU={} ", long(header, 4));
                }
            }
            _ => {}
        }
        true
    }

    /// `nf_log_dump_tcp_header`
    fn tcp(&mut self, start: usize, is_later: bool) -> bool {
        self.line.push_str("PROTO=TCP ");
        if is_later {
            return true;
        }
        let Some(header) = self.bytes(start, 20) else {
            self.incomplete(start, 20);
            return false;
        };
        let _ = write!(self.line, "SPT={} DPT={} ", word(header, 0), word(header, 2));
        if self.flags & TCP_SEQUENCE != 0 {
            let _ = write!(self.line, "SEQ={} ACK={} ", long(header, 4), long(header, 8));
        }
        let _ = write!(self.line, "WINDOW={} RES=0x{:02x} ", word(header, 14), (header[12] & 0xe) << 2);
        let flags = word(header, 12);
        for (bit, name) in TCP_FLAGS {
            if flags & bit != 0 {
                self.line.push_str(name);
            }
        }
        let _ = write!(self.line, "URGP={} ", word(header, 18));
        let header_len = usize::from(header[12] >> 4) * 4;
        if self.flags & TCP_OPTIONS != 0 && header_len > 20 {
            let Some(options) = self.bytes(start + 20, header_len - 20) else {
                self.line.push_str("OPT (TRUNCATED)");
                return false;
            };
            self.options(options);
        }
        true
    }

    /// `nf_log_dump_udp_header`
    fn udp(&mut self, protocol: u8, start: usize, is_later: bool) -> bool {
        self.line.push_str(if protocol == UDP { "PROTO=UDP " } else { "PROTO=UDPLITE " });
        if is_later {
            return true;
        }
        let Some(header) = self.bytes(start, 8) else {
            self.incomplete(start, 8);
            return false;
        };
        let (source, destination, length) = (word(header, 0), word(header, 2), word(header, 4));
        let _ = write!(self.line, "SPT={source} DPT={destination} LEN={length} ");
        true
    }

    fn security_index(&mut self, name: &str, start: usize, length: usize, place: usize, is_later: bool) {
        let _ = write!(self.line, "PROTO={name} ");
        if is_later {
            return;
        }
        match self.bytes(start, length) {
            Some(header) => {
                let _ = write!(self.line, "SPI={:#x} ", long(header, place));
            }
            None => self.incomplete(start, length),
        }
    }

    fn protocol(&mut self, number: u8) {
        let _ = write!(self.line, "PROTO={number} ");
    }

    fn echo(&mut self, header: &[u8]) {
        let _ = write!(self.line, "ID={} SEQ={} ", word(header, 4), word(header, 6));
    }

    fn options(&mut self, options: &[u8]) {
        self.line.push_str("OPT (");
        for byte in options {
            let _ = write!(self.line, "{byte:02X}");
        }
        self.line.push_str(") ");
    }

    /// A header of `length` bytes is not there: the packet ends before it does, or what was kept of it.
    fn incomplete(&mut self, start: usize, length: usize) {
        if start + length <= self.length {
            self.line.push_str("TRUNCATED ");
        } else {
            let _ = write!(self.line, "INCOMPLETE [{} bytes] ", self.length.saturating_sub(start));
        }
    }

    fn cut(&mut self) -> bool {
        self.line.push_str("TRUNCATED");
        false
    }

    fn bytes(&self, start: usize, length: usize) -> Option<&'a [u8]> {
        self.head.get(start..start + length)
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
