//! UDP, TCP and other protocols, right and wrong: a router forwards them all.

use crate::compare::case::{Case, Step, all4, v4, v6};
use crate::compare::ground::{Key, SERVICE};
use crate::frames::{Checksum, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Payload, Tcp, Udp, V4, V6};

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
const URG: u8 = 32;

pub fn cases() -> Vec<Case> {
    vec![
        udp4("udp without a checksum", "r1 udp", |u| Udp { checksum: Checksum::Set(0), ..u }),
        udp4("udp with a wrong checksum", "r1 udp", |u| Udp { checksum: Checksum::Wrong, ..u }),
        udp4("udp length 0", "r1 udp", |u| Udp { length: Some(0), ..u }),
        udp4("udp length below its header's", "r1 udp", |u| Udp { length: Some(7), ..u }),
        udp4("udp length beyond the packet", "r1 udp", |u| Udp { length: Some(200), ..u }),
        udp4("udp length less than the packet's", "r1 udp", |u| Udp { length: Some(20), ..u }),
        udp4("udp of no bytes", "r1 udp", |u| Udp { data: vec![], ..u }),
        udp4("udp from port 0", "r1 udp", |u| Udp { source: 0, ..u }),
        udp4("udp to port 0", "r1 udp", |u| Udp { destination: 0, ..u }),
        v4("udp cut within its header", "r1 udp", |k| k.v4(Payload::Raw(17, vec![0x4e, 0x20, 0x1e]))),
        tcp4("tcp syn", "r1 tcp", |t| t),
        tcp4("tcp syn with data", "r1 tcp", |t| Tcp { data: vec![1, 2, 3], ..t }),
        tcp4("tcp syn and ack alone", "r1 tcp", |t| Tcp { flags: SYN | ACK, ..t }),
        tcp4("tcp ack alone", "r1 tcp", |t| Tcp { flags: ACK, ..t }),
        tcp4("tcp rst alone", "r1 tcp", |t| Tcp { flags: RST, ..t }),
        tcp4("tcp fin and ack alone", "r1 tcp", |t| Tcp { flags: FIN | ACK, ..t }),
        tcp4("tcp without flags", "r1 tcp", |t| Tcp { flags: 0, ..t }),
        tcp4("tcp syn and fin", "r1 tcp", |t| Tcp { flags: SYN | FIN, ..t }),
        tcp4("tcp syn and rst", "r1 tcp", |t| Tcp { flags: SYN | RST, ..t }),
        tcp4("tcp fin, push and urgent", "r1 tcp", |t| Tcp { flags: FIN | PSH | URG, ..t }),
        tcp4("tcp with every flag", "r1 tcp", |t| Tcp { flags: 0xff, ..t }),
        tcp4("tcp with a wrong checksum", "r1 tcp", |t| Tcp { checksum: Checksum::Wrong, ..t }),
        tcp4("tcp header of four words", "r1 tcp", |t| Tcp { header_words: Some(4), ..t }),
        tcp4("tcp header longer than the segment", "r1 tcp", |t| Tcp { header_words: Some(15), ..t }),
        tcp4("tcp option of length 0", "r1 tcp", |t| Tcp { options: vec![8, 0, 0, 0], ..t }),
        v4("tcp cut within its header", "r1 tcp", |k| {
            k.v4(Payload::Raw(6, vec![0x4e, 0x20, 0x1e, 0x61, 0, 0]))
        }),
        v4("protocol 0", "r1 protocol 0", |k| k.v4(Payload::Raw(0, vec![1; 20]))),
        v4("protocol igmp", "r1 protocol 2", |k| k.v4(Payload::Raw(2, vec![0x16, 0, 0, 0, 239, 1, 1, 1]))),
        v4("protocol ipip", "r1 protocol 4", |k| k.v4(Payload::Raw(4, k.udp4().bytes()))),
        v4("protocol 41", "r1 protocol 41", |k| k.v4(Payload::Raw(41, k.udp6().bytes()))),
        v4("protocol gre", "r1 protocol 47", |k| k.v4(Payload::Raw(47, vec![0, 0, 8, 0, 1, 2, 3, 4]))),
        v4("protocol gre of version 1", "r1 protocol 47", |k| {
            k.v4(Payload::Raw(47, vec![0x20, 1, 0x88, 0x0b, 0, 4, 0, 9, 1, 2, 3, 4]))
        }),
        v4("protocol gre cut short", "r1 protocol 47", |k| k.v4(Payload::Raw(47, vec![0, 0]))),
        v4("protocol esp", "r1 protocol 50", |k| k.v4(Payload::Raw(50, vec![0x77; 40]))),
        v4("protocol ah", "r1 protocol 51", |k| {
            k.v4(Payload::Raw(51, vec![17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]))
        }),
        v4("protocol sctp with a wrong checksum", "r1 protocol 132", |k| {
            k.v4(Payload::Raw(132, vec![0x4e; 32]))
        }),
        v4("protocol sctp cut short", "r1 protocol 132", |k| k.v4(Payload::Raw(132, vec![0x4e; 5]))),
        v4("protocol udp-lite", "r1 protocol 136", |k| {
            k.v4(Payload::Raw(136, vec![0x4e, 1, 0x1e, 1, 0, 8, 0, 0]))
        }),
        v4("protocol 253", "r1 protocol 253", |k| k.v4(Payload::Raw(253, vec![3; 33]))),
        v4("protocol 255", "r1 protocol 255", |k| k.v4(Payload::Raw(255, vec![3; 33]))),
        udp6("udp without a checksum in IPv6", "r1 udp", |u| Udp { checksum: Checksum::Set(0), ..u }),
        udp6("udp with a wrong checksum in IPv6", "r1 udp", |u| Udp { checksum: Checksum::Wrong, ..u }),
        udp6("udp length beyond the packet in IPv6", "r1 udp", |u| Udp { length: Some(200), ..u }),
        tcp6("tcp syn in IPv6", "r1 tcp", |t| t),
        tcp6("tcp syn and fin in IPv6", "r1 tcp", |t| Tcp { flags: SYN | FIN, ..t }),
        tcp6("tcp with a wrong checksum in IPv6", "r1 tcp", |t| Tcp { checksum: Checksum::Wrong, ..t }),
        v6("protocol 253 in IPv6", "r1 protocol 253", |k| k.v6(Payload::Raw(253, vec![3; 33]))),
        v6("protocol gre in IPv6", "r1 protocol 47", |k| {
            k.v6(Payload::Raw(47, vec![0, 0, 0x86, 0xdd, 1, 2]))
        }),
        Case::new("udp and its answer", "r0 udp, r1 udp", |k| {
            vec![
                Step::Send(0, k.frame4(&k.udp4())),
                Step::Send(1, k.link(1).around(ETHERTYPE_IPV4, &back(&k.udp4()).bytes())),
            ]
        }),
        Case::new("udp and its answer in IPv6", "r0 udp, r1 udp", |k| {
            vec![
                Step::Send(0, k.frame6(&k.udp6())),
                Step::Send(1, k.link(1).around(ETHERTYPE_IPV6, &back6(&k.udp6()).bytes())),
            ]
        }),
        Case::new(
            "an answer that comes in by another port than the question left by",
            "r0 udp, r1 udp",
            |k| {
                vec![
                    Step::Send(0, k.frame4(&k.udp4())),
                    Step::Send(2, k.link(2).around(ETHERTYPE_IPV4, &back(&k.udp4()).bytes())),
                ]
            },
        ),
        Case::new(
            "tcp from its first segment to its last",
            "r0 tcp, r0 tcp, r0 tcp, 6 × r1 tcp",
            conversation,
        ),
        all4("the same datagram ten times", "10 × r1 udp", |k| vec![k.udp4(); 10]),
        Case::new("a question from both sides at once", "r0 udp, r1 udp, r1 udp, r1 icmp 11/0", |k| {
            vec![
                Step::Send(0, k.frame4(&k.udp4())),
                Step::Send(1, k.link(1).around(ETHERTYPE_IPV4, &back(&k.udp4()).bytes())),
                Step::Send(0, k.frame4(&k.udp4())),
                Step::Send(1, k.link(1).around(ETHERTYPE_IPV4, &V4 { ttl: 1, ..back(&k.udp4()) }.bytes())),
            ]
        }),
    ]
}

fn udp4(name: &'static str, expected: &'static str, change: fn(Udp) -> Udp) -> Case {
    Case::new(name, expected, move |k| vec![Step::Send(0, k.frame4(&k.v4(Payload::Udp(change(k.udp())))))])
}

fn udp6(name: &'static str, expected: &'static str, change: fn(Udp) -> Udp) -> Case {
    Case::new(name, expected, move |k| vec![Step::Send(0, k.frame6(&k.v6(Payload::Udp(change(k.udp())))))])
}

fn tcp4(name: &'static str, expected: &'static str, change: fn(Tcp) -> Tcp) -> Case {
    Case::new(name, expected, move |k| vec![Step::Send(0, k.frame4(&k.v4(Payload::Tcp(change(k.syn())))))])
}

fn tcp6(name: &'static str, expected: &'static str, change: fn(Tcp) -> Tcp) -> Case {
    Case::new(name, expected, move |k| vec![Step::Send(0, k.frame6(&k.v6(Payload::Tcp(change(k.syn())))))])
}

/// An answer to `packet`, which carries UDP of [`Key::udp`].
fn back(packet: &V4) -> V4 {
    V4 {
        source: packet.destination,
        destination: packet.source,
        payload: answer(&packet.payload),
        ..packet.clone()
    }
}

fn back6(packet: &V6) -> V6 {
    V6 {
        source: packet.destination,
        destination: packet.source,
        payload: answer(&packet.payload),
        ..packet.clone()
    }
}

fn answer(payload: &Payload) -> Payload {
    match payload {
        Payload::Udp(udp) => {
            Payload::Udp(Udp { source: udp.destination, destination: udp.source, ..udp.clone() })
        }
        other => other.clone(),
    }
}

/// Handshake, a request, an answer, both ends close.
fn conversation(k: Key) -> Vec<Step> {
    let there = |sequence, acknowledgment, flags, data: &[u8]| {
        let segment =
            Tcp { sequence, acknowledgment, flags, data: data.to_vec(), options: vec![], ..k.syn() };
        Step::Send(0, k.frame4(&k.v4(Payload::Tcp(segment))))
    };
    let back = |sequence, acknowledgment, flags, data: &[u8]| {
        let segment = Tcp {
            source: SERVICE,
            destination: k.source_port(),
            sequence,
            acknowledgment,
            flags,
            data: data.to_vec(),
            options: vec![],
            ..k.syn()
        };
        let there = k.v4(Payload::Tcp(segment));
        let packet = V4 { source: there.destination, destination: there.source, ..there };
        Step::Send(1, k.link(1).around(ETHERTYPE_IPV4, &packet.bytes()))
    };
    vec![
        there(1000, 0, SYN, b""),
        back(5000, 1001, SYN | ACK, b""),
        there(1001, 5001, ACK, b""),
        there(1001, 5001, ACK | PSH, b"GET"),
        back(5001, 1004, ACK | PSH, b"200"),
        there(1004, 5004, ACK | FIN, b""),
        back(5004, 1005, ACK | FIN, b""),
        there(1005, 5005, ACK, b""),
        there(1005, 5005, RST, b""),
    ]
}
