//! Packets that leave their walk for a queue, and go on with it behind the hook that has queued them.
//!
//! The program gets finished packets only: super-packets are cut before, checksums made (`nfqnl_enqueue_packet`). A
//! packet that comes back is judged by the hooks and the routing state of then; the way it was routed before stands, as
//! in Linux.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use conntrack::{CtState, Direction, Instant, Status};
use ctl::queue::message::Ct;

use super::{Disposition, Engine, Off, Packet, Walk};
use crate::chain::{Family, Point, Seat};
use crate::drops::DropReason;
use crate::flow::{Flow, Track};
use crate::packet::{ethernet, offload, u32_at};
use crate::queue::{Answer, Change, Handed, Judgement, Listener, Queues, raise};
use crate::worker::Outputs;

const TCP: u8 = 6;
/// Bytes of a TCP header without options.
const TCP_LEN: usize = 20;

/// Answers that a worker takes in one turn at most.
const ANSWERS_MAX: usize = 64;

/// A packet's way into a queue, and from there on.
#[derive(Debug)]
pub(super) struct Queued {
    listener: Arc<Listener>,
    place: Place,
}

/// Where a packet has left its walk.
#[derive(Clone, Debug)]
struct Place {
    point: Point,
    seat: Seat,
}

/// The packets of a worker that wait for programs' answers. How many there are, their listeners bound.
pub(super) struct Away {
    worker: usize,
    inbox: Receiver<Answer>,
    packets: BTreeMap<u64, (Packet, Place)>,
    handed_over: bool,
}

impl Queued {
    pub(super) const fn new(listener: Arc<Listener>, point: Point, seat: Seat) -> Self {
        Self { listener, place: Place { point, seat } }
    }
}

impl Away {
    pub(super) fn new(queues: &Queues) -> Self {
        let (worker, inbox) = queues.seat_worker();
        Self { worker, inbox, packets: BTreeMap::new(), handed_over: false }
    }
}

impl Engine {
    /// Goes on with packets whose answers have come, and has the desk called for those handed over. Returns when the next
    /// answers are to be taken, if there may be more.
    pub(super) fn take_answers(&mut self, out: &mut Outputs) -> Option<Instant> {
        let mut left = ANSWERS_MAX;
        while left > 0
            && !self.away.packets.is_empty()
            && let Ok(answer) = self.away.inbox.try_recv()
        {
            left -= 1;
            self.with_walk(out, |walk| walk.take_answer(answer));
        }
        if std::mem::take(&mut self.away.handed_over) {
            self.shared.queues.call_desk();
        }
        (left == 0).then_some(self.now)
    }
}

/// Where offsets of checksums and segments count from: of a bridged frame behind all its tags.
fn start_of_network(packet: &Packet) -> usize {
    match packet.family() {
        Family::Bridge => ethernet::network_offset(packet.frame().bytes()),
        _ => packet.network_offset(),
    }
}

impl Walk<'_> {
    /// Gives a packet to a program, whole or in segments.
    pub(super) fn queue(&mut self, packet: &mut Packet, queued: &Queued) -> Disposition {
        // What rules make of it from here on is the program's doing.
        packet.judge_by_rules();
        if packet.frame().segmentation.is_some() {
            return self.queue_segments(packet, queued);
        }
        let network = start_of_network(packet);
        if offload::finish_checksum(packet.frame_mut(), network).is_err() {
            return self.end(packet, DropReason::OffloadFailed);
        }
        self.queue_finished(packet, queued)
    }

    /// Gives a super-packet to a program segment by segment. Of one that begins a flow the first has the flow; the others
    /// end, as they cannot have it too and nobody else may confirm it (`nf_ct_drop_unconfirmed`).
    fn queue_segments(&mut self, packet: &mut Packet, queued: &Queued) -> Disposition {
        let network = start_of_network(packet);
        let frame = packet.steal();
        let cut = self.context.out.segment(&frame, network);
        self.context.out.recycle(frame);
        let Ok(segments) = cut else { return Disposition::Dropped(DropReason::OffloadFailed) };
        self.context.counters.packets_segmented.raise();
        let begins_flow = matches!(packet.track, Track::Flow { flow: Flow::Tentative(_), .. });
        let mut last = None;
        for frame in segments {
            let mut segment = packet.segment(frame);
            let is_first = last.is_none();
            let disposition = if is_first || !begins_flow {
                segment.track =
                    if begins_flow { std::mem::take(&mut packet.track) } else { same(&packet.track) };
                self.queue_finished(&mut segment, queued)
            } else {
                self.end(&mut segment, DropReason::QueueUnconfirmed)
            };
            // The last one is counted by whoever has the packet walk.
            if let Some(before) = last.replace(disposition) {
                self.count(packet, before);
            }
        }
        last.unwrap_or(Disposition::Dropped(DropReason::OffloadFailed))
    }

    fn queue_finished(&mut self, packet: &mut Packet, queued: &Queued) -> Disposition {
        let Queued { listener, place } = queued;
        let bytes = shown(packet);
        let length = bytes.len();
        let is_taken = listener.admit(length) && {
            let number = self.shared.queues.number_packet();
            let handed = Handed {
                number,
                worker: self.away.worker,
                listener: listener.clone(),
                family: packet.family(),
                point: place.point,
                input: packet.input_port(),
                output: packet.route.map(|routed| routed.hop.port),
                mark: packet.mark,
                length,
                ct: describe(&packet.track),
                bytes: bytes[..length.min(listener.copy_bytes)].into(),
            };
            let is_taken = self.shared.queues.hand_over(handed);
            if is_taken {
                raise(&listener.numbers.queued);
                self.context.counters.queued.raise();
                self.away.handed_over = true;
                let kept = packet.frame().detached();
                let frame = packet.exchange_frame(kept);
                self.context.out.recycle(frame);
                self.away.packets.insert(number, (packet.take(), place.clone()));
            } else {
                listener.release(length);
            }
            is_taken
        };
        if is_taken {
            return Disposition::Queued;
        }
        raise(&listener.numbers.full);
        if listener.fail_open {
            raise(&listener.numbers.opened);
            let behind = self.chains.at(packet.family(), place.point).behind(&place.seat);
            return self.walk_on(packet, place.point, behind);
        }
        self.end(packet, DropReason::QueueFull)
    }

    /// Goes on with a packet as its program has said, to its end.
    fn take_answer(&mut self, answer: Answer) {
        let Some((mut packet, place)) = self.away.packets.remove(&answer.number) else { return };
        let disposition = self.follow(&mut packet, place, answer);
        self.count(&packet, disposition);
    }

    fn follow(&mut self, packet: &mut Packet, place: Place, answer: Answer) -> Disposition {
        let chain = self.chains.at(packet.family(), place.point);
        let behind = || chain.behind(&place.seat);
        let first = match answer.judgement {
            Judgement::Drop(reason) => return self.end(packet, reason),
            Judgement::Accept | Judgement::Queue(_) => behind(),
            Judgement::Repeat => chain.find(&place.seat).unwrap_or_else(behind),
            Judgement::Stop => chain.end(),
        };
        let Some(mut frame) = self.context.out.take() else {
            return Disposition::Dropped(DropReason::NoFrame);
        };
        frame.copy_frame(packet.frame());
        drop(packet.exchange_frame(frame));
        let before = asked(packet);
        packet.mark = answer.mark.unwrap_or(packet.mark);
        if answer.change.is_some_and(|change| !take_change(packet, &change)) {
            return self.end(packet, DropReason::QueueMalformed);
        }
        if place.point == Point::Output && asked(packet) != before {
            // It is to be routed again (`nf_reroute`).
            packet.route = None;
        }
        match answer.judgement {
            Judgement::Queue(number) => match self.shared.queues.seek(number, false) {
                Some(listener) => self.queue_finished(packet, &Queued { listener, place }),
                None => self.end(packet, DropReason::QueueWithoutListener),
            },
            _ => self.walk_on(packet, place.point, first),
        }
    }

    /// The rest of a packet's way, from the hook that is `first` at a point.
    fn walk_on(&mut self, packet: &mut Packet, point: Point, first: usize) -> Disposition {
        if let Err(off) = self.hooks_from(first, point, packet) {
            return self.leave(packet, off);
        }
        match (packet.family(), point) {
            (Family::Bridge, _) => return self.walk_on_bridged(packet, point),
            (Family::Arp, Point::Input) => return self.hear_of_neighbors(packet),
            // Of all that begins here only messages to neighbors have their way from the start.
            (_, Point::Output) if packet.departure.is_none() => return self.say_behind_output(packet),
            (_, Point::Postrouting) if packet.is_own() && packet.departure.is_none() => {
                return self.say_behind_hooks(packet);
            }
            _ => {}
        }
        match point {
            Point::Input => self.arrive(packet),
            Point::Output => match self.walk_behind_output(packet) {
                Ok(()) => self.depart(packet),
                Err(off) => self.leave(packet, off),
            },
            Point::Postrouting if packet.departure.is_some() => self.depart(packet),
            Point::Prerouting | Point::Forward | Point::Postrouting => {
                let walked = match point {
                    Point::Prerouting => self.walk_behind_prerouting(packet),
                    Point::Forward => {
                        self.routed(packet).and_then(|routed| self.walk_behind_forward(packet, routed))
                    }
                    _ => self.routed(packet),
                };
                self.finish(packet, walked)
            }
        }
    }

    /// The way that a packet was given before it was queued.
    fn routed(&mut self, packet: &mut Packet) -> Result<super::Routed, Off> {
        self.route(packet)?.followed()
    }

    /// Counts what became of a packet that was queued, as what it is.
    fn count(&self, packet: &Packet, disposition: Disposition) {
        let is_router_own = packet.departure.is_some_and(|departure| !departure.by_program);
        if is_router_own {
            disposition.count_own(self.context.counters);
        } else {
            disposition.count(self.context.counters);
        }
    }
}

/// What a program is shown of a packet: all from the network header on, of a frame that is bridged from the link header.
fn shown(packet: &Packet) -> &[u8] {
    match packet.family() {
        Family::Ipv4 | Family::Ipv6 => packet.ip(),
        Family::Arp | Family::Bridge => packet.frame().bytes(),
    }
}

/// Puts new bytes in a packet; false if there is no room for them.
fn take_change(packet: &mut Packet, change: &Change) -> bool {
    let is_ip = matches!(packet.family(), Family::Ipv4 | Family::Ipv6);
    let before = if is_ip { packet.network_offset() } else { 0 };
    if before + change.bytes.len() > packet.frame().capacity() {
        return false;
    }
    // Where the pieces were cut that it came in, and where its options are, is no longer known.
    packet.options = None;
    if let Some(gathered) = &mut packet.gathered {
        gathered.forget_pieces();
    }
    if is_ip {
        let before = packet.header.len;
        packet.replace(&change.bytes, change.header);
        note_growth(packet, before);
    } else {
        packet.replace_frame(&change.bytes, change.network, change.header);
    }
    true
}

/// Notes for what follows in a translated TCP connection that a packet has changed its length: only where addresses
/// are translated are numbers too (`nfqnl_ct_seq_adjust`).
fn note_growth(packet: &Packet, before: usize) {
    let Track::Flow { flow, direction, .. } = &packet.track else { return };
    let segment = packet.ip().get(packet.header.transport..).unwrap_or_default();
    if packet.header.protocol != TCP
        || segment.len() < TCP_LEN
        || !flow.status().intersects(Status::SRC_NAT | Status::DST_NAT)
    {
        return;
    }
    let growth = packet.header.len as i32 - before as i32;
    flow.shift(*direction, u32_at(segment, 4), growth);
}

/// What the routing state is asked of a packet by, if it is this host's (`nf_ip_saveroute`).
fn asked(packet: &Packet) -> impl PartialEq + use<> {
    (packet.source(), packet.destination(), packet.header.tos, packet.mark)
}

/// What tracking said of a packet, for another of the same flow.
fn same(track: &Track) -> Track {
    match track {
        Track::Flow { flow: Flow::Conn(conn), direction, state } => {
            Track::Flow { flow: Flow::Conn(conn.clone()), direction: *direction, state: *state }
        }
        Track::Flow { .. } | Track::Unseen => Track::Unseen,
        Track::Invalid => Track::Invalid,
        Track::Untracked => Track::Untracked,
    }
}

/// What tracking said of a packet, for its program.
fn describe(track: &Track) -> Option<Ct> {
    let without_flow = |state: &str| Some(Ct { state: state.into(), id: None, direction: None, mark: None });
    match track {
        Track::Unseen => None,
        Track::Invalid => without_flow("invalid"),
        Track::Untracked => without_flow("untracked"),
        Track::Flow { flow, direction, state } => {
            let state = match state {
                CtState::New => "new",
                CtState::Established | CtState::EstablishedReply => "established",
                CtState::Related | CtState::RelatedReply => "related",
            };
            let direction = match direction {
                Direction::Original => "original",
                Direction::Reply => "reply",
            };
            Some(Ct {
                state: state.into(),
                id: Some(flow.id()),
                direction: Some(direction.into()),
                mark: Some(flow.mark()),
            })
        }
    }
}
