//! Datagrams go through a small flow table and a gatherer of fragments; both stay within their bounds and end empty.

use std::time::Duration;

use conntrack::{
    Checksum, Config, Datagram, Family, Flow, Gather, GatherConfig, Gathered, Instant, Registry, Table,
    Tracked, Zone,
};

use crate::fuzz::input::{Input, Recipe};
use crate::fuzz::seeds;

/// IPv6, else IPv4.
const IPV6: u8 = 1;
/// The checksum need not be verified.
const VERIFIED: u8 = 2;
/// The flow is confirmed.
const CONFIRM: u8 = 4;
/// Another zone.
const ZONE: u8 = 8;

const FLOWS_MAX: usize = 8;
const HELD_BYTES_MAX: usize = 20_000;

/// Again and again flags, seconds since the one before, and a datagram.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let config = Config { flows_max: FLOWS_MAX, seed: [1, 2], ..Config::default() };
    let table = Table::<()>::new(config, Registry::builtin().build());
    let mut gather = Gather::new(GatherConfig { bytes_max: HELD_BYTES_MAX, ..GatherConfig::default() });
    let mut now = Instant::from_secs(1);
    while !input.is_empty() {
        let flags = input.byte();
        now = now + Duration::from_secs(input.byte().into());
        let datagram = Datagram {
            bytes: input.chunk(),
            family: if flags & IPV6 != 0 { Family::Ipv6 } else { Family::Ipv4 },
            checksum: if flags & VERIFIED != 0 { Checksum::Valid } else { Checksum::Unknown },
            zone: Zone::both(u16::from(flags & ZONE != 0)),
        };
        match gather.push(&datagram, 1, now) {
            Gathered::NotFragment => track(&table, &datagram, flags, now),
            Gathered::Complete(whole) => {
                let payload: usize = whole.pieces.iter().map(|piece| usize::from(*piece)).sum();
                assert_eq!(whole.header + payload, whole.bytes.len(), "pieces do not make up the datagram");
                assert!(whole.bytes.len() <= 65_535 + 40, "a datagram of {} bytes", whole.bytes.len());
                track(&table, &Datagram { bytes: whole.bytes, ..datagram }, flags, now);
            }
            Gathered::Held | Gathered::Dropped(_) => {}
        }
        assert!(table.len() <= FLOWS_MAX, "{} flows", table.len());
        table.expire(now, 1);
        gather.expire(now, 1);
    }
    check_that_it_ends(&table, &mut gather, now);
}

fn track(table: &Table<()>, datagram: &Datagram<'_>, flags: u8, now: Instant) {
    if let Tracked::Flow { flow, .. } = table.track(datagram, now) {
        let _ = (table.state_name(&flow), table.protocol_name(&flow), flow.timeout_at(now));
        if let Flow::Tentative(tentative) = flow
            && flags & CONFIRM != 0
        {
            table.confirm(tentative, now);
        }
    }
}

/// A month and some seconds later nothing is held any more.
fn check_that_it_ends(table: &Table<()>, gather: &mut Gather, now: Instant) {
    let end = now + Duration::from_secs(30 * 24 * 3600);
    for second in 0..10 {
        table.expire(end + Duration::from_secs(second), 64);
        gather.expire(end + Duration::from_secs(second), 1000);
    }
    assert!(table.is_empty(), "{} flows do not end", table.len());
    for family in Family::ALL {
        assert_eq!((gather.len(family), gather.bytes(family)), (0, 0), "fragments of {family:?} are kept");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |frames: Vec<(usize, Vec<u8>)>| {
        let packets = frames.into_iter().filter_map(|(_, frame)| seeds::packet_of(&frame));
        packets.fold(Recipe::default(), |recipe, packet| {
            let ipv6 = packet.first().is_some_and(|byte| byte >> 4 == 6);
            recipe.bytes(&[CONFIRM | u8::from(ipv6), 1]).chunk(&packet)
        })
    };
    seeds::cases().into_iter().map(|frames| seed(frames).done()).filter(|seed| !seed.is_empty()).collect()
}
