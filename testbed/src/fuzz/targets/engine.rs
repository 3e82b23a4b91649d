//! A whole router on the table: any frames with any offload metadata, while time passes and routes change.

use std::time::Duration;

use conntrack::Registry;
use fib::adjacency::{Mac, NEIGHBORS_MAX, PortId};
use fib::change::{Change, Link};
use router::bridge::{Description, PullUp};
use router::engine::Host;
use router::frame::{Checksum, Segmentation, SegmentationKind, VlanTag};
use router::packet::parse::parse;
use router::port::memory::{Parcel, Settings};
use router::port::{Framing, Offloads, tag_of};
use router::tabletop::{self, Blueprint, Tabletop};

use super::mend;
use crate::compare::ground::{PORTS, SMALL_MTU, router_mac};
use crate::fuzz::input::{Input, Recipe};
use crate::fuzz::seeds;

/// Ports leave nothing to the other side.
const FINISH: u8 = 1;
/// Frames begin with the network header.
const BARE: u8 = 2;
/// What is for the router is handed over, and what would come by the last port comes from its programs.
const HANDED_OVER: u8 = 4;
/// The first two ports are a bridge's, which pulls up what can be and has it leave by the last port. Beats the two above.
const BRIDGED: u8 = 8;

/// The port, in the two lowest bits of a step.
const PORT: u8 = 3;
/// The IPv4 header checksum is made right.
const MEND: u8 = 4;
/// The frame bears what follows of checksum and segments.
const OFFLOADED: u8 = 8;
/// The frame bears a VLAN id.
const TAGGED: u8 = 16;
/// Before the frame, the way to what lies behind `r1` changes, and the neighbor there.
const TURN: u8 = 32;
/// Before the frame, seconds pass.
const WAIT: u8 = 64;

const FLOWS_MAX: usize = 32;
const ETHERNET_LEN: usize = 14;

/// Settings of the ports; then again and again flags, what they ask for, and a frame.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let ports = match input.byte() {
        ports if ports & BRIDGED != 0 => ports & !(BARE | HANDED_OVER),
        ports => ports,
    };
    let framing = if ports & BARE == 0 { Framing::Ethernet } else { Framing::Network };
    let mut table = table(ports, framing);
    let frames = table.frames_available();
    let mut turned = false;
    // What a bridge passes need not be sound.
    let mut honest = ports & BRIDGED == 0;
    while !input.is_empty() {
        let flags = input.byte();
        if flags & TURN != 0 {
            turned = !turned;
            turn(&mut table, turned);
        }
        if flags & WAIT != 0 {
            table.advance(Duration::from_secs(input.byte().into()));
        }
        honest &= flags & OFFLOADED == 0;
        let port = usize::from(flags & PORT) % PORTS.len();
        if ports & HANDED_OVER != 0 && port == PORTS.len() - 1 {
            table.send_from_host(tagged(parcel(flags, Framing::Ethernet, &mut input)));
        } else {
            table.pass(port, parcel(flags, framing, &mut input));
        }
        drop(table.take_at_host());
        check_sent(&mut table, framing, honest);
    }
    // All that waits for a neighbor or for more fragments is given up after a while.
    for _ in 0..10 {
        table.advance(Duration::from_secs(100));
        check_sent(&mut table, framing, honest);
    }
    assert_eq!(table.frames_available(), frames, "frames were lost");
    assert!(table.shared().flows.len() <= FLOWS_MAX);
}

/// The router that frames of the comparison with the kernel were made for.
fn table(ports: u8, framing: Framing) -> Tabletop {
    let offloads = if ports & FINISH == 0 { Offloads::ALL } else { Offloads::NONE };
    let settings = Settings { offloads, framing, ..Settings::default() };
    let flows = conntrack::Config { flows_max: FLOWS_MAX, seed: [3, 4], ..conntrack::Config::default() };
    let trackers = Registry::builtin().build();
    let mut table = if ports & BRIDGED == 0 {
        Tabletop::with_ports(&PORTS, settings, flows, trackers)
    } else {
        Tabletop::build(Blueprint {
            host: Host::Owned { tun: false },
            ports: PORTS.map(|name| (name, settings)).to_vec(),
            bridges: vec![bridge()],
            flows,
            trackers,
            neighbors_max: NEIGHBORS_MAX,
        })
    };
    for (port, name) in PORTS.iter().enumerate() {
        let mtu = if port == 2 { SMALL_MTU as u32 } else { 1500 };
        table.apply([Change::Link(Link { mac: Mac(router_mac(port)), mtu, ..tabletop::link(port, name) })]);
        table.address(port, &format!("10.1{port}.0.1/24"));
        table.address(port, &format!("fd00:1{port}::1/64"));
        table.neighbor(port, &format!("10.1{port}.0.2"), Some([2, 0, 0, 0, 1, port as u8]));
        table.neighbor(port, &format!("fd00:1{port}::2"), Some([2, 0, 0, 0, 1, port as u8]));
        table.route(&format!("172.2{port}.0.0/16"), &format!("10.1{port}.0.2"), port);
        table.route(&format!("fd2{port}::/16"), &format!("fd00:1{port}::2"), port);
    }
    if ports & HANDED_OVER != 0 {
        table.hand_over();
    }
    // Nobody answers there.
    table.route("172.28.0.0/16", "10.11.0.99", 1);
    table.route("fd28::/16", "fd00:11::99", 1);
    table
}

fn bridge() -> Description {
    let last = PortId(PORTS.len() as u16 - 1);
    let pull_up = vec![PullUp { mark: 0, mask: 0, port: Some(last) }];
    let members = [PortId(0), PortId(1)];
    Description { pull_up, macs_max: 16, ..Description::plain("br0", PortId(last.0 + 1), &members) }
}

fn turn(table: &mut Tabletop, turned: bool) {
    let (prefix, via) = ("172.21.128.0/17", "10.12.0.2");
    if turned {
        table.route(prefix, via, 2)
    } else {
        table.unroute(prefix, via, 2)
    }
    table.neighbor(1, "10.11.0.2", (!turned).then_some([2, 0, 0, 0, 1, 9]));
    table.neighbor(1, "10.11.0.99", turned.then_some([2, 0, 0, 0, 1, 99]));
}

/// A frame as the kernel sends it: most bear the tag of a port, the others none.
fn tagged(mut parcel: Parcel) -> Parcel {
    if let Some(source) = parcel.bytes.get_mut(6..12) {
        let port = PortId(u16::from(source[5]) % (PORTS.len() as u16 + 1));
        source.copy_from_slice(&tag_of(port).0);
    }
    parcel
}

fn parcel(flags: u8, framing: Framing, input: &mut Input<'_>) -> Parcel {
    let mut parcel = Parcel::default();
    if flags & TAGGED != 0 {
        parcel.vlan = Some(VlanTag { protocol: 0x8100, control: input.word() });
    }
    if flags & OFFLOADED != 0 {
        (parcel.checksum, parcel.segmentation) = offload(input);
    }
    parcel.bytes = input.chunk().to_vec();
    if framing == Framing::Network && parcel.bytes.len() >= ETHERNET_LEN {
        parcel.bytes.drain(..ETHERNET_LEN);
    }
    if flags & MEND != 0 {
        mend(parcel.bytes.get_mut(framing.link_header_len()..).unwrap_or_default());
    }
    parcel
}

fn offload(input: &mut Input<'_>) -> (Checksum, Option<Segmentation>) {
    let kinds = input.byte();
    let checksum = match kinds & 3 {
        0 => Checksum::Unknown,
        1 => Checksum::Valid,
        _ => Checksum::Partial { start: input.word(), offset: input.word() },
    };
    let kind = match kinds >> 2 & 3 {
        0 => return (checksum, None),
        1 => SegmentationKind::Tcp4,
        2 => SegmentationKind::Tcp6,
        _ => SegmentationKind::Udp,
    };
    let (size, header_len) = (input.word(), input.word());
    (checksum, Some(Segmentation { kind, size, header_len, ecn: kinds & 0x80 != 0 }))
}

/// What leaves is a sound packet and not too long for its link, unless a port lied about what arrived: a checksum that
/// is to be stored in the middle of a header spoils it.
fn check_sent(table: &mut Tabletop, framing: Framing, honest: bool) {
    for port in 0..PORTS.len() {
        let mtu = if port == 2 { SMALL_MTU } else { 1500 };
        for Parcel { bytes, .. } in table.take(port) {
            if honest && let Err(unfit) = parse(&bytes, framing) {
                panic!("sent by port {port}: {unfit}: {bytes:02x?}");
            }
            let len = bytes.len() - framing.link_header_len();
            assert!(!honest || len <= mtu, "{len} bytes sent by port {port}");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let cases = seeds::cases().into_iter().enumerate();
    cases.map(|(number, frames)| seed(number, &frames)).filter(|seed| seed.len() > 1).collect()
}

/// A case as an input, every few of them with something more than the frames.
fn seed(number: usize, frames: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let handed_over = if number % 3 == 1 { HANDED_OVER } else { 0 };
    let bridged = if number % 7 == 3 { BRIDGED } else { 0 };
    let start = Recipe::default().bytes(&[u8::from(number.is_multiple_of(5)) | handed_over | bridged]);
    let step = |recipe: Recipe, (port, frame): &(usize, Vec<u8>)| {
        let port = *port as u8;
        let recipe = match number % 4 {
            0 => recipe.bytes(&[port | MEND]),
            1 => recipe.bytes(&[port | TURN | WAIT, 3]),
            2 => recipe.bytes(&[port | OFFLOADED, 2 | 1 << 2]).word(20).word(16).word(100).word(40),
            _ => recipe.bytes(&[port | MEND | OFFLOADED, 2]).word(20).word(6),
        };
        recipe.chunk(frame)
    };
    frames.iter().fold(start, step).done()
}
