//! Our side: the same bytes at the same times through a table of our own.

use std::time::Duration;

use conntrack::{
    Builtin, Config, Confirmed, CtState, Cursor, Datagram, Direction, Family, Flow, Gather, GatherConfig,
    Gathered, Icmp, Icmpv6, Instant, Registry, Sctp, Table, Tcp, Tracked, Tuple, Udp, UdpLite, Zone,
    protocol,
};

use super::bytes::{self, Place, number_of};
use super::flow::{Ends, Fate, FlowRow, Ids, Mark, Seen};
use super::kernel::Played;
use super::mode::{Mode, sctp_timeouts, tcp_timeouts, timeout};
use super::sequence::{Packet, Sequence, Step, Treatment};

/// A table that is played to.
struct Ours {
    table: Table<()>,
    gather: Gather,
}

/// Plays sequences, the first of them numbered `number`, at the times at which the kernel was given them.
#[must_use]
pub fn play(sequences: &[&Sequence], number: u16, mode: &Mode, kernel: &[Vec<Played>]) -> Vec<Vec<Seen>> {
    let registry = registry(mode);
    let config = Config { checksum: mode.checksum, ..Config::default() };
    let mut ours = Ours { table: Table::new(config, registry), gather: Gather::new(GatherConfig::default()) };
    let mut seen: Vec<Vec<Seen>> = vec![Vec::new(); sequences.len()];
    let steps = sequences.iter().map(|sequence| sequence.steps.len()).max().unwrap_or(0);
    (0..steps).for_each(|step| ours.step(step, sequences, number, kernel, &mut seen));
    seen
}

/// The origin of time lies an hour back: nothing happens at zero.
fn at(since: Duration) -> Instant {
    Instant::from_secs(3600) + since
}

impl Ours {
    /// Plays the step of that index of each sequence that has so many.
    fn step(
        &mut self,
        step: usize,
        sequences: &[&Sequence],
        number: u16,
        kernel: &[Vec<Played>],
        seen: &mut [Vec<Seen>],
    ) {
        let mut listed = Duration::ZERO;
        for (index, sequence) in sequences.iter().enumerate() {
            let Some(what) = sequence.steps.get(step) else { continue };
            let played = &kernel[index][step];
            listed = played.listed;
            let fate = match what {
                Step::Wait(_) => None,
                Step::Send(packet) => {
                    let place = Place { sequence: number + index as u16, step: step as u8 };
                    Some(self.send(sequence, packet, place, at(played.sent)))
                }
            };
            seen[index].push(Seen { fate, flows: Vec::new() });
        }
        for row in self.rows(at(listed)) {
            let index = usize::from(number_of(row.original.source) - number);
            if let Some(seen) = seen[index].get_mut(step) {
                seen.flows.push(row);
            }
        }
        seen.iter_mut().filter_map(|steps| steps.get_mut(step)).for_each(Seen::sort);
    }

    fn send(&mut self, sequence: &Sequence, packet: &Packet, place: Place, now: Instant) -> Fate {
        let mut fate = Fate::Dropped;
        for datagram in bytes::datagrams(sequence, packet, place) {
            if let Some(whole) = self.gather(sequence, packet, &datagram, now) {
                fate = self.track(sequence, packet, &whole, now);
            }
        }
        fate
    }

    /// The datagram, or the one that it completes.
    fn gather(
        &mut self,
        sequence: &Sequence,
        packet: &Packet,
        bytes: &[u8],
        now: Instant,
    ) -> Option<Vec<u8>> {
        let datagram = Datagram::new(family(sequence), bytes);
        match self.gather.push(&datagram, packet.side.index() as u32, now) {
            Gathered::NotFragment => Some(bytes.to_vec()),
            Gathered::Complete(assembled) => Some(assembled.bytes.to_vec()),
            Gathered::Held | Gathered::Dropped(_) => None,
        }
    }

    fn track(&mut self, sequence: &Sequence, packet: &Packet, bytes: &[u8], now: Instant) -> Fate {
        let zone = match packet.treatment {
            Treatment::Zone(zone) => Zone::both(zone.into()),
            Treatment::NoTrack => return Fate::Passed(Mark::Untracked),
            Treatment::Usual | Treatment::Lost => Zone::DEFAULT,
        };
        let datagram = Datagram { zone, ..Datagram::new(family(sequence), bytes) };
        let (flow, mark) = match self.table.track(&datagram, now) {
            Tracked::Flow { flow, direction: _, state } => (Some(flow), mark(state)),
            Tracked::Invalid(_) => (None, Mark::Invalid),
            Tracked::Untracked => (None, Mark::Untracked),
            Tracked::Full | Tracked::Refused => return Fate::Dropped,
        };
        if packet.treatment == Treatment::Lost {
            return Fate::Dropped;
        }
        if let Some(Flow::Tentative(tentative)) = flow
            && let Confirmed::Refused = self.table.confirm(tentative, now)
        {
            return Fate::Dropped;
        }
        Fate::Passed(mark)
    }

    fn rows(&self, now: Instant) -> Vec<FlowRow> {
        let mut rows = Vec::new();
        let mut next = Some(Cursor::default());
        while let Some(cursor) = next {
            let page = self.table.list(cursor, 1024, now, |_| true);
            rows.extend(page.conns.iter().map(|conn| {
                let [original, reply] = Direction::ALL.map(|direction| ends(&conn.tuple(direction)));
                FlowRow {
                    protocol: conn.protocol(),
                    zone: conn.zone().id,
                    original,
                    reply,
                    status: conn.status().bits(),
                    state: self.table.state_name(conn).map(str::to_owned),
                    timeout_ms: conn.timeout_at(now).as_millis() as u64,
                    traffic: Direction::ALL.map(|direction| {
                        let traffic = conn.traffic(direction);
                        [traffic.packets, traffic.bytes]
                    }),
                }
            }));
            next = page.next;
        }
        rows
    }
}

const fn family(sequence: &Sequence) -> Family {
    if sequence.ipv6 { Family::Ipv6 } else { Family::Ipv4 }
}

const fn mark(state: CtState) -> Mark {
    match state {
        CtState::New => Mark::New,
        CtState::Established => Mark::Established,
        CtState::EstablishedReply => Mark::EstablishedReply,
        CtState::Related => Mark::Related,
        CtState::RelatedReply => Mark::RelatedReply,
    }
}

fn ends(tuple: &Tuple) -> Ends {
    let ids = tuple.ids();
    let ids = match tuple.protocol() {
        protocol::ICMP | protocol::ICMPV6 => {
            Ids::Message { id: ids.source, kind: ids.icmp_type(), code: ids.icmp_code() }
        }
        _ => Ids::Ports([ids.source, ids.destination]),
    };
    Ends { source: tuple.source(), destination: tuple.destination(), ids }
}

/// The built-in trackers with the mode's settings.
fn registry(mode: &Mode) -> Registry {
    let udp = Udp { unreplied: timeout("udp_timeout"), stream: timeout("udp_timeout_stream") };
    let trackers = Builtin {
        tcp: Tcp {
            timeouts: tcp_timeouts(),
            loose: mode.loose,
            be_liberal: mode.liberal,
            ignore_invalid_rst: mode.ignore_invalid_reset,
            ..Tcp::default()
        },
        udp,
        udplite: UdpLite { unreplied: udp.unreplied, stream: udp.stream },
        sctp: Sctp { timeouts: sctp_timeouts() },
        icmp: Icmp { timeout: timeout("icmp_timeout") },
        icmpv6: Icmpv6 { timeout: timeout("icmpv6_timeout") },
        ..Builtin::default()
    };
    Registry::builder_with(&trackers).build()
}
