//! Whatever happens: what leaves with a card is, packet by packet, what leaves without one, and so is what is counted.

use std::time::Duration;

use fib::adjacency::{LinkIndex, Mac};
use fib::change::{Change, NeighborEntry, NeighborState};
use proptest::prelude::*;
use smoltcp::wire::TcpControl;

use super::world::{GATEWAYS, NEXT_HOPS, SERVERS, World, ends};
use crate::engine::FlowCache;
use crate::port::memory::Parcel;
use crate::tabletop::frames::Ends;

/// Rulesets that are loaded one after the other.
const RULES: [&str; 4] = [
    "",
    "
    table inet nat {
        chain post {
            type nat hook postrouting priority srcnat
            oifname { r1, r2 } masquerade
        }
    }
    ",
    "
    table inet t {
        chain pre {
            type nat hook prerouting priority dstnat
            udp dport 80 ip daddr 192.0.2.9 dnat ip to 192.0.2.20:8080
        }
        chain marking {
            type filter hook prerouting priority mangle
            udp dport 80 ct mark set 7 counter
        }
        chain forward {
            type filter hook forward priority filter; policy accept;
            ct state established counter accept
            ct state invalid drop
            ip saddr 10.0.0.5 drop
            counter
        }
    }
    ",
    "
    table inet raw {
        chain raw {
            type filter hook prerouting priority raw
            ip saddr 10.0.0.3 notrack
        }
        chain forward {
            type filter hook forward priority filter
            ct state untracked counter
        }
    }
    ",
];

#[derive(Clone, Debug)]
enum Step {
    Send { client: u8, ipv6: bool, back: bool, ttl: u8, what: What, times: usize },
    Route { prefix: usize, port: usize, add: bool },
    Unrelated(u8),
    Neighbor { port: usize, state: u8 },
    Link { port: usize, up: bool, mtu: u32 },
    Advance { ms: u64 },
    FlowCache(u8),
    Flush,
    Delete(u8),
    Rules(usize),
}

#[derive(Clone, Debug)]
enum What {
    Udp { len: usize, dont_fragment: bool },
    Tcp { control: u8, sequence: i32, ack: i32, len: usize },
    Large { sequence: i32, segment: u16 },
    Echo,
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        5 => (prop_oneof![Just(10), Just(1300), Just(1472)], any::<bool>())
            .prop_map(|(len, dont_fragment)| What::Udp { len, dont_fragment }),
        5 => (0..5_u8, 0..200_i32, 0..200_i32, 0..50_usize)
            .prop_map(|(control, sequence, ack, len)| What::Tcp { control, sequence, ack, len }),
        1 => (0..100_i32, prop_oneof![Just(1400), Just(1000)])
            .prop_map(|(sequence, segment)| What::Large { sequence, segment }),
        1 => Just(What::Echo),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (2..6_u8, any::<bool>(), any::<bool>(), prop_oneof![9 => Just(64), 1 => 1..3_u8], what(), 1..4_usize)
            .prop_map(|(client, ipv6, back, ttl, what, times)| Step::Send { client, ipv6, back, ttl, what, times }),
        2 => (0..2_usize, 0..2_usize, any::<bool>()).prop_map(|(prefix, port, add)| Step::Route { prefix, port, add }),
        1 => any::<u8>().prop_map(Step::Unrelated),
        2 => (0..3_usize, 0..4_u8).prop_map(|(port, state)| Step::Neighbor { port, state }),
        1 => (0..3_usize, any::<bool>(), prop_oneof![Just(1500), Just(1300)])
            .prop_map(|(port, up, mtu)| Step::Link { port, up, mtu }),
        2 => prop_oneof![Just(10), Just(2500), Just(40_000)].prop_map(|ms| Step::Advance { ms }),
        1 => (0..3_u8).prop_map(Step::FlowCache),
        1 => Just(Step::Flush),
        1 => (2..6_u8).prop_map(Step::Delete),
        1 => (0..RULES.len()).prop_map(Step::Rules),
    ]
}

impl World {
    /// Does a step, and says what has left.
    fn step(&mut self, step: &Step) -> [Vec<Parcel>; 3] {
        match step {
            Step::Send { client, ipv6, back, ttl, what, times } => {
                let [there, answers] = ends(*client, *ipv6);
                let (port, ends) = if *back { (1, answers) } else { (0, there) };
                let parcel = what.parcel(&ends.with_ttl(*ttl));
                (0..*times).for_each(|_| self.table.send(port, parcel.clone()));
                self.table.settle();
            }
            Step::Route { prefix, port, add } => {
                let (via, prefix_text) = (NEXT_HOPS[*port][*prefix], SERVERS[*prefix]);
                if *add {
                    self.table.route(prefix_text, via, port + 1);
                } else {
                    self.table.unroute(prefix_text, via, port + 1);
                }
            }
            Step::Unrelated(number) => self.table.route(&format!("198.51.{number}.0/24"), NEXT_HOPS[0][0], 1),
            Step::Neighbor { port, state } => self.neighbor(*port, *state),
            Step::Link { port, up, mtu } => self.set_link(*port, *up, *mtu),
            Step::Advance { ms } => self.table.advance(Duration::from_millis(*ms)),
            Step::FlowCache(mode) => {
                let mode = [FlowCache::On, FlowCache::Off, FlowCache::Hold][usize::from(*mode)];
                // What is held while routes change is another way than without it, card or no card: both hold.
                self.table.shared().set_flow_cache(mode);
            }
            Step::Flush => {
                self.table.shared().flows.flush();
            }
            Step::Delete(client) => {
                let source = ends(*client, false)[0].source.ip();
                let is_its =
                    |conn: &crate::flow::Conn| conn.tuple(conntrack::Direction::Original).source() == source;
                self.table.shared().flows.delete(is_its);
            }
            Step::Rules(which) => self.load(RULES[*which]),
        }
        self.table.settle();
        self.take()
    }

    fn neighbor(&mut self, port: usize, state: u8) {
        let states =
            [NeighborState::Reachable, NeighborState::Stale, NeighborState::Failed, NeighborState::Reachable];
        let state_now = states[usize::from(state)];
        let mut mac = if port == 0 { crate::tabletop::frames::HOST.0 } else { GATEWAYS[port - 1] };
        mac[3] = state;
        let addresses: [&str; 2] = if port == 0 { ["10.0.0.2", "fd00::2"] } else { NEXT_HOPS[port - 1] };
        let entries = addresses.map(|address| {
            Change::Neighbor(NeighborEntry {
                link: LinkIndex(port as u32 + 1),
                address: address.parse().unwrap(),
                state: state_now,
                mac: state_now.is_valid().then_some(Mac(mac)),
            })
        });
        self.table.apply(entries);
    }
}

impl What {
    fn parcel(&self, ends: &Ends) -> Parcel {
        match self {
            Self::Udp { len, dont_fragment } => {
                let mut frame = ends.udp(&vec![7; *len]);
                if *dont_fragment && ends.source.is_ipv4() {
                    frame[20] |= 0x40;
                    crate::packet::ipv4::write_checksum(&mut frame[14..]);
                }
                frame[..].into()
            }
            Self::Tcp { control, sequence, ack, len } => {
                let controls =
                    [TcpControl::Syn, TcpControl::None, TcpControl::Psh, TcpControl::Fin, TcpControl::Rst];
                let control = controls[usize::from(*control)];
                let payload = if control == TcpControl::Syn { Vec::new() } else { vec![7; *len] };
                let ack = (*ack > 0 || control != TcpControl::Syn).then_some(*ack);
                ends.tcp(control, *sequence, ack, &payload)[..].into()
            }
            Self::Large { sequence, segment } => ends.tcp_super_packet(*sequence, 1, &[7; 9000], *segment),
            Self::Echo => ends.echo(1)[..].into(),
        }
    }
}

/// Packets that waited are given up in no order, and the router numbers its own packets one after the other.
fn comparable(mut left: [Vec<Parcel>; 3], step: &Step) -> [Vec<Parcel>; 3] {
    const OWN: u8 = 0xc0;
    const ICMP: u8 = 1;
    for port in &mut left {
        for Parcel { bytes, .. } in port.iter_mut().filter(|parcel| parcel.bytes[12..14] == [8, 0]) {
            if bytes[15] == OWN && bytes[23] == ICMP {
                bytes[18..20].fill(0);
                bytes[24..26].fill(0);
            }
        }
        if !matches!(step, Step::Send { .. }) {
            port.sort_by(|one, other| one.bytes.cmp(&other.bytes));
        }
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn with_a_card_all_is_as_without_one(steps in proptest::collection::vec(step(), 1..80)) {
        let mut worlds = [World::new(true), World::new(false)];
        for (number, step) in steps.iter().enumerate() {
            let [card, walk] = worlds.each_mut().map(|world| comparable(world.step(step), step));
            prop_assert!(card == walk, "what left after step {number}, {step:?}, differs");
            let [card, walk] = worlds.each_ref().map(|world| world.flows());
            prop_assert_eq!(card, walk, "flows after step {}: {:?}", number, step);
            let [card, walk] = worlds.each_ref().map(|world| world.counted());
            prop_assert_eq!(card, walk, "counted after step {}: {:?}", number, step);
            let shared = worlds[0].table.shared();
            prop_assert_eq!(shared.offloads.len(), worlds[0].card.as_ref().unwrap().len());
        }
    }
}

#[test]
fn the_property_is_about_packets_of_the_card() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut offloaded = 0;
    for _ in 0..20 {
        let steps = proptest::collection::vec(step(), 80).new_tree(&mut runner).unwrap().current();
        let mut world = World::new(true);
        steps.iter().for_each(|step| drop(world.step(step)));
        offloaded += world.offloaded();
    }
    assert!(offloaded > 100, "{offloaded} packets were the card's");
}
