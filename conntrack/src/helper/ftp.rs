//! FTP: data connections announced by PORT and EPRT of the client, and 227 and 229 of the server (RFC 959, RFC 2428;
//! `nf_conntrack_ftp.c`).
//!
//! A command is read where a line begins: right after a packet that ended with a newline. One that is cut by the end of
//! its packet, or makes no sense, is dropped with the packet, as in Linux: the sender will send it again, and whole if
//! it was only cut. Addresses other than the speaker's own are not believed (`loose` is off): they could open a way to
//! somebody else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::Duration;

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::{Advice, Announcement, Helper, Memory, Message, Policy, tcp_payload};
use crate::expect::Pattern;
use crate::registry::protocol;
use crate::table::CtState;
use crate::tuple::{Direction, Ids, Tuple};

/// The FTP helper.
#[derive(Clone, Debug)]
pub struct Ftp {
    policies: [Policy; 1],
}

impl Default for Ftp {
    /// One announced connection at a time, for five minutes.
    fn default() -> Self {
        Self { policies: [Policy { expected_max: 1, timeout: Duration::from_secs(300) }] }
    }
}

impl Helper for Ftp {
    fn name(&self) -> &'static str {
        "ftp"
    }

    fn protocol(&self) -> u8 {
        protocol::TCP
    }

    fn policies(&self) -> &[Policy] {
        &self.policies
    }

    fn handle(&self, memory: &mut Memory, message: &Message<'_>) -> Advice {
        if !matches!(message.state, CtState::Established | CtState::EstablishedReply) {
            return Advice::Pass;
        }
        let Some((offset, sequence)) = tcp_payload(message.transport) else {
            return Advice::Pass;
        };
        let payload = &message.transport[offset..];
        let lines: &mut Lines = memory.view();
        let advice = if lines.begin_at(message.direction, sequence) {
            announced(payload, offset, message)
        } else {
            Advice::Pass
        };
        if advice != Advice::Drop && payload.ends_with(b"\n") {
            let length = u32::try_from(payload.len()).expect("a datagram is shorter than 4 GiB");
            lines.note(message.direction, sequence.wrapping_add(length));
        }
        advice
    }

    fn spell(&self, form: u8, address: IpAddr, id: u16) -> String {
        let [high, low] = id.to_be_bytes();
        match (form, address) {
            (EXTENDED_PASSIVE, _) => format!("|||{id}|"),
            (EXTENDED, IpAddr::V4(address)) => format!("|1|{address}|{id}|"),
            (EXTENDED, IpAddr::V6(address)) => format!("|2|{}|{id}|", in_full(address)),
            (_, IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{a},{b},{c},{d},{high},{low}")
            }
            // The old commands know IPv4 addresses only; Linux writes the first four bytes.
            (_, IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.octets();
                format!("{a},{b},{c},{d},{high},{low}")
            }
        }
    }
}

/// `h1,h2,h3,h4,p1,p2` (PORT and 227).
const CLASSIC: u8 = 0;
/// `|1|address|port|` (EPRT).
const EXTENDED: u8 = 1;
/// `|||port|` (229).
const EXTENDED_PASSIVE: u8 = 2;

/// What is said before an address, by the direction it is said in: the client's commands, the server's replies.
const PATTERNS: [[Search; 2]; 2] = [
    [
        Search { word: b"PORT", skip_past: Some(b' '), form: CLASSIC, read: read_port },
        Search { word: b"EPRT", skip_past: Some(b' '), form: EXTENDED, read: read_eprt },
    ],
    [
        Search { word: b"227 ", skip_past: None, form: CLASSIC, read: read_pasv },
        Search { word: b"229 ", skip_past: Some(b'('), form: EXTENDED_PASSIVE, read: read_epsv },
    ],
];

/// A command or reply that announces a connection.
struct Search {
    word: &'static [u8],
    /// The address begins behind the next of these.
    skip_past: Option<u8>,
    form: u8,
    read: fn(&[u8], &mut Named) -> Option<Range<usize>>,
}

/// What a command names.
struct Named {
    address: IpAddr,
    port: u16,
}

enum Found {
    Nothing,
    /// Cut off, or not to be understood.
    Partial,
    /// At this place of the payload.
    Text(Range<usize>),
}

/// What a line's beginning announces.
fn announced(payload: &[u8], offset: usize, message: &Message<'_>) -> Advice {
    let tuple = &message.tuples[message.direction.index()];
    let answer = &message.tuples[message.direction.opposite().index()];
    let mut named = Named { address: tuple.source(), port: 0 };
    for search in &PATTERNS[message.direction.index()] {
        let text = match search.find(payload, &mut named) {
            Found::Nothing => continue,
            Found::Partial => return Advice::Drop,
            Found::Text(text) => text,
        };
        if named.address != tuple.source() {
            return Advice::Pass;
        }
        let ids = Ids { source: 0, destination: named.port };
        let tuple = Tuple::between(answer.source(), answer.destination(), protocol::TCP, ids);
        let pattern = Pattern { tuple, source_address: true, source_id: false };
        let text = offset + text.start..offset + text.end;
        return Advice::Expect(Announcement { pattern, class: 0, text, form: search.form });
    }
    Advice::Pass
}

impl Search {
    fn find(&self, payload: &[u8], named: &mut Named) -> Found {
        if payload.is_empty() {
            return Found::Nothing;
        }
        let compared = payload.len().min(self.word.len());
        if !payload[..compared].eq_ignore_ascii_case(&self.word[..compared]) {
            return Found::Nothing;
        }
        if payload.len() <= self.word.len() {
            return Found::Partial;
        }
        let mut start = self.word.len();
        if let Some(skipped) = self.skip_past {
            match payload[start..].iter().position(|byte| *byte == skipped) {
                Some(place) => start += place + 1,
                None => return Found::Partial,
            }
        }
        match (self.read)(&payload[start..], named) {
            Some(text) => Found::Text(start + text.start..start + text.end),
            None => Found::Partial,
        }
    }
}

/// `192,168,1,1,5,6` and a carriage return.
fn read_port(text: &[u8], named: &mut Named) -> Option<Range<usize>> {
    let (numbers, length) = numbers::<6>(text, b',', Some(b'\r'))?;
    named.take(numbers);
    Some(0..length)
}

/// The same from the first digit on, whatever follows (RFC 1123 section 4.1.2.6).
fn read_pasv(text: &[u8], named: &mut Named) -> Option<Range<usize>> {
    let start = text.iter().position(u8::is_ascii_digit)?;
    let (numbers, length) = numbers::<6>(&text[start..], b',', None)?;
    named.take(numbers);
    Some(start..start + length)
}

/// `|1|132.235.1.2|6275|` or `|2|3ffe::1|6275|`.
fn read_eprt(text: &[u8], named: &mut Named) -> Option<Range<usize>> {
    let [delimiter, kind, again, ..] = *text else { return None };
    if text.len() <= 3 || !is_delimiter(delimiter) || again != delimiter {
        return None;
    }
    let rest = &text[3..];
    let (address, length) = match (kind, named.address) {
        (b'1', IpAddr::V4(_)) => {
            let (parts, length) = numbers::<4>(rest, b'.', Some(delimiter))?;
            (ipv4(parts).into(), length)
        }
        (b'2', IpAddr::V6(_)) => {
            let length = rest.iter().position(|byte| *byte == delimiter)?;
            let address: Ipv6Addr = std::str::from_utf8(&rest[..length]).ok()?.parse().ok()?;
            (address.into(), length)
        }
        _ => return None,
    };
    let (port, end) = port(text, 3 + length + 1, delimiter)?;
    *named = Named { address, port };
    Some(0..end)
}

/// `|||6446|`.
fn read_epsv(text: &[u8], named: &mut Named) -> Option<Range<usize>> {
    let [delimiter, second, third, ..] = *text else { return None };
    if text.len() <= 3 || !is_delimiter(delimiter) || [second, third] != [delimiter; 2] {
        return None;
    }
    let (port, end) = port(text, 3, delimiter)?;
    named.port = port;
    Some(0..end)
}

impl Named {
    fn take(&mut self, numbers: [u32; 6]) {
        let [a, b, c, d, high, low] = numbers;
        self.address = ipv4([a, b, c, d]).into();
        self.port = truncated((high << 8) | low);
    }
}

fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_graphic() && !byte.is_ascii_digit()
}

/// `N` decimal numbers with `separator` between them, and the bytes they take. They end at `end`, or without one at
/// whatever is neither digit nor separator. Numbers too large wrap and run into each other, as in Linux.
fn numbers<const N: usize>(text: &[u8], separator: u8, end: Option<u8>) -> Option<([u32; N], usize)> {
    let mut numbers = [0_u32; N];
    let mut place = 0;
    for (length, byte) in text.iter().enumerate() {
        match *byte {
            digit @ b'0'..=b'9' => {
                let number: &mut u32 = numbers.get_mut(place)?;
                *number = number.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'));
            }
            byte if byte == separator => place += 1,
            byte if place + 1 == N && end.is_none_or(|end| end == byte) => return Some((numbers, length)),
            _ => return None,
        }
    }
    None
}

/// A port number that begins at `start` and ends with `delimiter`, and where the text goes on behind that.
fn port(text: &[u8], start: usize, delimiter: u8) -> Option<(u16, usize)> {
    let mut port = 0_u16;
    for (place, byte) in text.iter().enumerate().skip(start) {
        match *byte {
            byte if byte == delimiter => return (port != 0).then_some((port, place + 1)),
            digit @ b'0'..=b'9' => port = port.wrapping_mul(10).wrapping_add(u16::from(digit - b'0')),
            _ => return None,
        }
    }
    None
}

fn ipv4([a, b, c, d]: [u32; 4]) -> Ipv4Addr {
    Ipv4Addr::from_bits((a << 24) | (b << 16) | (c << 8) | d)
}

fn truncated(number: u32) -> u16 {
    u16::try_from(number & 0xffff).expect("16 bits")
}

/// All groups with all their digits (`%pI6`).
fn in_full(address: Ipv6Addr) -> String {
    address.segments().map(|group| format!("{group:04x}")).join(":")
}

/// Where lines begin: the sequence numbers after the last newlines seen at the end of a packet, by direction.
#[derive(FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
struct Lines {
    starts: [[u32; 2]; 2],
    known: [u16; 2],
}

impl Lines {
    fn begin_at(&self, direction: Direction, sequence: u32) -> bool {
        let side = direction.index();
        self.starts[side][..usize::from(self.known[side]).min(2)].contains(&sequence)
    }

    /// The two latest are remembered, so that what is sent again is read again.
    fn note(&mut self, direction: Direction, sequence: u32) {
        if self.begin_at(direction, sequence) {
            return;
        }
        let side = direction.index();
        let starts = &mut self.starts[side];
        let known = usize::from(self.known[side]);
        if known < starts.len() {
            starts[known] = sequence;
            self.known[side] += 1;
            return;
        }
        let oldest = usize::from(!is_before(starts[0], starts[1]));
        if is_before(starts[oldest], sequence) {
            starts[oldest] = sequence;
        }
    }
}

const fn is_before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLIENT: &str = "10.0.0.1";
    const SERVER: &str = "10.0.1.2";

    /// A control connection between two hosts, as the helper is shown it.
    struct Control {
        memory: Memory,
        tuples: [Tuple; 2],
        sequence: [u32; 2],
    }

    impl Control {
        fn between(client: &str, server: &str) -> Self {
            let ids = Ids { source: 40_000, destination: 21 };
            let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
            let there = Tuple::between(client, server, protocol::TCP, ids);
            let tuples = [there, there.inverted(ids.swapped())];
            Self { memory: Memory::default(), tuples, sequence: [100, u32::MAX - 20] }
        }

        /// A connection on which both have said something.
        fn greeted() -> Self {
            Self::greeted_between(CLIENT, SERVER)
        }

        fn greeted_between(client: &str, server: &str) -> Self {
            let mut control = Self::between(client, server);
            assert_eq!(control.say(Direction::Reply, b"220 ready\r\n"), Advice::Pass);
            assert_eq!(control.say(Direction::Original, b"USER me\r\n"), Advice::Pass);
            control
        }

        fn say(&mut self, direction: Direction, payload: &[u8]) -> Advice {
            let sequence = self.sequence[direction.index()];
            let advice = self.say_at(direction, sequence, payload);
            if advice != Advice::Drop {
                let length = u32::try_from(payload.len()).unwrap();
                self.sequence[direction.index()] = sequence.wrapping_add(length);
            }
            advice
        }

        fn say_at(&mut self, direction: Direction, sequence: u32, payload: &[u8]) -> Advice {
            let mut transport = vec![0; 20];
            transport[4..8].copy_from_slice(&sequence.to_be_bytes());
            transport[12] = 5 << 4;
            transport.extend_from_slice(payload);
            let state = match direction {
                Direction::Original => CtState::Established,
                Direction::Reply => CtState::EstablishedReply,
            };
            let message = Message { transport: &transport, direction, state, tuples: self.tuples };
            Ftp::default().handle(&mut self.memory, &message)
        }
    }

    /// Where the announced flow goes, and which part of the payload says so.
    fn expected(advice: Advice, payload: &str) -> (String, u16, String) {
        let Advice::Expect(announcement) = advice else { panic!("{payload:?}: {advice:?}") };
        let tuple = announcement.pattern.tuple;
        let text = &payload[announcement.text.start - 20..announcement.text.end - 20];
        let ends = format!("{} > {}", tuple.source(), tuple.destination());
        (ends, tuple.ids().destination, text.to_owned())
    }

    #[test]
    fn a_client_announces_that_the_server_will_call() {
        for (line, text, port) in [
            ("PORT 10,0,0,1,4,210\r\n", "10,0,0,1,4,210", 1234),
            ("port   10,0,0,1,4,210\r\n", "", 0),
            ("port 10,0,0,1,0,21\r\n", "10,0,0,1,0,21", 21),
            ("EPRT |1|10.0.0.1|1234|\r\n", "|1|10.0.0.1|1234|", 1234),
            ("eprt !1!10.0.0.1!1234!\r\n", "!1!10.0.0.1!1234!", 1234),
        ] {
            let advice = Control::greeted().say(Direction::Original, line.as_bytes());
            if text.is_empty() {
                assert_eq!(advice, Advice::Drop, "{line:?}");
            } else {
                let ends = "10.0.1.2 > 10.0.0.1".to_owned();
                assert_eq!(expected(advice, line), (ends, port, text.to_owned()));
            }
        }
    }

    #[test]
    fn a_server_announces_that_the_client_will_call() {
        for (line, text, port) in [
            ("227 Entering Passive Mode (10,0,1,2,19,137).\r\n", "10,0,1,2,19,137", 5001),
            ("227 =10,0,1,2,19,137\r\n", "10,0,1,2,19,137", 5001),
            ("229 Extended Passive Mode (|||5001|)\r\n", "|||5001|", 5001),
        ] {
            let advice = Control::greeted().say(Direction::Reply, line.as_bytes());
            let ends = "10.0.0.1 > 10.0.1.2".to_owned();
            assert_eq!(expected(advice, line), (ends, port, text.to_owned()));
        }
    }

    #[test]
    fn both_families_are_read() {
        let (client, server) = ("2001:db8::1", "2001:db8:1::2");
        let line = "EPRT |2|2001:db8::1|1234|\r\n";
        let advice = Control::greeted_between(client, server).say(Direction::Original, line.as_bytes());
        let ends = format!("{server} > {client}");
        assert_eq!(expected(advice, line), (ends, 1234, "|2|2001:db8::1|1234|".to_owned()));
        let line = "229 ok (|||77|)\r\n";
        let advice = Control::greeted_between(client, server).say(Direction::Reply, line.as_bytes());
        assert_eq!(expected(advice, line).1, 77);
        let wrong = b"EPRT |1|10.0.0.1|1234|\r\n";
        assert_eq!(Control::greeted_between(client, server).say(Direction::Original, wrong), Advice::Drop);
    }

    #[test]
    fn addresses_of_others_are_not_believed() {
        for line in ["PORT 10,0,0,9,4,210\r\n", "EPRT |1|10.0.0.9|1234|\r\n"] {
            assert_eq!(
                Control::greeted().say(Direction::Original, line.as_bytes()),
                Advice::Pass,
                "{line:?}"
            );
        }
        let line = b"227 (10,0,1,3,4,210)\r\n";
        assert_eq!(Control::greeted().say(Direction::Reply, line), Advice::Pass);
    }

    #[test]
    fn who_says_it_matters() {
        assert_eq!(Control::greeted().say(Direction::Reply, b"PORT 10,0,0,1,4,210\r\n"), Advice::Pass);
        assert_eq!(Control::greeted().say(Direction::Original, b"227 (10,0,1,2,4,210)\r\n"), Advice::Pass);
    }

    #[test]
    fn what_is_cut_or_makes_no_sense_is_dropped() {
        for line in [
            "P",
            "PORT",
            "PORT 10,0,0,1,4",
            "PORT 10,0,0,1,4,210",
            "PORT 10,0,0,1,4\r\n",
            "PORT 10,0,0,1,4,210,7\r\n",
            "PORTX\r\n",
            "EPRT |1|10.0.0.1|1234",
            "EPRT |1|10.0.0.1|0|\r\n",
            "EPRT 11110.0.0.1111\r\n",
            "EPRT |1\r\n",
        ] {
            assert_eq!(
                Control::greeted().say(Direction::Original, line.as_bytes()),
                Advice::Drop,
                "{line:?}"
            );
        }
        for line in ["22", "227 ", "227 none\r\n", "229 (||5|)\r\n", "229 |||5|\r\n", "229 (|||x|)\r\n"] {
            assert_eq!(Control::greeted().say(Direction::Reply, line.as_bytes()), Advice::Drop, "{line:?}");
        }
    }

    #[test]
    fn numbers_too_large_run_into_each_other_as_in_linux() {
        let mut control = Control::greeted_between("9.0.0.1", SERVER);
        let advice = control.say(Direction::Original, b"PORT 9,256,0,1,4,210\r\n");
        assert!(matches!(advice, Advice::Expect(_)), "{advice:?}");
        let mut control = Control::greeted();
        let advice = control.say(Direction::Original, b"PORT 4294967306,0,0,1,4,210\r\n");
        assert!(matches!(advice, Advice::Expect(_)), "{advice:?}");
    }

    #[test]
    fn only_the_beginning_of_a_line_is_read() {
        let line = b"PORT 10,0,0,1,4,210\r\n";
        let mut fresh = Control::between(CLIENT, SERVER);
        assert_eq!(fresh.say(Direction::Original, line), Advice::Pass, "no line is known to begin here");
        assert!(matches!(fresh.say(Direction::Original, line), Advice::Expect(_)));

        let mut inside = Control::greeted();
        assert_eq!(inside.say(Direction::Original, b"STOR "), Advice::Pass);
        assert_eq!(inside.say(Direction::Original, line), Advice::Pass);
    }

    #[test]
    fn what_is_sent_again_is_read_again() {
        let line = b"PORT 10,0,0,1,4,210\r\n";
        let mut control = Control::greeted();
        let start = control.sequence[0];
        assert!(matches!(control.say(Direction::Original, line), Advice::Expect(_)));
        assert_eq!(control.say(Direction::Original, b"LIST\r\n"), Advice::Pass);
        assert_eq!(
            control.say_at(Direction::Original, start, line),
            Advice::Pass,
            "two lines are remembered"
        );
        let mut control = Control::greeted();
        assert!(matches!(control.say_at(Direction::Original, start, line), Advice::Expect(_)));
        assert!(matches!(control.say_at(Direction::Original, start, line), Advice::Expect(_)));
    }

    #[test]
    fn nothing_is_read_before_both_have_spoken() {
        let mut control = Control::greeted();
        let mut transport = vec![0; 20];
        transport[4..8].copy_from_slice(&control.sequence[0].to_be_bytes());
        transport[12] = 5 << 4;
        transport.extend_from_slice(b"PORT 10,0,0,1,4,210\r\n");
        for state in [CtState::New, CtState::Related, CtState::RelatedReply] {
            let direction = Direction::Original;
            let message = Message { transport: &transport, direction, state, tuples: control.tuples };
            assert_eq!(Ftp::default().handle(&mut control.memory, &message), Advice::Pass);
        }
    }

    #[test]
    fn what_is_spelled_is_read_back() {
        let ftp = Ftp::default();
        let four: IpAddr = CLIENT.parse().unwrap();
        assert_eq!(ftp.spell(CLASSIC, four, 1234), "10,0,0,1,4,210");
        assert_eq!(ftp.spell(EXTENDED, four, 1234), "|1|10.0.0.1|1234|");
        assert_eq!(ftp.spell(EXTENDED_PASSIVE, four, 1234), "|||1234|");
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(ftp.spell(EXTENDED, six, 9), "|2|2001:0db8:0000:0000:0000:0000:0000:0001|9|");
        let mut named = Named { address: "::".parse().unwrap(), port: 0 };
        let text = ftp.spell(EXTENDED, six, 9);
        assert_eq!(read_eprt(text.as_bytes(), &mut named), Some(0..text.len()));
        assert_eq!((named.address, named.port), (six, 9));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            packets in prop::collection::vec(
                (any::<bool>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..80)), 0..10,
            ),
            word in prop::sample::select(vec!["PORT ", "EPRT |1|", "EPRT |2|", "227 (", "229 (|||"]),
            tail in "[0-9,.|:()\r\n]{0,40}",
        ) {
            let mut control = Control::greeted();
            for (back, sequence, bytes) in packets {
                let direction = if back { Direction::Reply } else { Direction::Original };
                control.say_at(direction, sequence, &bytes);
                control.say(direction, &bytes);
            }
            for direction in Direction::ALL {
                control.say(direction, b"\n");
                let line = format!("{word}{tail}");
                if let Advice::Expect(announcement) = control.say(direction, line.as_bytes()) {
                    prop_assert!(announcement.text.end <= 20 + line.len());
                    prop_assert!(announcement.text.start >= 20 + 4);
                }
            }
        }

        #[test]
        fn every_address_and_port_is_read(address in any::<u32>(), port in 1..u16::MAX) {
            let address = Ipv4Addr::from_bits(address);
            let ftp = Ftp::default();
            let lines = [
                (Direction::Original, format!("PORT {}\r\n", ftp.spell(CLASSIC, address.into(), port))),
                (Direction::Original, format!("EPRT {}\r\n", ftp.spell(EXTENDED, address.into(), port))),
                (Direction::Reply, format!("227 ({})\r\n", ftp.spell(CLASSIC, address.into(), port))),
                (Direction::Reply, format!("229 ({})\r\n", ftp.spell(EXTENDED_PASSIVE, address.into(), port))),
            ];
            let speaker = address.to_string();
            for (direction, line) in lines {
                let (client, server) = match direction {
                    Direction::Original => (speaker.as_str(), SERVER),
                    Direction::Reply => (CLIENT, speaker.as_str()),
                };
                let advice = Control::greeted_between(client, server).say(direction, line.as_bytes());
                prop_assert_eq!(expected(advice, &line).1, port);
            }
        }
    }
}
