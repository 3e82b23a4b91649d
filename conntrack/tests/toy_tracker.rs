//! A tracker from outside the crate: a toy one for DCCP, registered beside the built-in ones.
//!
//! It knows ports, that a request starts a flow, that a response opens it, and that a reset ends it.

mod packets;

// example begins
use std::time::Duration;

use conntrack::zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
use conntrack::{
    Builder, Check, Direction, Family, Ids, Instant, InvalidReason, L4Tracker, Outcome, Packet,
    RegisterError, Seen, Timeout,
};

const DCCP: u8 = 33;
const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const RESET: u8 = 7;

struct ToyDccp {
    opening: Duration,
    open: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
enum Conversation {
    Opening,
    Open,
}

impl L4Tracker for ToyDccp {
    type State = Conversation;

    fn name(&self) -> &'static str {
        "toy-dccp"
    }

    fn ids(&self, header: &[u8]) -> Option<Ids> {
        let ports = header.first_chunk::<4>()?;
        Some(Ids {
            source: u16::from_be_bytes([ports[0], ports[1]]),
            destination: u16::from_be_bytes([ports[2], ports[3]]),
        })
    }

    fn check(&self, packet: &Packet<'_>) -> Result<Check, InvalidReason> {
        if packet.transport().len() < 12 { Err(InvalidReason::Truncated) } else { Ok(Check::Track) }
    }

    fn start(&self, packet: &Packet<'_>, _now: Instant) -> Result<Conversation, InvalidReason> {
        if kind(packet) == REQUEST { Ok(Conversation::Opening) } else { Err(InvalidReason::NotFirst) }
    }

    fn update(&self, state: &mut Conversation, packet: &Packet<'_>, seen: Seen) -> Outcome {
        match (kind(packet), seen.direction) {
            (RESET, _) => Outcome::Kill,
            (RESPONSE, Direction::Reply) => {
                let changed = *state == Conversation::Opening;
                *state = Conversation::Open;
                Outcome::Accept { timeout: self.open, assured: true, changed }
            }
            _ if *state == Conversation::Open => Outcome::refresh(self.open),
            (REQUEST, Direction::Original) => Outcome::refresh(self.opening),
            _ => Outcome::Invalid(InvalidReason::State),
        }
    }

    fn timeouts(&self) -> Vec<Timeout> {
        vec![
            Timeout { name: "opening", duration: self.opening },
            Timeout { name: "open", duration: self.open },
        ]
    }

    fn state_name(&self, state: &Conversation) -> Option<&'static str> {
        Some(match state {
            Conversation::Opening => "OPENING",
            Conversation::Open => "OPEN",
        })
    }
}

/// Type of a packet (RFC 4340 section 5.1).
fn kind(packet: &Packet<'_>) -> u8 {
    packet.transport()[8] >> 1 & 0xf
}

fn toy() -> ToyDccp {
    ToyDccp { opening: Duration::from_secs(3), open: Duration::from_secs(210) }
}

fn register(trackers: &mut Builder) -> Result<(), RegisterError> {
    for family in Family::ALL {
        trackers.register_l4(family, DCCP, toy())?;
    }
    Ok(())
}
// example ends

use conntrack::{Config, Confirmed, Conn, CtState, Datagram, Flow, Registry, Shared, Status, Table, Tracked};

fn table() -> Table<()> {
    let mut builder = Registry::builtin();
    register(&mut builder).expect("the places are free");
    Table::new(Config::default(), builder.build())
}

fn dccp(source: &str, destination: &str, from: u16, to: u16, kind: u8) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend_from_slice(&from.to_be_bytes());
    segment.extend_from_slice(&to.to_be_bytes());
    segment.extend_from_slice(&[3, 0, 0, 0, kind << 1, 0, 0, 0]);
    packets::finished(source, destination, DCCP, segment, None)
}

fn forward(
    table: &Table<()>,
    family: Family,
    bytes: &[u8],
) -> Result<(CtState, Shared<Conn<()>>), InvalidReason> {
    let now = Instant::from_secs(1);
    match table.track(&Datagram::new(family, bytes), now) {
        Tracked::Flow { flow: Flow::Conn(conn), state, .. } => Ok((state, conn)),
        Tracked::Flow { flow: Flow::Tentative(tentative), state, .. } => {
            match table.confirm(tentative, now) {
                Confirmed::Inserted(conn) => Ok((state, conn)),
                other => panic!("{other:?}"),
            }
        }
        Tracked::Invalid(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_conversation_is_followed_over_both_families() {
    for (family, a, b) in
        [(Family::Ipv4, "10.0.0.1", "10.0.0.2"), (Family::Ipv6, "2001:db8::1", "2001:db8::2")]
    {
        let table = table();
        let stray = forward(&table, family, &dccp(a, b, 1, 2, RESPONSE));
        assert_eq!(stray.unwrap_err(), InvalidReason::NotFirst);
        let (state, conn) = forward(&table, family, &dccp(a, b, 1, 2, REQUEST)).unwrap();
        assert_eq!((state, table.state_name(&conn)), (CtState::New, Some("OPENING")));
        let (state, _) = forward(&table, family, &dccp(b, a, 2, 1, RESPONSE)).unwrap();
        assert_eq!((state, table.state_name(&conn)), (CtState::EstablishedReply, Some("OPEN")));
        assert!(conn.status().contains(Status::ASSURED | Status::SEEN_REPLY));
        assert_eq!(conn.timeout_at(Instant::from_secs(1)), Duration::from_secs(210));
        assert_eq!(table.protocol_name(&conn), "toy-dccp");

        let error = if family == Family::Ipv4 {
            packets::icmp("10.9.9.9", a, 3, 1, 0, &dccp(a, b, 1, 2, 0))
        } else {
            packets::icmpv6("2001:db8::9", a, 1, 0, 0, &dccp(a, b, 1, 2, 0))
        };
        assert_eq!(forward(&table, family, &error).unwrap().0, CtState::RelatedReply);

        forward(&table, family, &dccp(a, b, 1, 2, RESET)).unwrap();
        assert!(table.is_empty());
    }
}

#[test]
fn it_is_listed_beside_the_others_and_its_place_is_taken() {
    let mut builder = Registry::builtin();
    builder.register_l4(Family::Ipv4, DCCP, toy()).unwrap();
    let error = builder.register_l4(Family::Ipv4, DCCP, toy()).map(|_| ()).unwrap_err();
    assert!(matches!(error, RegisterError::L4Taken { holder: "toy-dccp", protocol: DCCP, .. }));
    let rows = builder.build().rows();
    let row = rows.iter().find(|row| row.name == "toy-dccp").unwrap();
    assert_eq!((row.family, row.protocol), (Some(Family::Ipv4), Some(DCCP)));
    assert_eq!(row.timeouts.len(), 2);
}

#[test]
fn the_page_shows_this_code() {
    let code = include_str!("toy_tracker.rs");
    let (_, code) = code.split_once("// example begins\n").unwrap();
    let (code, _) = code.split_once("// example ends").unwrap();
    let page = include_str!("../../docs/trackers.md");
    assert!(page.contains(code), "docs/trackers.md must show the example as it is tested");
}

#[test]
fn the_page_lists_every_built_in_tracker_with_its_timeouts() {
    let page = include_str!("../../docs/trackers.md");
    for row in Registry::builtin().build().rows() {
        let name = format!("| `{}` |", row.name);
        let line = page.lines().find(|line| line.starts_with(&name)).expect(row.name);
        for Timeout { name, duration } in row.timeouts {
            let timeout = format!("{name} {}", duration.as_secs());
            assert!(line.contains(&timeout), "docs/trackers.md does not say {timeout} of {}", row.name);
        }
    }
}
