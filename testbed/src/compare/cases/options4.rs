//! IPv4 options (RFC 791, RFC 1812 section 5.2.4).

use crate::compare::case::{Case, v4};
use crate::compare::ground::Key;
use crate::frames::V4;

const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

pub fn cases() -> Vec<Case> {
    vec![
        with("no-operation options", "r1 udp", |_| vec![1, 1, 1, 1]),
        with("end of options and garbage behind it", "r1 udp", |_| vec![0, 9, 9, 9]),
        with("record route with room", "r1 udp", |_| room(RECORD_ROUTE, 4, 3)),
        with("record route with room for one", "r1 udp", |_| room(RECORD_ROUTE, 4, 1)),
        with("record route half full", "r1 udp", |_| room(RECORD_ROUTE, 8, 3)),
        with("record route full", "r1 udp", |_| room(RECORD_ROUTE, 16, 3)),
        with("record route without room", "r1 udp", |_| vec![RECORD_ROUTE, 3, 4]),
        with("record route pointer below four", "r0 icmp 12/0", |_| room(RECORD_ROUTE, 3, 3)),
        with("record route pointer not at a slot", "r1 udp", |_| room(RECORD_ROUTE, 5, 3)),
        with("record route pointer leaves no whole slot", "r0 icmp 12/0", |_| room(RECORD_ROUTE, 13, 3)),
        with("record route of two bytes", "r0 icmp 12/0", |_| vec![RECORD_ROUTE, 2, 0, 0]),
        with("record route longer than the header", "r0 icmp 12/0", |_| {
            vec![RECORD_ROUTE, 15, 4, 0, 0, 0, 0, 0]
        }),
        with("record route twice", "r0 icmp 12/0", |_| {
            [room(RECORD_ROUTE, 4, 1), room(RECORD_ROUTE, 4, 1)].concat()
        }),
        v4("record route and ttl 1", "r0 icmp 11/0", |k| V4 {
            ttl: 1,
            options: room(RECORD_ROUTE, 4, 3),
            ..k.udp4()
        }),
        v4("record route back out of the same port", "r0 udp", |k| V4 {
            destination: k.behind4(0),
            options: room(RECORD_ROUTE, 4, 3),
            ..k.udp4()
        }),
        with("timestamps alone", "r1 udp", |_| stamps(0, 5, 3, 4)),
        with("timestamps alone, one slot left", "r1 udp", |_| stamps(0, 13, 3, 4)),
        with("timestamps with addresses", "r1 udp", |_| stamps(1, 5, 2, 8)),
        with("timestamps asked of given addresses, ours among them", "r1 udp", |_| asked([10, 11, 0, 1])),
        with("timestamps asked of given addresses, none of them ours", "r1 udp", |_| asked([10, 99, 0, 1])),
        with("timestamp of an unknown kind", "r1 udp", |_| stamps(2, 5, 2, 8)),
        with("timestamps full", "r1 udp", |_| stamps(0, 17, 3, 4)),
        with("timestamps full and fifteen overflown", "r0 icmp 12/0", |_| stamps(0xf0, 17, 3, 4)),
        with("timestamp pointer below five", "r0 icmp 12/0", |_| stamps(0, 4, 3, 4)),
        with("timestamp of three bytes", "r0 icmp 12/0", |_| vec![TIMESTAMP, 3, 5, 0]),
        with("timestamp twice", "r0 icmp 12/0", |_| [stamps(0, 5, 1, 4), stamps(0, 5, 1, 4)].concat()),
        with("loose source route with a way to go", "nothing", |_| room(LOOSE_SOURCE_ROUTE, 4, 2)),
        with("strict source route with a way to go", "nothing", |_| room(STRICT_SOURCE_ROUTE, 4, 2)),
        with("loose source route at its end", "nothing", |_| room(LOOSE_SOURCE_ROUTE, 12, 2)),
        with("both source routes", "r0 icmp 12/0", |_| {
            [room(LOOSE_SOURCE_ROUTE, 4, 1), room(STRICT_SOURCE_ROUTE, 4, 1)].concat()
        }),
        with("source route with a pointer not at a slot", "nothing", |_| room(LOOSE_SOURCE_ROUTE, 6, 2)),
        with("source route of two bytes", "r0 icmp 12/0", |_| vec![LOOSE_SOURCE_ROUTE, 2, 0, 0]),
        v4("source route to the router itself", "nothing", |k| V4 {
            destination: [10, 10, 0, 1].into(),
            options: vec![LOOSE_SOURCE_ROUTE, 7, 4, 172, 21, 0, 1],
            ..k.udp4()
        }),
        with("router alert", "r1 udp", |_| vec![148, 4, 0, 0]),
        with("router alert with a value", "r1 udp", |_| vec![148, 4, 0, 1]),
        with("router alert of three bytes", "r0 icmp 12/0", |_| vec![148, 3, 0, 0]),
        with("security option", "r1 udp", |_| vec![130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        with("commercial security option", "r0 icmp 12/0", |_| vec![134, 6, 0, 0, 0, 1]),
        with("stream id", "r1 udp", |_| vec![136, 4, 0, 5]),
        with("unknown option", "r1 udp", |_| vec![0x5e, 4, 7, 7]),
        with("unknown option with the copy flag", "r1 udp", |_| vec![0xde, 8, 1, 2, 3, 4, 5, 6]),
        with("option of length 0", "r0 icmp 12/0", |_| vec![0x5e, 0, 0, 0]),
        with("option of length 1", "r0 icmp 12/0", |_| vec![0x5e, 1, 0, 0]),
        with("option longer than the header", "r0 icmp 12/0", |_| vec![0x5e, 5, 0, 0]),
        with("option cut after its type", "r0 icmp 12/0", |_| vec![1, 1, 1, 0x5e]),
        with("forty bytes of no-operation", "r1 udp", |_| vec![1; 40]),
        v4("broken option and ttl 1", "r0 icmp 12/0", |k| V4 {
            ttl: 1,
            options: vec![0x5e, 9, 0, 0],
            ..k.udp4()
        }),
        v4("broken option and no route", "r0 icmp 12/0", |k| V4 {
            destination: [192, 0, 2, 1].into(),
            options: vec![RECORD_ROUTE, 7, 3, 0, 0, 0, 0],
            ..k.udp4()
        }),
    ]
}

fn with(name: &'static str, expected: &'static str, options: fn(Key) -> Vec<u8>) -> Case {
    Case::new(name, expected, move |k| {
        let packet = V4 { options: options(k), ..k.udp4() };
        vec![crate::compare::case::Step::Send(0, k.frame4(&packet))]
    })
}

/// A route option with `slots` addresses; those before the pointer are some router's.
fn room(kind: u8, pointer: u8, slots: u8) -> Vec<u8> {
    let address = |slot: u8| if slot * 4 + 4 < pointer { [192, 0, 2, slot] } else { [0; 4] };
    let mut option = vec![kind, 3 + slots * 4, pointer];
    option.extend((0..slots).flat_map(address));
    option
}

/// A timestamp option with empty slots.
fn stamps(overflow_and_kind: u8, pointer: u8, slots: u8, slot_length: u8) -> Vec<u8> {
    let length = 4 + slots * slot_length;
    let mut option = vec![TIMESTAMP, length, pointer, overflow_and_kind];
    option.resize(usize::from(length), 0);
    option
}

/// A timestamp option that asks a given address for its time, and then another.
fn asked(address: [u8; 4]) -> Vec<u8> {
    let mut option = vec![TIMESTAMP, 20, 5, 3];
    option.extend(address);
    option.extend([0; 4]);
    option.extend([192, 0, 2, 77, 0, 0, 0, 0]);
    option
}
