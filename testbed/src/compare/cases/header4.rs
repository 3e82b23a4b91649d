//! The IPv4 header (RFC 1812 section 5.2.2).

use crate::compare::case::{Case, frame, v4};
use crate::compare::ground::Key;
use crate::frames::{Checksum, ETHERTYPE_IPV4, Link, Payload, V4};

pub fn cases() -> Vec<Case> {
    vec![
        v4("nothing peculiar", "r1 udp", Key::udp4),
        v4("version 0", "nothing", |k| V4 { version: 0, ..k.udp4() }),
        v4("version 5", "nothing", |k| V4 { version: 5, ..k.udp4() }),
        v4("version 6 in an IPv4 frame", "nothing", |k| V4 { version: 6, ..k.udp4() }),
        v4("version 15", "nothing", |k| V4 { version: 15, ..k.udp4() }),
        v4("header of no words", "nothing", |k| V4 { header_words: Some(0), ..k.udp4() }),
        v4("header of four words", "nothing", |k| V4 { header_words: Some(4), ..k.udp4() }),
        v4("header longer than the packet", "nothing", |k| V4 { header_words: Some(15), ..k.udp4() }),
        v4("header takes in the transport header as options", "nothing", |k| V4 {
            header_words: Some(7),
            ..k.udp4()
        }),
        v4("wrong header checksum", "nothing", |k| V4 { checksum: Checksum::Wrong, ..k.udp4() }),
        v4("header checksum 0", "nothing", |k| V4 { checksum: Checksum::Set(0), ..k.udp4() }),
        v4("header checksum all ones where zero is right", "r1 udp", |k| all_ones(k.udp4())),
        v4("total length 0", "nothing", |k| V4 { total_length: Some(0), ..k.udp4() }),
        v4("total length below the header's", "nothing", |k| V4 { total_length: Some(19), ..k.udp4() }),
        v4("total length of the header alone", "r1 udp", |k| V4 { total_length: Some(20), ..k.udp4() }),
        v4("total length one more than there is", "nothing", |k| V4 { total_length: Some(49), ..k.udp4() }),
        v4("total length 65535", "nothing", |k| V4 { total_length: Some(65535), ..k.udp4() }),
        v4("total length four less than there is", "r1 udp", |k| V4 { total_length: Some(44), ..k.udp4() }),
        v4("no payload at all", "r1 udp", |k| k.v4(Payload::Raw(17, vec![]))),
        v4("ttl 0", "r0 icmp 11/0", |k| V4 { ttl: 0, ..k.udp4() }),
        v4("ttl 1", "r0 icmp 11/0", |k| V4 { ttl: 1, ..k.udp4() }),
        v4("ttl 2", "r1 udp", |k| V4 { ttl: 2, ..k.udp4() }),
        v4("ttl 255", "r1 udp", |k| V4 { ttl: 255, ..k.udp4() }),
        v4("ttl 1 with much to quote", "r0 icmp 11/0", |k| V4 { ttl: 1, ..k.long4(1200) }),
        v4("ttl 1 with 548 bytes to quote", "r0 icmp 11/0", |k| V4 { ttl: 1, ..k.long4(520) }),
        v4("expedited forwarding", "r1 udp", |k| V4 { tos: 0xb8, ..k.udp4() }),
        v4("congestion experienced", "r1 udp", |k| V4 { tos: 0x03, ..k.udp4() }),
        v4("every tos bit", "r1 udp", |k| V4 { tos: 0xff, ..k.udp4() }),
        v4("ttl 1 with a tos", "r0 icmp 11/0", |k| V4 { ttl: 1, tos: 0xb9, ..k.udp4() }),
        v4("the reserved flag", "r1 udp", |k| V4 { reserved: true, ..k.udp4() }),
        v4("don't fragment where it fits", "r1 udp", |k| V4 { dont_fragment: true, ..k.udp4() }),
        v4("id 0", "r1 udp", |k| V4 { id: 0, ..k.udp4() }),
        v4("id 65535", "r1 udp", |k| V4 { id: 65535, ..k.udp4() }),
        frame("frame ends after the ethertype", "nothing", |k| k.link(0).around(ETHERTYPE_IPV4, &[])),
        frame("one byte of packet", "nothing", |k| k.link(0).around(ETHERTYPE_IPV4, &[0x45])),
        frame("packet cut within the header", "nothing", |k| {
            k.link(0).around(ETHERTYPE_IPV4, &k.udp4().bytes()[..19])
        }),
        frame("packet cut behind the header", "nothing", |k| {
            k.link(0).around(ETHERTYPE_IPV4, &k.udp4().bytes()[..20])
        }),
        frame("frame padded to sixty bytes", "r1 udp", |k| {
            let packet = k.v4(Payload::Raw(17, k.udp4().payload_bytes()[..12].to_vec())).bytes();
            Link { trailer: vec![0; 46 - packet.len()], ..k.link(0) }.around(ETHERTYPE_IPV4, &packet)
        }),
        frame("a hundred bytes behind the packet", "r1 udp", |k| {
            Link { trailer: vec![0xee; 100], ..k.link(0) }.around(ETHERTYPE_IPV4, &k.udp4().bytes())
        }),
        frame("ttl 1 and bytes behind the packet", "r0 icmp 11/0", |k| {
            let packet = V4 { ttl: 1, ..k.udp4() };
            Link { trailer: vec![0xee; 9], ..k.link(0) }.around(ETHERTYPE_IPV4, &packet.bytes())
        }),
    ]
}

/// The packet with an id for which the header checksum comes out as zero, and all ones in its place.
fn all_ones(packet: V4) -> V4 {
    let with = |id| V4 { id, ..packet.clone() };
    let id =
        (0..=u16::MAX).find(|id| with(*id).bytes()[10..12] == [0, 0]).expect("some id makes up for the rest");
    V4 { checksum: Checksum::Set(0xffff), ..with(id) }
}
