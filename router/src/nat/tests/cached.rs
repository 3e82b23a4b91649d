//! Routes kept in translated flows: whatever happens, what leaves is what leaves when every packet is looked up.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::engine::FlowCache;
use crate::packet::parse::parse_ip;
use crate::tabletop::gateway_route;

#[derive(Clone, Debug)]
enum Step {
    /// A client sends to one of the destinations.
    Ask { client: usize, port: u16, to: usize },
    /// Somebody answers a packet that has left by port 1 or 2.
    Answer(prop::sample::Index),
    /// The network behind the servers is reached by another port.
    Move,
    /// A server gets another link address.
    NewMac(u8),
    /// Time passes, so that flows may end.
    Wait(u64),
}

/// A server behind port 1, one that is reached by port 1 or 2, a name for the first, and one for an inside host.
const DESTINATIONS: [&str; 4] = ["10.0.1.2:53", "192.0.2.1:53", "10.7.7.7:8080", "10.0.1.1:8080"];
const CLIENTS: [&str; 2] = ["10.0.0.2", "10.0.0.3"];

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CLIENTS.len(), 1000..1003_u16, 0..DESTINATIONS.len())
            .prop_map(|(client, port, to)| Step::Ask { client, port, to }),
        6 => any::<prop::sample::Index>().prop_map(Step::Answer),
        1 => Just(Step::Move),
        1 => any::<u8>().prop_map(Step::NewMac),
        1 => (1..100_u64).prop_map(Step::Wait),
    ]
}

fn stage(cache: FlowCache) -> Tabletop {
    let mut table = Tabletop::new(&["r0", "r1", "r2"]);
    for (port, net) in [(0, "10.0.0.1/24"), (1, "10.0.1.1/24"), (2, "10.0.2.1/24")] {
        table.address(port, net);
    }
    for (port, host) in [(0, "10.0.0.2"), (0, "10.0.0.3"), (1, "10.0.1.2"), (2, "10.0.2.2")] {
        table.neighbor(port, host, Some([2, 0, 0, 0, 9, port as u8]));
    }
    table.route("192.0.2.0/24", "10.0.1.2", 1);
    let flows = table.shared().flows.clone();
    let chain = |point, hook| NatChain { family: Family::Ipv4, point, priority: 0, hook };
    let forward: Arc<dyn Hook> = Arc::new(Rule {
        flows: flows.clone(),
        statement: |packet: &mut Packet, context: &mut Context<'_>, flows: &FlowTable| {
            let to = match packet.destination().to_string().as_str() {
                "10.7.7.7" => "10.0.1.2",
                "10.0.1.1" => "10.0.0.3",
                _ => return Verdict::Accept,
            };
            let range = Range { ids: Some((80, 80)), ..Range::to(to.parse().unwrap()) };
            setup(packet, context, flows, &range, Manip::Destination)
        },
    });
    let masquerade: Arc<dyn Hook> = Arc::new(Rule {
        flows: flows.clone(),
        statement: |packet: &mut Packet, context: &mut Context<'_>, flows: &FlowTable| {
            masquerade(packet, context, flows, None, Flags::default())
        },
    });
    let chains = [chain(Point::Prerouting, forward), chain(Point::Postrouting, masquerade)];
    table.hooks().register(Nat::seats(&flows, &chains)).unwrap();
    table.shared().set_flow_cache(cache);
    table
}

/// A frame that has left by a port, as it was seen there.
type Seen = (usize, SocketAddr, SocketAddr);

fn take(table: &mut Tabletop) -> Vec<(usize, Vec<u8>)> {
    (0..3).flat_map(|port| sent(table, port).into_iter().map(move |frame| (port, frame))).collect()
}

fn ends_of(frame: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let header = parse_ip(&frame[14..]).ok()?;
    let source = SocketAddr::new(header.source, header.source_port);
    (header.protocol == conntrack::protocol::UDP)
        .then(|| (source, SocketAddr::new(header.destination, header.destination_port)))
}

/// Does a step on one table.
fn act(table: &mut Tabletop, step: &Step, seen: &[Seen], moved: bool) {
    match step {
        Step::Ask { client, port, to } => {
            let ends = Ends::to_port(0, &format!("{}:{port}", CLIENTS[*client]), DESTINATIONS[*to]);
            table.pass(0, &ends.udp(b"question")[..]);
        }
        Step::Answer(_) if seen.is_empty() => {}
        Step::Answer(which) => {
            let (port, source, destination) = which.get(seen);
            let ends = Ends::to_port(*port, &destination.to_string(), &source.to_string());
            table.pass(*port, &ends.udp(b"answer")[..]);
        }
        Step::Move => {
            let [old, new] = [("10.0.1.2", 1), ("10.0.2.2", 2)];
            let (old, new) = if moved { (new, old) } else { (old, new) };
            table.apply([
                Change::RouteGone(gateway_route("192.0.2.0/24", old.0, old.1)),
                Change::Route(gateway_route("192.0.2.0/24", new.0, new.1)),
            ]);
        }
        Step::NewMac(last) => table.neighbor(1, "10.0.1.2", Some([2, 0, 0, 0, 8, *last])),
        Step::Wait(seconds) => table.advance(std::time::Duration::from_secs(*seconds)),
    }
}

proptest! {
    #[test]
    fn with_the_flow_cache_translated_packets_leave_as_without(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut tables = [FlowCache::On, FlowCache::Off].map(stage);
        let mut seen: Vec<Seen> = Vec::new();
        let mut moved = false;
        for step in steps {
            let [with, without] = tables.each_mut().map(|table| {
                act(table, &step, &seen, moved);
                take(table)
            });
            prop_assert_eq!(&with, &without, "{:?}", step);
            moved ^= matches!(step, Step::Move);
            seen.extend(with.iter().filter_map(|(port, frame)| {
                let (source, destination) = ends_of(frame)?;
                Some((*port, source, destination))
            }));
        }
        let [with, without] = &tables;
        prop_assert_eq!(with.shared().flows.len(), without.shared().flows.len());
        prop_assert!(with.counters().fib_lookups.get() <= without.counters().fib_lookups.get());
    }
}
