//! Messages of the kernel are read, and what they say is written into routing tables that are then asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fib::change::Change;
use fib::snapshot::Query;
use fib::writer::Writer;
use router::mirror::translate::{Announcement, translate};

use crate::fuzz::input::{Input, Recipe};
use crate::fuzz::seeds;

/// Changes that go into one batch.
const BATCH: usize = 3;

/// Again and again a type and a payload. Type zero begins and ends a complete picture.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut writer = Writer::new(["r0", "r1", "h0"].map(str::to_owned).to_vec(), 64);
    let mut batch = Vec::new();
    let mut picture = false;
    while !input.is_empty() {
        let (kind, payload) = (input.word(), input.chunk());
        if kind == 0 {
            batch.push(if picture { Change::DumpEnd } else { Change::DumpBegin });
            picture = !picture;
        }
        if let Ok(Announcement::Change(change)) = translate(kind, payload) {
            batch.push(change);
        }
        if batch.len() >= BATCH {
            writer.apply(batch.drain(..));
            ask(&writer);
        }
    }
    writer.apply(batch);
    ask(&writer);
}

/// Lookups are total.
fn ask(writer: &Writer) {
    let reader = writer.reader();
    let snapshot = reader.load();
    for destination in [
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1)),
    ] {
        let source = if destination.is_ipv4() {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9))
        } else {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9))
        };
        let input = snapshot.ports().ids().next();
        let query = Query {
            destination,
            source,
            input,
            mark: 1,
            tos: 0x10,
            protocol: 17,
            source_port: 1,
            destination_port: 2,
        };
        let answer = snapshot.lookup(&query);
        assert!(answer.generation == snapshot.generation(), "an answer bears the generation it is of");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let messages = seeds::netlink();
    let recipe = |part: &[(u16, Vec<u8>)]| {
        part.iter().fold(Recipe::default(), |recipe, (kind, payload)| recipe.word(*kind).chunk(payload))
    };
    let mut seeds: Vec<_> =
        messages.chunks(1).chain(messages.chunks(12)).map(|part| recipe(part).done()).collect();
    let picture = [&[0; 4][..], &recipe(&messages[..40]).done(), &[0; 4]].concat();
    seeds.push(picture);
    seeds
}
