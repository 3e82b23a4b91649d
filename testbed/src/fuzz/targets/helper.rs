//! Packets of control connections, which the FTP helper reads; what it announces lies in the packet that announces it.

use std::net::IpAddr;

use conntrack::{Advice, CtState, Direction, Ftp, Helper, Ids, Memory, Message, Tuple, protocol};

use crate::fuzz::input::{Input, Recipe};

/// IPv6, else IPv4; of the first packet it decides for all.
const IPV6: u8 = 1;
/// From the server, else from the client.
const REPLY: u8 = 2;
/// A packet goes on where the last one of its direction ended.
const FOLLOWS: u8 = 4;

/// Lines with something to be read in them.
const LINES: [(u8, &str); 8] = [
    (0, "PORT 10,0,0,2,4,210\r\n"),
    (0, "EPRT |1|10.0.0.2|1234|\r\n"),
    (IPV6, "EPRT |2|fd00::2|1234|\r\n"),
    (REPLY, "227 Entering Passive Mode (10,0,1,2,19,137).\r\n"),
    (REPLY, "227 =10,0,1,2,19,137\r\n"),
    (REPLY, "229 Extended Passive Mode (|||5001|)\r\n"),
    (IPV6 | REPLY, "229 ok (!!!5001!)\r\n"),
    (0, "USER anonymous\r\n"),
];

/// Again and again flags, a sequence number as a word, and a payload.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let tuples = tuples(bytes.first().is_some_and(|flags| flags & IPV6 != 0));
    let (ftp, mut memory, mut next) = (Ftp::default(), Memory::default(), [0_u32; 2]);
    while !input.is_empty() {
        let (flags, number, payload) = (input.byte(), input.word(), input.chunk());
        let direction = if flags & REPLY != 0 { Direction::Reply } else { Direction::Original };
        let state = match direction {
            Direction::Original => CtState::Established,
            Direction::Reply => CtState::EstablishedReply,
        };
        let sequence = if flags & FOLLOWS != 0 { next[direction.index()] } else { number.into() };
        next[direction.index()] = sequence.wrapping_add(payload.len() as u32);
        let transport = segment(sequence, payload);
        let advice = ftp.handle(&mut memory, &Message { transport: &transport, direction, state, tuples });
        if let Advice::Expect(announcement) = advice {
            let text = &announcement.text;
            assert!(text.start >= 20 + 4 && text.end <= transport.len(), "{text:?} of {}", transport.len());
            let tuple = announcement.pattern.tuple;
            assert_eq!(tuple.destination(), tuples[direction.index()].source(), "somebody else is called");
            let spelled = ftp.spell(announcement.form, tuple.destination(), tuple.ids().destination);
            assert!(!spelled.is_empty());
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let line = |flags: u8, text: &str| {
        let greeting = Recipe::default().bytes(&[flags]).word(1).chunk(b"hello\r\n");
        greeting.bytes(&[flags | FOLLOWS]).word(0).chunk(text.as_bytes()).done()
    };
    let whole = LINES.iter().map(|(flags, text)| line(*flags, text));
    let cut = LINES.iter().map(|(flags, text)| line(*flags, &text[..text.len() / 2]));
    whole.chain(cut).collect()
}

/// A control connection from a client to a server.
fn tuples(ipv6: bool) -> [Tuple; 2] {
    let (client, server): ([u8; 4], [u8; 4]) = ([10, 0, 0, 2], [10, 0, 1, 2]);
    let (client, server): (IpAddr, IpAddr) = if ipv6 {
        ("fd00::2".parse().expect("an address"), "fd01::2".parse().expect("an address"))
    } else {
        (client.into(), server.into())
    };
    let ids = Ids { source: 40_000, destination: 21 };
    let there = Tuple::between(client, server, protocol::TCP, ids);
    [there, there.inverted(ids.swapped())]
}

fn segment(sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment[12] = 5 << 4;
    segment.extend_from_slice(payload);
    segment
}
