//! A packet on one line: who sends what to whom, as far as its headers tell.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What the first bytes of a packet say. `link` tells that they begin with a link header.
pub(super) fn summary(bytes: &[u8], link: bool) -> String {
    let mut out = String::new();
    let mut packet = bytes;
    if link {
        let Some((header, rest)) = bytes.split_first_chunk::<14>() else { return "cut off".to_owned() };
        let mac = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
        let _ = write!(
            out,
            "{} > {} type 0x{:02x}{:02x}",
            mac(&header[6..12]),
            mac(&header[..6]),
            header[12],
            header[13]
        );
        if !matches!([header[12], header[13]], [0x08, 0x00] | [0x86, 0xdd]) {
            return out;
        }
        out.push(' ');
        packet = rest;
    }
    match read(packet) {
        Some(text) => out + &text,
        None => out + "cut off",
    }
}

fn read(packet: &[u8]) -> Option<String> {
    match packet.first()? >> 4 {
        4 => {
            let header = packet.first_chunk::<20>()?;
            let address =
                |at: usize| header[at..].first_chunk().map(|bytes: &[u8; 4]| Ipv4Addr::from(*bytes));
            let transport = packet.get(usize::from(header[0] & 0xf) * 4..).unwrap_or_default();
            let is_later = u16::from_be_bytes([header[6] & 0x1f, header[7]]) != 0;
            let transport = if is_later { &[] } else { transport };
            Some(line(&address(12)?.to_string(), &address(16)?.to_string(), header[9], transport))
        }
        6 => {
            let header = packet.first_chunk::<40>()?;
            let address =
                |at: usize| header[at..].first_chunk().map(|bytes: &[u8; 16]| Ipv6Addr::from(*bytes));
            Some(line(&address(8)?.to_string(), &address(24)?.to_string(), header[6], &packet[40..]))
        }
        _ => Some("not IP".to_owned()),
    }
}

fn line(source: &str, destination: &str, protocol: u8, transport: &[u8]) -> String {
    let port = |at: usize| transport.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let name = match protocol {
        1 => "icmp",
        TCP => "tcp",
        UDP => "udp",
        58 => "icmpv6",
        132 => "sctp",
        _ => "",
    };
    let name = if name.is_empty() { format!("protocol {protocol}") } else { name.to_owned() };
    match (protocol, port(0), port(2)) {
        (TCP | UDP | 132, Some(from), Some(to)) => format!("{source} > {destination} {name} {from} > {to}"),
        _ => format!("{source} > {destination} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UDP4: [u8; 28] =
        [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 1, 2, 0x03, 0xe8, 0, 53, 0, 8, 0, 0];

    #[test]
    fn a_packet_says_who_sends_what_to_whom() {
        assert_eq!(summary(&UDP4, false), "10.0.0.2 > 10.0.1.2 udp 1000 > 53");
        let mut later = UDP4;
        later[7] = 1;
        assert_eq!(summary(&later, false), "10.0.0.2 > 10.0.1.2 udp");
        let mut echo = UDP4;
        echo[9] = 1;
        assert_eq!(summary(&echo, false), "10.0.0.2 > 10.0.1.2 icmp");
        let frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &UDP4].concat();
        assert_eq!(
            summary(&frame, true),
            "02:00:00:00:00:02 > 02:00:00:00:00:01 type 0x0800 10.0.0.2 > 10.0.1.2 udp 1000 > 53"
        );
        let mut six = [0; 48];
        (six[0], six[6], six[23], six[39]) = (0x60, 6, 1, 2);
        assert_eq!(summary(&six, false), "::1 > ::2 tcp 0 > 0");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), link in any::<bool>()) {
            let _ = summary(&bytes, link);
        }
    }
}
