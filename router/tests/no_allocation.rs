//! A worker's turn over packets of known flows allocates nothing: from the port through the walk to the port.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use conntrack::{Config, Registry};
use fib::adjacency::{Mac, PortId};
use router::bridge::Description;
use router::chain::{Family, Hook, Place, Point, Registration, Verdict};
use router::engine::{Context, Packet};
use router::flow::FlowTable;
use router::frame::VlanTag;
use router::hooks::{Nat, NatChain};
use router::last_hop;
use router::nat::{Flags, masquerade};
use router::port::memory::{Parcel, Settings};
use router::port::{Offloads, tag_of};
use router::rules::check::Environment;
use router::rules::install::RuleHooks;
use router::rules::model::{ObjectKind, Ruleset};
use router::rules::run::World;
use router::rules::{self, syntax};
use router::tabletop::Tabletop;
use router::tabletop::frames::{Ends, HOST};
use smoltcp::wire::TcpControl;

const SERVER: [u8; 6] = [2, 0, 0, 0, 2, 2];
const ROUNDS: usize = 200;

/// Until flows are known both ways, and the memory ports' buffers are as large as what they carry.
const WARM_UP_ROUNDS: usize = 5;

/// Two hosts, a port each.
fn table(offloads: Offloads) -> Tabletop {
    let settings = Settings { offloads, ..Settings::default() };
    let mut table =
        Tabletop::with_ports(&["r0", "r1"], settings, Config::default(), Registry::builtin().build());
    for (port, net) in [(0, "10.0.0.1/24"), (1, "10.0.1.1/24"), (0, "fd00::1/64"), (1, "fd01::1/64")] {
        table.address(port, net);
    }
    for (port, address, mac) in
        [(0, "10.0.0.2", HOST.0), (1, "10.0.1.2", SERVER), (0, "fd00::2", HOST.0), (1, "fd01::2", SERVER)]
    {
        table.neighbor(port, address, Some(mac));
    }
    table
}

/// The two directions of a flow in both families.
fn ends(port: u16) -> [[Ends; 2]; 2] {
    ends_known_as(port, ["10.0.0.2", "[fd00::2]"])
}

/// The two directions of a flow in both families, the client being known to the server by another address.
fn ends_known_as(port: u16, known_as: [&str; 2]) -> [[Ends; 2]; 2] {
    let pairs = [("10.0.0.2", "10.0.1.2", known_as[0]), ("[fd00::2]", "[fd01::2]", known_as[1])];
    pairs.map(|(client, server, known_as)| {
        let client = format!("{client}:{port}");
        let server = format!("{server}:80");
        [Ends::to_port(0, &client, &server), Ends::to_port(1, &server, &format!("{known_as}:{port}"))]
    })
}

/// Frames of established flows: UDP and TCP both ways, echoes, a super-packet, in both families.
fn traffic(ends: &[[Ends; 2]; 2]) -> Vec<(usize, Parcel)> {
    let mut traffic = Vec::new();
    for [there, back] in ends {
        traffic.push((0, Parcel::from(&there.udp(b"question")[..])));
        traffic.push((1, Parcel::from(&back.udp(b"answer")[..])));
        traffic.push((0, Parcel::from(&there.echo(1)[..])));
        traffic.push((0, Parcel::from(&there.tcp(TcpControl::Psh, 1, Some(1), b"question")[..])));
        traffic.push((1, Parcel::from(&back.tcp(TcpControl::Psh, 1, Some(9), b"answer")[..])));
        traffic.push((0, there.tcp_super_packet(9, 7, &[7; 14_000], 1400)));
    }
    traffic
}

/// Lets the TCP flows begin.
fn shake_hands(table: &mut Tabletop, ends: &[[Ends; 2]; 2]) {
    for [there, back] in ends {
        table.pass(0, &there.tcp(TcpControl::Syn, 0, None, b"")[..]);
        table.pass(1, &back.tcp(TcpControl::Syn, 0, Some(1), b"")[..]);
        table.pass(0, &there.tcp(TcpControl::None, 1, Some(1), b"")[..]);
    }
}

/// Sends the traffic round after round; counts what the router's turns allocate once everything is known.
fn allocations(mut table: Tabletop, ends: &[[Ends; 2]; 2]) -> (u64, Tabletop) {
    shake_hands(&mut table, ends);
    let traffic = traffic(ends);
    let mut counted = 0;
    for round in 0..ROUNDS {
        for (port, parcel) in &traffic {
            table.send(*port, parcel.clone());
        }
        let turn = measure(|| table.advance(Duration::from_millis(10)));
        if round >= WARM_UP_ROUNDS {
            counted += turn.count_total;
        }
        for port in [0, 1] {
            assert!(!table.take(port).is_empty());
        }
    }
    (counted, table)
}

#[test]
fn packets_of_known_flows_allocate_nothing_on_their_way() {
    let (counted, table) = allocations(table(Offloads::ALL), &ends(1000));
    assert_eq!(counted, 0);
    let counters = table.counters();
    assert_eq!(counters.dropped.get(), 0, "everything was forwarded");
    assert!(counters.flow_cache_hits.get() > 10 * ROUNDS as u64);
    assert!(counters.fib_lookups.get() < 20);
}

#[test]
fn segments_cut_for_a_port_without_offloads_allocate_nothing() {
    let (counted, table) = allocations(table(Offloads::NONE), &ends(1000));
    assert_eq!(counted, 0);
    assert_eq!(table.counters().dropped.get(), 0);
}

#[test]
fn packets_that_the_card_forwards_allocate_nothing() {
    let mut table = table(Offloads::ALL);
    table.insert_card(64);
    let (counted, table) = allocations(table, &ends(1000));
    assert_eq!(counted, 0);
    let counters = table.counters();
    assert_eq!(counters.dropped.get(), 0, "everything was forwarded");
    assert!(counters.offloaded.get() > 9 * ROUNDS as u64, "{} by the card", counters.offloaded.get());
}

#[test]
fn packets_for_the_router_itself_and_from_its_programs_allocate_nothing() {
    let mut table = Tabletop::owned(&["r0"], true);
    for (net, neighbor) in [("10.0.0.1/24", "10.0.0.2"), ("fd00::1/64", "fd00::2")] {
        table.address(0, net);
        table.neighbor(0, neighbor, Some(HOST.0));
    }
    let ends = [("10.0.0.2", "10.0.0.1"), ("[fd00::2]", "[fd00::1]")].map(|(client, own)| {
        let [client, own] = [(client, 1000), (own, 80)].map(|(address, port)| format!("{address}:{port}"));
        [Ends::to_port(0, &client, &own), Ends::to_port(0, &own, &client)]
    });
    let mut counted = 0;
    for round in 0..ROUNDS {
        for [there, back] in &ends {
            table.send(0, Parcel::from(&there.udp(b"question")[..]));
            table.send(0, Parcel::from(&there.echo(1)[..]));
            table.push_from_host(Parcel::from(&back.udp(b"answer")[14..]));
        }
        let turn = measure(|| table.advance(Duration::from_millis(10)));
        if round >= WARM_UP_ROUNDS {
            counted += turn.count_total;
        }
        assert_eq!(
            (table.take(0).len(), table.take_at_host().len()),
            (4, 2),
            "replies and answers, questions"
        );
    }
    assert_eq!(counted, 0);
    assert_eq!(table.counters().echo_replies.get(), 2 * ROUNDS as u64);
}

/// `masquerade` towards the servers.
struct Masquerade(Arc<FlowTable>);

impl Hook for Masquerade {
    fn handle(&self, packet: &mut Packet, context: &mut Context<'_>) -> Verdict {
        masquerade(packet, context, &self.0, None, Flags::default())
    }
}

#[test]
fn translated_packets_of_known_flows_allocate_nothing() {
    let table = table(Offloads::ALL);
    let flows = &table.shared().flows;
    let hook: Arc<dyn Hook> = Arc::new(Masquerade(flows.clone()));
    let chains = [Family::Ipv4, Family::Ipv6].map(|family| NatChain {
        family,
        point: Point::Postrouting,
        priority: 100,
        hook: hook.clone(),
    });
    table.hooks().register(Nat::seats(flows, &chains)).expect("nobody sits there");
    let (counted, table) = allocations(table, &ends_known_as(1000, ["10.0.1.1", "[fd01::1]"]));
    assert_eq!(counted, 0);
    let counters = table.counters();
    assert_eq!((counters.dropped.get(), counters.local.get()), (0, 0), "everything was forwarded");
    assert!(counters.fib_lookups.get() < 20);
}

/// Rules of every kind that remembers, looks up or changes something.
const RULES: &str = r#"
table inet filter {
    set clients { type ipv4_addr; flags interval; elements = { 10.0.0.0/24, 10.9.0.1-10.9.0.9 }; }
    set hosts { type ipv6_addr; elements = { fd00::2, fd01::2 }; }
    set services { type ipv4_addr . inet_service; flags interval; elements = { 10.0.1.0/24 . 80-90 }; }
    set seen { type ipv4_addr; flags dynamic, timeout; timeout 1h; size 100; counter; }
    set seen6 { type ipv6_addr . ipv6_addr . inet_proto; flags dynamic; size 100; }
    map peers { type ipv4_addr : ipv4_addr; flags dynamic; size 100; }
    map marks { type inet_service : mark; elements = { 80 : 7, 1000 : 8 }; }
    map ways { type ipv4_addr : verdict; elements = { 10.0.1.2 : jump requests, 10.0.0.2 : jump answers }; }
    map named { type inet_service : counter; elements = { 80 : "requests" }; }
    counter requests { }
    quota much { 100000 mbytes }
    limit fast { rate 1000000/second }
    chain requests {
        counter name "requests"
    }
    chain answers {
        counter return
    }
    chain mangle {
        type filter hook prerouting priority mangle
        meta mark set th dport map @marks
        ct mark set meta mark
        counter name tcp dport map @named
    }
    chain forward {
        type filter hook forward priority filter; policy drop
        ct state established,related counter
        update @seen { ip saddr }
        update @seen6 { ip6 saddr . ip6 daddr . meta l4proto }
        add @peers { ip saddr : ip daddr }
        limit rate over 1000000/second burst 1000000 packets drop
        limit rate over 1000 mbytes/second drop
        limit name "fast" counter
        ct count over 1000 drop
        quota over 100000 mbytes drop
        quota name "much" counter
        ip saddr @clients ip daddr . tcp dport @services ip dscp set cs1 counter
        ip6 saddr @hosts tcp flags & (syn | rst) != 0 tcp option maxseg size set 1200
        ip daddr vmap @ways
        th dport { 80, 81, 1000-2000 } counter
        oifname "r*" last counter
        log prefix "passed " level debug
        accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "r1" masquerade
    }
}
"#;

/// Puts rules in force.
fn install(table: &Tabletop, text: &str) -> Ruleset {
    let shared = table.shared();
    let hooks = RuleHooks::new(Arc::new(World::new(shared.flows.clone(), shared.ports.clone(), 1)));
    let loaded =
        rules::load(&Ruleset::default(), "rules", text, &mut syntax::nothing, &Environment::default());
    let ruleset = loaded.unwrap_or_else(|error| panic!("{error}")).commit(table.now());
    hooks.install(table.hooks(), &ruleset).expect("there is room");
    ruleset
}

#[test]
fn packets_of_known_flows_allocate_nothing_on_their_way_through_rules() {
    let table = table(Offloads::ALL);
    let ruleset = install(&table, RULES);
    let (counted, table) = allocations(table, &ends_known_as(1000, ["10.0.1.1", "[fd01::1]"]));
    assert_eq!(counted, 0);
    let counters = table.counters();
    assert_eq!((counters.dropped.get(), counters.local.get()), (0, 0), "everything was accepted");
    let ObjectKind::Counter(requests) = &ruleset.tables[0].objects[0].kind else { panic!("a counter") };
    assert!(requests.read().0 > 4 * ROUNDS as u64, "packets met the map and the chain that count them");
    let lively =
        ruleset.tables[0].sets.iter().filter_map(|set| set.live.as_ref()).filter(|live| !live.is_empty());
    assert_eq!(lively.count(), 3, "packets have put something into each dynamic set");
}

/// Rules whose decisions are remembered.
const REMEMBERED: &str = r#"
table inet filter {
    chain mangle {
        type filter hook prerouting priority mangle
        meta mark set th dport map { 80 : 7, 1000 : 8 } counter
    }
    chain forward {
        type filter hook forward priority filter
        udp dport 666 counter drop
        ct state established,new iifname "r*" oifname "r*" counter accept
    }
}
"#;

#[test]
fn packets_whose_rules_are_remembered_allocate_nothing() {
    let table = table(Offloads::ALL);
    install(&table, REMEMBERED);
    let (counted, table) = allocations(table, &ends(1000));
    assert_eq!(counted, 0);
    let counters = table.counters();
    assert_eq!(counters.dropped.get(), 0, "everything was accepted");
    assert!(counters.verdict_cache_hits.get() > 8 * ROUNDS as u64, "{}", counters.verdict_cache_hits.get());
}

#[test]
fn a_flood_of_what_is_denied_allocates_nothing() {
    let mut table = table(Offloads::ALL);
    install(&table, REMEMBERED);
    let [[mut denied, _], _] = ends(1000);
    denied.destination.set_port(666);
    let frame = denied.udp(b"again");
    let mut counted = 0;
    for round in 0..ROUNDS {
        table.send(0, &frame[..]);
        let turn = measure(|| table.settle()).count_total;
        if round >= WARM_UP_ROUNDS {
            counted += turn;
        }
    }
    assert_eq!(counted, 0);
    assert_eq!(table.counters().dropped.get(), ROUNDS as u64);
    assert_eq!(table.counters().negative_cache_hits.get(), ROUNDS as u64 - 1);
}

#[test]
fn packets_for_the_router_and_of_its_programs_allocate_nothing() {
    let mut table = table(Offloads::ALL);
    table.hand_over();
    let question = Ends::to_port(0, "10.0.0.2:1000", "10.0.0.1:53");
    let mut answer = Ends::to_port(0, "10.0.0.1:53", "10.0.0.2:1000");
    (answer.from, answer.to) = (tag_of(PortId(0)), HOST);
    let (question, answer) = (question.udp(b"question"), answer.udp(b"answer"));
    let mut counted = 0;
    for round in 0..ROUNDS {
        table.send(0, &question[..]);
        let turn = measure(|| table.settle()).count_total;
        assert_eq!(table.take_at_host().len(), 1);
        table.push_from_host(&answer[..]);
        let back = measure(|| table.settle()).count_total;
        assert_eq!(table.take(0).len(), 1);
        if round >= WARM_UP_ROUNDS {
            counted += turn + back;
        }
    }
    assert_eq!(counted, 0);
}

/// A bridge of a0 and a1 and its hooks: frames of each kind, to known hosts, to all, and to the router.
#[test]
fn bridged_frames_allocate_nothing() {
    let bridge = Description::plain("br0", PortId(2), &[PortId(0), PortId(1)]);
    let mut table = Tabletop::bridged(&["a0", "a1"], vec![bridge], false);
    table.address(2, "10.0.0.1/24");
    table.neighbor(2, "10.0.0.2", Some(HOST.0));
    struct Look;
    impl Hook for Look {
        fn handle(&self, packet: &mut Packet, _context: &mut Context<'_>) -> Verdict {
            assert!(packet.family() == Family::Bridge);
            Verdict::Accept
        }
    }
    for point in Point::ALL {
        let place = Place::new(Family::Bridge, point, "look");
        table.hooks().register([Registration { place, priority: 0, hook: Arc::new(Look) }]).expect("room");
    }
    let mut there = Ends::to_port(0, "10.0.0.2:1000", "10.0.0.3:80");
    there.to = Mac(SERVER);
    let mut back = Ends::to_port(1, "10.0.0.3:80", "10.0.0.2:1000");
    (back.from, back.to) = (Mac(SERVER), HOST);
    let mut to_all = Ends::to_port(0, "10.0.0.2:1000", "10.0.0.255:80");
    to_all.to = Mac([0xff; 6]);
    let to_router = Ends::to_port(0, "10.0.0.2:1000", "10.0.0.1:80");
    let mut tagged = Parcel::from(&back.udp(b"tagged")[..]);
    tagged.vlan = Some(VlanTag::customer(5));
    let traffic = [
        (0, Parcel::from(&there.udp(b"question")[..])),
        (1, Parcel::from(&back.udp(b"answer")[..])),
        (1, tagged),
        (0, there.tcp_super_packet(9, 7, &[7; 14_000], 1400)),
        (0, Parcel::from(&to_all.udp(b"everybody")[..])),
        (0, Parcel::from(&to_router.echo(1)[..])),
    ];
    let mut counted = 0;
    for round in 0..ROUNDS {
        for (port, parcel) in &traffic {
            table.send(*port, parcel.clone());
        }
        let turn = measure(|| table.advance(Duration::from_millis(10)));
        if round >= WARM_UP_ROUNDS {
            counted += turn.count_total;
        }
        assert_eq!([table.take(0).len(), table.take(1).len()], [3, 3]);
    }
    assert_eq!(counted, 0);
    assert_eq!(table.counters().bridged.get() as usize, 4 * ROUNDS);
}

#[test]
fn packets_that_go_back_where_they_came_from_allocate_nothing() {
    let table = table(Offloads::ALL);
    let everywhere = last_hop::Settings { everywhere: true, ..last_hop::Settings::default() };
    table.shared().set_last_hop(everywhere);
    let (counted, table) = allocations(table, &ends(1000));
    assert_eq!(counted, 0);
    let counters = table.counters();
    assert_eq!(counters.dropped.get(), 0, "everything was forwarded");
    assert!(counters.last_hop_replies.get() > 4 * ROUNDS as u64, "{}", counters.last_hop_replies.get());
    assert_eq!(counters.last_hop_learned.get(), 6, "each flow has learned once");
}

#[test]
fn the_count_would_notice_a_new_flow() {
    let mut table = table(Offloads::ALL);
    let [[there, _], _] = ends(1000);
    table.send(0, &there.udp(b"first")[..]);
    assert!(measure(|| table.settle()).count_total > 0);
}
