//! The table against a model that keeps flows in a list and looks through all of it.

mod packets;

use std::time::Duration;

use conntrack::{
    Config, Confirmed, CtState, Cursor, Datagram, Direction, Family, Flow, Instant, Registry, Status, Table,
    Tracked, TrafficCount,
};
use proptest::prelude::*;

/// Address and port of an end.
type End = (u8, u16);

#[derive(Debug)]
struct ModelFlow {
    ends: [End; 2],
    expires: Instant,
    stream_at: Instant,
    replied: bool,
    assured: bool,
    traffic: [TrafficCount; 2],
}

#[derive(Default)]
struct Model {
    flows: Vec<ModelFlow>,
}

impl Model {
    /// A UDP packet that is forwarded; what it is to its flow.
    fn forward(&mut self, from: End, to: End, bytes: u64, now: Instant) -> CtState {
        self.flows.retain(|flow| flow.expires > now);
        let known = self.flows.iter_mut().find(|flow| flow.ends == [from, to] || flow.ends == [to, from]);
        let Some(flow) = known else {
            let mut traffic = [TrafficCount::default(); 2];
            traffic[0] = TrafficCount { packets: 1, bytes };
            self.flows.push(ModelFlow {
                ends: [from, to],
                expires: now + Duration::from_secs(30),
                stream_at: now + Duration::from_secs(2),
                replied: false,
                assured: false,
                traffic,
            });
            return CtState::New;
        };
        let reply = flow.ends == [to, from];
        let count = &mut flow.traffic[usize::from(reply)];
        count.packets += 1;
        count.bytes += bytes;
        let stream = flow.replied && now > flow.stream_at;
        flow.assured |= stream;
        flow.expires = now + Duration::from_secs(if stream { 120 } else { 30 });
        if reply {
            flow.replied = true;
            CtState::EstablishedReply
        } else if flow.replied {
            CtState::Established
        } else {
            CtState::New
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Packet { from: End, to: End, length: usize, dropped: bool },
    Wait(u64),
    Expire(usize),
    Delete(u16),
}

fn end() -> impl Strategy<Value = End> {
    (1_u8..4, 1_u16..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (end(), end(), 0_usize..40, prop::bool::weighted(0.1))
            .prop_filter("ends differ", |(from, to, ..)| from != to)
            .prop_map(|(from, to, length, dropped)| Step::Packet { from, to, length, dropped }),
        2 => (0_u64..40_000).prop_map(Step::Wait),
        1 => (1_usize..20).prop_map(Step::Expire),
        1 => (1_u16..4).prop_map(Step::Delete),
    ]
}

fn address(end: End, family: Family) -> String {
    match family {
        Family::Ipv4 => format!("10.0.0.{}", end.0),
        Family::Ipv6 => format!("2001:db8::{}", end.0),
    }
}

proptest! {
    #[test]
    fn table_and_model_agree(
        steps in prop::collection::vec(step(), 1..120),
        is_v6: bool,
        flows_max in prop::sample::select(vec![1000_usize, 1_000_000]),
    ) {
        let family = if is_v6 { Family::Ipv6 } else { Family::Ipv4 };
        let config = Config { flows_max, seed: [7, 8], ..Config::default() };
        let table = Table::<()>::new(config, Registry::builtin().build());
        let mut model = Model::default();
        let mut now = Instant::from_secs(5_000);
        for step in steps {
            match step {
                Step::Packet { from, to, length, dropped } => {
                    let (source, destination) = (address(from, family), address(to, family));
                    let bytes = packets::udp(&source, &destination, from.1, to.1, &vec![9; length]);
                    let Tracked::Flow { flow, state, .. } = table.track(&Datagram::new(family, &bytes), now)
                    else {
                        panic!("UDP is tracked")
                    };
                    match flow {
                        // A first packet that does not leave starts nothing.
                        Flow::Tentative(tentative) if dropped => {
                            drop(tentative);
                            prop_assert_eq!(state, CtState::New);
                            continue;
                        }
                        Flow::Tentative(tentative) => {
                            prop_assert!(matches!(table.confirm(tentative, now), Confirmed::Inserted(_)));
                        }
                        Flow::Conn(_) => {}
                    }
                    prop_assert_eq!(state, model.forward(from, to, bytes.len() as u64, now));
                }
                Step::Wait(milliseconds) => now = now + Duration::from_millis(milliseconds),
                Step::Expire(budget) => prop_assert!(table.expire(now, budget) <= budget),
                Step::Delete(port) => {
                    table.delete(|conn| conn.tuple(Direction::Original).ids().source == port);
                    model.flows.retain(|flow| flow.ends[0].1 != port);
                }
            }
        }

        model.flows.retain(|flow| flow.expires > now);
        let listed = table.list(Cursor::default(), usize::MAX, now, |_| true).conns;
        prop_assert_eq!(listed.len(), model.flows.len());
        for conn in listed {
            let original = conn.tuple(Direction::Original);
            let found = model.flows.iter().find(|flow| {
                flow.ends.map(|end| address(end, family))
                    == [original.source().to_string(), original.destination().to_string()]
                    && flow.ends.map(|end| end.1) == [original.ids().source, original.ids().destination]
            });
            let flow = found.expect("the model has every flow of the table");
            prop_assert_eq!(conn.expires(), flow.expires);
            prop_assert_eq!(Direction::ALL.map(|direction| conn.traffic(direction)), flow.traffic);
            prop_assert_eq!(conn.status().contains(Status::SEEN_REPLY), flow.replied);
            prop_assert_eq!(conn.status().contains(Status::ASSURED), flow.assured);
        }
        // All have ended; a round under way for an earlier step is ended first.
        for seconds in [200, 1] {
            now = now + Duration::from_secs(seconds);
            while table.expire(now, 3) > 0 {}
        }
        prop_assert_eq!(table.len(), 0);
    }
}
