//! Lines as Linux 6.18 wrote them for the same packets (`log flags all`), without what stands before `SRC=`.

use conntrack::Instant;

use super::Record;
use super::line::{Link, write_arp, write_link, write_packet};
use crate::chain::Point;
use crate::engine::Packet;
use crate::frame::Frame;
use crate::packet::ipv4::write_checksum;
use crate::packet::parse::parse_ip;

const ALL: u8 = 47;
const TCP_OPTIONS: [u8; 8] = [2, 4, 5, 0xb4, 1, 1, 1, 0];

/// An IPv4 packet from 10.9.0.1 to 10.9.0.2 of which the second half of the fragment word is `fragment`.
fn ipv4(protocol: u8, options: &[u8], tos: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let length = u16::try_from(words * 4 + payload.len()).unwrap().to_be_bytes();
    let [high, low] = fragment.to_be_bytes();
    let mut packet = vec![0x40 | u8::try_from(words).unwrap(), tos, length[0], length[1], 0, 7, high, low];
    packet.extend([64, protocol, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

fn ipv6(next: u8, first: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = first.to_be_bytes().to_vec();
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next, 64]);
    for last in [1, 2] {
        packet.extend([0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(payload);
    packet
}

fn udp(length: u8) -> Vec<u8> {
    vec![0, 1, 0, 2, 0, length, 0, 0]
}

fn tcp(doff_and_flags: [u8; 2], options: &[u8]) -> Vec<u8> {
    let mut segment = vec![0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    segment.extend(doff_and_flags);
    segment.extend([0, 5, 0, 0, 0, 7]);
    segment.extend(options);
    segment
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// The line, and whether the mark would be told.
fn line(packet: &[u8], flags: u8) -> (String, bool) {
    let mut line = String::new();
    let marked = write_packet(&mut line, packet, packet.len(), flags);
    (line, marked)
}

#[test]
fn ipv4_packets_are_told_as_the_kernel_tells_them() {
    let quoted = ipv4(17, &[1, 1, 1, 0], 0, 0, &udp(20));
    let quote = "[SRC=10.9.0.1 DST=10.9.0.2 LEN=32 TOS=0x00 PREC=0x00 TTL=64 ID=7 OPT (01010100) PROTO=UDP SPT=1 DPT=2 \
                 LEN=20 ] ";
    let plain = |protocol, payload: &[u8]| ipv4(protocol, &[], 0, 0, payload);
    for (packet, length, expected) in [
        (
            plain(1, &joined(&[&[3, 4, 0, 0, 0, 0, 5, 0x78], &quoted])),
            60,
            format!("PROTO=ICMP TYPE=3 CODE=4 {quote}MTU=1400 "),
        ),
        (
            plain(1, &joined(&[&[5, 1, 0, 0, 10, 9, 0, 77], &quoted])),
            60,
            format!("PROTO=ICMP TYPE=5 CODE=1 GATEWAY=10.9.0.77 {quote}"),
        ),
        (
            plain(1, &joined(&[&[12, 0, 0, 0, 20, 0, 0, 0], &quoted])),
            60,
            "PROTO=ICMP TYPE=12 CODE=0 PARAMETER=20 ".to_owned(),
        ),
        (
            plain(1, &joined(&[&[11, 0, 0, 0, 0, 0, 0, 0], &quoted[..10]])),
            38,
            "PROTO=ICMP TYPE=11 CODE=0 INCOMPLETE [18 bytes] ".to_owned(),
        ),
        (plain(1, &[8, 0, 0]), 23, "PROTO=ICMP INCOMPLETE [3 bytes] ".to_owned()),
        (plain(50, &[0, 0, 0x0a, 0xbc, 0, 0, 0, 1]), 28, "PROTO=ESP SPI=0xabc ".to_owned()),
        (
            plain(51, &joined(&[&[6, 4, 0, 0, 0, 0, 0x0d, 0xef], &[0; 16]])),
            44,
            "PROTO=AH SPI=0xdef ".to_owned(),
        ),
        (plain(51, &[0; 4]), 24, "PROTO=AH INCOMPLETE [4 bytes] ".to_owned()),
        (plain(50, &[0; 4]), 24, "PROTO=ESP INCOMPLETE [4 bytes] ".to_owned()),
        (plain(136, &udp(8)), 28, "PROTO=UDPLITE SPT=1 DPT=2 LEN=8 ".to_owned()),
        (
            plain(6, &tcp([0x7f, 0xff], &TCP_OPTIONS)),
            48,
            "PROTO=TCP SPT=1 DPT=2 SEQ=0 ACK=0 WINDOW=5 RES=0x38 AE CWR ECE URG ACK PSH RST SYN FIN URGP=7 OPT \
             (020405B401010100) "
                .to_owned(),
        ),
    ] {
        let before = format!("SRC=10.9.0.1 DST=10.9.0.2 LEN={length} TOS=0x00 PREC=0x00 TTL=64 ID=7 ");
        assert_eq!(line(&packet, ALL), (format!("{before}{expected}"), true));
    }
    let (text, marked) = line(&plain(17, &[0, 1, 0]), ALL);
    assert!(!marked && text.ends_with("ID=7 PROTO=UDP INCOMPLETE [3 bytes] "), "{text}");
    let (text, marked) = line(&plain(6, &tcp([0xf0, 2], &TCP_OPTIONS[..4])), ALL);
    assert!(!marked && text.ends_with("RES=0x00 SYN URGP=7 OPT (TRUNCATED)"), "{text}");
    let (text, _) = line(&ipv4(89, &[], 0xfc, 0x4000, b"abc"), ALL);
    assert!(text.ends_with("TOS=0x1C PREC=0xE0 TTL=64 ID=7 DF PROTO=89 "), "{text}");
}

#[test]
fn ipv6_packets_are_told_as_the_kernel_tells_them() {
    let ends = "SRC=fd09:0000:0000:0000:0000:0000:0000:0001 DST=fd09:0000:0000:0000:0000:0000:0000:0002";
    let quoted = ipv6(17, 0x6ab1_2345, &udp(20));
    let quote = format!("[{ends} LEN=48 TC=171 HOPLIMIT=64 FLOWLBL=74565 PROTO=UDP SPT=1 DPT=2 LEN=20 ] ");
    let nested = ipv6(58, 0x6000_0000, &joined(&[&[1, 4, 0, 0, 0, 0, 0, 0], &quoted]));
    let plain = |next, payload: &[u8]| ipv6(next, 0x6000_0000, payload);
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    for (packet, length, expected, marked) in [
        (
            plain(58, &joined(&[&[2, 0, 0, 0, 0, 0, 5, 0x14], &quoted])),
            96,
            format!("PROTO=ICMPv6 TYPE=2 CODE=0 {quote}MTU=1300 "),
            true,
        ),
        (
            plain(58, &joined(&[&[4, 1, 0, 0, 0, 0, 0, 40], &quoted])),
            96,
            format!("PROTO=ICMPv6 TYPE=4 CODE=1 POINTER=00000028 {quote}"),
            true,
        ),
        (
            plain(58, &joined(&[&[1, 4, 0, 0, 0, 0, 0, 0], &nested])),
            144,
            format!(
                "PROTO=ICMPv6 TYPE=1 CODE=4 [{ends} LEN=96 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=ICMPv6 TYPE=1 CODE=4 ] "
            ),
            true,
        ),
        (
            plain(0, &joined(&[&options(60), &options(17), &udp(8)])),
            64,
            "OPT ( ) OPT ( ) PROTO=UDP SPT=1 DPT=2 LEN=8 ".to_owned(),
            true,
        ),
        (plain(50, &[0, 0, 0x0a, 0xbc, 0, 0, 0, 1]), 48, "OPT ( ESP SPI=0xabc )".to_owned(), false),
        (
            plain(51, &joined(&[&[17, 4, 0, 0, 0, 0, 0x0d, 0xef], &[0; 16], &udp(8)])),
            72,
            "OPT ( AH SPI=0xdef ) PROTO=UDP SPT=1 DPT=2 LEN=8 ".to_owned(),
            true,
        ),
        (plain(59, b"abc"), 43, "PROTO=59 ".to_owned(), true),
        (plain(58, &[128, 0, 0]), 43, "PROTO=ICMPv6 INCOMPLETE [3 bytes] ".to_owned(), false),
        (
            plain(60, &joined(&[&options(6), &tcp([0x50, 2], &[])])),
            68,
            "OPT ( ) PROTO=TCP SPT=1 DPT=2 SEQ=0 ACK=0 WINDOW=5 RES=0x00 SYN URGP=7 ".to_owned(),
            true,
        ),
        (
            plain(44, &joined(&[&[17, 0, 0, 0, 0, 0, 0, 0x99], &udp(8)])),
            56,
            "OPT ( FRAG:0 ID:00000099 ) PROTO=UDP SPT=1 DPT=2 LEN=8 ".to_owned(),
            true,
        ),
    ] {
        let before = format!("{ends} LEN={length} TC=0 HOPLIMIT=64 FLOWLBL=0 ");
        assert_eq!(line(&packet, ALL), (format!("{before}{expected}"), marked));
    }
}

#[test]
fn link_headers_are_told_raw_or_taken_apart() {
    let link = [6, 0x48, 0xa6, 0x6e, 0xf4, 0x59, 0x6a, 0x9c, 0xfd, 0x9f, 0x34, 0xf0, 8, 0];
    let tag = Some([0x81, 0, 0x60, 7]);
    for (header, tag, flags, expected) in [
        (Some(&link), tag, 0, "MAC=06:48:a6:6e:f4:59:6a:9c:fd:9f:34:f0:08:00 "),
        (Some(&link), None, 32, "MACSRC=6a:9c:fd:9f:34:f0 MACDST=06:48:a6:6e:f4:59 MACPROTO=0800 "),
        (
            Some(&link),
            tag,
            32,
            "MACSRC=6a:9c:fd:9f:34:f0 MACDST=06:48:a6:6e:f4:59 VPROTO=8100 VID=7 MACPROTO=0800 ",
        ),
        (None, None, 32, "MAC= "),
    ] {
        let mut line = String::new();
        write_link(&mut line, Link { header, tag }, flags);
        assert_eq!(line, expected);
    }
}

#[test]
fn arp_messages_are_told_with_their_ends() {
    let message =
        joined(&[&[0, 1, 8, 0, 6, 4, 0, 1], &[2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]]);
    let told = |message: &[u8], length| {
        let mut line = String::new();
        write_arp(&mut line, Link { header: None, tag: None }, message, length, ALL);
        line
    };
    let header = "ARP HTYPE=1 PTYPE=0x0800 OPCODE=1";
    assert_eq!(
        told(&message, 28),
        format!("{header} MACSRC=02:00:00:00:00:01 IPSRC=10.0.0.1 MACDST=00:00:00:00:00:00 IPDST=10.0.0.2")
    );
    assert_eq!(told(&message[..27], 27), format!("{header} INCOMPLETE [19 bytes]"));
    assert_eq!(told(&message[..7], 7), "TRUNCATED");
    let mut other = message;
    other[5] = 16;
    assert_eq!(told(&other, 28), header);
}

#[test]
fn no_packet_however_short_or_cut_brings_the_writer_down() {
    let whole =
        ipv6(0, 0x6000_0000, &joined(&[&[44, 0, 0, 0, 0, 0, 0, 0], &[51, 0, 0, 1, 0, 0, 0, 0], &[0xff; 40]]));
    for kept in 0..=whole.len() {
        for flags in [0, ALL] {
            let mut line = String::new();
            write_packet(&mut line, &whole[..kept], whole.len(), flags);
            assert!(kept > 39 || line == "TRUNCATED", "{kept}: {line}");
        }
    }
}

#[test]
fn a_packet_without_a_link_header_is_recorded_without_one() {
    let mut bytes = ipv4(17, &[], 0, 0, &udp(8));
    write_checksum(&mut bytes);
    for before in [0, 1, 13] {
        let mut frame = Frame::empty();
        frame.copy_from(&[&vec![7; before][..], &bytes].concat());
        let packet = Packet::from_host(frame, before, parse_ip(&bytes).unwrap());
        let record = Record::of(&packet, None, None, None, Point::Output, Instant::ZERO);
        assert_eq!((record.link, record.tag, record.length), (None, None, bytes.len()), "{before} bytes");
    }
}
