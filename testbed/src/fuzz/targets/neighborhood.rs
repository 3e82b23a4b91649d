//! Whatever hosts of a link say of addresses, while time passes, ports come and go, and packets wait for neighbors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{LinkIndex, Mac, PortId};
use fib::change::NeighborState;
use router::host::neighborhood::{AdvertisedPrefix, Advertising, Interface, Neighborhood, Proxy, Settings};
use smoltcp::wire::Icmpv6Packet;

use crate::fuzz::input::{Input, Recipe};

const PORT: PortId = PortId(0);
const ELSEWHERE: PortId = PortId(1);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 1]);
const FIXED: Mac = Mac([2, 0, 0, 0, 0, 0x20]);
const NEIGHBORS_MAX: usize = 16;

/// Steps of one input at most.
const STEPS_MAX: usize = 256;
/// Turns that what is due at one moment may take.
const TURNS_MAX: usize = 64;

const ASK: u8 = 0;
const HEAR: u8 = 1;
const HEAR_WHOLE: u8 = 2;
const PASS: u8 = 3;
const INTERFACE: u8 = 4;
const ADDRESS: u8 = 5;

/// Steps, each with a byte that says which.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut now = Instant::from_secs(1);
    let mut hood = world(now);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        match input.byte() % 6 {
            ASK => hood.ask(PORT, address(&mut input), now),
            HEAR => hear(&mut hood, input.chunk(), now),
            HEAR_WHOLE => {
                let mut frame = input.chunk().to_vec();
                finish(&mut frame);
                hear(&mut hood, &frame, now);
            }
            PASS => now = now + Duration::from_millis(input.word().into()),
            INTERFACE => {
                let flags = input.byte();
                let mac = if flags & 2 == 0 { ROUTER } else { Mac([2, 0, 0, 0, 0, flags]) };
                hood.set_interface(PORT, interface(mac, flags & 1 == 0), now);
            }
            _ => {
                let address = address(&mut input);
                match input.byte() {
                    flags if flags & 1 == 1 => hood.remove_address(PORT, address, now),
                    flags => hood.add_address(PORT, address.into(), flags & 2 == 0, now),
                }
            }
        }
        check(&mut hood, now);
    }
}

/// A port with everything switched on, and one neighbor set by hand.
fn world(now: Instant) -> Neighborhood {
    let settings = Settings {
        keep: 4,
        crowded: 8,
        neighbors_max: NEIGHBORS_MAX,
        accept_unasked: true,
        ..Settings::default()
    };
    let mut hood = Neighborhood::new(settings, 1);
    hood.set_interface(PORT, interface(ROUTER, true), now);
    for net in ["10.0.0.1/24", "fe80::1/64", "fd00::1/64"] {
        hood.add_address(PORT, net.parse().expect("an address"), false, now);
    }
    hood.set_static(PORT, fixed(), FIXED);
    let prefixes = vec!["10.9.0.0/16".parse().expect("a prefix"), "fd00:9::/32".parse().expect("a prefix")];
    hood.set_proxy(PORT, Proxy { all_routed: true, prefixes });
    let prefixes = vec![AdvertisedPrefix::new("fd00::/64".parse().expect("a prefix"))];
    hood.set_advertising(PORT, Some(Advertising { prefixes, ..Advertising::default() }), now);
    hood
}

const fn interface(mac: Mac, up: bool) -> Interface {
    Interface { link: LinkIndex(1), mac, mtu: 1500, up }
}

const fn fixed() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 32))
}

/// One of few addresses, so that they meet.
fn address(input: &mut Input<'_>) -> IpAddr {
    let (kind, last) = (input.byte(), input.byte() % 64);
    match kind % 3 {
        _ if last == 32 => Ipv4Addr::new(10, 0, 0, 33).into(),
        0 => Ipv4Addr::new(10, 0, 0, last).into(),
        1 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into()).into(),
        _ => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

fn hear(hood: &mut Neighborhood, frame: &[u8], now: Instant) {
    hood.heard(PORT, frame, now, &|address| (address != fixed()).then_some(ELSEWHERE));
}

/// Makes the checksum right, where one of ICMPv6 is to be expected.
fn finish(frame: &mut [u8]) {
    const ICMPV6: u8 = 58;
    const TRANSPORT: usize = 54;
    let is_icmpv6 = frame.len() >= TRANSPORT + 8 && frame[12..14] == [0x86, 0xdd] && frame[20] == ICMPV6;
    if !is_icmpv6 {
        return;
    }
    let length = u16::try_from(frame.len() - TRANSPORT).unwrap_or(u16::MAX);
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    let [source, destination] = [22, 38].map(|at| {
        Ipv6Addr::from(*frame[at..].first_chunk::<16>().expect("the frame is longer than its headers"))
    });
    let end = TRANSPORT + usize::from(length);
    Icmpv6Packet::new_unchecked(&mut frame[TRANSPORT..end]).fill_checksum(&source, &destination);
}

/// What always holds. Takes out all there is.
fn check(hood: &mut Neighborhood, now: Instant) {
    let mut turns = 0;
    while hood.deadline().is_some_and(|deadline| deadline <= now) {
        hood.turn(now);
        turns += 1;
        assert!(turns <= TURNS_MAX, "what is due does not end");
    }
    assert!(hood.neighbors() <= 2 * NEIGHBORS_MAX + 1, "{} neighbors", hood.neighbors());
    assert_eq!(hood.neighbor(PORT, fixed()), Some((NeighborState::Permanent, Some(FIXED))));
    while let Some(outgoing) = hood.take_frame() {
        assert!((42..=1514).contains(&outgoing.frame.len()), "a frame of {} bytes", outgoing.frame.len());
    }
    let changes = hood.take_changes();
    assert!(changes.len() <= 5 * 2 * NEIGHBORS_MAX, "{} changes", changes.len());
    while hood.take_verdict().is_some() {}
    while hood.take_event().is_some() {}
}

pub fn seeds() -> Vec<Vec<u8>> {
    let arp = |request: bool, sender: u8, target: u8| {
        let to = if request { [0xff; 6] } else { ROUTER.0 };
        [
            &to[..],
            &[2, 0, 0, 0, 0, sender, 8, 6, 0, 1, 8, 0, 6, 4, 0, if request { 1 } else { 2 }],
            &[2, 0, 0, 0, 0, sender, 10, 0, 0, sender],
            &[0, 0, 0, 0, 0, 0, 10, 0, 0, target],
        ]
        .concat()
    };
    let link_local = |last: u8| [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let discovery = |kind: u8, body: &[u8]| {
        let [high, low] = (body.len() as u16 + 4).to_be_bytes();
        [
            &ROUTER.0[..],
            &[2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0, high, low, 58, 255],
            &link_local(9),
            &link_local(1),
            &[kind, 0, 0, 0],
            body,
        ]
        .concat()
    };
    let solicitation = [&[0; 4][..], &link_local(1), &[1, 1, 2, 0, 0, 0, 0, 9]].concat();
    let advertisement = [&[0x60, 0, 0, 0][..], &link_local(9), &[2, 1, 2, 0, 0, 0, 0, 9]].concat();
    let advertised_router = [&[64, 0, 7, 8][..], &[0; 8], &[1, 1, 2, 0, 0, 0, 0, 9]].concat();
    let resolved = Recipe::default()
        .bytes(&[ASK, 0, 9, HEAR])
        .chunk(&arp(false, 9, 1))
        .bytes(&[PASS, 0xff, 0xff, ASK, 0, 9, PASS, 0x20, 0])
        .bytes(&[HEAR])
        .chunk(&arp(true, 9, 1))
        .done();
    let discovered = Recipe::default()
        .bytes(&[ASK, 1, 9, HEAR_WHOLE])
        .chunk(&discovery(136, &advertisement))
        .bytes(&[HEAR_WHOLE])
        .chunk(&discovery(135, &solicitation))
        .bytes(&[HEAR_WHOLE])
        .chunk(&discovery(133, &[0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9]))
        .bytes(&[HEAR_WHOLE])
        .chunk(&discovery(134, &advertised_router))
        .done();
    let contested = Recipe::default()
        .bytes(&[ADDRESS, 0, 7, 0, HEAR])
        .chunk(&arp(true, 7, 7))
        .bytes(&[INTERFACE, 1, PASS, 1, 0, INTERFACE, 0, PASS, 9, 0, ADDRESS, 1, 7, 1])
        .done();
    vec![resolved, discovered, contested]
}
